/* Losses that are an elementwise formula and a reduction. Knows their options; the formulas are in elementwise.def, and
   losses over classes in cross_entropy.c. */
#include "loss.h"

tape_tensor tape__loss_reduce(tape *t, tape_tensor y, tape_reduction reduction)
{
    switch (reduction) {
    case TAPE_REDUCE_MEAN:
        return tape_mean(y, TAPE_ALL, false);
    case TAPE_REDUCE_SUM:
        return tape_sum(y, TAPE_ALL, false);
    case TAPE_REDUCE_NONE:
        return y;
    }
    tape__error(t, TAPE_ERROR_ARGUMENT, "reduction %d is none of mean, sum and none", (int)reduction);
    return TAPE_NULL;
}

tape_tensor tape_mse(tape_tensor x, tape_tensor target, tape_reduction reduction)
{
    TAPE__BEGIN_COMPOSITE("mse");
    tape_tensor y = tape__loss_reduce(t, tape__squared_error_pointwise(x, target), reduction);
    return tape__leave(t, before, TAPE__OP_mse, y);
}

tape_tensor tape_l1(tape_tensor x, tape_tensor target, tape_reduction reduction)
{
    TAPE__BEGIN_COMPOSITE("l1");
    tape_tensor y = tape__loss_reduce(t, tape__abs_error_pointwise(x, target), reduction);
    return tape__leave(t, before, TAPE__OP_l1, y);
}

tape_tensor tape_huber(tape_tensor x, tape_tensor target, double delta, tape_reduction reduction)
{
    TAPE__BEGIN_COMPOSITE("huber");
    tape_tensor y = TAPE_NULL;
    if (delta > 0)
        y = tape__loss_reduce(t, tape__huber_pointwise(x, target, delta), reduction);
    else
        tape__error(t, TAPE_ERROR_ARGUMENT, "delta must be positive, got %g", delta);
    return tape__leave(t, before, TAPE__OP_huber, y);
}

tape_tensor tape_smooth_l1(tape_tensor x, tape_tensor target, double beta, tape_reduction reduction)
{
    TAPE__BEGIN_COMPOSITE("smooth_l1");
    tape_tensor y = TAPE_NULL;
    if (beta > 0)
        y = tape__loss_reduce(t, tape__smooth_l1_pointwise(x, target, beta), reduction);
    else if (beta == 0)
        y = tape__loss_reduce(t, tape__abs_error_pointwise(x, target), reduction);
    else
        tape__error(t, TAPE_ERROR_ARGUMENT, "beta must not be negative, got %g", beta);
    return tape__leave(t, before, TAPE__OP_smooth_l1, y);
}

tape_tensor tape_bce(tape_tensor x, tape_tensor target, const tape_bce_options *options)
{
    TAPE__BEGIN_COMPOSITE("bce");
    tape_bce_options o = options ? *options : (tape_bce_options){0};
    tape_tensor y = tape__bce_pointwise(x, target);
    if (o.pos_weight)
        tape__error(t, TAPE_ERROR_ARGUMENT, "takes no pos_weight: that is for bce_with_logits");
    if (o.weight)
        y = tape_mul(y, *o.weight);
    return tape__leave(t, before, TAPE__OP_bce, tape__loss_reduce(t, y, o.reduction));
}

/* (1 - t) x + (1 + (w - 1) t) softplus(-x); the softplus is the loss of target 1, which is stable. */
static tape_tensor weighted_logits(tape_tensor x, tape_tensor target, tape_tensor pos_weight)
{
    tape_tensor softplus = tape__bce_with_logits_pointwise(x, tape_scalar(tape_dtype_of(x), 1));
    tape_tensor weight = tape_add_scalar(tape_mul(tape_sub_scalar(pos_weight, 1), target), 1);
    return tape_add(tape_mul(tape_scalar_sub(1, target), x), tape_mul(weight, softplus));
}

tape_tensor tape_bce_with_logits(tape_tensor x, tape_tensor target, const tape_bce_options *options)
{
    TAPE__BEGIN_COMPOSITE("bce_with_logits");
    tape_bce_options o = options ? *options : (tape_bce_options){0};
    tape_tensor y =
        o.pos_weight ? weighted_logits(x, target, *o.pos_weight) : tape__bce_with_logits_pointwise(x, target);
    if (o.weight)
        y = tape_mul(y, *o.weight);
    return tape__leave(t, before, TAPE__OP_bce_with_logits, tape__loss_reduce(t, y, o.reduction));
}

tape_tensor tape_kl_div(tape_tensor x, tape_tensor target, bool log_target, tape_reduction reduction)
{
    TAPE__BEGIN_COMPOSITE("kl_div");
    tape_tensor y = log_target ? tape__kl_div_log_pointwise(x, target) : tape__kl_div_pointwise(x, target);
    return tape__leave(t, before, TAPE__OP_kl_div, tape__loss_reduce(t, y, reduction));
}
