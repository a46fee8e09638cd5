/* Knows what the elementwise driver promises of layouts, tails, in-place results, accumulation and threads, and how
   kernels are chosen; checked with formulas whose every rounding plain C does too. */
#include "dispatch.h"
#include "kernels/any/ewise_driver.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GUARD = 64, MARK = 0x5a };

static uint64_t state = 1;

static int below(int n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int)((state >> 33) % (uint64_t)n);
}

/* Memory in which a write beyond `bytes`, before or after, is seen. */
static char *guarded(size_t bytes)
{
    char *block = malloc(bytes + 2 * GUARD);
    ck_assert_ptr_nonnull(block);
    memset(block, MARK, bytes + 2 * GUARD);
    return block + GUARD;
}

static void release(char *data, size_t bytes)
{
    int wrong = 0;
    for (int i = 0; i < GUARD; i++)
        wrong += data[-1 - i] != MARK || data[bytes + (size_t)i] != MARK;
    ck_assert_int_eq(wrong, 0);
    free(data - GUARD);
}

static size_t item(int dtype)
{
    return dtype == TAPE_F32 ? sizeof(float) : sizeof(double);
}

static void put(void *to, int dtype, int64_t i, double value)
{
    if (dtype == TAPE_F32)
        ((float *)to)[i] = (float)value;
    else
        ((double *)to)[i] = value;
}

static double get(const void *from, int dtype, int64_t i)
{
    return dtype == TAPE_F32 ? (double)((const float *)from)[i] : ((const double *)from)[i];
}

static const double params[1] = {0.5};

/* x0 + x1 x2 / 2 with the roundings of the dtype. */
static double addcmul(int dtype, double a, double b, double c)
{
    if (dtype == TAPE_F64)
        return a + 0.5 * b * c;
    float product = 0.5f * (float)b * (float)c;
    return (double)((float)a + product);
}

/* A tensor of any layout inside a guarded block: strides may be 0, negative, or leave gaps. */
struct tensor {
    char *block;
    size_t bytes;
    const void *data;
    int64_t stride[TAPE_MAX_RANK];
};

static struct tensor random_tensor(size_t item_size, int rank, const int64_t *size, bool contiguous)
{
    struct tensor x = {0};
    int64_t order[TAPE_MAX_RANK], span = 1, start = 0;
    for (int d = 0; d < rank; d++) {
        int at = contiguous ? 0 : below(d + 1);
        memmove(order + at + 1, order + at, (size_t)(d - at) * sizeof *order);
        order[at] = d;
    }
    for (int i = 0; i < rank; i++) {
        int64_t d = order[i];
        bool still = !contiguous && below(4) == 0;
        x.stride[d] = still ? 0 : span;
        if (!still)
            span *= size[d];
        if (!contiguous && !still && below(3) == 0) {
            start += x.stride[d] * (size[d] - 1);
            x.stride[d] = -x.stride[d];
        }
        if (!contiguous && below(3) == 0)
            span += 1 + below(3);
    }
    x.bytes = (size_t)(span > 0 ? span : 1) * item_size;
    x.block = guarded(x.bytes);
    x.data = x.block + (size_t)(start > 0 ? start : 0) * item_size;
    return x;
}

static void fill(struct tensor *x, int dtype)
{
    for (size_t i = 0; i < x->bytes / item(dtype); i++)
        put(x->block, dtype, (int64_t)i, (below(2001) - 1000) / 256.0);
}

static int64_t offset_of(const struct tensor *x, int rank, const int64_t *size, int64_t i)
{
    int64_t offset = 0;
    for (int d = rank - 1; d >= 0; d--) {
        offset += i % size[d] * x->stride[d];
        i /= size[d];
    }
    return offset;
}

static double element(const struct tensor *x, int dtype, int rank, const int64_t *size, int64_t i)
{
    return get(x->data, dtype, offset_of(x, rank, size, i));
}

static int64_t random_shape(int *rank, int64_t *size)
{
    int64_t n = 1;
    *rank = below(TAPE_MAX_RANK + 1);
    for (int d = 0; d < *rank; d++) {
        size[d] = n < 2000 ? 1 + below(below(2) ? 4 : 40) : 1;
        n *= size[d];
    }
    return n;
}

