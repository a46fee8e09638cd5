/* Knows how operands of the matrix product are brought in order for the instruction set being compiled: packed, or,
   where B's columns lie along k and A has few rows, turned in registers and multiplied at once. */
#include "gemm_pack.h"

#include <string.h>

#include "base.h"
#include "gemm_vec.h"

/* Columns of B that are turned at once: as many sums as hide the latency of FMA. */
enum { DOT_GROUPS = 8, DOT_ROWS = TAPE__GEMM_DOT_ROWS, DOT_FEW = 2 };

#define T f32
#include "gemm_pack_of.h"
#undef T
#define T f64
#include "gemm_pack_of.h"
#undef T
