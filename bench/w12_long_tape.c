/* w12_long_tape: 10^5 to 10^7 records on one tape: bytes and time of a record, on a new tape and after a reset. */
#include <math.h>
#include <stdio.h>

#include "bench.h"
#include "tape/tape.h"

enum { WARM = 7 };

typedef struct figures {
    bench_phases cold, warm;
    double bytes; /* of a record, its value excluded */
    bool right, allocated;
} figures;

static void sweep(int records, tape_tensor x, tape_tensor step, figures *f, bench_phases *phases)
{
    size_t before = tape_stats().bytes_now;
    double start = bench_now();
    tape_tensor y = x;
    for (int i = 0; i < records; i++)
        y = tape_add(y, step);
    double middle = bench_now();
    f->bytes = (double)(tape_stats().bytes_now - before) / records - sizeof(float);
    tape_backward(y);
    double end = bench_now();
    /* 2^-24 times 10^7 stays within f32's digits: each sum is exact, and so is the number of times that it is added. */
    f->right &= tape_item(y) == ldexp(records, -24) && tape_item(tape_gradient(step)) == records;
    tape_zero_grad(x), tape_zero_grad(step);
    tape_reset();
    bench_add_phases(phases, start, middle, end);
}

static void report(int records, const figures *f)
{
    char metric[64];
    const bench_times *times[] = {&f->cold.forward, &f->cold.backward, &f->warm.forward, &f->warm.backward};
    const char *names[] = {"cold.forward", "cold.backward", "warm.forward", "warm.backward"};
    for (int i = 0; i < 4; i++) {
        snprintf(metric, sizeof metric, "n%d.%s", records, names[i]);
        bench_report_times("w12_long_tape", metric, times[i], 1e9 / records, "ns");
    }
    snprintf(metric, sizeof metric, "n%d.bytes", records);
    bench_report("w12_long_tape", metric, f->bytes, "bytes");
}

static void run(int records)
{
    figures f = {.right = true};
    const float zero = 0, tiny = ldexpf(1, -24);
    tape_tensor x = tape_param(TAPE_F32, TAPE_SCALAR, &zero), step = tape_param(TAPE_F32, TAPE_SCALAR, &tiny);
    tape *outer = tape_make_current(tape_create(NULL)), *own;
    sweep(records, x, step, &f, &f.cold);
    int64_t calls = tape_stats().allocator_calls;
    for (int r = 0; r < WARM; r++)
        sweep(records, x, step, &f, &f.warm);
    f.allocated = tape_stats().allocator_calls != calls;
    own = tape_make_current(outer);
    tape_destroy(own);
    if (bench_check(f.right, "w12_long_tape", "the sum and the number of additions") &&
        bench_check(!f.allocated, "w12_long_tape", "no allocation after a reset"))
        report(records, &f);
    tape_free(x), tape_free(step);
}

void bench_w12_long_tape(void)
{
    for (int records = 100000; records <= 10000000; records *= 10) {
        char name[64];
        snprintf(name, sizeof name, "w12_long_tape.n%d", records);
        if (bench_wants(name))
            run(records);
    }
}
