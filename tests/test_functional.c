/* Products with Jacobians and Hessians, and whole ones, against closed forms. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tape/autodiff.h"
#include "tape/custom.h"
#include "tape/gradcheck.h"

#define OK() ck_assert_msg(tape_last_status() == TAPE_OK, "%s", tape_message())
#define FAILS(expected, text)                                                                                          \
    do {                                                                                                               \
        ck_assert_msg(tape_last_status() == (expected), "%s", tape_message());                                         \
        ck_assert_msg(strstr(tape_message(), text) != NULL, "%s", tape_message());                                     \
        tape_clear();                                                                                                  \
    } while (0)

static const double point[4] = {0.3, -0.7, 1.1, 0.4};
static const double outer[2][3] = {{1, -2, 0.5}, {0.25, 3, -1}};
static const double inner[3][4] = {{0.2, 1, -0.5, 0.7}, {1, 0.1, 0.3, -0.9}, {-0.4, 0.6, 0.8, 0.5}};

static tape_tensor vector(int n)
{
    return tape_param(TAPE_F64, TAPE_SHAPE(n), point);
}

/* A tanh(B x), 2 from 4. */
static tape_tensor layer(tape_tensor x)
{
    tape_tensor a = tape_cast(tape_from(TAPE_F64, TAPE_SHAPE(2, 3), outer), tape_dtype_of(x));
    tape_tensor b = tape_cast(tape_from(TAPE_F64, TAPE_SHAPE(3, 4), inner), tape_dtype_of(x));
    return tape_mv(a, tape_tanh(tape_mv(b, x)));
}

static double layer_jacobian(int r, int c)
{
    double sum = 0;
    for (int k = 0; k < 3; k++) {
        double h = 0;
        for (int i = 0; i < 4; i++)
            h += inner[k][i] * point[i];
        sum += outer[r][k] * (1 - tanh(h) * tanh(h)) * inner[k][c];
    }
    return sum;
}

START_TEST(jacobian)
{
    tape_tensor x = vector(4), y = layer(x);
    for (int mode = TAPE_JACOBIAN_AUTO; mode <= TAPE_JACOBIAN_COLUMNS; mode++)
        for (int recorded = 0; recorded < 2; recorded++) {
            int64_t records = tape_stats().records;
            const tape_jacobian_options options = {.mode = (tape_jacobian_mode)mode, .create_graph = recorded};
            tape_tensor j = tape_jacobian(y, x, &options);
            OK();
            ck_assert(recorded || tape_stats().records == records + 1);
            ck_assert(tape_rank(j) == 2 && tape_size(j, 0) == 2 && tape_size(j, 1) == 4);
            for (int r = 0; r < 2; r++)
                for (int c = 0; c < 4; c++)
                    ck_assert_double_eq_tol(tape_data_f64(j)[4 * r + c], layer_jacobian(r, c), 1e-14);
        }
    float narrow[4] = {0.3f, -0.7f, 1.1f, 0.4f};
    tape_tensor x32 = tape_param(TAPE_F32, TAPE_SHAPE(2, 2), narrow);
    tape_tensor j = tape_jacobian(layer(tape_reshape(x32, TAPE_SHAPE(4))), x32, NULL);
    ck_assert(tape_rank(j) == 3 && tape_dtype_of(j) == TAPE_F32);
    ck_assert_float_eq_tol(tape_data_f32(j)[5], (float)layer_jacobian(1, 1), 1e-5f);
    tape_free(x), tape_free(x32);
    tape_reset();
}
END_TEST

/* A tall Jacobian takes columns: one forward sweep for each of few inputs. */
START_TEST(tall_jacobian)
{
    tape_tensor s = tape_param(TAPE_F64, TAPE_SCALAR, point);
    tape_tensor t = tape_arange(TAPE_F64, 0, 50, 1), y = tape_sin(tape_mul(s, t));
    for (int recorded = 0; recorded < 2; recorded++) {
        const tape_jacobian_options options = {.create_graph = recorded};
        tape_tensor j = tape_jacobian(y, s, &options);
        ck_assert(tape_rank(j) == 1 && tape_size(j, 0) == 50);
        for (int i = 0; i < 50; i++)
            ck_assert_double_eq_tol(tape_data_f64(j)[i], i * cos(0.3 * i), 1e-12);
    }
    tape_free(s);
    tape_reset();
}
END_TEST

