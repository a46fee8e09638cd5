/* Knows softmax and log_softmax for dtype T. Included once for each dtype T. */

#define VEC FOR(vec)
#define ELEM FOR(elem)
#define MASK FOR(mask)
#define UNIT FOR(unit)
#define WIDTH FOR(WIDTH)

/* One row (width 1, stride 1), or `width` <= WIDTH neighbouring columns whose rows are `stride` apart, of n elements.
 */
typedef struct FOR(slice) {
    int64_t n, stride, width, next; /* to the next row, or 0 */
    const ELEM *x, *g;              /* x is y for the derivatives */
    ELEM *y;
    enum giving giving;
} FOR(slice);

typedef void FOR(slice_fn)(const FOR(slice) * s);

/* `value` where the mask is not set, else 0. */
TAPE__INLINE VEC FOR(unless)(MASK mask, VEC value)
{
    return FOR(sel)(mask, FOR(splat)(0), value);
}

TAPE__INLINE MASK FOR(is_minus_inf)(VEC x)
{
    return (MASK)(x == FOR(splat)(-(ELEM)INFINITY));
}

TAPE__INLINE ELEM FOR(one_log)(ELEM x)
{
    return FOR(log)(FOR(splat)(x))[0];
}

/* A sum of probabilities that is 0 belongs to a slice of only -inf: dividing by 1 leaves the probabilities 0. */
TAPE__INLINE VEC FOR(divisor)(VEC sum)
{
    return FOR(sel)((MASK)(sum == FOR(splat)(0)), FOR(splat)(1), sum);
}

TAPE__INLINE VEC FOR(softmax_term)(VEC y, VEC g, VEC sum)
{
    return FOR(unless)((MASK)(y == FOR(splat)(0)), y * (g - sum));
}

