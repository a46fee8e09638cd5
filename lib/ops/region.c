/* Regions put back into zeros and taken out again. Does not know which views there are. */
#include "region.h"

#include <string.h>

#include "kernels/any/copy.h"
#include "kernels/any/index.h"

/* Both ops know the region's shape and that of the whole tensor. */
struct placement {
    tape__region region;
    int64_t rank;
    int64_t size[TAPE_MAX_RANK];
};

static tape_tensor run(int op, tape_tensor x, const tape__region *region, tape_shape whole)
{
    struct placement attr = {.region = *region, .rank = whole.rank};
    memcpy(attr.size, whole.size, (size_t)whole.rank * sizeof *whole.size);
    return tape__run(op, &x, 1, &attr, sizeof attr);
}

static bool check_shape(tape *t, const tape__layout *x, int64_t rank, const int64_t *size)
{
    return (x->rank == rank && memcmp(x->size, size, (size_t)rank * sizeof *size) == 0) ||
           tape__error(t, TAPE_ERROR_SHAPE, "expects %s, got %s", tape__shape_text((int)rank, size).text,
                       TAPE__LAYOUT_TEXT(x));
}

tape_tensor tape__place_region(tape_tensor g, const tape__region *region, tape_shape shape)
{
    return run(TAPE__OP_place_region, g, region, shape);
}

bool tape__place_region_forward(tape__call *call)
{
    const struct placement *attr = call->attr;
    const tape__region *region = &attr->region;
    const tape__node *g = call->in[0];
    if (!tape__check_float(call->t, g) || !check_shape(call->t, g->layout, region->rank, region->size))
        return false;
    tape__node *y = tape__zeros_output(call, g->dtype, (int)attr->rank, attr->size);
    if (!y)
        return false;
    size_t item = tape_dtype_size(g->dtype);
    tape__add_strided(call->t->kernels, g->dtype, (int)region->rank, region->size,
                      (unsigned char *)y->data + (size_t)region->offset * item, region->stride, g->data,
                      g->layout->stride);
    return true;
}

void tape__place_region_vjp(tape__vjp *v)
{
    const struct placement *attr = v->attr;
    v->gx[0] = tape__take_region(v->gy[0], &attr->region, tape_shape_of(v->y[0]));
}

tape_tensor tape__take_region(tape_tensor x, const tape__region *region, tape_shape shape)
{
    return run(TAPE__OP_take_region, x, region, shape);
}

bool tape__take_region_forward(tape__call *call)
{
    const struct placement *attr = call->attr;
    const tape__region *region = &attr->region;
    const tape__node *x = call->in[0];
    int rank = (int)region->rank;
    if (!check_shape(call->t, x->layout, attr->rank, attr->size))
        return false;
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
    const struct placement *attr = v->attr;
    tape_shape shape = tape_shape_of(v->x[0]);
    tape__into(v, 0);
    v->gx[0] = tape__place_region(v->gy[0], &attr->region, shape);
}
