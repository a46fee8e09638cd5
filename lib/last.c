/* Values that end before the tape does: after a last use, or consumed by a sweep. Knows who may still look at a block,
 * not what is in it. */
#include "kernels/any/ewise_driver.h"
#include "recall.h"
#include "sweep.h"

enum { FAR = 4096 }; /* records that are searched for others who need a value; beyond it is simply kept */

/* ---- who needs a block ------------------------------------------------------------------------------------------- */

/* Whether the derivative of the record at `slot` reads a value of the storage with this version counter. */
static bool saves(const tape *t, uint32_t slot, const uint32_t *version)
{
    const tape__node *y = tape__at(t, slot);
    const uint32_t *in, *saved;
    int n_in = tape__record_inputs(y, &in, &saved), n_out = tape__record_outputs(y), ewise = tape__ops[y->op].ewise;
    unsigned flags = ewise < 0 ? tape__record_flags(y) : 0, uses = 0;
    for (int i = 0; ewise >= 0 && i < n_in; i++)
        if (tape__at(t, in[i])->flags & TAPE__REQUIRES_GRAD)
            uses |= tape__ewise_uses(ewise, i);
    for (int i = 0; i < n_in; i++) {
        bool reads = ewise < 0 ? tape__reads_input(y, flags, i) : uses & ((unsigned)TAPE__USES_X0 << i);
        if (reads && tape__at(t, in[i])->version == version)
            return true;
    }
    bool reads_output = ewise < 0 ? flags & TAPE__SAVES_OUTPUT : uses & TAPE__USES_Y;
    for (int k = 0; k < n_out && reads_output; k++)
        if (tape__at(t, slot + (uint32_t)k)->version == version)
            return true;
    return false;
}

static bool is_needed(const tape *t, uint32_t owner_slot)
{
    const tape__node *owner = tape__at(t, owner_slot);
    const uint32_t *version = &owner->own_version;
    uint32_t first = owner->op == TAPE__OP_OUTPUT ? owner->in[0] : owner_slot;
    if (t->count - first > FAR)
        return true;
    for (uint32_t slot = first; slot < t->count; slot++) {
        const tape__node *y = tape__at(t, slot);
        if (y->version == version && !(y->generation & TAPE__ENDED))
            return true; /* the value itself, or a view of it, has a handle */
        if (y->op > TAPE__OP_OUTPUT && y->flags & TAPE__REQUIRES_GRAD && saves(t, slot, version))
            return true;
    }
    return false;
}

static void release(tape *t, tape__node *node)
{
    tape__arena_put(&t->arena, node->data, (size_t)node->layout->numel * tape_dtype_size((tape_dtype)node->dtype));
    node->flags &= (uint8_t)~TAPE__OWNS_BLOCK;
    t->values_gone = true;
}

bool tape__is_gone(const tape__node *x)
{
    if (x->flags & TAPE__LEAF_ALIAS || !(x->generation & TAPE__ENDED))
        return false;
    const tape__node *owner = tape__storage_owner(x);
    return !(owner->flags & (TAPE__OWNS_BLOCK | TAPE__INLINE_VALUE));
}

/* ---- last uses --------------------------------------------------------------------------------------------------- */

static bool lies_before_mark(const tape *t, const void *block)
{
    return t->mark_count && tape__arena_before(&t->arena, block, t->marks[t->mark_count - 1].arena);
}

static void end(tape *t, tape_tensor x)
{
    uint32_t slot = x.slot & ~TAPE__LAST_USE;
    if (slot >= t->count || tape__at(t, slot)->generation != x.generation)
        return; /* ended already */
    tape__node *node = tape__at(t, slot);
    tape__expect_nothing(t);
    node->generation |= TAPE__ENDED;
    if (node->flags & TAPE__LEAF_ALIAS)
        return;
    while (node->version != &node->own_version) { /* a view: up to what it looks into */
        slot = node->in[0];
        node = tape__at(t, slot);
    }
    if (node->flags & TAPE__OWNS_BLOCK && !lies_before_mark(t, node->data) && !is_needed(t, slot))
        release(t, node);
}

void tape__end_inputs(tape *t, const tape_tensor *x, int n)
{
    const uint32_t room = sizeof t->ending / sizeof *t->ending;
    for (int i = 0; i < n; i++) {
        if (x[i].flags || !(x[i].slot & TAPE__LAST_USE) || (x[i].slot & ~TAPE__LAST_USE) < t->callback_floor)
            continue;
        if (!t->composite_depth)
            end(t, x[i]);
        else if (t->ending_count < room) /* the composite may take it again */
            t->ending[t->ending_count++] = x[i];
    }
}

void tape__end_pending(tape *t, bool ok)
{
    for (uint32_t i = 0; ok && i < t->ending_count; i++)
        end(t, t->ending[i]);
    t->ending_count = 0;
}

tape_tensor tape_last(tape_tensor x)
{
    if (x.flags || tape_is_null(x))
        return x;
    tape *t = tape__begin("last");
    uint32_t slot = t ? tape__resolve(t, x, 0) : TAPE__NO_SLOT;
    return slot == TAPE__NO_SLOT ? TAPE_NULL : (tape_tensor){x.generation, slot | TAPE__LAST_USE, 0};
}

/* ---- sweeps that consume ----------------------------------------------------------------------------------------- */

bool tape__check_consumed(tape *t, uint32_t slot)
{
    if (TAPE__LIKELY(slot < t->consumed_from || slot >= t->consumed_to))
        return true;
    t->op_name = tape__record_name(tape__at(t, slot));
    return tape__error(t, TAPE_ERROR_STATE, "its record was consumed by an earlier tape_backward_once()");
}

/* y stays, and what it is a view of. */
static bool is_kept(const tape__sweep *s, const tape__node *node)
{
    return tape__at(s->t, s->kept)->version == &node->own_version;
}

void tape__consume(tape__sweep *s, uint32_t slot, uint32_t n)
{
    tape *t = s->t;
    for (uint32_t k = slot; k < slot + n; k++) {
        tape__node *node = tape__at(t, k);
        if (node->op == TAPE__OP_LEAF)
            continue;
        if (k != s->kept)
            node->generation |= TAPE__ENDED;
        if (node->flags & TAPE__OWNS_BLOCK && !is_kept(s, node))
            release(t, node);
    }
}
