/* Knows what the ops on shapes promise beyond their samples: what is a view, extreme arguments, zeros, errors. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "support/expect.h"
#include "support/table.h"

static tape_tensor matrix(void)
{
    return PARAM(TAPE_SHAPE(2, 3), 1, 2, 3, 4, 5, 6);
}

/* ---- views ------------------------------------------------------------------------------------------------------- */

static bool shares(tape_tensor view, tape_tensor x, int64_t offset)
{
    const double *base = tape_data_f64(x), *data = tape_data_f64(view);
    return data && data == base + offset;
}

START_TEST(test_no_copy)
{
    tape_tensor x = PARAM(TAPE_SHAPE(2, 3, 2), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11);
    ck_assert(shares(tape_reshape(x, TAPE_SHAPE(3, 4)), x, 0));
    ck_assert(shares(tape_flatten(x, 0, -1), x, 0));
    ck_assert(shares(tape_unsqueeze(x, 1), x, 0));
    ck_assert(shares(tape_select(x, 0, 1), x, 6));
    ck_assert(shares(tape_narrow(x, 0, 1, 1), x, 6));
    ck_assert(shares(tape_cast(x, TAPE_F64), x, 0));
    ck_assert(shares(tape_permute(x, TAPE_AXES(0, 1, 2)), x, 0));
    /* Axes that lie as one are merged without a copy even if the whole is not contiguous. */
    tape_tensor part = tape_narrow(x, 2, 0, 1);
    ck_assert(!tape_is_contiguous(part));
    ck_assert(!tape_is_contiguous(tape_reshape(part, TAPE_SHAPE(6))));
    ck_assert(tape_is_contiguous(tape_reshape(tape_transpose(x, 0, 1), TAPE_SHAPE(12))));
    EXPECT_AS(tape_reshape(part, TAPE_SHAPE(3, 2)), TAPE_SHAPE(3, 2), 0, 2, 4, 6, 8, 10);
    settle();
}
END_TEST

START_TEST(test_every_dtype)
{
    for (int dtype = TAPE_F32; dtype <= TAPE_U8; dtype++) {
        tape_tensor x = CONSTANT((tape_dtype)dtype, TAPE_SHAPE(2, 3), 1, 2, 3, 4, 5, 6);
        EXPECT_AS(tape_reshape(tape_transpose(x, 0, 1), TAPE_SHAPE(6)), TAPE_SHAPE(6), 1, 4, 2, 5, 3, 6);
        EXPECT_AS(tape_flip(x, TAPE_AXES(1)), TAPE_SHAPE(2, 3), 3, 2, 1, 6, 5, 4);
        EXPECT_AS(tape_concat((tape_tensor[]){x, x}, 2, 1), TAPE_SHAPE(2, 6), 1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6);
        EXPECT_AS(tape_pad(x, &(tape_pad_options){.after = {0, 1}, .value = 7}), TAPE_SHAPE(2, 4), 1, 2, 3, 7, 4, 5, 6,
                  7);
        EXPECT_AS(tape_tril(x, 0), TAPE_SHAPE(2, 3), 1, 0, 0, 4, 5, 0);
        ck_assert_int_eq(tape_dtype_of(tape_repeat(x, TAPE_SHAPE(1, 2))), dtype);
    }
    settle();
}
END_TEST

