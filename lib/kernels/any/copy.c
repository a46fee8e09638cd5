/* Knows how to copy elements between layouts at the speed of memory: rows, transposed tiles, and what is neither. It
   does not know what an element means. */
#include "copy.h"

#include <string.h>

#include "dispatch.h"
#include "walk.h"
#include "whole.h"

/* Elements may be read as the unsigned integer of their size, whatever they are. */
typedef uint8_t __attribute__((may_alias)) item_1;
typedef uint32_t __attribute__((may_alias)) item_4;
typedef uint64_t __attribute__((may_alias)) item_8;

enum {
    PARALLEL_BYTES = 1 << 17, /* of one parallel iteration: a smaller copy is not worth a second thread */
    PIECE = 1 << 14,          /* elements of a long row that are copied at once */
    TILE_M = 128,             /* a transposed tile is TILE_M lines of y by TILE_N of x: few pages */
    TILE_N = 32,
    LINE = 64,
    PAST_CACHE_BLOCK = 512
};

struct copy {
    tape__past_cache_fn *past_cache; /* where y is one element, repeated, and too large for a cache; else NULL */
    size_t item_size;
    const char *x;
    char *y;
    int64_t n, x_stride, y_stride; /* of the inner axis, and its pieces */
    int64_t piece;
    int64_t m, y_stride_m; /* of the axis along which x is contiguous, for tiles */
};

#define DEFINE_STRIDED(bytes)                                                                                          \
    static void strided_##bytes(int64_t n, item_##bytes *y, int64_t y_stride, const item_##bytes *x, int64_t x_stride) \
    {                                                                                                                  \
        if (x_stride == 0 && y_stride == 1)                                                                            \
            for (int64_t i = 0; i < n; i++)                                                                            \
                y[i] = *x;                                                                                             \
        else                                                                                                           \
            for (int64_t i = 0; i < n; i++)                                                                            \
                y[i * y_stride] = x[i * x_stride];                                                                     \
    }
DEFINE_STRIDED(1)
DEFINE_STRIDED(4)
DEFINE_STRIDED(8)

typedef item_4 vec_4 __attribute__((vector_size(16)));
typedef item_8 vec_8 __attribute__((vector_size(16)));

/* to[i * LINE / 4 + j] = from[j * x_stride + i] for a square of vectors. */
static inline void turn_4(item_4 *to, const item_4 *from, int64_t x_stride)
{
    vec_4 a, b, c, d;
    memcpy(&a, from, sizeof a);
    memcpy(&b, from + x_stride, sizeof b);
    memcpy(&c, from + 2 * x_stride, sizeof c);
    memcpy(&d, from + 3 * x_stride, sizeof d);
    vec_4 ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    vec_4 row[4] = {__builtin_shufflevector(ab, cd, 0, 1, 4, 5), __builtin_shufflevector(ab, cd, 2, 3, 6, 7)};
    ab = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    cd = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    row[2] = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
    row[3] = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
    for (int r = 0; r < 4; r++)
        memcpy(to + r * (LINE / 4), &row[r], sizeof row[r]);
}

static inline void turn_8(item_8 *to, const item_8 *from, int64_t x_stride)
{
    vec_8 a, b;
    memcpy(&a, from, sizeof a);
    memcpy(&b, from + x_stride, sizeof b);
    vec_8 first = __builtin_shufflevector(a, b, 0, 2), second = __builtin_shufflevector(a, b, 1, 3);
    memcpy(to, &first, sizeof first);
    memcpy(to + LINE / 8, &second, sizeof second);
}

static inline void turn_1(item_1 *to, const item_1 *from, int64_t x_stride)
{
    (void)x_stride;
    *to = *from;
}

/* The lines of the square after next, which the processor does not see coming; they need not lie in x. */
static inline void call_for_lines(const void *from, int side, int64_t x_stride)
{
    for (int64_t j = 2 * side; j < 3 * side; j++)
        __builtin_prefetch((const void *)((uintptr_t)from + (uintptr_t)(j * x_stride * (LINE / side))));
}

/* y[i * ys + j] = x[j * xs + i] for i < m, j < n, in squares whose side is a line of the cache: each line is read once,
   whole, and written whole, so strides that are a power of two do no harm. */
