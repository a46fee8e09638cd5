/* Samples of convolution, pooling, resampling, attention and recurrent cells. */
#include <math.h>

#include "ops/attention.h"
#include "ops/conv.h"
#include "ops/pool.h"
#include "support/samples.h"

/* ---- convolution ------------------------------------------------------------------------------------------------- */

/* A convolution over three axes, unused ones of size 1: x [n, c, d...], w [o, c / groups, k...], y [n, o, e...]. */
struct geometry {
    int n, c, o, groups;
    int d[3], k[3], e[3], stride[3], padding[3], dilation[3];
};

enum { OF_X = 1, OF_W = 2, OF_Y = 4 };

/* Calls add(at_x, at_w, at_y) for every product of the sum; `which` operand is the result. */
static void convolve(const struct geometry *g, int which, const double *x, const double *w, const double *y,
                     double *out)
{
    const int *d = g->d, *k = g->k, *e = g->e, in = g->c / g->groups, per = g->o / g->groups;
    for (int r = 0; r < g->n * g->o * e[0] * e[1] * e[2]; r++)
        for (int q = 0; q < in * k[0] * k[1] * k[2]; q++) {
            int at[3], place[3] = {r / (e[1] * e[2]) % e[0], r / e[2] % e[1], r % e[2]};
            int tap[3] = {q / (k[1] * k[2]) % k[0], q / k[2] % k[1], q % k[2]}, inside = 1;
            for (int i = 0; i < 3; i++) {
                at[i] = place[i] * g->stride[i] + tap[i] * g->dilation[i] - g->padding[i];
                inside = inside && at[i] >= 0 && at[i] < d[i];
            }
            int image = r / (e[0] * e[1] * e[2]) / g->o, o = r / (e[0] * e[1] * e[2]) % g->o;
            int c = o / per * in + q / (k[0] * k[1] * k[2]);
            int at_x = (((image * g->c + c) * d[0] + at[0]) * d[1] + at[1]) * d[2] + at[2];
            int at_w = o * in * k[0] * k[1] * k[2] + q;
            if (inside && which == OF_X)
                out[at_x] += w[at_w] * y[r];
            else if (inside && which == OF_W)
                out[at_w] += x[at_x] * y[r];
            else if (inside)
                out[r] += x[at_x] * w[at_w];
        }
}

/* The result from the two others, plus the bias of its channels. */
static void convolution_reference(const struct geometry *g, int which, const double *a, const double *b,
                                  const double *bias, double *out)
{
    int x = g->n * g->c * g->d[0] * g->d[1] * g->d[2], y = g->n * g->o * g->e[0] * g->e[1] * g->e[2];
    int w = g->o * g->c / g->groups * g->k[0] * g->k[1] * g->k[2];
    int count = which == OF_X ? x : which == OF_W ? w : y, channels = which == OF_X ? g->c : g->o;
    for (int i = 0; i < count; i++)
        out[i] = bias ? bias[i / (count / (g->n * channels)) % channels] : 0;
    if (which == OF_X)
        convolve(g, which, NULL, b, a, out);
    else if (which == OF_W)
        convolve(g, which, a, NULL, b, out);
    else
        convolve(g, which, a, b, NULL, out);
}

#define FLOAT(rank, ...)                                                                                               \
    {                                                                                                                  \
        SAMPLE_FLOAT, {rank, {__VA_ARGS__}}, -2, 2                                                                     \
    }
#define OPTIONS(...) (&(const tape_conv_options){__VA_ARGS__})
#define ONES                                                                                                           \
    {                                                                                                                  \
        1, 1, 1                                                                                                        \
    }
#define ZEROS                                                                                                          \
    {                                                                                                                  \
        0, 0, 0                                                                                                        \
    }
#define LIST(...)                                                                                                      \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }

