/* Geometry by hand: the conventions, the policy where there is no direction, extreme lengths, errors. */
#include "expect.h"
#include "table.h"
#include "tape/gradcheck.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

#define VECTOR(...) CONSTANT(TAPE_F64, TAPE_SHAPE(3), __VA_ARGS__)
#define QUATERNION(...) CONSTANT(TAPE_F64, TAPE_SHAPE(4), __VA_ARGS__)

static const double root = 0.70710678118654752440; /* of one half */
static const double pi = 3.14159265358979323846;

/* Right-handed, real part first, column vectors. */
START_TEST(test_conventions)
{
    tape_tensor quarter = QUATERNION(root, 0, 0, root), x = VECTOR(1, 0, 0), up = VECTOR(0, 1, 0);
    EXPECT(tape_cross3(x, up), 0, 0, 1);
    EXPECT(tape_quat_rotate(quarter, x), 0, 1, 0);
    EXPECT(tape_quat_mul(QUATERNION(0, 1, 0, 0), QUATERNION(0, 0, 1, 0)), 0, 0, 0, 1);
    EXPECT(tape_rotation_from_axis_angle(VECTOR(0, 0, 5), tape_scalar(TAPE_F64, pi / 2)), 0, -1, 0, 1, 0, 0, 0, 0, 1);
    tape_tensor move = CONSTANT(TAPE_F64, TAPE_SHAPE(4, 4), 1, 0, 0, 5, 0, 2, 0, 6, 0, 0, 1, 7, 9, 9, 9, 9);
    EXPECT(tape_mat4_transform_point(move, VECTOR(1, 2, 3)), 6, 10, 10);
    EXPECT(tape_look_at(VECTOR(4, 0, 0), VECTOR(0, 0, 0), up), 0, 0, -1, 0, 0, 1, 0, 0, 1, 0, 0, -4, 0, 0, 0, 1);
    /* first q's rotation, then p's */
    tape_tensor p = QUATERNION(root, root, 0, 0), v = VECTOR(1, 2, 3);
    tape_tensor apart = tape_quat_rotate(p, tape_quat_rotate(quarter, v));
    double *expected = doubles_of(apart);
    expect_values(__FILE__, __LINE__, tape_quat_rotate(tape_quat_mul(p, quarter), v), expected, 3);
    free(expected);
    settle();
}
END_TEST

/* At 0 value and derivatives of every order are 0. */
START_TEST(test_no_direction)
{
    tape_tensor x = PARAM(TAPE_SHAPE(2, 3), 0, 0, 0, 0, 3, 4);
    EXPECT(tape_length(x), 0, 5);
    EXPECT(tape_normalize_safe(x), 0, 0, 0, 0, 0.6, 0.8);
    tape_tensor first = gradient_of(tape_length(x), x);
    EXPECT(first, 0, 0, 0, 0, 0.6, 0.8);
    EXPECT(DERIVATIVE(first, x, 1, 2, 3, 1, 0, 0), 0, 0, 0, 0.2, 0, 0);
    EXPECT(DERIVATIVE(tape_normalize_safe(x), x, 1, 2, 3, 0, 1, 0), 0, 0, 0, 0, 0.128, -0.096);
    tape_tensor normal = gradient_of(tape_normalize_safe(x), x);
    EXPECT(tape_narrow(gradient_of(normal, x), 0, 0, 1), 0, 0, 0);
    tape_free(x);
    tape_tensor q = PARAM(TAPE_SHAPE(4), 0, 0, 0, 0);
    EXPECT(tape_quat_normalize(q), 0, 0, 0, 0);
    EXPECT(gradient_of(tape_quat_normalize(q), q), 0, 0, 0, 0);
    tape_free(q);
    tape_tensor axis = PARAM(TAPE_SHAPE(3), 0, 0, 0);
    tape_tensor turned = tape_rotation_from_axis_angle(axis, tape_scalar(TAPE_F64, 0.5));
    EXPECT(turned, cos(0.5), 0, 0, 0, cos(0.5), 0, 0, 0, cos(0.5));
    EXPECT(gradient_of(turned, axis), 0, 0, 0);
    tape_free(axis);
    settle();
}
END_TEST

START_TEST(test_extreme_lengths)
{
    tape_tensor x = CONSTANT(TAPE_F64, TAPE_SHAPE(4, 2), 3e300, 4e300, 3e-300, 4e-300, INFINITY, 1, NAN, 1);
    EXPECT(tape_length(x), 5e300, 5e-300, INFINITY, NAN);
    EXPECT(tape_narrow(tape_normalize_safe(x), 0, 0, 2), 0.6, 0.8, 0.6, 0.8);
    EXPECT_AS(tape_length(tape_zeros(TAPE_F64, TAPE_SHAPE(2, 0))), TAPE_SHAPE(2), 0, 0);
    EXPECT_SHAPE(tape_normalize_safe(tape_zeros(TAPE_F64, TAPE_SHAPE(2, 0))), TAPE_SHAPE(2, 0));
    EXPECT_SHAPE(tape_dot3(tape_zeros(TAPE_F64, TAPE_SHAPE(0, 3)), VECTOR(1, 2, 3)), TAPE_SHAPE(0));
    settle();
}
END_TEST

