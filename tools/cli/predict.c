/* `tape predict`: what a trained model sees in images. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "model.h"
#include "source.h"
#include "tape/metrics.h"

enum { BATCH = 256 };

/* One row: the guess, its probability, the label if there is one. */
static void print_row(const double *scores, int64_t classes, int64_t row, const int64_t *labels, int64_t *right)
{
    int64_t guess = 0;
    double sum = 0;
    for (int64_t c = 1; c < classes; c++)
        guess = scores[c] > scores[guess] ? c : guess;
    for (int64_t c = 0; c < classes; c++)
        sum += exp(scores[c] - scores[guess]);
    printf("%" PRId64 ",%" PRId64 ",%.4f", row, guess, 1 / sum);
    if (labels) {
        printf(",%" PRId64, labels[row]);
        *right += labels[row] == guess;
    }
    putchar('\n');
}

static bool predict_all(const model *m, const tape_dataset *data, int64_t *right)
{
    tape_batches_options options = {.size = BATCH, .dtype = m->shape.dtype, .flat = true, .in_order = true};
    tape_batches *batches = tape_batches_create(data, &options);
    tape_batch batch;
    printf("image,guess,probability%s\n", data->labels ? ",label" : "");
    tape_pause();
    while (batches && tape_batches_next(batches, &batch)) {
        const double *scores = tape_data_f64(tape_cast(model_forward(m, batch.x), TAPE_F64));
        for (int64_t i = 0; scores && i < batch.size; i++)
            print_row(scores + i * m->shape.classes, m->shape.classes, batch.rows[i], data->labels, right);
        if (!scores)
            break;
        tape_reset();
    }
    tape_resume();
    tape_batches_destroy(batches);
    return tape_last_status() == TAPE_OK;
}

/* The held-out images of a training source, or the images of one file. */
static tape_dataset *open_images(const char *data, const char *file, const model_shape *shape, source *from)
{
    if (file)
        return source_images(file, shape->sample);
    if (source_open(from, data) != TAPE_OK)
        return NULL;
    if (from->test->width != from->train->width ||
        memcmp(&from->test->sample, &shape->sample, sizeof shape->sample) != 0) {
        tape_fail(TAPE_ERROR_SHAPE, "%s: images of another size than the model takes", from->name);
        return NULL;
    }
    return from->test;
}

static int predict(const char *path, const char *data, const char *file)
{
    model m;
    source from = {0};
    int64_t right = 0;
    tape_dataset *images = NULL;
    if (model_load(&m, path) == TAPE_OK && (images = open_images(data, file, &m.shape, &from))) {
        tape_dataset_scale(images, m.shape.shift, m.shape.scale);
        if (predict_all(&m, images, &right) && images->labels)
            fprintf(stderr, "accuracy %.2f %% of %" PRId64 " images\n", 100 * (double)right / (double)images->count,
                    images->count);
    }
    int code = tape_last_status() == TAPE_OK ? EXIT_OK : tape_failure();
    if (file)
        tape_dataset_destroy(images);
    source_close(&from);
    model_destroy(&m);
    return code;
}

int command_predict(int argc, char **argv)
{
    const char *path = NULL, *data = NULL, *file = NULL;
    const option table[] = {
        {"model", OPTION_TEXT, &path, 0, 0, "FILE", "the model that 'tape train' saved (required)"},
        {"data", OPTION_TEXT, &data, 0, 0, "PATH", "use the test images of this training data (default: the digits)"},
        {0},
    };
    int code =
        parse_options(argc, argv, table, "predict --model FILE [OPTION...] [IMAGES.csv | IMAGES-idx3-ubyte]", &file, 1);
    if (code != EXIT_OK)
        return code < 0 ? EXIT_OK : code;
    if (!path)
        return usage_error("predict: which model? Give --model FILE");
    if (data && file)
        return usage_error("predict: give --data or a file of images, not both");
    return predict(path, data, file);
}
