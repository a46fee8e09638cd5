/* Knows which kernels this processor runs best; it does not know what they compute. */
#include "dispatch.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct candidate {
    const struct tape__kernels *kernels;
    bool by_hand;
};

/* Best first. */
static const struct candidate candidates[] = {
#ifdef TAPE__HAVE_AVX2
    {&tape__kernels_avx2, false},
#endif
#ifdef TAPE__HAVE_AVX512
    {&tape__kernels_avx512, true},
#endif
#ifdef TAPE__HAVE_SSE2
    {&tape__kernels_sse2, false},
#endif
#ifdef TAPE__HAVE_NEON
    {&tape__kernels_neon, false},
#endif
#ifdef TAPE__HAVE_GENERIC
    {&tape__kernels_generic, false},
#endif
};
enum { CANDIDATES = sizeof candidates / sizeof *candidates };

static _Atomic(const struct tape__kernels *) chosen;

static bool runs_here(const struct tape__kernels *k)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_cpu_init();
    if (strcmp(k->isa, "avx2") == 0)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (strcmp(k->isa, "avx512") == 0)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    (void)k;
    return true;
}

static const struct tape__kernels *by_name(const char *name)
{
    for (int i = 0; i < CANDIDATES; i++) {
        if (strcmp(name, candidates[i].kernels->isa) == 0)
            return runs_here(candidates[i].kernels) ? candidates[i].kernels : NULL;
    }
    return NULL;
}

static const struct tape__kernels *by_processor(void)
{
    int i = 0;
    while (i < CANDIDATES - 1 && (candidates[i].by_hand || !runs_here(candidates[i].kernels)))
        i++;
    return candidates[i].kernels;
}

const struct tape__kernels *tape__kernels(void)
{
    const struct tape__kernels *k = atomic_load_explicit(&chosen, memory_order_acquire);
    if (!k) {
        const char *name = getenv("TAPE_ISA");
        k = name && *name ? by_name(name) : NULL;
        if (!k)
            k = by_processor();
        /* Threads that race here choose alike unless the environment changes under them; the first choice stays. */
        const struct tape__kernels *none = NULL;
        if (!atomic_compare_exchange_strong(&chosen, &none, k))
            k = none;
    }
    return k;
}

const char *tape__dispatch_note(void)
{
    const char *name = getenv("TAPE_ISA");
    if (!name || !*name || strcmp(name, tape__kernels()->isa) == 0)
        return NULL;
    for (int i = 0; i < CANDIDATES; i++) {
        if (strcmp(name, candidates[i].kernels->isa) == 0)
            return runs_here(candidates[i].kernels) ? "TAPE_ISA was set after the kernels had been chosen"
                                                    : "TAPE_ISA names an instruction set that this processor lacks";
    }
    return "TAPE_ISA names an instruction set that this build does not have";
}

const struct tape__kernels *tape__kernels_available(int i)
{
    for (int j = 0; j < CANDIDATES; j++) {
        if (runs_here(candidates[j].kernels) && i-- == 0)
            return candidates[j].kernels;
    }
    return NULL;
}
