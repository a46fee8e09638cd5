/* Knows the interface of the normalisations over contiguous rows; it does not know how they are computed. */
#ifndef TAPE__NORM_H
#define TAPE__NORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "parallel.h"

/* `rows` rows of n elements. layer_norm: y = (x - mean) rstd w + b with rstd = 1 / sqrt(variance + eps), the variance
   divided by n. rms_norm: y = x rstd w with rstd = 1 / sqrt(mean of squares + eps); mean and b are NULL there. */
typedef struct tape__norm_args {
    int64_t rows, n;
    double eps;
    const void *x;
    const void *w, *b; /* n elements each; NULL for 1 and 0 */
    void *y;
    void *mean, *rstd; /* one a row; the derivative needs them */
} tape__norm_args;

/* Gradients; any of gx, gw, gb may be NULL. Where the matching flag is set they are added to what is there. w is NULL
   for 1. mean is NULL for rms_norm. gx may be g. work: tape__norm_work() bytes on a boundary of 64 for the sums of gw
   and gb, or NULL where neither is wanted. */
typedef struct tape__norm_vjp_args {
    int64_t rows, n;
    const void *x, *w, *mean, *rstd, *g;
    void *gx, *gw, *gb;
    bool add_gx, add_gw, add_gb;
    void *work;
} tape__norm_vjp_args;

/* Rows are summed in blocks of so many, whatever the number of threads. */
static inline int64_t tape__norm_block(int64_t rows)
{
    return rows < 1024 ? 16 : 64;
}

/* Each block has two rows of sums, filled up to whole units. */
static inline size_t tape__norm_work(int64_t rows, int64_t n, size_t item)
{
    const size_t row = ((size_t)n * item + 63) / 64 * 64, block = (size_t)tape__norm_block(rows);
    return ((size_t)rows + block - 1) / block * 2 * row;
}

typedef void tape__norm_fn(const struct tape__parallel *p, const tape__norm_args *args);
typedef void tape__norm_vjp_fn(const struct tape__parallel *p, const tape__norm_vjp_args *args);

/* Indexed by TAPE_F32, TAPE_F64. The same bits for every number of threads. */
struct tape__norm_kernels {
    tape__norm_fn *layer_norm[2], *rms_norm[2];
    tape__norm_vjp_fn *layer_norm_vjp[2], *rms_norm_vjp[2];
};

#endif
