/* Samples of the reductions: each with its call and the same by gathering the elements behind one result. */
#include <math.h>

#include "ops/reduce.h"
#include "support/samples.h"

/* Every sample but the last few reduces a tensor of this shape. */
enum { A = 2, B = 3, C = 4 };

typedef double fold(const double *x, int n);

/* Folds what lies behind each element of the result; bit i of `mask`: axis i goes. */
static void reduce(const double *x, unsigned mask, fold *f, double *y)
{
    const int size[3] = {A, B, C};
    int counts[3], kept = 1;
    for (int k = 0; k < 3; k++) {
        counts[k] = mask >> k & 1 ? 1 : size[k];
        kept *= counts[k];
    }
    for (int o = 0; o < kept; o++) {
        double behind[A * B * C];
        int n = 0;
        for (int i = 0; i < A * B * C; i++) {
            int a = i / (B * C) % counts[0], b = i / C % B, c = i % C;
            int place = (a * counts[1] + (counts[1] == 1 ? 0 : b)) * counts[2] + (counts[2] == 1 ? 0 : c);
            if (place == o)
                behind[n++] = x[i];
        }
        y[o] = f(behind, n);
    }
}

static double total(const double *x, int n)
{
    long double s = 0;
    for (int i = 0; i < n; i++)
        s += x[i];
    return (double)s;
}

static double average(const double *x, int n)
{
    return total(x, n) / n;
}

static double largest(const double *x, int n)
{
    double y = x[0];
    for (int i = 1; i < n; i++)
        y = x[i] > y ? x[i] : y;
    return y;
}

static double smallest(const double *x, int n)
{
    double y = x[0];
    for (int i = 1; i < n; i++)
        y = x[i] < y ? x[i] : y;
    return y;
}

static double where_largest(const double *x, int n)
{
    int at = 0;
    for (int i = 1; i < n; i++)
        at = x[i] > x[at] ? i : at;
    return at;
}

static double where_smallest(const double *x, int n)
{
    int at = 0;
    for (int i = 1; i < n; i++)
        at = x[i] < x[at] ? i : at;
    return at;
}

static double product(const double *x, int n)
{
    long double y = 1;
    for (int i = 0; i < n; i++)
        y *= x[i];
    return (double)y;
}

static double log_total_exp(const double *x, int n)
{
    long double s = 0;
    for (int i = 0; i < n; i++)
        s += expl(x[i]);
    return (double)logl(s);
}

static double squared_deviations(const double *x, int n)
{
    long double m = 0, s = 0;
    for (int i = 0; i < n; i++)
        m += x[i];
    for (int i = 0; i < n; i++)
        s += (x[i] - m / n) * (x[i] - m / n);
    return (double)s;
}

static double variance(const double *x, int n)
{
    return squared_deviations(x, n) / (n - 1);
}

static double population_variance(const double *x, int n)
{
    return squared_deviations(x, n) / n;
}

static double deviation(const double *x, int n)
{
    return sqrt(variance(x, n));
}

static double population_deviation(const double *x, int n)
{
    return sqrt(population_variance(x, n));
}

static double norm_1(const double *x, int n)
{
    double y = 0;
    for (int i = 0; i < n; i++)
        y += fabs(x[i]);
    return y;
}

static double norm_2(const double *x, int n)
{
    double y = 0;
    for (int i = 0; i < n; i++)
        y += x[i] * x[i];
    return sqrt(y);
}

static double norm_max(const double *x, int n)
{
    double y = 0;
    for (int i = 0; i < n; i++)
        y = fabs(x[i]) > y ? fabs(x[i]) : y;
    return y;
}

static double norm_3(const double *x, int n)
{
    double y = 0;
    for (int i = 0; i < n; i++)
        y += fabs(x[i] * x[i] * x[i]);
    return cbrt(y);
}

static double norm_minus_1(const double *x, int n)
{
    double y = 0;
    for (int i = 0; i < n; i++)
        y += 1 / fabs(x[i]);
    return 1 / y;
}

/* The k-th smallest, k counting from 1. */
static double ranked(const double *x, int n, int k)
{
    for (int i = 0; i < n; i++) {
        int smaller = 0;
        for (int j = 0; j < n; j++)
            smaller += x[j] < x[i];
        if (smaller == k - 1)
            return x[i];
    }
    return NAN;
}

static double second(const double *x, int n)
{
    return ranked(x, n, 2);
}

static double lower_median(const double *x, int n)
{
    return ranked(x, n, (n + 1) / 2);
}

