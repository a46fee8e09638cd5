/* Memory: no allocation once warm, every allocation may fail, budgets, statistics; foreign handles; hooks. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tape/tape.h"

/* An allocator that counts, and refuses from the n-th call on (once, or for ever). */
struct meter {
    long calls, refuse_at, live;
    bool for_ever;
    long frees;
    size_t bytes; /* held now */
};

static void *metered(void *user, void *pointer, size_t old_size, size_t new_size)
{
    struct meter *m = user;
    if (new_size == 0) {
        m->live -= pointer != NULL;
        m->frees++;
        m->bytes -= old_size;
        free(pointer);
        return NULL;
    }
    m->calls++;
    if (m->refuse_at && (m->for_ever ? m->calls >= m->refuse_at : m->calls == m->refuse_at))
        return NULL;
    void *block = realloc(pointer, new_size);
    m->live += block && !pointer;
    m->bytes += block ? new_size - old_size : 0;
    return block;
}

/* Two layers without bias, tanh between, squared error: broadcasting, views of leaves, one-element tails. */
static tape_status step(tape_tensor w, tape_tensor v, tape_tensor x, tape_tensor target)
{
    tape_tensor h = tape_tanh(tape_add(tape_mul(x, w), v));
    tape_tensor e = tape_sub(tape_mul(h, v), target);
    tape_tensor loss = tape_mul(e, e);
    tape_status status = tape_backward_with(loss, tape_ones_like(loss));
    tape_zero_grad(w);
    return status;
}

static tape_status run_steps(int steps, struct meter *meter, long *first, long *rest)
{
    tape_config config = {.allocator = metered, .allocator_user = meter};
    tape *t = tape_create(&config);
    if (!t)
        return TAPE_ERROR_MEMORY;
    tape *before = tape_make_current(t);
    float data[96];
    for (int i = 0; i < 96; i++)
        data[i] = 0.01F * (float)i;
    tape_tensor w = tape_param(TAPE_F32, TAPE_SHAPE(1, 32), data), v = tape_param(TAPE_F32, TAPE_SHAPE(3, 1), data);
    tape_tensor x = tape_const(TAPE_F32, TAPE_SHAPE(3, 32), data), target = tape_const(TAPE_F32, TAPE_SHAPE(32), data);
    tape_status status = TAPE_OK;
    for (int i = 0; i < steps && status == TAPE_OK; i++) {
        if (i == 1)
            *first = meter->calls;
        status = step(w, v, x, target);
        if (status == TAPE_OK)
            tape_reset();
    }
    *rest = meter->calls - *first;
    tape_tensor leaves[4] = {w, v, x, target};
    tape_reset();
    for (int i = 0; i < 4; i++)
        tape_free(leaves[i]);
    tape_make_current(before);
    tape_destroy(t);
    return status;
}

START_TEST(a_step_allocates_nothing_after_the_first)
{
    struct meter meter = {0};
    long first = 0, rest = -1;
    ck_assert_int_eq(run_steps(100, &meter, &first, &rest), TAPE_OK);
    ck_assert_int_gt(first, 0);
    ck_assert_int_eq(rest, 0);
    ck_assert_int_eq(meter.live, 0);
}
END_TEST

START_TEST(any_allocation_may_fail)
{
    for (int for_ever = 0; for_ever < 2; for_ever++) {
        bool succeeded = false;
        for (long n = 1; !succeeded; n++) {
            struct meter meter = {.refuse_at = n, .for_ever = for_ever};
            long first, rest;
            tape_status status = run_steps(2, &meter, &first, &rest);
            ck_assert_int_eq(meter.live, 0);
            succeeded = meter.calls < n;
            if (succeeded)
                ck_assert_int_eq(status, TAPE_OK);
            else
                ck_assert(status == TAPE_ERROR_MEMORY || status == TAPE_OK || status == TAPE_ERROR_HANDLE);
            ck_assert_int_lt(n, 1000);
        }
    }
}
END_TEST

START_TEST(a_budget_is_kept)
{
    tape_config config = {.memory_budget = 1 << 20};
    tape *t = tape_create(&config), *before = tape_make_current(t);
    tape_tensor small = tape_zeros(TAPE_F32, TAPE_SHAPE(1000));
    ck_assert(!tape_is_null(small));
    ck_assert(tape_is_null(tape_zeros(TAPE_F32, TAPE_SHAPE(1 << 20))));
    ck_assert_int_eq(tape_last_status(), TAPE_ERROR_MEMORY);
    tape_clear();
    ck_assert(tape_is_valid(small));
    ck_assert_uint_le(tape_stats().bytes_reserved, 1 << 20);
    tape_make_current(before);
    tape_destroy(t);
}
END_TEST

