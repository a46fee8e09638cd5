/* Convolution and its transpose as ops: options, shapes and derivatives. The sums are the kernels'. */
#include "conv.h"

#include <string.h>

enum { AXES = TAPE__CONV_AXES, PADDING_MOST = 1 << 20 };

/* ---- the three sums ---------------------------------------------------------------------------------------------- */

/* The axes of a convolution are the last ones of the kernels' three. */
static void set_axes(int64_t *to, int64_t axes, const int64_t *from, int64_t unused)
{
    for (int64_t i = 0; i < AXES; i++)
        to[i] = i < AXES - axes ? unused : from[i - (AXES - axes)];
}

static tape__conv conv_of(const tape__conv_attr *attr)
{
    tape__conv c = {.groups = attr->groups};
    set_axes(c.stride, attr->axes, attr->stride, 1);
    set_axes(c.padding, attr->axes, attr->padding, 0);
    set_axes(c.dilation, attr->axes, attr->dilation, 1);
    return c;
}

/* The sizes of an image: [N, groups * channels, d...] or without N. */
static void set_image(const tape__conv *c, const tape__layout *x, int64_t axes, int64_t *batch, int64_t *channels,
                      int64_t *size)
{
    const int64_t *at = x->size + (x->rank - axes);
    *batch = x->rank == axes + 2 ? x->size[0] : 1;
    *channels = at[-1] / c->groups;
    set_axes(size, axes, at, 1);
}

static void set_weight(tape__conv *c, const tape__layout *w, int64_t axes)
{
    c->out_channels = w->size[0] / c->groups;
    c->in_channels = w->size[1];
    set_axes(c->kernel, axes, w->size + 2, 1);
}

/* Fills out from the first two inputs and perhaps a third, the bias. */
static bool run_sum(tape__call *call, tape__conv *c, enum tape__conv_kind kind, tape__node *out)
{
    tape *t = call->t;
    const tape__gemm_kernels *kernels = t->kernels->gemm;
    const struct tape__parallel *threads = tape__threads_of(t);
    if (!out || out->layout->numel == 0)
        return out != NULL;
    c->dtype = (tape_dtype)out->dtype;
    size_t bytes = tape__conv_workspace(kernels, c, kind, threads);
    const void *image = tape__dense_data(t, call->in[0]), *other = tape__dense_data(t, call->in[1]);
    const void *bias = call->n_in > 2 ? tape__dense_data(t, call->in[2]) : NULL;
    void *workspace = bytes ? tape__scratch(t, bytes) : NULL;
    if (!image || !other || (call->n_in > 2 && !bias) || (bytes && !workspace))
        return false;
    tape__conv_run(kernels, c, kind, image, other, bias, out->data, workspace, threads);
    return true;
}

/* [N, channels, size...], or without N where `like` has none. */
static tape__node *image_output(tape__call *call, const tape__layout *like, int64_t channels, int64_t axes,
                                const int64_t *size)
{
    int64_t all[TAPE_MAX_RANK], rank = 0, numel;
    if (like->rank == axes + 2)
        all[rank++] = like->size[0];
    all[rank++] = channels;
    memcpy(all + rank, size, (size_t)axes * sizeof *size);
    rank += axes;
    if (!tape__shape_numel((int)rank, all, &numel)) {
        tape__error(call->t, TAPE_ERROR_SHAPE, "the result %s is too large", tape__shape_text((int)rank, all).text);
        return NULL;
    }
    return tape__output(call, (tape_dtype)call->in[0]->dtype, (int)rank, all);
}

static bool forward_sum(tape__call *call, const tape__conv_attr *attr, const int64_t *size)
{
    const tape__layout *x = call->in[0]->layout, *w = call->in[1]->layout;
    tape__conv c = conv_of(attr);
    set_image(&c, x, attr->axes, &c.batch, &c.in_channels, c.in);
    set_weight(&c, w, attr->axes);
    set_axes(c.out, attr->axes, size, 1);
    return run_sum(call, &c, TAPE__CONV_FORWARD, image_output(call, x, w->size[0], attr->axes, size));
}

