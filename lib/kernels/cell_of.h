/* Knows the recurrent cells for dtype T. Included once for each dtype T. */

#define VEC FOR(vec)
#define ELEM FOR(elem)
#define MASK FOR(mask)
#define UNIT FOR(unit)
#define WIDTH FOR(WIDTH)

/* Local derivative times cotangent, a strong zero where the cotangent is 0. */
TAPE__INLINE VEC FOR(times)(VEC d, VEC g)
{
    return FOR(sel)((MASK)(g == FOR(splat)(0)), FOR(splat)(0), d * g);
}

/* The sum of two summands at element i, either of which may be missing. */
TAPE__INLINE UNIT FOR(cotangent)(const void *const *g, int64_t i, int64_t left)
{
    if (g[0] && g[1]) {
        UNIT u = FOR(unit_load_upto)((const ELEM *)g[0] + i, left),
             v = FOR(unit_load_upto)((const ELEM *)g[1] + i, left);
        PARTWISE(u.part[k] += v.part[k];)
        return u;
    }
    const ELEM *one = g[0] ? g[0] : g[1];
    return one ? FOR(unit_load_upto)(one + i, left) : FOR(unit_splat)(0);
}

/* ---- LSTM -------------------------------------------------------------------------------------------------------- */

static void FOR(lstm_row)(const tape__cell_step *s, int64_t row)
{
    const int64_t n = s->n;
    ELEM *gate = (ELEM *)s->gates + row * 4 * n, *c = (ELEM *)s->c + row * n, *h = (ELEM *)s->h + row * n;
    const ELEM *before = (const ELEM *)s->before + row * n;
    for (int64_t j = 0; j < n; j += WIDTH) {
        const int64_t left = n - j;
        UNIT i = FOR(unit_load_upto)(gate + j, left), f = FOR(unit_load_upto)(gate + n + j, left);
        UNIT g = FOR(unit_load_upto)(gate + 2 * n + j, left), o = FOR(unit_load_upto)(gate + 3 * n + j, left);
        UNIT u = FOR(unit_load_upto)(before + j, left);
        PARTWISE(i.part[k] = FOR(sigmoid)(i.part[k]); f.part[k] = FOR(sigmoid)(f.part[k]);)
        PARTWISE(g.part[k] = FOR(tanh)(g.part[k]); o.part[k] = FOR(sigmoid)(o.part[k]);)
        PARTWISE(u.part[k] = f.part[k] * u.part[k] + i.part[k] * g.part[k];)
        FOR(unit_store_upto)(gate + j, i, left);
        FOR(unit_store_upto)(gate + n + j, f, left);
        FOR(unit_store_upto)(gate + 2 * n + j, g, left);
        FOR(unit_store_upto)(gate + 3 * n + j, o, left);
        FOR(unit_store_upto)(c + j, u, left);
        PARTWISE(u.part[k] = o.part[k] * FOR(tanh)(u.part[k]);)
        FOR(unit_store_upto)(h + j, u, left);
    }
}

static void FOR(lstm_back_row)(const tape__cell_back *s, int64_t row)
{
    const int64_t n = s->n, at = row * n;
    const ELEM *gate = (const ELEM *)s->gates + 4 * at, *before = (const ELEM *)s->before + at;
    ELEM *to = (ELEM *)s->g_gates + 4 * at;
    for (int64_t j = 0; j < n; j += WIDTH) {
        const int64_t left = n - j;
        const UNIT i = FOR(unit_load_upto)(gate + j, left), f = FOR(unit_load_upto)(gate + n + j, left);
        const UNIT g = FOR(unit_load_upto)(gate + 2 * n + j, left), o = FOR(unit_load_upto)(gate + 3 * n + j, left);
        const UNIT b = FOR(unit_load_upto)(before + j, left), gh = FOR(cotangent)(s->gh, at + j, left);
        UNIT t = FOR(unit_load_upto)((const ELEM *)s->c + at + j, left), gc = FOR(cotangent)(s->gc, at + j, left), d;
        const VEC one = FOR(splat)(1);
        PARTWISE(t.part[k] = FOR(tanh)(t.part[k]);)
        PARTWISE(gc.part[k] += FOR(times)(o.part[k] * (one - t.part[k] * t.part[k]), gh.part[k]);)
        PARTWISE(d.part[k] = FOR(times)(t.part[k] * (o.part[k] * (one - o.part[k])), gh.part[k]);)
        FOR(unit_store_upto)(to + 3 * n + j, d, left);
        PARTWISE(d.part[k] = FOR(times)(g.part[k] * (i.part[k] * (one - i.part[k])), gc.part[k]);)
        FOR(unit_store_upto)(to + j, d, left);
        PARTWISE(d.part[k] = FOR(times)(b.part[k] * (f.part[k] * (one - f.part[k])), gc.part[k]);)
        FOR(unit_store_upto)(to + n + j, d, left);
        PARTWISE(d.part[k] = FOR(times)(i.part[k] * (one - g.part[k] * g.part[k]), gc.part[k]);)
        FOR(unit_store_upto)(to + 2 * n + j, d, left);
        PARTWISE(d.part[k] = FOR(times)(f.part[k], gc.part[k]);)
        FOR(unit_store_upto)((ELEM *)s->g_before + at + j, d, left);
    }
}

