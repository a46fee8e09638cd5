/* Runs the sum for a weight's cotangent: windows on x, where they lie, times y's cotangent, packed with channels side
   by side. Knows how the positions of all images are cut into blocks and shards. */
#include "kernels/any/conv_plan.h"

#include <string.h>

#include "base.h"

/* Tasks are blocks of the weight's columns (channels by taps) of a group for a shard of the images, whose sums are
   added in the order of the shards. */
struct weight_plan {
    tape__conv_plan p; /* its k are the positions of some images' blocks, its columns the forward sum's k */
    int64_t rows;      /* of a tile: taps that lie equally far apart */
    int64_t columns, column_block, column_blocks, shards, shard_sets;
    int64_t sum_bytes, c_bytes, b_bytes, at_bytes; /* workspace: the shards' sums, and of each task */
};

static int64_t task_bytes(const struct weight_plan *w)
{
    return w->p.strip_bytes + w->c_bytes + w->b_bytes + w->at_bytes;
}

/* How many rows of windows follow each other at the same distance. */
static int64_t choose_rows(const tape__conv_plan *p)
{
    const int64_t *size = p->conv->kernel, rows = p->type->rows;
    int64_t run = p->place.kind == TAPE__IN_MATRIX ? p->k : size[2];
    for (int i = TAPE__CONV_AXES - 2; i >= -1 && run == 1; i--)
        run = i >= 0 ? size[i] : p->lattice.channels;
    return tape__ceil_div(run, tape__ceil_div(run, rows));
}

static TAPE__NOINLINE struct weight_plan make_plan(const tape__gemm_kernels *kernels, const tape__conv *c, bool threads)
{
    struct weight_plan w = {.p = tape__conv_new_plan(kernels, c)};
    tape__conv_plan *p = &w.p;
    tape__conv_forward_lattice(&p->lattice, c);
    const int64_t n = tape__volume(p->lattice.grid);
    p->m = c->out_channels;
    p->k = c->in_channels * tape__volume(c->kernel);
    p->cut = tape__lattice_cut_by(&p->lattice, TAPE__CONV_K_MOST, 1);
    p->images = p->cut.blocks == 1 && n > 0 ? tape__max(1, tape__min(c->batch, TAPE__CONV_K_MOST / n)) : 1;
    p->sets = tape__ceil_div(c->batch, p->images);
    w.columns = p->k;
    w.column_block = tape__conv_k_block(w.columns);
    w.column_blocks = tape__ceil_div(w.columns, w.column_block);
    const int64_t blocks = tape__max(1, w.column_blocks * c->groups), rows = tape__min(w.column_block, w.columns);
    const bool large = tape__conv_work(p) >= TAPE__CONV_PARALLEL_WORK;
    w.shards = large ? tape__max(1, tape__min(p->sets, TAPE__CONV_SHARDS / blocks)) : 1;
    w.shard_sets = tape__max(1, tape__ceil_div(p->sets, w.shards));
    w.shards = tape__ceil_div(p->sets, w.shard_sets);
    p->tasks = threads && large ? tape__min(TAPE__CONV_TASKS, blocks * w.shards) : 1;
    p->place = tape__window_place_of(&p->lattice, &p->cut, p->images, rows, 0);
    w.rows = choose_rows(p);
    p->width = tape__gemm_width(p->type, w.rows);
    const int64_t k = p->images * p->cut.rows * p->cut.columns;
    w.sum_bytes = w.shards > 1 ? tape__round_up(w.shards * c->groups * p->m * p->k * p->item, TAPE__CONV_ALIGN) : 0;
    p->step_bytes = tape__round_up(p->k * (int64_t)sizeof(int64_t), TAPE__CONV_ALIGN);
    p->strip_bytes = tape__round_up(p->place.bytes, TAPE__CONV_ALIGN);
    w.c_bytes = tape__round_up(rows * p->m * p->item, TAPE__CONV_ALIGN);
    w.b_bytes = tape__round_up(p->m * k * p->item, TAPE__CONV_ALIGN);
    w.at_bytes = tape__round_up(k * (int64_t)sizeof(int64_t), TAPE__CONV_ALIGN);
    return w;
}

