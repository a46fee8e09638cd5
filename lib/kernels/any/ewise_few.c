/* Knows how to find the rows of a loop, and how to go from one to the next. It does not know what is computed. */
#include "ewise_few.h"

/* Takes as many of the last axes as are contiguous, or not walked at all, in each of the operands. */
static void take_row(tape__few *f, int rank, const int64_t *size)
{
    const unsigned all = (1U << f->operands) - 1;
    unsigned dense = all, still = all;
    f->n = 1;
    for (f->axis = rank - 1; f->axis >= 0; f->axis--) {
        const int d = f->axis;
        unsigned dense_here = 0, still_here = 0;
        if (size[d] == 1)
            continue;
        for (int k = 0; k < f->operands; k++) {
            dense_here |= (unsigned)(f->stride[k][d] == f->n) << k;
            still_here |= (unsigned)(f->stride[k][d] == 0) << k;
        }
        dense_here &= dense;
        still_here &= still;
        if ((dense_here | still_here) != all)
            break;
        dense = dense_here;
        still = still_here;
        f->n *= size[d];
    }
    f->still = 0;
    for (int k = 0; k < f->operands; k++)
        f->still |= (still & ~dense) >> k & 1 ? 1U << f->position[k] : 0;
}

/* Two axes whose rows are contiguous or still: most loops that are not flat. False where they are not. */
static bool plan_two(tape__few *f, const int64_t *size)
{
    unsigned still = 0;
    bool fits = true;
    for (int k = 0; k < f->operands; k++) {
        const int64_t step = f->stride[k][1];
        fits &= step == 0 || step == 1;
        still |= step == 0 ? 1U << f->position[k] : 0;
    }
    f->n = size[1];
    f->rows = size[0];
    f->axis = 0;
    f->still = still;
    return fits;
}

bool tape__few_plan(tape__few *f, int rank, const int64_t *size, int64_t count, size_t item)
{
    if (rank == 2 && size[0] > 1 && size[1] * (int64_t)item >= TAPE__UNIT_BYTES && plan_two(f, size))
        return true;
    take_row(f, rank, size);
    f->rows = count > 0;
    if (f->axis < 0)
        return true;
    if (f->n * (int64_t)item < TAPE__UNIT_BYTES)
        return count == 0;
    f->rows = count / f->n;
    for (int k = 0; k < f->operands; k++) {
        int64_t span = f->stride[k][f->axis] * size[f->axis];
        for (int d = f->axis - 1; d >= 0; d--) {
            if (size[d] != 1 && f->stride[k][d] != span)
                return false;
            span = size[d] != 1 ? f->stride[k][d] * size[d] : span;
        }
    }
    return true;
}

void tape__few_run(const tape__few *f, tape__ewise_run *run, char *result, const void **operand)
{
    const int64_t bytes = f->n * run->item;
    run->still = f->still;
    for (int64_t row = 0; row < f->rows; row++) {
        if (row > 0) {
            for (int k = 0; k < f->operands; k++)
                operand[f->position[k]] =
                    (const char *)operand[f->position[k]] + f->stride[k][f->axis] * (int64_t)run->item;
            if (operand[TAPE__RUN_OUTPUT])
                operand[TAPE__RUN_OUTPUT] = (const char *)operand[TAPE__RUN_OUTPUT] + bytes;
        }
        tape__ewise_run_on(run, f->n, result + row * bytes, operand);
    }
}
