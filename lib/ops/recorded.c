/*
 * The derivatives of elementwise ops as recorded ops, for create_graph: the programs of kernels/any/ewise_code.h run
 * over tensors. Knows only how an instruction becomes an op.
 */
#include "kernels/any/ewise_code.h"
#include "ops.h"

/* A tensor, or a number until an op needs it as a tensor of the row's dtype. */
typedef struct term {
    tape_tensor tensor;
    double number;
    bool is_number;
} term;

typedef struct machine {
    const tape_tensor *x;
    tape_tensor y;
    const double *params, *numbers;
    double order; /* of the next term that has one */
    int depth;
    term stack[TAPE__CODE_DEPTH], local[TAPE__CODE_LOCALS];
} machine;

typedef union function {
    tape_tensor (*of1)(tape_tensor);
    tape_tensor (*of2)(tape_tensor, tape_tensor);
    tape_tensor (*of3)(tape_tensor, tape_tensor, tape_tensor);
    tape_tensor (*of1_and_order)(tape_tensor, double);
    tape_tensor (*of2_and_order)(tape_tensor, tape_tensor, double);
} function;

/* The op of each row that is a term. */
static const function terms[TAPE__EW_COUNT] = {
#define TERM(arity, name) [TAPE__EW_##name] = {.of##arity = tape_##name},
    TERM(1, neg) TERM(1, abs) TERM(1, sign) TERM(1, recip) TERM(1, sqrt) TERM(1, rsqrt) TERM(1, cbrt) TERM(1, floor)
        TERM(1, ceil) TERM(1, round) TERM(1, trunc) TERM(1, exp) TERM(1, exp2) TERM(1, expm1) TERM(1, log) TERM(1, log2)
            TERM(1, log10) TERM(1, log1p) TERM(1, sigmoid) TERM(1, sin) TERM(1, cos) TERM(1, tan) TERM(1, asin)
                TERM(1, acos) TERM(1, atan) TERM(1, sinh) TERM(1, cosh) TERM(1, tanh) TERM(1, asinh) TERM(1, acosh)
                    TERM(1, atanh) TERM(1, erf) TERM(1, erfc) TERM(1, ndtr) TERM(2, add) TERM(2, sub) TERM(2, mul)
                        TERM(2, div) TERM(2, pow) TERM(2, atan2) TERM(2, hypot) TERM(2, fmod) TERM(2, copysign)
                            TERM(3, fma) TERM(1, erfinv) TERM(1, lgamma) TERM(1, digamma) TERM(2, igamma)
                                TERM(2, igammac)[TAPE__EW_gamma_density] = {.of2 = tape__gamma_density},
#undef TERM
    [TAPE__EW_gelu_slope] = {.of1 = tape__gelu_slope},
    [TAPE__EW_polygamma] = {.of1_and_order = tape_polygamma},
    [TAPE__EW_bessel_i] = {.of1_and_order = tape_bessel_i},
    [TAPE__EW_igamma_ratio] = {.of2_and_order = tape__igamma_ratio},
    [TAPE__EW_gamma_density_ratio] = {.of2_and_order = tape__gamma_density_ratio},
};

static bool has_order(int ew)
{
    return ew == TAPE__EW_polygamma || ew == TAPE__EW_bessel_i || ew == TAPE__EW_igamma_ratio ||
           ew == TAPE__EW_gamma_density_ratio;
}

static const function masks[] = {
#define MASK(arity, code, name) [TAPE__CODE_##code - TAPE__CODE_EQ] = {.of##arity = tape_##name},
    MASK(2, EQ, eq) MASK(2, NE, ne) MASK(2, LT, lt) MASK(2, LE, le) MASK(2, GT, gt) MASK(2, GE, ge)
        MASK(1, ISNAN, isnan) MASK(2, AND, logical_and) MASK(2, OR, logical_or) MASK(1, NOT, logical_not)
            MASK(3, SEL, where)
#undef MASK
};

static void push_tensor(machine *m, tape_tensor x)
{
    m->stack[m->depth++] = (term){x, 0, false};
}

static void push_number(machine *m, double number)
{
    m->stack[m->depth++] = (term){TAPE_NULL, number, true};
}

