/* Layers x w^T + b, with an activation or without. Knows shapes and derivatives; the arithmetic is the kernels'. */
#include <string.h>

#include "check.h"
#include "kernels/any/ewise_driver.h"
#include "kernels/kernels.h"
#include "product.h"
#include "recall.h"

/* ---- activations ------------------------------------------------------------------------------------------------- */

static const int rows_of_activations[] = {
    [TAPE_ACTIVATION_RELU] = TAPE__EW_relu,           [TAPE_ACTIVATION_TANH] = TAPE__EW_tanh,
    [TAPE_ACTIVATION_SIGMOID] = TAPE__EW_sigmoid,     [TAPE_ACTIVATION_GELU] = TAPE__EW_gelu,
    [TAPE_ACTIVATION_GELU_TANH] = TAPE__EW_gelu_tanh, [TAPE_ACTIVATION_SILU] = TAPE__EW_silu,
};
enum { ACTIVATIONS = sizeof rows_of_activations / sizeof *rows_of_activations };

/* The attribute: the activation's row of elementwise.def. */
static int ewise_of(const void *attr)
{
    return (int)*(const int64_t *)attr;
}

/* Whether the derivative reads what went into the activation: then that is the record's second output. */
static bool keeps_inner(int ewise)
{
    return tape__ewise_uses(ewise, 0) & TAPE__USES_X0;
}

/* The place for an activation: where a piece of the product has just been written. */
struct activation {
    const struct tape__kernels *kernels;
    int ewise, dtype;
    const char *inner; /* all of it */
    char *y;
};

