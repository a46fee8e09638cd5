/* User-defined ops: their derivatives, what callbacks may return and do, and the end of what records own. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tape/custom.h"
#include "tape/gradcheck.h"

#define FAILS(expected, text)                                                                                          \
    do {                                                                                                               \
        ck_assert_msg(tape_last_status() == (expected), "%s: %s", tape_status_name(tape_last_status()),                \
                      tape_message());                                                                                 \
        ck_assert_msg(strstr(tape_message(), text) != NULL, "%s", tape_message());                                     \
        tape_clear();                                                                                                  \
    } while (0)
#define OK() ck_assert_msg(tape_last_status() == TAPE_OK, "%s", tape_message())

static const double values[3] = {0.5, -1.25, 2};

static tape_tensor vector(void)
{
    return tape_param(TAPE_F64, TAPE_SHAPE(3), values);
}

static void check_gradient(tape_function *fn, const tape_custom_op *op, const tape_gradcheck_options *options)
{
    tape_gradcheck_report report;
    tape_tensor x = vector();
    bool passed = tape_gradcheck(fn, (void *)(uintptr_t)op, &x, 1, options, &report);
    ck_assert_msg(passed, "%s", report.message);
    tape_free(x);
    tape_reset();
}

static tape_tensor call_custom(void *user, const tape_tensor *x, int n)
{
    return tape_custom(user, x, n, NULL, 0, NULL);
}

/* ---- written with ops -------------------------------------------------------------------------------------------- */

static tape_status cube(tape_custom_call *c)
{
    c->y[0] = tape_mul(c->x[0], tape_square(c->x[0]));
    return tape_last_status();
}

static tape_status cube_vjp(tape_custom_vjp *v)
{
    v->gx[0] = tape_mul(v->gy[0], tape_mul_scalar(tape_square(v->x[0]), 3));
    return tape_last_status();
}

static const tape_custom_op cube_op = {.name = "cube", .forward = cube, .vjp = cube_vjp};

START_TEST(written_with_ops)
{
    check_gradient(call_custom, &cube_op, NULL);
    check_gradient(call_custom, &cube_op, &(tape_gradcheck_options){.second_order = true});
    tape_tensor x = vector(), g, h;
    tape_tensor y = tape_sum(tape_custom(&cube_op, &x, 1, NULL, 0, NULL), TAPE_ALL, false);
    const tape_grad_options recorded = {.create_graph = true};
    ck_assert_int_eq(tape_grad(&y, 1, NULL, &x, 1, &recorded, &g), TAPE_OK);
    tape_tensor sum = tape_sum(g, TAPE_ALL, false);
    ck_assert_int_eq(tape_grad(&sum, 1, NULL, &x, 1, &recorded, &h), TAPE_OK);
    for (int i = 0; i < 3; i++)
        ck_assert_double_eq_tol(tape_data_f64(h)[i], 6 * values[i], 1e-12);
    sum = tape_sum(h, TAPE_ALL, false);
    ck_assert_int_eq(tape_grad(&sum, 1, NULL, &x, 1, NULL, &h), TAPE_OK);
    for (int i = 0; i < 3; i++)
        ck_assert_double_eq_tol(tape_data_f64(h)[i], 6, 1e-12);
    tape_free(x);
    tape_reset();
}
END_TEST

/* ---- written on data --------------------------------------------------------------------------------------------- */

struct power {
    double exponent;
    double largest; /* left there by the forward */
};

static tape_status power(tape_custom_call *c)
{
    struct power *attr = c->attr;
    int64_t n = tape_numel(c->x[0]);
    const double *x = tape_data_f64(c->x[0]);
    double *y = tape_custom_output(c, 0, TAPE_F64, tape_shape_of(c->x[0]));
    if (!x || !y)
        return tape_last_status();
    for (int64_t i = 0; i < n; i++) {
        y[i] = pow(fabs(x[i]), attr->exponent);
        attr->largest = fmax(attr->largest, fabs(x[i]));
    }
    return TAPE_OK;
}

