/* Knows the packing of one dtype, T, and its products by columns of B that lie along k; gemm_pack.c expands it for f32
   and for f64. */

enum { FOR(size) = sizeof(FOR(elem)), FOR(pack_lanes) = PACK_BYTES / FOR(size) };

/* Elements [first, last) of k, one by one. */
static void FOR(pack_plain)(char *out, int64_t width, int64_t first, int64_t last, const char *in, int64_t in_i,
                            int64_t in_k)
{
    for (int64_t p = first; p < last; p++)
        for (int64_t i = 0; i < width; i++)
            memcpy(out + (p * width + i) * FOR(size), in + i * in_i + p * in_k, FOR(size));
}

TAPE__INLINE void FOR(copy_rows)(char *out, int64_t k, const char *in, int64_t in_k, const int64_t row)
{
    const int64_t whole = row / PACK_BYTES * PACK_BYTES;
    for (int64_t p = 0; p < k; p++) {
        int64_t at = 0;
        for (; at < whole; at += PACK_BYTES)
            memcpy(out + at, in + at, PACK_BYTES);
        if (PACK_BYTES > 16 && row & 16) {
            memcpy(out + at, in + at, 16);
            at += 16;
        }
        if (row & 8) {
            memcpy(out + at, in + at, 8);
            at += 8;
        }
        if (row & 4)
            memcpy(out + at, in + at, 4);
        out += row;
        in += in_k;
    }
}

/* Unit stride along the sliver: rows are copied; those of full slivers without asking how long they are. */
static void FOR(pack_rows)(char *out, int64_t width, int64_t k, const char *in, int64_t in_k)
{
    enum { FULL_A = FULL_ROWS * FOR(size), FULL_B = 2 * (int)sizeof(FOR(vec)) };
    const int64_t row = width * FOR(size);
    if (row == FULL_B)
        FOR(copy_rows)(out, k, in, in_k, FULL_B);
    else if (row == FULL_A)
        FOR(copy_rows)(out, k, in, in_k, FULL_A);
    else
        FOR(copy_rows)(out, k, in, in_k, row);
}

/* Unit stride along k: squares are transposed, the last columns first, because a vector may write beyond the end of its
   row: into what is written later. So the last rows cannot go this way. */
static void FOR(pack_columns)(char *out, int64_t width, int64_t k, const char *in, int64_t in_i)
{
    enum { LANES = FOR(pack_lanes) };
    const int64_t row = width * FOR(size), last = (width - 1) / LANES * LANES, beyond = last + LANES - width;
    const int64_t squares = (k - (beyond + width - 1) / width) / LANES;
    for (int64_t i0 = last; i0 >= 0; i0 -= LANES) {
        int64_t from[LANES];
        char *to = out + i0 * FOR(size);
        EACH (i, LANES)
            from[i] = (i0 + i < width ? i0 + i : width - 1) * in_i;
        for (int64_t s = 0; s < squares; s++) {
            FOR(pack) y[LANES];
            FOR(transpose)(in + s * PACK_BYTES, from, y);
            EACH (i, LANES)
                memcpy(to + i * row, &y[i], PACK_BYTES);
            to += LANES * row;
        }
    }
    FOR(pack_plain)(out, width, squares > 0 ? squares * LANES : 0, k, in, in_i, FOR(size));
}

void TAPE__ISA_SYM(FOR(tape__gemm_pack))(char *out, int64_t width, int64_t k, const char *in, int64_t in_i,
                                         int64_t in_k)
{
    if (in_i == FOR(size))
        FOR(pack_rows)(out, width, k, in, in_k);
    else if (in_k == FOR(size))
        FOR(pack_columns)(out, width, k, in, in_i);
    else
        FOR(pack_plain)(out, width, 0, k, in, in_i, in_k);
}

#if !TAPE__COMPACT
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

/* What is left of k fills no square: the last square of longer columns, of which the first elements have had their
   turn, or short columns, element by element. */
static void FOR(dot_rest)(struct FOR(dots) * d, int groups, int rows, int rest, bool is_long)
{
    enum { LANES = FOR(pack_lanes) };
    const int done = is_long ? LANES - rest : 0;
    for (int h = 0; h < groups; h++) {
        FOR(pack) y[LANES];
        const char *b = d->b + h * d->group - done * FOR(size);
        if (is_long)
            FOR(transpose)(b, d->from, y);
        else
            for (int q = 0; q < rest; q++)
                for (int i = 0; i < LANES; i++)
                    memcpy((char *)&y[q] + i * FOR(size), b + d->from[i] + q * FOR(size), FOR(size));
        for (int q = 0; q < rest; q++)
            for (int i = 0; i < rows; i++) {
                FOR(elem) e;
                memcpy(&e, d->a + i * d->a_row + q * FOR(size), sizeof e);
                d->sum[i][h] = FOR(pack_mul_add)(FOR(pack_splat)(e), y[done + q], d->sum[i][h]);
            }
    }
}

