/* Cuts convolutions into matrix products of packed weights and packed windows, and spreads them over threads. Knows
   which sums to make; where windows lie is conv_patch's, the arithmetic the matrix kernels'. */
#include "kernels/any/conv_driver.h"

#include <string.h>

#include "base.h"
#include "kernels/any/conv_patch.h"

/* K_ROUND and the shards decide bits, so they are the same for every processor; the others are free. */
enum {
    AXES = TAPE__CONV_AXES,
    K_BLOCK = TAPE__PATCH_MOST,
    K_ROUND = 8,
    COLUMN_BYTES = 1024,     /* of a row of packed windows */
    FEW_POSITIONS = 48,      /* up to which images share a block */
    TASKS = 16,              /* wanted where a convolution is spread over threads */
    PARALLEL_WORK = 1000000, /* multiplications from which threads pay */
    SHARDS = 8,              /* of the images where weights alone make too few tasks */
    ALIGN = 64
};

static int64_t min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t round_up(int64_t a, int64_t b)
{
    return ceil_div(a, b) * b;
}

static int64_t volume(const int64_t *size)
{
    return size[0] * size[1] * size[2];
}

/* Equal blocks of at most K_BLOCK. */
static int64_t block_of(int64_t k)
{
    return k > 0 ? min(round_up(ceil_div(k, ceil_div(k, K_BLOCK)), K_ROUND), K_BLOCK) : K_ROUND;
}

/* ---- plans ------------------------------------------------------------------------------------------------------- */

/*
 * One product: `m` channels of a group's result, at the positions of a lattice, each a sum over `k` rows of windows.
 * For the forward sum there is one; for the input's cotangent one for each residue of a position modulo the stride.
 */
struct plan {
    const tape__gemm_type *type;
    const tape__conv *conv;
    tape__lattice lattice;
    tape__lattice_cut cut;
    int64_t item, m, k, k_block, width;
    int64_t images, sets;   /* of a block, and how many such sets */
    int64_t weight_channel; /* elements between the weights of source channels */
    int64_t weight_row;     /* and between those of result channels */
    int64_t tap_at[AXES];   /* the kernel's position of tap 0, and how far taps are apart */
    int64_t tap_apart[AXES];
    int64_t residue[AXES], out_step[AXES], out_size[AXES];
    bool scattered; /* the result's columns are not contiguous, or of several images */
    int64_t tasks;
    int64_t weight_bytes, strip_bytes, pack_bytes, tile_bytes; /* workspace: shared, and of each task */
};

static int64_t task_bytes(const struct plan *p)
{
    return p->strip_bytes + p->pack_bytes + p->tile_bytes;
}

static int64_t positions(const struct plan *p)
{
    return volume(p->lattice.grid);
}

static int64_t work_of(const struct plan *p)
{
    const int64_t limit = INT64_C(1) << 20;
    return min(p->m, limit) * min(p->k, limit) * min(min(positions(p), limit) * min(p->conv->batch, limit), limit);
}

static void choose_blocks(struct plan *p, bool threads)
{
    const tape__conv *c = p->conv;
    const int64_t most = COLUMN_BYTES / p->item, n = positions(p);
    tape__lattice_finish(&p->lattice);
    p->cut = tape__lattice_cut_by(&p->lattice, most);
    p->images = n > 0 && n <= FEW_POSITIONS ? max(1, min(c->batch, most / n)) : 1;
    p->sets = ceil_div(c->batch, p->images);
    p->k_block = block_of(p->k);
    p->width = tape__gemm_width(p->type, p->m);
    p->scattered = p->images > 1;
    for (int i = 0; i < AXES; i++)
        p->scattered = p->scattered || p->out_step[i] != 1;
    int64_t columns = p->images * p->cut.rows * p->cut.columns;
    p->tasks = threads && work_of(p) >= PARALLEL_WORK ? max(1, min(p->sets * c->groups * p->cut.blocks, TASKS)) : 1;
    p->weight_bytes = round_up(c->groups * p->m * p->k * p->item, ALIGN);
    p->strip_bytes =
        round_up((int64_t)tape__patch_bytes(&p->lattice, &p->cut, p->images, min(p->k_block, p->k)), ALIGN);
    p->pack_bytes = round_up(p->k_block * columns * p->item, ALIGN);
    p->tile_bytes = p->scattered ? round_up(p->m * columns * p->item, ALIGN) : 0;
}

