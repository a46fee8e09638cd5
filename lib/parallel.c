/* Knows the parallel loop and the pool of threads behind it; it does not know what a loop computes, nor does it
   allocate once the workers run. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_getcpu */
#endif
#include "parallel.h"

#include <errno.h>
#include <fenv.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

/* About 30 microseconds: longer than the gap between two loops of a training step, shorter than anybody notices. */
enum { SPINS = 2000, SPINS_TO_LOOK = 16 };

/* The ticket of the current job: its number, whether workers may still join, and how many are inside. A worker joins by
   compare-and-exchange of the whole, so it can neither enter a closed job nor mistake a new one for the one it saw, and
   the caller never waits for a worker that slept through the job. */
#define INSIDE ((uint64_t)0x7fff)
#define OPEN ((uint64_t)0x8000)
enum { NUMBER_SHIFT = 16 };

/* A job's iterations are shared out in order, and who has done its share helps with the next ones: a thread then finds
   in its cache what it made of the same images or rows in the loop before. */
enum { SHARES = 8 };

struct share {
    _Alignas(64) _Atomic int64_t next;
    int64_t end;
};

static struct pool {
    _Alignas(64) _Atomic uint64_t ticket;
    struct share share[SHARES];
    _Alignas(64) atomic_bool busy; /* a loop or a change of size is under way: guards all that is not atomic below */
    atomic_bool stopping;
    atomic_int sleeping;
    atomic_int threads;
    atomic_long process;
    atomic_int processor; /* of the last job's caller */
    unsigned workers, shares;
    int64_t n;
    tape_body *body;
    void *arg;
    fenv_t environment;
    pthread_mutex_t lock;
    pthread_cond_t wake, done;
    pthread_t worker[TAPE__THREADS_MAX];
} pool;

static void relax(void)
{
#if defined __x86_64__ || defined __i386__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("yield");
#endif
}

/* That the caller runs on; -1 where none is told. */
static int processor(void)
{
#if defined(__linux__)
    return sched_getcpu();
#else
    return -1;
#endif
}

/* Where one processor is left for both, a worker that spins keeps it from the thread that it waits for. */
static void give_way(void)
{
    const int here = processor();
    if (here >= 0 && here == atomic_load_explicit(&pool.processor, memory_order_relaxed))
        sched_yield();
}

static bool join(uint64_t *seen)
{
    uint64_t t = atomic_load(&pool.ticket);
    while ((t & OPEN) && t >> NUMBER_SHIFT != *seen)
        if (atomic_compare_exchange_weak(&pool.ticket, &t, t + 1)) {
            *seen = t >> NUMBER_SHIFT;
            return true;
        }
    return false;
}

static bool await_job(uint64_t *seen)
{
    for (int i = 0; i < SPINS && !atomic_load(&pool.stopping); i++) {
        if (join(seen))
            return true;
        if (i % SPINS_TO_LOOK == 0)
            give_way();
        relax();
    }
    bool joined = false;
    pthread_mutex_lock(&pool.lock);
    atomic_fetch_add(&pool.sleeping, 1);
    while (!atomic_load(&pool.stopping) && !(joined = join(seen)))
        pthread_cond_wait(&pool.wake, &pool.lock);
    atomic_fetch_sub(&pool.sleeping, 1);
    pthread_mutex_unlock(&pool.lock);
    return joined;
}

/* From one share on, which is a thread's own. */
static void drain(unsigned first)
{
    for (unsigned k = 0; k < pool.shares; k++) {
        struct share *share = &pool.share[(first + k) % pool.shares];
        for (int64_t i; (i = atomic_fetch_add(&share->next, 1)) < share->end;)
            pool.body(pool.arg, i);
    }
}

static void share_out(int64_t n)
{
    pool.shares = pool.workers < SHARES ? pool.workers + 1 : SHARES;
    for (int64_t k = 0, at = 0; k < pool.shares; k++) {
        atomic_store(&pool.share[k].next, at);
        pool.share[k].end = at += (n - at) / (pool.shares - k);
    }
}

static void leave(void)
{
    uint64_t t = atomic_fetch_sub(&pool.ticket, 1);
    if ((t & OPEN) || (t & INSIDE) != 1)
        return;
    pthread_mutex_lock(&pool.lock);
    pthread_cond_signal(&pool.done);
    pthread_mutex_unlock(&pool.lock);
}

