/* Knows the mathematical functions on vectors: the library's, with the repairs that its special values need, and a few
   made of them. Included once for each dtype T. */

#define VEC FOR(vec)
#define MASK FOR(mask)
#define NUMBER(single, dual) FOR(splat)(sizeof(FOR(elem)) == 4 ? (FOR(elem))(single) : (FOR(elem))(dual))

static inline VEC FOR(abs)(VEC a)
{
    return (VEC)((MASK)a & ~(MASK)FOR(splat)(-(FOR(elem))0));
}

static inline VEC FOR(copysign)(VEC a, VEC b)
{
    const MASK sign = (MASK)FOR(splat)(-(FOR(elem))0);
    return (VEC)(((MASK)a & ~sign) | ((MASK)b & sign));
}

static inline MASK FOR(isnan)(VEC a)
{
    return (MASK)(a != a);
}

/* NaN has sign 0, as in PyTorch. */
static inline VEC FOR(sign)(VEC a)
{
    const VEC zero = FOR(splat)(0), one = FOR(splat)(1);
    return FOR(sel)((MASK)(a > zero), one, FOR(sel)((MASK)(a < zero), -one, zero));
}

#include "vec_own.h"

#define PLAIN1(name)                                                                                                   \
    static inline VEC FOR(name)(VEC a)                                                                                 \
    {                                                                                                                  \
        return FOR(math_##name)(a);                                                                                    \
    }
#define PLAIN2(name)                                                                                                   \
    static inline VEC FOR(name)(VEC a, VEC b)                                                                          \
    {                                                                                                                  \
        return FOR(math_##name)(a, b);                                                                                 \
    }
PLAIN1(exp2)
PLAIN1(expm1)
PLAIN1(log2)
PLAIN1(log10)
PLAIN1(tan)
PLAIN1(asin)
PLAIN1(acos)
PLAIN1(atan)
PLAIN1(atanh)
PLAIN1(erf)
PLAIN1(erfc)
PLAIN1(cbrt)
PLAIN2(atan2)
PLAIN2(hypot)
#undef PLAIN1
#undef PLAIN2

/* The repairs below are for SLEEF, which gives inf where these results are still finite; on the C library they cost a
   comparison and change nothing that matters. They are rare: the edges of exp and log, which serve every number, are
   called rather than inlined once more. */

static inline VEC FOR(asinh)(VEC a)
{
    VEC y = FOR(math_asinh)(a), size = FOR(abs)(a);
    MASK big = (MASK)(size > NUMBER(0x1p50, 0x1p500));
    if (!FOR(any)(big))
        return y;
    return FOR(sel)(big, FOR(copysign)(FOR(log_edge)(size) + FOR(splat)((FOR(elem))0.693147180559945309), a), y);
}

static inline VEC FOR(acosh)(VEC a)
{
    VEC y = FOR(math_acosh)(a);
    MASK big = (MASK)(a > NUMBER(0x1p50, 0x1p500));
    if (!FOR(any)(big))
        return y;
    return FOR(sel)(big, FOR(log_edge)(a) + FOR(splat)((FOR(elem))0.693147180559945309), y);
}

/* exp(a) / 2 for large a, where exp(a) may overflow: a - 1 is exact there. */
static inline VEC FOR(half_exp)(VEC a)
{
    return FOR(exp_edge)(a - FOR(splat)(1)) * FOR(splat)((FOR(elem))1.35914091422952261768);
}

static inline VEC FOR(sinh)(VEC a)
{
    VEC y = FOR(math_sinh)(a), size = FOR(abs)(a);
    MASK big = (MASK)(size > NUMBER(88, 709));
    return FOR(any)(big) ? FOR(sel)(big, FOR(copysign)(FOR(half_exp)(size), a), y) : y;
}

static inline VEC FOR(cosh)(VEC a)
{
    VEC y = FOR(math_cosh)(a), size = FOR(abs)(a);
    MASK big = (MASK)(size > NUMBER(88, 709));
    return FOR(any)(big) ? FOR(sel)(big, FOR(half_exp)(size), y) : y;
}

/* SLEEF gives NaN where the quotient is huge or the divisor subnormal; the C library's is exact everywhere. */
static inline VEC FOR(fmod)(VEC a, VEC b)
{
    VEC divisor = FOR(abs)(b);
    MASK fine = (MASK)(FOR(abs)(a) < divisor * FOR(splat)(0x1p20)) & (MASK)(divisor > NUMBER(0x1p-100, 0x1p-1000));
    if (FOR(all)(fine))
        return FOR(math_fmod)(a, b);
    for (int i = 0; i < FOR(LANES); i++)
        a[i] = (FOR(elem))fmod(a[i], b[i]);
    return a;
}

static inline VEC FOR(recip)(VEC a)
{
    return FOR(splat)(1) / a;
}

static inline VEC FOR(rsqrt)(VEC a)
{
    return FOR(splat)(1) / FOR(sqrt)(a);
}

/* 1 / (1 + exp(-a)), which keeps its relative precision where it is tiny. */
static inline VEC FOR(sigmoid)(VEC a)
{
    const VEC one = FOR(splat)(1);
    VEC e = FOR(exp)(-FOR(abs)(a));
    return FOR(sel)((MASK)(a < FOR(splat)(0)), e, one) / (one + e);
}

#undef VEC
#undef MASK
#undef NUMBER
