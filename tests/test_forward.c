/* Forward mode against reverse mode for every op of the table, at kinks, in nested uses, and its errors. */
#include "table.h"
#include "tape/autodiff.h"
#include "tape/gradcheck.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define OK() ck_assert_msg(tape_last_status() == TAPE_OK, "%s", tape_message())
#define FAILS(expected, text)                                                                                          \
    do {                                                                                                               \
        ck_assert_msg(tape_last_status() == (expected), "%s", tape_message());                                         \
        ck_assert_msg(strstr(tape_message(), text) != NULL, "%s", tape_message());                                     \
        tape_clear();                                                                                                  \
    } while (0)

static bool is_checked(const struct sample *sample)
{
    return !sample->not_differentiable && !(tape__ops[op_named(sample->op)].flags & TAPE__NO_GRADIENT);
}

static tape_tensor random_like(tape_tensor x, uint64_t *state)
{
    int64_t n = tape_numel(x);
    double *values = calloc((size_t)n + 1, sizeof *values);
    ck_assert_ptr_nonnull(values);
    for (int64_t i = 0; i < n; i++)
        values[i] = draw(state, -1, 1);
    tape_tensor wide = tape_from(TAPE_F64, tape_shape_of(x), values);
    free(values);
    return tape_cast(wide, tape_dtype_of(x));
}

/* sum a . b, and the sum of |a . b| added to *size. */
static double inner(tape_tensor a, tape_tensor b, double *size)
{
    double *p = doubles_of(a), *q = doubles_of(b), sum = 0;
    for (int64_t i = 0; p && q && i < tape_numel(a); i++) {
        sum += p[i] * q[i];
        *size += fabs(p[i] * q[i]);
    }
    free(p);
    free(q);
    return sum;
}

/* <c, J t> = <J' c, t> */
static void compare_modes(const struct inputs *in, bool create_graph)
{
    uint64_t state = 17;
    int m = in->n_floats;
    const tape_grad_options options = {.create_graph = create_graph};
    tape_tensor t[SAMPLE_MAX_INPUTS], g[SAMPLE_MAX_INPUTS], ty;
    tape_seed(7);
    tape_tensor y = in->sample->run(in->x);
    for (int i = 0; i < m; i++)
        t[i] = random_like(in->floats[i], &state);
    tape_tensor c = random_like(y, &state);
    int64_t records = tape_stats().records;
    if (tape_jvp(&y, 1, in->floats, m, t, &options, &ty) != TAPE_OK) {
        complain("%s (%s) jvp: %s", in->sample->op, in->sample->label, tape_message());
        tape_clear();
        return;
    }
    if (!create_graph && tape_stats().records > records + 1)
        complain("%s (%s): jvp leaves records behind", in->sample->op, in->sample->label);
    tape_grad(&y, 1, &c, in->floats, m, NULL, g);
    double size = 1e-300, forward = tape_is_none(ty) ? 0 : inner(c, ty, &size), reverse = 0;
    for (int i = 0; i < m; i++)
        reverse += tape_is_none(g[i]) ? 0 : inner(g[i], t[i], &size);
    double epsilon = in->dtype == TAPE_F32 ? 0x1p-23 : 0x1p-52;
    if (!(fabs(forward - reverse) <= 200 * epsilon * size))
        complain("%s (%s) %s: forward %.17g, reverse %.17g", in->sample->op, in->sample->label,
                 tape_dtype_name(in->dtype), forward, reverse);
}

START_TEST(agrees_with_reverse_mode)
{
    const struct sample *sample;
    for (int i = 0; (sample = sample_at(i)); i++)
        for (int way = 0; way < 4 && is_checked(sample); way++) {
            struct inputs in;
            inputs_make(&in, sample, way & 1 ? TAPE_F32 : TAPE_F64, 31);
            if (in.n_floats)
                compare_modes(&in, way & 2);
            inputs_free(&in);
            tape_reset();
        }
    settle();
}
END_TEST

/* ---- derivatives of forward mode --------------------------------------------------------------------------------- */

static tape_tensor tangent_program(void *user, const tape_tensor *x, int n)
{
    uint64_t state = 19;
    const tape_grad_options options = {.create_graph = true};
    tape_tensor t[SAMPLE_MAX_INPUTS], y = inputs_program(user, x, n), ty = TAPE_NULL;
    for (int i = 0; i < n; i++)
        t[i] = random_like(x[i], &state);
    tape_jvp(&y, 1, x, n, t, &options, &ty);
    return tape_is_none(ty) ? tape_mul_scalar(y, 0) : ty;
}

