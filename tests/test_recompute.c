/* Checkpoints and rollouts: the gradients of the plain program, the memory and the number of steps that were promised.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "recompute.h"
#include "tape/autodiff.h"
#include "tape/gradcheck.h"
#include "tape/recompute.h"

#define OK() ck_assert_msg(tape_last_status() == TAPE_OK, "%s", tape_message())
#define FAILS(expected, text)                                                                                          \
    do {                                                                                                               \
        ck_assert_msg(tape_last_status() == (expected), "%s", tape_message());                                         \
        ck_assert_msg(strstr(tape_message(), text) != NULL, "%s", tape_message());                                     \
        tape_clear();                                                                                                  \
    } while (0)

static const double point[3] = {0.5, -1.25, 0.75};

static tape_tensor vector(void)
{
    return tape_param(TAPE_F64, TAPE_SHAPE(3), point);
}

static void free_all(tape_tensor a, tape_tensor b)
{
    tape_free(a), tape_free(b);
    tape_reset();
    OK();
}

/* ---- checkpoint -------------------------------------------------------------------------------------------------- */

/* tanh(w x) with noise, w captured. */
static tape_tensor block(void *user, const tape_tensor *x, int n)
{
    tape_tensor w = *(tape_tensor *)user, noise = tape_rand_uniform(TAPE_F64, TAPE_SHAPE(3), 0, 1);
    (void)n;
    return tape_mul(tape_tanh(tape_mul(w, x[0])), tape_add(noise, tape_exp(x[0])));
}

static void gradients_of_blocks(bool checkpointed, double *gx, double *gw)
{
    tape_tensor x = vector(), w = tape_param(TAPE_F64, TAPE_SCALAR, &point[1]), h = x;
    tape_seed(3);
    for (int i = 0; i < 4; i++)
        h = checkpointed ? tape_checkpoint(block, &w, &h, 1) : block(&w, &h, 1);
    uint64_t after = tape_random_get().counter;
    ck_assert_int_eq(tape_backward_with(h, tape_ones_like(h)), TAPE_OK);
    ck_assert_uint_eq(tape_random_get().counter, after);
    tape_read(tape_gradient(x), gx, 3);
    tape_read(tape_gradient(w), gw, 1);
    free_all(x, w);
}

START_TEST(checkpoint_is_exact)
{
    double gx[2][3], gw[2];
    for (int i = 0; i < 2; i++)
        gradients_of_blocks(i, gx[i], &gw[i]);
    ck_assert_mem_eq(gx[0], gx[1], sizeof gx[0]);
    ck_assert_double_eq_tol(gw[0], gw[1], 1e-15);
}
END_TEST

static tape_tensor inner(void *user, const tape_tensor *x, int n)
{
    (void)user, (void)n;
    return tape_sin(tape_mul(x[0], x[1]));
}

static tape_tensor nested(void *user, const tape_tensor *x, int n)
{
    tape_tensor h[2] = {tape_checkpoint(inner, user, x, n), x[1]};
    return tape_mul(tape_checkpoint(inner, user, h, 2), x[0]);
}

static tape_tensor checkpointed(void *user, const tape_tensor *x, int n)
{
    return tape_checkpoint(nested, user, x, n);
}

START_TEST(checkpoint_in_checkpoint)
{
    tape_tensor x[2] = {vector(), tape_param(TAPE_F64, TAPE_SHAPE(3), (double[]){1, 2, 3})};
    tape_gradcheck_report report;
    ck_assert_msg(tape_gradcheck(checkpointed, NULL, x, 2, NULL, &report), "%s", report.message);
    const tape_gradcheck_options second = {.second_order = true};
    ck_assert_msg(tape_gradcheck(checkpointed, NULL, x, 2, &second, &report), "%s", report.message);
    tape_tensor t[2] = {tape_ones_like(x[0]), tape_ones_like(x[1])}, out[2];
    tape_tensor y[2] = {checkpointed(NULL, x, 2), nested(NULL, x, 2)};
    ck_assert_int_eq(tape_jvp(y, 2, x, 2, t, NULL, out), TAPE_OK);
    for (int i = 0; i < 3; i++)
        ck_assert_double_eq_tol(tape_data_f64(out[0])[i], tape_data_f64(out[1])[i], 1e-14);
    free_all(x[0], x[1]);
}
END_TEST

