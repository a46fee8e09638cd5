/* Knows what the softmax and normalisation kernels promise, against long double loops: values, gradients, infinities,
   sums into what is there, and the same bits for every number of threads and instruction set of a class. */
#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dispatch.h"
#include "kernels/any/random.h"
#include "kernels/norm.h"
#include "kernels/softmax.h"

static const tape__softmax_shape shapes[] = {{1, 1, 1},    {3, 10, 1}, {5, 33, 1}, {2, 1024, 1},
                                             {1, 5000, 1}, {4, 7, 5},  {3, 9, 16}, {2, 70, 37},
                                             {700, 3, 1},  {0, 3, 1},  {3, 0, 2},  {3, 2, 0}};
enum { SHAPES = sizeof shapes / sizeof *shapes, ROOM = 1 << 14 };

/* Inputs as doubles that floats hold exactly, and as floats. */
static double x[ROOM], g[ROOM], w[ROOM], b[ROOM], before[ROOM];
static float x_f32[ROOM], g_f32[ROOM], w_f32[ROOM], b_f32[ROOM], before_f32[ROOM];
static long double expected[ROOM], expected_w[ROOM], expected_b[ROOM];
static double y[ROOM], gx[ROOM], gw[ROOM], gb[ROOM], mean[ROOM], rstd[ROOM], kept[ROOM];
static _Alignas(64) char work[1 << 20];

static void fill(double *a, float *a_f32, uint64_t counter, double scale)
{
    tape__fill_uniform(NULL, (tape__random_key){3, counter}, TAPE_F64, ROOM, a);
    for (int i = 0; i < ROOM; i++) {
        a_f32[i] = (float)(scale * (2 * a[i] - 1));
        a[i] = (double)a_f32[i];
    }
}

static void fill_all(double scale)
{
    fill(x, x_f32, 1, scale);
    fill(g, g_f32, 2, 1);
    fill(w, w_f32, 3, 2);
    fill(b, b_f32, 4, 1);
    fill(before, before_f32, 5, 1);
}

static double at(const void *a, bool f64, int64_t i)
{
    return f64 ? ((const double *)a)[i] : (double)((const float *)a)[i];
}

/* The largest |a - expected|, relative to 1 or to `size`. */
static void check_close(const char *what, const struct tape__kernels *k, const void *a, bool f64,
                        const long double *reference, int64_t n, double tolerance)
{
    for (int64_t i = 0; i < n; i++) {
        long double error = fabsl((long double)at(a, f64, i) - reference[i]);
        if (!(error <= tolerance * (f64 ? DBL_EPSILON : (double)FLT_EPSILON) * fmaxl(1, fabsl(reference[i]))))
            ck_abort_msg("%s %s %s [%d]: %.17g, not %.17Lg", k->isa, what, f64 ? "f64" : "f32", (int)i, at(a, f64, i),
                         reference[i]);
    }
}

/* ---- softmax ----------------------------------------------------------------------------------------------------- */

static int64_t count(tape__softmax_shape s)
{
    return s.outer * s.n * s.inner;
}

/* Where the slice through element i starts. */
static int64_t start(tape__softmax_shape s, int64_t i)
{
    return i / (s.n * s.inner) * s.n * s.inner + i % s.inner;
}

/* For the first element of every slice. */
#define EACH_SLICE(s, first)                                                                                           \
    for (int64_t first = 0; first < count(s); first++)                                                                 \
        if (start(s, first) == first)

static void softmax_reference(tape__softmax_shape s, bool logarithm)
{
    EACH_SLICE(s, first)
    {
        long double largest = -INFINITY, sum = 0;
        int64_t end = first + s.n * s.inner;
        for (int64_t i = first; i < end; i += s.inner)
            largest = fmaxl(largest, x[i]);
        for (int64_t i = first; i < end; i += s.inner)
            sum += expl(x[i] - largest);
        for (int64_t i = first; i < end; i += s.inner)
            expected[i] = logarithm ? x[i] - largest - logl(sum) : expl(x[i] - largest) / sum;
    }
}

