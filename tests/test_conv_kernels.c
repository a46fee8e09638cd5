/* Knows what the kernels of convolution promise: the order of every sum to the bit, for any instruction set and any
   threads, and what they may touch. */
#include "dispatch.h"
#include "kernels/any/conv_plan.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { AXES = TAPE__CONV_AXES };

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

static uint64_t state = 1;

static double draw_value(void)
{
    state = state * 6364136222566793005U + 1442695040888963407U;
    return (double)((int64_t)(state >> 33) % (1 << 24) - (1 << 23)) * 0x1p-23;
}

static double get(tape_dtype dtype, const void *data, int64_t i)
{
    return dtype == TAPE_F32 ? (double)((const float *)data)[i] : ((const double *)data)[i];
}

static void put(tape_dtype dtype, void *data, int64_t i, double x)
{
    if (dtype == TAPE_F32)
        ((float *)data)[i] = (float)x;
    else
        ((double *)data)[i] = x;
}

/* Memory that holds the elements and nothing more, so that AddressSanitizer sees every step outside. */
static void *draw(tape_dtype dtype, int64_t n)
{
    void *data = malloc((size_t)n * tape_dtype_size(dtype));
    ck_assert_ptr_nonnull(data);
    for (int64_t i = 0; i < n; i++)
        put(dtype, data, i, draw_value());
    return data;
}

/* a b + x and a + b in the dtype and class. */
static double multiply_add(tape_dtype dtype, bool fma_class, double a, double b, double x)
{
    if (dtype == TAPE_F32)
        return fma_class ? fmaf((float)a, (float)b, (float)x) : (float)a * (float)b + (float)x;
    return fma_class ? fma(a, b, x) : a * b + x;
}

static double add(tape_dtype dtype, double a, double b)
{
    return dtype == TAPE_F32 ? (double)((float)a + (float)b) : a + b;
}

/* ---- shapes ------------------------------------------------------------------------------------------------------ */

#define PLANE(h, w)                                                                                                    \
    {                                                                                                                  \
        1, h, w                                                                                                        \
    }
