/* Views that show some of the elements: slice, narrow, select, diagonal, unfold, split, chunk. Each says where its
 * region lies; that gives the view, and the place where its VJP puts the cotangent. */
#include <string.h>

#include "adjoint.h"
#include "kernels/any/index.h"
#include "region.h"
#include "short.h"

/* Where the op's output lies in a tensor of layout x; false after an error. */
typedef bool find_region(tape *t, const tape__layout *x, const void *attr, tape__region *region);

static void start_whole(tape__region *region, const tape__layout *x)
{
    region->offset = 0;
    region->rank = x->rank;
    for (int i = 0; i < x->rank; i++) {
        region->size[i] = x->size[i];
        region->stride[i] = x->stride[i];
    }
}

static void drop_axis(tape__region *region, int axis)
{
    size_t after = (size_t)(region->rank - axis - 1) * sizeof *region->size;
    memmove(&region->size[axis], &region->size[axis + 1], after);
    memmove(&region->stride[axis], &region->stride[axis + 1], after);
    region->rank--;
}

static bool view_forward(tape__call *call, find_region *find)
{
    tape__region r;
    return find(call->t, call->in[0]->layout, call->attr, &r) &&
           tape__output_view(call, r.offset, (int)r.rank, r.size, r.stride);
}

static void view_vjp(tape__vjp *v, find_region *find)
{
    tape_shape shape = tape_shape_of(v->x[0]);
    const tape__layout *dense = tape__layout_dense(&v->t->layouts, shape.rank, shape.size);
    tape__region r;
    if (!dense)
        tape__error(v->t, TAPE_ERROR_MEMORY, "out of memory");
    else if (find(v->t, dense, v->attr, &r)) {
        tape__into(v, 0);
        v->gx[0] = tape__place_region(v->gy[0], &r, shape);
    }
}

/* The cotangent is added to the region in the adjoint itself. */
struct placing {
    tape__region r;
    const tape__layout *dense, *g_layout;
    const void *g;
    unsigned char *gx;
    unsigned dtype;
    bool accumulate;
};

static bool place(tape *t, const void *arguments)
{
    const struct placing *p = arguments;
    const size_t item = tape__item_size(p->dtype);
    if (!p->accumulate)
        memset(p->gx, 0, (size_t)p->dense->numel * item);
    tape__add_strided(t->kernels, (tape_dtype)p->dtype, (int)p->r.rank, p->r.size, p->gx + (size_t)p->r.offset * item,
                      p->r.stride, p->g, p->g_layout->stride);
    return true;
}

static bool view_fused(tape__fused *f, find_region *find)
{
    tape *t = f->t;
    tape__node *x = tape__at(t, f->in[0]);
    struct placing p;
    p.dense = x->layout->dense;
    p.g_layout = f->g_layout;
    p.g = f->g;
    p.dtype = x->dtype;
    if (!find(t, p.dense, f->attr, &p.r))
        return false;
    p.gx = tape__adjoint_target(t, x, &p.accumulate);
    return p.gx && TAPE__DO(t, place, &p);
}

/* ---- slice ------------------------------------------------------------------------------------------------------- */

struct slice {
    int64_t axis, start, stop, step;
};

/* Python's rule: a negative bound counts from the end, one outside is moved to the nearest end. */
static int64_t clamp_bound(int64_t bound, int64_t n, int64_t low, int64_t high)
{
    bound = bound < 0 && bound >= -n ? bound + n : bound < 0 ? low : bound;
    return bound > high ? high : bound;
}

static bool slice_region(tape *t, const tape__layout *x, const void *attr, tape__region *r)
{
    const struct slice *s = attr;
    int axis;
    if (!tape__check_axis(t, s->axis, x, &axis))
        return false;
    if (s->step == 0)
        return tape__error(t, TAPE_ERROR_ARGUMENT, "the step is 0");
    start_whole(r, x);
    int64_t n = x->size[axis], count;
    if (s->step > 0) {
        int64_t start = clamp_bound(s->start, n, 0, n), stop = clamp_bound(s->stop, n, 0, n);
        count = stop > start ? (stop - start - 1) / s->step + 1 : 0;
        r->offset = count ? start * x->stride[axis] : 0;
    } else {
        int64_t start = clamp_bound(s->start, n, -1, n - 1);
        int64_t stop = s->stop == TAPE_END ? -1 : clamp_bound(s->stop, n, -1, n - 1);
        int64_t stride = s->step == INT64_MIN ? INT64_MAX : -s->step;
        count = start > stop ? (start - stop - 1) / stride + 1 : 0;
        r->offset = count ? start * x->stride[axis] : 0;
    }
    r->size[axis] = count;
    if (count > 1)
        r->stride[axis] *= s->step;
    return true;
}

