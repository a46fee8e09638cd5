/* Parameter sets, optimisers and the random generator to and from a file of named tensors: which names they have there,
   and that loading is all or nothing. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kit.h"

/* "optim.max_exp_avg_sq." and a parameter's name. */
enum { NAME_BYTES = 320, RUN_TENSORS = 4 };
#define RUN_STEPS "optim.steps"      /* I64 []: steps of the optimiser */
#define RUN_PARAM_STEPS "optim.step" /* I64 [parameters]: steps of each */
#define RUN_LR "optim.lr"            /* F64 [] */
#define RUN_RANDOM "tape.random"     /* I64 [2]: seed and counter */
#define RUN_KIND "optim"             /* metadata: the optimiser's name */

static void state_name(const tape_optim *o, int64_t p, int k, char name[NAME_BYTES])
{
    snprintf(name, NAME_BYTES, "optim.%s.%s", tape__optim_state_name(o, k), tape__params_first_name(o->set, p));
}

static bool is_run_state(const char *name)
{
    return strncmp(name, "optim.", 6) == 0 || strncmp(name, "tape.", 5) == 0;
}

/* ---- saving ------------------------------------------------------------------------------------------------------ */

/* Everything that goes into the file, and the memory that it takes. */
struct bundle {
    tape_named *tensor;
    tape_metadata *metadata;
    int64_t count, metadata_count;
    char (*name)[NAME_BYTES]; /* of states */
    tape_tensor run[RUN_TENSORS];
};

static void put(struct bundle *b, const char *name, tape_tensor tensor)
{
    b->tensor[b->count++] = (tape_named){name, tensor};
}

static void put_params(struct bundle *b, const tape_params *set)
{
    for (int64_t i = 0; i < set->name_count; i++) {
        const struct tape__param_name *name = &set->name[i];
        const char *first = tape__params_first_name(set, name->param);
        if (first == name->name)
            put(b, name->name, set->leaf[name->param]);
        else
            b->metadata[b->metadata_count++] = (tape_metadata){name->name, first};
    }
}

static void put_optim(struct bundle *b, const tape_optim *o)
{
    tape_random_state random = tape_random_get();
    int64_t words[2] = {(int64_t)random.seed, (int64_t)random.counter};
    b->run[0] = tape_const(TAPE_I64, TAPE_SCALAR, &o->steps);
    b->run[1] = tape_const(TAPE_I64, TAPE_SHAPE(o->params), o->step);
    b->run[2] = tape_const(TAPE_F64, TAPE_SCALAR, &o->numbers.lr);
    b->run[3] = tape_const(TAPE_I64, TAPE_SHAPE(2), words);
    static const char *const names[RUN_TENSORS] = {RUN_STEPS, RUN_PARAM_STEPS, RUN_LR, RUN_RANDOM};
    for (int i = 0; i < RUN_TENSORS; i++)
        put(b, names[i], b->run[i]);
    for (int64_t p = 0; p < o->params; p++)
        for (int k = 0; k < TAPE__OPTIM_STATES; k++)
            if (tape__optim_state_name(o, k)) {
                char *name = b->name[p * TAPE__OPTIM_STATES + k];
                state_name(o, p, k, name);
                put(b, name, o->state[p * TAPE__OPTIM_STATES + k]);
            }
    b->metadata[b->metadata_count++] = (tape_metadata){RUN_KIND, tape__optim_name(o->kind)};
}

static tape_status make_bundle(struct bundle *b, const tape_params *set, const tape_optim *o, int64_t metadata)
{
    int64_t states = o ? o->params * TAPE__OPTIM_STATES : 0;
    *b = (struct bundle){.run = {TAPE_NONE, TAPE_NONE, TAPE_NONE, TAPE_NONE}};
    b->tensor = tape__grow(NULL, set->name_count + RUN_TENSORS + states, sizeof *b->tensor);
    b->metadata = tape__grow(NULL, metadata + set->name_count + 1, sizeof *b->metadata);
    b->name = tape__grow(NULL, states, sizeof *b->name);
    return b->tensor && b->metadata && b->name ? TAPE_OK : TAPE_ERROR_MEMORY;
}

