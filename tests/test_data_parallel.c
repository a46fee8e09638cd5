/* tape_data_parallel(): the same bits for any number of threads, the gradient of the whole, errors of the first shard.
 */
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "tape/data_parallel.h"

enum { BATCH = 37, IN = 24, OUT = 16, SIZE = OUT * IN + OUT };

typedef struct model {
    tape_tensor w, b, x, unused, rare;
    bool dropout;
    int fail_from, fail_at; /* shards that fail: fail_at, and all from fail_from on */
    _Atomic int64_t examples;
} model;

static model make_model(bool dropout)
{
    static double data[BATCH * IN];
    for (int i = 0; i < BATCH * IN; i++)
        data[i] = (double)((i * 7919) % 1000) / 1000 - 0.5;
    model m = {.dropout = dropout, .fail_from = 1000, .fail_at = 1000};
    m.w = tape_param(TAPE_F64, TAPE_SHAPE(OUT, IN), data);
    m.b = tape_param(TAPE_F64, TAPE_SHAPE(OUT), data);
    m.x = tape_const(TAPE_F64, TAPE_SHAPE(BATCH, IN), data);
    m.unused = tape_param(TAPE_F64, TAPE_SCALAR, data);
    m.rare = tape_param(TAPE_F64, TAPE_SCALAR, data);
    return m;
}

static void free_model(model *m)
{
    tape_free(m->w), tape_free(m->b), tape_free(m->x), tape_free(m->unused), tape_free(m->rare);
}

static void forget_gradients(const model *m)
{
    tape_zero_grad(m->w), tape_zero_grad(m->b), tape_zero_grad(m->rare);
}

static tape_tensor loss_of(model *m, int64_t begin, int64_t end)
{
    tape_tensor x = tape_slice(m->x, 0, begin, end, 1);
    tape_tensor h = tape_tanh(tape_linear(x, m->w, m->b));
    if (m->dropout)
        h = tape_dropout(h, 0.5);
    return tape_div_scalar(tape_sum(tape_square(h), TAPE_ALL, false), BATCH);
}

static tape_tensor shard_loss(void *user, const tape_shard *s)
{
    model *m = user;
    atomic_fetch_add(&m->examples, s->end - s->begin);
    if (s->index >= m->fail_from || s->index == m->fail_at)
        tape_fail(TAPE_ERROR_FORMAT, "example %d is spoilt", (int)s->begin);
    tape_tensor y = loss_of(m, s->begin, s->end);
    return s->index == 2 ? tape_add(y, tape_mul_scalar(m->rare, 3)) : y; /* a leaf that one shard alone reads */
}

