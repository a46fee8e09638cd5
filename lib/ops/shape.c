/* Ops that show the same elements in another shape or order, and the change of dtype. Knows strides, not values. */
#include <string.h>

#include "kernels/any/cast.h"
#include "kernels/any/copy.h"
#include "region.h"

/* Sizes as attributes, cut after the last one in use. */
struct sizes {
    int64_t rank;
    int64_t size[TAPE_MAX_RANK];
};

static tape_tensor run_with_shape(int op, tape_tensor x, tape_shape shape)
{
    struct sizes attr = {.rank = shape.rank};
    size_t n = shape.rank < 0 || shape.rank > TAPE_MAX_RANK ? 0 : (size_t)shape.rank;
    memcpy(attr.size, shape.size, n * sizeof *shape.size);
    return tape__run(op, &x, 1, &attr, sizeof attr.rank + n * sizeof *attr.size);
}

static void back_to_shape(tape__vjp *v)
{
    v->gx[0] = tape_reshape(v->gy[0], tape_shape_of(v->x[0]));
}

/* ---- reshape, flatten, squeeze, unsqueeze ------------------------------------------------------------------------ */

/* The strides that show x's elements in row-major order with other sizes; false if no strides can. A run of new axes
 * and a run of old axes with the same number of elements match if the old ones lie as one. x has no zero size. */
static bool strides_for(const tape__layout *x, int rank, const int64_t *size, int64_t *stride)
{
    int64_t old_size[TAPE_MAX_RANK], old_stride[TAPE_MAX_RANK];
    int old_rank = 0, i = 0, j = 0;
    for (int k = 0; k < x->rank; k++)
        if (x->size[k] != 1) {
            old_size[old_rank] = x->size[k];
            old_stride[old_rank++] = x->stride[k];
        }
    while (i < rank && j < old_rank) {
        int i_end = i + 1, j_end = j + 1;
        int64_t new_count = size[i], old_count = old_size[j];
        while (new_count != old_count)
            if (new_count < old_count)
                new_count *= size[i_end++];
            else
                old_count *= old_size[j_end++];
        for (int k = j; k + 1 < j_end; k++)
            if (old_stride[k] != old_size[k + 1] * old_stride[k + 1])
                return false;
        stride[i_end - 1] = old_stride[j_end - 1];
        for (int k = i_end - 1; k > i; k--)
            stride[k - 1] = stride[k] * size[k];
        i = i_end;
        j = j_end;
    }
    for (; i < rank; i++)
        stride[i] = 1;
    return true;
}

static bool show_as(tape__call *call, int rank, const int64_t *size)
{
    const tape__node *x = call->in[0];
    int64_t stride[TAPE_MAX_RANK];
    if (tape__is_dense(x->layout) || x->layout->numel == 0) {
        const tape__layout *dense = tape__layout_dense(&call->t->layouts, rank, size);
        return dense ? tape__output_view(call, 0, rank, size, dense->stride) != NULL
                     : tape__error(call->t, TAPE_ERROR_MEMORY, "out of memory");
    }
    if (strides_for(x->layout, rank, size, stride))
        return tape__output_view(call, 0, rank, size, stride) != NULL;
    tape__node *y = tape__output(call, x->dtype, rank, size);
    if (!y)
        return false;
    tape__copy(tape__threads_of(call->t), tape_dtype_size(x->dtype), x->layout->rank, x->layout->size, x->data,
               x->layout->stride, y->data, NULL);
    return true;
}

/* Replace the one -1 in `size` by what makes the numbers of elements equal. */
static bool infer_size(int64_t numel, int rank, int64_t *size)
{
    int unknown = -1;
    for (int i = 0; i < rank; i++)
        if (size[i] == -1) {
            if (unknown >= 0)
                return false;
            unknown = i;
            size[i] = 1;
        }
    int64_t known;
    if (!tape__shape_numel(rank, size, &known))
        return false;
    if (unknown < 0)
        return known == numel;
    if (known == 0 || numel % known != 0)
        return false;
    size[unknown] = numel / known;
    return true;
}

