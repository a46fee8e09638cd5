/* Knows the interface of looking for NaN and infinities, and of single elements as numbers. */
#ifndef TAPE__FINITE_H
#define TAPE__FINITE_H

#include "base.h"

/* The element at row-major position `at` of x, of any dtype and strides (in elements). */
double tape__element(tape_dtype dtype, int rank, const int64_t *size, const int64_t *stride, const void *x, int64_t at);

/* The row-major position of the first element from `from` on that is NaN or infinite; -1: all are finite, as whole
   numbers always are. `numel` is the product of the sizes. */
int64_t tape__find_nonfinite(tape_dtype dtype, int rank, const int64_t *size, const int64_t *stride, int64_t numel,
                             const void *x, int64_t from);

#endif
