/* Knows what the ops on indices and order promise beyond their samples: repeats, negative and bad indices, NaN, ties.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "support/expect.h"
#include "support/table.h"

static tape_tensor table(void)
{
    return PARAM(TAPE_SHAPE(3, 2), 1, 2, 3, 4, 5, 6);
}

/* ---- index tensors ----------------------------------------------------------------------------------------------- */

START_TEST(test_any_index_tensor)
{
    tape_tensor x = table();
    for (int dtype = TAPE_I32; dtype <= TAPE_I64; dtype++) {
        tape_tensor index = CONSTANT((tape_dtype)dtype, TAPE_SHAPE(2, 2), 2, 0, 2, 1);
        EXPECT_AS(tape_gather(x, 0, index), TAPE_SHAPE(2, 2), 5, 2, 5, 4);
        EXPECT_AS(tape_gather(x, 0, tape_transpose(index, 0, 1)), TAPE_SHAPE(2, 2), 5, 6, 1, 4);
        EXPECT_AS(tape_index_select(x, 0, tape_select(index, 1, 1)), TAPE_SHAPE(2, 2), 1, 2, 3, 4);
        EXPECT_AS(tape_embedding(x, tape_flip(index, TAPE_ALL), NULL), TAPE_SHAPE(2, 2, 2), 3, 4, 5, 6, 1, 2, 5, 6);
        EXPECT_AS(tape_one_hot(tape_narrow(index, 0, 0, 1), 3, TAPE_I64), TAPE_SHAPE(1, 2, 3), 0, 0, 1, 1, 0, 0);
    }
    for (int dtype = TAPE_F32; dtype <= TAPE_U8; dtype++) {
        tape_tensor values = CONSTANT((tape_dtype)dtype, TAPE_SHAPE(3), 7, 8, 9);
        EXPECT_AS(tape_index_select(values, 0, INDEX(2, 0)), TAPE_SHAPE(2), 9, 7);
        EXPECT_AS(tape_gather(values, 0, INDEX(1, 1, 0)), TAPE_SHAPE(3), 8, 8, 7);
    }
    settle();
}
END_TEST

START_TEST(test_bad_indices)
{
    tape_tensor x = table(), big = INDEX(0, 3), negative = INDEX(-1), fine = INDEX(0, 1), y = tape_detach(x);
    tape_tensor wide = CONSTANT(TAPE_I64, TAPE_SHAPE(1, 2), 0, INT64_MIN);
    EXPECT_ERROR(tape_index_select(x, 0, big), TAPE_ERROR_INDEX,
                 "index_select: index 3 at place 1 is out of range for 3");
    EXPECT_ERROR(tape_index_select(x, 0, negative), TAPE_ERROR_INDEX, "index -1");
    EXPECT_ERROR(tape_embedding(x, negative, NULL), TAPE_ERROR_INDEX, "embedding");
    EXPECT_ERROR(tape_gather(x, 1, wide), TAPE_ERROR_INDEX, "gather");
    EXPECT_ERROR(tape_scatter_add(x, 1, wide, tape_ones(TAPE_F64, TAPE_SHAPE(1, 2))), TAPE_ERROR_INDEX, "scatter_add");
    EXPECT_ERROR(tape_index_get(x, &big, 1), TAPE_ERROR_INDEX, "index_get");
    EXPECT_ERROR(tape_index_put(x, &big, 1, x, true), TAPE_ERROR_INDEX, "index_put");
    EXPECT_ERROR(tape_one_hot(big, 3, TAPE_F32), TAPE_ERROR_INDEX, "one_hot");
    EXPECT_ERROR(tape_one_hot(fine, 0, TAPE_F32), TAPE_ERROR_ARGUMENT, "one_hot");
    EXPECT_ERROR(tape_one_hot(fine, INT64_MIN, TAPE_F32), TAPE_ERROR_ARGUMENT, "one_hot");
    EXPECT_ERROR(tape_one_hot(fine, INT64_MAX, TAPE_F32), TAPE_ERROR_SHAPE, "one_hot");
    EXPECT_ERROR(tape_one_hot(fine, 2, (tape_dtype)-1), TAPE_ERROR_DTYPE, "one_hot");
    EXPECT_ERROR(tape_index_select(x, 0, x), TAPE_ERROR_SHAPE, "index_select");
    EXPECT_ERROR(tape_index_select(x, 0, tape_select(x, 0, 0)), TAPE_ERROR_DTYPE, "i32 or i64 indices, got f64");
    EXPECT_ERROR(tape_index_select(x, 2, fine), TAPE_ERROR_ARGUMENT, "index_select");
    EXPECT_ERROR(tape_gather(x, 0, fine), TAPE_ERROR_SHAPE, "gather");
    EXPECT_ERROR(tape_gather(x, 0, CONSTANT(TAPE_I64, TAPE_SHAPE(1, 3), 0, 0, 0)), TAPE_ERROR_SHAPE, "gather");
    EXPECT_ERROR(tape_take_along(x, fine, 0), TAPE_ERROR_SHAPE, "take_along");
    EXPECT_ERROR(tape_take_along(x, wide, 5), TAPE_ERROR_ARGUMENT, "take_along");
    EXPECT_ERROR(tape_index_get(x, &fine, 0), TAPE_ERROR_ARGUMENT, "index_get");
    EXPECT_ERROR(tape_index_get(x, (tape_tensor[]){fine, fine, fine}, 3), TAPE_ERROR_ARGUMENT, "index_get");
    EXPECT_ERROR(tape_index_get(x, (tape_tensor[]){fine, INDEX(0, 0, 0)}, 2), TAPE_ERROR_SHAPE, "index_get");
    EXPECT_ERROR(tape_index_put(x, &fine, 1, INDEX(1, 2, 3), true), TAPE_ERROR_SHAPE, "index_put");
    EXPECT_AS(y, TAPE_SHAPE(3, 2), 1, 2, 3, 4, 5, 6);
    settle();
}
END_TEST

