/* Samples of softmax and the normalisations. */
#include <math.h>

#include "ops/norm.h"
#include "ops/softmax.h"
#include "support/samples.h"

/* ---- softmax ----------------------------------------------------------------------------------------------------- */

/* Applies `row` to each row along the middle axis of [outer, n, inner] arrays, of which there are one or two. */
typedef void row_function(int n, const double *a, const double *b, double *y);

static void along(int outer, int n, int inner, const double *const *x, bool two, row_function *row, double *y)
{
    double a[8], b[8] = {0}, out[8];
    for (int o = 0; o < outer; o++)
        for (int i = 0; i < inner; i++) {
            for (int k = 0; k < n; k++) {
                a[k] = x[0][(o * n + k) * inner + i];
                b[k] = two ? x[1][(o * n + k) * inner + i] : 0;
            }
            row(n, a, b, out);
            for (int k = 0; k < n; k++)
                y[(o * n + k) * inner + i] = out[k];
        }
}

static void softmax_row(int n, const double *x, const double *unused, double *y)
{
    long double sum = 0;
    (void)unused;
    for (int k = 0; k < n; k++)
        sum += expl(x[k]);
    for (int k = 0; k < n; k++)
        y[k] = (double)(expl(x[k]) / sum);
}

static void log_softmax_row(int n, const double *x, const double *unused, double *y)
{
    softmax_row(n, x, unused, y);
    for (int k = 0; k < n; k++)
        y[k] = log(y[k]);
}

static void softmax_backward_row(int n, const double *g, const double *p, double *y)
{
    double sum = 0;
    for (int k = 0; k < n; k++)
        sum += g[k] * p[k];
    for (int k = 0; k < n; k++)
        y[k] = p[k] * (g[k] - sum);
}

static void log_softmax_backward_row(int n, const double *g, const double *logp, double *y)
{
    double sum = 0;
    for (int k = 0; k < n; k++)
        sum += g[k];
    for (int k = 0; k < n; k++)
        y[k] = g[k] - exp(logp[k]) * sum;
}

/* SOFTMAX(op, label, outer, n, inner, rank, sizes, two inputs, row, call) */
#define SHAPE_234                                                                                                      \
    {                                                                                                                  \
        2, 3, 4                                                                                                        \
    }
#define SHAPE_5                                                                                                        \
    {                                                                                                                  \
        5                                                                                                              \
    }
#define SOFTMAXES(SOFTMAX)                                                                                             \
    SOFTMAX(softmax, last, 6, 4, 1, 3, SHAPE_234, false, softmax_row, tape_softmax(x[0], -1))                          \
    SOFTMAX(softmax, middle, 2, 3, 4, 3, SHAPE_234, false, softmax_row, tape_softmax(x[0], 1))                         \
    SOFTMAX(softmax, first, 1, 2, 12, 3, SHAPE_234, false, softmax_row, tape_softmax(x[0], 0))                         \
    SOFTMAX(softmax, vector, 1, 5, 1, 1, SHAPE_5, false, softmax_row, tape_softmax(x[0], 0))                           \
    SOFTMAX(softmax_backward, last, 6, 4, 1, 3, SHAPE_234, true, softmax_backward_row,                                 \
            tape__softmax_backward(x[0], x[1], 2))                                                                     \
    SOFTMAX(softmax_backward, middle, 2, 3, 4, 3, SHAPE_234, true, softmax_backward_row,                               \
            tape__softmax_backward(x[0], x[1], 1))                                                                     \
    SOFTMAX(log_softmax, last, 6, 4, 1, 3, SHAPE_234, false, log_softmax_row, tape_log_softmax(x[0], 2))               \
    SOFTMAX(log_softmax, middle, 2, 3, 4, 3, SHAPE_234, false, log_softmax_row, tape_log_softmax(x[0], -2))            \
    SOFTMAX(log_softmax_backward, last, 6, 4, 1, 3, SHAPE_234, true, log_softmax_backward_row,                         \
            tape__log_softmax_backward(x[0], x[1], -1))                                                                \
    SOFTMAX(log_softmax_backward, first, 1, 2, 12, 3, SHAPE_234, true, log_softmax_backward_row,                       \
            tape__log_softmax_backward(x[0], x[1], 0))

#define SOFTMAX_FUNCTIONS(op, label, outer, n, inner, rank, sizes, two, row, call)                                     \
    SAMPLE_FUNCTIONS(op, label, call, along(outer, n, inner, x, two, row, y))
SOFTMAXES(SOFTMAX_FUNCTIONS)

/* ---- normalisations ---------------------------------------------------------------------------------------------- */

#define EPS 0.1 /* large, so that leaving it out would show */

enum { ROWS = 3, N = 4 };

