/* Knows the optimisers' update rules a second time, one element at a time as the papers write them, and clipping. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tape/nn.h"
#include "tape/optim.h"

enum { N = 7, STEPS = 25 };

static void setup(void)
{
    tape_make_current(tape_create(NULL));
}

static void teardown(void)
{
    tape_destroy(tape_make_current(NULL));
}

static void ok(tape_status status)
{
    ck_assert_msg(status == TAPE_OK, "%s", tape_message());
}

static void fails(tape_status status, tape_status expected, const char *part)
{
    ck_assert_msg(status == expected, "status %s, expected %s: %s", tape_status_name(status),
                  tape_status_name(expected), tape_message());
    ck_assert_int_eq(tape_last_status(), expected);
    ck_assert_msg(strstr(tape_message(), part) != NULL, "\"%s\" lacks \"%s\"", tape_message(), part);
    tape_clear();
}

/* ---- trajectories ------------------------------------------------------------------------------------------------ */

static double gradient_at(int step, int i)
{
    return sin(1.7 * step + 0.9 * i) + 0.3 * (i - 3) + (i == 6 ? 1e-4 : 0);
}

static double start_at(int i)
{
    return 0.5 * i - 1.2;
}

/* Make the leaf's gradient g: the cotangent of p itself. */
static void give_gradient(tape_tensor leaf, const double *g, int64_t n)
{
    tape_tensor cotangent = tape_from(TAPE_F64, TAPE_SHAPE(n), g);
    if (tape_dtype_of(leaf) == TAPE_F32) {
        float single[N];
        for (int64_t i = 0; i < n; i++)
            single[i] = (float)g[i];
        cotangent = tape_from(TAPE_F32, TAPE_SHAPE(n), single);
    }
    ok(tape_zero_grad(leaf));
    ok(tape_backward_with(tape_neg(leaf), tape_neg(cotangent)));
    ok(tape_reset());
}

/* One element's step of the reference: t counts from 1, s is its state. */
typedef double reference_step(double p, double g, int t, double s[4]);

static void check_trajectory(tape_optim *(*make)(tape_params *), reference_step *reference, const char *name)
{
    tape_params *set = tape_params_create();
    tape_tensor wide = tape_params_new(set, "wide", TAPE_F64, TAPE_SHAPE(N));
    tape_tensor narrow = tape_params_new(set, "narrow", TAPE_F32, TAPE_SHAPE(N));
    double p[N], state[N][4];
    memset(state, 0, sizeof state);
    for (int i = 0; i < N; i++) {
        p[i] = start_at(i);
        ((double *)tape_data_mut(wide))[i] = p[i];
        ((float *)tape_data_mut(narrow))[i] = (float)p[i];
    }
    tape_optim *optim = make(set);
    ck_assert_msg(optim != NULL, "%s: %s", name, tape_message());
    for (int t = 1; t <= STEPS; t++) {
        double g[N];
        for (int i = 0; i < N; i++)
            g[i] = gradient_at(t, i);
        give_gradient(wide, g, N);
        give_gradient(narrow, g, N);
        ok(tape_optim_step(optim));
        for (int i = 0; i < N; i++) {
            p[i] = reference(p[i], g[i], t, state[i]);
            double x = tape_data_f64(wide)[i], y = tape_data_f32(narrow)[i];
            ck_assert_msg(fabs(x - p[i]) <= 1e-12 * (1 + fabs(p[i])), "%s: step %d element %d: %.17g, expected %.17g",
                          name, t, i, x, p[i]);
            ck_assert_msg(fabs(y - p[i]) <= 1e-4 * (1 + fabs(p[i])), "%s f32: step %d element %d: %.9g, expected %.9g",
                          name, t, i, y, p[i]);
        }
    }
    ck_assert_int_eq(tape_optim_steps(optim), STEPS);
    tape_optim_destroy(optim);
    tape_params_destroy(set);
}

