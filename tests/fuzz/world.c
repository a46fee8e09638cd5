/* Draws of the fuzzer: numbers, shapes, handles of every kind, and an allocator that fails. Knows no op. */
#include "fuzz.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

uint64_t fuzz_bits(struct fuzz *f)
{
    return next(&f->random);
}

int fuzz_below(struct fuzz *f, int n)
{
    return (int)(fuzz_bits(f) % (uint64_t)n);
}

bool fuzz_chance(struct fuzz *f, int one_in)
{
    return fuzz_below(f, one_in) == 0;
}

int64_t fuzz_integer(struct fuzz *f)
{
    static const int64_t odd[] = {
        INT64_MIN,        INT64_MIN + 1,    INT64_MAX,        INT64_MAX / 2,       INT_MIN, INT_MAX, -1,
        (int64_t)1 << 31, (int64_t)1 << 32, (int64_t)1 << 62, -((int64_t)1 << 40), -100,    1000};
    if (fuzz_chance(f, 8))
        return odd[fuzz_below(f, (int)(sizeof odd / sizeof *odd))];
    return fuzz_below(f, 7) - 2;
}

double fuzz_number(struct fuzz *f)
{
    static const double odd[] = {NAN,     INFINITY, -INFINITY, -0.0,    DBL_MAX, -DBL_MAX,
                                 DBL_MIN, 5e-324,   1e300,     -1e-300, 1e10,    -1};
    if (fuzz_chance(f, 8))
        return odd[fuzz_below(f, (int)(sizeof odd / sizeof *odd))];
    return (double)(fuzz_bits(f) >> 11) * 0x1p-51 - 1;
}

tape_dtype fuzz_dtype(struct fuzz *f)
{
    static const tape_dtype usual[] = {TAPE_F64, TAPE_F64, TAPE_F64, TAPE_F32, TAPE_F32, TAPE_I64, TAPE_I32, TAPE_U8};
    return fuzz_chance(f, 60) ? (tape_dtype)(5 + fuzz_below(f, 3)) : usual[fuzz_below(f, 8)];
}

/* ---- shapes ------------------------------------------------------------------------------------------------------ */

tape_shape fuzz_shape(struct fuzz *f)
{
    static const tape_shape usual[] = {{0, {0}},       {1, {1}},       {1, {3}},    {2, {2, 3}},
                                       {2, {3, 3}},    {2, {1, 3}},    {2, {3, 2}}, {2, {4, 4}},
                                       {3, {2, 3, 3}}, {3, {2, 1, 3}}, {1, {0}},    {2, {2, 0}}};
    static const int64_t odd[] = {0, 1, 2, -1, INT64_MAX, INT64_MIN, (int64_t)1 << 61, (int64_t)1 << 48};
    if (!fuzz_chance(f, 6))
        return usual[fuzz_below(f, (int)(sizeof usual / sizeof *usual))];
    tape_shape s = {fuzz_below(f, TAPE_MAX_RANK + 1), {0}};
    for (int i = 0; i < s.rank; i++)
        s.size[i] = fuzz_chance(f, 12) ? odd[fuzz_below(f, (int)(sizeof odd / sizeof *odd))] : 1 + fuzz_below(f, 3);
    if (fuzz_chance(f, 40))
        s.rank = (int)fuzz_integer(f);
    return s;
}

static int draw_axis(struct fuzz *f)
{
    return fuzz_chance(f, 12) ? (int)(unsigned)fuzz_integer(f) : fuzz_below(f, 5) - 2;
}

static tape_axes draw_axes(struct fuzz *f)
{
    tape_axes axes = {fuzz_below(f, 3), {0}};
    for (int i = 0; i < TAPE_MAX_RANK; i++)
        axes.axis[i] = draw_axis(f);
    if (fuzz_chance(f, 30))
        axes.count = (int)(unsigned)fuzz_integer(f);
    return axes;
}

/* ---- handles ----------------------------------------------------------------------------------------------------- */

tape_tensor fuzz_handle(struct fuzz *f)
{
    if (!fuzz_chance(f, 16))
        return f->pool[fuzz_below(f, FUZZ_POOL)];
    tape_tensor x = f->pool[fuzz_below(f, FUZZ_POOL)];
    switch (fuzz_below(f, 6)) {
    case 0:
        return TAPE_NULL;
    case 1:
        return TAPE_NONE;
    case 2:
        return f->leaf[fuzz_below(f, FUZZ_LEAVES)];
    case 3:
        x.generation += fuzz_bits(f) % 3;
        return x;
    case 4:
        x.slot ^= (uint32_t)(1U << fuzz_below(f, 32));
        return x;
    default:
        x.flags ^= (uint32_t)(1U << fuzz_below(f, 4));
        return x;
    }
}

static void look_at_tensor(struct fuzz *f, tape_tensor y)
{
    tape_shape s = tape_shape_of(y);
    int64_t numel = tape_numel(y);
    if (s.rank < 0 || s.rank > TAPE_MAX_RANK || numel < 0 || tape_dtype_size(tape_dtype_of(y)) == 0)
        complain("seed %lu step %d, %s: a tensor of rank %d, %ld elements", (unsigned long)f->seed, f->step, f->doing,
                 s.rank, (long)numel);
    if (numel > FUZZ_LARGEST)
        return;
    size_t bytes = (size_t)numel * tape_dtype_size(tape_dtype_of(y));
    void *copy = malloc(bytes + 1);
    if (copy && tape_read(y, copy, numel) != TAPE_OK && tape_last_status() != TAPE_ERROR_MEMORY)
        complain("seed %lu step %d, %s: unreadable: %s", (unsigned long)f->seed, f->step, f->doing, tape_message());
    free(copy);
}