/* REDUCE(op, label, axes' mask, fold, low, high, call): all of (A, B, C) but for those in the table by hand. */
#define REDUCTIONS(REDUCE)                                                                                             \
    REDUCE(sum, all, 7u, total, -2, 2, tape_sum(x[0], TAPE_ALL, false))                                                \
    REDUCE(sum, last, 4u, total, -2, 2, tape_sum(x[0], TAPE_AXES(-1), false))                                          \
    REDUCE(sum, first_kept, 1u, total, -2, 2, tape_sum(x[0], TAPE_AXES(0), true))                                      \
    REDUCE(sum, outer_two, 5u, total, -2, 2, tape_sum(x[0], TAPE_AXES(2, 0), false))                                   \
    REDUCE(mean, all, 7u, average, -2, 2, tape_mean(x[0], TAPE_ALL, false))                                            \
    REDUCE(mean, middle, 2u, average, -2, 2, tape_mean(x[0], TAPE_AXES(1), false))                                     \
    REDUCE(mean, outer_two_kept, 5u, average, -2, 2, tape_mean(x[0], TAPE_AXES(0, 2), true))                           \
    REDUCE(max, all, 7u, largest, -2, 2, tape_max(x[0], TAPE_ALL, false))                                              \
    REDUCE(max, last, 4u, largest, -2, 2, tape_max(x[0], TAPE_AXES(2), false))                                         \
    REDUCE(min, all_kept, 7u, smallest, -2, 2, tape_min(x[0], TAPE_ALL, true))                                         \
    REDUCE(min, middle, 2u, smallest, -2, 2, tape_min(x[0], TAPE_AXES(-2), false))                                     \
    REDUCE(amax, outer_two, 5u, largest, -2, 2, tape_amax(x[0], TAPE_AXES(0, 2), false))                               \
    REDUCE(amin, first, 1u, smallest, -2, 2, tape_amin(x[0], TAPE_AXES(0), false))                                     \
    REDUCE(prod, all, 7u, product, 0.5, 1.5, tape_prod(x[0], TAPE_ALL, false))                                         \
    REDUCE(prod, middle, 2u, product, 0.5, 1.5, tape_prod(x[0], TAPE_AXES(1), false))                                  \
    REDUCE(prod, outer_two_kept, 5u, product, 0.5, 1.5, tape_prod(x[0], TAPE_AXES(0, 2), true))                        \
    REDUCE(logsumexp, all, 7u, log_total_exp, -2, 2, tape_logsumexp(x[0], TAPE_ALL, false))                            \
    REDUCE(logsumexp, first, 1u, log_total_exp, -2, 2, tape_logsumexp(x[0], TAPE_AXES(0), false))                      \
    REDUCE(logsumexp, outer_two_kept, 5u, log_total_exp, -2, 2, tape_logsumexp(x[0], TAPE_AXES(0, 2), true))           \
    REDUCE(var, all, 7u, variance, -2, 2, tape_var(x[0], TAPE_ALL, 1, false))                                          \
    REDUCE(var, last_population, 4u, population_variance, -2, 2, tape_var(x[0], TAPE_AXES(2), 0, true))                \
    REDUCE(var, outer_two, 5u, variance, -2, 2, tape_var(x[0], TAPE_AXES(0, 2), 1, false))                             \
    REDUCE(std, all, 7u, deviation, -2, 2, tape_std(x[0], TAPE_ALL, 1, false))                                         \
    REDUCE(std, middle_population, 2u, population_deviation, -2, 2, tape_std(x[0], TAPE_AXES(1), 0, false))            \
    REDUCE(norm, one_all, 7u, norm_1, 0.3, 2, tape_norm(x[0], 1, TAPE_ALL, false))                                     \
    REDUCE(norm, one_negative, 4u, norm_1, -2, -0.3, tape_norm(x[0], 1, TAPE_AXES(2), false))                          \
    REDUCE(norm, two_all, 7u, norm_2, -2, 2, tape_norm(x[0], 2, TAPE_ALL, false))                                      \
    REDUCE(norm, two_middle_kept, 2u, norm_2, -2, 2, tape_norm(x[0], 2, TAPE_AXES(1), true))                           \
    REDUCE(norm, max_last, 4u, norm_max, -2, 2, tape_norm(x[0], INFINITY, TAPE_AXES(2), false))

