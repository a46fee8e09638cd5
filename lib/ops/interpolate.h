/* The record of resampling, and its transpose as an internal op. */
#ifndef TAPE__OPS_INTERPOLATE_H
#define TAPE__OPS_INTERPOLATE_H

#include "ops.h"

/* The options as they are given, checked where the shapes are known. */
typedef struct tape__interpolate_attr {
    int32_t mode, align_corners, recompute_scale;
    int32_t unused; /* so that no byte of a record is padding */
    int64_t size[3];
    double scale[3];
    int64_t in[3]; /* x's axes: the spread's alone */
} tape__interpolate_attr;

/* x's cotangent from that of the result. */
tape_tensor tape__interpolate_spread(tape_tensor g, const tape__interpolate_attr *attr);

#endif
