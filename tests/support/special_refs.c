/* Knows special functions by plain formulas; speed is of no concern. */
#include "special_refs.h"

#include <math.h>
#include <stdbool.h>

static const long double pi = 3.14159265358979323846264338327950288L;

/* Whether erf(y) < x, for positive x, told by the complement where that is the smaller one. */
static bool falls_short(long double y, long double x)
{
    return x < 0.5L ? erfl(y) < x : erfcl(y) > 1 - x;
}

long double special_erfinv(long double x)
{
    long double target = fabsl(x), low = 0, high = 12;
    if (!(target < 1) || x == 0)
        return target == 1 ? copysignl(INFINITY, x) : x == 0 ? x : NAN;
    while (falls_short(low * 2 > 0 ? low * 2 : 1e-330L, target) && low < 6)
        low = low * 2 > 0 ? low * 2 : 1e-330L;
    for (long double middle = (low + high) / 2; middle > low && middle < high; middle = (low + high) / 2) {
        if (falls_short(middle, target))
            low = middle;
        else
            high = middle;
    }
    return copysignl(low, x);
}

static bool is_pole(long double x)
{
    return x <= 0 && x == floorl(x);
}

long double special_digamma(long double x)
{
    long double sum = 0;
    if (is_pole(x))
        return x == 0 ? copysignl(INFINITY, -x) : NAN;
    for (; x < 60; x++)
        sum -= 1 / x;
    long double z = 1 / (x * x);
    return sum + logl(x) - 1 / (2 * x) - z * (1 / 12.L - z * (1 / 120.L - z * (1 / 252.L - z * (1 / 240.L - z / 132))));
}

/* (-1)^(n + 1) n! sum over k of (x + k)^-(n + 1): the first terms, and the rest by the midpoint rule with corrections.
 */
long double special_polygamma(int n, long double x)
{
    long double factorial = 1, sum = 0, sign = n % 2 ? 1 : -1;
    if (is_pole(x))
        return n % 2 ? INFINITY : x == 0 ? copysignl(INFINITY, -x) : NAN;
    for (int j = 2; j <= n; j++)
        factorial *= j;
    int terms = 60 + (x < 0 ? (int)-x : 0);
    for (int k = 0; k < terms; k++)
        sum += powl(x + k, -n - 1);
    long double m = x + terms - 0.5L, rest = powl(m, -n);
    long double first = -(n + 1) / (m * m), third = first * (n + 2) * (n + 3) / (m * m);
    long double fifth = third * (n + 4) * (n + 5) / (m * m);
    sum += rest * (1.L / n + first / 24 - third * 7 / 5760 + fifth * 31 / 967680);
    return sign * factorial * sum;
}

/* The mean over angles of exp(x cos t) cos(n t), which the trapezoid rule gives to the last digit; near 0, where that
   cancels, the first terms of the power series. */
long double special_bessel_i(int n, long double x)
{
    long double sum = 0, lead = 1;
    if (isinf(x))
        return x > 0 || n % 2 == 0 ? INFINITY : -INFINITY;
    if (fabsl(x) < 1e-2L) {
        long double z = x * x / 4;
        for (int j = 1; j <= n; j++)
            lead *= x / 2 / j;
        return lead * (1 + z / (n + 1) * (1 + z / (2 * (n + 2)) * (1 + z / (3 * (n + 3)) * (1 + z / (4 * (n + 4))))));
    }
    int points = 10 + n + (int)fminl(fabsl(x) / 4, 400);
    for (int k = 0; k <= 2 * points; k++) {
        long double t = pi * k / (2 * points), weight = k == 0 || k == 2 * points ? 0.5L : 1;
        sum += weight * expl(x * cosl(t)) * cosl(n * t);
    }
    return sum / (2 * points);
}

/* Whether the gamma distribution of shape a is one of several densities, of no width, or of none. */
static bool is_degenerate(long double a, long double x)
{
    return !(a > 0 && x >= 0) || isinf(a) || isinf(x);
}

long double special_gamma_density(long double a, long double x)
{
    if (is_degenerate(a, x))
        return !(a >= 0 && x >= 0) || (a == 0 && x == 0) || (isinf(a) && isinf(x)) ? NAN : 0;
    if (x == 0)
        return a < 1 ? INFINITY : a == 1;
    return expl((a - 1) * logl(x) - x - lgammal(a));
}

long double special_gamma_density_ratio(int k, long double a, long double x)
{
    long double first = logl(x) - special_digamma(a);
    if (is_degenerate(a, x) || x == 0)
        return NAN;
    return k == 1 ? first : first * first - special_polygamma(1, a);
}

/* The sum of x^(n + 1) / (a (a + 1) ... (a + n)), times the k-th derivative of x^(a + n) / gamma(a + n + 1) for a over
   itself: its logarithm has the derivatives log(x) - digamma(a + n + 1) and so on, by their recurrences. */
static long double sum_over_density(int k, long double a, long double x)
{
    long double sum = 0, term = x / a, c = a + 1, first = k > 0 ? logl(x) - special_digamma(c) : 0;
    long double second = k > 1 ? special_polygamma(1, c) : 0;
    for (int n = 0; n < 200 + 2 * x; n++) {
        sum += term * (k == 0 ? 1 : k == 1 ? first : first * first - second);
        first -= 1 / c;
        second -= 1 / (c * c);
        term *= x / c++;
    }
    return sum;
}

/* Q / D by Legendre's continued fraction from the inside, for x >= 1: see the definition in lib/kernels/any/igamma.c.
 */
static long double upper_over_density(long double a, long double x)
{
    long double rest = 0;
    for (int i = 400; i >= 1; i--)
        rest = i * (i - a) / (x + 2 * i + 1 - a - rest);
    return x / (x + 1 - a - rest);
}

/* The first derivative by a difference of the sixth order. */
static long double upper_derivative(long double a, long double x)
{
    static const long double weight[3] = {45, -9, 1};
    const long double h = 0x1p-9L;
    long double sum = 0;
    for (int i = 1; i <= 3; i++)
        sum += weight[i - 1] * (upper_over_density(a + i * h, x) - upper_over_density(a - i * h, x));
    return sum / (60 * h);
}

static bool is_upper(long double a, long double x)
{
    return x > 3 && x > a + 1;
}

long double special_igamma_ratio(int k, long double a, long double x)
{
    if (is_degenerate(a, x))
        return NAN;
    if (k == 1 && is_upper(a, x))
        return -special_gamma_density_ratio(1, a, x) * upper_over_density(a, x) - upper_derivative(a, x);
    return x == 0 ? 0 : sum_over_density(k, a, x);
}

long double special_igamma(long double a, long double x)
{
    if (!(a >= 0 && x >= 0) || (a == 0 && x == 0) || (isinf(a) && isinf(x)))
        return NAN;
    if (x == 0 || isinf(a) || a == 0 || isinf(x))
        return x == 0 || isinf(a) ? 0 : 1;
    return special_gamma_density(a, x) * sum_over_density(0, a, x);
}

long double special_igammac(long double a, long double x)
{
    return !is_degenerate(a, x) && is_upper(a, x) ? special_gamma_density(a, x) * upper_over_density(a, x)
                                                  : 1 - special_igamma(a, x);
}
