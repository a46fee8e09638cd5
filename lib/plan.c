/* How elementwise loops go over their operands, remembered by the operands' layouts. */
#include "plan.h"

#include <string.h>

#include "tape.h"

static inline int item_of(int dtype)
{
    return dtype == TAPE_F32 ? (int)sizeof(float) : (int)sizeof(double);
}

/* The dense layout of a's and b's common shape; NULL where they do not fit, or memory is short. */
static const tape__layout *common_shape(tape__layouts *layouts, const tape__layout *a, const tape__layout *b)
{
    int64_t size[TAPE_MAX_RANK];
    int rank;
    if (a->dense == b->dense)
        return a->dense;
    if (!tape__broadcast(a->rank, a->size, b->rank, b->size, &rank, size))
        return NULL;
    return tape__layout_dense(layouts, rank, size);
}

/* Whether a block for so many elements as x has holds `bytes`. */
static bool has_room(const tape__layout *x, int dtype, int64_t bytes)
{
    return bytes <= (int64_t)tape__arena_room(tape__ewise_bytes(dtype, x->numel));
}

/* Only for operands that are still or as large as their block. */
static __attribute__((cold)) tape__running_on running_on(const tape__plan *plan, int dtype)
{
    const tape__few *f = &plan->few;
    const tape__layout *const operand[2] = {plan->a, plan->b};
    const int64_t row = f->n * item_of(dtype), last = f->rows - 1;
    const int64_t whole = (row + TAPE__UNIT_BYTES - 1) & -TAPE__UNIT_BYTES;
    tape__running_on on = {0};
    if (plan->given || f->rows * row > TAPE__EWISE_SHORT || !has_room(plan->shape, dtype, last * row + whole))
        return on;
    for (int k = 0; k < 2; k++)
        if (!(f->still >> k & 1)) {
            const int64_t reach = last * f->step[k] * item_of(dtype) + whole;
            if (!tape__is_dense(operand[k]) || !has_room(operand[k], dtype, reach))
                return on;
            on.flags[k] = TAPE__OWNS_BLOCK;
        }
    on.n = (uint16_t)(whole / item_of(dtype));
    return on;
}

static __attribute__((cold)) void make_plan(tape__layouts *layouts, tape__plan *plan, const tape__layout *given,
                                            const tape__layout *a, const tape__layout *b, const tape__layout *g)
{
    const tape__layout *shape = given ? given : common_shape(layouts, a, b);
    const tape__layout *const layout[TAPE__RUN_OPERANDS] = {
        [0] = a, [1] = b, [TAPE__RUN_OUTPUT] = given, [TAPE__RUN_ADJOINT] = g};
    int64_t strides[TAPE__RUN_OPERANDS][TAPE_MAX_RANK];
    const int64_t *stride[TAPE__RUN_OPERANDS] = {NULL};
    memset(plan, 0, sizeof *plan);
    if (!shape)
        return;
    for (int k = 0; k < TAPE__RUN_OPERANDS; k++)
        if (layout[k]) {
            tape__broadcast_strides(layout[k], shape->rank, shape->size, strides[k]);
            stride[k] = strides[k];
        }
    *plan = (tape__plan){.given = given, .a = a, .b = b, .g = g, .shape = shape};
    const tape__few *few = &plan->few;
    if (shape->numel > 0 && tape__few_plan(&plan->few, shape->rank, shape->size, stride))
        for (int dtype = 0; dtype <= TAPE_F64; dtype++) {
            plan->suits[dtype] =
                few->rows == 1 || (shape->numel < TAPE__EWISE_SERIAL && tape__few_suits(few, item_of(dtype)));
            if (plan->suits[dtype])
                plan->on[dtype] = running_on(plan, dtype);
        }
}

