/* Ops that run along one axis: cumsum, cumprod, logcumsumexp, cummax, and the linear recurrence their VJPs share. */
#include <math.h>

#include "kernels/any/scan.h"
#include "region.h"

struct scan {
    int64_t axis, reverse;
};

/* Inputs 0 ... n_in-1 are the terms: x, or a and x for the recurrence. */
static bool scan_forward(tape__call *call, tape__scan_kind kind)
{
    const struct scan *attr = call->attr;
    const tape__node *x = call->in[call->n_in - 1];
    int axis;
    if (!tape__check_float(call->t, x) || !tape__check_axis_or_scalar(call->t, attr->axis, x->layout, &axis))
        return false;
    tape__axis_cut cut = tape__cut_at(x->layout, axis);
    tape__scan s = {kind, attr->reverse != 0, cut.outer, cut.n, cut.inner, NULL, NULL, NULL};
    s.x = tape__dense_data(call->t, x);
    s.a = call->n_in > 1 ? tape__dense_data(call->t, call->in[0]) : s.x;
    tape__node *y = s.x && s.a ? tape__output_like(call, x) : NULL;
    if (!y)
        return false;
    s.y = y->data;
    tape__scan_run(&s, x->dtype);
    return true;
}

static tape_tensor run_scan(int op, const tape_tensor *inputs, int n, int64_t axis, bool reverse)
{
    struct scan attr = {axis, reverse};
    return tape__run(op, inputs, n, &attr, sizeof attr);
}

/* A scalar as a line of one element, so that it has an axis to shift along. */
static tape_tensor as_line(tape_tensor x)
{
    return tape_rank(x) == 0 ? tape_reshape(x, TAPE_SHAPE(1)) : x;
}

/* x moved by one place along an axis: towards the end, or back. `value` fills the gap. */
static tape_tensor shift(tape_tensor x, int axis, bool back, double value)
{
    tape_pad_options o = {.value = value};
    if (tape_size(x, axis) == 0)
        return x;
    axis = tape__axis(axis, tape_rank(x));
    if (axis >= 0) {
        o.before[axis] = back ? -1 : 1;
        o.after[axis] = -o.before[axis];
    }
    return tape_pad(x, &o);
}

/* ---- the recurrence ---------------------------------------------------------------------------------------------- */

static tape_tensor linear_scan(tape_tensor a, tape_tensor x, int axis, bool reverse)
{
    return run_scan(TAPE__OP_linear_scan, (tape_tensor[]){a, x}, 2, axis, reverse);
}

bool tape__linear_scan_forward(tape__call *call)
{
    const tape__node *a = call->in[0], *x = call->in[1];
    if (a->dtype != x->dtype || a->layout->dense != x->layout->dense)
        return tape__error(call->t, a->dtype != x->dtype ? TAPE_ERROR_DTYPE : TAPE_ERROR_SHAPE,
                           "expects tensors of one kind, got %s %s and %s %s", tape_dtype_name(a->dtype),
                           TAPE__LAYOUT_TEXT(a->layout), tape_dtype_name(x->dtype), TAPE__LAYOUT_TEXT(x->layout));
    return scan_forward(call, TAPE__SCAN_LINEAR);
}

/* u[i] = gy[i] + a[i+1] u[i+1] is the cotangent of y[i] in all; x[i] receives it, a[i] with the factor y[i-1]. */
void tape__linear_scan_vjp(tape__vjp *v)
{
    const struct scan *attr = v->attr;
    int axis = (int)attr->axis;
    bool reverse = attr->reverse != 0;
    tape_tensor u = linear_scan(shift(v->x[0], axis, !reverse, 0), v->gy[0], axis, !reverse);
    if (v->needs[0])
        v->gx[0] = tape_mul(u, shift(v->y[0], axis, reverse, 0));
    if (v->needs[1])
        v->gx[1] = u;
}

/* ---- cumsum, cumprod --------------------------------------------------------------------------------------------- */

bool tape__cumsum_forward(tape__call *call)
{
    return scan_forward(call, TAPE__SCAN_SUM);
}

void tape__cumsum_vjp(tape__vjp *v)
{
    const struct scan *attr = v->attr;
    v->gx[0] = run_scan(TAPE__OP_cumsum, v->gy, 1, attr->axis, !attr->reverse);
}

