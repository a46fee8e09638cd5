/* w10_numeric: the gradient of a perceptron's loss by tape and by central differences: what each costs, how far each is
 * from Ridders' extrapolation in f64. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "tape/gradcheck.h"
#include "tape/tape.h"

enum { BATCH = 8, REPETITIONS = 9, CALLS = 20, MOST = 10000, LOOKS = 50 };

/* inputs -> hidden (tanh) -> 1, biases on the hidden layer: hidden (inputs + 2) parameters. */
static const struct size {
    int inputs, hidden;
} sizes[] = {{3, 2}, {8, 10}, {48, 20}, {98, 100}};

typedef struct problem {
    int inputs, hidden, n;
    tape_tensor theta, x, target; /* f32; theta with gradient */
    tape_tensor theta_64, x_64, target_64;
    float values[MOST];
    int probed;
} problem;

static tape_tensor loss_of(const problem *p, tape_tensor theta, tape_tensor x, tape_tensor target)
{
    int weights = p->inputs * p->hidden;
    tape_tensor first = tape_reshape(tape_narrow(theta, 0, 0, weights), TAPE_SHAPE(p->hidden, p->inputs));
    tape_tensor bias = tape_narrow(theta, 0, weights, p->hidden);
    tape_tensor second = tape_reshape(tape_narrow(theta, 0, weights + p->hidden, p->hidden), TAPE_SHAPE(1, p->hidden));
    tape_tensor y = tape_linear(tape_tanh(tape_linear(x, first, bias)), second, TAPE_NONE);
    return tape_mean(tape_square(tape_sub(y, target)), TAPE_ALL, false);
}

static double value_f32(problem *p)
{
    double value = tape_item(loss_of(p, p->theta, p->x, p->target));
    tape_reset();
    return value;
}

/* The loss in f64 as parameter `probed` takes the value. */
static double curve(void *user, double value)
{
    problem *p = user;
    double *theta = tape_data_mut(p->theta_64);
    theta[p->probed] = value;
    double loss = tape_item(loss_of(p, p->theta_64, p->x_64, p->target_64));
    theta = tape_data_mut(p->theta_64);
    theta[p->probed] = p->values[p->probed];
    tape_reset();
    return loss;
}

static tape_tensor in_f64(tape_tensor x)
{
    tape_tensor y = tape_keep(tape_cast(x, TAPE_F64));
    tape_reset();
    return y;
}

static void make(problem *p)
{
    float x[BATCH * 98], target[BATCH];
    bench_random(p->values, p->n, -0.3, 0.3);
    bench_random(x, (int64_t)BATCH * p->inputs, -1, 1);
    bench_random(target, BATCH, -1, 1);
    p->theta = tape_param(TAPE_F32, TAPE_SHAPE(p->n), p->values);
    p->x = tape_const(TAPE_F32, TAPE_SHAPE(BATCH, p->inputs), x);
    p->target = tape_const(TAPE_F32, TAPE_SHAPE(BATCH, 1), target);
    p->theta_64 = in_f64(p->theta), p->x_64 = in_f64(p->x), p->target_64 = in_f64(p->target);
}

static double time_evaluation(problem *p, bool gradient)
{
    double best = INFINITY;
    for (int r = -1; r < REPETITIONS; r++) {
        double start = bench_now();
        for (int i = 0; i < CALLS; i++) {
            tape_tensor loss = loss_of(p, p->theta, p->x, p->target);
            if (gradient) {
                tape_zero_grad(p->theta);
                tape_backward(loss);
            }
            tape_reset();
        }
        double seconds = (bench_now() - start) / CALLS;
        best = r >= 0 && seconds < best ? seconds : best;
    }
    return best;
}

/* d loss / d theta by 2n values in f32, with the step that balances rounding and truncation: cbrt(2^-23). */
static double central(problem *p, float *out)
{
    const float h = cbrtf(ldexpf(1, -23));
    double start = bench_now();
    for (int i = 0; i < p->n; i++) {
        float *theta = tape_data_mut(p->theta);
        theta[i] = p->values[i] + h;
        double above = value_f32(p);
        theta = tape_data_mut(p->theta);
        theta[i] = p->values[i] - h;
        double below = value_f32(p);
        theta = tape_data_mut(p->theta);
        theta[i] = p->values[i];
        out[i] = (float)((above - below) / (2 * h));
    }
    return bench_now() - start;
}

static void report(const problem *p, const char *metric, double value, const char *unit)
{
    char name[48];
    snprintf(name, sizeof name, "n%d.%s", p->n, metric);
    bench_report("w10_numeric", name, value, unit);
}

static void run(problem *p)
{
    static float differences[MOST], gradient[MOST];
    make(p);
    double evaluation = time_evaluation(p, false), with_gradient = time_evaluation(p, true);
    double numeric = central(p, differences);
    double largest = 0, error = 0, numeric_error = 0;
    tape_read(tape_gradient(p->theta), gradient, p->n);
    for (int i = 0; i < LOOKS && i < p->n; i++) {
        p->probed = p->n <= LOOKS ? i : (int)((int64_t)i * p->n / LOOKS);
        double exact = tape_numeric_derivative(curve, p, p->values[p->probed], NULL, NULL);
        largest = fmax(largest, fabs(exact));
        error = fmax(error, fabs(gradient[p->probed] - exact));
        numeric_error = fmax(numeric_error, fabs(differences[p->probed] - exact));
    }
    if (bench_check(error < 1e-4 * largest, "w10_numeric", "the gradient agrees with Ridders in f64")) {
        report(p, "evaluation.min", evaluation * 1e6, "us");
        report(p, "gradient.min", with_gradient * 1e6, "us");
        report(p, "gradient.evaluations", with_gradient / evaluation, "x");
        report(p, "gradient.error", error / largest, "of the largest");
        report(p, "central.min", numeric * 1e6, "us");
        report(p, "central.error", numeric_error / largest, "of the largest");
    }
    const tape_tensor leaves[] = {p->theta, p->x, p->target, p->theta_64, p->x_64, p->target_64};
    for (size_t i = 0; i < sizeof leaves / sizeof *leaves; i++)
        tape_free(leaves[i]);
}

void bench_w10_numeric(void)
{
    static problem p;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        memset(&p, 0, sizeof p);
        p.inputs = sizes[i].inputs, p.hidden = sizes[i].hidden;
        p.n = p.hidden * (p.inputs + 2);
        char name[32];
        snprintf(name, sizeof name, "w10_numeric.n%d", p.n);
        if (bench_wants(name))
            run(&p);
    }
}
