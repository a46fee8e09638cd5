/* Knows how reductions count: elements one after the other over several axes, and pieces of a whole. */
#ifndef TAPE__REDUCE_WALK_H
#define TAPE__REDUCE_WALK_H

#include <string.h>

#include "kernels/reduce.h"
#include "whole.h"

enum { TAPE__REDUCE_ITEM = 1 << 15 /* elements of one parallel iteration */ };

static inline double get(int64_t size, const void *x)
{
    return size == sizeof(float) ? *(const float *)x : *(const double *)x;
}

/* The offset of element i, in row-major order. */
static inline int64_t offset_at(int rank, const int64_t *size, const int64_t *stride, int64_t i)
{
    int64_t at = 0;
    for (int k = rank - 1; k >= 0; k--) {
        at += i % size[k] * stride[k];
        i /= size[k];
    }
    return at;
}

/* A walk over the reduced elements of one result. */
struct cursor {
    const tape__split *split;
    int64_t index[8], at;
};

static inline struct cursor cursor_at(const tape__split *s, int64_t i)
{
    struct cursor c = {.split = s};
    c.at = offset_at(s->reduced_rank, s->reduced_size, s->reduced_stride, i);
    for (int k = s->reduced_rank - 1; k >= 0; k--) {
        c.index[k] = i % s->reduced_size[k];
        i /= s->reduced_size[k];
    }
    return c;
}

/* n elements along the last axis, at most to its end. */
static inline void advance(struct cursor *c, int64_t n)
{
    const tape__split *s = c->split;
    int k = s->reduced_rank - 1;
    c->index[k] += n;
    c->at += n * s->reduced_stride[k];
    while (c->index[k] == s->reduced_size[k] && k > 0) {
        c->index[k] = 0;
        c->at -= s->reduced_size[k] * s->reduced_stride[k];
        k--;
        c->index[k]++;
        c->at += s->reduced_stride[k];
    }
}

static inline int64_t pieces(int64_t n, int64_t piece)
{
    return n / piece + (n % piece != 0);
}

/* The smallest 2^k, at least `least`, of which n make no more than `most` pieces. */
static inline int64_t piece_of(int64_t n, int64_t least, int64_t most)
{
    int64_t piece = least;
    while (pieces(n, piece) > most)
        piece *= 2;
    return piece;
}

static inline void bring_together(char *to, const char *from, int64_t n, int64_t stride, int64_t size)
{
    if (stride == 1)
        memcpy(to, from, (size_t)(n * size));
    else if (size == sizeof(float))
        for (int64_t i = 0; i < n; i++)
            ((float *)to)[i] = ((const float *)from)[i * stride];
    else
        for (int64_t i = 0; i < n; i++)
            ((double *)to)[i] = ((const double *)from)[i * stride];
}

/* The walk's next *n elements, side by side: where they lie, and then perhaps fewer, a multiple of `least` or all, or
 * in the buffer. */
static inline const void *gather(struct cursor *c, const char *x, int64_t size, int64_t least, int64_t *n, void *buffer)
{
    const tape__split *s = c->split;
    const int last = s->reduced_rank - 1;
    const int64_t stride = s->reduced_stride[last];
    for (int64_t done = 0, run; done < *n; done += run) {
        const char *from = x + c->at * size;
        run = tape__min(*n - done, s->reduced_size[last] - c->index[last]);
        if (stride == 1 && done == 0 && (run == *n || run >= least)) {
            *n = run == *n ? run : run / least * least;
            advance(c, *n);
            return from;
        }
        advance(c, run);
        bring_together((char *)buffer + done * size, from, run, stride, size);
    }
    return buffer;
}

#endif
