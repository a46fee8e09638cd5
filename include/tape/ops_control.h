/* Ops that leave values alone and act on what flows back. The rules common to all ops are in tape/ops.h. */
#ifndef TAPE_OPS_CONTROL_H
#define TAPE_OPS_CONTROL_H

#include "tape/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* x itself, as a view; the adjoint on its way back is multiplied by `factor` (-1 reverses it, 0 stops it). d: factor,
 * on purpose not the derivative of the value. */
TAPE_API tape_tensor tape_scale_gradient(tape_tensor x, double factor);

#ifdef __cplusplus
}
#endif
#endif
