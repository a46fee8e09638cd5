/* Geometry that is made of other ops: slerp, 4 x 4 transforms, rotation and view matrices, the general cross product.
   Knows formulas and shapes; its derivatives are those of the ops inside. */
#include "ops.h"

/* True where the last axes of x have these sizes; else an error that names the argument. */
static bool ends_with(tape *t, tape_tensor x, int position, int count, const int64_t *sizes)
{
    tape_shape shape = tape_shape_of(x);
    bool fits = shape.rank >= count;
    for (int i = 0; i < count && fits; i++)
        fits = shape.size[shape.rank - count + i] == sizes[i];
    return t->status == TAPE_OK &&
           (fits || tape__error(t, TAPE_ERROR_SHAPE, "argument %d has shape %s: needs [..., %s]", position,
                                tape__shape_text(shape.rank, shape.size).text,
                                sizes[count - 1] == 3 ? "3"
                                : count == 1          ? "4"
                                                      : "4, 4"));
}

static bool is_vector(tape *t, tape_tensor x, int position)
{
    return ends_with(t, x, position, 1, (const int64_t[]){3});
}

static bool is_quaternion(tape *t, tape_tensor x, int position)
{
    return ends_with(t, x, position, 1, (const int64_t[]){4});
}

static bool is_mat4(tape *t, tape_tensor x, int position)
{
    return ends_with(t, x, position, 2, (const int64_t[]){4, 4});
}

/* Rows side by side along a new axis before the last one: [..., 3] and so on to [..., n, 3], stretched to each other.
 */
static tape_tensor as_matrix_rows(const tape_tensor *rows, int n)
{
    tape_tensor stretched[4], zero = tape_zeros_like(rows[0]);
    for (int i = 1; i < n; i++)
        zero = tape_add(zero, tape_zeros_like(rows[i]));
    for (int i = 0; i < n; i++)
        stretched[i] = tape_add(rows[i], zero);
    return tape_stack(stretched, n, -2);
}

/* ---- cross ------------------------------------------------------------------------------------------------------- */

/* The axis counts from the end, so that it is the same one in both whatever their ranks. */
tape_tensor tape_cross(tape_tensor a, tape_tensor b, int axis)
{
    TAPE__BEGIN_COMPOSITE("cross");
    int rank_a = tape_rank(a), rank_b = tape_rank(b), rank = rank_a > rank_b ? rank_a : rank_b;
    int from_end = tape__axis(axis, rank) - rank, least = rank_a < rank_b ? rank_a : rank_b;
    tape_tensor y = TAPE_NULL;
    if (t->status == TAPE_OK && (tape__axis(axis, rank) < 0 || least < -from_end))
        tape__error(t, TAPE_ERROR_ARGUMENT, "axis %d is out of range for ranks %d and %d", axis, rank_a, rank_b);
    else if (t->status == TAPE_OK)
        y = tape_transpose(tape_cross3(tape_transpose(a, from_end, -1), tape_transpose(b, from_end, -1)), from_end, -1);
    return tape__leave(t, before, TAPE__OP_cross, y);
}

/* ---- quaternions ------------------------------------------------------------------------------------------------- */

tape_tensor tape_quat_normalize(tape_tensor q)
{
    TAPE__BEGIN_COMPOSITE("quat_normalize");
    tape_tensor y = is_quaternion(t, q, 1) ? tape_normalize_safe(q) : TAPE_NULL;
    return tape__leave(t, before, TAPE__OP_quat_normalize, y);
}

enum { SLERP_TERMS = 9 };
static const double slerp_near = 0.02; /* of 1 - cos a, below which the series has converged to the last bit */

/* sin(s a) / sin(a) for z = 1 - cos a: s times the sum of the products of (k^2 - s^2) z / (k (2 k + 1)). */
static tape_tensor slerp_series(tape_tensor s, tape_tensor z)
{
    tape_tensor term = s, sum = s, square = tape_square(s);
    for (int k = 1; k < SLERP_TERMS; k++) {
        tape_tensor ratio = tape_mul(tape_scalar_sub((double)k * k, square), z);
        term = tape_mul(term, tape_mul_scalar(ratio, 1.0 / (k * (2 * k + 1))));
        sum = tape_add(sum, term);
    }
    return sum;
}

/* The same, from the angle itself where it is not small. Each branch gets numbers at which the other one is in order.
 */
static tape_tensor slerp_weight(tape_tensor s, tape_tensor cosine)
{
    tape_tensor z = tape_scalar_sub(1, cosine), near = tape_lt_scalar(z, slerp_near);
    tape_tensor half = tape_scalar(tape_dtype_of(cosine), 0.5), zero = tape_scalar(tape_dtype_of(cosine), 0);
    tape_tensor angle = tape_acos(tape_where(near, half, cosine));
    tape_tensor far = tape_div(tape_sin(tape_mul(s, angle)), tape_sin(angle));
    return tape_where(near, slerp_series(s, tape_where(near, z, zero)), far);
}

