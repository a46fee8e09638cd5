/* Lays out windows on images for the matrix kernels: where they lie if all of them are inside the image, else in a
   small copy with zeros around. */
#include "kernels/any/conv_patch.h"

#include <string.h>

#include "base.h"

enum {
    STRIP_MOST = 1 << 18, /* elements of a copied strip; wider ones are copied window by window */
    AXES = TAPE__CONV_AXES
};

typedef uint32_t __attribute__((may_alias)) item_4;
typedef uint64_t __attribute__((may_alias)) item_8;

/* The lowest source coordinate of position q on an axis, and how far its taps reach beyond that. */
static int64_t lowest(const tape__lattice *l, int axis, int64_t q)
{
    return q * l->step[axis] + l->first[axis] + tape__min(0, (l->taps[axis] - 1) * l->tap_step[axis]);
}

static int64_t reach(const tape__lattice *l, int axis)
{
    int64_t span = (l->taps[axis] - 1) * l->tap_step[axis];
    return span < 0 ? -span : span;
}

void tape__lattice_finish(tape__lattice *l)
{
    l->inside = true;
    for (int i = 0; i < AXES; i++)
        l->inside = l->inside && lowest(l, i, 0) >= 0 && lowest(l, i, l->grid[i] - 1) + reach(l, i) < l->size[i];
}

tape__lattice_cut tape__lattice_cut_by(const tape__lattice *l, int64_t most, int64_t unit)
{
    tape__lattice_cut cut = {1, l->grid[2], 1, 1, 1};
    if (l->grid[2] > most) {
        cut.per_row = tape__ceil_div(l->grid[2], most);
        cut.columns = tape__ceil_div(tape__ceil_div(l->grid[2], cut.per_row), unit) * unit;
        cut.per_row = tape__ceil_div(l->grid[2], cut.columns);
    } else if (l->grid[2] > 0) {
        int64_t pieces = tape__ceil_div(l->grid[1], most / l->grid[2]);
        cut.rows = tape__max(1, tape__ceil_div(l->grid[1], tape__max(1, pieces)));
    }
    cut.per_plane = tape__ceil_div(l->grid[1], cut.rows) * cut.per_row;
    cut.blocks = l->grid[0] * cut.per_plane;
    return cut;
}

tape__window_block tape__lattice_block(const tape__lattice *l, const tape__lattice_cut *cut, int64_t block)
{
    int64_t in_plane = block % cut->per_plane;
    int64_t row = in_plane / cut->per_row * cut->rows, column = in_plane % cut->per_row * cut->columns;
    return (tape__window_block){
        .from = {block / cut->per_plane, row, column},
        .count = {1, tape__min(cut->rows, l->grid[1] - row), tape__min(cut->columns, l->grid[2] - column)},
        .images = 1};
}

/* The source coordinates that a block of `count` positions sees on an axis. */
static int64_t extent(const tape__lattice *l, int axis, int64_t count)
{
    return (count - 1) * l->step[axis] + reach(l, axis) + 1;
}

static int64_t taps_of(const tape__lattice *l)
{
    return l->taps[0] * l->taps[1] * l->taps[2];
}

/* Of so many rows that begin anywhere. */
static int64_t most_channels(const tape__lattice *l, int64_t rows)
{
    return tape__min(l->channels, tape__ceil_div(rows - 1, tape__max(1, taps_of(l))) + 1);
}

/* ---- places ------------------------------------------------------------------------------------------------------ */

static bool fits_strip(const tape__lattice *l, const int64_t *count, int64_t phases, int64_t planes)
{
    int64_t n = planes;
    for (int i = 0; i < AXES; i++)
        if (!tape__mul_size(n, extent(l, i, count[i]) + (i == 2 ? phases - 1 : 0), &n))
            return false;
    return n <= STRIP_MOST;
}

tape__window_place tape__window_place_of(const tape__lattice *l, const tape__lattice_cut *cut, int64_t images,
                                         int64_t rows, int64_t vector)
{
    const int64_t count[AXES] = {1, cut->rows, cut->columns}, channels = most_channels(l, rows);
    const int64_t phases = vector ? l->step[2] : 1;
    tape__window_place p = {.phases = 1, .stride = {l->size[1] * l->size[2], l->size[2], 1}, .image = l->image};
    if (l->inside && (vector == 0 || (phases == 1 && l->grid[2] % vector == 0))) {
        p.channel = l->size[0] * p.stride[0];
    } else if (fits_strip(l, count, phases, images * channels)) {
        p.kind = TAPE__IN_STRIP;
        p.phases = phases;
        p.phase = tape__ceil_div(extent(l, 2, count[2]), phases);
        p.stride[1] = phases * p.phase;
        p.stride[0] = extent(l, 1, count[1]) * p.stride[1];
        p.channel = extent(l, 0, 1) * p.stride[0];
        p.image = channels * p.channel;
        for (int i = 0; i < AXES; i++)
            p.origin += l->tap_step[i] < 0 ? reach(l, i) * p.stride[i] : 0;
        p.bytes = (images * p.image + vector) * l->item;
    } else {
        p.kind = TAPE__IN_MATRIX;
        p.channel = images * count[1] * count[2];
        p.bytes = rows * p.channel * l->item;
        return p;
    }
    p.position[1] = l->step[1] * p.stride[1];
    p.position[2] = p.phases > 1 ? 1 : l->step[2];
    return p;
}

