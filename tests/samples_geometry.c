/* Samples of the geometry ops. References work with real and imaginary parts, sums over indices and angles by libm. */
#include <math.h>

#include "support/samples.h"

#define SHAPE(...)                                                                                                     \
    {                                                                                                                  \
        (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),                                                     \
        {                                                                                                              \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }
#define FLOATS(...)                                                                                                    \
    {                                                                                                                  \
        SAMPLE_FLOAT, SHAPE(__VA_ARGS__), -1, 1                                                                        \
    }
#define POSITIVE(...)                                                                                                  \
    {                                                                                                                  \
        SAMPLE_FLOAT, SHAPE(__VA_ARGS__), 0.1, 0.9                                                                     \
    }
#define ONE_NUMBER                                                                                                     \
    {                                                                                                                  \
        SAMPLE_FLOAT, {0, {0}}, -1, 1                                                                                  \
    }
#define RUN(name, expression)                                                                                          \
    static tape_tensor run_##name(const tape_tensor *x)                                                                \
    {                                                                                                                  \
        return expression;                                                                                             \
    }

/* The sign of the permutation (i, j, k) of 0, 1, 2; else 0. */
static int levi_civita(int i, int j, int k)
{
    return (i - j) * (j - k) * (k - i) / 2;
}

static void ref_cross_of(const double *a, const double *b, double *y)
{
    for (int i = 0; i < 3; i++) {
        y[i] = 0;
        for (int j = 0; j < 3; j++)
            for (int k = 0; k < 3; k++)
                y[i] += levi_civita(i, j, k) * a[j] * b[k];
    }
}

static double ref_length_of(const double *x, int n)
{
    long double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (long double)x[i] * x[i];
    return (double)sqrtl(sum);
}

static void ref_unit(const double *x, int n, double *y)
{
    double length = ref_length_of(x, n);
    for (int i = 0; i < n; i++)
        y[i] = length == 0 ? 0 : x[i] / length;
}

/* ---- vectors ----------------------------------------------------------------------------------------------------- */

RUN(dot3, tape_dot3(x[0], x[1]))
RUN(cross3, tape_cross3(x[0], x[1]))
RUN(length, tape_length(x[0]))
RUN(normalize_safe, tape_normalize_safe(x[0]))

/* [2, 1, 3] and [4, 3] */
static void ref_dot3(const double *const *x, double *y)
{
    for (int e = 0; e < 8; e++) {
        y[e] = 0;
        for (int i = 0; i < 3; i++)
            y[e] += x[0][e / 4 * 3 + i] * x[1][e % 4 * 3 + i];
    }
}

static void ref_cross3(const double *const *x, double *y)
{
    for (int e = 0; e < 8; e++)
        ref_cross_of(x[0] + e / 4 * 3, x[1] + e % 4 * 3, y + e * 3);
}

static void ref_cross3_of_two(const double *const *x, double *y)
{
    ref_cross_of(x[0], x[1], y);
}

static void ref_length(const double *const *x, double *y)
{
    for (int e = 0; e < 2; e++)
        y[e] = ref_length_of(x[0] + e * 3, 3);
}

static void ref_length_of_many(const double *const *x, double *y)
{
    y[0] = ref_length_of(x[0], 7);
}

static void ref_normalize_safe(const double *const *x, double *y)
{
    for (int e = 0; e < 2; e++)
        ref_unit(x[0] + e * 3, 3, y + e * 3);
}

/* ---- quaternions ------------------------------------------------------------------------------------------------- */

RUN(quat_mul, tape_quat_mul(x[0], x[1]))
RUN(quat_rotate, tape_quat_rotate(x[0], x[1]))
RUN(quat_rotate_unit, tape_quat_rotate(tape_quat_normalize(x[0]), x[1]))
RUN(quat_normalize, tape_quat_normalize(x[0]))
RUN(quat_slerp, tape_quat_slerp(tape_quat_normalize(x[0]), tape_quat_normalize(x[1]), x[2]))
static tape_tensor run_quat_slerp_near(const tape_tensor *x)
{
    tape_tensor from = tape_quat_normalize(x[0]);
    tape_tensor to = tape_quat_normalize(tape_add(x[0], tape_mul_scalar(x[1], 0.02)));
    return tape_quat_slerp(from, to, x[2]);
}

/* (a + u) (b + v) = a b - u . v + a v + b u + u x v */
static void ref_hamilton(const double *p, const double *q, double *y)
{
    ref_cross_of(p + 1, q + 1, y + 1);
    y[0] = p[0] * q[0];
    for (int i = 1; i < 4; i++) {
        y[0] -= p[i] * q[i];
        y[i] += p[0] * q[i] + q[0] * p[i];
    }
}

/* [2, 4] and [4] */
static void ref_quat_mul(const double *const *x, double *y)
{
    for (int e = 0; e < 2; e++)
        ref_hamilton(x[0] + e * 4, x[1], y + e * 4);
}

/* The imaginary part of q (0, v) q* is ((w^2 + u^2) - 2 u^2) v + ...: for any q the op adds (1 - |q|^2) v to it. */
static void ref_rotate(const double *q, const double *v, double *y)
{
    double conjugate[4] = {q[0], -q[1], -q[2], -q[3]}, pure[4] = {0, v[0], v[1], v[2]}, half[4], whole[4];
    double square = ref_length_of(q, 4) * ref_length_of(q, 4);
    ref_hamilton(q, pure, half);
    ref_hamilton(half, conjugate, whole);
    for (int i = 0; i < 3; i++)
        y[i] = whole[i + 1] + (1 - square) * v[i];
}

/* [4] and [2, 3] */
static void ref_quat_rotate(const double *const *x, double *y)
{
    for (int e = 0; e < 2; e++)
        ref_rotate(x[0], x[1] + e * 3, y + e * 3);
}

static void ref_quat_rotate_unit(const double *const *x, double *y)
{
    double unit[4];
    ref_unit(x[0], 4, unit);
    ref_rotate(unit, x[1], y);
}

static void ref_quat_normalize(const double *const *x, double *y)
{
    ref_unit(x[0], 4, y);
}

static void ref_slerp(const double *p, const double *q, double t, double *y)
{
    long double cosine = 0, sign = 1;
    for (int i = 0; i < 4; i++)
        cosine += (long double)p[i] * q[i];
    if (cosine < 0)
        sign = -1;
    cosine *= sign;
    long double angle = cosine >= 1 ? 0 : acosl(cosine);
    long double from = angle < 1e-6L ? 1 - t : sinl((1 - t) * angle) / sinl(angle);
    long double to = angle < 1e-6L ? t : sinl(t * angle) / sinl(angle);
    for (int i = 0; i < 4; i++)
        y[i] = (double)(from * p[i] + sign * to * q[i]);
}

/* [2, 4], [4] and [2] */
static void ref_quat_slerp(const double *const *x, double *y)
{
    double p[4], q[4];
    for (int e = 0; e < 2; e++) {
        ref_unit(x[0] + e * 4, 4, p);
        ref_unit(x[1], 4, q);
        ref_slerp(p, q, x[2][e], y + e * 4);
    }
}

static void ref_quat_slerp_near(const double *const *x, double *y)
{
    double p[4], q[4], moved[4];
    for (int i = 0; i < 4; i++)
        moved[i] = x[0][i] + 0.02 * x[1][i];
    ref_unit(x[0], 4, p);
    ref_unit(moved, 4, q);
    ref_slerp(p, q, x[2][0], y);
}

/* ---- matrices ---------------------------------------------------------------------------------------------------- */

RUN(mat4_mul, tape_mat4_mul(x[0], x[1]))
RUN(mat4_transform_point, tape_mat4_transform_point(x[0], x[1]))
RUN(rotation, tape_rotation_from_axis_angle(x[0], x[1]))
RUN(look_at, tape_look_at(x[0], x[1], tape_add_scalar(tape_mul_scalar(x[2], 0.1), 1)))

/* [2, 4, 4] and [4, 4] */
static void ref_mat4_mul(const double *const *x, double *y)
{
    for (int e = 0; e < 32; e++) {
        y[e] = 0;
        for (int k = 0; k < 4; k++)
            y[e] += x[0][e / 4 * 4 + k] * x[1][k * 4 + e % 4];
    }
}

/* [4, 4] and [2, 3] */
static void ref_mat4_transform_point(const double *const *x, double *y)
{
    for (int e = 0; e < 6; e++) {
        const double *row = x[0] + e % 3 * 4, *p = x[1] + e / 3 * 3;
        y[e] = row[0] * p[0] + row[1] * p[1] + row[2] * p[2] + row[3];
    }
}

/* Through the quaternion of half the angle: column k is the rotated k-th unit vector. [2, 3] and a number. */
static void ref_rotation(const double *const *x, double *y)
{
    for (int e = 0; e < 2; e++)
        for (int k = 0; k < 3; k++) {
            double axis[3], column[3], unit[3] = {k == 0, k == 1, k == 2}, angle = x[1][0];
            ref_unit(x[0] + e * 3, 3, axis);
            double q[4] = {cos(angle / 2)};
            for (int i = 0; i < 3; i++)
                q[i + 1] = sin(angle / 2) * axis[i];
            ref_rotate(q, unit, column);
            for (int i = 0; i < 3; i++)
                y[e * 9 + i * 3 + k] = column[i];
        }
}

/* Eyes [2, 3], one target and one up. */
static void ref_look_at(const double *const *x, double *y)
{
    for (int e = 0; e < 2; e++) {
        double away[3], up[3], side[3], rows[3][3];
        const double *eye = x[0] + e * 3;
        for (int i = 0; i < 3; i++) {
            away[i] = eye[i] - x[1][i];
            up[i] = 0.1 * x[2][i] + 1;
        }
        ref_unit(away, 3, rows[2]);
        ref_cross_of(up, rows[2], side);
        ref_unit(side, 3, rows[0]);
        ref_cross_of(rows[2], rows[0], rows[1]);
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 4; j++)
                y[e * 16 + i * 4 + j] = i == 3  ? j == 3
                                        : j < 3 ? rows[i][j]
                                                : -(rows[i][0] * eye[0] + rows[i][1] * eye[1] + rows[i][2] * eye[2]);
    }
}

