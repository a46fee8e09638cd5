/* Knows the interface of pooling: windows on the planes of images, their largest elements and their means. */
#ifndef TAPE__POOL_H
#define TAPE__POOL_H

#include "base.h"
#include "parallel.h"

/* One axis: output i sees the inputs i stride - padding + t dilation, 0 <= t < kernel, that exist; or, where kernel is
   0, an even share of them, floor(i in / out) up to ceil((i + 1) in / out). */
typedef struct tape__pool_axis {
    int64_t in, out, kernel, stride, padding, dilation;
} tape__pool_axis;

typedef struct tape__pooling {
    tape_dtype dtype;
    int64_t planes;
    tape__pool_axis axis[2];
    bool exclude_padding; /* a mean's divisor counts inputs alone, not the zeros around them */
    int64_t divisor;      /* of a mean; 0: what the window holds */
} tape__pooling;

/* y: the largest, index: its place in the plane, the first of equal ones; a NaN is the largest. A window that sees no
   input gives -inf and some place. */
void tape__pool_max(const struct tape__parallel *p, const tape__pooling *pool, const void *x, void *y, int64_t *index);

/* gx: the cotangents of maxima at their places, which are right, and zeros elsewhere. */
void tape__pool_max_spread(const struct tape__parallel *p, const tape__pooling *pool, const void *g,
                           const int64_t *index, void *gx);

/* y: the means; gx: the transposed sum of a cotangent. */
void tape__pool_mean(const struct tape__parallel *p, const tape__pooling *pool, const void *x, void *y);
void tape__pool_mean_spread(const struct tape__parallel *p, const tape__pooling *pool, const void *g, void *gx);

#endif
