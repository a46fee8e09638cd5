/* Knows the masks of elementwise.def on integers, in plain loops: they are rare, and the compiler vectorises them. */
#include <stdint.h>

#include "../kernels.h"
#include "base.h"

/* The terms that masks use. No integer is a NaN. */
#define x0 (((const T *)inputs[0])[i])
#define x1 (((const T *)inputs[1])[i])
#define ZERO 0
#define EQ(a, b) ((a) == (b))
#define NE(a, b) ((a) != (b))
#define LT(a, b) ((a) < (b))
#define LE(a, b) ((a) <= (b))
#define GT(a, b) ((a) > (b))
#define GE(a, b) ((a) >= (b))
#define ISNAN(a) 0
#define AND(m, n) ((m) && (n))
#define OR(m, n) ((m) || (n))
#define NOT(m) (!(m))

#define EW1(name, value, d0)
#define EW2(name, value, d0, d1)
#define EW3(name, value, d0, d1, d2)
#define NAME_(name, dtype) name##_##dtype
#define NAME(name, dtype) NAME_(name, dtype)
#define MASK(name, mask)                                                                                               \
    static void NAME(name, T)(size_t count, unsigned char *result, const void *const *inputs)                          \
    {                                                                                                                  \
        (void)inputs;                                                                                                  \
        for (size_t i = 0; i < count; i++)                                                                             \
            result[i] = mask;                                                                                          \
    }
#define EWM1(name, mask) MASK(name, mask)
#define EWM2(name, mask) MASK(name, mask)
#define T int32_t
#include "../elementwise.def"
#undef T
#define T int64_t
#include "../elementwise.def"
#undef T
#define T uint8_t
#include "../elementwise.def"
#undef T
#undef EWM1
#undef EWM2

void tape__ewise_mask_int(int ewm, int dtype, size_t n, unsigned char *mask, const void *const *x)
{
    static void (*const masks[TAPE__EWM_COUNT][3])(size_t, unsigned char *, const void *const *) = {
#define EWM1(name, mask) {name##_int32_t, name##_int64_t, name##_uint8_t},
#define EWM2(name, mask) EWM1(name, mask)
#include "../elementwise.def"
    };
    masks[ewm][dtype == TAPE_I32 ? 0 : dtype == TAPE_I64 ? 1 : 2](n, mask, x);
}
