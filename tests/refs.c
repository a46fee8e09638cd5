/* One line an elementwise op: its value by the C library, in the inputs x, y, z and the parameters p. A row of the
 * table without one does not link. */
#include "support/refs.h"
#include "support/special_refs.h"

#include <math.h>

static long double clip(long double x, long double low, long double high)
{
    return x < low ? low : x > high ? high : x;
}

static long double sigmoid(long double x)
{
    return 1 / (1 + expl(-x));
}

static long double softplus(long double x)
{
    return fmaxl(x, 0) + log1pl(expl(-fabsl(x)));
}

/* log(e^x + e^y) */
static long double logaddexp(long double x, long double y)
{
    return isinf(x) && x == y ? x : fmaxl(x, y) + log1pl(expl(-fabsl(x - y)));
}

/* Round half to even, whatever the rounding mode. */
static long double round_even(long double x)
{
    long double below = floorl(x), rest = x - below;
    return rest == 0 ? x : rest < 0.5L || (rest == 0.5L && fmodl(below, 2) == 0) ? below : below + 1;
}

static long double larger(long double x, long double y)
{
    return isnan(x) || isnan(y) ? x + y : x > y ? x : y;
}

static long double huber(long double t, double delta)
{
    return fabsl(t) < delta ? t * t / 2 : delta * (fabsl(t) - delta / 2.0L);
}

static const long double pi = 3.14159265358979323846264338327950288L;

/* It would take the products for declarations. */
/* clang-format off */

/* unary */
REF(neg, -x)
REF(abs, fabsl(x))
REF(sign, (x > 0) - (x < 0))
REF(square, x * x)
REF(sqrt, sqrtl(x))
REF(rsqrt, 1 / sqrtl(x))
REF(recip, 1 / x)
REF(exp, expl(x))
REF(exp2, exp2l(x))
REF(expm1, expm1l(x))
REF(log, logl(x))
REF(log2, log2l(x))
REF(log10, log10l(x))
REF(log1p, log1pl(x))
REF(sin, sinl(x))
REF(cos, cosl(x))
REF(tan, tanl(x))
REF(tanh, tanhl(x))
REF(sigmoid, sigmoid(x))
REF(floor, floorl(x))
REF(ceil, ceill(x))
REF(round, round_even(x))
REF(trunc, truncl(x))
REF(asin, asinl(x))
REF(acos, acosl(x))
REF(atan, atanl(x))
REF(sinh, sinhl(x))
REF(cosh, coshl(x))
REF(asinh, asinhl(x))
REF(acosh, acoshl(x))
REF(atanh, atanhl(x))
REF(erf, erfl(x))
REF(erfc, erfcl(x))
REF(ndtr, erfcl(-x / sqrtl(2)) / 2)
REF(cbrt, cbrtl(x))
REF(sinc, x == 0 ? 1 : sinl(pi * x) / (pi * x))
REF(erfinv, special_erfinv(x))
REF(lgamma, lgammal(x))
REF(digamma, special_digamma(x))
REF_P(polygamma, special_polygamma((int)p[0], x), 2)
REF(i0, special_bessel_i(0, x))
REF_P(bessel_i, special_bessel_i((int)p[0], x), 1)

/* activations */
REF(relu, x < 0 ? 0 : x)
REF_P(leaky_relu, x > 0 ? x : p[0] * x, 0.1)
REF(gelu, x == -INFINITY ? -0.0L : x / 2 * erfcl(-x / sqrtl(2)))
REF(gelu_tanh, x * sigmoid(2 * sqrtl(2 / pi) * (x + 0.044715L * x * x * x)))
REF(silu, x * sigmoid(x))
REF_P(softplus, x * p[0] > p[1] ? x : softplus(x * p[0]) / p[0], 1.5, 20)
REF_P(elu, x > 0 ? x : p[0] * expm1l(x), 0.7)
REF(selu, 1.0507009873554804934193L * (x > 0 ? x : 1.6732632423543772848170L * expm1l(x)))
REF(mish, x * tanhl(softplus(x)))
REF_P(hardtanh, clip(x, p[0], p[1]), -0.7, 1.1)
REF(hardsigmoid, clip(x / 6 + 0.5L, 0, 1))
REF(hardswish, x <= -3 ? 0 : x * clip(x / 6 + 0.5L, 0, 1))
REF(relu6, clip(x, 0, 6))
REF(logsigmoid, -softplus(-x))
REF_P(smooth_abs, hypotl(x, p[0]), 0.3)
REF_P(nan_to_num, isnan(x) ? p[0] : isinf(x) ? (x > 0 ? p[1] : p[2]) : x, 0.5, 7, -9)
REF_P(clamp, clip(x, p[0], p[1]), -0.7, 1.1)

