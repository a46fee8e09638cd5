/* Jacobians and Hessians, whole and times a vector, from sweeps. Knows how to put sweeps together, not how they run. */
#include <string.h>

#include "sweep.h"
#include "tape/autodiff.h"

/* ---- products ---------------------------------------------------------------------------------------------------- */

tape_status tape_vjp(tape_tensor y, tape_tensor cotangent, const tape_tensor *xs, int m,
                     const tape_grad_options *options, tape_tensor *out)
{
    return tape_grad(&y, 1, &cotangent, xs, m, options, out);
}

/* Recording although the user paused: what is recorded ends with the call. */
typedef struct frame {
    tape *t;
    uint32_t count;
    int paused;
    bool keep; /* create_graph */
    const char *before;
} frame;

static bool open_frame(frame *f, const char *name, bool create_graph)
{
    tape *t = tape__begin(name);
    if (!t)
        return false;
    *f = (frame){t, t->count, t->paused, create_graph && t->paused == 0, tape__enter(t, name)};
    t->paused = 0;
    return true;
}

static bool close_frame(frame *f, tape_tensor *results, int n)
{
    tape *t = f->t;
    bool ok = t->status == TAPE_OK;
    t->paused = f->paused;
    t->composite_depth--;
    t->op_name = f->before;
    if (ok && !f->keep)
        ok = tape__truncate_keeping(t, f->count, results, n);
    else if (!ok)
        tape__truncate(t, f->count);
    for (int i = 0; i < n && !ok; i++)
        results[i] = TAPE_NULL;
    return ok;
}

/* g and v, m of each, become those pairs of which neither is left out; returns how many. */
static int pair_up(tape_tensor *g, tape_tensor *v, int m)
{
    int connected = 0;
    for (int i = 0; i < m; i++)
        if (!tape_is_none(g[i]) && !tape_is_none(v[i])) {
            g[connected] = g[i];
            v[connected++] = v[i];
        }
    return connected;
}

static void multiply_hessian(const frame *f, tape_tensor y, const tape_tensor *xs, int m, tape_tensor *g,
                             tape_tensor *v, tape_tensor *out)
{
    const tape_grad_options recorded = {.create_graph = true}, plain = {.create_graph = f->keep};
    bool *depends = (bool *)(void *)(v + m);
    if (tape_grad(&y, 1, NULL, xs, m, &recorded, g) != TAPE_OK)
        return;
    for (int i = 0; i < m; i++)
        depends[i] = !tape_is_none(g[i]);
    int connected = pair_up(g, v, m);
    for (int i = 0; i < m; i++)
        out[i] = TAPE_NONE;
    if (connected && tape_grad(g, connected, v, xs, m, &plain, out) != TAPE_OK)
        return;
    for (int i = 0; i < m; i++)
        if (depends[i] && tape_is_none(out[i]))
            out[i] = tape_zeros_like(xs[i]);
}

tape_status tape_hvp(tape_tensor y, const tape_tensor *xs, int m, const tape_tensor *vs,
                     const tape_grad_options *options, tape_tensor *out)
{
    for (int i = 0; i < m; i++)
        out[i] = TAPE_NULL;
    frame f;
    if (!open_frame(&f, "hvp", options && options->create_graph))
        return tape_last_status();
    size_t bytes = m > 0 ? (size_t)m * (2 * sizeof(tape_tensor) + sizeof(bool)) : 0;
    tape_tensor *g = bytes && vs ? tape__arena_get(&f.t->arena, bytes) : NULL;
    if (!bytes || !vs)
        tape__error(f.t, TAPE_ERROR_ARGUMENT, "needs at least one x and its vector, got m = %d", m);
    else if (!g)
        tape__error(f.t, TAPE_ERROR_MEMORY, "out of memory for %d vectors", m);
    if (g) {
        memcpy(g + m, vs, (size_t)m * sizeof *vs);
        multiply_hessian(&f, y, xs, m, g, g + m, out);
        tape__arena_put(&f.t->arena, g, bytes);
    }
    close_frame(&f, out, m);
    return f.t->status;
}

/* ---- Jacobians --------------------------------------------------------------------------------------------------- */

/* J[b, r, c] = d y[b, r] / d x[b, c]; without batches b counts to 1. */
typedef struct jacobian {
    tape *t;
    tape_tensor y, x;
    int64_t samples, rows, columns;
    bool by_columns, record;
    tape_shape shape; /* of the result */
} jacobian;

