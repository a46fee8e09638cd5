/* Choices by several index tensors or by a mask: index_get, index_put, take_along, masked_select, masked_fill. All end
 * in rows of a flattened tensor, chosen by positions that are worked out here. */
#include <string.h>

#include "kernels/any/index.h"
#include "region.h"

/* ---- positions --------------------------------------------------------------------------------------------------- */

struct sizes {
    int64_t size[TAPE_MAX_RANK];
};

/* Index tensors for the leading axes of a tensor, broadcast together, to row-major positions in those axes. */
bool tape__ravel_index_forward(tape__call *call)
{
    const struct sizes *attr = call->attr;
    int64_t size[TAPE_MAX_RANK];
    int rank = 0;
    for (int i = 0; i < call->n_in; i++) {
        const tape__layout *index = call->in[i]->layout;
        if (!tape__broadcast(rank, size, index->rank, index->size, &rank, size))
            return tape__error(call->t, TAPE_ERROR_SHAPE, "index %d of shape %s does not broadcast with those before",
                               i, TAPE__LAYOUT_TEXT(index));
    }
    tape__node *y = tape__output(call, TAPE_I64, rank, size);
    if (!y)
        return false;
    memset(y->data, 0, (size_t)y->layout->numel * sizeof(int64_t));
    for (int i = 0; i < call->n_in; i++) {
        const int64_t *index = tape__check_index(call->t, call->in[i], attr->size[i], TAPE__SKIP_NONE, true);
        if (!index)
            return false;
        int64_t stride[TAPE_MAX_RANK];
        tape__broadcast_strides(call->in[i]->layout->dense, rank, size, stride);
        tape__ravel(rank, size, attr->size[i], index, stride, y->data);
    }
    return true;
}

/* For each of attr[0] rows: which element of the index names it last, -1 for none; and whether there is one. */
bool tape__row_sources_forward(tape__call *call)
{
    int64_t n = *(const int64_t *)call->attr;
    const int64_t *index = tape__check_index(call->t, call->in[0], n, TAPE__SKIP_NONE, false);
    tape__node *source = index ? tape__output(call, TAPE_I64, 1, &n) : NULL;
    tape__node *found = source ? tape__output(call, TAPE_U8, 1, &n) : NULL;
    if (!found)
        return false;
    int64_t *sources = source->data;
    uint8_t *flags = found->data;
    for (int64_t row = 0; row < n; row++)
        sources[row] = -1;
    for (int64_t k = 0; k < call->in[0]->layout->numel; k++)
        sources[index[k]] = k;
    for (int64_t row = 0; row < n; row++)
        flags[row] = sources[row] >= 0;
    return true;
}

/* The row-major positions of the elements of a mask that are set. */
bool tape__mask_positions_forward(tape__call *call)
{
    const tape__node *mask = call->in[0];
    if (mask->dtype != TAPE_U8)
        return tape__error(call->t, TAPE_ERROR_DTYPE, "expects a u8 mask, got %s", tape_dtype_name(mask->dtype));
    const uint8_t *set = tape__dense_data(call->t, mask);
    if (!set)
        return false;
    int64_t count = 0, filled = 0;
    for (int64_t k = 0; k < mask->layout->numel; k++)
        count += set[k] != 0;
    tape__node *y = tape__output(call, TAPE_I64, 1, &count);
    if (!y)
        return false;
    for (int64_t k = 0; k < mask->layout->numel; k++)
        if (set[k])
            ((int64_t *)y->data)[filled++] = k;
    return true;
}

/* ---- index_get, index_put ---------------------------------------------------------------------------------------- */

/* x with its leading axes, the indexed ones, made one; and the positions there. */
struct choice {
    tape_shape shape; /* of x */
    tape_tensor flat, positions;
    tape_shape flat_shape, chosen_shape; /* chosen: the positions' shape and the rest of x's */
};

static bool choose(tape *t, tape_tensor x, const tape_tensor *indices, int n, struct choice *c)
{
    c->shape = tape_shape_of(x);
    if (n < 1 || n > c->shape.rank)
        return tape__error(t, TAPE_ERROR_ARGUMENT, "expects 1 to %d index tensors for %s, got %d", c->shape.rank,
                           tape__shape_text(c->shape.rank, c->shape.size).text, n);
    struct sizes attr = {{0}};
    int64_t rows = 1;
    for (int i = 0; i < n; i++)
        rows *= attr.size[i] = c->shape.size[i];
    c->positions = tape__run(TAPE__OP_ravel_index, indices, n, &attr, sizeof attr);
    c->chosen_shape = tape_shape_of(c->positions);
    int rest = c->shape.rank - n;
    if (c->chosen_shape.rank + rest > TAPE_MAX_RANK)
        return tape__error(t, TAPE_ERROR_SHAPE, "the result would have rank %d", c->chosen_shape.rank + rest);
    c->flat_shape = (tape_shape){1 + rest, {rows}};
    for (int i = 0; i < rest; i++) {
        c->flat_shape.size[1 + i] = c->shape.size[n + i];
        c->chosen_shape.size[c->chosen_shape.rank++] = c->shape.size[n + i];
    }
    c->flat = tape_reshape(x, c->flat_shape);
    return t->status == TAPE_OK;
}