TAPE__INLINE VEC FOR(log_softmax_term)(VEC y, VEC g, VEC sum)
{
    return FOR(unless)(FOR(is_minus_inf)(y), g - FOR(shifted_exp)(y) * sum);
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

/* y[i] = term of a = x[i], b = g[i], for i in the row. Where it is the row's last pass, memory works on the next row
   meanwhile: the passes are too short for it to see that one coming. */
#define ROW_MAP(s, from, term)                                                                                         \
    for (int64_t i = 0; i < (s)->n; i += WIDTH) {                                                                      \
        UNIT u = FOR(unit_load_upto)((from) + i, (s)->n - i);                                                          \
        __builtin_prefetch((s)->x + (s)->next + i);                                                                    \
        PARTWISE(VEC a = u.part[k]; u.part[k] = (term);)                                                               \
        FOR(unit_store_upto)((s)->y + i, u, (s)->n - i);                                                               \
    }
#define ROW_VJP(s, term)                                                                                               \
    for (int64_t i = 0; i < (s)->n; i += WIDTH) {                                                                      \
        UNIT u = FOR(unit_load_upto)((s)->x + i, (s)->n - i), v = FOR(unit_load_upto)((s)->g + i, (s)->n - i);         \
        __builtin_prefetch((s)->x + (s)->next + i);                                                                    \
        __builtin_prefetch((s)->g + (s)->next + i);                                                                    \
        PARTWISE(u.part[k] = term(u.part[k], v.part[k], sum);)                                                         \
        FOR(unit_give)((s)->y + i, u, (s)->n - i, (s)->giving);                                                        \
    }

/* The largest element; 0 for -inf, which cannot be subtracted. */
static ELEM FOR(row_shift)(const FOR(slice) * s)
{
    ELEM m = FOR(reduce_run)(&FOR(reducers)[REDUCER_max], s->n, s->x, 0);
    return m == -(ELEM)INFINITY ? 0 : m;
}

static void FOR(softmax_row)(const FOR(slice) * s)
{
    const VEC m = FOR(splat)(FOR(row_shift)(s));
    ROW_MAP(s, s->x, FOR(shifted_exp)(a - m))
    const VEC sum = FOR(divisor)(FOR(splat)(FOR(reduce_run)(&FOR(reducers)[REDUCER_sum], s->n, s->y, 0)));
    ROW_MAP(s, s->y, a / sum)
}

static void FOR(log_softmax_row)(const FOR(slice) * s)
{
    ELEM shift = FOR(row_shift)(s);
    const VEC m = FOR(splat)(shift);
    const VEC sum =
        FOR(log)(FOR(divisor)(FOR(splat)(FOR(reduce_run)(&FOR(reducers)[REDUCER_sum_exp], s->n, s->x, shift))));
    ROW_MAP(s, s->x, (a - m) - sum)
}

TAPE__INLINE UNIT FOR(product_term)(const void *source, int64_t i, int64_t left)
{
    const FOR(slice) *s = source;
    UNIT u = FOR(unit_load_upto)(s->x + i, left), v = FOR(unit_load_upto)(s->g + i, left);
    PARTWISE(u.part[k] = FOR(unless)((MASK)(u.part[k] == FOR(splat)(0)), u.part[k] * v.part[k]);)
    return u;
}

static void FOR(softmax_vjp_row)(const FOR(slice) * s)
{
    const VEC sum = FOR(splat)(FOR(sum_terms)(s->n, FOR(product_term), s));
    ROW_VJP(s, FOR(softmax_term))
}

static void FOR(log_softmax_vjp_row)(const FOR(slice) * s)
{
    const VEC sum = FOR(splat)(FOR(reduce_run)(&FOR(reducers)[REDUCER_sum], s->n, s->g, 0));
    ROW_VJP(s, FOR(log_softmax_term))
}

/* ---- columns ----------------------------------------------------------------------------------------------------- */

#define EACH_ROW(s) for (int64_t r = 0, i = 0; r < (s)->n; r++, i += (s)->stride)

static UNIT FOR(column_shift)(const FOR(slice) * s)
{
    UNIT m = FOR(unit_splat)(-(ELEM)INFINITY);
    EACH_ROW(s)
    {
        UNIT u = FOR(unit_load_upto)(s->x + i, s->width);
        PARTWISE(m.part[k] = FOR(max)(m.part[k], u.part[k]);)
    }
    PARTWISE(m.part[k] = FOR(unless)(FOR(is_minus_inf)(m.part[k]), m.part[k]);)
    return m;
}

static void FOR(softmax_columns)(const FOR(slice) * s)
{
    const UNIT m = FOR(column_shift)(s);
    FOR(ladder) ladder;
    FOR(ladder_clear)(&ladder);
    EACH_ROW(s)
    {
        UNIT u = FOR(unit_load_upto)(s->x + i, s->width);
        PARTWISE(u.part[k] = FOR(shifted_exp)(u.part[k] - m.part[k]);)
        FOR(ladder_add)(&ladder, u);
        FOR(unit_store_upto)(s->y + i, u, s->width);
    }
    UNIT sum = FOR(ladder_sum)(&ladder);
    PARTWISE(sum.part[k] = FOR(divisor)(sum.part[k]);)
    EACH_ROW(s)
    {
        UNIT u = FOR(unit_load_upto)(s->y + i, s->width);
        PARTWISE(u.part[k] /= sum.part[k];)
        FOR(unit_store_upto)(s->y + i, u, s->width);
    }
}

static void FOR(log_softmax_columns)(const FOR(slice) * s)
{
    const UNIT m = FOR(column_shift)(s);
    FOR(ladder) ladder;
    FOR(ladder_clear)(&ladder);
    EACH_ROW(s)
    {
        UNIT u = FOR(unit_load_upto)(s->x + i, s->width);
        PARTWISE(u.part[k] = FOR(shifted_exp)(u.part[k] - m.part[k]);)
        FOR(ladder_add)(&ladder, u);
    }
    UNIT sum = FOR(ladder_sum)(&ladder);
    PARTWISE(sum.part[k] = FOR(log)(FOR(divisor)(sum.part[k]));)
    EACH_ROW(s)
    {
        UNIT u = FOR(unit_load_upto)(s->x + i, s->width);
        PARTWISE(u.part[k] = (u.part[k] - m.part[k]) - sum.part[k];)
        FOR(unit_store_upto)(s->y + i, u, s->width);
    }
}

#define COLUMNS_VJP(name, summand, term)                                                                               \
    static void FOR(name)(const FOR(slice) * s)                                                                        \
    {                                                                                                                  \
        FOR(ladder) ladder;                                                                                            \
        FOR(ladder_clear)(&ladder);                                                                                    \
        EACH_ROW(s)                                                                                                    \
        {                                                                                                              \
            UNIT u = FOR(unit_load_upto)(s->x + i, s->width), v = FOR(unit_load_upto)(s->g + i, s->width);             \
            PARTWISE(VEC y = u.part[k], g = v.part[k]; (void)y; u.part[k] = (summand);)                                \
            FOR(ladder_add)(&ladder, u);                                                                               \
        }                                                                                                              \
        const UNIT sum = FOR(ladder_sum)(&ladder);                                                                     \
        EACH_ROW(s)                                                                                                    \
        {                                                                                                              \
            UNIT u = FOR(unit_load_upto)(s->x + i, s->width), v = FOR(unit_load_upto)(s->g + i, s->width);             \
            PARTWISE(u.part[k] = term(u.part[k], v.part[k], sum.part[k]);)                                             \
            FOR(unit_give)(s->y + i, u, s->width, s->giving);                                                          \
        }                                                                                                              \
    }
COLUMNS_VJP(softmax_vjp_columns, FOR(unless)((MASK)(y == FOR(splat)(0)), y *g), FOR(softmax_term))
COLUMNS_VJP(log_softmax_vjp_columns, g, FOR(log_softmax_term))

/* ---- sharing the work -------------------------------------------------------------------------------------------- */

typedef struct FOR(softmax_job) {
    FOR(slice) slice; /* the first one; width is not used */
    bool turned;
    int64_t rows, across, count, per_item; /* slices of one outer index; of all; of one parallel iteration */
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
static void FOR(turned_rows)(const FOR(slice) * s, int64_t rows, FOR(slice_fn) * columns)
{
    ELEM x[SHORT * WIDTH], g[SHORT * WIDTH], y[SHORT * WIDTH];
    FOR(turn)(rows, s->n, s->x, x);
    if (s->g)
        FOR(turn)(rows, s->n, s->g, g);
    if (s->giving == ADD)
        FOR(turn)(rows, s->n, s->y, y);
    FOR(slice) turned = {.n = s->n, .stride = WIDTH, .width = WIDTH, .x = x, .g = g, .y = y};
    turned.giving = s->giving == ADD ? ADD : STORE;
    columns(&turned);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < s->n; i++)
            s->y[r * s->n + i] = y[i * WIDTH + r];
}

static void FOR(softmax_item)(void *arg, int64_t item)
{
    const FOR(softmax_job) *j = arg;
    int64_t end = (item + 1) * j->per_item < j->count ? (item + 1) * j->per_item : j->count;
    for (int64_t i = item * j->per_item; i < end; i++) {
        FOR(slice) s = j->slice;
        int64_t first = i % j->across * WIDTH, at = i / j->across * s.n * s.stride + first;
        if (j->turned)
            at = i * WIDTH * s.n;
        s.width = s.stride - first < WIDTH ? s.stride - first : WIDTH;
        s.x += at;
        s.y += at;
        s.g = s.g ? s.g + at : NULL;
        s.next = i + 1 < j->count && s.stride == 1 ? s.n : 0;
        if (j->turned)
            FOR(turned_rows)(&s, j->rows - i * WIDTH < WIDTH ? j->rows - i * WIDTH : WIDTH, j->fn);
        else
            j->fn(&s);
    }
    end_giving(j->slice.giving);
}

static void FOR(softmax_run)(const struct tape__parallel *p, tape__softmax_shape shape, FOR(slice) slice,
                             FOR(slice_fn) * rows, FOR(slice_fn) * columns)
{
    if (shape.outer <= 0 || shape.n <= 0 || shape.inner <= 0)
        return;
    slice.n = shape.n;
    slice.stride = shape.inner;
    FOR(softmax_job) j = {.slice = slice, .rows = shape.outer, .fn = columns};
    j.across = (shape.inner + WIDTH - 1) / WIDTH;
    j.count = shape.outer * j.across;
    j.turned = shape.inner == 1 && shape.n <= SHORT;
    if (j.turned)
        j.count = (shape.outer + WIDTH - 1) / WIDTH;
    else if (shape.inner == 1)
        j.fn = rows;
    if (j.fn == rows && slice.g)
        j.slice.giving = FOR(giving_of)(slice.y, shape.outer, shape.n, slice.giving == ADD, slice.y == slice.g);
    int64_t work = shape.n * (shape.inner < WIDTH && !j.turned ? shape.inner : WIDTH);
    j.per_item = work < ITEM ? ITEM / work : 1;
    tape__parallel_for(p, (j.count + j.per_item - 1) / j.per_item, FOR(softmax_item), &j);
}

static void FOR(softmax)(const struct tape__parallel *p, tape__softmax_shape shape, const void *x, void *y)
{
    FOR(softmax_run)(p, shape, (FOR(slice)){.x = x, .y = y}, FOR(softmax_row), FOR(softmax_columns));
}

static void FOR(log_softmax)(const struct tape__parallel *p, tape__softmax_shape shape, const void *x, void *y)
{
    FOR(softmax_run)(p, shape, (FOR(slice)){.x = x, .y = y}, FOR(log_softmax_row), FOR(log_softmax_columns));
}

static void FOR(softmax_vjp)(const struct tape__parallel *p, tape__softmax_shape shape, const void *y, const void *g,
                             bool accumulate, void *gx)
{
    FOR(slice) s = {.x = y, .g = g, .y = gx, .giving = accumulate ? ADD : STORE};
    FOR(softmax_run)(p, shape, s, FOR(softmax_vjp_row), FOR(softmax_vjp_columns));
}

static void FOR(log_softmax_vjp)(const struct tape__parallel *p, tape__softmax_shape shape, const void *y,
                                 const void *g, bool accumulate, void *gx)
{
    FOR(slice) s = {.x = y, .g = g, .y = gx, .giving = accumulate ? ADD : STORE};
    FOR(softmax_run)(p, shape, s, FOR(log_softmax_vjp_row), FOR(log_softmax_vjp_columns));
}

#undef COLUMNS_VJP
#undef EACH_ROW
#undef ROW_VJP
#undef ROW_MAP
#undef VEC
#undef ELEM
#undef MASK
#undef UNIT
#undef WIDTH
