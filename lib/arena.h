/* Memory of a tape: chunks that never move, a bump pointer, free lists by size class. Knows blocks, not tensors. */
#ifndef TAPE__ARENA_H
#define TAPE__ARENA_H

#include "base.h"

#define TAPE__SIZE_CLASSES 236 /* four per doubling, from 16 bytes up */

typedef struct tape__chunk {
    unsigned char *base;
    size_t size;
} tape__chunk;

/* Where the bump pointer stands; older positions compare smaller. */
typedef struct tape__arena_position {
    uint32_t chunk;
    size_t used;
    size_t filled;
} tape__arena_position;

typedef struct tape__arena {
    unsigned char *top; /* next free byte of the current chunk */
    unsigned char *end;
    tape__memory *memory;
    tape__chunk *chunks;
    uint32_t chunk_count, chunk_capacity, current;
    size_t filled;     /* bytes in the chunks before the current one */
    size_t free_bytes; /* in the free lists */
    unsigned lists;    /* no block of this class or a larger one has been put back since they were emptied */
    void *free_lists[TAPE__SIZE_CLASSES];
} tape__arena;

void tape__arena_init(tape__arena *arena, tape__memory *memory);
void tape__arena_free(tape__arena *arena);

/* A block of at least `bytes`: 16-byte aligned, 64-byte from 64 bytes up; never zeroed. NULL when memory is short. */
void *tape__arena_get(tape__arena *arena, size_t bytes);

/* The bytes of a block that was asked for as so many. */
size_t tape__arena_room(size_t bytes);

/* Give a block of `bytes` back for reuse before the arena is rewound. */
void tape__arena_put(tape__arena *arena, void *block, size_t bytes);

/* Forget the blocks that were given back. */
void tape__arena_empty_lists(tape__arena *arena);

tape__arena_position tape__arena_mark(const tape__arena *arena);
/* What the arena has to give, put aside: until it is put back, blocks come from beyond all others. */
typedef struct tape__arena_aside {
    unsigned char *top, *end;
    uint32_t current;
    unsigned lists;
    size_t filled, free_bytes;
    void *free_lists[TAPE__SIZE_CLASSES];
} tape__arena_aside;
void tape__arena_put_aside(tape__arena *arena, tape__arena_aside *aside);

/* Nothing that was taken meanwhile is used any more: the arena is as it was. */
void tape__arena_put_back(tape__arena *arena, const tape__arena_aside *aside);

/* The same where something may be. */
void tape__arena_put_back_too(tape__arena *arena, const tape__arena_aside *aside);

void tape__arena_rewind(tape__arena *arena, tape__arena_position position);

/* Allocate and touch at least `bytes` ahead. */
bool tape__arena_reserve(tape__arena *arena, size_t bytes);

size_t tape__arena_in_use(const tape__arena *arena);

/* True if the block was taken before the position. */
bool tape__arena_before(const tape__arena *arena, const void *block, tape__arena_position position);

#endif
