/* Connectionist temporal classification: checks, batches and reductions; the sums over paths are the kernels', and once
   more written with ops, for derivatives of higher order. */
#include <math.h>

#include "check.h"
#include "kernels/any/ctc.h"
#include "ops.h"

typedef struct ctc_attr {
    int64_t blank;
    int32_t reduction, zero_infinity;
} ctc_attr;

/* One call: log_probs of [steps, batch, classes] or [steps, classes]. */
struct ctc {
    ctc_attr attr;
    tape_dtype dtype;
    int64_t steps, batch, classes, most; /* the longest target */
    bool batched, concatenated;
    int64_t width; /* of a row of targets */
    const tape__node *target, *input_length, *target_length;
    const void *log_p, *target_data, *input_data, *length_data;
};

static int64_t whole(const tape__node *x, const void *data, int64_t i)
{
    return x->dtype == TAPE_I32 ? ((const int32_t *)data)[i] : ((const int64_t *)data)[i];
}

static int64_t steps_of(const struct ctc *c, int64_t b)
{
    return whole(c->input_length, c->input_data, b);
}

static int64_t length_of(const struct ctc *c, int64_t b)
{
    return whole(c->target_length, c->length_data, b);
}

/* ---- checks ------------------------------------------------------------------------------------------------------ */

static bool check_whole(tape *t, const tape__node *x, const char *what)
{
    return x->dtype == TAPE_I32 || x->dtype == TAPE_I64 ||
           tape__error(t, TAPE_ERROR_DTYPE, "expects %s as i32 or i64, got %s", what,
                       tape_dtype_name((tape_dtype)x->dtype));
}

static bool check_shapes(tape *t, struct ctc *c, const tape__layout *x)
{
    const tape__layout *target = c->target->layout;
    if (x->rank != 2 && x->rank != 3)
        return tape__error(t, TAPE_ERROR_SHAPE, "expects log probabilities [steps, batch, classes], got %s",
                           TAPE__LAYOUT_TEXT(x));
    c->batched = x->rank == 3;
    c->steps = x->size[0];
    c->batch = c->batched ? x->size[1] : 1;
    c->classes = x->size[x->rank - 1];
    c->concatenated = target->rank == 1;
    c->width = target->rank == 2 ? target->size[1] : 0;
    if (c->concatenated ? false : target->rank != 2 || !c->batched || target->size[0] != c->batch)
        return tape__error(t, TAPE_ERROR_SHAPE, "expects targets [%lld, longest] or one after the other, got %s",
                           (long long)c->batch, TAPE__LAYOUT_TEXT(target));
    if (c->input_length->layout->numel != c->batch || c->target_length->layout->numel != c->batch)
        return tape__error(t, TAPE_ERROR_SHAPE, "expects %lld lengths, got %s and %s", (long long)c->batch,
                           TAPE__LAYOUT_TEXT(c->input_length->layout), TAPE__LAYOUT_TEXT(c->target_length->layout));
    if (c->attr.blank < 0 || c->attr.blank >= c->classes)
        return tape__error(t, TAPE_ERROR_ARGUMENT, "blank %lld is not one of the %lld classes",
                           (long long)c->attr.blank, (long long)c->classes);
    return true;
}

static bool check_lengths(tape *t, struct ctc *c)
{
    int64_t total = 0, room = c->concatenated ? c->target->layout->numel : c->width;
    c->most = 0;
    for (int64_t b = 0; b < c->batch; b++) {
        int64_t steps = steps_of(c, b), length = length_of(c, b);
        if (steps < 0 || steps > c->steps || length < 0 || length > (c->concatenated ? room - total : room))
            return tape__error(t, TAPE_ERROR_ARGUMENT,
                               "sequence %lld has %lld steps of %lld and %lld labels, for which there is no room",
                               (long long)b, (long long)steps, (long long)c->steps, (long long)length);
        total += length;
        c->most = length > c->most ? length : c->most;
    }
    for (int64_t i = 0; i < c->target->layout->numel; i++) {
        int64_t label = whole(c->target, c->target_data, i), column = c->width ? i % c->width : 0;
        bool used = c->concatenated ? i < total : column < length_of(c, i / c->width);
        if (used && (label < 0 || label >= c->classes))
            return tape__error(t, TAPE_ERROR_INDEX, "label %lld at place %lld is not one of the %lld classes",
                               (long long)label, (long long)i, (long long)c->classes);
    }
    return true;
}

