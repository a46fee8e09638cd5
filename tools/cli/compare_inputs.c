/* Cost against the number of inputs: the gradient of Rosenbrock's function by differences and by one backward sweep. */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "compare.h"

typedef struct problem {
    int64_t n, evaluations;
    tape_tensor x;    /* a leaf */
    double *gradient; /* what a method found */
} problem;

/* sum 100 (x[i+1] - x[i]^2)^2 + (1 - x[i])^2: Rosenbrock, Computer Journal 3 (1960) 175-184, in n variables. */
static tape_tensor rosenbrock(tape_tensor x, int64_t n)
{
    tape_tensor left = tape_narrow(x, 0, 0, n - 1), right = tape_narrow(x, 0, 1, n - 1);
    tape_tensor valley = tape_square(tape_sub(right, tape_square(left)));
    tape_tensor slope = tape_square(tape_scalar_sub(1, left));
    return tape_sum(tape_add(tape_mul_scalar(valley, 100), slope), TAPE_ALL, false);
}

static double true_derivative(const double *x, int64_t n, int64_t i)
{
    double d = 0;
    if (i + 1 < n)
        d += -400 * x[i] * (x[i + 1] - x[i] * x[i]) - 2 * (1 - x[i]);
    if (i > 0)
        d += 200 * (x[i] - x[i - 1] * x[i - 1]);
    return d;
}

static double value(problem *p)
{
    double f = tape_item(rosenbrock(p->x, p->n));
    p->evaluations++;
    if (tape_last_status() == TAPE_OK)
        tape_reset();
    return f;
}

static void set(problem *p, int64_t i, double number)
{
    double *x = tape_data_mut(p->x);
    if (x)
        x[i] = number;
}

static double value_with(problem *p, int64_t i, double number)
{
    set(p, i, number);
    return value(p);
}

/* ---- the methods ------------------------------------------------------------------------------------------------- */

static void run_function(void *user)
{
    tape_pause();
    value(user);
    tape_resume();
}

static void run_tape(void *user)
{
    problem *p = user;
    tape_backward(rosenbrock(p->x, p->n));
    tape_read(tape_gradient(p->x), p->gradient, p->n);
    tape_zero_grad(p->x);
    if (tape_last_status() == TAPE_OK)
        tape_reset();
}

static void run_differences(problem *p, bool central)
{
    const double *x = tape_data_f64(p->x);
    tape_pause();
    double here = central ? 0 : value(p);
    for (int64_t i = 0; x && i < p->n; i++) {
        double at = x[i], h = (central ? cbrt(DBL_EPSILON) : sqrt(DBL_EPSILON)) * fmax(1, fabs(at));
        double above = at + h, below = central ? at - h : at;
        double rise = value_with(p, i, above) - (central ? value_with(p, i, below) : here);
        p->gradient[i] = rise / (above - below);
        set(p, i, at);
    }
    tape_resume();
}

static void run_central(void *user)
{
    run_differences(user, true);
}

static void run_forward(void *user)
{
    run_differences(user, false);
}

/* Of the worst element, relative to the largest. */
static double error_of(const problem *p)
{
    const double *x = tape_data_f64(p->x);
    double worst = 0, largest = 0;
    for (int64_t i = 0; x && i < p->n; i++) {
        double truth = true_derivative(x, p->n, i);
        worst = fmax(worst, fabs(p->gradient[i] - truth));
        largest = fmax(largest, fabs(truth));
    }
    return fmax(worst / largest, COMPARE_LEAST_ERROR);
}

static double measure(comparison *c, problem *p, void (*run)(void *), double *error, double *evaluations)
{
    p->evaluations = 0;
    run(p);
    *evaluations = (double)p->evaluations;
    *error = error_of(p);
    return compare_seconds(c, run, p);
}

static void measure_size(comparison *c, problem *p, compare_size *row)
{
    double none;
    row->n = (double)p->n;
    row->function = compare_seconds(c, run_function, p);
    row->tape = measure(c, p, run_tape, &row->tape_error, &none);
    row->central = measure(c, p, run_central, &row->central_error, &row->central_evaluations);
    row->forward = measure(c, p, run_forward, &row->forward_error, &row->forward_evaluations);
    row->tape_ratio = row->tape / row->function;
    row->central_ratio = row->central / row->function;
    row->forward_ratio = row->forward / row->function;
}

static tape_status try_size(comparison *c, int64_t n)
{
    problem p = {.n = n, .gradient = calloc((size_t)n, sizeof(double))};
    if (!p.gradient)
        return tape_fail(TAPE_ERROR_MEMORY, "out of memory for %g numbers", (double)n);
    for (int64_t i = 0; i < n; i++)
        p.gradient[i] = 1 + 0.3 * sin((double)i + 1);
    p.x = tape_param(TAPE_F64, TAPE_SHAPE(n), p.gradient);
    measure_size(c, &p, &c->inputs.row[c->inputs.count++]);
    tape_free(p.x);
    free(p.gradient);
    return tape_last_status();
}

bool compare_cost_against_inputs(comparison *c)
{
    int last = c->quick ? 6 : COMPARE_SIZES;
    for (int k = 1; k <= last; k++) {
        progress_share(&c->progress, 0.1 + 0.5 * pow(2, k - last), "cost against the number of inputs");
        if (try_size(c, (int64_t)1 << k) != TAPE_OK)
            return false;
    }
    return true;
}
