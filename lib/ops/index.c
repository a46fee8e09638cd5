/* Ops that choose elements or rows by an index tensor, and their transposes that add into the chosen places. */
#include "kernels/any/index.h"

#include <assert.h>
#include <string.h>

#include "kernels/any/cast.h"
#include "kernels/any/copy.h"
#include "region.h"

/* ---- index tensors ----------------------------------------------------------------------------------------------- */

static bool check_range(tape *t, const int64_t *index, int64_t count, int64_t n, int64_t skip)
{
    for (int64_t k = 0; k < count; k++)
        if ((index[k] < 0 || index[k] >= n) && (index[k] != skip || skip == TAPE__SKIP_NONE))
            return tape__error(t, TAPE_ERROR_INDEX, "index %lld at place %lld is out of range for %lld elements",
                               (long long)index[k], (long long)k, (long long)n);
    return true;
}

const int64_t *tape__check_index(tape *t, const tape__node *index, int64_t n, int64_t skip, bool wrap)
{
    const tape__layout *layout = index->layout;
    if (index->dtype != TAPE_I32 && index->dtype != TAPE_I64) {
        tape__error(t, TAPE_ERROR_DTYPE, "expects i32 or i64 indices, got %s", tape_dtype_name(index->dtype));
        return NULL;
    }
    if (index->dtype == TAPE_I64 && tape__is_dense(layout) && !wrap)
        return check_range(t, index->data, layout->numel, n, skip) ? index->data : NULL;
    int64_t *copy = tape__scratch(t, ((size_t)layout->numel + 1) * sizeof *copy);
    if (!copy)
        return NULL;
    tape__cast(tape__threads_of(t), layout->rank, layout->size, index->dtype, index->data, layout->stride, TAPE_I64,
               copy);
    for (int64_t k = 0; wrap && k < layout->numel; k++)
        copy[k] += copy[k] < 0 && copy[k] >= -n ? n : 0;
    return check_range(t, copy, layout->numel, n, skip) ? copy : NULL;
}

/* ---- one_hot ----------------------------------------------------------------------------------------------------- */

struct one_hot {
    int64_t classes, dtype;
};

bool tape__one_hot_forward(tape__call *call)
{
    const struct one_hot *attr = call->attr;
    const tape__layout *x = call->in[0]->layout;
    if (attr->dtype < TAPE_F32 || attr->dtype > TAPE_U8)
        return tape__error(call->t, TAPE_ERROR_DTYPE, "%d is no dtype", (int)attr->dtype);
    if (attr->classes < 1)
        return tape__error(call->t, TAPE_ERROR_ARGUMENT, "expects at least 1 class, got %lld",
                           (long long)attr->classes);
    if (x->rank == TAPE_MAX_RANK)
        return tape__error(call->t, TAPE_ERROR_SHAPE, "%s has no room for another axis", TAPE__LAYOUT_TEXT(x));
    const int64_t *index = tape__check_index(call->t, call->in[0], attr->classes, TAPE__SKIP_NONE, false);
    if (!index)
        return false;
    int64_t size[TAPE_MAX_RANK];
    memcpy(size, x->size, sizeof size);
    size[x->rank] = attr->classes;
    tape_dtype dtype = attr->dtype == TAPE_F32 && call->t->promote ? TAPE_F64 : (tape_dtype)attr->dtype;
    tape__node *y = tape__output(call, dtype, x->rank + 1, size);
    if (!y)
        return false;
    size_t item = tape_dtype_size(dtype);
    unsigned char one[8], *data = y->data;
    tape__cast(NULL, 0, NULL, TAPE_F64, &(double){1}, NULL, dtype, one);
    memset(data, 0, (size_t)y->layout->numel * item);
    for (int64_t k = 0; k < x->numel; k++)
        memcpy(data + (size_t)(k * attr->classes + index[k]) * item, one, item);
    return true;
}

tape_tensor tape_one_hot(tape_tensor index, int64_t classes, tape_dtype dtype)
{
    struct one_hot attr = {classes, (int64_t)dtype};
    return tape__run(TAPE__OP_one_hot, &index, 1, &attr, sizeof attr);
}

