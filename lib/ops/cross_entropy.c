/* Losses over classes: cross entropy and negative log likelihood. Knows targets, their weights and which are ignored;
   the softmax is softmax.c's. */
#include <string.h>

#include "adjoint.h"
#include "kernels/kernels.h"
#include "kernels/softmax.h"
#include "loss.h"
#include "recall.h"
#include "reduce.h"
#include "softmax.h"

#define PYTORCH_IGNORE_INDEX (-100)

/* One call on classes: x is outer x classes x inner, the target outer x inner. */
struct batch {
    tape__class_attr attr;
    tape__axis_cut cut;
    int64_t rows;
    const void *x, *target, *weight; /* dense; weight may be NULL */
    int dtype, target_dtype;
    /* by the values that lie there: */
    double total_weight; /* of all classes, where labels are smoothed; else 0 */
    double divisor;      /* of every row: the sum of the targets' weights for a mean, else 1 */
};

static double element(int dtype, const void *data, int64_t i)
{
    return dtype == TAPE_F32 ? (double)((const float *)data)[i] : ((const double *)data)[i];
}

static void store(int dtype, void *data, int64_t i, double value)
{
    if (dtype == TAPE_F32)
        ((float *)data)[i] = (float)value;
    else
        ((double *)data)[i] = value;
}

static int64_t class_of(const struct batch *b, int64_t row)
{
    return b->target_dtype == TAPE_I32 ? ((const int32_t *)b->target)[row] : ((const int64_t *)b->target)[row];
}

static bool is_ignored(const struct batch *b, int64_t class)
{
    return class == b->attr.ignore;
}

static double weight_of(const struct batch *b, int64_t class)
{
    return b->weight ? element(b->dtype, b->weight, class) : 1;
}

/* The share of the loss that the target's own class has, and that every class has by label smoothing. */
static double target_share(const struct batch *b, int64_t class)
{
    return (1 - b->attr.smoothing) * weight_of(b, class);
}

static double even_share(const struct batch *b)
{
    return b->attr.smoothing / (double)b->cut.n;
}

/* ---- checks ------------------------------------------------------------------------------------------------------ */

static int class_axis(const tape__layout *x)
{
    return x->rank > 1 ? 1 : 0;
}

/* x's shape without its class axis. */
static int row_shape(const tape__layout *x, int64_t size[TAPE_MAX_RANK])
{
    int rank = 0;
    for (int i = 0; i < x->rank; i++)
        if (i != class_axis(x))
            size[rank++] = x->size[i];
    return rank;
}

static bool check_shapes(tape *t, const tape__node *x, const tape__node *target, const tape__node *weight)
{
    const tape__layout *lx = x->layout, *lt = target->layout;
    if (lx->rank == 2 && lt->rank == 1 && lx->size[0] == lt->size[0] && x->dtype <= TAPE_F64 &&
        (target->dtype == TAPE_I32 || target->dtype == TAPE_I64) && !weight)
        return true; /* what most calls are */
    int64_t rows[TAPE_MAX_RANK];
    if (x->layout->rank == 0)
        return tape__error(t, TAPE_ERROR_SHAPE, "expects an axis of classes, got a scalar");
    if (!tape__check_float(t, x))
        return false;
    if (target->dtype != TAPE_I32 && target->dtype != TAPE_I64)
        return tape__error(t, TAPE_ERROR_DTYPE, "expects classes as i32 or i64, got %s",
                           tape_dtype_name(target->dtype));
    int rank = row_shape(x->layout, rows);
    if (rank != target->layout->rank || memcmp(rows, target->layout->size, (size_t)rank * sizeof *rows) != 0)
        return tape__error(t, TAPE_ERROR_SHAPE, "expects a target of shape %s for x of shape %s, got %s",
                           tape__shape_text(rank, rows).text, TAPE__LAYOUT_TEXT(x->layout),
                           TAPE__LAYOUT_TEXT(target->layout));
    int64_t classes = x->layout->size[class_axis(x->layout)];
    if (weight && (weight->layout->rank != 1 || weight->layout->numel != classes))
        return tape__error(t, TAPE_ERROR_SHAPE, "expects a weight of shape [%lld], got %s", (long long)classes,
                           TAPE__LAYOUT_TEXT(weight->layout));
    if (weight && weight->dtype != x->dtype)
        return tape__error(t, TAPE_ERROR_DTYPE, "expects a weight of %s, got %s", tape_dtype_name(x->dtype),
                           tape_dtype_name(weight->dtype));
    return true;
}

