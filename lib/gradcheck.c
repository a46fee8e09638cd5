/* Knows how to judge automatic derivatives by numeric ones and how to say what it found; it does not know how a program
 * is run nor how differences are taken. */
#include "gradcheck.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- numeric derivatives of programs ------------------------------------------------------------------------------
 */

/* Column e of the Jacobian for every element e of the moving variable. */
static bool fill_jacobian(tape__probe *p, const tape_numeric_options *options, double *derivative, double *error)
{
    const tape__variable *v = &p->variable[p->moving];
    double *work = tape__probe_doubles(p, (TAPE__NUMERIC_WORK + 2) * p->rows);
    if (!work)
        return false;
    double *column = work + TAPE__NUMERIC_WORK * p->rows, *estimate = column + p->rows;
    tape__curve curve = tape__probe_curve(p);
    for (p->element = 0; p->element < v->count; p->element++) {
        if (!(tape__differentiate(&curve, v->at[p->element], options, work, column, estimate) > 0))
            return false;
        for (int64_t row = 0; row < p->rows; row++) {
            derivative[row * v->count + p->element] = column[row];
            if (error)
                error[row * v->count + p->element] = estimate[row];
        }
    }
    return true;
}

/* The number of elements of fn's result; -1 after an error. */
static int64_t count_rows(tape_function *fn, void *user, const tape_tensor *x, int n, int input)
{
    tape__probe p;
    const tape_gradcheck_options jacobian = {.jacobian = true};
    int64_t rows = -1;
    if (!tape__probe_open(&p, fn, user, x, n, &jacobian))
        rows = -1;
    else if (input < 0 || input >= n || !p.variable[input].at)
        tape_fail(TAPE_ERROR_ARGUMENT, "gradcheck: input %d is not one of the %d inputs in f32 or f64", input, n);
    else
        rows = p.rows;
    tape__probe_close(&p);
    return rows;
}

static tape_tensor numeric(tape_function *fn, void *user, const tape_tensor *x, int n, int input,
                           const tape_numeric_options *options, tape_tensor *error, bool scalar)
{
    tape__probe p;
    const tape_gradcheck_options jacobian = {.jacobian = true};
    if (error)
        *error = TAPE_NULL;
    int64_t rows = count_rows(fn, user, x, n, input);
    if (rows < 0)
        return TAPE_NULL;
    if (scalar && rows != 1) {
        tape_fail(TAPE_ERROR_SHAPE, "gradcheck: expects a program of one element, got %lld", (long long)rows);
        return TAPE_NULL;
    }
    tape_shape shape = scalar ? tape_shape_of(x[input]) : TAPE_SHAPE(rows, tape_numel(x[input]));
    tape_tensor derivative = tape_zeros(TAPE_F64, shape), estimate = error ? tape_zeros(TAPE_F64, shape) : TAPE_NONE;
    double *values = tape_data_mut(derivative), *errors = error ? tape_data_mut(estimate) : NULL;
    bool ok = tape__probe_open(&p, fn, user, x, n, &jacobian);
    if (ok) {
        p.moving = input;
        ok = fill_jacobian(&p, options, values, errors);
    }
    tape__probe_close(&p);
    if (ok && error)
        *error = estimate;
    return ok ? derivative : TAPE_NULL;
}

tape_tensor tape_numeric_gradient(tape_function *fn, void *user, const tape_tensor *x, int n, int input,
                                  const tape_numeric_options *options, tape_tensor *error)
{
    return numeric(fn, user, x, n, input, options, error, true);
}

tape_tensor tape_numeric_jacobian(tape_function *fn, void *user, const tape_tensor *x, int n, int input,
                                  const tape_numeric_options *options, tape_tensor *error)
{
    return numeric(fn, user, x, n, input, options, error, false);
}

/* ---- judging ------------------------------------------------------------------------------------------------------
 */

struct check {
    tape__probe probe;
    const tape_gradcheck_options *options;
    tape_gradcheck_report *report;
    double tolerance;
    double *automatic;              /* [rows, unknowns] */
    double *column, *again, *error; /* of every row: the first numeric estimate, a later one and its own error */
    double *work;
    double at;    /* where the curve is differentiated */
    double scale; /* derivatives far below this are small */
};

/* A derivative that is being judged. */
struct verdict {
    int64_t row;
    double automatic, numeric, step, error;
};

static double floor_of(const struct check *c)
{
    return c->options->absolute > 0 ? c->options->absolute / c->tolerance : 0.01 * c->scale;
}

/* The relative error beyond what rounding explains: that of the values enters the differences over the step, that of
 * the program's own arithmetic the automatic derivative. */
static void judge(const struct check *c, struct verdict *v)
{
    double noise = (c->probe.narrow ? FLT_EPSILON : DBL_EPSILON) + 16 * c->probe.noise[v->row] / v->step;
    double size = fmax(fmax(fabs(v->automatic), fabs(v->numeric)), floor_of(c));
    double difference = fabs(v->automatic - v->numeric);
    if (!isfinite(difference))
        v->error = v->automatic == v->numeric ? 0 : INFINITY;
    else
        v->error = difference <= noise ? 0 : (difference - noise) / size;
}

