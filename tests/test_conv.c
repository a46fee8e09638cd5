/* Convolution where the samples do not go: sizes that need several blocks, far windows, threads, wrong arguments. */
#include <check.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/expect.h"

/* ---- sizes ------------------------------------------------------------------------------------------------------- */

struct shape {
    int64_t n, c, o, h, w, kh, kw;
    tape_conv_options options;
};

static const struct shape shapes[] = {
    {2, 30, 13, 21, 19, 3, 3, {.padding = {1, 1}}},                      /* several blocks of k and of positions */
    {3, 2, 5, 3, 600, 1, 5, {.padding = {0, 2}}},                        /* rows longer than a block */
    {5, 3, 7, 6, 5, 3, 2, {.stride = {2, 1}}},                           /* images that share a block */
    {1, 1, 1, 9, 9, 3, 3, {.padding = {70000, 2}, .dilation = {70000}}}, /* windows too far apart for one strip */
    {2, 4, 4, 11, 12, 3, 3, {.stride = {2, 3}, .padding = {1, 2}, .dilation = {3, 2}, .groups = 2}},
    {2, 6, 6, 10, 17, 3, 3, {.padding = {1, 1}, .groups = 6}},    /* each channel by itself */
    {9, 40, 20, 16, 16, 5, 5, {.padding = {2, 2}}},               /* shards of images */
    {1, 3, 2, 5, 4, 2, 2, {.stride = {7, 5}, .padding = {1, 1}}}, /* steps beyond the kernel */
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static tape_tensor random_leaf(tape_dtype dtype, tape_shape shape)
{
    tape_tensor x = tape_rand_uniform(dtype, shape, -1, 1), leaf = tape_param(dtype, shape, NULL);
    tape_assign(leaf, x);
    return leaf;
}

static double *read_f64(tape_tensor x)
{
    int64_t n = tape_numel(x);
    double *values = calloc((size_t)n + 1, sizeof *values);
    ck_assert_ptr_nonnull(values);
    ck_assert_int_eq(tape_read(tape_cast(x, TAPE_F64), values, n), TAPE_OK);
    return values;
}

struct problem {
    const struct shape *s;
    int64_t out_h, out_w;
    tape_tensor x, w, b, g;
};

static int at_least_one(int value)
{
    return value ? value : 1;
}

static struct problem make_problem(const struct shape *s, tape_dtype dtype)
{
    struct problem p = {.s = s};
    const tape_conv_options *o = &s->options;
    tape_seed(11);
    p.x = random_leaf(dtype, TAPE_SHAPE(s->n, s->c, s->h, s->w));
    p.w = random_leaf(dtype, TAPE_SHAPE(s->o, s->c / at_least_one(o->groups), s->kh, s->kw));
    p.b = random_leaf(dtype, TAPE_SHAPE(s->o));
    p.out_h =
        (s->h + 2 * o->padding[0] - at_least_one(o->dilation[0]) * (s->kh - 1) - 1) / at_least_one(o->stride[0]) + 1;
    p.out_w =
        (s->w + 2 * o->padding[1] - at_least_one(o->dilation[1]) * (s->kw - 1) - 1) / at_least_one(o->stride[1]) + 1;
    p.g = random_leaf(dtype, TAPE_SHAPE(s->n, s->o, p.out_h, p.out_w));
    return p;
}

static void free_problem(const struct problem *p)
{
    tape_free(p->x);
    tape_free(p->w);
    tape_free(p->b);
    tape_free(p->g);
    tape_reset();
}

/* The sum and its two gradients, term by term. */
static void naive(const struct problem *p, const double *x, const double *w, const double *g, double *y, double *gx,
                  double *gw)
{
    const struct shape *s = p->s;
    const tape_conv_options *o = &s->options;
    int64_t groups = at_least_one(o->groups), in = s->c / groups, per = s->o / groups;
    for (int64_t n = 0; n < s->n; n++)
        for (int64_t c = 0; c < s->o; c++)
            for (int64_t i = 0; i < p->out_h * p->out_w; i++) {
                int64_t at_y = (n * s->o + c) * p->out_h * p->out_w + i;
                for (int64_t k = 0; k < in * s->kh * s->kw; k++) {
                    int64_t row = i / p->out_w * at_least_one(o->stride[0]) - o->padding[0];
                    int64_t column = i % p->out_w * at_least_one(o->stride[1]) - o->padding[1];
                    row += k / s->kw % s->kh * at_least_one(o->dilation[0]);
                    column += k % s->kw * at_least_one(o->dilation[1]);
                    if (row < 0 || row >= s->h || column < 0 || column >= s->w)
                        continue;
                    int64_t channel = c / per * in + k / (s->kh * s->kw);
                    int64_t at_x = ((n * s->c + channel) * s->h + row) * s->w + column;
                    int64_t at_w = c * in * s->kh * s->kw + k;
                    y[at_y] += x[at_x] * w[at_w];
                    gx[at_x] += g[at_y] * w[at_w];
                    gw[at_w] += g[at_y] * x[at_x];
                }
            }
}

static void compare(int which, const char *what, tape_tensor got, const double *want, double tolerance)
{
    double *values = read_f64(got), largest = 0;
    int64_t n = tape_numel(got);
    for (int64_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(want[i]));
    for (int64_t i = 0; i < n; i++)
        ck_assert_msg(fabs(values[i] - want[i]) <= tolerance * largest, "shape %d, %s[%lld]: %.17g, not %.17g", which,
                      what, (long long)i, values[i], want[i]);
    free(values);
}

static void check_shape(int which, tape_dtype dtype, double tolerance)
{
    struct problem p = make_problem(&shapes[which], dtype);
    tape_tensor y = tape_conv2d(p.x, p.w, TAPE_NONE, &p.s->options), grads[2];
    EXPECT_SHAPE(y, tape_shape_of(p.g));
    ck_assert_int_eq(tape_grad(&y, 1, &p.g, (tape_tensor[]){p.x, p.w}, 2, NULL, grads), TAPE_OK);
    double *x = read_f64(p.x), *w = read_f64(p.w), *g = read_f64(p.g);
    double *out = calloc((size_t)(tape_numel(y) + tape_numel(p.x) + tape_numel(p.w)), sizeof *out);
    ck_assert_ptr_nonnull(out);
    double *gx = out + tape_numel(y), *gw = gx + tape_numel(p.x);
    naive(&p, x, w, g, out, gx, gw);
    compare(which, "y", y, out, tolerance);
    compare(which, "gx", grads[0], gx, tolerance);
    compare(which, "gw", grads[1], gw, tolerance);
    free(x);
    free(w);
    free(g);
    free(out);
    free_problem(&p);
}

START_TEST(test_sizes)
{
    check_shape(_i, TAPE_F64, 1e-13);
    check_shape(_i, TAPE_F32, 2e-5);
}
END_TEST

/* All values of a step with a bias, as bytes. */
static float *step(const struct problem *p, size_t *bytes)
{
    tape_tensor y = tape_conv2d(p->x, p->w, p->b, &p->s->options), grads[3], parts[4] = {y};
    ck_assert_int_eq(tape_grad(&y, 1, &p->g, (tape_tensor[]){p->x, p->w, p->b}, 3, NULL, grads), TAPE_OK);
    for (int i = 0; i < 3; i++)
        parts[i + 1] = grads[i];
    for (int i = 0; i < 4; i++)
        parts[i] = tape_flatten(parts[i], 0, -1);
    tape_tensor all = tape_concat(parts, 4, 0);
    int64_t n = tape_numel(all);
    float *values = calloc((size_t)n, sizeof *values);
    ck_assert_ptr_nonnull(values);
    ck_assert_int_eq(tape_read(all, values, n), TAPE_OK);
    *bytes = (size_t)n * sizeof *values;
    return values;
}

START_TEST(test_threads_change_no_bit)
{
    for (int which = 0; which < SHAPES; which++) {
        struct problem p = make_problem(&shapes[which], TAPE_F32);
        size_t bytes, again;
        float *serial = step(&p, &bytes);
        ck_assert_int_eq(tape_threads(3), TAPE_OK);
        float *threaded = step(&p, &again);
        ck_assert_int_eq(tape_threads(1), TAPE_OK);
        ck_assert_msg(bytes == again && memcmp(serial, threaded, bytes) == 0, "shape %d", which);
        free(serial);
        free(threaded);
        free_problem(&p);
    }
}
END_TEST

/* ---- by hand ----------------------------------------------------------------------------------------------------- */

START_TEST(test_by_hand)
{
    tape_tensor x = PARAM(TAPE_SHAPE(1, 1, 2, 3), 1, 2, 3, 4, 5, 6),
                w = PARAM(TAPE_SHAPE(1, 1, 2, 2), 1, 10, 100, 1000);
    tape_tensor b = PARAM(TAPE_SHAPE(1), 0.5);
    EXPECT_AS(tape_conv2d(x, w, b, NULL), TAPE_SHAPE(1, 1, 1, 2), 5421.5, 6532.5);
    EXPECT(gradient_of(tape_conv2d(x, w, b, NULL), w), 3, 5, 9, 11);
    EXPECT(gradient_of(tape_conv2d(x, w, b, NULL), b), 2);
    EXPECT_AS(tape_conv_transpose2d(x, w, b, &(tape_conv_options){.stride = {2, 2}, .padding = {1, 0}}),
              TAPE_SHAPE(1, 1, 2, 6), 100.5, 1000.5, 200.5, 2000.5, 300.5, 3000.5, 4.5, 40.5, 5.5, 50.5, 6.5, 60.5);
    tape_tensor line = PARAM(TAPE_SHAPE(1, 3), 1, 2, 3), k = PARAM(TAPE_SHAPE(1, 1, 1), 2);
    EXPECT_AS(tape_conv1d(line, k, TAPE_NONE, NULL), TAPE_SHAPE(1, 3), 2, 4, 6);
    EXPECT_AS(tape_conv_transpose1d(line, k, TAPE_NONE, &(tape_conv_options){.stride = {2}, .output_padding = {1}}),
              TAPE_SHAPE(1, 6), 2, 0, 4, 0, 6, 0);
}
END_TEST

START_TEST(test_nothing)
{
    tape_tensor none = tape_param(TAPE_F64, TAPE_SHAPE(0, 2, 4, 4), NULL),
                w = tape_param(TAPE_F64, TAPE_SHAPE(3, 2, 2, 2), NULL);
    tape_tensor y = tape_conv2d(none, w, TAPE_NONE, NULL), gw = gradient_of(y, w);
    EXPECT_SHAPE(y, TAPE_SHAPE(0, 3, 3, 3));
    for (int i = 0; i < 24; i++)
        ck_assert_double_eq(tape_item(tape_select(tape_flatten(gw, 0, -1), 0, i)), 0);
    tape_tensor blank = tape_param(TAPE_F64, TAPE_SHAPE(1, 0, 2, 2), NULL), b = PARAM(TAPE_SHAPE(1), 3);
    tape_tensor flat = tape_param(TAPE_F64, TAPE_SHAPE(1, 0, 2, 1), NULL);
    EXPECT_AS(tape_conv2d(blank, flat, b, NULL), TAPE_SHAPE(1, 1, 1, 2), 3, 3);
}
END_TEST

/* ---- wrong arguments --------------------------------------------------------------------------------------------- */

START_TEST(test_wrong_options)
{
    tape_tensor x = tape_ones(TAPE_F64, TAPE_SHAPE(1, 2, 4, 4)), w = tape_ones(TAPE_F64, TAPE_SHAPE(2, 2, 2, 2));
    const int wrong[] = {-1, INT_MIN};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const tape_conv_options options[] = {{.stride = {1, wrong[i]}},
                                             {.padding = {wrong[i]}},
                                             {.dilation = {wrong[i]}},
                                             {.groups = wrong[i]},
                                             {.output_padding = {0, wrong[i]}}};
        const char *const names[] = {"stride is", "padding is", "dilation is", "groups is", "output_padding is"};
        for (int k = 0; k < 5; k++) {
            EXPECT_ERROR(tape_conv_transpose2d(x, w, TAPE_NONE, &options[k]), TAPE_ERROR_ARGUMENT, names[k]);
            if (k < 4)
                EXPECT_ERROR(tape_conv2d(x, w, TAPE_NONE, &options[k]), TAPE_ERROR_ARGUMENT, names[k]);
        }
    }
    EXPECT_ERROR(tape_conv2d(x, w, TAPE_NONE, &(tape_conv_options){.padding = {INT_MAX}}), TAPE_ERROR_ARGUMENT,
                 "conv2d: padding is 2147483647");
    EXPECT_ERROR(tape_conv2d(x, w, TAPE_NONE, &(tape_conv_options){.groups = INT_MAX}), TAPE_ERROR_SHAPE, "groups");
    EXPECT_ERROR(tape_conv2d(x, w, TAPE_NONE, &(tape_conv_options){.dilation = {INT_MAX, INT_MAX}}), TAPE_ERROR_SHAPE,
                 "reaches beyond");
    EXPECT_AS(tape_conv2d(x, w, TAPE_NONE, &(tape_conv_options){.stride = {INT_MAX, INT_MAX}}), TAPE_SHAPE(1, 2, 1, 1),
              8, 8);
    EXPECT_ERROR(tape_conv_transpose2d(x, w, TAPE_NONE, &(tape_conv_options){.output_padding = {1}}),
                 TAPE_ERROR_ARGUMENT, "output_padding is 1, outside 0 ... 0");
    EXPECT_ERROR(tape_conv_transpose2d(x, w, TAPE_NONE, &(tape_conv_options){.padding = {3, 3}}), TAPE_ERROR_SHAPE,
                 "leaves nothing");
    EXPECT_ERROR(tape_conv_transpose2d(x, w, TAPE_NONE, &(tape_conv_options){.stride = {INT_MAX, INT_MAX}}),
                 TAPE_ERROR_SHAPE, "too large");
}
END_TEST

