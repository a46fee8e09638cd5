/* Knows the tiles and their rows of one dtype, T; gemm.c expands it for f32 and for f64. */

enum { FOR(size) = sizeof(FOR(elem)) };

static __attribute__((noinline)) void FOR(store_parts)(char *c, int64_t c_row, const FOR(vec) * x, int rows, int tail)
{
    for (int i = 0; i < rows; i++)
        FOR(store_part)(c + i * c_row, x[i], tail);
}

#define AT(j, last) ((j) > 0 && (j) == vecs - 1 ? (last) : (j) * (int)sizeof(FOR(vec)))
#define LOAD(from) (part ? FOR(load_part)(from, tail) : FOR(load)(from))
/* One k, after which A and B go on by so many bytes. */
#define STEP(a_bytes, b_bytes)                                                                                         \
    do {                                                                                                               \
        EACH (j, vecs)                                                                                                 \
            y[j] = LOAD(b + AT(j, b_last));                                                                            \
        EACH (i, rows) {                                                                                               \
            FOR(elem) s;                                                                                               \
            memcpy(&s, group[i / 3] + i % 3 * a_row, sizeof s);                                                        \
            EACH (j, vecs)                                                                                             \
                x[i][j] = MUL_ADD(FOR(splat)(s), y[j], x[i][j]);                                                       \
        }                                                                                                              \
        EACH (i, (rows + 2) / 3)                                                                                       \
            group[i] += a_bytes;                                                                                       \
        b += b_bytes;                                                                                                  \
    } while (0)

/* rows x vecs vectors of C. The last vector of a row starts some bytes into it (t->b_last, t->c_last), which may
   overlap the one before. With `part` there is one vector, of t->tail columns. */
TAPE__INLINE void FOR(tile)(const struct tile *t, const char *a, const char *b, char *c, const char *add,
                            const int rows, const int vecs, const bool part)
{
    const int64_t a_row = t->g->a_row, a_next = t->a_next, b_next = t->b_next, b_last = t->b_last, c_last = t->c_last;
    const int64_t c_row = t->g->c_row, add_row = t->g->add_row;
    const char *a_step = t->a_steps, *b_step = t->b_steps;
    const int tail = t->tail;
    const char *group[(MAX_ROWS + 2) / 3]; /* three rows share a pointer: x86 addresses p, p + row and p + 2 row */
    FOR(vec) x[MAX_ROWS][MAX_VECS], y[MAX_VECS];
    EACH (i, (rows + 2) / 3)
        group[i] = a + 3 * i * a_row;
    EACH (i, rows)
        EACH (j, vecs)
            x[i][j] = FOR(splat)(0);
    if (vecs == 2 && rows > 3 && a_next == 0 && b_next == 0) { /* most products: worth a loop with less in it */
        const int64_t a_k = t->a_k, b_k = t->b_k;
        for (int64_t p = t->g->k; p > 0; p--)
            STEP(a_k, b_k);
    } else {
        for (int64_t p = t->g->k; p > 0; p--) {
            int64_t a_bytes, b_bytes;
            memcpy(&a_bytes, a_step, sizeof a_bytes);
            memcpy(&b_bytes, b_step, sizeof b_bytes);
            STEP(a_bytes, b_bytes);
            a_step += a_next;
            b_step += b_next;
        }
    }
    if (add)
        EACH (i, rows)
            EACH (j, vecs)
                x[i][j] = LOAD(add + i * add_row + AT(j, c_last)) + x[i][j];
    if (part) {
        FOR(vec) column[MAX_ROWS];
        EACH (i, rows)
            column[i] = x[i][0];
        FOR(store_parts)(c, c_row, column, rows, tail);
        return;
    }
    EACH (i, rows)
        EACH (j, vecs)
            FOR(store)(c + i * c_row + AT(j, c_last), x[i][j]);
}
#undef AT
#undef LOAD
#undef STEP

/* One function a shape: tile_2_6 has 2 vectors and 6 rows, tile_part_6 a partial one. */
#define DEFINE(name, vecs, rows, part)                                                                                 \
    static void FOR(name)(const struct tile *t, const char *a, const char *b, char *c, const char *add)                \
    {                                                                                                                  \
        FOR(tile)(t, a, b, c, add, rows, vecs, part);                                                                  \
    }
#define WHOLE(vecs, rows) DEFINE(tile_##vecs##_##rows, vecs, rows, false)
#define PART(vecs, rows) DEFINE(tile_part_##rows, vecs, rows, true)
TILES_1(WHOLE)
TILES_2(WHOLE)
TILES_4(WHOLE)
TILES_1(PART)
#undef DEFINE
#undef WHOLE
#undef PART

#define WHOLE(vecs, rows) FOR(tile_##vecs##_##rows),
#define PART(vecs, rows) FOR(tile_part_##rows),
static tile_function *const FOR(tiles)[][MAX_ROWS + 1] = {
    {NULL, TILES_1(WHOLE)}, {NULL, TILES_2(WHOLE)}, {NULL, TILES_4(WHOLE)}};
static tile_function *const FOR(part_tiles)[MAX_ROWS + 1] = {NULL, TILES_1(PART)};
#undef WHOLE
#undef PART

/* All rows of `vecs` vectors of columns, the first of which is j. */
static void FOR(panel)(const tape__gemm_block *g, struct tile *t, int vecs, const char *b, int64_t j)
{
    const int64_t at = j * FOR(size), limit = g->a_packed ? tile_rows[1] : tile_rows[LOG2(vecs)];
    tile_function *const *tiles = t->tail ? FOR(part_tiles) : FOR(tiles)[LOG2(vecs)];
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

/* A row of tiles. */
static void FOR(columns)(const tape__gemm_block *g, struct tile *t, const char *b, int64_t j, int64_t columns)
{
    enum { LANES = FOR(LANES) };
    int vecs = g->width < TILE_VECS * LANES ? (int)(g->width / LANES) : TILE_VECS;
    t->tail = columns < LANES ? (int)columns : 0;
    for (int64_t left = columns, wide; left > 0; left -= wide) {
        vecs = vectors_of(left, vecs, LANES);
        wide = left < vecs * LANES ? left : vecs * LANES;
        t->c_last = wide * FOR(size) - (int64_t)sizeof(FOR(vec));
        t->b_last = t->c_last;
        if (g->b_apart)
            t->b_last = g->b_apart;
        if (g->c_apart)
            t->c_last = g->c_apart;
        FOR(panel)(g, t, vecs, b, j);
        b += wide * FOR(size);
        j += wide;
    }
}

/* Fours of rows by pairs of vectors, of operands that lie plainly: all in one loop, for products so small that what
   surrounds a tile costs as much as a larger one saves. k > 1. */
static void FOR(fours)(const tape__gemm_block *g)
{
    enum { ROWS = 4, BYTES = 2 * (int)sizeof(FOR(vec)) };
    const struct tile t = {.g = g, .a_k = g->a_k, .b_k = g->b_k, .b_last = BYTES / 2, .c_last = BYTES / 2};
    for (int64_t at = 0; at < g->n * FOR(size); at += BYTES) {
        const char *a = g->a, *add = g->add ? g->add + at : NULL;
        char *c = g->c + at;
        for (int64_t left = g->m; left > 0; left -= ROWS) {
            FOR(tile)(&t, a, g->b + at, c, add, ROWS, 2, false);
            a += ROWS * g->a_row;
            c += ROWS * g->c_row;
            add = add ? add + ROWS * g->add_row : NULL;
        }
    }
}
