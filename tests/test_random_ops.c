/* Knows what the random ops promise beside their distribution (test_random.c): the stream, ranges, masks, gradients and
   errors. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tape/tape.h"

static void setup(void)
{
    tape_make_current(tape_create(NULL));
}

static void teardown(void)
{
    tape_destroy(tape_make_current(NULL));
}

static void fails(tape_tensor y, tape_status status, const char *part)
{
    ck_assert(tape_is_null(y));
    ck_assert_msg(tape_last_status() == status, "%s: %s", tape_status_name(tape_last_status()), tape_message());
    ck_assert_msg(strstr(tape_message(), part) != NULL, "\"%s\" lacks \"%s\"", tape_message(), part);
    tape_clear();
}

START_TEST(test_stream)
{
    tape_seed(11);
    ck_assert_int_eq((int)tape_random_get().seed, 11);
    ck_assert_int_eq((int)tape_random_get().counter, 0);
    double a[100], b[100], c[100];
    tape_read(tape_rand_uniform(TAPE_F64, TAPE_SHAPE(100), 0, 1), a, 100);
    tape_random_state middle = tape_random_get();
    ck_assert_int_eq((int)middle.counter, 1);
    tape_read(tape_rand_uniform(TAPE_F64, TAPE_SHAPE(10, 10), 0, 1), b, 100);
    ck_assert_mem_ne(a, b, sizeof a);
    tape_random_set(middle);
    tape_read(tape_rand_uniform(TAPE_F64, TAPE_SHAPE(100), 0, 1), c, 100);
    ck_assert_mem_eq(b, c, sizeof b);
    tape_seed(11);
    tape_read(tape_rand_uniform(TAPE_F64, TAPE_SHAPE(100), 0, 1), c, 100);
    ck_assert_mem_eq(a, c, sizeof a);
    /* A failed draw does not count. */
    fails(tape_rand_uniform(TAPE_F64, TAPE_SHAPE(-1), 0, 1), TAPE_ERROR_SHAPE, "rand_uniform");
    fails(tape_rand_bernoulli(TAPE_F64, TAPE_SHAPE(3), 2), TAPE_ERROR_ARGUMENT, "rand_bernoulli");
    ck_assert_int_eq((int)tape_random_get().counter, 1);
}
END_TEST

START_TEST(test_same_for_any_thread_count)
{
    enum { COUNT = 200000 };
    static float serial[COUNT], threaded[COUNT];
    static int64_t whole[COUNT], whole_threaded[COUNT];
    tape_seed(1);
    tape_read(tape_rand_normal(TAPE_F32, TAPE_SHAPE(COUNT), 2, 3), serial, COUNT);
    tape_read(tape_rand_int(TAPE_I64, TAPE_SHAPE(COUNT), -5, 1000000007), whole, COUNT);
    ck_assert_int_eq(tape_threads(3), TAPE_OK);
    tape_seed(1);
    tape_read(tape_rand_normal(TAPE_F32, TAPE_SHAPE(COUNT), 2, 3), threaded, COUNT);
    tape_read(tape_rand_int(TAPE_I64, TAPE_SHAPE(COUNT), -5, 1000000007), whole_threaded, COUNT);
    ck_assert_int_eq(tape_threads(1), TAPE_OK);
    ck_assert_mem_eq(serial, threaded, sizeof serial);
    ck_assert_mem_eq(whole, whole_threaded, sizeof whole);
}
END_TEST

START_TEST(test_ranges)
{
    const float *u = tape_data_f32(tape_rand_uniform(TAPE_F32, TAPE_SHAPE(5000), 16777216, 16777217));
    for (int i = 0; i < 5000; i++)
        ck_assert_msg(u[i] == 16777216, "rounded up to the end: %.9g", u[i]);
    u = tape_data_f32(tape_rand_uniform(TAPE_F32, TAPE_SHAPE(5000), -3, 7));
    double sum = 0;
    for (int i = 0; i < 5000; i++) {
        ck_assert(u[i] >= -3 && u[i] < 7);
        sum += u[i];
    }
    ck_assert_double_eq_tol(sum / 5000, 2, 4 * 10 / sqrt(12 * 5000.0));
    const int32_t *k = tape_data(tape_rand_int(TAPE_I32, TAPE_SHAPE(6000), INT32_MAX - 2, (int64_t)INT32_MAX + 1));
    int seen[3] = {0};
    for (int i = 0; i < 6000; i++)
        seen[k[i] - (INT32_MAX - 2)]++;
    for (int i = 0; i < 3; i++)
        ck_assert_int_lt(abs(seen[i] - 2000), 200);
    ck_assert_double_eq(tape_item(tape_rand_int(TAPE_I64, TAPE_SCALAR, INT64_MIN, INT64_MIN + 1)), (double)INT64_MIN);
    ck_assert_int_eq(tape_numel(tape_rand_normal(TAPE_F64, TAPE_SHAPE(3, 0), 0, 1)), 0);
    ck_assert_int_eq(tape_last_status(), TAPE_OK);
}
END_TEST

