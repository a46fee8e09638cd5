/* Knows the interface of elementwise loops over whole tensors. */
#ifndef TAPE__EWISE_DRIVER_H
#define TAPE__EWISE_DRIVER_H

#include "../kernels.h"
#include "base.h"
#include "parallel.h"

/* All loops run over `size`, in row-major order; results are contiguous in that order. x and x_stride have one entry an
   input; strides are in elements and may be 0 (broadcast) or negative; an input that is not read may be NULL. dtype is
   TAPE_F32 or TAPE_F64 for values, inputs and adjoints, except that where's condition, its input 0, is u8. A result may
   be one of the inputs if that one is contiguous; else they do not overlap. The bits do not depend on the layout or on
   the threads. p NULL: serial. */

/* y = value of the row. */
void tape__ewise_value(const struct tape__kernels *kernels, const struct tape__parallel *p, int ew, int dtype, int rank,
                       const int64_t *size, void *y, const void *const *x, const int64_t *const *x_stride,
                       const double *params);

/* gx = (accumulate: gx +=) the row's derivative for input i times the adjoint g, 0 where g is 0. y, the row's result,
   is contiguous. */
void tape__ewise_derivative(const struct tape__kernels *kernels, const struct tape__parallel *p, int ew, int i,
                            int dtype, int rank, const int64_t *size, void *gx, bool accumulate, const void *g,
                            const int64_t *g_stride, const void *const *x, const int64_t *const *x_stride,
                            const void *y, const double *params);

/*
 * The same for n elements that are contiguous in every operand, or one and the same: bit k of `still` says so of input
 * k, TAPE__STILL_ADJOINT of the adjoint. Not for `where`.
 */
#define TAPE__STILL_ADJOINT (1u << (TAPE__EWISE_INPUTS + 1))
void tape__ewise_flat_value_of_any(const struct tape__kernels *kernels, const struct tape__parallel *p, int ew,
                                   int dtype, int64_t n, unsigned still, void *y, const void *const *x,
                                   const double *params);
void tape__ewise_flat_derivative_of_any(const struct tape__kernels *kernels, const struct tape__parallel *p, int ew,
                                        int i, int dtype, int64_t n, unsigned still, void *gx, bool accumulate,
                                        const void *g, const void *const *x, const void *y, const double *params);

/* Elements below which threads cost more than they bring, for operands lie in the caller's cache: p may be NULL. */
enum { TAPE__EWISE_SERIAL = 131072 };

enum { TAPE__EWISE_SHORT = 1024 }; /* bytes of an operand of a loop that is made in one go */

_Static_assert(TAPE_F32 == 0 && TAPE_F64 == 1, "a dtype is a shift");
TAPE__INLINE size_t tape__ewise_bytes(int dtype, int64_t n)
{
    return (size_t)n * sizeof(float) << dtype;
}

/* Few whole units need no more than the kernel. */
TAPE__INLINE bool tape__ewise_is_short(size_t bytes)
{
    return bytes <= TAPE__EWISE_SHORT && bytes % TAPE__UNIT_BYTES == 0;
}

TAPE__INLINE void tape__ewise_flat_value(const struct tape__kernels *kernels, const struct tape__parallel *p, int ew,
                                         int dtype, int64_t n, unsigned still, void *y, const void *const *x,
                                         const double *params)
{
    tape__ewise_value_fn *kernel = kernels->ewise->value[ew][dtype];
    if (TAPE__LIKELY(kernel && !still && tape__ewise_is_short(tape__ewise_bytes(dtype, n))))
        kernel((size_t)n, y, x, params);
    else
        tape__ewise_flat_value_of_any(kernels, p, ew, dtype, n, still, y, x, params);
}

TAPE__INLINE void tape__ewise_flat_derivative(const struct tape__kernels *kernels, const struct tape__parallel *p,
                                              int ew, int i, int dtype, int64_t n, unsigned still, void *gx,
                                              bool accumulate, const void *g, const void *const *x, const void *y,
                                              const double *params)
{
    tape__ewise_derivative_fn *kernel = tape__ewise_derivative_kernel(kernels->ewise, ew, i, dtype);
    if (TAPE__LIKELY(kernel && !still && !accumulate && tape__ewise_is_short(tape__ewise_bytes(dtype, n))))
        kernel((size_t)n, gx, g, x, y, params);
    else
        tape__ewise_flat_derivative_of_any(kernels, p, ew, i, dtype, n, still, gx, accumulate, g, x, y, params);
}

/* mask = 0 or 1 by the row. The inputs are of dtype, which may be any. */
void tape__ewise_mask(const struct tape__kernels *kernels, const struct tape__parallel *p, int ewm, int dtype, int rank,
                      const int64_t *size, unsigned char *mask, const void *const *x, const int64_t *const *x_stride);

#endif
