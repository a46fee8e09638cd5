/* Cuts a matrix product into blocks, packs what needs packing and spreads the blocks over threads. Knows shapes,
   strides and caches; no arithmetic on elements is done here but where C has no unit stride or starts from a bias. */
#include "kernels/any/gemm_driver.h"

#include <assert.h>

#include "base.h"
#include "blas.h"
#include "whole.h"

/* Block sizes, for 32 KiB of L1 and 512 KiB of L2: a sliver of B (K_BLOCK x 16 of f32) stays in L1, a block of A
   (ROW_BLOCK x K_BLOCK) in L2. K_BLOCK and K_ROUND decide bits, so they are the same for every dtype and processor; the
   others are free. */
enum {
    K_BLOCK = TAPE__GEMM_K_MAX,
    K_ROUND = 8,
    ROW_BLOCK = 168,
    COLUMN_BLOCK = 128,          /* of packed B: beside a block of A in L2, so that it is used before it leaves */
    SHARED_COLUMNS = 2048,       /* packed at once where threads share them */
    UNPACKED_BYTES = 448 * 1024, /* of B, from which packing what has unit stride already pays */
    FAR_BYTES = 2048,            /* from k to k, from which it pays in any case: few sets of a cache hold such steps */
    WIDE = 96,                   /* m and n from which packing what lies badly pays */
    PACK_ROWS = 16,              /* of B, read at a time */
    SCATTER_BYTES = 4096,        /* on their way to a C without unit stride: 24 rows by 2 vectors, or fewer by more */
    TASKS = 16,                  /* wanted where a product or a batch is spread over threads */
    ROW_BLOCKS = 8,              /* packed at once, for all columns */
    PARALLEL_WORK = 1000000,     /* m n k from which threads pay */
    STRIP = 32,                  /* columns that a thread multiplies by itself, at least, and */
    STRIP_BYTES = 256 * 1024,    /* of A, of which it reads all */
    SPLIT_WORK = 4000000,        /* m n k from which the entries of a batch are spread one by one */
    SMALL = TAPE__GEMM_SMALL,
    SMALL_WORK = TAPE__GEMM_SMALL_WORK,
    BLAS_TILE = 256, /* rows and columns of what a BLAS is called for, roughly, or more */
    SMALL_BYTES = 8192
};

/* A product in the orientation in which C's rows have unit stride, if they have it in any. */
struct plan {
    tape__gemm g;
    const tape__gemm_type *type;
    int64_t size; /* of an element */
    int64_t k_block, row_block, row_blocks, column_block, column_task, width;
    bool pack_a, pack_b, scatter, bias_by_row;
    bool starts;            /* C is set or added to before the sum */
    bool by_blas;           /* in tiles that are the same for any number of threads, by one of its threads each */
    bool threads;           /* the product itself is spread */
    int64_t batch_tasks;    /* or its batch is, over so many tasks */
    int64_t strip;          /* or its columns are, so many a task, of which there are batch_tasks; or 0 */
    int64_t a_bytes, bytes; /* workspace of a task: of packed A, which comes first, and in all */
};

static void transpose_operand(tape__gemm_operand *x)
{
    int64_t row = x->row;
    x->row = x->col;
    x->col = row;
}

/* C' = B' A'. */
static void transpose(struct plan *p)
{
    tape__gemm *g = &p->g;
    tape__gemm_operand a = g->a;
    int64_t m = g->m;
    g->m = g->n;
    g->n = m;
    g->a = g->b;
    g->b = a;
    transpose_operand(&g->a);
    transpose_operand(&g->b);
    transpose_operand(&g->c);
    p->bias_by_row = !p->bias_by_row;
}

/* Entries that share B and follow each other in A and C are more rows of one product. */
static void merge_rows(struct plan *p)
{
    tape__gemm *g = &p->g;
    for (int d = TAPE__GEMM_BATCHES - 1; d >= 0; d--) {
        if (g->batch[d] == 1)
            continue;
        if (g->b.batch[d] != 0 || g->c.batch[d] == 0 || (g->bias && p->bias_by_row))
            return;
        if (g->m == 1) {
            g->a.row = g->a.batch[d];
            g->c.row = g->c.batch[d];
        } else if (g->a.batch[d] != g->m * g->a.row || g->c.batch[d] != g->m * g->c.row) {
            return;
        }
        g->m *= g->batch[d];
        g->batch[d] = 1;
    }
}

