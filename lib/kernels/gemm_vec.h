/* Knows the vector operations that only the matrix product needs: the step of a sum, partial vectors, transposition.
   Partial loads and stores touch `count` elements, 1 <= count < lanes, and nothing beyond. Included by gemm*.c
   alone. */
#ifndef TAPE__GEMM_VEC_H
#define TAPE__GEMM_VEC_H

#include "base.h"
#include "vec.h"

/* A loop of few, constant iterations over arrays that are to live in registers. */
#if defined(__clang__)
#define EACH(i, n) for (int i = 0; i < (n); i++)
#else
#define EACH(i, n) _Pragma("GCC unroll 16") for (int i = 0; i < (n); i++)
#endif

/* Rows of a full tile, and of a sliver of A. */
#if TAPE__COMPACT
enum { FULL_ROWS = 4 };
#else
enum { FULL_ROWS = 6 };
#endif

#define LOG2(vecs) __builtin_ctz((unsigned)(vecs))

/* The vectors of the next tile where `left` columns are left, after one of `vecs` or at most so many. What is left for
   the last one is either more than a vector, so that its last vector can overlap the one before, or all of it is less.
 */
static inline int vectors_of(int64_t left, int64_t vecs, int lanes)
{
    while (vecs > 1 && ((vecs - 1) * lanes >= left || (left > vecs * lanes && left < (vecs + 1) * lanes)))
        vecs /= 2;
    return vecs == 1 && left > lanes && left < 2 * lanes ? 2 : (int)vecs;
}

/* a b + x, fused where this class of machines fuses. */
#define MUL_ADD(a, b, x) FOR(fma)(a, b, x)

#if defined(TAPE__ISA_AVX512)

static inline vec_f32 load_part_f32(const char *from, int count)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1U << count) - 1), from);
}

static inline vec_f64 load_part_f64(const char *from, int count)
{
    return _mm512_maskz_loadu_pd((__mmask8)((1U << count) - 1), from);
}

static inline void store_part_f32(char *to, vec_f32 x, int count)
{
    _mm512_mask_storeu_ps(to, (__mmask16)((1U << count) - 1), x);
}

static inline void store_part_f64(char *to, vec_f64 x, int count)
{
    _mm512_mask_storeu_pd(to, (__mmask8)((1U << count) - 1), x);
}

#elif defined(TAPE__ISA_AVX2)

static const int32_t mask_table[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};

static inline vec_f32 load_part_f32(const char *from, int count)
{
    return _mm256_maskload_ps((const float *)from, _mm256_loadu_si256((const __m256i *)(mask_table + 8 - count)));
}

static inline vec_f64 load_part_f64(const char *from, int count)
{
    return _mm256_maskload_pd((const double *)from, _mm256_loadu_si256((const __m256i *)(mask_table + 8 - 2 * count)));
}

/* Masked stores cost dozens of cycles on some processors. */
static inline void store_part_f32(char *to, vec_f32 x, int count)
{
    __m128 rest = _mm256_castps256_ps128(x);
    if (count & 4) {
        _mm_storeu_ps((float *)to, rest);
        rest = _mm256_extractf128_ps(x, 1);
        to += 16;
    }
    if (count & 2) {
        _mm_storel_pi((__m64 *)to, rest);
        rest = _mm_movehl_ps(rest, rest);
        to += 8;
    }
    if (count & 1)
        _mm_store_ss((float *)to, rest);
}

static inline void store_part_f64(char *to, vec_f64 x, int count)
{
    __m128d rest = _mm256_castpd256_pd128(x);
    if (count & 2) {
        _mm_storeu_pd((double *)to, rest);
        rest = _mm256_extractf128_pd(x, 1);
        to += 16;
    }
    if (count & 1)
        _mm_store_sd((double *)to, rest);
}

#else

static inline vec_f32 load_part_f32(const char *from, int count)
{
    vec_f32 x = {0};
    memcpy(&x, from, 4);
    if (count > 1)
        memcpy((char *)&x + 4, from + 4, 4);
    if (count > 2)
        memcpy((char *)&x + 8, from + 8, 4);
    return x;
}

