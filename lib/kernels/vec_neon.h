/* Knows AArch64's NEON, which fuses multiply-adds: what vec.h needs of it. */
typedef float32x4_t vec_f32;
typedef float64x2_t vec_f64;
typedef int32_t mask_f32 __attribute__((vector_size(16)));
typedef int64_t mask_f64 __attribute__((vector_size(16)));

#define TAPE__SLEEF_F32(name, accuracy) Sleef_finz_##name##f4_##accuracy##advsimd
#define TAPE__SLEEF_F64(name, accuracy) Sleef_finz_##name##d2_##accuracy##advsimd

#define TAPE__NATIVE(T, unsigned_lanes)                                                                                \
    static inline vec_##T splat_##T(elem_##T a)                                                                        \
    {                                                                                                                  \
        return vdupq_n_##T(a);                                                                                         \
    }                                                                                                                  \
    static inline vec_##T sel_##T(mask_##T m, vec_##T a, vec_##T b)                                                    \
    {                                                                                                                  \
        return vbslq_##T((unsigned_lanes)m, a, b);                                                                     \
    }                                                                                                                  \
    static inline int any_##T(mask_##T m)                                                                              \
    {                                                                                                                  \
        return vmaxvq_u32((uint32x4_t)m) != 0;                                                                         \
    }                                                                                                                  \
    static inline int all_##T(mask_##T m)                                                                              \
    {                                                                                                                  \
        return vminvq_u32((uint32x4_t)m) != 0;                                                                         \
    }                                                                                                                  \
    static inline vec_##T lesser_##T(vec_##T a, vec_##T b)                                                             \
    {                                                                                                                  \
        return vbslq_##T(vcltq_##T(a, b), a, b);                                                                       \
    }                                                                                                                  \
    static inline vec_##T greater_##T(vec_##T a, vec_##T b)                                                            \
    {                                                                                                                  \
        return vbslq_##T(vcgtq_##T(a, b), a, b);                                                                       \
    }                                                                                                                  \
    static inline vec_##T sqrt_##T(vec_##T a)                                                                          \
    {                                                                                                                  \
        return vsqrtq_##T(a);                                                                                          \
    }                                                                                                                  \
    static inline vec_##T fma_##T(vec_##T a, vec_##T b, vec_##T c)                                                     \
    {                                                                                                                  \
        return vfmaq_##T(c, a, b);                                                                                     \
    }                                                                                                                  \
    static inline vec_##T floor_##T(vec_##T a)                                                                         \
    {                                                                                                                  \
        return vrndmq_##T(a);                                                                                          \
    }                                                                                                                  \
    static inline vec_##T ceil_##T(vec_##T a)                                                                          \
    {                                                                                                                  \
        return vrndpq_##T(a);                                                                                          \
    }                                                                                                                  \
    static inline vec_##T trunc_##T(vec_##T a)                                                                         \
    {                                                                                                                  \
        return vrndq_##T(a);                                                                                           \
    }                                                                                                                  \
    static inline vec_##T rint_##T(vec_##T a)                                                                          \
    {                                                                                                                  \
        return vrndnq_##T(a);                                                                                          \
    }
TAPE__NATIVE(f32, uint32x4_t)
TAPE__NATIVE(f64, uint64x2_t)
#undef TAPE__NATIVE

/* The halves of a vector in twice the precision, and a vector of two such. */
static inline vec_f64 low_half(vec_f32 a)
{
    return vcvt_f64_f32(vget_low_f32(a));
}

static inline vec_f64 high_half(vec_f32 a)
{
    return vcvt_high_f64_f32(a);
}

static inline vec_f32 narrow(vec_f64 low, vec_f64 high)
{
    return vcvt_high_f32_f64(vcvt_f32_f64(low), high);
}
