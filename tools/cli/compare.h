/* The parts of `tape compare`: what is measured, and the report of it. */
#ifndef TAPE_CLI_COMPARE_H
#define TAPE_CLI_COMPARE_H

#include "progress.h"
#include "tape/tape.h"

enum { COMPARE_STEPS = 52, COMPARE_SIZES = 12, COMPARE_DEPTHS = 10, COMPARE_DTYPES = 2, COMPARE_SWELLS = 2 };

/* What an error of 0, which is chance, counts as: it has no place on a logarithmic axis. */
#define COMPARE_LEAST_ERROR 1e-17

typedef enum numeric_method { NUMERIC_FORWARD, NUMERIC_CENTRAL, NUMERIC_RIDDERS, NUMERIC_METHODS } numeric_method;

/* Error of the derivative of one function, the worst of some points, relative. */
typedef struct compare_steps {
    tape_dtype dtype;
    int64_t count;
    double step[COMPARE_STEPS]; /* the h of the differences; Ridders' first */
    double error[NUMERIC_METHODS][COMPARE_STEPS];
    double tape[COMPARE_STEPS];    /* the same at every step: it has none */
    int64_t best[NUMERIC_METHODS]; /* the step of the least error */
} compare_steps;

/* Gradients of Rosenbrock's function of n numbers. All fields are doubles, for the charts. */
typedef struct compare_size {
    double n;
    double function, tape, central, forward;         /* seconds */
    double tape_ratio, central_ratio, forward_ratio; /* in evaluations' time */
    double central_evaluations, forward_evaluations; /* counted */
    double tape_error, central_error, forward_error; /* of the worst element, relative to the largest */
} compare_size;

typedef struct compare_inputs {
    int64_t count;
    compare_size row[COMPARE_SIZES];
} compare_inputs;

/* An expression of some depth, differentiated by rules and by the tape. NAN where it grew too large. */
typedef struct compare_depth {
    double depth;
    double tree_nodes, shared_nodes, records; /* of the derivative; of the tape, which holds the value's alone */
    double tree_seconds, shared_seconds, tape_seconds; /* to evaluate; for the tape forward and back */
    double difference;                                 /* of the two derivatives, relative */
} compare_depth;

typedef struct compare_swell {
    const char *name, *formula;
    int64_t count;
    compare_depth row[COMPARE_DEPTHS];
} compare_swell;

typedef struct comparison {
    bool quick;
    progress progress;
    compare_steps steps[COMPARE_DTYPES]; /* f64, f32 */
    compare_inputs inputs;
    compare_swell swell[COMPARE_SWELLS];
} comparison;

/* Each returns false after an error, which is on the tape. They draw the progress up to the share `end`. */
bool compare_error_against_step(comparison *c);
bool compare_cost_against_inputs(comparison *c);
bool compare_expression_swell(comparison *c);

/* The processor's seconds for one call: the least of several measurements, each long enough for the clock. */
double compare_seconds(const comparison *c, void (*body)(void *user), void *user);

extern const char compare_function[], *const compare_methods[NUMERIC_METHODS];

tape_status compare_report_write(const comparison *c, const char *command, const char *path);

#endif
