/* Knows how attention is cut into blocks of queries, so that no square matrix is kept; products and softmax are the
   instruction set's. */
#include "attention.h"

#include <math.h>
#include <string.h>

#include "kernels/any/gemm_driver.h"
#include "kernels/softmax.h"
#include "whole.h"

enum {
    ROWS = 64, /* queries of a block */
    TASKS = 16,
    PARALLEL_WORK = 1000000, /* multiplications from which threads pay */
    ALIGN = 64
};

static size_t aligned(int64_t bytes)
{
    return (size_t)tape__round_up(bytes, ALIGN);
}

/* Queries [first, first + rows) of an entry of the batch, and the keys that they may see. */
struct block {
    int64_t entry, first, rows, keys;
};

struct job {
    const struct tape__kernels *kernels;
    const tape__attention *a;
    const tape__matrices *g;
    char *y, *gq, *gk, *gv, *workspace;
    int64_t item, blocks, tasks;
    size_t scores, products, task_bytes; /* bytes: of one block's scores, of a product's workspace, of a task */
};

static struct block block_at(const struct job *job, int64_t entry, int64_t i)
{
    const tape__attention *a = job->a;
    struct block b = {entry, i * ROWS, tape__min(ROWS, a->queries - i * ROWS), a->keys};
    if (a->causal)
        b.keys = tape__min(b.keys, b.first + b.rows);
    return b;
}

/* A matrix as a factor; `turned`: its transpose. */
static tape__gemm_operand factor(const void *data, int64_t row, int64_t column, bool turned)
{
    return (tape__gemm_operand){data, turned ? column : row, turned ? row : column, {0, 0}};
}

/* The element of an entry's matrix where row `first` starts. */
static const void *place_in(const struct job *job, const tape__matrices *x, int64_t entry, int64_t first, int64_t item)
{
    int64_t at = first * x->row;
    if (!x->data)
        return NULL;
    for (int i = job->a->rank - 1; i >= 0; i--) {
        at += entry % job->a->size[i] * x->stride[i];
        entry /= job->a->size[i];
    }
    return (const char *)x->data + at * item;
}

/* An entry's matrix from row `first` on, as a factor. */
static tape__gemm_operand factor_of(const struct job *job, const tape__matrices *x, int64_t entry, int64_t first,
                                    bool turned)
{
    return factor(place_in(job, x, entry, first, job->item), x->row, x->column, turned);
}

/* The products of a block, in the order in which they are made. */
enum { SCORES, VALUES, BY_P, GRAD_V, GRAD_Q, GRAD_K, PRODUCTS };

static tape__gemm product_of(const struct job *job, int which, const struct block *b, char *p, char *dp)
{
    static const tape__matrices nothing;
    const tape__attention *a = job->a;
    const int64_t item = job->item, d = a->depth, w = a->width, n = b->keys, rows = b->rows;
    const int64_t at_query = b->entry * a->queries + b->first, at_key = b->entry * a->keys;
    const tape__matrices *g = job->g ? job->g : &nothing;
    tape__gemm m = {.dtype = a->dtype, .batch = {1, 1}, .accumulate = which == GRAD_V || which == GRAD_K};
    switch (which) {
    case SCORES:
        m.m = rows, m.n = n, m.k = d, m.c.data = p;
        m.a = factor_of(job, &a->q, b->entry, b->first, false);
        m.b = factor_of(job, &a->k, b->entry, 0, true);
        break;
    case VALUES:
        m.m = rows, m.n = w, m.k = n, m.c.data = job->y + at_query * w * item;
        m.a = factor(p, n, 1, false);
        m.b = factor_of(job, &a->v, b->entry, 0, false);
        break;
    case BY_P:
        m.m = rows, m.n = n, m.k = w, m.c.data = dp;
        m.a = factor_of(job, g, b->entry, b->first, false);
        m.b = factor_of(job, &a->v, b->entry, 0, true);
        break;
    case GRAD_V:
        m.m = n, m.n = w, m.k = rows, m.c.data = job->gv + at_key * w * item;
        m.a = factor(p, n, 1, true);
        m.b = factor_of(job, g, b->entry, b->first, false);
        break;
    case GRAD_Q:
        m.m = rows, m.n = d, m.k = n, m.c.data = job->gq + at_query * d * item;
        m.a = factor(dp, n, 1, false);
        m.b = factor_of(job, &a->k, b->entry, 0, false);
        break;
    default:
        m.m = n, m.n = d, m.k = rows, m.c.data = job->gk + at_key * d * item;
        m.a = factor(dp, n, 1, true);
        m.b = factor_of(job, &a->q, b->entry, b->first, false);
    }
    m.c.row = m.n;
    m.c.col = 1;
    return m;
}

