/* Softmax and its logarithm along one axis, with fused derivatives. Knows shapes and records; the rows are the
 * kernels'. */
#include "softmax.h"

#include <math.h>

#include "adjoint.h"
#include "kernels/kernels.h"
#include "kernels/softmax.h"
#include "reduce.h"

/* ---- shapes ------------------------------------------------------------------------------------------------------ */

/* Where the running op on f32 or f64 cuts its inputs. A scalar is taken as a vector of one element. */
static bool checked_cut(tape__call *call, tape__softmax_shape *cut)
{
    const tape__node *x = call->in[0];
    int32_t given = *(const int32_t *)call->attr;
    int axis = tape__axis(given, x->layout->rank ? x->layout->rank : 1);
    if (!tape__check_float(call->t, x))
        return false;
    if (axis < 0)
        return tape__error(call->t, TAPE_ERROR_ARGUMENT, "axis %d is out of range for shape %s", given,
                           TAPE__LAYOUT_TEXT(x->layout));
    tape__axis_cut at = tape__cut_at(x->layout, axis);
    *cut = (tape__softmax_shape){at.outer, at.n, at.inner};
    return true;
}

static bool forward(tape__call *call, bool logarithm)
{
    tape__softmax_shape cut;
    if (!checked_cut(call, &cut))
        return false;
    const tape__node *x = call->in[0];
    const void *data = tape__dense_data(call->t, x);
    tape__node *y = tape__output_like(call, x);
    if (!data || !y)
        return false;
    const struct tape__softmax_kernels *kernels = call->t->kernels->softmax;
    (logarithm ? kernels->log_softmax : kernels->softmax)[x->dtype](tape__threads_of(call->t), cut, data, y->data);
    return true;
}

static bool backward_forward(tape__call *call, bool logarithm)
{
    tape__softmax_shape cut;
    if (!checked_cut(call, &cut))
        return false;
    const tape__node *g = call->in[0], *y = call->in[1];
    if (g->layout->dense != y->layout->dense || g->dtype != y->dtype)
        return tape__error(call->t, g->dtype != y->dtype ? TAPE_ERROR_DTYPE : TAPE_ERROR_SHAPE,
                           "expects two tensors alike, got %s and %s", TAPE__LAYOUT_TEXT(g->layout),
                           TAPE__LAYOUT_TEXT(y->layout));
    const void *g_data = tape__dense_data(call->t, g), *y_data = tape__dense_data(call->t, y);
    tape__node *gx = tape__output_like(call, g);
    if (!g_data || !y_data || !gx)
        return false;
    const struct tape__softmax_kernels *kernels = call->t->kernels->softmax;
    (logarithm ? kernels->log_softmax_vjp : kernels->softmax_vjp)[g->dtype](tape__threads_of(call->t), cut, y_data,
                                                                            g_data, false, gx->data);
    return true;
}

struct derivative {
    tape__softmax_shape shape;
    const void *y, *g;
    void *gx;
    int dtype;
    bool logarithm, accumulate;
};

static bool run_derivative(tape *t, const void *arguments)
{
    const struct derivative *d = arguments;
    const struct tape__softmax_kernels *kernels = t->kernels->softmax;
    (d->logarithm ? kernels->log_softmax_vjp : kernels->softmax_vjp)[d->dtype](tape__threads_of(t), d->shape, d->y,
                                                                               d->g, d->accumulate, d->gx);
    return true;
}

/* On memory: into x's adjoint, where it may be y's own. */
static bool fused(tape__fused *f, bool logarithm)
{
    tape *t = f->t;
    const tape__node *y = f->y;
    tape__node *x = tape__at(t, f->in[0]);
    if (!tape__is_dense(f->g_layout))
        return false;
    const tape__axis_cut at =
        tape__cut_at(y->layout, tape__axis(*(const int32_t *)f->attr, y->layout->rank ? y->layout->rank : 1));
    struct derivative d = {{at.outer, at.n, at.inner}, y->data, f->g, NULL, y->dtype, logarithm, false};
    d.gx = f->holder ? tape__adjoint_inherit(t, f->y, x) : NULL;
    if (!d.gx && !(d.gx = tape__adjoint_target(t, x, &d.accumulate)))
        return false;
    return TAPE__DO(t, run_derivative, &d);
}