START_TEST(test_wrong_shapes)
{
    tape_tensor x = tape_ones(TAPE_F64, TAPE_SHAPE(1, 2, 4, 4)), w = tape_ones(TAPE_F64, TAPE_SHAPE(2, 2, 2, 2));
    EXPECT_ERROR(tape_conv1d(x, w, TAPE_NONE, NULL), TAPE_ERROR_SHAPE,
                 "conv1d: x [1, 2, 4, 4] and weight [2, 2, 2, 2]");
    EXPECT_ERROR(tape_conv2d(x, tape_ones(TAPE_F64, TAPE_SHAPE(2, 3, 2, 2)), TAPE_NONE, NULL), TAPE_ERROR_SHAPE,
                 "channels");
    EXPECT_ERROR(tape_conv2d(x, tape_ones(TAPE_F64, TAPE_SHAPE(2, 2, 0, 2)), TAPE_NONE, NULL), TAPE_ERROR_SHAPE,
                 "no empty axis");
    EXPECT_ERROR(tape_conv2d(x, tape_ones(TAPE_F64, TAPE_SHAPE(2, 2, 5, 2)), TAPE_NONE, NULL), TAPE_ERROR_SHAPE,
                 "reaches beyond");
    EXPECT_ERROR(tape_conv2d(x, w, tape_ones(TAPE_F64, TAPE_SHAPE(3)), NULL), TAPE_ERROR_SHAPE, "a bias of shape [2]");
    EXPECT_ERROR(tape_conv2d(x, w, tape_ones(TAPE_F32, TAPE_SHAPE(2)), NULL), TAPE_ERROR_DTYPE, "f64 and f32 differ");
    EXPECT_ERROR(tape_conv2d(tape_ones(TAPE_I64, TAPE_SHAPE(1, 2, 4, 4)), w, TAPE_NONE, NULL), TAPE_ERROR_DTYPE, "i64");
    EXPECT_ERROR(tape_conv2d(x, TAPE_NULL, TAPE_NONE, NULL), TAPE_ERROR_HANDLE, "conv2d: ");
    EXPECT_ERROR(tape_conv_transpose2d(tape_ones(TAPE_F64, TAPE_SHAPE(1, 3, 4, 4)), w, TAPE_NONE, NULL),
                 TAPE_ERROR_SHAPE, "channels");
}
END_TEST

