/* Knows how many rows become one, in tiles of columns, for dtype T; it does not know of shapes or threads. Each column
   is added ROWS elements at a time, one after the other; those sums are combined pairwise. Included once for each dtype
   T. */

#define VEC FOR(vec)
#define ELEM FOR(elem)
#define UNIT FOR(unit)
#define WIDTH FOR(WIDTH)

/* Partial results. The last unit of a tile that is not narrower than a unit ends with the tile's last column, and so
   may repeat some columns of the unit before it. */
typedef struct FOR(tile) {
    _Alignas(TAPE__UNIT_BYTES) ELEM lane[TILE * WIDTH];
} FOR(tile);

static inline int FOR(first_column)(int unit, int columns)
{
    int first = unit * WIDTH, last = columns - WIDTH;
    return first <= last || last < 0 ? first : last;
}

/* Where the result of a column is. */
static inline int FOR(lane_of)(int column, int columns)
{
    int unit = column / WIDTH;
    return unit * WIDTH + column - FOR(first_column)(unit, columns);
}

typedef struct FOR(column_reducer) {
    /* `rows` rows, row r at x + offset[r], with a constant for each column. */
    void (*take)(FOR(tile) * tile, int columns, int rows, const ELEM *x, const int64_t *offset, const FOR(tile) * c);
    void (*combine)(FOR(tile) * a, const FOR(tile) * b, int columns);
} FOR(column_reducer);

#define DEFINE_COMBINE(combine)                                                                                        \
    static void FOR(tiles_##combine)(FOR(tile) * a, const FOR(tile) * b, int columns)                                  \
    {                                                                                                                  \
        for (int i = 0; i < columns; i += WIDTH) {                                                                     \
            UNIT u = FOR(unit_load)(a->lane + i), v = FOR(unit_load)(b->lane + i);                                     \
            PARTWISE(u.part[k] = FOR(combine)(u.part[k], v.part[k]);)                                                  \
            FOR(unit_store)(a->lane + i, u);                                                                           \
        }                                                                                                              \
    }
DEFINE_COMBINE(add)
DEFINE_COMBINE(mul)
DEFINE_COMBINE(max)
DEFINE_COMBINE(min)
#undef DEFINE_COMBINE

/* A few rows at a time, so that a lane of the tile is read and written once for each of those. */
#define DEFINE_COLUMNS(name, map, combine, neutral)                                                                    \
    static void FOR(columns_##name)(FOR(tile) * tile, int columns, int rows, const ELEM *x, const int64_t *offset,     \
                                    const FOR(tile) * constants)                                                       \
    {                                                                                                                  \
        for (int r = 0; r < rows; r += FEW_ROWS)                                                                       \
            for (int u = 0; u * WIDTH < columns; u++) {                                                                \
                const ELEM *from = x + FOR(first_column)(u, columns);                                                  \
                UNIT a = FOR(unit_load)(tile->lane + u * WIDTH), c = FOR(unit_load)(constants->lane + u * WIDTH);      \
                for (int s = r; s < rows && s < r + FEW_ROWS; s++) {                                                   \
                    UNIT row = FOR(unit_load_upto)(from + offset[s], columns);                                         \
                    PARTWISE(a.part[k] = FOR(combine)(a.part[k], FOR(map_##name)(row.part[k], c.part[k]));)            \
                }                                                                                                      \
                FOR(unit_store)(tile->lane + u * WIDTH, a);                                                            \
            }                                                                                                          \
    }                                                                                                                  \
    static const FOR(column_reducer) FOR(reduce_columns_##name) = {FOR(columns_##name), FOR(tiles_##combine)};
REDUCERS(DEFINE_COLUMNS)
#undef DEFINE_COLUMNS

/* As the tree of reducer_of.h, of tiles. What does not fit goes into its top one after the other. */
typedef struct FOR(tile_tree) {
    uint64_t count;
    FOR(tile) part[TILE_DEPTH];
} FOR(tile_tree);

static void FOR(tile_push)(FOR(tile_tree) * tree, const FOR(column_reducer) * r, FOR(tile) * value, int columns)
{
    int k = 0;
    uint64_t c = tree->count++;
    for (; (c & 1) && k < TILE_DEPTH - 1; c >>= 1, k++) {
        r->combine(&tree->part[k], value, columns);
        *value = tree->part[k];
    }
    if (c && k == TILE_DEPTH - 1)
        r->combine(&tree->part[k], value, columns);
    else
        tree->part[k] = *value;
}

static void FOR(tile_result)(const FOR(tile_tree) * tree, const FOR(column_reducer) * r, FOR(tile) * value, int columns)
{
    bool any = false;
    for (int k = 0; k < TILE_DEPTH; k++) {
        uint64_t c = tree->count >> k;
        if (!(k < TILE_DEPTH - 1 ? c & 1 : c))
            continue;
        FOR(tile) newer = *value;
        *value = tree->part[k];
        if (any)
            r->combine(value, &newer, columns);
        any = true;
    }
}

#undef VEC
#undef ELEM
#undef UNIT
#undef WIDTH
