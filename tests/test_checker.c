/* Numeric differentiation against closed forms, and the checker against derivatives that are wrong on purpose. */
#include "table.h"
#include "tape/gradcheck.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- numeric differentiation ------------------------------------------------------------------------------------- */

static double power(void *user, double x)
{
    return pow(x, *(const double *)user);
}
static double sine(void *user, double x)
{
    return (void)user, sin(x);
}
static double root(void *user, double x)
{
    return (void)user, sqrt(x);
}
static double nothing(void *user, double x)
{
    return (void)user, (void)x, NAN;
}

struct known {
    tape_curve *f;
    double parameter, x, derivative;
};

static const struct known known[] = {
    {power, 2, 3, 6},    {power, 5, 1, 5}, {power, 5, 100, 5e8},  {power, 0, 2, 0},  {power, -1, 0.25, -16},
    {power, 3, -2, 12},  {sine, 0, 0, 1},  {sine, 0, 1e-9, 1},    {root, 0, 4, .25}, {root, 0, 0.01, 5},
    {power, 1, 1e12, 1}, {power, 2, 0, 0}, {power, 3, 1e-3, 3e-6}};

/* The bounds that the header states, with room for constants; the roots have large derivatives near 0. */
START_TEST(test_known_derivatives)
{
    const double bound[] = {[TAPE_RIDDERS] = 1e-12, [TAPE_RICHARDSON] = 1e-10, [TAPE_CENTRAL] = 1e-8};
    for (size_t k = 0; k < sizeof known / sizeof *known; k++)
        for (int method = TAPE_RIDDERS; method <= TAPE_CENTRAL; method++) {
            const struct known *c = &known[k];
            const tape_numeric_options options = {.method = (tape_numeric_method)method};
            double error, allowed = bound[method] * fmax(1, fabs(c->derivative)), parameter = c->parameter;
            if (c->f == root && c->x < 1 && method != TAPE_RIDDERS)
                allowed = 1e-2;
            double d = tape_numeric_derivative(c->f, &parameter, c->x, &options, &error);
            if (!(fabs(d - c->derivative) <= allowed))
                complain("case %zu, method %d: %.17g instead of %g", k, method, d, c->derivative);
            if (!(error >= 0 &&
                  fabs(d - c->derivative) <= 10 * error + 1e-14 * fmax(1, fabs(d)) + 1e-11 * (method > 0)))
                complain("case %zu, method %d: error %g, estimated %g", k, method, fabs(d - c->derivative), error);
        }
    ck_assert(fabs(tape_numeric_derivative(sine, NULL, 1, NULL, NULL) - cos(1)) < 1e-13);
    settle();
}
END_TEST

START_TEST(test_no_derivative)
{
    double error;
    for (int method = TAPE_RIDDERS; method <= TAPE_CENTRAL; method++) {
        const tape_numeric_options options = {.method = (tape_numeric_method)method};
        ck_assert(isnan(tape_numeric_derivative(nothing, NULL, 1, &options, &error)));
        ck_assert(isinf(error));
    }
}
END_TEST

/* y = a sin(b), elementwise with broadcasting: a is [2, 1], b is [3]. */
static tape_tensor product(void *user, const tape_tensor *x, int n)
{
    (void)user, (void)n;
    return tape_mul(x[0], tape_sin(x[1]));
}

static const double a_values[] = {1.5, -0.75}, b_values[] = {0.25, 1, -2};

static void make_ab(tape_tensor *x, tape_dtype dtype)
{
    double a[2], b[3];
    memcpy(a, a_values, sizeof a);
    memcpy(b, b_values, sizeof b);
    x[0] = leaf_of(dtype, TAPE_SHAPE(2, 1), a, true);
    x[1] = leaf_of(dtype, TAPE_SHAPE(3), b, true);
}

static void free_ab(const tape_tensor *x)
{
    tape_free(x[0]);
    tape_free(x[1]);
}