START_TEST(test_masks_agree)
{
    float a[1000];
    double b[1000];
    uint8_t c[1000];
    tape_seed(4);
    tape_read(tape_rand_bernoulli(TAPE_F32, TAPE_SHAPE(1000), 0.3), a, 1000);
    tape_seed(4);
    tape_read(tape_rand_bernoulli(TAPE_F64, TAPE_SHAPE(1000), 0.3), b, 1000);
    tape_seed(4);
    tape_read(tape_rand_bernoulli(TAPE_U8, TAPE_SHAPE(1000), 0.3), c, 1000);
    int ones = 0;
    for (int i = 0; i < 1000; i++) {
        ck_assert((a[i] == 0 || a[i] == 1) && a[i] == b[i] && a[i] == c[i]);
        ones += c[i];
    }
    ck_assert_int_lt(abs(ones - 300), 60);

    /* On a tape whose work space nothing has needed before. */
    tape *t = tape_create(NULL), *before = tape_make_current(t);
    ck_assert_int_eq(tape_numel(tape_rand_bernoulli(TAPE_U8, TAPE_SHAPE(2, 0), 0.3)), 0);
    ck_assert_int_eq(tape_is_null(tape_rand_bernoulli(TAPE_U8, TAPE_SHAPE(0), 0.3)), false);
    ck_assert_int_eq(tape_last_status(), TAPE_OK);
    tape_make_current(before);
    tape_destroy(t);
}
END_TEST

START_TEST(test_permutation)
{
    bool seen[257] = {false};
    tape_tensor x = tape_permutation(257);
    ck_assert_int_eq(tape_dtype_of(x), TAPE_I64);
    const int64_t *order = tape_data(x);
    int moved = 0;
    for (int i = 0; i < 257; i++) {
        ck_assert(order[i] >= 0 && order[i] < 257 && !seen[order[i]]);
        seen[order[i]] = true;
        moved += order[i] != i;
    }
    ck_assert_int_gt(moved, 200);
    ck_assert_int_eq(tape_numel(tape_permutation(0)), 0);
    fails(tape_permutation(-1), TAPE_ERROR_ARGUMENT, "permutation");
}
END_TEST

START_TEST(test_dropout)
{
    enum { COUNT = 4000 };
    tape_tensor p = tape_param(TAPE_F32, TAPE_SHAPE(COUNT), NULL), y;
    for (int i = 0; i < COUNT; i++)
        ((float *)tape_data_mut(p))[i] = (float)(i + 1);
    y = tape_dropout(p, 0.25);
    ck_assert_int_eq(tape_backward_with(y, tape_full(TAPE_F32, TAPE_SHAPE(COUNT), 3)), TAPE_OK);
    const float *v = tape_data_f32(y), *g = tape_data_f32(tape_gradient(p));
    int kept = 0;
    for (int i = 0; i < COUNT; i++) {
        bool keep = v[i] != 0;
        float scale = (float)(1 / 0.75);
        ck_assert(v[i] == (keep ? (float)(i + 1) * scale : 0) && g[i] == (keep ? 3 * scale : 0));
        kept += keep;
    }
    ck_assert_int_lt(abs(kept - 3000), 120);
    tape_random_state before = tape_random_get();
    ck_assert_int_eq(tape_dropout(p, 0).slot, p.slot);
    ck_assert_int_eq((int)tape_random_get().counter, (int)before.counter);
    v = tape_data_f32(tape_dropout(p, 1));
    for (int i = 0; i < COUNT; i++)
        ck_assert(v[i] == 0);
    fails(tape_dropout(p, -0.1), TAPE_ERROR_ARGUMENT, "dropout");
    fails(tape_dropout(p, NAN), TAPE_ERROR_ARGUMENT, "dropout");
    fails(tape_dropout(TAPE_NULL, 0), TAPE_ERROR_HANDLE, "dropout");
    fails(tape_dropout(TAPE_NULL, 0.5), TAPE_ERROR_HANDLE, "dropout");
    fails(tape_dropout(tape_rand_int(TAPE_I64, TAPE_SHAPE(3), 0, 2), 0.5), TAPE_ERROR_DTYPE, "dropout");
    tape_free(p);
}
END_TEST

