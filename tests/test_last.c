/* Values that end early: tape_last() and tape_backward_once(). Memory falls, gradients keep their bits, whoever comes
 * too late is told. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"
#include "tape/autodiff.h"
#include "tape/custom.h"
#include "tape/recompute.h"

enum { N = 1 << 13, LAYERS = 12 };
static const size_t VALUE = N * sizeof(float);

static tape_tensor hint(bool on, tape_tensor x)
{
    return on ? tape_last(x) : x;
}

/* A tower whose sums nobody saves: x + w is read by tanh alone, which saves its result. */
static tape_tensor tower(tape_tensor w, bool hints)
{
    tape_tensor x = w;
    for (int i = 0; i < LAYERS; i++)
        x = tape_tanh(hint(hints, tape_add(x, w)));
    return tape_mean(x, TAPE_ALL, false);
}

typedef tape_status backward_fn(tape_tensor y);

/* The tower's gradient on a tape of its own; returns the peak. */
static size_t climb(bool hints, backward_fn *backward, float *gradient, bool paused)
{
    static float data[N];
    for (int i = 0; i < N; i++)
        data[i] = 0.001F * (float)(i % 100);
    tape *t = tape_create(NULL), *before = tape_make_current(t);
    tape_tensor w = tape_param(TAPE_F32, TAPE_SHAPE(N), data);
    for (int i = 0; i < 2; i++) {
        if (paused)
            tape_pause();
        tape_tensor y = tower(w, hints);
        if (paused)
            tape_resume();
        else
            ck_assert_int_eq(backward(y), TAPE_OK);
        tape_reset();
    }
    if (!paused)
        memcpy(gradient, tape_data_f32(tape_gradient(w)), sizeof data);
    size_t peak = tape_stats().bytes_peak;
    tape_free(w);
    tape_make_current(before);
    tape_destroy(t);
    return peak;
}

START_TEST(the_peak_falls_and_bits_stay)
{
    static float plain[N], other[N];
    size_t all = climb(false, tape_backward, plain, false);
    ck_assert_uint_ge(all, 2 * LAYERS * VALUE);
    size_t hinted = climb(true, tape_backward, other, false); /* half of the values */
    ck_assert(memcmp(plain, other, sizeof plain) == 0);
    ck_assert_uint_le(hinted, (LAYERS + 4) * VALUE);
    size_t consumed = climb(false, tape_backward_once, other, false); /* gradients in the values' memory */
    ck_assert(memcmp(plain, other, sizeof plain) == 0);
    ck_assert_uint_le(consumed + VALUE, all);
    size_t both = climb(true, tape_backward_once, other, false);
    ck_assert(memcmp(plain, other, sizeof plain) == 0);
    ck_assert_uint_le(both, hinted);
    ck_assert_uint_ge(climb(false, NULL, NULL, true), 2 * LAYERS * VALUE);
}
END_TEST

/* Nothing is recorded: nobody saves, two values are enough. */
START_TEST(without_records_two_values_are_enough)
{
    tape *t = tape_create(NULL), *before = tape_make_current(t);
    tape_tensor x = tape_ones(TAPE_F32, TAPE_SHAPE(N));
    for (int i = 0; i < 100; i++)
        x = tape_exp(tape_last(tape_neg(tape_last(x))));
    ck_assert_uint_le(tape_stats().bytes_peak, 4 * VALUE + 500 * 100);
    ck_assert(isfinite((double)tape_data_f32(x)[N - 1]));
    tape_make_current(before);
    tape_destroy(t);
}
END_TEST

/* ---- handles ----------------------------------------------------------------------------------------------------- */

static void expect_ended(tape_tensor y)
{
    ck_assert(tape_is_null(y));
    ck_assert_int_eq(tape_last_status(), TAPE_ERROR_HANDLE);
    ck_assert_ptr_nonnull(strstr(tape_message(), "tape_last"));
    tape_clear();
}

