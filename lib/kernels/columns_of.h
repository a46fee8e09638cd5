/* Knows how a few rows become one, in tiles of columns, for dtype T; it does not know of shapes or threads. Each column
   is combined one element after the other. Included once for each dtype T. */

#define VEC FOR(vec)
#define ELEM FOR(elem)
#define UNIT FOR(unit)
#define WIDTH FOR(WIDTH)

static inline int FOR(first_column)(int unit, int columns)
{
    int first = unit * WIDTH, last = columns - WIDTH;
    return first <= last ? first : last;
}

#if TAPE__COMPACT
static void FOR(columns_of)(int reducer, ELEM *tile, int columns, int rows, const ELEM *const *row,
                            const ELEM *constants)
{
    const FOR(reducer) *r = &FOR(reducers)[reducer];
    for (int u = 0; u * WIDTH < columns; u++) {
        UNIT a = FOR(unit_splat)(r->neutral);
        const UNIT c = constants ? FOR(unit_load)(constants + u * WIDTH) : FOR(unit_splat)(0);
        for (int s = 0; s < rows; s++)
            r->join(&a, row[s] + FOR(first_column)(u, columns), &c);
        FOR(unit_store)(tile + u * WIDTH, a);
    }
}
#else
/* A few rows at a time, so that a lane of the tile is read and written once for each of those. */
#define DEFINE_COLUMNS(name, map, combine, neutral, padding)                                                           \
    static void FOR(columns_##name)(ELEM * tile, int columns, int rows, const ELEM *const *row, const ELEM *constants) \
    {                                                                                                                  \
        int r = 0;                                                                                                     \
        do {                                                                                                           \
            for (int u = 0; u * WIDTH < columns; u++) {                                                                \
                const int first = FOR(first_column)(u, columns);                                                       \
                ELEM *to = tile + u * WIDTH;                                                                           \
                UNIT a, c;                                                                                             \
                PARTWISE(a.part[k] = r ? FOR(load)(to + k * FOR(LANES)) : FOR(splat)((ELEM)(neutral));)                \
                PARTWISE(c.part[k] = constants ? FOR(load)(constants + u * WIDTH + k * FOR(LANES)) : FOR(splat)(0);)   \
                for (int s = r; s < rows && s < r + FEW_ROWS; s++) {                                                   \
                    const ELEM *x = row[s] + first;                                                                    \
                    PARTWISE(a.part[k] = FOR(join_##name)(a.part[k], FOR(load)(x + k * FOR(LANES)), c.part[k]);)       \
                }                                                                                                      \
                PARTWISE(FOR(store)(to + k * FOR(LANES), a.part[k]);)                                                  \
            }                                                                                                          \
            r += FEW_ROWS;                                                                                             \
        } while (r < rows);                                                                                            \
    }
REDUCERS(DEFINE_COLUMNS)
#undef DEFINE_COLUMNS

static void FOR(columns_of)(int reducer, ELEM *tile, int columns, int rows, const ELEM *const *row,
                            const ELEM *constants)
{
    static void (*const of[])(ELEM *, int, int, const ELEM *const *, const ELEM *) = {
#define ROW(name, map, combine, neutral, padding) FOR(columns_##name),
        REDUCERS(ROW)
#undef ROW
    };
    of[reducer](tile, columns, rows, row, constants);
}
#endif

static void FOR(columns)(int reducer, void *tile, int columns, int rows, const void *const *row, const void *c)
{
    const ELEM *whole[TAPE__REDUCE_ROWS];
    UNIT wide[TAPE__REDUCE_ROWS];
    for (int r = 0; r < rows; r++)
        whole[r] = row[r];
    for (int r = 0; columns < WIDTH && r < rows; r++) {
        wide[r] = FOR(unit_load_some)(row[r], columns);
        whole[r] = (const ELEM *)&wide[r];
    }
    FOR(columns_of)(reducer, tile, columns < WIDTH ? WIDTH : columns, rows, whole, c);
}

#undef VEC
#undef ELEM
#undef UNIT
#undef WIDTH
