/* Knows the recurrent cells for dtype T. Included once for each dtype T. */

#define VEC FOR(vec)
#define ELEM FOR(elem)
#define MASK FOR(mask)

#define EACH_VECTOR for (int64_t j = 0; j < n; j += FOR(LANES))
#define IN(k) FOR(load)((const ELEM *)array[k] + j)
#define OUT(k, value) FOR(store)((ELEM *)array[k] + j, value)

/* A whole array through the kernel of a row of formulas. */
static void FOR(apply)(int ew, int64_t n, void *y, const void *x)
{
    TAPE__ISA_SYM(tape__ewise).value[ew][sizeof(ELEM) == sizeof(float) ? TAPE_F32 : TAPE_F64]((size_t)n, y, &x, NULL);
}

/* The derivative of a sigmoid or a tanh, from its value. */
static inline VEC FOR(gate_slope)(VEC y)
{
    return y * (FOR(splat)(1) - y);
}

static inline VEC FOR(state_slope)(VEC y)
{
    return FOR(splat)(1) - y * y;
}

/* Local derivative times cotangent, a strong zero where the cotangent is 0. */
static inline VEC FOR(times)(VEC d, VEC g)
{
    return FOR(sel)((MASK)(g == FOR(splat)(0)), FOR(splat)(0), d * g);
}

/* The sum of two summands, either of which may be missing. */
static inline VEC FOR(cotangent)(void *const *array, int64_t j)
{
    if (array[0] && array[1])
        return IN(0) + IN(1);
    return array[0] ? IN(0) : array[1] ? IN(1) : FOR(splat)(0);
}

static void FOR(lstm)(int64_t n, void *const *array)
{
    void *h = array[TAPE__CELL_HIDDEN];
    for (int k = 0; k < 4; k++)
        FOR(apply)(k == 2 ? TAPE__EW_tanh : TAPE__EW_sigmoid, n, array[k], array[k]);
    EACH_VECTOR OUT(TAPE__CELL_C, IN(1) * IN(TAPE__CELL_BEFORE) + IN(0) * IN(2));
    FOR(apply)(TAPE__EW_tanh, n, h, array[TAPE__CELL_C]);
    EACH_VECTOR OUT(TAPE__CELL_HIDDEN, IN(3) * IN(TAPE__CELL_HIDDEN));
}

static void FOR(lstm_back)(int64_t n, void *const *array)
{
    FOR(apply)(TAPE__EW_tanh, n, array[TAPE__CELL_G_GATES + 3], array[TAPE__CELL_C]);
    EACH_VECTOR
    {
        const VEC i = IN(0), f = IN(1), g = IN(2), o = IN(3), before = IN(TAPE__CELL_BEFORE);
        const VEC t = IN(TAPE__CELL_G_GATES + 3), gh = FOR(cotangent)(array + TAPE__CELL_GH, j);
        const VEC gc = FOR(cotangent)(array + TAPE__CELL_GC, j) + FOR(times)(o * FOR(state_slope)(t), gh);
        OUT(TAPE__CELL_G_GATES, FOR(times)(g * FOR(gate_slope)(i), gc));
        OUT(TAPE__CELL_G_GATES + 1, FOR(times)(before * FOR(gate_slope)(f), gc));
        OUT(TAPE__CELL_G_GATES + 2, FOR(times)(i * FOR(state_slope)(g), gc));
        OUT(TAPE__CELL_G_GATES + 3, FOR(times)(t * FOR(gate_slope)(o), gh));
        OUT(TAPE__CELL_G_BEFORE, FOR(times)(f, gc));
    }
}

static void FOR(gru)(int64_t n, void *const *array)
{
    for (int k = 1; k < 3; k++)
        FOR(apply)(TAPE__EW_sigmoid, n, array[k], array[k]);
    EACH_VECTOR OUT(3, IN(3) + IN(1) * IN(0));
    FOR(apply)(TAPE__EW_tanh, n, array[3], array[3]);
    EACH_VECTOR OUT(TAPE__CELL_HIDDEN, IN(3) + IN(2) * (IN(TAPE__CELL_BEFORE) - IN(3)));
}

static void FOR(gru_back)(int64_t n, void *const *array)
{
    EACH_VECTOR
    {
        const VEC q = IN(0), r = IN(1), z = IN(2), m = IN(3), gh = FOR(cotangent)(array + TAPE__CELL_GH, j);
        const VEC gm = FOR(times)((FOR(splat)(1) - z) * FOR(state_slope)(m), gh);
        const VEC gz = FOR(times)((IN(TAPE__CELL_BEFORE) - m) * FOR(gate_slope)(z), gh);
        OUT(TAPE__CELL_G_GATES, FOR(times)(r, gm));
        OUT(TAPE__CELL_G_GATES + 1, FOR(times)(q * FOR(gate_slope)(r), gm));
        OUT(TAPE__CELL_G_GATES + 2, gz);
        OUT(TAPE__CELL_G_GATES + 3, gm);
        OUT(TAPE__CELL_G_BEFORE, FOR(times)(z, gh));
    }
}

#undef EACH_VECTOR
#undef IN
#undef OUT
#undef VEC
#undef ELEM
#undef MASK