struct job {
    const struct weight_plan *plan;
    const char *x, *g;
    char *out, *tasks;
    int64_t *steps;
};

/* A task's memory, and the block that the steps from position to position are of. */
struct space {
    char *strip, *c, *b;
    int64_t *at;
    tape__window_block of;
};

/* Slivers of channels of y's cotangent at a block's positions: [position][channels]. */
static void pack_cotangent(const tape__conv_plan *p, const tape__window_block *b, const char *g, char *out)
{
    const int64_t plane = tape__volume(p->lattice.grid), image = p->conv->groups * p->m * plane;
    const int64_t n = b->count[1] * b->count[2];
    const int64_t at = (b->from[0] * p->lattice.grid[1] + b->from[1]) * p->lattice.grid[2] + b->from[2];
    for (int64_t i = 0, width; i < p->m; i += width) {
        width = tape__gemm_columns(p->m - i, p->width, p->type->lanes);
        for (int64_t e = 0; e < b->images; e++, out += width * n * p->item)
            p->type->pack(out, width, n, g + (e * image + i * plane + at) * p->item, plane * p->item, p->item);
    }
}

/* From each of the block's positions to the next, in bytes. */
static void find_steps(const tape__conv_plan *p, const tape__window_block *b, struct space *s)
{
    const tape__window_block *of = &s->of;
    if (b->images == of->images && b->count[1] == of->count[1] && b->count[2] == of->count[2])
        return;
    const int64_t n = tape__window_columns(&p->place, b, s->at);
    for (int64_t i = 0; i + 1 < n; i++)
        s->at[i] = (s->at[i + 1] - s->at[i]) * p->item;
    s->of = *b;
}

/* The products of one block of positions and rows first ... end of windows, added to c: [rows][channels of y]. */
static void add_block(const struct job *job, const tape__window_block *b, const char *x, int64_t first, int64_t end,
                      const struct space *s, bool add)
{
    const tape__conv_plan *p = &job->plan->p;
    const int64_t *steps = job->steps, c_row = p->m * p->item;
    tape__gemm_block block = {.n = p->m,
                              .k = b->images * b->count[1] * b->count[2],
                              .width = p->width,
                              .a = x,
                              .a_steps = s->at,
                              .b = s->b,
                              .b_col = p->item,
                              .b_packed = true,
                              .c = s->c,
                              .c_row = c_row,
                              .add_row = c_row};
    for (int64_t i = first; i < end; i += block.m) {
        block.a_row = steps[i];
        for (block.m = 1; block.m < job->plan->rows && i + block.m < end && steps[i + block.m - 1] == steps[i];)
            block.m++;
        block.add = add ? block.c : NULL;
        p->type->block(&block);
        block.a += (block.m - 1) * block.a_row + steps[i + block.m - 1];
        block.c += block.m * c_row;
    }
}

/* A unit's sums to where they belong: [channels of y][columns]. */
static void put_sums(const struct weight_plan *w, const char *c, int64_t n, char *out)
{
    const int64_t m = w->p.m, item = w->p.item;
    for (int64_t i = 0; i < m; i++, out += w->columns * item)
        for (int64_t j = 0; j < n; j++)
            if (item == sizeof(float))
                memcpy(out + j * (int64_t)sizeof(float), c + (j * m + i) * (int64_t)sizeof(float), sizeof(float));
            else
                memcpy(out + j * (int64_t)sizeof(double), c + (j * m + i) * (int64_t)sizeof(double), sizeof(double));
}