static tape_status power_vjp(tape_custom_vjp *v)
{
    const struct power *attr = v->attr;
    ck_assert_double_eq(attr->largest, 2);
    double p = attr->exponent, *gx = tape_custom_gradient(v, 0), gy[3];
    const double *x = tape_data_f64(v->x[0]);
    if (!gx || tape_read(v->gy[0], gy, 3) != TAPE_OK)
        return tape_last_status();
    for (int i = 0; i < 3; i++)
        gx[i] = gy[i] * p * pow(fabs(x[i]), p - 1) * (x[i] < 0 ? -1 : 1);
    return TAPE_OK;
}

static const tape_custom_op power_op = {.name = "power", .forward = power, .vjp = power_vjp, .first_order = true};

static tape_tensor call_power(void *user, const tape_tensor *x, int n)
{
    const struct power attr = {2.5, 2};
    return tape_custom(user, x, n, &attr, sizeof attr, NULL);
}

START_TEST(written_on_data)
{
    const struct power attr = {2, 0};
    tape_tensor x = vector(), g;
    tape_tensor y = tape_sum(tape_custom(&power_op, &x, 1, &attr, sizeof attr, NULL), TAPE_ALL, false);
    ck_assert_double_eq_tol(tape_item(y), 0.25 + 1.5625 + 4, 1e-12);
    ck_assert_int_eq(tape_backward(y), TAPE_OK);
    for (int i = 0; i < 3; i++)
        ck_assert_double_eq_tol(tape_data_f64(tape_gradient(x))[i], 2 * values[i], 1e-12);
    const tape_grad_options recorded = {.create_graph = true};
    ck_assert_int_eq(tape_grad(&y, 1, NULL, &x, 1, &recorded, &g), TAPE_ERROR_UNSUPPORTED);
    FAILS(TAPE_ERROR_UNSUPPORTED, "power");
    tape_free(x);
    tape_reset();
    check_gradient(call_power, &power_op, NULL);
}
END_TEST

/* ---- several outputs --------------------------------------------------------------------------------------------- */

static tape_status sincos(tape_custom_call *c)
{
    c->y[0] = tape_sin(c->x[0]);
    c->y[1] = tape_cos(c->x[0]);
    return tape_last_status();
}

static tape_status sincos_vjp(tape_custom_vjp *v)
{
    v->gx[0] = tape_sub(tape_mul(v->gy[0], v->y[1]), tape_mul(v->gy[1], v->y[0]));
    return tape_last_status();
}

static tape_status sincos_absent_vjp(tape_custom_vjp *v)
{
    ck_assert(tape_is_none(v->gy[0]));
    v->gx[0] = tape_neg(tape_mul(v->gy[1], v->y[0]));
    return tape_last_status();
}

static tape_tensor call_sincos(void *user, const tape_tensor *x, int n)
{
    tape_tensor y[2];
    tape_custom(user, x, n, NULL, 0, y);
    return tape_mul(y[0], tape_exp(y[1]));
}

static tape_tensor call_cosine(void *user, const tape_tensor *x, int n)
{
    tape_tensor y[2];
    tape_custom(user, x, n, NULL, 0, y);
    return y[1];
}

START_TEST(several_outputs)
{
    tape_custom_op op = {.name = "sincos", .n_out = 2, .forward = sincos, .vjp = sincos_vjp, .unread_inputs = 1};
    check_gradient(call_sincos, &op, NULL);
    check_gradient(call_sincos, &op, &(tape_gradcheck_options){.second_order = true});
    check_gradient(call_cosine, &op, NULL);
    op.vjp = sincos_absent_vjp;
    op.takes_absent = true;
    check_gradient(call_cosine, &op, NULL);
}
END_TEST

/* ---- saved values ------------------------------------------------------------------------------------------------ */

