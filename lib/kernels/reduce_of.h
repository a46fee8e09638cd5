/* Knows what the driver of reductions asks for, for dtype T. Included once for each dtype T. */

#define ELEM FOR(elem)
#define UNIT FOR(unit)
#define WIDTH FOR(WIDTH)

static double FOR(run)(int reducer, int64_t n, const void *x, double c)
{
    return FOR(reduce_run)(&FOR(reducers)[reducer], n, x, (ELEM)c);
}

static void FOR(clear)(int reducer, void *lanes)
{
    *(FOR(lanes) *)lanes = FOR(no_lanes)(&FOR(reducers)[reducer]);
}

static void FOR(take)(int reducer, void *lanes, int64_t n, const void *x, double c)
{
    FOR(take_all)(&FOR(reducers)[reducer], lanes, n, x, (ELEM)c);
}

static double FOR(fold)(int reducer, const void *lanes)
{
    return FOR(reduce_fold)(&FOR(reducers)[reducer], lanes);
}

static double FOR(one_log)(double x)
{
    FOR(vec) y = FOR(splat)((ELEM)x);
    FOR(logarithm)(&y, 1);
    return y[0];
}

static int64_t FOR(find)(const void *from, int64_t n, double value)
{
    const ELEM *x = from, wanted = (ELEM)value;
    int64_t i = 0;
    bool nan = value != value;
    for (; i + WIDTH <= n; i += WIDTH) {
        int found = 0;
        PARTWISE(FOR(vec) a = FOR(load)(x + i + k * FOR(LANES));
                 found |= FOR(any)(nan ? FOR(isnan)(a) : (FOR(mask))(a == FOR(splat)(wanted)));)
        if (found)
            break;
    }
    while (i < n - 1 && !(nan ? x[i] != x[i] : x[i] == wanted))
        i++;
    return i;
}

static const struct tape__reduce_kernel FOR(kernel) = {
    .run = FOR(run),
    .clear = FOR(clear),
    .take = FOR(take),
    .fold = FOR(fold),
    .columns = FOR(columns),
    .log = FOR(one_log),
    .find = FOR(find),
    .dtype = sizeof(ELEM) == sizeof(float) ? TAPE_F32 : TAPE_F64,
};

static void FOR(reduce)(const struct tape__parallel *p, const tape__reduce_args *args)
{
    tape__reduce_by(&FOR(kernel), p, args);
}

static void FOR(arg)(const struct tape__parallel *p, bool minimum, int64_t outer, int64_t n, int64_t inner,
                     const void *x, int64_t *y)
{
    tape__arg_by(&FOR(kernel), p, minimum, outer, n, inner, x, y);
}

#undef ELEM
#undef UNIT
#undef WIDTH
