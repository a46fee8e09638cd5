/* The derivative where there is none: the table of kinks, op by op on both paths, in forward mode and in both dtypes,
 * and again for the second order. Values are by hand from the policy, not from what the code gives. */
#include "table.h"
#include "tape/autodiff.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

enum { MOST = 6 };

/* An op at one point of up to MOST elements for each of two inputs, and its derivatives for a cotangent of ones. */
struct kink {
    const char *name;
    tape_tensor (*run)(const tape_tensor *x);
    int n_in, numel;
    double x[2][MOST], gx[2][MOST];
    bool linear; /* in pieces: the second derivative is 0 everywhere */
};

#define RUN(name, expression)                                                                                          \
    static tape_tensor run_##name(const tape_tensor *x)                                                                \
    {                                                                                                                  \
        return expression;                                                                                             \
    }
RUN(relu, tape_relu(x[0]))
RUN(relu6, tape_relu6(x[0]))
RUN(leaky_relu, tape_leaky_relu(x[0], 0.1))
RUN(elu, tape_elu(x[0], 0.7))
RUN(selu, tape_selu(x[0]))
RUN(hardtanh, tape_hardtanh(x[0], -1, 1))
RUN(hardsigmoid, tape_hardsigmoid(x[0]))
RUN(hardswish, tape_hardswish(x[0]))
RUN(abs, tape_abs(x[0]))
RUN(sign, tape_sign(x[0]))
RUN(clamp, tape_clamp(x[0], -1, 1))
RUN(floor, tape_floor(x[0]))
RUN(ceil, tape_ceil(x[0]))
RUN(round, tape_round(x[0]))
RUN(trunc, tape_trunc(x[0]))
RUN(sqrt, tape_sqrt(x[0]))
RUN(pow, tape_pow(x[0], x[1]))
RUN(maximum, tape_maximum(x[0], x[1]))
RUN(minimum, tape_minimum(x[0], x[1]))
RUN(atan2, tape_atan2(x[0], x[1]))
RUN(hypot, tape_hypot(x[0], x[1]))
RUN(div, tape_div(x[0], x[1]))
RUN(max, tape_max(x[0], TAPE_ALL, false))
RUN(min, tape_min(x[0], TAPE_ALL, false))
RUN(amax, tape_amax(x[0], TAPE_ALL, false))
RUN(amin, tape_amin(x[0], TAPE_ALL, false))
RUN(norm1, tape_norm(x[0], 1, TAPE_ALL, false))
RUN(norm2, tape_norm(x[0], 2, TAPE_ALL, false))
RUN(norm_inf, tape_norm(x[0], INFINITY, TAPE_ALL, false))
RUN(std, tape_std(x[0], TAPE_ALL, 1, false))
RUN(topk, tape_topk(x[0], 1, 0, false, NULL))
RUN(sort, tape_slice(tape_sort(x[0], 0, false, NULL), 0, 0, 1, 1))
RUN(median, tape_median(x[0], 0, false, NULL))
RUN(kthvalue, tape_kthvalue(x[0], 1, 0, false, NULL))
RUN(max_with_index, tape_max_with_index(x[0], 0, false, NULL))
RUN(min_with_index, tape_min_with_index(x[0], 0, false, NULL))
RUN(max_pool, tape_max_pool1d(tape_reshape(x[0], TAPE_SHAPE(1, 1, 4)), &(tape_pool_options){.kernel = {4}}, NULL))
RUN(cummax, tape_slice(tape_cummax(x[0], 0, NULL), 0, -1, INT64_MAX, 1))
RUN(norm_p, tape_norm_p(x[0], 3, TAPE_ALL, false))
RUN(norm_half, tape_norm_p(x[0], 0.5, TAPE_ALL, false))
RUN(length, tape_length(x[0]))
RUN(normalize_safe, tape_normalize_safe(x[0]))
RUN(smooth_abs, tape_smooth_abs(x[0], 0))
RUN(var, tape_var(x[0], TAPE_ALL, 1, false))
RUN(fmod, tape_fmod(x[0], x[1]))
RUN(nan_to_num, tape_nan_to_num(x[0], 0, 1, -1))
RUN(guarded_sqrt, tape_where(tape_gt_scalar(x[0], 0), tape_sqrt(x[0]), tape_zeros_like(x[0])))
RUN(guarded_log, tape_where(tape_gt_scalar(x[0], 0), tape_log(x[0]), x[1]))
RUN(logsumexp, tape_logsumexp(x[0], TAPE_ALL, false))

