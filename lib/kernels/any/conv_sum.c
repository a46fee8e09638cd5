/* Runs sums over windows: the forward sum and, by windows on y's cotangent, x's cotangent. Knows how blocks of windows
   meet the packed weights: where they lie if positions fill vectors, else packed. */
#include "kernels/any/conv_plan.h"

#include <string.h>

#include "base.h"

struct job {
    const tape__conv_plan *p;
    const char *image, *bias;
    char *out, *weights, *biases, *tasks;
    int64_t *steps;
};

/* Slivers of rows of the weights of a group: [k][rows], block of k by block of k. */
static void pack_weights(const tape__conv_plan *p, const char *w, char *out)
{
    const int64_t *taps = p->lattice.taps, count = tape__volume(taps), *size = p->conv->kernel;
    const int64_t row = p->weight_row * p->item;
    const bool joined = p->weight_channel == count && tape__volume(size) == count; /* the k of a row lie side by side */
    for (int64_t q = 0; q < p->k; q += p->k_block)
        for (int64_t i = 0, rows; i < p->m; i += rows) {
            const int64_t end = tape__min(p->k, q + p->k_block);
            rows = tape__gemm_sliver(p->m - i, p->type->rows);
            if (joined) {
                p->type->pack(out, rows, end - q, w + i * row + q * p->item, row, p->item);
                out += rows * (end - q) * p->item;
                continue;
            }
            for (int64_t k = q; k < end; k++) {
                int64_t t = k % count, at = 0;
                int64_t tap[TAPE__CONV_AXES] = {t / (taps[1] * taps[2]), t / taps[2] % taps[1], t % taps[2]};
                for (int a = 0; a < TAPE__CONV_AXES; a++)
                    at = at * size[a] + p->tap_at[a] + tap[a] * p->tap_apart[a];
                at += k / count * p->weight_channel + i * p->weight_row;
                for (int64_t r = 0; r < rows; r++, out += p->item)
                    memcpy(out, w + at * p->item + r * row, (size_t)p->item);
            }
        }
}

/* n times the item at `x`, `step` items apart or, with `each`, the n items from there on. The compiler knows each size,
   so that nothing is called for a single item. */
static void put_items(char *to, int64_t step, const char *x, bool each, int64_t n, int64_t item)
{
    if (item == sizeof(float))
        for (int64_t i = 0; i < n; i++, x += each ? sizeof(float) : 0)
            memcpy(to + i * step * (int64_t)sizeof(float), x, sizeof(float));
    else
        for (int64_t i = 0; i < n; i++, x += each ? sizeof(double) : 0)
            memcpy(to + i * step * (int64_t)sizeof(double), x, sizeof(double));
}

void tape__conv_fill(int64_t item, int64_t n, const char *bias, char *c, int64_t c_row, int64_t columns)
{
    const double zero = 0;
    for (int64_t i = 0; i < n; i++)
        put_items(c + i * c_row, 1, bias ? bias + i * item : (const char *)&zero, false, columns, item);
}

/* A tile of results to where they belong. A row of positions takes `run` columns of it. */
static void scatter(const tape__conv_plan *p, const tape__window_block *b, const char *tile, int64_t run, char *out)
{
    const int64_t plane = tape__volume(p->out_size), image = p->conv->groups * p->m * plane;
    const int64_t *s = p->out_step, *size = p->out_size;
    for (int64_t i = 0; i < p->m; i++)
        for (int64_t r = 0; r < b->images * b->count[1]; r++, tile += run * p->item) {
            int64_t at = r / b->count[1] * image + i * plane;
            at += (p->residue[0] + b->from[0] * s[0]) * size[1] * size[2];
            at += (p->residue[1] + (b->from[1] + r % b->count[1]) * s[1]) * size[2];
            at += p->residue[2] + b->from[2] * s[2];
            put_items(out + at * p->item, s[2], tile, true, b->count[2], p->item);
        }
}

/* Some rows of a block's windows times the weights of these, `x` where row and position are the first, to c. */
struct product {
    const char *x, *weights;
    const int64_t *steps;
    int64_t k;
    char *c;
    int64_t c_row;
    const char *bias; /* of each row of c, `width` times; NULL: added to c, if `add` */
    bool add;
};

static tape__gemm_block block_of(const tape__conv_plan *p, const struct product *q)
{
    return (tape__gemm_block){.m = p->m,
                              .k = q->k,
                              .width = p->width,
                              .a = q->weights,
                              .a_row = p->item,
                              .b_col = p->item,
                              .c_row = q->c_row,
                              .add_row = q->bias ? p->width * p->item : q->c_row,
                              .a_packed = true};
}

/* Where the windows lie: as many columns at a time as a tile has, or, where that does not divide a row of positions,
   two vectors. */
static void multiply_vectors(const tape__conv_plan *p, const tape__window_block *b, const struct product *q)
{
    const int64_t per_row = tape__ceil_div(b->count[2], p->unit), vectors = b->count[1] * per_row;
    const int64_t step = per_row * p->unit % p->width == 0 ? p->width / p->unit : 2, bytes = p->unit * p->item;
    tape__gemm_block block = block_of(p, q);
    block.b_steps = q->steps;
    for (int64_t v = 0; v < vectors; v += step) {
        int64_t at[2] = {0, 0};
        for (int i = 0; i < 2; i++)
            at[i] = ((v + i) / per_row * p->place.position[1] + (v + i) % per_row * p->unit) * p->item;
        block.n = tape__min(step, vectors - v) * p->unit;
        block.b = q->x + at[0];
        block.b_apart = step == 2 ? at[1] - at[0] : 0;
        block.c = q->c + v * bytes;
        block.add = q->bias ? q->bias : q->add ? block.c : NULL;
        p->type->block(&block);
    }
}

