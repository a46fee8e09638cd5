/*
 * Gradients with less memory: what a function computed is dropped at once and computed again on the way back.
 *
 * The function is run as a callback: tape_backward() and tape_reset() are errors in it, and what it makes ends with it
 * but for its result. Leaves and older tensors that it reads besides its arguments are found by themselves and get
 * their gradients too; if one of them is written before the backward, that is TAPE_ERROR_VERSION. When it runs again,
 * random ops draw the same numbers. It and `user` must stay as they are until the records end; a host value that it
 * reads is not seen.
 */
#ifndef TAPE_RECOMPUTE_H
#define TAPE_RECOMPUTE_H

#include "tape/tape.h"

#ifdef __cplusplus
extern "C" {
#endif

/* y = fn(user, x, n), with one record instead of fn's own: its intermediates live for one call at a time. d: that of
 * fn, of any order. */
TAPE_API tape_tensor tape_checkpoint(tape_function *fn, void *user, const tape_tensor *x, int n);

/* One step of a simulation: next[0..m-1] of the same shapes and dtypes from state[0..m-1]; k counts from 0. */
typedef tape_status tape_step(void *user, int64_t k, const tape_tensor *state, int m, tape_tensor *next);

#define TAPE_ROLLOUT_STATES 8 /* the most tensors that a state has */

/*
 * n steps from `state` (m tensors), the last state to out[0..m-1]. Instead of all states at most `budget` are kept, the
 * first included, and a backward runs the steps between them again, by the binomial schedule that needs the fewest
 * (A. Griewank, A. Walther, Algorithm 799: revolve, ACM TOMS 26 (2000) 19-45): besides the n steps that are recorded,
 * one at a time, r n - binomial(budget + r, r - 1), with the least r for which binomial(budget + r, budget) >= n; for
 * example 15 for n = 10, budget 3. A further backward of the same records starts with the first state alone. With
 * create_graph, and in forward mode, all steps are recorded.
 */
TAPE_API tape_status tape_rollout(tape_step *step, void *user, int64_t n, int budget, const tape_tensor *state, int m,
                                  tape_tensor *out);

#ifdef __cplusplus
}
#endif

#endif
