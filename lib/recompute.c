/* tape_checkpoint(), and what a function read from outside. Does not know what the function computes. */
#include "recompute.h"

#include <string.h>

#include "sweep.h"
#include "tape/recompute.h"

/* ---- reads ------------------------------------------------------------------------------------------------------- */

bool tape__reads_add(tape *t, tape__reads *reads, tape_tensor x)
{
    if (reads->n == reads->capacity) {
        int capacity = reads->capacity ? 2 * reads->capacity : 16;
        tape_tensor *more = tape__arena_get(&t->arena, (size_t)capacity * sizeof *more);
        if (!more)
            return tape__error(t, TAPE_ERROR_MEMORY, "out of memory for %d inputs", capacity);
        if (reads->n)
            memcpy(more, reads->x, (size_t)reads->n * sizeof *more);
        tape__reads_free(t, reads);
        reads->x = more;
        reads->capacity = capacity;
    }
    if (!x.flags)
        x.slot &= ~TAPE__LAST_USE;
    reads->x[reads->n++] = x;
    return true;
}

void tape__reads_free(tape *t, tape__reads *reads)
{
    if (reads->x)
        tape__arena_put(&t->arena, reads->x, (size_t)reads->capacity * sizeof *reads->x);
    reads->x = NULL;
}

static bool is_node(const tape *t, tape_tensor x, uint32_t slot)
{
    uint32_t found;
    if (x.flags & TAPE__FLAG_LEAF)
        return tape__find_leaf(t, x, &found) && found == slot;
    return x.slot == slot && x.generation == tape__at(t, slot)->generation;
}

/* The node's handle, unless it is there already. */
static bool add_once(tape *t, tape__reads *reads, uint32_t slot)
{
    const tape__node *node = tape__at(t, slot);
    tape_tensor x = node->op == TAPE__OP_LEAF ? tape__leaf_handle(node->u.leaf) : tape__handle(t, slot);
    if (node->op == TAPE__OP_LEAF && !tape__alias_alive(t, node))
        return true;
    for (int i = reads->n; i-- > reads->given;)
        if (is_node(t, reads->x[i], slot) || memcmp(&reads->x[i], &x, sizeof x) == 0)
            return true;
    return tape__reads_add(t, reads, x);
}

bool tape__reads_scan(tape *t, tape__reads *reads, uint32_t floor, uint32_t from)
{
    for (uint32_t slot = from; slot < t->count; slot++) {
        const tape__node *y = tape__at(t, slot);
        const uint32_t *in = y->in, *saved;
        bool detached = y->op == TAPE__OP_NONE && y->flags & TAPE__LEAF_ALIAS;
        int n = detached ? 1 : y->op > TAPE__OP_OUTPUT ? tape__record_inputs(y, &in, &saved) : 0;
        if (y->op == TAPE__OP_LEAF && !add_once(t, reads, slot))
            return false;
        for (int i = 0; i < n; i++)
            if (in[i] < floor && !add_once(t, reads, in[i]))
                return false;
    }
    return true;
}

/* ---- a record made after the fact -------------------------------------------------------------------------------- */

/* The row that stands for the op while it "runs", with the results that it adopts. */
typedef struct adoption {
    tape__op row;
    const tape_tensor *y;
    int m;
} adoption;

static bool adopt(tape__call *call)
{
    tape *t = call->t;
    const adoption *a = (const adoption *)(const void *)call->op;
    const tape_custom_op *op = call->custom;
    for (int k = 0; k < a->m; k++) {
        uint32_t slot;
        tape__node *from = tape__at(t, a->y[k].slot), *y = tape__new_node(t, &slot);
        if (!y)
            return false;
        y->data = from->data;
        y->layout = from->layout;
        y->dtype = from->dtype;
        y->flags = from->flags & TAPE__OWNS_BLOCK;
        from->flags &= (uint8_t)~TAPE__OWNS_BLOCK;
        tape__adopt_output(call, slot);
    }
    return !op->release ||
           tape__add_release(t, call->out_slot[0], op->release, op->user, (void *)(uintptr_t)call->attr);
}

bool tape__record_after(tape *t, const tape__own_op *own, const tape__reads *reads, const void *attr, size_t attr_size,
                        tape_tensor *y, int m)
{
    const tape_custom_op *op = &own->op;
    const adoption a = {{.name = op->name, .ewise = -1, .flags = tape__custom_flags(op), .forward = adopt}, y, m};
    tape_tensor first = tape__run_custom(t, &a.row, op, reads->x, reads->n, attr, attr_size);
    for (int k = 0; k < m; k++)
        y[k] = tape__sibling(first, k);
    return t->status == TAPE_OK;
}