/* Whether C' = B' A' is the better view: there C's rows have unit stride, or its only column is a row. */
static bool is_turned(const tape__gemm *g)
{
    return g->m > 1 && (g->n == 1 || (g->c.col != 1 && g->c.row == 1));
}

static void orient(struct plan *p)
{
    tape__gemm *g = &p->g;
    if (g->batch[0] * g->batch[1] > 1) {
        merge_rows(p);
        transpose(p);
        merge_rows(p);
        transpose(p);
    }
    if (is_turned(g))
        transpose(p);
    if (g->n == 1)
        g->b.col = g->c.col = 1;
    if (g->k == 1)
        g->b.row = 1;
}

static int64_t work(const tape__gemm *g)
{
    const int64_t limit = INT64_C(1) << 20;
    return tape__min(g->m, limit) * tape__min(g->n, limit) * tape__min(g->k, limit);
}

/* How rows and columns are dealt to threads: at least 64 columns a task, if they suffice for enough tasks. */
static void choose_tasks(struct plan *p)
{
    const int64_t rows = p->type->rows, column_tasks = tape__min(tape__ceil_div(p->g.n, 64), 4);
    int64_t row_tasks = tape__min(tape__ceil_div(TASKS, column_tasks), tape__ceil_div(p->g.m, rows));
    if (p->pack_a)
        row_tasks = tape__min(tape__ceil_div(p->g.m, p->row_block), ROW_BLOCKS);
    else
        p->row_block = tape__round_up(tape__ceil_div(p->g.m, row_tasks), rows);
    p->row_blocks = p->pack_a ? ROW_BLOCKS : row_tasks;
    p->column_task = tape__round_up(tape__ceil_div(p->column_block, tape__ceil_div(TASKS, row_tasks)), p->width);
}

static void choose_blocks(struct plan *p)
{
    const tape__gemm *g = &p->g;
    const bool big = g->m >= 64 && g->n >= 64 && g->k >= 64 && g->k * g->n * p->size > UNPACKED_BYTES;
    const bool wide = g->m >= WIDE && g->n >= WIDE && g->k >= 64;
    p->width = tape__gemm_width(p->type, g->m);
    p->k_block = g->k > 0 ? tape__round_up(tape__ceil_div(g->k, tape__ceil_div(g->k, K_BLOCK)), K_ROUND) : K_ROUND;
    p->scatter = g->c.col != 1;
    p->pack_b = g->b_ready || big || (wide && g->b.row * p->size >= FAR_BYTES) ||
                (g->b.col != 1 && (g->m > TAPE__GEMM_DOT_ROWS || g->b.row != 1));
    p->pack_a = (big || (wide && g->a.col != 1)) && !p->scatter;
    p->column_block = g->n;
    if (p->pack_b && !g->b_ready && p->threads)
        p->column_block = tape__min(g->n, SHARED_COLUMNS);
    else if (p->pack_b && !g->b_ready)
        p->column_block = tape__round_up(tape__ceil_div(g->n, tape__ceil_div(g->n, COLUMN_BLOCK)), p->width);
    p->column_task = p->column_block;
    p->row_block =
        p->pack_a ? tape__round_up(tape__ceil_div(g->m, tape__ceil_div(g->m, ROW_BLOCK)), p->type->rows) : g->m;
    p->row_blocks = p->pack_a ? ROW_BLOCKS : 1;
    if (p->threads)
        choose_tasks(p);
    p->starts = g->k == 0 || (g->bias && (g->accumulate || p->bias_by_row || p->scatter || g->bias_stride != 1));
}

