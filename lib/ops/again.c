/* An elementwise op once more, into the node that holds its result: no checks, no broadcasting to decide, no record. */
#include "again.h"
#include "kernels/any/ewise_driver.h"

enum { SHORT = 4096 }; /* elements below which nobody asks for threads */

/* Every operand has the result's layout, which is dense, or is one element: no plan is needed. */
static bool flat(const tape *t, const tape__node *y, tape__node *const *x, int n, const double *params)
{
    const void *data[3];
    unsigned still = 0;
    for (int i = 0; i < n; i++) {
        data[i] = x[i]->data;
        if (x[i]->layout == y->layout)
            continue;
        if (x[i]->layout->numel != 1)
            return false;
        still |= 1u << i;
    }
    int64_t numel = y->layout->numel;
    if (numel > 0)
        tape__ewise_flat_value(t->kernels, numel < SHORT ? NULL : tape__threads_of(t), tape__ops[y->op].ewise, y->dtype,
                               numel, still, y->data, data, params);
    return true;
}

void tape__elementwise_again(tape *t, tape__node *y, tape__node *const *x, int n, const double *params)
{
    int ewise = tape__ops[y->op].ewise;
    if (ewise >= 0 && y->op != TAPE__OP_where && flat(t, y, x, n, params))
        return;
    const tape__layout *shape = y->layout;
    const void *data[3];
    int64_t room[3][TAPE_MAX_RANK];
    const int64_t *stride[3];
    for (int i = 0; i < n; i++) {
        data[i] = x[i]->data;
        stride[i] = x[i]->layout == shape ? shape->stride : room[i];
        if (x[i]->layout != shape)
            tape__broadcast_strides(x[i]->layout, shape->rank, shape->size, room[i]);
    }
    if (ewise >= 0)
        tape__ewise_value(t->kernels, tape__threads_of(t), ewise, y->dtype, shape->rank, shape->size, y->data, data,
                          stride, params);
    else
        tape__ewise_mask(t->kernels, tape__threads_of(t), tape__op_mask(&tape__ops[y->op]), x[0]->dtype, shape->rank,
                         shape->size, y->data, data, stride);
}
