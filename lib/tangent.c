/* The tangents of one record's outputs from those of its inputs. Does not know any op's mathematics but where's. */
#include <string.h>

#include "forward.h"
#include "kernels/any/ewise_driver.h"
#include "trace.h"

/* ---- elementwise ops --------------------------------------------------------------------------------------------- */

static tape_tensor stretch(tape_tensor x, tape_shape shape)
{
    tape_shape own = tape_shape_of(x);
    bool same = own.rank == shape.rank && memcmp(own.size, shape.size, (size_t)own.rank * sizeof *own.size) == 0;
    return same ? x : tape_expand(x, shape);
}

/* d_i times the tangent, as ops. */
static tape_tensor multiply(const tape__record *r, int i, bool guarded)
{
    tape_shape shape = tape_shape_of(r->y[0]);
    tape_tensor d = tape__ewise_local_derivative(tape__ops[r->node->op].ewise, i, r->x, r->y[0], r->attr);
    if (tape_is_none(d))
        return stretch(r->tx[i], shape);
    tape_tensor product = tape__strong_mul(d, r->tx[i]);
    if (guarded)
        product = tape_where(tape_ne_scalar(d, 0), product, tape_scalar(tape_dtype_of(d), 0));
    return stretch(product, shape);
}

/* The same by the fused kernel. */
static tape_tensor multiply_fused(const tape__record *r, int i)
{
    tape *t = r->f->t;
    const tape__node *y = r->node;
    const tape__layout *shape = y->layout->dense;
    uint32_t slot, tangent = tape__resolve(t, r->tx[i], i);
    tape__node *out = tape__new_tensor(t, (tape_dtype)y->dtype, shape->rank, shape->size, &slot);
    if (!out || tangent == TAPE__NO_SLOT)
        return TAPE_NULL;
    const tape__node *tx = tape__at(t, tangent);
    const void *data[3] = {0};
    int64_t stride[4][TAPE_MAX_RANK];
    const int64_t *strides[3] = {stride[0], stride[1], stride[2]};
    int ewise = tape__ops[y->op].ewise;
    unsigned uses = tape__ewise_uses(ewise, i);
    for (int k = 0; k < r->n_in; k++) {
        const tape__node *x = tape__at(t, r->in[k]);
        data[k] = uses & ((unsigned)TAPE__USES_X0 << k) ? x->data : NULL;
        tape__broadcast_strides(x->layout, shape->rank, shape->size, stride[k]);
    }
    tape__broadcast_strides(tx->layout, shape->rank, shape->size, stride[3]);
    tape__ewise_derivative(t->kernels, tape__threads_of(t), ewise, i, y->dtype, shape->rank, shape->size, out->data,
                           false, tx->data, stride[3], data, strides, y->data, r->attr);
    return tape__handle(t, slot);
}

/*
 * On the way back an adjoint that became 0 stays 0, whatever derivative follows. On the way forth the infinite
 * derivative comes first, and a 0 that follows has to end it: rare, so looked for in the product.
 */
static tape_tensor product_of(const tape__record *r, int i)
{
    tape *t = r->f->t;
    tape_tensor product = r->f->record ? multiply(r, i, false) : multiply_fused(r, i);
    uint32_t slot = tape__resolve(t, product, i);
    if (slot == TAPE__NO_SLOT)
        return TAPE_NULL;
    const tape__traced traced = tape__traced_node("tangent", i, tape__at(t, slot));
    return !tape__is_dense(traced.layout) || tape__all_finite(&traced) ? product : multiply(r, i, true);
}

static bool elementwise(tape__record *r)
{
    tape *t = r->f->t;
    for (int i = 0; i < r->n_in; i++) {
        if (tape_is_none(r->tx[i]))
            continue;
        if (!tape__check_uses(t, r->node, r->in, r->saved, r->n_in, tape__ewise_uses(tape__ops[r->node->op].ewise, i)))
            return false;
        tape_tensor product = product_of(r, i);
        r->ty[0] = tape_is_none(r->ty[0]) ? product : tape_add(r->ty[0], product);
    }
    return t->status == TAPE_OK;
}

/* The branch that is not taken does not count, whatever its tangent. */
static bool where(tape__record *r)
{
    tape_tensor zero = tape_scalar((tape_dtype)r->node->dtype, 0);
    for (int i = 1; i < 3; i++)
        if (tape_is_none(r->tx[i]))
            r->tx[i] = zero;
    r->ty[0] = stretch(tape_where(r->x[0], r->tx[1], r->tx[2]), tape_shape_of(r->y[0]));
    return r->f->t->status == TAPE_OK;
}