/* Columns by strips, for all of k: one loop over threads instead of two for each block of k. */
static void choose_strips(struct plan *p)
{
    const tape__gemm *g = &p->g;
    if (p->pack_a || p->scatter || g->b_ready || g->m > ROW_BLOCK || g->m * g->k > STRIP_BYTES / p->size ||
        g->n < 4 * STRIP)
        return;
    p->strip = tape__max(STRIP, tape__round_up(tape__ceil_div(g->n, TASKS), p->width));
    p->batch_tasks = (g->n + p->strip - p->type->lanes) / p->strip;
    p->column_task = p->column_block = tape__max(p->strip, g->n - (p->batch_tasks - 1) * p->strip);
    p->row_block = g->m;
    p->row_blocks = 1;
    p->threads = false;
}

/* A few tiles of each side, and no workspace. */
static void choose_tiles(struct plan *p)
{
    const int64_t half = BLAS_TILE / 2; /* which each side has at least */
    const int64_t rows = tape__min((p->g.m + half) / BLAS_TILE, 4), columns = tape__min((p->g.n + half) / BLAS_TILE, 4);
    p->row_block = tape__ceil_div(p->g.m, rows);
    p->column_block = tape__ceil_div(p->g.n, columns);
    p->starts = p->g.bias;
}

static TAPE__NOINLINE struct plan make_plan(const tape__gemm_kernels *kernels, const tape__gemm *g, bool threads)
{
    struct plan p = {.g = *g, .type = &kernels->type[g->dtype], .size = g->dtype == TAPE_F32 ? 4 : 8};
    assert(g->dtype == TAPE_F32 || g->dtype == TAPE_F64);
    orient(&p);
    const int64_t entries = p.g.batch[0] * p.g.batch[1], each = work(&p.g);
    const bool sums = (p.g.batch[0] > 1 && !p.g.c.batch[0]) || (p.g.batch[1] > 1 && !p.g.c.batch[1]);
    p.batch_tasks = 1;
    if (threads && !sums && each < SPLIT_WORK && each * entries >= PARALLEL_WORK &&
        (entries >= TASKS || each < PARALLEL_WORK))
        p.batch_tasks = tape__min(entries, TASKS);
    p.by_blas = tape__blas_takes(&p.g);
    if (p.by_blas && threads && !sums && entries > 1)
        p.batch_tasks = tape__min(entries, TASKS);
    p.threads = threads && p.batch_tasks == 1 && each >= PARALLEL_WORK;
    if (p.by_blas) {
        choose_tiles(&p);
        return p;
    }
    choose_blocks(&p);
    if (p.threads)
        choose_strips(&p);
    if (p.pack_a)
        p.a_bytes = tape__round_up(tape__min(p.g.m, p.row_block * p.row_blocks) * p.k_block * p.size, 64);
    p.bytes = p.a_bytes;
    if (p.pack_b && !g->b_ready)
        p.bytes += tape__round_up(p.column_block * p.k_block * p.size, 64);
    return p;
}

/* One step: what is the same for all tasks that work on one block of k, one of columns and some of rows. */
struct step {
    const struct plan *p;
    const char *a, *b, *add;
    char *c, *packed_a, *packed_b;
    int64_t m, n, k;
    int64_t add_row;
    int64_t column_task, column_tasks; /* columns of a task, tasks that share rows */
    bool accumulate, last;             /* last: C is final afterwards */
};

/* The last task takes what is left, so that where slivers begin does not depend on how columns are dealt. */
static int64_t columns_of(const struct step *s, int64_t i)
{
    return i == s->column_tasks - 1 ? s->n - i * s->column_task : s->column_task;
}

/* The columns of task i. Rows of B are read a few at a time, so that few pages are open at once. */
static void pack_b_body(void *arg, int64_t i)
{
    const struct step *s = arg;
    const struct plan *p = s->p;
    const int64_t first = i * s->column_task, n = columns_of(s, i);
    const int64_t in_i = p->g.b.col * p->size, in_k = p->g.b.row * p->size;
    const int64_t few = in_i == p->size ? PACK_ROWS : s->k;
    for (int64_t q = 0; q < s->k; q += few)
        for (int64_t j = 0, width; j < n; j += width) {
            width = tape__gemm_columns(n - j, p->width, p->type->lanes);
            p->type->pack(s->packed_b + ((first + j) * s->k + q * width) * p->size, width, tape__min(few, s->k - q),
                          s->b + (first + j) * in_i + q * in_k, in_i, in_k);
        }
}

