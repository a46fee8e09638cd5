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

/* The op of each row that is a term. */
static const uint16_t terms[TAPE__EW_COUNT] = {
#define TERM(name) [TAPE__EW_##name] = TAPE__OP_##name,
    TERM(neg) TERM(abs) TERM(sign) TERM(recip) TERM(sqrt) TERM(rsqrt) TERM(cbrt) TERM(floor) TERM(ceil) TERM(round)
        TERM(trunc) TERM(exp) TERM(exp2) TERM(expm1) TERM(log) TERM(log2) TERM(log10) TERM(log1p) TERM(sigmoid)
            TERM(sin) TERM(cos) TERM(tan) TERM(asin) TERM(acos) TERM(atan) TERM(sinh) TERM(cosh) TERM(tanh) TERM(asinh)
                TERM(acosh) TERM(atanh) TERM(erf) TERM(erfc) TERM(ndtr) TERM(add) TERM(sub) TERM(mul) TERM(div)
                    TERM(pow) TERM(atan2) TERM(hypot) TERM(fmod) TERM(copysign) TERM(fma) TERM(erfinv) TERM(lgamma)
                        TERM(digamma) TERM(igamma) TERM(igammac) TERM(gamma_density) TERM(gelu_slope) TERM(polygamma)
                            TERM(bessel_i) TERM(igamma_ratio) TERM(gamma_density_ratio)
#undef TERM
};

static bool has_order(int ew)
{
    return ew == TAPE__EW_polygamma || ew == TAPE__EW_bessel_i || ew == TAPE__EW_igamma_ratio ||
           ew == TAPE__EW_gamma_density_ratio;
}

static const uint16_t masks[] = {
#define MASK(code, name) [TAPE__CODE_##code - TAPE__CODE_EQ] = TAPE__OP_##name,
    MASK(EQ, eq) MASK(NE, ne) MASK(LT, lt) MASK(LE, le) MASK(GT, gt) MASK(GE, ge) MASK(ISNAN, isnan)
        MASK(AND, logical_and) MASK(OR, logical_or) MASK(NOT, logical_not) MASK(SEL, where)
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
static void apply(machine *m, int op, int inputs, bool order)
{
    tape_tensor x[3];
    m->depth -= inputs;
    for (int i = 0; i < inputs; i++)
        x[i] = as_tensor(m, &m->stack[m->depth + i]);
    push_tensor(m, tape__run_elementwise(op, x, inputs, &m->order, order));
}

static void apply_mask(machine *m, int instruction)
{
    const bool one = instruction == TAPE__CODE_ISNAN || instruction == TAPE__CODE_NOT;
    const term *a = &m->stack[m->depth > 1 ? m->depth - 2 : 0];
    /* where's condition is a mask already, and differs from 0 where it holds */
    if (instruction == TAPE__CODE_NE && !a->is_number && tape_dtype_of(a->tensor) == TAPE_U8)
        m->depth--;
    else
        apply(m, masks[instruction - TAPE__CODE_EQ], instruction == TAPE__CODE_SEL ? 3 : one ? 1 : 2, false);
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
            apply(&m, terms[*at - TAPE__CODE_OP], tape__ewise_inputs(*at - TAPE__CODE_OP),
                  has_order(*at - TAPE__CODE_OP));
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
