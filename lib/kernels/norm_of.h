/* Knows layer_norm and rms_norm for dtype T. Included once for each dtype T. */

#define VEC FOR(vec)
#define ELEM FOR(elem)
#define UNIT FOR(unit)
#define WIDTH FOR(WIDTH)

/* ---- forward ----------------------------------------------------------------------------------------------------- */

typedef struct FOR(norm_job) {
    const tape__norm_args *args;
    bool centred;
    enum giving giving;
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
        FOR(unit_give)(y + i, u, left, j->giving);
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
    end_giving(j->giving);
}

static void FOR(norm)(const struct tape__parallel *p, const tape__norm_args *args, bool centred)
{
    const enum giving giving = giving_of(sizeof(ELEM), args->y, args->rows, args->n, false, args->y == args->x);
    FOR(norm_job) j = {args, centred, giving, rows_per_item(args->n)};
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

/* ---- backward ---------------------------------------------------------------------------------------------------- */

/* A row on the way back: h is the normalised x, a is g w. */
typedef struct FOR(norm_back) {
    int64_t n;
    const ELEM *x, *g, *w;
    ELEM *gx; /* NULL where it is not wanted */
    VEC mean, rstd, mean_a, mean_ah;
} FOR(norm_back);

TAPE__INLINE UNIT FOR(h_term)(const FOR(norm_back) * b, int64_t i, int64_t left)
{
    UNIT u = FOR(unit_load_upto)(b->x + i, left);
    PARTWISE(u.part[k] = (u.part[k] - b->mean) * b->rstd;)
    return u;
}

TAPE__INLINE UNIT FOR(a_term)(const FOR(norm_back) * b, UNIT g, int64_t i, int64_t left)
{
    if (b->w) {
        UNIT v = FOR(unit_load_upto)(b->w + i, left);
        PARTWISE(g.part[k] *= v.part[k];)
    }
    return g;
}

TAPE__INLINE void FOR(add_terms)(const FOR(norm_back) * b, int64_t i, int64_t left, UNIT *sum_a, UNIT *sum_ah)
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
        FOR(tree_push)(&tree_a, sum, sum->fold(&(FOR(lanes)){even_a, odd_a}));
        FOR(tree_push)(&tree_ah, sum, sum->fold(&(FOR(lanes)){even_ah, odd_ah}));
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
TAPE__INLINE void FOR(give_gx)(const FOR(norm_back) * b, UNIT g, UNIT h, int64_t i, enum giving giving)
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

static int64_t FOR(padded)(int64_t n)
{
    return (n + WIDTH - 1) / WIDTH * WIDTH;
}

/* A few rows, so that the sums are read and written once for all of them: g h is added to sums[0 ...], g behind it. */
static void FOR(rows_back)(const tape__norm_vjp_args *v, int64_t row, int rows, ELEM *sums, enum giving giving)
{
    FOR(norm_back) back[FEW_ROWS];
    ELEM *sums_b = sums + FOR(padded)(v->n);
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

typedef struct FOR(norm_back_job) {
    const tape__norm_vjp_args *v;
    enum giving giving;
    int64_t block, blocks, per_item; /* rows of a block; blocks; those of one parallel iteration */
    int64_t stride;                  /* elements from a block's sums to the next one's; 0: there are none */
} FOR(norm_back_job);

static void FOR(block_back)(const FOR(norm_back_job) * j, int64_t number)
{
    const tape__norm_vjp_args *v = j->v;
    const int64_t first = number * j->block, end = first + j->block < v->rows ? first + j->block : v->rows;
    if (!j->stride) {
        for (int64_t row = first; row < end; row++)
            FOR(row_back)(v, row, j->giving);
        return;
    }
    ELEM *sums = (ELEM *)v->work + number * j->stride;
    memset(sums, 0, (size_t)j->stride * sizeof *sums);
    for (int64_t row = first; row < end; row += FEW_ROWS)
        FOR(rows_back)(v, row, end - row < FEW_ROWS ? (int)(end - row) : FEW_ROWS, sums, j->giving);
}

static void FOR(norm_back_item)(void *arg, int64_t item)
{
    const FOR(norm_back_job) *j = arg;
    const int64_t end = (item + 1) * j->per_item;
    for (int64_t number = item * j->per_item; number < end && number < j->blocks; number++)
        FOR(block_back)(j, number);
    end_giving(j->giving);
}

/* The sums of all blocks in a tile of columns. */
static void FOR(fold_item)(void *arg, int64_t item)
{
    const FOR(norm_back_job) *j = arg;
    const tape__norm_vjp_args *v = j->v;
    const int64_t first = item / 2 * TILE * WIDTH, end = first + TILE * WIDTH < v->n ? first + TILE * WIDTH : v->n;
    ELEM *y = item % 2 ? v->gb : v->gw;
    const ELEM *sums = (const ELEM *)v->work + (item % 2 ? j->stride / 2 : 0);
    FOR(ladder) ladder[TILE];
    if (!y)
        return;
    memset(ladder, 0, sizeof ladder);
    for (int64_t k = 0; k < j->blocks; k++)
        for (int64_t i = first; i < end; i += WIDTH)
            FOR(ladder_add)(&ladder[(i - first) / WIDTH], FOR(unit_load)(sums + k * j->stride + i));
    const enum giving giving = (item % 2 ? v->add_gb : v->add_gw) ? ADD : STORE;
    for (int64_t i = first; i < end; i += WIDTH) {
        const UNIT sum = FOR(ladder_sum)(&ladder[(i - first) / WIDTH]);
        FOR(unit_give)(y + i, sum, v->n - i, giving);
    }
}

static void FOR(norm_vjp)(const struct tape__parallel *p, const tape__norm_vjp_args *v)
{
    FOR(norm_back_job) j = {.v = v, .block = rows_per_item(v->n), .per_item = 1};
    const int64_t tiles = (v->n + TILE * WIDTH - 1) / (TILE * WIDTH);
    const bool sums = v->gw || v->gb;
    if (!sums && !v->gx)
        return;
    j.giving = v->gx ? giving_of(sizeof(ELEM), v->gx, v->rows, v->n, v->add_gx, v->gx == v->g) : STORE;
    if (sums) {
        j.stride = 2 * FOR(padded)(v->n);
        j.per_item = rows_per_item(v->n) / tape__norm_block(v->rows);
        j.per_item += j.per_item == 0;
        j.block = tape__norm_block(v->rows);
    }
    j.blocks = (v->rows + j.block - 1) / j.block;
    tape__parallel_for(p, (j.blocks + j.per_item - 1) / j.per_item, FOR(norm_back_item), &j);
    if (sums)
        tape__parallel_for(v->rows * v->n < ITEM ? NULL : p, 2 * tiles, FOR(fold_item), &j);
}

#undef VEC
#undef ELEM
#undef UNIT
#undef WIDTH