START_TEST(test_rank_limits)
{
    const tape_shape eight = TAPE_SHAPE(1, 2, 1, 1, 3, 1, 1, 1);
    tape_tensor x = PARAM(eight, 1, 2, 3, 4, 5, 6);
    EXPECT_AS(tape_permute(x, TAPE_AXES(7, 6, 5, 4, 3, 2, 1, 0)), TAPE_SHAPE(1, 1, 1, 3, 1, 1, 2, 1), 1, 4, 2, 5, 3, 6);
    EXPECT_AS(tape_squeeze(x, TAPE_ALL), TAPE_SHAPE(2, 3), 1, 2, 3, 4, 5, 6);
    EXPECT_ERROR(tape_unsqueeze(x, 0), TAPE_ERROR_SHAPE, "unsqueeze");
    EXPECT_ERROR(tape_stack(&x, 1, 0), TAPE_ERROR_SHAPE, "stack");
    EXPECT_ERROR(tape_unfold(x, 0, 1, 1), TAPE_ERROR_SHAPE, "unfold");
    EXPECT_ERROR(tape_reshape(x, (tape_shape){9, {1}}), TAPE_ERROR_ARGUMENT, "rank 9");
    EXPECT_ERROR(tape_reshape(x, (tape_shape){-1, {1}}), TAPE_ERROR_ARGUMENT, "rank -1");
    EXPECT_ERROR(tape_expand(x, (tape_shape){INT32_MAX, {1}}), TAPE_ERROR_ARGUMENT, "rank");
    EXPECT_ERROR(tape_permute(x, (tape_axes){INT32_MIN, {0}}), TAPE_ERROR_ARGUMENT, "permute");
    EXPECT_ERROR(tape_flip(x, (tape_axes){9, {0}}), TAPE_ERROR_ARGUMENT, "flip");
    EXPECT_ERROR(tape_tile(x, (tape_shape){9, {1}}), TAPE_ERROR_ARGUMENT, "tile");
    settle();
}
END_TEST

/* What lies far outside a short line does not depend on how far. */
static int near(int64_t number)
{
    return number < -10 ? -10 : number > 10 ? 10 : (int)number;
}

static int bound(int at, int n, int lowest, int highest)
{
    at = at < 0 ? at + n : at;
    return at < lowest ? lowest : at > highest ? highest : at;
}

/* The elements of range(n)[start:stop:step], one by one as Python defines them. */
static int python(int n, int64_t start, int64_t stop, int64_t step, double *elements)
{
    bool forward = step > 0;
    int first = bound(near(start), n, forward ? 0 : -1, forward ? n : n - 1), count = 0;
    int end = bound(near(stop), n, forward ? 0 : -1, forward ? n : n - 1);
    if (!forward && stop == TAPE_END)
        end = -1;
    for (int i = first; forward ? i < end : i > end; i += near(step))
        elements[count++] = i;
    return count;
}

START_TEST(test_slices)
{
    static const int64_t bounds[] = {INT64_MIN, INT64_MIN + 1, -6,      -5, -4, -2, -1, 0, 1, 3, 4, 5,
                                     6,         INT64_MAX - 1, TAPE_END};
    static const int64_t steps[] = {INT64_MIN, -INT64_MAX, -5, -3, -1, 1, 2, 4, 5, INT64_MAX};
    enum { BOUNDS = sizeof bounds / sizeof *bounds, STEPS = sizeof steps / sizeof *steps };
    static const double values[] = {0, 1, 2, 3, 4};
    for (int n = 0; n <= 5; n++) {
        tape_tensor x = tape_const(TAPE_F64, TAPE_SHAPE(n), values);
        for (int c = 0; c < BOUNDS * BOUNDS * STEPS; c++) {
            int64_t start = bounds[c % BOUNDS], stop = bounds[c / BOUNDS % BOUNDS], step = steps[c / BOUNDS / BOUNDS];
            double expected[5];
            int count = python(n, start, stop, step, expected);
            tape_tensor y = tape_slice(x, 0, start, stop, step);
            EXPECT_SHAPE(y, TAPE_SHAPE(count));
            expect_values(__FILE__, __LINE__, y, expected, count);
            tape_reset();
        }
    }
    settle();
}
END_TEST