/* A user's op that can only be differentiated in reverse, once. */
static bool has_forward_mode(const tape *t, uint32_t low, uint32_t top)
{
    for (uint32_t slot = low; slot <= top; slot++) {
        const tape__node *node = tape__at(t, slot);
        const tape_custom_op *custom = node->op == TAPE__OP_CUSTOM ? node->u.extra->custom : NULL;
        if (custom && custom->first_order && !custom->jvp)
            return false;
    }
    return true;
}

/* The result's shape; false after an error. */
static bool measure(jacobian *j, const tape__layout *y, const tape__layout *x, bool batched)
{
    int skip = batched ? 1 : 0;
    if (batched && (!y->rank || !x->rank || y->size[0] != x->size[0]))
        return tape__error(j->t, TAPE_ERROR_SHAPE, "batched: axis 0 of %s and %s does not count the same samples",
                           TAPE__LAYOUT_TEXT(y), TAPE__LAYOUT_TEXT(x));
    if (y->rank + x->rank - skip > TAPE_MAX_RANK)
        return tape__error(j->t, TAPE_ERROR_SHAPE, "%s by %s has more than %d axes", TAPE__LAYOUT_TEXT(y),
                           TAPE__LAYOUT_TEXT(x), TAPE_MAX_RANK);
    j->samples = batched ? y->size[0] : 1;
    j->rows = j->columns = 1;
    for (int i = 0; i < y->rank; i++) {
        j->shape.size[j->shape.rank++] = y->size[i];
        j->rows *= i < skip ? 1 : y->size[i];
    }
    for (int i = skip; i < x->rank; i++) {
        j->shape.size[j->shape.rank++] = x->size[i];
        j->columns *= x->size[i];
    }
    return true;
}

static bool plan(jacobian *j, const tape_jacobian_options *options)
{
    tape *t = j->t;
    uint32_t ys = tape__resolve(t, j->y, 0), xs = ys == TAPE__NO_SLOT ? ys : tape__resolve(t, j->x, 1);
    if (xs == TAPE__NO_SLOT)
        return false;
    const tape__node *y = tape__at(t, ys), *x = tape__at(t, xs);
    tape_jacobian_mode mode = options ? options->mode : TAPE_JACOBIAN_AUTO;
    if (y->dtype > TAPE_F64 || x->dtype > TAPE_F64 || (mode == TAPE_JACOBIAN_COLUMNS && y->dtype != x->dtype))
        return tape__error(t, TAPE_ERROR_DTYPE, "of %s by %s", tape_dtype_name((tape_dtype)y->dtype),
                           tape_dtype_name((tape_dtype)x->dtype));
    if (!measure(j, y->layout, x->layout, options && options->batched))
        return false;
    bool fewer = j->columns < j->rows && y->dtype == x->dtype && has_forward_mode(t, xs, ys);
    j->by_columns = mode == TAPE_JACOBIAN_COLUMNS || (mode == TAPE_JACOBIAN_AUTO && fewer);
    return true;
}

/* Ones at `entry` of every sample of a tensor like y (or x), zeros elsewhere. */
static tape_tensor unit(const jacobian *j, int64_t entry)
{
    tape_tensor like = j->by_columns ? j->x : j->y;
    tape_tensor e = tape_zeros(tape_dtype_of(like), tape_shape_of(like));
    int64_t entries = j->by_columns ? j->columns : j->rows;
    void *data = tape_is_null(e) ? NULL : tape__at(j->t, e.slot)->data;
    for (int64_t b = 0; data && b < j->samples; b++) {
        if (tape__at(j->t, e.slot)->dtype == TAPE_F64)
            ((double *)data)[b * entries + entry] = 1;
        else
            ((float *)data)[b * entries + entry] = 1;
    }
    return e;
}

/* One row or column of every sample. */
static tape_tensor sweep(const jacobian *j, int64_t entry)
{
    const tape_grad_options options = {.create_graph = j->record};
    tape_tensor e = unit(j, entry), out = TAPE_NULL;
    if (tape_is_null(e))
        return e;
    if (j->by_columns)
        tape_jvp(&j->y, 1, &j->x, 1, &e, &options, &out);
    else
        tape_grad(&j->y, 1, &e, &j->x, 1, &options, &out);
    return out;
}

