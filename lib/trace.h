/*
 * The search for the first NaN or infinity: who recorded what, and whether a step made one out of finite operands.
 * Knows values, not how any op or any sweep computes them.
 */
#ifndef TAPE__TRACE_H
#define TAPE__TRACE_H

#include "tape.h"
#include "tape/trace.h"

struct tape__trace {
    tape_trace_mode mode;
    bool found;
    int quiet;           /* > 0: a step is being judged as a whole, what runs inside it is not */
    const void *entry;   /* who called the public function that runs now, where it has said so */
    const void *current; /* the caller of the op that runs now */
    const void **caller;
    uint32_t callers; /* slots that `caller` has */
    tape_nonfinite report;
};

/* What a step made or made it of. */
typedef struct tape__traced {
    const char *role;
    int position;
    const void *data;
    const tape__layout *layout;
    tape_dtype dtype;
} tape__traced;

typedef struct tape__step {
    tape_trace_pass pass;
    const char *op;
    uint32_t record;  /* whose caller is meant, of a derivative */
    bool elementwise; /* the operands broadcast to the result */
    const tape__traced *operands;
    int n;
} tape__step;

static inline bool tape__traces(const tape *t)
{
    return TAPE__UNLIKELY(t->detour & TAPE__DETOUR_TRACE);
}

/* Start, or stop; false when memory is short. tape__trace_free() is for the end of the tape. */
bool tape__trace_set(tape *t, tape_trace_mode mode);
void tape__trace_free(tape *t);

/* An op has just made the nodes from `slot` on, n_out of them, out of `in`; `params` are an elementwise op's numbers.
 * False after an error, which a find is with TAPE_TRACE_ERROR. */
bool tape__trace_made(tape *t, const tape__op *op, tape__node *const *in, int n_in, const double *params, int n_params,
                      uint32_t slot, int n_out);

/* Whether `result` has an element that is not finite while its operands are; if so it is reported. False as above. */
bool tape__trace_judge(tape *t, const tape__step *step, const tape__traced *result);

bool tape__all_finite(const tape__traced *x);

static inline tape__traced tape__traced_node(const char *role, int position, const tape__node *node)
{
    return (tape__traced){role, position, node->data, node->layout, (tape_dtype)node->dtype};
}

#endif
