/* Running records again. */
#ifndef TAPE__REPLAY_H
#define TAPE__REPLAY_H

#include "sweep.h"
#include "tape/replay.h"

/* The host reads the elements of the node at `slot` by the public function tape_BY(). */
void tape__note_read(tape *t, const char *by, uint32_t slot);

/* Whether what was recorded can be replayed at all; false after an error. Runs nothing. */
bool tape__replay_check(tape *t);

#endif
