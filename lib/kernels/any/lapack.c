/* Eigenvalues and singular values by LAPACK, in builds that have it. Row-major matrices go to it as the transposes that
   they are in its order, so nothing is copied. */
#define _GNU_SOURCE /* RTLD_DEFAULT */
#include "lapack.h"

#if TAPE__LAPACK
#include <dlfcn.h>
#include <lapacke.h>
#include <string.h>

/* OpenBLAS's own functions, where the BLAS behind LAPACK is it. */
static int threads_before(void)
{
    void *symbol = dlsym(RTLD_DEFAULT, "openblas_get_num_threads");
    int (*get)(void);
    memcpy(&get, &symbol, sizeof get); /* ISO C has no conversion from an object's pointer to a function's */
    return symbol ? get() : 1;
}

static void use_threads(int threads)
{
    void *symbol = dlsym(RTLD_DEFAULT, "openblas_set_num_threads");
    void (*set)(int);
    memcpy(&set, &symbol, sizeof set);
    if (symbol)
        set(threads);
}

bool tape__lapack_eigh(int64_t n, const double *a, double *w, double *v)
{
    if (n > INT32_MAX)
        return false;
    int threads = threads_before();
    memcpy(v, a, (size_t)(n * n) * sizeof *v);
    use_threads(1);
    lapack_int failed = LAPACKE_dsyevd(LAPACK_COL_MAJOR, 'V', 'U', (lapack_int)n, v, (lapack_int)n, w);
    use_threads(threads);
    return failed == 0;
}

/* The transpose's factors are vt's in place of u and u's in place of vt. */
bool tape__lapack_svd(int64_t m, int64_t n, double *a, double *u, double *s, double *vt)
{
    if (m > INT32_MAX || n > INT32_MAX)
        return false;
    lapack_int rows = (lapack_int)n, columns = (lapack_int)m, k = rows < columns ? rows : columns;
    int threads = threads_before();
    use_threads(1);
    lapack_int failed = LAPACKE_dgesdd(LAPACK_COL_MAJOR, 'S', rows, columns, a, rows, s, vt, rows, u, k);
    use_threads(threads);
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