/* Rows that lie beside each other are read a few at a time, too: a line of cache serves several slivers. */
static void pack_a_body(void *arg, int64_t i)
{
    const struct step *s = arg;
    const struct plan *p = s->p;
    const int64_t first = i * p->row_block, m = tape__min(p->row_block, s->m - first);
    const int64_t in_i = p->g.a.row * p->size, in_k = p->g.a.col * p->size;
    const int64_t few = in_i == p->size ? PACK_ROWS : s->k;
    for (int64_t q = 0; q < s->k; q += few)
        for (int64_t r = 0, rows; r < m; r += rows) {
            rows = tape__gemm_sliver(m - r, p->type->rows);
            p->type->pack(s->packed_a + ((first + r) * s->k + q * rows) * p->size, rows, tape__min(few, s->k - q),
                          s->a + (first + r) * in_i + q * in_k, in_i, in_k);
        }
}

#define ADD_ROW(type)                                                                                                  \
    for (int64_t j = 0; j < n; j++) {                                                                                  \
        type *at = (type *)c + j * c_col;                                                                              \
        *at = (accumulate ? *at : 0) + ((const type *)x)[j * x_col];                                                   \
    }

/* c = x, or c += x, for n elements. */
static void add_row(tape_dtype dtype, bool accumulate, int64_t n, char *c, int64_t c_col, const char *x, int64_t x_col)
{
    if (dtype == TAPE_F32)
        ADD_ROW(float)
    else
        ADD_ROW(double)
}

/* A block of a C without unit stride: by way of a buffer, some rows of one sliver at a time. */
static void scatter(const struct step *s, tape__gemm_block block)
{
    enum { ROWS = 24 };
    const struct plan *p = s->p;
    const tape__gemm *g = &p->g;
    const tape__gemm_block whole = block;
    _Alignas(64) char buffer[SCATTER_BYTES];
    block.c = buffer;
    block.add = NULL;
    for (int64_t j = 0; j < whole.n; j += block.n) {
        block.n = tape__gemm_columns(whole.n - j, p->width, p->type->lanes);
        block.b = whole.b + j * (p->pack_b ? s->k * p->size : whole.b_col);
        block.c_row = block.n * p->size;
        for (int64_t i = 0; i < whole.m; i += ROWS) {
            block.m = tape__min(ROWS, whole.m - i);
            block.a = whole.a + i * whole.a_row;
            p->type->block(&block);
            for (int64_t r = 0; r < block.m; r++)
                add_row(g->dtype, s->accumulate, block.n, whole.c + ((i + r) * g->c.row + j * g->c.col) * p->size,
                        g->c.col, buffer + r * block.c_row, 1);
        }
    }
}

static void finish(const struct plan *p, char *c, int64_t m, int64_t n)
{
    const tape__gemm *g = &p->g;
    const int64_t pieces = g->c.col == 1 ? 1 : n;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < pieces; j++)
            g->finish(g->finish_user, c + (i * g->c.row + j * g->c.col) * p->size, n / pieces);
}

/* A task: some rows by some columns of C. */
static void block_body(void *arg, int64_t task)
{
    const struct step *s = arg;
    const struct plan *p = s->p;
    const tape__gemm *g = &p->g;
    const int64_t i = task / s->column_tasks * p->row_block, part = task % s->column_tasks, j = part * s->column_task;
    tape__gemm_block block = {
        .m = tape__min(p->row_block, s->m - i),
        .n = columns_of(s, part),
        .k = s->k,
        .width = p->width,
        .a = p->pack_a ? s->packed_a + i * s->k * p->size : s->a + i * g->a.row * p->size,
        .a_row = p->pack_a ? p->size : g->a.row * p->size,
        .a_k = g->a.col * p->size,
        .b = p->pack_b ? s->packed_b + j * s->k * p->size : s->b + j * g->b.col * p->size,
        .b_k = g->b.row * p->size,
        .b_col = g->b.col * p->size,
        .c = s->c + (i * g->c.row + j * g->c.col) * p->size,
        .c_row = g->c.row * p->size,
        .add = s->add ? s->add + i * s->add_row + j * p->size : NULL,
        .add_row = s->add_row,
        .a_packed = p->pack_a,
        .b_packed = p->pack_b,
    };
    if (p->scatter)
        scatter(s, block);
    else
        p->type->block(&block);
    if (s->last && g->finish)
        finish(p, block.c, block.m, block.n);
}