static void copy_gradients(const model *m, double *out)
{
    ck_assert_int_eq(tape_read(tape_gradient(m->w), out, OUT * IN), TAPE_OK);
    ck_assert_int_eq(tape_read(tape_gradient(m->b), out + OUT * IN, OUT), TAPE_OK);
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

START_TEST(shards_add_up_to_the_batch)
{
    model m = make_model(false);
    static double whole[SIZE], sum[SIZE];
    tape_tensor y = loss_of(&m, 0, BATCH);
    double expected = tape_item(y), loss;
    ck_assert_int_eq(tape_backward(y), TAPE_OK);
    copy_gradients(&m, whole);
    tape_reset();
    const int shards[] = {0, 1, 3, 37, 256};
    for (int k = 0; k < 5; k++) {
        forget_gradients(&m);
        m.examples = 0;
        ck_assert_int_eq(
            tape_data_parallel(shard_loss, &m, BATCH, &(tape_data_parallel_options){.shards = shards[k]}, &loss),
            TAPE_OK);
        ck_assert_int_eq(m.examples, BATCH);
        double rare = shards[k] == 1 ? 0 : 3 * -0.5;
        ck_assert_double_eq_tol(loss, expected + rare, 1e-12);
        copy_gradients(&m, sum);
        for (int i = 0; i < SIZE; i++)
            ck_assert_double_eq_tol(sum[i], whole[i], 1e-13);
        ck_assert(tape_is_none(tape_gradient(m.unused)));
        if (shards[k] != 1)
            ck_assert_double_eq(tape_item(tape_gradient(m.rare)), 3);
    }
    /* a second call accumulates */
    ck_assert_int_eq(tape_data_parallel(shard_loss, &m, BATCH, NULL, NULL), TAPE_OK);
    copy_gradients(&m, sum);
    for (int i = 0; i < SIZE; i++)
        ck_assert_double_eq_tol(sum[i], 2 * whole[i], 1e-13);
    free_model(&m);
}
END_TEST

/* ---- bits -------------------------------------------------------------------------------------------------------- */

static void run_backwards(void *user, int64_t n, tape_body *body, void *arg)
{
    ++*(int *)user;
    for (int64_t i = n; i-- > 0;)
        body(arg, i);
}

typedef struct job {
    tape_body *body;
    void *arg;
    int64_t i;
} job;

static void *run_job(void *arg)
{
    job *j = arg;
    j->body(j->arg, j->i);
    tape_thread_end();
    return NULL;
}

/* A thread for each. */
static void run_at_once(void *user, int64_t n, tape_body *body, void *arg)
{
    ++*(int *)user;
    pthread_t thread[64];
    job jobs[64];
    ck_assert_int_le(n, 64);
    for (int64_t i = 0; i < n; i++) {
        jobs[i] = (job){body, arg, i};
        ck_assert_int_eq(pthread_create(&thread[i], NULL, run_job, &jobs[i]), 0);
    }
    for (int64_t i = 0; i < n; i++)
        pthread_join(thread[i], NULL);
}

/* Three steps on a tape with this hook; random numbers in them. */
static void steps(model *m, tape_parallel_hook *hook, double *gradients, double *loss)
{
    int loops = 0;
    const tape_config config = {.parallel = hook, .parallel_user = &loops, .seed = 42};
    tape *t = tape_create(&config), *before = tape_make_current(t);
    forget_gradients(m);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(tape_data_parallel(shard_loss, m, BATCH, NULL, &loss[i]), TAPE_OK);
        if (hook)
            ck_assert_int_eq(loops, 1); /* loops inside a shard do not reach the hook */
        loops = 0;
        tape_reset();
    }
    copy_gradients(m, gradients);
    tape_make_current(before);
    tape_destroy(t);
}

START_TEST(bits_do_not_depend_on_threads)
{
    model m = make_model(true);
    static double serial[SIZE], parallel[SIZE];
    double loss[3], other[3];
    steps(&m, NULL, serial, loss);
    ck_assert(loss[0] != loss[1]); /* each call draws anew */
    for (int n = 2; n <= 9; n++) {
        ck_assert_int_eq(tape_threads(n), TAPE_OK);
        steps(&m, NULL, parallel, other);
        ck_assert(memcmp(serial, parallel, sizeof serial) == 0 && memcmp(loss, other, sizeof loss) == 0);
    }
    ck_assert_int_eq(tape_threads(1), TAPE_OK);
    tape_parallel_hook *const hooks[] = {run_backwards, run_at_once};
    for (int k = 0; k < 2; k++) {
        steps(&m, hooks[k], parallel, other);
        ck_assert(memcmp(serial, parallel, sizeof serial) == 0 && memcmp(loss, other, sizeof loss) == 0);
    }
    free_model(&m);
}
END_TEST

/* Each shard has numbers of its own. */
static tape_tensor draw(void *user, const tape_shard *s)
{
    tape_tensor u = tape_rand_uniform(TAPE_F64, TAPE_SCALAR, 0, 1);
    ((double *)user)[s->index] = tape_item(u);
    return tape_mul(u, *(tape_tensor *)((double *)user + 8));
}

START_TEST(random_numbers_belong_to_shards)
{
    struct {
        double u[8];
        tape_tensor w;
    } drawn = {.w = tape_param(TAPE_F64, TAPE_SCALAR, NULL)}, again = {.w = drawn.w};
    tape_seed(1);
    ck_assert_int_eq(tape_data_parallel(draw, &drawn, 8, NULL, NULL), TAPE_OK);
    for (int i = 0; i < 8; i++)
        for (int k = 0; k < i; k++)
            ck_assert(drawn.u[i] != drawn.u[k]);
    tape_seed(1);
    ck_assert_int_eq(tape_data_parallel(draw, &again, 8, NULL, NULL), TAPE_OK);
    ck_assert(memcmp(drawn.u, again.u, sizeof drawn.u) == 0);
    tape_free(drawn.w);
}
END_TEST

