/* Special functions of one number: the inverse error function, the gamma function's logarithm and its derivatives, the
   modified Bessel functions. Knows no tensors. */
#include "special.h"

#include <float.h>
#include <math.h>

#include "scalar_math.h"

#define POLYNOMIAL(x, c) polynomial(x, c, (int)(sizeof(c) / sizeof *(c)))

/* c[0] + c[1] x + ... */
static double polynomial(double x, const double *c, int n)
{
    double y = c[n - 1];
    for (int i = n - 2; i >= 0; i--)
        y = y * x + c[i];
    return y;
}

/* The tables without a source are interpolations at Chebyshev's nodes, worked out with 60 digits. */

/* ---- the inverse error function ---------------------------------------------------------------------------------- */

/* erfinv(x) / x by powers of w - 11/4, for w = -log(1 - x^2) from 0 to 5.5. M. Giles, "Approximating the erfinv
   function", GPU Computing Gems 2, 2012, has the idea. */
static const double erfinv_centre[] = {
    1.5627896112343589,      0.24433025901507632,    -0.005035975749999887,   -0.0010385819182135844,
    0.00020906626774568746,  -9.486052881286974e-06, -2.568835002495561e-06,  4.829530006021128e-07,
    -8.219307028715677e-09,  -8.285176795944603e-09, 1.1138667710845145e-09,  3.337560972319653e-11,
    -2.5645615717004222e-11, 2.2780100294554346e-12, 2.471391809198657e-13,   -7.362856135812678e-14,
    3.4870527274726175e-15,  1.084529565427737e-15,  -1.933043814103728e-16,  -8.87751791107953e-19,
    3.9143651439672114e-18,  -3.270894639366131e-19, -3.7142035996602574e-20, 5.670209037016136e-21};

/* erfinv(|x|) by powers of s - 25/8, for s = sqrt(w) from 2.25 to 4, and of s - 5.05, up to 6.1. */
static const double erfinv_middle[] = {
    2.9582352587111456,      1.0042204689018415,      0.005654484494048125,   -0.002909368586601375,
    0.0009990225597953995,   -0.0002328540533650727,  2.316365222137687e-06,  3.379018340773083e-05,
    -1.9601006970795442e-05, 4.944830483445858e-06,   8.438412507329027e-07,  -1.3104088357622322e-06,
    5.017746794177997e-07,   -1.5197089717311994e-08, -7.845650967567734e-08, 3.9624592578591525e-08,
    -5.812328085752413e-09,  -3.9322196239972265e-09, 3.0083622981414472e-09, -6.277551149559262e-10,
    -2.9093749176868195e-10, 1.4614735009213597e-10};
static const double erfinv_tail[] = {
    4.900421051423053,      1.0102850178014628,      -0.00016985907811301805, -0.00020030889155822022,
    7.123311466344236e-05,  -1.836156262959927e-05,  4.1749158235561525e-06,  -8.841088493014126e-07,
    1.7805923206662387e-07, -3.4289821370352766e-08, 6.21750340834562e-09,    -9.777845234926533e-10,
    7.836053895395141e-11,  3.6512975455429965e-11,  -2.8346611197529773e-11, 1.3449075535825408e-11,
    -5.509943104083752e-12, 1.6208987521162735e-12,  -9.516164976046511e-14,  -6.639728460786762e-14};

double tape__special_erfinv(double x)
{
    if (!(fabs(x) < 1))
        return fabs(x) == 1 ? copysign(INFINITY, x) : NAN;
    double w = -tape__scalar_log((1 - x) * (1 + x));
    if (w < 5.5)
        return x * POLYNOMIAL(w - 2.75, erfinv_centre);
    double s = sqrt(w);
    return copysign(s < 4 ? POLYNOMIAL(s - 3.125, erfinv_middle) : POLYNOMIAL(s - 5.05, erfinv_tail), x);
}

/* ---- the gamma function ------------------------------------------------------------------------------------------ */

static const double pi = 3.14159265358979323846;