static void run_product(const struct job *job, int which, const struct block *b, char *p, char *dp, char *space)
{
    tape__gemm g = product_of(job, which, b, p, dp);
    tape__gemm_run(job->kernels->gemm, &g, space, NULL);
}

/* ---- scores ------------------------------------------------------------------------------------------------------ */

#define DEFINE(name, type)                                                                                             \
    static void mask_##name(const struct job *job, const struct block *b, int64_t i, type *s)                          \
    {                                                                                                                  \
        const tape__attention *a = job->a;                                                                             \
        const int64_t step = a->mask.column, item = a->mask_dtype == TAPE_U8 ? 1 : sizeof(type);                       \
        const void *row = place_in(job, &a->mask, b->entry, b->first + i, item);                                       \
        if (a->mask_dtype == TAPE_U8) {                                                                                \
            const unsigned char *mask = row;                                                                           \
            for (int64_t j = 0; j < b->keys; j++)                                                                      \
                s[j] = mask[j * step] ? s[j] : (type)-INFINITY;                                                        \
        } else {                                                                                                       \
            const type *mask = row;                                                                                    \
            for (int64_t j = 0; j < b->keys; j++)                                                                      \
                s[j] += mask[j * step];                                                                                \
        }                                                                                                              \
    }                                                                                                                  \
    static void prepare_##name(const struct job *job, const struct block *b, void *scores)                             \
    {                                                                                                                  \
        const tape__attention *a = job->a;                                                                             \
        const type scale = (type)a->scale;                                                                             \
        for (int64_t i = 0; i < b->rows; i++) {                                                                        \
            type *s = (type *)scores + i * b->keys;                                                                    \
            for (int64_t j = 0; j < b->keys; j++)                                                                      \
                s[j] *= scale;                                                                                         \
            if (a->mask.data)                                                                                          \
                mask_##name(job, b, i, s);                                                                             \
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
    (a->dtype == TAPE_F32 ? prepare_f32 : prepare_f64)(job, b, p);
    job->kernels->softmax->softmax[a->dtype](NULL, (tape__softmax_shape){b->rows, b->keys, 1}, p, p);
}

/* ---- the two directions ------------------------------------------------------------------------------------------ */

static void forward_body(void *arg, int64_t task)
{
    const struct job *job = arg;
    const int64_t all = job->a->batch * job->blocks, share = tape__ceil_div(all, job->tasks);
    char *p = job->workspace + (size_t)task * job->task_bytes, *space = p + job->scores;
    for (int64_t i = task * share; i < tape__min(all, (task + 1) * share); i++) {
        struct block b = block_at(job, i / job->blocks, i % job->blocks);
        probabilities(job, &b, p, space);
        run_product(job, VALUES, &b, p, NULL, space);
    }
}

static void backward_body(void *arg, int64_t task)
{
    const struct job *job = arg;
    const tape__attention *a = job->a;
    const int64_t share = tape__ceil_div(a->batch, job->tasks);
    char *p = job->workspace + (size_t)task * job->task_bytes, *dp = p + job->scores, *space = dp + job->scores;
    for (int64_t entry = task * share; entry < tape__min(a->batch, (task + 1) * share); entry++) {
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

static TAPE__NOINLINE struct job make_job(const struct tape__kernels *kernels, const tape__attention *a, bool backward,
                                          bool threads)
{
    struct job job = {.kernels = kernels, .a = a, .item = a->dtype == TAPE_F32 ? 4 : 8};
    const int64_t limit = INT64_C(1) << 15;
    const int64_t work = tape__min(a->batch, limit) * tape__min(a->queries, limit) * tape__min(a->keys, limit) *
                         tape__min(a->depth + 1, 256);
    job.blocks = tape__ceil_div(a->queries, ROWS);
    job.tasks = threads && work >= PARALLEL_WORK ? tape__min(TASKS, a->batch * (backward ? 1 : job.blocks)) : 1;
    job.scores = aligned(tape__min(ROWS, a->queries) * a->keys * job.item);
    for (int64_t i = 0; a->batch > 0 && i < job.blocks; i++)
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

void tape__attention_spread(const struct tape__kernels *kernels, const tape__attention *a, const tape__matrices *g,
                            void *gq, void *gk, void *gv, void *workspace, const struct tape__parallel *parallel)
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
