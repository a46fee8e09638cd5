/* The record of a normalisation, and its derivative as an op. */
#ifndef TAPE__OPS_NORM_H
#define TAPE__OPS_NORM_H

#include "ops.h"

/* The trailing axes, and which of weight and bias there are. */
typedef struct tape__norm_attr {
    int32_t trailing;
    int32_t weighted;
    int32_t biased;
    int32_t unused; /* no padding byte is left unset */
    double eps;
} tape__norm_attr;

/* layer_norm_backward (rms_norm_backward if not centred) of the cotangent, x, the statistics that are output 1 of the
   forward op on x, and the weight if there is one: the gradient of x; those of weight and bias are its siblings. */
tape_tensor tape__norm_backward(bool centred, const tape_tensor inputs[4], const tape__norm_attr *attr);

#endif