static tape_tensor as_tensor(const machine *m, const term *a)
{
    return a->is_number ? tape_scalar(tape_dtype_of(m->y), a->number) : a->tensor;
}

/* An op takes its inputs from the stack. */
static void apply(machine *m, function f, int inputs)
{
    tape_tensor x[3] = {TAPE_NULL, TAPE_NULL, TAPE_NULL};
    m->depth -= inputs;
    for (int i = 0; i < inputs; i++)
        x[i] = as_tensor(m, &m->stack[m->depth + i]);
    push_tensor(m, inputs == 1 ? f.of1(x[0]) : inputs == 2 ? f.of2(x[0], x[1]) : f.of3(x[0], x[1], x[2]));
}

static void apply_row(machine *m, int ew)
{
    const int inputs = tape__ewise_inputs(ew);
    const function f = terms[ew];
    if (!has_order(ew)) {
        apply(m, f, inputs);
        return;
    }
    m->depth -= inputs;
    tape_tensor a = as_tensor(m, &m->stack[m->depth]);
    push_tensor(m, inputs == 1 ? f.of1_and_order(a, m->order)
                               : f.of2_and_order(a, as_tensor(m, &m->stack[m->depth + 1]), m->order));
}

static void apply_mask(machine *m, int instruction)
{
    const bool one = instruction == TAPE__CODE_ISNAN || instruction == TAPE__CODE_NOT;
    const term *a = &m->stack[m->depth > 1 ? m->depth - 2 : 0];
    /* where's condition is a mask already, and differs from 0 where it holds */
    if (instruction == TAPE__CODE_NE && !a->is_number && tape_dtype_of(a->tensor) == TAPE_U8)
        m->depth--;
    else
        apply(m, masks[instruction - TAPE__CODE_EQ], instruction == TAPE__CODE_SEL ? 3 : one ? 1 : 2);
}

static void push_operand(machine *m, int instruction)
{
    if (instruction >= TAPE__CODE_LOCAL)
        m->stack[m->depth++] = m->local[instruction - TAPE__CODE_LOCAL];
    else if (instruction == TAPE__CODE_NUMBER)
        push_number(m, *m->numbers++);
    else if (instruction >= TAPE__CODE_ZERO)
        push_number(m, instruction - TAPE__CODE_ZERO);
    else if (instruction >= TAPE__CODE_P)
        push_number(m, m->params[instruction - TAPE__CODE_P]);
    else
        push_tensor(m, instruction == TAPE__CODE_Y ? m->y : m->x[instruction - TAPE__CODE_X]);
}

tape_tensor tape__ewise_local_derivative(int ewise, int i, const tape_tensor *x, tape_tensor y, const double *params)
{
    unsigned uses = tape__ewise_uses(ewise, i);
    if (uses & TAPE__USES_ONE)
        return TAPE_NONE;
    const tape__ewise_code program = tape__ewise_code_of(ewise, i);
    machine m;
    m.x = x;
    m.y = y;
    m.params = params;
    m.numbers = program.numbers;
    m.depth = 0;
    m.order = 0;
    for (const uint8_t *at = program.code; *at != TAPE__CODE_END; at++) {
        if (*at >= TAPE__CODE_OP)
            apply_row(&m, *at - TAPE__CODE_OP);
        else if (*at >= TAPE__CODE_EQ)
            apply_mask(&m, *at);
        else if (*at == TAPE__CODE_STORE)
            m.local[*++at - TAPE__CODE_LOCAL] = m.stack[--m.depth];
        else if (*at == TAPE__CODE_WHOLE || *at == TAPE__CODE_ORDER)
            m.order = *m.numbers++ + (*at == TAPE__CODE_ORDER ? params[0] : 0);
        else
            push_operand(&m, *at);
    }
    return as_tensor(&m, m.stack);
}

void tape__ewise_vjp(tape__vjp *v)
{
    for (int i = 0; i < v->n_in; i++) {
        if (!v->needs[i])
            continue;
        tape_tensor d = tape__ewise_local_derivative(v->op->ewise, i, v->x, v->y[0], v->attr);
        tape_tensor g = tape_is_none(d) ? v->gy[0] : tape__strong_mul(d, v->gy[0]);
        v->gx[i] = tape__sum_to(g, tape_shape_of(v->x[i]));
    }
}
