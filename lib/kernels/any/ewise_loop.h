/* Knows what a loop over whole tensors is made of, for those that run it: the driver, and tiles of it. It does not know
   layouts that a caller gives, nor what a kernel computes. */
#ifndef TAPE__EWISE_LOOP_H
#define TAPE__EWISE_LOOP_H

#include "ewise_run.h"
#include "parallel.h"

enum tape__reading {
    TAPE__ABSENT,
    TAPE__DIRECT, /* contiguous in the order of the loop */
    TAPE__SPLAT,  /* the same element everywhere */
    TAPE__GATHER  /* anything else: copied to a buffer block by block */
};

typedef struct tape__operand {
    const char *data;
    enum tape__reading reading;
    size_t item;                   /* bytes of an element where it lies: 1 for a condition */
    int64_t origin;                /* the loop's element that data is, if read directly */
    int64_t stride[TAPE_MAX_RANK]; /* of the collapsed axes, if gathered */
} tape__operand;

typedef struct tape__loop {
    tape__ewise_row row;
    int mask;                  /* TAPE__EWM_...: instead of the row's value; or -1 */
    tape__ewise_value_fn *add; /* if the result is accumulated */
    char *result;
    tape__past_cache_fn *past_cache; /* the result is too large to be found in a cache again; else NULL */
    size_t item, result_item;
    int64_t unit; /* elements of a unit: a power of two */
    int64_t count;
    int rank; /* axes that are left for the gathered operands */
    int64_t size[TAPE_MAX_RANK];
    tape__operand operand[TAPE__RUN_OPERANDS];
} tape__loop;

typedef struct tape__buffer {
    _Alignas(TAPE__UNIT_BYTES) char bytes[TAPE__RUN_BLOCK_BYTES];
} tape__buffer;

/* One for each operand and one for the result. */
enum { TAPE__LOOP_BUFFERS = TAPE__RUN_OPERANDS + 1 };

/* The buffers of operands that are the same element everywhere, for blocks of up to n elements. */
void tape__loop_splat(const tape__loop *loop, tape__buffer *buffers, int64_t n);

/* Elements [begin, begin + n), at most a block of them, of which all but the last are whole units. */
void tape__loop_run(const tape__loop *loop, tape__buffer *buffers, int64_t begin, int64_t n);

/* The loop by tiles, where an operand lies transposed; false where none does. */
bool tape__loop_by_tiles(const tape__loop *loop, const struct tape__parallel *p);

#endif
