/* The steps of a training run: gradient check, epochs, evaluation, proof of the saved file. Prints only progress. */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "progress.h"
#include "tape/optim.h"
#include "train.h"

/* ---- interruption, phases ---------------------------------------------------------------------------------------- */

static volatile sig_atomic_t stop_asked;

static void on_interrupt(int number)
{
    stop_asked = 1;
    signal(number, SIG_DFL); /* a second Ctrl-C ends at once */
}

void watch_interrupt(void)
{
    struct sigaction action = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &action, NULL);
}

bool interrupted(void)
{
    return stop_asked;
}

void phase_begin(run *r)
{
    r->phase_start = seconds_now();
}

void phase_end(run *r, const char *name)
{
    if (r->report.phase_count < REPORT_PHASES)
        r->report.phases[r->report.phase_count++] =
            (report_phase){name, seconds_now() - r->phase_start, tape_stats().bytes_peak};
}

/* ---- gradient check ---------------------------------------------------------------------------------------------- */

enum { CHECK_IMAGES = 16, CHECK_ELEMENTS = 100 };

typedef struct checked {
    const model *model;
    tape_tensor x, labels;
    int layer;
    bool bias;
} checked;

/* The loss with one parameter replaced by the checker's. */
static tape_tensor loss_of_parameter(void *user, const tape_tensor *x, int n)
{
    const checked *c = user;
    (void)n;
    model changed = *c->model;
    *(c->bias ? &changed.bias[c->layer] : &changed.weight[c->layer]) = x[0];
    return tape_cross_entropy(model_forward(&changed, c->x), c->labels, NULL);
}

static bool check_parameter(run *r, const checked *c)
{
    report_check *check = &r->report.checks[r->report.check_count++];
    tape_tensor parameter = c->bias ? c->model->bias[c->layer] : c->model->weight[c->layer];
    tape_shape shape = tape_shape_of(parameter);
    snprintf(check->name, sizeof check->name, "layers.%d.%s", c->layer, c->bias ? "bias" : "weight");
    if (shape.rank == 2)
        snprintf(check->shape, sizeof check->shape, "[%" PRId64 ", %" PRId64 "]", shape.size[0], shape.size[1]);
    else
        snprintf(check->shape, sizeof check->shape, "[%" PRId64 "]", shape.size[0]);
    tape_gradcheck_options options = {.limit = CHECK_ELEMENTS, .name = "loss"};
    if (!tape_gradcheck(loss_of_parameter, (void *)(uintptr_t)c, &parameter, 1, &options, &check->result))
        tape_fail(check->result.status ? check->result.status : TAPE_ERROR_STATE, "gradient check of %s: %s",
                  check->name, check->result.message);
    return tape_last_status() == TAPE_OK;
}

bool check_gradients(run *r)
{
    tape_batches_options options = {.size = CHECK_IMAGES, .dtype = r->model.shape.dtype, .flat = true};
    tape_batches *batches = tape_batches_create(r->source.train, &options);
    tape_batch batch;
    bool ok = batches && tape_batches_next(batches, &batch);
    for (int layer = 0; ok && layer < r->model.layers; layer++)
        for (int bias = 0; ok && bias < 2; bias++) {
            checked c = {&r->model, batch.x, batch.labels, layer, bias};
            ok = check_parameter(r, &c);
        }
    tape_batches_destroy(batches);
    return ok && tape_reset() == TAPE_OK;
}

/* ---- training ---------------------------------------------------------------------------------------------------- */

bool evaluate(run *r, tape_batches *batches, double *loss, double *accuracy)
{
    tape_running_mean mean = {0};
    tape_batch batch;
    tape_confusion_clear(r->confusion);
    tape_batches_start(batches, 0);
    tape_pause();
    while (tape_batches_next(batches, &batch)) {
        tape_tensor scores = model_forward(&r->model, batch.x);
        tape_running_mean_add(&mean, tape_item(tape_cross_entropy(scores, batch.labels, NULL)), (double)batch.size);
        tape_confusion_add(r->confusion, scores, batch.labels);
        if (tape_last_status() != TAPE_OK)
            break;
        tape_reset();
    }
    tape_resume();
    *loss = tape_running_mean_get(&mean);
    *accuracy = tape_confusion_accuracy(r->confusion);
    return tape_last_status() == TAPE_OK;
}

/* One batch forward, backward and stepped. */
static bool train_batch(run *r, const tape_batch *batch, tape_running_mean *loss, double *right)
{
    tape_tensor scores = model_forward(&r->model, batch->x);
    tape_tensor mean = tape_cross_entropy(scores, batch->labels, NULL);
    tape_running_mean_add(loss, tape_item(mean), (double)batch->size);
    *right += tape_accuracy(scores, batch->labels) * (double)batch->size;
    tape_backward(mean);
    tape_optim_step(r->optim);
    tape_params_zero_grad(r->model.params);
    return tape_last_status() == TAPE_OK && tape_reset() == TAPE_OK;
}

/* With --model the optimiser's count of steps goes on, and with it the order of the images. */
static int64_t first_epoch(const run *r)
{
    return tape_optim_steps(r->optim) / tape_batches_count(r->batches);
}

