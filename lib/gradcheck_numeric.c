/* Knows how to differentiate a curve from its values alone; it knows no tape and no tensors. */
#include <float.h>
#include <math.h>

#include "gradcheck.h"

static const double ridders_shrink = 1.4;

static double default_step(tape_numeric_method method)
{
    return method == TAPE_CENTRAL ? cbrt(DBL_EPSILON) : method == TAPE_RICHARDSON ? pow(DBL_EPSILON, 0.2) : 0.1;
}

/* d[i] = (f(x + h) - f(x - h)) / 2h, with the h that x + h and x - h really are apart. */
static bool central(const tape__curve *f, double x, double h, double *work, double *d)
{
    double right = x + h, left = x - h, *y = work;
    if (!f->evaluate(f->user, right, d) || !f->evaluate(f->user, left, y))
        return false;
    for (int64_t i = 0; i < f->m; i++)
        d[i] = (d[i] - y[i]) / (right - left);
    return true;
}

static bool central_with_error(const tape__curve *f, double x, double h, double *work, double *d, double *error)
{
    double *coarse = work + f->m;
    if (!central(f, x, h, work, d))
        return false;
    if (error && !central(f, x, 2 * h, work, coarse))
        return false;
    for (int64_t i = 0; error && i < f->m; i++)
        error[i] = fabs(coarse[i] - d[i]) / 3;
    return true;
}

static bool richardson(const tape__curve *f, double x, double h, double *work, double *d, double *error)
{
    double *coarse = work + f->m;
    if (!central(f, x, h, work, coarse) || !central(f, x, h / 2, work, d))
        return false;
    for (int64_t i = 0; i < f->m; i++) {
        double correction = (d[i] - coarse[i]) / 3;
        d[i] += correction;
        if (error)
            error[i] = fabs(correction);
    }
    return true;
}

/* Column `level` of Neville's tableau for function i: column[j] extrapolates j times; before holds the column to its
 * left. Keeps the entry that agrees best with its two parents. */
static void extrapolate(double *column, const double *before, int level, double *d, double *error)
{
    double factor = 1;
    for (int j = 1; j <= level; j++) {
        factor *= ridders_shrink * ridders_shrink;
        column[j] = (column[j - 1] * factor - before[j - 1]) / (factor - 1);
        double spread = fmax(fabs(column[j] - column[j - 1]), fabs(column[j] - before[j - 1]));
        if (spread < *error && isfinite(column[j])) {
            *error = spread;
            *d = column[j];
        }
    }
}

/* *finite: whether the function was, at all steps. */
static bool ridders(const tape__curve *f, double x, double h, double *work, double *d, double *error, bool *finite)
{
    double *first = work + f->m, *column = first + f->m;
    *finite = true;
    for (int64_t i = 0; i < f->m; i++) {
        d[i] = NAN;
        error[i] = INFINITY;
    }
    for (int level = 0; level < TAPE__RIDDERS_LEVELS; level++, h /= ridders_shrink) {
        if (!central(f, x, h, work, first))
            return false;
        for (int64_t i = 0; i < f->m; i++) {
            double *pair = column + 2 * TAPE__RIDDERS_LEVELS * i;
            double *now = pair + (level % 2) * TAPE__RIDDERS_LEVELS;
            now[0] = first[i];
            *finite &= isfinite(first[i]) != 0;
            extrapolate(now, pair + (1 - level % 2) * TAPE__RIDDERS_LEVELS, level, &d[i], &error[i]);
        }
    }
    return true;
}

double tape__differentiate(const tape__curve *f, double x, const tape_numeric_options *options, double *work,
                           double *derivative, double *error)
{
    tape_numeric_method method = options ? options->method : TAPE_RIDDERS;
    double h = options && options->step > 0 ? options->step : default_step(method);
    h *= fmax(fabs(x), 1);
    if (!error && method == TAPE_RIDDERS)
        error = work + (TAPE__NUMERIC_WORK - 1) * f->m;
    if (method == TAPE_CENTRAL)
        return central_with_error(f, x, h, work, derivative, error) ? h : 0;
    if (method == TAPE_RICHARDSON)
        return richardson(f, x, h, work, derivative, error) ? h : 0;
    /* The wide first steps may leave the domain. */
    bool finite = false;
    for (int attempt = 0; attempt < 8 && !finite; attempt++, h /= 10)
        if (!ridders(f, x, h, work, derivative, error, &finite))
            return 0;
    return 10 * h;
}

/* How far the differences to the right and to the left are apart. */
static double gap(const tape__curve *f, double x, double h, int64_t row, double *work)
{
    double right = x + h, left = x - h, y[3];
    const double at[3] = {left, x, right};
    for (int i = 0; i < 3; i++) {
        if (!f->evaluate(f->user, at[i], work))
            return 0;
        y[i] = work[row];
    }
    return fabs((y[2] - y[1]) / (right - x) - (y[1] - y[0]) / (x - left));
}

bool tape__is_kink(const tape__curve *f, double x, int64_t row, double slack, double *work)
{
    double scale = fmax(fabs(x), 1), wide = gap(f, x, 1e-4 * scale, row, work),
           close = gap(f, x, 1e-6 * scale, row, work);
    /* For a smooth function the gap shrinks with the step, here to a hundredth. */
    return !(close <= slack) && !(close < 0.3 * wide);
}

struct scalar_curve {
    tape_curve *f;
    void *user;
};

static bool evaluate_scalar(void *user, double x, double *y)
{
    const struct scalar_curve *curve = user;
    *y = curve->f(curve->user, x);
    return true;
}

double tape_numeric_derivative(tape_curve *f, void *user, double x, const tape_numeric_options *options, double *error)
{
    struct scalar_curve scalar = {f, user};
    tape__curve curve = {evaluate_scalar, &scalar, 1};
    double work[TAPE__NUMERIC_WORK], derivative, estimate;
    tape__differentiate(&curve, x, options, work, &derivative, &estimate);
    if (!isfinite(derivative)) {
        derivative = NAN;
        estimate = INFINITY;
    }
    if (error)
        *error = estimate;
    return derivative;
}
