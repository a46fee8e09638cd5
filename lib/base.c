/* Allocator calls that count and respect a budget, and bounded text. Knows nothing of tapes or tensors. */
#include "base.h"

#include <stdio.h>
#include <stdlib.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#define ALIGNMENT 64
#define LARGE_PAGE ((size_t)1 << 21)

static void *default_allocate(void *user, void *pointer, size_t old_size, size_t new_size)
{
    (void)user;
    (void)old_size;
    if (new_size == 0) {
        free(pointer);
        return NULL;
    }
    return realloc(pointer, new_size);
}

void tape__memory_init(tape__memory *memory, void *(*allocate)(void *, void *, size_t, size_t), void *user,
                       size_t budget)
{
    *memory = (tape__memory){allocate ? allocate : default_allocate, user, budget, 0, 0};
}

/* Large blocks of the C library's on large pages, where the system has them to give: it then asks less often which page
 * is where, and hands out a new one 512 times less often. */
static void ask_for_large_pages(const tape__memory *memory, unsigned char *block, size_t bytes)
{
#if defined(MADV_HUGEPAGE)
    size_t skip = -(uintptr_t)block & (LARGE_PAGE - 1);
    if (memory->allocate == default_allocate && bytes >= 2 * LARGE_PAGE)
        (void)madvise(block + skip, (bytes - skip) & ~(LARGE_PAGE - 1), MADV_HUGEPAGE);
#else
    (void)memory, (void)block, (void)bytes;
#endif
}

/* The raw block is kept in the word before the aligned one, because a user's allocator aligns as malloc does. */
void *tape__memory_get(tape__memory *memory, size_t bytes)
{
    size_t total;
    if (__builtin_add_overflow(bytes, (size_t)ALIGNMENT + sizeof(void *), &total))
        return NULL;
    if (memory->budget && (total > memory->budget || memory->reserved > memory->budget - total))
        return NULL;
    unsigned char *raw = memory->allocate(memory->user, NULL, 0, total);
    memory->calls++;
    if (!raw)
        return NULL;
    memory->reserved += total;
    uintptr_t aligned = ((uintptr_t)raw + sizeof(void *) + ALIGNMENT - 1) & ~(uintptr_t)(ALIGNMENT - 1);
    ask_for_large_pages(memory, raw, total);
    void **block = (void **)(raw + (aligned - (uintptr_t)raw));
    block[-1] = raw;
    return block;
}

void tape__memory_put(tape__memory *memory, void *block, size_t bytes)
{
    if (!block)
        return;
    size_t total = bytes + ALIGNMENT + sizeof(void *);
    memory->allocate(memory->user, ((void **)block)[-1], total, 0);
    memory->calls++;
    memory->reserved -= total;
}

void tape__append(char *buffer, size_t size, size_t *used, const char *format, ...)
{
    if (*used + 1 >= size)
        return;
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(buffer + *used, size - *used, format, arguments);
    va_end(arguments);
    if (n > 0)
        *used = *used + (size_t)n < size ? *used + (size_t)n : size - 1;
}

const char *tape_status_name(tape_status status)
{
    static const char *const names[] = {"OK",          "ARGUMENT", "SHAPE",   "DTYPE",    "INDEX",
                                        "HANDLE",      "MEMORY",   "VERSION", "STATE",    "CALLBACK",
                                        "UNSUPPORTED", "IO",       "FORMAT",  "NONFINITE"};
    return (unsigned)status < sizeof names / sizeof *names ? names[status] : "?";
}

size_t tape_dtype_size(tape_dtype dtype)
{
    return (unsigned)dtype <= TAPE_U8 ? tape__item_size(dtype) : 0;
}

const char *tape_dtype_name(tape_dtype dtype)
{
    static const char *const names[] = {"f32", "f64", "i32", "i64", "u8"};
    return (unsigned)dtype < sizeof names / sizeof *names ? names[dtype] : "?";
}