START_TEST(test_no_indices)
{
    tape_tensor x = table(), none = tape_from(TAPE_I64, TAPE_SHAPE(0), NULL), y = tape_index_select(x, 0, none);
    EXPECT_SHAPE(y, TAPE_SHAPE(0, 2));
    tape_tensor gx, cotangent = tape_zeros_like(y);
    ck_assert_int_eq(tape_grad(&y, 1, &cotangent, &x, 1, NULL, &gx), TAPE_OK);
    EXPECT_AS(gx, TAPE_SHAPE(3, 2), 0, 0, 0, 0, 0, 0);
    EXPECT_SHAPE(tape_embedding(x, none, NULL), TAPE_SHAPE(0, 2));
    EXPECT_SHAPE(tape_index_get(x, &none, 1), TAPE_SHAPE(0, 2));
    EXPECT_AS(tape_index_put(x, &none, 1, tape_scalar(TAPE_F64, 9), false), TAPE_SHAPE(3, 2), 1, 2, 3, 4, 5, 6);
    EXPECT_SHAPE(tape_one_hot(none, 3, TAPE_F32), TAPE_SHAPE(0, 3));
    tape_tensor nothing = tape_narrow(x, 0, 0, 0);
    EXPECT_SHAPE(tape_index_select(nothing, 0, none), TAPE_SHAPE(0, 2));
    EXPECT_ERROR(tape_index_select(nothing, 0, INDEX(0)), TAPE_ERROR_INDEX, "for 0 elements");
    settle();
}
END_TEST

/* ---- repeats ----------------------------------------------------------------------------------------------------- */

START_TEST(test_repeats_add_up)
{
    tape_tensor x = table(), index = INDEX(2, 0, 2);
    EXPECT_AS(DERIVATIVE(tape_index_select(x, 0, index), x, 1, 2, 4, 8, 16, 32), TAPE_SHAPE(3, 2), 4, 8, 0, 0, 17, 34);
    EXPECT_AS(DERIVATIVE(tape_embedding(x, index, NULL), x, 1, 2, 4, 8, 16, 32), TAPE_SHAPE(3, 2), 4, 8, 0, 0, 17, 34);
    tape_tensor column = CONSTANT(TAPE_I64, TAPE_SHAPE(3, 1), 1, 1, 1), s = PARAM(TAPE_SCALAR, 4);
    EXPECT_AS(DERIVATIVE(tape_gather(x, 0, column), x, 1, 2, 4), TAPE_SHAPE(3, 2), 0, 0, 7, 0, 0, 0);
    EXPECT_AS(tape_scatter_add(x, 0, column, tape_full(TAPE_F64, TAPE_SHAPE(3, 1), 10)), TAPE_SHAPE(3, 2), 1, 2, 33, 4,
              5, 6);
    EXPECT_AS(tape_gather(s, 0, CONSTANT(TAPE_I32, TAPE_SCALAR, 0)), TAPE_SCALAR, 4);
    EXPECT_ERROR(tape_gather(s, 0, CONSTANT(TAPE_I32, TAPE_SCALAR, 1)), TAPE_ERROR_INDEX, "gather");
    settle();
}
END_TEST

