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

tape__adjoint *tape__adjoint_of(tape *t, const tape__node *x)
{
    if (!tape__is_single(x)) {
        x->adj.adjoint->refs++;
        return x->adj.adjoint;
    }
    tape__adjoint *adjoint = tape__adjoint_new(t, x->layout->dense, x->dtype);
    if (adjoint)
        memcpy(adjoint->data, &x->adj, tape__item_size(x->dtype));
    return adjoint;
}

/* out = a + b over `dense`'s shape; out may be a. */
static void add(tape *t, const tape__layout *dense, int dtype, void *out, const void *a, const tape__layout *la,
                const void *b, const tape__layout *lb)
{
    const void *data[2] = {a, b};
    if (la == dense && lb == dense) {
        tape__ewise_flat_value(t->kernels, tape__threads_of(t), TAPE__EW_add, dtype, dense->numel, 0, out, data, NULL);
        return;
    }
    const tape__plan *plan = tape__plan_of(t->plans, &t->layouts, dense, la, lb, NULL);
    if (tape__plan_run(t, plan, &(tape__planned){TAPE__EW_add, -1, dtype, false, NULL, out, {a, b}}))
        return;
    const int64_t *stride[2] = {la->stride, lb->stride};
    tape__ewise_value(t->kernels, tape__threads_of(t), TAPE__EW_add, dtype, dense->rank, dense->size, out, data, stride,
                      NULL);
}

static void contribute_single(tape__node *x, const void *data)
{
    bool has = x->flags & TAPE__HAS_ADJOINT;
    x->flags |= TAPE__HAS_ADJOINT;
    if (x->dtype == TAPE_F64) {
        double value = *(const double *)data;
        x->adj.f64 = has ? x->adj.f64 + value : value;
    } else {
        float value = *(const float *)data;
        x->adj.f32 = has ? x->adj.f32 + value : value;
    }
}

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
        tape__adjoint *copy = first_adjoint(t, x);
        if (copy)
            tape__copy_dense(t, layout, x->dtype, data, copy->data);
        return copy;
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
        contribute_single(x, data);
        return true;
    }
    if (!(x->flags & TAPE__HAS_ADJOINT))
        return contribute_first(t, x, data, layout, holder);
    tape__adjoint *old = x->adj.adjoint;
    tape__adjoint *sum = is_exclusive(old) ? old : tape__adjoint_new(t, x->layout->dense, x->dtype);
    if (!sum)
        return false;
    add(t, x->layout->dense, x->dtype, sum->data, old->data, old->layout, data, layout);
    if (sum != old) {
        tape__adjoint_release(t, old);
        x->adj.adjoint = sum;
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
    tape__copy_dense(t, old->layout, x->dtype, old->data, mine->data);
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
    tape__split split;
    tape__split_axes(&split, layout->rank, layout->size, layout->stride, mask);
    tape__reduce_args args = {.reduction = TAPE__SUM, .split = &split, .x = data};
    args.y = tape__adjoint_target(t, x, &args.accumulate);
    if (args.y)
        t->kernels->reduce->reduce[x->dtype](tape__threads_of(t), &args);
    return args.y;
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
