/* Fourier transforms of real and complex lines, and products of complex numbers as pairs. Knows shapes and that each
   transform's adjoint is another one; the arithmetic is in double for either dtype. */
#include "kernels/any/fft.h"
#include "matrix.h"

/* ---- lines ------------------------------------------------------------------------------------------------------- */

/* A stack of lines of n points and room for one of them as complex numbers. */
struct lines {
    tape__stack stack;
    int trailing;   /* 1: real numbers; 2: complex ones */
    int64_t points; /* of a line of the input */
    int64_t n;      /* of the transform */
    double *line, *work;
};

/* Reads the input's shape; n is set to the points of a line. */
static bool plan(tape__call *call, int trailing, struct lines *l)
{
    const tape__layout *x = call->in[0]->layout;
    l->trailing = trailing;
    if (!tape__stack_plan(call, &trailing, &l->stack))
        return false;
    if (trailing == 2 && x->size[x->rank - 1] != 2)
        return tape__error(call->t, TAPE_ERROR_SHAPE, "expects complex numbers as pairs [..., n, 2], got %s",
                           TAPE__LAYOUT_TEXT(x));
    l->points = l->n = x->size[x->rank - trailing];
    return l->n > 0 ||
           tape__error(call->t, TAPE_ERROR_SHAPE, "no points to transform in shape %s", TAPE__LAYOUT_TEXT(x));
}

static bool prepare(tape__call *call, struct lines *l)
{
    int64_t doubles;
    if (!tape__fft_work(l->n, &doubles))
        return tape__error(call->t, TAPE_ERROR_MEMORY, "a line of %lld points is too long", (long long)l->n);
    l->line = tape__doubles(call->t, 1, 1, 2 * (l->n + 1) + doubles);
    if (!l->line)
        return false;
    l->work = l->line + 2 * (l->n + 1);
    tape__fft_prepare(l->n, l->work);
    return true;
}

/* n complex numbers become their conjugates times a factor. */
static void conjugate(int64_t n, double factor, double *line)
{
    for (int64_t k = 0; k < n; k++) {
        line[2 * k] *= factor;
        line[2 * k + 1] *= -factor;
    }
}

/* ---- fft, ifft --------------------------------------------------------------------------------------------------- */

static bool complex_forward(tape__call *call, bool back)
{
    struct lines l;
    if (!plan(call, 2, &l))
        return false;
    tape__node *y = tape__stack_output(call, &l.stack, 2, (int64_t[]){l.n, 2});
    if (!y || !prepare(call, &l))
        return false;
    for (int64_t e = 0; e < l.stack.count; e++) {
        tape__stack_load(call, &l.stack, 0, 2, e, l.line);
        if (back)
            conjugate(l.n, 1, l.line);
        tape__fft(l.n, l.work, l.line);
        if (back)
            conjugate(l.n, 1 / (double)l.n, l.line);
        tape__stack_store(y, e, 2 * l.n, l.line);
    }
    return true;
}

bool tape__fft_forward(tape__call *call)
{
    return complex_forward(call, false);
}

void tape__fft_vjp(tape__vjp *v)
{
    tape_tensor g = v->gy[0];
    v->gx[0] = tape_mul_scalar(tape_ifft(g), (double)tape_size(g, -2));
}

tape_tensor tape_fft(tape_tensor x)
{
    return tape__run(TAPE__OP_fft, &x, 1, NULL, 0);
}

bool tape__ifft_forward(tape__call *call)
{
    return complex_forward(call, true);
}

void tape__ifft_vjp(tape__vjp *v)
{
    tape_tensor g = v->gy[0];
    v->gx[0] = tape_div_scalar(tape_fft(g), (double)tape_size(g, -2));
}

tape_tensor tape_ifft(tape_tensor x)
{
    return tape__run(TAPE__OP_ifft, &x, 1, NULL, 0);
}

/* ---- rfft, irfft ------------------------------------------------------------------------------------------------- */

/* 1 for the frequencies that stand for themselves (0, and n / 2 of an even n), `others` for those that stand for their
 * conjugates, too. */
static tape_tensor weights(tape_dtype dtype, int64_t n, double others)
{
    int64_t m = n / 2 + 1, ends = n % 2 ? 1 : 2;
    if (n == 1)
        return tape_ones(dtype, TAPE_SHAPE(1, 1));
    const tape_tensor parts[3] = {tape_ones(dtype, TAPE_SHAPE(1, 1)), tape_full(dtype, TAPE_SHAPE(m - ends, 1), others),
                                  tape_ones(dtype, TAPE_SHAPE(1, 1))};
    return tape_concat(parts, n % 2 ? 2 : 3, 0);
}

