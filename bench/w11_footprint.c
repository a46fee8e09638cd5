/* w11_footprint: bytes of the stripped library, and what a program that makes one gradient takes from start to end. */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "bench.h"

enum { REPETITIONS = 21, WARM_UP = 3 };

extern char **environ;

/* Code and data as size(1) counts them: the last line's "text data bss dec". */
static void report_size(const char *metric, const char *options, const char *file)
{
    char command[1024], line[256];
    snprintf(command, sizeof command, "size %s '%s' 2>/dev/null", options, file);
    FILE *f = popen(command, "r");
    long text, data, bss, total = 0;
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "%ld %ld %ld", &text, &data, &bss) == 3)
            total = text + data + bss;
    if (f)
        pclose(f);
    if (total)
        bench_report("w11_footprint", metric, (double)total, "bytes");
}

/* Start a program and wait for its end: its resident memory in KiB, 0 unless it succeeds. */
static long run_program(const char *program)
{
    pid_t child;
    int status;
    struct rusage used;
    char *arguments[] = {(char *)(uintptr_t)program, NULL};
    if (posix_spawn(&child, program, NULL, NULL, arguments, environ) != 0)
        return 0;
    if (wait4(child, &status, 0, &used) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return 0;
    return used.ru_maxrss;
}

void bench_w11_footprint(void)
{
    bench_times times = {0};
    long resident = 0;
    report_size("static", "-t", TAPE_BENCH_STATIC);
    report_size("shared", "", TAPE_BENCH_SHARED);
    for (int r = -WARM_UP; r < REPETITIONS; r++) {
        double start = bench_now();
        resident = run_program(TAPE_BENCH_ONE);
        if (resident && r >= 0)
            bench_add(&times, bench_now() - start);
    }
    if (!bench_check(resident, "w11_footprint", "a program with the right gradient"))
        return;
    bench_report_times("w11_footprint", "start", &times, 1e3, "ms");
    bench_report("w11_footprint", "resident", 1024 * (double)resident, "bytes");
}
