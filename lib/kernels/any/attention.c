/* Knows how attention is cut into blocks of queries, so that no square matrix is kept; products and softmax are the
   instruction set's. */
#include "attention.h"

#include <math.h>
#include <string.h>

#include "kernels/any/gemm_driver.h"
#include "kernels/softmax.h"

enum {
    ROWS = 64, /* queries of a block */
    TASKS = 16,
    PARALLEL_WORK = 1000000, /* multiplications from which threads pay */
    ALIGN = 64
};

static int64_t min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static size_t aligned(int64_t bytes)
{
    return (size_t)(ceil_div(bytes, ALIGN) * ALIGN);
}

/* Queries [first, first + rows) of an entry of the batch, and the keys that they may see. */
struct block {
    int64_t entry, first, rows, keys;
};

struct job {
    const struct tape__kernels *kernels;
    const tape__attention *a;
    const char *g;
    char *y, *gq, *gk, *gv, *workspace;
    int64_t item, blocks, tasks;
    size_t scores, products, task_bytes; /* bytes: of one block's scores, of a product's workspace, of a task */
};

static struct block block_at(const struct job *job, int64_t entry, int64_t i)
{
    const tape__attention *a = job->a;
    struct block b = {entry, i * ROWS, min(ROWS, a->queries - i * ROWS), a->keys};
    if (a->causal)
        b.keys = min(b.keys, b.first + b.rows);
    return b;
}

/* C = A B (or C += A B): strides of a row-major matrix, or of its transpose where `turned`. */
static tape__gemm product(const struct job *job, int64_t m, int64_t n, int64_t k, const void *a, int64_t a_columns,
                          bool a_turned, const void *b, int64_t b_columns, bool b_turned, void *c, bool accumulate)
{
    return (tape__gemm){.dtype = job->a->dtype,
                        .accumulate = accumulate,
                        .m = m,
                        .n = n,
                        .k = k,
                        .batch = {1, 1},
                        .a = {a, a_turned ? 1 : a_columns, a_turned ? a_columns : 1, {0, 0}},
                        .b = {b, b_turned ? 1 : b_columns, b_turned ? b_columns : 1, {0, 0}},
                        .c = {c, n, 1, {0, 0}}};
}

/* The products of a block, in the order in which they are made. */
enum { SCORES, VALUES, BY_P, GRAD_V, GRAD_Q, GRAD_K, PRODUCTS };

static tape__gemm product_of(const struct job *job, int which, const struct block *b, char *p, char *dp)
{
    const tape__attention *a = job->a;
    const int64_t item = job->item, d = a->depth, w = a->width, n = b->keys;
    const int64_t at_query = b->entry * a->queries + b->first, at_key = b->entry * a->keys;
    const char *q = (const char *)a->q + at_query * d * item, *k = (const char *)a->k + at_key * d * item;
    const char *v = (const char *)a->v + at_key * w * item, *g = job->g ? job->g + at_query * w * item : NULL;
    switch (which) {
    case SCORES:
        return product(job, b->rows, n, d, q, d, false, k, d, true, p, false);
    case VALUES:
        return product(job, b->rows, w, n, p, n, false, v, w, false, job->y + at_query * w * item, false);
    case BY_P:
        return product(job, b->rows, n, w, g, w, false, v, w, true, dp, false);
    case GRAD_V:
        return product(job, n, w, b->rows, p, n, true, g, w, false, job->gv + at_key * w * item, true);
    case GRAD_Q:
        return product(job, b->rows, d, n, dp, n, false, k, d, false, job->gq + at_query * d * item, false);
    default:
        return product(job, n, d, b->rows, dp, n, true, q, d, false, job->gk + at_key * d * item, true);
    }
}

static void run_product(const struct job *job, int which, const struct block *b, char *p, char *dp, char *space)
{
    tape__gemm g = product_of(job, which, b, p, dp);
    tape__gemm_run(job->kernels->gemm, &g, space, NULL);
}

/* ---- scores ------------------------------------------------------------------------------------------------------ */

static int64_t mask_at(const tape__attention *a, int64_t entry)
{
    int64_t at = 0;
    for (int i = a->rank - 1; i >= 0; i--) {
        at += entry % a->size[i] * a->mask_stride[i];
        entry /= a->size[i];
    }
    return at;
}

#define DEFINE(name, type)                                                                                             \
    static void mask_##name(const tape__attention *a, const struct block *b, int64_t i, type *s)                       \
    {                                                                                                                  \
        const int64_t at = mask_at(a, b->entry) + (b->first + i) * a->mask_row, step = a->mask_column;                 \
        if (a->mask_dtype == TAPE_U8) {                                                                                \
            const unsigned char *mask = (const unsigned char *)a->mask + at;                                           \
            for (int64_t j = 0; j < b->keys; j++)                                                                      \
                s[j] = mask[j * step] ? s[j] : (type)-INFINITY;                                                        \
        } else {                                                                                                       \
            const type *mask = (const type *)a->mask + at;                                                             \
            for (int64_t j = 0; j < b->keys; j++)                                                                      \
                s[j] += mask[j * step];                                                                                \
        }                                                                                                              \
    }                                                                                                                  \
    static void prepare_##name(const tape__attention *a, const struct block *b, void *scores)                          \
    {                                                                                                                  \
        const type scale = (type)a->scale;                                                                             \
        for (int64_t i = 0; i < b->rows; i++) {                                                                        \
            type *s = (type *)scores + i * b->keys;                                                                    \
            for (int64_t j = 0; j < b->keys; j++)                                                                      \
                s[j] *= scale;                                                                                         \
            if (a->mask)                                                                                               \
                mask_##name(a, b, i, s);                                                                               \
            for (int64_t j = b->first + i + 1; a->causal && j < b->keys; j++)                                          \
                s[j] = (type)-INFINITY;                                                                                \
        }                                                                                                              \
    }                                                                                                                  \
    static void scale_##name(const tape__attention *a, int64_t n, void *x)                                             \
    {                                                                                                                  \
        const type scale = (type)a->scale;                                                                             \
        type *s = x;                                                                                                   \
        for (int64_t i = 0; i < n; i++)                                                                                \
            s[i] *= scale;                                                                                             \
    }
