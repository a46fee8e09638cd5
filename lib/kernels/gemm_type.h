/* The tiles, the block loop and the packing of one dtype; gemm.c expands it for f32 and for f64. Before inclusion:
   N(name) puts the dtype in front of a name, SCALAR is its C type. */

enum { N(lanes) = VEC_BYTES / sizeof(SCALAR), N(pack_lanes) = PACK_BYTES / sizeof(SCALAR) };

/* rows x vecs vectors of C; with `part` the last vector of a row has t->tail columns. */
static inline __attribute__((always_inline)) void N(tile)(const struct tile *t, const char *a, const char *b, char *c,
                                                          const char *add, const int rows, const int vecs,
                                                          const bool part)
{
    const int64_t a_row = t->a_row, a_k = t->a_k, b_k = t->b_k, c_row = t->c_row, add_row = t->add_row;
    const int tail = t->tail;
    const char *a_group[(MAX_ROWS + 2) / 3]; /* three rows share a pointer: x86 addresses p, p + row and p + 2 row */
    N(vec) x[MAX_ROWS][MAX_VECS];
    UNROLL for (int i = 0; i < rows; i += 3) a_group[i / 3] = a + i * a_row;
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < vecs; j++) x[i][j] = (N(vec)){0};
    for (int64_t p = t->k; p > 0; p--) {
        N(vec) y[MAX_VECS];
        UNROLL for (int j = 0; j < vecs; j++)
        {
            const char *at = b + j * VEC_BYTES;
            y[j] = part && j == vecs - 1 ? N(load_part)(at, tail) : N(load)(at);
        }
        UNROLL for (int i = 0; i < rows; i++)
        {
            N(vec) s = N(splat)(*(const N(at) *)(a_group[i / 3] + i % 3 * a_row));
            UNROLL for (int j = 0; j < vecs; j++) x[i][j] = N(fma)(s, y[j], x[i][j]);
        }
        UNROLL for (int i = 0; i < rows; i += 3) a_group[i / 3] += a_k;
        b += b_k;
    }
    if (add) {
        UNROLL for (int i = 0; i < rows; i++)
        {
            UNROLL for (int j = 0; j < vecs; j++)
            {
                const char *at = add + j * VEC_BYTES;
                x[i][j] = (part && j == vecs - 1 ? N(load_part)(at, tail) : N(load)(at)) + x[i][j];
            }
            add += add_row;
        }
    }
    UNROLL for (int i = 0; i < rows; i++)
    {
        UNROLL for (int j = 0; j < vecs; j++)
        {
            if (part && j == vecs - 1)
                N(store_part)(c + j * VEC_BYTES, x[i][j], tail);
            else
                *(N(vec_at) *)(c + j * VEC_BYTES) = x[i][j];
        }
        c += c_row;
    }
}

