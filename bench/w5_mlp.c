/* w5_mlp: whole training steps of multilayer perceptrons (ReLU, cross entropy, SGD), from tiny to matrix-bound. */
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "tape/optim.h"
#include "tape/replay.h"
#include "tape/tape.h"

enum { LAYERS = 3, REPETITIONS = 21 };

static const struct net {
    const char *name;
    int batch, layers;
    int width[LAYERS + 1];
    int steps;    /* in one timing */
    int warm_ups; /* timings */
} nets[] = {
    {"a", 1, 3, {8, 32, 32, 2}, 500, 3},
    {"b", 64, 2, {784, 128, 10}, 4, 3},
    {"c", 256, 3, {784, 512, 512, 10}, 1, 2},
};

typedef struct model {
    tape_params *set;
    tape_optim *optim;
    tape_tensor weight[LAYERS], bias[LAYERS], x, target;
} model;

static bool build(const struct net *net, model *m)
{
    m->set = tape_params_create();
    for (int i = 0; i < net->layers; i++) {
        char name[16];
        snprintf(name, sizeof name, "w%d", i);
        m->weight[i] = tape_params_new(m->set, name, TAPE_F32, TAPE_SHAPE(net->width[i + 1], net->width[i]));
        tape_init_he_uniform(m->weight[i], 0);
        snprintf(name, sizeof name, "b%d", i);
        m->bias[i] = tape_params_new(m->set, name, TAPE_F32, TAPE_SHAPE(net->width[i + 1]));
    }
    m->optim = tape_optim_sgd(m->set, &(tape_sgd_options){.lr = 0.01});
    int64_t n = (int64_t)net->batch * net->width[0];
    float *x = malloc((size_t)n * sizeof *x);
    int64_t *target = malloc((size_t)net->batch * sizeof *target);
    if (x && target) {
        bench_random(x, n, -1, 1);
        for (int i = 0; i < net->batch; i++)
            target[i] = i % net->width[net->layers];
        m->x = tape_const(TAPE_F32, TAPE_SHAPE(net->batch, net->width[0]), x);
        m->target = tape_const(TAPE_I64, TAPE_SHAPE(net->batch), target);
    }
    free(x), free(target);
    return tape_last_status() == TAPE_OK && !tape_is_null(m->target);
}

static tape_tensor record(const struct net *net, const model *m)
{
    tape_tensor h = m->x;
    for (int i = 0; i < net->layers; i++)
        h = tape_linear_activated(h, m->weight[i], m->bias[i],
                                  i < net->layers - 1 ? TAPE_ACTIVATION_RELU : TAPE_ACTIVATION_NONE);
    return tape_cross_entropy(h, m->target, NULL);
}

static void descend(const model *m, tape_tensor loss)
{
    tape_backward(loss);
    tape_optim_step(m->optim);
    tape_params_zero_grad(m->set);
}

static double step(const struct net *net, const model *m, bool look)
{
    tape_tensor loss = record(net, m);
    double value = look ? tape_item(loss) : 0;
    descend(m, loss);
    tape_reset();
    return value;
}

/* The same steps on records that are made once. */
static void run_replayed(const struct net *net)
{
    model m = {.x = TAPE_NULL, .target = TAPE_NULL};
    bench_times times = {0};
    double first = 0, last = 0;
    if (build(net, &m)) {
        tape_reset();
        tape_tensor loss = record(net, &m);
        first = tape_item(loss);
        for (int r = -net->warm_ups; r < REPETITIONS; r++) {
            double start = bench_now();
            for (int i = 0; i < net->steps; i++) {
                tape_replay();
                descend(&m, loss);
            }
            if (r >= 0)
                bench_add(&times, (bench_now() - start) / net->steps);
        }
        last = tape_item(loss);
        tape_reset();
    }
    if (bench_check(last < 0.95 * first && tape_last_status() == TAPE_OK, "w5_mlp", "the replayed loss decreases"))
        bench_report_times("w5_mlp", "a.replay", &times, 1e6, "us");
    tape_optim_destroy(m.optim);
    tape_params_destroy(m.set);
    tape_free(m.x), tape_free(m.target);
}

static void run(const struct net *net)
{
    model m = {.x = TAPE_NULL, .target = TAPE_NULL};
    bench_times times = {0};
    double first = 0, last = 0;
    if (build(net, &m)) {
        first = step(net, &m, true);
        for (int r = -net->warm_ups; r < REPETITIONS; r++) {
            double start = bench_now();
            for (int i = 0; i < net->steps; i++)
                step(net, &m, false);
            if (r >= 0)
                bench_add(&times, (bench_now() - start) / net->steps);
        }
        last = step(net, &m, true);
    }
    char metric[16];
    snprintf(metric, sizeof metric, "%s.step", net->name);
    if (bench_check(last < 0.95 * first, "w5_mlp", "the loss decreases"))
        bench_report_times("w5_mlp", metric, &times, 1e6, "us");
    tape_optim_destroy(m.optim);
    tape_params_destroy(m.set);
    tape_free(m.x), tape_free(m.target);
}

void bench_w5_mlp(void)
{
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
        char name[16];
        snprintf(name, sizeof name, "w5_mlp.%s", nets[i].name);
        if (bench_wants(name))
            run(&nets[i]);
        if (i == 0 && bench_wants("w5_mlp.a.replay"))
            run_replayed(&nets[i]);
    }
}