/* Reads every target, and checks it, before anything is written. */
static bool read_classes(tape *t, struct batch *b)
{
    double weights = 0;
    b->total_weight = 0;
    for (int64_t class = 0; b->attr.smoothing != 0 && class < b->cut.n; class ++)
        b->total_weight += weight_of(b, class);
    for (int64_t row = 0; row < b->rows; row++) {
        int64_t class = class_of(b, row);
        if (is_ignored(b, class))
            continue;
        if (class < 0 || class >= b->cut.n)
            return tape__error(t, TAPE_ERROR_INDEX, "target %lld at position %lld is not one of the %lld classes",
                               (long long)class, (long long)row, (long long)b->cut.n);
        weights += weight_of(b, class);
    }
    b->divisor = b->attr.reduction == TAPE_REDUCE_MEAN ? weights : 1;
    return true;
}

/* in: x, target and perhaps weight. All but what their values say. */
static bool find_batch(tape *t, tape__node *const *in, int n_in, const void *attr, struct batch *b)
{
    const tape__node *x = in[0], *target = in[1], *weight = n_in > 2 ? in[2] : NULL;
    memcpy(&b->attr, attr, sizeof b->attr);
    if (!check_shapes(t, x, target, weight))
        return false;
    b->cut = tape__cut_at(x->layout, class_axis(x->layout));
    b->rows = target->layout->numel;
    b->dtype = x->dtype;
    b->target_dtype = target->dtype;
    b->x = tape__dense_data(t, x);
    b->target = tape__dense_data(t, target);
    b->weight = weight ? tape__dense_data(t, weight) : NULL;
    return b->x && b->target && (!weight || b->weight);
}

static bool read_batch(tape *t, tape__node *const *in, int n_in, const void *attr, struct batch *b)
{
    return find_batch(t, in, n_in, attr, b) && read_classes(t, b);
}

/* Whether they are read where they lie. */
static bool are_dense(tape__node *const *in, int n)
{
    bool dense = true;
    for (int i = 0; i < n; i++)
        dense = dense && tape__is_dense(in[i]->layout);
    return dense;
}

/* The position in x of a row's class 0; its other classes follow at a distance of inner. */
static int64_t row_start(const struct batch *b, int64_t row)
{
    return row / b->cut.inner * b->cut.n * b->cut.inner + row % b->cut.inner;
}

static tape__softmax_shape kernel_shape(const struct batch *b)
{
    return (tape__softmax_shape){b->cut.outer, b->cut.n, b->cut.inner};
}

/* ---- the losses -------------------------------------------------------------------------------------------------- */

static double row_loss(const struct batch *b, const void *logp, int64_t row)
{
    int64_t class = class_of(b, row), start = row_start(b, row);
    if (is_ignored(b, class))
        return 0;
    double loss = -target_share(b, class) * element(b->dtype, logp, start + class * b->cut.inner);
    if (b->attr.smoothing == 0)
        return loss;
    double even = 0;
    for (int64_t c = 0; c < b->cut.n; c++)
        even -= weight_of(b, c) * element(b->dtype, logp, start + c * b->cut.inner);
    return loss + even_share(b) * even;
}

/* The output of a loss over classes. */
static tape__node *loss_output(tape__call *call, const struct batch *b)
{
    int64_t size[TAPE_MAX_RANK];
    const bool each = b->attr.reduction == TAPE_REDUCE_NONE;
    return tape__output(call, (tape_dtype)b->dtype, each ? row_shape(call->in[0]->layout, size) : 0, size);
}

/* To y, from log probabilities laid out like x. */
static void write_losses(const struct batch *b, const void *logp, void *y)
{
    bool each = b->attr.reduction == TAPE_REDUCE_NONE;
    double sum = 0;
    for (int64_t row = 0; row < b->rows; row++) {
        double loss = row_loss(b, logp, row);
        sum += loss;
        if (each)
            store(b->dtype, y, row, loss);
    }
    if (!each)
        store(b->dtype, y, 0, sum / b->divisor);
}

