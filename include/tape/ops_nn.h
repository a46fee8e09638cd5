/* Softmax and normalisation. The rules common to all ops are in tape/ops.h. x is f32 or f64. */
#ifndef TAPE_OPS_NN_H
#define TAPE_OPS_NN_H

#include "tape/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* exp(x) / sum(exp(x)) along `axis`, by subtracting the largest element. Exactly 0 where x is -inf, even if all are; an
 * inf or NaN makes its row NaN. TAPE_ERROR_ARGUMENT for an axis out of range. d: y (g - sum(g y)). */
TAPE_API tape_tensor tape_softmax(tape_tensor x, int axis);

/* log(softmax(x)) along `axis`: x - max - log(sum(exp(x - max))). d: g - exp(y) sum(g); 0 where x is -inf. */
TAPE_API tape_tensor tape_log_softmax(tape_tensor x, int axis);

/* (x - mean) / sqrt(var + eps) * weight + bias with the mean and the population variance over the last `trailing` axes
 * (1 to rank, else TAPE_ERROR_ARGUMENT). weight and bias have the shape of those axes; each may be TAPE_NONE.
 * d of the normalised h = (x - mean) r: r (g - mean(g) - h mean(g h)). PyTorch's eps is 1e-5. */
TAPE_API tape_tensor tape_layer_norm(tape_tensor x, tape_tensor weight, tape_tensor bias, int trailing, double eps);

/* x / sqrt(mean(x^2) + eps) * weight with the mean over the last `trailing` axes; weight as in tape_layer_norm().
 * d of the normalised h = x r: r (g - h mean(g h)). (Zhang and Sennrich, 2019.) */
TAPE_API tape_tensor tape_rms_norm(tape_tensor x, tape_tensor weight, int trailing, double eps);

/* The same over groups of channels: x [N, C, d...], the C channels cut into `groups` (a divisor of C, else
 * TAPE_ERROR_ARGUMENT), mean and variance over a group's channels and all of d. weight and bias: [C] or TAPE_NONE. */
TAPE_API tape_tensor tape_group_norm(tape_tensor x, int64_t groups, tape_tensor weight, tape_tensor bias, double eps);

/* tape_group_norm() with a group for each channel. */
TAPE_API tape_tensor tape_instance_norm(tape_tensor x, tape_tensor weight, tape_tensor bias, double eps);

/* The same over the batch: x [N, C, d...], mean and population variance of each channel over N and d. weight and bias:
 * [C] or TAPE_NONE. `mean` and `var`, unless NULL, get these statistics, [C] each. Running averages are the caller's:
 * PyTorch's take n / (n - 1) var for n = numel / C. */
TAPE_API tape_tensor tape_batch_norm(tape_tensor x, tape_tensor weight, tape_tensor bias, double eps, tape_tensor *mean,
                                     tape_tensor *var);

#ifdef __cplusplus
}
#endif
#endif
