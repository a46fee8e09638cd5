/* Elementwise ops once more, into the nodes that hold their results. */
#ifndef TAPE__AGAIN_H
#define TAPE__AGAIN_H

#include "ops.h"

/* The value of an elementwise record again, from the inputs as they are now. */
void tape__elementwise_again(tape *t, tape__node *y, tape__node *const *x, int n, const double *params);

#define TAPE__COMPUTE_AGAIN(type)                                                                                      \
    do {                                                                                                               \
        type p = *(const type *)a->data, q = *(const type *)b->data, *out = y->data;                                   \
        *out = y->op == TAPE__OP_add ? p + q : y->op == TAPE__OP_sub ? p - q : y->op == TAPE__OP_mul ? p * q : p / q;  \
    } while (0)

/* The same for one element of the four operations, which costs less than any call; false for anything else. Stamps the
 * record, too. */
TAPE__INLINE bool tape__single_again(const tape *t, tape__node *y)
{
    bool plain = y->op == TAPE__OP_add || y->op == TAPE__OP_sub || y->op == TAPE__OP_mul || y->op == TAPE__OP_div;
    if (!plain || !(y->flags & TAPE__INLINE_VALUE))
        return false;
    const tape__node *a = tape__at(t, y->in[0]), *b = tape__at(t, y->in[1]);
    if (y->dtype == TAPE_F32)
        TAPE__COMPUTE_AGAIN(float);
    else
        TAPE__COMPUTE_AGAIN(double);
    y->saved[0] = *a->version;
    y->saved[1] = *b->version;
    y->own_version = 0;
    return true;
}
#undef TAPE__COMPUTE_AGAIN

#endif