static void store(const jacobian *j, tape__node *result, const tape__node *part, int64_t entry)
{
    size_t item = tape_dtype_size((tape_dtype)result->dtype);
    int64_t length = j->by_columns ? j->rows : j->columns;
    for (int64_t b = 0; b < j->samples; b++)
        for (int64_t k = 0; k < length; k++) {
            int64_t row = j->by_columns ? k : entry, column = j->by_columns ? entry : k;
            memcpy((char *)result->data + (size_t)((b * j->rows + row) * j->columns + column) * item,
                   (const char *)part->data + (size_t)(b * length + k) * item, item);
        }
}

/* Sweep by sweep into one tensor. */
static tape_tensor fill(const jacobian *j)
{
    tape *t = j->t;
    int64_t entries = j->by_columns ? j->columns : j->rows;
    tape_tensor result = tape_zeros(tape_dtype_of(j->x), j->shape);
    uint32_t count = t->count;
    for (int64_t i = 0; i < entries && t->status == TAPE_OK; i++) {
        tape_tensor part = sweep(j, i);
        if (tape_is_none(part))
            return part;
        if (!tape_is_null(part))
            store(j, tape__at(t, result.slot), tape__at(t, part.slot), i);
        tape__truncate(t, count);
    }
    return result;
}

/* The same with records: stacked. */
static tape_tensor stack(const jacobian *j)
{
    int64_t entries = j->by_columns ? j->columns : j->rows, length = j->by_columns ? j->rows : j->columns;
    if (entries == 0)
        return tape_zeros(tape_dtype_of(j->x), j->shape);
    if (entries > UINT16_MAX) {
        tape__error(j->t, TAPE_ERROR_UNSUPPORTED, "create_graph: %lld sweeps are more than %d", (long long)entries,
                    UINT16_MAX);
        return TAPE_NULL;
    }
    size_t bytes = (size_t)entries * sizeof(tape_tensor);
    tape_tensor *parts = tape__arena_get(&j->t->arena, bytes), result = TAPE_NULL;
    bool unconnected = false;
    for (int64_t i = 0; i < entries && parts && !unconnected; i++) {
        parts[i] = sweep(j, i);
        unconnected = tape_is_none(parts[i]);
        if (!unconnected)
            parts[i] = tape_reshape(parts[i], TAPE_SHAPE(j->samples, length));
    }
    if (!parts)
        tape__error(j->t, TAPE_ERROR_MEMORY, "out of memory for %lld parts", (long long)entries);
    else if (!unconnected)
        result = tape_reshape(tape_stack(parts, (int)entries, j->by_columns ? 2 : 1), j->shape);
    if (parts)
        tape__arena_put(&j->t->arena, parts, bytes);
    return unconnected ? TAPE_NONE : result;
}

tape_tensor tape_jacobian(tape_tensor y, tape_tensor x, const tape_jacobian_options *options)
{
    frame f;
    tape_tensor result = TAPE_NULL;
    if (!open_frame(&f, "jacobian", options && options->create_graph))
        return TAPE_NULL;
    jacobian j = {.t = f.t, .y = y, .x = x, .record = f.keep};
    if (plan(&j, options))
        result = j.record ? stack(&j) : fill(&j);
    close_frame(&f, &result, 1);
    return result;
}

tape_tensor tape_hessian(tape_tensor y, tape_tensor x, const tape_jacobian_options *options)
{
    frame f;
    bool batched = options && options->batched;
    tape_tensor g = TAPE_NULL, result = TAPE_NULL;
    if (!open_frame(&f, "hessian", options && options->create_graph))
        return TAPE_NULL;
    const tape_grad_options recorded = {.create_graph = true};
    tape_jacobian_options inner = options ? *options : (tape_jacobian_options){0};
    inner.create_graph = f.keep;
    tape_tensor cotangent = batched ? tape_ones_like(y) : TAPE_NONE;
    if (tape_grad(&y, 1, &cotangent, &x, 1, &recorded, &g) == TAPE_OK) {
        result = tape_is_none(g) ? g : tape_jacobian(g, x, &inner);
        if (tape_is_none(result) && !tape_is_none(g)) {
            jacobian j = {.t = f.t, .y = g, .x = x};
            result = plan(&j, &inner) ? tape_zeros(tape_dtype_of(x), j.shape) : TAPE_NULL;
        }
    }
    close_frame(&f, &result, 1);
    return result;
}
