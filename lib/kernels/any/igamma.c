/* The incomplete gamma function, its derivatives of any order that is asked for, and its inverse. Knows no tensors.

   P(a, x) is the integral of the density D(a, t) = t^(a - 1) e^-t / gamma(a) from 0 to x, and Q = 1 - P. Derivatives
   for a come without differences of nearly equal numbers: the sums below are carried out on Taylor polynomials in a. */
#include "special.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>

#include "scalar_math.h"

static const double two_pi = 6.28318530717958647693;

/* Beyond these the series and the fraction would take thousands of terms near x = a. */
static const double large = 1e4, near = 0.1;

/* ---- Taylor polynomials in a ------------------------------------------------------------------------------------- */

/* The function of a + t is c[0] + c[1] t + .... All that one call works with have as many terms. */
/* Without the compiler's unrolling, which makes them ten times as long. */
#define SMALL __attribute__((noinline, cold))

enum { TERMS = 6, MOST = TERMS - 2 };
typedef struct taylor {
    double c[TERMS];
} taylor;

SMALL static taylor product(int n, const taylor *f, const taylor *g)
{
    taylor y = {{0}};
    for (int i = 0; i < n; i++)
        for (int j = 0; j <= i; j++)
            y.c[i] += f->c[j] * g->c[i - j];
    return y;
}

/* p times (b + slope t). */
SMALL static taylor times_linear(int n, const taylor *p, double b, double slope)
{
    taylor y = {{p->c[0] * b}};
    for (int i = 1; i < n; i++)
        y.c[i] = p->c[i] * b + p->c[i - 1] * slope;
    return y;
}

/* f / (b + t). */
SMALL static taylor over_linear(int n, const taylor *f, double b)
{
    taylor y = {{f->c[0] / b}};
    for (int i = 1; i < n; i++)
        y.c[i] = (f->c[i] - y.c[i - 1]) / b;
    return y;
}

SMALL static taylor quotient(int n, const taylor *f, const taylor *g)
{
    taylor y;
    for (int i = 0; i < n; i++) {
        double sum = f->c[i];
        for (int j = 0; j < i; j++)
            sum -= y.c[j] * g->c[i - j];
        y.c[i] = sum / g->c[0];
    }
    return y;
}

/* exp of what has the given derivative and is 0 at t = 0. */
SMALL static taylor exponential(int n, const taylor *derivative)
{
    taylor y = {{1}};
    for (int i = 1; i < n; i++) {
        y.c[i] = 0;
        for (int j = 0; j < i; j++)
            y.c[i] += derivative->c[j] * y.c[i - 1 - j] / i;
    }
    return y;
}

/* x^t gamma(a) / gamma(a + t). */
SMALL static taylor power_over_gamma(int n, double a, double x)
{
    taylor derivative = {{0}};
    double factorial = 1;
    for (int i = 0; i < n - 1; i++) {
        factorial *= i > 0 ? i : 1;
        derivative.c[i] = (i == 0 ? tape__scalar_log(x) : 0) - tape__special_polygamma(i, a) / factorial;
    }
    return exponential(n, &derivative);
}

static double factorial_times(int k, double value)
{
    for (int i = 2; i <= k; i++)
        value *= i;
    return value;
}

/* ---- the density ------------------------------------------------------------------------------------------------- */

/* d - log(1 + d) for d = (x - a) / a, by the series of the inverse hyperbolic tangent where the difference cancels. */
static double distance(double a, double x)
{
    double d = (x - a) / a;
    if (!(fabs(d) < 0.5))
        return d - tape__scalar_log(x / a);
    double s = d / (2 + d), z = s * s, sum = 0;
    for (int i = 39; i >= 3; i -= 2)
        sum = sum * z + 1. / i;
    return s * (d - 2 * z * sum);
}

static bool out_of_domain(double a, double x)
{
    return !(a >= 0 && x >= 0) || (a == 0 && x == 0) || (isinf(a) && isinf(x));
}

static bool has_no_density(double a, double x)
{
    return !(a > 0 && x >= 0) || isinf(a) || isinf(x);
}