/* ---- pooling ----------------------------------------------------------------------------------------------------- */

START_TEST(test_pool_by_hand)
{
    tape_tensor x = PARAM(TAPE_SHAPE(1, 1, 2, 4), 3, 1, 2, 2, 3, 0, 2, NAN), indices;
    const tape_pool_options options = {.kernel = {2, 2}};
    EXPECT_AS(tape_max_pool2d(x, &options, &indices), TAPE_SHAPE(1, 1, 1, 2), 3, NAN);
    ck_assert_int_eq(tape_dtype_of(indices), TAPE_I64);
    EXPECT_AS(tape_cast(indices, TAPE_F64), TAPE_SHAPE(1, 1, 1, 2), 0, 7);
    EXPECT(DERIVATIVE(tape_max_pool2d(x, &options, NULL), x, 5, 7), 5, 0, 0, 0, 0, 0, 0, 7);
    tape_tensor low = PARAM(TAPE_SHAPE(1, 3), -3, -2, -1);
    const tape_pool_options padded = {.kernel = {3}, .stride = {2}, .padding = {1}};
    EXPECT(tape_max_pool1d(low, &padded, NULL), -2, -1);
    EXPECT(tape_avg_pool1d(low, &padded), -5. / 3, -1);
    EXPECT_AS(tape_adaptive_avg_pool2d(x, 1, 1), TAPE_SHAPE(1, 1, 1, 1), NAN);
}
END_TEST

