/* Reductions that are not plain sums: products, variances, norms. Knows shapes, records and derivatives; the loops are
   the kernels', but for the products of all the others. */
#include <math.h>

#include "adjoint.h"
#include "kernels/any/ewise_driver.h"
#include "reduce.h"

/* ---- prod -------------------------------------------------------------------------------------------------------- */

bool tape__prod_forward(tape__call *call)
{
    return tape__reduce_forward(call, TAPE__PROD) != NULL;
}

/* The permutation that puts the masked axes last, and its inverse. */
static void axes_last(unsigned mask, int rank, int order[TAPE_MAX_RANK], int inverse[TAPE_MAX_RANK])
{
    int next = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < rank; i++)
            if ((int)(mask >> i & 1) == pass) {
                inverse[i] = next;
                order[next++] = i;
            }
}

TAPE__NOINLINE void tape__prod_vjp(tape__vjp *v)
{
    const tape__reduce_attr *attr = v->attr;
    tape_shape shape = tape_shape_of(v->x[0]);
    tape_axes order = {shape.rank, {0}}, inverse = {shape.rank, {0}};
    unsigned mask = 0;
    int64_t count = tape__reduce_count(v);
    tape__axes_mask(attr->axes, shape.rank, &mask);
    axes_last(mask, shape.rank, order.axis, inverse.axis);
    tape_tensor x = shape.rank ? tape_permute(v->x[0], order) : v->x[0];
    tape_shape permuted = tape_shape_of(x);
    int64_t rows = count ? tape_numel(x) / count : 0;
    tape_tensor others = tape_reshape(tape__prod_others(tape_reshape(x, TAPE_SHAPE(rows, count))), permuted);
    if (shape.rank)
        others = tape_permute(others, inverse);
    v->gx[0] = tape_mul(others, tape__reduce_keep(v, v->gy[0]));
}

tape_tensor tape_prod(tape_tensor x, tape_axes axes, bool keep_dims)
{
    return tape__reduce_run(TAPE__OP_prod, x, axes, keep_dims, 0);
}

/* What stands left of each element, then times what stands right of it. */
#define OTHERS(T)                                                                                                      \
    static void others_##T(int64_t n, const T *x, T *y)                                                                \
    {                                                                                                                  \
        T left = 1, right = 1;                                                                                         \
        for (int64_t i = 0; i < n; left *= x[i++])                                                                     \
            y[i] = left;                                                                                               \
        for (int64_t i = n; i-- > 0; right *= x[i])                                                                    \
            y[i] *= right;                                                                                             \
    }
OTHERS(float)
OTHERS(double)

TAPE__NOINLINE bool tape__prod_others_forward(tape__call *call)
{
    const tape__node *x = call->in[0];
    const tape__layout *layout = x->layout;
    if (layout->rank != 2 || (x->dtype != TAPE_F32 && x->dtype != TAPE_F64))
        return tape__error(call->t, TAPE_ERROR_SHAPE, "expects a matrix of f32 or f64, got %s of %s",
                           TAPE__LAYOUT_TEXT(layout), tape_dtype_name((tape_dtype)x->dtype));
    const void *data = tape__dense_data(call->t, x);
    tape__node *y = tape__output(call, (tape_dtype)x->dtype, layout->rank, layout->size);
    if (!data || !y)
        return false;
    int64_t n = layout->size[1];
    for (int64_t row = 0; row < layout->size[0]; row++) {
        if (x->dtype == TAPE_F32)
            others_float(n, (const float *)data + row * n, (float *)y->data + row * n);
        else
            others_double(n, (const double *)data + row * n, (double *)y->data + row * n);
    }
    return true;
}

/*
 * d y[i] / d x[k] is the product of all but i and k: row i of the matrix that repeats x with 1 on its diagonal, without
 * its k-th; and 0 for i = k.
 */
