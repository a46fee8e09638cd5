/* One record on the way back: checks what it saved, then runs its VJP, by handles or on memory. */
#include <assert.h>
#include <string.h>

#include "sweep.h"

#define FEW 8

/* ---- saved values ------------------------------------------------------------------------------------------------ */

static bool saved_error(tape *t, const tape__node *y, const tape__node *x, const char *what, int i)
{
    const char *name = tape__record_name(y);
    t->op_name = "backward";
    if (x->op == TAPE__OP_LEAF && !tape__alias_alive(t, x))
        return tape__error(t, TAPE_ERROR_VERSION, "%s saved its %s %d, a leaf of shape %s that has been freed since",
                           name, what, i, TAPE__LAYOUT_TEXT(x->layout));
    return tape__error(t, TAPE_ERROR_VERSION, "%s saved its %s %d of shape %s, which has been written since", name,
                       what, i, TAPE__LAYOUT_TEXT(x->layout));
}

static bool check_input(tape *t, const tape__node *y, uint32_t in, uint32_t saved, int i)
{
    const tape__node *x = tape__at(t, in);
    return TAPE__LIKELY(*x->version == saved) || saved_error(t, y, x, "input", i);
}

static bool check_output(tape *t, const tape__node *y, const tape__node *output, int k)
{
    return TAPE__LIKELY(output->own_version == 0) || saved_error(t, y, output, "output", k);
}

bool tape__check_uses(tape *t, const tape__node *y, const uint32_t *in, const uint32_t *saved, int n, unsigned uses)
{
    for (int i = 0; i < n; i++)
        if (uses & ((unsigned)TAPE__USES_X0 << i) && !check_input(t, y, in[i], saved[i], i))
            return false;
    return !(uses & TAPE__USES_Y) || check_output(t, y, y, 0);
}

/* ---- general ops: handles ---------------------------------------------------------------------------------------- */

typedef struct visit {
    tape__sweep *s;
    tape__node *y;
    uint32_t slot;
    int n_in, n_out;
    const uint32_t *in;
    tape_tensor *x, *gx, outputs[FEW], cotangents[FEW];
    bool *needs;
    int sunk; /* the input whose adjoint the VJP added into by itself; -1: none */
} visit;

bool tape__reads_input(const tape__node *y, unsigned flags, int i)
{
    if (y->op != TAPE__OP_CUSTOM)
        return flags & TAPE__SAVES(i);
    const tape_custom_op *op = y->u.extra->custom;
    return i >= 32 || !(op->unread_inputs >> i & 1);
}

bool tape__check_saved(tape *t, uint32_t slot)
{
    const tape__node *y = tape__at(t, slot);
    const uint32_t *in, *saved;
    unsigned flags = tape__record_flags(y);
    int n_in = tape__record_inputs(y, &in, &saved), n_out = tape__record_outputs(y), ewise = tape__ops[y->op].ewise;
    for (int i = 0; ewise >= 0 && i < n_in; i++)
        if (tape__at(t, in[i])->flags & TAPE__REQUIRES_GRAD &&
            !tape__check_uses(t, y, in, saved, n_in, tape__ewise_uses(ewise, i)))
            return false;
    for (int i = 0; i < n_in; i++)
        if (tape__reads_input(y, flags, i) && !check_input(t, y, in[i], saved[i], i))
            return false;
    for (int k = 0; flags & TAPE__SAVES_OUTPUT && k < n_out; k++)
        if (!check_output(t, y, tape__at(t, slot + (uint32_t)k), k))
            return false;
    return true;
}

/* A node that stands for an adjoint: the VJP reads it through a handle, its results may share it. */
static tape_tensor adjoint_handle(tape *t, tape__node *y)
{
    tape__adjoint *adjoint = tape__adjoint_of(t, y);
    uint32_t slot;
    tape__node *node = adjoint ? tape__new_node(t, &slot) : NULL;
    if (!node)
        return TAPE_NULL;
    node->data = adjoint->data;
    node->layout = adjoint->layout;
    node->dtype = y->dtype;
    node->flags = TAPE__HAS_ADJOINT;
    node->adj.adjoint = adjoint;
    return tape__handle(t, slot);
}

