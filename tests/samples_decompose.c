/* Samples of the ops on square matrices. References are textbook sums over permutations and Gauss-Jordan elimination in
   long double. Matrices are moved away from singular ones within the sample, whatever is drawn. */
#include <math.h>

#include "ops/matrix.h"
#include "support/samples.h"

enum { N = 3 };

#define FLOATS(...)                                                                                                    \
    {                                                                                                                  \
        SAMPLE_FLOAT, {sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), {__VA_ARGS__}}, -1, 1                       \
    }

/* ---- references -------------------------------------------------------------------------------------------------- */

/* The same shift of the diagonal for the op and its reference. */
static tape_tensor shifted(tape_tensor x, double shift)
{
    return tape_add(x, tape_mul_scalar(tape_eye(tape_dtype_of(x), tape_size(x, -2), tape_size(x, -1)), shift));
}

static void ref_shifted(const double *x, double shift, int n, double *a)
{
    for (int i = 0; i < n * n; i++)
        a[i] = x[i] + (i % (n + 1) == 0 ? shift : 0);
}

/* By expansion along the first row. */
static double ref_det3(const double *a)
{
    return a[0] * (a[4] * a[8] - a[5] * a[7]) - a[1] * (a[3] * a[8] - a[5] * a[6]) + a[2] * (a[3] * a[7] - a[4] * a[6]);
}

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

static void ref_inverse(const double *a, double *x)
{
    static const double identity[N * N] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    ref_solve(a, identity, N, x);
}

/* ---- det, slogdet, trace ----------------------------------------------------------------------------------------- */

static tape_tensor run_trace(const tape_tensor *x)
{
    return tape_trace(x[0]);
}

static void ref_trace(const double *const *x, double *y)
{
    for (int i = 0; i < 2; i++)
        y[i] = x[0][i * 12] + x[0][i * 12 + 5] + x[0][i * 12 + 10];
}

static tape_tensor run_det(const tape_tensor *x)
{
    return tape_det(x[0]);
}

static void ref_det(const double *const *x, double *y)
{
    for (int i = 0; i < 2; i++)
        y[i] = ref_det3(x[0] + i * 9);
}

static void ref_det_of_two(const double *const *x, double *y)
{
    y[0] = x[0][0] * x[0][3] - x[0][1] * x[0][2];
}

static void ref_det_of_one(const double *const *x, double *y)
{
    y[0] = x[0][0];
}

static tape_tensor run_slogdet(const tape_tensor *x)
{
    return tape_slogdet(shifted(x[0], 3), NULL);
}

static tape_tensor run_slogdet_and_sign(const tape_tensor *x)
{
    tape_tensor sign, log_abs = tape_slogdet(shifted(x[0], -3), &sign);
    return tape_mul(sign, log_abs);
}

static void ref_slogdet(const double *const *x, double *y)
{
    for (int i = 0; i < 2; i++) {
        double a[9];
        ref_shifted(x[0] + i * 9, 3, 3, a);
        y[i] = log(ref_det3(a));
    }
}

static void ref_slogdet_and_sign(const double *const *x, double *y)
{
    double a[9];
    ref_shifted(x[0], -3, 3, a);
    y[0] = copysign(1, ref_det3(a)) * log(fabs(ref_det3(a)));
}

/* ---- cofactors --------------------------------------------------------------------------------------------------- */

static tape_tensor run_cofactor(const tape_tensor *x)
{
    return tape__run(TAPE__OP_cofactor, x, 1, NULL, 0);
}

/* The determinant of the 2 x 2 matrix that is left without row i and column j, with its sign. */
static void ref_cofactor3(const double *a, double *c)
{
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            int r = (i + 1) % 3, s = (i + 2) % 3, p = (j + 1) % 3, q = (j + 2) % 3;
            c[i * 3 + j] = a[r * 3 + p] * a[s * 3 + q] - a[r * 3 + q] * a[s * 3 + p];
        }
}

static void ref_cofactor(const double *const *x, double *y)
{
    for (int i = 0; i < 2; i++)
        ref_cofactor3(x[0] + i * 9, y + i * 9);
}

static tape_tensor run_cofactor_change(const tape_tensor *x)
{
    const tape_tensor inputs[2] = {shifted(x[0], 3), x[1]};
    return tape__run(TAPE__OP_cofactor_change, inputs, 2, NULL, 0);
}