/* x^a e^-x / gamma(a + 1), for x > 0. */
static double weight(double a, double x)
{
    if (a < 10)
        return tape__scalar_exp(a * tape__scalar_log(x) - x - tape__special_lgamma(a + 1));
    return tape__scalar_exp(-a * distance(a, x) - tape__special_stirling(a)) / sqrt(two_pi * a);
}

double tape__special_gamma_density(double a, double x)
{
    if (out_of_domain(a, x))
        return NAN;
    if (a == 0 || isinf(a) || isinf(x))
        return 0;
    if (x == 0)
        return a < 1 ? INFINITY : a == 1;
    if (a < 10)
        return a * tape__scalar_exp((a - 1) * tape__scalar_log(x) - x - tape__special_lgamma(a + 1));
    double w = weight(a, x);
    return w == 0 ? 0 : w * (a / x);
}

double tape__special_gamma_density_ratio(double order, double a, double x)
{
    if (has_no_density(a, x) || x == 0 || !(order <= MOST + 1) || order != rint(order))
        return NAN;
    if (order <= 0)
        return order == 0;
    const int k = (int)order;
    taylor f = power_over_gamma(k + 1, a, x);
    return factorial_times(k, f.c[k]);
}

/* ---- P / D and Q / D, up to a factor ----------------------------------------------------------------------------- */

/* Adds the next term of a sum whose terms fall off in the end; whether that mattered. */
static bool add_term(int n, taylor *sum, const taylor *term)
{
    bool mattered = false;
    for (int j = 0; j < n; j++) {
        sum->c[j] += term->c[j];
        mattered |= fabs(term->c[j]) > DBL_EPSILON / 8 * fabs(sum->c[j]);
    }
    return mattered;
}

/* P / weight: 1 + x / (a + 1) + x^2 / ((a + 1) (a + 2)) + ... */
static taylor series(int n, double a, double x)
{
    taylor term = {{1}}, sum = {{0}};
    for (int i = 1; add_term(n, &sum, &term); i++) {
        for (int j = 0; j < n; j++)
            term.c[j] *= x;
        term = over_linear(n, &term, a + i);
    }
    return sum;
}

/* Q / (x D) by Legendre's continued fraction 1 / (x + 1 - a - 1 (1 - a) / (x + 3 - a - 2 (2 - a) / ...)), for x > a or
   a little less, as a sum. W. Gautschi, "A computational procedure for incomplete gamma functions", 1979. */
static taylor fraction(int n, double a, double x)
{
    taylor term = {{1}}, sum = {{0}}, grown = {{1}}; /* 1 + the ratio of the last two terms */
    for (int i = 1; add_term(n, &sum, &term); i++) {
        const taylor part = times_linear(n, &grown, i * (i - a), -i), before = {{x + 2 * i - 1 - a, -1}};
        taylor rest = times_linear(n, &before, x + 2 * i + 1 - a, -1);
        for (int j = 0; j < n; j++)
            rest.c[j] -= part.c[j];
        taylor ratio = quotient(n, &part, &rest);
        term = product(n, &term, &ratio);
        grown = ratio;
        grown.c[0] += 1;
    }
    const taylor first = {{x + 1 - a, -1}};
    return quotient(n, &sum, &first);
}

/* Q for a < 1 and x < 1.1, where both P and 1 are far larger: P = w (1 + a (-x / (a + 1) + x^2 / (2 (a + 2)) - ...)).
 */
static double upper_series(double a, double x)
{
    double log_w = a * tape__scalar_log(x) - tape__special_lgamma(a + 1), w = tape__scalar_exp(log_w);
    double sum = 0, power = 1;
    for (int i = 1; fabs(power) > DBL_EPSILON / 8 * fabs(sum); i++) {
        power *= -x / i;
        sum += power / (a + i);
    }
    double rise = w == 1 ? log_w : (w - 1) * (log_w / tape__scalar_log(w)); /* w - 1 */
    return -rise - w * a * sum;
}

/* ---- large a, x near a ------------------------------------------------------------------------------------------- */

/* N. M. Temme, "The asymptotic expansion of the incomplete gamma functions", 1979: with d = (x - a) / a and
   eta^2 / 2 = d - log(1 + d), P = F(eta sqrt(a)) - M S / a for the normal distribution F,
   M = sqrt(a / 2 pi) exp(-a eta^2 / 2) and S = C_0 + C_1 / a + C_2 / a^2 + ... Here are eta / d and the C by powers of
   d, from exact fractions. */
