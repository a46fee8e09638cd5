/* User-defined ops: their callbacks between the engine and the user. Knows what callbacks may do, not what they do. */
#include "tape/custom.h"

#include <string.h>

#include "ops/ops.h"

#define FEW 8

uint16_t tape__custom_flags(const tape_custom_op *op)
{
    return (uint16_t)((op->vjp ? 0u : TAPE__NO_GRADIENT) | (op->unread_outputs ? 0u : TAPE__SAVES_OUTPUT) |
                      (op->takes_absent ? TAPE__TAKES_ABSENT : 0u));
}

static int outputs_of(const tape_custom_op *op)
{
    return op->n_out ? op->n_out : 1;
}

/* A callback's verdict; the tape has an error if it is bad. */
static bool callback_ok(tape *t, tape_status status, const char *which)
{
    if (status != TAPE_OK && t->status == TAPE_OK)
        tape__error(t, TAPE_ERROR_CALLBACK, "its %s failed: %s", which, tape_status_name(status));
    return t->status == TAPE_OK;
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

static bool run_forward(tape__call *call, const tape_tensor *x, tape_tensor *y)
{
    tape *t = call->t;
    const tape_custom_op *op = call->custom;
    tape_custom_call c = {op, x, call->n_in, (void *)(uintptr_t)call->attr, y};
    uint32_t before = t->count;
    int n = outputs_of(op);
    for (int k = 0; k < n; k++)
        y[k] = TAPE_NULL;
    tape__callback outer = tape__enter_callback(t);
    t->paused++;
    bool ok = callback_ok(t, op->forward(&c), "forward");
    tape__leave_callback(t, outer);
    for (int k = 0; k < n && ok; k++)
        if (!tape_is_valid(y[k]))
            ok = tape__error(t, TAPE_ERROR_CALLBACK, "its forward left output %d %s", k,
                             tape_is_null(y[k]) || tape_is_none(y[k]) ? "empty" : "with a tensor that has ended");
    ok = ok && tape__truncate_keeping(t, before, y, n);
    for (int k = 0; k < n && ok; k++)
        tape__adopt_output(call, y[k].slot);
    return ok;
}

static bool keep_release(tape__call *call)
{
    tape *t = call->t;
    const tape_custom_op *op = call->custom;
    void *attr = (void *)(uintptr_t)call->attr;
    if (t->paused == 0 && tape__add_release(t, call->out_slot[0], op->release, op->user, attr))
        return true;
    op->release(op->user, attr);
    return t->status == TAPE_OK;
}

bool tape__custom_forward(tape__call *call)
{
    tape *t = call->t;
    const tape_custom_op *op = call->custom;
    size_t bytes = (size_t)call->n_in * sizeof(tape_tensor);
    tape_tensor few[FEW], *x = call->n_in <= FEW ? few : tape__arena_get(&t->arena, bytes), y[TAPE_CUSTOM_OUTPUTS];
    if (!x)
        return tape__error(t, TAPE_ERROR_MEMORY, "out of memory for %d inputs", call->n_in);
    for (int i = 0; i < call->n_in; i++)
        x[i] = tape__handle(t, call->in_slot[i]);
    bool ok = run_forward(call, x, y) && (!op->release || call->again || keep_release(call));
    if (x != few)
        tape__arena_put(&t->arena, x, bytes);
    return ok;
}

static bool check_op(tape *t, const tape_custom_op *op, int n, const void *attr, size_t attr_size)
{
    if (!op || !op->name || !op->forward)
        return tape__error(t, TAPE_ERROR_ARGUMENT, "the op needs a name and a forward");
    if (op->n_out < 0 || op->n_out > TAPE_CUSTOM_OUTPUTS)
        return tape__error(t, TAPE_ERROR_ARGUMENT, "%d outputs are not in 1..%d", op->n_out, TAPE_CUSTOM_OUTPUTS);
    if (n < 0 || (attr_size && !attr) || attr_size > UINT32_MAX)
        return tape__error(t, TAPE_ERROR_ARGUMENT, "%d inputs and %zu bytes of attributes make no call", n, attr_size);
    return true;
}

tape_tensor tape_custom(const tape_custom_op *op, const tape_tensor *x, int n, const void *attr, size_t attr_size,
                        tape_tensor *y)
{
    const char *name = op && op->name ? op->name : "custom";
    tape *t = tape__begin(name);
    bool ok = t && check_op(t, op, n, attr, attr_size);
    tape_tensor first = TAPE_NULL;
    if (ok) {
        const tape__op row = {
            .name = name, .ewise = -1, .flags = tape__custom_flags(op), .forward = tape__custom_forward};
        const char *before = tape__enter(t, name);
        t->op_name = name;
        first = tape__run_custom(t, &row, op, x, n, attr, attr_size);
        if (!--t->composite_depth)
            tape__end_pending(t, !tape_is_null(first));
        t->op_name = before;
    }
    int count = op ? outputs_of(op) : 0;
    for (int k = 0; y && k < count && k < TAPE_CUSTOM_OUTPUTS; k++)
        y[k] = tape__sibling(first, k);
    return first;
}

void *tape_custom_output(tape_custom_call *call, int k, tape_dtype dtype, tape_shape shape)
{
    tape *t = tape__begin(call->op->name);
    if (!t)
        return NULL;
    if (k < 0 || k >= outputs_of(call->op) || tape_dtype_size(dtype) == 0) {
        tape__error(t, TAPE_ERROR_ARGUMENT, "output %d of dtype %s: it has %d", k, tape_dtype_name(dtype),
                    outputs_of(call->op));
        return NULL;
    }
    if (t->promote && dtype == TAPE_F32) {
        tape__error(t, TAPE_ERROR_UNSUPPORTED, "its forward knows f32 only: it cannot be checked in f64");
        return NULL;
    }
    uint32_t slot;
    tape__node *node = tape__new_tensor(t, dtype, shape.rank, shape.size, &slot);
    if (!node)
        return NULL;
    call->y[k] = tape__handle(t, slot);
    return node->data;
}

/* ---- derivatives ------------------------------------------------------------------------------------------------- */

/* What a callback left in results[i] is a tensor, or left out. */
static void check_results(tape *t, const tape_tensor *results, int n, const char *which)
{
    for (int i = 0; i < n && t->status == TAPE_OK; i++)
        if (!tape_is_none(results[i]) && !tape_is_valid(results[i]))
            tape__error(t, TAPE_ERROR_CALLBACK, "its %s gave %s as result %d", which,
                        tape_is_null(results[i]) ? "null" : "a tensor that has ended", i);
}

void tape__custom_vjp(tape__vjp *v)
{
    tape *t = v->t;
    const tape_custom_op *op = v->custom;
    if (v->create_graph && op->first_order) {
        tape__error(t, TAPE_ERROR_UNSUPPORTED, "its VJP works on data and has no derivative itself (create_graph)");
        return;
    }
    tape_custom_vjp c = {op, v->x, v->y, v->gy, v->n_in, v->n_out, v->attr, v->needs, v->create_graph, v->gx};
    tape__callback outer = tape__enter_callback(t);
    t->paused = 0;
    if (callback_ok(t, op->vjp(&c), "VJP"))
        check_results(t, v->gx, v->n_in, "VJP");
    tape__leave_callback(t, outer);
}

bool tape__custom_jvp(const tape__vjp *v, const tape_tensor *tx, tape_tensor *ty)
{
    const tape_custom_op *op = v->custom;
    tape_custom_jvp c = {op, v->x, v->y, tx, v->n_in, v->n_out, v->attr, v->create_graph, ty};
    if (callback_ok(v->t, op->jvp(&c), "JVP"))
        check_results(v->t, ty, v->n_out, "JVP");
    return v->t->status == TAPE_OK;
}

void *tape_custom_gradient(tape_custom_vjp *vjp, int i)
{
    tape *t = tape__begin(vjp->op->name);
    if (!t)
        return NULL;
    if (i < 0 || i >= vjp->n) {
        tape__error(t, TAPE_ERROR_ARGUMENT, "gradient %d: it has %d inputs", i, vjp->n);
        return NULL;
    }
    if (vjp->create_graph) {
        tape__error(t, TAPE_ERROR_UNSUPPORTED, "its VJP works on data and has no derivative itself (create_graph)");
        return NULL;
    }
    uint32_t x = tape__resolve(t, vjp->x[i], i), slot;
    const tape__node *like = x == TAPE__NO_SLOT ? NULL : tape__at(t, x);
    tape__node *node = like ? tape__new_tensor(t, like->dtype, like->layout->rank, like->layout->size, &slot) : NULL;
    if (!node)
        return NULL;
    vjp->gx[i] = tape__handle(t, slot);
    return node->data;
}