/*
 * Ridders' method from several first steps. The surest estimate is kept, but for one that is sure enough and agrees: a
 * long step may have reached over a kink beside x, of which the estimate knows nothing.
 */
static bool estimate_again(struct check *c, struct verdict *v)
{
    static const double steps[] = {1e-1, 1e-3, 1e-5, 1e-7};
    tape__curve curve = tape__probe_curve(&c->probe);
    struct verdict surest = *v;
    double best = INFINITY;
    for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
        const tape_numeric_options options = {TAPE_RIDDERS, steps[k]};
        v->step = tape__differentiate(&curve, c->at, &options, c->work, c->again, c->error);
        if (!(v->step > 0))
            return false;
        v->numeric = c->again[v->row];
        judge(c, v);
        double own_error = c->error[v->row];
        bool sure = own_error <= 0.1 * c->tolerance * fmax(fabs(v->numeric), floor_of(c));
        if (sure && v->error <= c->tolerance)
            return true;
        if (own_error < best) {
            best = own_error;
            surest = *v;
        }
    }
    *v = surest;
    return true;
}

static bool is_kink(struct check *c, const struct verdict *v)
{
    tape__curve curve = tape__probe_curve(&c->probe);
    double slack = c->tolerance * fmax(fabs(v->automatic), floor_of(c)) + 1e7 * c->probe.noise[v->row];
    return tape__is_kink(&curve, c->at, v->row, slack, c->work);
}

static void keep_worst(const struct check *c, const struct verdict *v, bool failed)
{
    tape_gradcheck_report *r = c->report;
    bool first = failed ? r->failed == 1 : !r->op;
    if (!first && ((r->failed && !failed) || !(v->error > r->error)))
        return;
    r->op = c->probe.op;
    r->input = c->probe.moving;
    r->element = c->probe.moving < 0 ? -1 : c->probe.element;
    r->output = c->probe.jacobian ? v->row : -1;
    r->automatic = v->automatic;
    r->numeric = v->numeric;
    r->error = v->error;
    r->step = v->step;
}

/* One derivative with its first numeric estimate: passes, fails, or does not exist. */
static bool judge_row(struct check *c, struct verdict *v)
{
    tape_gradcheck_report *r = c->report;
    r->compared++;
    judge(c, v);
    if (!(v->error <= c->tolerance) && !estimate_again(c, v))
        return false;
    bool failed = !(v->error <= c->tolerance);
    if (failed && is_kink(c, v)) {
        if (r->kinks++ == 0) {
            r->kink_input = c->probe.moving;
            r->kink_element = c->probe.moving < 0 ? -1 : c->probe.element;
        }
    } else {
        r->failed += failed;
        keep_worst(c, v, failed);
    }
    return tape_last_status() == TAPE_OK;
}

/* Compare all rows at c->at, where the automatic ones are `automatic[row * stride]`. */
static bool compare(struct check *c, const double *automatic, int64_t stride)
{
    const tape_numeric_options first = {TAPE_RICHARDSON, c->options->step};
    tape__curve curve = tape__probe_curve(&c->probe);
    memset(c->probe.noise, 0, (size_t)c->probe.rows * sizeof *c->probe.noise);
    double step = tape__differentiate(&curve, c->at, &first, c->work, c->column, NULL);
    if (!(step > 0))
        return false;
    for (int64_t row = 0; row < c->probe.rows; row++) {
        struct verdict v = {row, automatic[row * stride], c->column[row], step, 0};
        if (!judge_row(c, &v))
            return false;
        if (c->options->stop && c->report->failed)
            break;
    }
    return true;
}

/* ---- what is compared ---------------------------------------------------------------------------------------------
 */

static double largest(const struct check *c, const tape__variable *v)
{
    double size = 0;
    for (int64_t row = 0; row < c->probe.rows; row++)
        for (int64_t e = 0; e < v->count; e++)
            size = fmax(size, fabs(c->automatic[row * c->probe.unknowns + v->offset + e]));
    return isfinite(size) ? size : 0;
}

/* Elements of a large input are drawn one from each of `limit` equal parts. */
static bool compare_variable(struct check *c, int i)
{
    tape__probe *p = &c->probe;
    const tape__variable *v = &p->variable[i];
    int64_t limit = c->options->limit, tried = limit > 0 && limit < v->count ? limit : v->count;
    c->scale = largest(c, v);
    p->moving = i;
    for (int64_t k = 0; k < tried; k++) {
        double place = tried == v->count ? 0 : 0.5 + 0.5 * (fabs(tape__probe_random((uint64_t)k)) - 1);
        p->element = (int64_t)(((double)k + place) * ((double)v->count / (double)tried));
        c->at = v->at[p->element];
        if (!compare(c, c->automatic + v->offset + p->element, p->unknowns))
            return false;
        if (c->options->stop && c->report->failed)
            break;
    }
    return true;
}

