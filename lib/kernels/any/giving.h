/* Knows how rows of results are given to memory, as kernels and the drivers that share them out agree on it. */
#ifndef TAPE__GIVING_H
#define TAPE__GIVING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

/* A result is stored, added to what is there, or stored without reading its memory first, where it is too large to be
   found in a cache again. What has gone past the caches is seen by other threads after end_giving(). */
enum giving { STORE, ADD, PAST_CACHE };

static inline void end_giving(enum giving giving)
{
#if defined(__x86_64__)
    if (giving == PAST_CACHE)
        __builtin_ia32_sfence();
#else
    (void)giving;
#endif
}

/* How `rows` rows of n elements go to y. `warm`: the rows there have just been read. Other processors than those of
   x86-64 find out by themselves that a result is streamed. */
static inline enum giving giving_of(size_t item, const void *y, int64_t rows, int64_t n, bool add, bool warm)
{
    if (add)
        return ADD;
#if defined(__x86_64__)
    if (!warm && n > 0 && n * (int64_t)item % TAPE__UNIT_BYTES == 0 && (uintptr_t)y % TAPE__UNIT_BYTES == 0 &&
        rows >= TAPE__PAST_CACHE_BYTES / (int64_t)item / n)
        return PAST_CACHE;
#endif
    (void)item, (void)y, (void)rows, (void)n, (void)warm;
    return STORE;
}

#endif
