/* What a record saves: overwriting a value that backward reads is an error, overwriting another one changes nothing. */
#include "table.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* Other values of the same kind: floats move, indices and masks change places. */
static void overwrite(tape_tensor x)
{
    int64_t n = tape_numel(x);
    tape_dtype dtype = tape_dtype_of(x);
    size_t size = tape_dtype_size(dtype);
    unsigned char *data = tape_data_mut(x), swap[8];
    for (int64_t i = 0; data && i < n; i++) {
        if (dtype == TAPE_F64)
            ((double *)(void *)data)[i] += 0.375;
        else if (dtype == TAPE_F32)
            ((float *)(void *)data)[i] += 0.375f;
        else if (i < n / 2) {
            unsigned char *a = data + (size_t)i * size, *b = data + (size_t)(n - 1 - i) * size;
            memcpy(swap, a, size);
            memcpy(a, b, size);
            memcpy(b, swap, size);
        }
    }
}

struct outcome {
    tape_status status;
    bool direct; /* the overwritten input is that input of the op that made the result */
    double *gx[SAMPLE_MAX_INPUTS];
    int64_t n[SAMPLE_MAX_INPUTS];
};

/* A sample may do more than call its op. */
static bool is_direct(tape_tensor y, const struct inputs *in, int which)
{
    tape *t = tape_current();
    const tape__node *node = tape__at(t, y.slot);
    return !(y.flags & TAPE__FLAG_LEAF) && node->op == op_named(in->sample->op) && tape__ops[node->op].forward &&
           which < node->u.extra->n_in && node->u.extra->in[which] == tape__resolve(t, in->x[which], 0);
}

/* The gradient with ones for cotangent, after overwriting input `which` (its result: n_in; nothing: -1). */
static struct outcome gradients_after(const struct inputs *in, int which)
{
    struct outcome outcome = {.status = TAPE_OK};
    tape_tensor gx[SAMPLE_MAX_INPUTS];
    tape_seed(5);
    tape_tensor y = in->sample->run(in->x), cotangent = tape_ones_like(y);
    outcome.direct = which >= 0 && which < in->sample->n_in && !tape_is_null(y) && is_direct(y, in, which);
    if (which >= 0)
        overwrite(which == in->sample->n_in ? y : in->x[which]);
    if (tape_last_status() != TAPE_OK) /* a result that is not contiguous cannot be written */
        tape_clear();
    outcome.status = tape_grad(&y, 1, &cotangent, in->floats, in->n_floats, NULL, gx);
    for (int i = 0; i < in->n_floats && outcome.status == TAPE_OK; i++) {
        outcome.gx[i] = tape_is_none(gx[i]) ? NULL : doubles_of(gx[i]);
        outcome.n[i] = tape_is_none(gx[i]) ? 0 : tape_numel(gx[i]);
    }
    tape_reset();
    return outcome;
}

static bool same(const struct outcome *a, const struct outcome *b, int n)
{
    for (int i = 0; i < n; i++)
        if (a->n[i] != b->n[i] || (a->gx[i] && memcmp(a->gx[i], b->gx[i], (size_t)a->n[i] * sizeof(double)) != 0))
            return false;
    return true;
}

static void forget(struct outcome *outcome, int n)
{
    for (int i = 0; i < n; i++)
        free(outcome->gx[i]);
}

static void try_overwriting(const struct sample *sample, int which, tape_dtype dtype, const struct outcome *expected)
{
    struct inputs in;
    int op = op_named(sample->op);
    inputs_make(&in, sample, dtype, 3);
    struct outcome got = gradients_after(&in, which);
    if (got.status != TAPE_OK && got.status != TAPE_ERROR_VERSION)
        complain("%s (%s): %s", sample->op, sample->label, tape_status_name(got.status));
    else if (got.status == TAPE_OK && !same(expected, &got, in.n_floats))
        complain("%s (%s): wrong gradient after overwriting %s %d, which the row does not declare as saved", sample->op,
                 sample->label, which == sample->n_in ? "result" : "input", which);
    bool declared = tape__ops[op].flags & TAPE__SAVES(which);
    if (got.direct && declared && in.numel[which] > 0 && got.status == TAPE_OK)
        complain("%s (%s): input %d is declared as saved, and overwriting it is no error", sample->op, sample->label,
                 which);
    forget(&got, in.n_floats);
    inputs_free(&in);
}

START_TEST(test_saved_values)
{
    const struct sample *sample;
    for (int i = 0; (sample = sample_at(i)); i++) {
        if (tape__ops[op_named(sample->op)].flags & TAPE__NO_GRADIENT)
            continue;
        struct inputs in;
        inputs_make(&in, sample, TAPE_F64, 3);
        struct outcome expected = gradients_after(&in, -1);
        if (expected.status != TAPE_OK)
            complain("%s (%s): %s", sample->op, sample->label, tape_status_name(expected.status));
        for (int which = 0; which <= sample->n_in && expected.status == TAPE_OK; which++)
            try_overwriting(sample, which, TAPE_F64, &expected);
        forget(&expected, in.n_floats);
        inputs_free(&in);
    }
    settle();
}
END_TEST

/* The message names the op that saved; the failed backward changed no gradient. */
START_TEST(test_message)
{
    double one = 1;
    tape_tensor x = tape_param(TAPE_F64, TAPE_SCALAR, &one), y = tape_sin(x);
    overwrite(x);
    ck_assert_int_eq(tape_backward(y), TAPE_ERROR_VERSION);
    ck_assert_ptr_nonnull(strstr(tape_message(), "sin"));
    tape_clear();
    ck_assert(tape_is_none(tape_gradient(x)));
    tape_free(x);
    settle();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("saved");
    TCase *all = tcase_create("all");
    tcase_add_test(all, test_saved_values);
    tcase_add_test(all, test_message);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