/* From the definition, with the rounded y that the kernel gets. */
static void softmax_vjp_reference(tape__softmax_shape s, const void *values, bool f64, bool logarithm, bool add)
{
    EACH_SLICE(s, first)
    {
        long double sum = 0;
        int64_t end = first + s.n * s.inner;
        for (int64_t i = first; i < end; i += s.inner)
            sum += g[i] * (logarithm ? 1 : (long double)at(values, f64, i));
        for (int64_t i = first; i < end; i += s.inner) {
            long double mine = at(values, f64, i);
            expected[i] = (logarithm ? g[i] - expl(mine) * sum : mine * (g[i] - sum)) + (add ? before[i] : 0);
        }
    }
}

static void run_softmax(const struct tape__kernels *k, const struct tape__parallel *p, bool logarithm, bool f64,
                        tape__softmax_shape s, const void *input, void *output)
{
    (logarithm ? k->softmax->log_softmax : k->softmax->softmax)[f64](p, s, input, output);
}

static void run_softmax_vjp(const struct tape__kernels *k, const struct tape__parallel *p, bool logarithm, bool f64,
                            tape__softmax_shape s, bool add)
{
    memcpy(gx, f64 ? (void *)before : (void *)before_f32, sizeof before_f32 * (f64 ? 2 : 1));
    (logarithm ? k->softmax->log_softmax_vjp
               : k->softmax->softmax_vjp)[f64](p, s, y, f64 ? (const void *)g : (const void *)g_f32, add, gx);
}

START_TEST(test_softmax_values_and_gradients)
{
    const double scales[] = {1, 10, 1e4};
    const struct tape__kernels *k;
    fill_all(scales[_i]);
    for (int variant = 0; variant < 4; variant++)
        for (int shape = 0; shape < SHAPES; shape++)
            for (int i = 0; (k = tape__kernels_available(i)); i++) {
                bool logarithm = variant & 1, f64 = variant & 2;
                tape__softmax_shape s = shapes[shape];
                const void *input = f64 ? (const void *)x : (const void *)x_f32;
                size_t bytes = (size_t)count(s) * (f64 ? 8 : 4);
                softmax_reference(s, logarithm);
                run_softmax(k, NULL, logarithm, f64, s, input, y);
                check_close("softmax", k, y, f64, expected, count(s), 10);
                memcpy(gx, input, bytes);
                run_softmax(k, NULL, logarithm, f64, s, gx, gx);
                ck_assert_msg(!memcmp(gx, y, bytes), "in place");
                for (int add = 0; add < 2; add++) {
                    softmax_vjp_reference(s, y, f64, logarithm, add);
                    run_softmax_vjp(k, NULL, logarithm, f64, s, add);
                    check_close("gradient", k, gx, f64, expected, count(s), 200);
                }
            }
}
END_TEST

/* Every slice loses some elements to -inf; slice 0 all of them. */
START_TEST(test_softmax_of_minus_infinity)
{
    const struct tape__kernels *k;
    for (int variant = 0; variant < 8; variant++)
        for (int i = 0; (k = tape__kernels_available(i)); i++) {
            bool logarithm = variant & 1, f64 = variant & 2;
            tape__softmax_shape s = variant & 4 ? (tape__softmax_shape){2, 21, 19} : (tape__softmax_shape){30, 21, 1};
            fill_all(3);
            for (int64_t j = 0; j < count(s); j++)
                if (j % 3 == 0 || start(s, j) == 0) {
                    x_f32[j] = -INFINITY;
                    x[j] = -(double)INFINITY;
                }
            softmax_reference(s, logarithm);
            run_softmax(k, NULL, logarithm, f64, s, f64 ? (void *)x : (void *)x_f32, y);
            run_softmax_vjp(k, NULL, logarithm, f64, s, false);
            for (int64_t j = 0; j < count(s); j++) {
                if (isinf(x[j])) {
                    ck_assert_double_eq(at(y, f64, j), logarithm ? -(double)INFINITY : 0);
                    ck_assert_double_eq(at(gx, f64, j), 0);
                } else {
                    ck_assert_double_eq_tol(at(y, f64, j), (double)expected[j], 1e-5);
                    ck_assert(isfinite(at(gx, f64, j)));
                }
            }
        }
}
END_TEST

