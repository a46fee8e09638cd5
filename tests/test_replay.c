/* Replay: every op's records run again give, to the bit, what recording anew gives, and so do whole trainings. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"
#include "tape/nn.h"
#include "tape/optim.h"
#include "tape/recompute.h"
#include "tape/replay.h"

#define OK() ck_assert_msg(tape_last_status() == TAPE_OK, "%s", tape_message())

/* ---- every op ---------------------------------------------------------------------------------------------------- */

enum { RESULTS = 2 + SAMPLE_MAX_INPUTS };

/* A value, the gradients of a function of it, and that of one of their own. */
struct results {
    double *values[RESULTS];
    int64_t numel[RESULTS];
};

static void take(struct results *r, int i, tape_tensor x)
{
    bool none = tape_is_none(x);
    r->values[i] = none ? NULL : doubles_of(x);
    r->numel[i] = none ? 0 : tape_numel(x);
}

static bool same(const struct results *a, const struct results *b, int *which)
{
    for (*which = 0; *which < RESULTS; ++*which) {
        int i = *which;
        if (a->numel[i] != b->numel[i] ||
            (a->numel[i] && memcmp(a->values[i], b->values[i], (size_t)a->numel[i] * sizeof(double)) != 0))
            return false;
    }
    return true;
}

static void free_results(struct results *r)
{
    for (int i = 0; i < RESULTS; i++)
        free(r->values[i]);
}

struct program {
    tape_tensor y, loss, slope;
};

/* The sample; a loss; with `graph` also the gradient of the loss, recorded. */
static struct program record(struct inputs *in, bool graph)
{
    struct program p = {.slope = TAPE_NONE, .loss = TAPE_NONE};
    p.y = inputs_program(in, in->floats, in->n_floats);
    if (tape_dtype_of(p.y) > TAPE_F64 || !tape_requires_grad(p.y))
        return p;
    p.loss = tape_sum(tape_mul(p.y, tape_cos(p.y)), TAPE_ALL, false);
    const tape_grad_options recorded = {.create_graph = true};
    tape_tensor g;
    if (!graph || tape_grad(&p.loss, 1, NULL, in->floats, 1, &recorded, &g) != TAPE_OK || tape_is_none(g))
        return p;
    p.slope = g;
    if (tape_requires_grad(g))
        p.loss = tape_add(p.loss, tape_cast(tape_sum(tape_square(g), TAPE_ALL, false), tape_dtype_of(p.loss)));
    return p;
}

static void evaluate(struct inputs *in, struct program p, struct results *r)
{
    take(r, 0, p.y);
    take(r, 1, p.slope);
    for (int i = 0; i < SAMPLE_MAX_INPUTS; i++) {
        bool leaf = i < in->n_floats;
        if (leaf)
            tape_zero_grad(in->floats[i]);
        r->values[2 + i] = NULL;
        r->numel[2 + i] = 0;
    }
    if (tape_is_none(p.loss))
        return;
    tape_backward(p.loss);
    for (int i = 0; i < in->n_floats; i++)
        take(r, 2 + i, tape_gradient(in->floats[i]));
}

static void write_all(struct inputs *to, const struct inputs *from)
{
    for (int i = 0; i < to->sample->n_in; i++)
        ck_assert_msg(tape_assign(to->x[i], from->x[i]) == TAPE_OK, "%s: %s", to->sample->op, tape_message());
}

/* masked_select's result may have another size with other values. */
static bool changed_shape(void)
{
    bool changed = tape_last_status() == TAPE_ERROR_SHAPE && strstr(tape_message(), "when it was recorded");
    if (changed)
        tape_reset();
    return changed;
}

/* A gradient that holds for the integers that it was recorded for is refused. */
static bool refused(void)
{
    bool is_refused = tape_last_status() == TAPE_ERROR_STATE && strstr(tape_message(), "targets and lengths");
    if (is_refused)
        tape_reset();
    return is_refused;
}

