/* The reverse sweep: visits records from the last to the first and hands adjoints on. Does not know any op's maths. */
#include "sweep.h"

#include <assert.h>
#include <string.h>

#include "profile.h"
#include "recall.h"
#include "watch.h"

bool tape__sweep_targets(const tape__sweep *s, uint32_t slot)
{
    for (int j = 0; j < s->target_count; j++)
        if (s->targets[j].slot == slot)
            return true;
    return false;
}

/* ---- contributions ----------------------------------------------------------------------------------------------- */

static bool add_recorded(tape__sweep *s, tape__node *x, tape_tensor g)
{
    tape *t = s->t;
    if (x->flags & TAPE__HAS_ADJOINT)
        g = tape_add(tape__handle(t, x->adj.recorded), g);
    if (tape_is_null(g))
        return false;
    uint32_t slot = tape__resolve(t, g, 0);
    if (slot == TAPE__NO_SLOT)
        return false;
    x->adj.recorded = slot;
    x->flags |= TAPE__HAS_ADJOINT;
    return true;
}

/*
 * A result of a VJP becomes an adjoint without a copy where that is safe: a node made by the VJP gives its block away,
 * a view of a cotangent shares the cotangent's adjoint. Everything else (leaves, older values) is copied.
 */
static tape__adjoint *holder_of(tape *t, tape__node *g, bool *failed)
{
    *failed = false;
    if (g->flags & (TAPE__LEAF_ALIAS | TAPE__INLINE_VALUE))
        return NULL;
    tape__node *owner = tape__storage_owner(g);
    if (owner->generation != t->generation) /* not made by this VJP */
        return NULL;
    if (owner->flags & TAPE__HAS_ADJOINT) /* it stands for an adjoint, or gave its block away before */
        return owner->adj.adjoint;
    if (!(owner->flags & TAPE__OWNS_BLOCK))
        return NULL;
    size_t bytes = (size_t)owner->layout->numel * tape__item_size(owner->dtype);
    tape__adjoint *adjoint = tape__adjoint_wrap(t, owner->data, owner->layout, owner->data, bytes, NULL);
    *failed = adjoint == NULL;
    if (adjoint) {
        owner->flags = (uint8_t)((owner->flags & ~TAPE__OWNS_BLOCK) | TAPE__HAS_ADJOINT);
        owner->adj.adjoint = adjoint;
    }
    return adjoint;
}

bool tape__sweep_add(tape__sweep *s, uint32_t slot, tape_tensor g)
{
    tape *t = s->t;
    tape__node *x = tape__at(t, slot);
    uint32_t g_slot = tape__resolve(t, g, 0);
    if (g_slot == TAPE__NO_SLOT)
        return false;
    tape__node *from = tape__at(t, g_slot);
    if (from->layout->dense != x->layout->dense || from->dtype != x->dtype)
        return tape__error(t, TAPE_ERROR_SHAPE, "the gradient has shape %s and dtype %s, the input %s and %s",
                           TAPE__LAYOUT_TEXT(from->layout), tape_dtype_name(from->dtype), TAPE__LAYOUT_TEXT(x->layout),
                           tape_dtype_name(x->dtype));
    if (s->record)
        return add_recorded(s, x, g);
    if (s->lending && !tape__is_single(x))
        return tape__adjoint_lend(t, x, from->data, from->layout);
    bool failed = false;
    tape__adjoint *holder = tape__is_single(x) ? NULL : holder_of(t, from, &failed);
    return !failed && tape__contribute(t, x, from->data, from->layout, holder);
}

