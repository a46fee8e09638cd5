/* What gemm_pack.c and gemm_thin.c have for the matrix products of their instruction set, and of those that borrow it.
 */
#ifndef TAPE__KERNELS_GEMM_PACK_H
#define TAPE__KERNELS_GEMM_PACK_H

#include "gemm.h"
#include "isa.h"

/* A type's pack(), and its block where B's columns lie along k. */
void TAPE__BORROWED(tape__gemm_pack_f32)(char *out, int64_t width, int64_t k, const char *in, int64_t in_i,
                                         int64_t in_k);
void TAPE__BORROWED(tape__gemm_pack_f64)(char *out, int64_t width, int64_t k, const char *in, int64_t in_i,
                                         int64_t in_k);
void TAPE__BORROWED(tape__gemm_dots_f32)(const tape__gemm_block *g);
void TAPE__BORROWED(tape__gemm_dots_f64)(const tape__gemm_block *g);

/* A block of few rows or a k of 1 that lies plainly: how many of its columns are done, the first ones. */
enum { TAPE__GEMM_THIN_ROWS = 3 };
int64_t TAPE__BORROWED(tape__gemm_thin_f32)(const tape__gemm_block *g);
int64_t TAPE__BORROWED(tape__gemm_thin_f64)(const tape__gemm_block *g);

#endif
