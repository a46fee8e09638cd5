/* The tape itself: handles, errors, marks, versions, allocation, leaves. No op's mathematics is tested here. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tape/tape.h"

static tape_tensor param1(float value)
{
    return tape_param(TAPE_F32, TAPE_SHAPE(1), &value);
}

static float gradient1(tape_tensor leaf)
{
    tape_tensor g = tape_gradient(leaf);
    ck_assert(!tape_is_none(g) && !tape_is_null(g));
    return tape_data_f32(g)[0];
}

#define OK() ck_assert_msg(tape_last_status() == TAPE_OK, "%s", tape_message())
#define FAILS(status)                                                                                                  \
    do {                                                                                                               \
        ck_assert_msg(tape_last_status() == (status), "%s: %s", tape_status_name(tape_last_status()), tape_message()); \
        ck_assert(tape_message()[0] != '\0');                                                                          \
        tape_clear();                                                                                                  \
    } while (0)

START_TEST(chain_of_one_element_ops)
{
    tape_tensor x = param1(2), a = param1(3), b = param1(5);
    tape_tensor y = tape_add(tape_mul(x, a), b);
    OK();
    ck_assert_double_eq(tape_item(y), 11);
    ck_assert_int_eq(tape_backward(y), TAPE_OK);
    ck_assert_float_eq(gradient1(x), 3);
    ck_assert_float_eq(gradient1(a), 2);
    ck_assert_float_eq(gradient1(b), 1);
    ck_assert_int_eq(tape_backward(y), TAPE_OK); /* the tape is not consumed: gradients accumulate */
    ck_assert_float_eq(gradient1(x), 6);
    tape_zero_grad(x);
    ck_assert(tape_is_none(tape_gradient(x)));
    tape_reset();
    ck_assert(!tape_is_valid(y));
    tape_mul(y, y);
    FAILS(TAPE_ERROR_HANDLE);
    tape_free(x), tape_free(a), tape_free(b);
    OK();
    tape_mul(x, a);
    FAILS(TAPE_ERROR_HANDLE);
}
END_TEST

START_TEST(shared_and_repeated_inputs)
{
    const double v[3] = {1, 2, 3};
    tape_tensor x = tape_param(TAPE_F64, TAPE_SHAPE(3), v);
    /* z = (x + x) * x = 2 x^2, dz/dx = 4 x */
    tape_tensor z = tape_mul(tape_add(x, x), x);
    const double ones[3] = {1, 1, 1};
    ck_assert_int_eq(tape_backward_with(z, tape_from(TAPE_F64, TAPE_SHAPE(3), ones)), TAPE_OK);
    const double *g = tape_data_f64(tape_gradient(x));
    for (int i = 0; i < 3; i++)
        ck_assert_double_eq(g[i], 4 * v[i]);
    tape_free(x);
    tape_reset();
}
END_TEST

START_TEST(writing_a_saved_value_is_an_error)
{
    tape_tensor x = param1(2), a = param1(3);
    tape_tensor y = tape_mul(x, a);
    *(float *)tape_data_mut(a) = 7;
    ck_assert_int_eq(tape_backward(y), TAPE_ERROR_VERSION);
    ck_assert(strstr(tape_message(), "mul") != NULL);
    FAILS(TAPE_ERROR_VERSION);
    ck_assert(tape_is_none(tape_gradient(x)));
    y = tape_add(x, a); /* add saves nothing */
    *(float *)tape_data_mut(a) = 8;
    ck_assert_int_eq(tape_backward(y), TAPE_OK);
    tape_reset();
    y = tape_mul(x, a);
    tape_free(a);
    ck_assert_int_eq(tape_backward(y), TAPE_ERROR_VERSION);
    ck_assert(strstr(tape_message(), "freed") != NULL);
    tape_reset();
    tape_free(x);
}
END_TEST