START_TEST(test_reparameterised)
{
    tape_tensor mean = tape_param(TAPE_F64, TAPE_SHAPE(3, 1), (double[]){1, 2, 3});
    tape_tensor std = tape_param(TAPE_F64, TAPE_SHAPE(2), (double[]){0.5, 4});
    tape_tensor y = tape_normal(mean, std);
    const double *v = tape_data_f64(y), deviation[] = {0.5, 4};
    double sums[2] = {0, 0};
    for (int i = 0; i < 6; i++)
        sums[i % 2] += (v[i] - (i / 2 + 1)) / deviation[i % 2];
    ck_assert_int_eq(tape_backward_with(y, tape_ones_like(y)), TAPE_OK);
    ck_assert_double_eq_tol(tape_data_f64(tape_gradient(mean))[1], 2, 1e-14);
    ck_assert_double_eq_tol(tape_data_f64(tape_gradient(std))[0], sums[0], 1e-13);
    ck_assert_double_eq_tol(tape_data_f64(tape_gradient(std))[1], sums[1], 1e-13);
    fails(tape_normal(mean, tape_ones(TAPE_F64, TAPE_SHAPE(4, 3))), TAPE_ERROR_SHAPE, "normal");
    tape_free(mean);
    tape_free(std);
}
END_TEST

START_TEST(test_straight_through)
{
    const double probabilities[] = {0, 1, -3, 4, NAN, 0.5};
    tape_tensor p = tape_param(TAPE_F64, TAPE_SHAPE(6), probabilities), y = tape_bernoulli_st(p);
    const double *v = tape_data_f64(y), expected[] = {0, 1, 0, 1, 0};
    for (int i = 0; i < 5; i++)
        ck_assert_double_eq(v[i], expected[i]);
    ck_assert(v[5] == 0 || v[5] == 1);
    const double cotangent[] = {1, 2, 3, 4, 5, 6};
    ck_assert_int_eq(tape_backward_with(y, tape_from(TAPE_F64, TAPE_SHAPE(6), cotangent)), TAPE_OK);
    ck_assert_mem_eq(tape_data(tape_gradient(p)), cotangent, sizeof cotangent);
    tape_free(p);
}
END_TEST

/* The share of the distribution below a draw is the uniform number that it came from. */
START_TEST(test_gamma)
{
    enum { COUNT = 5000 };
    static double shapes[COUNT];
    for (int i = 0; i < COUNT; i++)
        shapes[i] = pow(10, i % 9 - 3) * (1 + i % 7);
    tape_tensor a = tape_from(TAPE_F64, TAPE_SHAPE(COUNT), shapes);
    tape_seed(21);
    const double *u = tape_data_f64(tape_rand_uniform(TAPE_F64, TAPE_SHAPE(COUNT), 0, 1));
    tape_seed(21);
    tape_tensor y = tape_gamma(a);
    const double *v = tape_data_f64(y), *below = tape_data_f64(tape_igamma(a, y));
    for (int i = 0; i < COUNT; i++) {
        double got = v[i] < 1e-300 ? u[i] : below[i]; /* too small for the dtype */
        ck_assert_msg(fabs(got - u[i]) <= 1e-13 + 1e-10 * u[i], "shape %g: %g has %.17g below, not %.17g", shapes[i],
                      v[i], below[i], u[i]);
    }
    tape_seed(21);
    ck_assert_int_eq(tape_threads(3), TAPE_OK);
    ck_assert_mem_eq(tape_data_f64(tape_gamma(a)), v, sizeof shapes);
    ck_assert_int_eq(tape_threads(1), TAPE_OK);
}
END_TEST

START_TEST(test_gamma_moments)
{
    enum { COUNT = 20000 };
    const double shapes[] = {0.3, 1, 2.5, 40};
    tape_seed(5);
    for (int s = 0; s < 4; s++) {
        tape_tensor y = tape_gamma(tape_full(TAPE_F32, TAPE_SHAPE(COUNT), shapes[s]));
        double mean = tape_item(tape_mean(y, TAPE_ALL, false)), variance = tape_item(tape_var(y, TAPE_ALL, 1, false));
        ck_assert_double_eq_tol(mean, shapes[s], 4 * sqrt(shapes[s] / COUNT));
        ck_assert_double_eq_tol(variance, shapes[s], 0.1 * shapes[s]);
        tape_reset();
    }
}
END_TEST

