/* Reductions where the samples do not go: nothing to reduce, ties, zeros, infinities, wrong axes, long sums. */
#include <check.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>

#include "ops/ops.h"
#include "support/expect.h"

#define INF INFINITY

static tape_tensor empty(tape_shape shape)
{
    return tape_param(TAPE_F64, shape, NULL);
}

/* ---- no elements ------------------------------------------------------------------------------------------------- */

START_TEST(test_of_nothing)
{
    tape_tensor x = empty(TAPE_SHAPE(0));
    EXPECT(tape_sum(x, TAPE_ALL, false), 0);
    EXPECT(tape_prod(x, TAPE_ALL, true), 1);
    EXPECT(tape_mean(x, TAPE_ALL, false), NAN);
    EXPECT(tape_var(x, TAPE_ALL, 1, false), NAN);
    EXPECT(tape_logsumexp(x, TAPE_ALL, false), -INF);
    EXPECT(tape_norm(x, 1, TAPE_ALL, false), 0);
    EXPECT(tape_norm(x, 2, TAPE_ALL, false), 0);
    EXPECT_ERROR(tape_max(x, TAPE_ALL, false), TAPE_ERROR_SHAPE, "max: no elements to choose from in shape [0]");
    EXPECT_ERROR(tape_amin(x, TAPE_ALL, false), TAPE_ERROR_SHAPE, "amin: no elements");
    EXPECT_ERROR(tape_norm(x, INF, TAPE_ALL, false), TAPE_ERROR_SHAPE, "norm: no elements");
    EXPECT_ERROR(tape_argmax(x, TAPE_ALL, false), TAPE_ERROR_SHAPE, "argmax: no elements");
}
END_TEST

START_TEST(test_of_an_empty_axis)
{
    tape_tensor x = empty(TAPE_SHAPE(0, 3));
    EXPECT(tape_sum(x, TAPE_AXES(0), false), 0, 0, 0);
    EXPECT(tape_prod(x, TAPE_AXES(0), true), 1, 1, 1);
    EXPECT(tape_mean(x, TAPE_AXES(0), false), NAN, NAN, NAN);
    ck_assert_int_eq(tape_numel(tape_sum(x, TAPE_AXES(1), false)), 0);
    ck_assert_int_eq(tape_numel(tape_max(x, TAPE_AXES(1), false)), 0);
    EXPECT_ERROR(tape_min(x, TAPE_AXES(0), false), TAPE_ERROR_SHAPE, "shape [0, 3]");
}
END_TEST

START_TEST(test_gradient_of_nothing)
{
    tape_tensor x = empty(TAPE_SHAPE(2, 0)), axis = TAPE_NULL;
    tape_tensor all = tape_prod(x, TAPE_AXES(1), false);
    axis = tape_add(tape_sum(x, TAPE_AXES(1), false), tape_logsumexp(x, TAPE_AXES(1), false));
    ck_assert_int_eq(tape_backward_with(tape_add(all, axis), tape_ones(TAPE_F64, TAPE_SHAPE(2))), TAPE_OK);
    ck_assert_int_eq(tape_numel(tape_gradient(x)), 0);
}
END_TEST

START_TEST(test_of_a_scalar)
{
    tape_tensor x = PARAM(TAPE_SCALAR, -3);
    EXPECT(tape_sum(x, TAPE_ALL, false), -3);
    EXPECT(tape_prod(x, TAPE_ALL, true), -3);
    EXPECT(tape_logsumexp(x, TAPE_ALL, false), -3);
    EXPECT(tape_norm(x, 2, TAPE_ALL, false), 3);
    EXPECT(tape_argmin(x, TAPE_ALL, false), 0);
    EXPECT(gradient_of(tape_prod(x, TAPE_ALL, false), x), 1);
    EXPECT(gradient_of(tape_max(x, TAPE_ALL, false), x), 1);
}
END_TEST

/* ---- arguments --------------------------------------------------------------------------------------------------- */

