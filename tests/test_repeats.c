/* Sweeps that repeat an earlier one: the bits of a tape that has no earlier one, and no repeat where anything differs.
 */
#include "steps.h"
#include "table.h"
#include "tape/replay.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static tape_tensor *const leaf = steps_leaf;

/* ---- every op ---------------------------------------------------------------------------------------------------- */

static void change(const struct inputs *in, uint64_t seed)
{
    for (int i = 0; i < in->sample->n_in; i++) {
        const struct sample_input *input = &in->sample->in[i];
        for (int64_t k = 0; input->kind == SAMPLE_FLOAT && k < in->numel[i]; k++) {
            const double value = draw(&seed, input->low, input->high);
            if (in->dtype == TAPE_F64)
                ((double *)tape_data_mut(in->x[i]))[k] = value;
            else
                ((float *)tape_data_mut(in->x[i]))[k] = (float)value;
        }
    }
}

static void step_sample(struct gains *g, const struct inputs *in, uint64_t seed)
{
    spoil_memory();
    change(in, seed);
    tape_seed(seed);
    tape_tensor y = in->sample->run(in->x);
    gains_go_back(g, tape_sum(tape_mul(y, tape_cos(y)), TAPE_ALL, false));
    gains_take(g, in->floats, in->n_floats);
    tape_reset();
}

/* How many of several steps were repeats, and the ops of the last one. */
static tape_statistics try_sample(const struct sample *sample, tape_dtype dtype)
{
    static struct gains expected, got;
    struct inputs in;
    inputs_make(&in, sample, dtype, 3);
    tape *fresh = tape_create(NULL), *own = tape_make_current(fresh);
    step_sample(&expected, &in, 19);
    tape_make_current(own);
    tape_destroy(fresh);
    const int64_t before = tape_stats().repeated_sweeps;
    for (uint64_t seed = 20 - WARM; seed < 19; seed++)
        step_sample(&got, &in, seed);
    const int64_t ops = tape_stats().repeated_ops;
    step_sample(&got, &in, 19);
    if (!gains_same(&expected, &got))
        complain("%s (%s): another gradient where the step was a repeat", sample->op, sample->label);
    inputs_free(&in);
    return (tape_statistics){.repeated_sweeps = tape_stats().repeated_sweeps - before,
                             .repeated_ops = tape_stats().repeated_ops - ops};
}

static void try_samples(tape_dtype dtype)
{
    const struct sample *sample;
    int repeats = 0, all = 0;
    int64_t ops = 0;
    for (int i = 0; (sample = sample_at(i)); i++) {
        if (tape__ops[op_named(sample->op)].flags & TAPE__NO_GRADIENT || sample->not_differentiable)
            continue;
        const tape_statistics repeated = try_sample(sample, dtype);
        repeats += repeated.repeated_sweeps > 0;
        ops += repeated.repeated_ops;
        all++;
    }
    settle();
    ck_assert_int_gt(repeats, all / 3); /* the elementwise ones alone */
    ck_assert_int_gt(ops, 0);
}

START_TEST(every_op)
{
    try_samples(TAPE_F64);
    try_samples(TAPE_F32);
}
END_TEST

/* ---- what makes a difference ------------------------------------------------------------------------------------- */

#define PROGRAM(name, expression)                                                                                      \
    static tape_tensor name(void)                                                                                      \
    {                                                                                                                  \
        const tape_tensor a = leaf[0], b = leaf[1], c = leaf[2], t = leaf[3];                                          \
        (void)a, (void)b, (void)c, (void)t;                                                                            \
        return expression;                                                                                             \
    }

