/* Knows how a row of formulas becomes kernels for one instruction set; it does not know the formulas, nor shapes. */
#include "any/special.h"
#include "kernels.h"
#include "tape/types.h"
#include "vec.h"

/* The functions of special.h, lane by lane. */
#define LANEWISE(T)                                                                                                    \
    __attribute__((noinline)) static vec_##T lanewise_##T(double (*f)(double), vec_##T a)                              \
    {                                                                                                                  \
        for (int k = 0; k < LANES_##T; k++)                                                                            \
            a[k] = (elem_##T)f((double)a[k]);                                                                          \
        return a;                                                                                                      \
    }                                                                                                                  \
    __attribute__((noinline)) static vec_##T of_order_##T(double (*f)(double, double), double n, vec_##T a)            \
    {                                                                                                                  \
        for (int k = 0; k < LANES_##T; k++)                                                                            \
            a[k] = (elem_##T)f(n, (double)a[k]);                                                                       \
        return a;                                                                                                      \
    }                                                                                                                  \
    __attribute__((noinline)) static vec_##T lanewise2_##T(double (*f)(double, double), vec_##T a, vec_##T b)          \
    {                                                                                                                  \
        for (int k = 0; k < LANES_##T; k++)                                                                            \
            a[k] = (elem_##T)f((double)a[k], (double)b[k]);                                                            \
        return a;                                                                                                      \
    }                                                                                                                  \
    __attribute__((noinline)) static vec_##T of_order2_##T(double (*f)(double, double, double), double n, vec_##T a,   \
                                                           vec_##T b)                                                  \
    {                                                                                                                  \
        for (int k = 0; k < LANES_##T; k++)                                                                            \
            a[k] = (elem_##T)f(n, (double)a[k], (double)b[k]);                                                         \
        return a;                                                                                                      \
    }
LANEWISE(f32)
LANEWISE(f64)
#undef LANEWISE

/* The loop of all rows whose value is mostly a call: one vector of the result at a time. */
#define EACH_VECTOR(T)                                                                                                 \
    typedef vec_##T value_##T(const void *const *inputs, size_t i, const double *params);                              \
    __attribute__((noinline)) static void each_##T(value_##T *value, size_t count, void *result,                       \
                                                   const void *const *inputs, const double *params)                    \
    {                                                                                                                  \
        for (size_t i = 0; i < count; i += LANES_##T)                                                                  \
            store_##T((elem_##T *)result + i, value(inputs, i, params));                                               \
    }
EACH_VECTOR(f32)
EACH_VECTOR(f64)
#undef EACH_VECTOR

/* The loop of all masks. */
#define EACH_MASK(T)                                                                                                   \
    typedef mask_##T lanes_##T(const void *const *inputs, size_t i);                                                   \
    static void each_mask_##T(lanes_##T *lanes, size_t count, unsigned char *result, const void *const *inputs)        \
    {                                                                                                                  \
        for (size_t i = 0; i < count; i += LANES_##T) {                                                                \
            const mask_##T mask = lanes(inputs, i);                                                                    \
            for (int k = 0; k < LANES_##T; k++)                                                                        \
                result[i + (size_t)k] = mask[k] & 1;                                                                   \
        }                                                                                                              \
    }
EACH_MASK(f32)
EACH_MASK(f64)
#undef EACH_MASK

/* The terms of elementwise.def as vectors. */
#define V(name) FOR(name)
#define ZERO V(splat)(0)
#define ONE V(splat)(1)
#define NUM(c) V(splat)((V(elem))(c))
#define P(i) V(splat)((V(elem))params[i])
#define LET(name, term, body)                                                                                          \
    __extension__({                                                                                                    \
        const V(vec) name = term;                                                                                      \
        body;                                                                                                          \
    })
#define ADD(a, b) ((a) + (b))
#define SUB(a, b) ((a) - (b))
#define MUL(a, b) ((a) * (b))
#define DIV(a, b) ((a) / (b))
#define NEG(a) (-(a))
#define ABS(a) V(abs)(a)
#define SIGN(a) V(sign)(a)
#define COPYSIGN(a, b) V(copysign)(a, b)
#define RECIP(a) V(recip)(a)
#define SQRT(a) V(sqrt)(a)
#define RSQRT(a) V(rsqrt)(a)
#define CBRT(a) V(cbrt)(a)
#define HYPOT(a, b) V(hypot)(a, b)
#define FMA(a, b, c) V(fma)(a, b, c)
#define FLOOR(a) V(floor)(a)
#define CEIL(a) V(ceil)(a)
#define ROUND(a) V(rint)(a)
#define TRUNC(a) V(trunc)(a)
#define FMOD(a, b) V(fmod)(a, b)
#define EXP(a) V(exp)(a)
#define EXP2(a) V(exp2)(a)
#define EXPM1(a) V(expm1)(a)
#define LOG(a) V(log)(a)
#define LOG2(a) V(log2)(a)
#define LOG10(a) V(log10)(a)
#define LOG1P(a) V(log1p)(a)
#define POW(a, b) V(pow)(a, b)
#define SIGMOID(a) V(sigmoid)(a)
#define SIN(a) V(sin)(a)
#define COS(a) V(cos)(a)
#define TAN(a) V(tan)(a)
#define ASIN(a) V(asin)(a)
#define ACOS(a) V(acos)(a)
#define ATAN(a) V(atan)(a)
#define ATAN2(a, b) V(atan2)(a, b)
#define SINH(a) V(sinh)(a)
#define COSH(a) V(cosh)(a)
#define TANH(a) V(tanh)(a)
#define ASINH(a) V(asinh)(a)
#define ACOSH(a) V(acosh)(a)
#define ATANH(a) V(atanh)(a)
#define ERF(a) V(erf)(a)
#define ERFC(a) V(erfc)(a)
#define NDTR(a) V(ndtr)(a)
#define GELU(a) V(gelu)(a)
#define GELU_SLOPE(a) V(gelu_slope)(a)
#define ERFINV(a) V(lanewise)(tape__special_erfinv, a)
#define LGAMMA(a) V(lanewise)(tape__special_lgamma, a)
#define DIGAMMA(a) V(lanewise)(tape__special_digamma, a)
#define POLYGAMMA(n, a) V(of_order)(tape__special_polygamma, n, a)
#define BESSEL_I(n, a) V(of_order)(tape__special_bessel_i, n, a)
#define IGAMMA(a, x) V(lanewise2)(tape__special_igamma, a, x)
#define IGAMMAC(a, x) V(lanewise2)(tape__special_igammac, a, x)
#define GAMMA_DENSITY(a, x) V(lanewise2)(tape__special_gamma_density, a, x)
#define IGAMMA_RATIO(n, a, x) V(of_order2)(tape__special_igamma_ratio, n, a, x)
#define GAMMA_DENSITY_RATIO(n, a, x) V(of_order2)(tape__special_gamma_density_ratio, n, a, x)
#define WHOLE(k) (k)
#define ORDER(k) (params[0] + (k))
#define EQ(a, b) ((V(mask))((a) == (b)))
#define NE(a, b) ((V(mask))((a) != (b)))
#define LT(a, b) ((V(mask))((a) < (b)))
#define LE(a, b) ((V(mask))((a) <= (b)))
#define GT(a, b) ((V(mask))((a) > (b)))
#define GE(a, b) ((V(mask))((a) >= (b)))
#define ISNAN(a) V(isnan)(a)
#define AND(m, n) ((m) & (n))
#define OR(m, n) ((m) | (n))
#define NOT(m) (~(m))
#define SEL(m, a, b) V(sel)(m, a, b)
#define RARE(m, a, b)                                                                                                  \
    __extension__({                                                                                                    \
        const V(mask) rare = (m);                                                                                      \
        const V(vec) usual = (b);                                                                                      \
        V(any)(rare) ? SEL(rare, a, usual) : usual;                                                                    \
    })
#define NOGRAD ZERO

/* Operands are loaded where a formula reads them, so that those it does not read may be absent. */
#define OPERAND(array) V(load)((const V(elem) *)(array) + i)
#define x0 OPERAND(inputs[0])
#define x1 OPERAND(inputs[1])
#define x2 OPERAND(inputs[2])
#define y OPERAND(output)

/* Each vector of the arrays; or two at a time, since there are whole units, where counting costs more than the rest. */
#define BY_VECTOR(...)                                                                                                 \
    for (size_t i = 0; i < count; i += V(LANES)) {                                                                     \
        __VA_ARGS__                                                                                                    \
    }
#ifdef TAPE__ISA_AVX2
#define BY_PAIR(...)                                                                                                   \
    for (size_t i = 0; i < count; i += V(LANES)) {                                                                     \
        __VA_ARGS__                                                                                                    \
        i += V(LANES);                                                                                                 \
        __VA_ARGS__                                                                                                    \
    }
#else
#define BY_PAIR BY_VECTOR
#endif

#define VALUE(name, each, value)                                                                                       \
    static void V(name##_value)(size_t count, void *result, const void *const *restrict inputs, const double *params)  \
    {                                                                                                                  \
        (void)params;                                                                                                  \
        each(V(store)((V(elem) *)result + i, value);)                                                                  \
    }
#define MULTIPLY(d)                                                                                                    \
    {                                                                                                                  \
        const V(vec) adjoint = OPERAND(adjoints), product = (d)*adjoint;                                               \
        V(store)((V(elem) *)result + i, SEL(EQ(adjoint, ZERO), ZERO, product));                                        \
    }
#if TAPE__COMPACT /* they are composed */
#define DERIVATIVE(name, k, each, d)
#else
#define DERIVATIVE(name, k, each, d)                                                                                   \
    static void V(name##_d##k)(size_t count, void *result, const void *adjoints, const void *const *restrict inputs,   \
                               const void *output, const double *params)                                               \
    {                                                                                                                  \
        (void)inputs, (void)output, (void)params;                                                                      \
        each(MULTIPLY(d))                                                                                              \
    }
#endif
#define ROW2(name, each, value, d0, d1)                                                                                \
    VALUE(name, each, value) DERIVATIVE(name, 0, each, d0) DERIVATIVE(name, 1, each, d1)
#define EW1(name, value, d0) VALUE(name, BY_VECTOR, value) DERIVATIVE(name, 0, BY_VECTOR, d0)
#define EW2(name, value, d0, d1) ROW2(name, BY_VECTOR, value, d0, d1)
#define EU2(name, value, d0, d1) ROW2(name, BY_PAIR, value, d0, d1)
#define EW3(name, value, d0, d1, d2)                                                                                   \
    ROW2(name, BY_VECTOR, value, d0, d1)                                                                               \
    DERIVATIVE(name, 2, BY_VECTOR, d2)
/* Rare rows: small rather than fast. */
#define EL1(name, value, d0) __attribute__((cold)) VALUE(name, BY_VECTOR, value)
#define EL2(name, value, d0, d1) __attribute__((cold)) VALUE(name, BY_VECTOR, value)
#define CALLED(name, term)                                                                                             \
    __attribute__((cold)) static V(vec) V(name##_called)(const void *const *inputs, size_t i, const double *params)    \
    {                                                                                                                  \
        (void)params;                                                                                                  \
        return term;                                                                                                   \
    }                                                                                                                  \
    __attribute__((cold)) static void V(name##_value)(size_t count, void *result, const void *const *restrict inputs,  \
                                                      const double *params)                                            \
    {                                                                                                                  \
        V(each)(V(name##_called), count, result, inputs, params);                                                      \
    }
#define ET1(name, value, d0) CALLED(name, value)
#define ET2(name, value, d0, d1) CALLED(name, value)
#define ET3(name, value, d0, d1, d2) CALLED(name, value)
/* Rows that are composed have no kernels: any/ewise_compose.c runs them. */
#define EC1(name, value, d0)
#define EC2(name, value, d0, d1)
#define EC3(name, value, d0, d1, d2)
#define EWM1(name, term)                                                                                               \
    static V(mask) V(name##_lanes)(const void *const *inputs, size_t i)                                                \
    {                                                                                                                  \
        return term;                                                                                                   \
    }
#define EWM2 EWM1

#define T f32
#include "elementwise.def"
#undef T
#define T f64
#include "elementwise.def"
#undef T

#undef EW1
#undef EW2
#undef EU2
#undef EW3
#undef EL1
#undef EL2
#undef ET1
#undef ET2
#undef ET3
#undef EWM1
#undef EWM2
#undef x0
#undef x1
#undef x2
#undef y

extern const struct tape__ewise_kernels TAPE__ISA_SYM(tape__ewise);

#define BOTH(function)                                                                                                 \
    {                                                                                                                  \
        function##_f32, function##_f64                                                                                 \
    }

#define EW1(name, value, d0)
#define EW2(name, value, d0, d1)
#define EW3(name, value, d0, d1, d2)
#define ET1 EW1
#define ET2 EW2
#define ET3 EW3
#define EWM2 EWM1
static void mask_of(int ewm, int dtype, size_t n, unsigned char *mask, const void *const *x)
{
    static lanes_f32 *const of_f32[TAPE__EWM_COUNT] = {
#define EWM1(name, mask) name##_lanes_f32,
#include "elementwise.def"
#undef EWM1
    };
    static lanes_f64 *const of_f64[TAPE__EWM_COUNT] = {
#define EWM1(name, mask) name##_lanes_f64,
#include "elementwise.def"
#undef EWM1
    };
    if (dtype == TAPE_F32)
        each_mask_f32(of_f32[ewm], n, mask, x);
    else
        each_mask_f64(of_f64[ewm], n, mask, x);
}
#undef EW1
#undef EW2
#undef EW3
#undef ET1
#undef ET2
#undef ET3
#undef EWM2

const struct tape__ewise_kernels TAPE__ISA_SYM(tape__ewise) = {
    .mask = mask_of,
#define EWM1(name, mask)
#define EWM2(name, mask)
#define EW1(name, value, d0) [TAPE__EW_##name] = BOTH(name##_value),
#define EW2(name, value, d0, d1) [TAPE__EW_##name] = BOTH(name##_value),
#define EW3(name, value, d0, d1, d2) [TAPE__EW_##name] = BOTH(name##_value),
#define ET1 EW1
#define ET2 EW2
#define ET3 EW3
    .value =
        {
#include "elementwise.def"
        },
#undef EW1
#undef EW2
#undef EW3
#undef ET1
#undef ET2
#undef ET3
#define EW1(name, value, d0) [TAPE__EWD_##name##_0] = BOTH(name##_d0),
#define EW2(name, value, d0, d1) EW1(name, value, d0)[TAPE__EWD_##name##_1] = BOTH(name##_d1),
#define EW3(name, value, d0, d1, d2) EW2(name, value, d0, d1)[TAPE__EWD_##name##_2] = BOTH(name##_d2),
#define ET1(name, value, d0)
#define ET2(name, value, d0, d1)
#define ET3(name, value, d0, d1, d2)
#if !TAPE__COMPACT
    .derivative =
        {
#include "elementwise.def"
        },
#endif
};
