/* Knows how to compare; the tests know with what. */
#include "expect.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool close_to(double got, double want)
{
    if (isnan(want) || isinf(want))
        return isnan(want) ? isnan(got) : got == want;
    return fabs(got - want) <= 1e-12 * fmax(1, fabs(want));
}

static double element(tape_dtype dtype, const void *data, int i)
{
    switch (dtype) {
    case TAPE_F32:
        return (double)((const float *)data)[i];
    case TAPE_F64:
        return ((const double *)data)[i];
    case TAPE_I32:
        return ((const int32_t *)data)[i];
    case TAPE_I64:
        return (double)((const int64_t *)data)[i];
    case TAPE_U8:
        return ((const uint8_t *)data)[i];
    }
    return NAN;
}

void expect_shape(const char *file, int line, tape_tensor y, tape_shape shape)
{
    ck_assert_msg(!tape_is_null(y) && !tape_is_none(y), "%s:%d: no result: %s", file, line, tape_message());
    tape_shape got = tape_shape_of(y);
    ck_assert_msg(got.rank == shape.rank, "%s:%d: rank %d instead of %d", file, line, got.rank, shape.rank);
    for (int i = 0; i < shape.rank; i++)
        ck_assert_msg(got.size[i] == shape.size[i], "%s:%d: size %lld instead of %lld along axis %d", file, line,
                      (long long)got.size[i], (long long)shape.size[i], i);
}

void expect_values(const char *file, int line, tape_tensor y, const double *want, int n)
{
    ck_assert_msg(!tape_is_null(y) && !tape_is_none(y), "%s:%d: no result: %s", file, line, tape_message());
    ck_assert_msg(tape_numel(y) == n, "%s:%d: %lld elements instead of %d", file, line, (long long)tape_numel(y), n);
    double *data = malloc(((size_t)n + 1) * sizeof *data);
    ck_assert_ptr_nonnull(data);
    ck_assert_msg(tape_read(y, data, n) == TAPE_OK, "%s:%d: %s", file, line, tape_message());
    for (int i = 0; i < n; i++) {
        double got = element(tape_dtype_of(y), data, i);
        ck_assert_msg(close_to(got, want[i]), "%s:%d: element %d is %.17g instead of %.17g", file, line, i, got,
                      want[i]);
    }
    free(data);
}

void expect_error(const char *file, int line, tape_tensor y, tape_status status, const char *text)
{
    ck_assert_msg(tape_is_null(y), "%s:%d: not refused", file, line);
    ck_assert_msg(tape_last_status() == status, "%s:%d: %s instead of %s: %s", file, line,
                  tape_status_name(tape_last_status()), tape_status_name(status), tape_message());
    ck_assert_msg(strstr(tape_message(), text), "%s:%d: no \"%s\" in: %s", file, line, text, tape_message());
    tape_clear();
}

tape_tensor gradient_of(tape_tensor y, tape_tensor x)
{
    tape_grad_options options = {.create_graph = true};
    tape_tensor cotangent = tape_ones_like(y), gx = TAPE_NULL;
    tape_grad(&y, 1, &cotangent, &x, 1, &options, &gx);
    return gx;
}

tape_tensor derivative(tape_tensor y, tape_tensor x, const double *weights)
{
    tape_tensor cotangent = tape_from(TAPE_F64, tape_shape_of(y), weights), gx = TAPE_NULL;
    tape_grad(&y, 1, &cotangent, &x, 1, NULL, &gx);
    return gx;
}
