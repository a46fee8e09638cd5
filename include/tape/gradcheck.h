/*
 * Numeric differentiation, and the checker that compares it with the derivatives that tape computes.
 *
 * Both evaluate programs that are written as a tape_function. Nothing of the caller's is touched: the function gets
 * copies of the inputs, and the tape, its random generator, every leaf and every gradient are afterwards as they were.
 * A program in f32 is differentiated numerically in f64: its inputs, the leaves it captures and the tensors it creates
 * are promoted for the time of the evaluation, so that the step's error does not drown the derivative.
 */
#ifndef TAPE_GRADCHECK_H
#define TAPE_GRADCHECK_H

#include "tape/tape.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- numeric differentiation ------------------------------------------------------------------------------------- */

/* How a derivative is estimated from values of the function. With e the spacing of f64 at 1, error of the estimate for
 * a function whose derivatives are about as large as itself: TAPE_RIDDERS     differences at ten shrinking steps,
 * extrapolated; the best of the tableau. 20 values, about e^0.9. (C. J. F. Ridders, Advances in Engineering Software 4
 * (1982) 75-76.) TAPE_RICHARDSON  differences at h and h/2, extrapolated once, h = e^(1/5). 4 values, about e^(4/5).
 *   TAPE_CENTRAL     one central difference, h = e^(1/3). 2 values (4 where the error is asked for), about e^(2/3). */
typedef enum tape_numeric_method { TAPE_RIDDERS = 0, TAPE_RICHARDSON, TAPE_CENTRAL } tape_numeric_method;

typedef struct tape_numeric_options {
    tape_numeric_method method;
    double step; /* the (first) step h relative to max(|x|, 1); 0: the method's own, for Ridders 0.1 */
} tape_numeric_options;

/* A function of one number. */
typedef double tape_curve(void *user, double x);

/* f'(x). *error, unless NULL, receives an estimate of the absolute error (infinite if the values near x are not finite,
 * and then the result is NaN). `options` may be NULL. Touches no tape. */
TAPE_API double tape_numeric_derivative(tape_curve *f, void *user, double x, const tape_numeric_options *options,
                                        double *error);

/*
 * The program (a tape_function) may not reset the tape nor write its inputs; random draws are repeated for it.
 *
 * d fn / d x[input] as an f64 arena tensor: of x[input]'s shape for tape_numeric_gradient(), where fn gives one
 * element; of shape [elements of fn, elements of x[input]] for tape_numeric_jacobian(). *error, unless NULL, receives a
 * tensor of error estimates of the same shape. x[input] must be f32 or f64; other inputs may have any dtype. Null on an
 * error, which stays on the tape.
 */
TAPE_API tape_tensor tape_numeric_gradient(tape_function *fn, void *user, const tape_tensor *x, int n, int input,
                                           const tape_numeric_options *options, tape_tensor *error);
TAPE_API tape_tensor tape_numeric_jacobian(tape_function *fn, void *user, const tape_tensor *x, int n, int input,
                                           const tape_numeric_options *options, tape_tensor *error);

/* ---- the checker ------------------------------------------------------------------------------------------------- */

typedef struct tape_gradcheck_options {
    /* What a difference may be, relative to the larger of the two values. 0: 1e-7, or 1e-3 where an input is f32. */
    double tolerance;
    /* What it may be besides, whatever the values. 0: a hundredth of the tolerance times the largest derivative by the
     * same input. The rounding noise of the two values, which is estimated, is always allowed. */
    double absolute;
    double step;              /* of the first estimate, relative to max(|x|, 1); 0: e^(1/5) */
    int64_t limit;            /* elements of each input that are tried, spread over it; 0: all */
    bool jacobian;            /* compare every element's own derivatives, not those of one random combination of them */
    bool directional;         /* fast: compare the derivative along one random direction alone */
    bool second_order;        /* check the gradient's own derivatives, as tape_grad() with create_graph records them */
    bool stop;                /* at the first failure */
    const char *name;         /* of the program, for messages; NULL: the op that made its result */
    const char *const *names; /* of the n inputs, for messages; NULL: their positions */
} tape_gradcheck_options;

typedef struct tape_gradcheck_report {
    bool passed;
    tape_status status; /* not TAPE_OK: nothing could be compared, and `message` says why */
    int64_t compared;   /* derivatives that were compared */
    int64_t failed;     /* ... and disagree */
    int64_t kinks;      /* ... for which none exists: the differences from the left and from the right disagree */
    /* The failure that is relatively largest, or the largest difference where none failed. */
    const char *op;   /* name of the op that made the program's result */
    int input;        /* -1: along a direction; n: the cotangent, in second order */
    int64_t element;  /* of that input, row-major */
    int64_t output;   /* row of the Jacobian; -1: of a random combination */
    double automatic; /* what tape computed */
    double numeric;   /* what the differences say */
    double error;     /* relative, beyond the rounding noise */
    double step;      /* of the differences */
    /* The first kink. */
    int kink_input;
    int64_t kink_element;
    char message[256]; /* one line */
} tape_gradcheck_report;

/*
 * Compare the derivatives of fn by its f32 and f64 inputs with numeric ones; true if all agree. An fn of several
 * elements is contracted with a fixed random cotangent (see `jacobian`). A difference that survives is estimated again,
 * by Ridders' method from several steps. Where it still does and the one-sided differences do not approach each other,
 * the element is counted as a kink instead of a failure: there is no derivative to compare with.
 *
 * second_order contracts the gradient instead, and differentiates by the inputs and by the cotangent.
 *
 * False also when fn or the tape fails, or when fn is not repeatable: see report->status. The tape keeps an error that
 * an op made; a mere disagreement puts none on it. `options` and `report` may be NULL. Memory comes from the tape, but
 * for a copy of each input that is made as a leaf and freed.
 */
TAPE_API bool tape_gradcheck(tape_function *fn, void *user, const tape_tensor *x, int n,
                             const tape_gradcheck_options *options, tape_gradcheck_report *report);

#ifdef __cplusplus
}
#endif

#endif
