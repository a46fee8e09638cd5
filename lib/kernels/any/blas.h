/* Knows the interface of what a BLAS may do instead of our own product, and of holding it to one thread; does not know
 * how a product is cut into tiles. */
#ifndef TAPE__BLAS_H
#define TAPE__BLAS_H

#include "gemm_driver.h"

/* The calling thread's BLAS works on one thread from the first to the second of these. They nest, in any number of
 * threads. OpenBLAS, where the BLAS is it, is told so meanwhile, whoever uses it, and told its number again at the end;
 * any other BLAS has to be one that uses one thread. */
void tape__blas_hold(void);
void tape__blas_release(void);

/* What the BLAS says of itself; NULL in a build without. */
const char *tape__blas_name(void);

/* Whether the product is one for the BLAS: never in a build without it; large, and with strides that it takes. C's rows
 * have unit stride, and there is no bias but what C has been set to. */
bool tape__blas_takes(const tape__gemm *g);

/* C = A B, or C += A B, for the m x n elements that a, b and c point to, of g's strides and k. */
void tape__blas_multiply(const tape__gemm *g, int64_t m, int64_t n, const void *a, const void *b, void *c,
                         bool accumulate);

#endif