START_TEST(saved_values)
{
    tape_custom_op op = {.name = "sincos", .n_out = 2, .forward = sincos, .vjp = sincos_vjp, .unread_inputs = 1};
    tape_tensor x = vector(), y[2], ones = tape_ones_like(x);
    tape_custom(&op, &x, 1, NULL, 0, y);
    double *data = tape_data_mut(x);
    data[0] = 9; /* an unread input: no error, and the old gradient */
    ck_assert_int_eq(tape_backward_with(y[0], ones), TAPE_OK);
    ck_assert_double_eq_tol(tape_data_f64(tape_gradient(x))[0], cos(0.5), 1e-12);
    data = tape_data_mut(y[1]);
    data[0] = 9;
    ck_assert_int_eq(tape_backward_with(y[0], ones), TAPE_ERROR_VERSION);
    FAILS(TAPE_ERROR_VERSION, "sincos");
    op.unread_inputs = 0;
    tape_custom(&op, &x, 1, NULL, 0, y);
    tape_data_mut(x);
    ck_assert_int_eq(tape_backward_with(y[0], ones), TAPE_ERROR_VERSION);
    FAILS(TAPE_ERROR_VERSION, "sincos");
    tape_free(x);
    tape_reset();
}
END_TEST

/* ---- what callbacks return --------------------------------------------------------------------------------------- */

static tape_status returns_input(tape_custom_call *c)
{
    c->y[0] = c->x[0];
    return TAPE_OK;
}

static tape_status returns_view(tape_custom_call *c)
{
    c->y[0] = tape_reshape(tape_mul_scalar(c->x[0], 2), TAPE_SHAPE(3, 1));
    return TAPE_OK;
}

static tape_status leaves_empty(tape_custom_call *c)
{
    (void)c;
    return TAPE_OK;
}

static tape_status returns_ended(tape_custom_call *c)
{
    tape_position mark = tape_mark();
    c->y[0] = tape_neg(c->x[0]);
    tape_rewind(mark);
    return TAPE_OK;
}

static tape_status fails_with_message(tape_custom_call *c)
{
    (void)c;
    return tape_fail(TAPE_ERROR_INDEX, "the table has no row %d", 7);
}

static tape_status fails_silently(tape_custom_call *c)
{
    (void)c;
    return TAPE_ERROR_IO;
}

static tape_status op_error_inside(tape_custom_call *c)
{
    c->y[0] = tape_add(c->x[0], tape_zeros(TAPE_F64, TAPE_SHAPE(2)));
    return TAPE_OK;
}

