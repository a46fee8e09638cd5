/* Knows the interface of recurrent layers: LSTM and GRU over a sequence of steps, and back. */
#ifndef TAPE__RECURRENT_H
#define TAPE__RECURRENT_H

#include <stddef.h>

#include "kernels/any/gemm_driver.h"
#include "kernels/kernels.h"
#include "parallel.h"
#include "tape/types.h"

/* A matrix or vector of any strides, in elements. */
typedef struct tape__recurrent_weight {
    const void *data; /* NULL: a bias that there is not */
    int64_t row, col;
} tape__recurrent_weight;

/* Contiguous x [steps, batch, in] and the state before: h and, for LSTM, c, [batch, hidden]. Weights have PyTorch's
 * rows, hidden for each gate: i, f, g, o or r, z, m. The gates that the way back needs are [steps, batch, 4 hidden], in
 * the order of kernels/cell.h; y and, for LSTM, cells are [steps, batch, hidden]. */
typedef struct tape__recurrent {
    tape_dtype dtype;
    bool lstm;
    int64_t steps, batch, in, hidden;
    const void *x, *h, *c;
    tape__recurrent_weight w_in, w_hidden, b_in, b_hidden;
    void *gates, *y, *cells;
} tape__recurrent;

/* Bytes of 64-byte aligned memory that both functions want for the same problem and choice of threads. */
size_t tape__recurrent_workspace(const struct tape__kernels *kernels, const tape__recurrent *r,
                                 const struct tape__parallel *p);

/* Fills gates, y and cells. The bits do not depend on threads. */
void tape__recurrent_run(const struct tape__kernels *kernels, const tape__recurrent *r, void *workspace,
                         const struct tape__parallel *p);

/* Cotangents: gy and gc of y and cells, NULL for zeros; g_gates of the sums in the gates, gh and gc0 of the state
 * before. Of r, neither x, w_in nor the biases are read. */
typedef struct tape__recurrent_back {
    const void *gy, *gc;
    void *g_gates, *gh, *gc0;
} tape__recurrent_back;
void tape__recurrent_return(const struct tape__kernels *kernels, const tape__recurrent *r,
                            const tape__recurrent_back *back, void *workspace, const struct tape__parallel *p);

#endif
