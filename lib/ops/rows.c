/* Ops that choose whole rows: index_select and embedding, and the pair of transposes behind them. */
#include <string.h>

#include "kernels/any/index.h"
#include "region.h"

struct rows {
    int64_t axis, skip;
    int64_t rank; /* of `size`: place_rows's alone */
    int64_t size[TAPE_MAX_RANK];
};
#define ROWS_SHORT offsetof(struct rows, rank)

static tape_tensor run_rows(int op, tape_tensor x, tape_tensor index, int64_t axis, int64_t skip)
{
    struct rows attr = {.axis = axis, .skip = skip};
    return tape__run(op, (tape_tensor[]){x, index}, 2, &attr, ROWS_SHORT);
}

/* The chosen rows; the index's axes take the place of `axis`, or its one axis does if `flat`. */
static bool take_rows(tape__call *call, int64_t wanted, int64_t skip, bool flat)
{
    const tape__node *x = call->in[0];
    const tape__layout *layout = x->layout, *places = call->in[1]->layout;
    int axis, index_rank = flat ? 1 : places->rank, rank = layout->rank - 1 + index_rank;
    if (!tape__check_axis(call->t, wanted, layout, &axis))
        return false;
    if (rank > TAPE_MAX_RANK)
        return tape__error(call->t, TAPE_ERROR_SHAPE, "rows of %s at %s would have rank %d", TAPE__LAYOUT_TEXT(layout),
                           TAPE__LAYOUT_TEXT(places), rank);
    int64_t size[TAPE_MAX_RANK], numel;
    for (int i = 0; i < rank; i++)
        size[i] = i < axis                 ? layout->size[i]
                  : i >= axis + index_rank ? layout->size[i + 1 - index_rank]
                  : flat                   ? places->numel
                                           : places->size[i - axis];
    if (!tape__shape_numel(rank, size, &numel))
        return tape__error(call->t, TAPE_ERROR_SHAPE, "the result is too large");
    const int64_t *index = tape__check_index(call->t, call->in[1], layout->size[axis], skip, false);
    const void *data = index ? tape__dense_data(call->t, x) : NULL;
    tape__node *y = data ? tape__output(call, x->dtype, rank, size) : NULL;
    if (!y)
        return false;
    tape__axis_cut cut = tape__cut_at(layout, axis);
    tape__rows rows = {cut.outer, cut.n, cut.inner, places->numel, skip, index};
    tape__rows_take(&rows, tape_dtype_size(x->dtype), data, y->data);
    return true;
}

/* ---- the pair ---------------------------------------------------------------------------------------------------- */

tape_tensor tape__take_rows(tape_tensor x, tape_tensor index, int axis, int64_t skip)
{
    return run_rows(TAPE__OP_take_rows, x, index, axis, skip);
}

bool tape__take_rows_forward(tape__call *call)
{
    const struct rows *attr = call->attr;
    return take_rows(call, attr->axis, attr->skip, false);
}

void tape__take_rows_vjp(tape__vjp *v)
{
    const struct rows *attr = v->attr;
    tape_shape shape = tape_shape_of(v->x[0]);
    tape__into(v, 0);
    v->gx[0] = tape__place_rows(v->gy[0], v->x[1], (int)attr->axis, attr->skip, shape);
}

tape_tensor tape__place_rows(tape_tensor g, tape_tensor index, int axis, int64_t skip, tape_shape shape)
{
    struct rows attr = {.axis = axis, .skip = skip, .rank = shape.rank};
    memcpy(attr.size, shape.size, (size_t)shape.rank * sizeof *shape.size);
    return tape__run(TAPE__OP_place_rows, (tape_tensor[]){g, index}, 2, &attr, sizeof attr);
}