static void multiply_packed(const tape__conv_plan *p, const tape__window_block *b, const struct product *q,
                            char *packed)
{
    int64_t at[TAPE__PATCH_MOST];
    tape__gemm_block block = block_of(p, q);
    block.n = tape__window_columns(&p->place, b, at);
    for (int64_t j = 0, width; j < block.n; j += width) {
        width = tape__gemm_columns(block.n - j, p->width, p->type->lanes);
        tape__window_pack(q->x, q->steps, q->k, at + j, width, p->item, packed + j * q->k * p->item);
    }
    block.b = packed;
    block.b_packed = true;
    block.c = q->c;
    block.add = q->add ? q->c : NULL;
    p->type->block(&block);
}

/* One block of positions of a group of some images. */
static void run_block(const struct job *job, int64_t index, char *space)
{
    const tape__conv_plan *p = job->p;
    const tape__conv *conv = p->conv;
    const int64_t in_set = conv->groups * p->cut.blocks, set = index / in_set;
    const int64_t group = index % in_set / p->cut.blocks;
    tape__window_block b = tape__lattice_block(&p->lattice, &p->cut, index % p->cut.blocks);
    b.images = tape__min(p->images, conv->batch - set * p->images);
    const int64_t source =
        set * p->images * p->lattice.image + group * p->lattice.channels * tape__volume(p->lattice.size);
    const int64_t plane = tape__volume(p->out_size), run = tape__round_up(b.count[2], p->unit);
    const char *bias = job->bias ? job->bias + group * p->m * p->item : NULL;
    const bool fills = p->k == 0 || (bias && p->unit == 1);
    char *strip = space, *packed = strip + p->strip_bytes, *tile = packed + p->pack_bytes;
    char *out = job->out + (set * p->images * conv->groups + group) * p->m * plane * p->item;
    struct product q = {.c = out + ((b.from[0] * p->out_size[1] + b.from[1]) * p->out_size[2] + b.from[2]) * p->item,
                        .c_row = plane * p->item,
                        .add = fills};
    if (p->scattered) {
        q.c = tile;
        q.c_row = b.images * b.count[1] * run * p->item;
    }
    if (fills)
        tape__conv_fill(p->item, p->m, bias, q.c, q.c_row, b.images * b.count[1] * run);
    for (int64_t k = 0; k < p->k; k += p->k_block) {
        q.k = tape__min(p->k_block, p->k - k);
        q.steps = job->steps + k;
        q.weights = job->weights + (group * p->k + k) * p->m * p->item;
        q.x = tape__window_make(&p->place, &p->lattice, &b, job->image + source * p->item, k, q.k, strip);
        q.bias = bias && !fills && k == 0 ? job->biases + group * p->m * p->width * p->item : NULL;
        if (p->unit > 1)
            multiply_vectors(p, &b, &q);
        else
            multiply_packed(p, &b, &q, packed);
        q.add = true;
    }
    if (p->scattered)
        scatter(p, &b, tile, run, out);
}

static int64_t task_bytes(const tape__conv_plan *p)
{
    return p->strip_bytes + p->pack_bytes + p->tile_bytes;
}

static void blocks_body(void *arg, int64_t task)
{
    const struct job *job = arg;
    const tape__conv_plan *p = job->p;
    const int64_t blocks = p->sets * p->conv->groups * p->cut.blocks, share = tape__ceil_div(blocks, p->tasks);
    for (int64_t i = task * share; i < tape__min(blocks, (task + 1) * share); i++)
        run_block(job, i, job->tasks + task * task_bytes(p));
}

size_t tape__conv_sum_bytes(const tape__conv_plan *p)
{
    return (size_t)(p->weight_bytes + p->bias_bytes + p->step_bytes + p->tasks * task_bytes(p));
}

void tape__conv_sum_run(const tape__conv_plan *p, const char *image, const char *w, const char *bias, char *out,
                        char *workspace, const struct tape__parallel *parallel)
{
    if (p->m == 0 || tape__volume(p->lattice.grid) == 0)
        return;
    const int64_t groups = p->conv->groups, row = p->width * p->item;
    struct job job = {.p = p, .image = image, .bias = bias, .out = out, .weights = workspace};
    job.biases = job.weights + p->weight_bytes;
    job.steps = (int64_t *)(void *)(job.biases + p->bias_bytes);
    job.tasks = (char *)job.steps + p->step_bytes;
    for (int64_t g = 0; g < groups; g++)
        pack_weights(p, w + g * p->conv->out_channels * p->conv->in_channels * tape__volume(p->conv->kernel) * p->item,
                     job.weights + g * p->m * p->k * p->item);
    if (bias && p->unit > 1)
        tape__conv_fill(p->item, groups * p->m, bias, job.biases, row, p->width);
    tape__window_steps(&p->place, &p->lattice, job.steps);
    tape__parallel_for(parallel, p->tasks, blocks_body, &job);
}
