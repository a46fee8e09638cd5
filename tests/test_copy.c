/* Knows what copies and casts between layouts promise, against one loop over all indices. */
#include "kernels/any/cast.h"
#include "kernels/any/copy.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct sample {
    int rank;
    int64_t size[8];
    int order[8]; /* x's axes from the outermost in memory */
};

static const struct sample samples[] = {
    {0, {0}, {0}},
    {1, {1}, {0}},
    {1, {40000}, {0}},
    {2, {3, 5}, {0, 1}},
    {2, {5, 3}, {1, 0}},
    {2, {130, 200}, {1, 0}},
    {2, {1025, 67}, {1, 0}},
    {3, {4, 70, 33}, {0, 2, 1}},
    {3, {33, 4, 70}, {2, 0, 1}},
    {3, {9, 8, 7}, {1, 2, 0}},
    {4, {2, 3, 4, 5}, {3, 2, 1, 0}},
    {5, {3, 1, 4, 1, 5}, {2, 0, 1, 4, 3}},
    {8, {2, 1, 3, 2, 1, 2, 2, 3}, {7, 0, 6, 1, 5, 2, 4, 3}},
    {3, {4, 0, 3}, {0, 1, 2}},
};
enum { SAMPLES = sizeof samples / sizeof *samples };

enum { ROOM = 1 << 19 };
static unsigned char x[ROOM * 8], y[ROOM * 8], expected[ROOM * 8];

/* How the strides of x differ from a permuted contiguous array. */
enum { PLAIN, GAPS, BACKWARDS, BROADCAST, VARIANTS };

static int64_t make_strides(const struct sample *s, int variant, int64_t *stride)
{
    int64_t product = 1, origin = 0;
    for (int k = s->rank - 1; k >= 0; k--) {
        int axis = s->order[k];
        stride[axis] = product;
        product *= s->size[axis] + (variant == GAPS);
        if (variant == BACKWARDS) {
            origin += s->size[axis] > 0 ? (s->size[axis] - 1) * stride[axis] : 0;
            stride[axis] = -stride[axis];
        }
        if (variant == BROADCAST && axis % 2 == 0)
            stride[axis] = 0;
    }
    return origin;
}

static int64_t count(const struct sample *s)
{
    int64_t n = 1;
    for (int k = 0; k < s->rank; k++)
        n *= s->size[k];
    return n;
}

/* The offset of element i of the row-major order. */
static int64_t offset(const struct sample *s, const int64_t *stride, int64_t i)
{
    int64_t at = 0;
    for (int k = s->rank - 1; k >= 0; k--) {
        at += i % s->size[k] * stride[k];
        i /= s->size[k];
    }
    return at;
}

START_TEST(test_copy)
{
    const size_t sizes[] = {1, 4, 8};
    size_t item = sizes[_i % 3];
    int variant = _i / 3;
    for (size_t k = 0; k < sizeof x; k++)
        x[k] = (unsigned char)(k * 2654435761u >> 13);
    for (int s = 0; s < SAMPLES; s++) {
        int64_t xs[8] = {0}, ys[8] = {0}, n = count(&samples[s]);
        int64_t origin = make_strides(&samples[s], variant, xs);
        const unsigned char *from = x + origin * (int64_t)item;
        memset(y, 0xee, sizeof y);
        memset(expected, 0xee, sizeof expected);
        for (int64_t i = 0; i < n; i++)
            memcpy(expected + i * (int64_t)item, from + offset(&samples[s], xs, i) * (int64_t)item, item);
        tape__copy(tape__pool(), item, samples[s].rank, samples[s].size, from, xs, y, NULL);
        ck_assert_msg(!memcmp(y, expected, sizeof y), "gather, sample %d", s);

        if (variant == BROADCAST)
            continue;
        memset(y, 0xee, sizeof y);
        memset(expected, 0xee, sizeof expected);
        int64_t dense[8] = {0}, product = 1;
        for (int k = samples[s].rank - 1; k >= 0; k--) {
            dense[k] = product;
            product *= samples[s].size[k];
        }
        origin = make_strides(&samples[s], variant, ys);
        for (int64_t i = 0; i < n; i++)
            memcpy(expected + (origin + offset(&samples[s], ys, i)) * (int64_t)item, x + i * (int64_t)item, item);
        tape__copy(tape__pool(), item, samples[s].rank, samples[s].size, x, dense, y + origin * (int64_t)item, ys);
        ck_assert_msg(!memcmp(y, expected, sizeof y), "scatter, sample %d", s);
    }
}
END_TEST

