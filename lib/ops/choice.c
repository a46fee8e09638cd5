/* Reductions written with other ops: chosen elements, segments, norms of any p. Knows no loops and no derivatives. */
#include <math.h>

#include "ops.h"

/* ---- chosen elements --------------------------------------------------------------------------------------------- */

/* One choice along an axis. A scalar is taken as a vector of one element. */
typedef struct choice {
    tape *t;
    tape_tensor x;
    int axis;
    bool keep_dims;
    int64_t n; /* the axis's size */
    tape_tensor *index;
} choice;

static choice choice_of(tape *t, tape_tensor x, int axis, bool keep_dims, tape_tensor *index)
{
    bool scalar = tape_rank(x) == 0;
    tape_tensor line = scalar ? tape_reshape(x, TAPE_SHAPE(1)) : x;
    return (choice){t, line, axis, keep_dims && !scalar, tape_size(line, axis), index};
}

/* The elements at the places `at`, whose axis has size 1. */
static tape_tensor take(const choice *c, tape_tensor at)
{
    tape_axes axis = TAPE_AXES(c->axis);
    tape_tensor y = tape_gather(c->x, c->axis, at);
    if (c->index)
        *c->index = c->keep_dims ? at : tape_squeeze(at, axis);
    return c->keep_dims ? y : tape_squeeze(y, axis);
}

/* The place of the k-th smallest element, k counting from 1; null after an error. */
static tape_tensor place_of_kth(const choice *c, int64_t k)
{
    tape_tensor places = TAPE_NULL;
    if (k < 1 || k > c->n) {
        tape__error(c->t, TAPE_ERROR_ARGUMENT, "k must be from 1 to the axis's size %lld, got %lld", (long long)c->n,
                    (long long)k);
        return TAPE_NULL;
    }
    tape_sort(c->x, c->axis, false, &places);
    return tape_narrow(places, c->axis, k - 1, 1);
}

/* The place of the lower median, or of a NaN. */
static tape_tensor place_of_median(const choice *c)
{
    if (c->n == 0) {
        tape__error(c->t, TAPE_ERROR_SHAPE, "no elements to choose from along axis %d", c->axis);
        return TAPE_NULL;
    }
    tape_tensor middle = place_of_kth(c, (c->n + 1) / 2);
    tape_tensor largest = tape_argmax(c->x, TAPE_AXES(c->axis), true); /* the first NaN if there is one */
    tape_tensor nan = tape_isnan(tape_gather(c->x, c->axis, largest));
    return tape_cast(tape_where(nan, tape_cast(largest, TAPE_F64), tape_cast(middle, TAPE_F64)), TAPE_I64);
}

tape_tensor tape_max_with_index(tape_tensor x, int axis, bool keep_dims, tape_tensor *index)
{
    TAPE__BEGIN_COMPOSITE("max_with_index");
    choice c = choice_of(t, x, axis, keep_dims, index);
    tape_tensor y = take(&c, tape_argmax(c.x, TAPE_AXES(axis), true));
    return tape__leave(t, before, TAPE__OP_max_with_index, y);
}

tape_tensor tape_min_with_index(tape_tensor x, int axis, bool keep_dims, tape_tensor *index)
{
    TAPE__BEGIN_COMPOSITE("min_with_index");
    choice c = choice_of(t, x, axis, keep_dims, index);
    tape_tensor y = take(&c, tape_argmin(c.x, TAPE_AXES(axis), true));
    return tape__leave(t, before, TAPE__OP_min_with_index, y);
}

tape_tensor tape_kthvalue(tape_tensor x, int64_t k, int axis, bool keep_dims, tape_tensor *index)
{
    TAPE__BEGIN_COMPOSITE("kthvalue");
    choice c = choice_of(t, x, axis, keep_dims, index);
    return tape__leave(t, before, TAPE__OP_kthvalue, take(&c, place_of_kth(&c, k)));
}

