/* Finds and reads images. Knows nothing of models. */
#define _POSIX_C_SOURCE 200809L
#include "source.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIGITS "digits.csv.gz"

/* Beside the installed program, else in the source tree that it was built from. */
const char *source_bundled(void)
{
    static char path[PATH_MAX + sizeof TAPE_DATA_FROM_PROGRAM + sizeof DIGITS + 2];
    char program[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n > 0) {
        program[n] = '\0';
        char *slash = strrchr(program, '/');
        snprintf(path, sizeof path, "%.*s/%s/%s", (int)(slash - program), program, TAPE_DATA_FROM_PROGRAM, DIGITS);
        if (access(path, R_OK) == 0)
            return path;
    }
    snprintf(path, sizeof path, "%s/%s", TAPE_DATA_SOURCE, DIGITS);
    return path;
}

/* The side of a square image of so many numbers; 0 if they make no square. */
static int64_t side_of(int64_t width)
{
    int64_t side = 1;
    while (side * side < width)
        side++;
    return side * side == width ? side : 0;
}

static tape_dataset *read_csv(const char *path, bool labelled)
{
    tape_csv_options options = {.label = labelled ? TAPE_CSV_LABEL_LAST : TAPE_CSV_LABEL_NONE};
    tape_dataset *data = tape_dataset_csv(path, &options);
    int64_t side = data ? side_of(data->width) : 0;
    if (side > 1)
        data->sample = (tape_shape){2, {side, side}};
    return data;
}

static bool has_suffix(const char *text, const char *suffix)
{
    size_t n = strlen(text), m = strlen(suffix);
    return n >= m && strcmp(text + n - m, suffix) == 0;
}

tape_status source_open(source *s, const char *path)
{
    *s = (source){path ? path : "8x8 handwritten digits (UCI, CC BY 4.0)", NULL, NULL};
    struct stat status;
    if (path && stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        s->train = tape_dataset_mnist(path, "train");
        s->test = s->train ? tape_dataset_mnist(path, "t10k") : NULL;
    } else {
        tape_dataset *all = read_csv(path ? path : source_bundled(), true);
        tape_split_options split = {.test_fraction = 0.2, .seed = 0, .stratified = true};
        if (all)
            tape_dataset_split(all, &split, &s->train, &s->test);
        tape_dataset_destroy(all);
    }
    if (tape_last_status() == TAPE_OK && (s->train->count == 0 || s->test->count == 0))
        tape_fail(TAPE_ERROR_FORMAT, "%s: no images", s->name);
    if (tape_last_status() == TAPE_OK && s->train->width != s->test->width)
        tape_fail(TAPE_ERROR_FORMAT, "%s: training images have %lld pixels, test images %lld", s->name,
                  (long long)s->train->width, (long long)s->test->width);
    return tape_last_status();
}

void source_close(source *s)
{
    tape_dataset_destroy(s->train);
    tape_dataset_destroy(s->test);
}

tape_dataset *source_images(const char *path, tape_shape sample)
{
    int64_t width = 1;
    for (int i = 0; i < sample.rank; i++)
        width *= sample.size[i];
    tape_dataset *data = NULL;
    if (has_suffix(path, ".csv") || has_suffix(path, ".csv.gz")) {
        data = read_csv(path, true);
        if (data && data->width == width - 1) { /* one number fewer: that column was a pixel */
            tape_dataset_destroy(data);
            data = read_csv(path, false);
        }
    } else {
        data = tape_dataset_idx(path, NULL);
    }
    if (data && data->width != width) {
        tape_fail(TAPE_ERROR_SHAPE, "%s: images of %lld pixels, but the model takes %lld", path, (long long)data->width,
                  (long long)width);
        tape_dataset_destroy(data);
        return NULL;
    }
    return data;
}
