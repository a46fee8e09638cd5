/* Matrix products over the rows of tensors, to memory and to adjoints, and other contributions that go straight there.
 */
#ifndef TAPE__OPS_PRODUCT_H
#define TAPE__OPS_PRODUCT_H

#include "adjoint.h"
#include "kernels/any/gemm_driver.h"
#include "ops.h"

/* What a product is added to (C itself, a bias of n elements, or nothing), and what follows it. */
typedef struct tape__epilogue {
    bool accumulate;
    const void *bias;
    int64_t stride;                                 /* of the bias */
    void (*finish)(void *user, void *c, int64_t n); /* as tape__gemm has it; may be NULL */
    void *user;
} tape__epilogue;

/* A product in the terms of its one block, but for C's memory: `add` is a row that is added to all of C's, or NULL. */
TAPE__INLINE tape__gemm_block tape__block_of(unsigned dtype, const int64_t mnk[3], const tape__gemm_operand *a,
                                             const tape__gemm_operand *b, const void *add)
{
    const int64_t size = (int64_t)tape__item_size(dtype);
    tape__gemm_block one; /* zeroing what tape__gemm_one_block() sets would cost as much as a small product */
    one.m = mnk[0], one.n = mnk[1], one.k = mnk[2];
    one.a = a->data, one.a_row = a->row * size, one.a_k = a->col * size;
    one.b = b->data, one.b_k = b->row * size, one.b_col = b->col * size;
    one.c_row = one.n * size;
    one.add = add, one.add_row = 0;
    return one;
}

/* C = A B, m x n x k of them, C dense. False after an error. */
bool tape__multiply_rows(tape *t, tape_dtype dtype, const int64_t mnk[3], const tape__gemm_operand *a,
                         const tape__gemm_operand *b, void *c, const tape__epilogue *epilogue);

/* The memory of a tensor's rows and their strides: any of a matrix, else dense ones. False where neither is so. */
bool tape__rows_of(const void *data, const tape__layout *x, tape__gemm_operand *rows);

static inline tape__gemm_operand tape__turned(const tape__gemm_operand *x)
{
    return (tape__gemm_operand){x->data, x->col, x->row, {0, 0}};
}

/* x's adjoint (+)= a b, the adjoint being seen as an m x n matrix. False after an error. */
bool tape__add_product(tape *t, tape__node *x, const int64_t mnk[3], const tape__gemm_operand *a,
                       const tape__gemm_operand *b);

/* gx[i] = a b for a [m, k], b [k, n] and an x[i] of shape [m, n]. A plain sweep adds the product to x[i]'s adjoint at
 * once and leaves gx[i] absent. */
void tape__give_product(tape__vjp *v, int i, tape_tensor a, tape_tensor b);

/* Where x[i]'s adjoint may be stored, dense, in a plain sweep that has not reached x[i] before: gx[i] then stays
 * absent. NULL where the contribution must go by way of gx[i], and after an error. */
void *tape__first_adjoint(tape__vjp *v, int i);

#endif
