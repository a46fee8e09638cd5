/* Gradient clipping, by the norm of all gradients together and by value. */
#include <math.h>

#include "kit.h"

enum { LANES = 8 };

/* Partial sums in lanes: a fixed order that a compiler can keep in vector registers. */
static double squares_f32(const float *g, int64_t n)
{
    double lane[LANES] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++)
            lane[l] += (double)g[i + l] * (double)g[i + l];
    for (; i < n; i++)
        sum += (double)g[i] * (double)g[i];
    for (int l = 0; l < LANES; l++)
        sum += lane[l];
    return sum;
}

static double squares_f64(const double *g, int64_t n)
{
    double lane[LANES] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++)
            lane[l] += g[i + l] * g[i + l];
    for (; i < n; i++)
        sum += g[i] * g[i];
    for (int l = 0; l < LANES; l++)
        sum += lane[l];
    return sum;
}

static double norm_of(const tape_params *set)
{
    double sum = 0;
    for (int64_t p = 0; p < set->param_count; p++) {
        tape_tensor g = tape_gradient(set->leaf[p]);
        if (tape_is_none(g))
            continue;
        if (tape_dtype_of(g) == TAPE_F64)
            sum += squares_f64(tape_data(g), set->param[p].numel);
        else
            sum += squares_f32(tape_data(g), set->param[p].numel);
    }
    return sqrt(sum);
}

double tape_clip_grad_norm(tape_params *set, double max_norm)
{
    if (tape__params_check(set) != TAPE_OK)
        return NAN;
    if (!(max_norm >= 0)) {
        tape_fail(TAPE_ERROR_ARGUMENT, "clip_grad_norm: expects a norm >= 0, got %g", max_norm);
        return NAN;
    }
    double norm = norm_of(set), factor = max_norm / (norm + 1e-6);
    if (factor >= 1)
        return norm;
    for (int64_t p = 0; p < set->param_count; p++) {
        tape_tensor g = tape_gradient(set->leaf[p]);
        void *data = tape_is_none(g) ? NULL : tape_data_mut(g);
        bool f64 = data && tape_dtype_of(g) == TAPE_F64;
        for (int64_t i = 0; data && i < set->param[p].numel; i++) {
            if (f64)
                ((double *)data)[i] *= factor;
            else
                ((float *)data)[i] *= (float)factor;
        }
    }
    return norm;
}

tape_status tape_clip_grad_value(tape_params *set, double limit)
{
    tape_status status = tape__params_check(set);
    if (status != TAPE_OK)
        return status;
    if (!(limit >= 0))
        return tape_fail(TAPE_ERROR_ARGUMENT, "clip_grad_value: expects a limit >= 0, got %g", limit);
    for (int64_t p = 0; p < set->param_count; p++) {
        tape_tensor g = tape_gradient(set->leaf[p]);
        void *data = tape_is_none(g) ? NULL : tape_data_mut(g);
        bool f64 = data && tape_dtype_of(g) == TAPE_F64;
        for (int64_t i = 0; data && i < set->param[p].numel; i++) {
            double x = f64 ? ((double *)data)[i] : ((float *)data)[i];
            x = x > limit ? limit : x < -limit ? -limit : x;
            if (f64)
                ((double *)data)[i] = x;
            else
                ((float *)data)[i] = (float)x;
        }
    }
    return tape_last_status();
}
