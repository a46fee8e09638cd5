/* An elementwise record on the way back: the kernels of its derivatives, on memory. */
#include <string.h>

#include "kernels/any/ewise_driver.h"
#include "kernels/kernels.h"
#include "sweep.h"

/* ---- any layouts ------------------------------------------------------------------------------------------------- */

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

/* A derivative whose operands have layouts that a plan suits. */
typedef struct planned {
    const tape__layout *shape, *a, *b, *g;
    tape__planned p;
} planned;

static bool run_planned(tape *t, const void *arguments)
{
    const planned *d = arguments;
    tape__planned p = d->p;
    return tape__plan_run(t, tape__plan_of(t->plans, &t->layouts, d->shape, d->a, d->b, d->g), &p);
}

/* Any other. */
typedef struct unplanned {
    const tape__layout *shape, *layout[TAPE__EWISE_INPUTS], *g_layout;
    const void *data[TAPE__EWISE_INPUTS], *g, *y;
    const double *params;
    void *out;
    int ewise, input, dtype;
    bool accumulate;
} unplanned;

static bool run_unplanned(tape *t, const void *arguments)
{
    const unplanned *d = arguments;
    const tape__layout *shape = d->shape;
    int64_t stride[TAPE__EWISE_INPUTS][TAPE_MAX_RANK];
    for (int k = 0; k < TAPE__EWISE_INPUTS && d->layout[k]; k++)
        tape__broadcast_strides(d->layout[k], shape->rank, shape->size, stride[k]);
    tape__ewise_derivative(t->kernels, tape__threads_of(t), d->ewise, d->input, d->dtype, shape->rank, shape->size,
                           d->out, d->accumulate, d->g, d->g_layout->stride, d->data,
                           (const int64_t *const[]){stride[0], stride[1], stride[2]}, d->y, d->params);
    return true;
}

