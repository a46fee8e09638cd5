/* The search for the first NaN or infinity. Knows values, not how any op or any sweep computes them. */
#include "trace.h"

#include <math.h>
#include <string.h>

#include "caller.h"
#include "kernels/any/finite.h"

#define FEW 16

/* ---- the switch -------------------------------------------------------------------------------------------------- */

static void free_callers(tape *t, struct tape__trace *trace)
{
    tape__memory_put(&t->memory, trace->caller, trace->callers * sizeof *trace->caller);
    trace->caller = NULL;
    trace->callers = 0;
}

void tape__trace_free(tape *t)
{
    if (!t->trace)
        return;
    free_callers(t, t->trace);
    tape__memory_put(&t->memory, t->trace, sizeof *t->trace);
    t->trace = NULL;
}

bool tape__trace_set(tape *t, tape_trace_mode mode)
{
    if (!t->trace && mode != TAPE_TRACE_OFF) {
        t->trace = tape__memory_get(&t->memory, sizeof *t->trace);
        if (!t->trace)
            return false;
        memset(t->trace, 0, sizeof *t->trace);
    }
    t->detour &= ~(uint32_t)TAPE__DETOUR_TRACE;
    if (!t->trace)
        return true;
    free_callers(t, t->trace);
    t->trace->found = false;
    t->trace->mode = mode;
    if (mode != TAPE_TRACE_OFF)
        t->detour |= TAPE__DETOUR_TRACE;
    return true;
}

tape_status tape_trace_nonfinite(tape_trace_mode mode)
{
    tape *t = tape__begin("trace_nonfinite");
    if (!t)
        return tape_last_status();
    if ((unsigned)mode > TAPE_TRACE_ERROR)
        tape__error(t, TAPE_ERROR_ARGUMENT, "%d is no mode", (int)mode);
    else if (!tape__trace_set(t, mode))
        tape__error(t, TAPE_ERROR_MEMORY, "out of memory for a report");
    return t->status;
}

const tape_nonfinite *tape_nonfinite_found(void)
{
    const tape *t = tape__tls;
    return t && t->trace && t->trace->found ? &t->trace->report : NULL;
}

/* ---- callers ----------------------------------------------------------------------------------------------------- */

/* Without room the record has no caller: nothing else changes. */
static void note_caller(tape *t, uint32_t slot)
{
    struct tape__trace *trace = t->trace;
    if (slot >= trace->callers) {
        const void **caller = tape__memory_get(&t->memory, t->capacity * sizeof *caller);
        if (!caller)
            return;
        memset(caller, 0, t->capacity * sizeof *caller);
        if (trace->callers)
            memcpy(caller, trace->caller, trace->callers * sizeof *caller);
        free_callers(t, trace);
        trace->caller = caller;
        trace->callers = t->capacity;
    }
    trace->caller[slot] = trace->current;
}

/* ---- the report -------------------------------------------------------------------------------------------------- */

static void describe(const tape__traced *x, bool elementwise, const tape__layout *result, int64_t at,
                     tape_traced_operand *out)
{
    const tape__layout *l = x->layout;
    *out = (tape_traced_operand){.role = x->role, .position = x->position, .dtype = x->dtype};
    out->shape.rank = l->rank;
    memcpy(out->shape.size, l->size, sizeof l->size);
    if (elementwise) {
        int64_t stride[TAPE_MAX_RANK];
        tape__broadcast_strides(l, result->rank, result->size, stride);
        out->low = out->high = tape__element(x->dtype, result->rank, result->size, stride, x->data, at);
        return;
    }
    out->low = INFINITY;
    out->high = -INFINITY;
    for (int64_t i = 0; i < l->numel; i++) {
        double value = tape__element(x->dtype, l->rank, l->size, l->stride, x->data, i);
        out->low = value < out->low ? value : out->low;
        out->high = value > out->high ? value : out->high;
    }
}

static void put_operands(tape_nonfinite *r, size_t *used)
{
    for (int i = 0; i < r->operand_count && i < TAPE_TRACED_OPERANDS; i++) {
        const tape_traced_operand *x = &r->operand[i];
        tape__append(r->message, sizeof r->message, used, "; %s %d %s%s", x->role, x->position,
                     tape_dtype_name(x->dtype), tape__shape_text(x->shape.rank, x->shape.size).text);
        if (r->elementwise)
            tape__append(r->message, sizeof r->message, used, " is %g there", x->low);
        else if (x->low <= x->high)
            tape__append(r->message, sizeof r->message, used, " lies in [%g, %g]", x->low, x->high);
    }
}

static void write_message(tape_nonfinite *r)
{
    static const char *const passes[] = {"", " on the way back", " in forward mode"};
    size_t used = 0;
    r->message[0] = '\0';
    if (r->within)
        tape__append(r->message, sizeof r->message, &used, "%s: ", r->within);
    tape__append(r->message, sizeof r->message, &used, "%s%s: its %s %d %s%s is %g", r->op, passes[r->pass], r->role,
                 r->position, tape_dtype_name(r->dtype), tape__shape_text(r->shape.rank, r->shape.size).text, r->value);
    if (r->shape.rank)
        tape__append(r->message, sizeof r->message, &used, " at %s", tape__shape_text(r->shape.rank, r->index).text);
    put_operands(r, &used);
    if (r->caller)
        tape__append(r->message, sizeof r->message, &used, "; recorded by %s%s(%p)", r->symbol, *r->symbol ? " " : "",
                     r->caller);
}

