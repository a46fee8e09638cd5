/* The small hot ops on vectors and quaternions: one loop over rows of 3 or 4 numbers, in double for either dtype. Does
   not know the ops that are made of others (transform.c). */
#include <math.h>

#include "matrix.h"

/* One row of the result from one row of each input; n is the size of a row of the first. */
typedef void row_kernel(int64_t n, const double *a, const double *b, double *y);

enum { SMALL_ROW = 4 }; /* longer rows need scratch */

static void load_row(const tape__node *x, int64_t at, int64_t n, int64_t stride, double *row)
{
    for (int64_t i = 0; i < n; i++)
        row[i] = x->dtype == TAPE_F64 ? ((const double *)x->data)[at + i * stride]
                                      : (double)((const float *)x->data)[at + i * stride];
}

/* The next entry of the stack, row-major. */
static void advance(const tape__stack *stack, int n_in, int64_t *index, int64_t *at)
{
    for (int k = stack->rank - 1; k >= 0; k--) {
        for (int i = 0; i < n_in; i++)
            at[i] += stack->stride[i][k];
        if (++index[k] < stack->size[k])
            return;
        for (int i = 0; i < n_in; i++)
            at[i] -= stack->stride[i][k] * stack->size[k];
        index[k] = 0;
    }
}

static bool run_rows(tape__call *call, const tape__stack *stack, int64_t width, row_kernel *kernel)
{
    double small[3 * SMALL_ROW], *rows = small;
    int64_t n[TAPE__STACK_INPUTS] = {0}, stride[TAPE__STACK_INPUTS] = {0}, most = width;
    for (int i = 0; i < call->n_in; i++) {
        const tape__layout *x = call->in[i]->layout;
        n[i] = x->size[x->rank - 1];
        stride[i] = x->stride[x->rank - 1];
        most = n[i] > most ? n[i] : most;
    }
    if (most > SMALL_ROW)
        rows = tape__doubles(call->t, 3, 1, most);
    if (!rows)
        return false;
    most = most > SMALL_ROW ? most : SMALL_ROW;
    int64_t index[TAPE_MAX_RANK] = {0}, at[TAPE__STACK_INPUTS] = {0};
    for (int64_t e = 0; e < stack->count; e++) {
        for (int i = 0; i < call->n_in; i++)
            load_row(call->in[i], at[i], n[i], stride[i], rows + i * most);
        kernel(n[0], rows, rows + most, rows + 2 * most);
        tape__stack_store(call->out[0], e, width, rows + 2 * most);
        advance(stack, call->n_in, index, at);
    }
    return true;
}

enum row_result { NUMBER, ROW_LIKE_FIRST, ROW_LIKE_SECOND };

/* Inputs whose rows have the given sizes, 0 for any. */
static bool forward(tape__call *call, const int64_t *sizes, enum row_result result, row_kernel *kernel)
{
    tape__stack stack;
    if (!tape__stack_plan(call, (const int[]){1, 1}, &stack))
        return false;
    for (int i = 0; i < call->n_in; i++) {
        const tape__layout *x = call->in[i]->layout;
        if (sizes[i] && x->size[x->rank - 1] != sizes[i])
            return tape__error(call->t, TAPE_ERROR_SHAPE, "argument %d has shape %s: needs a last axis of size %d",
                               i + 1, TAPE__LAYOUT_TEXT(x), (int)sizes[i]);
    }
    const tape__layout *like = call->in[result == ROW_LIKE_SECOND]->layout;
    int64_t width = result == NUMBER ? 1 : like->size[like->rank - 1];
    return tape__stack_output(call, &stack, result != NUMBER, &width) && run_rows(call, &stack, width, kernel);
}

static tape_tensor run_two(int op, tape_tensor a, tape_tensor b)
{
    const tape_tensor x[2] = {a, b};
    return tape__run(op, x, 2, NULL, 0);
}

/* A stack of numbers as a stack of rows of one. */
static tape_tensor as_rows(tape_tensor x)
{
    return tape_unsqueeze(x, -1);
}

