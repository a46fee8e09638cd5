/*
 * The random ops. The rules common to all ops are in tape/ops.h.
 *
 * Each draw takes the tape's seed and its counter, and advances the counter by one; element i depends on (seed,
 * counter, i) alone. So the same program draws the same numbers on every machine, for any thread count and instruction
 * set, and tape_random_get() before a draw with tape_random_set() later repeats it. C leaves the order of arguments
 * open: put random ops in statements of their own. A failed op draws nothing.
 */
#ifndef TAPE_OPS_RANDOM_H
#define TAPE_OPS_RANDOM_H

#include "tape/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Independent numbers uniform in [low, high), f32 or f64: low + u (high - low) with u a multiple of 2^-24 (2^-53).
 * ARGUMENT unless low <= high and both and their difference are finite; low == high gives low. d: none. */
TAPE_API tape_tensor tape_rand_uniform(tape_dtype dtype, tape_shape shape, double low, double high);

/* Independent normal numbers, f32 or f64: mean + std z with z by Box and Muller, |z| < 6.7 (8.6). ARGUMENT unless both
 * are finite and std >= 0. d: none; tape_normal() is the differentiable form. */
TAPE_API tape_tensor tape_rand_normal(tape_dtype dtype, tape_shape shape, double mean, double std);

/* 1 with probability p, else 0, independently; f32, f64 or u8 (a mask for tape_where), the same elements in each.
 * ARGUMENT unless 0 <= p <= 1. d: none. */
TAPE_API tape_tensor tape_rand_bernoulli(tape_dtype dtype, tape_shape shape, double p);

/* Independent whole numbers uniform in [low, high), without bias; i32 or i64. ARGUMENT unless low < high, the
 * difference fits an int64_t, and all numbers fit the dtype. d: none. */
TAPE_API tape_tensor tape_rand_int(tape_dtype dtype, tape_shape shape, int64_t low, int64_t high);

/* 0 ... n-1 in random order (Fisher and Yates), i64 of shape [n]. ARGUMENT if n < 0. d: none. */
TAPE_API tape_tensor tape_permutation(int64_t n);

/* Each element of x (f32, f64) becomes 0 with probability p, and x / (1 - p) otherwise, so that the mean stays. p = 0
 * is x itself and draws nothing; p = 1 gives zeros. ARGUMENT unless 0 <= p <= 1. d: g / (1 - p) where kept, 0
 * elsewhere. N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15, 2014.
 */
TAPE_API tape_tensor tape_dropout(tape_tensor x, double p);

/* mean + std z with z standard normal: the reparameterised draw, differentiable in both. mean and std (f32, f64)
 * broadcast. Negative std is not an error. d mean: g; d std: g z.
 * D. P. Kingma, M. Welling, "Auto-encoding variational Bayes", ICLR 2014. */
TAPE_API tape_tensor tape_normal(tape_tensor mean, tape_tensor std);

/* 1 with probability p, else 0, element by element for probabilities p (f32, f64) of any shape; below 0 counts as 0,
 * NaN gives 0. d: g, as if the draw were p itself (straight through: a surrogate, not a derivative). Y. Bengio et al.,
 * "Estimating or propagating gradients through stochastic neurons", arXiv 1308.3432. */
TAPE_API tape_tensor tape_bernoulli_st(tape_tensor p);

/* Independent numbers from the gamma distributions of the given shapes (f32, f64) and scale 1, one an element: the y
 * with P(shape, y) = u (tape_igamma()) for u uniform in (0, 1), a multiple of 2^-54. Shape 0 gives 0, inf gives inf,
 * below 0 NaN; a small shape gives 0 where y is too small for the dtype. Divide by a rate, or multiply with a scale,
 * for others. d: -(dP / d shape) / (dP / dy), the implicit derivative, which is that of y at fixed u. M. Figurnov et
 * al., "Implicit reparameterization gradients", NeurIPS 2018. */
TAPE_API tape_tensor tape_gamma(tape_tensor shape);

#ifdef __cplusplus
}
#endif
#endif
