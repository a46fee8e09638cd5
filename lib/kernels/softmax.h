/* Knows the interface of softmax and what is built on it; it does not know how they are computed.

   All of them work along the middle axis of contiguous [outer, n, inner] arrays, accept any finite input and give the
   same bits for every number of threads. An input of -inf has probability 0 and gradient 0; so has each of a row of
   only -inf (log-probability -inf). An input of inf or NaN makes its row NaN. */
#ifndef TAPE__SOFTMAX_H
#define TAPE__SOFTMAX_H

#include <stdbool.h>
#include <stdint.h>

#include "parallel.h"

typedef struct tape__softmax_shape {
    int64_t outer, n, inner;
} tape__softmax_shape;

/* y may be x. */
typedef void tape__softmax_fn(const struct tape__parallel *p, tape__softmax_shape s, const void *x, void *y);

/* gx = y (g - sum(g y)) for softmax and g - exp(y) sum(g) for log_softmax, 0 where the probability is 0. With
   `accumulate` it is added to gx. gx may be g. */
typedef void tape__softmax_vjp_fn(const struct tape__parallel *p, tape__softmax_shape s, const void *y, const void *g,
                                  bool accumulate, void *gx);

/* Indexed by TAPE_F32, TAPE_F64. */
struct tape__softmax_kernels {
    tape__softmax_fn *softmax[2], *log_softmax[2];
    tape__softmax_vjp_fn *softmax_vjp[2], *log_softmax_vjp[2];
};

#endif
