/* Knows what reductions promise, against long double loops: values over any axes and strides, special values, the same
   bits for every number of threads and every instruction set of a class. */
#include "kernels/reduce.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatch.h"
#include "kernels/any/random.h"

struct sample {
    int rank;
    int64_t size[8];
    int order[8]; /* the axes as they lie in memory, outermost first */
    unsigned mask;
};

static const struct sample samples[] = {
    {0, {0}, {0}, 0},
    {1, {1}, {0}, 1},
    {1, {7}, {0}, 1},
    {1, {32}, {0}, 1},
    {1, {33}, {0}, 1},
    {1, {70000}, {0}, 1},
    {1, {5}, {0}, 0},
    {2, {300, 10}, {0, 1}, 2},
    {2, {3, 5000}, {0, 1}, 2},
    {2, {5000, 3}, {0, 1}, 1},
    {2, {200, 83}, {0, 1}, 1},
    {2, {9000, 20}, {0, 1}, 1},
    {2, {83, 200}, {1, 0}, 2},
    {2, {83, 200}, {1, 0}, 1},
    {3, {4, 65, 130}, {0, 1, 2}, 2},
    {3, {4, 65, 130}, {0, 1, 2}, 5},
    {3, {6, 30, 49}, {0, 1, 2}, 5},
    {3, {20, 9, 40}, {2, 0, 1}, 2},
    {3, {20, 9, 40}, {1, 2, 0}, 4},
    {4, {5, 4, 3, 17}, {0, 1, 2, 3}, 10},
    {8, {2, 3, 1, 2, 3, 2, 1, 5}, {0, 1, 2, 3, 4, 5, 6, 7}, 0x5a},
    {8, {2, 3, 1, 2, 3, 2, 1, 5}, {7, 2, 4, 3, 1, 5, 0, 6}, 0xff},
    {2, {0, 40}, {0, 1}, 1},
    {2, {0, 4}, {0, 1}, 1},
    {2, {4, 0}, {0, 1}, 2},
    {2, {0, 4}, {0, 1}, 2},
};
enum { SAMPLES = sizeof samples / sizeof *samples, ROOM = 1 << 18 };

static const char *const names[TAPE__REDUCTIONS] = {"sum", "sum_abs", "sum_squares", "prod",     "max",
                                                    "min", "max_abs", "mean",        "variance", "logsumexp"};

enum { PLAIN, GAPS, BACKWARDS, BROADCAST, VARIANTS };

static double data[ROOM];
static float data_f32[ROOM];
static long double expected[ROOM], bound[ROOM];
static double result[ROOM], other[ROOM];

/* Strides over a permuted array, and where its first element is. */
static int64_t make_strides(const struct sample *s, int variant, int64_t *stride)
{
    int64_t product = 1, origin = 0;
    for (int k = s->rank - 1; k >= 0; k--) {
        int axis = s->order[k];
        stride[axis] = product;
        product *= s->size[axis] + (variant == GAPS);
        if (variant == BACKWARDS && s->size[axis] > 0) {
            origin += (s->size[axis] - 1) * stride[axis];
            stride[axis] = -stride[axis];
        }
        if (variant == BROADCAST && axis % 2 == 0)
            stride[axis] = 0;
    }
    return origin;
}

/* Uniform in [-2, 2), or so close to 1 that the longest product is a number. */
static void fill(bool for_products)
{
    tape__fill_uniform(NULL, (tape__random_key){11, 22}, TAPE_F64, ROOM, data);
    for (int64_t i = 0; i < ROOM; i++) {
        data_f32[i] = (float)(for_products ? 1 + (data[i] - 0.5) / 10000 : 4 * data[i] - 2);
        data[i] = (double)data_f32[i];
    }
}

