/* Layer and root-mean-square normalisation over trailing axes. Knows shapes and records; the rows are the kernels'. */
#include "norm.h"

#include <string.h>

#include "adjoint.h"
#include "check.h"
#include "kernels/kernels.h"
#include "kernels/norm.h"

/* ---- shapes ------------------------------------------------------------------------------------------------------ */

static void count_rows(const tape__layout *layout, const tape__norm_attr *attr, int64_t *rows, int64_t *n)
{
    *rows = *n = 1;
    for (int i = 0; i < layout->rank; i++)
        *(i < layout->rank - attr->trailing ? rows : n) *= layout->size[i];
}

/* Cut x into rows x n, n being the product of the trailing axes. */
static bool cut_rows(tape__call *call, const tape__node *x, int64_t *rows, int64_t *n)
{
    const tape__norm_attr *attr = call->attr;
    const tape__layout *layout = x->layout;
    if (!tape__check_float(call->t, x))
        return false;
    if (attr->trailing < 1 || attr->trailing > layout->rank)
        return tape__error(call->t, TAPE_ERROR_ARGUMENT, "trailing must be from 1 to the rank of %s, got %d",
                           TAPE__LAYOUT_TEXT(layout), attr->trailing);
    count_rows(layout, attr, rows, n);
    return true;
}

/* The data of input i, a weight or a bias, which has the shape of x's trailing axes; NULL after an error. */
static const void *affine_data(tape__call *call, int i, const tape__node *x)
{
    const tape__norm_attr *attr = call->attr;
    const tape__node *w = call->in[i];
    const int64_t *size = x->layout->size + x->layout->rank - attr->trailing;
    if (w->layout->rank != attr->trailing || memcmp(w->layout->size, size, (size_t)attr->trailing * sizeof *size) != 0)
        tape__error(call->t, TAPE_ERROR_SHAPE, "expects weight and bias of shape %s, got %s",
                    tape__shape_text(attr->trailing, size).text, TAPE__LAYOUT_TEXT(w->layout));
    else if (w->dtype != x->dtype)
        tape__error(call->t, TAPE_ERROR_DTYPE, "expects weight and bias of %s, got %s",
                    tape_dtype_name((tape_dtype)x->dtype), tape_dtype_name((tape_dtype)w->dtype));
    else
        return tape__dense_data(call->t, w);
    return NULL;
}

/* Where row statistics lie in the second output: the means, where there are any, then the reciprocal deviations. */
static void *statistic(const tape__node *statistics, bool centred, bool mean)
{
    size_t bytes = (size_t)statistics->layout->size[1] * tape_dtype_size((tape_dtype)statistics->dtype);
    if (mean)
        return centred ? statistics->data : NULL;
    return (char *)statistics->data + (centred ? bytes : 0);
}