/* Along one random direction of length 1. */
static bool compare_direction(struct check *c)
{
    tape__probe *p = &c->probe;
    double *along = tape__probe_doubles(p, p->rows), *u = tape__probe_doubles(p, p->unknowns);
    if (!along || !u)
        return false;
    double norm = 0, square = 0;
    for (int64_t e = 0; e < p->unknowns; e++) {
        u[e] = tape__probe_random((uint64_t)e + 0x200000000u);
        norm += u[e] * u[e];
    }
    for (int64_t e = 0; e < p->unknowns; e++)
        u[e] /= sqrt(norm);
    for (int64_t row = 0; row < p->rows; row++) {
        const double *g = c->automatic + row * p->unknowns;
        along[row] = 0;
        for (int64_t e = 0; e < p->unknowns; e++) {
            along[row] += g[e] * u[e];
            square += g[e] * g[e];
        }
    }
    p->direction = u;
    p->moving = -1;
    c->at = 0;
    c->scale = sqrt(square / fmax(1, (double)(p->rows * p->unknowns)));
    return p->unknowns == 0 || compare(c, along, 1);
}

static bool compare_all(struct check *c)
{
    tape__probe *p = &c->probe;
    int64_t size;
    if (!tape__mul_size(p->rows, p->unknowns, &size))
        return tape_fail(TAPE_ERROR_MEMORY, "gradcheck: out of memory for the Jacobian") == TAPE_OK;
    c->automatic = tape__probe_doubles(p, size);
    c->column = tape__probe_doubles(p, p->rows);
    c->again = tape__probe_doubles(p, p->rows);
    c->error = tape__probe_doubles(p, p->rows);
    c->work = tape__probe_doubles(p, TAPE__NUMERIC_WORK * p->rows);
    if (!c->automatic || !c->column || !c->again || !c->error || !c->work || !tape__probe_automatic(p, c->automatic))
        return false;
    if (c->tolerance <= 0)
        c->tolerance = p->narrow ? 1e-3 : 1e-7;
    if (c->options->directional)
        return compare_direction(c);
    for (int i = 0; i < p->variables; i++)
        if (p->variable[i].at && !(c->options->stop && c->report->failed) && !compare_variable(c, i))
            return false;
    return true;
}

/* ---- saying it ----------------------------------------------------------------------------------------------------
 */

static void say_where(const struct check *c, char *text, size_t size, size_t *used)
{
    const tape_gradcheck_report *r = c->report;
    const char *const *names = c->options->names;
    if (r->input < 0)
        tape__append(text, size, used, "a random direction");
    else if (r->input == c->probe.n)
        tape__append(text, size, used, "the cotangent, element %lld", (long long)r->element);
    else if (names && names[r->input])
        tape__append(text, size, used, "%s, element %lld", names[r->input], (long long)r->element);
    else
        tape__append(text, size, used, "input %d, element %lld", r->input, (long long)r->element);
    if (r->output >= 0)
        tape__append(text, size, used, ", of output %lld", (long long)r->output);
}

static void say(const struct check *c)
{
    tape_gradcheck_report *r = c->report;
    size_t used = 0, size = sizeof r->message;
    if (r->status != TAPE_OK) {
        snprintf(r->message, size, "%s", tape_message());
        return;
    }
    tape__append(r->message, size, &used, "%s%s: ",
                 c->options->name ? c->options->name
                 : r->op          ? r->op
                                  : "gradcheck",
                 c->options->second_order ? ", second order" : "");
    if (r->failed) {
        tape__append(r->message, size, &used, "derivative by ");
        say_where(c, r->message, size, &used);
        tape__append(
            r->message, size, &used,
            " is %.9g, differences give %.9g (relative error %.2g, allowed %.2g, step %.2g); %lld of %lld fail",
            r->automatic, r->numeric, r->error, c->tolerance, r->step, (long long)r->failed, (long long)r->compared);
    } else {
        tape__append(r->message, size, &used, "%lld derivatives agree, relative error at most %.2g (allowed %.2g)",
                     (long long)(r->compared - r->kinks), r->error, c->tolerance);
    }
    if (r->kinks)
        tape__append(r->message, size, &used, "; %lld at kinks", (long long)r->kinks);
}

bool tape_gradcheck(tape_function *fn, void *user, const tape_tensor *x, int n, const tape_gradcheck_options *options,
                    tape_gradcheck_report *report)
{
    static const tape_gradcheck_options defaults;
    tape_gradcheck_report own;
    struct check c = {.options = options ? options : &defaults, .report = report ? report : &own};
    *c.report = (tape_gradcheck_report){.input = -1, .element = -1, .output = -1, .kink_input = -1, .kink_element = -1};
    c.tolerance = c.options->tolerance;
    bool ok = tape__probe_open(&c.probe, fn, user, x, n, c.options) && compare_all(&c);
    tape__probe_close(&c.probe);
    c.report->status = ok ? TAPE_OK : tape_last_status();
    c.report->passed = ok && c.report->failed == 0;
    say(&c);
    return c.report->passed;
}
