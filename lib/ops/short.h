/* The short way of an op of one or two tensors, without attributes: what a result and its record need at least. Knows
 * nodes, not ops; whoever takes it has seen that no detour is asked for. */
#ifndef TAPE__SHORT_H
#define TAPE__SHORT_H

#include "tape.h"

/* The next node, of a's layout and dtype, its data the caller's to set; NULL where room must be made first. */
TAPE__INLINE tape__node *tape__short_node(tape *t, const tape__node *a, uint32_t *slot)
{
    if (TAPE__UNLIKELY(t->count == t->capacity))
        return NULL;
    *slot = t->count;
    tape__node *y = tape__at(t, *slot);
    y->generation = t->generation;
    y->layout = a->layout;
    y->version = &y->own_version;
    y->own_version = 0;
    y->dtype = a->dtype;
    return y;
}

/* The node becomes the result of `op` on a and b, which is a for an op of one tensor. */
TAPE__INLINE tape_tensor tape__short_record(tape *t, int op, tape__node *y, uint32_t slot, uint8_t flags,
                                            const tape__node *a, uint32_t a_slot, const tape__node *b, uint32_t b_slot)
{
    bool record = t->paused == 0;
    y->op = record ? (uint16_t)op : TAPE__OP_NONE;
    y->flags = flags | (record ? (uint8_t)((a->flags | b->flags) & TAPE__REQUIRES_GRAD) : 0);
    y->in[0] = a_slot;
    y->in[1] = b_slot;
    y->saved[0] = *a->version;
    y->saved[1] = *b->version;
    t->count = slot + 1;
    return (tape_tensor){t->generation, slot, 0};
}

#endif
