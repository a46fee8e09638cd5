/* Knows the tiles, the block loop and the packing of one dtype, T; gemm.c expands it for f32 and for f64. */

enum { FOR(size) = sizeof(FOR(elem)), FOR(pack_lanes) = PACK_BYTES / FOR(size) };

/* The last, partial vectors of a tile's rows. */
static void FOR(store_last)(const struct tile *t, char *c, const char *add, const FOR(vec) * x, int rows)
{
    for (int i = 0; i < rows; i++) {
        FOR(vec) y = x[i];
        if (add)
            y = FOR(load_part)(add + i * t->add_row, t->tail) + y;
        FOR(store_part)(c + i * t->c_row, y, t->tail);
    }
}

/* rows x vecs vectors of C; with `part` the last vector of a row has t->tail columns. */
TAPE__INLINE void FOR(tile)(const struct tile *t, const char *a, const char *b, char *c, const char *add,
                            const int rows, const int vecs, const bool part)
{
    enum { BYTES = sizeof(FOR(vec)) };
    const int64_t a_row = t->a_row, a_k = t->a_k, b_k = t->b_k, c_row = t->c_row, add_row = t->add_row;
    const int tail = t->tail, whole = part ? vecs - 1 : vecs;
    const char *group[(MAX_ROWS + 2) / 3]; /* three rows share a pointer: x86 addresses p, p + row and p + 2 row */
    FOR(vec) x[MAX_ROWS][MAX_VECS], y[MAX_VECS], last[MAX_ROWS];
    EACH (i, (rows + 2) / 3)
        group[i] = a + 3 * i * a_row;
    EACH (i, rows)
        EACH (j, vecs)
            x[i][j] = FOR(splat)(0);
    for (int64_t p = t->k; p > 0; p--) {
        EACH (j, whole)
            y[j] = FOR(load)(b + j * BYTES);
        if (part)
            y[whole] = FOR(load_part)(b + whole * BYTES, tail);
        EACH (i, rows) {
            FOR(elem) s;
            memcpy(&s, group[i / 3] + i % 3 * a_row, sizeof s);
            EACH (j, vecs)
                x[i][j] = MUL_ADD(FOR(splat)(s), y[j], x[i][j]);
        }
        EACH (i, (rows + 2) / 3)
            group[i] += a_k;
        b += b_k;
    }
    if (add)
        EACH (i, rows)
            EACH (j, whole)
                x[i][j] = FOR(load)(add + i * add_row + j * BYTES) + x[i][j];
    EACH (i, rows)
        EACH (j, whole)
            FOR(store)(c + i * c_row + j * BYTES, x[i][j]);
    if (part) {
        EACH (i, rows)
            last[i] = x[i][whole];
        FOR(store_last)(t, c + whole * BYTES, add ? add + whole * BYTES : NULL, last, rows);
    }
}

