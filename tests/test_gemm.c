/* Knows what the matrix product promises: values, the exact order of every sum, and what it may touch. */
#define _GNU_SOURCE /* RTLD_DEFAULT */
#include "dispatch.h"
#include "kernels/any/gemm_driver.h"
#include "tape/tape.h"

#include <check.h>
#include <dlfcn.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- numbers -------------------------------------------------------------------------------------------------------
 */

static uint64_t state = 1;

static int64_t draw(int64_t n)
{
    state = state * 6364136222566793005U + 1442695040888963407U;
    return (int64_t)(state >> 33) % n;
}

static double draw_value(void)
{
    return (double)(draw(1 << 24) - (1 << 23)) * 0x1p-23;
}

static double get(tape_dtype dtype, const void *data, int64_t i)
{
    return dtype == TAPE_F32 ? (double)((const float *)data)[i] : ((const double *)data)[i];
}

static void put(tape_dtype dtype, void *data, int64_t i, double x)
{
    if (dtype == TAPE_F32)
        ((float *)data)[i] = (float)x;
    else
        ((double *)data)[i] = x;
}

/* ---- operands ------------------------------------------------------------------------------------------------------
 */

enum layout { DENSE, PADDED, TRANSPOSED, TRANSPOSED_PADDED, SPARSE, REVERSED, REPEATED, LAYOUTS };

/* Memory that holds an operand and nothing more, so that AddressSanitizer sees every step outside. */
struct matrix {
    tape_dtype dtype;
    int64_t numel, origin;
    void *memory;
    tape__gemm_operand x;
};

static void set_strides(tape__gemm_operand *x, enum layout layout, int64_t rows, int64_t cols)
{
    switch (layout) {
    case DENSE:
    case REVERSED:
    case LAYOUTS:
        x->row = cols, x->col = 1;
        break;
    case PADDED:
        x->row = cols + 3, x->col = 1;
        break;
    case TRANSPOSED:
        x->row = 1, x->col = rows;
        break;
    case TRANSPOSED_PADDED:
        x->row = 1, x->col = rows + 5;
        break;
    case SPARSE:
        x->row = 2 * cols + 1, x->col = 2;
        break;
    case REPEATED:
        x->row = 0, x->col = 1;
        break;
    }
    if (layout == REVERSED)
        x->row = -x->row, x->col = -1;
}

static void make(struct matrix *a, tape_dtype dtype, enum layout layout, int64_t rows, int64_t cols,
                 const int64_t *batch, int stretched)
{
    *a = (struct matrix){.dtype = dtype};
    set_strides(&a->x, layout, rows, cols);
    int64_t size[4] = {batch[0], batch[1], rows, cols}, extent = 1;
    int64_t *stride[4] = {&a->x.batch[0], &a->x.batch[1], &a->x.row, &a->x.col};
    extent += (rows - 1) * llabs(a->x.row) + (cols - 1) * llabs(a->x.col);
    if (rows == 0 || cols == 0)
        extent = 0;
    for (int d = 1; d >= 0; d--) {
        *stride[d] = stretched >> d & 1 ? 0 : extent;
        if (!(stretched >> d & 1))
            extent *= size[d];
    }
    for (int d = 2; d < 4; d++)
        if (*stride[d] < 0)
            a->origin -= (size[d] > 0 ? size[d] - 1 : 0) * *stride[d];
    a->numel = extent;
    a->memory = malloc((size_t)extent * tape_dtype_size(dtype) + (extent == 0));
    ck_assert_ptr_nonnull(a->memory);
    for (int64_t i = 0; i < extent; i++)
        put(dtype, a->memory, i, draw_value());
    a->x.data = (char *)a->memory + (size_t)a->origin * tape_dtype_size(dtype);
}

static int64_t at(const tape__gemm_operand *x, int64_t b0, int64_t b1, int64_t i, int64_t j)
{
    return b0 * x->batch[0] + b1 * x->batch[1] + i * x->row + j * x->col;
}

