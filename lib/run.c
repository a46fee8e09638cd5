/* Running a general op: handles in, forward(), a record out. Does not know what any op computes. */
#include <assert.h>
#include <string.h>

#include "kernels/any/copy.h"
#include "ops/ops.h"
#include "ops/short.h"
#include "profile.h"
#include "recall.h"
#include "trace.h"

#define FEW_INPUTS 8

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

tape__node *tape__output_like(tape__call *call, const tape__node *x)
{
    tape *t = call->t;
    if (TAPE__UNLIKELY(call->again))
        return same_output(call, (tape_dtype)x->dtype, x->layout->rank, x->layout->size);
    uint32_t slot;
    tape__node *node = tape__new_dense(t, (tape_dtype)x->dtype, x->layout->dense, &slot);
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
        memset(node->data, 0, (size_t)node->layout->numel * tape__item_size(node->dtype));
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
    size_t item = tape__item_size(base->dtype);
    node->data = layout->numel ? (unsigned char *)base->data + offset * (int64_t)item : base->data;
    node->layout = layout;
    node->version = base->version;
    node->dtype = base->dtype;
    node->flags = base->flags & TAPE__LEAF_ALIAS;
    return add_output(call, node, slot);
}

void tape__copy_strided(const tape *t, const tape__layout *layout, tape_dtype dtype, const void *from, void *to)
{
    tape__copy(tape__threads_of(t), tape__item_size(dtype), layout->rank, layout->size, from, layout->stride, to, NULL);
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
    size_t item = tape__item_size(x->dtype);
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

/* The block of `extra`, attributes and all. */
TAPE__INLINE tape__extra *new_extra(tape *t, int n_in, const void *attr, size_t attr_size, const void *custom)
{
    tape__extra *extra = tape__new_extra(t, n_in, attr_size, custom);
    if (!extra) {
        tape__error(t, TAPE_ERROR_MEMORY, "out of memory for a record");
        return NULL;
    }
    if (attr_size)
        memcpy(tape__attr_to_write(extra), attr, attr_size);
    if (attr_size && custom)
        memcpy((void *)(uintptr_t)tape__attr_as_given(extra), attr, attr_size);
    return extra;
}

TAPE__INLINE void write_record(tape__call *call, int op, tape__extra *extra)
{
    tape__node *y = call->out[0];
    uint8_t gradient = 0;
    for (int i = 0; i < call->n_in; i++) {
        gradient |= call->in[i]->flags;
        extra->saved[i] = *call->in[i]->version;
    }
    gradient &= call->op->flags & TAPE__NO_GRADIENT ? 0 : TAPE__REQUIRES_GRAD;
    y->op = (uint16_t)op;
    y->in[0] = call->n_in ? extra->in[0] : 0;
    y->flags |= gradient; /* the sweep looks at output 0, whatever its dtype */
    for (int k = 1; k < call->n_out; k++) {
        tape__node *node = call->out[k];
        node->op = TAPE__OP_OUTPUT;
        node->in[0] = call->out_slot[0];
        node->flags |= node->dtype <= TAPE_F64 ? gradient : 0;
    }
    extra->n_out = (uint16_t)call->n_out;
    y->u.extra = extra;
}

/* The record's inputs, where they are: their slots in the record, their nodes in the call. */
TAPE__INLINE bool resolve_all(tape__call *call, tape__extra *extra, const tape_tensor *inputs)
{
    tape *t = call->t;
    for (int i = 0; i < call->n_in; i++) {
        uint32_t *slot = &extra->in[i];
        if (TAPE__LIKELY((call->in[i] = tape__find(t, inputs[i], slot)) != NULL))
            continue;
        if ((*slot = tape__resolve(t, inputs[i], i)) == TAPE__NO_SLOT)
            return false;
        call->in[i] = tape__at(t, *slot);
    }
    return true;
}

/* From handles to a record; false after an error, which leaves nothing but the block of `extra`. */
TAPE__INLINE bool run_call(tape__call *call, int op, tape__extra *extra, const tape_tensor *inputs)
{
    tape *t = call->t;
    if (!resolve_all(call, extra, inputs))
        return false;
    const uint32_t before = t->count;
    if (!call->op->forward(call)) {
        tape__truncate(t, before);
        return false;
    }
    assert(call->n_out > 0);
    if (t->paused == 0)
        write_record(call, op, extra);
    else
        call->out[0]->in[0] = call->n_in ? extra->in[0] : 0; /* a view of a leaf is followed back through it */
    return true;
}

/* `nodes` has room for the inputs. out[] stays unset: zeroing it would cost as much as a small op. */
TAPE__INLINE void start_call(tape__call *call, tape *t, const tape__op *row, tape__node **nodes, int n_in,
                             const tape__extra *extra, size_t attr_size, const void *custom)
{
    call->t = t;
    call->op = row;
    call->n_in = n_in;
    call->n_out = call->again = 0;
    call->in = nodes;
    call->in_slot = extra->in;
    call->attr = extra->attr;
    call->attr_size = attr_size;
    call->custom = custom;
}

/* Any op, perhaps timed or searched for NaN. */
static __attribute__((cold)) tape_tensor run_row(tape *t, int op, const tape__op *row, const void *custom,
                                                 const tape_tensor *inputs, int n_in, const void *attr,
                                                 size_t attr_size)
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
    tape__call call;
    start_call(&call, t, row, nodes, n_in, extra, attr_size, custom);
    uint64_t start = tape__span_begin(t);
    bool ok = run_call(&call, op, extra, inputs);
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

static TAPE__NOINLINE tape_tensor run_with_care(int op, const tape_tensor *inputs, int n_in, const void *attr,
                                                size_t attr_size)
{
    const tape__op *row = &tape__ops[op];
    tape *t = tape__begin(row->name);
    return t ? run_row(t, op, row, NULL, inputs, n_in, attr, attr_size) : TAPE_NULL;
}

/* The same, shorter, for what most calls are: few inputs, and nothing that asks for a detour. */
tape_tensor tape__run(int op, const tape_tensor *inputs, int n_in, const void *attr, size_t attr_size)
{
    tape *t = tape__tls;
    if (TAPE__UNLIKELY(!t || t->detour || n_in > FEW_INPUTS))
        return run_with_care(op, inputs, n_in, attr, attr_size);
    tape_tensor y;
    if (tape__recall(t, op, inputs, n_in, attr, attr_size, &y))
        return y;
    const tape__op *row = &tape__ops[op];
    if (!t->composite_depth)
        t->op_name = row->name;
    tape__extra *extra = new_extra(t, n_in, attr, attr_size, NULL);
    if (!extra)
        return TAPE_NULL;
    tape__node *nodes[FEW_INPUTS];
    tape__call call;
    start_call(&call, t, row, nodes, n_in, extra, attr_size, NULL);
    bool ok = run_call(&call, op, extra, inputs);
    if (ok)
        tape__let_go(t, inputs, n_in);
    if (TAPE__UNLIKELY(!ok || t->paused))
        tape__arena_put(&t->arena, extra, extra->bytes);
    return tape__recall_made(t, ok ? (tape_tensor){t->generation, call.out_slot[0], 0} : TAPE_NULL);
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
