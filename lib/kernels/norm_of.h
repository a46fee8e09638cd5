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
    ELEM m = j->centred ? FOR(reduce_run)(&FOR(reduce_sum), a->n, x, 0) / count : 0;
    ELEM square = FOR(reduce_run)(&FOR(reduce_deviation), a->n, x, m) / count;
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

TAPE__INLINE UNIT FOR(load_h)(const FOR(norm_back) * b, int64_t i, int64_t left)
{
    UNIT u = FOR(unit_load_upto)(b->x + i, left);
    PARTWISE(u.part[k] = (u.part[k] - b->mean) * b->rstd;)
    return u;
}

TAPE__INLINE UNIT FOR(load_a)(const FOR(norm_back) * b, int64_t i, int64_t left)
{
    UNIT u = FOR(unit_load_upto)(b->g + i, left);
    if (b->w) {
        UNIT v = FOR(unit_load_upto)(b->w + i, left);
        PARTWISE(u.part[k] *= v.part[k];)
    }
    return u;
}

static void FOR(fill_a)(const void *source, int64_t begin, int64_t n, ELEM *buffer)
{
    for (int64_t i = 0; i < n; i += WIDTH)
        FOR(unit_store)(buffer + i, FOR(load_a)(source, begin + i, n - i));
}

static void FOR(fill_ah)(const void *source, int64_t begin, int64_t n, ELEM *buffer)
{
    for (int64_t i = 0; i < n; i += WIDTH) {
        UNIT u = FOR(load_a)(source, begin + i, n - i), h = FOR(load_h)(source, begin + i, n - i);
        PARTWISE(u.part[k] *= h.part[k];)
        FOR(unit_store)(buffer + i, u);
    }
}

/* gx = rstd (a - mean(a) - h mean(a h)), without mean(a) for rms_norm. */
static void FOR(norm_gx_row)(const tape__norm_vjp_args *v, int64_t row)
{
    const FOR(norm_back) b = FOR(back_of)(v, row);
    ELEM *gx = (ELEM *)v->gx + row * v->n, count = (ELEM)v->n;
    const VEC mean_a = FOR(splat)(v->mean ? FOR(reduce_filled)(&FOR(reduce_sum), v->n, FOR(fill_a), &b) / count : 0);
    const VEC mean_ah = FOR(splat)(FOR(reduce_filled)(&FOR(reduce_sum), v->n, FOR(fill_ah), &b) / count);
    for (int64_t i = 0; i < v->n; i += WIDTH) {
        int64_t left = v->n - i;
        UNIT u = FOR(load_a)(&b, i, left), h = FOR(load_h)(&b, i, left);
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
    int64_t begin = item * TILE * WIDTH, end = v->n - begin < TILE * WIDTH ? v->n : begin + TILE * WIDTH;
    FOR(ladder) gw[TILE], gb[TILE];
    memset(gw, 0, sizeof gw);
    memset(gb, 0, sizeof gb);
    for (int64_t row = 0; row < v->rows; row++) {
        const FOR(norm_back) b = FOR(back_of)(v, row);
        for (int64_t i = begin; i < end; i += WIDTH) {
            UNIT g = FOR(unit_load_upto)(b.g + i, end - i), h = FOR(load_h)(&b, i, end - i);
            PARTWISE(h.part[k] *= g.part[k];)
            FOR(ladder_add)(&gw[(i - begin) / WIDTH], h);
            FOR(ladder_add)(&gb[(i - begin) / WIDTH], g);
        }
    }
    for (int64_t i = begin; i < end; i += WIDTH) {
        FOR(put_sum)(v->gw, i, end - i, v->add_gw, &gw[(i - begin) / WIDTH]);
        FOR(put_sum)(v->gb, i, end - i, v->add_gb, &gb[(i - begin) / WIDTH]);
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