tape_tensor tape_median(tape_tensor x, int axis, bool keep_dims, tape_tensor *index)
{
    TAPE__BEGIN_COMPOSITE("median");
    choice c = choice_of(t, x, axis, keep_dims, index);
    return tape__leave(t, before, TAPE__OP_median, take(&c, place_of_median(&c)));
}

/* ---- segments ---------------------------------------------------------------------------------------------------- */

/* Null after an error where x has no axis of parts or `segment` does not name one segment for each. */
static tape_tensor sum_segments(tape *t, tape_tensor x, tape_tensor segment, int64_t count)
{
    tape_shape shape = tape_shape_of(x);
    if (shape.rank == 0 || tape_rank(segment) != 1 || tape_numel(segment) != shape.size[0]) {
        tape__error(t, TAPE_ERROR_SHAPE, "expects a segment for each part along axis 0 of %s, got %lld",
                    tape__shape_text(shape.rank, shape.size).text, (long long)tape_numel(segment));
        return TAPE_NULL;
    }
    shape.size[0] = count;
    return tape_index_put(tape_zeros(tape_dtype_of(x), shape), &segment, 1, x, true);
}

tape_tensor tape_segment_sum(tape_tensor x, tape_tensor segment, int64_t count)
{
    TAPE__BEGIN_COMPOSITE("segment_sum");
    return tape__leave(t, before, TAPE__OP_segment_sum, sum_segments(t, x, segment, count));
}

tape_tensor tape_segment_mean(tape_tensor x, tape_tensor segment, int64_t count)
{
    TAPE__BEGIN_COMPOSITE("segment_mean");
    tape_shape one_each = {tape_rank(x), {tape_numel(segment), 1, 1, 1, 1, 1, 1, 1}};
    tape_tensor sum = sum_segments(t, x, segment, count);
    tape_tensor parts = sum_segments(t, tape_ones(tape_dtype_of(x), one_each), segment, count);
    return tape__leave(t, before, TAPE__OP_segment_mean, tape_div(sum, tape_maximum_scalar(parts, 1)));
}

/* ---- norms of any p ---------------------------------------------------------------------------------------------- */

/* x^p, but 0 where x is 0, with derivative 0. */
static tape_tensor power(tape_tensor x, double p)
{
    tape_tensor zero = tape_scalar(tape_dtype_of(x), 0);
    return tape_where(tape_eq_scalar(x, 0), zero, tape_pow_scalar(x, p));
}

/* With derivative 0, not without any. */
static tape_tensor count_non_zero(tape_tensor x, tape_axes axes, bool keep_dims)
{
    tape_tensor counts = tape_where(tape_ne_scalar(x, 0), tape_scalar(tape_dtype_of(x), 1), tape_sign(x));
    return tape_sum(counts, axes, keep_dims);
}

/* (sum |x|^p)^(1/p). For p < 0 an element of 0 makes the sum infinite and the norm 0. */
static tape_tensor power_norm(tape_tensor x, double p, tape_axes axes, bool keep_dims)
{
    if (p < 0)
        return tape_pow_scalar(tape_sum(tape_pow_scalar(x, p), axes, keep_dims), 1 / p);
    return power(tape_sum(power(x, p), axes, keep_dims), 1 / p);
}

tape_tensor tape_norm_p(tape_tensor x, double p, tape_axes axes, bool keep_dims)
{
    TAPE__BEGIN_COMPOSITE("norm_p");
    tape_tensor y = TAPE_NULL;
    if (isnan(p))
        tape__error(t, TAPE_ERROR_ARGUMENT, "p must be a number, got %g", p);
    else if (p == 1 || p == 2 || p == INFINITY)
        y = tape_norm(x, p, axes, keep_dims);
    else if (p == -INFINITY)
        y = tape_min(tape_abs(x), axes, keep_dims);
    else if (p == 0)
        y = count_non_zero(x, axes, keep_dims);
    else
        y = power_norm(tape_abs(x), p, axes, keep_dims);
    return tape__leave(t, before, TAPE__OP_norm_p, y);
}
