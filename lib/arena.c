/* Memory of a tape: chunks that never move, a bump pointer, free lists by size class. Knows blocks, not tensors. */
#include "arena.h"

#include <assert.h>
#include <string.h>

#define FIRST_CHUNK ((size_t)1 << 16)
#define LARGEST_STEP ((size_t)1 << 26) /* chunks stop doubling here */
#define SMALL 1024

void tape__arena_init(tape__arena *arena, tape__memory *memory)
{
    memset(arena, 0, sizeof *arena);
    arena->memory = memory;
}

void tape__arena_free(tape__arena *arena)
{
    for (uint32_t i = 0; i < arena->chunk_count; i++)
        tape__memory_put(arena->memory, arena->chunks[i].base, arena->chunks[i].size);
    tape__memory_put(arena->memory, arena->chunks, arena->chunk_capacity * sizeof *arena->chunks);
    tape__arena_init(arena, arena->memory);
}

/* The classes of small blocks, by sixteen bytes, and their sizes: most blocks are small. */
#define FOUR(c) c, c, c, c
#define EIGHT(c) FOUR(c), FOUR(c)
static const unsigned char small_class[SMALL / 16 + 1] = {
    0,  0,  1,  2,  3,        4,        5,        6,        7,         8,         8,         9,        9,
    10, 10, 11, 11, FOUR(12), FOUR(13), FOUR(14), FOUR(15), EIGHT(16), EIGHT(17), EIGHT(18), EIGHT(19)};
#undef EIGHT
#undef FOUR
static const uint16_t small_size[] = {16,  32,  48,  64,  128, 128, 128, 128, 192, 192,
                                      256, 256, 320, 384, 448, 512, 640, 768, 896, SMALL};

/*
 * Four classes per doubling bound the waste to a quarter. The class of a size is what tape__arena_get() rounds it up
 * to, so a block put back under its requested size fits any request of that class.
 */
TAPE__INLINE unsigned size_class(size_t bytes, size_t *rounded)
{
    if (TAPE__LIKELY(bytes <= SMALL)) {
        unsigned class = small_class[(bytes + 15) / 16];
        *rounded = small_size[class];
        return class;
    }
    unsigned shift = 63u - (unsigned)__builtin_clzll(bytes - 1); /* 2^shift < bytes <= 2^(shift+1) */
    size_t quarter = (size_t)1 << (shift - 2);
    size_t step = (bytes - ((size_t)1 << shift) + quarter - 1) / quarter; /* 1..4 */
    size_t size = ((size_t)1 << shift) + step * quarter;
    *rounded = (size + 63) & ~(size_t)63;
    return 4 + (shift - 6) * 4 + (unsigned)step - 1;
}

static bool grow_chunk_list(tape__arena *arena)
{
    uint32_t capacity = arena->chunk_capacity ? arena->chunk_capacity * 2 : 16;
    tape__chunk *chunks = tape__memory_get(arena->memory, capacity * sizeof *chunks);
    if (!chunks)
        return false;
    if (arena->chunk_count)
        memcpy(chunks, arena->chunks, arena->chunk_count * sizeof *chunks);
    tape__memory_put(arena->memory, arena->chunks, arena->chunk_capacity * sizeof *chunks);
    arena->chunks = chunks;
    arena->chunk_capacity = capacity;
    return true;
}

static bool add_chunk(tape__arena *arena, size_t bytes)
{
    if (arena->chunk_count == arena->chunk_capacity && !grow_chunk_list(arena))
        return false;
    size_t size = FIRST_CHUNK;
    if (arena->chunk_count) {
        size_t last = arena->chunks[arena->chunk_count - 1].size;
        size = last < LARGEST_STEP ? last * 2 : LARGEST_STEP;
    }
    if (size < bytes)
        size = (bytes + 4095) & ~(size_t)4095;
    unsigned char *base = tape__memory_get(arena->memory, size);
    if (!base && size > bytes) { /* a tight budget: just what is asked */
        size = bytes;
        base = tape__memory_get(arena->memory, size);
    }
    if (!base)
        return false;
    arena->chunks[arena->chunk_count++] = (tape__chunk){base, size};
    return true;
}

static void enter_chunk(tape__arena *arena, uint32_t chunk, size_t used)
{
    arena->current = chunk;
    arena->top = arena->chunks[chunk].base + used;
    arena->end = arena->chunks[chunk].base + arena->chunks[chunk].size;
}

/* The next chunk that is large enough; smaller ones on the way stay empty until the next rewind. */
static TAPE__NOINLINE void *get_from_next_chunk(tape__arena *arena, size_t bytes)
{
    uint32_t next = arena->top ? arena->current + 1 : 0;
    while (next < arena->chunk_count && arena->chunks[next].size < bytes)
        next++;
    if (next == arena->chunk_count && !add_chunk(arena, bytes))
        return NULL;
    if (arena->top)
        arena->filled += (size_t)(arena->top - arena->chunks[arena->current].base);
    enter_chunk(arena, next, bytes);
    return arena->chunks[next].base;
}

/* Ops take blocks one after the other and write them at once, to lines of a cache that last held an earlier step, if
 * any: those that come some blocks later are asked for now. Not for blocks of a few lines, whose ops are too short to
 * gain, nor for large ones, in which the processor sees by itself where it goes. */