/* h = (x - mean) r, or x r if not centred; returns r. */
static double normalise(int n, bool centred, const double *x, double *h)
{
    double mean = 0, square = 0;
    for (int k = 0; k < n && centred; k++)
        mean += x[k] / n;
    for (int k = 0; k < n; k++)
        square += (x[k] - mean) * (x[k] - mean) / n;
    double r = 1 / sqrt(square + EPS);
    for (int k = 0; k < n; k++)
        h[k] = (x[k] - mean) * r;
    return r;
}

static void norm_reference(int rows, int n, bool centred, const double *x, const double *w, const double *b, double *y)
{
    for (int i = 0; i < rows; i++) {
        normalise(n, centred, x + i * n, y + i * n);
        for (int k = 0; k < n; k++)
            y[i * n + k] = y[i * n + k] * (w ? w[k] : 1) + (b ? b[k] : 0);
    }
}

/* The sum of the gradients of x, of the weight and of the bias, by the chain rule through mean and deviation. */
static void norm_backward_reference(bool centred, const double *g, const double *x, const double *w, bool biased,
                                    double *y)
{
    for (int i = 0; i < ROWS; i++)
        for (int k = 0; k < N; k++) {
            double h[N], r = normalise(N, centred, x + i * N, h);
            y[i * N + k] = 0;
            for (int j = 0; j < N; j++) {
                double slope = (j == k) - (centred ? 1. / N : 0) - h[j] * h[k] / N;
                y[i * N + k] += g[i * N + j] * (w ? w[j] : 1) * r * slope;
            }
        }
    for (int i = 0; i < ROWS; i++)
        for (int k = 0; k < N; k++)
            for (int l = 0; l < ROWS; l++) {
                double h[N];
                normalise(N, centred, x + l * N, h);
                y[i * N + k] += (w ? g[l * N + k] * h[k] : 0) + (biased ? g[l * N + k] : 0);
            }
}

static tape_tensor run_backward(bool centred, const tape_tensor *x, bool weighted, bool biased)
{
    tape__norm_attr attr = {1, weighted, biased, 0, EPS};
    tape_tensor y =
        centred ? tape_layer_norm(x[1], TAPE_NONE, TAPE_NONE, 1, EPS) : tape_rms_norm(x[1], TAPE_NONE, 1, EPS);
    tape_tensor inputs[4] = {x[0], x[1], tape__sibling(y, 1), weighted ? x[2] : TAPE_NONE};
    tape_tensor gx = tape__norm_backward(centred, inputs, &attr), sum = gx;
    if (weighted)
        sum = tape_add(sum, tape__sibling(gx, 1));
    if (biased)
        sum = tape_add(sum, tape__sibling(gx, 1 + weighted));
    return sum;
}

/* Channels of [IMAGES, CHANNELS, PIXELS], normalised over all that `group` puts together, then w h + b. */
enum { IMAGES = 2, CHANNELS = 4, PIXELS = 3, ELEMENTS = IMAGES * CHANNELS * PIXELS };

typedef int group_function(int image, int channel);

static int by_pair(int image, int channel)
{
    return image * 2 + channel / 2;
}

static int by_instance(int image, int channel)
{
    return image * CHANNELS + channel;
}

static int by_channel(int image, int channel)
{
    (void)image;
    return channel;
}

static void channels_reference(group_function *group, const double *x, const double *w, const double *b, double *y)
{
    for (int g = 0; g < ELEMENTS; g++) {
        double members[ELEMENTS], h[ELEMENTS];
        int at[ELEMENTS], n = 0;
        for (int i = 0; i < ELEMENTS; i++)
            if (group(i / (CHANNELS * PIXELS), i / PIXELS % CHANNELS) == g) {
                at[n] = i;
                members[n++] = x[i];
            }
        normalise(n, true, members, h);
        for (int k = 0; k < n; k++) {
            int channel = at[k] / PIXELS % CHANNELS;
            y[at[k]] = h[k] * (w ? w[channel] : 1) + (b ? b[channel] : 0);
        }
    }
}