START_TEST(has_derivatives)
{
    const struct sample *sample;
    for (int i = 0; (sample = sample_at(i)); i++) {
        if (!is_checked(sample))
            continue;
        struct inputs in;
        tape_gradcheck_report report;
        inputs_make(&in, sample, TAPE_F64, 3);
        const tape_gradcheck_options options = {.tolerance = 1e-7, .directional = true};
        if (in.n_floats && !tape_gradcheck(tangent_program, &in, in.floats, in.n_floats, &options, &report))
            complain("%s (%s): %s", sample->op, sample->label, report.message);
        tape_clear();
        inputs_free(&in);
        tape_reset();
    }
    settle();
}
END_TEST

/* d/dt d/ds of sin at a point, forward over forward: -sin. */
static tape_tensor derivative_of_sine(tape_tensor x, tape_tensor t)
{
    const tape_grad_options options = {.create_graph = true};
    tape_tensor y = tape_sin(x), ty;
    tape_jvp(&y, 1, &x, 1, &t, &options, &ty);
    return ty;
}

START_TEST(forward_over_forward)
{
    double at = 0.7;
    tape_tensor x = tape_param(TAPE_F64, TAPE_SCALAR, &at), one = tape_scalar(TAPE_F64, 1), second;
    tape_tensor first = derivative_of_sine(x, one);
    ck_assert_double_eq_tol(tape_item(first), cos(at), 1e-15);
    ck_assert_int_eq(tape_jvp(&first, 1, &x, 1, &one, NULL, &second), TAPE_OK);
    ck_assert_double_eq_tol(tape_item(second), -sin(at), 1e-15);
    tape_free(x);
    tape_reset();
}
END_TEST

/* ---- kinks ------------------------------------------------------------------------------------------------------- */

static double tangent_at(tape_tensor (*fn)(tape_tensor x), double at, bool create_graph)
{
    const tape_grad_options options = {.create_graph = create_graph};
    tape_tensor x = tape_param(TAPE_F64, TAPE_SHAPE(1), &at), one = tape_ones_like(x), y = fn(x), ty;
    ck_assert_int_eq(tape_jvp(&y, 1, &x, 1, &one, &options, &ty), TAPE_OK);
    double value = tape_item(ty);
    tape_free(x);
    tape_reset();
    return value;
}

static tape_tensor guarded_sqrt(tape_tensor x)
{
    return tape_where(tape_gt_scalar(x, 0), tape_sqrt(x), tape_zeros_like(x));
}

static tape_tensor relu_of_negated_sqrt(tape_tensor x)
{
    return tape_relu(tape_sub(tape_zeros_like(x), tape_sqrt(x)));
}

static tape_tensor tie(tape_tensor x)
{
    return tape_maximum(x, tape_mul_scalar(x, 3));
}

static tape_tensor norm_of(tape_tensor x)
{
    return tape_norm(x, 2, TAPE_ALL, false);
}

START_TEST(kinks)
{
    for (int recorded = 0; recorded < 2; recorded++) {
        ck_assert_double_eq(tangent_at(tape_relu, 0, recorded), 0);
        ck_assert_double_eq(tangent_at(tape_abs, 0, recorded), 0);
        ck_assert_double_eq(tangent_at(tie, 0, recorded), 2); /* half of 1 and half of 3 */
        ck_assert_double_eq(tangent_at(tape_sqrt, 0, recorded), INFINITY);
        ck_assert_double_eq(tangent_at(guarded_sqrt, 0, recorded), 0);
        ck_assert_double_eq(tangent_at(relu_of_negated_sqrt, 0, recorded), 0);
        ck_assert_double_eq(tangent_at(norm_of, 0, recorded), 0);
    }
}
END_TEST

/* ---- what goes in and out ---------------------------------------------------------------------------------------- */

START_TEST(several_tensors)
{
    const double v[2] = {2, 3};
    tape_tensor a = tape_param(TAPE_F64, TAPE_SHAPE(2), v), b = tape_mul_scalar(a, 2),
                other = tape_param(TAPE_F64, TAPE_SCALAR, v);
    tape_tensor ys[3] = {tape_mul(a, b), other, b}, xs[4] = {a, b, a, other}, out[3];
    tape_tensor one = tape_ones_like(a), t[4] = {one, one, one, TAPE_NONE};
    /* a counts twice: da = 2, db = 2 da + 1 = 5, dy = a db + b da */
    ck_assert_int_eq(tape_jvp(ys, 3, xs, 4, t, NULL, out), TAPE_OK);
    for (int i = 0; i < 2; i++) {
        ck_assert_double_eq(tape_data_f64(out[0])[i], v[i] * 5 + 2 * v[i] * 2);
        ck_assert_double_eq(tape_data_f64(out[2])[i], 5);
    }
    ck_assert(tape_is_none(out[1]));
    tape_tensor cut = tape_detach(b);
    ck_assert_int_eq(tape_jvp(&cut, 1, xs, 2, t, NULL, out), TAPE_OK);
    ck_assert(tape_is_none(out[0]));
    /* the next sweep finds the tape as it was */
    ck_assert_int_eq(tape_backward_with(ys[0], one), TAPE_OK);
    ck_assert_double_eq(tape_data_f64(tape_gradient(a))[1], 12);
    tape_free(a), tape_free(other);
    tape_reset();
}
END_TEST

