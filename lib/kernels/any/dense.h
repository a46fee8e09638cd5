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

#endif