static tape_optim *make_sgd(tape_params *set)
{
    return tape_optim_sgd(set, &(tape_sgd_options){.lr = 0.1});
}

static double ref_sgd(double p, double g, int t, double s[4])
{
    (void)t, (void)s;
    return p - 0.1 * g;
}

static tape_optim *make_momentum(tape_params *set)
{
    return tape_optim_sgd(set,
                          &(tape_sgd_options){.lr = 0.05, .momentum = 0.9, .dampening = 0.4, .weight_decay = 0.02});
}

static double ref_momentum(double p, double g, int t, double s[4])
{
    g += 0.02 * p;
    s[0] = t == 1 ? g : 0.9 * s[0] + 0.6 * g;
    return p - 0.05 * s[0];
}

static tape_optim *make_nesterov(tape_params *set)
{
    return tape_optim_sgd(set, &(tape_sgd_options){.lr = 0.05, .momentum = 0.8, .nesterov = true, .weight_decay = 0.1});
}

static double ref_nesterov(double p, double g, int t, double s[4])
{
    g += 0.1 * p;
    s[0] = t == 1 ? g : 0.8 * s[0] + g;
    return p - 0.05 * (g + 0.8 * s[0]);
}

/* The bias-corrected estimates of the paper. */
static double adam_direction(double g, int t, double b1, double b2, double eps, double s[4])
{
    s[0] = b1 * s[0] + (1 - b1) * g;
    s[1] = b2 * s[1] + (1 - b2) * g * g;
    double m = s[0] / (1 - pow(b1, t)), v = s[1] / (1 - pow(b2, t));
    return m / (sqrt(v) + eps);
}

static tape_optim *make_adam(tape_params *set)
{
    return tape_optim_adam(set, NULL);
}

static double ref_adam(double p, double g, int t, double s[4])
{
    return p - 0.001 * adam_direction(g, t, 0.9, 0.999, 1e-8, s);
}

static tape_optim *make_adam_all(tape_params *set)
{
    return tape_optim_adam(
        set, &(tape_adam_options){.lr = 0.03, .beta1 = 0.7, .beta2 = 0.95, .eps = 1e-3, .weight_decay = 0.05});
}

static double ref_adam_all(double p, double g, int t, double s[4])
{
    return p - 0.03 * adam_direction(g + 0.05 * p, t, 0.7, 0.95, 1e-3, s);
}

static tape_optim *make_amsgrad(tape_params *set)
{
    return tape_optim_adam(set, &(tape_adam_options){.lr = 0.02, .beta1 = TAPE_OFF, .beta2 = 0.9, .amsgrad = true});
}

static double ref_amsgrad(double p, double g, int t, double s[4])
{
    s[1] = 0.9 * s[1] + 0.1 * g * g;
    s[2] = fmax(s[2], s[1]);
    return p - 0.02 * g / (sqrt(s[2] / (1 - pow(0.9, t))) + 1e-8);
}

static tape_optim *make_adamw(tape_params *set)
{
    return tape_optim_adamw(set, &(tape_adam_options){.lr = 0.02});
}

static double ref_adamw(double p, double g, int t, double s[4])
{
    double decayed = p - 0.02 * 0.01 * p;
    return decayed - 0.02 * adam_direction(g, t, 0.9, 0.999, 1e-8, s);
}

static tape_optim *make_rmsprop(tape_params *set)
{
    return tape_optim_rmsprop(set, NULL);
}

static double ref_rmsprop(double p, double g, int t, double s[4])
{
    (void)t;
    s[0] = 0.99 * s[0] + 0.01 * g * g;
    return p - 0.01 * g / (sqrt(s[0]) + 1e-8);
}

static tape_optim *make_rmsprop_all(tape_params *set)
{
    return tape_optim_rmsprop(
        set, &(tape_rmsprop_options){
                 .lr = 0.005, .alpha = 0.8, .eps = 1e-4, .weight_decay = 0.1, .momentum = 0.6, .centered = true});
}

