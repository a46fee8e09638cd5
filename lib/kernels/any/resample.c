/* Knows where resampling reads and with what weights, and how rows are put together from that. */
#include "kernels/any/resample.h"

#include <math.h>
#include <string.h>

enum { TASKS = 16 };

/* An output is weight[0] x[at[0]] + weight[1] x[at[1]]; what has weight 0 is not read. */
typedef struct tap {
    int64_t at[2];
    double weight[2];
} tap;

/* ---- places ------------------------------------------------------------------------------------------------------ */

/* PyTorch's places: worked out in the dtype and rounded to f32. */
static int64_t nearest(const tape__resample *r, const tape__resample_axis *axis, int64_t i)
{
    const double half = r->mode == TAPE__RESAMPLE_NEAREST_EXACT ? 0.5 : 0, in = (double)axis->in;
    const double ratio = axis->scale > 0 ? 1 / axis->scale : in / (double)axis->out;
    float place = (float)(((double)i + half) * ratio);
    if (r->dtype == TAPE_F32)
        place = ((float)i + (float)half) * (axis->scale > 0 ? (float)ratio : (float)axis->in / (float)axis->out);
    place = floorf(place);
    return place < (float)(axis->in - 1) ? (int64_t)place : axis->in - 1;
}

static tap linear(const tape__resample *r, const tape__resample_axis *axis, int64_t i)
{
    const double in = (double)axis->in, out = (double)axis->out;
    if (axis->in == axis->out)
        return (tap){{i, i}, {1, 0}};
    double place = axis->out > 1 ? (double)i * ((in - 1) / (out - 1)) : 0;
    if (!r->align_corners)
        place = fmax(0, ((double)i + 0.5) * (axis->scale > 0 ? 1 / axis->scale : in / out) - 0.5);
    if (place >= in - 1)
        return (tap){{axis->in - 1, axis->in - 1}, {1, 0}};
    const int64_t at = (int64_t)place;
    const double past = place - (double)at;
    return (tap){{at, at + 1}, {1 - past, past}};
}

/* ---- workspace --------------------------------------------------------------------------------------------------- */

static int64_t tasks_of(const tape__resample *r)
{
    return r->planes < TASKS ? r->planes : TASKS;
}

bool tape__resample_workspace(const tape__resample *r, int64_t *bytes)
{
    const int64_t item = (int64_t)tape_dtype_size(r->dtype);
    int64_t sum = 0, rows;
    for (int i = 0; i < 3; i++)
        if (r->axis[i].out > INT64_MAX / 128 - sum)
            return false;
        else
            sum += r->axis[i].out;
    if (!tape__mul_size(tasks_of(r) * item, r->axis[2].in, &rows) || rows > INT64_MAX / 4)
        return false;
    *bytes = sum * (int64_t)sizeof(tap) + rows;
    return true;
}

typedef struct job {
    const tape__resample *r;
    const tap *tap[3];
    const void *from;
    void *to, *rows; /* one of x's rows for each task */
    int64_t tasks;
    int64_t x_plane, y_plane; /* elements */
} job;

static job prepare(const tape__resample *r, const void *from, void *to, void *workspace)
{
    job j = {.r = r, .from = from, .to = to, .tasks = tasks_of(r), .x_plane = 1, .y_plane = 1};
    tap *next = workspace;
    for (int k = 0; k < 3; k++) {
        const tape__resample_axis *axis = &r->axis[k];
        j.tap[k] = next;
        for (int64_t i = 0; i < axis->out; i++) {
            const int64_t at = r->mode == TAPE__RESAMPLE_LINEAR ? 0 : nearest(r, axis, i);
            *next++ = r->mode == TAPE__RESAMPLE_LINEAR ? linear(r, axis, i) : (tap){{at, at}, {1, 0}};
        }
        j.x_plane *= axis->in;
        j.y_plane *= axis->out;
    }
    j.rows = next;
    return j;
}

/* The rows of a plane of x that a row of y is made of. */
typedef struct mixture {
    int n;
    int64_t at[4];
    double weight[4];
} mixture;

static mixture rows_for(const job *j, int64_t row)
{
    const tap *z = &j->tap[0][row / j->r->axis[1].out], *y = &j->tap[1][row % j->r->axis[1].out];
    mixture m = {0};
    for (int i = 0; i < 4; i++) {
        const double weight = z->weight[i / 2] * y->weight[i % 2];
        if (weight == 0)
            continue;
        m.at[m.n] = (z->at[i / 2] * j->r->axis[1].in + y->at[i % 2]) * j->r->axis[2].in;
        m.weight[m.n++] = weight;
    }
    return m;
}