TAPE__NOINLINE void tape__prod_others_vjp(tape__vjp *v)
{
    tape_tensor x = v->x[0];
    tape_dtype dtype = tape_dtype_of(x);
    int64_t rows = tape_size(x, 0), n = tape_size(x, 1);
    tape_tensor diagonal = tape_eq_scalar(tape_eye(dtype, n, n), 1);
    tape_tensor repeated = tape_expand(tape_reshape(x, TAPE_SHAPE(rows, 1, n)), TAPE_SHAPE(rows, n, n));
    tape_tensor without_i = tape_where(diagonal, tape_scalar(dtype, 1), repeated);
    tape_tensor without_ik = tape__prod_others(tape_reshape(without_i, TAPE_SHAPE(rows * n, n)));
    tape_tensor jacobian =
        tape_where(diagonal, tape_scalar(dtype, 0), tape_reshape(without_ik, TAPE_SHAPE(rows, n, n)));
    v->gx[0] = tape_sum(tape_mul(jacobian, tape_reshape(v->gy[0], TAPE_SHAPE(rows, n, 1))), TAPE_AXES(1), false);
}

tape_tensor tape__prod_others(tape_tensor x)
{
    return tape__run(TAPE__OP_prod_others, &x, 1, NULL, 0);
}

/* ---- var and std ------------------------------------------------------------------------------------------------- */

/* Of a result, which has a block of its own. */
static void square_roots(const tape *t, const tape__node *y)
{
    const void *const x[1] = {y->data};
    const int64_t n = tape__whole_units(y->dtype, y->layout->numel);
    tape__ewise_flat_value(t->kernels, tape__threads_of(t), TAPE__EW_sqrt, y->dtype, n, 0, y->data, x, NULL);
}

/* (x - mean(x)) / max(0, n - correction) */
static tape_tensor scaled_deviation(const tape__vjp *v)
{
    const tape__reduce_attr *attr = v->attr;
    double divisor = fmax(0, (double)tape__reduce_count(v) - attr->number);
    return tape_div_scalar(tape_sub(v->x[0], tape_mean(v->x[0], attr->axes, true)), divisor);
}

bool tape__var_forward(tape__call *call)
{
    return tape__reduce_forward(call, TAPE__VARIANCE) != NULL;
}

TAPE__NOINLINE void tape__var_vjp(tape__vjp *v)
{
    v->gx[0] = tape_mul(scaled_deviation(v), tape_mul_scalar(tape__reduce_keep(v, v->gy[0]), 2));
}

tape_tensor tape_var(tape_tensor x, tape_axes axes, int correction, bool keep_dims)
{
    return tape__reduce_run(TAPE__OP_var, x, axes, keep_dims, correction);
}

bool tape__std_forward(tape__call *call)
{
    tape__node *y = tape__reduce_forward(call, TAPE__VARIANCE);
    if (y)
        square_roots(call->t, y);
    return y != NULL;
}

TAPE__NOINLINE void tape__std_vjp(tape__vjp *v)
{
    tape_tensor slope = tape__quotient_or_zero(tape__reduce_keep(v, v->gy[0]), tape__reduce_keep(v, v->y[0]));
    v->gx[0] = tape_mul(scaled_deviation(v), slope);
}

tape_tensor tape_std(tape_tensor x, tape_axes axes, int correction, bool keep_dims)
{
    return tape__reduce_run(TAPE__OP_std, x, axes, keep_dims, correction);
}

/* ---- norm -------------------------------------------------------------------------------------------------------- */

bool tape__norm_forward(tape__call *call)
{
    const tape__reduce_attr *attr = call->attr;
    double p = attr->number;
    if (p != 1 && p != 2 && p != INFINITY)
        return tape__error(call->t, TAPE_ERROR_ARGUMENT, "expects p = 1, 2 or infinity, got %g", p);
    if (p == INFINITY && !tape__reduce_check_choice(call))
        return false;
    tape__node *y = tape__reduce_forward(call, p == 1 ? TAPE__SUM_ABS : p == 2 ? TAPE__SUM_SQUARES : TAPE__MAX_ABS);
    if (y && p == 2)
        square_roots(call->t, y);
    return y != NULL;
}

