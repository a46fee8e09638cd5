/* Ops on shapes: views, joining and padding, cumulative ops. The rules common to all ops are in tape/ops.h. */
#ifndef TAPE_OPS_SHAPE_H
#define TAPE_OPS_SHAPE_H

#include "tape/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * ---- views ----------------------------------------------------------------------------------------------------------
 *
 * A view shows x's own memory: nothing is copied, and a write to x through tape_data_mut() shows in the view. All take
 * any dtype. A negative axis counts from the last one. An axis, index or size out of range is TAPE_ERROR_ARGUMENT,
 * sizes that do not fit are TAPE_ERROR_SHAPE.
 */

/* x's elements in row-major order with other sizes; one size may be -1 and is worked out. A view where strides allow,
 * else a copy. d: reshaped back. */
TAPE_API tape_tensor tape_reshape(tape_tensor x, tape_shape shape);

/* Axes first to last (both included) merged into one; a scalar becomes one element of rank 1. A view where strides
 * allow. d: reshaped back. */
TAPE_API tape_tensor tape_flatten(tape_tensor x, int first, int last);

/* Without those of the given axes whose size is 1 (TAPE_ALL: without every axis of size 1). d: reshaped back. */
TAPE_API tape_tensor tape_squeeze(tape_tensor x, tape_axes axes);

/* With a new axis of size 1 at `axis`, -rank-1 to rank. d: reshaped back. */
TAPE_API tape_tensor tape_unsqueeze(tape_tensor x, int axis);

/* Axis i of the result is axis order.axis[i] of x; every axis exactly once. d: permuted back. */
TAPE_API tape_tensor tape_permute(tape_tensor x, tape_axes order);

/* Two axes exchanged. d: transposed. */
TAPE_API tape_tensor tape_transpose(tape_tensor x, int axis_a, int axis_b);

/* Stretched to `shape` by the rules of broadcasting; -1 keeps an axis's size. d: summed over what was stretched. */
TAPE_API tape_tensor tape_expand(tape_tensor x, tape_shape shape);

/* In reverse order along the given axes (TAPE_ALL: every one). d: flipped. */
TAPE_API tape_tensor tape_flip(tape_tensor x, tape_axes axes);

/* "To the end" for a bound of tape_slice(), in either direction. */
#define TAPE_END INT64_MAX

/*
 * Elements start, start + step, ... before `stop` along an axis, as x[start:stop:step] in Python: negative bounds count
 * from the end, bounds outside are moved to the nearest end. x[::-1] is tape_slice(x, axis, TAPE_END, TAPE_END, -1):
 * with a negative step the start TAPE_END is the last element and the stop TAPE_END lies before the first. step 0 is an
 * error. d: put back into zeros.
 */
TAPE_API tape_tensor tape_slice(tape_tensor x, int axis, int64_t start, int64_t stop, int64_t step);

/* `length` elements from `start` on, which may be negative; they must exist. d: put back into zeros. */
TAPE_API tape_tensor tape_narrow(tape_tensor x, int axis, int64_t start, int64_t length);

/* The part at one index, which may be negative, without that axis. d: put back into zeros. */
TAPE_API tape_tensor tape_select(tape_tensor x, int axis, int64_t index);

/* Cut into pieces of `size` elements along an axis, the last one shorter. Fills out[] and returns the number of pieces;
 * 0 after an error, to which more than `capacity` pieces belong. d: as tape_narrow(). */
TAPE_API int tape_split(tape_tensor x, int axis, int64_t size, tape_tensor *out, int capacity);

/* Cut into at most `chunks` pieces of equal size along an axis, the last one shorter: torch.chunk's rule, which may
 * give fewer. Fills out[0..chunks) and returns the number of pieces; 0 after an error. d: as tape_narrow(). */
TAPE_API int tape_chunk(tape_tensor x, int axis, int chunks, tape_tensor *out);

/* The diagonal of axes a and b (elements i, i + offset), as a new last axis in their stead. d: put back into zeros. */
TAPE_API tape_tensor tape_diagonal(tape_tensor x, int64_t offset, int axis_a, int axis_b);

/* Windows of `size` elements every `step` along an axis: the axis counts windows, a new last one the elements in them.
 * Windows may overlap. d: each element sums over the windows that show it. */