#define DEFINE_TILE(bytes, step)                                                                                       \
    static void square_##bytes(item_##bytes *y, int64_t y_stride, const item_##bytes *x, int64_t x_stride)             \
    {                                                                                                                  \
        enum { SIDE = LINE / bytes };                                                                                  \
        item_##bytes turned[SIDE * SIDE];                                                                              \
        for (int j = 0; j < SIDE; j += step)                                                                           \
            for (int i = 0; i < SIDE; i += step)                                                                       \
                turn_##bytes(turned + i * SIDE + j, x + j * x_stride + i, x_stride);                                   \
        for (int i = 0; i < SIDE; i++)                                                                                 \
            memcpy(y + i * y_stride, turned + i * SIDE, LINE);                                                         \
    }                                                                                                                  \
    static void tile_##bytes(int64_t m, int64_t n, item_##bytes *y, int64_t y_stride, const item_##bytes *x,           \
                             int64_t x_stride)                                                                         \
    {                                                                                                                  \
        enum { SIDE = LINE / bytes };                                                                                  \
        for (int64_t i = 0; i < m; i += SIDE)                                                                          \
            for (int64_t j = 0; j < n; j += SIDE) {                                                                    \
                item_##bytes *to = y + i * y_stride + j;                                                               \
                const item_##bytes *from = x + j * x_stride + i;                                                       \
                if (m - i >= SIDE && n - j >= SIDE) {                                                                  \
                    call_for_lines(from, SIDE, x_stride);                                                              \
                    square_##bytes(to, y_stride, from, x_stride);                                                      \
                    continue;                                                                                          \
                }                                                                                                      \
                for (int64_t r = 0; r < tape__min(SIDE, m - i); r++)                                                   \
                    for (int64_t c = 0; c < tape__min(SIDE, n - j); c++)                                               \
                        to[r * y_stride + c] = from[c * x_stride + r];                                                 \
            }                                                                                                          \
    }
DEFINE_TILE(1, 1)
DEFINE_TILE(4, 4)
DEFINE_TILE(8, 2)

void tape__copy_turned(size_t item_size, int64_t m, int64_t n, void *y, int64_t y_stride, const void *x,
                       int64_t x_stride)
{
    if (item_size == 1)
        tile_1(m, n, y, y_stride, x, x_stride);
    else if (item_size == 4)
        tile_4(m, n, y, y_stride, x, x_stride);
    else
        tile_8(m, n, y, y_stride, x, x_stride);
}

static void visit_row(void *arg, int64_t x, int64_t y, const int64_t *index)
{
    const struct copy *c = arg;
    (void)index;
    memcpy(c->y + y * (int64_t)c->item_size, c->x + x * (int64_t)c->item_size, (size_t)c->n * c->item_size);
}

/* n times the element at `from`, past the caches but for what lies before or behind whole lines. */
static void fill_past_cache(const struct copy *c, int64_t n, char *to, const char *from)
{
    _Alignas(LINE) char block[PAST_CACHE_BLOCK];
    const char *end = to + n * (int64_t)c->item_size;
    for (size_t i = 0; i < sizeof block; i += c->item_size)
        memcpy(block + i, from, c->item_size);
    const size_t before = -(uintptr_t)to & (LINE - 1);
    memcpy(to, block, before);
    for (to += before; end - to >= LINE;) {
        const int64_t bytes = tape__min((end - to) & -LINE, (int64_t)sizeof block);
        c->past_cache(to, block, (size_t)bytes);
        to += bytes;
    }
    memcpy(to, block, (size_t)(end - to));
    c->past_cache(to, NULL, 0);
}

/* The last axis of the walk counts pieces of the row. */
static void visit_strided(void *arg, int64_t x, int64_t y, const int64_t *index)
{
    const struct copy *c = arg;
    int64_t n = tape__min(PIECE, c->n - index[c->piece] * PIECE);
    const char *from = c->x + x * (int64_t)c->item_size;
    char *to = c->y + y * (int64_t)c->item_size;
    if (c->past_cache && n * (int64_t)c->item_size >= LINE)
        fill_past_cache(c, n, to, from);
    else if (c->x_stride == 1 && c->y_stride == 1)
        memcpy(to, from, (size_t)n * c->item_size);
    else if (c->item_size == 1)
        strided_1(n, (item_1 *)to, c->y_stride, (const item_1 *)from, c->x_stride);
    else if (c->item_size == 4)
        strided_4(n, (item_4 *)to, c->y_stride, (const item_4 *)from, c->x_stride);
    else
        strided_8(n, (item_8 *)to, c->y_stride, (const item_8 *)from, c->x_stride);
}