/* ---- along an axis: gather, scatter_add, scatter_max ------------------------------------------------------------- */

struct along {
    int64_t axis;
    int64_t rank; /* of `size`: place_along's alone */
    int64_t size[TAPE_MAX_RANK];
};
#define ALONG_SHORT offsetof(struct along, rank)

/* A resolved axis, valid indices, and the strides of the table without that axis. */
struct lookup {
    tape__along along;
    int64_t stride[TAPE_MAX_RANK];
};

/* The index has the table's rank and, but for the axis, at most its sizes. `l` is filled but for the strides. */
static bool look_up(tape__call *call, const tape__layout *table, const tape__node *index, struct lookup *l, int *axis)
{
    tape *t = call->t;
    if (!tape__check_axis_or_scalar(t, ((const struct along *)call->attr)->axis, table, axis))
        return false;
    bool fits = index->layout->rank == table->rank;
    for (int i = 0; fits && i < table->rank; i++)
        fits = i == *axis || index->layout->size[i] <= table->size[i];
    if (!fits)
        return tape__error(t, TAPE_ERROR_SHAPE, "an index of shape %s does not fit %s along axis %d",
                           TAPE__LAYOUT_TEXT(index->layout), TAPE__LAYOUT_TEXT(table), *axis);
    l->along.index = tape__check_index(t, index, table->rank ? table->size[*axis] : 1, TAPE__SKIP_NONE, false);
    l->along.rank = index->layout->rank;
    l->along.size = index->layout->size;
    l->along.stride = l->stride;
    return l->along.index != NULL;
}

static void set_strides(struct lookup *l, const tape__layout *table, int axis)
{
    for (int i = 0; i < table->rank; i++)
        l->stride[i] = i == axis ? 0 : table->stride[i];
    l->along.step = table->rank ? table->stride[axis] : 0;
}

static bool check_source(tape *t, const tape__layout *source, const tape__layout *index)
{
    return source->dense == index->dense ||
           tape__error(t, TAPE_ERROR_SHAPE, "expects a source and an index of one shape, got %s and %s",
                       TAPE__LAYOUT_TEXT(source), TAPE__LAYOUT_TEXT(index));
}

static tape_tensor run_along(int op, const tape_tensor *inputs, int n, int axis)
{
    struct along attr = {.axis = axis};
    return tape__run(op, inputs, n, &attr, ALONG_SHORT);
}

bool tape__gather_forward(tape__call *call)
{
    const tape__node *x = call->in[0], *index = call->in[1];
    struct lookup l;
    int axis;
    if (!look_up(call, x->layout, index, &l, &axis))
        return false;
    tape__node *y = tape__output(call, x->dtype, index->layout->rank, index->layout->size);
    if (!y)
        return false;
    set_strides(&l, x->layout, axis);
    tape__gather(&l.along, tape_dtype_size(x->dtype), x->data, y->data);
    return true;
}

void tape__gather_vjp(tape__vjp *v)
{
    const struct along *attr = v->attr;
    tape_shape shape = tape_shape_of(v->x[0]);
    tape__into(v, 0);
    v->gx[0] = tape__place_along(v->gy[0], v->x[1], (int)attr->axis, shape);
}

tape_tensor tape_gather(tape_tensor x, int axis, tape_tensor index)
{
    return run_along(TAPE__OP_gather, (tape_tensor[]){x, index}, 2, axis);
}

tape_tensor tape__place_along(tape_tensor g, tape_tensor index, int axis, tape_shape shape)
{
    struct along attr = {.axis = axis, .rank = shape.rank};
    memcpy(attr.size, shape.size, (size_t)shape.rank * sizeof *shape.size);
    return tape__run(TAPE__OP_place_along, (tape_tensor[]){g, index}, 2, &attr, sizeof attr);
}