static double ref_rmsprop_all(double p, double g, int t, double s[4])
{
    (void)t;
    g += 0.1 * p;
    s[0] = 0.8 * s[0] + 0.2 * g * g;
    s[1] = 0.8 * s[1] + 0.2 * g;
    s[2] = 0.6 * s[2] + g / (sqrt(s[0] - s[1] * s[1]) + 1e-4);
    return p - 0.005 * s[2];
}

static tape_optim *make_adagrad(tape_params *set)
{
    return tape_optim_adagrad(set, NULL);
}

static double ref_adagrad(double p, double g, int t, double s[4])
{
    (void)t;
    s[0] += g * g;
    return p - 0.01 * g / (sqrt(s[0]) + 1e-10);
}

static tape_optim *make_adagrad_all(tape_params *set)
{
    return tape_optim_adagrad(
        set, &(tape_adagrad_options){.lr = 0.1, .lr_decay = 0.2, .weight_decay = 0.3, .initial = 0.5, .eps = 1e-2});
}

static double ref_adagrad_all(double p, double g, int t, double s[4])
{
    g += 0.3 * p;
    s[0] = (t == 1 ? 0.5 : s[0]) + g * g;
    return p - 0.1 / (1 + 0.2 * (t - 1)) * g / (sqrt(s[0]) + 1e-2);
}

START_TEST(test_trajectories)
{
    check_trajectory(make_sgd, ref_sgd, "sgd");
    check_trajectory(make_momentum, ref_momentum, "momentum");
    check_trajectory(make_nesterov, ref_nesterov, "nesterov");
    check_trajectory(make_adam, ref_adam, "adam");
    check_trajectory(make_adam_all, ref_adam_all, "adam, all options");
    check_trajectory(make_amsgrad, ref_amsgrad, "amsgrad");
    check_trajectory(make_adamw, ref_adamw, "adamw");
    check_trajectory(make_rmsprop, ref_rmsprop, "rmsprop");
    check_trajectory(make_rmsprop_all, ref_rmsprop_all, "rmsprop, all options");
    check_trajectory(make_adagrad, ref_adagrad, "adagrad");
    check_trajectory(make_adagrad_all, ref_adagrad_all, "adagrad, all options");
}
END_TEST

/* ---- steps ------------------------------------------------------------------------------------------------------- */

START_TEST(test_absent_gradients_are_skipped)
{
    tape_params *set = tape_params_create();
    tape_tensor a = tape_params_new(set, "a", TAPE_F64, TAPE_SHAPE(1)),
                b = tape_params_new(set, "b", TAPE_F64, TAPE_SHAPE(1));
    ok(tape_init_constant(a, 1));
    ok(tape_init_constant(b, 1));
    tape_optim *optim = tape_optim_adam(set, &(tape_adam_options){.lr = 0.5, .weight_decay = 0.1});
    const double g = 2;
    give_gradient(a, &g, 1);
    ok(tape_optim_step(optim));
    ck_assert_double_eq(tape_data_f64(b)[0], 1);
    ck_assert_double_eq_tol(tape_data_f64(a)[0], 0.5, 1e-6);
    /* b's first step now is still a first step: its bias correction counts its own steps. */
    ok(tape_params_zero_grad(set));
    ck_assert(tape_is_none(tape_gradient(a)));
    give_gradient(b, &g, 1);
    ok(tape_optim_step(optim));
    ck_assert_double_eq_tol(tape_data_f64(b)[0], 0.5, 1e-6);
    tape_optim_destroy(optim);
    tape_params_destroy(set);
}
END_TEST

