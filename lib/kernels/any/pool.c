/* Knows how to walk the windows of a plane; it does not know where the planes come from. */
#include "pool.h"
#include "whole.h"

#include <math.h>
#include <string.h>

enum { ITEM = 1 << 14 /* elements of a parallel iteration */ };

/* The inputs first, first + step, ... before end; `size` of them counted with the padding. */
struct window {
    int64_t first, end, size;
};

static struct window window_at(const tape__pool_axis *a, int64_t i)
{
    if (a->kernel == 0) {
        int64_t first = i * a->in / a->out, end = ((i + 1) * a->in + a->out - 1) / a->out;
        return (struct window){first, end, end - first};
    }
    int64_t first = i * a->stride - a->padding, end = first + (a->kernel - 1) * a->dilation + 1;
    struct window w = {first, tape__min(end, a->in), tape__min(end, a->in + a->padding) - first};
    if (first < 0)
        w.first += (a->dilation - 1 - first) / a->dilation * a->dilation;
    return w;
}

static double divisor_of(const tape__pooling *p, const struct window *row, const struct window *column)
{
    if (p->divisor)
        return (double)p->divisor;
    if (p->exclude_padding)
        return (double)((row->end - row->first) * (column->end - column->first));
    return (double)(row->size * column->size);
}

struct job {
    const tape__pooling *pool;
    const char *from;
    char *to;
    int64_t *index;
    int64_t share; /* planes of an iteration */
};

/* Windows of 2 x 2 side by side, all inside. */
static bool are_squares(const tape__pool_axis *a)
{
    bool yes = true;
    for (int i = 0; i < 2; i++)
        yes = yes && a[i].kernel == 2 && a[i].stride == 2 && a[i].padding == 0 && a[i].dilation == 1 &&
              2 * a[i].out <= a[i].in;
    return yes;
}

/* Without branches: which element is the largest cannot be foretold. */
#define TAKE_LARGER(value, place)                                                                                      \
    do {                                                                                                               \
        bool larger = (value) > most || ((value) != (value) && most == most);                                          \
        most = larger ? (value) : most;                                                                                \
        at = larger ? (place) : at;                                                                                    \
    } while (0)

/* Four windows at once, where their places fit 32 bits. */
typedef float four_f32 __attribute__((vector_size(16)));
typedef int32_t four_i32 __attribute__((vector_size(16)));
typedef int64_t four_i64 __attribute__((vector_size(32)));
static const four_i32 window_starts = {0, 2, 4, 6};

TAPE__INLINE four_i32 choose(four_i32 mask, four_i32 a, four_i32 b)
{
    return (mask & a) | (~mask & b);
}

/* The largest of the windows' rows at x and x + width, and which of the four places of a window it has. */
TAPE__INLINE four_f32 max_of_four(const float *x, int64_t width, four_i32 *place)
{
    const int32_t second = (int32_t)width;
    four_f32 row[4], most;
    for (int r = 0; r < 2; r++) {
        four_f32 a, b;
        memcpy(&a, x + r * width, sizeof a);
        memcpy(&b, x + r * width + 4, sizeof b);
        row[2 * r] = __builtin_shufflevector(a, b, 0, 2, 4, 6);
        row[2 * r + 1] = __builtin_shufflevector(a, b, 1, 3, 5, 7);
    }
    most = row[0];
    *place = (four_i32){0};
    for (int r = 1; r < 4; r++) {
        const four_i32 larger = (row[r] > most) | ((row[r] != row[r]) & (most == most));
        *place = choose(larger, (four_i32){0} + (r / 2 * second + r % 2), *place);
        most = (four_f32)choose(larger, (four_i32)row[r], (four_i32)most);
    }
    return most;
}

/* The windows of a row, as many as there are fours; returns their number. */
static int64_t max_fours(int64_t width, int64_t first, int64_t n, const float *x, float *y, int64_t *index)
{
    int64_t j = 0;
    for (; first + 2 * n + width < INT32_MAX && j + 4 <= n; j += 4) {
        four_i32 place;
        const four_f32 most = max_of_four(x + first + 2 * j, width, &place);
        const four_i64 at = __builtin_convertvector(place + window_starts + (int32_t)(first + 2 * j), four_i64);
        memcpy(y + j, &most, sizeof most);
        memcpy(index + j, &at, sizeof at);
    }
    return j;
}

