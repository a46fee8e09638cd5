/*
 * Ops that repeat those of an earlier tape: a loop that records the same step again and again makes the same records,
 * and finding out what is to be done costs more than small kernels do. Where a sweep was repeated, the next tape is
 * expected to be the one that came after it before. As long as it is, an op on the same operands makes its records from
 * what is kept of them and does the same tasks. Does not know what an op computes.
 */
#ifndef TAPE__RECALL_H
#define TAPE__RECALL_H

#include "tape.h"

/* A tape begins anew, at its first node or at a mark. */
void tape__recall_begin(tape *t);

/* The sweep of the tape that was expected, or of another one that is kept, has been repeated. */
void tape__recall_met(tape *t, struct tape__memo *m);

/* The tape becomes another one, or a node that was compared is changed. */
void tape__recall_stop(tape *t);
TAPE__INLINE void tape__expect_nothing(tape *t)
{
    if (TAPE__UNLIKELY(t->expected != NULL))
        tape__recall_stop(t);
}

/* The op as the expected tape has it at this place: true where it was done so, with a result, or after an error with
 * null. */
bool tape__recall_op(tape *t, int op, const tape_tensor *x, int n, const void *attr, size_t attr_size, tape_tensor *y);
TAPE__INLINE bool tape__recall(tape *t, int op, const tape_tensor *x, int n, const void *attr, size_t attr_size,
                               tape_tensor *y)
{
    return TAPE__UNLIKELY(t && t->expected) && tape__recall_op(t, op, x, n, attr, attr_size, y);
}

/* It was not: it has been done in its own way, and perhaps it is kept for the next time. */
void tape__recall_keep(tape *t, tape_tensor y);
TAPE__INLINE tape_tensor tape__recall_made(tape *t, tape_tensor y)
{
    if (TAPE__UNLIKELY(t && t->expected))
        tape__recall_keep(t, y);
    return y;
}

/* All that this op does to memory, but for its records, was done by tasks. */
void tape__recall_note_whole(tape *t);
TAPE__INLINE void tape__recall_is_whole(tape *t)
{
    if (TAPE__UNLIKELY(t->expected != NULL))
        tape__recall_note_whole(t);
}

#endif
