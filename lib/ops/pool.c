/* Pooling as ops: options, shapes and derivatives. The windows are the kernels'. */
#include "pool.h"

#include <string.h>

#include "kernels/any/pool.h"
#include "product.h"
#include "region.h"

/* ---- options and shapes ------------------------------------------------------------------------------------------ */

static bool check_range(tape *t, const char *what, int64_t value, int64_t low, int64_t high)
{
    return (value >= low && value <= high) || tape__error(t, TAPE_ERROR_ARGUMENT, "%s is %lld, outside %lld ... %lld",
                                                          what, (long long)value, (long long)low, (long long)high);
}

/* One axis of the windows on `in` elements. */
static bool read_axis(tape *t, const tape__pool_attr *attr, int i, int64_t in, tape__pool_axis *axis)
{
    if (attr->adaptive) {
        *axis = (tape__pool_axis){.in = in, .out = attr->out[i], .dilation = 1};
        return check_range(t, "the number of windows", attr->out[i], 1, INT64_C(1) << 40);
    }
    *axis = (tape__pool_axis){.in = in,
                              .kernel = attr->kernel[i],
                              .stride = attr->stride[i] ? attr->stride[i] : attr->kernel[i],
                              .padding = attr->padding[i],
                              .dilation = attr->dilation[i] ? attr->dilation[i] : 1};
    if (!check_range(t, "kernel", axis->kernel, 1, INT32_MAX) ||
        !check_range(t, "stride", axis->stride, 1, INT32_MAX) ||
        !check_range(t, "padding", axis->padding, 0, axis->kernel / 2) ||
        !check_range(t, "dilation", axis->dilation, 1, INT32_MAX))
        return false;
    int64_t room = in + 2 * axis->padding - axis->dilation * (axis->kernel - 1) - 1;
    if (attr->ceil_mode)
        room += axis->stride - 1;
    axis->out = room < 0 ? 0 : room / axis->stride + 1;
    if (attr->ceil_mode && (axis->out - 1) * axis->stride >= in + axis->padding)
        axis->out--;
    return axis->out > 0 || tape__error(t, TAPE_ERROR_SHAPE, "a window of %lld, dilated by %lld, does not fit %lld",
                                        (long long)axis->kernel, (long long)axis->dilation, (long long)in);
}

/* The windows on images of shape [N, C, d...] or [C, d...] whose axes are `size`. */
static bool read_windows(tape__call *call, const int64_t *size, tape__pooling *pool)
{
    const tape__pool_attr *attr = call->attr;
    const tape__node *x = call->in[0];
    const int rank = x->layout->rank;
    if (!tape__check_float(call->t, x))
        return false;
    if (rank != attr->axes + 1 && rank != attr->axes + 2)
        return tape__error(call->t, TAPE_ERROR_SHAPE, "expects [N, C, %s] or [C, %s], got %s",
                           attr->axes == 1 ? "d" : "h, w", attr->axes == 1 ? "d" : "h, w",
                           TAPE__LAYOUT_TEXT(x->layout));
    *pool = (tape__pooling){.dtype = (tape_dtype)x->dtype,
                            .planes = 1,
                            .axis = {{1, 1, 0, 1, 0, 1}},
                            .exclude_padding = attr->exclude_padding,
                            .divisor = attr->divisor};
    for (int i = 0; i < rank - attr->axes; i++)
        pool->planes *= x->layout->size[i];
    for (int i = 0; i < attr->axes; i++) {
        if (size[i] < 1)
            return tape__error(call->t, TAPE_ERROR_SHAPE, "no elements to pool in %s", TAPE__LAYOUT_TEXT(x->layout));
        if (!read_axis(call->t, attr, i, size[i], &pool->axis[2 - attr->axes + i]))
            return false;
    }
    return true;
}

/* Like the running op's input, but with these axes at the end. */
static tape__node *output(tape__call *call, tape_dtype dtype, const tape__pooling *pool, bool inputs)
{
    const tape__layout *x = call->in[0]->layout;
    const int axes = ((const tape__pool_attr *)call->attr)->axes;
    int64_t size[TAPE_MAX_RANK], numel;
    memcpy(size, x->size, sizeof size);
    for (int i = 0; i < axes; i++) {
        const tape__pool_axis *axis = &pool->axis[2 - axes + i];
        size[x->rank - axes + i] = inputs ? axis->in : axis->out;
    }
    if (tape__shape_numel(x->rank, size, &numel))
        return tape__output(call, dtype, x->rank, size);
    tape__error(call->t, TAPE_ERROR_SHAPE, "the result %s is too large", tape__shape_text(x->rank, size).text);
    return NULL;
}