static void cross(const double *a, const double *b, double *y)
{
    y[0] = a[1] * b[2] - a[2] * b[1];
    y[1] = a[2] * b[0] - a[0] * b[2];
    y[2] = a[0] * b[1] - a[1] * b[0];
}

/* ---- products ---------------------------------------------------------------------------------------------------- */

static void dot_row(int64_t n, const double *a, const double *b, double *y)
{
    (void)n;
    y[0] = a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

bool tape__dot3_forward(tape__call *call)
{
    return forward(call, (const int64_t[]){3, 3}, NUMBER, dot_row);
}

void tape__dot3_vjp(tape__vjp *v)
{
    tape_tensor g = as_rows(v->gy[0]);
    for (int i = 0; i < 2; i++)
        if (v->needs[i])
            v->gx[i] = tape__sum_to(tape_mul(g, v->x[1 - i]), tape_shape_of(v->x[i]));
}

tape_tensor tape_dot3(tape_tensor a, tape_tensor b)
{
    return run_two(TAPE__OP_dot3, a, b);
}

static void cross_row(int64_t n, const double *a, const double *b, double *y)
{
    (void)n;
    cross(a, b, y);
}

bool tape__cross3_forward(tape__call *call)
{
    return forward(call, (const int64_t[]){3, 3}, ROW_LIKE_FIRST, cross_row);
}

void tape__cross3_vjp(tape__vjp *v)
{
    if (v->needs[0])
        v->gx[0] = tape__sum_to(tape_cross3(v->x[1], v->gy[0]), tape_shape_of(v->x[0]));
    if (v->needs[1])
        v->gx[1] = tape__sum_to(tape_cross3(v->gy[0], v->x[0]), tape_shape_of(v->x[1]));
}

tape_tensor tape_cross3(tape_tensor a, tape_tensor b)
{
    return run_two(TAPE__OP_cross3, a, b);
}

/* ---- length ------------------------------------------------------------------------------------------------------ */

/* Squares that would leave the range of double are taken of the row divided by its largest element. */
static double length_of(int64_t n, const double *x)
{
    double sum = 0, largest = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    if ((sum > 1e-280 && sum < INFINITY) || isnan(sum))
        return sqrt(sum);
    for (int64_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(x[i]));
    if (largest == 0 || isinf(largest))
        return largest;
    sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i] / largest * (x[i] / largest);
    return largest * sqrt(sum);
}

static void length_row(int64_t n, const double *x, const double *none, double *y)
{
    (void)none;
    y[0] = length_of(n, x);
}

bool tape__length_forward(tape__call *call)
{
    return forward(call, (const int64_t[]){0}, NUMBER, length_row);
}

void tape__length_vjp(tape__vjp *v)
{
    v->gx[0] = tape_mul(tape_normalize_safe(v->x[0]), as_rows(v->gy[0]));
}

tape_tensor tape_length(tape_tensor x)
{
    return tape__run(TAPE__OP_length, &x, 1, NULL, 0);
}

static void normalize_row(int64_t n, const double *x, const double *none, double *y)
{
    (void)none;
    double length = length_of(n, x);
    for (int64_t i = 0; i < n; i++)
        y[i] = length == 0 ? 0 : x[i] / length;
}

bool tape__normalize_safe_forward(tape__call *call)
{
    return forward(call, (const int64_t[]){0}, ROW_LIKE_FIRST, normalize_row);
}

void tape__normalize_safe_vjp(tape__vjp *v)
{
    tape_tensor y = v->y[0], g = v->gy[0], length = as_rows(tape_length(v->x[0]));
    tape_tensor along = tape_mul(y, tape_sum(tape_mul(y, g), TAPE_AXES(-1), true));
    tape_tensor zero = tape_scalar(tape_dtype_of(length), 0), is_zero = tape_eq_scalar(length, 0);
    tape_tensor safe = tape_where(is_zero, tape_ones_like(length), length);
    v->gx[0] = tape_where(is_zero, zero, tape_div(tape_sub(g, along), safe));
}