/* ---- the definition ------------------------------------------------------------------------------------------------
 */

/* The blocks of the sum over k: at most 256, as even as multiples of 8 allow. */
static int64_t block_of(int64_t k)
{
    int64_t blocks = (k + 255) / 256;
    return blocks ? ((k + blocks - 1) / blocks + 7) / 8 * 8 : 1;
}

/* One element as the header defines it, to the bit. a and b have k elements each. */
static double defined(const tape__gemm *g, bool fma_class, const double *a, const double *b, double start)
{
    const int64_t block = block_of(g->k);
    double sum = start;
    for (int64_t q = 0; q < g->k; q += block) {
        const int64_t end = q + block < g->k ? q + block : g->k;
        const bool alone = q == 0 && !g->accumulate && !g->bias;
        if (g->dtype == TAPE_F32) {
            float x = 0;
            for (int64_t p = q; p < end; p++)
                x = fma_class ? fmaf((float)a[p], (float)b[p], x) : (float)a[p] * (float)b[p] + x;
            sum = alone ? x : (float)sum + x;
        } else {
            double x = 0;
            for (int64_t p = q; p < end; p++)
                x = fma_class ? fma(a[p], b[p], x) : a[p] * b[p] + x;
            sum = alone ? x : sum + x;
        }
    }
    return sum;
}

/* Emulated, `long double` is software within software: one element in so many is held against it then. */
enum { STEP = TAPE__TEST_EMULATED ? 15 : 1 };

/* The exact value, nearly, and a bound for the rounding of any order of summation. */
static long double exact(const tape__gemm *g, const double *a, const double *b, double start, long double *bound)
{
    long double sum = start, magnitude = fabs(start);
    for (int64_t p = 0; p < g->k; p++) {
        sum += (long double)a[p] * b[p];
        magnitude += fabsl((long double)a[p] * b[p]);
    }
    *bound = magnitude * (long double)(g->k + 3) * (g->dtype == TAPE_F32 ? (long double)FLT_EPSILON : DBL_EPSILON);
    return sum;
}

/* ---- one product ---------------------------------------------------------------------------------------------------
 */

struct shape {
    int64_t m, n, k, batch[2];
};

struct variant {
    tape_dtype dtype;
    enum layout a, b, c;
    int stretched_a, stretched_b; /* bits: the batch axes along which the operand is one */
    bool accumulate, bias;
};

/* C before and after, the latter by definition. */
struct expected {
    struct matrix a, b, c;
    void *bias, *before, *after;
    tape__gemm g;
};

static double start_of(const tape__gemm *g, const void *c, int64_t index, int64_t j)
{
    double start = g->accumulate ? get(g->dtype, c, index) : 0;
    if (g->bias)
        start += get(g->dtype, g->bias, j * g->bias_stride);
    return g->dtype == TAPE_F32 ? (double)(float)start : start;
}

static void set_up(struct expected *e, const struct shape *s, const struct variant *v)
{
    const size_t size = tape_dtype_size(v->dtype);
    make(&e->a, v->dtype, v->a, s->m, s->k, s->batch, v->stretched_a);
    make(&e->b, v->dtype, v->b, s->k, s->n, s->batch, v->stretched_b);
    make(&e->c, v->dtype, v->c == REPEATED ? DENSE : v->c, s->m, s->n, s->batch, 0);
    const int64_t bias_stride = v->c == PADDED ? 2 : 1;
    e->bias = malloc((size_t)(s->n * bias_stride) * size + 1);
    for (int64_t j = 0; j < s->n * bias_stride; j++)
        put(v->dtype, e->bias, j, draw_value());
    e->before = malloc((size_t)e->c.numel * size + 1);
    e->after = malloc((size_t)e->c.numel * size + 1);
    memcpy(e->before, e->c.memory, (size_t)e->c.numel * size);
    e->g = (tape__gemm){.dtype = v->dtype,
                        .accumulate = v->accumulate,
                        .m = s->m,
                        .n = s->n,
                        .k = s->k,
                        .batch = {s->batch[0], s->batch[1]},
                        .a = e->a.x,
                        .b = e->b.x,
                        .c = e->c.x,
                        .bias = v->bias ? e->bias : NULL,
                        .bias_stride = bias_stride};
}

