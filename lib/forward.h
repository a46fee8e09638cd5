/* Forward mode: what the pass over the records and the rule of one record share. */
#ifndef TAPE__FORWARD_H
#define TAPE__FORWARD_H

#include "sweep.h"

/* A tensor that a tangent enters at. One from before the running callback lends its node: what the outer sweep has
 * there is put back at the end. */
typedef struct tape__seed {
    uint32_t slot;
    uint8_t outer_flags;
    double outer_value;
} tape__seed;

/* During the pass a node's adj.recorded is the slot of its tangent, and TAPE__HAS_ADJOINT says that it has one. */
typedef struct tape__forward {
    tape *t;
    uint32_t floor; /* records below belong to the world outside the running callback */
    bool record;    /* create_graph */
    tape__seed *seeds;
    int m;
} tape__forward;

/* One record on the way: its inputs and outputs, their tangents (TAPE_NONE: zero), room for gradients. */
typedef struct tape__record {
    const tape__forward *f;
    const tape__node *node;
    uint32_t slot;
    const uint32_t *in, *saved;
    int n_in, n_out;
    const void *attr;
    size_t attr_size;
    tape_tensor *x, *tx, *gx; /* n_in */
    bool *needs;              /* which inputs have a tangent */
    tape_tensor y[8], ty[8];
} tape__record;

/* Fill ty from tx. False after an error. */
bool tape__record_tangents(tape__record *r);

#endif