/* y[b, r] = sum_c a[r, c] x[b, c]^2 */
START_TEST(batched_jacobian)
{
    enum { B = 5 };
    double values[B][4];
    for (int b = 0; b < B; b++)
        for (int c = 0; c < 4; c++)
            values[b][c] = point[c] + 0.1 * b;
    tape_tensor x = tape_param(TAPE_F64, TAPE_SHAPE(B, 4), values), a = tape_from(TAPE_F64, TAPE_SHAPE(3, 4), inner);
    tape_tensor y = tape_matmul(tape_square(x), tape_transpose(a, 0, 1));
    for (int way = 0; way < 4; way++) {
        const tape_jacobian_options options = {
            .batched = true, .create_graph = way & 1, .mode = way & 2 ? TAPE_JACOBIAN_ROWS : TAPE_JACOBIAN_COLUMNS};
        tape_tensor j = tape_jacobian(y, x, &options);
        OK();
        ck_assert(tape_rank(j) == 3 && tape_size(j, 0) == B && tape_size(j, 1) == 3 && tape_size(j, 2) == 4);
        for (int b = 0; b < B; b++)
            for (int r = 0; r < 3; r++)
                for (int c = 0; c < 4; c++)
                    ck_assert_double_eq_tol(tape_data_f64(j)[(b * 3 + r) * 4 + c], 2 * inner[r][c] * values[b][c],
                                            1e-14);
    }
    tape_tensor sums = tape_sum(tape_mul(tape_square(x), x), TAPE_AXES(1), false);
    tape_tensor h = tape_hessian(sums, x, &(tape_jacobian_options){.batched = true});
    ck_assert(tape_rank(h) == 3 && tape_size(h, 0) == B);
    for (int b = 0; b < B; b++)
        for (int r = 0; r < 4; r++)
            for (int c = 0; c < 4; c++)
                ck_assert_double_eq_tol(tape_data_f64(h)[(b * 4 + r) * 4 + c], r == c ? 6 * values[b][c] : 0, 1e-14);
    tape_free(x);
    tape_reset();
}
END_TEST

/* ---- second order ------------------------------------------------------------------------------------------------ */

/* Rosenbrock: sum_i 100 (x[i+1] - x[i]^2)^2 + (1 - x[i])^2 */
static tape_tensor rosenbrock(tape_tensor x)
{
    tape_tensor head = tape_slice(x, 0, 0, 3, 1), tail = tape_slice(x, 0, 1, 4, 1);
    tape_tensor valley = tape_mul_scalar(tape_square(tape_sub(tail, tape_square(head))), 100);
    return tape_sum(tape_add(valley, tape_square(tape_scalar_sub(1, head))), TAPE_ALL, false);
}

static double rosenbrock_hessian(int i, int k)
{
    double h = 0;
    if (i == k && i < 3)
        h += 1200 * point[i] * point[i] - 400 * point[i + 1] + 2;
    if (i == k && i > 0)
        h += 200;
    if (abs(i - k) == 1)
        h += -400 * point[i < k ? i : k];
    return h;
}

START_TEST(hessian)
{
    tape_tensor x = vector(4), y = rosenbrock(x);
    for (int way = 0; way < 4; way++) {
        const tape_jacobian_options options = {.create_graph = way & 1,
                                               .mode = way & 2 ? TAPE_JACOBIAN_ROWS : TAPE_JACOBIAN_COLUMNS};
        tape_tensor h = tape_hessian(y, x, &options);
        OK();
        for (int i = 0; i < 4; i++)
            for (int k = 0; k < 4; k++)
                ck_assert_double_eq_tol(tape_data_f64(h)[4 * i + k], rosenbrock_hessian(i, k), 1e-10);
    }
    tape_free(x);
    tape_reset();
}
END_TEST

