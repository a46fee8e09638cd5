/* Threads: tapes of their own, leaves in common, results that do not depend on their number, fork. */
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "files.h"
#include "json.h"
#include "tape/optim.h"
#include "tape/parallel.h"
#include "tape/tape.h"

enum { THREADS = 4, ROUNDS = 200 };

static void run_threads(void *(*body)(void *), void *arg)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, body, arg), 0);
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        ck_assert_ptr_null(failed);
    }
}

static void *accumulate(void *leaf)
{
    tape_tensor w = *(const tape_tensor *)leaf;
    for (int i = 0; i < ROUNDS; i++) {
        if (tape_backward(tape_mul_scalar(w, 2)) != TAPE_OK)
            return leaf;
        tape_reset();
    }
    tape_thread_end();
    return NULL;
}

START_TEST(threads_accumulate_into_one_leaf)
{
    const double one = 1;
    tape_tensor w = tape_param(TAPE_F64, TAPE_SCALAR, &one);
    run_threads(accumulate, &w);
    ck_assert_double_eq(tape_data_f64(tape_gradient(w))[0], 2.0 * THREADS * ROUNDS);
    tape_free(w);
}
END_TEST

/* One trace for the tapes of all threads: each event is in it, and it is whole. */
START_TEST(threads_write_one_trace)
{
    const char *path = files_path("trace.json");
    tape_tensor w = tape_param(TAPE_F64, TAPE_SCALAR, NULL);
    setenv("TAPE_PROFILE", path, 1);
    run_threads(accumulate, &w);
    unsetenv("TAPE_PROFILE");
    size_t n, m, k;
    char *text = (char *)files_read(path, &n);
    ck_assert(text && json_is_valid(text, n));
    int events = 0;
    for (const char *at = NULL, *e; (e = json_next(text, n, &at, &m));) {
        const char *name = json_member(e, m, "name", &k);
        events += json_is(name, k, "mul");
    }
    ck_assert_int_eq(events, 2 * THREADS * ROUNDS);
    free(text);
    files_remove();
    tape_free(w);
}
END_TEST

/* Leaves of its own, made and freed while others do the same. */
static void *make_and_free(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) {
        float v[8] = {(float)i};
        tape_tensor w = tape_param(TAPE_F32, TAPE_SHAPE(8), v);
        tape_tensor y = tape_sum(tape_square(w), TAPE_ALL, false);
        bool ok = tape_backward(y) == TAPE_OK && tape_data_f32(tape_gradient(w))[0] == 2 * v[0];
        ok = ok && tape_free(w) == TAPE_OK && !tape_is_valid(w);
        tape_reset();
        if (!ok)
            return arg;
    }
    tape_thread_end();
    return NULL;
}

START_TEST(the_registry_of_leaves_is_safe)
{
    int anything;
    run_threads(make_and_free, &anything);
}
END_TEST

static void *free_leaf(void *leaf)
{
    return tape_free(*(const tape_tensor *)leaf) == TAPE_OK ? (tape_thread_end(), NULL) : leaf;
}

START_TEST(freeing_what_another_tape_saved_is_reported)
{
    const float two = 2;
    tape_tensor a = tape_param(TAPE_F32, TAPE_SCALAR, &two), b = tape_param(TAPE_F32, TAPE_SCALAR, &two);
    tape_tensor y = tape_mul(a, b), view = tape_reshape(b, TAPE_SHAPE(1));
    pthread_t thread;
    void *failed;
    ck_assert_int_eq(pthread_create(&thread, NULL, free_leaf, &b), 0);
    pthread_join(thread, &failed);
    ck_assert_ptr_null(failed);
    ck_assert_int_eq(tape_backward(y), TAPE_ERROR_VERSION);
    ck_assert_ptr_nonnull(strstr(tape_message(), "freed"));
    tape_clear();
    ck_assert(tape_is_null(tape_neg(view)));
    ck_assert_int_eq(tape_last_status(), TAPE_ERROR_HANDLE);
    tape_reset();
    tape_free(a);
}
END_TEST

static void *end_with_a_tape(void *handle)
{
    *(tape_tensor *)handle = tape_scalar(TAPE_F32, 1);
    tape_thread_end();
    return NULL;
}

START_TEST(a_thread_ends_with_its_tape)
{
    tape_tensor x;
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, end_with_a_tape, &x), 0);
    pthread_join(thread, NULL);
    tape_scalar(TAPE_F32, 2);
    ck_assert(!tape_is_valid(x));
    tape_thread_end();
    ck_assert(!tape_is_null(tape_scalar(TAPE_F32, 3))); /* a new tape is made on demand */
    tape_thread_end();
}
END_TEST

/* One step of a small network, large enough to be spread over threads; its gradients. */
static void step(float *gradients)
{
    enum { N = 96, IN = 300, OUT = 200 };
    static float data[IN * OUT];
    for (int i = 0; i < IN * OUT; i++)
        data[i] = (float)((i * 7919) % 1000) / 1000.0F - 0.5F;
    tape_tensor w = tape_param(TAPE_F32, TAPE_SHAPE(OUT, IN), data), b = tape_param(TAPE_F32, TAPE_SHAPE(OUT), data);
    tape_tensor x = tape_from(TAPE_F32, TAPE_SHAPE(N, IN), data);
    tape_tensor h = tape_tanh(tape_linear(x, w, b));
    tape_tensor loss = tape_mean(tape_square(tape_softmax(h, 1)), TAPE_ALL, false);
    ck_assert_int_eq(tape_backward(loss), TAPE_OK);
    memcpy(gradients, tape_data_f32(tape_gradient(w)), sizeof data);
    memcpy(gradients + IN * OUT, tape_data_f32(tape_gradient(b)), OUT * sizeof(float));
    tape_free(w), tape_free(b);
    tape_reset();
}