/* Room for the sums over rows, where one of them is wanted; NULL after an error. */
static void *work_for(tape *t, const tape__norm_attr *attr, const tape__norm_vjp_args *args, int dtype)
{
    const bool sums = attr->weighted || attr->biased;
    return tape__scratch(t, sums ? tape__norm_work(args->rows, args->n, tape_dtype_size((tape_dtype)dtype)) : 0);
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

/* Outputs: y, and the rows' statistics for the derivative. */
static bool forward(tape__call *call, bool centred)
{
    const tape__norm_attr *attr = call->attr;
    const tape__node *x = call->in[0];
    tape__norm_args args = {.eps = attr->eps};
    if (!cut_rows(call, x, &args.rows, &args.n))
        return false;
    if (attr->weighted && !(args.w = affine_data(call, 1, x)))
        return false;
    if (attr->biased && !(args.b = affine_data(call, 1 + attr->weighted, x)))
        return false;
    args.x = tape__dense_data(call->t, x);
    tape__node *y = tape__output_like(call, x);
    tape__node *statistics = tape__output(call, (tape_dtype)x->dtype, 2, (int64_t[]){centred ? 2 : 1, args.rows});
    if (!args.x || !y || !statistics)
        return false;
    args.y = y->data;
    args.mean = statistic(statistics, centred, true);
    args.rstd = statistic(statistics, centred, false);
    const struct tape__norm_kernels *kernels = call->t->kernels->norm;
    (centred ? kernels->layer_norm : kernels->rms_norm)[x->dtype](tape__threads_of(call->t), &args);
    return true;
}

/* Inputs: the cotangent, x, x's statistics and perhaps the weight. Outputs: the gradients of x, weight and bias. */
static bool backward_forward(tape__call *call, bool centred)
{
    const tape__norm_attr *attr = call->attr;
    const tape__node *g = call->in[0], *x = call->in[1], *statistics = call->in[2];
    tape__norm_vjp_args args = {0};
    if (!cut_rows(call, x, &args.rows, &args.n))
        return false;
    if (g->layout->dense != x->layout->dense || g->dtype != x->dtype)
        return tape__error(call->t, g->dtype != x->dtype ? TAPE_ERROR_DTYPE : TAPE_ERROR_SHAPE,
                           "expects a cotangent like x, got %s for %s", TAPE__LAYOUT_TEXT(g->layout),
                           TAPE__LAYOUT_TEXT(x->layout));
    if (attr->weighted && !(args.w = affine_data(call, 3, x)))
        return false;
    args.g = tape__dense_data(call->t, g);
    args.x = tape__dense_data(call->t, x);
    args.mean = statistic(statistics, centred, true);
    args.rstd = statistic(statistics, centred, false);
    const int64_t *trailing = x->layout->size + x->layout->rank - attr->trailing;
    tape__node *out[3] = {tape__output_like(call, x)};
    if (attr->weighted)
        out[1] = tape__output(call, (tape_dtype)x->dtype, attr->trailing, trailing);
    if (attr->biased)
        out[2] = tape__output(call, (tape_dtype)x->dtype, attr->trailing, trailing);
    args.work = work_for(call->t, attr, &args, x->dtype);
    if (!args.g || !args.x || !out[0] || (attr->weighted && !out[1]) || (attr->biased && !out[2]) || !args.work)
        return false;
    args.gx = out[0]->data;
    args.gw = attr->weighted ? out[1]->data : NULL;
    args.gb = attr->biased ? out[2]->data : NULL;
    const struct tape__norm_kernels *kernels = call->t->kernels->norm;
    (centred ? kernels->layer_norm_vjp : kernels->rms_norm_vjp)[x->dtype](tape__threads_of(call->t), &args);
    return true;
}

/* ---- derivatives ------------------------------------------------------------------------------------------------- */

tape_tensor tape__norm_backward(bool centred, const tape_tensor inputs[4], const tape__norm_attr *attr)
{
    int op = centred ? TAPE__OP_layer_norm_backward : TAPE__OP_rms_norm_backward;
    return tape__run(op, inputs, 3 + attr->weighted, attr, sizeof *attr);
}

static void vjp(tape__vjp *v, bool centred)
{
    const tape__norm_attr *attr = v->attr;
    int next = 1;
    tape_tensor inputs[4] = {v->gy[0], v->x[0], v->y[1], attr->weighted ? v->x[1] : TAPE_NONE};
    tape_tensor gx = tape__norm_backward(centred, inputs, attr);
    v->gx[0] = gx;
    if (attr->weighted) {
        v->gx[next] = tape__sibling(gx, next);
        next++;
    }
    if (attr->biased)
        v->gx[next] = tape__sibling(gx, next);
}

/* Where the gradient of input i goes, if it is wanted; false after an error. */
static bool find_target(const tape__fused *f, int i, void **data, bool *accumulate)
{
    tape__node *x = tape__wanted(f, i);
    *data = x ? tape__adjoint_target(f->t, x, accumulate) : NULL;
    return !x || *data;
}

struct derivative {
    tape__norm_vjp_args args;
    const tape__norm_attr *attr;
    int dtype;
    bool centred;
};

static bool run_derivative(tape *t, const void *arguments)
{
    const struct derivative *d = arguments;
    tape__norm_vjp_args args = d->args;
    const struct tape__norm_kernels *kernels = t->kernels->norm;
    if (!(args.work = work_for(t, d->attr, &args, d->dtype)))
        return false;
    (d->centred ? kernels->layer_norm_vjp : kernels->rms_norm_vjp)[d->dtype](tape__threads_of(t), &args);
    return true;
}

/* On memory: into the adjoints, of different tensors; x's may be y's own. */
static bool fused(tape__fused *f, bool centred)
{
    const tape__norm_attr *attr = f->attr;
    tape__node *x = tape__at(f->t, f->in[0]);
    const tape__node *statistics = tape__at(f->t, f->slot + 1);
    const tape__node *w = attr->weighted ? tape__at(f->t, f->in[1]) : NULL;
    bool fits = tape__is_dense(x->layout) && tape__is_dense(f->g_layout) && (!w || tape__is_dense(w->layout));
    for (int i = 1; i < f->n_in; i++)
        fits = fits && f->in[i] != f->in[i - 1] && f->in[i] != f->in[0];
    if (!fits)
        return false;
    struct derivative d = {{.x = x->data, .w = w ? w->data : NULL, .g = f->g}, attr, x->dtype, centred};
    tape__norm_vjp_args *args = &d.args;
    count_rows(x->layout, attr, &args->rows, &args->n);
    args->mean = statistic(statistics, centred, true);
    args->rstd = statistic(statistics, centred, false);
    args->gx = f->holder && tape__wanted(f, 0) ? tape__adjoint_inherit(f->t, f->y, x) : NULL;
    if ((!args->gx && !find_target(f, 0, &args->gx, &args->add_gx)) ||
        (w && !find_target(f, 1, &args->gw, &args->add_gw)) ||
        (attr->biased && !find_target(f, 1 + attr->weighted, &args->gb, &args->add_gb)))
        return false;
    return TAPE__DO(f->t, run_derivative, &d);
}

bool tape__layer_norm_fused(tape__fused *f)
{
    return fused(f, true);
}

bool tape__rms_norm_fused(tape__fused *f)
{
    return fused(f, false);
}

/* The mean over the trailing axes, kept as axes of size 1. */
static tape_tensor row_mean(const tape__vjp *v, tape_tensor x)
{
    const tape__norm_attr *attr = v->attr;
    tape_axes axes = {attr->trailing, {-1, -2, -3, -4, -5, -6, -7, -8}};
    return tape_mean(x, axes, true);
}

/* r P(c): the derivative without weight and bias. */
static tape_tensor project(const tape__vjp *v, tape_tensor c, bool centred)
{
    tape__norm_attr plain = *(const tape__norm_attr *)v->attr;
    tape_tensor inputs[4] = {c, v->x[1], v->x[2]};
    plain.weighted = plain.biased = 0;
    return tape__norm_backward(centred, inputs, &plain);
}

/* 1 / sqrt(var(x) + eps), in the shape of a row mean. */
static tape_tensor reciprocal_deviation(const tape__vjp *v, bool centred)
{
    const tape__norm_attr *attr = v->attr;
    tape_tensor x = v->x[1];
    tape_tensor deviation = centred ? tape_sub(x, row_mean(v, x)) : x;
    return tape_rsqrt(tape_add_scalar(row_mean(v, tape_square(deviation)), attr->eps));
}

/*
 * y = r P(c) with c = g w, P(c) = c - mean(c) - h mean(c h), h = (x - mean(x)) r, r = 1 / sqrt(var(x) + eps); mean(x)
 * and mean(c) are left out for the root mean square. gw is the sum over rows of g h, gb that of g. Let u, uw, ub be the
 * cotangents of y, gw and gb. P is symmetric, so that of c is r P(u). For x, y and gw depend on h, which gives r P(k)
 * with k = g uw - r (u mean(c h) + c mean(u h)), and y on r, which gives -r h mean(u y). The statistics are functions
 * of x: what goes through them is counted here.
 */
static void backward_vjp(tape__vjp *v, bool centred)
{
    const tape__norm_attr *attr = v->attr;
    tape_tensor g = v->x[0], x = v->x[1], u = v->gy[0];
    tape_tensor w = attr->weighted ? v->x[3] : TAPE_NONE, uw = attr->weighted ? v->gy[1] : TAPE_NONE;
    tape_tensor r = reciprocal_deviation(v, centred);
    tape_tensor h = tape_mul(centred ? tape_sub(x, row_mean(v, x)) : x, r);
    tape_tensor gc = project(v, u, centred);
    if (v->needs[0]) {
        v->gx[0] = attr->weighted ? tape_add(tape_mul(gc, w), tape_mul(h, uw)) : gc;
        if (attr->biased)
            v->gx[0] = tape_add(v->gx[0], v->gy[1 + attr->weighted]);
    }
    if (attr->weighted && v->needs[3])
        v->gx[3] = tape__sum_to(tape_mul(g, gc), tape_shape_of(w));
    if (!v->needs[1])
        return;
    tape_tensor c = attr->weighted ? tape_mul(g, w) : g;
    tape_tensor k = tape_neg(
        tape_mul(r, tape_add(tape_mul(u, row_mean(v, tape_mul(c, h))), tape_mul(c, row_mean(v, tape_mul(u, h))))));
    if (attr->weighted)
        k = tape_add(k, tape_mul(g, uw));
    tape_tensor by_r = tape_mul(h, tape_mul(r, row_mean(v, tape_mul(u, v->y[0]))));
    v->gx[1] = tape_sub(project(v, k, centred), by_r);
}

/* ---- the rows ---------------------------------------------------------------------------------------------------- */

static tape_tensor run(int op, tape_tensor x, tape_tensor weight, tape_tensor bias, int trailing, double eps)
{
    tape__norm_attr attr = {trailing, !tape_is_none(weight), !tape_is_none(bias), 0, eps};
    tape_tensor inputs[3] = {x};
    int n_in = 1;
    if (attr.weighted)
        inputs[n_in++] = weight;
    if (attr.biased)
        inputs[n_in++] = bias;
    return tape__run(op, inputs, n_in, &attr, sizeof attr);
}

bool tape__layer_norm_forward(tape__call *call)
{
    return forward(call, true);
}

void tape__layer_norm_vjp(tape__vjp *v)
{
    vjp(v, true);
}

bool tape__layer_norm_backward_forward(tape__call *call)
{
    return backward_forward(call, true);
}

void tape__layer_norm_backward_vjp(tape__vjp *v)
{
    backward_vjp(v, true);
}

tape_tensor tape_layer_norm(tape_tensor x, tape_tensor weight, tape_tensor bias, int trailing, double eps)
{
    return run(TAPE__OP_layer_norm, x, weight, bias, trailing, eps);
}

bool tape__rms_norm_forward(tape__call *call)
{
    return forward(call, false);
}

void tape__rms_norm_vjp(tape__vjp *v)
{
    vjp(v, false);
}

bool tape__rms_norm_backward_forward(tape__call *call)
{
    return backward_forward(call, false);
}

void tape__rms_norm_backward_vjp(tape__vjp *v)
{
    backward_vjp(v, false);
}

tape_tensor tape_rms_norm(tape_tensor x, tape_tensor weight, int trailing, double eps)
{
    return run(TAPE__OP_rms_norm, x, weight, TAPE_NONE, trailing, eps);
}
