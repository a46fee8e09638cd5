/* --peers: runs tape's workloads and a peer's in turns, each in a process of its own, and prints what one takes beside
 * the other. Knows how lines are written and where the peers lie, no workload. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum { ROUNDS = 3, MOST = 512 };
#define AGREE 1e-3 /* relative: both sides round f32 in their own order */

/* The best that one side has reached, by name: least times, greatest rates. */
typedef struct figure {
    char name[96], unit[16];
    double best;
} figure;

typedef struct figures {
    int n;
    figure of[MOST];
} figures;

static const struct peer {
    const char *name, *workloads; /* the names of what it has begin so, separated by spaces */
    const char *program;          /* "" where it was not built */
    const char *options;
} peers[] = {{"libtorch", "w1_ w2_ w3_ w4_ w5_ w6_ w7_ w8_ w9_ w11_", TAPE_BENCH_LIBTORCH, ""},
             {"openblas", "w4_", TAPE_BENCH_OPENBLAS, ""},
             {"libxsmm", "w4_", TAPE_BENCH_LIBXSMM, ""},
             {"libxsmm_call", "w4_", TAPE_BENCH_LIBXSMM, " --call 1"},
             {"adolc", "w9_", TAPE_BENCH_ADOLC, ""}};
enum { PEERS = sizeof peers / sizeof *peers };

static bool is_rate(const char *unit)
{
    return strchr(unit, '/') != NULL;
}

static figure *find(figures *all, const char *name)
{
    for (int i = 0; i < all->n; i++)
        if (strcmp(all->of[i].name, name) == 0)
            return &all->of[i];
    return NULL;
}

static void keep(figures *all, const figure *seen)
{
    figure *known = find(all, seen->name);
    if (!known && all->n < MOST)
        all->of[all->n++] = *seen;
    else if (known && (is_rate(seen->unit) ? seen->best > known->best : seen->best < known->best))
        known->best = seen->best;
}

/* Run a program of either side and keep the figures that it prints; false if it fails. */
static bool run(const char *program, const char *options, const char *filter, int threads, figures *all)
{
    char command[1024], line[256];
    /* OpenBLAS below libtorch has threads of its own, which libtorch does not set. */
    snprintf(command, sizeof command,
             "OPENBLAS_NUM_THREADS=%d OMP_NUM_THREADS=%d '%s' --filter '%s' --threads %d --json /dev/null%s", threads,
             threads, program, filter, threads, options);
    FILE *lines = popen(command, "r");
    if (!lines)
        return false;
    while (fgets(line, sizeof line, lines)) {
        figure seen;
        if (sscanf(line, "%95s %lf %15s", seen.name, &seen.best, seen.unit) == 3)
            keep(all, &seen);
    }
    return pclose(lines) == 0;
}

static bool ends_in(const char *name, const char *end)
{
    const char *last = strrchr(name, '.');
    return last && strcmp(last + 1, end) == 0;
}

/* "w1_scalar.total.min" becomes "w1_scalar", "total.ratio.libtorch"; medians and figures of one side alone nothing. */
static void report_ratio(const figure *own, const figure *other, const char *peer)
{
    char workload[96], metric[160];
    snprintf(workload, sizeof workload, "%s", own->name);
    char *first = strchr(workload, '.'), *last = strrchr(workload, '.');
    bool strip = ends_in(workload, "min") || ends_in(workload, "gflops") || ends_in(workload, "bytes");
    if (!first || !(strip || strcmp(own->unit, "bytes") == 0))
        return;
    if (strip)
        *last = 0;
    *first = 0;
    snprintf(metric, sizeof metric, "%s.ratio.%s", first + 1, peer);
    bench_report(workload, metric, is_rate(own->unit) ? own->best / other->best : other->best / own->best, "x");
}

/* What both computed. */
static bool agree(const figure *own, const figure *other, const char *peer)
{
    bool ok = !ends_in(own->name, "check") || fabs(own->best - other->best) <= AGREE * fabs(other->best);
    if (!ok)
        fprintf(stderr, "tape-bench: %s: %g, but %g by %s\n", own->name, own->best, other->best, peer);
    return ok;
}

static bool report(figures *own, figures *others)
{
    bool ok = true;
    for (int i = 0; i < own->n; i++) {
        char name[96];
        snprintf(name, sizeof name, "%s", own->of[i].name);
        char *metric = strchr(name, '.');
        if (!metric)
            continue;
        *metric = 0;
        bench_report(name, metric + 1, own->of[i].best, own->of[i].unit);
        for (int p = 0; p < PEERS; p++) {
            const figure *other = find(&others[p], own->of[i].name);
            if (!other)
                continue;
            report_ratio(&own->of[i], other, peers[p].name);
            ok &= agree(&own->of[i], other, peers[p].name);
        }
    }
    return ok;
}

void bench_name_missing_peers(void)
{
    for (int p = 0; p < PEERS; p++)
        if (!*peers[p].program)
            printf("# %s: not found when this was configured, skipped\n", peers[p].name);
}

/* "w4_matmul" is among "w3_ w4_". */
static bool has_workload(const struct peer *peer, const char *workload)
{
    const char *end = strchr(workload, '_');
    for (const char *at = peer->workloads; end && *at; at += strcspn(at, " "), at += *at == ' ')
        if (strncmp(at, workload, (size_t)(end - workload) + 1) == 0)
            return *peer->program;
    return false;
}

bool bench_compare(const char *self, const char *workload, const char *filter, int threads)
{
    figures *all = calloc(1 + PEERS, sizeof *all);
    bool ok = all != NULL;
    for (int r = 0; r < ROUNDS && ok; r++) {
        ok = run(self, "", filter, threads, &all[0]);
        for (int p = 0; p < PEERS && ok; p++)
            if (has_workload(&peers[p], workload) &&
                !run(peers[p].program, peers[p].options, filter, threads, &all[1 + p]))
                fprintf(stderr, "tape-bench: %s failed\n", peers[p].program);
    }
    if (ok)
        ok = report(&all[0], &all[1]);
    free(all);
    return ok;
}