/* From a channel's first row to tap (t0, t1, t2). */
static int64_t tap_at(const tape__window_place *p, const tape__lattice *l, int64_t t0, int64_t t1, int64_t t2)
{
    const int64_t column = t2 * l->tap_step[2];
    return t0 * l->tap_step[0] * p->stride[0] + t1 * l->tap_step[1] * p->stride[1] +
           (p->phases > 1 ? column % p->phases * p->phase + column / p->phases : column);
}

void tape__window_steps(const tape__window_place *p, const tape__lattice *l, int64_t *steps)
{
    const int64_t taps = taps_of(l), rows = l->channels * taps;
    int64_t row = 0, before = 0;
    if (p->kind == TAPE__IN_MATRIX) {
        for (; row < rows; row++)
            steps[row] = p->channel * l->item;
        return;
    }
    for (int64_t t = 1; t < taps && t < rows; t++) {
        int64_t at = tap_at(p, l, t / (l->taps[1] * l->taps[2]), t / l->taps[2] % l->taps[1], t % l->taps[2]);
        steps[row++] = (at - before) * l->item;
        before = at;
    }
    if (row < rows)
        steps[row++] = (p->channel - before) * l->item;
    for (; row < rows; row++)
        steps[row] = steps[row - taps];
}

/* A row of `n` source elements from coordinate `from` on, zeros outside, dealt to `phases` rows. */
static void copy_row(const tape__window_place *p, const tape__lattice *l, const char *row, int64_t from, int64_t n,
                     char *out)
{
    for (int64_t i = 0; i < p->phases; i++, out += p->phase * l->item) {
        const int64_t step = p->phases, first = from + i, count = n > i ? tape__ceil_div(n - i, step) : 0;
        const int64_t before = tape__min(count, first < 0 ? tape__ceil_div(-first, step) : 0);
        const int64_t end =
            tape__max(before, tape__min(count, first < l->size[2] ? tape__ceil_div(l->size[2] - first, step) : 0));
        memset(out, 0, (size_t)(before * l->item));
        if (step == 1 && end > before)
            memcpy(out + before * l->item, row + (first + before) * l->item, (size_t)((end - before) * l->item));
        for (int64_t j = before; step > 1 && j < end; j++)
            memcpy(out + j * l->item, row + (first + j * step) * l->item, (size_t)l->item);
        memset(out + end * l->item, 0, (size_t)((count - end) * l->item));
    }
}

/* The channels that the rows need, with zeros around. */
static void make_strip(const tape__window_place *p, const tape__lattice *l, const tape__window_block *b,
                       const char *source, int64_t first, int64_t rows, char *buffer)
{
    const int64_t taps = taps_of(l), channels = (first + rows - 1) / taps - first / taps + 1;
    const int64_t plane = l->size[0] * l->size[1] * l->size[2];
    int64_t low[AXES], size[AXES];
    for (int i = 0; i < AXES; i++) {
        low[i] = lowest(l, i, b->from[i]);
        size[i] = extent(l, i, b->count[i]);
    }
    for (int64_t c = 0; c < b->images * channels; c++) {
        const char *from = source + (c / channels * l->image + (first / taps + c % channels) * plane) * l->item;
        char *to = buffer + (c / channels * p->image + c % channels * p->channel) * l->item;
        for (int64_t i = 0; i < size[0] * size[1]; i++) {
            const int64_t i0 = low[0] + i / size[1], i1 = low[1] + i % size[1];
            char *out = to + (i / size[1] * p->stride[0] + i % size[1] * p->stride[1]) * l->item;
            if (i0 < 0 || i0 >= l->size[0] || i1 < 0 || i1 >= l->size[1])
                memset(out, 0, (size_t)(p->stride[1] * l->item));
            else
                copy_row(p, l, from + (i0 * l->size[1] + i1) * l->size[2] * l->item, low[2], size[2], out);
        }
    }
}

/* Every element by itself, for windows that reach too far for a strip. */
static void make_matrix(const tape__window_place *p, const tape__lattice *l, const tape__window_block *b,
                        const char *source, int64_t first, int64_t rows, char *buffer)
{
    const int64_t taps = taps_of(l), in_image = b->count[1] * b->count[2];
    for (int64_t i = 0; i < rows; i++) {
        int64_t c = (first + i) / taps, t = (first + i) % taps;
        int64_t tap[AXES] = {t / (l->taps[1] * l->taps[2]), t / l->taps[2] % l->taps[1], t % l->taps[2]};
        char *out = buffer + i * p->channel * l->item;
        for (int64_t j = 0; j < b->images * in_image; j++, out += l->item) {
            int64_t q[AXES] = {0, j % in_image / b->count[2], j % b->count[2]}, at = c;
            bool outside = false;
            for (int k = 0; k < AXES; k++) {
                int64_t x = (b->from[k] + q[k]) * l->step[k] + l->first[k] + tap[k] * l->tap_step[k];
                outside = outside || x < 0 || x >= l->size[k];
                at = outside ? 0 : at * l->size[k] + x;
            }
            if (outside)
                memset(out, 0, (size_t)l->item);
            else
                memcpy(out, source + (j / in_image * l->image + at) * l->item, (size_t)l->item);
        }
    }
}

