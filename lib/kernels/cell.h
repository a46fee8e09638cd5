/* Knows the interface of one step of a recurrent cell after its matrix products; it does not know how it is computed.

   Gates are [rows, 4 n]. For LSTM the four blocks of a row are i, f, g, o; for GRU they are q, r, z, m, where q is what
   the hidden state contributes to m before r weighs it. */
#ifndef TAPE__CELL_H
#define TAPE__CELL_H

#include <stdint.h>

#include "base.h"
#include "parallel.h"

/* LSTM: i, f, o = sigmoid, g = tanh; c = f before + i g; h = o tanh(c).
   GRU: r, z = sigmoid, m = tanh(m + r q); h = m + z (before - m); c is not used. */
typedef struct tape__cell_step {
    int64_t rows, n;
    void *gates;        /* in: sums; out: the values after the functions */
    const void *before; /* [rows, n]: the cell state of an LSTM, the hidden state of a GRU */
    void *c, *h;
} tape__cell_step;

/* The derivative, from the gates after the functions. Cotangents are sums of up to two arrays; NULL stands for zeros,
   gc is not used by a GRU. g_before has the part that does not go through the gates; it may be gc[1] of an LSTM, and
   gh[1] of a GRU. */
typedef struct tape__cell_back {
    int64_t rows, n;
    const void *gates, *before, *c;
    const void *gh[2], *gc[2];
    void *g_gates; /* of the sums */
    void *g_before;
} tape__cell_back;

/* The arrays of a row as a kernel takes them. */
enum {
    TAPE__CELL_GATES = 0, /* four */
    TAPE__CELL_BEFORE = 4,
    TAPE__CELL_C = 5,
    TAPE__CELL_HIDDEN = 6,
    TAPE__CELL_GH = 6, /* two, and so on: backward */
    TAPE__CELL_GC = 8,
    TAPE__CELL_G_GATES = 10,
    TAPE__CELL_G_BEFORE = 14,
    TAPE__CELL_ARRAYS = 15
};

/* n elements, whole units. */
typedef void tape__cell_fn(int64_t n, void *const *array);

/* Indexed by TAPE_F32, TAPE_F64. */
struct tape__cell_kernels {
    tape__cell_fn *lstm[2], *gru[2], *lstm_back[2], *gru_back[2];
};

/* All rows (any/cell_driver.c); the same bits for every number of threads. */
void tape__cell_forward(const struct tape__cell_kernels *k, bool lstm, tape_dtype dtype, const struct tape__parallel *p,
                        const tape__cell_step *s);
void tape__cell_backward(const struct tape__cell_kernels *k, bool lstm, tape_dtype dtype,
                         const struct tape__parallel *p, const tape__cell_back *s);

#endif
