/* Knows AVX2 with FMA: what vec.h needs of it. */
typedef __m256 vec_f32;
typedef __m256d vec_f64;
typedef int32_t mask_f32 __attribute__((vector_size(32)));
typedef int64_t mask_f64 __attribute__((vector_size(32)));

#define TAPE__SLEEF_F32(name, accuracy) Sleef_finz_##name##f8_##accuracy##avx2
#define TAPE__SLEEF_F64(name, accuracy) Sleef_finz_##name##d4_##accuracy##avx2

#define TAPE__NATIVE(T, s)                                                                                             \
    static inline vec_##T splat_##T(elem_##T a)                                                                        \
    {                                                                                                                  \
        return _mm256_set1_##s(a);                                                                                     \
    }                                                                                                                  \
    static inline vec_##T sel_##T(mask_##T m, vec_##T a, vec_##T b)                                                    \
    {                                                                                                                  \
        return _mm256_blendv_##s(b, a, (vec_##T)m);                                                                    \
    }                                                                                                                  \
    static inline int any_##T(mask_##T m)                                                                              \
    {                                                                                                                  \
        return _mm256_movemask_##s((vec_##T)m) != 0;                                                                   \
    }                                                                                                                  \
    static inline int all_##T(mask_##T m)                                                                              \
    {                                                                                                                  \
        return _mm256_movemask_##s((vec_##T)m) == (1 << sizeof m / sizeof(elem_##T)) - 1;                              \
    }                                                                                                                  \
    static inline vec_##T lesser_##T(vec_##T a, vec_##T b)                                                             \
    {                                                                                                                  \
        return _mm256_min_##s(a, b);                                                                                   \
    }                                                                                                                  \
    static inline vec_##T greater_##T(vec_##T a, vec_##T b)                                                            \
    {                                                                                                                  \
        return _mm256_max_##s(a, b);                                                                                   \
    }                                                                                                                  \
    static inline vec_##T sqrt_##T(vec_##T a)                                                                          \
    {                                                                                                                  \
        return _mm256_sqrt_##s(a);                                                                                     \
    }                                                                                                                  \
    static inline vec_##T fma_##T(vec_##T a, vec_##T b, vec_##T c)                                                     \
    {                                                                                                                  \
        return _mm256_fmadd_##s(a, b, c);                                                                              \
    }                                                                                                                  \
    static inline vec_##T floor_##T(vec_##T a)                                                                         \
    {                                                                                                                  \
        return _mm256_round_##s(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);                                         \
    }                                                                                                                  \
    static inline vec_##T ceil_##T(vec_##T a)                                                                          \
    {                                                                                                                  \
        return _mm256_round_##s(a, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);                                         \
    }                                                                                                                  \
    static inline vec_##T trunc_##T(vec_##T a)                                                                         \
    {                                                                                                                  \
        return _mm256_round_##s(a, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);                                            \
    }                                                                                                                  \
    static inline vec_##T rint_##T(vec_##T a)                                                                          \
    {                                                                                                                  \
        return _mm256_round_##s(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);                                     \
    }
TAPE__NATIVE(f32, ps)
TAPE__NATIVE(f64, pd)
#undef TAPE__NATIVE

/* The halves of a vector in twice the precision, and a vector of two such. */
static inline vec_f64 low_half(vec_f32 a)
{
    return _mm256_cvtps_pd(_mm256_castps256_ps128(a));
}

static inline vec_f64 high_half(vec_f32 a)
{
    return _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1));
}

static inline vec_f32 narrow(vec_f64 low, vec_f64 high)
{
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps(low)), _mm256_cvtpd_ps(high), 1);
}