START_TEST(test_wrong_axes)
{
    tape_tensor x = PARAM(TAPE_SHAPE(2, 2), 1, 2, 3, 4);
    const int wrong[] = {2, -3, INT_MAX, INT_MIN};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        EXPECT_ERROR(tape_sum(x, TAPE_AXES(wrong[i]), false), TAPE_ERROR_ARGUMENT, "sum: ");
    EXPECT_ERROR(tape_mean(x, TAPE_AXES(1, -1), true), TAPE_ERROR_ARGUMENT, "shape [2, 2]");
    EXPECT_ERROR(tape_max(x, ((tape_axes){9, {0}}), false), TAPE_ERROR_ARGUMENT, "max: ");
    EXPECT_ERROR(tape_max(x, ((tape_axes){-1, {0}}), false), TAPE_ERROR_ARGUMENT, "max: ");
    EXPECT_ERROR(tape_argmax(x, TAPE_AXES(0, 1), false), TAPE_ERROR_ARGUMENT, "argmax: ");
    EXPECT_ERROR(tape_argmin(x, TAPE_AXES(7), false), TAPE_ERROR_ARGUMENT, "argmin: ");
    EXPECT_ERROR(tape_norm(x, 3, TAPE_ALL, false), TAPE_ERROR_ARGUMENT, "norm: ");
    EXPECT_ERROR(tape_norm(x, NAN, TAPE_ALL, false), TAPE_ERROR_ARGUMENT, "norm: ");
    EXPECT_ERROR(tape_sum(INDEX(1, 2), TAPE_ALL, false), TAPE_ERROR_DTYPE, "got i64");
    EXPECT_ERROR(tape_sum(TAPE_NONE, TAPE_ALL, false), TAPE_ERROR_HANDLE, "sum: ");
}
END_TEST

/* ---- extrema ----------------------------------------------------------------------------------------------------- */

START_TEST(test_ties_share)
{
    tape_tensor x = PARAM(TAPE_SHAPE(5), 1, 3, 3, -2, 3);
    EXPECT(gradient_of(tape_max(x, TAPE_ALL, false), x), 0, 1. / 3, 1. / 3, 0, 1. / 3);
    EXPECT(gradient_of(tape_amax(x, TAPE_ALL, true), x), 0, 1. / 3, 1. / 3, 0, 1. / 3);
    EXPECT(gradient_of(tape_min(x, TAPE_ALL, false), x), 0, 0, 0, 1, 0);
    x = PARAM(TAPE_SHAPE(2, 2), 4, 4, 5, 6);
    EXPECT(gradient_of(tape_amin(x, TAPE_AXES(1), false), x), 0.5, 0.5, 1, 0);
    x = PARAM(TAPE_SHAPE(3), -2, 1, 2);
    EXPECT(gradient_of(tape_norm(x, INF, TAPE_ALL, false), x), -0.5, 0, 0.5);
}
END_TEST

START_TEST(test_nan_and_infinity)
{
    tape_tensor x = PARAM(TAPE_SHAPE(2, 3), 1, NAN, 2, INF, -INF, INF);
    EXPECT(tape_max(x, TAPE_AXES(1), false), NAN, INF);
    EXPECT(tape_min(x, TAPE_AXES(1), false), NAN, -INF);
    EXPECT(gradient_of(tape_max(x, TAPE_AXES(1), false), x), 0, 1, 0, 0.5, 0, 0.5);
    EXPECT(tape_argmax(x, TAPE_AXES(1), false), 1, 0);
    EXPECT(tape_argmin(x, TAPE_AXES(1), false), 1, 1);
    EXPECT(tape_argmax(x, TAPE_ALL, false), 1);
    EXPECT(tape_sum(x, TAPE_AXES(1), false), NAN, NAN);
}
END_TEST

START_TEST(test_positions)
{
    tape_tensor x = PARAM(TAPE_SHAPE(2, 3), 5, 7, 7, 1, 0, 0);
    tape_tensor y = tape_argmax(x, TAPE_AXES(-1), true);
    EXPECT(y, 1, 0);
    ck_assert_int_eq(tape_dtype_of(y), TAPE_I64);
    ck_assert_int_eq(tape_rank(y), 2);
    EXPECT(tape_argmin(x, TAPE_AXES(1), false), 0, 1);
    EXPECT(tape_argmax(x, TAPE_AXES(0), false), 0, 0, 0);
    EXPECT(tape_argmin(x, TAPE_ALL, false), 4);
    ck_assert(!tape_requires_grad(y));
}
END_TEST

START_TEST(test_positions_of_integers)
{
    const int dtypes[] = {TAPE_I32, TAPE_I64, TAPE_U8};
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        tape_tensor x = CONSTANT((tape_dtype)dtypes[i], TAPE_SHAPE(2, 3), 5, 7, 7, 1, 0, 0);
        EXPECT(tape_argmax(x, TAPE_AXES(-1), true), 1, 0);
        EXPECT(tape_argmin(tape_transpose(x, 0, 1), TAPE_AXES(0), false), 0, 1);
        EXPECT(tape_argmax(x, TAPE_AXES(0), false), 0, 0, 0);
        EXPECT(tape_argmin(x, TAPE_ALL, false), 4);
    }
    tape_tensor x = tape_from(TAPE_I64, TAPE_SHAPE(2), (const int64_t[]){INT64_MAX - 1, INT64_MAX});
    EXPECT(tape_argmax(x, TAPE_ALL, false), 1); /* f64 has one number for both */
}
END_TEST