/* nodes: log probabilities, targets and the two lengths. */
static bool read_ctc(tape *t, const ctc_attr *attr, tape__node *const *node, struct ctc *c)
{
    *c = (struct ctc){.attr = *attr, .target = node[1], .input_length = node[2], .target_length = node[3]};
    if (!tape__check_float(t, node[0]) || !check_whole(t, node[1], "targets") || !check_whole(t, node[2], "lengths") ||
        !check_whole(t, node[3], "lengths") || !check_shapes(t, c, node[0]->layout))
        return false;
    c->dtype = (tape_dtype)node[0]->dtype;
    c->log_p = tape__dense_data(t, node[0]);
    c->target_data = tape__dense_data(t, node[1]);
    c->input_data = tape__dense_data(t, node[2]);
    c->length_data = tape__dense_data(t, node[3]);
    return c->log_p && c->target_data && c->input_data && c->length_data && check_lengths(t, c);
}

/* ---- the sums over paths ----------------------------------------------------------------------------------------- */

/* The labels of a sequence with blanks before, between and behind; the rest of the 2 most + 1 places are blanks. */
static void fill_labels(const struct ctc *c, int64_t b, int64_t *label)
{
    int64_t first = b * c->width;
    for (int64_t k = 0; k < b && c->concatenated; k++)
        first += length_of(c, k);
    for (int64_t i = 0; i < 2 * c->most + 1; i++)
        label[i] = c->attr.blank;
    for (int64_t i = 0; i < length_of(c, b); i++)
        label[2 * i + 1] = whole(c->target, c->target_data, first + i);
}

static tape__ctc sequence(const struct ctc *c, int64_t b, int64_t *label)
{
    fill_labels(c, b, label);
    return (tape__ctc){(const char *)c->log_p + (size_t)(b * c->classes) * tape_dtype_size(c->dtype),
                       c->dtype,
                       c->batch * c->classes,
                       c->classes,
                       steps_of(c, b),
                       label,
                       2 * length_of(c, b) + 1};
}

/* What the loss of sequence b counts for in the reduced loss. */
static double share_of(const struct ctc *c, int64_t b)
{
    int64_t length = length_of(c, b);
    return c->attr.reduction == TAPE_REDUCE_MEAN ? 1 / ((double)(length > 0 ? length : 1) * (double)c->batch) : 1;
}

/* Memory for one sequence: alpha, what the gradient works in, and labels. */
static double *workspace(tape *t, const struct ctc *c, int64_t **label)
{
    int64_t places = 2 * c->most + 1, alpha, numbers, bytes;
    if (__builtin_mul_overflow(places, c->steps, &alpha) ||
        __builtin_add_overflow(alpha, 3 * places + c->classes, &numbers) ||
        __builtin_mul_overflow(numbers, (int64_t)sizeof(double), &bytes)) {
        tape__error(t, TAPE_ERROR_MEMORY, "out of memory for %lld steps", (long long)c->steps);
        return NULL;
    }
    double *work = tape__scratch(t, (size_t)bytes);
    *label = work ? (int64_t *)(work + alpha + 2 * places + c->classes) : NULL;
    return work;
}

static void store(const struct ctc *c, void *data, int64_t i, double value)
{
    if (c->dtype == TAPE_F32)
        ((float *)data)[i] = (float)value;
    else
        ((double *)data)[i] = value;
}