bool tape__slice_forward(tape__call *call)
{
    return view_forward(call, slice_region);
}

void tape__slice_vjp(tape__vjp *v)
{
    view_vjp(v, slice_region);
}

bool tape__slice_fused(tape__fused *f)
{
    return view_fused(f, slice_region);
}

tape_tensor tape_slice(tape_tensor x, int axis, int64_t start, int64_t stop, int64_t step)
{
    struct slice attr = {axis, start, stop, step};
    return tape__run(TAPE__OP_slice, &x, 1, &attr, sizeof attr);
}

/* ---- narrow, select ---------------------------------------------------------------------------------------------- */

struct narrow {
    int64_t axis, start, length;
};

/* The first element, counted from the front of an axis of n; -1 where they do not lie within it. */
static inline int64_t narrow_start(int64_t n, const struct narrow *a)
{
    const int64_t start = a->start < 0 && a->start >= -n ? a->start + n : a->start;
    return start < 0 || start > n || a->length < 0 || a->length > n - start ? -1 : start;
}

static bool narrow_region(tape *t, const tape__layout *x, const void *attr, tape__region *r)
{
    const struct narrow *a = attr;
    int axis;
    if (!tape__check_axis(t, a->axis, x, &axis))
        return false;
    int64_t start = narrow_start(x->size[axis], a);
    if (start < 0)
        return tape__error(t, TAPE_ERROR_ARGUMENT, "%lld elements from %lld do not lie within axis %d of %s",
                           (long long)a->length, (long long)a->start, axis, TAPE__LAYOUT_TEXT(x));
    start_whole(r, x);
    r->size[axis] = a->length;
    r->offset = a->length ? start * x->stride[axis] : 0;
    return true;
}

bool tape__narrow_forward(tape__call *call)
{
    return view_forward(call, narrow_region);
}

void tape__narrow_vjp(tape__vjp *v)
{
    view_vjp(v, narrow_region);
}

bool tape__narrow_fused(tape__fused *f)
{
    return view_fused(f, narrow_region);
}

/* Null where that is not all there is to do, or is an error. */
TAPE__INLINE tape_tensor narrow_shortly(tape_tensor x, const struct narrow *attr)
{
    tape *t = tape__tls;
    uint32_t slot;
    const tape__node *base = TAPE__LIKELY(t && !t->detour && !t->paused) ? tape__find_made(t, x) : NULL;
    if (TAPE__UNLIKELY(!base))
        return TAPE_NULL;
    const tape__layout *whole = base->layout;
    const int64_t axis = attr->axis < 0 ? attr->axis + whole->rank : attr->axis;
    const int64_t start = axis >= 0 && axis < whole->rank ? narrow_start(whole->size[axis], attr) : -1;
    if (TAPE__UNLIKELY(start < 0))
        return TAPE_NULL;
    const tape__layout *layout = tape__layout_narrowed(&t->layouts, whole, (int)axis, attr->length);
    tape__node *y = layout && layout->numel ? tape__short_node(t, base, &slot) : NULL;
    tape__extra *extra = y ? tape__new_extra(t, 1, sizeof *attr, NULL) : NULL;
    if (TAPE__UNLIKELY(!extra))
        return TAPE_NULL;
    memcpy(tape__attr_to_write(extra), attr, sizeof *attr);
    y->layout = layout;
    y->version = base->version;
    y->data = (unsigned char *)base->data + start * whole->stride[axis] * (int64_t)tape__item_size(base->dtype);
    return tape__short_record_extra(t, TAPE__OP_narrow, y, slot, 0, base, x.slot, extra);
}

