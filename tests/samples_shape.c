/* Samples of the ops on shapes: views, joining, padding, cumulative. Most look at a 3 x 4 matrix of floats, element (i,
 * j) of which is x[0][4 * i + j]. */
#include <math.h>

#include "ops/region.h"
#include "support/samples.h"

enum { N = 3, M = 4 };

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
#define SCALAR                                                                                                         \
    {                                                                                                                  \
        SAMPLE_FLOAT, {0, {0}}, -2, 2                                                                                  \
    }

#define RUN(name, expression)                                                                                          \
    static tape_tensor run_##name(const tape_tensor *x)                                                                \
    {                                                                                                                  \
        return expression;                                                                                             \
    }

/* y[k] = x[0][source(k)] for k < count; a negative source is 0. */
#define PICK(name, count, source)                                                                                      \
    static void refer_##name(const double *const *x, double *y)                                                        \
    {                                                                                                                  \
        for (int k = 0; k < (count); k++) {                                                                            \
            int from = (source);                                                                                       \
            y[k] = from < 0 ? 0 : x[0][from];                                                                          \
        }                                                                                                              \
    }

/* ---- views ------------------------------------------------------------------------------------------------------- */

PICK(same, N *M, k)
PICK(same_scalar, 1, k)
PICK(transposed, N *M, M *(k % N) + k / N)
PICK(nothing, 0, k)
RUN(reshape, tape_reshape(x[0], TAPE_SHAPE(2, -1, 3)))
RUN(reshape_copy, tape_reshape(tape_transpose(x[0], 0, 1), TAPE_SHAPE(6, 2)))
RUN(reshape_scalar, tape_reshape(x[0], TAPE_SHAPE(1, 1)))
RUN(reshape_empty, tape_reshape(x[0], TAPE_SHAPE(4, 0, 2)))
RUN(flatten, tape_flatten(x[0], 1, -1))
RUN(flatten_scalar, tape_flatten(x[0], 0, -1))
RUN(squeeze, tape_squeeze(x[0], TAPE_ALL))
RUN(squeeze_some, tape_squeeze(x[0], TAPE_AXES(0, 1)))
RUN(unsqueeze, tape_unsqueeze(x[0], -2))
RUN(unsqueeze_scalar, tape_unsqueeze(x[0], 0))
RUN(permute, tape_permute(x[0], TAPE_AXES(2, -3, 1)))
/* [2, 3, 2] to [2, 2, 3]: (c, a, b) comes from (a, b, c). */
PICK(permute, 12, 6 * (k / 3 % 2) + 2 * (k % 3) + k / 6)
RUN(transpose, tape_transpose(x[0], 1, -2))

RUN(expand, tape_expand(x[0], TAPE_SHAPE(2, 3, 4)))
PICK(expand, 24, k / 4 % 3)
RUN(expand_keep, tape_expand(x[0], TAPE_SHAPE(2, -1, -1)))
PICK(expand_keep, 24, k % 12)
RUN(expand_scalar, tape_expand(x[0], TAPE_SHAPE(3)))
PICK(expand_scalar, 3, 0)
RUN(expand_empty, tape_expand(x[0], TAPE_SHAPE(0, 3)))

RUN(flip, tape_flip(x[0], TAPE_AXES(-1)))
PICK(flip, N *M, M *(k / M) + M - 1 - k % M)
RUN(flip_all, tape_flip(x[0], TAPE_ALL))
PICK(flip_all, N *M, N *M - 1 - k)

RUN(slice, tape_slice(x[0], 1, 1, TAPE_END, 2))
PICK(slice, 6, M *(k / 2) + 1 + k % 2 * 2)
RUN(slice_back, tape_slice(x[0], 0, TAPE_END, TAPE_END, -2))
PICK(slice_back, 8, M *(2 - k / M * 2) + k % M)
RUN(slice_negative, tape_slice(x[0], -1, -3, -1, 1))
PICK(slice_negative, 6, M *(k / 2) + 1 + k % 2)
RUN(slice_empty, tape_slice(x[0], 1, 3, 1, 1))
/* Twenty overlapping slices of one tensor add up. */
static tape_tensor run_slices(const tape_tensor *x)
{
    tape_tensor y = tape_slice(x[0], 0, 0, 3, 1);
    for (int i = 1; i < 8; i++)
        y = tape_mul(y, tape_slice(x[0], 0, i, i + 3, 1));
    return y;
}
static void refer_slices(const double *const *x, double *y)
{
    for (int k = 0; k < 3; k++) {
        y[k] = 1;
        for (int i = 0; i < 8; i++)
            y[k] *= x[0][k + i];
    }
}

