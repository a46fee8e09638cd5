/* Layers, softmax, normalisation and attention where the samples do not go: far inputs, infinities, scalars, nothing at
   all, wrong arguments. */
#include <check.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/expect.h"
#include "tape/nn.h"
#include "tape/trace.h"

#define INF INFINITY

/* ---- layers --------------------------------------------------------------------------------------------------------
 */

/* Small layers take a short way, which a search for NaN bars: both must give the same bits, and record the same. */
static void run_layer(tape_tensor x, tape_tensor w, tape_tensor b, double *y, double *gx, double *gw, double *gb)
{
    tape_tensor out = tape_linear(x, w, b);
    ck_assert_int_eq(tape_read(out, y, 6), TAPE_OK);
    ck_assert_int_eq(tape_backward(tape_sum(tape_square(out), TAPE_ALL, false)), TAPE_OK);
    ck_assert_int_eq(tape_read(tape_gradient(x), gx, 8), TAPE_OK);
    ck_assert_int_eq(tape_read(tape_gradient(w), gw, 12), TAPE_OK);
    if (!tape_is_none(b))
        ck_assert_int_eq(tape_read(tape_gradient(b), gb, 3), TAPE_OK);
    tape_zero_grad(x), tape_zero_grad(w);
    if (!tape_is_none(b))
        tape_zero_grad(b);
    tape_reset();
}

START_TEST(test_linear_both_ways)
{
    tape_tensor x = PARAM(TAPE_SHAPE(2, 4), 1, -2, 3, 0.5, 0.1, 7, -3, 2);
    tape_tensor w = PARAM(TAPE_SHAPE(3, 4), 0.3, 1, 2, -1, 5, 0.7, -2, 1, 1, 1.3, 0, -4);
    tape_tensor bias = PARAM(TAPE_SHAPE(3), 0.1, -0.2, 11);
    for (int with = 0; with < 2; with++) {
        double y[3][6], gx[3][8], gw[3][12], gb[3][3] = {{0}};
        for (int run = 0; run < 3; run++) { /* the first has everything to meet */
            tape_trace_nonfinite(run == 1 ? TAPE_TRACE_REPORT : TAPE_TRACE_OFF);
            run_layer(x, w, with ? bias : TAPE_NONE, y[run], gx[run], gw[run], gb[run]);
        }
        for (int run = 1; run < 3; run++) {
            ck_assert_mem_eq(y[run], y[0], sizeof y[0]);
            ck_assert_mem_eq(gx[run], gx[0], sizeof gx[0]);
            ck_assert_mem_eq(gw[run], gw[0], sizeof gw[0]);
            ck_assert_mem_eq(gb[run], gb[0], sizeof gb[0]);
        }
    }
    tape_trace_nonfinite(TAPE_TRACE_OFF);
    *(double *)tape_data_mut(w) = 1; /* a write between is seen on the short way too */
    tape_tensor out = tape_sum(tape_linear(x, w, bias), TAPE_ALL, false);
    *(double *)tape_data_mut(w) = 2;
    ck_assert_int_eq(tape_backward(out), TAPE_ERROR_VERSION);
    tape_clear();
    tape_linear(x, bias, TAPE_NONE); /* what does not fit is told by the long way */
    ck_assert_int_eq(tape_last_status(), TAPE_ERROR_SHAPE);
    tape_clear();
}
END_TEST

/* ---- softmax ----------------------------------------------------------------------------------------------------- */

START_TEST(test_softmax_far_out)
{
    tape_tensor x = PARAM(TAPE_SHAPE(3, 2), 1e4, 1e4, -1e4, -1e4, 1e4, -1e4);
    EXPECT(tape_softmax(x, 1), 0.5, 0.5, 0.5, 0.5, 1, 0);
    EXPECT(tape_log_softmax(x, 1), -log(2), -log(2), -log(2), -log(2), 0, -2e4);
    tape_tensor weights = tape_from(TAPE_F64, TAPE_SHAPE(2), (const double[]){1, 3});
    EXPECT(gradient_of(tape_mul(tape_softmax(x, 1), weights), x), -0.5, 0.5, -0.5, 0.5, 0, 0);
    EXPECT(gradient_of(tape_mul(tape_log_softmax(x, 1), weights), x), -1, 1, -1, 1, -3, 3);
}
END_TEST