static bool write_cross_entropy(tape *t, const struct batch *b, void *y)
{
    void *logp = tape__scratch(t, (size_t)b->cut.outer * (size_t)(b->cut.n * b->cut.inner) *
                                      tape_dtype_size((tape_dtype)b->dtype));
    if (!logp)
        return false;
    t->kernels->softmax->log_softmax[b->dtype](tape__threads_of(t), kernel_shape(b), b->x, logp);
    write_losses(b, logp, y);
    return true;
}

/* The same for inputs that lie as they are read. */
typedef struct written_loss {
    struct batch b;
    void *y;
} written_loss;

static bool run_loss(tape *t, const void *arguments)
{
    written_loss l = *(const written_loss *)arguments;
    return read_classes(t, &l.b) && write_cross_entropy(t, &l.b, l.y);
}

bool tape__cross_entropy_forward(tape__call *call)
{
    tape *t = call->t;
    struct batch b;
    if (!read_batch(t, call->in, call->n_in, call->attr, &b))
        return false;
    tape__node *y = loss_output(call, &b);
    if (!y || !write_cross_entropy(t, &b, y->data))
        return false;
    if (TAPE__UNLIKELY(t->noting != NULL) && are_dense(call->in, call->n_in)) {
        tape__note(t, run_loss, &(written_loss){b, y->data}, sizeof(written_loss));
        tape__recall_is_whole(t);
    }
    return true;
}

bool tape__nll_forward(tape__call *call)
{
    struct batch b;
    if (!read_batch(call->t, call->in, call->n_in, call->attr, &b))
        return false;
    const tape__node *y = loss_output(call, &b);
    if (y)
        write_losses(&b, b.x, y->data);
    return y;
}

/* ---- derivatives ------------------------------------------------------------------------------------------------- */

/* Each class's share of the loss, over the divisor, in x's shape: q of the formulas below. */
bool tape__class_targets_forward(tape__call *call)
{
    struct batch b;
    if (!read_batch(call->t, call->in, call->n_in, call->attr, &b))
        return false;
    const tape__layout *x = call->in[0]->layout;
    tape__node *q = tape__output(call, (tape_dtype)b.dtype, x->rank, x->size);
    if (!q)
        return false;
    for (int64_t row = 0; row < b.rows; row++) {
        int64_t class = class_of(&b, row), start = row_start(&b, row);
        for (int64_t c = 0; c < b.cut.n; c++) {
            double share = even_share(&b) * weight_of(&b, c) + (c == class ? target_share(&b, c) : 0);
            store(b.dtype, q->data, start + c * b.cut.inner, is_ignored(&b, class) ? 0 : share / b.divisor);
        }
    }
    return true;
}

static tape_tensor class_targets(const tape__vjp *v, int first)
{
    return tape__run(TAPE__OP_class_targets, v->x + first, v->n_in - first, v->attr, sizeof(tape__class_attr));
}

/* One row of g (p sum(q) - q), p being in `y` already. */
static void backward_row(const struct batch *b, void *y, int64_t row, double g)
{
    int64_t class = class_of(b, row), start = row_start(b, row);
    bool nothing = g == 0 || is_ignored(b, class);
    double even = nothing ? 0 : even_share(b);
    double whole = nothing ? 0 : target_share(b, class) + even * b->total_weight;
    for (int64_t c = 0; c < b->cut.n; c++) {
        int64_t i = start + c * b->cut.inner;
        double q = even * weight_of(b, c) + (c == class && !nothing ? target_share(b, c) : 0);
        store(b->dtype, y, i, nothing ? 0 : g * (whole * element(b->dtype, y, i) - q));
    }
}

/* The derivative in x's shape, from the dense cotangent g. */
static void write_backward(const tape *t, const struct batch *b, const void *g, void *y)
{
    t->kernels->softmax->softmax[b->dtype](tape__threads_of(t), kernel_shape(b), b->x, y);
    bool each = b->attr.reduction == TAPE_REDUCE_NONE;
    for (int64_t row = 0; row < b->rows; row++)
        backward_row(b, y, row, element(b->dtype, g, each ? row : 0) / b->divisor);
}

