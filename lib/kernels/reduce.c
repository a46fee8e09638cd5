/* Knows how runs and columns are reduced on one instruction set; it does not know how a tensor is cut into them
   (any/reduce_driver.c). */
#include "reduce.h"

#include "isa.h"
#include "reducer.h"

enum { FEW_ROWS = 8 /* that pass through a lane of a tile before it is stored */ };

#define T f32
#include "reducers_of.h"

#include "columns_of.h"
#include "reduce_of.h"
#undef T
#define T f64
#include "reducers_of.h"

#include "columns_of.h"
#include "reduce_of.h"
#undef T

const struct tape__reduce_kernels TAPE__ISA_SYM(tape__reduce) = {
    .reduce = {reduce_f32, reduce_f64},
    .arg = {arg_f32, arg_f64},
};
