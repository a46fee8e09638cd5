/* Knows the reducers of dtype T. Included once for each dtype T, by reduce.c alone: other files see them through
   reducer_of.h. */

#if TAPE__COMPACT
#include "shifted_exp_of.h"
#endif

#define VEC FOR(vec)
#define ELEM FOR(elem)
#define UNIT FOR(unit)
#define WIDTH FOR(WIDTH)

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
    return FOR(max)(FOR(splat)(a), FOR(splat)(b))[0];
}

static inline ELEM FOR(one_min)(ELEM a, ELEM b)
{
    return FOR(min)(FOR(splat)(a), FOR(splat)(b))[0];
}

static inline ELEM FOR(one_add)(ELEM a, ELEM b)
{
    return a + b;
}

static inline ELEM FOR(one_mul)(ELEM a, ELEM b)
{
    return a * b;
}

#define DEFINE_JOIN(name, map, combine, neutral, padding)                                                              \
    TAPE__INLINE VEC FOR(join_##name)(VEC a, VEC x, VEC c)                                                             \
    {                                                                                                                  \
        (void)c;                                                                                                       \
        return FOR(combine)(a, map);                                                                                   \
    }
REDUCERS(DEFINE_JOIN)
#undef DEFINE_JOIN

#if TAPE__COMPACT
/* A call for each unit. */
#define DEFINE_REDUCER(name, map, combine, neutral, padding)                                                           \
    static void FOR(unit_##name)(UNIT * a, const ELEM *x, const UNIT *c)                                               \
    {                                                                                                                  \
        PARTWISE(a->part[k] = FOR(join_##name)(a->part[k], FOR(load)(x + k * FOR(LANES)), c->part[k]);)                \
    }
REDUCERS(DEFINE_REDUCER)
#undef DEFINE_REDUCER

const FOR(reducer) FOR(reducers)[REDUCER_COUNT] = {
#define ROW(name, map, combine, neutral, padding)                                                                      \
    [REDUCER_##name] = {(ELEM)(neutral), (ELEM)(padding), FOR(unit_##name), FOR(one_##combine)},
    REDUCERS(ROW)
#undef ROW
};

static void FOR(take_units)(const FOR(reducer) * r, FOR(lanes) * lanes, int64_t n, const ELEM *x, const ELEM *last,
                            ELEM constant)
{
    const UNIT c = FOR(unit_splat)(constant);
    for (;; n = 2 * WIDTH, x = last, last = NULL) {
        for (; n > 0; n -= 2 * WIDTH, x += 2 * WIDTH) {
            r->join(&lanes->even, x, &c);
            r->join(&lanes->odd, x + WIDTH, &c);
        }
        if (!last)
            return;
    }
}

ELEM FOR(reduce_fold)(const FOR(reducer) * r, const FOR(lanes) * lanes)
{
    ELEM lane[2 * WIDTH];
    memcpy(lane, lanes, sizeof lane);
    for (int half = WIDTH; half; half /= 2)
        for (int l = 0; l < half; l++)
            lane[l] = r->combine(lane[l], lane[l + half]);
    return lane[0];
}
#else
#define DEFINE_FOLD(combine)                                                                                           \
    static ELEM FOR(fold_##combine)(const FOR(lanes) * lanes)                                                          \
    {                                                                                                                  \
        ELEM lane[WIDTH];                                                                                              \
        VEC part[PARTS];                                                                                               \
        PARTWISE(part[k] = FOR(combine)(lanes->even.part[k], lanes->odd.part[k]);)                                     \
        for (int half = PARTS / 2; half; half /= 2)                                                                    \
            for (int k = 0; k < half; k++)                                                                             \
                part[k] = FOR(combine)(part[k], part[k + half]);                                                       \
        FOR(store)(lane, part[0]);                                                                                     \
        UNROLLED                                                                                                       \
        for (int half = FOR(LANES) / 2; half; half /= 2)                                                               \
            UNROLLED                                                                                                   \
        for (int l = 0; l < half; l++)                                                                                 \
            lane[l] = FOR(one_##combine)(lane[l], lane[l + half]);                                                     \
        return lane[0];                                                                                                \
    }
DEFINE_FOLD(add)
DEFINE_FOLD(mul)
DEFINE_FOLD(max)
DEFINE_FOLD(min)
#undef DEFINE_FOLD

/* The expansion for `sum` in f32, with the units' parts written out:
     take_sum_f32(lanes, n, x, last, c): for each 32 elements: even += x[0..15], odd += x[16..31]; the same for last. */
#define DEFINE_REDUCER(name, map, combine, neutral, padding)                                                           \
    static void FOR(take_##name)(FOR(lanes) * lanes, int64_t n, const ELEM *x, const ELEM *last, ELEM constant)        \
    {                                                                                                                  \
        const VEC c = FOR(splat)(constant);                                                                            \
        FOR(lanes) l = *lanes;                                                                                         \
        for (;; n = 2 * WIDTH, x = last, last = NULL) {                                                                \
            for (; n > 0; n -= 2 * WIDTH, x += 2 * WIDTH) {                                                            \
                PARTWISE(l.even.part[k] = FOR(join_##name)(l.even.part[k], FOR(load)(x + k * FOR(LANES)), c);          \
                         l.odd.part[k] = FOR(join_##name)(l.odd.part[k], FOR(load)(x + WIDTH + k * FOR(LANES)), c);)   \
            }                                                                                                          \
            if (!last)                                                                                                 \
                break;                                                                                                 \
        }                                                                                                              \
        *lanes = l;                                                                                                    \
    }
REDUCERS(DEFINE_REDUCER)
#undef DEFINE_REDUCER

const FOR(reducer) FOR(reducers)[REDUCER_COUNT] = {
#define ROW(name, map, combine, neutral, padding)                                                                      \
    [REDUCER_##name] = {(ELEM)(neutral), (ELEM)(padding), FOR(take_##name), FOR(fold_##combine), FOR(one_##combine)},
    REDUCERS(ROW)
#undef ROW
};

TAPE__INLINE void FOR(take_units)(const FOR(reducer) * r, FOR(lanes) * lanes, int64_t n, const ELEM *x,
                                  const ELEM *last, ELEM constant)
{
    r->take(lanes, n, x, last, constant);
}
#endif

/* Any number of elements: the last two units are filled up. A constant that is not finite decides what the real
   elements become, whatever the padding does. */
static void FOR(take_all)(const FOR(reducer) * r, FOR(lanes) * lanes, int64_t n, const ELEM *x, ELEM c)
{
    const int rest = (int)(n % (2 * WIDTH)), even = rest < WIDTH ? rest : WIDTH, odd = rest - even;
    if (rest == 0) {
        FOR(take_units)(r, lanes, n, x, NULL, c);
        return;
    }
    const ELEM pad = r->padding == r->padding ? r->padding : c - c == 0 ? c : 0, *end = x + n - rest;
    UNIT last[2];
    last[0] = FOR(unit_keep)(FOR(unit_load_upto)(end, even), even, pad);
    last[1] = FOR(unit_keep)(FOR(unit_load_upto)(end + even, odd), odd, pad);
    FOR(take_units)(r, lanes, n - rest, x, (const ELEM *)last, c);
}

/* The sums of some blocks at once: memory brings several streams sooner than one. */
static void FOR(push_sums)(FOR(tree) * tree, const FOR(reducer) * sum, const ELEM *x)
{
    FOR(lanes) l[TOGETHER];
    memset(l, 0, sizeof l);
    for (int64_t i = 0; i < BLOCK; i += 2 * WIDTH) {
#define ADD_PART(b)                                                                                                    \
    PARTWISE(const ELEM *from = x + (b)*BLOCK + i + k * FOR(LANES); l[b].even.part[k] += FOR(load)(from);              \
             l[b].odd.part[k] += FOR(load)(from + WIDTH);)
        ADD_PART(0)
        ADD_PART(1)
        ADD_PART(2)
        ADD_PART(3)
#undef ADD_PART
    }
    for (int b = 0; b < TOGETHER; b++)
        FOR(tree_push)(tree, sum, FOR(reduce_fold)(sum, &l[b]));
}

ELEM FOR(reduce_run)(const FOR(reducer) * r, int64_t n, const ELEM *x, ELEM c)
{
    FOR(tree) tree;
    tree.count = 0;
    if (r == &FOR(reducers)[REDUCER_sum])
        for (; n > TOGETHER * BLOCK; n -= TOGETHER * BLOCK, x += TOGETHER * BLOCK)
            FOR(push_sums)(&tree, r, x);
    for (;; n -= BLOCK, x += BLOCK) {
        FOR(lanes) lanes = FOR(no_lanes)(r);
        FOR(take_all)(r, &lanes, n < BLOCK ? n : BLOCK, x, c);
        ELEM value = FOR(reduce_fold)(r, &lanes);
        if (n <= BLOCK && !tree.count)
            return value;
        FOR(tree_push)(&tree, r, value);
        if (n <= BLOCK)
            return FOR(tree_result)(&tree, r);
    }
}

#undef VEC
#undef ELEM
#undef UNIT
#undef WIDTH
