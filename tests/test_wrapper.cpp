/* The C++ wrapper: operators agree with the C functions, owners free what they own. */
#include <check.h>
#include <stdlib.h>

#include "tape/tape.hpp"

using namespace tape_cxx;

START_TEST(operators)
{
    leaf w = param({0.5, 1.5});
    tensor y = sum(square(w - 1.0) * 2.0 + 3.0 / (1.0 + -w));
    ck_assert(bool(y));
    ck_assert_double_eq_tol(y.item(), 2 * 0.25 + 3 / 0.5 + 2 * 0.25 + 3 / -0.5, 1e-12);
    ck_assert_int_eq(backward(y), TAPE_OK);
    /* 4 (w - 1) + 3 / (1 - w)^2 */
    const double *g = tape_data_f64(w.gradient());
    ck_assert_double_eq_tol(g[0], -2 + 12, 1e-12);
    ck_assert_double_eq_tol(g[1], 2 + 12, 1e-12);
    w.zero_grad();
    ck_assert(tape_is_none(w.gradient()));
    leaf v = param({1.0F, 2.0F});
    ck_assert(!bool(tensor(w) + tensor(v)));
    ck_assert_int_eq(tape_last_status(), TAPE_ERROR_DTYPE);
    tape_reset();
}
END_TEST

START_TEST(owners)
{
    tape_tensor handle;
    {
        leaf w = param({1.0, 2.0});
        leaf moved = std::move(w);
        handle = moved;
        ck_assert(tape_is_valid(handle));
    }
    ck_assert(!tape_is_valid(handle));
    ::tape *outer = tape_current();
    {
        scope own;
        ck_assert(bool(own));
        ck_assert(tape_current() != outer);
        {
            pause quiet;
            ck_assert(!tape_is_recording());
        }
        ck_assert(tape_is_recording());
    }
    ck_assert(tape_current() == outer);
    tape_reset();
}
END_TEST

int main()
{
    Suite *suite = suite_create("wrapper");
    TCase *cases = tcase_create("wrapper");
    tcase_add_test(cases, operators);
    tcase_add_test(cases, owners);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
