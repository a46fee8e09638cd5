/* pow in f32, which is tape's own, over the whole range of its base: to the bound that the library states, against the
   C library's in long double. What Annex F says of special values is in test_ewise.c. */
#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dispatch.h"
#include "kernels/any/ewise_driver.h"

/* Emulated, `long double` is software within software: fewer points then. */
enum { N = 4096, ROUNDS = TAPE__TEST_EMULATED ? 2 : 16 };
static float a[N], b[N], y[N];

static uint64_t state = 1;

static double uniform(double low, double high)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return low + (high - low) * (double)(state >> 11) * 0x1p-53;
}

static float from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void run(const struct tape__kernels *k)
{
    const int64_t size[1] = {N}, dense[1] = {1};
    const void *const x[3] = {a, b, NULL};
    const int64_t *const strides[3] = {dense, dense, NULL};
    tape__ewise_value(k, NULL, TAPE__EW_pow, TAPE_F32, 1, size, y, x, strides, NULL);
}

/* In units of the last place of an f32 there, the subnormal ones included. */
static double error(float got, long double want)
{
    if (fabsl(want) >= 0x1.ffffffp127L)
        return isinf(got) && signbit(got) == signbit(want) ? 0 : INFINITY;
    int exponent;
    frexpl(want, &exponent);
    return (double)(fabsl(got - want) / ldexpl(1, exponent < -125 ? -149 : exponent - 24));
}

static void check(const struct tape__kernels *k)
{
    run(k);
    for (int i = 0; i < N; i++) {
        const long double want = powl(a[i], b[i]);
        ck_assert_msg(error(y[i], want) <= 0.51, "%s: pow(%a, %a) is %a, off by %g", k->isa, a[i], b[i], y[i],
                      error(y[i], want));
    }
}

/* Every exponent of the base alike, and of the power from where it is 0 to where it overflows. */
START_TEST(test_range)
{
    const struct tape__kernels *k = tape__kernels_available(_i);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < N; i++) {
            a[i] = from_bits((uint32_t)uniform(1, 0x7f800000));
            b[i] = a[i] == 1 ? 1 : (float)(uniform(-152, 129) / log2(a[i]));
        }
        check(k);
    }
}
END_TEST

/* The logarithm near 1 keeps its relative precision, and so does the power of a large exponent. */
START_TEST(test_near_one)
{
    const struct tape__kernels *k = tape__kernels_available(_i);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < N; i++) {
            a[i] = (float)(1 + ldexp(uniform(-1, 1), -(int)uniform(0, 24)));
            b[i] = a[i] == 1 ? 1 : (float)(uniform(-152, 129) / log2(a[i]));
        }
        check(k);
    }
}
END_TEST

/* Exponents that programs use, and whole ones of negative numbers. */
START_TEST(test_plain_exponents)
{
    static const float exponents[] = {2, 3, 0.5f, -1, 2.5f, -0.5f, 4, 1, -2, 1.5f, 10, 1.0f / 3, 0, -3};
    enum { EXPONENTS = sizeof exponents / sizeof *exponents };
    const struct tape__kernels *k = tape__kernels_available(_i);
    for (int e = 0; e < EXPONENTS; e++) {
        const int whole = truncf(exponents[e]) == exponents[e];
        for (int i = 0; i < N; i++) {
            a[i] = (float)ldexp(uniform(1, 2), (int)uniform(-20, 20));
            a[i] = whole && i % 3 == 0 ? -a[i] : a[i];
            b[i] = exponents[e];
        }
        check(k);
    }
}
END_TEST

/* Powers that an f32 holds come out exactly. */
START_TEST(test_exact)
{
    const struct tape__kernels *k = tape__kernels_available(_i);
    for (int i = 0; i < N; i++) {
        const int p = i % 5;
        const int top = p == 0 ? 100 : p == 1 ? 4095 : p == 2 ? 255 : p == 3 ? 63 : 27;
        a[i] = (float)(1 + i % top);
        b[i] = (float)(p + 1);
    }
    for (int i = 0; i < 260; i++) {
        a[i] = 2;
        b[i] = (float)(i - 149 < 128 ? i - 149 : 127);
        a[N - 1 - i] = (float)(i * i);
        b[N - 1 - i] = 0.5f;
    }
    run(k);
    for (int i = 0; i < N; i++) {
        float want = 1;
        for (int n = 0; n < (int)fabsf(b[i]); n++)
            want = b[i] > 0 ? want * a[i] : want / a[i];
        want = b[i] == 0.5f ? (float)(N - 1 - i) : want;
        ck_assert_msg(y[i] == want, "%s: pow(%g, %g) is %a", k->isa, a[i], b[i], y[i]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("power");
    TCase *tests = tcase_create("power");
    int isas = 0;
    while (tape__kernels_available(isas))
        isas++;
    tcase_add_loop_test(tests, test_range, 0, isas);
    tcase_add_loop_test(tests, test_near_one, 0, isas);
    tcase_add_loop_test(tests, test_plain_exponents, 0, isas);
    tcase_add_loop_test(tests, test_exact, 0, isas);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
