/*
 * Vectors, rotations and transforms for games and simulation. The rules common to all ops are in tape/ops.h.
 *
 * A vector is the last axis of a tensor, of size 3; the leading axes make many of them and broadcast. Matrices multiply
 * column vectors: y = M x, so a translation is in the last column. Space is right-handed; a positive angle, in radians,
 * turns counter-clockwise as seen by someone towards whom the axis points. A quaternion is (w, x, y, z): the real part
 * first. Ops that rotate expect unit quaternions and do not normalise: tape_quat_normalize() does.
 */
#ifndef TAPE_OPS_GEOMETRY_H
#define TAPE_OPS_GEOMETRY_H

#include "tape/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- vectors ----------------------------------------------------------------------------------------------------- */

/* The inner product of a[..., 3] and b[..., 3] -> [...]. d: g b and g a. */
TAPE_API tape_tensor tape_dot3(tape_tensor a, tape_tensor b);

/* The cross product a[..., 3] x b[..., 3]. d: b x g and g x a. */
TAPE_API tape_tensor tape_cross3(tape_tensor a, tape_tensor b);

/* The Euclidean length of vectors of any size: x[..., n] -> [...], without overflow. d: x / y, 0 where x is 0. */
TAPE_API tape_tensor tape_length(tape_tensor x);

/* x[..., n] / length, 0 where x is 0. d: (g - y (y . g)) / length, 0 where x is 0. */
TAPE_API tape_tensor tape_normalize_safe(tape_tensor x);

/* ---- quaternions ------------------------------------------------------------------------------------------------- */

/* The Hamilton product p q of p[..., 4] and q[..., 4]: first q's rotation, then p's. d: g q* and p* g. */
TAPE_API tape_tensor tape_quat_mul(tape_tensor p, tape_tensor q);

/* v[..., 3] rotated by q[..., 4]: v + 2 w (u x v) + 2 u x (u x v) with q = (w, u). d: of this formula, for any q. */
TAPE_API tape_tensor tape_quat_rotate(tape_tensor q, tape_tensor v);

/* tape_normalize_safe() of q[..., 4]. */
TAPE_API tape_tensor tape_quat_normalize(tape_tensor q);

/* From p at t = 0 to q at t = 1 with constant speed on the shorter way: (sin((1 - t) a) p + sin(t a) q) / sin(a), where
 * cos(a) = |p . q| and q counts as -q where p . q < 0. p and q [..., 4], t [...]. Where p and q are close the
 * coefficients come from their series (Eberly 2011), which has a derivative at p = q, too. d: of this formula. */
TAPE_API tape_tensor tape_quat_slerp(tape_tensor p, tape_tensor q, tape_tensor t);

/* ---- matrices ---------------------------------------------------------------------------------------------------- */

/* The product of a[..., 4, 4] and b[..., 4, 4]: first b's transform, then a's. d: as tape_matmul(). */
TAPE_API tape_tensor tape_mat4_mul(tape_tensor a, tape_tensor b);

/* The point p[..., 3] under the affine transform m[..., 4, 4]: m's first three rows times (p, 1). The last row is not
 * read: nothing is divided. d: as tape_matmul(). */
TAPE_API tape_tensor tape_mat4_transform_point(tape_tensor m, tape_tensor p);

/* The rotation matrix [..., 3, 3] about axis[..., 3], which need not be of length 1, by angle[...] (Rodrigues). A zero
 * axis gives cos(angle) times the identity. d: of this formula, 0 for a zero axis. */
TAPE_API tape_tensor tape_rotation_from_axis_angle(tape_tensor axis, tape_tensor angle);

/* The view matrix [..., 4, 4] of a camera at eye[..., 3] that looks at target[..., 3], with up[..., 3] upwards: it
 * takes the eye to 0, the target to the negative z axis and up to the half plane x = 0, y > 0 (OpenGL's convention). d:
 * of this formula; rows of zeros where a direction does not exist (target = eye, up along the view). */
TAPE_API tape_tensor tape_look_at(tape_tensor eye, tape_tensor target, tape_tensor up);

#ifdef __cplusplus
}
#endif
#endif