/* p = 0 counts; its derivative is 0, not absent. */
START_TEST(test_counting_norm)
{
    tape_tensor x = PARAM(TAPE_SHAPE(2, 3), 5, 0, -7, 0, NAN, 0);
    EXPECT(tape_norm_p(x, 0, TAPE_AXES(1), false), 2, 1);
    EXPECT(gradient_of(tape_norm_p(x, 0, TAPE_ALL, false), x), 0, 0, 0, 0, 0, 0);
}
END_TEST

/* ---- products ---------------------------------------------------------------------------------------------------- */

START_TEST(test_product_with_zeros)
{
    tape_tensor x = PARAM(TAPE_SHAPE(3, 3), 2, 3, 5, 2, 0, 5, 0, 0, 5);
    tape_tensor g = gradient_of(tape_prod(x, TAPE_AXES(1), false), x);
    EXPECT(g, 15, 10, 6, 0, 10, 0, 0, 0, 0);
    EXPECT(gradient_of(g, x), 8, 7, 5, 5, 7, 2, 5, 5, 0);
    EXPECT(gradient_of(tape_prod(x, TAPE_ALL, false), x), 0, 0, 0, 0, 0, 0, 0, 0, 0);
}
END_TEST

START_TEST(test_product_third_derivative)
{
    tape_tensor x = PARAM(TAPE_SHAPE(3), 2, 0, 5);
    tape_tensor first = gradient_of(tape_prod(x, TAPE_ALL, false), x);
    tape_tensor second = gradient_of(first, x);
    EXPECT(second, 5, 7, 2);
    EXPECT(gradient_of(second, x), 2, 2, 2);
}
END_TEST

/* ---- logsumexp --------------------------------------------------------------------------------------------------- */

START_TEST(test_logsumexp_far_out)
{
    tape_tensor x = PARAM(TAPE_SHAPE(5, 2), 1e4, 1e4, -1e4, -1e4, -INF, 3, -INF, -INF, 1e4, -1e4);
    tape_tensor y = tape_logsumexp(x, TAPE_AXES(1), false);
    EXPECT(y, 1e4 + log(2), -1e4 + log(2), 3, -INF, 1e4);
    EXPECT(gradient_of(y, x), 0.5, 0.5, 0.5, 0.5, 0, 1, 0, 0, 1, 0);
    EXPECT(tape_logsumexp(PARAM(TAPE_SHAPE(2), INF, 1), TAPE_ALL, false), INF);
}
END_TEST

/* ---- variance and norm ------------------------------------------------------------------------------------------- */

START_TEST(test_variance)
{
    tape_tensor x = PARAM(TAPE_SHAPE(4), 2, 4, 4, 6);
    EXPECT(tape_var(x, TAPE_ALL, 1, false), 8. / 3);
    EXPECT(tape_var(x, TAPE_ALL, 0, false), 2);
    EXPECT(tape_var(x, TAPE_ALL, 4, false), INF);
    EXPECT(tape_var(x, TAPE_ALL, INT_MAX, false), INF);
    EXPECT(tape_std(x, TAPE_ALL, -4, false), 1);
    EXPECT(tape_var(PARAM(TAPE_SHAPE(1), 7), TAPE_ALL, 1, false), NAN);
    x = PARAM(TAPE_SHAPE(3), 1e9 + 1, 1e9 + 2, 1e9 + 3);
    EXPECT(tape_var(x, TAPE_ALL, 1, false), 1);
}
END_TEST

START_TEST(test_deviation_of_equal_values)
{
    tape_tensor x = PARAM(TAPE_SHAPE(2, 3), 4, 4, 4, 1, 2, 3);
    tape_tensor y = tape_std(x, TAPE_AXES(1), 1, false), g = gradient_of(y, x);
    EXPECT(y, 0, 1);
    EXPECT(g, 0, 0, 0, -0.5, 0, 0.5);
    tape_tensor second = gradient_of(tape_slice(tape_reshape(g, TAPE_SHAPE(6)), 0, 0, 3, 1), x);
    EXPECT(second, 0, 0, 0, 0, 0, 0);
}
END_TEST