START_TEST(forward_results)
{
    tape_tensor x = vector(), y;
    tape_custom_op op = {.name = "odd", .forward = returns_input};
    y = tape_custom(&op, &x, 1, NULL, 0, NULL);
    OK();
    ck_assert(tape_data(y) != tape_data(x) && tape_data_f64(y)[1] == values[1] && !tape_requires_grad(y));
    op.forward = returns_view;
    y = tape_custom(&op, &x, 1, NULL, 0, NULL);
    OK();
    ck_assert(tape_rank(y) == 2 && tape_data_f64(y)[2] == 4);
    const struct {
        tape_status (*forward)(tape_custom_call *c);
        tape_status status;
        const char *text;
    } cases[] = {{leaves_empty, TAPE_ERROR_CALLBACK, "odd: its forward left output 0 empty"},
                 {returns_ended, TAPE_ERROR_CALLBACK, "ended"},
                 {fails_with_message, TAPE_ERROR_INDEX, "no row 7"},
                 {fails_silently, TAPE_ERROR_CALLBACK, "odd: its forward failed: IO"},
                 {op_error_inside, TAPE_ERROR_SHAPE, "odd"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t records = tape_stats().records;
        op.forward = cases[i].forward;
        ck_assert(tape_is_null(tape_custom(&op, &x, 1, NULL, 0, &y)) && tape_is_null(y));
        FAILS(cases[i].status, cases[i].text);
        ck_assert_int_eq(tape_stats().records, records);
    }
    tape_free(x);
    tape_custom(&op, &x, 1, NULL, 0, NULL);
    FAILS(TAPE_ERROR_HANDLE, "odd");
    tape_custom(NULL, &x, 1, NULL, 0, NULL);
    FAILS(TAPE_ERROR_ARGUMENT, "name");
    op.n_out = 9;
    tape_custom(&op, &x, 1, NULL, 0, NULL);
    FAILS(TAPE_ERROR_ARGUMENT, "outputs");
    tape_reset();
}
END_TEST

static tape_status wrong_shape(tape_custom_vjp *v)
{
    v->gx[0] = tape_sum(v->gy[0], TAPE_ALL, false);
    return TAPE_OK;
}

static tape_status wrong_dtype(tape_custom_vjp *v)
{
    v->gx[0] = tape_cast(v->gy[0], TAPE_F32);
    return TAPE_OK;
}

static tape_status gives_null(tape_custom_vjp *v)
{
    v->gx[0] = TAPE_NULL;
    return TAPE_OK;
}

static tape_status gives_ended(tape_custom_vjp *v)
{
    tape_position mark = tape_mark();
    v->gx[0] = tape_neg(v->gy[0]);
    tape_rewind(mark);
    return TAPE_OK;
}

static tape_status vjp_fails(tape_custom_vjp *v)
{
    (void)v;
    return tape_fail(TAPE_ERROR_CALLBACK, "no derivative today");
}

START_TEST(vjp_results)
{
    const struct {
        tape_status (*vjp)(tape_custom_vjp *v);
        tape_status status;
        const char *text;
    } cases[] = {{wrong_shape, TAPE_ERROR_SHAPE, "odd"},
                 {wrong_dtype, TAPE_ERROR_SHAPE, "f32"},
                 {gives_null, TAPE_ERROR_CALLBACK, "odd: its VJP gave null as result 0"},
                 {gives_ended, TAPE_ERROR_CALLBACK, "ended"},
                 {vjp_fails, TAPE_ERROR_CALLBACK, "no derivative today"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tape_custom_op op = {.name = "odd", .forward = cube, .vjp = cases[i].vjp};
        tape_tensor x = vector(), y, g = TAPE_NONE;
        y = tape_sum(tape_mul(x, tape_custom(&op, &x, 1, NULL, 0, NULL)), TAPE_ALL, false);
        ck_assert_int_eq(tape_backward(y), cases[i].status);
        FAILS(cases[i].status, cases[i].text);
        ck_assert(tape_is_none(tape_gradient(x)));
        for (int create_graph = 0; create_graph < 2; create_graph++) {
            const tape_grad_options options = {.create_graph = create_graph};
            ck_assert_int_eq(tape_grad(&y, 1, NULL, &x, 1, &options, &g), cases[i].status);
            FAILS(cases[i].status, cases[i].text);
            ck_assert(tape_is_null(g));
        }
        tape_free(x);
        tape_reset();
    }
}
END_TEST

static tape_status copies(tape_custom_vjp *v)
{
    v->gx[0] = v->gy[0];                       /* the cotangent itself */
    v->gx[1] = v->x[0];                        /* an input, a leaf */
    v->gx[2] = tape_transpose(v->gy[0], 0, 0); /* a view of the cotangent */
    return TAPE_OK;
}

static tape_status first_of_three(tape_custom_call *c)
{
    c->y[0] = c->x[0];
    return TAPE_OK;
}

START_TEST(vjp_results_are_copied)
{
    tape_custom_op op = {.name = "copies", .forward = first_of_three, .vjp = copies};
    tape_tensor x[3] = {vector(), vector(), vector()};
    tape_tensor y = tape_custom(&op, x, 3, NULL, 0, NULL), two = tape_full(TAPE_F64, TAPE_SHAPE(3), 2);
    ck_assert_int_eq(tape_backward_with(y, two), TAPE_OK);
    ck_assert_int_eq(tape_backward_with(y, two), TAPE_OK);
    for (int i = 0; i < 3; i++) {
        ck_assert_double_eq(tape_data_f64(tape_gradient(x[0]))[i], 4);
        ck_assert_double_eq(tape_data_f64(tape_gradient(x[1]))[i], 2 * values[i]);
        ck_assert_double_eq(tape_data_f64(tape_gradient(x[2]))[i], 4);
        ck_assert_double_eq(tape_data_f64(x[0])[i], values[i]);
    }
    for (int i = 0; i < 3; i++)
        tape_free(x[i]);
    tape_reset();
}
END_TEST

/* ---- what callbacks do ------------------------------------------------------------------------------------------- */

/* The derivative by recording the forward anew and differentiating that. */
static tape_status nested_vjp(tape_custom_vjp *v)
{
    ck_assert(tape_is_recording());
    tape_tensor y = tape_mul(v->x[0], tape_square(v->x[0]));
    const tape_grad_options options = {.create_graph = v->create_graph};
    return tape_grad(&y, 1, v->gy, v->x, 1, &options, v->gx);
}

/* The same through a custom op that does the same. */
static const tape_custom_op nested_op = {.name = "nested", .forward = cube, .vjp = nested_vjp};

static tape_status doubly_nested_vjp(tape_custom_vjp *v)
{
    tape_tensor y = tape_custom(&nested_op, v->x, 1, NULL, 0, NULL);
    const tape_grad_options options = {.create_graph = v->create_graph};
    return tape_grad(&y, 1, v->gy, v->x, 1, &options, v->gx);
}

static tape_tensor call_twice(void *user, const tape_tensor *x, int n)
{
    tape_tensor h = tape_sin(x[0]); /* an intermediate that the outer sweep reaches on two ways */
    return tape_mul(tape_custom(user, &h, n, NULL, 0, NULL), h);
}

START_TEST(nested_sweeps)
{
    const tape_custom_op doubly = {.name = "doubly", .forward = cube, .vjp = doubly_nested_vjp};
    const tape_custom_op *ops[] = {&nested_op, &doubly};
    for (int i = 0; i < 2; i++) {
        check_gradient(call_custom, ops[i], NULL);
        check_gradient(call_twice, ops[i], NULL);
        check_gradient(call_twice, ops[i], &(tape_gradcheck_options){.second_order = true});
        /* the outer sweep wants the adjoint of the very tensor that the inner one starts from */
        tape_tensor x = vector(), h = tape_mul_scalar(x, 2), wanted[2] = {h, x}, g[2];
        tape_tensor y = tape_sum(tape_mul(tape_custom(ops[i], &h, 1, NULL, 0, NULL), h), TAPE_ALL, false);
        ck_assert_int_eq(tape_grad(&y, 1, NULL, wanted, 2, NULL, g), TAPE_OK);
        for (int k = 0; k < 3; k++) {
            ck_assert_double_eq_tol(tape_data_f64(g[0])[k], 4 * pow(2 * values[k], 3), 1e-11);
            ck_assert_double_eq_tol(tape_data_f64(g[1])[k], 8 * pow(2 * values[k], 3), 1e-11);
        }
        tape_free(x);
        tape_reset();
    }
}
END_TEST

/* Many nested sweeps need the memory of one. */
START_TEST(nested_sweeps_give_memory_back)
{
    tape_tensor x = vector(), y = x;
    size_t bytes[2];
    for (int i = 0; i < 200; i++)
        y = tape_custom(&nested_op, &y, 1, NULL, 0, NULL);
    y = tape_sum(y, TAPE_ALL, false);
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i <= 20 * pass; i++)
            ck_assert_int_eq(tape_backward(y), TAPE_OK);
        bytes[pass] = tape_stats().bytes_now;
    }
    ck_assert_uint_eq(bytes[0], bytes[1]);
    tape_free(x);
    tape_reset();
}
END_TEST

