/* Ops that repeat those of an earlier tape: what they notice, and what is left where they fail. */
#include "steps.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static tape_tensor *const leaf = steps_leaf;

static tape_tensor first_layer(void)
{
    return tape_linear_activated(leaf[0], leaf[1], leaf[2], TAPE_ACTIVATION_RELU);
}

static tape_tensor two_layers(void)
{
    return tape_cross_entropy(tape_linear(first_layer(), leaf[1], leaf[2]), leaf[3], NULL);
}

/* The steps are warm: `meddle` comes in the middle of the next, after a layer that is a repeat. */
static void try_change(tape_tensor (*meddle)(tape_tensor inner), bool repeats_on)
{
    static struct gains expected, got;
    for (int own = 0; own < 2; own++) {
        struct gains *g = own ? &got : &expected;
        tape *fresh = own ? NULL : tape_create(NULL), *before = own ? NULL : tape_make_current(fresh);
        if (own)
            warm_up(two_layers);
        const int64_t ops = tape_stats().repeated_ops;
        const float first = tape_data_f32(leaf[2])[0];
        tape_tensor x = meddle(first_layer());
        gains_go_back(g, tape_cross_entropy(tape_linear(x, leaf[1], leaf[2]), leaf[3], NULL));
        gains_take(g, leaf, 3);
        ck_assert(!own || tape_stats().repeated_ops == ops + (repeats_on ? 3 : 1));
        tape_clear(), tape_reset();
        ((float *)tape_data_mut(leaf[2]))[0] = first;
        tape_set_requires_grad(leaf[2], true);
        if (!own)
            tape_make_current(before), tape_destroy(fresh);
    }
    ck_assert(gains_same(&expected, &got));
}

static tape_tensor leave_it(tape_tensor x)
{
    return x;
}

static tape_tensor write_it(tape_tensor x)
{
    ((float *)tape_data_mut(x))[2] = 7;
    return x;
}

static tape_tensor end_it(tape_tensor x)
{
    return tape_last(x);
}

static tape_tensor detach_it(tape_tensor x)
{
    return tape_detach(x);
}

static tape_tensor pause_and_go_on(tape_tensor x)
{
    tape_pause();
    tape_linear(x, leaf[1], leaf[2]);
    tape_resume();
    return x;
}

static tape_tensor fail_and_go_on(tape_tensor x)
{
    tape_linear(x, leaf[2], leaf[2]);
    tape_clear();
    return x;
}

static tape_tensor freeze_a_leaf(tape_tensor x)
{
    tape_set_requires_grad(leaf[2], false);
    return x;
}

static tape_tensor write_a_leaf(tape_tensor x)
{
    ((float *)tape_data_mut(leaf[2]))[0] += 1;
    return x;
}

static tape_tensor go_back_first(tape_tensor x)
{
    tape_tensor total = TOTAL(x), g;
    ck_assert_int_eq(tape_grad(&total, 1, NULL, &leaf[0], 1, NULL, &g), TAPE_OK);
    return x;
}

static tape_tensor rewind_and_go_on(tape_tensor x)
{
    tape_position mark = tape_mark();
    tape_exp(x);
    tape_rewind(mark);
    tape_mark_drop(mark);
    return x;
}

START_TEST(a_change_amid_a_repeat)
{
    steps_make_leaves();
    try_change(leave_it, true);
    try_change(write_it, false);
    try_change(end_it, false);
    try_change(detach_it, false);
    try_change(pause_and_go_on, false);
    try_change(fail_and_go_on, false);
    try_change(go_back_first, false);
    try_change(rewind_and_go_on, true);
    try_change(write_a_leaf, true);
    try_change(freeze_a_leaf, false);
    steps_free_leaves();
}
END_TEST

/* A repeated op that fails says what an ordinary one says and leaves the tape as it was. */
START_TEST(a_failure_in_a_repeated_op)
{
    steps_make_leaves();
    warm_up(two_layers);
    ((int64_t *)tape_data_mut(leaf[3]))[1] = 99;
    tape_tensor x = tape_linear(first_layer(), leaf[1], leaf[2]);
    const tape_statistics before = tape_stats();
    ck_assert(tape_is_null(tape_cross_entropy(x, leaf[3], NULL)));
    ck_assert_int_eq(tape_last_status(), TAPE_ERROR_INDEX);
    ck_assert_str_eq(tape_message(), "cross_entropy: target 99 at position 1 is not one of the 4 classes");
    ck_assert_int_eq(tape_stats().records, before.records);
    ck_assert_uint_eq(tape_stats().bytes_now, before.bytes_now);
    tape_clear();
    ((int64_t *)tape_data_mut(leaf[3]))[1] = 0;
    ck_assert_int_eq(tape_backward(tape_cross_entropy(x, leaf[3], NULL)), TAPE_OK);
    for (int k = 0; k < 3; k++)
        tape_zero_grad(leaf[k]);
    tape_reset();
    steps_free_leaves();
}
END_TEST

/* Another leaf of the same shape, and constants that are made anew at each step. */
START_TEST(other_operands)
{
    static struct gains expected, got;
    steps_make_leaves();
    for (int n = 0; n < 2 * WARM; n++) {
        const float given[8] = {(float)n, 1, -2, 3, 0.5f, (float)-n, 1, 2};
        tape *fresh = tape_create(NULL), *own = tape_make_current(fresh);
        const bool other = n % 5 == 4;
        const int64_t before = tape_stats().repeated_ops;
        for (int k = 0; k < 2; k++) {
            spoil_memory();
            tape_tensor x = tape_from(TAPE_F32, TAPE_SHAPE(2, 4), given);
            x = tape_linear_activated(x, leaf[other], leaf[2], TAPE_ACTIVATION_RELU);
            gains_go_back(k ? &got : &expected, TOTAL(tape_square(tape_linear(x, leaf[1], leaf[2]))));
            gains_take(k ? &got : &expected, leaf, 3);
            tape_reset();
            tape_make_current(own);
        }
        tape_destroy(fresh);
        ck_assert(gains_same(&expected, &got));
        ck_assert_int_ge(tape_stats().repeated_ops, before);
    }
    ck_assert_int_gt(tape_stats().repeated_ops, 0);
    steps_free_leaves();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("repeated_ops");
    TCase *all = tcase_create("all");
    tcase_add_test(all, a_change_amid_a_repeat);
    tcase_add_test(all, a_failure_in_a_repeated_op);
    tcase_add_test(all, other_operands);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
