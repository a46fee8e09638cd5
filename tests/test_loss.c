/* Losses where the samples do not go: kinks, ignored and wrong classes, far logits, wrong arguments. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "support/expect.h"

#define INF INFINITY
#define VECTOR(...)                                                                                                    \
    tape_from(TAPE_F64, TAPE_SHAPE((int64_t)(sizeof((double[]){__VA_ARGS__}) / sizeof(double))),                       \
              (const double[]){__VA_ARGS__})

/* ---- losses of elements ------------------------------------------------------------------------------------------ */

START_TEST(test_kinks)
{
    tape_tensor x = PARAM(TAPE_SHAPE(5), 0, 1, -1, 3, -3), zero = VECTOR(0, 0, 0, 0, 0);
    EXPECT(gradient_of(tape_l1(x, zero, TAPE_REDUCE_SUM), x), 0, 1, -1, 1, -1);
    EXPECT(gradient_of(tape_huber(x, zero, 1, TAPE_REDUCE_SUM), x), 0, 1, -1, 1, -1);
    EXPECT(gradient_of(tape_smooth_l1(x, zero, 1, TAPE_REDUCE_SUM), x), 0, 1, -1, 1, -1);
    EXPECT(gradient_of(tape_smooth_l1(x, zero, 0, TAPE_REDUCE_SUM), x), 0, 1, -1, 1, -1);
    EXPECT(tape_huber(x, zero, 2, TAPE_REDUCE_NONE), 0, 0.5, 0.5, 4, 4);
    EXPECT(tape_smooth_l1(x, zero, 2, TAPE_REDUCE_NONE), 0, 0.25, 0.25, 2, 2);
}
END_TEST

START_TEST(test_reductions)
{
    tape_tensor x = PARAM(TAPE_SHAPE(2, 2), 1, 2, 3, 4), target = VECTOR(0, 1);
    EXPECT(tape_mse(x, target, TAPE_REDUCE_MEAN), 5);
    EXPECT(tape_mse(x, target, TAPE_REDUCE_SUM), 20);
    EXPECT(tape_mse(x, target, TAPE_REDUCE_NONE), 1, 1, 9, 9);
    tape_tensor nothing = tape_param(TAPE_F64, TAPE_SHAPE(0, 2), NULL);
    EXPECT(tape_mse(nothing, target, TAPE_REDUCE_MEAN), NAN);
    EXPECT(tape_mse(nothing, target, TAPE_REDUCE_SUM), 0);
    EXPECT_ERROR(tape_mse(x, target, (tape_reduction)3), TAPE_ERROR_ARGUMENT, "mse: reduction 3");
    EXPECT_ERROR(tape_l1(x, VECTOR(1, 2, 3), TAPE_REDUCE_MEAN), TAPE_ERROR_SHAPE, "l1: ");
}
END_TEST

START_TEST(test_wrong_numbers)
{
    tape_tensor x = PARAM(TAPE_SHAPE(2), 1, 2);
    EXPECT_ERROR(tape_huber(x, x, 0, TAPE_REDUCE_MEAN), TAPE_ERROR_ARGUMENT, "huber: delta must be positive, got 0");
    EXPECT_ERROR(tape_huber(x, x, NAN, TAPE_REDUCE_MEAN), TAPE_ERROR_ARGUMENT, "huber: ");
    EXPECT_ERROR(tape_smooth_l1(x, x, -1, TAPE_REDUCE_MEAN), TAPE_ERROR_ARGUMENT, "smooth_l1: ");
    tape_cross_entropy_options options = {.label_smoothing = 1.5};
    EXPECT_ERROR(tape_cross_entropy(x, x, &options), TAPE_ERROR_ARGUMENT, "cross_entropy: label_smoothing");
    tape_bce_options positive = {.pos_weight = &x};
    EXPECT_ERROR(tape_bce(x, x, &positive), TAPE_ERROR_ARGUMENT, "bce: takes no pos_weight");
}
END_TEST

