/* Implicit differentiation against closed forms, unrolled iterations and the checker; dense and without a matrix. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gmres.h"
#include "tape/autodiff.h"
#include "tape/gradcheck.h"
#include "tape/implicit.h"

#define OK() ck_assert_msg(tape_last_status() == TAPE_OK, "%s", tape_message())
#define FAILS(expected, text)                                                                                          \
    do {                                                                                                               \
        ck_assert_msg(tape_last_status() == (expected), "%s", tape_message());                                         \
        ck_assert_msg(strstr(tape_message(), text) != NULL, "%s", tape_message());                                     \
        tape_clear();                                                                                                  \
    } while (0)

/* dense: the Jacobian; 1 unknown at most: GMRES */
static const tape_implicit_options ways[] = {{.dense = 0}, {.dense = 1}};

/* ---- x^3 + a x = b ----------------------------------------------------------------------------------------------- */

static tape_tensor cubic(void *user, const tape_tensor *x, int n)
{
    (void)user, (void)n;
    return tape_sub(tape_add(tape_mul(tape_square(x[0]), x[0]), tape_mul(x[1], x[0])), x[2]);
}

/* Newton's method, unrecorded. */
static tape_tensor cubic_root(tape_tensor a, tape_tensor b)
{
    tape_pause();
    tape_tensor x = tape_zeros_like(b), args[3] = {x, a, b};
    for (int i = 0; i < 60; i++) {
        tape_tensor slope = tape_add(tape_mul_scalar(tape_square(args[0]), 3), a);
        args[0] = tape_sub(args[0], tape_div(cubic(NULL, args, 3), slope));
    }
    tape_resume();
    return args[0];
}

static tape_tensor cubic_solution(void *user, const tape_tensor *x, int n)
{
    return tape_implicit(cubic, NULL, cubic_root(x[0], x[1]), x, n, user);
}

START_TEST(roots)
{
    const double a[3] = {1, 2, 0.5}, b[3] = {2, -1, 0.25};
    tape_tensor x[2] = {tape_param(TAPE_F64, TAPE_SHAPE(3), a), tape_param(TAPE_F64, TAPE_SHAPE(3), b)}, g[2];
    for (int way = 0; way < 2; way++) {
        void *options = (void *)(uintptr_t)&ways[way];
        tape_tensor y = cubic_solution(options, x, 2), ones = tape_ones_like(y);
        ck_assert_int_eq(tape_grad(&y, 1, &ones, x, 2, NULL, g), TAPE_OK);
        for (int i = 0; i < 3; i++) {
            double root = tape_data_f64(y)[i], slope = 3 * root * root + a[i];
            ck_assert_double_eq_tol(root * root * root + a[i] * root, b[i], 1e-14);
            ck_assert_double_eq_tol(tape_data_f64(g[0])[i], -root / slope, 1e-12);
            ck_assert_double_eq_tol(tape_data_f64(g[1])[i], 1 / slope, 1e-12);
        }
        tape_tensor t[2] = {TAPE_NONE, ones}, ty;
        ck_assert_msg(tape_jvp(&y, 1, x, 2, t, NULL, &ty) == TAPE_OK, "%s", tape_message());
        for (int i = 0; i < 3; i++)
            ck_assert_double_eq_tol(tape_data_f64(ty)[i], tape_data_f64(g[1])[i], 1e-11);
        tape_gradcheck_report report;
        ck_assert_msg(tape_gradcheck(cubic_solution, options, x, 2, NULL, &report), "%s", report.message);
        const tape_gradcheck_options second = {.second_order = true};
        ck_assert_msg(tape_gradcheck(cubic_solution, options, x, 2, &second, &report), "%s", report.message);
        tape_reset();
    }
    tape_free(x[0]), tape_free(x[1]);
}
END_TEST