bool tape__reshape_forward(tape__call *call)
{
    const struct sizes *attr = call->attr;
    const tape__layout *x = call->in[0]->layout;
    if (attr->rank < 0 || attr->rank > TAPE_MAX_RANK)
        return tape__error(call->t, TAPE_ERROR_ARGUMENT, "rank %d is outside 0 to %d", (int)attr->rank, TAPE_MAX_RANK);
    int rank = (int)attr->rank;
    int64_t size[TAPE_MAX_RANK];
    memcpy(size, attr->size, (size_t)rank * sizeof *size);
    if (!infer_size(x->numel, rank, size))
        return tape__error(call->t, TAPE_ERROR_SHAPE, "cannot show %s as %s", TAPE__LAYOUT_TEXT(x),
                           tape__shape_text(rank, attr->size).text);
    return show_as(call, rank, size);
}

void tape__reshape_vjp(tape__vjp *v)
{
    back_to_shape(v);
}

tape_tensor tape_reshape(tape_tensor x, tape_shape shape)
{
    return run_with_shape(TAPE__OP_reshape, x, shape);
}

struct axis_pair {
    int64_t a, b;
};

bool tape__flatten_forward(tape__call *call)
{
    const struct axis_pair *attr = call->attr;
    const tape__layout *x = call->in[0]->layout;
    int first, last;
    if (!tape__check_axis_or_scalar(call->t, attr->a, x, &first) ||
        !tape__check_axis_or_scalar(call->t, attr->b, x, &last))
        return false;
    if (first > last)
        return tape__error(call->t, TAPE_ERROR_ARGUMENT, "axis %d comes after axis %d", first, last);
    int64_t size[TAPE_MAX_RANK] = {1};
    int rank = 0;
    for (int i = 0; i < x->rank; i++)
        if (i > first && i <= last)
            size[rank - 1] *= x->size[i];
        else
            size[rank++] = x->size[i];
    return show_as(call, x->rank ? rank : 1, size);
}

void tape__flatten_vjp(tape__vjp *v)
{
    back_to_shape(v);
}

tape_tensor tape_flatten(tape_tensor x, int first, int last)
{
    struct axis_pair attr = {first, last};
    return tape__run(TAPE__OP_flatten, &x, 1, &attr, sizeof attr);
}

/* A set of axes as attribute. count 0 is "all", as in tape_axes. */
struct axis_list {
    int64_t count;
    int64_t axis[TAPE_MAX_RANK];
};

static tape_tensor run_with_axes(int op, tape_tensor x, tape_axes axes)
{
    struct axis_list attr = {.count = axes.count};
    int n = axes.count < 0 || axes.count > TAPE_MAX_RANK ? 0 : axes.count;
    for (int i = 0; i < n; i++)
        attr.axis[i] = axes.axis[i];
    return tape__run(op, &x, 1, &attr, sizeof attr.count + (size_t)n * sizeof *attr.axis);
}

static bool read_axes(tape__call *call, tape_axes *axes, unsigned *mask)
{
    const struct axis_list *attr = call->attr;
    const tape__layout *x = call->in[0]->layout;
    *axes = (tape_axes){.count = (int)attr->count};
    for (int i = 0; i < axes->count && i < TAPE_MAX_RANK; i++)
        axes->axis[i] = (int)attr->axis[i];
    return tape__axes_mask(*axes, x->rank, mask) ||
           tape__error(call->t, TAPE_ERROR_ARGUMENT, "axes out of range or repeated for %s", TAPE__LAYOUT_TEXT(x));
}

bool tape__squeeze_forward(tape__call *call)
{
    const tape__layout *x = call->in[0]->layout;
    tape_axes axes;
    unsigned mask;
    if (!read_axes(call, &axes, &mask))
        return false;
    int64_t size[TAPE_MAX_RANK], stride[TAPE_MAX_RANK];
    int rank = 0;
    for (int i = 0; i < x->rank; i++)
        if (x->size[i] != 1 || !(mask & 1u << i)) {
            size[rank] = x->size[i];
            stride[rank++] = x->stride[i];
        }
    return tape__output_view(call, 0, rank, size, stride) != NULL;
}

void tape__squeeze_vjp(tape__vjp *v)
{
    back_to_shape(v);
}

tape_tensor tape_squeeze(tape_tensor x, tape_axes axes)
{
    return run_with_axes(TAPE__OP_squeeze, x, axes);
}