static const struct kink kinks[] = {
    {"relu", run_relu, 1, 3, {{-1, 0, 2}}, {{0, 0, 1}}, true},
    {"relu6", run_relu6, 1, 4, {{-1, 0, 3, 6}}, {{0, 0, 1, 0}}, true},
    {"leaky_relu", run_leaky_relu, 1, 3, {{-1, 0, 2}}, {{0.1, 0.1, 1}}, true},
    {"elu", run_elu, 1, 2, {{0, 2}}, {{0.7, 1}}, false},
    {"selu", run_selu, 1, 1, {{0}}, {{1.0507009873554804934 * 1.6732632423543772848}}, false},
    {"hardtanh", run_hardtanh, 1, 4, {{-2, -1, 0, 1}}, {{0, 0, 1, 0}}, true},
    {"hardsigmoid", run_hardsigmoid, 1, 4, {{-4, -3, 0, 3}}, {{0, 0, 1 / 6., 0}}, true},
    {"hardswish", run_hardswish, 1, 3, {{-4, -3, 4}}, {{0, 0, 1}}, false},
    {"abs", run_abs, 1, 3, {{-2, 0, 2}}, {{-1, 0, 1}}, true},
    {"sign", run_sign, 1, 3, {{-2, 0, 2}}, {{0, 0, 0}}, true},
    {"clamp", run_clamp, 1, 5, {{-2, -1, 0, 1, 2}}, {{0, 1, 1, 1, 0}}, true},
    {"clamp of NaN", run_clamp, 1, 1, {{NAN}}, {{NAN}}, false},
    {"floor", run_floor, 1, 3, {{-1, 0.5, 1}}, {{0, 0, 0}}, true},
    {"ceil", run_ceil, 1, 3, {{-1, 0.5, 1}}, {{0, 0, 0}}, true},
    {"round", run_round, 1, 3, {{-1, 0.5, 1}}, {{0, 0, 0}}, true},
    {"trunc", run_trunc, 1, 3, {{-1, 0.5, 1}}, {{0, 0, 0}}, true},
    {"sqrt at 0", run_sqrt, 1, 2, {{0, 4}}, {{INFINITY, 0.25}}, false},
    {"pow(0, p < 1)", run_pow, 2, 2, {{0, 0}, {0.5, 0.25}}, {{INFINITY, INFINITY}, {0, 0}}, false},
    {"pow(0, 0)", run_pow, 2, 1, {{0}, {0}}, {{0}, {0}}, false},
    {"pow(0, p > 1)", run_pow, 2, 2, {{0, 0}, {1, 2}}, {{1, 0}, {0, 0}}, false},
    {"pow below 0", run_pow, 2, 2, {{-2, -2}, {2, 3}}, {{-4, 12}, {NAN, NAN}}, false},
    {"maximum", run_maximum, 2, 3, {{1, 2, 3}, {2, 2, 2}}, {{0, 0.5, 1}, {1, 0.5, 0}}, true},
    {"minimum", run_minimum, 2, 3, {{1, 2, 3}, {2, 2, 2}}, {{1, 0.5, 0}, {0, 0.5, 1}}, true},
    {"atan2(0, 0)", run_atan2, 2, 1, {{0}, {0}}, {{0}, {0}}, false},
    {"hypot(0, 0)", run_hypot, 2, 1, {{0}, {0}}, {{0}, {0}}, false},
    {"x / 0", run_div, 2, 2, {{1, 0}, {0, 0}}, {{INFINITY, INFINITY}, {-INFINITY, NAN}}, false},
    {"max of ties", run_max, 1, 4, {{3, 1, 3, 2}}, {{0.5, 0, 0.5, 0}}, true},
    {"min of ties", run_min, 1, 4, {{1, 3, 1, 1}}, {{1 / 3., 0, 1 / 3., 1 / 3.}}, true},
    {"amax of ties", run_amax, 1, 4, {{3, 1, 3, 2}}, {{0.5, 0, 0.5, 0}}, true},
    {"amin of ties", run_amin, 1, 4, {{1, 3, 1, 1}}, {{1 / 3., 0, 1 / 3., 1 / 3.}}, true},
    {"norm 1", run_norm1, 1, 3, {{-2, 0, 3}}, {{-1, 0, 1}}, true},
    {"norm 2 at 0", run_norm2, 1, 3, {{0, 0, 0}}, {{0, 0, 0}}, false},
    {"norm inf at 0", run_norm_inf, 1, 2, {{0, 0}}, {{0, 0}}, true},
    {"norm inf of ties", run_norm_inf, 1, 3, {{-2, 2, 1}}, {{-0.5, 0.5, 0}}, true},
    {"std of equals", run_std, 1, 3, {{2, 2, 2}}, {{0, 0, 0}}, false},
    {"topk of ties", run_topk, 1, 3, {{1, 3, 3}}, {{0, 1, 0}}, true},
    {"sort of ties", run_sort, 1, 3, {{2, 1, 1}}, {{0, 1, 0}}, true},
    {"median of ties", run_median, 1, 3, {{2, 1, 1}}, {{0, 0, 1}}, true},
    {"kthvalue of ties", run_kthvalue, 1, 3, {{2, 1, 1}}, {{0, 1, 0}}, true},
    {"max_with_index of ties", run_max_with_index, 1, 4, {{1, 3, 3, 2}}, {{0, 1, 0, 0}}, true},
    {"min_with_index of ties", run_min_with_index, 1, 4, {{4, 3, 3, 5}}, {{0, 1, 0, 0}}, true},
    {"max pooling of ties", run_max_pool, 1, 4, {{1, 3, 3, 2}}, {{0, 1, 0, 0}}, true},
    {"cummax of ties", run_cummax, 1, 4, {{1, 3, 3, 2}}, {{0, 0, 1, 0}}, true},
    {"norm of p = 3 at 0", run_norm_p, 1, 3, {{0, 0, 0}}, {{0, 0, 0}}, false},
    {"norm of p = 1/2 at 0", run_norm_half, 1, 2, {{0, 0}}, {{0, 0}}, false},
    {"length at 0", run_length, 1, 3, {{0, 0, 0}}, {{0, 0, 0}}, false},
    {"normalize_safe at 0", run_normalize_safe, 1, 3, {{0, 0, 0}}, {{0, 0, 0}}, false},
    {"smooth_abs without smoothing", run_smooth_abs, 1, 3, {{-2, 0, 2}}, {{-1, 0, 1}}, false},
    {"var of equals", run_var, 1, 3, {{2, 2, 2}}, {{0, 0, 0}}, false},
    {"fmod of a multiple", run_fmod, 2, 2, {{6, -6}, {3, 3}}, {{1, 1}, {-2, 2}}, true},
    {"nan_to_num", run_nan_to_num, 1, 4, {{NAN, INFINITY, -INFINITY, 2}}, {{0, 0, 0, 1}}, true},
    {"where guards sqrt", run_guarded_sqrt, 1, 3, {{0, 4, -1}}, {{0, 0.25, 0}}, false},
    {"where guards log", run_guarded_log, 2, 3, {{0, 4, -1}, {7, 8, NAN}}, {{0, 0.25, 0}, {1, 0, 1}}, false},
    {"logsumexp of -inf", run_logsumexp, 1, 2, {{-INFINITY, -INFINITY}}, {{0, 0}}, false},
};