RUN(narrow, tape_narrow(x[0], 1, -3, 2))
RUN(select, tape_select(x[0], 1, -2))
PICK(select, N, M *k + 2)
RUN(select_vector, tape_select(x[0], 0, 1))
PICK(select_vector, 1, 1)

static tape_tensor run_split(const tape_tensor *x)
{
    tape_tensor part[2];
    int n = tape_split(x[0], 1, 3, part, 2);
    return n == 2 ? tape_mul(tape_narrow(part[0], 1, 1, 1), part[1]) : n == 1 ? part[0] : TAPE_NULL;
}
static void refer_split(const double *const *x, double *y)
{
    for (int i = 0; i < N; i++)
        y[i] = x[0][M * i + 1] * x[0][M * i + 3];
}

static tape_tensor run_chunk(const tape_tensor *x)
{
    tape_tensor part[2];
    int n = tape_chunk(x[0], 0, 2, part);
    return n == 2 ? tape_mul(part[0], part[1]) : n == 1 ? part[0] : TAPE_NULL; /* 2 rows and 1 row */
}
static void refer_chunk(const double *const *x, double *y)
{
    for (int k = 0; k < 2 * M; k++)
        y[k] = x[0][k] * x[0][2 * M + k % M];
}

RUN(cast, tape_cast(x[0], TAPE_F64))
RUN(cast_back, tape_cast(tape_cast(x[0], TAPE_F64), tape_dtype_of(x[0])))
RUN(cast_integer, tape_cast(x[0], TAPE_I32))
static void refer_cast_integer(const double *const *x, double *y)
{
    for (int k = 0; k < N * M; k++)
        y[k] = trunc(x[0][k]);
}

RUN(diagonal, tape_diagonal(x[0], 1, 0, 1))
PICK(diagonal, 3, M *k + k + 1)
RUN(diagonal_below, tape_diagonal(x[0], -1, 2, 0))
/* [2, 3, 2]: axis 2 counts rows, axis 0 columns; element (1, 0) for each of the middle axis. */
PICK(diagonal_below, 3, 2 * k + 1)
RUN(unfold, tape_unfold(x[0], 1, 3, 1))
PICK(unfold, 18, M *(k / 6) + k / 3 % 2 + k % 3)
RUN(unfold_apart, tape_unfold(x[0], 0, 1, 2))
PICK(unfold_apart, 8, 8 * (k / 4) + k % 4)

static const tape__region every_other = {1, 2, {N, 2}, {M, 2}};
RUN(place_region, tape__place_region(x[0], &every_other, TAPE_SHAPE(N, M)))
PICK(place_region, N *M, k % M % 2 == 0 ? -1 : 2 * (k / M) + k % M / 2)
RUN(take_region, tape__take_region(x[0], &every_other, TAPE_SHAPE(N, M)))
PICK(take_region, 2 * N, M *(k / 2) + 1 + k % 2 * 2)

/* ---- joining and padding ----------------------------------------------------------------------------------------- */

RUN(concat, tape_concat(x, 3, 1))
/* [3, 4], [3, 2], [3, 1] */
static void refer_concat(const double *const *x, double *y)
{
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < 4; j++)
            *y++ = x[0][4 * i + j];
        for (int j = 0; j < 2; j++)
            *y++ = x[1][2 * i + j];
        *y++ = x[2][i];
    }
}
RUN(concat_twice, tape_concat((tape_tensor[]){x[0], x[0]}, 2, 0))
PICK(concat_twice, 2 * N * M, k % (N * M))
RUN(concat_empty, tape_concat(x, 2, 0))

RUN(stack, tape_stack(x, 2, -1))
static void refer_stack(const double *const *x, double *y)
{
    for (int k = 0; k < N * M; k++) {
        y[2 * k] = x[0][k];
        y[2 * k + 1] = x[1][k];
    }
}
RUN(stack_scalar, tape_stack(x, 1, 0))

