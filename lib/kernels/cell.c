/* Knows the elementwise part of the LSTM and the GRU cell, forward and backward, on whole vectors; it does not know
   tensors. */
#include "cell.h"

#include "isa.h"
#include "kernels.h"
#include "vec.h"

extern const struct tape__ewise_kernels TAPE__ISA_SYM(tape__ewise);

#define T f32
#include "cell_of.h"
#undef T
#define T f64
#include "cell_of.h"
#undef T

extern const struct tape__cell_kernels TAPE__ISA_SYM(tape__cell);

const struct tape__cell_kernels TAPE__ISA_SYM(tape__cell) = {
    .lstm = {lstm_f32, lstm_f64},
    .gru = {gru_f32, gru_f64},
    .lstm_back = {lstm_back_f32, lstm_back_f64},
    .gru_back = {gru_back_f32, gru_back_f64},
};