/* Cofactors of 3 x 3 are quadratic: a central difference of step 1 is exact. */
static void ref_cofactor_change(const double *const *x, double *y)
{
    double a[9], plus[9], minus[9], c[9];
    ref_shifted(x[0], 3, 3, a);
    for (int i = 0; i < 9; i++) {
        plus[i] = a[i] + x[1][i];
        minus[i] = a[i] - x[1][i];
    }
    ref_cofactor3(plus, y);
    ref_cofactor3(minus, c);
    for (int i = 0; i < 9; i++)
        y[i] = (y[i] - c[i]) / 2;
}

/* ---- inverse, solve ---------------------------------------------------------------------------------------------- */

static tape_tensor run_inverse(const tape_tensor *x)
{
    return tape_inverse(shifted(x[0], 3));
}

static void ref_inverse_of_two(const double *const *x, double *y)
{
    for (int i = 0; i < 2; i++) {
        double a[9];
        ref_shifted(x[0] + i * 9, 3, 3, a);
        ref_inverse(a, y + i * 9);
    }
}

static tape_tensor run_solve(const tape_tensor *x)
{
    return tape_solve(shifted(x[0], 3), x[1]);
}

/* Systems of a[3, 3] and b[3, m], one after the other; steps of 0 use the same again. */
static void ref_systems(const double *const *x, double *y, int count, int a_step, int b_step, int m)
{
    for (int i = 0; i < count; i++) {
        double a[9];
        ref_shifted(x[0] + i * a_step, 3, 3, a);
        ref_solve(a, x[1] + i * b_step, m, y + i * 3 * m);
    }
}

static void ref_solve_matrix(const double *const *x, double *y)
{
    ref_systems(x, y, 1, 0, 0, 2);
}

static void ref_solve_vector(const double *const *x, double *y)
{
    ref_systems(x, y, 2, 9, 0, 1);
}

static void ref_solve_vectors(const double *const *x, double *y)
{
    ref_systems(x, y, 2, 9, 3, 1);
}

static void ref_solve_stretched(const double *const *x, double *y)
{
    ref_systems(x, y, 2, 0, 6, 2);
}

/* ---- triangular_solve, cholesky ---------------------------------------------------------------------------------- */

static tape_tensor run_upper(const tape_tensor *x)
{
    return tape_triangular_solve(shifted(x[0], 3), x[1], NULL);
}

static tape_tensor run_lower_unit(const tape_tensor *x)
{
    return tape_triangular_solve(x[0], x[1], &(tape_triangular_options){.lower = true, .unit_diagonal = true});
}

static tape_tensor run_lower_transposed(const tape_tensor *x)
{
    return tape_triangular_solve(shifted(x[0], 3), x[1], &(tape_triangular_options){.lower = true, .transpose = true});
}

/* The triangle as a whole matrix, solved as any. */
static void ref_triangle(const double *x, double shift, bool lower, bool transpose, bool unit, const double *b, int m,
                         double *y)
{
    double a[9], whole[9];
    ref_shifted(x, shift, 3, a);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            double taken = i == j ? (unit ? 1 : a[i * 3 + j]) : (lower ? j < i : j > i) ? a[i * 3 + j] : 0;
            whole[transpose ? j * 3 + i : i * 3 + j] = taken;
        }
    ref_solve(whole, b, m, y);
}

static void ref_upper(const double *const *x, double *y)
{
    for (int i = 0; i < 2; i++)
        ref_triangle(x[0] + i * 9, 3, false, false, false, x[1], 2, y + i * 6);
}

static void ref_lower_unit(const double *const *x, double *y)
{
    ref_triangle(x[0], 0, true, false, true, x[1], 1, y);
}

static void ref_lower_transposed(const double *const *x, double *y)
{
    ref_triangle(x[0], 3, true, true, false, x[1], 2, y);
}

/* Of x x^T + 1, which is symmetric and positive definite whatever x is. */
static tape_tensor run_cholesky(const tape_tensor *x)
{
    return tape_cholesky(shifted(tape_matmul(x[0], tape_transpose(x[0], -2, -1)), 1));
}

