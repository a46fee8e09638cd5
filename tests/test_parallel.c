/* Knows what the parallel loop promises: every index once, from any thread, in bodies, across restarts and forks. */
#include "parallel.h"

#include <check.h>
#include <errno.h>
#include <fenv.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { N = 1000 };

struct counts {
    atomic_int hits[N];
    atomic_int strays;
};

static void count(void *arg, int64_t i)
{
    struct counts *c = arg;
    if (i < 0 || i >= N)
        atomic_fetch_add(&c->strays, 1);
    else
        atomic_fetch_add(&c->hits[i], 1);
}

static int wrong_counts(const struct tape__parallel *p, int64_t n)
{
    struct counts c = {0};
    tape__parallel_for(p, n, count, &c);
    int wrong = atomic_load(&c.strays);
    for (int64_t i = 0; i < N; i++)
        wrong += atomic_load(&c.hits[i]) != (i < n);
    return wrong;
}

static void sleep_for(long nanoseconds)
{
    nanosleep(&(struct timespec){0, nanoseconds}, NULL);
}

START_TEST(test_serial_without_pool)
{
    ck_assert_ptr_null(tape__pool());
    ck_assert_int_eq(wrong_counts(NULL, N), 0);
    ck_assert_int_eq(wrong_counts(NULL, 0), 0);
    ck_assert_int_eq(wrong_counts(NULL, -1), 0);
}
END_TEST

START_TEST(test_every_index_once)
{
    const int sizes[] = {2, 5, 3, 1, 4, 0, 2, -7};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        ck_assert_int_eq(tape__pool_start(sizes[s]), 0);
        ck_assert_int_eq(tape__pool() != NULL, sizes[s] > 1);
        for (int64_t n = 0; n < 40; n++)
            ck_assert_int_eq(wrong_counts(tape__pool(), n), 0);
        ck_assert_int_eq(wrong_counts(tape__pool(), N), 0);
    }
    ck_assert_int_eq(tape__pool_stop(), 0);
    ck_assert_int_eq(tape__pool_stop(), 0);
    ck_assert_ptr_null(tape__pool());
}
END_TEST

START_TEST(test_workers_sleep_and_wake)
{
    ck_assert_int_eq(tape__pool_start(3), 0);
    for (int k = 0; k < 5; k++) {
        sleep_for(5000000);
        ck_assert_int_eq(wrong_counts(tape__pool(), N), 0);
    }
    ck_assert_int_eq(tape__pool_stop(), 0);
}
END_TEST

/* Every iteration waits for all others, so the loop ends only if as many threads run it. */
struct meeting {
    int expected;
    atomic_int arrived;
};

static void meet(void *arg, int64_t i)
{
    struct meeting *m = arg;
    (void)i;
    atomic_fetch_add(&m->arrived, 1);
    while (atomic_load(&m->arrived) < m->expected)
        sleep_for(100000);
}

static void all_meet(int threads)
{
    struct meeting m = {threads, 0};
    tape__parallel_for(tape__pool(), threads, meet, &m);
}

START_TEST(test_really_in_parallel)
{
    for (int threads = 2; threads <= 5; threads++) {
        ck_assert_int_eq(tape__pool_start(threads), 0);
        all_meet(threads);
    }
    ck_assert_int_eq(tape__pool_stop(), 0);
}
END_TEST

static void nest(void *arg, int64_t i)
{
    (void)i;
    if (wrong_counts(tape__pool(), 50) || tape__pool_start(3) != EBUSY || tape__pool_stop() != EBUSY)
        atomic_fetch_add((atomic_int *)arg, 1);
}

START_TEST(test_nested_loops_and_resizing_inside)
{
    atomic_int wrong = 0;
    ck_assert_int_eq(tape__pool_start(4), 0);
    tape__parallel_for(tape__pool(), 64, nest, &wrong);
    ck_assert_int_eq(atomic_load(&wrong), 0);
    ck_assert_int_eq(tape__pool_stop(), 0);
}
END_TEST

static void *many_loops(void *arg)
{
    for (int k = 0; k < 200; k++)
        *(int *)arg += wrong_counts(tape__pool(), 1 + k);
    return NULL;
}

START_TEST(test_several_callers)
{
    pthread_t caller[4];
    int wrong[4] = {0};
    ck_assert_int_eq(tape__pool_start(3), 0);
    for (int k = 0; k < 4; k++)
        ck_assert_int_eq(pthread_create(&caller[k], NULL, many_loops, &wrong[k]), 0);
    for (int k = 0; k < 4; k++) {
        pthread_join(caller[k], NULL);
        ck_assert_int_eq(wrong[k], 0);
    }
    ck_assert_int_eq(tape__pool_stop(), 0);
}
END_TEST

