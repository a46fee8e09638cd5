/* The benchmark program's frame: how workloads time themselves and report figures. Knows no workload. */
#ifndef TAPE_BENCH_H
#define TAPE_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Seconds of a clock that only goes forward. */
double bench_now(void);

/* The filter, an extended regular expression that full metric names are searched for; false unless it is one. Without
 * one all match. */
bool bench_filter_set(const char *text);
void bench_filter_clear(void);
bool bench_matches(const char *name);

/* False if the filter cannot match any metric that begins with this name: a workload's, and what follows it. */
bool bench_wants(const char *name);

/* The filter for processes that run this workload: up to where it may go into the last part of a name, which differs.
 */
void bench_filter_for(const char *workload, char *out, size_t size);

/* Report a figure: "workload.metric value unit" on stdout where the filter matches the full name, and in the JSON. One
 * whose name ends in "check" is what was computed: a peer's must agree with it. */
void bench_report(const char *workload, const char *metric, double value, const char *unit);

/* Keep a figure for the page, and write the page: false with tape's status on failure. */
void bench_html_note(const char *name, double value, const char *unit);
bool bench_html_write(const char *path, int threads);

/* A workload looks at what it has computed, so that it cannot time nonsense: false, and a failing exit, unless ok. */
bool bench_check(bool ok, const char *workload, const char *what);

/* n numbers in low..high, the same in every run. A workload whose result a peer must reach starts again from a seed. */
void bench_random(float *out, int64_t n, double low, double high);
void bench_seed(uint64_t seed);

/* Minimum and median of repeated timings. */
enum { BENCH_MOST = 64 };
typedef struct bench_times {
    int n;
    double seconds[BENCH_MOST];
} bench_times;
void bench_add(bench_times *times, double seconds);
double bench_min(const bench_times *times);
double bench_median(const bench_times *times);

/* Report times x scale as "metric.min" and "metric.median". */
void bench_report_times(const char *workload, const char *metric, const bench_times *times, double scale,
                        const char *unit);

/* Going forward, going back, and both with what clears up after them. */
typedef struct bench_phases {
    bench_times forward, backward, total;
} bench_phases;
/* `total` ends now. */
void bench_add_phases(bench_phases *phases, double start, double middle, double end);
void bench_report_phases(const char *workload, const bench_phases *phases, double scale, const char *unit);

/* What the machine does at most on one thread: the time of a copy of n f32 (on 16-byte boundaries, n a multiple of 4)
 * by the fastest of three loops, and the f32 operations a second of fused multiply-adds alone; 0 without such. */
double bench_copy_seconds(float *to, const float *from, int64_t n);
double bench_peak_flops(void);

/* Bytes of this process that are resident, and the most that were since the last call of bench_forget_peak(). */
double bench_resident(void);
double bench_peak_resident(void);
void bench_forget_peak(void);

/* Run what the filter matches of a workload here and at the peers in turns, and report this side's figures and the
 * ratios. False if this side fails. Peers that were not found print one line each. */
bool bench_compare(const char *self, const char *workload, const char *filter, int threads);
void bench_name_missing_peers(void);

/* A workload prints its own figures. They are listed once, in main.c. */
void bench_w1_scalar(void);
void bench_w2_vec64(void);
void bench_w3_elementwise(void);
void bench_w4_matmul(void);
void bench_w5_mlp(void);
void bench_w6_conv(void);
void bench_w7_gpt(void);
void bench_w8_lstm(void);
void bench_w9_springs(void);
void bench_w10_numeric(void);
void bench_w11_footprint(void);
void bench_w12_long_tape(void);
void bench_ops(void);

#endif
