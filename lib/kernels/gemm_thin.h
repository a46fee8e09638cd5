/* Knows products of few rows by a B that is read once, for one dtype, T: columns of B that are contiguous along k, and
   long rows of B. Expanded by gemm.c, after gemm_type.h. */

/* Adds the first `count` lanes to what is there and stores them. */
static __attribute__((noinline)) void FOR(store_sums)(char *c, const char *add, const FOR(pack) * x, int64_t count)
{
    int64_t i = 0;
    for (; i + FOR(pack_lanes) <= count; i += FOR(pack_lanes)) {
        FOR(pack) sum = x[i / FOR(pack_lanes)], y;
        if (add) {
            memcpy(&y, add + i * FOR(size), sizeof y);
            sum = y + sum;
        }
        memcpy(c + i * FOR(size), &sum, sizeof sum);
    }
    for (; i < count; i++) {
        FOR(elem) sum, y;
        memcpy(&sum, (const char *)x + i * FOR(size), sizeof sum);
        if (add) {
            memcpy(&y, add + i * FOR(size), sizeof y);
            sum = y + sum;
        }
        memcpy(c + i * FOR(size), &sum, sizeof sum);
    }
}

/* Columns of B that lie along k: how they are read, and their sums. */
struct FOR(dots) {
    const char *a, *b;
    int64_t a_row, group, from[FOR(pack_lanes)]; /* bytes from vector to vector, and from b to each lane's column */
    FOR(pack) sum[DOT_ROWS][DOT_GROUPS];
};

/* The next `squares` squares of every group are transposed in registers and multiplied with A. */
TAPE__INLINE void FOR(dot_step)(struct FOR(dots) * d, int groups, const int rows, const int squares)
{
    enum { LANES = FOR(pack_lanes) };
    for (int h = 0; h < groups; h++) {
        FOR(pack) x[DOT_ROWS], y[LANES];
        EACH (i, rows)
            x[i] = d->sum[i][h];
        EACH (s, squares) {
            FOR(transpose)(d->b + h * d->group + s * PACK_BYTES, d->from, y);
            EACH (q, LANES)
                EACH (i, rows) {
                    FOR(elem) e;
                    memcpy(&e, d->a + i * d->a_row + s * PACK_BYTES + q * FOR(size), sizeof e);
                    x[i] = FOR(pack_mul_add)(FOR(pack_splat)(e), y[q], x[i]);
                }
        }
        EACH (i, rows)
            d->sum[i][h] = x[i];
    }
    d->a += squares * PACK_BYTES;
    d->b += squares * PACK_BYTES;
}

/* What is left of k fills no square. */
static void FOR(dot_rest)(struct FOR(dots) * d, int groups, int rows, int rest)
{
    enum { LANES = FOR(pack_lanes) };
    for (int q = 0; q < rest; q++)
        for (int h = 0; h < groups; h++) {
            FOR(pack) y;
            for (int i = 0; i < LANES; i++)
                memcpy((char *)&y + i * FOR(size), d->b + h * d->group + d->from[i] + q * FOR(size), FOR(size));
            for (int i = 0; i < rows; i++) {
                FOR(elem) e;
                memcpy(&e, d->a + i * d->a_row + q * FOR(size), sizeof e);
                d->sum[i][h] = FOR(pack_mul_add)(FOR(pack_splat)(e), y, d->sum[i][h]);
            }
        }
}

/* Columns j to j + columns: whole vectors, or less than one: then lanes beyond read the last column. */
TAPE__INLINE void FOR(dot_columns)(const tape__gemm_block *g, const char *a, int64_t a_row, int64_t j, int64_t columns,
                                   const int rows)
{
    enum { LANES = FOR(pack_lanes) };
    const int groups = (int)((columns + LANES - 1) / LANES);
    struct FOR(dots) d; /* zeroed as far as it is used: rows are short more often than not */
    d.a = a;
    d.b = g->b + j * g->b_col;
    d.a_row = a_row;
    d.group = LANES * g->b_col;
    EACH (i, rows)
        for (int h = 0; h < groups; h++)
            d.sum[i][h] = FOR(pack_splat)(0);
    int64_t left = g->k;
    for (int i = 0; i < LANES; i++)
        d.from[i] = (i < columns ? i : columns - 1) * g->b_col;
    for (; left >= 2 * LANES; left -= 2 * LANES)
        FOR(dot_step)(&d, groups, rows, 2);
    if (left >= LANES) {
        FOR(dot_step)(&d, groups, rows, 1);
        left -= LANES;
    }
    if (left > 0)
        FOR(dot_rest)(&d, groups, rows, (int)left);
    for (int i = 0; i < rows; i++)
        FOR(store_sums)
    (g->c + i * g->c_row + j * FOR(size), g->add ? g->add + i * g->add_row + j * FOR(size) : NULL, d.sum[i], columns);
}

static void FOR(dot_block)(const tape__gemm_block *g)
{
    enum { LANES = FOR(pack_lanes), MOST = DOT_GROUPS * LANES };
    FOR(elem) dense[DOT_ROWS][TAPE__GEMM_K_MAX];
    const bool copies = g->a_k != FOR(size);
    for (int64_t i = 0; copies && i < g->m; i++)
        for (int64_t p = 0; p < g->k; p++)
            memcpy(&dense[i][p], g->a + i * g->a_row + p * g->a_k, FOR(size));
    const char *a = copies ? (const char *)dense : g->a;
    const int64_t a_row = copies ? (int64_t)sizeof dense[0] : g->a_row;
    for (int64_t j = 0, columns; j < g->n; j += columns) {
        const int64_t left = g->n - j;
        columns = left >= MOST ? MOST : left >= LANES ? left / LANES * LANES : left;
        if (g->m == 1)
            FOR(dot_columns)(g, a, a_row, j, columns, 1);
        else
            FOR(dot_columns)(g, a, a_row, j, columns, 2);
    }
}

