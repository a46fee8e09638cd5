/* Knows the interface of sorting lines and of searching in sorted ones. */
#ifndef TAPE__SORT_H
#define TAPE__SORT_H

#include "base.h"

/* Bytes of work memory that tape__sort_line() needs for n elements. */
size_t tape__sort_work(int64_t n);

/* Sort n elements of x, `stride` apart, stably; NaN counts as the largest. Writes values and places (0 ... n-1) with
 * the same stride. Any dtype. */
void tape__sort_line(tape_dtype dtype, bool descending, int64_t n, int64_t stride, const void *x, void *y,
                     int64_t *index, void *work);

/* Where `value` (one element) goes into a sorted line of n: before its equals, or after them if `right`. */
int64_t tape__search(tape_dtype dtype, bool right, int64_t n, const void *sorted, const void *value);

#endif
