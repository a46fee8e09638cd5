/* Knows the interface of what LAPACK may do instead of our own rotations; does not know when it is worth it. */
#ifndef TAPE__LAPACK_H
#define TAPE__LAPACK_H

#include "base.h"

/* As tape__eigh() and tape__svd(), but for the signs of vectors, and tape__lapack_eigh() leaves the eigenvectors in the
 * rows of v. False, with nothing of use in the results, in a build without LAPACK and where LAPACK gives up. LAPACK
 * allocates memory of its own; OpenBLAS is held to one thread meanwhile. */
bool tape__lapack_eigh(int64_t n, const double *a, double *w, double *v);
bool tape__lapack_svd(int64_t m, int64_t n, double *a, double *u, double *s, double *vt);

#endif
