/* Knows counter-based random numbers: Philox 4x32-10 and what is drawn from it; it does not know who asks, nor keeps
   any state.

   Element i of a draw depends on (key, i) alone: not on the number of threads, the instruction set or the C library. */
#ifndef TAPE__RANDOM_H
#define TAPE__RANDOM_H

#include "base.h"
#include "parallel.h"

/* Draws with different (seed, counter) are independent; a generator hands out one counter for each draw. */
typedef struct tape__random_key {
    uint64_t seed, counter;
} tape__random_key;

/* J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011. */
void tape__philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* dtype is TAPE_F32 or TAPE_F64. Uniform: multiples of 2^-24 (2^-53) in [0, 1). Normal: mean 0, variance 1, by Box and
   Muller; no value beyond 6.7 (8.6). */
void tape__fill_uniform(const struct tape__parallel *p, tape__random_key key, tape_dtype dtype, int64_t n, void *y);
void tape__fill_normal(const struct tape__parallel *p, tape__random_key key, tape_dtype dtype, int64_t n, void *y);

/* y[i] = value with the given probability, else 0. Both dtypes choose the same elements. */
void tape__fill_bernoulli(const struct tape__parallel *p, tape__random_key key, tape_dtype dtype, int64_t n,
                          double probability, double value, void *y);

/* Number i of a draw of integers uniform in [0, bound), without bias; 0 <= i < 2^48, bound > 0. */
int64_t tape__random_below(tape__random_key key, int64_t i, int64_t bound);

/* Any order of the n numbers in y is equally likely (Fisher and Yates). */
void tape__shuffle(tape__random_key key, int64_t n, int64_t *y);

#endif