static void *resize(void *arg)
{
    for (int k = 0; k < 200; k++) {
        int error = tape__pool_start(1 + k % 4);
        *(int *)arg += error && error != EBUSY;
    }
    return NULL;
}

START_TEST(test_resizing_under_load)
{
    pthread_t caller[3];
    int wrong[3] = {0};
    for (int k = 0; k < 3; k++)
        ck_assert_int_eq(pthread_create(&caller[k], NULL, k ? many_loops : resize, &wrong[k]), 0);
    for (int k = 0; k < 3; k++) {
        pthread_join(caller[k], NULL);
        ck_assert_int_eq(wrong[k], 0);
    }
    ck_assert_int_eq(tape__pool_stop(), 0);
}
END_TEST

struct rounding {
    struct meeting meeting;
    atomic_int wrong;
};

static void check_rounding(void *arg, int64_t i)
{
    struct rounding *r = arg;
    meet(&r->meeting, i);
    if (fegetround() != FE_DOWNWARD)
        atomic_fetch_add(&r->wrong, 1);
}

START_TEST(test_floating_point_environment)
{
    struct rounding r = {{2, 0}, 0};
    ck_assert_int_eq(tape__pool_start(2), 0);
    ck_assert_int_eq(fesetround(FE_DOWNWARD), 0);
    tape__parallel_for(tape__pool(), 2, check_rounding, &r);
    fesetround(FE_TONEAREST);
    ck_assert_int_eq(atomic_load(&r.wrong), 0);
    ck_assert_int_eq(tape__pool_stop(), 0);
}
END_TEST

/* ThreadSanitizer does not let a child of a threaded process start threads. AddressSanitizer allocates while a thread
   starts and leaves its lock taken in a child born then, so all threads meet before a fork. qemu's user emulation, too,
   fails where a child of a threaded process starts threads. */
#if !defined(__SANITIZE_THREAD__) && !TAPE__TEST_EMULATED
static int child_status(void)
{
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        int wrong = wrong_counts(tape__pool(), N);
        all_meet(3);
        wrong += tape__pool_start(2) != 0 || wrong_counts(tape__pool(), N) || tape__pool_stop() != 0;
        _exit(wrong ? 1 : 0);
    }
    int status = -1;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return status;
}

START_TEST(test_fork)
{
    ck_assert_int_eq(tape__pool_start(3), 0);
    all_meet(3);
    ck_assert_int_eq(child_status(), 0);
    ck_assert_int_eq(wrong_counts(tape__pool(), N), 0);
    ck_assert_int_eq(tape__pool_stop(), 0);
}
END_TEST

struct loops {
    atomic_bool begun, ended;
    int wrong;
};

static void *endless_loops(void *arg)
{
    struct loops *l = arg;
    while (!atomic_load(&l->ended)) {
        l->wrong += wrong_counts(tape__pool(), N);
        atomic_store(&l->begun, true);
    }
    return NULL;
}

/* The child is born while another thread owns the pool and its workers are in a body. */
START_TEST(test_fork_under_load)
{
    pthread_t caller;
    ck_assert_int_eq(tape__pool_start(3), 0);
    all_meet(3);
    struct loops loops = {false, false, 0};
    ck_assert_int_eq(pthread_create(&caller, NULL, endless_loops, &loops), 0);
    while (!atomic_load(&loops.begun))
        sleep_for(100000);
    for (int k = 0; k < 10; k++)
        ck_assert_int_eq(child_status(), 0);
    atomic_store(&loops.ended, true);
    pthread_join(caller, NULL);
    ck_assert_int_eq(loops.wrong, 0);
    ck_assert_int_eq(tape__pool_stop(), 0);
}
END_TEST
#endif

static void run_backwards(void *user, int64_t n, tape_body *body, void *arg)
{
    ++*(int *)user;
    while (n--)
        body(arg, n);
}

START_TEST(test_replaceable_hook)
{
    int calls = 0;
    const struct tape__parallel hook = {run_backwards, &calls};
    ck_assert_int_eq(wrong_counts(&hook, 17), 0);
    ck_assert_int_eq(wrong_counts(&hook, 1), 0);
    ck_assert_int_eq(calls, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("parallel");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 60);
    tcase_add_test(all, test_serial_without_pool);
    tcase_add_test(all, test_every_index_once);
    tcase_add_test(all, test_workers_sleep_and_wake);
    tcase_add_test(all, test_really_in_parallel);
    tcase_add_test(all, test_nested_loops_and_resizing_inside);
    tcase_add_test(all, test_several_callers);
    tcase_add_test(all, test_resizing_under_load);
    tcase_add_test(all, test_floating_point_environment);
#if !defined(__SANITIZE_THREAD__) && !TAPE__TEST_EMULATED
    tcase_add_test(all, test_fork);
    tcase_add_test(all, test_fork_under_load);
#endif
    tcase_add_test(all, test_replaceable_hook);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
