/*
 * Every op, by family. The rules that hold for all of them:
 *
 * Inputs may have any strides, rank 0 to 8 and zero elements. Ops on two or more tensors broadcast as NumPy does: sizes
 * are aligned at the last axis and a size of 1 stretches. Float ops take f32 or f64, never a mix; the result has the
 * inputs' dtype. Results end at the next tape_reset() or tape_rewind(). A failed op returns null and leaves an error on
 * the tape. Out-of-domain values give NaN or infinity as IEEE 754 says and are not errors.
 *
 * "d" gives the derivative; at a kink it is the minimum-norm subgradient unless the op says otherwise. Where an adjoint
 * is 0 the product with the derivative is 0, whatever the derivative is.
 */
#ifndef TAPE_OPS_H
#define TAPE_OPS_H

#include "tape/ops_control.h"
#include "tape/ops_conv.h"
#include "tape/ops_decompose.h"
#include "tape/ops_elementwise.h"
#include "tape/ops_geometry.h"
#include "tape/ops_index.h"
#include "tape/ops_linalg.h"
#include "tape/ops_loss.h"
#include "tape/ops_nn.h"
#include "tape/ops_random.h"
#include "tape/ops_reduce.h"
#include "tape/ops_shape.h"
#include "tape/ops_spectral.h"

#endif
