/* Contributions of a VJP that a plain sweep takes where they belong: matrix products, and what comes first. */
#ifndef TAPE__OPS_PRODUCT_H
#define TAPE__OPS_PRODUCT_H

#include "ops.h"

/* gx[i] = a b for a [m, k], b [k, n] and an x[i] of shape [m, n]. A plain sweep adds the product to x[i]'s adjoint at
 * once and leaves gx[i] absent. */
void tape__give_product(tape__vjp *v, int i, tape_tensor a, tape_tensor b);

/* Where x[i]'s adjoint may be stored, dense, in a plain sweep that has not reached x[i] before: gx[i] then stays
 * absent. NULL where the contribution must go by way of gx[i], and after an error. */
void *tape__first_adjoint(tape__vjp *v, int i);

#endif