void fuzz_take(struct fuzz *f, tape_tensor y)
{
    const char *message = tape_message();
    bool failed = tape_last_status() != TAPE_OK;
    if (failed != (message[0] != '\0') || strchr(message, '\n'))
        complain("seed %lu step %d, %s: %s with message '%s'", (unsigned long)f->seed, f->step, f->doing,
                 tape_status_name(tape_last_status()), message);
    if (failed != (bool)tape_is_null(y))
        complain("seed %lu step %d, %s: %s tensor with status %s '%s'", (unsigned long)f->seed, f->step, f->doing,
                 tape_is_null(y) ? "no" : "a", tape_status_name(tape_last_status()), message);
    if (failed || tape_is_null(y) || tape_is_none(y))
        return;
    if (!tape_is_valid(y)) {
        complain("seed %lu step %d, %s: an invalid result", (unsigned long)f->seed, f->step, f->doing);
        return;
    }
    look_at_tensor(f, y);
    /* Ops on a view of a number expanded to 2^48 elements are legal and take days. */
    if (tape_numel(y) <= FUZZ_LARGEST)
        f->pool[fuzz_below(f, FUZZ_POOL)] = y;
}

void fuzz_draw(struct fuzz *f, struct fuzz_args *a)
{
    *a = (struct fuzz_args){.x = fuzz_handle(f), .y = fuzz_handle(f), .z = fuzz_handle(f)};
    for (int i = 0; i < 4; i++)
        a->list[i] = fuzz_chance(f, 2) ? a->x : fuzz_handle(f);
    a->n = fuzz_chance(f, 20) ? (int)(unsigned)(fuzz_integer(f) & 0x80000003) : 1 + fuzz_below(f, 4);
    a->n = a->n > 4 ? -1 : a->n;
    a->axis = draw_axis(f);
    a->other_axis = draw_axis(f);
    a->axes = draw_axes(f);
    a->shape = fuzz_shape(f);
    a->dtype = fuzz_dtype(f);
    a->i = fuzz_integer(f);
    a->j = fuzz_integer(f);
    a->k = fuzz_integer(f);
    a->p = fuzz_number(f);
    a->q = fuzz_number(f);
    a->r = fuzz_number(f);
    a->a = fuzz_chance(f, 2);
    a->b = fuzz_chance(f, 2);
    a->reduction = fuzz_chance(f, 30) ? (tape_reduction)7 : (tape_reduction)fuzz_below(f, 3);
}

/* ---- data -------------------------------------------------------------------------------------------------------- */

/* The conversion of a finite number beyond the range of float is undefined. */
static float single(double x)
{
    return isfinite(x) && fabs(x) > (double)FLT_MAX ? copysignf(FLT_MAX, (float)(x > 0 ? 1 : -1)) : (float)x;
}

static void fill(struct fuzz *f, tape_dtype dtype, void *data, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (dtype == TAPE_F64)
            ((double *)data)[i] = fuzz_number(f);
        else if (dtype == TAPE_F32)
            ((float *)data)[i] = single(fuzz_number(f));
        else if (dtype == TAPE_I64)
            ((int64_t *)data)[i] = fuzz_integer(f);
        else if (dtype == TAPE_I32)
            ((int32_t *)data)[i] = (int32_t)(uint32_t)fuzz_integer(f);
        else
            ((uint8_t *)data)[i] = (uint8_t)fuzz_below(f, 3);
    }
}

tape_tensor fuzz_make(struct fuzz *f, bool leaf, bool gradient)
{
    tape_shape s = fuzz_shape(f);
    tape_dtype dtype = fuzz_dtype(f);
    int64_t n = s.rank >= 0 && s.rank <= TAPE_MAX_RANK;
    for (int i = 0; i < s.rank && n > 0 && n <= FUZZ_LARGEST; i++)
        n = s.size[i] < 0 || s.size[i] > FUZZ_LARGEST ? -1 : n * s.size[i];
    double data[64];
    bool filled = n > 0 && n <= 64 && tape_dtype_size(dtype) > 0 && !fuzz_chance(f, 10);
    if (filled)
        fill(f, dtype, data, n);
    if (!leaf)
        return tape_from(dtype, s, filled ? data : NULL);
    return gradient ? tape_param(dtype, s, filled ? data : NULL) : tape_const(dtype, s, filled ? data : NULL);
}

void *fuzz_allocator(void *user, void *pointer, size_t old_size, size_t new_size)
{
    struct fuzz_memory *m = user;
    if (new_size == 0) {
        m->live -= pointer != NULL;
        m->bytes -= (int64_t)old_size;
        free(pointer);
        return NULL;
    }
    if (new_size > ((size_t)1 << 28) || (m->refuse_one_in && next(&m->random) % (uint64_t)m->refuse_one_in == 0))
        return NULL;
    void *block = realloc(pointer, new_size);
    if (block) {
        m->live += !pointer;
        m->bytes += (int64_t)new_size - (int64_t)old_size;
    }
    return block;
}