static struct plan new_plan(const tape__gemm_kernels *kernels, const tape__conv *c)
{
    return (struct plan){.type = &kernels->type[c->dtype],
                         .conv = c,
                         .item = c->dtype == TAPE_F32 ? 4 : 8,
                         .lattice.item = c->dtype == TAPE_F32 ? 4 : 8};
}

/* Windows on x. */
static void forward_lattice(tape__lattice *l, const tape__conv *c)
{
    for (int i = 0; i < AXES; i++) {
        l->grid[i] = c->out[i];
        l->step[i] = c->stride[i];
        l->taps[i] = c->kernel[i];
        l->first[i] = -c->padding[i];
        l->tap_step[i] = c->dilation[i];
        l->size[i] = c->in[i];
    }
    l->channels = c->in_channels;
    l->image = c->groups * c->in_channels * volume(c->in);
}

static struct plan forward_plan(const tape__gemm_kernels *kernels, const tape__conv *c, bool threads)
{
    struct plan p = new_plan(kernels, c);
    forward_lattice(&p.lattice, c);
    for (int i = 0; i < AXES; i++) {
        p.tap_apart[i] = p.out_step[i] = 1;
        p.out_size[i] = c->out[i];
    }
    p.m = c->out_channels;
    p.k = c->in_channels * volume(c->kernel);
    p.weight_channel = volume(c->kernel);
    p.weight_row = p.k;
    choose_blocks(&p, threads);
    return p;
}