static void tear_down(struct expected *e)
{
    free(e->a.memory);
    free(e->b.memory);
    free(e->c.memory);
    free(e->bias);
    free(e->before);
    free(e->after);
}

/* Row (or column) `index` of an operand as k numbers. */
static void gather(const tape__gemm *g, const tape__gemm_operand *x, int64_t first, int64_t step, double *out)
{
    for (int64_t p = 0; p < g->k; p++)
        out[p] = get(g->dtype, x->data, first + p * step);
}

static void define_entry(struct expected *e, bool fma_class, int64_t b0, int64_t b1, double *a, double *b)
{
    const tape__gemm *g = &e->g;
    for (int64_t j = 0; j < g->n; j++)
        gather(g, &g->b, at(&g->b, b0, b1, 0, j), g->b.row, b + j * g->k);
    for (int64_t i = 0; i < g->m; i++) {
        gather(g, &g->a, at(&g->a, b0, b1, i, 0), g->a.col, a);
        for (int64_t j = 0; j < g->n; j++) {
            const int64_t index = e->c.origin + at(&g->c, b0, b1, i, j);
            const double start = start_of(g, e->before, index, j);
            const double y = defined(g, fma_class, a, b + j * g->k, start);
            if ((i + j) % STEP == 0) {
                long double bound, z = exact(g, a, b + j * g->k, start, &bound);
                if (!(fabsl(y - z) <= bound))
                    ck_abort_msg("the definition is off at %ld, %ld", (long)i, (long)j);
            }
            put(g->dtype, e->after, index, y);
        }
    }
}

/* Fills e->after, and holds the definition itself against the exact value. */
static void define(struct expected *e, bool fma_class)
{
    const tape__gemm *g = &e->g;
    double *a = malloc((size_t)g->k * sizeof *a + 1), *b = malloc((size_t)(g->n * g->k) * sizeof *b + 1);
    memcpy(e->after, e->before, (size_t)e->c.numel * tape_dtype_size(g->dtype));
    for (int64_t b0 = 0; b0 < g->batch[0]; b0++)
        for (int64_t b1 = 0; b1 < g->batch[1]; b1++)
            define_entry(e, fma_class, b0, b1, a, b);
    free(a);
    free(b);
}

static void run_and_compare(struct expected *e, const struct tape__kernels *kernels,
                            const struct tape__parallel *threads, const char *what)
{
    const tape__gemm *g = &e->g;
    const size_t bytes = (size_t)e->c.numel * tape_dtype_size(g->dtype);
    size_t need = tape__gemm_workspace(kernels->gemm, g, threads);
    char *workspace = aligned_alloc(64, (need + 127) / 64 * 64);
    ck_assert_ptr_nonnull(workspace);
    memset(workspace, 0xff, (need + 127) / 64 * 64); /* not-a-numbers */
    memcpy(e->c.memory, e->before, bytes);
    tape__gemm_run(kernels->gemm, g, workspace, threads);
    for (size_t i = need; i < (need + 127) / 64 * 64; i++)
        if (workspace[i] != (char)0xff)
            ck_abort_msg("%s: wrote beyond its workspace", what);
    free(workspace);
    if (bytes == 0 || memcmp(e->c.memory, e->after, bytes) == 0)
        return;
    for (int64_t i = 0; i < e->c.numel; i++) {
        double x = get(g->dtype, e->c.memory, i), y = get(g->dtype, e->after, i);
        if (memcmp(&x, &y, sizeof x) != 0)
            ck_abort_msg("%s on %s: element %ld is %.17g, expected %.17g", what, kernels->isa, (long)i, x, y);
    }
}

