/* Knows AVX-512 (F and DQ): what vec.h needs of it. */
typedef __m512 vec_f32;
typedef __m512d vec_f64;
typedef int32_t mask_f32 __attribute__((vector_size(64)));
typedef int64_t mask_f64 __attribute__((vector_size(64)));

#define TAPE__SLEEF_F32(name, accuracy) Sleef_finz_##name##f16_##accuracy##avx512f
#define TAPE__SLEEF_F64(name, accuracy) Sleef_finz_##name##d8_##accuracy##avx512f

#define TAPE__NATIVE(T, s, bits)                                                                                       \
    static inline vec_##T splat_##T(elem_##T a)                                                                        \
    {                                                                                                                  \
        return _mm512_set1_##s(a);                                                                                     \
    }                                                                                                                  \
    static inline vec_##T sel_##T(mask_##T m, vec_##T a, vec_##T b)                                                    \
    {                                                                                                                  \
        return _mm512_mask_blend_##s(_mm512_movepi##bits##_mask((__m512i)m), b, a);                                    \
    }                                                                                                                  \
    static inline int any_##T(mask_##T m)                                                                              \
    {                                                                                                                  \
        return _mm512_movepi##bits##_mask((__m512i)m) != 0;                                                            \
    }                                                                                                                  \
    static inline int all_##T(mask_##T m)                                                                              \
    {                                                                                                                  \
        return _mm512_movepi##bits##_mask((__m512i)m) == (1 << sizeof m / sizeof(elem_##T)) - 1;                       \
    }                                                                                                                  \
    static inline vec_##T lesser_##T(vec_##T a, vec_##T b)                                                             \
    {                                                                                                                  \
        return _mm512_min_##s(a, b);                                                                                   \
    }                                                                                                                  \
    static inline vec_##T greater_##T(vec_##T a, vec_##T b)                                                            \
    {                                                                                                                  \
        return _mm512_max_##s(a, b);                                                                                   \
    }                                                                                                                  \
    static inline vec_##T sqrt_##T(vec_##T a)                                                                          \
    {                                                                                                                  \
        return _mm512_sqrt_##s(a);                                                                                     \
    }                                                                                                                  \
    static inline vec_##T fma_##T(vec_##T a, vec_##T b, vec_##T c)                                                     \
    {                                                                                                                  \
        return _mm512_fmadd_##s(a, b, c);                                                                              \
    }                                                                                                                  \
    static inline vec_##T floor_##T(vec_##T a)                                                                         \
    {                                                                                                                  \
        return _mm512_roundscale_##s(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);                                    \
    }                                                                                                                  \
    static inline vec_##T ceil_##T(vec_##T a)                                                                          \
    {                                                                                                                  \
        return _mm512_roundscale_##s(a, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);                                    \
    }                                                                                                                  \
    static inline vec_##T trunc_##T(vec_##T a)                                                                         \
    {                                                                                                                  \
        return _mm512_roundscale_##s(a, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);                                       \
    }                                                                                                                  \
    static inline vec_##T rint_##T(vec_##T a)                                                                          \
    {                                                                                                                  \
        return _mm512_roundscale_##s(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);                                \
    }
/* GCC's rounding intrinsics are macros that convert a mask's sign. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
TAPE__NATIVE(f32, ps, 32)
TAPE__NATIVE(f64, pd, 64)

/* The halves of a vector in twice the precision, and a vector of two such. */
static inline vec_f64 low_half(vec_f32 a)
{
    return _mm512_cvtps_pd(_mm512_castps512_ps256(a));
}

static inline vec_f64 high_half(vec_f32 a)
{
    return _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1));
}

static inline vec_f32 narrow(vec_f64 low, vec_f64 high)
{
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(low)), _mm512_cvtpd_ps(high), 1);
}
#pragma GCC diagnostic pop
#undef TAPE__NATIVE
