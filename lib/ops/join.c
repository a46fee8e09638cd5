/* Ops that put tensors together: concat and stack, and what is built by concatenation: pad, roll, repeat, tile. */
#include <math.h>
#include <string.h>

#include "adjoint.h"
#include "kernels/any/cast.h"
#include "kernels/any/copy.h"
#include "region.h"
#include "short.h"

/* ---- concat, stack ----------------------------------------------------------------------------------------------- */

/* Copy x into y from index `at` of `axis` on; x has y's rank, or one less where `stacked`. */
static void copy_into(tape__call *call, const tape__node *y, int axis, int64_t at, const tape__node *x, bool stacked)
{
    int64_t stride[TAPE_MAX_RANK];
    for (int i = 0; i < x->layout->rank; i++)
        stride[i] = y->layout->stride[i + (stacked && i >= axis)];
    size_t item = tape_dtype_size(y->dtype), offset = (size_t)(at * y->layout->stride[axis]) * item;
    tape__copy(tape__threads_of(call->t), item, x->layout->rank, x->layout->size, x->data, x->layout->stride,
               (unsigned char *)y->data + offset, stride);
}

/* All inputs have input 0's dtype and rank, and its sizes but for those of `axis` (-1: no exception). */
static bool check_alike(tape__call *call, int axis)
{
    const tape__node *first = call->in[0];
    for (int i = 1; i < call->n_in; i++) {
        const tape__node *x = call->in[i];
        if (x->dtype != first->dtype)
            return tape__error(call->t, TAPE_ERROR_DTYPE, "expects one dtype, got %s and %s",
                               tape_dtype_name(first->dtype), tape_dtype_name(x->dtype));
        bool alike = x->layout->rank == first->layout->rank;
        for (int k = 0; alike && k < x->layout->rank; k++)
            alike = k == axis || x->layout->size[k] == first->layout->size[k];
        if (!alike)
            return tape__error(call->t, TAPE_ERROR_SHAPE, "tensor %d has shape %s, which does not fit %s", i,
                               TAPE__LAYOUT_TEXT(x->layout), TAPE__LAYOUT_TEXT(first->layout));
    }
    return true;
}

bool tape__concat_forward(tape__call *call)
{
    const tape__node *first = call->in[0];
    int axis;
    if (!tape__check_axis(call->t, *(const int64_t *)call->attr, first->layout, &axis) || !check_alike(call, axis))
        return false;
    int64_t size[TAPE_MAX_RANK], total = 0, at = 0;
    memcpy(size, first->layout->size, sizeof size);
    for (int i = 0; i < call->n_in; i++)
        if (!tape__add_size(total, call->in[i]->layout->size[axis], &total))
            return tape__error(call->t, TAPE_ERROR_SHAPE, "the result is too large");
    size[axis] = total;
    tape__node *y = tape__output(call, first->dtype, first->layout->rank, size);
    if (!y)
        return false;
    for (int i = 0; i < call->n_in; i++) {
        copy_into(call, y, axis, at, call->in[i], false);
        at += call->in[i]->layout->size[axis];
    }
    return true;
}

void tape__concat_vjp(tape__vjp *v)
{
    int axis = (int)*(const int64_t *)v->attr;
    int64_t at = 0;
    for (int i = 0; i < v->n_in; i++) {
        int64_t length = tape_size(v->x[i], axis);
        if (v->needs[i])
            v->gx[i] = tape_narrow(v->gy[0], axis, at, length);
        at += length;
    }
}

static tape_tensor join(int op, const tape_tensor *xs, int n, int axis)
{
    if (n < 1) {
        tape *t = tape__begin(tape__ops[op].name);
        if (t)
            tape__error(t, TAPE_ERROR_ARGUMENT, "expects at least one tensor, got %d", n);
        return TAPE_NULL;
    }
    int64_t attr = axis;
    return tape__run(op, xs, n, &attr, sizeof attr);
}

tape_tensor tape_concat(const tape_tensor *xs, int n, int axis)
{
    return join(TAPE__OP_concat, xs, n, axis);
}

