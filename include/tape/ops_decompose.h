/*
 * Ops on square matrices and factorisations. The rules common to all ops are in tape/ops.h.
 *
 * A matrix is the last two axes of a tensor, [..., n, m]; the leading axes make a stack of them, and where an op takes
 * two tensors their leading axes broadcast. The arithmetic is in double for f32, too, and serial: its bits depend on
 * the matrix alone. A matrix for which there is no result (a singular one to invert, one without a Cholesky factor)
 * gives NaN and leaves the other matrices of its stack alone; it is no error.
 * A build with LAPACK leaves eigh and svd above 32 x 32 to it: faster, on one thread, with the bits of that BLAS.
 */
#ifndef TAPE_OPS_DECOMPOSE_H
#define TAPE_OPS_DECOMPOSE_H

#include "tape/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The sum over the main diagonal of a[..., n, m] -> [...]. d: the identity. */
TAPE_API tape_tensor tape_trace(tape_tensor a);

/* The determinant of a[..., n, n] -> [...]; 1 for n = 0. d: the matrix of cofactors, which exists for a singular
 * matrix, too (0 where the rank is below n - 1), and so does the second derivative. The third one takes an inverse. */
TAPE_API tape_tensor tape_det(tape_tensor a);

/* log |det a| and, unless `sign` is NULL, the sign of the determinant: -1, 0 or 1. -inf and 0 where a is singular. d:
 * a^-T, NaN where a is singular; the sign's is 0. */
TAPE_API tape_tensor tape_slogdet(tape_tensor a, tape_tensor *sign);

/* a[..., n, n]^-1. NaN where a is singular. d: -y^T g y^T. */
TAPE_API tape_tensor tape_inverse(tape_tensor a);

/* The x of a x = b for a[..., n, n] and b[..., n, m]. b may also be a vector [n], or a stack of vectors whose shape is
 * a's without its last axis. NaN where a is singular. d: w = a^-T g for b, -w x^T for a. */
TAPE_API tape_tensor tape_solve(tape_tensor a, tape_tensor b);

/* Which triangle of a is taken. */
typedef struct tape_triangular_options {
    bool lower;         /* the lower one; else the upper */
    bool transpose;     /* solve a^T x = b */
    bool unit_diagonal; /* take 1 for the diagonal */
} tape_triangular_options;

/* The x of a x = b for a triangular a[..., n, n] and b[..., n, m]. What lies outside the triangle is not read. A 0 on
 * the diagonal divides as IEEE 754 says. `options` may be NULL. d: as for tape_solve(), within the triangle. */
TAPE_API tape_tensor tape_triangular_solve(tape_tensor a, tape_tensor b, const tape_triangular_options *options);

/* The lower triangular l of a = l l^T for a symmetric, positive definite a[..., n, n], of which the lower triangle is
 * read. NaN where a is not positive definite. d: symmetric, as if both triangles were read (Murray 2016). */
TAPE_API tape_tensor tape_cholesky(tape_tensor a);

/* a[..., m, n] = q r with orthonormal columns in q[..., m, k] and an upper triangular r[..., k, n], k the smaller of m
 * and n, with LAPACK's signs (r's diagonal may be negative). `r` may be NULL. d: Walter and Lehmann 2010; it needs
 * linearly independent first k columns. */
TAPE_API tape_tensor tape_qr(tape_tensor a, tape_tensor *r);

/* The eigenvalues w[..., n] of a symmetric a[..., n, n], ascending, and, unless `vectors` is NULL, its eigenvectors v
 * in the columns of [..., n, n]; of each the largest element is positive. The lower triangle of a is read. d:
 * symmetric; v diag(g) v^T for w, whatever the eigenvalues; that of v needs distinct ones. */
TAPE_API tape_tensor tape_eigh(tape_tensor a, tape_tensor *vectors);

/* a[..., m, n] = u diag(s) vt with orthonormal columns in u[..., m, k] and rows in vt[..., k, n], k the smaller of m
 * and n, and s[..., k] descending; of each row of vt the largest element is positive. `s` and `vt` may be NULL. d: u
 * diag(g) vt for s; those of u and vt need distinct singular values, not 0 where m and n differ (Townsend 2016). */
TAPE_API tape_tensor tape_svd(tape_tensor a, tape_tensor *s, tape_tensor *vt);

/* The s of tape_svd(). */
TAPE_API tape_tensor tape_svdvals(tape_tensor a);

/* The x that makes |a x - b| least, for a[..., m, n] of full rank and b[..., m, k] or vectors as in tape_solve(); for
 * m < n the shortest of those that make it 0. d: through the QR factorisation. */
TAPE_API tape_tensor tape_lstsq(tape_tensor a, tape_tensor b);

/* The matrix exponential 1 + a + a^2 / 2! + ... of a[..., n, n] (Higham 2005). d: the upper right block of
 * exp [[a^T, g], [0, a^T]]. */
TAPE_API tape_tensor tape_matrix_exp(tape_tensor a);

/* The cross product a x b along an axis of size 3; a and b broadcast, and `axis` is one of the result. d: b x g and
 * g x a. */
TAPE_API tape_tensor tape_cross(tape_tensor a, tape_tensor b, int axis);

#ifdef __cplusplus
}
#endif
#endif
