/* Samples of the orthogonal factorisations and what is made with them. References are Gram and Schmidt, Viete's
   cosines, series and iterations in long double. What is compared is what the sign of a vector does not change. */
#include <math.h>

#include "support/samples.h"

enum { N = 3 };

#define FLOATS(...)                                                                                                    \
    {                                                                                                                  \
        SAMPLE_FLOAT, {sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), {__VA_ARGS__}}, -1, 1                       \
    }

/* ---- qr ---------------------------------------------------------------------------------------------------------- */

/* A matrix with distinct singular values and independent columns, whatever x is; rectangular ones, too. */
static tape_tensor spread(tape_tensor x)
{
    const double diagonal[4] = {1, 2, 3, 4};
    int64_t m = tape_size(x, -2), n = tape_size(x, -1);
    tape_tensor scale = tape_narrow(tape_from(TAPE_F64, TAPE_SHAPE(4), diagonal), 0, 0, n);
    tape_tensor shift = tape_cast(tape_mul(tape_eye(TAPE_F64, m, n), scale), tape_dtype_of(x));
    return tape_add(tape_mul_scalar(x, 0.3), shift);
}

static void ref_spread(const double *x, int m, int n, double *a)
{
    for (int i = 0; i < m * n; i++)
        a[i] = 0.3 * x[i] + (i / n == i % n ? i % n + 1 : 0);
}

/* The factors that are unique: those with a positive diagonal of r. */
static tape_tensor positive_q(tape_tensor a, tape_tensor *r)
{
    tape_tensor q = tape_qr(a, r), sign = tape_sign(tape_diagonal(*r, 0, -2, -1));
    *r = tape_mul(*r, tape_unsqueeze(sign, -1));
    return tape_mul(q, tape_unsqueeze(sign, -2));
}

static tape_tensor run_q(const tape_tensor *x)
{
    tape_tensor r;
    return positive_q(spread(x[0]), &r);
}

static tape_tensor run_r(const tape_tensor *x)
{
    tape_tensor r, q = positive_q(spread(x[0]), &r);
    return (void)q, r;
}

/* By Gram and Schmidt, in long double. */
static void ref_qr(const double *x, int m, int n, double *q, double *r)
{
    long double column[4], base[4][4];
    double a[16];
    int k = m < n ? m : n;
    ref_spread(x, m, n, a);
    for (int j = 0; j < n; j++) {
        for (int i = 0; i < m; i++)
            column[i] = a[i * n + j];
        for (int p = 0; p < k; p++) {
            long double along = 0;
            for (int i = 0; i < m; i++)
                along += p < j ? base[p][i] * column[i] : 0;
            for (int i = 0; i < m && p < j; i++)
                column[i] -= along * base[p][i];
            r[p * n + j] = (double)along;
        }
        long double length = 0;
        for (int i = 0; i < m; i++)
            length += column[i] * column[i];
        for (int i = 0; i < m && j < k; i++) {
            base[j][i] = column[i] / sqrtl(length);
            q[i * k + j] = (double)base[j][i];
        }
        if (j < k)
            r[j * n + j] = (double)sqrtl(length);
    }
}

static void ref_q_tall(const double *const *x, double *y)
{
    double r[16];
    for (int e = 0; e < 2; e++)
        ref_qr(x[0] + e * 12, 4, 3, y + e * 12, r);
}

static void ref_r_tall(const double *const *x, double *y)
{
    double q[16];
    for (int e = 0; e < 2; e++)
        ref_qr(x[0] + e * 12, 4, 3, q, y + e * 9);
}

static void ref_q_wide(const double *const *x, double *y)
{
    double r[16];
    ref_qr(x[0], 3, 4, y, r);
}

static void ref_r_wide(const double *const *x, double *y)
{
    double q[16];
    ref_qr(x[0], 3, 4, q, y);
}

/* ---- eigh, svd --------------------------------------------------------------------------------------------------- */

