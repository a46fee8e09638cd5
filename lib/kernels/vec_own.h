/* Knows the functions that tape computes by formulas of its own, since they come out two or three times faster than
   SLEEF's at about the same error. Included by vec_math.h, once for each dtype T. */

#ifndef TAPE__VEC_OWN_H
#define TAPE__VEC_OWN_H

/* Interpolations at Chebyshev's nodes, worked out with 60 digits. */

/* (exp(x) - 1 - x) / x^2 by powers of x, for |x| <= log(2) / 2 */
#define EXP_f32 0.5f, 0.16666577f, 0.0416665546f, 0.00836317905f, 0.00139261836f
#define EXP_f64                                                                                                        \
    0.5, 0.16666666666666671, 0.041666666666666671, 0.0083333333333261358, 0.0013888888888883748,                      \
        0.00019841269874820627, 2.4801587325547743e-05, 2.7557255400206422e-06, 2.7557273643110297e-07,                \
        2.5105217004720745e-08, 2.0914686968086876e-09

/* (2 atanh(s) / s - 2) / s^2 by powers of s^2, for log(1 + f) = 2 atanh(f / (2 + f)) and sqrt(1/2) <= 1 + f <= sqrt(2)
 */
#define LOG_f32 0.666666666f, 0.400001222f, 0.285507786f, 0.233316145f
#define LOG_f64                                                                                                        \
    0.66666666666666696, 0.39999999999898889, 0.28571428626253836, 0.22222211089379496, 0.18182892432536871,           \
        0.15331611722055008, 0.14617807153417325

/* (sin(x) / x - 1) / x^2 and (cos(x) - 1 + x^2 / 2) / x^4 by powers of x^2, for |x| <= pi / 4 */
#define SIN_f32 -0.166666647f, 0.0083327471f, -0.000195876391f
#define COS_f32 0.0416666647f, -0.00138883019f, 2.45476898e-05f
#define SIN_f64                                                                                                        \
    -0.16666666666666666, 0.0083333333333309358, -0.00019841269836740532, 2.7557316093198404e-06,                      \
        -2.5051129896450185e-08, 1.5917988979397432e-10
#define COS_f64                                                                                                        \
    0.041666666666666664, -0.0013888888888887389, 2.48015872987544e-05, -2.7557317265878082e-07,                       \
        2.0876145049413178e-09, -1.138254464534925e-11

/* (tanh(x) / x - 1) / x^2 by powers of x^2, for |x| <= 3/4 */
#define TANH_f32 -0.333333321f, 0.133331796f, -0.0539358536f, 0.0216153189f, -0.00793380762f, 0.00190950245f
#define TANH_f64                                                                                                       \
    -0.33333333333333331, 0.13333333333332661, -0.053968253967582078, 0.021869488509711037, -0.0088632349874391021,    \
        0.0035921213885060418, -0.0014557818253310693, 0.00058974699869533275, -0.00023809406936979282,                \
        9.4247629764935805e-05, -3.4494724699982165e-05, 1.0048053928129499e-05, -1.6408599646831442e-06

/* GCC keeps the loop at -O2 otherwise, and its counter costs more than the sum. */
#if defined(__clang__) || defined(__OPTIMIZE_SIZE__)
#define UNROLLED
#else
#define UNROLLED _Pragma("GCC unroll 24")
#endif

#endif

#define POLYNOMIAL(x, c) FOR(polynomial)(x, c, (int)(sizeof(c) / sizeof *(c)))

/* y x^n + ... + c[1] x + c[0] */
static inline VEC FOR(horner)(VEC y, VEC x, const FOR(elem) * c, int n)
{
    UNROLLED
    for (int i = n - 1; i >= 0; i--)
        y = FOR(fma)(y, x, FOR(splat)(c[i]));
    return y;
}

/* c[0] + c[1] x + ... */
static inline VEC FOR(polynomial)(VEC x, const FOR(elem) * c, int n)
{
    return FOR(horner)(FOR(splat)(c[n - 1]), x, c, n - 1);
}

/* 2^n for whole n, whose bits are the low ones of n + 1.5 2^23 (2^52). */
static inline VEC FOR(power_of_two)(VEC n)
{
    const VEC round = NUMBER(0x1.8p23, 0x1.8p52);
    const int digits = sizeof(FOR(elem)) == 4 ? 23 : 52;
    return (VEC)(((FOR(bits))(n + round) << digits) + (FOR(bits))FOR(splat)(1));
}

