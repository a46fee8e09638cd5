/* Knows what the reducers of dtype T look like, and sums of computed elements. Included once for each dtype T. */

#if !TAPE__COMPACT
#include "shifted_exp_of.h"
#endif

#define VEC FOR(vec)
#define ELEM FOR(elem)
#define UNIT FOR(unit)
#define WIDTH FOR(WIDTH)

#if TAPE__COMPACT
/* Of shifted_exp_of.h; reduce.c has it for all. */
VEC FOR(shifted_exp)(VEC x);
#endif

/* The logarithms of some vectors, by the kernel. */
static inline void FOR(logarithm)(VEC *x, int vectors)
{
    const int dtype = sizeof(ELEM) == sizeof(float) ? TAPE_F32 : TAPE_F64;
    const size_t n = (size_t)(vectors * FOR(LANES));
    TAPE__ISA_SYM(tape__ewise).value[TAPE__EW_log][dtype](n, x, (const void *const[]){x}, NULL);
}

/* Where a NaN meets a number, the NaN stays. */
TAPE__INLINE VEC FOR(max)(VEC a, VEC b)
{
    return FOR(sel)((FOR(mask))(b > a) | FOR(isnan)(b), b, a);
}

TAPE__INLINE VEC FOR(min)(VEC a, VEC b)
{
    return FOR(sel)((FOR(mask))(b < a) | FOR(isnan)(b), b, a);
}

/* What is known so far of a block: two units of partial results. */
typedef struct FOR(lanes) {
    UNIT even, odd;
} FOR(lanes);

typedef struct FOR(reducer) {
    ELEM neutral, padding;
#if TAPE__COMPACT
    /* The next unit, by lane, given a constant for each. */
    void (*join)(UNIT *a, const ELEM *x, const UNIT *c);
#else
    /* The next n elements of a block, a multiple of 2 WIDTH, and unless it is NULL 2 WIDTH at last. */
    void (*take)(FOR(lanes) * lanes, int64_t n, const ELEM *x, const ELEM *last, ELEM c);
    ELEM (*fold)(const FOR(lanes) * lanes);
#endif
    ELEM (*combine)(ELEM a, ELEM b);
} FOR(reducer);

/* reduce.c defines them. */
extern const FOR(reducer) FOR(reducers)[REDUCER_COUNT];

/* A run that lies in memory element by element. */
ELEM FOR(reduce_run)(const FOR(reducer) * r, int64_t n, const ELEM *x, ELEM c);

/* The lanes' result, in halves: of the two units, then of what is left. */
#if TAPE__COMPACT
ELEM FOR(reduce_fold)(const FOR(reducer) * r, const FOR(lanes) * lanes);
#else
TAPE__INLINE ELEM FOR(reduce_fold)(const FOR(reducer) * r, const FOR(lanes) * lanes)
{
    return r->fold(lanes);
}
#endif

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

/* The sum of computed elements: the term is a unit of them from element i on, 0 where fewer than a unit are left. */
typedef UNIT FOR(term)(const void *source, int64_t i, int64_t left);

UNIT_INLINE ELEM FOR(sum_terms)(int64_t n, FOR(term) * term, const void *source)
{
    const FOR(reducer) *sum = &FOR(reducers)[REDUCER_sum];
    FOR(tree) tree;
    tree.count = 0;
    for (int64_t i = 0; i < n;) {
        UNIT even = FOR(unit_splat)(0), odd = even;
        for (int64_t stop = n - i < BLOCK ? n : i + BLOCK; i < stop; i += 2 * WIDTH) {
            UNIT u = term(source, i, n - i);
            PARTWISE(even.part[k] += u.part[k];)
            if (i + WIDTH >= stop)
                continue;
            u = term(source, i + WIDTH, n - i - WIDTH);
            PARTWISE(odd.part[k] += u.part[k];)
        }
        FOR(tree_push)(&tree, sum, FOR(reduce_fold)(sum, &(FOR(lanes)){even, odd}));
    }
    return FOR(tree_result)(&tree, sum);
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
