/* The convolution that ops call, and its two transposes: dense arrays of images, up to three axes, groups, threads.
   Knows how to cut the sums into blocks for the matrix kernels; the arithmetic itself is theirs (kernels/gemm.h). */
#ifndef TAPE__CONV_DRIVER_H
#define TAPE__CONV_DRIVER_H

#include <stddef.h>

#include "kernels/gemm.h"
#include "parallel.h"
#include "tape/types.h"

enum { TAPE__CONV_AXES = 3 };

/*
 * y[n,g,o,q] = sum over i, t of w[g,o,i,t] x[n,g,i, q stride + t dilation - padding]: n images, g groups, i and o the
 * channels of a group, q and t positions of three axes (unused ones have size 1). What lies outside x is 0, so any
 * sizes are consistent.
 */
typedef struct tape__conv {
    tape_dtype dtype; /* TAPE_F32 or TAPE_F64 */
    int64_t batch, groups, in_channels, out_channels;
    int64_t in[TAPE__CONV_AXES], out[TAPE__CONV_AXES], kernel[TAPE__CONV_AXES];
    int64_t stride[TAPE__CONV_AXES], padding[TAPE__CONV_AXES], dilation[TAPE__CONV_AXES];
} tape__conv;

/* y from x and w; x's cotangent from y's and w; w's cotangent from y's and x. */
enum tape__conv_kind { TAPE__CONV_FORWARD, TAPE__CONV_INPUT, TAPE__CONV_WEIGHT };

/* Bytes of 64-byte aligned memory that tape__conv_run() wants for the same convolution and choice of threads. */
size_t tape__conv_workspace(const tape__gemm_kernels *kernels, const tape__conv *conv, enum tape__conv_kind kind,
                            const struct tape__parallel *p);

/* out = the sum over `image` (x of the forward sum and the weight's, y's cotangent of the input's) and `other` (w; y's
   cotangent for the weight's), plus bias, one element for each channel of y or of x's cotangent (NULL: none; not for
   the weight). The bits depend on the shapes and the FMA class, never on threads. Cannot fail. */
void tape__conv_run(const tape__gemm_kernels *kernels, const tape__conv *conv, enum tape__conv_kind kind,
                    const void *image, const void *other, const void *bias, void *out, void *workspace,
                    const struct tape__parallel *p);

#endif