/* The axes of an image at its end. */
static const int64_t *axes_of(tape__call *call)
{
    const tape__layout *x = call->in[0]->layout;
    const int axes = ((const tape__pool_attr *)call->attr)->axes;
    return x->size + (x->rank > axes ? x->rank - axes : 0);
}

/* ---- maxima ------------------------------------------------------------------------------------------------------ */

static bool max_forward(tape__call *call)
{
    tape__pooling pool;
    if (!read_windows(call, axes_of(call), &pool))
        return false;
    const void *x = tape__dense_data(call->t, call->in[0]);
    tape__node *y = x ? output(call, pool.dtype, &pool, false) : NULL;
    tape__node *index = y ? output(call, TAPE_I64, &pool, false) : NULL;
    if (!index)
        return false;
    tape__pool_max(tape__threads_of(call->t), &pool, x, y->data, index->data);
    return true;
}

/* Planes as lines. */
static tape_tensor flat(tape_tensor x, int axes)
{
    return axes == 1 ? x : tape_flatten(x, -axes, -1);
}

/* In a plain sweep that stores the first contribution to x; false if the derivative must go the ordinary way. */
static bool spread_max(tape__vjp *v)
{
    tape *t = v->t;
    tape__call call = {.t = t, .attr = v->attr};
    uint32_t x = tape__resolve(t, v->x[0], 0), g = tape__resolve(t, v->gy[0], 0), index = tape__resolve(t, v->y[1], 0);
    if (x == TAPE__NO_SLOT || g == TAPE__NO_SLOT || index == TAPE__NO_SLOT)
        return false;
    tape__pooling pool;
    call.in = (tape__node *[]){tape__at(t, x)};
    if (!read_windows(&call, axes_of(&call), &pool))
        return false;
    const void *from = tape__dense_data(t, tape__at(t, g)), *at = tape__dense_data(t, tape__at(t, index));
    void *gx = from && at ? tape__first_adjoint(v, 0) : NULL;
    if (gx)
        tape__pool_max_spread(tape__threads_of(t), &pool, from, at, gx);
    return gx;
}

static void max_vjp(tape__vjp *v)
{
    if (spread_max(v))
        return;
    const int axes = ((const tape__pool_attr *)v->attr)->axes;
    tape_shape shape = tape_shape_of(v->x[0]), lines = shape;
    lines.rank = shape.rank - axes + 1;
    lines.size[lines.rank - 1] = shape.size[shape.rank - axes] * (axes > 1 ? shape.size[shape.rank - 1] : 1);
    tape_tensor gx = tape__place_along(flat(v->gy[0], axes), flat(v->y[1], axes), -1, lines);
    v->gx[0] = axes == 1 ? gx : tape_reshape(gx, shape);
}

/* ---- means ------------------------------------------------------------------------------------------------------- */

static bool mean_forward(tape__call *call)
{
    tape__pooling pool;
    const tape__pool_attr *attr = call->attr;
    if (attr->divisor < 0)
        return tape__error(call->t, TAPE_ERROR_ARGUMENT, "divisor is %d, not positive", (int)attr->divisor);
    if (!read_windows(call, axes_of(call), &pool))
        return false;
    const void *x = tape__dense_data(call->t, call->in[0]);
    tape__node *y = x ? output(call, pool.dtype, &pool, false) : NULL;
    if (!y)
        return false;
    tape__pool_mean(tape__threads_of(call->t), &pool, x, y->data);
    return true;
}

static void mean_vjp(tape__vjp *v)
{
    tape__pool_attr attr = *(const tape__pool_attr *)v->attr;
    tape_shape shape = tape_shape_of(v->x[0]);
    for (int i = 0; i < attr.axes && shape.rank >= attr.axes; i++)
        attr.size[i] = shape.size[shape.rank - attr.axes + i];
    v->gx[0] = tape__mean_spread(v->gy[0], &attr);
}

tape_tensor tape__mean_spread(tape_tensor g, const tape__pool_attr *attr)
{
    return tape__run(TAPE__OP_mean_spread, &g, 1, attr, sizeof *attr);
}

bool tape__mean_spread_forward(tape__call *call)
{
    tape__pooling pool;
    const tape__pool_attr *attr = call->attr;
    const int64_t *given = axes_of(call);
    if (!read_windows(call, attr->size, &pool))
        return false;
    for (int i = 0; i < attr->axes; i++)
        if (given[i] != pool.axis[2 - attr->axes + i].out)
            return tape__error(call->t, TAPE_ERROR_SHAPE, "%s does not hold the windows' means",
                               TAPE__LAYOUT_TEXT(call->in[0]->layout));
    const void *g = tape__dense_data(call->t, call->in[0]);
    tape__node *gx = g ? output(call, pool.dtype, &pool, true) : NULL;
    if (!gx)
        return false;
    tape__pool_mean_spread(tape__threads_of(call->t), &pool, g, gx->data);
    return true;
}

