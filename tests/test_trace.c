/* The search for the first NaN or infinity: what is blamed, on every way that an op runs, what is not, and on whom. */
#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"
#include "tape/autodiff.h"
#include "tape/custom.h"
#include "tape/trace.h"
#include "trace.h"

static void start(tape_trace_mode mode)
{
    ck_assert_int_eq(tape_trace_nonfinite(mode), TAPE_OK);
    ck_assert_ptr_null(tape_nonfinite_found());
}

/* Ends the search and everything on the tape. */
static void finish(void)
{
    start(TAPE_TRACE_OFF);
    settle();
}

static const tape_nonfinite *found(tape_trace_pass pass, const char *op, double value)
{
    const tape_nonfinite *r = tape_nonfinite_found();
    ck_assert_msg(r != NULL, "nothing found in %s", op);
    ck_assert_msg(r->pass == pass && strcmp(r->op, op) == 0, "%s", r->message);
    ck_assert_msg(isnan(value) ? isnan(r->value) : r->value == value, "%s", r->message);
    ck_assert_ptr_nonnull(strstr(r->message, op));
    return r;
}

static void found_nothing(void)
{
    const tape_nonfinite *r = tape_nonfinite_found();
    ck_assert_msg(!r, "%s", r ? r->message : "");
}

/* Three values: `at` is the second of each four, the others are harmless. */
static tape_tensor vector_with(tape_dtype dtype, int64_t n, double at)
{
    double values[64];
    for (int64_t i = 0; i < n; i++)
        values[i] = n == 1 || i == 1 ? at : 1;
    return leaf_of(dtype, n == 1 ? TAPE_SCALAR : TAPE_SHAPE(n), values, true);
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

static tape_tensor over_itself(tape_tensor x)
{
    return tape_div(x, x);
}

/* One element, few of them and whole vectors run on ways of their own. */
START_TEST(test_forward)
{
    static const struct {
        tape_tensor (*call)(tape_tensor);
        const char *op;
        double at, value;
    } cases[] = {{tape_sqrt, "sqrt", -1, NAN},
                 {tape_log, "log", 0, -INFINITY},
                 {over_itself, "div", 0, NAN},
                 {tape_exp, "exp", 1000, INFINITY}};
    static const int64_t sizes[] = {1, 3, 64};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int dtype = TAPE_F32; dtype <= TAPE_F64; dtype++)
            for (int k = 0; k < 3; k++) {
                tape_tensor x = vector_with((tape_dtype)dtype, sizes[k], cases[i].at);
                tape_neg(x); /* the leaf is on the tape: the short way is open */
                start(TAPE_TRACE_REPORT);
                tape_tensor y = tape_neg(cases[i].call(tape_neg(tape_neg(x))));
                const tape_nonfinite *r = found(TAPE_TRACE_FORWARD, cases[i].op, cases[i].value);
                ck_assert_int_eq(r->dtype, dtype);
                ck_assert_int_eq(r->shape.rank, sizes[k] > 1);
                ck_assert_int_eq(r->index[0], sizes[k] > 1);
                ck_assert(r->elementwise && r->operand_count >= 1 && r->operand[0].low == cases[i].at);
                ck_assert_ptr_null(r->within);
                ck_assert(!tape_is_null(y) && tape_last_status() == TAPE_OK);
                tape_free(x);
                finish();
            }
}
END_TEST

START_TEST(test_general_op)
{
    const float large[4] = {3e38F, 3e38F, 1, 2};
    tape_tensor x = tape_const(TAPE_F32, TAPE_SHAPE(2, 2), large);
    start(TAPE_TRACE_REPORT);
    tape_tensor sum = tape_sum(x, TAPE_AXES(1), false);
    const tape_nonfinite *r = found(TAPE_TRACE_FORWARD, "sum", INFINITY);
    ck_assert(!r->elementwise && r->index[0] == 0 && r->operand[0].low == 1 && r->operand[0].high == (double)3e38F);
    tape_sum(sum, TAPE_ALL, false);
    ck_assert_ptr_eq(tape_nonfinite_found(), r); /* the first stays */
    start(TAPE_TRACE_REPORT);
    tape_matmul(x, tape_unsqueeze(sum, 1));
    found_nothing();
    tape_matmul(x, x);
    found(TAPE_TRACE_FORWARD, "matmul", INFINITY);
    tape_free(x);
    finish();
}
END_TEST