TAPE_API tape_tensor tape_unfold(tape_tensor x, int axis, int64_t size, int64_t step);

/* Converted to another dtype (a view if it is x's own): floats to integers by truncation, what does not fit becomes the
 * nearest that does and NaN 0; integers to narrower ones modulo 2^bits. d: between f32 and f64 converted back; none to
 * or from integers. */
TAPE_API tape_tensor tape_cast(tape_tensor x, tape_dtype dtype);

/* ---- joining and padding ----------------------------------------------------------------------------------------- */

/* xs[0], ..., xs[n - 1] one after the other along an axis; equal dtypes, equal sizes along the other axes, rank at
 * least 1, n from 1 to 65535. d: the parts. */
TAPE_API tape_tensor tape_concat(const tape_tensor *xs, int n, int axis);

/* The same along a new axis, -rank-1 to rank; equal shapes. d: the parts. */
TAPE_API tape_tensor tape_stack(const tape_tensor *xs, int n, int axis);

/* What stands beyond the ends 0 ... n-1 of an axis:
 *   constant   a value                                       v v | a b c | v v
 *   reflect    the mirror image without the end itself       c b | a b c | b a    less than n each
 *   replicate  the end                                       a a | a b c | c c
 *   circular   the other end                                 b c | a b c | a b    at most n each */
typedef enum tape_pad_mode {
    TAPE_PAD_CONSTANT = 0,
    TAPE_PAD_REFLECT,
    TAPE_PAD_REPLICATE,
    TAPE_PAD_CIRCULAR
} tape_pad_mode;

/* Elements to add before and after each axis of x, in the order of the axes, outermost first. */
typedef struct tape_pad_options {
    int64_t before[TAPE_MAX_RANK], after[TAPE_MAX_RANK]; /* negative crops, in the constant mode */
    tape_pad_mode mode;
    double value; /* of the constant mode, converted to x's dtype */
} tape_pad_options;

/* x with a border. Any dtype. d: the part that x takes in the result, and what its copies in the border get. */
TAPE_API tape_tensor tape_pad(tape_tensor x, const tape_pad_options *options);

/* Shifted by `shift` places along an axis, what falls off one end entering at the other. d: rolled back. */
TAPE_API tape_tensor tape_roll(tape_tensor x, int axis, int64_t shift);

/* The whole of x counts.size[i] times along each axis. More counts than axes: x gets leading axes of size 1. Fewer:
 * tape_tile() leaves the leading axes alone, for tape_repeat() that is an error. d: summed over the copies. */
TAPE_API tape_tensor tape_repeat(tape_tensor x, tape_shape counts);
TAPE_API tape_tensor tape_tile(tape_tensor x, tape_shape counts);

/* The last two axes as matrices, of which the elements (i, j) with j - i <= k (tril) or >= k (triu) stay and the others
 * become 0. d: the same part of the cotangent. */
TAPE_API tape_tensor tape_tril(tape_tensor x, int64_t k);
TAPE_API tape_tensor tape_triu(tape_tensor x, int64_t k);

/* Rank 1: the square matrix with x on its k-th diagonal (above the main one for k > 0), else 0; f32 and f64. Rank 2:
 * that diagonal, a view. d: the other of the two. */
TAPE_API tape_tensor tape_diag(tape_tensor x, int64_t k);

/* ---- cumulative -------------------------------------------------------------------------------------------------- */

/* y[i] combines x[0] ... x[i] along an axis; f32 and f64, f32 accumulated in double. A scalar counts as one element. */

/* d: the sum of the cotangents from i on. */
TAPE_API tape_tensor tape_cumsum(tape_tensor x, int axis);

/* d: without division, so that zeros in x are as good as any value. */
TAPE_API tape_tensor tape_cumprod(tape_tensor x, int axis);

/* log(exp(x[0]) + ... + exp(x[i])), stable; only -inf so far gives -inf. d: exp(x[i] - y[j]) summed over j >= i, 0
 * where x is -inf. */
TAPE_API tape_tensor tape_logcumsumexp(tape_tensor x, int axis);

/* The largest so far (NaN from the first NaN on) and, unless `indices` is NULL, where it is, i64; of equal ones the
 * last. d: to the chosen elements. */
TAPE_API tape_tensor tape_cummax(tape_tensor x, int axis, tape_tensor *indices);

#ifdef __cplusplus
}
#endif
#endif
