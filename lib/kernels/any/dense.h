/* Knows the interface of factorisations of small dense matrices: row-major doubles, one matrix a call, serial. */
#ifndef TAPE__DENSE_H
#define TAPE__DENSE_H

#include "base.h"

/* A triangle of a square matrix; what lies in the other one, and on the diagonal with `unit`, is not read. */
typedef struct tape__triangle {
    bool lower, transpose, unit;
} tape__triangle;

/* In place P A = L U with partial pivoting; row i was exchanged with row pivot[i] >= i. Returns the sign of the
 * permutation. A pivot of 0 stays on the diagonal of U. */
int tape__lu(int64_t n, double *a, int64_t *pivot);

/* b[n, m] becomes A^-1 b. False where U has a zero on its diagonal. */
bool tape__lu_solve(int64_t n, const double *lu, const int64_t *pivot, int64_t m, double *b);

/* b[n, m] becomes T^-1 b or, with `transpose`, T^-T b; divisions by zero as IEEE says. */
void tape__solve_triangle(tape__triangle shape, int64_t n, const double *t, int64_t m, double *b);

/* The lower factor of A = L L^T in place, with zeros above; reads A's lower triangle. False where A is not positive
 * definite. */
bool tape__cholesky(int64_t n, double *a);

/* In place A[row[i], column[j]] = (L D R)[i, j] with complete pivoting: L unit lower, R unit upper, both well
 * conditioned, D on the diagonal with its zeros last. Returns the sign of both permutations together. */
int tape__ldr(int64_t n, double *a, int64_t *row, int64_t *column);

/* a[m, n] = q[m, k] r[k, n], k the smaller of both, by Householder reflections with LAPACK's signs. a is lost; work
 * holds n + k. */
void tape__qr(int64_t m, int64_t n, double *a, double *work, double *q, double *r);

/* The eigenvalues of a symmetric matrix, ascending, and its eigenvectors in the columns of v, each with its largest
 * element positive. Reads the lower triangle; a is lost. By Jacobi's rotations or, above 32 x 32 in builds that
 * have it, LAPACK. */
void tape__eigh(int64_t n, double *a, double *w, double *v);

/* a[m, n] = u[m, k] diag(s) vt[k, n], k the smaller of both, s descending, each row of vt with its largest element
 * positive. By one-sided Jacobi rotations (Hestenes 1958) or LAPACK, as above. work holds k (m + n). */
void tape__svd(int64_t m, int64_t n, const double *a, double *work, double *u, double *s, double *vt);

/* sqrt(a^2 + b^2), whose squares neither overflow nor vanish; the same bits on every machine, as hypot() has not. */
double tape__hypotenuse(double a, double b);

/* The exponential of a[n, n] in y by the Pade approximant of degree 13 with scaling and squaring (Higham 2005). work
 * holds 6 n^2, pivot n. */
void tape__matrix_exp(int64_t n, double *a, double *work, int64_t *pivot, double *y);

#endif