tape_tensor tape_quat_slerp(tape_tensor p, tape_tensor q, tape_tensor s)
{
    TAPE__BEGIN_COMPOSITE("quat_slerp");
    tape_tensor y = TAPE_NULL;
    if (is_quaternion(t, p, 1) && is_quaternion(t, q, 2)) {
        tape_tensor cosine = tape_sum(tape_mul(p, q), TAPE_AXES(-1), true), at = tape_unsqueeze(s, -1);
        tape_tensor flip = tape_lt_scalar(cosine, 0), nearer = tape_where(flip, tape_neg(q), q);
        cosine = tape_where(flip, tape_neg(cosine), cosine);
        tape_tensor from = tape_mul(slerp_weight(tape_scalar_sub(1, at), cosine), p);
        y = tape_add(from, tape_mul(slerp_weight(at, cosine), nearer));
    }
    return tape__leave(t, before, TAPE__OP_quat_slerp, y);
}

/* ---- 4 x 4 matrices ---------------------------------------------------------------------------------------------- */

tape_tensor tape_mat4_mul(tape_tensor a, tape_tensor b)
{
    TAPE__BEGIN_COMPOSITE("mat4_mul");
    tape_tensor y = is_mat4(t, a, 1) && is_mat4(t, b, 2) ? tape_matmul(a, b) : TAPE_NULL;
    return tape__leave(t, before, TAPE__OP_mat4_mul, y);
}

tape_tensor tape_mat4_transform_point(tape_tensor m, tape_tensor p)
{
    TAPE__BEGIN_COMPOSITE("mat4_transform_point");
    tape_tensor y = TAPE_NULL;
    if (is_mat4(t, m, 1) && is_vector(t, p, 2)) {
        tape_tensor rows = tape_narrow(m, -2, 0, 3), linear = tape_narrow(rows, -1, 0, 3);
        tape_tensor turned = tape_squeeze(tape_matmul(linear, tape_unsqueeze(p, -1)), TAPE_AXES(-1));
        y = tape_add(turned, tape_select(rows, -1, 3));
    }
    return tape__leave(t, before, TAPE__OP_mat4_transform_point, y);
}

/* Column k of the result is R e_k = c e_k + s (n x e_k) + (1 - c) n_k n for the unit axis n. */
tape_tensor tape_rotation_from_axis_angle(tape_tensor axis, tape_tensor angle)
{
    TAPE__BEGIN_COMPOSITE("rotation_from_axis_angle");
    tape_tensor y = TAPE_NULL;
    if (is_vector(t, axis, 1)) {
        tape_tensor n = tape_normalize_safe(axis), basis = tape_eye(tape_dtype_of(axis), 3, 3);
        tape_tensor a = tape_unsqueeze(tape_unsqueeze(angle, -1), -1), c = tape_cos(a), s = tape_sin(a);
        tape_tensor turned = tape_transpose(tape_cross3(tape_unsqueeze(n, -2), basis), -2, -1);
        tape_tensor along = tape_mul(tape_unsqueeze(n, -1), tape_unsqueeze(n, -2));
        y = tape_add(tape_mul(c, basis), tape_add(tape_mul(s, turned), tape_mul(tape_scalar_sub(1, c), along)));
    }
    return tape__leave(t, before, TAPE__OP_rotation_from_axis_angle, y);
}

tape_tensor tape_look_at(tape_tensor eye, tape_tensor target, tape_tensor up)
{
    TAPE__BEGIN_COMPOSITE("look_at");
    tape_tensor y = TAPE_NULL;
    if (is_vector(t, eye, 1) && is_vector(t, target, 2) && is_vector(t, up, 3)) {
        const double last[4] = {0, 0, 0, 1};
        tape_tensor forward = tape_normalize_safe(tape_sub(target, eye));
        tape_tensor right = tape_normalize_safe(tape_cross3(forward, up)), above = tape_cross3(right, forward);
        tape_tensor turned = as_matrix_rows((const tape_tensor[]){right, above, tape_neg(forward)}, 3);
        tape_tensor shift = tape_neg(tape_matmul(turned, tape_unsqueeze(eye, -1)));
        tape_tensor top = tape_concat((const tape_tensor[]){turned, shift}, 2, -1);
        tape_tensor row = tape_cast(tape_from(TAPE_F64, TAPE_SHAPE(4), last), tape_dtype_of(top));
        tape_tensor bottom = tape_add(tape_zeros_like(tape_narrow(top, -2, 0, 1)), row);
        y = tape_concat((const tape_tensor[]){top, bottom}, 2, -2);
    }
    return tape__leave(t, before, TAPE__OP_look_at, y);
}
