/* The elementwise ops: argument checks, broadcasting, and the wrappers that the table expands to. No formula is here.
 */
#include <math.h>
#include <string.h>

#include "check.h"
#include "kernels/any/ewise_driver.h"
#include "ops.h"
#include "profile.h"
#include "short.h"
#include "trace.h"

/* ---- one call ---------------------------------------------------------------------------------------------------- */

typedef struct operands {
    tape__node *node[3];
    uint32_t slot[3];
    int n;
    int rank;
    int64_t size[TAPE_MAX_RANK];
    int64_t stride[3][TAPE_MAX_RANK];
} operands;

static bool shapes_differ(tape *t, const operands *o)
{
    if (o->n == 2)
        return tape__error(t, TAPE_ERROR_SHAPE, "shapes %s and %s do not broadcast",
                           TAPE__LAYOUT_TEXT(o->node[0]->layout), TAPE__LAYOUT_TEXT(o->node[1]->layout));
    return tape__error(t, TAPE_ERROR_SHAPE, "shapes %s, %s and %s do not broadcast",
                       TAPE__LAYOUT_TEXT(o->node[0]->layout), TAPE__LAYOUT_TEXT(o->node[1]->layout),
                       TAPE__LAYOUT_TEXT(o->node[2]->layout));
}

static bool resolve(tape *t, operands *o, const tape_tensor *x)
{
    for (int i = 0; i < o->n; i++)
        if ((o->slot[i] = tape__resolve(t, x[i], i)) == TAPE__NO_SLOT)
            return false;
    for (int i = 0; i < o->n; i++)
        o->node[i] = tape__at(t, o->slot[i]);
    return true;
}

