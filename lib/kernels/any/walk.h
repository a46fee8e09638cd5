/* Knows how to walk the index space of two strided arrays in parallel pieces; it does not know what is done with an
   element. */
#ifndef TAPE__WALK_H
#define TAPE__WALK_H

#include "base.h"
#include "parallel.h"

/* Room for eight axes and for two that were cut in pieces. */
enum { TAPE__WALK_RANK = TAPE_MAX_RANK + 2 };

/* Two arrays over one index space; strides count what the user likes, elements or bytes. */
typedef struct tape__walk {
    int rank;
    int64_t size[TAPE__WALK_RANK], x_stride[TAPE__WALK_RANK], y_stride[TAPE__WALK_RANK];
} tape__walk;

/* The same index space without axes of size 1, and with neighbours merged where both arrays allow it. y_stride NULL:
   contiguous. */
tape__walk tape__walk_make(int rank, const int64_t *size, const int64_t *x_stride, const int64_t *y_stride);

/* The number of elements. */
int64_t tape__walk_count(const tape__walk *w);

/* Take the axis out. */
void tape__walk_drop(tape__walk *w, int axis);

/* Append an axis of ceil(n / piece) pieces. */
void tape__walk_push_pieces(tape__walk *w, int64_t n, int64_t piece, int64_t x_stride, int64_t y_stride);

/* Visit every index: offsets into x and y, and the index of each axis. `grain` indices make one parallel iteration. */
typedef void tape__visit(void *arg, int64_t x, int64_t y, const int64_t *index);
void tape__walk_run(const struct tape__parallel *p, const tape__walk *w, int64_t grain, tape__visit *visit, void *arg);

#endif
