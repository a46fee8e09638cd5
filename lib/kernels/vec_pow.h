/* Knows the power of two numbers: of f32 in the arithmetic of f64, which takes less than half the time that SLEEF's
   pairs of f32 take and leaves 0.51 ulp of error; of f64 the library's. Included by vec.h. */

static inline vec_f64 pow_f64(vec_f64 a, vec_f64 b)
{
    return math_pow_f64(a, b);
}

/* The polynomials below are minimax. Their terms are added in pairs, since the processor waits for one result after the
   other: it cannot look so far ahead that the next vector would fill the time. */

/* k + log2(m) for sqrt(1/2) <= m < sqrt(2): 2 atanh(s) / log(2), to 2^-37 of it, for s = (m - 1) / (m + 1). */
static inline vec_f64 power_log2(vec_f64 m, vec_f64 k)
{
    const vec_f64 one = splat_f64(1), s = (m - one) / (m + one), z = s * s;
    const vec_f64 p01 = fma_f64(z, splat_f64(0.96179667334933228), splat_f64(2.8853900817900806));
    const vec_f64 p23 = fma_f64(z, splat_f64(0.41167281631283353), splat_f64(0.57708358343002164));
    const vec_f64 w = z * z, p = fma_f64(w, fma_f64(w, splat_f64(0.34072821799644598), p23), p01);
    return fma_f64(s, p, k);
}

/* 2^a for |a| < 1020, to 2^-34 of it; exactly for whole a. */
static inline vec_f64 power_exp2(vec_f64 a)
{
    const vec_f64 round = splat_f64(0x1.8p52), shifted = a + round, r = a - (shifted - round), q = r * r;
    const vec_f64 p01 = fma_f64(r, splat_f64(0.69314718070522718), splat_f64(1));
    const vec_f64 p23 = fma_f64(r, splat_f64(0.055504103641865352), splat_f64(0.24022651067886866));
    const vec_f64 p45 = fma_f64(r, splat_f64(0.0013333935963130354), splat_f64(0.0096180379148043949));
    const vec_f64 p67 = fma_f64(r, splat_f64(1.5196087878066953e-05), splat_f64(0.00015466831904107321));
    const vec_f64 p = fma_f64(q * q, fma_f64(q, p67, p45), fma_f64(q, p23, p01));
    return (vec_f64)((bits_f64)p + ((bits_f64)shifted << 52));
}

/* Beyond that an f32 is 0 or infinite. */
static inline vec_f64 power_exp2_of_any(vec_f64 a)
{
    const vec_f64 most = splat_f64(1000);
    a = sel_f64((mask_f64)(a > most), most, a);
    return power_exp2(sel_f64((mask_f64)(a < -most), -most, a));
}

/* The power of size = |a| as it comes, but for numbers that are 0, infinite or none. */
static inline vec_f32 power_of_size(vec_f32 size, vec_f32 b)
{
    const mask_f32 tiny = (mask_f32)(size < splat_f32(0x1p-126f));
    const mask_f32 endless = (mask_f32)(abs_f32(b) == splat_f32(INFINITY));
    vec_f32 k;
    const vec_f32 m = log_split_f32(sel_f32(tiny, size * splat_f32(0x1p24f), size), &k);
    k = sel_f32(tiny, k - splat_f32(24), k);
    b = sel_f32(endless, copysign_f32(splat_f32(0x1p127f), b), b);
    const vec_f64 low = low_half(b) * power_log2(low_half(m), low_half(k));
    const vec_f64 high = high_half(b) * power_log2(high_half(m), high_half(k));
    return narrow(power_exp2_of_any(low), power_exp2_of_any(high));
}

/* Where a is 0, negative, subnormal or not finite, or the power far from what an f32 holds: as C's Annex F has it. */
__attribute__((noinline, cold, const, unused)) static vec_f32 power_edge(vec_f32 a, vec_f32 b)
{
    const vec_f32 zero = splat_f32(0), one = splat_f32(1), infinity = splat_f32(INFINITY), size = abs_f32(a);
    const vec_f32 half = b * splat_f32(0.5f), sum = a + b;
    const mask_f32 none = (mask_f32)(size == zero), endless = (mask_f32)(size == infinity), up = (mask_f32)(b > zero);
    const mask_f32 whole = (mask_f32)(trunc_f32(b) == b), odd = whole & (mask_f32)(trunc_f32(half) != half);
    vec_f32 y = power_of_size(size, b);
    y = sel_f32((none & up) | (endless & ~up), zero, y);
    y = sel_f32((none & ~up) | (endless & up), infinity, y);
    y = (vec_f32)((mask_f32)y | ((mask_f32)a & odd & (mask_f32)splat_f32(-0.0f)));
    y = sel_f32((mask_f32)(a < zero) & ~(endless | whole), splat_f32(NAN), y);
    y = sel_f32(isnan_f32(a) | isnan_f32(b), sum, y);
    return sel_f32((mask_f32)(a == one) | (mask_f32)(b == zero), one, y);
}

__attribute__((always_inline)) static inline vec_f32 pow_f32(vec_f32 a, vec_f32 b)
{
    const mask_f32 normal = (mask_f32)(a >= splat_f32(0x1p-126f)) & (mask_f32)(a < splat_f32(INFINITY));
    if (!all_f32(normal))
        return power_edge(a, b);
    vec_f32 k;
    const vec_f32 m = log_split_f32(a, &k);
    const vec_f64 low = low_half(b) * power_log2(low_half(m), low_half(k));
    const vec_f64 high = high_half(b) * power_log2(high_half(m), high_half(k));
    if (!all_f64((mask_f64)(fma_f64(low, low, high * high) < splat_f64(1e6))))
        return power_edge(a, b);
    return narrow(power_exp2(low), power_exp2(high));
}
