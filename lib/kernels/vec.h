/* Knows vectors: for the instruction set that the including file is compiled for, one type per dtype with its
   arithmetic, comparisons and mathematical functions. It does not know what is computed with them. The only file that
   includes sleef.h.

   For T = f32, f64 there are vec_T, its lanes' type elem_T, masks mask_T (all bits of a lane set, or none), and the
   functions load_T, store_T, splat_T, sel_T, any_T, all_T, sqrt_T, fma_T, floor_T, ..., exp_T, .... lesser_T(a, b) and
   greater_T(a, b) are a or b, and b where one of them is no number. Vectors are GNU vectors: + - * / & | ~ and
   comparisons are C's own operators, lane by lane. LANES_T lanes make a vector.

   The mathematical functions have the same bits for every instruction set with fused multiply-add, and the same for
   those without. Their errors are under 1.1 ulp (pow of f32 0.51, erfc 1.5, sigmoid 2.5, ndtr 4 left of 0);
   special values are those of C's Annex F. Floating-point flags mean nothing. */
#ifndef TAPE__VEC_H
#define TAPE__VEC_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "isa.h"
/* The portable vectors have no counterpart in SLEEF. */
#if TAPE__SLEEF && !defined(TAPE__ISA_GENERIC)
#define TAPE__VEC_SLEEF 1
#include <sleef.h>
#elif defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

/* FOR(f) is f_f32 or f_f64, whichever dtype T is. */
#define TAPE__FOR_(name, dtype) name##_##dtype
#define TAPE__FOR(name, dtype) TAPE__FOR_(name, dtype)
#define FOR(name) TAPE__FOR(name, T)

typedef float elem_f32;
typedef double elem_f64;

#if defined(TAPE__ISA_AVX512)
#include "vec_avx512.h"
#elif defined(TAPE__ISA_AVX2)
#include "vec_avx2.h"
#elif defined(TAPE__ISA_SSE2)
#include "vec_sse2.h"
#elif defined(TAPE__ISA_NEON)
#include "vec_neon.h"
#else
#include "vec_generic.h"
#endif

enum { LANES_f32 = (int)(sizeof(vec_f32) / sizeof(float)), LANES_f64 = (int)(sizeof(vec_f64) / sizeof(double)) };

/* The bits of a vector, as unsigned numbers. */
typedef uint32_t bits_f32 __attribute__((vector_size(sizeof(vec_f32))));
typedef uint64_t bits_f64 __attribute__((vector_size(sizeof(vec_f64))));

static inline vec_f32 load_f32(const void *from)
{
    vec_f32 a;
    memcpy(&a, from, sizeof a);
    return a;
}

static inline vec_f64 load_f64(const void *from)
{
    vec_f64 a;
    memcpy(&a, from, sizeof a);
    return a;
}

static inline void store_f32(void *to, vec_f32 a)
{
    memcpy(to, &a, sizeof a);
}

static inline void store_f64(void *to, vec_f64 a)
{
    memcpy(to, &a, sizeof a);
}

/* X(name, accuracy): the functions of one argument that the mathematics library brings, and those of two. */
#define TAPE__MATH1(X)                                                                                                 \
    X(exp2, u10)                                                                                                       \
    X(expm1, u10)                                                                                                      \
    X(log2, u10)                                                                                                       \
    X(log10, u10)                                                                                                      \
    X(sin, u10)                                                                                                        \
    X(cos, u10)                                                                                                        \
    X(tan, u10)                                                                                                        \
    X(sinh, u10)                                                                                                       \
    X(cosh, u10)                                                                                                       \
    X(asin, u10)                                                                                                       \
    X(acos, u10)                                                                                                       \
    X(atan, u10)                                                                                                       \
    X(asinh, u10)                                                                                                      \
    X(acosh, u10)                                                                                                      \
    X(atanh, u10)                                                                                                      \
    X(erf, u10)                                                                                                        \
    X(erfc, u15)                                                                                                       \
    X(cbrt, u10)
#define TAPE__MATH2(X)                                                                                                 \
    X(pow, u10)                                                                                                        \
    X(atan2, u10)                                                                                                      \
    X(hypot, u05)                                                                                                      \
    X(fmod, )

/* math_NAME_T is the library's function as it is; vec_math.h repairs some of them. */
#ifdef TAPE__VEC_SLEEF
/* Declared once more as depending on nothing but their arguments, so that a formula's two exp(x) become one call. */
#define TAPE__ROW1(name, accuracy)                                                                                     \
    __typeof__(TAPE__SLEEF_F32(name, accuracy)) TAPE__SLEEF_F32(name, accuracy) __attribute__((const));                \
    __typeof__(TAPE__SLEEF_F64(name, accuracy)) TAPE__SLEEF_F64(name, accuracy) __attribute__((const));                \
    static inline vec_f32 math_##name##_f32(vec_f32 a)                                                                 \
    {                                                                                                                  \
        return TAPE__SLEEF_F32(name, accuracy)(a);                                                                     \
    }                                                                                                                  \
    static inline vec_f64 math_##name##_f64(vec_f64 a)                                                                 \
    {                                                                                                                  \
        return TAPE__SLEEF_F64(name, accuracy)(a);                                                                     \
    }
#define TAPE__ROW2(name, accuracy)                                                                                     \
    static inline vec_f32 math_##name##_f32(vec_f32 a, vec_f32 b)                                                      \
    {                                                                                                                  \
        return TAPE__SLEEF_F32(name, accuracy)(a, b);                                                                  \
    }                                                                                                                  \
    static inline vec_f64 math_##name##_f64(vec_f64 a, vec_f64 b)                                                      \
    {                                                                                                                  \
        return TAPE__SLEEF_F64(name, accuracy)(a, b);                                                                  \
    }
#else
#define TAPE__ROW1(name, accuracy)                                                                                     \
    static inline vec_f32 math_##name##_f32(vec_f32 a)                                                                 \
    {                                                                                                                  \
        for (int i = 0; i < LANES_f32; i++)                                                                            \
            a[i] = name##f(a[i]);                                                                                      \
        return a;                                                                                                      \
    }                                                                                                                  \
    static inline vec_f64 math_##name##_f64(vec_f64 a)                                                                 \
    {                                                                                                                  \
        for (int i = 0; i < LANES_f64; i++)                                                                            \
            a[i] = name(a[i]);                                                                                         \
        return a;                                                                                                      \
    }
#define TAPE__ROW2(name, accuracy)                                                                                     \
    static inline vec_f32 math_##name##_f32(vec_f32 a, vec_f32 b)                                                      \
    {                                                                                                                  \
        for (int i = 0; i < LANES_f32; i++)                                                                            \
            a[i] = name##f(a[i], b[i]);                                                                                \
        return a;                                                                                                      \
    }                                                                                                                  \
    static inline vec_f64 math_##name##_f64(vec_f64 a, vec_f64 b)                                                      \
    {                                                                                                                  \
        for (int i = 0; i < LANES_f64; i++)                                                                            \
            a[i] = name(a[i], b[i]);                                                                                   \
        return a;                                                                                                      \
    }
#endif
TAPE__MATH1(TAPE__ROW1)
TAPE__MATH2(TAPE__ROW2)
#undef TAPE__ROW1
#undef TAPE__ROW2

#define T f32
#include "vec_math.h"
#undef T
#define T f64
#include "vec_math.h"
#undef T

#include "vec_ndtr.h"
#include "vec_pow.h"

#endif