static void activate(void *user, void *piece, int64_t n)
{
    const struct activation *a = user;
    const void *x = piece;
    tape__ewise_flat_value(a->kernels, NULL, a->ewise, a->dtype, n, 0, a->y + ((const char *)piece - a->inner), &x,
                           NULL);
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

static bool shapes_fit(const tape__call *call)
{
    const tape__layout *x = call->in[0]->layout, *w = call->in[1]->layout;
    if (x->rank < 1 || w->rank != 2 || x->size[x->rank - 1] != w->size[1])
        return false;
    return call->n_in == 2 || (call->in[2]->layout->rank == 1 && call->in[2]->layout->size[0] == w->size[0]);
}

static bool check(const tape__call *call)
{
    if (!tape__check_dtypes(call->t, call->in, 0, call->n_in, TAPE_F64))
        return false;
    return shapes_fit(call) ||
           tape__error(call->t, TAPE_ERROR_SHAPE, "x %s, weight %s, bias %s: needs [..., in], [out, in] and [out]",
                       TAPE__LAYOUT_TEXT(call->in[0]->layout), TAPE__LAYOUT_TEXT(call->in[1]->layout),
                       call->n_in > 2 ? TAPE__LAYOUT_TEXT(call->in[2]->layout) : "none");
}

/* An output of the layer's shape. */
static tape__node *output(tape__call *call)
{
    const tape__layout *x = call->in[0]->layout;
    int64_t size[TAPE_MAX_RANK];
    for (int i = 0; i < x->rank - 1; i++)
        size[i] = x->size[i];
    size[x->rank - 1] = call->in[1]->layout->size[0];
    return tape__output(call, (tape_dtype)call->in[0]->dtype, x->rank, size);
}

/* What a layer does to memory: the product and the bias to `inner`, and from there an activation to `y`. */
typedef struct layer_value {
    int64_t mnk[3];
    tape__gemm_operand x, w;
    const void *bias;
    int64_t bias_stride;
    void *inner, *y;
    int ewise, dtype; /* ewise < 0: without one */
} layer_value;

static bool run_layer(tape *t, const void *arguments)
{
    const layer_value *l = arguments;
    struct activation a = {t->kernels, l->ewise, l->dtype, l->inner, l->y};
    tape__epilogue last = {.bias = l->bias, .stride = l->bias_stride};
    if (l->ewise >= 0) {
        last.finish = activate;
        last.user = &a;
    }
    return tape__multiply_rows(t, (tape_dtype)l->dtype, l->mnk, &l->x, &l->w, l->inner, &last);
}

static bool multiply(tape__call *call, int ewise, const tape__node *inner, const tape__node *y)
{
    const tape__node *x = call->in[0], *w = call->in[1], *bias = call->n_in > 2 ? call->in[2] : NULL;
    const int64_t out = w->layout->size[0], in = w->layout->size[1];
    if (y->layout->numel == 0)
        return true;
    const bool rows = x->layout->rank == 2; /* any strides will do; other ranks are flattened to rows */
    const void *data = rows ? x->data : tape__dense_data(call->t, x);
    if (!data)
        return false;
    const layer_value l = {
        {y->layout->numel / out, out, in},
        {data, rows ? x->layout->stride[0] : in, rows ? x->layout->stride[1] : 1, {0, 0}},
        {w->data, w->layout->stride[1], w->layout->stride[0], {0, 0}},
        bias ? bias->data : NULL,
        bias ? bias->layout->stride[0] : 0,
        inner->data,
        y->data,
        ewise,
        x->dtype,
    };
    if (data == x->data)
        tape__recall_is_whole(call->t);
    return TAPE__DO(call->t, run_layer, &l);
}

bool tape__linear_forward(tape__call *call)
{
    const tape__node *y = check(call) ? output(call) : NULL;
    return y && multiply(call, -1, y, y);
}

/* Outputs: y, and what went into the activation if the derivative reads it. */
bool tape__linear_activated_forward(tape__call *call)
{
    const int ewise = ewise_of(call->attr);
    const tape__node *y = check(call) ? output(call) : NULL;
    const tape__node *inner = y && keeps_inner(ewise) ? output(call) : y;
    return inner && multiply(call, ewise, inner, y);
}

/* ---- derivatives by handles -------------------------------------------------------------------------------------- */

/* [..., n] as rows of n. */
static tape_tensor as_rows(tape_tensor x)
{
    tape_shape shape = tape_shape_of(x);
    int64_t n = shape.rank ? shape.size[shape.rank - 1] : 1, rows = 1;
    for (int i = 0; i < shape.rank - 1; i++)
        rows *= shape.size[i];
    return shape.rank == 2 ? x : tape_reshape(x, TAPE_SHAPE(rows, n));
}

static void give(tape__vjp *v, tape_tensor g)
{
    if (v->needs[0])
        v->gx[0] = tape_matmul(g, v->x[1]);
    if (v->needs[1])
        v->gx[1] = tape_matmul(tape_transpose(as_rows(g), 0, 1), as_rows(v->x[0]));
    if (v->n_in > 2 && v->needs[2])
        v->gx[2] = tape__sum_to(g, tape_shape_of(v->x[2]));
}

void tape__linear_vjp(tape__vjp *v)
{
    give(v, v->gy[0]);
}

/* The second output has a cotangent of its own where a recorded derivative has read it. */
void tape__linear_activated_vjp(tape__vjp *v)
{
    const int ewise = ewise_of(v->attr);
    tape_tensor inner = v->n_out > 1 ? v->y[1] : v->y[0], g = TAPE_NONE;
    if (!tape_is_none(v->gy[0]))
        g = tape__strong_mul(tape__ewise_local_derivative(ewise, 0, &inner, v->y[0], NULL), v->gy[0]);
    if (v->n_out > 1 && !tape_is_none(v->gy[1]))
        g = tape_is_none(g) ? v->gy[1] : tape_add(g, v->gy[1]);
    if (!tape_is_none(g))
        give(v, g);
}

/* ---- derivatives on nodes ---------------------------------------------------------------------------------------- */

/* The cotangent of x w^T + b, and who keeps it. */
typedef struct cotangent {
    const void *data;
    const tape__layout *layout;
    tape__adjoint *holder;
} cotangent;

/* Its rows are summed into the bias's adjoint: a single row is handed on as it is. */
static bool add_bias(tape *t, tape__node *bias, const cotangent *g, const tape__gemm_operand *gs, int64_t rows)
{
    if (rows == 1 && (gs->col == 1 || tape__is_single(bias)))
        return tape__contribute(t, bias, g->data, bias->layout->dense, g->holder);
    return tape__contribute_sum(t, bias, g->data, g->layout);
}

/* The memory that the derivatives read, where it lies as they can read it. */
typedef struct layer {
    tape__gemm_operand x, w;
    int64_t rows, out, in;
} layer;

static bool find_layer(const tape__fused *f, layer *l)
{
    const tape__node *x = tape__at(f->t, f->in[0]), *w = tape__at(f->t, f->in[1]);
    l->out = w->layout->size[0];
    l->in = w->layout->size[1];
    l->rows = l->out ? f->y->layout->numel / l->out : 0;
    return f->y->layout->numel > 0 && tape__rows_of(x->data, x->layout, &l->x) &&
           tape__rows_of(w->data, w->layout, &l->w);
}

static bool add_derivatives(const tape__fused *f, const layer *l, const cotangent *g, const tape__gemm_operand *gs)
{
    tape *t = f->t;
    tape__node *gx = tape__wanted(f, 0), *gw = tape__wanted(f, 1), *gb = f->n_in > 2 ? tape__wanted(f, 2) : NULL;
    const tape__gemm_operand turned = tape__turned(gs);
    return (!gx || tape__add_product(t, gx, (const int64_t[]){l->rows, l->in, l->out}, gs, &l->w)) &&
           (!gw || tape__add_product(t, gw, (const int64_t[]){l->out, l->in, l->rows}, &turned, &l->x)) &&
           (!gb || add_bias(t, gb, g, gs, l->rows));
}

bool tape__linear_fused(tape__fused *f)
{
    layer l;
    tape__gemm_operand gs;
    const cotangent g = {f->g, f->g_layout, f->holder};
    return find_layer(f, &l) && tape__rows_of(g.data, g.layout, &gs) && add_derivatives(f, &l, &g, &gs);
}

/* Where nobody else reads y's adjoint, the cotangent of what went into the activation takes its place. */
static tape__adjoint *place_of_cotangent(const tape__fused *f)
{
    tape__adjoint *own = f->holder;
    if (own && tape__adjoint_is_spare(f->t, own)) {
        own->refs++;
        return own;
    }
    return tape__adjoint_new(f->t, f->y->layout->dense, (tape_dtype)f->y->dtype);
}

/* own = the activation's derivative times g. */
typedef struct deactivation {
    const tape__layout *dense, *g_layout;
    const void *g, *inner, *y;
    void *own;
    int ewise, dtype;
} deactivation;

static bool deactivate(tape *t, const void *arguments)
{
    const deactivation *d = arguments;
    const tape__layout *dense = d->dense;
    const int64_t *stride = dense->stride;
    if (d->g_layout == dense)
        tape__ewise_flat_derivative(t->kernels, tape__threads_of(t), d->ewise, 0, d->dtype, dense->numel, 0, d->own,
                                    false, d->g, &d->inner, d->y, NULL);
    else
        tape__ewise_derivative(t->kernels, tape__threads_of(t), d->ewise, 0, d->dtype, dense->rank, dense->size, d->own,
                               false, d->g, d->g_layout->stride, &d->inner, &stride, d->y, NULL);
    return true;
}

bool tape__linear_activated_fused(tape__fused *f)
{
    layer l;
    if (!find_layer(f, &l))
        return false;
    tape__adjoint *own = place_of_cotangent(f);
    if (!own)
        return false;
    tape *t = f->t;
    const int ewise = ewise_of(f->attr);
    const tape__layout *dense = f->y->layout->dense;
    const void *inner = keeps_inner(ewise) ? tape__at(t, f->slot + 1)->data : f->y->data;
    TAPE__DO(t, deactivate,
             (&(deactivation){dense, f->g_layout, f->g, inner, f->y->data, own->data, ewise, f->y->dtype}));
    const cotangent g = {own->data, dense, own};
    tape__gemm_operand gs;
    bool ok = tape__rows_of(g.data, g.layout, &gs) && add_derivatives(f, &l, &g, &gs);
    tape__adjoint_release(t, own);
    return ok;
}

/* ---- the short way ----------------------------------------------------------------------------------------------- */

/* x, weight and perhaps bias where they are found at once, and fit; false where the long way is to look, or to say
 * what is wrong. */
static bool find_operands(tape *t, const tape_tensor *inputs, int n, tape__node **node, uint32_t *slot)
{
    for (int i = 0; i < n; i++)
        if (!(node[i] = tape__find_or_meet(t, inputs[i], &slot[i])) || node[i]->dtype != node[0]->dtype)
            return false;
    const tape__layout *x = node[0]->layout, *w = node[1]->layout, *bias = n > 2 ? node[2]->layout : NULL;
    return node[0]->dtype <= TAPE_F64 && x->rank == 2 && w->rank == 2 && x->size[1] == w->size[1] &&
           (!bias || (bias->rank == 1 && bias->size[0] == w->size[0] && bias->stride[0] == 1));
}

/* The record of a layer, in one block. */
typedef struct record {
    tape__extra extra;
    uint32_t in[4], saved[4];
    int64_t ewise; /* the attribute, where there is an activation */
} record;

static record *new_record(tape *t, const tape__layout *layout, unsigned dtype, void **data)
{
    const size_t bytes = (size_t)layout->numel * tape__item_size(dtype);
    record *r = tape__arena_get(&t->arena, sizeof *r);
    *data = r ? tape__arena_get(&t->arena, bytes) : NULL;
    if (r && !*data)
        tape__arena_put(&t->arena, r, sizeof *r);
    return *data ? r : NULL;
}

/* The next node becomes the result at `data`; ewise < 0: without an activation. */
TAPE__INLINE tape_tensor finish_record(tape *t, record *r, tape__node *const *node, const uint32_t *slot, int n,
                                       int ewise, const tape__layout *layout, void *data)
{
    uint8_t gradient = 0;
    for (int i = 0; i < n; i++) {
        r->in[i] = slot[i];
        r->saved[i] = *node[i]->version;
        gradient |= node[i]->flags & TAPE__REQUIRES_GRAD;
    }
    r->ewise = ewise;
    r->extra = (tape__extra){.n_in = (uint16_t)n,
                             .n_out = 1,
                             .attr_size = ewise < 0 ? 0 : sizeof r->ewise,
                             .bytes = sizeof *r,
                             .in = r->in,
                             .saved = r->saved,
                             .attr = &r->ewise};
    const uint32_t at = t->count++;
    tape__node *y = tape__at(t, at);
    *y = (tape__node){.generation = t->generation,
                      .data = data,
                      .layout = layout,
                      .version = &y->own_version,
                      .op = ewise < 0 ? TAPE__OP_linear : TAPE__OP_linear_activated,
                      .dtype = node[0]->dtype,
                      .flags = TAPE__OWNS_BLOCK | gradient,
                      .in = {slot[0]},
                      .u.extra = &r->extra};
    return (tape_tensor){t->generation, at, 0};
}

/* What such a layer does to memory. */
typedef struct at_once {
    tape__gemm_block_fn *run;
    tape__gemm_block one;
    int64_t numel;
    int ewise, dtype; /* ewise < 0: without an activation */
} at_once;

static bool run_at_once(tape *t, const void *arguments)
{
    const at_once *l = arguments;
    l->run(&l->one);
    if (l->ewise >= 0)
        tape__ewise_flat_value(t->kernels, NULL, l->ewise, l->dtype, l->numel, 0, l->one.c,
                               (const void *const[]){l->one.c}, NULL);
    return true;
}

/* Matrices whose product is one block of a kernel, where nothing asks for a detour, and perhaps an activation that does
 * not keep what went into it; null where that is not so. */
TAPE__INLINE tape_tensor multiply_at_once(tape *t, const tape_tensor *inputs, int n, int ewise)
{
    tape__node *node[3];
    uint32_t slot[3];
    if (TAPE__UNLIKELY(!t || t->detour || t->paused || !find_operands(t, inputs, n, node, slot)))
        return TAPE_NULL;
    const tape__layout *x = node[0]->layout, *w = node[1]->layout;
    const unsigned dtype = node[0]->dtype;
    const int64_t mnk[3] = {x->size[0], w->size[0], x->size[1]};
    const tape__gemm_operand rows_x = {node[0]->data, x->stride[0], x->stride[1], {0, 0}};
    const tape__gemm_operand turned_w = {node[1]->data, w->stride[1], w->stride[0], {0, 0}};
    at_once l;
    l.one = tape__block_of(dtype, mnk, &rows_x, &turned_w, n > 2 ? node[2]->data : NULL);
    const tape__layout *layout = tape__layout_recent_matrix(&t->layouts, l.one.m, l.one.n);
    if (!layout || !tape__gemm_is_one_block(dtype, &l.one) || t->count == t->capacity)
        return TAPE_NULL;
    void *data;
    record *r = new_record(t, layout, dtype, &data);
    if (!r)
        return TAPE_NULL;
    l.one.c = data;
    l.run = tape__gemm_one_block(t->kernels->gemm, dtype, &l.one);
    l.numel = layout->numel;
    l.ewise = ewise;
    l.dtype = (int)dtype;
    TAPE__DO(t, run_at_once, &l);
    tape__recall_is_whole(t);
    return finish_record(t, r, node, slot, n, ewise, layout, data);
}

/* ---- the functions ----------------------------------------------------------------------------------------------- */

tape_tensor tape_linear(tape_tensor x, tape_tensor weight, tape_tensor bias)
{
    const tape_tensor inputs[3] = {x, weight, bias};
    const int n = tape_is_none(bias) ? 2 : 3;
    tape *t = tape__tls;
    tape_tensor y;
    if (tape__recall(t, TAPE__OP_linear, inputs, n, NULL, 0, &y))
        return y;
    y = multiply_at_once(t, inputs, n, -1);
    return TAPE__LIKELY(!tape_is_null(y)) ? tape__recall_made(t, y) : tape__run(TAPE__OP_linear, inputs, n, NULL, 0);
}

tape_tensor tape_linear_activated(tape_tensor x, tape_tensor weight, tape_tensor bias, tape_activation activation)
{
    if (activation == TAPE_ACTIVATION_NONE)
        return tape_linear(x, weight, bias);
    const tape_tensor inputs[3] = {x, weight, bias};
    const bool known = (unsigned)activation < ACTIVATIONS;
    const int64_t attr = known ? rows_of_activations[activation] : -1;
    const int n = tape_is_none(bias) ? 2 : 3;
    tape *t = tape__tls;
    tape_tensor y;
    if (tape__recall(t, TAPE__OP_linear_activated, inputs, n, &attr, sizeof attr, &y))
        return y;
    if (!(t = tape__begin("linear_activated")))
        return TAPE_NULL;
    if (!known) {
        tape__error(t, TAPE_ERROR_ARGUMENT, "%d is no activation", (int)activation);
        return TAPE_NULL;
    }
    y = keeps_inner((int)attr) ? TAPE_NULL : multiply_at_once(t, inputs, n, (int)attr);
    return !tape_is_null(y) ? tape__recall_made(t, y)
                            : tape__run(TAPE__OP_linear_activated, inputs, n, &attr, sizeof attr);
}
