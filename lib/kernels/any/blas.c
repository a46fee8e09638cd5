/* Matrix products by a CBLAS, in builds that have one, and OpenBLAS held to one thread. Knows one tile at a time. */
#define _GNU_SOURCE /* RTLD_DEFAULT */
#include "blas.h"

#if TAPE__CBLAS || TAPE__LAPACK
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

/* How many hold it, and the number of threads to give back. */
static struct {
    atomic_long process;
    pthread_mutex_t lock;
    int users, before;
} held;

/* A forked child finds the parent's words here, the lock in whatever state it was: the thread that swaps the process
   number makes them new. */
static void lock(void)
{
    long self = (long)getpid(), process = atomic_load(&held.process);
    if (process != self && process != -self && atomic_compare_exchange_strong(&held.process, &process, -self)) {
        pthread_mutex_init(&held.lock, NULL);
        held.users = 0;
        atomic_store(&held.process, self);
    }
    while (atomic_load(&held.process) != self)
        sched_yield();
    pthread_mutex_lock(&held.lock);
}

/* OpenBLAS's own functions, where the BLAS is it. */
static int threads_now(void)
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

/* The number of an OpenBLAS on OpenMP is each thread's own; on threads of its own it is everybody's. */
static bool is_per_thread(void)
{
    void *symbol = dlsym(RTLD_DEFAULT, "openblas_get_parallel");
    int (*get)(void);
    memcpy(&get, &symbol, sizeof get);
    return symbol && get() == 2;
}

void tape__blas_hold(void)
{
    lock();
    if (held.users++ == 0)
        held.before = threads_now();
    use_threads(1);
    pthread_mutex_unlock(&held.lock);
}

void tape__blas_release(void)
{
    lock();
    if (--held.users == 0 || is_per_thread())
        use_threads(held.before);
    pthread_mutex_unlock(&held.lock);
}
#endif

#if TAPE__CBLAS
#include <cblas.h>

/* From here OpenBLAS, called once a tile, is level with our own product; below, ours is faster. */
enum { LEAST_SIDE = 128, LEAST_K = 256, LEAST_AREA = 256 * 512 };

/* Row-major as it lies, or as the transpose of what lies there. */
static bool is_plain(const tape__gemm_operand *x, int64_t rows, int64_t columns)
{
    return (x->col == 1 && x->row >= columns && x->row <= INT32_MAX) ||
           (x->row == 1 && x->col >= rows && x->col <= INT32_MAX);
}

bool tape__blas_takes(const tape__gemm *g)
{
    return !g->b_ready && g->m >= LEAST_SIDE && g->n >= LEAST_SIDE && g->m <= INT32_MAX && g->n <= INT32_MAX &&
           g->m * g->n >= LEAST_AREA && g->k >= LEAST_K && g->k <= INT32_MAX && g->c.col == 1 && g->c.row >= g->n &&
           g->c.row <= INT32_MAX && is_plain(&g->a, g->m, g->k) && is_plain(&g->b, g->k, g->n);
}

void tape__blas_multiply(const tape__gemm *g, int64_t m, int64_t n, const void *a, const void *b, void *c,
                         bool accumulate)
{
    const CBLAS_TRANSPOSE ta = g->a.col == 1 ? CblasNoTrans : CblasTrans;
    const CBLAS_TRANSPOSE tb = g->b.col == 1 ? CblasNoTrans : CblasTrans;
    const int a_row = (int)(g->a.col == 1 ? g->a.row : g->a.col), b_row = (int)(g->b.col == 1 ? g->b.row : g->b.col);
    const int rows = (int)m, columns = (int)n, k = (int)g->k, c_row = (int)g->c.row;
    const int beta = accumulate;
    tape__blas_hold();
    if (g->dtype == TAPE_F32)
        cblas_sgemm(CblasRowMajor, ta, tb, rows, columns, k, 1, a, a_row, b, b_row, (float)beta, c, c_row);
    else
        cblas_dgemm(CblasRowMajor, ta, tb, rows, columns, k, 1, a, a_row, b, b_row, beta, c, c_row);
    tape__blas_release();
}

const char *tape__blas_name(void)
{
    void *symbol = dlsym(RTLD_DEFAULT, "openblas_get_config");
    char *(*get)(void);
    memcpy(&get, &symbol, sizeof get);
    return symbol ? get() : "CBLAS";
}

#else

const char *tape__blas_name(void)
{
    return NULL;
}

bool tape__blas_takes(const tape__gemm *g)
{
    (void)g;
    return false;
}

void tape__blas_multiply(const tape__gemm *g, int64_t m, int64_t n, const void *a, const void *b, void *c,
                         bool accumulate)
{
    (void)g, (void)m, (void)n, (void)a, (void)b, (void)c, (void)accumulate;
}

#endif
