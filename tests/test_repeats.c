/* Sweeps that repeat an earlier one: the bits of a tape that has no earlier one, and no repeat where anything differs.
 */
#include "table.h"
#include "tape/replay.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1 << 16 };

/* What a sweep gave to the leaves, one after the other. */
struct gains {
    tape_status status;
    int64_t n; /* doubles */
    double value[MOST];
};

static void take_gradients(struct gains *g, const tape_tensor *leaf, int n)
{
    g->n = 0;
    for (int i = 0; i < n && g->status == TAPE_OK; i++) {
        tape_tensor gradient = tape_gradient(leaf[i]);
        double *values = tape_is_none(gradient) ? NULL : doubles_of(gradient);
        const int64_t size = values ? tape_numel(gradient) : 0;
        ck_assert_int_le(g->n + size, MOST);
        if (size)
            memcpy(g->value + g->n, values, (size_t)size * sizeof *values);
        g->n += size;
        free(values);
        tape_zero_grad(leaf[i]);
    }
}

static bool same(const struct gains *a, const struct gains *b)
{
    return a->status == b->status && a->n == b->n && memcmp(a->value, b->value, (size_t)a->n * sizeof *a->value) == 0;
}

/* What lies where a step put its values and adjoints is of no use to the next. */
static void spoil_memory(void)
{
    tape_full(TAPE_F64, TAPE_SHAPE(MOST), NAN);
    tape_reset();
}

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
    g->status = tape_backward(tape_sum(tape_mul(y, tape_cos(y)), TAPE_ALL, false));
    take_gradients(g, in->floats, in->n_floats);
    tape_reset();
}

/* Whether the last of several steps was a repeat. */
static bool try_sample(const struct sample *sample, tape_dtype dtype)
{
    static struct gains expected, got;
    struct inputs in;
    inputs_make(&in, sample, dtype, 3);
    tape *fresh = tape_create(NULL), *own = tape_make_current(fresh);
    step_sample(&expected, &in, 19);
    tape_make_current(own);
    tape_destroy(fresh);
    const int64_t before = tape_stats().repeated_sweeps;
    for (uint64_t seed = 16; seed < 20; seed++)
        step_sample(&got, &in, seed);
    if (!same(&expected, &got))
        complain("%s (%s): another gradient where the step was a repeat", sample->op, sample->label);
    inputs_free(&in);
    return tape_stats().repeated_sweeps > before;
}

static void try_samples(tape_dtype dtype)
{
    const struct sample *sample;
    int repeats = 0, all = 0;
    for (int i = 0; (sample = sample_at(i)); i++) {
        if (tape__ops[op_named(sample->op)].flags & TAPE__NO_GRADIENT || sample->not_differentiable)
            continue;
        repeats += try_sample(sample, dtype);
        all++;
    }
    settle();
    ck_assert_int_gt(repeats, all / 3); /* the elementwise ones alone */
}

START_TEST(every_op)
{
    try_samples(TAPE_F64);
    try_samples(TAPE_F32);
}
END_TEST

/* ---- what makes a difference ------------------------------------------------------------------------------------- */

/* The leaves a [4, 4], b [4, 4], c [4] and the classes t. */
static tape_tensor leaf[4];

#define PROGRAM(name, expression)                                                                                      \
    static tape_tensor name(void)                                                                                      \
    {                                                                                                                  \
        const tape_tensor a = leaf[0], b = leaf[1], c = leaf[2], t = leaf[3];                                          \
        (void)a, (void)b, (void)c, (void)t;                                                                            \
        return expression;                                                                                             \
    }
#define TOTAL(x) tape_sum(x, TAPE_ALL, false)

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
PROGRAM(losses, tape_square(tape_cross_entropy(a, t, NULL)))
PROGRAM(smooth_losses, tape_square(tape_cross_entropy(a, t, &(tape_cross_entropy_options){.label_smoothing = 0.1})))
PROGRAM(stretched, TOTAL(tape_square(tape_mul(a, c))))
PROGRAM(scalars, tape_sub(tape_mul(TOTAL(a), TOTAL(b)), tape_add(TOTAL(c), TOTAL(a))))
PROGRAM(turned_scalars, tape_sub(tape_add(TOTAL(c), TOTAL(a)), tape_mul(TOTAL(a), TOTAL(b))))

static tape_tensor (*const programs[])(void) = {
    first_rows, last_rows,    columns,       by_rows, by_columns, product,       turned_product, one_square,
    quotient,   doubled,      tripled,       losses,  tanh_layer, mean_of_all,   other_tripled,  relu_layer,
    sum_of_all, turned_layer, smooth_losses, scalars, stretched,  turned_scalars};