START_TEST(test_softmax_of_infinity_and_nan)
{
    const double bad[] = {(double)INFINITY, (double)NAN};
    const struct tape__kernels *k;
    for (int variant = 0; variant < 8; variant++)
        for (int i = 0; (k = tape__kernels_available(i)); i++) {
            bool logarithm = variant & 1, inner = variant & 4;
            tape__softmax_shape s = inner ? (tape__softmax_shape){1, 9, 2} : (tape__softmax_shape){2, 9, 1};
            fill_all(3);
            x[4] = bad[variant >> 1 & 1];
            run_softmax(k, NULL, logarithm, true, s, x, y);
            for (int64_t j = 0; j < count(s); j++)
                ck_assert_int_eq(isnan(y[j]) != 0, start(s, j) == 0);
        }
}
END_TEST

/* The first kernels of the class, serial, against all of it with the pool that runs. */
static void check_softmax_bits(tape__softmax_shape s, bool logarithm, bool f64, bool fma)
{
    static double first[ROOM], first_gx[ROOM];
    const struct tape__kernels *k;
    size_t bytes = (size_t)count(s) * (f64 ? 8 : 4);
    bool any = false;
    for (int i = 0; (k = tape__kernels_available(i)); i++) {
        if (k->fma != fma)
            continue;
        for (int pooled = any; pooled < 2; pooled++) {
            const struct tape__parallel *p = pooled ? tape__pool() : NULL;
            run_softmax(k, p, logarithm, f64, s, f64 ? (void *)x : (void *)x_f32, y);
            run_softmax_vjp(k, p, logarithm, f64, s, false);
            ck_assert(!any || (!memcmp(y, first, bytes) && !memcmp(gx, first_gx, bytes)));
            memcpy(first, y, bytes);
            memcpy(first_gx, gx, bytes);
            any = true;
        }
    }
}

START_TEST(test_softmax_threads_and_instruction_sets)
{
    fill_all(5);
    for (int threads = 1; threads <= 5; threads += threads < 3 ? 1 : 2) {
        ck_assert_int_eq(tape__pool_start(threads), 0);
        for (int shape = 0; shape < SHAPES; shape++)
            for (int variant = 0; variant < 8; variant++)
                check_softmax_bits(shapes[shape], variant & 1, variant & 2, variant & 4);
    }
    ck_assert_int_eq(tape__pool_stop(), 0);
}
END_TEST

/* A row has the same bits alone and among others. */
START_TEST(test_softmax_of_a_row_alone)
{
    static double together[ROOM];
    const struct tape__kernels *k;
    fill_all(5);
    for (int64_t n = 1; n <= 70; n++)
        for (int variant = 0; variant < 4; variant++)
            for (int i = 0; (k = tape__kernels_available(i)); i++) {
                bool logarithm = variant & 1, f64 = variant & 2;
                const size_t bytes = (size_t)n * (f64 ? 8 : 4);
                const char *in = f64 ? (const char *)x : (const char *)x_f32;
                run_softmax(k, NULL, logarithm, f64, (tape__softmax_shape){5, n, 1}, in, together);
                for (size_t row = 0; row < 5; row++) {
                    run_softmax(k, NULL, logarithm, f64, (tape__softmax_shape){1, n, 1}, in + row * bytes, y);
                    ck_assert_mem_eq(y, (const char *)together + row * bytes, bytes);
                }
            }
}
END_TEST

/* ---- normalisation ----------------------------------------------------------------------------------------------- */

