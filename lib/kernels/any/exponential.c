/* The exponential of one row-major matrix of doubles. Knows no tensors and no batches. */
#include <math.h>
#include <string.h>

#include "dense.h"

/* c = a b */
static void multiply(int64_t n, const double *a, const double *b, double *c)
{
    memset(c, 0, (size_t)(n * n) * sizeof *c);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < n; k++)
            for (int64_t j = 0; j < n; j++)
                c[i * n + j] += a[i * n + k] * b[k * n + j];
}

static double norm_1(int64_t n, const double *a)
{
    double largest = 0;
    for (int64_t j = 0; j < n; j++) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++)
            sum += fabs(a[i * n + j]);
        largest = sum > largest || isnan(sum) ? sum : largest;
    }
    return largest;
}

/* y = f6 a6 + f4 a4 + f2 a2 + f0 */
static void combine(int64_t n, const double *a2, const double *a4, const double *a6, const double f[4], double *y)
{
    for (int64_t i = 0; i < n * n; i++)
        y[i] = f[0] * a6[i] + f[1] * a4[i] + f[2] * a2[i] + (i % (n + 1) == 0 ? f[3] : 0);
}

/* The odd and the even part of the approximant's numerator, of 0 < norm <= 5.4: y gets their sum, a their difference.
 */
static void pade_13(int64_t n, double *a, double *work, double *y)
{
    static const double odd_high[4] = {1, 16380, 40840800, 0};
    static const double odd_low[4] = {33522128640, 10559470521600, 1187353796428800, 32382376266240000};
    static const double even_high[4] = {182, 960960, 1323241920, 0};
    static const double even_low[4] = {670442572800, 129060195264000, 7771770303897600, 64764752532480000};
    int64_t size = n * n;
    double *a2 = work, *a4 = a2 + size, *a6 = a4 + size, *u = a6 + size, *w = u + size, *v = w + size;
    multiply(n, a, a, a2);
    multiply(n, a2, a2, a4);
    multiply(n, a2, a4, a6);
    combine(n, a2, a4, a6, odd_high, w);
    multiply(n, a6, w, v);
    combine(n, a2, a4, a6, odd_low, w);
    for (int64_t i = 0; i < size; i++)
        w[i] += v[i];
    multiply(n, a, w, u);
    combine(n, a2, a4, a6, even_high, w);
    multiply(n, a6, w, v);
    combine(n, a2, a4, a6, even_low, w);
    for (int64_t i = 0; i < size; i++) {
        double even = v[i] + w[i];
        y[i] = even + u[i];
        a[i] = even - u[i];
    }
}

void tape__matrix_exp(int64_t n, double *a, double *work, int64_t *pivot, double *y)
{
    const double most = 5.371920351148152; /* Higham's theta_13 */
    double norm = norm_1(n, a);
    int squarings = 0;
    if (norm > most && isfinite(norm))
        frexp(norm / most, &squarings);
    for (int64_t i = 0; i < n * n; i++)
        a[i] = ldexp(a[i], -squarings);
    pade_13(n, a, work, y);
    tape__lu(n, a, pivot);
    if (!isfinite(norm) || !tape__lu_solve(n, a, pivot, n, y))
        for (int64_t i = 0; i < n * n; i++)
            y[i] = NAN;
    for (int k = 0; k < squarings; k++) {
        multiply(n, y, y, work);
        memcpy(y, work, (size_t)(n * n) * sizeof *y);
    }
}
