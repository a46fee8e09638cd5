/* Whether a tape can be replayed: who may have put what into its values besides the records. Runs nothing. */
#include <string.h>

#include "recompute.h"
#include "replay.h"

static bool is_record(const tape__node *y)
{
    return y->op > TAPE__OP_OUTPUT;
}

static bool refuse(tape *t, const tape__node *y, int i, const tape__node *x, const char *why)
{
    return tape__error(t, TAPE_ERROR_STATE, "%s used, as its input %d of shape %s, %s", tape__record_name(y), i,
                       TAPE__LAYOUT_TEXT(x->layout), why);
}

/* ---- what the host read ------------------------------------------------------------------------------------------ */

void tape__note_read(tape *t, const char *by, uint32_t slot)
{
    const tape__node *x = tape__at(t, slot);
    if (x->flags & TAPE__LEAF_ALIAS || t->callback_depth)
        return;
    const tape__node *owner = tape__storage_owner(x);
    if (owner->op == TAPE__OP_NONE && owner->in[1] == TAPE__GIVEN)
        return;
    if (owner->op == TAPE__OP_OUTPUT)
        owner = tape__at(t, owner->in[0]);
    const tape__host_read read = {by, tape__record_name(owner), x->layout, slot, t->count};
    if (!t->first_read.by)
        t->first_read = read;
    if (!t->lowest_read.by || slot < t->lowest_read.slot)
        t->lowest_read = read;
}

static bool check_reads(tape *t)
{
    for (uint32_t slot = t->first_read.count; t->first_read.by && slot < t->count; slot++)
        if (is_record(tape__at(t, slot)))
            return tape__error(t, TAPE_ERROR_STATE,
                               "tape_%s() read the result of %s, of shape %s, before %s was recorded, which may depend "
                               "on it: tape_peek() reads without",
                               t->first_read.by, t->first_read.op, TAPE__LAYOUT_TEXT(t->first_read.layout),
                               tape__record_name(tape__at(t, slot)));
    return true;
}

/* ---- what was written between records ---------------------------------------------------------------------------- */

/* The first of the nodes that stand for the leaf behind a view. */
static tape__node *leaf_of(tape *t, tape__node *x)
{
    while (x->op != TAPE__OP_LEAF)
        x = tape__at(t, x->in[0]);
    const tape__proxy *proxy = &t->proxies[x->u.leaf->slot];
    for (int k = 0; k < 2; k++) {
        tape__node *other = proxy->node[k] < t->count ? tape__at(t, proxy->node[k]) : x;
        if (other->op == TAPE__OP_LEAF && other->u.leaf == x->u.leaf && other < x)
            x = other;
    }
    return x;
}

/* Every record that reads a storage must have seen the version that the first one saw, which the storage's node keeps
 * where sweeps keep adjoints, marked as wanted. */
static bool check_input(tape *t, const tape__node *y, int i, uint32_t in, uint32_t saved)
{
    tape__node *x = tape__at(t, in);
    bool of_leaf = x->flags & TAPE__LEAF_ALIAS;
    tape__node *owner = of_leaf ? leaf_of(t, x) : tape__storage_owner(x);
    bool given = of_leaf || (owner->op == TAPE__OP_NONE && owner->in[1] == TAPE__GIVEN);
    if (!given && owner->op == TAPE__OP_NONE)
        return refuse(t, y, i, x, "what was computed while recording was paused, or a gradient that was not recorded");
    bool seen = owner->flags & TAPE__WANTED;
    uint32_t first = !given ? 0 : seen ? owner->adj.recorded : saved;
    owner->flags |= given ? TAPE__WANTED : 0;
    if (given)
        owner->adj.recorded = first;
    return saved == first || refuse(t, y, i, x, "what had been written since an earlier record");
}

static bool check_record(tape *t, const tape__node *y)
{
    const uint32_t *in, *saved;
    int n = tape__record_inputs(y, &in, &saved);
    for (int i = 0; i < n; i++)
        if (!check_input(t, y, i, in[i], saved[i]))
            return false;
    if (y->op != TAPE__OP_CUSTOM)
        return true;
    const tape_custom_op *op = y->u.extra->custom;
    return op->forward || ((const tape__own_op *)(const void *)op)->replay ||
           tape__error(t, TAPE_ERROR_STATE, "the values of %s came from outside the records", op->name);
}

bool tape__replay_check(tape *t)
{
    bool ok = check_reads(t);
    if (ok && t->values_gone)
        ok = tape__error(t, TAPE_ERROR_STATE, "values have ended since: by tape_last() or tape_backward_once()");
    if (ok && t->unrepeatable)
        ok = tape__error(t, TAPE_ERROR_STATE, "a recorded gradient %s", t->unrepeatable_why);
    for (uint32_t slot = 0; slot < t->count && ok; slot++)
        ok = !is_record(tape__at(t, slot)) || check_record(t, tape__at(t, slot));
    for (uint32_t slot = 0; slot < t->count; slot++)
        tape__at(t, slot)->flags &= (uint8_t)~TAPE__WANTED;
    return ok;
}