static bool report(tape *t, const tape__step *step, const tape__traced *result, bool elementwise, int64_t at)
{
    struct tape__trace *trace = t->trace;
    tape_nonfinite *r = &trace->report;
    const tape__layout *l = result->layout;
    memset(r, 0, sizeof *r);
    r->pass = step->pass;
    r->op = step->op;
    r->within = step->pass == TAPE_TRACE_FORWARD && t->composite_depth && t->op_name != step->op ? t->op_name : NULL;
    r->role = result->role;
    r->position = result->position;
    r->dtype = result->dtype;
    r->shape.rank = l->rank;
    memcpy(r->shape.size, l->size, sizeof l->size);
    r->value = tape__element(result->dtype, l->rank, l->size, l->stride, result->data, at);
    for (int64_t i = l->rank, rest = at; i-- > 0; rest /= l->size[i])
        r->index[i] = rest % l->size[i];
    r->elementwise = elementwise;
    r->operand_count = step->n;
    for (int i = 0; i < step->n && i < TAPE_TRACED_OPERANDS; i++)
        describe(&step->operands[i], elementwise, l, at, &r->operand[i]);
    bool runs_now = step->pass == TAPE_TRACE_FORWARD && !t->replaying;
    r->caller = runs_now ? trace->current : step->record < trace->callers ? trace->caller[step->record] : NULL;
    tape__caller_text(r->caller, r->symbol, sizeof r->symbol);
    write_message(r);
    trace->found = true;
    if (trace->mode == TAPE_TRACE_ERROR) {
        tape_fail(TAPE_ERROR_NONFINITE, "%s", r->message);
        return false;
    }
    t->detour &= ~(uint32_t)TAPE__DETOUR_TRACE;
    if (t->config.log)
        t->config.log(t->config.log_user, TAPE_ERROR_NONFINITE, r->message);
    return true;
}

/* ---- judging ----------------------------------------------------------------------------------------------------- */

static int64_t next_nonfinite(const tape__traced *x, int64_t from)
{
    const tape__layout *l = x->layout;
    return tape__find_nonfinite(x->dtype, l->rank, l->size, l->stride, l->numel, x->data, from);
}

bool tape__all_finite(const tape__traced *x)
{
    return next_nonfinite(x, 0) < 0;
}

static bool fits(const tape__step *step, const tape__layout *result)
{
    for (int i = 0; i < step->n; i++) {
        const tape__layout *l = step->operands[i].layout;
        int64_t size[TAPE_MAX_RANK];
        int rank;
        if (!tape__broadcast(l->rank, l->size, result->rank, result->size, &rank, size) || rank != result->rank ||
            memcmp(size, result->size, (size_t)rank * sizeof *size) != 0)
            return false;
    }
    return true;
}

static bool finite_there(const tape__step *step, const tape__layout *result, int64_t at)
{
    for (int i = 0; i < step->n; i++) {
        const tape__traced *x = &step->operands[i];
        int64_t stride[TAPE_MAX_RANK];
        tape__broadcast_strides(x->layout, result->rank, result->size, stride);
        if (!isfinite(tape__element(x->dtype, result->rank, result->size, stride, x->data, at)))
            return false;
    }
    return true;
}

bool tape__trace_judge(tape *t, const tape__step *step, const tape__traced *result)
{
    int64_t at = next_nonfinite(result, 0);
    if (TAPE__LIKELY(at < 0))
        return true;
    bool elementwise = step->elementwise && fits(step, result->layout);
    while (elementwise && at >= 0 && !finite_there(step, result->layout, at))
        at = next_nonfinite(result, at + 1);
    for (int i = 0; i < step->n && !elementwise; i++)
        if (!tape__all_finite(&step->operands[i]))
            return true;
    return at < 0 || report(t, step, result, elementwise, at);
}

/* An infinity that the caller gave as a number is no find. */
static bool may_be_blamed(const tape *t, const tape__op *op, const double *params, int n_params)
{
    bool given = op->flags & TAPE__FILLS;
    for (int i = 0; i < n_params; i++)
        given |= !isfinite(params[i]);
    return !given && !t->trace->quiet;
}

bool tape__trace_made(tape *t, const tape__op *op, tape__node *const *in, int n_in, const double *params, int n_params,
                      uint32_t slot, int n_out)
{
    bool recorded = t->paused == 0, ok = true;
    t->trace->current = t->replaying ? NULL : tape__caller(t->trace->entry);
    t->trace->entry = NULL;
    if (recorded && !t->replaying)
        note_caller(t, slot);
    if (!may_be_blamed(t, op, params, n_params))
        return true;
    size_t bytes = (size_t)n_in * sizeof(tape__traced);
    tape__traced few[FEW], *x = n_in <= FEW ? few : tape__arena_get(&t->arena, bytes);
    if (!x)
        return tape__error(t, TAPE_ERROR_MEMORY, "out of memory to trace %d inputs", n_in);
    for (int i = 0; i < n_in; i++)
        x[i] = tape__traced_node("input", i, in[i]);
    const tape__step step = {TAPE_TRACE_FORWARD, op->name, slot, op->ewise >= 0, x, n_in};
    for (int k = 0; k < n_out && ok && tape__traces(t); k++) {
        tape__traced y = tape__traced_node("output", k, tape__at(t, slot + (uint32_t)k));
        ok = tape__trace_judge(t, &step, &y);
    }
    if (x != few)
        tape__arena_put(&t->arena, x, bytes);
    return ok;
}
