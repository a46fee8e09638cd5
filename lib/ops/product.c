/* Matrix products over the rows of tensors, to memory and to adjoints, and other contributions that go straight there.
 * Does not know whose they are. */
#include "product.h"

#include "kernels/kernels.h"

/* The product, in work space of the tape's; false after an error. */
static bool run_gemm(tape *t, const tape__gemm *g)
{
    if (tape__gemm_small(t->kernels->gemm, g))
        return true;
    const struct tape__parallel *threads = tape__threads_of(t);
    size_t bytes = tape__gemm_workspace(t->kernels->gemm, g, threads);
    void *workspace = bytes ? tape__scratch(t, bytes) : NULL;
    if (bytes && !workspace)
        return false;
    tape__gemm_run(t->kernels->gemm, g, workspace, threads);
    return true;
}

/* One block, as the kernel takes it. */
typedef struct block {
    tape__gemm_block_fn *run;
    tape__gemm_block one;
} block;

static bool run_block(tape *t, const void *arguments)
{
    const block *b = arguments;
    (void)t;
    b->run(&b->one);
    return true;
}

/* The block of a product where one of a kernel is enough; else false. What is to be done then comes after it. */
TAPE__INLINE bool find_block(const tape *t, unsigned dtype, const int64_t mnk[3], const tape__gemm_operand *a,
                             const tape__gemm_operand *b, void *c, const tape__epilogue *e, block *whole)
{
    whole->one = tape__block_of(dtype, mnk, a, b, e->accumulate ? c : e->bias);
    whole->one.c = c;
    whole->one.add_row = e->accumulate ? whole->one.c_row : 0;
    if ((e->bias && e->stride != 1) || !tape__gemm_is_one_block(dtype, &whole->one))
        return false;
    whole->run = tape__gemm_one_block(t->kernels->gemm, dtype, &whole->one);
    return true;
}

/* Any other. */
static bool multiply_any(tape *t, unsigned dtype, const int64_t mnk[3], const tape__gemm_operand *a,
                         const tape__gemm_operand *b, void *c, const tape__epilogue *e)
{
    tape__gemm g = {
        .dtype = (tape_dtype)dtype, .m = mnk[0], .n = mnk[1], .k = mnk[2], .batch = {1, 1}, .a = *a, .b = *b};
    g.c = (tape__gemm_operand){c, g.n, 1, {0, 0}};
    g.accumulate = e->accumulate;
    g.bias = e->bias;
    g.bias_stride = e->stride;
    g.finish = e->finish;
    g.finish_user = e->user;
    return run_gemm(t, &g);
}

bool tape__multiply_rows(tape *t, tape_dtype dtype, const int64_t mnk[3], const tape__gemm_operand *a,
                         const tape__gemm_operand *b, void *c, const tape__epilogue *epilogue)
{
    block whole;
    if (!find_block(t, dtype, mnk, a, b, c, epilogue, &whole))
        return multiply_any(t, dtype, mnk, a, b, c, epilogue);
    whole.run(&whole.one);
    if (epilogue->finish)
        epilogue->finish(epilogue->user, c, mnk[0] * mnk[1]);
    return true;
}

bool tape__rows_of(const void *data, const tape__layout *x, tape__gemm_operand *rows)
{
    const bool matrix = x->rank == 2;
    const int64_t row = matrix ? x->stride[0] : x->rank ? x->size[x->rank - 1] : 1;
    *rows = (tape__gemm_operand){data, row, matrix ? x->stride[1] : 1, {0, 0}};
    return matrix || tape__is_dense(x);
}

/* A product that takes more than a block. */
typedef struct product {
    int64_t mnk[3];
    tape__gemm_operand a, b;
    void *c;
    tape__epilogue epilogue;
    unsigned dtype;
} product;

static bool run_product(tape *t, const void *arguments)
{
    const product *p = arguments;
    return multiply_any(t, p->dtype, p->mnk, &p->a, &p->b, p->c, &p->epilogue);
}

bool tape__add_product(tape *t, tape__node *x, const int64_t mnk[3], const tape__gemm_operand *a,
                       const tape__gemm_operand *b)
{
    tape__epilogue epilogue = {0};
    void *c = tape__adjoint_target(t, x, &epilogue.accumulate);
    block whole;
    if (!c)
        return false;
    if (find_block(t, x->dtype, mnk, a, b, c, &epilogue, &whole))
        return TAPE__DO(t, run_block, &whole);
    return TAPE__DO(t, run_product, (&(product){{mnk[0], mnk[1], mnk[2]}, *a, *b, c, epilogue, x->dtype}));
}

/* False if the product must go the ordinary way, or after an error. */
static bool give_to_adjoint(tape__vjp *v, int i, tape_tensor a, tape_tensor b)
{
    tape *t = v->t;
    uint32_t slot_a = tape__resolve(t, a, 0), slot_b = slot_a == TAPE__NO_SLOT ? slot_a : tape__resolve(t, b, 1);
    if (slot_b == TAPE__NO_SLOT)
        return false;
    const tape__node *na = tape__at(t, slot_a), *nb = tape__at(t, slot_b);
    tape__gemm_operand as, bs;
    tape__epilogue epilogue = {0};
    const int64_t mnk[3] = {na->layout->size[0], nb->layout->size[1], nb->layout->size[0]};
    void *c = tape__rows_of(na->data, na->layout, &as) && tape__rows_of(nb->data, nb->layout, &bs)
                  ? tape__adjoint_data(v, i, &epilogue.accumulate)
                  : NULL;
    return c && tape__multiply_rows(t, (tape_dtype)na->dtype, mnk, &as, &bs, c, &epilogue);
}

void tape__give_product(tape__vjp *v, int i, tape_tensor a, tape_tensor b)
{
    if (!give_to_adjoint(v, i, a, b) && v->t->status == TAPE_OK)
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
