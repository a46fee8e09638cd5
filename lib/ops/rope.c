/* Rotary positions as an op: pairs of elements turned by an angle that grows with the row. */
#include <math.h>

#include "region.h"

struct rope {
    double base, direction; /* direction -1 turns back */
    int64_t offset, interleaved;
};

#define DEFINE(name, type)                                                                                             \
    static void turn_##name(const struct rope *r, int64_t depth, const double *turns, const void *from, void *to)      \
    {                                                                                                                  \
        const type *x = from;                                                                                          \
        type *y = to;                                                                                                  \
        const int64_t half = depth / 2, step = r->interleaved ? 2 : 1, apart = r->interleaved ? 1 : half;              \
        for (int64_t i = 0; i < half; i++) {                                                                           \
            const type c = (type)turns[2 * i], s = (type)turns[2 * i + 1], a = x[i * step], b = x[i * step + apart];   \
            y[i * step] = a * c - b * s;                                                                               \
            y[i * step + apart] = a * s + b * c;                                                                       \
        }                                                                                                              \
    }
DEFINE(f32, float)
DEFINE(f64, double)

/* The cosine and sine of each pair's angle at a position. */
static void fill_turns(const struct rope *r, int64_t depth, int64_t position, double *turns)
{
    for (int64_t i = 0; i < depth / 2; i++) {
        double angle = (double)position * pow(r->base, -2 * (double)i / (double)depth);
        turns[2 * i] = cos(angle);
        turns[2 * i + 1] = r->direction * sin(angle);
    }
}

bool tape__rope_forward(tape__call *call)
{
    const struct rope *r = call->attr;
    const tape__node *x = call->in[0];
    const tape__layout *layout = x->layout;
    const int rank = layout->rank;
    if (!tape__check_float(call->t, x))
        return false;
    if (rank < 2 || layout->size[rank - 1] % 2 != 0)
        return tape__error(call->t, TAPE_ERROR_SHAPE, "expects [..., T, D] with an even D, got %s",
                           TAPE__LAYOUT_TEXT(layout));
    if (!(r->base > 0) || !isfinite(r->base))
        return tape__error(call->t, TAPE_ERROR_ARGUMENT, "base is %g, not positive and finite", r->base);
    const int64_t rows = layout->size[rank - 2], depth = layout->size[rank - 1], limit = INT64_C(1) << 52;
    if (r->offset < -limit || r->offset > limit)
        return tape__error(call->t, TAPE_ERROR_ARGUMENT, "offset %lld is beyond 2^52", (long long)r->offset);
    const char *data = tape__dense_data(call->t, x);
    tape__node *y = tape__output(call, (tape_dtype)x->dtype, rank, layout->size);
    double *turns = tape__scratch(call->t, (size_t)depth * sizeof *turns + 1);
    if (!data || !y || !turns)
        return false;
    const int64_t row = depth * (int64_t)tape_dtype_size((tape_dtype)x->dtype), all = layout->numel;
    for (int64_t t = 0; t < rows && all > 0; t++) {
        fill_turns(r, depth, t + r->offset, turns);
        for (int64_t i = t; i < all / depth; i += rows)
            (x->dtype == TAPE_F32 ? turn_f32 : turn_f64)(r, depth, turns, data + i * row, (char *)y->data + i * row);
    }
    return true;
}

void tape__rope_vjp(tape__vjp *v)
{
    struct rope back = *(const struct rope *)v->attr;
    back.direction = -back.direction;
    v->gx[0] = tape__run(TAPE__OP_rope, v->gy, 1, &back, sizeof back);
}

tape_tensor tape_rope(tape_tensor x, const tape_rope_options *options)
{
    struct rope attr = {.base = 10000, .direction = 1};
    if (options) {
        attr.base = options->base != 0 ? options->base : attr.base;
        attr.offset = options->offset;
        attr.interleaved = options->interleaved;
    }
    return tape__run(TAPE__OP_rope, &x, 1, &attr, sizeof attr);
}
