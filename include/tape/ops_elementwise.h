/*
 * The elementwise ops. Each applies one formula to every element; the rules common to all ops are in tape/ops.h, the
 * formulas themselves in lib/kernels/elementwise.def.
 *
 * "d" is the derivative for each input in turn, with y the result. An op of two tensors also takes a number on either
 * side: tape_NAME_scalar(a, s) and tape_scalar_NAME(s, b), with s rounded to the tensor's dtype.
 */
#ifndef TAPE_OPS_ELEMENTWISE_H
#define TAPE_OPS_ELEMENTWISE_H

#include "tape/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- unary ------------------------------------------------------------------------------------------------------- */

/* -x. d: -1. */
TAPE_API tape_tensor tape_neg(tape_tensor x);

/* |x|. d: sign(x), 0 at 0. */
TAPE_API tape_tensor tape_abs(tape_tensor x);

/* -1, 0 or 1; 0 for NaN. d: 0. */
TAPE_API tape_tensor tape_sign(tape_tensor x);

/* x^2. d: 2x. */
TAPE_API tape_tensor tape_square(tape_tensor x);

/* The square root. d: 1 / (2 sqrt(x)), +inf at 0. */
TAPE_API tape_tensor tape_sqrt(tape_tensor x);

/* 1 / sqrt(x). d: -y^3 / 2. */
TAPE_API tape_tensor tape_rsqrt(tape_tensor x);

/* 1 / x. d: -y^2. */
TAPE_API tape_tensor tape_recip(tape_tensor x);

/* e^x. d: y. */
TAPE_API tape_tensor tape_exp(tape_tensor x);

/* 2^x. d: y ln 2. */
TAPE_API tape_tensor tape_exp2(tape_tensor x);

/* e^x - 1, precise near 0. d: e^x. */
TAPE_API tape_tensor tape_expm1(tape_tensor x);

/* The natural logarithm. d: 1 / x. */
TAPE_API tape_tensor tape_log(tape_tensor x);

/* The logarithm to base 2. d: 1 / (x ln 2). */
TAPE_API tape_tensor tape_log2(tape_tensor x);

/* The logarithm to base 10. d: 1 / (x ln 10). */
TAPE_API tape_tensor tape_log10(tape_tensor x);

/* log(1 + x), precise near 0. d: 1 / (1 + x). */
TAPE_API tape_tensor tape_log1p(tape_tensor x);

/* x in radians. d: cos(x). */
TAPE_API tape_tensor tape_sin(tape_tensor x);

/* x in radians. d: -sin(x). */
TAPE_API tape_tensor tape_cos(tape_tensor x);

/* x in radians. d: 1 + y^2. */
TAPE_API tape_tensor tape_tan(tape_tensor x);

/* The hyperbolic tangent. d: 1 - y^2. */
TAPE_API tape_tensor tape_tanh(tape_tensor x);

/* 1 / (1 + e^-x), stable for any x. d: y (1 - y), off by up to 100 units of rounding (6e-6 of itself in f32, 1.1e-14 in
   f64) as y nears 1 - 2^-6, and by 6 beyond, where it is y^2 e^-x. */
TAPE_API tape_tensor tape_sigmoid(tape_tensor x);

/* Rounds down. d: 0. */
TAPE_API tape_tensor tape_floor(tape_tensor x);

/* Rounds up. d: 0. */
TAPE_API tape_tensor tape_ceil(tape_tensor x);

/* Rounds half to even. d: 0. */
TAPE_API tape_tensor tape_round(tape_tensor x);

/* Rounds towards 0. d: 0. */
TAPE_API tape_tensor tape_trunc(tape_tensor x);

/* In radians. d: 1 / sqrt(1 - x^2). */
TAPE_API tape_tensor tape_asin(tape_tensor x);

/* In radians. d: -1 / sqrt(1 - x^2). */
TAPE_API tape_tensor tape_acos(tape_tensor x);

/* In radians. d: 1 / (1 + x^2). */
TAPE_API tape_tensor tape_atan(tape_tensor x);