enum { PROGRAMS = sizeof programs / sizeof *programs };

static void make_leaves(void)
{
    float value[16];
    const int64_t classes[4] = {2, 0, 3, 1};
    for (int k = 0; k < 3; k++) {
        for (int i = 0; i < 16; i++)
            value[i] = 0.5f + 0.25f * (float)((i * 7 + k * 5) % 11);
        leaf[k] = tape_param(TAPE_F32, k < 2 ? TAPE_SHAPE(4, 4) : TAPE_SHAPE(4), value);
    }
    leaf[3] = tape_const(TAPE_I64, TAPE_SHAPE(4), classes);
}

static void free_leaves(void)
{
    for (int k = 0; k < 4; k++)
        tape_free(leaf[k]);
    settle();
}

static void step(struct gains *g, tape_tensor (*program)(void))
{
    spoil_memory();
    g->status = tape_backward(program());
    take_gradients(g, leaf, 3);
    tape_clear();
    tape_reset();
}

static void step_on_a_new_tape(struct gains *g, tape_tensor (*program)(void))
{
    tape *fresh = tape_create(NULL), *own = tape_make_current(fresh);
    step(g, program);
    tape_make_current(own);
    tape_destroy(fresh);
}

START_TEST(another_program)
{
    static struct gains expected, got;
    make_leaves();
    for (int i = 0; i < PROGRAMS; i++)
        for (int k = 0; k < PROGRAMS; k++) {
            for (int n = 0; n < 4; n++)
                step(&got, programs[i]);
            step_on_a_new_tape(&expected, programs[k]);
            step(&got, programs[k]);
            if (!same(&expected, &got))
                complain("program %d after program %d", k, i);
        }
    free_leaves();
}
END_TEST

/* Programs by turns, and then one for good: each is a repeat in the end. */
START_TEST(by_turns)
{
    static struct gains got;
    make_leaves();
    for (int n = 0; n < 4; n++) {
        step(&got, relu_layer);
        step(&got, losses);
    }
    int64_t before = tape_stats().repeated_sweeps;
    step(&got, relu_layer);
    step(&got, losses);
    ck_assert_int_eq(tape_stats().repeated_sweeps, before + 2);
    free_leaves();
}
END_TEST

/* Steps until the last was a repeat. */
static void settle_in(tape_tensor (*program)(void))
{
    static struct gains ignored;
    int64_t before = tape_stats().repeated_sweeps;
    for (int n = 0; n < 4; n++)
        step(&ignored, program);
    ck_assert_int_gt(tape_stats().repeated_sweeps, before);
}

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
    make_leaves();
    step_on_a_new_tape(&plain, product);
    settle_in(product);
    tape_hook(leaf[1], twice, NULL);
    step(&got, product);
    ck_assert_int_eq(hooked, 1);
    for (int i = 0; i < 16; i++)
        ck_assert(got.value[i] == plain.value[i] && got.value[16 + i] == 2 * plain.value[16 + i]);
    tape_hook(leaf[1], NULL, NULL);

    settle_in(product);
    tape_set_requires_grad(leaf[0], false);
    step(&got, product);
    ck_assert_int_eq(got.n, 16);
    ck_assert(memcmp(got.value, plain.value + 16, 16 * sizeof *got.value) == 0);
    tape_set_requires_grad(leaf[0], true);

    settle_in(product);
    tape_backward(product()); /* leaves a gradient for the next to add to */
    tape_reset();
    step(&got, product);
    for (int i = 0; i < 32; i++)
        ck_assert(got.value[i] == 2 * plain.value[i]);

    settle_in(product);
    tape_tensor y = product();
    ((float *)tape_data_mut(leaf[1]))[3] += 1;
    ck_assert_int_eq(tape_backward(y), TAPE_ERROR_VERSION);
    tape_reset();
    ck_assert(tape_is_none(tape_gradient(leaf[0])));

    settle_in(product);
    y = product();
    tape_free(leaf[1]);
    leaf[1] = TAPE_NULL;
    ck_assert_int_eq(tape_backward(y), TAPE_ERROR_VERSION);
    tape_reset();
    ck_assert(tape_is_none(tape_gradient(leaf[0])));
    free_leaves();
}
END_TEST