/* The last two axes of the walk count tiles. */
static void visit_tile(void *arg, int64_t x, int64_t y, const int64_t *index)
{
    const struct copy *c = arg;
    int64_t m = tape__min(TILE_M, c->m - index[c->piece] * TILE_M),
            n = tape__min(TILE_N, c->n - index[c->piece + 1] * TILE_N);
    tape__copy_turned(c->item_size, m, n, c->y + y * (int64_t)c->item_size, c->y_stride_m,
                      c->x + x * (int64_t)c->item_size, c->x_stride);
}

/* The axis, other than the last, along which x is contiguous; -1 where a transposed copy would not pay. */
static int transposed_axis(const tape__walk *w)
{
    int last = w->rank - 1;
    if (w->y_stride[last] != 1 || w->x_stride[last] == 0 || w->size[last] < 4)
        return -1;
    for (int k = last - 1; k >= 0; k--)
        if (w->x_stride[k] == 1 && w->size[k] >= 4)
            return k;
    return -1;
}

static void copy_tiles(const struct tape__parallel *p, struct copy *c, tape__walk *w, int axis)
{
    c->m = w->size[axis];
    c->y_stride_m = w->y_stride[axis];
    tape__walk_drop(w, w->rank - 1);
    tape__walk_drop(w, axis);
    c->piece = w->rank;
    tape__walk_push_pieces(w, c->m, TILE_M, 1, c->y_stride_m);
    tape__walk_push_pieces(w, c->n, TILE_N, c->x_stride, 1);
    int64_t elements = tape__min(c->m, TILE_M) * tape__min(c->n, TILE_N);
    tape__walk_run(p, w, PARALLEL_BYTES / (elements * (int64_t)c->item_size), visit_tile, c);
}

/* The rows of a matrix that is too small for threads or a plan; false for anything else. */
static bool copy_matrix(size_t item_size, int rank, const int64_t *size, const char *x, const int64_t *x_stride,
                        char *y, const int64_t *y_stride)
{
    const int64_t item = (int64_t)item_size;
    if (rank != 2 || x_stride[1] != 1 || (y_stride && y_stride[1] != 1) || size[0] * size[1] > PIECE)
        return false;
    const int64_t step = y_stride ? y_stride[0] : size[1];
    for (int64_t i = 0; i < size[0]; i++)
        memcpy(y + i * step * item, x + i * x_stride[0] * item, (size_t)(size[1] * item));
    return true;
}

void tape__copy(const struct tape__parallel *p, size_t item_size, int rank, const int64_t *size, const void *x,
                const int64_t *x_stride, void *y, const int64_t *y_stride)
{
    if (copy_matrix(item_size, rank, size, x, x_stride, y, y_stride))
        return;
    tape__walk w = tape__walk_make(rank, size, x_stride, y_stride);
    if (w.rank == 0) {
        memcpy(y, x, item_size);
        return;
    }
    if (tape__walk_count(&w) == 0)
        return;
    int last = w.rank - 1, axis = -1;
    struct copy c = {.item_size = item_size, .x = x, .y = y, .n = w.size[last]};
    c.x_stride = w.x_stride[last];
    c.y_stride = w.y_stride[last];
    if (c.x_stride != 1 && (axis = transposed_axis(&w)) >= 0) {
        copy_tiles(p, &c, &w, axis);
        return;
    }
    if (c.x_stride == 0 && c.y_stride == 1 && c.n * (int64_t)item_size >= TAPE__PAST_CACHE_BYTES)
        c.past_cache = tape__kernels()->past_cache;
    bool row = c.x_stride == 1 && c.y_stride == 1 && c.n <= PIECE;
    tape__walk_drop(&w, last);
    c.piece = w.rank;
    if (!row)
        tape__walk_push_pieces(&w, c.n, PIECE, c.x_stride, c.y_stride);
    int64_t bytes = tape__min(c.n, PIECE) * (int64_t)item_size;
    tape__walk_run(p, &w, PARALLEL_BYTES / bytes, row ? visit_row : visit_strided, &c);
}
