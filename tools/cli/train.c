/* `tape train`: checks gradients, trains, tests, saves, proves, reports. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "progress.h"
#include "tape/safetensors.h"
#include "train.h"

enum { TEST_BATCH = 256 };

/* ---- set-up ------------------------------------------------------------------------------------------------------ */

static int check_options(run *r, model_shape *shape)
{
    train_options *o = &r->options;
    if (o->dtype && strcmp(o->dtype, "f32") != 0 && strcmp(o->dtype, "f64") != 0)
        return usage_error("--dtype: '%s' is neither f32 nor f64", o->dtype);
    if (o->hidden && !model_parse_hidden(o->hidden, shape))
        return usage_error("--hidden: '%s' is not a list of up to %d layer sizes like 128 or 256,64, nor 'none'",
                           o->hidden, MODEL_MOST_HIDDEN);
    shape->dtype = o->dtype && strcmp(o->dtype, "f64") == 0 ? TAPE_F64 : TAPE_F32;
    return EXIT_OK;
}

/* A new model for the data, or the one to go on with. */
static tape_status make_model(run *r, model_shape *shape)
{
    const train_options *o = &r->options;
    if (o->model) {
        model_shape saved;
        if (model_read_shape(o->model, &saved) != TAPE_OK)
            return tape_last_status();
        bool other_hidden = o->hidden && (saved.hidden_count != shape->hidden_count ||
                                          memcmp(saved.hidden, shape->hidden, sizeof saved.hidden) != 0);
        if (other_hidden || (o->dtype && saved.dtype != shape->dtype))
            return tape_fail(TAPE_ERROR_ARGUMENT,
                             "%s: has other layers or another dtype than --hidden and --dtype ask for", o->model);
        *shape = saved;
    } else {
        double deviation;
        if (!o->hidden)
            model_parse_hidden("128", shape);
        shape->sample = r->source.train->sample;
        shape->classes = r->source.train->classes;
        tape_dataset_moments(r->source.train, &shape->shift, &deviation);
        shape->scale = deviation > 0 ? 1 / deviation : 1;
    }
    int64_t classes =
        r->source.train->classes > r->source.test->classes ? r->source.train->classes : r->source.test->classes;
    if (memcmp(&shape->sample, &r->source.train->sample, sizeof shape->sample) != 0 || shape->classes < classes)
        return tape_fail(TAPE_ERROR_SHAPE, "%s: images of another size or more classes than the model knows",
                         r->source.name);
    return model_create(&r->model, shape);
}

static tape_status make_run(run *r, model_shape *shape)
{
    const train_options *o = &r->options;
    tape_seed((uint64_t)o->seed);
    if (source_open(&r->source, o->data) != TAPE_OK || make_model(r, shape) != TAPE_OK)
        return tape_last_status();
    bool adam = strncmp(o->optimizer, "adam", 4) == 0;
    r->optim = tape_optim_named(o->optimizer, r->model.params, o->lr > 0 ? o->lr : adam ? 0.005 : 0);
    if (o->model && tape_checkpoint_load(o->model, r->model.params, r->optim) != TAPE_OK)
        return tape_last_status();
    if (o->model && o->lr > 0)
        tape_optim_set_lr(r->optim, o->lr);
    r->report.images = malloc((size_t)(r->source.test->count * r->source.test->width) * sizeof(float));
    if (!r->report.images)
        return tape_fail(TAPE_ERROR_MEMORY, "out of memory for the test images");
    memcpy((void *)(uintptr_t)r->report.images, r->source.test->x,
           (size_t)(r->source.test->count * r->source.test->width) * sizeof(float));
    tape_dataset_scale(r->source.train, r->model.shape.shift, r->model.shape.scale);
    tape_dataset_scale(r->source.test, r->model.shape.shift, r->model.shape.scale);
    tape_batches_options batches = {.size = o->batch,
                                    .seed = (uint64_t)o->seed,
                                    .dtype = r->model.shape.dtype,
                                    .flat = true,
                                    .shift = o->augment,
                                    .fill = (float)(-r->model.shape.shift * r->model.shape.scale)};
    tape_batches_options test = {.size = TEST_BATCH, .dtype = r->model.shape.dtype, .flat = true, .in_order = true};
    r->batches = tape_batches_create(r->source.train, &batches);
    r->test_batches = tape_batches_create(r->source.test, &test);
    r->confusion = tape_confusion_create(r->model.shape.classes);
    return tape_last_status();
}

