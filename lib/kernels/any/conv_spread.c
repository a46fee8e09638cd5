/* Runs the input's cotangent by taps: products of y's cotangent with each tap's weights, added where the tap looks.
   Knows when that takes fewer multiplications than windows with zeros around, and in which order it adds. */
#include "kernels/any/conv_plan.h"

#include "base.h"

/* What a sum that is added to memory costs beside a multiplication. */
enum { ADDITION = 8, AXES = TAPE__CONV_AXES };

/* Units of work are parts of the channels of a group of an image. */
struct spread {
    tape__conv_plan p; /* its positions are y's, its k y's channels */
    int64_t taps, part, parts;
    bool in_place; /* rows of positions fill vectors, which are added to the result as they are made */
};

bool tape__conv_spreads(const tape__conv *c)
{
    const int64_t limit = INT64_C(1) << 20, k = tape__min(c->out_channels, limit);
    int64_t in = 1, out = 1;
    for (int i = 0; i < AXES; i++) {
        if (c->stride[i] != 1 || c->padding[i] != 0 || c->out[i] > limit ||
            c->in[i] - c->out[i] < (c->kernel[i] - 1) * c->dilation[i])
            return false;
        in = tape__min(in * tape__min(c->in[i], limit), limit);
        out = tape__min(out * c->out[i], limit);
    }
    return 4 * in * k > 5 * out * (k + ADDITION);
}

static TAPE__NOINLINE struct spread make_plan(const tape__gemm_kernels *kernels, const tape__conv *c, bool threads)
{
    struct spread s = {.p = tape__conv_new_plan(kernels, c), .taps = tape__volume(c->kernel), .parts = 1};
    tape__conv_plan *p = &s.p;
    tape__conv_forward_lattice(&p->lattice, c);
    p->m = c->in_channels;
    p->k = c->out_channels;
    p->k_block = tape__conv_k_block(p->k);
    p->width = tape__gemm_width(p->type, p->m);
    p->cut = tape__lattice_cut_by(&p->lattice, TAPE__CONV_COLUMN_BYTES / p->item, 1);
    const int64_t images = c->batch * c->groups, most = TAPE__CONV_TASKS, columns = p->cut.rows * p->cut.columns;
    s.part = p->m;
    if (threads && images > 0 && images < most)
        s.part = tape__round_up(tape__ceil_div(p->m, tape__ceil_div(most, images)), p->type->rows);
    if (p->m > 0)
        s.parts = tape__ceil_div(p->m, s.part);
    s.in_place = p->cut.columns % p->type->lanes == 0 && c->out[2] % p->type->lanes == 0;
    p->tasks = threads ? tape__max(1, tape__min(images * s.parts, most)) : 1;
    p->weight_bytes = tape__round_up(c->groups * p->m * p->k * s.taps * p->item, TAPE__CONV_ALIGN);
    p->tile_bytes = s.in_place ? 0 : tape__round_up(s.part * columns * p->item, TAPE__CONV_ALIGN);
    return s;
}

/* Slivers of rows of each tap's weights, of a group: [k][rows], block of k by block of k, part by part. */
static void pack_weights(const struct spread *s, const char *w, char *out)
{
    const tape__conv_plan *p = &s->p;
    const int64_t row = s->taps * p->item;
    for (int64_t first = 0; first < p->m; first += s->part)
        for (int64_t t = 0; t < s->taps; t++)
            for (int64_t q = 0; q < p->k; q += p->k_block) {
                const int64_t k = tape__min(p->k_block, p->k - q), end = tape__min(p->m, first + s->part);
                for (int64_t i = first, rows; i < end; i += rows) {
                    rows = tape__gemm_sliver(end - i, p->type->rows);
                    p->type->pack(out, rows, k, w + (q * p->m + i) * row + t * p->item, row, p->m * row);
                    out += rows * k * p->item;
                }
            }
}

#define ADD_RUN(type)                                                                                                  \
    for (int64_t j = 0; j < n; j++)                                                                                    \
        ((type *)(void *)c)[j] += ((const type *)(const void *)x)[j];

static void add_run(int64_t item, char *c, const char *x, int64_t n)
{
    if (item == sizeof(float))
        ADD_RUN(float)
    else
        ADD_RUN(double)
}

