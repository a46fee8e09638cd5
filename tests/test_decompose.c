/* Square matrices by hand: singular ones, stacks with one bad entry, what is read and what is not, sizes 0, errors. */
#include "expect.h"
#include "table.h"
#include "tape/gradcheck.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

/* ---- det --------------------------------------------------------------------------------------------------------- */

static tape_tensor det_of(void *user, const tape_tensor *x, int n)
{
    (void)user, (void)n;
    return tape_det(x[0]);
}

/* Rank n - 1: the cofactors by hand. Rank n - 2: all are 0, and the second derivative is not. */
START_TEST(test_det_of_singular_matrices)
{
    tape_tensor a = PARAM(TAPE_SHAPE(3, 3), 1, 2, 3, 2, 4, 6, 1, 0, 1);
    EXPECT(tape_det(a), 0);
    EXPECT(gradient_of(tape_det(a), a), 4, 4, -4, -2, -2, 2, 0, 0, 0);
    tape_tensor b = PARAM(TAPE_SHAPE(3, 3), 1, 2, 3, 2, 4, 6, 3, 6, 9);
    EXPECT(tape_det(b), 0);
    EXPECT(gradient_of(tape_det(b), b), 0, 0, 0, 0, 0, 0, 0, 0, 0);
    tape_tensor zero = PARAM(TAPE_SHAPE(2, 2), 0, 0, 0, 0);
    EXPECT(gradient_of(tape_det(zero), zero), 0, 0, 0, 0);
    EXPECT(gradient_of(gradient_of(tape_det(zero), zero), zero), 1, -1, -1, 1);
    const tape_tensor all[] = {a, b, zero};
    for (int i = 0; i < 3; i++)
        for (int second = 0; second < 2; second++) {
            tape_gradcheck_report report;
            const tape_gradcheck_options options = {.second_order = second};
            ck_assert_msg(tape_gradcheck(det_of, NULL, &all[i], 1, &options, &report), "%s", report.message);
        }
    tape_free(a);
    tape_free(b);
    tape_free(zero);
    settle();
}
END_TEST

/* d/da_ij d/da_kl d/da_mn of a determinant of 3 x 3 is 1 or -1 for places in three rows and three columns. */
START_TEST(test_third_derivative_of_det)
{
    tape_tensor a = PARAM(TAPE_SHAPE(3, 3), 2, 1, 0, 0.5, 3, 1, -1, 0, 2);
    tape_tensor first = DERIVATIVE(tape_det(a), a, 1);
    EXPECT(first, 6, -2, 3, -2, 4, -1, 1, -2, 5.5);
    tape_tensor g = tape_select(tape_select(gradient_of(tape_det(a), a), 0, 0), 0, 0);
    tape_tensor h = tape_select(tape_select(gradient_of(g, a), 0, 1), 0, 1);
    EXPECT(h, 2);
    EXPECT(gradient_of(h, a), 0, 0, 0, 0, 0, 0, 0, 0, 1);
    tape_free(a);
    settle();
}
END_TEST

START_TEST(test_slogdet)
{
    tape_tensor sign, a = CONSTANT(TAPE_F64, TAPE_SHAPE(3, 2, 2), 0, 2, 3, 0, 1, 2, 2, 4, 1e200, 0, 0, 1e200);
    EXPECT_AS(tape_slogdet(a, &sign), TAPE_SHAPE(3), log(6), -INFINITY, 2 * log(1e200));
    EXPECT_AS(sign, TAPE_SHAPE(3), -1, 0, 1);
    tape_tensor p = PARAM(TAPE_SHAPE(2, 2), 1, 2, 2, 4);
    tape_tensor y = tape_where(tape_eq_scalar(tape_det(p), 0), tape_scalar(TAPE_F64, 0), tape_slogdet(p, NULL));
    EXPECT(gradient_of(y, p), 0, 0, 0, 0);
    EXPECT(gradient_of((tape_slogdet(p, &sign), sign), p), 0, 0, 0, 0);
    tape_free(p);
    settle();
}
END_TEST

/* ---- inverse, solve, triangles ----------------------------------------------------------------------------------- */

