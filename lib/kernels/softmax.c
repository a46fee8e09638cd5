/* Knows softmax and log_softmax, forward and backward, of a row or of neighbouring columns; it does not know how a
   tensor is cut into them (any/softmax_driver.c).

   A row is worked on in runs of units (reducer.h); columns a unit of them at a time, and so are short rows. */
#include "softmax.h"

#include "any/softmax_driver.h"
#include "isa.h"
#include "reducer.h"

enum { SHORT = TAPE__SOFTMAX_SHORT };

/* What is summed down columns: chosen for a unit at a time, which costs nothing beside it. */
enum summand { EXPONENTIALS, PRODUCTS, COTANGENTS };

#define T f32
#include "softmax_of.h"
#undef T
#define T f64
#include "softmax_of.h"
#undef T

const struct tape__softmax_kernels TAPE__ISA_SYM(tape__softmax) = {
    .softmax = {softmax_f32, softmax_f64},
    .log_softmax = {log_softmax_f32, log_softmax_f64},
    .softmax_vjp = {softmax_vjp_f32, softmax_vjp_f64},
    .log_softmax_vjp = {log_softmax_vjp_f32, log_softmax_vjp_f64},
};
