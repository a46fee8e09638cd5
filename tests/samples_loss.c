/* Samples of the losses. */
#include <math.h>

#include "ops/loss.h"
#include "support/samples.h"

/* ---- losses of elements ------------------------------------------------------------------------------------------ */

enum { ROWS = 3, COLUMNS = 4, ELEMENTS = ROWS * COLUMNS };

/* The loss of one element: prediction, target, and what a sample may add. */
typedef double element_loss(double x, double t, double extra);

/* How many results there are, and how they come about. */
static void collect(tape_reduction reduction, int n, const double *losses, double *y)
{
    double sum = 0;
    for (int i = 0; i < n; i++) {
        sum += losses[i];
        if (reduction == TAPE_REDUCE_NONE)
            y[i] = losses[i];
    }
    if (reduction != TAPE_REDUCE_NONE)
        y[0] = reduction == TAPE_REDUCE_SUM ? sum : sum / n;
}

static void of_elements(const double *const *x, element_loss *loss, double extra, tape_reduction reduction, double *y)
{
    double losses[ELEMENTS];
    for (int i = 0; i < ELEMENTS; i++)
        losses[i] = loss(x[0][i], x[1][i], extra);
    collect(reduction, ELEMENTS, losses, y);
}

static double squared(double x, double t, double unused)
{
    (void)unused;
    return (x - t) * (x - t);
}

static double absolute(double x, double t, double unused)
{
    (void)unused;
    return fabs(x - t);
}

static double huber(double x, double t, double delta)
{
    double e = fabs(x - t);
    return e < delta ? e * e / 2 : delta * (e - delta / 2);
}

static double smooth(double x, double t, double beta)
{
    double e = fabs(x - t);
    return e < beta ? e * e / (2 * beta) : e - beta / 2;
}

static double binary(double x, double t, double unused)
{
    (void)unused;
    return -(t * log(x) + (1 - t) * log(1 - x));
}

static double binary_of_logits(double x, double t, double positive)
{
    double p = 1 / (1 + exp(-x));
    return -(positive * t * log(p) + (1 - t) * log(1 - p));
}

static double divergence(double x, double t, double unused)
{
    (void)unused;
    return t * (log(t) - x);
}

static double log_divergence(double x, double t, double unused)
{
    (void)unused;
    return exp(t) * (t - x);
}

static double hinged(double x, double t, double margin)
{
    return fmax(0, margin - x * t);
}

static double poisson(double x, double t, double eps)
{
    return x - t * log(x + eps);
}

static double log_poisson(double x, double t, double stirling)
{
    return exp(x) - t * x + stirling * (t * log(t) - t + log(2 * 3.14159265358979323846 * t) / 2);
}

/* Predictions below, targets above or the other way round, so that no sample comes near a kink. */
#define ELEMENT_LOSSES(LOSS)                                                                                           \
    LOSS(mse, mean, -2, 2, -2, 2, squared, 0, MEAN, tape_mse(x[0], x[1], TAPE_REDUCE_MEAN))                            \
    LOSS(mse, none, -2, 2, -2, 2, squared, 0, NONE, tape_mse(x[0], x[1], TAPE_REDUCE_NONE))                            \
    LOSS(l1, mean, -2, -0.3, 0.3, 2, absolute, 0, MEAN, tape_l1(x[0], x[1], TAPE_REDUCE_MEAN))                         \
    LOSS(l1, sum, 0.3, 2, -2, -0.3, absolute, 0, SUM, tape_l1(x[0], x[1], TAPE_REDUCE_SUM))                            \
    LOSS(huber, inside, -0.5, 0.5, -0.5, 0.5, huber, 1.5, MEAN, tape_huber(x[0], x[1], 1.5, TAPE_REDUCE_MEAN))         \
    LOSS(huber, outside, -3, -2, 0, 1, huber, 1.5, SUM, tape_huber(x[0], x[1], 1.5, TAPE_REDUCE_SUM))                  \
    LOSS(smooth_l1, inside, -0.5, 0.5, -0.5, 0.5, smooth, 1.5, NONE,                                                   \
         tape_smooth_l1(x[0], x[1], 1.5, TAPE_REDUCE_NONE))                                                            \
    LOSS(smooth_l1, outside, 2, 3, -1, 0, smooth, 1.5, MEAN, tape_smooth_l1(x[0], x[1], 1.5, TAPE_REDUCE_MEAN))        \
    LOSS(smooth_l1, beta_0, 2, 3, -1, 0, absolute, 0, MEAN, tape_smooth_l1(x[0], x[1], 0, TAPE_REDUCE_MEAN))           \
    LOSS(bce, mean, 0.1, 0.9, 0.1, 0.9, binary, 0, MEAN, tape_bce(x[0], x[1], NULL))                                   \
    LOSS(bce_with_logits, mean, -2, 2, 0.1, 0.9, binary_of_logits, 1, MEAN, tape_bce_with_logits(x[0], x[1], NULL))    \
    LOSS(bce_with_logits, positive, -2, 2, 0.1, 0.9, binary_of_logits, 2.5, SUM, positive_twice_and_half(x))           \
    LOSS(kl_div, mean, -2, -0.1, 0.1, 0.9, divergence, 0, MEAN, tape_kl_div(x[0], x[1], false, TAPE_REDUCE_MEAN))      \
    LOSS(kl_div, logarithms, -2, 0, -2, 0, log_divergence, 0, SUM, tape_kl_div(x[0], x[1], true, TAPE_REDUCE_SUM))     \
    LOSS(hinge, wrong, -2, -0.3, 0.3, 2, hinged, 1.5, SUM, tape_hinge(x[0], x[1], 1.5, TAPE_REDUCE_SUM))               \
    LOSS(hinge, right, 1.5, 2, 1.5, 2, hinged, 1.5, MEAN, tape_hinge(x[0], x[1], 1.5, TAPE_REDUCE_MEAN))               \
    LOSS(poisson_nll, logarithms, -2, 2, 0, 3, log_poisson, 0, MEAN, tape_poisson_nll(x[0], x[1], NULL))               \
    LOSS(poisson_nll, full, -2, 2, 1.1, 3, log_poisson, 1, SUM, poisson_full(x))                                       \
    LOSS(poisson_nll, rates, 0.3, 2, 0, 3, poisson, 0.1, NONE, poisson_of_rates(x))