/* out (+)= d_i * g over y's shape. */
static void run_derivative(const fused *f, int i, unsigned uses, void *out, bool accumulate)
{
    tape *t = f->t;
    const tape__layout *shape = f->y->layout->dense;
    if (f->n_in < TAPE__EWISE_INPUTS) {
        const planned d = {shape,
                           layout_of(f, uses, 0),
                           layout_of(f, uses, 1),
                           f->g_layout,
                           {f->ewise,
                            i,
                            f->y->dtype,
                            accumulate,
                            f->params,
                            out,
                            {data_of(f, uses, 0), data_of(f, uses, 1), NULL, f->y->data, f->g}}};
        if (TAPE__LIKELY(run_planned(t, &d))) {
            if (TAPE__UNLIKELY(t->noting != NULL))
                tape__note(t, run_planned, &d, sizeof d);
            return;
        }
    }
    unplanned d = {shape,     {NULL}, f->g_layout, {NULL}, f->g,        f->y->data,
                   f->params, out,    f->ewise,    i,      f->y->dtype, accumulate};
    for (int k = 0; k < f->n_in; k++) {
        d.layout[k] = f->x[k]->layout;
        d.data[k] = data_of(f, uses, k);
    }
    TAPE__DO(t, run_unplanned, &d);
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

/* The same to be done again. */
typedef struct single_part {
    tape__node *y, *x;
    const void *other; /* mul: the derivative; else NULL: it is 1, or -1 */
    bool minus, has;   /* x has an adjoint to add to */
} single_part;

static bool run_single(tape *t, const void *arguments)
{
    const single_part *s = arguments;
    (void)t;
#define RUN_SINGLE(type, field)                                                                                        \
    do {                                                                                                               \
        const type g = s->y->adj.field, d = s->other ? *(const type *)s->other : s->minus ? -1 : 1;                    \
        const type product = g == 0 ? 0 : d * g;                                                                       \
        s->x->adj.field = s->has ? s->x->adj.field + product : product;                                                \
    } while (0)
    if (s->y->dtype == TAPE_F32)
        RUN_SINGLE(float, f32);
    else
        RUN_SINGLE(double, f64);
#undef RUN_SINGLE
    return true;
}

static TAPE__NOINLINE void note_singles(tape *t, tape__node *y, tape__node *a, tape__node *b, bool wants_a,
                                        bool wants_b)
{
    const bool mul = y->op == TAPE__OP_mul;
    const single_part to_a = {y, a, mul ? b->data : NULL, false, a->flags & TAPE__HAS_ADJOINT};
    const single_part to_b = {y, b, mul ? a->data : NULL, y->op == TAPE__OP_sub,
                              b->flags & TAPE__HAS_ADJOINT || (wants_a && a == b)};
    if (wants_a)
        tape__note(t, run_single, &to_a, sizeof to_a);
    if (wants_b && t->noting)
        tape__note(t, run_single, &to_b, sizeof to_b);
}

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
    if (TAPE__UNLIKELY(s->t->noting != NULL))
        note_singles(s->t, y, a, b, wants_a, wants_b);
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

/* A derivative of operands that are alike. */
typedef struct flat {
    void *out;
    const void *g, *data[3], *y;
    int64_t n;
    int ewise, input, dtype;
    bool accumulate;
} flat;

static bool run_flat(tape *t, const void *arguments)
{
    const flat *f = arguments;
    tape__ewise_flat_derivative(t->kernels, f->n < TAPE__EWISE_SERIAL ? NULL : tape__threads_of(t), f->ewise, f->input,
                                f->dtype, f->n, 0, f->out, f->accumulate, f->g, f->data, f->y, NULL);
    return true;
}

/* x[i]'s adjoint += d_i g; `last`: nobody reads g any more. */
static bool derive_one(tape *t, tape__node *y, tape__node *const *x, int i, bool last)
{
    const int ewise = tape__ops[y->op].ewise;
    const unsigned uses = tape__ewise_uses(ewise, i);
    tape__adjoint *g = y->adj.adjoint;
    if (uses & TAPE__USES_ONE)
        return tape__contribute(t, x[i], g->data, g->layout, g);
    bool accumulate = false;
    void *out = last ? tape__adjoint_inherit(t, y, x[i]) : NULL;
    if (!out && !(out = tape__adjoint_target(t, x[i], &accumulate)))
        return false;
    const void *a = uses & TAPE__USES_X0 ? x[0]->data : NULL; /* one that is not read may have been freed */
    const void *b = uses & TAPE__USES_X1 ? x[1]->data : NULL;
    const flat f = {out, g->data, {a, b, NULL}, y->data, y->layout->numel, ewise, i, y->dtype, accumulate};
    return TAPE__DO(t, run_flat, &f);
}

/*
 * Where y, its adjoint and its inputs share one dense layout there is nothing to plan. A saved value that was written
 * is declined: the long way reports it. The input that has no adjoint yet comes last, for it may inherit y's.
 */
static enum tape__outcome derive_alike(tape__sweep *s, tape__node *y)
{
    tape *t = s->t;
    const tape__op *op = &tape__ops[y->op];
    const tape__layout *layout = y->layout;
    if (tape__is_single(y) || y->u.extra || y->adj.adjoint->layout != layout || !tape__is_dense(layout))
        return TAPE__DECLINED;
    const int last = op->arity - 1;
    tape__node *x[2] = {tape__at(t, y->in[0])};
    x[1] = last ? tape__at(t, y->in[1]) : x[0];
    if (x[0]->layout != layout || x[1]->layout != layout)
        return TAPE__DECLINED;
    const bool wants_0 = tape__is_wanted(s, y->in[0], x[0]), wants_1 = last && tape__is_wanted(s, y->in[1], x[1]);
    const unsigned uses =
        (wants_0 ? tape__ewise_uses(op->ewise, 0) : 0) | (wants_1 ? tape__ewise_uses(op->ewise, 1) : 0);
    if (!is_unwritten(y, x, uses))
        return TAPE__DECLINED;
    const bool swapped = wants_0 && wants_1 && x[0] != x[1] && x[1]->flags & TAPE__HAS_ADJOINT;
    if (swapped && !derive_one(t, y, x, 1, false))
        return TAPE__FAILED;
    if (wants_0 && !derive_one(t, y, x, 0, swapped || !wants_1))
        return TAPE__FAILED;
    return !wants_1 || swapped || derive_one(t, y, x, 1, true) ? TAPE__DONE : TAPE__FAILED;
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
        f.wanted |= (unsigned)tape__is_wanted(s, f.in[k], f.x[k]) << k;
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
    enum tape__outcome alike = derive_alike(s, y);
    return alike == TAPE__DECLINED ? visit_any(s, y) : alike == TAPE__DONE;
}

bool tape__visit_elementwise(tape__sweep *s, tape__node *y)
{
    return derive_single(s, y) || visit_tensor(s, y);
}
