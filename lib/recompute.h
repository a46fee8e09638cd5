/* What ops that run a user's function again share: what the function read, and a record made after the fact. */
#ifndef TAPE__RECOMPUTE_H
#define TAPE__RECOMPUTE_H

#include "ops/ops.h"

/* Tensors from before `floor`, and leaves; in an arena block that grows. The first `given` are arguments that the
 * function sees under other handles: read by its own, such a tensor is listed again. */
typedef struct tape__reads {
    tape_tensor *x;
    int n, capacity, given;
} tape__reads;

bool tape__reads_add(tape *t, tape__reads *reads, tape_tensor x);
void tape__reads_free(tape *t, tape__reads *reads);

/* Add what the nodes from `from` on read and did not make: nodes below `floor`, leaves. */
bool tape__reads_scan(tape *t, tape__reads *reads, uint32_t floor, uint32_t from);

/* An op of ours that records itself after the fact: without a forward, but with a way to run again. NULL: there is
 * none. The outputs go to tape__adopt_output(). */
typedef struct tape__own_op {
    tape_custom_op op;
    bool (*replay)(tape__call *call);
} tape__own_op;

/* Recorded derivatives of what ran again from `before` on: if it drew random numbers, a replay would draw others. */
static inline void tape__note_redrawn(tape *t, const tape_custom_vjp *v, tape_random_state before)
{
    if (v->create_graph && t->random.counter != before.counter)
        tape__note_unrepeatable(t, "used the random numbers of a checkpoint or rollout");
}

/* After tape_grad() by v->x: an input that is among the first `given` before has got the whole gradient there. */
void tape__count_once(tape_custom_vjp *v, int given);

/* Record `op` on reads->x as what made y[0..m-1]: tensors without history that own their blocks, which move to the
 * record's outputs. attr is copied. */
bool tape__record_after(tape *t, const tape__own_op *own, const tape__reads *reads, const void *attr, size_t attr_size,
                        tape_tensor *y, int m);

/* The binomial schedule: how far to go before the next state is stored, from a stored state with `length` steps ahead
 * and `states` in all, itself included, that may be stored. */
int64_t tape__rollout_stride(int64_t length, int states);

#endif