/* Windows of 2 x 2 on planes of any width, with ties and NaNs: the first largest, and the cotangent at its place, once
   alone and once beside another contribution. */
static void check_squares(int64_t h, int64_t w)
{
    const tape_pool_options two = {.kernel = {2, 2}};
    float values[3][11][23], sums[3][11][23] = {{{0}}};
    tape_tensor x = tape_param(TAPE_F32, TAPE_SHAPE(3, h, w), NULL), indices;
    float *data = tape_data_mut(x);
    for (int64_t i = 0; i < 3 * h * w; i++) {
        float value = (float)((i * 7919 + i / 3 * 31) % 5);
        data[i] = values[i / (h * w)][i / w % h][i % w] = i % 17 == 5 ? NAN : value;
    }
    tape_tensor y = tape_max_pool2d(x, &two, &indices), g = tape_rand_uniform(TAPE_F32, tape_shape_of(y), 1, 2), gx[2];
    const int64_t *at = tape_data(indices);
    const float *most = tape_data_f32(y), *share = tape_data_f32(g);
    for (int64_t i = 0; i < tape_numel(y); i++) {
        int64_t plane = i / (h / 2 * (w / 2)), r = i / (w / 2) % (h / 2) * 2, c = i % (w / 2) * 2, place = r * w + c;
        float best = values[plane][r][c];
        for (int k = 1; k < 4; k++) {
            float value = values[plane][r + k / 2][c + k % 2];
            if (!isnan(best) && (isnan(value) || value > best))
                best = value, place = (r + k / 2) * w + c + k % 2;
        }
        ck_assert_msg(at[i] == place, "%ld x %ld: %ld at %ld, not %ld", (long)h, (long)w, (long)i, (long)at[i],
                      (long)place);
        ck_assert(isnan(best) ? isnan(most[i]) : most[i] == best);
        sums[plane][place / w][place % w] += share[i];
    }
    tape_tensor both[2] = {y, x}, cotangents[2] = {g, tape_ones_like(x)};
    ck_assert_int_eq(tape_grad(both, 1, cotangents, &x, 1, NULL, gx), TAPE_OK);
    ck_assert_int_eq(tape_grad(both, 2, cotangents, &x, 1, NULL, gx + 1), TAPE_OK);
    for (int64_t i = 0; i < 3 * h * w; i++) {
        float want = sums[i / (h * w)][i / w % h][i % w];
        ck_assert_float_eq(tape_data_f32(gx[0])[i], want);
        ck_assert_float_eq(tape_data_f32(gx[1])[i], want + 1);
    }
    tape_free(x);
    tape_reset();
}

