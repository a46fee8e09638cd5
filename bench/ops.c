/* ops: every elementwise row of the table, forward and backward on 4096 elements of f32. Grows with the table. */
#include <stdio.h>

#include "bench.h"
#include "tape/tape.h"

enum { N = 4096, REPETITIONS = 21, WARM_UP = 3, CALLS = 8 };

/* Calls of each kind of row on inputs a, b, c and the mask m. Rows without derivative or formula have none. */
#define CALL_UNARY(name) tape_##name(a)
#define CALL_UNARY1(name) tape_##name(a, 0.5)
#define CALL_UNARY2(name) tape_##name(a, 0.5, 1.5)
#define CALL_UNARY3(name) tape_##name(a, 0.5, 1.5, -1.5)
#define CALL_BINARY(name) tape_##name(a, b)
#define CALL_BINARY1(name) tape_##name(a, b, 0.5)
#define CALL_TERNARY(name) tape_##name(a, b, c)
#define CALL_TERNARY1(name) tape_##name(a, b, c, 0.5)
#define CALL_WHERE(name) tape_##name(m, a, b)
#define CALL_COMPARE(name) tape_##name(a, b)
#define CALL_LOGIC(name) tape_##name(m, m)
#define CALL_TEST(name) tape_##name(a)
#define NO_CALL(name) TAPE_NONE
#define CALL_UNARY_INTERNAL NO_CALL
#define CALL_BINARY_INTERNAL NO_CALL
#define CALL_BINARY1_INTERNAL NO_CALL
#define CALL_TERNARY1_INTERNAL NO_CALL
#define CALL_GENERAL NO_CALL
#define CALL_FUSED NO_CALL
#define CALL_NOVJP NO_CALL
#define CALL_COMPOSITE NO_CALL

typedef tape_tensor call(tape_tensor a, tape_tensor b, tape_tensor c, tape_tensor m);

#define TAPE__ROW(kind, name, family, level, flags, low, high)                                                         \
    static tape_tensor call_##name(tape_tensor a, tape_tensor b, tape_tensor c, tape_tensor m)                         \
    {                                                                                                                  \
        (void)a, (void)b, (void)c, (void)m;                                                                            \
        return CALL_##kind(name);                                                                                      \
    }
#include "../lib/ops/ops.def"
#undef TAPE__ROW

static const struct row {
    const char *name;
    call *run;
    double low, high;
} rows[] = {
#define TAPE__ROW(kind, name, family, level, flags, low, high) {#name, call_##name, low, high},
#include "../lib/ops/ops.def"
#undef TAPE__ROW
};

/* A leaf of numbers spread over low..high. */
static tape_tensor spread(double low, double high, int step)
{
    static float data[N];
    for (int i = 0; i < N; i++)
        data[i] = (float)(low + (high - low) * (double)((int64_t)i * step % N) / N);
    return tape_param(TAPE_F32, TAPE_SHAPE(N), data);
}

static void time_row(const struct row *row)
{
    tape_tensor a = spread(row->low, row->high, 1), b = spread(row->low, row->high, 1999), c = spread(0, 1, 997);
    bench_times forward = {0}, backward = {0};
    bool differentiable = true;
    for (int r = -WARM_UP; r < REPETITIONS; r++) {
        tape_tensor m = tape_ge(a, b), ones = tape_ones_like(a), y = TAPE_NULL;
        double start = bench_now();
        for (int k = 0; k < CALLS; k++)
            y = row->run(a, b, c, m);
        double middle = bench_now();
        differentiable = tape_requires_grad(y);
        for (int k = 0; k < CALLS && differentiable; k++)
            tape_backward_with(y, ones);
        double end = bench_now();
        if (r >= 0) {
            bench_add(&forward, (middle - start) / CALLS / N * 1e9);
            bench_add(&backward, (end - middle) / CALLS / N * 1e9);
        }
        if (tape_last_status() != TAPE_OK)
            break;
        tape_zero_grad(a), tape_zero_grad(b), tape_zero_grad(c);
        tape_reset();
    }
    tape_free(a), tape_free(b), tape_free(c);
    if (forward.n < REPETITIONS)
        return; /* the error is on the tape */
    char metric[80];
    snprintf(metric, sizeof metric, "%s.forward.min", row->name);
    bench_report("ops", metric, bench_min(&forward), "ns");
    snprintf(metric, sizeof metric, "%s.backward.min", row->name);
    if (differentiable)
        bench_report("ops", metric, bench_min(&backward), "ns");
}

void bench_ops(void)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char name[80];
        snprintf(name, sizeof name, "ops.%s", rows[i].name);
        tape_tensor one = tape_scalar(TAPE_F32, 1);
        bool callable = !tape_is_none(rows[i].run(one, one, one, tape_isnan(one)));
        tape_reset();
        if (callable && bench_wants(name))
            time_row(&rows[i]);
        if (tape_last_status() != TAPE_OK)
            return;
    }
}