static tape_tensor symmetric(tape_tensor x)
{
    tape_tensor a = spread(x);
    return tape_add(a, tape_transpose(a, -2, -1));
}

static void ref_symmetric(const double *x, double *s)
{
    double a[9];
    ref_spread(x, 3, 3, a);
    for (int i = 0; i < 9; i++)
        s[i] = a[i] + a[i % 3 * 3 + i / 3];
}

static tape_tensor run_eigenvalues(const tape_tensor *x)
{
    return tape_eigh(symmetric(x[0]), NULL);
}

/* v exp(w) v^T, the exponential of the matrix. */
static tape_tensor run_eigenvectors(const tape_tensor *x)
{
    tape_tensor v, w = tape_eigh(tape_mul_scalar(symmetric(x[0]), 0.2), &v);
    return tape_matmul(tape_mul(v, tape_unsqueeze(tape_exp(w), -2)), tape_transpose(v, -2, -1));
}

/* The roots of the characteristic polynomial by Viete's cosines, ascending. */
static void ref_eigenvalues3(const double *s, double *w)
{
    long double mean = ((long double)s[0] + s[4] + s[8]) / 3, b[9], square = 0, det = 0;
    for (int i = 0; i < 9; i++) {
        b[i] = s[i] - (i % 4 == 0 ? mean : 0);
        square += b[i] * b[i];
    }
    long double p = sqrtl(square / 6);
    for (int j = 0; j < 3; j++)
        det += b[j] * (b[3 + (j + 1) % 3] * b[6 + (j + 2) % 3] - b[3 + (j + 2) % 3] * b[6 + (j + 1) % 3]);
    long double angle = acosl(fminl(1, fmaxl(-1, det / (2 * p * p * p)))) / 3;
    for (int k = 0; k < 3; k++)
        w[2 - k] = (double)(mean + 2 * p * cosl(angle + (k == 0 ? 0 : k == 1 ? -1 : 1) * 2.0943951023931954923L));
}

static void ref_eigenvalues(const double *const *x, double *y)
{
    for (int e = 0; e < 2; e++) {
        double s[9];
        ref_symmetric(x[0] + e * 9, s);
        ref_eigenvalues3(s, y + e * 3);
    }
}

/* The series of the exponential, after halving often and before squaring as often. */
static void ref_exp3(const double *a, double *y)
{
    long double term[9], sum[9], next[9];
    for (int i = 0; i < 9; i++)
        term[i] = sum[i] = i % 4 == 0;
    for (int k = 1; k < 40; k++) {
        for (int i = 0; i < 9; i++) {
            next[i] = 0;
            for (int j = 0; j < 3; j++)
                next[i] += term[i / 3 * 3 + j] * a[j * 3 + i % 3] / 4 / k;
        }
        for (int i = 0; i < 9; i++)
            sum[i] += term[i] = next[i];
    }
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < 9; i++) {
            next[i] = 0;
            for (int j = 0; j < 3; j++)
                next[i] += sum[i / 3 * 3 + j] * sum[j * 3 + i % 3];
        }
        for (int i = 0; i < 9; i++)
            sum[i] = next[i];
    }
    for (int i = 0; i < 9; i++)
        y[i] = (double)sum[i];
}

static void ref_eigenvectors(const double *const *x, double *y)
{
    double s[9];
    ref_symmetric(x[0], s);
    for (int i = 0; i < 9; i++)
        s[i] *= 0.2;
    ref_exp3(s, y);
}

static tape_tensor run_svdvals(const tape_tensor *x)
{
    return tape_svdvals(spread(x[0]));
}