/* What an optimiser of the caller's own needs. */
START_TEST(updates_of_leaves)
{
    tape_tensor x = param1(2), a = param1(3), both[2] = {x, a}, y = tape_mul(x, x);
    tape_update u[2];
    ck_assert_int_eq(tape_updates_of(both, 2, u), TAPE_OK);
    ck_assert(!u[0].gradient && !u[1].gradient); /* nothing to do, and no write either */
    ck_assert_int_eq(tape_backward(y), TAPE_OK);
    ck_assert_int_eq(tape_updates_of(both, 2, u), TAPE_OK);
    ck_assert_ptr_eq(u[0].data, tape_data(x));
    ck_assert_ptr_eq(u[0].gradient, tape_data(tape_gradient(x)));
    ck_assert(u[0].numel == 1 && u[0].dtype == TAPE_F32 && !u[1].gradient);
    *(float *)u[0].data -= *(const float *)u[0].gradient;
    ck_assert_double_eq(tape_item(x), -2);
    ck_assert_int_eq(tape_backward(y), TAPE_ERROR_VERSION); /* the write was seen */
    FAILS(TAPE_ERROR_VERSION);
    ck_assert_int_eq(tape_updates_of(&y, 1, u), TAPE_ERROR_HANDLE);
    FAILS(TAPE_ERROR_HANDLE);
    tape_free(a);
    ck_assert_int_eq(tape_updates_of(both, 2, u), TAPE_ERROR_HANDLE);
    FAILS(TAPE_ERROR_HANDLE);
    tape_free(x);
    tape_reset();
}
END_TEST

START_TEST(many_leaves_at_once)
{
    tape_tensor x = param1(2), a = param1(3), both[2] = {x, a};
    ck_assert(tape_are_valid(both, 2) && tape_are_valid(NULL, 0));
    ck_assert_int_eq(tape_backward(tape_mul(x, a)), TAPE_OK);
    ck_assert_int_eq(tape_zero_grads(both, 2), TAPE_OK);
    ck_assert(tape_is_none(tape_gradient(x)) && tape_is_none(tape_gradient(a)));
    ck_assert_int_eq(tape_backward(tape_mul(x, a)), TAPE_OK);
    ck_assert_double_eq(tape_item(tape_gradient(x)), 3);
    tape_free(a);
    ck_assert(!tape_are_valid(both, 2) && tape_are_valid(both, 1));
    ck_assert_int_eq(tape_zero_grads(both, 2), TAPE_ERROR_HANDLE);
    FAILS(TAPE_ERROR_HANDLE);
    ck_assert_double_eq(tape_item(tape_gradient(x)), 3); /* all or none */
    tape_free(x);
    tape_reset();
}
END_TEST

/* The registry grows by chunks of 64, 128, ... leaves: none is mistaken for another. */
START_TEST(many_leaves)
{
    enum { LEAVES = 500 };
    tape_tensor x[LEAVES];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < LEAVES; i++)
            x[i] = param1((float)i);
        for (int i = 0; i < LEAVES; i++) {
            ck_assert_int_eq(tape_backward(tape_mul(x[i], x[i])), TAPE_OK);
            ck_assert_float_eq(gradient1(x[i]), 2 * (float)i);
            if (i % 100 == 99)
                tape_reset();
        }
        for (int i = 0; i < LEAVES; i++)
            tape_free(x[i]);
        for (int i = 0; i < LEAVES; i++)
            ck_assert(!tape_is_valid(x[i]));
        OK();
        tape_reset();
    }
}
END_TEST

START_TEST(marks)
{
    tape_tensor x = param1(2);
    tape_tensor a = tape_mul(x, x);
    tape_position mark = tape_mark();
    for (int frame = 0; frame < 3; frame++) {
        tape_tensor b = tape_mul(a, x);
        ck_assert_double_eq(tape_item(b), 8);
        ck_assert_int_eq(tape_rewind(mark), TAPE_OK);
        ck_assert(!tape_is_valid(b));
        ck_assert(tape_is_valid(a));
    }
    ck_assert_int_eq(tape_mark_drop(mark), TAPE_OK);
    tape_rewind(mark);
    FAILS(TAPE_ERROR_HANDLE);
    ck_assert_int_eq(tape_backward(a), TAPE_OK);
    ck_assert_float_eq(gradient1(x), 4);
    tape_free(x);
    tape_reset();
}
END_TEST

