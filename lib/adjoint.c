/* Adjoints during a sweep: sharing, adding, releasing. Does not know any op but add. */
#include "adjoint.h"

#include <string.h>

#include "kernels/any/ewise_driver.h"
#include "kernels/reduce.h"
#include "trace.h"

#define IN_PLACE ((size_t)1 << 8) /* bytes of a leaf's adjoint from which a copy costs more than a claim */

static TAPE__NOINLINE bool out_of_memory(tape *t, const tape__layout *layout)
{
    return tape__error(t, TAPE_ERROR_MEMORY, "out of memory for an adjoint of %s", TAPE__LAYOUT_TEXT(layout));
}

/* The pool lives in the arena: tape_reset() and tape_rewind() forget it (tape.c). */
TAPE__INLINE tape__adjoint *from_pool(tape *t)
{
    tape__adjoint *adjoint = t->free_adjoints;
    if (TAPE__UNLIKELY(!adjoint))
        return tape__arena_get(&t->arena, sizeof *adjoint);
    t->free_adjoints = adjoint->owner;
    return adjoint;
}

TAPE__INLINE tape__adjoint *wrap(tape *t, void *data, const tape__layout *layout, void *block, size_t bytes,
                                 tape__adjoint *owner)
{
    tape__adjoint *adjoint = from_pool(t);
    if (TAPE__UNLIKELY(!adjoint)) {
        out_of_memory(t, layout);
        return NULL;
    }
    *adjoint = (tape__adjoint){data, layout, block, bytes, owner, 1, false, NULL, NULL};
    if (owner)
        owner->refs++;
    return adjoint;
}

tape__adjoint *tape__adjoint_wrap(tape *t, void *data, const tape__layout *layout, void *block, size_t bytes,
                                  tape__adjoint *owner)
{
    return wrap(t, data, layout, block, bytes, owner);
}

TAPE__INLINE tape__adjoint *new_adjoint(tape *t, const tape__layout *dense, unsigned dtype)
{
    const size_t bytes = (size_t)dense->numel * tape__item_size(dtype);
    void *block = tape__arena_get(&t->arena, bytes);
    if (TAPE__UNLIKELY(!block)) {
        out_of_memory(t, dense);
        return NULL;
    }
    tape__adjoint *adjoint = wrap(t, block, dense, block, bytes, NULL);
    if (TAPE__UNLIKELY(!adjoint))
        tape__arena_put(&t->arena, block, bytes);
    return adjoint;
}

tape__adjoint *tape__adjoint_new(tape *t, const tape__layout *dense, tape_dtype dtype)
{
    return new_adjoint(t, dense, dtype);
}

void tape__adjoint_release(tape *t, tape__adjoint *adjoint)
{
    while (adjoint && --adjoint->refs == 0) {
        tape__adjoint *owner = adjoint->owner;
        if (adjoint->block)
            tape__arena_put(&t->arena, adjoint->block, adjoint->bytes);
        if (adjoint->leaf)
            tape__leaf_unclaim(adjoint->leaf);
        adjoint->owner = t->free_adjoints;
        t->free_adjoints = adjoint;
        adjoint = owner;
    }
}

typedef struct copying {
    const tape__layout *layout;
    const void *from;
    void *to;
    unsigned dtype;
} copying;

static bool copy(tape *t, const void *arguments)
{
    const copying *c = arguments;
    tape__copy_dense(t, c->layout, c->dtype, c->from, c->to);
    return true;
}

tape__adjoint *tape__adjoint_of(tape *t, const tape__node *x)
{
    if (!tape__is_single(x)) {
        x->adj.adjoint->refs++;
        return x->adj.adjoint;
    }
    tape__adjoint *adjoint = tape__adjoint_new(t, x->layout->dense, x->dtype);
    if (adjoint)
        TAPE__DO(t, copy, (&(copying){x->layout->dense, &x->adj, adjoint->data, x->dtype}));
    return adjoint;
}

/* ---- what is done to memory -------------------------------------------------------------------------------------- */

/* out = a + b over the shape; out may be a. */
typedef struct addition {
    const tape__layout *dense, *la, *lb;
    const void *a, *b;
    void *out;
    int dtype;
} addition;