/* The roots of the eigenvalues of a^T a, or of a a^T where that is smaller. */
static void ref_svdvals_of(const double *x, int m, int n, double *y)
{
    double a[12], square[9], w[3];
    ref_spread(x, m, n, a);
    for (int i = 0; i < 9; i++) {
        long double sum = 0;
        for (int k = 0; k < (m > n ? m : n); k++)
            sum += m > n ? (long double)a[k * n + i / 3] * a[k * n + i % 3]
                         : (long double)a[i / 3 * n + k] * a[i % 3 * n + k];
        square[i] = (double)sum;
    }
    ref_eigenvalues3(square, w);
    for (int i = 0; i < 3; i++)
        y[i] = sqrt(w[2 - i]);
}

static void ref_svdvals_tall(const double *const *x, double *y)
{
    for (int e = 0; e < 2; e++)
        ref_svdvals_of(x[0] + e * 12, 4, 3, y + e * 3);
}

static void ref_svdvals_wide(const double *const *x, double *y)
{
    ref_svdvals_of(x[0], 3, 4, y);
}

/* u vt, the orthogonal factor of the polar decomposition. */
static tape_tensor run_polar(const tape_tensor *x)
{
    tape_tensor vt, u = tape_svd(spread(x[0]), NULL, &vt);
    return tape_matmul(u, vt);
}

/* By the iteration y (3 - y^T y) / 2 of Newton and Schulz. */
static void ref_polar(const double *x, int m, int n, double *y)
{
    double a[12];
    long double z[12], next[12], square = 0;
    ref_spread(x, m, n, a);
    for (int i = 0; i < m * n; i++)
        square += (long double)a[i] * a[i];
    for (int i = 0; i < m * n; i++)
        z[i] = a[i] / sqrtl(square);
    for (int step = 0; step < 60; step++) {
        for (int i = 0; i < m; i++)
            for (int j = 0; j < n; j++) {
                next[i * n + j] = 1.5L * z[i * n + j];
                for (int p = 0; p < n; p++)
                    for (int q = 0; q < m; q++)
                        next[i * n + j] -= z[i * n + p] * z[q * n + p] * z[q * n + j] / 2;
            }
        for (int i = 0; i < m * n; i++)
            z[i] = next[i];
    }
    for (int i = 0; i < m * n; i++)
        y[i] = (double)z[i];
}

static void ref_polar_tall(const double *const *x, double *y)
{
    for (int e = 0; e < 2; e++)
        ref_polar(x[0] + e * 12, 4, 3, y + e * 12);
}

static void ref_polar_wide(const double *const *x, double *y)
{
    ref_polar(x[0], 3, 4, y);
}

/* ---- lstsq, matrix_exp ------------------------------------------------------------------------------------------- */

/* x[3, m] = a^-1 b by Gauss-Jordan elimination with pivoting. */
static void ref_solve(const double *a, const double *b, int m, double *x)
{
    long double w[N][N + 4];
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N + m; j++)
            w[i][j] = j < N ? a[i * N + j] : b[i * m + j - N];
    for (int k = 0; k < N; k++) {
        int p = k;
        for (int i = k; i < N; i++)
            p = fabsl(w[i][k]) > fabsl(w[p][k]) ? i : p;
        for (int j = 0; j < N + m; j++) {
            long double keep = w[k][j];
            w[k][j] = w[p][j];
            w[p][j] = keep;
        }
        for (int i = 0; i < N; i++) {
            long double f = w[i][k] / w[k][k];
            for (int j = 0; j < N + m && i != k; j++)
                w[i][j] -= f * w[k][j];
        }
    }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < m; j++)
            x[i * m + j] = (double)(w[i][N + j] / w[i][i]);
}

static tape_tensor run_lstsq(const tape_tensor *x)
{
    return tape_lstsq(spread(x[0]), x[1]);
}

/* a^T a x = a^T b */
static void ref_lstsq_tall(const double *x, const double *b, int m, double *y)
{
    double a[12], square[9], right[9];
    ref_spread(x, 4, 3, a);
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++)
            square[i * 3 + j] = a[i] * a[j] + a[3 + i] * a[3 + j] + a[6 + i] * a[6 + j] + a[9 + i] * a[9 + j];
        for (int j = 0; j < m; j++)
            right[i * m + j] = a[i] * b[j] + a[3 + i] * b[m + j] + a[6 + i] * b[2 * m + j] + a[9 + i] * b[3 * m + j];
    }
    ref_solve(square, right, m, y);
}

