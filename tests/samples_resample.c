/* Samples of resampling. */
#include <math.h>

#include "ops/interpolate.h"
#include "support/samples.h"

enum { PLANES = 2 };

/* Three axes, unused ones in front and of size 1; scale 0: as the sizes say. */
struct grid {
    tape_interpolate_mode mode;
    bool align;
    int in[3], out[3];
    double scale;
};

/* The weight of element j in output i along an axis: of the linear mode a tent around the place. */
static double weight(const struct grid *g, int axis, int i, int j)
{
    const double in = g->in[axis], out = g->out[axis], ratio = g->scale > 0 && in > 1 ? 1 / g->scale : in / out;
    if (g->mode == TAPE_INTERPOLATE_NEAREST)
        return j == floor(i * ratio);
    if (g->mode == TAPE_INTERPOLATE_NEAREST_EXACT)
        return j == floor((i + 0.5) * ratio);
    const double place = g->align ? (out > 1 ? i * (in - 1) / (out - 1) : 0) : (i + 0.5) * ratio - 0.5;
    return fmax(0, 1 - fabs(fmin(fmax(place, 0), in - 1) - j));
}

static int numel(const int *size)
{
    return size[0] * size[1] * size[2];
}

/* All pairs of outputs and elements. */
static void reference(const struct grid *g, bool spread, const double *from, double *to)
{
    const int ins = numel(g->in), outs = numel(g->out);
    for (int i = 0; i < PLANES * (spread ? ins : outs); i++)
        to[i] = 0;
    for (int pair = 0; pair < PLANES * ins * outs; pair++) {
        int plane = pair / (ins * outs), i = pair / ins % outs, j = pair % ins;
        double w = weight(g, 0, i / (g->out[1] * g->out[2]), j / (g->in[1] * g->in[2])) *
                   weight(g, 1, i / g->out[2] % g->out[1], j / g->in[2] % g->in[1]) *
                   weight(g, 2, i % g->out[2], j % g->in[2]);
        if (spread)
            to[plane * ins + j] += w * from[plane * outs + i];
        else
            to[plane * outs + i] += w * from[plane * ins + j];
    }
}

static tape_tensor spread(tape_tensor g, tape__interpolate_attr attr)
{
    return tape__interpolate_spread(g, &attr);
}

#define FLOAT(rank, ...)                                                                                               \
    {                                                                                                                  \
        SAMPLE_FLOAT, {rank, {__VA_ARGS__}}, -2, 2                                                                     \
    }
#define GRID(...) ((const struct grid){__VA_ARGS__})
#define OPTIONS(...) (&(const tape_interpolate_options){__VA_ARGS__})
#define RUN(...) tape_interpolate(x[0], OPTIONS(__VA_ARGS__))
#define SPREAD(...) spread(x[0], (tape__interpolate_attr){__VA_ARGS__})

