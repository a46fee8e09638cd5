/* Knows softmax and log_softmax for dtype T. Included once for each dtype T. */

#define VEC FOR(vec)
#define ELEM FOR(elem)
#define MASK FOR(mask)
#define UNIT FOR(unit)
#define WIDTH FOR(WIDTH)

/* What is worked on together: `count` units, `step` apart, of which lanes from `width` on are left out, in the last one
   from `last` on. A row of n elements, or n rows of neighbouring columns. */
typedef struct FOR(slice) {
    int64_t n, count, step, width, last, next; /* to the next row, or 0 */
    const ELEM *x, *g;                         /* x is y for the derivatives */
    ELEM *y;
    enum giving giving;
    bool columns;
} FOR(slice);

typedef void FOR(slice_fn)(const FOR(slice) * s);

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
static UNIT FOR(row_result)(const FOR(slice) * s, int reducer, const ELEM *x, ELEM c)
{
    return FOR(unit_splat)(FOR(reduce_run)(&FOR(reducers)[reducer], s->n, x, c));
}

/* The largest elements, by lane; 0 for -inf, which cannot be subtracted. */
static UNIT FOR(largest)(const FOR(slice) * slice)
{
    const FOR(slice) s = *slice;
    UNIT m = FOR(unit_splat)(-(ELEM)INFINITY);
    if (!s.columns)
        m = FOR(row_result)(slice, REDUCER_max, s.x, 0);
    else
        EACH_UNIT(s)
        {
            UNIT u = FOR(unit_load_upto)(s.x + i, s.width);
            PARTWISE(m.part[k] = FOR(max)(m.part[k], u.part[k]);)
        }
    PARTWISE(m.part[k] = FOR(unless)(FOR(is_minus_inf)(m.part[k]), m.part[k]);)
    return m;
}

/* y = a term of the elements of a and of g, by lane, with constants of the slice. Memory works on the next row
   meanwhile: the passes are too short for it to see that one coming. */
#define MAP(name, from, derivative, term)                                                                              \
    static void FOR(name)(const FOR(slice) * slice, const UNIT *constants, const UNIT *others)                         \
    {                                                                                                                  \
        const FOR(slice) s = *slice;                                                                                   \
        const UNIT c = *constants, d = *others;                                                                        \
        EACH_UNIT(s)                                                                                                   \
        {                                                                                                              \
            const int64_t left = r < s.count - 1 ? s.width : s.last;                                                   \
            UNIT u = FOR(unit_load_upto)(s.from + i, left), v = u;                                                     \
            if (derivative)                                                                                            \
                v = FOR(unit_load_upto)(s.g + i, left);                                                                \
            if (s.next)                                                                                                \
                __builtin_prefetch(s.x + s.next + i);                                                                  \
            if (s.next && derivative)                                                                                  \
                __builtin_prefetch(s.g + s.next + i);                                                                  \
            PARTWISE(const VEC a = u.part[k], g = v.part[k], sum = c.part[k], more = d.part[k]; (void)g, (void)more;   \
                     u.part[k] = (term);)                                                                              \
            if (derivative)                                                                                            \
                FOR(unit_give)(s.y + i, u, left, s.giving);                                                            \
            else                                                                                                       \
                FOR(unit_store_upto)(s.y + i, u, left);                                                                \
        }                                                                                                              \
    }
MAP(exponentials, x, false, FOR(shifted_exp)(a - sum))
MAP(quotients, y, false, a / sum)
MAP(logarithms, x, false, (a - sum) - more)
MAP(softmax_terms, x, true, FOR(unless)((MASK)(a == FOR(splat)(0)), a *(g - sum)))
MAP(log_softmax_terms, x, true, FOR(unless)(FOR(is_minus_inf)(a), g - FOR(shifted_exp)(a) * sum))
#undef MAP

