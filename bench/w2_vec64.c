/* w2_vec64: {mul, add, tanh} 500 times on 64 elements of f32, summed: an op on a few vectors. */
#include <math.h>

#include "bench.h"
#include "tape/tape.h"

enum { N = 64, TRIPLES = 500, OPS = 3 * TRIPLES, REPETITIONS = 41, WARM_UP = 5 };

/* The same in f64, one element: y = tanh(y a + b) and dy/dx. */
static double slope_of(double x, double a, double b)
{
    double slope = 1;
    for (int i = 0; i < TRIPLES; i++) {
        x = tanh(x * a + b);
        slope *= (1 - x * x) * a;
    }
    return slope;
}

void bench_w2_vec64(void)
{
    float start_x[N], factor[N], addend[N], slope[N];
    bench_random(start_x, N, -1, 1);
    bench_random(factor, N, 0.9, 1.1);
    bench_random(addend, N, -0.001, 0.001);
    tape_tensor x = tape_param(TAPE_F32, TAPE_SHAPE(N), start_x);
    tape_tensor a = tape_param(TAPE_F32, TAPE_SHAPE(N), factor);
    tape_tensor b = tape_param(TAPE_F32, TAPE_SHAPE(N), addend);
    bench_phases phases = {0};
    for (int r = -WARM_UP; r < REPETITIONS; r++) {
        double start = bench_now();
        tape_tensor y = x;
        for (int i = 0; i < TRIPLES; i++) {
            y = tape_mul(y, a);
            y = tape_add(y, b);
            y = tape_tanh(y);
        }
        tape_tensor loss = tape_sum(y, TAPE_ALL, false);
        double middle = bench_now();
        tape_backward(loss);
        double end = bench_now();
        if (r == -WARM_UP)
            tape_read(tape_gradient(x), slope, N);
        tape_zero_grad(x), tape_zero_grad(a), tape_zero_grad(b);
        tape_reset();
        if (r >= 0)
            bench_add_phases(&phases, start, middle, end);
    }
    bool right = tape_last_status() == TAPE_OK;
    for (int i = 0; i < N && right; i++)
        right = fabs(slope[i] - slope_of(start_x[i], factor[i], addend[i])) < 1e-3 * fabs(slope[i]) + 1e-6;
    if (bench_check(right, "w2_vec64", "dy/dx as computed in f64"))
        bench_report_phases("w2_vec64", &phases, 1e9 / OPS, "ns");
    tape_free(x), tape_free(a), tape_free(b);
}