/* Before the sum: C = bias, C += bias, or C = 0. */
static void start(const struct plan *p, bool accumulate, char *c)
{
    const tape__gemm *g = &p->g;
    const double zero = 0;
    for (int64_t i = 0; i < g->m; i++) {
        const char *bias = g->bias ? (const char *)g->bias : (const char *)&zero;
        int64_t stride = g->bias && !p->bias_by_row ? g->bias_stride : 0;
        if (g->bias && p->bias_by_row)
            bias += i * g->bias_stride * p->size;
        add_row(g->dtype, accumulate, g->n, c + i * g->c.row * p->size, g->c.col, bias, stride);
    }
}

/* Some rows and columns of C for one block of k: from row i and column j on. */
static void run_columns(struct step *s, int64_t j, const char *b, char *c, const char *bias,
                        const struct tape__parallel *parallel)
{
    const struct plan *p = s->p;
    const tape__gemm *g = &p->g;
    s->n = tape__min(p->column_block, g->n - j);
    s->column_task = tape__min(p->column_task, s->n);
    s->column_tasks = tape__max(1, (s->n + s->column_task - p->type->lanes) / s->column_task);
    s->b = b + j * g->b.col * p->size;
    s->c = c + j * g->c.col * p->size;
    s->add = s->accumulate ? s->c : bias ? bias + j * p->size : NULL;
    if (p->pack_b && !g->b_ready)
        tape__parallel_for(parallel, s->column_tasks, pack_b_body, s);
    tape__parallel_for(parallel, tape__ceil_div(s->m, p->row_block) * s->column_tasks, block_body, s);
}

/* All of C for one block of k. What is packed of A serves all columns, what is packed of B is used at once. */
static void run_rows(struct step *s, const char *a, const char *b, char *c, const char *bias,
                     const struct tape__parallel *parallel)
{
    const struct plan *p = s->p;
    const tape__gemm *g = &p->g;
    const int64_t rows = p->row_block * p->row_blocks;
    s->add_row = s->accumulate ? g->c.row * p->size : 0;
    for (int64_t i = 0; i < g->m; i += rows) {
        s->m = tape__min(rows, g->m - i);
        s->a = a + i * g->a.row * p->size;
        if (p->pack_a)
            tape__parallel_for(parallel, tape__ceil_div(s->m, p->row_block), pack_a_body, s);
        for (int64_t j = 0; j < g->n; j += p->column_block)
            run_columns(s, j, b, c + i * g->c.row * p->size, bias, parallel);
    }
}

/* A tile. */
static TAPE__NOINLINE void blas_body(void *arg, int64_t task)
{
    const struct step *s = arg;
    const struct plan *p = s->p;
    const tape__gemm *g = &p->g;
    const int64_t i = task / s->column_tasks * p->row_block, j = task % s->column_tasks * p->column_block;
    const int64_t m = tape__min(p->row_block, g->m - i), n = tape__min(p->column_block, g->n - j);
    char *c = s->c + (i * g->c.row + j) * p->size;
    tape__blas_multiply(g, m, n, s->a + i * g->a.row * p->size, s->b + j * g->b.col * p->size, c, s->accumulate);
    if (g->finish)
        finish(p, c, m, n);
}

