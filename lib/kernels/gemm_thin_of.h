/* Knows products of few rows or of one term, for one dtype, T, by a B that is read once: long rows of B, and rows
   without more ado. Expanded by gemm_thin.c. */

enum { FOR(size) = sizeof(FOR(elem)) };

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

#define AT(j) ((j) > 0 && (j) == vecs - 1 ? last : (j) * (int)sizeof(FOR(vec)))
#define LOAD(from) (part ? FOR(load_part)(from, (int)last) : FOR(load)(from))

/* c = add + x for `rows` rows of `vecs` vectors, the last of which starts at byte `last`, or of a part of one vector,
   of `last` columns. */
TAPE__INLINE void FOR(give)(const tape__gemm_block *g, FOR(vec) (*x)[MAX_VECS], char *c, const char *add, int64_t last,
                            const int rows, const int vecs, const bool part)
{
    const int64_t c_row = g->c_row, add_row = g->add_row;
    if (add)
        EACH (i, rows)
            EACH (j, vecs)
                x[i][j] = LOAD(add + i * add_row + AT(j)) + x[i][j];
    EACH (i, rows)
        EACH (j, vecs)
            if (part)
                FOR(store_part)(c + i * c_row, x[i][j], (int)last);
            else
                FOR(store)(c + i * c_row + AT(j), x[i][j]);
}

/* The only row's columns from byte `at` on, as many as give() says. */
TAPE__INLINE void FOR(row)(const tape__gemm_block *g, int64_t at, int64_t last, const int vecs, const bool part)
{
    const int64_t a_k = g->a_k, b_k = g->b_k;
    const char *a = g->a, *b = g->b + at;
    FOR(vec) x[1][MAX_VECS];
    EACH (j, vecs)
        x[0][j] = FOR(splat)(0);
    for (int64_t p = g->k; p > 0; p--) {
        FOR(elem) s;
        memcpy(&s, a, sizeof s);
        EACH (j, vecs)
            x[0][j] = MUL_ADD(FOR(splat)(s), LOAD(b + AT(j)), x[0][j]);
        a += a_k;
        b += b_k;
    }
    FOR(give)(g, x, g->c + at, g->add ? g->add + at : NULL, last, 1, vecs, part);
}

/* The same columns of all rows, `rows` at once, where k is 1. */
TAPE__INLINE void FOR(outer)(const tape__gemm_block *g, int64_t at, int64_t last, const int rows, const int vecs,
                             const bool part)
{
    const int64_t a_row = g->a_row, c_row = g->c_row, add_row = g->add_row;
    const char *a = g->a, *add = g->add ? g->add + at : NULL;
    char *c = g->c + at;
    FOR(vec) x[OUTER_ROWS][MAX_VECS], y[MAX_VECS];
    EACH (j, vecs)
        y[j] = LOAD(g->b + at + AT(j));
#define ROWS(rows)                                                                                                     \
    EACH (i, rows) {                                                                                                   \
        FOR(elem) s;                                                                                                   \
        memcpy(&s, a + i * a_row, sizeof s);                                                                           \
        EACH (j, vecs)                                                                                                 \
            x[i][j] = MUL_ADD(FOR(splat)(s), y[j], FOR(splat)(0));                                                     \
    }                                                                                                                  \
    FOR(give)(g, x, c, add, last, rows, vecs, part);                                                                   \
    a += (rows)*a_row;                                                                                                 \
    c += (rows)*c_row;                                                                                                 \
    add = add ? add + (rows)*add_row : NULL
    int64_t left = g->m;
    for (; rows > 1 && left >= rows; left -= rows) {
        ROWS(rows);
    }
    for (; left > 0; left--) {
        ROWS(1);
    }
#undef ROWS
}
#undef AT
#undef LOAD

typedef void FOR(thin_function)(const tape__gemm_block *g, int64_t at, int64_t last);
#define DEFINE(name, ...)                                                                                              \
    static void FOR(name)(const tape__gemm_block *g, int64_t at, int64_t last)                                         \
    {                                                                                                                  \
        __VA_ARGS__;                                                                                                   \
    }
DEFINE(row_1, FOR(row)(g, at, last, 1, false))
DEFINE(row_2, FOR(row)(g, at, last, 2, false))
DEFINE(row_4, FOR(row)(g, at, last, 4, false))
DEFINE(row_8, FOR(row)(g, at, last, 8, false))
DEFINE(row_part, FOR(row)(g, at, last, 1, true))
DEFINE(outer_1, FOR(outer)(g, at, last, OUTER_ROWS, 1, false))
DEFINE(outer_2, FOR(outer)(g, at, last, OUTER_ROWS / 2, 2, false))
DEFINE(outer_4, FOR(outer)(g, at, last, 1, 4, false))
DEFINE(outer_part, FOR(outer)(g, at, last, 1, 1, true))
#undef DEFINE

/* By log2 of the vectors. */
static FOR(thin_function) *const FOR(rows)[] = {FOR(row_1), FOR(row_2), FOR(row_4), FOR(row_8)};
static FOR(thin_function) *const FOR(outers)[] = {FOR(outer_1), FOR(outer_2), FOR(outer_4)};

int64_t TAPE__ISA_SYM(FOR(tape__gemm_thin))(const tape__gemm_block *g)
{
    enum { LANES = FOR(LANES) };
    const bool outer = g->k == 1;
    FOR(thin_function) *const *whole = outer ? FOR(outers) : FOR(rows);
    const int64_t done = !outer && g->n * FOR(size) >= STREAM_FROM ? FOR(stream_block)(g) : 0;
    int64_t left = g->n - done;
    if (g->m > 1 && !outer)
        return done;
    if (left < LANES) {
        if (left > 0)
            (outer ? FOR(outer_part) : FOR(row_part))(g, done * FOR(size), left);
        return g->n;
    }
    for (int64_t wide, vecs = outer ? 4 : MAX_VECS; left > 0; left -= wide) {
        vecs = vectors_of(left, vecs, LANES);
        wide = left < vecs * LANES ? left : vecs * LANES;
        whole[LOG2(vecs)](g, (g->n - left) * FOR(size), wide * FOR(size) - (int64_t)sizeof(FOR(vec)));
    }
    return g->n;
}