static void end_run(run *r)
{
    tape_confusion_destroy(r->confusion);
    tape_batches_destroy(r->test_batches);
    tape_batches_destroy(r->batches);
    tape_optim_destroy(r->optim);
    model_destroy(&r->model);
    source_close(&r->source);
    free(r->report.epochs);
    free((void *)(uintptr_t)r->report.images);
}

/* ---- what is printed --------------------------------------------------------------------------------------------- */

static void print_header(const run *r)
{
    printf("data       %s: %" PRId64 " images to train, %" PRId64 " to test\n", r->source.name, r->source.train->count,
           r->source.test->count);
    printf("model      %s, %" PRId64 " parameters, %s\n", r->report.model, r->report.parameters,
           tape_dtype_name(r->model.shape.dtype));
    printf("processor  %s: the class %s FMA; results are the same to the last digit on every machine of it\n",
           tape_isa(), tape_has_fma() ? "with" : "without");
    fflush(stdout);
}

static void print_check(const run *r)
{
    const report_check *worst = &r->report.checks[0];
    int64_t compared = 0, kinks = 0;
    for (int i = 0; i < r->report.check_count; i++) {
        compared += r->report.checks[i].result.compared;
        kinks += r->report.checks[i].result.kinks;
        if (report_check_error(&r->report.checks[i]) > report_check_error(worst))
            worst = &r->report.checks[i];
    }
    printf("gradients  %" PRId64 " compared with differences, worst relative error %.2e in %s", compared,
           report_check_error(worst), worst->name);
    printf(kinks ? " (%" PRId64 " at kinks, left out)\n\n" : "\n\n", kinks);
    fflush(stdout);
}

static void print_confusion(const tape_confusion *c)
{
    if (c->classes > 20) /* wider than a terminal: the report has it */
        return;
    printf("\nconfusion matrix (rows: the truth, columns: the guess)\n     ");
    for (int64_t j = 0; j < c->classes; j++)
        printf("%5" PRId64, j);
    for (int64_t i = 0; i < c->classes; i++) {
        printf("\n%5" PRId64, i);
        for (int64_t j = 0; j < c->classes; j++) {
            int64_t n = c->counts[i * c->classes + j];
            if (n)
                printf("%5" PRId64, n);
            else
                printf("    .");
        }
    }
    printf("\n\n");
}

/* As one word of a shell's command line. */
static void print_word(const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./,:@%";
    if (word[strspn(word, plain)] == '\0') {
        fputs(word, stdout);
        return;
    }
    putchar('\'');
    for (; *word; word++)
        *word == '\'' ? fputs("'\\''", stdout) : putchar(*word);
    putchar('\'');
}

