/* Knows the tables of kernels that each instruction set brings; it does not know how a kernel works or who calls it. */
#ifndef TAPE__KERNELS_H
#define TAPE__KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The rows of elementwise.def, in its order: TAPE__EW_tanh. */
enum tape__ew {
#define EW1(name, value, d0) TAPE__EW_##name,
#define EW2(name, value, d0, d1) TAPE__EW_##name,
#define EW3(name, value, d0, d1, d2) TAPE__EW_##name,
#define EWM1(name, mask)
#define EWM2(name, mask)
#include "elementwise.def"
#undef EW1
#undef EW2
#undef EW3
#undef EWM1
#undef EWM2
    TAPE__EW_COUNT
};

/* The rows that give a mask of u8, 0 or 1: TAPE__EWM_lt. */
enum tape__ewm {
#define EW1(name, value, d0)
#define EW2(name, value, d0, d1)
#define EW3(name, value, d0, d1, d2)
#define EWM1(name, mask) TAPE__EWM_##name,
#define EWM2(name, mask) TAPE__EWM_##name,
#include "elementwise.def"
#undef EW1
#undef EW2
#undef EW3
#undef EWM1
#undef EWM2
    TAPE__EWM_COUNT
};

/* The derivatives that have kernels of their own: TAPE__EWD_tanh_0. */
enum tape__ewd {
    TAPE__EWD_NONE,
#define EW1(name, value, d0) TAPE__EWD_##name##_0,
#define EW2(name, value, d0, d1) TAPE__EWD_##name##_0, TAPE__EWD_##name##_1,
#define EW3(name, value, d0, d1, d2) TAPE__EWD_##name##_0, TAPE__EWD_##name##_1, TAPE__EWD_##name##_2,
#define ET1(name, value, d0)
#define ET2(name, value, d0, d1)
#define ET3(name, value, d0, d1, d2)
#define EC1 ET1
#define EC2 ET2
#define EC3 ET3
#define EWM1(name, mask)
#define EWM2(name, mask)
#include "elementwise.def"
#undef EW1
#undef EW2
#undef EW3
#undef ET1
#undef ET2
#undef ET3
#undef EC1
#undef EC2
#undef EC3
#undef EWM1
#undef EWM2
    TAPE__EWD_COUNT
};

/* A kernel works on whole vectors: every array it is given holds `n` elements rounded up to the unit, all of them
   initialised, and it writes so many. The unit is the same on every instruction set, so that results do not depend on
   it. Pointers need the alignment of one element. */
enum { TAPE__UNIT_BYTES = 64, TAPE__EWISE_INPUTS = 3 };

/* A result of so many bytes is too large to be found in a cache again. */
enum { TAPE__PAST_CACHE_BYTES = 8 << 20 };

/* y[i] = value of the row. x has one entry an input; p the row's parameters, and may be NULL where it has none.
   y may be one of the inputs, exactly. */
typedef void tape__ewise_value_fn(size_t n, void *y, const void *const *x, const double *p);

/* gx[i] = local derivative times g[i], a strong zero where g[i] is 0. Arrays that the derivative does not read
   (tape__ewise_uses) may be NULL. gx may be any of the other arrays, exactly. */
typedef void tape__ewise_derivative_fn(size_t n, void *gx, const void *g, const void *const *x, const void *y,
                                       const double *p);

/* mask[i] = 0 or 1, one byte an element, by row `ewm` on elements of the dtype. */
typedef void tape__ewise_mask_fn(int ewm, int dtype, size_t n, unsigned char *mask, const void *const *x);

/* Copies whole units to a large result: its memory need not be read before it is written. `to` lies on a boundary of a
   unit. No bytes: what was copied so becomes visible. */
typedef void tape__past_cache_fn(void *to, const void *from, size_t bytes);

/* Indexed by row and dtype (TAPE_F32, TAPE_F64). NULL where the row is composed: call them by any/ewise_compose.h. */
struct tape__ewise_kernels {
    tape__ewise_value_fn *value[TAPE__EW_COUNT][2];
    tape__ewise_derivative_fn *derivative[TAPE__EWD_COUNT][2];
    tape__ewise_mask_fn *mask;
};

/* Which kernel a row's derivative for an input has, or TAPE__EWD_NONE. */
extern const uint8_t tape__ewise_derivatives[TAPE__EW_COUNT][TAPE__EWISE_INPUTS];

static inline tape__ewise_derivative_fn *tape__ewise_derivative_kernel(const struct tape__ewise_kernels *k, int ew,
                                                                       int i, int dtype)
{
    return k->derivative[tape__ewise_derivatives[ew][i]][dtype];
}

/* Everything that is compiled once per instruction set; table.c assembles it. */
struct tape__kernels {
    const char *isa;
    bool fma; /* the class of machines whose results are bit-identical: with fused multiply-add, or without */
    const struct tape__ewise_kernels *ewise;
    const struct tape__gemm_kernels *gemm;       /* kernels/gemm.h */
    const struct tape__reduce_kernels *reduce;   /* kernels/reduce.h */
    const struct tape__softmax_kernels *softmax; /* kernels/softmax.h */
    const struct tape__norm_kernels *norm;       /* kernels/norm.h */
    tape__past_cache_fn *past_cache;             /* NULL where plain stores are as good */
    const struct tape__cell_kernels *cell;       /* kernels/cell.h */
};

extern const struct tape__kernels tape__kernels_generic, tape__kernels_sse2, tape__kernels_avx2, tape__kernels_avx512,
    tape__kernels_neon;

/* What a row's value (i < 0) or its derivative for input i reads. */
enum {
    TAPE__USES_X0 = 1,
    TAPE__USES_X1 = 2,
    TAPE__USES_X2 = 4,
    TAPE__USES_Y = 8,
    TAPE__USES_P0 = 16,
    TAPE__USES_P1 = 32,
    TAPE__USES_P2 = 64,
    TAPE__USES_ONE = 128,   /* the derivative is 1: the adjoint passes through */
    TAPE__USES_ZERO = 256,  /* the derivative is 0 everywhere */
    TAPE__USES_NOGRAD = 512 /* there is none: the input is a condition */
};
extern const uint16_t tape__ewise_reads[TAPE__EW_COUNT][1 + TAPE__EWISE_INPUTS];
static inline unsigned tape__ewise_uses(int ew, int i)
{
    return tape__ewise_reads[ew][i < 0 ? 0 : i + 1];
}

/* How many inputs the row has: 1, 2 or 3. */
extern const unsigned char tape__ewise_input_counts[TAPE__EW_COUNT];
static inline int tape__ewise_inputs(int ew)
{
    return tape__ewise_input_counts[ew];
}
int tape__ewise_mask_inputs(int ewm);

/* The masks of TAPE_I32, TAPE_I64 and TAPE_U8, the same for every instruction set. */
tape__ewise_mask_fn tape__ewise_mask_int;

#endif
