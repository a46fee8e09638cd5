/* Resampling as an op: options, shapes and derivative. Places and weights are the kernel's. */
#include "interpolate.h"

#include <math.h>
#include <string.h>

#include "check.h"
#include "kernels/any/resample.h"

/* ---- options and shapes ------------------------------------------------------------------------------------------ */

/* Axis i of `axes`, whose size is `in`; an entry of 0 stands for the one before. */
static bool read_axis(tape *t, const tape__interpolate_attr *attr, int i, int64_t in, tape__resample_axis *axis)
{
    int64_t size = 0;
    double scale = 0;
    for (int k = 0; k <= i; k++) {
        if (attr->size[k] < 0 || !(attr->scale[k] >= 0) || isinf(attr->scale[k]))
            return tape__error(t, TAPE_ERROR_ARGUMENT, "size %lld and scale %g of axis %d: needs positive numbers",
                               (long long)attr->size[k], attr->scale[k], k);
        size = attr->size[k] ? attr->size[k] : size;
        scale = attr->scale[k] > 0 ? attr->scale[k] : scale;
    }
    if ((size > 0) == (scale > 0))
        return tape__error(t, TAPE_ERROR_ARGUMENT, "needs either a size or a scale");
    if (in < 1)
        return tape__error(t, TAPE_ERROR_SHAPE, "no elements to read between");
    const double out = scale > 0 ? floor((double)in * scale) : (double)size;
    if (out < 1 || out > 0x1p40)
        return tape__error(t, TAPE_ERROR_ARGUMENT, "the result would have %g elements along axis %d", out, i);
    *axis = (tape__resample_axis){in, (int64_t)out, attr->recompute_scale ? 0 : scale};
    return true;
}

/* The resampling of planes whose axes are in[], for an image of that rank. */
static bool read_call(tape__call *call, const int64_t *in, tape__resample *r)
{
    const tape__interpolate_attr *attr = call->attr;
    const tape__layout *x = call->in[0]->layout;
    const int axes = x->rank - 2;
    if (!tape__check_float(call->t, call->in[0]))
        return false;
    if (axes < 1 || axes > 3)
        return tape__error(call->t, TAPE_ERROR_SHAPE, "expects [N, C, d...] with one, two or three axes d, got %s",
                           TAPE__LAYOUT_TEXT(x));
    if (attr->mode < 0 || attr->mode > TAPE_INTERPOLATE_LINEAR)
        return tape__error(call->t, TAPE_ERROR_ARGUMENT, "mode %d is none", (int)attr->mode);
    if (attr->align_corners && attr->mode != TAPE_INTERPOLATE_LINEAR)
        return tape__error(call->t, TAPE_ERROR_ARGUMENT, "align_corners is for the linear mode");
    *r = (tape__resample){.dtype = (tape_dtype)call->in[0]->dtype,
                          .mode = (enum tape__resample_mode)attr->mode,
                          .align_corners = attr->align_corners,
                          .planes = x->size[0] * x->size[1],
                          .axis = {{1, 1, 0}, {1, 1, 0}, {1, 1, 0}}};
    for (int i = 0; i < axes; i++)
        if (!read_axis(call->t, attr, i, in[i], &r->axis[3 - axes + i]))
            return false;
    return true;
}

/* [N, C, d...], the axes d being the resampling's inputs or outputs. */
static tape__node *output(tape__call *call, const tape__resample *r, bool inputs)
{
    const tape__layout *x = call->in[0]->layout;
    int64_t size[5] = {x->size[0], x->size[1]};
    for (int i = 2; i < x->rank; i++)
        size[i] = inputs ? r->axis[3 - x->rank + i].in : r->axis[3 - x->rank + i].out;
    return tape__output(call, r->dtype, x->rank, size);
}

static bool run_kernel(tape__call *call, const tape__resample *r, tape__node *y, bool spread)
{
    int64_t bytes;
    if (!y || r->planes == 0)
        return y != NULL;
    if (!tape__resample_workspace(r, &bytes))
        return tape__error(call->t, TAPE_ERROR_MEMORY, "out of memory for the weights of %s",
                           TAPE__LAYOUT_TEXT(y->layout));
    const void *data = tape__dense_data(call->t, call->in[0]);
    void *workspace = data ? tape__scratch(call->t, (size_t)bytes) : NULL;
    if (workspace)
        (spread ? tape__resample_spread : tape__resample_run)(r, data, y->data, workspace, tape__threads_of(call->t));
    return workspace != NULL;
}

/* ---- both directions --------------------------------------------------------------------------------------------- */

bool tape__interpolate_forward(tape__call *call)
{
    tape__resample r;
    return read_call(call, call->in[0]->layout->size + 2, &r) && run_kernel(call, &r, output(call, &r, false), false);
}

void tape__interpolate_vjp(tape__vjp *v)
{
    tape__interpolate_attr attr = *(const tape__interpolate_attr *)v->attr;
    const tape_shape shape = tape_shape_of(v->x[0]);
    for (int i = 0; i < shape.rank - 2; i++)
        attr.in[i] = shape.size[2 + i];
    v->gx[0] = tape__interpolate_spread(v->gy[0], &attr);
}

tape_tensor tape__interpolate_spread(tape_tensor g, const tape__interpolate_attr *attr)
{
    return tape__run(TAPE__OP_interpolate_spread, &g, 1, attr, sizeof *attr);
}

bool tape__interpolate_spread_forward(tape__call *call)
{
    tape__resample r;
    const tape__layout *g = call->in[0]->layout;
    if (!read_call(call, ((const tape__interpolate_attr *)call->attr)->in, &r))
        return false;
    for (int i = 2; i < g->rank; i++)
        if (g->size[i] != r.axis[3 - g->rank + i].out)
            return tape__error(call->t, TAPE_ERROR_SHAPE, "%s is no cotangent of the result", TAPE__LAYOUT_TEXT(g));
    return run_kernel(call, &r, output(call, &r, true), true);
}

void tape__interpolate_spread_vjp(tape__vjp *v)
{
    tape__interpolate_attr attr = *(const tape__interpolate_attr *)v->attr;
    memset(attr.in, 0, sizeof attr.in);
    v->gx[0] = tape__run(TAPE__OP_interpolate, v->gy, 1, &attr, sizeof attr);
}

tape_tensor tape_interpolate(tape_tensor x, const tape_interpolate_options *options)
{
    tape__interpolate_attr attr = {0};
    for (int i = 0; options && i < 3; i++) {
        attr.size[i] = options->size[i];
        attr.scale[i] = options->scale[i];
    }
    if (options) {
        attr.mode = (int32_t)options->mode;
        attr.align_corners = options->align_corners;
        attr.recompute_scale = options->recompute_scale;
    }
    return tape__run(TAPE__OP_interpolate, &x, 1, &attr, sizeof attr);
}