START_TEST(test_view_errors)
{
    tape_tensor x = matrix(), s = PARAM(TAPE_SCALAR, 1);
    EXPECT_ERROR(tape_reshape(x, TAPE_SHAPE(4)), TAPE_ERROR_SHAPE, "reshape: cannot show [2, 3] as [4]");
    EXPECT_ERROR(tape_reshape(x, TAPE_SHAPE(-1, -1)), TAPE_ERROR_SHAPE, "reshape");
    EXPECT_ERROR(tape_reshape(x, TAPE_SHAPE(-1, 4)), TAPE_ERROR_SHAPE, "reshape");
    EXPECT_ERROR(tape_reshape(x, TAPE_SHAPE(-1, 0)), TAPE_ERROR_SHAPE, "reshape");
    EXPECT_ERROR(tape_reshape(x, TAPE_SHAPE(-2, -3)), TAPE_ERROR_SHAPE, "reshape");
    EXPECT_ERROR(tape_reshape(x, TAPE_SHAPE(INT64_MAX, INT64_MAX)), TAPE_ERROR_SHAPE, "reshape");
    EXPECT_ERROR(tape_flatten(x, 1, 0), TAPE_ERROR_ARGUMENT, "flatten");
    EXPECT_ERROR(tape_flatten(x, INT32_MIN, INT32_MAX), TAPE_ERROR_ARGUMENT, "flatten");
    EXPECT_ERROR(tape_squeeze(x, TAPE_AXES(2)), TAPE_ERROR_ARGUMENT, "squeeze");
    EXPECT_ERROR(tape_unsqueeze(x, 3), TAPE_ERROR_ARGUMENT, "unsqueeze");
    EXPECT_ERROR(tape_unsqueeze(x, INT32_MIN), TAPE_ERROR_ARGUMENT, "unsqueeze");
    EXPECT_ERROR(tape_permute(x, TAPE_AXES(0, 0)), TAPE_ERROR_ARGUMENT, "permute");
    EXPECT_ERROR(tape_permute(x, TAPE_AXES(0)), TAPE_ERROR_ARGUMENT, "permute");
    EXPECT_ERROR(tape_permute(x, TAPE_ALL), TAPE_ERROR_ARGUMENT, "permute");
    EXPECT_ERROR(tape_transpose(x, 0, 2), TAPE_ERROR_ARGUMENT, "transpose: axis 2 is out of range for [2, 3]");
    EXPECT_ERROR(tape_transpose(s, 0, 1), TAPE_ERROR_ARGUMENT, "transpose");
    EXPECT_ERROR(tape_expand(x, TAPE_SHAPE(2, 4)), TAPE_ERROR_SHAPE, "expand: cannot stretch [2, 3] to [2, 4]");
    EXPECT_ERROR(tape_expand(x, TAPE_SHAPE(3)), TAPE_ERROR_ARGUMENT, "expand");
    EXPECT_ERROR(tape_expand(x, TAPE_SHAPE(-1, 2, 3)), TAPE_ERROR_SHAPE, "expand");
    EXPECT_ERROR(tape_expand(s, TAPE_SHAPE(INT64_MAX, 2)), TAPE_ERROR_SHAPE, "expand");
    EXPECT_ERROR(tape_flip(x, TAPE_AXES(1, -1)), TAPE_ERROR_ARGUMENT, "flip");
    EXPECT_ERROR(tape_slice(x, 1, 0, 1, 0), TAPE_ERROR_ARGUMENT, "slice: the step is 0");
    EXPECT_ERROR(tape_slice(s, 0, 0, 1, 1), TAPE_ERROR_ARGUMENT, "slice");
    EXPECT_ERROR(tape_narrow(x, 1, 2, 2), TAPE_ERROR_ARGUMENT, "narrow");
    EXPECT_ERROR(tape_narrow(x, 1, INT64_MIN, 1), TAPE_ERROR_ARGUMENT, "narrow");
    EXPECT_ERROR(tape_narrow(x, 1, 1, INT64_MAX), TAPE_ERROR_ARGUMENT, "narrow");
    EXPECT_ERROR(tape_narrow(x, 1, 1, -1), TAPE_ERROR_ARGUMENT, "narrow");
    EXPECT_ERROR(tape_select(x, 1, 3), TAPE_ERROR_ARGUMENT, "select");
    EXPECT_ERROR(tape_select(x, 1, -4), TAPE_ERROR_ARGUMENT, "select");
    EXPECT_ERROR(tape_diagonal(x, 0, 1, -1), TAPE_ERROR_ARGUMENT, "diagonal");
    EXPECT_ERROR(tape_unfold(x, 1, 4, 1), TAPE_ERROR_ARGUMENT, "unfold");
    EXPECT_ERROR(tape_unfold(x, 1, 1, 0), TAPE_ERROR_ARGUMENT, "unfold");
    EXPECT_ERROR(tape_unfold(x, 1, INT64_MIN, INT64_MIN), TAPE_ERROR_ARGUMENT, "unfold");
    EXPECT_ERROR(tape_cast(x, (tape_dtype)5), TAPE_ERROR_DTYPE, "cast");
    EXPECT_SHAPE(tape_diagonal(x, 3, 0, 1), TAPE_SHAPE(0));
    EXPECT_SHAPE(tape_diagonal(x, INT64_MAX, 0, 1), TAPE_SHAPE(0));
    EXPECT_SHAPE(tape_diagonal(x, INT64_MIN, 0, 1), TAPE_SHAPE(0));
    EXPECT_AS(tape_unfold(x, 1, 2, INT64_MAX), TAPE_SHAPE(2, 1, 2), 1, 2, 4, 5);
    EXPECT_SHAPE(tape_unfold(x, 1, 0, 2), TAPE_SHAPE(2, 2, 0));
    settle();
}
END_TEST

