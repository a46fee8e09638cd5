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

/*
 * ---- pooling --------------------------------------------------------------------------------------------------------
 *
 * Windows on the last axis ([N, C, d] or [C, d]) or the last two ([N, C, h, w] or [C, h, w]) of images, f32 or f64.
 */

typedef struct tape_pool_options {
    int kernel[2];        /* positive: there is no default */
    int stride[2];        /* positive; 0 stands for the kernel */
    int padding[2];       /* 0 to half of the kernel, on either side */
    int dilation[2];      /* of maxima: positive; 0 stands for 1 */
    bool ceil_mode;       /* a last window may reach over the end, if it begins before it */
    bool exclude_padding; /* of means: divide by the number of inputs in the window, without the padding's zeros */
    int divisor;          /* of means: divide by this instead; 0 stands for the size of the window */
} tape_pool_options;

/* The largest element of each window and, unless `indices` is NULL, its place among the d or h w elements of its plane,
 * i64: the first of equal ones; NaN is larger than all. The number of windows is that of a convolution, rounded up with
 * ceil_mode. d: to the chosen elements. */
TAPE_API tape_tensor tape_max_pool1d(tape_tensor x, const tape_pool_options *options, tape_tensor *indices);
TAPE_API tape_tensor tape_max_pool2d(tape_tensor x, const tape_pool_options *options, tape_tensor *indices);

/* The mean of each window, with zeros around the images. d: spread evenly over the windows. */
TAPE_API tape_tensor tape_avg_pool1d(tape_tensor x, const tape_pool_options *options);
TAPE_API tape_tensor tape_avg_pool2d(tape_tensor x, const tape_pool_options *options);

/* The same with `out` windows (out_h by out_w) that share the inputs evenly: window i holds floor(i d / out) up to
 * ceil((i + 1) d / out). Positive sizes, else TAPE_ERROR_ARGUMENT. */
TAPE_API tape_tensor tape_adaptive_avg_pool1d(tape_tensor x, int64_t out);
TAPE_API tape_tensor tape_adaptive_avg_pool2d(tape_tensor x, int64_t out_h, int64_t out_w);
TAPE_API tape_tensor tape_adaptive_max_pool1d(tape_tensor x, int64_t out, tape_tensor *indices);
TAPE_API tape_tensor tape_adaptive_max_pool2d(tape_tensor x, int64_t out_h, int64_t out_w, tape_tensor *indices);

/* ---- resampling -------------------------------------------------------------------------------------------------- */

typedef enum tape_interpolate_mode {
    TAPE_INTERPOLATE_NEAREST = 0,   /* the element at floor(i / scale) */
    TAPE_INTERPOLATE_NEAREST_EXACT, /* at floor((i + 1/2) / scale): the nearest of pixels that are areas */
    TAPE_INTERPOLATE_LINEAR         /* between the two (on two axes four, on three eight) elements around the place */
} tape_interpolate_mode;

/* Either size or scale; by axis, and an entry of 0 stands for the one before. */
typedef struct tape_interpolate_options {
    tape_interpolate_mode mode;
    int64_t size[3];    /* of the result */
    double scale[3];    /* the result has floor(scale d) elements */
    bool align_corners; /* linear: the ends stay at the ends, i at i (d - 1) / (e - 1); else at (i + 1/2) / scale - 1/2,
                           or at 0 if that is less */
    bool recompute_scale; /* read at places that follow from the sizes, e / d being the scale; so it is with a size */
} tape_interpolate_options;

/* x [N, C, d...] with one, two or three axes d, f32 or f64, read at other places: y [N, C, e...]. PyTorch 1.13's
 * conventions; the place of the nearest is rounded to f32, as there. TAPE_ERROR_ARGUMENT for options that make no
 * sense. d: added up at the places that were read, in a fixed order. */
TAPE_API tape_tensor tape_interpolate(tape_tensor x, const tape_interpolate_options *options);

/* ---- attention --------------------------------------------------------------------------------------------------- */

