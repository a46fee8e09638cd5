/* Stacks of matrices: what the ops on the last two axes share. Knows layouts and batches, not what is computed. */
#ifndef TAPE__MATRIX_H
#define TAPE__MATRIX_H

#include "kernels/any/dense.h"
#include "ops/ops.h"

enum { TAPE__STACK_INPUTS = 2 };

/* The leading axes of an op's inputs, broadcast to each other. */
typedef struct tape__stack {
    int rank;
    int64_t size[TAPE_MAX_RANK];
    int64_t count; /* of the entries */
    int64_t stride[TAPE__STACK_INPUTS][TAPE_MAX_RANK];
} tape__stack;

/* Plan the stack of all inputs, whose last trailing[i] axes make one entry. False, with an error, where dtypes, ranks
 * or leading axes do not fit. */
bool tape__stack_plan(tape__call *call, const int *trailing, tape__stack *stack);

/* The same for one stack of matrices, or of square ones. */
bool tape__stack_of_matrices(tape__call *call, tape__stack *stack);
bool tape__stack_of_squares(tape__call *call, tape__stack *stack);

/* Entry `entry` of input i as row-major doubles; a vector counts as one column. */
void tape__stack_load(const tape__call *call, const tape__stack *stack, int i, int trailing, int64_t entry, double *to);

/* Doubles into entry `entry` of a contiguous output whose entries have n elements. */
void tape__stack_store(const tape__node *y, int64_t entry, int64_t n, const double *from);

/* An output of the stack's leading axes and `rank` more. */
tape__node *tape__stack_output(tape__call *call, const tape__stack *stack, int rank, const int64_t *size);

/* Scratch for `count` arrays of rows * columns doubles each; NULL after an error. */
double *tape__doubles(tape *t, int64_t count, int64_t rows, int64_t columns);

/* PyTorch's rule for a right side b of a system: it is a vector, or a stack of vectors that fits a's leading axes
 * exactly. */
bool tape__is_vector(int rank_a, const int64_t *a, int rank_b, const int64_t *b);

/* The last two axes exchanged. */
static inline tape_tensor tape__transposed(tape_tensor x)
{
    return tape_transpose(x, -2, -1);
}

/* The identity of the size and dtype of a stack of square matrices. */
tape_tensor tape__identity_for(tape_tensor a);

/* A stack of numbers as a stack of 1 x 1 matrices. */
static inline tape_tensor tape__as_matrices(tape_tensor x)
{
    return tape_unsqueeze(tape_unsqueeze(x, -1), -1);
}

#endif