/* What follows from a NaN is nobody's fault, but another element may be somebody's. */
START_TEST(test_innocent)
{
    const double given[4] = {NAN, 1, INFINITY, 2}, more[4] = {NAN, 0, INFINITY, 2};
    tape_tensor x = tape_param(TAPE_F64, TAPE_SHAPE(4), given), z = tape_param(TAPE_F64, TAPE_SHAPE(4), more);
    start(TAPE_TRACE_REPORT);
    tape_tensor y = tape_sum(tape_mul(tape_log(x), tape_sub(x, x)), TAPE_ALL, false);
    ck_assert_int_eq(tape_backward(y), TAPE_OK);
    tape_log(tape_full(TAPE_F64, TAPE_SHAPE(2), INFINITY));
    found_nothing();
    tape_log(z);
    ck_assert_int_eq(found(TAPE_TRACE_FORWARD, "log", -INFINITY)->index[0], 1);
    tape_free(x), tape_free(z);
    finish();
}
END_TEST

START_TEST(test_broadcast_element)
{
    const double a[2] = {0, 1}, b[3] = {5, 0, 7};
    tape_tensor x = tape_param(TAPE_F64, TAPE_SHAPE(2, 1), a), y = tape_param(TAPE_F64, TAPE_SHAPE(3), b);
    start(TAPE_TRACE_REPORT);
    tape_div(tape_add_scalar(x, 1), tape_transpose(tape_reshape(y, TAPE_SHAPE(3, 1)), 0, 1));
    const tape_nonfinite *r = found(TAPE_TRACE_FORWARD, "div", INFINITY);
    ck_assert(r->index[0] == 0 && r->index[1] == 1 && r->operand[0].low == 1 && r->operand[1].low == 0);
    ck_assert_int_eq(r->operand[1].shape.size[1], 3);
    tape_free(x), tape_free(y);
    finish();
}
END_TEST

START_TEST(test_composite)
{
    tape_tensor x = vector_with(TAPE_F32, 3, 1e30);
    start(TAPE_TRACE_REPORT);
    tape_mse(x, tape_zeros_like(x), TAPE_REDUCE_MEAN);
    const tape_nonfinite *r = found(TAPE_TRACE_FORWARD, "squared_error_pointwise", INFINITY);
    ck_assert_str_eq(r->within, "mse");
    tape_free(x);
    finish();
}
END_TEST

START_TEST(test_paused)
{
    tape_tensor x = vector_with(TAPE_F32, 3, 0);
    start(TAPE_TRACE_REPORT);
    tape_pause();
    tape_log(x);
    tape_resume();
    found(TAPE_TRACE_FORWARD, "log", -INFINITY);
    tape_free(x);
    finish();
}
END_TEST

/* ---- backward ---------------------------------------------------------------------------------------------------- */

START_TEST(test_backward)
{
    static const int64_t sizes[] = {1, 3, 64};
    for (int k = 0; k < 3; k++) {
        tape_tensor x = vector_with(TAPE_F64, sizes[k], 0);
        start(TAPE_TRACE_REPORT);
        tape_tensor y = tape_sum(tape_mul_scalar(tape_sqrt(x), 3), TAPE_ALL, false);
        found_nothing();
        ck_assert_int_eq(tape_backward(y), TAPE_OK);
        const tape_nonfinite *r = found(TAPE_TRACE_BACKWARD, "sqrt", INFINITY);
        ck_assert(r->elementwise && r->operand_count == 3 && r->index[0] == (k > 0));
        ck_assert_str_eq(r->operand[2].role, "cotangent");
        ck_assert(r->operand[0].low == 0 && r->operand[2].low == 3);
        tape_free(x);
        finish();
    }
}
END_TEST

/* The derivative 1 / (2 sqrt(0)) as ops: the record is blamed, not what its formula is written with. */
START_TEST(test_recorded_backward)
{
    tape_tensor x = vector_with(TAPE_F64, 3, 0), g;
    const tape_grad_options recorded = {.create_graph = true};
    start(TAPE_TRACE_REPORT);
    tape_tensor y = tape_sum(tape_sqrt(x), TAPE_ALL, false);
    ck_assert_int_eq(tape_grad(&y, 1, NULL, &x, 1, &recorded, &g), TAPE_OK);
    found(TAPE_TRACE_BACKWARD, "sqrt", INFINITY);
    tape_free(x);
    finish();
}
END_TEST

