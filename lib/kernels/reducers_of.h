/* Knows the reducers of dtype T. Included once for each dtype T, by reduce.c alone: other files see them through
   reducer_of.h. */

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
    }
REDUCERS(DEFINE_REDUCER)
#undef DEFINE_REDUCER

const FOR(reducer) FOR(reducers)[REDUCER_COUNT] = {
#define ROW(name, map, combine, neutral)                                                                               \
    [REDUCER_##name] = {(ELEM)(neutral), FOR(take_##name), FOR(fold_##combine), FOR(one_##combine)},
    REDUCERS(ROW)
#undef ROW
};

ELEM FOR(reduce_run)(const FOR(reducer) * r, int64_t n, const ELEM *x, ELEM c)
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

#undef VEC
#undef ELEM
#undef UNIT
#undef WIDTH