static tape_tensor long_chain(void *user, const tape_tensor *x, int n)
{
    tape_tensor h = x[0];
    (void)user, (void)n;
    for (int i = 0; i < 50; i++)
        h = tape_sin(h);
    return h;
}

START_TEST(checkpoint_saves_memory)
{
    size_t bytes[2];
    int64_t n = 1000;
    tape_tensor x = tape_param(TAPE_F64, TAPE_SHAPE(n), NULL);
    for (int i = 0; i < 2; i++) {
        tape *t = tape_create(NULL), *before = tape_make_current(t);
        tape_tensor h = x;
        for (int k = 0; k < 20; k++)
            h = i ? tape_checkpoint(long_chain, NULL, &h, 1) : long_chain(NULL, &h, 1);
        ck_assert_int_eq(tape_backward(tape_sum(h, TAPE_ALL, false)), TAPE_OK);
        bytes[i] = tape_stats().bytes_peak;
        tape_make_current(before);
        tape_destroy(t);
    }
    ck_assert_uint_ge(bytes[0], 1000 * 8000);
    ck_assert_uint_le(bytes[1], 150 * 8000);
    tape_free(x);
}
END_TEST

static tape_tensor fails(void *user, const tape_tensor *x, int n)
{
    (void)user, (void)n;
    tape_square(x[0]);
    tape_fail(TAPE_ERROR_INDEX, "not today");
    return x[0];
}

static tape_tensor gives_nothing(void *user, const tape_tensor *x, int n)
{
    (void)user, (void)x, (void)n;
    return TAPE_NONE;
}

static tape_tensor gives_input(void *user, const tape_tensor *x, int n)
{
    (void)user, (void)n;
    return x[0];
}

START_TEST(checkpoint_errors)
{
    tape_tensor x = vector(), w = tape_param(TAPE_F64, TAPE_SCALAR, &point[1]), y;
    int64_t records = tape_stats().records;
    ck_assert(tape_is_null(tape_checkpoint(fails, NULL, &x, 1)));
    FAILS(TAPE_ERROR_INDEX, "not today");
    ck_assert(tape_is_null(tape_checkpoint(gives_nothing, NULL, &x, 1)));
    FAILS(TAPE_ERROR_CALLBACK, "checkpoint");
    tape_checkpoint(NULL, NULL, &x, 1);
    FAILS(TAPE_ERROR_ARGUMENT, "checkpoint");
    ck_assert_int_le(tape_stats().records, records + 1);
    y = tape_checkpoint(gives_input, NULL, &x, 1);
    ck_assert(tape_data(y) != tape_data(x));
    ck_assert_int_eq(tape_backward_with(y, x), TAPE_OK);
    ck_assert_double_eq(tape_data_f64(tape_gradient(x))[1], point[1]);
    y = tape_checkpoint(block, &w, &x, 1); /* a captured leaf is written before the backward */
    *(double *)tape_data_mut(w) = 2;
    ck_assert_int_eq(tape_backward_with(y, x), TAPE_ERROR_VERSION);
    FAILS(TAPE_ERROR_VERSION, "checkpoint");
    tape_pause();
    y = tape_checkpoint(block, &w, &x, 1);
    ck_assert(!tape_requires_grad(y));
    tape_resume();
    free_all(x, w);
}
END_TEST

/* A leaf that is an argument of both functions counts once. */
START_TEST(checkpoint_reads_an_argument_once)
{
    tape_tensor x[2] = {vector(), vector()}, y = tape_sum(checkpointed(NULL, x, 2), TAPE_ALL, false), g[2], h[2];
    tape_tensor z = tape_sum(nested(NULL, x, 2), TAPE_ALL, false);
    for (int recorded = 0; recorded < 2; recorded++) {
        const tape_grad_options options = {.create_graph = recorded};
        ck_assert_int_eq(tape_grad(&y, 1, NULL, x, 2, &options, g), TAPE_OK);
        ck_assert_int_eq(tape_grad(&z, 1, NULL, x, 2, &options, h), TAPE_OK);
        for (int i = 0; i < 6; i++)
            ck_assert_double_eq_tol(tape_data_f64(g[i / 3])[i % 3], tape_data_f64(h[i / 3])[i % 3], 1e-14);
    }
    tape_tensor twice[2] = {x[0], x[0]};
    y = tape_sum(tape_checkpoint(nested, NULL, twice, 2), TAPE_ALL, false);
    z = tape_sum(nested(NULL, twice, 2), TAPE_ALL, false);
    ck_assert(tape_grad(&y, 1, NULL, x, 1, NULL, g) == TAPE_OK && tape_grad(&z, 1, NULL, x, 1, NULL, h) == TAPE_OK);
    for (int i = 0; i < 3; i++)
        ck_assert_double_eq_tol(tape_data_f64(g[0])[i], tape_data_f64(h[0])[i], 1e-14);
    free_all(x[0], x[1]);
}
END_TEST

