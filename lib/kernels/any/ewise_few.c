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

/* Rows that are made in one go, and added. */
static void add_derivatives(const tape__few *f, const tape__ewise_row *row, tape__ewise_value_fn *add, int item,
                            char *result, const void **x)
{
    _Alignas(TAPE__UNIT_BYTES) char term[TAPE__EWISE_SHORT];
    for (int64_t left = f->rows;; result += f->n * item) {
        tape__ewise_run_derivative(row->derivative, f->n, item, term, x, row->params);
        tape__ewise_run_value(add, f->n, item, result, (const void *const[]){result, term, NULL}, NULL);
        if (--left == 0)
            return;
        tape__few_go_on(f, item, false, x);
    }
}

static void run_any(const tape__few *f, const tape__ewise_run *run, char *result, const void **x)
{
    for (int64_t left = f->rows; left > 0; left--, result += f->n * run->item) {
        tape__ewise_run_on(run, f->n, result, x);
        tape__few_go_on(f, run->item, false, x);
    }
}

void tape__few_run(const tape__few *f, unsigned still, const tape__ewise_row *row, tape__ewise_value_fn *add,
                   void *result, const void **x)
{
    const int item = row->dtype == TAPE_F32 ? (int)sizeof(float) : (int)sizeof(double);
    const bool plain = !still && f->n * item >= TAPE__UNIT_BYTES;
    if (plain && add && row->derivative && f->n * item <= TAPE__EWISE_SHORT)
        add_derivatives(f, row, add, item, result, x);
    else
        run_any(f, &(tape__ewise_run){*row, add, item, still}, result, x);
}
