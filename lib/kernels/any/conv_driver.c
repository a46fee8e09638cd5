/* Chooses how a convolution's sums are cut into matrix products. Knows which sums to make; where windows lie is
   conv_patch's, how blocks are run conv_sum's and conv_weight's, the arithmetic the matrix kernels'. */
#include "kernels/any/conv_driver.h"

#include "base.h"
#include "kernels/any/conv_plan.h"

enum {
    AXES = TAPE__CONV_AXES,
    FEW_POSITIONS = 48 /* up to which images share a block */
};

static int64_t positions(const tape__conv_plan *p)
{
    return tape__volume(p->lattice.grid);
}

int64_t tape__conv_work(const tape__conv_plan *p)
{
    const int64_t limit = INT64_C(1) << 20;
    return tape__min(p->m, limit) * tape__min(p->k, limit) *
           tape__min(tape__min(positions(p), limit) * tape__min(p->conv->batch, limit), limit);
}

int64_t tape__conv_k_block(int64_t k)
{
    const int64_t most = TAPE__CONV_K_MOST;
    return k > 0 ? tape__min(tape__round_up(tape__ceil_div(k, tape__ceil_div(k, most)), TAPE__CONV_K_ROUND), most)
                 : TAPE__CONV_K_ROUND;
}

/* Windows are multiplied where they lie if their rows fill most of the vectors that they take. */
static void choose_place(tape__conv_plan *p)
{
    const int64_t most = TAPE__CONV_COLUMN_BYTES / p->item, lanes = p->type->lanes, w = p->lattice.grid[2];
    const int64_t rows = tape__min(p->k_block, p->k);
    p->images = 1;
    p->unit = 5 * w >= 4 * tape__round_up(w, lanes) ? lanes : 1;
    if (p->unit > 1) {
        p->cut = tape__lattice_cut_by(&p->lattice, most, p->unit);
        p->place = tape__window_place_of(&p->lattice, &p->cut, 1, rows, p->unit);
        if (p->place.kind != TAPE__IN_MATRIX)
            return;
    }
    const int64_t n = positions(p);
    p->unit = 1;
    p->cut = tape__lattice_cut_by(&p->lattice, most, 1);
    p->images = n > 0 && n <= FEW_POSITIONS ? tape__max(1, tape__min(p->conv->batch, most / n)) : 1;
    p->place = tape__window_place_of(&p->lattice, &p->cut, p->images, rows, 0);
}

static void choose_blocks(tape__conv_plan *p, bool threads)
{
    const tape__conv *c = p->conv;
    tape__lattice_finish(&p->lattice);
    p->k_block = tape__conv_k_block(p->k);
    p->width = tape__gemm_width(p->type, p->m);
    choose_place(p);
    p->sets = tape__ceil_div(c->batch, p->images);
    p->scattered = p->images > 1 || p->lattice.grid[2] % p->unit != 0;
    for (int i = 0; i < AXES; i++)
        p->scattered = p->scattered || p->out_step[i] != 1;
    const int64_t columns = p->images * p->cut.rows * tape__round_up(p->cut.columns, p->unit);
    const bool spread = threads && tape__conv_work(p) >= TAPE__CONV_PARALLEL_WORK;
    p->tasks = spread ? tape__max(1, tape__min(p->sets * c->groups * p->cut.blocks, TAPE__CONV_TASKS)) : 1;
    p->weight_bytes = tape__round_up(c->groups * p->m * p->k * p->item, TAPE__CONV_ALIGN);
    p->bias_bytes = p->unit > 1 ? tape__round_up(c->groups * p->m * p->width * p->item, TAPE__CONV_ALIGN) : 0;
    p->step_bytes = tape__round_up(p->k * (int64_t)sizeof(int64_t), TAPE__CONV_ALIGN);
    p->strip_bytes = tape__round_up(p->place.bytes, TAPE__CONV_ALIGN);
    p->pack_bytes = p->unit > 1 ? 0 : tape__round_up(p->k_block * columns * p->item, TAPE__CONV_ALIGN);
    p->tile_bytes = p->scattered ? tape__round_up(p->m * columns * p->item, TAPE__CONV_ALIGN) : 0;
}

tape__conv_plan tape__conv_new_plan(const tape__gemm_kernels *kernels, const tape__conv *c)
{
    return (tape__conv_plan){.type = &kernels->type[c->dtype],
                             .conv = c,
                             .item = c->dtype == TAPE_F32 ? 4 : 8,
                             .unit = 1,
                             .lattice.item = c->dtype == TAPE_F32 ? 4 : 8};
}

void tape__conv_forward_lattice(tape__lattice *l, const tape__conv *c)
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
    l->image = c->groups * c->in_channels * tape__volume(c->in);
    tape__lattice_finish(l);
}

