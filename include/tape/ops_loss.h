/*
 * Losses. The rules common to all ops are in tape/ops.h. Definitions and edge cases are PyTorch 1.13's. x is f32 or
 * f64; a float target has x's dtype, broadcasts against x, and receives a gradient too.
 */
#ifndef TAPE_OPS_LOSS_H
#define TAPE_OPS_LOSS_H

#include "tape/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What becomes of the losses of the elements: one mean, one sum, or the losses themselves. A mean over no elements is
 * NaN. Any other value is TAPE_ERROR_ARGUMENT. */
typedef enum tape_reduction { TAPE_REDUCE_MEAN = 0, TAPE_REDUCE_SUM, TAPE_REDUCE_NONE } tape_reduction;

/* (x - target)^2. d: 2 (x - target). */
TAPE_API tape_tensor tape_mse(tape_tensor x, tape_tensor target, tape_reduction reduction);

/* |x - target|. d: sign(x - target), 0 where they are equal. */
TAPE_API tape_tensor tape_l1(tape_tensor x, tape_tensor target, tape_reduction reduction);

/* e = x - target: e^2 / 2 where |e| <= delta, delta (|e| - delta / 2) beyond. d: e clamped to [-delta, delta].
 * TAPE_ERROR_ARGUMENT unless delta > 0. */
TAPE_API tape_tensor tape_huber(tape_tensor x, tape_tensor target, double delta, tape_reduction reduction);

/* e = x - target: e^2 / (2 beta) where |e| < beta, |e| - beta / 2 beyond; tape_l1() for beta = 0. d: e / beta clamped
 * to
 * [-1, 1]. TAPE_ERROR_ARGUMENT unless beta >= 0. */
TAPE_API tape_tensor tape_smooth_l1(tape_tensor x, tape_tensor target, double beta, tape_reduction reduction);

typedef struct tape_cross_entropy_options {
    tape_reduction reduction;
    bool has_ignore_index;     /* false: class -100 is ignored, as in PyTorch */
    int64_t ignore_index;      /* targets of this class count for nothing, and not in the mean */
    double label_smoothing;    /* in [0, 1]: this share of the target is spread evenly over the classes */
    const tape_tensor *weight; /* one per class, x's dtype, taken as constant; NULL: all 1 */
} tape_cross_entropy_options;

/*
 * The cross entropy of softmax(x) along axis 1 (axis 0 for a vector) against `target`, stable for any finite x.
 * x: [C], [N, C] or [N, C, d...] logits. target: i32 or i64 classes of x's shape without the class axis, or float
 * probabilities of x's shape. Classes: -weight[c] log p[c]; the mean divides by the sum of the weights of the targets
 * (NaN if all are ignored). Probabilities: -sum_c weight[c] target[c] log p[c]; the mean divides by the number of rows;
 * has_ignore_index is TAPE_ERROR_ARGUMENT. TAPE_ERROR_INDEX for a class outside [0, C) that is not the ignored one.
 * d: (p - onehot(target)), weighted. `options` may be NULL: all defaults.
 */
TAPE_API tape_tensor tape_cross_entropy(tape_tensor x, tape_tensor target, const tape_cross_entropy_options *options);

typedef struct tape_nll_options {
    tape_reduction reduction;
    bool has_ignore_index; /* these as in tape_cross_entropy_options */
    int64_t ignore_index;
    const tape_tensor *weight;
} tape_nll_options;

/* The negative log likelihood: tape_cross_entropy() of classes with x holding log p already. d: -weight at the target.
 */
TAPE_API tape_tensor tape_nll(tape_tensor x, tape_tensor target, const tape_nll_options *options);

typedef struct tape_bce_options {
    tape_reduction reduction;
    const tape_tensor *weight;     /* multiplies the losses before the reduction, broadcasts; NULL: all 1 */
    const tape_tensor *pos_weight; /* of the positive class, broadcasts; only tape_bce_with_logits() takes one */
} tape_bce_options;

/* Binary cross entropy of probabilities x: -(t log x + (1 - t) log(1 - x)) with each log clamped at -100.
 * d: (x - t) / max(x (1 - x), 1e-12f). x outside [0, 1] gives NaN. `options` may be NULL. */
TAPE_API tape_tensor tape_bce(tape_tensor x, tape_tensor target, const tape_bce_options *options);

