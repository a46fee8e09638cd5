/* Determinants and their derivatives, which exist for singular matrices, too; trace. The arithmetic is in double for
   either dtype. */
#include <math.h>

#include "matrix.h"

/* ---- det, slogdet ------------------------------------------------------------------------------------------------ */

/* Calls `finish` with the factors of each matrix in turn. */
static bool for_each_lu(tape__call *call, const tape__stack *stack,
                        void (*finish)(tape__call *call, int64_t entry, int sign, int64_t n, const double *lu))
{
    int64_t n = call->in[0]->layout->size[call->in[0]->layout->rank - 1];
    double *lu = tape__doubles(call->t, 1, n, n + 1);
    if (!lu)
        return false;
    for (int64_t e = 0; e < stack->count; e++) {
        tape__stack_load(call, stack, 0, 2, e, lu);
        int sign = tape__lu(n, lu, (void *)(lu + n * n));
        finish(call, e, sign, n, lu);
    }
    return true;
}

static void store_det(tape__call *call, int64_t entry, int sign, int64_t n, const double *lu)
{
    double det = sign;
    for (int64_t i = 0; i < n; i++)
        det *= lu[i * n + i];
    tape__stack_store(call->out[0], entry, 1, &det);
}

bool tape__det_forward(tape__call *call)
{
    tape__stack stack;
    return tape__stack_of_squares(call, &stack) && tape__stack_output(call, &stack, 0, NULL) &&
           for_each_lu(call, &stack, store_det);
}

void tape__det_vjp(tape__vjp *v)
{
    tape_tensor cofactors = tape__run(TAPE__OP_cofactor, v->x, 1, NULL, 0);
    v->gx[0] = tape_mul(cofactors, tape__as_matrices(v->gy[0]));
}

tape_tensor tape_det(tape_tensor a)
{
    return tape__run(TAPE__OP_det, &a, 1, NULL, 0);
}

static void store_slogdet(tape__call *call, int64_t entry, int sign, int64_t n, const double *lu)
{
    double log_abs = 0, sign_of = sign;
    for (int64_t i = 0; i < n; i++) {
        double u = lu[i * n + i];
        log_abs += log(fabs(u));
        sign_of = u == 0 ? 0 : u < 0 ? -sign_of : sign_of;
    }
    tape__stack_store(call->out[0], entry, 1, &log_abs);
    tape__stack_store(call->out[1], entry, 1, &sign_of);
}

bool tape__slogdet_forward(tape__call *call)
{
    tape__stack stack;
    return tape__stack_of_squares(call, &stack) && tape__stack_output(call, &stack, 0, NULL) &&
           tape__stack_output(call, &stack, 0, NULL) && for_each_lu(call, &stack, store_slogdet);
}

/* The sign is constant where it has a derivative. */
void tape__slogdet_vjp(tape__vjp *v)
{
    tape_tensor inverse = tape__transposed(tape_inverse(v->x[0]));
    v->gx[0] = tape__strong_mul(inverse, tape__as_matrices(v->gy[0]));
}

tape_tensor tape_slogdet(tape_tensor a, tape_tensor *sign)
{
    tape_tensor log_abs = tape__run(TAPE__OP_slogdet, &a, 1, NULL, 0);
    if (sign)
        *sign = tape__sibling(log_abs, 1);
    return log_abs;
}

/* ---- cofactors --------------------------------------------------------------------------------------------------- */

/*
 * A = M D N with M and N well conditioned, det M det N = s = 1 or -1, and D diagonal, singular where A is. Cofactors
 * are multiplicative, so those of A are s M^-T C N^-T with C those of D: the product of all but one of its elements. So
 * nothing is divided by what may be 0. Here A[row, column] = L D R, thus M = P^T L and N = R Q^T.
 */
struct factors {
    int64_t n;
    int sign;
    double *a;
    int64_t *row, *column;
};

static struct factors factor(int64_t n, double *a, double *orders)
{
    struct factors f = {.n = n, .a = a, .row = (void *)orders, .column = (void *)(orders + n)};
    f.sign = tape__ldr(n, a, f.row, f.column);
    return f;
}

/* The product of D's elements without the i-th and the j-th. */
static double product_without(const struct factors *f, int64_t i, int64_t j)
{
    double product = f->sign;
    for (int64_t k = 0; k < f->n; k++)
        if (k != i && k != j)
            product *= f->a[k * f->n + k];
    return product;
}

static void transpose_square(int64_t n, double *c)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < i; j++) {
            double keep = c[i * n + j];
            c[i * n + j] = c[j * n + i];
            c[j * n + i] = keep;
        }
}

/* c becomes L^-T c R^-T, or with `inverse` L^-1 c R^-1. */
static void apply_factors(const struct factors *f, bool inverse, double *c)
{
    tape__solve_triangle((tape__triangle){true, !inverse, true}, f->n, f->a, f->n, c);
    transpose_square(f->n, c);
    tape__solve_triangle((tape__triangle){false, inverse, true}, f->n, f->a, f->n, c);
    transpose_square(f->n, c);
}

/* From permuted rows and columns back to A's. */
static void unpermute(const struct factors *f, const double *c, double *out)
{
    for (int64_t i = 0; i < f->n; i++)
        for (int64_t j = 0; j < f->n; j++)
            out[f->row[i] * f->n + f->column[j]] = c[i * f->n + j];
}

