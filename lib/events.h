/*
 * The process's one trace file: a JSON array of events that is whole after each of them, whatever becomes of the
 * process. Knows the file, not what events say.
 */
#ifndef TAPE__EVENTS_H
#define TAPE__EVENTS_H

#include "base.h"

/* Any thread may call these. Why one failed is a line of text. */
typedef struct tape__events_error {
    char text[256];
} tape__events_error;

/* Begin to write, as one of several users, to the file at `path`. The first user in the process makes it new; after
 * the last has left, the next one goes on where it stopped. One file at a time: another path fails. */
bool tape__events_open(const char *path, tape__events_error *error);

/* One user less; the last one's leaving cuts the file to what it holds. */
void tape__events_close(void);

/* Append one event, an object in JSON of at most TAPE__EVENT_MAX bytes. */
enum { TAPE__EVENT_MAX = 4096 };
bool tape__events_write(const char *event, size_t length, tape__events_error *error);

/* A number for each track of events, from 1 on. */
uint32_t tape__events_track(void);

/* Nanoseconds since the file was made. */
uint64_t tape__events_time(uint64_t now);

/* Forget the file: the next user makes a new one. Nobody may be using it. */
void tape__events_shutdown(void);

/* Nanoseconds of a clock that only goes on. */
uint64_t tape__clock(void);

#endif