START_TEST(test_embedding_padding)
{
    tape_tensor x = table(), index = INDEX(2, 1, 2);
    for (int64_t padding = -1; padding <= 2; padding += 3) {
        tape_tensor y =
            tape_embedding(x, index, &(tape_embedding_options){.has_padding = true, .padding_index = padding});
        EXPECT_AS(y, TAPE_SHAPE(3, 2), 5, 6, 3, 4, 5, 6);
        EXPECT_AS(DERIVATIVE(y, x, 1, 2, 4, 8, 16, 32), TAPE_SHAPE(3, 2), 0, 0, 4, 8, 0, 0);
    }
    for (int k = 0; k < 2; k++)
        EXPECT_ERROR(tape_embedding(x, index, &(tape_embedding_options){true, k ? 3 : INT64_MIN}), TAPE_ERROR_ARGUMENT,
                     "embedding: padding index");
    EXPECT_ERROR(tape_embedding(tape_scalar(TAPE_F64, 1), index, NULL), TAPE_ERROR_SHAPE, "embedding");
    settle();
}
END_TEST

/* The value that a later one replaces gets no gradient, and neither does what was there before. */
START_TEST(test_index_put)
{
    tape_tensor x = table(), index = INDEX(1, -2, 0), values = PARAM(TAPE_SHAPE(3, 1), 7, 8, 9);
    tape_tensor y = tape_index_put(x, &index, 1, values, false);
    EXPECT_AS(y, TAPE_SHAPE(3, 2), 9, 9, 8, 8, 5, 6);
    EXPECT_AS(DERIVATIVE(y, values, 1, 2, 4, 8, 16, 32), TAPE_SHAPE(3, 1), 0, 12, 3);
    EXPECT_AS(DERIVATIVE(y, x, 1, 2, 4, 8, 16, 32), TAPE_SHAPE(3, 2), 0, 0, 0, 0, 16, 32);
    tape_tensor sum = tape_index_put(x, &index, 1, values, true);
    EXPECT_AS(sum, TAPE_SHAPE(3, 2), 10, 11, 18, 19, 5, 6);
    EXPECT_AS(DERIVATIVE(sum, values, 1, 2, 4, 8, 16, 32), TAPE_SHAPE(3, 1), 12, 12, 3);
    EXPECT_AS(tape_index_get(x, (tape_tensor[]){index, INDEX(-1)}, 2), TAPE_SHAPE(3), 4, 4, 2);
    settle();
}
END_TEST

START_TEST(test_scatter_max_ties)
{
    tape_tensor x = PARAM(TAPE_SHAPE(3), 1, 5, NAN), index = INDEX(0, 0, 1, 2);
    tape_tensor source = PARAM(TAPE_SHAPE(4), 1, 1, 2, 7), y = tape_scatter_max(x, 0, index, source);
    EXPECT_AS(y, TAPE_SHAPE(3), 1, 5, NAN);
    EXPECT_AS(tape_narrow(DERIVATIVE(y, x, 3, 4, 0), 0, 0, 2), TAPE_SHAPE(2), 1, 4);
    EXPECT_AS(tape_narrow(DERIVATIVE(y, source, 3, 4, 0), 0, 0, 3), TAPE_SHAPE(3), 1, 1, 0);
    EXPECT_AS(tape_scatter_max(x, 0, INDEX(1), PARAM(TAPE_SHAPE(1), NAN)), TAPE_SHAPE(3), 1, NAN, NAN);
    EXPECT_ERROR(tape_scatter_max(x, 0, index, x), TAPE_ERROR_SHAPE, "scatter_max");
    EXPECT_ERROR(tape_scatter_add(x, 0, index, CONSTANT(TAPE_F32, TAPE_SHAPE(4), 1, 1, 1, 1)), TAPE_ERROR_DTYPE,
                 "f64 and f32");
    EXPECT_ERROR(tape_scatter_add(index, 0, index, index), TAPE_ERROR_DTYPE, "scatter_add");
    settle();
}
END_TEST