START_TEST(a_failed_backward_changes_no_gradient)
{
    const float one = 1;
    tape_tensor a = tape_param(TAPE_F32, TAPE_SCALAR, &one), b = tape_param(TAPE_F32, TAPE_SCALAR, &one);
    ck_assert_int_eq(tape_backward(tape_add(a, b)), TAPE_OK);
    tape_tensor y = tape_mul(tape_mul(a, a), b);
    *(float *)tape_data_mut(b) = 3;
    ck_assert_int_eq(tape_backward(y), TAPE_ERROR_VERSION);
    tape_reset();
    ck_assert_float_eq(tape_data_f32(tape_gradient(a))[0], 1);
    ck_assert_float_eq(tape_data_f32(tape_gradient(b))[0], 1);
    tape_free(a), tape_free(b);
}
END_TEST

START_TEST(peak_and_records_are_counted)
{
    tape_reset();
    tape_statistics before = tape_stats();
    ck_assert_int_eq(before.records, 0);
    tape_tensor x = tape_zeros(TAPE_F32, TAPE_SHAPE(1000));
    tape_exp(tape_exp(x));
    tape_statistics after = tape_stats();
    ck_assert_int_eq(after.records, 3);
    ck_assert_uint_ge(after.bytes_now, before.bytes_now + 3 * 4000);
    ck_assert_uint_ge(after.bytes_peak, after.bytes_now);
    tape_reset();
    ck_assert_int_eq(tape_stats().records, 0);
    ck_assert_int_eq(tape_reserve(1 << 20, 20000), TAPE_OK);
    int64_t calls = tape_stats().allocator_calls;
    for (int i = 0; i < 20000; i++)
        tape_scalar(TAPE_F32, i);
    ck_assert_int_eq(tape_stats().allocator_calls, calls);
    tape_reset();
}
END_TEST

/* What the tape says of its allocator is what the allocator sees. */
START_TEST(statistics_agree_with_the_allocator)
{
    struct meter meter = {0};
    tape_config config = {.allocator = metered, .allocator_user = &meter};
    tape *t = tape_create(&config), *before = tape_make_current(t);
    for (int round = 0; round < 3; round++) {
        for (int n = 1; n <= 1 << 16; n *= 4) {
            tape_tensor x = tape_zeros(TAPE_F32, TAPE_SHAPE(n));
            tape_sum(tape_transpose(tape_expand(x, TAPE_SHAPE(3, n)), 0, 1), TAPE_AXES(0), false);
        }
        tape_statistics s = tape_stats();
        ck_assert_int_eq(s.allocator_calls, meter.calls + meter.frees);
        ck_assert_uint_eq(s.bytes_reserved, meter.bytes);
        ck_assert_uint_le(s.bytes_peak, s.bytes_reserved);
        ck_assert_uint_gt(s.bytes_now, 4 << 16);
        tape_reset();
    }
    tape_make_current(before);
    tape_destroy(t);
    ck_assert_uint_eq(meter.bytes, 0);
}
END_TEST

/* The peak of a chain is that of its values and records; freed blocks are used again and do not raise it. */
START_TEST(the_peak_is_what_was_filled)
{
    enum { N = 1 << 14, LINKS = 10 };
    const size_t value = N * sizeof(float), record = 1000;
    tape *t = tape_create(NULL), *before = tape_make_current(t);
    size_t once = 0;
    for (int round = 0; round < 3; round++) {
        tape_tensor x = tape_zeros(TAPE_F32, TAPE_SHAPE(N));
        for (int i = 1; i < LINKS; i++)
            x = tape_exp(x);
        tape_statistics s = tape_stats();
        ck_assert_uint_ge(s.bytes_now, LINKS * value);
        ck_assert_uint_le(s.bytes_now, LINKS * (value + record));
        ck_assert_uint_eq(s.bytes_peak, s.bytes_now);
        once = round ? once : s.bytes_peak;
        ck_assert_uint_eq(s.bytes_peak, once);
        tape_reset();
        ck_assert_uint_eq(tape_stats().bytes_now, 0);
        ck_assert_uint_eq(tape_stats().bytes_peak, once);
    }
    for (int i = 0; i < 100; i++) { /* rewound each time: two values at once */
        tape_position mark = tape_mark();
        tape_exp(tape_zeros(TAPE_F32, TAPE_SHAPE(N)));
        tape_rewind(mark);
        tape_mark_drop(mark);
    }
    ck_assert_uint_eq(tape_stats().bytes_peak, once);
    tape_make_current(before);
    tape_destroy(t);
}
END_TEST

