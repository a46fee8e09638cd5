/* `tape compare`: symbolic, numeric or automatic? Measures all three and says so as tables and as a report. */
#define _POSIX_C_SOURCE 200809L
#include "compare.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cli.h"

/* What others do meanwhile does not count. */
static double processor_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double compare_seconds(const comparison *c, void (*body)(void *user), void *user)
{
    enum { GOOD = 7 };
    const double enough = c->quick ? 1e-4 : 1e-3;
    double least = INFINITY;
    int64_t calls = 1;
    for (int good = 0; good < GOOD;) {
        double start = processor_seconds();
        for (int64_t i = 0; i < calls; i++)
            body(user);
        double spent = processor_seconds() - start;
        if (spent < enough) {
            calls *= 2;
            continue;
        }
        least = fmin(least, spent / (double)calls);
        good += spent > 50 * enough ? GOOD : 1;
    }
    return least;
}

/* ---- the tables -------------------------------------------------------------------------------------------------- */

static void print_steps(const comparison *c)
{
    static const int evaluations[NUMERIC_METHODS] = {2, 2, 20};
    printf("\nError against step size: %s\n", compare_function);
    printf("  %-5s %-8s %11s %10s %10s\n", "dtype", "method", "evaluations", "best step", "error");
    for (int i = 0; i < COMPARE_DTYPES; i++) {
        const compare_steps *s = &c->steps[i];
        for (int m = 0; m < NUMERIC_METHODS; m++)
            printf("  %-5s %-8s %11d %10.2e %10.2e\n", tape_dtype_name(s->dtype), compare_methods[m], evaluations[m],
                   s->step[s->best[m]], s->error[m][s->best[m]]);
        printf("  %-5s %-8s %11s %10s %10.2e\n", tape_dtype_name(s->dtype), "tape", "-", "none", s->tape[0]);
    }
    fflush(stdout);
}

static void print_inputs(const comparison *c)
{
    printf("\nCost of a gradient against the number of inputs n: Rosenbrock's function f, f64\n");
    printf("  %5s %12s | %17s | %29s | %29s\n", "", "f", "tape", "central", "forward");
    printf("  %5s %12s | %7s %9s | %11s %7s %9s | %11s %7s %9s\n", "n", "microseconds", "times f", "error",
           "evaluations", "times f", "error", "evaluations", "times f", "error");
    for (int64_t i = 0; i < c->inputs.count; i++) {
        const compare_size *r = &c->inputs.row[i];
        printf("  %5.0f %12.2f | %7.1f %9.1e | %11.0f %7.1f %9.1e | %11.0f %7.1f %9.1e\n", r->n, 1e6 * r->function,
               r->tape_ratio, r->tape_error, r->central_evaluations, r->central_ratio, r->central_error,
               r->forward_evaluations, r->forward_ratio, r->forward_error);
    }
    fflush(stdout);
}

static void print_swell(const compare_swell *s)
{
    printf("\nExpression swell, %s: %s\n", s->name, s->formula);
    printf("  %5s | %35s | %35s |\n", "", "size: nodes, records", "microseconds");
    printf("  %5s | %13s %12s %8s | %13s %12s %8s | %10s\n", "depth", "written out", "shared parts", "tape",
           "written out", "shared parts", "tape", "difference");
    for (int64_t i = 0; i < s->count; i++) {
        const compare_depth *r = &s->row[i];
        char tree[24] = "too large";
        if (isfinite(r->tree_seconds))
            snprintf(tree, sizeof tree, "%.2f", 1e6 * r->tree_seconds);
        printf("  %5.0f | %13.6g %12.0f %8.0f | %13s %12.2f %8.2f | %10.1e\n", r->depth, r->tree_nodes, r->shared_nodes,
               r->records, tree, 1e6 * r->shared_seconds, 1e6 * r->tape_seconds, r->difference);
    }
    fflush(stdout);
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static bool measure_all(comparison *c)
{
    progress_begin(&c->progress, 1, 1);
    bool fine = compare_error_against_step(c);
    progress_end(&c->progress);
    if (!fine)
        return false;
    print_steps(c);
    fine = compare_cost_against_inputs(c);
    progress_end(&c->progress);
    if (!fine)
        return false;
    print_inputs(c);
    fine = compare_expression_swell(c);
    progress_end(&c->progress);
    for (int i = 0; fine && i < COMPARE_SWELLS; i++)
        print_swell(&c->swell[i]);
    return fine;
}

static int compare(comparison *c, const char *directory, const char *command)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/compare.html", directory);
    if (n < 0 || (size_t)n >= sizeof path)
        return usage_error("--output: the path is too long");
    if (make_directory(directory) != EXIT_OK)
        return EXIT_FAILED;
    printf("Symbolic, numeric or automatic? tape %s on %s\n", tape_version(), tape_isa());
    if (!measure_all(c) || compare_report_write(c, command, path) != TAPE_OK)
        return tape_failure();
    printf("\nreport     %s\n", path);
    return EXIT_OK;
}

int command_compare(int argc, char **argv)
{
    bool quick = false;
    const char *output = "tape-run";
    const option table[] = {
        {"output", OPTION_TEXT, &output, 0, 0, "DIR", "where the report compare.html goes (default tape-run)"},
        {"quick", OPTION_FLAG, &quick, 0, 0, NULL, "fewer and shorter measurements"},
        {0},
    };
    int code = parse_options(argc, argv, table, "compare [OPTION...]", NULL, 0);
    if (code != EXIT_OK)
        return code < 0 ? EXIT_OK : code;
    comparison *c = calloc(1, sizeof *c);
    char *command = join_words(argc, argv);
    if (!c || !command)
        code = failure("out of memory");
    else {
        c->quick = quick;
        code = compare(c, output, command);
    }
    free(command);
    free(c);
    return code;
}