/* ---- masks ------------------------------------------------------------------------------------------------------- */

START_TEST(test_masks)
{
    tape_tensor x = table(), none = CONSTANT(TAPE_U8, TAPE_SHAPE(2), 0, 0),
                some = CONSTANT(TAPE_U8, TAPE_SHAPE(2), 0, 200);
    EXPECT_SHAPE(tape_masked_select(x, none), TAPE_SHAPE(0));
    EXPECT_AS(tape_masked_select(x, some), TAPE_SHAPE(3), 2, 4, 6);
    EXPECT_AS(tape_masked_select(INDEX(5, 6), some), TAPE_SHAPE(1), 6);
    EXPECT_AS(DERIVATIVE(tape_masked_select(x, some), x, 1, 2, 4), TAPE_SHAPE(3, 2), 0, 1, 0, 2, 0, 4);
    EXPECT_AS(DERIVATIVE(tape_masked_fill(x, some, 0), x, 1, 2, 4, 8, 16, 32), TAPE_SHAPE(3, 2), 1, 0, 4, 0, 16, 0);
    EXPECT_ERROR(tape_masked_select(x, x), TAPE_ERROR_DTYPE, "masked_select: expects a u8 mask");
    EXPECT_ERROR(tape_masked_select(x, CONSTANT(TAPE_U8, TAPE_SHAPE(3), 1, 1, 1)), TAPE_ERROR_SHAPE, "masked_select");
    EXPECT_ERROR(tape_masked_fill(PARAM(TAPE_SHAPE(1), 1), some, 0), TAPE_ERROR_SHAPE, "masked_fill");
    EXPECT_ERROR(tape_masked_fill(x, x, 0), TAPE_ERROR_DTYPE, "masked_fill");
    settle();
}
END_TEST

/* ---- order ------------------------------------------------------------------------------------------------------- */

START_TEST(test_sort_order)
{
    tape_tensor x = PARAM(TAPE_SHAPE(7), 2, NAN, -INFINITY, 2, INFINITY, 2, NAN), places;
    EXPECT_AS(tape_sort(x, 0, false, &places), TAPE_SHAPE(7), -INFINITY, 2, 2, 2, INFINITY, NAN, NAN);
    EXPECT_AS(places, TAPE_SHAPE(7), 2, 0, 3, 5, 4, 1, 6);
    tape_tensor y = tape_sort(x, -1, true, &places);
    EXPECT_AS(y, TAPE_SHAPE(7), NAN, NAN, INFINITY, 2, 2, 2, -INFINITY);
    EXPECT_AS(places, TAPE_SHAPE(7), 1, 6, 4, 0, 3, 5, 2);
    EXPECT_AS(DERIVATIVE(y, x, 1, 2, 3, 4, 5, 6, 7), TAPE_SHAPE(7), 4, 1, 7, 5, 3, 6, 2);
    EXPECT_ERROR(tape_sort(x, 1, false, &places), TAPE_ERROR_ARGUMENT, "sort");
    ck_assert(tape_is_null(places));
    for (int dtype = TAPE_F32; dtype <= TAPE_U8; dtype++)
        EXPECT_AS(tape_sort(CONSTANT((tape_dtype)dtype, TAPE_SHAPE(4), 200, 3, 200, 7), 0, true, &places),
                  TAPE_SHAPE(4), 200, 200, 7, 3);
    EXPECT_AS(places, TAPE_SHAPE(4), 0, 2, 3, 1);
    EXPECT_SHAPE(tape_sort(tape_narrow(x, 0, 0, 0), 0, false, NULL), TAPE_SHAPE(0));
    settle();
}
END_TEST

struct keyed {
    double value;
    int place;
};

static int by_value_and_place(const void *a, const void *b)
{
    const struct keyed *p = a, *q = b;
    if (p->value != q->value)
        return p->value < q->value ? -1 : 1;
    return p->place - q->place;
}