/* n + 1.5 2^23 (2^52) and y with exp(a) = 2^n y, n whole and y about 1. */
static inline VEC FOR(exp_parts)(VEC a, VEC *y)
{
    static const FOR(elem) c[] = {FOR(EXP)};
    const VEC round = NUMBER(0x1.8p23, 0x1.8p52);
    const VEC shifted = FOR(fma)(a, NUMBER(1.44269504088896341, 1.44269504088896341), round), n = shifted - round;
    VEC r = FOR(fma)(n, NUMBER(-0x1.62ep-1, -0x1.62e42feep-1), a);
    r = FOR(fma)(n, NUMBER(-3.1946184945309415e-05, -0x1.a39ef35793c76p-33), r);
    *y = FOR(fma)(r * r, POLYNOMIAL(r, c), r) + FOR(splat)(1);
    return shifted;
}

/* exp where 2^n or the result is not a normal number: 2^n in two factors. */
__attribute__((noinline, cold, const, unused)) static VEC FOR(exp_edge)(VEC a)
{
    const VEC low = NUMBER(-104, -746), high = NUMBER(89, 710), round = NUMBER(0x1.8p23, 0x1.8p52);
    a = FOR(sel)((MASK)(a < low), low, a);
    a = FOR(sel)((MASK)(a > high), high, a);
    VEC y;
    const VEC n = FOR(exp_parts)(a, &y) - round, half = FOR(fma)(n, FOR(splat)(0.5), round) - round;
    return y * FOR(power_of_two)(half) * FOR(power_of_two)(n - half);
}

/* Under 1.1 ulp. */
static inline VEC FOR(exp)(VEC a)
{
    VEC y;
    const VEC shifted = FOR(exp_parts)(a, &y);
    if (!FOR(all)((MASK)(FOR(abs)(a) < NUMBER(87, 708))))
        return FOR(exp_edge)(a);
    return (VEC)((FOR(bits))y + ((FOR(bits))shifted << (sizeof(FOR(elem)) == 4 ? 23 : 52)));
}

/* m and k with x = 2^k m and sqrt(1/2) <= m < sqrt(2), for normal x > 0. */
static inline VEC FOR(log_split)(VEC x, VEC *k)
{
    const int digits = sizeof(FOR(elem)) == 4 ? 23 : 52;
    const FOR(bits) one = (FOR(bits))FOR(splat)(1), root = (FOR(bits))NUMBER(0x1.6a09e6p-1, 0x1.6a09e667f3bcdp-1);
    const FOR(bits) shifted = (FOR(bits))x - root + one, number = shifted >> digits;
    const VEC base = NUMBER(0x1p23, 0x1p52);
    *k = (VEC)(number | (FOR(bits))base) - (base + NUMBER(127, 1023));
    return (VEC)((FOR(bits))x - ((number << digits) - one));
}

/* k log(2) + log(1 + f) + c, for tiny c. */
static inline VEC FOR(log_sum)(VEC k, VEC f, VEC c)
{
    static const FOR(elem) power[] = {FOR(LOG)};
    const VEC s = f / (FOR(splat)(2) + f), z = s * s, r = z * POLYNOMIAL(z, power);
    const VEC half_square = FOR(splat)(0.5) * (f * f);
    const VEC low = FOR(fma)(s, half_square + r, FOR(fma)(k, NUMBER(3.1946184945309415e-05, 0x1.a39ef35793c76p-33), c));
    return FOR(fma)(k, NUMBER(0x1.62ep-1, 0x1.62e42feep-1), f - (half_square - low));
}

/* What a logarithm is where its argument, 0 or less, infinite or no number, leaves no choice; else y. */
static inline VEC FOR(log_special)(VEC argument, VEC y)
{
    const VEC zero = FOR(splat)(0), infinity = FOR(splat)((FOR(elem))INFINITY);
    y = FOR(sel)((MASK)(argument < infinity), y, argument);
    y = FOR(sel)((MASK)(argument < zero), FOR(splat)((FOR(elem))NAN), y);
    return FOR(sel)((MASK)(argument == zero), -infinity, y);
}

__attribute__((noinline, cold, const, unused)) static VEC FOR(log_edge)(VEC a)
{
    const MASK tiny = (MASK)(a < NUMBER(0x1p-126, 0x1p-1022));
    VEC k;
    const VEC m = FOR(log_split)(FOR(sel)(tiny, a * FOR(splat)(0x1p60), a), &k);
    k = FOR(sel)(tiny, k - FOR(splat)(60), k);
    return FOR(log_special)(a, FOR(log_sum)(k, m - FOR(splat)(1), FOR(splat)(0)));
}

/* Under 1 ulp, as fdlibm does it. */
static inline VEC FOR(log)(VEC a)
{
    const MASK normal = (MASK)(a >= NUMBER(0x1p-126, 0x1p-1022)) & (MASK)(a < FOR(splat)((FOR(elem))INFINITY));
    if (!FOR(all)(normal))
        return FOR(log_edge)(a);
    VEC k;
    const VEC m = FOR(log_split)(a, &k);
    return FOR(log_sum)(k, m - FOR(splat)(1), FOR(splat)(0));
}