static const int64_t norms[][2] = {{1, 1},    {3, 10},   {200, 33}, {5, 1024}, {1, 5000},
                                   {300, 16}, {1100, 9}, {0, 7},    {4, 0}};
enum { NORMS = sizeof norms / sizeof *norms };
static const double eps = 1e-3;

struct norm_case {
    int64_t rows, n;
    bool centred, affine, f64;
};

static void row_statistics(const struct norm_case *c, int64_t row, long double *m, long double *r)
{
    long double square = 0;
    *m = 0;
    for (int64_t i = 0; c->centred && i < c->n; i++)
        *m += (long double)x[row * c->n + i] / c->n;
    for (int64_t i = 0; i < c->n; i++)
        square += (x[row * c->n + i] - *m) * (x[row * c->n + i] - *m) / c->n;
    *r = 1 / sqrtl(square + eps);
}

static void norm_reference(const struct norm_case *c)
{
    for (int64_t row = 0; row < c->rows; row++) {
        long double m, r;
        row_statistics(c, row, &m, &r);
        for (int64_t i = 0; i < c->n; i++) {
            long double h = (x[row * c->n + i] - m) * r;
            expected[row * c->n + i] = c->affine ? h * w[i] + (c->centred ? b[i] : 0) : h;
        }
    }
}

/* d y[j] / d x[i] = w[j] rstd ([i = j] - 1/n - h[i] h[j] / n), one term at a time. */
static void norm_vjp_reference(const struct norm_case *c, bool add)
{
    for (int64_t i = 0; i < c->n; i++)
        expected_w[i] = expected_b[i] = add ? before[i] : 0;
    for (int64_t row = 0; row < c->rows; row++) {
        long double m, r, sum = 0, sum_h = 0;
        const int64_t first = row * c->n;
        row_statistics(c, row, &m, &r);
        for (int64_t j = 0; j < c->n; j++) {
            long double h = (x[first + j] - m) * r, a = g[first + j] * (c->affine ? w[j] : 1);
            sum += a;
            sum_h += a * h;
            expected_w[j] += g[first + j] * h;
            expected_b[j] += g[first + j];
        }
        for (int64_t i = 0; i < c->n; i++) {
            long double h = (x[first + i] - m) * r, a = g[first + i] * (c->affine ? w[i] : 1);
            expected[first + i] =
                r * (a - (c->centred ? sum / c->n : 0) - h * sum_h / c->n) + (add ? before[first + i] : 0);
        }
    }
}

static void run_norm(const struct tape__kernels *k, const struct tape__parallel *p, const struct norm_case *c)
{
    tape__norm_args args = {
        c->rows, c->n, eps, c->f64 ? (void *)x : (void *)x_f32, NULL, NULL, y, c->centred ? mean : NULL, rstd};
    if (c->affine) {
        args.w = c->f64 ? (void *)w : (void *)w_f32;
        args.b = !c->centred ? NULL : c->f64 ? (void *)b : (void *)b_f32;
    }
    (c->centred ? k->norm->layer_norm : k->norm->rms_norm)[c->f64](p, &args);
}

static void run_norm_vjp(const struct tape__kernels *k, const struct tape__parallel *p, const struct norm_case *c,
                         bool add, bool in_place)
{
    tape__norm_vjp_args args = {.rows = c->rows, .n = c->n, .rstd = rstd, .gx = gx, .gw = gw, .gb = gb};
    size_t bytes = sizeof before_f32 * (c->f64 ? 2 : 1);
    args.mean = c->centred ? mean : NULL;
    args.x = c->f64 ? (void *)x : (void *)x_f32;
    args.w = !c->affine ? NULL : c->f64 ? (void *)w : (void *)w_f32;
    args.g = c->f64 ? (void *)g : (void *)g_f32;
    args.add_gx = args.add_gw = args.add_gb = add;
    args.work = work;
    ck_assert_uint_le(tape__norm_work(c->rows, c->n, c->f64 ? 8 : 4), sizeof work);
    memcpy(gx, in_place ? args.g : c->f64 ? (void *)before : (void *)before_f32, bytes);
    memcpy(gw, c->f64 ? (void *)before : (void *)before_f32, bytes);
    memcpy(gb, c->f64 ? (void *)before : (void *)before_f32, bytes);
    if (in_place)
        args.g = gx;
    (c->centred ? k->norm->layer_norm_vjp : k->norm->rms_norm_vjp)[c->f64](p, &args);
}

