/* How elementwise loops go over their operands, remembered by the operands' layouts: those are interned, so that a
 * pointer tells which one it is. Does not know what is computed, nor where the operands are. */
#ifndef TAPE__PLAN_H
#define TAPE__PLAN_H

#include "kernels/any/ewise_driver.h"
#include "kernels/any/ewise_few.h"
#include "shape.h"

struct tape;

/*
 * Kernels that compute lane by lane, whatever the lanes hold, may run on behind the last element, where the tape's own
 * block does: that costs less than to finish with a part of a unit. What they read there is anything, and so is what
 * they leave. A loop of a few short rows as whole units: the elements of a row so (0: the result's block has no room
 * for that), and the flags that node a, and b, must have for it.
 */
typedef struct tape__running_on {
    uint16_t n;
    uint8_t flags[2];
} tape__running_on;

/* The same for n elements in a row, in blocks of the tape: these hold whole units if they are larger than 48 bytes. */
TAPE__INLINE int64_t tape__whole_units(int dtype, int64_t n)
{
    const int64_t width = TAPE__UNIT_BYTES / (int)sizeof(float) >> dtype;
    return n * 4 > width * 3 ? (n + width - 1) & -width : n;
}

typedef struct tape__plan {
    const tape__layout *given, *a, *b, *g; /* what it was made for */
    const tape__layout *shape;             /* of the result, dense; NULL: the operands' do not fit each other */
    tape__few few;
    bool suits[2]; /* by dtype: `few` is the loop, of one row, or of a few that are long enough and too few for threads
                    */
    tape__running_on on[2];
} tape__plan;

#define TAPE__PLANS 128u /* a power of two */

TAPE__INLINE bool tape__plan_is(const tape__plan *plan, const tape__layout *given, const tape__layout *a,
                                const tape__layout *b, const tape__layout *g)
{
    return plan->a == a && plan->b == b && plan->g == g && plan->given == given;
}

/* It is not in its place: finds it beside it, or makes it anew. */
const tape__plan *tape__plan_find(tape__plan *plans, size_t place, tape__layouts *layouts, const tape__layout *given,
                                  const tape__layout *a, const tape__layout *b, const tape__layout *g);

/*
 * The loop over `given`, or if that is NULL over the common shape of a and b. Inputs a and b, and the adjoint g, may be
 * NULL: they are not read. The row's result is dense. It holds until the next one is asked for, or a reset.
 */
TAPE__INLINE const tape__plan *tape__plan_of(tape__plan *plans, tape__layouts *layouts, const tape__layout *given,
                                             const tape__layout *a, const tape__layout *b, const tape__layout *g)
{
    const uint32_t hash = (uint32_t)(uintptr_t)a * 0x9E3779B1u + (uint32_t)(uintptr_t)b * 0x85EBCA77u +
                          (uint32_t)(uintptr_t)g * 0xC2B2AE3Du + (uint32_t)(uintptr_t)given * 0x27D4EB2Fu;
    const size_t place = hash / (UINT32_MAX / TAPE__PLANS + 1);
    const bool known = tape__plan_is(&plans[place], given, a, b, g);
    return TAPE__LIKELY(known) ? &plans[place] : tape__plan_find(plans, place, layouts, given, a, b, g);
}

/* Single elements that rows are combined with, laid out as rows: programs use few of them, again and again. */
#define TAPE__STILLS 4u

typedef struct tape__still {
    _Alignas(TAPE__UNIT_BYTES) char row[TAPE__EWISE_SHORT];
    uint64_t bits; /* of the element, twice those of an f32 */
    int64_t bytes; /* of the row so far */
} tape__still;

/* The one still operand of `still`, if its row is short: those that are left. */
unsigned tape__still_lay_out(tape__still *stills, unsigned still, int64_t bytes, int item, const void **x);

/* The same for a plan's loop, unless the element is not the same for each row. */
TAPE__INLINE unsigned tape__plan_lay_out(const tape__few *f, tape__still *stills, int item, const void **x)
{
    const bool one = f->still && (f->rows == 1 || !f->step[__builtin_ctz(f->still)]);
    return one ? tape__still_lay_out(stills, f->still, f->n * item, item, x) : f->still;
}

/* A row's value (input < 0), to be stored, or its derivative for an input, to be stored or added to the result. */
typedef struct tape__planned {
    int ew, input, dtype;
    bool accumulate;
    const double *params;
    void *result;
    const void *x[TAPE__RUN_OPERANDS]; /* by position */
} tape__planned;

/* False where it does not suit the dtype; then nothing was done. Changes the operands. */
bool tape__plan_run(struct tape *t, const tape__plan *plan, tape__planned *p);

#endif
