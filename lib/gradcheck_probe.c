/* Knows how to run a program again and again on moved copies of its inputs and to leave no trace on the tape; it does
 * not judge what it sees. */
#include "gradcheck.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "ops/ops.h"

double tape__probe_random(uint64_t i)
{
    /* SplitMix64's finaliser (Steele, Lea, Flood, 2014). */
    uint64_t z = (i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    double magnitude = 0.5 + (double)(z >> 12) * 0x1p-52;
    return z & 1 ? -magnitude : magnitude;
}

static void *get(tape__probe *p, int64_t count, size_t size)
{
    int64_t bytes;
    void *memory = NULL;
    if (tape__mul_size(count, (int64_t)size, &bytes))
        memory = tape__arena_get(&p->t->arena, (size_t)bytes + 1);
    if (!memory)
        tape_fail(TAPE_ERROR_MEMORY, "gradcheck: out of memory for %lld values", (long long)count);
    return memory;
}

double *tape__probe_doubles(tape__probe *p, int64_t count)
{
    return get(p, count, sizeof(double));
}

static bool is_floating(tape_dtype dtype)
{
    return dtype == TAPE_F32 || dtype == TAPE_F64;
}

/* x, of either floating dtype, as doubles. */
static bool read_doubles(tape_tensor x, int64_t n, double *out)
{
    if (tape_dtype_of(x) == TAPE_F64)
        return tape_read(x, out, n) == TAPE_OK;
    if (tape_read(x, out, n) != TAPE_OK)
        return false;
    for (int64_t i = n; i-- > 0;) {
        float value;
        memcpy(&value, (const char *)out + (size_t)i * sizeof value, sizeof value);
        out[i] = (double)value;
    }
    return true;
}

static bool write_doubles(tape_tensor x, int64_t n, const double *in)
{
    bool wide = tape_dtype_of(x) == TAPE_F64;
    void *data = tape_data_mut(x);
    if (!data)
        return n == 0 && tape_last_status() == TAPE_OK;
    for (int64_t i = 0; i < n; i++) {
        if (wide)
            ((double *)data)[i] = in[i];
        else
            ((float *)data)[i] = (float)in[i];
    }
    return true;
}

/* Leaves that hold v->at. */
static bool copy_variable(tape__probe *p, tape__variable *v, tape_dtype dtype, tape_shape shape)
{
    v->narrow = tape_param(dtype, shape, NULL);
    v->wide = dtype == TAPE_F64 ? v->narrow : tape_param(TAPE_F64, shape, NULL);
    p->narrow |= dtype == TAPE_F32;
    v->offset = p->unknowns;
    p->unknowns += v->count;
    return tape_last_status() == TAPE_OK && write_doubles(v->wide, v->count, v->at) &&
           (dtype == TAPE_F64 || write_doubles(v->narrow, v->count, v->at));
}

static bool open_variable(tape__probe *p, int i)
{
    tape__variable *v = &p->variable[i];
    tape_dtype dtype = tape_dtype_of(p->x[i]);
    if (tape_last_status() != TAPE_OK)
        return false;
    v->count = tape_numel(p->x[i]);
    if (!is_floating(dtype)) {
        v->narrow = v->wide = p->x[i];
        return true;
    }
    v->at = tape__probe_doubles(p, v->count);
    return v->at && read_doubles(p->x[i], v->count, v->at) && copy_variable(p, v, dtype, tape_shape_of(p->x[i]));
}

/* The cotangent that makes the gradient of which the second order takes derivatives. */
static bool open_cotangent(tape__probe *p, tape_tensor y)
{
    tape__variable *v = &p->variable[p->n];
    v->count = tape_numel(y);
    double *at = tape__probe_doubles(p, v->count);
    if (!at)
        return false;
    for (int64_t k = 0; k < v->count; k++)
        at[k] = (double)(float)tape__probe_random((uint64_t)k + 0x100000000u);
    v->at = at;
    p->variables = p->n + 1;
    return copy_variable(p, v, tape_dtype_of(y), tape_shape_of(y));
}

/* The leaves of all floating variables, into p->wanted; of the first n variables. */
static int list_wanted(tape__probe *p, bool wide, int n)
{
    int m = 0;
    for (int i = 0; i < n; i++)
        if (p->variable[i].at)
            p->wanted[m++] = wide ? p->variable[i].wide : p->variable[i].narrow;
    return m;
}

static tape_tensor call(tape__probe *p, bool wide)
{
    for (int i = 0; i < p->n; i++)
        p->arguments[i] = wide ? p->variable[i].wide : p->variable[i].narrow;
    tape_random_set(p->random);
    tape_tensor y = p->function(p->user, p->arguments, p->n);
    if (tape_last_status() == TAPE_OK && (tape_is_none(y) || tape_is_null(y)))
        tape_fail(TAPE_ERROR_CALLBACK, "gradcheck: the program returned no tensor and no error");
    else if (tape_last_status() == TAPE_OK && !is_floating(tape_dtype_of(y)))
        tape_fail(TAPE_ERROR_DTYPE, "gradcheck: the program's result must be f32 or f64, got %s",
                  tape_dtype_name(tape_dtype_of(y)));
    return y;
}

/* The program's result, or in second order its gradients, into p->result. */
static bool run(tape__probe *p, bool wide)
{
    p->result[0] = call(p, wide);
    p->results = 1;
    if (!p->second_order || tape_last_status() != TAPE_OK)
        return tape_last_status() == TAPE_OK;
    tape_tensor y = p->result[0];
    const tape__variable *cotangent = &p->variable[p->n];
    const tape_grad_options recorded = {.create_graph = true};
    p->results = list_wanted(p, wide, p->n);
    return tape_grad(&y, 1, wide ? &cotangent->wide : &cotangent->narrow, p->wanted, p->results, &recorded,
                     p->result) == TAPE_OK;
}

/* The values of the results as one row; unconnected gradients are zeros. The sizes are those of the first run. */
static bool read_results(tape__probe *p, double *values)
{
    int64_t at = 0;
    for (int k = 0, i = 0; k < p->results; k++, i++) {
        int64_t n = p->values;
        if (p->second_order) {
            while (!p->variable[i].at)
                i++;
            n = p->variable[i].count;
        }
        if (tape_is_none(p->result[k]))
            memset(values + at, 0, (size_t)n * sizeof *values);
        else if (tape_numel(p->result[k]) != n)
            return tape_fail(TAPE_ERROR_SHAPE, "gradcheck: the program's result changed its number of elements") ==
                   TAPE_OK;
        else if (!read_doubles(p->result[k], n, values + at))
            return false;
        at += n;
    }
    return true;
}

static bool run_wide(tape__probe *p, double *values)
{
    tape_position mark = tape_mark();
    p->t->promote += p->narrow;
    bool ok = run(p, true) && read_results(p, values);
    p->t->promote -= p->narrow;
    tape_rewind(mark);
    tape_mark_drop(mark);
    return ok;
}

/* Where the moving variables stand at x. */
static bool move(tape__probe *p, double x)
{
    for (int i = 0; i < p->variables; i++) {
        const tape__variable *v = &p->variable[i];
        if (!v->at || (p->moving >= 0 && i != p->moving) || !v->count)
            continue;
        double *data = tape_data_mut(v->wide);
        if (!data)
            return false;
        if (p->moving >= 0)
            data[p->element] = x;
        for (int64_t e = 0; p->moving < 0 && e < v->count; e++)
            data[e] = v->at[e] + x * p->direction[v->offset + e];
    }
    return true;
}

static bool move_back(tape__probe *p)
{
    if (p->moving < 0)
        return move(p, 0);
    return move(p, p->variable[p->moving].at[p->element]);
}

/* The rows as differences from the base: a value that did not move adds no rounding error. */
static bool evaluate(void *user, double x, double *y)
{
    tape__probe *p = user;
    bool ok = move(p, x) && run_wide(p, p->now);
    if (!move_back(p) || !ok)
        return false;
    double sum = 0, noise = 0;
    for (int64_t k = 0; k < p->values; k++) {
        double w = p->jacobian ? 1 : p->weight[k], difference = w * (p->now[k] - p->base[k]);
        double rounding = difference != 0 ? DBL_EPSILON * fabs(w * p->base[k]) : 0;
        if (p->jacobian) {
            y[k] = difference;
            p->noise[k] = fmax(p->noise[k], rounding);
        } else {
            sum += difference;
            noise += rounding;
        }
    }
    if (!p->jacobian) {
        y[0] = sum;
        p->noise[0] = fmax(p->noise[0], noise);
    }
    return true;
}

tape__curve tape__probe_curve(tape__probe *p)
{
    tape__curve curve = {evaluate, p, p->rows};
    return curve;
}

/* The cotangents of the results for `row`, into p->arguments beside the results they belong to. */
static int seed(tape__probe *p, int64_t row)
{
    int connected = 0;
    int64_t at = 0;
    for (int k = 0, i = 0; k < p->results; k++, i++) {
        while (p->second_order && !p->variable[i].at)
            i++;
        tape_tensor y = p->result[k];
        int64_t n = p->second_order ? p->variable[i].count : p->values;
        if (!tape_is_none(y)) {
            tape_tensor cotangent = tape_zeros_like(y);
            if (!p->jacobian)
                write_doubles(cotangent, n, p->weight + at);
            else if (row >= at && row < at + n) {
                memset(p->now, 0, (size_t)n * sizeof *p->now);
                p->now[row - at] = 1;
                write_doubles(cotangent, n, p->now);
            }
            p->arguments[connected] = cotangent;
            p->result[connected++] = y;
        }
        at += n;
    }
    return connected;
}

/* One row of derivatives, from the results of run(). */
static bool automatic_row(tape__probe *p, int64_t row, double *derivative)
{
    int connected = seed(p, row), m = list_wanted(p, false, p->variables);
    tape_tensor *gradient = p->wanted + m;
    memset(derivative, 0, (size_t)p->unknowns * sizeof *derivative);
    if (connected == 0)
        return tape_last_status() == TAPE_OK;
    if (tape_grad(p->result, connected, p->arguments, p->wanted, m, NULL, gradient) != TAPE_OK)
        return false;
    for (int i = 0, k = 0; i < p->variables; i++) {
        const tape__variable *v = &p->variable[i];
        if (!v->at)
            continue;
        if (!tape_is_none(gradient[k]) && !read_doubles(gradient[k], v->count, derivative + v->offset))
            return false;
        k++;
    }
    return true;
}

bool tape__probe_automatic(tape__probe *p, double *derivative)
{
    bool ok = true;
    for (int64_t row = 0; ok && row < p->rows; row++) {
        tape_position mark = tape_mark();
        ok = run(p, false) && automatic_row(p, row, derivative + row * p->unknowns);
        tape_rewind(mark);
        tape_mark_drop(mark);
    }
    return ok;
}

/* How many values the program gives, and by which op; opens the cotangent. */
static bool look_at_program(tape__probe *p)
{
    tape_tensor y = call(p, false);
    if (tape_last_status() != TAPE_OK)
        return false;
    p->op = y.flags & TAPE__FLAG_LEAF ? "leaf" : tape__record_name(tape__at(p->t, y.slot));
    p->values = p->second_order ? p->unknowns : tape_numel(y);
    return !p->second_order || open_cotangent(p, y);
}

static bool open_inputs(tape__probe *p, int n)
{
    p->variable = get(p, n + 1, sizeof *p->variable);
    p->arguments = get(p, n + 1, sizeof *p->arguments);
    p->result = get(p, n + 1, sizeof *p->result);
    p->wanted = get(p, 2 * ((int64_t)n + 1), sizeof *p->wanted);
    if (!p->variable || !p->arguments || !p->result || !p->wanted)
        return false;
    memset(p->variable, 0, ((size_t)n + 1) * sizeof *p->variable);
    while (p->variables < n)
        if (!open_variable(p, p->variables++))
            return false;
    for (int i = 0; i < n; i++)
        if (p->variable[i].at)
            return true;
    return tape_fail(TAPE_ERROR_DTYPE, "gradcheck: none of the %d inputs is f32 or f64", n) == TAPE_OK;
}

static bool open_rows(tape__probe *p)
{
    p->rows = p->jacobian ? p->values : 1;
    p->base = tape__probe_doubles(p, p->values);
    p->now = tape__probe_doubles(p, p->values);
    p->weight = tape__probe_doubles(p, p->values);
    p->noise = tape__probe_doubles(p, p->rows);
    if (!p->base || !p->now || !p->weight || !p->noise)
        return false;
    for (int64_t k = 0; k < p->values; k++)
        p->weight[k] = p->values == 1 ? 1 : (double)(float)tape__probe_random((uint64_t)k);
    memset(p->noise, 0, (size_t)p->rows * sizeof *p->noise);
    if (!run_wide(p, p->base) || !run_wide(p, p->now))
        return false;
    if (memcmp(p->base, p->now, (size_t)p->values * sizeof *p->base) == 0)
        return true;
    return tape_fail(TAPE_ERROR_STATE, "gradcheck: the program gives other values when it is run again") == TAPE_OK;
}

bool tape__probe_open(tape__probe *p, tape_function *fn, void *user, const tape_tensor *x, int n,
                      const tape_gradcheck_options *options)
{
    memset(p, 0, sizeof *p);
    tape *t = tape__begin("gradcheck");
    if (!t)
        return false;
    if (!fn || !x || n < 1)
        return tape_fail(TAPE_ERROR_ARGUMENT, "gradcheck: expects a function and at least one input, got %d", n) ==
               TAPE_OK;
    p->t = t;
    p->function = fn;
    p->user = user;
    p->x = x;
    p->n = n;
    p->second_order = options && options->second_order;
    p->jacobian = options && options->jacobian;
    p->random = tape_random_get();
    p->promote = t->promote;
    p->mark = tape_mark();
    /* The program runs as a callback does: what is older is constant to it, and out of its reach. */
    p->outer = tape__enter_callback(t);
    t->paused = 0;
    return open_inputs(p, n) && look_at_program(p) && open_rows(p);
}

void tape__probe_close(tape__probe *p)
{
    tape *t = p->t;
    if (!t)
        return;
    for (int i = 0; i < p->variables; i++) {
        const tape__variable *v = &p->variable[i];
        if (!v->at)
            continue;
        if (v->wide.slot != v->narrow.slot)
            tape_free(v->wide);
        tape_free(v->narrow);
    }
    tape__leave_callback(t, p->outer);
    tape_rewind(p->mark);
    tape_mark_drop(p->mark);
    t->promote = p->promote;
    tape_random_set(p->random);
}