/* In f32, too, since the program is evaluated in f64; all values here are f32 numbers. */
START_TEST(test_jacobian)
{
    for (int dtype = TAPE_F32; dtype <= TAPE_F64; dtype++) {
        tape_tensor x[2], error;
        make_ab(x, (tape_dtype)dtype);
        tape_tensor by_a = tape_numeric_jacobian(product, NULL, x, 2, 0, NULL, NULL);
        tape_tensor by_b = tape_numeric_jacobian(product, NULL, x, 2, 1, NULL, &error);
        ck_assert_msg(tape_last_status() == TAPE_OK, "%s", tape_message());
        const double *a = tape_data_f64(by_a), *b = tape_data_f64(by_b), *e = tape_data_f64(error);
        ck_assert_int_eq(tape_numel(by_a), 12);
        ck_assert_int_eq(tape_numel(by_b), 18);
        ck_assert_int_eq(tape_numel(error), 18);
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < 3; j++) {
                for (int k = 0; k < 2; k++)
                    ck_assert_double_eq_tol(a[(3 * i + j) * 2 + k], i == k ? sin(b_values[j]) : 0, 1e-12);
                for (int k = 0; k < 3; k++)
                    ck_assert_double_eq_tol(b[(3 * i + j) * 3 + k], j == k ? a_values[i] * cos(b_values[j]) : 0, 1e-12);
                ck_assert(e[(3 * i + j) * 3 + j] < 1e-11);
            }
        free_ab(x);
        settle();
    }
}
END_TEST

static tape_tensor first_squared(void *user, const tape_tensor *x, int n)
{
    (void)user, (void)n;
    return tape_square(x[0]);
}

START_TEST(test_numeric_gradient)
{
    double three = 3;
    tape_tensor x = leaf_of(TAPE_F32, TAPE_SCALAR, &three, true), ab[2];
    tape_tensor g = tape_numeric_gradient(first_squared, NULL, &x, 1, 0, NULL, NULL);
    ck_assert_int_eq(tape_dtype_of(g), TAPE_F64);
    ck_assert_int_eq(tape_rank(g), 0);
    ck_assert_double_eq_tol(tape_item(g), 6, 1e-12);
    make_ab(ab, TAPE_F64);
    ck_assert(tape_is_null(tape_numeric_gradient(product, NULL, ab, 2, 0, NULL, NULL)));
    ck_assert_int_eq(tape_last_status(), TAPE_ERROR_SHAPE);
    tape_clear();
    ck_assert(tape_is_null(tape_numeric_jacobian(product, NULL, ab, 2, 2, NULL, NULL)));
    ck_assert_int_eq(tape_last_status(), TAPE_ERROR_ARGUMENT);
    tape_clear();
    free_ab(ab);
    tape_free(x);
    settle();
}
END_TEST

/* ---- wrong derivatives ------------------------------------------------------------------------------------------- */

/* True where every derivative of the sample is 0, as of floor: no factor can show. */
static bool is_flat(const struct inputs *in)
{
    tape_tensor gx[SAMPLE_MAX_INPUTS], y = in->sample->run(in->x), cotangent = tape_ones_like(y);
    bool flat = true;
    tape_grad(&y, 1, &cotangent, in->floats, in->n_floats, NULL, gx);
    for (int i = 0; i < in->n_floats && tape_last_status() == TAPE_OK; i++) {
        double *g = tape_is_none(gx[i]) ? NULL : doubles_of(gx[i]);
        for (int64_t k = 0; g && k < tape_numel(gx[i]); k++)
            flat &= g[k] == 0;
        free(g);
    }
    tape_reset();
    return flat;
}

static bool is_caught(struct inputs *in, int op, double factor)
{
    tape *t = tape_current();
    tape_gradcheck_report report;
    const tape_gradcheck_options options = {.stop = true};
    t->wrong_op = (uint16_t)op;
    t->wrong_factor = factor;
    bool passed = tape_gradcheck(inputs_program, in, in->floats, in->n_floats, &options, &report);
    t->wrong_factor = 0;
    if (report.status != TAPE_OK)
        complain("%s (%s): %s", in->sample->op, in->sample->label, report.message);
    tape_reset();
    return !passed;
}

