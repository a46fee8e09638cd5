/* Matrix products as ops: shapes, batches and derivatives. The arithmetic is the kernels'. */
#include <string.h>

#include "adjoint.h"
#include "check.h"
#include "kernels/any/gemm_driver.h"
#include "kernels/kernels.h"
#include "product.h"
#include "short.h"

/* ---- matmul ------------------------------------------------------------------------------------------------------ */

/* One product with the leading axes of both sides broadcast to `size`. */
typedef struct product {
    int64_t m, n, k;
    int rank; /* of the leading axes */
    int64_t size[TAPE_MAX_RANK];
    int64_t a_stride[TAPE_MAX_RANK], b_stride[TAPE_MAX_RANK], c_stride[TAPE_MAX_RANK];
    tape__gemm gemm;
} product;

/* The strides of a leading axis of `x`, 0 where it is stretched. */
static void leading_strides(const tape__layout *x, const product *p, int64_t *stride)
{
    int own = x->rank > 2 ? x->rank - 2 : 0, lead = p->rank - own;
    for (int i = 0; i < p->rank; i++)
        stride[i] = i < lead || (x->size[i - lead] == 1 && p->size[i] != 1) ? 0 : x->stride[i - lead];
}

static bool plan(tape__call *call, product *p)
{
    const tape__layout *a = call->in[0]->layout, *b = call->in[1]->layout;
    bool vector_a = a->rank == 1, vector_b = b->rank == 1;
    bool fits = a->rank > 0 && b->rank > 0;
    p->m = vector_a || !fits ? 1 : a->size[a->rank - 2];
    p->k = fits ? a->size[a->rank - 1] : 0;
    p->n = vector_b || !fits ? 1 : b->size[b->rank - 1];
    fits = fits && p->k == b->size[vector_b ? 0 : b->rank - 2];
    int lead_a = a->rank > 2 ? a->rank - 2 : 0, lead_b = b->rank > 2 ? b->rank - 2 : 0;
    if (!fits || !tape__broadcast(lead_a, a->size, lead_b, b->size, &p->rank, p->size))
        return tape__error(call->t, TAPE_ERROR_SHAPE, "shapes %s and %s: needs [..., m, k] and [..., k, n]",
                           TAPE__LAYOUT_TEXT(a), TAPE__LAYOUT_TEXT(b));
    leading_strides(a, p, p->a_stride);
    leading_strides(b, p, p->b_stride);
    p->gemm.a.data = call->in[0]->data;
    p->gemm.a.row = vector_a ? 0 : a->stride[a->rank - 2];
    p->gemm.a.col = a->stride[a->rank - 1];
    p->gemm.b.data = call->in[1]->data;
    p->gemm.b.row = b->stride[vector_b ? 0 : b->rank - 2];
    p->gemm.b.col = vector_b ? 0 : b->stride[b->rank - 1];
    return true;
}

/* The last two leading axes are the kernel's batch; those before them are looped over here. */
static bool multiply(tape *t, product *p, void *c)
{
    tape__gemm *g = &p->gemm;
    int64_t stride = p->m * p->n, outer = 1;
    for (int i = p->rank - 1; i >= 0; i--) {
        p->c_stride[i] = stride;
        stride *= p->size[i];
    }
    g->m = p->m, g->n = p->n, g->k = p->k;
    g->c = (tape__gemm_operand){c, p->n, 1, {0, 0}};
    for (int level = 0; level < TAPE__GEMM_BATCHES; level++) {
        int axis = p->rank - TAPE__GEMM_BATCHES + level;
        g->batch[level] = axis >= 0 ? p->size[axis] : 1;
        g->a.batch[level] = axis >= 0 ? p->a_stride[axis] : 0;
        g->b.batch[level] = axis >= 0 ? p->b_stride[axis] : 0;
        g->c.batch[level] = axis >= 0 ? p->c_stride[axis] : 0;
    }
    const struct tape__parallel *threads = tape__threads_of(t);
    size_t bytes = tape__gemm_workspace(t->kernels->gemm, g, threads);
    void *workspace = bytes ? tape__scratch(t, bytes) : NULL;
    if (bytes && !workspace)
        return false;
    for (int i = 0; i < p->rank - TAPE__GEMM_BATCHES; i++)
        outer *= p->size[i];
    size_t item = tape_dtype_size(g->dtype);
    const unsigned char *a = g->a.data, *b = g->b.data;
    for (int64_t entry = 0; entry < outer; entry++) {
        int64_t rest = entry, at_a = 0, at_b = 0, at_c = 0;
        for (int i = p->rank - TAPE__GEMM_BATCHES - 1; i >= 0; i--) {
            at_a += rest % p->size[i] * p->a_stride[i];
            at_b += rest % p->size[i] * p->b_stride[i];
            at_c += rest % p->size[i] * p->c_stride[i];
            rest /= p->size[i];
        }
        g->a.data = a + at_a * (int64_t)item;
        g->b.data = b + at_b * (int64_t)item;
        g->c.data = (unsigned char *)c + at_c * (int64_t)item;
        tape__gemm_run(t->kernels->gemm, g, workspace, threads);
    }
    return true;
}