/* The hyperbolic sine. d: cosh(x). */
TAPE_API tape_tensor tape_sinh(tape_tensor x);

/* The hyperbolic cosine. d: sinh(x). */
TAPE_API tape_tensor tape_cosh(tape_tensor x);

/* The inverse of sinh. d: 1 / sqrt(1 + x^2). */
TAPE_API tape_tensor tape_asinh(tape_tensor x);

/* The inverse of cosh, x >= 1. d: 1 / sqrt(x^2 - 1). */
TAPE_API tape_tensor tape_acosh(tape_tensor x);

/* The inverse of tanh. d: 1 / (1 - x^2). */
TAPE_API tape_tensor tape_atanh(tape_tensor x);

/* The error function. d: 2 / sqrt(pi) e^(-x^2). */
TAPE_API tape_tensor tape_erf(tape_tensor x);

/* 1 - erf(x), precise in the right tail. d: -2 / sqrt(pi) e^(-x^2). */
TAPE_API tape_tensor tape_erfc(tape_tensor x);

/* The distribution function of the standard normal distribution, erfc(-x / sqrt(2)) / 2. Derivative
   exp(-x^2 / 2) / sqrt(2 pi). */
TAPE_API tape_tensor tape_ndtr(tape_tensor x);

/* The real cube root, also of negative x. d: 1 / (3 y^2), +inf at 0. */
TAPE_API tape_tensor tape_cbrt(tape_tensor x);

/* Sin(pi x) / (pi x), 1 at 0. d: by its series near 0; 0 at 0. */
TAPE_API tape_tensor tape_sinc(tape_tensor x);

/* The inverse of erf: +-inf at +-1, NaN beyond. d: sqrt(pi) / 2 e^(y^2). */
TAPE_API tape_tensor tape_erfinv(tape_tensor x);

/* log |gamma(x)|: +inf at 0, -1, -2, ... and at -inf. d: digamma(x), which see for these. */
TAPE_API tape_tensor tape_lgamma(tape_tensor x);

/* The derivative of lgamma: -inf at 0, +inf at -0, NaN at -1, -2, ... and at -inf. d: polygamma of order 1. */
TAPE_API tape_tensor tape_digamma(tape_tensor x);

/* The derivative of digamma of order n, a whole number from 0 to 1000 (NaN for others). At 0, -1, -2, ... it is +inf
 * for odd n; for even n NaN, but -inf at 0 and +inf at -0. d: polygamma of order n + 1. */
TAPE_API tape_tensor tape_polygamma(tape_tensor x, double n);

/* The modified Bessel function of the first kind and order 0. d: bessel_i of order 1. */
TAPE_API tape_tensor tape_i0(tape_tensor x);

/* The modified Bessel function of the first kind, of a whole order n of either sign (NaN for others). d: the mean of
 * those of order n - 1 and n + 1. */
TAPE_API tape_tensor tape_bessel_i(tape_tensor x, double n);

/* ---- activations ------------------------------------------------------------------------------------------------- */

/* max(x, 0); NaN passes. d: 1 where x > 0, else 0. */
TAPE_API tape_tensor tape_relu(tape_tensor x);

/* x F(x), F the normal distribution function (Hendrycks and Gimpel 2016); in f32 within 1.3 ulp right of 0 and 3 left
   of it. 0 at -inf. d: F(x) + x f(x); 0 and 1 at the infinities. */
TAPE_API tape_tensor tape_gelu(tape_tensor x);

/* the same paper's tanh approximation. d: of that formula. */
TAPE_API tape_tensor tape_gelu_tanh(tape_tensor x);

/* x sigmoid(x). d: s (1 + x (1 - s)), s = sigmoid(x). */
TAPE_API tape_tensor tape_silu(tape_tensor x);

/* Klambauer et al. 2017, with its two constants. d: scale alpha e^x at x <= 0, else scale. */
TAPE_API tape_tensor tape_selu(tape_tensor x);

/* x tanh(log(1 + e^x)). d: of that formula, stable for any x. */
TAPE_API tape_tensor tape_mish(tape_tensor x);

