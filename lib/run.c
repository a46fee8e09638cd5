/* Running a general op: handles in, forward(), a record out. Does not know what any op computes. */
#include <assert.h>
#include <string.h>

#include "kernels/any/copy.h"
#include "ops/ops.h"
#include "profile.h"
#include "trace.h"

#define FEW_INPUTS 8
#define COPY_AT_ONCE 65536 /* bytes that neither threads nor a plan of the copy would make faster */

/* ---- outputs ----------------------------------------------------------------------------------------------------- */

static tape__node *add_output(tape__call *call, tape__node *node, uint32_t slot)
{
    assert(call->n_out < 8 && (call->n_out == 0 || slot == call->out_slot[call->n_out - 1] + 1));
    call->out[call->n_out] = node;
    call->out_slot[call->n_out++] = slot;
    return node;
}

/* The output that an earlier run made. */
static tape__node *same_output(tape__call *call, tape_dtype dtype, int rank, const int64_t *size)
{
    uint32_t slot = call->again_slot + (uint32_t)call->n_out;
    tape__node *node = call->n_out < call->again ? tape__at(call->t, slot) : NULL;
    if (node && node->dtype == dtype && node->layout->rank == rank &&
        memcmp(node->layout->size, size, (size_t)rank * sizeof *size) == 0)
        return add_output(call, node, slot);
    tape__error(call->t, TAPE_ERROR_SHAPE, "its result is now %s, it was %s when it was recorded",
                tape__shape_text(rank, size).text, node ? TAPE__LAYOUT_TEXT(node->layout) : "left out");
    return NULL;
}

tape__node *tape__output(tape__call *call, tape_dtype dtype, int rank, const int64_t *size)
{
    if (TAPE__UNLIKELY(call->again))
        return same_output(call, dtype, rank, size);
    uint32_t slot;
    tape__node *node = tape__new_tensor(call->t, dtype, rank, size, &slot);
    return node ? add_output(call, node, slot) : NULL;
}

/* The adjoint that a VJP adds into, as a node that owns nothing. */
static tape__node *sink_output(tape__call *call)
{
    tape *t = call->t;
    uint32_t slot;
    tape__node *node = tape__new_node(t, &slot);
    if (!node)
        return NULL;
    node->data = t->sink.data;
    node->layout = t->sink.layout;
    node->dtype = t->sink.dtype;
    t->sink.slot = slot;
    t->sink.data = NULL;
    return add_output(call, node, slot);
}

tape__node *tape__zeros_output(tape__call *call, tape_dtype dtype, int rank, const int64_t *size)
{
    const tape__sink *sink = &call->t->sink;
    if (sink->data && sink->dtype == dtype && sink->layout->rank == rank &&
        memcmp(sink->layout->size, size, (size_t)rank * sizeof *size) == 0)
        return sink_output(call);
    tape__node *node = tape__output(call, dtype, rank, size);
    if (node)
        memset(node->data, 0, (size_t)node->layout->numel * tape_dtype_size((tape_dtype)node->dtype));
    return node;
}

tape__node *tape__output_view(tape__call *call, int64_t offset, int rank, const int64_t *size, const int64_t *stride)
{
    tape *t = call->t;
    const tape__node *base = call->in[0];
    if (TAPE__UNLIKELY(call->again))
        return same_output(call, (tape_dtype)base->dtype, rank, size);
    const tape__layout *layout = tape__layout_strided(&t->layouts, rank, size, stride);
    if (!layout) {
        tape__error(t, TAPE_ERROR_MEMORY, "out of memory for a layout");
        return NULL;
    }
    uint32_t slot;
    tape__node *node = tape__new_node(t, &slot);
    if (!node)
        return NULL;
    size_t item = tape_dtype_size(base->dtype);
    node->data = layout->numel ? (unsigned char *)base->data + offset * (int64_t)item : base->data;
    node->layout = layout;
    node->version = base->version;
    node->dtype = base->dtype;
    node->flags = base->flags & TAPE__LEAF_ALIAS;
    return add_output(call, node, slot);
}

