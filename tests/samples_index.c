/* Samples of the ops that choose elements by index or mask, and that order them. */
#include "ops/region.h"
#include "support/samples.h"

#define SHAPE(...)                                                                                                     \
    {                                                                                                                  \
        (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),                                                     \
        {                                                                                                              \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }
#define FLOAT(...)                                                                                                     \
    {                                                                                                                  \
        SAMPLE_FLOAT, SHAPE(__VA_ARGS__), -2, 2                                                                        \
    }
#define INDEX(n, ...)                                                                                                  \
    {                                                                                                                  \
        SAMPLE_INDEX, SHAPE(__VA_ARGS__), 0, n                                                                         \
    }
#define MASK(...)                                                                                                      \
    {                                                                                                                  \
        SAMPLE_MASK, SHAPE(__VA_ARGS__), 0, 2                                                                          \
    }
#define RUN(name, expression)                                                                                          \
    static tape_tensor run_##name(const tape_tensor *x)                                                                \
    {                                                                                                                  \
        return expression;                                                                                             \
    }

static int whole(double index)
{
    return (int)index;
}

/* ---- one_hot, gather, scatter ------------------------------------------------------------------------------------ */

RUN(one_hot, tape_one_hot(x[0], 4, TAPE_F64))
RUN(one_hot_mask, tape_one_hot(tape_cast(x[0], TAPE_I32), 4, TAPE_U8))
static void refer_one_hot(const double *const *x, double *y)
{
    for (int k = 0; k < 24; k++)
        y[k] = whole(x[0][k / 4]) == k % 4;
}

/* x is [4, 5], the index [3, 5] along axis 0 and [4, 3] along axis 1. */
RUN(gather, tape_gather(x[0], 0, x[1]))
static void refer_gather(const double *const *x, double *y)
{
    for (int k = 0; k < 15; k++)
        y[k] = x[0][5 * whole(x[1][k]) + k % 5];
}
RUN(gather_last, tape_gather(x[0], -1, x[1]))
static void refer_gather_last(const double *const *x, double *y)
{
    for (int k = 0; k < 12; k++)
        y[k] = x[0][5 * (k / 3) + whole(x[1][k])];
}
/* The index is smaller than x along the other axis, too. */
static void refer_gather_part(const double *const *x, double *y)
{
    for (int k = 0; k < 6; k++)
        y[k] = x[0][5 * whole(x[1][k]) + k % 2];
}
RUN(place_along, tape__place_along(x[0], x[1], 0, TAPE_SHAPE(4, 5)))
static void refer_place_along(const double *const *x, double *y)
{
    for (int k = 0; k < 20; k++)
        y[k] = 0;
    for (int k = 0; k < 15; k++)
        y[5 * whole(x[1][k]) + k % 5] += x[0][k];
}

/* x is [4, 1, 5], the index [1, 6, 1] along axis 1... broadcast to [4, 6, 5]. */
RUN(take_along, tape_take_along(x[0], x[1], 1))
static void refer_take_along(const double *const *x, double *y)
{
    for (int a = 0; a < 2; a++)
        for (int b = 0; b < 4; b++)
            for (int c = 0; c < 2; c++)
                *y++ = x[0][6 * a + 2 * whole(x[1][b]) + c];
}

RUN(scatter_add, tape_scatter_add(x[0], 0, x[1], x[2]))
static void refer_scatter_add(const double *const *x, double *y)
{
    for (int k = 0; k < 20; k++)
        y[k] = x[0][k];
    for (int k = 0; k < 15; k++)
        y[5 * whole(x[1][k]) + k % 5] += x[2][k];
}
RUN(scatter_max, tape_scatter_max(x[0], 0, x[1], x[2]))
static void refer_scatter_max(const double *const *x, double *y)
{
    for (int k = 0; k < 20; k++)
        y[k] = x[0][k];
    for (int k = 0; k < 15; k++) {
        double *place = &y[5 * whole(x[1][k]) + k % 5];
        *place = x[2][k] > *place ? x[2][k] : *place;
    }
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

RUN(index_select, tape_index_select(x[0], 0, x[1]))
RUN(index_select_last, tape_index_select(x[0], 1, x[1]))
static void refer_index_select(const double *const *x, double *y)
{
    for (int k = 0; k < 30; k++)
        y[k] = x[0][5 * whole(x[1][k / 5]) + k % 5];
}
static void refer_index_select_last(const double *const *x, double *y)
{
    for (int k = 0; k < 24; k++)
        y[k] = x[0][5 * (k / 6) + whole(x[1][k % 6])];
}
RUN(index_select_scalar, tape_index_select(x[0], 0, x[1]))
static void refer_index_select_scalar(const double *const *x, double *y)
{
    for (int k = 0; k < 5; k++)
        y[k] = x[0][5 * whole(x[1][0]) + k];
}
RUN(take_rows, tape__take_rows(x[0], x[1], 1, 2))
static void refer_take_rows(const double *const *x, double *y)
{
    for (int k = 0; k < 24; k++) {
        int row = whole(x[1][k % 6]);
        y[k] = row == 2 ? 0 : x[0][5 * (k / 6) + row];
    }
}
RUN(place_rows, tape__place_rows(x[0], x[1], 0, 2, TAPE_SHAPE(4, 5)))
static void refer_place_rows(const double *const *x, double *y)
{
    for (int k = 0; k < 20; k++)
        y[k] = 0;
    for (int k = 0; k < 30; k++)
        y[5 * whole(x[1][k / 5]) + k % 5] += whole(x[1][k / 5]) == 2 ? 0 : x[0][k];
}
RUN(embedding, tape_embedding(x[0], x[1], NULL))

/* ---- several indices, masks -------------------------------------------------------------------------------------- */

/* x is [4, 3, 2], chosen at (a[i], b[j]). */
RUN(index_get, tape_index_get(x[0], &x[1], 2))
static void refer_index_get(const double *const *x, double *y)
{
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 3; j++)
            for (int k = 0; k < 2; k++)
                *y++ = x[0][6 * whole(x[1][i]) + 2 * whole(x[2][j]) + k];
}
RUN(index_get_negative,
    tape_index_get(x[0], (tape_tensor[]){tape_cast(tape_sub_scalar(tape_cast(x[1], TAPE_F64), 4), TAPE_I64)}, 1))
static void refer_index_get_negative(const double *const *x, double *y)
{
    for (int k = 0; k < 30; k++)
        y[k] = x[0][5 * whole(x[1][k / 5]) + k % 5];
}
RUN(index_put, tape_index_put(x[0], &x[2], 1, x[1], false))
static void refer_index_put(const double *const *x, double *y)
{
    for (int k = 0; k < 20; k++)
        y[k] = x[0][k];
    for (int k = 0; k < 30; k++)
        y[5 * whole(x[2][k / 5]) + k % 5] = x[1][k];
}
RUN(index_put_add, tape_index_put(x[0], &x[2], 2, x[1], true))
static void refer_index_put_add(const double *const *x, double *y)
{
    for (int k = 0; k < 20; k++)
        y[k] = x[0][k];
    for (int k = 0; k < 6; k++)
        y[5 * whole(x[2][k]) + whole(x[3][k])] += x[1][0];
}

static tape_tensor positions_of(int op, const tape_tensor *x, int n, int64_t size)
{
    return tape__run(op, x, n, (int64_t[]){size, size, 0, 0, 0, 0, 0, 0}, TAPE_MAX_RANK * sizeof(int64_t));
}
RUN(ravel_index, positions_of(TAPE__OP_ravel_index, x, 2, 4))
static void refer_ravel_index(const double *const *x, double *y)
{
    for (int k = 0; k < 6; k++)
        y[k] = 4 * x[0][k / 3] + x[1][k % 3];
}
RUN(row_sources, positions_of(TAPE__OP_row_sources, x, 1, 4))
static void refer_row_sources(const double *const *x, double *y)
{
    for (int k = 0; k < 4; k++)
        y[k] = -1;
    for (int k = 0; k < 6; k++)
        y[whole(x[0][k])] = k;
}
RUN(mask_positions, tape__run(TAPE__OP_mask_positions, x, 1, NULL, 0))
static void refer_mask_positions(const double *const *x, double *y)
{
    for (int k = 0; k < 12; k++)
        if (x[0][k] != 0)
            *y++ = k;
}

RUN(masked_select, tape_masked_select(x[0], x[1]))
static void refer_masked_select(const double *const *x, double *y)
{
    for (int k = 0; k < 12; k++)
        if (x[1][k] != 0)
            *y++ = x[0][k];
}
RUN(masked_select_wide, tape_masked_select(x[0], x[1]))
static void refer_masked_select_wide(const double *const *x, double *y)
{
    for (int k = 0; k < 12; k++)
        if (x[1][k / 4] != 0)
            *y++ = x[0][k % 4];
}
RUN(masked_fill, tape_masked_fill(x[0], x[1], -0.5))
static void refer_masked_fill(const double *const *x, double *y)
{
    for (int k = 0; k < 12; k++)
        y[k] = x[1][k % 4] != 0 ? -0.5 : x[0][k];
}

/* ---- order ------------------------------------------------------------------------------------------------------- */

/* The place of x[first + i * step] (i < n) that comes k-th from below; n if there is none. */
static int kth(const double *x, int n, int step, int k)
{
    int found = n;
    for (int i = 0; i < n; i++) {
        int below = 0;
        for (int j = 0; j < n; j++)
            below += x[j * step] < x[i * step] || (x[j * step] == x[i * step] && j < i);
        if (below == k)
            found = i;
    }
    return found;
}

RUN(sort, tape_sort(x[0], -1, false, NULL))
static void refer_sort(const double *const *x, double *y)
{
    for (int k = 0; k < 120; k++)
        y[k] = x[0][40 * (k / 40) + kth(&x[0][40 * (k / 40)], 40, 1, k % 40)];
}
RUN(sort_down, tape_sort(x[0], 0, true, NULL))
static void refer_sort_down(const double *const *x, double *y)
{
    for (int k = 0; k < 20; k++)
        y[k] = x[0][5 * kth(&x[0][k % 5], 4, 5, 3 - k / 5) + k % 5];
}
static tape_tensor run_sort_indices(const tape_tensor *x)
{
    tape_tensor indices;
    tape_sort(x[0], 0, false, &indices);
    return indices;
}
static void refer_sort_indices(const double *const *x, double *y)
{
    for (int k = 0; k < 20; k++)
        y[k] = kth(&x[0][k % 5], 4, 5, k / 5);
}
RUN(sort_scalar, tape_sort(x[0], 0, false, NULL))
static void refer_same(const double *const *x, double *y)
{
    y[0] = x[0][0];
}

RUN(topk, tape_topk(x[0], 2, 1, false, NULL))
static void refer_topk(const double *const *x, double *y)
{
    for (int k = 0; k < 8; k++)
        y[k] = x[0][5 * (k / 2) + kth(&x[0][5 * (k / 2)], 5, 1, 4 - k % 2)];
}
static tape_tensor run_topk_indices(const tape_tensor *x)
{
    tape_tensor indices;
    tape_topk(x[0], 3, 0, true, &indices);
    return indices;
}
static void refer_topk_indices(const double *const *x, double *y)
{
    for (int k = 0; k < 15; k++)
        y[k] = kth(&x[0][k % 5], 4, 5, k / 5);
}

RUN(searchsorted, tape_searchsorted(tape_sort(x[0], -1, false, NULL), x[1], false))
static void refer_searchsorted(const double *const *x, double *y)
{
    for (int k = 0; k < 12; k++) {
        y[k] = 0;
        for (int j = 0; j < 5; j++)
            y[k] += x[0][5 * (k / 3) + j] < x[1][k];
    }
}
RUN(searchsorted_right, tape_searchsorted(tape_sort(x[0], 0, false, NULL), x[0], true))
static void refer_searchsorted_right(const double *const *x, double *y)
{
    for (int k = 0; k < 6; k++) {
        y[k] = 0;
        for (int j = 0; j < 6; j++)
            y[k] += x[0][j] <= x[0][k];
    }
}

/* ---- all --------------------------------------------------------------------------------------------------------- */

#define SAMPLE(op, label, name, n, ...)                                                                                \
    {                                                                                                                  \
#op, label, n, {__VA_ARGS__ }, run_##name, refer_##name, false, 0                                              \
    }
#define FLAT_SAMPLE(op, label, name, n, ...)                                                                           \
    {                                                                                                                  \
#op, label, n, {__VA_ARGS__ }, run_##name, refer_##name, true, 0                                               \
    }
#define SCALAR                                                                                                         \
    {                                                                                                                  \
        SAMPLE_FLOAT, {0, {0}}, -2, 2                                                                                  \
    }

const struct sample samples_index[] = {
    FLAT_SAMPLE(one_hot, "", one_hot, 1, INDEX(4, 2, 3)),
    {"one_hot", "i32 to u8", 1, {INDEX(4, 2, 3)}, run_one_hot_mask, refer_one_hot, true, 0},
    SAMPLE(gather, "first axis", gather, 2, FLOAT(4, 5), INDEX(4, 3, 5)),
    SAMPLE(gather, "last axis", gather_last, 2, FLOAT(4, 5), INDEX(5, 4, 3)),
    {"gather", "smaller index", 2, {FLOAT(4, 5), INDEX(4, 3, 2)}, run_gather, refer_gather_part, false, 0},
    SAMPLE(place_along, "", place_along, 2, FLOAT(3, 5), INDEX(4, 3, 5)),
    SAMPLE(take_along, "", take_along, 2, FLOAT(2, 3, 2), INDEX(3, 1, 4, 1)),
    SAMPLE(scatter_add, "", scatter_add, 3, FLOAT(4, 5), INDEX(4, 3, 5), FLOAT(3, 5)),
    SAMPLE(scatter_max, "", scatter_max, 3, FLOAT(4, 5), INDEX(4, 3, 5), FLOAT(3, 5)),
    SAMPLE(index_select, "first axis", index_select, 2, FLOAT(4, 5), INDEX(4, 6)),
    SAMPLE(index_select, "last axis", index_select_last, 2, FLOAT(4, 5), INDEX(5, 6)),
    {"index_select",
     "scalar index",
     2,
     {FLOAT(4, 5), {SAMPLE_INDEX, {0, {0}}, 0, 4}},
     run_index_select_scalar,
     refer_index_select_scalar,
     false,
     0},
    SAMPLE(take_rows, "", take_rows, 2, FLOAT(4, 5), INDEX(5, 6)),
    SAMPLE(place_rows, "", place_rows, 2, FLOAT(6, 5), INDEX(4, 6)),
    {"embedding", "", 2, {FLOAT(4, 5), INDEX(4, 3, 2)}, run_embedding, refer_index_select, false, 0},
    SAMPLE(index_get, "broadcast indices", index_get, 3, FLOAT(4, 3, 2), INDEX(4, 2, 1), INDEX(3, 3)),
    SAMPLE(index_get, "negative", index_get_negative, 2, FLOAT(4, 5), INDEX(4, 6)),
    SAMPLE(index_put, "last one stays", index_put, 3, FLOAT(4, 5), FLOAT(6, 5), INDEX(4, 6)),
    {"index_put",
     "accumulate one value",
     4,
     {FLOAT(4, 5), FLOAT(1), INDEX(4, 6), INDEX(5, 6)},
     run_index_put_add,
     refer_index_put_add,
     false,
     0},
    FLAT_SAMPLE(ravel_index, "", ravel_index, 2, INDEX(4, 2, 1), INDEX(4, 3)),
    FLAT_SAMPLE(row_sources, "", row_sources, 1, INDEX(4, 6)),
    FLAT_SAMPLE(mask_positions, "", mask_positions, 1, MASK(3, 4)),
    SAMPLE(masked_select, "", masked_select, 2, FLOAT(3, 4), MASK(3, 4)),
    SAMPLE(masked_select, "broadcast", masked_select_wide, 2, FLOAT(4), MASK(3, 1)),
    SAMPLE(masked_fill, "", masked_fill, 2, FLOAT(3, 4), MASK(4)),
    SAMPLE(sort, "", sort, 1, FLOAT(3, 40)),
    SAMPLE(sort, "descending", sort_down, 1, FLOAT(4, 5)),
    FLAT_SAMPLE(sort, "indices", sort_indices, 1, FLOAT(4, 5)),
    {"sort", "scalar", 1, {SCALAR}, run_sort_scalar, refer_same, false, 0},
    SAMPLE(topk, "", topk, 1, FLOAT(4, 5)),
    FLAT_SAMPLE(topk, "smallest, indices", topk_indices, 1, FLOAT(4, 5)),
    FLAT_SAMPLE(searchsorted, "", searchsorted, 2, FLOAT(4, 5), FLOAT(4, 3)),
    FLAT_SAMPLE(searchsorted, "right, equal values", searchsorted_right, 1, FLOAT(6)),
    {0}};