tape_tensor tape_narrow(tape_tensor x, int axis, int64_t start, int64_t length)
{
    struct narrow attr = {axis, start, length};
    tape_tensor y = narrow_shortly(x, &attr);
    return TAPE__LIKELY(!tape_is_null(y)) ? y : tape__run(TAPE__OP_narrow, &x, 1, &attr, sizeof attr);
}

struct select {
    int64_t axis, index;
};

static bool select_region(tape *t, const tape__layout *x, const void *attr, tape__region *r)
{
    const struct select *a = attr;
    int axis;
    if (!tape__check_axis(t, a->axis, x, &axis))
        return false;
    int64_t n = x->size[axis];
    if (a->index < -n || a->index >= n)
        return tape__error(t, TAPE_ERROR_ARGUMENT, "index %lld is out of range for axis %d of %s", (long long)a->index,
                           axis, TAPE__LAYOUT_TEXT(x));
    start_whole(r, x);
    r->offset = (a->index < 0 ? a->index + n : a->index) * x->stride[axis];
    drop_axis(r, axis);
    return true;
}

bool tape__select_forward(tape__call *call)
{
    return view_forward(call, select_region);
}

void tape__select_vjp(tape__vjp *v)
{
    view_vjp(v, select_region);
}

bool tape__select_fused(tape__fused *f)
{
    return view_fused(f, select_region);
}

tape_tensor tape_select(tape_tensor x, int axis, int64_t index)
{
    struct select attr = {axis, index};
    return tape__run(TAPE__OP_select, &x, 1, &attr, sizeof attr);
}

/* ---- diagonal, unfold -------------------------------------------------------------------------------------------- */

struct diagonal {
    int64_t offset, a, b;
};

static bool diagonal_region(tape *t, const tape__layout *x, const void *attr, tape__region *r)
{
    const struct diagonal *d = attr;
    int a, b;
    if (!tape__check_axis(t, d->a, x, &a) || !tape__check_axis(t, d->b, x, &b))
        return false;
    if (a == b)
        return tape__error(t, TAPE_ERROR_ARGUMENT, "needs two different axes, got %d twice", a);
    int64_t rows = x->size[a], columns = x->size[b], n, offset;
    if (d->offset >= 0) {
        n = d->offset < columns ? columns - d->offset : 0;
        n = n < rows ? n : rows;
        offset = n ? d->offset * x->stride[b] : 0;
    } else {
        n = d->offset > -rows ? rows + d->offset : 0;
        n = n < columns ? n : columns;
        offset = n ? -d->offset * x->stride[a] : 0;
    }
    start_whole(r, x);
    r->offset = offset;
    int64_t stride = x->stride[a] + x->stride[b];
    drop_axis(r, a > b ? a : b);
    drop_axis(r, a > b ? b : a);
    r->size[r->rank] = n;
    r->stride[r->rank++] = stride;
    return true;
}

bool tape__diagonal_forward(tape__call *call)
{
    return view_forward(call, diagonal_region);
}

void tape__diagonal_vjp(tape__vjp *v)
{
    view_vjp(v, diagonal_region);
}

bool tape__diagonal_fused(tape__fused *f)
{
    return view_fused(f, diagonal_region);
}

tape_tensor tape_diagonal(tape_tensor x, int64_t offset, int axis_a, int axis_b)
{
    struct diagonal attr = {offset, axis_a, axis_b};
    return tape__run(TAPE__OP_diagonal, &x, 1, &attr, sizeof attr);
}

struct unfold {
    int64_t axis, size, step;
};