/* Record with values A, write values B, replay; record with values B. A replay in between draws random numbers. */
static void check_sample(const struct sample *sample, tape_dtype dtype, bool graph, int *count)
{
    struct inputs a, b;
    struct results replayed, recorded;
    int which;
    inputs_make(&a, sample, dtype, 21);
    inputs_make(&b, sample, dtype, 22);
    tape_seed(9);
    struct program p = record(&a, graph);
    uint64_t seed = tape_random_get().seed == 9 ? 10 : tape_random_get().seed; /* a sample may set its own */
    tape_seed(seed);
    tape_replay();
    if (refused()) {
        inputs_free(&a), inputs_free(&b);
        ++*count;
        return;
    }
    if (seed != 10)
        tape_seed(seed);
    write_all(&a, &b);
    int64_t calls = tape_stats().allocator_calls;
    tape_replay();
    calls = tape_stats().allocator_calls - calls;
    if (changed_shape()) {
        inputs_free(&a), inputs_free(&b);
        return;
    }
    evaluate(&a, p, &replayed);
    settle();
    tape_seed(10);
    record(&b, graph);
    evaluate(&b, record(&b, graph), &recorded);
    if (calls)
        complain("%s (%s): %lld calls of the allocator", sample->op, sample->label, (long long)calls);
    if (!same(&replayed, &recorded, &which))
        complain("%s (%s)%s: result %d differs", sample->op, sample->label, graph ? " with its gradient" : "", which);
    free_results(&replayed), free_results(&recorded);
    inputs_free(&a), inputs_free(&b);
    settle();
    ++*count;
}

static void check_all(bool graph)
{
    const struct sample *sample;
    int count = 0, all = 0;
    for (; (sample = sample_at(all)); all++)
        for (int dtype = TAPE_F32; dtype <= TAPE_F64; dtype++)
            check_sample(sample, (tape_dtype)dtype, graph && !sample->not_differentiable, &count);
    ck_assert_int_gt(count, 2 * all - 10); /* a few change their shape */
}

START_TEST(test_every_op)
{
    check_all(false);
}
END_TEST

START_TEST(test_every_gradient)
{
    check_all(true);
}
END_TEST

START_TEST(test_values_that_ended)
{
    tape_tensor w = tape_param(TAPE_F64, TAPE_SHAPE(3), (const double[]){1, 2, 3});
    tape_tensor y = tape_sum(tape_sin(tape_last(tape_add_scalar(tape_neg(w), 1))), TAPE_ALL, false);
    ck_assert(!tape_is_null(y));
    tape_tensor z = tape_sum(tape_neg(tape_last(tape_add_scalar(w, 1))), TAPE_ALL, false);
    ck_assert(!tape_is_null(z));
    ck_assert_int_eq(tape_replay(), TAPE_ERROR_STATE);
    ck_assert_ptr_nonnull(strstr(tape_message(), "tape_last"));
    tape_reset();
    /* values may end after a replay, too */
    y = tape_sum(tape_exp(tape_sin(w)), TAPE_ALL, false);
    ck_assert_int_eq(tape_replay(), TAPE_OK);
    ck_assert_int_eq(tape_backward_once(y), TAPE_OK);
    ck_assert_int_eq(tape_replay(), TAPE_ERROR_STATE);
    ck_assert_ptr_nonnull(strstr(tape_message(), "tape_backward_once"));
    tape_reset();
    tape_free(w);
}
END_TEST

/* ---- elementwise ops on other layouts ---------------------------------------------------------------------------- */

static const tape_shape shapes[] = {{0, {0}}, {1, {1}}, {2, {0, 3}}, {1, {64}}, {2, {3, 5}}, {2, {70, 96}}};

