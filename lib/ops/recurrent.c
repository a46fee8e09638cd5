/* LSTM and GRU, one step or a sequence of them, as ops: shapes and derivatives. The steps are the kernels'. */
#include "recurrent.h"

#include "check.h"
#include "kernels/any/recurrent.h"
#include "product.h"

/* The inputs: x, h, c for an LSTM, the weights, biases. */
enum { IN_X, IN_H, IN_C };

static int in_weight(const tape__recurrent_attr *attr)
{
    return attr->lstm ? 3 : 2;
}

static int in_hidden_weight(const tape__recurrent_attr *attr)
{
    return in_weight(attr) + 1;
}

static int in_bias(const tape__recurrent_attr *attr)
{
    return in_weight(attr) + 2;
}

static int in_hidden_bias(const tape__recurrent_attr *attr)
{
    return in_bias(attr) + attr->bias_in;
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

static bool is(const tape__layout *x, int rank, int64_t rows, int64_t columns)
{
    return x->rank == rank && x->size[0] == rows && (rank < 2 || x->size[1] == columns);
}

/* Whether `x` is `times` n, for n that cannot overflow it. */
static bool is_multiple(int64_t x, int times, int64_t n)
{
    return x % times == 0 && x / times == n;
}

static bool shapes_fit(const tape__call *call)
{
    const tape__recurrent_attr *attr = call->attr;
    const tape__layout *x = call->in[IN_X]->layout, *h = call->in[IN_H]->layout;
    const tape__layout *w = call->in[in_weight(attr)]->layout, *u = call->in[in_hidden_weight(attr)]->layout;
    if (x->rank != 2 + attr->sequence || h->rank != 2 || w->rank != 2 || u->rank != 2)
        return false;
    const int64_t batch = x->size[x->rank - 2], in = x->size[x->rank - 1], rows = u->size[0], hidden = u->size[1];
    bool fit = is_multiple(rows, attr->lstm ? 4 : 3, hidden) && is(w, 2, rows, in) && is(h, 2, batch, hidden);
    fit = fit && (!attr->lstm || is(call->in[IN_C]->layout, 2, batch, hidden));
    for (int i = in_bias(attr); i < call->n_in; i++)
        fit = fit && is(call->in[i]->layout, 1, rows, 0);
    return fit && (!attr->sequence || x->size[0] > 0);
}

static bool check(tape__call *call)
{
    const tape__recurrent_attr *attr = call->attr;
    const char *steps = attr->sequence ? "T > 0, " : "";
    const int gates = attr->lstm ? 4 : 3;
    if (!tape__check_dtypes(call->t, call->in, 0, call->n_in, TAPE_F64))
        return false;
    return shapes_fit(call) ||
           tape__error(call->t, TAPE_ERROR_SHAPE,
                       "x %s, h %s, weights %s and %s: needs [%sB, in], [B, H], [%dH, in], [%dH, H], c like h, biases "
                       "[%dH]",
                       TAPE__LAYOUT_TEXT(call->in[IN_X]->layout), TAPE__LAYOUT_TEXT(call->in[IN_H]->layout),
                       TAPE__LAYOUT_TEXT(call->in[in_weight(attr)]->layout),
                       TAPE__LAYOUT_TEXT(call->in[in_hidden_weight(attr)]->layout), steps, gates, gates, gates);
}

static tape__recurrent_weight weight(const tape__node *x)
{
    const tape__layout *layout = x->layout;
    return (tape__recurrent_weight){x->data, layout->rank == 2 ? layout->stride[0] : 0,
                                    layout->stride[layout->rank - 1]};
}

/* The next output, [last] in place of x's last axis. */
static tape__node *output(tape__call *call, const tape__layout *x, int64_t last)
{
    int64_t size[3] = {x->size[0], x->size[1], x->size[2]};
    size[x->rank - 1] = last;
    return tape__output(call, (tape_dtype)call->in[0]->dtype, x->rank, size);
}

/* Outputs: every h; for an LSTM every c; and the gates for the way back. */
static bool forward(tape__call *call)
{
    const tape__recurrent_attr *attr = call->attr;
    if (!check(call))
        return false;
    tape__node **in = call->in;
    const tape__layout *x = in[IN_X]->layout;
    tape__recurrent r = {.dtype = (tape_dtype)in[0]->dtype,
                         .lstm = attr->lstm,
                         .steps = attr->sequence ? x->size[0] : 1,
                         .batch = x->size[x->rank - 2],
                         .in = x->size[x->rank - 1],
                         .hidden = in[IN_H]->layout->size[1]};
    int64_t gates;
    if (!tape__mul_size(4, r.hidden, &gates))
        return tape__error(call->t, TAPE_ERROR_SHAPE, "too many hidden units: %lld", (long long)r.hidden);
    tape__node *y = output(call, x, r.hidden), *cells = attr->lstm ? output(call, x, r.hidden) : y;
    tape__node *all = output(call, x, gates);
    r.x = tape__dense_data(call->t, in[IN_X]);
    r.h = tape__dense_data(call->t, in[IN_H]);
    r.c = attr->lstm ? tape__dense_data(call->t, in[IN_C]) : r.h;
    const struct tape__parallel *threads = tape__threads_of(call->t);
    if (!y || !cells || !all || !r.x || !r.h || !r.c)
        return false;
    r.w_in = weight(in[in_weight(attr)]);
    r.w_hidden = weight(in[in_hidden_weight(attr)]);
    if (attr->bias_in)
        r.b_in = weight(in[in_bias(attr)]);
    if (attr->bias_hidden)
        r.b_hidden = weight(in[in_hidden_bias(attr)]);
    r.y = y->data;
    r.cells = cells->data;
    r.gates = all->data;
    void *workspace = tape__scratch(call->t, tape__recurrent_workspace(call->t->kernels, &r, threads) + 1);
    if (!workspace)
        return false;
    tape__recurrent_run(call->t->kernels, &r, workspace, threads);
    return true;
}

/* ---- backward ---------------------------------------------------------------------------------------------------- */

static bool back_fits(const tape__call *call)
{
    const tape__recurrent_attr *attr = call->attr;
    const tape__layout *all = call->in[0]->layout, *state = call->in[1]->layout, *w = call->in[3]->layout;
    const int axis = 1 + attr->sequence; /* the last one */
    if (state->rank != axis + 1 || all->rank != axis + 1 || w->rank != 2 || (attr->sequence && state->size[0] < 1))
        return false;
    const int64_t batch = state->size[axis - 1], hidden = state->size[axis];
    bool fit = is_multiple(all->size[axis], 4, hidden) && is(call->in[2]->layout, 2, batch, hidden);
    fit = fit && is_multiple(w->size[0], attr->lstm ? 4 : 3, hidden) && w->size[1] == hidden;
    for (int i = 0; i < axis; i++)
        fit = fit && all->size[i] == state->size[i];
    for (int i = 4; i < call->n_in; i++)
        fit = fit && call->in[i]->layout->dense == state->dense;
    return fit;
}

/* Inputs: the gates, every state (c, or h of a GRU), the state before, the hidden weight, the cotangents that there
 * are. Outputs: the cotangents of the gates' sums, of h and of c before; of the latter an LSTM's alone. */
bool tape__recurrent_backward_forward(tape__call *call)
{
    const tape__recurrent_attr *attr = call->attr;
    tape__node **in = call->in;
    const tape__layout *state = in[1]->layout, *first = in[2]->layout;
    if (!tape__check_dtypes(call->t, in, 0, call->n_in, TAPE_F64))
        return false;
    if (!back_fits(call))
        return tape__error(call->t, TAPE_ERROR_SHAPE, "gates %s, states %s, weight %s and cotangents do not fit",
                           TAPE__LAYOUT_TEXT(in[0]->layout), TAPE__LAYOUT_TEXT(state),
                           TAPE__LAYOUT_TEXT(in[3]->layout));
    tape__recurrent r = {.dtype = (tape_dtype)in[0]->dtype,
                         .lstm = attr->lstm,
                         .steps = attr->sequence ? state->size[0] : 1,
                         .batch = first->size[0],
                         .hidden = first->size[1],
                         .w_hidden = weight(in[3])};
    tape__node *g = output(call, state, 4 * r.hidden), *gh = output(call, first, r.hidden);
    tape__node *gc = attr->lstm ? output(call, first, r.hidden) : gh;
    r.gates = (void *)(uintptr_t)tape__dense_data(call->t, in[0]);
    r.cells = r.y = (void *)(uintptr_t)tape__dense_data(call->t, in[1]);
    r.c = r.h = tape__dense_data(call->t, in[2]);
    tape__recurrent_back back = {0};
    if (attr->from_y)
        back.gy = tape__dense_data(call->t, in[4]);
    if (attr->from_cells)
        back.gc = tape__dense_data(call->t, in[4 + attr->from_y]);
    const struct tape__parallel *threads = tape__threads_of(call->t);
    void *workspace = tape__scratch(call->t, tape__recurrent_workspace(call->t->kernels, &r, threads) + 1);
    if (!g || !gh || !gc || !workspace || call->t->status != TAPE_OK)
        return false;
    back.g_gates = g->data;
    back.gh = gh->data;
    back.gc0 = gc->data;
    tape__recurrent_return(call->t->kernels, &r, &back, workspace, threads);
    return true;
}

/* The cotangents of the sums in the gates, by steps or of the only one, and of the state before. */
typedef struct cotangents {
    tape_tensor gates, h, c;
} cotangents;

static cotangents by_kernels(const tape__vjp *v)
{
    tape__recurrent_attr attr = *(const tape__recurrent_attr *)v->attr;
    const tape_tensor gy = v->gy[0], gc = attr.lstm ? v->gy[1] : TAPE_NONE;
    tape_tensor inputs[6] = {v->y[1 + attr.lstm], v->y[attr.lstm], v->x[attr.lstm ? IN_C : IN_H],
                             v->x[in_hidden_weight(&attr)]};
    int n = 4;
    attr.from_y = !tape_is_none(gy);
    attr.from_cells = !tape_is_none(gc);
    if (attr.from_y)
        inputs[n++] = gy;
    if (attr.from_cells)
        inputs[n++] = gc;
    tape_tensor g = tape__run(TAPE__OP_recurrent_backward, inputs, n, &attr, sizeof attr);
    return (cotangents){g, tape__sibling(g, 1), attr.lstm ? tape__sibling(g, 2) : TAPE_NONE};
}

/* ---- the derivative by formula ----------------------------------------------------------------------------------- */

static tape_tensor as_steps(const tape__vjp *v, tape_tensor x)
{
    return ((const tape__recurrent_attr *)v->attr)->sequence ? x : tape_unsqueeze(x, 0);
}

/* The states before each step: `first`, then all of `states` but the last. */
static tape_tensor before(tape_tensor first, tape_tensor states)
{
    tape_tensor parts[2] = {tape_unsqueeze(first, 0)};
    const int64_t steps = tape_shape_of(states).size[0];
    if (steps <= 1)
        return parts[0];
    parts[1] = tape_narrow(states, 0, 0, steps - 1);
    return tape_concat(parts, 2, 0);
}

/* y (1 - y) */
static tape_tensor slope(tape_tensor y)
{
    return tape_mul(y, tape_scalar_sub(1, y));
}

/* 1 - y^2 */
static tape_tensor tanh_slope(tape_tensor y)
{
    return tape_scalar_sub(1, tape_square(y));
}

/* The sums in the gates again: what x gives and what h does. */
static void sums(const tape__vjp *v, tape_tensor *from_x, tape_tensor *from_h)
{
    const tape__recurrent_attr *attr = v->attr;
    const tape_tensor bias = attr->bias_in ? v->x[in_bias(attr)] : TAPE_NONE;
    const tape_tensor hidden_bias = attr->bias_hidden ? v->x[in_hidden_bias(attr)] : TAPE_NONE;
    *from_x = tape_linear(as_steps(v, v->x[IN_X]), v->x[in_weight(attr)], bias);
    *from_h = tape_linear(before(v->x[IN_H], as_steps(v, v->y[0])), v->x[in_hidden_weight(attr)], hidden_bias);
}

/* Local derivatives for all steps. LSTM: of i, f, g and c before for c's cotangent, of o and c for h's. GRU: of m, z
 * and h before for h's, of q and r for m's. */
enum { LOCALS = 6 };

static void lstm_locals(const tape__vjp *v, tape_tensor *d)
{
    tape_tensor from_x, from_h, gate[4], c = as_steps(v, v->y[1]), t = tape_tanh(c);
    sums(v, &from_x, &from_h);
    tape_chunk(tape_add(from_x, from_h), 2, 4, gate);
    tape_tensor i = tape_sigmoid(gate[0]), f = tape_sigmoid(gate[1]), g = tape_tanh(gate[2]), o = tape_sigmoid(gate[3]);
    d[0] = tape_mul(g, slope(i));
    d[1] = tape_mul(before(v->x[IN_C], c), slope(f));
    d[2] = tape_mul(i, tanh_slope(g));
    d[3] = f;
    d[4] = tape_mul(t, slope(o));
    d[5] = tape_mul(o, tanh_slope(t));
}

static void gru_locals(const tape__vjp *v, tape_tensor *d)
{
    tape_tensor from_x, from_h, p[3], q[3];
    sums(v, &from_x, &from_h);
    tape_chunk(from_x, 2, 3, p);
    tape_chunk(from_h, 2, 3, q);
    tape_tensor r = tape_sigmoid(tape_add(p[0], q[0])), z = tape_sigmoid(tape_add(p[1], q[1]));
    tape_tensor m = tape_tanh(tape_add(p[2], tape_mul(r, q[2])));
    d[0] = tape_mul(tape_scalar_sub(1, z), tanh_slope(m));
    d[1] = tape_mul(tape_sub(before(v->x[IN_H], as_steps(v, v->y[0])), m), slope(z));
    d[2] = z;
    d[3] = r;
    d[4] = tape_mul(q[2], slope(r));
}

static tape_tensor add(tape_tensor a, tape_tensor b)
{
    return tape_is_none(a) ? b : tape_is_none(b) ? a : tape_add(a, b);
}

static tape_tensor of_step(const tape__vjp *v, tape_tensor x, int64_t t)
{
    return tape_is_none(x) ? x : tape_select(as_steps(v, x), 0, t);
}

/* One step back: d are its local derivatives, g->h and g->c come in for the state after and leave for that before. */
static tape_tensor lstm_step(const tape__vjp *v, const tape_tensor *d, cotangents *g)
{
    tape_tensor gh = g->h, gc = g->c, parts[4];
    if (!tape_is_none(gh))
        gc = add(gc, tape__strong_mul(d[5], gh));
    for (int i = 0; i < 3; i++)
        parts[i] = tape__strong_mul(d[i], gc);
    parts[3] = tape_is_none(gh) ? tape_zeros_like(gc) : tape__strong_mul(d[4], gh);
    tape_tensor gates = tape_concat(parts, 4, 1);
    g->c = tape__strong_mul(d[3], gc);
    g->h = tape_matmul(gates, v->x[in_hidden_weight(v->attr)]);
    return gates;
}

static tape_tensor gru_step(const tape__vjp *v, const tape_tensor *d, cotangents *g)
{
    tape_tensor gm = tape__strong_mul(d[0], g->h), w = v->x[in_hidden_weight(v->attr)], hidden;
    tape_tensor parts[4] = {tape__strong_mul(d[3], gm), tape__strong_mul(d[4], gm), tape__strong_mul(d[1], g->h), gm};
    const tape_tensor in_order[3] = {parts[1], parts[2], parts[0]};
    hidden = tape_matmul(tape_concat(in_order, 3, 1), w);
    g->h = tape_add(tape__strong_mul(d[2], g->h), hidden);
    return tape_concat(parts, 4, 1);
}

/* Out of ops that have derivatives themselves. */
static cotangents by_formula(const tape__vjp *v)
{
    const tape__recurrent_attr *attr = v->attr;
    const int64_t steps = attr->sequence ? tape_shape_of(v->x[IN_X]).size[0] : 1;
    tape_tensor local[LOCALS], d[LOCALS];
    const int locals = attr->lstm ? LOCALS : LOCALS - 1;
    size_t bytes = (size_t)steps * sizeof *local;
    tape_tensor *gates = tape__arena_get(&v->t->arena, bytes);
    cotangents g = {TAPE_NULL, TAPE_NONE, TAPE_NONE};
    if (!gates) {
        tape__error(v->t, TAPE_ERROR_MEMORY, "out of memory for %lld steps", (long long)steps);
        return g;
    }
    (attr->lstm ? lstm_locals : gru_locals)(v, local);
    for (int64_t t = steps - 1; t >= 0; t--) {
        g.h = add(g.h, of_step(v, v->gy[0], t));
        if (attr->lstm)
            g.c = add(g.c, of_step(v, v->gy[1], t));
        for (int i = 0; i < locals; i++)
            d[i] = tape_select(local[i], 0, t);
        gates[t] = (attr->lstm ? lstm_step : gru_step)(v, d, &g);
    }
    g.gates = tape_stack(gates, (int)steps, 0);
    tape__arena_put(&v->t->arena, gates, bytes);
    return g;
}

/* ---- both ways --------------------------------------------------------------------------------------------------- */

/* [steps, batch, n] or [batch, n] as rows of n. */
static tape_tensor as_rows(tape_tensor x)
{
    tape_shape shape = tape_shape_of(x);
    return shape.rank == 3 ? tape_reshape(x, TAPE_SHAPE(shape.size[0] * shape.size[1], shape.size[2])) : x;
}

/* From the gates' cotangents on it is the derivative of products. */
static void vjp(tape__vjp *v)
{
    const tape__recurrent_attr *attr = v->attr;
    const int w = in_weight(attr), u = in_hidden_weight(attr);
    const cotangents g = v->t->paused ? by_kernels(v) : by_formula(v);
    if (tape_is_null(g.gates))
        return;
    tape_tensor from_x = as_rows(g.gates), from_h = from_x;
    if (!attr->lstm) { /* q, r, z, m: those of h in the order of its weights, and those of x */
        const int64_t n = tape_shape_of(from_x).size[1] / 4;
        const tape_tensor parts[2] = {tape_narrow(from_x, 1, n, 2 * n), tape_narrow(from_x, 1, 0, n)};
        from_h = tape_concat(parts, 2, 1);
        from_x = tape_narrow(from_x, 1, n, 3 * n);
    }
    if (v->needs[IN_X])
        v->gx[IN_X] = tape_reshape(tape_matmul(from_x, v->x[w]), tape_shape_of(v->x[IN_X]));
    if (v->needs[w])
        tape__give_product(v, w, tape_transpose(from_x, 0, 1), as_rows(v->x[IN_X]));
    if (v->needs[u])
        tape__give_product(v, u, tape_transpose(from_h, 0, 1), as_rows(before(v->x[IN_H], as_steps(v, v->y[0]))));
    if (attr->bias_in && v->needs[in_bias(attr)])
        v->gx[in_bias(attr)] = tape_sum(from_x, TAPE_AXES(0), false);
    if (attr->bias_hidden && v->needs[in_hidden_bias(attr)])
        v->gx[in_hidden_bias(attr)] = tape_sum(from_h, TAPE_AXES(0), false);
    v->gx[IN_H] = g.h;
    if (attr->lstm)
        v->gx[IN_C] = g.c;
}

/* `state` are h and, for an LSTM, c; `weights` are of x, of h, and their biases. */
static tape_tensor run(int op, tape__recurrent_attr attr, tape_tensor x, const tape_tensor *state,
                       const tape_tensor *weights)
{
    tape_tensor inputs[7] = {x, state[0]};
    int n = IN_C;
    attr.bias_in = !tape_is_none(weights[2]);
    attr.bias_hidden = !tape_is_none(weights[3]);
    if (attr.lstm)
        inputs[n++] = state[1];
    for (int i = 0; i < 4; i++)
        if (i < 2 || !tape_is_none(weights[i]))
            inputs[n++] = weights[i];
    return tape__run(op, inputs, n, &attr, sizeof attr);
}

#define ROW(name)                                                                                                      \
    bool tape__##name##_forward(tape__call *call)                                                                      \
    {                                                                                                                  \
        return forward(call);                                                                                          \
    }                                                                                                                  \
    void tape__##name##_vjp(tape__vjp *v)                                                                              \
    {                                                                                                                  \
        vjp(v);                                                                                                        \
    }
ROW(lstm_cell)
ROW(gru_cell)
ROW(lstm)
ROW(gru)

tape_tensor tape_lstm_cell(tape_tensor x, tape_tensor h, tape_tensor c, tape_tensor weight_ih, tape_tensor weight_hh,
                           tape_tensor bias_ih, tape_tensor bias_hh, tape_tensor *c_next)
{
    const tape_tensor state[2] = {h, c}, weights[4] = {weight_ih, weight_hh, bias_ih, bias_hh};
    tape_tensor y = run(TAPE__OP_lstm_cell, (tape__recurrent_attr){.lstm = 1}, x, state, weights);
    if (c_next)
        *c_next = tape__sibling(y, 1);
    return y;
}

tape_tensor tape_lstm(tape_tensor x, tape_tensor h, tape_tensor c, tape_tensor weight_ih, tape_tensor weight_hh,
                      tape_tensor bias_ih, tape_tensor bias_hh, tape_tensor *c_last)
{
    const tape_tensor state[2] = {h, c}, weights[4] = {weight_ih, weight_hh, bias_ih, bias_hh};
    tape_tensor y = run(TAPE__OP_lstm, (tape__recurrent_attr){.lstm = 1, .sequence = 1}, x, state, weights);
    if (c_last)
        *c_last = tape_is_null(y) ? y : tape_select(tape__sibling(y, 1), 0, -1);
    return y;
}

tape_tensor tape_gru_cell(tape_tensor x, tape_tensor h, tape_tensor weight_ih, tape_tensor weight_hh,
                          tape_tensor bias_ih, tape_tensor bias_hh)
{
    const tape_tensor weights[4] = {weight_ih, weight_hh, bias_ih, bias_hh};
    return run(TAPE__OP_gru_cell, (tape__recurrent_attr){0}, x, &h, weights);
}

tape_tensor tape_gru(tape_tensor x, tape_tensor h, tape_tensor weight_ih, tape_tensor weight_hh, tape_tensor bias_ih,
                     tape_tensor bias_hh)
{
    const tape_tensor weights[4] = {weight_ih, weight_hh, bias_ih, bias_hh};
    return run(TAPE__OP_gru, (tape__recurrent_attr){.sequence = 1}, x, &h, weights);
}
