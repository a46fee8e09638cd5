/* Forward mode: the pass over the records that carries tangents from the xs to the ys. Does not know any op. */
#include "forward.h"

#include <string.h>

#include "tape/autodiff.h"
#include "watch.h"

#define FEW 8

static bool is_ours(const tape__forward *f, uint32_t slot)
{
    if (slot >= f->floor)
        return true;
    for (int j = 0; j < f->m; j++)
        if (f->seeds[j].slot == slot)
            return true;
    return false;
}

static tape_tensor tangent_of(const tape__forward *f, uint32_t slot)
{
    const tape__node *x = tape__at(f->t, slot);
    return x->flags & TAPE__HAS_ADJOINT && is_ours(f, slot) ? tape__handle(f->t, x->adj.recorded) : TAPE_NONE;
}

static bool add_tangent(const tape__forward *f, uint32_t slot, tape_tensor tangent, int position)
{
    tape *t = f->t;
    tape__node *y = tape__at(t, slot);
    uint32_t from = tape__resolve(t, tangent, position);
    if (from == TAPE__NO_SLOT)
        return false;
    const tape__node *node = tape__at(t, from);
    if (node->layout->dense != y->layout->dense || node->dtype != y->dtype)
        return tape__error(t, TAPE_ERROR_SHAPE, "the tangent has shape %s and dtype %s, its tensor %s and %s",
                           TAPE__LAYOUT_TEXT(node->layout), tape_dtype_name((tape_dtype)node->dtype),
                           TAPE__LAYOUT_TEXT(y->layout), tape_dtype_name((tape_dtype)y->dtype));
    tape_tensor before = tangent_of(f, slot);
    if (!tape_is_none(before) && (from = tape__resolve(t, tape_add(before, tangent), 0)) == TAPE__NO_SLOT)
        return false;
    y->adj.recorded = from;
    y->flags |= TAPE__HAS_ADJOINT;
    return true;
}

/* ---- one record -------------------------------------------------------------------------------------------------- */

static bool gather(tape__record *r)
{
    tape *t = r->f->t;
    bool any = false;
    for (int i = 0; i < r->n_in; i++) {
        r->x[i] = tape__handle(t, r->in[i]);
        r->tx[i] = tangent_of(r->f, r->in[i]);
        r->gx[i] = TAPE_NONE;
        any |= r->needs[i] = !tape_is_none(r->tx[i]);
    }
    for (int k = 0; k < r->n_out; k++) {
        r->y[k] = tape__handle(t, r->slot + (uint32_t)k);
        r->ty[k] = TAPE_NONE;
    }
    return any;
}

static bool visit(const tape__forward *f, uint32_t slot)
{
    tape *t = f->t;
    if (!tape__check_consumed(t, slot))
        return false;
    tape__record r = {.f = f, .node = tape__at(t, slot), .slot = slot};
    r.n_in = tape__record_inputs(r.node, &r.in, &r.saved);
    r.n_out = tape__record_outputs(r.node);
    r.attr = tape__record_attr(r.node);
    r.attr_size = r.attr ? r.node->u.extra->attr_size : 0;
    tape_tensor few[3 * FEW], *room = few;
    bool few_needs[FEW];
    size_t bytes = (size_t)r.n_in * (3 * sizeof *room + sizeof(bool));
    if (r.n_in > FEW && !(room = tape__arena_get(&t->arena, bytes)))
        return tape__error(t, TAPE_ERROR_MEMORY, "out of memory for the tangents of %d inputs", r.n_in);
    r.x = room;
    r.tx = room + r.n_in;
    r.gx = r.tx + r.n_in;
    r.needs = room == few ? few_needs : (bool *)(void *)(r.gx + r.n_in);
    bool ok = true;
    if (gather(&r)) {
        ok = tape__traces(t) ? tape__watched_tangents(&r) : tape__record_tangents(&r);
        for (int k = 0; k < r.n_out && ok; k++) {
            bool wanted = tape__at(t, slot + (uint32_t)k)->flags & TAPE__WANTED; /* only these are cleared at the end */
            ok = !wanted || tape_is_none(r.ty[k]) || add_tangent(f, slot + (uint32_t)k, r.ty[k], k);
        }
    }
    if (room != few)
        tape__arena_put(&t->arena, room, bytes);
    return ok;
}

/* ---- the pass ---------------------------------------------------------------------------------------------------- */

/* Which records the ys depend on: one pass backwards. */
static void mark_wanted(const tape__forward *f, uint32_t low, uint32_t top)
{
    tape *t = f->t;
    for (uint32_t slot = top + 1; slot-- > low;) {
        const tape__node *y = tape__at(t, slot);
        if (!(y->flags & TAPE__WANTED) || y->op <= TAPE__OP_LEAF || !(y->flags & TAPE__REQUIRES_GRAD))
            continue;
        const uint32_t *in = y->in, *saved;
        int n = y->op == TAPE__OP_OUTPUT ? 1 : tape__record_inputs(y, &in, &saved);
        for (int i = 0; i < n; i++)
            if (in[i] >= low)
                tape__at(t, in[i])->flags |= TAPE__WANTED;
    }
}