typedef struct tape_attention_options {
    bool causal;  /* query i sees keys 0 to i alone */
    double scale; /* 0 stands for 1 / sqrt(D) */
} tape_attention_options;

/* softmax(scale q k' + mask) v, the softmax along the keys. q: [..., T, D], k: [..., S, D], v: [..., S, E], f32 or f64,
 * with the same leading axes; y: [..., T, E]. mask: broadcast to [..., T, S]; f32 or f64: added; u8: 0 leaves a key
 * out; or TAPE_NONE. A query that sees no key gives 0. `options` may be NULL. Worked out for some queries at a time, in
 * both directions: no [T, S] matrix is kept. d: as of the formula; with create_graph, and for a mask with gradient,
 * [..., T, S] matrices are made. */
TAPE_API tape_tensor tape_attention(tape_tensor q, tape_tensor k, tape_tensor v, tape_tensor mask,
                                    const tape_attention_options *options);

/* Rotary positions. */
typedef struct tape_rope_options {
    bool interleaved; /* pairs are elements 2i and 2i + 1; else i and i + D/2 */
    int64_t offset;   /* the position of row 0 */
    double base;      /* 0 stands for 10000 */
} tape_rope_options;

/* x [..., T, D] with D even, f32 or f64: pair i of row t is turned by (t + offset) base^(-2i / D). `options` may be
 * NULL. d: turned back. (Su et al., 2021.) */
TAPE_API tape_tensor tape_rope(tape_tensor x, const tape_rope_options *options);

/*
 * ---- recurrent layers -----------------------------------------------------------------------------------------------
 *
 * A step takes x [B, in] and the state before it, h and for an LSTM c, both [B, H]. Weights and gates are in PyTorch's
 * order: weight_ih [4H, in], weight_hh [4H, H] and biases [4H] (each may be TAPE_NONE) with H rows for each of i, f, g,
 * o; for a GRU 3H for r, z, n. All f32 or all f64. TAPE_ERROR_SHAPE for shapes that do not fit. d: as of the formulas;
 * with create_graph it is recorded out of elementary ops.
 */

/* With a = weight_ih x + bias_ih + weight_hh h + bias_hh, cut into four: i = sigmoid(a_i), f = sigmoid(a_f),
 * g = tanh(a_g), o = sigmoid(a_o); the new c = f c + i g, which goes to `c_next` unless that is NULL; gives the new h =
 * o tanh(c). (Hochreiter and Schmidhuber, 1997; Gers et al., 2000.) */
TAPE_API tape_tensor tape_lstm_cell(tape_tensor x, tape_tensor h, tape_tensor c, tape_tensor weight_ih,
                                    tape_tensor weight_hh, tape_tensor bias_ih, tape_tensor bias_hh,
                                    tape_tensor *c_next);

/* With p = weight_ih x + bias_ih and q = weight_hh h + bias_hh, each cut into three: r = sigmoid(p_r + q_r),
 * z = sigmoid(p_z + q_z), n = tanh(p_n + r q_n); gives the new h = (1 - z) n + z h. (Cho et al., 2014.) */
TAPE_API tape_tensor tape_gru_cell(tape_tensor x, tape_tensor h, tape_tensor weight_ih, tape_tensor weight_hh,
                                   tape_tensor bias_ih, tape_tensor bias_hh);

/* All steps of x [T, B, in], T > 0, from the state h, c on; gives every h, [T, B, H], and the last c, [B, H], unless
 * `c_last` is NULL. Faster than T cells: the products with weight_ih, and those of the gradients of the weights, are
 * one each. */
TAPE_API tape_tensor tape_lstm(tape_tensor x, tape_tensor h, tape_tensor c, tape_tensor weight_ih,
                               tape_tensor weight_hh, tape_tensor bias_ih, tape_tensor bias_hh, tape_tensor *c_last);
TAPE_API tape_tensor tape_gru(tape_tensor x, tape_tensor h, tape_tensor weight_ih, tape_tensor weight_hh,
                              tape_tensor bias_ih, tape_tensor bias_hh);

#ifdef __cplusplus
}
#endif
#endif