static void free_bundle(struct bundle *b)
{
    for (int i = 0; i < RUN_TENSORS; i++)
        tape_free(b->run[i]);
    free(b->tensor);
    free(b->metadata);
    free(b->name);
}

static tape_status check_pair(const char *path, const tape_params *set, const tape_optim *o)
{
    tape_status status = tape__params_check(set);
    if (status != TAPE_OK)
        return status;
    if (!path)
        return tape_fail(TAPE_ERROR_ARGUMENT, "checkpoint: expects a file name, got NULL");
    if (o && (o->set != set || o->params != set->param_count))
        return tape_fail(TAPE_ERROR_ARGUMENT, "%s: the optimiser was made for another set of parameters",
                         TAPE__PATH(path));
    return TAPE_OK;
}

tape_status tape_checkpoint_save(const char *path, const tape_params *set, const tape_optim *optim,
                                 const tape_metadata *metadata, int64_t count)
{
    struct bundle bundle;
    tape_status status = check_pair(path, set, optim);
    if (status == TAPE_OK && count < 0)
        status = tape_fail(TAPE_ERROR_ARGUMENT, "checkpoint_save: expects a count >= 0, got %lld", (long long)count);
    if (status != TAPE_OK)
        return status;
    status = make_bundle(&bundle, set, optim, count);
    if (status == TAPE_OK) {
        for (int64_t i = 0; i < count; i++)
            bundle.metadata[bundle.metadata_count++] = metadata[i];
        put_params(&bundle, set);
        if (optim)
            put_optim(&bundle, optim);
        status = tape_safetensors_save(path, bundle.tensor, bundle.count, bundle.metadata, bundle.metadata_count);
    }
    free_bundle(&bundle);
    return status;
}

/* ---- checking before loading ------------------------------------------------------------------------------------- */

/* The tensor `name` with this dtype and shape; -1 after an error. */
static int64_t require(const tape_safetensors *file, const char *name, tape_dtype dtype, tape_shape shape)
{
    int64_t i = tape_safetensors_find(file, name);
    if (i < 0)
        tape_fail(TAPE_ERROR_FORMAT, "%s: tensor \"%s\" is missing", TAPE__PATH(file->path),
                  tape__shown_text(name, strlen(name)).text);
    else if (tape__st_check(file, i, dtype, shape) == TAPE_OK)
        return i;
    return -1;
}

/* Where in the file leaf p is: under the first of its names that is there. */
static int64_t require_param(const tape_safetensors *file, const tape_params *set, int64_t p)
{
    tape_tensor leaf = set->leaf[p];
    for (int64_t i = 0; i < set->name_count; i++)
        if (set->name[i].param == p && tape_safetensors_find(file, set->name[i].name) >= 0)
            return require(file, set->name[i].name, tape_dtype_of(leaf), tape_shape_of(leaf));
    return require(file, tape__params_first_name(set, p), tape_dtype_of(leaf), tape_shape_of(leaf));
}

static bool is_known(const tape_params *set, const char *name)
{
    for (int64_t i = 0; i < set->name_count; i++)
        if (strcmp(set->name[i].name, name) == 0)
            return true;
    return is_run_state(name);
}

static tape_status check_params(const tape_safetensors *file, const tape_params *set)
{
    for (int64_t p = 0; p < set->param_count; p++)
        if (require_param(file, set, p) < 0)
            return tape_last_status();
    for (int64_t i = 0; i < file->count; i++)
        if (!is_known(set, file->entry[i].name))
            return tape_fail(TAPE_ERROR_FORMAT, "%s: tensor \"%s\" is not one of the model's", TAPE__PATH(file->path),
                             tape__shown_text(file->entry[i].name, strlen(file->entry[i].name)).text);
    return TAPE_OK;
}

static void copy_out(const tape_safetensors *file, const char *name, void *out)
{
    const struct tape__st_entry *entry = &file->entry[tape_safetensors_find(file, name)];
    memcpy(out, file->data + entry->begin, (size_t)(entry->end - entry->begin));
}