START_TEST(products)
{
    tape_tensor x = vector(4), y = rosenbrock(x), z = layer(x), out[2];
    const double v[4] = {1, -1, 0.5, 2};
    tape_tensor direction = tape_from(TAPE_F64, TAPE_SHAPE(4), v);
    for (int recorded = 0; recorded < 2; recorded++) {
        const tape_grad_options options = {.create_graph = recorded};
        ck_assert_int_eq(tape_hvp(y, &x, 1, &direction, &options, out), TAPE_OK);
        for (int i = 0; i < 4; i++) {
            double expected = 0;
            for (int k = 0; k < 4; k++)
                expected += rosenbrock_hessian(i, k) * v[k];
            ck_assert_double_eq_tol(tape_data_f64(out[0])[i], expected, 1e-10);
        }
    }
    tape_tensor cotangent = tape_from(TAPE_F64, TAPE_SHAPE(2), v);
    ck_assert_int_eq(tape_vjp(z, cotangent, &x, 1, NULL, out), TAPE_OK);
    for (int c = 0; c < 4; c++)
        ck_assert_double_eq_tol(tape_data_f64(out[0])[c], layer_jacobian(0, c) - layer_jacobian(1, c), 1e-13);
    /* two inputs: y = a . b has the Hessian [[0, 1], [1, 0]] */
    tape_tensor b = vector(4), pair[2] = {x, b}, vs[2] = {direction, TAPE_NONE};
    tape_tensor product = tape_dot(x, b);
    ck_assert_int_eq(tape_hvp(product, pair, 2, vs, NULL, out), TAPE_OK);
    for (int i = 0; i < 4; i++) {
        ck_assert_double_eq(tape_data_f64(out[0])[i], 0);
        ck_assert_double_eq(tape_data_f64(out[1])[i], v[i]);
    }
    tape_free(x), tape_free(b);
    tape_reset();
}
END_TEST

/* ---- recorded Jacobians ------------------------------------------------------------------------------------------ */

static tape_tensor size_of_jacobian(void *user, const tape_tensor *x, int n)
{
    const tape_jacobian_options options = {.create_graph = true, .mode = *(tape_jacobian_mode *)user};
    (void)n;
    return tape_sum(tape_square(tape_jacobian(layer(x[0]), x[0], &options)), TAPE_ALL, false);
}

static tape_tensor curvature(void *user, const tape_tensor *x, int n)
{
    const tape_jacobian_options options = {.create_graph = true, .mode = *(tape_jacobian_mode *)user};
    (void)n;
    return tape_sum(tape_square(tape_hessian(rosenbrock(x[0]), x[0], &options)), TAPE_ALL, false);
}

static tape_tensor slope(void *user, const tape_tensor *x, int n)
{
    const tape_grad_options options = {.create_graph = true};
    tape_tensor out, v = tape_ones_like(x[0]);
    (void)user, (void)n;
    tape_hvp(rosenbrock(x[0]), x, 1, &v, &options, &out);
    return out;
}

START_TEST(derivatives_of_derivatives)
{
    tape_function *programs[] = {size_of_jacobian, curvature, slope};
    for (int p = 0; p < 3; p++)
        for (int mode = TAPE_JACOBIAN_ROWS; mode <= TAPE_JACOBIAN_COLUMNS; mode++) {
            tape_jacobian_mode chosen = (tape_jacobian_mode)mode;
            tape_gradcheck_report report;
            tape_tensor x = vector(4);
            ck_assert_msg(tape_gradcheck(programs[p], &chosen, &x, 1, NULL, &report), "%d: %s", p, report.message);
            tape_free(x);
            tape_reset();
        }
}
END_TEST

/* ---- edges ------------------------------------------------------------------------------------------------------- */

START_TEST(unconnected)
{
    tape_tensor x = vector(4), other = vector(3), v = tape_ones_like(other), out;
    tape_tensor y = tape_sum(tape_square(x), TAPE_ALL, false), linear = tape_sum(x, TAPE_ALL, false);
    for (int mode = TAPE_JACOBIAN_AUTO; mode <= TAPE_JACOBIAN_COLUMNS; mode++)
        for (int recorded = 0; recorded < 2; recorded++) {
            const tape_jacobian_options options = {.mode = (tape_jacobian_mode)mode, .create_graph = recorded};
            ck_assert(tape_is_none(tape_jacobian(y, other, &options)));
            ck_assert(tape_is_none(tape_hessian(y, other, &options)));
            tape_tensor h = tape_hessian(linear, x, &options);
            for (int i = 0; i < 16; i++)
                ck_assert_double_eq(tape_data_f64(h)[i], 0);
        }
    ck_assert_int_eq(tape_hvp(y, &other, 1, &v, NULL, &out), TAPE_OK);
    ck_assert(tape_is_none(out));
    v = tape_ones_like(x);
    ck_assert_int_eq(tape_hvp(linear, &x, 1, &v, NULL, &out), TAPE_OK);
    ck_assert(tape_numel(out) == 4 && tape_data_f64(out)[2] == 0);
    /* partly: the second element of y does not depend on x */
    tape_tensor both[2] = {tape_sum(x, TAPE_ALL, false), tape_sum(other, TAPE_ALL, false)};
    tape_tensor j = tape_jacobian(tape_stack(both, 2, 0), x, NULL);
    for (int i = 0; i < 8; i++)
        ck_assert_double_eq(tape_data_f64(j)[i], i < 4);
    tape_free(x), tape_free(other);
    tape_reset();
    OK();
}
END_TEST

