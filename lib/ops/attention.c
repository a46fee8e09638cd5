/* Attention and rotary positions as ops: shapes, masks and derivatives. The blocks of queries are the kernels'. */
#include <math.h>
#include <string.h>

#include "attention.h"
#include "kernels/any/attention.h"
#include "region.h"
#include "softmax.h"

/* ---- shapes ------------------------------------------------------------------------------------------------------ */

/* q, k and v are in[first], in[first + 1], in[first + 2]. */
static bool check_floats(tape__call *call, int floats)
{
    for (int i = 0; i < floats; i++) {
        if (!tape__check_float(call->t, call->in[i]))
            return false;
        if (call->in[i]->dtype != call->in[0]->dtype)
            return tape__error(call->t, TAPE_ERROR_DTYPE, "dtypes %s and %s differ: cast one of them",
                               tape_dtype_name((tape_dtype)call->in[0]->dtype),
                               tape_dtype_name((tape_dtype)call->in[i]->dtype));
    }
    return true;
}

/* The same leading axes, and the last two as they must be. */
static bool fit(const tape__layout *q, const tape__layout *k, const tape__layout *v)
{
    const int rank = q->rank;
    if (rank < 2 || k->rank != rank || v->rank != rank)
        return false;
    for (int i = 0; i < rank - 2; i++)
        if (q->size[i] != k->size[i] || q->size[i] != v->size[i])
            return false;
    return q->size[rank - 1] == k->size[rank - 1] && k->size[rank - 2] == v->size[rank - 2];
}

/* The mask as one of [..., T, S]. */
static bool read_mask(tape__call *call, const tape__node *mask, int64_t *stride, tape__attention *a)
{
    const tape__layout *q = call->in[0]->layout;
    int64_t size[TAPE_MAX_RANK], wanted[TAPE_MAX_RANK];
    int rank = q->rank;
    memcpy(wanted, a->size, (size_t)(rank - 2) * sizeof *wanted);
    wanted[rank - 2] = a->queries;
    wanted[rank - 1] = a->keys;
    bool fits = tape__broadcast(mask->layout->rank, mask->layout->size, rank, wanted, &rank, size);
    if (!fits || rank != q->rank || memcmp(size, wanted, (size_t)rank * sizeof *size) != 0)
        return tape__error(call->t, TAPE_ERROR_SHAPE, "the mask %s does not broadcast to %s",
                           TAPE__LAYOUT_TEXT(mask->layout), tape__shape_text(q->rank, wanted).text);
    if (mask->dtype != TAPE_U8 && mask->dtype != (uint8_t)a->dtype)
        return tape__error(call->t, TAPE_ERROR_DTYPE, "expects a mask of u8 or %s, got %s", tape_dtype_name(a->dtype),
                           tape_dtype_name((tape_dtype)mask->dtype));
    tape__broadcast_strides(mask->layout, rank, size, stride);
    a->mask_dtype = (tape_dtype)mask->dtype;
    a->mask = (tape__matrices){mask->data, stride, stride[rank - 2], stride[rank - 1]};
    return true;
}

static tape__matrices matrices_of(const tape__node *x)
{
    const tape__layout *layout = x->layout;
    return (tape__matrices){x->data, layout->stride, layout->stride[layout->rank - 2],
                            layout->stride[layout->rank - 1]};
}

/* The problem of q, k, v = in[first ...] and perhaps a mask; `stride` has room for the mask's. */
static bool read_call(tape__call *call, int first, int64_t *stride, tape__attention *a)
{
    const tape__attention_attr *attr = call->attr;
    tape__node **in = call->in + first;
    const tape__layout *q = in[0]->layout, *k = in[1]->layout, *v = in[2]->layout;
    if (!check_floats(call, first + 3))
        return false;
    if (!fit(q, k, v))
        return tape__error(call->t, TAPE_ERROR_SHAPE,
                           "q %s, k %s and v %s: needs [..., T, D], [..., S, D] and [..., S, E]", TAPE__LAYOUT_TEXT(q),
                           TAPE__LAYOUT_TEXT(k), TAPE__LAYOUT_TEXT(v));
    const int rank = q->rank;
    *a = (tape__attention){.dtype = (tape_dtype)in[0]->dtype,
                           .batch = 1,
                           .queries = q->size[rank - 2],
                           .keys = k->size[rank - 2],
                           .depth = q->size[rank - 1],
                           .width = v->size[rank - 1],
                           .causal = attr->causal,
                           .rank = rank - 2,
                           .size = q->size};
    a->scale = attr->scale != 0 ? attr->scale : a->depth > 0 ? 1 / sqrt((double)a->depth) : 1;
    for (int i = 0; i < rank - 2; i++)
        a->batch *= q->size[i];
    a->q = matrices_of(in[0]);
    a->k = matrices_of(in[1]);
    a->v = matrices_of(in[2]);
    return call->n_in == first + 3 || read_mask(call, in[3], stride, a);
}

/* ---- forward and backward ---------------------------------------------------------------------------------------- */

bool tape__attention_forward(tape__call *call)
{
    tape__attention a;
    int64_t stride[TAPE_MAX_RANK], size[TAPE_MAX_RANK];
    const tape__layout *q = call->in[0]->layout;
    if (!read_call(call, 0, stride, &a))
        return false;
    memcpy(size, q->size, sizeof size);
    size[q->rank - 1] = a.width;
    tape__node *y = tape__output(call, a.dtype, q->rank, size);
    const struct tape__parallel *threads = tape__threads_of(call->t);
    size_t bytes = tape__attention_workspace(call->t->kernels, &a, false, threads);
    void *workspace = tape__scratch(call->t, bytes + 1);
    if (!y || !workspace)
        return false;
    tape__attention_run(call->t->kernels, &a, y->data, workspace, threads);
    return true;
}

