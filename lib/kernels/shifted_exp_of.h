/* Knows exp(x) for x that had the largest element subtracted: short enough to be inlined where SLEEF's costs a call for
   each vector. Included once for each dtype T.

   To 1 ulp for x from the logarithm of the smallest normal number up to 88 (709 for f64); 0 below, constant above,
   but inf for inf and NaN for NaN. x = n log 2 + r with |r| <= log(2) / 2, and exp(r) by its power series. */

#define VEC FOR(vec)
#define ELEM FOR(elem)
#define MASK FOR(mask)
#define F32 (sizeof(ELEM) == 4)
#define NUMBER(single, dual) FOR(splat)(F32 ? (ELEM)(single) : (ELEM)(dual))

SHIFTED_EXP_INLINE VEC FOR(shifted_exp)(VEC x)
{
    const VEC lowest = NUMBER(-87.336544, -708.39641853226408), highest = NUMBER(88, 709);
    VEC a = FOR(sel)((MASK)(x < lowest), lowest, FOR(sel)((MASK)(x > highest), highest, x));
    /* Adding 3 * 2^22 (3 * 2^51) rounds to an integer and leaves it in the lowest bits. */
    const VEC magic = NUMBER(0x1.8p23, 0x1.8p52);
    VEC t = FOR(fma)(a, NUMBER(1.44269504088896341, 1.44269504088896341), magic), n = t - magic;
    /* log 2 in two parts, the first so short that n times it is exact. */
    VEC r = FOR(fma)(n, NUMBER(-0x1.62e4p-1, -0x1.62e42fefap-1), a);
    r = FOR(fma)(n, NUMBER(-0x1.7f7d1cf79abcap-20, -0x1.cf79abc9e3b3ap-40), r);
    VEC q = NUMBER(1.0 / 5040, 1.0 / 6227020800);
    if (!F32) {
        q = FOR(fma)(q, r, FOR(splat)((ELEM)(1.0 / 479001600)));
        q = FOR(fma)(q, r, FOR(splat)((ELEM)(1.0 / 39916800)));
        q = FOR(fma)(q, r, FOR(splat)((ELEM)(1.0 / 3628800)));
        q = FOR(fma)(q, r, FOR(splat)((ELEM)(1.0 / 362880)));
        q = FOR(fma)(q, r, FOR(splat)((ELEM)(1.0 / 40320)));
        q = FOR(fma)(q, r, FOR(splat)((ELEM)(1.0 / 5040)));
    }
    q = FOR(fma)(q, r, FOR(splat)((ELEM)(1.0 / 720)));
    q = FOR(fma)(q, r, FOR(splat)((ELEM)(1.0 / 120)));
    q = FOR(fma)(q, r, FOR(splat)((ELEM)(1.0 / 24)));
    q = FOR(fma)(q, r, FOR(splat)((ELEM)(1.0 / 6)));
    q = FOR(fma)(q, r, FOR(splat)((ELEM)(1.0 / 2)));
    VEC y = FOR(splat)(1) + FOR(fma)(r * r, q, r);
    MASK exponent = (MASK)t << (F32 ? 23 : 52);
    y *= (VEC)(exponent + (MASK)FOR(splat)(1));
    y = FOR(sel)((MASK)(x < lowest), FOR(splat)(0), y);
    return FOR(sel)((MASK)(x == FOR(splat)((ELEM)INFINITY)), x, y);
}

#undef VEC
#undef ELEM
#undef MASK
#undef F32
#undef NUMBER
