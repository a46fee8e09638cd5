/* Knows layer_norm and rms_norm for dtype T. Included once for each dtype T. */

#define VEC FOR(vec)
#define ELEM FOR(elem)
#define UNIT FOR(unit)
#define WIDTH FOR(WIDTH)

/* ---- forward ----------------------------------------------------------------------------------------------------- */

static void FOR(norm_row)(const tape__norm_args *a, bool centred, int64_t row, enum giving giving)
{
    const ELEM *x = (const ELEM *)a->x + row * a->n, *w = a->w, *b = a->b;
    ELEM *y = (ELEM *)a->y + row * a->n, count = (ELEM)a->n;
    ELEM m = centred ? FOR(reduce_run)(&FOR(reducers)[REDUCER_sum], a->n, x, 0) / count : 0;
    ELEM square = FOR(reduce_run)(&FOR(reducers)[REDUCER_deviation], a->n, x, m) / count;
    const VEC mean = FOR(splat)(m), rstd = FOR(rsqrt)(FOR(splat)(square + (ELEM)a->eps));
    const int64_t next = row + 1 < a->rows ? a->n : 0;
    for (int64_t i = 0; i < a->n; i += WIDTH) {
        int64_t left = a->n - i;
        __builtin_prefetch(x + next + i);
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
        FOR(unit_give)(y + i, u, left, giving);
    }
    if (centred)
        ((ELEM *)a->mean)[row] = m;
    ((ELEM *)a->rstd)[row] = rstd[0];
}

/* ---- backward ---------------------------------------------------------------------------------------------------- */

/* A row on the way back: h is the normalised x, a is g w. */
typedef struct FOR(norm_back) {
    int64_t n;
    const ELEM *x, *g, *w;
    ELEM *gx; /* NULL where it is not wanted */
    VEC mean, rstd, mean_a, mean_ah;
} FOR(norm_back);

UNIT_INLINE UNIT FOR(h_term)(const FOR(norm_back) * b, int64_t i, int64_t left)
{
    UNIT u = FOR(unit_load_upto)(b->x + i, left);
    PARTWISE(u.part[k] = (u.part[k] - b->mean) * b->rstd;)
    return u;
}

UNIT_INLINE UNIT FOR(a_term)(const FOR(norm_back) * b, UNIT g, int64_t i, int64_t left)
{
    if (b->w) {
        UNIT v = FOR(unit_load_upto)(b->w + i, left);
        PARTWISE(g.part[k] *= v.part[k];)
    }
    return g;
}

UNIT_INLINE void FOR(add_terms)(const FOR(norm_back) * b, int64_t i, int64_t left, UNIT *sum_a, UNIT *sum_ah)
{
    const UNIT a = FOR(a_term)(b, FOR(unit_load_upto)(b->g + i, left), i, left), h = FOR(h_term)(b, i, left);
    PARTWISE(sum_a->part[k] += a.part[k]; sum_ah->part[k] += a.part[k] * h.part[k];)
}

/* The means of a, which rms_norm has none of, and of a h, in one pass and in the order of reducer.h. */
static void FOR(take_means)(FOR(norm_back) * b, bool centred)
{
    const FOR(reducer) *sum = &FOR(reducers)[REDUCER_sum];
    const int64_t n = b->n;
    FOR(tree) tree_a, tree_ah;
    tree_a.count = tree_ah.count = 0;
    for (int64_t i = 0; i < n;) {
        UNIT even_a = FOR(unit_splat)(0), odd_a = even_a, even_ah = even_a, odd_ah = even_a;
        for (int64_t stop = n - i < BLOCK ? n : i + BLOCK; i < stop; i += 2 * WIDTH) {
            FOR(add_terms)(b, i, n - i, &even_a, &even_ah);
            if (i + WIDTH < stop)
                FOR(add_terms)(b, i + WIDTH, n - i - WIDTH, &odd_a, &odd_ah);
        }
        FOR(tree_push)(&tree_a, sum, FOR(reduce_fold)(sum, &(FOR(lanes)){even_a, odd_a}));
        FOR(tree_push)(&tree_ah, sum, FOR(reduce_fold)(sum, &(FOR(lanes)){even_ah, odd_ah}));
    }
    b->mean_a = FOR(splat)(centred ? FOR(tree_result)(&tree_a, sum) / (ELEM)n : 0);
    b->mean_ah = FOR(splat)(FOR(tree_result)(&tree_ah, sum) / (ELEM)n);
}

