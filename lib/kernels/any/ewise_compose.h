/* Knows the interface of a row's kernels: its own where the instruction set brings one, else composed of its terms'
   kernels. They differ in speed alone. */
#ifndef TAPE__EWISE_COMPOSE_H
#define TAPE__EWISE_COMPOSE_H

#include "../kernels.h"
#include "base.h"

/* Operands by position: the inputs, then for derivatives the row's result and the adjoint. */
enum { TAPE__RUN_OUTPUT = TAPE__EWISE_INPUTS, TAPE__RUN_ADJOINT, TAPE__RUN_OPERANDS };

/* What to compute: a row's value (input < 0), or its derivative for an input. Of its own kernels one is set, or none.
 */
typedef struct tape__ewise_row {
    const struct tape__kernels *kernels;
    const double *params;
    int ew, input, dtype;
    tape__ewise_value_fn *value;
    tape__ewise_derivative_fn *derivative;
} tape__ewise_row;

TAPE__INLINE tape__ewise_row tape__ewise_row_of(const struct tape__kernels *kernels, const double *params, int ew,
                                                int input, int dtype)
{
    const struct tape__ewise_kernels *own = kernels->ewise;
    return (tape__ewise_row){.kernels = kernels,
                             .params = params,
                             .ew = ew,
                             .input = input,
                             .dtype = dtype,
                             .value = input < 0 ? own->value[ew][dtype] : NULL,
                             .derivative = input < 0 ? NULL : tape__ewise_derivative_kernel(own, ew, input, dtype)};
}

void tape__ewise_compose(const tape__ewise_row *row, size_t n, void *result, const void *const *x);

/* n elements; arrays as kernels.h wants them. */
TAPE__INLINE void tape__ewise_apply(const tape__ewise_row *row, size_t n, void *result, const void *const *x)
{
    if (row->value)
        row->value(n, result, x, row->params);
    else if (row->derivative)
        row->derivative(n, result, x[TAPE__RUN_ADJOINT], x, x[TAPE__RUN_OUTPUT], row->params);
    else
        tape__ewise_compose(row, n, result, x);
}

#endif
