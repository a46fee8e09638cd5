/* Knows what each schedule must give at chosen steps; closed forms worked out by hand. */
#include <check.h>
#include <math.h>

#include "tape/optim.h"

static void expect(const tape_schedule *schedule, int64_t step, double lr)
{
    double got = tape_schedule_at(schedule, step);
    ck_assert_msg(fabs(got - lr) <= 1e-15 + 1e-14 * fabs(lr), "step %lld: %.17g, expected %.17g", (long long)step, got,
                  lr);
}

START_TEST(test_constant)
{
    tape_schedule s = {.lr = 0.25};
    expect(&s, 0, 0.25);
    expect(&s, INT64_MAX, 0.25);
    expect(&s, -3, 0.25);
}
END_TEST

START_TEST(test_step)
{
    tape_schedule s = {.kind = TAPE_SCHEDULE_STEP, .lr = 1, .every = 10, .gamma = 0.5};
    expect(&s, 0, 1);
    expect(&s, 9, 1);
    expect(&s, 10, 0.5);
    expect(&s, 35, 0.125);
    s.gamma = 0;
    expect(&s, 20, 0.01);
    s.every = 0;
    expect(&s, 20, 1);
}
END_TEST

START_TEST(test_cosine)
{
    tape_schedule s = {.kind = TAPE_SCHEDULE_COSINE, .lr = 3, .total = 12, .lr_min = 1};
    expect(&s, 0, 3);
    expect(&s, 2, 2 + sqrt(3) / 2);
    expect(&s, 3, 2 + sqrt(0.5));
    expect(&s, 4, 2.5);
    expect(&s, 6, 2);
    expect(&s, 8, 1.5);
    expect(&s, 12, 1);
    expect(&s, 1000, 1);
    s.total = 0;
    expect(&s, 0, 1);
}
END_TEST

START_TEST(test_warmup)
{
    tape_schedule s = {.lr = 2, .warmup = 4};
    expect(&s, 0, 0.5);
    expect(&s, 1, 1);
    expect(&s, 3, 2);
    expect(&s, 4, 2);
    s.kind = TAPE_SCHEDULE_STEP;
    s.every = 3;
    s.gamma = 0.5;
    expect(&s, 6, 2);
    expect(&s, 7, 1);
    s.warmup = -5;
    expect(&s, 0, 2);
    expect(&s, 3, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("schedule");
    TCase *tests = tcase_create("schedules");
    tcase_add_test(tests, test_constant);
    tcase_add_test(tests, test_step);
    tcase_add_test(tests, test_cosine);
    tcase_add_test(tests, test_warmup);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