static void *work(void *number)
{
    for (uint64_t seen = 0; await_job(&seen); leave()) {
        fesetenv(&pool.environment);
        drain((unsigned)(uintptr_t)number);
    }
    return NULL;
}

static void open_job(void)
{
    uint64_t number = (atomic_load(&pool.ticket) >> NUMBER_SHIFT) + 1;
    atomic_store(&pool.ticket, number << NUMBER_SHIFT | OPEN);
    int sleeping = atomic_load(&pool.sleeping);
    if (!sleeping)
        return;
    pthread_mutex_lock(&pool.lock);
    for (int64_t i = 0; i < sleeping && i < pool.n - 1; i++)
        pthread_cond_signal(&pool.wake);
    pthread_mutex_unlock(&pool.lock);
}

static void close_job(void)
{
    atomic_fetch_and(&pool.ticket, ~OPEN);
    for (int i = 0; i < SPINS; i++) {
        if (!(atomic_load(&pool.ticket) & INSIDE))
            return;
        relax();
    }
    pthread_mutex_lock(&pool.lock);
    while (atomic_load(&pool.ticket) & INSIDE)
        pthread_cond_wait(&pool.done, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
}

static void stop_workers(void)
{
    pthread_mutex_lock(&pool.lock);
    atomic_store(&pool.stopping, true);
    pthread_cond_broadcast(&pool.wake);
    pthread_mutex_unlock(&pool.lock);
    while (pool.workers)
        pthread_join(pool.worker[--pool.workers], NULL);
    atomic_store(&pool.stopping, false);
}

static int start_workers(int threads)
{
    unsigned wanted = threads > 1 ? (unsigned)threads - 1 : 0;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = 0;
    while (!error && pool.workers < wanted)
        if (!(error = pthread_create(&pool.worker[pool.workers], NULL, work, (void *)(uintptr_t)(pool.workers + 1))))
            pool.workers++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        stop_workers();
    atomic_store(&pool.threads, error ? 0 : threads);
    return error;
}

/* The caller owns the pool when this returns true. A forked child finds the parent's words here, locks in whatever
   state they were and no worker behind them: the thread that swaps the process number makes them new. */
static bool acquire(void)
{
    long self = (long)getpid(), process = atomic_load(&pool.process);
    if (process == self)
        return !atomic_exchange(&pool.busy, true);
    if (process == -self || !atomic_compare_exchange_strong(&pool.process, &process, -self))
        return false;
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.wake, NULL);
    pthread_cond_init(&pool.done, NULL);
    atomic_store(&pool.ticket, 0);
    atomic_store(&pool.sleeping, 0);
    atomic_store(&pool.stopping, false);
    atomic_store(&pool.busy, true);
    pool.workers = 0;
    atomic_store(&pool.process, self);
    return true;
}

static void release(void)
{
    atomic_store(&pool.busy, false);
}

static void run_serially(int64_t n, tape_body *body, void *arg)
{
    for (int64_t i = 0; i < n; i++)
        body(arg, i);
}

static void run_in_pool(void *user, int64_t n, tape_body *body, void *arg)
{
    (void)user;
    if (!acquire()) {
        run_serially(n, body, arg);
        return;
    }
    if (!pool.workers)
        start_workers(atomic_load(&pool.threads));
    pool.n = n;
    pool.body = body;
    pool.arg = arg;
    fegetenv(&pool.environment);
    share_out(n);
    atomic_store_explicit(&pool.processor, processor(), memory_order_relaxed);
    open_job();
    drain(0);
    close_job();
    release();
}

void tape__parallel_for(const struct tape__parallel *p, int64_t n, tape_body *body, void *arg)
{
    if (p && n > 1)
        p->run(p->user, n, body, arg);
    else
        run_serially(n, body, arg);
}

int tape__pool_start(int threads)
{
    if (threads > TAPE__THREADS_MAX)
        threads = TAPE__THREADS_MAX;
    if (!acquire())
        return EBUSY;
    if (threads <= (int)pool.workers)
        stop_workers();
    int error = start_workers(threads);
    release();
    return error;
}

int tape__pool_stop(void)
{
    return tape__pool_start(1);
}

int tape__pool_threads(void)
{
    int threads = atomic_load(&pool.threads);
    return threads > 1 ? threads : 1;
}

const struct tape__parallel *tape__pool(void)
{
    static const struct tape__parallel own = {run_in_pool, NULL};
    return atomic_load(&pool.threads) > 1 ? &own : NULL;
}