START_TEST(test_softmax_of_minus_infinity)
{
    tape_tensor x = PARAM(TAPE_SHAPE(3), -INF, 0, 0);
    tape_tensor weights = tape_from(TAPE_F64, TAPE_SHAPE(3), (const double[]){5, 1, 3});
    EXPECT(tape_softmax(x, 0), 0, 0.5, 0.5);
    EXPECT(tape_log_softmax(x, 0), -INF, -log(2), -log(2));
    EXPECT(gradient_of(tape_mul(tape_softmax(x, 0), weights), x), 0, -0.5, 0.5);
}
END_TEST

START_TEST(test_softmax_of_few)
{
    tape_tensor x = PARAM(TAPE_SCALAR, 3);
    EXPECT(tape_softmax(x, -1), 1);
    EXPECT(tape_log_softmax(x, 0), 0);
    EXPECT(gradient_of(gradient_of(tape_softmax(x, 0), x), x), 0);
    ck_assert_int_eq(tape_numel(tape_softmax(tape_param(TAPE_F64, TAPE_SHAPE(2, 0), NULL), 1)), 0);
    ck_assert_int_eq(tape_numel(tape_log_softmax(tape_param(TAPE_F64, TAPE_SHAPE(0, 2), NULL), 1)), 0);
}
END_TEST

START_TEST(test_softmax_wrong_arguments)
{
    tape_tensor x = PARAM(TAPE_SHAPE(2, 2), 1, 2, 3, 4);
    const int wrong[] = {2, -3, INT_MAX, INT_MIN};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        EXPECT_ERROR(tape_softmax(x, wrong[i]), TAPE_ERROR_ARGUMENT, "out of range for shape [2, 2]");
    EXPECT_ERROR(tape_log_softmax(PARAM(TAPE_SCALAR, 1), 1), TAPE_ERROR_ARGUMENT, "log_softmax: axis 1");
    EXPECT_ERROR(tape_softmax(INDEX(1, 2), 0), TAPE_ERROR_DTYPE, "softmax: expects f32 or f64, got i64");
}
END_TEST

/* ---- layers with an activation ----------------------------------------------------------------------------------- */

typedef struct layer {
    tape_tensor x, w, b, weights;
} layer;

static layer random_layer(tape_dtype dtype, int64_t rows, int64_t in, int64_t out)
{
    const tape_shape shape[4] = {TAPE_SHAPE(rows, in), TAPE_SHAPE(out, in), TAPE_SHAPE(out), TAPE_SHAPE(rows, out)};
    tape_tensor t[4];
    for (int k = 0; k < 4; k++) {
        t[k] = tape_param(dtype, shape[k], NULL);
        tape_init_uniform(t[k], -1, 1);
    }
    return (layer){t[0], t[1], t[2], t[3]};
}

static tape_tensor activated(const layer *l, int activation, bool at_once)
{
    static tape_tensor (*const by_itself[])(tape_tensor) = {NULL,      tape_relu,      tape_tanh, tape_sigmoid,
                                                            tape_gelu, tape_gelu_tanh, tape_silu};
    return at_once ? tape_linear_activated(l->x, l->w, l->b, (tape_activation)activation)
                   : by_itself[activation](tape_linear(l->x, l->w, l->b));
}

/* Both ways, forward and back, to the same bits. */
static void expect_same_layer(layer l, int activation)
{
    const tape_tensor leaf[3] = {l.x, l.w, l.b};
    size_t bytes[4];
    void *result[2][4];
    for (int way = 0; way < 2; way++) {
        tape_tensor y = activated(&l, activation, way);
        ck_assert_int_eq(tape_backward(tape_sum(tape_mul(y, l.weights), TAPE_ALL, false)), TAPE_OK);
        for (int k = 0; k < 4; k++) {
            tape_tensor from = k < 3 ? tape_gradient(leaf[k]) : y;
            bytes[k] = (size_t)tape_numel(from) * tape_dtype_size(tape_dtype_of(from));
            result[way][k] = malloc(bytes[k]);
            ck_assert_int_eq(tape_read(from, result[way][k], tape_numel(from)), TAPE_OK);
        }
        for (int k = 0; k < 3; k++)
            tape_zero_grad(leaf[k]);
        tape_reset();
    }
    for (int k = 0; k < 4; k++) {
        ck_assert_msg(memcmp(result[0][k], result[1][k], bytes[k]) == 0, "activation %d, result %d", activation, k);
        free(result[0][k]);
        free(result[1][k]);
    }
}