/* Cotangents of a row's windows to their places, zeros to the others. */
static int64_t spread_fours(int64_t width, int64_t first, int64_t n, const float *g, const int64_t *index, float *gx)
{
    int64_t j = 0;
    for (; first + 2 * n + width < INT32_MAX && j + 4 <= n; j += 4) {
        four_i64 at;
        four_i32 share;
        memcpy(&at, index + j, sizeof at);
        memcpy(&share, g + j, sizeof share);
        const four_i32 place = __builtin_convertvector(at, four_i32) - window_starts - (int32_t)(first + 2 * j);
        for (int r = 0; r < 2; r++) {
            const four_i32 even = share & (place == (int32_t)(r * width)),
                           odd = share & (place == (int32_t)(r * width + 1));
            const four_i32 low = __builtin_shufflevector(even, odd, 0, 4, 1, 5);
            const four_i32 high = __builtin_shufflevector(even, odd, 2, 6, 3, 7);
            memcpy(gx + first + 2 * j + r * width, &low, sizeof low);
            memcpy(gx + first + 2 * j + r * width + 4, &high, sizeof high);
        }
    }
    return j;
}

#define MAX_FOURS_float(...) max_fours(__VA_ARGS__)
#define MAX_FOURS_double(...) 0
#define SPREAD_FOURS_float(...) spread_fours(__VA_ARGS__)
#define SPREAD_FOURS_double(width, first, n, ...) ((n)*0)

