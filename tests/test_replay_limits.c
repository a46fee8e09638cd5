/* The limits of replay: what cannot be replayed says so, user-defined ops start anew, a failure leaves nothing half
 * done. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"
#include "tape/custom.h"
#include "tape/implicit.h"
#include "tape/recompute.h"
#include "tape/replay.h"
#include "tape/trace.h"

#define OK() ck_assert_msg(tape_last_status() == TAPE_OK, "%s", tape_message())

static void refused(const char *text)
{
    ck_assert_int_eq(tape_replay(), TAPE_ERROR_STATE);
    ck_assert_msg(strstr(tape_message(), text) != NULL, "%s", tape_message());
    tape_clear();
}

/* ---- user-defined ops -------------------------------------------------------------------------------------------- */

static int owned;

struct shelf {
    double *copy; /* of the input, made by the forward */
    double factor;
};

/* Reads the host's way, on data, and leaves something that is to be released. */
static tape_status shelve(tape_custom_call *c)
{
    struct shelf *shelf = c->attr;
    int64_t n = tape_numel(c->x[0]);
    const double *x = tape_data_f64(c->x[0]);
    double *y = tape_custom_output(c, 0, TAPE_F64, tape_shape_of(c->x[0]));
    if (!y || shelf->copy)
        return tape_fail(TAPE_ERROR_ARGUMENT, "shelf: its attribute is not what the caller gave");
    if (x[0] < -50)
        return tape_fail(TAPE_ERROR_ARGUMENT, "shelf: too cold");
    shelf->copy = malloc((size_t)n * sizeof *shelf->copy);
    owned++;
    for (int64_t i = 0; i < n; i++)
        y[i] = shelf->factor * (shelf->copy[i] = x[i]) * x[i];
    shelf->factor = -1;
    return TAPE_OK;
}

static tape_status shelve_vjp(tape_custom_vjp *v)
{
    const struct shelf *shelf = v->attr;
    const double *g = tape_data_f64(v->gy[0]);
    double *gx = tape_custom_gradient(v, 0);
    for (int64_t i = 0; gx && i < tape_numel(v->x[0]); i++)
        gx[i] = 6 * shelf->copy[i] * g[i];
    return tape_last_status();
}

static void clear_shelf(void *user, void *attr)
{
    struct shelf *shelf = attr;
    (void)user;
    free(shelf->copy);
    owned--;
}

static const tape_custom_op shelf_op = {
    .name = "shelf", .forward = shelve, .vjp = shelve_vjp, .release = clear_shelf, .first_order = true};

START_TEST(test_custom)
{
    const struct shelf given = {NULL, 3};
    tape_tensor x = tape_param(TAPE_F64, TAPE_SHAPE(2), (const double[]){1, 2});
    tape_tensor z = tape_mul_scalar(x, 1), y = tape_custom(&shelf_op, &z, 1, &given, sizeof given, NULL);
    tape_tensor loss = tape_sum(tape_mul_scalar(y, 0.5), TAPE_ALL, false);
    OK();
    for (double k = 1; k < 4; k++) {
        tape_write(x, (const double[]){k, -k}, 16);
        ck_assert_msg(tape_replay() == TAPE_OK, "%s", tape_message());
        ck_assert_double_eq(tape_item(loss), 3 * k * k);
        ck_assert_int_eq(owned, 1);
        tape_zero_grad(x);
        ck_assert_int_eq(tape_backward(loss), TAPE_OK);
        ck_assert_double_eq(tape_data_f64(tape_gradient(x))[1], -3 * k);
    }
    /* a forward that fails leaves no derivative to be had, until it succeeds */
    tape_write(x, (const double[]){-60, 1}, 16);
    ck_assert_int_eq(tape_replay(), TAPE_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(tape_message(), "too cold"));
    ck_assert_int_eq(owned, 0);
    tape_clear();
    ck_assert_int_eq(tape_backward(loss), TAPE_ERROR_STATE);
    ck_assert_ptr_nonnull(strstr(tape_message(), "replay"));
    tape_clear();
    ck_assert_int_eq(tape_grad(&loss, 1, NULL, &x, 1, NULL, &y), TAPE_ERROR_STATE);
    tape_clear();
    tape_write(x, (const double[]){1, 1}, 16);
    ck_assert_int_eq(tape_replay(), TAPE_OK);
    ck_assert_int_eq(owned, 1);
    tape_zero_grad(x);
    ck_assert_int_eq(tape_backward(loss), TAPE_OK);
    ck_assert_double_eq(tape_data_f64(tape_gradient(x))[0], 3);
    tape_reset();
    ck_assert_int_eq(owned, 0);
    tape_free(x);
    settle();
}
END_TEST

