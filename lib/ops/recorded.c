/*
 * The derivatives of elementwise ops as recorded ops: the formulas of kernels/elementwise.def expanded over tensors,
 * for create_graph. Knows only how a term becomes an op.
 *
 * EW1(tanh, ..., SUB(ONE, MUL(y, y))) becomes
 *   static term tanh_d0(const scope *row) { return sub(number(1), mul(row->y, s->y)); }
 */
#include <math.h>

#include "ops.h"

/* A tensor, or a number until an op needs it as a tensor of the row's dtype. */
typedef struct term {
    tape_tensor tensor;
    double number;
    bool is_number;
} term;

typedef struct scope {
    term x[3], y;
    const double *params;
    tape_dtype dtype;
} scope;

static term of_tensor(tape_tensor x)
{
    return (term){x, 0, false};
}

static term of_number(double number)
{
    return (term){TAPE_NULL, number, true};
}

static tape_tensor as_tensor(const scope *row, term a)
{
    return a.is_number ? tape_scalar(row->dtype, a.number) : a.tensor;
}

/* a != b; the condition of where() is a mask already. */
static tape_tensor differ(const scope *row, term a, term b)
{
    bool is_mask = !a.is_number && tape_dtype_of(a.tensor) == TAPE_U8;
    return is_mask ? a.tensor : tape_ne(as_tensor(row, a), as_tensor(row, b));
}

#define S const scope *row
#define TERM1(f, a) of_tensor(f(as_tensor(row, a)))
#define TERM2(f, a, b) of_tensor(f(as_tensor(row, a), as_tensor(row, b)))
#define TERM3(f, a, b, c) of_tensor(f(as_tensor(row, a), as_tensor(row, b), as_tensor(row, c)))
#define MASK3(f, m, a, b) of_tensor(f((m).tensor, as_tensor(row, a), as_tensor(row, b)))

#define x0 (row->x[0])
#define x1 (row->x[1])
#define x2 (row->x[2])
#define y (row->y)
#define P(i) of_number(row->params[i])
#define NUM(c) of_number(c)
#define ONE of_number(1)
#define ZERO of_number(0)
#define NOGRAD of_number(0)
#define LET(name, value, body)                                                                                         \
    __extension__({                                                                                                    \
        const term name = value;                                                                                       \
        body;                                                                                                          \
    })
