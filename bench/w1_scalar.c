/* w1_scalar: a chain of one-element f32 ops, y = x; 1000 times {y = y a; y = y + b}; what one op costs. */
#include <math.h>

#include "bench.h"
#include "tape/tape.h"

enum { PAIRS = 1000, OPS = 2 * PAIRS, REPETITIONS = 41, WARM_UP = 5 };

void bench_w1_scalar(void)
{
    const float one = 1.0F, factor = 0.999F, addend = 0.001F;
    tape_tensor x = tape_param(TAPE_F32, TAPE_SHAPE(1), &one);
    tape_tensor a = tape_param(TAPE_F32, TAPE_SHAPE(1), &factor);
    tape_tensor b = tape_param(TAPE_F32, TAPE_SHAPE(1), &addend);
    bench_phases phases = {0};
    double slope = 0;
    for (int r = -WARM_UP; r < REPETITIONS; r++) {
        double start = bench_now();
        tape_tensor y = x;
        for (int i = 0; i < PAIRS; i++) {
            y = tape_mul(y, a);
            y = tape_add(y, b);
        }
        double middle = bench_now();
        tape_backward(y);
        double end = bench_now();
        if (r == -WARM_UP)
            slope = tape_item(tape_gradient(x));
        tape_zero_grad(x), tape_zero_grad(a), tape_zero_grad(b);
        tape_reset();
        if (r >= 0)
            bench_add_phases(&phases, start, middle, end);
    }
    if (bench_check(fabs(slope - pow(factor, PAIRS)) < 1e-4, "w1_scalar", "dy/dx is a^1000"))
        bench_report_phases("w1_scalar", &phases, 1e9 / OPS, "ns");
    tape_free(x), tape_free(a), tape_free(b);
}