/* ---- errors ------------------------------------------------------------------------------------------------------ */

START_TEST(the_first_shard_that_fails_is_reported)
{
    model m = make_model(false);
    double loss = 1;
    ck_assert_int_eq(tape_data_parallel(shard_loss, &m, BATCH, NULL, NULL), TAPE_OK);
    static double before[SIZE], after[SIZE];
    copy_gradients(&m, before);
    m.fail_from = 3;
    for (int n = 1; n <= 4; n++) {
        ck_assert_int_eq(tape_threads(n), TAPE_OK);
        ck_assert_int_eq(tape_data_parallel(shard_loss, &m, BATCH, NULL, &loss), TAPE_ERROR_FORMAT);
        ck_assert_str_eq(tape_message(), "data_parallel: shard 3 of 8: example 15 is spoilt");
        ck_assert_double_eq(loss, 0);
        tape_clear();
        copy_gradients(&m, after);
        ck_assert(memcmp(before, after, sizeof before) == 0);
    }
    m.fail_at = 1;
    ck_assert_int_eq(tape_data_parallel(shard_loss, &m, BATCH, NULL, &loss), TAPE_ERROR_FORMAT);
    ck_assert_ptr_nonnull(strstr(tape_message(), "shard 1 of 8"));
    tape_clear();
    m.fail_from = m.fail_at = 1000;
    ck_assert_int_eq(tape_data_parallel(shard_loss, &m, BATCH, NULL, &loss), TAPE_OK);
    ck_assert_int_eq(tape_threads(1), TAPE_OK);
    free_model(&m);
}
END_TEST

typedef struct abuse {
    int way;
    tape_tensor w, foreign;
} abuse;

static tape_tensor misbehave(void *user, const tape_shard *s)
{
    const abuse *a = user;
    tape_tensor y = tape_mul_scalar(a->w, 2), one = tape_sum(y, TAPE_ALL, false);
    switch (a->way) {
    case 0:
        tape_backward(one);
        return one;
    case 1:
        tape_reset();
        return one;
    case 2:
        tape_data_parallel(misbehave, user, s->batch, NULL, NULL);
        return one;
    case 3:
        return TAPE_NULL;
    case 4:
        return y; /* more than one element */
    case 5:
        return tape_scalar(TAPE_F32, 1); /* constant */
    case 6:
        return tape_mul(one, a->foreign);
    case 7:
        return tape_argmax(y, TAPE_ALL, false);
    default:
        return one;
    }
}

START_TEST(a_shard_keeps_to_the_rules)
{
    const tape_status expected[] = {TAPE_ERROR_STATE, TAPE_ERROR_STATE,    TAPE_ERROR_STATE,  TAPE_ERROR_CALLBACK,
                                    TAPE_ERROR_SHAPE, TAPE_ERROR_ARGUMENT, TAPE_ERROR_HANDLE, TAPE_ERROR_SHAPE};
    abuse a = {.w = tape_param(TAPE_F32, TAPE_SHAPE(2), NULL), .foreign = tape_scalar(TAPE_F32, 1)};
    for (a.way = 0; a.way < 8; a.way++) {
        ck_assert_int_eq(tape_data_parallel(misbehave, &a, 10, NULL, NULL), expected[a.way]);
        ck_assert_ptr_nonnull(strstr(tape_message(), "data_parallel: shard 0 of 8: "));
        tape_clear();
        ck_assert(tape_is_none(tape_gradient(a.w)));
    }
    ck_assert_int_eq(tape_data_parallel(misbehave, &a, 10, NULL, NULL), TAPE_OK);
    ck_assert_float_eq(tape_data_f32(tape_gradient(a.w))[1], 16);
    const int64_t batch[] = {0, -1, INT64_MIN};
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq((tape_clear(), tape_data_parallel(misbehave, &a, batch[i], NULL, NULL)), TAPE_ERROR_ARGUMENT);
    for (int i = -1; i <= 257; i += 258)
        ck_assert_int_eq(
            (tape_clear(), tape_data_parallel(misbehave, &a, 1000, &(tape_data_parallel_options){.shards = i}, NULL)),
            TAPE_ERROR_ARGUMENT);
    tape_clear();
    ck_assert_int_eq(tape_data_parallel(NULL, &a, 1, NULL, NULL), TAPE_ERROR_ARGUMENT);
    tape_clear();
    ck_assert_int_eq(tape_data_parallel(misbehave, &a, INT64_MAX, NULL, NULL), TAPE_OK);
    tape_free(a.w);
    tape_reset();
}
END_TEST

