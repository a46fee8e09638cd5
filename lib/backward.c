/* tape_backward() and tape_grad(): what a sweep starts from and what becomes of its results. */
#include <assert.h>
#include <string.h>

#include "kernels/any/cast.h"
#include "kernels/any/ewise_driver.h"
#include "profile.h"
#include "sweep.h"

/* ---- commit ------------------------------------------------------------------------------------------------------ */

/* Let the leaf's hook see, and perhaps replace, the adjoint. */
static bool run_hook(tape__sweep *s, uint32_t x_slot, tape__leaf *leaf)
{
    tape *t = s->t;
    tape__node *x = tape__at(t, x_slot);
    tape__adjoint *adjoint = tape__adjoint_of(t, x);
    uint32_t count = t->count, slot;
    tape__new_generation(t);
    tape__node *stand_in = adjoint ? tape__new_node(t, &slot) : NULL;
    if (!stand_in) {
        tape__adjoint_release(t, adjoint);
        return false;
    }
    stand_in->data = adjoint->data;
    stand_in->layout = adjoint->layout;
    stand_in->dtype = x->dtype;
    stand_in->flags = TAPE__HAS_ADJOINT;
    stand_in->adj.adjoint = adjoint;
    tape_tensor g = tape__handle(t, slot);
    tape__callback outer = tape__enter_callback(t);
    t->paused++;
    tape_tensor result = leaf->hook(leaf->hook_user, g);
    tape__leave_callback(t, outer);
    bool ok = t->status == TAPE_OK;
    if (ok && tape_is_null(result)) {
        t->op_name = "backward";
        ok = tape__error(t, TAPE_ERROR_CALLBACK, "a gradient hook failed");
    }
    if (ok && memcmp(&result, &g, sizeof g) != 0) {
        tape__adjoint_drop(t, x);
        ok = tape_is_none(result) || tape__sweep_add(s, x_slot, result);
    }
    tape__end_plain_vjp(t, count);
    return ok;
}

/* Hooks may fail, free leaves and see what others have left. */
static bool run_hooks(tape__sweep *s)
{
    for (uint32_t slot = s->leaves; slot != TAPE__NO_SLOT; slot = tape__at(s->t, slot)->in[0]) {
        const tape__node *x = tape__at(s->t, slot);
        if (tape__alias_alive(s->t, x) && x->u.leaf->hook && !run_hook(s, slot, x->u.leaf))
            return false;
    }
    return true;
}

/* Whether the leaves can take what they got as it is: all live, with a buffer, and no hook wants to see it first. */
static bool are_ready(const tape__sweep *s)
{
    bool ready = true;
    for (uint32_t slot = s->leaves; slot != TAPE__NO_SLOT && ready;) {
        const tape__node *x = tape__at(s->t, slot);
        const tape__leaf *leaf = x->u.leaf;
        ready = !leaf->hook && tape__leaf_gradient(leaf) && tape__alias_alive(s->t, x);
        slot = x->in[0];
    }
    return ready;
}

/* Everything that can fail, before anything changes. */
static bool prepare_commit(tape__sweep *s)
{
    tape *t = s->t;
    if (TAPE__LIKELY(are_ready(s)))
        return true;
    tape__forgo(t);
    if (!run_hooks(s))
        return false;
    for (uint32_t slot = s->leaves; slot != TAPE__NO_SLOT; slot = tape__at(t, slot)->in[0]) {
        tape__node *x = tape__at(t, slot);
        if (!tape__alias_alive(t, x))
            tape__adjoint_drop(t, x); /* freed since, perhaps by a hook: nobody can read its gradient */
        else if (!tape__leaf_gradient_buffer(x->u.leaf))
            return tape__error(t, TAPE_ERROR_MEMORY, "out of memory for the gradient of a leaf of shape %s",
                               TAPE__LAYOUT_TEXT(x->layout));
    }
    return true;
}

