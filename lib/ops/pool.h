/* The transpose of every mean over windows, as an internal op. Knows shapes and records. */
#ifndef TAPE__OPS_POOL_H
#define TAPE__OPS_POOL_H

#include "ops/ops.h"

/* What every pooling records, checked where the shapes are known. */
typedef struct tape__pool_attr {
    int32_t axes, adaptive;
    int64_t out[2];  /* of adaptive ones */
    int64_t size[2]; /* the input's axes: the spread's alone */
    int32_t kernel[2], stride[2], padding[2], dilation[2];
    int32_t ceil_mode, exclude_padding, divisor;
    int32_t unused; /* so that no byte of a record is padding */
} tape__pool_attr;

/* x's cotangent from that of its means. */
tape_tensor tape__mean_spread(tape_tensor g, const tape__pool_attr *attr);

#endif