START_TEST(test_one_singular_matrix_of_a_stack)
{
    tape_tensor a = CONSTANT(TAPE_F64, TAPE_SHAPE(2, 2, 2), 1, 2, 2, 4, 2, 0, 0, 4);
    EXPECT(tape_inverse(a), NAN, NAN, NAN, NAN, 0.5, 0, 0, 0.25);
    EXPECT_AS(tape_solve(a, CONSTANT(TAPE_F64, TAPE_SHAPE(2), 2, 4)), TAPE_SHAPE(2, 2), NAN, NAN, 1, 1);
    tape_tensor s = CONSTANT(TAPE_F64, TAPE_SHAPE(2, 2, 2), 4, 77, 2, 2, 1, 2, 2, 1);
    EXPECT(tape_cholesky(s), 2, 0, 1, 1, NAN, NAN, NAN, NAN);
    tape_tensor t = CONSTANT(TAPE_F64, TAPE_SHAPE(2, 2), 0, 2, 77, 2), b = CONSTANT(TAPE_F64, TAPE_SHAPE(2, 1), 1, 2);
    EXPECT(tape_triangular_solve(t, b, NULL), -INFINITY, 1);
    settle();
}
END_TEST

/* The first pivot is 0: without exchanging rows there is no answer. */
START_TEST(test_pivoting)
{
    tape_tensor a = CONSTANT(TAPE_F64, TAPE_SHAPE(3, 3), 0, 2, 1, 1, 0, 0, 3, 0, 1);
    EXPECT(tape_inverse(a), 0, 1, 0, 0.5, 1.5, -0.5, 0, -3, 1);
    EXPECT(tape_det(a), -2);
    EXPECT(tape_solve(a, CONSTANT(TAPE_F64, TAPE_SHAPE(3), 7, 1, 6)), 1, 2, 3);
    settle();
}
END_TEST

/* The lower triangle alone is read; the derivative is spread over both, as PyTorch has it. */
START_TEST(test_cholesky_derivative)
{
    tape_tensor a = PARAM(TAPE_SHAPE(2, 2), 4, 77, 2, 5);
    tape_tensor l = tape_cholesky(a);
    EXPECT(l, 2, 0, 1, 2);
    EXPECT(DERIVATIVE(l, a, 0, 0, 1, 0), -1. / 8, 1. / 4, 1. / 4, 0);
    EXPECT(DERIVATIVE(l, a, 0, 55, 0, 1), 1. / 16, -1. / 8, -1. / 8, 1. / 4);
    tape_free(a);
    settle();
}
END_TEST

/* Residuals of a large system say more than a few digits. */
START_TEST(test_large_systems)
{
    enum { N = 120 };
    double *values = malloc(N * N * sizeof *values);
    ck_assert_ptr_nonnull(values);
    uint64_t state = 43;
    for (int i = 0; i < N * N; i++)
        values[i] = draw(&state, -1, 1);
    tape_tensor a = tape_from(TAPE_F64, TAPE_SHAPE(N, N), values), at = tape_transpose(a, 0, 1);
    tape_tensor s = tape_add(tape_matmul(a, at), tape_eye(TAPE_F64, N, N)), l = tape_cholesky(s);
    tape_tensor residuals[] = {
        tape_sub(tape_matmul(a, tape_inverse(a)), tape_eye(TAPE_F64, N, N)),
        tape_sub(tape_matmul(at, tape_solve(at, a)), a),
        tape_sub(tape_matmul(l, tape_transpose(l, 0, 1)), s),
    };
    for (int i = 0; i < 3; i++)
        ck_assert_double_lt(tape_item(tape_norm(residuals[i], INFINITY, TAPE_ALL, false)), 1e-10);
    double log_det = tape_item(tape_slogdet(s, NULL));
    double by_factor = 2 * tape_item(tape_sum(tape_log(tape_diagonal(l, 0, 0, 1)), TAPE_ALL, false));
    ck_assert_double_eq_tol(log_det, by_factor, 1e-9);
    free(values);
    settle();
}
END_TEST

/* ---- factorisations ---------------------------------------------------------------------------------------------- */

/* The largest element of a matrix's magnitude. */
static double largest(tape_tensor x)
{
    return tape_item(tape_norm(x, INFINITY, TAPE_ALL, false));
}

/* Columns (or, with `by_rows`, rows) of length 1 at right angles. */
static void check_orthonormal(tape_tensor q, bool by_rows)
{
    tape_tensor qt = tape_transpose(q, 0, 1), square = by_rows ? tape_matmul(q, qt) : tape_matmul(qt, q);
    int64_t n = tape_size(square, 0);
    ck_assert_double_lt(largest(tape_sub(square, tape_eye(TAPE_F64, n, n))), 1e-13);
}

