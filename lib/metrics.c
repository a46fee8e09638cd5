/* Counting hits: predictions by the largest score, confusion matrices, running means. */
#include <math.h>
#include <string.h>

#include "kit.h"

/* ---- predictions ------------------------------------------------------------------------------------------------- */

static int64_t argmax_f32(const float *x, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[best] || (isnan(x[i]) && !isnan(x[best])))
            best = i;
    return best;
}

static int64_t argmax_f64(const double *x, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[best] || (isnan(x[i]) && !isnan(x[best])))
            best = i;
    return best;
}

/* Scores as they lie in memory. */
struct scores {
    const void *data;
    tape_dtype dtype;
    int64_t n, classes;
};

static tape_status read_scores(tape_tensor tensor, struct scores *scores)
{
    scores->data = tape_data(tensor);
    scores->dtype = tape_dtype_of(tensor);
    tape_shape shape = tape_shape_of(tensor);
    if (tape_last_status() != TAPE_OK)
        return tape_last_status();
    if (scores->dtype != TAPE_F32 && scores->dtype != TAPE_F64)
        return tape_fail(TAPE_ERROR_DTYPE, "metrics: expects scores in f32 or f64, got %s",
                         tape_dtype_name(scores->dtype));
    if (shape.rank != 2 || shape.size[1] < 1)
        return tape_fail(TAPE_ERROR_SHAPE, "metrics: expects scores of shape [n, classes], got %s",
                         tape__shown_shape(shape).text);
    scores->n = shape.size[0];
    scores->classes = shape.size[1];
    return TAPE_OK;
}

static int64_t predicted(const struct scores *scores, int64_t i)
{
    if (scores->dtype == TAPE_F64)
        return argmax_f64((const double *)scores->data + i * scores->classes, scores->classes);
    return argmax_f32((const float *)scores->data + i * scores->classes, scores->classes);
}

tape_status tape_argmax_rows(tape_tensor tensor, int64_t *classes)
{
    struct scores scores;
    tape_status status = read_scores(tensor, &scores);
    for (int64_t i = 0; status == TAPE_OK && i < scores.n; i++)
        classes[i] = predicted(&scores, i);
    return status;
}

/* ---- labels ------------------------------------------------------------------------------------------------------ */

struct labels {
    const void *data;
    tape_dtype dtype;
};

static int64_t label_at(const struct labels *labels, int64_t i)
{
    return labels->dtype == TAPE_I32 ? ((const int32_t *)labels->data)[i] : ((const int64_t *)labels->data)[i];
}

/* n labels below `classes`. */
static tape_status read_labels(tape_tensor tensor, int64_t n, int64_t classes, struct labels *labels)
{
    labels->data = tape_data(tensor);
    labels->dtype = tape_dtype_of(tensor);
    tape_shape shape = tape_shape_of(tensor);
    if (tape_last_status() != TAPE_OK)
        return tape_last_status();
    if (labels->dtype != TAPE_I32 && labels->dtype != TAPE_I64)
        return tape_fail(TAPE_ERROR_DTYPE, "metrics: expects labels in i32 or i64, got %s",
                         tape_dtype_name(labels->dtype));
    if (shape.rank != 1 || shape.size[0] != n)
        return tape_fail(TAPE_ERROR_SHAPE, "metrics: expects labels of shape [%lld], got %s", (long long)n,
                         tape__shown_shape(shape).text);
    for (int64_t i = 0; i < n; i++) {
        int64_t label = label_at(labels, i);
        if (label < 0 || label >= classes)
            return tape_fail(TAPE_ERROR_INDEX, "metrics: label %lld at %lld is not below %lld", (long long)label,
                             (long long)i, (long long)classes);
    }
    return TAPE_OK;
}

double tape_accuracy(tape_tensor scores_tensor, tape_tensor labels_tensor)
{
    struct scores scores;
    struct labels labels;
    if (read_scores(scores_tensor, &scores) != TAPE_OK ||
        read_labels(labels_tensor, scores.n, INT64_MAX, &labels) != TAPE_OK)
        return NAN;
    int64_t hits = 0;
    for (int64_t i = 0; i < scores.n; i++)
        hits += predicted(&scores, i) == label_at(&labels, i);
    return (double)hits / (double)scores.n;
}

/* ---- running means ----------------------------------------------------------------------------------------------- */

void tape_running_mean_add(tape_running_mean *mean, double value, double weight)
{
    mean->sum += value * weight;
    mean->weight += weight;
}

double tape_running_mean_get(const tape_running_mean *mean)
{
    return mean->weight == 0 ? NAN : mean->sum / mean->weight;
}

/* ---- confusion matrices ------------------------------------------------------------------------------------------ */

tape_confusion *tape_confusion_create(int64_t classes)
{
    if (tape_last_status() != TAPE_OK)
        return NULL;
    if (classes < 1 || classes > 65536) {
        tape_fail(TAPE_ERROR_ARGUMENT, "confusion: expects 1 to 65536 classes, got %lld", (long long)classes);
        return NULL;
    }
    tape_confusion *confusion = tape__grow(NULL, 1, sizeof *confusion);
    int64_t *counts = confusion ? tape__grow(NULL, classes * classes, sizeof *counts) : NULL;
    if (!counts) {
        free(confusion);
        return NULL;
    }
    *confusion = (tape_confusion){classes, counts};
    tape_confusion_clear(confusion);
    return confusion;
}

void tape_confusion_destroy(tape_confusion *confusion)
{
    if (!confusion)
        return;
    free(confusion->counts);
    free(confusion);
}

void tape_confusion_clear(tape_confusion *confusion)
{
    if (confusion)
        memset(confusion->counts, 0, (size_t)(confusion->classes * confusion->classes) * sizeof *confusion->counts);
}

tape_status tape_confusion_add(tape_confusion *confusion, tape_tensor scores_tensor, tape_tensor labels_tensor)
{
    struct scores scores;
    struct labels labels;
    tape_status status = read_scores(scores_tensor, &scores);
    if (status != TAPE_OK)
        return status;
    if (!confusion || scores.classes != confusion->classes)
        return tape_fail(TAPE_ERROR_SHAPE, "confusion: expects scores of %lld classes, got %lld",
                         (long long)(confusion ? confusion->classes : 0), (long long)scores.classes);
    status = read_labels(labels_tensor, scores.n, scores.classes, &labels);
    for (int64_t i = 0; status == TAPE_OK && i < scores.n; i++)
        confusion->counts[label_at(&labels, i) * confusion->classes + predicted(&scores, i)]++;
    return status;
}

int64_t tape_confusion_total(const tape_confusion *confusion)
{
    int64_t total = 0;
    for (int64_t i = 0; confusion && i < confusion->classes * confusion->classes; i++)
        total += confusion->counts[i];
    return total;
}

double tape_confusion_accuracy(const tape_confusion *confusion)
{
    int64_t hits = 0, total = tape_confusion_total(confusion);
    for (int64_t i = 0; total > 0 && i < confusion->classes; i++)
        hits += confusion->counts[i * confusion->classes + i];
    return total > 0 ? (double)hits / (double)total : NAN;
}
