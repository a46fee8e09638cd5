/* Knows the reducers of dtype T. Included once for each dtype T. */

#include "shifted_exp_of.h"

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

typedef struct FOR(reducer) {
    ELEM neutral;
    /* The next n elements of a block; a multiple of 2 WIDTH unless they are its last. */
    void (*take)(FOR(lanes) * lanes, int64_t n, const ELEM *x, ELEM c);
    ELEM (*fold)(const FOR(lanes) * lanes);
    ELEM (*combine)(ELEM a, ELEM b);
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
        UNIT x = FOR(unit_load_upto)(from, n);                                                                         \
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
        if (n > 0)                                                                                                     \
            even = FOR(join_some_##name)(even, x, n < WIDTH ? (int)n : WIDTH, c);                                      \
        if (n > WIDTH)                                                                                                 \
            odd = FOR(join_some_##name)(odd, x + WIDTH, (int)n - WIDTH, c);                                            \
        lanes->even = even;                                                                                            \
        lanes->odd = odd;                                                                                              \
    }                                                                                                                  \
    static const FOR(reducer) FOR(reduce_##name)                                                                       \
        __attribute__((unused)) = {(ELEM)(neutral), FOR(take_##name), FOR(fold_##combine), FOR(one_##combine)};
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

/* The sum of computed elements: the term is a unit of them from element i on, 0 where fewer than a unit are left. */
typedef UNIT FOR(term)(const void *source, int64_t i, int64_t left);

TAPE__INLINE ELEM FOR(sum_terms)(int64_t n, FOR(term) * term, const void *source)
{
    FOR(tree) tree;
    tree.count = 0;
    for (int64_t i = 0; i < n;) {
        FOR(lanes) lanes = FOR(no_lanes)(&FOR(reduce_sum));
        UNIT even = lanes.even, odd = lanes.odd;
        for (int64_t stop = n - i < BLOCK ? n : i + BLOCK; i < stop; i += 2 * WIDTH) {
            UNIT u = term(source, i, n - i);
            PARTWISE(even.part[k] += u.part[k];)
            if (i + WIDTH >= stop)
                continue;
            u = term(source, i + WIDTH, n - i - WIDTH);
            PARTWISE(odd.part[k] += u.part[k];)
        }
        lanes = (FOR(lanes)){even, odd};
        FOR(tree_push)(&tree, &FOR(reduce_sum), FOR(fold_add)(&lanes));
    }
    return FOR(tree_result)(&tree, &FOR(reduce_sum));
}

/* The sum of many units, one after the other: each level adds STEPS of the level below. */
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
        if (l == LEVELS - 1 || ++ladder->count[l] < STEPS)
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
