/* Knows loops that need neither buffers nor threads: a few rows, each a step from the row before. */
#ifndef TAPE__EWISE_FEW_H
#define TAPE__EWISE_FEW_H

#include "ewise_run.h"

/* Rows of n elements that are contiguous or one and the same in every operand. It is a matter of layouts alone, so that
   it can be kept for the next loop over the same ones. */
typedef struct tape__few {
    int64_t n, rows;
    int64_t step[TAPE__RUN_OPERANDS]; /* from a row to the next, in elements; any for an operand that is not read */
    unsigned still;                   /* bit k: operand k is one element in a row */
} tape__few;

/* False where rows do not follow each other at one distance. stride[k] NULL: operand k is not read. */
bool __attribute__((cold)) tape__few_plan(tape__few *f, int rank, const int64_t *size, const int64_t *const *stride);

/* Whether such rows are long enough. */
TAPE__INLINE bool tape__few_suits(const tape__few *f, int item)
{
    return f->rows <= 1 || f->n * item >= TAPE__UNIT_BYTES;
}

/* The loop: x are the operands, of which one that is not read may be NULL, and is changed; the result is contiguous.
   Operands of f->still that run->still lacks are laid out already. */
void tape__few_run(const tape__few *f, const tape__ewise_run *run, void *result, const void **x);

/* From a row to the next, of the inputs or of every operand. */
TAPE__INLINE void tape__few_go_on(const tape__few *f, int item, bool inputs, const void **x)
{
#define GO_ON(k) x[k] = tape__beyond(x[k], f->step[k] * item)
    GO_ON(0);
    GO_ON(1);
    GO_ON(2);
    if (!inputs) {
        GO_ON(TAPE__RUN_OUTPUT);
        GO_ON(TAPE__RUN_ADJOINT);
    }
#undef GO_ON
}

/* The loop for rows of a unit or more, without a still operand, and a kernel that stores. */
TAPE__INLINE void tape__few_values(const tape__few *f, tape__ewise_value_fn *kernel, const double *params, int item,
                                   void *result, const void **x)
{
    char *to = result;
    for (int64_t left = f->rows;; to += f->n * item) {
        tape__ewise_run_value(kernel, f->n, item, to, x, params);
        if (--left == 0)
            return;
        tape__few_go_on(f, item, true, x);
    }
}

TAPE__INLINE void tape__few_derivatives(const tape__few *f, tape__ewise_derivative_fn *kernel, const double *params,
                                        int item, void *result, const void **x)
{
    char *to = result;
    for (int64_t left = f->rows;; to += f->n * item) {
        tape__ewise_run_derivative(kernel, f->n, item, to, x, params);
        if (--left == 0)
            return;
        tape__few_go_on(f, item, false, x);
    }
}

/* The same for rows of at most TAPE__EWISE_SHORT bytes that are added to the result. */
void tape__few_sums(const tape__few *f, tape__ewise_derivative_fn *kernel, tape__ewise_value_fn *add,
                    const double *params, int item, void *result, const void **x);

#endif