void tape__count_once(tape_custom_vjp *v, int given)
{
    for (int j = 1; j < v->n; j++)
        for (int i = 0; i < j && i < given; i++)
            if (v->x[i].slot == v->x[j].slot)
                v->gx[j] = TAPE_NONE;
}

/* ---- checkpoint -------------------------------------------------------------------------------------------------- */

typedef struct checkpoint {
    tape_function *fn;
    void *user;
    int n;
    tape_random_state random;
} checkpoint;

static tape_status run_again(tape_custom_vjp *v)
{
    const checkpoint *c = v->attr;
    const tape_grad_options options = {.create_graph = v->create_graph};
    tape_random_state now = tape_random_get();
    tape_random_set(c->random);
    tape_tensor y = c->fn(c->user, v->x, c->n);
    tape__note_redrawn(tape_current(), v, c->random);
    tape_random_set(now);
    tape_status status = tape_grad(&y, 1, v->gy, v->x, v->n, &options, v->gx);
    tape__count_once(v, c->n);
    return status;
}

/* The result alone; false after an error. */
static bool call_function(tape *t, const checkpoint *c, const tape_tensor *x, tape_tensor *y)
{
    *y = c->fn(c->user, x, c->n);
    if (t->status == TAPE_OK && !tape_is_valid(*y))
        tape__error(t, TAPE_ERROR_CALLBACK, "its function returned no tensor and no error");
    return t->status == TAPE_OK;
}

static bool replay(tape__call *call)
{
    tape *t = call->t;
    checkpoint *c = (checkpoint *)(uintptr_t)call->attr;
    size_t bytes = (size_t)c->n * sizeof(tape_tensor);
    tape_tensor *x = tape__arena_get(&t->arena, bytes), y;
    if (!x)
        return tape__error(t, TAPE_ERROR_MEMORY, "out of memory for %d inputs", c->n);
    for (int i = 0; i < c->n; i++)
        x[i] = tape__handle(t, call->in_slot[i]);
    c->random = t->random;
    tape__callback outer = tape__enter_callback(t);
    t->paused++;
    bool ok = call_function(t, c, x, &y);
    tape__leave_callback(t, outer);
    uint32_t slot = ok ? tape__resolve(t, y, 0) : TAPE__NO_SLOT;
    if (slot != TAPE__NO_SLOT)
        tape__adopt_output(call, slot);
    tape__arena_put(&t->arena, x, bytes);
    return t->status == TAPE_OK;
}

/* The forward never runs: fn ran before the record was made. */
static const tape__own_op checkpoint_op = {{.name = "checkpoint", .vjp = run_again, .unread_outputs = true}, replay};

/* fn's result, alone, and what it read. */
static bool run_once(tape *t, const checkpoint *c, const tape_tensor *x, tape__reads *reads, tape_tensor *y)
{
    uint32_t count = t->count;
    tape__callback outer = tape__enter_callback(t);
    bool recording = t->paused == 0;
    bool ok = call_function(t, c, x, y);
    ok = ok && (!recording || tape__reads_scan(t, reads, count, count));
    tape__leave_callback(t, outer);
    if (ok)
        return tape__truncate_keeping(t, count, y, 1);
    tape__truncate(t, count);
    return false;
}

tape_tensor tape_checkpoint(tape_function *fn, void *user, const tape_tensor *x, int n)
{
    TAPE__BEGIN_COMPOSITE("checkpoint");
    checkpoint c = {fn, user, n, t->random};
    tape__reads reads = {0};
    tape_tensor y = TAPE_NULL;
    bool ok = true;
    if (!fn || n < 0)
        ok = tape__error(t, TAPE_ERROR_ARGUMENT, "needs a function and no negative count, got n = %d", n);
    for (int i = 0; i < n && ok; i++)
        ok = tape__resolve(t, x[i], i) != TAPE__NO_SLOT && tape__reads_add(t, &reads, x[i]);
    ok = ok && run_once(t, &c, x, &reads, &y);
    if (ok && t->paused == 0)
        ok = tape__record_after(t, &checkpoint_op, &reads, &c, sizeof c, &y, 1);
    tape__reads_free(t, &reads);
    t->composite_depth--;
    t->op_name = before;
    return ok ? y : TAPE_NULL;
}