START_TEST(test_binary)
{
    tape_tensor x = PARAM(TAPE_SHAPE(4), 0, 1, 0, 1), target = VECTOR(0, 1, 1, 0);
    tape_bce_options none = {.reduction = TAPE_REDUCE_NONE};
    EXPECT(tape_bce(x, target, &none), 0, 0, 100, 100);
    EXPECT(gradient_of(tape_bce(x, target, &none), x), 0, 0, -1 / (double)1e-12f, 1 / (double)1e-12f);
    x = PARAM(TAPE_SHAPE(4), 1e4, -1e4, -1e4, 1e4);
    target = VECTOR(1, 0, 1, 0);
    EXPECT(tape_bce_with_logits(x, target, &none), 0, 0, 1e4, 1e4);
    EXPECT(gradient_of(tape_bce_with_logits(x, target, &none), x), 0, 0, -1, 1);
    tape_tensor three = VECTOR(3);
    none.pos_weight = &three;
    EXPECT(tape_bce_with_logits(x, target, &none), 0, 0, 3e4, 1e4);
    EXPECT(gradient_of(tape_bce_with_logits(x, target, &none), x), 0, 0, -3, 1);
}
END_TEST

START_TEST(test_divergence_of_zero)
{
    tape_tensor x = PARAM(TAPE_SHAPE(2), -INF, -1), target = VECTOR(0, 1);
    EXPECT(tape_kl_div(x, target, false, TAPE_REDUCE_NONE), 0, 1);
    EXPECT(gradient_of(tape_kl_div(x, target, false, TAPE_REDUCE_NONE), x), 0, -1);
}
END_TEST

/* ---- classes ----------------------------------------------------------------------------------------------------- */

START_TEST(test_far_logits)
{
    tape_tensor x = PARAM(TAPE_SHAPE(3, 2), 1e4, -1e4, -1e4, 1e4, -INF, 0);
    tape_cross_entropy_options none = {.reduction = TAPE_REDUCE_NONE};
    tape_tensor y = tape_cross_entropy(x, INDEX(0, 0, 1), &none);
    EXPECT(y, 0, 2e4, 0);
    EXPECT(gradient_of(y, x), 0, 0, -1, 1, 0, 0);
    tape_tensor sure = tape_from(TAPE_F64, TAPE_SHAPE(3, 2), (const double[]){1, 0, 1, 0, 0, 1});
    y = tape_cross_entropy(x, sure, &none);
    EXPECT(y, 0, 2e4, 0);
    EXPECT(gradient_of(y, x), 0, 0, -1, 1, 0, 0);
}
END_TEST

START_TEST(test_ignored_classes)
{
    tape_tensor x = PARAM(TAPE_SHAPE(3, 2), 0, 0, 1, 5, 0, 0);
    EXPECT(tape_cross_entropy(x, INDEX(0, -100, 1), NULL), log(2));
    EXPECT(gradient_of(tape_cross_entropy(x, INDEX(0, -100, 1), NULL), x), -0.25, 0.25, 0, 0, 0.25, -0.25);
    EXPECT(tape_cross_entropy(x, INDEX(-100, -100, -100), NULL), NAN);
    tape_cross_entropy_options options = {.has_ignore_index = true, .ignore_index = 1, .reduction = TAPE_REDUCE_NONE};
    EXPECT(tape_cross_entropy(x, INDEX(0, 1, 1), &options), log(2), 0, 0);
    EXPECT_ERROR(tape_cross_entropy(x, INDEX(0, -100, 1), &options), TAPE_ERROR_INDEX, "target -100 at position 1");
    options.reduction = TAPE_REDUCE_SUM;
    EXPECT(tape_cross_entropy(x, INDEX(1, 1, 1), &options), 0);
    tape_nll_options nll = {.has_ignore_index = true, .ignore_index = 0};
    EXPECT(tape_nll(x, INDEX(0, 1, 0), &nll), -5);
}
END_TEST