static const double eta_over_d[] = {1,
                                    -0.3333333333333333,
                                    0.19444444444444445,
                                    -0.13518518518518519,
                                    0.10270061728395062,
                                    -0.08233759553203998,
                                    0.06844705320399765,
                                    -0.05840173672349598,
                                    0.050819073696436734,
                                    -0.04490435697557504,
                                    0.040169383760970956,
                                    -0.03629823350821494,
                                    0.033077734575438014,
                                    -0.030359007414019895,
                                    0.028035031162601393,
                                    -0.026026964485597544};
static const double c0[] = {-0.3333333333333333,   0.08333333333333333,  -0.04259259259259259,  0.027237654320987653,
                            -0.01947751322751323,  0.01489620076425632,  -0.011915478640015678, 0.009842230520037232,
                            -0.008328093512180232, 0.007180348385069859, -0.006284419272101214, 0.005568252617885114,
                            -0.004984445684415658, 0.004500636357257656, -0.0040940356694601585};
static const double c1[] = {-0.001851851851851852, -0.003472222222222222,  0.0038029100529100527, -0.003429049088771311,
                            0.002988131981187537,  -0.0025972581998334313, 0.002270865542818775,  -0.002001612631813119,
                            0.001778942744616595,  -0.0015934134242758903, 0.001437430583748347};
static const double c2[] = {0.004133597883597883,   -0.0026813271604938273, 0.001665380658436214,
                            -0.0010337630744170097, 0.0006389022577454934,  -0.00038609516577918284,
                            0.0002202535342409278};
static const double c3[] = {0.0006494341563786008, 0.00022947209362139917, -0.0005456801922690555,
                            0.0006251332020860592};

static bool is_central(double a, double x)
{
    return a >= large && fabs(x - a) <= near * a;
}

#define COMPOSED(n, c, d) composed(n, c, (int)(sizeof(c) / sizeof *(c)), d)

/* c[0] + c[1] d + ... */
SMALL static taylor composed(int n, const double *c, int count, const taylor *d)
{
    taylor y = {{0}};
    for (int i = count - 1; i >= 0; i--) {
        y = product(n, &y, d);
        y.c[0] += c[i];
    }
    return y;
}

/* (x - a) / a as a function of a. */
static taylor deviation(int n, double a, double x)
{
    taylor d = {{(x - a) / a}};
    double power = x / a;
    for (int i = 1; i < n; i++)
        d.c[i] = power /= -a;
    return d;
}

/* S / a. */
static taylor correction(int n, double a, const taylor *d)
{
    const taylor part[4] = {COMPOSED(n, c0, d), COMPOSED(n, c1, d), COMPOSED(n, c2, d), COMPOSED(n, c3, d)};
    taylor sum = {{0}};
    for (int i = 3; i >= 0; i--) {
        for (int j = 0; j < n; j++)
            sum.c[j] += part[i].c[j];
        sum = over_linear(n, &sum, a);
    }
    return sum;
}

/* P, or Q. */
static double central(double a, double x, bool upper)
{
    taylor d = deviation(1, a, x), eta = COMPOSED(1, eta_over_d, &d);
    double z = d.c[0] * eta.c[0] * sqrt(a), rest = weight(a, x) * a * tape__scalar_exp(tape__special_stirling(a));
    rest *= correction(1, a, &d).c[0];
    return upper ? tape__scalar_ndtr(-z) + rest : tape__scalar_ndtr(z) - rest;
}

/* The k-th derivative of P for a over D. The first is M (eta' + eta / 2a - (S / a)' - m S / a), m = M' / M =
   1 / 2a + log(x / a). */
static double central_ratio(int k, double a, double x)
{
    const int n = k + 1;
    taylor d = deviation(n, a, x), factor = COMPOSED(n, eta_over_d, &d), eta = product(n, &d, &factor);
    taylor half = {{0.5}}, s = correction(n, a, &d), m = over_linear(n, &half, a), inner;
    taylor eta_half = product(n, &eta, &m);
    m.c[0] += d.c[0] - distance(a, x); /* log(x / a) */
    double power = 1;
    for (int i = 1; i < n; i++)
        m.c[i] += (power /= -a) / i;
    taylor ms = product(n, &m, &s), grown = exponential(n, &m);
    for (int i = 0; i < k; i++)
        inner.c[i] = (i + 1) * (eta.c[i + 1] - s.c[i + 1]) + eta_half.c[i] - ms.c[i];
    taylor y = product(k, &grown, &inner);
    return factorial_times(k - 1, y.c[k - 1]) * x * tape__scalar_exp(tape__special_stirling(a));
}

