/* Data sets in memory: making, scaling and splitting them. It knows no file format. */
#include <math.h>
#include <string.h>

#include "kit.h"

/* A class costs memory even where no sample has it, so one absurd label must not decide how much. */
enum { CLASSES_MAX = 65536 };

tape_dataset *tape__dataset_take(int64_t count, tape_shape sample, float *x, int64_t *labels)
{
    tape_dataset *data = tape__grow(NULL, 1, sizeof *data);
    if (!data) {
        free(x);
        free(labels);
        return NULL;
    }
    *data = (tape_dataset){.count = count, .sample = sample, .x = x, .labels = labels};
    tape__shape_count(sample, &data->width);
    for (int64_t i = 0; labels && i < count; i++)
        if (labels[i] >= data->classes)
            data->classes = labels[i] + 1;
    return data;
}

/* count * numel(sample), or an error. */
static bool check_sizes(int64_t count, tape_shape sample, int64_t *numbers)
{
    int64_t width;
    if (count < 0)
        tape_fail(TAPE_ERROR_ARGUMENT, "dataset: expects a count >= 0, got %lld", (long long)count);
    else if (sample.rank >= TAPE_MAX_RANK || !tape__shape_count(sample, &width))
        tape_fail(TAPE_ERROR_SHAPE, "dataset: expects samples of rank 0 to %d and sizes >= 0, got %s",
                  TAPE_MAX_RANK - 1, tape__shown_shape(sample).text);
    else if (__builtin_mul_overflow(count, width, numbers))
        tape_fail(TAPE_ERROR_ARGUMENT, "dataset: %lld samples of %s are too many", (long long)count,
                  tape__shown_shape(sample).text);
    else
        return true;
    return false;
}

tape_dataset *tape_dataset_create(int64_t count, tape_shape sample, const float *x, const int64_t *labels)
{
    int64_t numbers;
    if (tape_last_status() != TAPE_OK || !check_sizes(count, sample, &numbers))
        return NULL;
    for (int64_t i = 0; labels && i < count; i++)
        if (labels[i] < 0 || labels[i] > INT32_MAX) {
            tape_fail(TAPE_ERROR_ARGUMENT, "dataset: label %lld of sample %lld is not in 0 ... 2147483647",
                      (long long)labels[i], (long long)i);
            return NULL;
        }
    float *x_copy = tape__grow(NULL, numbers, sizeof *x_copy);
    int64_t *label_copy = labels ? tape__grow(NULL, count, sizeof *label_copy) : NULL;
    if (!x_copy || (labels && !label_copy)) {
        free(x_copy);
        free(label_copy);
        return NULL;
    }
    if (numbers > 0)
        memcpy(x_copy, x, (size_t)numbers * sizeof *x);
    if (labels && count > 0)
        memcpy(label_copy, labels, (size_t)count * sizeof *labels);
    return tape__dataset_take(count, sample, x_copy, label_copy);
}

void tape_dataset_destroy(tape_dataset *data)
{
    if (!data)
        return;
    free(data->x);
    free(data->labels);
    free(data);
}

void tape_dataset_scale(tape_dataset *data, double shift, double scale)
{
    int64_t n = data ? data->count * data->width : 0;
    for (int64_t i = 0; i < n; i++)
        data->x[i] = (float)((data->x[i] - shift) * scale);
}

void tape_dataset_moments(const tape_dataset *data, double *mean, double *deviation)
{
    int64_t n = data ? data->count * data->width : 0;
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++)
        sum += data->x[i];
    double centre = sum / (double)n;
    for (int64_t i = 0; i < n; i++)
        squares += (data->x[i] - centre) * (data->x[i] - centre);
    if (mean)
        *mean = centre;
    if (deviation)
        *deviation = sqrt(squares / (double)n);
}

/* ---- splitting --------------------------------------------------------------------------------------------------- */

/* in_test[i] = 1 for a share of the rows rows[0..n-1], chosen by (seed, stream). Reorders rows. */
static int64_t choose(const tape_split_options *options, double fraction, uint64_t stream, int64_t n, int64_t *rows,
                      uint8_t *in_test)
{
    int64_t chosen = (int64_t)floor(fraction * (double)n + 0.5);
    tape__shuffle_rows(options->seed, stream, n, rows);
    for (int64_t i = 0; i < chosen; i++)
        in_test[rows[i]] = 1;
    return chosen;
}

