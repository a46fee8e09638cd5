/* Progress of a long job: a bar on a terminal, a plain line now and then elsewhere. Knows only numbers. */
#ifndef TAPE_CLI_PROGRESS_H
#define TAPE_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct progress {
    bool terminal;
    double start, last_drawn;
    int64_t epochs, steps; /* of the whole job; steps in an epoch */
    int64_t samples;       /* seen so far */
} progress;

double seconds_now(void);

void progress_begin(progress *p, int64_t epochs, int64_t steps);

/* After a step: redraws the bar at most ten times a second. */
void progress_step(progress *p, int64_t epoch, int64_t step, int64_t samples, double loss, double accuracy);

/* After an epoch: a line for about ten of them. */
void progress_epoch(progress *p, int64_t epoch, double loss, double accuracy);

/* For jobs without epochs: the share of the whole that is done, and what comes now. */
void progress_share(progress *p, double share, const char *what);

/* Wipe the bar. */
void progress_end(progress *p);

#endif
