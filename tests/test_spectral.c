/* Fourier transforms of every kind of length against the defining sum, there and back, and their errors. */
#include "expect.h"
#include "table.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

/* The largest error of a transform of n random points, relative to the largest value. */
static double error_of(int n)
{
    const long double tau = 6.28318530717958647692528676655900577L;
    double *x = calloc((size_t)n * 2, sizeof *x), worst = 0, largest = 0;
    ck_assert_ptr_nonnull(x);
    uint64_t state = (uint64_t)n;
    for (int i = 0; i < 2 * n; i++)
        x[i] = draw(&state, -1, 1);
    double *y = doubles_of(tape_fft(tape_from(TAPE_F64, TAPE_SHAPE(n, 2), x)));
    for (int k = 0; k < n; k += 1 + n / 50) {
        long double re = 0, im = 0;
        for (int j = 0; j < n; j++) {
            long double angle = -tau * (long double)((int64_t)j * k % n) / n, c = cosl(angle), s = sinl(angle);
            re += x[2 * j] * c - x[2 * j + 1] * s;
            im += x[2 * j] * s + x[2 * j + 1] * c;
        }
        worst = fmax(worst, (double)hypotl(re - y[2 * k], im - y[2 * k + 1]));
        largest = fmax(largest, (double)hypotl(re, im));
    }
    free(x);
    free(y);
    tape_reset();
    return worst / largest;
}

START_TEST(test_every_length)
{
    for (int n = 1; n <= 130; n++)
        ck_assert_msg(error_of(n) < 1e-14, "%d points: %g", n, error_of(n));
    static const int more[] = {243, 256, 343, 360, 509, 1001, 1024, 1155, 2003, 2048, 2 * 17 * 61, 4096};
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        ck_assert_msg(error_of(more[i]) < 1e-14, "%d points: %g", more[i], error_of(more[i]));
    settle();
}
END_TEST

/* There and back, for real and complex lines; and the inner product, which no transform changes but by n. */
START_TEST(test_round_trip)
{
    for (int n = 1; n < 40; n++) {
        double values[80];
        uint64_t state = (uint64_t)n;
        for (int i = 0; i < 2 * n; i++)
            values[i] = draw(&state, -1, 1);
        tape_tensor x = tape_from(TAPE_F64, TAPE_SHAPE(n, 2), values), y = tape_fft(x);
        expect_values(__FILE__, __LINE__, tape_ifft(y), values, 2 * n);
        expect_values(__FILE__, __LINE__, tape_irfft(tape_rfft(tape_from(TAPE_F64, TAPE_SHAPE(n), values)), n), values,
                      n);
        double there = tape_item(tape_sum(tape_abs2(y), TAPE_ALL, false));
        ck_assert_double_eq_tol(there, n * tape_item(tape_sum(tape_abs2(x), TAPE_ALL, false)), 1e-12 * there);
        tape_reset();
    }
    settle();
}
END_TEST

/* Convolution of (1, 2, 3) and (0, 1, 0.5) by a product of transforms: 5 points hold it without wrapping. */
START_TEST(test_convolution)
{
    tape_tensor a = tape_rfft(CONSTANT(TAPE_F64, TAPE_SHAPE(5), 1, 2, 3, 0, 0));
    tape_tensor b = tape_rfft(CONSTANT(TAPE_F64, TAPE_SHAPE(5), 0, 1, 0.5, 0, 0));
    EXPECT(tape_irfft(tape_complex_mul(a, b), 5), 0, 1, 2.5, 4, 1.5);
    EXPECT(tape_conj(CONSTANT(TAPE_F64, TAPE_SHAPE(2), 3, 4)), 3, -4);
    EXPECT(tape_abs2(CONSTANT(TAPE_F64, TAPE_SHAPE(2), 3, 4)), 25);
    settle();
}
END_TEST

START_TEST(test_errors)
{
    tape_tensor line = tape_ones(TAPE_F64, TAPE_SHAPE(3)), pairs = tape_ones(TAPE_F64, TAPE_SHAPE(3, 2));
    EXPECT_ERROR(tape_fft(line), TAPE_ERROR_SHAPE, "fft: argument 1 has shape [3]: needs rank 2");
    EXPECT_ERROR(tape_fft(tape_ones(TAPE_F64, TAPE_SHAPE(2, 3))), TAPE_ERROR_SHAPE, "pairs [..., n, 2], got [2, 3]");
    EXPECT_ERROR(tape_ifft(tape_ones(TAPE_F64, TAPE_SHAPE(0, 2))), TAPE_ERROR_SHAPE, "ifft: no points");
    EXPECT_ERROR(tape_rfft(tape_ones(TAPE_F64, TAPE_SHAPE(2, 0))), TAPE_ERROR_SHAPE, "rfft: no points");
    EXPECT_ERROR(tape_rfft(tape_scalar(TAPE_F64, 1)), TAPE_ERROR_SHAPE, "rfft");
    EXPECT_ERROR(tape_rfft(tape_ones(TAPE_I64, TAPE_SHAPE(3))), TAPE_ERROR_DTYPE, "rfft");
    const int64_t bad[] = {-1, 3, 6, INT64_MIN, INT64_MAX};
    for (int i = 0; i < 5; i++)
        EXPECT_ERROR(tape_irfft(pairs, bad[i]), TAPE_ERROR_ARGUMENT, "irfft");
    EXPECT_ERROR(tape_irfft(tape_ones(TAPE_F64, TAPE_SHAPE(1, 2)), 0), TAPE_ERROR_ARGUMENT, "irfft: 0 points");
    EXPECT_ERROR(tape_complex_mul(pairs, line), TAPE_ERROR_SHAPE, "complex_mul: argument 2 has shape [3]");
    EXPECT_ERROR(tape_abs2(tape_scalar(TAPE_F64, 1)), TAPE_ERROR_SHAPE, "abs2");
    EXPECT_ERROR(tape_conj(line), TAPE_ERROR_SHAPE, "conj");
    EXPECT_SHAPE(tape_fft(tape_ones(TAPE_F32, TAPE_SHAPE(0, 3, 2))), TAPE_SHAPE(0, 3, 2));
    settle();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("spectral");
    TCase *all = tcase_create("all");
    tcase_add_test(all, test_every_length);
    tcase_add_test(all, test_round_trip);
    tcase_add_test(all, test_convolution);
    tcase_add_test(all, test_errors);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
