/* What the reductions share: their record, their shapes, and the way back from the result's shape to the input's. */
#ifndef TAPE__OPS_REDUCE_H
#define TAPE__OPS_REDUCE_H

#include "check.h"
#include "kernels/reduce.h"
#include "ops.h"

/* What the record of every reduction keeps; `number` is the correction of var and std, the p of norm, else 0. */
typedef struct tape__reduce_attr {
    tape_axes axes;
    int32_t keep_dims;
    double number;
} tape__reduce_attr;

tape_tensor tape__reduce_run(int op, tape_tensor x, tape_axes axes, bool keep_dims, double number);

/* Check in[0] and the axes of the running op and make its output of `dtype`; NULL after an error. */
tape__node *tape__reduce_output(tape__call *call, tape_dtype dtype, tape__split *split);

/* False after an error where the running op would choose among no elements. */
bool tape__reduce_check_choice(tape__call *call);

/* The whole of a reduction that a kernel does; its output, or NULL after an error. */
tape__node *tape__reduce_forward(tape__call *call, tape__reduction reduction);

/* In the VJP of a reduction: g with the reduced axes back as axes of size 1, so that it broadcasts against x. */
tape_tensor tape__reduce_keep(const tape__vjp *v, tape_tensor g);

/* The number of x's elements that each element of the result stands for. */
int64_t tape__reduce_count(const tape__vjp *v);

/* For y, the largest or smallest of x (reduced axes kept as size 1): 1/n at the n elements of x that equal it, or are
   NaN where it is; 0 elsewhere. */
tape_tensor tape__tie_weights(tape_tensor x, tape_tensor y, tape_axes axes);

/* The product of all the others in each row of the matrix x. */
tape_tensor tape__prod_others(tape_tensor x);

#endif