START_TEST(bits_do_not_depend_on_the_number_of_threads)
{
    enum { SIZE = 300 * 200 + 200 };
    static float serial[SIZE], parallel[SIZE];
    step(serial);
    for (int n = 2; n <= 5; n++) {
        ck_assert_int_eq(tape_threads(n), TAPE_OK);
        step(parallel);
        ck_assert_int_eq(memcmp(serial, parallel, sizeof serial), 0);
    }
    ck_assert_int_eq(tape_threads(1), TAPE_OK);
    ck_assert_int_eq(tape_threads(0), TAPE_ERROR_ARGUMENT);
    tape_reset();
}
END_TEST

/* Every way to step, on a parameter large enough to be spread over threads, with an odd tail. */
START_TEST(optimisers_step_alike_on_any_number_of_threads)
{
    enum { SIZE = 3 * (1 << 14) + 5 };
    static const char *const names[] = {"sgd", "momentum", "adam", "adamw", "rmsprop", "adagrad"};
    static double serial[SIZE], parallel[SIZE];
    for (int k = 0; k < 6; k++)
        for (int n = 1; n <= 4; n++) {
            ck_assert_int_eq(tape_threads(n), TAPE_OK);
            tape_params *set = tape_params_create();
            tape_tensor w = tape_params_new(set, "w", TAPE_F64, TAPE_SHAPE(SIZE));
            tape_optim *optim = tape_optim_named(names[k], set, 0);
            tape_assign(w, tape_linspace(TAPE_F64, -1, 1, SIZE));
            for (int step = 0; step < 3; step++) {
                ck_assert_int_eq(tape_backward(tape_sum(tape_mul(tape_sin(w), w), TAPE_ALL, false)), TAPE_OK);
                ck_assert_int_eq(tape_optim_step(optim), TAPE_OK);
                tape_params_zero_grad(set);
                tape_reset();
            }
            tape_read(w, n == 1 ? serial : parallel, SIZE);
            ck_assert(n == 1 || memcmp(serial, parallel, sizeof serial) == 0);
            tape_optim_destroy(optim);
            tape_params_destroy(set);
        }
    ck_assert_int_eq(tape_threads(1), TAPE_OK);
}
END_TEST

/* ---- a loop of the caller's own ---------------------------------------------------------------------------------- */

enum { CALLS = 1000 };

static void count_inner(void *arg, int64_t i)
{
    atomic_fetch_add((atomic_int *)arg + i, 1);
}

static void count_outer(void *arg, int64_t i)
{
    atomic_fetch_add((atomic_int *)arg + i, 1);
    if (i % 100 == 0)
        tape_parallel_for(CALLS, count_inner, arg);
}

START_TEST(a_loop_calls_each_once)
{
    static atomic_int calls[CALLS];
    for (int n = 1; n <= 4; n++) {
        ck_assert_int_eq(tape_threads(n), TAPE_OK);
        tape_parallel_for(CALLS, count_outer, calls);
        tape_parallel_for(0, count_outer, calls);
        tape_parallel_for(-1, count_outer, calls);
        for (int i = 0; i < CALLS; i++)
            ck_assert_int_eq(calls[i], n * (1 + CALLS / 100));
    }
    ck_assert_int_eq(tape_threads(1), TAPE_OK);
}
END_TEST

/* Sanitizers keep threads and locks of their own that a fork does not carry over; so does qemu's user emulation. */
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__) && !TAPE__TEST_EMULATED
START_TEST(a_forked_child_goes_on)
{
    const double three = 3;
    ck_assert_int_eq(tape_threads(2), TAPE_OK);
    tape_tensor w = tape_param(TAPE_F64, TAPE_SCALAR, &three);
    tape_tensor y = tape_mul(w, w);
    pid_t child = fork();
    if (child == 0) {
        bool ok = tape_backward(y) == TAPE_OK && tape_data_f64(tape_gradient(w))[0] == 6;
        tape_reset();
        tape_tensor big = tape_exp(tape_zeros(TAPE_F32, TAPE_SHAPE(1 << 20)));
        ok = ok && tape_item(tape_mean(big, TAPE_ALL, false)) == 1;
        _exit(ok ? 0 : 1);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    ck_assert(tape_is_none(tape_gradient(w))); /* the child's gradient is the child's */
    ck_assert_int_eq(tape_threads(1), TAPE_OK);
    tape_free(w);
    tape_reset();
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("threads");
    TCase *cases = tcase_create("threads");
    tcase_add_test(cases, threads_accumulate_into_one_leaf);
    tcase_add_test(cases, threads_write_one_trace);
    tcase_add_test(cases, the_registry_of_leaves_is_safe);
    tcase_add_test(cases, freeing_what_another_tape_saved_is_reported);
    tcase_add_test(cases, a_thread_ends_with_its_tape);
    tcase_add_test(cases, bits_do_not_depend_on_the_number_of_threads);
    tcase_add_test(cases, optimisers_step_alike_on_any_number_of_threads);
    tcase_add_test(cases, a_loop_calls_each_once);
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__) && !TAPE__TEST_EMULATED
    tcase_add_test(cases, a_forked_child_goes_on);
#endif
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
