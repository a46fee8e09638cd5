/* Samples of the Fourier transforms and of complex numbers. References are the defining sums, in long double. */
#include <math.h>

#include "support/samples.h"

#define FLOATS(...)                                                                                                    \
    {                                                                                                                  \
        SAMPLE_FLOAT, {sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), {__VA_ARGS__}}, -1, 1                       \
    }
#define RUN(name, expression)                                                                                          \
    static tape_tensor run_##name(const tape_tensor *x)                                                                \
    {                                                                                                                  \
        return expression;                                                                                             \
    }

RUN(fft, tape_fft(x[0]))
RUN(ifft, tape_ifft(x[0]))
RUN(rfft, tape_rfft(x[0]))
RUN(irfft, tape_irfft(x[0], 0))
RUN(irfft_odd, tape_irfft(x[0], 5))
RUN(complex_mul, tape_complex_mul(x[0], x[1]))
RUN(abs2, tape_abs2(x[0]))
RUN(conj, tape_conj(x[0]))

/* y[k] = factor times the sum of x[j] exp(sign 2 pi i j k / n) for k < m; x has pairs, or real numbers. */
static void sum(const double *x, bool pairs, int n, int m, int sign, double factor, double *y)
{
    const long double tau = 6.28318530717958647692528676655900577L;
    for (int k = 0; k < m; k++) {
        long double re = 0, im = 0;
        for (int j = 0; j < n; j++) {
            long double angle = sign * tau * (j * k % n) / n, a = pairs ? x[2 * j] : x[j], b = pairs ? x[2 * j + 1] : 0;
            re += a * cosl(angle) - b * sinl(angle);
            im += a * sinl(angle) + b * cosl(angle);
        }
        y[2 * k] = (double)re * factor;
        y[2 * k + 1] = (double)im * factor;
    }
}

static void ref_fft(const double *const *x, double *y)
{
    for (int e = 0; e < 2; e++)
        sum(x[0] + e * 12, true, 6, 6, -1, 1, y + e * 12);
}

static void ref_fft_of_prime(const double *const *x, double *y)
{
    sum(x[0], true, 17, 17, -1, 1, y);
}

static void ref_ifft(const double *const *x, double *y)
{
    sum(x[0], true, 4, 4, 1, 0.25, y);
}

static void ref_rfft(const double *const *x, double *y)
{
    for (int e = 0; e < 2; e++)
        sum(x[0] + e * 6, false, 6, 4, -1, 1, y + e * 8);
}

static void ref_rfft_odd(const double *const *x, double *y)
{
    sum(x[0], false, 5, 3, -1, 1, y);
}

static void ref_rfft_of_one(const double *const *x, double *y)
{
    sum(x[0], false, 1, 1, -1, 1, y);
}

/* The line with its conjugate half, transformed back. */
static void real_line(const double *x, int n, double *y)
{
    double whole[16] = {0}, line[16];
    for (int k = 0; k < n; k++) {
        int from = k <= n / 2 ? k : n - k;
        bool real = from == 0 || 2 * from == n;
        whole[2 * k] = x[2 * from];
        whole[2 * k + 1] = real ? 0 : k <= n / 2 ? x[2 * from + 1] : -x[2 * from + 1];
    }
    sum(whole, true, n, n, 1, 1. / n, line);
    for (int k = 0; k < n; k++)
        y[k] = line[2 * k];
}

static void ref_irfft(const double *const *x, double *y)
{
    for (int e = 0; e < 2; e++)
        real_line(x[0] + e * 8, 6, y + e * 6);
}

static void ref_irfft_odd(const double *const *x, double *y)
{
    real_line(x[0], 5, y);
}

/* [3, 2] and [2] */
static void ref_complex_mul(const double *const *x, double *y)
{
    for (int e = 0; e < 3; e++) {
        const double *a = x[0] + 2 * e, *b = x[1];
        y[2 * e] = a[0] * b[0] - a[1] * b[1];
        y[2 * e + 1] = a[0] * b[1] + a[1] * b[0];
    }
}

static void ref_abs2(const double *const *x, double *y)
{
    for (int e = 0; e < 3; e++)
        y[e] = x[0][2 * e] * x[0][2 * e] + x[0][2 * e + 1] * x[0][2 * e + 1];
}

static void ref_conj(const double *const *x, double *y)
{
    for (int e = 0; e < 6; e++)
        y[e] = e % 2 ? -x[0][e] : x[0][e];
}

const struct sample samples_spectral[] = {
    {"fft", "lines", 1, {FLOATS(2, 6, 2)}, run_fft, ref_fft, false, 0},
    {"fft", "prime", 1, {FLOATS(17, 2)}, run_fft, ref_fft_of_prime, false, 0},
    {"ifft", "one line", 1, {FLOATS(4, 2)}, run_ifft, ref_ifft, false, 0},
    {"rfft", "even", 1, {FLOATS(2, 6)}, run_rfft, ref_rfft, false, 0},
    {"rfft", "odd", 1, {FLOATS(5)}, run_rfft, ref_rfft_odd, false, 0},
    {"rfft", "one point", 1, {FLOATS(1)}, run_rfft, ref_rfft_of_one, false, 0},
    {"irfft", "even", 1, {FLOATS(2, 4, 2)}, run_irfft, ref_irfft, false, 0},
    {"irfft", "odd", 1, {FLOATS(3, 2)}, run_irfft_odd, ref_irfft_odd, false, 0},
    {"complex_mul", "stretched", 2, {FLOATS(3, 2), FLOATS(2)}, run_complex_mul, ref_complex_mul, false, 0},
    {"abs2", "", 1, {FLOATS(3, 2)}, run_abs2, ref_abs2, false, 0},
    {"conj", "", 1, {FLOATS(3, 2)}, run_conj, ref_conj, false, 0},
    {NULL, NULL, 0, {{SAMPLE_FLOAT, {0, {0}}, 0, 0}}, NULL, NULL, false, 0},
};