/* A block's product for one tap and one block of k, added to c, where the tap looks from the first position. */
static void add_product(const struct spread *s, const tape__window_block *b, tape__gemm_block *block, char *c,
                        char *tile)
{
    const tape__conv_plan *p = &s->p;
    const int64_t item = p->item, lanes = p->type->lanes, per_row = b->count[2] / lanes, line = p->conv->in[2] * item;
    const int64_t columns = b->count[1] * b->count[2], c_row = tape__volume(p->conv->in) * item;
    if (!s->in_place) {
        block->n = columns;
        block->c = tile;
        block->c_row = columns * item;
        p->type->block(block);
        for (int64_t i = 0; i < block->m; i++)
            for (int64_t r = 0; r < b->count[1]; r++, tile += b->count[2] * item)
                add_run(item, c + i * c_row + r * line, tile, b->count[2]);
        return;
    }
    block->c_row = block->add_row = c_row;
    for (int64_t v = 0, vectors = b->count[1] * per_row; v < vectors; v += 2) {
        const int64_t at = v / per_row * line + v % per_row * lanes * item;
        block->n = tape__min(2, vectors - v) * lanes;
        block->c = c + at;
        block->c_apart = (v + 1) / per_row * line + (v + 1) % per_row * lanes * item - at;
        block->add = block->c;
        p->type->block(block);
        block->b += 2 * lanes * item;
    }
}

struct job {
    const struct spread *s;
    const char *g, *bias;
    char *out, *weights, *tasks;
};

/* All taps of a unit, one after the other, of each all positions, so that how these are cut decides no bit. */
static void add_taps(const struct spread *s, int64_t m, const char *g, const char *weights, char *out, char *tile)
{
    const tape__conv_plan *p = &s->p;
    const tape__conv *conv = p->conv;
    const int64_t plane = tape__volume(conv->out) * p->item, *kernel = conv->kernel, blocks = p->cut.blocks;
    for (int64_t i = 0; i < s->taps * blocks; i++) {
        const tape__window_block b = tape__lattice_block(&p->lattice, &p->cut, i % blocks);
        const int64_t t = i / blocks,
                      tap[AXES] = {t / (kernel[1] * kernel[2]), t / kernel[2] % kernel[1], t % kernel[2]};
        const char *a = weights + t * m * p->k * p->item;
        int64_t from = 0, to = 0;
        for (int j = 0; j < AXES; j++) {
            from = from * conv->out[j] + b.from[j];
            to = to * conv->in[j] + b.from[j] + tap[j] * conv->dilation[j];
        }
        for (int64_t q = 0; q < p->k; q += p->k_block) {
            tape__gemm_block block = {.m = m,
                                      .k = tape__min(p->k_block, p->k - q),
                                      .width = p->width,
                                      .a = a,
                                      .a_row = p->item,
                                      .a_packed = true,
                                      .b = g + from * p->item + q * plane,
                                      .b_k = plane,
                                      .b_col = p->item};
            add_product(s, &b, &block, out + to * p->item, tile);
            a += m * block.k * p->item;
        }
    }
}

static void units_body(void *arg, int64_t task)
{
    const struct job *job = arg;
    const struct spread *s = job->s;
    const tape__conv_plan *p = &s->p;
    const tape__conv *conv = p->conv;
    const int64_t units = conv->batch * conv->groups * s->parts, share = tape__ceil_div(units, p->tasks);
    const int64_t plane = tape__volume(conv->in);
    for (int64_t u = task * share; u < tape__min(units, (task + 1) * share); u++) {
        const int64_t image = u / s->parts, group = image % conv->groups, first = u % s->parts * s->part;
        const int64_t m = tape__min(s->part, p->m - first), channel = group * p->m + first;
        char *out = job->out + (image * p->m + first) * plane * p->item;
        tape__conv_fill(p->item, m, job->bias ? job->bias + channel * p->item : NULL, out, plane * p->item, plane);
        add_taps(s, m, job->g + image * p->k * tape__volume(conv->out) * p->item,
                 job->weights + channel * p->k * s->taps * p->item, out, job->tasks + task * p->tile_bytes);
    }
}

size_t tape__conv_spread_bytes(const tape__gemm_kernels *kernels, const tape__conv *conv, bool threads)
{
    const struct spread s = make_plan(kernels, conv, threads);
    return (size_t)(s.p.weight_bytes + s.p.tasks * s.p.tile_bytes);
}

void tape__conv_spread_run(const tape__gemm_kernels *kernels, const tape__conv *conv, const char *g, const char *w,
                           const char *bias, char *out, char *workspace, const struct tape__parallel *parallel)
{
    const struct spread s = make_plan(kernels, conv, parallel != NULL);
    const int64_t group = s.p.m * s.p.k * s.taps * s.p.item;
    const struct job job = {&s, g, bias, out, workspace, workspace + s.p.weight_bytes};
    for (int64_t i = 0; i < conv->groups && group > 0; i++)
        pack_weights(&s, w + i * group, job.weights + i * group);
    if (s.p.m > 0)
        tape__parallel_for(parallel, s.p.tasks, units_body, (void *)(uintptr_t)&job);
}