/* Columns j to j + columns: whole vectors, or less than one: then lanes beyond read the last column. */
TAPE__INLINE void FOR(dot_columns)(const tape__gemm_block *g, const char *a, int64_t a_row, int64_t j, int64_t columns,
                                   const int rows)
{
    enum { LANES = FOR(pack_lanes) };
    const int groups = (int)((columns + LANES - 1) / LANES);
    struct FOR(dots) d;
    d.a = a;
    d.b = g->b + j * g->b_col;
    d.a_row = a_row;
    d.group = LANES * g->b_col;
    EACH (i, rows)
        EACH (h, DOT_GROUPS)
            d.sum[i][h] = FOR(pack_splat)(0);
    int64_t left = g->k, from = 0;
    EACH (i, LANES) {
        d.from[i] = from;
        from += i + 1 < columns ? g->b_col : 0;
    }
    for (; rows == 1 && left >= 2 * LANES; left -= 2 * LANES)
        FOR(dot_step)(&d, groups, rows, 2);
    for (; left >= LANES; left -= LANES)
        FOR(dot_step)(&d, groups, rows, 1);
    if (left > 0)
        FOR(dot_rest)(&d, groups, rows, (int)left, g->k >= LANES);
    for (int i = 0; i < rows; i++)
        FOR(store_sums)
    (g->c + i * g->c_row + j * FOR(size), g->add ? g->add + i * g->add_row + j * FOR(size) : NULL, d.sum[i], columns);
}

/* One or two columns: their products with a row are not worth a square. All lanes are the same. */
TAPE__INLINE void FOR(dot_few)(const tape__gemm_block *g, const char *a, char *c, const char *add, const int columns)
{
    enum { STEPS = 4 };
    const char *b = g->b;
    const int64_t col = g->b_col;
    FOR(pack) x[DOT_FEW];
    EACH (j, columns)
        x[j] = FOR(pack_splat)(0);
#define STEP(q)                                                                                                        \
    do {                                                                                                               \
        FOR(elem) e, y[DOT_FEW];                                                                                       \
        memcpy(&e, a + (q)*FOR(size), sizeof e);                                                                       \
        EACH (j, columns) {                                                                                            \
            memcpy(&y[j], b + j * col + (q)*FOR(size), sizeof e);                                                      \
            x[j] = FOR(pack_mul_add)(FOR(pack_splat)(e), FOR(pack_splat)(y[j]), x[j]);                                 \
        }                                                                                                              \
    } while (0)
    int64_t left = g->k;
    for (; left >= STEPS; left -= STEPS) {
        EACH (q, STEPS)
            STEP(q);
        a += STEPS * FOR(size);
        b += STEPS * FOR(size);
    }
    for (int q = 0; q < left; q++)
        STEP(q);
#undef STEP
    EACH (j, columns) {
        FOR(elem) sum, y;
        memcpy(&sum, &x[j], sizeof sum);
        if (add) {
            memcpy(&y, add + j * FOR(size), sizeof y);
            sum = y + sum;
        }
        memcpy(c + j * FOR(size), &sum, sizeof sum);
    }
}

void TAPE__ISA_SYM(FOR(tape__gemm_dots))(const tape__gemm_block *g)
{
    enum { LANES = FOR(pack_lanes), MOST = DOT_GROUPS * LANES };
    FOR(elem) dense[DOT_ROWS][TAPE__GEMM_K_MAX];
    const bool copies = g->a_k != FOR(size);
    for (int64_t i = 0; copies && i < g->m; i++)
        for (int64_t p = 0; p < g->k; p++)
            memcpy(&dense[i][p], g->a + i * g->a_row + p * g->a_k, FOR(size));
    const char *a = copies ? (const char *)dense : g->a;
    const int64_t a_row = copies ? (int64_t)sizeof dense[0] : g->a_row;
    for (int64_t i = 0; g->n <= DOT_FEW && i < g->m; i++) {
        const char *add = g->add ? g->add + i * g->add_row : NULL;
        if (g->n == 1)
            FOR(dot_few)(g, a + i * a_row, g->c + i * g->c_row, add, 1);
        else
            FOR(dot_few)(g, a + i * a_row, g->c + i * g->c_row, add, 2);
    }
    for (int64_t j = g->n <= DOT_FEW ? g->n : 0, columns; j < g->n; j += columns) {
        const int64_t left = g->n - j;
        columns = left >= MOST ? MOST : left >= LANES ? left / LANES * LANES : left;
        if (g->m == 1)
            FOR(dot_columns)(g, a, a_row, j, columns, 1);
        else
            FOR(dot_columns)(g, a, a_row, j, columns, 2);
    }
}
#endif
