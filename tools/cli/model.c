/* The multi-layer perceptron: its layers, its file. Knows nothing of training. */
#include "model.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tape/safetensors.h"

enum { WIDEST = 1 << 20, MOST_CLASSES = 65536 };

/* A list of whole numbers within 1..most, separated by commas; the count, or -1. */
static int parse_list(const char *text, int64_t most, int64_t *values, int capacity)
{
    int n = 0;
    for (const char *at = text;; at++) {
        char *end;
        errno = 0;
        long long value = strtoll(at, &end, 10);
        if (end == at || *at < '0' || *at > '9' || errno || value < 1 || value > most || n == capacity)
            return -1;
        values[n++] = value;
        if (!*end)
            return n;
        if (*end != ',')
            return -1;
        at = end;
    }
}

static void print_list(char *text, size_t size, const int64_t *values, int n)
{
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < n && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%" PRId64, i ? "," : "", values[i]);
}

bool model_parse_hidden(const char *text, model_shape *shape)
{
    int n = strcmp(text, "none") == 0 ? 0 : parse_list(text, WIDEST, shape->hidden, MODEL_MOST_HIDDEN);
    if (n >= 0)
        shape->hidden_count = n;
    return n >= 0;
}

static int64_t inputs_of(const model_shape *shape)
{
    int64_t n = 1;
    for (int i = 0; i < shape->sample.rank; i++)
        n *= shape->sample.size[i];
    return n;
}

void model_describe(const model_shape *shape, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "%" PRId64, inputs_of(shape));
    for (int i = 0; i < shape->hidden_count && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "-%" PRId64, shape->hidden[i]);
    if (used < size)
        snprintf(text + used, size - used, "-%" PRId64, shape->classes);
}

tape_status model_create(model *m, const model_shape *shape)
{
    *m = (model){.shape = *shape, .params = tape_params_create(), .layers = shape->hidden_count + 1};
    int64_t in = inputs_of(shape);
    for (int i = 0; i < m->layers; i++) {
        int64_t out = i < shape->hidden_count ? shape->hidden[i] : shape->classes;
        char name[40];
        snprintf(name, sizeof name, "layers.%d.weight", i);
        m->weight[i] = tape_params_new(m->params, name, shape->dtype, TAPE_SHAPE(out, in));
        snprintf(name, sizeof name, "layers.%d.bias", i);
        m->bias[i] = tape_params_new(m->params, name, shape->dtype, TAPE_SHAPE(out));
        tape_init_he_uniform(m->weight[i], 0);
        in = out;
    }
    return tape_last_status();
}

void model_destroy(model *m)
{
    tape_params_destroy(m->params);
    m->params = NULL;
}

tape_tensor model_forward(const model *m, tape_tensor x)
{
    for (int i = 0; i < m->layers; i++) {
        x = tape_linear(x, m->weight[i], m->bias[i]);
        if (i + 1 < m->layers)
            x = tape_relu(x);
    }
    return x;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

tape_status model_save(const model *m, const tape_optim *optim, const char *path)
{
    char hidden[128], sample[128], classes[24], shift[40], scale[40];
    print_list(hidden, sizeof hidden, m->shape.hidden, m->shape.hidden_count);
    print_list(sample, sizeof sample, m->shape.sample.size, m->shape.sample.rank);
    snprintf(classes, sizeof classes, "%" PRId64, m->shape.classes);
    snprintf(shift, sizeof shift, "%.17g", m->shape.shift);
    snprintf(scale, sizeof scale, "%.17g", m->shape.scale);
    const tape_metadata metadata[] = {{"model", "mlp"},     {"dtype", tape_dtype_name(m->shape.dtype)},
                                      {"sample", sample},   {"hidden", m->shape.hidden_count ? hidden : "none"},
                                      {"classes", classes}, {"shift", shift},
                                      {"scale", scale}};
    return tape_checkpoint_save(path, m->params, optim, metadata, sizeof metadata / sizeof *metadata);
}

static bool parse_number(const char *text, double *value)
{
    char *end;
    *value = text ? strtod(text, &end) : 0;
    return text && *text && !*end && *value == *value;
}

static bool read_metadata(const tape_safetensors *file, model_shape *shape)
{
    const char *kind = tape_safetensors_metadata(file, "model"), *dtype = tape_safetensors_metadata(file, "dtype");
    const char *sample = tape_safetensors_metadata(file, "sample"), *hidden = tape_safetensors_metadata(file, "hidden");
    const char *classes = tape_safetensors_metadata(file, "classes");
    if (!kind || strcmp(kind, "mlp") != 0 || !dtype || !sample || !hidden || !classes)
        return false;
    *shape = (model_shape){.dtype = strcmp(dtype, "f64") == 0 ? TAPE_F64 : TAPE_F32};
    shape->sample.rank = parse_list(sample, WIDEST, shape->sample.size, TAPE_MAX_RANK - 1);
    return shape->sample.rank > 0 && inputs_of(shape) <= WIDEST && model_parse_hidden(hidden, shape) &&
           parse_list(classes, MOST_CLASSES, &shape->classes, 1) == 1 &&
           parse_number(tape_safetensors_metadata(file, "shift"), &shape->shift) &&
           parse_number(tape_safetensors_metadata(file, "scale"), &shape->scale);
}

/* The sizes that the metadata promise are really in the file: nothing is allocated for a file that lies. */
static bool holds_layers(const tape_safetensors *file, const model_shape *shape)
{
    int64_t in = inputs_of(shape);
    for (int i = 0; i <= shape->hidden_count; i++) {
        char name[40];
        snprintf(name, sizeof name, "layers.%d.weight", i);
        int64_t at = tape_safetensors_find(file, name);
        int64_t out = i < shape->hidden_count ? shape->hidden[i] : shape->classes;
        tape_shape found = at >= 0 ? tape_safetensors_shape(file, at) : TAPE_SCALAR;
        if (found.rank != 2 || found.size[0] != out || found.size[1] != in)
            return false;
        in = out;
    }
    return true;
}

tape_status model_read_shape(const char *path, model_shape *shape)
{
    tape_safetensors *file = tape_safetensors_open(path);
    if (!file)
        return tape_last_status();
    bool ours = read_metadata(file, shape) && holds_layers(file, shape);
    tape_safetensors_close(file);
    return ours ? TAPE_OK : tape_fail(TAPE_ERROR_FORMAT, "%s: not a model of 'tape train'", path);
}

tape_status model_load(model *m, const char *path)
{
    model_shape shape;
    *m = (model){.params = NULL};
    if (model_read_shape(path, &shape) != TAPE_OK || model_create(m, &shape) != TAPE_OK)
        return tape_last_status();
    return tape_checkpoint_load(path, m->params, NULL);
}
