/* Convolution, pooling, resampling, attention, recurrent cells. The rules common to all ops are in tape/ops.h. */
#ifndef TAPE_OPS_CONV_H
#define TAPE_OPS_CONV_H

#include "tape/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * ---- convolution ----------------------------------------------------------------------------------------------------
 *
 * Images are [N, C, d...] with one, two or three axes d (or [C, d...]: one image, and the result is one), f32 or f64.
 * Every entry of the options is checked: TAPE_ERROR_ARGUMENT for one out of range, TAPE_ERROR_SHAPE for shapes that do
 * not fit. Sums are blocked in a fixed way: the result does not depend on the number of threads.
 */

/* By axis, first axis first; entries beyond the op's axes are not looked at. All zero is the default. */
typedef struct tape_conv_options {
    int stride[3];         /* positive; 0 stands for 1 */
    int padding[3];        /* zeros on either side, 0 to 2^20 */
    int dilation[3];       /* positive; 0 stands for 1 */
    int groups;            /* positive, a divisor of both numbers of channels; 0 stands for 1 */
    int output_padding[3]; /* of tape_conv_transpose...() alone: 0 to max(stride, dilation) - 1 */
} tape_conv_options;

/* y[n,o,q] = bias[o] + sum over i, t of w[o,i,t] x[n,i, q stride + t dilation - padding], x being 0 outside: the cross
 * correlation that is called convolution. x: [N, C, d...]; w: [O, C / groups, k...], channel o seeing the channels of
 * its group; bias: [O] or TAPE_NONE; y: [N, O, e...] with e = floor((d + 2 padding - dilation (k - 1) - 1) / stride) +
 * 1, which must be at least 1. `options` may be NULL. d: the transposed sums. */
TAPE_API tape_tensor tape_conv1d(tape_tensor x, tape_tensor w, tape_tensor bias, const tape_conv_options *options);
TAPE_API tape_tensor tape_conv2d(tape_tensor x, tape_tensor w, tape_tensor bias, const tape_conv_options *options);
TAPE_API tape_tensor tape_conv3d(tape_tensor x, tape_tensor w, tape_tensor bias, const tape_conv_options *options);

/* The transposed sum, with which x is spread as the cotangent of a convolution is. x: [N, C, d...]; w: [C, O / groups,
 * k...]; bias: [O] or TAPE_NONE; y: [N, O, e...] with e = (d - 1) stride - 2 padding + dilation (k - 1) +
 * output_padding
 * + 1, which must be at least 1. `options` may be NULL. d: the convolution. */
TAPE_API tape_tensor tape_conv_transpose1d(tape_tensor x, tape_tensor w, tape_tensor bias,
                                           const tape_conv_options *options);
TAPE_API tape_tensor tape_conv_transpose2d(tape_tensor x, tape_tensor w, tape_tensor bias,
                                           const tape_conv_options *options);
TAPE_API tape_tensor tape_conv_transpose3d(tape_tensor x, tape_tensor w, tape_tensor bias,
                                           const tape_conv_options *options);

#ifdef __cplusplus
}
#endif
#endif
