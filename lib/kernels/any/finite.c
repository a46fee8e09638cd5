/* Looking for NaN and infinities. Knows pointers, sizes and strides. */
#include "finite.h"

#include <math.h>

static int64_t offset_of(int rank, const int64_t *size, const int64_t *stride, int64_t at)
{
    int64_t offset = 0;
    for (int i = rank; i-- > 0 && at > 0;) {
        offset += at % size[i] * stride[i];
        at /= size[i];
    }
    return offset;
}

static double load(tape_dtype dtype, const void *x, int64_t offset)
{
    switch (dtype) {
    case TAPE_F32:
        return (double)((const float *)x)[offset];
    case TAPE_F64:
        return ((const double *)x)[offset];
    case TAPE_I32:
        return ((const int32_t *)x)[offset];
    case TAPE_I64:
        return (double)((const int64_t *)x)[offset];
    default:
        return ((const uint8_t *)x)[offset];
    }
}

double tape__element(tape_dtype dtype, int rank, const int64_t *size, const int64_t *stride, const void *x, int64_t at)
{
    return load(dtype, x, offset_of(rank, size, stride, at));
}

int64_t tape__find_nonfinite(tape_dtype dtype, int rank, const int64_t *size, const int64_t *stride, int64_t numel,
                             const void *x, int64_t from)
{
    if (dtype > TAPE_F64)
        return -1;
    bool dense = true;
    int64_t step = 1;
    for (int i = rank; i-- > 0 && dense; step *= size[i])
        dense = size[i] == 1 || stride[i] == step;
    int64_t at = from;
    if (dense && dtype == TAPE_F32)
        while (at < numel && isfinite(((const float *)x)[at]))
            at++;
    else if (dense)
        while (at < numel && isfinite(((const double *)x)[at]))
            at++;
    else
        while (at < numel && isfinite(load(dtype, x, offset_of(rank, size, stride, at))))
            at++;
    return at < numel ? at : -1;
}
