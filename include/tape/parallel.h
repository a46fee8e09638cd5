/* Loops of the caller's own on the threads that ops use. */
#ifndef TAPE_PARALLEL_H
#define TAPE_PARALLEL_H

#include "tape/tape.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Call body(arg, i) once for every i in [0, n) and return when all are done: on the threads of tape_threads(), or by
 * the current tape's hook; in turn where there is neither, or inside another such loop. Calls must be independent, and
 * may work on memory but not use a tape: tape_data_parallel() is for that. What a call does must depend on its i alone,
 * not on the number of threads, for results that are the same to the bit.
 */
TAPE_API void tape_parallel_for(int64_t n, tape_body *body, void *arg);

#ifdef __cplusplus
}
#endif

#endif
