/* Knows units of dtype T: loads, stores, and the part of a unit at the end of a row. Included once for each dtype T. */

#define VEC FOR(vec)
#define ELEM FOR(elem)
#define UNIT FOR(unit)
#define LANES FOR(LANES)
#define WIDTH FOR(WIDTH)

enum { WIDTH = TAPE__UNIT_BYTES / (int)sizeof(ELEM) };

typedef struct UNIT {
    VEC part[PARTS];
} UNIT;

TAPE__INLINE UNIT FOR(unit_splat)(ELEM a)
{
    UNIT u;
    PARTWISE(u.part[k] = FOR(splat)(a);)
    return u;
}

TAPE__INLINE UNIT FOR(unit_load)(const ELEM *x)
{
    UNIT u;
    PARTWISE(u.part[k] = FOR(load)(x + k * LANES);)
    return u;
}

TAPE__INLINE void FOR(unit_store)(ELEM *x, UNIT u)
{
    PARTWISE(FOR(store)(x + k * LANES, u.part[k]);)
}

/* n < WIDTH elements, in copies of fixed size that need no library call. */
__attribute__((noinline, unused)) static void FOR(copy_some)(ELEM *to, const ELEM *from, int n)
{
#define COPY(size)                                                                                                     \
    if (n & (size)) {                                                                                                  \
        memcpy(to, from, (size) * sizeof(ELEM));                                                                       \
        to += (size);                                                                                                  \
        from += (size);                                                                                                \
    }
    COPY(8)
    COPY(4)
    COPY(2)
    COPY(1)
#undef COPY
}

/* For part k of a unit, a mask of the lanes below n. */
TAPE__INLINE FOR(mask) FOR(lanes_below)(int n, int k)
{
    FOR(mask) mask;
    memcpy(&mask, FOR(tape__first_lanes) + WIDTH - n + k * LANES, sizeof mask);
    return mask;
}

/* The first n < WIDTH lanes from x, the others 0. Nothing beyond is read. */
UNIT_INLINE UNIT FOR(unit_load_some)(const ELEM *x, int n)
{
    UNIT u;
#ifdef MASKED_LOAD
    PARTWISE(u.part[k] = FOR(masked_load)(x + k * LANES, FOR(lanes_below)(n, k));)
#else
    ELEM lane[WIDTH] = {0};
    FOR(copy_some)(lane, x, n);
    u = FOR(unit_load)(lane);
#endif
    return u;
}

UNIT_INLINE void FOR(unit_store_some)(ELEM *x, UNIT u, int n)
{
    ELEM lane[WIDTH];
    FOR(unit_store)(lane, u);
    FOR(copy_some)(x, lane, n);
}

/* The same for any n > 0: all lanes where there are as many. */
UNIT_INLINE UNIT FOR(unit_load_upto)(const ELEM *x, int64_t n)
{
    return n < WIDTH ? FOR(unit_load_some)(x, (int)n) : FOR(unit_load)(x);
}

UNIT_INLINE void FOR(unit_store_upto)(ELEM *x, UNIT u, int64_t n)
{
    if (n < WIDTH)
        FOR(unit_store_some)(x, u, (int)n);
    else
        FOR(unit_store)(x, u);
}

/* y must lie on a boundary of a unit. */
TAPE__INLINE void FOR(unit_stream)(ELEM *y, UNIT u)
{
#ifdef STREAM
    PARTWISE(STREAM(y + k * LANES, u.part[k]);)
#else
    FOR(unit_store)(y, u);
#endif
}

/* The first n lanes of u, or all where there are as many. */
UNIT_INLINE void FOR(unit_give)(ELEM *y, UNIT u, int64_t n, enum giving giving)
{
    if (giving == PAST_CACHE) {
        FOR(unit_stream)(y, u);
        return;
    }
    if (giving == ADD) {
        const UNIT v = FOR(unit_load_upto)(y, n);
        PARTWISE(u.part[k] += v.part[k];)
    }
    FOR(unit_store_upto)(y, u, n);
}

/* The first n lanes of u, the others `rest`. */
UNIT_INLINE UNIT FOR(unit_keep)(UNIT u, int n, ELEM rest)
{
    PARTWISE(u.part[k] = FOR(sel)(FOR(lanes_below)(n, k), u.part[k], FOR(splat)(rest));)
    return u;
}

#undef VEC
#undef ELEM
#undef UNIT
#undef LANES
#undef WIDTH
