/* Knows the interface of a run: elements in a row whose operands are contiguous there, or one element repeated. */
#ifndef TAPE__EWISE_RUN_H
#define TAPE__EWISE_RUN_H

#include <stdint.h>

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

#endif