START_TEST(test_wrong_derivatives_are_caught)
{
    static bool differentiable[TAPE__OP_COUNT], caught[TAPE__OP_COUNT];
    const struct sample *sample;
    for (int i = 0; (sample = sample_at(i)); i++) {
        int op = op_named(sample->op);
        const tape__op *row = &tape__ops[op];
        if (sample->not_differentiable || (row->flags & TAPE__NO_GRADIENT))
            continue;
        struct inputs in;
        inputs_make(&in, sample, TAPE_F64, 3);
        if (in.n_floats && !is_flat(&in)) {
            differentiable[op] = true;
            bool scaled = is_caught(&in, op, 1.001), negated = is_caught(&in, op, -1);
            if (negated && !scaled) /* a sample that applies its op twice hides the sign, but not the factor */
                complain("%s (%s): factor 1.001 goes unnoticed", sample->op, sample->label);
            caught[op] |= scaled && negated;
        }
        inputs_free(&in);
    }
    for (int op = 0; op < TAPE__OP_COUNT; op++)
        if (differentiable[op] && !caught[op])
            complain("%s: wrong derivatives go unnoticed", tape__ops[op].name);
    settle();
}
END_TEST

/* The ways that options offer see it as well. */
START_TEST(test_every_mode_catches)
{
    tape_tensor x[2];
    tape_gradcheck_report report;
    const tape_gradcheck_options modes[] = {
        {0}, {.jacobian = true}, {.directional = true}, {.second_order = true}, {.limit = 1}};
    make_ab(x, TAPE_F64);
    for (size_t k = 0; k < sizeof modes / sizeof *modes; k++)
        for (int wrong = 0; wrong < 3; wrong++) {
            tape *t = tape_current();
            t->wrong_op = TAPE__OP_sin;
            t->wrong_factor = wrong == 1 ? 1.001 : wrong == 2 ? -1 : 0;
            bool passed = tape_gradcheck(product, NULL, x, 2, &modes[k], &report);
            t->wrong_factor = 0;
            ck_assert_msg(passed == !wrong && report.status == TAPE_OK, "mode %zu, %d: %s", k, wrong, report.message);
        }
    free_ab(x);
    settle();
}
END_TEST

/* ---- kinks ------------------------------------------------------------------------------------------------------- */

static tape_tensor relu_of(void *user, const tape_tensor *x, int n)
{
    (void)user, (void)n;
    return tape_relu(x[0]);
}

START_TEST(test_kinks)
{
    double values[] = {-1, 0, 2, 1e-4, -1e-4};
    tape_tensor x = leaf_of(TAPE_F64, TAPE_SHAPE(5), values, true);
    tape_gradcheck_report report;
    ck_assert_msg(tape_gradcheck(relu_of, NULL, &x, 1, NULL, &report), "%s", report.message);
    ck_assert_int_eq(report.compared, 5);
    ck_assert_int_eq(report.kinks, 1);
    ck_assert_int_eq(report.kink_input, 0);
    ck_assert_int_eq(report.kink_element, 1);
    ck_assert_ptr_nonnull(strstr(report.message, "1 at kinks"));
    /* A kink excuses itself alone. */
    tape *t = tape_current();
    t->wrong_op = TAPE__OP_relu;
    t->wrong_factor = 1.001;
    ck_assert(!tape_gradcheck(relu_of, NULL, &x, 1, NULL, &report));
    t->wrong_factor = 0;
    ck_assert_int_eq(report.failed, 2);
    ck_assert_int_eq(report.kinks, 1);
    tape_free(x);
    settle();
}
END_TEST

/* ---- reports ----------------------------------------------------------------------------------------------------- */

