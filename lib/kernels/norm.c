/* Knows layer_norm and rms_norm of a contiguous row, forward and backward; it does not know how rows are shared out
   (any/norm_driver.c). */
#include "norm.h"

#include "any/norm_driver.h"
#include "isa.h"
#include "reducer.h"

#define T f32
#include "norm_of.h"
#undef T
#define T f64
#include "norm_of.h"
#undef T

const struct tape__norm_kernels TAPE__ISA_SYM(tape__norm) = {
    .layer_norm = {layer_norm_f32, layer_norm_f64},
    .rms_norm = {rms_norm_f32, rms_norm_f64},
    .layer_norm_vjp = {norm_vjp_f32, norm_vjp_f64},
    .rms_norm_vjp = {norm_vjp_f32, norm_vjp_f64},
};
