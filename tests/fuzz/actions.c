/* What the fuzzer does besides calling ops: leaves, marks, derivatives, callbacks that misbehave. */
#include "fuzz.h"

#include <string.h>

#include "table.h"

static tape_position any_mark(struct fuzz *f)
{
    tape_position mark = f->mark[fuzz_below(f, FUZZ_MARKS)];
    if (fuzz_chance(f, 20))
        mark.id += fuzz_bits(f) % 3;
    if (fuzz_chance(f, 20))
        mark.depth += (uint32_t)fuzz_below(f, 3) - 1;
    return mark;
}

static tape_tensor any_leaf(struct fuzz *f)
{
    return fuzz_chance(f, 5) ? fuzz_handle(f) : f->leaf[fuzz_below(f, FUZZ_LEAVES)];
}

/* ---- leaves ------------------------------------------------------------------------------------------------------ */

static void plant(struct fuzz *f, tape_tensor y)
{
    if (tape_is_null(y) || tape_is_none(y))
        return;
    int place = fuzz_below(f, FUZZ_LEAVES);
    fuzz_take(f, y);
    tape_free(f->leaf[place]); /* an error where it has been freed already */
    f->leaf[place] = y;
}

static void make(struct fuzz *f)
{
    f->doing = "make";
    int kind = fuzz_below(f, 4);
    if (kind == 3)
        fuzz_take(f, fuzz_make(f, false, false));
    else
        plant(f, fuzz_make(f, true, kind > 0));
}

static void keep(struct fuzz *f)
{
    f->doing = "keep";
    tape_tensor x = fuzz_handle(f);
    if (fuzz_chance(f, 2))
        plant(f, tape_keep(x));
    else
        tape_keep_into(any_leaf(f), x);
}

static void release(struct fuzz *f)
{
    f->doing = "free";
    tape_free(any_leaf(f));
}

static void scribble(struct fuzz *f)
{
    f->doing = "data_mut";
    tape_tensor x = fuzz_handle(f);
    void *data = tape_data_mut(x);
    if (data && tape_numel(x) <= FUZZ_LARGEST)
        memset(data, fuzz_chance(f, 2) ? 0 : 1, (size_t)tape_numel(x) * tape_dtype_size(tape_dtype_of(x)));
}

static void write(struct fuzz *f)
{
    static const double data[64] = {0.5, 0.25, -1};
    f->doing = "write";
    tape_tensor leaf = any_leaf(f);
    if (fuzz_chance(f, 2))
        tape_write(leaf, data, (size_t)fuzz_below(f, (int)sizeof data));
    else
        tape_assign(leaf, fuzz_handle(f));
}

static void toggle(struct fuzz *f)
{
    f->doing = "gradient";
    tape_tensor leaf = any_leaf(f);
    int kind = fuzz_below(f, 4);
    if (kind == 0)
        tape_zero_grad(leaf);
    else if (kind == 1)
        tape_set_requires_grad(leaf, fuzz_chance(f, 2));
    else {
        tape_tensor g = tape_gradient(leaf);
        if (!tape_is_none(g))
            fuzz_take(f, g);
    }
}

static void ask(struct fuzz *f)
{
    char text[40];
    f->doing = "ask";
    tape_tensor x = fuzz_handle(f);
    size_t size = (size_t)fuzz_below(f, (int)sizeof text + 1);
    tape_format(x, text, size);
    if (size > 0 && !memchr(text, 0, size))
        complain("seed %lu step %d: tape_format() without end", (unsigned long)f->seed, f->step);
    tape_size(x, fuzz_below(f, 20) - 10);
    tape_rank(x);
    tape_requires_grad(x);
    tape_is_leaf(x);
    tape_is_contiguous(x);
    tape_data_f32(x);
    tape_item(x);
    double one;
    tape_read(x, &one, 1 - 2 * fuzz_below(f, 2));
}

/* ---- places on the tape ------------------------------------------------------------------------------------------ */

