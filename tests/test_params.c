/* Knows what parameter sets and initialisers promise: names, ownership, distributions, seeds and errors. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "tape/nn.h"

static void setup(void)
{
    tape_make_current(tape_create(NULL));
}

static void teardown(void)
{
    tape_destroy(tape_make_current(NULL));
}

static void ok(tape_status status)
{
    ck_assert_msg(status == TAPE_OK, "%s", tape_message());
}

static void fails(tape_status status, tape_status expected, const char *part)
{
    ck_assert_msg(status == expected, "status %s, expected %s: %s", tape_status_name(status),
                  tape_status_name(expected), tape_message());
    ck_assert_int_eq(tape_last_status(), expected);
    ck_assert_msg(strstr(tape_message(), part) != NULL, "\"%s\" lacks \"%s\"", tape_message(), part);
    tape_clear();
}

/* ---- sets -------------------------------------------------------------------------------------------------------- */

START_TEST(test_names)
{
    tape_params *set = tape_params_create();
    tape_tensor a = tape_params_new(set, "layers.0.weight", TAPE_F32, TAPE_SHAPE(2, 3));
    ck_assert(tape_requires_grad(a));
    ck_assert_int_eq(tape_params_get(set, "layers.0.weight").slot, a.slot);
    ck_assert_ptr_null(tape_params_name(set, 1));
    ck_assert_ptr_null(tape_params_name(set, -1));
    ck_assert(tape_is_null(tape_params_at(set, 1)));
    char long_name[300];
    memset(long_name, 'x', sizeof long_name);
    long_name[256] = '\0';
    const char *const bad[] = {"",     "layers.0.weight", "optim.x", "tape.random", "__metadata__",
                               "\xff", "a\xed\xa0\x80",   long_name};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert(tape_is_null(tape_params_new(set, bad[i], TAPE_F32, TAPE_SHAPE(1))));
        fails(tape_last_status(), TAPE_ERROR_ARGUMENT, "params");
    }
    ck_assert(tape_is_null(tape_params_new(set, NULL, TAPE_F32, TAPE_SHAPE(1))));
    tape_clear();
    ck_assert(tape_is_null(tape_params_get(set, "nothing")));
    fails(tape_last_status(), TAPE_ERROR_ARGUMENT, "nothing");
    ck_assert_int_eq(tape_params_count(set), 1);
    tape_params_destroy(set);
    ck_assert(!tape_is_valid(a));
    tape_params_destroy(NULL);
}
END_TEST

START_TEST(test_what_can_be_added)
{
    tape_params *set = tape_params_create();
    tape_tensor leaf = tape_param(TAPE_F32, TAPE_SHAPE(2), NULL), whole = tape_const(TAPE_I64, TAPE_SHAPE(2), NULL);
    fails(tape_params_add(set, "x", tape_neg(leaf)), TAPE_ERROR_STATE, "leaf");
    fails(tape_params_add(set, "x", whole), TAPE_ERROR_DTYPE, "i64");
    fails(tape_params_add(set, "x", TAPE_NULL), TAPE_ERROR_HANDLE, "");
    fails(tape_params_add(NULL, "x", leaf), TAPE_ERROR_ARGUMENT, "NULL");
    fails(tape_params_own(set, leaf), TAPE_ERROR_ARGUMENT, "own");
    ok(tape_params_add(set, "x", leaf));
    tape_params_destroy(set);
    ck_assert(tape_is_valid(leaf));
    set = tape_params_create();
    ok(tape_params_add(set, "x", leaf));
    ok(tape_params_own(set, leaf));
    tape_params_destroy(set);
    ck_assert(!tape_is_valid(leaf));
    ok(tape_free(whole));
}
END_TEST

/* ---- initialisers ------------------------------------------------------------------------------------------------ */

static void moments(tape_tensor x, double *mean, double *variance, double *largest)
{
    int64_t n = tape_numel(x);
    const double *v = tape_data_f64(x);
    double sum = 0, squares = 0;
    *largest = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += v[i];
        squares += v[i] * v[i];
        *largest = fmax(*largest, fabs(v[i]));
    }
    *mean = sum / (double)n;
    *variance = squares / (double)n - *mean * *mean;
}

/* For a weight of [60, 40, 5]: fan_in 200, fan_out 300. 12000 draws: the variance is within 5 %, far beyond 4 sigma. */
static void check_init(tape_status (*init)(tape_tensor, double), double argument, double variance, double bound)
{
    tape_tensor x = tape_param(TAPE_F64, TAPE_SHAPE(60, 40, 5), NULL),
                y = tape_param(TAPE_F64, TAPE_SHAPE(60, 40, 5), NULL);
    double mean, got, largest;
    tape_seed(7);
    ok(init(x, argument));
    moments(x, &mean, &got, &largest);
    ck_assert_double_eq_tol(mean, 0, 4 * sqrt(variance / 12000));
    ck_assert_double_eq_tol(got, variance, 0.06 * variance);
    if (bound > 0) {
        ck_assert_double_le(largest, bound);
        ck_assert_double_ge(largest, 0.99 * bound);
    }
    tape_seed(7);
    ok(init(y, argument));
    ck_assert_mem_eq(tape_data(x), tape_data(y), 12000 * sizeof(double));
    ok(init(y, argument));
    ck_assert_mem_ne(tape_data(x), tape_data(y), 12000 * sizeof(double));
    ok(tape_free(x));
    ok(tape_free(y));
}

START_TEST(test_initialisers)
{
    check_init(tape_init_xavier_uniform, 0, 2.0 / 500, sqrt(6.0 / 500));
    check_init(tape_init_xavier_normal, 3, 9 * 2.0 / 500, 0);
    check_init(tape_init_he_uniform, 0, 2.0 / 200, sqrt(6.0 / 200));
    check_init(tape_init_he_normal, 0.5, 2.0 / 1.25 / 200, 0);
    tape_tensor x = tape_param(TAPE_F32, TAPE_SHAPE(50), NULL);
    ok(tape_init_uniform(x, 2, 3));
    for (int i = 0; i < 50; i++)
        ck_assert(tape_data_f32(x)[i] >= 2 && tape_data_f32(x)[i] < 3);
    ok(tape_init_constant(x, 0.5));
    ck_assert_double_eq(tape_data_f32(x)[49], 0.5);
    ok(tape_init_zeros(x));
    ck_assert_double_eq(tape_data_f32(x)[0], 0);
    int64_t records = tape_stats().records;
    ok(tape_init_normal(x, 1, 2));
    ck_assert_int_eq(tape_stats().records, records);
    fails(tape_init_xavier_uniform(x, 0), TAPE_ERROR_SHAPE, "[50]");
    fails(tape_init_uniform(x, 3, 2), TAPE_ERROR_ARGUMENT, "rand_uniform");
    fails(tape_init_normal(TAPE_NULL, 0, 1), TAPE_ERROR_HANDLE, "");
    tape_tensor empty = tape_param(TAPE_F32, TAPE_SHAPE(3, 0), NULL);
    ok(tape_init_he_normal(empty, 0));
    ok(tape_free(empty));
    ok(tape_free(x));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("params");
    TCase *tests = tcase_create("params");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_names);
    tcase_add_test(tests, test_what_can_be_added);
    tcase_add_test(tests, test_initialisers);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