PROGRAM(first_rows, TOTAL(tape_square(tape_narrow(a, 0, 0, 2))))
PROGRAM(last_rows, TOTAL(tape_square(tape_narrow(a, 0, 2, 2))))
PROGRAM(columns, TOTAL(tape_square(tape_narrow(a, 1, 1, 2))))
PROGRAM(product, TOTAL(tape_square(tape_mul(a, b))))
PROGRAM(turned_product, TOTAL(tape_square(tape_mul(b, a))))
PROGRAM(one_square, TOTAL(tape_square(tape_mul(a, a))))
PROGRAM(quotient, TOTAL(tape_square(tape_div(a, b))))
PROGRAM(doubled, TOTAL(tape_square(tape_mul_scalar(a, 2))))
PROGRAM(tripled, TOTAL(tape_square(tape_mul_scalar(a, 3))))
PROGRAM(other_tripled, TOTAL(tape_square(tape_mul_scalar(b, 3))))
PROGRAM(relu_layer, TOTAL(tape_square(tape_linear_activated(a, b, c, TAPE_ACTIVATION_RELU))))
PROGRAM(tanh_layer, TOTAL(tape_square(tape_linear_activated(a, b, c, TAPE_ACTIVATION_TANH))))
PROGRAM(turned_layer, TOTAL(tape_square(tape_linear_activated(b, a, c, TAPE_ACTIVATION_RELU))))
PROGRAM(by_rows, TOTAL(tape_square(tape_softmax(a, 1))))
PROGRAM(by_columns, TOTAL(tape_square(tape_softmax(a, 0))))
PROGRAM(mean_of_all, tape_square(tape_mean(a, TAPE_ALL, false)))
PROGRAM(sum_of_all, tape_square(tape_sum(a, TAPE_ALL, false)))
PROGRAM(two_layers,
        tape_cross_entropy(tape_linear(tape_linear_activated(a, b, c, TAPE_ACTIVATION_RELU), b, c), t, NULL))
PROGRAM(other_layers,
        tape_cross_entropy(tape_linear(tape_linear_activated(b, a, c, TAPE_ACTIVATION_RELU), b, c), t, NULL))
PROGRAM(fewer_layers, tape_cross_entropy(tape_linear_activated(a, b, c, TAPE_ACTIVATION_RELU), t, NULL))
PROGRAM(bare_layers, tape_cross_entropy(tape_linear(tape_linear(a, b, c), b, TAPE_NONE), t, NULL))
PROGRAM(losses, tape_square(tape_cross_entropy(a, t, NULL)))
PROGRAM(smooth_losses, tape_square(tape_cross_entropy(a, t, &(tape_cross_entropy_options){.label_smoothing = 0.1})))
PROGRAM(stretched, TOTAL(tape_square(tape_mul(a, c))))
PROGRAM(scalars, tape_sub(tape_mul(TOTAL(a), TOTAL(b)), tape_add(TOTAL(c), TOTAL(a))))
PROGRAM(turned_scalars, tape_sub(tape_add(TOTAL(c), TOTAL(a)), tape_mul(TOTAL(a), TOTAL(b))))

static tape_tensor (*const programs[])(void) = {
    first_rows,     last_rows,  columns,      by_rows,      by_columns,    product,    turned_product,
    one_square,     quotient,   doubled,      tripled,      losses,        tanh_layer, mean_of_all,
    other_tripled,  relu_layer, sum_of_all,   turned_layer, smooth_losses, scalars,    stretched,
    turned_scalars, two_layers, other_layers, fewer_layers, bare_layers};
enum { PROGRAMS = sizeof programs / sizeof *programs };

START_TEST(another_program)
{
    static struct gains expected, got;
    steps_make_leaves();
    for (int i = 0; i < PROGRAMS; i++)
        for (int k = 0; k < PROGRAMS; k++) {
            for (int n = 0; n < WARM; n++)
                step(&got, programs[i]);
            step_on_a_new_tape(&expected, programs[k]);
            step(&got, programs[k]);
            if (!gains_same(&expected, &got))
                complain("program %d after program %d", k, i);
        }
    steps_free_leaves();
}
END_TEST

/* Programs by turns, and then one for good: each is a repeat in the end. */
START_TEST(by_turns)
{
    static struct gains got;
    steps_make_leaves();
    for (int n = 0; n < WARM; n++) {
        step(&got, relu_layer);
        step(&got, losses);
    }
    const tape_statistics before = tape_stats();
    step(&got, relu_layer);
    step(&got, losses);
    ck_assert_int_eq(tape_stats().repeated_sweeps, before.repeated_sweeps + 2);
    ck_assert_int_eq(tape_stats().repeated_ops, before.repeated_ops + 2);
    steps_free_leaves();
}
END_TEST

static int hooked;

static tape_tensor twice(void *user, tape_tensor g)
{
    (void)user;
    hooked++;
    return tape_mul_scalar(g, 2);
}