/* One function a shape: tile_2_6 has 2 vectors and 6 rows, tile_2_6_part a partial last vector. */
#define TILE(vecs, rows)                                                                                               \
    static void N(tile_##vecs##_##rows)(const struct tile *t, const char *a, const char *b, char *c, const char *add)  \
    {                                                                                                                  \
        N(tile)(t, a, b, c, add, rows, vecs, false);                                                                   \
    }                                                                                                                  \
    static void N(tile_##vecs##_##rows##_part)(const struct tile *t, const char *a, const char *b, char *c,            \
                                               const char *add)                                                        \
    {                                                                                                                  \
        N(tile)(t, a, b, c, add, rows, vecs, true);                                                                    \
    }
TILES
#undef TILE

/* By log2 of the vectors, whether the last one is partial, and rows. */
static tile_function *const N(tiles)[LOG2_VECS][2][MAX_ROWS + 1] = {
#define TILE(vecs, rows)                                                                                               \
    [LOG2(vecs)][0][rows] = N(tile_##vecs##_##rows), [LOG2(vecs)][1][rows] = N(tile_##vecs##_##rows##_part),
    TILES
#undef TILE
};

/* All rows of `vecs` vectors of columns. */
static void N(panel)(const tape__gemm_block *g, struct tile *t, int vecs, const char *b, int64_t j)
{
    const int64_t at = j * (int64_t)sizeof(SCALAR), limit = g->a_packed ? tile_rows[1] : tile_rows[LOG2(vecs)];
    tile_function *const *tiles = N(tiles)[LOG2(vecs)][t->tail != 0];
    const char *add = g->add ? g->add + at : NULL;
    for (int64_t i = 0; i < g->m;) {
        int64_t rows = tape__gemm_sliver(i, g->m, limit);
        const char *a = g->a;
        if (g->a_packed) {
            a += i * g->k * (int64_t)sizeof(SCALAR);
            t->a_row = (int64_t)sizeof(SCALAR);
            t->a_k = rows * (int64_t)sizeof(SCALAR);
        } else {
            a += i * g->a_row;
        }
        tiles[rows](t, a, b, g->c + at + i * g->c_row, add ? add + i * g->add_row : NULL);
        i += rows;
    }
}

static void N(block)(const tape__gemm_block *g)
{
    const int most = (int)(g->width / N(lanes));
    const int64_t width = g->b_packed ? g->width : g->n;
    struct tile t = {.k = g->k, .a_row = g->a_row, .a_k = g->a_k, .c_row = g->c_row, .add_row = g->add_row};
    for (int64_t j0 = 0; j0 < g->n; j0 += width) {
        const int64_t columns = g->n - j0 < width ? g->n - j0 : width;
        const char *b = g->b + (g->b_packed ? j0 * g->k * (int64_t)sizeof(SCALAR) : 0);
        t.b_k = g->b_packed ? columns * (int64_t)sizeof(SCALAR) : g->b_k;
        for (int64_t j = 0; j < columns;) {
            int64_t left = (columns - j + N(lanes) - 1) / N(lanes);
            int vecs = most;
            while (vecs > left)
                vecs /= 2;
            int64_t wide = vecs * (int64_t)N(lanes);
            t.tail = columns - j < wide ? (int)((columns - j) % N(lanes)) : 0;
            N(panel)(g, &t, vecs, b + j * (int64_t)sizeof(SCALAR), j0 + j);
            j += wide;
        }
    }
}

/* Elements [first, last) of k, one by one. */
static void N(pack_plain)(char *out, int64_t width, int64_t first, int64_t last, const char *in, int64_t in_i,
                          int64_t in_k)
{
    for (int64_t p = first; p < last; p++)
        for (int64_t i = 0; i < width; i++)
            ((N(at) *)out)[p * width + i] = *(const N(at) *)(in + i * in_i + p * in_k);
}

/* Unit stride along the sliver: rows are copied. */
static void N(pack_rows)(char *out, int64_t width, int64_t k, const char *in, int64_t in_k)
{
    const int64_t row = width * (int64_t)sizeof(SCALAR), whole = row / PACK_BYTES * PACK_BYTES;
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

/* Unit stride along k: squares are transposed, the last columns of a row of squares first, because a vector may write
   beyond the end of its row: into what is written later. So the last rows cannot go this way. */
static void N(pack_columns)(char *out, int64_t width, int64_t k, const char *in, int64_t in_i)
{
    const int64_t size = sizeof(SCALAR), lanes = N(pack_lanes), row = width * size, last = (width - 1) / lanes * lanes;
    const int64_t beyond = last + lanes - width, squares = (k - (beyond + width - 1) / width) / lanes;
    for (int64_t s = 0; s < squares; s++) {
        for (int64_t i0 = last; i0 >= 0; i0 -= lanes) {
            N(pack) r[N(pack_lanes)];
            UNROLL for (int i = 0; i < N(pack_lanes); i++)
            {
                int64_t from = i0 + i < width ? i0 + i : width - 1;
                r[i] = *(const N(pack_at) *)(in + from * in_i + s * PACK_BYTES);
            }
            N(transpose)(r);
            UNROLL for (int i = 0; i < N(pack_lanes); i++) * (N(pack_at) *)(out + (s * lanes + i) * row + i0 * size) =
                r[i];
        }
    }
    N(pack_plain)(out, width, squares > 0 ? squares * lanes : 0, k, in, in_i, size);
}

static void N(pack_sliver)(char *out, int64_t width, int64_t k, const char *in, int64_t in_i, int64_t in_k)
{
    if (in_i == (int64_t)sizeof(SCALAR))
        N(pack_rows)(out, width, k, in, in_k);
    else if (in_k == (int64_t)sizeof(SCALAR))
        N(pack_columns)(out, width, k, in, in_i);
    else
        N(pack_plain)(out, width, 0, k, in, in_i, in_k);
}