/* A repeated sweep that fails says what an ordinary one says: the checked target is changed behind the tape's back. */
START_TEST(a_failure_in_a_repeat)
{
    char expected[256];
    make_leaves();
    int64_t *classes = tape_data_mut(leaf[3]);
    for (int repeated = 0; repeated < 2; repeated++) {
        if (repeated)
            settle_in(losses);
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
    free_leaves();
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
    make_leaves();
    step_on_a_new_tape(&plain, stretched);
    settle_in(stretched);
    tape_tensor y = stretched();
    tape_backward(y), tape_backward(y), tape_backward(y);
    got.status = TAPE_OK;
    take_gradients(&got, leaf, 3);
    for (int i = 0; i < plain.n; i++)
        ck_assert_double_eq_tol(got.value[i], 3 * plain.value[i], 1e-5 * fabs(got.value[i]));
    tape_reset();
    tape_tensor inner = tape_mul(leaf[0], leaf[2]);
    y = TOTAL(tape_square(inner));
    ((float *)tape_data_mut(inner))[0] += 1;
    ck_assert_int_eq(tape_backward(y), TAPE_ERROR_VERSION);
    tape_clear(), tape_reset();
    free_leaves();
}
END_TEST

/* Steps that begin where free blocks lie about, and one that is replayed. */
START_TEST(on_a_tape_that_goes_on)
{
    static struct gains plain, got;
    make_leaves();
    step_on_a_new_tape(&plain, relu_layer);
    tape_tensor base = tape_exp(leaf[0]);
    tape_position mark = tape_mark();
    const size_t before = tape_stats().bytes_now;
    for (int n = 0; n < 6; n++) {
        got.status = tape_backward(relu_layer());
        take_gradients(&got, leaf, 3);
        ck_assert(same(&plain, &got));
        tape_rewind(mark);
        ck_assert_uint_eq(tape_stats().bytes_now, before);
    }
    const int64_t rewound = tape_stats().repeated_sweeps;
    ck_assert_int_gt(rewound, 2);
    tape_tensor y = tape_mul(relu_layer(), tape_sum(tape_sin(base), TAPE_ALL, false));
    for (int n = 0; n < 6; n++) {
        ((float *)tape_data_mut(leaf[1]))[5] = (float)n;
        ck_assert_int_eq(tape_replay(), TAPE_OK);
        got.status = tape_backward(y);
        take_gradients(&got, leaf, 3);
        tape *fresh = tape_create(NULL), *own = tape_make_current(fresh);
        plain.status = tape_backward(tape_mul(relu_layer(), tape_sum(tape_sin(tape_exp(leaf[0])), TAPE_ALL, false)));
        take_gradients(&plain, leaf, 3);
        tape_make_current(own);
        tape_destroy(fresh);
        ck_assert(same(&plain, &got));
    }
    ck_assert_int_gt(tape_stats().repeated_sweeps, rewound + 2);
    free_leaves();
}
END_TEST

/* A fused derivative declines while a sweep is noted: what was put aside is there again, but for gaps of alignment, and
 * ever fewer sweeps try. */
START_TEST(memory_after_giving_up)
{
    static struct gains got;
    make_leaves();
    tape_tensor y = TOTAL(tape_matmul(tape_reshape(leaf[0], TAPE_SHAPE(1, 4, 4)), tape_sin(leaf[1])));
    tape_backward(y);
    const size_t before = tape_stats().bytes_now;
    for (int n = 0; n < 3000; n++)
        tape_backward(y);
    ck_assert_uint_le(tape_stats().bytes_now, before + (size_t)13 * 64);
    got.status = TAPE_OK;
    take_gradients(&got, leaf, 3);
    ck_assert_int_eq(tape_stats().repeated_sweeps, 0);
    tape_reset();
    free_leaves();
}
END_TEST

/* What else is asked of a sweep: the checker's wrong factor is in test_checker.c; here a budget. */
START_TEST(where_it_does_not_happen)
{
    static struct gains plain, got;
    make_leaves();
    tape *tight = tape_create(&(tape_config){.memory_budget = (size_t)64 << 20}), *own = tape_make_current(tight);
    for (int n = 0; n < 5; n++)
        step(&plain, relu_layer);
    ck_assert_int_eq(tape_stats().repeated_sweeps, 0);
    tape_make_current(own);
    tape_destroy(tight);
    settle_in(relu_layer);
    step(&got, relu_layer);
    ck_assert(same(&plain, &got));
    free_leaves();
}
END_TEST

/* Steps that differ each time cost no memory in the end. */
START_TEST(memory_when_warm)
{
    static struct gains got;
    make_leaves();
    for (int n = 0; n < 20 * PROGRAMS; n++)
        step(&got, programs[n % PROGRAMS]);
    int64_t calls = tape_stats().allocator_calls;
    for (int n = 0; n < 4 * PROGRAMS; n++)
        step(&got, programs[n % PROGRAMS]);
    ck_assert_int_eq(tape_stats().allocator_calls, calls);
    free_leaves();
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