/* ---- slerp ------------------------------------------------------------------------------------------------------- */

static tape_tensor slerp(void *user, const tape_tensor *x, int n)
{
    (void)user, (void)n;
    return tape_quat_slerp(x[0], x[1], tape_scalar(TAPE_F64, 0.3));
}

START_TEST(test_slerp)
{
    tape_tensor p = QUATERNION(1, 0, 0, 0), q = QUATERNION(root, 0, 0, root),
                t = CONSTANT(TAPE_F64, TAPE_SHAPE(3), 0, 0.5, 1);
    EXPECT_AS(tape_quat_slerp(p, q, t), TAPE_SHAPE(3, 4), 1, 0, 0, 0, cos(pi / 8), 0, 0, sin(pi / 8), root, 0, 0, root);
    /* the other sign is the same rotation: the shorter way */
    EXPECT(tape_quat_slerp(p, tape_neg(q), tape_scalar(TAPE_F64, 0.5)), cos(pi / 8), 0, 0, sin(pi / 8));
    EXPECT(tape_quat_slerp(p, p, tape_scalar(TAPE_F64, 0.3)), 1, 0, 0, 0);
    settle();
}
END_TEST

/* Equal quaternions, and both sides of where the series takes over. */
START_TEST(test_slerp_derivative)
{
    const double angles[] = {0, 1e-9, 0.1, 0.19999, 0.20001, 1.5};
    for (size_t i = 0; i < sizeof angles / sizeof *angles; i++) {
        tape_gradcheck_report report;
        tape_tensor x[2] = {PARAM(TAPE_SHAPE(4), 1, 0, 0, 0),
                            PARAM(TAPE_SHAPE(4), cos(angles[i]), 0, sin(angles[i]), 0)};
        for (int second = 0; second < 2; second++) {
            const tape_gradcheck_options options = {.second_order = second};
            ck_assert_msg(tape_gradcheck(slerp, NULL, x, 2, &options, &report), "%g: %s", angles[i], report.message);
        }
        tape_free(x[0]);
        tape_free(x[1]);
    }
    settle();
}
END_TEST

START_TEST(test_errors)
{
    tape_tensor v = VECTOR(1, 2, 3), q = QUATERNION(1, 0, 0, 0), m = tape_eye(TAPE_F64, 4, 4);
    EXPECT_ERROR(tape_dot3(v, q), TAPE_ERROR_SHAPE, "dot3: argument 2 has shape [4]: needs a last axis of size 3");
    EXPECT_ERROR(tape_cross3(tape_scalar(TAPE_F64, 1), v), TAPE_ERROR_SHAPE, "cross3: argument 1");
    EXPECT_ERROR(tape_length(tape_scalar(TAPE_F64, 1)), TAPE_ERROR_SHAPE, "length: argument 1");
    EXPECT_ERROR(tape_quat_mul(q, v), TAPE_ERROR_SHAPE, "quat_mul: argument 2");
    EXPECT_ERROR(tape_quat_rotate(v, q), TAPE_ERROR_SHAPE, "quat_rotate: argument 1");
    EXPECT_ERROR(tape_quat_normalize(v), TAPE_ERROR_SHAPE, "quat_normalize: argument 1 has shape [3]: needs [..., 4]");
    EXPECT_ERROR(tape_quat_slerp(q, v, tape_scalar(TAPE_F64, 0)), TAPE_ERROR_SHAPE, "quat_slerp: argument 2");
    EXPECT_ERROR(tape_mat4_mul(m, q), TAPE_ERROR_SHAPE, "mat4_mul: argument 2 has shape [4]: needs [..., 4, 4]");
    EXPECT_ERROR(tape_mat4_transform_point(m, q), TAPE_ERROR_SHAPE, "mat4_transform_point: argument 2");
    EXPECT_ERROR(tape_rotation_from_axis_angle(q, v), TAPE_ERROR_SHAPE, "rotation_from_axis_angle: argument 1");
    EXPECT_ERROR(tape_look_at(v, v, q), TAPE_ERROR_SHAPE, "look_at: argument 3");
    EXPECT_ERROR(tape_cross3(v, tape_ones(TAPE_F32, TAPE_SHAPE(3))), TAPE_ERROR_DTYPE, "f64 and f32");
    EXPECT_ERROR(tape_cross3(tape_ones(TAPE_F64, TAPE_SHAPE(2, 3)), tape_ones(TAPE_F64, TAPE_SHAPE(4, 3))),
                 TAPE_ERROR_SHAPE, "do not broadcast");
    settle();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("geometry");
    TCase *all = tcase_create("all");
    tcase_add_test(all, test_conventions);
    tcase_add_test(all, test_no_direction);
    tcase_add_test(all, test_extreme_lengths);
    tcase_add_test(all, test_slerp);
    tcase_add_test(all, test_slerp_derivative);
    tcase_add_test(all, test_errors);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