/* sum[i] += the next `steps` products, for `bytes` of columns. */
TAPE__INLINE void FOR(stream_step)(const tape__gemm_block *g, const char *a, const char *b, char (*sum)[STREAM_BYTES],
                                   int64_t bytes, const int rows, const int steps)
{
    FOR(vec) s[STREAM_ROWS][STREAM_STEPS], x[STREAM_ROWS];
    EACH (i, rows)
        EACH (q, steps) {
            FOR(elem) e;
            memcpy(&e, a + i * g->a_row + q * g->a_k, sizeof e);
            s[i][q] = FOR(splat)(e);
        }
    for (int64_t at = 0; at < bytes; at += (int64_t)sizeof(FOR(vec))) {
        EACH (i, rows)
            x[i] = FOR(load)(&sum[i][at]);
        EACH (q, steps) {
            FOR(vec) y = FOR(load)(b + q * g->b_k + at);
            EACH (i, rows)
                x[i] = MUL_ADD(s[i][q], y, x[i]);
        }
        EACH (i, rows)
            FOR(store)(&sum[i][at], x[i]);
    }
}

#define DEFINE(name, rows, steps)                                                                                      \
    static __attribute__((noinline)) void FOR(name)(const tape__gemm_block *g, const char *a, const char *b,           \
                                                    char(*sum)[STREAM_BYTES], int64_t bytes)                           \
    {                                                                                                                  \
        FOR(stream_step)(g, a, b, sum, bytes, rows, steps);                                                            \
    }
DEFINE(stream_1, 1, STREAM_STEPS)
DEFINE(stream_2, 2, STREAM_STEPS)
DEFINE(stream_3, 3, STREAM_STEPS)
DEFINE(stream_rest, 1, 1)
#undef DEFINE

/* `bytes` of columns, whole vectors, from column j on: B is read along its rows, some at once, and the sums lie in
   cache. */
static void FOR(stream)(const tape__gemm_block *g, int64_t j, int64_t bytes)
{
    _Alignas(64) char sum[STREAM_ROWS][STREAM_BYTES];
    const char *a = g->a, *b = g->b + j * FOR(size);
    int64_t left = g->k;
    for (int i = 0; i < g->m; i++)
        memset(sum[i], 0, (size_t)bytes);
    for (; left >= STREAM_STEPS; left -= STREAM_STEPS) {
        (g->m == 1 ? FOR(stream_1) : g->m == 2 ? FOR(stream_2) : FOR(stream_3))(g, a, b, sum, bytes);
        a += STREAM_STEPS * g->a_k;
        b += STREAM_STEPS * g->b_k;
    }
    for (; left > 0; left--) {
        for (int i = 0; i < g->m; i++)
            FOR(stream_rest)(g, a + i * g->a_row, b, sum + i, bytes);
        a += g->a_k;
        b += g->b_k;
    }
    for (int i = 0; i < g->m; i++)
        for (int64_t at = 0; at < bytes; at += (int64_t)sizeof(FOR(vec))) {
            FOR(vec) x = FOR(load)(&sum[i][at]);
            if (g->add)
                x = FOR(load)(g->add + i * g->add_row + j * FOR(size) + at) + x;
            FOR(store)(g->c + i * g->c_row + j * FOR(size) + at, x);
        }
}

/* All columns that fill whole vectors; their number. */
static int64_t FOR(stream_block)(const tape__gemm_block *g)
{
    const int64_t most = STREAM_BYTES / FOR(size), whole = g->n / FOR(LANES) * FOR(LANES);
    for (int64_t j = 0; j < whole; j += most) {
        const int64_t columns = whole - j < most ? whole - j : most;
        FOR(stream)(g, j, columns * FOR(size));
    }
    return whole;
}

static void FOR(block)(const tape__gemm_block *g)
{
    struct tile t = {.g = g, .a_k = g->a_k, .b_k = g->b_k};
    t.a_steps = g->a_steps ? (const char *)g->a_steps : (const char *)&t.a_k;
    t.b_steps = g->b_steps ? (const char *)g->b_steps : (const char *)&t.b_k;
    t.a_next = g->a_steps ? (int64_t)sizeof *g->a_steps : 0;
    t.b_next = g->b_steps ? (int64_t)sizeof *g->b_steps : 0;
    if (!g->b_packed && g->b_col != FOR(size)) {
        FOR(dot_block)(g);
        return;
    }
    if (!g->b_packed) {
        const bool streams = g->m <= STREAM_ROWS && g->n * FOR(size) >= STREAM_FROM && !g->a_steps && !g->b_steps;
        const int64_t done = streams ? FOR(stream_block)(g) : 0;
        FOR(columns)(g, &t, g->b + done * FOR(size), done, g->n - done);
        return;
    }
    for (int64_t j = 0, columns; j < g->n; j += columns) {
        columns = tape__gemm_columns(g->n - j, g->width, FOR(LANES));
        t.b_k = columns * FOR(size);
        FOR(columns)(g, &t, g->b + j * g->k * FOR(size), j, columns);
    }
}