START_TEST(test_report_of_a_failure)
{
    tape_tensor x[2];
    tape_gradcheck_report report;
    make_ab(x, TAPE_F64);
    tape *t = tape_current();
    t->wrong_op = TAPE__OP_sin;
    t->wrong_factor = 2;
    const char *const names[] = {"amplitude", "phase"};
    const tape_gradcheck_options options = {.names = names, .jacobian = true};
    ck_assert(!tape_gradcheck(product, NULL, x, 2, &options, &report));
    t->wrong_factor = 0;
    ck_assert(!report.passed);
    ck_assert_int_eq(report.compared, 30);
    ck_assert_int_eq(report.failed, 6);
    ck_assert_str_eq(report.op, "mul");
    ck_assert_int_eq(report.input, 1);
    ck_assert_int_eq(report.output % 3, report.element);
    double derivative = a_values[report.output / 3] * cos(b_values[report.element]);
    ck_assert_double_eq_tol(report.numeric, derivative, 1e-10);
    ck_assert_double_eq_tol(report.automatic, 2 * derivative, 1e-10);
    ck_assert_double_eq_tol(report.error, 0.5, 1e-6);
    ck_assert(report.step > 0);
    ck_assert_ptr_nonnull(strstr(report.message, "mul: derivative by phase, element "));
    ck_assert_ptr_null(strchr(report.message, '\n'));
    free_ab(x);
    settle();
}
END_TEST

START_TEST(test_report_of_a_success)
{
    tape_tensor x[2];
    tape_gradcheck_report report;
    make_ab(x, TAPE_F64);
    ck_assert(tape_gradcheck(product, NULL, x, 2, NULL, &report));
    ck_assert(report.passed);
    ck_assert_int_eq(report.compared, 5);
    ck_assert_int_eq(report.failed, 0);
    ck_assert(report.error < 1e-9);
    ck_assert(tape_gradcheck(product, NULL, x, 2, &(tape_gradcheck_options){.limit = 2}, &report));
    ck_assert_int_eq(report.compared, 4);
    ck_assert(tape_gradcheck(product, NULL, x, 2, &(tape_gradcheck_options){.directional = true}, &report));
    ck_assert_int_eq(report.compared, 1);
    ck_assert(tape_gradcheck(product, NULL, x, 2, &(tape_gradcheck_options){.second_order = true}, &report));
    ck_assert_int_eq(report.compared, 5 + 6);
    ck_assert(tape_gradcheck(product, NULL, x, 2, NULL, NULL));
    free_ab(x);
    settle();
}
END_TEST

/* Captures an f32 leaf and makes f32 constants: still differentiated in f64. */
static tape_tensor captures(void *user, const tape_tensor *x, int n)
{
    (void)n;
    tape_tensor y = tape_mul(tape_exp(x[0]), *(const tape_tensor *)user);
    return tape_add(y, tape_full(TAPE_F32, TAPE_SHAPE(3), 0.5));
}

START_TEST(test_f32_is_evaluated_in_f64)
{
    double values[] = {0.5, -1, 2}, weights[] = {1, -2, 3};
    tape_tensor x = leaf_of(TAPE_F32, TAPE_SHAPE(3), values, true);
    tape_tensor w = leaf_of(TAPE_F32, TAPE_SHAPE(3), weights, true);
    tape_gradcheck_report report;
    ck_assert_msg(tape_gradcheck(captures, &w, &x, 1, NULL, &report), "%s", report.message);
    /* What remains is f32's own rounding of the automatic side; differences in f32 would be off by 1e-3. */
    ck_assert(report.error < 1e-6);
    ck_assert(tape_is_none(tape_gradient(w)));
    tape_free(x);
    tape_free(w);
    settle();
}
END_TEST

/* ---- no traces --------------------------------------------------------------------------------------------------- */