static bool add(tape *t, const void *arguments)
{
    const addition *s = arguments;
    const tape__layout *dense = s->dense;
    const void *data[2] = {s->a, s->b};
    if (s->la == dense && s->lb == dense) {
        tape__ewise_flat_value(t->kernels, tape__threads_of(t), TAPE__EW_add, s->dtype, dense->numel, 0, s->out, data,
                               NULL);
        return true;
    }
    const tape__plan *plan = tape__plan_of(t->plans, &t->layouts, dense, s->la, s->lb, NULL);
    if (tape__plan_run(t, plan, &(tape__planned){TAPE__EW_add, -1, s->dtype, false, NULL, s->out, {s->a, s->b}}))
        return true;
    const int64_t *stride[2] = {s->la->stride, s->lb->stride};
    tape__ewise_value(t->kernels, tape__threads_of(t), TAPE__EW_add, s->dtype, dense->rank, dense->size, s->out, data,
                      stride, NULL);
    return true;
}

/* One element. */
typedef struct single {
    tape__node *x;
    const void *data;
    bool has; /* x has an adjoint to add to */
} single;

static bool add_single(tape *t, const void *arguments)
{
    const single *s = arguments;
    tape__node *x = s->x;
    (void)t;
    if (x->dtype == TAPE_F64) {
        double value = *(const double *)s->data;
        x->adj.f64 = s->has ? x->adj.f64 + value : value;
    } else {
        float value = *(const float *)s->data;
        x->adj.f32 = s->has ? x->adj.f32 + value : value;
    }
    return true;
}

static void contribute_single(tape *t, tape__node *x, const void *data)
{
    const single s = {x, data, x->flags & TAPE__HAS_ADJOINT};
    x->flags |= TAPE__HAS_ADJOINT;
    TAPE__DO(t, add_single, &s);
}

typedef struct summation {
    tape__reduce_args args;
    tape__split split;
    unsigned dtype;
} summation;

static bool sum(tape *t, const void *arguments)
{
    const summation *s = arguments;
    tape__reduce_args args = s->args;
    args.split = &s->split;
    t->kernels->reduce->reduce[s->dtype](tape__reduce_pays(&args) ? tape__threads_of(t) : NULL, &args);
    return true;
}

/* ---- contributions ----------------------------------------------------------------------------------------------- */

static bool is_exclusive(const tape__adjoint *adjoint)
{
    return adjoint->refs == 1 && (adjoint->block || adjoint->leaf) && tape__is_dense(adjoint->layout);
}

static inline bool is_worth_a_claim(const tape__node *x)
{
    return x->op == TAPE__OP_LEAF && (size_t)x->layout->numel * tape__item_size(x->dtype) >= IN_PLACE;
}

/* An adjoint in the buffer of a leaf's gradient; NULL where that cannot be had. */
static __attribute__((noinline)) tape__adjoint *adjoint_in_place(tape *t, tape__node *x)
{
    tape__leaf *leaf = x->u.leaf;
    if (!t->claiming || !tape__alias_alive(t, x) || leaf->dtype != x->dtype)
        return NULL;
    void *data = tape__leaf_claim(t, leaf);
    if (!data)
        return NULL;
    tape__adjoint *adjoint = tape__adjoint_wrap(t, data, x->layout->dense, NULL, 0, NULL);
    if (!adjoint) {
        tape__leaf_unclaim(leaf);
        return NULL;
    }
    adjoint->leaf = leaf;
    adjoint->next_claim = t->claims;
    t->claims = adjoint;
    return adjoint;
}

/* The adjoint that x does not have yet, not initialised. NULL after an error. */
TAPE__INLINE tape__adjoint *first_adjoint(tape *t, tape__node *x)
{
    tape__adjoint *adjoint = TAPE__UNLIKELY(is_worth_a_claim(x)) ? adjoint_in_place(t, x) : NULL;
    if (!adjoint && !(adjoint = new_adjoint(t, x->layout->dense, x->dtype)))
        return NULL;
    x->adj.adjoint = adjoint;
    x->flags |= TAPE__HAS_ADJOINT;
    return adjoint;
}

bool tape__adjoint_lend(tape *t, tape__node *x, const void *data, const tape__layout *layout)
{
    tape__adjoint *adjoint = tape__adjoint_wrap(t, (void *)(uintptr_t)data, layout, NULL, 0, NULL);
    if (!adjoint)
        return false;
    adjoint->lent = true;
    x->adj.adjoint = adjoint;
    x->flags |= TAPE__HAS_ADJOINT;
    return true;
}

