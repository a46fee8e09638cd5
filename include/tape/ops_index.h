/* Ops that choose elements by index or mask, and that order them. The rules common to all ops are in tape/ops.h. */
#ifndef TAPE_OPS_INDEX_H
#define TAPE_OPS_INDEX_H

#include "tape/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Index tensors are i32 or i64 and get no gradient. An index out of range is TAPE_ERROR_INDEX, found before anything is
 * written; a negative index is out of range unless the op says that it counts from the end. Where an op adds into
 * places that an index names several times, all contributions add up, in row-major order.
 */

/* 1 of the given dtype where the new last axis equals the index, else 0: [...] gives [..., classes]. classes >= 1. No
 * gradient. */
TAPE_API tape_tensor tape_one_hot(tape_tensor index, int64_t classes, tape_dtype dtype);

/* y at (.., k, ..) = x at (.., index[.., k, ..], ..), k on `axis`. The index has x's rank and, but for the axis, at
 * most its sizes; y has the index's shape. Any dtype. d: added into the chosen places. */
TAPE_API tape_tensor tape_gather(tape_tensor x, int axis, tape_tensor index);

/* The same with x and the index broadcast together first, but for the axis (numpy.take_along_axis). */
TAPE_API tape_tensor tape_take_along(tape_tensor x, tape_tensor index, int axis);

/* x with source[k] added where gather would read: the transpose of tape_gather(). The source has the index's shape and
 * x's dtype, f32 or f64. d: the cotangent to x, gathered to the source. */
TAPE_API tape_tensor tape_scatter_add(tape_tensor x, int axis, tape_tensor index, tape_tensor source);

/* The same with the larger value instead of the sum; NaN is larger than all. d: shared equally among the elements of x
 * and of the source that are equal to the largest. */
TAPE_API tape_tensor tape_scatter_max(tape_tensor x, int axis, tape_tensor index, tape_tensor source);

/* The parts of x at the places that an index of rank 0 or 1 names along an axis, in its order, repeats allowed. Any
 * dtype. d: added into the chosen parts. */
TAPE_API tape_tensor tape_index_select(tape_tensor x, int axis, tape_tensor index);

typedef struct tape_embedding_options {
    bool has_padding;
    int64_t padding_index; /* this row gets no gradient; negative counts from the end. Its value is looked up as any
                              other */
} tape_embedding_options;

/* Row index[..] of the weights [n, ...], f32 or f64, for an index of any shape: [index's shape, ...]. `options` may be
 * NULL. d: added into the chosen rows. */
TAPE_API tape_tensor tape_embedding(tape_tensor weight, tape_tensor index, const tape_embedding_options *options);

/* x[indices[0], ..., indices[n-1]] as NumPy reads it: the index tensors, broadcast together, choose along x's first n
 * axes, the other axes are kept. Negative indices count from the end. Any dtype. d: added into the chosen places. */
TAPE_API tape_tensor tape_index_get(tape_tensor x, const tape_tensor *indices, int n);

/* x with `values`, broadcast to what tape_index_get() would give, at those places: put there, the last one where places
 * repeat, or added if `accumulate`. f32 and f64. d: to x where it was kept (everywhere if `accumulate`), to the values
 * that were used. */
TAPE_API tape_tensor tape_index_put(tape_tensor x, const tape_tensor *indices, int n, tape_tensor values,
                                    bool accumulate);

/* The elements of x whose u8 mask is not 0, row-major, as rank 1; x and the mask broadcast together. Any dtype. d: put
 * back into zeros. */
TAPE_API tape_tensor tape_masked_select(tape_tensor x, tape_tensor mask);

/* x, f32 or f64, with `value` where the u8 mask, broadcast to x's shape, is not 0. d: to x where it was kept. */
TAPE_API tape_tensor tape_masked_fill(tape_tensor x, tape_tensor mask, double value);

/* Sorted along an axis; equal elements keep their order, NaN is the largest. Unless `indices` is NULL it gets the
 * places in x that the elements come from, i64. Any dtype; a scalar counts as one element. d: carried back to those
 * places. */
TAPE_API tape_tensor tape_sort(tape_tensor x, int axis, bool descending, tape_tensor *indices);

/* The k largest (smallest) elements along an axis, the largest (smallest) first, and their places as in tape_sort(); of
 * equal ones the first. 0 <= k <= the axis's size. d: carried back to those places. */
TAPE_API tape_tensor tape_topk(tape_tensor x, int64_t k, int axis, bool smallest, tape_tensor *indices);

/* For each value the number of elements of its sorted line that are smaller, or, if `right`, not larger, i64: where to
 * insert it. One line of rank 1 for values of any shape, or lines [..., n] for values [..., m]. Any one dtype; NaN is
 * the largest. No gradient. */
TAPE_API tape_tensor tape_searchsorted(tape_tensor sorted, tape_tensor values, bool right);

#ifdef __cplusplus
}
#endif
#endif
