/* The micro-kernels of the matrix product for the instruction set being compiled. Knows tiles that live in registers;
   how a product is cut into blocks it does not know. */
#include "kernels/gemm.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "kernels/gemm_vec.h"

#if defined __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

enum { MAX_ROWS = 8, MAX_VECS = 8, LOG2_VECS = 4 };
#define LOG2(vecs) ((vecs) == 8 ? 3 : (vecs) / 2)

/* The shapes of tiles: as many accumulators as registers allow, and enough (8) to hide the latency of FMA. */
#define TILES                                                                                                          \
    TILE(1, 1)                                                                                                         \
    TILE(1, 2)                                                                                                         \
    TILE(1, 3) TILE(1, 4) TILE(1, 5) TILE(1, 6) TILE(1, 7) TILE(1, 8) TILE(2, 1) TILE(2, 2) TILE(2, 3) TILE(2, 4)      \
        TILE(2, 5) TILE(2, 6) TILE(4, 1) TILE(4, 2) TILE(4, 3) TILE(8, 1)
static const int tile_rows[LOG2_VECS] = {8, 6, 3, 1};

/* What is the same for all tiles of a panel. */
struct tile {
    int64_t k, a_row, a_k, b_k, c_row, add_row;
    int tail;
};

typedef void tile_function(const struct tile *t, const char *a, const char *b, char *c, const char *add);

#define SCALAR float
#define N(name) f32_##name
#include "kernels/gemm_type.h"
#undef SCALAR
#undef N

#define SCALAR double
#define N(name) f64_##name
#include "kernels/gemm_type.h"
#undef SCALAR
#undef N

const tape__gemm_kernels ISA_NAME(tape__gemm) = {{
    {.rows = 6, .width = 2 * f32_lanes, .block = f32_block, .pack = f32_pack_sliver},
    {.rows = 6, .width = 2 * f64_lanes, .block = f64_block, .pack = f64_pack_sliver},
}};