START_TEST(test_groups)
{
    tape_params *set = tape_params_create();
    tape_tensor a = tape_params_new(set, "a", TAPE_F64, TAPE_SHAPE(1));
    ok(tape_params_group(set, &(tape_group_options){.lr_factor = 0.5, .weight_decay = TAPE_OFF}));
    tape_tensor b = tape_params_new(set, "b", TAPE_F64, TAPE_SHAPE(1));
    ok(tape_params_group(set, &(tape_group_options){.lr_factor = TAPE_OFF, .weight_decay = 3}));
    tape_tensor c = tape_params_new(set, "c", TAPE_F64, TAPE_SHAPE(1));
    ok(tape_params_group(set, &(tape_group_options){.weight_decay = 3}));
    tape_tensor d = tape_params_new(set, "d", TAPE_F64, TAPE_SHAPE(1)), all[] = {a, b, c, d};
    const double g = 2, expected[] = {10 - 0.1 * (2 + 0.4 * 10), 10 - 0.05 * 2, 10, 10 - 0.1 * (2 + 3 * 10)};
    tape_optim *optim = tape_optim_sgd(set, &(tape_sgd_options){.lr = 0.1, .weight_decay = 0.4});
    for (int i = 0; i < 4; i++) {
        ok(tape_init_constant(all[i], 10));
        give_gradient(all[i], &g, 1);
    }
    ok(tape_optim_step(optim));
    for (int i = 0; i < 4; i++)
        ck_assert_double_eq_tol(tape_data_f64(all[i])[0], expected[i], 1e-14);
    fails(tape_params_group(set, &(tape_group_options){.lr_factor = NAN}), TAPE_ERROR_ARGUMENT, "group");
    fails(tape_params_group(set, &(tape_group_options){.weight_decay = -2}), TAPE_ERROR_ARGUMENT, "group");
    tape_optim_destroy(optim);
    tape_params_destroy(set);
}
END_TEST

START_TEST(test_tied_leaf_is_stepped_once)
{
    tape_params *set = tape_params_create();
    tape_tensor a = tape_params_new(set, "embedding", TAPE_F64, TAPE_SHAPE(2));
    ok(tape_params_add(set, "head", a));
    ck_assert_int_eq(tape_params_count(set), 2);
    ck_assert_int_eq(tape_params_numel(set), 2);
    ck_assert_str_eq(tape_params_name(set, 1), "head");
    const double g[] = {1, 2};
    give_gradient(a, g, 2);
    tape_optim *optim = tape_optim_sgd(set, &(tape_sgd_options){.lr = 1});
    ok(tape_optim_step(optim));
    ck_assert_double_eq(tape_data_f64(a)[0], -1);
    ck_assert_double_eq(tape_data_f64(a)[1], -2);
    ck_assert_double_eq_tol(tape_clip_grad_norm(set, 10), sqrt(5), 1e-15);
    tape_optim_destroy(optim);
    tape_params_destroy(set);
}
END_TEST

START_TEST(test_step_refuses)
{
    tape_params *set = tape_params_create();
    tape_tensor a = tape_params_new(set, "a", TAPE_F64, TAPE_SHAPE(2));
    tape_tensor b = tape_param(TAPE_F64, TAPE_SHAPE(2), NULL);
    ok(tape_params_add(set, "b", b));
    tape_optim *optim = tape_optim_named("momentum", set, 0);
    ck_assert_str_eq(tape_optim_name(optim), "sgd");
    ck_assert_double_eq(tape_optim_lr(optim), 0.01);
    const double g[] = {1, 2};
    give_gradient(a, g, 2);
    tape_fail(TAPE_ERROR_ARGUMENT, "something before");
    fails(tape_optim_step(optim), TAPE_ERROR_ARGUMENT, "something before");
    ok(tape_free(b));
    fails(tape_optim_step(optim), TAPE_ERROR_HANDLE, "\"b\"");
    fails(tape_params_zero_grad(set), TAPE_ERROR_HANDLE, "\"b\"");
    ck_assert_double_eq(tape_data_f64(a)[0], 0);
    ck_assert_int_eq(tape_optim_steps(optim), 0);
    fails(tape_optim_set_lr(optim, NAN), TAPE_ERROR_ARGUMENT, "lr");
    fails(tape_optim_set_lr(optim, -1), TAPE_ERROR_ARGUMENT, "lr");
    fails(tape_optim_step(NULL), TAPE_ERROR_ARGUMENT, "NULL");
    tape_optim_destroy(optim);
    tape_params_destroy(set);

    set = tape_params_create();
    tape_params_new(set, "a", TAPE_F64, TAPE_SHAPE(2));
    optim = tape_optim_named("adagrad", set, 0.5);
    tape_params_new(set, "late", TAPE_F64, TAPE_SHAPE(2));
    fails(tape_optim_step(optim), TAPE_ERROR_STATE, "adagrad");
    tape_optim_destroy(optim);
    tape_params_destroy(set);
}
END_TEST

