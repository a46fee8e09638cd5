/* Knows matrix products of few rows or of one term on the instruction set being compiled, whose B is read once; it does
   not know tiles. */
#include <string.h>

#include "base.h"
#include "gemm_pack.h"
#include "gemm_vec.h"

#if !TAPE__COMPACT
/* Vectors of a row at most. */
enum { MAX_VECS = 8 };

/* Products of few rows: those at once, and the sums of long rows that lie in cache. */
enum { OUTER_ROWS = 4, STREAM_ROWS = TAPE__GEMM_THIN_ROWS, STREAM_STEPS = 4, STREAM_BYTES = 2048, STREAM_FROM = 1024 };

#define T f32
#include "gemm_thin_of.h"
#undef T
#define T f64
#include "gemm_thin_of.h"
#undef T
#endif