/* What one element adds to a result, and how much rounding may move it: both are sums over the run. */
static void join(tape__reduction r, long double x, long double c, long double *value, long double *size)
{
    long double term = x;
    if (r == TAPE__SUM_ABS || r == TAPE__MAX_ABS)
        term = fabsl(x);
    else if (r == TAPE__SUM_SQUARES)
        term = x * x;
    else if (r == TAPE__VARIANCE)
        term = (x - c) * (x - c);
    else if (r == TAPE__LOGSUMEXP)
        term = expl(x - c);
    if (r == TAPE__PROD)
        *value *= term;
    else if (r == TAPE__MAX || r == TAPE__MAX_ABS)
        *value = isnan(*value) || isnan(term) ? NAN : fmaxl(*value, term);
    else if (r == TAPE__MIN)
        *value = isnan(*value) || isnan(term) ? NAN : fminl(*value, term);
    else
        *value += term;
    *size += r == TAPE__VARIANCE ? 4 * fabsl(x) * fabsl(x) : fabsl(term);
}

static void pass(const struct sample *s, const int64_t *stride, const double *x, tape__reduction r,
                 const long double *c)
{
    int64_t n = 1, kept = 1;
    for (int k = 0; k < s->rank; k++) {
        n *= s->size[k];
        kept *= s->mask >> k & 1 ? 1 : s->size[k];
    }
    for (int64_t i = 0; i < kept; i++) {
        expected[i] = r == TAPE__PROD                          ? 1
                      : r == TAPE__MAX || r == TAPE__LOGSUMEXP ? -INFINITY
                      : r == TAPE__MIN                         ? INFINITY
                                                               : 0;
        if (r == TAPE__LOGSUMEXP && c)
            expected[i] = 0;
        bound[i] = 0;
    }
    tape__reduction rule = !c && r == TAPE__VARIANCE ? TAPE__SUM : !c && r == TAPE__LOGSUMEXP ? TAPE__MAX : r;
    for (int64_t i = 0; i < n; i++) {
        int64_t rest = i, at = 0, to = 0, product = 1;
        for (int k = s->rank - 1; k >= 0; k--) {
            int64_t index = rest % s->size[k];
            rest /= s->size[k];
            at += index * stride[k];
            if (!(s->mask >> k & 1)) {
                to += index * product;
                product *= s->size[k];
            }
        }
        join(rule, (long double)x[at], c ? c[to] : 0, &expected[to], &bound[to]);
    }
}

/* Fills expected[] and bound[]; returns the number of results. */
static int64_t reference(const struct sample *s, const int64_t *stride, const double *x, tape__reduction r,
                         double correction)
{
    static long double c[ROOM];
    int64_t n = 1, kept = 1;
    for (int k = 0; k < s->rank; k++) {
        n *= s->mask >> k & 1 ? s->size[k] : 1;
        kept *= s->mask >> k & 1 ? 1 : s->size[k];
    }
    pass(s, stride, x, r, NULL);
    if (r == TAPE__VARIANCE || r == TAPE__LOGSUMEXP) {
        for (int64_t i = 0; i < kept; i++)
            c[i] = r == TAPE__VARIANCE ? expected[i] / n : isfinite(expected[i]) ? expected[i] : 0;
        pass(s, stride, x, r, c);
    }
    for (int64_t i = 0; i < kept; i++) {
        long double divisor = r == TAPE__MEAN ? n : r == TAPE__VARIANCE ? fmaxl(0, (long double)n - correction) : 1;
        if (r == TAPE__LOGSUMEXP)
            expected[i] = c[i] + logl(expected[i]), bound[i] = fabsl(c[i]) + 1;
        expected[i] /= divisor;
        bound[i] /= divisor;
        if (r == TAPE__PROD)
            bound[i] = fabsl(expected[i]) * fmaxl(1, n / 150.0L);
    }
    return kept;
}

static void run(const struct tape__kernels *kernels, const struct tape__parallel *p, tape__reduction r, bool f64,
                const struct sample *s, const int64_t *stride, int64_t origin, bool accumulate, void *y)
{
    tape__split split;
    tape__split_axes(&split, s->rank, s->size, stride, s->mask);
    const void *x = f64 ? (const void *)(data + origin) : (const void *)(data_f32 + origin);
    tape__reduce_args args = {r, accumulate, 1, &split, x, y};
    kernels->reduce->reduce[f64](p, &args);
}