/* ---- rows of both dtypes ----------------------------------------------------------------------------------------- */

#define ROWS(type)                                                                                                     \
    static void read_##type(const job *j, int64_t plane, type *buffer)                                                 \
    {                                                                                                                  \
        const int64_t in = j->r->axis[2].in, out = j->r->axis[2].out, rows = j->r->axis[0].out * j->r->axis[1].out;    \
        const type *x = (const type *)j->from + plane * j->x_plane;                                                    \
        type *y = (type *)j->to + plane * j->y_plane;                                                                  \
        for (int64_t row = 0; row < rows; row++, y += out) {                                                           \
            const mixture m = rows_for(j, row);                                                                        \
            const type *line = m.n == 1 ? x + m.at[0] : buffer;                                                        \
            for (int i = 0; i < m.n && m.n > 1; i++) {                                                                 \
                const type weight = (type)m.weight[i], *from = x + m.at[i];                                            \
                for (int64_t k = 0; k < in; k++)                                                                       \
                    buffer[k] = (i ? buffer[k] : 0) + weight * from[k];                                                \
            }                                                                                                          \
            for (int64_t k = 0; k < out; k++) {                                                                        \
                const tap *t = &j->tap[2][k];                                                                          \
                y[k] = (type)t->weight[0] * line[t->at[0]];                                                            \
                if (t->weight[1] != 0)                                                                                 \
                    y[k] += (type)t->weight[1] * line[t->at[1]];                                                       \
            }                                                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
    static void spread_##type(const job *j, int64_t plane, type *buffer)                                               \
    {                                                                                                                  \
        const int64_t in = j->r->axis[2].in, out = j->r->axis[2].out, rows = j->r->axis[0].out * j->r->axis[1].out;    \
        const type *g = (const type *)j->from + plane * j->y_plane;                                                    \
        type *gx = (type *)j->to + plane * j->x_plane;                                                                 \
        memset(gx, 0, (size_t)j->x_plane * sizeof *gx);                                                                \
        for (int64_t row = 0; row < rows; row++, g += out) {                                                           \
            const mixture m = rows_for(j, row);                                                                        \
            type *line = m.n == 1 ? gx + m.at[0] : buffer;                                                             \
            if (m.n > 1)                                                                                               \
                memset(buffer, 0, (size_t)in * sizeof *buffer);                                                        \
            for (int64_t k = 0; k < out; k++) {                                                                        \
                const tap *t = &j->tap[2][k];                                                                          \
                line[t->at[0]] += (type)t->weight[0] * g[k];                                                           \
                if (t->weight[1] != 0)                                                                                 \
                    line[t->at[1]] += (type)t->weight[1] * g[k];                                                       \
            }                                                                                                          \
            for (int i = 0; i < m.n && m.n > 1; i++) {                                                                 \
                const type weight = (type)m.weight[i];                                                                 \
                type *to = gx + m.at[i];                                                                               \
                for (int64_t k = 0; k < in; k++)                                                                       \
                    to[k] += weight * buffer[k];                                                                       \
            }                                                                                                          \
        }                                                                                                              \
    }
ROWS(float)
ROWS(double)

/* ---- planes ------------------------------------------------------------------------------------------------------ */

#define BODY(name)                                                                                                     \
    static void name##_body(void *arg, int64_t task)                                                                   \
    {                                                                                                                  \
        const job *j = arg;                                                                                            \
        const int64_t in = j->r->axis[2].in, share = (j->r->planes + j->tasks - 1) / j->tasks;                         \
        for (int64_t plane = task * share; plane < j->r->planes && plane < (task + 1) * share; plane++)                \
            if (j->r->dtype == TAPE_F32)                                                                               \
                name##_float(j, plane, (float *)j->rows + task * in);                                                  \
            else                                                                                                       \
                name##_double(j, plane, (double *)j->rows + task * in);                                                \
    }
BODY(read)
BODY(spread)

void tape__resample_run(const tape__resample *r, const void *x, void *y, void *workspace,
                        const struct tape__parallel *p)
{
    job j = prepare(r, x, y, workspace);
    tape__parallel_for(p, j.tasks, read_body, &j);
}

void tape__resample_spread(const tape__resample *r, const void *g, void *gx, void *workspace,
                           const struct tape__parallel *p)
{
    job j = prepare(r, g, gx, workspace);
    tape__parallel_for(p, j.tasks, spread_body, &j);
}