/* Where it is not simply copied. */
static TAPE__NOINLINE void add_gradient(const tape *t, const tape__gain *gain, void *gradient)
{
    const tape__leaf *leaf = gain->leaf;
    const tape__layout *dense = gain->x->layout->dense;
    const unsigned dtype = gain->x->dtype;
    if (dtype != leaf->dtype) { /* promoted to f64 by the checker */
        tape__cast(tape__threads_of(t), dense->rank, dense->size, (tape_dtype)dtype, gain->data, gain->layout->stride,
                   leaf->dtype, gradient);
        return;
    }
    const void *operands[2] = {gradient, gain->data};
    const int64_t *strides[2] = {dense->stride, gain->layout->stride};
    tape__ewise_value(t->kernels, tape__threads_of(t), TAPE__EW_add, (int)dtype, dense->rank, dense->size, gradient,
                      operands, strides, NULL);
}

void tape__commit(const tape *t, const tape__gain *gain)
{
    tape__leaf *leaf = gain->leaf, *gradient = tape__leaf_gradient(leaf);
    if (gain->claimed) { /* that keeps others out until it is given back */
        assert(gain->data == gradient->data);
        gradient->version++;
        leaf->has_gradient = true;
        return;
    }
    tape__leaf_lock_gradient(t, leaf);
    gradient->version++;
    /* another node that stands for the leaf may have claimed the buffer */
    if (gain->x->dtype != leaf->dtype || leaf->has_gradient || tape__leaf_is_claimed_by(leaf, t))
        add_gradient(t, gain, gradient->data);
    else
        tape__copy_dense(t, gain->layout, leaf->dtype, gain->data, gradient->data);
    leaf->has_gradient = true;
    tape__leaf_unlock(leaf);
}

static void commit_leaf(tape *t, const tape__node *x)
{
    const tape__adjoint *a = tape__is_single(x) ? NULL : x->adj.adjoint;
    const tape__gain gain = {x->u.leaf, x, a ? a->data : &x->adj, a ? a->layout : x->layout, a && a->leaf};
    tape__commit(t, &gain);
    if (TAPE__UNLIKELY(t->noting != NULL))
        tape__memo_gain(t, &gain);
}

static void finish_leaves(tape__sweep *s, bool commit)
{
    for (uint32_t slot = s->leaves; slot != TAPE__NO_SLOT;) {
        tape__node *x = tape__at(s->t, slot);
        if (commit && x->flags & TAPE__HAS_ADJOINT)
            commit_leaf(s->t, x);
        tape__adjoint_drop(s->t, x);
        slot = x->in[0];
    }
}

bool tape__sweep_finish(tape__sweep *s, bool ok)
{
    tape *t = s->t;
    uint64_t timed = tape__profile_enter_sweep(t), start = tape__span_begin(t);
    ok = ok && prepare_commit(s);
    finish_leaves(s, ok);
    t->claims = NULL;
    tape__span_end(t, start, TAPE__OP_NONE, "commit", ok ? &(tape__span_nodes){.n_out = 0} : NULL);
    tape__profile_leave_sweep(t, timed);
    tape__note_peak(t);
    tape__memo_end(t, ok);
    return ok;
}

static tape_status backward(tape_tensor y, tape_tensor cotangent, bool consume)
{
    tape *t = tape__begin("backward");
    if (!t)
        return tape_last_status();
    if (t->callback_depth)
        tape__error(t, TAPE_ERROR_STATE, "not allowed inside a callback: use tape_grad()");
    if (t->status || !tape__settled(t))
        return t->status;
    uint32_t slot = tape__resolve(t, y, 0);
    if (slot == TAPE__NO_SLOT)
        return t->status;
    if (!(tape__at(t, slot)->flags & TAPE__REQUIRES_GRAD)) {
        tape__error(t, TAPE_ERROR_ARGUMENT, "y depends on no leaf with gradient (all constant, detached or paused)");
        return t->status;
    }
    if (tape_is_none(cotangent) && !consume && tape__memo_repeat(t, slot))
        return t->status;
    tape__sweep s = {.t = t, .to_leaves = true, .consume = consume, .kept = slot, .leaves = TAPE__NO_SLOT};
    t->settle = tape__adjoint_settle;
    t->claiming = true;
    bool ok = tape__sweep_seed(&s, slot, cotangent) && tape__sweep_run(&s, slot);
    t->claiming = false;
    tape__sweep_finish(&s, ok);
    return t->status;
}

