/* Eigenvalues and singular values by LAPACK, in builds that have it. Row-major matrices go to it as the transposes that
   they are in its order, so nothing is copied. */
#include "lapack.h"

#if TAPE__LAPACK
#include <lapacke.h>
#include <string.h>

#include "blas.h"

bool tape__lapack_eigh(int64_t n, const double *a, double *w, double *v)
{
    if (n > INT32_MAX)
        return false;
    memcpy(v, a, (size_t)(n * n) * sizeof *v);
    tape__blas_hold();
    lapack_int failed = LAPACKE_dsyevd(LAPACK_COL_MAJOR, 'V', 'U', (lapack_int)n, v, (lapack_int)n, w);
    tape__blas_release();
    return failed == 0;
}

/* The transpose's factors are vt's in place of u and u's in place of vt. */
bool tape__lapack_svd(int64_t m, int64_t n, double *a, double *u, double *s, double *vt)
{
    if (m > INT32_MAX || n > INT32_MAX)
        return false;
    lapack_int rows = (lapack_int)n, columns = (lapack_int)m, k = rows < columns ? rows : columns;
    tape__blas_hold();
    lapack_int failed = LAPACKE_dgesdd(LAPACK_COL_MAJOR, 'S', rows, columns, a, rows, s, vt, rows, u, k);
    tape__blas_release();
    return failed == 0;
}

#else

bool tape__lapack_eigh(int64_t n, const double *a, double *w, double *v)
{
    (void)n, (void)a, (void)w, (void)v;
    return false;
}

bool tape__lapack_svd(int64_t m, int64_t n, double *a, double *u, double *s, double *vt)
{
    (void)m, (void)n, (void)a, (void)u, (void)s, (void)vt;
    return false;
}

#endif