/* Plans whose places are one would else be made in turns. */
const tape__plan *tape__plan_find(tape__plan *plans, size_t place, tape__layouts *layouts, const tape__layout *given,
                                  const tape__layout *a, const tape__layout *b, const tape__layout *g)
{
    enum { NEIGHBOURS = 4 };
    size_t room = 0;
    for (size_t k = 1; k < NEIGHBOURS; k++)
        if (tape__plan_is(&plans[place ^ k], given, a, b, g))
            return &plans[place ^ k];
        else if (!plans[place ^ k].shape)
            room = k;
    for (size_t k = NEIGHBOURS - 1; !room && k > 0; k--)
        plans[place ^ k] = plans[place ^ (k - 1)];
    if (room)
        plans[place ^ room] = plans[place];
    make_plan(layouts, &plans[place], given, a, b, g);
    return &plans[place];
}

unsigned tape__still_lay_out(tape__still *stills, unsigned still, int64_t bytes, int item, const void **x)
{
    const void **const element = &x[__builtin_ctz(still)];
    uint64_t bits;
    if (still & (still - 1) || bytes > TAPE__EWISE_SHORT || !*element)
        return still;
    if (item == sizeof(float)) {
        uint32_t half;
        memcpy(&half, *element, sizeof half);
        bits = half * UINT64_C(0x100000001);
    } else {
        memcpy(&bits, *element, sizeof bits);
    }
    tape__still *const row = &stills[bits * UINT64_C(0x9E3779B97F4A7C15) >> 62];
    if (TAPE__UNLIKELY(row->bits != bits || row->bytes < bytes)) {
        tape__ewise_repeat(row->row, *element, bytes, item);
        row->bits = bits;
        row->bytes = bytes;
    }
    *element = row->row;
    return 0;
}

/* Shared by threads. */
static void run_flat(const tape *t, const tape__plan *plan, const tape__planned *p)
{
    const struct tape__parallel *threads = tape__threads_of(t);
    const int64_t n = plan->few.n;
    const unsigned still = plan->few.still;
    if (p->input < 0)
        tape__ewise_flat_value(t->kernels, threads, p->ew, p->dtype, n, still, p->result, p->x, p->params);
    else
        tape__ewise_flat_derivative(t->kernels, threads, p->ew, p->input, p->dtype, n, still, p->result, p->accumulate,
                                    p->x[TAPE__RUN_ADJOINT], p->x, p->x[TAPE__RUN_OUTPUT], p->params);
}

/* Rows that are short, composed, or have an operand that is still in each. */
static __attribute__((noinline)) void run_rest(const tape *t, const tape__few *few, unsigned still, tape__planned *p)
{
    const tape__ewise_row row = tape__ewise_row_of(t->kernels, p->params, p->ew, p->input, p->dtype);
    tape__ewise_value_fn *const add = p->accumulate ? t->kernels->ewise->value[TAPE__EW_add][p->dtype] : NULL;
    tape__few_run(few, &(tape__ewise_run){row, add, item_of(p->dtype), still}, p->result, p->x);
}

bool tape__plan_run(struct tape *t, const tape__plan *plan, tape__planned *p)
{
    const struct tape__ewise_kernels *own = t->kernels->ewise;
    const tape__few *few = &plan->few;
    const int item = item_of(p->dtype);
    if (!plan->suits[p->dtype])
        return false;
    if (TAPE__UNLIKELY(few->n >= TAPE__EWISE_SERIAL)) {
        run_flat(t, plan, p);
        return true;
    }
    const unsigned still = tape__plan_lay_out(few, t->stills, item, p->x);
    const bool plain = !still && few->n * item >= TAPE__UNIT_BYTES;
    tape__ewise_value_fn *const value = plain && p->input < 0 ? own->value[p->ew][p->dtype] : NULL;
    tape__ewise_derivative_fn *const derivative =
        plain && p->input >= 0 ? tape__ewise_derivative_kernel(own, p->ew, p->input, p->dtype) : NULL;
    if (value)
        tape__few_values(few, value, p->params, item, p->result, p->x);
    else if (derivative && !p->accumulate)
        tape__few_derivatives(few, derivative, p->params, item, p->result, p->x);
    else if (derivative && few->n * item <= TAPE__EWISE_SHORT)
        tape__few_sums(few, derivative, own->value[TAPE__EW_add][p->dtype], p->params, item, p->result, p->x);
    else
        run_rest(t, few, still, p);
    return true;
}
