/* The matrix product as the driver sees it: what each instruction set offers for one block of the sum over k. Knows
   pointers, sizes and strides in bytes; how a product is cut into blocks is the driver's business. */
#ifndef TAPE__KERNELS_GEMM_H
#define TAPE__KERNELS_GEMM_H

#include <stdbool.h>
#include <stdint.h>

/*
 * C = add + A B for one block of k: c is m x n with unit column stride, add has c's shape (row stride 0: one row for
 * all; NULL: nothing is added) and may be c itself.
 * Each element is one chain in the order of k, started at zero, added to `add` at its end: x = 0; x = a*b + x (fused
 * where the class has FMA); c = add + x. Its bits depend on nothing else: not on m, n, packing, strides or lanes.
 */
typedef struct tape__gemm_block {
    int64_t m, n, k;
    int64_t width; /* tape__gemm_width() of the whole product: the most columns of a tile */
    const char *a; /* packed: slivers of tape__gemm_sliver() rows, each k x rows; a_row is then one element */
    int64_t a_row, a_k;
    const char *b;      /* packed: slivers of tape__gemm_columns(), each k x columns */
    int64_t b_k, b_col; /* unpacked, b_col is one element; or, with m up to TAPE__GEMM_DOT_ROWS, b_k is */
    char *c;
    int64_t c_row;
    const char *add;
    int64_t add_row;
    bool a_packed, b_packed;
    const int64_t *a_steps,
        *b_steps;             /* k distances in bytes from each k to the next, instead of a_k or b_k; NULL: none */
    int64_t b_apart, c_apart; /* n of two vectors: bytes from the first to the second in B, in C and add; 0: a vector */
} tape__gemm_block;

enum { TAPE__GEMM_DOT_ROWS = 2 };

/* The most k of a block. It decides bits, so it is the same for every dtype and processor. */
enum { TAPE__GEMM_K_MAX = 256 };

/* One dtype's functions. */
typedef struct tape__gemm_type {
    int rows;  /* of a full tile */
    int lanes; /* of a vector */
    void (*block)(const tape__gemm_block *g);
    /* out[p][i] = in[i][p] for width x k elements: a sliver of A (i: rows) or of B (i: columns). Strides in bytes. */
    void (*pack)(char *out, int64_t width, int64_t k, const char *in, int64_t in_i, int64_t in_k);
} tape__gemm_type;

/* One instruction set's table, by dtype: TAPE_F32, TAPE_F64. */
typedef struct tape__gemm_kernels {
    tape__gemm_type type[2];
} tape__gemm_kernels;

/* The height of the next sliver of A where `left` rows are left: at most `rows`, the last two even. */
static inline int64_t tape__gemm_sliver(int64_t left, int64_t rows)
{
    return left <= rows ? left : left < 2 * rows ? (left + 1) / 2 : rows;
}

/* The most columns of a sliver of B, and of a tile, for a product of m rows: few rows take wide tiles to hide the
   latency of FMA. */
static inline int64_t tape__gemm_width(const tape__gemm_type *type, int64_t m)
{
    return type->lanes * (m <= 3 ? 4 : 2);
}

/* The columns of the next sliver of B where `left` are left: not less than a vector at the end, if there are as many.
 */
static inline int64_t tape__gemm_columns(int64_t left, int64_t width, int64_t lanes)
{
    return left <= width ? left : left < width + lanes ? width - lanes : width;
}

#endif