TAPE__INLINE void fetch_ahead(const unsigned char *top, size_t bytes)
{
    enum { LINE = 64, AHEAD = 2048, FEW = 256, MANY = 4096 };
    if (bytes <= FEW || bytes > MANY)
        return;
    const unsigned char *at = top + AHEAD, *end = at + bytes;
    do
        __builtin_prefetch(at, 1);
    while ((at += LINE) < end);
}

void *tape__arena_get(tape__arena *arena, size_t bytes)
{
    size_t size;
    if (TAPE__UNLIKELY(bytes > SMALL) && bytes > SIZE_MAX / 4)
        return NULL;
    unsigned class = size_class(bytes, &size);
    assert(class < TAPE__SIZE_CLASSES);
    void *block = arena->free_lists[class];
    if (block) {
        memcpy(&arena->free_lists[class], block, sizeof(void *));
        arena->free_bytes -= size;
        return block;
    }
    uintptr_t align = size >= 64 ? 63 : 15;
    size_t gap = (size_t)(-(uintptr_t)arena->top & align);
    if (TAPE__UNLIKELY((size_t)(arena->end - arena->top) < size + gap))
        return get_from_next_chunk(arena, size);
    block = arena->top + gap;
    arena->top += gap + size;
    fetch_ahead(arena->top, size);
    return block;
}

size_t tape__arena_room(size_t bytes)
{
    size_t size;
    size_class(bytes, &size);
    return size;
}

void tape__arena_put(tape__arena *arena, void *block, size_t bytes)
{
    size_t size;
    unsigned class = size_class(bytes, &size);
    memcpy(block, &arena->free_lists[class], sizeof(void *));
    arena->free_lists[class] = block;
    arena->free_bytes += size;
    if (class >= arena->lists)
        arena->lists = class + 1;
}

void tape__arena_empty_lists(tape__arena *arena)
{
    memset(arena->free_lists, 0, arena->lists * sizeof *arena->free_lists);
    arena->lists = 0;
}

tape__arena_position tape__arena_mark(const tape__arena *arena)
{
    tape__arena_position position = {arena->current, 0, arena->filled};
    if (arena->top)
        position.used = (size_t)(arena->top - arena->chunks[arena->current].base);
    return position;
}

void tape__arena_rewind(tape__arena *arena, tape__arena_position position)
{
    if (!arena->chunk_count)
        return;
    enter_chunk(arena, position.chunk, position.used);
    arena->filled = position.filled;
}

void tape__arena_put_aside(tape__arena *arena, tape__arena_aside *aside)
{
    *aside = (tape__arena_aside){arena->top,    arena->end,        arena->current, arena->lists,
                                 arena->filled, arena->free_bytes, {NULL}};
    memcpy(aside->free_lists, arena->free_lists, arena->lists * sizeof *arena->free_lists);
    tape__arena_empty_lists(arena);
    arena->free_bytes = 0;
}

void tape__arena_put_back(tape__arena *arena, const tape__arena_aside *aside)
{
    tape__arena_empty_lists(arena);
    arena->top = aside->top;
    arena->end = aside->end;
    arena->current = aside->current;
    arena->lists = aside->lists;
    arena->filled = aside->filled;
    arena->free_bytes = aside->free_bytes;
    memcpy(arena->free_lists, aside->free_lists, aside->lists * sizeof *aside->free_lists);
}

void tape__arena_put_back_too(tape__arena *arena, const tape__arena_aside *aside)
{
    for (unsigned class = 0; class < aside->lists; class ++) {
        void *last = aside->free_lists[class];
        for (void *next = last; next; memcpy(&next, last, sizeof next))
            last = next;
        if (last) {
            memcpy(last, &arena->free_lists[class], sizeof(void *));
            arena->free_lists[class] = aside->free_lists[class];
        }
    }
    arena->free_bytes += aside->free_bytes;
    arena->lists = arena->lists > aside->lists ? arena->lists : aside->lists;
}

/* Large steps end up in few chunks: reserving adds one that holds all that is missing. */
bool tape__arena_reserve(tape__arena *arena, size_t bytes)
{
    size_t have = arena->top ? (size_t)(arena->end - arena->top) : 0;
    for (uint32_t i = arena->top ? arena->current + 1 : 0; i < arena->chunk_count; i++)
        have += arena->chunks[i].size;
    if (have < bytes && !add_chunk(arena, bytes - have))
        return false;
    if (!arena->top && arena->chunk_count)
        enter_chunk(arena, 0, 0);
    for (uint32_t i = arena->current; i < arena->chunk_count; i++) {
        unsigned char *from = i == arena->current ? arena->top : arena->chunks[i].base;
        memset(from, 0, arena->chunks[i].size - (size_t)(from - arena->chunks[i].base));
    }
    return true;
}

size_t tape__arena_in_use(const tape__arena *arena)
{
    size_t used = arena->top ? (size_t)(arena->top - arena->chunks[arena->current].base) : 0;
    return arena->filled + used - arena->free_bytes;
}

bool tape__arena_before(const tape__arena *arena, const void *block, tape__arena_position position)
{
    uintptr_t address = (uintptr_t)block;
    for (uint32_t i = 0; i < arena->chunk_count && i <= position.chunk; i++) {
        uintptr_t base = (uintptr_t)arena->chunks[i].base;
        size_t extent = i == position.chunk ? position.used : arena->chunks[i].size;
        if (address >= base && address < base + extent)
            return true;
    }
    return false;
}
