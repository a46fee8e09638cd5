/* Knows the interface of copies between layouts. */
#ifndef TAPE__COPY_H
#define TAPE__COPY_H

#include "base.h"
#include "parallel.h"

/* y = x, element by element; strides in elements, item_size 1, 4 or 8 bytes. y_stride NULL: contiguous. The arrays do
   not overlap; a y_stride of 0 makes sense only for a size of 1. */
void tape__copy(const struct tape__parallel *p, size_t item_size, int rank, const int64_t *size, const void *x,
                const int64_t *x_stride, void *y, const int64_t *y_stride);

/* The same for y[i * y_stride + j] = x[j * x_stride + i], i < m, j < n: reads and writes whole lines of the cache where
   it can, whatever the strides. */
void tape__copy_turned(size_t item_size, int64_t m, int64_t n, void *y, int64_t y_stride, const void *x,
                       int64_t x_stride);

#endif