START_TEST(test_pool_squares)
{
    for (int64_t w = 2; w <= 23; w++)
        check_squares(2 + w % 10, w);
}
END_TEST

START_TEST(test_pool_wrong_arguments)
{
    tape_tensor x = tape_ones(TAPE_F64, TAPE_SHAPE(1, 2, 4, 4));
    const int wrong[] = {-1, INT_MIN};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const int v = wrong[i];
        EXPECT_ERROR(tape_max_pool2d(x, &(tape_pool_options){.kernel = {2, v}}, NULL), TAPE_ERROR_ARGUMENT, "kernel");
        EXPECT_ERROR(tape_max_pool2d(x, &(tape_pool_options){.kernel = {2, 2}, .stride = {v}}, NULL),
                     TAPE_ERROR_ARGUMENT, "stride");
        EXPECT_ERROR(tape_max_pool2d(x, &(tape_pool_options){.kernel = {2, 2}, .dilation = {v}}, NULL),
                     TAPE_ERROR_ARGUMENT, "dilation");
        EXPECT_ERROR(tape_avg_pool2d(x, &(tape_pool_options){.kernel = {2, 2}, .padding = {v}}), TAPE_ERROR_ARGUMENT,
                     "padding");
        EXPECT_ERROR(tape_avg_pool2d(x, &(tape_pool_options){.kernel = {2, 2}, .divisor = v}), TAPE_ERROR_ARGUMENT,
                     "divisor");
        EXPECT_ERROR(tape_adaptive_avg_pool2d(x, v, 1), TAPE_ERROR_ARGUMENT, "windows");
    }
    EXPECT_ERROR(tape_avg_pool2d(x, NULL), TAPE_ERROR_ARGUMENT, "avg_pool2d: kernel is 0");
    EXPECT_ERROR(tape_avg_pool2d(x, &(tape_pool_options){.kernel = {2, 2}, .padding = {INT_MAX}}), TAPE_ERROR_ARGUMENT,
                 "padding");
    EXPECT_ERROR(tape_avg_pool2d(x, &(tape_pool_options){.kernel = {INT_MAX, INT_MAX}}), TAPE_ERROR_SHAPE,
                 "does not fit 4");
    EXPECT_ERROR(tape_max_pool2d(x, &(tape_pool_options){.kernel = {2, 2}, .dilation = {INT_MAX}}, NULL),
                 TAPE_ERROR_SHAPE, "does not fit 4");
    EXPECT_AS(tape_avg_pool2d(x, &(tape_pool_options){.kernel = {2, 2}, .stride = {INT_MAX, INT_MAX}}),
              TAPE_SHAPE(1, 2, 1, 1), 1, 1);
    EXPECT_ERROR(tape_adaptive_avg_pool2d(x, INT64_MAX, 1), TAPE_ERROR_ARGUMENT, "windows");
    EXPECT_ERROR(tape_adaptive_max_pool1d(x, 1, NULL), TAPE_ERROR_SHAPE, "expects [N, C, d]");
    EXPECT_ERROR(tape_avg_pool1d(tape_ones(TAPE_F64, TAPE_SHAPE(2, 0)), &(tape_pool_options){.kernel = {1}}),
                 TAPE_ERROR_SHAPE, "no elements");
    EXPECT_ERROR(tape_adaptive_avg_pool1d(INDEX(1, 2), 1), TAPE_ERROR_DTYPE, "i64");
    EXPECT_SHAPE(tape_adaptive_avg_pool1d(tape_ones(TAPE_F64, TAPE_SHAPE(0, 2, 4)), 2), TAPE_SHAPE(0, 2, 2));
}
END_TEST