/* Numbers that no run can have reached would poison the steps to come. */
static tape_status check_numbers(const tape_safetensors *file, const tape_optim *o)
{
    double lr;
    int64_t steps, step, i = tape_safetensors_find(file, RUN_PARAM_STEPS);
    copy_out(file, RUN_LR, &lr);
    copy_out(file, RUN_STEPS, &steps);
    bool valid = lr >= 0 && isfinite(lr) && steps >= 0;
    for (int64_t p = 0; p < o->params; p++) {
        memcpy(&step, file->data + file->entry[i].begin + p * (int64_t)sizeof step, sizeof step);
        valid = valid && step >= 0;
    }
    if (valid)
        return TAPE_OK;
    return tape_fail(TAPE_ERROR_FORMAT, "%s: holds a learning rate or a number of steps that is out of range",
                     TAPE__PATH(file->path));
}

static tape_status check_optim(const tape_safetensors *file, const tape_optim *o)
{
    const char *kind = tape_safetensors_metadata(file, RUN_KIND);
    if (!kind)
        return tape_fail(TAPE_ERROR_FORMAT, "%s: holds a model, but no optimiser's state", TAPE__PATH(file->path));
    if (strcmp(kind, tape__optim_name(o->kind)) != 0)
        return tape_fail(TAPE_ERROR_FORMAT, "%s: holds the state of %s, expected %s", TAPE__PATH(file->path),
                         tape__shown_text(kind, strlen(kind)).text, tape__optim_name(o->kind));
    if (require(file, RUN_STEPS, TAPE_I64, TAPE_SCALAR) < 0 ||
        require(file, RUN_PARAM_STEPS, TAPE_I64, TAPE_SHAPE(o->params)) < 0 ||
        require(file, RUN_LR, TAPE_F64, TAPE_SCALAR) < 0 || require(file, RUN_RANDOM, TAPE_I64, TAPE_SHAPE(2)) < 0)
        return tape_last_status();
    for (int64_t i = 0; i < o->params * TAPE__OPTIM_STATES; i++) {
        char name[NAME_BYTES];
        if (tape_is_none(o->state[i]))
            continue;
        state_name(o, i / TAPE__OPTIM_STATES, (int)(i % TAPE__OPTIM_STATES), name);
        if (require(file, name, tape_dtype_of(o->state[i]), tape_shape_of(o->state[i])) < 0)
            return tape_last_status();
    }
    return check_numbers(file, o);
}

/* ---- loading ----------------------------------------------------------------------------------------------------- */

static void load_params(const tape_safetensors *file, tape_params *set)
{
    for (int64_t p = 0; p < set->param_count; p++)
        tape_safetensors_read(file, require_param(file, set, p), set->leaf[p]);
}

static void load_optim(const tape_safetensors *file, tape_optim *o)
{
    int64_t words[2];
    copy_out(file, RUN_STEPS, &o->steps);
    copy_out(file, RUN_PARAM_STEPS, o->step);
    copy_out(file, RUN_LR, &o->numbers.lr);
    copy_out(file, RUN_RANDOM, words);
    tape_random_set((tape_random_state){(uint64_t)words[0], (uint64_t)words[1]});
    for (int64_t i = 0; i < o->params * TAPE__OPTIM_STATES; i++) {
        char name[NAME_BYTES];
        if (tape_is_none(o->state[i]))
            continue;
        state_name(o, i / TAPE__OPTIM_STATES, (int)(i % TAPE__OPTIM_STATES), name);
        tape_safetensors_read(file, tape_safetensors_find(file, name), o->state[i]);
    }
}

tape_status tape_checkpoint_load(const char *path, tape_params *set, tape_optim *optim)
{
    tape_status status = check_pair(path, set, optim);
    if (status != TAPE_OK)
        return status;
    tape_safetensors *file = tape_safetensors_open(path);
    if (!file)
        return tape_last_status();
    status = check_params(file, set);
    if (status == TAPE_OK && optim)
        status = check_optim(file, optim);
    if (status == TAPE_OK) {
        load_params(file, set);
        if (optim)
            load_optim(file, optim);
        status = tape_last_status();
    }
    tape_safetensors_close(file);
    return status;
}
