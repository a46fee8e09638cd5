/* The forward and backward variables of connectionist temporal classification, in logarithms: A. Graves et al.,
   "Connectionist temporal classification", ICML 2006. Knows one sequence. */
#include "ctc.h"

#include <math.h>

#include "scalar_math.h"

static double at(const tape__ctc *x, int64_t t, int64_t class)
{
    int64_t i = t * x->step + class;
    return x->dtype == TAPE_F32 ? (double)((const float *)x->log_p)[i] : ((const double *)x->log_p)[i];
}

/* log(e^a + e^b + e^c); NaN wins. */
static double log_sum(double a, double b, double c)
{
    double most = a > b ? a : b;
    most = most > c ? most : c;
    if (isnan(a) || isnan(b) || isnan(c))
        return NAN;
    if (isinf(most))
        return most;
    return most +
           tape__scalar_log(tape__scalar_exp(a - most) + tape__scalar_exp(b - most) + tape__scalar_exp(c - most));
}

double tape__ctc_loss(const tape__ctc *x, double *alpha)
{
    const int64_t n = x->places;
    if (x->steps == 0)
        return n == 1 ? 0 : INFINITY;
    for (int64_t i = 0; i < n; i++)
        alpha[i] = i < 2 ? at(x, 0, x->label[i]) : -INFINITY;
    for (int64_t t = 1; t < x->steps; t++) {
        const double *before = alpha + (t - 1) * n;
        for (int64_t i = 0; i < n; i++) {
            double one = i > 0 ? before[i - 1] : -INFINITY;
            double two = tape__ctc_skips(x->label, i) ? before[i - 2] : -INFINITY;
            alpha[t * n + i] = log_sum(before[i], one, two) + at(x, t, x->label[i]);
        }
    }
    const double *last = alpha + (x->steps - 1) * n;
    return -log_sum(last[n - 1], n > 1 ? last[n - 2] : -INFINITY, -INFINITY);
}

/* beta[i] of the step before t: the logarithm of the probability to end well from place i on; `after` is that of t with
   t's own probability in it. */
static void go_back(const tape__ctc *x, const double *after, double *beta)
{
    const int64_t n = x->places;
    for (int64_t i = 0; i < n; i++) {
        double one = i + 1 < n ? after[i + 1] : -INFINITY;
        double two = i + 2 < n && tape__ctc_skips(x->label, i + 2) ? after[i + 2] : -INFINITY;
        beta[i] = log_sum(after[i], one, two);
    }
}

/* A factor of 0 makes 0, whatever it is a factor of. */
static void store_step(const tape__ctc *x, int64_t t, const double *share, double scale, void *g)
{
    for (int64_t c = 0; c < x->classes; c++) {
        double value = scale == 0 ? 0 : scale * (tape__scalar_exp(at(x, t, c)) - share[c]);
        if (x->dtype == TAPE_F32)
            ((float *)g)[t * x->step + c] = (float)value;
        else
            ((double *)g)[t * x->step + c] = value;
    }
}

void tape__ctc_gradient(const tape__ctc *x, const double *alpha, double loss, double scale, double *work, void *g)
{
    const int64_t n = x->places;
    double *beta = work, *after = beta + n, *share = after + n;
    for (int64_t i = 0; i < n; i++)
        beta[i] = i + 2 < n ? -INFINITY : 0;
    for (int64_t t = x->steps - 1; t >= 0; t--) {
        for (int64_t c = 0; c < x->classes; c++)
            share[c] = 0;
        for (int64_t i = 0; i < n; i++)
            share[x->label[i]] += tape__scalar_exp(alpha[t * n + i] + beta[i] + loss);
        store_step(x, t, share, scale, g);
        for (int64_t i = 0; i < n; i++)
            after[i] = beta[i] + at(x, t, x->label[i]);
        go_back(x, after, beta);
    }
}