/* Binary cross entropy of logits: (1 - t) x + (1 + (pos_weight - 1) t) softplus(-x), stable for any finite x.
 * d: sigmoid(x) - t without pos_weight. `options` may be NULL. */
TAPE_API tape_tensor tape_bce_with_logits(tape_tensor x, tape_tensor target, const tape_bce_options *options);

/* Kullback-Leibler divergence of log probabilities x from a target: t (log t - x), 0 where t is 0; with log_target the
 * target holds log t: exp(t) (t - x). The mean is over all elements. d: -t; -exp(t). */
TAPE_API tape_tensor tape_kl_div(tape_tensor x, tape_tensor target, bool log_target, tape_reduction reduction);

/* max(0, margin - x target) for targets of -1 and 1. d: -target where positive, 0 at the kink. */
TAPE_API tape_tensor tape_hinge(tape_tensor x, tape_tensor target, double margin, tape_reduction reduction);

/* The cosine of the angle between a and b along `axis`, which goes: sum(a b) / (|a| |b|), each norm at least eps > 0
 * (PyTorch's is 1e-8). a and b broadcast. No reduction: 1 - mean of it is the usual loss. d: 0 through a norm that is
 * below eps. */
TAPE_API tape_tensor tape_cosine_similarity(tape_tensor a, tape_tensor b, int axis, double eps);

/* max(0, margin + |anchor - positive| - |anchor - negative|) with Euclidean distances along the last axis, 1e-6 being
 * added to each difference as in PyTorch. d: 0 at the kink. */
TAPE_API tape_tensor tape_triplet(tape_tensor anchor, tape_tensor positive, tape_tensor negative, double margin,
                                  tape_reduction reduction);

typedef struct tape_poisson_nll_options {
    tape_reduction reduction;
    bool rate;  /* x holds the rate itself; false: its logarithm */
    bool full;  /* add Stirling's approximation of log(target!) for targets above 1 */
    double eps; /* added to a rate before its logarithm is taken; 0: 1e-8 */
} tape_poisson_nll_options;

/* exp(x) - target x, or with a rate: x - target log(x + eps). `options` may be NULL. d: exp(x) - target;
 * 1 - target / (x + eps). */
TAPE_API tape_tensor tape_poisson_nll(tape_tensor x, tape_tensor target, const tape_poisson_nll_options *options);

typedef struct tape_gaussian_nll_options {
    tape_reduction reduction;
    bool full;  /* add log(2 pi) / 2 */
    double eps; /* the least variance; 0: 1e-6 */
} tape_gaussian_nll_options;

/* (log v + (x - target)^2 / v) / 2 with v = max(var, eps); the three broadcast. `options` may be NULL. d: (x -
 * target)/v; for var as if it were v, as in PyTorch. */
TAPE_API tape_tensor tape_gaussian_nll(tape_tensor x, tape_tensor target, tape_tensor var,
                                       const tape_gaussian_nll_options *options);

typedef struct tape_ctc_options {
    tape_reduction reduction; /* the mean divides each loss by its number of labels (at least 1), then by the batch */
    int64_t blank;
    bool zero_infinity; /* an infinite loss, of a target that is too long for its steps, counts as 0 with gradient 0 */
} tape_ctc_options;

/*
 * Connectionist temporal classification: minus the logarithm of the probability of all ways to stretch a target over
 * the steps, by repeating labels and putting blanks between them; at least a blank between equal labels. log_probs:
 * [steps, batch, classes] log probabilities, or [steps, classes] of one sequence. targets: i32 or i64 labels, [batch,
 * longest], or [any] with one target behind the other. input_lengths, target_lengths: i32 or i64, one a sequence.
 * Stable; exact where a log probability is -inf. `options` may be NULL.
 * d: exp(log_probs) less the share of those ways that pass a class at a step, 0 beyond a sequence's length: as in
 * PyTorch this is the derivative for x of log_probs = log_softmax(x), whichever log_probs are given. NaN for an
 * infinite loss. A. Graves et al., "Connectionist temporal classification: labelling unsegmented sequence data with
 * recurrent neural networks", ICML 2006. SHAPE for other shapes; ARGUMENT for a blank that is no class, and for lengths
 * that do not fit; INDEX for labels that are no classes.
 */
TAPE_API tape_tensor tape_ctc_loss(tape_tensor log_probs, tape_tensor targets, tape_tensor input_lengths,
                                   tape_tensor target_lengths, const tape_ctc_options *options);

#ifdef __cplusplus
}
#endif
#endif
