/*
 * Sweeps that repeat an earlier one. What a sweep does to memory is a list of tasks: kernels and their operands. A loop
 * that records the same step again and again has the same list each time, and finding it out costs more than small
 * kernels do; so it is kept, and done again where the tape is the same, node by node. Does not know what a task does.
 */
#ifndef TAPE__MEMO_H
#define TAPE__MEMO_H

#include "tape.h"

/* What is done to memory: false after an error. The arguments are copied; what they point to lasts until a reset, and
 * lies at the same place on a tape that is the same. A task takes no memory of the arena's. */
typedef bool tape__task_fn(tape *t, const void *arguments);

/* For tape__do(). */
void tape__note(tape *t, tape__task_fn *task, const void *arguments, size_t bytes);

/* Does the task, and notes it where the running sweep is to be remembered. */
TAPE__INLINE bool tape__do(tape *t, tape__task_fn *task, const void *arguments, size_t bytes)
{
    if (TAPE__UNLIKELY(t->noting != NULL))
        tape__note(t, task, arguments, bytes);
    return task(t, arguments);
}
#define TAPE__DO(t, task, arguments) tape__do(t, task, arguments, sizeof *(arguments))

/* The running sweep does what is no task: it is not remembered. */
static inline void tape__forgo(tape *t)
{
    t->noting = NULL;
}

/* What a leaf gets at the end of a sweep. */
typedef struct tape__gain {
    tape__leaf *leaf;
    const tape__node *x; /* that stands for it */
    const void *data;    /* its adjoint, of x's dtype; the gradient's buffer, where that is claimed */
    const tape__layout *layout;
    bool claimed;
} tape__gain;

/* gradient = or += what the leaf gets. */
void tape__commit(const tape *t, const tape__gain *gain);

/* The same sweep as before, from `slot` with a cotangent of 1 to the leaves: true where there is one and it was made,
 * or has failed. Else a sweep begins that may be one to remember. */
bool tape__memo_repeat(tape *t, uint32_t slot);

/* It ends: with what a leaf gets, and with all of that. */
void tape__memo_gain(tape *t, const tape__gain *gain);
void tape__memo_end(tape *t, bool ok);

void tape__memos_free(tape *t);

#endif
