/* Elementwise ops where the table's samples do not go: second derivatives at ties and corners, NaN at corners, integers
 * beside numbers. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "support/expect.h"

#define INF INFINITY

static tape_tensor second(tape_tensor y, tape_tensor x)
{
    return gradient_of(gradient_of(y, x), x);
}

/* d^2/da^2 log(e^a + e^b) = s (1 - s) with s = sigmoid(a - b): 1/4 where a = b. */
START_TEST(test_second_order_at_a_tie)
{
    tape_tensor a = PARAM(TAPE_SHAPE(2), 1, -3), b = tape_from(TAPE_F64, TAPE_SHAPE(2), (const double[]){1, -3});
    EXPECT(gradient_of(tape_logaddexp(a, b), a), 0.5, 0.5);
    EXPECT(second(tape_logaddexp(a, b), a), 0.25, 0.25);
    EXPECT(second(tape_logaddexp(b, a), a), 0.25, 0.25);
    EXPECT(second(tape_smooth_max(a, b, 3), a), 0.75, 0.75);
    EXPECT(second(tape_smooth_max(b, a, 3), a), 0.75, 0.75);
    a = PARAM(TAPE_SHAPE(2), INF, -INF);
    EXPECT(gradient_of(tape_logaddexp(a, a), a), 1, 0);
}
END_TEST

/* At 0 the derivative of elu is alpha, the larger of its sides; its own derivative is that of least norm. */
START_TEST(test_second_order_at_a_corner)
{
    tape_tensor x = PARAM(TAPE_SHAPE(3), -1, 0, 1);
    EXPECT(gradient_of(tape_elu(x, 0.7), x), 0.7 * exp(-1), 0.7, 1);
    EXPECT(second(tape_elu(x, 0.7), x), 0.7 * exp(-1), 0, 0);
    const double scale = 1.0507009873554804934, alpha = 1.6732632423543772848;
    EXPECT(second(tape_selu(x), x), scale * alpha * exp(-1), 0, 0);
}
END_TEST

/* asin'' = x (1 - x^2)^(-3/2), atanh'' = 2x (1 - x^2)^-2. */
START_TEST(test_second_order_at_the_end)
{
    tape_tensor x = PARAM(TAPE_SHAPE(3), -1, 0.6, 1);
    EXPECT(gradient_of(tape_asin(x), x), INF, 1.25, INF);
    EXPECT(second(tape_asin(x), x), -INF, 0.6 / 0.512, INF);
    EXPECT(second(tape_acos(x), x), INF, -0.6 / 0.512, -INF);
    EXPECT(gradient_of(tape_atanh(x), x), INF, 1 / 0.64, INF);
    EXPECT(second(tape_atanh(x), x), -INF, 1.2 / 0.4096, INF);
}
END_TEST

START_TEST(test_corners_of_nan)
{
    tape_tensor x = PARAM(TAPE_SHAPE(1), NAN);
    EXPECT(gradient_of(tape_hardtanh(x, -1, 1), x), 0);
    EXPECT(gradient_of(tape_relu6(x), x), 0);
    EXPECT(gradient_of(tape_hardsigmoid(x), x), 0);
    EXPECT(gradient_of(tape_relu(x), x), 1);
    EXPECT(gradient_of(tape_clamp(x, -1, 1), x), NAN);
}
END_TEST

START_TEST(test_number_beside_smooth_max)
{
    tape_tensor x = PARAM(TAPE_SHAPE(2), 0.5, 2);
    EXPECT(tape_smooth_max_scalar(x, 0.5, 2), 0.5 + log(2) / 2, 0.5 * log(exp(1) + exp(4)));
    EXPECT(tape_scalar_smooth_max(0.5, x, 2), 0.5 + log(2) / 2, 0.5 * log(exp(1) + exp(4)));
    EXPECT(gradient_of(tape_smooth_max_scalar(x, 0.5, 2), x), 0.5, 1 / (1 + exp(-3)));
}
END_TEST

/* An integer tensor compares with the number itself, not with what the dtype makes of it. */
START_TEST(test_integers_beside_numbers)
{
    tape_tensor x = tape_from(TAPE_I32, TAPE_SHAPE(3), (const int32_t[]){1, 2, 3});
    EXPECT(tape_eq_scalar(x, 2), 0, 1, 0);
    EXPECT(tape_eq_scalar(x, 2.5), 0, 0, 0);
    EXPECT(tape_ne_scalar(x, 2.5), 1, 1, 1);
    EXPECT(tape_lt_scalar(x, 2.5), 1, 1, 0);
    EXPECT(tape_scalar_le(2.5, x), 0, 0, 1);
    EXPECT(tape_eq_scalar(x, NAN), 0, 0, 0);
    EXPECT(tape_scalar_ge(NAN, x), 0, 0, 0);
    EXPECT(tape_lt_scalar(x, 1e300), 1, 1, 1);
    tape_tensor mask = tape_from(TAPE_U8, TAPE_SHAPE(2), (const uint8_t[]){0, 255});
    EXPECT(tape_gt_scalar(mask, -1), 1, 1);
    EXPECT(tape_lt_scalar(mask, 256), 1, 1);
    tape_tensor large = tape_from(TAPE_I64, TAPE_SHAPE(2), (const int64_t[]){INT64_MAX, INT64_MIN});
    EXPECT(tape_gt_scalar(large, 0.5), 1, 0);
    EXPECT(tape_lt_scalar(large, -INF), 0, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("elementwise_edges");
    TCase *all = tcase_create("all");
    tcase_add_test(all, test_second_order_at_a_tie);
    tcase_add_test(all, test_second_order_at_a_corner);
    tcase_add_test(all, test_second_order_at_the_end);
    tcase_add_test(all, test_corners_of_nan);
    tcase_add_test(all, test_number_beside_smooth_max);
    tcase_add_test(all, test_integers_beside_numbers);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