tape_status tape_backward_with(tape_tensor y, tape_tensor cotangent)
{
    return backward(y, cotangent, false);
}

tape_status tape_backward(tape_tensor y)
{
    return backward(y, TAPE_NONE, false);
}

tape_status tape_backward_once(tape_tensor y)
{
    return backward(y, TAPE_NONE, true);
}

/* ---- tape_grad --------------------------------------------------------------------------------------------------- */

/* Which records lie on a path from a target: one pass in recording order. */
static void mark_wanted(tape__sweep *s, uint32_t top, bool on)
{
    tape *t = s->t;
    uint32_t low = top + 1;
    for (int j = 0; j < s->target_count; j++) {
        tape__node *x = tape__at(t, s->targets[j].slot);
        x->flags = (uint8_t)(on ? x->flags | TAPE__TARGET : x->flags & ~TAPE__TARGET);
        if (s->targets[j].slot < low)
            low = s->targets[j].slot;
    }
    if (low < s->floor)
        low = s->floor;
    for (uint32_t slot = low; slot <= top; slot++) {
        tape__node *y = tape__at(t, slot);
        bool wanted = on && y->flags & TAPE__TARGET;
        if (on && !wanted && y->op > TAPE__OP_LEAF && y->flags & TAPE__REQUIRES_GRAD) {
            const uint32_t *in = y->in, *saved;
            int n = y->op == TAPE__OP_OUTPUT ? 1 : tape__record_inputs(y, &in, &saved);
            for (int i = 0; i < n && !wanted; i++)
                wanted = tape__at(t, in[i])->flags & (in[i] < s->floor ? TAPE__TARGET : TAPE__WANTED);
        }
        y->flags = (uint8_t)(wanted ? y->flags | TAPE__WANTED : y->flags & ~TAPE__WANTED);
    }
}

/* Targets from before the running callback carry the outer sweep's adjoints: put aside, and back. */
static void swap_outer(tape__sweep *s, bool enter)
{
    for (int j = 0; j < s->target_count; j++) {
        tape__target *target = &s->targets[j];
        tape__node *x = tape__at(s->t, target->slot);
        if (target->slot >= s->floor || target->same_as != (uint32_t)j)
            continue;
        if (enter) {
            target->outer_flags = x->flags;
            memcpy(&target->outer_value, &x->adj, sizeof x->adj);
            x->flags &= (uint8_t)~TAPE__HAS_ADJOINT;
        } else {
            if (!s->record)
                tape__adjoint_drop(s->t, x);
            memcpy(&x->adj, &target->outer_value, sizeof x->adj);
            x->flags = target->outer_flags;
        }
    }
}

static tape_tensor target_result(tape__sweep *s, const tape__target *target)
{
    tape *t = s->t;
    target = &s->targets[target->same_as];
    if (!target->found)
        return TAPE_NONE;
    if (s->record)
        return target->recorded;
    const tape__node *x = tape__at(t, target->slot);
    uint32_t slot;
    tape__node *node = tape__new_tensor(t, x->dtype, x->layout->rank, x->layout->size, &slot);
    if (!node)
        return TAPE_NULL;
    tape__copy_dense(t, target->result->layout, x->dtype, target->result->data, node->data);
    return tape__handle(t, slot);
}