static tape_status replay_inside(tape_custom_call *c)
{
    c->y[0] = tape_neg(c->x[0]);
    return tape_replay();
}

static const tape_custom_op inside_op = {.name = "inside", .forward = replay_inside};

START_TEST(test_in_callback)
{
    tape_tensor x = tape_param(TAPE_F64, TAPE_SCALAR, NULL);
    ck_assert(tape_is_null(tape_custom(&inside_op, &x, 1, NULL, 0, NULL)));
    ck_assert_int_eq(tape_last_status(), TAPE_ERROR_STATE);
    tape_free(x);
    tape_reset();
}
END_TEST

/* ---- what cannot be replayed ------------------------------------------------------------------------------------- */

START_TEST(test_host_reads)
{
    tape_tensor x = tape_param(TAPE_F64, TAPE_SCALAR, (const double[]){2}), y,
                out = tape_const(TAPE_F64, TAPE_SCALAR, NULL);
    double value;
    for (int way = 0; way < 7; way++) {
        static const char *const names[] = {"tape_item",   "tape_read",      "tape_data()", "tape_data_f64",
                                            "tape_keep()", "tape_keep_into", "tape_assign"};
        tape_tensor kept = TAPE_NONE;
        y = tape_square(x);
        if (way == 0)
            tape_item(y);
        else if (way == 1)
            tape_read(y, &value, 1);
        else if (way == 2)
            tape_data(tape_detach(y));
        else if (way == 3)
            tape_data_f64(y);
        else if (way == 4)
            kept = tape_keep(y);
        else if (way == 5)
            tape_keep_into(out, y);
        else
            tape_assign(out, y);
        ck_assert_int_eq(tape_replay(), TAPE_OK); /* no record came after it */
        tape_sin(x);
        refused(names[way]);
        refused("square");
        tape_free(kept);
        tape_reset();
    }
    y = tape_square(x);
    ck_assert_double_eq(tape_peek(y), 4);
    char text[32];
    tape_item(x), tape_item(tape_scalar(TAPE_F64, 2)), tape_format(y, text, sizeof text);
    y = tape_sin(y);
    ck_assert_int_eq(tape_replay(), TAPE_OK);
    ck_assert_double_eq(tape_peek(y), sin(4));
    ck_assert(isnan(tape_peek(tape_from(TAPE_F64, TAPE_SHAPE(2), NULL))));
    ck_assert_int_eq(tape_last_status(), TAPE_ERROR_SHAPE);
    tape_clear();
    tape_free(x), tape_free(out);
    settle();
}
END_TEST

/* What was read and then dropped counts no more; what is left does. */
START_TEST(test_rewound_reads)
{
    tape_tensor x = tape_param(TAPE_F64, TAPE_SCALAR, (const double[]){2}), y = tape_square(x);
    tape_position here = tape_mark();
    tape_item(tape_sin(y));
    tape_rewind(here);
    tape_cos(y);
    ck_assert_int_eq(tape_replay(), TAPE_OK);
    tape_tensor z = tape_sin(y);
    tape_item(z), tape_item(y);
    tape_rewind(here);
    tape_cos(y);
    refused("square");
    tape_free(x);
    settle();
}
END_TEST

