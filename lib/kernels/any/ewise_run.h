/* Knows the interface of a run: elements in a row whose operands are contiguous there, or one element repeated. */
#ifndef TAPE__EWISE_RUN_H
#define TAPE__EWISE_RUN_H

#include <stdint.h>
#include <string.h>

#include "ewise_compose.h"

enum {
    TAPE__RUN_BLOCK_BYTES = 2048 /* a block of every operand and of the result stays in the first-level cache */
};

/* What is the same for all runs of a loop over f32 or f64. */
typedef struct tape__ewise_run {
    tape__ewise_row row;
    tape__ewise_value_fn *add; /* if the result is accumulated, else NULL */
    int item;                  /* bytes of an element */
    unsigned still;            /* bit k: operand k is one element, repeated */
} tape__ewise_run;

/* n > 0 elements; an operand that is not read may be NULL. The result may be a contiguous operand, exactly. Nothing
   outside the operands is touched, and each result depends on its own elements alone. */
void tape__ewise_run_on(const tape__ewise_run *run, int64_t n, void *result,
                        const void *const operand[TAPE__RUN_OPERANDS]);

/* Up to `bytes`, rounded up to the unit, of the element at `from`. */
void tape__ewise_repeat(void *to, const void *from, int64_t bytes, int item);

/* An operand from `bytes` on; one that is not read may be NULL, and becomes a pointer that is not read either. */
TAPE__INLINE const void *tape__beyond(const void *x, int64_t bytes)
{
    return (const void *)((uintptr_t)x + (uintptr_t)bytes);
}

/* Elements of a unit. */
TAPE__INLINE int64_t tape__per_unit(int item)
{
    return item == sizeof(float) ? TAPE__UNIT_BYTES / (int)sizeof(float) : TAPE__UNIT_BYTES / (int)sizeof(double);
}

/*
 * The same for a unit or more, none of the operands being still, of a row that has a kernel: x are the row's inputs,
 * and for a derivative all operands. What is left behind whole units is computed as the unit that ends with the last
 * element: first, while the operands are still there if the result is one of them.
 */
TAPE__INLINE void tape__ewise_run_value(tape__ewise_value_fn *kernel, int64_t n, int item, void *result,
                                        const void *const *x, const double *params)
{
    const int64_t width = tape__per_unit(item), rest = n & (width - 1), at = n * item - TAPE__UNIT_BYTES;
    _Alignas(TAPE__UNIT_BYTES) char last[TAPE__UNIT_BYTES];
    if (rest) {
        const void *const end[TAPE__EWISE_INPUTS] = {tape__beyond(x[0], at), tape__beyond(x[1], at),
                                                     tape__beyond(x[2], at)};
        kernel((size_t)width, last, end, params);
    }
    kernel((size_t)(n - rest), result, x, params);
    if (rest)
        memcpy((char *)result + at, last, sizeof last);
}

TAPE__INLINE void tape__ewise_run_derivative(tape__ewise_derivative_fn *kernel, int64_t n, int item, void *result,
                                             const void *const *x, const double *params)
{
    const int64_t width = tape__per_unit(item), rest = n & (width - 1), at = n * item - TAPE__UNIT_BYTES;
    const void *const g = x[TAPE__RUN_ADJOINT], *const y = x[TAPE__RUN_OUTPUT];
    _Alignas(TAPE__UNIT_BYTES) char last[TAPE__UNIT_BYTES];
    if (rest) {
        const void *const end[TAPE__EWISE_INPUTS] = {tape__beyond(x[0], at), tape__beyond(x[1], at),
                                                     tape__beyond(x[2], at)};
        kernel((size_t)width, last, tape__beyond(g, at), end, tape__beyond(y, at), params);
    }
    kernel((size_t)(n - rest), result, g, x, y, params);
    if (rest)
        memcpy((char *)result + at, last, sizeof last);
}

#endif
