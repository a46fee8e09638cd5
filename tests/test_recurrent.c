/* Recurrent layers where the samples do not go: sizes of several vectors and blocks, strides, threads and instruction
 * sets, cells in a chain, saturated gates, no elements, wrong arguments. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dispatch.h"
#include "support/expect.h"
#include "tape.h"
#include "tape/autodiff.h"

enum { INPUTS = 7, RESULTS = 2 + INPUTS };

/* A layer's sizes and its leaves x, h, c, weights and biases; a GRU has no c. */
typedef struct layer {
    bool lstm;
    int64_t steps, batch, in, hidden;
    tape_tensor leaf[INPUTS];
} layer;

static tape_tensor random_leaf(tape_dtype dtype, tape_shape shape, double scale)
{
    tape_tensor drawn = tape_mul_scalar(tape_rand_uniform(dtype, shape, -1, 1), scale);
    tape_tensor leaf = tape_keep(drawn);
    tape_set_requires_grad(leaf, true);
    return leaf;
}

static layer make(tape_dtype dtype, bool lstm, const int64_t *size)
{
    layer l = {lstm, size[0], size[1], size[2], size[3], {TAPE_NONE}};
    const int64_t rows = (lstm ? 4 : 3) * l.hidden;
    const tape_shape shape[INPUTS] = {TAPE_SHAPE(l.steps, l.batch, l.in),
                                      TAPE_SHAPE(l.batch, l.hidden),
                                      TAPE_SHAPE(l.batch, l.hidden),
                                      TAPE_SHAPE(rows, l.in),
                                      TAPE_SHAPE(rows, l.hidden),
                                      TAPE_SHAPE(rows),
                                      TAPE_SHAPE(rows)};
    tape_seed(5);
    for (int i = 0; i < INPUTS; i++)
        l.leaf[i] = i == 2 && !lstm ? TAPE_NONE : random_leaf(dtype, shape[i], i < 3 ? 1 : 2 / sqrt((double)l.hidden));
    return l;
}

static void end(const layer *l)
{
    for (int i = 0; i < INPUTS; i++)
        if (!tape_is_none(l->leaf[i]))
            tape_free(l->leaf[i]);
    ck_assert_msg(tape_last_status() == TAPE_OK, "%s", tape_message());
    tape_reset();
}

/* ---- three ways to run it ---------------------------------------------------------------------------------------- */

/* Every h and, for an LSTM, the last c. */
typedef void run_layer(const layer *l, const tape_tensor *x, tape_tensor *h, tape_tensor *c);

static void whole(const layer *l, const tape_tensor *x, tape_tensor *h, tape_tensor *c)
{
    *h =
        l->lstm ? tape_lstm(x[0], x[1], x[2], x[3], x[4], x[5], x[6], c) : tape_gru(x[0], x[1], x[3], x[4], x[5], x[6]);
}

static void by_cells(const layer *l, const tape_tensor *x, tape_tensor *h, tape_tensor *c)
{
    tape_tensor all[8], before = x[1];
    *c = x[2];
    for (int t = 0; t < l->steps; t++) {
        tape_tensor in = tape_select(x[0], 0, t);
        before = all[t] = l->lstm ? tape_lstm_cell(in, before, *c, x[3], x[4], x[5], x[6], c)
                                  : tape_gru_cell(in, before, x[3], x[4], x[5], x[6]);
    }
    *h = tape_stack(all, (int)l->steps, 0);
}

static void by_formula(const layer *l, const tape_tensor *x, tape_tensor *h, tape_tensor *c)
{
    tape_tensor all[8], before = x[1];
    *c = x[2];
    for (int t = 0; t < l->steps; t++) {
        tape_tensor p = tape_linear(tape_select(x[0], 0, t), x[3], x[5]), q = tape_linear(before, x[4], x[6]), a[4],
                    b[4];
        if (l->lstm) {
            tape_chunk(tape_add(p, q), 1, 4, a);
            tape_tensor kept = tape_mul(tape_sigmoid(a[1]), *c);
            *c = tape_add(kept, tape_mul(tape_sigmoid(a[0]), tape_tanh(a[2])));
            before = tape_mul(tape_sigmoid(a[3]), tape_tanh(*c));
        } else {
            tape_chunk(p, 1, 3, a);
            tape_chunk(q, 1, 3, b);
            tape_tensor r = tape_sigmoid(tape_add(a[0], b[0])), z = tape_sigmoid(tape_add(a[1], b[1]));
            tape_tensor n = tape_tanh(tape_add(a[2], tape_mul(r, b[2])));
            before = tape_add(tape_mul(tape_scalar_sub(1, z), n), tape_mul(z, before));
        }
        all[t] = before;
    }
    *h = tape_stack(all, (int)l->steps, 0);
}

