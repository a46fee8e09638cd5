/* One record on the way back: checks what it saved, then runs its VJP, by handles or by the fused elementwise kernels.
 */
#include <assert.h>
#include <string.h>

#include "kernels/any/ewise_driver.h"
#include "kernels/kernels.h"
#include "sweep.h"

#define FEW 8

TAPE__INLINE bool is_wanted(const tape__sweep *s, uint32_t slot, const tape__node *x)
{
    return x->flags & TAPE__REQUIRES_GRAD && tape__sweep_wants(s, slot, x);
}

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

enum outcome { DONE, DECLINED, FAILED };

/* Finds which inputs want an adjoint. Whether one that the derivative reads was written since: tape__check_saved() then
 * says what it was. */
TAPE__INLINE bool look_at_inputs(const tape__sweep *s, tape__fused *f, const uint32_t *saved, unsigned flags)
{
    unsigned stale = 0;
    f->needs = 0;
    for (int i = 0; i < f->n_in; i++) {
        const tape__node *x = tape__at(f->t, f->in[i]);
        f->needs |= (unsigned)is_wanted(s, f->in[i], x) << i;
        stale |= *x->version ^ saved[i] ? flags & TAPE__SAVES(i) : 0;
    }
    return stale || (flags & TAPE__SAVES_OUTPUT && f->y->own_version);
}

/* The short way of an op with a fused VJP. */
TAPE__INLINE enum outcome run_fused(tape__sweep *s, tape__node *y, uint32_t slot)
{
    tape *t = s->t;
    const tape__op *op = &tape__ops[y->op];
    const uint32_t *saved;
    if (!(y->flags & TAPE__HAS_ADJOINT) || y->flags & TAPE__SIBLING_ADJOINT)
        return DECLINED;
    tape__fused f;
    f.t = t;
    f.y = y;
    f.slot = slot;
    f.attr = tape__record_attr(y);
    f.n_in = tape__record_inputs(y, &f.in, &saved);
    const bool stale = look_at_inputs(s, &f, saved, op->flags);
    if (!f.needs)
        return DONE;
    if (TAPE__UNLIKELY(stale || tape__record_outputs(y) > 1) && !tape__check_saved(t, slot))
        return FAILED;
    const bool single = tape__is_single(y);
    f.holder = single ? NULL : y->adj.adjoint;
    f.g = single ? (const void *)&y->adj : f.holder->data;
    f.g_layout = single ? y->layout : f.holder->layout;
    const char *before = t->op_name;
    t->op_name = op->name;
    bool done = op->fused(&f);
    t->op_name = before;
    return done ? DONE : t->status == TAPE_OK ? DECLINED : FAILED;
}

/* The long way: by handles. */
static TAPE__NOINLINE bool visit_by_handles(tape__sweep *s, tape__node *y, uint32_t slot)
{
    tape *t = s->t;
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
        v.needs[i] = is_wanted(s, v.in[i], x);
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
    enum outcome fused = DECLINED;
    if (tape__ops[y->op].fused && !s->record && s->t->wrong_op != y->op)
        fused = run_fused(s, y, slot);
    return fused == DECLINED ? visit_by_handles(s, y, slot) : fused == DONE;
}

/* ---- elementwise ops: fused kernels ------------------------------------------------------------------------------ */

typedef struct fused {
    tape *t;
    tape__node *y, *x[TAPE__EWISE_INPUTS];
    const uint32_t *in, *saved;
    int n_in, ewise;
    unsigned wanted; /* bit i: input i */
    const double *params;
    const void *g; /* y's adjoint */
    const tape__layout *g_layout;
    tape__adjoint *holder; /* keeps it; NULL for a one-element y */
} fused;

/* Input k, and its layout, if the derivative reads it. */
TAPE__INLINE const void *data_of(const fused *f, unsigned uses, int k)
{
    return uses >> k & 1 ? f->x[k]->data : NULL;
}

TAPE__INLINE const tape__layout *layout_of(const fused *f, unsigned uses, int k)
{
    return uses >> k & 1 ? f->x[k]->layout : NULL;
}
_Static_assert(TAPE__USES_X0 == 1 && TAPE__USES_X1 == 2 && TAPE__USES_X2 == 4, "bit k stands for input k");

/* out (+)= d_i * g over y's shape. */
static void run_derivative(const fused *f, int i, unsigned uses, void *out, bool accumulate)
{
    tape *t = f->t;
    const tape__layout *shape = f->y->layout->dense;
    if (f->n_in < TAPE__EWISE_INPUTS) {
        const tape__plan *plan =
            tape__plan_of(t->plans, &t->layouts, shape, layout_of(f, uses, 0), layout_of(f, uses, 1), f->g_layout);
        tape__planned p = {f->ewise,
                           i,
                           f->y->dtype,
                           accumulate,
                           f->params,
                           out,
                           {data_of(f, uses, 0), data_of(f, uses, 1), NULL, f->y->data, f->g}};
        if (TAPE__LIKELY(tape__plan_run(t, plan, &p)))
            return;
    }
    int64_t stride[TAPE__EWISE_INPUTS][TAPE_MAX_RANK];
    const void *data[TAPE__EWISE_INPUTS] = {NULL};
    for (int k = 0; k < f->n_in; k++) {
        data[k] = data_of(f, uses, k);
        tape__broadcast_strides(f->x[k]->layout, shape->rank, shape->size, stride[k]);
    }
    tape__ewise_derivative(t->kernels, tape__threads_of(t), f->ewise, i, f->y->dtype, shape->rank, shape->size, out,
                           accumulate, f->g, f->g_layout->stride, data,
                           (const int64_t *const[]){stride[0], stride[1], stride[2]}, f->y->data, f->params);
}

