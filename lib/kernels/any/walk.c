/* Knows how to walk the index space of two strided arrays in parallel pieces; it does not know what is done with an
   element. */
#include "walk.h"

static void append(tape__walk *w, int64_t size, int64_t x_stride, int64_t y_stride)
{
    w->size[w->rank] = size;
    w->x_stride[w->rank] = x_stride;
    w->y_stride[w->rank] = y_stride;
    w->rank++;
}

tape__walk tape__walk_make(int rank, const int64_t *size, const int64_t *x_stride, const int64_t *y_stride)
{
    tape__walk w = {0};
    int64_t dense[TAPE_MAX_RANK], product = 1;
    for (int k = rank - 1; k >= 0; k--) {
        dense[k] = product;
        product *= size[k];
    }
    for (int k = 0; k < rank; k++) {
        int64_t xs = x_stride[k], ys = y_stride ? y_stride[k] : dense[k];
        int last = w.rank - 1;
        if (size[k] == 1)
            continue;
        if (last >= 0 && w.x_stride[last] == xs * size[k] && w.y_stride[last] == ys * size[k]) {
            w.size[last] *= size[k];
            w.x_stride[last] = xs;
            w.y_stride[last] = ys;
        } else {
            append(&w, size[k], xs, ys);
        }
    }
    return w;
}

int64_t tape__walk_count(const tape__walk *w)
{
    int64_t n = 1;
    for (int k = 0; k < w->rank; k++)
        n *= w->size[k];
    return n;
}

void tape__walk_drop(tape__walk *w, int axis)
{
    w->rank--;
    for (int k = axis; k < w->rank; k++) {
        w->size[k] = w->size[k + 1];
        w->x_stride[k] = w->x_stride[k + 1];
        w->y_stride[k] = w->y_stride[k + 1];
    }
}

void tape__walk_push_pieces(tape__walk *w, int64_t n, int64_t piece, int64_t x_stride, int64_t y_stride)
{
    append(w, n / piece + (n % piece != 0), piece * x_stride, piece * y_stride);
}

struct run {
    const tape__walk *walk;
    int64_t count, grain;
    tape__visit *visit;
    void *arg;
};

static void run_item(void *arg, int64_t item)
{
    const struct run *r = arg;
    const tape__walk *w = r->walk;
    int64_t begin = item * r->grain, left = r->count - begin < r->grain ? r->count - begin : r->grain;
    int64_t index[TAPE__WALK_RANK] = {0}, x = 0, y = 0, rest = begin;
    for (int k = w->rank - 1; k >= 0; k--) {
        index[k] = rest % w->size[k];
        rest /= w->size[k];
        x += index[k] * w->x_stride[k];
        y += index[k] * w->y_stride[k];
    }
    while (left-- > 0) {
        r->visit(r->arg, x, y, index);
        int k = w->rank - 1;
        for (; k >= 0 && ++index[k] == w->size[k]; k--) {
            index[k] = 0;
            x -= (w->size[k] - 1) * w->x_stride[k];
            y -= (w->size[k] - 1) * w->y_stride[k];
        }
        if (k >= 0) {
            x += w->x_stride[k];
            y += w->y_stride[k];
        }
    }
}

void tape__walk_run(const struct tape__parallel *p, const tape__walk *w, int64_t grain, tape__visit *visit, void *arg)
{
    struct run r = {w, tape__walk_count(w), grain > 0 ? grain : 1, visit, arg};
    tape__parallel_for(p, r.count / r.grain + (r.count % r.grain != 0), run_item, &r);
}
