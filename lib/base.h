/* The ground floor: checked size arithmetic, allocator calls and bounded text. Knows nothing of tapes or tensors. */
#ifndef TAPE__BASE_H
#define TAPE__BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tape/types.h"

#define TAPE__LIKELY(condition) __builtin_expect(!!(condition), 1)
#define TAPE__UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#define TAPE__NOINLINE __attribute__((noinline, cold))
#define TAPE__INLINE static inline __attribute__((always_inline))

/* Products and sums of sizes: true and *out on success, false on overflow or a negative factor. */
static inline bool tape__mul_size(int64_t a, int64_t b, int64_t *out)
{
    return a >= 0 && b >= 0 && !__builtin_mul_overflow(a, b, out);
}

static inline bool tape__add_size(int64_t a, int64_t b, int64_t *out)
{
    return a >= 0 && b >= 0 && !__builtin_add_overflow(a, b, out);
}

/* The allocator of a tape or a leaf, with the counters that tape_stats() reports. */
typedef struct tape__memory {
    void *(*allocate)(void *user, void *pointer, size_t old_size, size_t new_size);
    void *user;
    size_t budget; /* 0: none */
    size_t reserved;
    int64_t calls;
} tape__memory;

void tape__memory_init(tape__memory *memory, void *(*allocate)(void *, void *, size_t, size_t), void *user,
                       size_t budget);

/* 64-byte aligned blocks; NULL when the allocator refuses or the budget would be exceeded. */
void *tape__memory_get(tape__memory *memory, size_t bytes);
void tape__memory_put(tape__memory *memory, void *block, size_t bytes);

/* Append formatted text at *used, never beyond size - 1; always terminated. */
void tape__append(char *buffer, size_t size, size_t *used, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Bytes of an element of a dtype that is one: digits of a number cost less than a table. */
TAPE__INLINE size_t tape__item_size(unsigned dtype)
{
    return 0x18484u >> 4 * dtype & 15;
}

#endif