#define PAD(name, mode_, value_)                                                                                       \
    static tape_tensor run_pad_##name(const tape_tensor *x)                                                            \
    {                                                                                                                  \
        const tape_pad_options o = {.before = {1, 2}, .after = {2, 1}, .mode = (mode_), .value = (value_)};            \
        return tape_pad(x[0], &o);                                                                                     \
    }
/* y[i, j] is x at (row(i - 1), column(j - 2)), where an index of -1 says that it lies outside. */
#define REFER_PAD(name, index, value)                                                                                  \
    static void refer_pad_##name(const double *const *x, double *y)                                                    \
    {                                                                                                                  \
        for (int k = 0; k < 6 * 7; k++) {                                                                              \
            int i = index(k / 7 - 1, N), j = index(k % 7 - 2, M);                                                      \
            y[k] = i < 0 || j < 0 ? (value) : x[0][M * i + j];                                                         \
        }                                                                                                              \
    }
static int inside(int i, int n)
{
    return i < 0 || i >= n ? -1 : i;
}
static int mirrored(int i, int n)
{
    return i < 0 ? -i : i >= n ? 2 * n - 2 - i : i;
}
static int nearest(int i, int n)
{
    return i < 0 ? 0 : i >= n ? n - 1 : i;
}
static int wrapped(int i, int n)
{
    return (i + n) % n;
}
PAD(constant, TAPE_PAD_CONSTANT, 0.5)
REFER_PAD(constant, inside, 0.5)
PAD(reflect, TAPE_PAD_REFLECT, 0)
REFER_PAD(reflect, mirrored, 0)
PAD(replicate, TAPE_PAD_REPLICATE, 0)
REFER_PAD(replicate, nearest, 0)
PAD(circular, TAPE_PAD_CIRCULAR, 0)
REFER_PAD(circular, wrapped, 0)
static tape_tensor run_pad_crop(const tape_tensor *x)
{
    return tape_pad(x[0], &(tape_pad_options){.before = {-1, 1}, .after = {0, -2}});
}
PICK(pad_crop, 6, k % 3 == 0 ? -1 : M * (k / 3 + 1) + k % 3 - 1)

RUN(roll, tape_roll(x[0], 1, -5))
PICK(roll, N *M, M *(k / M) + (k + 1) % M)
RUN(repeat, tape_repeat(x[0], TAPE_SHAPE(2, 1, 3)))
PICK(repeat, 72, M *(k / 12 % 3) + k % 4)
RUN(tile, tape_tile(x[0], TAPE_SHAPE(2)))
PICK(tile, 24, M *(k / 8) + k % 4)
RUN(tile_none, tape_tile(x[0], TAPE_SHAPE(0, 2)))

RUN(tril, tape_tril(x[0], 1))
PICK(tril, N *M, k % M - k / M <= 1 ? k : -1)
RUN(triu, tape_triu(x[0], -1))
PICK(triu, N *M, k % M - k / M >= -1 ? k : -1)
RUN(tril_batch, tape_tril(x[0], 0))
PICK(tril_batch, 12, k % 2 <= k / 2 % 3 ? k : -1)
RUN(diag, tape_diag(x[0], -1))
PICK(diag, 2, M *(k + 1) + k)
RUN(diag_vector, tape_diag(x[0], 1))
PICK(diag_vector, 9, k == 1 ? 0 : k == 5 ? 1 : -1)

/* ---- cumulative -------------------------------------------------------------------------------------------------- */

RUN(cumsum, tape_cumsum(x[0], 0))
static void refer_cumsum(const double *const *x, double *y)
{
    for (int k = 0; k < N * M; k++)
        y[k] = x[0][k] + (k >= M ? y[k - M] : 0);
}
RUN(cumsum_last, tape_cumsum(x[0], -1))
static void refer_cumsum_last(const double *const *x, double *y)
{
    for (int k = 0; k < N * M; k++)
        y[k] = x[0][k] + (k % M ? y[k - 1] : 0);
}
RUN(cumsum_scalar, tape_cumsum(x[0], 0))

RUN(cumprod, tape_cumprod(x[0], 1))
static void refer_cumprod(const double *const *x, double *y)
{
    for (int k = 0; k < N * M; k++)
        y[k] = x[0][k] * (k % M ? y[k - 1] : 1);
}
RUN(cumprod_scalar, tape_cumprod(x[0], -1))