static bool resolve_targets(tape__sweep *s, const tape_tensor *xs)
{
    for (int j = 0; j < s->target_count; j++) {
        uint32_t slot = tape__resolve(s->t, xs[j], j);
        if (slot == TAPE__NO_SLOT)
            return false;
        s->targets[j] = (tape__target){.slot = slot, .same_as = (uint32_t)j, .recorded = TAPE_NONE};
        for (int k = 0; k < j && s->targets[j].same_as == (uint32_t)j; k++)
            if (s->targets[k].slot == slot)
                s->targets[j].same_as = (uint32_t)k;
    }
    return true;
}

static bool seed_all(tape__sweep *s, const tape_tensor *ys, const uint32_t *slots, int n, const tape_tensor *cotangents)
{
    (void)ys;
    for (int i = 0; i < n; i++) {
        tape__node *y = tape__at(s->t, slots[i]);
        if (y->flags & TAPE__REQUIRES_GRAD && tape__sweep_wants(s, slots[i], y) &&
            !tape__sweep_seed(s, slots[i], cotangents ? cotangents[i] : TAPE_NONE))
            return false;
    }
    return true;
}

/* After a failed sweep (not ok) only what is held is let go. */
static bool gather_results(tape__sweep *s, bool ok, tape_tensor *out)
{
    for (int j = 0; j < s->target_count; j++) {
        out[j] = ok ? target_result(s, &s->targets[j]) : TAPE_NULL;
        ok = ok && !tape_is_null(out[j]);
    }
    for (int j = 0; j < s->target_count; j++)
        if (s->targets[j].result)
            tape__adjoint_release(s->t, s->targets[j].result);
    return ok;
}

static bool grad(tape__sweep *s, const tape_tensor *ys, uint32_t *slots, int n, const tape_tensor *cotangents,
                 const tape_tensor *xs, tape_tensor *out)
{
    tape *t = s->t;
    uint32_t top = 0;
    for (int i = 0; i < n; i++) {
        if ((slots[i] = tape__resolve(t, ys[i], i)) == TAPE__NO_SLOT)
            return false;
        top = slots[i] > top ? slots[i] : top;
    }
    if (!resolve_targets(s, xs))
        return false;
    swap_outer(s, true);
    mark_wanted(s, top, true);
    bool ok = seed_all(s, ys, slots, n, cotangents);
    ok = tape__sweep_run(s, top) && ok;
    mark_wanted(s, top, false);
    swap_outer(s, false);
    return gather_results(s, ok, out);
}

tape_status tape_grad(const tape_tensor *ys, int n, const tape_tensor *cotangents, const tape_tensor *xs, int m,
                      const tape_grad_options *options, tape_tensor *out)
{
    for (int j = 0; j < m; j++)
        out[j] = TAPE_NULL;
    tape *t = tape__begin("grad");
    if (!t || !tape__settled(t))
        return tape_last_status();
    if (n < 1 || m < 0) {
        tape__error(t, TAPE_ERROR_ARGUMENT, "needs at least one y and no negative count, got n = %d, m = %d", n, m);
        return t->status;
    }
    size_t target_bytes = (size_t)m * sizeof(tape__target), slot_bytes = (size_t)n * sizeof(uint32_t);
    tape__target *targets = tape__arena_get(&t->arena, target_bytes);
    uint32_t *slots = tape__arena_get(&t->arena, slot_bytes);
    if (!targets || !slots) {
        tape__error(t, TAPE_ERROR_MEMORY, "out of memory for %d targets", m);
        return t->status;
    }
    bool record = options && options->create_graph && t->paused == 0;
    tape__sweep s = {.t = t, .floor = t->callback_floor, .record = record, .targets = targets, .target_count = m};
    uint32_t count = t->count;
    if (!grad(&s, ys, slots, n, cotangents, xs, out)) {
        tape__truncate(t, count);
        for (int j = 0; j < m; j++)
            out[j] = TAPE_NULL;
    }
    tape__arena_put(&t->arena, targets, target_bytes);
    tape__arena_put(&t->arena, slots, slot_bytes);
    tape__note_peak(t);
    return t->status;
}