static struct norm_case norm_case_of(int i)
{
    struct norm_case c = {norms[i / 8][0], norms[i / 8][1], i & 1, i & 2, i & 4};
    return c;
}

START_TEST(test_norm_values_and_gradients)
{
    const struct tape__kernels *k;
    struct norm_case c = norm_case_of(_i);
    fill_all(2);
    for (int i = 0; (k = tape__kernels_available(i)); i++) {
        norm_reference(&c);
        run_norm(k, NULL, &c);
        check_close("norm", k, y, c.f64, expected, c.rows * c.n, 100);
        for (int add = 0; add < 2; add++) {
            norm_vjp_reference(&c, add);
            run_norm_vjp(k, NULL, &c, add, false);
            check_close("gx", k, gx, c.f64, expected, c.rows * c.n, 1000);
            check_close("gw", k, gw, c.f64, expected_w, c.n, 300);
            check_close("gb", k, gb, c.f64, expected_b, c.n, 300);
        }
        memcpy(kept, gx, sizeof gx);
        norm_vjp_reference(&c, false);
        run_norm_vjp(k, NULL, &c, false, true);
        check_close("gx in place", k, gx, c.f64, expected, c.rows * c.n, 1000);
        check_close("gw before gx in place", k, gw, c.f64, expected_w, c.n, 300);
    }
}
END_TEST

static void check_norm_bits(const struct norm_case *c, bool fma)
{
    static double first[4][ROOM];
    const struct tape__kernels *k;
    size_t item = c->f64 ? 8 : 4, all = (size_t)(c->rows * c->n) * item, row = (size_t)c->n * item;
    bool any = false;
    for (int i = 0; (k = tape__kernels_available(i)); i++) {
        if (k->fma != fma)
            continue;
        for (int pooled = any; pooled < 2; pooled++) {
            run_norm(k, pooled ? tape__pool() : NULL, c);
            run_norm_vjp(k, pooled ? tape__pool() : NULL, c, false, false);
            ck_assert(!any || (!memcmp(y, first[0], all) && !memcmp(gx, first[1], all) && !memcmp(gw, first[2], row) &&
                               !memcmp(gb, first[3], row)));
            memcpy(first[0], y, all);
            memcpy(first[1], gx, all);
            memcpy(first[2], gw, row);
            memcpy(first[3], gb, row);
            any = true;
        }
    }
}

START_TEST(test_norm_threads_and_instruction_sets)
{
    fill_all(2);
    for (int threads = 1; threads <= 5; threads += threads < 3 ? 1 : 2) {
        ck_assert_int_eq(tape__pool_start(threads), 0);
        for (int i = 0; i < 8 * NORMS; i++) {
            struct norm_case c = norm_case_of(i);
            check_norm_bits(&c, false);
            check_norm_bits(&c, true);
        }
    }
    ck_assert_int_eq(tape__pool_stop(), 0);
}
END_TEST

/* A row far from 0: one pass over x and x^2 would lose everything. */
START_TEST(test_norm_far_from_zero)
{
    const struct tape__kernels *k;
    for (int i = 0; i < 100; i++)
        x[i] = 1e9 + i % 2;
    for (int i = 0; (k = tape__kernels_available(i)); i++) {
        struct norm_case c = {1, 100, true, false, true};
        run_norm(k, NULL, &c);
        ck_assert_double_eq_tol(y[1], 0.5 / sqrt(0.25 + eps), 1e-14);
        ck_assert_double_eq(y[0], -y[1]);
    }
}
END_TEST

