/* w3_elementwise: single ops on f32 from cache to memory, forward and backward, beside the rate of a copy. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "tape/tape.h"

enum { REPETITIONS = 9, WARM_UP = 2, LARGEST = 1 << 24, ROWS = 4096, COLUMNS = 1024, LOOKS = 64 };

/* ---- the ops ----------------------------------------------------------------------------------------------------- */

#define UNARY(name)                                                                                                    \
    static tape_tensor run_##name(tape_tensor a, tape_tensor b)                                                        \
    {                                                                                                                  \
        (void)b;                                                                                                       \
        return tape_##name(a);                                                                                         \
    }
UNARY(exp)
UNARY(log)
UNARY(tanh)
UNARY(sigmoid)
UNARY(gelu)
UNARY(gelu_tanh)
UNARY(relu)
UNARY(sin)

static tape_tensor run_pow(tape_tensor a, tape_tensor b)
{
    (void)b;
    return tape_pow_scalar(a, 2.5);
}

static tape_tensor run_sum(tape_tensor a, tape_tensor b)
{
    (void)b;
    return tape_sum(a, TAPE_ALL, false);
}

static tape_tensor run_softmax(tape_tensor a, tape_tensor b)
{
    (void)b;
    return tape_softmax(a, 1);
}

static tape_tensor run_layer_norm(tape_tensor a, tape_tensor b)
{
    (void)b;
    return tape_layer_norm(a, TAPE_NONE, TAPE_NONE, 1, 1e-5);
}

static double ref_add(double a, double b)
{
    return a + b;
}
static double ref_mul(double a, double b)
{
    return a * b;
}
static double ref_exp(double a, double b)
{
    (void)b;
    return exp(a);
}
static double ref_log(double a, double b)
{
    (void)b;
    return log(a);
}
static double ref_tanh(double a, double b)
{
    (void)b;
    return tanh(a);
}
static double ref_sigmoid(double a, double b)
{
    (void)b;
    return 1 / (1 + exp(-a));
}
static double ref_gelu(double a, double b)
{
    (void)b;
    return a * 0.5 * erfc(-a * sqrt(0.5));
}
static double ref_gelu_tanh(double a, double b)
{
    (void)b;
    return 0.5 * a * (1 + tanh(0.7978845608028654 * (a + 0.044715 * a * a * a)));
}
static double ref_relu(double a, double b)
{
    (void)b;
    return a > 0 ? a : 0;
}
static double ref_sin(double a, double b)
{
    (void)b;
    return sin(a);
}
static double ref_pow(double a, double b)
{
    (void)b;
    return pow(a, 2.5);
}

/* Streams of 4 bytes an element that the op cannot do without: going back, the cotangent, saved values, gradients. */
static const struct op {
    const char *name;
    tape_tensor (*run)(tape_tensor a, tape_tensor b);
    double (*value)(double a, double b); /* NULL: see right_rows() and right_sum() */
    double low, high;
    int forward, backward;
    enum { ONE, TWO, ROWWISE } kind;
} ops[] = {
    {"mul", tape_mul, ref_mul, -1, 1, 3, 5, TWO},         {"add", tape_add, ref_add, -1, 1, 3, 3, TWO},
    {"exp", run_exp, ref_exp, -2, 2, 2, 3, ONE},          {"log", run_log, ref_log, 0.1, 4, 2, 3, ONE},
    {"tanh", run_tanh, ref_tanh, -2, 2, 2, 3, ONE},       {"sigmoid", run_sigmoid, ref_sigmoid, -4, 4, 2, 3, ONE},
    {"gelu", run_gelu, ref_gelu, -2, 2, 2, 3, ONE},       {"gelu_tanh", run_gelu_tanh, ref_gelu_tanh, -2, 2, 2, 3, ONE},
    {"relu", run_relu, ref_relu, -1, 1, 2, 3, ONE},       {"sin", run_sin, ref_sin, -4, 4, 2, 3, ONE},
    {"pow", run_pow, ref_pow, 0.1, 2, 2, 3, ONE},         {"sum", run_sum, NULL, -1, 1, 1, 1, ONE},
    {"softmax", run_softmax, NULL, -2, 2, 2, 3, ROWWISE}, {"layer_norm", run_layer_norm, NULL, -2, 2, 2, 3, ROWWISE},
};

/* ---- checks ------------------------------------------------------------------------------------------------------ */

static bool right_values(const struct op *op, const float *a, const float *b, const float *y, const float *ga)
{
    for (int64_t i = 0; i < LOOKS; i++) {
        double h = 1e-4, slope = (op->value(a[i] + h, b[i]) - op->value(a[i] - h, b[i])) / (2 * h);
        double value = op->value(a[i], b[i]);
        bool near_kink = fabs(a[i]) < 2 * h;
        if (!(fabs(y[i] - value) < 1e-5 * (1 + fabs(value))) ||
            (!near_kink && !(fabs(ga[i] - slope) < 1e-4 * (1 + fabs(slope)))))
            return false;
    }
    return true;
}

