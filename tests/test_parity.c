/* The exercises of an introductory course on automatic differentiation: the ten expressions with their derivatives by
 * hand, logistic regression beside plain loops, and a line fitted one sample at a time. */
#include "expect.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

/* ---- ten expressions --------------------------------------------------------------------------------------------- */

static tape_tensor x1, x2, x3, x4;

static void setup(void)
{
    x1 = PARAM(TAPE_SHAPE(3), 1, 1, 1);
    x2 = PARAM(TAPE_SHAPE(3), 2, 2.5, 3);
    x3 = PARAM(TAPE_SHAPE(3), 3, 3.5, -4);
    x4 = PARAM(TAPE_SHAPE(3), 4, -4.5, 5);
}

static void teardown(void)
{
    ck_assert_msg(tape_last_status() == TAPE_OK, "%s", tape_message());
    tape_reset();
    tape_free(x1), tape_free(x2), tape_free(x3), tape_free(x4);
}

START_TEST(test_identity)
{
    tape_tensor y = tape_reshape(x2, TAPE_SHAPE(3));
    EXPECT(y, 2, 2.5, 3);
    EXPECT(gradient_of(y, x2), 1, 1, 1);
    EXPECT(gradient_of(x2, x2), 1, 1, 1);
}
END_TEST

START_TEST(test_add_by_constant)
{
    tape_tensor y = tape_scalar_add(5, x2);
    EXPECT(y, 7, 7.5, 8);
    EXPECT(gradient_of(y, x2), 1, 1, 1);
}
END_TEST

START_TEST(test_mul_by_constant)
{
    tape_tensor y = tape_scalar_mul(5, x2);
    EXPECT(y, 10, 12.5, 15);
    EXPECT(gradient_of(y, x2), 5, 5, 5);
}
END_TEST

START_TEST(test_add_two_variables)
{
    tape_tensor y = tape_add(x2, x3);
    EXPECT(y, 5, 6, -1);
    EXPECT(gradient_of(y, x2), 1, 1, 1);
    EXPECT(gradient_of(y, x3), 1, 1, 1);
}
END_TEST

START_TEST(test_mul_two_variables)
{
    tape_tensor y = tape_mul(x2, x3);
    EXPECT(y, 6, 8.75, -12);
    EXPECT(gradient_of(y, x2), 3, 3.5, -4);
    EXPECT(gradient_of(y, x3), 2, 2.5, 3);
}
END_TEST

/* x1 + x2 x3 x1 */
START_TEST(test_mixed_with_a_repeated_variable)
{
    tape_tensor y = tape_add(x1, tape_mul(tape_mul(x2, x3), x1));
    EXPECT(y, 7, 9.75, -11);
    EXPECT(gradient_of(y, x1), 7, 9.75, -11);
    EXPECT(gradient_of(y, x2), 3, 3.5, -4);
    EXPECT(gradient_of(y, x3), 2, 2.5, 3);
}
END_TEST

/* x1 + x2 x3 x4 */
START_TEST(test_mixed_with_four_variables)
{
    tape_tensor y = tape_add(x1, tape_mul(tape_mul(x2, x3), x4));
    EXPECT(y, 25, -38.375, -59);
    EXPECT(gradient_of(y, x1), 1, 1, 1);
    EXPECT(gradient_of(y, x2), 12, -15.75, -20);
    EXPECT(gradient_of(y, x3), 8, -11.25, 15);
    EXPECT(gradient_of(y, x4), 6, 8.75, -12);
}
END_TEST

/* z = x2 x2 + x2 + x3 + 3, y = z z + x3: dy/dx2 = 2z (2 x2 + 1), dy/dx3 = 2z + 1 */
START_TEST(test_mixed_with_a_shared_part)
{
    tape_tensor z = tape_add_scalar(tape_add(tape_add(tape_mul(x2, x2), x2), x3), 3);
    tape_tensor y = tape_add(tape_mul(z, z), x3);
    EXPECT(z, 12, 15.25, 11);
    EXPECT(y, 147, 236.0625, 117);
    EXPECT(gradient_of(y, x2), 120, 183, 154);
    EXPECT(gradient_of(y, x3), 25, 31.5, 23);
}
END_TEST

/* y = x2 x2 + x2 x3, and the derivatives of dy/dx2 = 2 x2 + x3 */
START_TEST(test_gradient_of_gradient)
{
    tape_tensor y = tape_add(tape_mul(x2, x2), tape_mul(x2, x3)), gx2 = gradient_of(y, x2);
    EXPECT(y, 10, 15, -3);
    EXPECT(gx2, 7, 8.5, 2);
    EXPECT(gradient_of(y, x3), 2, 2.5, 3);
    EXPECT(gradient_of(gx2, x2), 2, 2, 2);
    EXPECT(gradient_of(gx2, x3), 1, 1, 1);
}
END_TEST

START_TEST(test_matmul_two_variables)
{
    tape_tensor a = PARAM(TAPE_SHAPE(3, 2), 1, 2, 3, 4, 5, 6);
    tape_tensor b = PARAM(TAPE_SHAPE(2, 3), 7, 8, 9, 10, 11, 12);
    tape_tensor y = tape_matmul(a, b);
    EXPECT_AS(y, TAPE_SHAPE(3, 3), 27, 30, 33, 61, 68, 75, 95, 106, 117);
    EXPECT_AS(gradient_of(y, a), TAPE_SHAPE(3, 2), 24, 33, 24, 33, 24, 33);
    EXPECT_AS(gradient_of(y, b), TAPE_SHAPE(2, 3), 9, 9, 9, 12, 12, 12);
    tape_free(a), tape_free(b);
}
END_TEST