/* Sums down the columns: of exp(x - c), kept in y if `keep`; of x g; or of g. */
static UNIT FOR(column_sums)(const FOR(slice) * slice, enum summand summand, const UNIT *constants, bool keep)
{
    const FOR(slice) s = *slice;
    FOR(ladder) ladder;
    FOR(ladder_clear)(&ladder);
    EACH_UNIT(s)
    {
        UNIT u = FOR(unit_load_upto)((summand == COTANGENTS ? s.g : s.x) + i, s.width), v;
        if (summand == EXPONENTIALS) {
            PARTWISE(u.part[k] = FOR(shifted_exp)(u.part[k] - constants->part[k]);)
        } else if (summand == PRODUCTS) {
            v = FOR(unit_load_upto)(s.g + i, s.width);
            PARTWISE(u.part[k] = FOR(unless)((MASK)(u.part[k] == FOR(splat)(0)), u.part[k] * v.part[k]);)
        }
        FOR(ladder_add)(&ladder, u);
        if (keep)
            FOR(unit_store_upto)(s.y + i, u, s.width);
    }
    return FOR(ladder_sum)(&ladder);
}

TAPE__INLINE UNIT FOR(product_term)(const void *source, int64_t i, int64_t left)
{
    const FOR(slice) *s = source;
    UNIT u = FOR(unit_load_upto)(s->x + i, left), v = FOR(unit_load_upto)(s->g + i, left);
    PARTWISE(u.part[k] = FOR(unless)((MASK)(u.part[k] == FOR(splat)(0)), u.part[k] * v.part[k]);)
    return u;
}

static void FOR(softmax_slice)(const FOR(slice) * s)
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

static void FOR(log_softmax_slice)(const FOR(slice) * s)
{
    const UNIT m = FOR(largest)(s);
    UNIT sum = s->columns ? FOR(column_sums)(s, EXPONENTIALS, &m, false)
                          : FOR(row_result)(s, REDUCER_sum_exp, s->x, m.part[0][0]);
    for (int k = 0; k < PARTS; k++)
        sum.part[k] = k && !s->columns ? sum.part[0] : FOR(log_edge)(FOR(divisor)(sum.part[k]));
    FOR(logarithms)(s, &m, &sum);
}

static void FOR(softmax_vjp_slice)(const FOR(slice) * s)
{
    const UNIT sum = s->columns ? FOR(column_sums)(s, PRODUCTS, NULL, false)
                                : FOR(unit_splat)(FOR(sum_terms)(s->n, FOR(product_term), s));
    FOR(softmax_terms)(s, &sum, &sum);
}

static void FOR(log_softmax_vjp_slice)(const FOR(slice) * s)
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
        sum = FOR(log_edge)(sum);
    for (int64_t i = 0; i < n; i += WIDTH) {
        UNIT u = terms[i / WIDTH];
        if (logarithm)
            u = FOR(unit_load_upto)(x + i, n - i);
        PARTWISE(u.part[k] = logarithm ? (u.part[k] - m) - sum : u.part[k] / sum;)
        FOR(unit_store_upto)(y + i, u, n - i);
    }
}

/* ---- sharing the work -------------------------------------------------------------------------------------------- */

typedef struct FOR(softmax_job) {
    FOR(slice) slice; /* the first one; its widths are not used */
    bool turned;
    int64_t rows, across, inner, slices, per_item; /* slices of one outer index; of all; of one parallel iteration */
    FOR(slice_fn) * fn;
} FOR(softmax_job);

/* Lanes without a row are 0. */
static void FOR(turn)(int64_t rows, int64_t n, const ELEM *x, ELEM *turned)
{
    for (int64_t i = 0; rows < WIDTH && i < n; i++)
        FOR(unit_store)(turned + i * WIDTH, FOR(unit_splat)(0));
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i++)
            turned[i * WIDTH + r] = x[r * n + i];
}

/* Short rows, a unit of them at once: they are turned into columns and back. */
static void FOR(turned_rows)(const FOR(slice) * s, int64_t rows, FOR(slice_fn) * fn)
{
    ELEM x[SHORT * WIDTH], g[SHORT * WIDTH], y[SHORT * WIDTH];
    FOR(slice) turned = *s;
    FOR(turn)(rows, s->n, s->x, x);
    turned.x = x;
    turned.y = y;
    if (s->g) {
        FOR(turn)(rows, s->n, s->g, g);
        turned.g = g;
    }
    if (s->giving == ADD)
        FOR(turn)(rows, s->n, s->y, y);
    fn(&turned);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < s->n; i++)
            s->y[r * s->n + i] = y[i * WIDTH + r];
}