/* The same with B packed beforehand, where that may be. */
static void run_prepared(struct expected *e, const struct tape__kernels *kernels, const struct tape__parallel *threads,
                         const char *what)
{
    const tape__gemm plain = e->g;
    const size_t bytes = tape__gemm_prepared(&plain);
    if (bytes == 0)
        return;
    void *packed = malloc(bytes);
    ck_assert_ptr_nonnull(packed);
    tape__gemm_prepare(kernels->gemm, &plain, packed);
    e->g.b = (tape__gemm_operand){packed, 0, 0, {0, 0}};
    e->g.b_ready = true;
    run_and_compare(e, kernels, threads, what);
    e->g = plain;
    free(packed);
}

static void check(const struct shape *s, const struct variant *v)
{
    char what[200];
    snprintf(what, sizeof what, "%ldx%ldx%ld batch %ldx%ld f%d layouts %d %d %d stretched %d %d accumulate %d bias %d",
             (long)s->m, (long)s->n, (long)s->k, (long)s->batch[0], (long)s->batch[1], v->dtype == TAPE_F32 ? 32 : 64,
             v->a, v->b, v->c, v->stretched_a, v->stretched_b, v->accumulate, v->bias);
    struct expected e = {0};
    set_up(&e, s, v);
    for (int fma_class = 0; fma_class < 2; fma_class++) {
        const struct tape__kernels *kernels;
        bool is_defined = false;
        for (int set = 0; (kernels = tape__kernels_available(set)); set++)
            if (kernels->fma == fma_class) {
                if (!is_defined)
                    define(&e, fma_class);
                is_defined = true;
                run_and_compare(&e, kernels, NULL, what);
                if (tape__pool())
                    run_and_compare(&e, kernels, tape__pool(), what);
                run_prepared(&e, kernels, tape__pool(), what);
            }
    }
    tear_down(&e);
}

static struct variant draw_variant(void)
{
    return (struct variant){.dtype = draw(2) ? TAPE_F64 : TAPE_F32,
                            .a = (enum layout)draw(LAYOUTS),
                            .b = (enum layout)draw(LAYOUTS),
                            .c = (enum layout)draw(LAYOUTS),
                            .accumulate = draw(2),
                            .bias = draw(2)};
}

/* ---- tests ---------------------------------------------------------------------------------------------------------
 */

/* Every pair of sizes around the edges of tiles, with whatever layouts come. Few rows and sums of one term have ways of
   their own. */
START_TEST(tile_edges)
{
    static const int64_t sizes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 15, 16, 17, 24, 31, 32, 33, 40, 65};
    static const int64_t ks[] = {0, 1, 2, 3, 7, 8, 9, 17, 24, 31};
    enum { SIZES = sizeof sizes / sizeof *sizes, KS = sizeof ks / sizeof *ks };
    for (int i = 0; i < SIZES; i++)
        for (int j = 0; j < SIZES; j++) {
            const int one = (int)draw(KS);
            for (int k = 0; k < KS; k++) {
                struct shape s = {sizes[i], sizes[j], ks[k], {1, 1}};
                struct variant v = draw_variant();
                if (k == one || s.m <= 2 || s.k == 1)
                    check(&s, &v);
            }
        }
}
END_TEST

START_TEST(all_layouts)
{
    for (int a = 0; a < LAYOUTS; a++)
        for (int b = 0; b < LAYOUTS; b++)
            for (int c = 0; c < LAYOUTS; c++) {
                struct shape s = {1 + draw(20), 1 + draw(40), draw(30), {1, 1}};
                struct variant v = draw_variant();
                v.a = (enum layout)a, v.b = (enum layout)b, v.c = (enum layout)c;
                check(&s, &v);
            }
}
END_TEST

