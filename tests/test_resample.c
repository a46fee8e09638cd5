/* Resampling where the samples do not go: places by hand, infinities, threads, no elements, wrong options. */
#include <check.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/expect.h"

#define INF INFINITY
#define RESAMPLE(x, ...) tape_interpolate(x, &(const tape_interpolate_options){__VA_ARGS__})
#define LINEAR .mode = TAPE_INTERPOLATE_LINEAR

START_TEST(test_places)
{
    tape_tensor x = PARAM(TAPE_SHAPE(1, 1, 3), 1, 2, 4);
    EXPECT(RESAMPLE(x, .size = {6}), 1, 1, 2, 2, 4, 4);
    EXPECT(RESAMPLE(x, .size = {2}), 1, 2);
    EXPECT(RESAMPLE(x, .mode = TAPE_INTERPOLATE_NEAREST_EXACT, .size = {2}), 1, 4);
    EXPECT(RESAMPLE(x, .size = {1}), 1);
    EXPECT(RESAMPLE(x, LINEAR, .size = {6}), 1, 1.25, 1.75, 2.5, 3.5, 4);
    EXPECT(RESAMPLE(x, LINEAR, .size = {5}, .align_corners = true), 1, 1.5, 2, 3, 4);
    EXPECT(RESAMPLE(x, LINEAR, .size = {1}, .align_corners = true), 1);
    EXPECT(RESAMPLE(x, LINEAR, .size = {1}), 2);
    EXPECT(RESAMPLE(x, LINEAR, .scale = {0.7}), 1 + 3. / 14, 3 + 2. / 7);
    EXPECT(RESAMPLE(x, LINEAR, .scale = {0.7}, .recompute_scale = true), 1.25, 3.5);
    tape_tensor plane = PARAM(TAPE_SHAPE(1, 1, 2, 2), 0, 1, 2, 4);
    EXPECT(RESAMPLE(plane, LINEAR, .size = {3}, .align_corners = true), 0, 0.5, 1, 1, 1.75, 2.5, 2, 3, 4);
    EXPECT(gradient_of(RESAMPLE(plane, .scale = {1.5, 2}), plane), 4, 4, 2, 2);
}
END_TEST

/* Elements that an output does not read do not get into it. */
START_TEST(test_infinities)
{
    tape_tensor x = PARAM(TAPE_SHAPE(1, 1, 3), INF, 2, 3);
    EXPECT(RESAMPLE(x, LINEAR, .size = {5}, .align_corners = true), INF, INF, 2, 2.5, 3);
    EXPECT(RESAMPLE(x, LINEAR, .size = {3}), INF, 2, 3);
    EXPECT(RESAMPLE(tape_reshape(x, TAPE_SHAPE(1, 1, 3, 1)), LINEAR, .size = {5, 2}, .align_corners = true), INF, INF,
           INF, INF, 2, 2, 2.5, 2.5, 3, 3);
}
END_TEST

START_TEST(test_threads_change_no_bit)
{
    tape_tensor x = tape_param(TAPE_F32, TAPE_SHAPE(3, 7, 9, 11), NULL), y[2], gx[2];
    float *values = tape_data_mut(x);
    for (int i = 0; i < 3 * 7 * 9 * 11; i++)
        values[i] = sinf((float)i);
    for (int k = 0; k < 2; k++) {
        ck_assert_int_eq(tape_threads(1 + 2 * k), TAPE_OK);
        y[k] = RESAMPLE(x, LINEAR, .size = {13, 8});
        gx[k] = gradient_of(tape_sin(y[k]), x);
    }
    ck_assert_int_eq(tape_threads(1), TAPE_OK);
    ck_assert_mem_eq(tape_data(y[0]), tape_data(y[1]), 3 * 7 * 13 * 8 * sizeof(float));
    ck_assert_mem_eq(tape_data(gx[0]), tape_data(gx[1]), 3 * 7 * 9 * 11 * sizeof(float));
}
END_TEST

START_TEST(test_nothing)
{
    tape_tensor none = tape_param(TAPE_F64, TAPE_SHAPE(0, 2, 3, 3), NULL);
    EXPECT_SHAPE(RESAMPLE(none, .size = {2, 5}), TAPE_SHAPE(0, 2, 2, 5));
    EXPECT_SHAPE(gradient_of(RESAMPLE(none, LINEAR, .size = {2, 5}), none), TAPE_SHAPE(0, 2, 3, 3));
    EXPECT_ERROR(RESAMPLE(tape_ones(TAPE_F64, TAPE_SHAPE(1, 1, 0)), .size = {2}), TAPE_ERROR_SHAPE, "no elements");
}
END_TEST

START_TEST(test_wrong_options)
{
    tape_tensor x = tape_ones(TAPE_F64, TAPE_SHAPE(1, 1, 4, 4));
    const int64_t wrong[] = {-1, INT64_MIN, INT64_MAX, (INT64_C(1) << 40) + 1};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        EXPECT_ERROR(RESAMPLE(x, .size = {2, wrong[i]}), TAPE_ERROR_ARGUMENT, "interpolate: ");
    const double scales[] = {-1, NAN, INF, 0.2, 1e300};
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++)
        EXPECT_ERROR(RESAMPLE(x, .scale = {scales[i]}), TAPE_ERROR_ARGUMENT, "interpolate: ");
    EXPECT_ERROR(tape_interpolate(x, NULL), TAPE_ERROR_ARGUMENT, "either a size or a scale");
    EXPECT_ERROR(RESAMPLE(x, .size = {2}, .scale = {2}), TAPE_ERROR_ARGUMENT, "either a size or a scale");
    EXPECT_ERROR(RESAMPLE(x, .size = {2}, .align_corners = true), TAPE_ERROR_ARGUMENT, "align_corners");
    EXPECT_ERROR(RESAMPLE(x, .size = {2}, .mode = (tape_interpolate_mode)3), TAPE_ERROR_ARGUMENT, "mode 3");
    EXPECT_ERROR(RESAMPLE(tape_ones(TAPE_F64, TAPE_SHAPE(4, 4)), .size = {2}), TAPE_ERROR_SHAPE, "got [4, 4]");
    EXPECT_ERROR(RESAMPLE(tape_ones(TAPE_F64, TAPE_SCALAR), .size = {2}), TAPE_ERROR_SHAPE, "got []");
    EXPECT_ERROR(RESAMPLE(tape_ones(TAPE_I64, TAPE_SHAPE(1, 1, 4)), .size = {2}), TAPE_ERROR_DTYPE, "got i64");
    EXPECT_ERROR(RESAMPLE(x, .size = {INT64_C(1) << 40}), TAPE_ERROR_SHAPE, "no shape");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("resample");
    TCase *all = tcase_create("all");
    tcase_add_test(all, test_places);
    tcase_add_test(all, test_infinities);
    tcase_add_test(all, test_threads_change_no_bit);
    tcase_add_test(all, test_nothing);
    tcase_add_test(all, test_wrong_options);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
