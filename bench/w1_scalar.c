/* w1_scalar: a chain of one-element f32 ops, y = x; 1000 times {y = y a; y = y + b}; what one op costs. */
#include "bench.h"
#include "tape/tape.h"

enum { PAIRS = 1000, OPS = 2 * PAIRS, REPETITIONS = 41, WARM_UP = 5 };

void bench_w1_scalar(void)
{
    const float one = 1.0F, factor = 0.999F, addend = 0.001F;
    tape_tensor x = tape_param(TAPE_F32, TAPE_SHAPE(1), &one);
    tape_tensor a = tape_param(TAPE_F32, TAPE_SHAPE(1), &factor);
    tape_tensor b = tape_param(TAPE_F32, TAPE_SHAPE(1), &addend);
    bench_times forward = {0}, backward = {0}, total = {0};
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
        tape_zero_grad(x), tape_zero_grad(a), tape_zero_grad(b);
        tape_reset();
        double done = bench_now();
        if (r < 0)
            continue;
        bench_add(&forward, (middle - start) / OPS * 1e9);
        bench_add(&backward, (end - middle) / OPS * 1e9);
        bench_add(&total, (done - start) / OPS * 1e9);
    }
    bench_report("w1_scalar", "forward.min", bench_min(&forward), "ns");
    bench_report("w1_scalar", "forward.median", bench_median(&forward), "ns");
    bench_report("w1_scalar", "backward.min", bench_min(&backward), "ns");
    bench_report("w1_scalar", "backward.median", bench_median(&backward), "ns");
    bench_report("w1_scalar", "total.min", bench_min(&total), "ns");
    bench_report("w1_scalar", "total.median", bench_median(&total), "ns");
    tape_free(x), tape_free(a), tape_free(b);
}