/* x was stretched: the product over y's shape goes to a block of its own and is summed down. */
static bool derive_stretched(const fused *f, int i, unsigned uses)
{
    tape *t = f->t;
    if (uses & TAPE__USES_ONE)
        return tape__contribute_sum(t, f->x[i], f->g, f->g_layout);
    const tape__layout *dense = f->y->layout->dense;
    size_t bytes = (size_t)dense->numel * tape__item_size(f->y->dtype);
    void *product = tape__arena_get(&t->arena, bytes);
    if (!product)
        return tape__error(t, TAPE_ERROR_MEMORY, "out of memory for an adjoint of %s", TAPE__LAYOUT_TEXT(dense));
    run_derivative(f, i, uses, product, false);
    bool ok = tape__contribute_sum(t, f->x[i], product, dense);
    tape__arena_put(&t->arena, product, bytes);
    return ok;
}

static bool is_written(const fused *f, unsigned uses)
{
    unsigned stale = uses & TAPE__USES_Y ? f->y->own_version : 0;
    for (int k = 0; k < f->n_in; k++)
        stale |= uses >> k & 1 ? *f->x[k]->version ^ f->saved[k] : 0;
    return stale;
}

/* `last`: nobody reads g any more. */
static bool derive(const fused *f, int i, bool last)
{
    tape *t = f->t;
    tape__node *x = f->x[i];
    const unsigned uses = tape__ewise_uses(f->ewise, i);
    if (is_written(f, uses) && !tape__check_uses(t, f->y, f->in, f->saved, f->n_in, uses))
        return false;
    if (x->layout->numel != f->y->layout->numel)
        return derive_stretched(f, i, uses);
    const tape__layout *dense = x->layout->dense;
    if (uses & TAPE__USES_ONE && (f->g_layout == dense || dense == f->y->layout->dense))
        return tape__contribute(t, x, f->g, f->g_layout, f->holder);
    bool accumulate = false;
    void *out = last ? tape__adjoint_inherit(t, f->y, x) : NULL;
    if (!out && !(out = tape__adjoint_target(t, x, &accumulate)))
        return false;
    run_derivative(f, i, uses, out, accumulate);
    return true;
}

/* The input that comes last, because it may inherit y's adjoint; -1 if none may. */
static int heir_of(const fused *f)
{
    for (int i = 0; i < f->n_in && f->holder; i++) {
        const tape__node *x = f->x[i];
        bool alone = f->wanted >> i & 1 && x->layout->dense == f->g_layout && !(x->flags & TAPE__HAS_ADJOINT) &&
                     !(tape__ewise_uses(f->ewise, i) & TAPE__USES_ONE);
        for (int k = 0; alone && k < f->n_in; k++)
            alone = k == i || f->in[k] != f->in[i];
        if (alone)
            return i;
    }
    return -1;
}

/* ---- one element ------------------------------------------------------------------------------------------------- */

/* x's adjoint += d g for a one-element x, a strong zero where g is 0. */
#define ADD_SINGLE(type, x, field, d, g)                                                                               \
    do {                                                                                                               \
        type product = (g) == 0 ? 0 : (d) * (g);                                                                       \
        (x)->adj.field = (x)->flags & TAPE__HAS_ADJOINT ? (x)->adj.field + product : product;                          \
        (x)->flags |= TAPE__HAS_ADJOINT;                                                                               \
    } while (0)

/* The arithmetic of one-element tensors costs less than any call: written out for add, sub and mul. */
#define DERIVE_SINGLE(type, field)                                                                                     \
    do {                                                                                                               \
        type g = y->adj.field;                                                                                         \
        if (wants_a)                                                                                                   \
            ADD_SINGLE(type, a, field, mul ? *(const type *)b->data : 1, g);                                           \
        if (wants_b)                                                                                                   \
            ADD_SINGLE(type, b, field, mul ? *(const type *)a->data : y->op == TAPE__OP_sub ? -1 : 1, g);              \
    } while (0)