bool tape__place_rows_forward(tape__call *call)
{
    const struct rows *attr = call->attr;
    const tape__node *g = call->in[0];
    const tape__layout *table = tape__layout_dense(&call->t->layouts, (int)attr->rank, attr->size);
    int axis;
    if (!table)
        return tape__error(call->t, TAPE_ERROR_MEMORY, "out of memory");
    if (!tape__check_float(call->t, g) || !tape__check_axis(call->t, attr->axis, table, &axis))
        return false;
    tape__axis_cut cut = tape__cut_at(table, axis);
    const tape__layout *places = call->in[1]->layout;
    int64_t numel;
    if (!tape__mul_size(cut.outer * cut.inner, places->numel, &numel) || numel != g->layout->numel)
        return tape__error(call->t, TAPE_ERROR_SHAPE, "%s are no rows of %s at %s", TAPE__LAYOUT_TEXT(g->layout),
                           TAPE__LAYOUT_TEXT(table), TAPE__LAYOUT_TEXT(places));
    const int64_t *index = tape__check_index(call->t, call->in[1], cut.n, attr->skip, false);
    const void *data = index ? tape__dense_data(call->t, g) : NULL;
    tape__node *y = data ? tape__zeros_output(call, g->dtype, table->rank, table->size) : NULL;
    if (!y)
        return false;
    tape__rows rows = {cut.outer, cut.n, cut.inner, places->numel, attr->skip, index};
    tape__rows_add(&rows, g->dtype, y->data, data);
    return true;
}

/* A scalar index may stand for a row that has kept its axis: only the shape tells. */
void tape__place_rows_vjp(tape__vjp *v)
{
    const struct rows *attr = v->attr;
    tape_tensor rows = tape__take_rows(v->gy[0], v->x[1], (int)attr->axis, attr->skip);
    v->gx[0] = tape_reshape(rows, tape_shape_of(v->x[0]));
}

/* ---- index_select, embedding ------------------------------------------------------------------------------------- */

bool tape__index_select_forward(tape__call *call)
{
    const struct rows *attr = call->attr;
    const tape__layout *index = call->in[1]->layout;
    if (index->rank > 1)
        return tape__error(call->t, TAPE_ERROR_SHAPE, "expects an index of rank 0 or 1, got %s",
                           TAPE__LAYOUT_TEXT(index));
    return take_rows(call, attr->axis, attr->skip, true);
}

void tape__index_select_vjp(tape__vjp *v)
{
    tape__take_rows_vjp(v);
}

tape_tensor tape_index_select(tape_tensor x, int axis, tape_tensor index)
{
    return run_rows(TAPE__OP_index_select, x, index, axis, TAPE__SKIP_NONE);
}

struct embedding {
    int64_t has_padding, padding;
};

bool tape__embedding_forward(tape__call *call)
{
    const struct embedding *attr = call->attr;
    const tape__layout *weight = call->in[0]->layout;
    if (!tape__check_float(call->t, call->in[0]))
        return false;
    if (weight->rank < 1)
        return tape__error(call->t, TAPE_ERROR_SHAPE, "expects weights of rank 1 or more, got %s",
                           TAPE__LAYOUT_TEXT(weight));
    if (attr->has_padding && (attr->padding < -weight->size[0] || attr->padding >= weight->size[0]))
        return tape__error(call->t, TAPE_ERROR_ARGUMENT, "padding index %lld is out of range for %s",
                           (long long)attr->padding, TAPE__LAYOUT_TEXT(weight));
    return take_rows(call, 0, TAPE__SKIP_NONE, false);
}

void tape__embedding_vjp(tape__vjp *v)
{
    const struct embedding *attr = v->attr;
    tape_shape shape = tape_shape_of(v->x[0]);
    int64_t padding = attr->padding < 0 ? attr->padding + shape.size[0] : attr->padding;
    tape__into(v, 0);
    v->gx[0] = tape__place_rows(v->gy[0], v->x[1], 0, attr->has_padding ? padding : TAPE__SKIP_NONE, shape);
}

tape_tensor tape_embedding(tape_tensor weight, tape_tensor index, const tape_embedding_options *options)
{
    struct embedding attr = {0};
    if (options && options->has_padding) {
        attr.has_padding = true;
        attr.padding = options->padding_index;
    }
    return tape__run(TAPE__OP_embedding, (tape_tensor[]){weight, index}, 2, &attr, sizeof attr);
}
