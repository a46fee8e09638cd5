/* Orthogonal factorisations: qr, eigh, svd, and least squares by them. Knows shapes and derivatives; the arithmetic is
   in double for either dtype and the kernels'. */
#include "matrix.h"

/* Rows, columns and the smaller of both. */
struct extent {
    int64_t m, n, k;
};

static struct extent extent_of(const tape__layout *x)
{
    int64_t m = x->size[x->rank - 2], n = x->size[x->rank - 1];
    return (struct extent){m, n, m < n ? m : n};
}

/* x with all that is off its diagonal made 0. */
static tape_tensor on_diagonal(tape_tensor x)
{
    return tape_mul(x, tape__identity_for(x));
}

/* ---- qr ---------------------------------------------------------------------------------------------------------- */

bool tape__qr_forward(tape__call *call)
{
    tape__stack stack;
    if (!tape__stack_of_matrices(call, &stack))
        return false;
    struct extent x = extent_of(call->in[0]->layout);
    tape__node *yq = tape__stack_output(call, &stack, 2, (int64_t[]){x.m, x.k});
    tape__node *yr = tape__stack_output(call, &stack, 2, (int64_t[]){x.k, x.n});
    double *a = tape__doubles(call->t, 3, x.m + 2, x.n + 2);
    if (!yq || !yr || !a)
        return false;
    double *q = a + x.m * x.n, *r = q + x.m * x.k, *work = r + x.k * x.n;
    for (int64_t e = 0; e < stack.count; e++) {
        tape__stack_load(call, &stack, 0, 2, e, a);
        tape__qr(x.m, x.n, a, work, q, r);
        tape__stack_store(yq, e, x.m * x.k, q);
        tape__stack_store(yr, e, x.k * x.n, r);
    }
    return true;
}

/* For m >= n: (gQ + Q (M + M^T with half the diagonal)) R^-T, M the upper triangle of gR R^T - Q^T gQ (Walter and
 * Lehmann 2010). */
static tape_tensor qr_cotangent(tape_tensor q, tape_tensor r, tape_tensor gq, tape_tensor gr)
{
    tape_tensor m = tape_sub(tape_matmul(gr, tape__transposed(r)), tape_matmul(tape__transposed(q), gq));
    tape_tensor s = tape_add(tape_triu(m, 0), tape__transposed(tape_triu(m, 1)));
    tape_tensor z = tape_add(gq, tape_matmul(q, s));
    return tape__transposed(tape_triangular_solve(r, tape__transposed(z), NULL));
}

/* A wide matrix is [X, Y] with X = Q R1 square and Y = Q R2: R2 = Q^T Y adds Y gR2^T to what Q receives. */
void tape__qr_vjp(tape__vjp *v)
{
    tape_tensor q = v->y[0], r = v->y[1], gq = v->gy[0], gr = v->gy[1];
    int64_t k = tape_size(r, -2), n = tape_size(r, -1);
    if (k == n) {
        v->gx[0] = qr_cotangent(q, r, gq, gr);
        return;
    }
    tape_tensor gr1 = tape_narrow(gr, -1, 0, k), gr2 = tape_narrow(gr, -1, k, n - k);
    tape_tensor y = tape_matmul(q, tape_narrow(r, -1, k, n - k));
    gq = tape_add(gq, tape_matmul(y, tape__transposed(gr2)));
    const tape_tensor parts[2] = {qr_cotangent(q, tape_narrow(r, -1, 0, k), gq, gr1), tape_matmul(q, gr2)};
    v->gx[0] = tape_concat(parts, 2, -1);
}

tape_tensor tape_qr(tape_tensor a, tape_tensor *r)
{
    tape_tensor q = tape__run(TAPE__OP_qr, &a, 1, NULL, 0);
    if (r)
        *r = tape__sibling(q, 1);
    return q;
}

/* ---- eigh -------------------------------------------------------------------------------------------------------- */

bool tape__eigh_forward(tape__call *call)
{
    tape__stack stack;
    if (!tape__stack_of_squares(call, &stack))
        return false;
    int64_t n = extent_of(call->in[0]->layout).n;
    tape__node *yw = tape__stack_output(call, &stack, 1, &n);
    tape__node *yv = tape__stack_output(call, &stack, 2, (int64_t[]){n, n});
    double *a = tape__doubles(call->t, 2, n, n + 1);
    if (!yw || !yv || !a)
        return false;
    double *vectors = a + n * n, *w = vectors + n * n;
    for (int64_t e = 0; e < stack.count; e++) {
        tape__stack_load(call, &stack, 0, 2, e, a);
        tape__eigh(n, a, w, vectors);
        tape__stack_store(yw, e, n, w);
        tape__stack_store(yv, e, n * n, vectors);
    }
    return true;
}

