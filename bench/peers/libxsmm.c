/* libxsmm beside w4_matmul up to 64: its kernel made once and called, or with --call 1 its call, which looks it up. */
#include <libxsmm.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { REPETITIONS = 21, WARM_UP = 2, CALLS = 1000, MOST = 64 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Row-major C = A B is column-major C' = B' A'. */
static void run(int n, int by_call)
{
    static float a[MOST * MOST], b[MOST * MOST], c[MOST * MOST];
    const float one = 1, zero = 0;
    const libxsmm_smmfunction kernel = libxsmm_smmdispatch(n, n, n, &n, &n, &n, &one, &zero, NULL, NULL);
    double best = 1e9;
    if (!kernel)
        return;
    for (int i = 0; i < n * n; i++) {
        a[i] = (float)((unsigned)i * 2654435761U % 1000) / 500 - 1;
        b[i] = (float)((unsigned)i * 2246822519U % 1000) / 500 - 1;
    }
    for (int r = -WARM_UP; r < REPETITIONS; r++) {
        double start = now();
        for (int i = 0; i < CALLS && !by_call; i++)
            kernel(b, a, c);
        for (int i = 0; i < CALLS && by_call; i++)
            libxsmm_sgemm("N", "N", &n, &n, &n, &one, b, &n, a, &n, &zero, c, &n);
        double seconds = now() - start;
        best = r >= 0 && seconds < best ? seconds : best;
    }
    printf("w4_matmul.n%d.forward.gflops %.4g GFLOP/s\n", n, 2e-9 * n * n * n * CALLS / best);
}

/* Arguments: --filter REGEX --call 0 or 1, any others with a value each. */
int main(int argc, char **argv)
{
    regex_t filter;
    const char *text = "";
    int by_call = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--filter") == 0)
            text = argv[i + 1];
        if (strcmp(argv[i], "--call") == 0)
            by_call = atoi(argv[i + 1]);
    }
    if (regcomp(&filter, text, REG_EXTENDED | REG_NOSUB) != 0)
        return EXIT_FAILURE;
    libxsmm_init();
    for (int n = 8; n <= MOST; n *= 2) {
        char name[64];
        snprintf(name, sizeof name, "w4_matmul.n%d.forward.gflops", n);
        if (regexec(&filter, name, 0, NULL, 0) == 0)
            run(n, by_call);
    }
    regfree(&filter);
    return EXIT_SUCCESS;
}