static bool input_sum(tape__call *call, const tape__conv_attr *attr, const int64_t *size)
{
    const tape__layout *g = call->in[0]->layout, *w = call->in[1]->layout;
    tape__conv c = conv_of(attr);
    set_image(&c, g, attr->axes, &c.batch, &c.out_channels, c.out);
    set_weight(&c, w, attr->axes);
    set_axes(c.in, attr->axes, size, 1);
    return run_sum(call, &c, TAPE__CONV_INPUT, image_output(call, g, w->size[1] * attr->groups, attr->axes, size));
}

static bool check_dtypes(tape__call *call)
{
    for (int i = 0; i < call->n_in; i++) {
        tape_dtype dtype = (tape_dtype)call->in[i]->dtype, first = (tape_dtype)call->in[0]->dtype;
        if (dtype > TAPE_F64)
            return tape__error(call->t, TAPE_ERROR_DTYPE, "argument %d is %s, not f32 or f64", i + 1,
                               tape_dtype_name(dtype));
        if (dtype != first)
            return tape__error(call->t, TAPE_ERROR_DTYPE, "dtypes %s and %s differ: cast one of them",
                               tape_dtype_name(first), tape_dtype_name(dtype));
    }
    return true;
}

/* The engine's ops take any sizes, but the numbers of axes and channels must agree. */
static bool check_pair(tape__call *call, bool agree)
{
    return check_dtypes(call) &&
           (agree || tape__error(call->t, TAPE_ERROR_SHAPE, "shapes %s and %s do not fit",
                                 TAPE__LAYOUT_TEXT(call->in[0]->layout), TAPE__LAYOUT_TEXT(call->in[1]->layout)));
}

static bool is_image(const tape__layout *x, const tape__conv_attr *attr)
{
    return (x->rank == attr->axes + 1 || x->rank == attr->axes + 2) &&
           x->size[x->rank - attr->axes - 1] % attr->groups == 0;
}

static int64_t channels_of(const tape__layout *x, const tape__conv_attr *attr)
{
    return x->size[x->rank - attr->axes - 1];
}

static bool is_weight(const tape__layout *w, const tape__conv_attr *attr)
{
    bool fits = w->rank == attr->axes + 2 && w->size[0] % attr->groups == 0;
    for (int i = 2; fits && i < w->rank; i++)
        fits = w->size[i] > 0;
    return fits;
}

static tape_tensor run_pair(int op, tape_tensor a, tape_tensor b, const tape__conv_attr *attr)
{
    const tape_tensor inputs[2] = {a, b};
    return tape__run(op, inputs, 2, attr, sizeof *attr);
}

/* attr for a result whose axes are those of `like`. */
static tape__conv_attr sized(const tape__conv_attr *attr, tape_tensor like)
{
    tape__conv_attr result = *attr;
    tape_shape shape = tape_shape_of(like);
    memset(result.size, 0, sizeof result.size);
    for (int64_t i = 0; i < attr->axes && shape.rank >= attr->axes; i++)
        result.size[i] = shape.size[shape.rank - attr->axes + i];
    return result;
}

tape_tensor tape__conv_sum(tape_tensor x, tape_tensor w, const tape__conv_attr *attr)
{
    return run_pair(TAPE__OP_conv_sum, x, w, attr);
}

bool tape__conv_sum_forward(tape__call *call)
{
    const tape__conv_attr *attr = call->attr;
    const tape__layout *x = call->in[0]->layout, *w = call->in[1]->layout;
    bool agree = is_image(x, attr) && is_weight(w, attr) && channels_of(x, attr) == w->size[1] * attr->groups;
    return check_pair(call, agree) && forward_sum(call, attr, attr->size);
}

void tape__conv_sum_vjp(tape__vjp *v)
{
    tape__conv_attr for_x = sized(v->attr, v->x[0]), for_w = sized(v->attr, v->x[1]);
    if (v->needs[0])
        v->gx[0] = tape__conv_input_gradient(v->gy[0], v->x[1], &for_x);
    if (v->needs[1])
        v->gx[1] = tape__conv_weight_gradient(v->x[0], v->gy[0], &for_w);
}