/* Values, and derivatives stored and accumulated, for random layouts of a shape of n elements. */
static void check_case(const struct tape__kernels *k, const struct tape__parallel *p, int dtype, int rank,
                       const int64_t *size, int64_t n)
{
    struct tensor x[3], g = random_tensor(item(dtype), rank, size, below(2));
    fill(&g, dtype);
    const void *data[3];
    const int64_t *stride[3];
    for (int j = 0; j < 3; j++) {
        x[j] = random_tensor(item(dtype), rank, size, below(2));
        fill(&x[j], dtype);
        data[j] = x[j].data;
        stride[j] = x[j].stride;
    }
    const size_t bytes = (size_t)n * item(dtype);
    char *y = guarded(bytes), *gx = guarded(bytes);
    tape__ewise_value(k, p, TAPE__EW_addcmul, dtype, rank, size, y, data, stride, params);
    int wrong = 0;
    for (int64_t i = 0; i < n; i++)
        wrong +=
            get(y, dtype, i) != addcmul(dtype, element(&x[0], dtype, rank, size, i),
                                        element(&x[1], dtype, rank, size, i), element(&x[2], dtype, rank, size, i));
    for (int accumulate = 0; accumulate <= 1; accumulate++) {
        const void *read[3] = {NULL, NULL, data[2]};
        tape__ewise_derivative(k, p, TAPE__EW_addcmul, 1, dtype, rank, size, gx, accumulate, g.data, g.stride, read,
                               stride, NULL, params);
        for (int64_t i = 0; i < n; i++) {
            double once = addcmul(dtype, 0, element(&x[2], dtype, rank, size, i), element(&g, dtype, rank, size, i));
            wrong += get(gx, dtype, i) != (accumulate ? once + once : once);
        }
    }
    ck_assert_int_eq(wrong, 0);
    release(y, bytes);
    release(gx, bytes);
    release(g.block, g.bytes);
    for (int j = 0; j < 3; j++)
        release(x[j].block, x[j].bytes);
}

START_TEST(test_layouts)
{
    const struct tape__kernels *k = tape__kernels_available(_i / 2);
    for (int i = 0; i < 200; i++) {
        int64_t size[TAPE_MAX_RANK];
        int rank;
        const int64_t n = random_shape(&rank, size);
        check_case(k, NULL, _i % 2, rank, size, n);
    }
}
END_TEST

static void backwards(void *user, int64_t n, tape_body *body, void *arg)
{
    *(int64_t *)user += n;
    while (n-- > 0)
        body(arg, n);
}

/* Two axes that are long enough for tiles, and mostly a third before, between or behind them. */
START_TEST(test_turned)
{
    const struct tape__kernels *k = tape__kernels_available(_i / 2);
    int64_t iterations = 0;
    const struct tape__parallel p = {backwards, &iterations};
    for (int i = 0; i < 40; i++) {
        int64_t size[3] = {64 + below(100), 64 + below(100), 64 + below(100)};
        size[i % 3] = i % 8 == 1 ? 32 : 1 + below(4);
        check_case(k, i % 8 == 1 ? &p : NULL, _i % 2, 3, size, size[0] * size[1] * size[2]);
    }
    ck_assert_int_gt(iterations, 0);
}
END_TEST