START_TEST(test_an_activated_layer_has_the_bits_of_its_parts)
{
    static const int64_t sizes[][3] = {{1, 3, 2}, {1, 8, 32}, {5, 7, 9}, {70, 90, 110}, {130, 300, 280}};
    for (int threads = 1; threads <= 2; threads++) {
        tape_threads(threads);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            for (int activation = TAPE_ACTIVATION_RELU; activation <= TAPE_ACTIVATION_SILU; activation++)
                expect_same_layer(random_layer(i % 2 ? TAPE_F64 : TAPE_F32, sizes[i][0], sizes[i][1], sizes[i][2]),
                                  activation);
    }
    tape_threads(1);
}
END_TEST

START_TEST(test_an_activated_layer_of_nothing)
{
    tape_tensor x = tape_param(TAPE_F64, TAPE_SHAPE(0, 3), NULL), w = tape_param(TAPE_F64, TAPE_SHAPE(2, 3), NULL);
    tape_tensor y = tape_linear_activated(x, w, TAPE_NONE, TAPE_ACTIVATION_GELU);
    ck_assert_int_eq(tape_backward(tape_sum(y, TAPE_ALL, false)), TAPE_OK);
    EXPECT(tape_gradient(w), 0, 0, 0, 0, 0, 0);
    /* no column: the activation of the bias alone */
    x = tape_param(TAPE_F64, TAPE_SHAPE(1, 0), NULL);
    w = tape_param(TAPE_F64, TAPE_SHAPE(2, 0), NULL);
    EXPECT(tape_linear_activated(x, w, PARAM(TAPE_SHAPE(2), -1, 1), TAPE_ACTIVATION_RELU), 0, 1);
    EXPECT(tape_linear_activated(x, w, TAPE_NONE, TAPE_ACTIVATION_SIGMOID), 0.5, 0.5);
}
END_TEST

START_TEST(test_an_activated_layer_of_wrong_arguments)
{
    tape_tensor x = PARAM(TAPE_SHAPE(1, 2), 1, 2), w = PARAM(TAPE_SHAPE(1, 3), 1, 2, 3);
    EXPECT_ERROR(tape_linear_activated(x, w, TAPE_NONE, TAPE_ACTIVATION_RELU), TAPE_ERROR_SHAPE,
                 "linear_activated: x [1, 2], weight [1, 3], bias none");
    EXPECT_ERROR(tape_linear_activated(x, x, TAPE_NONE, (tape_activation)7), TAPE_ERROR_ARGUMENT, "7 is no activation");
    EXPECT_ERROR(tape_linear_activated(x, x, TAPE_NONE, (tape_activation)-1), TAPE_ERROR_ARGUMENT,
                 "-1 is no activation");
}
END_TEST

/* ---- normalisation ----------------------------------------------------------------------------------------------- */

START_TEST(test_layer_norm_by_hand)
{
    tape_tensor x = PARAM(TAPE_SHAPE(2, 2), 1, 3, 5, 5);
    tape_tensor w = PARAM(TAPE_SHAPE(2), 2, 3), b = PARAM(TAPE_SHAPE(2), 10, 20);
    EXPECT(tape_layer_norm(x, TAPE_NONE, TAPE_NONE, 1, 0), -1, 1, NAN, NAN);
    EXPECT(tape_layer_norm(x, w, b, 1, 3), 9, 21.5, 10, 20);
    EXPECT(tape_layer_norm(x, TAPE_NONE, TAPE_NONE, 2, 0.25), -2.5 / sqrt(3), -0.5 / sqrt(3), 1.5 / sqrt(3),
           1.5 / sqrt(3));
    EXPECT(tape_rms_norm(x, w, 1, 4), 2. / 3, 3, 10 / sqrt(29), 15 / sqrt(29));
}
END_TEST

START_TEST(test_normalisation_of_a_constant_row)
{
    tape_tensor x = PARAM(TAPE_SHAPE(1, 3), 7, 7, 7);
    tape_tensor g = tape_from(TAPE_F64, TAPE_SHAPE(3), (const double[]){1, 2, 6});
    EXPECT(gradient_of(tape_mul(tape_layer_norm(x, TAPE_NONE, TAPE_NONE, 1, 0.25), g), x), -4, -2, 6);
    x = PARAM(TAPE_SHAPE(1, 3), 0, 0, 0);
    EXPECT(gradient_of(tape_mul(tape_rms_norm(x, TAPE_NONE, 1, 0.25), g), x), 2, 4, 12);
}
END_TEST

START_TEST(test_normalisation_of_nothing)
{
    tape_tensor x = tape_param(TAPE_F64, TAPE_SHAPE(0, 2), NULL), w = PARAM(TAPE_SHAPE(2), 1, 1);
    tape_tensor y = tape_layer_norm(x, w, w, 1, 1e-5);
    ck_assert_int_eq(tape_numel(y), 0);
    EXPECT(gradient_of(y, w), 0, 0);
}
END_TEST

