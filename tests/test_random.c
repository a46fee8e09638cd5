/* Knows what the random draws promise: published words of the generator, the maths of the normal numbers, the shape of
   each distribution, and that threads and lengths change nothing. */
#include "kernels/any/random.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const tape__random_key key = {2026, 7};

/* The known-answer vectors that Random123 publishes for philox4x32 with 10 rounds. */
START_TEST(test_known_answers)
{
    static const uint32_t vectors[3][10] = {{0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
                                            {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff,
                                             0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
                                            {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0,
                                             0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}};
    for (int v = 0; v < 3; v++) {
        uint32_t out[4];
        tape__philox(vectors[v], vectors[v] + 4, out);
        ck_assert_mem_eq(out, vectors[v] + 6, sizeof out);
    }
}
END_TEST

/* Word i of the stream that draws use, one block at a time. */
static uint32_t word_at(int64_t i)
{
    uint64_t block = (uint64_t)i / 4;
    const uint32_t c[4] = {(uint32_t)block, (uint32_t)(block >> 32), (uint32_t)key.counter,
                           (uint32_t)(key.counter >> 32)};
    const uint32_t k[2] = {(uint32_t)key.seed, (uint32_t)(key.seed >> 32)};
    uint32_t out[4];
    tape__philox(c, k, out);
    return out[i % 4];
}

enum { N = 40007 };
static float f32[N], f32_other[N];
static double f64[N], f64_other[N];

/* Of the relative frequency of an event with this probability, in N trials. */
static double five_sigma(double probability)
{
    return 5 * sqrt(probability * (1 - probability) / N) + 1e-9;
}

START_TEST(test_uniform)
{
    tape__fill_uniform(NULL, key, TAPE_F32, N, f32);
    tape__fill_uniform(NULL, key, TAPE_F64, N, f64);
    double mean = 0, square = 0;
    int wrong = 0;
    for (int64_t i = 0; i < N; i++) {
        wrong += f32[i] != (float)(word_at(i) / 256) / 16777216.0f;
        uint64_t both = (uint64_t)word_at(2 * i + 1) << 32 | word_at(2 * i);
        wrong += f64[i] != (double)(both / 2048) / 9007199254740992.0;
        mean += f64[i] / N;
        square += f64[i] * f64[i] / N;
    }
    ck_assert_int_eq(wrong, 0);
    ck_assert_double_eq_tol(mean, 0.5, 5 * sqrt(1.0 / 12 / N));
    ck_assert_double_eq_tol(square, 1.0 / 3, 5 * sqrt(4.0 / 45 / N));
}
END_TEST

static long double exact_normal(long double u, long double v, int64_t i)
{
    long double turn = 2 * acosl(-1.0L) * v;
    return sqrtl(-2 * logl(u)) * (i % 2 ? sinl(turn) : cosl(turn));
}

START_TEST(test_normal_is_box_muller)
{
    tape__fill_normal(NULL, key, TAPE_F32, N, f32);
    tape__fill_normal(NULL, key, TAPE_F64, N, f64);
    double worst_f32 = 0, worst_f64 = 0;
    for (int64_t i = 0; i < N; i++) {
        int64_t pair = i - i % 2;
        long double u = (word_at(pair) + 1.0L) / 4294967296.0L, v = word_at(pair + 1) / 4294967296.0L;
        worst_f32 = fmax(worst_f32, (double)fabsl(f32[i] - exact_normal(u, v, i)));
        uint64_t a = (uint64_t)word_at(2 * pair + 1) << 32 | word_at(2 * pair);
        uint64_t b = (uint64_t)word_at(2 * pair + 3) << 32 | word_at(2 * pair + 2);
        u = (a / 2048 + 1.0L) / 9007199254740992.0L;
        v = (b / 2048) / 9007199254740992.0L;
        worst_f64 = fmax(worst_f64, (double)fabsl(f64[i] - exact_normal(u, v, i)));
    }
    ck_assert_double_le(worst_f32, 4e-7);
    ck_assert_double_le(worst_f64, 4e-15);
}
END_TEST

START_TEST(test_normal_distribution)
{
    tape__fill_normal(NULL, key, TAPE_F32, N, f32);
    double moment[5] = {0};
    int below[5] = {0};
    for (int64_t i = 0; i < N; i++) {
        for (int k = 1; k <= 4; k++)
            moment[k] += pow(f32[i], k) / N;
        for (int k = 0; k < 5; k++)
            below[k] += f32[i] < (float)(k - 2);
    }
    const double expected[5] = {1, 0, 1, 0, 3}, variance[5] = {0, 1, 2, 15, 96};
    for (int k = 1; k <= 4; k++)
        ck_assert_double_eq_tol(moment[k], expected[k], 5 * sqrt(variance[k] / N));
    for (int k = 0; k < 5; k++) {
        double share = erfc(-(k - 2) / sqrt(2)) / 2;
        ck_assert_double_eq_tol((double)below[k] / N, share, five_sigma(share));
    }
}
END_TEST

START_TEST(test_bernoulli)
{
    const double probabilities[] = {0, 0.1, 0.5, 0.9, 1, -1, 2, (double)NAN};
    for (size_t k = 0; k < sizeof probabilities / sizeof *probabilities; k++) {
        double p = probabilities[k], share = p > 0 ? fmin(p, 1) : 0;
        tape__fill_bernoulli(NULL, key, TAPE_F32, N, p, 1.25, f32);
        tape__fill_bernoulli(NULL, key, TAPE_F64, N, p, 1.25, f64);
        int hits = 0, wrong = 0;
        for (int64_t i = 0; i < N; i++) {
            wrong += f32[i] != (word_at(i) / 4294967296.0 < share ? 1.25f : 0);
            wrong += f64[i] != f32[i];
            hits += f32[i] != 0;
        }
        ck_assert_int_eq(wrong, 0);
        ck_assert_double_eq_tol((double)hits / N, share, five_sigma(share));
    }
}
END_TEST

static void fill(const struct tape__parallel *p, int kind, tape_dtype dtype, int64_t n, void *y)
{
    if (kind == 0)
        tape__fill_uniform(p, key, dtype, n, y);
    else if (kind == 1)
        tape__fill_normal(p, key, dtype, n, y);
    else
        tape__fill_bernoulli(p, key, dtype, n, 0.3, 2, y);
}

START_TEST(test_threads_and_lengths_change_nothing)
{
    const int64_t lengths[] = {0, 1, 2, 31, 32, 33, 63, 64, 65, 16384, 16385, N};
    for (int threads = 1; threads <= 5; threads += 2) {
        ck_assert_int_eq(tape__pool_start(threads), 0);
        for (int kind = 0; kind < 3; kind++) {
            fill(NULL, kind, TAPE_F32, N, f32);
            fill(NULL, kind, TAPE_F64, N, f64);
            for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
                int64_t n = lengths[k];
                memset(f32_other, 0xee, sizeof f32_other);
                memset(f64_other, 0xee, sizeof f64_other);
                float guard = f32_other[0];
                fill(tape__pool(), kind, TAPE_F32, n, f32_other);
                fill(tape__pool(), kind, TAPE_F64, n, f64_other);
                ck_assert(!memcmp(f32, f32_other, (size_t)n * sizeof *f32));
                ck_assert(!memcmp(f64, f64_other, (size_t)n * sizeof *f64));
                ck_assert(n == N || !memcmp(&f32_other[n], &guard, sizeof guard));
            }
        }
    }
    ck_assert_int_eq(tape__pool_stop(), 0);
}
END_TEST

START_TEST(test_keys_are_independent)
{
    const tape__random_key keys[] = {{2026, 8}, {2027, 7}, {2026 + ((uint64_t)1 << 32), 7}, {7, 2026}};
    tape__fill_uniform(NULL, key, TAPE_F64, N, f64);
    for (int k = 0; k < 4; k++) {
        tape__fill_uniform(NULL, keys[k], TAPE_F64, N, f64_other);
        double product = 0;
        for (int64_t i = 0; i < N; i++)
            product += 12 * (f64[i] - 0.5) * (f64_other[i] - 0.5) / N;
        ck_assert_double_eq_tol(product, 0, 5 / sqrt(N));
    }
}
END_TEST

START_TEST(test_integers_below)
{
    const int64_t bounds[] = {1, 2, 3, 10};
    for (int k = 0; k < 4; k++) {
        int64_t bound = bounds[k];
        int count[10] = {0};
        for (int64_t i = 0; i < N; i++) {
            int64_t x = tape__random_below(key, i, bound);
            if (x < 0 || x >= bound)
                ck_abort_msg("out of range");
            count[x]++;
        }
        double share = 1.0 / (double)bound;
        for (int64_t x = 0; x < bound; x++)
            ck_assert_double_eq_tol((double)count[x] / N, share, five_sigma(share));
    }
}
END_TEST

/* With bound = 3 * 2^61, taking the word modulo the bound would give the first third twice as often as the others, and
   every fourth word is thrown away, so attempts beyond a block occur. */
START_TEST(test_huge_bound_is_unbiased)
{
    const int64_t third = (int64_t)1 << 61;
    int count[3] = {0};
    for (int64_t i = 0; i < N; i++) {
        int64_t x = tape__random_below(key, i, 3 * third);
        if (x < 0 || x >= 3 * third)
            ck_abort_msg("out of range");
        count[x / third]++;
    }
    for (int k = 0; k < 3; k++)
        ck_assert_double_eq_tol((double)count[k] / N, 1.0 / 3, 5 * sqrt(2.0 / 9 / N));
}
END_TEST

START_TEST(test_shuffle)
{
    int seen[24] = {0};
    for (uint64_t draw = 0; draw < 24000; draw++) {
        int64_t y[4] = {0, 1, 2, 3};
        tape__shuffle((tape__random_key){5, draw}, 4, y);
        if ((1 << y[0] | 1 << y[1] | 1 << y[2] | 1 << y[3]) != 15)
            ck_abort_msg("not a permutation");
        int64_t rank = y[0] * 6 + (y[1] - (y[1] > y[0])) * 2 + (y[2] > y[3]);
        seen[rank]++;
    }
    for (int k = 0; k < 24; k++)
        ck_assert_double_eq_tol(seen[k], 1000, 5 * sqrt(1000));
    int64_t one = 42;
    tape__shuffle(key, 0, NULL);
    tape__shuffle(key, 1, &one);
    ck_assert_int_eq(one, 42);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("random");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 60);
    tcase_add_test(all, test_known_answers);
    tcase_add_test(all, test_uniform);
    tcase_add_test(all, test_normal_is_box_muller);
    tcase_add_test(all, test_normal_distribution);
    tcase_add_test(all, test_bernoulli);
    tcase_add_test(all, test_threads_and_lengths_change_nothing);
    tcase_add_test(all, test_keys_are_independent);
    tcase_add_test(all, test_integers_below);
    tcase_add_test(all, test_huge_bound_is_unbiased);
    tcase_add_test(all, test_shuffle);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