START_TEST(test_squeeze_leaves_other_sizes)
{
    EXPECT_AS(tape_squeeze(matrix(), TAPE_AXES(0)), TAPE_SHAPE(2, 3), 1, 2, 3, 4, 5, 6);
    EXPECT_AS(tape_squeeze(PARAM(TAPE_SHAPE(1, 1), 5), TAPE_ALL), TAPE_SCALAR, 5);
    EXPECT_AS(tape_transpose(PARAM(TAPE_SCALAR, 5), 0, -1), TAPE_SCALAR, 5);
    settle();
}
END_TEST

/* Elements that several windows show sum what the windows get; all others stay 0. */
START_TEST(test_regions_add)
{
    tape_tensor x = PARAM(TAPE_SHAPE(5), 1, 2, 3, 4, 5);
    EXPECT_AS(DERIVATIVE(tape_unfold(x, 0, 3, 1), x, 1, 2, 3, 10, 20, 30, 100, 200, 300), TAPE_SHAPE(5), 1, 12, 123,
              230, 300);
    EXPECT_AS(DERIVATIVE(tape_slice(x, 0, -2, TAPE_END, -2), x, 7, 8), TAPE_SHAPE(5), 0, 8, 0, 7, 0);
    EXPECT_AS(DERIVATIVE(tape_select(x, 0, 4), x, 3), TAPE_SHAPE(5), 0, 0, 0, 0, 3);
    EXPECT_AS(DERIVATIVE(tape_slice(x, 0, 4, 1, 1), x, 0), TAPE_SHAPE(5), 0, 0, 0, 0, 0);
    tape_tensor m = matrix();
    EXPECT_AS(DERIVATIVE(tape_diagonal(m, 1, 0, 1), m, 5, 7), TAPE_SHAPE(2, 3), 0, 5, 0, 0, 0, 7);
    /* A view of a view goes back through both. */
    EXPECT_AS(DERIVATIVE(tape_select(tape_transpose(m, 0, 1), 0, 2), m, 5, 7), TAPE_SHAPE(2, 3), 0, 0, 5, 0, 0, 7);
    settle();
}
END_TEST

/* ---- cast -------------------------------------------------------------------------------------------------------- */

START_TEST(test_cast)
{
    tape_tensor x = CONSTANT(TAPE_F64, TAPE_SHAPE(7), 1.9, -1.9, 300, -1e300, 1e300, NAN, INFINITY);
    EXPECT_AS(tape_cast(x, TAPE_U8), TAPE_SHAPE(7), 1, 0, 255, 0, 255, 0, 255);
    EXPECT_AS(tape_cast(x, TAPE_I32), TAPE_SHAPE(7), 1, -1, 300, INT32_MIN, INT32_MAX, 0, INT32_MAX);
    EXPECT_AS(tape_cast(tape_cast(x, TAPE_U8), TAPE_F32), TAPE_SHAPE(7), 1, 0, 255, 0, 255, 0, 255);
    /* Half of the way through f32 the cotangent is rounded, and through integers it ends. */
    tape_tensor p = PARAM(TAPE_SHAPE(2), 0.5, 2), y = tape_cast(tape_cast(p, TAPE_F32), TAPE_F64);
    EXPECT_AS(DERIVATIVE(y, p, 0.25, 1 + 0x1p-40), TAPE_SHAPE(2), 0.25, 1);
    tape_tensor none = tape_cast(tape_cast(p, TAPE_I64), TAPE_F64), one = tape_ones_like(none), gx;
    ck_assert_int_eq(tape_grad(&none, 1, &one, &p, 1, NULL, &gx), TAPE_OK);
    ck_assert(tape_is_none(gx));
    settle();
}
END_TEST

