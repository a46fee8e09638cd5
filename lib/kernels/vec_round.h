/* Knows selection, rounding to integers and the unfused multiply-add in plain vector arithmetic, for instruction sets
   that have no instruction for them. Included once for each dtype T. */

static inline FOR(vec) FOR(sel)(FOR(mask) m, FOR(vec) a, FOR(vec) b)
{
    return (FOR(vec))(((FOR(mask))a & m) | ((FOR(mask))b & ~m));
}

static inline FOR(vec) FOR(fma)(FOR(vec) a, FOR(vec) b, FOR(vec) c)
{
    return a * b + c;
}

/* To even: adding 2^23 (2^52) leaves no bits for a fraction; beyond it every number is an integer. NaN passes. */
static inline FOR(vec) FOR(rint)(FOR(vec) a)
{
    const FOR(vec) big = FOR(splat)(sizeof(FOR(elem)) == 4 ? (FOR(elem))0x1p23 : (FOR(elem))0x1p52);
    const FOR(mask) sign = (FOR(mask))FOR(splat)(-(FOR(elem))0);
    FOR(vec) size = (FOR(vec))((FOR(mask))a & ~sign);
    FOR(vec) whole = (size + big) - big;
    whole = (FOR(vec))((FOR(mask))whole | ((FOR(mask))a & sign));
    return FOR(sel)((FOR(mask))(size < big), whole, a);
}

/* A result of 0 keeps the sign of a. */
static inline FOR(vec) FOR(signed_as)(FOR(vec) whole, FOR(vec) a)
{
    const FOR(mask) sign = (FOR(mask))FOR(splat)(-(FOR(elem))0);
    return FOR(sel)((FOR(mask))(whole == FOR(splat)(0)), (FOR(vec))((FOR(mask))a & sign), whole);
}

static inline FOR(vec) FOR(floor)(FOR(vec) a)
{
    FOR(vec) whole = FOR(rint)(a);
    FOR(vec) one = FOR(splat)(1);
    return FOR(signed_as)(FOR(sel)((FOR(mask))(whole > a), whole - one, whole), a);
}

static inline FOR(vec) FOR(ceil)(FOR(vec) a)
{
    FOR(vec) whole = FOR(rint)(a);
    FOR(vec) one = FOR(splat)(1);
    return FOR(signed_as)(FOR(sel)((FOR(mask))(whole < a), whole + one, whole), a);
}

static inline FOR(vec) FOR(trunc)(FOR(vec) a)
{
    return FOR(sel)((FOR(mask))(a < FOR(splat)(0)), FOR(ceil)(a), FOR(floor)(a));
}
