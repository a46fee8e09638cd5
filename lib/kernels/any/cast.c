/* Knows how every dtype becomes every other; it does not know SIMD beyond loops that a compiler can vectorise. */
#include "cast.h"

#include <string.h>

#include "walk.h"

typedef float item_f32;
typedef double item_f64;
typedef int32_t item_i32;
typedef int64_t item_i64;
typedef uint8_t item_u8;

enum { PIECE = 1 << 14 };

/* Truncation towards zero, saturating; `above` is the first value that does not fit, exact in a double. */
#define DEFINE_TO_INTEGER(to, lowest, highest, above)                                                                  \
    static inline item_##to to##_from_float(double x)                                                                  \
    {                                                                                                                  \
        if (x != x)                                                                                                    \
            return 0;                                                                                                  \
        return x >= (above) ? (highest) : x <= (double)(lowest) ? (lowest) : (item_##to)x;                             \
    }
DEFINE_TO_INTEGER(i32, INT32_MIN, INT32_MAX, 0x1p31)
DEFINE_TO_INTEGER(i64, INT64_MIN, INT64_MAX, 0x1p63)
DEFINE_TO_INTEGER(u8, 0, UINT8_MAX, 256)

#define f32_from_f32(x) (x)
#define f32_from_f64(x) ((float)(x))
#define f32_from_i32(x) ((float)(x))
#define f32_from_i64(x) ((float)(x))
#define f32_from_u8(x) ((float)(x))
#define f64_from_f32(x) ((double)(x))
#define f64_from_f64(x) (x)
#define f64_from_i32(x) ((double)(x))
#define f64_from_i64(x) ((double)(x))
#define f64_from_u8(x) ((double)(x))
#define i32_from_f32(x) i32_from_float((double)(x))
#define i32_from_f64(x) i32_from_float(x)
#define i32_from_i32(x) (x)
#define i32_from_i64(x) ((int32_t)(uint32_t)(x))
#define i32_from_u8(x) ((int32_t)(x))
#define i64_from_f32(x) i64_from_float((double)(x))
#define i64_from_f64(x) i64_from_float(x)
#define i64_from_i32(x) ((int64_t)(x))
#define i64_from_i64(x) (x)
#define i64_from_u8(x) ((int64_t)(x))
#define u8_from_f32(x) u8_from_float((double)(x))
#define u8_from_f64(x) u8_from_float(x)
#define u8_from_i32(x) ((uint8_t)(uint32_t)(x))
#define u8_from_i64(x) ((uint8_t)(uint64_t)(x))
#define u8_from_u8(x) (x)

typedef void convert_fn(int64_t n, void *y, const void *x, int64_t x_stride);

#define DEFINE_CONVERT(to, from)                                                                                       \
    static void to##_row_##from(int64_t n, void *y, const void *x, int64_t x_stride)                                   \
    {                                                                                                                  \
        item_##to *to_row = y;                                                                                         \
        const item_##from *from_row = x;                                                                               \
        if (x_stride == 1)                                                                                             \
            for (int64_t i = 0; i < n; i++)                                                                            \
                to_row[i] = to##_from_##from(from_row[i]);                                                             \
        else                                                                                                           \
            for (int64_t i = 0; i < n; i++)                                                                            \
                to_row[i] = to##_from_##from(from_row[i * x_stride]);                                                  \
    }
#define DEFINE_ALL(to)                                                                                                 \
    DEFINE_CONVERT(to, f32)                                                                                            \
    DEFINE_CONVERT(to, f64)                                                                                            \
    DEFINE_CONVERT(to, i32)                                                                                            \
    DEFINE_CONVERT(to, i64)                                                                                            \
    DEFINE_CONVERT(to, u8)
DEFINE_ALL(f32)
DEFINE_ALL(f64)
DEFINE_ALL(i32)
DEFINE_ALL(i64)
DEFINE_ALL(u8)

/* By target and source, in the order of tape_dtype. */
#define ROW(to)                                                                                                        \
    {                                                                                                                  \
        to##_row_f32, to##_row_f64, to##_row_i32, to##_row_i64, to##_row_u8                                            \
    }
static convert_fn *const convert[5][5] = {ROW(f32), ROW(f64), ROW(i32), ROW(i64), ROW(u8)};
static const int64_t item_size[5] = {4, 8, 4, 8, 1};

struct cast {
    convert_fn *convert;
    const char *x;
    char *y;
    int64_t x_size, y_size, n, x_stride;
    int piece; /* the axis of the walk that counts pieces of a row */
};

static void visit(void *arg, int64_t x, int64_t y, const int64_t *index)
{
    const struct cast *c = arg;
    int64_t left = c->n - index[c->piece] * PIECE;
    c->convert(left < PIECE ? left : PIECE, c->y + y * c->y_size, c->x + x * c->x_size, c->x_stride);
}

void tape__cast(const struct tape__parallel *p, int rank, const int64_t *size, tape_dtype from, const void *x,
                const int64_t *x_stride, tape_dtype to, void *y)
{
    tape__walk w = tape__walk_make(rank, size, x_stride, NULL);
    struct cast c = {convert[to][from], x, y, item_size[from], item_size[to], 1, 1, 0};
    if (w.rank > 0) {
        c.n = w.size[w.rank - 1];
        c.x_stride = w.x_stride[w.rank - 1];
        tape__walk_drop(&w, w.rank - 1);
    }
    c.piece = w.rank;
    tape__walk_push_pieces(&w, c.n, PIECE, c.x_stride, 1);
    int64_t row = c.n < PIECE ? c.n : PIECE;
    tape__walk_run(p, &w, row > 0 ? PIECE / row : 1, visit, &c);
}
