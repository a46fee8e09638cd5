/* OpenBLAS beside w4_matmul: sgemm for the product and for both gradients, in the same loop. */
#include <cblas.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { REPETITIONS = 9, WARM_UP = 2 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void multiply(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, int n, const float *a, const float *b, float *c)
{
    cblas_sgemm(CblasRowMajor, ta, tb, n, n, n, 1, a, n, b, n, 0, c, n);
}

static void run(int n, float *memory)
{
    size_t size = (size_t)n * (size_t)n;
    float *a = memory, *b = a + size, *c = b + size, *g = c + size, *ga = g + size, *gb = ga + size;
    int calls = n <= 32 ? 1000 : n <= 128 ? 50 : 1;
    double forward = 1e9, total = 1e9;
    for (size_t i = 0; i < 6 * size; i++)
        memory[i] = (float)(i * 2654435761U % 1000) / 500 - 1;
    for (int r = -WARM_UP; r < REPETITIONS; r++) {
        double start = now();
        for (int i = 0; i < calls; i++)
            multiply(CblasNoTrans, CblasNoTrans, n, a, b, c);
        double middle = now();
        for (int i = 0; i < calls; i++) {
            multiply(CblasNoTrans, CblasNoTrans, n, a, b, c);
            multiply(CblasNoTrans, CblasTrans, n, g, b, ga);
            multiply(CblasTrans, CblasNoTrans, n, a, g, gb);
        }
        double end = now();
        forward = middle - start < forward ? middle - start : forward;
        total = end - middle < total ? end - middle : total;
    }
    double flops = 2.0 * n * n * n * calls * 1e-9;
    printf("w4_matmul.n%d.forward.gflops %.4g GFLOP/s\n", n, flops / forward);
    printf("w4_matmul.n%d.total.gflops %.4g GFLOP/s\n", n, 3 * flops / total);
}

/* Arguments: --filter REGEX --threads N, any others with a value each. */
int main(int argc, char **argv)
{
    regex_t filter;
    const char *text = "";
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--filter") == 0)
            text = argv[i + 1];
        if (strcmp(argv[i], "--threads") == 0)
            openblas_set_num_threads(atoi(argv[i + 1]));
    }
    float *memory = malloc(6 * sizeof *memory * 2048 * 2048);
    if (!memory || regcomp(&filter, text, REG_EXTENDED | REG_NOSUB) != 0)
        return EXIT_FAILURE;
    for (int n = 8; n <= 2048; n *= 2) {
        char forward[64], total[64];
        snprintf(forward, sizeof forward, "w4_matmul.n%d.forward.gflops", n);
        snprintf(total, sizeof total, "w4_matmul.n%d.total.gflops", n);
        if (regexec(&filter, forward, 0, NULL, 0) == 0 || regexec(&filter, total, 0, NULL, 0) == 0)
            run(n, memory);
    }
    regfree(&filter);
    free(memory);
    return EXIT_SUCCESS;
}