/* One function a shape: tile_2_6 has 2 vectors and 6 rows, tile_2_6_part a partial last vector. */
#define NAME(vecs, rows) FOR(tile_##vecs##_##rows)
#define DEFINE(vecs, rows)                                                                                             \
    static void NAME(vecs, rows)(const struct tile *t, const char *a, const char *b, char *c, const char *add)         \
    {                                                                                                                  \
        FOR(tile)(t, a, b, c, add, rows, vecs, false);                                                                 \
    }                                                                                                                  \
    static void NAME(vecs, rows##_part)(const struct tile *t, const char *a, const char *b, char *c, const char *add)  \
    {                                                                                                                  \
        FOR(tile)(t, a, b, c, add, rows, vecs, true);                                                                  \
    }
TILES_1(DEFINE)
TILES_2(DEFINE)
TILES_4(DEFINE)
TILES_8(DEFINE)

/* By log2 of the vectors, whether the last one is partial, and rows. */
#define WHOLE(vecs, rows) NAME(vecs, rows),
#define PART(vecs, rows) NAME(vecs, rows##_part),
static tile_function *const FOR(tiles)[LOG2_VECS][2][MAX_ROWS + 1] = {
    {{NULL, TILES_1(WHOLE)}, {NULL, TILES_1(PART)}},
    {{NULL, TILES_2(WHOLE)}, {NULL, TILES_2(PART)}},
    {{NULL, TILES_4(WHOLE)}, {NULL, TILES_4(PART)}},
    {{NULL, TILES_8(WHOLE)}, {NULL, TILES_8(PART)}},
};
#undef NAME
#undef DEFINE
#undef WHOLE
#undef PART

/* All rows of `vecs` vectors of columns, the first of which is j. */
static void FOR(panel)(const tape__gemm_block *g, struct tile *t, int vecs, const char *b, int64_t j)
{
    const int64_t at = j * FOR(size), limit = g->a_packed ? tile_rows[1] : tile_rows[LOG2(vecs)];
    tile_function *const *tiles = FOR(tiles)[LOG2(vecs)][t->tail != 0];
    const char *a = g->a, *add = g->add ? g->add + at : NULL;
    char *c = g->c + at;
    for (int64_t left = g->m, rows; left > 0; left -= rows) {
        rows = tape__gemm_sliver(left, limit);
        if (g->a_packed)
            t->a_k = rows * FOR(size);
        tiles[rows](t, a, b, c, add);
        a += rows * (g->a_packed ? g->k * FOR(size) : g->a_row);
        c += rows * g->c_row;
        add = add ? add + rows * g->add_row : NULL;
    }
}

static void FOR(block)(const tape__gemm_block *g)
{
    enum { LANES = FOR(LANES) };
    const int64_t sliver = g->b_packed ? g->width : g->n;
    struct tile t = {.k = g->k, .a_k = g->a_k, .c_row = g->c_row, .add_row = g->add_row};
    t.a_row = g->a_packed ? FOR(size) : g->a_row;
    for (int64_t j0 = 0; j0 < g->n; j0 += sliver) {
        const int64_t columns = g->n - j0 < sliver ? g->n - j0 : sliver;
        const char *b = g->b + (g->b_packed ? j0 * g->k * FOR(size) : 0);
        int vecs = (int)(g->width / LANES);
        t.b_k = g->b_packed ? columns * FOR(size) : g->b_k;
        for (int64_t j = 0; j < columns; j += vecs * LANES) {
            while (vecs > 1 && (vecs - 1) * LANES >= columns - j)
                vecs /= 2;
            t.tail = columns - j < vecs * LANES ? (int)((columns - j) % LANES) : 0;
            FOR(panel)(g, &t, vecs, b + j * FOR(size), j0 + j);
        }
    }
}

/* Elements [first, last) of k, one by one. */
static void FOR(pack_plain)(char *out, int64_t width, int64_t first, int64_t last, const char *in, int64_t in_i,
                            int64_t in_k)
{
    for (int64_t p = first; p < last; p++)
        for (int64_t i = 0; i < width; i++)
            memcpy(out + (p * width + i) * FOR(size), in + i * in_i + p * in_k, FOR(size));
}

/* Unit stride along the sliver: rows are copied. */
static void FOR(pack_rows)(char *out, int64_t width, int64_t k, const char *in, int64_t in_k)
{
    const int64_t row = width * FOR(size), whole = row / PACK_BYTES * PACK_BYTES;
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
static void FOR(pack_columns)(char *out, int64_t width, int64_t k, const char *in, int64_t in_i)
{
    const int64_t lanes = FOR(pack_lanes), row = width * FOR(size), last = (width - 1) / lanes * lanes;
    const int64_t beyond = last + lanes - width, squares = (k - (beyond + width - 1) / width) / lanes;
    for (int64_t s = 0; s < squares; s++)
        for (int64_t i0 = last; i0 >= 0; i0 -= lanes) {
            FOR(pack) r[FOR(pack_lanes)];
            EACH (i, FOR(pack_lanes)) {
                int64_t from = i0 + i < width ? i0 + i : width - 1;
                memcpy(&r[i], in + from * in_i + s * PACK_BYTES, PACK_BYTES);
            }
            FOR(transpose)(r);
            EACH (i, FOR(pack_lanes))
                memcpy(out + (s * lanes + i) * row + i0 * FOR(size), &r[i], PACK_BYTES);
        }
    FOR(pack_plain)(out, width, squares > 0 ? squares * lanes : 0, k, in, in_i, FOR(size));
}

static void FOR(pack_sliver)(char *out, int64_t width, int64_t k, const char *in, int64_t in_i, int64_t in_k)
{
    if (in_i == FOR(size))
        FOR(pack_rows)(out, width, k, in, in_k);
    else if (in_k == FOR(size))
        FOR(pack_columns)(out, width, k, in, in_i);
    else
        FOR(pack_plain)(out, width, 0, k, in, in_i, in_k);
}
