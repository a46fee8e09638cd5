/* The few vector operations that the matrix product needs, for the instruction set being compiled. Included by gemm.c
   alone. Partial loads and stores touch `count` elements, 1 <= count < lanes, and nothing beyond. */
#ifndef TAPE__GEMM_VEC_H
#define TAPE__GEMM_VEC_H

#include <stdint.h>

#if defined TAPE__ISA_AVX512
#define ISA_NAME(name) name##_avx512
#define VEC_BYTES 64
#define PACK_BYTES 32
#elif defined TAPE__ISA_AVX2
#define ISA_NAME(name) name##_avx2
#define VEC_BYTES 32
#define PACK_BYTES 32
#elif defined TAPE__ISA_SSE2
#define ISA_NAME(name) name##_sse2
#define VEC_BYTES 16
#define PACK_BYTES 16
#else
#define ISA_NAME(name) name##_generic
#define VEC_BYTES 16
#define PACK_BYTES 16
#endif

#if VEC_BYTES > 16
#include <immintrin.h>
#endif

typedef float f32_vec __attribute__((vector_size(VEC_BYTES)));
typedef double f64_vec __attribute__((vector_size(VEC_BYTES)));
typedef float f32_pack __attribute__((vector_size(PACK_BYTES)));
typedef double f64_pack __attribute__((vector_size(PACK_BYTES)));

/* The same at any address. */
typedef f32_vec f32_vec_at __attribute__((aligned(4), may_alias));
typedef f64_vec f64_vec_at __attribute__((aligned(8), may_alias));
typedef f32_pack f32_pack_at __attribute__((aligned(4), may_alias));
typedef f64_pack f64_pack_at __attribute__((aligned(8), may_alias));
typedef float f32_at __attribute__((may_alias));
typedef double f64_at __attribute__((may_alias));

static inline f32_vec f32_load(const char *p)
{
    return *(const f32_vec_at *)p;
}
static inline f64_vec f64_load(const char *p)
{
    return *(const f64_vec_at *)p;
}

#if defined TAPE__ISA_AVX512

static inline f32_vec f32_splat(float x)
{
    return _mm512_set1_ps(x);
}
static inline f64_vec f64_splat(double x)
{
    return _mm512_set1_pd(x);
}
static inline f32_vec f32_fma(f32_vec a, f32_vec b, f32_vec x)
{
    return _mm512_fmadd_ps(a, b, x);
}
static inline f64_vec f64_fma(f64_vec a, f64_vec b, f64_vec x)
{
    return _mm512_fmadd_pd(a, b, x);
}

static inline f32_vec f32_load_part(const char *p, int count)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1U << count) - 1), p);
}

static inline f64_vec f64_load_part(const char *p, int count)
{
    return _mm512_maskz_loadu_pd((__mmask8)((1U << count) - 1), p);
}

static inline void f32_store_part(char *p, f32_vec x, int count)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1U << count) - 1), x);
}

static inline void f64_store_part(char *p, f64_vec x, int count)
{
    _mm512_mask_storeu_pd(p, (__mmask8)((1U << count) - 1), x);
}

#elif defined TAPE__ISA_AVX2

static inline f32_vec f32_splat(float x)
{
    return _mm256_set1_ps(x);
}
static inline f64_vec f64_splat(double x)
{
    return _mm256_set1_pd(x);
}
static inline f32_vec f32_fma(f32_vec a, f32_vec b, f32_vec x)
{
    return _mm256_fmadd_ps(a, b, x);
}
static inline f64_vec f64_fma(f64_vec a, f64_vec b, f64_vec x)
{
    return _mm256_fmadd_pd(a, b, x);
}

static const int32_t mask_table[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};

static inline f32_vec f32_load_part(const char *p, int count)
{
    return _mm256_maskload_ps((const float *)p, _mm256_loadu_si256((const __m256i *)(mask_table + 8 - count)));
}

static inline f64_vec f64_load_part(const char *p, int count)
{
    return _mm256_maskload_pd((const double *)p, _mm256_loadu_si256((const __m256i *)(mask_table + 8 - 2 * count)));
}

/* Masked stores cost a dozen cycles on some processors. */
static inline void f32_store_part(char *p, f32_vec x, int count)
{
    __m128 rest = _mm256_castps256_ps128(x);
    if (count & 4) {
        _mm_storeu_ps((float *)p, rest);
        rest = _mm256_extractf128_ps(x, 1);
        p += 16;
    }
    if (count & 2) {
        _mm_storel_pi((__m64 *)p, rest);
        rest = _mm_movehl_ps(rest, rest);
        p += 8;
    }
    if (count & 1)
        _mm_store_ss((float *)p, rest);
}