static bool contribute_first(tape *t, tape__node *x, const void *data, const tape__layout *layout,
                             tape__adjoint *holder)
{
    if (!holder || holder->lent) {
        tape__adjoint *own = first_adjoint(t, x);
        return own && TAPE__DO(t, copy, (&(copying){layout, data, own->data, x->dtype}));
    }
    tape__adjoint *mine = holder;
    if (holder->data == data && holder->layout == layout)
        mine->refs++;
    else if (!(mine = wrap(t, (void *)(uintptr_t)data, layout, NULL, 0, holder->block ? holder : holder->owner)))
        return false;
    x->adj.adjoint = mine;
    x->flags |= TAPE__HAS_ADJOINT;
    return true;
}

bool tape__contribute(tape *t, tape__node *x, const void *data, const tape__layout *layout, tape__adjoint *holder)
{
    if (tape__is_single(x)) {
        contribute_single(t, x, data);
        return true;
    }
    if (!(x->flags & TAPE__HAS_ADJOINT))
        return contribute_first(t, x, data, layout, holder);
    tape__adjoint *old = x->adj.adjoint;
    tape__adjoint *whole = is_exclusive(old) ? old : tape__adjoint_new(t, x->layout->dense, x->dtype);
    if (!whole)
        return false;
    TAPE__DO(t, add, (&(addition){x->layout->dense, old->layout, layout, old->data, data, whole->data, x->dtype}));
    if (whole != old) {
        tape__adjoint_release(t, old);
        x->adj.adjoint = whole;
    }
    return true;
}

/* Without memory the error ends the sweep before anyone looks at the adjoint again. */
void tape__adjoint_settle(tape *t)
{
    for (tape__adjoint *adjoint; (adjoint = t->claims) != NULL; t->claims = adjoint->next_claim) {
        tape__leaf *leaf = adjoint->leaf;
        adjoint->bytes = leaf->bytes;
        adjoint->block = tape__arena_get(&t->arena, adjoint->bytes);
        if (adjoint->block)
            memcpy(adjoint->block, adjoint->data, adjoint->bytes);
        else
            out_of_memory(t, adjoint->layout);
        adjoint->data = adjoint->block;
        adjoint->leaf = NULL;
        tape__leaf_unclaim(leaf);
    }
}

/* An adjoint that is shared, or a view, becomes x's own. */
static TAPE__NOINLINE void *make_exclusive(tape *t, tape__node *x)
{
    tape__adjoint *old = x->adj.adjoint, *mine = new_adjoint(t, x->layout->dense, x->dtype);
    if (!mine)
        return NULL;
    TAPE__DO(t, copy, (&(copying){old->layout, old->data, mine->data, x->dtype}));
    tape__adjoint_release(t, old);
    x->adj.adjoint = mine;
    return mine->data;
}

void *tape__adjoint_target(tape *t, tape__node *x, bool *accumulate)
{
    *accumulate = x->flags & TAPE__HAS_ADJOINT;
    if (tape__is_single(x)) {
        x->flags |= TAPE__HAS_ADJOINT;
        return &x->adj;
    }
    if (*accumulate)
        return is_exclusive(x->adj.adjoint) ? x->adj.adjoint->data : make_exclusive(t, x);
    tape__adjoint *mine = first_adjoint(t, x);
    return mine ? mine->data : NULL;
}

bool tape__contribute_sum(tape *t, tape__node *x, const void *data, const tape__layout *layout)
{
    unsigned mask = 0;
    int lead = layout->rank - x->layout->rank;
    for (int d = 0; d < layout->rank; d++)
        mask |= (unsigned)(d < lead || x->layout->size[d - lead] != layout->size[d]) << d;
    summation s;
    tape__split_axes(&s.split, layout->rank, layout->size, layout->stride, mask);
    s.args = (tape__reduce_args){.reduction = TAPE__SUM, .x = data};
    s.args.y = tape__adjoint_target(t, x, &s.args.accumulate);
    s.dtype = x->dtype;
    return s.args.y && TAPE__DO(t, sum, &s);
}

bool tape__adjoint_is_spare(const tape *t, const tape__adjoint *g)
{
    return g->refs == 1 && g->block && g->data == g->block && tape__is_dense(g->layout) && !tape__traces(t);
}

void *tape__adjoint_inherit(tape *t, tape__node *y, tape__node *x)
{
    tape__adjoint *g = y->adj.adjoint;
    if (x->flags & TAPE__HAS_ADJOINT || !tape__adjoint_is_spare(t, g) || is_worth_a_claim(x))
        return NULL;
    y->flags &= (uint8_t)~TAPE__HAS_ADJOINT;
    x->adj.adjoint = g;
    x->flags |= TAPE__HAS_ADJOINT;
    return g->data;
}