static bool equal(double got, double expected, tape_dtype dtype)
{
    if (isnan(expected) || isinf(expected))
        return isnan(expected) ? isnan(got) != 0 : got == expected;
    return fabs(got - expected) <= (dtype == TAPE_F32 ? 1e-6 : 1e-14) * fmax(1, fabs(expected));
}

static void compare(const struct kink *k, int i, tape_tensor g, const double *expected, tape_dtype dtype,
                    const char *what)
{
    double *got = tape_is_none(g) ? NULL : doubles_of(g);
    for (int e = 0; e < k->numel; e++) /* an absent gradient is 0 */
        if (!equal(got ? got[e] : 0, expected[e], dtype))
            complain("%s %s, %s: derivative by input %d, element %d is %g, not %g", k->name, tape_dtype_name(dtype),
                     what, i, e, got ? got[e] : 0, expected[e]);
    free(got);
}

/* Gradients of gradients, where they are 0: contracted with ones, for each pair of inputs. */
static void check_second(const struct kink *k, const tape_tensor *gx, const tape_tensor *x, tape_dtype dtype)
{
    static const double zeros[MOST];
    for (int i = 0; i < k->n_in; i++) {
        tape_tensor ggx[2];
        if (tape_is_none(gx[i]) || !tape_requires_grad(gx[i]))
            continue;
        tape_tensor ones = tape_ones_like(gx[i]);
        tape_grad(&gx[i], 1, &ones, x, k->n_in, NULL, ggx);
        for (int j = 0; j < k->n_in && tape_last_status() == TAPE_OK; j++)
            compare(k, j, ggx[j], zeros, dtype, "second order");
    }
}