START_TEST(a_leaf_that_has_changed)
{
    static struct gains plain, got;
    steps_make_leaves();
    step_on_a_new_tape(&plain, product);
    warm_up(product);
    tape_hook(leaf[1], twice, NULL);
    step(&got, product);
    ck_assert_int_eq(hooked, 1);
    for (int i = 0; i < 16; i++)
        ck_assert(got.value[1 + i] == plain.value[1 + i] && got.value[17 + i] == 2 * plain.value[17 + i]);
    tape_hook(leaf[1], NULL, NULL);

    warm_up(product);
    tape_set_requires_grad(leaf[0], false);
    step(&got, product);
    ck_assert_int_eq(got.n, 17);
    ck_assert(memcmp(got.value + 1, plain.value + 17, 16 * sizeof *got.value) == 0);
    tape_set_requires_grad(leaf[0], true);

    warm_up(product);
    tape_backward(product()); /* leaves a gradient for the next to add to */
    tape_reset();
    step(&got, product);
    for (int i = 1; i <= 32; i++)
        ck_assert(got.value[i] == 2 * plain.value[i]);

    warm_up(product);
    tape_tensor y = product();
    ((float *)tape_data_mut(leaf[1]))[3] += 1;
    ck_assert_int_eq(tape_backward(y), TAPE_ERROR_VERSION);
    tape_reset();
    ck_assert(tape_is_none(tape_gradient(leaf[0])));

    warm_up(product);
    y = product();
    tape_free(leaf[1]);
    leaf[1] = TAPE_NULL;
    ck_assert_int_eq(tape_backward(y), TAPE_ERROR_VERSION);
    tape_reset();
    ck_assert(tape_is_none(tape_gradient(leaf[0])));
    steps_free_leaves();
}
END_TEST

/* A repeated sweep that fails says what an ordinary one says: the checked target is changed behind the tape's back. */
START_TEST(a_failure_in_a_repeat)
{
    char expected[256];
    steps_make_leaves();
    int64_t *classes = tape_data_mut(leaf[3]);
    for (int repeated = 0; repeated < 2; repeated++) {
        if (repeated)
            warm_up(losses);
        tape_tensor y = losses();
        classes[1] = 99;
        ck_assert_int_eq(tape_backward(y), TAPE_ERROR_INDEX);
        classes[1] = 0;
        ck_assert(strstr(tape_message(), "cross_entropy: target 99"));
        ck_assert(!repeated || strcmp(expected, tape_message()) == 0);
        snprintf(expected, sizeof expected, "%s", tape_message());
        tape_clear(), tape_reset();
        for (int k = 0; k < 3; k++)
            ck_assert(tape_is_none(tape_gradient(leaf[k])));
    }
    steps_free_leaves();
}
END_TEST

/* A leaf that no derivative reads may be freed before it: the other one gets its gradient. */
START_TEST(a_leaf_freed_unread)
{
    const float zeros[5] = {0};
    tape_tensor x = tape_param(TAPE_F32, TAPE_SHAPE(5), (const float[]){1, 2, 3, 4, 5});
    tape_tensor gone = tape_param(TAPE_F32, TAPE_SHAPE(5), zeros);
    tape_tensor y = TOTAL(tape_square(tape_sub(gone, x)));
    tape_free(gone);
    ck_assert_int_eq(tape_backward(y), TAPE_OK);
    const float *g = tape_data_f32(tape_gradient(x));
    for (int i = 0; i < 5; i++)
        ck_assert(g[i] == 2 * (float)(i + 1));
    tape_free(x);
    settle();
}
END_TEST

/* A second sweep over one tape adds; a value that is written in between is an error. */
START_TEST(the_same_tape_again)
{
    static struct gains plain, got;
    steps_make_leaves();
    step_on_a_new_tape(&plain, stretched);
    warm_up(stretched);
    tape_tensor y = stretched();
    tape_backward(y), tape_backward(y);
    gains_go_back(&got, y);
    gains_take(&got, leaf, 3);
    for (int i = 1; i < plain.n; i++)
        ck_assert_double_eq_tol(got.value[i], 3 * plain.value[i], 1e-5 * fabs(got.value[i]));
    tape_reset();
    tape_tensor inner = tape_mul(leaf[0], leaf[2]);
    y = TOTAL(tape_square(inner));
    ((float *)tape_data_mut(inner))[0] += 1;
    ck_assert_int_eq(tape_backward(y), TAPE_ERROR_VERSION);
    tape_clear(), tape_reset();
    steps_free_leaves();
}
END_TEST