/* x = (b - x^3) / a + ..., third derivatives too: x(b) of x^3 + x = b at b = 0 is b - b^3 + ..., so x''' = -6. */
START_TEST(third_order)
{
    double zero = 0, one = 1;
    tape_tensor b = tape_param(TAPE_F64, TAPE_SHAPE(1), &zero), a = tape_const(TAPE_F64, TAPE_SHAPE(1), &one);
    tape_tensor theta[2] = {a, b}, y = tape_implicit(cubic, NULL, cubic_root(a, b), theta, 2, NULL);
    const tape_grad_options recorded = {.create_graph = true};
    const double expected[3] = {1, 0, -6};
    for (int i = 0; i < 3; i++) {
        tape_tensor g;
        ck_assert_int_eq(tape_grad(&y, 1, NULL, &b, 1, &recorded, &g), TAPE_OK);
        ck_assert_double_eq_tol(tape_item(g), expected[i], 1e-12);
        y = g;
    }
    tape_free(a), tape_free(b);
    tape_reset();
}
END_TEST

/* ---- x = tanh(W x + u), W captured --------------------------------------------------------------------------------
 */

static tape_tensor layer(void *user, const tape_tensor *x, int n)
{
    (void)n;
    return tape_tanh(tape_add(tape_mv(*(tape_tensor *)user, x[0]), x[1]));
}

static tape_tensor iterate(tape_tensor w, tape_tensor u)
{
    tape_tensor x[2] = {tape_zeros_like(u), u};
    for (int i = 0; i < 80; i++)
        x[0] = layer(&w, x, 2);
    return x[0];
}

static void equilibrium_gradients(int n, int way, double *gw, double *gu)
{
    double *values = calloc((size_t)(n * n), sizeof *values);
    ck_assert_ptr_nonnull(values);
    for (int i = 0; i < n * n; i++)
        values[i] = 0.8 * sin(1 + 7 * i) / n;
    tape_tensor w = tape_param(TAPE_F64, TAPE_SHAPE(n, n), values), u = tape_param(TAPE_F64, TAPE_SHAPE(n), values), y;
    if (way < 0) {
        y = iterate(w, u);
    } else {
        tape_implicit_options options = ways[way];
        options.fixed_point = true;
        tape_pause();
        y = iterate(w, u);
        tape_resume();
        y = tape_implicit(layer, &w, y, &u, 1, &options);
    }
    ck_assert_msg(tape_backward(tape_sum(tape_square(y), TAPE_ALL, false)) == TAPE_OK, "%s", tape_message());
    tape_read(tape_gradient(w), gw, n * n);
    tape_read(tape_gradient(u), gu, n);
    tape_free(w), tape_free(u);
    tape_reset();
    free(values);
}

START_TEST(fixed_points)
{
    enum { N = 9 };
    double gw[3][N * N], gu[3][N];
    for (int way = -1; way < 2; way++)
        equilibrium_gradients(N, way, gw[way + 1], gu[way + 1]);
    for (int way = 1; way < 3; way++) {
        for (int i = 0; i < N * N; i++)
            ck_assert_double_eq_tol(gw[way][i], gw[0][i], 1e-12);
        for (int i = 0; i < N; i++)
            ck_assert_double_eq_tol(gu[way][i], gu[0][i], 1e-12);
    }
}
END_TEST

START_TEST(large_fixed_point)
{
    enum { N = 150 };
    static double gw[2][N * N], gu[2][N];
    for (int way = 0; way < 2; way++)
        equilibrium_gradients(N, way, gw[way], gu[way]); /* both without a matrix: N is beyond the default */
    for (int i = 0; i < N; i++)
        ck_assert_double_eq(gu[0][i], gu[1][i]);
    equilibrium_gradients(N, -1, gw[0], gu[0]);
    for (int i = 0; i < N * N; i++)
        ck_assert_double_eq_tol(gw[1][i], gw[0][i], 1e-11);
}
END_TEST

START_TEST(narrow)
{
    const float a[2] = {1, 2}, b[2] = {2, -1};
    tape_tensor x[2] = {tape_param(TAPE_F32, TAPE_SHAPE(2), a), tape_param(TAPE_F32, TAPE_SHAPE(2), b)}, g;
    for (int way = 0; way < 2; way++) {
        tape_tensor y = cubic_solution((void *)(uintptr_t)&ways[way], x, 2), ones = tape_ones_like(y);
        ck_assert_msg(tape_grad(&y, 1, &ones, &x[1], 1, NULL, &g) == TAPE_OK, "%s", tape_message());
        for (int i = 0; i < 2; i++) {
            float root = tape_data_f32(y)[i];
            ck_assert_float_eq_tol(tape_data_f32(g)[i], 1 / (3 * root * root + a[i]), 1e-5f);
        }
    }
    tape_free(x[0]), tape_free(x[1]);
    tape_reset();
}
END_TEST