static void run_unit(const struct job *job, int64_t shard, int64_t group, int64_t column, struct space *s)
{
    const struct weight_plan *w = job->plan;
    const tape__conv_plan *p = &w->p;
    const tape__conv *conv = p->conv;
    const int64_t first = shard * w->shard_sets, end = tape__min(p->sets, first + w->shard_sets);
    const int64_t n = tape__min(w->column_block, w->columns - column);
    for (int64_t set = first; set < end; set++)
        for (int64_t i = 0; i < p->cut.blocks; i++) {
            tape__window_block b = tape__lattice_block(&p->lattice, &p->cut, i);
            b.images = tape__min(p->images, conv->batch - set * p->images);
            const int64_t image = set * p->images * conv->groups + group;
            const int64_t source = image * conv->in_channels * tape__volume(conv->in);
            const char *x =
                tape__window_make(&p->place, &p->lattice, &b, job->x + source * p->item, column, n, s->strip);
            pack_cotangent(p, &b, job->g + image * p->m * tape__volume(conv->out) * p->item, s->b);
            find_steps(p, &b, s);
            add_block(job, &b, x, column, column + n, s, set > first || i > 0);
        }
    put_sums(w, s->c, n, job->out + ((shard * conv->groups + group) * p->m * w->columns + column) * p->item);
}

static void units_body(void *arg, int64_t task)
{
    const struct job *job = arg;
    const struct weight_plan *w = job->plan;
    const int64_t groups = w->p.conv->groups, units = w->shards * groups * w->column_blocks;
    const int64_t share = tape__ceil_div(units, w->p.tasks);
    struct space s = {.strip = job->tasks + task * task_bytes(w)};
    s.c = s.strip + w->p.strip_bytes;
    s.b = s.c + w->c_bytes;
    s.at = (int64_t *)(void *)(s.b + w->b_bytes);
    for (int64_t u = task * share; u < tape__min(units, (task + 1) * share); u++)
        run_unit(job, u / (groups * w->column_blocks), u / w->column_blocks % groups,
                 u % w->column_blocks * w->column_block, &s);
}

#define ADD_SHARDS(type)                                                                                               \
    for (int64_t i = 0; i < n; i++) {                                                                                  \
        type sum = ((const type *)(const void *)sums)[i];                                                              \
        for (int64_t s = 1; s < shards; s++)                                                                           \
            sum += ((const type *)(const void *)sums)[s * n + i];                                                      \
        ((type *)(void *)out)[i] = sum;                                                                                \
    }

static void add_shards(tape_dtype dtype, int64_t shards, int64_t n, const char *sums, char *out)
{
    if (dtype == TAPE_F32)
        ADD_SHARDS(float)
    else
        ADD_SHARDS(double)
}

size_t tape__conv_weight_bytes(const tape__gemm_kernels *kernels, const tape__conv *conv, bool threads)
{
    const struct weight_plan w = make_plan(kernels, conv, threads);
    return (size_t)(w.sum_bytes + w.p.step_bytes + w.p.tasks * task_bytes(&w));
}

void tape__conv_weight_run(const tape__gemm_kernels *kernels, const tape__conv *conv, const char *x, const char *g,
                           char *out, char *workspace, const struct tape__parallel *parallel)
{
    const struct weight_plan w = make_plan(kernels, conv, parallel != NULL);
    const tape__conv_plan *p = &w.p;
    const int64_t n = conv->groups * p->m * p->k;
    if (n == 0)
        return;
    if (p->sets == 0 || tape__volume(p->lattice.grid) == 0) {
        memset(out, 0, (size_t)(n * p->item));
        return;
    }
    struct job job = {.plan = &w, .x = x, .g = g, .out = w.shards > 1 ? workspace : out};
    job.steps = (int64_t *)(void *)(workspace + w.sum_bytes);
    job.tasks = (char *)job.steps + p->step_bytes;
    tape__window_steps(&p->place, &p->lattice, job.steps);
    tape__parallel_for(parallel, p->tasks, units_body, &job);
    if (w.shards > 1)
        add_shards(conv->dtype, w.shards, n, workspace, out);
}