bool tape__matmul_forward(tape__call *call)
{
    product p = {.gemm.dtype = (tape_dtype)call->in[0]->dtype};
    if (!tape__check_dtypes(call->t, call->in, 0, call->n_in, TAPE_F64) || !plan(call, &p))
        return false;
    int rank = p.rank;
    int64_t size[TAPE_MAX_RANK + 2];
    memcpy(size, p.size, sizeof p.size);
    if (call->in[0]->layout->rank > 1)
        size[rank++] = p.m;
    if (call->in[1]->layout->rank > 1)
        size[rank++] = p.n;
    tape__node *y = tape__output(call, p.gemm.dtype, rank, size);
    return y && (y->layout->numel == 0 || multiply(call->t, &p, y->data));
}

/* x with the axis of size 1 that a 1-D operand counts as having. */
static tape_tensor as_matrix(tape_tensor x, bool row)
{
    tape_shape shape = tape_shape_of(x);
    return shape.rank != 1 ? x
           : row           ? tape_reshape(x, TAPE_SHAPE(1, shape.size[0]))
                           : tape_reshape(x, TAPE_SHAPE(shape.size[0], 1));
}

TAPE__NOINLINE void tape__matmul_vjp(tape__vjp *v)
{
    tape_shape a_shape = tape_shape_of(v->x[0]), b_shape = tape_shape_of(v->x[1]), g_shape = tape_shape_of(v->gy[0]);
    tape_tensor a = as_matrix(v->x[0], true), b = as_matrix(v->x[1], false), g = v->gy[0];
    if (a_shape.rank == 1 || b_shape.rank == 1) {
        int rank = g_shape.rank - (a_shape.rank > 1) - (b_shape.rank > 1);
        g_shape.size[rank] = a_shape.rank > 1 ? a_shape.size[a_shape.rank - 2] : 1;
        g_shape.size[rank + 1] = b_shape.rank > 1 ? b_shape.size[b_shape.rank - 1] : 1;
        g_shape.rank = rank + 2;
        g = tape_reshape(g, g_shape);
    }
    if (v->needs[0]) {
        tape_tensor ga = tape__sum_to(tape_matmul(g, tape_transpose(b, -2, -1)), tape_shape_of(a));
        v->gx[0] = a_shape.rank > 1 ? ga : tape_reshape(ga, a_shape);
    }
    if (v->needs[1]) {
        tape_tensor gb = tape__sum_to(tape_matmul(tape_transpose(a, -2, -1), g), tape_shape_of(b));
        v->gx[1] = b_shape.rank > 1 ? gb : tape_reshape(gb, b_shape);
    }
}

/* Two matrices: the adjoints are added to where they lie. */
bool tape__matmul_fused(tape__fused *f)
{
    tape *t = f->t;
    const tape__node *a = tape__at(t, f->in[0]), *b = tape__at(t, f->in[1]);
    tape__gemm_operand as, bs, gs;
    if (a->layout->rank != 2 || b->layout->rank != 2 || f->y->layout->numel == 0)
        return false;
    const int64_t m = a->layout->size[0], n = b->layout->size[1], k = a->layout->size[1];
    if (!tape__rows_of(a->data, a->layout, &as) || !tape__rows_of(b->data, b->layout, &bs) ||
        !tape__rows_of(f->g, f->g_layout, &gs))
        return false;
    const tape__gemm_operand as_turned = tape__turned(&as), bs_turned = tape__turned(&bs);
    tape__node *ga = tape__wanted(f, 0), *gb = tape__wanted(f, 1);
    return (!ga || tape__add_product(t, ga, (const int64_t[]){m, k, n}, &gs, &bs_turned)) &&
           (!gb || tape__add_product(t, gb, (const int64_t[]){k, n, m}, &as_turned, &gs));
}

