/* Knows how an array is cut into the slices that a softmax is taken of, and how threads share them; it does not know
   how one is computed. */
#include "softmax_driver.h"

#include <string.h>

enum {
    ITEM = 1 << 14, /* elements of one parallel iteration */
    SHORT = TAPE__SOFTMAX_SHORT
};

struct job {
    tape__softmax_slice slice; /* the first one; its widths are not used */
    tape__softmax_slice_fn *fn;
    int64_t item, width; /* bytes of an element; elements of a unit */
    bool turned;
    int64_t rows, across, inner, slices, per_item; /* slices of one outer index; of all; of one parallel iteration */
};

struct turned {
    _Alignas(TAPE__UNIT_BYTES) char bytes[SHORT * TAPE__UNIT_BYTES];
};

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Element i of row r goes to element r of unit i, or comes from there. Lanes without a row are 0. */
static void turn(const struct job *j, int64_t rows, const void *x, struct turned *to)
{
    const int64_t n = j->slice.n;
    if (rows < j->width)
        memset(to, 0, (size_t)n * TAPE__UNIT_BYTES);
#define TURN(type)                                                                                                     \
    for (int64_t r = 0; r < rows; r++)                                                                                 \
        for (int64_t i = 0; i < n; i++)                                                                                \
            ((type *)(void *)to)[i * (TAPE__UNIT_BYTES / (int64_t)sizeof(type)) + r] = ((const type *)x)[r * n + i];
    if (j->item == sizeof(float)) {
        TURN(float)
    } else {
        TURN(double)
    }
#undef TURN
}

static void turn_back(const struct job *j, int64_t rows, const struct turned *from, void *y)
{
    const int64_t n = j->slice.n;
#define TURN(type)                                                                                                     \
    for (int64_t r = 0; r < rows; r++)                                                                                 \
        for (int64_t i = 0; i < n; i++)                                                                                \
            ((type *)y)[r * n + i] =                                                                                   \
                ((const type *)(const void *)from)[i * (TAPE__UNIT_BYTES / (int64_t)sizeof(type)) + r];
    if (j->item == sizeof(float)) {
        TURN(float)
    } else {
        TURN(double)
    }
#undef TURN
}

/* Short rows, a unit of them at once: they are turned into columns and back. */
static void turned_rows(const struct job *j, const tape__softmax_slice *s, int64_t rows)
{
    struct turned x, g, y;
    tape__softmax_slice turned = *s;
    turn(j, rows, s->x, &x);
    turned.x = &x;
    turned.y = &y;
    if (s->g) {
        turn(j, rows, s->g, &g);
        turned.g = &g;
    }
    if (s->giving == ADD)
        turn(j, rows, s->y, &y);
    j->fn(&turned);
    turn_back(j, rows, &y, s->y);
}

static void run_item(void *arg, int64_t item)
{
    const struct job *j = arg;
    const int64_t end = least((item + 1) * j->per_item, j->slices);
    for (int64_t i = item * j->per_item; i < end; i++) {
        tape__softmax_slice s = j->slice;
        int64_t first = i % j->across * j->width, at = i / j->across * s.n * j->inner + first;
        if (j->turned)
            at = i * j->width * s.n;
        else if (s.columns)
            s.width = s.last = least(j->inner - first, j->width);
        s.x = (const char *)s.x + at * j->item;
        s.y = (char *)s.y + at * j->item;
        s.g = s.g ? (const char *)s.g + at * j->item : NULL;
        s.next = i + 1 < j->slices && !s.columns ? s.n : 0;
        if (j->turned)
            turned_rows(j, &s, least(j->rows - i * j->width, j->width));
        else
            j->fn(&s);
    }
    end_giving(j->slice.giving);
}

void tape__softmax_by(tape__softmax_slice_fn *fn, size_t item, const struct tape__parallel *p,
                      tape__softmax_shape shape, const void *x, const void *g, bool accumulate, void *y)
{
    const int64_t width = TAPE__UNIT_BYTES / (int64_t)item;
    if (shape.outer <= 0 || shape.n <= 0 || shape.inner <= 0)
        return;
    struct job j = {.fn = fn, .item = (int64_t)item, .width = width, .rows = shape.outer, .inner = shape.inner};
    tape__softmax_slice *s = &j.slice;
    *s = (tape__softmax_slice){.n = shape.n, .x = x, .g = g, .y = y, .giving = accumulate ? ADD : STORE};
    s->width = s->last = s->step = width;
    j.turned = shape.inner == 1 && shape.n <= SHORT;
    s->columns = shape.inner > 1 || j.turned;
    s->count = s->columns ? shape.n : (shape.n + width - 1) / width;
    if (!s->columns) {
        s->last = shape.n - (s->count - 1) * width;
        if (g)
            s->giving = giving_of(item, y, shape.outer, shape.n, accumulate, y == g);
    } else if (!j.turned)
        s->step = shape.inner;
    j.across = (shape.inner + width - 1) / width;
    j.slices = j.turned ? (shape.outer + width - 1) / width : shape.outer * j.across;
    int64_t work = shape.n * (shape.inner < width && !j.turned ? shape.inner : width);
    j.per_item = work < ITEM ? ITEM / work : 1;
    tape__parallel_for(p, (j.slices + j.per_item - 1) / j.per_item, run_item, &j);
}
