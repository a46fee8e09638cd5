/* Knows that a run that was saved and loaded goes on to the bit, and that loading is all or nothing. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "tape/safetensors.h"

static void setup(void)
{
    tape_make_current(tape_create(NULL));
}

static void teardown(void)
{
    files_remove();
    tape_destroy(tape_make_current(NULL));
}

static void ok(tape_status status)
{
    ck_assert_msg(status == TAPE_OK && tape_last_status() == TAPE_OK, "%s", tape_message());
}

static void failed(tape_status expected, const char *part)
{
    ck_assert_msg(tape_last_status() == expected, "status %s, expected %s (%s): %s",
                  tape_status_name(tape_last_status()), tape_status_name(expected), part, tape_message());
    ck_assert_msg(strstr(tape_message(), part) != NULL, "\"%s\" lacks \"%s\"", tape_message(), part);
    tape_clear();
}

/* A run: two parameters, one of them tied, stepped on random gradients. */
struct run {
    tape_params *set;
    tape_tensor a, b;
    tape_optim *optim;
};

static struct run start(const char *optimiser)
{
    struct run r;
    r.set = tape_params_create();
    r.a = tape_params_new(r.set, "a", TAPE_F32, TAPE_SHAPE(3, 2));
    r.b = tape_params_new(r.set, "b", TAPE_F64, TAPE_SHAPE(4));
    ok(tape_params_add(r.set, "tied", r.a));
    r.optim = tape_optim_named(optimiser, r.set, 0.05);
    ok(tape_last_status());
    return r;
}

static void end(struct run *r)
{
    tape_optim_destroy(r->optim);
    tape_params_destroy(r->set);
}

static void steps(struct run *r, int n)
{
    for (int i = 0; i < n; i++) {
        ok(tape_params_zero_grad(r->set));
        tape_tensor g = tape_rand_normal(TAPE_F32, TAPE_SHAPE(3, 2), 0, 1);
        tape_tensor h = tape_rand_normal(TAPE_F64, TAPE_SHAPE(4), 0, 1);
        ok(tape_backward_with(tape_neg(r->a), g));
        if (i % 2 == 0)
            ok(tape_backward_with(tape_neg(r->b), h));
        ok(tape_optim_set_lr(r->optim, tape_optim_lr(r->optim) * 0.9));
        ok(tape_optim_step(r->optim));
        ok(tape_reset());
    }
}

static void check_same(const struct run *x, const struct run *y)
{
    ck_assert_mem_eq(tape_data(x->a), tape_data(y->a), 6 * sizeof(float));
    ck_assert_mem_eq(tape_data(x->b), tape_data(y->b), 4 * sizeof(double));
}

START_TEST(test_resumes_exactly)
{
    static const char *const names[] = {"sgd", "momentum", "adam", "adamw", "rmsprop", "adagrad"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *path = files_path("run");
        tape_seed(12);
        struct run whole = start(names[i]), part = start(names[i]);
        steps(&whole, 10);
        tape_seed(12);
        steps(&part, 4);
        ok(tape_checkpoint_save(path, part.set, part.optim, (tape_metadata[]){{"epoch", "4"}}, 1));
        end(&part);
        part = start(names[i]);
        tape_seed(99);
        ok(tape_checkpoint_load(path, part.set, part.optim));
        ck_assert_int_eq(tape_optim_steps(part.optim), 4);
        steps(&part, 6);
        check_same(&whole, &part);
        /* The model alone can be had from the same file. */
        struct run model = start("sgd");
        ok(tape_checkpoint_load(path, model.set, NULL));
        tape_safetensors *file = tape_safetensors_open(path);
        ck_assert_str_eq(tape_safetensors_metadata(file, "epoch"), "4");
        ck_assert_str_eq(tape_safetensors_metadata(file, "tied"), "a");
        ck_assert_int_eq(tape_safetensors_find(file, "tied"), -1);
        tape_safetensors_close(file);
        end(&model);
        end(&whole);
        end(&part);
    }
}
END_TEST

START_TEST(test_tied_under_either_name)
{
    struct run r = start("sgd");
    const float x[] = {1, 2, 3, 4, 5, 6};
    tape_tensor a = tape_const(TAPE_F32, TAPE_SHAPE(3, 2), x), b = tape_const(TAPE_F64, TAPE_SHAPE(4), NULL);
    const char *path = files_path("model");
    ok(tape_safetensors_save(path, (tape_named[]){{"tied", a}, {"b", b}}, 2, NULL, 0));
    ok(tape_checkpoint_load(path, r.set, NULL));
    ck_assert_mem_eq(tape_data(r.a), x, sizeof x);
    tape_free(a);
    tape_free(b);
    end(&r);
}
END_TEST