tape_tensor tape_cumsum(tape_tensor x, int axis)
{
    return run_scan(TAPE__OP_cumsum, &x, 1, axis, false);
}

bool tape__cumprod_forward(tape__call *call)
{
    return scan_forward(call, TAPE__SCAN_PROD);
}

/* x[i] receives (x[0] ... x[i-1]) s[i], where s[i] = gy[i] + x[i+1] s[i+1] collects the products that go on from i. */
void tape__cumprod_vjp(tape__vjp *v)
{
    int axis = (int)((const struct scan *)v->attr)->axis;
    tape_tensor x = as_line(v->x[0]), y = as_line(v->y[0]), g = as_line(v->gy[0]);
    tape_tensor s = linear_scan(shift(x, axis, true, 0), g, axis, true);
    v->gx[0] = tape_reshape(tape_mul(shift(y, axis, false, 1), s), tape_shape_of(v->x[0]));
}

tape_tensor tape_cumprod(tape_tensor x, int axis)
{
    return run_scan(TAPE__OP_cumprod, &x, 1, axis, false);
}

/* ---- logcumsumexp ------------------------------------------------------------------------------------------------ */

/* With m the largest so far, the sum s of exp(x - m) obeys s[i] = exp(m[i-1] - m[i]) s[i-1] + exp(x[i] - m[i]), and
 * y = m + log(s). m cancels out of the derivative. Where m is infinite, 0 stands in for it. */
static tape_tensor logcumsumexp(tape_tensor x, int axis)
{
    tape_dtype dtype = tape_dtype_of(x);
    tape_tensor top = tape_cummax(tape_detach(x), axis, NULL);
    tape_tensor m = tape_where(tape_isfinite(top), top, tape_scalar(dtype, 0));
    tape_tensor kept = tape_exp(tape_sub(shift(top, axis, false, -INFINITY), m));
    tape_tensor s = linear_scan(kept, tape_exp(tape_sub(x, m)), axis, false);
    tape_tensor nothing = tape_eq_scalar(top, -INFINITY);
    tape_tensor y = tape_add(m, tape_log(tape_where(nothing, tape_scalar(dtype, 1), s)));
    return tape_where(nothing, top, y);
}

tape_tensor tape_logcumsumexp(tape_tensor x, int axis)
{
    tape *t = tape__begin("logcumsumexp");
    if (!t)
        return TAPE_NULL;
    const char *before = tape__enter(t, "logcumsumexp");
    tape_tensor y = tape_reshape(logcumsumexp(as_line(x), axis), tape_shape_of(x));
    return tape__leave(t, before, TAPE__OP_logcumsumexp, y);
}

/* ---- cummax ------------------------------------------------------------------------------------------------------ */

bool tape__cummax_forward(tape__call *call)
{
    const tape__node *x = call->in[0];
    int axis;
    if (!tape__check_float(call->t, x) ||
        !tape__check_axis_or_scalar(call->t, *(const int64_t *)call->attr, x->layout, &axis))
        return false;
    tape__axis_cut cut = tape__cut_at(x->layout, axis);
    tape__scan s = {.outer = cut.outer, .n = cut.n, .inner = cut.inner};
    s.x = tape__dense_data(call->t, x);
    tape__node *y = s.x ? tape__output_like(call, x) : NULL;
    tape__node *index = y ? tape__output(call, TAPE_I64, x->layout->rank, x->layout->size) : NULL;
    if (!index)
        return false;
    s.y = y->data;
    tape__scan_max(&s, x->dtype, index->data);
    return true;
}

void tape__cummax_vjp(tape__vjp *v)
{
    v->gx[0] = tape__place_along(v->gy[0], v->y[1], (int)*(const int64_t *)v->attr, tape_shape_of(v->x[0]));
}

tape_tensor tape_cummax(tape_tensor x, int axis, tape_tensor *indices)
{
    int64_t attr = axis;
    tape_tensor y = tape__run(TAPE__OP_cummax, &x, 1, &attr, sizeof attr);
    if (indices)
        *indices = tape__sibling(y, 1);
    return y;
}
