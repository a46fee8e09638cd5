/* Knows the interface of a row's kernels: its own where the instruction set brings one, else composed of its terms'
   kernels. They differ in speed alone. */
#ifndef TAPE__EWISE_COMPOSE_H
#define TAPE__EWISE_COMPOSE_H

#include "../kernels.h"
#include "base.h"

/* Operands by position: the inputs, then for derivatives the row's result and the adjoint. */
enum { TAPE__RUN_OUTPUT = TAPE__EWISE_INPUTS, TAPE__RUN_ADJOINT, TAPE__RUN_OPERANDS };

/* What to compute: a row's value (input < 0), or its derivative for an input. */
typedef struct tape__ewise_row {
    const struct tape__kernels *kernels;
    const double *params;
    int ew, input, dtype;
} tape__ewise_row;

void tape__ewise_compose(const tape__ewise_row *row, size_t n, void *result, const void *const *x);

/* n elements; arrays as kernels.h wants them. */
TAPE__INLINE void tape__ewise_apply(const tape__ewise_row *row, size_t n, void *result, const void *const *x)
{
    const struct tape__ewise_kernels *own = row->kernels->ewise;
    if (row->input < 0 && own->value[row->ew][row->dtype])
        own->value[row->ew][row->dtype](n, result, x, row->params);
    else if (row->input >= 0 && own->derivative[row->ew][row->input][row->dtype])
        own->derivative[row->ew][row->input][row->dtype](n, result, x[TAPE__RUN_ADJOINT], x, x[TAPE__RUN_OUTPUT],
                                                         row->params);
    else
        tape__ewise_compose(row, n, result, x);
}

#endif