START_TEST(test_leaves_no_trace)
{
    tape_tensor x[2];
    make_ab(x, TAPE_F64);
    tape_seed(99);
    tape_tensor before = product(NULL, x, 2), y = tape_sum(before, TAPE_ALL, false);
    ck_assert_int_eq(tape_backward(y), TAPE_OK);
    double *data = doubles_of(x[1]), *gradient = doubles_of(tape_gradient(x[1]));
    tape_random_state random = tape_random_get();
    tape_pause();
    tape_statistics was = tape_stats();
    const tape_gradcheck_options modes[] = {{0}, {.jacobian = true}, {.directional = true}, {.second_order = true}};
    for (size_t k = 0; k < sizeof modes / sizeof *modes; k++) {
        ck_assert(tape_gradcheck(product, NULL, x, 2, &modes[k], NULL));
        ck_assert_int_eq(tape_stats().records, was.records);
        ck_assert_uint_eq(tape_stats().bytes_now, was.bytes_now);
    }
    ck_assert(!tape_is_recording());
    tape_resume();
    ck_assert(tape_is_recording());
    tape_random_state now = tape_random_get();
    ck_assert(random.seed == now.seed && random.counter == now.counter);
    ck_assert(tape_is_valid(before));
    double *data_now = doubles_of(x[1]), *gradient_now = doubles_of(tape_gradient(x[1]));
    ck_assert_mem_eq(data, data_now, 3 * sizeof *data);
    ck_assert_mem_eq(gradient, gradient_now, 3 * sizeof *gradient);
    /* No version moved either: the old record can still be differentiated, and adds the same again. */
    ck_assert_msg(tape_backward(y) == TAPE_OK, "%s", tape_message());
    const double *twice = tape_data_f64(tape_gradient(x[1]));
    for (int k = 0; k < 3; k++)
        ck_assert(twice[k] == 2 * gradient[k]);
    free(data), free(gradient), free(data_now), free(gradient_now);
    free_ab(x);
    settle();
}
END_TEST

/* ---- memory ------------------------------------------------------------------------------------------------------ */

/* Allows `left` more allocations; counts what is held. */
struct limited {
    int64_t left;
    size_t held;
};

static void *allocate_limited(void *user, void *pointer, size_t old_size, size_t new_size)
{
    struct limited *limited = user;
    if (new_size > old_size && limited->left-- <= 0)
        return NULL;
    limited->held += new_size - old_size;
    if (new_size)
        return realloc(pointer, new_size);
    free(pointer);
    return NULL;
}

/* Whatever allocation fails, the answer is an error, the tape goes on and nothing is lost. */
START_TEST(test_out_of_memory)
{
    const tape_gradcheck_options options = {.second_order = true, .jacobian = true};
    bool passed = false;
    for (int64_t allowed = 0; !passed; allowed++) {
        struct limited limited = {.left = INT64_MAX};
        const tape_config config = {.allocator = allocate_limited, .allocator_user = &limited};
        tape *t = tape_create(&config), *before = tape_make_current(t);
        tape_tensor x[2];
        make_ab(x, TAPE_F32);
        limited.left = allowed;
        tape_gradcheck_report report;
        passed = tape_gradcheck(product, NULL, x, 2, &options, &report);
        ck_assert_msg(passed || report.status == TAPE_ERROR_MEMORY, "%lld: %s", (long long)allowed, report.message);
        ck_assert_int_lt(allowed, 1000);
        tape_clear();
        limited.left = INT64_MAX;
        ck_assert_int_eq(tape_stats().records, 0);
        ck_assert(tape_is_recording());
        ck_assert_msg(tape_gradcheck(product, NULL, x, 2, &options, &report), "%s", report.message);
        free_ab(x);
        tape_make_current(before);
        tape_destroy(t);
        ck_assert_uint_eq(limited.held, 0);
    }
}
END_TEST

/* ---- programs that cannot be checked ----------------------------------------------------------------------------- */

static tape_tensor returns_null(void *user, const tape_tensor *x, int n)
{
    (void)user, (void)x, (void)n;
    return TAPE_NULL;
}

static tape_tensor returns_mask(void *user, const tape_tensor *x, int n)
{
    (void)user, (void)n;
    return tape_gt(x[0], x[1]);
}

