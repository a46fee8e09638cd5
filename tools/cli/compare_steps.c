/* Error against step size: a function whose derivative is known, differentiated by differences and by the tape. */
#include <math.h>

#include "compare.h"
#include "tape/gradcheck.h"

/* Squire and Trapp's example, SIAM Review 40 (1998) 110-112. */
const char compare_function[] = "f(x) = exp(x) / sqrt(sin(x)^3 + cos(x)^3)";
const char *const compare_methods[NUMERIC_METHODS] = {"forward", "central", "Ridders"};

/* The points and the steps are sums of few powers of two: x + h is exact, in f32 as well. */
enum { POINTS = 8 };

static double point(int i)
{
    return 1 + i / 16.0;
}

static double true_derivative(double at)
{
    long double x = at, s = sinl(x), c = cosl(x), g = s * s * s + c * c * c;
    return (double)(expl(x) / sqrtl(g) * (1 - 1.5L * s * c * (s - c) / g));
}

static tape_tensor function(tape_tensor x)
{
    tape_tensor s = tape_sin(x), c = tape_cos(x);
    tape_tensor g = tape_add(tape_mul(s, tape_square(s)), tape_mul(c, tape_square(c)));
    return tape_div(tape_exp(x), tape_sqrt(g));
}

/* f at n places, computed in the dtype. */
static void evaluate(tape_dtype dtype, const double *x, double *f, int n)
{
    tape_tensor y = function(tape_cast(tape_from(TAPE_F64, TAPE_SHAPE(n), x), dtype));
    tape_read(tape_cast(y, TAPE_F64), f, n);
    if (tape_last_status() == TAPE_OK)
        tape_reset();
}

static double curve(void *user, double x)
{
    double f = NAN;
    evaluate(*(const tape_dtype *)user, &x, &f, 1);
    return f;
}

static double worst_error(const double *derivative)
{
    double worst = COMPARE_LEAST_ERROR;
    for (int i = 0; i < POINTS; i++) {
        double truth = true_derivative(point(i)), error = fabs(derivative[i] - truth) / fabs(truth);
        worst = isnan(error) ? NAN : fmax(worst, error);
    }
    return worst;
}

static double difference_error(tape_dtype dtype, numeric_method method, double h)
{
    double x[2][POINTS], f[2][POINTS], d[POINTS], back = method == NUMERIC_CENTRAL ? h : 0;
    for (int i = 0; i < POINTS; i++) {
        x[0][i] = point(i) - back;
        x[1][i] = point(i) + h;
    }
    evaluate(dtype, x[0], f[0], POINTS);
    evaluate(dtype, x[1], f[1], POINTS);
    for (int i = 0; i < POINTS; i++)
        d[i] = (f[1][i] - f[0][i]) / (h + back);
    return worst_error(d);
}

static double ridders_error(tape_dtype dtype, double h)
{
    double d[POINTS];
    for (int i = 0; i < POINTS; i++) {
        tape_numeric_options options = {.method = TAPE_RIDDERS, .step = h / fmax(fabs(point(i)), 1)};
        d[i] = tape_numeric_derivative(curve, &dtype, point(i), &options, NULL);
    }
    return worst_error(d);
}

static double tape_error(tape_dtype dtype)
{
    double x[POINTS], d[POINTS] = {0};
    for (int i = 0; i < POINTS; i++)
        x[i] = point(i);
    tape_tensor in = tape_cast(tape_from(TAPE_F64, TAPE_SHAPE(POINTS), x), dtype);
    tape_tensor leaf = tape_keep(in), gradient = TAPE_NONE;
    tape_set_requires_grad(leaf, true);
    tape_tensor y = function(leaf), ones = tape_ones_like(y);
    tape_grad(&y, 1, &ones, &leaf, 1, NULL, &gradient);
    tape_read(tape_cast(gradient, TAPE_F64), d, POINTS);
    if (tape_last_status() == TAPE_OK)
        tape_reset();
    tape_free(leaf);
    return worst_error(d);
}

static void measure(comparison *c, compare_steps *steps, double begin, double share)
{
    int last = steps->dtype == TAPE_F64 ? COMPARE_STEPS : 22, every = c->quick ? 2 : 1;
    double level = tape_error(steps->dtype);
    for (int k = last; k >= 1; k -= every) {
        int64_t i = steps->count++;
        double h = ldexp(1, -k);
        progress_share(&c->progress, begin + share * (last - k) / last, "error against step size");
        steps->step[i] = h;
        steps->tape[i] = level;
        steps->error[NUMERIC_FORWARD][i] = difference_error(steps->dtype, NUMERIC_FORWARD, h);
        steps->error[NUMERIC_CENTRAL][i] = difference_error(steps->dtype, NUMERIC_CENTRAL, h);
        steps->error[NUMERIC_RIDDERS][i] = ridders_error(steps->dtype, h);
        for (int m = 0; m < NUMERIC_METHODS; m++)
            if (!(steps->error[m][i] >= steps->error[m][steps->best[m]])) /* the one so far may be NaN */
                steps->best[m] = i;
    }
}

bool compare_error_against_step(comparison *c)
{
    const tape_dtype dtypes[COMPARE_DTYPES] = {TAPE_F64, TAPE_F32};
    for (int i = 0; i < COMPARE_DTYPES; i++) {
        c->steps[i].dtype = dtypes[i];
        measure(c, &c->steps[i], 0.05 * i, 0.05);
    }
    return tape_last_status() == TAPE_OK;
}
