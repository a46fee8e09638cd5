/* Knows what the elementwise formulas promise: values and derivatives against long double, special values, kinks, and
   the same bits on every instruction set of a class. */
#include "dispatch.h"
#include "kernels/any/ewise_compose.h"
#include "kernels/any/ewise_driver.h"
#include "support/special_refs.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const long double PI = 3.14159265358979323846264338327950288L;

typedef long double function(long double a, long double b, long double c, const double *p);
#define REF(name, p0, p1, p2, low, high, ulps, value)                                                                  \
    static long double name##_ref(long double a, long double b, long double c, const double *p)                        \
    {                                                                                                                  \
        (void)a, (void)b, (void)c, (void)p;                                                                            \
        return value;                                                                                                  \
    }
#include "ewise_refs.def"
#undef REF

static const struct reference {
    function *value;
    double p[3], low, high, ulps;
} references[TAPE__EW_COUNT] = {
#define REF(name, p0, p1, p2, low, high, ulps, value) [TAPE__EW_##name] = {name##_ref, {p0, p1, p2}, low, high, ulps},
#include "ewise_refs.def"
#undef REF
};

/* Emulated, `long double` is software within software: one point in so many is compared then. */
enum { N = 2048, STEP = TAPE__TEST_EMULATED ? 15 : 1 };
union array {
    float f32[N];
    double f64[N];
    unsigned char u8[N * sizeof(double)];
};
static union array in[3], y, g, gx;

static uint64_t state;

static double uniform(double low, double high)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return low + (high - low) * (double)(state >> 11) * 0x1p-53;
}

static void put(union array *x, int dtype, int i, double value)
{
    if (dtype == TAPE_F32)
        x->f32[i] = (float)value;
    else
        x->f64[i] = value;
}

static const char *name_of(int ew)
{
    static const char *const names[TAPE__EW_COUNT] = {
#define EW1(name, value, d0) #name,
#define EW2(name, value, d0, d1) #name,
#define EW3(name, value, d0, d1, d2) #name,
#define EWM1(name, mask)
#define EWM2(name, mask)
#include "kernels/elementwise.def"
#undef EW1
#undef EW2
#undef EW3
#undef EWM1
#undef EWM2
    };
    return names[ew];
}

static double get(const union array *x, int dtype, int i)
{
    return dtype == TAPE_F32 ? (double)x->f32[i] : x->f64[i];
}

/* As the dtype has it. Volatile since GCC 12 drops the pair of conversions where it vectorises them. */
static double rounded(int dtype, double value)
{
    volatile float narrow = (float)value;
    return dtype == TAPE_F32 ? (double)narrow : value;
}

static const int64_t size[1] = {N}, dense[1] = {1};
static const int64_t *const strides[3] = {dense, dense, dense};
static const void *const inputs[3] = {&in[0], &in[1], &in[2]};

static void run_value(const struct tape__kernels *k, int ew, int dtype, const double *p)
{
    tape__ewise_value(k, NULL, ew, dtype, 1, size, &y, inputs, strides, p);
}

static void run_derivative(const struct tape__kernels *k, int ew, int i, int dtype, const double *p)
{
    tape__ewise_derivative(k, NULL, ew, i, dtype, 1, size, &gx, false, &g, dense, inputs, strides, &y, p);
}

/* Half of the samples are spread over the magnitudes, where low and high allow. */
static void sample(int ew, int dtype)
{
    const struct reference *r = &references[ew];
    state = (uint64_t)ew + 1;
    for (int k = 0; k < 3; k++) {
        for (int i = 0; i < N; i++) {
            double v = uniform(r->low, r->high), small = ldexp(v, -(int)uniform(0, 20));
            put(&in[k], dtype, i, i % 2 && small >= r->low && small <= r->high ? small : v);
        }
    }
    for (int i = 0; i < N; i++)
        put(&g, dtype, i, 1);
    if (ew == TAPE__EW_where)
        for (int i = 0; i < N; i++)
            in[0].u8[i] = i % 3 == 0;
}

static double input(int ew, int dtype, int k, int i)
{
    return ew == TAPE__EW_where && k == 0 ? in[0].u8[i] : get(&in[k], dtype, i);
}

static long double reference_at(int ew, int dtype, int i)
{
    const struct reference *r = &references[ew];
    double p[3];
    for (int k = 0; k < 3; k++)
        p[k] = rounded(dtype, r->p[k]);
    return r->value(input(ew, dtype, 0, i), input(ew, dtype, 1, i), input(ew, dtype, 2, i), p);
}

static double ulps(int dtype, double got, long double want)
{
    double near = rounded(dtype, (double)want);
    if ((isnan(got) && isnan(near)) || got == near)
        return 0;
    if (!isfinite(got) || !isfinite(near))
        return INFINITY;
    double unit = dtype == TAPE_F32 ? (double)(nextafterf((float)fabs(near), INFINITY) - (float)fabs(near))
                                    : nextafter(fabs(near), INFINITY) - fabs(near);
    return (double)(fabsl(got - want) / unit);
}

/* The C library's functions may be off by more than SLEEF's. */
static double slack(void)
{
    const char *sleef = getenv("TAPE_TEST_SLEEF");
    return sleef && strcmp(sleef, "OFF") == 0 ? 2 : 0;
}

