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

static int64_t min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* The lowest source coordinate of position q on an axis, and how far its taps reach beyond that. */
static int64_t lowest(const tape__lattice *l, int axis, int64_t q)
{
    return q * l->step[axis] + l->first[axis] + min(0, (l->taps[axis] - 1) * l->tap_step[axis]);
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

tape__lattice_cut tape__lattice_cut_by(const tape__lattice *l, int64_t most)
{
    tape__lattice_cut cut = {1, l->grid[2], 1, 1, 1};
    if (l->grid[2] > most) {
        cut.per_row = ceil_div(l->grid[2], most);
        cut.columns = ceil_div(l->grid[2], cut.per_row);
    } else if (l->grid[2] > 0) {
        int64_t pieces = ceil_div(l->grid[1], most / l->grid[2]);
        cut.rows = max(1, ceil_div(l->grid[1], max(1, pieces)));
    }
    cut.per_plane = ceil_div(l->grid[1], cut.rows) * cut.per_row;
    cut.blocks = l->grid[0] * cut.per_plane;
    return cut;
}

tape__window_block tape__lattice_block(const tape__lattice *l, const tape__lattice_cut *cut, int64_t block)
{
    int64_t in_plane = block % cut->per_plane;
    int64_t row = in_plane / cut->per_row * cut->rows, column = in_plane % cut->per_row * cut->columns;
    return (tape__window_block){.from = {block / cut->per_plane, row, column},
                                .count = {1, min(cut->rows, l->grid[1] - row), min(cut->columns, l->grid[2] - column)},
                                .images = 1};
}

/* The source coordinates that a block of `count` positions sees on an axis. */
static int64_t extent(const tape__lattice *l, int axis, int64_t count)
{
    return (count - 1) * l->step[axis] + reach(l, axis) + 1;
}

/* Elements of a strip for so many channels; more than STRIP_MOST: too many. */
static int64_t strip_elements(const tape__lattice *l, const int64_t *count, int64_t images, int64_t channels)
{
    int64_t n;
    if (!tape__mul_size(images, channels, &n))
        return INT64_MAX;
    for (int i = 0; i < AXES; i++)
        if (!tape__mul_size(n, extent(l, i, count[i]), &n))
            return INT64_MAX;
    return n;
}

static int64_t taps_of(const tape__lattice *l)
{
    return l->taps[0] * l->taps[1] * l->taps[2];
}

/* Of so many rows that begin anywhere. */
static int64_t most_channels(const tape__lattice *l, int64_t rows)
{
    return min(l->channels, ceil_div(rows - 1, max(1, taps_of(l))) + 1);
}

size_t tape__patch_bytes(const tape__lattice *l, const tape__lattice_cut *cut, int64_t images, int64_t rows)
{
    if (l->inside)
        return 0;
    int64_t count[AXES] = {1, cut->rows, cut->columns};
    int64_t strip = strip_elements(l, count, images, most_channels(l, rows));
    if (strip > STRIP_MOST)
        strip = max(STRIP_MOST, rows * images * cut->rows * cut->columns);
    return (size_t)(strip * l->item);
}

/* ---- the three layouts ------------------------------------------------------------------------------------------- */

/* Positions in row-major order, image by image: offsets by the given strides. */
static void place_columns(tape__patch *p, const tape__lattice *l, const tape__window_block *b, const int64_t *stride,
                          int64_t image)
{
    p->columns = 0;
    for (int64_t n = 0; n < b->images; n++)
        for (int64_t r = 0; r < b->count[1]; r++)
            for (int64_t q = 0; q < b->count[2]; q++)
                p->column_at[p->columns++] = n * image + r * l->step[1] * stride[1] + q * l->step[2] * stride[2];
}

static void place_rows(tape__patch *p, const tape__lattice *l, const int64_t *stride, int64_t channel, int64_t first,
                       int64_t rows)
{
    const int64_t taps = taps_of(l);
    p->rows = rows;
    for (int64_t i = 0; i < rows; i++) {
        int64_t c = (first + i) / taps - first / taps, t = (first + i) % taps;
        int64_t t0 = t / (l->taps[1] * l->taps[2]), t1 = t / l->taps[2] % l->taps[1], t2 = t % l->taps[2];
        p->row_at[i] = c * channel + t0 * l->tap_step[0] * stride[0] + t1 * l->tap_step[1] * stride[1] +
                       t2 * l->tap_step[2] * stride[2];
    }
}

/* A row of `n` source elements from coordinate `from` on, zeros outside. */
static void copy_row(const tape__lattice *l, const char *row, int64_t from, int64_t n, char *out)
{
    int64_t before = min(n, max(0, -from)), end = max(before, min(n, l->size[2] - from));
    memset(out, 0, (size_t)(before * l->item));
    if (end > before)
        memcpy(out + before * l->item, row + (from + before) * l->item, (size_t)((end - before) * l->item));
    memset(out + end * l->item, 0, (size_t)((n - end) * l->item));
}

/* The channels that the rows need, with zeros around. */
static void make_strip(tape__patch *p, const tape__lattice *l, const tape__window_block *b, const char *source,
                       int64_t first, int64_t rows, char *buffer)
{
    const int64_t taps = taps_of(l), channels = (first + rows - 1) / taps - first / taps + 1;
    const int64_t plane = l->size[0] * l->size[1] * l->size[2];
    int64_t low[AXES], size[AXES], at = 0;
    for (int i = 0; i < AXES; i++) {
        low[i] = lowest(l, i, b->from[i]);
        size[i] = extent(l, i, b->count[i]);
    }
    char *out = buffer;
    for (int64_t c = 0; c < b->images * channels; c++) {
        const char *from = source + (c / channels * l->image + (first / taps + c % channels) * plane) * l->item;
        for (int64_t i0 = low[0]; i0 < low[0] + size[0]; i0++)
            for (int64_t i1 = low[1]; i1 < low[1] + size[1]; i1++, out += size[2] * l->item)
                if (i0 < 0 || i0 >= l->size[0] || i1 < 0 || i1 >= l->size[1])
                    memset(out, 0, (size_t)(size[2] * l->item));
                else
                    copy_row(l, from + (i0 * l->size[1] + i1) * l->size[2] * l->item, low[2], size[2], out);
    }
    const int64_t stride[AXES] = {size[1] * size[2], size[2], 1}, channel = size[0] * size[1] * size[2];
    for (int i = 0; i < AXES; i++)
        at += l->tap_step[i] < 0 ? reach(l, i) * stride[i] : 0;
    p->base = buffer + at * l->item;
    place_columns(p, l, b, stride, channels * channel);
    place_rows(p, l, stride, channel, first, rows);
}

/* Every element by itself, for windows that reach too far for a strip. */
static void make_scattered(tape__patch *p, const tape__lattice *l, const tape__window_block *b, const char *source,
                           int64_t first, int64_t rows, char *buffer)
{
    const int64_t taps = taps_of(l), in_image = b->count[1] * b->count[2];
    p->base = buffer;
    p->rows = rows;
    p->columns = b->images * in_image;
    for (int64_t i = 0; i < rows; i++) {
        int64_t c = (first + i) / taps, t = (first + i) % taps;
        int64_t tap[AXES] = {t / (l->taps[1] * l->taps[2]), t / l->taps[2] % l->taps[1], t % l->taps[2]};
        p->row_at[i] = i * p->columns;
        for (int64_t j = 0; j < p->columns; j++, buffer += l->item) {
            int64_t q[AXES] = {0, j % in_image / b->count[2], j % b->count[2]}, at = c;
            bool outside = false;
            for (int k = 0; k < AXES; k++) {
                int64_t x = (b->from[k] + q[k]) * l->step[k] + l->first[k] + tap[k] * l->tap_step[k];
                outside = outside || x < 0 || x >= l->size[k];
                at = outside ? 0 : at * l->size[k] + x;
            }
            p->column_at[j] = j;
            if (outside)
                memset(buffer, 0, (size_t)l->item);
            else
                memcpy(buffer, source + (j / in_image * l->image + at) * l->item, (size_t)l->item);
        }
    }
}

void tape__patch_make(tape__patch *p, const tape__lattice *l, const tape__window_block *b, const char *source,
                      int64_t first, int64_t rows, char *buffer)
{
    const int64_t stride[AXES] = {l->size[1] * l->size[2], l->size[2], 1}, plane = l->size[0] * stride[0];
    const int64_t taps = taps_of(l), channels = (first + rows - 1) / taps - first / taps + 1;
    if (!l->inside) {
        bool far = strip_elements(l, b->count, b->images, channels) > STRIP_MOST;
        (far ? make_scattered : make_strip)(p, l, b, source, first, rows, buffer);
        return;
    }
    int64_t at = first / taps * plane;
    for (int i = 0; i < AXES; i++)
        at += (b->from[i] * l->step[i] + l->first[i]) * stride[i];
    p->base = source + at * l->item;
    place_columns(p, l, b, stride, l->image);
    place_rows(p, l, stride, plane, first, rows);
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

static void pack_runs(const tape__patch *p, const struct runs *runs, int64_t item, char *out)
{
    if (runs->n == 1 && runs->length[0] * item == 64) {
        const char *from = p->base + runs->at[0] * item;
        for (int64_t i = 0; i < p->rows; i++, out += 64)
            memcpy(out, from + p->row_at[i] * item, 64);
        return;
    }
    for (int64_t i = 0; i < p->rows; i++) {
        const char *from = p->base + p->row_at[i] * item;
        for (int r = 0; r < runs->n; r++)
            out = copy_run(out, from + runs->at[r] * item, runs->length[r] * item);
    }
}

#define DEFINE_GATHER(bytes)                                                                                           \
    static void gather_##bytes(const char *base, const int64_t *outer, int64_t n, const int64_t *inner, int64_t width, \
                               char *out)                                                                              \
    {                                                                                                                  \
        item_##bytes *to = (item_##bytes *)(void *)out;                                                                \
        for (int64_t i = 0; i < n; i++) {                                                                              \
            const item_##bytes *from = (const item_##bytes *)(const void *)base + outer[i];                            \
            for (int64_t j = 0; j < width; j++)                                                                        \
                *to++ = from[inner[j]];                                                                                \
        }                                                                                                              \
    }
DEFINE_GATHER(4)
DEFINE_GATHER(8)

void tape__patch_pack(const tape__patch *p, int64_t item, int64_t column, int64_t width, char *out)
{
    struct runs runs;
    const int64_t *at = p->column_at + column;
    if (find_runs(at, width, &runs))
        pack_runs(p, &runs, item, out);
    else
        (item == 4 ? gather_4 : gather_8)(p->base, p->row_at, p->rows, at, width, out);
}

void tape__patch_pack_turned(const tape__patch *p, int64_t item, int64_t row, int64_t width, char *out)
{
    (item == 4 ? gather_4 : gather_8)(p->base, p->column_at, p->columns, p->row_at + row, width, out);
}
