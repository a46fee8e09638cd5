/* w9_springs: 100 particles on springs for 1000 steps: the gradient of a small simulation, beside plain C without one.
 */
#include <math.h>

#include "bench.h"
#include "tape/tape.h"

enum { N = 100, STEPS = 1000, REPETITIONS = 11, WARM_UP = 2 };
#define DT 0.01
#define STIFFNESS 20

/* ---- plain C ----------------------------------------------------------------------------------------------------- */

/* The loss from initial velocities v and stiffness k, without any derivative. */
#define SIMULATE(name, real, root)                                                                                     \
    static real name(real v[2][N], real k)                                                                             \
    {                                                                                                                  \
        const real dt = (real)DT;                                                                                      \
        real x[2][N], loss = 0;                                                                                        \
        for (int i = 0; i < N; i++) {                                                                                  \
            x[0][i] = (real)(1.1 * i);                                                                                 \
            x[1][i] = (real)(0.3 * sin(0.3 * i));                                                                      \
        }                                                                                                              \
        for (int s = 0; s < STEPS; s++) {                                                                              \
            for (int i = 0; i < N - 1; i++) {                                                                          \
                real dx = x[0][i + 1] - x[0][i], dy = x[1][i + 1] - x[1][i];                                           \
                real pull = k * (1 - 1 / root(dx * dx + dy * dy)) * dt;                                                \
                v[0][i] += pull * dx, v[0][i + 1] -= pull * dx;                                                        \
                v[1][i] += pull * dy, v[1][i + 1] -= pull * dy;                                                        \
            }                                                                                                          \
            for (int i = 0; i < N; i++) {                                                                              \
                x[0][i] += v[0][i] * dt;                                                                               \
                x[1][i] += v[1][i] * dt;                                                                               \
            }                                                                                                          \
        }                                                                                                              \
        for (int i = 0; i < N; i++)                                                                                    \
            loss += x[0][i] * x[0][i] + x[1][i] * x[1][i];                                                             \
        return loss;                                                                                                   \
    }

SIMULATE(simulate_f32, float, sqrtf)
SIMULATE(simulate_f64, double, sqrt)

static double loss_at(double k, double v0)
{
    double v[2][N] = {{v0}};
    return simulate_f64(v, k);
}

static void time_plain(void)
{
    bench_times times = {0};
    volatile float sum = 0;
    for (int r = -WARM_UP; r < REPETITIONS; r++) {
        float v[2][N] = {{0}};
        double start = bench_now();
        sum = sum + simulate_f32(v, STIFFNESS);
        if (r >= 0)
            bench_add(&times, bench_now() - start);
    }
    bench_report_times("w9_springs", "plain", &times, 1e3, "ms");
}

/* ---- tape -------------------------------------------------------------------------------------------------------- */

typedef struct springs {
    tape_tensor x, v, k, dt, one; /* x and v: [2, N] */
} springs;

static springs make(void)
{
    float x[2][N];
    const float k = STIFFNESS, dt = (float)DT, one = 1;
    for (int i = 0; i < N; i++) {
        x[0][i] = (float)(1.1 * i);
        x[1][i] = (float)(0.3 * sin(0.3 * i));
    }
    return (springs){.x = tape_const(TAPE_F32, TAPE_SHAPE(2, N), x),
                     .v = tape_param(TAPE_F32, TAPE_SHAPE(2, N), NULL),
                     .k = tape_param(TAPE_F32, TAPE_SCALAR, &k),
                     .dt = tape_const(TAPE_F32, TAPE_SCALAR, &dt),
                     .one = tape_const(TAPE_F32, TAPE_SCALAR, &one)};
}

static tape_tensor simulate(const springs *s)
{
    static const tape_pad_options to_left = {.after = {0, 1}}, to_right = {.before = {0, 1}};
    tape_tensor x = s->x, v = s->v;
    for (int i = 0; i < STEPS; i++) {
        tape_tensor d = tape_sub(tape_narrow(x, 1, 1, N - 1), tape_narrow(x, 1, 0, N - 1));
        tape_tensor length = tape_norm(d, 2, TAPE_AXES(0), false);
        tape_tensor force = tape_mul(d, tape_mul(s->k, tape_sub(s->one, tape_recip(length))));
        tape_tensor total = tape_sub(tape_pad(force, &to_left), tape_pad(force, &to_right));
        v = tape_add(v, tape_mul(total, s->dt));
        x = tape_add(x, tape_mul(v, s->dt));
    }
    return tape_sum(tape_square(x), TAPE_ALL, false);
}

static bool right(const springs *s, double loss)
{
    float dv[2 * N];
    const double h = 1e-4;
    tape_read(tape_gradient(s->v), dv, 2 * N);
    double dk = tape_item(tape_gradient(s->k)), expected = loss_at(STIFFNESS, 0);
    double numeric_k = (loss_at(STIFFNESS + h, 0) - loss_at(STIFFNESS - h, 0)) / (2 * h);
    double numeric_v = (loss_at(STIFFNESS, h) - loss_at(STIFFNESS, -h)) / (2 * h);
    return fabs(loss - expected) < 1e-3 * expected && fabs(dk - numeric_k) < 0.01 * fabs(numeric_k) &&
           fabs(dv[0] - numeric_v) < 0.01 * fabs(numeric_v);
}

void bench_w9_springs(void)
{
    springs s = make();
    bench_phases phases = {0};
    bool ok = true;
    size_t bytes = 0;
    double value = 0;
    for (int r = -WARM_UP; r < REPETITIONS; r++) {
        double start = bench_now();
        tape_tensor loss = simulate(&s);
        double middle = bench_now();
        tape_backward(loss);
        double end = bench_now();
        if (r == -WARM_UP) {
            value = tape_item(loss);
            ok = right(&s, value);
            bytes = tape_stats().bytes_now;
        }
        tape_zero_grad(s.v), tape_zero_grad(s.k);
        tape_reset();
        if (r >= 0)
            bench_add_phases(&phases, start, middle, end);
    }
    if (bench_check(ok, "w9_springs", "loss and gradient as by differences in f64")) {
        bench_report("w9_springs", "check", value, "sum");
        bench_report_phases("w9_springs", &phases, 1e3, "ms");
        bench_report("w9_springs", "tape", (double)bytes, "bytes");
        time_plain();
    }
    tape_free(s.x), tape_free(s.v), tape_free(s.k), tape_free(s.dt), tape_free(s.one);
}