/* Steps that begin where free blocks lie about, and one that is replayed. */
START_TEST(on_a_tape_that_goes_on)
{
    static struct gains plain, got;
    steps_make_leaves();
    step_on_a_new_tape(&plain, relu_layer);
    tape_tensor base = tape_exp(leaf[0]);
    tape_position mark = tape_mark();
    const size_t before = tape_stats().bytes_now;
    for (int n = 0; n < WARM; n++) {
        gains_go_back(&got, relu_layer());
        gains_take(&got, leaf, 3);
        ck_assert(gains_same(&plain, &got));
        tape_rewind(mark);
        ck_assert_uint_eq(tape_stats().bytes_now, before);
    }
    const int64_t rewound = tape_stats().repeated_sweeps;
    ck_assert_int_gt(rewound, 2);
    ck_assert_int_gt(tape_stats().repeated_ops, 0);
    tape_tensor y = tape_mul(relu_layer(), tape_sum(tape_sin(base), TAPE_ALL, false));
    for (int n = 0; n < 6; n++) {
        ((float *)tape_data_mut(leaf[1]))[5] = (float)n;
        ck_assert_int_eq(tape_replay(), TAPE_OK);
        gains_go_back(&got, y);
        gains_take(&got, leaf, 3);
        tape *fresh = tape_create(NULL), *own = tape_make_current(fresh);
        gains_go_back(&plain, tape_mul(relu_layer(), tape_sum(tape_sin(tape_exp(leaf[0])), TAPE_ALL, false)));
        gains_take(&plain, leaf, 3);
        tape_make_current(own);
        tape_destroy(fresh);
        ck_assert(gains_same(&plain, &got));
    }
    ck_assert_int_gt(tape_stats().repeated_sweeps, rewound + 2);
    steps_free_leaves();
}
END_TEST

/* A fused derivative declines while a sweep is noted: what was put aside is there again, but for gaps of alignment, and
 * ever fewer sweeps try. */
START_TEST(memory_after_giving_up)
{
    static struct gains got;
    steps_make_leaves();
    tape_tensor y = TOTAL(tape_matmul(tape_reshape(leaf[0], TAPE_SHAPE(1, 4, 4)), tape_sin(leaf[1])));
    tape_backward(y);
    const size_t before = tape_stats().bytes_now;
    for (int n = 0; n < 3000; n++)
        tape_backward(y);
    ck_assert_uint_le(tape_stats().bytes_now, before + (size_t)13 * 64);
    got = (struct gains){0};
    gains_take(&got, leaf, 3);
    ck_assert_int_eq(tape_stats().repeated_sweeps, 0);
    tape_reset();
    steps_free_leaves();
}
END_TEST

/* What else is asked of a sweep: the checker's wrong factor is in test_checker.c; here a budget. */
START_TEST(where_it_does_not_happen)
{
    static struct gains plain, got;
    steps_make_leaves();
    tape *tight = tape_create(&(tape_config){.memory_budget = (size_t)64 << 20}), *own = tape_make_current(tight);
    for (int n = 0; n < 5; n++)
        step(&plain, relu_layer);
    ck_assert_int_eq(tape_stats().repeated_sweeps, 0);
    tape_make_current(own);
    tape_destroy(tight);
    warm_up(relu_layer);
    step(&got, relu_layer);
    ck_assert(gains_same(&plain, &got));
    steps_free_leaves();
}
END_TEST

/* Steps that differ each time cost no memory in the end. */
START_TEST(memory_when_warm)
{
    static struct gains got;
    steps_make_leaves();
    for (int n = 0; n < 20 * PROGRAMS; n++)
        step(&got, programs[n % PROGRAMS]);
    int64_t calls = tape_stats().allocator_calls;
    for (int n = 0; n < 4 * PROGRAMS; n++)
        step(&got, programs[n % PROGRAMS]);
    ck_assert_int_eq(tape_stats().allocator_calls, calls);
    steps_free_leaves();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("repeats");
    TCase *all = tcase_create("all");
    tcase_add_test(all, every_op);
    tcase_add_test(all, another_program);
    tcase_add_test(all, by_turns);
    tcase_add_test(all, a_leaf_that_has_changed);
    tcase_add_test(all, a_failure_in_a_repeat);
    tcase_add_test(all, a_leaf_freed_unread);
    tcase_add_test(all, the_same_tape_again);
    tcase_add_test(all, on_a_tape_that_goes_on);
    tcase_add_test(all, memory_after_giving_up);
    tcase_add_test(all, where_it_does_not_happen);
    tcase_add_test(all, memory_when_warm);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