START_TEST(errors)
{
    double v = 2;
    tape_tensor x = tape_param(TAPE_F64, TAPE_SCALAR, &v), y = tape_sin(x), t = tape_zeros(TAPE_F64, TAPE_SHAPE(2)),
                out;
    ck_assert_int_eq(tape_jvp(&y, 1, &x, 1, &t, NULL, &out), TAPE_ERROR_SHAPE);
    ck_assert(tape_is_null(out));
    FAILS(TAPE_ERROR_SHAPE, "jvp");
    t = tape_scalar(TAPE_F32, 1);
    tape_jvp(&y, 1, &x, 1, &t, NULL, &out);
    FAILS(TAPE_ERROR_SHAPE, "f32");
    tape_jvp(&y, 1, &x, 1, NULL, NULL, &out);
    FAILS(TAPE_ERROR_ARGUMENT, "jvp");
    t = TAPE_NULL;
    tape_jvp(&y, 1, &x, 1, &t, NULL, &out);
    FAILS(TAPE_ERROR_HANDLE, "jvp");
    t = tape_scalar(TAPE_F64, 1);
    tape_tensor two[2] = {x, x}, mixed[2] = {t, tape_scalar(TAPE_F32, 1)};
    tape_jvp(&y, 1, two, 2, mixed, NULL, &out); /* fails after the first: nothing of it stays */
    FAILS(TAPE_ERROR_SHAPE, "f32");
    ck_assert_int_eq(tape_jvp(&y, 1, &x, 1, &t, NULL, &out), TAPE_OK);
    ck_assert_double_eq(tape_item(out), cos(2));
    tape_data_mut(x);
    tape_jvp(&y, 1, &x, 1, &t, NULL, &out);
    FAILS(TAPE_ERROR_VERSION, "sin");
    y = tape_sin(x);
    ck_assert_int_eq(tape_jvp(&y, 1, &x, 1, &t, NULL, &out), TAPE_OK);
    ck_assert_double_eq(tape_item(out), cos(2));
    tape_free(x);
    tape_reset();
}
END_TEST

/* ---- user-defined ops -------------------------------------------------------------------------------------------- */

static tape_status square(tape_custom_call *c)
{
    c->y[0] = tape_square(c->x[0]);
    return TAPE_OK;
}

static tape_status square_vjp(tape_custom_vjp *v)
{
    v->gx[0] = tape_mul(v->gy[0], tape_mul_scalar(v->x[0], 2));
    return TAPE_OK;
}

static tape_status square_jvp(tape_custom_jvp *v)
{
    v->ty[0] = tape_mul(v->tx[0], tape_mul_scalar(v->x[0], 2));
    return TAPE_OK;
}

static tape_status failing_jvp(tape_custom_jvp *v)
{
    v->ty[0] = TAPE_NULL;
    return TAPE_OK;
}

START_TEST(custom_ops)
{
    double v = 3;
    tape_custom_op op = {.name = "own", .forward = square, .vjp = square_vjp};
    tape_tensor x = tape_param(TAPE_F64, TAPE_SCALAR, &v), t = tape_scalar(TAPE_F64, 1), out, second;
    const tape_grad_options recorded = {.create_graph = true};
    for (int rule = 0; rule < 2; rule++) {
        op.jvp = rule ? square_jvp : NULL;
        op.first_order = rule;
        tape_tensor y = tape_custom(&op, &x, 1, NULL, 0, NULL);
        ck_assert_int_eq(tape_jvp(&y, 1, &x, 1, &t, &recorded, &out), TAPE_OK);
        ck_assert_double_eq(tape_item(out), 6);
        ck_assert_int_eq(tape_grad(&out, 1, NULL, &x, 1, NULL, &second), TAPE_OK);
        ck_assert_double_eq(tape_item(second), 2);
    }
    op.jvp = failing_jvp;
    tape_tensor y = tape_custom(&op, &x, 1, NULL, 0, NULL);
    tape_jvp(&y, 1, &x, 1, &t, NULL, &out);
    FAILS(TAPE_ERROR_CALLBACK, "JVP");
    op.jvp = NULL;
    tape_jvp(&y, 1, &x, 1, &t, NULL, &out);
    FAILS(TAPE_ERROR_UNSUPPORTED, "own has no forward mode");
    tape_free(x);
    tape_reset();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("forward");
    TCase *all = tcase_create("all");
    tcase_add_test(all, agrees_with_reverse_mode);
    tcase_add_test(all, has_derivatives);
    tcase_add_test(all, forward_over_forward);
    tcase_add_test(all, kinks);
    tcase_add_test(all, several_tensors);
    tcase_add_test(all, errors);
    tcase_add_test(all, custom_ops);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