START_TEST(a_late_use_is_reported)
{
    tape_tensor w = tape_param(TAPE_F64, TAPE_SHAPE(3), (const double[]){1, 2, 3});
    tape_tensor x = tape_exp(w), last = tape_last(x);
    ck_assert_double_eq(tape_item(tape_sum(x, TAPE_ALL, false)), tape_item(tape_sum(last, TAPE_ALL, false)));
    expect_ended(tape_neg(x)); /* the second sum was the last op */
    expect_ended(tape_neg(last));
    expect_ended(tape_last(x));
    ck_assert(!tape_is_valid(x));
    x = tape_exp(w);
    ck_assert_int_eq(tape_numel(tape_last(x)), 3); /* asking ends nothing */
    double read[3];
    ck_assert_int_eq(tape_read(tape_last(x), read, 3), TAPE_OK);
    ck_assert(
        tape_is_null(tape_add(tape_last(x), tape_ones(TAPE_F64, TAPE_SHAPE(2))))); /* nor does an op that failed */
    tape_clear();
    tape_tensor y = tape_mul(tape_last(x), tape_last(x)); /* twice in one op is one use */
    ck_assert_int_eq(tape_backward(tape_sum(y, TAPE_ALL, false)), TAPE_OK);
    for (int i = 0; i < 3; i++)
        ck_assert_double_eq_tol(tape_data_f64(tape_gradient(w))[i], 2 * read[i] * read[i], 1e-12 * read[i] * read[i]);
    expect_ended(tape_neg(x));
    ck_assert(!tape_is_null(tape_neg(tape_last(w)))); /* leaves stay */
    ck_assert(!tape_is_null(tape_neg(w)));
    ck_assert(tape_is_none(tape_last(TAPE_NONE)));
    ck_assert(tape_is_null(tape_last(TAPE_NULL)));
    ck_assert_int_eq(tape_last_status(), TAPE_OK);
    tape_free(w);
    tape_reset();
}
END_TEST

/* A composite takes its argument more than once: that is one use, too. */
START_TEST(a_composite_op_is_one_op)
{
    tape_tensor w = tape_param(TAPE_F64, TAPE_SHAPE(2, 3), (const double[]){1, 2, 3, 4, 5, 7});
    tape_tensor x = tape_mul_scalar(w, 2), y = tape_dropout(tape_last(x), 0.5);
    expect_ended(tape_neg(x));
    ck_assert(!tape_is_null(tape_neg(y)));
    x = tape_mul_scalar(w, 2);
    y = tape_dropout(tape_last(x), 0); /* x itself */
    ck_assert(tape_is_valid(y));
    ck_assert(!tape_is_null(tape_add(tape_neg(y), tape_neg(y))));
    tape_free(w);
    tape_reset();
}
END_TEST

START_TEST(views_and_marks_keep_a_block)
{
    tape *t = tape_create(NULL), *before = tape_make_current(t);
    tape_tensor base = tape_full(TAPE_F32, TAPE_SHAPE(N), 3),
                view = tape_reshape(tape_last(base), TAPE_SHAPE(N / 2, 2));
    size_t now = tape_stats().bytes_now;
    ck_assert(!tape_is_valid(base));
    for (int i = 0; i < 3; i++)
        tape_full(TAPE_F32, TAPE_SHAPE(N), NAN); /* would be in its place */
    ck_assert_uint_ge(tape_stats().bytes_now, now + 3 * VALUE);
    ck_assert_float_eq(tape_data_f32(view)[N - 1], 3);
    now = tape_stats().bytes_now;
    ck_assert_double_eq(tape_item(tape_mean(tape_last(view), TAPE_ALL, false)), 3); /* the last view: now it goes */
    ck_assert_uint_le(tape_stats().bytes_now + VALUE, now + 1000);
    tape_reset();
    tape_tensor old = tape_full(TAPE_F32, TAPE_SHAPE(N), 5);
    tape_position mark = tape_mark();
    tape_neg(tape_last(old)); /* from before the mark */
    tape_full(TAPE_F32, TAPE_SHAPE(N), NAN);
    tape_tensor young = tape_full(TAPE_F32, TAPE_SHAPE(N), 7);
    now = tape_stats().bytes_now;
    tape_sum(tape_last(young), TAPE_ALL, false);
    ck_assert_uint_le(tape_stats().bytes_now + VALUE, now + 1000);
    ck_assert_int_eq(tape_rewind(mark), TAPE_OK);
    ck_assert_int_eq(tape_mark_drop(mark), TAPE_OK);
    ck_assert(!tape_is_valid(old));
    tape_make_current(before);
    tape_destroy(t);
}
END_TEST

/* ---- every op ---------------------------------------------------------------------------------------------------- */

typedef struct result {
    tape_status status;
    double *g[2 * SAMPLE_MAX_INPUTS + 1];
    int64_t n[2 * SAMPLE_MAX_INPUTS + 1];
    int count;
} result;

static void keep(result *r, tape_tensor x)
{
    bool there = !tape_is_none(x) && !tape_is_null(x);
    r->n[r->count] = there ? tape_numel(x) : 0;
    r->g[r->count++] = there ? doubles_of(x) : NULL;
}