START_TEST(test_bad_options)
{
    tape_params *set = tape_params_create();
    tape_params_new(set, "a", TAPE_F64, TAPE_SHAPE(2));
    const tape_sgd_options sgd[] = {{.lr = 0},
                                    {.lr = -2},
                                    {.lr = NAN},
                                    {.lr = INFINITY},
                                    {.lr = 1, .momentum = 1},
                                    {.lr = 1, .nesterov = true},
                                    {.lr = 1, .momentum = 0.9, .dampening = 0.1, .nesterov = true}};
    for (size_t i = 0; i < sizeof sgd / sizeof *sgd; i++) {
        ck_assert_ptr_null(tape_optim_sgd(set, &sgd[i]));
        fails(tape_last_status(), TAPE_ERROR_ARGUMENT, "sgd");
    }
    ck_assert_ptr_null(tape_optim_adamw(set, &(tape_adam_options){.beta2 = 1}));
    fails(tape_last_status(), TAPE_ERROR_ARGUMENT, "adamw: beta2");
    ck_assert_ptr_null(tape_optim_rmsprop(set, &(tape_rmsprop_options){.eps = -3}));
    fails(tape_last_status(), TAPE_ERROR_ARGUMENT, "rmsprop: eps");
    ck_assert_ptr_null(tape_optim_named("lion", set, 0.1));
    fails(tape_last_status(), TAPE_ERROR_ARGUMENT, "lion");
    ck_assert_ptr_null(tape_optim_adam(NULL, NULL));
    fails(tape_last_status(), TAPE_ERROR_ARGUMENT, "NULL");
    tape_params_destroy(set);
}
END_TEST

struct counter {
    int64_t calls;
};

static void *count_calls(void *user, void *pointer, size_t old_size, size_t new_size)
{
    (void)old_size;
    ((struct counter *)user)->calls++;
    if (new_size == 0) {
        free(pointer);
        return NULL;
    }
    return realloc(pointer, new_size);
}

START_TEST(test_steps_allocate_nothing)
{
    struct counter counter = {0};
    const tape_config config = {.allocator = count_calls, .allocator_user = &counter};
    tape *t = tape_create(&config);
    tape *before = tape_make_current(t);
    static const char *const names[] = {"sgd", "momentum", "adam", "adamw", "rmsprop", "adagrad"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        tape_params *set = tape_params_create();
        tape_tensor a = tape_params_new(set, "a", TAPE_F32, TAPE_SHAPE(100));
        tape_optim *optim = tape_optim_named(names[k], set, 0.1);
        int64_t warm = 0;
        for (int step = 0; step < 5; step++) {
            ok(tape_params_zero_grad(set));
            ok(tape_backward_with(tape_square(a), tape_ones_like(a)));
            ck_assert(!isnan(tape_clip_grad_norm(set, 1)));
            ok(tape_clip_grad_value(set, 0.5));
            ok(tape_optim_step(optim));
            ok(tape_reset());
            warm = step == 1 ? counter.calls : warm;
        }
        ck_assert_int_gt(warm, 0);
        ck_assert_int_eq(counter.calls, warm);
        tape_optim_destroy(optim);
        tape_params_destroy(set);
    }
    tape_make_current(before);
    tape_destroy(t);
}
END_TEST