/* So large that the result goes past the caches where its rows are whole lines; stored, and compared. */
START_TEST(test_turned_past_cache)
{
    const int64_t rows = 1032, columns = 1024 + 3 * _i, n = rows * columns;
    const int64_t size[2] = {rows, columns}, turned[2] = {1, rows}, whole[2] = {columns, 1};
    double *x = malloc((size_t)n * sizeof *x), *a = malloc((size_t)n * sizeof *a);
    double *y = aligned_alloc(64, (size_t)n * sizeof *y);
    unsigned char *mask = malloc((size_t)n);
    ck_assert(x && a && y && mask);
    for (int64_t i = 0; i < n; i++) {
        x[i] = below(2001) - 1000;
        a[i] = below(2001) - 1000;
    }
    tape__ewise_value(tape__kernels(), NULL, TAPE__EW_sub, TAPE_F64, 2, size, y, (const void *const[]){a, x},
                      (const int64_t *const[]){whole, turned}, NULL);
    tape__ewise_mask(tape__kernels(), NULL, TAPE__EWM_lt, TAPE_F64, 2, size, mask, (const void *const[]){x, a},
                     (const int64_t *const[]){turned, whole});
    int64_t wrong = 0;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) {
            const double d = a[i * columns + j] - x[j * rows + i];
            wrong += y[i * columns + j] != d || mask[i * columns + j] != (d > 0);
        }
    ck_assert_int_eq(wrong, 0);
    free(x);
    free(a);
    free(y);
    free(mask);
}
END_TEST

static const int64_t dense[1] = {1};
static const int64_t *const dense_strides[3] = {dense, dense, dense};

/* Every length of the first units, for value, derivative and mask, at the very end of an allocation. */
START_TEST(test_lengths)
{
    const struct tape__kernels *k = tape__kernels_available(_i / 2);
    const int dtype = _i % 2;
    for (int64_t n = 0; n <= 40; n++) {
        const size_t bytes = (size_t)n * item(dtype);
        char *x[3], *y = guarded(bytes), *gx = guarded(bytes), *mask = guarded((size_t)n);
        for (int j = 0; j < 3; j++) {
            x[j] = guarded(bytes);
            for (int64_t i = 0; i < n; i++)
                put(x[j], dtype, i, (below(2001) - 1000) / 256.0);
        }
        const void *data[3] = {x[0], x[1], x[2]};
        tape__ewise_value(k, NULL, TAPE__EW_addcmul, dtype, 1, &n, y, data, dense_strides, params);
        tape__ewise_derivative(k, NULL, TAPE__EW_mul, 0, dtype, 1, &n, gx, false, x[2], dense, data, dense_strides, y,
                               NULL);
        tape__ewise_mask(k, NULL, TAPE__EWM_lt, dtype, 1, &n, (unsigned char *)mask, data, dense_strides);
        int wrong = 0;
        for (int64_t i = 0; i < n; i++) {
            double a = get(x[0], dtype, i), b = get(x[1], dtype, i), c = get(x[2], dtype, i);
            wrong += get(y, dtype, i) != addcmul(dtype, a, b, c) || get(gx, dtype, i) != addcmul(dtype, 0, 2 * b, c) ||
                     mask[i] != (a < b);
        }
        ck_assert_int_eq(wrong, 0);
        for (int j = 0; j < 3; j++)
            release(x[j], bytes);
        release(y, bytes);
        release(gx, bytes);
        release(mask, (size_t)n);
    }
}
END_TEST

START_TEST(test_in_place)
{
    const struct tape__kernels *k = tape__kernels_available(_i);
    enum { N = 777 };
    for (int target = 0; target < 3; target++) {
        float x[3][N], want[N];
        for (int i = 0; i < N; i++) {
            for (int j = 0; j < 3; j++)
                x[j][i] = (float)(below(2001) - 1000) / 256;
            want[i] = (float)addcmul(TAPE_F32, (double)x[0][i], (double)x[1][i], (double)x[2][i]);
        }
        const int64_t n = N;
        const void *data[3] = {x[0], x[1], x[2]};
        tape__ewise_value(k, NULL, TAPE__EW_addcmul, TAPE_F32, 1, &n, x[target], data, dense_strides, params);
        ck_assert_mem_eq(x[target], want, sizeof want);
        for (int i = 0; i < N; i++)
            want[i] = (float)addcmul(TAPE_F32, 0, (double)x[2][i], (double)x[0][i]);
        tape__ewise_derivative(k, NULL, TAPE__EW_addcmul, 1, TAPE_F32, 1, &n, x[0], false, x[0], dense, data,
                               dense_strides, NULL, params);
        ck_assert_mem_eq(x[0], want, sizeof want);
    }
}
END_TEST

