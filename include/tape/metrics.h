/*
 * Counting what a model gets right. Results stay on the host and nothing is recorded.
 */
#ifndef TAPE_METRICS_H
#define TAPE_METRICS_H

#include "tape/tape.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The class of the largest value in each row of scores (f32 or f64, [n, classes], contiguous), into `classes[0..n-1]`;
 * the first of equal ones; NaN counts as the largest. SHAPE if scores have another rank or no column. */
TAPE_API tape_status tape_argmax_rows(tape_tensor scores, int64_t *classes);

/* A running mean: zero it, add values with weights (a batch's loss and its size), divide. */
typedef struct tape_running_mean {
    double sum, weight;
} tape_running_mean;
TAPE_API void tape_running_mean_add(tape_running_mean *mean, double value, double weight);
TAPE_API double tape_running_mean_get(const tape_running_mean *mean); /* NaN while the weight is 0 */

/* counts[true * classes + predicted]. */
typedef struct tape_confusion {
    int64_t classes;
    int64_t *counts;
} tape_confusion;

/* All counts zero; NULL and ARGUMENT unless 1 <= classes <= 65536. */
TAPE_API tape_confusion *tape_confusion_create(int64_t classes);
TAPE_API void tape_confusion_destroy(tape_confusion *confusion);
TAPE_API void tape_confusion_clear(tape_confusion *confusion);

/* Count a batch: scores [n, classes] as above, labels i32 or i64 [n], contiguous. Allocates nothing. INDEX for a label
 * out of range, and then nothing has been counted. */
TAPE_API tape_status tape_confusion_add(tape_confusion *confusion, tape_tensor scores, tape_tensor labels);

/* Samples counted, and the share of them on the diagonal (NaN of none). */
TAPE_API int64_t tape_confusion_total(const tape_confusion *confusion);
TAPE_API double tape_confusion_accuracy(const tape_confusion *confusion);

/* The share of rows whose largest score is at the label; NaN after an error. */
TAPE_API double tape_accuracy(tape_tensor scores, tape_tensor labels);

#ifdef __cplusplus
}
#endif
#endif
