/* Clock, random inputs, minimum and median. Knows no workload and no option. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench.h"

double bench_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* A linear congruential generator's upper bits (D. E. Knuth's MMIX constants). */
static uint64_t state = 1;

void bench_seed(uint64_t seed)
{
    state = seed;
}

void bench_random(float *out, int64_t n, double low, double high)
{
    for (int64_t i = 0; i < n; i++) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        out[i] = (float)(low + (high - low) * (double)(state >> 40) / (double)(1 << 24));
    }
}

void bench_add(bench_times *times, double seconds)
{
    if (times->n < BENCH_MOST)
        times->seconds[times->n++] = seconds;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(const bench_times *times)
{
    bench_times sorted = *times;
    qsort(sorted.seconds, (size_t)sorted.n, sizeof *sorted.seconds, ascending);
    return sorted.seconds[sorted.n / 2];
}

double bench_min(const bench_times *times)
{
    double least = times->seconds[0];
    for (int i = 1; i < times->n; i++)
        least = times->seconds[i] < least ? times->seconds[i] : least;
    return least;
}

void bench_report_times(const char *workload, const char *metric, const bench_times *times, double scale,
                        const char *unit)
{
    if (times->n == 0)
        return;
    char name[96];
    snprintf(name, sizeof name, "%s.min", metric);
    bench_report(workload, name, bench_min(times) * scale, unit);
    snprintf(name, sizeof name, "%s.median", metric);
    bench_report(workload, name, bench_median(times) * scale, unit);
}

void bench_add_phases(bench_phases *phases, double start, double middle, double end)
{
    double done = bench_now();
    bench_add(&phases->forward, middle - start);
    bench_add(&phases->backward, end - middle);
    bench_add(&phases->total, done - start);
}

void bench_report_phases(const char *workload, const bench_phases *phases, double scale, const char *unit)
{
    bench_report_times(workload, "forward", &phases->forward, scale, unit);
    bench_report_times(workload, "backward", &phases->backward, scale, unit);
    bench_report_times(workload, "total", &phases->total, scale, unit);
}