/* ---- clipping ---------------------------------------------------------------------------------------------------- */

START_TEST(test_clip_by_norm)
{
    tape_params *set = tape_params_create();
    tape_tensor a = tape_params_new(set, "a", TAPE_F64, TAPE_SHAPE(2)),
                b = tape_params_new(set, "b", TAPE_F32, TAPE_SHAPE(3));
    tape_params_new(set, "absent", TAPE_F64, TAPE_SHAPE(3));
    const double g[] = {1, 2}, h[] = {-2, 4, 0};
    give_gradient(a, g, 2);
    give_gradient(b, h, 3);
    ck_assert_double_eq_tol(tape_clip_grad_norm(set, 100), 5, 1e-15);
    ck_assert_double_eq(tape_data_f64(tape_gradient(a))[1], 2);
    ck_assert_double_eq_tol(tape_clip_grad_norm(set, 1), 5, 1e-15);
    double factor = 1 / (5 + 1e-6);
    ck_assert_double_eq_tol(tape_data_f64(tape_gradient(a))[1], 2 * factor, 1e-15);
    ck_assert_double_eq_tol(tape_data_f32(tape_gradient(b))[1], 4 * factor, 1e-7);
    ck_assert_double_eq_tol(tape_clip_grad_norm(set, 100), 5 * factor, 1e-7);
    fails((tape_clip_grad_norm(set, NAN), tape_last_status()), TAPE_ERROR_ARGUMENT, "clip");
    fails((tape_clip_grad_norm(NULL, 1), tape_last_status()), TAPE_ERROR_ARGUMENT, "NULL");
    tape_params_destroy(set);
}
END_TEST

START_TEST(test_clip_many)
{
    tape_params *set = tape_params_create();
    tape_tensor a = tape_params_new(set, "a", TAPE_F64, TAPE_SHAPE(1001));
    double g[1001], sum = 0;
    for (int i = 0; i < 1001; i++) {
        g[i] = sin(i) * (1 + i % 7);
        sum += g[i] * g[i];
    }
    give_gradient(a, g, 1001);
    ck_assert_double_eq_tol(tape_clip_grad_norm(set, INFINITY), sqrt(sum), 1e-12);
    ck_assert_double_eq(tape_data_f64(tape_gradient(a))[1000], g[1000]);
    tape_params_destroy(set);
}
END_TEST

START_TEST(test_clip_by_value)
{
    tape_params *set = tape_params_create();
    tape_tensor a = tape_params_new(set, "a", TAPE_F64, TAPE_SHAPE(5));
    const double g[] = {-3, -0.5, 0.25, 7, NAN}, expected[] = {-0.5, -0.5, 0.25, 0.5};
    give_gradient(a, g, 5);
    ok(tape_clip_grad_value(set, 0.5));
    for (int i = 0; i < 4; i++)
        ck_assert_double_eq(tape_data_f64(tape_gradient(a))[i], expected[i]);
    ck_assert(isnan(tape_data_f64(tape_gradient(a))[4]));
    fails(tape_clip_grad_value(set, -1), TAPE_ERROR_ARGUMENT, "limit");
    tape_params_destroy(set);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("optim");
    TCase *tests = tcase_create("optim");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_trajectories);
    tcase_add_test(tests, test_absent_gradients_are_skipped);
    tcase_add_test(tests, test_groups);
    tcase_add_test(tests, test_tied_leaf_is_stepped_once);
    tcase_add_test(tests, test_step_refuses);
    tcase_add_test(tests, test_bad_options);
    tcase_add_test(tests, test_steps_allocate_nothing);
    tcase_add_test(tests, test_clip_by_norm);
    tcase_add_test(tests, test_clip_many);
    tcase_add_test(tests, test_clip_by_value);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
