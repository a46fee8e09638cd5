/* Connectionist temporal classification where the samples do not go: lengths at their limits, certainty, far logits,
   layouts of the targets, wrong arguments. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "support/expect.h"

/* [steps, classes] of equal probabilities: 3 classes unless the test says otherwise. */
static tape_tensor even(int64_t steps)
{
    return tape_full(TAPE_F64, TAPE_SHAPE(steps, 3), -log(3));
}

/* By a plain sweep, which goes another way than gradient_of() does. */
static tape_tensor plain_gradient(tape_tensor y, tape_tensor x)
{
    tape_zero_grad(x);
    ck_assert_int_eq(tape_backward_with(y, tape_ones_like(y)), TAPE_OK);
    return tape_gradient(x);
}

START_TEST(test_by_hand)
{
    /* One label over two steps: "a a", "a -", "- a"; the same label twice over three: "a - a" alone. */
    EXPECT(tape_ctc_loss(even(2), INDEX(1), INDEX(2), INDEX(1), NULL), log(3));
    EXPECT(tape_ctc_loss(even(3), INDEX(1, 1), INDEX(3), INDEX(2), NULL), 3 * log(3) / 2);
    EXPECT(tape_ctc_loss(even(2), INDEX(1, 2), INDEX(2), INDEX(2), NULL), 2 * log(3) / 2);
    /* Nothing but blanks; no steps at all. */
    EXPECT(tape_ctc_loss(even(4), INDEX(1), INDEX(4), INDEX(0), NULL), 4 * log(3));
    EXPECT(tape_ctc_loss(even(4), INDEX(1), INDEX(0), INDEX(0), NULL), 0);
    EXPECT(tape_ctc_loss(even(4), INDEX(1), INDEX(0), INDEX(1), NULL), INFINITY);
    EXPECT(tape_ctc_loss(tape_zeros(TAPE_F64, TAPE_SHAPE(0, 3)), INDEX(1), INDEX(0), INDEX(0), NULL), 0);
}
END_TEST

START_TEST(test_infinite)
{
    tape_tensor x = PARAM(TAPE_SHAPE(1, 2, 3), 0, 1, 2, 0, 1, 2), log_p = tape_log_softmax(x, -1);
    tape_tensor targets = tape_from(TAPE_I32, TAPE_SHAPE(2, 2), (const int32_t[]){1, 1, 2, 0});
    tape_ctc_options options = {.reduction = TAPE_REDUCE_NONE};
    double p[3], sum = 1 + exp(1) + exp(2);
    for (int i = 0; i < 3; i++)
        p[i] = exp(i) / sum;
    EXPECT(tape_ctc_loss(log_p, targets, INDEX(1, 1), INDEX(2, 1), &options), INFINITY, -log(p[2]));
    tape_tensor y = tape_ctc_loss(log_p, targets, INDEX(1, 1), INDEX(2, 1), &options);
    EXPECT(gradient_of(y, x), NAN, NAN, NAN, p[0], p[1], p[2] - 1);
    EXPECT(plain_gradient(y, x), NAN, NAN, NAN, p[0], p[1], p[2] - 1);
    options.zero_infinity = true;
    EXPECT(tape_ctc_loss(log_p, targets, INDEX(1, 1), INDEX(2, 1), &options), 0, -log(p[2]));
    y = tape_ctc_loss(log_p, targets, INDEX(1, 1), INDEX(2, 1), &options);
    EXPECT(gradient_of(y, x), 0, 0, 0, p[0], p[1], p[2] - 1);
    EXPECT(plain_gradient(y, x), 0, 0, 0, p[0], p[1], p[2] - 1);
}
END_TEST

/* Classes of probability 0 take no part; the one way that is left is certain. */
START_TEST(test_certain)
{
    double none = -INFINITY;
    tape_tensor x = PARAM(TAPE_SHAPE(3, 3), none, 0, none, 0, none, none, none, 0, none);
    EXPECT(tape_ctc_loss(x, INDEX(1, 1), INDEX(3), INDEX(2), NULL), 0);
    EXPECT(gradient_of(tape_ctc_loss(x, INDEX(1, 1), INDEX(3), INDEX(2), NULL), x), 0, 0, 0, 0, 0, 0, 0, 0, 0);
    EXPECT(plain_gradient(tape_ctc_loss(x, INDEX(1, 1), INDEX(3), INDEX(2), NULL), x), 0, 0, 0, 0, 0, 0, 0, 0, 0);
    x = PARAM(TAPE_SHAPE(2, 3), 1e4, -1e4, 0, 1e4, -1e4, 0);
    EXPECT(tape_ctc_loss(tape_log_softmax(x, -1), INDEX(1), INDEX(2), INDEX(1), NULL), 2e4 - log(2));
    EXPECT(gradient_of(tape_ctc_loss(tape_log_softmax(x, -1), INDEX(1), INDEX(2), INDEX(1), NULL), x), 0.5, -0.5, 0,
           0.5, -0.5, 0);
}
END_TEST