START_TEST(test_written_between)
{
    tape_tensor x = tape_param(TAPE_F64, TAPE_SHAPE(2), (const double[]){2, 3}), c, y;
    tape_sin(x);
    tape_write(x, (const double[]){5, 6}, 16);
    y = tape_cos(tape_slice(x, 0, 0, 1, 1)); /* through a view */
    refused("written since an earlier record");
    tape_reset();
    tape_sin(x);
    tape_set_requires_grad(x, false);
    tape_write(x, (const double[]){5, 6}, 16);
    tape_cos(x); /* another node stands for the frozen leaf */
    refused("written since an earlier record");
    tape_set_requires_grad(x, true);
    tape_reset();
    y = tape_sin(x);
    *(double *)tape_data_mut(y) = 7;
    ck_assert_int_eq(tape_replay(), TAPE_OK); /* made again */
    ck_assert_double_eq(tape_data_f64(y)[0], sin(5));
    tape_cos(y);
    tape_reset();
    y = tape_sin(x);
    *(double *)tape_data_mut(y) = 7;
    tape_cos(y);
    ck_assert_int_eq(tape_replay(), TAPE_ERROR_STATE);
    tape_clear();
    tape_reset();
    c = tape_from(TAPE_F64, TAPE_SHAPE(2), (const double[]){1, 2});
    y = tape_mul(x, c);
    *(double *)tape_data_mut(c) = 10;
    ck_assert_int_eq(tape_replay(), TAPE_OK); /* the host refilled a constant */
    ck_assert_double_eq(tape_data_f64(y)[0], 50);
    tape_free(x);
    settle();
}
END_TEST

static tape_tensor layer(void *user, const tape_tensor *x, int n)
{
    (void)user, (void)n;
    return tape_dropout(tape_tanh(tape_linear(x[0], x[1], TAPE_NONE)), 0.25);
}

static tape_tensor root(void *user, const tape_tensor *x, int n)
{
    (void)user, (void)n;
    return tape_sub(tape_square(x[0]), x[1]);
}

START_TEST(test_from_outside)
{
    tape_tensor x = tape_param(TAPE_F64, TAPE_SCALAR, (const double[]){4}), y = tape_square(x), g;
    tape_pause();
    tape_tensor held = tape_exp(tape_neg(x));
    tape_resume();
    tape_mul(y, held);
    refused("paused");
    tape_reset();
    y = tape_square(x);
    ck_assert_int_eq(tape_grad(&y, 1, NULL, &x, 1, NULL, &g), TAPE_OK);
    tape_sub(x, g);
    refused("not recorded");
    tape_reset();
    tape_tensor w = tape_param(TAPE_F64, TAPE_SHAPE(1, 1), NULL), in[2] = {tape_reshape(x, TAPE_SHAPE(1, 1)), w};
    y = tape_sum(tape_checkpoint(layer, NULL, in, 2), TAPE_ALL, false);
    ck_assert_int_eq(tape_replay(), TAPE_OK);
    const tape_grad_options recorded = {.create_graph = true};
    ck_assert_int_eq(tape_grad(&y, 1, NULL, &w, 1, &recorded, &g), TAPE_OK);
    refused("random numbers");
    tape_free(w);
    tape_reset();
    y = tape_implicit(root, NULL, tape_scalar(TAPE_F64, 2), &x, 1, NULL);
    OK();
    refused("implicit");
    tape_free(x);
    settle();
}
END_TEST

START_TEST(test_shape_and_index)
{
    tape_tensor x = tape_param(TAPE_F64, TAPE_SHAPE(3), (const double[]){1, -2, 3});
    tape_tensor index = tape_const(TAPE_I64, TAPE_SHAPE(2), (const int64_t[]){0, 2});
    tape_tensor y = tape_index_select(x, 0, index), s = tape_masked_select(x, tape_gt_scalar(x, 0));
    OK();
    tape_write(x, (const double[]){7, 8, -9}, 24);
    ck_assert_int_eq(tape_replay(), TAPE_OK); /* as many as before */
    ck_assert(tape_data_f64(s)[0] == 7 && tape_data_f64(s)[1] == 8 && tape_data_f64(y)[1] == -9);
    tape_write(x, (const double[]){7, 8, 9}, 24);
    ck_assert_int_eq(tape_replay(), TAPE_ERROR_SHAPE);
    tape_clear();
    tape_write(x, (const double[]){7, 8, -9}, 24);
    tape_write(index, (const int64_t[]){0, 3}, 16);
    ck_assert_int_eq(tape_replay(), TAPE_ERROR_INDEX);
    tape_clear();
    tape_write(index, (const int64_t[]){1, 1}, 16);
    ck_assert_int_eq(tape_replay(), TAPE_OK);
    ck_assert(tape_data_f64(y)[0] == 8);
    tape_free(x);
    ck_assert_int_eq(tape_replay(), TAPE_ERROR_VERSION);
    ck_assert_ptr_nonnull(strstr(tape_message(), "freed"));
    tape_free(index);
    tape_reset();
    ck_assert_int_eq(tape_replay(), TAPE_OK); /* nothing is on the tape */
}
END_TEST