/* CONV(op, label, result, geometry, inputs, their number, call) */
#define CONVOLUTIONS(CONV)                                                                                             \
    CONV(conv1d, plain, OF_Y, LIST(2, 2, 3, 1, {1, 1, 5}, {1, 1, 3}, {1, 1, 3}, ONES, ZEROS, ONES),                    \
         LIST(FLOAT(3, 2, 2, 5), FLOAT(3, 3, 2, 3), FLOAT(1, 3)), 3, tape_conv1d(x[0], x[1], x[2], NULL))              \
    CONV(conv1d, dilated, OF_Y, LIST(2, 2, 2, 1, {1, 1, 7}, {1, 1, 3}, {1, 1, 3}, {1, 1, 2}, {0, 0, 2}, {1, 1, 3}),    \
         LIST(FLOAT(3, 2, 2, 7), FLOAT(3, 2, 2, 3)), 2,                                                                \
         tape_conv1d(x[0], x[1], TAPE_NONE, OPTIONS(.stride = {2}, .padding = {2}, .dilation = {3})))                  \
    CONV(conv1d, one_image, OF_Y, LIST(1, 2, 2, 1, {1, 1, 4}, {1, 1, 2}, {1, 1, 3}, ONES, ZEROS, ONES),                \
         LIST(FLOAT(2, 2, 4), FLOAT(3, 2, 2, 2), FLOAT(1, 2)), 3, tape_conv1d(x[0], x[1], x[2], NULL))                 \
    CONV(conv2d, plain, OF_Y, LIST(2, 2, 2, 1, {1, 4, 3}, {1, 2, 2}, {1, 3, 2}, ONES, ZEROS, ONES),                    \
         LIST(FLOAT(4, 2, 2, 4, 3), FLOAT(4, 2, 2, 2, 2), FLOAT(1, 2)), 3, tape_conv2d(x[0], x[1], x[2], NULL))        \
    CONV(conv2d, padded, OF_Y, LIST(1, 2, 3, 1, {1, 4, 4}, {1, 3, 3}, {1, 4, 4}, ONES, {0, 1, 1}, ONES),               \
         LIST(FLOAT(4, 1, 2, 4, 4), FLOAT(4, 3, 2, 3, 3), FLOAT(1, 3)), 3,                                             \
         tape_conv2d(x[0], x[1], x[2], OPTIONS(.padding = {1, 1})))                                                    \
    CONV(conv2d, grouped, OF_Y, LIST(2, 4, 6, 2, {1, 4, 5}, {1, 2, 3}, {1, 4, 3}, {1, 1, 2}, {0, 1, 1}, {1, 2, 1}),    \
         LIST(FLOAT(4, 2, 4, 4, 5), FLOAT(4, 6, 2, 2, 3), FLOAT(1, 6)), 3,                                             \
         tape_conv2d(x[0], x[1], x[2], OPTIONS(.stride = {1, 2}, .padding = {1, 1}, .dilation = {2, 1}, .groups = 2))) \
    CONV(conv2d, uneven, OF_Y, LIST(1, 1, 2, 1, {1, 6, 7}, {1, 2, 2}, {1, 2, 2}, {1, 3, 4}, {0, 0, 1}, {1, 2, 3}),     \
         LIST(FLOAT(4, 1, 1, 6, 7), FLOAT(4, 2, 1, 2, 2)), 2,                                                          \
         tape_conv2d(x[0], x[1], TAPE_NONE, OPTIONS(.stride = {3, 4}, .padding = {0, 1}, .dilation = {2, 3})))         \
    CONV(conv3d, mixed, OF_Y, LIST(1, 2, 2, 1, {3, 3, 4}, {2, 2, 2}, {2, 4, 2}, {1, 1, 2}, {0, 1, 0}, ONES),           \
         LIST(FLOAT(5, 1, 2, 3, 3, 4), FLOAT(5, 2, 2, 2, 2, 2), FLOAT(1, 2)), 3,                                       \
         tape_conv3d(x[0], x[1], x[2], OPTIONS(.stride = {1, 1, 2}, .padding = {0, 1, 0})))                            \
    CONV(conv_transpose1d, plain, OF_X, LIST(2, 3, 2, 1, {1, 1, 6}, {1, 1, 3}, {1, 1, 4}, ONES, ZEROS, ONES),          \
         LIST(FLOAT(3, 2, 2, 4), FLOAT(3, 2, 3, 3), FLOAT(1, 3)), 3, tape_conv_transpose1d(x[0], x[1], x[2], NULL))    \
    CONV(conv_transpose1d, strided, OF_X,                                                                              \
         LIST(1, 2, 2, 1, {1, 1, 9}, {1, 1, 2}, {1, 1, 3}, {1, 1, 4}, {0, 0, 1}, {1, 1, 1}),                           \
         LIST(FLOAT(2, 2, 3), FLOAT(3, 2, 2, 2), FLOAT(1, 2)), 3,                                                      \
         tape_conv_transpose1d(x[0], x[1], x[2], OPTIONS(.stride = {4}, .padding = {1}, .output_padding = {1})))       \
    CONV(conv_transpose1d, spread, OF_X,                                                                               \
         LIST(1, 1, 1, 1, {1, 1, 9}, {1, 1, 3}, {1, 1, 2}, {1, 1, 2}, {0, 0, 0}, {1, 1, 2}),                           \
         LIST(FLOAT(3, 1, 1, 2), FLOAT(3, 1, 1, 3)), 2,                                                                \
         tape_conv_transpose1d(x[0], x[1], TAPE_NONE, OPTIONS(.stride = {2}, .dilation = {2}, .output_padding = {1}))) \
    CONV(conv_transpose2d, grouped, OF_X,                                                                              \
         LIST(2, 4, 2, 2, {1, 6, 4}, {1, 3, 2}, {1, 3, 3}, {1, 2, 1}, {0, 1, 0}, {1, 1, 1}),                           \
         LIST(FLOAT(4, 2, 2, 3, 3), FLOAT(4, 2, 2, 3, 2), FLOAT(1, 4)), 3,                                             \
         tape_conv_transpose2d(x[0], x[1], x[2],                                                                       \
                               OPTIONS(.stride = {2, 1}, .padding = {1, 0}, .groups = 2, .output_padding = {1, 0})))   \
    CONV(conv_transpose3d, small, OF_X, LIST(1, 2, 1, 1, {3, 3, 4}, {2, 2, 2}, {2, 2, 2}, {1, 1, 2}, ZEROS, ONES),     \
         LIST(FLOAT(5, 1, 1, 2, 2, 2), FLOAT(5, 1, 2, 2, 2, 2), FLOAT(1, 2)), 3,                                       \
         tape_conv_transpose3d(x[0], x[1], x[2], OPTIONS(.stride = {1, 1, 2})))                                        \
    CONV(conv_sum, wider, OF_Y, LIST(1, 2, 2, 1, {1, 3, 3}, {1, 2, 2}, {1, 3, 2}, {1, 2, 2}, {0, 1, 0}, {1, 1, 2}),    \
         LIST(FLOAT(4, 1, 2, 3, 3), FLOAT(4, 2, 2, 2, 2)), 2,                                                          \
         tape__conv_sum(x[0], x[1], &(const tape__conv_attr){2, 1, {2, 2}, {1, 0}, {1, 2}, {3, 2}}))                   \
    CONV(conv_input_gradient, strided, OF_X,                                                                           \
         LIST(1, 2, 2, 1, {1, 5, 4}, {1, 2, 2}, {1, 3, 2}, {1, 2, 2}, {0, 1, 0}, {1, 1, 2}),                           \
         LIST(FLOAT(4, 1, 2, 3, 2), FLOAT(4, 2, 2, 2, 2)), 2,                                                          \
         tape__conv_input_gradient(x[0], x[1], &(const tape__conv_attr){2, 1, {2, 2}, {1, 0}, {1, 2}, {5, 4}}))        \
    CONV(conv_weight_gradient, strided, OF_W,                                                                          \
         LIST(2, 2, 2, 2, {1, 5, 4}, {1, 2, 2}, {1, 3, 1}, {1, 2, 2}, {0, 1, 0}, {1, 1, 2}),                           \
         LIST(FLOAT(4, 2, 2, 5, 4), FLOAT(4, 2, 2, 3, 1)), 2,                                                          \
         tape__conv_weight_gradient(x[0], x[1], &(const tape__conv_attr){2, 2, {2, 2}, {1, 0}, {1, 2}, {2, 2}}))