static void check_values(const struct tape__kernels *k, int ew, int dtype)
{
    sample(ew, dtype);
    run_value(k, ew, dtype, references[ew].p);
    double worst = 0;
    int at = 0;
    for (int i = 0; i < N; i += STEP) {
        double error = ulps(dtype, get(&y, dtype, i), reference_at(ew, dtype, i));
        if (!(error <= worst)) {
            worst = error;
            at = i;
        }
    }
    ck_assert_msg(worst <= references[ew].ulps + slack(), "%s %s of dtype %d is off by %g ulp at (%g, %g, %g): %.17g",
                  k->isa, name_of(ew), dtype, worst, input(ew, dtype, 0, at), input(ew, dtype, 1, at),
                  input(ew, dtype, 2, at), get(&y, dtype, at));
}

START_TEST(test_values)
{
    const struct tape__kernels *k = tape__kernels_available(_i);
    for (int ew = 0; k && ew < TAPE__EW_COUNT; ew++) {
        ck_assert_msg(references[ew].value != NULL, "ewise_refs.def has no row for %s", name_of(ew));
        check_values(k, ew, TAPE_F32);
        check_values(k, ew, TAPE_F64);
    }
}
END_TEST

/* The seven-point central difference of the reference in long double, for input k, and how much noise is in it; false
   near a kink. */
static bool numeric(int ew, int k, int dtype, int i, long double *d, long double *noise)
{
    static const long double weight[3] = {45, -9, 1};
    const struct reference *r = &references[ew];
    long double x[3], estimate[2];
    double p[3];
    for (int j = 0; j < 3; j++) {
        x[j] = input(ew, dtype, j, i);
        p[j] = rounded(dtype, r->p[j]);
    }
    const long double centre = x[k];
    for (int half = 0; half < 2; half++) {
        long double h = fminl(fabsl(centre) / 128, 1.L / 64) / (1 + half), sum = 0;
        h = (centre + h) - centre;
        for (int step = 1; step <= 3; step++) {
            x[k] = centre + step * h;
            sum += weight[step - 1] * r->value(x[0], x[1], x[2], p);
            x[k] = centre - step * h;
            sum -= weight[step - 1] * r->value(x[0], x[1], x[2], p);
        }
        estimate[half] = sum / (60 * h);
        *noise = 1e-18L * fabsl(r->value(x[0], x[1], x[2], p)) / h;
    }
    *d = estimate[1];
    return fabsl(estimate[0] - estimate[1]) <= 1e-8L * fabsl(estimate[1]) + *noise + 1e-10L;
}

static void check_derivative(const struct tape__kernels *k, int ew, int i, int dtype)
{
    sample(ew, dtype);
    run_value(k, ew, dtype, references[ew].p);
    run_derivative(k, ew, i, dtype, references[ew].p);
    const long double relative = dtype == TAPE_F32 ? 1e-5L : 1e-9L, absolute = dtype == TAPE_F32 ? 4e-6L : 1e-12L;
    int kinks = 0, wrong = -1;
    long double wanted = 0;
    for (int at = 0; at < N && wrong < 0; at += STEP) {
        long double want, noise, got = get(&gx, dtype, at);
        if (!numeric(ew, i, dtype, at, &want, &noise)) {
            kinks++;
        } else if (!(fabsl(got - want) <= relative * fabsl(want) + absolute + noise)) {
            wrong = at;
            wanted = want;
        }
    }
    ck_assert_msg(wrong < 0, "%s: derivative %d of %s, dtype %d, at (%g, %g, %g) is %.17g, not %.17Lg", k->isa, i,
                  name_of(ew), dtype, input(ew, dtype, 0, wrong), input(ew, dtype, 1, wrong),
                  input(ew, dtype, 2, wrong), get(&gx, dtype, wrong), wanted);
    ck_assert_msg(kinks < N / 8, "%s: %d of %d points look like kinks", name_of(ew), kinks, N);
}

START_TEST(test_derivatives)
{
    const struct tape__kernels *k = tape__kernels_available(_i);
    for (int ew = 0; k && ew < TAPE__EW_COUNT; ew++)
        for (int i = 0; i < tape__ewise_inputs(ew); i++) {
            if (tape__ewise_uses(ew, i) & TAPE__USES_NOGRAD)
                continue;
            check_derivative(k, ew, i, TAPE_F32);
            check_derivative(k, ew, i, TAPE_F64);
        }
}
END_TEST

/* One derivative at one point. */
static double derivative_at(const struct tape__kernels *k, int ew, int i, int dtype, const double *x, const double *p)
{
    for (int j = 0; j < 3; j++)
        put(&in[j], dtype, 0, x[j]);
    put(&g, dtype, 0, 1);
    const int64_t one[1] = {1};
    tape__ewise_value(k, NULL, ew, dtype, 1, one, &y, inputs, strides, p);
    tape__ewise_derivative(k, NULL, ew, i, dtype, 1, one, &gx, false, &g, dense, inputs, strides, &y, p);
    return get(&gx, dtype, 0);
}

