/* Linear systems: inverse, solve, triangular_solve, cholesky. Knows shapes and derivatives; the arithmetic is in double
   for either dtype and the kernels'. */
#include <math.h>
#include <string.h>

#include "matrix.h"

static int64_t order_of(const tape__call *call)
{
    return call->in[0]->layout->size[call->in[0]->layout->rank - 1];
}

static void fill(double *x, int64_t n, double value)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = value;
}

/* ---- inverse ----------------------------------------------------------------------------------------------------- */

bool tape__inverse_forward(tape__call *call)
{
    tape__stack stack;
    if (!tape__stack_of_squares(call, &stack))
        return false;
    int64_t n = order_of(call);
    tape__node *y = tape__stack_output(call, &stack, 2, (int64_t[]){n, n});
    double *a = tape__doubles(call->t, 3, n, n);
    if (!y || !a)
        return false;
    double *b = a + n * n;
    int64_t *pivot = (void *)(b + n * n);
    for (int64_t e = 0; e < stack.count; e++) {
        tape__stack_load(call, &stack, 0, 2, e, a);
        tape__lu(n, a, pivot);
        fill(b, n * n, 0);
        for (int64_t i = 0; i < n; i++)
            b[i * n + i] = 1;
        if (!tape__lu_solve(n, a, pivot, n, b))
            fill(b, n * n, NAN);
        tape__stack_store(y, e, n * n, b);
    }
    return true;
}

/* d(A^-1) = -A^-1 dA A^-1 */
void tape__inverse_vjp(tape__vjp *v)
{
    tape_tensor yt = tape__transposed(v->y[0]);
    v->gx[0] = tape_neg(tape_matmul(tape_matmul(yt, v->gy[0]), yt));
}

tape_tensor tape_inverse(tape_tensor a)
{
    return tape__run(TAPE__OP_inverse, &a, 1, NULL, 0);
}

/* ---- solve ------------------------------------------------------------------------------------------------------- */

bool tape__is_vector(int rank_a, const int64_t *a, int rank_b, const int64_t *b)
{
    return rank_b == 1 || (rank_b == rank_a - 1 && memcmp(a, b, (size_t)rank_b * sizeof *b) == 0);
}

/* Rows and columns of b where they fit a's rows; false after an error. */
static bool right_side(tape__call *call, int trailing, int64_t *n, int64_t *m)
{
    const tape__layout *a = call->in[0]->layout, *b = call->in[1]->layout;
    *n = a->size[a->rank - 1];
    *m = trailing == 1 ? 1 : b->size[b->rank - 1];
    return (a->size[a->rank - 2] == *n && b->size[b->rank - trailing] == *n) ||
           tape__error(call->t, TAPE_ERROR_SHAPE, "shapes %s and %s: needs [..., n, n] and [..., n, m]",
                       TAPE__LAYOUT_TEXT(a), TAPE__LAYOUT_TEXT(b));
}

bool tape__solve_forward(tape__call *call)
{
    const tape__layout *a = call->in[0]->layout, *b = call->in[1]->layout;
    int trailing = tape__is_vector(a->rank, a->size, b->rank, b->size) ? 1 : 2;
    tape__stack stack;
    int64_t n, m;
    if (!tape__stack_plan(call, (const int[]){2, trailing}, &stack) || !right_side(call, trailing, &n, &m))
        return false;
    tape__node *y = tape__stack_output(call, &stack, trailing, (int64_t[]){n, m});
    double *lu = tape__doubles(call->t, 1, n, n + m + 1);
    if (!y || !lu)
        return false;
    double *x = lu + n * n;
    int64_t *pivot = (void *)(x + n * m);
    for (int64_t e = 0; e < stack.count; e++) {
        tape__stack_load(call, &stack, 0, 2, e, lu);
        tape__stack_load(call, &stack, 1, trailing, e, x);
        tape__lu(n, lu, pivot);
        if (!tape__lu_solve(n, lu, pivot, m, x))
            fill(x, n * m, NAN);
        tape__stack_store(y, e, n * m, x);
    }
    return true;
}

/* A x = b: the cotangent of b is w = A^-T g, that of A is -w x^T. */
void tape__solve_vjp(tape__vjp *v)
{
    tape_shape a = tape_shape_of(v->x[0]), b = tape_shape_of(v->x[1]);
    bool vector = tape__is_vector(a.rank, a.size, b.rank, b.size);
    tape_tensor g = vector ? tape_unsqueeze(v->gy[0], -1) : v->gy[0];
    tape_tensor x = vector ? tape_unsqueeze(v->y[0], -1) : v->y[0];
    tape_tensor w = tape_solve(tape__transposed(v->x[0]), g);
    if (v->needs[0])
        v->gx[0] = tape__sum_to(tape_neg(tape_matmul(w, tape__transposed(x))), a);
    if (v->needs[1])
        v->gx[1] = tape__sum_to(vector ? tape_squeeze(w, TAPE_AXES(-1)) : w, b);
}