/* ---- rollout ----------------------------------------------------------------------------------------------------- */

struct pendulum {
    tape_tensor length;
    int64_t calls, last_calls;
    bool noisy;
};

/* A driven pendulum by symplectic steps; the length of the rod is captured. */
static tape_status swing(void *user, int64_t k, const tape_tensor *state, int m, tape_tensor *next)
{
    struct pendulum *p = user;
    ck_assert_int_eq(m, 2);
    tape_tensor drive = tape_full(TAPE_F64, TAPE_SHAPE(3), 0.01 * (double)k);
    if (p->noisy)
        drive = tape_add(drive, tape_rand_uniform(TAPE_F64, TAPE_SHAPE(3), 0, 0.1));
    tape_tensor force = tape_sub(drive, tape_div(tape_sin(state[0]), p->length));
    next[1] = tape_add(state[1], tape_mul_scalar(force, 0.1));
    next[0] = tape_add(state[0], tape_mul_scalar(next[1], 0.1));
    p->calls++;
    return tape_last_status();
}

static tape_tensor energy(const tape_tensor *state)
{
    return tape_sum(tape_add(tape_square(state[0]), tape_mul(state[1], tape_exp(state[0]))), TAPE_ALL, false);
}

/* budget 0: the plain program. */
static int64_t gradients_of_swing(int n, int budget, bool noisy, double gradient[7])
{
    double length = 0.8;
    struct pendulum p = {.length = tape_param(TAPE_F64, TAPE_SCALAR, &length), .noisy = noisy};
    tape_tensor x = vector(), v = vector(), state[2] = {x, v}, next[2];
    tape_seed(5);
    if (budget)
        ck_assert_msg(tape_rollout(swing, &p, n, budget, state, 2, state) == TAPE_OK, "%s", tape_message());
    for (int k = 0; k < n && !budget; k++) {
        swing(&p, k, state, 2, next);
        memcpy(state, next, sizeof state);
    }
    tape_tensor y = energy(state);
    ck_assert_int_eq(tape_backward(y), TAPE_OK);
    tape_read(tape_gradient(x), gradient, 3);
    tape_read(tape_gradient(v), gradient + 3, 3);
    if (n)
        tape_read(tape_gradient(p.length), gradient + 6, 1);
    int64_t calls = p.calls;
    /* a second backward adds the same again, though it starts with less */
    ck_assert_int_eq(tape_backward(y), TAPE_OK);
    for (int i = 0; i < 3; i++)
        ck_assert_double_eq_tol(tape_data_f64(tape_gradient(x))[i], 2 * gradient[i], 1e-12);
    tape_free(p.length);
    free_all(x, v);
    return calls;
}

START_TEST(rollout_is_exact)
{
    for (int noisy = 0; noisy < 2; noisy++)
        for (int n = 0; n < 14; n++) {
            double plain[7] = {0}, rolled[7] = {0};
            gradients_of_swing(n, 0, noisy, plain);
            for (int budget = 1; budget < 16; budget += budget < 4 ? 1 : 5) {
                gradients_of_swing(n, budget, noisy, rolled);
                for (int i = 0; i < 7; i++)
                    ck_assert_double_eq_tol(rolled[i], plain[i], 1e-13 * (1 + fabs(plain[i])));
            }
        }
}
END_TEST

/* The fewest steps that are run without being recorded, by a dynamic programme over where to store the next state. */
#define LONGEST 200
#define MOST_STATES 10
static int64_t fewest[LONGEST + 1][MOST_STATES + 1];

