/* tape_replay(): every record again, into the nodes that hold its results. Does not know what any op computes. */
#include "replay.h"

#include <string.h>

#include "ops/again.h"
#include "recompute.h"
#include "trace.h"

#define FEW 8

/* ---- one record -------------------------------------------------------------------------------------------------- */

static void stamp(const tape *t, tape__node *y, const uint32_t *in, const uint32_t *saved, int n)
{
    uint32_t *now = (uint32_t *)(uintptr_t)saved;
    for (int i = 0; i < n; i++)
        now[i] = *tape__at(t, in[i])->version;
    y->own_version = 0;
}

static bool owns_value(const tape__node *y)
{
    return y->flags & (TAPE__OWNS_BLOCK | TAPE__INLINE_VALUE);
}

/* A user's op starts from the attributes that it was called with; what they came to own ends first. */
static tape__release *begin_custom(tape *t, uint32_t slot, const tape__extra *extra)
{
    const tape_custom_op *op = extra->custom;
    tape__release *entry = NULL;
    if (!op->forward)
        return NULL;
    if (op->release)
        for (entry = t->releases; entry && entry->slot != slot;)
            entry = entry->next;
    if (entry)
        entry->release(entry->user, entry->attr);
    if (extra->attr_size)
        memcpy((void *)(uintptr_t)extra->attr, tape__attr_as_given(extra), extra->attr_size);
    return entry;
}

static void own_nothing(void *user, void *attr)
{
    (void)user, (void)attr;
}

static bool run_custom(tape__call *call, uint32_t slot, const tape__extra *extra)
{
    const tape_custom_op *op = extra->custom;
    tape__release *entry = begin_custom(call->t, slot, extra);
    bool ok = op->forward ? tape__custom_forward(call) : ((const tape__own_op *)(const void *)op)->replay(call);
    ok = ok && call->t->status == TAPE_OK;
    if (entry)
        entry->release = ok ? op->release : own_nothing;
    return ok;
}

/* Memory for as many nodes as an op has inputs. */
static tape__node **nodes_of(tape *t, const uint32_t *in, int n, tape__node **few)
{
    tape__node **nodes = n <= FEW ? few : tape__arena_get(&t->arena, (size_t)n * sizeof *nodes);
    for (int i = 0; i < n && nodes; i++)
        nodes[i] = tape__at(t, in[i]);
    return nodes;
}

static bool run_general(tape *t, uint32_t slot, tape__node *y, const uint32_t *in, int n)
{
    static const tape__extra none = {.n_out = 1};
    const tape__extra *extra = y->u.extra ? y->u.extra : &none;
    tape__node *few[FEW], **nodes = nodes_of(t, in, n, few);
    if (!nodes)
        return tape__error(t, TAPE_ERROR_MEMORY, "out of memory for %d inputs", n);
    tape__call call; /* the outputs are filled in before they are read */
    call.t = t;
    call.op = &tape__ops[y->op];
    call.n_in = n;
    call.n_out = 0;
    call.in = nodes;
    call.in_slot = in;
    call.attr = extra->attr;
    call.attr_size = extra->attr_size;
    call.custom = extra->custom;
    call.again = extra->n_out;
    call.again_slot = slot;
    uint32_t count = t->count;
    bool is_custom = y->op == TAPE__OP_CUSTOM;
    t->replaying = is_custom ? TAPE__REPLAY_CALLBACK : TAPE__REPLAY_OP;
    bool ok = is_custom ? run_custom(&call, slot, extra) : call.op->forward(&call) && t->status == TAPE_OK;
    if (t->count != count)
        tape__truncate(t, count);
    if (ok && tape__traces(t)) {
        const tape__op row = {.name = tape__record_name(y), .ewise = -1, .flags = tape__record_flags(y)};
        ok = tape__trace_made(t, &row, nodes, n, NULL, 0, slot, extra->n_out);
    }
    if (nodes != few)
        tape__arena_put(&t->arena, nodes, (size_t)n * sizeof *nodes);
    return ok;
}

static int params_of(const tape__node *y)
{
    return tape__record_attr(y) ? (int)(y->u.extra->attr_size / sizeof(double)) : 0;
}

static bool run_record(tape *t, uint32_t slot, tape__node *y)
{
    const uint32_t *in, *saved;
    int n = tape__record_inputs(y, &in, &saved);
    const tape__op *op = &tape__ops[y->op];
    bool ok = true;
    if (!op->forward && y->op != TAPE__OP_CUSTOM) {
        tape__node *x[3] = {NULL};
        for (int i = 0; i < n; i++)
            x[i] = tape__at(t, in[i]);
        tape__elementwise_again(t, y, x, n, tape__record_attr(y));
        if (tape__traces(t))
            ok = tape__trace_made(t, op, x, n, tape__record_attr(y), params_of(y), slot, 1);
    } else if (owns_value(y)) {
        t->op_name = tape__record_name(y);
        ok = run_general(t, slot, y, in, n);
    }
    stamp(t, y, in, saved, n);
    return ok;
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

static bool run_all(tape *t)
{
    bool quick = !t->detour;
    for (uint32_t slot = 0, count = t->count; slot < count; slot++) {
        tape__node *y = tape__at(t, slot);
        if (y->op > TAPE__OP_OUTPUT) {
            if (!(quick && tape__single_again(t, y)) && !run_record(t, slot, y))
                return false;
        } else if (y->op == TAPE__OP_LEAF) {
            if (!tape__alias_alive(t, y))
                return tape__error(t, TAPE_ERROR_VERSION, "a leaf of shape %s has been freed",
                                   TAPE__LAYOUT_TEXT(y->layout));
        } else if (y->op == TAPE__OP_OUTPUT) {
            y->own_version = 0;
        }
    }
    return true;
}

static bool may_replay(tape *t)
{
    if (t->callback_depth)
        return tape__error(t, TAPE_ERROR_STATE, "not allowed inside a callback");
    if (t->promote)
        return tape__error(t, TAPE_ERROR_UNSUPPORTED, "not while the checker evaluates in f64");
    if (t->count == 0)
        return true;
    /* what was checked once stays so until something else is recorded, or a value ends */
    uint64_t last = tape__at(t, t->count - 1)->generation;
    if (t->replayable_count == t->count && t->replayable_last == last && !t->values_gone)
        return true;
    if (!tape__replay_check(t))
        return false;
    t->replayable_count = t->count;
    t->replayable_last = last;
    return true;
}

tape_status tape_replay(void)
{
    tape *t = tape__begin("replay");
    if (!t || !may_replay(t))
        return tape_last_status();
    const char *before = tape__enter(t, "replay");
    t->unsettled = true;
    t->replaying = TAPE__REPLAY_OP;
    if (run_all(t))
        t->unsettled = false;
    t->replaying = TAPE__REPLAY_NONE;
    t->composite_depth--;
    t->op_name = before;
    return t->status;
}
