/* Every op on input that it cannot take: the right status, a message that names the op, no crash, nothing left behind.
 */
#include "table.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* y must be null and the tape have `status` with a message that names the op; `part`, unless NULL, is in it, too. */
static void expect_error(const char *op, tape_tensor y, tape_status status, const char *part, const char *what)
{
    const char *message = tape_message();
    size_t length = strlen(op);
    if (!tape_is_null(y))
        complain("%s: %s gives a tensor", op, what);
    if (tape_last_status() != status)
        complain("%s: %s is %s, not %s: %s", op, what, tape_status_name(tape_last_status()), tape_status_name(status),
                 message);
    else if (strncmp(message, op, length) != 0 || message[length] != ':' || strchr(message, '\n'))
        complain("%s: %s: the message does not start with the op: %s", op, what, message);
    else if (part && !strstr(message, part))
        complain("%s: %s: the message lacks \"%s\": %s", op, what, part, message);
    tape_clear();
}

/* ---- elementwise rows -------------------------------------------------------------------------------------------- */

static void good_operands(const struct row *row, tape_tensor *x)
{
    for (int i = 0; i < row->n_in; i++)
        x[i] = row_takes_mask(row, i) ? tape_zeros(TAPE_U8, TAPE_SHAPE(2, 3)) : tape_ones(TAPE_F64, TAPE_SHAPE(2, 3));
}

static tape_tensor stale(void)
{
    tape_position mark = tape_mark();
    tape_tensor x = tape_ones(TAPE_F64, TAPE_SHAPE(2, 3));
    tape_rewind(mark);
    tape_mark_drop(mark);
    return x;
}

static tape_tensor freed(void)
{
    tape_tensor x = tape_const(TAPE_F64, TAPE_SHAPE(2, 3), NULL);
    tape_free(x);
    return x;
}

static tape_tensor invented(void)
{
    tape_tensor x = {0x123456789abcdef, 0x7fffffff, 0};
    return x;
}

static tape_tensor invented_leaf(void)
{
    tape_tensor x = {0x123456789abcdef, 0xffffffff, TAPE__FLAG_LEAF};
    return x;
}

static tape_tensor null(void)
{
    return TAPE_NULL;
}
static tape_tensor none(void)
{
    return TAPE_NONE;
}

static const struct bad_handle {
    const char *what;
    tape_tensor (*make)(void);
} bad_handles[] = {{"a null handle", null},          {"TAPE_NONE", none},
                   {"a rewound handle", stale},      {"a freed leaf", freed},
                   {"an invented handle", invented}, {"an invented leaf", invented_leaf}};

enum { BAD_HANDLES = sizeof bad_handles / sizeof *bad_handles };

START_TEST(test_bad_handles)
{
    for (const struct row *row = rows; row->name; row++)
        for (int i = 0; i < row->n_in; i++)
            for (int k = 0; k < BAD_HANDLES; k++) {
                tape_tensor x[3];
                char part[32];
                good_operands(row, x);
                x[i] = bad_handles[k].make();
                snprintf(part, sizeof part, "argument %d", i + 1);
                expect_error(row->name, row->call(x, row->ref->p), TAPE_ERROR_HANDLE, part, bad_handles[k].what);
            }
    settle();
}
END_TEST

static bool takes_any_dtype(const struct row *row)
{
    return row->kind == TAPE__KIND_COMPARE || row->kind == TAPE__KIND_LOGIC || row->kind == TAPE__KIND_TEST;
}