/* One class after the other: rows holds the samples sorted by class, found by counting. */
static int64_t choose_by_class(const tape_dataset *data, const tape_split_options *options, double fraction,
                               int64_t *rows, uint8_t *in_test)
{
    int64_t *begin = tape__grow(NULL, data->classes + 1, sizeof *begin), chosen = 0;
    if (!begin)
        return -1;
    memset(begin, 0, (size_t)(data->classes + 1) * sizeof *begin);
    for (int64_t i = 0; i < data->count; i++)
        begin[data->labels[i] + 1]++;
    for (int64_t c = 0; c < data->classes; c++)
        begin[c + 1] += begin[c];
    for (int64_t i = 0; i < data->count; i++)
        rows[begin[data->labels[i]]++] = i;
    for (int64_t c = 0, first = 0; c < data->classes; c++) {
        chosen += choose(options, fraction, (uint64_t)c, begin[c] - first, rows + first, in_test);
        first = begin[c];
    }
    free(begin);
    return chosen;
}

static int64_t mark_test(const tape_dataset *data, const tape_split_options *options, double fraction, uint8_t *in_test)
{
    int64_t *rows = tape__grow(NULL, data->count, sizeof *rows), chosen = -1;
    if (!rows)
        return -1;
    memset(in_test, 0, (size_t)data->count);
    for (int64_t i = 0; i < data->count; i++)
        rows[i] = i;
    if (options->stratified)
        chosen = choose_by_class(data, options, fraction, rows, in_test);
    else
        chosen = choose(options, fraction, 0, data->count, rows, in_test);
    free(rows);
    return chosen;
}

/* The rows where mark[i] == wanted. */
static tape_dataset *subset(const tape_dataset *data, const uint8_t *mark, uint8_t wanted, int64_t count)
{
    float *x = tape__grow(NULL, count * data->width, sizeof *x);
    int64_t *labels = data->labels ? tape__grow(NULL, count, sizeof *labels) : NULL, to = 0;
    if (!x || (data->labels && !labels)) {
        free(x);
        free(labels);
        return NULL;
    }
    for (int64_t i = 0; i < data->count; i++) {
        if (mark[i] != wanted)
            continue;
        memcpy(x + to * data->width, data->x + i * data->width, (size_t)data->width * sizeof *x);
        if (labels)
            labels[to] = data->labels[i];
        to++;
    }
    tape_dataset *part = tape__dataset_take(count, data->sample, x, labels);
    if (part)
        part->classes = data->classes;
    return part;
}

tape_status tape_dataset_split(const tape_dataset *data, const tape_split_options *options, tape_dataset **train,
                               tape_dataset **test)
{
    static const tape_split_options defaults;
    options = options ? options : &defaults;
    double fraction = options->test_fraction == 0 ? 0.2 : options->test_fraction;
    *train = *test = NULL;
    if (tape_last_status() != TAPE_OK)
        return tape_last_status();
    if (!data || !(fraction > 0 && fraction < 1))
        return tape_fail(TAPE_ERROR_ARGUMENT, "dataset_split: expects a data set and a fraction in (0, 1), got %g",
                         fraction);
    if (options->stratified && !data->labels)
        return tape_fail(TAPE_ERROR_ARGUMENT, "dataset_split: cannot keep the classes' shares without labels");
    if (options->stratified && data->classes > CLASSES_MAX)
        return tape_fail(TAPE_ERROR_ARGUMENT, "dataset_split: cannot keep the shares of %lld classes, at most of %d",
                         (long long)data->classes, CLASSES_MAX);
    uint8_t *in_test = tape__grow(NULL, data->count, 1);
    int64_t chosen = in_test ? mark_test(data, options, fraction, in_test) : -1;
    if (chosen >= 0) {
        *test = subset(data, in_test, 1, chosen);
        *train = *test ? subset(data, in_test, 0, data->count - chosen) : NULL;
    }
    free(in_test);
    if (*train)
        return TAPE_OK;
    tape_dataset_destroy(*test);
    *test = NULL;
    return tape_last_status();
}