/* ---- attention --------------------------------------------------------------------------------------------------- */

/* Sizes of several blocks of queries, fused against the formula made of other ops. */
static tape_tensor by_formula(const tape_tensor *x, bool causal)
{
    tape_tensor s = tape_div_scalar(tape_matmul(x[0], tape_transpose(x[1], -2, -1)), sqrt((double)tape_size(x[0], -1)));
    tape_shape square = TAPE_SHAPE(tape_size(x[0], -2), tape_size(x[1], -2));
    tape_tensor below = tape_tril(tape_ones(TAPE_F64, square), 0);
    if (causal)
        s = tape_where(tape_gt_scalar(below, 0), s, tape_scalar(TAPE_F64, -INFINITY));
    return tape_matmul(tape_softmax(s, -1), x[2]);
}

static void compare_with_formula(int64_t queries, int64_t keys, bool causal)
{
    tape_seed(3);
    tape_tensor x[3] = {random_leaf(TAPE_F64, TAPE_SHAPE(2, 3, queries, 5)),
                        random_leaf(TAPE_F64, TAPE_SHAPE(2, 3, keys, 5)),
                        random_leaf(TAPE_F64, TAPE_SHAPE(2, 3, keys, 7))};
    tape_tensor y = tape_attention(x[0], x[1], x[2], TAPE_NONE, &(tape_attention_options){.causal = causal});
    tape_tensor expected = by_formula(x, causal), got[3], want[3];
    tape_tensor g = tape_cos(tape_detach(y));
    ck_assert_int_eq(tape_grad(&y, 1, &g, x, 3, NULL, got), TAPE_OK);
    ck_assert_int_eq(tape_grad(&expected, 1, &g, x, 3, NULL, want), TAPE_OK);
    double *values = read_f64(expected);
    compare(0, "attention", y, values, 1e-13);
    free(values);
    for (int i = 0; i < 3; i++) {
        values = read_f64(want[i]);
        compare(i, "attention's gradient", got[i], values, 1e-12);
        free(values);
        tape_free(x[i]);
    }
    tape_reset();
}

