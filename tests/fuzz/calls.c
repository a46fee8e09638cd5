/* Calls of ops by the fuzzer: with drawn attributes (calls.def), through the table's rows, and through the samples. */
#include "fuzz.h"

#include "table.h"

/* static tape_tensor call_sum(struct fuzz_args *a) { return tape_sum(a->x, a->axes, a->a); } */
#define CALL(name, expression)                                                                                         \
    static tape_tensor call_##name(struct fuzz_args *a)                                                                \
    {                                                                                                                  \
        return expression;                                                                                             \
    }
#include "calls.def"
#undef CALL

static const struct {
    const char *name;
    tape_tensor (*call)(struct fuzz_args *a);
} calls[] = {
#define CALL(name, expression) {#name, call_##name},
#include "calls.def"
#undef CALL
};

static void call_row(struct fuzz *f, const struct fuzz_args *a)
{
    int n = 0;
    while (rows[n].name)
        n++;
    const struct row *row = &rows[fuzz_below(f, n)];
    const tape_tensor x[3] = {a->x, a->y, a->z};
    const double p[3] = {a->p, a->q, a->r};
    f->doing = row->name;
    if (row->right && a->a)
        fuzz_take(f, a->b ? row->right(a->x, a->p) : row->left(a->p, a->x));
    else
        fuzz_take(f, row->call(x, p));
}

static void call_sample(struct fuzz *f, const struct fuzz_args *a)
{
    int n = 0;
    while (sample_at(n))
        n++;
    const struct sample *sample = sample_at(fuzz_below(f, n));
    const tape_tensor x[SAMPLE_MAX_INPUTS] = {a->x, a->y, a->z, a->list[0], a->list[1], a->list[2], a->list[3]};
    f->doing = sample->op;
    tape_tensor y = sample->run(x);
    if (tape_last_status() == TAPE_OK && tape_is_null(y))
        tape_fail(TAPE_ERROR_ARGUMENT, "%s: a sample whose combination of outputs fails without error", sample->op);
    fuzz_take(f, y);
}

static void call_pieces(struct fuzz *f, const struct fuzz_args *a)
{
    tape_tensor out[4] = {TAPE_NULL, TAPE_NULL, TAPE_NULL, TAPE_NULL};
    f->doing = a->a ? "split" : "chunk";
    int n = a->a ? tape_split(a->x, a->axis, a->i, out, a->n) : tape_chunk(a->x, a->axis, a->n, out);
    if (n < 0 || n > 4 || (n == 0) != (tape_last_status() != TAPE_OK))
        complain("seed %lu step %d, %s: %d pieces with status %s", (unsigned long)f->seed, f->step, f->doing, n,
                 tape_status_name(tape_last_status()));
    for (int i = 0; i < n && i < 4; i++)
        fuzz_take(f, out[i]);
}

void fuzz_call(struct fuzz *f)
{
    struct fuzz_args a;
    fuzz_draw(f, &a);
    switch (fuzz_below(f, 8)) {
    case 0:
    case 1:
        call_row(f, &a);
        return;
    case 2:
        call_sample(f, &a);
        return;
    case 3:
        if (fuzz_chance(f, 5)) {
            call_pieces(f, &a);
            return;
        }
        break;
    default:
        break;
    }
    int i = fuzz_below(f, (int)(sizeof calls / sizeof *calls));
    tape_tensor z = a.z;
    f->doing = calls[i].name;
    fuzz_take(f, calls[i].call(&a));
    if (a.z.generation != z.generation && !tape_is_null(a.z))
        fuzz_take(f, a.z);
}