bool tape__ctc_loss_forward(tape__call *call)
{
    struct ctc c;
    int64_t *label;
    if (!read_ctc(call->t, call->attr, call->in, &c))
        return false;
    const bool each = c.attr.reduction == TAPE_REDUCE_NONE;
    tape__node *y = tape__output(call, c.dtype, each && c.batched, &c.batch);
    double *work = y ? workspace(call->t, &c, &label) : NULL;
    double sum = c.batch == 0 && c.attr.reduction == TAPE_REDUCE_MEAN ? NAN : 0;
    if (!work)
        return false;
    for (int64_t b = 0; b < c.batch; b++) {
        tape__ctc x = sequence(&c, b, label);
        double loss = tape__ctc_loss(&x, work);
        loss = c.attr.zero_infinity && loss == INFINITY ? 0 : loss;
        sum += share_of(&c, b) * loss;
        if (each)
            store(&c, y->data, b, loss);
    }
    if (!each)
        store(&c, y->data, 0, sum);
    return true;
}

/* Inputs: the cotangent, then those of the loss. */
bool tape__ctc_loss_backward_forward(tape__call *call)
{
    struct ctc c;
    int64_t *label;
    if (!read_ctc(call->t, call->attr, call->in + 1, &c))
        return false;
    const bool each = c.attr.reduction == TAPE_REDUCE_NONE;
    const tape__layout *x = call->in[1]->layout;
    if (call->in[0]->dtype != c.dtype)
        return tape__error(call->t, TAPE_ERROR_DTYPE, "the cotangent is %s",
                           tape_dtype_name((tape_dtype)call->in[0]->dtype));
    if (call->in[0]->layout->numel != (each ? c.batch : 1))
        return tape__error(call->t, TAPE_ERROR_SHAPE, "%s is no cotangent of the loss",
                           TAPE__LAYOUT_TEXT(call->in[0]->layout));
    const void *g = tape__dense_data(call->t, call->in[0]);
    tape__node *y = tape__zeros_output(call, c.dtype, x->rank, x->size);
    double *work = g && y ? workspace(call->t, &c, &label) : NULL;
    if (!work)
        return false;
    for (int64_t b = 0; b < c.batch; b++) {
        tape__ctc s = sequence(&c, b, label);
        int64_t i = each ? b : 0;
        double scale = share_of(&c, b) * (c.dtype == TAPE_F32 ? (double)((const float *)g)[i] : ((const double *)g)[i]);
        double loss = tape__ctc_loss(&s, work);
        scale = c.attr.zero_infinity && loss == INFINITY ? 0 : scale;
        void *to = (char *)y->data + (size_t)(b * c.classes) * tape_dtype_size(c.dtype);
        tape__ctc_gradient(&s, work, loss, scale, work + c.steps * (2 * c.most + 1), to);
    }
    return true;
}

/* ---- the same with ops ------------------------------------------------------------------------------------------- */

/* Constants [batch, places] over all sequences. */
struct paths {
    tape_tensor index;       /* [steps, batch, places], of the place's class */
    tape_tensor skips, ends; /* u8 */
    tape_tensor minus_infinity;
    int64_t batch, places;
};

/* Three constants of [batch, places] in one buffer of the tape's, which tape_from() copies from. */
static bool make_paths(tape *t, const struct ctc *c, struct paths *p)
{
    p->batch = c->batch;
    p->places = 2 * c->most + 1;
    const int64_t n = p->batch * p->places;
    int64_t *label = tape__scratch(t, (size_t)(n + 1) * (sizeof *label + 2));
    if (!label)
        return false;
    uint8_t *skips = (uint8_t *)(label + n + 1), *ends = skips + n;
    for (int64_t b = 0; b < c->batch; b++) {
        int64_t *row = label + b * p->places, last = 2 * length_of(c, b);
        fill_labels(c, b, row);
        for (int64_t i = 0; i < p->places; i++) {
            skips[b * p->places + i] = tape__ctc_skips(row, i);
            ends[b * p->places + i] = i == last || i == last - 1;
        }
    }
    tape_shape shape = TAPE_SHAPE(p->batch, p->places);
    tape_tensor index = tape_from(TAPE_I64, TAPE_SHAPE(1, p->batch, p->places), label);
    p->skips = tape_from(TAPE_U8, shape, skips);
    p->ends = tape_from(TAPE_U8, shape, ends);
    p->index = tape_expand(index, TAPE_SHAPE(c->steps, p->batch, p->places));
    p->minus_infinity = tape_scalar(c->dtype, -INFINITY);
    return true;
}