static void FOR(read_row)(const tape__norm_vjp_args *v, int64_t row, FOR(norm_back) * b)
{
    const int64_t at = row * v->n;
    *b = (FOR(norm_back)){.n = v->n, .x = (const ELEM *)v->x + at, .g = (const ELEM *)v->g + at, .w = v->w};
    b->mean = FOR(splat)(v->mean ? ((const ELEM *)v->mean)[row] : 0);
    b->rstd = FOR(splat)(((const ELEM *)v->rstd)[row]);
    if (v->gx) {
        b->gx = (ELEM *)v->gx + at;
        FOR(take_means)(b, v->mean);
    }
}

/* gx = rstd (a - mean(a) - h mean(a h)). */
UNIT_INLINE void FOR(give_gx)(const FOR(norm_back) * b, UNIT g, UNIT h, int64_t i, enum giving giving)
{
    UNIT u = FOR(a_term)(b, g, i, b->n - i);
    PARTWISE(u.part[k] = b->rstd * ((u.part[k] - b->mean_a) - h.part[k] * b->mean_ah);)
    FOR(unit_give)(b->gx + i, u, b->n - i, giving);
}

/* Memory works on the next row meanwhile: the passes over a row are too short for it to see that one coming. */
static void FOR(row_back)(const tape__norm_vjp_args *v, int64_t row, enum giving giving)
{
    FOR(norm_back) b;
    FOR(read_row)(v, row, &b);
    const int64_t next = row + 1 < v->rows ? v->n : 0;
    for (int64_t i = 0; i < v->n; i += WIDTH) {
        __builtin_prefetch(b.x + next + i);
        __builtin_prefetch(b.g + next + i);
        FOR(give_gx)(&b, FOR(unit_load_upto)(b.g + i, v->n - i), FOR(h_term)(&b, i, v->n - i), i, giving);
    }
}

static void FOR(rows_back)(const tape__norm_vjp_args *v, int64_t row, int rows, void *work, enum giving giving)
{
    FOR(norm_back) back[TAPE__NORM_FEW_ROWS];
    ELEM *sums = work, *sums_b = sums + (v->n + WIDTH - 1) / WIDTH * WIDTH;
    for (int r = 0; r < rows; r++)
        FOR(read_row)(v, row + r, &back[r]);
    for (int64_t i = 0; i < v->n; i += WIDTH) {
        UNIT gw = FOR(unit_load)(sums + i), gb = FOR(unit_load)(sums_b + i);
        for (int r = 0; r < rows; r++) {
            const FOR(norm_back) *b = &back[r];
            const UNIT g = FOR(unit_load_upto)(b->g + i, v->n - i), h = FOR(h_term)(b, i, v->n - i);
            PARTWISE(gw.part[k] += g.part[k] * h.part[k]; gb.part[k] += g.part[k];)
            if (b->gx)
                FOR(give_gx)(b, g, h, i, giving);
        }
        FOR(unit_store)(sums + i, gw);
        FOR(unit_store)(sums_b + i, gb);
    }
}

static void FOR(fold_sums)(const void *sums, int64_t rows, int64_t stride, int64_t n, int64_t first, int64_t end,
                           void *to, enum giving giving)
{
    FOR(ladder) ladder[TAPE__NORM_TILE];
    memset(ladder, 0, sizeof ladder);
    for (int64_t k = 0; k < rows; k++)
        for (int64_t i = first; i < end; i += WIDTH)
            FOR(ladder_add)(&ladder[(i - first) / WIDTH], FOR(unit_load)((const ELEM *)sums + k * stride + i));
    for (int64_t i = first; i < end; i += WIDTH) {
        const UNIT sum = FOR(ladder_sum)(&ladder[(i - first) / WIDTH]);
        FOR(unit_give)((ELEM *)to + i, sum, n - i, giving);
    }
}

/* ---- the interface ----------------------------------------------------------------------------------------------- */

static const struct tape__norm_kernel FOR(norm) = {
    .item = sizeof(ELEM),
    .row = FOR(norm_row),
    .row_back = FOR(row_back),
    .rows_back = FOR(rows_back),
    .fold = FOR(fold_sums),
};

static void FOR(layer_norm)(const struct tape__parallel *p, const tape__norm_args *args)
{
    tape__norm_by(&FOR(norm), p, args, true);
}

static void FOR(rms_norm)(const struct tape__parallel *p, const tape__norm_args *args)
{
    tape__norm_by(&FOR(norm), p, args, false);
}

static void FOR(norm_vjp)(const struct tape__parallel *p, const tape__norm_vjp_args *v)
{
    tape__norm_back_by(&FOR(norm), p, v);
}

#undef VEC
#undef ELEM
#undef UNIT
#undef WIDTH