static void cofactors_of_diagonal(const struct factors *f, double *c)
{
    for (int64_t i = 0; i < f->n; i++)
        for (int64_t j = 0; j < f->n; j++)
            c[i * f->n + j] = i == j ? product_without(f, i, i) : 0;
}

/* The change of those cofactors with a change b of the matrix. */
static void change_of_cofactors(const struct factors *f, const double *b, double *c)
{
    int64_t n = f->n;
    for (int64_t i = 0; i < n * n; i++)
        c[i] = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            double others = i == j ? 0 : product_without(f, i, j);
            c[i * n + j] -= b[j * n + i] * others;
            c[i * n + i] += b[j * n + j] * others;
        }
}

bool tape__cofactor_forward(tape__call *call)
{
    tape__stack stack;
    if (!tape__stack_of_squares(call, &stack))
        return false;
    int64_t n = call->in[0]->layout->size[call->in[0]->layout->rank - 1];
    tape__node *y = tape__stack_output(call, &stack, 2, (int64_t[]){n, n});
    double *a = tape__doubles(call->t, 2, n, n + 1);
    if (!y || !a)
        return false;
    double *c = a + n * n;
    for (int64_t e = 0; e < stack.count; e++) {
        tape__stack_load(call, &stack, 0, 2, e, a);
        struct factors f = factor(n, a, c + n * n);
        cofactors_of_diagonal(&f, c);
        apply_factors(&f, false, c);
        unpermute(&f, c, a);
        tape__stack_store(y, e, n * n, a);
    }
    return true;
}

/* The derivative of the cofactors is the second one of the determinant, which is symmetric. */
void tape__cofactor_vjp(tape__vjp *v)
{
    const tape_tensor x[2] = {v->x[0], v->gy[0]};
    v->gx[0] = tape__run(TAPE__OP_cofactor_change, x, 2, NULL, 0);
}

/* Inputs: A and a change B of it. */
bool tape__cofactor_change_forward(tape__call *call)
{
    tape__stack stack;
    const tape__layout *a = call->in[0]->layout, *b = call->in[1]->layout;
    if (!tape__stack_of_squares(call, &stack))
        return false;
    if (a->dense != b->dense)
        return tape__error(call->t, TAPE_ERROR_SHAPE, "expects equal shapes, got %s and %s", TAPE__LAYOUT_TEXT(a),
                           TAPE__LAYOUT_TEXT(b));
    int64_t n = a->size[a->rank - 1];
    tape__node *y = tape__stack_output(call, &stack, 2, (int64_t[]){n, n});
    double *m = tape__doubles(call->t, 3, n, n + 1);
    if (!y || !m)
        return false;
    double *c = m + n * n, *d = c + n * n;
    for (int64_t e = 0; e < stack.count; e++) {
        tape__stack_load(call, &stack, 0, 2, e, m);
        tape__stack_load(call, &stack, 1, 2, e, c);
        struct factors f = factor(n, m, d + n * n);
        for (int64_t i = 0; i < n * n; i++)
            d[i] = c[f.row[i / n] * n + f.column[i % n]];
        apply_factors(&f, true, d);
        change_of_cofactors(&f, d, c);
        apply_factors(&f, false, c);
        unpermute(&f, c, d);
        tape__stack_store(y, e, n * n, d);
    }
    return true;
}

/* The sum over the diagonal, as a stack of 1 x 1 matrices. */
static tape_tensor traces(tape_tensor x)
{
    return tape__as_matrices(tape_trace(x));
}

/*
 * Linear and symmetric in B. For A, with X = A^-1, d = det A and cotangent U the scalar is
 * d (tr(XB) tr(XU) - tr(XBXU)), and its derivative needs an A that is not singular.
 */
void tape__cofactor_change_vjp(tape__vjp *v)
{
    tape_tensor a = v->x[0], b = v->x[1], u = v->gy[0];
    if (v->needs[1]) {
        const tape_tensor x[2] = {a, u};
        v->gx[1] = tape__run(TAPE__OP_cofactor_change, x, 2, NULL, 0);
    }
    if (!v->needs[0])
        return;
    tape_tensor x = tape_inverse(a), xb = tape_matmul(x, b), xu = tape_matmul(x, u);
    tape_tensor xbx = tape_matmul(xb, x), xux = tape_matmul(xu, x), tb = traces(xb), tu = traces(xu);
    tape_tensor value = tape_sub(tape_mul(tb, tu), traces(tape_matmul(xb, xu)));
    tape_tensor sum = tape_sub(tape_mul(value, x), tape_add(tape_mul(tu, xbx), tape_mul(tb, xux)));
    sum = tape_add(sum, tape_add(tape_matmul(xb, xux), tape_matmul(xu, xbx)));
    v->gx[0] = tape_mul(tape__as_matrices(tape_det(a)), tape__transposed(sum));
}

/* ---- trace ------------------------------------------------------------------------------------------------------- */

tape_tensor tape_trace(tape_tensor a)
{
    TAPE__BEGIN_COMPOSITE("trace");
    tape_tensor y = tape_sum(tape_diagonal(a, 0, -2, -1), TAPE_AXES(-1), false);
    return tape__leave(t, before, TAPE__OP_trace, y);
}
