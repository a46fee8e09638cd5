/* Knows how a formula of elementwise.def becomes a program (ewise_code.h): its terms in postfix order, operands from
   left to right, and its numbers in that order. It does not run them.

   EW1(tanh, TANH(x0), SUB(ONE, MUL(y, y))) has the programs
     X+0, OP+tanh, END
     ONE, Y, Y, OP+mul, OP+sub, END */
#include "ewise_code.h"

#include <math.h>
#include <stddef.h>

#include "../kernels.h"

_Static_assert(TAPE__CODE_OP + TAPE__EW_COUNT <= 256, "a row is named by one byte");

/* EMIT(byte) and NUM(c) are given below: once for the bytes of a program, once for its numbers. Each brings its own
   comma. */
#define OP(row) EMIT(TAPE__CODE_OP + TAPE__EW_##row)
#define x0 EMIT(TAPE__CODE_X)
#define x1 EMIT(TAPE__CODE_X + 1)
#define x2 EMIT(TAPE__CODE_X + 2)
#define y EMIT(TAPE__CODE_Y)
#define P(i) EMIT(TAPE__CODE_P + (i))
#define ZERO EMIT(TAPE__CODE_ZERO)
#define ONE EMIT(TAPE__CODE_ONE)
#define NOGRAD ZERO
#define LET(name, term, body)                                                                                          \
    term EMIT(TAPE__CODE_STORE)                                                                                        \
    name body
/* The names that LET gives in elementwise.def. */
#define e EMIT(TAPE__CODE_LOCAL + 0)
#define density EMIT(TAPE__CODE_LOCAL + 11)
#define m EMIT(TAPE__CODE_LOCAL + 1)
#define n EMIT(TAPE__CODE_LOCAL + 2)
#define p EMIT(TAPE__CODE_LOCAL + 3)
#define q EMIT(TAPE__CODE_LOCAL + 4)
#define r EMIT(TAPE__CODE_LOCAL + 5)
#define s EMIT(TAPE__CODE_LOCAL + 6)
#define series EMIT(TAPE__CODE_LOCAL + 7)
#define t EMIT(TAPE__CODE_LOCAL + 8)
#define v EMIT(TAPE__CODE_LOCAL + 9)
#define w EMIT(TAPE__CODE_LOCAL + 10)
#define ADD(a, b) a b OP(add)
#define SUB(a, b) a b OP(sub)
#define MUL(a, b) a b OP(mul)
#define DIV(a, b) a b OP(div)
#define POW(a, b) a b OP(pow)
#define ATAN2(a, b) a b OP(atan2)
#define HYPOT(a, b) a b OP(hypot)
#define FMOD(a, b) a b OP(fmod)
#define COPYSIGN(a, b) a b OP(copysign)
#define ERFINV(a) a OP(erfinv)
#define LGAMMA(a) a OP(lgamma)
#define DIGAMMA(a) a OP(digamma)
#define IGAMMA(a, b) a b OP(igamma)
#define IGAMMAC(a, b) a b OP(igammac)
#define GAMMA_DENSITY(a, b) a b OP(gamma_density)
/* Those that have an order. */
#define WHOLE(k) WITH_NUMBER(TAPE__CODE_WHOLE, k)
#define ORDER(k) WITH_NUMBER(TAPE__CODE_ORDER, k)
#define POLYGAMMA(order, a) a order OP(polygamma)
#define BESSEL_I(order, a) a order OP(bessel_i)
#define IGAMMA_RATIO(order, a, b) a b order OP(igamma_ratio)
#define GAMMA_DENSITY_RATIO(order, a, b) a b order OP(gamma_density_ratio)
#define FMA(a, b, c) a b c OP(fma)
#define NEG(a) a OP(neg)
#define ABS(a) a OP(abs)
#define SIGN(a) a OP(sign)
#define RECIP(a) a OP(recip)
#define SQRT(a) a OP(sqrt)
#define RSQRT(a) a OP(rsqrt)
#define CBRT(a) a OP(cbrt)
#define FLOOR(a) a OP(floor)
#define CEIL(a) a OP(ceil)
#define ROUND(a) a OP(round)
#define TRUNC(a) a OP(trunc)
#define EXP(a) a OP(exp)
#define EXP2(a) a OP(exp2)
#define EXPM1(a) a OP(expm1)
#define LOG(a) a OP(log)
#define LOG2(a) a OP(log2)
#define LOG10(a) a OP(log10)
#define LOG1P(a) a OP(log1p)
#define SIGMOID(a) a OP(sigmoid)
#define SIN(a) a OP(sin)
#define COS(a) a OP(cos)
#define TAN(a) a OP(tan)
#define ASIN(a) a OP(asin)
#define ACOS(a) a OP(acos)
#define ATAN(a) a OP(atan)
#define SINH(a) a OP(sinh)
#define COSH(a) a OP(cosh)
#define TANH(a) a OP(tanh)
#define ASINH(a) a OP(asinh)
#define ACOSH(a) a OP(acosh)
#define ATANH(a) a OP(atanh)
#define ERF(a) a OP(erf)
#define ERFC(a) a OP(erfc)
#define NDTR(a) a OP(ndtr)
#define GELU(a) a OP(gelu)
#define GELU_SLOPE(a) a OP(gelu_slope)
#define EQ(a, b) a b EMIT(TAPE__CODE_EQ)
#define NE(a, b) a b EMIT(TAPE__CODE_NE)
#define LT(a, b) a b EMIT(TAPE__CODE_LT)
#define LE(a, b) a b EMIT(TAPE__CODE_LE)
#define GT(a, b) a b EMIT(TAPE__CODE_GT)
#define GE(a, b) a b EMIT(TAPE__CODE_GE)
#define AND(a, b) a b EMIT(TAPE__CODE_AND)
#define OR(a, b) a b EMIT(TAPE__CODE_OR)
#define ISNAN(a) a EMIT(TAPE__CODE_ISNAN)
#define NOT(a) a EMIT(TAPE__CODE_NOT)
#define SEL(mask, a, b) mask a b EMIT(TAPE__CODE_SEL)
#define RARE SEL