START_TEST(test_vector_of_logits)
{
    tape_tensor x = PARAM(TAPE_SHAPE(3), 0, 0, 0);
    tape_tensor class = tape_full(TAPE_I32, TAPE_SCALAR, 2);
    EXPECT(tape_cross_entropy(x, class, NULL), log(3));
    EXPECT(gradient_of(tape_cross_entropy(x, class, NULL), x), 1. / 3, 1. / 3, -2. / 3);
    EXPECT(tape_nll(x, class, NULL), 0);
    EXPECT(gradient_of(tape_nll(x, class, NULL), x), 0, 0, -1);
    tape_tensor nothing = tape_param(TAPE_F64, TAPE_SHAPE(0, 3), NULL);
    tape_tensor none = tape_from(TAPE_I64, TAPE_SHAPE(0), NULL);
    EXPECT(tape_cross_entropy(nothing, none, NULL), NAN);
    ck_assert_int_eq(tape_numel(gradient_of(tape_cross_entropy(nothing, none, NULL), nothing)), 0);
}
END_TEST

START_TEST(test_wrong_classes)
{
    tape_tensor x = PARAM(TAPE_SHAPE(2, 3), 1, 2, 3, 4, 5, 6), weight = VECTOR(1, 2);
    EXPECT_ERROR(tape_cross_entropy(x, INDEX(0, 3), NULL), TAPE_ERROR_INDEX,
                 "cross_entropy: target 3 at position 1 is not one of the 3 classes");
    EXPECT_ERROR(tape_nll(x, INDEX(-1, 0), NULL), TAPE_ERROR_INDEX, "nll: target -1 at position 0");
    EXPECT_ERROR(tape_cross_entropy(x, INDEX(0, 1, 2), NULL), TAPE_ERROR_SHAPE,
                 "expects a target of shape [2] for x of shape [2, 3], got [3]");
    EXPECT_ERROR(tape_cross_entropy(x, VECTOR(1, 2), NULL), TAPE_ERROR_SHAPE, "x's shape [2, 3]");
    EXPECT_ERROR(tape_cross_entropy(x, tape_zeros(TAPE_U8, TAPE_SHAPE(2)), NULL), TAPE_ERROR_DTYPE, "got u8");
    EXPECT_ERROR(tape_cross_entropy(PARAM(TAPE_SCALAR, 1), tape_full(TAPE_I64, TAPE_SCALAR, 0), NULL), TAPE_ERROR_SHAPE,
                 "an axis of classes");
    tape_cross_entropy_options options = {.weight = &weight};
    EXPECT_ERROR(tape_cross_entropy(x, INDEX(0, 1), &options), TAPE_ERROR_SHAPE, "a weight of shape [3], got [2]");
    weight = tape_ones(TAPE_F32, TAPE_SHAPE(3));
    EXPECT_ERROR(tape_cross_entropy(x, INDEX(0, 1), &options), TAPE_ERROR_DTYPE, "a weight of f64, got f32");
    options = (tape_cross_entropy_options){.has_ignore_index = true};
    EXPECT_ERROR(tape_cross_entropy(x, x, &options), TAPE_ERROR_ARGUMENT, "no ignore_index");
    EXPECT_ERROR(tape_nll(x, x, NULL), TAPE_ERROR_DTYPE, "nll: expects classes as i32 or i64");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("loss");
    TCase *all = tcase_create("all");
    tcase_add_test(all, test_kinks);
    tcase_add_test(all, test_reductions);
    tcase_add_test(all, test_wrong_numbers);
    tcase_add_test(all, test_binary);
    tcase_add_test(all, test_divergence_of_zero);
    tcase_add_test(all, test_far_logits);
    tcase_add_test(all, test_ignored_classes);
    tcase_add_test(all, test_vector_of_logits);
    tcase_add_test(all, test_wrong_classes);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
