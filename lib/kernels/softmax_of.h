/* Knows softmax and log_softmax for dtype T. Included once for each dtype T. */

#define VEC FOR(vec)
#define ELEM FOR(elem)
#define MASK FOR(mask)
#define UNIT FOR(unit)
#define WIDTH FOR(WIDTH)

/* A slice's arrays from element i on. */
#define X(s) ((const ELEM *)(s).x)
#define G(s) ((const ELEM *)(s).g)
#define Y(s) ((ELEM *)(s).y)

#define EACH_UNIT(s) for (int64_t r = 0, i = 0; r < (s).count; r++, i += (s).step)

/* `value` where the mask is not set, else 0. */
TAPE__INLINE VEC FOR(unless)(MASK mask, VEC value)
{
    return FOR(sel)(mask, FOR(splat)(0), value);
}

TAPE__INLINE MASK FOR(is_minus_inf)(VEC x)
{
    return (MASK)(x == FOR(splat)(-(ELEM)INFINITY));
}

/* A sum of probabilities that is 0 belongs to a slice of only -inf: dividing by 1 leaves the probabilities 0. */
TAPE__INLINE VEC FOR(divisor)(VEC sum)
{
    return FOR(sel)((MASK)(sum == FOR(splat)(0)), FOR(splat)(1), sum);
}

/* Of a whole row, in all lanes. */
static UNIT FOR(row_result)(const tape__softmax_slice *s, int reducer, const ELEM *x, ELEM c)
{
    return FOR(unit_splat)(FOR(reduce_run)(&FOR(reducers)[reducer], s->n, x, c));
}

/* The largest elements, by lane; 0 for -inf, which cannot be subtracted. */
static UNIT FOR(largest)(const tape__softmax_slice *slice)
{
    const tape__softmax_slice s = *slice;
    UNIT m = FOR(unit_splat)(-(ELEM)INFINITY);
    if (!s.columns)
        m = FOR(row_result)(slice, REDUCER_max, s.x, 0);
    else
        EACH_UNIT(s)
        {
            UNIT u = FOR(unit_load_upto)(X(s) + i, s.width);
            PARTWISE(m.part[k] = FOR(max)(m.part[k], u.part[k]);)
        }
    PARTWISE(m.part[k] = FOR(unless)(FOR(is_minus_inf)(m.part[k]), m.part[k]);)
    return m;
}

/* y = a term of the elements of a and of g, by lane, with constants of the slice. Memory works on the next row
   meanwhile: the passes are too short for it to see that one coming. */
#define MAP(name, from, derivative, term)                                                                              \
    static void FOR(name)(const tape__softmax_slice *slice, const UNIT *constants, const UNIT *others)                 \
    {                                                                                                                  \
        const tape__softmax_slice s = *slice;                                                                          \
        const UNIT c = *constants, d = *others;                                                                        \
        EACH_UNIT(s)                                                                                                   \
        {                                                                                                              \
            const int64_t left = r < s.count - 1 ? s.width : s.last;                                                   \
            UNIT u = FOR(unit_load_upto)(from(s) + i, left), v = u;                                                    \
            if (derivative)                                                                                            \
                v = FOR(unit_load_upto)(G(s) + i, left);                                                               \
            if (s.next)                                                                                                \
                __builtin_prefetch(X(s) + s.next + i);                                                                 \
            if (s.next && derivative)                                                                                  \
                __builtin_prefetch(G(s) + s.next + i);                                                                 \
            PARTWISE(const VEC a = u.part[k], g = v.part[k], sum = c.part[k], more = d.part[k]; (void)g, (void)more;   \
                     u.part[k] = (term);)                                                                              \
            if (derivative)                                                                                            \
                FOR(unit_give)(Y(s) + i, u, left, s.giving);                                                           \
            else                                                                                                       \
                FOR(unit_store_upto)(Y(s) + i, u, left);                                                               \
        }                                                                                                              \
    }
MAP(exponentials, X, false, FOR(shifted_exp)(a - sum))
MAP(quotients, Y, false, a / sum)
MAP(logarithms, X, false, (a - sum) - more)
MAP(softmax_terms, X, true, FOR(unless)((MASK)(a == FOR(splat)(0)), a *(g - sum)))
MAP(log_softmax_terms, X, true, FOR(unless)(FOR(is_minus_inf)(a), g - FOR(shifted_exp)(a) * sum))
#undef MAP

/* Sums down the columns: of exp(x - c), kept in y if `keep`; of x g; or of g. */
static UNIT FOR(column_sums)(const tape__softmax_slice *slice, enum summand summand, const UNIT *constants, bool keep)
{
    const tape__softmax_slice s = *slice;
    FOR(ladder) ladder;
    FOR(ladder_clear)(&ladder);
    EACH_UNIT(s)
    {
        UNIT u = FOR(unit_load_upto)((summand == COTANGENTS ? G(s) : X(s)) + i, s.width), v;
        if (summand == EXPONENTIALS) {
            PARTWISE(u.part[k] = FOR(shifted_exp)(u.part[k] - constants->part[k]);)
        } else if (summand == PRODUCTS) {
            v = FOR(unit_load_upto)(G(s) + i, s.width);
            PARTWISE(u.part[k] = FOR(unless)((MASK)(u.part[k] == FOR(splat)(0)), u.part[k] * v.part[k]);)
        }
        FOR(ladder_add)(&ladder, u);
        if (keep)
            FOR(unit_store_upto)(Y(s) + i, u, s.width);
    }
    return FOR(ladder_sum)(&ladder);
}

