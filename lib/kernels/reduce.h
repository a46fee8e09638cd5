/* Knows the interface of the reductions; it does not know how they are computed.

   All of them give the same bits for every number of threads: the elements that make one result are taken in row-major
   order and added in blocks of fixed size, the blocks pairwise. */
#ifndef TAPE__REDUCE_H
#define TAPE__REDUCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base.h"
#include "parallel.h"

/* A tensor's axes, those that stay and those that are reduced: sizes and strides in elements, outermost first. */
typedef struct tape__split {
    int kept_rank, reduced_rank;
    int64_t kept_size[8], kept_stride[8];
    int64_t reduced_size[8], reduced_stride[8];
    int64_t kept, reduced; /* elements: of the result, and behind each of its elements */
} tape__split;

/* Axes whose bit is set in `mask` are reduced. Axes that can be walked as one are merged. */
void tape__split_axes(tape__split *split, int rank, const int64_t *size, const int64_t *stride, unsigned mask);

typedef enum tape__reduction {
    TAPE__SUM,
    TAPE__SUM_ABS,
    TAPE__SUM_SQUARES,
    TAPE__PROD,
    TAPE__MAX, /* a NaN gives NaN; no element gives -inf, and inf for the minimum */
    TAPE__MIN,
    TAPE__MAX_ABS,   /* no element gives 0 */
    TAPE__MEAN,      /* no element gives NaN */
    TAPE__VARIANCE,  /* in two passes; divided by max(0, count - correction), so NaN for too few elements */
    TAPE__LOGSUMEXP, /* -inf for a row of only -inf or of nothing; inf where one is inf and none NaN */
    TAPE__REDUCTIONS
} tape__reduction;

/* y is contiguous, in the order of the kept axes. */
typedef struct tape__reduce_args {
    tape__reduction reduction;
    bool accumulate; /* add to what y holds instead of storing */
    double correction;
    const tape__split *split;
    const void *x;
    void *y;
} tape__reduce_args;

/* Whether threads pay: a smaller array lies in the caller's cache, which gives it sooner than another core fetches it.
 */
TAPE__INLINE bool tape__reduce_pays(const tape__reduce_args *args)
{
    const int64_t n = args->split->kept * args->split->reduced;
    return n >= (args->reduction == TAPE__LOGSUMEXP ? 1 << 16 : 1 << 18);
}

typedef void tape__reduce_fn(const struct tape__parallel *p, const tape__reduce_args *args);

/* The position along the middle axis of a contiguous [outer, n, inner] array where the first maximum (minimum) is; the
   first NaN where there is one. n > 0. */
typedef void tape__arg_fn(const struct tape__parallel *p, bool minimum, int64_t outer, int64_t n, int64_t inner,
                          const void *x, int64_t *y);

/* Indexed by TAPE_F32, TAPE_F64. */
struct tape__reduce_kernels {
    tape__reduce_fn *reduce[2];
    tape__arg_fn *arg[2];
};

#endif
