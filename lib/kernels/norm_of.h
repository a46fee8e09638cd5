/* Knows layer_norm and rms_norm for dtype T. Included once for each dtype T. */

#define VEC FOR(vec)
#define ELEM FOR(elem)
#define UNIT FOR(unit)
#define WIDTH FOR(WIDTH)

/* ---- forward ----------------------------------------------------------------------------------------------------- */

typedef struct FOR(norm_job) {
    const tape__norm_args *args;
    bool centred;
    int64_t per_item;
} FOR(norm_job);

static void FOR(norm_row)(const FOR(norm_job) * j, int64_t row)
{
    const tape__norm_args *a = j->args;
    const ELEM *x = (const ELEM *)a->x + row * a->n, *w = a->w, *b = a->b;
    ELEM *y = (ELEM *)a->y + row * a->n, count = (ELEM)a->n;
    ELEM m = j->centred ? FOR(reduce_run)(&FOR(reducers)[REDUCER_sum], a->n, x, 0) / count : 0;
    ELEM square = FOR(reduce_run)(&FOR(reducers)[REDUCER_deviation], a->n, x, m) / count;
    const VEC mean = FOR(splat)(m), rstd = FOR(rsqrt)(FOR(splat)(square + (ELEM)a->eps));
    for (int64_t i = 0; i < a->n; i += WIDTH) {
        int64_t left = a->n - i;
        UNIT u = FOR(unit_load_upto)(x + i, left);
        PARTWISE(u.part[k] = (u.part[k] - mean) * rstd;)
        if (w) {
            UNIT v = FOR(unit_load_upto)(w + i, left);
            PARTWISE(u.part[k] *= v.part[k];)
        }
        if (b) {
            UNIT v = FOR(unit_load_upto)(b + i, left);
            PARTWISE(u.part[k] += v.part[k];)
        }
        FOR(unit_store_upto)(y + i, u, left);
    }
    if (j->centred)
        ((ELEM *)a->mean)[row] = m;
    ((ELEM *)a->rstd)[row] = rstd[0];
}

static void FOR(norm_item)(void *arg, int64_t item)
{
    const FOR(norm_job) *j = arg;
    int64_t end = (item + 1) * j->per_item < j->args->rows ? (item + 1) * j->per_item : j->args->rows;
    for (int64_t row = item * j->per_item; row < end; row++)
        FOR(norm_row)(j, row);
}

static void FOR(norm)(const struct tape__parallel *p, const tape__norm_args *args, bool centred)
{
    FOR(norm_job) j = {args, centred, rows_per_item(args->n)};
    tape__parallel_for(p, (args->rows + j.per_item - 1) / j.per_item, FOR(norm_item), &j);
}

static void FOR(layer_norm)(const struct tape__parallel *p, const tape__norm_args *args)
{
    FOR(norm)(p, args, true);
}

static void FOR(rms_norm)(const struct tape__parallel *p, const tape__norm_args *args)
{
    FOR(norm)(p, args, false);
}

/* ---- gradient of x ----------------------------------------------------------------------------------------------- */

/* One row of the backward pass: h is the normalised x, a is g w. */
typedef struct FOR(norm_back) {
    int64_t n;
    const ELEM *x, *g, *w;
    VEC mean, rstd;
} FOR(norm_back);

static FOR(norm_back) FOR(back_of)(const tape__norm_vjp_args *v, int64_t row)
{
    FOR(norm_back)
    b = {.n = v->n, .x = (const ELEM *)v->x + row * v->n, .g = (const ELEM *)v->g + row * v->n, .w = v->w};
    b.mean = FOR(splat)(v->mean ? ((const ELEM *)v->mean)[row] : 0);
    b.rstd = FOR(splat)(((const ELEM *)v->rstd)[row]);
    return b;
}

TAPE__INLINE UNIT FOR(h_term)(const void *source, int64_t i, int64_t left)
{
    const FOR(norm_back) *b = source;
    UNIT u = FOR(unit_load_upto)(b->x + i, left);
    PARTWISE(u.part[k] = (u.part[k] - b->mean) * b->rstd;)
    return u;
}

TAPE__INLINE UNIT FOR(a_term)(const void *source, int64_t i, int64_t left)
{
    const FOR(norm_back) *b = source;
    UNIT u = FOR(unit_load_upto)(b->g + i, left);
    if (b->w) {
        UNIT v = FOR(unit_load_upto)(b->w + i, left);
        PARTWISE(u.part[k] *= v.part[k];)
    }
    return u;
}

TAPE__INLINE UNIT FOR(ah_term)(const void *source, int64_t i, int64_t left)
{
    UNIT u = FOR(a_term)(source, i, left), h = FOR(h_term)(source, i, left);
    PARTWISE(u.part[k] *= h.part[k];)
    return u;
}

