/* Knows the interface of running sums, products, recurrences and maxima. */
#ifndef TAPE__SCAN_H
#define TAPE__SCAN_H

#include "base.h"

typedef enum tape__scan_kind {
    TAPE__SCAN_SUM,    /* y[i] = y[i-1] + x[i] */
    TAPE__SCAN_PROD,   /* y[i] = y[i-1] * x[i] */
    TAPE__SCAN_LINEAR, /* y[i] = a[i] * y[i-1] + x[i] */
} tape__scan_kind;

/* Along the middle axis of contiguous [outer, n, inner] arrays, from the far end if `reverse`; y[-1] contributes
 * nothing, whatever a[0] is. f32 is accumulated in double. */
typedef struct tape__scan {
    tape__scan_kind kind;
    bool reverse;
    int64_t outer, n, inner;
    const void *a, *x;
    void *y;
} tape__scan;
void tape__scan_run(const tape__scan *scan, tape_dtype dtype);

/* The largest so far and where it is; of equal ones the last, NaN above all. kind, reverse and a are not used. */
void tape__scan_max(const tape__scan *scan, tape_dtype dtype, int64_t *index);

#endif