UNIT_INLINE UNIT FOR(product_term)(const void *source, int64_t i, int64_t left)
{
    const tape__softmax_slice *s = source;
    UNIT u = FOR(unit_load_upto)(X(*s) + i, left), v = FOR(unit_load_upto)(G(*s) + i, left);
    PARTWISE(u.part[k] = FOR(unless)((MASK)(u.part[k] == FOR(splat)(0)), u.part[k] * v.part[k]);)
    return u;
}

static void FOR(softmax_slice)(const tape__softmax_slice *s)
{
    const UNIT m = FOR(largest)(s);
    UNIT sum;
    if (s->columns)
        sum = FOR(column_sums)(s, EXPONENTIALS, &m, true);
    else {
        FOR(exponentials)(s, &m, &m);
        sum = FOR(row_result)(s, REDUCER_sum, s->y, 0);
    }
    PARTWISE(sum.part[k] = FOR(divisor)(sum.part[k]);)
    FOR(quotients)(s, &sum, &sum);
}

static void FOR(log_softmax_slice)(const tape__softmax_slice *s)
{
    const UNIT m = FOR(largest)(s);
    UNIT sum = s->columns ? FOR(column_sums)(s, EXPONENTIALS, &m, false)
                          : FOR(row_result)(s, REDUCER_sum_exp, s->x, m.part[0][0]);
    PARTWISE(sum.part[k] = FOR(divisor)(sum.part[k]);)
    FOR(logarithm)(sum.part, PARTS);
    FOR(logarithms)(s, &m, &sum);
}

static void FOR(softmax_vjp_slice)(const tape__softmax_slice *s)
{
    const UNIT sum = s->columns ? FOR(column_sums)(s, PRODUCTS, NULL, false)
                                : FOR(unit_splat)(FOR(sum_terms)(s->n, FOR(product_term), s));
    FOR(softmax_terms)(s, &sum, &sum);
}

static void FOR(log_softmax_vjp_slice)(const tape__softmax_slice *s)
{
    const UNIT sum =
        s->columns ? FOR(column_sums)(s, COTANGENTS, NULL, false) : FOR(row_result)(s, REDUCER_sum, s->g, 0);
    FOR(log_softmax_terms)(s, &sum, &sum);
}

/* A short row by itself, as a lane of turned rows would be. */
static void FOR(lone_row)(int64_t n, const ELEM *x, ELEM *y, bool logarithm)
{
    UNIT terms[(SHORT + WIDTH - 1) / WIDTH];
    VEC m = FOR(splat)(-(ELEM)INFINITY), sum = FOR(splat)(0);
    for (int64_t i = 0; i < n; i++)
        m = FOR(max)(m, FOR(splat)(x[i]));
    m = FOR(unless)(FOR(is_minus_inf)(m), m);
    for (int64_t i = 0; i < n; i += WIDTH) {
        UNIT u = FOR(unit_load_upto)(x + i, n - i);
        PARTWISE(u.part[k] = FOR(shifted_exp)(u.part[k] - m);)
        terms[i / WIDTH] = u;
    }
    for (int64_t i = 0; i < n; i++)
        sum += FOR(splat)(((const ELEM *)terms)[i]);
    sum = FOR(divisor)(sum);
    if (logarithm)
        FOR(logarithm)(&sum, 1);
    for (int64_t i = 0; i < n; i += WIDTH) {
        UNIT u = terms[i / WIDTH];
        if (logarithm)
            u = FOR(unit_load_upto)(x + i, n - i);
        PARTWISE(u.part[k] = logarithm ? (u.part[k] - m) - sum : u.part[k] / sum;)
        FOR(unit_store_upto)(y + i, u, n - i);
    }
}

/* ---- the interface ----------------------------------------------------------------------------------------------- */

#define VALUE(name, logarithm)                                                                                         \
    static void FOR(name)(const struct tape__parallel *p, tape__softmax_shape shape, const void *x, void *y)           \
    {                                                                                                                  \
        if (shape.outer == 1 && shape.inner == 1 && shape.n <= SHORT)                                                  \
            FOR(lone_row)(shape.n, x, y, logarithm);                                                                   \
        else                                                                                                           \
            tape__softmax_by(FOR(name##_slice), sizeof(ELEM), p, shape, x, NULL, false, y);                            \
    }
#define DERIVATIVE(name)                                                                                               \
    static void FOR(name)(const struct tape__parallel *p, tape__softmax_shape shape, const void *y, const void *g,     \
                          bool accumulate, void *gx)                                                                   \
    {                                                                                                                  \
        tape__softmax_by(FOR(name##_slice), sizeof(ELEM), p, shape, y, g, accumulate, gx);                             \
    }
VALUE(softmax, false)
VALUE(log_softmax, true)
DERIVATIVE(softmax_vjp)
DERIVATIVE(log_softmax_vjp)

#undef VALUE
#undef DERIVATIVE
#undef EACH_UNIT
#undef X
#undef G
#undef Y
#undef VEC
#undef ELEM
#undef MASK
#undef UNIT
#undef WIDTH