/* V (diag(gw) + S / E) V^T, S the skew part of V^T gV, E[i, j] = w[j] - w[i]. */
void tape__eigh_vjp(tape__vjp *v)
{
    tape_tensor w = v->y[0], vectors = v->y[1], vt = tape__transposed(vectors), inner = TAPE_NONE;
    if (!tape_is_none(v->gy[0]))
        inner = on_diagonal(tape_mul(tape_unsqueeze(v->gy[0], -1), tape_ones_like(vectors)));
    if (!tape_is_none(v->gy[1])) {
        tape_tensor x = tape_matmul(vt, v->gy[1]), skew = tape_sub(x, tape__transposed(x));
        tape_tensor gaps = tape_mul_scalar(tape_sub(tape_unsqueeze(w, -2), tape_unsqueeze(w, -1)), 2);
        tape_tensor ratio = tape_div(skew, tape_add(gaps, tape__identity_for(vectors)));
        inner = tape_is_none(inner) ? ratio : tape_add(inner, ratio);
    }
    v->gx[0] = tape_matmul(tape_matmul(vectors, inner), vt);
}

tape_tensor tape_eigh(tape_tensor a, tape_tensor *vectors)
{
    tape_tensor w = tape__run(TAPE__OP_eigh, &a, 1, NULL, 0);
    if (vectors)
        *vectors = tape__sibling(w, 1);
    return w;
}

/* ---- svd --------------------------------------------------------------------------------------------------------- */

bool tape__svd_forward(tape__call *call)
{
    tape__stack stack;
    if (!tape__stack_of_matrices(call, &stack))
        return false;
    struct extent x = extent_of(call->in[0]->layout);
    tape__node *yu = tape__stack_output(call, &stack, 2, (int64_t[]){x.m, x.k});
    tape__node *ys = tape__stack_output(call, &stack, 1, &x.k);
    tape__node *yvt = tape__stack_output(call, &stack, 2, (int64_t[]){x.k, x.n});
    double *a = tape__doubles(call->t, 5, x.m + 1, x.n + 1);
    if (!yu || !ys || !yvt || !a)
        return false;
    double *u = a + x.m * x.n, *vt = u + x.m * x.k, *s = vt + x.k * x.n, *work = s + x.k;
    for (int64_t e = 0; e < stack.count; e++) {
        tape__stack_load(call, &stack, 0, 2, e, a);
        tape__svd(x.m, x.n, a, work, u, s, vt);
        tape__stack_store(yu, e, x.m * x.k, u);
        tape__stack_store(ys, e, x.k, s);
        tape__stack_store(yvt, e, x.k * x.n, vt);
    }
    return true;
}

/* The skew part of a^T b over the gaps of the squared singular values: s[j]^2 - s[i]^2, 1 on the diagonal. */
static tape_tensor over_gaps(tape_tensor s, tape_tensor at, tape_tensor b)
{
    tape_tensor x = tape_matmul(at, b), square = tape_square(s);
    tape_tensor gaps = tape_sub(tape_unsqueeze(square, -2), tape_unsqueeze(square, -1));
    return tape_div(tape_sub(x, tape__transposed(x)), tape_add(gaps, tape__identity_for(x)));
}

/* g without its part in the space of the columns of u. */
static tape_tensor outside(tape_tensor u, tape_tensor g)
{
    return tape_sub(g, tape_matmul(u, tape_matmul(tape__transposed(u), g)));
}

/* U (diag(gs) + skew(U^T gU) / E S + S skew(V^T gV) / E) V^T, and for a tall or wide matrix what gU and gV have outside
 * the spaces of U and V, divided by s (Townsend 2016). */
void tape__svd_vjp(tape__vjp *v)
{
    tape_tensor u = v->y[0], s = v->y[1], vt = v->y[2], inner = TAPE_NONE;
    tape_tensor as_column = tape_unsqueeze(s, -1), as_row = tape_unsqueeze(s, -2), outer = TAPE_NONE;
    if (!tape_is_none(v->gy[1])) {
        tape_tensor square = tape_matmul(vt, tape__transposed(vt));
        inner = on_diagonal(tape_mul(tape_unsqueeze(v->gy[1], -1), tape_ones_like(square)));
    }
    if (!tape_is_none(v->gy[0])) {
        tape_tensor part = tape_mul(over_gaps(s, tape__transposed(u), v->gy[0]), as_row);
        inner = tape_is_none(inner) ? part : tape_add(inner, part);
        if (tape_size(u, -2) > tape_size(u, -1))
            outer = tape_matmul(tape_div(outside(u, v->gy[0]), as_row), vt);
    }
    if (!tape_is_none(v->gy[2])) {
        tape_tensor gv = tape__transposed(v->gy[2]), right = tape__transposed(vt);
        tape_tensor part = tape_mul(over_gaps(s, vt, gv), as_column);
        inner = tape_is_none(inner) ? part : tape_add(inner, part);
        if (tape_size(vt, -1) > tape_size(vt, -2))
            outer = tape_matmul(u, tape_div(tape__transposed(outside(right, gv)), as_column));
    }
    tape_tensor gx = tape_matmul(tape_matmul(u, inner), vt);
    v->gx[0] = tape_is_none(outer) ? gx : tape_add(gx, outer);
}

