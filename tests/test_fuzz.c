/* Nonsense, at random but the same every time: no crash, no leak, no result beside an error, no wrong gradient. Longer
 * hunts: TAPE_FUZZ_SEEDS=1000 (sessions) and TAPE_FUZZ_FIRST=12345 (the first seed) in the environment. */
#include <check.h>
#include <stdlib.h>

#include "fuzz/fuzz.h"
#include "table.h"

/* Sizes that no memory holds are tried on leaves too, which come from the C library: there the sanitizer would stop. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

START_TEST(sessions)
{
    uint64_t first = from_environment("TAPE_FUZZ_FIRST", 1), n = from_environment("TAPE_FUZZ_SEEDS", 100);
    for (uint64_t seed = first; seed < first + n; seed++)
        fuzz_session(seed, 400);
    settle();
}
END_TEST

START_TEST(gradients)
{
    uint64_t first = from_environment("TAPE_FUZZ_FIRST", 1), n = from_environment("TAPE_FUZZ_SEEDS", 100);
    for (uint64_t seed = first; seed < first + n; seed++)
        fuzz_gradients(seed);
    settle();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fuzz");
    TCase *nonsense = tcase_create("nonsense");
    tcase_add_test(nonsense, sessions);
    tcase_add_test(nonsense, gradients);
    suite_add_tcase(suite, nonsense);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