/* ---- the functions ----------------------------------------------------------------------------------------------- */

/* P, or Q, where it has no choice; else -1. */
static double certain(double a, double x, bool upper)
{
    if (out_of_domain(a, x))
        return NAN;
    if (a == 0 || isinf(x))
        return upper ? 0 : 1;
    if (x == 0 || isinf(a))
        return upper ? 1 : 0;
    return -1;
}

static double upper_fraction(double a, double x)
{
    return weight(a, x) * a * fraction(1, a, x).c[0];
}

double tape__special_igamma(double a, double x)
{
    double y = certain(a, x, false);
    if (!(y < 0))
        return y;
    if (is_central(a, x))
        return central(a, x, false);
    return x < a + 1 ? weight(a, x) * series(1, a, x).c[0] : 1 - upper_fraction(a, x);
}

double tape__special_igammac(double a, double x)
{
    double y = certain(a, x, true);
    if (!(y < 0))
        return y;
    if (is_central(a, x))
        return central(a, x, true);
    if (a < 1 && x < 1.1)
        return upper_series(a, x);
    return x < 1.1 || x < a ? 1 - weight(a, x) * series(1, a, x).c[0] : upper_fraction(a, x);
}

double tape__special_igamma_ratio(double order, double a, double x)
{
    if (has_no_density(a, x) || !(order >= 1 && order <= MOST) || order != rint(order))
        return NAN;
    const int k = (int)order, n = k + 1;
    if (x == 0)
        return 0;
    if (is_central(a, x))
        return central_ratio(k, a, x);
    taylor moved = power_over_gamma(n, a + 1, x), sum;
    if (x < a + 1) {
        sum = series(n, a, x);
        sum = product(n, &moved, &sum);
        return factorial_times(k, sum.c[k]) * (x / a);
    }
    sum = fraction(n, a, x);
    sum = product(n, &moved, &sum);
    sum = times_linear(n, &sum, 1, 1 / a);
    return -factorial_times(k, sum.c[k]) * x;
}

/* ---- the inverse ------------------------------------------------------------------------------------------------- */

/* log x where P(a, x) = u or Q(a, x) = v is likely to be. E. B. Wilson, M. M. Hilferty, "The distribution of
   chi-square", 1931; for small a the bounds P <= x^a / gamma(a + 1) and Q <= e^-x. */
static double first_guess(double a, double u, double v)
{
    double low = (tape__scalar_log(u) + tape__special_lgamma(a + 1)) / a;
    if (a < 1)
        return u < v ? low : tape__scalar_log(-tape__scalar_log(v));
    double z = 1.41421356237309505 * (u < v ? tape__special_erfinv(2 * u - 1) : -tape__special_erfinv(2 * v - 1));
    double root = 1 - 1 / (9 * a) + z / (3 * sqrt(a));
    return root > 0.1 ? tape__scalar_log(a) + 3 * tape__scalar_log(root) : low;
}

/* Newton's method on the logarithm of the smaller one of P and Q as a function of log x, which is concave: after the
   first step it approaches from one side. */
double tape__special_gamma_quantile(double a, double u, double v)
{
    if (!(a > 0 && u > 0 && v > 0) || isinf(a))
        return isinf(a) || a == 0 ? a : NAN;
    double t = first_guess(a, u, v), step = 1;
    for (int i = 0; i < 100 && fabs(step) > 1e-9 && t > -745; i++) {
        double x = tape__scalar_exp(t), f = u < v ? tape__special_igamma(a, x) : tape__special_igammac(a, x);
        double slope = x * tape__special_gamma_density(a, x) / f;
        step = u < v ? tape__scalar_log(u / f) / slope : tape__scalar_log(f / v) / slope;
        t += step;
    }
    return tape__scalar_exp(t);
}