#define CONV_FUNCTIONS(op, label, result, sizes, inputs, n, call)                                                      \
    SAMPLE_FUNCTIONS(op, label, call, const struct geometry g = sizes;                                                 \
                     convolution_reference(&g, result, x[0], x[1], n > 2 ? x[2] : NULL, y))
CONVOLUTIONS(CONV_FUNCTIONS)
#define CONV_ENTRY(op, label, result, sizes, inputs, n, call)                                                          \
    {#op, #label, n, inputs, op##_##label, op##_##label##_reference, false, 0},

/* ---- pooling ----------------------------------------------------------------------------------------------------- */

/* Windows on `planes` of in[0] x in[1]; kernel 0: adaptive. */
struct windows {
    int planes;
    int in[2], out[2], kernel[2], stride[2], padding[2], dilation[2];
    int exclude, divisor;
};

/* Whether the window at position i of an axis sees the input at x; counts[0] gets its size, counts[1] without padding.
 */
static int sees(const struct windows *w, int axis, int i, int x, int *counts)
{
    int in = w->in[axis], hit = 0;
    counts[0] = counts[1] = 0;
    for (int at = -w->padding[axis]; at < in + w->padding[axis]; at++) {
        int from = i * w->stride[axis] - w->padding[axis], t = (at - from) / w->dilation[axis], inside;
        if (w->kernel[axis] == 0)
            inside = at >= i * in / w->out[axis] && at * w->out[axis] < (i + 1) * in;
        else
            inside = at >= from && (at - from) % w->dilation[axis] == 0 && t < w->kernel[axis];
        counts[0] += inside;
        counts[1] += inside && at >= 0 && at < in;
        hit = hit || (inside && at == x);
    }
    return hit;
}

enum { MEANS, LARGEST, SPREAD };

static void pool_reference(const struct windows *w, int what, const double *x, double *y)
{
    int in = w->in[0] * w->in[1], out = w->out[0] * w->out[1], rows[2], columns[2];
    for (int i = 0; i < w->planes * (what == SPREAD ? in : out); i++)
        y[i] = what == LARGEST ? -INFINITY : 0;
    for (int k = 0; k < w->planes * out; k++)
        for (int i = 0; i < in; i++) {
            int inside = sees(w, 0, k % out / w->out[1], i / w->in[1], rows);
            if (!sees(w, 1, k % w->out[1], i % w->in[1], columns) || !inside)
                continue;
            double count = w->divisor ? w->divisor : rows[w->exclude] * columns[w->exclude];
            int at = k / out * in + i;
            if (what == LARGEST)
                y[k] = fmax(y[k], x[at]);
            else if (what == SPREAD)
                y[at] += x[k] / count;
            else
                y[k] += x[at] / count;
        }
}

#define PLANE_1                                                                                                        \
    {                                                                                                                  \
        1, 1                                                                                                           \
    }
#define NONE_1                                                                                                         \
    {                                                                                                                  \
        0, 0                                                                                                           \
    }
#define POOL_OPTIONS(...) (&(const tape_pool_options){__VA_ARGS__})
#define POOLINGS(POOL)                                                                                                 \
    POOL(max_pool1d, plain, LARGEST, LIST(4, {1, 7}, {1, 3}, {1, 2}, {1, 2}, NONE_1, PLANE_1, 0, 0),                   \
         FLOAT(3, 2, 2, 7), tape_max_pool1d(x[0], POOL_OPTIONS(.kernel = {2}), NULL))                                  \
    POOL(max_pool1d, dilated, LARGEST, LIST(2, {1, 8}, {1, 4}, {1, 3}, {1, 2}, {0, 1}, {1, 2}, 0, 0), FLOAT(2, 2, 8),  \
         tape_max_pool1d(                                                                                              \
             x[0], POOL_OPTIONS(.kernel = {3}, .stride = {2}, .padding = {1}, .dilation = {2}, .ceil_mode = true),     \
             NULL))                                                                                                    \
    POOL(max_pool2d, plain, LARGEST, LIST(4, {4, 6}, {2, 3}, {2, 2}, {2, 2}, NONE_1, PLANE_1, 0, 0),                   \
         FLOAT(4, 2, 2, 4, 6), tape_max_pool2d(x[0], POOL_OPTIONS(.kernel = {2, 2}), NULL))                            \
    POOL(max_pool2d, overlapping, LARGEST, LIST(2, {5, 4}, {3, 3}, {3, 2}, {2, 1}, {1, 0}, PLANE_1, 0, 0),             \
         FLOAT(3, 2, 5, 4),                                                                                            \
         tape_max_pool2d(x[0], POOL_OPTIONS(.kernel = {3, 2}, .stride = {2, 1}, .padding = {1, 0}), NULL))             \
    POOL(adaptive_max_pool1d, uneven, LARGEST, LIST(2, {1, 7}, {1, 3}, NONE_1, PLANE_1, NONE_1, PLANE_1, 0, 0),        \
         FLOAT(3, 1, 2, 7), tape_adaptive_max_pool1d(x[0], 3, NULL))                                                   \
    POOL(adaptive_max_pool2d, uneven, LARGEST, LIST(2, {5, 7}, {2, 3}, NONE_1, PLANE_1, NONE_1, PLANE_1, 0, 0),        \
         FLOAT(4, 1, 2, 5, 7), tape_adaptive_max_pool2d(x[0], 2, 3, NULL))                                             \
    POOL(avg_pool1d, padded, MEANS, LIST(4, {1, 5}, {1, 3}, {1, 3}, {1, 2}, {0, 1}, PLANE_1, 0, 0), FLOAT(3, 2, 2, 5), \
         tape_avg_pool1d(x[0], POOL_OPTIONS(.kernel = {3}, .stride = {2}, .padding = {1})))                            \
    POOL(avg_pool2d, plain, MEANS, LIST(4, {4, 5}, {2, 2}, {2, 2}, {2, 2}, NONE_1, PLANE_1, 0, 0),                     \
         FLOAT(4, 2, 2, 4, 5), tape_avg_pool2d(x[0], POOL_OPTIONS(.kernel = {2, 2})))                                  \
    POOL(                                                                                                              \
        avg_pool2d, ceil, MEANS, LIST(2, {4, 6}, {2, 4}, {3, 3}, {2, 2}, {0, 1}, PLANE_1, 0, 0), FLOAT(3, 2, 4, 6),    \
        tape_avg_pool2d(x[0], POOL_OPTIONS(.kernel = {3, 3}, .stride = {2, 2}, .padding = {0, 1}, .ceil_mode = true))) \
    POOL(avg_pool2d, without_padding, MEANS, LIST(2, {4, 4}, {3, 3}, {3, 2}, {2, 2}, {1, 1}, PLANE_1, 1, 0),           \
         FLOAT(4, 1, 2, 4, 4),                                                                                         \
         tape_avg_pool2d(x[0], POOL_OPTIONS(.kernel = {3, 2}, .stride = {2, 2}, .padding = {1, 1},                     \
                                            .exclude_padding = true, .ceil_mode = true)))                              \
    POOL(avg_pool2d, divisor, MEANS, LIST(1, {3, 3}, {2, 2}, {2, 2}, {1, 1}, NONE_1, PLANE_1, 0, 5),                   \
         FLOAT(4, 1, 1, 3, 3), tape_avg_pool2d(x[0], POOL_OPTIONS(.kernel = {2, 2}, .stride = {1, 1}, .divisor = 5)))  \
    POOL(adaptive_avg_pool1d, uneven, MEANS, LIST(2, {1, 7}, {1, 3}, NONE_1, PLANE_1, NONE_1, PLANE_1, 0, 0),          \
         FLOAT(2, 2, 7), tape_adaptive_avg_pool1d(x[0], 3))                                                            \
    POOL(adaptive_avg_pool2d, uneven, MEANS, LIST(2, {5, 2}, {2, 3}, NONE_1, PLANE_1, NONE_1, PLANE_1, 0, 0),          \
         FLOAT(4, 1, 2, 5, 2), tape_adaptive_avg_pool2d(x[0], 2, 3))                                                   \
    POOL(mean_spread, padded, SPREAD, LIST(2, {4, 5}, {2, 2}, {3, 3}, {2, 2}, {1, 0}, PLANE_1, 0, 0),                  \
         FLOAT(3, 2, 2, 2),                                                                                            \
         tape__mean_spread(x[0],                                                                                       \
                           &(const tape__pool_attr){                                                                   \
                               .axes = 2, .size = {4, 5}, .kernel = {3, 3}, .stride = {2, 2}, .padding = {1, 0}}))     \
    POOL(mean_spread, adaptive, SPREAD, LIST(2, {1, 5}, {1, 3}, NONE_1, PLANE_1, NONE_1, PLANE_1, 0, 0),               \
         FLOAT(2, 2, 3),                                                                                               \
         tape__mean_spread(x[0], &(const tape__pool_attr){.axes = 1, .adaptive = 1, .out = {3}, .size = {5}}))

#define POOL_FUNCTIONS(op, label, what, sizes, input, call)                                                            \
    SAMPLE_FUNCTIONS(op, label, call, const struct windows w = sizes; pool_reference(&w, what, x[0], y))
POOLINGS(POOL_FUNCTIONS)
#define POOL_ENTRY(op, label, what, sizes, input, call)                                                                \
    {#op, #label, 1, {input}, op##_##label, op##_##label##_reference, false, 0},

/* ---- attention --------------------------------------------------------------------------------------------------- */

/* q [BATCH, T, D], k [BATCH, S, D], v [BATCH, S, E]. */
enum { BATCH = 2, T = 3, S = 4, D = 2, E = 3 };
enum { NO_MASK, ADDED, LEFT_OUT };

/* The probabilities of query t of entry b. */
static void attend(const double *const *x, int b, int t, int mask, int causal, double scale, double *p)
{
    double sum = 0, most = -INFINITY;
    for (int s = 0; s < S; s++) {
        p[s] = mask == ADDED ? x[3][t * S + s] : 0;
        for (int d = 0; d < D; d++)
            p[s] += scale * x[0][(b * T + t) * D + d] * x[1][(b * S + s) * D + d];
        if ((causal && s > t) || (mask == LEFT_OUT && x[3][b * S + s] == 0))
            p[s] = -INFINITY;
        if (p[s] > most) /* GCC 12 for AArch64 has an internal error over fmax() here */
            most = p[s];
    }
    for (int s = 0; s < S; s++)
        sum += p[s] = p[s] == -INFINITY ? 0 : exp(p[s] - most);
    for (int s = 0; s < S; s++)
        p[s] = sum > 0 ? p[s] / sum : 0;
}

static void attention_reference(const double *const *x, int mask, int causal, double scale, double *y)
{
    for (int i = 0; i < BATCH * T * E; i++) {
        int b = i / (T * E);
        double p[S];
        attend(x, b, i / E % T, mask, causal, scale, p);
        y[i] = 0;
        for (int s = 0; s < S; s++)
            y[i] += p[s] * x[2][(b * S + s) * E + i % E];
    }
}

/* x: g, q, k, v; y: the cotangents of q, k and v one after the other. */
static void attention_backward_reference(const double *const *x, int causal, double scale, double *y)
{
    double *gq = y, *gk = gq + BATCH * T * D, *gv = gk + BATCH * S * D;
    for (int i = 0; i < BATCH * (T * D + S * D + S * E); i++)
        y[i] = 0;
    for (int row = 0; row < BATCH * T; row++) {
        double p[S], gp[S], mean = 0;
        int b = row / T;
        attend(x + 1, b, row % T, NO_MASK, causal, scale, p);
        for (int s = 0; s < S; s++) {
            gp[s] = 0;
            for (int e = 0; e < E; e++) {
                gp[s] += x[0][row * E + e] * x[3][(b * S + s) * E + e];
                gv[(b * S + s) * E + e] += p[s] * x[0][row * E + e];
            }
            mean += p[s] * gp[s];
        }
        for (int s = 0; s < S; s++)
            for (int d = 0; d < D; d++) {
                gq[row * D + d] += scale * p[s] * (gp[s] - mean) * x[2][(b * S + s) * D + d];
                gk[(b * S + s) * D + d] += scale * p[s] * (gp[s] - mean) * x[1][row * D + d];
            }
    }
}

static tape_tensor run_attention_backward(const tape_tensor *x, bool causal, double scale)
{
    tape__attention_attr attr = {scale, causal};
    tape_tensor gq = tape__run(TAPE__OP_attention_backward, x, 4, &attr, sizeof attr), parts[3] = {gq};
    for (int i = 1; i < 3; i++)
        parts[i] = tape__sibling(gq, i);
    for (int i = 0; i < 3; i++)
        parts[i] = tape_flatten(parts[i], 0, -1);
    return tape_concat(parts, 3, 0);
}

/* Row t of x [2, 3, 4], pairs `apart` from each other. */
static void rope_reference(const double *x, int step, int apart, int offset, double base, double *y)
{
    for (int t = 0; t < 6; t++)
        for (int i = 0; i < 2; i++) {
            double angle = (t % 3 + offset) * pow(base, -i / 2.0);
            double a = x[4 * t + i * step], b = x[4 * t + i * step + apart];
            y[4 * t + i * step] = a * cos(angle) - b * sin(angle);
            y[4 * t + i * step + apart] = a * sin(angle) + b * cos(angle);
        }
}

#define Q FLOAT(3, BATCH, T, D)
#define K FLOAT(3, BATCH, S, D)
#define V FLOAT(3, BATCH, S, E)
#define MASKED                                                                                                         \
    {                                                                                                                  \
        SAMPLE_MASK, {3, {BATCH, 1, S}}, 0, 2                                                                          \
    }
#define ATTENTION_OPTIONS(...) (&(const tape_attention_options){__VA_ARGS__})
#define ROPE_OPTIONS(...) (&(const tape_rope_options){__VA_ARGS__})
/* OTHER(op, label, inputs, their number, call, reference, not differentiable) */
#define OTHERS(OTHER)                                                                                                  \
    OTHER(attention, plain, LIST(Q, K, V), 3, tape_attention(x[0], x[1], x[2], TAPE_NONE, NULL),                       \
          attention_reference(x, NO_MASK, 0, sqrt(0.5), y), false)                                                     \
    OTHER(attention, causal, LIST(Q, K, V), 3,                                                                         \
          tape_attention(x[0], x[1], x[2], TAPE_NONE, ATTENTION_OPTIONS(.causal = true, .scale = 0.75)),               \
          attention_reference(x, NO_MASK, 1, 0.75, y), false)                                                          \
    OTHER(attention, added_mask, LIST(Q, K, V, FLOAT(2, T, S)), 4, tape_attention(x[0], x[1], x[2], x[3], NULL),       \
          attention_reference(x, ADDED, 0, sqrt(0.5), y), false)                                                       \
    OTHER(attention, mask, LIST(Q, K, V, MASKED), 4, tape_attention(x[0], x[1], x[2], x[3], NULL),                     \
          attention_reference(x, LEFT_OUT, 0, sqrt(0.5), y), false)                                                    \
    OTHER(attention_backward, plain, LIST(FLOAT(3, BATCH, T, E), Q, K, V), 4, run_attention_backward(x, false, 0.5),   \
          attention_backward_reference(x, 0, 0.5, y), true)                                                            \
    OTHER(attention_backward, causal, LIST(FLOAT(3, BATCH, T, E), Q, K, V), 4, run_attention_backward(x, true, 0.5),   \
          attention_backward_reference(x, 1, 0.5, y), true)                                                            \
    OTHER(rope, halves, LIST(FLOAT(3, 2, 3, 4)), 1, tape_rope(x[0], NULL), rope_reference(x[0], 1, 2, 0, 10000, y),    \
          false)                                                                                                       \
    OTHER(rope, interleaved, LIST(FLOAT(3, 2, 3, 4)), 1,                                                               \
          tape_rope(x[0], ROPE_OPTIONS(.interleaved = true, .offset = 5, .base = 100)),                                \
          rope_reference(x[0], 2, 1, 5, 100, y), false)

#define OTHER_FUNCTIONS(op, label, inputs, n, call, expected, flat) SAMPLE_FUNCTIONS(op, label, call, expected)
OTHERS(OTHER_FUNCTIONS)
#define OTHER_ENTRY(op, label, inputs, n, call, expected, flat)                                                        \
    {#op, #label, n, inputs, op##_##label, op##_##label##_reference, flat, 0},

const struct sample samples_conv[] = {
    CONVOLUTIONS(CONV_ENTRY) POOLINGS(POOL_ENTRY)
        OTHERS(OTHER_ENTRY){NULL, NULL, 0, {{SAMPLE_FLOAT, {0, {0}}, 0, 0}}, NULL, NULL, false, 0},
};