/* Every h, the last c, and the gradients of a function of both, into leaves; NULL for what there is not. */
static void results(const layer *l, run_layer *run, const tape_tensor *x, double **out, int64_t *n)
{
    tape_tensor h, c, all[RESULTS];
    run(l, x, &h, &c);
    tape_tensor loss = tape_sum(tape_cos(h), TAPE_ALL, false);
    if (l->lstm)
        loss = tape_add(loss, tape_sum(tape_sin(c), TAPE_ALL, false));
    for (int i = 0; i < INPUTS; i++)
        if (!tape_is_none(l->leaf[i]))
            tape_zero_grad(l->leaf[i]);
    ck_assert_msg(tape_backward(loss) == TAPE_OK, "%s", tape_message());
    all[0] = h;
    all[1] = l->lstm ? c : TAPE_NONE;
    for (int i = 0; i < INPUTS; i++)
        all[2 + i] = tape_is_none(l->leaf[i]) ? TAPE_NONE : tape_gradient(l->leaf[i]);
    for (int i = 0; i < RESULTS; i++) {
        n[i] = tape_is_none(all[i]) ? 0 : tape_numel(all[i]);
        out[i] = malloc((size_t)n[i] * sizeof(double) + 1);
        if (n[i])
            ck_assert_int_eq(tape_read(tape_cast(all[i], TAPE_F64), out[i], n[i]), TAPE_OK);
    }
}

/* The largest difference of two ways must be within `tolerance` of the largest element; 0 asks for the same bits. */
static void compare(const char *what, const layer *l, run_layer *run, const tape_tensor *x, run_layer *other,
                    double tolerance)
{
    double *got[RESULTS], *want[RESULTS];
    int64_t n[RESULTS];
    results(l, run, x, got, n);
    results(l, other, l->leaf, want, n);
    for (int i = 0; i < RESULTS; i++) {
        double most = 1, error = 0;
        for (int64_t k = 0; k < n[i]; k++) {
            most = fmax(most, fabs(want[i][k]));
            error = fmax(error, fabs(got[i][k] - want[i][k]));
        }
        ck_assert_msg(error <= tolerance * most, "%s %s, result %d: off by %g of %g", what, l->lstm ? "lstm" : "gru", i,
                      error, most);
        free(got[i]);
        free(want[i]);
    }
}

/* steps, batch, in, hidden */
static const int64_t sizes[][4] = {{1, 1, 1, 1},  {4, 3, 5, 37},  {3, 40, 6, 70},
                                   {5, 2, 3, 16}, {2, 5, 300, 9}, {2, 3, 4, 300}};
enum { SIZES = sizeof sizes / sizeof *sizes };

START_TEST(test_against_formula)
{
    for (int k = 0; k < 4; k++) {
        layer l = make(k % 2 ? TAPE_F64 : TAPE_F32, k / 2, sizes[_i]);
        compare("layer", &l, whole, l.leaf, by_formula, k % 2 ? 1e-12 : 2e-5);
        compare("cells", &l, by_cells, l.leaf, by_formula, k % 2 ? 1e-12 : 2e-5);
        end(&l);
    }
}
END_TEST

/* x as a view with its axes exchanged, the state stretched over the batch, weights as transposes. */
START_TEST(test_strides)
{
    for (int lstm = 0; lstm < 2; lstm++) {
        layer l = make(TAPE_F64, lstm, sizes[1]);
        tape_tensor x[INPUTS];
        memcpy(x, l.leaf, sizeof x);
        x[0] = tape_transpose(tape_add_scalar(tape_transpose(x[0], 0, 2), 0), 0, 2);
        for (int i = 3; i < 5; i++)
            x[i] = tape_transpose(tape_add_scalar(tape_transpose(x[i], 0, 1), 0), 0, 1);
        x[5] = tape_flip(tape_add_scalar(tape_flip(x[5], TAPE_ALL), 0), TAPE_ALL);
        compare("strided", &l, whole, x, whole, 1e-13);
        compare("strided", &l, by_cells, x, whole, 1e-12);
        end(&l);
    }
}
END_TEST

/* ---- the same bits ----------------------------------------------------------------------------------------------- */

static void same_bits(const char *what, double *const *got, double *const *want, const int64_t *n)
{
    for (int i = 0; i < RESULTS; i++)
        ck_assert_msg(memcmp(got[i], want[i], (size_t)n[i] * sizeof **got) == 0, "%s: result %d differs", what, i);
}