bool tape__unsqueeze_forward(tape__call *call)
{
    const tape__layout *x = call->in[0]->layout;
    int64_t wanted = *(const int64_t *)call->attr;
    if (x->rank == TAPE_MAX_RANK)
        return tape__error(call->t, TAPE_ERROR_SHAPE, "%s has no room for another axis", TAPE__LAYOUT_TEXT(x));
    int axis = wanted < -TAPE_MAX_RANK || wanted > TAPE_MAX_RANK ? -1 : tape__axis((int)wanted, x->rank + 1);
    if (axis < 0)
        return tape__error(call->t, TAPE_ERROR_ARGUMENT, "axis %lld is out of range for a new axis of %s",
                           (long long)wanted, TAPE__LAYOUT_TEXT(x));
    int64_t size[TAPE_MAX_RANK], stride[TAPE_MAX_RANK];
    for (int i = 0; i <= x->rank; i++) {
        size[i] = i == axis ? 1 : x->size[i - (i > axis)];
        stride[i] = i == axis ? 1 : x->stride[i - (i > axis)];
    }
    return tape__output_view(call, 0, x->rank + 1, size, stride) != NULL;
}

void tape__unsqueeze_vjp(tape__vjp *v)
{
    back_to_shape(v);
}

tape_tensor tape_unsqueeze(tape_tensor x, int axis)
{
    int64_t attr = axis;
    return tape__run(TAPE__OP_unsqueeze, &x, 1, &attr, sizeof attr);
}

/* ---- permute, transpose, flip ------------------------------------------------------------------------------------ */

bool tape__permute_forward(tape__call *call)
{
    const tape__layout *x = call->in[0]->layout;
    tape_axes order;
    unsigned mask;
    if (!read_axes(call, &order, &mask))
        return false;
    if (order.count != x->rank)
        return tape__error(call->t, TAPE_ERROR_ARGUMENT, "expects an order of %d axes for %s, got %d", x->rank,
                           TAPE__LAYOUT_TEXT(x), order.count);
    int64_t size[TAPE_MAX_RANK], stride[TAPE_MAX_RANK];
    for (int i = 0; i < x->rank; i++) {
        int from = tape__axis(order.axis[i], x->rank);
        size[i] = x->size[from];
        stride[i] = x->stride[from];
    }
    return tape__output_view(call, 0, x->rank, size, stride) != NULL;
}

void tape__permute_vjp(tape__vjp *v)
{
    const struct axis_list *order = v->attr;
    tape_axes inverse = {.count = (int)order->count};
    for (int i = 0; i < inverse.count; i++)
        inverse.axis[tape__axis((int)order->axis[i], inverse.count)] = i;
    v->gx[0] = tape_permute(v->gy[0], inverse);
}

tape_tensor tape_permute(tape_tensor x, tape_axes order)
{
    return run_with_axes(TAPE__OP_permute, x, order);
}

bool tape__transpose_forward(tape__call *call)
{
    const struct axis_pair *attr = call->attr;
    const tape__layout *x = call->in[0]->layout;
    int a, b;
    if (!tape__check_axis_or_scalar(call->t, attr->a, x, &a) || !tape__check_axis_or_scalar(call->t, attr->b, x, &b))
        return false;
    int64_t size[TAPE_MAX_RANK], stride[TAPE_MAX_RANK];
    for (int i = 0; i < x->rank; i++) {
        int from = i == a ? b : i == b ? a : i;
        size[i] = x->size[from];
        stride[i] = x->stride[from];
    }
    return tape__output_view(call, 0, x->rank, size, stride) != NULL;
}

void tape__transpose_vjp(tape__vjp *v)
{
    const struct axis_pair *attr = v->attr;
    v->gx[0] = tape_transpose(v->gy[0], (int)attr->a, (int)attr->b);
}

tape_tensor tape_transpose(tape_tensor x, int axis_a, int axis_b)
{
    struct axis_pair attr = {axis_a, axis_b};
    return tape__run(TAPE__OP_transpose, &x, 1, &attr, sizeof attr);
}

