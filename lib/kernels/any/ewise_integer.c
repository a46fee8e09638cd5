/* The masks of elementwise.def over integers. Knows nothing of SIMD nor of threads: such masks are seldom large. */
#include <math.h>

#include "ewise_driver.h"

#define EQ(a, b) ((a) == (b))
#define NE(a, b) ((a) != (b))
#define LT(a, b) ((a) < (b))
#define LE(a, b) ((a) <= (b))
#define GT(a, b) ((a) > (b))
#define GE(a, b) ((a) >= (b))
#define AND(a, b) ((a) && (b))
#define OR(a, b) ((a) || (b))
#define NOT(a) (!(a))
#define ISNAN(a) ((void)(a), false)
#define ABS(a) fabs((double)(a))
#define NUM(c) (c)
#define ZERO 0

#define EW1(name, value, d0)
#define EW2(name, value, d0, d1)
#define EW3(name, value, d0, d1, d2)
#define EWM1(name, mask)                                                                                               \
    static bool name##_of(int64_t x0, int64_t x1)                                                                      \
    {                                                                                                                  \
        (void)x1;                                                                                                      \
        return mask;                                                                                                   \
    }
#define EWM2(name, mask)                                                                                               \
    static bool name##_of(int64_t x0, int64_t x1)                                                                      \
    {                                                                                                                  \
        return mask;                                                                                                   \
    }
#include "../elementwise.def"
#undef EWM1
#undef EWM2

static bool (*const masks[TAPE__EWM_COUNT])(int64_t, int64_t) = {
#define EWM1(name, mask) name##_of,
#define EWM2(name, mask) name##_of,
#include "../elementwise.def"
};

static int64_t load(int dtype, const void *x, int64_t i)
{
    if (dtype == TAPE_I64)
        return ((const int64_t *)x)[i];
    return dtype == TAPE_I32 ? ((const int32_t *)x)[i] : ((const uint8_t *)x)[i];
}

void tape__ewise_integer_mask(int ewm, int dtype, int rank, const int64_t *size, unsigned char *mask,
                              const void *const *x, const int64_t *const *x_stride)
{
    const int n = tape__ewise_mask_inputs(ewm);
    int64_t index[TAPE_MAX_RANK] = {0}, at[2] = {0, 0}, count = 1;
    for (int k = 0; k < rank; k++)
        count *= size[k];
    for (int64_t i = 0; i < count; i++) {
        mask[i] = masks[ewm](load(dtype, x[0], at[0]), n > 1 ? load(dtype, x[1], at[1]) : 0);
        for (int k = rank - 1; k >= 0; k--) {
            bool wraps = ++index[k] == size[k];
            for (int j = 0; j < n; j++)
                at[j] += wraps ? (1 - size[k]) * x_stride[j][k] : x_stride[j][k];
            if (!wraps)
                break;
            index[k] = 0;
        }
    }
}
