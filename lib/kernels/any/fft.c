/* The discrete Fourier transform of any length: Stockham's passes for lengths of small prime factors, Bluestein's
   convolution for the others. Knows no tensors. */
#include "fft.h"

#include <math.h>
#include <string.h>

enum { LARGEST_RADIX = 13 };

typedef struct complex_number {
    double re, im;
} complex_number;

static complex_number times(complex_number a, complex_number b)
{
    return (complex_number){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

static complex_number conjugate(complex_number a)
{
    return (complex_number){a.re, -a.im};
}

/* exp(-2 pi i k / n) for 0 <= k < n, from an angle of at most pi / 4, so that it is precise to the last bits. */
static complex_number root_of_unity(int64_t k, int64_t n)
{
    const double tau = 6.28318530717958647692;
    int64_t eighth = 8 * k / n, from = (eighth + 1) / 2, rest = 4 * k - from * n; /* in units of tau / (4 n) */
    double angle = tau / 4 * ((double)rest / (double)n), c = cos(angle), s = -sin(angle);
    switch (from & 3) {
    case 0:
        return (complex_number){c, s};
    case 1:
        return (complex_number){s, -c};
    case 2:
        return (complex_number){-c, -s};
    default:
        return (complex_number){-s, c};
    }
}

/* ---- small prime factors ----------------------------------------------------------------------------------------- */

static int64_t smallest_factor(int64_t n)
{
    if (n % 4 == 0)
        return 4;
    for (int64_t r = 2; r <= LARGEST_RADIX; r++)
        if (n % r == 0)
            return r;
    return 0;
}

static bool has_small_factors(int64_t n)
{
    while (n > 1 && smallest_factor(n))
        n /= smallest_factor(n);
    return n == 1;
}

/* One butterfly of r points: y[j] is the sum of x[k] exp(-2 pi i j k / r), with the roots at w[j k step]. */
static void butterfly(int64_t r, const complex_number *x, const complex_number *w, int64_t step, complex_number *y)
{
    for (int64_t j = 0; j < r; j++) {
        y[j] = x[0];
        for (int64_t k = 1; k < r; k++) {
            complex_number term = times(x[k], w[j * k % r * step]);
            y[j].re += term.re;
            y[j].im += term.im;
        }
    }
}

static void butterfly_4(const complex_number *x, complex_number *y)
{
    complex_number a = {x[0].re + x[2].re, x[0].im + x[2].im}, b = {x[0].re - x[2].re, x[0].im - x[2].im};
    complex_number c = {x[1].re + x[3].re, x[1].im + x[3].im}, d = {x[1].im - x[3].im, x[3].re - x[1].re};
    y[0] = (complex_number){a.re + c.re, a.im + c.im};
    y[1] = (complex_number){b.re + d.re, b.im + d.im};
    y[2] = (complex_number){a.re - c.re, a.im - c.im};
    y[3] = (complex_number){b.re - d.re, b.im - d.im};
}

/* One pass of radix r over `left` points still mixed, `done` of them apart already: w has the `n` roots. */
static void pass(int64_t r, int64_t left, int64_t done, const complex_number *w, const complex_number *x,
                 complex_number *y)
{
    int64_t m = left / r, n = left * done;
    complex_number in[LARGEST_RADIX], out[LARGEST_RADIX];
    for (int64_t p = 0; p < m; p++)
        for (int64_t q = 0; q < done; q++) {
            for (int64_t k = 0; k < r; k++)
                in[k] = x[q + done * (p + m * k)];
            if (r == 4)
                butterfly_4(in, out);
            else
                butterfly(r, in, w, n / r, out);
            for (int64_t j = 0; j < r; j++)
                y[q + done * (r * p + j)] = times(out[j], w[p * j * done]);
        }
}

static void fill_roots(int64_t n, complex_number *w)
{
    for (int64_t k = 0; k < n; k++)
        w[k] = root_of_unity(k, n);
}

/* In place, with a buffer of n points. */
static void transform(int64_t n, const complex_number *w, complex_number *x, complex_number *buffer)
{
    complex_number *from = x, *to = buffer;
    for (int64_t left = n, done = 1; left > 1;) {
        int64_t r = smallest_factor(left);
        pass(r, left, done, w, from, to);
        complex_number *keep = from;
        from = to;
        to = keep;
        left /= r;
        done *= r;
    }
    if (from != x)
        memcpy(x, from, (size_t)n * sizeof *x);
}

/* ---- Bluestein --------------------------------------------------------------------------------------------------- */

/* A length for the convolution: a power of two that holds it without wrapping. */
static int64_t padded(int64_t n)
{
    int64_t m = 1;
    while (m < 2 * n - 1)
        m *= 2;
    return m;
}

/* j k = (j^2 + k^2 - (k - j)^2) / 2 makes the transform a convolution with the chirp exp(i pi k^2 / n). Layout of the
 * work: the chirp's conjugate [n], the transformed chirp [m], the roots [m], the line [m], the buffer [m]. */
static void prepare_bluestein(int64_t n, complex_number *work)
{
    int64_t m = padded(n);
    complex_number *chirp = work, *filter = chirp + n, *w = filter + m, *buffer = w + 2 * m;
    for (int64_t k = 0, square = 0; k < n; k++) { /* k^2 modulo 2 n */
        chirp[k] = root_of_unity(square, 2 * n);
        square = (square + 2 * k + 1) % (2 * n);
    }
    memset(filter, 0, (size_t)m * sizeof *filter);
    for (int64_t k = 0; k < n; k++)
        filter[k] = filter[(m - k) % m] = conjugate(chirp[k]);
    fill_roots(m, w);
    transform(m, w, filter, buffer);
}

static void bluestein(int64_t n, complex_number *work, complex_number *x)
{
    int64_t m = padded(n);
    complex_number *chirp = work, *filter = chirp + n, *w = filter + m, *line = w + m, *buffer = line + m;
    memset(line, 0, (size_t)m * sizeof *line);
    for (int64_t k = 0; k < n; k++)
        line[k] = times(x[k], chirp[k]);
    transform(m, w, line, buffer);
    for (int64_t k = 0; k < m; k++)
        line[k] = conjugate(times(line[k], filter[k]));
    transform(m, w, line, buffer);
    for (int64_t k = 0; k < n; k++) {
        complex_number back = {line[k].re / (double)m, -line[k].im / (double)m};
        x[k] = times(back, chirp[k]);
    }
}

/* ---- any length -------------------------------------------------------------------------------------------------- */

bool tape__fft_work(int64_t n, int64_t *doubles)
{
    if (n > (int64_t)1 << 50)
        return false;
    *doubles = 2 * (has_small_factors(n) ? 2 * n : n + 4 * padded(n));
    return true;
}

void tape__fft_prepare(int64_t n, double *work)
{
    if (has_small_factors(n))
        fill_roots(n, (complex_number *)work);
    else
        prepare_bluestein(n, (complex_number *)work);
}

void tape__fft(int64_t n, double *work, double *x)
{
    complex_number *w = (complex_number *)work, *line = (complex_number *)x;
    if (has_small_factors(n))
        transform(n, w, line, w + n);
    else
        bluestein(n, w, line);
}
