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
    static inline vec_##T sqrt_##T(vec_##T a)                                                                          \
    {                                                                                                                  \
        return _mm_sqrt_##s(a);                                                                                        \
    }
TAPE__NATIVE(f32, ps)
TAPE__NATIVE(f64, pd)
#undef TAPE__NATIVE

#define T f32
#include "vec_round.h"
#undef T
#define T f64
#include "vec_round.h"
#undef T
