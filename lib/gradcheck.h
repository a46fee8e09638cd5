/* The checker's inside: differences of a vector-valued curve, and a program opened for probing. */
#ifndef TAPE__GRADCHECK_H
#define TAPE__GRADCHECK_H

#include "tape.h"
#include "tape/gradcheck.h"

/* m functions of one number. */
typedef struct tape__curve {
    bool (*evaluate)(void *user, double x, double *y); /* false stops everything */
    void *user;
    int64_t m;
} tape__curve;

#define TAPE__RIDDERS_LEVELS 10
#define TAPE__NUMERIC_WORK (3 + 2 * TAPE__RIDDERS_LEVELS) /* doubles of work memory for each function of a curve */

/* The m derivatives at x and, unless NULL, their estimated errors. Returns the step, or 0 if an evaluation failed. */
double tape__differentiate(const tape__curve *f, double x, const tape_numeric_options *options, double *work,
                           double *derivative, double *error);

/* True where the one-sided differences of function `row` at x keep disagreeing by more than `slack` as they shrink. */
bool tape__is_kink(const tape__curve *f, double x, int64_t row, double slack, double *work);

/* An input of the probed program; behind the last one, in second order, the cotangent of its result. */
typedef struct tape__variable {
    tape_tensor narrow, wide; /* copies: of the input's dtype, and in f64; other dtypes: the input itself */
    double *at;               /* the values; NULL for what is not floating */
    int64_t count, offset;    /* elements, and how many those of the variables before it are */
} tape__variable;

/* A program, its inputs' copies and its results as one flat row of values. What it allocates ends with it. */
typedef struct tape__probe {
    tape *t;
    tape_function *function;
    void *user;
    const tape_tensor *x;
    int n, variables, results;
    bool second_order, jacobian, narrow; /* narrow: some input is f32 */
    tape__variable *variable;
    tape_tensor *arguments, *result, *wanted;
    int64_t values, rows, unknowns;
    double *base, *now; /* values of the results at the inputs, and at the last evaluation */
    double *weight;     /* of each value, in the one combination that is differentiated; not for a Jacobian */
    double *noise;      /* of each row: rounding error of the values that moved, the largest since it was set to 0 */
    const char *op;     /* that made the program's result */
    int moving;         /* the variable and the element that move along the curve; -1: all, along `direction` */
    int64_t element;
    double *direction;
    tape_position mark;
    tape_random_state random;
    int promote;
    tape__callback outer;
} tape__probe;

/* The options that shape a probe are second_order and jacobian. On failure the tape has an error; close it all the
 * same. */
bool tape__probe_open(tape__probe *p, tape_function *fn, void *user, const tape_tensor *x, int n,
                      const tape_gradcheck_options *options);
void tape__probe_close(tape__probe *p);

/* `count` doubles that end with the probe; NULL after an error. */
double *tape__probe_doubles(tape__probe *p, int64_t count);

/* The rows as functions of where the moving element, or the point on the direction, is. */
tape__curve tape__probe_curve(tape__probe *p);

/* The automatic derivatives, [rows, unknowns]. */
bool tape__probe_automatic(tape__probe *p, double *derivative);

/* A number from [0.5, 1.5) or (-1.5, -0.5] that depends on i alone. */
double tape__probe_random(uint64_t i);

#endif
