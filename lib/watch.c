/*
 * Derivatives while NaN and infinities are looked for: what a record's derivative was made of and what came out. Does
 * not know how either was computed.
 */
#include "watch.h"

#include <string.h>

#define FEW 24

/* The operands of one record's derivative, kept until it is judged. */
typedef struct watch {
    tape *t;
    tape__step step;
    tape__traced few[FEW], *operands;
    int room;
    tape__adjoint *held[8]; /* cotangents that the visit would let go */
    double single[8];
    bool *clean; /* of each input: its adjoint was finite before */
    bool few_clean[FEW];
} watch;

static bool begin(watch *w, tape *t, tape_trace_pass pass, uint32_t slot, int n_in, int n_out)
{
    const tape__node *y = tape__at(t, slot);
    w->t = t;
    w->step = (tape__step){.pass = pass, .op = tape__record_name(y), .record = slot};
    w->step.elementwise = tape__ops[y->op].ewise >= 0;
    w->room = 2 * (n_in + n_out);
    memset(w->held, 0, sizeof w->held);
    w->operands = w->few;
    w->clean = w->few_clean;
    if (w->room > FEW) {
        w->operands = tape__arena_get(&t->arena, (size_t)w->room * (sizeof *w->operands + sizeof *w->clean));
        if (!w->operands)
            return tape__error(t, TAPE_ERROR_MEMORY, "out of memory to trace %d operands", w->room);
        w->clean = (bool *)(w->operands + w->room);
    }
    w->step.operands = w->operands;
    t->trace->quiet++;
    return true;
}

static void end(watch *w)
{
    w->t->trace->quiet--;
    for (int k = 0; k < 8; k++)
        if (w->held[k])
            tape__adjoint_release(w->t, w->held[k]);
    if (w->operands != w->few)
        tape__arena_put(&w->t->arena, w->operands, (size_t)w->room * (sizeof *w->operands + sizeof *w->clean));
}

static void add(watch *w, const char *role, int position, const tape__node *x)
{
    if (!tape__is_gone(x)) /* tape_last() let it go: no derivative reads it */
        w->operands[w->step.n++] = tape__traced_node(role, position, x);
}

/* ---- the way back ------------------------------------------------------------------------------------------------ */

/* x's adjoint as it is now; only where it has one. */
static tape__traced adjoint_now(const tape__sweep *s, const tape__node *x, const char *role, int position)
{
    if (s->record)
        return tape__traced_node(role, position, tape__at(s->t, x->adj.recorded));
    bool single = tape__is_single(x);
    return (tape__traced){role, position, single ? (const void *)&x->adj : x->adj.adjoint->data,
                          single ? x->layout : x->adj.adjoint->layout, (tape_dtype)x->dtype};
}

static void add_cotangent(watch *w, const tape__sweep *s, const tape__node *y, int k)
{
    if (!(y->flags & TAPE__HAS_ADJOINT))
        return;
    tape__traced g = adjoint_now(s, y, "cotangent", k);
    if (!s->record && tape__is_single(y)) {
        memcpy(&w->single[k], g.data, tape_dtype_size(g.dtype));
        g.data = &w->single[k];
    } else if (!s->record) {
        w->held[k] = y->adj.adjoint;
        w->held[k]->refs++;
    }
    w->operands[w->step.n++] = g;
}

bool tape__watched_visit(tape__sweep *s, uint32_t slot, tape__visit *visit)
{
    tape *t = s->t;
    tape__node *y = tape__at(t, slot);
    if (y->op <= TAPE__OP_OUTPUT || !tape__traces(t) || t->trace->quiet)
        return visit(s, slot, y);
    const uint32_t *in, *saved;
    int n_in = tape__record_inputs(y, &in, &saved), n_out = tape__record_outputs(y);
    watch w;
    if (!begin(&w, t, TAPE_TRACE_BACKWARD, slot, n_in, n_out))
        return false;
    for (int i = 0; i < n_in; i++) {
        const tape__node *x = tape__at(t, in[i]);
        add(&w, "input", i, x);
        w.clean[i] = true;
        if (x->flags & TAPE__HAS_ADJOINT) {
            tape__traced before = adjoint_now(s, x, "gradient", i);
            w.clean[i] = tape__all_finite(&before);
        }
    }
    for (int k = 0; k < n_out; k++)
        add(&w, "output", k, tape__at(t, slot + (uint32_t)k));
    for (int k = 0; k < n_out; k++)
        add_cotangent(&w, s, tape__at(t, slot + (uint32_t)k), k);
    bool ok = visit(s, slot, y);
    for (int i = 0; i < n_in && ok && tape__traces(t); i++) {
        const tape__node *x = tape__at(t, in[i]);
        if (!(x->flags & TAPE__HAS_ADJOINT) || !w.clean[i])
            continue;
        tape__traced after = adjoint_now(s, x, "gradient", i);
        ok = tape__trace_judge(t, &w.step, &after);
    }
    end(&w);
    return ok;
}

/* ---- forward mode ------------------------------------------------------------------------------------------------ */

bool tape__watched_tangents(tape__record *r)
{
    tape *t = r->f->t;
    watch w;
    if (t->trace->quiet)
        return tape__record_tangents(r);
    if (!begin(&w, t, TAPE_TRACE_TANGENT, r->slot, r->n_in, r->n_out))
        return false;
    for (int i = 0; i < r->n_in; i++)
        add(&w, "input", i, tape__at(t, r->in[i]));
    for (int k = 0; k < r->n_out; k++)
        add(&w, "output", k, tape__at(t, r->slot + (uint32_t)k));
    for (int i = 0; i < r->n_in; i++)
        if (!tape_is_none(r->tx[i]))
            add(&w, "tangent", i, tape__at(t, r->tx[i].slot));
    bool ok = tape__record_tangents(r);
    for (int k = 0; k < r->n_out && ok && tape__traces(t); k++) {
        uint32_t slot = tape_is_none(r->ty[k]) ? TAPE__NO_SLOT : tape__resolve(t, r->ty[k], k);
        if (slot == TAPE__NO_SLOT)
            continue;
        tape__traced result = tape__traced_node("tangent", k, tape__at(t, slot));
        ok = tape__trace_judge(t, &w.step, &result);
    }
    end(&w);
    return ok;
}