/* One entry of the batch. */
static void product(const struct plan *p, const char *a, const char *b, char *c, bool accumulate, char *workspace,
                    const struct tape__parallel *parallel)
{
    const tape__gemm *g = &p->g;
    struct step s = {.p = p, .packed_a = workspace, .packed_b = workspace + p->a_bytes};
    if (p->starts && (g->bias || !accumulate)) {
        start(p, accumulate, c);
        accumulate = true;
    }
    if (g->k == 0 && g->finish)
        finish(p, c, g->m, g->n);
    if (p->by_blas) {
        s = (struct step){.p = p, .a = a, .b = b, .c = c, .accumulate = accumulate};
        s.column_tasks = tape__ceil_div(g->n, p->column_block);
        tape__parallel_for(parallel, tape__ceil_div(g->m, p->row_block) * s.column_tasks, blas_body, &s);
        return;
    }
    for (int64_t q = 0; q < g->k; q += p->k_block) {
        s.k = tape__min(p->k_block, g->k - q);
        s.accumulate = accumulate || q > 0;
        s.last = q + s.k == g->k;
        if (g->b_ready)
            s.packed_b = (char *)(uintptr_t)b + q * g->n * p->size;
        run_rows(&s, a + q * g->a.col * p->size, b + q * g->b.row * p->size, c,
                 p->starts ? NULL : (const char *)g->bias, parallel);
    }
}

struct batch {
    const struct plan *p;
    char *workspace;
    const struct tape__parallel *parallel; /* of each entry */
};

static void batch_body(void *arg, int64_t task)
{
    const struct batch *batch = arg;
    const struct plan *p = batch->p;
    const tape__gemm *g = &p->g;
    const int64_t *inner = &g->batch[1], entries = g->batch[0] * *inner;
    const int64_t share = tape__ceil_div(entries, p->batch_tasks), end = tape__min(entries, (task + 1) * share);
    for (int64_t e = task * share; e < end; e++) {
        const int64_t e0 = e / *inner, e1 = e % *inner;
        const bool again = (e0 > 0 && g->c.batch[0] == 0) || (e1 > 0 && g->c.batch[1] == 0);
        product(p, (const char *)g->a.data + (e0 * g->a.batch[0] + e1 * g->a.batch[1]) * p->size,
                (const char *)g->b.data + (e0 * g->b.batch[0] + e1 * g->b.batch[1]) * p->size,
                (char *)g->c.data + (e0 * g->c.batch[0] + e1 * g->c.batch[1]) * p->size, g->accumulate || again,
                batch->workspace + task * p->bytes, batch->parallel);
    }
}

/* The last strip takes what is left, too. */
static void strip_body(void *arg, int64_t i)
{
    const struct batch *whole = arg;
    struct plan p = *whole->p;
    tape__gemm *g = &p.g;
    const int64_t j = i * p.strip;
    g->n = i == p.batch_tasks - 1 ? g->n - j : p.strip;
    g->b.data = (const char *)g->b.data + j * g->b.col * p.size;
    g->c.data = (char *)g->c.data + j * p.size;
    if (g->bias && !p.bias_by_row)
        g->bias = (const char *)g->bias + j * g->bias_stride * p.size;
    p.batch_tasks = 1;
    batch_body(&(struct batch){&p, whole->workspace + i * p.bytes, NULL}, 0);
}

/* A and B in the orientation in which C is written. */
struct view {
    int64_t m, n, a_row, a_k, b_k, b_col, c_row, c_col; /* strides in elements */
    const char *a, *b;
    bool turned;
};

TAPE__INLINE struct view view_of(const tape__gemm *g)
{
    if (is_turned(g))
        return (struct view){g->n,     g->m,     g->b.col,  g->b.row,  g->a.col, g->a.row,
                             g->c.col, g->c.row, g->b.data, g->a.data, true};
    return (struct view){g->m,     g->n,     g->a.row,  g->a.col,  g->b.row, g->b.col,
                         g->c.row, g->c.col, g->a.data, g->b.data, false};
}

/* Whether B can be used where it lies. */
TAPE__INLINE bool is_direct(const tape__gemm *g, const struct view *v)
{
    return g->b_ready || v->b_col == 1 || v->n == 1 || (v->m <= TAPE__GEMM_DOT_ROWS && (v->b_k == 1 || g->k == 1));
}

