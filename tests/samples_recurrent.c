/* Samples of the recurrent cells and layers. */
#include <math.h>

#include "ops/recurrent.h"
#include "support/samples.h"

enum { STEPS = 3, BATCH = 2, IN = 3, H = 2, STATES = BATCH * H };

/* ---- the formulas, an element at a time -------------------------------------------------------------------------- */

static double sigma(double x)
{
    return 1 / (1 + exp(-x));
}

/* Row `row` of weight times the vector, plus the bias if there is one. */
static double affine(const double *weight, const double *bias, int row, int n, const double *vector)
{
    double sum = bias ? bias[row] : 0;
    for (int k = 0; k < n; k++)
        sum += weight[row * n + k] * vector[k];
    return sum;
}

/* w: the weights of x and of h, then the biases or NULL. */
static void lstm_reference(int steps, const double *x, const double *h0, const double *c0, const double *const *w,
                           double *h, double *c)
{
    for (int i = 0; i < steps * STATES; i++) {
        int t = i / STATES, b = i / H % BATCH, j = i % H;
        const double *before = (t ? h + (t - 1) * STATES : h0) + b * H, *in = x + (t * BATCH + b) * IN;
        double a[4];
        for (int gate = 0; gate < 4; gate++)
            a[gate] = affine(w[0], w[2], gate * H + j, IN, in) + affine(w[1], w[3], gate * H + j, H, before);
        c[i] = sigma(a[1]) * (t ? c[i - STATES] : c0[i]) + sigma(a[0]) * tanh(a[2]);
        h[i] = sigma(a[3]) * tanh(c[i]);
    }
}

static void gru_reference(int steps, const double *x, const double *h0, const double *const *w, double *h)
{
    for (int i = 0; i < steps * STATES; i++) {
        int t = i / STATES, b = i / H % BATCH, j = i % H;
        const double *before = (t ? h + (t - 1) * STATES : h0) + b * H, *in = x + (t * BATCH + b) * IN;
        double p[3], q[3];
        for (int gate = 0; gate < 3; gate++) {
            p[gate] = affine(w[0], w[2], gate * H + j, IN, in);
            q[gate] = affine(w[1], w[3], gate * H + j, H, before);
        }
        double z = sigma(p[1] + q[1]), n = tanh(p[2] + sigma(p[0] + q[0]) * q[2]);
        h[i] = (1 - z) * n + z * before[j];
    }
}

/* x: gates i f g o, every c, c before, hidden weights, cotangents of every h and c. y: the cotangents of the sums in
 * the gates, of h and of c before. */
static void lstm_backward_reference(const double *const *x, double *y)
{
    double *g = y, *gh = g + 4 * STEPS * STATES, *gc = gh + STATES;
    for (int k = 0; k < 2 * STATES; k++)
        gh[k] = 0;
    for (int t = STEPS - 1; t >= 0; t--) {
        for (int k = 0; k < STATES; k++) {
            const double *gate = x[0] + (t * BATCH + k / H) * 4 * H + k % H,
                         before = t ? x[1][(t - 1) * STATES + k] : x[2][k];
            double *to = g + (t * BATCH + k / H) * 4 * H + k % H, squashed = tanh(x[1][t * STATES + k]);
            double h = gh[k] + x[4][t * STATES + k], i = gate[0], f = gate[H], m = gate[2 * H], o = gate[3 * H];
            double c = gc[k] + x[5][t * STATES + k] + h * o * (1 - squashed * squashed);
            to[0] = c * m * i * (1 - i);
            to[H] = c * before * f * (1 - f);
            to[2 * H] = c * i * (1 - m * m);
            to[3 * H] = h * squashed * o * (1 - o);
            gc[k] = c * f;
        }
        for (int k = 0; k < STATES; k++) {
            gh[k] = 0;
            for (int row = 0; row < 4 * H; row++)
                gh[k] += g[(t * BATCH + k / H) * 4 * H + row] * x[3][row * H + k % H];
        }
    }
}

