/* Regions put back into zeros and taken out again, and the checks of axes. Does not know which views there are. */
#include "region.h"

#include <string.h>

#include "kernels/any/copy.h"
#include "kernels/any/index.h"

struct place {
    tape__region region;
    int64_t rank;
    int64_t size[TAPE_MAX_RANK];
};

tape_tensor tape__place_region(tape_tensor g, const tape__region *region, tape_shape shape)
{
    struct place attr = {.region = *region, .rank = shape.rank};
    memcpy(attr.size, shape.size, (size_t)shape.rank * sizeof *shape.size);
    return tape__run(TAPE__OP_place_region, &g, 1, &attr, sizeof attr);
}

bool tape__place_region_forward(tape__call *call)
{
    const struct place *attr = call->attr;
    const tape__region *region = &attr->region;
    const tape__node *g = call->in[0];
    tape__node *y = tape__output(call, g->dtype, (int)attr->rank, attr->size);
    if (!y)
        return false;
    size_t item = tape_dtype_size(g->dtype);
    memset(y->data, 0, (size_t)y->layout->numel * item);
    tape__add_strided(g->dtype, (int)region->rank, region->size,
                      (unsigned char *)y->data + (size_t)region->offset * item, region->stride, g->data,
                      g->layout->stride);
    return true;
}

void tape__place_region_vjp(tape__vjp *v)
{
    const struct place *attr = v->attr;
    v->gx[0] = tape__take_region(v->gy[0], &attr->region);
}

struct take {
    tape__region region;
};

tape_tensor tape__take_region(tape_tensor x, const tape__region *region)
{
    struct take attr = {*region};
    return tape__run(TAPE__OP_take_region, &x, 1, &attr, sizeof attr);
}

bool tape__take_region_forward(tape__call *call)
{
    const tape__region *region = &((const struct take *)call->attr)->region;
    const tape__node *x = call->in[0];
    int rank = (int)region->rank;
    if (tape__is_dense(x->layout))
        return tape__output_view(call, region->offset, rank, region->size, region->stride) != NULL;
    const unsigned char *data = tape__dense_data(call->t, x);
    tape__node *y = data ? tape__output(call, x->dtype, rank, region->size) : NULL;
    if (!y)
        return false;
    size_t item = tape_dtype_size(x->dtype);
    tape__copy(tape__threads_of(call->t), item, rank, region->size, data + (size_t)region->offset * item,
               region->stride, y->data, NULL);
    return true;
}

void tape__take_region_vjp(tape__vjp *v)
{
    const struct take *attr = v->attr;
    v->gx[0] = tape__place_region(v->gy[0], &attr->region, tape_shape_of(v->x[0]));
}

/* ---- checks ------------------------------------------------------------------------------------------------------ */

bool tape__check_axis(tape *t, int64_t axis, const tape__layout *layout, int *out)
{
    *out = axis < -TAPE_MAX_RANK || axis >= TAPE_MAX_RANK ? -1 : tape__axis((int)axis, layout->rank);
    return *out >= 0 || tape__error(t, TAPE_ERROR_ARGUMENT, "axis %lld is out of range for %s", (long long)axis,
                                    TAPE__LAYOUT_TEXT(layout));
}

bool tape__check_axis_or_scalar(tape *t, int64_t axis, const tape__layout *layout, int *out)
{
    *out = 0;
    return (layout->rank == 0 && (axis == 0 || axis == -1)) || tape__check_axis(t, axis, layout, out);
}

bool tape__check_float(tape *t, const tape__node *x)
{
    return x->dtype <= TAPE_F64 ||
           tape__error(t, TAPE_ERROR_DTYPE, "expects f32 or f64, got %s", tape_dtype_name(x->dtype));
}

tape__split tape__split_at(const tape__layout *layout, int axis)
{
    tape__split split = {1, layout->rank ? layout->size[axis] : 1, 1};
    for (int i = 0; i < axis; i++)
        split.outer *= layout->size[i];
    for (int i = axis + 1; i < layout->rank; i++)
        split.inner *= layout->size[i];
    return split;
}
