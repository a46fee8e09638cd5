/* Contributions of VJPs written straight into adjoints. Does not know whose derivative they are. */
#include "product.h"

#include "kernels/any/gemm_driver.h"

static tape__gemm_operand operand(const tape__node *x)
{
    return (tape__gemm_operand){x->data, x->layout->stride[0], x->layout->stride[1], {0, 0}};
}

/* False if the product must go the ordinary way, or after an error. */
static bool add_product(tape__vjp *v, int i, tape_tensor a, tape_tensor b)
{
    tape *t = v->t;
    uint32_t slot_a = tape__resolve(t, a, 0), slot_b = slot_a == TAPE__NO_SLOT ? slot_a : tape__resolve(t, b, 1);
    if (slot_b == TAPE__NO_SLOT)
        return false;
    const tape__node *na = tape__at(t, slot_a), *nb = tape__at(t, slot_b);
    const int64_t m = na->layout->size[0], n = nb->layout->size[1];
    tape__gemm g = {.dtype = (tape_dtype)na->dtype,
                    .m = m,
                    .n = n,
                    .k = nb->layout->size[0],
                    .batch = {1, 1},
                    .a = operand(na),
                    .b = operand(nb),
                    .c = {NULL, n, 1, {0, 0}}};
    g.accumulate = true; /* what needs more memory, if either does */
    const struct tape__parallel *threads = tape__threads_of(t);
    size_t bytes = tape__gemm_workspace(t->kernels->gemm, &g, threads);
    void *workspace = bytes ? tape__scratch(t, bytes) : NULL;
    if (bytes && !workspace)
        return false;
    g.c.data = tape__adjoint_data(v, i, &g.accumulate);
    if (!g.c.data)
        return false;
    tape__gemm_run(t->kernels->gemm, &g, workspace, threads);
    return true;
}

void tape__give_product(tape__vjp *v, int i, tape_tensor a, tape_tensor b)
{
    if (!add_product(v, i, a, b))
        v->gx[i] = tape_matmul(a, b);
}

void *tape__first_adjoint(tape__vjp *v, int i)
{
    uint32_t slot = tape__resolve(v->t, v->x[i], i);
    bool accumulate;
    if (slot == TAPE__NO_SLOT || tape__at(v->t, slot)->flags & TAPE__HAS_ADJOINT)
        return NULL;
    return tape__adjoint_data(v, i, &accumulate);
}
