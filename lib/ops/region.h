/* Regions: strided parts of a tensor, as the view ops cut them out and their VJPs put them back. Knows layouts only. */
#ifndef TAPE__REGION_H
#define TAPE__REGION_H

#include "ops/check.h"
#include "ops/ops.h"

/* Where a view's elements lie in a tensor, in elements from its first. Elements may coincide (unfold). */
typedef struct tape__region {
    int64_t offset;
    int64_t rank;
    int64_t size[TAPE_MAX_RANK];
    int64_t stride[TAPE_MAX_RANK];
} tape__region;

/* Zeros of `shape` with g added at the region, whose strides are those of a dense tensor of that shape; and its
 * transpose, the region of an x of that shape. Each is the other's derivative. */
tape_tensor tape__place_region(tape_tensor g, const tape__region *region, tape_shape shape);
tape_tensor tape__take_region(tape_tensor x, const tape__region *region, tape_shape shape);

/* Zeros of `shape` with g added along an axis where `index` says, the derivative of gather and its transpose. */
tape_tensor tape__place_along(tape_tensor g, tape_tensor index, int axis, tape_shape shape);

/* y[a.., k.., b..] = x[a.., index[k..], b..] with one axis of x chosen by an index of any rank; and its transpose,
 * zeros of `shape` with g added there. Rows whose index is `skip` are zeros and add nothing. Each is the other's
 * derivative. */
#define TAPE__SKIP_NONE INT64_MIN
tape_tensor tape__take_rows(tape_tensor x, tape_tensor index, int axis, int64_t skip);
tape_tensor tape__place_rows(tape_tensor g, tape_tensor index, int axis, int64_t skip, tape_shape shape);

/* The indices of an i32 or i64 tensor, contiguous and each in 0 ... n-1 or equal to `skip`; NULL after an error. With
 * `wrap` negative ones count from the end. Valid until the op ends or asks again. */
const int64_t *tape__check_index(tape *t, const tape__node *index, int64_t n, int64_t skip, bool wrap);

#endif