static double at(const void *y, bool f64, int64_t i)
{
    return f64 ? ((const double *)y)[i] : (double)((const float *)y)[i];
}

static void check_values(const char *isa, int sample, int r, bool f64, int64_t kept)
{
    /* A block has lanes of at most 256 operations; then come trees. */
    double epsilon = f64 ? DBL_EPSILON : (double)FLT_EPSILON;
    for (int64_t i = 0; i < kept; i++) {
        double y = at(result, f64, i);
        if (isnan(expected[i]) ? isnan(y) : isinf(expected[i]) ? y == (double)expected[i] : false)
            continue;
        if (!(fabsl((long double)y - expected[i]) <= 150 * (long double)epsilon * bound[i] + 1e-300L))
            ck_abort_msg("%s %s %s sample %d result %d: %.17g, not %.17Lg", isa, names[r], f64 ? "f64" : "f32", sample,
                         (int)i, y, expected[i]);
    }
}

/* One loop iteration a reduction: every sample, layout, dtype and instruction set. */
START_TEST(test_values)
{
    tape__reduction r = (tape__reduction)_i;
    fill(r == TAPE__PROD);
    const struct tape__kernels *kernels;
    for (int s = 0; s < SAMPLES; s++)
        for (int variant = 0; variant < VARIANTS; variant++) {
            int64_t stride[8] = {0}, origin = make_strides(&samples[s], variant, stride);
            if (variant != PLAIN && samples[s].size[0] > 5000)
                continue; /* long double loops are slow */
            int64_t kept = reference(&samples[s], stride, data + origin, r, 1);
            for (int k = 0; (kernels = tape__kernels_available(k)); k++)
                for (int f64 = 0; f64 < 2; f64++) {
                    run(kernels, NULL, r, f64, &samples[s], stride, origin, false, result);
                    check_values(kernels->isa, s, (int)r, f64, kept);
                }
        }
}
END_TEST

/* The first kernels of the class, serial, against all of it with the pool that runs. */
static void check_same_bits(tape__reduction r, int sample, bool f64, bool fma)
{
    const struct sample *s = &samples[sample];
    const struct tape__kernels *kernels;
    int64_t stride[8] = {0}, origin = make_strides(s, PLAIN, stride);
    tape__split split;
    tape__split_axes(&split, s->rank, s->size, stride, s->mask);
    size_t bytes = (size_t)split.kept * (f64 ? 8 : 4);
    bool any = false;
    for (int k = 0; (kernels = tape__kernels_available(k)); k++) {
        if (kernels->fma != fma)
            continue;
        if (!any)
            run(kernels, NULL, r, f64, s, stride, origin, false, result);
        any = true;
        run(kernels, tape__pool(), r, f64, s, stride, origin, false, other);
        if (memcmp(other, result, bytes))
            ck_abort_msg("%s %s sample %d: bits differ", kernels->isa, names[r], sample);
    }
}

START_TEST(test_threads_and_instruction_sets_agree)
{
    tape__reduction r = (tape__reduction)_i;
    fill(r == TAPE__PROD);
    for (int threads = 1; threads <= 5; threads += threads < 3 ? 1 : 2) {
        ck_assert_int_eq(tape__pool_start(threads), 0);
        for (int s = 0; s < SAMPLES; s++)
            for (int f64 = 0; f64 < 2; f64++)
                for (int fma = 0; fma < 2; fma++)
                    check_same_bits(r, s, f64, fma);
    }
    ck_assert_int_eq(tape__pool_stop(), 0);
}
END_TEST

