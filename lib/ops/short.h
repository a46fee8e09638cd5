/* The short way of an op of one or two tensors: what a result and its record need at least. Knows nodes, not ops;
 * whoever takes it has seen that no detour is asked for. */
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

/* tape__find() for what an op has made; NULL for a leaf too. */
TAPE__INLINE const tape__node *tape__find_made(const tape *t, tape_tensor x)
{
    const tape__node *node = x.slot < t->count ? tape__at(t, x.slot) : NULL;
    const bool found = node && node->generation == x.generation && !(node->flags & TAPE__LEAF_ALIAS) && !x.flags;
    return TAPE__LIKELY(found) ? node : NULL;
}

/* ---- with attributes --------------------------------------------------------------------------------------------- */

TAPE__INLINE size_t tape__extra_part(size_t bytes)
{
    return (bytes + 15) & ~(size_t)15;
}

/* What a record has besides its node, in one block: the struct, then slots, versions and attributes, which are the
 * caller's to write. NULL when memory is short. */
TAPE__INLINE tape__extra *tape__new_extra(tape *t, int n_in, size_t attr_size, const void *custom)
{
    const size_t slots = tape__extra_part((size_t)n_in * sizeof(uint32_t));
    const size_t bytes =
        tape__extra_part(sizeof(tape__extra)) + 2 * slots + (custom ? 2 : 1) * tape__extra_part(attr_size);
    tape__extra *extra = tape__arena_get(&t->arena, bytes);
    if (TAPE__UNLIKELY(!extra))
        return NULL;
    unsigned char *at = (unsigned char *)extra + tape__extra_part(sizeof *extra);
    extra->n_in = (uint16_t)n_in;
    extra->n_out = 1;
    extra->attr_size = (uint32_t)attr_size;
    extra->bytes = bytes;
    extra->in = (uint32_t *)(void *)at;
    extra->saved = (uint32_t *)(void *)(at + slots);
    extra->attr = at + 2 * slots;
    extra->custom = custom;
    return extra;
}

TAPE__INLINE void *tape__attr_to_write(const tape__extra *extra)
{
    return (void *)(uintptr_t)extra->attr;
}

/* The same for an op of one tensor that has attributes; while nothing is recorded it takes the long way. */
TAPE__INLINE tape_tensor tape__short_record_extra(tape *t, int op, tape__node *y, uint32_t slot, unsigned flags,
                                                  const tape__node *x, uint32_t x_slot, tape__extra *extra)
{
    y->op = (uint16_t)op;
    y->flags = (uint8_t)(flags | (x->flags & TAPE__REQUIRES_GRAD));
    y->in[0] = extra->in[0] = x_slot;
    y->in[1] = 0;
    extra->saved[0] = *x->version;
    y->u.extra = extra;
    t->count = slot + 1;
    return (tape_tensor){t->generation, slot, 0};
}

#endif