/* Plain gradients, those with create_graph and the tangent of the sample on intermediates, which are given for the last
 * time and whose memory is then filled with NaN. */
static result derivatives(const struct inputs *in, bool hints)
{
    result r = {.status = TAPE_OK};
    tape_tensor x[SAMPLE_MAX_INPUTS], g[SAMPLE_MAX_INPUTS], ones[SAMPLE_MAX_INPUTS], tangent;
    tape_seed(5);
    for (int i = 0; i < in->sample->n_in; i++)
        x[i] = hint(hints, in->sample->in[i].kind == SAMPLE_FLOAT ? tape_mul_scalar(in->x[i], 1) : in->x[i]);
    tape_tensor y = in->sample->run(x), cotangent = tape_ones_like(y);
    for (int i = 0; i < in->sample->n_in && hints; i++)
        for (int k = 0; k < 3; k++)
            tape_full(in->dtype, TAPE_SHAPE(in->numel[i]), NAN);
    for (int i = 0; i < in->n_floats; i++)
        ones[i] = tape_ones_like(in->floats[i]);
    for (int graph = 0; graph < 2 && tape_last_status() == TAPE_OK; graph++) {
        const tape_grad_options options = {.create_graph = graph};
        if (tape_grad(&y, 1, &cotangent, in->floats, in->n_floats, &options, g) == TAPE_OK)
            for (int i = 0; i < in->n_floats; i++)
                keep(&r, g[i]);
    }
    if (in->n_floats && tape_jvp(&y, 1, in->floats, in->n_floats, ones, NULL, &tangent) == TAPE_OK)
        keep(&r, tangent);
    r.status = tape_last_status();
    tape_reset();
    return r;
}

static bool equal(const result *a, const result *b)
{
    bool same = a->count == b->count;
    for (int i = 0; i < a->count && same; i++)
        same = a->n[i] == b->n[i] && (!a->g[i] || memcmp(a->g[i], b->g[i], (size_t)a->n[i] * sizeof(double)) == 0);
    return same;
}

START_TEST(no_op_misses_what_it_did_not_save)
{
    const struct sample *sample;
    int tried = 0;
    for (int s = 0; (sample = sample_at(s)); s++) {
        if (tape__ops[op_named(sample->op)].flags & TAPE__NO_GRADIENT)
            continue;
        struct inputs in;
        inputs_make(&in, sample, TAPE_F64, 3);
        result plain = derivatives(&in, false), hinted = derivatives(&in, true);
        bool twice = hinted.status == TAPE_ERROR_HANDLE; /* a sample may use its input in several ops */
        tried += !twice && plain.status == TAPE_OK;
        if (!twice && (plain.status != hinted.status || !equal(&plain, &hinted)))
            complain("%s (%s): other derivatives after tape_last(), status %s", sample->op, sample->label,
                     tape_status_name(hinted.status));
        for (int i = 0; i < 2 * SAMPLE_MAX_INPUTS + 1; i++)
            free(plain.g[i]), free(hinted.g[i]);
        inputs_free(&in);
    }
    ck_assert_int_gt(tried, 200);
    settle();
}
END_TEST

/* ---- consumption ------------------------------------------------------------------------------------------------- */

