/* Knows the interface of resampling: planes read at other places than their elements, by the nearest or linearly. */
#ifndef TAPE__RESAMPLE_H
#define TAPE__RESAMPLE_H

#include "base.h"
#include "parallel.h"
#include "tape/types.h"

enum tape__resample_mode { TAPE__RESAMPLE_NEAREST, TAPE__RESAMPLE_NEAREST_EXACT, TAPE__RESAMPLE_LINEAR };

/* Output i is read at about i * ratio; PyTorch 1.13's rules say where exactly. */
typedef struct tape__resample_axis {
    int64_t in, out;
    double scale; /* 1 / ratio; 0: as the sizes say */
} tape__resample_axis;

/* Contiguous planes of three axes, unused ones in front and of size 1. */
typedef struct tape__resample {
    tape_dtype dtype;
    enum tape__resample_mode mode;
    bool align_corners;
    int64_t planes;
    tape__resample_axis axis[3];
} tape__resample;

/* Bytes of memory, aligned for doubles, that the functions want; false if they overflow. */
bool tape__resample_workspace(const tape__resample *r, int64_t *bytes);

/* y from x, and x's cotangent gx from y's. The bits do not depend on threads. */
void tape__resample_run(const tape__resample *r, const void *x, void *y, void *workspace,
                        const struct tape__parallel *p);
void tape__resample_spread(const tape__resample *r, const void *g, void *gx, void *workspace,
                           const struct tape__parallel *p);

#endif
