/* Knows how to run along one axis with a state per column; it does not know what the ops built on that mean. */
#include "scan.h"

/* Columns that run side by side: whole cache lines are used, and their states stay in registers or in the first cache.
 */
enum { COLUMNS = 64 };

#define SUM(state, a, x) ((state) + (x))
#define PROD(state, a, x) ((state) * (x))
#define LINEAR(state, a, x) ((a) * (state) + (x))

/* DEFINE_SCAN(sum, float, SUM) defines sum_float(s, begin, width): the columns begin ... begin + width - 1 of s, where
 * begin counts the elements before the first of them. `a` points at x where it is not used. */
#define DEFINE_SCAN(name, type, STEP)                                                                                  \
    static void name##_##type(const tape__scan *s, int64_t begin, int64_t width)                                       \
    {                                                                                                                  \
        double state[COLUMNS];                                                                                         \
        for (int64_t r = 0; r < s->n; r++) {                                                                           \
            int64_t at = begin + (s->reverse ? s->n - 1 - r : r) * s->inner;                                           \
            const type *x = (const type *)s->x + at, *a = (const type *)(s->a ? s->a : s->x) + at;                     \
            type *y = (type *)s->y + at;                                                                               \
            (void)a;                                                                                                   \
            for (int64_t k = 0; k < width; k++) {                                                                      \
                state[k] = r == 0 ? (double)x[k] : STEP(state[k], (double)a[k], (double)x[k]);                         \
                y[k] = (type)state[k];                                                                                 \
            }                                                                                                          \
        }                                                                                                              \
    }
DEFINE_SCAN(sum, float, SUM)
DEFINE_SCAN(sum, double, SUM)
DEFINE_SCAN(prod, float, PROD)
DEFINE_SCAN(prod, double, PROD)
DEFINE_SCAN(linear, float, LINEAR)
DEFINE_SCAN(linear, double, LINEAR)

typedef void columns_fn(const tape__scan *s, int64_t begin, int64_t width);

void tape__scan_run(const tape__scan *s, tape_dtype dtype)
{
    static columns_fn *const columns[3][2] = {
        {sum_float, sum_double}, {prod_float, prod_double}, {linear_float, linear_double}};
    columns_fn *run = columns[s->kind][dtype == TAPE_F64];
    for (int64_t o = 0; o < s->outer; o++)
        for (int64_t k = 0; k < s->inner; k += COLUMNS)
            run(s, o * s->n * s->inner + k, s->inner - k < COLUMNS ? s->inner - k : COLUMNS);
}

#define DEFINE_MAX(type)                                                                                               \
    static void max_##type(const tape__scan *s, int64_t begin, int64_t width, int64_t *index)                          \
    {                                                                                                                  \
        for (int64_t i = 0; i < s->n; i++) {                                                                           \
            int64_t at = begin + i * s->inner;                                                                         \
            const type *x = (const type *)s->x + at;                                                                   \
            type *y = (type *)s->y + at;                                                                               \
            for (int64_t k = 0; k < width; k++) {                                                                      \
                bool take = i == 0 || x[k] >= y[k - s->inner] || x[k] != x[k];                                         \
                y[k] = take ? x[k] : y[k - s->inner];                                                                  \
                index[at + k] = take ? i : index[at + k - s->inner];                                                   \
            }                                                                                                          \
        }                                                                                                              \
    }
DEFINE_MAX(float)
DEFINE_MAX(double)

void tape__scan_max(const tape__scan *s, tape_dtype dtype, int64_t *index)
{
    for (int64_t o = 0; o < s->outer; o++)
        if (dtype == TAPE_F64)
            max_double(s, o * s->n * s->inner, s->inner, index);
        else
            max_float(s, o * s->n * s->inner, s->inner, index);
}