tape_tensor tape_normalize_safe(tape_tensor x)
{
    return tape__run(TAPE__OP_normalize_safe, &x, 1, NULL, 0);
}

/* ---- quaternions ------------------------------------------------------------------------------------------------- */

static tape_tensor conjugate(tape_tensor q)
{
    const double signs[4] = {1, -1, -1, -1};
    return tape_mul(q, tape_cast(tape_from(TAPE_F64, TAPE_SHAPE(4), signs), tape_dtype_of(q)));
}

static void quat_mul_row(int64_t n, const double *p, const double *q, double *y)
{
    (void)n;
    y[0] = p[0] * q[0] - p[1] * q[1] - p[2] * q[2] - p[3] * q[3];
    y[1] = p[0] * q[1] + p[1] * q[0] + p[2] * q[3] - p[3] * q[2];
    y[2] = p[0] * q[2] + p[2] * q[0] + p[3] * q[1] - p[1] * q[3];
    y[3] = p[0] * q[3] + p[3] * q[0] + p[1] * q[2] - p[2] * q[1];
}

bool tape__quat_mul_forward(tape__call *call)
{
    return forward(call, (const int64_t[]){4, 4}, ROW_LIKE_FIRST, quat_mul_row);
}

void tape__quat_mul_vjp(tape__vjp *v)
{
    if (v->needs[0])
        v->gx[0] = tape__sum_to(tape_quat_mul(v->gy[0], conjugate(v->x[1])), tape_shape_of(v->x[0]));
    if (v->needs[1])
        v->gx[1] = tape__sum_to(tape_quat_mul(conjugate(v->x[0]), v->gy[0]), tape_shape_of(v->x[1]));
}

tape_tensor tape_quat_mul(tape_tensor p, tape_tensor q)
{
    return run_two(TAPE__OP_quat_mul, p, q);
}

/* v + w t + u x t with t = 2 u x v */
static void quat_rotate_row(int64_t n, const double *q, const double *v, double *y)
{
    (void)n;
    double t[3], s[3];
    cross(q + 1, v, t);
    for (int i = 0; i < 3; i++)
        t[i] *= 2;
    cross(q + 1, t, s);
    for (int i = 0; i < 3; i++)
        y[i] = v[i] + q[0] * t[i] + s[i];
}

bool tape__quat_rotate_forward(tape__call *call)
{
    return forward(call, (const int64_t[]){4, 3}, ROW_LIKE_SECOND, quat_rotate_row);
}

/* For q = (w, u): 2 (u x v) . g and 2 (w (v x g) + (u . v) g + (u . g) v - 2 (v . g) u). */
static tape_tensor rotation_cotangent(tape_tensor q, tape_tensor p, tape_tensor g)
{
    tape_tensor w = tape_narrow(q, -1, 0, 1), u = tape_narrow(q, -1, 1, 3);
    tape_tensor by_w = as_rows(tape_dot3(tape_cross3(u, p), g));
    tape_tensor uv = as_rows(tape_dot3(u, p)), ug = as_rows(tape_dot3(u, g)), vg = as_rows(tape_dot3(p, g));
    tape_tensor by_u = tape_add(tape_mul(w, tape_cross3(p, g)), tape_add(tape_mul(uv, g), tape_mul(ug, p)));
    by_u = tape_sub(by_u, tape_mul(tape_mul_scalar(vg, 2), u));
    const tape_tensor parts[2] = {by_w, by_u};
    return tape_mul_scalar(tape_concat(parts, 2, -1), 2);
}

void tape__quat_rotate_vjp(tape__vjp *v)
{
    if (v->needs[0])
        v->gx[0] = tape__sum_to(rotation_cotangent(v->x[0], v->x[1], v->gy[0]), tape_shape_of(v->x[0]));
    if (v->needs[1])
        v->gx[1] = tape__sum_to(tape_quat_rotate(conjugate(v->x[0]), v->gy[0]), tape_shape_of(v->x[1]));
}

tape_tensor tape_quat_rotate(tape_tensor q, tape_tensor v)
{
    return run_two(TAPE__OP_quat_rotate, q, v);
}
