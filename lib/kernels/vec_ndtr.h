/* Knows the normal distribution F, and x F(x) with its derivative. Near 0 they are polynomials; beyond, a smooth factor
   times exp(-x^2 / 2), whose argument is taken to twice the precision. Included by vec.h. */

/* ---- f32 --------------------------------------------------------------------------------------------------------- */

/* Minimax, for a = |x| below NEAR or from there on; beyond TOP there is nothing left. */
#define NDTR_NEAR 0.9f
#define NDTR_TOP 15.0f

/* (exp(-r / 2) - 1 + r / 2) / r^2 by powers of r, for |r| <= log(2) */
static const float ndtr_exp[] = {0.124999984f, -0.0208331505f, 0.00260427443f, -0.000261523286f, 2.15852169e-05f};

/* (F(x) - 1/2) / x by powers of x^2, and the same of the derivative of x F(x) */
static const float ndtr_near[] = {0.398942237f, -0.0664894359f, 0.00996753815f, -0.00117112605f, 9.57010187e-05f};
static const float ndtr_slope_near[] = {0.797884216f, -0.265952904f, 0.0597808593f, -0.00932407909f, 0.000929684499f};

/* F(-a) exp(a^2 / 2) = above / below by powers of a; what is missing of a^4 is 1. */
static const float ndtr_above[] = {8.4008527f, 6.66941507f, 2.38100739f, 0.398930694f};
static const float ndtr_below[] = {16.8070273f, 26.721193f, 17.745253f, 5.96691832f};

/* a F(-a) exp(a^2 / 2) = 0.398935884 - above / below: a quotient that counts for less the larger a is, and so do the
   roundings of its terms. */
static const float ndtr_gap_above[] = {5.73377848f, 2.09634185f, 0.405674726f, -0.000356904435f};
static const float ndtr_gap_below[] = {14.3819046f, 23.226284f, 15.8901157f, 5.45788574f};

/* c[0] + ... + c[3] a^3 */
static inline vec_f32 ndtr_cubic(vec_f32 a, const float *c)
{
    return horner_f32(splat_f32(c[3]), a, c, 3);
}

/* c[0] + ... + c[3] a^3 + a^4 */
static inline vec_f32 ndtr_quartic(vec_f32 a, const float *c)
{
    return horner_f32(a + splat_f32(c[3]), a, c, 3);
}

static inline vec_f32 ndtr_even(vec_f32 s, const float *c)
{
    return horner_f32(splat_f32(c[4]), s, c, 4);
}

static inline vec_f32 ndtr_size(vec_f32 x)
{
    return lesser_f32(splat_f32(NDTR_TOP), abs_f32(x));
}

/* a F(-a) exp(a^2 / 2) */
static inline vec_f32 ndtr_factor(vec_f32 a)
{
    return splat_f32(0.398935884f) - ndtr_cubic(a, ndtr_gap_above) / ndtr_quartic(a, ndtr_gap_below);
}

/* 2^64 y exp(-s / 2) for s = a * a, less its rounding error: exp(-s / 2) = 2^n exp(-r / 2). The power of two keeps the
   result a normal number. */
static inline vec_f32 ndtr_decay(vec_f32 y, vec_f32 a, vec_f32 s)
{
    const vec_f32 round = splat_f32(0x1.8p23f + 64), shifted = fma_f32(s, splat_f32(-0.72134752f), round);
    const vec_f32 n = shifted - round, low = fma_f32(n, splat_f32(0x1.7f7d1cp-19f), square_error_f32(a, s));
    const vec_f32 r = fma_f32(n, splat_f32(0x1.62e4p0f), s) + low, u = r * r;
    const float *c = ndtr_exp;
    const vec_f32 p01 = fma_f32(r, splat_f32(c[1]), splat_f32(c[0])),
                  p23 = fma_f32(r, splat_f32(c[3]), splat_f32(c[2]));
    const vec_f32 p = fma_f32(u, fma_f32(u, splat_f32(c[4]), p23), p01), e = fma_f32(u, p, r * splat_f32(-0.5f));
    return (vec_f32)((bits_f32)fma_f32(y, e, y) + ((bits_f32)shifted << 23));
}

/* Under 3.1 ulp, right of 0 under 1.3. */
static inline vec_f32 ndtr_f32(vec_f32 x)
{
    const vec_f32 a = ndtr_size(x), s = a * a, near = fma_f32(x, ndtr_even(s, ndtr_near), splat_f32(0.5f));
    vec_f32 far = ndtr_decay(ndtr_factor(a) / a, a, s) * splat_f32(0x1p-64f);
    far = sel_f32((mask_f32)(x > splat_f32(0)), splat_f32(1) - far, far);
    return sel_f32((mask_f32)(a >= splat_f32(NDTR_NEAR)), far, near);
}

