/*
 * Where the time goes: a table by op, and a trace to look at.
 *
 * With TAPE_PROFILE=trace.json in the environment every tape that is made profiles, and one file for the process gets
 * an event for each op and for each op's derivative, in the trace event format that Perfetto (ui.perfetto.dev) and
 * Chrome (chrome://tracing) load: two tracks for each tape, forward and backward, with names, shapes and bytes; what an
 * op runs inside (a derivative's ops, a callback's) lies below it. The file is whole after every event, so nothing is
 * lost however the program ends; the library holds one megabyte of it at a time. The tape's end, tape_thread_end() and
 * tape_shutdown() cut off the blanks at its end. The first tape of a process makes the file anew, later ones add to it;
 * after tape_shutdown() it is made anew again. A child made by fork() does not write to it.
 *
 * Without a profile an op costs what it costs without this header. With one it costs about a tenth of a microsecond
 * more, with a file about two; this time is not in the figures of the op itself, but in those of an op around it.
 */
#ifndef TAPE_PROFILE_H
#define TAPE_PROFILE_H

#include "tape/tape.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Start, or start anew, the current tape's table; with a path also write a trace there (NULL: a trace that runs goes
 * on). TAPE_ERROR_IO where the file cannot be written or another one is being written in this process. A failure
 * later, such as a full disk, is one line to the log hook and ends the trace, not the table; see tape_profile_note().
 */
TAPE_API tape_status tape_profile_start(const char *path);

/* Stop. The table stays until the next start. TAPE_ERROR_IO if the trace failed on the way, TAPE_ERROR_STATE if nothing
 * was started; the calls below are then empty. */
TAPE_API tape_status tape_profile_stop(void);

/* Why the current tape writes no trace though it was to; NULL if it does, or need not. */
TAPE_API const char *tape_profile_note(void);

/* A line of the table. An op that runs inside another one (in a derivative, a custom op's callback) is part of that and
 * has no line for it. Backward passes have the line "commit" besides: gradients added to leaves, with their hooks. */
typedef struct tape_profile_row {
    const char *op; /* valid until the next start */
    bool backward;  /* the op's derivative */
    int64_t calls;
    int64_t nanoseconds; /* of all calls */
    int64_t bytes;       /* of their inputs and outputs, each once a call; of their gradients for a derivative */
    double share;        /* of the time of all lines, 0 to 1 */
} tape_profile_row;

/* The table of the current tape, running or stopped: the line with the most time first. Zeros beyond the last. */
TAPE_API int tape_profile_count(void);
TAPE_API tape_profile_row tape_profile_at(int i);

/* The table as text, like tape_format() and tape_print(). */
TAPE_API size_t tape_profile_format(char *buffer, size_t size);
TAPE_API void tape_profile_print(void);

#ifdef __cplusplus
}
#endif

#endif