static void fill_fewest(void)
{
    for (int s = 1; s <= MOST_STATES; s++)
        for (int l = 2; l <= LONGEST; l++) {
            fewest[l][s] = l * (l - 1) / 2;
            for (int m = 1; m < l && s > 1; m++) {
                int64_t steps = m + fewest[l - m][s - 1] + fewest[m][s];
                fewest[l][s] = steps < fewest[l][s] ? steps : fewest[l][s];
            }
        }
}

/* What the schedule does. */
static int64_t steps_of(int length, int states)
{
    int64_t at[MOST_STATES] = {0}, steps = 0;
    int stored = 1;
    for (int64_t end = length; end > 0; end--) {
        int64_t from = at[stored - 1];
        while (from < end - 1) {
            int64_t stride = tape__rollout_stride(end - from, states - stored + 1);
            ck_assert(stride >= 1 && stride < end - from);
            steps += stride;
            from += stride;
            if (stored < states)
                at[stored++] = from;
        }
        if (stored > 1 && at[stored - 1] == end - 1)
            stored--;
    }
    return steps;
}

static int64_t choose(int64_t n, int64_t k)
{
    int64_t value = 1;
    for (int64_t i = 1; i <= k; i++)
        value = value * (n - k + i) / i;
    return k < 0 ? 0 : value;
}

static int64_t closed_form(int n, int s)
{
    int r = 0;
    while (choose(s + r, s < r ? s : r) < n)
        r++;
    return r ? r * n - choose(s + r, r - 1) : 0;
}

START_TEST(schedule_is_optimal)
{
    fill_fewest();
    ck_assert_int_eq(fewest[10][3], 15);
    for (int s = 1; s <= MOST_STATES; s++)
        for (int n = 1; n <= LONGEST; n++) {
            ck_assert_int_eq(steps_of(n, s), fewest[n][s]);
            ck_assert_int_eq(closed_form(n, s), fewest[n][s]);
        }
    ck_assert_int_gt(tape__rollout_stride(INT64_MAX / 4, 30), 0);
}
END_TEST

START_TEST(rollout_runs_as_few_steps)
{
    fill_fewest();
    for (int s = 1; s <= MOST_STATES; s += 2)
        for (int n = 1; n <= 60; n += 1 + n / 5) {
            double gradient[7];
            ck_assert_int_eq(gradients_of_swing(n, s, false, gradient), n + fewest[n][s]);
        }
    double gradient[7];
    ck_assert_int_eq(gradients_of_swing(10, 3, false, gradient), 25);
}
END_TEST

static tape_status grow(void *user, int64_t k, const tape_tensor *state, int m, tape_tensor *next)
{
    (void)user, (void)k, (void)m;
    next[0] = tape_mul(tape_sin(state[0]), tape_exp(state[0]));
    return TAPE_OK;
}

START_TEST(rollout_keeps_few_states)
{
    size_t bytes[2];
    tape_tensor x = tape_param(TAPE_F64, TAPE_SHAPE(1000), NULL);
    for (int i = 0; i < 2; i++) {
        tape *t = tape_create(NULL), *before = tape_make_current(t);
        tape_tensor y;
        ck_assert_int_eq(tape_rollout(grow, NULL, i ? 1000 : 100, 5, &x, 1, &y), TAPE_OK);
        ck_assert_int_eq(tape_backward(tape_sum(y, TAPE_ALL, false)), TAPE_OK);
        bytes[i] = tape_stats().bytes_peak;
        tape_make_current(before);
        tape_destroy(t);
    }
    ck_assert_uint_le(bytes[0], 24 * 8000);
    ck_assert_uint_le(bytes[1], bytes[0] + 4000);
    tape_free(x);
}
END_TEST

/* The state is also read under its own handle. */
static tape_status pull(void *user, int64_t k, const tape_tensor *state, int m, tape_tensor *next)
{
    (void)k, (void)m;
    next[0] = tape_mul(state[0], *(tape_tensor *)user);
    return TAPE_OK;
}

static tape_tensor rolled_power(void *user, const tape_tensor *x, int n)
{
    tape_tensor y;
    (void)n;
    *(tape_tensor *)user = x[0];
    tape_rollout(pull, user, 4, 2, x, 1, &y); /* x^5 */
    return y;
}