/* Sizes around the blocks of the driver: the sum's, and those from which operands are packed. */
START_TEST(block_edges)
{
    static const struct shape shapes[] = {
        {3, 5, 256, {1, 1}},    {3, 5, 257, {1, 1}},     {5, 3, 513, {1, 1}},    {1, 1, 1000, {1, 1}},
        {1, 70, 400, {1, 1}},   {70, 1, 400, {1, 1}},    {2, 130, 390, {1, 1}},  {64, 700, 96, {1, 1}},
        {65, 330, 500, {1, 1}}, {175, 66, 2500, {1, 1}}, {64, 2049, 64, {1, 1}}, {1, 2100, 40, {1, 1}},
        {3, 300, 21, {1, 1}},   {2, 517, 259, {1, 1}},   {1, 270, 6, {1, 1}},    {2100, 1, 40, {1, 1}},
        {1400, 65, 66, {1, 1}},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int r = 0; r < 2; r++) {
            struct variant v = draw_variant();
            v.dtype = r ? TAPE_F64 : TAPE_F32;
            check(&shapes[i], &v);
        }
}
END_TEST

/* Sizes from which what lies badly is packed: rows of A side by side, rows of B far apart; either alone and both. */
START_TEST(far_steps)
{
    static const struct shape shapes[] = {
        {100, 110, 300, {1, 1}}, {97, 530, 70, {1, 1}}, {170, 520, 64, {1, 2}}, {1400, 131, 64, {1, 1}}};
    ck_assert_int_eq(tape__pool_start(2), 0);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int turned = 0; turned < 4; turned++)
            for (int accumulate = 0; accumulate < 2; accumulate++) {
                struct variant v = {TAPE_F32,
                                    turned & 1 ? TRANSPOSED : DENSE,
                                    turned & 2 ? TRANSPOSED : PADDED,
                                    DENSE,
                                    0,
                                    0,
                                    accumulate,
                                    !accumulate};
                check(&shapes[i], &v);
            }
    tape__pool_stop();
}
END_TEST

START_TEST(batches)
{
    for (int r = 0; r < 150; r++) {
        struct shape s = {draw(10), draw(20), draw(12), {draw(4), 1 + draw(5)}};
        struct variant v = draw_variant();
        v.stretched_a = (int)draw(4);
        v.stretched_b = (int)draw(4);
        check(&s, &v);
    }
    struct shape large = {24, 40, 30, {4, 9}};
    for (int stretched = 0; stretched < 16; stretched++) {
        struct variant v = {TAPE_F32, DENSE, DENSE, DENSE, stretched & 3, stretched >> 2, stretched & 1, false};
        check(&large, &v);
    }
}
END_TEST

/* The same checks with workers: every one compares the run by threads with the definition. */
START_TEST(threads)
{
    for (int n = 1; n <= 3; n++) {
        ck_assert_int_eq(tape__pool_start(n), 0);
        static const struct shape shapes[] = {
            {130, 70, 100, {1, 1}},   {4, 3000, 50, {1, 1}},  {3000, 4, 50, {1, 1}},  {1, 2500, 250, {1, 1}},
            {180, 130, 1300, {1, 1}}, {40, 50, 60, {3, 7}},   {100, 90, 80, {1, 2}},  {60, 135, 130, {1, 1}},
            {5, 2563, 90, {1, 1}},    {31, 129, 300, {2, 1}}, {150, 161, 70, {1, 1}},
        };
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            struct variant v = draw_variant();
            check(&shapes[i], &v);
            v.c = DENSE;
            check(&shapes[i], &v);
        }
    }
    tape__pool_stop();
}
END_TEST