static tape_tensor run(int op, const tape_tensor *inputs, int n_in, int axis)
{
    int32_t attr = axis;
    return tape__run(op, inputs, n_in, &attr, sizeof attr);
}

/* The sum along the record's axis, kept as an axis of size 1. */
static tape_tensor sum_along(const tape__vjp *v, tape_tensor x)
{
    return tape_sum(x, tape_rank(x) ? TAPE_AXES(*(const int32_t *)v->attr) : TAPE_ALL, true);
}

/* ---- softmax ----------------------------------------------------------------------------------------------------- */

bool tape__softmax_forward(tape__call *call)
{
    return forward(call, false);
}

void tape__softmax_vjp(tape__vjp *v)
{
    v->gx[0] = tape__softmax_backward(v->gy[0], v->y[0], *(const int32_t *)v->attr);
}

bool tape__softmax_fused(tape__fused *f)
{
    return fused(f, false);
}

tape_tensor tape_softmax(tape_tensor x, int axis)
{
    return run(TAPE__OP_softmax, &x, 1, axis);
}

tape_tensor tape__softmax_backward(tape_tensor g, tape_tensor y, int axis)
{
    tape_tensor inputs[2] = {g, y};
    return run(TAPE__OP_softmax_backward, inputs, 2, axis);
}

bool tape__softmax_backward_forward(tape__call *call)
{
    return backward_forward(call, false);
}

/* y (g - sum(g y)) is linear in g and its matrix symmetric, so the cotangent of g is the op itself on u. */
void tape__softmax_backward_vjp(tape__vjp *v)
{
    tape_tensor g = v->x[0], y = v->x[1], u = v->gy[0];
    if (v->needs[0])
        v->gx[0] = tape__softmax_backward(u, y, *(const int32_t *)v->attr);
    if (v->needs[1]) {
        tape_tensor centred = tape_sub(g, sum_along(v, tape_mul(g, y)));
        v->gx[1] = tape_sub(tape_mul(u, centred), tape_mul(g, sum_along(v, tape_mul(u, y))));
    }
}

/* ---- log_softmax ------------------------------------------------------------------------------------------------- */

bool tape__log_softmax_forward(tape__call *call)
{
    return forward(call, true);
}

void tape__log_softmax_vjp(tape__vjp *v)
{
    v->gx[0] = tape__log_softmax_backward(v->gy[0], v->y[0], *(const int32_t *)v->attr);
}

bool tape__log_softmax_fused(tape__fused *f)
{
    return fused(f, true);
}

tape_tensor tape_log_softmax(tape_tensor x, int axis)
{
    return run(TAPE__OP_log_softmax, &x, 1, axis);
}

tape_tensor tape__log_softmax_backward(tape_tensor g, tape_tensor y, int axis)
{
    tape_tensor inputs[2] = {g, y};
    return run(TAPE__OP_log_softmax_backward, inputs, 2, axis);
}

bool tape__log_softmax_backward_forward(tape__call *call)
{
    return backward_forward(call, true);
}

/* g - exp(y) sum(g), and 0 where y is -inf; for the cotangent u: u - sum(u exp(y)) for g, -u exp(y) sum(g) for y. */
void tape__log_softmax_backward_vjp(tape__vjp *v)
{
    tape_tensor g = v->x[0], y = v->x[1];
    tape_tensor u = tape_where(tape_eq_scalar(y, -INFINITY), tape_scalar(tape_dtype_of(y), 0), v->gy[0]);
    tape_tensor up = tape_mul(u, tape_exp(y));
    if (v->needs[0])
        v->gx[0] = tape_sub(u, sum_along(v, up));
    if (v->needs[1])
        v->gx[1] = tape_neg(tape_mul(up, sum_along(v, g)));
}