static bool run(const tape__forward *f, uint32_t low, uint32_t top)
{
    bool ok = true;
    mark_wanted(f, low, top);
    for (uint32_t slot = low; slot <= top && ok; slot++) {
        const tape__node *y = tape__at(f->t, slot);
        if (y->flags & TAPE__WANTED && y->flags & TAPE__REQUIRES_GRAD && y->op > TAPE__OP_OUTPUT)
            ok = visit(f, slot);
    }
    return ok;
}

static bool resolve_seeds(tape__forward *f, const tape_tensor *xs, uint32_t *low)
{
    for (int j = 0; j < f->m; j++) {
        uint32_t slot = tape__resolve(f->t, xs[j], j);
        if (slot == TAPE__NO_SLOT)
            return false;
        f->seeds[j] = (tape__seed){.slot = slot};
        *low = slot < *low ? slot : *low;
    }
    return true;
}

static bool plant(const tape__forward *f, const tape_tensor *tangents)
{
    for (int j = 0; j < f->m; j++) {
        tape__node *x = tape__at(f->t, f->seeds[j].slot);
        f->seeds[j].outer_flags = x->flags;
        memcpy(&f->seeds[j].outer_value, &x->adj, sizeof x->adj);
        if (f->seeds[j].slot < f->floor)
            x->flags &= (uint8_t)~TAPE__HAS_ADJOINT;
    }
    bool ok = true;
    for (int j = 0; j < f->m && ok; j++)
        if (!tape_is_none(tangents[j]) && tape__at(f->t, f->seeds[j].slot)->flags & TAPE__REQUIRES_GRAD)
            ok = add_tangent(f, f->seeds[j].slot, tangents[j], j);
    return ok;
}

/* Seeds in the reverse order: of a tensor that is given twice the first remembers. */
static void clear(const tape__forward *f, uint32_t low, uint32_t top)
{
    for (uint32_t slot = low; slot <= top; slot++)
        tape__at(f->t, slot)->flags &= (uint8_t) ~(TAPE__WANTED | TAPE__HAS_ADJOINT);
    for (int j = f->m; j-- > 0;) {
        tape__node *x = tape__at(f->t, f->seeds[j].slot);
        if (f->seeds[j].slot < f->floor) {
            x->flags = f->seeds[j].outer_flags;
            memcpy(&x->adj, &f->seeds[j].outer_value, sizeof x->adj);
        } else {
            x->flags &= (uint8_t) ~(TAPE__WANTED | TAPE__HAS_ADJOINT);
        }
    }
}

static bool jvp(const tape__forward *f, uint32_t low, const uint32_t *slots, int n, const tape_tensor *tangents,
                tape_tensor *out)
{
    tape *t = f->t;
    uint32_t top = 0, count = t->count;
    low = low < f->floor ? f->floor : low;
    t->paused += !f->record;
    bool ok = plant(f, tangents);
    for (int i = 0; i < n; i++) {
        top = slots[i] > top ? slots[i] : top;
        if (slots[i] >= low)
            tape__at(t, slots[i])->flags |= TAPE__WANTED;
    }
    ok = ok && run(f, low, top);
    for (int i = 0; i < n; i++)
        out[i] = ok ? tangent_of(f, slots[i]) : TAPE_NULL;
    clear(f, low, top);
    t->paused -= !f->record;
    return ok && (f->record || tape__truncate_keeping(t, count, out, n));
}

tape_status tape_jvp(const tape_tensor *ys, int n, const tape_tensor *xs, int m, const tape_tensor *tangents,
                     const tape_grad_options *options, tape_tensor *out)
{
    for (int i = 0; i < n; i++)
        out[i] = TAPE_NULL;
    tape *t = tape__begin("jvp");
    if (!t || !tape__settled(t))
        return tape_last_status();
    if (n < 1 || m < 1 || !tangents) {
        tape__error(t, TAPE_ERROR_ARGUMENT, "needs at least one y, one x and its tangent, got n = %d, m = %d", n, m);
        return t->status;
    }
    size_t slot_bytes = (size_t)n * sizeof(uint32_t), seed_bytes = (size_t)m * sizeof(tape__seed);
    uint32_t *slots = tape__arena_get(&t->arena, slot_bytes), low = UINT32_MAX;
    tape__forward f = {.t = t, .floor = t->callback_floor, .m = m};
    f.seeds = tape__arena_get(&t->arena, seed_bytes);
    f.record = options && options->create_graph && t->paused == 0;
    if (!slots || !f.seeds) {
        tape__error(t, TAPE_ERROR_MEMORY, "out of memory for %d results of %d tangents", n, m);
        return t->status;
    }
    const char *before = tape__enter(t, "jvp");
    bool ok = resolve_seeds(&f, xs, &low);
    for (int i = 0; i < n && ok; i++)
        ok = (slots[i] = tape__resolve(t, ys[i], i)) != TAPE__NO_SLOT;
    ok = ok && jvp(&f, low, slots, n, tangents, out);
    t->composite_depth--;
    t->op_name = before;
    tape__arena_put(&t->arena, slots, slot_bytes);
    tape__arena_put(&t->arena, f.seeds, seed_bytes);
    return ok ? TAPE_OK : t->status;
}
