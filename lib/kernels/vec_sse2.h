/* Knows SSE2: what vec.h needs of it. */
typedef __m128 vec_f32;
typedef __m128d vec_f64;
typedef int32_t mask_f32 __attribute__((vector_size(16)));
typedef int64_t mask_f64 __attribute__((vector_size(16)));

#define TAPE__SLEEF_F32(name, accuracy) Sleef_cinz_##name##f4_##accuracy##sse2
#define TAPE__SLEEF_F64(name, accuracy) Sleef_cinz_##name##d2_##accuracy##sse2

#define TAPE__NATIVE(T, s)                                                                                             \
    static inline vec_##T splat_##T(elem_##T a)                                                                        \
    {                                                                                                                  \
        return _mm_set1_##s(a);                                                                                        \
    }                                                                                                                  \
    static inline int any_##T(mask_##T m)                                                                              \
    {                                                                                                                  \
        return _mm_movemask_##s((vec_##T)m) != 0;                                                                      \
    }                                                                                                                  \
    static inline int all_##T(mask_##T m)                                                                              \
    {                                                                                                                  \
        return _mm_movemask_##s((vec_##T)m) == (1 << sizeof m / sizeof(elem_##T)) - 1;                                 \
    }                                                                                                                  \
    static inline vec_##T lesser_##T(vec_##T a, vec_##T b)                                                             \
    {                                                                                                                  \
        return _mm_min_##s(a, b);                                                                                      \
    }                                                                                                                  \
    static inline vec_##T greater_##T(vec_##T a, vec_##T b)                                                            \
    {                                                                                                                  \
        return _mm_max_##s(a, b);                                                                                      \
    }                                                                                                                  \
    static inline vec_##T sqrt_##T(vec_##T a)                                                                          \
    {                                                                                                                  \
        return _mm_sqrt_##s(a);                                                                                        \
    }
TAPE__NATIVE(f32, ps)
TAPE__NATIVE(f64, pd)
#undef TAPE__NATIVE

/* The halves of a vector in twice the precision, and a vector of two such. */
static inline vec_f64 low_half(vec_f32 a)
{
    return _mm_cvtps_pd(a);
}

static inline vec_f64 high_half(vec_f32 a)
{
    return _mm_cvtps_pd(_mm_movehl_ps(a, a));
}

static inline vec_f32 narrow(vec_f64 low, vec_f64 high)
{
    return _mm_movelh_ps(_mm_cvtpd_ps(low), _mm_cvtpd_ps(high));
}

#define T f32
#include "vec_round.h"
#undef T
#define T f64
#include "vec_round.h"
#undef T