bool tape__stack_forward(tape__call *call)
{
    const tape__layout *x = call->in[0]->layout;
    int64_t wanted = *(const int64_t *)call->attr;
    if (x->rank == TAPE_MAX_RANK)
        return tape__error(call->t, TAPE_ERROR_SHAPE, "%s has no room for another axis", TAPE__LAYOUT_TEXT(x));
    int axis = wanted < -TAPE_MAX_RANK || wanted > TAPE_MAX_RANK ? -1 : tape__axis((int)wanted, x->rank + 1);
    if (axis < 0)
        return tape__error(call->t, TAPE_ERROR_ARGUMENT, "axis %lld is out of range for a new axis of %s",
                           (long long)wanted, TAPE__LAYOUT_TEXT(x));
    if (!check_alike(call, -1))
        return false;
    int64_t size[TAPE_MAX_RANK];
    for (int i = 0; i <= x->rank; i++)
        size[i] = i == axis ? call->n_in : x->size[i - (i > axis)];
    tape__node *y = tape__output(call, call->in[0]->dtype, x->rank + 1, size);
    if (!y)
        return false;
    for (int i = 0; i < call->n_in; i++)
        copy_into(call, y, axis, i, call->in[i], true);
    return true;
}

void tape__stack_vjp(tape__vjp *v)
{
    for (int i = 0; i < v->n_in; i++)
        if (v->needs[i])
            v->gx[i] = tape_select(v->gy[0], (int)*(const int64_t *)v->attr, i);
}

tape_tensor tape_stack(const tape_tensor *xs, int n, int axis)
{
    return join(TAPE__OP_stack, xs, n, axis);
}

/* ---- pad --------------------------------------------------------------------------------------------------------- */

struct pad_constant {
    int64_t before[TAPE_MAX_RANK], after[TAPE_MAX_RANK];
    double value;
};

/* Set n elements to the one at `data`, which is the first of them. */
static void spread(unsigned char *data, size_t item, size_t n)
{
    for (size_t done = 1; done < n; done *= 2)
        memcpy(data + done * item, data, (done < n - done ? done : n - done) * item);
}

/* A negative amount crops, so that x's part in y and y's part in x are found alike. */
bool tape__pad_constant_forward(tape__call *call)
{
    const struct pad_constant *attr = call->attr;
    const tape__node *x = call->in[0];
    const tape__layout *layout = x->layout;
    int64_t size[TAPE_MAX_RANK], part[TAPE_MAX_RANK], from = 0;
    for (int i = 0; i < layout->rank; i++) {
        int64_t crop = (attr->before[i] < 0 ? attr->before[i] : 0) + (attr->after[i] < 0 ? attr->after[i] : 0);
        if (layout->size[i] + crop < 0 ||
            __builtin_add_overflow(layout->size[i] + attr->before[i], attr->after[i], &size[i]))
            return tape__error(call->t, TAPE_ERROR_ARGUMENT, "cannot pad axis %d of %s by %lld and %lld", i,
                               TAPE__LAYOUT_TEXT(layout), (long long)attr->before[i], (long long)attr->after[i]);
        part[i] = layout->size[i] + crop;
        from -= attr->before[i] < 0 ? attr->before[i] * layout->stride[i] : 0;
    }
    tape__node *y = tape__output(call, x->dtype, layout->rank, size);
    if (!y || y->layout->numel == 0)
        return y != NULL;
    int64_t to = 0;
    for (int i = 0; i < layout->rank; i++)
        to += attr->before[i] > 0 ? attr->before[i] * y->layout->stride[i] : 0;
    size_t item = tape_dtype_size(x->dtype);
    unsigned char *data = y->data;
    if (attr->value == 0 && !signbit(attr->value)) {
        memset(data, 0, (size_t)y->layout->numel * item);
    } else {
        tape__cast(NULL, 0, NULL, TAPE_F64, &attr->value, NULL, (tape_dtype)x->dtype, data);
        spread(data, item, (size_t)y->layout->numel);
    }
    tape__copy(tape__threads_of(call->t), item, layout->rank, part,
               (const unsigned char *)x->data + from * (int64_t)item, layout->stride, data + to * (int64_t)item,
               y->layout->stride);
    return true;
}

