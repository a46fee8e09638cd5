/* Sums, means, extrema, their positions and logsumexp. Knows shapes, records and derivatives; the loops are the
   kernels'. */
#include "reduce.h"

#include <math.h>

#include "adjoint.h"
#include "kernels/any/ewise_driver.h"
#include "kernels/kernels.h"

/* ---- shapes ------------------------------------------------------------------------------------------------------ */

tape_tensor tape__reduce_run(int op, tape_tensor x, tape_axes axes, bool keep_dims, double number)
{
    tape__reduce_attr attr = {axes, keep_dims, number};
    return tape__run(op, &x, 1, &attr, sizeof attr);
}

/* The sizes without the masked axes, or with 1 in their place. */
static int reduced_shape(const tape__layout *x, unsigned mask, bool keep_dims, int64_t size[TAPE_MAX_RANK])
{
    int rank = 0;
    for (int i = 0; i < x->rank; i++) {
        bool goes = mask >> i & 1;
        if (!goes || keep_dims)
            size[rank++] = goes ? 1 : x->size[i];
    }
    return rank;
}

tape__node *tape__reduce_output(tape__call *call, tape_dtype dtype, tape__split *split)
{
    const tape__node *x = call->in[0];
    const tape__reduce_attr *attr = call->attr;
    unsigned mask;
    int64_t size[TAPE_MAX_RANK];
    if (!tape__axes_mask(attr->axes, x->layout->rank, &mask)) {
        tape__error(call->t, TAPE_ERROR_ARGUMENT, "an axis is given twice or out of range for shape %s",
                    TAPE__LAYOUT_TEXT(x->layout));
        return NULL;
    }
    tape__split_axes(split, x->layout->rank, x->layout->size, x->layout->stride, mask);
    return tape__output(call, dtype, reduced_shape(x->layout, mask, attr->keep_dims, size), size);
}

bool tape__reduce_check_choice(tape__call *call)
{
    const tape__layout *x = call->in[0]->layout;
    const tape__reduce_attr *attr = call->attr;
    unsigned mask;
    if (!tape__axes_mask(attr->axes, x->rank, &mask))
        return true; /* reported with the output */
    for (int i = 0; i < x->rank; i++)
        if (mask >> i & 1 && x->size[i] == 0)
            return tape__error(call->t, TAPE_ERROR_SHAPE, "no elements to choose from in shape %s",
                               TAPE__LAYOUT_TEXT(x));
    return true;
}

tape__node *tape__reduce_forward(tape__call *call, tape__reduction reduction)
{
    tape__split split;
    const tape__node *x = call->in[0];
    if (!tape__check_float(call->t, x))
        return NULL;
    tape__node *y = tape__reduce_output(call, (tape_dtype)x->dtype, &split);
    if (!y)
        return NULL;
    const tape__reduce_attr *attr = call->attr;
    tape__reduce_args args = {
        .reduction = reduction, .correction = attr->number, .split = &split, .x = x->data, .y = y->data};
    call->t->kernels->reduce->reduce[x->dtype](tape__reduce_pays(&args) ? tape__threads_of(call->t) : NULL, &args);
    return y;
}

tape_tensor tape__reduce_keep(const tape__vjp *v, tape_tensor g)
{
    const tape__reduce_attr *attr = v->attr;
    tape_shape shape = tape_shape_of(v->x[0]);
    unsigned mask;
    if (attr->keep_dims || shape.rank == 0 || !tape__axes_mask(attr->axes, shape.rank, &mask))
        return g;
    for (int i = 0; i < shape.rank; i++)
        if (mask >> i & 1)
            shape.size[i] = 1;
    return tape_reshape(g, shape);
}

int64_t tape__reduce_count(const tape__vjp *v)
{
    const tape__reduce_attr *attr = v->attr;
    tape_shape shape = tape_shape_of(v->x[0]);
    unsigned mask = 0;
    int64_t count = 1;
    tape__axes_mask(attr->axes, shape.rank, &mask);
    for (int i = 0; i < shape.rank; i++)
        if (mask >> i & 1)
            count *= shape.size[i];
    return count;
}

/* ---- sum and mean ------------------------------------------------------------------------------------------------ */

bool tape__sum_forward(tape__call *call)
{
    return tape__reduce_forward(call, TAPE__SUM) != NULL;
}

void tape__sum_vjp(tape__vjp *v)
{
    v->gx[0] = tape_expand(tape__reduce_keep(v, v->gy[0]), tape_shape_of(v->x[0]));
}

struct division {
    const void *g;
    void *quotient;
    double divisor;
    int64_t n;
    int dtype;
};

static bool divide(tape *t, const void *arguments)
{
    const struct division *d = arguments;
    const float single = (float)d->divisor;
    const void *const operand[2] = {d->g, d->dtype == TAPE_F32 ? (const void *)&single : &d->divisor};
    tape__ewise_flat_value(t->kernels, tape__threads_of(t), TAPE__EW_div, d->dtype, d->n, 2, d->quotient, operand,
                           NULL);
    return true;
}