/* Records with more inputs than fit at once, views of leaves, strided inputs that ops copy, work space. */
START_TEST(test_many_inputs)
{
    tape_tensor x[20], y;
    for (int i = 0; i < 20; i++)
        x[i] = tape_param(TAPE_F64, TAPE_SHAPE(3, 2), NULL);
    y = tape_concat(x, 20, 0);
    tape_tensor z = tape_cumsum(tape_flip(tape_transpose(y, 0, 1), TAPE_ALL), 1);
    tape_tensor n = tape_softmax(tape_transpose(x[3], 0, 1), 0);
    OK();
    for (int k = 1; k < 3; k++) {
        for (int i = 0; i < 20; i++)
            tape_write(x[i], (const double[]){k, 2 * k, 3 * k, 4 * k, 5 * k, 6 * k}, 48);
        int64_t bytes = (int64_t)tape_stats().bytes_now;
        ck_assert_int_eq(tape_replay(), TAPE_OK);
        ck_assert(k == 1 || (int64_t)tape_stats().bytes_now == bytes);
        ck_assert_double_eq(tape_data_f64(y)[117], 4 * k);
        ck_assert_double_eq(tape_data_f64(z)[59], (2 + 4 + 6) * k * 20);
        ck_assert_double_eq_tol(tape_data_f64(n)[0], 1 / (1 + exp(k)), 1e-12);
    }
    for (int i = 0; i < 20; i++)
        tape_free(x[i]);
    settle();
}
END_TEST

__attribute__((noinline)) static tape_tensor recorder(tape_tensor x)
{
    tape_tensor y = tape_log(x);
    return tape_is_null(y) ? x : y;
}

/* A NaN that a replay makes is blamed on who recorded the op. */
START_TEST(test_traced)
{
    tape_tensor x = tape_param(TAPE_F64, TAPE_SHAPE(2), (const double[]){1, 2});
    ck_assert_int_eq(tape_trace_nonfinite(TAPE_TRACE_REPORT), TAPE_OK);
    tape_cumsum(recorder(x), 0);
    ck_assert_int_eq(tape_replay(), TAPE_OK);
    ck_assert_ptr_null(tape_nonfinite_found());
    tape_write(x, (const double[]){1, 0}, 16);
    ck_assert_int_eq(tape_replay(), TAPE_OK);
    const tape_nonfinite *found = tape_nonfinite_found();
    ck_assert(found && strcmp(found->op, "log") == 0 && found->index[0] == 1);
#if TAPE__BACKTRACE
    ck_assert((uintptr_t)found->caller - (uintptr_t)recorder < 4096);
#endif
    tape_trace_nonfinite(TAPE_TRACE_OFF);
    tape_free(x);
    settle();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("replay_limits");
    TCase *all = tcase_create("all");
    tcase_add_test(all, test_custom);
    tcase_add_test(all, test_in_callback);
    tcase_add_test(all, test_host_reads);
    tcase_add_test(all, test_rewound_reads);
    tcase_add_test(all, test_written_between);
    tcase_add_test(all, test_from_outside);
    tcase_add_test(all, test_shape_and_index);
    tcase_add_test(all, test_many_inputs);
    tcase_add_test(all, test_traced);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