START_TEST(test_accumulate)
{
    fill(false);
    const struct tape__kernels *kernels;
    for (int s = 0; s < SAMPLES; s++)
        for (int k = 0; (kernels = tape__kernels_available(k)); k++) {
            int64_t stride[8] = {0}, origin = make_strides(&samples[s], PLAIN, stride);
            tape__split split;
            tape__split_axes(&split, samples[s].rank, samples[s].size, stride, samples[s].mask);
            int64_t kept = split.kept;
            run(kernels, NULL, TAPE__SUM, true, &samples[s], stride, origin, false, result);
            for (int64_t i = 0; i < kept; i++)
                other[i] = (double)i;
            run(kernels, NULL, TAPE__SUM, true, &samples[s], stride, origin, true, other);
            for (int64_t i = 0; i < kept; i++)
                if (other[i] != (double)i + result[i])
                    ck_abort_msg("sample %d result %d", s, (int)i);
        }
}
END_TEST

static double reduce_row(const struct tape__kernels *kernels, tape__reduction r, const double *x, int64_t n,
                         int64_t rows)
{
    const int64_t size[] = {rows, n}, stride[] = {n, 1};
    tape__split split;
    tape__split_axes(&split, 2, size, stride, 2);
    tape__reduce_args args = {r, false, 1, &split, x, result};
    kernels->reduce->reduce[TAPE_F64](NULL, &args);
    return result[0];
}

/* The same numbers as a row and as 16 equal columns. */
static double reduce_column(const struct tape__kernels *kernels, tape__reduction r, const double *x, int64_t n)
{
    enum { COLUMNS = 19 };
    for (int64_t i = 0; i < n * COLUMNS; i++)
        other[i] = x[i / COLUMNS];
    const int64_t size[] = {n, COLUMNS}, stride[] = {COLUMNS, 1};
    tape__split split;
    tape__split_axes(&split, 2, size, stride, 1);
    tape__reduce_args args = {r, false, 1, &split, other, result};
    kernels->reduce->reduce[TAPE_F64](NULL, &args);
    for (int k = 1; k < COLUMNS; k++)
        ck_assert(!memcmp(&result[k], &result[0], sizeof *result));
    return result[0];
}

static bool same(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

START_TEST(test_special_values)
{
    const double inf = (double)INFINITY, nan = (double)NAN;
    const struct {
        tape__reduction r;
        int64_t n;
        double x[3], y;
    } cases[] = {
        {TAPE__MAX, 3, {1, nan, 3}, nan},
        {TAPE__MAX, 3, {nan, 2, 3}, nan},
        {TAPE__MAX, 3, {1, 2, nan}, nan},
        {TAPE__MIN, 3, {1, nan, -3}, nan},
        {TAPE__MIN, 3, {nan, 2, 3}, nan},
        {TAPE__MAX, 3, {-inf, -inf, -inf}, -inf},
        {TAPE__MAX, 3, {-5, -inf, -7}, -5},
        {TAPE__MIN, 3, {5, inf, 7}, 5},
        {TAPE__MAX_ABS, 3, {1, -3, 2}, 3},
        {TAPE__MAX_ABS, 3, {1, nan, 2}, nan},
        {TAPE__SUM, 3, {inf, 1, 2}, inf},
        {TAPE__SUM, 3, {inf, -inf, 2}, nan},
        {TAPE__PROD, 3, {0, inf, 2}, nan},
        {TAPE__PROD, 3, {0, 5, -2}, -0.0},
        {TAPE__LOGSUMEXP, 3, {-inf, -inf, -inf}, -inf},
        {TAPE__LOGSUMEXP, 3, {-inf, 7, -inf}, 7},
        {TAPE__LOGSUMEXP, 3, {inf, 7, -inf}, inf},
        {TAPE__LOGSUMEXP, 3, {inf, nan, 1}, nan},
        {TAPE__LOGSUMEXP, 3, {1e4, -1e4, 0}, 1e4},
        {TAPE__LOGSUMEXP, 2, {-1e4, -1e4, 0}, -1e4 + 0.693147180559945309},
        {TAPE__VARIANCE, 1, {3}, nan},
        {TAPE__VARIANCE, 2, {3, 5}, 2},
        {TAPE__VARIANCE, 3, {1e9, 1e9 + 1, 1e9 + 2}, 1},

        {TAPE__MEAN, 2, {1, 2}, 1.5},
    };
    const struct tape__kernels *kernels;
    for (int k = 0; (kernels = tape__kernels_available(k)); k++)
        for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
            double row = reduce_row(kernels, cases[c].r, cases[c].x, cases[c].n, 1);
            double column = reduce_column(kernels, cases[c].r, cases[c].x, cases[c].n);
            ck_assert_msg(same(row, cases[c].y), "%s case %zu: %g", kernels->isa, c, row);
            ck_assert_msg(same(column, cases[c].y), "%s case %zu as columns: %g", kernels->isa, c, column);
        }
}
END_TEST