bool tape__rfft_forward(tape__call *call)
{
    struct lines l;
    if (!plan(call, 1, &l))
        return false;
    int64_t m = l.n / 2 + 1;
    tape__node *y = tape__stack_output(call, &l.stack, 2, (int64_t[]){m, 2});
    if (!y || !prepare(call, &l))
        return false;
    for (int64_t e = 0; e < l.stack.count; e++) {
        tape__stack_load(call, &l.stack, 0, 1, e, l.line);
        for (int64_t k = l.n - 1; k >= 0; k--) {
            l.line[2 * k] = l.line[k];
            l.line[2 * k + 1] = 0;
        }
        tape__fft(l.n, l.work, l.line);
        l.line[1] = 0; /* exact, whatever was rounded */
        if (l.n % 2 == 0)
            l.line[l.n + 1] = 0;
        tape__stack_store(y, e, 2 * m, l.line);
    }
    return true;
}

void tape__rfft_vjp(tape__vjp *v)
{
    int64_t n = tape_size(v->x[0], -1);
    tape_tensor g = v->gy[0], half = weights(tape_dtype_of(g), n, 0.5);
    v->gx[0] = tape_mul_scalar(tape_irfft(tape_mul(g, half), n), (double)n);
}

tape_tensor tape_rfft(tape_tensor x)
{
    return tape__run(TAPE__OP_rfft, &x, 1, NULL, 0);
}

bool tape__irfft_forward(tape__call *call)
{
    struct lines l;
    if (!plan(call, 2, &l))
        return false;
    int64_t n = *(const int64_t *)call->attr, m = l.points;
    l.n = n == 0 ? 2 * (m - 1) : n;
    if (l.n < 1 || l.n / 2 + 1 != m)
        return tape__error(call->t, TAPE_ERROR_ARGUMENT, "%lld points have not got the %lld frequencies of shape %s",
                           (long long)l.n, (long long)m, TAPE__LAYOUT_TEXT(call->in[0]->layout));
    tape__node *y = tape__stack_output(call, &l.stack, 1, &l.n);
    if (!y || !prepare(call, &l))
        return false;
    for (int64_t e = 0; e < l.stack.count; e++) {
        tape__stack_load(call, &l.stack, 0, 2, e, l.line);
        l.line[1] = 0;
        if (l.n % 2 == 0)
            l.line[l.n + 1] = 0;
        conjugate(m, 1, l.line);
        for (int64_t k = m; k < l.n; k++) {
            l.line[2 * k] = l.line[2 * (l.n - k)];
            l.line[2 * k + 1] = -l.line[2 * (l.n - k) + 1];
        }
        tape__fft(l.n, l.work, l.line);
        for (int64_t k = 0; k < l.n; k++)
            l.line[k] = l.line[2 * k] / (double)l.n;
        tape__stack_store(y, e, l.n, l.line);
    }
    return true;
}

void tape__irfft_vjp(tape__vjp *v)
{
    tape_tensor g = v->gy[0];
    int64_t n = tape_size(g, -1);
    v->gx[0] = tape_mul(tape_rfft(tape_div_scalar(g, (double)n)), weights(tape_dtype_of(g), n, 2));
}

tape_tensor tape_irfft(tape_tensor x, int64_t n)
{
    return tape__run(TAPE__OP_irfft, &x, 1, &n, sizeof n);
}

/* ---- pairs ------------------------------------------------------------------------------------------------------- */

static bool is_complex(tape *t, tape_tensor x, int position)
{
    tape_shape shape = tape_shape_of(x);
    return t->status == TAPE_OK &&
           ((shape.rank > 0 && shape.size[shape.rank - 1] == 2) ||
            tape__error(t, TAPE_ERROR_SHAPE, "argument %d has shape %s: needs complex numbers as pairs [..., 2]",
                        position, tape__shape_text(shape.rank, shape.size).text));
}

tape_tensor tape_complex_mul(tape_tensor a, tape_tensor b)
{
    TAPE__BEGIN_COMPOSITE("complex_mul");
    tape_tensor y = TAPE_NULL;
    if (is_complex(t, a, 1) && is_complex(t, b, 2)) {
        tape_tensor ar = tape_select(a, -1, 0), ai = tape_select(a, -1, 1);
        tape_tensor br = tape_select(b, -1, 0), bi = tape_select(b, -1, 1);
        const tape_tensor parts[2] = {tape_sub(tape_mul(ar, br), tape_mul(ai, bi)),
                                      tape_add(tape_mul(ar, bi), tape_mul(ai, br))};
        y = tape_stack(parts, 2, -1);
    }
    return tape__leave(t, before, TAPE__OP_complex_mul, y);
}

tape_tensor tape_abs2(tape_tensor x)
{
    TAPE__BEGIN_COMPOSITE("abs2");
    tape_tensor y = is_complex(t, x, 1) ? tape_sum(tape_square(x), TAPE_AXES(-1), false) : TAPE_NULL;
    return tape__leave(t, before, TAPE__OP_abs2, y);
}

tape_tensor tape_conj(tape_tensor x)
{
    TAPE__BEGIN_COMPOSITE("conj");
    const double signs[2] = {1, -1};
    tape_tensor y = TAPE_NULL;
    if (is_complex(t, x, 1))
        y = tape_mul(x, tape_cast(tape_from(TAPE_F64, TAPE_SHAPE(2), signs), tape_dtype_of(x)));
    return tape__leave(t, before, TAPE__OP_conj, y);
}