/* C with a batch stride of 0 sums over the batch, in order. */
START_TEST(sum_over_batch)
{
    enum { M = 7, N = 18, K = 5, B = 6 };
    const struct tape__kernels *kernels;
    for (int set = 0; (kernels = tape__kernels_available(set)); set++) {
        float a[B * M * K], b[B * K * N], c[M * N], step[M * N];
        for (int i = 0; i < B * M * K; i++)
            a[i] = (float)draw_value();
        for (int i = 0; i < B * K * N; i++)
            b[i] = (float)draw_value();
        tape__gemm g = {.m = M, .n = N, .k = K, .batch = {2, B / 2}, .a = {a, K, 1, {B / 2 * M * K, M * K}}};
        g.b = (tape__gemm_operand){b, N, 1, {B / 2 * K * N, K * N}};
        g.c = (tape__gemm_operand){c, N, 1, {0, 0}};
        ck_assert_uint_eq(tape__gemm_workspace(kernels->gemm, &g, NULL), 0);
        tape__gemm_run(kernels->gemm, &g, NULL, NULL);
        g.batch[0] = g.batch[1] = 1;
        g.c.data = step;
        for (int i = 0; i < B; i++) {
            g.a.data = a + i * M * K;
            g.b.data = b + i * K * N;
            g.accumulate = i > 0;
            tape__gemm_run(kernels->gemm, &g, NULL, NULL);
        }
        ck_assert_mem_eq(c, step, sizeof c);
    }
}
END_TEST

/* Large products may be a BLAS's: values within the bound of any order of summation, the same bits for any number of
   threads, and OpenBLAS left with its own number of threads. */
static void check_large(const struct shape *s, const struct variant *v)
{
    struct expected e = {0};
    set_up(&e, s, v);
    const tape__gemm_kernels *kernels = tape__kernels()->gemm;
    const size_t bytes = (size_t)e.c.numel * tape_dtype_size(v->dtype);
    for (int n = 1; n <= 2; n++) {
        ck_assert_int_eq(tape__pool_start(n), 0);
        size_t need = tape__gemm_workspace(kernels, &e.g, tape__pool());
        ck_assert(!tape_blas() || need == 0); /* so it is indeed the BLAS's */
        void *workspace = aligned_alloc(64, (need + 127) / 64 * 64);
        memcpy(e.c.memory, e.before, bytes);
        tape__gemm_run(kernels, &e.g, workspace, tape__pool());
        free(workspace);
        if (n == 1)
            memcpy(e.after, e.c.memory, bytes);
        ck_assert_mem_eq(e.after, e.c.memory, bytes);
    }
    double *a = malloc((size_t)s->k * sizeof *a), *b = malloc((size_t)s->k * sizeof *b);
    for (int r = 0; r < 2000 / STEP; r++) {
        int64_t b0 = draw(s->batch[0]), b1 = draw(s->batch[1]), i = draw(s->m), j = draw(s->n);
        const int64_t index = e.c.origin + at(&e.g.c, b0, b1, i, j);
        gather(&e.g, &e.g.a, at(&e.g.a, b0, b1, i, 0), e.g.a.col, a);
        gather(&e.g, &e.g.b, at(&e.g.b, b0, b1, 0, j), e.g.b.row, b);
        long double bound, want = exact(&e.g, a, b, start_of(&e.g, e.before, index, j), &bound);
        ck_assert(fabsl(get(v->dtype, e.after, index) - want) <= bound);
    }
    free(a);
    free(b);
    tear_down(&e);
}

START_TEST(large)
{
    static const struct shape shapes[] = {
        {300, 520, 270, {1, 1}}, {131, 1100, 300, {1, 1}}, {1100, 140, 256, {1, 1}}, {260, 530, 256, {1, 3}}};
    void *symbols[2] = {dlsym(RTLD_DEFAULT, "openblas_set_num_threads"),
                        dlsym(RTLD_DEFAULT, "openblas_get_num_threads")};
    void (*set)(int);
    int (*number)(void);
    memcpy(&set, &symbols[0], sizeof set);
    memcpy(&number, &symbols[1], sizeof number);
    if (symbols[0])
        set(2);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int r = 0; r < 8; r++) {
            struct variant v = {.dtype = r & 1 ? TAPE_F64 : TAPE_F32,
                                .a = r & 2 ? TRANSPOSED : PADDED,
                                .b = r & 4 ? TRANSPOSED_PADDED : DENSE,
                                .c = draw(2) ? TRANSPOSED : PADDED,
                                .accumulate = draw(2),
                                .bias = draw(2)};
            check_large(&shapes[i], &v);
        }
    ck_assert(!symbols[1] || number() == 2);
    tape__pool_stop();
}
END_TEST