static tape_tensor double_it(void *user, tape_tensor g)
{
    ++*(int *)user;
    return tape_mul_scalar(g, 2);
}

START_TEST(hooks_see_the_whole)
{
    abuse a = {.way = 9, .w = tape_param(TAPE_F32, TAPE_SHAPE(2), NULL)};
    int calls = 0;
    tape_hook(a.w, double_it, &calls);
    ck_assert_int_eq(tape_data_parallel(misbehave, &a, 10, NULL, NULL), TAPE_OK);
    ck_assert_int_eq(calls, 1);
    ck_assert_float_eq(tape_data_f32(tape_gradient(a.w))[0], 32);
    tape_free(a.w);
}
END_TEST

/* ---- memory ------------------------------------------------------------------------------------------------------ */

typedef struct meter {
    atomic_long calls, live, refuse_at;
} meter;

static void *metered(void *user, void *pointer, size_t old_size, size_t new_size)
{
    meter *m = user;
    (void)old_size;
    if (new_size == 0) {
        m->live -= pointer != NULL;
        free(pointer);
        return NULL;
    }
    long call = atomic_fetch_add(&m->calls, 1) + 1;
    if (m->refuse_at && call >= m->refuse_at)
        return NULL;
    m->live += pointer == NULL;
    return realloc(pointer, new_size);
}

START_TEST(nothing_is_allocated_once_warm)
{
    for (int n = 1; n <= 3; n++) {
        ck_assert_int_eq(tape_threads(n), TAPE_OK);
        meter used = {0};
        const tape_config config = {.allocator = metered, .allocator_user = &used};
        tape *t = tape_create(&config), *before = tape_make_current(t);
        model m = make_model(true);
        long warm = 0;
        for (int i = 0; i < 20; i++) {
            ck_assert_int_eq(tape_data_parallel(shard_loss, &m, BATCH, NULL, NULL), TAPE_OK);
            forget_gradients(&m);
            tape_reset();
            if (i == 1)
                warm = used.calls;
        }
        ck_assert_int_eq(used.calls, warm);
        free_model(&m);
        tape_make_current(before);
        tape_destroy(t);
        ck_assert_int_eq(used.live, 0);
    }
    ck_assert_int_eq(tape_threads(1), TAPE_OK);
}
END_TEST

START_TEST(any_allocation_may_fail)
{
    bool succeeded = false;
    for (long n = 1; !succeeded; n++) {
        ck_assert_int_lt(n, 500);
        meter used = {.refuse_at = 0};
        const tape_config config = {.allocator = metered, .allocator_user = &used};
        tape *t = tape_create(&config), *before = tape_make_current(t);
        model m = make_model(false);
        used.refuse_at = used.calls + n;
        tape_status status = tape_data_parallel(shard_loss, &m, BATCH, NULL, NULL);
        succeeded = used.calls < used.refuse_at;
        ck_assert_int_eq(status, succeeded ? TAPE_OK : TAPE_ERROR_MEMORY);
        tape_clear();
        ck_assert_int_eq(succeeded, !tape_is_none(tape_gradient(m.w)));
        used.refuse_at = 0;
        free_model(&m);
        tape_make_current(before);
        tape_destroy(t);
        ck_assert_int_eq(used.live, 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data_parallel");
    TCase *cases = tcase_create("data_parallel");
    tcase_add_test(cases, shards_add_up_to_the_batch);
    tcase_add_test(cases, bits_do_not_depend_on_threads);
    tcase_add_test(cases, random_numbers_belong_to_shards);
    tcase_add_test(cases, the_first_shard_that_fails_is_reported);
    tcase_add_test(cases, a_shard_keeps_to_the_rules);
    tcase_add_test(cases, hooks_see_the_whole);
    tcase_add_test(cases, nothing_is_allocated_once_warm);
    tcase_add_test(cases, any_allocation_may_fail);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