/* ---- large results ----------------------------------------------------------------------------------------------- */

enum { LARGE_N = 1024, LARGE_ROWS = TAPE__PAST_CACHE_BYTES / 4 / LARGE_N + 1, PIECE_ROWS = 100 };

struct large {
    const struct tape__kernels *k;
    const float *x, *g;
    float *mean, *rstd;
};

static void large_norm(const struct large *l, int64_t row, int64_t rows, float *out)
{
    const int64_t at = row * LARGE_N;
    l->k->norm->layer_norm[TAPE_F32](
        tape__pool(), &(tape__norm_args){rows, LARGE_N, eps, l->x + at, NULL, NULL, out, l->mean + row, l->rstd + row});
}

static void large_norm_vjp(const struct large *l, int64_t row, int64_t rows, float *out)
{
    const int64_t at = row * LARGE_N;
    l->k->norm->layer_norm_vjp[TAPE_F32](tape__pool(), &(tape__norm_vjp_args){.rows = rows,
                                                                              .n = LARGE_N,
                                                                              .x = l->x + at,
                                                                              .g = l->g + at,
                                                                              .mean = l->mean + row,
                                                                              .rstd = l->rstd + row,
                                                                              .gx = out});
}

static void large_softmax_vjp(const struct large *l, int64_t row, int64_t rows, float *out)
{
    const int64_t at = row * LARGE_N;
    l->k->softmax->softmax_vjp[TAPE_F32](tape__pool(), (tape__softmax_shape){rows, LARGE_N, 1}, l->x + at, l->g + at,
                                         false, out);
}

/* What goes past the caches has the bits that the same rows have a few at a time. */
START_TEST(test_large_results)
{
    static void (*const run[])(const struct large *, int64_t, int64_t, float *) = {large_norm, large_norm_vjp,
                                                                                   large_softmax_vjp};
    const int64_t n = (int64_t)LARGE_ROWS * LARGE_N;
    const size_t bytes = (size_t)n * sizeof(float);
    float *data[4], statistics[2][LARGE_ROWS];
    for (int i = 0; i < 4; i++) {
        data[i] = aligned_alloc(64, bytes);
        ck_assert_ptr_nonnull(data[i]);
        tape__fill_uniform(NULL, (tape__random_key){7, (uint64_t)i}, TAPE_F32, n, data[i]);
    }
    ck_assert_int_eq(tape__pool_start(2), 0);
    struct large l = {NULL, data[0], data[1], statistics[0], statistics[1]};
    for (int i = 0; (l.k = tape__kernels_available(i)); i++)
        for (size_t r = 0; r < sizeof run / sizeof *run; r++) {
            for (int64_t row = 0; row < LARGE_ROWS; row += PIECE_ROWS)
                run[r](&l, row, LARGE_ROWS - row < PIECE_ROWS ? LARGE_ROWS - row : PIECE_ROWS, data[2] + row * LARGE_N);
            memset(data[3], 0xff, bytes);
            run[r](&l, 0, LARGE_ROWS, data[3]);
            ck_assert_msg(!memcmp(data[2], data[3], bytes), "%s, function %d", l.k->isa, (int)r);
        }
    ck_assert_int_eq(tape__pool_stop(), 0);
    for (int i = 0; i < 4; i++)
        free(data[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("softmax");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 120);
    tcase_add_loop_test(all, test_softmax_values_and_gradients, 0, 3);
    tcase_add_test(all, test_softmax_of_minus_infinity);
    tcase_add_test(all, test_softmax_of_infinity_and_nan);
    tcase_add_test(all, test_softmax_of_a_row_alone);
    tcase_add_test(all, test_softmax_threads_and_instruction_sets);
    tcase_add_loop_test(all, test_norm_values_and_gradients, 0, 8 * NORMS);
    tcase_add_test(all, test_norm_threads_and_instruction_sets);
    tcase_add_test(all, test_norm_far_from_zero);
    tcase_add_test(all, test_large_results);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
