/*
 * Replay: the records of the tape run again, in place, for new values in the leaves.
 *
 *   tape_tensor loss = step(x, w);                       recorded once
 *   while (tape_backward(loss), tape_optim_step(sgd), next_batch(x))
 *       tape_replay();                                   loss and all between hold what step(x, w) would give now
 *
 * Handles stay valid and hold the new values; a backward after it is one of the new values. Values and gradients are
 * the same to the bit as those of recording the same program anew, which costs more: nothing is resolved, checked or
 * allocated again.
 *
 * What is run: every record, differentiable or not, in its order. So recorded gradients (create_graph) follow; random
 * ops draw from the generator as it stands, as recording again would; user-defined ops run their forward, with the
 * attributes that they were called with; checkpoints and rollouts run their function. Views follow by themselves.
 *
 * What is frozen: control flow, shapes, axes, numbers given as arguments, the constants of tape_from() and its kin (the
 * host may refill one through tape_data_mut()), which leaves had a gradient, and the order of tape_seed() and
 * tape_random_set() against the records. Numbers drawn while recording was paused are not drawn again.
 *
 * What cannot be replayed is an error, found before anything is run:
 * - a value of the tape that the host read (tape_item(), tape_read(), tape_data(), tape_keep(), tape_assign(), ...)
 *   before a later record was made, for that record may depend on it. tape_peek() promises that none does;
 * - a record that uses what was computed while recording was paused, or a gradient that was not recorded;
 * - a leaf, a constant or a result that was written between records that read it, an optimiser's step included;
 * - a recorded gradient of a checkpoint or rollout that draws random numbers, or of tape_ctc_loss();
 * - a tape whose values were let go by tape_last() or tape_backward_once();
 * - tape_implicit(), whose solution was found outside.
 * Found while running: a result whose shape depends on values and now differs (tape_masked_select()), an index out of
 * range, a leaf that was freed, a failing callback. Then values are of either run, and derivatives are an error until a
 * replay succeeds or the tape is reset.
 */
#ifndef TAPE_REPLAY_H
#define TAPE_REPLAY_H

#include "tape/tape.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Run all records of the current tape again. Not allowed in a callback. TAPE_ERROR_STATE for a tape that cannot be
 * replayed, with what is in the way. Allocates nothing, but for callbacks on their first time. */
TAPE_API tape_status tape_replay(void);

/* tape_item() for values that only people look at: no later record depends on the number. NaN after an error. */
TAPE_API double tape_peek(tape_tensor x);

#ifdef __cplusplus
}
#endif

#endif