START_TEST(test_normalisation_wrong_arguments)
{
    tape_tensor x = PARAM(TAPE_SHAPE(2, 2), 1, 2, 3, 4), w = PARAM(TAPE_SHAPE(3), 1, 2, 3);
    const int wrong[] = {0, -1, 3, INT_MAX, INT_MIN};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        EXPECT_ERROR(tape_rms_norm(x, TAPE_NONE, wrong[i], 1e-5), TAPE_ERROR_ARGUMENT, "rms_norm: trailing");
    EXPECT_ERROR(tape_layer_norm(x, w, TAPE_NONE, 1, 1e-5), TAPE_ERROR_SHAPE, "of shape [2], got [3]");
    EXPECT_ERROR(tape_layer_norm(x, TAPE_NONE, w, 1, 1e-5), TAPE_ERROR_SHAPE, "of shape [2], got [3]");
    w = tape_ones(TAPE_F32, TAPE_SHAPE(2));
    EXPECT_ERROR(tape_layer_norm(x, w, TAPE_NONE, 1, 1e-5), TAPE_ERROR_DTYPE, "of f64, got f32");
    EXPECT_ERROR(tape_layer_norm(INDEX(1, 2), TAPE_NONE, TAPE_NONE, 1, 1e-5), TAPE_ERROR_DTYPE, "got i64");
    EXPECT_ERROR(tape_layer_norm(x, TAPE_NULL, TAPE_NONE, 1, 1e-5), TAPE_ERROR_HANDLE, "layer_norm: ");
}
END_TEST

/* ---- attention --------------------------------------------------------------------------------------------------- */

/* Each of batch, queries, keys, depth and width is 0 in turn. Values of 1 come out as 1 where there are keys, else 0.
 */
START_TEST(test_attention_of_nothing)
{
    for (int empty = 0; empty < 5; empty++)
        for (int causal = 0; causal < 2; causal++) {
            int64_t n[5] = {2, 3, 4, 2, 5};
            n[empty] = 0;
            tape_tensor q = tape_param(TAPE_F64, TAPE_SHAPE(n[0], n[1], n[3]), NULL);
            tape_tensor k = tape_param(TAPE_F64, TAPE_SHAPE(n[0], n[2], n[3]), NULL);
            tape_tensor v = tape_param(TAPE_F64, TAPE_SHAPE(n[0], n[2], n[4]), NULL);
            double *values = tape_data_mut(v);
            for (int64_t i = 0; i < tape_numel(v); i++)
                values[i] = 1;
            tape_tensor y = tape_attention(q, k, v, TAPE_NONE, &(tape_attention_options){.causal = causal, .scale = 1});
            ck_assert_int_eq(tape_last_status(), TAPE_OK);
            ck_assert_int_eq(tape_numel(y), n[0] * n[1] * n[4]);
            for (int64_t i = 0; i < tape_numel(y); i++)
                ck_assert_double_eq_tol(((const double *)tape_data(y))[i], n[2] ? 1 : 0, 1e-12);
            ck_assert_int_eq(tape_backward(tape_sum(y, TAPE_ALL, false)), TAPE_OK);
            double sum = 0;
            for (int64_t i = 0; i < tape_numel(v); i++)
                sum += ((const double *)tape_data(tape_gradient(v)))[i];
            ck_assert_double_eq_tol(sum, n[2] ? (double)(n[0] * n[1] * n[4]) : 0, 1e-12);
            tape_reset();
            tape_free(q), tape_free(k), tape_free(v);
        }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("nn ops");
    TCase *all = tcase_create("all");
    tcase_add_test(all, test_linear_both_ways);
    tcase_add_test(all, test_softmax_far_out);
    tcase_add_test(all, test_softmax_of_minus_infinity);
    tcase_add_test(all, test_softmax_of_few);
    tcase_add_test(all, test_softmax_wrong_arguments);
    tcase_add_test(all, test_an_activated_layer_has_the_bits_of_its_parts);
    tcase_add_test(all, test_an_activated_layer_of_nothing);
    tcase_add_test(all, test_an_activated_layer_of_wrong_arguments);
    tcase_add_test(all, test_layer_norm_by_hand);
    tcase_add_test(all, test_normalisation_of_a_constant_row);
    tcase_add_test(all, test_normalisation_of_nothing);
    tcase_add_test(all, test_normalisation_wrong_arguments);
    tcase_add_test(all, test_attention_of_nothing);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