#define ENTRY(op, label, name, n, ...)                                                                                 \
    {                                                                                                                  \
#op, label, n, {__VA_ARGS__ }, run_##name, ref_##name, false, 0                                                \
    }
const struct sample samples_geometry[] = {
    ENTRY(dot3, "stretched", dot3, 2, FLOATS(2, 1, 3), FLOATS(4, 3)),
    ENTRY(cross3, "stretched", cross3, 2, FLOATS(2, 1, 3), FLOATS(4, 3)),
    {"cross3", "one", 2, {FLOATS(3), FLOATS(3)}, run_cross3, ref_cross3_of_two, false, 0},
    ENTRY(length, "vectors", length, 1, FLOATS(2, 3)),
    {"length", "any size", 1, {FLOATS(7)}, run_length, ref_length_of_many, false, 0},
    ENTRY(normalize_safe, "vectors", normalize_safe, 1, FLOATS(2, 3)),
    ENTRY(quat_mul, "stretched", quat_mul, 2, FLOATS(2, 4), FLOATS(4)),
    ENTRY(quat_rotate, "stretched", quat_rotate, 2, FLOATS(4), FLOATS(2, 3)),
    ENTRY(quat_rotate, "unit", quat_rotate_unit, 2, FLOATS(4), FLOATS(3)),
    ENTRY(quat_normalize, "one", quat_normalize, 1, FLOATS(4)),
    ENTRY(quat_slerp, "stretched", quat_slerp, 3, FLOATS(2, 4), FLOATS(4), POSITIVE(2)),
    ENTRY(quat_slerp, "near", quat_slerp_near, 3, FLOATS(4), FLOATS(4), POSITIVE(1)),
    ENTRY(mat4_mul, "stretched", mat4_mul, 2, FLOATS(2, 4, 4), FLOATS(4, 4)),
    ENTRY(mat4_transform_point, "stretched", mat4_transform_point, 2, FLOATS(4, 4), FLOATS(2, 3)),
    ENTRY(rotation_from_axis_angle, "one angle", rotation, 2, FLOATS(2, 3), ONE_NUMBER),
    ENTRY(look_at, "two eyes", look_at, 3, FLOATS(2, 3), FLOATS(3), FLOATS(3)),
    {NULL, NULL, 0, {{SAMPLE_FLOAT, {0, {0}}, 0, 0}}, NULL, NULL, false, 0},
};
