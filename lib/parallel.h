/* Knows how to spread a loop over threads: the hook that a user may replace and the pool that tape brings; it does not
   know what the loop computes. */
#ifndef TAPE__PARALLEL_H
#define TAPE__PARALLEL_H

#include <stdint.h>

/* One iteration of a parallel loop: i counts from 0. Iterations run in any order, several at once. */
typedef void tape_body(void *arg, int64_t i);

/* run calls body(arg, i) once for every i in [0, n) and returns when all have ended. */
struct tape__parallel {
    void (*run)(void *user, int64_t n, tape_body *body, void *arg);
    void *user;
};

/* Serial where p is NULL or the loop has at most one iteration. */
void tape__parallel_for(const struct tape__parallel *p, int64_t n, tape_body *body, void *arg);

enum { TAPE__THREADS_MAX = 256 };

/* The process-wide pool: `threads` counts the caller, so threads - 1 workers are started; 1 or less ends them; more
   than TAPE__THREADS_MAX counts as that many. Returns 0, EBUSY while a loop runs in the pool (a body may not resize the
   pool it runs in), or the system's error number, in which case no worker is left.
   Any number of threads may call the loops at once: one of them gets the workers, the others run serially, and so does
   a loop inside a body. After fork the child's first loop starts workers anew (serial where it cannot); a body that
   forks must not return in the child. Workers run with the floating-point environment of the loop's caller and with all
   signals blocked. */
int tape__pool_start(int threads);
int tape__pool_stop(void);

/* The threads that its loops have, the caller included; 1 where no pool was started. */
int tape__pool_threads(void);

/* NULL where no pool was started. */
const struct tape__parallel *tape__pool(void);

#endif