static tape_position outer_mark;

static tape_status forbidden(tape_custom_vjp *v)
{
    tape_tensor y = tape_sum(tape_square(v->x[0]), TAPE_ALL, false);
    ck_assert_int_eq(tape_backward(y), TAPE_ERROR_STATE);
    FAILS(TAPE_ERROR_STATE, "callback");
    ck_assert_int_eq(tape_reset(), TAPE_ERROR_STATE);
    FAILS(TAPE_ERROR_STATE, "callback");
    ck_assert_int_eq(tape_rewind(outer_mark), TAPE_ERROR_STATE);
    FAILS(TAPE_ERROR_STATE, "callback");
    ck_assert_int_eq(tape_mark_drop(outer_mark), TAPE_ERROR_STATE);
    FAILS(TAPE_ERROR_STATE, "callback");
    tape_mark(); /* never dropped: it ends with the callback */
    tape_pause();
    v->gx[0] = tape_mul(v->gy[0], tape_mul_scalar(tape_square(v->x[0]), 3));
    return TAPE_OK;
}

START_TEST(what_a_callback_may_not)
{
    const tape_custom_op op = {.name = "forbidden", .forward = cube, .vjp = forbidden};
    tape_tensor x = vector();
    outer_mark = tape_mark();
    tape_tensor y = tape_sum(tape_custom(&op, &x, 1, NULL, 0, NULL), TAPE_ALL, false);
    ck_assert_int_eq(tape_backward(y), TAPE_OK);
    for (int i = 0; i < 3; i++)
        ck_assert_double_eq_tol(tape_data_f64(tape_gradient(x))[i], 3 * values[i] * values[i], 1e-12);
    ck_assert(tape_is_recording());
    ck_assert_int_eq(tape_rewind(outer_mark), TAPE_OK);
    ck_assert(!tape_is_valid(y));
    tape_free(x);
    tape_reset();
}
END_TEST

