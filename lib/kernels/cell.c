/* Knows the elementwise part of the LSTM and the GRU cell, forward and backward; it does not know tensors. */
#include "cell.h"

#include "isa.h"
#include "unit.h"

enum { ITEM = 1 << 12 /* states of one parallel iteration */ };

static int64_t rows_per_item(int64_t n)
{
    return n > 0 && n < ITEM ? ITEM / n : 1;
}

#define T f32
#include "cell_of.h"
#undef T
#define T f64
#include "cell_of.h"
#undef T

const struct tape__cell_kernels TAPE__ISA_SYM(tape__cell) = {
    .lstm = {lstm_f32, lstm_f64},
    .gru = {gru_f32, gru_f64},
    .lstm_back = {lstm_back_f32, lstm_back_f64},
    .gru_back = {gru_back_f32, gru_back_f64},
};