static const struct shape {
    tape__conv c; /* but for its dtype and `out` */
    int64_t more; /* rows and columns of the input that no window reaches, where the stride is 1 */
} shapes[] = {
    /* windows where they lie: in the image, in strips, rows that fill no whole vectors, parts of long rows */
    {{.batch = 2, .groups = 1, .in_channels = 20, .out_channels = 13, .in = PLANE(10, 18), .kernel = PLANE(3, 3)}, 0},
    {{.batch = 2, .groups = 1, .in_channels = 9, .out_channels = 2, .in = PLANE(5, 66), .kernel = PLANE(2, 3)}, 0},
    {{.batch = 1,
      .groups = 2,
      .in_channels = 30,
      .out_channels = 9,
      .in = PLANE(9, 20),
      .kernel = PLANE(3, 3),
      .padding = {0, 1, 1}},
     0},
    {{.batch = 1,
      .groups = 1,
      .in_channels = 3,
      .out_channels = 1,
      .in = PLANE(4, 64),
      .kernel = PLANE(3, 3),
      .padding = {0, 1, 1}},
     0},
    {{.batch = 1,
      .groups = 1,
      .in_channels = 2,
      .out_channels = 5,
      .in = PLANE(3, 603),
      .kernel = PLANE(1, 5),
      .padding = {0, 0, 2}},
     0},
    {{.batch = 2, .groups = 1, .in_channels = 1, .out_channels = 16, .in = PLANE(28, 28), .kernel = PLANE(5, 5)}, 0},
    /* strided windows: columns dealt by their residues */
    {{.batch = 2,
      .groups = 1,
      .in_channels = 5,
      .out_channels = 7,
      .in = PLANE(17, 31),
      .kernel = PLANE(3, 3),
      .padding = {0, 1, 1},
      .stride = {1, 2, 2}},
     0},
    {{.batch = 1,
      .groups = 1,
      .in_channels = 4,
      .out_channels = 6,
      .in = PLANE(9, 49),
      .kernel = PLANE(2, 4),
      .padding = {0, 0, 2},
      .stride = {1, 1, 3},
      .dilation = {1, 1, 2}},
     0},
    /* packed windows: narrow images, alone and together */
    {{.batch = 7,
      .groups = 1,
      .in_channels = 3,
      .out_channels = 8,
      .in = PLANE(6, 5),
      .kernel = PLANE(3, 2),
      .padding = {0, 1, 0}},
     0},
    {{.batch = 2,
      .groups = 3,
      .in_channels = 2,
      .out_channels = 4,
      .in = {3, 7, 11},
      .kernel = {2, 3, 2},
      .padding = {1, 1, 0},
      .dilation = {1, 2, 1}},
     0},
    {{.batch = 1,
      .groups = 1,
      .in_channels = 1,
      .out_channels = 2,
      .in = PLANE(9, 9),
      .kernel = PLANE(3, 3),
      .padding = {0, 70000, 2},
      .dilation = {1, 70000, 1}},
     0},
    /* the input's cotangent tap by tap: in vectors and not, in groups, of several blocks of k, of rows in parts */
    {{.batch = 3, .groups = 1, .in_channels = 16, .out_channels = 32, .in = PLANE(12, 12), .kernel = PLANE(5, 5)}, 0},
    {{.batch = 2, .groups = 2, .in_channels = 4, .out_channels = 24, .in = PLANE(10, 10), .kernel = PLANE(4, 4)}, 2},
    {{.batch = 1, .groups = 1, .in_channels = 3, .out_channels = 300, .in = PLANE(7, 11), .kernel = PLANE(4, 4)}, 0},
    {{.batch = 1, .groups = 1, .in_channels = 40, .out_channels = 20, .in = {2, 2, 530}, .kernel = {2, 2, 3}}, 0},
    /* tiles of the weight's cotangent: runs of channels, of rows, longer and shorter than a tile */
    {{.batch = 2, .groups = 1, .in_channels = 20, .out_channels = 9, .in = PLANE(8, 8), .kernel = PLANE(1, 1)}, 0},
    {{.batch = 2,
      .groups = 1,
      .in_channels = 3,
      .out_channels = 40,
      .in = PLANE(12, 16),
      .kernel = PLANE(3, 1),
      .padding = {0, 1, 0}},
     0},
    {{.batch = 9,
      .groups = 1,
      .in_channels = 3,
      .out_channels = 17,
      .in = PLANE(12, 16),
      .kernel = PLANE(2, 7),
      .padding = {0, 1, 3}},
     0},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static tape__conv conv_of(const struct shape *s, tape_dtype dtype)
{
    tape__conv c = s->c;
    c.dtype = dtype;
    for (int i = 0; i < AXES; i++) {
        c.stride[i] = c.stride[i] ? c.stride[i] : 1;
        c.dilation[i] = c.dilation[i] ? c.dilation[i] : 1;
        c.out[i] = (c.in[i] + 2 * c.padding[i] - c.dilation[i] * (c.kernel[i] - 1) - 1) / c.stride[i] + 1;
        if (i > 0)
            c.in[i] += s->more;
    }
    return c;
}

struct operands {
    int64_t nx, nw, ny;
    void *x, *w, *g, *bias_x, *bias_y;
};

static struct operands draw_operands(const tape__conv *c)
{
    struct operands o = {.nx = c->batch * c->groups * c->in_channels * tape__volume(c->in),
                         .nw = c->groups * c->out_channels * c->in_channels * tape__volume(c->kernel),
                         .ny = c->batch * c->groups * c->out_channels * tape__volume(c->out)};
    o.x = draw(c->dtype, o.nx);
    o.w = draw(c->dtype, o.nw);
    o.g = draw(c->dtype, o.ny);
    o.bias_x = draw(c->dtype, c->groups * c->in_channels);
    o.bias_y = draw(c->dtype, c->groups * c->out_channels);
    return o;
}

static void free_operands(const struct operands *o)
{
    free(o->x);
    free(o->w);
    free(o->g);
    free(o->bias_x);
    free(o->bias_y);
}

/* ---- the definition ---------------------------------------------------------------------------------------------- */

/* Where window `q` of y sees tap `t` on x's plane; -1: outside. */
static int64_t seen(const tape__conv *c, const int64_t *q, const int64_t *t)
{
    int64_t at = 0;
    for (int i = 0; i < AXES; i++) {
        int64_t x = q[i] * c->stride[i] + t[i] * c->dilation[i] - c->padding[i];
        if (x < 0 || x >= c->in[i])
            return -1;
        at = at * c->in[i] + x;
    }
    return at;
}

static void split(int64_t at, const int64_t *size, int64_t *out)
{
    out[0] = at / (size[1] * size[2]);
    out[1] = at / size[2] % size[1];
    out[2] = at % size[2];
}

/* A sum in the order that the header promises: chains of one block of k each, added one after the other. */
struct sum {
    tape_dtype dtype;
    bool fma_class;
    int64_t block, count;
    double value, chain;
};

static void close_chain(struct sum *s)
{
    s->value = add(s->dtype, s->value, s->chain);
    s->chain = 0;
    s->count = 0;
}

static void take(struct sum *s, double a, double b)
{
    if (s->count++ == s->block) {
        close_chain(s);
        s->count = 1;
    }
    s->chain = multiply_add(s->dtype, s->fma_class, a, b, s->chain);
}

static void define_forward(const tape__conv *c, const struct operands *o, bool fma_class, void *y)
{
    const int64_t taps = tape__volume(c->kernel), plane = tape__volume(c->out), k = c->in_channels * taps;
    for (int64_t i = 0; i < o->ny; i++) {
        const int64_t channel = i / plane % (c->groups * c->out_channels),
                      image = i / plane / (c->groups * c->out_channels);
        const int64_t first = (image * c->groups + channel / c->out_channels) * c->in_channels;
        struct sum s = {c->dtype, fma_class, tape__conv_k_block(k), 0, get(c->dtype, o->bias_y, channel), 0};
        int64_t q[AXES], t[AXES];
        split(i % plane, c->out, q);
        for (int64_t p = 0; p < k; p++) {
            split(p % taps, c->kernel, t);
            const int64_t at = seen(c, q, t);
            const double x = at < 0 ? 0 : get(c->dtype, o->x, (first + p / taps) * tape__volume(c->in) + at);
            take(&s, x, get(c->dtype, o->w, channel * k + p));
        }
        close_chain(&s);
        put(c->dtype, y, i, s.value);
    }
}

/* Which window's tap `t` sees position `x`; -1: none. *some: one would outside y. */
static int64_t sees(const tape__conv *c, const int64_t *x, const int64_t *t, bool *some)
{
    int64_t at = 0;
    *some = true;
    for (int i = 0; i < AXES; i++) {
        int64_t q = x[i] + c->padding[i] - t[i] * c->dilation[i];
        *some = *some && q % c->stride[i] == 0;
        at = q < 0 || q % c->stride[i] != 0 || q / c->stride[i] >= c->out[i] || at < 0
                 ? -1
                 : at * c->out[i] + q / c->stride[i];
    }
    return at;
}

/* Over channels by taps, or over taps by channels, each tap's sum added by itself. */
static double define_input(const tape__conv *c, const struct operands *o, bool fma_class, int64_t image,
                           int64_t channel, const int64_t *x)
{
    const int64_t taps = tape__volume(c->kernel), group = channel / c->in_channels;
    const bool spreads = tape__conv_spreads(c);
    struct sum s = {c->dtype, fma_class, tape__conv_k_block(c->out_channels), 0, get(c->dtype, o->bias_x, channel), 0};
    int64_t reaching = 0;
    bool some;
    for (int64_t i = 0; i < taps; i++) {
        int64_t t[AXES];
        split(i, c->kernel, t);
        sees(c, x, t, &some);
        reaching += some;
    }
    if (!spreads)
        s.block = tape__conv_k_block(c->out_channels * reaching);
    for (int64_t i = 0; i < c->out_channels * taps; i++) {
        const int64_t tap = spreads ? i / c->out_channels : i % taps, out = spreads ? i % c->out_channels : i / taps;
        int64_t t[AXES];
        split(tap, c->kernel, t);
        const int64_t at = sees(c, x, t, &some), y = group * c->out_channels + out;
        if (!some || (spreads && at < 0))
            continue;
        if (spreads && out == 0)
            close_chain(&s);
        take(&s,
             at < 0 ? 0 : get(c->dtype, o->g, (image * c->groups * c->out_channels + y) * tape__volume(c->out) + at),
             get(c->dtype, o->w, (y * c->in_channels + channel % c->in_channels) * taps + tap));
    }
    close_chain(&s);
    return s.value;
}

static void define_inputs(const tape__conv *c, const struct operands *o, bool fma_class, void *gx)
{
    const int64_t plane = tape__volume(c->in), channels = c->groups * c->in_channels;
    for (int64_t i = 0; i < o->nx; i++) {
        int64_t x[AXES];
        split(i % plane, c->in, x);
        put(c->dtype, gx, i, define_input(c, o, fma_class, i / plane / channels, i / plane % channels, x));
    }
}

/* The weight's cotangent, nearly: its order follows from how images are cut. */
static void near_weight(const tape__conv *c, const struct operands *o, double *gw, double *magnitude)
{
    const int64_t taps = tape__volume(c->kernel), plane = tape__volume(c->out);
    for (int64_t i = 0; i < o->nw; i++) {
        const int64_t y = i / (c->in_channels * taps), in = i / taps % c->in_channels;
        int64_t t[AXES], q[AXES];
        split(i % taps, c->kernel, t);
        for (int64_t p = 0; p < c->batch * plane; p++) {
            split(p % plane, c->out, q);
            const int64_t at = seen(c, q, t), image = p / plane * c->groups;
            if (at < 0)
                continue;
            double term = get(c->dtype, o->g, (image * c->out_channels + y) * plane + p % plane);
            term *=
                get(c->dtype, o->x, ((image + y / c->out_channels) * c->in_channels + in) * tape__volume(c->in) + at);
            gw[i] += term;
            magnitude[i] += fabs(term);
        }
    }
}

/* ---- one sum ----------------------------------------------------------------------------------------------------- */

static void run(const struct tape__kernels *kernels, const tape__conv *c, enum tape__conv_kind kind,
                const struct operands *o, void *out, const struct tape__parallel *threads)
{
    const bool forward = kind == TAPE__CONV_FORWARD, weight = kind == TAPE__CONV_WEIGHT;
    const size_t need = tape__conv_workspace(kernels->gemm, c, kind, threads), size = (need + 127) / 64 * 64;
    char *workspace = aligned_alloc(64, size);
    ck_assert_ptr_nonnull(workspace);
    memset(workspace, 0xff, size); /* not-a-numbers */
    tape__conv_run(kernels->gemm, c, kind, kind == TAPE__CONV_INPUT ? o->g : o->x, weight ? o->g : o->w,
                   forward  ? o->bias_y
                   : weight ? NULL
                            : o->bias_x,
                   out, workspace, threads);
    for (size_t i = need; i < size; i++)
        ck_assert_msg(workspace[i] == (char)0xff, "wrote beyond the workspace");
    free(workspace);
}

static void expect_bits(int which, const char *what, const tape__conv *c, int64_t n, const void *got, const void *want)
{
    if (memcmp(got, want, (size_t)n * tape_dtype_size(c->dtype)) == 0)
        return;
    for (int64_t i = 0; i < n; i++)
        ck_assert_msg(get(c->dtype, got, i) == get(c->dtype, want, i),
                      "shape %d, f%d, %s: element %ld is %.17g, not %.17g", which, c->dtype == TAPE_F32 ? 32 : 64, what,
                      (long)i, get(c->dtype, got, i), get(c->dtype, want, i));
}

/* On one instruction set: the order of sums, and that threads change no bit. */
static void check_kernels(int which, const struct tape__kernels *kernels, const tape__conv *c, const struct operands *o)
{
    void *y = draw(c->dtype, o->ny), *gx = draw(c->dtype, o->nx), *gw = draw(c->dtype, o->nw);
    void *other = draw(c->dtype, o->ny + o->nx + o->nw);
    define_forward(c, o, kernels->fma, y);
    define_inputs(c, o, kernels->fma, gx);
    double *near = calloc((size_t)(2 * o->nw), sizeof *near);
    ck_assert_ptr_nonnull(near);
    near_weight(c, o, near, near + o->nw);
    run(kernels, c, TAPE__CONV_WEIGHT, o, gw, NULL);
    for (int64_t i = 0; i < o->nw; i++)
        ck_assert_msg(fabs(get(c->dtype, gw, i) - near[i]) <= near[o->nw + i] * (c->dtype == TAPE_F32 ? 1e-5 : 1e-14),
                      "shape %d: weight %ld", which, (long)i);
    for (int pool = 0; pool < 2; pool++) {
        const struct tape__parallel *threads = pool ? tape__pool() : NULL;
        run(kernels, c, TAPE__CONV_FORWARD, o, other, threads);
        expect_bits(which, "y", c, o->ny, other, y);
        run(kernels, c, TAPE__CONV_INPUT, o, other, threads);
        expect_bits(which, "gx", c, o->nx, other, gx);
        run(kernels, c, TAPE__CONV_WEIGHT, o, other, threads);
        expect_bits(which, "gw", c, o->nw, other, gw);
    }
    free(near);
    free(y);
    free(gx);
    free(gw);
    free(other);
}

START_TEST(test_order_of_sums)
{
    ck_assert_int_eq(tape__pool_start(3), 0);
    for (int dtype = TAPE_F32; dtype <= TAPE_F64; dtype++) {
        const tape__conv c = conv_of(&shapes[_i], (tape_dtype)dtype);
        const struct operands o = draw_operands(&c);
        const struct tape__kernels *kernels;
        for (int set = 0; (kernels = tape__kernels_available(set)); set++)
            check_kernels(_i, kernels, &c, &o);
        free_operands(&o);
    }
    tape__pool_stop();
}
END_TEST

/* The weight's cotangent has the same bits on all instruction sets of a class. */
START_TEST(test_weight_in_classes)
{
    const tape__conv c = conv_of(&shapes[_i], TAPE_F32);
    const struct operands o = draw_operands(&c);
    float *first[2] = {NULL, NULL}, *gw = draw(TAPE_F32, o.nw);
    const struct tape__kernels *kernels;
    for (int set = 0; (kernels = tape__kernels_available(set)); set++) {
        float **like = &first[kernels->fma];
        run(kernels, &c, TAPE__CONV_WEIGHT, &o, gw, NULL);
        if (*like)
            expect_bits(_i, "gw", &c, o.nw, gw, *like);
        else
            *like = memcpy(draw(TAPE_F32, o.nw), gw, (size_t)o.nw * sizeof *gw);
    }
    free(first[0]);
    free(first[1]);
    free(gw);
    free_operands(&o);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("conv_kernels");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 120);
    tcase_add_loop_test(all, test_order_of_sums, 0, SHAPES);
    tcase_add_loop_test(all, test_weight_in_classes, 0, SHAPES);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
