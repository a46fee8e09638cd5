/*
 * Spans of time around ops and their derivatives, and what is counted from them. Whoever runs an op opens a span, which
 * costs one test while nobody profiles, and closes it with the nodes that the op read and made.
 */
#ifndef TAPE__PROFILE_H
#define TAPE__PROFILE_H

#include "tape.h"

/* What an op read and made, for the trace. */
typedef struct tape__span_nodes {
    tape__node *const *in; /* n_in, or NULL: of the record `first` */
    int n_in;
    uint32_t first; /* slot of output 0 */
    int n_out;
} tape__span_nodes;

uint64_t tape__profile_begin(tape *t);
void tape__profile_end(tape *t, uint64_t start, int op, const char *name, const tape__span_nodes *nodes);

/* 0 while nobody profiles: then nothing is to be closed. */
TAPE__INLINE uint64_t tape__span_begin(tape *t)
{
    return TAPE__UNLIKELY(t->detour & TAPE__DETOUR_PROFILE) ? tape__profile_begin(t) : 0;
}

/* `nodes` NULL: the op failed. */
TAPE__INLINE void tape__span_end(tape *t, uint64_t start, int op, const char *name, const tape__span_nodes *nodes)
{
    if (TAPE__UNLIKELY(start))
        tape__profile_end(t, start, op, name, nodes);
}

/* What runs between these belongs to a backward pass. */
uint64_t tape__profile_enter_sweep(tape *t);
void tape__profile_leave_sweep(tape *t, uint64_t entered);

/* At the tape's birth, by the environment; and at its end. */
void tape__profile_born(tape *t);
void tape__profile_free(tape *t);

#endif
