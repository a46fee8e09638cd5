/* Knows how the axes of a tensor split into kept and reduced ones; it does not know what the reduction computes. */
#include "kernels/reduce.h"

static void append(int64_t size, int64_t stride, int *rank, int64_t *sizes, int64_t *strides)
{
    int last = *rank - 1;
    if (size == 1)
        return;
    if (last >= 0 && strides[last] == stride * size) {
        sizes[last] *= size;
        strides[last] = stride;
        return;
    }
    sizes[*rank] = size;
    strides[*rank] = stride;
    ++*rank;
}

tape__split tape__split_axes(int rank, const int64_t *size, const int64_t *stride, unsigned mask)
{
    tape__split s; /* beyond its ranks not set: zeroing it would cost as much as a small sum */
    s.kept_rank = s.reduced_rank = 0;
    s.kept = s.reduced = 1;
    for (int k = 0; k < rank; k++) {
        if (mask >> k & 1) {
            s.reduced *= size[k];
            append(size[k], stride[k], &s.reduced_rank, s.reduced_size, s.reduced_stride);
        } else {
            s.kept *= size[k];
            append(size[k], stride[k], &s.kept_rank, s.kept_size, s.kept_stride);
        }
    }
    return s;
}