/* ---- GRU --------------------------------------------------------------------------------------------------------- */

static void FOR(gru_row)(const tape__cell_step *s, int64_t row)
{
    const int64_t n = s->n;
    ELEM *gate = (ELEM *)s->gates + row * 4 * n, *h = (ELEM *)s->h + row * n;
    const ELEM *before = (const ELEM *)s->before + row * n;
    for (int64_t j = 0; j < n; j += WIDTH) {
        const int64_t left = n - j;
        const UNIT q = FOR(unit_load_upto)(gate + j, left), b = FOR(unit_load_upto)(before + j, left);
        UNIT r = FOR(unit_load_upto)(gate + n + j, left), z = FOR(unit_load_upto)(gate + 2 * n + j, left);
        UNIT m = FOR(unit_load_upto)(gate + 3 * n + j, left);
        PARTWISE(r.part[k] = FOR(sigmoid)(r.part[k]); z.part[k] = FOR(sigmoid)(z.part[k]);)
        PARTWISE(m.part[k] = FOR(tanh)(m.part[k] + r.part[k] * q.part[k]);)
        FOR(unit_store_upto)(gate + n + j, r, left);
        FOR(unit_store_upto)(gate + 2 * n + j, z, left);
        FOR(unit_store_upto)(gate + 3 * n + j, m, left);
        PARTWISE(m.part[k] += z.part[k] * (b.part[k] - m.part[k]);)
        FOR(unit_store_upto)(h + j, m, left);
    }
}

static void FOR(gru_back_row)(const tape__cell_back *s, int64_t row)
{
    const int64_t n = s->n, at = row * n;
    const ELEM *gate = (const ELEM *)s->gates + 4 * at, *before = (const ELEM *)s->before + at;
    ELEM *to = (ELEM *)s->g_gates + 4 * at;
    for (int64_t j = 0; j < n; j += WIDTH) {
        const int64_t left = n - j;
        const UNIT q = FOR(unit_load_upto)(gate + j, left), r = FOR(unit_load_upto)(gate + n + j, left);
        const UNIT z = FOR(unit_load_upto)(gate + 2 * n + j, left), m = FOR(unit_load_upto)(gate + 3 * n + j, left);
        const UNIT b = FOR(unit_load_upto)(before + j, left), gh = FOR(cotangent)(s->gh, at + j, left);
        const VEC one = FOR(splat)(1);
        UNIT gm, d;
        PARTWISE(gm.part[k] = FOR(times)((one - z.part[k]) * (one - m.part[k] * m.part[k]), gh.part[k]);)
        FOR(unit_store_upto)(to + 3 * n + j, gm, left);
        PARTWISE(d.part[k] = FOR(times)(r.part[k], gm.part[k]);)
        FOR(unit_store_upto)(to + j, d, left);
        PARTWISE(d.part[k] = FOR(times)(q.part[k] * (r.part[k] * (one - r.part[k])), gm.part[k]);)
        FOR(unit_store_upto)(to + n + j, d, left);
        PARTWISE(d.part[k] = FOR(times)((b.part[k] - m.part[k]) * (z.part[k] * (one - z.part[k])), gh.part[k]);)
        FOR(unit_store_upto)(to + 2 * n + j, d, left);
        PARTWISE(d.part[k] = FOR(times)(z.part[k], gh.part[k]);)
        FOR(unit_store_upto)((ELEM *)s->g_before + at + j, d, left);
    }
}

/* ---- sharing the work -------------------------------------------------------------------------------------------- */

#define SPREAD(name, args_type)                                                                                        \
    static void FOR(name##_item)(void *arg, int64_t item)                                                              \
    {                                                                                                                  \
        const args_type *s = arg;                                                                                      \
        const int64_t each = rows_per_item(s->n), end = (item + 1) * each < s->rows ? (item + 1) * each : s->rows;     \
        for (int64_t row = item * each; row < end; row++)                                                              \
            FOR(name##_row)(s, row);                                                                                   \
    }                                                                                                                  \
    static void FOR(name)(const struct tape__parallel *p, const args_type *args)                                       \
    {                                                                                                                  \
        args_type s = *args;                                                                                           \
        const int64_t each = rows_per_item(s.n);                                                                       \
        tape__parallel_for(p, (s.rows + each - 1) / each, FOR(name##_item), &s);                                       \
    }
SPREAD(lstm, tape__cell_step)
SPREAD(lstm_back, tape__cell_back)
SPREAD(gru, tape__cell_step)
SPREAD(gru_back, tape__cell_back)

#undef SPREAD
#undef VEC
#undef ELEM
#undef MASK
#undef UNIT
#undef WIDTH
