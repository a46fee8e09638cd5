/* The derivatives of softmax as ops. */
#ifndef TAPE__OPS_SOFTMAX_H
#define TAPE__OPS_SOFTMAX_H

#include "ops.h"

/* y (g - sum(g y)) along `axis`: what the derivative of softmax makes of g, given y = softmax(x). */
tape_tensor tape__softmax_backward(tape_tensor g, tape_tensor y, int axis);

/* g - exp(y) sum(g) along `axis`, given y = log_softmax(x). */
tape_tensor tape__log_softmax_backward(tape_tensor g, tape_tensor y, int axis);

#endif
