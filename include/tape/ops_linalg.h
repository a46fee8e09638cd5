/*
 * Products of vectors and matrices. The rules common to all ops are in tape/ops.h.
 *
 * Every element of a product is summed in an order that depends on k alone: its bits do not change with the number of
 * rows, the strides or the threads.
 */
#ifndef TAPE_OPS_LINALG_H
#define TAPE_OPS_LINALG_H

#include "tape/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The matrix product a[..., m, k] b[..., k, n] -> [..., m, n]; the leading axes broadcast. A 1-D a counts as one row, a
 * 1-D b as one column, and the axis of size 1 is dropped again. k = 0 gives zeros. d: g b^T and a^T g. */
TAPE_API tape_tensor tape_matmul(tape_tensor a, tape_tensor b);

/* x[..., in] weight[out, in]^T + bias[out] -> [..., out]; bias may be TAPE_NONE. d: g weight, g^T x, and g summed over
 * the leading axes. */
TAPE_API tape_tensor tape_linear(tape_tensor x, tape_tensor weight, tape_tensor bias);

typedef enum tape_activation {
    TAPE_ACTIVATION_NONE,
    TAPE_ACTIVATION_RELU,
    TAPE_ACTIVATION_TANH,
    TAPE_ACTIVATION_SIGMOID,
    TAPE_ACTIVATION_GELU,      /* by the normal distribution: tape_gelu() */
    TAPE_ACTIVATION_GELU_TANH, /* tape_gelu_tanh() */
    TAPE_ACTIVATION_SILU
} tape_activation;

/* tape_linear() and the activation of its result, in one op and one record: to the same bits, kinks as in
 * tape/ops_elementwise.h. The activation is applied while a piece of the product is in cache. For relu and tanh, whose
 * derivative reads the result alone, what goes into them is not kept. d: those of the two ops. */
TAPE_API tape_tensor tape_linear_activated(tape_tensor x, tape_tensor weight, tape_tensor bias,
                                           tape_activation activation);

/* The inner product of two 1-D tensors of one size: a scalar. d: g b and g a. */
TAPE_API tape_tensor tape_dot(tape_tensor a, tape_tensor b);

/* a[m], b[n] -> a b^T, [m, n]. d: g b and g^T a. */
TAPE_API tape_tensor tape_outer(tape_tensor a, tape_tensor b);

/* a[m, k] x[k] -> [m], and a[batch, m, k] b[batch, k, n] -> [batch, m, n]: tape_matmul() for these ranks alone. */
TAPE_API tape_tensor tape_mv(tape_tensor a, tape_tensor x);
TAPE_API tape_tensor tape_bmm(tape_tensor a, tape_tensor b);

/*
 * Einstein summation with NumPy's grammar: "ij,jk->ik" is the matrix product. One letter (a-z, A-Z) an axis, commas
 * between the n tensors (at most 32), spaces anywhere. Equal letters run together, twice in one tensor along its
 * diagonal; letters that the result lacks are summed over. "..." stands for axes without letters, which broadcast; the
 * result may leave it out and sums over it then. Without "->" the result has the ellipsis and then, in ASCII's order,
 * the letters that stand once. An axis of size 1 stretches. Tensors are multiplied from left to right, summing as early
 * as possible: order them well. Errors name the character, counted from 1. d: of the products and sums that it makes.
 */
TAPE_API tape_tensor tape_einsum(const char *equation, const tape_tensor *xs, int n);

#ifdef __cplusplus
}
#endif
#endif
