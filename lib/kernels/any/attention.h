/* Knows the interface of attention: softmax(scale q k' + mask) v, and its derivative, some queries at a time. */
#ifndef TAPE__ATTENTION_H
#define TAPE__ATTENTION_H

#include <stddef.h>

#include "kernels/kernels.h"
#include "parallel.h"
#include "tape/types.h"

/* Matrices, one for each entry of the batch, wherever they lie: strides count elements, and the batch is that of
   `rank` leading axes. */
typedef struct tape__matrices {
    const void *data;
    const int64_t *stride; /* of the leading axes */
    int64_t row, column;
} tape__matrices;

/* q [batch, queries, depth], k [batch, keys, depth], v [batch, keys, width]; y, contiguous, like q but of v's width.
   The mask, if any, is added (f32, f64) or says by zeros what is left out (u8). Causal: query i sees keys 0 to i. A
   query that sees no key gives 0. */
typedef struct tape__attention {
    tape_dtype dtype;
    int64_t batch, queries, keys, depth, width;
    double scale;
    bool causal;
    tape__matrices q, k, v, mask; /* without a mask its data is NULL */
    tape_dtype mask_dtype;
    int rank;
    const int64_t *size; /* of the leading axes */
} tape__attention;

/* Bytes of 64-byte aligned memory that the functions want for the same problem and choice of threads. Never more than a
   block of queries by all keys, twice, for each task. */
size_t tape__attention_workspace(const struct tape__kernels *kernels, const tape__attention *a, bool backward,
                                 const struct tape__parallel *p);

/* The bits do not depend on threads. */
void tape__attention_run(const struct tape__kernels *kernels, const tape__attention *a, void *y, void *workspace,
                         const struct tape__parallel *p);

/* The cotangents of q, k and v from y's. */
void tape__attention_spread(const struct tape__kernels *kernels, const tape__attention *a, const tape__matrices *g,
                            void *gq, void *gk, void *gv, void *workspace, const struct tape__parallel *p);

#endif
