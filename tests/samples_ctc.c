/* Samples of connectionist temporal classification: the references go through all paths one by one. */
#include <math.h>

#include "ops/ops.h"
#include "support/samples.h"

/* x: [STEPS, PEOPLE, SOUNDS]; labels: [PEOPLE, LONGEST]. */
enum { STEPS = 5, PEOPLE = 2, SOUNDS = 4, LONGEST = 2 };

struct ctc_variant {
    tape_ctc_options options;
    int steps[PEOPLE], labels[PEOPLE];
};

static const struct ctc_variant ctc_plain = {{TAPE_REDUCE_NONE, 0, false}, {4, 5}, {1, 2}};
static const struct ctc_variant ctc_mean = {{TAPE_REDUCE_MEAN, 0, false}, {5, 5}, {2, 2}};
static const struct ctc_variant ctc_other_blank = {{TAPE_REDUCE_SUM, 3, false}, {3, 5}, {0, 2}};
static const struct ctc_variant ctc_too_long = {{TAPE_REDUCE_MEAN, 0, true}, {5, 1}, {1, 2}};

static double log_probability(const double *x, int step, int person, int sound)
{
    const double *row = x + (step * PEOPLE + person) * SOUNDS;
    double sum = 0;
    for (int c = 0; c < SOUNDS; c++)
        sum += exp(row[c]);
    return row[sound] - log(sum);
}

/* Does the path, digits of a number to the base SOUNDS, read as the labels? */
static bool reads_as(const struct ctc_variant *v, const double *labels, int person, int path)
{
    int read = 0, before = -1;
    for (int t = 0; t < v->steps[person]; t++, path /= SOUNDS) {
        int sound = path % SOUNDS;
        if (sound != before && sound != (int)v->options.blank) {
            if (read == v->labels[person] || sound != (int)labels[person * LONGEST + read])
                return false;
            read++;
        }
        before = sound;
    }
    return read == v->labels[person];
}

/* The sum over all paths one by one; share: how much of it passes a sound at a step. */
static double likelihood(const struct ctc_variant *v, const double *const *x, int person, double *share)
{
    double total = 0;
    int paths = 1;
    for (int t = 0; t < v->steps[person]; t++)
        paths *= SOUNDS;
    for (int path = 0; path < paths; path++) {
        if (!reads_as(v, x[1], person, path))
            continue;
        double log_p = 0;
        for (int t = 0, rest = path; t < v->steps[person]; t++, rest /= SOUNDS)
            log_p += log_probability(x[0], t, person, rest % SOUNDS);
        total += exp(log_p);
        for (int t = 0, rest = path; t < v->steps[person]; t++, rest /= SOUNDS)
            share[t * SOUNDS + rest % SOUNDS] += exp(log_p);
    }
    return total;
}

static double ctc_share(const struct ctc_variant *v, int person)
{
    double labels = v->labels[person] ? v->labels[person] : 1;
    return v->options.reduction == TAPE_REDUCE_MEAN ? 1 / labels / PEOPLE : 1;
}

static void ctc_reference(const struct ctc_variant *v, const double *const *x, double *y)
{
    y[0] = 0;
    for (int b = 0; b < PEOPLE; b++) {
        double share[STEPS * SOUNDS] = {0}, total = likelihood(v, x, b, share);
        double loss = total == 0 && v->options.zero_infinity ? 0 : -log(total);
        if (v->options.reduction == TAPE_REDUCE_NONE)
            y[b] = loss;
        else
            y[0] += loss * ctc_share(v, b);
    }
}

/* x[2]: the cotangent. */
static void ctc_backward_reference(const struct ctc_variant *v, const double *const *x, double *y)
{
    for (int b = 0; b < PEOPLE; b++) {
        double share[STEPS * SOUNDS] = {0}, total = likelihood(v, x, b, share);
        double g = x[2][v->options.reduction == TAPE_REDUCE_NONE ? b : 0] * ctc_share(v, b);
        for (int t = 0; t < STEPS; t++)
            for (int c = 0; c < SOUNDS; c++)
                y[(t * PEOPLE + b) * SOUNDS + c] =
                    t >= v->steps[b] || total == 0
                        ? 0
                        : g * (exp(log_probability(x[0], t, b, c)) - share[t * SOUNDS + c] / total);
    }
}