START_TEST(test_gamma_edges)
{
    const double shapes[] = {0, INFINITY, -1, NAN, 1e-9, 1e18};
    tape_tensor a = tape_param(TAPE_F64, TAPE_SHAPE(6), shapes), y = tape_gamma(a);
    const double *v = tape_data_f64(y);
    ck_assert(v[0] == 0 && v[1] == INFINITY && isnan(v[2]) && isnan(v[3]) && v[4] == 0);
    ck_assert(fabs(v[5] / 1e18 - 1) < 1e-7);
    ck_assert_int_eq(tape_backward_with(y, tape_ones_like(y)), TAPE_OK);
    const double *g = tape_data_f64(tape_gradient(a));
    ck_assert(g[4] == 0 && fabs(g[5] - 1) < 1e-7); /* y is 0; y is a and a deviation of sqrt(a) */
    ck_assert_int_eq(tape_numel(tape_gamma(tape_zeros(TAPE_F32, TAPE_SHAPE(0, 3)))), 0);
    fails(tape_gamma(tape_rand_int(TAPE_I64, TAPE_SHAPE(2), 0, 2)), TAPE_ERROR_DTYPE, "gamma");
    tape_free(a);
}
END_TEST

START_TEST(test_errors)
{
    tape_shape s = TAPE_SHAPE(2);
    fails(tape_rand_uniform(TAPE_I32, s, 0, 1), TAPE_ERROR_DTYPE, "rand_uniform: expects f32 or f64, got i32");
    fails(tape_rand_uniform((tape_dtype)77, s, 0, 1), TAPE_ERROR_DTYPE, "rand_uniform");
    fails(tape_rand_uniform(TAPE_F32, s, 1, 0), TAPE_ERROR_ARGUMENT, "1 and 0");
    fails(tape_rand_uniform(TAPE_F32, s, NAN, 0), TAPE_ERROR_ARGUMENT, "nan");
    fails(tape_rand_uniform(TAPE_F32, s, -1e308, 1.7e308), TAPE_ERROR_ARGUMENT, "finite");
    fails(tape_rand_uniform(TAPE_F32, (tape_shape){9, {0}}, 0, 1), TAPE_ERROR_SHAPE, "rand_uniform");
    fails(tape_rand_uniform(TAPE_F32, (tape_shape){-1, {0}}, 0, 1), TAPE_ERROR_SHAPE, "rand_uniform");
    fails(tape_rand_uniform(TAPE_F32, TAPE_SHAPE(INT64_MAX, INT64_MAX), 0, 1), TAPE_ERROR_SHAPE, "rand_uniform");
    fails(tape_rand_normal(TAPE_F32, s, 0, -1), TAPE_ERROR_ARGUMENT, "rand_normal");
    fails(tape_rand_normal(TAPE_F32, s, INFINITY, 1), TAPE_ERROR_ARGUMENT, "rand_normal");
    fails(tape_rand_bernoulli(TAPE_I64, s, 0.5), TAPE_ERROR_DTYPE, "rand_bernoulli");
    fails(tape_rand_bernoulli(TAPE_U8, s, NAN), TAPE_ERROR_ARGUMENT, "rand_bernoulli");
    fails(tape_rand_int(TAPE_F32, s, 0, 1), TAPE_ERROR_DTYPE, "rand_int");
    fails(tape_rand_int(TAPE_I64, s, 3, 3), TAPE_ERROR_ARGUMENT, "3 and 3");
    fails(tape_rand_int(TAPE_I64, s, INT64_MIN, INT64_MAX), TAPE_ERROR_ARGUMENT, "rand_int");
    fails(tape_rand_int(TAPE_I32, s, 0, (int64_t)INT32_MAX + 2), TAPE_ERROR_ARGUMENT, "i32");
    fails(tape_bernoulli_st(tape_rand_int(TAPE_I64, s, 0, 2)), TAPE_ERROR_DTYPE, "bernoulli_st");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("random ops");
    TCase *tests = tcase_create("random ops");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_stream);
    tcase_add_test(tests, test_same_for_any_thread_count);
    tcase_add_test(tests, test_ranges);
    tcase_add_test(tests, test_masks_agree);
    tcase_add_test(tests, test_permutation);
    tcase_add_test(tests, test_dropout);
    tcase_add_test(tests, test_reparameterised);
    tcase_add_test(tests, test_straight_through);
    tcase_add_test(tests, test_gamma);
    tcase_add_test(tests, test_gamma_moments);
    tcase_add_test(tests, test_gamma_edges);
    tcase_add_test(tests, test_errors);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