static tape_tensor positive_twice_and_half(const tape_tensor *x)
{
    tape_tensor positive = tape_scalar(tape_dtype_of(x[0]), 2.5);
    tape_bce_options options = {.reduction = TAPE_REDUCE_SUM, .pos_weight = &positive};
    return tape_bce_with_logits(x[0], x[1], &options);
}

static tape_tensor poisson_full(const tape_tensor *x)
{
    tape_poisson_nll_options options = {.reduction = TAPE_REDUCE_SUM, .full = true};
    return tape_poisson_nll(x[0], x[1], &options);
}

static tape_tensor poisson_of_rates(const tape_tensor *x)
{
    tape_poisson_nll_options options = {.reduction = TAPE_REDUCE_NONE, .rate = true, .eps = 0.1};
    return tape_poisson_nll(x[0], x[1], &options);
}

#define LOSS_FUNCTIONS(op, label, low, high, from, to, loss, extra, reduction, call)                                   \
    SAMPLE_FUNCTIONS(op, label, call, of_elements(x, loss, extra, TAPE_REDUCE_##reduction, y))
ELEMENT_LOSSES(LOSS_FUNCTIONS)

static tape_tensor bce_weighted(const tape_tensor *x)
{
    tape_bce_options options = {.weight = &x[2]};
    return tape_bce(x[0], x[1], &options);
}

static void bce_weighted_reference(const double *const *x, double *y)
{
    double losses[ELEMENTS];
    for (int i = 0; i < ELEMENTS; i++)
        losses[i] = x[2][i % COLUMNS] * binary(x[0][i], x[1][i], 0);
    collect(TAPE_REDUCE_MEAN, ELEMENTS, losses, y);
}

static tape_tensor gaussian(const tape_tensor *x)
{
    tape_gaussian_nll_options options = {.full = true};
    return tape_gaussian_nll(x[0], x[1], x[2], &options);
}

static void gaussian_reference(const double *const *x, double *y)
{
    double losses[ELEMENTS];
    for (int i = 0; i < ELEMENTS; i++) {
        double e = x[0][i] - x[1][i], v = x[2][i / COLUMNS];
        losses[i] = -log(exp(-e * e / (2 * v)) / sqrt(2 * 3.14159265358979323846 * v));
    }
    collect(TAPE_REDUCE_MEAN, ELEMENTS, losses, y);
}

static tape_tensor cosine(const tape_tensor *x)
{
    return tape_cosine_similarity(x[0], x[1], -1, 1e-8);
}

static void cosine_reference(const double *const *x, double *y)
{
    for (int i = 0; i < ROWS; i++) {
        double ab = 0, aa = 0, bb = 0;
        for (int k = 0; k < COLUMNS; k++) {
            double a = x[0][i * COLUMNS + k], b = x[1][k];
            ab += a * b;
            aa += a * a;
            bb += b * b;
        }
        y[i] = ab / sqrt(aa * bb);
    }
}

static tape_tensor triplet(const tape_tensor *x)
{
    return tape_triplet(x[0], x[1], x[2], 5, TAPE_REDUCE_NONE);
}

static double distance(const double *a, const double *b)
{
    double sum = 0;
    for (int k = 0; k < COLUMNS; k++)
        sum += (a[k] - b[k] + 1e-6) * (a[k] - b[k] + 1e-6);
    return sqrt(sum);
}

static void triplet_reference(const double *const *x, double *y)
{
    for (int i = 0; i < ROWS; i++) {
        const double *a = x[0] + i * COLUMNS;
        y[i] = fmax(0, 5 + distance(a, x[1] + i * COLUMNS) - distance(a, x[2] + i * COLUMNS));
    }
}

/* ---- losses over classes ----------------------------------------------------------------------------------------- */

/* x: [N, CLASSES, PIXELS]; target: [N, PIXELS]; weight: [CLASSES]. */
enum { N = 2, CLASSES = 4, PIXELS = 3, SAMPLES = N * PIXELS };

struct variant {
    tape_reduction reduction;
    int ignore; /* -100: none of the classes */
    double smoothing;
    bool weighted;
};

static const struct variant plain = {TAPE_REDUCE_MEAN, -100, 0, false};
static const struct variant each = {TAPE_REDUCE_NONE, -100, 0, false};
static const struct variant everything = {TAPE_REDUCE_MEAN, 1, 0.2, true};
static const struct variant each_of_everything = {TAPE_REDUCE_NONE, 1, 0.2, true};
static const struct variant total = {TAPE_REDUCE_SUM, -100, 0.1, false};

static double weight_of(const struct variant *v, const double *const *x, int class)
{
    return v->weighted ? x[2][class] : 1;
}

/* What class c of pixel i of image n has of the loss, before the mean. */
static double share(const struct variant *v, const double *const *x, int n, int c, int i)
{
    int target = (int)x[1][n * PIXELS + i];
    if (target == v->ignore)
        return 0;
    return ((c == target ? 1 - v->smoothing : 0) + v->smoothing / CLASSES) * weight_of(v, x, c);
}

static double divisor(const struct variant *v, const double *const *x)
{
    double sum = 0;
    for (int i = 0; i < SAMPLES; i++)
        sum += (int)x[1][i] == v->ignore ? 0 : weight_of(v, x, (int)x[1][i]);
    return v->reduction == TAPE_REDUCE_MEAN ? sum : 1;
}

static double logit(const double *const *x, int n, int c, int i)
{
    return x[0][(n * CLASSES + c) * PIXELS + i];
}

static double log_sum(const double *const *x, int n, int i)
{
    double sum = 0;
    for (int c = 0; c < CLASSES; c++)
        sum += exp(logit(x, n, c, i));
    return log(sum);
}

/* Cross entropy, or the negative log likelihood where x holds logarithms already. */
static void of_classes(const struct variant *v, bool logits, const double *const *x, double *y)
{
    double sum = 0;
    for (int n = 0; n < N; n++)
        for (int i = 0; i < PIXELS; i++) {
            double loss = 0;
            for (int c = 0; c < CLASSES; c++)
                loss += share(v, x, n, c, i) * ((logits ? log_sum(x, n, i) : 0) - logit(x, n, c, i));
            sum += loss;
            if (v->reduction == TAPE_REDUCE_NONE)
                y[n * PIXELS + i] = loss;
        }
    if (v->reduction != TAPE_REDUCE_NONE)
        y[0] = sum / divisor(v, x);
}

/* g (softmax(x) sum(q) - q) for a cotangent behind the other inputs, one for all or one a pixel. */
static void backward_of_classes(const struct variant *v, const double *const *x, double *y)
{
    for (int n = 0; n < N; n++)
        for (int i = 0; i < PIXELS; i++) {
            double g = x[v->weighted ? 3 : 2][v->reduction == TAPE_REDUCE_NONE ? n * PIXELS + i : 0], sum = 0;
            for (int c = 0; c < CLASSES; c++)
                sum += share(v, x, n, c, i);
            for (int c = 0; c < CLASSES; c++) {
                double p = exp(logit(x, n, c, i) - log_sum(x, n, i));
                y[(n * CLASSES + c) * PIXELS + i] = g / divisor(v, x) * (p * sum - share(v, x, n, c, i));
            }
        }
}

static void targets_of_classes(const struct variant *v, const double *const *x, double *y)
{
    for (int n = 0; n < N; n++)
        for (int c = 0; c < CLASSES; c++)
            for (int i = 0; i < PIXELS; i++)
                y[(n * CLASSES + c) * PIXELS + i] = share(v, x, n, c, i) / divisor(v, x);
}

static tape_tensor run_cross_entropy(const struct variant *v, const tape_tensor *x)
{
    tape_cross_entropy_options options = {v->reduction, v->ignore >= 0, v->ignore, v->smoothing,
                                          v->weighted ? &x[2] : NULL};
    return tape_cross_entropy(x[0], x[1], &options);
}

static tape_tensor run_nll(const struct variant *v, const tape_tensor *x)
{
    tape_nll_options options = {v->reduction, v->ignore >= 0, v->ignore, v->weighted ? &x[2] : NULL};
    return tape_nll(x[0], x[1], &options);
}

static tape_tensor run_backward(const struct variant *v, const tape_tensor *x)
{
    tape__class_attr attr = {(int32_t)v->reduction, 0, v->ignore, v->smoothing};
    tape_tensor inputs[4] = {x[v->weighted ? 3 : 2], x[0], x[1], x[2]};
    return tape__run(TAPE__OP_cross_entropy_backward, inputs, v->weighted ? 4 : 3, &attr, sizeof attr);
}

static tape_tensor run_targets(const struct variant *v, const tape_tensor *x)
{
    tape__class_attr attr = {(int32_t)v->reduction, 0, v->ignore, v->smoothing};
    return tape__run(TAPE__OP_class_targets, x, v->weighted ? 3 : 2, &attr, sizeof attr);
}

static const struct variant weighted_nll = {TAPE_REDUCE_MEAN, 0, 0, true};

#define LOGITS                                                                                                         \
    {                                                                                                                  \
        SAMPLE_FLOAT, {3, {N, CLASSES, PIXELS}}, -2, 2                                                                 \
    }
#define TARGETS                                                                                                        \
    {                                                                                                                  \
        SAMPLE_INDEX, {2, {N, PIXELS}}, 0, CLASSES                                                                     \
    }
#define WEIGHTS                                                                                                        \
    {                                                                                                                  \
        SAMPLE_FIXED, {1, {CLASSES}}, 0.5, 1.5                                                                         \
    }
#define IN_PLAIN LOGITS, TARGETS
#define IN_WEIGHTED LOGITS, TARGETS, WEIGHTS
#define IN_ONE                                                                                                         \
    LOGITS, TARGETS,                                                                                                   \
    {                                                                                                                  \
        SAMPLE_FLOAT, {0, {0}}, 0.5, 1.5                                                                               \
    }
#define IN_EACH                                                                                                        \
    LOGITS, TARGETS, WEIGHTS,                                                                                          \
    {                                                                                                                  \
        SAMPLE_FLOAT, {2, {N, PIXELS}}, -2, 2                                                                          \
    }

/* CLASS(op, label, inputs, number of inputs, no derivative, call, reference) */
#define CLASS_LOSSES(CLASS)                                                                                            \
    CLASS(cross_entropy, plain, IN_PLAIN, 2, false, run_cross_entropy(&plain, x), of_classes(&plain, true, x, y))      \
    CLASS(cross_entropy, each, IN_PLAIN, 2, false, run_cross_entropy(&each, x), of_classes(&each, true, x, y))         \
    CLASS(cross_entropy, total, IN_PLAIN, 2, false, run_cross_entropy(&total, x), of_classes(&total, true, x, y))      \
    CLASS(cross_entropy, everything, IN_WEIGHTED, 3, false, run_cross_entropy(&everything, x),                         \
          of_classes(&everything, true, x, y))                                                                         \
    CLASS(cross_entropy, each_of_everything, IN_WEIGHTED, 3, false, run_cross_entropy(&each_of_everything, x),         \
          of_classes(&each_of_everything, true, x, y))                                                                 \
    CLASS(cross_entropy_backward, plain, IN_ONE, 3, false, run_backward(&plain, x), backward_of_classes(&plain, x, y)) \
    CLASS(cross_entropy_backward, everything, IN_EACH, 4, false, run_backward(&each_of_everything, x),                 \
          backward_of_classes(&each_of_everything, x, y))                                                              \
    CLASS(class_targets, everything, IN_WEIGHTED, 3, true, run_targets(&everything, x),                                \
          targets_of_classes(&everything, x, y))                                                                       \
    CLASS(nll, plain, IN_PLAIN, 2, false, run_nll(&plain, x), of_classes(&plain, false, x, y))                         \
    CLASS(nll, each, IN_PLAIN, 2, false, run_nll(&each, x), of_classes(&each, false, x, y))                            \
    CLASS(nll, weighted, IN_WEIGHTED, 3, false, run_nll(&weighted_nll, x), of_classes(&weighted_nll, false, x, y))

#define CLASS_FUNCTIONS(op, label, inputs, n, none, call, expected) SAMPLE_FUNCTIONS(op, label, call, expected)
CLASS_LOSSES(CLASS_FUNCTIONS)

/* Probabilities as targets: a vector, and a matrix with label smoothing and weights. */
static tape_tensor cross_entropy_vector(const tape_tensor *x)
{
    return tape_cross_entropy(x[0], x[1], NULL);
}

static void cross_entropy_vector_reference(const double *const *x, double *y)
{
    double sum = 0;
    y[0] = 0;
    for (int c = 0; c < 5; c++)
        sum += exp(x[0][c]);
    for (int c = 0; c < 5; c++)
        y[0] += x[1][c] * (log(sum) - x[0][c]);
}

static tape_tensor cross_entropy_probabilities(const tape_tensor *x)
{
    tape_cross_entropy_options options = {.label_smoothing = 0.3, .weight = &x[2]};
    return tape_cross_entropy(x[0], x[1], &options);
}

static void cross_entropy_probabilities_reference(const double *const *x, double *y)
{
    y[0] = 0;
    for (int n = 0; n < N; n++)
        for (int i = 0; i < PIXELS; i++)
            for (int c = 0; c < CLASSES; c++) {
                double q = 0.7 * x[1][(n * CLASSES + c) * PIXELS + i] + 0.3 / CLASSES;
                y[0] += x[2][c] * q * (log_sum(x, n, i) - logit(x, n, c, i)) / SAMPLES;
            }
}

/* ---- the samples ------------------------------------------------------------------------------------------------- */

#define LOSS_ENTRY(op, label, low, high, from, to, loss, extra, reduction, call)                                       \
    {#op,                                                                                                              \
     #label,                                                                                                           \
     2,                                                                                                                \
     {{SAMPLE_FLOAT, {2, {ROWS, COLUMNS}}, low, high}, {SAMPLE_FLOAT, {2, {ROWS, COLUMNS}}, from, to}},                \
     op##_##label,                                                                                                     \
     op##_##label##_reference,                                                                                         \
     false,                                                                                                            \
     0},
#define CLASS_ENTRY(op, label, inputs, n, none, call, expected)                                                        \
    {#op, #label, n, {inputs}, op##_##label, op##_##label##_reference, none, 0},
#define PROBABILITIES                                                                                                  \
    {                                                                                                                  \
        SAMPLE_FLOAT, {2, {ROWS, COLUMNS}}, 0.1, 0.9                                                                   \
    }
#define VECTOR                                                                                                         \
    {                                                                                                                  \
        SAMPLE_FLOAT, {1, {5}}, 0.1, 0.9                                                                               \
    }
#define MATRIX                                                                                                         \
    {                                                                                                                  \
        SAMPLE_FLOAT, {2, {ROWS, COLUMNS}}, -2, 2                                                                      \
    }

const struct sample samples_loss[] = {
    /* clang-format off */
    ELEMENT_LOSSES(LOSS_ENTRY)
    CLASS_LOSSES(CLASS_ENTRY)
    {"bce", "weighted", 3, {PROBABILITIES, PROBABILITIES, {SAMPLE_FLOAT, {1, {COLUMNS}}, 0.5, 1.5}}, bce_weighted,
     bce_weighted_reference, false, 0},
    {"cross_entropy", "vector", 2, {VECTOR, VECTOR}, cross_entropy_vector, cross_entropy_vector_reference, false, 0},
    {"cross_entropy", "probabilities", 3, {LOGITS, LOGITS, WEIGHTS}, cross_entropy_probabilities,
     cross_entropy_probabilities_reference, false, 0},
    {"gaussian_nll", "full", 3, {MATRIX, MATRIX, {SAMPLE_FLOAT, {2, {ROWS, 1}}, 0.3, 2}}, gaussian, gaussian_reference,
     false, 0},
    {"cosine_similarity", "rows", 2, {MATRIX, {SAMPLE_FLOAT, {1, {COLUMNS}}, 0.3, 2}}, cosine, cosine_reference, false,
     0},
    {"triplet", "rows", 3, {MATRIX, MATRIX, MATRIX}, triplet, triplet_reference, false, 0},
    {NULL, NULL, 0, {{SAMPLE_FLOAT, {0, {0}}, 0, 0}}, NULL, NULL, false, 0},
    /* clang-format on */
};