static bool make_cotangents(visit *v)
{
    tape *t = v->s->t;
    for (int k = 0; k < v->n_out; k++) {
        uint32_t slot = v->slot + (uint32_t)k;
        tape__node *y = tape__at(t, slot);
        v->outputs[k] = tape__handle(t, slot);
        if (y->flags & TAPE__HAS_ADJOINT)
            v->cotangents[k] = v->s->record ? tape__handle(t, y->adj.recorded) : adjoint_handle(t, y);
        else if (tape__record_flags(v->y) & TAPE__TAKES_ABSENT || y->dtype > TAPE_F64)
            v->cotangents[k] = TAPE_NONE;
        else
            v->cotangents[k] = tape_zeros_like(v->outputs[k]);
        if (tape_is_null(v->cotangents[k]))
            return false;
    }
    return true;
}

static bool hand_on(visit *v)
{
    tape *t = v->s->t;
    bool wrong = t->wrong_factor != 0 && t->wrong_op == v->y->op;
    for (int i = 0; i < v->n_in; i++) {
        if (!v->needs[i] || tape_is_none(v->gx[i]) || (i == v->sunk && v->gx[i].slot == t->sink.slot))
            continue;
        tape_tensor g = wrong ? tape_mul_scalar(v->gx[i], t->wrong_factor) : v->gx[i];
        if (!tape__sweep_add(v->s, v->in[i], g))
            return false;
    }
    return true;
}

void tape__end_plain_vjp(tape *t, uint32_t count)
{
    for (uint32_t slot = count; slot < t->count; slot++) {
        tape__node *node = tape__at(t, slot);
        if (node->flags & TAPE__HAS_ADJOINT) {
            node->flags &= (uint8_t)~TAPE__HAS_ADJOINT;
            tape__adjoint_release(t, node->adj.adjoint);
        }
    }
    tape__truncate(t, count);
}

/* tape__into() of a plain sweep. */
static void sink_into(tape__vjp *vjp, int i)
{
    visit *v = vjp->sweep;
    tape *t = vjp->t;
    tape__node *x = tape__at(t, v->in[i]);
    bool accumulate, wrong = t->wrong_factor != 0 && t->wrong_op == v->y->op;
    if (wrong || tape__is_single(x))
        return;
    void *data = tape__adjoint_target(t, x, &accumulate);
    if (!data)
        return;
    if (!accumulate)
        memset(data, 0, (size_t)x->layout->numel * tape__item_size(x->dtype));
    t->sink = (tape__sink){data, x->layout->dense, TAPE__NO_SLOT, x->dtype};
    v->sunk = i;
}

/* tape__adjoint_data() of a plain sweep. */
static void *adjoint_data(tape__vjp *vjp, int i, bool *accumulate)
{
    visit *v = vjp->sweep;
    tape *t = vjp->t;
    bool wrong = t->wrong_factor != 0 && t->wrong_op == v->y->op;
    return wrong ? NULL : tape__adjoint_target(t, tape__at(t, v->in[i]), accumulate);
}

static bool run_vjp(visit *v)
{
    tape *t = v->s->t;
    const tape__op *op = &tape__ops[v->y->op];
    uint32_t count = t->count;
    tape__new_generation(t); /* marks what the VJP makes as its own: sweep.c takes such blocks over */
    t->paused += !v->s->record;
    const char *before = tape__enter(t, tape__record_name(v->y));
    t->op_name = tape__record_name(v->y); /* whatever called for the derivative */
    tape__vjp vjp = {.t = t,
                     .op = op,
                     .attr = tape__record_attr(v->y),
                     .n_in = v->n_in,
                     .n_out = v->n_out,
                     .x = v->x,
                     .y = v->outputs,
                     .gy = v->cotangents,
                     .gx = v->gx,
                     .needs = v->needs,
                     .into = v->s->record ? NULL : sink_into,
                     .adjoint = v->s->record ? NULL : adjoint_data,
                     .sweep = v,
                     .custom = v->y->op == TAPE__OP_CUSTOM ? v->y->u.extra->custom : NULL,
                     .create_graph = v->s->record};
    tape__sink outer = t->sink;
    bool ok = make_cotangents(v);
    if (ok) {
        op->vjp(&vjp);
        ok = t->status == TAPE_OK && hand_on(v);
    }
    t->sink = outer;
    t->composite_depth--;
    t->op_name = before;
    t->paused -= !v->s->record;
    if (!v->s->record)
        tape__end_plain_vjp(t, count);
    return ok;
}

