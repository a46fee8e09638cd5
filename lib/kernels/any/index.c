/* Knows how to read and write elements at given places; it does not know where the places come from. */
#include "index.h"

#include <string.h>

#include "ewise_run.h"
#include "walk.h"

/* Elements may be read as the unsigned integer of their size, whatever they are. */
typedef uint8_t __attribute__((may_alias)) item_1;
typedef uint32_t __attribute__((may_alias)) item_4;
typedef uint64_t __attribute__((may_alias)) item_8;

/* ---- regions ----------------------------------------------------------------------------------------------------- */

struct add {
    tape__ewise_run run; /* of the sum */
    bool contiguous;     /* y's and x's rows are */
    char *y;
    const char *x;
    int64_t n, y_stride, x_stride;
};

#define DEFINE_ADD_ROW(type)                                                                                           \
    static void add_##type(int64_t n, type *y, int64_t y_stride, const type *x, int64_t x_stride)                      \
    {                                                                                                                  \
        for (int64_t i = 0; i < n; i++)                                                                                \
            y[i * y_stride] += x[i * x_stride];                                                                        \
    }
DEFINE_ADD_ROW(float)
DEFINE_ADD_ROW(double)
#undef DEFINE_ADD_ROW

static void add_row(void *arg, int64_t x_offset, int64_t y_offset, const int64_t *index)
{
    const struct add *a = arg;
    void *y = a->y + y_offset * a->run.item;
    const void *x = a->x + x_offset * a->run.item;
    (void)index;
    if (a->contiguous && a->n * a->run.item >= TAPE__UNIT_BYTES)
        tape__ewise_run_value(a->run.row.value, a->n, a->run.item, y, (const void *const[]){y, x, NULL}, NULL);
    else if (a->contiguous)
        tape__ewise_run_on(&a->run, a->n, y, (const void *const[TAPE__RUN_OPERANDS]){y, x});
    else if (a->run.item == sizeof(double))
        add_double(a->n, y, a->y_stride, x, a->x_stride);
    else
        add_float(a->n, y, a->y_stride, x, a->x_stride);
}

/* Make the last axis of the walk the row that a visit gets. */
static int64_t take_row(tape__walk *w, int64_t *x_stride, int64_t *y_stride)
{
    int last = w->rank - 1;
    if (last < 0)
        return 1;
    int64_t n = w->size[last];
    *x_stride = w->x_stride[last];
    *y_stride = w->y_stride[last];
    tape__walk_drop(w, last);
    return n;
}

/* The rows of a matrix need no plan; false for anything else. */
static bool add_matrix(struct add *a, int rank, const int64_t *size, const int64_t *y_stride, const int64_t *x_stride)
{
    if (rank != 2 || y_stride[1] != 1 || x_stride[1] != 1 || size[1] == 0)
        return false;
    a->n = size[1];
    a->contiguous = true;
    for (int64_t i = 0; i < size[0]; i++)
        add_row(a, i * x_stride[0], i * y_stride[0], NULL);
    return true;
}

void tape__add_strided(const struct tape__kernels *kernels, tape_dtype dtype, int rank, const int64_t *size, void *y,
                       const int64_t *y_stride, const void *x, const int64_t *x_stride)
{
    struct add a = {.y = y, .x = x};
    a.run.row = tape__ewise_row_of(kernels, NULL, TAPE__EW_add, -1, (int)dtype);
    a.run.item = dtype == TAPE_F64 ? sizeof(double) : sizeof(float);
    if (add_matrix(&a, rank, size, y_stride, x_stride))
        return;
    tape__walk w = tape__walk_make(rank, size, x_stride, y_stride);
    a.n = take_row(&w, &a.x_stride, &a.y_stride);
    a.contiguous = a.x_stride == 1 && a.y_stride == 1 && a.n > 0;
    tape__walk_run(NULL, &w, INT64_MAX, add_row, &a);
}

/* ---- along an axis ----------------------------------------------------------------------------------------------- */

struct along {
    const int64_t *index;
    int64_t n, step, stride;
    unsigned char *table;
    const unsigned char *x;
    unsigned char *y;
};

#define DEFINE_GATHER(bytes)                                                                                           \
    static void gather_##bytes(void *arg, int64_t at, int64_t k, const int64_t *unused)                                \
    {                                                                                                                  \
        const struct along *a = arg;                                                                                   \
        const item_##bytes *table = (const item_##bytes *)(const void *)a->table + at;                                 \
        item_##bytes *y = (item_##bytes *)(void *)a->y + k;                                                            \
        (void)unused;                                                                                                  \
        for (int64_t i = 0; i < a->n; i++)                                                                             \
            y[i] = table[i * a->stride + a->index[k + i] * a->step];                                                   \
    }
DEFINE_GATHER(1)
DEFINE_GATHER(4)
DEFINE_GATHER(8)