static void move(struct fuzz *f)
{
    f->doing = "move";
    switch (fuzz_below(f, 12)) {
    case 0:
        tape_reset();
        break;
    case 1:
    case 2:
    case 3:
    case 4:
        f->mark[fuzz_below(f, FUZZ_MARKS)] = tape_mark();
        break;
    case 5:
    case 6:
        tape_rewind(any_mark(f));
        break;
    case 7:
        tape_mark_drop(any_mark(f));
        break;
    case 8:
        tape_pause();
        break;
    case 9:
    case 10:
        tape_resume();
        break;
    default:
        if (f->depth == 0)
            tape_make_current(tape_current() == f->own ? f->other : f->own);
        break;
    }
}

/* ---- callbacks --------------------------------------------------------------------------------------------------- */

/* A few calls from within a callback; not so deep that sweeps in sweeps never end. */
static void misbehave(struct fuzz *f)
{
    if (f->depth >= 2)
        return;
    f->depth++;
    for (int i = fuzz_below(f, 4); i > 0; i--)
        if (fuzz_chance(f, 3))
            fuzz_act(f);
        else
            fuzz_call(f);
    if (fuzz_chance(f, 2))
        tape_clear();
    f->depth--;
}

static tape_tensor hook(void *user, tape_tensor g)
{
    struct fuzz *f = user;
    if (fuzz_chance(f, 3))
        misbehave(f);
    switch (fuzz_below(f, 6)) {
    case 0:
        return TAPE_NONE;
    case 1:
        return fuzz_handle(f);
    case 2:
        return tape_mul_scalar(g, fuzz_number(f));
    default:
        return g;
    }
}

static tape_status custom_forward(tape_custom_call *c)
{
    struct fuzz *f = c->op->user;
    if (fuzz_chance(f, 3))
        misbehave(f);
    switch (fuzz_below(f, 6)) {
    case 0:
        return TAPE_OK;
    case 1:
        c->y[0] = fuzz_handle(f);
        return TAPE_OK;
    case 2: {
        tape_shape s = fuzz_shape(f);
        tape_dtype dtype = fuzz_dtype(f);
        void *data = tape_custom_output(c, fuzz_below(f, 4) - 1, dtype, s);
        if (data && shape_numel(s) <= FUZZ_LARGEST)
            memset(data, 0, (size_t)shape_numel(s) * tape_dtype_size(dtype));
        return fuzz_chance(f, 2) ? TAPE_OK : TAPE_ERROR_CALLBACK;
    }
    default:
        c->y[0] = c->n > 0 ? tape_sin(c->x[0]) : tape_ones(TAPE_F64, TAPE_SCALAR);
        return tape_last_status();
    }
}

static tape_status custom_vjp(tape_custom_vjp *v)
{
    struct fuzz *f = v->op->user;
    if (fuzz_chance(f, 3))
        misbehave(f);
    if (v->n > 0 && fuzz_chance(f, 4))
        v->gx[fuzz_below(f, v->n)] = fuzz_handle(f);
    else if (v->n > 0 && v->needs[0])
        v->gx[0] = tape_mul(v->gy[0], tape_cos(v->x[0]));
    return fuzz_chance(f, 6) ? (tape_status)fuzz_below(f, 20) : tape_last_status();
}

static void custom(struct fuzz *f, const tape_custom_op *op)
{
    f->doing = "custom";
    const tape_tensor x[2] = {fuzz_handle(f), fuzz_handle(f)};
    double attr[2] = {1, 2};
    tape_tensor y[TAPE_CUSTOM_OUTPUTS];
    fuzz_take(f, tape_custom(op, x, fuzz_below(f, 4) - 1 > 2 ? 0 : fuzz_below(f, 3), fuzz_chance(f, 2) ? attr : NULL,
                             fuzz_chance(f, 2) ? sizeof attr : 0, y));
}

/* ---- derivatives ------------------------------------------------------------------------------------------------- */