/* The adjoint of many parts of one tensor is one block: T of them cost as much memory as one. */
START_TEST(parts_share_one_adjoint)
{
    enum { ROWS = 256, COLUMNS = 64 };
    tape_tensor x = tape_param(TAPE_F32, TAPE_SHAPE(ROWS, COLUMNS), NULL);
    tape_reset();
    tape_tensor sum = tape_scalar(TAPE_F32, 0);
    for (int i = 0; i < ROWS; i++) {
        tape_tensor row = tape_reshape(tape_slice(x, 0, i, i + 1, 1), TAPE_SHAPE(COLUMNS));
        sum = tape_add(sum, tape_mul_scalar(tape_sum(row, TAPE_ALL, false), i));
    }
    size_t before = tape_stats().bytes_now;
    ck_assert_int_eq(tape_backward(sum), TAPE_OK);
    ck_assert_uint_le(tape_stats().bytes_peak, before + 3 * ROWS * COLUMNS * sizeof(float));
    const float *g = tape_data_f32(tape_gradient(x));
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < COLUMNS; j++)
            ck_assert_float_eq(g[i * COLUMNS + j], (float)i);
    /* Parts and the whole together, and a part twice. */
    tape_zero_grad(x);
    tape_reset();
    tape_tensor y = tape_add(tape_sum(x, TAPE_ALL, false), tape_sum(tape_slice(x, 0, 2, 4, 1), TAPE_ALL, false));
    y = tape_add(y, tape_sum(tape_slice(x, 0, 3, 5, 1), TAPE_ALL, false));
    ck_assert_int_eq(tape_backward(y), TAPE_OK);
    for (int i = 0; i < ROWS; i++)
        ck_assert_float_eq(g[i * COLUMNS], i == 3 ? 3.0F : i == 2 || i == 4 ? 2.0F : 1.0F);
    tape_free(x);
    tape_reset();
}
END_TEST

START_TEST(a_foreign_handle_is_reported)
{
    tape *other = tape_create(NULL), *mine = tape_make_current(other);
    tape_tensor x = tape_scalar(TAPE_F32, 1);
    tape_make_current(mine);
    tape_scalar(TAPE_F32, 2); /* the same slot on this tape */
    ck_assert(!tape_is_valid(x));
    ck_assert(tape_is_null(tape_neg(x)));
    ck_assert_int_eq(tape_last_status(), TAPE_ERROR_HANDLE);
    tape_reset();
    tape_destroy(other);
}
END_TEST

/* ---- hooks ------------------------------------------------------------------------------------------------------- */

static tape_tensor halve(void *user, tape_tensor g)
{
    ++*(int *)user;
    return tape_mul_scalar(g, 0.5);
}

static tape_tensor refuse(void *user, tape_tensor g)
{
    (void)user;
    (void)g;
    return TAPE_NONE;
}

static tape_tensor reset_inside(void *user, tape_tensor g)
{
    *(tape_status *)user = tape_reset();
    return g;
}

START_TEST(hooks_see_and_replace_gradients)
{
    const float v[3] = {1, 2, 3};
    tape_tensor x = tape_param(TAPE_F32, TAPE_SHAPE(3), v);
    int calls = 0;
    ck_assert_int_eq(tape_hook(x, halve, &calls), TAPE_OK);
    tape_tensor y = tape_mul(x, x);
    ck_assert_int_eq(tape_backward_with(y, tape_ones_like(y)), TAPE_OK);
    ck_assert_int_eq(calls, 1);
    for (int i = 0; i < 3; i++)
        ck_assert_float_eq(tape_data_f32(tape_gradient(x))[i], v[i]);
    tape_hook(x, refuse, NULL);
    tape_zero_grad(x);
    ck_assert_int_eq(tape_backward_with(y, tape_ones_like(y)), TAPE_OK);
    ck_assert(tape_is_none(tape_gradient(x)));
    tape_status inner = TAPE_OK;
    tape_hook(x, reset_inside, &inner);
    ck_assert_int_eq(tape_backward_with(y, tape_ones_like(y)), TAPE_ERROR_STATE);
    ck_assert_int_eq(inner, TAPE_ERROR_STATE);
    tape_clear();
    ck_assert(tape_is_none(tape_gradient(x)));
    tape_reset();
    tape_free(x);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memory");
    TCase *cases = tcase_create("memory");
    tcase_add_test(cases, a_step_allocates_nothing_after_the_first);
    tcase_add_test(cases, any_allocation_may_fail);
    tcase_add_test(cases, a_budget_is_kept);
    tcase_add_test(cases, a_failed_backward_changes_no_gradient);
    tcase_add_test(cases, peak_and_records_are_counted);
    tcase_add_test(cases, statistics_agree_with_the_allocator);
    tcase_add_test(cases, the_peak_is_what_was_filled);
    tcase_add_test(cases, parts_share_one_adjoint);
    tcase_add_test(cases, a_foreign_handle_is_reported);
    tcase_add_test(cases, hooks_see_and_replace_gradients);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