TAPE__NOINLINE const char *tape__window_make(const tape__window_place *p, const tape__lattice *l,
                                             const tape__window_block *b, const char *source, int64_t first,
                                             int64_t rows, char *buffer)
{
    if (p->kind == TAPE__IN_MATRIX) {
        make_matrix(p, l, b, source, first, rows, buffer);
        return buffer;
    }
    const int64_t taps = taps_of(l), t = first % taps;
    int64_t at = tap_at(p, l, t / (l->taps[1] * l->taps[2]), t / l->taps[2] % l->taps[1], t % l->taps[2]);
    if (p->kind == TAPE__IN_STRIP) {
        make_strip(p, l, b, source, first, rows, buffer);
        return buffer + (p->origin + at) * l->item;
    }
    at += first / taps * p->channel;
    for (int i = 0; i < AXES; i++)
        at += (b->from[i] * l->step[i] + l->first[i]) * p->stride[i];
    return source + at * l->item;
}

int64_t tape__window_columns(const tape__window_place *p, const tape__window_block *b, int64_t *at)
{
    int64_t columns = 0;
    for (int64_t n = 0; n < b->images; n++)
        for (int64_t r = 0; r < b->count[1]; r++)
            for (int64_t q = 0; q < b->count[2]; q++, columns++)
                at[columns] =
                    p->kind == TAPE__IN_MATRIX ? columns : n * p->image + r * p->position[1] + q * p->position[2];
    return columns;
}

/* ---- packing ----------------------------------------------------------------------------------------------------- */

/* Columns that follow each other in memory are copied together. */
enum { RUNS = 16 };
struct runs {
    int n;
    int64_t at[RUNS], length[RUNS];
};

/* False if there are too many runs to be worth it. */
static bool find_runs(const int64_t *at, int64_t n, struct runs *runs)
{
    runs->n = 0;
    for (int64_t i = 0; i < n; i++) {
        if (i > 0 && at[i] == at[i - 1] + 1) {
            runs->length[runs->n - 1]++;
            continue;
        }
        if (runs->n == RUNS || (i >= 8 && runs->n > i / 2))
            return false;
        runs->at[runs->n] = at[i];
        runs->length[runs->n++] = 1;
    }
    return true;
}

TAPE__INLINE char *copy_run(char *out, const char *from, int64_t bytes)
{
    for (; bytes >= 32; bytes -= 32, out += 32, from += 32)
        memcpy(out, from, 32);
    if (bytes & 16) {
        memcpy(out, from, 16);
        out += 16;
        from += 16;
    }
    if (bytes & 8) {
        memcpy(out, from, 8);
        out += 8;
        from += 8;
    }
    if (bytes & 4) {
        memcpy(out, from, 4);
        out += 4;
    }
    return out;
}

static void pack_runs(const char *x, const int64_t *steps, int64_t rows, const struct runs *runs, int64_t item,
                      char *out)
{
    if (runs->n == 1 && runs->length[0] * item == 64) {
        x += runs->at[0] * item;
        for (int64_t i = 0; i < rows; x += steps[i++], out += 64)
            memcpy(out, x, 64);
        return;
    }
    for (int64_t i = 0; i < rows; x += steps[i++])
        for (int r = 0; r < runs->n; r++)
            out = copy_run(out, x + runs->at[r] * item, runs->length[r] * item);
}

#define DEFINE_GATHER(bytes)                                                                                           \
    static void gather_##bytes(const char *x, const int64_t *steps, int64_t n, const int64_t *at, int64_t width,       \
                               char *out)                                                                              \
    {                                                                                                                  \
        item_##bytes *to = (item_##bytes *)(void *)out;                                                                \
        for (int64_t i = 0; i < n; x += steps[i++])                                                                    \
            for (int64_t j = 0; j < width; j++)                                                                        \
                *to++ = ((const item_##bytes *)(const void *)x)[at[j]];                                                \
    }
DEFINE_GATHER(4)
DEFINE_GATHER(8)

void tape__window_pack(const char *x, const int64_t *steps, int64_t rows, const int64_t *at, int64_t width,
                       int64_t item, char *out)
{
    struct runs runs;
    if (find_runs(at, width, &runs))
        pack_runs(x, steps, rows, &runs, item, out);
    else
        (item == 4 ? gather_4 : gather_8)(x, steps, rows, at, width, out);
}
