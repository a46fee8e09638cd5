/* Knows loops that need neither buffers nor threads: a few rows, each a step from the row before. */
#ifndef TAPE__EWISE_FEW_H
#define TAPE__EWISE_FEW_H

#include "ewise_run.h"

/* A loop that needs neither buffers nor threads: rows of n elements that are contiguous or one and the same in every
   operand, each a step from the row before. */
typedef struct tape__few {
    int operands, position[TAPE__RUN_OPERANDS]; /* those that are read, and which they are */
    const int64_t *stride[TAPE__RUN_OPERANDS];  /* of each of them */
    int64_t n, rows;
    int axis;       /* the last one that is not part of a row; -1: there is one row */
    unsigned still; /* by position */
} tape__few;

/* Operand `position` is `data`, which is not read if NULL. */
TAPE__INLINE void tape__few_reads(tape__few *f, int position, const void *data, const int64_t *stride)
{
    if (!data)
        return;
    f->position[f->operands] = position;
    f->stride[f->operands++] = stride;
}

/* False where the rows are too short, or do not follow each other at one distance. `operands` and what was said of each
   are set; `count` is the number of elements, `item` the bytes of one. */
bool tape__few_plan(tape__few *f, int rank, const int64_t *size, int64_t count, size_t item);

/* Sets run->still and changes `operand`. y, if it is read, is contiguous as the result is. */
void tape__few_run(const tape__few *f, tape__ewise_run *run, char *result, const void **operand);

#endif