#define SUM(a, b) ((a) + (b))
#define LARGER(a, b) ((a) >= (b) || (a) != (a) ? (a) : (b))

#define DEFINE_SCATTER(name, type, COMBINE)                                                                            \
    static void name##_##type(void *arg, int64_t at, int64_t k, const int64_t *unused)                                 \
    {                                                                                                                  \
        const struct along *a = arg;                                                                                   \
        type *table = (type *)(void *)a->table + at;                                                                   \
        const type *x = (const type *)(const void *)a->x + k;                                                          \
        (void)unused;                                                                                                  \
        for (int64_t i = 0; i < a->n; i++) {                                                                           \
            type *place = &table[i * a->stride + a->index[k + i] * a->step];                                           \
            *place = COMBINE(*place, x[i]);                                                                            \
        }                                                                                                              \
    }
DEFINE_SCATTER(scatter, float, SUM)
DEFINE_SCATTER(scatter, double, SUM)
DEFINE_SCATTER(scatter_max, float, LARGER)
DEFINE_SCATTER(scatter_max, double, LARGER)

static void run_along(const tape__along *along, struct along *a, tape__visit *visit)
{
    tape__walk w = tape__walk_make(along->rank, along->size, along->stride, NULL);
    int64_t ignored;
    a->index = along->index;
    a->step = along->step;
    a->n = take_row(&w, &a->stride, &ignored);
    tape__walk_run(NULL, &w, INT64_MAX, visit, a);
}

void tape__gather(const tape__along *along, size_t item_size, const void *table, void *y)
{
    struct along a = {.table = (unsigned char *)(uintptr_t)table, .y = y};
    run_along(along, &a, item_size == 1 ? gather_1 : item_size == 4 ? gather_4 : gather_8);
}

void tape__scatter(const tape__along *along, tape_dtype dtype, void *table, const void *x)
{
    struct along a = {.table = table, .x = x};
    run_along(along, &a, dtype == TAPE_F64 ? scatter_double : scatter_float);
}

void tape__scatter_max(const tape__along *along, tape_dtype dtype, void *table, const void *x)
{
    struct along a = {.table = table, .x = x};
    run_along(along, &a, dtype == TAPE_F64 ? scatter_max_double : scatter_max_float);
}

struct ravel {
    int64_t scale, n, stride;
    const int64_t *index;
    int64_t *y;
};

static void ravel_row(void *arg, int64_t at, int64_t k, const int64_t *unused)
{
    const struct ravel *r = arg;
    (void)unused;
    for (int64_t i = 0; i < r->n; i++)
        r->y[k + i] = r->y[k + i] * r->scale + r->index[at + i * r->stride];
}

void tape__ravel(int rank, const int64_t *size, int64_t scale, const int64_t *index, const int64_t *stride, int64_t *y)
{
    tape__walk w = tape__walk_make(rank, size, stride, NULL);
    struct ravel r = {.scale = scale, .index = index, .y = y};
    int64_t ignored;
    r.n = take_row(&w, &r.stride, &ignored);
    tape__walk_run(NULL, &w, INT64_MAX, ravel_row, &r);
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

void tape__rows_take(const tape__rows *rows, size_t item_size, const void *table, void *y)
{
    size_t bytes = (size_t)rows->inner * item_size;
    unsigned char *to = y;
    for (int64_t o = 0; o < rows->outer; o++) {
        const unsigned char *from = (const unsigned char *)table + (size_t)(o * rows->n) * bytes;
        for (int64_t k = 0; k < rows->count; k++, to += bytes)
            if (rows->index[k] == rows->skip)
                memset(to, 0, bytes);
            else
                memcpy(to, from + (size_t)rows->index[k] * bytes, bytes);
    }
}

#define DEFINE_ROWS_ADD(type)                                                                                          \
    static void rows_add_##type(const tape__rows *rows, type *table, const type *x)                                    \
    {                                                                                                                  \
        int64_t inner = rows->inner;                                                                                   \
        for (int64_t o = 0; o < rows->outer; o++, table += rows->n * inner)                                            \
            for (int64_t k = 0; k < rows->count; k++, x += inner) {                                                    \
                if (rows->index[k] == rows->skip)                                                                      \
                    continue;                                                                                          \
                type *restrict y = table + rows->index[k] * inner;                                                     \
                for (int64_t i = 0; i < inner; i++)                                                                    \
                    y[i] += x[i];                                                                                      \
            }                                                                                                          \
    }
DEFINE_ROWS_ADD(float)
DEFINE_ROWS_ADD(double)

void tape__rows_add(const tape__rows *rows, tape_dtype dtype, void *table, const void *x)
{
    if (dtype == TAPE_F64)
        rows_add_double(rows, table, x);
    else
        rows_add_float(rows, table, x);
}
