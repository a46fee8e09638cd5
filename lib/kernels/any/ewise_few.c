/* Knows how to find the rows of a loop, and how to go from one to the next. It does not know what is computed. */
#include "ewise_few.h"

#include "ewise_driver.h"

#include <string.h>

enum { OPERANDS = TAPE__RUN_OPERANDS };

/* ---- plans ------------------------------------------------------------------------------------------------------- */

/* Takes as many of the last axes as are contiguous, or not walked at all, in each of the operands. The last axis that
   is not part of a row; -1 if there is one row. */
static int take_row(tape__few *f, int rank, const int64_t *size, const int64_t *const *stride)
{
    unsigned read = 0;
    for (int k = 0; k < OPERANDS; k++)
        read |= (unsigned)(stride[k] != NULL) << k;
    unsigned dense = read, still = read;
    f->n = 1;
    int axis = rank - 1;
    for (; axis >= 0; axis--) {
        unsigned dense_here = 0, still_here = 0;
        if (size[axis] == 1)
            continue;
        for (int k = 0; k < OPERANDS; k++) {
            dense_here |= (unsigned)(stride[k] && stride[k][axis] == f->n) << k;
            still_here |= (unsigned)(stride[k] && stride[k][axis] == 0) << k;
        }
        dense_here &= dense;
        still_here &= still;
        if ((dense_here | still_here) != read)
            break;
        dense = dense_here;
        still = still_here;
        f->n *= size[axis];
    }
    f->still = still & ~dense;
    return axis;
}

/* Whether the axes up to `axis` of an operand can be walked as one. */
static bool is_even(int axis, const int64_t *size, const int64_t *stride)
{
    int64_t span = stride[axis] * size[axis];
    for (int d = axis - 1; d >= 0; d--) {
        if (size[d] == 1)
            continue;
        if (stride[d] != span)
            return false;
        span *= size[d];
    }
    return true;
}

bool tape__few_plan(tape__few *f, int rank, const int64_t *size, const int64_t *const *stride)
{
    const int axis = take_row(f, rank, size, stride);
    f->rows = f->n > 0;
    for (int d = axis; d >= 0; d--)
        f->rows *= size[d];
    for (int k = 0; k < OPERANDS; k++) {
        f->step[k] = axis >= 0 && stride[k] ? stride[k][axis] : 0;
        if (axis >= 0 && stride[k] && !is_even(axis, size, stride[k]))
            return false;
    }
    return true;
}

/* ---- loops ------------------------------------------------------------------------------------------------------- */

void tape__few_sums(const tape__few *f, tape__ewise_derivative_fn *kernel, tape__ewise_value_fn *add,
                    const double *params, int item, void *result, const void **x)
{
    _Alignas(TAPE__UNIT_BYTES) char term[TAPE__EWISE_SHORT];
    char *to = result;
    for (int64_t left = f->rows;; to += f->n * item) {
        tape__ewise_run_derivative(kernel, f->n, item, term, x, params);
        tape__ewise_run_value(add, f->n, item, to, (const void *const[]){to, term, NULL}, NULL);
        if (--left == 0)
            return;
        tape__few_go_on(f, item, false, x);
    }
}

void tape__few_run(const tape__few *f, const tape__ewise_run *run, void *result, const void **x)
{
    char *to = result;
    for (int64_t left = f->rows; left > 0; left--, to += f->n * run->item) {
        tape__ewise_run_on(run, f->n, to, x);
        tape__few_go_on(f, run->item, false, x);
    }
}