START_TEST(test_sort_is_stable)
{
    enum { N = 1777 };
    struct keyed item[N];
    double values[N], sorted[N], places[N];
    uint32_t state = 1;
    for (int i = 0; i < N; i++) {
        state = state * 1664525 + 1013904223;
        values[i] = state >> 24;
        item[i] = (struct keyed){values[i], i};
    }
    qsort(item, N, sizeof *item, by_value_and_place);
    for (int i = 0; i < N; i++) {
        sorted[i] = item[i].value;
        places[i] = item[i].place;
    }
    for (int dtype = TAPE_F32; dtype <= TAPE_U8; dtype++) {
        tape_tensor x = tape_cast(tape_from(TAPE_F64, TAPE_SHAPE(N), values), (tape_dtype)dtype), index;
        expect_values(__FILE__, __LINE__, tape_sort(x, 0, false, &index), sorted, N);
        expect_values(__FILE__, __LINE__, index, places, N);
    }
    settle();
}
END_TEST

START_TEST(test_topk)
{
    tape_tensor x = PARAM(TAPE_SHAPE(5), 3, NAN, 3, 1, 2), places, y = tape_topk(x, 3, 0, false, &places);
    EXPECT_AS(y, TAPE_SHAPE(3), NAN, 3, 3);
    EXPECT_AS(places, TAPE_SHAPE(3), 1, 0, 2);
    EXPECT_AS(DERIVATIVE(tape_topk(x, 2, 0, true, NULL), x, 5, 7), TAPE_SHAPE(5), 0, 0, 0, 5, 7);
    EXPECT_SHAPE(tape_topk(x, 0, 0, false, NULL), TAPE_SHAPE(0));
    EXPECT_AS(tape_topk(PARAM(TAPE_SCALAR, 8), 1, 0, false, &places), TAPE_SHAPE(1), 8);
    for (int k = 0; k < 4; k++) {
        const int64_t bad[] = {6, -1, INT64_MIN, INT64_MAX};
        EXPECT_ERROR(tape_topk(x, bad[k], 0, false, &places), TAPE_ERROR_ARGUMENT, "topk");
    }
    EXPECT_ERROR(tape_topk(x, 1, 1, false, &places), TAPE_ERROR_ARGUMENT, "topk");
    settle();
}
END_TEST

START_TEST(test_searchsorted)
{
    tape_tensor line = PARAM(TAPE_SHAPE(5), 1, 2, 2, 4, NAN), x = PARAM(TAPE_SHAPE(2, 3), 0, 2, 4, 9, NAN, -INFINITY);
    EXPECT_AS(tape_searchsorted(line, x, false), TAPE_SHAPE(2, 3), 0, 1, 3, 4, 4, 0);
    EXPECT_AS(tape_searchsorted(line, x, true), TAPE_SHAPE(2, 3), 0, 3, 4, 4, 5, 0);
    EXPECT_AS(tape_searchsorted(line, tape_scalar(TAPE_F64, 3), true), TAPE_SCALAR, 3);
    for (int dtype = TAPE_F32; dtype <= TAPE_U8; dtype++)
        EXPECT_AS(tape_searchsorted(CONSTANT((tape_dtype)dtype, TAPE_SHAPE(2, 2), 1, 3, 5, 7),
                                    CONSTANT((tape_dtype)dtype, TAPE_SHAPE(2, 1), 3, 8), true),
                  TAPE_SHAPE(2, 1), 2, 2);
    EXPECT_ERROR(tape_searchsorted(line, INDEX(1), false), TAPE_ERROR_DTYPE, "searchsorted");
    EXPECT_ERROR(tape_searchsorted(x, line, false), TAPE_ERROR_SHAPE, "searchsorted");
    EXPECT_ERROR(tape_searchsorted(tape_scalar(TAPE_F64, 3), line, false), TAPE_ERROR_SHAPE, "searchsorted");
    settle();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("index");
    TCase *all = tcase_create("all");
    tcase_add_test(all, test_any_index_tensor);
    tcase_add_test(all, test_bad_indices);
    tcase_add_test(all, test_no_indices);
    tcase_add_test(all, test_repeats_add_up);
    tcase_add_test(all, test_embedding_padding);
    tcase_add_test(all, test_index_put);
    tcase_add_test(all, test_scatter_max_ties);
    tcase_add_test(all, test_masks);
    tcase_add_test(all, test_sort_order);
    tcase_add_test(all, test_sort_is_stable);
    tcase_add_test(all, test_topk);
    tcase_add_test(all, test_searchsorted);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
