/* The code outside the library that called into it. Knows the machine's stack and the dynamic linker, no tape. */
#if TAPE__BACKTRACE
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* dladdr */
#endif
#include <dlfcn.h>
#include <execinfo.h>
#include <sys/auxv.h>
#endif

#include <string.h>

#include "caller.h"

#if TAPE__BACKTRACE

enum { DEPTH = 64 };

/*
 * The static library's code lies in sections of its own (cmake/library.cmake renames them), whose ends the linker
 * knows. All are null in the shared library, where the dynamic linker tells what is whose, and after -flto.
 */
extern const char __start_tape_text[] __attribute__((weak, visibility("hidden")));
extern const char __stop_tape_text[] __attribute__((weak, visibility("hidden")));
extern const char __start_tape_text_cold[] __attribute__((weak, visibility("hidden")));
extern const char __stop_tape_text_cold[] __attribute__((weak, visibility("hidden")));

static bool lies_in(const void *address, const char *start, const char *stop)
{
    uintptr_t at = (uintptr_t)address;
    return at > (uintptr_t)start && at <= (uintptr_t)stop; /* a return address may lie just behind */
}

bool tape__is_ours(const void *address)
{
    if (__start_tape_text)
        return lies_in(address, __start_tape_text, __stop_tape_text) ||
               lies_in(address, __start_tape_text_cold, __stop_tape_text_cold);
    static const char anchor;
    Dl_info own, program, at;
    const void *entry = (const void *)(uintptr_t)getauxval(AT_ENTRY); /* NOLINT: an address by definition */
    if (!dladdr(&anchor, &own) || !dladdr(address, &at))
        return true;
    if (own.dli_fbase != at.dli_fbase)
        return false;
    bool linked_in = dladdr(entry, &program) && program.dli_fbase == own.dli_fbase;
    return !linked_in || !at.dli_sname || strncmp(at.dli_sname, "tape_", 5) == 0;
}

#if TAPE__FRAMES

/*
 * Without unwind tables: each of our functions that may lie between a record and its caller has a frame pointer or
 * leaves the register alone (cmake/kernels.cmake). Public functions of the second kind tell who called them.
 */
const void *tape__caller(const void *entry)
{
    enum { LARGEST = 1 << 18 }; /* bytes of a frame: farther away lies something else */
    const uintptr_t *frame = __builtin_frame_address(0);
    if (entry && !tape__is_ours(entry))
        return entry;
    for (int i = 0; i < DEPTH; i++) {
        const void *address = (const void *)frame[1];
        if (!tape__is_ours(address))
            return address;
        if (frame[0] <= (uintptr_t)frame || frame[0] - (uintptr_t)frame > LARGEST)
            return NULL;
        frame = (const uintptr_t *)frame[0];
    }
    return NULL;
}

#else

const void *tape__caller(const void *entry)
{
    (void)entry;
    void *frames[DEPTH];
    int n = backtrace(frames, DEPTH), i = 0;
    while (i < n && !tape__is_ours(frames[i])) /* a sanitizer's own backtrace() */
        i++;
    while (i < n && tape__is_ours(frames[i]))
        i++;
    return i < n ? frames[i] : NULL;
}

#endif

void tape__caller_text(const void *address, char *buffer, size_t size)
{
    Dl_info info;
    size_t used = 0;
    buffer[0] = '\0';
    /* one back lies the call, which may be its function's last word */
    if (!address || !dladdr((const char *)address - 1, &info))
        return;
    const char *file = info.dli_fname ? strrchr(info.dli_fname, '/') : NULL;
    const char *name = info.dli_sname ? info.dli_sname : file ? file + 1 : info.dli_fname ? info.dli_fname : "?";
    uintptr_t base = (uintptr_t)(info.dli_sname ? info.dli_saddr : info.dli_fbase);
    tape__append(buffer, size, &used, "%s+0x%zx", name, (size_t)((uintptr_t)address - base));
}

#else

const void *tape__caller(const void *entry)
{
    (void)entry;
    return NULL;
}

bool tape__is_ours(const void *address)
{
    (void)address;
    return false;
}

void tape__caller_text(const void *address, char *buffer, size_t size)
{
    (void)address;
    (void)size;
    buffer[0] = '\0';
}

#endif
