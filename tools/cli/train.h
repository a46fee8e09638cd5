/* The parts of `tape train`: one run's state, and the steps that it goes through. */
#ifndef TAPE_CLI_TRAIN_H
#define TAPE_CLI_TRAIN_H

#include "model.h"
#include "report.h"
#include "source.h"

typedef struct train_options {
    const char *data, *model, *output, *optimizer, *dtype, *hidden;
    int64_t seed, epochs, batch, threads;
    double lr;
    bool augment, quiet;
} train_options;

typedef struct run {
    train_options options;
    source source;
    model model;
    tape_optim *optim;
    tape_batches *batches, *test_batches;
    tape_confusion *confusion;
    report report;
    char model_path[4096], report_path[4096];
    double phase_start;
} run;

/* Each returns false after an error, which is on the tape. */
bool check_gradients(run *r);
bool train_model(run *r);
bool evaluate(run *r, tape_batches *batches, double *loss, double *accuracy);
bool verify_reloaded(run *r);
bool find_misread(run *r);

/* True once the user has asked to stop (Ctrl-C): the run finishes its step, saves and reports. */
bool interrupted(void);
void watch_interrupt(void);

void phase_begin(run *r);
void phase_end(run *r, const char *name);

#endif
