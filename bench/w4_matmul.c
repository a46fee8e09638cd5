/* w4_matmul: square products of f32 from 8 to 2048, forward and with both gradients, beside the machine's peak. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "tape/tape.h"

enum { REPETITIONS = 9, WARM_UP = 2, ENTRIES = 16 };

typedef struct products {
    int n, calls; /* in one timing */
    float *a, *b;
    tape_tensor ta, tb, ones;
} products;

/* Some entries of c and of a's gradient (ones times b^T: the sums of b's rows) against sums in f64. */
static bool right(const products *p, tape_tensor c)
{
    const float *y = tape_data_f32(c), *ga = tape_data_f32(tape_gradient(p->ta));
    for (int e = 0; y && ga && e < ENTRIES; e++) {
        int i = e * 7 % p->n, j = e * 5 % p->n;
        double product = 0, sum = 0;
        for (int k = 0; k < p->n; k++) {
            product += (double)p->a[i * p->n + k] * p->b[k * p->n + j];
            sum += p->b[j * p->n + k];
        }
        if (!(fabs(y[i * p->n + j] - product) < 1e-6 * p->n && fabs(ga[i * p->n + j] - sum) < 1e-6 * p->n))
            return false;
    }
    return y && ga;
}

static void time_products(products *p)
{
    bench_times forward = {0}, total = {0};
    bool ok = true;
    for (int r = -WARM_UP; r < REPETITIONS; r++) {
        double start = bench_now();
        for (int i = 0; i < p->calls; i++)
            tape_matmul(p->ta, p->tb);
        double middle = bench_now();
        tape_reset();
        double again = bench_now();
        tape_tensor y = TAPE_NULL;
        for (int i = 0; i < p->calls; i++) {
            y = tape_matmul(p->ta, p->tb);
            tape_backward_with(y, p->ones);
            if (i < p->calls - 1) {
                tape_zero_grad(p->ta), tape_zero_grad(p->tb);
                tape_reset();
            }
        }
        double end = bench_now();
        if (r == -WARM_UP)
            ok = right(p, y);
        tape_zero_grad(p->ta), tape_zero_grad(p->tb);
        tape_reset();
        if (r >= 0) {
            bench_add(&forward, (middle - start) / p->calls);
            bench_add(&total, (end - again) / p->calls);
        }
    }
    if (!bench_check(ok, "w4_matmul", "product and gradient as summed in f64"))
        return;
    char metric[48];
    double flops = 2.0 * p->n * p->n * p->n;
    snprintf(metric, sizeof metric, "n%d.forward.gflops", p->n);
    bench_report("w4_matmul", metric, flops / bench_min(&forward) * 1e-9, "GFLOP/s");
    snprintf(metric, sizeof metric, "n%d.total.gflops", p->n);
    bench_report("w4_matmul", metric, 3 * flops / bench_min(&total) * 1e-9, "GFLOP/s");
}

/* As many as make results of 256 KiB: the peers write theirs to one place, in a cache that tape would leave. */
static int calls_of(int n)
{
    return n <= 8 ? 1000 : n <= 256 ? (1 << 16) / (n * n) : 1;
}

static void run(int n)
{
    size_t bytes = (size_t)n * (size_t)n * sizeof(float);
    products p = {.n = n, .calls = calls_of(n), .a = malloc(bytes), .b = malloc(bytes)};
    if (bench_check(p.a && p.b, "w4_matmul", "out of memory")) {
        bench_random(p.a, n * n, -1, 1);
        bench_random(p.b, n * n, -1, 1);
        p.ta = tape_param(TAPE_F32, TAPE_SHAPE(n, n), p.a);
        p.tb = tape_param(TAPE_F32, TAPE_SHAPE(n, n), p.b);
        p.ones = tape_keep(tape_ones(TAPE_F32, TAPE_SHAPE(n, n)));
        tape_reset();
        time_products(&p);
        tape_free(p.ta), tape_free(p.tb), tape_free(p.ones);
    }
    free(p.a), free(p.b);
}

void bench_w4_matmul(void)
{
    if (bench_wants("w4_matmul.peak"))
        bench_report("w4_matmul", "peak.gflops", bench_peak_flops() * 1e-9, "GFLOP/s");
    for (int n = 8; n <= 2048; n *= 2) {
        char name[32];
        snprintf(name, sizeof name, "w4_matmul.n%d", n);
        if (bench_wants(name))
            run(n);
    }
}