/* Two small dense matrices: null where the long way must be taken. */
static tape_tensor multiply_small(tape_tensor a, tape_tensor b)
{
    tape *t = tape__tls;
    uint32_t p, q, slot;
    const tape__node *x, *w;
    if (!t || t->detour || !(x = tape__find(t, a, &p)) || !(w = tape__find(t, b, &q)))
        return TAPE_NULL;
    const tape__layout *lx = x->layout, *lw = w->layout;
    if (lx->rank != 2 || lw->rank != 2 || x->dtype != w->dtype || x->dtype > TAPE_F64 || lx->size[1] != lw->size[0] ||
        !tape__is_dense(lx) || !tape__is_dense(lw))
        return TAPE_NULL;
    const int64_t m = lx->size[0], n = lw->size[1], k = lx->size[1], size = (int64_t)tape__item_size(x->dtype);
    const tape__gemm_operand rows_x = {x->data, k, 1, {0, 0}}, rows_w = {w->data, n, 1, {0, 0}};
    tape__gemm_block one = tape__block_of(x->dtype, (const int64_t[]){m, n, k}, &rows_x, &rows_w, NULL);
    if (!tape__gemm_is_one_block((tape_dtype)x->dtype, &one))
        return TAPE_NULL;
    const tape__layout *layout = n == k ? lx : tape__layout_dense(&t->layouts, 2, (const int64_t[]){m, n});
    void *data = layout ? tape__arena_get(&t->arena, (size_t)(m * n * size)) : NULL;
    tape__node *y = data ? tape__short_node(t, x, &slot) : NULL;
    if (!y) {
        if (data)
            tape__arena_put(&t->arena, data, (size_t)(m * n * size));
        return TAPE_NULL;
    }
    one.c = y->data = data;
    y->layout = layout;
    y->u.extra = NULL;
    const tape_tensor made = tape__short_record(t, TAPE__OP_matmul, y, slot, TAPE__OWNS_BLOCK, x, p, w, q);
    tape__gemm_one_block(t->kernels->gemm, y->dtype, &one)(&one);
    return made;
}

tape_tensor tape_matmul(tape_tensor a, tape_tensor b)
{
    tape_tensor y = multiply_small(a, b);
    return tape_is_null(y) ? tape__run(TAPE__OP_matmul, (const tape_tensor[]){a, b}, 2, NULL, 0) : y;
}

/* ---- products of fixed rank -------------------------------------------------------------------------------------- */

static tape_tensor ranked_product(int op, tape_tensor a, int rank_a, tape_tensor b, int rank_b)
{
    const char *name = tape__ops[op].name;
    tape *t = tape__begin(name);
    if (!t)
        return TAPE_NULL;
    const char *before = tape__enter(t, name);
    tape_shape sa = tape_shape_of(a), sb = tape_shape_of(b);
    tape_tensor y = TAPE_NULL;
    const char *equal = op == TAPE__OP_bmm ? ", batches equal" : op == TAPE__OP_dot ? ", sizes equal" : NULL;
    if (t->status == TAPE_OK && (sa.rank != rank_a || sb.rank != rank_b || (equal && sa.size[0] != sb.size[0])))
        tape__error(t, TAPE_ERROR_SHAPE, "shapes %s and %s: needs rank %d and %d%s",
                    tape__shape_text(sa.rank, sa.size).text, tape__shape_text(sb.rank, sb.size).text, rank_a, rank_b,
                    equal ? equal : "");
    else if (op == TAPE__OP_dot) /* a matrix product of one element would be one chain of additions */
        y = tape_sum(tape_mul(a, b), TAPE_ALL, false);
    else if (op == TAPE__OP_outer)
        y = tape_mul(tape_reshape(a, TAPE_SHAPE(sa.size[0], 1)), b);
    else
        y = tape_matmul(a, b);
    return tape__leave(t, before, op, y);
}

tape_tensor tape_dot(tape_tensor a, tape_tensor b)
{
    return ranked_product(TAPE__OP_dot, a, 1, b, 1);
}

tape_tensor tape_outer(tape_tensor a, tape_tensor b)
{
    return ranked_product(TAPE__OP_outer, a, 1, b, 1);
}

tape_tensor tape_mv(tape_tensor a, tape_tensor x)
{
    return ranked_product(TAPE__OP_mv, a, 2, x, 1);
}

tape_tensor tape_bmm(tape_tensor a, tape_tensor b)
{
    return ranked_product(TAPE__OP_bmm, a, 3, b, 3);
}