/* Inputs: the cotangent, x, target and perhaps weight. */
TAPE__NOINLINE bool tape__cross_entropy_backward_forward(tape__call *call)
{
    struct batch b;
    if (!read_batch(call->t, call->in + 1, call->n_in - 1, call->attr, &b))
        return false;
    const tape__layout *x = call->in[1]->layout;
    const tape__layout *expected = b.attr.reduction == TAPE_REDUCE_NONE ? call->in[2]->layout : call->t->scalar;
    if (call->in[0]->layout->dense != expected->dense || call->in[0]->dtype != b.dtype)
        return tape__error(call->t, call->in[0]->dtype != b.dtype ? TAPE_ERROR_DTYPE : TAPE_ERROR_SHAPE,
                           "expects a cotangent of shape %s, got %s", TAPE__LAYOUT_TEXT(expected),
                           TAPE__LAYOUT_TEXT(call->in[0]->layout));
    const void *g = tape__dense_data(call->t, call->in[0]);
    tape__node *y = tape__output(call, (tape_dtype)b.dtype, x->rank, x->size);
    if (!g || !y)
        return false;
    write_backward(call->t, &b, g, y->data);
    return true;
}

/* The derivative for inputs that lie as they are read. */
typedef struct backward {
    struct batch b;
    const void *g;
    void *gx;
} backward;

static bool run_backward(tape *t, const void *arguments)
{
    backward w = *(const backward *)arguments;
    if (!read_classes(t, &w.b))
        return false;
    write_backward(t, &w.b, w.g, w.gx);
    return true;
}

bool tape__cross_entropy_fused(tape__fused *f)
{
    backward w = {.g = f->g};
    tape__node *in[3];
    for (int i = 0; i < f->n_in; i++)
        in[i] = tape__at(f->t, f->in[i]);
    if (f->needs != 1 || in[0]->flags & TAPE__HAS_ADJOINT || !tape__is_dense(f->g_layout) || !are_dense(in, f->n_in) ||
        !find_batch(f->t, in, f->n_in, f->attr, &w.b))
        return false;
    bool accumulate;
    w.gx = tape__adjoint_target(f->t, in[0], &accumulate);
    return w.gx && TAPE__DO(f->t, run_backward, &w);
}

void tape__cross_entropy_vjp(tape__vjp *v)
{
    tape_tensor inputs[4] = {v->gy[0], v->x[0], v->x[1], v->n_in > 2 ? v->x[2] : TAPE_NONE};
    if (v->needs[0])
        v->gx[0] = tape__run(TAPE__OP_cross_entropy_backward, inputs, v->n_in + 1, v->attr, sizeof(tape__class_attr));
}

/* The cotangent of a loss so that it broadcasts against x. */
static tape_tensor against_x(const tape__vjp *v, tape_tensor g, tape_tensor x)
{
    const tape__class_attr *attr = v->attr;
    tape_shape shape = tape_shape_of(x);
    if (attr->reduction != TAPE_REDUCE_NONE)
        return g;
    shape.size[shape.rank > 1] = 1;
    return tape_reshape(g, shape);
}

/* y = g (p s - q), s = sum(q) along the classes, p = softmax(x); q is constant. */
TAPE__NOINLINE void tape__cross_entropy_backward_vjp(tape__vjp *v)
{
    const tape__class_attr *attr = v->attr;
    tape_tensor g = v->x[0], x = v->x[1], u = v->gy[0];
    int axis = tape_rank(x) > 1;
    tape_tensor q = class_targets(v, 1);
    tape_tensor p = tape_softmax(x, axis);
    tape_tensor s = tape_sum(q, TAPE_AXES(axis), true);
    if (v->needs[0]) {
        tape_tensor d = tape_mul(u, tape_sub(tape_mul(p, s), q));
        v->gx[0] = tape_sum(d, attr->reduction == TAPE_REDUCE_NONE ? TAPE_AXES(axis) : TAPE_ALL, false);
    }
    if (v->needs[1])
        v->gx[1] = tape__softmax_backward(tape_mul(u, tape_mul(against_x(v, g, x), s)), p, axis);
}

void tape__nll_vjp(tape__vjp *v)
{
    if (v->needs[0])
        v->gx[0] = tape_neg(tape_mul(class_targets(v, 0), against_x(v, v->gy[0], v->x[0])));
}

/* ---- the public functions ---------------------------------------------------------------------------------------- */