RUN(logcumsumexp, tape_logcumsumexp(x[0], 0))
static void refer_logcumsumexp(const double *const *x, double *y)
{
    for (int k = 0; k < N * M; k++) {
        double sum = 0;
        for (int i = k % M; i <= k; i += M)
            sum += exp(x[0][i]);
        y[k] = log(sum);
    }
}
RUN(logcumsumexp_scalar, tape_logcumsumexp(x[0], 0))

static tape_tensor run_cummax(const tape_tensor *x)
{
    return tape_cummax(x[0], 1, NULL);
}
static void refer_cummax(const double *const *x, double *y)
{
    for (int k = 0; k < N * M; k++)
        y[k] = k % M && y[k - 1] > x[0][k] ? y[k - 1] : x[0][k];
}
static tape_tensor run_cummax_indices(const tape_tensor *x)
{
    tape_tensor indices;
    tape_cummax(x[0], 0, &indices);
    return indices;
}
static void refer_cummax_indices(const double *const *x, double *y)
{
    for (int k = 0; k < N * M; k++) {
        y[k] = 0;
        for (int i = 1; i <= k / M; i++)
            if (x[0][M * i + k % M] >= x[0][M * (int)y[k] + k % M])
                y[k] = i;
    }
}

static tape_tensor run_linear_scan(const tape_tensor *x)
{
    return tape__run(TAPE__OP_linear_scan, x, 2, (int64_t[]){0, 0}, 2 * sizeof(int64_t));
}
static void refer_linear_scan(const double *const *x, double *y)
{
    for (int k = 0; k < N * M; k++)
        y[k] = x[1][k] + (k >= M ? x[0][k] * y[k - M] : 0);
}
static tape_tensor run_linear_scan_reverse(const tape_tensor *x)
{
    return tape__run(TAPE__OP_linear_scan, x, 2, (int64_t[]){-1, 1}, 2 * sizeof(int64_t));
}
static void refer_linear_scan_reverse(const double *const *x, double *y)
{
    for (int k = N * M - 1; k >= 0; k--)
        y[k] = x[1][k] + (k % M < M - 1 ? x[0][k] * y[k + 1] : 0);
}

/* ---- all --------------------------------------------------------------------------------------------------------- */

#define ONE(op, label, name, input)                                                                                    \
    {                                                                                                                  \
#op, label, 1, {input }, run_##name, refer_##name, false, 0                                                    \
    }
#define ONE_AS(op, label, run, reference, input)                                                                       \
    {                                                                                                                  \
#op, label, 1, {input }, run_##run, refer_##reference, false, 0                                                \
    }
#define MATRIX FLOAT(N, M)