/* ---- joining and padding ----------------------------------------------------------------------------------------- */

START_TEST(test_join_errors)
{
    tape_tensor x = matrix(), v = PARAM(TAPE_SHAPE(3), 1, 2, 3), s = PARAM(TAPE_SCALAR, 1);
    tape_tensor f = CONSTANT(TAPE_F32, TAPE_SHAPE(3), 1, 2, 3);
    EXPECT_ERROR(tape_concat(NULL, 0, 0), TAPE_ERROR_ARGUMENT, "concat: expects at least one tensor");
    EXPECT_ERROR(tape_concat(&x, -3, 0), TAPE_ERROR_ARGUMENT, "concat");
    EXPECT_ERROR(tape_concat(&x, 1, 2), TAPE_ERROR_ARGUMENT, "concat: axis 2");
    EXPECT_ERROR(tape_concat(&s, 1, 0), TAPE_ERROR_ARGUMENT, "concat");
    EXPECT_ERROR(tape_concat((tape_tensor[]){x, v}, 2, 0), TAPE_ERROR_SHAPE, "tensor 1 has shape [3]");
    EXPECT_ERROR(tape_concat((tape_tensor[]){v, f}, 2, 0), TAPE_ERROR_DTYPE, "f64 and f32");
    EXPECT_ERROR(tape_stack((tape_tensor[]){v, x}, 2, 0), TAPE_ERROR_SHAPE, "stack");
    EXPECT_ERROR(tape_stack(&v, 1, 2), TAPE_ERROR_ARGUMENT, "stack");
    EXPECT_ERROR(tape_stack(NULL, 0, 0), TAPE_ERROR_ARGUMENT, "stack");
    EXPECT_ERROR(tape_roll(x, 2, 1), TAPE_ERROR_ARGUMENT, "roll");
    EXPECT_ERROR(tape_repeat(x, TAPE_SHAPE(2)), TAPE_ERROR_ARGUMENT, "repeat: expects 2 to 8 counts");
    EXPECT_ERROR(tape_repeat(x, TAPE_SHAPE(1, -1)), TAPE_ERROR_ARGUMENT, "repeat");
    EXPECT_ERROR(tape_tile(x, TAPE_SHAPE(INT64_MAX, INT64_MAX)), TAPE_ERROR_SHAPE, "tile");
    EXPECT_ERROR(tape_tril(v, 0), TAPE_ERROR_SHAPE, "tril");
    EXPECT_ERROR(tape_diag(s, 0), TAPE_ERROR_SHAPE, "diag");
    EXPECT_ERROR(tape_diag(v, INT64_MIN), TAPE_ERROR_ARGUMENT, "diag");
    EXPECT_ERROR(tape_diag(v, INT64_MAX), TAPE_ERROR_ARGUMENT, "diag");
    EXPECT_ERROR(tape_diag(CONSTANT(TAPE_I32, TAPE_SHAPE(1), 1), 0), TAPE_ERROR_DTYPE, "diag");
    EXPECT_ERROR(tape_concat((tape_tensor[]){x, TAPE_NONE}, 2, 0), TAPE_ERROR_HANDLE, "concat");
    settle();
}
END_TEST

START_TEST(test_many_tensors)
{
    enum { MANY = 1000 };
    tape_tensor *xs = malloc(MANY * sizeof *xs);
    double *values = malloc(MANY * sizeof *values);
    ck_assert(xs && values);
    tape_tensor x = PARAM(TAPE_SHAPE(1), 3);
    for (int i = 0; i < MANY; i++) {
        xs[i] = tape_mul_scalar(x, i);
        values[i] = 3.0 * i;
    }
    tape_tensor y = tape_concat(xs, MANY, 0);
    expect_values(__FILE__, __LINE__, y, values, MANY);
    for (int i = 0; i < MANY; i++)
        values[i] = 1;
    EXPECT(derivative(y, x, values), MANY * (MANY - 1) / 2);
    EXPECT(derivative(tape_stack(xs, MANY, 0), x, values), MANY * (MANY - 1) / 2);
    free(xs);
    free(values);
    settle();
}
END_TEST

