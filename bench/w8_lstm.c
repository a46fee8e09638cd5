/* w8_lstm: training steps of an LSTM layer over 64 time steps, written out of elementary ops and as the library has it.
 */
#include <math.h>

#include "bench.h"
#include "tape/optim.h"
#include "tape/tape.h"

enum { BATCH = 32, TIME = 64, IN = 64, HIDDEN = 128, REPETITIONS = 7, WARM_UP = 2 };

typedef struct layer {
    tape_params *set;
    tape_optim *optim;
    tape_tensor input, recurrent, bias, x, zero; /* x: [TIME, BATCH, IN] */
} layer;

static layer make(void)
{
    static float x[TIME * BATCH * IN];
    layer l = {.set = tape_params_create()};
    l.input = tape_params_new(l.set, "input", TAPE_F32, TAPE_SHAPE(4 * HIDDEN, IN));
    l.recurrent = tape_params_new(l.set, "recurrent", TAPE_F32, TAPE_SHAPE(4 * HIDDEN, HIDDEN));
    l.bias = tape_params_new(l.set, "bias", TAPE_F32, TAPE_SHAPE(4 * HIDDEN));
    tape_init_uniform(l.input, -1 / sqrt(HIDDEN), 1 / sqrt(HIDDEN));
    tape_init_uniform(l.recurrent, -1 / sqrt(HIDDEN), 1 / sqrt(HIDDEN));
    l.optim = tape_optim_sgd(l.set, &(tape_sgd_options){.lr = 0.1});
    bench_random(x, TIME * BATCH * IN, -1, 1);
    l.x = tape_const(TAPE_F32, TAPE_SHAPE(TIME, BATCH, IN), x);
    l.zero = tape_const(TAPE_F32, TAPE_SHAPE(BATCH, HIDDEN), NULL);
    return l;
}

/* The last h, by either way. */
typedef tape_tensor run_layer(const layer *l);

static tape_tensor elementary(const layer *l)
{
    tape_tensor h = l->zero, c = l->zero;
    for (int t = 0; t < TIME; t++) {
        tape_tensor from_x = tape_linear(tape_select(l->x, 0, t), l->input, l->bias), gate[4];
        tape_chunk(tape_add(from_x, tape_linear(h, l->recurrent, TAPE_NONE)), 1, 4, gate);
        tape_tensor kept = tape_mul(tape_sigmoid(gate[1]), c);
        c = tape_add(kept, tape_mul(tape_sigmoid(gate[0]), tape_tanh(gate[2])));
        h = tape_mul(tape_sigmoid(gate[3]), tape_tanh(c));
    }
    return h;
}

static tape_tensor fused(const layer *l)
{
    return tape_select(tape_lstm(l->x, l->zero, l->zero, l->input, l->recurrent, l->bias, TAPE_NONE, NULL), 0, -1);
}

/* One step towards outputs of 1/2 at the last time. */
static double step(const layer *l, run_layer *run, bool look)
{
    tape_tensor loss = tape_mean(tape_square(tape_sub_scalar(run(l), 0.5)), TAPE_ALL, false);
    double value = look ? tape_item(loss) : 0;
    tape_backward(loss);
    tape_optim_step(l->optim);
    tape_params_zero_grad(l->set);
    tape_reset();
    return value;
}

static void measure(const char *metric, run_layer *run)
{
    layer l = make();
    bench_times times = {0};
    double first = step(&l, run, true);
    for (int r = -WARM_UP; r < REPETITIONS; r++) {
        double start = bench_now();
        step(&l, run, false);
        if (r >= 0)
            bench_add(&times, bench_now() - start);
    }
    if (bench_check(step(&l, run, true) < first, "w8_lstm", "the loss decreases"))
        bench_report_times("w8_lstm", metric, &times, 1e3, "ms");
    tape_optim_destroy(l.optim);
    tape_params_destroy(l.set);
    tape_free(l.x), tape_free(l.zero);
}

void bench_w8_lstm(void)
{
    if (bench_wants("w8_lstm.elementary.step"))
        measure("elementary.step", elementary);
    if (bench_wants("w8_lstm.fused.step"))
        measure("fused.step", fused);
}