/* Both contributions are finite, their sum is not. */
START_TEST(test_accumulation)
{
    for (int64_t n = 1; n < 5; n += 3) {
        const float small[4] = {1e-3F, 1e-3F, 1e-3F, 1e-3F};
        tape_tensor x = tape_param(TAPE_F32, n == 1 ? TAPE_SCALAR : TAPE_SHAPE(n), small);
        start(TAPE_TRACE_REPORT);
        tape_tensor a = tape_mul_scalar(x, 3e38), b = tape_mul_scalar(x, (double)FLT_MAX);
        ck_assert_int_eq(tape_backward(tape_sum(tape_sub(a, tape_neg(b)), TAPE_ALL, false)), TAPE_OK);
        const tape_nonfinite *r = tape_nonfinite_found();
        ck_assert(r && r->pass == TAPE_TRACE_BACKWARD && strcmp(r->op, "mul") == 0);
        ck_assert(r->value == INFINITY && r->position == 0);
        tape_free(x);
        finish();
    }
}
END_TEST

/* A stretched input's derivative is summed: the whole of it counts. */
START_TEST(test_stretched)
{
    const float large[2] = {3e38F, 3e38F};
    tape_tensor x = tape_param(TAPE_F32, TAPE_SCALAR, (const float[]){0}),
                c = tape_const(TAPE_F32, TAPE_SHAPE(2), large);
    start(TAPE_TRACE_REPORT);
    ck_assert_int_eq(tape_backward(tape_sum(tape_mul(c, x), TAPE_ALL, false)), TAPE_OK);
    ck_assert_int_eq(found(TAPE_TRACE_BACKWARD, "mul", INFINITY)->position, 1);
    tape_free(x), tape_free(c);
    finish();
}
END_TEST

START_TEST(test_tangent)
{
    tape_tensor x = vector_with(TAPE_F64, 3, 0), ones = tape_ones(TAPE_F64, TAPE_SHAPE(3)), ty;
    start(TAPE_TRACE_REPORT);
    tape_tensor y = tape_exp(tape_sqrt(x));
    ck_assert_int_eq(tape_jvp(&y, 1, &x, 1, &ones, NULL, &ty), TAPE_OK);
    const tape_nonfinite *r = found(TAPE_TRACE_TANGENT, "sqrt", INFINITY);
    ck_assert_int_eq(r->index[0], 1);
    tape_free(x);
    finish();
}
END_TEST

/* ---- user-defined ops -------------------------------------------------------------------------------------------- */

static tape_status spoil(tape_custom_call *c)
{
    double *y = tape_custom_output(c, 0, TAPE_F64, tape_shape_of(c->x[0]));
    for (int64_t i = 0; y && i < tape_numel(c->x[0]); i++)
        y[i] = NAN;
    return tape_last_status();
}

static tape_status log_of(tape_custom_call *c)
{
    c->y[0] = tape_log(c->x[0]);
    return tape_last_status();
}

static tape_status spoil_vjp(tape_custom_vjp *v)
{
    v->gx[0] = tape_div(v->gy[0], tape_zeros_like(v->gy[0]));
    return tape_last_status();
}

static const tape_custom_op spoiled = {.name = "spoiled", .forward = spoil},
                            logarithm = {.name = "logarithm", .forward = log_of, .vjp = spoil_vjp};

START_TEST(test_custom)
{
    tape_tensor x = vector_with(TAPE_F64, 3, 0), z = vector_with(TAPE_F64, 3, 2);
    start(TAPE_TRACE_REPORT);
    tape_custom(&spoiled, &x, 1, NULL, 0, NULL);
    ck_assert_ptr_null(found(TAPE_TRACE_FORWARD, "spoiled", NAN)->within);
    start(TAPE_TRACE_REPORT);
    tape_custom(&logarithm, &x, 1, NULL, 0, NULL);
    ck_assert_str_eq(found(TAPE_TRACE_FORWARD, "log", -INFINITY)->within, "logarithm");
    start(TAPE_TRACE_REPORT);
    tape_tensor y = tape_sum(tape_custom(&logarithm, &z, 1, NULL, 0, NULL), TAPE_ALL, false);
    ck_assert_int_eq(tape_backward(y), TAPE_OK);
    found(TAPE_TRACE_BACKWARD, "logarithm", INFINITY);
    tape_free(x), tape_free(z);
    finish();
}
END_TEST