bool tape__sweep_seed(tape__sweep *s, uint32_t y, tape_tensor cotangent)
{
    tape *t = s->t;
    tape__node *node = tape__at(t, y);
    if (!tape_is_none(cotangent)) {
        tape__new_generation(t); /* the cotangent stays the caller's: its block must not be taken over */
        s->lending = s->to_leaves && node->op > TAPE__OP_OUTPUT && node->op != TAPE__OP_CUSTOM;
        bool ok = tape__sweep_add(s, y, cotangent);
        s->lending = false;
        return ok;
    }
    if (!tape__is_single(node))
        return tape__error(t, TAPE_ERROR_SHAPE, "needs a cotangent: y has shape %s, not one element",
                           TAPE__LAYOUT_TEXT(node->layout));
    tape_shape shape = {node->layout->rank, {0}};
    memcpy(shape.size, node->layout->size, sizeof shape.size);
    if (s->record)
        return add_recorded(s, node, tape_full(node->dtype, shape, 1.0));
    static const float one_f32 = 1;
    static const double one_f64 = 1;
    return tape__contribute(t, node, node->dtype == TAPE_F32 ? (const void *)&one_f32 : &one_f64, node->layout, NULL);
}

/* ---- the sweep --------------------------------------------------------------------------------------------------- */

static void drop(tape__sweep *s, tape__node *x)
{
    if (s->record)
        x->flags &= (uint8_t)~TAPE__HAS_ADJOINT;
    else
        tape__adjoint_drop(s->t, x);
}

static bool keep_for_target(tape__sweep *s, uint32_t slot, const tape__node *x)
{
    for (int j = 0; j < s->target_count; j++) {
        tape__target *target = &s->targets[j];
        if (target->slot != slot)
            continue;
        target->found = true;
        if (s->record)
            target->recorded = tape__handle(s->t, x->adj.recorded);
        else
            target->result = tape__adjoint_of(s->t, x);
        return s->record || target->result;
    }
    return true;
}

/* A record of the table's general ops, a constant or an output, a leaf that is no target, or anything of a recorded
 * sweep. */
static bool visit_any(tape__sweep *s, uint32_t slot, tape__node *y)
{
    if (y->op == TAPE__OP_OUTPUT) {
        tape__at(s->t, y->in[0])->flags |= TAPE__SIBLING_ADJOINT;
        return true; /* the adjoint stays for the record */
    }
    if (y->op > TAPE__OP_OUTPUT && y->flags & TAPE__REQUIRES_GRAD && !tape__visit_general(s, slot))
        return false;
    int outputs = tape__record_outputs(y);
    for (int k = 0; k < outputs; k++)
        drop(s, tape__at(s->t, slot + (uint32_t)k));
    y->flags &= (uint8_t)~TAPE__SIBLING_ADJOINT;
    return true;
}

TAPE__INLINE bool visit(tape__sweep *s, uint32_t slot, tape__node *y)
{
    if (TAPE__UNLIKELY(y->flags & TAPE__TARGET) && y->flags & TAPE__HAS_ADJOINT && !keep_for_target(s, slot, y))
        return false;
    if (tape__ops[y->op].ewise < 0 || TAPE__UNLIKELY(s->record || s->t->wrong_op == y->op)) {
        if (y->op != TAPE__OP_LEAF || !s->to_leaves)
            return visit_any(s, slot, y);
        y->in[0] = s->leaves;
        s->leaves = slot;
        return true; /* the adjoint stays for the commit */
    }
    if (TAPE__LIKELY(y->flags & TAPE__REQUIRES_GRAD) && !tape__visit_elementwise(s, y))
        return false;
    tape__adjoint_drop(s->t, y);
    return true;
}

/* visit() where somebody times it, or where an earlier sweep consumed records. */
static TAPE__NOINLINE bool visit_with_care(tape__sweep *s, uint32_t slot, tape__node *y)
{
    enum { SHOWN = 8 };
    tape *t = s->t;
    bool is_record = y->op > TAPE__OP_OUTPUT && y->flags & TAPE__REQUIRES_GRAD;
    if (!is_record)
        return visit(s, slot, y);
    if (!tape__check_consumed(t, slot))
        return false;
    const uint32_t *in, *saved;
    tape__node *nodes[SHOWN];
    int n = tape__record_inputs(y, &in, &saved);
    tape__span_nodes read = {nodes, n < SHOWN ? n : SHOWN, slot, tape__record_outputs(y)};
    for (int i = 0; i < read.n_in; i++)
        nodes[i] = tape__at(t, in[i]);
    uint64_t start = tape__span_begin(t);
    bool ok = visit(s, slot, y);
    tape__span_end(t, start, y->op, tape__record_name(y), ok ? &read : NULL);
    return ok;
}