static void forget(double **values)
{
    for (int i = 0; i < RESULTS; i++)
        free(values[i]);
}

START_TEST(test_threads_change_no_bit)
{
    const int64_t size[] = {3, 160, 70, 80};
    for (int lstm = 0; lstm < 2; lstm++) {
        layer l = make(TAPE_F32, lstm, size);
        double *want[RESULTS], *got[RESULTS];
        int64_t n[RESULTS];
        results(&l, whole, l.leaf, want, n);
        ck_assert_int_eq(tape_threads(3), TAPE_OK);
        results(&l, whole, l.leaf, got, n);
        ck_assert_int_eq(tape_threads(1), TAPE_OK);
        same_bits("threads", got, want, n);
        forget(want);
        forget(got);
        end(&l);
    }
}
END_TEST

/* Each instruction set, and the same bits within a class. */
START_TEST(test_instruction_sets)
{
    for (int k = 0; k < 4; k++) {
        layer l = make(k % 2 ? TAPE_F64 : TAPE_F32, k / 2, sizes[1]);
        const struct tape__kernels *mine = tape__tls->kernels, *other;
        double *seen[2][RESULTS] = {{NULL}}, *got[RESULTS];
        int64_t n[RESULTS];
        for (int i = 0; (other = tape__kernels_available(i)) != NULL; i++) {
            tape__tls->kernels = other;
            compare(other->isa, &l, whole, l.leaf, by_formula, k % 2 ? 1e-12 : 2e-5);
            results(&l, whole, l.leaf, got, n);
            if (seen[other->fma][0])
                same_bits(other->isa, got, seen[other->fma], n);
            forget(seen[other->fma]);
            memcpy(seen[other->fma], got, sizeof got);
        }
        forget(seen[0]);
        forget(seen[1]);
        tape__tls->kernels = mine;
        end(&l);
    }
}
END_TEST

/* ---- edges ------------------------------------------------------------------------------------------------------- */

START_TEST(test_by_hand)
{
    tape_tensor x = PARAM(TAPE_SHAPE(1, 1), 3), h = PARAM(TAPE_SHAPE(1, 1), 0.25), c = PARAM(TAPE_SHAPE(1, 1), 2), next;
    tape_tensor w = tape_zeros(TAPE_F64, TAPE_SHAPE(4, 1)), v = tape_zeros(TAPE_F64, TAPE_SHAPE(3, 1));
    EXPECT(tape_lstm_cell(x, h, c, w, w, TAPE_NONE, TAPE_NONE, &next), 0.5 * tanh(1));
    EXPECT(next, 1);
    EXPECT(tape_gru_cell(x, h, v, v, TAPE_NONE, TAPE_NONE), 0.125);
    tape_tensor keep = PARAM(TAPE_SHAPE(4), -1e4, 1e4, 1e4, 1e4), take = PARAM(TAPE_SHAPE(3), 1e4, -1e4, 1e4);
    tape_tensor y = tape_lstm_cell(x, h, c, w, w, keep, TAPE_NONE, &next);
    EXPECT(y, tanh(2));
    EXPECT(gradient_of(y, c), 1 - tanh(2) * tanh(2));
    EXPECT(gradient_of(next, c), 1);
    EXPECT(gradient_of(next, keep), 0, 0, 0, 0);
    EXPECT(tape_gru_cell(x, h, v, v, take, TAPE_NONE), 1);
    EXPECT(gradient_of(tape_gru_cell(x, h, v, v, take, TAPE_NONE), h), 0);
}
END_TEST

/* A state that nobody asks about passes nothing on, not even NaN. */
START_TEST(test_zero_cotangents)
{
    tape_tensor x = PARAM(TAPE_SHAPE(2, 1), 1, 1), h = PARAM(TAPE_SHAPE(2, 1), 0, 0);
    tape_tensor c = PARAM(TAPE_SHAPE(2, 1), INFINITY, 1), w = tape_param(TAPE_F64, TAPE_SHAPE(4, 1), NULL);
    tape_tensor y = tape_lstm_cell(x, h, c, w, w, TAPE_NONE, TAPE_NONE, NULL);
    tape_tensor one = tape_select(y, 0, 1), loss = tape_sum(one, TAPE_ALL, false), got;
    ck_assert_int_eq(tape_grad(&loss, 1, NULL, &c, 1, NULL, &got), TAPE_OK);
    const double t = tanh(0.5);
    EXPECT(got, 0, 0.25 * (1 - t * t));
    EXPECT(gradient_of(one, c), 0, 0.25 * (1 - t * t));
}
END_TEST

