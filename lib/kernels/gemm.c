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
   FMA. tile_rows: the most rows by log2 of the vectors. */
enum { MAX_ROWS = 8, MAX_VECS = 8 };
#if TAPE__COMPACT
#define TILES_1(X) X(1, 1) X(1, 2) X(1, 3) X(1, 4)
#define TILES_2(X) X(2, 1) X(2, 2) X(2, 3) X(2, 4)
#define TILES_4(X)
enum { TILE_VECS = 2 };
static const int tile_rows[] = {4, FULL_ROWS};
#else
#define TILES_1(X) X(1, 1) X(1, 2) X(1, 3) X(1, 4) X(1, 5) X(1, 6) X(1, 7) X(1, 8)
#define TILES_2(X) X(2, 1) X(2, 2) X(2, 3) X(2, 4) X(2, 5) X(2, 6)
#define TILES_4(X) X(4, 1) X(4, 2) X(4, 3)
enum { TILE_VECS = 4 };
static const int tile_rows[] = {8, FULL_ROWS, 3};
#endif

/* The longest rows of B of a product that goes by fours: longer ones are read once for more rows. */
#if defined(TAPE__ISA_AVX2) || defined(TAPE__ISA_NEON)
enum { FOURS_BYTES = 256 };
#else
enum { FOURS_BYTES = 0 };
#endif

/* Whether nothing is packed and A and B have one step each. */
TAPE__INLINE bool lies_plainly(const tape__gemm_block *g)
{
    return !g->a_packed && !g->b_packed && !g->a_steps && !g->b_steps && !g->b_apart && !g->c_apart;
}

/* A B that is read once, or lies along k. */
#if TAPE__COMPACT
#define THIN(g) 0
#define DOTS(g) FOR(turned)(g)
#else
#define THIN(g) TAPE__BORROWED(FOR(tape__gemm_thin))(g)
#define DOTS(g) TAPE__BORROWED(FOR(tape__gemm_dots))(g)
#endif

#define T f32
#include "gemm_type.h"

#include "gemm_block_of.h"
#undef T
#define T f64
#include "gemm_type.h"

#include "gemm_block_of.h"
#undef T

const struct tape__gemm_kernels TAPE__ISA_SYM(tape__gemm) = {{
    {.rows = FULL_ROWS, .lanes = LANES_f32, .block = block_f32, .pack = TAPE__BORROWED(tape__gemm_pack_f32)},
    {.rows = FULL_ROWS, .lanes = LANES_f64, .block = block_f64, .pack = TAPE__BORROWED(tape__gemm_pack_f64)},
}};