void tape__pad_constant_vjp(tape__vjp *v)
{
    struct pad_constant attr = *(const struct pad_constant *)v->attr;
    for (int i = 0; i < TAPE_MAX_RANK; i++) {
        attr.before[i] = -attr.before[i];
        attr.after[i] = -attr.after[i];
    }
    attr.value = 0;
    v->gx[0] = tape__run(TAPE__OP_pad_constant, v->gy, 1, &attr, sizeof attr);
}

/* The part of g that x came to lie in, as a view. Where x was cropped the rest is zeros: by handles. */
bool tape__pad_constant_fused(tape__fused *f)
{
    tape *t = f->t;
    const struct pad_constant *attr = f->attr;
    tape__node *x = tape__at(t, f->in[0]);
    const tape__layout *g = f->g_layout;
    int64_t from = 0;
    for (int i = 0; i < g->rank; i++) {
        if (attr->before[i] < 0 || attr->after[i] < 0)
            return false;
        from += attr->before[i] * g->stride[i];
    }
    const tape__layout *part = tape__layout_strided(&t->layouts, g->rank, x->layout->size, g->stride);
    if (!part)
        return tape__error(t, TAPE_ERROR_MEMORY, "out of memory for a layout");
    size_t item = tape_dtype_size((tape_dtype)x->dtype);
    return tape__contribute(t, x, (const unsigned char *)f->g + (x->layout->numel ? (size_t)from * item : 0), part,
                            f->holder);
}

/* The part that continues x by n elements beyond one end. Reflection leaves out the end itself. */
static tape_tensor continuation(tape_tensor x, int axis, int64_t n, bool before, tape_pad_mode mode)
{
    int64_t size = tape_size(x, axis);
    tape_shape shape = tape_shape_of(x);
    shape.size[axis] = n;
    switch (mode) {
    case TAPE_PAD_REFLECT:
        return tape_flip(tape_narrow(x, axis, before ? 1 : size - 1 - n, n), TAPE_AXES(axis));
    case TAPE_PAD_REPLICATE:
        return tape_expand(tape_narrow(x, axis, before ? 0 : size - 1, 1), shape);
    default:
        return tape_narrow(x, axis, before ? size - n : 0, n);
    }
}

static tape_tensor extend(tape_tensor x, int axis, int64_t before, int64_t after, tape_pad_mode mode)
{
    tape_tensor parts[3];
    int n = 0;
    if (before > 0)
        parts[n++] = continuation(x, axis, before, true, mode);
    parts[n++] = x;
    if (after > 0)
        parts[n++] = continuation(x, axis, after, false, mode);
    return n == 1 ? x : tape_concat(parts, n, axis);
}

/* The largest amount that the mode can add to an axis of n elements. */
static int64_t largest_padding(tape_pad_mode mode, int64_t n)
{
    switch (mode) {
    case TAPE_PAD_REFLECT:
        return n > 0 ? n - 1 : 0;
    case TAPE_PAD_REPLICATE:
        return n > 0 ? (int64_t)1 << 60 : 0;
    case TAPE_PAD_CIRCULAR:
        return n;
    default:
        return (int64_t)1 << 60;
    }
}

static bool check_padding(tape *t, const tape__layout *x, const tape_pad_options *o)
{
    if ((unsigned)o->mode > TAPE_PAD_CIRCULAR)
        return tape__error(t, TAPE_ERROR_ARGUMENT, "%d is no mode of padding", (int)o->mode);
    for (int i = 0; i < TAPE_MAX_RANK; i++) {
        const int64_t before = o->before[i], after = o->after[i], n = i < x->rank ? x->size[i] : 0;
        if (before == 0 && after == 0)
            continue;
        int64_t high = i < x->rank ? largest_padding(o->mode, n) : 0;
        int64_t low = o->mode == TAPE_PAD_CONSTANT ? -n : 0;
        if (before < low || before > high || after < low || after > high)
            return tape__error(t, TAPE_ERROR_ARGUMENT, "cannot pad axis %d of %s by %lld and %lld in this mode", i,
                               TAPE__LAYOUT_TEXT(x), (long long)before, (long long)after);
    }
    return true;
}

