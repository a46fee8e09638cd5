/* Knows what each elementwise formula reads: the formulas expanded into sets of operands. It computes no values. */
#include "../kernels.h"

#include <math.h>

/* A term is the set of what it reads. ONE and ZERO are marks that only a whole formula keeps. */
enum { READS = TAPE__USES_ONE - 1 };
#define ZERO ((unsigned)TAPE__USES_ZERO)
#define ONE ((unsigned)TAPE__USES_ONE)
#define NOGRAD ((unsigned)TAPE__USES_NOGRAD)
#define NUM(c) 0u
#define P(i) ((unsigned)TAPE__USES_P0 << (i))
#define x0 ((unsigned)TAPE__USES_X0)
#define x1 ((unsigned)TAPE__USES_X1)
#define x2 ((unsigned)TAPE__USES_X2)
#define y ((unsigned)TAPE__USES_Y)
#define READ1(a) ((a)&READS)
#define READ2(a, b) (((a) | (b)) & READS)
#define READ3(a, b, c) (((a) | (b) | (c)) & READS)
/* A shared term is read where it is named: its name, one of these, adds nothing. */
enum { density = 0, e = 0, m = 0, n = 0, p = 0, q = 0, r = 0, s = 0, series = 0, t = 0, v = 0, w = 0 };
#define LET(name, term, body) ((body) | ((term)&READS) | (unsigned)(name))
#define ADD READ2
#define SUB READ2
#define MUL READ2
#define DIV READ2
#define NEG READ1
#define ABS READ1
#define SIGN READ1
#define COPYSIGN READ2
#define RECIP READ1
#define SQRT READ1
#define RSQRT READ1
#define CBRT READ1
#define HYPOT READ2
#define FMA READ3
#define FLOOR READ1
#define CEIL READ1
#define ROUND READ1
#define TRUNC READ1
#define FMOD READ2
#define EXP READ1
#define EXP2 READ1
#define EXPM1 READ1
#define LOG READ1
#define LOG2 READ1
#define LOG10 READ1
#define LOG1P READ1
#define POW READ2
#define SIGMOID READ1
#define SIN READ1
#define COS READ1
#define TAN READ1
#define ASIN READ1
#define ACOS READ1
#define ATAN READ1
#define ATAN2 READ2
#define SINH READ1
#define COSH READ1
#define TANH READ1
#define ASINH READ1
#define ACOSH READ1
#define ATANH READ1
#define ERF READ1
#define ERFC READ1
#define NDTR READ1
#define GELU READ1
#define GELU_SLOPE READ1
#define ERFINV READ1
#define LGAMMA READ1
#define DIGAMMA READ1
#define POLYGAMMA READ2
#define BESSEL_I READ2
#define IGAMMA READ2
#define IGAMMAC READ2
#define GAMMA_DENSITY READ2
#define IGAMMA_RATIO READ3
#define GAMMA_DENSITY_RATIO READ3
#define WHOLE(k) 0u
#define ORDER(k) P(0)
#define EQ READ2
#define NE READ2
#define LT READ2
#define LE READ2
#define GT READ2
#define GE READ2
#define ISNAN READ1
#define AND READ2
#define OR READ2
#define NOT READ1
#define SEL READ3
#define RARE SEL

#define EWM1(name, mask)
#define EWM2(name, mask)

const uint16_t tape__ewise_reads[TAPE__EW_COUNT][1 + TAPE__EWISE_INPUTS] = {
#define EW1(name, value, d0) {value, d0},
#define EW2(name, value, d0, d1) {value, d0, d1},
#define EW3(name, value, d0, d1, d2) {value, d0, d1, d2},
#include "../elementwise.def"
#undef EW1
#undef EW2
#undef EW3
};

const uint8_t tape__ewise_derivatives[TAPE__EW_COUNT][TAPE__EWISE_INPUTS] = {
#define EW1(name, value, d0) [TAPE__EW_##name] = {TAPE__EWD_##name##_0},
#define EW2(name, value, d0, d1) [TAPE__EW_##name] = {TAPE__EWD_##name##_0, TAPE__EWD_##name##_1},
#define EW3(name, value, d0, d1, d2)                                                                                   \
    [TAPE__EW_##name] = {TAPE__EWD_##name##_0, TAPE__EWD_##name##_1, TAPE__EWD_##name##_2},
#define ET1(name, value, d0)
#define ET2(name, value, d0, d1)
#define ET3(name, value, d0, d1, d2)
#define EC1 ET1
#define EC2 ET2
#define EC3 ET3
#include "../elementwise.def"
#undef EW1
#undef EW2
#undef EW3
#undef ET1
#undef ET2
#undef ET3
#undef EC1
#undef EC2
#undef EC3
};

const unsigned char tape__ewise_input_counts[TAPE__EW_COUNT] = {
#define EW1(name, value, d0) 1,
#define EW2(name, value, d0, d1) 2,
#define EW3(name, value, d0, d1, d2) 3,
#include "../elementwise.def"
#undef EW1
#undef EW2
#undef EW3
};

int tape__ewise_mask_inputs(int ewm)
{
    static const unsigned char inputs[TAPE__EWM_COUNT] = {
#define EW1(name, value, d0)
#define EW2(name, value, d0, d1)
#define EW3(name, value, d0, d1, d2)
#undef EWM1
#undef EWM2
#define EWM1(name, mask) 1,
#define EWM2(name, mask) 2,
#include "../elementwise.def"
#undef EW1
#undef EW2
#undef EW3
#undef EWM1
#undef EWM2
#define EWM1(name, mask)
#define EWM2(name, mask)
    };
    return inputs[ewm];
}