void tape__mean_spread_vjp(tape__vjp *v)
{
    static const int ops[2][2] = {{TAPE__OP_avg_pool1d, TAPE__OP_avg_pool2d},
                                  {TAPE__OP_adaptive_avg_pool1d, TAPE__OP_adaptive_avg_pool2d}};
    tape__pool_attr attr = *(const tape__pool_attr *)v->attr;
    memset(attr.size, 0, sizeof attr.size);
    v->gx[0] = tape__run(ops[attr.adaptive][attr.axes - 1], v->gy, 1, &attr, sizeof attr);
}

/* ---- the public ops ---------------------------------------------------------------------------------------------- */

static tape_tensor run(int op, tape_tensor x, int axes, const tape_pool_options *o)
{
    tape__pool_attr attr = {.axes = axes};
    for (int i = 0; o && i < axes; i++) {
        attr.kernel[i] = o->kernel[i];
        attr.stride[i] = o->stride[i];
        attr.padding[i] = o->padding[i];
        attr.dilation[i] = op == TAPE__OP_max_pool1d || op == TAPE__OP_max_pool2d ? o->dilation[i] : 0;
    }
    if (o) {
        attr.ceil_mode = o->ceil_mode;
        attr.exclude_padding = o->exclude_padding;
        attr.divisor = o->divisor;
    }
    return tape__run(op, &x, 1, &attr, sizeof attr);
}

static tape_tensor run_adaptive(int op, tape_tensor x, int axes, int64_t first, int64_t second)
{
    tape__pool_attr attr = {.axes = axes, .adaptive = 1, .out = {first, second}};
    return tape__run(op, &x, 1, &attr, sizeof attr);
}

static tape_tensor with_indices(tape_tensor y, tape_tensor *indices)
{
    if (indices)
        *indices = tape__sibling(y, 1);
    return y;
}

#define DEFINE(name, forward, vjp)                                                                                     \
    bool tape__##name##_forward(tape__call *call)                                                                      \
    {                                                                                                                  \
        return forward(call);                                                                                          \
    }                                                                                                                  \
    void tape__##name##_vjp(tape__vjp *v)                                                                              \
    {                                                                                                                  \
        vjp(v);                                                                                                        \
    }
DEFINE(max_pool1d, max_forward, max_vjp)
DEFINE(max_pool2d, max_forward, max_vjp)
DEFINE(adaptive_max_pool1d, max_forward, max_vjp)
DEFINE(adaptive_max_pool2d, max_forward, max_vjp)
DEFINE(avg_pool1d, mean_forward, mean_vjp)
DEFINE(avg_pool2d, mean_forward, mean_vjp)
DEFINE(adaptive_avg_pool1d, mean_forward, mean_vjp)
DEFINE(adaptive_avg_pool2d, mean_forward, mean_vjp)

tape_tensor tape_max_pool1d(tape_tensor x, const tape_pool_options *options, tape_tensor *indices)
{
    return with_indices(run(TAPE__OP_max_pool1d, x, 1, options), indices);
}

tape_tensor tape_max_pool2d(tape_tensor x, const tape_pool_options *options, tape_tensor *indices)
{
    return with_indices(run(TAPE__OP_max_pool2d, x, 2, options), indices);
}

tape_tensor tape_avg_pool1d(tape_tensor x, const tape_pool_options *options)
{
    return run(TAPE__OP_avg_pool1d, x, 1, options);
}

tape_tensor tape_avg_pool2d(tape_tensor x, const tape_pool_options *options)
{
    return run(TAPE__OP_avg_pool2d, x, 2, options);
}

tape_tensor tape_adaptive_avg_pool1d(tape_tensor x, int64_t out)
{
    return run_adaptive(TAPE__OP_adaptive_avg_pool1d, x, 1, out, 0);
}

tape_tensor tape_adaptive_avg_pool2d(tape_tensor x, int64_t out_h, int64_t out_w)
{
    return run_adaptive(TAPE__OP_adaptive_avg_pool2d, x, 2, out_h, out_w);
}

tape_tensor tape_adaptive_max_pool1d(tape_tensor x, int64_t out, tape_tensor *indices)
{
    return with_indices(run_adaptive(TAPE__OP_adaptive_max_pool1d, x, 1, out, 0), indices);
}

tape_tensor tape_adaptive_max_pool2d(tape_tensor x, int64_t out_h, int64_t out_w, tape_tensor *indices)
{
    return with_indices(run_adaptive(TAPE__OP_adaptive_max_pool2d, x, 2, out_h, out_w), indices);
}