/* ---- the bytes --------------------------------------------------------------------------------------------------- */

#define EMIT(byte) byte,
#define NUM(c) TAPE__CODE_NUMBER,
#define WITH_NUMBER(byte, c) byte,
#define BYTES(...) ((uint8_t[]){__VA_ARGS__ TAPE__CODE_END})

/* Every formula. */
#define EW1(name, value, d0) FORMULA(value_##name, value) FORMULA(d0_##name, d0)
#define EW2(name, value, d0, d1) FORMULA(value_##name, value) FORMULA(d0_##name, d0) FORMULA(d1_##name, d1)
#define EW3(name, value, d0, d1, d2)                                                                                   \
    FORMULA(value_##name, value) FORMULA(d0_##name, d0) FORMULA(d1_##name, d1) FORMULA(d2_##name, d2)
#define EWM1(name, mask)
#define EWM2(name, mask)

/* struct code has one array for each: value_tanh, d0_tanh. */
struct code {
#define FORMULA(field, ...) uint8_t field[sizeof BYTES(__VA_ARGS__)];
#include "../elementwise.def"
#undef FORMULA
};

static const struct code code = {
#define FORMULA(field, ...) .field = {__VA_ARGS__ TAPE__CODE_END},
#include "../elementwise.def"
#undef FORMULA
};

#define FORMULA(field, ...)                                                                                            \
    _Static_assert(sizeof BYTES(__VA_ARGS__) <= TAPE__CODE_MOST, "TAPE__CODE_MOST is too small for " #field);
#include "../elementwise.def"
#undef FORMULA
#undef EMIT
#undef NUM
#undef WITH_NUMBER

/* ---- the numbers ------------------------------------------------------------------------------------------------- */

#define EMIT(byte)
#define NUM(c) c,
#define WITH_NUMBER(byte, c) c,

/* Where each formula's first one is: NUMBER_d0_tanh. Most have none. */
enum {
#define FORMULA(field, ...)                                                                                            \
    NUMBER_##field, END_##field = NUMBER_##field + (int)(sizeof((double[]){0, __VA_ARGS__}) / sizeof(double)) - 2,
#include "../elementwise.def"
#undef FORMULA
};

static const double numbers[] = {
#define FORMULA(field, ...) __VA_ARGS__
#include "../elementwise.def"
#undef FORMULA
};
#undef EW1
#undef EW2
#undef EW3

/* ---- where they are ---------------------------------------------------------------------------------------------- */

tape__ewise_code tape__ewise_code_of(int ew, int i)
{
    static const struct place {
        uint16_t code, number;
    } places[TAPE__EW_COUNT][1 + TAPE__EWISE_INPUTS] = {
#define AT(field)                                                                                                      \
    {                                                                                                                  \
        offsetof(struct code, field), NUMBER_##field                                                                   \
    }
#define EW1(name, value, d0) [TAPE__EW_##name] = {AT(value_##name), AT(d0_##name)},
#define EW2(name, value, d0, d1) [TAPE__EW_##name] = {AT(value_##name), AT(d0_##name), AT(d1_##name)},
#define EW3(name, value, d0, d1, d2)                                                                                   \
    [TAPE__EW_##name] = {AT(value_##name), AT(d0_##name), AT(d1_##name), AT(d2_##name)},
#include "../elementwise.def"
    };
    const struct place *place = &places[ew][i + 1];
    return (tape__ewise_code){(const uint8_t *)&code + place->code, numbers + place->number};
}