START_TEST(test_nothing)
{
    const int64_t empty[][4] = {{2, 0, 3, 4}, {2, 3, 0, 4}, {2, 3, 4, 0}};
    for (int k = 0; k < 6; k++) {
        layer l = make(TAPE_F64, k / 3, empty[k % 3]);
        compare("empty layer", &l, whole, l.leaf, by_formula, 1e-12);
        compare("empty cells", &l, by_cells, l.leaf, by_formula, 1e-12);
        end(&l);
    }
}
END_TEST

START_TEST(test_wrong_arguments)
{
    tape_tensor x = tape_ones(TAPE_F64, TAPE_SHAPE(2, 3)), h = tape_ones(TAPE_F64, TAPE_SHAPE(2, 4)), n = TAPE_NONE;
    tape_tensor w = tape_ones(TAPE_F64, TAPE_SHAPE(16, 3)), u = tape_ones(TAPE_F64, TAPE_SHAPE(16, 4));
    tape_tensor v = tape_ones(TAPE_F64, TAPE_SHAPE(12, 3)), b = tape_ones(TAPE_F64, TAPE_SHAPE(16)), next = n;
    EXPECT_ERROR(tape_lstm_cell(x, h, x, w, u, n, n, &next), TAPE_ERROR_SHAPE, "needs [B, in], [B, H], [4H, in], [4H");
    ck_assert(tape_is_null(next));
    EXPECT_ERROR(tape_lstm_cell(x, h, h, w, w, n, n, NULL), TAPE_ERROR_SHAPE, "lstm_cell: x [2, 3], h [2, 4]");
    EXPECT_ERROR(tape_lstm_cell(x, h, h, w, u, h, n, NULL), TAPE_ERROR_SHAPE, "biases [4H]");
    EXPECT_ERROR(tape_lstm_cell(x, h, h, w, u, b, v, NULL), TAPE_ERROR_SHAPE, "biases [4H]");
    EXPECT_ERROR(tape_lstm(x, h, h, w, u, n, n, NULL), TAPE_ERROR_SHAPE, "lstm: x [2, 3]");
    EXPECT_ERROR(tape_gru_cell(x, h, w, u, n, n), TAPE_ERROR_SHAPE, "[3H, in]");
    EXPECT_ERROR(tape_gru_cell(x, h, v, tape_ones(TAPE_F64, TAPE_SCALAR), n, n), TAPE_ERROR_SHAPE, "gru_cell: ");
    EXPECT_ERROR(tape_lstm(tape_ones(TAPE_F64, TAPE_SHAPE(0, 2, 3)), h, h, w, u, n, n, &next), TAPE_ERROR_SHAPE,
                 "T > 0");
    ck_assert(tape_is_null(next));
    EXPECT_ERROR(tape_lstm_cell(x, h, h, tape_cast(w, TAPE_F32), u, n, n, NULL), TAPE_ERROR_DTYPE, "differ");
    EXPECT_ERROR(tape_gru_cell(INDEX(1, 2), h, v, u, n, n), TAPE_ERROR_DTYPE, "i64");
    EXPECT_ERROR(tape_gru(TAPE_NULL, h, v, u, n, n), TAPE_ERROR_HANDLE, "gru: ");
}
END_TEST

START_TEST(test_warm_steps_allocate_nothing)
{
    for (int k = 0; k < 4; k++) {
        layer l = make(TAPE_F32, k / 2, sizes[2]);
        int64_t calls = 0;
        for (int step = 0; step < 4; step++) {
            tape_tensor h, c;
            (k % 2 ? whole : by_cells)(&l, l.leaf, &h, &c);
            ck_assert_int_eq(tape_backward(tape_sum(tape_square(h), TAPE_ALL, false)), TAPE_OK);
            tape_reset();
            if (step == 2)
                calls = tape_stats().allocator_calls;
        }
        ck_assert_int_eq(tape_stats().allocator_calls, calls);
        end(&l);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("recurrent");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 120);
    tcase_add_loop_test(all, test_against_formula, 0, SIZES);
    tcase_add_test(all, test_strides);
    tcase_add_test(all, test_threads_change_no_bit);
    tcase_add_test(all, test_instruction_sets);
    tcase_add_test(all, test_by_hand);
    tcase_add_test(all, test_zero_cotangents);
    tcase_add_test(all, test_nothing);
    tcase_add_test(all, test_wrong_arguments);
    tcase_add_test(all, test_warm_steps_allocate_nothing);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
