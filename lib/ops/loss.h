/* What the files of losses share: the reduction of elementwise losses, and a record. */
#ifndef TAPE__OPS_LOSS_H
#define TAPE__OPS_LOSS_H

#include "ops.h"

/* The mean or the sum of a loss's elements, or the elements themselves; null after an error. */
tape_tensor tape__loss_reduce(tape *t, tape_tensor y, tape_reduction reduction);

/* What the records of losses over classes keep. */
typedef struct tape__class_attr {
    int32_t reduction;
    int32_t unused; /* no padding byte is left unset */
    int64_t ignore;
    double smoothing;
} tape__class_attr;

#endif