static bool train_epoch(run *r, progress *p, const tape_schedule *schedule, int64_t epoch, report_epoch *result)
{
    tape_running_mean loss = {0};
    double right = 0;
    int64_t steps = tape_batches_count(r->batches);
    tape_batch batch;
    tape_batches_start(r->batches, first_epoch(r));
    for (int64_t i = 0; !interrupted() && tape_batches_next(r->batches, &batch); i++) {
        tape_optim_set_lr(r->optim, tape_schedule_at(schedule, epoch * steps + i));
        if (!train_batch(r, &batch, &loss, &right))
            return false;
        progress_step(p, epoch, i + 1, batch.size, tape_running_mean_get(&loss), right / loss.weight);
    }
    if (tape_last_status() != TAPE_OK)
        return false;
    result->train_loss = tape_running_mean_get(&loss);
    result->train_accuracy = loss.weight > 0 ? right / loss.weight : NAN;
    result->lr = tape_optim_lr(r->optim);
    if (!isfinite(result->train_loss) && loss.weight > 0)
        return tape_fail(TAPE_ERROR_STATE, "the loss is %f in epoch %lld: try a smaller --lr", result->train_loss,
                         (long long)epoch + 1) == TAPE_OK;
    return evaluate(r, r->test_batches, &result->test_loss, &result->test_accuracy);
}

bool train_model(run *r)
{
    int64_t steps = tape_batches_count(r->batches);
    progress p;
    progress_begin(&p, r->options.epochs, steps);
    tape_schedule schedule = {.kind = TAPE_SCHEDULE_COSINE,
                              .lr = tape_optim_lr(r->optim),
                              .warmup = steps,
                              .total = steps * (r->options.epochs - 1)};
    r->report.epochs = calloc((size_t)r->options.epochs, sizeof *r->report.epochs);
    if (!r->report.epochs)
        return tape_fail(TAPE_ERROR_MEMORY, "out of memory for %lld epochs", (long long)r->options.epochs) == TAPE_OK;
    bool ok = true;
    for (int64_t epoch = 0; ok && epoch < r->options.epochs && !interrupted(); epoch++) {
        report_epoch *result = &r->report.epochs[epoch];
        ok = train_epoch(r, &p, &schedule, epoch, result);
        r->report.epoch_count += ok;
        if (ok)
            progress_epoch(&p, epoch, result->train_loss, result->train_accuracy);
    }
    progress_end(&p);
    return ok;
}

/* ---- after training ---------------------------------------------------------------------------------------------- */

/* Scores of the whole test set by the trained and by the reloaded model, compared byte by byte. */
static bool compare_models(run *r, const model *reloaded)
{
    tape_batch batch;
    bool identical = true;
    tape_batches_start(r->test_batches, 0);
    tape_pause();
    while (identical && tape_batches_next(r->test_batches, &batch)) {
        const void *a = tape_data(model_forward(&r->model, batch.x)), *b = tape_data(model_forward(reloaded, batch.x));
        size_t bytes = (size_t)(batch.size * r->model.shape.classes) * tape_dtype_size(r->model.shape.dtype);
        identical = a && b && memcmp(a, b, bytes) == 0;
        if (tape_last_status() == TAPE_OK)
            tape_reset();
    }
    tape_resume();
    return identical && tape_last_status() == TAPE_OK;
}

bool verify_reloaded(run *r)
{
    model reloaded;
    bool ok = model_load(&reloaded, r->model_path) == TAPE_OK;
    r->report.reloaded_identical = ok && compare_models(r, &reloaded);
    model_destroy(&reloaded);
    if (ok && !r->report.reloaded_identical)
        tape_fail(TAPE_ERROR_STATE, "%s: the reloaded model gives other outputs", r->model_path);
    return tape_last_status() == TAPE_OK;
}

/* The probability of the guess, and whether it is wrong. */
static bool misread(const double *scores, int64_t classes, int64_t truth, report_misread *result)
{
    int64_t guess = 0;
    double sum = 0;
    for (int64_t c = 1; c < classes; c++)
        guess = scores[c] > scores[guess] ? c : guess;
    for (int64_t c = 0; c < classes; c++)
        sum += exp(scores[c] - scores[guess]);
    result->truth = truth;
    result->guess = guess;
    result->confidence = 1 / sum;
    return guess != truth;
}

bool find_misread(run *r)
{
    tape_batch batch;
    int64_t classes = r->model.shape.classes;
    tape_batches_start(r->test_batches, 0);
    tape_pause();
    while (r->report.misread_count < REPORT_MISREAD && tape_batches_next(r->test_batches, &batch)) {
        tape_tensor scores = tape_cast(model_forward(&r->model, batch.x), TAPE_F64);
        const double *row = tape_data_f64(scores);
        for (int64_t i = 0; row && i < batch.size && r->report.misread_count < REPORT_MISREAD; i++) {
            report_misread *m = &r->report.misread[r->report.misread_count];
            m->row = batch.rows[i];
            r->report.misread_count += misread(row + i * classes, classes, r->source.test->labels[m->row], m);
        }
        if (!row)
            break;
        tape_reset();
    }
    tape_resume();
    return tape_last_status() == TAPE_OK;
}
