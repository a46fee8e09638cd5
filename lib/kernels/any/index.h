/* Knows the interface of loops that read and write at given places: regions, rows, elements chosen along an axis. */
#ifndef TAPE__INDEX_H
#define TAPE__INDEX_H

#include "base.h"

struct tape__kernels;

/* Everything here runs serially and in row-major order, so that sums at one place have one value. Strides count
 * elements; indices are valid; "float" is f32 or f64. */

/* y += x over `size`. y's elements may coincide. */
void tape__add_strided(const struct tape__kernels *kernels, tape_dtype dtype, int rank, const int64_t *size, void *y,
                       const int64_t *y_stride, const void *x, const int64_t *x_stride);

/*
 * Elements along an axis. `index` is contiguous of shape `size`; each of its elements moves `step` elements of the
 * table per unit. `stride` is the table's, with 0 for the axis itself.
 *
 *   gather       y[k] = table at (k, index[k])        y contiguous
 *   scatter      table at (k, index[k]) += x[k]       x contiguous
 *   scatter_max  the larger one, NaN above all, instead of the sum
 */
typedef struct tape__along {
    int rank;
    const int64_t *size, *stride, *index;
    int64_t step;
} tape__along;
void tape__gather(const tape__along *along, size_t item_size, const void *table, void *y);
void tape__scatter(const tape__along *along, tape_dtype dtype, void *table, const void *x);
void tape__scatter_max(const tape__along *along, tape_dtype dtype, void *table, const void *x);

/* y = y * scale + index: one axis more in the row-major position of an element. y is contiguous. */
void tape__ravel(int rank, const int64_t *size, int64_t scale, const int64_t *index, const int64_t *stride, int64_t *y);

/*
 * Rows: the table is [outer, n, inner], y and x are [outer, count, inner], all contiguous. A row whose index is `skip`
 * is zeros, or adds nothing; INT64_MIN skips none.
 *
 *   take  y[o, k, :] = table[o, index[k], :]
 *   add   table[o, index[k], :] += x[o, k, :]
 */
typedef struct tape__rows {
    int64_t outer, n, inner, count, skip;
    const int64_t *index;
} tape__rows;
void tape__rows_take(const tape__rows *rows, size_t item_size, const void *table, void *y);
void tape__rows_add(const tape__rows *rows, tape_dtype dtype, void *table, const void *x);

#endif