static bool check_options(tape *t, const tape_cross_entropy_options *o)
{
    if (o->reduction != TAPE_REDUCE_MEAN && o->reduction != TAPE_REDUCE_SUM && o->reduction != TAPE_REDUCE_NONE)
        return tape__error(t, TAPE_ERROR_ARGUMENT, "reduction %d is none of mean, sum and none", (int)o->reduction);
    if (!(o->label_smoothing >= 0 && o->label_smoothing <= 1))
        return tape__error(t, TAPE_ERROR_ARGUMENT, "label_smoothing must be from 0 to 1, got %g", o->label_smoothing);
    return true;
}

/* A call on classes, as an op takes it. */
typedef struct on_classes {
    tape__class_attr attr;
    tape_tensor x[3];
    int n;
} on_classes;

static on_classes arguments_of(tape_tensor x, tape_tensor target, const tape_cross_entropy_options *o)
{
    return (on_classes){
        {(int32_t)o->reduction, 0, o->has_ignore_index ? o->ignore_index : PYTORCH_IGNORE_INDEX, o->label_smoothing},
        {x, target, o->weight ? *o->weight : TAPE_NONE},
        o->weight ? 3 : 2};
}

/* -sum_c weight[c] target[c] log p[c]; a class of probability 0 counts for nothing even where log p is -inf. */
static tape_tensor on_probabilities(tape *t, tape_tensor x, tape_tensor target, const tape_cross_entropy_options *o)
{
    tape_shape shape = tape_shape_of(x), given = tape_shape_of(target), along = {shape.rank, {1, 1, 1, 1, 1, 1, 1, 1}};
    int axis = shape.rank > 1;
    if (o->has_ignore_index || shape.rank == 0 || shape.rank != given.rank ||
        memcmp(shape.size, given.size, (size_t)shape.rank * sizeof *shape.size) != 0) {
        tape__error(t, o->has_ignore_index ? TAPE_ERROR_ARGUMENT : TAPE_ERROR_SHAPE,
                    "expects probabilities of x's shape %s and no ignore_index, got %s",
                    tape__shape_text(shape.rank, shape.size).text, tape__shape_text(given.rank, given.size).text);
        return TAPE_NULL;
    }
    tape_tensor q = target;
    along.size[axis] = shape.size[axis];
    if (o->label_smoothing > 0)
        q = tape_add_scalar(tape_mul_scalar(q, 1 - o->label_smoothing), o->label_smoothing / (double)along.size[axis]);
    if (o->weight)
        q = tape_mul(q, tape_reshape(*o->weight, along));
    tape_tensor loss = tape_sum(tape__strong_mul(tape_log_softmax(x, axis), q), TAPE_AXES(axis), false);
    return tape__loss_reduce(t, tape_neg(loss), o->reduction);
}

tape_tensor tape_cross_entropy(tape_tensor x, tape_tensor target, const tape_cross_entropy_options *options)
{
    static const tape_cross_entropy_options nothing;
    const tape_cross_entropy_options *o = options ? options : &nothing;
    const on_classes c = arguments_of(x, target, o);
    tape *t = tape__tls;
    tape_tensor y;
    if (tape__recall(t, TAPE__OP_cross_entropy, c.x, c.n, &c.attr, sizeof c.attr, &y))
        return y;
    t = tape__begin("cross_entropy");
    if (!t || !check_options(t, o))
        return TAPE_NULL;
    uint32_t slot;
    const tape__node *node = tape__find_or_meet(t, target, &slot);
    tape_dtype dtype = node ? (tape_dtype)node->dtype : tape_dtype_of(target);
    if (dtype != TAPE_F32 && dtype != TAPE_F64)
        return tape__run(TAPE__OP_cross_entropy, c.x, c.n, &c.attr, sizeof c.attr);
    const char *before = tape__enter(t, "cross_entropy");
    return tape__leave(t, before, TAPE__OP_cross_entropy, on_probabilities(t, x, target, o));
}

tape_tensor tape_nll(tape_tensor x, tape_tensor target, const tape_nll_options *options)
{
    tape *t = tape__begin("nll");
    tape_nll_options given = options ? *options : (tape_nll_options){0};
    tape_cross_entropy_options o = {given.reduction, given.has_ignore_index, given.ignore_index, 0, given.weight};
    if (!t || !check_options(t, &o))
        return TAPE_NULL;
    const on_classes c = arguments_of(x, target, &o);
    return tape__run(TAPE__OP_nll, c.x, c.n, &c.attr, sizeof c.attr);
}
