/* Knows the micro-kernels of the matrix product for the instruction set being compiled: tiles of C that live in
   registers. It does not know how a product is cut into blocks. */
#include <string.h>

#include "base.h"
#include "gemm_pack.h"
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
   FMA. tile_rows: the most rows by log2 of the vectors. Few processors that have SSE2 alone are left: for them, small
   code is worth a tenth of the speed. */
enum { MAX_ROWS = 8, MAX_VECS = 8 };
#define LOG2(vecs) __builtin_ctz((unsigned)(vecs))
#define TILES_4(X) X(4, 1) X(4, 2) X(4, 3)
#if defined(TAPE__ISA_SSE2)
#define TILES_1(X) X(1, 1) X(1, 2) X(1, 3) X(1, 4)
#define TILES_2(X) X(2, 1) X(2, 2) X(2, 3) X(2, 4)
static const int tile_rows[] = {4, FULL_ROWS, 3};
#else
#define TILES_1(X) X(1, 1) X(1, 2) X(1, 3) X(1, 4) X(1, 5) X(1, 6) X(1, 7) X(1, 8)
#define TILES_2(X) X(2, 1) X(2, 2) X(2, 3) X(2, 4) X(2, 5) X(2, 6)
static const int tile_rows[] = {8, FULL_ROWS, 3};
#endif

/* Products of few rows: those at once, and the sums of long rows that lie in cache. */
enum { OUTER_ROWS = 4, STREAM_ROWS = 3, STREAM_STEPS = 4, STREAM_BYTES = 2048, STREAM_FROM = 1024 };

/* The longest rows of B of a product that goes by fours: longer ones are read once for more rows. */
#if defined(TAPE__ISA_AVX2) || defined(TAPE__ISA_NEON)
enum { FOURS_BYTES = 256 };
#else
enum { FOURS_BYTES = 0 };
#endif

/* The vectors of the next tile where `left` columns are left, after one of `vecs` or at most so many. What is left for
   the last one is either more than a vector, so that its last vector can overlap the one before, or all of it is less.
 */
static int vectors_of(int64_t left, int64_t vecs, int lanes)
{
    while (vecs > 1 && ((vecs - 1) * lanes >= left || (left > vecs * lanes && left < (vecs + 1) * lanes)))
        vecs /= 2;
    return vecs == 1 && left > lanes && left < 2 * lanes ? 2 : (int)vecs;
}

/* Whether nothing is packed and A and B have one step each. */
TAPE__INLINE bool lies_plainly(const tape__gemm_block *g)
{
    return !g->a_packed && !g->b_packed && !g->a_steps && !g->b_steps && !g->b_apart && !g->c_apart;
}

#define T f32
#include "gemm_type.h"

#include "gemm_thin.h"
#undef T
#define T f64
#include "gemm_type.h"

#include "gemm_thin.h"
#undef T

const struct tape__gemm_kernels TAPE__ISA_SYM(tape__gemm) = {{
    {.rows = FULL_ROWS, .lanes = LANES_f32, .block = block_f32, .pack = TAPE__BORROWED(tape__gemm_pack_f32)},
    {.rows = FULL_ROWS, .lanes = LANES_f64, .block = block_f64, .pack = TAPE__BORROWED(tape__gemm_pack_f64)},
}};
