/* tape-bench: parses the options, runs the workloads that the filter wants, writes text and JSON. */
#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tape/tape.h"

/* In the order that they run in. */
// clang-format off
static const struct workload {
    const char *name;
    void (*run)(void);
} workloads[] = {
    {"w11_footprint", bench_w11_footprint}, /* first: a child's peak counts what its parent held when it started */
    {"w1_scalar", bench_w1_scalar},
    {"w2_vec64", bench_w2_vec64},
    {"w3_elementwise", bench_w3_elementwise},
    {"w4_matmul", bench_w4_matmul},
    {"w5_mlp", bench_w5_mlp},
    {"w6_conv", bench_w6_conv},
    {"w7_gpt", bench_w7_gpt},
    {"w8_lstm", bench_w8_lstm},
    {"w9_springs", bench_w9_springs},
    {"w10_numeric", bench_w10_numeric},
    {"w12_long_tape", bench_w12_long_tape},
    {"ops", bench_ops},
};
// clang-format on

static struct {
    FILE *json;
    const char *html;
    bool any;
    bool peers;
    int threads;
    bool wrong; /* a workload's result failed its check */
} options = {.threads = 1};

void bench_report(const char *workload, const char *metric, double value, const char *unit)
{
    char name[128];
    snprintf(name, sizeof name, "%s.%s", workload, metric);
    if (!bench_matches(name))
        return;
    printf("%s %.4g %s\n", name, value, unit);
    fflush(stdout);
    bench_html_note(name, value, unit);
    if (options.json) {
        fprintf(options.json, "%s\n  \"%s\": {\"value\": %.9g, \"unit\": \"%s\"}", options.any ? "," : "", name, value,
                unit);
        options.any = true;
    }
}

bool bench_check(bool ok, const char *workload, const char *what)
{
    if (!ok) {
        fprintf(stderr, "tape-bench: %s: wrong result: %s\n", workload, what);
        options.wrong = true;
    }
    return ok;
}

static const char usage[] = "usage: tape-bench [--filter REGEX] [--threads N] [--peers] [--json FILE] [--html FILE]\n"
                            "                  [--list]\n"
                            "Runs the workloads and prints one line a figure: workload.metric value unit.\n"
                            "  --filter REGEX  only metrics whose full name the extended regular expression matches\n"
                            "  --threads N     threads that tape may use (default 1)\n"
                            "  --peers         run the peers that were found too, in turns, and print ratios\n"
                            "  --json FILE     where the same figures go as JSON (default: beside the program)\n"
                            "  --html FILE     a page of pictures: ratios, curves over sizes, the roofline\n"
                            "  --list          print the names of the workloads\n";

static int fail(const char *format, const char *what)
{
    fprintf(stderr, "tape-bench: ");
    fprintf(stderr, format, what);
    fprintf(stderr, "\n%s", usage);
    return 2;
}

static int parse(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *option = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(option, "--help") == 0) {
            fputs(usage, stdout);
            exit(EXIT_SUCCESS);
        }
        if (strcmp(option, "--list") == 0) {
            for (size_t w = 0; w < sizeof workloads / sizeof *workloads; w++)
                puts(workloads[w].name);
            exit(EXIT_SUCCESS);
        }
        if (strcmp(option, "--peers") == 0) {
            options.peers = true;
            continue;
        }
        if (strcmp(option, "--filter") && strcmp(option, "--threads") && strcmp(option, "--json") &&
            strcmp(option, "--html"))
            return fail("unknown option %s", option);
        if (!value)
            return fail("%s needs a value", option);
        i++;
        if (strcmp(option, "--filter") == 0) {
            if (!bench_filter_set(value))
                return fail("%s is no regular expression", value);
        } else if (strcmp(option, "--threads") == 0) {
            char *end;
            long n = strtol(value, &end, 10);
            if (*end || end == value || n < 1 || n > 256 || tape_threads((int)n) != TAPE_OK)
                return fail("--threads %s: not a number from 1 to 256", value);
            options.threads = (int)n;
        } else if (strcmp(option, "--html") == 0) {
            options.html = value;
        } else if (!(options.json = fopen(value, "w"))) {
            fprintf(stderr, "tape-bench: %s: %s\n", value, strerror(errno));
            return 1;
        }
    }
    return 0;
}

static bool compare(const char *self, const char *workload)
{
    char filter[256];
    bench_filter_for(workload, filter, sizeof filter);
    return bench_compare(self, workload, filter, options.threads);
}

int main(int argc, char **argv)
{
    int status = parse(argc, argv);
    if (status)
        return status;
    if (!options.json && !(options.json = fopen(TAPE_BENCH_JSON, "w")))
        fprintf(stderr, "tape-bench: %s: %s; no JSON is written\n", TAPE_BENCH_JSON, strerror(errno));
    if (options.json)
        fputs("{", options.json);
    if (options.peers)
        bench_name_missing_peers();
    for (size_t w = 0; w < sizeof workloads / sizeof *workloads; w++)
        if (bench_wants(workloads[w].name) && !options.peers)
            workloads[w].run();
        else if (bench_wants(workloads[w].name))
            options.wrong |= !compare(argv[0], workloads[w].name);
    if (options.html)
        bench_html_write(options.html, options.threads);
    if (tape_last_status() != TAPE_OK) {
        fprintf(stderr, "tape-bench: %s\n", tape_message());
        status = 1;
    }
    if (options.wrong)
        status = 1;
    if (options.json) {
        fputs("\n}\n", options.json);
        if (fclose(options.json) != 0) {
            fprintf(stderr, "tape-bench: writing the JSON failed: %s\n", strerror(errno));
            status = 1;
        }
    }
    bench_filter_clear();
    tape_shutdown();
    return status;
}