#define DEFINE(name, type)                                                                                             \
    static void max_squares_##name(const tape__pool_axis *a, const type *x, type *y, int64_t *index)                   \
    {                                                                                                                  \
        const int64_t width = a[1].in;                                                                                 \
        for (int64_t i = 0; i < a[0].out; i++, y += a[1].out, index += a[1].out)                                       \
            for (int64_t j = MAX_FOURS_##type(width, 2 * i * width, a[1].out, x, y, index); j < a[1].out; j++) {       \
                int64_t at = 2 * (i * width + j), first = at;                                                          \
                type most = x[at];                                                                                     \
                TAKE_LARGER(x[first + 1], first + 1);                                                                  \
                TAKE_LARGER(x[first + width], first + width);                                                          \
                TAKE_LARGER(x[first + width + 1], first + width + 1);                                                  \
                y[j] = most;                                                                                           \
                index[j] = at;                                                                                         \
            }                                                                                                          \
    }                                                                                                                  \
    static void max_##name(const struct job *job, int64_t plane)                                                       \
    {                                                                                                                  \
        const tape__pool_axis *a = job->pool->axis;                                                                    \
        const type *x = (const type *)(const void *)job->from + plane * a[0].in * a[1].in;                             \
        type *y = (type *)(void *)job->to + plane * a[0].out * a[1].out;                                               \
        int64_t *index = job->index + plane * a[0].out * a[1].out;                                                     \
        if (are_squares(a)) {                                                                                          \
            max_squares_##name(a, x, y, index);                                                                        \
            return;                                                                                                    \
        }                                                                                                              \
        for (int64_t i = 0; i < a[0].out; i++) {                                                                       \
            const struct window row = window_at(&a[0], i);                                                             \
            for (int64_t j = 0; j < a[1].out; j++) {                                                                   \
                const struct window column = window_at(&a[1], j);                                                      \
                type most = (type)-INFINITY;                                                                           \
                int64_t at = tape__min(row.first, a[0].in - 1) * a[1].in + tape__min(column.first, a[1].in - 1);       \
                for (int64_t r = row.first; r < row.end; r += a[0].dilation)                                           \
                    for (int64_t c = column.first; c < column.end; c += a[1].dilation) {                               \
                        type value = x[r * a[1].in + c];                                                               \
                        if (value > most || (value != value && most == most)) {                                        \
                            most = value;                                                                              \
                            at = r * a[1].in + c;                                                                      \
                        }                                                                                              \
                    }                                                                                                  \
                *y++ = most;                                                                                           \
                *index++ = at;                                                                                         \
            }                                                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
    static void max_spread_##name(const struct job *job, int64_t plane)                                                \
    {                                                                                                                  \
        const tape__pool_axis *a = job->pool->axis;                                                                    \
        const int64_t width = a[1].in, out = a[0].out * a[1].out, fours = are_squares(a) ? a[1].out : 0;               \
        const type *g = (const type *)(const void *)job->from + plane * out;                                           \
        const int64_t *index = job->index + plane * out;                                                               \
        type *gx = (type *)(void *)job->to + plane * a[0].in * width;                                                  \
        memset(gx, 0, (size_t)(a[0].in * width) * sizeof *gx);                                                         \
        for (int64_t i = 0; i < a[0].out; i++, g += a[1].out, index += a[1].out)                                       \
            for (int64_t j = SPREAD_FOURS_##type(width, 2 * i * width, fours, g, index, gx); j < a[1].out; j++)        \
                gx[index[j]] += g[j];                                                                                  \
    }                                                                                                                  \
    static void mean_##name(const struct job *job, int64_t plane)                                                      \
    {                                                                                                                  \
        const tape__pool_axis *a = job->pool->axis;                                                                    \
        const type *x = (const type *)(const void *)job->from + plane * a[0].in * a[1].in;                             \
        type *y = (type *)(void *)job->to + plane * a[0].out * a[1].out;                                               \
        for (int64_t i = 0; i < a[0].out; i++) {                                                                       \
            const struct window row = window_at(&a[0], i);                                                             \
            for (int64_t j = 0; j < a[1].out; j++) {                                                                   \
                const struct window column = window_at(&a[1], j);                                                      \
                type sum = 0;                                                                                          \
                for (int64_t r = row.first; r < row.end; r++)                                                          \
                    for (int64_t c = column.first; c < column.end; c++)                                                \
                        sum += x[r * a[1].in + c];                                                                     \
                *y++ = sum / (type)divisor_of(job->pool, &row, &column);                                               \
            }                                                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
    static void spread_##name(const struct job *job, int64_t plane)                                                    \
    {                                                                                                                  \
        const tape__pool_axis *a = job->pool->axis;                                                                    \
        const type *g = (const type *)(const void *)job->from + plane * a[0].out * a[1].out;                           \
        type *gx = (type *)(void *)job->to + plane * a[0].in * a[1].in;                                                \
        memset(gx, 0, (size_t)(a[0].in * a[1].in) * sizeof *gx);                                                       \
        for (int64_t i = 0; i < a[0].out; i++) {                                                                       \
            const struct window row = window_at(&a[0], i);                                                             \
            for (int64_t j = 0; j < a[1].out; j++) {                                                                   \
                const struct window column = window_at(&a[1], j);                                                      \
                const type share = *g++ / (type)divisor_of(job->pool, &row, &column);                                  \
                for (int64_t r = row.first; r < row.end; r++)                                                          \
                    for (int64_t c = column.first; c < column.end; c++)                                                \
                        gx[r * a[1].in + c] += share;                                                                  \
            }                                                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
    static void max_body_##name(void *arg, int64_t i)                                                                  \
    {                                                                                                                  \
        each_plane(arg, i, max_##name);                                                                                \
    }                                                                                                                  \
    static void max_spread_body_##name(void *arg, int64_t i)                                                           \
    {                                                                                                                  \
        each_plane(arg, i, max_spread_##name);                                                                         \
    }                                                                                                                  \
    static void mean_body_##name(void *arg, int64_t i)                                                                 \
    {                                                                                                                  \
        each_plane(arg, i, mean_##name);                                                                               \
    }                                                                                                                  \
    static void spread_body_##name(void *arg, int64_t i)                                                               \
    {                                                                                                                  \
        each_plane(arg, i, spread_##name);                                                                             \
    }

static void each_plane(const struct job *job, int64_t i, void (*run)(const struct job *, int64_t))
{
    for (int64_t plane = i * job->share; plane < tape__min((i + 1) * job->share, job->pool->planes); plane++)
        run(job, plane);
}

DEFINE(f32, float)
DEFINE(f64, double)

static void run(const struct tape__parallel *p, const tape__pooling *pool, const void *from, void *to, int64_t *index,
                tape_body *body)
{
    const int64_t plane = pool->axis[0].in * pool->axis[1].in;
    struct job job = {pool, from, to, index, plane < ITEM ? ITEM / (plane + 1) + 1 : 1};
    tape__parallel_for(p, (pool->planes + job.share - 1) / job.share, body, &job);
}

void tape__pool_max(const struct tape__parallel *p, const tape__pooling *pool, const void *x, void *y, int64_t *index)
{
    run(p, pool, x, y, index, pool->dtype == TAPE_F32 ? max_body_f32 : max_body_f64);
}

void tape__pool_max_spread(const struct tape__parallel *p, const tape__pooling *pool, const void *g,
                           const int64_t *index, void *gx)
{
    run(p, pool, g, gx, (int64_t *)(uintptr_t)index,
        pool->dtype == TAPE_F32 ? max_spread_body_f32 : max_spread_body_f64);
}

void tape__pool_mean(const struct tape__parallel *p, const tape__pooling *pool, const void *x, void *y)
{
    run(p, pool, x, y, NULL, pool->dtype == TAPE_F32 ? mean_body_f32 : mean_body_f64);
}

void tape__pool_mean_spread(const struct tape__parallel *p, const tape__pooling *pool, const void *g, void *gx)
{
    run(p, pool, g, gx, NULL, pool->dtype == TAPE_F32 ? spread_body_f32 : spread_body_f64);
}
