/* Knows no instruction set: what vec.h needs, in the compiler's portable vectors of 16 bytes. */
typedef float vec_f32 __attribute__((vector_size(16)));
typedef double vec_f64 __attribute__((vector_size(16)));
typedef int32_t mask_f32 __attribute__((vector_size(16)));
typedef int64_t mask_f64 __attribute__((vector_size(16)));

static inline vec_f32 splat_f32(float a)
{
    return (vec_f32){a, a, a, a};
}

static inline vec_f64 splat_f64(double a)
{
    return (vec_f64){a, a};
}

static inline int any_f32(mask_f32 m)
{
    return (m[0] | m[1] | m[2] | m[3]) != 0;
}

static inline int any_f64(mask_f64 m)
{
    return (m[0] | m[1]) != 0;
}

static inline int all_f32(mask_f32 m)
{
    return (m[0] & m[1] & m[2] & m[3]) != 0;
}

static inline int all_f64(mask_f64 m)
{
    return (m[0] & m[1]) != 0;
}

static inline vec_f32 sqrt_f32(vec_f32 a)
{
    for (int i = 0; i < 4; i++)
        a[i] = sqrtf(a[i]);
    return a;
}

static inline vec_f64 sqrt_f64(vec_f64 a)
{
    for (int i = 0; i < 2; i++)
        a[i] = sqrt(a[i]);
    return a;
}

/* The halves of a vector in twice the precision, and a vector of two such. */
static inline vec_f64 low_half(vec_f32 a)
{
    return (vec_f64){a[0], a[1]};
}

static inline vec_f64 high_half(vec_f32 a)
{
    return (vec_f64){a[2], a[3]};
}

static inline vec_f32 narrow(vec_f64 low, vec_f64 high)
{
    return (vec_f32){(float)low[0], (float)low[1], (float)high[0], (float)high[1]};
}

#define T f32
#include "vec_round.h"
#undef T
#define T f64
#include "vec_round.h"
#undef T

#define TAPE__CHOICE(T)                                                                                                \
    static inline vec_##T lesser_##T(vec_##T a, vec_##T b)                                                             \
    {                                                                                                                  \
        return sel_##T((mask_##T)(a < b), a, b);                                                                       \
    }                                                                                                                  \
    static inline vec_##T greater_##T(vec_##T a, vec_##T b)                                                            \
    {                                                                                                                  \
        return sel_##T((mask_##T)(a > b), a, b);                                                                       \
    }
TAPE__CHOICE(f32)
TAPE__CHOICE(f64)
#undef TAPE__CHOICE
