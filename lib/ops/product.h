/* A matrix product as a contribution of a VJP, which a plain sweep adds where it belongs. */
#ifndef TAPE__OPS_PRODUCT_H
#define TAPE__OPS_PRODUCT_H

#include "ops.h"

/* gx[i] = a b for a [m, k], b [k, n] and an x[i] of shape [m, n]. A plain sweep adds the product to x[i]'s adjoint at
 * once and leaves gx[i] absent. */
void tape__give_product(tape__vjp *v, int i, tape_tensor a, tape_tensor b);

#endif