static void abandon(tape__sweep *s, uint32_t top)
{
    for (uint32_t slot = top + 1; slot-- > s->floor;) {
        tape__node *node = tape__at(s->t, slot);
        drop(s, node);
        node->flags &= (uint8_t)~TAPE__SIBLING_ADJOINT;
    }
    for (int j = 0; j < s->target_count; j++) {
        drop(s, tape__at(s->t, s->targets[j].slot));
        if (s->targets[j].result)
            tape__adjoint_release(s->t, s->targets[j].result);
        s->targets[j].result = NULL;
    }
}

static bool keep_outer_targets(tape__sweep *s)
{
    for (int j = 0; j < s->target_count; j++) {
        tape__node *x = tape__at(s->t, s->targets[j].slot);
        bool first = s->targets[j].same_as == (uint32_t)j;
        if (first && s->targets[j].slot < s->floor && x->flags & TAPE__HAS_ADJOINT &&
            !keep_for_target(s, s->targets[j].slot, x))
            return false;
    }
    return true;
}

/* That visit, judged besides. */
static TAPE__NOINLINE bool visit_watched(tape__sweep *s, uint32_t slot, tape__node *y)
{
    (void)y;
    return tape__watched_visit(s, slot, visit_with_care);
}

/* Values end as soon as no record that is still to come reads them; those of a record's outputs with the record. */
static bool run_consuming(tape__sweep *s, uint32_t top, tape__visit *aided)
{
    tape *t = s->t;
    uint32_t low = t->mark_count ? t->marks[t->mark_count - 1].nodes : 0;
    uint32_t from = t->count;
    bool ok = true;
    for (uint32_t slot = t->count; ok && slot-- > 0;) {
        tape__node *y = tape__at(t, slot);
        if (slot <= top && y->flags & (TAPE__HAS_ADJOINT | TAPE__SIBLING_ADJOINT))
            ok = aided ? aided(s, slot, y) : visit(s, slot, y);
        if (!ok || slot < low || y->op == TAPE__OP_OUTPUT)
            continue;
        tape__consume(s, slot, (uint32_t)tape__record_outputs(y));
        from = slot;
    }
    bool first = t->consumed_from == t->consumed_to;
    t->consumed_from = first || from < t->consumed_from ? from : t->consumed_from;
    t->consumed_to = t->count;
    return ok;
}

bool tape__sweep_run(tape__sweep *s, uint32_t top)
{
    bool ok = true;
    tape__expect_nothing(s->t);
    uint64_t timed = tape__profile_enter_sweep(s->t);
    bool careful = timed || s->t->consumed_from < s->t->consumed_to;
    tape__visit *aided = tape__traces(s->t) ? visit_watched : careful ? visit_with_care : NULL;
    if (s->consume)
        ok = run_consuming(s, top, aided);
    for (uint32_t slot = top + 1; ok && !s->consume && slot-- > s->floor;) {
        tape__node *y = tape__at(s->t, slot);
        if (y->flags & (TAPE__HAS_ADJOINT | TAPE__SIBLING_ADJOINT))
            ok = TAPE__UNLIKELY(aided != NULL) ? aided(s, slot, y) : visit(s, slot, y);
    }
    tape__profile_leave_sweep(s->t, timed);
    ok = ok && keep_outer_targets(s);
    if (!ok)
        abandon(s, top);
    return ok;
}
