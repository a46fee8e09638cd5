/*
 * What is kept of a tape that may come again: its nodes as they were, to know it by, and what was done to memory. Knows
 * nodes and lists; memo.c does a sweep again, recall.c the ops before it.
 */
#ifndef TAPE__KEPT_H
#define TAPE__KEPT_H

#include "memo.h"
#include "recall.h"
#include "tape.h"

#define TAPE__MEMOS 4u /* the steps that a program takes by turns */

typedef struct tape__list {
    unsigned char *bytes;
    size_t used, room;
} tape__list;

/* Room for so many bytes more, which stays where it is until the next; NULL where that is too much. */
void *tape__list_add(tape *t, tape__list *l, size_t bytes);
bool tape__list_append(tape *t, tape__list *l, const void *from, size_t bytes);
TAPE__INLINE const void *tape__list_at(const tape__list *l, size_t offset)
{
    return l->bytes + offset;
}

/* A node as it is on every tape that is the same. */
typedef struct tape__kept_node {
    uint64_t word[5]; /* data, layout, where the version is, the own version with op, dtype and flags, the inputs */
    const void *held; /* the leaf, or the block of a record that has one */
    uintptr_t holds;  /* all bits set where the node may hold either, none where that is its value */
    uint64_t alive;   /* the generation of a leaf */
} tape__kept_node;
_Static_assert(offsetof(tape__node, saved) - offsetof(tape__node, data) == sizeof(uint64_t[5]), "they lie together");

/* A leaf's value that a record has saved: the places of the version then and now. */
typedef struct tape__saved_leaf {
    const uint32_t *saved, *version;
} tape__saved_leaf;

/* Something that was done to memory; its arguments follow. */
typedef struct tape__task {
    tape__task_fn *run;
    size_t bytes;        /* with the arguments */
    const char *op_name; /* for messages */
} tape__task;

/* Attempts that may fail: the intervals between them double. */
typedef struct tape__patience {
    uint32_t waits, fails;
} tape__patience;
bool tape__is_time(tape__patience *p);

/* How far a tape has been found to be the same: its nodes, and where their blocks end in the list of blocks. */
typedef struct tape__sameness {
    uint32_t nodes;
    size_t blocks;
} tape__sameness;

/* How far the expected tape has come. */
typedef struct tape__progress {
    tape__sameness same;
    size_t at;         /* the next op in the list of records */
    bool noting;       /* they are to be kept ... */
    bool started;      /* and the first has been met: */
    size_t running;    /* the op that runs, in that list; TAPE__NONE_RUNS */
    bool whole;        /* that is all of tasks */
    size_t free_bytes; /* and what the arena was like before it */
    uint32_t chunk;
} tape__progress;
#define TAPE__NONE_RUNS SIZE_MAX

typedef struct tape__memo {
    uint64_t key;         /* tells most tapes that differ */
    uint64_t met;         /* when it was last */
    uint32_t count, slot; /* of the tape's nodes, and where the sweep starts */
    unsigned char *top;   /* of the arena: what the sweep takes lies beyond */
    uint32_t epoch;       /* of the layouts */
    bool complete;        /* a sweep is kept, ... */
    bool recalls;         /* ... and so are ops */
    tape__patience sweep, ops;
    struct tape__memo *next; /* what came after it the last time; NULL before */
    tape__list nodes, blocks, saved, gains, tasks, records;
} tape__memo;

struct tape__memos {
    uint64_t now;
    tape__memo *noted; /* by the running sweep */
    tape__memo *last;  /* that was repeated */
    tape__progress progress;
    bool is_aside; /* while a sweep is noted, for it is to take memory that no record has on a tape that is the same: */
    tape__arena_aside aside;
    tape__arena_position start;
    tape__memo memo[TAPE__MEMOS];
};

/* Keeps the tape as it is; false where it is none that a sweep can repeat. */
bool tape__keep(tape *t, tape__memo *m);

/* Compares the nodes from `same` on and moves it; whether the tape is the same as far as it goes. */
bool tape__is_same(const tape *t, const tape__memo *m, tape__sameness *same);

/* Whether the values of leaves that records have saved are as they were. */
bool tape__is_unwritten(const tape__memo *m);

/* Does the tasks between two places; false after an error. */
TAPE__INLINE bool tape__do_again(tape *t, const void *from, const void *end)
{
    const char *before = t->op_name;
    bool ok = true;
    for (const tape__task *next = from; (const void *)next != end && ok;) {
        t->op_name = next->op_name;
        ok = next->run(t, next + 1);
        next = (const tape__task *)(const void *)((const unsigned char *)next + next->bytes);
    }
    t->op_name = before;
    return ok;
}

#endif