/* ---- logistic regression ----------------------------------------------------------------------------------------- */

enum { SAMPLES = 8, FEATURES = 2, STEPS = 200 };
static const double points[SAMPLES][FEATURES] = {{0.5, 1.2}, {1.5, -0.3}, {2.1, 0.4},   {-0.7, 2.2},
                                                 {-1, -0.8}, {0.2, -1.9}, {-2.2, -0.1}, {-0.4, -0.6}};
static const double classes[SAMPLES] = {1, 1, 1, 1, 0, 0, 0, 0};
static const double rate = 0.5;

/* Gradient descent on the mean cross entropy, in plain loops: its derivative is the mean of (p - class) x. */
static double fit_by_hand(double *w, double *b)
{
    double loss = 0;
    for (int step = 0; step < STEPS; step++) {
        double gw[FEATURES] = {0}, gb = 0;
        loss = 0;
        for (int i = 0; i < SAMPLES; i++) {
            double p = 1 / (1 + exp(-(w[0] * points[i][0] + w[1] * points[i][1] + *b)));
            loss -= (classes[i] > 0 ? log(p) : log(1 - p)) / SAMPLES;
            gb += (p - classes[i]) / SAMPLES;
            for (int k = 0; k < FEATURES; k++)
                gw[k] += (p - classes[i]) * points[i][k] / SAMPLES;
        }
        *b -= rate * gb;
        for (int k = 0; k < FEATURES; k++)
            w[k] -= rate * gw[k];
    }
    return loss;
}

static void descend(tape_tensor leaf)
{
    tape_assign(leaf, tape_sub(leaf, tape_mul_scalar(tape_gradient(leaf), rate)));
    tape_zero_grad(leaf);
}

START_TEST(test_logistic_regression)
{
    tape_tensor x = tape_const(TAPE_F64, TAPE_SHAPE(SAMPLES, FEATURES), points);
    tape_tensor target = tape_const(TAPE_F64, TAPE_SHAPE(SAMPLES), classes);
    tape_tensor w = PARAM(TAPE_SHAPE(FEATURES), 0, 0), b = PARAM(TAPE_SCALAR, 0);
    double loss = 0;
    for (int step = 0; step < STEPS; step++) {
        tape_tensor p = tape_sigmoid(tape_add(tape_mv(x, w), b));
        tape_tensor right = tape_mul(target, tape_log(p));
        tape_tensor wrong = tape_mul(tape_scalar_sub(1, target), tape_log(tape_scalar_sub(1, p)));
        tape_tensor y = tape_neg(tape_mean(tape_add(right, wrong), TAPE_ALL, false));
        loss = tape_item(y);
        ck_assert_msg(tape_backward(y) == TAPE_OK, "%s", tape_message());
        descend(w), descend(b);
        tape_reset();
    }
    double w_by_hand[FEATURES] = {0}, b_by_hand = 0, loss_by_hand = fit_by_hand(w_by_hand, &b_by_hand);
    ck_assert_double_eq_tol(loss, loss_by_hand, 1e-12);
    ck_assert_double_lt(loss, 0.05);
    EXPECT(w, w_by_hand[0], w_by_hand[1]);
    EXPECT(b, b_by_hand);
    tape_free(x), tape_free(target), tape_free(w), tape_free(b);
}
END_TEST

/* ---- linear regression ------------------------------------------------------------------------------------------- */

/* An epoch is one step on one sample, the five of them in turn; the published end of it has six digits. */
static void fit_line(tape_dtype dtype)
{
    tape_tensor w = tape_param(dtype, TAPE_SCALAR, NULL), b = tape_param(dtype, TAPE_SCALAR, NULL);
    for (int epoch = 0; epoch < 30; epoch++) {
        double x = epoch % 5 + 1;
        tape_tensor miss = tape_sub_scalar(tape_add(tape_mul_scalar(w, x), b), 10 * x);
        ck_assert_msg(tape_backward(tape_square(miss)) == TAPE_OK, "%s", tape_message());
        tape_assign(w, tape_sub(w, tape_mul_scalar(tape_gradient(w), 0.01)));
        tape_assign(b, tape_sub(b, tape_mul_scalar(tape_gradient(b), 0.01)));
        tape_zero_grad(w), tape_zero_grad(b);
        tape_reset();
    }
    double allowed = dtype == TAPE_F64 ? 5e-7 : 5e-6;
    ck_assert_double_eq_tol(tape_item(w), 9.393624, allowed);
    ck_assert_double_eq_tol(tape_item(b), 2.565736, allowed);
    tape_free(w), tape_free(b);
}

START_TEST(test_linear_regression)
{
    fit_line(TAPE_F64);
    fit_line(TAPE_F32);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("parity");
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, setup, teardown);
    tcase_add_test(all, test_identity);
    tcase_add_test(all, test_add_by_constant);
    tcase_add_test(all, test_mul_by_constant);
    tcase_add_test(all, test_add_two_variables);
    tcase_add_test(all, test_mul_two_variables);
    tcase_add_test(all, test_mixed_with_a_repeated_variable);
    tcase_add_test(all, test_mixed_with_four_variables);
    tcase_add_test(all, test_mixed_with_a_shared_part);
    tcase_add_test(all, test_gradient_of_gradient);
    tcase_add_test(all, test_matmul_two_variables);
    tcase_add_test(all, test_logistic_regression);
    tcase_add_test(all, test_linear_regression);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
