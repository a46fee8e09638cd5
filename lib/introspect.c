/* The table of ops as the public sees it. Knows what a row says; runs no op. */
#include "tape/table.h"

#include "ops/ops.h"

enum { FIRST = TAPE__OP_OUTPUT + 1 };

static bool is_internal(const tape__op *op)
{
    return op->kind == TAPE__KIND_UNARY_INTERNAL || op->kind == TAPE__KIND_BINARY_INTERNAL ||
           op->kind == TAPE__KIND_BINARY1_INTERNAL || op->kind == TAPE__KIND_TERNARY1_INTERNAL ||
           op->family == TAPE__FAMILY_engine;
}

int tape_op_count(void)
{
    return TAPE__OP_CUSTOM - FIRST;
}

tape_op_info tape_op_at(int i)
{
    if (i < 0 || i >= tape_op_count())
        return (tape_op_info){0};
    const tape__op *op = &tape__ops[FIRST + i];
    /* A VJP is written with recorded ops, and forward mode comes from it where no formula gives the tangent: an op has
     * every derivative or none. */
    bool differentiable = !(op->flags & TAPE__NO_GRADIENT) && (op->vjp || op->kind == TAPE__KIND_COMPOSITE);
    return (tape_op_info){.name = op->name,
                          .family = tape__family_names[op->family],
                          .level = op->level,
                          .arity = tape__op_arity(op),
                          .internal = is_internal(op),
                          .first_order = differentiable,
                          .second_order = differentiable,
                          .forward_mode = differentiable};
}
