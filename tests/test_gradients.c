/* The derivative of every op against numeric differentiation, first and second order, and its two paths against each
 * other. */
#include "table.h"
#include "tape/gradcheck.h"
#include "views.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_checked(const struct sample *sample)
{
    return !sample->not_differentiable && !(tape__ops[op_named(sample->op)].flags & TAPE__NO_GRADIENT);
}

/* Kinks are complained about as well: a sample that sits on one says so. */
static void check_program(tape_function *fn, void *user, const tape_tensor *x, int n,
                          const tape_gradcheck_options *options, const char *op, const char *label)
{
    tape_gradcheck_report report;
    if (!tape_gradcheck(fn, user, x, n, options, &report) || report.kinks)
        complain("%s (%s): %s", op, label, report.message);
    tape_reset();
}

static void check_samples(tape_dtype dtype, const tape_gradcheck_options *options)
{
    const struct sample *sample;
    for (int i = 0; (sample = sample_at(i)); i++) {
        if (!is_checked(sample))
            continue;
        for (uint64_t seed = 3; seed < 6; seed++) {
            struct inputs in;
            inputs_make(&in, sample, dtype, seed);
            if (in.n_floats)
                check_program(inputs_program, &in, in.floats, in.n_floats, options, sample->op, sample->label);
            inputs_free(&in);
        }
    }
    settle();
}

START_TEST(test_first_order)
{
    check_samples(TAPE_F64, &(tape_gradcheck_options){.tolerance = 1e-7});
}
END_TEST

START_TEST(test_first_order_f32)
{
    check_samples(TAPE_F32, &(tape_gradcheck_options){.tolerance = 1e-3});
}
END_TEST

START_TEST(test_jacobian)
{
    check_samples(TAPE_F64, &(tape_gradcheck_options){.tolerance = 1e-7, .jacobian = true});
}
END_TEST

START_TEST(test_second_order)
{
    check_samples(TAPE_F64, &(tape_gradcheck_options){.tolerance = 1e-7, .second_order = true});
}
END_TEST

START_TEST(test_second_order_f32)
{
    check_samples(TAPE_F32, &(tape_gradcheck_options){.tolerance = 1e-3, .second_order = true, .directional = true});
}
END_TEST

/* ---- shapes and strides ------------------------------------------------------------------------------------------ */

static tape_tensor call_row(void *user, const tape_tensor *x, int n)
{
    const struct row *row = user;
    (void)n;
    return row->call(x, row->ref->p);
}

START_TEST(test_broadcasting)
{
    const tape_shape shapes[][3] = {
        {TAPE_SHAPE(3, 2), TAPE_SHAPE(2), TAPE_SHAPE(3, 1)},    {TAPE_SHAPE(2), TAPE_SHAPE(3, 2), TAPE_SCALAR},
        {TAPE_SHAPE(3, 1), TAPE_SHAPE(1, 2), TAPE_SHAPE(2)},    {TAPE_SCALAR, TAPE_SHAPE(2, 2), TAPE_SHAPE(1, 1)},
        {TAPE_SHAPE(2, 2), TAPE_SCALAR, TAPE_SHAPE(2, 1)},      {TAPE_SHAPE(2, 1, 2), TAPE_SHAPE(3, 1), TAPE_SHAPE(2)},
        {TAPE_SHAPE(1), TAPE_SHAPE(1, 1, 1), TAPE_SHAPE(2, 1)}, {TAPE_SHAPE(2, 0), TAPE_SHAPE(1), TAPE_SCALAR},
    };
    for (const struct row *row = rows; row->name; row++)
        for (size_t c = 0; c < sizeof shapes / sizeof *shapes; c++) {
            if (row->n_in < 2 || (row->flags & TAPE__NO_GRADIENT))
                continue;
            uint64_t state = 23;
            double values[3][8];
            tape_tensor x[3];
            for (int i = 0; i < row->n_in; i++) {
                for (int k = 0; k < 8; k++)
                    values[i][k] = row_takes_mask(row, i) ? k % 2 : draw(&state, row->low, row->high);
                bool mask = row_takes_mask(row, i);
                x[i] = leaf_of(mask ? TAPE_U8 : TAPE_F64, shapes[c][i], values[i], !mask);
            }
            check_program(call_row, (void *)row, x, row->n_in, NULL, row->name, "broadcast");
            check_program(call_row, (void *)row, x, row->n_in, &(tape_gradcheck_options){.second_order = true},
                          row->name, "broadcast");
            for (int i = 0; i < row->n_in; i++)
                tape_free(x[i]);
        }
    settle();
}
END_TEST

/* A sample whose float inputs arrive through views of what the checker moves. */
struct viewed {
    struct inputs in;
    int view;
};