/* Rows of one element, repeated, that are too large for a cache, on any boundary; nothing beside them is written. */
START_TEST(test_large_fill)
{
    const size_t items[] = {1, 4, 8}, item = items[_i % 3], shift = item * ((size_t)_i / 3 * 3), edge = 64;
    const int64_t n = (8 << 20) / (int64_t)item + 5, size[2] = {2, n}, stride[2] = {1, 0};
    const size_t row = (size_t)n * item, bytes = 2 * row;
    unsigned char *to = aligned_alloc(64, (2 * edge + bytes + shift + 63) / 64 * 64), *begin = to + edge + shift;
    ck_assert_ptr_nonnull(to);
    memset(to, 0xee, 2 * edge + bytes + shift);
    const unsigned char from[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    tape__copy(tape__pool(), item, 2, size, from, stride, begin, NULL);
    size_t wrong = 0;
    for (size_t k = 0; k < bytes; k++)
        wrong += begin[k] != from[k / row * item + k % row % item];
    for (size_t k = 0; k < edge; k++)
        wrong += (size_t)(begin[-1 - (ptrdiff_t)k] != 0xee) + (size_t)(begin[bytes + k] != 0xee);
    ck_assert_uint_eq(wrong, 0);
    free(to);
}
END_TEST

static double number(tape_dtype dtype, const void *a, int64_t i)
{
    switch (dtype) {
    case TAPE_F32:
        return (double)((const float *)a)[i];
    case TAPE_F64:
        return ((const double *)a)[i];
    case TAPE_I32:
        return ((const int32_t *)a)[i];
    case TAPE_I64:
        return (double)((const int64_t *)a)[i];
    default:
        return ((const uint8_t *)a)[i];
    }
}

static void set_number(tape_dtype dtype, void *a, int64_t i, int value)
{
    switch (dtype) {
    case TAPE_F32:
        ((float *)a)[i] = (float)value;
        break;
    case TAPE_F64:
        ((double *)a)[i] = value;
        break;
    case TAPE_I32:
        ((int32_t *)a)[i] = value;
        break;
    case TAPE_I64:
        ((int64_t *)a)[i] = value;
        break;
    default:
        ((uint8_t *)a)[i] = (uint8_t)value;
    }
}

/* Values that every dtype holds, in every layout and between all pairs. */
START_TEST(test_cast_layouts)
{
    tape_dtype from = (tape_dtype)(_i % 5), to = (tape_dtype)(_i / 5);
    for (int64_t k = 0; k < ROOM; k++)
        set_number(from, x, k, (int)(k * 7919 % 251));
    for (int variant = 0; variant < VARIANTS; variant++)
        for (int s = 0; s < SAMPLES; s++) {
            int64_t xs[8] = {0}, n = count(&samples[s]), origin = make_strides(&samples[s], variant, xs);
            const int64_t item[] = {4, 8, 4, 8, 1};
            tape__cast(tape__pool(), samples[s].rank, samples[s].size, from, x + origin * item[from], xs, to, y);
            int64_t wrong = 0;
            for (int64_t i = 0; i < n; i++)
                wrong += number(to, y, i) != number(from, x, origin + offset(&samples[s], xs, i));
            ck_assert_int_eq(wrong, 0);
        }
}
END_TEST

static void cast_row(tape_dtype from, const void *a, tape_dtype to, void *b, int64_t n)
{
    const int64_t stride = 1;
    tape__cast(NULL, 1, &n, from, a, &stride, to, b);
}

START_TEST(test_cast_floats_to_integers)
{
    const double a[] = {(double)NAN,
                        (double)INFINITY,
                        -(double)INFINITY,
                        1e300,
                        -1e300,
                        2.9,
                        -2.9,
                        0.5,
                        -0.5,
                        255.9,
                        256,
                        -1,
                        2147483647.0,
                        2147483648.0,
                        -2147483648.0,
                        -2147483649.0,
                        9223372036854774784.0,
                        9223372036854775808.0,
                        -9223372036854775808.0,
                        -0.0};
    const int64_t i64[] = {
        0,         INT64_MAX,  INT64_MIN, INT64_MAX,   INT64_MIN,           2,         -2,        0, 0, 255, 256, -1,
        INT32_MAX, 2147483648, INT32_MIN, -2147483649, 9223372036854774784, INT64_MAX, INT64_MIN, 0};
    enum { N = sizeof a / sizeof *a };
    int64_t got64[N];
    int32_t got32[N];
    uint8_t got8[N];
    cast_row(TAPE_F64, a, TAPE_I64, got64, N);
    cast_row(TAPE_F64, a, TAPE_I32, got32, N);
    cast_row(TAPE_F64, a, TAPE_U8, got8, N);
    for (int k = 0; k < N; k++) {
        int64_t v = i64[k];
        ck_assert_int_eq(got64[k], v);
        ck_assert_int_eq(got32[k], v > INT32_MAX ? INT32_MAX : v < INT32_MIN ? INT32_MIN : v);
        ck_assert_int_eq(got8[k], v > 255 ? 255 : v < 0 ? 0 : v);
    }
    const float f[] = {NAN, INFINITY, -INFINITY, 3e38f, 2147483648.0f, 2147483520.0f, -2147483648.0f, -7.5f};
    const int32_t i32[] = {0, INT32_MAX, INT32_MIN, INT32_MAX, INT32_MAX, 2147483520, INT32_MIN, -7};
    cast_row(TAPE_F32, f, TAPE_I32, got32, 8);
    ck_assert_mem_eq(got32, i32, sizeof i32);
}
END_TEST

START_TEST(test_cast_narrowing)
{
    const int64_t a[] = {256, -1, 4294967296, 4294967297, 2147483648, INT64_MIN};
    const int32_t i32[] = {256, -1, 0, 1, INT32_MIN, 0};
    const uint8_t u8[] = {0, 255, 0, 1, 0, 0};
    int32_t got32[6];
    uint8_t got8[6];
    cast_row(TAPE_I64, a, TAPE_I32, got32, 6);
    cast_row(TAPE_I64, a, TAPE_U8, got8, 6);
    ck_assert_mem_eq(got32, i32, sizeof i32);
    ck_assert_mem_eq(got8, u8, sizeof u8);
    const double d[] = {1e300, -1e300, 0.1, 1e-300, 16777217};
    float f[5];
    cast_row(TAPE_F64, d, TAPE_F32, f, 5);
    ck_assert(isinf(f[0]) && f[0] > 0 && isinf(f[1]) && f[1] < 0);
    ck_assert(f[2] == 0.1f && f[3] == 0 && f[4] == 16777216);
}
END_TEST

static void start_pool(void)
{
    ck_assert_int_eq(tape__pool_start(3), 0);
}

static void stop_pool(void)
{
    ck_assert_int_eq(tape__pool_stop(), 0);
}

int main(void)
{
    Suite *suite = suite_create("copy");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 60);
    tcase_add_checked_fixture(all, start_pool, stop_pool);
    tcase_add_loop_test(all, test_copy, 0, 3 * VARIANTS);
    tcase_add_loop_test(all, test_large_fill, 0, 6);
    tcase_add_loop_test(all, test_cast_layouts, 0, 25);
    tcase_add_test(all, test_cast_floats_to_integers);
    tcase_add_test(all, test_cast_narrowing);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