START_TEST(test_bad_dtypes)
{
    for (const struct row *row = rows; row->name; row++)
        for (int i = 0; i < row->n_in; i++) {
            tape_tensor x[3];
            for (int dtype = TAPE_I32; dtype <= TAPE_U8 && !takes_any_dtype(row) && !row_takes_mask(row, i); dtype++) {
                good_operands(row, x);
                x[i] = tape_ones((tape_dtype)dtype, TAPE_SHAPE(2, 3));
                expect_error(row->name, row->call(x, row->ref->p), TAPE_ERROR_DTYPE, tape_dtype_name((tape_dtype)dtype),
                             "an integer");
            }
            good_operands(row, x);
            x[i] = tape_ones(TAPE_F32, TAPE_SHAPE(2, 3));
            if (row->n_in > 1)
                expect_error(row->name, row->call(x, row->ref->p), TAPE_ERROR_DTYPE, "f32", "a mix of dtypes");
        }
    settle();
}
END_TEST

START_TEST(test_bad_shapes)
{
    for (const struct row *row = rows; row->name; row++)
        for (int i = 0; i < row->n_in && row->n_in > 1; i++) {
            tape_tensor x[3];
            good_operands(row, x);
            tape_dtype dtype = tape_dtype_of(x[i]);
            x[i] = tape_zeros(dtype, TAPE_SHAPE(2, 4));
            expect_error(row->name, row->call(x, row->ref->p), TAPE_ERROR_SHAPE, "[2, 4]", "shapes that do not fit");
            good_operands(row, x);
            x[i] = tape_zeros(dtype, TAPE_SHAPE(0));
            expect_error(row->name, row->call(x, row->ref->p), TAPE_ERROR_SHAPE, "[0]", "an empty axis against 3");
        }
    settle();
}
END_TEST

/* While an error is kept every op returns null and the first message stays. */
START_TEST(test_errors_stick)
{
    for (const struct row *row = rows; row->name; row++) {
        tape_tensor x[3];
        good_operands(row, x);
        tape_fail(TAPE_ERROR_IO, "the first error");
        if (!tape_is_null(row->call(x, row->ref->p)))
            complain("%s: works in spite of an error", row->name);
        ck_assert_int_eq(tape_last_status(), TAPE_ERROR_IO);
        ck_assert_str_eq(tape_message(), "the first error");
        tape_clear();
    }
    settle();
}
END_TEST

/* ---- samples of the other ops ------------------------------------------------------------------------------------ */

/* A sample may call other ops around its own, so the message names one op, whichever. */
static void expect_some_error(const struct sample *sample, tape_tensor y, tape_status status, const char *what)
{
    if (!tape_is_null(y) || tape_last_status() != status || !strstr(tape_message(), ": "))
        complain("%s (%s): %s is %s: %s", sample->op, sample->label, what, tape_status_name(tape_last_status()),
                 tape_message());
    tape_clear();
}

START_TEST(test_samples_with_bad_handles)
{
    const struct sample *sample;
    for (int i = 0; (sample = sample_at(i)); i++)
        for (int which = 0; which < sample->n_in; which++)
            for (int k = 0; k < BAD_HANDLES; k++) {
                struct inputs in;
                inputs_make(&in, sample, TAPE_F64, 3);
                tape_tensor keep = in.x[which];
                in.x[which] = bad_handles[k].make();
                /* TAPE_NONE is the documented way to leave an optional input out. */
                tape_tensor y = sample->run(in.x);
                if (bad_handles[k].make != none || tape_last_status() != TAPE_OK)
                    expect_some_error(sample, y, TAPE_ERROR_HANDLE, bad_handles[k].what);
                in.x[which] = keep;
                inputs_free(&in);
                tape_reset();
            }
    settle();
}
END_TEST

/* Right or refused, but never a crash, nor an error without text. */
static void expect_no_crash(const struct sample *sample, tape_tensor y, const char *what)
{
    if (tape_is_null(y) == (tape_last_status() == TAPE_OK) || (tape_is_null(y) && !strstr(tape_message(), ": ")))
        complain("%s (%s): %s: %s", sample->op, sample->label, what, tape_message());
    else if (!tape_is_null(y)) {
        tape_tensor gx[SAMPLE_MAX_INPUTS], cotangent = tape_ones_like(y);
        if (tape_requires_grad(y) && tape_grad(&y, 1, &cotangent, &y, 1, NULL, gx) != TAPE_OK)
            complain("%s (%s): %s: %s", sample->op, sample->label, what, tape_message());
    }
    tape_clear();
}