/* lgamma(x) / ((x - 1) (x - 2)) by powers of x - 3/2, for 1 <= x <= 2 */
static const double lgamma_centre[] = {
    0.4831289505409809,     -0.14595989591430608,    0.06291140107458168,    -0.0313084875010217,
    0.01679709862898276,    -0.009425622447061077,   0.005446457956850198,   -0.003212074148968353,
    0.0019229132430031888,  -0.0011644126224041502,  0.0007115650250304279,  -0.0004380224528708151,
    0.0002708950296280356,  -0.00016865016226225166, 0.00010771545393886628, -6.765020809380933e-05,
    3.4988964640274815e-05, -2.2062867871136606e-05, 2.8340547351058232e-05, -1.804276273750087e-05};

/* digamma(x) / (x - root) likewise, for its root between 1 and 2 */
static const double digamma_centre[] = {
    0.951055876031833,      -0.4236274212814605,    0.2405424842407742,    -0.14840492305390884,
    0.09498872445494122,    -0.061922133273064534,  0.04076083381242074,   -0.02697579675613825,
    0.0179072524394512,     -0.011908218001568644,  0.007926944646403797,  -0.005279964873257405,
    0.003519006401502276,   -0.002345267632540769,  0.0015566317474486838, -0.0010376374098418604,
    0.0007233266279287554,  -0.0004821990530566789, 0.0002272331660987376, -0.00015148586836773365,
    0.00025968482126430747, -0.00017312261802727394};
static const double root_high = 1.4616321449683622, root_low = 9.549995429965697e-17;

/* The Bernoulli numbers B_2, B_4, ... */
static const double bernoulli[] = {1. / 6,       -1. / 30, 1. / 42,      -1. / 30,     5. / 66,
                                   -691. / 2730, 7. / 6,   -3617. / 510, 43867. / 798, -174611. / 330};
enum { BERNOULLIS = sizeof bernoulli / sizeof *bernoulli };

/* From here on Stirling's series needs no more terms than there are. */
static const double large = 10;

double tape__special_stirling(double x)
{
    double z = 1 / (x * x), sum = 0;
    for (int j = BERNOULLIS; j >= 1; j--)
        sum = sum * z + bernoulli[j - 1] / (2 * j * (2 * j - 1));
    return sum / x;
}

/* x > -1/2 and below `large`: moved to [1, 2] by gamma(x + 1) = x gamma(x). */
static double lgamma_moved(double x)
{
    double factor = 1, divisor = 1, t = x - 1.5; /* t + 3/2 is x, more precisely near 0 */
    if (x < 1) {
        divisor = x < 0 ? x * (x + 1) : x;
        t = x < 0 ? x + 0.5 : x - 0.5;
    }
    for (; t > 0.5; t -= 1)
        factor *= t + 0.5;
    double y = (t + 0.5) * (t - 0.5) * POLYNOMIAL(t, lgamma_centre);
    return x < 1 ? y - tape__scalar_log(fabs(divisor)) : factor > 1 ? y + tape__scalar_log(factor) : y;
}

/* The distance to the nearest whole number. */
static double to_whole(double x)
{
    return x - rint(x);
}

double tape__special_lgamma(double x)
{
    if (isinf(x) || (x <= 0 && x == rint(x)))
        return INFINITY;
    if (x < -0.5) /* gamma(x) gamma(1 - x) = pi / sin(pi x) */
        return tape__scalar_log(pi / fabs(tape__scalar_sin(pi * to_whole(x)))) - tape__special_lgamma(1 - x);
    if (!(x >= large))
        return lgamma_moved(x);
    return (x - 0.5) * (tape__scalar_log(x) - 1) + (0.418938533204672742 + tape__special_stirling(x));
}

/* x > -1/2 and below `large`. */
static double digamma_moved(double x)
{
    double sum = 0;
    for (; x < 1; x += 1)
        sum -= 1 / x;
    for (; x > 2; x -= 1)
        sum += 1 / (x - 1);
    return sum + (x - root_high - root_low) * POLYNOMIAL(x - 1.5, digamma_centre);
}