/* Inputs: y's cotangent, q, k, v and perhaps the mask. Outputs: the cotangents of q, k and v. */
bool tape__attention_backward_forward(tape__call *call)
{
    tape__attention a;
    int64_t stride[TAPE_MAX_RANK];
    tape__node *out[3];
    if (!read_call(call, 1, stride, &a))
        return false;
    const tape__layout *g = call->in[0]->layout, *q = call->in[1]->layout;
    bool like = g->rank == q->rank && g->size[g->rank - 1] == a.width;
    if (!like || memcmp(g->size, q->size, (size_t)(q->rank - 1) * sizeof *g->size) != 0)
        return tape__error(call->t, TAPE_ERROR_SHAPE, "%s is no cotangent for q %s", TAPE__LAYOUT_TEXT(g),
                           TAPE__LAYOUT_TEXT(q));
    const tape__matrices cotangent = matrices_of(call->in[0]);
    for (int i = 0; i < 3; i++) {
        const tape__layout *x = call->in[i + 1]->layout;
        out[i] = tape__output(call, a.dtype, x->rank, x->size);
    }
    const struct tape__parallel *threads = tape__threads_of(call->t);
    size_t bytes = tape__attention_workspace(call->t->kernels, &a, true, threads);
    void *workspace = tape__scratch(call->t, bytes + 1);
    if (!out[0] || !out[1] || !out[2] || !workspace)
        return false;
    tape__attention_spread(call->t->kernels, &a, &cotangent, out[0]->data, out[1]->data, out[2]->data, workspace,
                           threads);
    return true;
}

/* ---- derivative -------------------------------------------------------------------------------------------------- */

static tape_tensor turned(tape_tensor x)
{
    return tape_transpose(x, -2, -1);
}

/* The scores as the formula has them. */
static tape_tensor scores(const tape__vjp *v, double scale)
{
    const tape__attention_attr *attr = v->attr;
    tape_tensor s = tape_mul_scalar(tape_matmul(v->x[0], turned(v->x[1])), scale);
    if (v->n_in > 3 && tape_dtype_of(v->x[3]) == TAPE_U8)
        s = tape_where(v->x[3], s, tape_scalar(tape_dtype_of(s), -INFINITY));
    else if (v->n_in > 3)
        s = tape_add(s, v->x[3]);
    if (!attr->causal)
        return s;
    tape_shape shape = tape_shape_of(s);
    tape_shape square = {2, {shape.size[shape.rank - 2], shape.size[shape.rank - 1]}};
    return tape_where(tape_tril(tape_ones(TAPE_U8, square), 0), s, tape_scalar(tape_dtype_of(s), -INFINITY));
}

/* y = P v with P = softmax(S): the cotangent of S is that of P through softmax. */
static void by_formula(tape__vjp *v, bool mask_alone)
{
    const tape__attention_attr *attr = v->attr;
    tape_shape shape = tape_shape_of(v->x[0]);
    int64_t depth = shape.rank > 0 ? shape.size[shape.rank - 1] : 0;
    double scale = attr->scale != 0 ? attr->scale : depth > 0 ? 1 / sqrt((double)depth) : 1;
    tape_tensor p = tape_softmax(scores(v, scale), -1);
    tape_tensor gs = tape__softmax_backward(tape_matmul(v->gy[0], turned(v->x[2])), p, -1);
    if (v->n_in > 3 && v->needs[3])
        v->gx[3] = tape__sum_to(gs, tape_shape_of(v->x[3]));
    if (mask_alone)
        return;
    if (v->needs[0])
        v->gx[0] = tape_mul_scalar(tape_matmul(gs, v->x[1]), scale);
    if (v->needs[1])
        v->gx[1] = tape_mul_scalar(tape_matmul(turned(gs), v->x[0]), scale);
    if (v->needs[2])
        v->gx[2] = tape_matmul(turned(p), v->gy[0]);
}

/* A recorded derivative must be made of ops that have one. */
void tape__attention_vjp(tape__vjp *v)
{
    if (v->t->paused == 0) {
        by_formula(v, false);
        return;
    }
    tape_tensor inputs[5] = {v->gy[0], v->x[0], v->x[1], v->x[2]};
    if (v->n_in > 3)
        inputs[4] = v->x[3];
    tape_tensor gq = tape__run(TAPE__OP_attention_backward, inputs, v->n_in + 1, v->attr, sizeof(tape__attention_attr));
    for (int i = 0; i < 3; i++)
        v->gx[i] = i == 0 ? gq : tape__sibling(gq, i);
    if (v->n_in > 3 && v->needs[3])
        by_formula(v, true);
}

tape_tensor tape_attention(tape_tensor q, tape_tensor k, tape_tensor v, tape_tensor mask,
                           const tape_attention_options *options)
{
    const tape_tensor inputs[4] = {q, k, v, mask};
    tape__attention_attr attr = {0};
    if (options) {
        attr.causal = options->causal;
        attr.scale = options->scale;
    }
    return tape__run(TAPE__OP_attention, inputs, tape_is_none(mask) ? 3 : 4, &attr, sizeof attr);
}
