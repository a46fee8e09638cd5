/* Ops that act on the adjoint alone, and the frame around composite ops. */
#include "check.h"
#include "ops.h"

bool tape__scale_gradient_forward(tape__call *call)
{
    const tape__layout *x = call->in[0]->layout;
    return tape__check_float(call->t, call->in[0]) && tape__output_view(call, 0, x->rank, x->size, x->stride);
}

void tape__scale_gradient_vjp(tape__vjp *v)
{
    v->gx[0] = tape_mul_scalar(v->gy[0], *(const double *)v->attr);
}

tape_tensor tape_scale_gradient(tape_tensor x, double factor)
{
    return tape__run(TAPE__OP_scale_gradient, &x, 1, &factor, sizeof factor);
}

/* A composite has no VJP of its own to make wrong, so the checker's test bends the adjoint at its result. */
tape_tensor tape__leave(tape *t, const char *before, int op, tape_tensor y)
{
    if (t->wrong_factor != 0 && t->wrong_op == op)
        y = tape_scale_gradient(y, t->wrong_factor);
    y.slot &= ~TAPE__LAST_USE; /* x itself, which no op took */
    if (!--t->composite_depth)
        tape__end_pending(t, !tape_is_null(y));
    t->op_name = before;
    return y;
}
