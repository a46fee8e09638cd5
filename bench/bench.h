/* The benchmark program's frame: how workloads time themselves and report figures. Knows no workload. */
#ifndef TAPE_BENCH_H
#define TAPE_BENCH_H

#include <stdbool.h>

/* Seconds of a clock that only goes forward. */
double bench_now(void);

/* True if the filter, a regular expression, may match a metric that begins with this name. */
bool bench_wants(const char *name);

/* Report a figure: "workload.metric value unit" on stdout where the filter matches the full name, and in the JSON. */
void bench_report(const char *workload, const char *metric, double value, const char *unit);

/* Minimum and median of repeated timings. */
enum { BENCH_MOST = 64 };
typedef struct bench_times {
    int n;
    double seconds[BENCH_MOST];
} bench_times;
void bench_add(bench_times *times, double seconds);
double bench_min(const bench_times *times);
double bench_median(const bench_times *times);

/* A workload prints its own figures. They are listed once, in main.c. */
void bench_w1_scalar(void);
void bench_ops(void);

#endif