TAPE__NOINLINE void tape__norm_vjp(tape__vjp *v)
{
    const tape__reduce_attr *attr = v->attr;
    tape_tensor x = v->x[0], g = tape__reduce_keep(v, v->gy[0]), y = tape__reduce_keep(v, v->y[0]);
    if (attr->number == 1)
        v->gx[0] = tape_mul(tape_sign(x), g);
    else if (attr->number == 2)
        v->gx[0] = tape_mul(x, tape__quotient_or_zero(g, y));
    else
        v->gx[0] = tape_mul(tape_sign(x), tape_mul(tape__tie_weights(tape_abs(x), y, attr->axes), g));
}

struct quotient {
    const void *g, *y;
    void *q;
    int64_t n;
    int dtype;
};

static bool divide(tape *t, const void *arguments)
{
    const struct quotient *d = arguments;
    tape__ewise_flat_value(t->kernels, tape__threads_of(t), TAPE__EW_quotient_or_zero, d->dtype, d->n, 0, d->q,
                           (const void *const[]){d->g, d->y}, NULL);
    return true;
}

struct spreading {
    const tape__layout *dense, *x_layout, *q_layout;
    tape__planned p;
};

static bool multiply(tape *t, const void *arguments)
{
    const struct spreading *s = arguments;
    const tape__layout *dense = s->dense;
    tape__planned p = s->p;
    if (!tape__plan_run(t, tape__plan_of(t->plans, &t->layouts, dense, NULL, s->x_layout, s->q_layout), &p))
        tape__ewise_derivative(t->kernels, tape__threads_of(t), TAPE__EW_mul, 0, p.dtype, dense->rank, dense->size,
                               p.result, p.accumulate, p.x[TAPE__RUN_ADJOINT], s->q_layout->stride, p.x,
                               (const int64_t *const[]){NULL, s->x_layout->stride}, NULL, NULL);
    return true;
}

/* gx (+)= x q, q = g / y or 0 being stretched along the reduced axes. */
bool tape__norm_fused(tape__fused *f)
{
    tape *t = f->t;
    const tape__reduce_attr *attr = f->attr;
    tape__node *x = tape__at(t, f->in[0]);
    const tape__layout *dense = x->layout->dense, *y = f->y->layout;
    unsigned mask;
    if (attr->number != 2 || f->g_layout != y->dense || !tape__axes_mask(attr->axes, dense->rank, &mask))
        return false;
    size_t bytes = (size_t)y->numel * tape_dtype_size((tape_dtype)x->dtype);
    void *q = tape__arena_get(&t->arena, bytes);
    if (!q)
        return tape__error(t, TAPE_ERROR_MEMORY, "out of memory for %s", TAPE__LAYOUT_TEXT(y));
    TAPE__DO(t, divide, (&(struct quotient){f->g, f->y->data, q, y->numel, x->dtype}));
    int64_t stride[TAPE_MAX_RANK], step = 1;
    for (int d = dense->rank - 1; d >= 0; d--) {
        stride[d] = mask >> d & 1 ? 0 : step;
        step *= mask >> d & 1 ? 1 : dense->size[d];
    }
    bool accumulate = false;
    const tape__layout *spread = tape__layout_strided(&t->layouts, dense->rank, dense->size, stride);
    void *gx = spread ? tape__adjoint_target(t, x, &accumulate) : NULL;
    if (gx)
        TAPE__DO(t, multiply,
                 (&(struct spreading){
                     dense,
                     x->layout,
                     spread,
                     {TAPE__EW_mul, 0, x->dtype, accumulate, NULL, gx, {NULL, x->data, [TAPE__RUN_ADJOINT] = q}}}));
    tape__arena_put(&t->arena, q, bytes);
    return gx;
}

tape_tensor tape_norm(tape_tensor x, double p, tape_axes axes, bool keep_dims)
{
    return tape__reduce_run(TAPE__OP_norm, x, axes, keep_dims, p);
}
