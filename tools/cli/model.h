/* The classifier that `tape train` trains: a multi-layer perceptron with ReLU between its layers. */
#ifndef TAPE_CLI_MODEL_H
#define TAPE_CLI_MODEL_H

#include "tape/data.h"
#include "tape/nn.h"
#include "tape/optim.h"

enum { MODEL_MOST_HIDDEN = 8 };

/* Everything that decides how a model reads its input; saved with it. */
typedef struct model_shape {
    tape_dtype dtype;
    tape_shape sample;
    int64_t classes;
    int hidden_count;
    int64_t hidden[MODEL_MOST_HIDDEN];
    double shift, scale; /* of the input: (x - shift) * scale */
} model_shape;

typedef struct model {
    model_shape shape;
    tape_params *params;
    int layers;
    tape_tensor weight[MODEL_MOST_HIDDEN + 1], bias[MODEL_MOST_HIDDEN + 1];
} model;

/* "128" or "256,64" to hidden sizes; false if the text is no such list. */
bool model_parse_hidden(const char *text, model_shape *shape);

/* "64-128-10". */
void model_describe(const model_shape *shape, char *text, size_t size);

/* He-initialised from the tape's generator. */
tape_status model_create(model *m, const model_shape *shape);
void model_destroy(model *m);

/* Scores [n, classes] of x [n, inputs]. */
tape_tensor model_forward(const model *m, tape_tensor x);

/* With its shape as metadata; `optim` may be NULL. */
tape_status model_save(const model *m, const tape_optim *optim, const char *path);

/* The shape alone, and a whole model. */
tape_status model_read_shape(const char *path, model_shape *shape);
tape_status model_load(model *m, const char *path);

#endif