START_TEST(second_order_by_create_graph)
{
    const double v = 1.5;
    tape_tensor x = tape_param(TAPE_F64, TAPE_SCALAR, &v), g, h;
    tape_tensor y = tape_mul(tape_mul(x, x), x); /* x^3 */
    tape_grad_options options = {.create_graph = true};
    ck_assert_int_eq(tape_grad(&y, 1, NULL, &x, 1, &options, &g), TAPE_OK);
    ck_assert_double_eq(tape_item(g), 3 * v * v);
    ck_assert_int_eq(tape_grad(&g, 1, NULL, &x, 1, &options, &h), TAPE_OK);
    ck_assert_double_eq(tape_item(h), 6 * v);
    tape_tensor other = tape_param(TAPE_F64, TAPE_SCALAR, &v), none;
    ck_assert_int_eq(tape_grad(&y, 1, NULL, &other, 1, NULL, &none), TAPE_OK);
    ck_assert(tape_is_none(none));
    tape_free(x), tape_free(other);
    tape_reset();
}
END_TEST

START_TEST(errors_stick)
{
    const float v[6] = {0};
    tape_tensor a = tape_from(TAPE_F32, TAPE_SHAPE(2, 3), v), b = tape_from(TAPE_F32, TAPE_SHAPE(2, 2), v);
    tape_tensor c = tape_add(tape_mul(a, b), a);
    ck_assert(tape_is_null(c));
    ck_assert_str_eq(tape_message(), "mul: shapes [2, 3] and [2, 2] do not broadcast");
    ck_assert_int_eq(tape_backward(c), TAPE_ERROR_SHAPE);
    tape_reset();
    OK();
    tape_mul(TAPE_NULL, TAPE_NONE);
    FAILS(TAPE_ERROR_HANDLE);
    tape_param(TAPE_I32, TAPE_SHAPE(2), NULL);
    FAILS(TAPE_ERROR_DTYPE);
    tape_from(TAPE_F32, TAPE_SHAPE(-1), NULL);
    FAILS(TAPE_ERROR_SHAPE);
    tape_from(TAPE_F32, TAPE_SHAPE(INT64_MAX, 4), NULL);
    FAILS(TAPE_ERROR_SHAPE);
    tape_mul(tape_scalar(TAPE_F32, 1), tape_scalar(TAPE_F64, 1));
    FAILS(TAPE_ERROR_DTYPE);
    tape_resume();
    FAILS(TAPE_ERROR_STATE);
    tape_reset();
}
END_TEST

START_TEST(formats)
{
    const float v[6] = {1, 2.5F, -3, 0, 1e-10F, 1e30F};
    char text[128];
    tape_tensor x = tape_from(TAPE_F32, TAPE_SHAPE(2, 3), v);
    size_t n = tape_format(x, text, sizeof text);
    ck_assert_str_eq(text, "[[1, 2.5, -3], [0, 1e-10, 1e+30]] f32[2, 3]");
    ck_assert_uint_eq(n, strlen(text));
    ck_assert_uint_eq(tape_format(x, text, 10), n);
    ck_assert_str_eq(text, "[[1, 2...");
    tape_reset();

    /* As fast as any other, though no memory would hold the sizes without the 0. */
    tape_format(tape_zeros(TAPE_F32, TAPE_SHAPE((int64_t)1 << 48, 0)), text, sizeof text);
    ck_assert_str_eq(text, "[[], [], [], ..., [], [], []] f32[281474976710656, 0]");
    tape_reset();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tape");
    TCase *core = tcase_create("core");
    tcase_add_test(core, chain_of_one_element_ops);
    tcase_add_test(core, shared_and_repeated_inputs);
    tcase_add_test(core, writing_a_saved_value_is_an_error);
    tcase_add_test(core, updates_of_leaves);
    tcase_add_test(core, many_leaves_at_once);
    tcase_add_test(core, many_leaves);
    tcase_add_test(core, marks);
    tcase_add_test(core, second_order_by_create_graph);
    tcase_add_test(core, errors_stick);
    tcase_add_test(core, formats);
    suite_add_tcase(suite, core);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