START_TEST(test_pieces)
{
    tape_tensor x = PARAM(TAPE_SHAPE(7), 0, 1, 2, 3, 4, 5, 6), piece[8];
    ck_assert_int_eq(tape_split(x, 0, 3, piece, 8), 3);
    EXPECT_AS(piece[2], TAPE_SHAPE(1), 6);
    ck_assert_int_eq(tape_split(x, -1, INT64_MAX, piece, 1), 1);
    EXPECT_AS(piece[0], TAPE_SHAPE(7), 0, 1, 2, 3, 4, 5, 6);
    ck_assert_int_eq(tape_chunk(x, 0, 3, piece), 3); /* 3 + 3 + 1 */
    EXPECT_AS(piece[2], TAPE_SHAPE(1), 6);
    ck_assert_int_eq(tape_chunk(x, 0, 5, piece), 4); /* 2 + 2 + 2 + 1: fewer than asked for */
    EXPECT_AS(piece[3], TAPE_SHAPE(1), 6);
    ck_assert_int_eq(tape_chunk(x, 0, 8, piece), 7);
    tape_tensor nothing = tape_narrow(x, 0, 0, 0);
    ck_assert_int_eq(tape_chunk(nothing, 0, 2, piece), 2);
    EXPECT_SHAPE(piece[1], TAPE_SHAPE(0));
    ck_assert_int_eq(tape_split(nothing, 0, 2, piece, 8), 1);
    ck_assert_int_eq(tape_split(x, 0, 2, piece, 3), 0);
    EXPECT_ERROR(TAPE_NULL, TAPE_ERROR_ARGUMENT, "split: gives 4 pieces");
    ck_assert_int_eq(tape_split(x, 0, 0, piece, 8), 0);
    EXPECT_ERROR(TAPE_NULL, TAPE_ERROR_ARGUMENT, "split");
    ck_assert_int_eq(tape_split(x, 1, 1, piece, 8), 0);
    EXPECT_ERROR(TAPE_NULL, TAPE_ERROR_ARGUMENT, "split: axis 1");
    ck_assert_int_eq(tape_chunk(x, 0, INT32_MIN, piece), 0);
    EXPECT_ERROR(TAPE_NULL, TAPE_ERROR_ARGUMENT, "chunk");
    ck_assert_int_eq(tape_chunk(TAPE_NULL, 0, 2, piece), 0);
    EXPECT_ERROR(TAPE_NULL, TAPE_ERROR_HANDLE, "chunk");
    settle();
}
END_TEST