static tape__conv_plan forward_plan(const tape__gemm_kernels *kernels, const tape__conv *c, bool threads)
{
    tape__conv_plan p = tape__conv_new_plan(kernels, c);
    tape__conv_forward_lattice(&p.lattice, c);
    for (int i = 0; i < AXES; i++) {
        p.tap_apart[i] = p.out_step[i] = 1;
        p.out_size[i] = c->out[i];
    }
    p.m = c->out_channels;
    p.k = c->in_channels * tape__volume(c->kernel);
    p.weight_channel = tape__volume(c->kernel);
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
static bool residue_axis(tape__conv_plan *p, int i, int64_t r)
{
    const tape__conv *c = p->conv;
    const int64_t s = c->stride[i], d = c->dilation[i], apart = s / gcd(s, d), shifted = r + c->padding[i];
    tape__lattice *l = &p->lattice;
    int64_t t = 0, end = tape__min(apart, c->kernel[i]);
    while (t < end && (shifted - d * t) % s != 0)
        t++;
    if (t == end)
        return false;
    l->grid[i] = c->in[i] > r ? tape__ceil_div(c->in[i] - r, s) : 0;
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

static bool input_plan(tape__conv_plan *p, const tape__gemm_kernels *kernels, const tape__conv *c,
                       const int64_t *residue, bool threads)
{
    *p = tape__conv_new_plan(kernels, c);
    for (int i = 0; i < AXES; i++)
        if (!residue_axis(p, i, residue[i]))
            return false;
    p->lattice.channels = c->out_channels;
    p->lattice.image = c->groups * c->out_channels * tape__volume(c->out);
    p->m = c->in_channels;
    p->k = c->out_channels * tape__volume(p->lattice.taps);
    p->weight_channel = c->in_channels * tape__volume(c->kernel);
    p->weight_row = tape__volume(c->kernel);
    choose_blocks(p, threads);
    return true;
}

/* The next residue of all axes; false after the last. */
static bool next_residue(const tape__conv *c, int64_t *residue)
{
    for (int i = AXES - 1; i >= 0; i--) {
        if (++residue[i] < tape__min(c->stride[i], c->in[i]))
            return true;
        residue[i] = 0;
    }
    return false;
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
        tape__conv_plan p;
        if (input_plan(&p, kernels, c, residue, threads) && tape__conv_sum_bytes(&p) > bytes)
            bytes = tape__conv_sum_bytes(&p);
    } while (next_residue(c, residue));
    return bytes;
}

/* Positions that no tap reaches are set before. */
static void run_input(const tape__gemm_kernels *kernels, const tape__conv *c, const char *g, const char *w,
                      const char *bias, char *out, char *workspace, const struct tape__parallel *parallel)
{
    const int64_t item = c->dtype == TAPE_F32 ? 4 : 8, channels = c->groups * c->in_channels, n = tape__volume(c->in);
    int64_t residue[AXES] = {0, 0, 0};
    for (int64_t i = 0; is_strided(c) && i < c->batch; i++)
        tape__conv_fill(item, channels, bias, out + i * channels * n * item, n * item, n);
    do {
        tape__conv_plan p;
        if (input_plan(&p, kernels, c, residue, parallel != NULL))
            tape__conv_sum_run(&p, g, w, bias, out, workspace, parallel);
    } while (next_residue(c, residue));
}

/* ---- entry ------------------------------------------------------------------------------------------------------- */

size_t tape__conv_workspace(const tape__gemm_kernels *kernels, const tape__conv *conv, enum tape__conv_kind kind,
                            const struct tape__parallel *parallel)
{
    const bool threads = parallel != NULL;
    if (kind == TAPE__CONV_INPUT)
        return (tape__conv_spreads(conv) ? tape__conv_spread_bytes : input_bytes)(kernels, conv, threads);
    if (kind == TAPE__CONV_WEIGHT)
        return tape__conv_weight_bytes(kernels, conv, threads);
    tape__conv_plan p = forward_plan(kernels, conv, threads);
    return tape__conv_sum_bytes(&p);
}

void tape__conv_run(const tape__gemm_kernels *kernels, const tape__conv *conv, enum tape__conv_kind kind,
                    const void *image, const void *other, const void *bias, void *out, void *workspace,
                    const struct tape__parallel *parallel)
{
    if (kind == TAPE__CONV_INPUT) {
        (tape__conv_spreads(conv) ? tape__conv_spread_run : run_input)(kernels, conv, image, other, bias, out,
                                                                       workspace, parallel);
    } else if (kind == TAPE__CONV_WEIGHT) {
        tape__conv_weight_run(kernels, conv, image, other, out, workspace, parallel);
    } else {
        tape__conv_plan p = forward_plan(kernels, conv, parallel != NULL);
        tape__conv_sum_run(&p, image, other, bias, out, workspace, parallel);
    }
}