#define ADD(a, b) TERM2(tape_add, a, b)
#define SUB(a, b) TERM2(tape_sub, a, b)
#define MUL(a, b) TERM2(tape_mul, a, b)
#define DIV(a, b) TERM2(tape_div, a, b)
#define POW(a, b) TERM2(tape_pow, a, b)
#define ATAN2(a, b) TERM2(tape_atan2, a, b)
#define HYPOT(a, b) TERM2(tape_hypot, a, b)
#define FMOD(a, b) TERM2(tape_fmod, a, b)
#define COPYSIGN(a, b) TERM2(tape_copysign, a, b)
#define FMA(a, b, c) TERM3(tape_fma, a, b, c)
#define NEG(a) TERM1(tape_neg, a)
#define ABS(a) TERM1(tape_abs, a)
#define SIGN(a) TERM1(tape_sign, a)
#define RECIP(a) TERM1(tape_recip, a)
#define SQRT(a) TERM1(tape_sqrt, a)
#define RSQRT(a) TERM1(tape_rsqrt, a)
#define CBRT(a) TERM1(tape_cbrt, a)
#define FLOOR(a) TERM1(tape_floor, a)
#define CEIL(a) TERM1(tape_ceil, a)
#define ROUND(a) TERM1(tape_round, a)
#define TRUNC(a) TERM1(tape_trunc, a)
#define EXP(a) TERM1(tape_exp, a)
#define EXP2(a) TERM1(tape_exp2, a)
#define EXPM1(a) TERM1(tape_expm1, a)
#define LOG(a) TERM1(tape_log, a)
#define LOG2(a) TERM1(tape_log2, a)
#define LOG10(a) TERM1(tape_log10, a)
#define LOG1P(a) TERM1(tape_log1p, a)
#define SIGMOID(a) TERM1(tape_sigmoid, a)
#define SIN(a) TERM1(tape_sin, a)
#define COS(a) TERM1(tape_cos, a)
#define TAN(a) TERM1(tape_tan, a)
#define ASIN(a) TERM1(tape_asin, a)
#define ACOS(a) TERM1(tape_acos, a)
#define ATAN(a) TERM1(tape_atan, a)
#define SINH(a) TERM1(tape_sinh, a)
#define COSH(a) TERM1(tape_cosh, a)
#define TANH(a) TERM1(tape_tanh, a)
#define ASINH(a) TERM1(tape_asinh, a)
#define ACOSH(a) TERM1(tape_acosh, a)
#define ATANH(a) TERM1(tape_atanh, a)
#define ERF(a) TERM1(tape_erf, a)
#define ERFC(a) TERM1(tape_erfc, a)
#define NDTR(a) TERM1(tape_ndtr, a)
#define ERFINV(a) TERM1(tape_erfinv, a)
#define LGAMMA(a) TERM1(tape_lgamma, a)
#define DIGAMMA(a) TERM1(tape_digamma, a)
#define POLYGAMMA(n, a) of_tensor(tape_polygamma(as_tensor(row, a), n))
#define BESSEL_I(n, a) of_tensor(tape_bessel_i(as_tensor(row, a), n))
#define IGAMMA(a, x) TERM2(tape_igamma, a, x)
#define IGAMMAC(a, x) TERM2(tape_igammac, a, x)
#define GAMMA_DENSITY(a, x) TERM2(tape__gamma_density, a, x)
#define IGAMMA_RATIO(n, a, x) of_tensor(tape__igamma_ratio(as_tensor(row, a), as_tensor(row, x), n))
#define GAMMA_DENSITY_RATIO(n, a, x) of_tensor(tape__gamma_density_ratio(as_tensor(row, a), as_tensor(row, x), n))
#define WHOLE(k) (k)
#define ORDER(k) (row->params[0] + (k))
#define EQ(a, b) TERM2(tape_eq, a, b)
#define NE(a, b) of_tensor(differ(row, a, b))
#define LT(a, b) TERM2(tape_lt, a, b)
#define LE(a, b) TERM2(tape_le, a, b)
#define GT(a, b) TERM2(tape_gt, a, b)
#define GE(a, b) TERM2(tape_ge, a, b)
#define ISNAN(a) TERM1(tape_isnan, a)
#define AND(a, b) of_tensor(tape_logical_and((a).tensor, (b).tensor))
#define OR(a, b) of_tensor(tape_logical_or((a).tensor, (b).tensor))
#define NOT(a) of_tensor(tape_logical_not((a).tensor))
#define SEL(m, a, b) MASK3(tape_where, m, a, b)

typedef term derivative_fn(S);

#define DEFINE(function, d)                                                                                            \
    static term function(S)                                                                                            \
    {                                                                                                                  \
        (void)row;                                                                                                     \
        return d;                                                                                                      \
    }
#define EWM1(name, mask)
#define EWM2(name, mask)
#define EW1(name, value, d0) DEFINE(name##_d0, d0)
#define EW2(name, value, d0, d1) DEFINE(name##_d0, d0) DEFINE(name##_d1, d1)
#define EW3(name, value, d0, d1, d2) DEFINE(name##_d0, d0) DEFINE(name##_d1, d1) DEFINE(name##_d2, d2)
#include "kernels/elementwise.def"
#undef EW1
#undef EW2
#undef EW3

static derivative_fn *const derivatives[TAPE__EW_COUNT][3] = {
#define EW1(name, value, d0) [TAPE__EW_##name] = {name##_d0, NULL, NULL},
#define EW2(name, value, d0, d1) [TAPE__EW_##name] = {name##_d0, name##_d1, NULL},
#define EW3(name, value, d0, d1, d2) [TAPE__EW_##name] = {name##_d0, name##_d1, name##_d2},
#include "kernels/elementwise.def"
};
#undef y

tape_tensor tape__ewise_local_derivative(int ewise, int i, const tape_tensor *x, tape_tensor y, const double *params)
{
    unsigned uses = tape__ewise_uses(ewise, i);
    if (uses & TAPE__USES_ONE)
        return TAPE_NONE;
    scope s = {.y = of_tensor(y), .params = params, .dtype = tape_dtype_of(y)};
    for (int k = 0; k < tape__ewise_inputs(ewise); k++)
        s.x[k] = of_tensor(x[k]);
    return as_tensor(&s, derivatives[ewise][i](&s));
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