static tape_tensor pad(tape *t, tape_tensor x, const tape_pad_options *o)
{
    const uint32_t slot = tape__resolve(t, x, 0);
    if (slot == TAPE__NO_SLOT || !check_padding(t, tape__at(t, slot)->layout, o))
        return TAPE_NULL;
    if (o->mode == TAPE_PAD_CONSTANT) {
        struct pad_constant attr = {.value = o->value};
        memcpy(attr.before, o->before, sizeof attr.before);
        memcpy(attr.after, o->after, sizeof attr.after);
        return tape__run(TAPE__OP_pad_constant, &x, 1, &attr, sizeof attr);
    }
    for (int i = 0, rank = tape__at(t, slot)->layout->rank; i < rank; i++)
        x = extend(x, i, o->before[i], o->after[i], o->mode);
    return x;
}

/* The shape with the options' amounts, none of them negative; NULL for any other, and one that is new. */
static const tape__layout *padded_layout(const tape *t, const tape__layout *x, const tape_pad_options *o)
{
    int64_t size[TAPE_MAX_RANK], amounts = 0, beyond = 0;
    for (int i = 0; i < x->rank; i++) {
        amounts |= o->before[i] | o->after[i];
        size[i] = (int64_t)((uint64_t)x->size[i] + (uint64_t)o->before[i] + (uint64_t)o->after[i]);
    }
    for (int i = x->rank; i < TAPE_MAX_RANK; i++)
        beyond |= o->before[i] | o->after[i];
    const bool sound = !beyond && amounts >= 0 && amounts < (int64_t)1 << 60;
    return TAPE__LIKELY(sound) ? tape__layout_recent(&t->layouts, x->rank, size) : NULL;
}

/* With zeros, by the short way; null where that is not all there is to do, or is an error. */
TAPE__INLINE tape_tensor pad_shortly(tape *t, tape_tensor x, const tape_pad_options *o)
{
    const bool zeros = o->mode == TAPE_PAD_CONSTANT && o->value == 0 && !signbit(o->value);
    uint32_t slot;
    const tape__node *inner = zeros ? tape__find_made(t, x) : NULL;
    const tape__layout *layout = inner ? padded_layout(t, inner->layout, o) : NULL;
    tape__node *y = layout && inner->layout->numel ? tape__short_node(t, inner, &slot) : NULL;
    if (TAPE__UNLIKELY(!y))
        return TAPE_NULL;
    const size_t item = tape__item_size(inner->dtype), bytes = (size_t)layout->numel * item;
    const size_t held = bytes > 48 ? (bytes + TAPE__UNIT_BYTES - 1) & -(size_t)TAPE__UNIT_BYTES : bytes;
    tape__extra *extra = tape__new_extra(t, 1, sizeof(struct pad_constant), NULL);
    unsigned char *data = extra ? tape__arena_get(&t->arena, bytes) : NULL;
    if (TAPE__UNLIKELY(!data)) {
        if (extra)
            tape__arena_put(&t->arena, extra, extra->bytes);
        return TAPE_NULL;
    }
    struct pad_constant *attr = tape__attr_to_write(extra);
    memcpy(attr->before, o->before, sizeof attr->before);
    memcpy(attr->after, o->after, sizeof attr->after);
    attr->value = 0;
    int64_t to = 0;
    for (int i = 0; i < layout->rank; i++)
        to += o->before[i] * layout->stride[i];
    memset(data, 0, held);
    tape__copy(tape__threads_of(t), item, layout->rank, inner->layout->size, inner->data, inner->layout->stride,
               data + to * (int64_t)item, layout->stride);
    y->layout = layout;
    y->data = data;
    return tape__short_record_extra(t, TAPE__OP_pad_constant, y, slot, TAPE__OWNS_BLOCK, inner, x.slot, extra);
}

static TAPE__NOINLINE tape_tensor pad_any(tape_tensor x, const tape_pad_options *options)
{
    tape *t = tape__begin("pad");
    if (!t)
        return TAPE_NULL;
    const char *before = tape__enter(t, "pad");
    return tape__leave(t, before, TAPE__OP_pad, pad(t, x, options));
}