/* ---- what records own -------------------------------------------------------------------------------------------- */

static void count_release(void *user, void *attr)
{
    ++*(int *)user;
    free(*(void **)attr);
}

static tape_status owning(tape_custom_call *c)
{
    *(void **)c->attr = malloc(16);
    return returns_input(c);
}

START_TEST(release)
{
    int released = 0;
    void *none = NULL;
    const tape_custom_op op = {
        .name = "owning", .forward = owning, .vjp = cube_vjp, .release = count_release, .user = &released};
    tape_tensor x = vector();
    tape_custom(&op, &x, 1, &none, sizeof none, NULL);
    tape_position mark = tape_mark();
    tape_custom(&op, &x, 1, &none, sizeof none, NULL);
    tape_custom(&op, &x, 1, &none, sizeof none, NULL);
    ck_assert_int_eq(released, 0);
    tape_rewind(mark);
    ck_assert_int_eq(released, 2);
    tape_reset();
    ck_assert_int_eq(released, 3);
    tape_pause();
    tape_custom(&op, &x, 1, &none, sizeof none, NULL);
    ck_assert_int_eq(released, 4);
    tape_resume();
    tape *t = tape_create(NULL), *before = tape_make_current(t);
    tape_custom(&op, &x, 1, &none, sizeof none, NULL);
    tape_make_current(before);
    tape_destroy(t);
    ck_assert_int_eq(released, 5);
    tape_free(x);
    tape_reset();
    OK();
}
END_TEST

/* The f64 evaluation of an f32 program: a forward that knows f32 alone is reported as unchecked, not as wrong. */
static tape_status only_f32(tape_custom_call *c)
{
    float *y = tape_custom_output(c, 0, TAPE_F32, tape_shape_of(c->x[0]));
    if (y)
        memset(y, 0, 3 * sizeof *y);
    return tape_last_status();
}

START_TEST(unchecked)
{
    const float narrow[3] = {1, 2, 3};
    const tape_custom_op op = {.name = "narrow", .forward = only_f32, .vjp = cube_vjp};
    tape_tensor x = tape_param(TAPE_F32, TAPE_SHAPE(3), narrow);
    tape_gradcheck_report report;
    ck_assert(!tape_gradcheck(call_custom, (void *)(uintptr_t)&op, &x, 1, NULL, &report));
    ck_assert_int_eq(report.status, TAPE_ERROR_UNSUPPORTED);
    FAILS(TAPE_ERROR_UNSUPPORTED, "narrow");
    tape_gradcheck(call_custom, (void *)(uintptr_t)&cube_op, &x, 1, NULL, &report);
    ck_assert_msg(report.passed, "%s", report.message);
    ck_assert_str_eq(report.op, "cube");
    tape_free(x);
    tape_reset();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("custom");
    TCase *all = tcase_create("all");
    tcase_add_test(all, written_with_ops);
    tcase_add_test(all, written_on_data);
    tcase_add_test(all, several_outputs);
    tcase_add_test(all, saved_values);
    tcase_add_test(all, forward_results);
    tcase_add_test(all, vjp_results);
    tcase_add_test(all, vjp_results_are_copied);
    tcase_add_test(all, nested_sweeps);
    tcase_add_test(all, nested_sweeps_give_memory_back);
    tcase_add_test(all, what_a_callback_may_not);
    tcase_add_test(all, release);
    tcase_add_test(all, unchecked);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
