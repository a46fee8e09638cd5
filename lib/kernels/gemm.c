/* Knows the micro-kernels of the matrix product for the instruction set being compiled: tiles of C that live in
   registers. It does not know how a product is cut into blocks. */
#include "gemm.h"

#include <string.h>

#include "base.h"
#include "gemm_vec.h"

/* What is the same for all tiles of a panel. */
struct tile {
    const tape__gemm_block *g;
    int64_t a_k, b_k;
    const char *a_steps,
        *b_steps;           /* what A and B go on by after each k, and bytes from each step to the next: 0 where */
    int64_t a_next, b_next; /* all are one */
    int64_t b_last, c_last; /* bytes from a row's start to its last vector */
    int tail;               /* columns, where they fill no vector; else 0 */
};

typedef void tile_function(const struct tile *t, const char *a, const char *b, char *c, const char *add);

/* The shapes of tiles, vectors by rows: as many accumulators as registers allow, and enough (8) to hide the latency of
   FMA. tile_rows: the most rows by log2 of the vectors. */
enum { MAX_ROWS = 8, MAX_VECS = 8, LOG2_VECS = 4 };
#define LOG2(vecs) ((vecs) == 8 ? 3 : (vecs) / 2)
#define TILES_1(X) X(1, 1) X(1, 2) X(1, 3) X(1, 4) X(1, 5) X(1, 6) X(1, 7) X(1, 8)
#define TILES_2(X) X(2, 1) X(2, 2) X(2, 3) X(2, 4) X(2, 5) X(2, 6)
#define TILES_4(X) X(4, 1) X(4, 2) X(4, 3)
#define TILES_8(X) X(8, 1)
static const int tile_rows[LOG2_VECS] = {8, 6, 3, 1};

/* Products of few rows: columns of B that are transposed at once (as many sums as hide the latency of FMA), and the
   sums of long rows that lie in cache. */
enum {
    DOT_GROUPS = 8,
    DOT_ROWS = TAPE__GEMM_DOT_ROWS,
    STREAM_ROWS = 3,
    STREAM_STEPS = 4,
    STREAM_BYTES = 2048,
    STREAM_FROM = 1024
};

#define T f32
#include "gemm_type.h"

#include "gemm_thin.h"
#undef T
#define T f64
#include "gemm_type.h"

#include "gemm_thin.h"
#undef T

const struct tape__gemm_kernels TAPE__ISA_SYM(tape__gemm) = {{
    {.rows = 6, .lanes = LANES_f32, .block = block_f32, .pack = pack_sliver_f32},
    {.rows = 6, .lanes = LANES_f64, .block = block_f64, .pack = pack_sliver_f64},
}};