/* SAMPLE(op, label, input, call, grid) */
#define SAMPLES(SAMPLE)                                                                                                \
    SAMPLE(interpolate, nearest, FLOAT(4, 1, PLANES, 3, 4), RUN(.size = {5, 3}),                                       \
           GRID(TAPE_INTERPOLATE_NEAREST, false, {1, 3, 4}, {1, 5, 3}, 0))                                             \
    SAMPLE(interpolate, nearest_scale, FLOAT(3, PLANES, 1, 5), RUN(.scale = {1.7}),                                    \
           GRID(TAPE_INTERPOLATE_NEAREST, false, {1, 1, 5}, {1, 1, 8}, 1.7))                                           \
    SAMPLE(interpolate, nearest_volume, FLOAT(5, PLANES, 1, 2, 3, 2), RUN(.size = {3}),                                \
           GRID(TAPE_INTERPOLATE_NEAREST, false, {2, 3, 2}, {3, 3, 3}, 0))                                             \
    SAMPLE(interpolate, nearest_exact, FLOAT(4, PLANES, 1, 3, 4),                                                      \
           RUN(.mode = TAPE_INTERPOLATE_NEAREST_EXACT, .size = {4, 3}),                                                \
           GRID(TAPE_INTERPOLATE_NEAREST_EXACT, false, {1, 3, 4}, {1, 4, 3}, 0))                                       \
    SAMPLE(interpolate, linear, FLOAT(3, PLANES, 1, 4), RUN(.mode = TAPE_INTERPOLATE_LINEAR, .size = {7}),             \
           GRID(TAPE_INTERPOLATE_LINEAR, false, {1, 1, 4}, {1, 1, 7}, 0))                                              \
    SAMPLE(interpolate, linear_less, FLOAT(3, PLANES, 1, 7),                                                           \
           RUN(.mode = TAPE_INTERPOLATE_LINEAR, .size = {3}, .align_corners = true),                                   \
           GRID(TAPE_INTERPOLATE_LINEAR, true, {1, 1, 7}, {1, 1, 3}, 0))                                               \
    SAMPLE(interpolate, bilinear, FLOAT(4, PLANES, 1, 3, 2), RUN(.mode = TAPE_INTERPOLATE_LINEAR, .scale = {1.6}),     \
           GRID(TAPE_INTERPOLATE_LINEAR, false, {1, 3, 2}, {1, 4, 3}, 1.6))                                            \
    SAMPLE(interpolate, bilinear_sizes, FLOAT(4, PLANES, 1, 3, 2),                                                     \
           RUN(.mode = TAPE_INTERPOLATE_LINEAR, .scale = {1.6, 2.1}, .recompute_scale = true),                         \
           GRID(TAPE_INTERPOLATE_LINEAR, false, {1, 3, 2}, {1, 4, 4}, 0))                                              \
    SAMPLE(interpolate, bilinear_corners, FLOAT(4, 1, PLANES, 3, 4),                                                   \
           RUN(.mode = TAPE_INTERPOLATE_LINEAR, .size = {5, 1}, .align_corners = true),                                \
           GRID(TAPE_INTERPOLATE_LINEAR, true, {1, 3, 4}, {1, 5, 1}, 0))                                               \
    SAMPLE(interpolate, trilinear, FLOAT(5, PLANES, 1, 2, 3, 2),                                                       \
           RUN(.mode = TAPE_INTERPOLATE_LINEAR, .size = {3, 2, 5}),                                                    \
           GRID(TAPE_INTERPOLATE_LINEAR, false, {2, 3, 2}, {3, 2, 5}, 0))                                              \
    SAMPLE(interpolate_spread, nearest, FLOAT(4, PLANES, 1, 5, 3), SPREAD(.size = {5, 3}, .in = {3, 4}),               \
           GRID(TAPE_INTERPOLATE_NEAREST, false, {1, 3, 4}, {1, 5, 3}, 0))                                             \
    SAMPLE(interpolate_spread, trilinear, FLOAT(5, PLANES, 1, 3, 2, 5),                                                \
           SPREAD(.mode = TAPE_INTERPOLATE_LINEAR, .size = {3, 2, 5}, .in = {2, 3, 2}),                                \
           GRID(TAPE_INTERPOLATE_LINEAR, false, {2, 3, 2}, {3, 2, 5}, 0))

enum { interpolate_spreads = false, interpolate_spread_spreads = true };

#define FUNCTIONS(op, label, input, call, ...)                                                                         \
    SAMPLE_FUNCTIONS(op, label, call, reference(&__VA_ARGS__, op##_spreads, x[0], y))
SAMPLES(FUNCTIONS)
#define ENTRY(op, label, input, call, ...) {#op, #label, 1, {input}, op##_##label, op##_##label##_reference, false, 0},

const struct sample samples_resample[] = {
    SAMPLES(ENTRY){NULL, NULL, 0, {{SAMPLE_FLOAT, {0, {0}}, 0, 0}}, NULL, NULL, false, 0},
};