/* x's adjoint += g over `divisor`, read with stride 0 along the reduced axes. */
static bool add_spread(tape__fused *f, double divisor)
{
    tape *t = f->t;
    tape__node *x = tape__at(t, f->in[0]);
    const tape__reduce_attr *attr = f->attr;
    const tape__layout *layout = x->layout, *dense = f->y->layout->dense;
    int64_t stride[TAPE_MAX_RANK];
    unsigned mask;
    if (f->g_layout != dense || !tape__axes_mask(attr->axes, layout->rank, &mask))
        return false;
    for (int d = layout->rank - 1, k = dense->rank - 1; d >= 0; d--) {
        bool goes = mask >> d & 1;
        stride[d] = goes ? 0 : dense->stride[k];
        k -= !goes || attr->keep_dims;
    }
    const tape__layout *spread = tape__layout_strided(&t->layouts, layout->rank, layout->size, stride);
    if (!spread)
        return tape__error(t, TAPE_ERROR_MEMORY, "out of memory for a layout");
    tape__adjoint *g = divisor == 1 ? tape__adjoint_of(t, f->y) : tape__adjoint_new(t, dense, (tape_dtype)x->dtype);
    if (g && divisor != 1)
        TAPE__DO(t, divide, (&(struct division){f->g, g->data, divisor, dense->numel, x->dtype}));
    bool ok = g && tape__contribute(t, x, g->data, spread, g);
    tape__adjoint_release(t, g);
    return ok;
}

bool tape__sum_fused(tape__fused *f)
{
    return add_spread(f, 1);
}

bool tape__mean_fused(tape__fused *f)
{
    int64_t n = tape__at(f->t, f->in[0])->layout->numel;
    return n > 0 && add_spread(f, (double)(n / f->y->layout->numel));
}

tape_tensor tape_sum(tape_tensor x, tape_axes axes, bool keep_dims)
{
    return tape__reduce_run(TAPE__OP_sum, x, axes, keep_dims, 0);
}

tape_tensor tape__sum_to(tape_tensor x, tape_shape shape)
{
    tape_shape from = tape_shape_of(x);
    tape_axes axes = {0, {0}};
    int lead = from.rank - shape.rank;
    bool stretched = false, adds = false;
    for (int i = 0; i < from.rank; i++) {
        if (i >= lead && shape.size[i - lead] == from.size[i])
            continue;
        axes.axis[axes.count++] = i;
        stretched |= i >= lead;
        adds |= from.size[i] != 1;
    }
    if (axes.count == 0)
        return x;
    if (!adds) /* a batch of one: a view costs less than a sum of single elements */
        return tape_reshape(x, shape);
    tape_tensor y = tape_sum(x, axes, false);
    return stretched ? tape_reshape(y, shape) : y;
}

bool tape__mean_forward(tape__call *call)
{
    return tape__reduce_forward(call, TAPE__MEAN) != NULL;
}

void tape__mean_vjp(tape__vjp *v)
{
    tape_tensor share = tape_div_scalar(tape__reduce_keep(v, v->gy[0]), (double)tape__reduce_count(v));
    v->gx[0] = tape_expand(share, tape_shape_of(v->x[0]));
}

tape_tensor tape_mean(tape_tensor x, tape_axes axes, bool keep_dims)
{
    return tape__reduce_run(TAPE__OP_mean, x, axes, keep_dims, 0);
}

/* ---- max and min ------------------------------------------------------------------------------------------------- */

static bool choose(tape__call *call, tape__reduction reduction)
{
    return tape__reduce_check_choice(call) && tape__reduce_forward(call, reduction);
}

static void extremum_vjp(tape__vjp *v)
{
    const tape__reduce_attr *attr = v->attr;
    tape_tensor weights = tape__tie_weights(v->x[0], tape__reduce_keep(v, v->y[0]), attr->axes);
    v->gx[0] = tape_mul(weights, tape__reduce_keep(v, v->gy[0]));
}

tape_tensor tape__tie_weights(tape_tensor x, tape_tensor y, tape_axes axes)
{
    tape_dtype dtype = tape_dtype_of(x);
    tape_tensor one = tape_scalar(dtype, 1), zero = tape_scalar(dtype, 0);
    tape_tensor tied = tape_where(tape_isnan(x), one, tape_where(tape_eq(x, y), one, zero));
    return tape_div(tied, tape_sum(tied, axes, true));
}

bool tape__max_forward(tape__call *call)
{
    return choose(call, TAPE__MAX);
}

void tape__max_vjp(tape__vjp *v)
{
    extremum_vjp(v);
}

tape_tensor tape_max(tape_tensor x, tape_axes axes, bool keep_dims)
{
    return tape__reduce_run(TAPE__OP_max, x, axes, keep_dims, 0);
}