START_TEST(rollout_of_higher_order)
{
    tape_tensor x = vector(), y, g, t = tape_ones_like(x);
    ck_assert_msg(tape_rollout(pull, &x, 4, 2, &x, 1, &y) == TAPE_OK, "%s", tape_message());
    ck_assert_int_eq(tape_grad(&y, 1, &t, &x, 1, NULL, &g), TAPE_OK);
    for (int i = 0; i < 3; i++)
        ck_assert_double_eq_tol(tape_data_f64(g)[i], 5 * pow(point[i], 4), 1e-12);
    ck_assert_int_eq(tape_jvp(&y, 1, &x, 1, &t, NULL, &g), TAPE_OK);
    for (int i = 0; i < 3; i++)
        ck_assert_double_eq_tol(tape_data_f64(g)[i], 5 * pow(point[i], 4), 1e-12);
    tape_gradcheck_report report;
    const tape_gradcheck_options second = {.second_order = true};
    tape_tensor pulled;
    ck_assert_msg(tape_gradcheck(rolled_power, &pulled, &x, 1, NULL, &report), "%s", report.message);
    ck_assert_msg(tape_gradcheck(rolled_power, &pulled, &x, 1, &second, &report), "%s", report.message);
    tape_free(x);
    tape_reset();
}
END_TEST

static tape_status shrinks(void *user, int64_t k, const tape_tensor *state, int m, tape_tensor *next)
{
    (void)user, (void)m;
    next[0] = k == 3 ? tape_slice(state[0], 0, 0, 1, 1) : tape_neg(state[0]);
    return TAPE_OK;
}

static tape_status gives_up(void *user, int64_t k, const tape_tensor *state, int m, tape_tensor *next)
{
    (void)user, (void)m;
    next[0] = tape_neg(state[0]);
    return k == 3 ? TAPE_ERROR_IO : TAPE_OK;
}

START_TEST(rollout_errors)
{
    tape_tensor x = vector(), w = vector(), y;
    struct {
        tape_step *step;
        int64_t n;
        int budget, m;
        tape_status status;
        const char *text;
    } cases[] = {{shrinks, 6, 2, 1, TAPE_ERROR_SHAPE, "rollout: step 3"},
                 {shrinks, 4, 2, 1, TAPE_ERROR_SHAPE, "rollout: step 3"},
                 {gives_up, 6, 2, 1, TAPE_ERROR_CALLBACK, "step 3 failed: IO"},
                 {grow, -1, 2, 1, TAPE_ERROR_ARGUMENT, "rollout"},
                 {grow, 5, 0, 1, TAPE_ERROR_ARGUMENT, "rollout"},
                 {grow, 5, 2, 0, TAPE_ERROR_ARGUMENT, "rollout"},
                 {NULL, 5, 2, 1, TAPE_ERROR_ARGUMENT, "rollout"}};
    tape_neg(x);
    int64_t records = tape_stats().records;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_int_eq(tape_rollout(cases[i].step, NULL, cases[i].n, cases[i].budget, &x, cases[i].m, &y),
                         cases[i].status);
        FAILS(cases[i].status, cases[i].text);
        ck_assert_int_eq(tape_stats().records, records);
    }
    ck_assert_int_eq(tape_rollout(pull, &w, 4, 2, &x, 1, &y), TAPE_OK);
    tape_data_mut(w);
    ck_assert_int_eq(tape_backward_with(y, x), TAPE_ERROR_VERSION);
    tape_clear();
    tape_pause();
    ck_assert_int_eq(tape_rollout(pull, &w, 4, 2, &x, 1, &y), TAPE_OK);
    ck_assert(!tape_requires_grad(y));
    tape_resume();
    free_all(x, w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("recompute");
    TCase *all = tcase_create("all");
    tcase_add_test(all, checkpoint_is_exact);
    tcase_add_test(all, checkpoint_in_checkpoint);
    tcase_add_test(all, checkpoint_reads_an_argument_once);
    tcase_add_test(all, checkpoint_saves_memory);
    tcase_add_test(all, checkpoint_errors);
    tcase_add_test(all, rollout_is_exact);
    tcase_add_test(all, schedule_is_optimal);
    tcase_add_test(all, rollout_runs_as_few_steps);
    tcase_add_test(all, rollout_keeps_few_states);
    tcase_add_test(all, rollout_of_higher_order);
    tcase_add_test(all, rollout_errors);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
