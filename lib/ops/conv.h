/* Convolution's three sums as internal ops, each a derivative of the others. Knows shapes and records. */
#ifndef TAPE__OPS_CONV_H
#define TAPE__OPS_CONV_H

#include "kernels/any/conv_driver.h"
#include "ops/ops.h"

/* Of any of the ops; `size` is what the shapes of the two inputs leave open: the axes of the result. */
typedef struct tape__conv_attr {
    int64_t axes, groups;
    int64_t stride[TAPE__CONV_AXES], padding[TAPE__CONV_AXES], dilation[TAPE__CONV_AXES], size[TAPE__CONV_AXES];
} tape__conv_attr;

/* y from x and w, x's cotangent from y's and w, w's from x and y's cotangent. attr->size: y's, x's, w's axes. */
tape_tensor tape__conv_sum(tape_tensor x, tape_tensor w, const tape__conv_attr *attr);
tape_tensor tape__conv_input_gradient(tape_tensor g, tape_tensor w, const tape__conv_attr *attr);
tape_tensor tape__conv_weight_gradient(tape_tensor x, tape_tensor g, const tape__conv_attr *attr);

#endif