tape_tensor tape__conv_input_gradient(tape_tensor g, tape_tensor w, const tape__conv_attr *attr)
{
    return run_pair(TAPE__OP_conv_input_gradient, g, w, attr);
}

bool tape__conv_input_gradient_forward(tape__call *call)
{
    const tape__conv_attr *attr = call->attr;
    const tape__layout *g = call->in[0]->layout, *w = call->in[1]->layout;
    bool agree = is_image(g, attr) && is_weight(w, attr) && channels_of(g, attr) == w->size[0];
    return check_pair(call, agree) && input_sum(call, attr, attr->size);
}

void tape__conv_input_gradient_vjp(tape__vjp *v)
{
    tape__conv_attr for_g = sized(v->attr, v->x[0]), for_w = sized(v->attr, v->x[1]);
    if (v->needs[0])
        v->gx[0] = tape__conv_sum(v->gy[0], v->x[1], &for_g);
    if (v->needs[1])
        v->gx[1] = tape__conv_weight_gradient(v->gy[0], v->x[0], &for_w);
}

tape_tensor tape__conv_weight_gradient(tape_tensor x, tape_tensor g, const tape__conv_attr *attr)
{
    return run_pair(TAPE__OP_conv_weight_gradient, x, g, attr);
}

bool tape__conv_weight_gradient_forward(tape__call *call)
{
    const tape__conv_attr *attr = call->attr;
    const tape__layout *x = call->in[0]->layout, *g = call->in[1]->layout;
    tape__conv c = conv_of(attr);
    bool agree = is_image(x, attr) && is_image(g, attr) && x->rank == g->rank;
    if (!check_pair(call, agree && (x->rank == attr->axes + 1 || x->size[0] == g->size[0])))
        return false;
    set_image(&c, x, attr->axes, &c.batch, &c.in_channels, c.in);
    set_image(&c, g, attr->axes, &c.batch, &c.out_channels, c.out);
    set_axes(c.kernel, attr->axes, attr->size, 1);
    int64_t size[AXES + 2] = {c.out_channels * c.groups, c.in_channels};
    memcpy(size + 2, attr->size, (size_t)attr->axes * sizeof *size);
    return run_sum(call, &c, TAPE__CONV_WEIGHT,
                   tape__output(call, (tape_dtype)call->in[0]->dtype, (int)attr->axes + 2, size));
}