bool tape__flip_forward(tape__call *call)
{
    const tape__layout *x = call->in[0]->layout;
    tape_axes axes;
    unsigned mask;
    if (!read_axes(call, &axes, &mask))
        return false;
    int64_t stride[TAPE_MAX_RANK], offset = 0;
    for (int i = 0; i < x->rank; i++) {
        bool turned = (mask & 1u << i) && x->size[i] > 1;
        stride[i] = turned ? -x->stride[i] : x->stride[i];
        offset += turned ? (x->size[i] - 1) * x->stride[i] : 0;
    }
    return tape__output_view(call, offset, x->rank, x->size, stride) != NULL;
}

void tape__flip_vjp(tape__vjp *v)
{
    const struct axis_list *attr = v->attr;
    tape_axes axes = {.count = (int)attr->count};
    for (int i = 0; i < axes.count; i++)
        axes.axis[i] = (int)attr->axis[i];
    v->gx[0] = tape_flip(v->gy[0], axes);
}

tape_tensor tape_flip(tape_tensor x, tape_axes axes)
{
    return run_with_axes(TAPE__OP_flip, x, axes);
}

/* ---- expand ------------------------------------------------------------------------------------------------------ */

bool tape__expand_forward(tape__call *call)
{
    const struct sizes *attr = call->attr;
    const tape__layout *x = call->in[0]->layout;
    if (attr->rank < x->rank || attr->rank > TAPE_MAX_RANK)
        return tape__error(call->t, TAPE_ERROR_ARGUMENT, "rank %d is outside %d to %d", (int)attr->rank, x->rank,
                           TAPE_MAX_RANK);
    int rank = (int)attr->rank, lead = rank - x->rank;
    int64_t size[TAPE_MAX_RANK], stride[TAPE_MAX_RANK], numel;
    bool fits = true;
    for (int i = 0; i < rank; i++) {
        size[i] = attr->size[i] == -1 && i >= lead ? x->size[i - lead] : attr->size[i];
        fits = fits && (i < lead || size[i] == x->size[i - lead] || x->size[i - lead] == 1);
    }
    if (!fits || !tape__shape_numel(rank, size, &numel))
        return tape__error(call->t, TAPE_ERROR_SHAPE, "cannot stretch %s to %s", TAPE__LAYOUT_TEXT(x),
                           tape__shape_text(rank, attr->size).text);
    tape__broadcast_strides(x, rank, size, stride);
    return tape__output_view(call, 0, rank, size, stride) != NULL;
}

void tape__expand_vjp(tape__vjp *v)
{
    v->gx[0] = tape__sum_to(v->gy[0], tape_shape_of(v->x[0]));
}

tape_tensor tape_expand(tape_tensor x, tape_shape shape)
{
    return run_with_shape(TAPE__OP_expand, x, shape);
}

/* ---- cast -------------------------------------------------------------------------------------------------------- */

bool tape__cast_forward(tape__call *call)
{
    const tape__node *x = call->in[0];
    int64_t wanted = *(const int64_t *)call->attr;
    if (wanted < TAPE_F32 || wanted > TAPE_U8)
        return tape__error(call->t, TAPE_ERROR_DTYPE, "%d is no dtype", (int)wanted);
    tape_dtype dtype = wanted == TAPE_F32 && call->t->promote ? TAPE_F64 : (tape_dtype)wanted;
    const tape__layout *layout = x->layout;
    if (dtype == x->dtype)
        return tape__output_view(call, 0, layout->rank, layout->size, layout->stride) != NULL;
    tape__node *y = tape__output(call, dtype, layout->rank, layout->size);
    if (!y)
        return false;
    tape__cast(tape__threads_of(call->t), layout->rank, layout->size, x->dtype, x->data, layout->stride, dtype,
               y->data);
    return true;
}

/* Whole numbers have no derivative: only f32 <-> f64 passes one on. */
void tape__cast_vjp(tape__vjp *v)
{
    if (tape_dtype_of(v->y[0]) <= TAPE_F64)
        v->gx[0] = tape_cast(v->gy[0], tape_dtype_of(v->x[0]));
}

tape_tensor tape_cast(tape_tensor x, tape_dtype dtype)
{
    int64_t attr = (int64_t)dtype;
    return tape__run(TAPE__OP_cast, &x, 1, &attr, sizeof attr);
}