void tape__copy_dense(const tape *t, const tape__layout *layout, tape_dtype dtype, const void *from, void *to)
{
    size_t bytes = (size_t)layout->numel * tape_dtype_size(dtype);
    if (tape__is_dense(layout) && bytes <= COPY_AT_ONCE)
        memcpy(to, from, bytes);
    else
        tape__copy(tape__threads_of(t), tape_dtype_size(dtype), layout->rank, layout->size, from, layout->stride, to,
                   NULL);
}

void tape__adopt_output(tape__call *call, uint32_t slot)
{
    const tape__node *from = tape__at(call->t, slot);
    if (!call->again) {
        add_output(call, tape__at(call->t, slot), slot);
        return;
    }
    const tape__node *to = same_output(call, (tape_dtype)from->dtype, from->layout->rank, from->layout->size);
    if (to)
        tape__copy_dense(call->t, from->layout, (tape_dtype)from->dtype, from->data, to->data);
}

const void *tape__dense_data(tape *t, const tape__node *x)
{
    if (tape__is_dense(x->layout))
        return x->data;
    size_t item = tape_dtype_size(x->dtype);
    uint32_t slot;
    tape__node *passing = NULL; /* a replay makes it a node, which ends with the op */
    if (t->replaying == TAPE__REPLAY_OP &&
        !(passing = tape__new_tensor(t, (tape_dtype)x->dtype, x->layout->rank, x->layout->size, &slot)))
        return NULL;
    void *copy = passing ? passing->data : tape__arena_get(&t->arena, (size_t)x->layout->numel * item);
    if (!copy) {
        tape__error(t, TAPE_ERROR_MEMORY, "out of memory for a contiguous copy of %s", TAPE__LAYOUT_TEXT(x->layout));
        return NULL;
    }
    tape__copy_dense(t, x->layout, x->dtype, x->data, copy);
    return copy;
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

static size_t round_up(size_t bytes)
{
    return (bytes + 15) & ~(size_t)15;
}

/* One arena block: the struct, then slots, versions and attributes. */
static tape__extra *new_extra(tape *t, int n_in, const void *attr, size_t attr_size, const void *custom)
{
    size_t slots = round_up((size_t)n_in * sizeof(uint32_t));
    size_t bytes = round_up(sizeof(tape__extra)) + 2 * slots + (custom ? 2 : 1) * round_up(attr_size);
    tape__extra *extra = tape__arena_get(&t->arena, bytes);
    if (!extra) {
        tape__error(t, TAPE_ERROR_MEMORY, "out of memory for a record");
        return NULL;
    }
    unsigned char *at = (unsigned char *)extra + round_up(sizeof *extra);
    extra->n_in = (uint16_t)n_in;
    extra->n_out = 1;
    extra->attr_size = (uint32_t)attr_size;
    extra->bytes = bytes;
    extra->in = (uint32_t *)(void *)at;
    extra->saved = (uint32_t *)(void *)(at + slots);
    extra->attr = at + 2 * slots;
    extra->custom = custom;
    if (attr_size)
        memcpy(at + 2 * slots, attr, attr_size);
    if (attr_size && custom)
        memcpy((void *)(uintptr_t)tape__attr_as_given(extra), attr, attr_size);
    return extra;
}

static void write_record(tape__call *call, int op, tape__extra *extra, const uint32_t *in)
{
    tape__node *y = call->out[0];
    bool gradient = false;
    for (int i = 0; i < call->n_in; i++) {
        gradient |= (call->in[i]->flags & TAPE__REQUIRES_GRAD) != 0;
        extra->saved[i] = *call->in[i]->version;
    }
    gradient = gradient && !(call->op->flags & TAPE__NO_GRADIENT);
    for (int k = 0; k < call->n_out; k++) {
        tape__node *node = call->out[k];
        node->op = (uint16_t)(k ? TAPE__OP_OUTPUT : op);
        node->in[0] = k ? call->out_slot[0] : call->n_in ? in[0] : 0;
        if (gradient && node->dtype <= TAPE_F64)
            node->flags |= TAPE__REQUIRES_GRAD;
    }
    if (gradient) /* the sweep looks at output 0, whatever its dtype */
        y->flags |= TAPE__REQUIRES_GRAD;
    extra->n_out = (uint16_t)call->n_out;
    y->u.extra = extra;
}

static bool resolve_all(tape *t, const tape_tensor *inputs, int n_in, uint32_t *slots, tape__node **nodes)
{
    for (int i = 0; i < n_in; i++) {
        if (TAPE__LIKELY((nodes[i] = tape__find(t, inputs[i], &slots[i])) != NULL))
            continue;
        if ((slots[i] = tape__resolve(t, inputs[i], i)) == TAPE__NO_SLOT)
            return false;
        nodes[i] = tape__at(t, slots[i]);
    }
    return true;
}

static bool run_call(tape__call *call, int op, tape__extra *extra, uint32_t *in)
{
    uint32_t before = call->t->count;
    if (!call->op->forward(call)) {
        tape__truncate(call->t, before);
        return false;
    }
    assert(call->n_out > 0);
    if (call->t->paused == 0)
        write_record(call, op, extra, in);
    else
        call->out[0]->in[0] = call->n_in ? in[0] : 0; /* a view of a leaf is followed back through it */
    return true;
}

static tape_tensor run_row(tape *t, int op, const tape__op *row, const void *custom, const tape_tensor *inputs,
                           int n_in, const void *attr, size_t attr_size)
{
    if (n_in > UINT16_MAX) {
        tape__error(t, TAPE_ERROR_ARGUMENT, "takes at most %d tensors, got %d", UINT16_MAX, n_in);
        return TAPE_NULL;
    }
    size_t pointers = (size_t)n_in * sizeof(tape__node *);
    tape__extra *extra = new_extra(t, n_in, attr, attr_size, custom);
    if (!extra)
        return TAPE_NULL;
    tape__node *few[FEW_INPUTS], **nodes = n_in <= FEW_INPUTS ? few : tape__arena_get(&t->arena, pointers);
    if (!nodes) {
        tape__error(t, TAPE_ERROR_MEMORY, "out of memory for a record");
        return TAPE_NULL;
    }
    uint32_t *in = extra->in;
    tape__call call; /* out[] stays unset: zeroing it would cost as much as a small op */
    call.t = t;
    call.op = row;
    call.n_in = n_in;
    call.n_out = call.again = 0;
    call.in = nodes;
    call.in_slot = in;
    call.attr = extra->attr;
    call.attr_size = attr_size;
    call.custom = custom;
    uint64_t start = tape__span_begin(t);
    bool ok = resolve_all(t, inputs, n_in, in, nodes) && run_call(&call, op, extra, in);
    tape__span_end(t, start, op, row->name, ok ? &(tape__span_nodes){nodes, n_in, call.out_slot[0], call.n_out} : NULL);
    tape_tensor y = ok ? (tape_tensor){t->generation, call.out_slot[0], 0} : TAPE_NULL;
    if (ok && tape__traces(t) && !tape__trace_made(t, row, nodes, n_in, NULL, 0, call.out_slot[0], call.n_out))
        y = TAPE_NULL;
    if (ok)
        tape__let_go(t, inputs, n_in);
    if (nodes != few)
        tape__arena_put(&t->arena, nodes, pointers);
    if (!ok || t->paused)
        tape__arena_put(&t->arena, extra, extra->bytes);
    return y;
}

tape_tensor tape__run(int op, const tape_tensor *inputs, int n_in, const void *attr, size_t attr_size)
{
    const tape__op *row = &tape__ops[op];
    tape *t = tape__begin(row->name);
    return t ? run_row(t, op, row, NULL, inputs, n_in, attr, attr_size) : TAPE_NULL;
}

tape_tensor tape__run_custom(tape *t, const tape__op *row, const void *custom, const tape_tensor *inputs, int n_in,
                             const void *attr, size_t attr_size)
{
    return run_row(t, TAPE__OP_CUSTOM, row, custom, inputs, n_in, attr, attr_size);
}

tape_tensor tape__sibling(tape_tensor y, int k)
{
    if (y.generation == 0)
        return TAPE_NULL;
    return (tape_tensor){y.generation, y.slot + (uint32_t)k, 0};
}