const struct sample samples_shape[] = {
    ONE_AS(reshape, "view", reshape, same, MATRIX),
    ONE_AS(reshape, "copy", reshape_copy, transposed, MATRIX),
    ONE_AS(reshape, "scalar", reshape_scalar, same_scalar, SCALAR),
    ONE_AS(reshape, "empty", reshape_empty, nothing, FLOAT(2, 0)),
    ONE_AS(flatten, "", flatten, same, FLOAT(2, 3, 2)),
    ONE_AS(flatten, "scalar", flatten_scalar, same_scalar, SCALAR),
    ONE_AS(squeeze, "all", squeeze, same, FLOAT(1, 3, 1, 4)),
    ONE_AS(squeeze, "some", squeeze_some, same, FLOAT(1, 3, 1, 4)),
    ONE_AS(unsqueeze, "", unsqueeze, same, MATRIX),
    ONE_AS(unsqueeze, "scalar", unsqueeze_scalar, same_scalar, SCALAR),
    ONE(permute, "", permute, FLOAT(2, 3, 2)),
    ONE_AS(transpose, "", transpose, transposed, MATRIX),
    ONE(expand, "", expand, FLOAT(3, 1)),
    ONE(expand, "kept sizes", expand_keep, MATRIX),
    ONE(expand, "scalar", expand_scalar, SCALAR),
    ONE_AS(expand, "to nothing", expand_empty, nothing, FLOAT(1, 3)),
    ONE(flip, "one axis", flip, MATRIX),
    ONE(flip, "all axes", flip_all, MATRIX),
    ONE(slice, "", slice, MATRIX),
    ONE(slice, "negative step", slice_back, MATRIX),
    ONE(slice, "negative bounds", slice_negative, MATRIX),
    ONE_AS(slice, "empty", slice_empty, nothing, MATRIX),
    ONE(slice, "many of one", slices, FLOAT(10)),
    ONE_AS(narrow, "", narrow, slice_negative, MATRIX),
    ONE(select, "", select, MATRIX),
    ONE(select, "to a scalar", select_vector, FLOAT(3)),
    ONE(split, "", split, MATRIX),
    ONE(chunk, "", chunk, MATRIX),
    ONE_AS(cast, "", cast, same, MATRIX),
    ONE_AS(cast, "to f64 and back", cast_back, same, MATRIX),
    {"cast", "to integers", 1, {MATRIX}, run_cast_integer, refer_cast_integer, true, 0},
    ONE(diagonal, "", diagonal, MATRIX),
    ONE(diagonal, "below, axes turned", diagonal_below, FLOAT(2, 3, 2)),
    ONE(unfold, "overlapping", unfold, MATRIX),
    ONE(unfold, "apart", unfold_apart, MATRIX),
    ONE(place_region, "", place_region, FLOAT(N, 2)),
    ONE(take_region, "", take_region, MATRIX),
    {"concat", "", 3, {FLOAT(3, 4), FLOAT(3, 2), FLOAT(3, 1)}, run_concat, refer_concat, false, 0},
    ONE(concat, "one tensor twice", concat_twice, MATRIX),
    {"concat", "with an empty one", 2, {MATRIX, FLOAT(0, M)}, run_concat_empty, refer_same, false, 0},
    {"stack", "", 2, {MATRIX, MATRIX}, run_stack, refer_stack, false, 0},
    {"stack", "one scalar", 1, {SCALAR}, run_stack_scalar, refer_same_scalar, false, 0},
    ONE(pad, "constant", pad_constant, MATRIX),
    ONE(pad, "crop", pad_crop, MATRIX),
    ONE(pad, "reflect", pad_reflect, MATRIX),
    ONE(pad, "replicate", pad_replicate, MATRIX),
    ONE(pad, "circular", pad_circular, MATRIX),
    ONE(pad_constant, "", pad_constant, MATRIX),
    ONE(roll, "", roll, MATRIX),
    ONE(repeat, "", repeat, MATRIX),
    ONE(tile, "", tile, MATRIX),
    ONE_AS(tile, "to nothing", tile_none, nothing, MATRIX),
    ONE(tril, "", tril, MATRIX),
    ONE(tril, "batch", tril_batch, FLOAT(2, 3, 2)),
    ONE(triu, "", triu, MATRIX),
    ONE(diag, "of a matrix", diag, MATRIX),
    ONE(diag, "of a vector", diag_vector, FLOAT(2)),
    ONE(cumsum, "first axis", cumsum, MATRIX),
    ONE(cumsum, "last axis", cumsum_last, MATRIX),
    ONE_AS(cumsum, "scalar", cumsum_scalar, same_scalar, SCALAR),
    ONE_AS(cumsum, "empty", cumsum, nothing, FLOAT(0, 3)),
    ONE(cumprod, "", cumprod, MATRIX),
    ONE_AS(cumprod, "scalar", cumprod_scalar, same_scalar, SCALAR),
    ONE_AS(cumprod, "empty", cumprod, nothing, FLOAT(3, 0)),
    ONE(logcumsumexp, "", logcumsumexp, MATRIX),
    ONE_AS(logcumsumexp, "scalar", logcumsumexp_scalar, same_scalar, SCALAR),
    ONE_AS(logcumsumexp, "empty", logcumsumexp, nothing, FLOAT(0, 3)),
    ONE(cummax, "", cummax, MATRIX),
    {"cummax", "indices", 1, {MATRIX}, run_cummax_indices, refer_cummax_indices, true, 0},
    {"linear_scan", "", 2, {MATRIX, MATRIX}, run_linear_scan, refer_linear_scan, false, 0},
    {"linear_scan", "reverse", 2, {MATRIX, MATRIX}, run_linear_scan_reverse, refer_linear_scan_reverse, false, 0},
    {0}};