/* Of 1 + a, with what is lost in that sum. Near 0, f is a itself. */
static inline VEC FOR(log1p)(VEC a)
{
    const VEC zero = FOR(splat)(0), one = FOR(splat)(1), u = one + a;
    VEC k;
    const VEC m = FOR(log_split)(u, &k);
    const MASK near = (MASK)(k == zero);
    const VEC lost = FOR(sel)((MASK)(a > one), one - (u - a), a - (u - one));
    VEC y = FOR(log_sum)(k, FOR(sel)(near, a, m - one), FOR(sel)(near, zero, lost / u));
    y = FOR(sel)((MASK)(a == zero), a, y);
    const MASK usual = (MASK)(u > zero) & (MASK)(u < FOR(splat)((FOR(elem))INFINITY));
    return FOR(all)(usual) ? y : FOR(log_special)(u, y);
}

/* sin(a + quarters pi / 2) for |a| below 2^11 (2^24). a = n pi / 2 + r + low: pi / 2 is in four parts, of which n times
   any of the first three is exact, as are the first two differences. */
static inline VEC FOR(sine)(VEC a, unsigned quarters)
{
    static const FOR(elem) sine[] = {FOR(SIN)}, cosine[] = {FOR(COS)};
    const VEC round = NUMBER(0x1.8p23, 0x1.8p52), half = FOR(splat)(0.5), one = FOR(splat)(1);
    const VEC shifted = FOR(fma)(a, NUMBER(0.636619772367581343, 0.636619772367581343), round), n = shifted - round;
    const VEC near = FOR(fma)(n, NUMBER(-0x1.921p+0, -0x1.921fb54p+0), a);
    const VEC part = FOR(fma)(n, NUMBER(-0x1.f6ap-13, -0x1.10b46p-30), near);
    const VEC third = n * NUMBER(0x1.11p-26, 0x1.1a6263p-54), r = part - third;
    const VEC low = FOR(fma)(n, NUMBER(-0x1.68c234p-39, -0x1.8a2e03707344ap-81), (part - r) - third), z = r * r;
    const VEC s = r + FOR(fma)(r * z, POLYNOMIAL(z, sine), low);
    const VEC whole = FOR(fma)(z, -half, one), lost = FOR(fma)(z, -half, one - whole);
    const VEC c = whole + FOR(fma)(z * z, POLYNOMIAL(z, cosine), FOR(fma)(-r, low, lost));
    const FOR(bits) quadrant = (FOR(bits))shifted + quarters;
    const VEC y = FOR(sel)((MASK)((quadrant & 1) != 0), c, s);
    return (VEC)((FOR(bits))y ^ ((quadrant & 2) << (sizeof(FOR(elem)) == 4 ? 30 : 62)));
}

/* Under 1 ulp; SLEEF's where a is large or no number. */
static inline VEC FOR(sin)(VEC a)
{
    const MASK usual = (MASK)(FOR(abs)(a) < NUMBER(0x1p11, 0x1p24));
    const VEC y = FOR(sel)((MASK)(a == FOR(splat)(0)), a, FOR(sine)(a, 0));
    return FOR(all)(usual) ? y : FOR(sel)(usual, y, FOR(math_sin)(a));
}

static inline VEC FOR(cos)(VEC a)
{
    const MASK usual = (MASK)(FOR(abs)(a) < NUMBER(0x1p11, 0x1p24));
    const VEC y = FOR(sine)(a, 1);
    return FOR(all)(usual) ? y : FOR(sel)(usual, y, FOR(math_cos)(a));
}

/* The rounding error of s = a * a, by Dekker's halves where it takes them. */
static inline VEC FOR(square_error)(VEC a, VEC s)
{
    if (TAPE__FMA)
        return FOR(fma)(a, a, -s);
    const VEC c = a * NUMBER(4097, 134217729), high = c - (c - a), low = a - high;
    return ((high * high - s) + (high + high) * low) + low * low;
}

/* Under 1.1 ulp. 1 - 2 / (e^2x + 1), and near 0, where that cancels, a polynomial. */
static inline VEC FOR(tanh)(VEC a)
{
    static const FOR(elem) c[] = {FOR(TANH)};
    const VEC size = FOR(abs)(a), s = a * a, one = FOR(splat)(1);
    const VEC large = one - FOR(splat)(2) / (FOR(exp)(size + size) + one);
    const VEC small = FOR(fma)(size * s, POLYNOMIAL(s, c), size);
    return FOR(copysign)(FOR(sel)((MASK)(size < FOR(splat)(0.75)), small, large), a);
}

#undef POLYNOMIAL