START_TEST(test_attention_blocks)
{
    compare_with_formula(150, 90, false);
    compare_with_formula(150, 90, true);
    compare_with_formula(90, 150, true);
    compare_with_formula(1, 1, true);
    ck_assert_int_eq(tape_threads(3), TAPE_OK);
    compare_with_formula(150, 170, true);
    ck_assert_int_eq(tape_threads(1), TAPE_OK);
}
END_TEST

START_TEST(test_attention_edges)
{
    tape_tensor q = PARAM(TAPE_SHAPE(2, 1), 1, 2), k = PARAM(TAPE_SHAPE(2, 1), 3, 4), v = PARAM(TAPE_SHAPE(2, 1), 5, 6);
    tape_tensor mask = CONSTANT(TAPE_U8, TAPE_SHAPE(2, 2), 0, 0, 1, 0);
    EXPECT(tape_attention(q, k, v, mask, NULL), 0, 5);
    EXPECT(gradient_of(tape_attention(q, k, v, mask, NULL), v), 1, 0);
    EXPECT(gradient_of(tape_attention(q, k, v, mask, NULL), q), 0, 0);
    tape_tensor none = tape_param(TAPE_F64, TAPE_SHAPE(0, 1), NULL);
    EXPECT(tape_attention(q, none, none, TAPE_NONE, NULL), 0, 0);
    EXPECT_SHAPE(tape_attention(none, k, v, TAPE_NONE, NULL), TAPE_SHAPE(0, 1));
    EXPECT(gradient_of(tape_attention(none, k, v, TAPE_NONE, NULL), k), 0, 0);
    EXPECT_ERROR(tape_attention(q, v, tape_ones(TAPE_F64, TAPE_SHAPE(3, 1)), TAPE_NONE, NULL), TAPE_ERROR_SHAPE,
                 "attention: q [2, 1], k [2, 1] and v [3, 1]");
    EXPECT_ERROR(tape_attention(q, k, v, tape_ones(TAPE_F64, TAPE_SHAPE(3, 2)), NULL), TAPE_ERROR_SHAPE, "mask [3, 2]");
    EXPECT_ERROR(tape_attention(q, k, v, tape_ones(TAPE_I64, TAPE_SHAPE(2, 2)), NULL), TAPE_ERROR_DTYPE,
                 "a mask of u8");
    EXPECT_ERROR(tape_attention(q, k, tape_ones(TAPE_F32, TAPE_SHAPE(2, 1)), TAPE_NONE, NULL), TAPE_ERROR_DTYPE,
                 "differ");
    EXPECT_ERROR(tape_rope(q, NULL), TAPE_ERROR_SHAPE, "an even D");
    EXPECT_ERROR(tape_rope(tape_ones(TAPE_F64, TAPE_SHAPE(2, 2)), &(tape_rope_options){.base = -1}),
                 TAPE_ERROR_ARGUMENT, "base is -1");
    EXPECT_ERROR(tape_rope(tape_ones(TAPE_F64, TAPE_SHAPE(2, 2)), &(tape_rope_options){.offset = INT64_MIN}),
                 TAPE_ERROR_ARGUMENT, "beyond 2^52");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("conv");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 120);
    tcase_add_loop_test(all, test_sizes, 0, SHAPES);
    tcase_add_test(all, test_threads_change_no_bit);
    tcase_add_test(all, test_by_hand);
    tcase_add_test(all, test_nothing);
    tcase_add_test(all, test_wrong_options);
    tcase_add_test(all, test_wrong_shapes);
    tcase_add_test(all, test_pool_by_hand);
    tcase_add_test(all, test_pool_squares);
    tcase_add_test(all, test_pool_wrong_arguments);
    tcase_add_test(all, test_attention_blocks);
    tcase_add_test(all, test_attention_edges);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
