/* What a training run has to tell, and its report as one HTML file. */
#ifndef TAPE_CLI_REPORT_H
#define TAPE_CLI_REPORT_H

#include "tape/gradcheck.h"
#include "tape/metrics.h"

enum { REPORT_MISREAD = 24, REPORT_CHECKS = 20, REPORT_PHASES = 8 };

/* One epoch. Accuracies are shares, 0 to 1. */
typedef struct report_epoch {
    double train_loss, train_accuracy, test_loss, test_accuracy, lr;
} report_epoch;

/* The gradient check of one parameter. */
typedef struct report_check {
    char name[64];
    char shape[40];
    tape_gradcheck_report result;
} report_check;

/* The relative difference of the two values that the check found farthest apart. */
double report_check_error(const report_check *check);

typedef struct report_phase {
    const char *name;
    double seconds;
    size_t peak_bytes; /* the tape's */
} report_phase;

/* A test image that the model got wrong. */
typedef struct report_misread {
    int64_t row; /* of the test set */
    int64_t truth, guess;
    double confidence; /* of the guess, 0 to 1 */
} report_misread;

typedef struct report {
    const char *command; /* what the user typed */
    const char *data_name;
    char model[64]; /* "64-128-10" */
    int64_t parameters, train_count, test_count;
    const char *optimizer;
    double lr;
    int64_t batch, seed;
    int threads;
    tape_dtype dtype;
    double final_loss, final_accuracy; /* on the test set */
    bool reloaded_identical;
    const char *model_path;

    int64_t epoch_count;
    report_epoch *epochs;
    const tape_confusion *confusion;
    int check_count;
    report_check checks[REPORT_CHECKS];
    int phase_count;
    report_phase phases[REPORT_PHASES];
    int misread_count;
    report_misread misread[REPORT_MISREAD];
    tape_shape sample;   /* shape of an image */
    const float *images; /* the test set's, count * numel(sample), before normalisation */
} report;

/* Write the report; atomic. A tape status on failure, with a message. */
tape_status report_write(const report *r, const char *path);

#endif