/* binary */
REF(add, x + y)
REF(sub, x - y)
REF(mul, x * y)
REF(div, x / y)
REF(pow, powl(x, y))
REF(maximum, larger(x, y))
REF(minimum, -larger(-x, -y))
REF(atan2, atan2l(x, y))
REF(hypot, hypotl(x, y))
REF(fmod, fmodl(x, y))
REF(remainder, fmodl(x, y) != 0 && (fmodl(x, y) < 0) != (y < 0) ? fmodl(x, y) + y : fmodl(x, y))
REF(copysign, copysignl(x, y))
REF(logaddexp, logaddexp(x, y))
REF(xlogy, x == 0 && !isnan(y) ? 0 : x * logl(y))
REF_P(smooth_max, logaddexp(p[0] * x, p[0] * y) / p[0], 2.5)
REF(igamma, special_igamma(x, y))
REF(igammac, special_igammac(x, y))
REF(gamma_density, special_gamma_density(x, y))
REF_P(igamma_ratio, special_igamma_ratio((int)p[0], x, y), 1)
REF_P(gamma_density_ratio, special_gamma_density_ratio((int)p[0], x, y), 1)
REF(gelu_slope, erfcl(-x / sqrtl(2)) / 2 + (isinf(x) ? 0 : x * expl(-x * x / 2) / sqrtl(2 * pi)))
REF(strong_mul, y == 0 ? 0 : x * y)
REF(quotient_or_zero, y == 0 ? 0 : x / y)

/* ternary and selection */
REF(where, x != 0 ? y : z)
REF(lerp, x + z * (y - x))
REF(fma, x * y + z)
REF_P(addcmul, x + p[0] * y * z, 0.6)

/* comparison and logic */
REF(eq, x == y)
REF(ne, x != y)
REF(lt, x < y)
REF(le, x <= y)
REF(gt, x > y)
REF(ge, x >= y)
REF(isnan, isnan(x))
REF(isfinite, isfinite(x))
REF(logical_not, x == 0)
REF(logical_and, x != 0 && y != 0)
REF(logical_or, x != 0 || y != 0)

/* the pointwise parts of losses, of prediction x and target y */
REF(squared_error_pointwise, (x - y) * (x - y))
REF(abs_error_pointwise, fabsl(x - y))
REF_P(huber_pointwise, huber(x - y, p[0]), 0.8)
REF_P(smooth_l1_pointwise, huber(x - y, p[0]) / p[0], 0.8)
REF(bce_pointwise, -y * larger(logl(x), -100) - (1 - y) * larger(log1pl(-x), -100))
REF(bce_with_logits_pointwise, y * softplus(-x) + (1 - y) * softplus(x))
REF(kl_div_pointwise, y == 0 ? 0 : y * (logl(y) - x))
REF(kl_div_log_pointwise, y == -INFINITY ? 0 : expl(y) * (y - x))
REF_P(hinge_pointwise, larger(0, p[0] - x * y), 1)
REF_P(poisson_nll_pointwise, x - y * logl(x + p[0]), 1e-8)
REF(poisson_nll_log_pointwise, expl(x) - y * x)
REF_P(gaussian_nll_pointwise, (logl(fmaxl(z, p[0])) + (x - y) * (x - y) / fmaxl(z, p[0])) / 2, 1e-6)