/* x / 6 + 1/2 cut to 0..1. d: 1/6 inside, 0 at the corners and outside. */
TAPE_API tape_tensor tape_hardsigmoid(tape_tensor x);

/* x hardsigmoid(x). d: x / 3 + 1/2 inside; 0 at and below -3, 1 at and above 3. */
TAPE_API tape_tensor tape_hardswish(tape_tensor x);

/* x cut to 0..6. d: 1 inside, 0 at 0, at 6 and outside. */
TAPE_API tape_tensor tape_relu6(tape_tensor x);

/* log(sigmoid(x)), stable for any x. d: 1 - sigmoid(x). */
TAPE_API tape_tensor tape_logsigmoid(tape_tensor x);

/* x where x > 0, else slope x. d: 1 where x > 0, else the slope (also at 0). */
TAPE_API tape_tensor tape_leaky_relu(tape_tensor x, double slope);

/* x where x > 0, else alpha (e^x - 1) (Clevert et al. 2015). d: 1 where x > 0, else alpha e^x (alpha at 0). */
TAPE_API tape_tensor tape_elu(tape_tensor x, double alpha);

/* log(1 + e^(beta x)) / beta, and x where beta x > threshold; the field's defaults are 1 and 20. d: sigmoid(beta x),
 * 1 above the threshold. */
TAPE_API tape_tensor tape_softplus(tape_tensor x, double beta, double threshold);

/* x cut to low..high. d: 1 inside, 0 at both corners and outside. */
TAPE_API tape_tensor tape_hardtanh(tape_tensor x, double low, double high);

/* sqrt(x^2 + epsilon^2): |x| without the kink. d: x / y, 0 at y = 0. */
TAPE_API tape_tensor tape_smooth_abs(tape_tensor x, double epsilon);

/* ---- binary ------------------------------------------------------------------------------------------------------ */

/* a + b. d: 1 and 1. */
TAPE_API tape_tensor tape_add(tape_tensor a, tape_tensor b);
TAPE_API tape_tensor tape_add_scalar(tape_tensor a, double s);
TAPE_API tape_tensor tape_scalar_add(double s, tape_tensor b);

/* a - b. d: 1 and -1. */
TAPE_API tape_tensor tape_sub(tape_tensor a, tape_tensor b);
TAPE_API tape_tensor tape_sub_scalar(tape_tensor a, double s);
TAPE_API tape_tensor tape_scalar_sub(double s, tape_tensor b);

/* a b. d: b and a. */
TAPE_API tape_tensor tape_mul(tape_tensor a, tape_tensor b);
TAPE_API tape_tensor tape_mul_scalar(tape_tensor a, double s);
TAPE_API tape_tensor tape_scalar_mul(double s, tape_tensor b);

/* a / b, IEEE at b = 0. d: 1 / b and -y / b. */
TAPE_API tape_tensor tape_div(tape_tensor a, tape_tensor b);
TAPE_API tape_tensor tape_div_scalar(tape_tensor a, double s);
TAPE_API tape_tensor tape_scalar_div(double s, tape_tensor b);

/* a^b as C's pow(). d: b a^(b-1) and y log(a); at a = 0 the exponent's is 0, at b = 0 the base's. */
TAPE_API tape_tensor tape_pow(tape_tensor a, tape_tensor b);
TAPE_API tape_tensor tape_pow_scalar(tape_tensor a, double s);
TAPE_API tape_tensor tape_scalar_pow(double s, tape_tensor b);

/* the larger; NaN wins. d: 1 for the larger; half to each at a tie. */
TAPE_API tape_tensor tape_maximum(tape_tensor a, tape_tensor b);
TAPE_API tape_tensor tape_maximum_scalar(tape_tensor a, double s);
TAPE_API tape_tensor tape_scalar_maximum(double s, tape_tensor b);

/* the smaller; NaN wins. d: 1 for the smaller; half to each at a tie. */
TAPE_API tape_tensor tape_minimum(tape_tensor a, tape_tensor b);
TAPE_API tape_tensor tape_minimum_scalar(tape_tensor a, double s);
TAPE_API tape_tensor tape_scalar_minimum(double s, tape_tensor b);