static tape_tensor whole_numbers(const int *values)
{
    return tape_from(TAPE_I64, TAPE_SHAPE(PEOPLE), (const int64_t[]){values[0], values[1]});
}

/* log_probs must be normalised for the derivative to be that of the loss. */
static tape_tensor run_ctc(const struct ctc_variant *v, const tape_tensor *x)
{
    return tape_ctc_loss(tape_log_softmax(x[0], -1), x[1], whole_numbers(v->steps), whole_numbers(v->labels),
                         &v->options);
}

static tape_tensor run_ctc_backward(const struct ctc_variant *v, const tape_tensor *x)
{
    struct {
        int64_t blank;
        int32_t reduction, zero_infinity;
    } attr = {v->options.blank, (int32_t)v->options.reduction, v->options.zero_infinity};
    const tape_tensor inputs[5] = {x[2], tape_log_softmax(x[0], -1), x[1], whole_numbers(v->steps),
                                   whole_numbers(v->labels)};
    return tape__run(TAPE__OP_ctc_loss_backward, inputs, 5, &attr, sizeof attr);
}

#define SOUND                                                                                                          \
    {                                                                                                                  \
        SAMPLE_FLOAT, {3, {STEPS, PEOPLE, SOUNDS}}, -1, 1                                                              \
    }
#define TEXT(low, high)                                                                                                \
    {                                                                                                                  \
        SAMPLE_INDEX, {2, {PEOPLE, LONGEST}}, low, high                                                                \
    }
#define CTC_IN SOUND, TEXT(1, 4)
#define CTC_IN_LOW SOUND, TEXT(0, 3)
#define CTC_IN_EACH                                                                                                    \
    SOUND, TEXT(1, 4),                                                                                                 \
    {                                                                                                                  \
        SAMPLE_FLOAT, {1, {PEOPLE}}, 0.5, 1.5                                                                          \
    }
#define CTC_IN_ONE                                                                                                     \
    SOUND, TEXT(1, 4),                                                                                                 \
    {                                                                                                                  \
        SAMPLE_FLOAT, {0, {0}}, 0.5, 1.5                                                                               \
    }
/* SAMPLE(op, label, inputs, number of inputs, no derivative, call, reference) */
#define CTC_LOSSES(SAMPLE)                                                                                             \
    SAMPLE(ctc_loss, each, CTC_IN, 2, false, run_ctc(&ctc_plain, x), ctc_reference(&ctc_plain, x, y))                  \
    SAMPLE(ctc_loss, mean, CTC_IN, 2, false, run_ctc(&ctc_mean, x), ctc_reference(&ctc_mean, x, y))                    \
    SAMPLE(ctc_loss, other_blank, CTC_IN_LOW, 2, false, run_ctc(&ctc_other_blank, x),                                  \
           ctc_reference(&ctc_other_blank, x, y))                                                                      \
    SAMPLE(ctc_loss, too_long, CTC_IN, 2, false, run_ctc(&ctc_too_long, x), ctc_reference(&ctc_too_long, x, y))        \
    SAMPLE(ctc_loss_backward, each, CTC_IN_EACH, 3, true, run_ctc_backward(&ctc_plain, x),                             \
           ctc_backward_reference(&ctc_plain, x, y))                                                                   \
    SAMPLE(ctc_loss_backward, too_long, CTC_IN_ONE, 3, true, run_ctc_backward(&ctc_too_long, x),                       \
           ctc_backward_reference(&ctc_too_long, x, y))

#define FUNCTIONS(op, label, inputs, n, none, call, expected) SAMPLE_FUNCTIONS(op, label, call, expected)
CTC_LOSSES(FUNCTIONS)

#define ENTRY(op, label, inputs, n, none, call, expected)                                                              \
    {#op, #label, n, {inputs}, op##_##label, op##_##label##_reference, none, 0},

const struct sample samples_ctc[] = {
    /* clang-format off */
    CTC_LOSSES(ENTRY)
    {NULL, NULL, 0, {{SAMPLE_FLOAT, {0, {0}}, 0, 0}}, NULL, NULL, false, 0},
    /* clang-format on */
};