/* ---- the switch -------------------------------------------------------------------------------------------------- */

START_TEST(test_error_mode)
{
    tape_tensor x = vector_with(TAPE_F64, 3, 0);
    start(TAPE_TRACE_ERROR);
    tape_tensor y = tape_sum(tape_sqrt(x), TAPE_ALL, false);
    ck_assert_int_eq(tape_backward(y), TAPE_ERROR_NONFINITE);
    ck_assert_ptr_nonnull(strstr(tape_message(), "sqrt on the way back"));
    tape_clear();
    ck_assert(tape_is_none(tape_gradient(x)));
    ck_assert(tape_is_null(tape_log(x)));
    ck_assert_int_eq(tape_last_status(), TAPE_ERROR_NONFINITE);
    found(TAPE_TRACE_FORWARD, "log", -INFINITY);
    tape_clear();
    ck_assert(tape_is_null(tape_cumsum(tape_mul_scalar(tape_add_scalar(x, 1), 5e307), 0)));
    found(TAPE_TRACE_FORWARD, "cumsum", INFINITY);
    tape_clear();
    tape_free(x);
    finish();
}
END_TEST

struct heard {
    int count;
    tape_status status;
    char message[256];
};

static void hear(void *user, tape_status status, const char *message)
{
    struct heard *heard = user;
    heard->count++;
    heard->status = status;
    strncpy(heard->message, message, sizeof heard->message - 1);
}

START_TEST(test_switch)
{
    struct heard heard = {0};
    const tape_config config = {.log = hear, .log_user = &heard, .trace_nonfinite = TAPE_TRACE_REPORT};
    tape *t = tape_create(&config);
    tape *before = tape_make_current(t);
    tape_tensor zero = tape_zeros(TAPE_F32, TAPE_SHAPE(2));
    tape_log(zero), tape_div(zero, zero);
    ck_assert_int_eq(heard.count, 1);
    ck_assert_int_eq(heard.status, TAPE_ERROR_NONFINITE);
    ck_assert_int_eq(tape_last_status(), TAPE_OK);
    ck_assert_ptr_nonnull(strstr(heard.message, "log"));
    found(TAPE_TRACE_FORWARD, "log", -INFINITY);
    start(TAPE_TRACE_OFF);
    tape_log(zero);
    found_nothing();
    ck_assert_int_eq(tape_trace_nonfinite((tape_trace_mode)7), TAPE_ERROR_ARGUMENT);
    tape_make_current(before);
    tape_destroy(t);
    found_nothing();
}
END_TEST

/* ---- callers ----------------------------------------------------------------------------------------------------- */

/* External, and the program is linked so that the dynamic linker knows their names. */
TAPE_API tape_tensor traced_root(tape_tensor x);
TAPE_API tape_tensor traced_error(tape_tensor x);

__attribute__((noinline)) tape_tensor traced_root(tape_tensor x)
{
    tape_tensor y = tape_sqrt(x);
    return tape_is_null(y) ? x : y;
}

__attribute__((noinline)) tape_tensor traced_error(tape_tensor x)
{
    tape_tensor y = tape_mse(x, tape_zeros_like(x), TAPE_REDUCE_SUM);
    return tape_is_null(y) ? x : y;
}

/* Each kind of public function is called in a way of its own, and not all on the way to a record have a frame. */
#define TRACED(name, expression)                                                                                       \
    TAPE_API tape_tensor traced_##name(tape_tensor x);                                                                 \
    __attribute__((noinline)) tape_tensor traced_##name(tape_tensor x)                                                 \
    {                                                                                                                  \
        tape_tensor y = expression;                                                                                    \
        return tape_is_null(y) ? x : y;                                                                                \
    }
