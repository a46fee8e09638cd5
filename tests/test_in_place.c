/* Large leaves, whose adjoints are written into the gradients' buffers: the contracts of backward hold all the same. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tape/custom.h"
#include "tape/gradcheck.h"
#include "tape/tape.h"
#include <check.h>

enum { N = 40000 };

static tape_tensor leaf_of(float value)
{
    tape_tensor x = tape_param(TAPE_F32, TAPE_SHAPE(N), NULL);
    float *data = tape_data_mut(x);
    for (int i = 0; i < N; i++)
        data[i] = value + (float)(i % 7);
    return x;
}

/* The gradient of sum(x^2) is 2 x, here `times` over. */
static bool is_gradient(tape_tensor x, float times)
{
    const float *g = tape_data_f32(tape_gradient(x)), *v = tape_data_f32(x);
    for (int i = 0; g && i < N; i++)
        if (g[i] != times * 2 * v[i])
            return false;
    return g != NULL;
}

static tape_tensor squares(tape_tensor x)
{
    return tape_sum(tape_square(x), TAPE_ALL, false);
}

START_TEST(stores_then_adds)
{
    tape_tensor x = leaf_of(1);
    ck_assert_int_eq(tape_backward(squares(x)), TAPE_OK);
    ck_assert(is_gradient(x, 1));
    ck_assert_int_eq(tape_backward(squares(x)), TAPE_OK);
    ck_assert(is_gradient(x, 2));
    tape_zero_grad(x);
    tape_reset();
    ck_assert_int_eq(tape_backward(tape_add(squares(x), squares(x))), TAPE_OK);
    ck_assert(is_gradient(x, 2));
    tape_free(x);
}
END_TEST

static tape_tensor refuse(void *user, tape_tensor g)
{
    (void)user, (void)g;
    return TAPE_NULL;
}

START_TEST(stays_absent_after_a_failure)
{
    tape_tensor x = leaf_of(1), other = leaf_of(2);
    tape_hook(other, refuse, NULL);
    ck_assert_int_ne(tape_backward(tape_add(squares(x), squares(other))), TAPE_OK);
    tape_reset();
    ck_assert(tape_is_none(tape_gradient(x)));
    ck_assert_int_eq(tape_backward(squares(x)), TAPE_OK);
    ck_assert(is_gradient(x, 1));
    tape_free(x), tape_free(other);
}
END_TEST

/* What a record reads may not be written by the sweep that goes through it. */
START_TEST(reads_an_older_gradient)
{
    tape_tensor x = leaf_of(1);
    tape_backward(squares(x));
    tape_tensor g = tape_gradient(x);
    tape_reset();
    tape_tensor y = tape_sum(tape_mul(tape_mul(x, g), tape_mul(g, x)), TAPE_ALL, false);
    tape_zero_grad(x);
    ck_assert_int_eq(tape_backward(y), TAPE_OK); /* 2 x g^2 = 8 x^3 */
    const float *d = tape_data_f32(tape_gradient(x)), *v = tape_data_f32(x);
    for (int i = 0; i < N; i++)
        ck_assert_float_eq(d[i], 8 * v[i] * v[i] * v[i]);
    tape_free(x);
}
END_TEST

static tape_tensor victim;

static tape_tensor free_victim(void *user, tape_tensor g)
{
    (void)user;
    tape_free(victim);
    return g;
}

START_TEST(a_hook_frees_another_leaf)
{
    tape_tensor x = leaf_of(1);
    victim = leaf_of(2);
    tape_hook(x, free_victim, NULL);
    ck_assert_int_eq(tape_backward(tape_add(squares(victim), squares(x))), TAPE_OK);
    ck_assert(is_gradient(x, 1));
    tape_free(x);
}
END_TEST

static void *sum_on_own_tape(void *arg)
{
    tape_tensor x = *(tape_tensor *)arg;
    for (int i = 0; i < 20; i++) {
        if (tape_backward(squares(x)) != TAPE_OK)
            return arg;
        tape_reset();
    }
    tape_thread_end();
    return NULL;
}

START_TEST(threads_commit_to_one_leaf)
{
    tape_tensor x = leaf_of(1);
    pthread_t thread[3];
    void *failed;
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, sum_on_own_tape, &x), 0);
    for (int i = 0; i < 3; i++) {
        pthread_join(thread[i], &failed);
        ck_assert_ptr_null(failed);
    }
    ck_assert(is_gradient(x, 60));
    tape_free(x);
}
END_TEST

static tape_tensor scaled_sum(void *user, const tape_tensor *x, int n)
{
    (void)n;
    return tape_sum(tape_mul(x[0], *(tape_tensor *)user), TAPE_ALL, false);
}

/* The checker's f64 mode leaves a leaf that is used already with a second node: one of the two claims the buffer, and
 * the other adds to what lies there. */
START_TEST(two_nodes_stand_for_one_leaf)
{
    tape_tensor x = leaf_of(1), s = tape_param(TAPE_F32, TAPE_SCALAR, &(float){2});
    for (int n = 0; n < 4; n++) {
        tape_tensor y = tape_sum(tape_mul_scalar(x, 4), TAPE_ALL, false);
        tape_gradcheck_report report;
        ck_assert(tape_gradcheck(scaled_sum, &x, &s, 1, NULL, &report));
        ck_assert_int_eq(tape_backward(tape_add(y, squares(x))), TAPE_OK);
        const float *g = tape_data_f32(tape_gradient(x)), *v = tape_data_f32(x);
        bool right = true;
        for (int i = 0; i < N; i++)
            right = right && g[i] == 4 + 2 * v[i];
        ck_assert(right);
        tape_zero_grad(x), tape_zero_grad(s);
        tape_reset();
    }
    tape_free(x), tape_free(s);
}
END_TEST

/* The caller's cotangent is read where it lies and stays as it is. */
START_TEST(keeps_the_cotangent)
{
    tape_tensor x = leaf_of(1), g = tape_keep(tape_full(TAPE_F32, TAPE_SHAPE(N), 3));
    tape_tensor y = tape_add(tape_reshape(tape_add(x, x), TAPE_SHAPE(N)), x);
    ck_assert_int_eq(tape_backward_with(y, g), TAPE_OK);
    const float *d = tape_data_f32(tape_gradient(x)), *seed = tape_data_f32(g);
    for (int i = 0; i < N; i++) {
        ck_assert_float_eq(d[i], 9);
        ck_assert_float_eq(seed[i], 3);
    }
    tape_free(x), tape_free(g);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("in_place");
    TCase *c = tcase_create("in_place");
    tcase_set_timeout(c, 120);
    tcase_add_test(c, stores_then_adds);
    tcase_add_test(c, stays_absent_after_a_failure);
    tcase_add_test(c, reads_an_older_gradient);
    tcase_add_test(c, a_hook_frees_another_leaf);
    tcase_add_test(c, threads_commit_to_one_leaf);
    tcase_add_test(c, two_nodes_stand_for_one_leaf);
    tcase_add_test(c, keeps_the_cotangent);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