static bool same(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

START_TEST(test_kinks)
{
    const struct tape__kernels *k = tape__kernels_available(_i);
    const struct {
        int ew, i;
        double x[3], p[3], want;
    } kinks[] = {
        {TAPE__EW_relu, 0, {0}, {0}, 0},
        {TAPE__EW_relu6, 0, {0}, {0}, 0},
        {TAPE__EW_relu6, 0, {6}, {0}, 0},
        {TAPE__EW_leaky_relu, 0, {0}, {0.25}, 0.25},
        {TAPE__EW_elu, 0, {0}, {0.75}, 0.75},
        {TAPE__EW_selu, 0, {0}, {0}, 1.7580993408473768599},
        {TAPE__EW_hardtanh, 0, {-1}, {-1, 2}, 0},
        {TAPE__EW_hardtanh, 0, {2}, {-1, 2}, 0},
        {TAPE__EW_hardsigmoid, 0, {-3}, {0}, 0},
        {TAPE__EW_hardsigmoid, 0, {3}, {0}, 0},
        {TAPE__EW_hardswish, 0, {-3}, {0}, 0},
        {TAPE__EW_hardswish, 0, {3}, {0}, 1},
        {TAPE__EW_abs, 0, {0}, {0}, 0},
        {TAPE__EW_abs, 0, {-0.0}, {0}, 0},
        {TAPE__EW_sign, 0, {0}, {0}, 0},
        {TAPE__EW_smooth_abs, 0, {0}, {0}, 0},
        {TAPE__EW_maximum, 0, {2, 2}, {0}, 0.5},
        {TAPE__EW_maximum, 1, {2, 2}, {0}, 0.5},
        {TAPE__EW_minimum, 0, {-INFINITY, -INFINITY}, {0}, 0.5},
        {TAPE__EW_minimum, 1, {2, 2}, {0}, 0.5},
        {TAPE__EW_clamp, 0, {-1}, {-1, 2}, 1},
        {TAPE__EW_clamp, 0, {2}, {-1, 2}, 1},
        {TAPE__EW_clamp, 0, {2.5}, {-1, 2}, 0},
        {TAPE__EW_clamp, 0, {1e30}, {-1, INFINITY}, 1},
        {TAPE__EW_clamp, 0, {NAN}, {-1, 2}, NAN},
        {TAPE__EW_sqrt, 0, {0}, {0}, INFINITY},
        {TAPE__EW_cbrt, 0, {0}, {0}, INFINITY},
        {TAPE__EW_pow, 0, {0, 0.5}, {0}, INFINITY},
        {TAPE__EW_pow, 0, {0, 1}, {0}, 1},
        {TAPE__EW_pow, 0, {0, 2}, {0}, 0},
        {TAPE__EW_pow, 0, {0, 0}, {0}, 0},
        {TAPE__EW_pow, 1, {0, 0}, {0}, 0},
        {TAPE__EW_pow, 1, {0, 2}, {0}, 0},
        {TAPE__EW_pow, 1, {-2, 2}, {0}, NAN},
        {TAPE__EW_pow, 0, {-2, 3}, {0}, 12},
        {TAPE__EW_hypot, 0, {0, 0}, {0}, 0},
        {TAPE__EW_hypot, 1, {0, 0}, {0}, 0},
        {TAPE__EW_atan2, 0, {0, 0}, {0}, 0},
        {TAPE__EW_atan2, 1, {0, 0}, {0}, 0},
        {TAPE__EW_recip, 0, {0}, {0}, -INFINITY},
        {TAPE__EW_div, 0, {1, 0}, {0}, INFINITY},
        {TAPE__EW_div, 1, {1, 0}, {0}, -INFINITY},
        {TAPE__EW_div, 1, {0, 0}, {0}, NAN},
        {TAPE__EW_log, 0, {0}, {0}, INFINITY},
        {TAPE__EW_floor, 0, {1}, {0}, 0},
        {TAPE__EW_round, 0, {0.5}, {0}, 0},
        {TAPE__EW_sinc, 0, {0}, {0}, 0},
        {TAPE__EW_copysign, 0, {0, -1}, {0}, 0},
        {TAPE__EW_logaddexp, 0, {-INFINITY, -INFINITY}, {0}, 0},
        {TAPE__EW_logaddexp, 0, {-INFINITY, 1}, {0}, 0},
        {TAPE__EW_logaddexp, 1, {-INFINITY, 1}, {0}, 1},
        {TAPE__EW_logaddexp, 0, {INFINITY, INFINITY}, {0}, 0.5},
        {TAPE__EW_xlogy, 0, {0, 0}, {0}, 0},
        {TAPE__EW_xlogy, 1, {0, 0}, {0}, 0},
        {TAPE__EW_softplus, 0, {1e4}, {1, 20}, 1},
        {TAPE__EW_softplus, 0, {-1e4}, {1, 20}, 0},
        {TAPE__EW_logsigmoid, 0, {1e4}, {0}, 0},
        {TAPE__EW_logsigmoid, 0, {-1e4}, {0}, 1},
        {TAPE__EW_gelu, 0, {1e4}, {0}, 1},
        {TAPE__EW_gelu, 0, {INFINITY}, {0}, 1},
        {TAPE__EW_gelu, 0, {-INFINITY}, {0}, 0},
        {TAPE__EW_gelu_tanh, 0, {1e30}, {0}, 1},
        {TAPE__EW_gelu_tanh, 0, {-1e30}, {0}, 0},
        {TAPE__EW_mish, 0, {1e4}, {0}, 1},
        {TAPE__EW_mish, 0, {-1e4}, {0}, 0},
        {TAPE__EW_silu, 0, {-1e4}, {0}, 0},
        {TAPE__EW_abs_error_pointwise, 0, {2, 2}, {0}, 0},
        {TAPE__EW_smooth_l1_pointwise, 0, {2, 2}, {0}, 0},
        {TAPE__EW_smooth_l1_pointwise, 0, {2, 1}, {0}, 1},
        {TAPE__EW_huber_pointwise, 0, {2, 1}, {0.5}, 0.5},
        {TAPE__EW_hinge_pointwise, 0, {1, 1}, {1}, 0},
        {TAPE__EW_bce_pointwise, 0, {0, 0}, {0}, 0},
        {TAPE__EW_bce_pointwise, 1, {0, 0}, {0}, 100},
        {TAPE__EW_bce_with_logits_pointwise, 0, {-INFINITY, 0}, {0}, 0},
        {TAPE__EW_bce_with_logits_pointwise, 0, {1e4, 1}, {0}, 0},
        {TAPE__EW_nan_to_num, 0, {NAN}, {0}, 0},
        {TAPE__EW_erfinv, 0, {0}, {0}, 0.886226925452758014},
        {TAPE__EW_erfinv, 0, {1}, {0}, INFINITY},
        {TAPE__EW_erfinv, 0, {-1}, {0}, INFINITY},
        {TAPE__EW_lgamma, 0, {0}, {0}, -INFINITY},
        {TAPE__EW_lgamma, 0, {-2}, {0}, NAN},
        {TAPE__EW_digamma, 0, {0}, {0}, INFINITY},
        {TAPE__EW_digamma, 0, {-3}, {0}, INFINITY},
        {TAPE__EW_i0, 0, {0}, {0}, 0},
        {TAPE__EW_bessel_i, 0, {0}, {1}, 0.5},
        {TAPE__EW_bessel_i, 0, {0}, {2}, 0},
        {TAPE__EW_bessel_i, 0, {-INFINITY}, {1}, INFINITY},
    };
    for (size_t n = 0; k && n < sizeof kinks / sizeof *kinks; n++)
        for (int dtype = TAPE_F32; dtype <= TAPE_F64; dtype++) {
            double got = derivative_at(k, kinks[n].ew, kinks[n].i, dtype, kinks[n].x, kinks[n].p);
            ck_assert_msg(same(got, rounded(dtype, kinks[n].want)),
                          "%s: derivative %d of %s, dtype %d, at (%g, %g) is %g, not %g", k->isa, kinks[n].i,
                          name_of(kinks[n].ew), dtype, kinks[n].x[0], kinks[n].x[1], got, kinks[n].want);
        }
}
END_TEST

/* Far out, where a formula that cancels or overflows has nothing left. Exact derivatives, in f64. */
START_TEST(test_tails)
{
    const struct tape__kernels *k = tape__kernels_available(_i);
    const struct {
        int ew;
        double x[3], p[3];
        long double want;
    } tails[] = {
        {TAPE__EW_sigmoid, {40}, {0}, expl(-40) / ((1 + expl(-40)) * (1 + expl(-40)))},
        {TAPE__EW_sigmoid, {-600}, {0}, expl(-600)},
        {TAPE__EW_sigmoid, {600}, {0}, expl(-600)},
        {TAPE__EW_expm1, {-100}, {0}, expl(-100)},
        {TAPE__EW_softplus, {-300}, {2, 20}, expl(-600)},
        {TAPE__EW_logsigmoid, {600}, {0}, expl(-600)},
        {TAPE__EW_elu, {-600}, {1}, expl(-600)},
        {TAPE__EW_silu, {-600}, {0}, expl(-600) * -599},
        {TAPE__EW_mish, {-600}, {0}, expl(-600) * -599},
        {TAPE__EW_gelu, {-20}, {0}, erfcl(20 / sqrtl(2)) / 2 - 20 * expl(-200) / sqrtl(2 * PI)},
        {TAPE__EW_logaddexp, {0, 600}, {0}, expl(-600)},
        {TAPE__EW_bce_with_logits_pointwise, {600, 1}, {0}, -expl(-600)},
        {TAPE__EW_bce_with_logits_pointwise, {-600, 0}, {0}, expl(-600)},
        {TAPE__EW_hypot, {3e200, 4e200}, {0}, 0.6L},
        {TAPE__EW_acosh, {1e200}, {0}, 1e-200L},
        {TAPE__EW_erfc, {20}, {0}, -2 / sqrtl(PI) * expl(-400)},
        {TAPE__EW_lgamma, {-20.25}, {0}, special_digamma(-20.25L)},
        {TAPE__EW_lgamma, {1e200}, {0}, logl(1e200L)},
        {TAPE__EW_digamma, {-20.25}, {0}, special_polygamma(1, -20.25L)},
        {TAPE__EW_polygamma, {-3.75}, {4}, special_polygamma(5, -3.75L)},
        {TAPE__EW_polygamma, {0.5}, {30}, special_polygamma(31, 0.5L)},
        {TAPE__EW_i0, {-600}, {0}, special_bessel_i(1, -600)},
        {TAPE__EW_bessel_i, {300}, {20}, special_bessel_i(21, 300) + 20 / 300.L * special_bessel_i(20, 300)},
    };
    for (size_t n = 0; k && n < sizeof tails / sizeof *tails; n++) {
        long double got = derivative_at(k, tails[n].ew, 0, TAPE_F64, tails[n].x, tails[n].p);
        ck_assert_msg(fabsl(got - tails[n].want) <= 1e-12L * fabsl(tails[n].want), "%s: %s at %g is %Lg, not %Lg",
                      k->isa, name_of(tails[n].ew), tails[n].x[0], got, tails[n].want);
    }
}
END_TEST

/* The bounds that the header gives for sigmoid's derivative, on both sides of where its formula changes. */
START_TEST(test_sigmoid_slope)
{
    const struct tape__kernels *k = tape__kernels_available(_i / 2);
    const int dtype = _i % 2;
    const long double unit = dtype == TAPE_F32 ? 0x1p-24L : 0x1p-53L;
    int sides = 0;
    for (int i = 0; i < N; i++) {
        put(&in[0], dtype, i, 1 + 8. * i / N);
        put(&g, dtype, i, 1);
    }
    if (k) {
        run_value(k, TAPE__EW_sigmoid, dtype, NULL);
        run_derivative(k, TAPE__EW_sigmoid, 0, dtype, NULL);
    }
    for (int i = 0; k && i < N; i += STEP) {
        const long double e = expl(-(long double)get(&in[0], dtype, i)), want = e / ((1 + e) * (1 + e));
        const bool far = get(&y, dtype, i) > 1 - 0x1p-6;
        const long double error = fabsl(get(&gx, dtype, i) - want) / (want * unit);
        sides |= 1 << far;
        ck_assert_msg(error <= (far ? 6 : 100), "%s: off by %Lg units at %g", k->isa, error, get(&in[0], dtype, i));
    }
    ck_assert_int_eq(sides, k ? 3 : 0);
}
END_TEST

/* In f32, the bounds that are said of the normal distribution and of x times as much: in units of the last place left
   and right of 0. */
START_TEST(test_normal)
{
    static const struct {
        int ew;
        double left, right;
    } rows[] = {{TAPE__EW_ndtr, 3.2, 1.3}, {TAPE__EW_gelu, 3, 1.3}};
    const struct tape__kernels *k = tape__kernels_available(_i);
    for (size_t r = 0; k && r < 2 * sizeof rows / sizeof *rows; r++) {
        for (int i = 0; i < N; i++)
            put(&in[0], TAPE_F32, i, (r % 2 ? 15 : 2.5) * (2. * i / N - 1));
        run_value(k, rows[r / 2].ew, TAPE_F32, NULL);
        for (int i = 0; i < N; i += STEP) {
            const double x = get(&in[0], TAPE_F32, i),
                         off = ulps(TAPE_F32, get(&y, TAPE_F32, i), reference_at(rows[r / 2].ew, TAPE_F32, i));
            ck_assert_msg(off <= (x < 0 ? rows[r / 2].left : rows[r / 2].right), "%s: %s is off by %g at %a", k->isa,
                          name_of(rows[r / 2].ew), off, x);
        }
    }
}
END_TEST

static const double special[] = {0.0,      -0.0,  1,     -1,     0.5,      -0.5,      2,     -2,     3,
                                 -3,       1.5,   -1.5,  2.5,    INFINITY, -INFINITY, NAN,   1e-310, -1e-310,
                                 5e-324,   1e-40, 1e30,  -1e30,  1e300,    -1e300,    88.8,  -88.8,  89.4,
                                 -104.5,   -150,  709.9, -745.5, 710.4,    1024,      -1074, 127.9,  1e22,
                                 16777217, 1e17,  -1e17, 3.4e38, -3.4e38,  1.7e308,   20,    -20};
enum { SPECIALS = sizeof special / sizeof *special };

/* C's own functions: Annex F says what they give for every input. */
START_TEST(test_special_values)
{
    static const int rows[] = {TAPE__EW_sqrt,  TAPE__EW_exp,      TAPE__EW_exp2,    TAPE__EW_expm1, TAPE__EW_log,
                               TAPE__EW_log2,  TAPE__EW_log10,    TAPE__EW_log1p,   TAPE__EW_sin,   TAPE__EW_cos,
                               TAPE__EW_tan,   TAPE__EW_tanh,     TAPE__EW_floor,   TAPE__EW_ceil,  TAPE__EW_round,
                               TAPE__EW_trunc, TAPE__EW_asin,     TAPE__EW_acos,    TAPE__EW_atan,  TAPE__EW_sinh,
                               TAPE__EW_cosh,  TAPE__EW_asinh,    TAPE__EW_acosh,   TAPE__EW_atanh, TAPE__EW_erf,
                               TAPE__EW_erfc,  TAPE__EW_cbrt,     TAPE__EW_pow,     TAPE__EW_atan2, TAPE__EW_hypot,
                               TAPE__EW_fmod,  TAPE__EW_copysign, TAPE__EW_sigmoid, TAPE__EW_neg,   TAPE__EW_abs,
                               TAPE__EW_add,   TAPE__EW_sub,      TAPE__EW_mul,     TAPE__EW_div};
    const struct tape__kernels *k = tape__kernels_available(_i / 2);
    const int dtype = _i % 2;
    for (size_t r = 0; k && r < sizeof rows / sizeof *rows; r++) {
        for (int i = 0; i < SPECIALS * SPECIALS; i++) {
            put(&in[0], dtype, i, special[i / SPECIALS]);
            put(&in[1], dtype, i, special[i % SPECIALS]);
        }
        run_value(k, rows[r], dtype, NULL);
        for (int i = 0; i < SPECIALS * SPECIALS; i++) {
            double got = get(&y, dtype, i);
            long double want = reference_at(rows[r], dtype, i);
            bool right = ulps(dtype, got, want) <= 2 + slack() && (isnan(got) || !signbit(got) == !signbit(want));
            if (!right)
                ck_abort_msg("%s, dtype %d: %s(%g, %g) is %.17g, not %.17Lg", k->isa, dtype, name_of(rows[r]),
                             get(&in[0], dtype, i), get(&in[1], dtype, i), got, want);
        }
    }
}
END_TEST

START_TEST(test_own_special_values)
{
    const struct tape__kernels *k = tape__kernels_available(_i);
    const struct {
        int ew;
        double x[3], p[3], want;
    } values[] = {
        {TAPE__EW_sign, {NAN}, {0}, 0},
        {TAPE__EW_relu, {NAN}, {0}, NAN},
        {TAPE__EW_relu6, {NAN}, {0}, NAN},
        {TAPE__EW_hardtanh, {NAN}, {-1, 1}, NAN},
        {TAPE__EW_clamp, {NAN}, {-1, 1}, NAN},
        {TAPE__EW_clamp, {5}, {3, 1}, 1},
        {TAPE__EW_maximum, {NAN, 1}, {0}, NAN},
        {TAPE__EW_maximum, {1, NAN}, {0}, NAN},
        {TAPE__EW_minimum, {1, NAN}, {0}, NAN},
        {TAPE__EW_softplus, {1e4}, {1, 20}, 1e4},
        {TAPE__EW_softplus, {-1e4}, {1, 20}, 0},
        {TAPE__EW_logsigmoid, {-1e4}, {0}, -1e4},
        {TAPE__EW_logsigmoid, {1e4}, {0}, 0},
        {TAPE__EW_logaddexp, {-INFINITY, -INFINITY}, {0}, -INFINITY},
        {TAPE__EW_logaddexp, {-INFINITY, 3}, {0}, 3},
        {TAPE__EW_logaddexp, {INFINITY, -INFINITY}, {0}, INFINITY},
        {TAPE__EW_logaddexp, {1e4, -1e4}, {0}, 1e4},
        {TAPE__EW_xlogy, {0, 0}, {0}, 0},
        {TAPE__EW_xlogy, {0, NAN}, {0}, NAN},
        {TAPE__EW_remainder, {-1, 3}, {0}, 2},
        {TAPE__EW_remainder, {1, -3}, {0}, -2},
        {TAPE__EW_strong_mul, {INFINITY, 0}, {0}, 0},
        {TAPE__EW_strong_mul, {NAN, 0}, {0}, 0},
        {TAPE__EW_strong_mul, {INFINITY, 2}, {0}, INFINITY},
        {TAPE__EW_nan_to_num, {NAN}, {1, 2, 3}, 1},
        {TAPE__EW_nan_to_num, {INFINITY}, {1, 2, 3}, 2},
        {TAPE__EW_nan_to_num, {-INFINITY}, {1, 2, 3}, 3},
        {TAPE__EW_erfinv, {1}, {0}, INFINITY},
        {TAPE__EW_erfinv, {-1}, {0}, -INFINITY},
        {TAPE__EW_erfinv, {1.5}, {0}, NAN},
        {TAPE__EW_erfinv, {NAN}, {0}, NAN},
        {TAPE__EW_lgamma, {-0.0}, {0}, INFINITY},
        {TAPE__EW_lgamma, {-7}, {0}, INFINITY},
        {TAPE__EW_lgamma, {-INFINITY}, {0}, INFINITY},
        {TAPE__EW_lgamma, {1}, {0}, 0},
        {TAPE__EW_lgamma, {2}, {0}, 0},
        {TAPE__EW_lgamma, {NAN}, {0}, NAN},
        {TAPE__EW_digamma, {0}, {0}, -INFINITY},
        {TAPE__EW_digamma, {-0.0}, {0}, INFINITY},
        {TAPE__EW_digamma, {-4}, {0}, NAN},
        {TAPE__EW_digamma, {-INFINITY}, {0}, NAN},
        {TAPE__EW_digamma, {INFINITY}, {0}, INFINITY},
        {TAPE__EW_polygamma, {-4}, {1}, INFINITY},
        {TAPE__EW_polygamma, {-4}, {2}, NAN},
        {TAPE__EW_polygamma, {0}, {2}, -INFINITY},
        {TAPE__EW_polygamma, {-0.0}, {2}, INFINITY},
        {TAPE__EW_polygamma, {INFINITY}, {1}, 0},
        {TAPE__EW_polygamma, {1}, {1.5}, NAN},
        {TAPE__EW_polygamma, {1}, {-1}, NAN},
        {TAPE__EW_polygamma, {1}, {INFINITY}, NAN},
        {TAPE__EW_i0, {0}, {0}, 1},
        {TAPE__EW_i0, {-INFINITY}, {0}, INFINITY},
        {TAPE__EW_i0, {NAN}, {0}, NAN},
        {TAPE__EW_bessel_i, {-INFINITY}, {3}, -INFINITY},
        {TAPE__EW_bessel_i, {2}, {0.5}, NAN},
        {TAPE__EW_bessel_i, {2}, {INFINITY}, NAN},
        {TAPE__EW_bessel_i, {3}, {1e9}, 0},
        {TAPE__EW_gelu, {1e4}, {0}, 1e4},
        {TAPE__EW_gelu, {-1e4}, {0}, 0},
        {TAPE__EW_gelu, {-INFINITY}, {0}, 0},
        {TAPE__EW_gelu, {INFINITY}, {0}, INFINITY},
        {TAPE__EW_gelu, {NAN}, {0}, NAN},
        {TAPE__EW_ndtr, {-INFINITY}, {0}, 0},
        {TAPE__EW_ndtr, {INFINITY}, {0}, 1},
        {TAPE__EW_ndtr, {NAN}, {0}, NAN},
        {TAPE__EW_ndtr, {-1e30}, {0}, 0},
        {TAPE__EW_ndtr, {0}, {0}, 0.5},
        {TAPE__EW_gelu_tanh, {-1e30}, {0}, 0},
        {TAPE__EW_mish, {1e4}, {0}, 1e4},
        {TAPE__EW_sinc, {0}, {0}, 1},
        {TAPE__EW_lerp, {1, 7, 1}, {0}, 7},
        {TAPE__EW_bce_pointwise, {0, 1}, {0}, 100},
        {TAPE__EW_bce_pointwise, {0, 0}, {0}, 0},
        {TAPE__EW_bce_with_logits_pointwise, {-INFINITY, 0}, {0}, 0},
        {TAPE__EW_bce_with_logits_pointwise, {1e4, 0}, {0}, 1e4},
        {TAPE__EW_kl_div_pointwise, {-INFINITY, 0}, {0}, 0},
        {TAPE__EW_kl_div_log_pointwise, {-1, -INFINITY}, {0}, 0},
    };
    const int64_t one[1] = {1};
    for (size_t n = 0; k && n < sizeof values / sizeof *values; n++)
        for (int dtype = TAPE_F32; dtype <= TAPE_F64; dtype++) {
            for (int j = 0; j < 3; j++)
                put(&in[j], dtype, 0, values[n].x[j]);
            tape__ewise_value(k, NULL, values[n].ew, dtype, 1, one, &y, inputs, strides, values[n].p);
            ck_assert_msg(same(get(&y, dtype, 0), values[n].want), "%s: %s(%g, %g) is %g, not %g", k->isa,
                          name_of(values[n].ew), values[n].x[0], values[n].x[1], get(&y, dtype, 0), values[n].want);
        }
}
END_TEST

START_TEST(test_strong_zero)
{
    const struct tape__kernels *k = tape__kernels_available(_i);
    static const double zeros[] = {0.0, -0.0};
    for (int ew = 0; k && ew < TAPE__EW_COUNT; ew++)
        for (int i = 0; i < tape__ewise_inputs(ew); i++)
            for (int n = 0; n < SPECIALS * 2; n++) {
                double x[3] = {special[n / 2], special[n / 2], special[n / 2]};
                derivative_at(k, ew, i, TAPE_F64, x, references[ew].p);
                g.f64[0] = zeros[n % 2];
                const int64_t one[1] = {1};
                tape__ewise_derivative(k, NULL, ew, i, TAPE_F64, 1, one, &gx, false, &g, dense, inputs, strides, &y,
                                       references[ew].p);
                ck_assert_msg(gx.f64[0] == 0, "%s at %g", name_of(ew), x[0]);
            }
}
END_TEST

/* A lane's result does not depend on what lies in the others, though rare values take paths of their own. */
START_TEST(test_neighbours)
{
    const struct tape__kernels *k = tape__kernels_available(_i / 2);
    const int dtype = _i % 2;
    const size_t item = dtype == TAPE_F32 ? sizeof(float) : sizeof(double);
    for (int ew = 0; ew < TAPE__EW_COUNT; ew++) {
        sample(ew, dtype);
        for (int i = 0; ew != TAPE__EW_where && i < N; i += 3)
            put(&in[i / 3 % 3], dtype, i, special[i % SPECIALS]);
        run_value(k, ew, dtype, references[ew].p);
        const union array together = y;
        for (int i = 0; i < N; i += 1 + i % 3) {
            const int64_t one[1] = {1};
            const size_t first = ew == TAPE__EW_where ? 1 : item;
            const void *x[3] = {in[0].u8 + first * (size_t)i, in[1].u8 + item * (size_t)i, in[2].u8 + item * (size_t)i};
            tape__ewise_value(k, NULL, ew, dtype, 1, one, &y, x, strides, references[ew].p);
            double alone = get(&y, dtype, 0), before = get(&together, dtype, i);
            if (!same(alone, before) || (!isnan(alone) && !signbit(alone) != !signbit(before)))
                ck_abort_msg("%s: %s(%g, %g), dtype %d, is %.17g alone and %.17g among others", k->isa, name_of(ew),
                             input(ew, dtype, 0, i), input(ew, dtype, 1, i), dtype, alone, before);
        }
    }
}
END_TEST

/* Processors of one class agree to the bit: with fused multiply-add, or without. */
START_TEST(test_classes)
{
    const int dtype = _i;
    static union array values, derivatives;
    for (int a = 0; tape__kernels_available(a); a++)
        for (int b = 0; b < a; b++) {
            const struct tape__kernels *ka = tape__kernels_available(a), *kb = tape__kernels_available(b);
            for (int ew = 0; ka->fma == kb->fma && ew < TAPE__EW_COUNT; ew++) {
                sample(ew, dtype);
                run_value(ka, ew, dtype, references[ew].p);
                run_derivative(ka, ew, 0, dtype, references[ew].p);
                values = y;
                derivatives = gx;
                run_value(kb, ew, dtype, references[ew].p);
                run_derivative(kb, ew, 0, dtype, references[ew].p);
                size_t bytes = N * (dtype == TAPE_F32 ? sizeof(float) : sizeof(double));
                ck_assert_msg(!memcmp(&y, &values, bytes) && !memcmp(&gx, &derivatives, bytes), "%s on %s and %s",
                              name_of(ew), ka->isa, kb->isa);
            }
        }
}
END_TEST

/* Composed, a row has the bits of its own kernels. */
START_TEST(test_composed)
{
    const struct tape__kernels *k = tape__kernels_available(_i);
    static union array composed;
    for (int ew = 0; ew < TAPE__EW_COUNT; ew++)
        for (int dtype = TAPE_F32; dtype <= TAPE_F64; dtype++) {
            const size_t bytes = N * (dtype == TAPE_F32 ? sizeof(float) : sizeof(double));
            const void *const operands[TAPE__RUN_OPERANDS] = {
                &in[0], &in[1], &in[2], [TAPE__RUN_OUTPUT] = &y, [TAPE__RUN_ADJOINT] = &g};
            tape__ewise_row row = tape__ewise_row_of(k, references[ew].p, ew, -1, dtype);
            sample(ew, dtype);
            tape__ewise_apply(&row, N, &y, operands);
            tape__ewise_compose(&row, N, &composed, operands);
            ck_assert_msg(!memcmp(&y, &composed, bytes), "%s: %s composed", k->isa, name_of(ew));
            for (int i = 0; i < tape__ewise_inputs(ew); i++) {
                row = tape__ewise_row_of(k, references[ew].p, ew, i, dtype);
                tape__ewise_apply(&row, N, &gx, operands);
                tape__ewise_compose(&row, N, &composed, operands);
                ck_assert_msg(!memcmp(&gx, &composed, bytes), "%s: derivative %d of %s composed", k->isa, i,
                              name_of(ew));
            }
        }
}
END_TEST

START_TEST(test_uses)
{
    ck_assert_uint_eq(tape__ewise_uses(TAPE__EW_tanh, 0), TAPE__USES_Y);
    ck_assert_uint_eq(tape__ewise_uses(TAPE__EW_sin, 0), TAPE__USES_X0);
    ck_assert_uint_eq(tape__ewise_uses(TAPE__EW_add, 0), TAPE__USES_ONE);
    ck_assert_uint_eq(tape__ewise_uses(TAPE__EW_sub, 1), 0);
    ck_assert_uint_eq(tape__ewise_uses(TAPE__EW_mul, 0), TAPE__USES_X1);
    ck_assert_uint_eq(tape__ewise_uses(TAPE__EW_floor, 0), TAPE__USES_ZERO);
    ck_assert_uint_eq(tape__ewise_uses(TAPE__EW_where, 0), TAPE__USES_NOGRAD);
    ck_assert_uint_eq(tape__ewise_uses(TAPE__EW_where, 2), TAPE__USES_X0);
    ck_assert_uint_eq(tape__ewise_uses(TAPE__EW_fma, 2), TAPE__USES_ONE);
    ck_assert_uint_eq(tape__ewise_uses(TAPE__EW_div, 1), TAPE__USES_X1 | TAPE__USES_Y);
    ck_assert_uint_eq(tape__ewise_uses(TAPE__EW_addcmul, 1), TAPE__USES_X2 | TAPE__USES_P0);
    ck_assert_uint_eq(tape__ewise_uses(TAPE__EW_clamp, -1), TAPE__USES_X0 | TAPE__USES_P0 | TAPE__USES_P1);
    ck_assert_int_eq(tape__ewise_inputs(TAPE__EW_clamp), 1);
    ck_assert_int_eq(tape__ewise_inputs(TAPE__EW_pow), 2);
    ck_assert_int_eq(tape__ewise_inputs(TAPE__EW_where), 3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ewise");
    TCase *tests = tcase_create("ewise");
    int isas = 0;
    while (tape__kernels_available(isas))
        isas++;
    tcase_add_loop_test(tests, test_values, 0, isas);
    tcase_add_loop_test(tests, test_derivatives, 0, isas);
    tcase_add_loop_test(tests, test_kinks, 0, isas);
    tcase_add_loop_test(tests, test_tails, 0, isas);
    tcase_add_loop_test(tests, test_sigmoid_slope, 0, 2 * isas);
    tcase_add_loop_test(tests, test_normal, 0, isas);
    tcase_add_loop_test(tests, test_special_values, 0, 2 * isas);
    tcase_add_loop_test(tests, test_own_special_values, 0, isas);
    tcase_add_loop_test(tests, test_strong_zero, 0, isas);
    tcase_add_loop_test(tests, test_neighbours, 0, 2 * isas);
    tcase_add_loop_test(tests, test_classes, 0, 2);
    tcase_add_loop_test(tests, test_composed, 0, isas);
    tcase_add_test(tests, test_uses);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