/* Column by column (Cholesky-Banachiewicz the other way round), from the products themselves. */
static void ref_cholesky(const double *const *x, double *y)
{
    for (int e = 0; e < 2; e++) {
        const double *b = x[0] + e * 9;
        double *l = y + e * 9;
        for (int j = 0; j < 3; j++)
            for (int i = 0; i < 3; i++) {
                long double sum = i == j;
                for (int k = 0; k < 3; k++)
                    sum += (long double)b[i * 3 + k] * b[j * 3 + k];
                for (int k = 0; k < j; k++)
                    sum -= (long double)l[i * 3 + k] * l[j * 3 + k];
                l[i * 3 + j] = (double)(i < j ? 0 : i == j ? sqrtl(sum) : sum / l[j * 3 + j]);
            }
    }
}

/* ---- cross ------------------------------------------------------------------------------------------------------- */

static tape_tensor run_cross(const tape_tensor *x)
{
    return tape_cross(x[0], x[1], 1);
}

/* [2, 3, 2] x [3, 1] along axis 1 */
static void ref_cross(const double *const *x, double *y)
{
    for (int e = 0; e < 2; e++)
        for (int i = 0; i < 3; i++)
            for (int k = 0; k < 2; k++) {
                int p = (i + 1) % 3, q = (i + 2) % 3;
                const double *a = x[0] + e * 6, *b = x[1];
                y[e * 6 + i * 2 + k] = a[p * 2 + k] * b[q] - a[q * 2 + k] * b[p];
            }
}

const struct sample samples_decompose[] = {
    {"trace", "stack", 1, {FLOATS(2, 3, 4)}, run_trace, ref_trace, false, 0},
    {"det", "stack", 1, {FLOATS(2, 3, 3)}, run_det, ref_det, false, 0},
    {"det", "2 x 2", 1, {FLOATS(2, 2)}, run_det, ref_det_of_two, false, 0},
    {"det", "1 x 1", 1, {FLOATS(1, 1)}, run_det, ref_det_of_one, false, 0},
    {"slogdet", "stack", 1, {FLOATS(2, 3, 3)}, run_slogdet, ref_slogdet, false, 0},
    {"slogdet", "with sign", 1, {FLOATS(3, 3)}, run_slogdet_and_sign, ref_slogdet_and_sign, false, 0},
    {"cofactor", "stack", 1, {FLOATS(2, 3, 3)}, run_cofactor, ref_cofactor, false, 0},
    {"cofactor_change", "3 x 3", 2, {FLOATS(3, 3), FLOATS(3, 3)}, run_cofactor_change, ref_cofactor_change, false, 0},
    {"inverse", "stack", 1, {FLOATS(2, 3, 3)}, run_inverse, ref_inverse_of_two, false, 0},
    {"solve", "matrix", 2, {FLOATS(3, 3), FLOATS(3, 2)}, run_solve, ref_solve_matrix, false, 0},
    {"solve", "one vector", 2, {FLOATS(2, 3, 3), FLOATS(3)}, run_solve, ref_solve_vector, false, 0},
    {"solve", "vectors", 2, {FLOATS(2, 3, 3), FLOATS(2, 3)}, run_solve, ref_solve_vectors, false, 0},
    {"solve", "stretched", 2, {FLOATS(3, 3), FLOATS(2, 3, 2)}, run_solve, ref_solve_stretched, false, 0},
    {"triangular_solve", "upper", 2, {FLOATS(2, 3, 3), FLOATS(3, 2)}, run_upper, ref_upper, false, 0},
    {"triangular_solve", "lower, unit", 2, {FLOATS(3, 3), FLOATS(3, 1)}, run_lower_unit, ref_lower_unit, false, 0},
    {"triangular_solve",
     "lower, transposed",
     2,
     {FLOATS(3, 3), FLOATS(3, 2)},
     run_lower_transposed,
     ref_lower_transposed,
     false,
     0},
    {"cholesky", "stack", 1, {FLOATS(2, 3, 3)}, run_cholesky, ref_cholesky, false, 0},
    {"cross", "inner axis", 2, {FLOATS(2, 3, 2), FLOATS(3, 1)}, run_cross, ref_cross, false, 0},
    {NULL, NULL, 0, {{SAMPLE_FLOAT, {0, {0}}, 0, 0}}, NULL, NULL, false, 0},
};