/* The same bounds. */
static inline vec_f32 gelu_f32(vec_f32 x)
{
    const vec_f32 a = ndtr_size(x), s = a * a, near = fma_f32(s, ndtr_even(s, ndtr_near), splat_f32(0.5f) * x);
    const vec_f32 far = fma_f32(ndtr_decay(ndtr_factor(a), a, s), splat_f32(-0x1p-64f), greater_f32(splat_f32(0), x));
    return sel_f32((mask_f32)(a >= splat_f32(NDTR_NEAR)), far, near);
}

/* Off by 3 times 2^-24 right of -1, by 7 ulp left of it. */
static inline vec_f32 gelu_slope_f32(vec_f32 x)
{
    const vec_f32 a = ndtr_size(x), s = a * a, near = fma_f32(x, ndtr_even(s, ndtr_slope_near), splat_f32(0.5f));
    const vec_f32 factor = ndtr_cubic(a, ndtr_above) / ndtr_quartic(a, ndtr_below);
    const vec_f32 decay = ndtr_decay(fma_f32(a, splat_f32(-0.398942280f), factor), a, s);
    const mask_f32 sign = (mask_f32)x & (mask_f32)splat_f32(-0.0f);
    const vec_f32 limit = (vec_f32)((mask_f32)(x > splat_f32(0)) & (mask_f32)splat_f32(1));
    const vec_f32 far = fma_f32(decay, (vec_f32)(sign ^ (mask_f32)splat_f32(-0x1p-64f)), limit);
    return sel_f32((mask_f32)(a >= splat_f32(NDTR_NEAR)), far, near);
}

/* ---- f64 --------------------------------------------------------------------------------------------------------- */

/* Interpolations at Chebyshev's nodes: (F(x) - 1/2) / x by powers of x^2, for |x| <= 1, and F(-a) exp(a^2 / 2) (a + 1)
   by powers of (a - 5) / (a + 5), for 1 <= a <= 39. */
static const double ndtr_centre[] = {0.3989422804014327,      -0.066490380066905427,   0.0099735570100350224,
                                     -0.0011873282154680343,  0.00011543468751655941,  -9.444655793103845e-06,
                                     6.6596798796552309e-07,  -4.1224107514160815e-08, 2.2704137585675999e-09,
                                     -1.1064328282755891e-10, 4.0743269774266276e-12};
static const double ndtr_tail[] = {0.46151582985003775,     -0.091552281834008931,   0.031030368425961675,
                                   0.010002352385218842,    -0.026401042966183973,   0.024536963243972938,
                                   -0.015170415405578645,   0.0065220006644467494,   -0.0016760723049385271,
                                   7.7916115122694635e-06,  0.00018233384320463572,  -5.3607546713371559e-05,
                                   -9.894670560038935e-06,  9.0591992643615106e-06,  -7.4571983242423575e-08,
                                   -1.3045767339721945e-06, 1.354693344964373e-07,   1.8958778238693258e-07,
                                   -3.3756645920897203e-08, -2.2774137817363405e-08, 6.5198401469649942e-09};

__attribute__((noinline, const, unused)) static vec_f64 ndtr_f64(vec_f64 a)
{
    const vec_f64 zero = splat_f64(0), one = splat_f64(1), half = splat_f64(0.5), k = splat_f64(5);
    const vec_f64 size = abs_f64(a), s = a * a, centre = fma_f64(a, polynomial_f64(s, ndtr_centre, 11), half);
    const vec_f64 factor = polynomial_f64((size - k) / (size + k), ndtr_tail, 21) / (size + one);
    const vec_f64 e = exp_f64(s * -half);
    vec_f64 tail = fma_f64(e * square_error_f64(size, s), -half, e) * factor;
    tail = sel_f64((mask_f64)(size > splat_f64(39)), zero, tail);
    tail = sel_f64((mask_f64)(a > zero), one - tail, tail);
    return sel_f64((mask_f64)(size < one), centre, tail);
}

/* Beyond 40 the density is 0, and an infinite x would make it no number. */
static inline vec_f64 gelu_f64(vec_f64 x)
{
    return greater_f64(splat_f64(-40), x) * ndtr_f64(x);
}

static inline vec_f64 gelu_slope_f64(vec_f64 x)
{
    const vec_f64 a = lesser_f64(splat_f64(40), greater_f64(splat_f64(-40), x)), s = a * a, half = splat_f64(0.5);
    const vec_f64 e = exp_f64(s * -half), decay = fma_f64(e * square_error_f64(a, s), -half, e);
    return ndtr_f64(a) + a * (splat_f64(0.398942280401432678) * decay);
}