tape_tensor tape_index_get(tape_tensor x, const tape_tensor *indices, int n)
{
    tape *t = tape__begin("index_get");
    if (!t)
        return TAPE_NULL;
    const char *before = tape__enter(t, "index_get");
    struct choice c;
    tape_tensor y = TAPE_NULL;
    if (choose(t, x, indices, n, &c))
        y = tape__take_rows(c.flat, c.positions, 0, TAPE__SKIP_NONE);
    return tape__leave(t, before, TAPE__OP_index_get, y);
}

/* Rows of `values` over those of c->flat. What a later row replaces receives no gradient. */
static tape_tensor replace_rows(const struct choice *c, tape_tensor values)
{
    tape_shape rows = c->flat_shape, mask = {c->flat_shape.rank, {c->flat_shape.size[0]}};
    rows.size[0] = tape_numel(c->positions);
    for (int i = 1; i < mask.rank; i++)
        mask.size[i] = 1;
    tape_tensor source = tape__run(TAPE__OP_row_sources, &c->positions, 1, &c->flat_shape.size[0], sizeof(int64_t));
    tape_tensor found = tape__sibling(source, 1);
    tape_tensor put = tape__take_rows(tape_reshape(values, rows), source, 0, -1);
    return tape_where(tape_reshape(found, mask), put, c->flat);
}

tape_tensor tape_index_put(tape_tensor x, const tape_tensor *indices, int n, tape_tensor values, bool accumulate)
{
    tape *t = tape__begin("index_put");
    if (!t)
        return TAPE_NULL;
    const char *before = tape__enter(t, "index_put");
    struct choice c;
    tape_tensor y = TAPE_NULL;
    if (choose(t, x, indices, n, &c)) {
        tape_tensor wide = tape_expand(values, c.chosen_shape);
        y = accumulate ? tape_add(c.flat, tape__place_rows(wide, c.positions, 0, TAPE__SKIP_NONE, c.flat_shape))
                       : replace_rows(&c, wide);
        y = tape_reshape(y, c.shape);
    }
    return tape__leave(t, before, TAPE__OP_index_put, y);
}

/* ---- take_along -------------------------------------------------------------------------------------------------- */

tape_tensor tape_take_along(tape_tensor x, tape_tensor index, int axis)
{
    tape *t = tape__begin("take_along");
    if (!t)
        return TAPE_NULL;
    const char *before = tape__enter(t, "take_along");
    tape_shape table = tape_shape_of(x), places = tape_shape_of(index);
    int at = tape__axis(axis, table.rank), rank;
    tape_tensor y = TAPE_NULL;
    if (at < 0 && table.rank > 0) {
        tape__error(t, TAPE_ERROR_ARGUMENT, "axis %d is out of range for %s", axis,
                    tape__shape_text(table.rank, table.size).text);
    } else {
        int64_t x_size = 1, index_size = 1;
        if (at >= 0 && places.rank == table.rank) {
            x_size = table.size[at];
            index_size = places.size[at];
            table.size[at] = places.size[at] = 1;
        }
        if (places.rank != table.rank ||
            !tape__broadcast(table.rank, table.size, places.rank, places.size, &rank, table.size)) {
            tape__error(t, TAPE_ERROR_SHAPE, "an index of shape %s does not fit along axis %d",
                        tape__shape_text(places.rank, places.size).text, axis);
        } else {
            places = table;
            if (at >= 0) {
                table.size[at] = x_size;
                places.size[at] = index_size;
            }
            y = tape_gather(tape_expand(x, table), axis, tape_expand(index, places));
        }
    }
    return tape__leave(t, before, TAPE__OP_take_along, y);
}

/* ---- masks ------------------------------------------------------------------------------------------------------- */

tape_tensor tape_masked_select(tape_tensor x, tape_tensor mask)
{
    tape *t = tape__begin("masked_select");
    if (!t)
        return TAPE_NULL;
    const char *before = tape__enter(t, "masked_select");
    tape_shape a = tape_shape_of(x), b = tape_shape_of(mask), both;
    tape_tensor y = TAPE_NULL;
    if (!tape__broadcast(a.rank, a.size, b.rank, b.size, &both.rank, both.size)) {
        tape__error(t, TAPE_ERROR_SHAPE, "a mask of shape %s does not broadcast with %s",
                    tape__shape_text(b.rank, b.size).text, tape__shape_text(a.rank, a.size).text);
    } else {
        tape_tensor wide = tape_expand(mask, both);
        tape_tensor positions = tape__run(TAPE__OP_mask_positions, &wide, 1, NULL, 0);
        tape_tensor flat = tape_flatten(tape_expand(x, both), 0, -1);
        y = tape__take_rows(flat, positions, 0, TAPE__SKIP_NONE);
    }
    return tape__leave(t, before, TAPE__OP_masked_select, y);
}

tape_tensor tape_masked_fill(tape_tensor x, tape_tensor mask, double value)
{
    tape *t = tape__begin("masked_fill");
    if (!t)
        return TAPE_NULL;
    const char *before = tape__enter(t, "masked_fill");
    tape_tensor wide = tape_expand(mask, tape_shape_of(x));
    tape_tensor y = tape_where(wide, tape_scalar(tape_dtype_of(x), value), x);
    return tape__leave(t, before, TAPE__OP_masked_fill, y);
}