static inline vec_f64 load_part_f64(const char *from, int count)
{
    vec_f64 x = {0};
    (void)count;
    memcpy(&x, from, 8);
    return x;
}

static inline void store_part_f32(char *to, vec_f32 x, int count)
{
    memcpy(to, &x, (size_t)count * 4);
}

static inline void store_part_f64(char *to, vec_f64 x, int count)
{
    (void)count;
    memcpy(to, &x, 8);
}

#endif

/* Squares are transposed by packing: y[j][i] is element j of row i, which starts at from + row[i]. Wider
   vectors would do it no faster. */
#if defined(TAPE__ISA_AVX2) || defined(TAPE__ISA_AVX512)
enum { PACK_BYTES = 32 };
typedef __m256 pack_f32;
typedef __m256d pack_f64;

TAPE__INLINE pack_f32 pack_splat_f32(float x)
{
    return _mm256_set1_ps(x);
}

TAPE__INLINE pack_f64 pack_splat_f64(double x)
{
    return _mm256_set1_pd(x);
}

TAPE__INLINE pack_f32 pack_mul_add_f32(pack_f32 a, pack_f32 b, pack_f32 x)
{
    return _mm256_fmadd_ps(a, b, x);
}

TAPE__INLINE pack_f64 pack_mul_add_f64(pack_f64 a, pack_f64 b, pack_f64 x)
{
    return _mm256_fmadd_pd(a, b, x);
}

TAPE__INLINE __m256 load_halves(const char *low, const char *high)
{
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps((const float *)low)),
                                _mm_loadu_ps((const float *)high), 1);
}

TAPE__INLINE void transpose_f32(const char *from, const int64_t *row, pack_f32 *y)
{
    EACH (h, 2) {
        const int j = 4 * h;
        __m256 r[4], s[4];
        EACH (i, 4)
            r[i] = load_halves(from + row[i] + 4 * j, from + row[i + 4] + 4 * j);
        EACH (i, 2) {
            s[i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
            s[i + 2] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
        }
        EACH (i, 2) {
            y[j + 2 * i] = _mm256_shuffle_ps(s[2 * i], s[2 * i + 1], 0x44);
            y[j + 2 * i + 1] = _mm256_shuffle_ps(s[2 * i], s[2 * i + 1], 0xee);
        }
    }
}

TAPE__INLINE void transpose_f64(const char *from, const int64_t *row, pack_f64 *y)
{
    EACH (h, 2) {
        const int j = 2 * h;
        __m256d r = _mm256_castps_pd(load_halves(from + row[0] + 8 * j, from + row[2] + 8 * j));
        __m256d s = _mm256_castps_pd(load_halves(from + row[1] + 8 * j, from + row[3] + 8 * j));
        y[j] = _mm256_unpacklo_pd(r, s);
        y[j + 1] = _mm256_unpackhi_pd(r, s);
    }
}

#else
enum { PACK_BYTES = 16 };
typedef vec_f32 pack_f32;
typedef vec_f64 pack_f64;
#define pack_splat_f32 splat_f32
#define pack_splat_f64 splat_f64
#define pack_mul_add_f32 fma_f32
#define pack_mul_add_f64 fma_f64

TAPE__INLINE void transpose_f32(const char *from, const int64_t *row, pack_f32 *y)
{
    pack_f32 s[4];
    EACH (i, 2) {
        pack_f32 a = load_f32(from + row[2 * i]), b = load_f32(from + row[2 * i + 1]);
        s[i] = __builtin_shufflevector(a, b, 0, 4, 1, 5);
        s[i + 2] = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    }
    EACH (i, 2) {
        y[2 * i] = __builtin_shufflevector(s[2 * i], s[2 * i + 1], 0, 1, 4, 5);
        y[2 * i + 1] = __builtin_shufflevector(s[2 * i], s[2 * i + 1], 2, 3, 6, 7);
    }
}

TAPE__INLINE void transpose_f64(const char *from, const int64_t *row, pack_f64 *y)
{
    pack_f64 a = load_f64(from + row[0]), b = load_f64(from + row[1]);
    y[0] = __builtin_shufflevector(a, b, 0, 2);
    y[1] = __builtin_shufflevector(a, b, 1, 3);
}

#endif
#endif
