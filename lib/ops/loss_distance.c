/* Losses of distances, angles and distributions. Knows their options; the formulas are in elementwise.def. */
#include <math.h>

#include "loss.h"

#define TRIPLET_EPS 1e-6 /* PyTorch's default, which keeps a distance differentiable */
#define PI 3.14159265358979323846

tape_tensor tape_hinge(tape_tensor x, tape_tensor target, double margin, tape_reduction reduction)
{
    TAPE__BEGIN_COMPOSITE("hinge");
    tape_tensor y = tape__loss_reduce(t, tape__hinge_pointwise(x, target, margin), reduction);
    return tape__leave(t, before, TAPE__OP_hinge, y);
}

/* x over its norm along an axis, the norm being at least eps. */
static tape_tensor direction(tape_tensor x, tape_axes axis, double eps)
{
    return tape_div(x, tape_clamp(tape_norm(x, 2, axis, true), eps, INFINITY));
}

tape_tensor tape_cosine_similarity(tape_tensor a, tape_tensor b, int axis, double eps)
{
    TAPE__BEGIN_COMPOSITE("cosine_similarity");
    tape_tensor y = TAPE_NULL;
    tape_axes along = TAPE_AXES(axis);
    if (eps > 0)
        y = tape_sum(tape_mul(direction(a, along, eps), direction(b, along, eps)), along, false);
    else
        tape__error(t, TAPE_ERROR_ARGUMENT, "eps must be positive, got %g", eps);
    return tape__leave(t, before, TAPE__OP_cosine_similarity, y);
}

static tape_tensor distance(tape_tensor a, tape_tensor b)
{
    return tape_norm(tape_add_scalar(tape_sub(a, b), TRIPLET_EPS), 2, TAPE_AXES(-1), false);
}

tape_tensor tape_triplet(tape_tensor anchor, tape_tensor positive, tape_tensor negative, double margin,
                         tape_reduction reduction)
{
    TAPE__BEGIN_COMPOSITE("triplet");
    tape_tensor excess = tape_sub(distance(anchor, positive), distance(anchor, negative));
    tape_tensor y = tape__loss_reduce(t, tape_relu(tape_add_scalar(excess, margin)), reduction);
    return tape__leave(t, before, TAPE__OP_triplet, y);
}

/* log(n!) by Stirling: n log n - n + log(2 pi n) / 2 where n > 1, else 0. */
static tape_tensor log_factorial(tape_tensor n)
{
    tape_tensor zero = tape_scalar(tape_dtype_of(n), 0);
    tape_tensor series = tape_sub(tape_mul(n, tape_log(n)), n);
    tape_tensor correction = tape_mul_scalar(tape_log(tape_mul_scalar(n, 2 * PI)), 0.5);
    return tape_where(tape_gt_scalar(n, 1), tape_add(series, correction), zero);
}

tape_tensor tape_poisson_nll(tape_tensor x, tape_tensor target, const tape_poisson_nll_options *options)
{
    TAPE__BEGIN_COMPOSITE("poisson_nll");
    tape_poisson_nll_options o = options ? *options : (tape_poisson_nll_options){0};
    tape_tensor y = o.rate ? tape__poisson_nll_pointwise(x, target, o.eps == 0 ? 1e-8 : o.eps)
                           : tape__poisson_nll_log_pointwise(x, target);
    if (o.full)
        y = tape_add(y, log_factorial(target));
    return tape__leave(t, before, TAPE__OP_poisson_nll, tape__loss_reduce(t, y, o.reduction));
}

tape_tensor tape_gaussian_nll(tape_tensor x, tape_tensor target, tape_tensor var,
                              const tape_gaussian_nll_options *options)
{
    TAPE__BEGIN_COMPOSITE("gaussian_nll");
    tape_gaussian_nll_options o = options ? *options : (tape_gaussian_nll_options){0};
    tape_tensor y = tape__gaussian_nll_pointwise(x, target, var, o.eps == 0 ? 1e-6 : o.eps);
    if (o.full)
        y = tape_add_scalar(y, log(2 * PI) / 2);
    return tape__leave(t, before, TAPE__OP_gaussian_nll, tape__loss_reduce(t, y, o.reduction));
}