static void ref_lstsq_matrix(const double *const *x, double *y)
{
    for (int e = 0; e < 2; e++)
        ref_lstsq_tall(x[0] + e * 12, x[1], 2, y + e * 6);
}

static void ref_lstsq_vectors(const double *const *x, double *y)
{
    for (int e = 0; e < 2; e++)
        ref_lstsq_tall(x[0] + e * 12, x[1] + e * 4, 1, y + e * 3);
}

/* a a^T z = b, x = a^T z */
static void ref_lstsq_wide(const double *const *x, double *y)
{
    double a[12], square[9], z[3];
    ref_spread(x[0], 3, 4, a);
    for (int i = 0; i < 9; i++) {
        square[i] = 0;
        for (int k = 0; k < 4; k++)
            square[i] += a[i / 3 * 4 + k] * a[i % 3 * 4 + k];
    }
    ref_solve(square, x[1], 1, z);
    for (int k = 0; k < 4; k++)
        y[k] = a[k] * z[0] + a[4 + k] * z[1] + a[8 + k] * z[2];
}

static tape_tensor run_matrix_exp(const tape_tensor *x)
{
    return tape_matrix_exp(x[0]);
}

static void ref_matrix_exp(const double *const *x, double *y)
{
    for (int e = 0; e < 2; e++)
        ref_exp3(x[0] + e * 9, y + e * 9);
}

const struct sample samples_factor[] = {
    {"qr", "q, tall", 1, {FLOATS(2, 4, 3)}, run_q, ref_q_tall, false, 1e-12},
    {"qr", "r, tall", 1, {FLOATS(2, 4, 3)}, run_r, ref_r_tall, false, 1e-12},
    {"qr", "q, wide", 1, {FLOATS(3, 4)}, run_q, ref_q_wide, false, 1e-12},
    {"qr", "r, wide", 1, {FLOATS(3, 4)}, run_r, ref_r_wide, false, 1e-12},
    {"eigh", "values", 1, {FLOATS(2, 3, 3)}, run_eigenvalues, ref_eigenvalues, false, 1e-12},
    {"eigh", "vectors", 1, {FLOATS(3, 3)}, run_eigenvectors, ref_eigenvectors, false, 1e-12},
    {"svdvals", "tall", 1, {FLOATS(2, 4, 3)}, run_svdvals, ref_svdvals_tall, false, 1e-12},
    {"svdvals", "wide", 1, {FLOATS(3, 4)}, run_svdvals, ref_svdvals_wide, false, 1e-12},
    {"svd", "vectors, tall", 1, {FLOATS(2, 4, 3)}, run_polar, ref_polar_tall, false, 1e-12},
    {"svd", "vectors, wide", 1, {FLOATS(3, 4)}, run_polar, ref_polar_wide, false, 1e-12},
    {"lstsq", "tall", 2, {FLOATS(2, 4, 3), FLOATS(4, 2)}, run_lstsq, ref_lstsq_matrix, false, 1e-12},
    {"lstsq", "vectors", 2, {FLOATS(2, 4, 3), FLOATS(2, 4)}, run_lstsq, ref_lstsq_vectors, false, 1e-12},
    {"lstsq", "wide", 2, {FLOATS(3, 4), FLOATS(3)}, run_lstsq, ref_lstsq_wide, false, 1e-12},
    {"matrix_exp", "stack", 1, {FLOATS(2, 3, 3)}, run_matrix_exp, ref_matrix_exp, false, 0},
    {NULL, NULL, 0, {{SAMPLE_FLOAT, {0, {0}}, 0, 0}}, NULL, NULL, false, 0},
};