TRACED(unary, tape_sqrt(x))
TRACED(unary_number, tape_leaky_relu(x, 1e38))
TRACED(unary_numbers, tape_softplus(x, 1e-39, 20))
TRACED(arithmetic, tape_div(x, tape_zeros_like(x)))
TRACED(binary, tape_pow(x, tape_full(tape_dtype_of(x), TAPE_SCALAR, 0.5)))
TRACED(right_number, tape_pow_scalar(x, 0.5))
TRACED(left_number, tape_scalar_div(1e30, tape_mul_scalar(x, 1e-30)))
TRACED(ternary, tape_fma(x, tape_mul_scalar(x, 1e20), x))
TRACED(ternary_number, tape_addcmul(x, x, x, 1e30))
TRACED(general, tape_sum(tape_mul_scalar(x, 1e19), TAPE_ALL, false))
TRACED(product, tape_matmul(x, tape_full(tape_dtype_of(x), TAPE_SHAPE(3, 1), 1e38)))
TRACED(composite, tape_cosine_similarity(tape_mul_scalar(x, 1e20), tape_mul_scalar(x, 1e20), -1, 1e-8))

static void check_caller(tape_tensor (*function)(tape_tensor), const char *name)
{
    const tape_nonfinite *r = tape_nonfinite_found();
    ck_assert_ptr_nonnull(r);
#if TAPE__BACKTRACE
    uintptr_t offset = (uintptr_t)r->caller - (uintptr_t)function;
    ck_assert_msg(offset > 0 && offset < 4096, "%s", r->message);
    ck_assert_msg(strncmp(r->symbol, name, strlen(name)) == 0 && r->symbol[strlen(name)] == '+', "%s", r->message);
    ck_assert_ptr_nonnull(strstr(r->message, name));
#else
    (void)function, (void)name;
    ck_assert_ptr_null(r->caller);
    ck_assert_str_eq(r->symbol, "");
#endif
}

START_TEST(test_callers_of_every_kind)
{
#define KIND(name)                                                                                                     \
    {                                                                                                                  \
        traced_##name, "traced_" #name                                                                                 \
    }
    static const struct {
        tape_tensor (*function)(tape_tensor);
        const char *name;
    } kinds[] = {KIND(unary),   KIND(unary_number), KIND(unary_numbers),  KIND(arithmetic),
                 KIND(binary),  KIND(right_number), KIND(left_number),    KIND(ternary),
                 KIND(general), KIND(product),      KIND(ternary_number), KIND(composite)};
#undef KIND
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        tape_tensor x = leaf_of(TAPE_F32, TAPE_SHAPE(2, 3), (double[]){-2e19, -2e19, -2e19, -2e19, -2e19, -2e19}, true);
        start(TAPE_TRACE_REPORT);
        kinds[i].function(x);
        ck_assert_msg(tape_last_status() == TAPE_OK, "%s: %s", kinds[i].name, tape_message());
        ck_assert_msg(tape_nonfinite_found() != NULL, "%s: nothing found", kinds[i].name);
        check_caller(kinds[i].function, kinds[i].name);
        tape_free(x);
        finish();
    }
}
END_TEST

/* The records of a derivative were recorded by whoever asked for it. */
START_TEST(test_caller_of_a_derivative)
{
    tape_tensor x = vector_with(TAPE_F32, 3, 0), y = tape_sum(tape_pow_scalar(x, 1.5), TAPE_ALL, false), g;
    start(TAPE_TRACE_REPORT);
    uint32_t before = tape_current()->count;
    ck_assert_int_eq(tape_grad(&y, 1, NULL, &x, 1, &(tape_grad_options){.create_graph = true}, &g), TAPE_OK);
    const tape *t = tape_current();
    ck_assert(t->count > before);
    for (uint32_t slot = before; TAPE__BACKTRACE && slot < t->count; slot++)
        if (tape__at(t, slot)->op > TAPE__OP_OUTPUT && tape__at(t, slot)->flags & TAPE__REQUIRES_GRAD) {
            uintptr_t offset = (uintptr_t)t->trace->caller[slot] - (uintptr_t)test_caller_of_a_derivative_fn;
            ck_assert_msg(offset > 0 && offset < 4096, "%s", tape__record_name(tape__at(t, slot)));
        }
    tape_free(x);
    finish();
}
END_TEST