#define CHOICES(REDUCE)                                                                                                \
    REDUCE(norm_p, three, 6u, norm_3, -2, -0.3, tape_norm_p(x[0], 3, TAPE_AXES(1, 2), false))                          \
    REDUCE(norm_p, minus_one, 4u, norm_minus_1, 0.3, 2, tape_norm_p(x[0], -1, TAPE_AXES(2), true))                     \
    REDUCE(max_with_index, last, 4u, largest, -2, 2, tape_max_with_index(x[0], -1, false, NULL))                       \
    REDUCE(max_with_index, middle, 2u, largest, -2, 2, tape_max_with_index(x[0], 1, true, NULL))                       \
    REDUCE(min_with_index, first, 1u, smallest, -2, 2, tape_min_with_index(x[0], 0, false, NULL))                      \
    REDUCE(kthvalue, middle, 2u, second, -2, 2, tape_kthvalue(x[0], 2, 1, false, NULL))                                \
    REDUCE(median, last, 4u, lower_median, -2, 2, tape_median(x[0], 2, false, NULL))                                   \
    REDUCE(median, middle, 2u, lower_median, -2, 2, tape_median(x[0], 1, true, NULL))

#define POSITIONS(REDUCE)                                                                                              \
    REDUCE(argmax, all, 7u, where_largest, -2, 2, tape_argmax(x[0], TAPE_ALL, false))                                  \
    REDUCE(argmax, middle_kept, 2u, where_largest, -2, 2, tape_argmax(x[0], TAPE_AXES(1), true))                       \
    REDUCE(argmin, last, 4u, where_smallest, -2, 2, tape_argmin(x[0], TAPE_AXES(-1), false))

#define FUNCTIONS(op, label, mask, fold, low, high, call) SAMPLE_FUNCTIONS(op, label, call, reduce(x[0], mask, fold, y))
REDUCTIONS(FUNCTIONS)
CHOICES(FUNCTIONS)
POSITIONS(FUNCTIONS)

static tape_tensor sum_scalar(const tape_tensor *x)
{
    return tape_sum(x[0], TAPE_ALL, true);
}

static void sum_scalar_reference(const double *const *x, double *y)
{
    y[0] = x[0][0];
}

static tape_tensor prod_others(const tape_tensor *x)
{
    return tape__prod_others(x[0]);
}

static void prod_others_reference(const double *const *x, double *y)
{
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 4; j++) {
            y[i * 4 + j] = 1;
            for (int k = 0; k < 4; k++)
                y[i * 4 + j] *= k == j ? 1 : x[0][i * 4 + k];
        }
}

/* Parts [5, 2] and the segments of 3 that they belong to. */
static tape_tensor segment_sum(const tape_tensor *x)
{
    return tape_segment_sum(x[0], x[1], 3);
}

static tape_tensor segment_mean(const tape_tensor *x)
{
    return tape_segment_mean(x[0], x[1], 3);
}

static void segments(const double *const *x, bool mean, double *y)
{
    for (int s = 0; s < 3; s++)
        for (int k = 0; k < 2; k++) {
            int parts = 0;
            y[s * 2 + k] = 0;
            for (int i = 0; i < 5; i++)
                if ((int)x[1][i] == s) {
                    y[s * 2 + k] += x[0][i * 2 + k];
                    parts++;
                }
            y[s * 2 + k] /= mean && parts ? parts : 1;
        }
}

static void segment_sum_reference(const double *const *x, double *y)
{
    segments(x, false, y);
}

static void segment_mean_reference(const double *const *x, double *y)
{
    segments(x, true, y);
}

#define SEGMENTS                                                                                                       \
    {                                                                                                                  \
        {SAMPLE_FLOAT, {2, {5, 2}}, -2, 2},                                                                            \
        {                                                                                                              \
            SAMPLE_INDEX, {1, {5}}, 0, 3                                                                               \
        }                                                                                                              \
    }
#define ENTRY(op, label, mask, fold, low, high, call)                                                                  \
    {#op, #label, 1, {{SAMPLE_FLOAT, {3, {A, B, C}}, low, high}}, op##_##label, op##_##label##_reference, false, 0},
#define POSITION_ENTRY(op, label, mask, fold, low, high, call)                                                         \
    {#op, #label, 1, {{SAMPLE_FLOAT, {3, {A, B, C}}, low, high}}, op##_##label, op##_##label##_reference, true, 0},

const struct sample samples_reduce[] = {
    REDUCTIONS(ENTRY) CHOICES(ENTRY) POSITIONS(POSITION_ENTRY){
        "sum", "scalar", 1, {{SAMPLE_FLOAT, {0, {0}}, -2, 2}}, sum_scalar, sum_scalar_reference, false, 0},
    {"prod_others", "rows", 1, {{SAMPLE_FLOAT, {2, {2, 4}}, 0.5, 1.5}}, prod_others, prod_others_reference, false, 0},
    {"segment_sum", "some", 2, SEGMENTS, segment_sum, segment_sum_reference, false, 0},
    {"segment_mean", "some", 2, SEGMENTS, segment_mean, segment_mean_reference, false, 0},
    {NULL, NULL, 0, {{SAMPLE_FLOAT, {0, {0}}, 0, 0}}, NULL, NULL, false, 0},
};
