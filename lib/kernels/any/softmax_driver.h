/* Knows what the driver of softmax and what is built on it asks of an instruction set; it does not know how that is
   computed. */
#ifndef TAPE__SOFTMAX_DRIVER_H
#define TAPE__SOFTMAX_DRIVER_H

#include "giving.h"
#include "kernels/softmax.h"

/* Elements of a row that would leave most lanes of a unit idle. */
enum { TAPE__SOFTMAX_SHORT = 32 };

/* What is worked on together: `count` units, `step` elements apart, of which lanes from `width` on are left out, in the
   last one from `last` on. A row of n elements, or n rows of neighbouring columns. */
typedef struct tape__softmax_slice {
    int64_t n, count, step, width, last, next; /* to the next row, or 0 */
    const void *x, *g;                         /* x is y for the derivatives */
    void *y;
    enum giving giving;
    bool columns;
} tape__softmax_slice;

typedef void tape__softmax_slice_fn(const tape__softmax_slice *s);

/* All slices, of elements of so many bytes; g is NULL unless it is a derivative, which is given to y. */
void tape__softmax_by(tape__softmax_slice_fn *fn, size_t item, const struct tape__parallel *p,
                      tape__softmax_shape shape, const void *x, const void *g, bool accumulate, void *y);

#endif