static void FOR(softmax_item)(void *arg, int64_t item)
{
    const FOR(softmax_job) *j = arg;
    int64_t end = (item + 1) * j->per_item < j->slices ? (item + 1) * j->per_item : j->slices;
    for (int64_t i = item * j->per_item; i < end; i++) {
        FOR(slice) s = j->slice;
        int64_t first = i % j->across * WIDTH, at = i / j->across * s.n * j->inner + first;
        if (j->turned)
            at = i * WIDTH * s.n;
        else if (s.columns)
            s.width = s.last = j->inner - first < WIDTH ? j->inner - first : WIDTH;
        s.x += at;
        s.y += at;
        s.g = s.g ? s.g + at : NULL;
        s.next = i + 1 < j->slices && !s.columns ? s.n : 0;
        if (j->turned)
            FOR(turned_rows)(&s, j->rows - i * WIDTH < WIDTH ? j->rows - i * WIDTH : WIDTH, j->fn);
        else
            j->fn(&s);
    }
    end_giving(j->slice.giving);
}

static void FOR(softmax_run)(const struct tape__parallel *p, tape__softmax_shape shape, FOR(slice) slice,
                             FOR(slice_fn) * fn)
{
    if (shape.outer <= 0 || shape.n <= 0 || shape.inner <= 0)
        return;
    FOR(softmax_job) j = {.slice = slice, .rows = shape.outer, .inner = shape.inner, .fn = fn};
    FOR(slice) *s = &j.slice;
    s->n = shape.n;
    s->width = s->last = s->step = WIDTH;
    j.turned = shape.inner == 1 && shape.n <= SHORT;
    s->columns = shape.inner > 1 || j.turned;
    s->count = s->columns ? shape.n : (shape.n + WIDTH - 1) / WIDTH;
    if (!s->columns) {
        s->last = shape.n - (s->count - 1) * WIDTH;
        if (slice.g)
            s->giving = FOR(giving_of)(slice.y, shape.outer, shape.n, slice.giving == ADD, slice.y == slice.g);
    } else if (!j.turned)
        s->step = shape.inner;
    j.across = (shape.inner + WIDTH - 1) / WIDTH;
    j.slices = j.turned ? (shape.outer + WIDTH - 1) / WIDTH : shape.outer * j.across;
    int64_t work = shape.n * (shape.inner < WIDTH && !j.turned ? shape.inner : WIDTH);
    j.per_item = work < ITEM ? ITEM / work : 1;
    tape__parallel_for(p, (j.slices + j.per_item - 1) / j.per_item, FOR(softmax_item), &j);
}

#define VALUE(name, logarithm)                                                                                         \
    static void FOR(name)(const struct tape__parallel *p, tape__softmax_shape shape, const void *x, void *y)           \
    {                                                                                                                  \
        if (shape.outer == 1 && shape.inner == 1 && shape.n <= SHORT)                                                  \
            FOR(lone_row)(shape.n, x, y, logarithm);                                                                   \
        else                                                                                                           \
            FOR(softmax_run)(p, shape, (FOR(slice)){.x = x, .y = y}, FOR(name##_slice));                               \
    }
#define DERIVATIVE(name)                                                                                               \
    static void FOR(name)(const struct tape__parallel *p, tape__softmax_shape shape, const void *y, const void *g,     \
                          bool accumulate, void *gx)                                                                   \
    {                                                                                                                  \
        FOR(slice) s = {.x = y, .g = g, .y = gx, .giving = accumulate ? ADD : STORE};                                  \
        FOR(softmax_run)(p, shape, s, FOR(name##_slice));                                                              \
    }
VALUE(softmax, false)
VALUE(log_softmax, true)
DERIVATIVE(softmax_vjp)
DERIVATIVE(log_softmax_vjp)

#undef VALUE
#undef DERIVATIVE
#undef EACH_UNIT
#undef VEC
#undef ELEM
#undef MASK
#undef UNIT
#undef WIDTH