static void write_draws(tape_tensor leaf, uint64_t *state, double low, double high)
{
    double values[70 * 96];
    int64_t n = tape_numel(leaf);
    for (int64_t i = 0; i < n; i++)
        values[i] = draw(state, low, high);
    float narrow[70 * 96];
    for (int64_t i = 0; i < n; i++)
        narrow[i] = (float)values[i];
    bool wide = tape_dtype_of(leaf) == TAPE_F64;
    tape_write(leaf, wide ? (const void *)values : narrow, (size_t)n * (wide ? sizeof *values : sizeof *narrow));
}

/* Row on x and, stretched, on a scalar: as recorded with the first values and replayed with the second, or recorded
 * with the second. */
static double *row_values(const struct row *row, tape_shape shape, tape_dtype dtype, bool replay, int64_t *n)
{
    uint64_t state = 77;
    tape_tensor x[3], all[3];
    for (int i = 0; i < row->n_in; i++) {
        x[i] = tape_param(dtype, i == 1 ? TAPE_SCALAR : shape, NULL);
        write_draws(x[i], &state, row->low, row->high);
    }
    for (int pass = replay ? 0 : 1; pass < 2; pass++) {
        state = 78;
        if (pass == 1)
            for (int i = 0; i < row->n_in; i++)
                write_draws(x[i], &state, row->low, row->high);
        if (pass == 0 || !replay) {
            tape_reset();
            memcpy(all, x, sizeof x);
            if (row_takes_mask(row, 0))
                all[0] = tape_gt_scalar(x[0], (row->low + row->high) / 2);
            all[0] = row->call(all, row->ref->p);
        }
    }
    if (replay)
        tape_replay();
    *n = tape_numel(all[0]);
    double *values = doubles_of(all[0]);
    for (int i = 0; i < row->n_in; i++)
        tape_free(x[i]);
    return values;
}

START_TEST(test_layouts)
{
    for (const struct row *row = rows; row->name; row++)
        for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++)
            for (int dtype = TAPE_F32; dtype <= TAPE_F64; dtype++) {
                int64_t n, m;
                double *replayed = row_values(row, shapes[k], (tape_dtype)dtype, true, &n);
                double *recorded = row_values(row, shapes[k], (tape_dtype)dtype, false, &m);
                if (!replayed || !recorded || n != m || memcmp(replayed, recorded, (size_t)n * sizeof *replayed) != 0)
                    complain("%s on %d axes of %s: %s", row->name, shapes[k].rank, tape_dtype_name((tape_dtype)dtype),
                             tape_message());
                free(replayed), free(recorded);
                settle();
            }
}
END_TEST

/* ---- training ---------------------------------------------------------------------------------------------------- */

static tape_tensor layer(void *user, const tape_tensor *x, int n)
{
    (void)user, (void)n;
    return tape_dropout(tape_tanh(tape_linear(x[0], x[1], TAPE_NONE)), 0.25);
}

static tape_tensor plain_layer(void *user, const tape_tensor *x, int n)
{
    (void)user, (void)n;
    return tape_softmax(tape_linear(x[0], x[1], TAPE_NONE), -1);
}

static tape_status rotate(void *user, int64_t k, const tape_tensor *state, int m, tape_tensor *next)
{
    (void)m, (void)k;
    const tape_tensor *w = user;
    next[0] = tape_add(tape_mul_scalar(state[0], 0.9), tape_mul(tape_sin(state[1]), *w));
    next[1] =
        tape_add(state[1], tape_mul_scalar(tape_mul(state[0], tape_rand_normal(TAPE_F64, TAPE_SHAPE(4), 0, 1)), 0.1));
    return tape_last_status();
}

struct model {
    tape_params *set;
    tape_optim *optim;
    tape_tensor w, v, x, state, target;
};