/* x with its places moved up by k (down for k < 0), -inf where none comes from. */
static tape_tensor moved(const struct paths *p, tape_tensor x, int64_t k)
{
    int64_t size = k > 0 ? k : -k;
    tape_tensor nothing = tape_expand(p->minus_infinity, TAPE_SHAPE(p->batch, size < p->places ? size : p->places));
    if (size >= p->places)
        return nothing;
    tape_tensor kept = tape_narrow(x, 1, k > 0 ? 0 : size, p->places - size);
    const tape_tensor parts[2] = {k > 0 ? nothing : kept, k > 0 ? kept : nothing};
    return tape_concat(parts, 2, 1);
}

/* The logarithm of the sum over the three ways to or from a place. */
static tape_tensor joined(tape_tensor stay, tape_tensor one, tape_tensor two)
{
    const tape_tensor ways[3] = {stay, one, two};
    return tape_logsumexp(tape_stack(ways, 3, 0), TAPE_AXES(0), false);
}

/* u8 [batch, 1]: whether a sequence has a step t, or has t as its last. */
static tape_tensor steps_mask(tape *t, const struct ctc *c, int64_t step, bool last)
{
    uint8_t *mask = tape__scratch(t, (size_t)c->batch + 1);
    for (int64_t b = 0; mask && b < c->batch; b++)
        mask[b] = last ? step == steps_of(c, b) - 1 : step < steps_of(c, b);
    return mask ? tape_from(TAPE_U8, TAPE_SHAPE(c->batch, 1), mask) : TAPE_NULL;
}

/* The share of the paths at every step, class by class: [steps, batch, classes], of log_p of that shape. */
static tape_tensor shares(tape *t, const struct ctc *c, const struct paths *p, tape_tensor log_p, tape_tensor *alpha,
                          tape_tensor *total)
{
    tape_tensor emitted = tape_gather(log_p, 2, p->index), beta = TAPE_NULL, none = p->minus_infinity;
    tape_tensor start = tape_lt_scalar(tape_arange(c->dtype, 0, (double)p->places, 1), 2);
    for (int64_t s = 0; s < c->steps; s++) {
        tape_tensor here = tape_select(emitted, 0, s), before = s > 0 ? alpha[s - 1] : TAPE_NULL;
        if (s == 0) {
            alpha[s] = tape_where(start, here, none);
            continue;
        }
        tape_tensor two = tape_where(p->skips, moved(p, before, 2), none);
        tape_tensor next = tape_add(joined(before, moved(p, before, 1), two), here);
        alpha[s] = tape_where(steps_mask(t, c, s, false), next, before);
    }
    tape_tensor end = tape_where(p->ends, tape_scalar(c->dtype, 0), none);
    *total = tape_logsumexp(tape_add(alpha[c->steps - 1], end), TAPE_AXES(1), true);
    for (int64_t s = c->steps - 1; s >= 0; s--) {
        tape_tensor later = end;
        if (s < c->steps - 1) {
            tape_tensor after = tape_add(beta, tape_select(emitted, 0, s + 1));
            tape_tensor two = moved(p, tape_where(p->skips, after, none), -2);
            later = tape_where(steps_mask(t, c, s, true), end, joined(after, moved(p, after, -1), two));
        }
        beta = later;
        tape_tensor share = tape_exp(tape_sub(tape_add(alpha[s], beta), *total));
        alpha[s] = tape_where(steps_mask(t, c, s, false), share, tape_scalar(c->dtype, 0));
    }
    tape_tensor zeros = tape_zeros(c->dtype, TAPE_SHAPE(c->steps, c->batch, c->classes));
    return tape_scatter_add(zeros, 2, p->index, tape_stack(alpha, (int)c->steps, 0));
}