/* Save these tensors and expect that loading them fails and changes nothing. */
static void refuse(struct run *r, const tape_named *tensors, int64_t n, tape_optim *optim, tape_status status,
                   const char *part)
{
    const char *path = files_path("bad");
    float before_a[6];
    double before_b[4];
    memcpy(before_a, tape_data(r->a), sizeof before_a);
    memcpy(before_b, tape_data(r->b), sizeof before_b);
    ok(tape_safetensors_save(path, tensors, n, NULL, 0));
    ck_assert_int_eq(tape_checkpoint_load(path, r->set, optim), status);
    failed(status, part);
    ck_assert_mem_eq(tape_data(r->a), before_a, sizeof before_a);
    ck_assert_mem_eq(tape_data(r->b), before_b, sizeof before_b);
}

START_TEST(test_all_or_nothing)
{
    struct run r = start("adam");
    steps(&r, 2);
    tape_tensor a = tape_const(TAPE_F32, TAPE_SHAPE(3, 2), NULL), b = tape_const(TAPE_F64, TAPE_SHAPE(4), NULL);
    tape_tensor other = tape_const(TAPE_F64, TAPE_SHAPE(4, 1), NULL),
                single = tape_const(TAPE_F32, TAPE_SHAPE(4), NULL);
    refuse(&r, (tape_named[]){{"a", a}}, 1, NULL, TAPE_ERROR_FORMAT, "bad: tensor \"b\" is missing");
    refuse(&r, (tape_named[]){{"a", a}, {"b", other}}, 2, NULL, TAPE_ERROR_SHAPE,
           "bad: tensor \"b\" has shape [4, 1], expected [4]");
    refuse(&r, (tape_named[]){{"a", a}, {"b", single}}, 2, NULL, TAPE_ERROR_DTYPE, "\"b\" has dtype F32, expected F64");
    refuse(&r, (tape_named[]){{"a", a}, {"b", b}, {"c", b}}, 3, NULL, TAPE_ERROR_FORMAT,
           "\"c\" is not one of the model's");
    refuse(&r, (tape_named[]){{"a", a}, {"b", b}}, 2, r.optim, TAPE_ERROR_FORMAT, "no optimiser's state");
    ck_assert_int_eq(tape_optim_steps(r.optim), 2);
    tape_free(a);
    tape_free(b);
    tape_free(other);
    tape_free(single);
    end(&r);
}
END_TEST

START_TEST(test_state_must_fit)
{
    const char *path = files_path("run");
    struct run adam = start("adam"), adamw = start("adamw");
    steps(&adam, 2);
    ok(tape_checkpoint_save(path, adam.set, adam.optim, NULL, 0));
    ck_assert_int_ne(tape_checkpoint_load(path, adamw.set, adamw.optim), TAPE_OK);
    failed(TAPE_ERROR_FORMAT, "run: holds the state of adam, expected adamw");
    ck_assert_int_ne(tape_checkpoint_load(path, adam.set, adamw.optim), TAPE_OK);
    failed(TAPE_ERROR_ARGUMENT, "another set");
    ck_assert_int_ne(tape_checkpoint_save(path, adam.set, adam.optim, (tape_metadata[]){{"optim", "x"}}, 1), TAPE_OK);
    failed(TAPE_ERROR_ARGUMENT, "\"optim\" is given twice");
    tape_optim *amsgrad = tape_optim_adam(adam.set, &(tape_adam_options){.amsgrad = true});
    ck_assert_int_ne(tape_checkpoint_load(path, adam.set, amsgrad), TAPE_OK);
    failed(TAPE_ERROR_FORMAT, "tensor \"optim.max_exp_avg_sq.a\" is missing");
    tape_optim_destroy(amsgrad);
    ck_assert_int_ne(tape_checkpoint_load(NULL, adam.set, NULL), TAPE_OK);
    failed(TAPE_ERROR_ARGUMENT, "NULL");
    ck_assert_int_ne(tape_checkpoint_load(files_path("nowhere"), adam.set, NULL), TAPE_OK);
    failed(TAPE_ERROR_IO, "nowhere");
    /* Numbers that no run reaches: the learning rate's bytes are the file's only 0.9^2 * 0.05. */
    size_t n, at = 0;
    unsigned char *bytes = files_read(path, &n);
    double lr = tape_optim_lr(adam.optim), bad = NAN;
    while (at + 8 <= n && memcmp(bytes + at, &lr, 8) != 0)
        at++;
    ck_assert_uint_le(at + 8, n);
    memcpy(bytes + at, &bad, 8);
    ck_assert_int_ne(tape_checkpoint_load(files_write("nan", bytes, n), adam.set, adam.optim), TAPE_OK);
    failed(TAPE_ERROR_FORMAT, "nan: holds a learning rate");
    free(bytes);
    end(&adam);
    end(&adamw);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("checkpoint");
    TCase *tests = tcase_create("checkpoint");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_resumes_exactly);
    tcase_add_test(tests, test_tied_under_either_name);
    tcase_add_test(tests, test_all_or_nothing);
    tcase_add_test(tests, test_state_must_fit);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