static void check_factors(tape_tensor a)
{
    tape_tensor r, s, vt, q = tape_qr(a, &r), u = tape_svd(a, &s, &vt);
    double scale = fmax(largest(a), 1e-300);
    check_orthonormal(q, false);
    check_orthonormal(u, false);
    check_orthonormal(vt, true);
    ck_assert_double_le(largest(tape_sub(tape_matmul(q, r), a)), 1e-13 * scale);
    ck_assert_double_le(largest(tape_sub(tape_matmul(tape_mul(u, s), vt), a)), 1e-13 * scale);
    ck_assert_double_eq(largest(tape_tril(r, -1)), 0);
    double *values = doubles_of(s);
    for (int64_t i = 0; i < tape_numel(s); i++)
        ck_assert(values[i] >= 0 && (i == 0 || values[i] <= values[i - 1]));
    free(values);
}

/* Square, tall, wide, singular, zero, huge and tiny. */
START_TEST(test_factors_multiply_back)
{
    enum { N = 40 }; /* more than what is done without LAPACK in any build */
    double *values = malloc(N * N * sizeof *values);
    ck_assert_ptr_nonnull(values);
    uint64_t state = 47;
    for (int i = 0; i < N * N; i++)
        values[i] = draw(&state, -1, 1);
    tape_tensor a = tape_from(TAPE_F64, TAPE_SHAPE(N, N), values), tall = tape_narrow(a, 1, 0, 7);
    const tape_tensor all[] = {a,
                               tall,
                               tape_transpose(tall, 0, 1),
                               tape_matmul(tall, tape_transpose(tall, 0, 1)),
                               tape_zeros(TAPE_F64, TAPE_SHAPE(4, 3)),
                               tape_ones(TAPE_F64, TAPE_SHAPE(3, 5)),
                               tape_mul_scalar(a, 1e200),
                               tape_mul_scalar(a, 1e-250),
                               tape_narrow(a, 0, 3, 1),
                               tape_narrow(a, 1, 3, 1)};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        check_factors(all[i]);
    free(values);
    settle();
}
END_TEST

/* The factors of a textbook, with LAPACK's signs. */
START_TEST(test_qr_signs)
{
    tape_tensor r, q = tape_qr(CONSTANT(TAPE_F64, TAPE_SHAPE(2, 2), 1, 2, 3, 4), &r);
    double d = sqrt(10);
    EXPECT(q, -1 / d, -3 / d, -3 / d, 1 / d);
    EXPECT(r, -d, -14 / d, 0, -2 / d);
    q = tape_qr(CONSTANT(TAPE_F64, TAPE_SHAPE(2, 2), 5, 1, 0, -3), &r); /* nothing to reflect */
    EXPECT(q, 1, 0, 0, 1);
    EXPECT(r, 5, 1, 0, -3);
    settle();
}
END_TEST

START_TEST(test_eigh)
{
    tape_tensor v, a = CONSTANT(TAPE_F64, TAPE_SHAPE(2, 2), 2, 77, 1, 2), w = tape_eigh(a, &v);
    EXPECT(w, 1, 3); /* the lower triangle alone is read */
    EXPECT(v, sqrt(0.5), sqrt(0.5), -sqrt(0.5), sqrt(0.5));
    enum { N = 40 };
    double *values = malloc(N * N * sizeof *values);
    ck_assert_ptr_nonnull(values);
    uint64_t state = 53;
    for (int i = 0; i < N * N; i++)
        values[i] = draw(&state, -1, 1);
    tape_tensor x = tape_from(TAPE_F64, TAPE_SHAPE(N, N), values), s = tape_add(x, tape_transpose(x, 0, 1));
    const tape_tensor all[] = {s, tape_mul_scalar(s, 1e250), tape_mul_scalar(s, 1e-250),
                               tape_matmul(s, tape_zeros_like(s)), tape_ones(TAPE_F64, TAPE_SHAPE(5, 5))};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        w = tape_eigh(all[i], &v);
        check_orthonormal(v, false);
        tape_tensor back = tape_matmul(tape_mul(v, w), tape_transpose(v, 0, 1));
        ck_assert_double_le(largest(tape_sub(back, all[i])), 1e-13 * largest(all[i]));
        ck_assert_double_ge(
            tape_item(tape_min(tape_sub(tape_narrow(w, 0, 1, 4), tape_narrow(w, 0, 0, 4)), TAPE_ALL, false)), 0);
    }
    free(values);
    settle();
}
END_TEST