START_TEST(a_second_sweep_is_an_error)
{
    tape_tensor w = tape_param(TAPE_F64, TAPE_SHAPE(4), (const double[]){1, 2, 3, 4}),
                z = tape_zeros(TAPE_F64, TAPE_SHAPE(4));
    tape_tensor h = tape_square(w), y = tape_sum(h, TAPE_ALL, false), after = tape_mul_scalar(h, 2);
    ck_assert_int_eq(tape_backward_once(y), TAPE_OK);
    ck_assert_double_eq(tape_data_f64(tape_gradient(w))[3], 8);
    ck_assert_double_eq(tape_item(y), 30); /* y stays */
    ck_assert(!tape_is_valid(h) && !tape_is_valid(after) && !tape_is_valid(z));
    expect_ended(tape_neg(h));
    tape_tensor on = tape_mul_scalar(y, 3);
    backward_fn *const again[] = {tape_backward, tape_backward_once};
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(again[i % 2](i < 2 ? y : on), TAPE_ERROR_STATE);
        ck_assert_str_eq(tape_message(), "sum: its record was consumed by an earlier tape_backward_once()");
        tape_clear();
        ck_assert_double_eq(tape_data_f64(tape_gradient(w))[3], 8);
        on = tape_mul_scalar(y, 3);
    }
    tape_tensor one = tape_ones(TAPE_F64, TAPE_SHAPE(4)), tangent;
    ck_assert_int_eq(tape_jvp(&y, 1, &w, 1, &one, NULL, &tangent), TAPE_ERROR_STATE);
    tape_clear();
    tape_tensor fresh = tape_sum(tape_square(w), TAPE_ALL, false); /* other records of the same leaf are fine */
    ck_assert_int_eq(tape_backward(fresh), TAPE_OK);
    ck_assert_double_eq(tape_data_f64(tape_gradient(w))[3], 16);
    for (int i = 3; i < 5; i++) { /* and may be consumed in their turn */
        fresh = tape_sum(tape_square(tape_mul_scalar(w, 1)), TAPE_ALL, false);
        ck_assert_int_eq(tape_backward_once(fresh), TAPE_OK);
        ck_assert_double_eq(tape_data_f64(tape_gradient(w))[3], 8 * i);
    }
    tape_reset();
    ck_assert_int_eq(tape_backward(tape_sum(tape_square(w), TAPE_ALL, false)), TAPE_OK);
    ck_assert_double_eq(tape_data_f64(tape_gradient(w))[3], 40);
    tape_free(w);
    tape_reset();
}
END_TEST

START_TEST(what_lies_before_a_mark_stays)
{
    tape_tensor w = tape_param(TAPE_F64, TAPE_SHAPE(4), (const double[]){1, 2, 3, 4});
    tape_tensor h = tape_square(w);
    tape_position mark = tape_mark();
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(tape_backward_once(tape_sum(tape_mul(h, h), TAPE_ALL, false)), TAPE_OK);
        ck_assert(tape_is_valid(h));
        ck_assert_double_eq(tape_data_f64(h)[2], 9);
        ck_assert_int_eq(tape_rewind(mark), TAPE_OK);
    }
    ck_assert_double_eq(tape_data_f64(tape_gradient(w))[2], 3 * 4 * 27);
    ck_assert_int_eq(tape_backward(tape_sum(h, TAPE_ALL, false)), TAPE_OK); /* its record, too */
    tape_free(w);
    tape_reset();
}
END_TEST

static tape_tensor wave(void *user, const tape_tensor *x, int n)
{
    (void)user, (void)n;
    return tape_sin(tape_mul(x[0], x[0]));
}

/* Several outputs, views of the loss, functions that are run again: the same gradient. */
static tape_tensor mixture(tape_tensor w)
{
    tape_tensor half[2], h = tape_tanh(w);
    tape_split(h, 0, 4, half, 2);
    tape_tensor q = tape_checkpoint(wave, NULL, &half[0], 1);
    tape_tensor detached = tape_detach(q);
    tape_tensor s = tape_mul(tape_add(q, half[1]), tape_mul(detached, tape_softmax(half[1], 0)));
    return tape_reshape(tape_sum(s, TAPE_ALL, false), TAPE_SHAPE(1, 1));
}

START_TEST(any_record_may_be_consumed)
{
    double expected[8];
    for (int i = 0; i < 2; i++) {
        tape_tensor w = tape_param(TAPE_F64, TAPE_SHAPE(8), (const double[]){1, 2, 3, 4, .5, .6, .7, .8});
        tape_tensor y = mixture(w);
        double value = tape_item(y);
        ck_assert_int_eq(i ? tape_backward_once(y) : tape_backward(y), TAPE_OK);
        ck_assert_double_eq(tape_item(y), value);
        const double *g = tape_data_f64(tape_gradient(w));
        if (i)
            ck_assert(memcmp(expected, g, sizeof expected) == 0);
        memcpy(expected, g, sizeof expected);
        tape_free(w);
        tape_reset();
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("last");
    TCase *cases = tcase_create("last");
    tcase_add_test(cases, the_peak_falls_and_bits_stay);
    tcase_add_test(cases, without_records_two_values_are_enough);
    tcase_add_test(cases, a_late_use_is_reported);
    tcase_add_test(cases, a_composite_op_is_one_op);
    tcase_add_test(cases, views_and_marks_keep_a_block);
    tcase_add_test(cases, no_op_misses_what_it_did_not_save);
    tcase_add_test(cases, a_second_sweep_is_an_error);
    tcase_add_test(cases, what_lies_before_a_mark_stays);
    tcase_add_test(cases, any_record_may_be_consumed);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