static void print_end(const run *r)
{
    const report_epoch *last = &r->report.epochs[r->report.epoch_count - 1];
    print_confusion(r->confusion);
    printf("reloaded   the saved model gives identical outputs on all %" PRId64 " test images\n",
           r->source.test->count);
    printf("train loss %.9g\n", last->train_loss);
    printf("test loss  %.9g\n", r->report.final_loss);
    printf("test accuracy %.2f %%\n", 100 * r->report.final_accuracy);
    printf("model      %s\n", r->model_path);
    printf("report     %s\n", r->report_path);
    printf("next       ");
    print_word(program_name);
    printf(" predict --model ");
    print_word(r->model_path);
    if (r->options.data) {
        printf(" --data ");
        print_word(r->options.data);
    }
    putchar('\n');
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */

static void describe(run *r)
{
    report *p = &r->report;
    const train_options *o = &r->options;
    p->data_name = r->source.name;
    model_describe(&r->model.shape, p->model, sizeof p->model);
    p->parameters = tape_params_numel(r->model.params);
    p->train_count = r->source.train->count;
    p->test_count = r->source.test->count;
    p->optimizer = o->optimizer;
    p->lr = tape_optim_lr(r->optim);
    p->batch = o->batch;
    p->seed = o->seed;
    p->threads = (int)o->threads;
    p->dtype = r->model.shape.dtype;
    p->model_path = r->model_path;
    p->confusion = r->confusion;
    p->sample = r->model.shape.sample;
}

static bool run_phases(run *r)
{
    phase_begin(r);
    if (!check_gradients(r))
        return false;
    phase_end(r, "check gradients");
    print_check(r);
    phase_begin(r);
    if (!train_model(r))
        return false;
    phase_end(r, "train");
    if (r->report.epoch_count == 0)
        return tape_fail(TAPE_ERROR_STATE, "interrupted before the first step: nothing to save") == TAPE_OK;
    phase_begin(r);
    if (!find_misread(r) || !evaluate(r, r->test_batches, &r->report.final_loss, &r->report.final_accuracy))
        return false;
    phase_end(r, "test");
    phase_begin(r);
    if (model_save(&r->model, r->optim, r->model_path) != TAPE_OK || !verify_reloaded(r))
        return false;
    phase_end(r, "save and reload");
    return report_write(&r->report, r->report_path) == TAPE_OK;
}

static int train(run *r, model_shape *shape)
{
    phase_begin(r);
    if (tape_threads((int)r->options.threads) != TAPE_OK || make_run(r, shape) != TAPE_OK)
        return tape_failure();
    phase_end(r, "load");
    describe(r);
    print_header(r);
    if (make_directory(r->options.output) != EXIT_OK)
        return EXIT_FAILED;
    watch_interrupt();
    if (!run_phases(r))
        return interrupted() ? (tape_failure(), EXIT_INTERRUPTED) : tape_failure();
    print_end(r);
    return interrupted() ? EXIT_INTERRUPTED : EXIT_OK;
}

int command_train(int argc, char **argv)
{
    run r = {
        .options = {.output = "tape-run", .optimizer = "adam", .seed = 0, .epochs = 60, .batch = 32, .threads = 1}};
    train_options *o = &r.options;
    const option table[] = {
        {"data", OPTION_TEXT, &o->data, 0, 0, "PATH", "a directory of MNIST's IDX files or a CSV file, label last"},
        {"output", OPTION_TEXT, &o->output, 0, 0, "DIR", "where model and report go (default tape-run)"},
        {"model", OPTION_TEXT, &o->model, 0, 0, "FILE", "go on from a model that 'tape train' saved"},
        {"epochs", OPTION_INTEGER, &o->epochs, 1, 100000, "N", "passes over the data (default 60)"},
        {"batch", OPTION_INTEGER, &o->batch, 1, 1e6, "N", "images in a step (default 32)"},
        {"lr", OPTION_NUMBER, &o->lr, 1e-12, 1e3, "X",
         "peak learning rate (default 0.005 for adam, else the optimiser's)"},
        {"optimizer", OPTION_TEXT, &o->optimizer, 0, 0, "NAME",
         "sgd momentum adam adamw rmsprop adagrad (default adam)"},
        {"hidden", OPTION_TEXT, &o->hidden, 0, 0, "LIST", "sizes of the hidden layers (default 128)"},
        {"dtype", OPTION_TEXT, &o->dtype, 0, 0, "TYPE", "f32 or f64 (default f32)"},
        {"seed", OPTION_INTEGER, &o->seed, 0, 0x1p53, "N", "of weights, order and augmentation (default 0)"},
        {"threads", OPTION_INTEGER, &o->threads, 1, 256, "N", "threads (default 1); the result is the same"},
        {"augment", OPTION_FLAG, &o->augment, 0, 0, NULL, "move images by up to one pixel"},
        {0},
    };
    int code = parse_options(argc, argv, table, "train [OPTION...]", NULL, 0);
    model_shape shape = {.dtype = TAPE_F32};
    if (code == EXIT_OK)
        code = check_options(&r, &shape);
    if (code != EXIT_OK)
        return code < 0 ? EXIT_OK : code;
    int n = snprintf(r.model_path, sizeof r.model_path, "%s/model.safetensors", o->output);
    snprintf(r.report_path, sizeof r.report_path, "%s/report.html", o->output);
    if (n < 0 || (size_t)n >= sizeof r.model_path)
        return usage_error("--output: the path is too long");
    char *command = join_words(argc, argv);
    r.report.command = command ? command : "tape train";
    code = train(&r, &shape);
    end_run(&r);
    free(command);
    return code;
}