/* Equal eigenvalues and singular values have derivatives in symmetric functions, and not a number in their vectors. */
START_TEST(test_repeated_values)
{
    tape_tensor a = PARAM(TAPE_SHAPE(2, 2), 3, 0, 0, 3);
    EXPECT(gradient_of(tape_eigh(a, NULL), a), 1, 0, 0, 1);
    EXPECT(gradient_of(tape_svdvals(a), a), 1, 0, 0, 1);
    EXPECT(gradient_of(tape_lstsq(a, tape_ones(TAPE_F64, TAPE_SHAPE(2))), a), -1. / 9, -1. / 9, -1. / 9, -1. / 9);
    tape_tensor b = CONSTANT(TAPE_F64, TAPE_SHAPE(2, 2, 2), NAN, 1, 1, 1, 2, 0, 0, 1), v;
    EXPECT(tape_eigh(b, &v), NAN, NAN, 1, 2);
    EXPECT(tape_svdvals(b), NAN, NAN, 2, 1);
    tape_free(a);
    settle();
}
END_TEST

/* Turned by 100 rad; a nilpotent matrix, whose series ends; the identity a thousandfold, in and out of range. */
START_TEST(test_matrix_exp)
{
    tape_tensor turn = CONSTANT(TAPE_F64, TAPE_SHAPE(2, 2), 0, -100, 100, 0);
    tape_tensor error =
        tape_sub(tape_matrix_exp(turn), CONSTANT(TAPE_F64, TAPE_SHAPE(2, 2), cos(100), -sin(100), sin(100), cos(100)));
    ck_assert_double_lt(largest(error), 1e-12);
    EXPECT(tape_matrix_exp(CONSTANT(TAPE_F64, TAPE_SHAPE(3, 3), 0, 1, 2, 0, 0, 3, 0, 0, 0)), 1, 1, 3.5, 0, 1, 3, 0, 0,
           1);
    EXPECT(tape_matrix_exp(CONSTANT(TAPE_F64, TAPE_SHAPE(3, 1, 1), -1, 0, NAN)), exp(-1), 1, NAN);
    EXPECT(tape_matrix_exp(tape_zeros(TAPE_F64, TAPE_SHAPE(2, 2))), 1, 0, 0, 1);
    settle();
}
END_TEST

/* ---- edges ------------------------------------------------------------------------------------------------------- */

START_TEST(test_empty)
{
    tape_tensor a = tape_zeros(TAPE_F64, TAPE_SHAPE(2, 0, 0)), sign;
    EXPECT_AS(tape_det(a), TAPE_SHAPE(2), 1, 1);
    EXPECT_AS(tape_slogdet(a, &sign), TAPE_SHAPE(2), 0, 0);
    EXPECT_AS(sign, TAPE_SHAPE(2), 1, 1);
    EXPECT_AS(tape_trace(a), TAPE_SHAPE(2), 0, 0);
    EXPECT_SHAPE(tape_inverse(a), TAPE_SHAPE(2, 0, 0));
    EXPECT_SHAPE(tape_cholesky(tape_zeros(TAPE_F32, TAPE_SHAPE(0, 3, 3))), TAPE_SHAPE(0, 3, 3));
    EXPECT_SHAPE(tape_solve(a, tape_zeros(TAPE_F64, TAPE_SHAPE(0, 5))), TAPE_SHAPE(2, 0, 5));
    EXPECT_SHAPE(tape_solve(tape_eye(TAPE_F64, 3, 3), tape_zeros(TAPE_F64, TAPE_SHAPE(3, 0))), TAPE_SHAPE(3, 0));
    EXPECT_SHAPE(tape_triangular_solve(a, tape_zeros(TAPE_F64, TAPE_SHAPE(0, 5)), NULL), TAPE_SHAPE(2, 0, 5));
    tape_tensor wide = tape_zeros(TAPE_F64, TAPE_SHAPE(0, 3)), r, vt;
    EXPECT_SHAPE(tape_qr(wide, &r), TAPE_SHAPE(0, 0));
    EXPECT_SHAPE(r, TAPE_SHAPE(0, 3));
    EXPECT_SHAPE(tape_svd(wide, NULL, &vt), TAPE_SHAPE(0, 0));
    EXPECT_SHAPE(vt, TAPE_SHAPE(0, 3));
    EXPECT_SHAPE(tape_svdvals(tape_zeros(TAPE_F64, TAPE_SHAPE(0, 2, 3))), TAPE_SHAPE(0, 2));
    EXPECT_SHAPE(tape_eigh(a, NULL), TAPE_SHAPE(2, 0));
    EXPECT_SHAPE(tape_matrix_exp(a), TAPE_SHAPE(2, 0, 0));
    tape_tensor p = PARAM(TAPE_SHAPE(2, 0, 0), 0);
    EXPECT_SHAPE(gradient_of(tape_det(p), p), TAPE_SHAPE(2, 0, 0));
    tape_free(p);
    settle();
}
END_TEST