START_TEST(test_norm_at_zero)
{
    const double p[] = {1, 2, INF};
    for (int i = 0; i < 3; i++) {
        tape_tensor x = PARAM(TAPE_SHAPE(2, 2), 0, 0, 0, 3);
        tape_tensor y = tape_norm(x, p[i], TAPE_AXES(1), false), g = gradient_of(y, x);
        EXPECT(y, 0, 3);
        EXPECT(g, 0, 0, 0, 1);
        if (p[i] == 2)
            EXPECT(gradient_of(g, x), 0, 0, 1. / 3, 0);
        tape_reset();
    }
}
END_TEST

/* ---- sums -------------------------------------------------------------------------------------------------------- */

START_TEST(test_long_sums_keep_their_digits)
{
    int64_t n = 1 << 20;
    tape_tensor x = tape_full(TAPE_F32, TAPE_SHAPE(n), 0.1);
    ck_assert_double_eq_tol(tape_item(tape_sum(x, TAPE_ALL, false)), (double)0.1f * (double)n, 0.2);
    ck_assert_double_eq_tol(tape_item(tape_mean(x, TAPE_ALL, false)), (double)0.1f, 1e-7);
    ck_assert_double_eq_tol(tape_item(tape_var(x, TAPE_ALL, 1, false)), 0, 1e-12);
}
END_TEST

START_TEST(test_sum_to)
{
    tape_tensor x = PARAM(TAPE_SHAPE(2, 2, 3), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);
    tape_tensor same = tape__sum_to(x, TAPE_SHAPE(2, 2, 3));
    ck_assert(same.generation == x.generation && same.slot == x.slot && same.flags == x.flags);
    EXPECT(tape__sum_to(x, TAPE_SHAPE(3)), 22, 26, 30);
    EXPECT(tape__sum_to(x, TAPE_SHAPE(2, 1)), 30, 48);
    EXPECT(tape__sum_to(x, TAPE_SHAPE(2, 1, 3)), 5, 7, 9, 17, 19, 21);
    EXPECT(tape__sum_to(x, TAPE_SCALAR), 78);
    EXPECT(tape__sum_to(x, TAPE_SHAPE(1, 1)), 78);
    ck_assert_int_eq(tape_rank(tape__sum_to(x, TAPE_SHAPE(1, 1))), 2);
    EXPECT(tape__sum_to(empty(TAPE_SHAPE(0, 2)), TAPE_SHAPE(1, 2)), 0, 0);
}
END_TEST

static void one_thread(void)
{
    tape_threads(1);
}

START_TEST(test_same_bits_for_every_number_of_threads)
{
    enum { ROWS = 300, N = 700 };
    static double data[ROWS * N];
    for (int i = 0; i < ROWS * N; i++)
        data[i] = sin(i);
    tape_tensor x = tape_const(TAPE_F64, TAPE_SHAPE(ROWS, N), data);
    double sums[2][3];
    for (int k = 0; k < 2; k++) {
        ck_assert_int_eq(tape_threads(k ? 3 : 1), TAPE_OK);
        sums[k][0] = tape_item(tape_sum(x, TAPE_ALL, false));
        sums[k][1] = tape_item(tape_norm(tape_sum(x, TAPE_AXES(0), false), 2, TAPE_ALL, false));
        sums[k][2] = tape_item(tape_norm(tape_logsumexp(x, TAPE_AXES(1), false), 1, TAPE_ALL, false));
    }
    for (int i = 0; i < 3; i++)
        ck_assert_double_eq(sums[0][i], sums[1][i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reduction");
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, NULL, one_thread);
    tcase_add_test(all, test_of_nothing);
    tcase_add_test(all, test_of_an_empty_axis);
    tcase_add_test(all, test_gradient_of_nothing);
    tcase_add_test(all, test_of_a_scalar);
    tcase_add_test(all, test_wrong_axes);
    tcase_add_test(all, test_ties_share);
    tcase_add_test(all, test_nan_and_infinity);
    tcase_add_test(all, test_positions);
    tcase_add_test(all, test_positions_of_integers);
    tcase_add_test(all, test_counting_norm);
    tcase_add_test(all, test_product_with_zeros);
    tcase_add_test(all, test_product_third_derivative);
    tcase_add_test(all, test_logsumexp_far_out);
    tcase_add_test(all, test_variance);
    tcase_add_test(all, test_deviation_of_equal_values);
    tcase_add_test(all, test_norm_at_zero);
    tcase_add_test(all, test_long_sums_keep_their_digits);
    tcase_add_test(all, test_sum_to);
    tcase_add_test(all, test_same_bits_for_every_number_of_threads);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
