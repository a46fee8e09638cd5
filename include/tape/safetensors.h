/*
 * Models in files: the safetensors format (https://github.com/huggingface/safetensors), little-endian.
 *
 * Saving is atomic: the file is replaced as a whole or left as it was. Loading validates the whole file before anything
 * is written, and is all or nothing. Messages begin with the file's name. While an error is kept on the tape, every
 * function that can fail does nothing and returns that error, as ops do.
 */
#ifndef TAPE_SAFETENSORS_H
#define TAPE_SAFETENSORS_H

#include "tape/nn.h"
#include "tape/optim.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- models and training runs ------------------------------------------------------------------------------------ */

/* A string that travels with the tensors: hyper-parameters, class names, ... UTF-8. */
typedef struct tape_metadata {
    const char *key, *value;
} tape_metadata;

/*
 * Save the parameters under their names (a tied one under its first; the others are metadata, name -> first name) and
 * `count` metadata strings. With `optim` (may be NULL) also what a run needs to go on to the bit: the optimiser's state
 * ("optim.exp_avg.layers.0.weight", ...), steps and learning rate, the tape's random generator ("tape.random"), and the
 * metadata key "optim", which is then reserved.
 */
TAPE_API tape_status tape_checkpoint_save(const char *path, const tape_params *set, const tape_optim *optim,
                                          const tape_metadata *metadata, int64_t count);

/*
 * Fill the parameters from a file: each must be there, with its shape and dtype, and nothing that the set does not know
 * (a run's state is skipped if `optim` is NULL). With `optim` the state is restored too and must be complete and of the
 * same kind of optimiser; its other numbers (betas, ...) are the program's. On an error nothing has changed.
 */
TAPE_API tape_status tape_checkpoint_load(const char *path, tape_params *set, tape_optim *optim);

/* ---- files of named tensors -------------------------------------------------------------------------------------- */

typedef struct tape_named {
    const char *name;
    tape_tensor tensor; /* contiguous */
} tape_named;

/* Save n tensors and `count` metadata strings. ARGUMENT for an empty or repeated name, and text that is not UTF-8. */
TAPE_API tape_status tape_safetensors_save(const char *path, const tape_named *tensors, int64_t n,
                                           const tape_metadata *metadata, int64_t count);

/* A file that was read and found valid: every byte of data belongs to exactly one tensor, every dtype is one of tape's
 * (F32 F64 I32 I64 U8), ranks are at most 8. Errors: IO, FORMAT (what and where), UNSUPPORTED (a dtype, a rank). */
typedef struct tape_safetensors tape_safetensors;
TAPE_API tape_safetensors *tape_safetensors_open(const char *path);
TAPE_API void tape_safetensors_close(tape_safetensors *file);

/* Its tensors, in the header's order. i must be in range. Names and data live until close. */
TAPE_API int64_t tape_safetensors_count(const tape_safetensors *file);
TAPE_API const char *tape_safetensors_name(const tape_safetensors *file, int64_t i);
TAPE_API tape_dtype tape_safetensors_dtype(const tape_safetensors *file, int64_t i);
TAPE_API tape_shape tape_safetensors_shape(const tape_safetensors *file, int64_t i);
TAPE_API const void *tape_safetensors_data(const tape_safetensors *file, int64_t i); /* not aligned for its dtype */

/* The index of a name, -1 if it is not there; and a metadata string, NULL if it is not there. */
TAPE_API int64_t tape_safetensors_find(const tape_safetensors *file, const char *name);
TAPE_API const char *tape_safetensors_metadata(const tape_safetensors *file, const char *key);

/* Copy tensor i into a leaf of its shape and dtype, or into a new leaf without gradient. */
TAPE_API tape_status tape_safetensors_read(const tape_safetensors *file, int64_t i, tape_tensor leaf);
TAPE_API tape_tensor tape_safetensors_leaf(const tape_safetensors *file, int64_t i);

#ifdef __cplusplus
}
#endif
#endif
