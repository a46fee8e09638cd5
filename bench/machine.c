/* What this machine can do at most, on one thread: bytes copied and fused multiply-adds done in a second; what memory
 * this process takes of it. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "bench.h"

enum { REPETITIONS = 9 };

/* ---- copying ----------------------------------------------------------------------------------------------------- */

static void copy_plain(float *restrict to, const float *restrict from, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = from[i];
}

static void copy_library(float *restrict to, const float *restrict from, int64_t n)
{
    memcpy(to, from, (size_t)n * sizeof *to);
}

#if defined(__x86_64__)
/* `to` on a boundary of 16 bytes, n a multiple of 4. */
static void copy_past_cache(float *restrict to, const float *restrict from, int64_t n)
{
    for (int64_t i = 0; i < n; i += 4)
        _mm_stream_ps(to + i, _mm_loadu_ps(from + i));
    _mm_sfence();
}
#else
#define copy_past_cache copy_library
#endif

double bench_copy_seconds(float *to, const float *from, int64_t n)
{
    static void (*const copies[])(float *restrict, const float *restrict, int64_t) = {copy_plain, copy_library,
                                                                                      copy_past_cache};
    double best = INFINITY;
    int calls = n < 1 << 20 ? 100 : 1;
    for (int c = 0; c < 3; c++)
        for (int r = -1; r < REPETITIONS; r++) {
            double start = bench_now();
            for (int i = 0; i < calls; i++)
                copies[c](to, from, n);
            double seconds = (bench_now() - start) / calls;
            best = r >= 0 && seconds < best ? seconds : best;
        }
    return best;
}

/* ---- arithmetic -------------------------------------------------------------------------------------------------- */

enum { ROUNDS = 200000, CHAINS = 12 };

#if defined(__x86_64__)
enum { LANES = 8 };

static bool has_fma(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

/* Independent chains enough to keep two units of four to five cycles busy. */
__attribute__((target("avx2,fma"))) static float chains(float start)
{
    __m256 a[CHAINS], factor = _mm256_set1_ps(0.999F), addend = _mm256_set1_ps(0.001F);
    for (int c = 0; c < CHAINS; c++)
        a[c] = _mm256_set1_ps(start + (float)c);
    for (int i = 0; i < ROUNDS; i++)
#pragma GCC unroll 12
        for (int c = 0; c < CHAINS; c++)
            a[c] = _mm256_fmadd_ps(a[c], factor, addend);
    for (int c = 1; c < CHAINS; c++)
        a[0] = _mm256_add_ps(a[0], a[c]);
    return _mm256_cvtss_f32(a[0]);
}
#else
enum { LANES = 1 };

static bool has_fma(void)
{
    return true;
}

static float chains(float start)
{
    float a[CHAINS], sum = 0;
    for (int c = 0; c < CHAINS; c++)
        a[c] = start + (float)c;
    for (int i = 0; i < ROUNDS; i++)
        for (int c = 0; c < CHAINS; c++)
            a[c] = fmaf(a[c], 0.999F, 0.001F);
    for (int c = 0; c < CHAINS; c++)
        sum += a[c];
    return sum;
}
#endif

double bench_peak_flops(void)
{
    double best = INFINITY;
    volatile float keep = 0;
    if (!has_fma())
        return 0;
    for (int r = 0; r < 5 * REPETITIONS; r++) {
        double start = bench_now();
        keep = keep + chains((float)r);
        double seconds = bench_now() - start;
        best = seconds < best ? seconds : best;
    }
    return 2.0 * LANES * CHAINS * ROUNDS / best;
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

/* A line of /proc/self/status, in KiB there; 0 where there is none. */
static double status_bytes(const char *name)
{
    char line[128];
    double kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, name, strlen(name)) == 0)
            sscanf(line + strlen(name), "%lf", &kib);
    if (f)
        fclose(f);
    return kib * 1024;
}

double bench_resident(void)
{
#if defined(__GLIBC__)
    malloc_trim(0); /* what was freed before is not to be found again as if it were new */
#endif
    return status_bytes("VmRSS:");
}

double bench_peak_resident(void)
{
    return status_bytes("VmHWM:");
}

void bench_forget_peak(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "w");
    if (f) {
        fputs("5", f);
        fclose(f);
    }
}