static void make(struct model *m)
{
    tape_seed(3);
    m->set = tape_params_create();
    m->w = tape_params_new(m->set, "w", TAPE_F64, TAPE_SHAPE(4, 4));
    m->v = tape_params_new(m->set, "v", TAPE_F64, TAPE_SHAPE(4));
    tape_init_xavier_normal(m->w, 1);
    tape_init_normal(m->v, 0, 1);
    m->optim = tape_optim_adam(m->set, NULL);
    m->x = tape_const(TAPE_F64, TAPE_SHAPE(6, 4), NULL);
    m->state = tape_const(TAPE_F64, TAPE_SHAPE(6, 4), NULL);
    m->target = tape_const(TAPE_I64, TAPE_SHAPE(6), NULL);
    tape_reset();
}

static void unmake(struct model *m)
{
    tape_optim_destroy(m->optim), tape_params_destroy(m->set);
    tape_free(m->x), tape_free(m->state), tape_free(m->target);
}

/* Checkpoint, rollout, random numbers, slices, several outputs, losses, a recorded gradient. */
static tape_tensor loss_of(struct model *m, tape_tensor *hidden)
{
    const tape_tensor in[2] = {tape_add(m->x, m->state), m->w};
    tape_tensor h = tape_checkpoint(layer, NULL, in, 2), next[2], order, sorted;
    const tape_tensor start[2] = {tape_select(h, 0, 0), tape_select(h, 0, -1)};
    tape_rollout(rotate, &m->v, 7, 2, start, 2, next);
    *hidden = tape_layer_norm(h, TAPE_NONE, TAPE_NONE, 1, 1e-5);
    sorted = tape_sort(h, 1, false, &order);
    tape_tensor loss = tape_cross_entropy(tape_add(tape_mul(h, next[0]), sorted), m->target, NULL), g;
    tape_tensor p = tape_checkpoint(plain_layer, NULL, in, 2);
    tape_tensor flat = tape_sum(tape_mul(p, tape_take_along(p, order, 1)), TAPE_ALL, false);
    const tape_grad_options recorded = {.create_graph = true};
    tape_grad(&flat, 1, NULL, &m->w, 1, &recorded, &g);
    return tape_add(loss, tape_mean(tape_square(g), TAPE_ALL, false));
}

static void next_batch(struct model *m, int step)
{
    double x[24];
    int64_t target[6];
    for (int i = 0; i < 24; i++)
        x[i] = sin(i + 24.0 * step);
    for (int i = 0; i < 6; i++)
        target[i] = (i * 7 + step) % 4;
    tape_write(m->x, x, sizeof x);
    tape_write(m->target, target, sizeof target);
}

static void train(bool replay, int steps, double *losses, double *weights)
{
    struct model m;
    make(&m);
    tape_tensor loss = TAPE_NULL, hidden = TAPE_NULL;
    for (int step = 0; step < steps; step++) {
        next_batch(&m, step);
        int64_t calls = tape_stats().allocator_calls;
        if (replay && step > 0)
            ck_assert_msg(tape_replay() == TAPE_OK, "%s", tape_message());
        else
            loss = loss_of(&m, &hidden);
        OK();
        ck_assert_int_eq(tape_backward(loss), TAPE_OK);
        losses[step] = tape_item(loss);
        tape_optim_step(m.optim);
        tape_params_zero_grad(m.set);
        ck_assert_int_eq(tape_keep_into(m.state, hidden), TAPE_OK);
        if (step > 1)
            ck_assert_int_eq(tape_stats().allocator_calls, calls);
        if (!replay)
            tape_reset();
    }
    ck_assert_int_eq(tape_read(m.w, weights, 16), TAPE_OK);
    unmake(&m);
    settle();
}

START_TEST(test_training)
{
    double a[8], b[8], w[16], v[16];
    train(true, 8, a, w);
    train(false, 8, b, v);
    ck_assert_mem_eq(a, b, sizeof a);
    ck_assert_mem_eq(w, v, sizeof w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("replay");
    TCase *all = tcase_create("all");
    tcase_add_test(all, test_every_op);
    tcase_add_test(all, test_every_gradient);
    tcase_add_test(all, test_values_that_ended);
    tcase_add_test(all, test_layouts);
    tcase_add_test(all, test_training);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