static void differentiate(struct fuzz *f)
{
    tape_tensor ys[2] = {fuzz_handle(f), fuzz_handle(f)}, xs[3], with[3], out[3];
    for (int i = 0; i < 3; i++) {
        xs[i] = fuzz_chance(f, 2) ? any_leaf(f) : fuzz_handle(f);
        with[i] = fuzz_chance(f, 2) ? TAPE_NONE : fuzz_handle(f);
        out[i] = TAPE_NULL;
    }
    int n = fuzz_chance(f, 20) ? fuzz_below(f, 3) - 1 : 1 + fuzz_below(f, 2), m = 1 + fuzz_below(f, 3);
    tape_grad_options options = {fuzz_chance(f, 2)};
    int kind = fuzz_below(f, 5);
    tape_status status = TAPE_OK;
    f->doing = "differentiate";
    if (kind == 0)
        status = tape_backward(tape_sum(ys[0], TAPE_ALL, false));
    else if (kind == 1)
        status = tape_backward_with(ys[0], fuzz_chance(f, 2) ? tape_ones_like(ys[0]) : with[0]);
    else if (kind == 2)
        status = tape_jvp(ys, n, xs, m, with, fuzz_chance(f, 2) ? &options : NULL, out);
    else {
        ys[0] = tape_sum(ys[0], TAPE_ALL, false);
        status = tape_grad(ys, kind == 3 ? 1 : n, fuzz_chance(f, 2) ? with : NULL, xs, m, &options, out);
    }
    if (status != tape_last_status())
        complain("seed %lu step %d: a sweep gives %s, the tape %s: %s", (unsigned long)f->seed, f->step,
                 tape_status_name(status), tape_status_name(tape_last_status()), tape_message());
    for (int i = 0; i < (kind == 2 ? n : m) && status == TAPE_OK && kind >= 2; i++)
        if (!tape_is_none(out[i]))
            fuzz_take(f, out[i]);
}

void fuzz_act(struct fuzz *f)
{
    switch (fuzz_below(f, 12)) {
    case 0:
    case 1:
        make(f);
        break;
    case 2:
        keep(f);
        break;
    case 3:
        release(f);
        break;
    case 4:
        scribble(f);
        break;
    case 5:
        write(f);
        break;
    case 6:
        toggle(f);
        break;
    case 7:
        ask(f);
        break;
    case 8:
        move(f);
        break;
    case 9:
        f->doing = "hook";
        tape_hook(any_leaf(f), fuzz_chance(f, 3) ? NULL : hook, f);
        break;
    case 10:
        custom(f, &f->op[fuzz_below(f, 3)]);
        break;
    default:
        differentiate(f);
        break;
    }
}

/* ---- sessions ---------------------------------------------------------------------------------------------------- */

static void begin(struct fuzz *f, uint64_t seed)
{
    memset(f, 0, sizeof *f);
    f->seed = f->random = f->memory.random = seed;
    static const int one_in[] = {0, 0, 0, 400, 40};
    f->memory.refuse_one_in = one_in[fuzz_below(f, 5)];
    tape_config config = {.allocator = fuzz_allocator, .allocator_user = &f->memory, .seed = seed};
    config.memory_budget = fuzz_chance(f, 4) ? (size_t)1 << (10 + fuzz_below(f, 8)) : (size_t)1 << 24;
    f->own = tape_create(&config);
    f->other = tape_create(&config);
    f->op[0] = (tape_custom_op){.name = "odd", .forward = custom_forward, .vjp = custom_vjp, .user = f};
    f->op[1] = (tape_custom_op){.name = "pair", .n_out = 2, .forward = custom_forward, .takes_absent = true, .user = f};
    f->op[2] = (tape_custom_op){.name = "blunt", .forward = custom_forward, .vjp = custom_vjp, .user = f};
    f->op[2].first_order = true;
}

static void end(struct fuzz *f, tape *before)
{
    tape_make_current(before);
    for (int i = 0; i < FUZZ_LEAVES; i++)
        tape_free(f->leaf[i]);
    tape_clear();
    tape_destroy(f->own);
    tape_destroy(f->other);
    if (f->memory.live != 0 || f->memory.bytes != 0)
        complain("seed %lu: %ld blocks of %ld bytes are left", (unsigned long)f->seed, (long)f->memory.live,
                 (long)f->memory.bytes);
}

void fuzz_session(uint64_t seed, int steps)
{
    struct fuzz f;
    begin(&f, seed);
    tape *before = tape_make_current(f.own);
    if (!f.own || !f.other)
        steps = 0; /* memory was refused before the first call */
    for (f.step = 0; f.step < steps; f.step++) {
        if (fuzz_chance(&f, 3))
            fuzz_act(&f);
        else
            fuzz_call(&f);
        if (!fuzz_chance(&f, 6))
            tape_clear();
    }
    end(&f, before);
}