bool tape__min_forward(tape__call *call)
{
    return choose(call, TAPE__MIN);
}

void tape__min_vjp(tape__vjp *v)
{
    extremum_vjp(v);
}

tape_tensor tape_min(tape_tensor x, tape_axes axes, bool keep_dims)
{
    return tape__reduce_run(TAPE__OP_min, x, axes, keep_dims, 0);
}

tape_tensor tape_amax(tape_tensor x, tape_axes axes, bool keep_dims)
{
    TAPE__BEGIN_COMPOSITE("amax");
    return tape__leave(t, before, TAPE__OP_amax, tape_max(x, axes, keep_dims));
}

tape_tensor tape_amin(tape_tensor x, tape_axes axes, bool keep_dims)
{
    TAPE__BEGIN_COMPOSITE("amin");
    return tape__leave(t, before, TAPE__OP_amin, tape_min(x, axes, keep_dims));
}

/* ---- positions --------------------------------------------------------------------------------------------------- */

#define FIND(T)                                                                                                        \
    static void find_##T(bool minimum, const tape__axis_cut *cut, const void *data, int64_t *y)                        \
    {                                                                                                                  \
        for (int64_t i = 0; i < cut->outer * cut->inner; i++) {                                                        \
            const T *x = (const T *)data + i / cut->inner * cut->n * cut->inner + i % cut->inner;                      \
            int64_t best = 0;                                                                                          \
            for (int64_t k = 1; k < cut->n; k++) {                                                                     \
                T held = x[best * cut->inner], value = x[k * cut->inner];                                              \
                best = (minimum ? value < held : value > held) ? k : best;                                             \
            }                                                                                                          \
            y[i] = best;                                                                                               \
        }                                                                                                              \
    }
FIND(int32_t)
FIND(int64_t)
FIND(uint8_t)

/* The floats' kernels know NaN. */
static void find(const tape__call *call, bool minimum, const tape__axis_cut *cut, const void *x, int64_t *y)
{
    tape_dtype dtype = (tape_dtype)call->in[0]->dtype;
    if (dtype == TAPE_I32)
        find_int32_t(minimum, cut, x, y);
    else if (dtype == TAPE_I64)
        find_int64_t(minimum, cut, x, y);
    else if (dtype == TAPE_U8)
        find_uint8_t(minimum, cut, x, y);
    else
        call->t->kernels->reduce->arg[dtype](tape__threads_of(call->t), minimum, cut->outer, cut->n, cut->inner, x, y);
}

static bool position(tape__call *call, bool minimum)
{
    const tape__node *x = call->in[0];
    const tape__reduce_attr *attr = call->attr;
    tape__split split;
    if (attr->axes.count > 1)
        return tape__error(call->t, TAPE_ERROR_ARGUMENT, "expects one axis or all, got %d", attr->axes.count);
    if (!tape__reduce_check_choice(call))
        return false;
    tape__node *y = tape__reduce_output(call, TAPE_I64, &split);
    const void *data = tape__dense_data(call->t, x);
    if (!y || !data)
        return false;
    tape__axis_cut cut = {1, x->layout->numel, 1};
    if (attr->axes.count == 1)
        cut = tape__cut_at(x->layout, tape__axis(attr->axes.axis[0], x->layout->rank));
    find(call, minimum, &cut, data, y->data);
    return true;
}

bool tape__argmax_forward(tape__call *call)
{
    return position(call, false);
}

tape_tensor tape_argmax(tape_tensor x, tape_axes axes, bool keep_dims)
{
    return tape__reduce_run(TAPE__OP_argmax, x, axes, keep_dims, 0);
}

bool tape__argmin_forward(tape__call *call)
{
    return position(call, true);
}

tape_tensor tape_argmin(tape_tensor x, tape_axes axes, bool keep_dims)
{
    return tape__reduce_run(TAPE__OP_argmin, x, axes, keep_dims, 0);
}

/* ---- logsumexp --------------------------------------------------------------------------------------------------- */

bool tape__logsumexp_forward(tape__call *call)
{
    return tape__reduce_forward(call, TAPE__LOGSUMEXP) != NULL;
}

/* exp(x - y); where y is -inf every x is, and taking off 0 instead gives the 0 that is wanted. */
void tape__logsumexp_vjp(tape__vjp *v)
{
    tape_tensor y = tape__reduce_keep(v, v->y[0]);
    tape_tensor zero = tape_scalar(tape_dtype_of(y), 0);
    tape_tensor shift = tape_where(tape_eq_scalar(y, -INFINITY), zero, y);
    v->gx[0] = tape_mul(tape_exp(tape_sub(v->x[0], shift)), tape__reduce_keep(v, v->gy[0]));
}

tape_tensor tape_logsumexp(tape_tensor x, tape_axes axes, bool keep_dims)
{
    return tape__reduce_run(TAPE__OP_logsumexp, x, axes, keep_dims, 0);
}
