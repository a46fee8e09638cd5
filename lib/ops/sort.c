/* Ops that order elements: sort, topk, searchsorted. */
#include "kernels/any/sort.h"

#include "region.h"

struct sort {
    int64_t axis, descending;
};

bool tape__sort_forward(tape__call *call)
{
    const struct sort *attr = call->attr;
    const tape__node *x = call->in[0];
    int axis;
    if (!tape__check_axis_or_scalar(call->t, attr->axis, x->layout, &axis))
        return false;
    tape__axis_cut cut = tape__cut_at(x->layout, axis);
    const unsigned char *data = tape__dense_data(call->t, x);
    tape__node *y = data ? tape__output_like(call, x) : NULL;
    tape__node *index = y ? tape__output(call, TAPE_I64, x->layout->rank, x->layout->size) : NULL;
    void *work = index ? tape__scratch(call->t, tape__sort_work(cut.n) + 1) : NULL;
    if (!work)
        return false;
    size_t item = tape_dtype_size(x->dtype);
    for (int64_t o = 0; o < cut.outer; o++)
        for (int64_t k = 0; k < cut.inner; k++) {
            int64_t at = o * cut.n * cut.inner + k;
            tape__sort_line(x->dtype, attr->descending != 0, cut.n, cut.inner, data + (size_t)at * item,
                            (unsigned char *)y->data + (size_t)at * item, (int64_t *)index->data + at, work);
        }
    return true;
}

void tape__sort_vjp(tape__vjp *v)
{
    int axis = (int)((const struct sort *)v->attr)->axis;
    v->gx[0] = tape__place_along(v->gy[0], v->y[1], axis, tape_shape_of(v->x[0]));
}

tape_tensor tape_sort(tape_tensor x, int axis, bool descending, tape_tensor *indices)
{
    struct sort attr = {axis, descending};
    tape_tensor y = tape__run(TAPE__OP_sort, &x, 1, &attr, sizeof attr);
    if (indices)
        *indices = tape__sibling(y, 1);
    return y;
}

tape_tensor tape_topk(tape_tensor x, int64_t k, int axis, bool smallest, tape_tensor *indices)
{
    tape *t = tape__begin("topk");
    if (!t) {
        if (indices)
            *indices = TAPE_NULL;
        return TAPE_NULL;
    }
    const char *before = tape__enter(t, "topk");
    bool scalar = tape_rank(x) == 0;
    tape_tensor places, sorted = tape_sort(scalar ? tape_reshape(x, TAPE_SHAPE(1)) : x, axis, !smallest, &places);
    tape_tensor y = tape_narrow(sorted, axis, 0, k);
    if (indices)
        *indices = tape_narrow(places, axis, 0, k);
    return tape__leave(t, before, TAPE__OP_topk, y);
}

bool tape__searchsorted_forward(tape__call *call)
{
    const tape__node *sorted = call->in[0], *x = call->in[1];
    const tape__layout *lines = sorted->layout, *layout = x->layout;
    bool fits = lines->rank == 1 || (lines->rank > 1 && lines->rank == layout->rank);
    for (int i = 0; fits && lines->rank > 1 && i < lines->rank - 1; i++)
        fits = lines->size[i] == layout->size[i];
    if (!fits)
        return tape__error(call->t, TAPE_ERROR_SHAPE, "values of shape %s do not fit sorted lines of shape %s",
                           TAPE__LAYOUT_TEXT(layout), TAPE__LAYOUT_TEXT(lines));
    if (sorted->dtype != x->dtype)
        return tape__error(call->t, TAPE_ERROR_DTYPE, "expects one dtype, got %s and %s",
                           tape_dtype_name(sorted->dtype), tape_dtype_name(x->dtype));
    const unsigned char *line = tape__dense_data(call->t, sorted);
    const unsigned char *values = line ? tape__dense_data(call->t, x) : NULL;
    tape__node *y = values ? tape__output(call, TAPE_I64, layout->rank, layout->size) : NULL;
    if (!y)
        return false;
    size_t item = tape_dtype_size(x->dtype);
    int64_t n = lines->size[lines->rank - 1], width = lines->rank > 1 ? layout->size[layout->rank - 1] : 0;
    bool right = *(const int64_t *)call->attr != 0;
    for (int64_t k = 0; k < layout->numel; k++) {
        int64_t row = width ? k / width : 0;
        ((int64_t *)y->data)[k] =
            tape__search(x->dtype, right, n, line + (size_t)(row * n) * item, values + (size_t)k * item);
    }
    return true;
}

tape_tensor tape_searchsorted(tape_tensor sorted, tape_tensor values, bool right)
{
    int64_t attr = right;
    return tape__run(TAPE__OP_searchsorted, (tape_tensor[]){sorted, values}, 2, &attr, sizeof attr);
}