/* What the gradient of each sequence is multiplied with: [batch, 1], of a cotangent g of the loss. */
static tape_tensor scales(tape *t, const struct ctc *c, tape_tensor g)
{
    double *share = tape__scratch(t, ((size_t)c->batch + 1) * sizeof *share);
    if (!share)
        return TAPE_NULL;
    for (int64_t b = 0; b < c->batch; b++)
        share[b] = share_of(c, b);
    tape_tensor weights = tape_cast(tape_from(TAPE_F64, TAPE_SHAPE(c->batch, 1), share), c->dtype);
    bool each = c->attr.reduction == TAPE_REDUCE_NONE;
    return tape_mul(weights, each ? tape_reshape(g, TAPE_SHAPE(c->batch, 1)) : g);
}

/* As PyTorch has it, the derivative is that of log_probs = log_softmax(x) for x, which log_softmax() passes on as it
   is: the probability less the share of the paths. */
static tape_tensor by_formula(tape *t, const struct ctc *c, tape_tensor x, tape_tensor g)
{
    struct paths p;
    tape_tensor *alpha = tape__arena_get(&t->arena, (size_t)c->steps * sizeof *alpha), total, zero;
    tape_tensor log_p = tape_reshape(x, TAPE_SHAPE(c->steps, c->batch, c->classes));
    if (!alpha || !make_paths(t, c, &p))
        return TAPE_NULL;
    zero = tape_scalar(c->dtype, 0);
    tape_tensor d = tape_sub(tape_exp(log_p), shares(t, c, &p, log_p, alpha, &total));
    for (int64_t s = 0; s < c->steps; s++)
        alpha[s] = steps_mask(t, c, s, false);
    d = tape_where(tape_stack(alpha, (int)c->steps, 0), d, zero);
    if (c->attr.zero_infinity)
        d = tape_where(tape_eq(total, p.minus_infinity), zero, d);
    return tape_reshape(tape__strong_mul(d, scales(t, c, g)), tape_shape_of(x));
}

/* A recorded derivative must be made of ops that have one. */
void tape__ctc_loss_vjp(tape__vjp *v)
{
    struct ctc c;
    tape__node *node[4];
    if (v->t->paused != 0) {
        const tape_tensor inputs[5] = {v->gy[0], v->x[0], v->x[1], v->x[2], v->x[3]};
        v->gx[0] = tape__run(TAPE__OP_ctc_loss_backward, inputs, 5, v->attr, sizeof(ctc_attr));
        return;
    }
    for (int i = 0; i < 4; i++) {
        uint32_t slot = tape__resolve(v->t, v->x[i], i);
        if (slot == TAPE__NO_SLOT)
            return;
        node[i] = tape__at(v->t, slot);
    }
    if (!read_ctc(v->t, v->attr, node, &c))
        return;
    tape__note_unrepeatable(v->t, "of ctc_loss is made for its targets and lengths");
    bool nothing = c.steps == 0 || c.batch == 0;
    v->gx[0] = nothing ? tape_zeros_like(v->x[0]) : by_formula(v->t, &c, v->x[0], v->gy[0]);
}

tape_tensor tape_ctc_loss(tape_tensor log_probs, tape_tensor targets, tape_tensor input_lengths,
                          tape_tensor target_lengths, const tape_ctc_options *options)
{
    tape *t = tape__begin("ctc_loss");
    tape_ctc_options o = options ? *options : (tape_ctc_options){0};
    if (!t)
        return TAPE_NULL;
    if (o.reduction != TAPE_REDUCE_MEAN && o.reduction != TAPE_REDUCE_SUM && o.reduction != TAPE_REDUCE_NONE) {
        tape__error(t, TAPE_ERROR_ARGUMENT, "reduction %d is none of mean, sum and none", (int)o.reduction);
        return TAPE_NULL;
    }
    const ctc_attr attr = {o.blank, (int32_t)o.reduction, o.zero_infinity};
    const tape_tensor inputs[4] = {log_probs, targets, input_lengths, target_lengths};
    return tape__run(TAPE__OP_ctc_loss, inputs, 4, &attr, sizeof attr);
}