tape_tensor tape_svd(tape_tensor a, tape_tensor *s, tape_tensor *vt)
{
    tape_tensor u = tape__run(TAPE__OP_svd, &a, 1, NULL, 0);
    if (s)
        *s = tape__sibling(u, 1);
    if (vt)
        *vt = tape__sibling(u, 2);
    return u;
}

tape_tensor tape_svdvals(tape_tensor a)
{
    TAPE__BEGIN_COMPOSITE("svdvals");
    tape_tensor s;
    tape_svd(a, &s, NULL);
    return tape__leave(t, before, TAPE__OP_svdvals, s);
}

/* ---- lstsq ------------------------------------------------------------------------------------------------------- */

/* Tall: R^-1 Q^T b of A = Q R. Wide: Q R^-T b of A^T = Q R, the shortest of all solutions. */
static tape_tensor least_squares(tape_tensor a, tape_tensor b)
{
    bool tall = tape_size(a, -2) >= tape_size(a, -1);
    tape_tensor r, q = tape_qr(tall ? a : tape__transposed(a), &r);
    if (tall)
        return tape_triangular_solve(r, tape_matmul(tape__transposed(q), b), NULL);
    return tape_matmul(q, tape_triangular_solve(r, b, &(tape_triangular_options){.transpose = true}));
}

tape_tensor tape_lstsq(tape_tensor a, tape_tensor b)
{
    TAPE__BEGIN_COMPOSITE("lstsq");
    tape_shape sa = tape_shape_of(a), sb = tape_shape_of(b);
    bool vector = tape__is_vector(sa.rank, sa.size, sb.rank, sb.size);
    tape_tensor y = TAPE_NULL;
    if (t->status == TAPE_OK &&
        (sa.rank < 2 || sb.rank < 1 || sb.size[sb.rank - (vector ? 1 : 2)] != sa.size[sa.rank - 2]))
        tape__error(t, TAPE_ERROR_SHAPE, "shapes %s and %s: needs [..., m, n] and [..., m, k]",
                    tape__shape_text(sa.rank, sa.size).text, tape__shape_text(sb.rank, sb.size).text);
    else if (t->status == TAPE_OK) {
        y = least_squares(a, vector ? tape_unsqueeze(b, -1) : b);
        y = vector ? tape_squeeze(y, TAPE_AXES(-1)) : y;
    }
    return tape__leave(t, before, TAPE__OP_lstsq, y);
}

/* ---- matrix_exp -------------------------------------------------------------------------------------------------- */

bool tape__matrix_exp_forward(tape__call *call)
{
    tape__stack stack;
    if (!tape__stack_of_squares(call, &stack))
        return false;
    int64_t n = extent_of(call->in[0]->layout).n;
    tape__node *y = tape__stack_output(call, &stack, 2, (int64_t[]){n, n});
    double *a = tape__doubles(call->t, 9, n, n);
    if (!y || !a)
        return false;
    double *result = a + n * n, *work = result + n * n;
    for (int64_t e = 0; e < stack.count; e++) {
        tape__stack_load(call, &stack, 0, 2, e, a);
        tape__matrix_exp(n, a, work, (void *)(work + 6 * n * n), result);
        tape__stack_store(y, e, n * n, result);
    }
    return true;
}

/* The upper right block of exp [[A^T, g], [0, A^T]] (Najfeld and Havel 1995). */
void tape__matrix_exp_vjp(tape__vjp *v)
{
    tape_tensor at = tape__transposed(v->x[0]);
    int64_t n = tape_size(at, -1);
    tape_tensor top = tape_concat((const tape_tensor[]){at, v->gy[0]}, 2, -1);
    tape_tensor bottom = tape_concat((const tape_tensor[]){tape_zeros_like(at), at}, 2, -1);
    tape_tensor whole = tape_matrix_exp(tape_concat((const tape_tensor[]){top, bottom}, 2, -2));
    v->gx[0] = tape_narrow(tape_narrow(whole, -2, 0, n), -1, n, n);
}

tape_tensor tape_matrix_exp(tape_tensor a)
{
    return tape__run(TAPE__OP_matrix_exp, &a, 1, NULL, 0);
}
