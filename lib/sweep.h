/* One reverse sweep over the records: what tape_backward(), tape_grad() and nested sweeps in callbacks share. */
#ifndef TAPE__SWEEP_H
#define TAPE__SWEEP_H

#include "adjoint.h"
#include "ops/ops.h"

/* What tape_grad() wants: the adjoint of one node. In the arena; freed with what is made after the entry. */
typedef struct tape__target {
    uint32_t slot;
    uint32_t same_as; /* index of an earlier target with the same slot, or its own */
    bool found;
    uint8_t
        outer_flags; /* a node from before the running callback: what the outer sweep has there, put back at the end */
    double outer_value;
    tape__adjoint *result; /* plain sweep */
    tape_tensor recorded;  /* create_graph */
} tape__target;

typedef struct tape__sweep {
    tape *t;
    uint32_t floor; /* records below belong to the world outside the running callback */
    bool record;    /* create_graph */
    bool to_leaves; /* tape_backward(): every leaf with gradient is a target */
    bool lending;   /* what is added next is the caller's cotangent, of a record without callbacks */
    tape__target *targets;
    int target_count;
    bool consume; /* values end on the way, but that of `kept` */
    uint32_t kept;
    uint32_t leaves; /* leaf nodes with an adjoint, linked by in[0]; TAPE__NO_SLOT ends the list */
} tape__sweep;

/* Add a cotangent to y's adjoint: 1 if `cotangent` is none. */
bool tape__sweep_seed(tape__sweep *s, uint32_t y, tape_tensor cotangent);

/* Visit the records from `top` down. On failure every adjoint is dropped. */
bool tape__sweep_run(tape__sweep *s, uint32_t top);

/* The end of a sweep to the leaves: if all went well, run their hooks and add what they got to their gradients. False
 * after an error; then no leaf has changed. */
bool tape__sweep_finish(tape__sweep *s, bool ok);

/* Whether the node, which belongs to the world outside the running callback, is a target. */
bool tape__sweep_targets(const tape__sweep *s, uint32_t slot);

/* Whether the sweep carries adjoints to this node. */
static inline bool tape__sweep_wants(const tape__sweep *s, uint32_t slot, const tape__node *node)
{
    if (TAPE__UNLIKELY(slot < s->floor))
        return tape__sweep_targets(s, slot);
    return node->flags & (s->to_leaves ? TAPE__REQUIRES_GRAD : TAPE__WANTED);
}

/* Whether an input of a record gets an adjoint. */
TAPE__INLINE bool tape__is_wanted(const tape__sweep *s, uint32_t slot, const tape__node *x)
{
    return x->flags & TAPE__REQUIRES_GRAD && tape__sweep_wants(s, slot, x);
}

/* x's adjoint += the tensor g, in either mode; g has x's shape. */
bool tape__sweep_add(tape__sweep *s, uint32_t slot, tape_tensor g);

/* Whether the values that the record's derivative reads are still those that it saved; false after an error. */
bool tape__check_saved(tape *t, uint32_t slot);

/* Whether the record's derivative reads input i, by its row's flags; not for elementwise ops. */
bool tape__reads_input(const tape__node *y, unsigned flags, int i);

/* The record's values are still there; false after an error. */
bool tape__check_consumed(tape *t, uint32_t slot);

/* Of a consuming sweep: the nodes from `slot` on, n of them, have been visited. */
void tape__consume(tape__sweep *s, uint32_t slot, uint32_t n);

/* The same for one derivative of an elementwise record of n inputs: `uses` is tape__ewise_uses(). */
bool tape__check_uses(tape *t, const tape__node *y, const uint32_t *in, const uint32_t *saved, int n, unsigned uses);

/* What became of a short way: done, left to the long way without a trace, or failed with an error. */
enum tape__outcome { TAPE__DONE, TAPE__DECLINED, TAPE__FAILED };

/* One record: its VJP, by the fused elementwise kernels, or by handles (general ops, create_graph). */
bool tape__visit_elementwise(tape__sweep *s, tape__node *y);
bool tape__visit_general(tape__sweep *s, uint32_t slot);

/* What a VJP or a hook made from node `count` on ends; blocks that became adjoints have left their nodes before. */
void tape__end_plain_vjp(tape *t, uint32_t count);

/* The inputs of a record. */
static inline int tape__record_inputs(const tape__node *y, const uint32_t **in, const uint32_t **saved)
{
    const tape__op *op = &tape__ops[y->op];
    if (y->flags & TAPE__INLINE_VALUE || !y->u.extra) {
        *in = y->in;
        *saved = y->saved;
        return tape__op_arity(op);
    }
    *in = y->u.extra->in;
    *saved = y->u.extra->saved;
    return y->u.extra->n_in;
}

static inline int tape__record_outputs(const tape__node *y)
{
    return y->op <= TAPE__OP_OUTPUT || y->flags & TAPE__INLINE_VALUE || !y->u.extra ? 1 : y->u.extra->n_out;
}

static inline const void *tape__record_attr(const tape__node *y)
{
    return y->flags & TAPE__INLINE_VALUE || !y->u.extra ? NULL : y->u.extra->attr;
}

#endif
