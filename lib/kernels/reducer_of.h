/* Knows the reducers of dtype T. Included once for each dtype T. */

#define VEC FOR(vec)
#define ELEM FOR(elem)
#define UNIT FOR(unit)
#define WIDTH FOR(WIDTH)

/* Where a NaN meets a number, the NaN stays. */
TAPE__INLINE VEC FOR(max)(VEC a, VEC b)
{
    return FOR(sel)((FOR(mask))(b > a) | FOR(isnan)(b), b, a);
}

TAPE__INLINE VEC FOR(min)(VEC a, VEC b)
{
    return FOR(sel)((FOR(mask))(b < a) | FOR(isnan)(b), b, a);
}

TAPE__INLINE VEC FOR(add)(VEC a, VEC b)
{
    return a + b;
}

TAPE__INLINE VEC FOR(mul)(VEC a, VEC b)
{
    return a * b;
}

static inline ELEM FOR(one_max)(ELEM a, ELEM b)
{
    return b > a || b != b ? b : a;
}

static inline ELEM FOR(one_min)(ELEM a, ELEM b)
{
    return b < a || b != b ? b : a;
}

static inline ELEM FOR(one_add)(ELEM a, ELEM b)
{
    return a + b;
}

static inline ELEM FOR(one_mul)(ELEM a, ELEM b)
{
    return a * b;
}

/* What is known so far of a block: two units of partial results. */
typedef struct FOR(lanes) {
    UNIT even, odd;
} FOR(lanes);

/* A tile of columns: the partial results of up to TILE units of columns. The last unit of a tile that is not narrower
   than a unit ends with the tile's last column, and so may repeat some of the unit before it. */