/* A row of softmax sums to 1, one of layer_norm to 0; a cotangent of ones gives no gradient through either. */
static bool right_rows(const struct op *op, const float *y, const float *ga)
{
    double sum = 0, largest = 0;
    for (int64_t i = 0; i < COLUMNS; i++) {
        sum += y[i];
        largest = fmax(largest, fabs(ga[i]));
    }
    return fabs(sum - (op->run == run_softmax)) < 1e-3 && largest < 1e-3;
}

static bool right_sum(const float *a, int64_t n, const float *y, const float *ga)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i];
    return fabs(*y - sum) < 1e-6 * (double)n && ga[0] == 1 && ga[n - 1] == 1;
}

static bool right(const struct op *op, tape_tensor a, tape_tensor b, tape_tensor y)
{
    const float *pa = tape_data_f32(a), *pb = tape_data_f32(b), *py = tape_data_f32(y);
    const float *ga = tape_data_f32(tape_gradient(a));
    if (!pa || !pb || !py || !ga)
        return false;
    return op->value             ? right_values(op, pa, pb, py, ga)
           : op->kind == ROWWISE ? right_rows(op, py, ga)
                                 : right_sum(pa, tape_numel(a), py, ga);
}

/* ---- timing ------------------------------------------------------------------------------------------------------ */

static void report(const char *name, int64_t n, const char *phase, const bench_times *times, int streams)
{
    char metric[64];
    snprintf(metric, sizeof metric, "%s.n%lld.%s", name, (long long)n, phase);
    bench_report_times("w3_elementwise", metric, times, 1e9 / (double)n, "ns");
    snprintf(metric, sizeof metric, "%s.n%lld.%s.rate", name, (long long)n, phase);
    bench_report("w3_elementwise", metric, 4e-9 * streams * (double)n / bench_min(times), "GB/s");
}

static void time_op(const struct op *op, int64_t n, const float *data)
{
    tape_shape shape = op->kind == ROWWISE ? TAPE_SHAPE(ROWS, COLUMNS) : TAPE_SHAPE(n);
    double spread = op->high - op->low;
    tape_tensor unit = tape_const(TAPE_F32, shape, data);
    tape_tensor a = tape_param(TAPE_F32, shape, NULL), b = op->kind == TWO ? tape_param(TAPE_F32, shape, data) : unit;
    tape_assign(a, tape_add_scalar(tape_mul_scalar(unit, spread), op->low));
    tape_tensor seed = tape_keep(op->value || op->kind == ROWWISE ? tape_ones_like(a) : tape_scalar(TAPE_F32, 1));
    tape_reset();
    bench_times forward = {0}, backward = {0};
    int calls = n < 1 << 20 ? 64 : 1;
    bool ok = true;
    for (int r = -WARM_UP; r < REPETITIONS; r++) {
        double going = 0, back = 0;
        for (int i = 0; i < calls; i++) {
            double start = bench_now();
            tape_tensor y = op->run(a, b);
            double middle = bench_now();
            tape_backward_with(y, seed);
            double end = bench_now();
            going += middle - start, back += end - middle;
            if (r == -WARM_UP && i == 0)
                ok = right(op, a, b, y);
            tape_zero_grad(a), tape_zero_grad(b);
            tape_reset();
        }
        if (r >= 0)
            bench_add(&forward, going / calls), bench_add(&backward, back / calls);
    }
    if (bench_check(ok, "w3_elementwise", op->name)) {
        report(op->name, n, "forward", &forward, op->forward);
        report(op->name, n, "backward", &backward, op->backward);
    }
    tape_free(a), tape_free(seed), tape_free(unit);
    if (op->kind == TWO)
        tape_free(b);
}

static void time_copy(int64_t n, float *data)
{
    float *to = aligned_alloc(64, (size_t)n * sizeof *to);
    char metric[48];
    snprintf(metric, sizeof metric, "copy.n%lld.rate", (long long)n);
    if (to)
        bench_report("w3_elementwise", metric, 8e-9 * (double)n / bench_copy_seconds(to, data, n), "GB/s");
    free(to);
}

void bench_w3_elementwise(void)
{
    static const int64_t sizes[] = {1 << 12, 1 << 22, LARGEST};
    float *data = malloc((size_t)LARGEST * sizeof *data);
    if (!bench_check(data, "w3_elementwise", "out of memory"))
        return;
    bench_random(data, LARGEST, 0, 1);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        char name[64];
        snprintf(name, sizeof name, "w3_elementwise.copy.n%lld.rate", (long long)sizes[s]);
        if (bench_wants(name))
            time_copy(sizes[s], data);
        for (size_t i = 0; i < sizeof ops / sizeof *ops && tape_last_status() == TAPE_OK; i++) {
            bool own_size = ops[i].kind != ROWWISE || sizes[s] == (int64_t)ROWS * COLUMNS;
            snprintf(name, sizeof name, "w3_elementwise.%s.n%lld", ops[i].name, (long long)sizes[s]);
            if (own_size && bench_wants(name))
                time_op(&ops[i], sizes[s], data);
        }
    }
    free(data);
}
