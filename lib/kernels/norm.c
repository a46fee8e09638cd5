/* Knows layer_norm and rms_norm over contiguous rows, forward and backward; it does not know tensors. */
#include "norm.h"

#include "isa.h"
#include "reducer.h"

enum {
    ITEM = 1 << 14, /* elements of one parallel iteration */
    TILE = 8,       /* units of columns that are folded together */
    FEW_ROWS = 4    /* rows whose gradients are worked on together */
};

static int64_t rows_per_item(int64_t n)
{
    return n > 0 && n < ITEM ? ITEM / n : 1;
}

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