typedef struct FOR(tile) {
    UNIT unit[TILE];
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

typedef struct FOR(reducer) {
    ELEM neutral;
    /* The next n elements of a block; a multiple of 2 WIDTH unless they are its last. */
    void (*take)(FOR(lanes) * lanes, int64_t n, const ELEM *x, ELEM c);
    ELEM (*fold)(const FOR(lanes) * lanes);
    ELEM (*combine)(ELEM a, ELEM b);
    /* `rows` rows of a tile of columns, row r at x + offset[r]. */
    void (*take_rows)(FOR(tile) * tile, int columns, int rows, const ELEM *x, const int64_t *offset,
                      const FOR(tile) * c);
    void (*combine_tiles)(FOR(tile) * a, const FOR(tile) * b);
} FOR(reducer);

#define DEFINE_FOLD(combine)                                                                                           \
    static ELEM FOR(fold_##combine)(const FOR(lanes) * lanes)                                                          \
    {                                                                                                                  \
        ELEM lane[WIDTH];                                                                                              \
        UNIT u = lanes->even;                                                                                          \
        PARTWISE(u.part[k] = FOR(combine)(u.part[k], lanes->odd.part[k]);)                                             \
        for (int half = PARTS / 2; half; half /= 2)                                                                    \
            for (int part = 0; part < half; part++)                                                                    \
                u.part[part] = FOR(combine)(u.part[part], u.part[part + half]);                                        \
        FOR(store)(lane, u.part[0]);                                                                                   \
        for (int half = FOR(LANES) / 2; half; half /= 2)                                                               \
            for (int l = 0; l < half; l++)                                                                             \
                lane[l] = FOR(one_##combine)(lane[l], lane[l + half]);                                                 \
        return lane[0];                                                                                                \
    }                                                                                                                  \
    static void FOR(tiles_##combine)(FOR(tile) * a, const FOR(tile) * b)                                               \
    {                                                                                                                  \
        for (int u = 0; u < TILE; u++) {                                                                               \
            PARTWISE(a->unit[u].part[k] = FOR(combine)(a->unit[u].part[k], b->unit[u].part[k]);)                       \
        }                                                                                                              \
    }
DEFINE_FOLD(add)
DEFINE_FOLD(mul)
DEFINE_FOLD(max)
DEFINE_FOLD(min)
#undef DEFINE_FOLD

/* The expansion for `sum` in f32, with the units' parts written out:
     take_sum_f32(lanes, n, x, c): for each 32 elements: even += x[0..15], odd += x[16..31]; then what is left. */
#define DEFINE_REDUCER(name, map, combine, neutral)                                                                    \
    TAPE__INLINE VEC FOR(map_##name)(VEC x, VEC c)                                                                     \
    {                                                                                                                  \
        (void)c;                                                                                                       \
        return map;                                                                                                    \
    }                                                                                                                  \
    TAPE__INLINE UNIT FOR(join_##name)(UNIT a, UNIT x, VEC c)                                                          \
    {                                                                                                                  \
        PARTWISE(a.part[k] = FOR(combine)(a.part[k], FOR(map_##name)(x.part[k], c));)                                  \
        return a;                                                                                                      \
    }                                                                                                                  \
    TAPE__INLINE UNIT FOR(join_some_##name)(UNIT a, const ELEM *from, int n, VEC c)                                    \
    {                                                                                                                  \
        UNIT x = FOR(unit_load_some)(from, n);                                                                         \
        PARTWISE(x.part[k] = FOR(map_##name)(x.part[k], c);)                                                           \
        x = FOR(unit_keep)(x, n, (ELEM)(neutral));                                                                     \
        PARTWISE(a.part[k] = FOR(combine)(a.part[k], x.part[k]);)                                                      \
        return a;                                                                                                      \
    }                                                                                                                  \
    static void FOR(take_##name)(FOR(lanes) * lanes, int64_t n, const ELEM *x, ELEM constant)                          \
    {                                                                                                                  \
        const VEC c = FOR(splat)(constant);                                                                            \
        UNIT even = lanes->even, odd = lanes->odd;                                                                     \
        for (; n >= 2 * WIDTH; n -= 2 * WIDTH, x += 2 * WIDTH) {                                                       \
            even = FOR(join_##name)(even, FOR(unit_load)(x), c);                                                       \
            odd = FOR(join_##name)(odd, FOR(unit_load)(x + WIDTH), c);                                                 \
        }                                                                                                              \
        if (n > WIDTH)                                                                                                 \
            odd = FOR(join_some_##name)(odd, x + WIDTH, (int)n - WIDTH, c);                                            \
        if (n >= WIDTH)                                                                                                \
            even = FOR(join_##name)(even, FOR(unit_load)(x), c);                                                       \
        else if (n > 0)                                                                                                \
            even = FOR(join_some_##name)(even, x, (int)n, c);                                                          \
        lanes->even = even;                                                                                            \
        lanes->odd = odd;                                                                                              \
    }                                                                                                                  \
    static void FOR(rows_##name)(FOR(tile) * tile, int columns, int rows, const ELEM *x, const int64_t *offset,        \
                                 const FOR(tile) * constants)                                                          \
    {                                                                                                                  \
        for (int u = 0; u * WIDTH < columns; u++) {                                                                    \
            const ELEM *column = x + FOR(first_column)(u, columns);                                                    \
            UNIT a = tile->unit[u];                                                                                    \
            const UNIT c = constants->unit[u];                                                                         \
            for (int r = 0; r < rows; r++) {                                                                           \
                const ELEM *row = column + offset[r];                                                                  \
                UNIT m = columns < WIDTH ? FOR(unit_load_some)(row, columns) : FOR(unit_load)(row);                    \
                PARTWISE(a.part[k] = FOR(combine)(a.part[k], FOR(map_##name)(m.part[k], c.part[k]));)                  \
            }                                                                                                          \
            tile->unit[u] = a;                                                                                         \
        }                                                                                                              \
    }                                                                                                                  \
    static const FOR(reducer) FOR(reduce_##name)                                                                       \
        __attribute__((unused)) = {(ELEM)(neutral),    FOR(take_##name), FOR(fold_##combine),                          \
                                   FOR(one_##combine), FOR(rows_##name), FOR(tiles_##combine)};
REDUCERS(DEFINE_REDUCER)
#undef DEFINE_REDUCER

TAPE__INLINE FOR(lanes) FOR(no_lanes)(const FOR(reducer) * r)
{
    UNIT u = FOR(unit_splat)(r->neutral);
    return (FOR(lanes)){u, u};
}

/* The results of 2^k blocks at part[k], for each bit k of count. */
typedef struct FOR(tree) {
    uint64_t count;
    ELEM part[TREE_DEPTH];
} FOR(tree);

static inline void FOR(tree_push)(FOR(tree) * tree, const FOR(reducer) * r, ELEM value)
{
    int k = 0;
    for (uint64_t c = tree->count++; c & 1; c >>= 1)
        value = r->combine(tree->part[k++], value);
    tree->part[k] = value;
}

static inline ELEM FOR(tree_result)(const FOR(tree) * tree, const FOR(reducer) * r)
{
    if (!tree->count)
        return r->neutral;
    int k = 0;
    uint64_t c = tree->count;
    for (; !(c & 1); c >>= 1)
        k++;
    ELEM value = tree->part[k];
    while (c >>= 1)
        if (k++, c & 1)
            value = r->combine(tree->part[k], value);
    return value;
}

/* A run that lies in memory element by element. */
static inline ELEM FOR(reduce_run)(const FOR(reducer) * r, int64_t n, const ELEM *x, ELEM c)
{
    FOR(tree) tree;
    tree.count = 0;
    for (;; n -= BLOCK, x += BLOCK) {
        FOR(lanes) lanes = FOR(no_lanes)(r);
        r->take(&lanes, n < BLOCK ? n : BLOCK, x, c);
        ELEM value = r->fold(&lanes);
        if (n <= BLOCK && !tree.count)
            return value;
        FOR(tree_push)(&tree, r, value);
        if (n <= BLOCK)
            return FOR(tree_result)(&tree, r);
    }
}

/* A run that is computed piece by piece: fill() puts its elements [begin, begin + n) into the buffer. */
typedef void FOR(fill)(const void *source, int64_t begin, int64_t n, ELEM *buffer);

static inline ELEM FOR(reduce_filled)(const FOR(reducer) * r, int64_t n, FOR(fill) * fill, const void *source)
{
    FOR(tree) tree;
    tree.count = 0;
    for (int64_t begin = 0; begin < n;) {
        FOR(lanes) lanes = FOR(no_lanes)(r);
        for (int64_t stop = n - begin < BLOCK ? n : begin + BLOCK; begin < stop;) {
            ELEM buffer[PIECE];
            int64_t count = stop - begin < PIECE ? stop - begin : PIECE;
            fill(source, begin, count, buffer);
            r->take(&lanes, count, buffer, 0);
            begin += count;
        }
        FOR(tree_push)(&tree, r, r->fold(&lanes));
    }
    return FOR(tree_result)(&tree, r);
}

/* The sum of many units, one after the other: each level adds ROWS of the level below. */
typedef struct FOR(ladder) {
    UNIT level[LEVELS];
    int count[LEVELS];
} FOR(ladder);

static inline void FOR(ladder_clear)(FOR(ladder) * ladder)
{
    memset(ladder, 0, sizeof *ladder);
}

static inline void FOR(ladder_add)(FOR(ladder) * ladder, UNIT u)
{
    for (int l = 0;; l++) {
        PARTWISE(ladder->level[l].part[k] += u.part[k];)
        if (l == LEVELS - 1 || ++ladder->count[l] < ROWS)
            return;
        u = ladder->level[l];
        ladder->level[l] = FOR(unit_splat)(0);
        ladder->count[l] = 0;
    }
}

static inline UNIT FOR(ladder_sum)(const FOR(ladder) * ladder)
{
    UNIT u = ladder->level[0];
    for (int l = 1; l < LEVELS; l++) {
        PARTWISE(u.part[k] += ladder->level[l].part[k];)
    }
    return u;
}

#undef VEC
#undef ELEM
#undef UNIT
#undef WIDTH