/* Comparisons take every dtype; i64 beyond what a double holds, too. */
START_TEST(test_masks)
{
    const struct tape__kernels *k = tape__kernels_available(_i);
    static const int64_t a[5] = {INT64_MIN, -1, 0, (1LL << 53) + 1, INT64_MAX},
                         b[5] = {-1, -1, 7, 1LL << 53, INT64_MAX};
    static const int32_t narrow[5] = {INT32_MIN, -1, 0, 1, INT32_MAX};
    static const unsigned char truth[5] = {0, 1, 255, 0, 2};
    static const float real[5] = {0, NAN, -INFINITY, 1, -0.0f};
    const int64_t n = 5, still[1] = {0};
    const int64_t *const scalar[2] = {dense, still};
    static const struct {
        int ewm, dtype;
        const void *x[2];
        bool scalar;
        unsigned char want[5];
    } cases[] = {
        {TAPE__EWM_lt, TAPE_I64, {a, b}, false, {1, 0, 1, 0, 0}},
        {TAPE__EWM_gt, TAPE_I64, {a, b}, false, {0, 0, 0, 1, 0}},
        {TAPE__EWM_eq, TAPE_I64, {a, b}, false, {0, 1, 0, 0, 1}},
        {TAPE__EWM_ne, TAPE_I64, {a, b}, false, {1, 0, 1, 1, 0}},
        {TAPE__EWM_ge, TAPE_I64, {a, b}, false, {0, 1, 0, 1, 1}},
        {TAPE__EWM_le, TAPE_I32, {narrow, narrow + 1}, true, {1, 1, 0, 0, 0}},
        {TAPE__EWM_isfinite, TAPE_I32, {narrow}, false, {1, 1, 1, 1, 1}},
        {TAPE__EWM_isnan, TAPE_I64, {a}, false, {0, 0, 0, 0, 0}},
        {TAPE__EWM_logical_not, TAPE_U8, {truth}, false, {1, 0, 0, 1, 0}},
        {TAPE__EWM_logical_and, TAPE_U8, {truth, truth + 2}, true, {0, 1, 1, 0, 1}},
        {TAPE__EWM_logical_or, TAPE_U8, {truth, truth + 3}, true, {0, 1, 1, 0, 1}},
        {TAPE__EWM_isnan, TAPE_F32, {real}, false, {0, 1, 0, 0, 0}},
        {TAPE__EWM_isfinite, TAPE_F32, {real}, false, {1, 0, 0, 1, 1}},
        {TAPE__EWM_logical_not, TAPE_F32, {real}, false, {1, 0, 0, 0, 1}},
        {TAPE__EWM_eq, TAPE_F32, {real, real}, false, {1, 0, 1, 1, 1}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        unsigned char mask[5];
        tape__ewise_mask(k, NULL, cases[c].ewm, cases[c].dtype, 1, &n, mask, cases[c].x,
                         cases[c].scalar ? scalar : dense_strides);
        ck_assert_msg(memcmp(mask, cases[c].want, sizeof mask) == 0, "case %zu", c);
    }
}
END_TEST

/* The condition is u8 in any layout, and all that is not 0 is true. */
START_TEST(test_where)
{
    const struct tape__kernels *k = tape__kernels_available(_i / 2);
    const int dtype = _i % 2;
    for (int n = 0; n < 100; n++) {
        int64_t size[TAPE_MAX_RANK];
        int rank;
        const int64_t count = random_shape(&rank, size);
        struct tensor c = random_tensor(1, rank, size, below(2)), a = random_tensor(item(dtype), rank, size, below(2));
        fill(&a, dtype);
        for (size_t i = 0; i < c.bytes; i++)
            c.block[i] = (char)(below(2) * (1 + below(255)));
        const size_t bytes = (size_t)count * item(dtype);
        char *y = guarded(bytes), *gx = guarded(bytes), seven[sizeof(double)];
        put(seven, dtype, 0, 7);
        const int64_t still[TAPE_MAX_RANK] = {0};
        const void *data[3] = {c.data, a.data, seven};
        const int64_t *stride[3] = {c.stride, a.stride, still};
        tape__ewise_value(k, NULL, TAPE__EW_where, dtype, rank, size, y, data, stride, NULL);
        data[1] = data[2] = NULL;
        tape__ewise_derivative(k, NULL, TAPE__EW_where, 2, dtype, rank, size, gx, false, seven, still, data, stride,
                               NULL, NULL);
        int wrong = 0;
        for (int64_t i = 0; i < count; i++) {
            bool taken = ((const char *)c.data)[offset_of(&c, rank, size, i)] != 0;
            wrong += get(y, dtype, i) != (taken ? element(&a, dtype, rank, size, i) : 7) ||
                     get(gx, dtype, i) != (taken ? 0 : 7);
        }
        ck_assert_int_eq(wrong, 0);
        release(y, bytes);
        release(gx, bytes);
        release(a.block, a.bytes);
        release(c.block, c.bytes);
    }
}
END_TEST

START_TEST(test_parallel)
{
    enum { ROWS = 401, COLUMNS = 333, N = ROWS * COLUMNS };
    static float x[N], row[COLUMNS], serial[N], parallel[N];
    for (int i = 0; i < N; i++)
        x[i] = (float)(below(2001) - 1000) / 256;
    for (int i = 0; i < COLUMNS; i++)
        row[i] = (float)(below(2001) - 1000) / 256;
    int64_t iterations = 0;
    const struct tape__parallel p = {backwards, &iterations};
    const int64_t size[2] = {ROWS, COLUMNS}, whole[2] = {COLUMNS, 1}, broadcast[2] = {0, 1};
    const void *data[2] = {x, row};
    const int64_t *stride[2] = {whole, broadcast};
    tape__ewise_value(tape__kernels(), NULL, TAPE__EW_pow, TAPE_F32, 2, size, serial, data, stride, NULL);
    tape__ewise_value(tape__kernels(), &p, TAPE__EW_pow, TAPE_F32, 2, size, parallel, data, stride, NULL);
    ck_assert_int_gt(iterations, 1);
    ck_assert_mem_eq(serial, parallel, sizeof serial);
}
END_TEST

/* Runs in a process of its own, since the choice is made once. */
static int chosen(const char *isa, const char *expected, bool note)
{
    pid_t child = fork();
    if (child == 0) {
        if (isa)
            setenv("TAPE_ISA", isa, 1);
        else
            unsetenv("TAPE_ISA");
        bool right = !expected || strcmp(tape__kernels()->isa, expected) == 0;
        _exit(right && (tape__dispatch_note() != NULL) == note ? 0 : 1);
    }
    int status = -1;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return status;
}

START_TEST(test_dispatch)
{
    ck_assert_int_eq(chosen(NULL, NULL, false), 0);
    ck_assert_int_eq(chosen("", NULL, false), 0);
    ck_assert_int_eq(chosen("abacus", NULL, true), 0);
    for (int i = 0; tape__kernels_available(i); i++)
        ck_assert_int_eq(chosen(tape__kernels_available(i)->isa, tape__kernels_available(i)->isa, false), 0);
    for (int i = 0; tape__kernels_available(i); i++)
        if (strcmp(tape__kernels_available(i)->isa, "avx512") != 0) {
            ck_assert_int_eq(chosen(NULL, tape__kernels_available(i)->isa, false), 0);
            break;
        }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ewise_driver");
    TCase *tests = tcase_create("ewise_driver");
    int isas = 0;
    while (tape__kernels_available(isas))
        isas++;
    tcase_add_test(tests, test_dispatch);
    tcase_add_loop_test(tests, test_layouts, 0, 2 * isas);
    tcase_add_loop_test(tests, test_turned, 0, 2 * isas);
    tcase_add_loop_test(tests, test_turned_past_cache, 0, 2);
    tcase_add_loop_test(tests, test_lengths, 0, 2 * isas);
    tcase_add_loop_test(tests, test_in_place, 0, isas);
    tcase_add_loop_test(tests, test_masks, 0, isas);
    tcase_add_loop_test(tests, test_where, 0, 2 * isas);
    tcase_add_test(tests, test_parallel);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