double tape__special_digamma(double x)
{
    if (x == 0)
        return copysign(INFINITY, -x);
    if (x < 0 && x == rint(x))
        return NAN;
    if (x < -0.5) {
        double angle = pi * to_whole(x);
        return tape__special_digamma(1 - x) - pi * tape__scalar_cos(angle) / tape__scalar_sin(angle);
    }
    if (!(x >= large))
        return digamma_moved(x);
    double z = 1 / (x * x), sum = 0;
    for (int j = BERNOULLIS; j >= 1; j--)
        sum = sum * z + bernoulli[j - 1] / (2 * j);
    return tape__scalar_log(x) - 0.5 / x - sum * z;
}

/* n! / a^(n + 1), which neither overflows nor underflows on the way while n is moderate. */
static double zeta_term(int n, double a)
{
    double term = 1 / a;
    for (int j = 1; j <= n && term > 0; j++)
        term *= j / a;
    return term;
}

/* The sum over k of n! / (a + k)^(n + 1), a > 0: some terms, and the rest by Euler and Maclaurin. */
static double zeta_sum(int n, double a)
{
    double sum = 0, term = zeta_term(n, a);
    for (; a < large + n; a += 1, term = zeta_term(n, a)) {
        sum += term;
        if (!(term > DBL_EPSILON / 8 * sum) || isinf(sum))
            return sum;
    }
    double rest = a / n + 0.5, scale = (n + 1) / (2 * a);
    for (int j = 1; j <= BERNOULLIS; j++) {
        rest += bernoulli[j - 1] * scale;
        scale *= (n + 2. * j) * (n + 2. * j + 1) / (a * a * (2 * j + 1) * (2 * j + 2));
    }
    return sum + term * rest;
}

/* At x < 0, by the sums over all whole numbers k, which repeat with period 1. */
static double zeta_sum_left(int n, double x)
{
    double d = to_whole(x);
    double right = d < 0 ? 1 + d : d, left = d < 0 ? -d : 1 - d;
    double other = zeta_sum(n, left) - zeta_sum(n, 1 - x);
    return zeta_sum(n, right) + (n % 2 ? other : -other);
}

double tape__special_polygamma(double order, double x)
{
    if (!(order >= 0 && order <= 1000 && order == rint(order)) || isnan(x))
        return NAN;
    int n = (int)order;
    if (n == 0)
        return tape__special_digamma(x);
    double sign = n % 2 ? 1 : -1;
    if (x == 0 || isinf(x))
        return x == 0 ? n % 2 ? INFINITY : copysign(INFINITY, -x) : x > 0 ? sign * 0 : NAN;
    if (x < 0 && x == rint(x))
        return n % 2 ? INFINITY : NAN;
    return sign * (x < 0 ? zeta_sum_left(n, x) : zeta_sum(n, x));
}

/* ---- Bessel functions -------------------------------------------------------------------------------------------- */

/* The sum over k of (x / 2)^(2k + n) / (k! (k + n)!), x > 0: all terms are positive. */
static double bessel_series(double n, double x)
{
    double half = x / 2, z = half * half, term = 1;
    for (double j = 1; j <= n && term > 0 && term <= DBL_MAX; j++)
        term *= half / j;
    double sum = term;
    for (double k = 1; term > DBL_EPSILON / 8 * sum && sum <= DBL_MAX; k++)
        sum += term *= z / (k * (k + n));
    return sum;
}

/* exp(x) / sqrt(2 pi x) times an asymptotic series in 1 / x, for x >= max(20, n^2). */
static double bessel_large(double n, double x)
{
    double term = 1, sum = 1;
    for (double k = 1; fabs(term) > DBL_EPSILON / 8 && k < 2 * x; k++)
        sum += term *= ((2 * k - 1) * (2 * k - 1) - 4 * n * n) / (8 * k * x);
    double e = tape__scalar_exp(x / 2);
    return e * (sum / sqrt(2 * pi * x)) * e;
}

double tape__special_bessel_i(double n, double x)
{
    n = fabs(n);
    double size = fabs(x);
    if (!(n == rint(n) && n < INFINITY) || isnan(x))
        return NAN;
    double y = n == 0 ? 1 : 0;
    if (size > 0)
        y = isinf(x) ? INFINITY : size >= 20 && size >= n * n ? bessel_large(n, size) : bessel_series(n, size);
    return x < 0 && fmod(n, 2) != 0 ? -y : y;
}