START_TEST(empty_and_paused)
{
    tape_tensor x = vector(4), y = layer(x), none = tape_slice(y, 0, 0, 0, 1);
    tape_tensor j = tape_jacobian(none, x, NULL);
    ck_assert(tape_rank(j) == 2 && tape_numel(j) == 0);
    tape_pause();
    j = tape_jacobian(y, x, &(tape_jacobian_options){.create_graph = true, .mode = TAPE_JACOBIAN_COLUMNS});
    ck_assert_double_eq_tol(tape_data_f64(j)[6], layer_jacobian(1, 2), 1e-14);
    j = tape_hessian(rosenbrock(x), x, NULL);
    ck_assert(tape_is_none(j)); /* computed while paused: no history */
    tape_resume();
    y = rosenbrock(x);
    tape_pause();
    j = tape_hessian(y, x, NULL);
    ck_assert_double_eq_tol(tape_data_f64(j)[6], rosenbrock_hessian(1, 2), 1e-10);
    tape_resume();
    tape_free(x);
    tape_reset();
    OK();
}
END_TEST

static tape_status square(tape_custom_call *c)
{
    c->y[0] = tape_square(c->x[0]);
    return TAPE_OK;
}

static tape_status square_vjp(tape_custom_vjp *v)
{
    double gy[4];
    double *gx = tape_custom_gradient(v, 0);
    tape_read(v->gy[0], gy, 4);
    for (int i = 0; gx && i < 4; i++)
        gx[i] = 2 * tape_data_f64(v->x[0])[i] * gy[i];
    return tape_last_status();
}

START_TEST(errors)
{
    const tape_custom_op op = {.name = "square_data", .forward = square, .vjp = square_vjp, .first_order = true};
    tape_tensor x = vector(4), out, v = tape_ones(TAPE_F64, TAPE_SHAPE(3)), y = rosenbrock(x);
    tape_tensor wide = tape_reshape(x, TAPE_SHAPE(1, 1, 1, 1, 4));
    ck_assert(tape_is_null(tape_jacobian(wide, wide, NULL)));
    FAILS(TAPE_ERROR_SHAPE, "jacobian");
    tape_jacobian(y, x, &(tape_jacobian_options){.batched = true});
    FAILS(TAPE_ERROR_SHAPE, "batched");
    tape_jacobian(tape_argmax(x, TAPE_ALL, false), x, NULL);
    FAILS(TAPE_ERROR_DTYPE, "i64");
    tape_jacobian(TAPE_NULL, x, NULL);
    FAILS(TAPE_ERROR_HANDLE, "jacobian");
    tape_hessian(layer(x), x, NULL);
    FAILS(TAPE_ERROR_SHAPE, "one element");
    tape_hvp(y, &x, 1, &v, NULL, &out);
    FAILS(TAPE_ERROR_SHAPE, "hvp");
    ck_assert(tape_is_null(out));
    tape_hvp(y, &x, 1, NULL, NULL, &out);
    FAILS(TAPE_ERROR_ARGUMENT, "hvp");
    /* twice as many rows as columns, but an op without forward mode: rows, unless columns are asked for */
    tape_tensor once = tape_custom(&op, &x, 1, NULL, 0, NULL), parts[2] = {once, once};
    tape_tensor twice = tape_concat(parts, 2, 0), j = tape_jacobian(twice, x, NULL);
    ck_assert_double_eq_tol(tape_data_f64(j)[4 * 5 + 1], 2 * point[1], 1e-15);
    tape_jacobian(twice, x, &(tape_jacobian_options){.mode = TAPE_JACOBIAN_COLUMNS});
    FAILS(TAPE_ERROR_UNSUPPORTED, "square_data");
    tape_hessian(tape_sum(once, TAPE_ALL, false), x, NULL);
    FAILS(TAPE_ERROR_UNSUPPORTED, "square_data");
    ck_assert(tape_is_recording());
    tape_free(x);
    tape_reset();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("functional");
    TCase *all = tcase_create("all");
    tcase_add_test(all, jacobian);
    tcase_add_test(all, tall_jacobian);
    tcase_add_test(all, batched_jacobian);
    tcase_add_test(all, hessian);
    tcase_add_test(all, products);
    tcase_add_test(all, derivatives_of_derivatives);
    tcase_add_test(all, unconnected);
    tcase_add_test(all, empty_and_paused);
    tcase_add_test(all, errors);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