void tape__conv_weight_gradient_vjp(tape__vjp *v)
{
    tape__conv_attr for_x = sized(v->attr, v->x[0]), for_g = sized(v->attr, v->x[1]);
    if (v->needs[0])
        v->gx[0] = tape__conv_input_gradient(v->x[1], v->gy[0], &for_x);
    if (v->needs[1])
        v->gx[1] = tape__conv_sum(v->x[0], v->gy[0], &for_g);
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

/* What the public ops record: the options as they were given, to be checked where the shapes are known. */
struct given {
    int64_t axes;
    tape_conv_options options;
    int32_t unused; /* so that no byte of a record is padding */
};

static bool check_range(tape *t, const char *what, int value, int low, int high)
{
    return (value >= low && value <= high) ||
           tape__error(t, TAPE_ERROR_ARGUMENT, "%s is %d, outside %d ... %d", what, value, low, high);
}

/* attr from the options; false after an error. */
static bool read_options(tape *t, const struct given *given, tape__conv_attr *attr)
{
    const tape_conv_options *o = &given->options;
    *attr = (tape__conv_attr){.axes = given->axes, .groups = o->groups ? o->groups : 1};
    if (!check_range(t, "groups", (int)attr->groups, 1, INT32_MAX))
        return false;
    for (int64_t i = 0; i < given->axes; i++) {
        int stride = o->stride[i] ? o->stride[i] : 1, dilation = o->dilation[i] ? o->dilation[i] : 1;
        if (!check_range(t, "stride", stride, 1, INT32_MAX) || !check_range(t, "dilation", dilation, 1, INT32_MAX) ||
            !check_range(t, "padding", o->padding[i], 0, PADDING_MOST))
            return false;
        attr->stride[i] = stride;
        attr->dilation[i] = dilation;
        attr->padding[i] = o->padding[i];
    }
    return true;
}

/* x [N, C, d...] or [C, d...] with `groups` dividing C, w of rank axes + 2 with at least one element an axis. */
static bool check_shapes(tape__call *call, const tape__conv_attr *attr, bool transposed)
{
    const tape__layout *x = call->in[0]->layout, *w = call->in[1]->layout;
    const tape__layout *bias = call->n_in > 2 ? call->in[2]->layout : NULL;
    bool ranks = x->rank == attr->axes + 1 || x->rank == attr->axes + 2;
    tape__conv_attr ungrouped = {.axes = attr->axes, .groups = 1};
    if (!ranks || !is_weight(w, &ungrouped))
        return tape__error(call->t, TAPE_ERROR_SHAPE,
                           "x %s and weight %s: needs [N, C, d...] and a weight of rank %d with no empty axis",
                           TAPE__LAYOUT_TEXT(x), TAPE__LAYOUT_TEXT(w), (int)attr->axes + 2);
    int64_t channels = channels_of(x, attr);
    if (!is_image(x, attr) || !is_weight(w, attr) ||
        (transposed ? w->size[0] != channels : w->size[1] != channels / attr->groups))
        return tape__error(call->t, TAPE_ERROR_SHAPE, "the channels of x %s and weight %s do not fit with %lld groups",
                           TAPE__LAYOUT_TEXT(x), TAPE__LAYOUT_TEXT(w), (long long)attr->groups);
    int64_t out = transposed ? w->size[1] * attr->groups : w->size[0];
    return !bias || (bias->rank == 1 && bias->size[0] == out) ||
           tape__error(call->t, TAPE_ERROR_SHAPE, "expects a bias of shape [%lld], got %s", (long long)out,
                       TAPE__LAYOUT_TEXT(bias));
}

static bool check_call(tape__call *call, tape__conv_attr *attr, bool transposed)
{
    return check_dtypes(call) && read_options(call->t, call->attr, attr) && check_shapes(call, attr, transposed);
}

/* How far a dilated kernel reaches: dilation (k - 1). */
static bool reach_of(tape *t, const tape__conv_attr *attr, const tape__layout *w, int64_t axis, int64_t *reach)
{
    return (tape__mul_size(attr->dilation[axis], w->size[2 + axis] - 1, reach) && *reach <= INT64_MAX / 4) ||
           tape__error(t, TAPE_ERROR_SHAPE, "the dilated kernel of weight %s is too large", TAPE__LAYOUT_TEXT(w));
}

/* ---- the public ops ---------------------------------------------------------------------------------------------- */

static bool conv_forward(tape__call *call)
{
    tape__conv_attr attr;
    if (!check_call(call, &attr, false))
        return false;
    const tape__layout *x = call->in[0]->layout, *w = call->in[1]->layout;
    int64_t size[AXES];
    for (int64_t i = 0; i < attr.axes; i++) {
        int64_t in = x->size[x->rank - attr.axes + i] + 2 * attr.padding[i], reach = 0;
        if (!reach_of(call->t, &attr, w, i, &reach))
            return false;
        if (reach >= in)
            return tape__error(call->t, TAPE_ERROR_SHAPE, "the kernel of weight %s reaches beyond x %s",
                               TAPE__LAYOUT_TEXT(w), TAPE__LAYOUT_TEXT(x));
        size[i] = (in - reach - 1) / attr.stride[i] + 1;
    }
    return forward_sum(call, &attr, size);
}

static bool transpose_forward(tape__call *call)
{
    tape__conv_attr attr;
    if (!check_call(call, &attr, true))
        return false;
    const tape_conv_options *options = &((const struct given *)call->attr)->options;
    const tape__layout *x = call->in[0]->layout, *w = call->in[1]->layout;
    int64_t size[AXES];
    for (int64_t i = 0; i < attr.axes; i++) {
        int64_t in = x->size[x->rank - attr.axes + i], reach = 0, spread;
        int64_t most = attr.stride[i] > attr.dilation[i] ? attr.stride[i] : attr.dilation[i];
        if (!check_range(call->t, "output_padding", options->output_padding[i], 0, (int)most - 1) ||
            !reach_of(call->t, &attr, w, i, &reach))
            return false;
        if (in < 1 || !tape__mul_size(in - 1, attr.stride[i], &spread) || spread > INT64_MAX / 4)
            return tape__error(call->t, TAPE_ERROR_SHAPE, "x %s is empty or too large", TAPE__LAYOUT_TEXT(x));
        size[i] = spread - 2 * attr.padding[i] + reach + options->output_padding[i] + 1;
        if (size[i] < 1)
            return tape__error(call->t, TAPE_ERROR_SHAPE, "the padding leaves nothing of x %s and weight %s",
                               TAPE__LAYOUT_TEXT(x), TAPE__LAYOUT_TEXT(w));
    }
    return input_sum(call, &attr, size);
}

/* x as a batch of one image where it is a single one. */
static tape_tensor as_batch(tape_tensor x, int64_t axes)
{
    return tape_rank(x) == axes + 1 ? tape_unsqueeze(x, 0) : x;
}

static void conv_vjp(tape__vjp *v, bool transposed)
{
    tape__conv_attr attr;
    if (!read_options(v->t, v->attr, &attr))
        return;
    tape_tensor x = as_batch(v->x[0], attr.axes), w = v->x[1], g = as_batch(v->gy[0], attr.axes);
    tape__conv_attr for_x = sized(&attr, x), for_w = sized(&attr, w);
    if (v->needs[0]) {
        tape_tensor gx = transposed ? tape__conv_sum(g, w, &for_x) : tape__conv_input_gradient(g, w, &for_x);
        v->gx[0] = tape_rank(v->x[0]) == attr.axes + 1 ? tape_reshape(gx, tape_shape_of(v->x[0])) : gx;
    }
    if (v->needs[1])
        v->gx[1] = transposed ? tape__conv_weight_gradient(g, x, &for_w) : tape__conv_weight_gradient(x, g, &for_w);
    if (v->n_in > 2 && v->needs[2]) {
        tape_axes axes = {(int)attr.axes + 1, {0, 2, 3, 4}};
        v->gx[2] = tape_sum(g, axes, false);
    }
}

static tape_tensor run(int op, int axes, tape_tensor x, tape_tensor w, tape_tensor bias,
                       const tape_conv_options *options)
{
    const tape_tensor inputs[3] = {x, w, bias};
    struct given given = {.axes = axes};
    if (options)
        given.options = *options;
    return tape__run(op, inputs, tape_is_none(bias) ? 2 : 3, &given, sizeof given);
}

#define DEFINE(name, axes, forward, transposed)                                                                        \
    bool tape__##name##_forward(tape__call *call)                                                                      \
    {                                                                                                                  \
        return forward(call);                                                                                          \
    }                                                                                                                  \
    void tape__##name##_vjp(tape__vjp *v)                                                                              \
    {                                                                                                                  \
        conv_vjp(v, transposed);                                                                                       \
    }                                                                                                                  \
    tape_tensor tape_##name(tape_tensor x, tape_tensor w, tape_tensor bias, const tape_conv_options *options)          \
    {                                                                                                                  \
        return run(TAPE__OP_##name, axes, x, w, bias, options);                                                        \
    }
DEFINE(conv1d, 1, conv_forward, false)
DEFINE(conv2d, 2, conv_forward, false)
DEFINE(conv3d, 3, conv_forward, false)
DEFINE(conv_transpose1d, 1, transpose_forward, true)
DEFINE(conv_transpose2d, 2, transpose_forward, true)
DEFINE(conv_transpose3d, 3, transpose_forward, true)