/* The common shape, and each operand's strides over it. */
static bool broadcast(tape *t, operands *o)
{
    const tape__layout *first = o->node[0]->layout;
    o->rank = first->rank;
    memcpy(o->size, first->size, sizeof o->size);
    for (int i = 1; i < o->n; i++) {
        const tape__layout *layout = o->node[i]->layout;
        if (layout != first && !tape__broadcast(o->rank, o->size, layout->rank, layout->size, &o->rank, o->size))
            return shapes_differ(t, o);
    }
    for (int i = 0; i < o->n; i++)
        tape__broadcast_strides(o->node[i]->layout, o->rank, o->size, o->stride[i]);
    return true;
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

static tape__extra *record_extra(tape *t, const operands *o, const double *params, int n_params)
{
    struct block {
        tape__extra extra;
        uint32_t in[4], saved[4];
        double params[3];
    } *block = tape__arena_get(&t->arena, sizeof *block);
    if (!block) {
        tape__error(t, TAPE_ERROR_MEMORY, "out of memory for a record");
        return NULL;
    }
    for (int i = 0; i < o->n; i++) {
        block->in[i] = o->slot[i];
        block->saved[i] = *o->node[i]->version;
    }
    for (int i = 0; i < n_params; i++)
        block->params[i] = params[i];
    block->extra = (tape__extra){.n_in = (uint16_t)o->n,
                                 .n_out = 1,
                                 .attr_size = (uint32_t)((size_t)n_params * sizeof *params),
                                 .bytes = sizeof *block,
                                 .in = block->in,
                                 .saved = block->saved,
                                 .attr = block->params};
    return &block->extra;
}

static bool record(tape *t, int op, const operands *o, const double *params, int n_params, tape__node *y)
{
    uint8_t gradient = 0;
    for (int i = 0; i < o->n; i++)
        gradient |= o->node[i]->flags & TAPE__REQUIRES_GRAD;
    if (tape__ops[op].flags & TAPE__NO_GRADIENT)
        gradient = 0;
    y->op = (uint16_t)op;
    y->flags |= gradient;
    for (int i = 0; i < o->n && i < 2; i++) {
        y->in[i] = o->slot[i];
        y->saved[i] = *o->node[i]->version;
    }
    if (o->n <= 2 && n_params == 0)
        return true;
    return (y->u.extra = record_extra(t, o, params, n_params)) != NULL;
}

TAPE__INLINE void close_span(tape *t, uint64_t start, int op, const operands *o, tape_tensor y)
{
    const tape__span_nodes nodes = {o->node, o->n, y.slot, 1};
    tape__span_end(t, start, op, tape__ops[op].name, tape_is_null(y) ? NULL : &nodes);
}

/* ---- any op ------------------------------------------------------------------------------------------------------ */

static tape__node *result_node(tape *t, const operands *o, tape_dtype dtype, bool may_inline, uint32_t *slot)
{
    bool single = may_inline && o->node[o->n - 1]->layout->numel == 1;
    for (int i = 0; i < o->rank && single; i++)
        single = o->size[i] == 1;
    if (!single)
        return tape__new_tensor(t, dtype, o->rank, o->size, slot);
    const tape__layout *layout = o->rank ? tape__layout_dense(&t->layouts, o->rank, o->size) : t->scalar;
    if (!layout) {
        tape__error(t, TAPE_ERROR_MEMORY, "out of memory for a layout");
        return NULL;
    }
    tape__node *y = tape__new_node(t, slot);
    if (!y)
        return NULL;
    y->layout = layout;
    y->dtype = (uint8_t)dtype;
    y->data = &y->u;
    y->flags = TAPE__INLINE_VALUE;
    return y;
}

static tape_tensor compute(tape *t, operands *o, int op, const tape_tensor *x, const double *params, int n_params)
{
    const tape__op *row = &tape__ops[op];
    const int n = o->n, mask = tape__op_mask(row);
    const bool is_mask = mask >= 0;
    if (!resolve(t, o, x) ||
        !tape__check_dtypes(t, o->node, row->kind == TAPE__KIND_WHERE, n, is_mask ? TAPE_U8 : TAPE_F64) ||
        !broadcast(t, o))
        return TAPE_NULL;
    if (row->kind == TAPE__KIND_WHERE && o->node[0]->dtype != TAPE_U8) {
        tape__error(t, TAPE_ERROR_DTYPE, "the condition is %s, not u8", tape_dtype_name(o->node[0]->dtype));
        return TAPE_NULL;
    }
    uint32_t slot;
    tape__node *y =
        result_node(t, o, is_mask ? TAPE_U8 : o->node[n - 1]->dtype, !is_mask && n <= 2 && n_params == 0, &slot);
    if (!y)
        return TAPE_NULL;
    const void *data[3];
    const int64_t *stride[3];
    for (int i = 0; i < n; i++) {
        data[i] = o->node[i]->data;
        stride[i] = o->stride[i];
    }
    if (is_mask)
        tape__ewise_mask(t->kernels, tape__threads_of(t), mask, o->node[0]->dtype, o->rank, o->size, y->data, data,
                         stride);
    else
        tape__ewise_value(t->kernels, tape__threads_of(t), row->ewise, y->dtype, o->rank, o->size, y->data, data,
                          stride, params);
    if (t->paused == 0 && !record(t, op, o, params, n_params, y)) {
        tape__truncate(t, slot);
        return TAPE_NULL;
    }
    return (tape_tensor){t->generation, slot, 0};
}

/* Whoever searches for NaN wants to know our caller. */
#define FROM __builtin_return_address(0)

static tape_tensor run(int op, const tape_tensor *x, int n, const double *params, int n_params, const void *from)
{
    tape *t = tape__begin(tape__ops[op].name);
    if (!t)
        return TAPE_NULL;
    operands o;
    o.n = n;
    uint64_t start = tape__span_begin(t);
    tape_tensor y = compute(t, &o, op, x, params, n_params);
    close_span(t, start, op, &o, y);
    if (!tape_is_null(y) && tape__traces(t) && tape__op_mask(&tape__ops[op]) < 0) {
        t->trace->entry = from;
        if (!tape__trace_made(t, &tape__ops[op], o.node, n, params, n_params, y.slot, 1))
            y = TAPE_NULL;
    }
    if (!tape_is_null(y))
        tape__let_go(t, x, n);
    return y;
}

/* ---- the short way ----------------------------------------------------------------------------------------------- */

/*
 * Most ops are on tensors of one element, of equal shape, or of a shape and one element. They skip broadcasting;
 * anything unusual (a detour, another layout, a leaf's first use) returns null and goes the long way.
 */
TAPE__INLINE void arithmetic(int op, const tape__node *a, const tape__node *b, tape__node *y)
{
#define COMPUTE(type, field)                                                                                           \
    do {                                                                                                               \
        type p = *(const type *)a->data, q = *(const type *)b->data;                                                   \
        y->u.field = op == TAPE__OP_add ? p + q : op == TAPE__OP_sub ? p - q : op == TAPE__OP_mul ? p * q : p / q;     \
    } while (0)
    if (y->dtype == TAPE_F32)
        COMPUTE(float, f32);
    else
        COMPUTE(double, f64);
#undef COMPUTE
}

TAPE__INLINE bool is_arithmetic(int op)
{
    return op == TAPE__OP_add || op == TAPE__OP_sub || op == TAPE__OP_mul || op == TAPE__OP_div;
}

/* Rows whose kernels do not look at what they compute with: they may be given lanes that hold anything. */
TAPE__INLINE bool is_plain(int op)
{
    return is_arithmetic(op) || op == TAPE__OP_neg || op == TAPE__OP_square || op == TAPE__OP_recip ||
           op == TAPE__OP_sqrt || op == TAPE__OP_relu;
}

/* Operands of one dense layout. */
static tape_tensor run_flat(tape *t, int op, const tape__node *a, uint32_t a_slot, const tape__node *b, uint32_t b_slot)
{
    int64_t n = a->layout->numel;
    const size_t bytes = tape__ewise_bytes(a->dtype, n);
    const void *x[2] = {a->data, b->data};
    uint32_t slot;
    if (n == 0 || a->dtype > TAPE_F64 || t->count == t->capacity)
        return TAPE_NULL;
    void *data = n > 1 ? tape__arena_get(&t->arena, bytes) : NULL;
    tape__node *y = n == 1 || data ? tape__short_node(t, a, &slot) : NULL;
    if (!y)
        return TAPE_NULL;
    y->data = n > 1 ? data : &y->u;
    if (bytes % TAPE__UNIT_BYTES && a->flags & b->flags & TAPE__OWNS_BLOCK && is_plain(op))
        n = tape__whole_units(a->dtype, n);
    tape__ewise_flat_value(t->kernels, n < TAPE__EWISE_SERIAL ? NULL : tape__threads_of(t), tape__ops[op].ewise,
                           a->dtype, n, 0, y->data, x, NULL);
    if (n > 1)
        y->u.extra = NULL;
    return tape__short_record(t, op, y, slot, n > 1 ? TAPE__OWNS_BLOCK : TAPE__INLINE_VALUE, a, a_slot, b, b_slot);
}

/* A short plan's loop in whole units, each row's last one running on into the next row, or behind the last. */
TAPE__INLINE bool run_on(tape *t, int op, const tape__plan *plan, const tape__node *a, const tape__node *b, char *to)
{
    const tape__running_on *on = &plan->on[a->dtype];
    const tape__few *f = &plan->few;
    const int item = (int)tape__item_size(a->dtype);
    const void *x[TAPE__RUN_OPERANDS] = {a->data, b->data};
    if (!on->n || on->flags[0] & ~a->flags || on->flags[1] & ~b->flags || !is_plain(op) ||
        (f->still && tape__plan_lay_out(f, t->stills, item, x)))
        return false;
    tape__ewise_value_fn *const kernel = t->kernels->ewise->value[tape__ops[op].ewise][a->dtype];
    for (int64_t left = f->rows;;) {
        kernel(on->n, to, x, NULL);
        if (--left == 0)
            return true;
        to += f->n * item;
        x[0] = tape__beyond(x[0], f->step[0] * item);
        x[1] = tape__beyond(x[1], f->step[1] * item);
    }
}

/* Operands of any layouts that make a loop of a few rows, or of one. */
static tape_tensor run_rows(tape *t, int op, const tape__node *a, uint32_t a_slot, const tape__node *b, uint32_t b_slot)
{
    const tape__plan *plan = tape__plan_of(t->plans, &t->layouts, NULL, a->layout, b->layout, NULL);
    const tape__layout *shape = plan->shape;
    uint32_t slot;
    if (a->dtype != b->dtype || a->dtype > TAPE_F64 || !plan->suits[a->dtype] || shape->numel < 2 ||
        t->count == t->capacity)
        return TAPE_NULL;
    void *data = tape__arena_get(&t->arena, tape__ewise_bytes(a->dtype, shape->numel));
    tape__node *y = data ? tape__short_node(t, a, &slot) : NULL;
    if (!y)
        return TAPE_NULL;
    y->layout = shape;
    y->data = data;
    y->u.extra = NULL;
    if (!run_on(t, op, plan, a, b, data)) {
        tape__planned p = {tape__ops[op].ewise, -1, a->dtype, false, NULL, data, {a->data, b->data}};
        tape__plan_run(t, plan, &p);
    }
    return tape__short_record(t, op, y, slot, TAPE__OWNS_BLOCK, a, a_slot, b, b_slot);
}

static tape_tensor run_tensors(tape *t, int op, const tape__node *a, uint32_t a_slot, const tape__node *b,
                               uint32_t b_slot)
{
    const bool flat = a->layout == b->layout && a->dtype == b->dtype && tape__is_dense(a->layout);
    return flat ? run_flat(t, op, a, a_slot, b, b_slot) : run_rows(t, op, a, a_slot, b, b_slot);
}

/* A public function says which op it is behind its operands: so these are in their places already. */
static tape_tensor run_unary(tape_tensor a, int op)
{
    tape *t = tape__tls;
    uint32_t slot;
    const tape__node *x = TAPE__LIKELY(t && !t->detour) ? tape__find(t, a, &slot) : NULL;
    tape_tensor y = TAPE__LIKELY(x != NULL) ? run_tensors(t, op, x, slot, x, slot) : TAPE_NULL;
    return TAPE__LIKELY(!tape_is_null(y)) ? y : run(op, &a, 1, NULL, 0, FROM);
}

static __attribute__((noinline)) tape_tensor run_two(tape_tensor a, tape_tensor b, int op, const void *from)
{
    const tape_tensor x[2] = {a, b};
    return run(op, x, 2, NULL, 0, from);
}

TAPE__INLINE tape_tensor run_binary(tape_tensor a, tape_tensor b, int op)
{
    tape *t = tape__tls;
    uint32_t p, q, slot;
    const tape__node *na, *nb;
    if (TAPE__UNLIKELY(!t || t->detour || !(na = tape__find(t, a, &p)) || !(nb = tape__find(t, b, &q))))
        return run_two(a, b, op, FROM);
    tape__node *y;
    if (is_arithmetic(op) && na->layout->numel == 1 && na->layout == nb->layout && na->dtype == nb->dtype &&
        na->dtype <= TAPE_F64 && (y = tape__short_node(t, na, &slot))) {
        y->data = &y->u;
        arithmetic(op, na, nb, y);
        return tape__short_record(t, op, y, slot, TAPE__INLINE_VALUE, na, p, nb, q);
    }
    tape_tensor result = run_tensors(t, op, na, p, nb, q);
    return TAPE__LIKELY(!tape_is_null(result)) ? result : run_two(a, b, op, FROM);
}

/* One copy for all ops but those four. */
static __attribute__((noinline)) tape_tensor run_pair(tape_tensor a, tape_tensor b, int op)
{
    return run_binary(a, b, op);
}

tape_tensor tape__run_elementwise(int op, const tape_tensor *x, int n, const double *params, int n_params)
{
    if (n_params || n > 2 || tape__op_mask(&tape__ops[op]) >= 0)
        return run(op, x, n, params, n_params, FROM);
    return n == 1 ? run_unary(x[0], op) : run_pair(x[0], x[1], op);
}

/* ---- numbers as operands ----------------------------------------------------------------------------------------- */

/* A number beside a tensor takes the tensor's dtype; a bad handle is left for the op to report. */
static tape_tensor number_like(tape_tensor x, double number, int op)
{
    tape *t = tape__begin(tape__ops[op].name);
    uint32_t slot = t ? tape__resolve(t, x, 0) : TAPE__NO_SLOT;
    return slot == TAPE__NO_SLOT ? TAPE_NULL : tape_scalar(tape__at(t, slot)->dtype, number);
}

static tape_tensor run_number_right(tape_tensor a, double s, int op)
{
    return run_pair(a, number_like(a, s, op), op);
}

static tape_tensor run_number_left(double s, tape_tensor b, int op)
{
    return run_pair(number_like(b, s, op), b, op);
}

/* Whether an integer dtype has the number, or a float dtype one near it. */
static bool holds(tape_dtype dtype, double number)
{
    double low = dtype == TAPE_I32 ? INT32_MIN : dtype == TAPE_I64 ? -0x1p63 : 0;
    double end = dtype == TAPE_I32 ? 0x1p31 : dtype == TAPE_I64 ? 0x1p63 : 256;
    return dtype <= TAPE_F64 || (number >= low && number < end && number == trunc(number));
}

/* The number as the other side of a comparison: an integer tensor without it is compared in f64. */
static tape_tensor other_side(tape_tensor *x, double number, int op)
{
    tape_tensor other = number_like(*x, number, op);
    if (tape_is_null(other) || holds(tape_dtype_of(*x), number))
        return other;
    *x = tape_cast(*x, TAPE_F64);
    return tape_scalar(TAPE_F64, number);
}

static tape_tensor compare(tape_tensor a, tape_tensor b, int op)
{
    return run_two(a, b, op, FROM);
}

static tape_tensor compare_number_right(tape_tensor a, double s, int op)
{
    tape_tensor b = other_side(&a, s, op);
    return compare(a, b, op);
}

static tape_tensor compare_number_left(double s, tape_tensor b, int op)
{
    tape_tensor a = other_side(&b, s, op);
    return compare(a, b, op);
}

/* ---- the wrappers ------------------------------------------------------------------------------------------------ */

/* TAPE__ROW(BINARY, mul, ...) expands to tape_mul(a, b), tape_mul_scalar(a, s) and tape_scalar_mul(s, b). */

static __attribute__((noinline)) tape_tensor run_with_numbers(tape_tensor a, double p0, double p1, double p2, int op,
                                                              int n_params)
{
    const double p[3] = {p0, p1, p2};
    return run(op, &a, 1, p, n_params, FROM);
}

static __attribute__((noinline)) tape_tensor run_pair_with_number(tape_tensor a, tape_tensor b, double p0, int op)
{
    const tape_tensor x[2] = {a, b};
    return run(op, x, 2, &p0, 1, FROM);
}

static __attribute__((noinline)) tape_tensor test(tape_tensor a, int op)
{
    return run(op, &a, 1, NULL, 0, FROM);
}

#define DEFINE_UNARY(function, name)                                                                                   \
    tape_tensor function(tape_tensor a)                                                                                \
    {                                                                                                                  \
        return run_unary(a, TAPE__OP_##name);                                                                          \
    }
#define UNARY(name) DEFINE_UNARY(tape_##name, name)
#define UNARY1(name)                                                                                                   \
    tape_tensor tape_##name(tape_tensor a, double p0)                                                                  \
    {                                                                                                                  \
        return run_with_numbers(a, p0, 0, 0, TAPE__OP_##name, 1);                                                      \
    }
#define UNARY2(name)                                                                                                   \
    tape_tensor tape_##name(tape_tensor a, double p0, double p1)                                                       \
    {                                                                                                                  \
        return run_with_numbers(a, p0, p1, 0, TAPE__OP_##name, 2);                                                     \
    }
#define UNARY3(name)                                                                                                   \
    tape_tensor tape_##name(tape_tensor a, double p0, double p1, double p2)                                            \
    {                                                                                                                  \
        return run_with_numbers(a, p0, p1, p2, TAPE__OP_##name, 3);                                                    \
    }
#define DEFINE_BINARY(function, name)                                                                                  \
    tape_tensor function(tape_tensor a, tape_tensor b)                                                                 \
    {                                                                                                                  \
        return (is_arithmetic(TAPE__OP_##name) ? run_binary : run_pair)(a, b, TAPE__OP_##name);                        \
    }
#define DEFINE_BINARY1(function, name)                                                                                 \
    tape_tensor function(tape_tensor a, tape_tensor b, double p0)                                                      \
    {                                                                                                                  \
        return run_pair_with_number(a, b, p0, TAPE__OP_##name);                                                        \
    }
#define DEFINE_TERNARY1(function, name)                                                                                \
    tape_tensor function(tape_tensor a, tape_tensor b, tape_tensor c, double p0)                                       \
    {                                                                                                                  \
        const tape_tensor x[3] = {a, b, c};                                                                            \
        return run(TAPE__OP_##name, x, 3, &p0, 1, FROM);                                                               \
    }
#define WITH_NUMBERS(name, right, left)                                                                                \
    tape_tensor tape_##name##_scalar(tape_tensor a, double s)                                                          \
    {                                                                                                                  \
        return right(a, s, TAPE__OP_##name);                                                                           \
    }                                                                                                                  \
    tape_tensor tape_scalar_##name(double s, tape_tensor b)                                                            \
    {                                                                                                                  \
        return left(s, b, TAPE__OP_##name);                                                                            \
    }
#define WITH_NUMBERS1(name)                                                                                            \
    tape_tensor tape_##name##_scalar(tape_tensor a, double s, double p0)                                               \
    {                                                                                                                  \
        return tape_##name(a, number_like(a, s, TAPE__OP_##name), p0);                                                 \
    }                                                                                                                  \
    tape_tensor tape_scalar_##name(double s, tape_tensor b, double p0)                                                 \
    {                                                                                                                  \
        return tape_##name(number_like(b, s, TAPE__OP_##name), b, p0);                                                 \
    }
#define UNARY_INTERNAL(name) DEFINE_UNARY(tape__##name, name)
#define BINARY(name) DEFINE_BINARY(tape_##name, name) WITH_NUMBERS(name, run_number_right, run_number_left)
#define BINARY1(name) DEFINE_BINARY1(tape_##name, name) WITH_NUMBERS1(name)
#define BINARY_INTERNAL(name) DEFINE_BINARY(tape__##name, name)
#define BINARY1_INTERNAL(name) DEFINE_BINARY1(tape__##name, name)
#define TERNARY(name)                                                                                                  \
    tape_tensor tape_##name(tape_tensor a, tape_tensor b, tape_tensor c)                                               \
    {                                                                                                                  \
        const tape_tensor x[3] = {a, b, c};                                                                            \
        return run(TAPE__OP_##name, x, 3, NULL, 0, FROM);                                                              \
    }
#define TERNARY1(name) DEFINE_TERNARY1(tape_##name, name)
#define TERNARY1_INTERNAL(name) DEFINE_TERNARY1(tape__##name, name)
#define WHERE(name) TERNARY(name)
#define LOGIC(name)                                                                                                    \
    tape_tensor tape_##name(tape_tensor a, tape_tensor b)                                                              \
    {                                                                                                                  \
        return compare(a, b, TAPE__OP_##name);                                                                         \
    }
#define COMPARE(name) LOGIC(name) WITH_NUMBERS(name, compare_number_right, compare_number_left)
#define TEST(name)                                                                                                     \
    tape_tensor tape_##name(tape_tensor a)                                                                             \
    {                                                                                                                  \
        return test(a, TAPE__OP_##name);                                                                               \
    }
#define GENERAL(name)
#define FUSED(name)
#define NOVJP(name)
#define COMPOSITE(name)

#define TAPE__ROW(kind, name, family, level, flags, low, high) kind(name)
#include "ops.def"
