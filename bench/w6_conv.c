/* w6_conv: a small convolutional network's whole training steps, and one large convolution forward and backward. */
#include <math.h>
#include <stdlib.h>

#include "bench.h"
#include "tape/optim.h"
#include "tape/tape.h"

enum { REPETITIONS = 15, WARM_UP = 2, LOOK = 3 };

/* A leaf of numbers in -limit..limit. */
static tape_tensor random_leaf(tape_params *set, const char *name, tape_shape shape, double limit)
{
    int64_t n = 1;
    for (int i = 0; i < shape.rank; i++)
        n *= shape.size[i];
    float *data = malloc((size_t)n * sizeof *data);
    if (!data)
        return TAPE_NULL;
    bench_random(data, n, -limit, limit);
    tape_tensor leaf = set ? tape_params_new(set, name, TAPE_F32, shape) : tape_param(TAPE_F32, shape, data);
    tape_write(leaf, data, (size_t)n * sizeof *data);
    free(data);
    return leaf;
}

/* ---- a: a network ------------------------------------------------------------------------------------------------ */

enum { BATCH = 64, CLASSES = 10 };

typedef struct net {
    tape_params *set;
    tape_optim *optim;
    tape_tensor w1, b1, w2, b2, fc, bias, x, target;
} net;

static net make_net(void)
{
    int64_t target[BATCH];
    net m = {.set = tape_params_create()};
    for (int i = 0; i < BATCH; i++)
        target[i] = i % CLASSES;
    bench_seed(6);
    m.w1 = random_leaf(m.set, "conv1.weight", TAPE_SHAPE(16, 1, 5, 5), 0.2);
    m.b1 = random_leaf(m.set, "conv1.bias", TAPE_SHAPE(16), 0.2);
    m.w2 = random_leaf(m.set, "conv2.weight", TAPE_SHAPE(32, 16, 5, 5), 0.05);
    m.b2 = random_leaf(m.set, "conv2.bias", TAPE_SHAPE(32), 0.05);
    m.fc = random_leaf(m.set, "fc.weight", TAPE_SHAPE(CLASSES, 512), 0.05);
    m.bias = random_leaf(m.set, "fc.bias", TAPE_SHAPE(CLASSES), 0.05);
    m.x = random_leaf(NULL, "", TAPE_SHAPE(BATCH, 1, 28, 28), 1);
    tape_set_requires_grad(m.x, false);
    m.target = tape_const(TAPE_I64, TAPE_SHAPE(BATCH), target);
    m.optim = tape_optim_sgd(m.set, &(tape_sgd_options){.lr = 0.1});
    return m;
}

static double step(const net *m, bool look)
{
    const tape_pool_options two = {.kernel = {2, 2}};
    tape_tensor h = tape_max_pool2d(tape_relu(tape_conv2d(m->x, m->w1, m->b1, NULL)), &two, NULL);
    h = tape_max_pool2d(tape_relu(tape_conv2d(h, m->w2, m->b2, NULL)), &two, NULL);
    h = tape_linear(tape_flatten(h, 1, -1), m->fc, m->bias);
    tape_tensor loss = tape_cross_entropy(h, m->target, NULL);
    double value = look ? tape_item(loss) : 0;
    tape_backward(loss);
    tape_optim_step(m->optim);
    tape_params_zero_grad(m->set);
    tape_reset();
    return value;
}

static void run_net(void)
{
    net m = make_net();
    bench_times times = {0};
    double first = step(&m, true), last = first;
    for (int i = 1; i < LOOK; i++)
        last = step(&m, true);
    for (int r = -WARM_UP; r < REPETITIONS; r++) {
        double start = bench_now();
        step(&m, false);
        if (r >= 0)
            bench_add(&times, bench_now() - start);
    }
    if (bench_check(last < first, "w6_conv", "the loss decreases")) {
        bench_report("w6_conv", "a.check", last, "nats");
        bench_report_times("w6_conv", "a.step", &times, 1e3, "ms");
    }
    tape_optim_destroy(m.optim);
    tape_params_destroy(m.set);
    tape_free(m.x), tape_free(m.target);
}

/* ---- b: one convolution ------------------------------------------------------------------------------------------ */

enum { IMAGES = 32, CHANNELS = 64, SIDE = 32 };

/* The sum over the cotangents of y and of both gradients' first elements: what a peer must find too. */
static double look_at(tape_tensor y, tape_tensor x, tape_tensor w)
{
    const float *at[] = {tape_data_f32(y), tape_data_f32(tape_gradient(x)), tape_data_f32(tape_gradient(w))};
    double sum = 0;
    for (int k = 0; k < 3; k++)
        for (int i = 0; at[k] && i < 1000; i++)
            sum += fabs((double)at[k][i]);
    return sum;
}

static void run_convolution(void)
{
    const tape_conv_options same = {.padding = {1, 1}};
    bench_seed(7);
    tape_tensor x = random_leaf(NULL, "", TAPE_SHAPE(IMAGES, CHANNELS, SIDE, SIDE), 1);
    tape_tensor w = random_leaf(NULL, "", TAPE_SHAPE(CHANNELS, CHANNELS, 3, 3), 1);
    tape_tensor g = random_leaf(NULL, "", TAPE_SHAPE(IMAGES, CHANNELS, SIDE, SIDE), 1);
    bench_phases phases = {0};
    double seen = 0;
    for (int r = -WARM_UP; r < REPETITIONS; r++) {
        double start = bench_now();
        tape_tensor y = tape_conv2d(x, w, TAPE_NONE, &same);
        double middle = bench_now();
        tape_backward_with(y, g);
        double end = bench_now();
        if (r == -WARM_UP)
            seen = look_at(y, x, w);
        tape_zero_grad(x), tape_zero_grad(w);
        tape_reset();
        if (r >= 0)
            bench_add_phases(&phases, start, middle, end);
    }
    bench_report("w6_conv", "b.check", seen, "sum");
    bench_report_times("w6_conv", "b.forward", &phases.forward, 1e3, "ms");
    bench_report_times("w6_conv", "b.backward", &phases.backward, 1e3, "ms");
    bench_report_times("w6_conv", "b.total", &phases.total, 1e3, "ms");
    tape_free(x), tape_free(w), tape_free(g);
}

void bench_w6_conv(void)
{
    if (bench_wants("w6_conv.a"))
        run_net();
    if (bench_wants("w6_conv.b"))
        run_convolution();
}