static bool unfold_region(tape *t, const tape__layout *x, const void *attr, tape__region *r)
{
    const struct unfold *a = attr;
    int axis;
    if (!tape__check_axis(t, a->axis, x, &axis))
        return false;
    if (x->rank == TAPE_MAX_RANK)
        return tape__error(t, TAPE_ERROR_SHAPE, "%s has no room for another axis", TAPE__LAYOUT_TEXT(x));
    if (a->size < 0 || a->size > x->size[axis] || a->step < 1)
        return tape__error(t, TAPE_ERROR_ARGUMENT, "windows of %lld every %lld do not fit axis %d of %s",
                           (long long)a->size, (long long)a->step, axis, TAPE__LAYOUT_TEXT(x));
    start_whole(r, x);
    int64_t windows = (x->size[axis] - a->size) / a->step + 1, numel;
    r->size[axis] = windows;
    r->stride[axis] *= windows > 1 ? a->step : 1;
    r->size[r->rank] = a->size;
    r->stride[r->rank++] = x->stride[axis];
    return tape__shape_numel((int)r->rank, r->size, &numel) ||
           tape__error(t, TAPE_ERROR_SHAPE, "%s has too many windows", TAPE__LAYOUT_TEXT(x));
}

bool tape__unfold_forward(tape__call *call)
{
    return view_forward(call, unfold_region);
}

void tape__unfold_vjp(tape__vjp *v)
{
    view_vjp(v, unfold_region);
}

bool tape__unfold_fused(tape__fused *f)
{
    return view_fused(f, unfold_region);
}

tape_tensor tape_unfold(tape_tensor x, int axis, int64_t size, int64_t step)
{
    struct unfold attr = {axis, size, step};
    return tape__run(TAPE__OP_unfold, &x, 1, &attr, sizeof attr);
}

/* ---- split, chunk ------------------------------------------------------------------------------------------------ */

/* The size of the axis that is split; -1 after an error. `axis` becomes non-negative. */
static int64_t split_axis(tape *t, tape_tensor x, int *axis)
{
    uint32_t slot = tape__resolve(t, x, 0);
    if (slot == TAPE__NO_SLOT)
        return -1;
    const tape__layout *layout = tape__at(t, slot)->layout;
    return tape__check_axis(t, *axis, layout, axis) ? layout->size[*axis] : -1;
}

/* Fill out[0..pieces) with narrow views of `size` elements, the last ones shorter. */
static int narrow_all(tape *t, const char *before, int op, tape_tensor x, int axis, int64_t size, int64_t pieces,
                      tape_tensor *out)
{
    int64_t n = pieces ? tape_size(x, axis) : 0;
    for (int64_t i = 0; i < pieces; i++) {
        int64_t start = i * size < n ? i * size : n;
        out[i] = tape_narrow(x, axis, start, n - start < size ? n - start : size);
    }
    tape_tensor last = tape__leave(t, before, op, pieces ? out[pieces - 1] : TAPE_NULL);
    if (tape_is_null(last))
        return 0;
    out[pieces - 1] = last;
    return (int)pieces;
}

int tape_split(tape_tensor x, int axis, int64_t size, tape_tensor *out, int capacity)
{
    tape *t = tape__begin("split");
    if (!t)
        return 0;
    const char *before = tape__enter(t, "split");
    int64_t n = split_axis(t, x, &axis), pieces = 0;
    if (n >= 0 && size < 1)
        tape__error(t, TAPE_ERROR_ARGUMENT, "expects pieces of at least 1 element, got %lld", (long long)size);
    else if (n >= 0)
        pieces = n > 0 ? (n - 1) / size + 1 : 1;
    if (pieces > capacity) {
        tape__error(t, TAPE_ERROR_ARGUMENT, "gives %lld pieces, which do not fit in %d", (long long)pieces, capacity);
        pieces = 0;
    }
    return narrow_all(t, before, TAPE__OP_split, x, axis, size, pieces, out);
}

int tape_chunk(tape_tensor x, int axis, int chunks, tape_tensor *out)
{
    tape *t = tape__begin("chunk");
    if (!t)
        return 0;
    const char *before = tape__enter(t, "chunk");
    int64_t n = split_axis(t, x, &axis), pieces = 0, size = 1;
    if (n >= 0 && chunks < 1)
        tape__error(t, TAPE_ERROR_ARGUMENT, "expects at least 1 chunk, got %d", chunks);
    else if (n >= 0) {
        size = n > 0 ? (n - 1) / chunks + 1 : 1;
        pieces = n > 0 ? (n - 1) / size + 1 : chunks;
    }
    return narrow_all(t, before, TAPE__OP_chunk, x, axis, size, pieces, out);
}