static tape_tensor fails(void *user, const tape_tensor *x, int n)
{
    (void)user, (void)n;
    return tape_add(x[0], tape_zeros(TAPE_F64, TAPE_SHAPE(5, 5)));
}

static tape_tensor resets(void *user, const tape_tensor *x, int n)
{
    (void)user, (void)n;
    tape_reset();
    return tape_exp(x[0]);
}

static tape_tensor counts(void *user, const tape_tensor *x, int n)
{
    (void)n;
    return tape_mul_scalar(x[0], (double)++*(int *)user);
}

static tape_tensor grows(void *user, const tape_tensor *x, int n)
{
    int calls = ++*(int *)user;
    (void)n;
    return calls < 4 ? tape_exp(x[0]) : tape_add(tape_exp(x[0]), tape_zeros(TAPE_F64, TAPE_SHAPE(7, 2, 1)));
}

static void expect_refusal(tape_function *fn, void *user, const tape_tensor *x, int n, tape_status status)
{
    tape_gradcheck_report report;
    tape_statistics was = tape_stats();
    ck_assert(!tape_gradcheck(fn, user, x, n, NULL, &report));
    ck_assert_msg(report.status == status, "%s: %s", tape_status_name(report.status), report.message);
    ck_assert_int_eq(tape_last_status(), status);
    ck_assert_str_eq(report.message, tape_message());
    ck_assert(!report.passed);
    tape_clear();
    ck_assert_int_eq(tape_stats().records, was.records);
}

START_TEST(test_refusals)
{
    tape_tensor x[2], null[2] = {TAPE_NULL, TAPE_NONE};
    int calls = 0;
    int64_t whole[] = {1, 2};
    make_ab(x, TAPE_F64);
    tape_tensor index = tape_const(TAPE_I64, TAPE_SHAPE(2), whole);
    expect_refusal(NULL, NULL, x, 2, TAPE_ERROR_ARGUMENT);
    expect_refusal(product, NULL, NULL, 2, TAPE_ERROR_ARGUMENT);
    expect_refusal(product, NULL, x, 0, TAPE_ERROR_ARGUMENT);
    expect_refusal(product, NULL, null, 2, TAPE_ERROR_HANDLE);
    expect_refusal(returns_null, NULL, x, 2, TAPE_ERROR_CALLBACK);
    expect_refusal(returns_mask, NULL, x, 2, TAPE_ERROR_DTYPE);
    expect_refusal(fails, NULL, x, 2, TAPE_ERROR_SHAPE);
    expect_refusal(resets, NULL, x, 2, TAPE_ERROR_STATE);
    expect_refusal(counts, &calls, x, 2, TAPE_ERROR_STATE);
    calls = 0;
    expect_refusal(grows, &calls, x, 2, TAPE_ERROR_SHAPE);
    expect_refusal(first_squared, NULL, &index, 1, TAPE_ERROR_DTYPE);
    ck_assert(tape_gradcheck(product, NULL, x, 2, NULL, NULL));
    /* An error that is already there stays. */
    tape_fail(TAPE_ERROR_IO, "earlier");
    expect_refusal(product, NULL, x, 2, TAPE_ERROR_IO);
    tape_free(index);
    free_ab(x);
    settle();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("checker");
    TCase *all = tcase_create("all");
    tcase_add_test(all, test_known_derivatives);
    tcase_add_test(all, test_no_derivative);
    tcase_add_test(all, test_jacobian);
    tcase_add_test(all, test_numeric_gradient);
    tcase_add_test(all, test_wrong_derivatives_are_caught);
    tcase_add_test(all, test_every_mode_catches);
    tcase_add_test(all, test_kinks);
    tcase_add_test(all, test_report_of_a_failure);
    tcase_add_test(all, test_report_of_a_success);
    tcase_add_test(all, test_f32_is_evaluated_in_f64);
    tcase_add_test(all, test_leaves_no_trace);
    tcase_add_test(all, test_out_of_memory);
    tcase_add_test(all, test_refusals);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
