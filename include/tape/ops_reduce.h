/*
 * Reductions. The rules common to all ops are in tape/ops.h.
 *
 * `axes` says which axes go: TAPE_AXES(0, -1), or TAPE_ALL for every axis; an axis out of range or twice is
 * TAPE_ERROR_ARGUMENT. With keep_dims they stay as axes of size 1. x is f32 or f64 and the result has its dtype, unless
 * stated. Sums are blocked in a fixed way: the result does not depend on the number of threads. NaN propagates.
 */
#ifndef TAPE_OPS_REDUCE_H
#define TAPE_OPS_REDUCE_H

#include "tape/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The sum; 0 for no elements. d: 1. */
TAPE_API tape_tensor tape_sum(tape_tensor x, tape_axes axes, bool keep_dims);

/* The sum over the number of elements; NaN for none. d: 1/n. */
TAPE_API tape_tensor tape_mean(tape_tensor x, tape_axes axes, bool keep_dims);

/* The largest and the smallest element; none to choose from is TAPE_ERROR_SHAPE. d: 1, shared equally among ties (among
 * the NaNs where the result is NaN). amax and amin are the same ops under NumPy-like names. */
TAPE_API tape_tensor tape_max(tape_tensor x, tape_axes axes, bool keep_dims);
TAPE_API tape_tensor tape_min(tape_tensor x, tape_axes axes, bool keep_dims);
TAPE_API tape_tensor tape_amax(tape_tensor x, tape_axes axes, bool keep_dims);
TAPE_API tape_tensor tape_amin(tape_tensor x, tape_axes axes, bool keep_dims);

/* The product; 1 for no elements. d: the product of all the others, without division, so it is right where elements are
 * 0. The second derivative takes n times the memory of x, n being the number of factors. */
TAPE_API tape_tensor tape_prod(tape_tensor x, tape_axes axes, bool keep_dims);

/* log(sum(exp(x))), by subtracting the largest element: finite wherever the result is; -inf for no elements and where
 * all are -inf. d: exp(x - y), which is 0 where y is -inf. */
TAPE_API tape_tensor tape_logsumexp(tape_tensor x, tape_axes axes, bool keep_dims);

/* Sum of squared deviations from the mean over max(0, n - correction): correction 1 is the unbiased variance, PyTorch's
 * default, 0 the population's. NaN where n = correction. d: 2 (x - mean) / (n - correction). */
TAPE_API tape_tensor tape_var(tape_tensor x, tape_axes axes, int correction, bool keep_dims);

/* The square root of tape_var(). d: (x - mean) / (y (n - correction)); 0 where all elements are equal. */
TAPE_API tape_tensor tape_std(tape_tensor x, tape_axes axes, int correction, bool keep_dims);

/* The vector norm: p = 1 (sum of |x|), 2 (root of the sum of squares) or INFINITY (largest |x|); any other p is
 * TAPE_ERROR_ARGUMENT. 0 for no elements with p = 1 and 2; TAPE_ERROR_SHAPE with p = INFINITY.
 * d: sign(x); x/y; sign(x) shared equally among the largest. 0 where the norm is 0. */
TAPE_API tape_tensor tape_norm(tape_tensor x, double p, tape_axes axes, bool keep_dims);

/* The position (i64) of the first largest or smallest element along one axis, or in row-major order with TAPE_ALL. The
 * first NaN counts as largest and as smallest. Two or more axes are TAPE_ERROR_ARGUMENT, no elements to choose from
 * TAPE_ERROR_SHAPE. x: any dtype. No derivative. */
TAPE_API tape_tensor tape_argmax(tape_tensor x, tape_axes axes, bool keep_dims);
TAPE_API tape_tensor tape_argmin(tape_tensor x, tape_axes axes, bool keep_dims);

/* The vector norm for any p: (sum |x|^p)^(1/p); the number of elements that are not 0 for p = 0; the smallest |x| for
 * p = -INFINITY; tape_norm() for 1, 2 and INFINITY. NaN p is TAPE_ERROR_ARGUMENT. d: sign(x) (|x| / y)^(p-1); 0 where x
 * or y is 0. */
TAPE_API tape_tensor tape_norm_p(tape_tensor x, double p, tape_axes axes, bool keep_dims);

/* The largest (smallest) element along one axis; `index`, unless NULL, gets its position, i64: the first among ties.
 * No elements to choose from is TAPE_ERROR_SHAPE. d: 1 at that position. */
TAPE_API tape_tensor tape_max_with_index(tape_tensor x, int axis, bool keep_dims, tape_tensor *index);
TAPE_API tape_tensor tape_min_with_index(tape_tensor x, int axis, bool keep_dims, tape_tensor *index);

/* The k-th smallest element along one axis, 1 <= k <= the axis's size, else TAPE_ERROR_ARGUMENT; NaN is the largest.
 * `index` as above. d: 1 at its position; equal elements count in their order. */
TAPE_API tape_tensor tape_kthvalue(tape_tensor x, int64_t k, int axis, bool keep_dims, tape_tensor *index);

/* The lower median along one axis, the element of rank (n + 1) / 2 rounded down: NaN where there is one. d: 1 at its
 * position. No elements to choose from is TAPE_ERROR_SHAPE. */
TAPE_API tape_tensor tape_median(tape_tensor x, int axis, bool keep_dims, tape_tensor *index);

/* Sums (means) of parts of x along axis 0: y[s] is that of all x[i] with segment[i] = s. x: [n, ...]; segment: [n], i32
 * or i64, in any order; y: [count, ...], 0 where a segment has no part. TAPE_ERROR_INDEX for a segment outside
 * [-count, count); negative ones count from the end. d: g[segment[i]], over the number of parts for the mean. */
TAPE_API tape_tensor tape_segment_sum(tape_tensor x, tape_tensor segment, int64_t count);
TAPE_API tape_tensor tape_segment_mean(tape_tensor x, tape_tensor segment, int64_t count);

#ifdef __cplusplus
}
#endif
#endif
