/* Knows what the driver of normalisations asks of an instruction set; it does not know how that is computed. */
#ifndef TAPE__NORM_DRIVER_H
#define TAPE__NORM_DRIVER_H

#include "giving.h"
#include "kernels/norm.h"

/* Rows whose gradients are worked on together, at most. */
enum { TAPE__NORM_FEW_ROWS = 4 };

/* For one dtype, whose elements have `item` bytes. */
struct tape__norm_kernel {
    size_t item;
    void (*row)(const tape__norm_args *args, bool centred, int64_t row, enum giving giving);
    void (*row_back)(const tape__norm_vjp_args *v, int64_t row, enum giving giving);
    /* A few rows, so that the sums are read and written once for all of them: g h is added to the first row of sums, g
       to the second; rows of sums are filled up to whole units. */
    void (*rows_back)(const tape__norm_vjp_args *v, int64_t row, int rows, void *sums, enum giving giving);
    /* y of columns [first, end), at most TAPE__NORM_TILE units, from rows of sums that are `stride` elements apart. */
    void (*fold)(const void *sums, int64_t rows, int64_t stride, int64_t n, int64_t first, int64_t end, void *y,
                 enum giving giving);
};

/* Units of columns that are folded together. */
enum { TAPE__NORM_TILE = 8 };

/* tape__norm_fn and tape__norm_vjp_fn of one kernel. */
void tape__norm_by(const struct tape__norm_kernel *k, const struct tape__parallel *p, const tape__norm_args *args,
                   bool centred);
void tape__norm_back_by(const struct tape__norm_kernel *k, const struct tape__parallel *p,
                        const tape__norm_vjp_args *v);

#endif