/* Most small products need one block and no plan. */
TAPE__INLINE bool is_small(const tape__gemm *g, const struct view *v)
{
    const int64_t size = g->dtype == TAPE_F32 ? 4 : 8;
    return g->batch[0] == 1 && g->batch[1] == 1 && g->k >= 1 && g->k <= K_BLOCK && v->m <= SMALL && v->n <= SMALL &&
           v->m * v->n * g->k <= SMALL_WORK && (v->c_col == 1 || v->n == 1) &&
           (is_direct(g, v) || v->n * g->k * size <= SMALL_BYTES) && !g->finish &&
           !(g->bias && (g->accumulate || v->turned || g->bias_stride != 1));
}

static void run_small(const tape__gemm_type *type, const tape__gemm *g, const struct view *v)
{
    const int64_t size = g->dtype == TAPE_F32 ? 4 : 8;
    _Alignas(64) char packed[SMALL_BYTES];
    tape__gemm_block block = {.m = v->m,
                              .n = v->n,
                              .k = g->k,
                              .width = tape__gemm_width(type, v->m),
                              .a = v->a,
                              .a_row = v->a_row * size,
                              .a_k = v->a_k * size,
                              .b = v->b,
                              .b_k = v->b_k * size,
                              .b_col = v->n > 1 ? v->b_col * size : size,
                              .c = (char *)g->c.data,
                              .c_row = v->c_row * size,
                              .add = g->accumulate ? g->c.data : g->bias,
                              .add_row = g->accumulate ? v->c_row * size : 0,
                              .b_packed = g->b_ready};
    if (!is_direct(g, v)) {
        const int64_t in_i = v->b_col * size;
        for (int64_t j = 0, width; j < v->n; j += width) {
            width = tape__gemm_columns(v->n - j, block.width, type->lanes);
            type->pack(packed + j * g->k * size, width, g->k, v->b + j * in_i, in_i, block.b_k);
        }
        block.b = packed;
        block.b_packed = true;
    }
    type->block(&block);
}

static bool is_empty(const tape__gemm *g)
{
    return g->m <= 0 || g->n <= 0 || g->batch[0] <= 0 || g->batch[1] <= 0;
}

bool tape__gemm_small(const tape__gemm_kernels *kernels, const tape__gemm *g)
{
    const struct view v = view_of(g);
    if (is_empty(g))
        return true;
    if (!is_small(g, &v))
        return false;
    run_small(&kernels->type[g->dtype], g, &v);
    return true;
}

size_t tape__gemm_prepared(const tape__gemm *g)
{
    const bool plain = g->batch[0] == 1 && g->batch[1] == 1 && g->c.col == 1 && g->n > 1 && !is_empty(g);
    return plain ? (size_t)(g->n * g->k) * (g->dtype == TAPE_F32 ? 4 : 8) : 0;
}

TAPE__NOINLINE void tape__gemm_prepare(const tape__gemm_kernels *kernels, const tape__gemm *g, void *packed)
{
    tape__gemm ready = *g;
    ready.b_ready = true;
    const struct plan p = make_plan(kernels, &ready, false);
    for (int64_t q = 0; q < g->k; q += p.k_block) {
        struct step s = {
            .p = &p, .n = g->n, .k = tape__min(p.k_block, g->k - q), .column_task = g->n, .column_tasks = 1};
        s.b = (const char *)g->b.data + q * g->b.row * p.size;
        s.packed_b = (char *)packed + q * g->n * p.size;
        pack_b_body(&s, 0);
    }
}

size_t tape__gemm_workspace(const tape__gemm_kernels *kernels, const tape__gemm *g,
                            const struct tape__parallel *parallel)
{
    const struct view v = view_of(g);
    if (is_empty(g) || is_small(g, &v))
        return 0;
    struct plan p = make_plan(kernels, g, parallel != NULL);
    return (size_t)(p.bytes * p.batch_tasks);
}

void tape__gemm_run(const tape__gemm_kernels *kernels, const tape__gemm *g, void *workspace,
                    const struct tape__parallel *parallel)
{
    if (tape__gemm_small(kernels, g))
        return;
    struct plan p = make_plan(kernels, g, parallel != NULL);
    struct batch batch = {&p, workspace, p.threads ? parallel : NULL};
    tape__parallel_for(parallel, p.batch_tasks, p.strip ? strip_body : batch_body, &batch);
}
