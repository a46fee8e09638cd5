/* Prints, for every sample of the table, a hash of all bits of its value and of its gradients, so that two machines of
 * one class can be compared line by line. Not a test by itself: tools/test-aarch64 does so. */
#include "table.h"
#include "tape/ops.h"

#include <check.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEEDS = 8 };

/* FNV-1a. */
static uint64_t add_number(uint64_t hash, double x)
{
    unsigned char bytes[sizeof x];
    x = isnan(x) ? (double)NAN : x; /* whose sign is the processor's */
    memcpy(bytes, &x, sizeof x);
    for (size_t i = 0; i < sizeof x; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static uint64_t add_tensor(uint64_t hash, tape_tensor x)
{
    double *values = doubles_of(x);
    for (int64_t i = 0; values && i < tape_numel(x); i++)
        hash = add_number(hash, values[i]);
    free(values);
    return hash;
}

static uint64_t hash_of(const struct sample *sample, tape_dtype dtype)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct inputs in;
        tape_seed(seed);
        inputs_make(&in, sample, dtype, seed);
        tape_tensor y = sample->run(in.x);
        hash = add_tensor(hash, y);
        if (tape_requires_grad(y))
            tape_backward(tape_sum(y, TAPE_ALL, false));
        for (int i = 0; i < in.n_floats; i++)
            if (tape_is_valid(tape_gradient(in.floats[i])))
                hash = add_tensor(hash, tape_gradient(in.floats[i]));
        inputs_free(&in);
        tape_reset();
    }
    return hash;
}

/* In a test's clothes, since what makes the inputs asserts. */
START_TEST(print_bits)
{
    const struct sample *sample;
    for (int i = 0; (sample = sample_at(i)); i++)
        for (int dtype = TAPE_F32; dtype <= TAPE_F64; dtype++)
            printf("%s %s %s %016" PRIx64 "\n", sample->op, sample->label, tape_dtype_name((tape_dtype)dtype),
                   hash_of(sample, (tape_dtype)dtype));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bits");
    TCase *tests = tcase_create("bits");
    tcase_add_test(tests, print_bits);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_SILENT);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    tape_shutdown();
    return failed != 0;
}
