/*
 * Optimisers, gradient clipping and learning-rate schedules. The update formulas and defaults are PyTorch 1.13's.
 *
 * While an error is kept on the tape, every function that can fail does nothing and returns that error, as ops do.
 * An optimiser belongs to one thread at a time.
 */
#ifndef TAPE_OPTIM_H
#define TAPE_OPTIM_H

#include "tape/nn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- optimisers -------------------------------------------------------------------------------------------------- */

typedef struct tape_optim tape_optim;

/* In each options struct 0 means the default in brackets and TAPE_OFF (nn.h) the number 0. `lr` is the learning rate,
 * `weight_decay` adds that multiple of the parameter to its gradient. Other negative numbers, NaN and infinity are
 * ARGUMENT errors, and so are momenta of 1 or more. */

/* b = momentum b + (1 - dampening) g, with b = g at first; p -= lr (nesterov ? g + momentum b : b). nesterov needs a
 * momentum and no dampening. I. Sutskever et al., ICML 2013. */
typedef struct tape_sgd_options {
    double lr; /* no default: must be set */
    double momentum, dampening, weight_decay;
    bool nesterov;
} tape_sgd_options;

/* m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
 * p -= lr m / (1 - beta1^t) / (sqrt(v) / sqrt(1 - beta2^t) + eps); amsgrad: the largest v so far in place of v.
 * D. P. Kingma, J. Ba, ICLR 2015; S. J. Reddi et al., ICLR 2018. */
typedef struct tape_adam_options {
    double lr;           /* [0.001] */
    double beta1, beta2; /* [0.9, 0.999] */
    double eps;          /* [1e-8] */
    double weight_decay; /* [Adam: none, AdamW: 0.01] */
    bool amsgrad;
} tape_adam_options;

/* v = alpha v + (1 - alpha) g^2; d = g / (sqrt(v) + eps); p -= lr d, or with momentum b = momentum b + d, p -= lr b.
 * centered subtracts the square of the running mean of g from v under the root. */
typedef struct tape_rmsprop_options {
    double lr;    /* [0.01] */
    double alpha; /* [0.99] */
    double eps;   /* [1e-8] */
    double weight_decay, momentum;
    bool centered;
} tape_rmsprop_options;

/* s += g^2; p -= lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps). J. Duchi et al., JMLR 12, 2011. */
typedef struct tape_adagrad_options {
    double lr; /* [0.01] */
    double lr_decay, weight_decay;
    double initial; /* of s [0] */
    double eps;     /* [1e-10] */
} tape_adagrad_options;

/*
 * An optimiser over the parameters that are in the set now; the set must outlive it and must not grow. All state is
 * allocated here, none in a step. `options` may be NULL (but for SGD): all defaults. NULL after an error.
 * AdamW decays first, p -= lr weight_decay p, and leaves the gradient alone (I. Loshchilov, F. Hutter, ICLR 2019).
 */
TAPE_API tape_optim *tape_optim_sgd(tape_params *set, const tape_sgd_options *options);
TAPE_API tape_optim *tape_optim_adam(tape_params *set, const tape_adam_options *options);
TAPE_API tape_optim *tape_optim_adamw(tape_params *set, const tape_adam_options *options);
TAPE_API tape_optim *tape_optim_rmsprop(tape_params *set, const tape_rmsprop_options *options);
TAPE_API tape_optim *tape_optim_adagrad(tape_params *set, const tape_adagrad_options *options);

/* The one called `name`: "sgd", "momentum" (sgd with momentum 0.9 and nesterov), "adam", "adamw", "rmsprop", "adagrad";
 * all else default. lr 0: its default, 0.1 for "sgd" and 0.01 for "momentum". ARGUMENT for any other name. */
TAPE_API tape_optim *tape_optim_named(const char *name, tape_params *set, double lr);

/* Free the optimiser and its state. NULL is ignored. */
TAPE_API void tape_optim_destroy(tape_optim *optim);

/* Step every parameter whose gradient is present, in one pass over each. Gradients stay as they are. Allocates nothing.
 * On any error (one is kept on the tape, a parameter was freed, the set has grown) nothing has changed. */
TAPE_API tape_status tape_optim_step(tape_optim *optim);

/* The learning rate of the next step: what schedules write. ARGUMENT unless it is finite and >= 0. */
TAPE_API tape_status tape_optim_set_lr(tape_optim *optim, double lr);
TAPE_API double tape_optim_lr(const tape_optim *optim);

/* Steps taken, and the kind's name ("sgd", "adam", ...). */
TAPE_API int64_t tape_optim_steps(const tape_optim *optim);
TAPE_API const char *tape_optim_name(const tape_optim *optim);

/* ---- gradient clipping ------------------------------------------------------------------------------------------- */

/* Scale all gradients by min(1, max_norm / (norm + 1e-6)), norm being the 2-norm of all of them as one vector, which is
 * returned (NaN after an error). Absent ones are skipped. Summed in double in a fixed order; allocates nothing.
 * ARGUMENT unless max_norm >= 0. A norm of infinity scales by 0, one of NaN makes every gradient NaN. */
TAPE_API double tape_clip_grad_norm(tape_params *set, double max_norm);

/* Clamp each element of each gradient to [-limit, limit]; NaN stays. ARGUMENT unless limit >= 0. */
TAPE_API tape_status tape_clip_grad_value(tape_params *set, double limit);

/* ---- schedules --------------------------------------------------------------------------------------------------- */

typedef enum tape_schedule_kind {
    TAPE_SCHEDULE_CONSTANT = 0,
    TAPE_SCHEDULE_STEP,
    TAPE_SCHEDULE_COSINE
} tape_schedule_kind;

/* A learning rate as a function of the step, which counts from 0. Plain data: no state, nothing to free. */
typedef struct tape_schedule {
    tape_schedule_kind kind;
    double lr;
    int64_t warmup; /* the first `warmup` steps climb linearly: lr (step + 1) / warmup; then the kind begins at its 0 */
    int64_t every;  /* STEP: lr gamma^(step / every), the quotient rounded down; every <= 0: constant */
    double gamma;   /* STEP: 0 means 0.1 */
    int64_t
        total; /* COSINE: steps after the warm-up; lr_min + (lr - lr_min) (1 + cos(pi step / total)) / 2, then lr_min */
    double lr_min;
} tape_schedule;

/* The learning rate of `step`; a negative step counts as 0. Never fails. */
TAPE_API double tape_schedule_at(const tape_schedule *schedule, int64_t step);

#ifdef __cplusplus
}
#endif
#endif