/* the angle of the point (b, a) in radians. d: b / r and -a / r, r = a^2 + b^2; 0 and 0 at (0, 0). */
TAPE_API tape_tensor tape_atan2(tape_tensor a, tape_tensor b);
TAPE_API tape_tensor tape_atan2_scalar(tape_tensor a, double s);
TAPE_API tape_tensor tape_scalar_atan2(double s, tape_tensor b);

/* sqrt(a^2 + b^2) without overflow. d: a / y and b / y; 0 at (0, 0). */
TAPE_API tape_tensor tape_hypot(tape_tensor a, tape_tensor b);
TAPE_API tape_tensor tape_hypot_scalar(tape_tensor a, double s);
TAPE_API tape_tensor tape_scalar_hypot(double s, tape_tensor b);

/* the remainder with a's sign, as C's fmod(). d: 1 and -(the whole quotient). */
TAPE_API tape_tensor tape_fmod(tape_tensor a, tape_tensor b);
TAPE_API tape_tensor tape_fmod_scalar(tape_tensor a, double s);
TAPE_API tape_tensor tape_scalar_fmod(double s, tape_tensor b);

/* the remainder with b's sign, a - b floor(a / b). d: 1 and -floor(a / b). */
TAPE_API tape_tensor tape_remainder(tape_tensor a, tape_tensor b);
TAPE_API tape_tensor tape_remainder_scalar(tape_tensor a, double s);
TAPE_API tape_tensor tape_scalar_remainder(double s, tape_tensor b);

/* |a| with b's sign. d: sign(a) sign(b), and 0. */
TAPE_API tape_tensor tape_copysign(tape_tensor a, tape_tensor b);
TAPE_API tape_tensor tape_copysign_scalar(tape_tensor a, double s);
TAPE_API tape_tensor tape_scalar_copysign(double s, tape_tensor b);

/* log(e^a + e^b), stable for any a and b. d: sigmoid(a - b) and sigmoid(b - a). */
TAPE_API tape_tensor tape_logaddexp(tape_tensor a, tape_tensor b);
TAPE_API tape_tensor tape_logaddexp_scalar(tape_tensor a, double s);
TAPE_API tape_tensor tape_scalar_logaddexp(double s, tape_tensor b);

/* a log(b), 0 where a is 0 (b not NaN). d: log(b) and a / b. */
TAPE_API tape_tensor tape_xlogy(tape_tensor a, tape_tensor b);
TAPE_API tape_tensor tape_xlogy_scalar(tape_tensor a, double s);
TAPE_API tape_tensor tape_scalar_xlogy(double s, tape_tensor b);

/* log(e^(beta a) + e^(beta b)) / beta: the maximum without the kink, closer for larger beta > 0. d: sigmoid(beta (a -
 * b)) and sigmoid(beta (b - a)). */
TAPE_API tape_tensor tape_smooth_max(tape_tensor a, tape_tensor b, double beta);
TAPE_API tape_tensor tape_smooth_max_scalar(tape_tensor a, double s, double beta);
TAPE_API tape_tensor tape_scalar_smooth_max(double s, tape_tensor b, double beta);

/* The regularised lower incomplete gamma function P(a, x): the share below x of the gamma distribution of shape a. For
 * a, x >= 0; NaN elsewhere and where both are 0 or both infinite. d: for a by a series or a continued fraction of its
 * own, 0 at x = 0 (derivatives for a exist up to the fourth; beyond they are NaN); for x the density
 * x^(a - 1) e^-x / gamma(a), +inf at x = 0 for a < 1. N. M. Temme, "The asymptotic expansion of the incomplete gamma
 * functions", 1979, for large a. */
TAPE_API tape_tensor tape_igamma(tape_tensor a, tape_tensor x);
TAPE_API tape_tensor tape_igamma_scalar(tape_tensor a, double s);
TAPE_API tape_tensor tape_scalar_igamma(double s, tape_tensor x);