bool tape__place_along_forward(tape__call *call)
{
    const struct along *attr = call->attr;
    const tape__node *g = call->in[0];
    const tape__layout *table = tape__layout_dense(&call->t->layouts, (int)attr->rank, attr->size);
    struct lookup l;
    int axis;
    if (!table)
        return tape__error(call->t, TAPE_ERROR_MEMORY, "out of memory");
    if (!tape__check_float(call->t, g) || !check_source(call->t, g->layout, call->in[1]->layout) ||
        !look_up(call, table, call->in[1], &l, &axis))
        return false;
    const void *data = tape__dense_data(call->t, g);
    tape__node *y = data ? tape__zeros_output(call, g->dtype, table->rank, table->size) : NULL;
    if (!y)
        return false;
    set_strides(&l, table, axis);
    tape__scatter(&l.along, g->dtype, y->data, data);
    return true;
}

void tape__place_along_vjp(tape__vjp *v)
{
    const struct along *attr = v->attr;
    v->gx[0] = tape_gather(v->gy[0], (int)attr->axis, v->x[1]);
}

typedef void scatter_kernel(const tape__along *along, tape_dtype dtype, void *table, const void *x);

/* Inputs x, index, source: x with the source's elements combined into the places that the index names. */
static bool scatter_forward(tape__call *call, scatter_kernel *scatter)
{
    const tape__node *x = call->in[0], *index = call->in[1], *source = call->in[2];
    const tape__layout *layout = x->layout;
    struct lookup l;
    int axis;
    if (!tape__check_float(call->t, x))
        return false;
    if (source->dtype != x->dtype)
        return tape__error(call->t, TAPE_ERROR_DTYPE, "expects one dtype, got %s and %s", tape_dtype_name(x->dtype),
                           tape_dtype_name(source->dtype));
    if (!check_source(call->t, source->layout, index->layout) || !look_up(call, layout, index, &l, &axis))
        return false;
    const void *data = tape__dense_data(call->t, source);
    tape__node *y = data ? tape__output(call, x->dtype, layout->rank, layout->size) : NULL;
    if (!y)
        return false;
    tape__copy(tape__threads_of(call->t), tape_dtype_size(x->dtype), layout->rank, layout->size, x->data,
               layout->stride, y->data, NULL);
    set_strides(&l, y->layout, axis);
    scatter(&l.along, x->dtype, y->data, data);
    return true;
}

bool tape__scatter_add_forward(tape__call *call)
{
    return scatter_forward(call, tape__scatter);
}

void tape__scatter_add_vjp(tape__vjp *v)
{
    const struct along *attr = v->attr;
    if (v->needs[0])
        v->gx[0] = v->gy[0];
    if (v->needs[2])
        v->gx[2] = tape_gather(v->gy[0], (int)attr->axis, v->x[1]);
}

tape_tensor tape_scatter_add(tape_tensor x, int axis, tape_tensor index, tape_tensor source)
{
    return run_along(TAPE__OP_scatter_add, (tape_tensor[]){x, index, source}, 3, axis);
}

bool tape__scatter_max_forward(tape__call *call)
{
    return scatter_forward(call, tape__scatter_max);
}

/* The elements of x and of the source that equal the result share its cotangent. */
void tape__scatter_max_vjp(tape__vjp *v)
{
    int axis = (int)((const struct along *)v->attr)->axis;
    tape_tensor x = v->x[0], index = v->x[1], source = v->x[2], y = v->y[0];
    tape_dtype dtype = tape_dtype_of(x);
    tape_tensor x_won = tape_cast(tape_eq(x, y), dtype);
    tape_tensor source_won = tape_cast(tape_eq(source, tape_gather(y, axis, index)), dtype);
    tape_tensor share = tape_div(v->gy[0], tape_scatter_add(x_won, axis, index, source_won));
    if (v->needs[0])
        v->gx[0] = tape_mul(share, x_won);
    if (v->needs[2])
        v->gx[2] = tape_mul(tape_gather(share, axis, index), source_won);
}

tape_tensor tape_scatter_max(tape_tensor x, int axis, tape_tensor index, tape_tensor source)
{
    return run_along(TAPE__OP_scatter_max, (tape_tensor[]){x, index, source}, 3, axis);
}
