/* Knows the arithmetic by which sizes are cut into blocks. */
#ifndef TAPE__WHOLE_H
#define TAPE__WHOLE_H

#include <stdint.h>

static inline int64_t tape__min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t tape__max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static inline int64_t tape__ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static inline int64_t tape__round_up(int64_t a, int64_t b)
{
    return tape__ceil_div(a, b) * b;
}

#endif