/* x: gates q r z m, every h, h before, hidden weights (rows of r, z, m), cotangents of every h. */
static void gru_backward_reference(const double *const *x, double *y)
{
    double *g = y, *gh = g + 4 * STEPS * STATES;
    for (int k = 0; k < STATES; k++)
        gh[k] = 0;
    for (int t = STEPS - 1; t >= 0; t--) {
        for (int k = 0; k < STATES; k++) {
            const double *gate = x[0] + (t * BATCH + k / H) * 4 * H + k % H,
                         before = t ? x[1][(t - 1) * STATES + k] : x[2][k];
            double *to = g + (t * BATCH + k / H) * 4 * H + k % H, h = gh[k] + x[4][t * STATES + k];
            double q = gate[0], r = gate[H], z = gate[2 * H], m = gate[3 * H], sum = h * (1 - z) * (1 - m * m);
            to[0] = sum * r;
            to[H] = sum * q * r * (1 - r);
            to[2 * H] = h * (before - m) * z * (1 - z);
            to[3 * H] = sum;
            gh[k] = h * z;
        }
        for (int k = 0; k < STATES; k++)
            for (int row = 0; row < 3 * H; row++) {
                int column = row < 2 * H ? row + H : row - 2 * H;
                gh[k] += g[(t * BATCH + k / H) * 4 * H + column] * x[3][row * H + k % H];
            }
    }
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

/* h + c^2, where c is the state after the last step. */
static tape_tensor both(tape_tensor h, tape_tensor c)
{
    return tape_add(h, tape_square(c));
}

static tape_tensor run_lstm(const tape_tensor *x, bool sequence, bool bias_in, bool bias_hidden)
{
    tape_tensor bias = bias_in ? x[5] : TAPE_NONE, hidden_bias = bias_hidden ? x[5 + bias_in] : TAPE_NONE, c, h;
    h = (sequence ? tape_lstm : tape_lstm_cell)(x[0], x[1], x[2], x[3], x[4], bias, hidden_bias, &c);
    return both(h, c);
}

static void refer_lstm(const double *const *x, bool sequence, bool bias_in, bool bias_hidden, double *y)
{
    const double *const w[4] = {x[3], x[4], bias_in ? x[5] : NULL, bias_hidden ? x[5 + bias_in] : NULL};
    const int steps = sequence ? STEPS : 1;
    double c[STEPS * STATES];
    lstm_reference(steps, x[0], x[1], x[2], w, y, c);
    for (int i = 0; i < steps * STATES; i++)
        y[i] += pow(c[(steps - 1) * STATES + i % STATES], 2);
}

static void refer_gru(const double *const *x, bool sequence, bool biases, double *y)
{
    const double *const w[4] = {x[2], x[3], biases ? x[4] : NULL, biases ? x[5] : NULL};
    gru_reference(sequence ? STEPS : 1, x[0], x[1], w, y);
}

static tape_tensor run_backward(const tape_tensor *x, bool lstm)
{
    tape__recurrent_attr attr = {.lstm = lstm, .sequence = 1, .from_y = 1, .from_cells = lstm};
    tape_tensor g = tape__run(TAPE__OP_recurrent_backward, x, 5 + lstm, &attr, sizeof attr), parts[3] = {g};
    for (int i = 1; i < 2 + lstm; i++)
        parts[i] = tape__sibling(g, i);
    for (int i = 0; i < 2 + lstm; i++)
        parts[i] = tape_flatten(parts[i], 0, -1);
    return tape_concat(parts, 2 + lstm, 0);
}

/* ---- the samples ------------------------------------------------------------------------------------------------- */

#define FLOAT(rank, ...)                                                                                               \
    {                                                                                                                  \
        SAMPLE_FLOAT, {rank, {__VA_ARGS__}}, -1, 1                                                                     \
    }
#define STATE FLOAT(2, BATCH, H)
#define SEQUENCE FLOAT(3, STEPS, BATCH, H)
#define GATES                                                                                                          \
    {                                                                                                                  \
        SAMPLE_FLOAT, {3, {STEPS, BATCH, 4 * H}}, 0.1, 0.9                                                             \
    }
#define LIST(...)                                                                                                      \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }
#define LSTM_IN(x) LIST(x, STATE, STATE, FLOAT(2, 4 * H, IN), FLOAT(2, 4 * H, H), FLOAT(1, 4 * H), FLOAT(1, 4 * H))
#define GRU_IN(x) LIST(x, STATE, FLOAT(2, 3 * H, IN), FLOAT(2, 3 * H, H), FLOAT(1, 3 * H), FLOAT(1, 3 * H))
#define STEP FLOAT(2, BATCH, IN)
#define ALL FLOAT(3, STEPS, BATCH, IN)

/* CELL(op, label, inputs, their number, call, reference, not differentiable) */
#define CELLS(CELL)                                                                                                    \
    CELL(lstm_cell, biases, LSTM_IN(STEP), 7, run_lstm(x, false, true, true), refer_lstm(x, false, true, true, y),     \
         false)                                                                                                        \
    CELL(lstm_cell, plain, LSTM_IN(STEP), 5, run_lstm(x, false, false, false), refer_lstm(x, false, false, false, y),  \
         false)                                                                                                        \
    CELL(lstm_cell, hidden_bias, LSTM_IN(STEP), 6, run_lstm(x, false, false, true),                                    \
         refer_lstm(x, false, false, true, y), false)                                                                  \
    CELL(lstm, biases, LSTM_IN(ALL), 7, run_lstm(x, true, true, true), refer_lstm(x, true, true, true, y), false)      \
    CELL(lstm, bias, LSTM_IN(ALL), 6, run_lstm(x, true, true, false), refer_lstm(x, true, true, false, y), false)      \
    CELL(gru_cell, biases, GRU_IN(STEP), 6, tape_gru_cell(x[0], x[1], x[2], x[3], x[4], x[5]),                         \
         refer_gru(x, false, true, y), false)                                                                          \
    CELL(gru_cell, plain, GRU_IN(STEP), 4, tape_gru_cell(x[0], x[1], x[2], x[3], TAPE_NONE, TAPE_NONE),                \
         refer_gru(x, false, false, y), false)                                                                         \
    CELL(gru, biases, GRU_IN(ALL), 6, tape_gru(x[0], x[1], x[2], x[3], x[4], x[5]), refer_gru(x, true, true, y),       \
         false)                                                                                                        \
    CELL(gru, plain, GRU_IN(ALL), 4, tape_gru(x[0], x[1], x[2], x[3], TAPE_NONE, TAPE_NONE),                           \
         refer_gru(x, true, false, y), false)                                                                          \
    CELL(recurrent_backward, lstm, LIST(GATES, SEQUENCE, STATE, FLOAT(2, 4 * H, H), SEQUENCE, SEQUENCE), 6,            \
         run_backward(x, true), lstm_backward_reference(x, y), true)                                                   \
    CELL(recurrent_backward, gru, LIST(GATES, SEQUENCE, STATE, FLOAT(2, 3 * H, H), SEQUENCE), 5,                       \
         run_backward(x, false), gru_backward_reference(x, y), true)

#define FUNCTIONS(op, label, inputs, n, call, expected, flat) SAMPLE_FUNCTIONS(op, label, call, expected)
CELLS(FUNCTIONS)
#define ENTRY(op, label, inputs, n, call, expected, flat)                                                              \
    {#op, #label, n, inputs, op##_##label, op##_##label##_reference, flat, 0},

const struct sample samples_recurrent[] = {
    CELLS(ENTRY){NULL, NULL, 0, {{SAMPLE_FLOAT, {0, {0}}, 0, 0}}, NULL, NULL, false, 0},
};