/* Forward mode along one element after the other: the sum of the tangent is the derivative by that element. */
static void check_forward(const struct kink *k, tape_tensor y, const tape_tensor *x, tape_dtype dtype)
{
    for (int i = 0; i < k->n_in; i++) {
        double got[MOST];
        for (int e = 0; e < k->numel; e++) {
            double direction[MOST] = {0};
            tape_tensor tangents[2] = {TAPE_NONE, TAPE_NONE}, ty = TAPE_NULL;
            direction[e] = 1;
            tangents[i] = tape_cast(tape_from(TAPE_F64, TAPE_SHAPE(k->numel), direction), dtype);
            tape_jvp(&y, 1, x, k->n_in, tangents, NULL, &ty);
            got[e] = tape_is_none(ty) ? 0 : tape_item(tape_sum(ty, TAPE_ALL, false));
        }
        for (int e = 0; e < k->numel && tape_last_status() == TAPE_OK; e++)
            if (!equal(got[e], k->gx[i][e], dtype))
                complain("%s %s, forward: derivative by input %d, element %d is %g, not %g", k->name,
                         tape_dtype_name(dtype), i, e, got[e], k->gx[i][e]);
    }
}

static void check_kink(const struct kink *k, tape_dtype dtype, bool create_graph)
{
    tape_tensor x[2], gx[2] = {TAPE_NONE, TAPE_NONE};
    for (int i = 0; i < k->n_in; i++) {
        double values[MOST];
        for (int e = 0; e < k->numel; e++)
            values[e] = k->x[i][e];
        x[i] = leaf_of(dtype, TAPE_SHAPE(k->numel), values, true);
    }
    tape_tensor y = k->run(x), ones = tape_ones_like(y);
    const tape_grad_options options = {.create_graph = create_graph};
    tape_grad(&y, 1, &ones, x, k->n_in, &options, gx);
    for (int i = 0; i < k->n_in && tape_last_status() == TAPE_OK; i++)
        compare(k, i, gx[i], k->gx[i], dtype, create_graph ? "recorded" : "plain");
    if (create_graph && k->linear)
        check_second(k, gx, x, dtype);
    if (!create_graph)
        check_forward(k, y, x, dtype);
    if (tape_last_status() != TAPE_OK)
        complain("%s: %s", k->name, tape_message());
    tape_reset();
    for (int i = 0; i < k->n_in; i++)
        tape_free(x[i]);
}

START_TEST(test_policy)
{
    for (size_t k = 0; k < sizeof kinks / sizeof *kinks; k++)
        for (int dtype = TAPE_F32; dtype <= TAPE_F64; dtype++) {
            check_kink(&kinks[k], (tape_dtype)dtype, false);
            check_kink(&kinks[k], (tape_dtype)dtype, true);
        }
    settle();
}
END_TEST

/* Where the adjoint is 0 the product is 0, whatever the derivative is: infinite, NaN. */
START_TEST(test_strong_zero)
{
    const struct row *row;
    for (row = rows; row->name; row++) {
        if ((row->flags & TAPE__NO_GRADIENT) || row->n_in > 2)
            continue;
        for (int recorded = 0; recorded < 2; recorded++) {
            double zeros[] = {0, 0, -1, NAN, INFINITY};
            tape_tensor x[2], gx[2];
            for (int i = 0; i < row->n_in; i++)
                x[i] = leaf_of(TAPE_F64, TAPE_SHAPE(5), zeros, true);
            tape_tensor y = row->call(x, row->ref->p), cotangent = tape_zeros_like(y);
            const tape_grad_options options = {.create_graph = recorded};
            if (row->kind != TAPE__KIND_BINARY_INTERNAL &&
                tape_grad(&y, 1, &cotangent, x, row->n_in, &options, gx) == TAPE_OK)
                for (int i = 0; i < row->n_in; i++) {
                    double *g = tape_is_none(gx[i]) ? NULL : doubles_of(gx[i]);
                    for (int e = 0; g && e < 5; e++)
                        if (g[e] != 0)
                            complain("%s: element %d of input %d is %g for a zero adjoint", row->name, e, i, g[e]);
                    free(g);
                }
            tape_reset();
            for (int i = 0; i < row->n_in; i++)
                tape_free(x[i]);
        }
    }
    settle();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kinks");
    TCase *all = tcase_create("all");
    tcase_add_test(all, test_policy);
    tcase_add_test(all, test_strong_zero);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
