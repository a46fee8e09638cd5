/* The matrix product that ops call: any strides, batches, accumulation, bias, threads. Knows how to cut a product into
   blocks, pack and spread them; the arithmetic itself is the instruction set's (kernels/gemm.h). */
#ifndef TAPE__GEMM_DRIVER_H
#define TAPE__GEMM_DRIVER_H

#include <stdbool.h>
#include <stddef.h>

#include "base.h"
#include "kernels/gemm.h"
#include "parallel.h"
#include "tape/types.h"

enum { TAPE__GEMM_BATCHES = 2 };

/* Strides are in elements, and may be 0 or negative (C's: only `batch` may be 0). */
typedef struct tape__gemm_operand {
    const void *data;
    int64_t row, col;
    int64_t batch[TAPE__GEMM_BATCHES];
} tape__gemm_operand;

/*
 * C[m,n] = A[m,k] B[k,n] for each of batch[0] x batch[1] entries, outer first. A and B may be anything, C must not
 * overlap them.
 * accumulate: adds to C instead. bias: n elements (stride in elements, shared by the batch) added to every row.
 * A batch stride of 0 in C, where that batch is larger than 1, sums over that batch in its order.
 * finish: called once for every piece of C (n elements, unit stride) when its value is final, by the thread that wrote
 * it, while it is in cache: the place for an activation. Not with a C that sums over a batch.
 *
 * Every element is ((start + s0) + s1) + ..., where start is C (accumulate) plus bias, if any, and s_i are the sums
 * over blocks of k in order (kernels/gemm.h), whose size depends on k alone. So the bits of an element depend on its
 * row of A, its column of B and the FMA class, never on m, n, strides, threads or the instruction set. k = 0 gives
 * start.
 *
 * In a build with TAPE_CBLAS large products are the BLAS's: then bits also depend on it, on m, n and the strides; still
 * not on threads, for it is called on one for tiles that depend on m and n alone.
 */
typedef struct tape__gemm {
    tape_dtype dtype; /* TAPE_F32 or TAPE_F64 */
    bool accumulate;
    int64_t m, n, k;
    int64_t batch[TAPE__GEMM_BATCHES];
    tape__gemm_operand a, b, c; /* c.data is written */
    bool b_ready;               /* b.data is what tape__gemm_prepare() has made of it */
    const void *bias;
    int64_t bias_stride;
    void (*finish)(void *user, void *c, int64_t n);
    void *finish_user;
} tape__gemm;

/* Runs the product if it is so small that it needs neither workspace nor threads; else returns false. */
bool tape__gemm_small(const tape__gemm_kernels *kernels, const tape__gemm *g);

/* The most rows or columns, and the most work (m n k), of a product that one block does. */
enum { TAPE__GEMM_SMALL = 512, TAPE__GEMM_SMALL_WORK = 64 * 64 * 64 };

/* The same for a single product in the terms of its one block, whose `width` and what packing and steps need are not
   set: whether that is enough, and the least that a product can cost. */
TAPE__INLINE bool tape__gemm_is_one_block(unsigned dtype, const tape__gemm_block *g)
{
    const int64_t size = (int64_t)tape__item_size(dtype), small = TAPE__GEMM_SMALL;
    const bool direct = g->b_col == size || (g->m <= TAPE__GEMM_DOT_ROWS && (g->b_k == size || g->k == 1));
    return direct && g->m >= 1 && g->n >= 2 && g->k >= 1 && g->k <= TAPE__GEMM_K_MAX && g->m <= small &&
           g->n <= small && g->m * g->n * g->k <= TAPE__GEMM_SMALL_WORK;
}

/* Sets these; the function that then does the block. */
typedef void tape__gemm_block_fn(const tape__gemm_block *g);
TAPE__INLINE tape__gemm_block_fn *tape__gemm_one_block(const tape__gemm_kernels *kernels, unsigned dtype,
                                                       tape__gemm_block *g)
{
    const tape__gemm_type *type = &kernels->type[dtype];
    g->width = tape__gemm_width(type, g->m);
    g->a_packed = g->b_packed = false;
    g->a_steps = g->b_steps = NULL;
    g->b_apart = g->c_apart = 0;
    return type->block;
}

/* Bytes of 64-byte aligned memory that tape__gemm_run() wants for the same product and the same choice of threads
   (p NULL or not); 0 for most small products. */
size_t tape__gemm_workspace(const tape__gemm_kernels *kernels, const tape__gemm *g, const struct tape__parallel *p);

/* Many products that differ in A's and C's data alone may share a packed B: the bytes that it takes, 0 where B is best
   left as it is, and the packing. C has unit column stride. */
size_t tape__gemm_prepared(const tape__gemm *g);
void tape__gemm_prepare(const tape__gemm_kernels *kernels, const tape__gemm *g, void *packed);

/* Allocates nothing, cannot fail. p NULL: serial; so are small products. */
void tape__gemm_run(const tape__gemm_kernels *kernels, const tape__gemm *g, void *workspace,
                    const struct tape__parallel *p);

#endif
