/* Samples of the ops that act on the adjoint. */
#include "support/samples.h"

static tape_tensor run_scale_gradient(const tape_tensor *x)
{
    return tape_scale_gradient(x[0], 1);
}

static void ref_scale_gradient(const double *const *x, double *y)
{
    for (int i = 0; i < 6; i++)
        y[i] = x[0][i];
}

const struct sample samples_control[] = {
    {"scale_gradient",
     "factor 1",
     1,
     {{SAMPLE_FLOAT, {2, {2, 3}}, -2, 2}},
     run_scale_gradient,
     ref_scale_gradient,
     false,
     0},
    {0},
};