/* gx = rstd (a - mean(a) - h mean(a h)), without mean(a) for rms_norm. */
static void FOR(norm_gx_row)(const tape__norm_vjp_args *v, int64_t row)
{
    const FOR(norm_back) b = FOR(back_of)(v, row);
    ELEM *gx = (ELEM *)v->gx + row * v->n, count = (ELEM)v->n;
    const VEC mean_a = FOR(splat)(v->mean ? FOR(sum_terms)(v->n, FOR(a_term), &b) / count : 0);
    const VEC mean_ah = FOR(splat)(FOR(sum_terms)(v->n, FOR(ah_term), &b) / count);
    for (int64_t i = 0; i < v->n; i += WIDTH) {
        int64_t left = v->n - i;
        UNIT u = FOR(a_term)(&b, i, left), h = FOR(h_term)(&b, i, left);
        PARTWISE(u.part[k] = b.rstd * ((u.part[k] - mean_a) - h.part[k] * mean_ah);)
        if (v->add_gx) {
            h = FOR(unit_load_upto)(gx + i, left);
            PARTWISE(u.part[k] += h.part[k];)
        }
        FOR(unit_store_upto)(gx + i, u, left);
    }
}

static void FOR(norm_gx_item)(void *arg, int64_t item)
{
    const tape__norm_vjp_args *v = arg;
    int64_t count = rows_per_item(v->n), end = (item + 1) * count < v->rows ? (item + 1) * count : v->rows;
    for (int64_t row = item * count; row < end; row++)
        FOR(norm_gx_row)(v, row);
}

/* ---- gradients of w and b ---------------------------------------------------------------------------------------- */

typedef struct FOR(norm_tile) {
    FOR(ladder) gw[TILE], gb[TILE];
} FOR(norm_tile);

/* Rows [row, row + rows), at most STEPS, of `columns` columns from `first` on; a unit's sums stay in registers for four
   rows. */
static void FOR(norm_gw_rows)(const tape__norm_vjp_args *v, int64_t row, int64_t rows, int64_t first, int64_t columns,
                              FOR(norm_tile) * tile)
{
    _Alignas(TAPE__UNIT_BYTES) ELEM sum_w[TILE * WIDTH] = {0}, sum_b[TILE * WIDTH] = {0};
    for (int64_t r = row; r < row + rows; r += 4)
        for (int64_t i = 0; i < columns; i += WIDTH) {
            UNIT gw = FOR(unit_load)(sum_w + i), gb = FOR(unit_load)(sum_b + i);
            for (int64_t s = r; s < row + rows && s < r + 4; s++) {
                const FOR(norm_back) b = FOR(back_of)(v, s);
                UNIT g = FOR(unit_load_upto)(b.g + first + i, columns - i);
                UNIT h = FOR(h_term)(&b, first + i, columns - i);
                PARTWISE(gw.part[k] += g.part[k] * h.part[k]; gb.part[k] += g.part[k];)
            }
            FOR(unit_store)(sum_w + i, gw);
            FOR(unit_store)(sum_b + i, gb);
        }
    for (int64_t i = 0; i < columns; i += WIDTH) {
        FOR(ladder_add)(&tile->gw[i / WIDTH], FOR(unit_load)(sum_w + i));
        FOR(ladder_add)(&tile->gb[i / WIDTH], FOR(unit_load)(sum_b + i));
    }
}

static void FOR(put_sum)(void *to, int64_t at, int64_t left, bool add, const FOR(ladder) * ladder)
{
    if (!to)
        return;
    ELEM *y = (ELEM *)to + at;
    UNIT u = FOR(ladder_sum)(ladder);
    if (add) {
        UNIT v = FOR(unit_load_upto)(y, left);
        PARTWISE(u.part[k] += v.part[k];)
    }
    FOR(unit_store_upto)(y, u, left);
}

/* A tile of columns, all rows in order. */
static void FOR(norm_gw_item)(void *arg, int64_t item)
{
    const tape__norm_vjp_args *v = arg;
    int64_t first = item * TILE * WIDTH, columns = v->n - first < TILE * WIDTH ? v->n - first : TILE * WIDTH;
    FOR(norm_tile) tile;
    memset(&tile, 0, sizeof tile);
    for (int64_t row = 0; row < v->rows; row += STEPS)
        FOR(norm_gw_rows)(v, row, v->rows - row < STEPS ? v->rows - row : STEPS, first, columns, &tile);
    for (int64_t i = 0; i < columns; i += WIDTH) {
        FOR(put_sum)(v->gw, first + i, columns - i, v->add_gw, &tile.gw[i / WIDTH]);
        FOR(put_sum)(v->gb, first + i, columns - i, v->add_gb, &tile.gb[i / WIDTH]);
    }
}

/* gx comes last: it may be g. */
static void FOR(norm_vjp)(const struct tape__parallel *p, const tape__norm_vjp_args *args)
{
    tape__norm_vjp_args v = *args;
    if (v.gw || v.gb)
        tape__parallel_for(p, (v.n + TILE * WIDTH - 1) / (TILE * WIDTH), FOR(norm_gw_item), &v);
    int64_t count = rows_per_item(v.n);
    if (v.gx)
        tape__parallel_for(p, (v.rows + count - 1) / count, FOR(norm_gx_item), &v);
}

#undef VEC
#undef ELEM
#undef UNIT
#undef WIDTH