/* ---- errors ------------------------------------------------------------------------------------------------------ */

static tape_tensor flat(void *user, const tape_tensor *x, int n)
{
    (void)user, (void)n;
    return tape_sub(tape_mul(tape_square(x[0]), x[0]), x[1]);
}

static tape_tensor too_short(void *user, const tape_tensor *x, int n)
{
    (void)user, (void)n;
    return tape_sum(x[0], TAPE_ALL, false);
}

static tape_tensor empty_handed(void *user, const tape_tensor *x, int n)
{
    (void)user, (void)x, (void)n;
    return TAPE_NONE;
}

START_TEST(errors)
{
    const double zeros[3] = {0};
    tape_tensor b = tape_param(TAPE_F64, TAPE_SHAPE(3), zeros), x = tape_zeros_like(b), ones = tape_ones_like(b);
    /* x^3 = b has no derivative at 0 */
    tape_tensor y = tape_implicit(flat, NULL, x, &b, 1, &ways[1]);
    OK();
    ck_assert_int_eq(tape_backward_with(y, ones), TAPE_ERROR_STATE);
    FAILS(TAPE_ERROR_STATE, "implicit: GMRES");
    ck_assert(tape_is_none(tape_gradient(b)));
    ck_assert(tape_is_null(tape_implicit(too_short, NULL, x, &b, 1, NULL)));
    FAILS(TAPE_ERROR_SHAPE, "implicit");
    tape_implicit(empty_handed, NULL, x, &b, 1, NULL);
    FAILS(TAPE_ERROR_CALLBACK, "implicit");
    tape_implicit(NULL, NULL, x, &b, 1, NULL);
    FAILS(TAPE_ERROR_ARGUMENT, "implicit");
    tape_implicit(flat, NULL, TAPE_NULL, &b, 1, NULL);
    FAILS(TAPE_ERROR_HANDLE, "implicit");
    tape_implicit(flat, NULL, tape_cast(x, TAPE_I64), &b, 1, NULL);
    FAILS(TAPE_ERROR_DTYPE, "i64");
    y = tape_implicit(flat, NULL, x, &b, 1, NULL);
    tape_data_mut(b);
    ck_assert_int_eq(tape_backward_with(y, ones), TAPE_ERROR_VERSION);
    FAILS(TAPE_ERROR_VERSION, "implicit");
    tape_free(b);
    tape_reset();
}
END_TEST

/* ---- the solver itself ------------------------------------------------------------------------------------------- */

static bool laplacian(void *user, const double *x, double *y)
{
    int n = *(int *)user;
    for (int i = 0; i < n; i++)
        y[i] = 2.6 * x[i] - (i ? x[i - 1] : 0) - 1.2 * (i + 1 < n ? x[i + 1] : 0);
    return true;
}

START_TEST(gmres)
{
    int n = 120;
    double b[120], x[120], back[120];
    for (int restart = 5; restart <= 125; restart += 60) {
        tape__gmres s = {laplacian, &n, n, restart, 20000, 1e-13, NULL};
        s.work = calloc((size_t)tape__gmres_work(n, restart), sizeof *s.work);
        ck_assert_ptr_nonnull(s.work);
        for (int i = 0; i < n; i++)
            b[i] = cos(i);
        ck_assert_double_le(tape__gmres_solve(&s, b, x), 1e-13);
        laplacian(&n, x, back);
        for (int i = 0; i < n; i++)
            ck_assert_double_eq_tol(back[i], b[i], 1e-11);
        s.iterations = 3;
        ck_assert_double_ge(tape__gmres_solve(&s, b, x), 1e-6);
        memset(b, 0, sizeof b);
        ck_assert_double_eq(tape__gmres_solve(&s, b, x), 0);
        free(s.work);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("implicit");
    TCase *all = tcase_create("all");
    tcase_add_test(all, roots);
    tcase_add_test(all, third_order);
    tcase_add_test(all, fixed_points);
    tcase_add_test(all, large_fixed_point);
    tcase_add_test(all, narrow);
    tcase_add_test(all, errors);
    tcase_add_test(all, gmres);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