tape_tensor tape_solve(tape_tensor a, tape_tensor b)
{
    const tape_tensor x[2] = {a, b};
    return tape__run(TAPE__OP_solve, x, 2, NULL, 0);
}

/* ---- triangular_solve -------------------------------------------------------------------------------------------- */

bool tape__triangular_solve_forward(tape__call *call)
{
    const tape_triangular_options *options = call->attr;
    tape__triangle shape = {options->lower, options->transpose, options->unit_diagonal};
    tape__stack stack;
    int64_t n, m;
    if (!tape__stack_of_matrices(call, &stack) || !right_side(call, 2, &n, &m))
        return false;
    tape__node *y = tape__stack_output(call, &stack, 2, (int64_t[]){n, m});
    double *t = tape__doubles(call->t, 1, n, n + m);
    if (!y || !t)
        return false;
    double *x = t + n * n;
    for (int64_t e = 0; e < stack.count; e++) {
        tape__stack_load(call, &stack, 0, 2, e, t);
        tape__stack_load(call, &stack, 1, 2, e, x);
        tape__solve_triangle(shape, n, t, m, x);
        tape__stack_store(y, e, n * m, x);
    }
    return true;
}

/* As for solve, with the part of the matrix that is read. */
void tape__triangular_solve_vjp(tape__vjp *v)
{
    tape_triangular_options options = *(const tape_triangular_options *)v->attr;
    bool swapped = options.transpose, lower = options.lower;
    options.transpose = !swapped;
    tape_tensor w = tape_triangular_solve(v->x[0], v->gy[0], &options), x = v->y[0];
    if (v->needs[0]) {
        tape_tensor outer = tape_matmul(swapped ? x : w, tape__transposed(swapped ? w : x));
        tape_tensor g = tape__sum_to(tape_neg(outer), tape_shape_of(v->x[0]));
        v->gx[0] = lower ? tape_tril(g, options.unit_diagonal ? -1 : 0) : tape_triu(g, options.unit_diagonal ? 1 : 0);
    }
    if (v->needs[1])
        v->gx[1] = tape__sum_to(w, tape_shape_of(v->x[1]));
}

tape_tensor tape_triangular_solve(tape_tensor a, tape_tensor b, const tape_triangular_options *options)
{
    const tape_tensor x[2] = {a, b};
    tape_triangular_options attr = options ? *options : (tape_triangular_options){0};
    return tape__run(TAPE__OP_triangular_solve, x, 2, &attr, sizeof attr);
}

/* ---- cholesky ---------------------------------------------------------------------------------------------------- */

bool tape__cholesky_forward(tape__call *call)
{
    tape__stack stack;
    if (!tape__stack_of_squares(call, &stack))
        return false;
    int64_t n = order_of(call);
    tape__node *y = tape__stack_output(call, &stack, 2, (int64_t[]){n, n});
    double *a = tape__doubles(call->t, 1, n, n);
    if (!y || !a)
        return false;
    for (int64_t e = 0; e < stack.count; e++) {
        tape__stack_load(call, &stack, 0, 2, e, a);
        if (!tape__cholesky(n, a))
            fill(a, n * n, NAN);
        tape__stack_store(y, e, n * n, a);
    }
    return true;
}

/* With P the lower triangle of L^T g and half its diagonal: L^-T (P + P^T) / 2 L^-1 (Murray 2016, made symmetric). */
void tape__cholesky_vjp(tape__vjp *v)
{
    const tape_triangular_options options = {.lower = true, .transpose = true};
    tape_tensor l = v->y[0], p = tape_matmul(tape__transposed(l), v->gy[0]);
    tape_tensor s = tape_mul_scalar(tape_add(tape_tril(p, 0), tape__transposed(tape_tril(p, -1))), 0.5);
    tape_tensor half = tape_triangular_solve(l, s, &options);
    v->gx[0] = tape_triangular_solve(l, tape__transposed(half), &options);
}

tape_tensor tape_cholesky(tape_tensor a)
{
    return tape__run(TAPE__OP_cholesky, &a, 1, NULL, 0);
}