static tape_tensor viewed_program(void *user, const tape_tensor *x, int n)
{
    const struct viewed *viewed = user;
    const struct sample *sample = viewed->in.sample;
    tape_tensor inputs[SAMPLE_MAX_INPUTS];
    for (int i = 0, k = 0; i < sample->n_in; i++)
        if (sample->in[i].kind == SAMPLE_FLOAT) {
            inputs[k] = view_apply(viewed->view, sample->in[i].shape, x[k]);
            k++;
        }
    return inputs_program((void *)&viewed->in, inputs, n);
}

static void check_viewed(const struct sample *sample, int view)
{
    struct viewed viewed = {.view = view};
    tape_tensor base[SAMPLE_MAX_INPUTS];
    inputs_make(&viewed.in, sample, TAPE_F64, 3);
    int n = 0;
    for (int i = 0; i < sample->n_in; i++) {
        if (sample->in[i].kind != SAMPLE_FLOAT)
            continue;
        double *stored = view_store(view, sample->in[i].shape, viewed.in.value[i]);
        base[n++] = leaf_of(TAPE_F64, view_storage(view, sample->in[i].shape), stored, true);
        free(stored);
    }
    if (n)
        check_program(viewed_program, &viewed, base, n, &(tape_gradcheck_options){.directional = true}, sample->op,
                      view_name(view));
    for (int k = 0; k < n; k++)
        tape_free(base[k]);
    inputs_free(&viewed.in);
}

/* Expanded inputs are left out: their repeated elements are ties, where some ops have no derivative. */
START_TEST(test_views)
{
    const struct sample *sample;
    for (int i = 0; (sample = sample_at(i)); i++)
        for (int view = 0; is_checked(sample) && view < VIEW_EXPANDED; view++)
            check_viewed(sample, view);
    settle();
}
END_TEST

START_TEST(test_expanded)
{
    const struct sample *sample;
    for (int i = 0; (sample = sample_at(i)); i++)
        if (is_checked(sample) && sample_is_elementwise(sample))
            check_viewed(sample, VIEW_EXPANDED);
    settle();
}
END_TEST

/* ---- the two paths ----------------------------------------------------------------------------------------------- */

/* The gradients of sum(c y) for a fixed c, in either way; NULL where nothing connects. */
static void gradients(const struct inputs *in, bool create_graph, double **out)
{
    tape_tensor y = in->sample->run(in->x), gx[SAMPLE_MAX_INPUTS];
    int64_t n = tape_numel(y);
    double *c = calloc((size_t)n + 1, sizeof *c);
    ck_assert_ptr_nonnull(c);
    uint64_t state = 29;
    for (int64_t k = 0; k < n; k++)
        c[k] = draw(&state, -1, 1);
    tape_tensor cotangent = leaf_of(tape_dtype_of(y), tape_shape_of(y), c, false);
    const tape_grad_options options = {.create_graph = create_graph};
    if (tape_grad(&y, 1, &cotangent, in->floats, in->n_floats, &options, gx) != TAPE_OK) {
        complain("%s (%s)%s: %s", in->sample->op, in->sample->label, create_graph ? " create_graph" : "",
                 tape_message());
        tape_clear();
        for (int i = 0; i < in->n_floats; i++)
            gx[i] = TAPE_NONE;
    }
    for (int i = 0; i < in->n_floats; i++)
        out[i] = tape_is_none(gx[i]) ? NULL : doubles_of(gx[i]);
    free(c);
    tape_free(cotangent);
}

static void compare_paths(const struct inputs *in, double *const *plain, double *const *recorded)
{
    double epsilon = in->dtype == TAPE_F32 ? 0x1p-23 : 0x1p-52;
    double tolerance = sample_is_elementwise(in->sample) ? 0 : 64 * epsilon;
    for (int i = 0, k = 0; i < in->sample->n_in; i++) {
        if (in->sample->in[i].kind != SAMPLE_FLOAT)
            continue;
        if (!plain[k] != !recorded[k])
            complain("%s (%s): input %d is connected on one path alone", in->sample->op, in->sample->label, i);
        double worst = 0, largest = 0;
        for (int64_t e = 0; plain[k] && recorded[k] && e < in->numel[i]; e++) {
            double p = plain[k][e], r = recorded[k][e];
            largest = fmax(largest, fabs(p));
            if (p != r && !(isnan(p) && isnan(r)))
                worst = fmax(worst, isfinite(p - r) ? fabs(p - r) : INFINITY);
        }
        if (worst > tolerance * largest)
            complain("%s (%s) %s: the paths differ by %g of %g for input %d", in->sample->op, in->sample->label,
                     tape_dtype_name(in->dtype), worst, largest, i);
        k++;
    }
}