/* NORM(op, label, inputs, call, reference): x of [ROWS, N], the others as given. */
#define NORMS(NORM)                                                                                                    \
    NORM(layer_norm, plain, IN_X, 1, tape_layer_norm(x[0], TAPE_NONE, TAPE_NONE, 1, EPS),                              \
         norm_reference(ROWS, N, true, x[0], NULL, NULL, y))                                                           \
    NORM(layer_norm, affine, IN_XWB, 3, tape_layer_norm(x[0], x[1], x[2], 1, EPS),                                     \
         norm_reference(ROWS, N, true, x[0], x[1], x[2], y))                                                           \
    NORM(layer_norm, bias, IN_XWB, 2, tape_layer_norm(x[0], TAPE_NONE, x[1], 1, EPS),                                  \
         norm_reference(ROWS, N, true, x[0], NULL, x[1], y))                                                           \
    NORM(layer_norm, two_axes, IN_TWO_AXES, 3, tape_layer_norm(x[0], x[1], x[2], 2, EPS),                              \
         norm_reference(2, 6, true, x[0], x[1], x[2], y))                                                              \
    NORM(layer_norm_backward, plain, IN_GXW, 2, run_backward(true, x, false, false),                                   \
         norm_backward_reference(true, x[0], x[1], NULL, false, y))                                                    \
    NORM(layer_norm_backward, affine, IN_GXW, 3, run_backward(true, x, true, true),                                    \
         norm_backward_reference(true, x[0], x[1], x[2], true, y))                                                     \
    NORM(rms_norm, plain, IN_X, 1, tape_rms_norm(x[0], TAPE_NONE, 1, EPS),                                             \
         norm_reference(ROWS, N, false, x[0], NULL, NULL, y))                                                          \
    NORM(rms_norm, weight, IN_XWB, 2, tape_rms_norm(x[0], x[1], 1, EPS),                                               \
         norm_reference(ROWS, N, false, x[0], x[1], NULL, y))                                                          \
    NORM(rms_norm_backward, weight, IN_GXW, 3, run_backward(false, x, true, false),                                    \
         norm_backward_reference(false, x[0], x[1], x[2], false, y))                                                   \
    NORM(group_norm, pairs, IN_CHANNELS, 3, tape_group_norm(x[0], 2, x[1], x[2], EPS),                                 \
         channels_reference(by_pair, x[0], x[1], x[2], y))                                                             \
    NORM(instance_norm, plain, IN_CHANNELS, 1, tape_instance_norm(x[0], TAPE_NONE, TAPE_NONE, EPS),                    \
         channels_reference(by_instance, x[0], NULL, NULL, y))                                                         \
    NORM(batch_norm, affine, IN_CHANNELS, 3, tape_batch_norm(x[0], x[1], x[2], EPS, NULL, NULL),                       \
         channels_reference(by_channel, x[0], x[1], x[2], y))                                                          \
    NORM(batch_norm, plain, IN_CHANNELS, 1, tape_batch_norm(x[0], TAPE_NONE, TAPE_NONE, EPS, NULL, NULL),              \
         channels_reference(by_channel, x[0], NULL, NULL, y))

#define IN_X                                                                                                           \
    {                                                                                                                  \
        SAMPLE_FLOAT, {2, {ROWS, N}}, -2, 2                                                                            \
    }
#define IN_W                                                                                                           \
    {                                                                                                                  \
        SAMPLE_FLOAT, {1, {N}}, -2, 2                                                                                  \
    }
#define IN_XWB IN_X, IN_W, IN_W
#define IN_GXW IN_X, IN_X, IN_W
#define IN_BLOCK                                                                                                       \
    {                                                                                                                  \
        SAMPLE_FLOAT, {2, {2, 3}}, -2, 2                                                                               \
    }
#define IN_TWO_AXES {SAMPLE_FLOAT, {3, {2, 2, 3}}, -2, 2}, IN_BLOCK, IN_BLOCK

#define IN_CHANNEL                                                                                                     \
    {                                                                                                                  \
        SAMPLE_FLOAT, {1, {CHANNELS}}, -2, 2                                                                           \
    }
#define IN_CHANNELS {SAMPLE_FLOAT, {3, {IMAGES, CHANNELS, PIXELS}}, -2, 2}, IN_CHANNEL, IN_CHANNEL

#define NORM_FUNCTIONS(op, label, inputs, n, call, expected) SAMPLE_FUNCTIONS(op, label, call, expected)
NORMS(NORM_FUNCTIONS)

/* ---- the samples ------------------------------------------------------------------------------------------------- */

#define SOFTMAX_ENTRY(op, label, outer, n, inner, rank, sizes, two, row, call)                                         \
    {#op,          #label,                                                                                             \
     1 + (two),    {{SAMPLE_FLOAT, {rank, sizes}, -2, 2}, {SAMPLE_FLOAT, {rank, sizes}, -2, 2}},                       \
     op##_##label, op##_##label##_reference,                                                                           \
     false,        0},
#define NORM_ENTRY(op, label, inputs, n, call, expected)                                                               \
    {#op, #label, n, {inputs}, op##_##label, op##_##label##_reference, false, 0},

const struct sample samples_nn[] = {
    SOFTMAXES(SOFTMAX_ENTRY) NORMS(NORM_ENTRY){NULL, NULL, 0, {{SAMPLE_FLOAT, {0, {0}}, 0, 0}}, NULL, NULL, false, 0},
};