static inline void f64_store_part(char *p, f64_vec x, int count)
{
    __m128d rest = _mm256_castpd256_pd128(x);
    if (count & 2) {
        _mm_storeu_pd((double *)p, rest);
        rest = _mm256_extractf128_pd(x, 1);
        p += 16;
    }
    if (count & 1)
        _mm_store_sd((double *)p, rest);
}

#else

static inline f32_vec f32_splat(float x)
{
    return (f32_vec){x, x, x, x};
}
static inline f64_vec f64_splat(double x)
{
    return (f64_vec){x, x};
}
static inline f32_vec f32_fma(f32_vec a, f32_vec b, f32_vec x)
{
    return a * b + x;
}
static inline f64_vec f64_fma(f64_vec a, f64_vec b, f64_vec x)
{
    return a * b + x;
}

static inline f32_vec f32_load_part(const char *p, int count)
{
    const f32_at *x = (const f32_at *)p;
    return (f32_vec){x[0], count > 1 ? x[1] : 0, count > 2 ? x[2] : 0, 0};
}

static inline f64_vec f64_load_part(const char *p, int count)
{
    (void)count;
    return (f64_vec){*(const f64_at *)p, 0};
}

static inline void f32_store_part(char *p, f32_vec x, int count)
{
    f32_at *y = (f32_at *)p;
    y[0] = x[0];
    if (count > 1)
        y[1] = x[1];
    if (count > 2)
        y[2] = x[2];
}

static inline void f64_store_part(char *p, f64_vec x, int count)
{
    (void)count;
    *(f64_at *)p = x[0];
}

#endif

/* Transposition in registers: r[i][j] becomes r[j][i]. */
#if PACK_BYTES == 32

static inline void f32_transpose(f32_pack *r)
{
    f32_pack s[8], t[8];
    for (int i = 0; i < 4; i++) {
        s[2 * i] = __builtin_shufflevector(r[2 * i], r[2 * i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        s[2 * i + 1] = __builtin_shufflevector(r[2 * i], r[2 * i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
    for (int i = 0; i < 8; i += 4)
        for (int j = 0; j < 2; j++) {
            t[i + 2 * j] = __builtin_shufflevector(s[i + j], s[i + j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
            t[i + 2 * j + 1] = __builtin_shufflevector(s[i + j], s[i + j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
        }
    for (int i = 0; i < 4; i++) {
        r[i] = __builtin_shufflevector(t[i], t[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        r[i + 4] = __builtin_shufflevector(t[i], t[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}

static inline void f64_transpose(f64_pack *r)
{
    f64_pack s[4];
    for (int i = 0; i < 2; i++) {
        s[2 * i] = __builtin_shufflevector(r[2 * i], r[2 * i + 1], 0, 4, 2, 6);
        s[2 * i + 1] = __builtin_shufflevector(r[2 * i], r[2 * i + 1], 1, 5, 3, 7);
    }
    for (int i = 0; i < 2; i++) {
        r[i] = __builtin_shufflevector(s[i], s[i + 2], 0, 1, 4, 5);
        r[i + 2] = __builtin_shufflevector(s[i], s[i + 2], 2, 3, 6, 7);
    }
}

#else

static inline void f32_transpose(f32_pack *r)
{
    f32_pack s[4];
    for (int i = 0; i < 2; i++) {
        s[i] = __builtin_shufflevector(r[2 * i], r[2 * i + 1], 0, 4, 1, 5);
        s[i + 2] = __builtin_shufflevector(r[2 * i], r[2 * i + 1], 2, 6, 3, 7);
    }
    for (int i = 0; i < 2; i++) {
        r[2 * i] = __builtin_shufflevector(s[2 * i], s[2 * i + 1], 0, 1, 4, 5);
        r[2 * i + 1] = __builtin_shufflevector(s[2 * i], s[2 * i + 1], 2, 3, 6, 7);
    }
}

static inline void f64_transpose(f64_pack *r)
{
    f64_pack low = __builtin_shufflevector(r[0], r[1], 0, 2), high = __builtin_shufflevector(r[0], r[1], 1, 3);
    r[0] = low;
    r[1] = high;
}

#endif
#endif