DEFINE(f32, float)
DEFINE(f64, double)

/* The probabilities of a block. */
static void probabilities(const struct job *job, const struct block *b, char *p, char *space)
{
    const tape__attention *a = job->a;
    run_product(job, SCORES, b, p, NULL, space);
    (a->dtype == TAPE_F32 ? prepare_f32 : prepare_f64)(a, b, p);
    job->kernels->softmax->softmax[a->dtype](NULL, (tape__softmax_shape){b->rows, b->keys, 1}, p, p);
}

/* ---- the two directions ------------------------------------------------------------------------------------------ */

static void forward_body(void *arg, int64_t task)
{
    const struct job *job = arg;
    const int64_t all = job->a->batch * job->blocks, share = ceil_div(all, job->tasks);
    char *p = job->workspace + (size_t)task * job->task_bytes, *space = p + job->scores;
    for (int64_t i = task * share; i < min(all, (task + 1) * share); i++) {
        struct block b = block_at(job, i / job->blocks, i % job->blocks);
        probabilities(job, &b, p, space);
        run_product(job, VALUES, &b, p, NULL, space);
    }
}

static void backward_body(void *arg, int64_t task)
{
    const struct job *job = arg;
    const tape__attention *a = job->a;
    const int64_t share = ceil_div(a->batch, job->tasks);
    char *p = job->workspace + (size_t)task * job->task_bytes, *dp = p + job->scores, *space = dp + job->scores;
    for (int64_t entry = task * share; entry < min(a->batch, (task + 1) * share); entry++) {
        memset(job->gk + entry * a->keys * a->depth * job->item, 0, (size_t)(a->keys * a->depth * job->item));
        memset(job->gv + entry * a->keys * a->width * job->item, 0, (size_t)(a->keys * a->width * job->item));
        for (int64_t i = 0; i < job->blocks; i++) {
            struct block b = block_at(job, entry, i);
            probabilities(job, &b, p, space);
            run_product(job, BY_P, &b, p, dp, space);
            run_product(job, GRAD_V, &b, p, dp, space);
            job->kernels->softmax->softmax_vjp[a->dtype](NULL, (tape__softmax_shape){b.rows, b.keys, 1}, p, dp, false,
                                                         dp);
            (a->dtype == TAPE_F32 ? scale_f32 : scale_f64)(a, b.rows * b.keys, dp);
            run_product(job, GRAD_Q, &b, p, dp, space);
            run_product(job, GRAD_K, &b, p, dp, space);
        }
    }
}

static struct job make_job(const struct tape__kernels *kernels, const tape__attention *a, bool backward, bool threads)
{
    struct job job = {.kernels = kernels, .a = a, .item = a->dtype == TAPE_F32 ? 4 : 8};
    const int64_t limit = INT64_C(1) << 15;
    const int64_t work = min(a->batch, limit) * min(a->queries, limit) * min(a->keys, limit) * min(a->depth + 1, 256);
    job.blocks = ceil_div(a->queries, ROWS);
    job.tasks = threads && work >= PARALLEL_WORK ? min(TASKS, a->batch * (backward ? 1 : job.blocks)) : 1;
    job.scores = aligned(min(ROWS, a->queries) * a->keys * job.item);
    for (int64_t i = 0; i < job.blocks; i++)
        for (int which = 0; which < PRODUCTS; which++) {
            struct block b = block_at(&job, 0, i);
            b.first = 0; /* sizes alone count here */
            tape__gemm g = product_of(&job, which, &b, NULL, NULL);
            size_t bytes = tape__gemm_workspace(kernels->gemm, &g, NULL);
            job.products = bytes > job.products ? bytes : job.products;
        }
    job.task_bytes = aligned((int64_t)((backward ? 2 : 1) * job.scores + job.products));
    return job;
}

size_t tape__attention_workspace(const struct tape__kernels *kernels, const tape__attention *a, bool backward,
                                 const struct tape__parallel *parallel)
{
    struct job job = make_job(kernels, a, backward, parallel != NULL);
    return (size_t)job.tasks * job.task_bytes;
}

void tape__attention_run(const struct tape__kernels *kernels, const tape__attention *a, void *y, void *workspace,
                         const struct tape__parallel *parallel)
{
    struct job job = make_job(kernels, a, false, parallel != NULL);
    job.y = y;
    job.workspace = workspace;
    if (a->batch > 0)
        tape__parallel_for(parallel, job.tasks, forward_body, &job);
}

void tape__attention_spread(const struct tape__kernels *kernels, const tape__attention *a, const void *g, void *gq,
                            void *gk, void *gv, void *workspace, const struct tape__parallel *parallel)
{
    struct job job = make_job(kernels, a, true, parallel != NULL);
    job.g = g;
    job.gq = gq;
    job.gk = gk;
    job.gv = gv;
    job.workspace = workspace;
    if (a->batch > 0)
        tape__parallel_for(parallel, job.tasks, backward_body, &job);
}
