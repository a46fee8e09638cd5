/* Knows how a run of elements is reduced to one number in a fixed order, in units; it does not know of shapes, strides
   or threads.

   A run is cut in blocks of BLOCK elements. Within a block, lane l of two units takes elements l, l + 2 WIDTH, ...; the
   lanes are folded in halves; the blocks are combined pairwise, as the bits of their count say. So the error grows with
   the logarithm of the length, and a run may be cut into pieces of 2^k blocks that are worked on anywhere. */
#ifndef TAPE__REDUCER_H
#define TAPE__REDUCER_H

#include "any/reduce_driver.h"
#include "isa.h"
#include "unit.h"

enum {
    BLOCK = TAPE__REDUCE_BLOCK,
    TOGETHER = 4,    /* blocks of a long sum that are worked on at once */
    TREE_DEPTH = 44, /* 2^44 blocks */
    STEPS = 64,      /* units that a ladder adds one after the other */
    LEVELS = 6       /* STEPS^LEVELS units */
};

/* Inlined where a unit has few vectors; elsewhere the code would be long, and it is not for speed. */
#if TAPE__COMPACT
#define SHIFTED_EXP_INLINE
#elif defined(MASKED_LOAD) && !defined(__OPTIMIZE_SIZE__)
#define SHIFTED_EXP_INLINE TAPE__INLINE
#else
#define SHIFTED_EXP_INLINE __attribute__((noinline, unused)) static
#endif

/* Shared by the files of one instruction set. */
#define reducers_f32 TAPE__ISA_SYM(tape__reducers_f32)
#define reducers_f64 TAPE__ISA_SYM(tape__reducers_f64)
#define reduce_run_f32 TAPE__ISA_SYM(tape__reduce_run_f32)
#define reduce_run_f64 TAPE__ISA_SYM(tape__reduce_run_f64)
#if TAPE__COMPACT
#define reduce_fold_f32 TAPE__ISA_SYM(tape__reduce_fold_f32)
#define reduce_fold_f64 TAPE__ISA_SYM(tape__reduce_fold_f64)
#define shifted_exp_f32 TAPE__ISA_SYM(tape__shifted_exp_f32)
#define shifted_exp_f64 TAPE__ISA_SYM(tape__shifted_exp_f64)
#endif

extern const struct tape__ewise_kernels TAPE__ISA_SYM(tape__ewise);

#define T f32
#include "reducer_of.h"
#undef T
#define T f64
#include "reducer_of.h"
#undef T

#endif
