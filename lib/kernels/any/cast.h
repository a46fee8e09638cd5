/* Knows the interface of conversions between dtypes. */
#ifndef TAPE__CAST_H
#define TAPE__CAST_H

#include "base.h"
#include "parallel.h"

/* y (contiguous) = x (any strides, in elements), converted. A float becomes an integer by truncation towards zero; what
   does not fit becomes the nearest integer that does, NaN becomes 0. An integer becomes a narrower one modulo 2^bits, a
   float the nearest float. */
void tape__cast(const struct tape__parallel *p, int rank, const int64_t *size, tape_dtype from, const void *x,
                const int64_t *x_stride, tape_dtype to, void *y);

#endif