START_TEST(test_paths_agree)
{
    const struct sample *sample;
    for (int i = 0; (sample = sample_at(i)); i++)
        for (int dtype = TAPE_F32; is_checked(sample) && dtype <= TAPE_F64; dtype++) {
            struct inputs in;
            double *plain[SAMPLE_MAX_INPUTS], *recorded[SAMPLE_MAX_INPUTS];
            inputs_make(&in, sample, (tape_dtype)dtype, 31);
            tape_seed(1);
            gradients(&in, false, plain);
            tape_seed(1);
            gradients(&in, true, recorded);
            compare_paths(&in, plain, recorded);
            for (int k = 0; k < in.n_floats; k++) {
                free(plain[k]);
                free(recorded[k]);
            }
            inputs_free(&in);
            tape_reset();
        }
    settle();
}
END_TEST

/* The same bits for every number of threads, on inputs that are large enough to be split. */
START_TEST(test_threads)
{
    const tape_shape shape = TAPE_SHAPE(397, 331);
    int64_t n = shape_numel(shape);
    for (const struct row *row = rows; row->name; row++) {
        if (row->flags & TAPE__NO_GRADIENT)
            continue;
        uint64_t state = 37;
        double *values = calloc((size_t)n, sizeof *values), *results[4] = {NULL};
        tape_tensor x[3], gx[3];
        for (int i = 0; i < row->n_in; i++) {
            bool mask = row_takes_mask(row, i);
            for (int64_t k = 0; k < n; k++)
                values[k] = mask ? (double)(k % 2) : draw(&state, row->low, row->high);
            x[i] = leaf_of(mask ? TAPE_U8 : TAPE_F32, i == 1 ? TAPE_SHAPE(331) : shape, values, !mask);
        }
        for (int threads = 1; threads <= 3; threads++) {
            ck_assert_int_eq(tape_threads(threads), TAPE_OK);
            tape_tensor y = row->call(x, row->ref->p), cotangent = tape_ones_like(y);
            int last = row->n_in > 1; /* the broadcast input, where there is one */
            tape_status status = tape_grad(&y, 1, &cotangent, &x[last], 1, NULL, gx);
            double *got = status == TAPE_OK && !tape_is_none(gx[0]) ? doubles_of(gx[0]) : NULL, *first = results[1];
            if (status != TAPE_OK)
                complain("%s: %s", row->name, tape_message());
            else if (first && (!got || memcmp(first, got, (size_t)tape_numel(gx[0]) * sizeof *got) != 0))
                complain("%s: other bits with %d threads", row->name, threads);
            tape_reset();
            results[threads] = got;
        }
        for (int threads = 1; threads <= 3; threads++)
            free(results[threads]);
        free(values);
        for (int i = 0; i < row->n_in; i++)
            tape_free(x[i]);
    }
    tape_threads(1);
    settle();
}
END_TEST

/* The same of a program that splits its products, reductions and scans. */
START_TEST(test_threads_in_a_program)
{
    enum { M = 211, K = 190, N = 230 };
    double *values = calloc(M * K + K * N, sizeof *values), *first = NULL;
    uint64_t state = 41;
    ck_assert_ptr_nonnull(values);
    for (int i = 0; i < M * K + K * N; i++)
        values[i] = draw(&state, -1, 1);
    tape_tensor x[2], gx[2];
    x[0] = leaf_of(TAPE_F32, TAPE_SHAPE(M, K), values, true);
    x[1] = leaf_of(TAPE_F32, TAPE_SHAPE(K, N), values + M * K, true);
    for (int threads = 1; threads <= 4; threads++) {
        ck_assert_int_eq(tape_threads(threads), TAPE_OK);
        tape_tensor h = tape_cumsum(tape_tanh(tape_matmul(x[0], x[1])), 0);
        tape_tensor y = tape_add(tape_mean(tape_logsumexp(h, TAPE_AXES(1), false), TAPE_ALL, false),
                                 tape_norm(tape_std(h, TAPE_AXES(0), 1, false), 2, TAPE_ALL, false));
        ck_assert_msg(tape_grad(&y, 1, NULL, x, 2, NULL, gx) == TAPE_OK, "%s", tape_message());
        double *got = doubles_of(gx[1]);
        if (first && memcmp(first, got, K * N * sizeof *got) != 0)
            complain("other bits with %d threads", threads);
        free(first);
        first = got;
        tape_reset();
    }
    free(first);
    free(values);
    tape_free(x[0]);
    tape_free(x[1]);
    tape_threads(1);
    settle();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gradients");
    TCase *all = tcase_create("all");
    tcase_add_test(all, test_first_order);
    tcase_add_test(all, test_first_order_f32);
    tcase_add_test(all, test_jacobian);
    tcase_add_test(all, test_second_order);
    tcase_add_test(all, test_second_order_f32);
    tcase_add_test(all, test_broadcasting);
    tcase_add_test(all, test_views);
    tcase_add_test(all, test_expanded);
    tcase_add_test(all, test_paths_agree);
    tcase_add_test(all, test_threads);
    tcase_add_test(all, test_threads_in_a_program);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
