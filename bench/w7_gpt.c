/* w7_gpt: training steps of a GPT-2 style transformer (pre-LN, causal attention, GELU, tied head, AdamW), and memory.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "tape/optim.h"
#include "tape/tape.h"

enum { MOST_LAYERS = 6, WARM_UP = 2, LOOK = 3 };

static const struct size {
    const char *name;
    int batch, time, channels, layers, heads, vocabulary, repetitions;
} sizes[] = {{"a", 8, 64, 128, 4, 4, 65, 15}, {"b", 4, 256, 384, 6, 6, 256, 7}};

typedef struct affine {
    tape_tensor weight, bias;
} affine;

typedef struct block {
    affine norm1, qkv, out, norm2, up, down;
} block;

typedef struct gpt {
    const struct size *size;
    tape_params *set;
    tape_optim *optim;
    tape_tensor token, place, x, target;
    block block[MOST_LAYERS];
    affine norm;
} gpt;

/* ---- making ------------------------------------------------------------------------------------------------------ */

static tape_tensor random_leaf(gpt *m, tape_shape shape, double low, double high)
{
    char name[16];
    snprintf(name, sizeof name, "p%d", (int)tape_params_count(m->set));
    tape_tensor leaf = tape_params_new(m->set, name, TAPE_F32, shape);
    float *data = tape_data_mut(leaf);
    if (data)
        bench_random(data, tape_numel(leaf), low, high);
    return leaf;
}

static affine new_linear(gpt *m, int64_t in, int64_t out)
{
    affine a = {.weight = random_leaf(m, TAPE_SHAPE(out, in), -0.05, 0.05)};
    a.bias = random_leaf(m, TAPE_SHAPE(out), -0.05, 0.05);
    return a;
}

static affine new_norm(gpt *m, int64_t channels)
{
    affine a = {.weight = random_leaf(m, TAPE_SHAPE(channels), 0.9, 1.1)};
    a.bias = random_leaf(m, TAPE_SHAPE(channels), -0.1, 0.1);
    return a;
}

/* Tokens in a fixed pattern; each is to be followed by the next one. */
static void make_tokens(gpt *m)
{
    const struct size *s = m->size;
    int64_t n = (int64_t)s->batch * s->time, *token = malloc((size_t)(n + 1) * sizeof *token);
    if (!token)
        return;
    for (int64_t i = 0; i <= n; i++)
        token[i] = (i * i + 7 * i) % 1009 % s->vocabulary;
    m->x = tape_const(TAPE_I64, TAPE_SHAPE(s->batch, s->time), token);
    m->target = tape_const(TAPE_I64, TAPE_SHAPE(n), token + 1);
    free(token);
}

static gpt make(const struct size *s)
{
    gpt m = {.size = s, .set = tape_params_create(), .x = TAPE_NULL, .target = TAPE_NULL};
    int64_t c = s->channels;
    bench_seed(7);
    m.token = random_leaf(&m, TAPE_SHAPE(s->vocabulary, c), -0.05, 0.05);
    m.place = random_leaf(&m, TAPE_SHAPE(s->time, c), -0.05, 0.05);
    for (int i = 0; i < s->layers; i++) {
        block *b = &m.block[i];
        b->norm1 = new_norm(&m, c);
        b->qkv = new_linear(&m, c, 3 * c);
        b->out = new_linear(&m, c, c);
        b->norm2 = new_norm(&m, c);
        b->up = new_linear(&m, c, 4 * c);
        b->down = new_linear(&m, 4 * c, c);
    }
    m.norm = new_norm(&m, c);
    m.optim = tape_optim_adamw(m.set, &(tape_adam_options){.lr = 0.001});
    make_tokens(&m);
    return m;
}

/* ---- a step ------------------------------------------------------------------------------------------------------ */

static tape_tensor linear(tape_tensor x, affine a)
{
    return tape_linear(x, a.weight, a.bias);
}

static tape_tensor norm(tape_tensor x, affine a)
{
    return tape_layer_norm(x, a.weight, a.bias, 1, 1e-5);
}

/* [B, T, C] with the channels of all heads side by side, to [B, H, T, C / H]. */
static tape_tensor by_head(const struct size *s, tape_tensor x)
{
    tape_tensor heads = tape_reshape(x, TAPE_SHAPE(s->batch, s->time, s->heads, s->channels / s->heads));
    return tape_transpose(heads, 1, 2);
}

static tape_tensor attend(const struct size *s, const block *b, tape_tensor x)
{
    const tape_attention_options causal = {.causal = true};
    tape_tensor part[3] = {TAPE_NULL, TAPE_NULL, TAPE_NULL};
    tape_chunk(linear(x, b->qkv), 2, 3, part);
    tape_tensor y = tape_attention(by_head(s, part[0]), by_head(s, part[1]), by_head(s, part[2]), TAPE_NONE, &causal);
    return linear(tape_reshape(tape_transpose(y, 1, 2), TAPE_SHAPE(s->batch, s->time, s->channels)), b->out);
}

static tape_tensor loss_of(const gpt *m)
{
    const struct size *s = m->size;
    tape_tensor x = tape_add(tape_embedding(m->token, m->x, NULL), m->place);
    for (int i = 0; i < s->layers; i++) {
        const block *b = &m->block[i];
        x = tape_add(x, attend(s, b, norm(x, b->norm1)));
        x = tape_add(x, linear(tape_gelu_tanh(linear(norm(x, b->norm2), b->up)), b->down));
    }
    tape_tensor logits = tape_linear(norm(x, m->norm), m->token, TAPE_NONE);
    return tape_cross_entropy(tape_flatten(logits, 0, 1), m->target, NULL);
}

static double step(const gpt *m, bool look)
{
    tape_tensor loss = loss_of(m);
    double value = look ? tape_item(loss) : 0;
    tape_backward(loss);
    tape_optim_step(m->optim);
    tape_params_zero_grad(m->set);
    tape_reset();
    return value;
}

static void report(const char *size, const bench_times *times, double loss, double bytes)
{
    char metric[16];
    snprintf(metric, sizeof metric, "%s.check", size);
    bench_report("w7_gpt", metric, loss, "nats");
    snprintf(metric, sizeof metric, "%s.step", size);
    bench_report_times("w7_gpt", metric, times, 1e3, "ms");
    snprintf(metric, sizeof metric, "%s.peak.bytes", size);
    bench_report("w7_gpt", metric, bytes, "bytes");
}

/* On a tape of its own, so that the peak is this model's: what is resident beyond the idle process. */
static void run(const struct size *s)
{
    tape *outer = tape_make_current(tape_create(NULL));
    bench_times times = {0};
    double idle = bench_resident();
    bench_forget_peak();
    gpt m = make(s);
    double first = step(&m, true), last = first;
    for (int i = 1; i < LOOK; i++)
        last = step(&m, true);
    for (int r = -WARM_UP; r < s->repetitions; r++) {
        double start = bench_now();
        step(&m, false);
        if (r >= 0)
            bench_add(&times, bench_now() - start);
    }
    if (bench_check(last < first, "w7_gpt", "the loss decreases"))
        report(s->name, &times, last, bench_peak_resident() - idle);
    tape_optim_destroy(m.optim);
    tape_params_destroy(m.set);
    tape_free(m.x), tape_free(m.target);
    tape_destroy(tape_make_current(outer));
}

void bench_w7_gpt(void)
{
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char name[16];
        snprintf(name, sizeof name, "w7_gpt.%s", sizes[i].name);
        if (bench_wants(name))
            run(&sizes[i]);
    }
}