/* False where it does not apply, a saved value that was written included: the long way then reports it. */
TAPE__INLINE bool derive_single(tape__sweep *s, tape__node *y)
{
    bool mul = y->op == TAPE__OP_mul;
    if (!(mul || y->op == TAPE__OP_add || y->op == TAPE__OP_sub) || !tape__is_single(y))
        return false;
    tape__node *a = tape__at(s->t, y->in[0]), *b = tape__at(s->t, y->in[1]);
    if (!s->to_leaves || !tape__is_single(a) || !tape__is_single(b))
        return false;
    bool wants_a = a->flags & TAPE__REQUIRES_GRAD, wants_b = b->flags & TAPE__REQUIRES_GRAD;
    if (mul && ((wants_a && *b->version != y->saved[1]) || (wants_b && *a->version != y->saved[0])))
        return false;
    if (y->dtype == TAPE_F32)
        DERIVE_SINGLE(float, f32);
    else
        DERIVE_SINGLE(double, f64);
    return true;
}

/* ---- one layout -------------------------------------------------------------------------------------------------- */

static bool is_unwritten(const tape__node *y, tape__node *const *x, unsigned uses)
{
    return !(uses & TAPE__USES_X0 && *x[0]->version != y->saved[0]) &&
           !(uses & TAPE__USES_X1 && *x[1]->version != y->saved[1]) && !(uses & TAPE__USES_Y && y->own_version);
}

/* x[i]'s adjoint += d_i g; `last`: nobody reads g any more. */
static bool derive_one(tape *t, tape__node *y, tape__node *const *x, int i, bool last)
{
    const int ewise = tape__ops[y->op].ewise;
    tape__adjoint *g = y->adj.adjoint;
    if (tape__ewise_uses(ewise, i) & TAPE__USES_ONE)
        return tape__contribute(t, x[i], g->data, g->layout, g);
    const int64_t n = y->layout->numel;
    const void *const data[3] = {x[0]->data, x[1]->data, NULL};
    bool accumulate = false;
    void *out = last ? tape__adjoint_inherit(t, y, x[i]) : NULL;
    if (!out && !(out = tape__adjoint_target(t, x[i], &accumulate)))
        return false;
    tape__ewise_flat_derivative(t->kernels, n < TAPE__EWISE_SERIAL ? NULL : tape__threads_of(t), ewise, i, y->dtype, n,
                                0, out, accumulate, g->data, data, y->data, NULL);
    return true;
}

/*
 * Where y, its adjoint and its inputs share one dense layout there is nothing to plan. A saved value that was written
 * is declined: the long way reports it. The input that has no adjoint yet comes last, for it may inherit y's.
 */
static enum outcome derive_alike(tape__sweep *s, tape__node *y)
{
    tape *t = s->t;
    const tape__op *op = &tape__ops[y->op];
    const tape__layout *layout = y->layout;
    if (tape__is_single(y) || y->u.extra || y->adj.adjoint->layout != layout || !tape__is_dense(layout))
        return DECLINED;
    const int last = op->arity - 1;
    tape__node *x[2] = {tape__at(t, y->in[0])};
    x[1] = last ? tape__at(t, y->in[1]) : x[0];
    if (x[0]->layout != layout || x[1]->layout != layout)
        return DECLINED;
    const bool wants_0 = is_wanted(s, y->in[0], x[0]), wants_1 = last && is_wanted(s, y->in[1], x[1]);
    const unsigned uses =
        (wants_0 ? tape__ewise_uses(op->ewise, 0) : 0) | (wants_1 ? tape__ewise_uses(op->ewise, 1) : 0);
    if (!is_unwritten(y, x, uses))
        return DECLINED;
    const bool swapped = wants_0 && wants_1 && x[0] != x[1] && x[1]->flags & TAPE__HAS_ADJOINT;
    if (swapped && !derive_one(t, y, x, 1, false))
        return FAILED;
    if (wants_0 && !derive_one(t, y, x, 0, swapped || !wants_1))
        return FAILED;
    return !wants_1 || swapped || derive_one(t, y, x, 1, true) ? DONE : FAILED;
}

static bool visit_any(tape__sweep *s, tape__node *y)
{
    fused f;
    const bool single = tape__is_single(y);
    f.t = s->t;
    f.y = y;
    f.ewise = tape__ops[y->op].ewise;
    f.params = tape__record_attr(y);
    f.n_in = tape__record_inputs(y, &f.in, &f.saved);
    f.wanted = 0;
    for (int k = 0; k < f.n_in; k++) {
        f.x[k] = tape__at(s->t, f.in[k]);
        f.wanted |= (unsigned)is_wanted(s, f.in[k], f.x[k]) << k;
    }
    f.holder = single ? NULL : y->adj.adjoint;
    f.g = single ? (const void *)&y->adj : f.holder->data;
    f.g_layout = single ? y->layout : f.holder->layout;
    const int heir = heir_of(&f);
    for (int i = 0; i < f.n_in; i++)
        if (i != heir && f.wanted >> i & 1 && !derive(&f, i, false))
            return false;
    return heir < 0 || derive(&f, heir, true);
}

static bool visit_tensor(tape__sweep *s, tape__node *y)
{
    enum outcome alike = derive_alike(s, y);
    return alike == DECLINED ? visit_any(s, y) : alike == DONE;
}

bool tape__visit_elementwise(tape__sweep *s, tape__node *y)
{
    return derive_single(s, y) || visit_tensor(s, y);
}