START_TEST(test_caller)
{
    tape_tensor x = vector_with(TAPE_F32, 3, 0), z = vector_with(TAPE_F32, 3, 1e30), g;
    start(TAPE_TRACE_REPORT);
    ck_assert_int_eq(tape_backward(tape_sum(traced_root(x), TAPE_ALL, false)), TAPE_OK);
    found(TAPE_TRACE_BACKWARD, "sqrt", INFINITY);
    check_caller(traced_root, "traced_root");
    start(TAPE_TRACE_REPORT);
    traced_root(tape_sub_scalar(x, 1));
    check_caller(traced_root, "traced_root");
    start(TAPE_TRACE_REPORT);
    traced_error(z);
    check_caller(traced_error, "traced_error");
    /* made before the search began: nobody noted who recorded it */
    start(TAPE_TRACE_OFF);
    tape_tensor y = tape_sum(traced_root(x), TAPE_ALL, false);
    start(TAPE_TRACE_REPORT);
    ck_assert_int_eq(tape_grad(&y, 1, NULL, &x, 1, NULL, &g), TAPE_OK);
    ck_assert_ptr_null(found(TAPE_TRACE_BACKWARD, "sqrt", INFINITY)->caller);
    tape_free(x), tape_free(z);
    finish();
}
END_TEST

/* ---- every op ---------------------------------------------------------------------------------------------------- */

/* The values of the sample and of the gradients of its sum. */
static void evaluate(const struct sample *sample, tape_dtype dtype, double *values[1 + SAMPLE_MAX_INPUTS],
                     int64_t numel[1 + SAMPLE_MAX_INPUTS])
{
    struct inputs in;
    tape_seed(5);
    inputs_make(&in, sample, dtype, 4);
    tape_tensor y = inputs_program(&in, in.floats, in.n_floats), sum = y;
    values[0] = doubles_of(y);
    numel[0] = tape_numel(y);
    if (tape_dtype_of(y) <= TAPE_F64 && tape_requires_grad(y))
        tape_backward(sum = tape_sum(y, TAPE_ALL, false));
    for (int i = 0; i < SAMPLE_MAX_INPUTS; i++) {
        tape_tensor g = i < in.n_floats ? tape_gradient(in.floats[i]) : TAPE_NONE;
        values[1 + i] = tape_is_none(g) ? NULL : doubles_of(g);
        numel[1 + i] = tape_is_none(g) ? 0 : tape_numel(g);
    }
    inputs_free(&in);
}

/* Looking changes no bit, and accuses nobody where everything is finite. */
static void check_sample(const struct sample *sample, tape_dtype dtype)
{
    double *plain[1 + SAMPLE_MAX_INPUTS], *traced[1 + SAMPLE_MAX_INPUTS];
    int64_t n[1 + SAMPLE_MAX_INPUTS], m[1 + SAMPLE_MAX_INPUTS];
    bool finite = true;
    evaluate(sample, dtype, plain, n);
    settle();
    start(TAPE_TRACE_REPORT);
    evaluate(sample, dtype, traced, m);
    for (int i = 0; i <= SAMPLE_MAX_INPUTS; i++) {
        if (n[i] != m[i] || (n[i] && memcmp(plain[i], traced[i], (size_t)n[i] * sizeof **plain) != 0))
            complain("%s (%s): result %d differs", sample->op, sample->label, i);
        for (int64_t k = 0; k < n[i]; k++)
            finite &= isfinite(plain[i][k]) != 0;
        free(plain[i]), free(traced[i]);
    }
    const tape_nonfinite *r = tape_nonfinite_found();
    if (r && finite && !strstr(sample->label, "inf"))
        complain("%s (%s): %s", sample->op, sample->label, r->message);
    finish();
}

START_TEST(test_every_op)
{
    const struct sample *sample;
    for (int i = 0; (sample = sample_at(i)); i++)
        for (int dtype = TAPE_F32; dtype <= TAPE_F64; dtype++)
            check_sample(sample, (tape_dtype)dtype);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("trace");
    TCase *all = tcase_create("all");
    tcase_add_test(all, test_forward);
    tcase_add_test(all, test_general_op);
    tcase_add_test(all, test_innocent);
    tcase_add_test(all, test_broadcast_element);
    tcase_add_test(all, test_composite);
    tcase_add_test(all, test_paused);
    tcase_add_test(all, test_backward);
    tcase_add_test(all, test_recorded_backward);
    tcase_add_test(all, test_accumulation);
    tcase_add_test(all, test_stretched);
    tcase_add_test(all, test_tangent);
    tcase_add_test(all, test_custom);
    tcase_add_test(all, test_error_mode);
    tcase_add_test(all, test_switch);
    tcase_add_test(all, test_caller);
    tcase_add_test(all, test_callers_of_every_kind);
    tcase_add_test(all, test_caller_of_a_derivative);
    tcase_add_test(all, test_every_op);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
