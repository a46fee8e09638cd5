/* What ops ask of their arguments' dtypes and axes, and how a tensor looks around one axis. Knows no op. */
#ifndef TAPE__CHECK_H
#define TAPE__CHECK_H

#include "tape.h"

/* False, with an error, for a dtype that is neither f32 nor f64. */
bool tape__check_float(tape *t, const tape__node *x);

/* False, with an error, unless x[first] ... x[n-1] have one dtype, at most `highest`. */
bool tape__report_dtypes(tape *t, tape__node *const *x, int first, int n, tape_dtype highest);
TAPE__INLINE bool tape__check_dtypes(tape *t, tape__node *const *x, int first, int n, tape_dtype highest)
{
    bool equal = n > first && x[first]->dtype <= highest;
    for (int i = first + 1; i < n; i++)
        equal &= x[i]->dtype == x[first]->dtype;
    return TAPE__LIKELY(equal) || tape__report_dtypes(t, x, first, n, highest);
}

/* Resolve a possibly negative axis of `layout`, or say that it is out of range. A scalar counts as rank 1 for
 * tape__check_axis_or_scalar(), as PyTorch has it where an op works along an axis. */
bool tape__check_axis(tape *t, int64_t axis, const tape__layout *layout, int *out);
bool tape__check_axis_or_scalar(tape *t, int64_t axis, const tape__layout *layout, int *out);

/* A dense tensor seen around one axis: element (o, i, k) is at (o * n + i) * inner + k. A scalar is 1 x 1 x 1. */
typedef struct tape__axis_cut {
    int64_t outer, n, inner;
} tape__axis_cut;
tape__axis_cut tape__cut_at(const tape__layout *layout, int axis);

#endif