/* The upper one, 1 - P(a, x), precise where it is small. d: minus those of igamma. */
TAPE_API tape_tensor tape_igammac(tape_tensor a, tape_tensor x);
TAPE_API tape_tensor tape_igammac_scalar(tape_tensor a, double s);
TAPE_API tape_tensor tape_scalar_igammac(double s, tape_tensor x);

/* ---- ternary and selection --------------------------------------------------------------------------------------- */

/* a where the u8 mask is not 0, else b. d: what was selected gets all, the other branch nothing, whatever its value. */
TAPE_API tape_tensor tape_where(tape_tensor mask, tape_tensor a, tape_tensor b);

/* x cut to low..high; infinities leave a side open; NaN passes; low > high gives high. d: 1 on the closed interval, 0
 * outside. */
TAPE_API tape_tensor tape_clamp(tape_tensor x, double low, double high);

/* a + weight (b - a), exact at both ends. d: 1 - weight, weight, b - a. */
TAPE_API tape_tensor tape_lerp(tape_tensor a, tape_tensor b, tape_tensor weight);

/* a b + c, with one rounding on processors that have FMA. d: b, a, 1. */
TAPE_API tape_tensor tape_fma(tape_tensor a, tape_tensor b, tape_tensor c);

/* a + value b c. d: 1, value c, value b. */
TAPE_API tape_tensor tape_addcmul(tape_tensor a, tape_tensor b, tape_tensor c, double value);

/* NaN, +inf and -inf replaced by the three numbers. d: 1 where x is finite, 0 elsewhere. */
TAPE_API tape_tensor tape_nan_to_num(tape_tensor x, double nan, double positive, double negative);

/* ---- comparison and logic ---------------------------------------------------------------------------------------- */

/*
 * These take any dtype (the same for both sides) and give u8: 1 where true, else 0. They have no derivative. NaN
 * compares as in C: it differs from everything. An integer tensor compares with any number as it is (in f64), with 2.5,
 * too. The logical ops take 0 as false and all else, NaN too, as true.
 */

TAPE_API tape_tensor tape_eq(tape_tensor a, tape_tensor b); /* a == b */
TAPE_API tape_tensor tape_eq_scalar(tape_tensor a, double s);
TAPE_API tape_tensor tape_scalar_eq(double s, tape_tensor b);
TAPE_API tape_tensor tape_ne(tape_tensor a, tape_tensor b); /* a != b */
TAPE_API tape_tensor tape_ne_scalar(tape_tensor a, double s);
TAPE_API tape_tensor tape_scalar_ne(double s, tape_tensor b);
TAPE_API tape_tensor tape_lt(tape_tensor a, tape_tensor b); /* a < b */
TAPE_API tape_tensor tape_lt_scalar(tape_tensor a, double s);
TAPE_API tape_tensor tape_scalar_lt(double s, tape_tensor b);
TAPE_API tape_tensor tape_le(tape_tensor a, tape_tensor b); /* a <= b */
TAPE_API tape_tensor tape_le_scalar(tape_tensor a, double s);
TAPE_API tape_tensor tape_scalar_le(double s, tape_tensor b);
TAPE_API tape_tensor tape_gt(tape_tensor a, tape_tensor b); /* a > b */
TAPE_API tape_tensor tape_gt_scalar(tape_tensor a, double s);
TAPE_API tape_tensor tape_scalar_gt(double s, tape_tensor b);
TAPE_API tape_tensor tape_ge(tape_tensor a, tape_tensor b); /* a >= b */
TAPE_API tape_tensor tape_ge_scalar(tape_tensor a, double s);
TAPE_API tape_tensor tape_scalar_ge(double s, tape_tensor b);
TAPE_API tape_tensor tape_isnan(tape_tensor x);
TAPE_API tape_tensor tape_isfinite(tape_tensor x);
TAPE_API tape_tensor tape_logical_not(tape_tensor x);
TAPE_API tape_tensor tape_logical_and(tape_tensor a, tape_tensor b);
TAPE_API tape_tensor tape_logical_or(tape_tensor a, tape_tensor b);

#ifdef __cplusplus
}
#endif
#endif