START_TEST(test_padding)
{
    tape_tensor x = matrix(), one = PARAM(TAPE_SHAPE(1), 5);
    EXPECT_AS(tape_pad(x, NULL), TAPE_SHAPE(2, 3), 1, 2, 3, 4, 5, 6);
    EXPECT_AS(tape_pad(x, &(tape_pad_options){.before = {-1}, .after = {0, -2}}), TAPE_SHAPE(1, 1), 4);
    EXPECT_SHAPE(tape_pad(x, &(tape_pad_options){.before = {-1}, .after = {-1}}), TAPE_SHAPE(0, 3));
    EXPECT_AS(tape_pad(PARAM(TAPE_SHAPE(0), 0), &(tape_pad_options){.after = {2}, .value = NAN}), TAPE_SHAPE(2), NAN,
              NAN);
    EXPECT_AS(tape_pad(one, &(tape_pad_options){.before = {2}, .mode = TAPE_PAD_REPLICATE}), TAPE_SHAPE(3), 5, 5, 5);
    EXPECT_AS(tape_pad(one, &(tape_pad_options){.before = {1}, .after = {1}, .mode = TAPE_PAD_CIRCULAR}), TAPE_SHAPE(3),
              5, 5, 5);
    static const struct {
        int64_t amount;
        tape_pad_mode mode;
    } bad[] = {{INT64_MAX, TAPE_PAD_CONSTANT},  {INT64_MIN, TAPE_PAD_CONSTANT}, {-3, TAPE_PAD_CONSTANT},
               {2, TAPE_PAD_REFLECT},           {-1, TAPE_PAD_REFLECT},         {3, TAPE_PAD_CIRCULAR},
               {INT64_MAX, TAPE_PAD_REPLICATE}, {-1, TAPE_PAD_REPLICATE},       {1, (tape_pad_mode)4},
               {1, (tape_pad_mode)-1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        EXPECT_ERROR(tape_pad(x, &(tape_pad_options){.before = {bad[i].amount}, .mode = bad[i].mode}),
                     TAPE_ERROR_ARGUMENT, "pad");
    EXPECT_ERROR(tape_pad(x, &(tape_pad_options){.before = {-2}, .after = {-1}}), TAPE_ERROR_ARGUMENT, "pad");
    EXPECT_ERROR(tape_pad(x, &(tape_pad_options){.before = {0, 0, 1}}), TAPE_ERROR_ARGUMENT, "pad: cannot pad axis 2");
    EXPECT_ERROR(tape_pad(x, &(tape_pad_options){.before = {(int64_t)1 << 60}}), TAPE_ERROR_SHAPE, "pad");
    EXPECT_AS(DERIVATIVE(tape_pad(one, &(tape_pad_options){.before = {2}, .after = {1}, .mode = TAPE_PAD_REPLICATE}),
                         one, 1, 2, 4, 8),
              TAPE_SHAPE(1), 15);
    settle();
}
END_TEST

START_TEST(test_roll_and_triangles)
{
    tape_tensor x = matrix();
    EXPECT_AS(tape_roll(x, 1, INT64_MIN), TAPE_SHAPE(2, 3), 3, 1, 2, 6, 4, 5); /* -2^63 is 1 modulo 3 */
    EXPECT_AS(tape_roll(x, 0, INT64_MAX), TAPE_SHAPE(2, 3), 4, 5, 6, 1, 2, 3);
    EXPECT_AS(tape_tril(x, INT64_MIN), TAPE_SHAPE(2, 3), 0, 0, 0, 0, 0, 0);
    EXPECT_AS(tape_tril(x, INT64_MAX), TAPE_SHAPE(2, 3), 1, 2, 3, 4, 5, 6);
    EXPECT_AS(tape_triu(x, INT64_MIN), TAPE_SHAPE(2, 3), 1, 2, 3, 4, 5, 6);
    EXPECT_AS(tape_triu(x, INT64_MAX), TAPE_SHAPE(2, 3), 0, 0, 0, 0, 0, 0);
    /* What is removed is 0, whatever it was. */
    EXPECT_AS(tape_triu(PARAM(TAPE_SHAPE(2, 2), 1, 2, NAN, 4), 0), TAPE_SHAPE(2, 2), 1, 2, 0, 4);
    EXPECT_AS(tape_diag(PARAM(TAPE_SHAPE(0), 0), -2), TAPE_SHAPE(2, 2), 0, 0, 0, 0);
    settle();
}
END_TEST

/* ---- cumulative -------------------------------------------------------------------------------------------------- */

START_TEST(test_cumprod_of_zeros)
{
    tape_tensor x = PARAM(TAPE_SHAPE(4), 2, 0, 3, 0);
    /* y = (a, ab, abc, abcd) at b = d = 0, weighed with 1, 10, 100, 1000. */
    EXPECT_AS(DERIVATIVE(tape_cumprod(x, 0), x, 1, 10, 100, 1000), TAPE_SHAPE(4), 1, 20 + 600, 0, 0);
    /* d2 (abc) / da db = c and d2 (abcd) / db dd = ac, by differentiating the gradient by x again. */
    tape_tensor y = tape_select(tape_cumprod(x, 0), 0, 3), gx, gxx;
    ck_assert_int_eq(tape_grad(&y, 1, NULL, &x, 1, &(tape_grad_options){.create_graph = true}, &gx), TAPE_OK);
    tape_tensor by_b = tape_select(gx, 0, 1);
    ck_assert_int_eq(tape_grad(&by_b, 1, NULL, &x, 1, NULL, &gxx), TAPE_OK);
    EXPECT_AS(gxx, TAPE_SHAPE(4), 0, 0, 0, 6);
    settle();
}
END_TEST

START_TEST(test_logcumsumexp_at_the_edges)
{
    tape_tensor x = PARAM(TAPE_SHAPE(5), -INFINITY, -INFINITY, -1e4, 1e4, 1e4);
    tape_tensor y = tape_logcumsumexp(x, 0);
    EXPECT_AS(y, TAPE_SHAPE(5), -INFINITY, -INFINITY, -1e4, 1e4, 1e4 + log(2));
    EXPECT_AS(DERIVATIVE(y, x, 1, 2, 4, 8, 16), TAPE_SHAPE(5), 0, 0, 4, 16, 8);
    EXPECT_AS(tape_logcumsumexp(PARAM(TAPE_SHAPE(3), 1, INFINITY, 2), 0), TAPE_SHAPE(3), 1, INFINITY, INFINITY);
    EXPECT_AS(tape_logcumsumexp(PARAM(TAPE_SHAPE(3), 1, NAN, 2), 0), TAPE_SHAPE(3), 1, NAN, NAN);
    settle();
}
END_TEST

START_TEST(test_cummax_order)
{
    tape_tensor x = PARAM(TAPE_SHAPE(6), 1, 1, 0, -INFINITY, NAN, 5), indices;
    tape_tensor y = tape_cummax(x, 0, &indices);
    EXPECT_AS(y, TAPE_SHAPE(6), 1, 1, 1, 1, NAN, NAN);
    EXPECT_AS(indices, TAPE_SHAPE(6), 0, 1, 1, 1, 4, 4);
    EXPECT_AS(DERIVATIVE(y, x, 1, 2, 4, 8, 0, 0), TAPE_SHAPE(6), 1, 14, 0, 0, 0, 0);
    EXPECT_ERROR(tape_cummax(x, 1, &indices), TAPE_ERROR_ARGUMENT, "cummax");
    ck_assert(tape_is_null(indices));
    EXPECT_ERROR(tape_cumsum(CONSTANT(TAPE_I32, TAPE_SHAPE(1), 1), 0), TAPE_ERROR_DTYPE, "cumsum: expects f32 or f64");
    EXPECT_ERROR(tape_cumprod(x, INT32_MAX), TAPE_ERROR_ARGUMENT, "cumprod");
    EXPECT_ERROR(tape_logcumsumexp(x, -2), TAPE_ERROR_ARGUMENT, "logcumsumexp");
    settle();
}
END_TEST

/* Many columns, so that several blocks of them run; f32 sums as exactly as double does. */
START_TEST(test_long_sums)
{
    enum { ROWS = 1000, COLUMNS = 150 };
    double *values = malloc(ROWS * COLUMNS * sizeof *values), sums[COLUMNS];
    ck_assert_ptr_nonnull(values);
    for (int k = 0; k < ROWS * COLUMNS; k++)
        values[k] = (double)(float)(1.0 / (k + 1));
    tape_tensor x = tape_cast(tape_from(TAPE_F64, TAPE_SHAPE(ROWS, COLUMNS), values), TAPE_F32);
    for (int c = 0; c < COLUMNS; c++) {
        sums[c] = 0;
        for (int r = 0; r < ROWS; r++)
            sums[c] += values[r * COLUMNS + c];
        sums[c] = (double)(float)sums[c];
    }
    expect_values(__FILE__, __LINE__, tape_select(tape_cumsum(x, 0), 0, -1), sums, COLUMNS);
    free(values);
    settle();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shape");
    TCase *all = tcase_create("all");
    tcase_add_test(all, test_no_copy);
    tcase_add_test(all, test_every_dtype);
    tcase_add_test(all, test_rank_limits);
    tcase_add_test(all, test_slices);
    tcase_add_test(all, test_view_errors);
    tcase_add_test(all, test_squeeze_leaves_other_sizes);
    tcase_add_test(all, test_regions_add);
    tcase_add_test(all, test_cast);
    tcase_add_test(all, test_join_errors);
    tcase_add_test(all, test_many_tensors);
    tcase_add_test(all, test_pieces);
    tcase_add_test(all, test_padding);
    tcase_add_test(all, test_roll_and_triangles);
    tcase_add_test(all, test_cumprod_of_zeros);
    tcase_add_test(all, test_logcumsumexp_at_the_edges);
    tcase_add_test(all, test_cummax_order);
    tcase_add_test(all, test_long_sums);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