START_TEST(test_errors)
{
    tape_tensor wide = tape_ones(TAPE_F64, TAPE_SHAPE(2, 3)), square = tape_eye(TAPE_F64, 3, 3);
    tape_tensor vector = tape_ones(TAPE_F64, TAPE_SHAPE(3)), half = tape_ones(TAPE_F32, TAPE_SHAPE(3));
    EXPECT_ERROR(tape_det(wide), TAPE_ERROR_SHAPE, "det: expects square matrices [..., n, n], got [2, 3]");
    EXPECT_ERROR(tape_inverse(vector), TAPE_ERROR_SHAPE, "inverse: argument 1 has shape [3]: needs rank 2");
    EXPECT_ERROR(tape_cholesky(wide), TAPE_ERROR_SHAPE, "cholesky");
    EXPECT_ERROR(tape_trace(vector), TAPE_ERROR_ARGUMENT, "trace");
    EXPECT_ERROR(tape_solve(square, wide), TAPE_ERROR_SHAPE, "[3, 3] and [2, 3]: needs [..., n, n] and [..., n, m]");
    EXPECT_ERROR(tape_solve(wide, tape_ones(TAPE_F64, TAPE_SHAPE(3, 1))), TAPE_ERROR_SHAPE, "solve");
    EXPECT_ERROR(tape_solve(square, half), TAPE_ERROR_DTYPE, "solve: dtypes f64 and f32 differ");
    EXPECT_ERROR(tape_solve(square, tape_scalar(TAPE_F64, 1)), TAPE_ERROR_SHAPE, "rank 2");
    EXPECT_ERROR(tape_triangular_solve(square, vector, NULL), TAPE_ERROR_SHAPE, "triangular_solve: argument 2");
    EXPECT_ERROR(tape_solve(tape_ones(TAPE_F64, TAPE_SHAPE(2, 3, 3)), tape_ones(TAPE_F64, TAPE_SHAPE(4, 3, 1))),
                 TAPE_ERROR_SHAPE, "leading axes of [2, 3, 3] and [4, 3, 1] do not broadcast");
    EXPECT_ERROR(tape_inverse(tape_zeros(TAPE_I64, TAPE_SHAPE(2, 2))), TAPE_ERROR_DTYPE, "i64");
    EXPECT_ERROR(tape_qr(vector, NULL), TAPE_ERROR_SHAPE, "qr: argument 1 has shape [3]");
    EXPECT_ERROR(tape_eigh(wide, NULL), TAPE_ERROR_SHAPE, "eigh: expects square");
    EXPECT_ERROR(tape_svdvals(vector), TAPE_ERROR_SHAPE, "svdvals: argument 1");
    EXPECT_ERROR(tape_lstsq(wide, square), TAPE_ERROR_SHAPE, "lstsq: shapes [2, 3] and [3, 3]: needs [..., m, n]");
    EXPECT_ERROR(tape_lstsq(wide, tape_scalar(TAPE_F64, 1)), TAPE_ERROR_SHAPE, "lstsq");
    EXPECT_ERROR(tape_matrix_exp(wide), TAPE_ERROR_SHAPE, "matrix_exp: expects square");
    EXPECT_ERROR(tape_cross(vector, vector, 1), TAPE_ERROR_ARGUMENT, "cross: axis 1");
    EXPECT_ERROR(tape_cross(vector, vector, INT32_MIN), TAPE_ERROR_ARGUMENT, "cross: axis");
    EXPECT_ERROR(tape_cross(vector, vector, INT32_MAX), TAPE_ERROR_ARGUMENT, "cross: axis");
    EXPECT_ERROR(tape_cross(wide, vector, 0), TAPE_ERROR_ARGUMENT, "out of range for ranks 2 and 1");
    EXPECT_ERROR(tape_cross(wide, tape_ones(TAPE_F64, TAPE_SHAPE(1)), 1), TAPE_ERROR_SHAPE, "last axis of size 3");
    settle();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("decompose");
    TCase *all = tcase_create("all");
    tcase_add_test(all, test_det_of_singular_matrices);
    tcase_add_test(all, test_third_derivative_of_det);
    tcase_add_test(all, test_slogdet);
    tcase_add_test(all, test_one_singular_matrix_of_a_stack);
    tcase_add_test(all, test_pivoting);
    tcase_add_test(all, test_cholesky_derivative);
    tcase_add_test(all, test_large_systems);
    tcase_add_test(all, test_factors_multiply_back);
    tcase_add_test(all, test_qr_signs);
    tcase_add_test(all, test_eigh);
    tcase_add_test(all, test_repeated_values);
    tcase_add_test(all, test_matrix_exp);
    tcase_add_test(all, test_empty);
    tcase_add_test(all, test_errors);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