static void finish_relu(void *user, void *c, int64_t n)
{
    float *x = c;
    for (int64_t i = 0; i < n; i++)
        x[i] = x[i] > 0 ? x[i] : 0;
    *(int64_t *)user += n;
}

/* finish sees every element once, when it is final: relu of a partial sum would show. */
START_TEST(finish_once)
{
    static const struct shape shapes[] = {{9, 33, 20, {1, 1}},    {9, 33, 0, {1, 1}},   {5, 6, 800, {2, 3}},
                                          {70, 300, 500, {1, 1}}, {70, 1, 500, {1, 1}}, {1, 1, 1, {1, 1}},
                                          {260, 520, 256, {1, 1}}};
    const struct tape__kernels *kernels;
    for (int set = 0; (kernels = tape__kernels_available(set)); set++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            for (enum layout c = DENSE; c < REPEATED; c++) {
                const struct shape *s = &shapes[i];
                struct variant v = {.dtype = TAPE_F32, .a = DENSE, .b = DENSE, .c = c, .bias = true};
                struct expected e = {0};
                set_up(&e, s, &v);
                size_t bytes = tape__gemm_workspace(kernels->gemm, &e.g, NULL);
                void *workspace = bytes ? aligned_alloc(64, bytes) : NULL;
                tape__gemm_run(kernels->gemm, &e.g, workspace, NULL);
                memcpy(e.after, e.c.memory, (size_t)e.c.numel * sizeof(float));
                int64_t count = 0;
                e.g.finish = finish_relu;
                e.g.finish_user = &count;
                memcpy(e.c.memory, e.before, (size_t)e.c.numel * sizeof(float));
                tape__gemm_run(kernels->gemm, &e.g, workspace, NULL);
                ck_assert_int_eq(count, s->m * s->n * s->batch[0] * s->batch[1]);
                for (int64_t b = 0; b < s->batch[0] * s->batch[1]; b++)
                    for (int64_t k = 0; k < s->m * s->n; k++) {
                        int64_t x = e.c.origin + at(&e.g.c, b / s->batch[1], b % s->batch[1], k / s->n, k % s->n);
                        double y = get(TAPE_F32, e.after, x);
                        ck_assert(get(TAPE_F32, e.c.memory, x) == (y > 0 ? y : 0));
                    }
                free(workspace);
                tear_down(&e);
            }
}
END_TEST

/* A zero does not hide what it multiplies, and not-a-number stays in its row and column. */
START_TEST(not_a_number)
{
    enum { M = 13, N = 21, K = 10 };
    const struct tape__kernels *kernels;
    for (int set = 0; (kernels = tape__kernels_available(set)); set++) {
        float a[M * K] = {0}, b[K * N], c[M * N];
        for (int i = 0; i < K * N; i++)
            b[i] = 1;
        b[3 * N + 4] = INFINITY;
        a[5 * K + 2] = NAN;
        tape__gemm g = {.m = M, .n = N, .k = K, .batch = {1, 1}, .a = {a, K, 1, {0}}, .b = {b, N, 1, {0}}};
        g.c = (tape__gemm_operand){c, N, 1, {0}};
        tape__gemm_run(kernels->gemm, &g, NULL, NULL);
        for (int i = 0; i < M; i++)
            for (int j = 0; j < N; j++)
                ck_assert(i == 5 || j == 4 ? isnan(c[i * N + j]) : c[i * N + j] == 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gemm");
    TCase *tests = tcase_create("gemm");
    tcase_add_test(tests, tile_edges);
    tcase_add_test(tests, all_layouts);
    tcase_add_test(tests, block_edges);
    tcase_add_test(tests, far_steps);
    tcase_add_test(tests, batches);
    tcase_add_test(tests, threads);
    tcase_add_test(tests, large);
    tcase_add_test(tests, sum_over_batch);
    tcase_add_test(tests, finish_once);
    tcase_add_test(tests, not_a_number);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