/* Of 2^20 times 0.1f a plain loop in f32 is off by a thousandth. */
START_TEST(test_accuracy_of_long_sums)
{
    static float x[1 << 20];
    for (int i = 0; i < 1 << 20; i++)
        x[i] = 0.1f;
    const double exact = (double)0.1f * (1 << 20);
    const struct tape__kernels *kernels;
    for (int k = 0; (kernels = tape__kernels_available(k)); k++)
        for (int columns = 1; columns <= 16; columns += 15) {
            const int64_t size[] = {(1 << 20) / columns, columns}, stride[] = {columns, 1};
            tape__split split;
            tape__split_axes(&split, 2, size, stride, 1);
            float y[16];
            tape__reduce_args args = {TAPE__SUM, false, 0, &split, x, y};
            kernels->reduce->reduce[TAPE_F32](NULL, &args);
            ck_assert_double_eq_tol((double)y[0], exact / columns, 4e-6 * exact / columns);
        }
}
END_TEST

static int64_t first_of(bool minimum, const double *x, int64_t n, int64_t stride)
{
    int64_t best = 0;
    for (int64_t k = 0; k < n; k++) {
        if (isnan(x[k * stride]))
            return k;
        if (minimum ? x[k * stride] < x[best * stride] : x[k * stride] > x[best * stride])
            best = k;
    }
    return best;
}

START_TEST(test_positions)
{
    const int64_t shapes[][3] = {{1, 1, 1}, {3, 5, 1}, {2, 100, 1}, {2, 7, 40}, {1, 9000, 1}, {4, 3, 1}, {2, 3, 0}};
    static int64_t y[256];
    const struct tape__kernels *kernels;
    fill(false);
    for (int i = 0; i < ROOM; i++)
        data[i] = floor(data[i] * 8); /* ties */
    for (int with_nan = 0; with_nan < 2; with_nan++) {
        for (int i = 5; with_nan && i < ROOM; i += 37)
            data[i] = (double)NAN;
        for (int i = 0; i < ROOM; i++)
            data_f32[i] = (float)data[i];
        for (int k = 0; (kernels = tape__kernels_available(k)); k++)
            for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
                for (int kind = 0; kind < 4; kind++) {
                    bool minimum = kind & 1, f64 = kind & 2;
                    int64_t outer = shapes[s][0], n = shapes[s][1], inner = shapes[s][2];
                    kernels->reduce->arg[f64](NULL, minimum, outer, n, inner,
                                              f64 ? (const void *)data : (const void *)data_f32, y);
                    for (int64_t i = 0; i < outer * inner; i++)
                        ck_assert_int_eq(y[i], first_of(minimum, data + i / inner * n * inner + i % inner, n, inner));
                }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reduce");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 120);
    tcase_add_loop_test(all, test_values, 0, TAPE__REDUCTIONS);
    tcase_add_loop_test(all, test_threads_and_instruction_sets_agree, 0, TAPE__REDUCTIONS);
    tcase_add_test(all, test_accumulate);
    tcase_add_test(all, test_special_values);
    tcase_add_test(all, test_accuracy_of_long_sums);
    tcase_add_test(all, test_positions);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
