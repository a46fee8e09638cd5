/* Knows units: 64 bytes, the vector whose width is the same on every instruction set, made of as many native vectors as
   it takes. What is computed in units has the same bits everywhere. */
#ifndef TAPE__UNIT_H
#define TAPE__UNIT_H

#include "any/first_lanes.h"
#include "any/giving.h"
#include "base.h"
#include "kernels.h"
#include "vec.h"

/* The statement for each native vector k of a unit; k is a constant, so that the compiler keeps units in registers,
   unless it is to make small code. */
#if defined(TAPE__ISA_AVX512)
#define PARTWISE(...) PART(0, __VA_ARGS__)
enum { PARTS = 1 };
#elif defined(TAPE__ISA_AVX2)
#define PARTWISE(...) PART(0, __VA_ARGS__) PART(1, __VA_ARGS__)
enum { PARTS = 2 };
#else
enum { PARTS = 4 };
#ifdef __OPTIMIZE_SIZE__
#define PARTWISE(...)                                                                                                  \
    for (int k = 0; k < PARTS; k++) {                                                                                  \
        __VA_ARGS__                                                                                                    \
    }
#else
#define PARTWISE(...) PART(0, __VA_ARGS__) PART(1, __VA_ARGS__) PART(2, __VA_ARGS__) PART(3, __VA_ARGS__)
#endif
#endif
#define PART(number, ...)                                                                                              \
    {                                                                                                                  \
        enum { k = number };                                                                                           \
        __VA_ARGS__                                                                                                    \
    }

/* Inlined where speed is wanted; else the code would be long. */
#ifdef __OPTIMIZE_SIZE__
#define UNIT_INLINE __attribute__((noinline, unused)) static
#else
#define UNIT_INLINE TAPE__INLINE
#endif

/* Loads of chosen lanes that touch nothing else, where the instruction set has them. */
#if defined(TAPE__ISA_AVX512)
#define MASKED_LOAD
static inline vec_f32 masked_load_f32(const float *x, mask_f32 mask)
{
    return _mm512_maskz_loadu_ps(_mm512_movepi32_mask((__m512i)mask), x);
}

static inline vec_f64 masked_load_f64(const double *x, mask_f64 mask)
{
    return _mm512_maskz_loadu_pd(_mm512_movepi64_mask((__m512i)mask), x);
}
#elif defined(TAPE__ISA_AVX2)
#define MASKED_LOAD
static inline vec_f32 masked_load_f32(const float *x, mask_f32 mask)
{
    return _mm256_maskload_ps(x, (__m256i)mask);
}

static inline vec_f64 masked_load_f64(const double *x, mask_f64 mask)
{
    return _mm256_maskload_pd(x, (__m256i)mask);
}
#endif

#if defined(TAPE__ISA_AVX512)
#define STREAM(y, a) _mm512_stream_si512((void *)(y), (__m512i)(a))
#elif defined(TAPE__ISA_AVX2)
#define STREAM(y, a) _mm256_stream_si256((__m256i *)(void *)(y), (__m256i)(a))
#elif defined(TAPE__ISA_SSE2)
#define STREAM(y, a) _mm_stream_si128((__m128i *)(void *)(y), (__m128i)(a))
#endif

#define T f32
#include "unit_of.h"
#undef T
#define T f64
#include "unit_of.h"
#undef T

#endif