static int64_t gcd(int64_t a, int64_t b)
{
    while (b) {
        int64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

/*
 * Positions s = r + q stride of x get g[o] w[t] where s + padding = o stride + t dilation. Such t are the multiples of
 * stride / gcd(stride, dilation) from the first one on, if there is one; each next o is dilation / gcd less. False if
 * no tap reaches these positions.
 */
static bool residue_axis(struct plan *p, int i, int64_t r)
{
    const tape__conv *c = p->conv;
    const int64_t s = c->stride[i], d = c->dilation[i], apart = s / gcd(s, d), shifted = r + c->padding[i];
    tape__lattice *l = &p->lattice;
    int64_t t = 0, end = min(apart, c->kernel[i]);
    while (t < end && (shifted - d * t) % s != 0)
        t++;
    if (t == end)
        return false;
    l->grid[i] = c->in[i] > r ? ceil_div(c->in[i] - r, s) : 0;
    l->step[i] = 1;
    l->taps[i] = (c->kernel[i] - 1 - t) / apart + 1;
    l->first[i] = (shifted - d * t) / s;
    l->tap_step[i] = -(d / gcd(s, d));
    l->size[i] = c->out[i];
    p->tap_at[i] = t;
    p->tap_apart[i] = apart;
    p->residue[i] = r;
    p->out_step[i] = s;
    p->out_size[i] = c->in[i];
    return true;
}

static bool input_plan(struct plan *p, const tape__gemm_kernels *kernels, const tape__conv *c, const int64_t *residue,
                       bool threads)
{
    *p = new_plan(kernels, c);
    for (int i = 0; i < AXES; i++)
        if (!residue_axis(p, i, residue[i]))
            return false;
    p->lattice.channels = c->out_channels;
    p->lattice.image = c->groups * c->out_channels * volume(c->out);
    p->m = c->in_channels;
    p->k = c->out_channels * volume(p->lattice.taps);
    p->weight_channel = c->in_channels * volume(c->kernel);
    p->weight_row = volume(c->kernel);
    choose_blocks(p, threads);
    return true;
}

/* The next residue of all axes; false after the last. */
static bool next_residue(const tape__conv *c, int64_t *residue)
{
    for (int i = AXES - 1; i >= 0; i--) {
        if (++residue[i] < min(c->stride[i], c->in[i]))
            return true;
        residue[i] = 0;
    }
    return false;
}

/* ---- the forward sum and the input's cotangent ------------------------------------------------------------------- */

struct job {
    const struct plan *p;
    const char *image, *bias;
    char *out, *weights, *tasks;
};

/* Slivers of rows of the weights of a group: [k][rows], block of k by block of k. */
static void pack_weights(const struct plan *p, const char *w, char *out)
{
    const int64_t *taps = p->lattice.taps, count = volume(taps), *size = p->conv->kernel;
    for (int64_t q = 0; q < p->k; q += p->k_block)
        for (int64_t i = 0, rows; i < p->m; i += rows) {
            rows = tape__gemm_sliver(p->m - i, p->type->rows);
            for (int64_t k = q; k < min(p->k, q + p->k_block); k++) {
                int64_t t = k % count, at = 0;
                int64_t tap[AXES] = {t / (taps[1] * taps[2]), t / taps[2] % taps[1], t % taps[2]};
                for (int a = 0; a < AXES; a++)
                    at = at * size[a] + p->tap_at[a] + tap[a] * p->tap_apart[a];
                at += k / count * p->weight_channel + i * p->weight_row;
                for (int64_t r = 0; r < rows; r++, out += p->item)
                    memcpy(out, w + (at + r * p->weight_row) * p->item, (size_t)p->item);
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

/* m rows of `bias`, or of zeros. */
static void fill_rows(int64_t item, int64_t m, const char *bias, char *c, int64_t c_row, int64_t columns)
{
    const double zero = 0;
    for (int64_t i = 0; i < m; i++)
        put_items(c + i * c_row, 1, bias ? bias + i * item : (const char *)&zero, false, columns, item);
}

/* A tile of results to where they belong. */
static void scatter(const struct plan *p, const tape__window_block *b, const char *tile, int64_t columns, char *out)
{
    const int64_t plane = volume(p->out_size), image = p->conv->groups * p->m * plane;
    const int64_t *s = p->out_step, *size = p->out_size, run = b->count[2];
    for (int64_t i = 0; i < p->m; i++, tile += columns * p->item) {
        const char *from = tile;
        for (int64_t r = 0; r < b->images * b->count[1]; r++) {
            int64_t at = r / b->count[1] * image + i * plane;
            at += (p->residue[0] + b->from[0] * s[0]) * size[1] * size[2];
            at += (p->residue[1] + (b->from[1] + r % b->count[1]) * s[1]) * size[2];
            at += p->residue[2] + b->from[2] * s[2];
            put_items(out + at * p->item, s[2], from, true, run, p->item);
            from += run * p->item;
        }
    }
}

/* The packed windows of one block of k, multiplied. */
static void multiply(const struct plan *p, const tape__patch *patch, const char *weights, char *packed, bool add,
                     char *c, int64_t c_row)
{
    for (int64_t j = 0, width; j < patch->columns; j += width) {
        width = tape__gemm_columns(patch->columns - j, p->width, p->type->lanes);
        tape__patch_pack(patch, p->item, j, width, packed + j * patch->rows * p->item);
    }
    tape__gemm_block block = {.m = p->m,
                              .n = patch->columns,
                              .k = patch->rows,
                              .width = p->width,
                              .a = weights,
                              .a_row = p->item,
                              .b = packed,
                              .b_col = p->item,
                              .c = c,
                              .c_row = c_row,
                              .add = add ? c : NULL,
                              .add_row = c_row,
                              .a_packed = true,
                              .b_packed = true};
    p->type->block(&block);
}

/* One block of positions of a group of some images. */
static void run_block(const struct job *job, int64_t index, char *space)
{
    const struct plan *p = job->p;
    const tape__conv *conv = p->conv;
    const int64_t in_set = conv->groups * p->cut.blocks, set = index / in_set;
    const int64_t group = index % in_set / p->cut.blocks;
    tape__window_block b = tape__lattice_block(&p->lattice, &p->cut, index % p->cut.blocks);
    b.images = min(p->images, conv->batch - set * p->images);
    const int64_t source = set * p->images * p->lattice.image + group * p->lattice.channels * volume(p->lattice.size);
    const int64_t plane = volume(p->out_size), columns = b.images * b.count[1] * b.count[2];
    const char *bias = job->bias ? job->bias + group * p->m * p->item : NULL;
    char *strip = space, *packed = strip + p->strip_bytes, *tile = packed + p->pack_bytes;
    char *out = job->out + (set * p->images * conv->groups + group) * p->m * plane * p->item;
    char *c = out + ((b.from[0] * p->out_size[1] + b.from[1]) * p->out_size[2] + b.from[2]) * p->item;
    int64_t c_row = plane * p->item;
    if (p->scattered) {
        c = tile;
        c_row = columns * p->item;
    }
    if (bias || p->k == 0)
        fill_rows(p->item, p->m, bias, c, c_row, columns);
    for (int64_t q = 0; q < p->k; q += p->k_block) {
        tape__patch patch;
        tape__patch_make(&patch, &p->lattice, &b, job->image + source * p->item, q, min(p->k_block, p->k - q), strip);
        multiply(p, &patch, job->weights + (group * p->k + q) * p->m * p->item, packed, bias || q > 0, c, c_row);
    }
    if (p->scattered)
        scatter(p, &b, tile, columns, out);
}

static void blocks_body(void *arg, int64_t task)
{
    const struct job *job = arg;
    const struct plan *p = job->p;
    const int64_t blocks = p->sets * p->conv->groups * p->cut.blocks, share = ceil_div(blocks, p->tasks);
    for (int64_t i = task * share; i < min(blocks, (task + 1) * share); i++)
        run_block(job, i, job->tasks + task * task_bytes(p));
}

static void run_plan(const struct plan *p, const char *image, const char *w, const char *bias, char *out,
                     char *workspace, const struct tape__parallel *parallel)
{
    if (p->m == 0 || positions(p) == 0)
        return;
    struct job job = {p, image, bias, out, workspace, workspace + p->weight_bytes};
    for (int64_t g = 0; g < p->conv->groups; g++)
        pack_weights(p, w + g * p->conv->out_channels * p->conv->in_channels * volume(p->conv->kernel) * p->item,
                     job.weights + g * p->m * p->k * p->item);
    tape__parallel_for(parallel, p->tasks, blocks_body, &job);
}

static size_t plan_bytes(const struct plan *p)
{
    return (size_t)(p->weight_bytes + p->tasks * task_bytes(p));
}

static bool is_strided(const tape__conv *c)
{
    return c->stride[0] > 1 || c->stride[1] > 1 || c->stride[2] > 1;
}

static size_t input_bytes(const tape__gemm_kernels *kernels, const tape__conv *c, bool threads)
{
    size_t bytes = 0;
    int64_t residue[AXES] = {0, 0, 0};
    do {
        struct plan p;
        if (input_plan(&p, kernels, c, residue, threads) && plan_bytes(&p) > bytes)
            bytes = plan_bytes(&p);
    } while (next_residue(c, residue));
    return bytes;
}

/* Positions that no tap reaches are set before. */
static void run_input(const tape__gemm_kernels *kernels, const tape__conv *c, const char *g, const char *w,
                      const char *bias, char *out, char *workspace, const struct tape__parallel *parallel)
{
    const int64_t item = c->dtype == TAPE_F32 ? 4 : 8, channels = c->groups * c->in_channels, n = volume(c->in);
    int64_t residue[AXES] = {0, 0, 0};
    for (int64_t i = 0; is_strided(c) && i < c->batch; i++)
        fill_rows(item, channels, bias, out + i * channels * n * item, n * item, n);
    do {
        struct plan p;
        if (input_plan(&p, kernels, c, residue, parallel != NULL))
            run_plan(&p, g, w, bias, out, workspace, parallel);
    } while (next_residue(c, residue));
}

/* ---- the weight's cotangent -------------------------------------------------------------------------------------- */

/* Tasks are blocks of the weight's columns (channels by taps) of a group for a shard of the images, whose sums are
   added in the order of the shards. */
struct weight_plan {
    struct plan p; /* its k are the positions of some images' blocks, its columns the forward sum's k */
    int64_t columns, column_block, column_blocks, shards, shard_sets;
    int64_t sum_bytes, a_bytes, b_bytes; /* workspace: the shards' sums, and of each task */
};

static int64_t weight_task_bytes(const struct weight_plan *w)
{
    return w->p.strip_bytes + w->a_bytes + w->b_bytes;
}

static struct weight_plan make_weight_plan(const tape__gemm_kernels *kernels, const tape__conv *c, bool threads)
{
    struct weight_plan w = {.p = new_plan(kernels, c)};
    struct plan *p = &w.p;
    forward_lattice(&p->lattice, c);
    tape__lattice_finish(&p->lattice);
    const int64_t n = positions(p);
    p->m = c->out_channels;
    p->k = c->in_channels * volume(c->kernel);
    p->cut = tape__lattice_cut_by(&p->lattice, K_BLOCK);
    p->images = p->cut.blocks == 1 && n > 0 ? max(1, min(c->batch, K_BLOCK / n)) : 1;
    p->sets = ceil_div(c->batch, p->images);
    p->width = tape__gemm_width(p->type, p->m);
    w.columns = p->k;
    w.column_block = block_of(w.columns);
    w.column_blocks = ceil_div(w.columns, w.column_block);
    const int64_t blocks = max(1, w.column_blocks * c->groups);
    w.shards = work_of(p) >= PARALLEL_WORK ? max(1, min(p->sets, SHARDS / blocks)) : 1;
    w.shard_sets = max(1, ceil_div(p->sets, w.shards));
    w.shards = ceil_div(p->sets, w.shard_sets);
    p->tasks = threads && work_of(p) >= PARALLEL_WORK ? min(TASKS, blocks * w.shards) : 1;
    const int64_t k = p->images * p->cut.rows * p->cut.columns;
    w.sum_bytes = w.shards > 1 ? round_up(w.shards * c->groups * p->m * p->k * p->item, ALIGN) : 0;
    p->strip_bytes = round_up((int64_t)tape__patch_bytes(&p->lattice, &p->cut, p->images, w.column_block), ALIGN);
    w.a_bytes = round_up(p->m * k * p->item, ALIGN);
    w.b_bytes = round_up(w.column_block * k * p->item, ALIGN);
    return w;
}

struct weight_job {
    const struct weight_plan *plan;
    const char *x, *g;
    char *out, *tasks;
};

/* Slivers of rows of y's cotangent at a block's positions: [position][rows]. */
static void pack_cotangent(const struct plan *p, const tape__window_block *b, const char *g, char *out)
{
    const int64_t plane = volume(p->lattice.grid), image = p->conv->groups * p->m * plane;
    const int64_t n = b->count[1] * b->count[2];
    const int64_t at = (b->from[0] * p->lattice.grid[1] + b->from[1]) * p->lattice.grid[2] + b->from[2];
    for (int64_t i = 0, rows; i < p->m; i += rows) {
        rows = tape__gemm_sliver(p->m - i, p->type->rows);
        for (int64_t e = 0; e < b->images; e++, out += rows * n * p->item)
            p->type->pack(out, rows, n, g + (e * image + i * plane + at) * p->item, plane * p->item, p->item);
    }
}

/* The products of one block of positions, added to c. */
static void weight_block(const struct weight_job *job, tape__window_block *b, int64_t set, int64_t group,
                         int64_t column, char *space, char *c, bool add)
{
    const struct weight_plan *w = job->plan;
    const struct plan *p = &w->p;
    const tape__conv *conv = p->conv;
    char *strip = space, *a = strip + p->strip_bytes, *packed = a + w->a_bytes;
    b->images = min(p->images, conv->batch - set * p->images);
    const int64_t source = set * p->images * p->lattice.image + group * conv->in_channels * volume(conv->in);
    const int64_t cotangent = (set * p->images * conv->groups + group) * p->m * volume(conv->out);
    tape__patch patch;
    tape__patch_make(&patch, &p->lattice, b, job->x + source * p->item, column,
                     min(w->column_block, w->columns - column), strip);
    pack_cotangent(p, b, job->g + cotangent * p->item, a);
    for (int64_t j = 0, width; j < patch.rows; j += width) {
        width = tape__gemm_columns(patch.rows - j, p->width, p->type->lanes);
        tape__patch_pack_turned(&patch, p->item, j, width, packed + j * patch.columns * p->item);
    }
    const int64_t c_row = w->columns * p->item;
    tape__gemm_block block = {.m = p->m,
                              .n = patch.rows,
                              .k = patch.columns,
                              .width = p->width,
                              .a = a,
                              .a_row = p->item,
                              .b = packed,
                              .b_col = p->item,
                              .c = c,
                              .c_row = c_row,
                              .add = add ? c : NULL,
                              .add_row = c_row,
                              .a_packed = true,
                              .b_packed = true};
    p->type->block(&block);
}

static void weight_body(void *arg, int64_t task)
{
    const struct weight_job *job = arg;
    const struct weight_plan *w = job->plan;
    const struct plan *p = &w->p;
    const int64_t groups = p->conv->groups, units = w->shards * groups * w->column_blocks;
    const int64_t share = ceil_div(units, p->tasks);
    char *space = job->tasks + task * weight_task_bytes(w);
    for (int64_t u = task * share; u < min(units, (task + 1) * share); u++) {
        int64_t shard = u / (groups * w->column_blocks), group = u / w->column_blocks % groups;
        int64_t column = u % w->column_blocks * w->column_block, first = shard * w->shard_sets;
        char *c = job->out + ((shard * groups + group) * p->m * w->columns + column) * p->item;
        for (int64_t set = first; set < min(p->sets, first + w->shard_sets); set++)
            for (int64_t i = 0; i < p->cut.blocks; i++) {
                tape__window_block b = tape__lattice_block(&p->lattice, &p->cut, i);
                weight_block(job, &b, set, group, column, space, c, set > first || i > 0);
            }
    }
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

static void run_weight(const struct weight_plan *w, const char *x, const char *g, char *out, char *workspace,
                       const struct tape__parallel *parallel)
{
    const struct plan *p = &w->p;
    const int64_t n = p->conv->groups * p->m * p->k;
    if (n == 0)
        return;
    if (p->sets == 0 || positions(p) == 0) {
        memset(out, 0, (size_t)(n * p->item));
        return;
    }
    struct weight_job job = {w, x, g, w->shards > 1 ? workspace : out, workspace + w->sum_bytes};
    tape__parallel_for(parallel, p->tasks, weight_body, &job);
    if (w->shards > 1)
        add_shards(p->conv->dtype, w->shards, n, workspace, out);
}

/* ---- entry ------------------------------------------------------------------------------------------------------- */

size_t tape__conv_workspace(const tape__gemm_kernels *kernels, const tape__conv *conv, enum tape__conv_kind kind,
                            const struct tape__parallel *parallel)
{
    const bool threads = parallel != NULL;
    if (kind == TAPE__CONV_INPUT)
        return input_bytes(kernels, conv, threads);
    if (kind == TAPE__CONV_WEIGHT) {
        struct weight_plan w = make_weight_plan(kernels, conv, threads);
        return (size_t)(w.sum_bytes + w.p.tasks * weight_task_bytes(&w));
    }
    struct plan p = forward_plan(kernels, conv, threads);
    return plan_bytes(&p);
}

void tape__conv_run(const tape__gemm_kernels *kernels, const tape__conv *conv, enum tape__conv_kind kind,
                    const void *image, const void *other, const void *bias, void *out, void *workspace,
                    const struct tape__parallel *parallel)
{
    if (kind == TAPE__CONV_INPUT) {
        run_input(kernels, conv, image, other, bias, out, workspace, parallel);
    } else if (kind == TAPE__CONV_WEIGHT) {
        struct weight_plan w = make_weight_plan(kernels, conv, parallel != NULL);
        run_weight(&w, image, other, out, workspace, parallel);
    } else {
        struct plan p = forward_plan(kernels, conv, parallel != NULL);
        run_plan(&p, image, other, bias, out, workspace, parallel);
    }
}
