/* Knows how the axes of a tensor split into kept and reduced ones; it does not know what the reduction computes. */
#include "base.h"
#include "kernels/reduce.h"

TAPE__INLINE void append(int64_t size, int64_t stride, int *rank, int64_t *sizes, int64_t *strides)
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

/* Beyond its ranks not set: zeroing it would cost as much as a small sum. */
void tape__split_axes(tape__split *split, int rank, const int64_t *size, const int64_t *stride, unsigned mask)
{
    split->kept_rank = split->reduced_rank = 0;
    split->kept = split->reduced = 1;
    for (int k = 0; k < rank; k++) {
        if (mask >> k & 1) {
            split->reduced *= size[k];
            append(size[k], stride[k], &split->reduced_rank, split->reduced_size, split->reduced_stride);
        } else {
            split->kept *= size[k];
            append(size[k], stride[k], &split->kept_rank, split->kept_size, split->kept_stride);
        }
    }
}