/* ---- the other ops ----------------------------------------------------------------------------------------------- */

/* The op of the tangents. */
static bool linear(tape__record *r)
{
    tape *t = r->f->t;
    for (int i = 0; i < r->n_in; i++)
        if (tape_is_none(r->tx[i]))
            r->tx[i] = tape__at(t, r->in[i])->dtype > TAPE_F64 ? r->x[i] : tape_zeros_like(r->x[i]);
    r->ty[0] = tape__run(r->node->op, r->tx, r->n_in, r->attr, r->attr_size);
    for (int k = 1; k < r->n_out; k++)
        r->ty[k] = tape__sibling(r->ty[0], k);
    return t->status == TAPE_OK;
}

static tape__vjp vjp_of(const tape__record *r)
{
    return (tape__vjp){.t = r->f->t,
                       .op = &tape__ops[r->node->op],
                       .attr = r->attr,
                       .n_in = r->n_in,
                       .n_out = r->n_out,
                       .x = r->x,
                       .y = r->y,
                       .needs = r->needs,
                       .custom = r->node->op == TAPE__OP_CUSTOM ? r->node->u.extra->custom : NULL,
                       .create_graph = true};
}

/* Variables for the cotangents; their values do not matter, for the VJP is linear in them. */
static bool make_cotangents(const tape__record *r, tape_tensor *u, tape_tensor *floating, int *count)
{
    tape *t = r->f->t;
    for (int k = 0; k < r->n_out; k++) {
        u[k] = TAPE_NONE;
        if (tape__at(t, r->slot + (uint32_t)k)->dtype > TAPE_F64)
            continue;
        u[k] = tape_ones_like(r->y[k]);
        if (tape_is_null(u[k]))
            return false;
        tape__at(t, u[k].slot)->flags |= TAPE__REQUIRES_GRAD;
        floating[(*count)++] = u[k];
    }
    return true;
}

/* t -> J t is the derivative of u -> <J' u, t>. */
static bool twice_reversed(tape__record *r)
{
    tape *t = r->f->t;
    tape_tensor u[8], floating[8], results[8];
    int outputs = 0, connected = 0;
    if (!make_cotangents(r, u, floating, &outputs))
        return false;
    tape__vjp v = vjp_of(r);
    v.gy = u;
    v.gx = r->gx;
    v.op->vjp(&v);
    for (int i = 0; i < r->n_in && t->status == TAPE_OK; i++)
        if (r->needs[i] && !tape_is_none(r->gx[i])) {
            r->gx[connected] = r->gx[i];
            r->tx[connected++] = r->tx[i];
        }
    const tape_grad_options options = {.create_graph = r->f->record};
    if (t->status != TAPE_OK || connected == 0)
        return t->status == TAPE_OK;
    if (tape_grad(r->gx, connected, r->tx, floating, outputs, &options, results) != TAPE_OK)
        return false;
    for (int k = 0, j = 0; k < r->n_out; k++)
        if (!tape_is_none(u[k]))
            r->ty[k] = results[j++];
    return true;
}

static bool general(tape__record *r)
{
    tape *t = r->f->t;
    const tape_custom_op *custom = r->node->op == TAPE__OP_CUSTOM ? r->node->u.extra->custom : NULL;
    if (custom && !custom->jvp && custom->first_order)
        return tape__error(t, TAPE_ERROR_UNSUPPORTED,
                           "%s has no forward mode: no rule of its own, and its VJP works on data", custom->name);
    uint32_t count = t->count;
    const char *before = tape__enter(t, tape__record_name(r->node));
    t->op_name = tape__record_name(r->node); /* whatever called for the derivative */
    tape__callback outer = tape__enter_callback(t);
    t->paused = 0;
    bool ok;
    if (custom && custom->jvp) {
        tape__vjp v = vjp_of(r);
        v.create_graph = r->f->record;
        ok = tape__custom_jvp(&v, r->tx, r->ty);
    } else {
        ok = twice_reversed(r);
    }
    tape__leave_callback(t, outer);
    t->composite_depth--;
    t->op_name = before;
    return ok && (r->f->record || tape__truncate_keeping(t, count, r->ty, r->n_out));
}

bool tape__record_tangents(tape__record *r)
{
    const tape__op *op = &tape__ops[r->node->op];
    if (r->node->op == TAPE__OP_where)
        return tape__check_uses(r->f->t, r->node, r->in, r->saved, r->n_in, TAPE__USES_X0) && where(r);
    if (op->ewise >= 0)
        return elementwise(r);
    if (!tape__check_saved(r->f->t, r->slot))
        return false;
    return op->flags & TAPE__LINEAR ? linear(r) : general(r);
}