/* Finds which inputs want an adjoint. Whether one that the derivative reads was written since: tape__check_saved() then
 * says what it was. */
TAPE__INLINE bool look_at_inputs(const tape__sweep *s, tape__fused *f, const uint32_t *saved, unsigned flags)
{
    unsigned stale = 0;
    f->needs = 0;
    for (int i = 0; i < f->n_in; i++) {
        const tape__node *x = tape__at(f->t, f->in[i]);
        f->needs |= (unsigned)tape__is_wanted(s, f->in[i], x) << i;
        stale |= *x->version ^ saved[i] ? flags & TAPE__SAVES(i) : 0;
    }
    return stale || (flags & TAPE__SAVES_OUTPUT && f->y->own_version);
}

/* The short way of an op with a fused VJP. */
TAPE__INLINE enum tape__outcome run_fused(tape__sweep *s, tape__node *y, uint32_t slot)
{
    tape *t = s->t;
    const tape__op *op = &tape__ops[y->op];
    const uint32_t *saved;
    if (!(y->flags & TAPE__HAS_ADJOINT) || y->flags & TAPE__SIBLING_ADJOINT)
        return TAPE__DECLINED;
    tape__fused f;
    f.t = t;
    f.y = y;
    f.slot = slot;
    f.attr = tape__record_attr(y);
    f.n_in = tape__record_inputs(y, &f.in, &saved);
    const bool stale = look_at_inputs(s, &f, saved, op->flags);
    if (!f.needs)
        return TAPE__DONE;
    if (TAPE__UNLIKELY(stale || tape__record_outputs(y) > 1) && !tape__check_saved(t, slot))
        return TAPE__FAILED;
    const bool single = tape__is_single(y);
    f.holder = single ? NULL : y->adj.adjoint;
    f.g = single ? (const void *)&y->adj : f.holder->data;
    f.g_layout = single ? y->layout : f.holder->layout;
    const char *before = t->op_name;
    t->op_name = op->name;
    bool done = op->fused(&f);
    t->op_name = before;
    return done ? TAPE__DONE : t->status == TAPE_OK ? TAPE__DECLINED : TAPE__FAILED;
}

/* The long way: by handles. */
static TAPE__NOINLINE bool visit_by_handles(tape__sweep *s, tape__node *y, uint32_t slot)
{
    tape *t = s->t;
    tape__forgo(t);
    const uint32_t *saved;
    visit v = {.s = s, .slot = slot, .y = y, .sunk = -1};
    v.n_in = tape__record_inputs(v.y, &v.in, &saved);
    v.n_out = tape__record_outputs(v.y);
    tape_tensor few_x[FEW], few_gx[FEW];
    bool few_needs[FEW];
    size_t each = 2 * sizeof(tape_tensor) + sizeof(bool), bytes = (size_t)v.n_in * each;
    unsigned char *many = v.n_in > FEW ? tape__arena_get(&t->arena, bytes) : NULL;
    if (v.n_in > FEW && !many)
        return tape__error(t, TAPE_ERROR_MEMORY, "out of memory for a VJP of %d inputs", v.n_in);
    v.x = many ? (tape_tensor *)(void *)many : few_x;
    v.gx = many ? v.x + v.n_in : few_gx;
    v.needs = many ? (bool *)(v.gx + v.n_in) : few_needs;
    bool any = false;
    for (int i = 0; i < v.n_in; i++) {
        const tape__node *x = tape__at(t, v.in[i]);
        v.x[i] = tape__handle(t, v.in[i]);
        v.gx[i] = TAPE_NONE;
        v.needs[i] = tape__is_wanted(s, v.in[i], x);
        any |= v.needs[i];
    }
    bool ok = !any || (tape__check_saved(t, slot) && run_vjp(&v));
    if (many)
        tape__arena_put(&t->arena, many, bytes);
    return ok;
}

bool tape__visit_general(tape__sweep *s, uint32_t slot)
{
    tape__node *y = tape__at(s->t, slot);
    enum tape__outcome fused = TAPE__DECLINED;
    if (tape__ops[y->op].fused && !s->record && s->t->wrong_op != y->op)
        fused = run_fused(s, y, slot);
    return fused == TAPE__DECLINED ? visit_by_handles(s, y, slot) : fused == TAPE__DONE;
}