tape_tensor tape_pad(tape_tensor x, const tape_pad_options *options)
{
    static const tape_pad_options nothing;
    const tape_pad_options *o = options ? options : &nothing;
    tape *t = tape__tls;
    const bool plain = t && !t->detour && !t->paused && t->wrong_factor == 0;
    const tape_tensor y = TAPE__LIKELY(plain) ? pad_shortly(t, x, o) : TAPE_NULL;
    return TAPE__LIKELY(!tape_is_null(y)) ? y : pad_any(x, o);
}

/* ---- roll, repeat, tile ------------------------------------------------------------------------------------------ */

tape_tensor tape_roll(tape_tensor x, int axis, int64_t shift)
{
    tape *t = tape__begin("roll");
    if (!t)
        return TAPE_NULL;
    const char *before = tape__enter(t, "roll");
    int64_t n = tape_size(x, axis), k = n > 0 ? (shift % n + n) % n : 0;
    tape_tensor parts[2] = {tape_narrow(x, axis, n - k, k), tape_narrow(x, axis, 0, n - k)};
    return tape__leave(t, before, TAPE__OP_roll, tape_concat(parts, 2, axis));
}

/* x repeated `count` times along an axis of its own that is then merged with the repeated one. */
static tape_tensor repeat_axis(tape_tensor x, int axis, int64_t count)
{
    tape_shape shape = tape_shape_of(x), blocks = {4, {1, count, 1, 1}};
    for (int i = 0; i < axis; i++)
        blocks.size[0] *= shape.size[i];
    for (int i = axis; i < shape.rank; i++)
        blocks.size[2 + (i > axis)] *= shape.size[i];
    tape_tensor grouped = tape_reshape(x, TAPE_SHAPE(blocks.size[0], 1, blocks.size[2], blocks.size[3]));
    int64_t size;
    if (!tape__mul_size(shape.size[axis], count, &size))
        size = INT64_MAX;
    shape.size[axis] = size;
    return tape_reshape(tape_expand(grouped, blocks), shape);
}

/* counts may have fewer axes than x (leading ones are 1) or more (x gets leading axes of size 1). */
static tape_tensor tile(tape *t, tape_tensor x, tape_shape counts)
{
    tape_shape shape = tape_shape_of(x);
    int rank = counts.rank > shape.rank ? counts.rank : shape.rank;
    tape_shape wide = {rank, {0}};
    for (int i = 0; i < rank; i++)
        wide.size[i] = i < rank - shape.rank ? 1 : shape.size[i - (rank - shape.rank)];
    tape_tensor y = tape_reshape(x, wide);
    for (int i = 0; i < counts.rank; i++) {
        if (counts.size[i] < 0) {
            tape__error(t, TAPE_ERROR_ARGUMENT, "cannot repeat %lld times", (long long)counts.size[i]);
            return TAPE_NULL;
        }
        if (counts.size[i] != 1)
            y = repeat_axis(y, rank - counts.rank + i, counts.size[i]);
    }
    return y;
}

static tape_tensor tile_as(const char *name, int op, tape_tensor x, tape_shape counts, bool all_axes)
{
    tape *t = tape__begin(name);
    if (!t)
        return TAPE_NULL;
    const char *before = tape__enter(t, name);
    tape_tensor y = TAPE_NULL;
    int rank = tape_rank(x);
    if (counts.rank < (all_axes ? rank : 0) || counts.rank > TAPE_MAX_RANK)
        tape__error(t, TAPE_ERROR_ARGUMENT, "expects %d to %d counts, got %d", all_axes ? rank : 0, TAPE_MAX_RANK,
                    counts.rank);
    else
        y = tile(t, x, counts);
    return tape__leave(t, before, op, y);
}

tape_tensor tape_repeat(tape_tensor x, tape_shape counts)
{
    return tile_as("repeat", TAPE__OP_repeat, x, counts, true);
}

tape_tensor tape_tile(tape_tensor x, tape_shape counts)
{
    return tile_as("tile", TAPE__OP_tile, x, counts, false);
}