START_TEST(test_samples_with_other_dtypes)
{
    const struct sample *sample;
    for (int i = 0; (sample = sample_at(i)); i++)
        for (int which = 0; which < sample->n_in; which++)
            for (int dtype = TAPE_F32; dtype <= TAPE_U8; dtype++) {
                struct inputs in;
                inputs_make(&in, sample, TAPE_F64, 3);
                tape_tensor keep = in.x[which];
                in.x[which] = tape_zeros((tape_dtype)dtype, sample->in[which].shape);
                tape_tensor y = sample->run(in.x);
                if (dtype == TAPE_F32 && in.n_floats > 1 && sample->in[which].kind == SAMPLE_FLOAT)
                    expect_some_error(sample, y, TAPE_ERROR_DTYPE, "a mix of dtypes");
                else
                    expect_no_crash(sample, y, tape_dtype_name((tape_dtype)dtype));
                in.x[which] = keep;
                inputs_free(&in);
                tape_reset();
            }
    settle();
}
END_TEST

START_TEST(test_samples_with_other_shapes)
{
    const tape_shape shapes[] = {
        TAPE_SCALAR,      TAPE_SHAPE(0),    TAPE_SHAPE(1),    TAPE_SHAPE(7),
        TAPE_SHAPE(0, 3), TAPE_SHAPE(5, 0), TAPE_SHAPE(2, 7), TAPE_SHAPE(1, 2, 1, 2, 1, 2, 1, 2)};
    const struct sample *sample;
    for (int i = 0; (sample = sample_at(i)); i++)
        for (int which = 0; which < sample->n_in; which++)
            for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
                struct inputs in;
                inputs_make(&in, sample, TAPE_F64, 3);
                tape_tensor keep = in.x[which];
                double *zeros = calloc(64, sizeof *zeros);
                ck_assert_ptr_nonnull(zeros);
                tape_dtype dtype = tape_dtype_of(keep);
                in.x[which] = leaf_of(dtype, shapes[s], zeros, dtype <= TAPE_F64);
                expect_no_crash(sample, sample->run(in.x), "another shape");
                free(zeros);
                tape_free(in.x[which]);
                in.x[which] = keep;
                inputs_free(&in);
                tape_reset();
            }
    settle();
}
END_TEST

/* Indices far out of range: an error before anything is read or written. */
START_TEST(test_samples_with_wild_indices)
{
    static const double wild[] = {-9.2e18, 9.2e18, 1e9, -1e9};
    const struct sample *sample;
    for (int i = 0; (sample = sample_at(i)); i++)
        for (int which = 0; which < sample->n_in; which++)
            for (size_t w = 0; sample->in[which].kind == SAMPLE_INDEX && w < sizeof wild / sizeof *wild; w++) {
                struct inputs in;
                inputs_make(&in, sample, TAPE_F64, 3);
                if (in.numel[which] > 0) {
                    int64_t *data = tape_data_mut(in.x[which]);
                    data[in.numel[which] - 1] = (int64_t)wild[w];
                    expect_some_error(sample, sample->run(in.x), TAPE_ERROR_INDEX, "an index out of range");
                }
                inputs_free(&in);
                tape_reset();
            }
    settle();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("badinput");
    TCase *all = tcase_create("all");
    tcase_add_test(all, test_bad_handles);
    tcase_add_test(all, test_bad_dtypes);
    tcase_add_test(all, test_bad_shapes);
    tcase_add_test(all, test_errors_stick);
    tcase_add_test(all, test_samples_with_bad_handles);
    tcase_add_test(all, test_samples_with_other_dtypes);
    tcase_add_test(all, test_samples_with_other_shapes);
    tcase_add_test(all, test_samples_with_wild_indices);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