START_TEST(test_layouts)
{
    tape_tensor x = tape_log_softmax(tape_rand_normal(TAPE_F64, TAPE_SHAPE(6, 2, 4), 0, 1), -1);
    tape_tensor rows = tape_from(TAPE_I64, TAPE_SHAPE(2, 3), (const int64_t[]){1, 2, 3, 2, 77, -5});
    tape_tensor behind = tape_from(TAPE_I32, TAPE_SHAPE(4), (const int32_t[]){1, 2, 3, 2});
    double expected = tape_item(tape_ctc_loss(x, rows, INDEX(6, 4), INDEX(3, 1), NULL));
    EXPECT(tape_ctc_loss(x, behind, INDEX(6, 4), INDEX(3, 1), NULL), expected);
    tape_tensor second = tape_select(x, 1, 1), first = tape_select(x, 1, 0);
    double a = tape_item(tape_ctc_loss(first, tape_narrow(behind, 0, 0, 3), INDEX(6), INDEX(3), NULL));
    double b = tape_item(tape_ctc_loss(second, INDEX(2), INDEX(4), INDEX(1), NULL));
    ck_assert_double_eq_tol(expected, (a + b) / 2, 1e-14);
    tape_tensor nobody = tape_zeros(TAPE_F64, TAPE_SHAPE(4, 0, 3)), nothing = tape_from(TAPE_I64, TAPE_SHAPE(0), NULL);
    tape_ctc_options options = {.reduction = TAPE_REDUCE_SUM};
    EXPECT(tape_ctc_loss(nobody, nothing, nothing, nothing, NULL), NAN);
    EXPECT(tape_ctc_loss(nobody, nothing, nothing, nothing, &options), 0);
}
END_TEST

START_TEST(test_wrong_arguments)
{
    tape_tensor x = even(3), y = INDEX(1);
    tape_ctc_options options = {.blank = 3};
    EXPECT_ERROR(tape_ctc_loss(x, y, y, y, &options), TAPE_ERROR_ARGUMENT, "ctc_loss: blank 3");
    options.blank = INT64_MIN;
    EXPECT_ERROR(tape_ctc_loss(x, y, y, y, &options), TAPE_ERROR_ARGUMENT, "ctc_loss: blank");
    options = (tape_ctc_options){.reduction = (tape_reduction)9};
    EXPECT_ERROR(tape_ctc_loss(x, y, y, y, &options), TAPE_ERROR_ARGUMENT, "ctc_loss: reduction 9");
    EXPECT_ERROR(tape_ctc_loss(x, y, INDEX(4), y, NULL), TAPE_ERROR_ARGUMENT, "4 steps of 3");
    EXPECT_ERROR(tape_ctc_loss(x, y, INDEX(-1), y, NULL), TAPE_ERROR_ARGUMENT, "-1 steps");
    EXPECT_ERROR(tape_ctc_loss(x, y, y, INDEX(2), NULL), TAPE_ERROR_ARGUMENT, "2 labels");
    EXPECT_ERROR(tape_ctc_loss(x, y, y, INDEX(INT64_MIN), NULL), TAPE_ERROR_ARGUMENT, "ctc_loss: ");
    EXPECT_ERROR(tape_ctc_loss(x, INDEX(3), y, y, NULL), TAPE_ERROR_INDEX, "label 3 at place 0");
    EXPECT_ERROR(tape_ctc_loss(x, y, INDEX(1, 1), y, NULL), TAPE_ERROR_SHAPE, "expects 1 lengths");
    EXPECT_ERROR(tape_ctc_loss(y, y, y, y, NULL), TAPE_ERROR_DTYPE, "ctc_loss: ");
    EXPECT_ERROR(tape_ctc_loss(tape_flatten(x, 0, -1), y, y, y, NULL), TAPE_ERROR_SHAPE, "ctc_loss: ");
    EXPECT_ERROR(tape_ctc_loss(x, x, y, y, NULL), TAPE_ERROR_DTYPE, "targets as i32 or i64, got f64");
    EXPECT_ERROR(tape_ctc_loss(x, tape_reshape(y, TAPE_SHAPE(1, 1)), y, y, NULL), TAPE_ERROR_SHAPE,
                 "targets [1, longest]");
    EXPECT_ERROR(tape_ctc_loss(x, y, TAPE_NULL, y, NULL), TAPE_ERROR_HANDLE, "ctc_loss: ");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ctc");
    TCase *all = tcase_create("all");
    tcase_add_test(all, test_by_hand);
    tcase_add_test(all, test_infinite);
    tcase_add_test(all, test_certain);
    tcase_add_test(all, test_layouts);
    tcase_add_test(all, test_wrong_arguments);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
