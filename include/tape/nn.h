/*
 * Sets of named parameters, and the initialisers that fill them. Built on tape.h alone.
 *
 * While an error is kept on the tape, every function that can fail does nothing and returns that error, as ops do.
 * A set belongs to one thread at a time. Its bookkeeping comes from the C library's allocator, its leaves from the
 * tape's.
 */
#ifndef TAPE_NN_H
#define TAPE_NN_H

#include "tape/tape.h"

#ifdef __cplusplus
extern "C" {
#endif

/* In options structs 0 means the documented default. To ask for the number 0 itself write TAPE_OFF. */
#define TAPE_OFF (-1.0)

/* ---- parameter sets ---------------------------------------------------------------------------------------------- */

/* An ordered list of named leaves: what an optimiser steps and what a model file holds. */
typedef struct tape_params tape_params;

/* An empty set; NULL and an error if memory is short. */
TAPE_API tape_params *tape_params_create(void);

/* Free the set and the leaves that it owns. NULL is ignored. */
TAPE_API void tape_params_destroy(tape_params *set);

/* Make a zero-filled leaf with gradients (f32 or f64), add it under `name` and return it. The set owns it. */
TAPE_API tape_tensor tape_params_new(tape_params *set, const char *name, tape_dtype dtype, tape_shape shape);

/*
 * Add a leaf that the caller keeps owning; tape_params_own() hands it over, to be freed with the set. Names are for
 * people and files ("layers.0.weight"): UTF-8, copied, 1 to 255 bytes, unique in the set, and not starting with
 * "optim." or "tape.". A leaf that is added again under another name is tied: it is stepped, counted and saved once.
 * Errors: ARGUMENT for a bad or taken name, HANDLE or STATE if `leaf` is not a leaf, DTYPE if it is not f32 or f64.
 */
TAPE_API tape_status tape_params_add(tape_params *set, const char *name, tape_tensor leaf);
TAPE_API tape_status tape_params_own(tape_params *set, tape_tensor leaf);

/* What an optimiser does differently for a group of parameters. */
typedef struct tape_group_options {
    double lr_factor;    /* multiplies the learning rate; 0: 1; TAPE_OFF: 0 */
    double weight_decay; /* 0: the optimiser's; TAPE_OFF: none */
} tape_group_options;

/* Begin a group: leaves added from now on belong to it (a tied leaf to the group of its first name). Before the first
 * call they belong to a group of defaults. ARGUMENT for a number that is neither >= 0 nor TAPE_OFF. */
TAPE_API tape_status tape_params_group(tape_params *set, const tape_group_options *options);

/* The number of names, and entry i of them in the order of adding; NULL or TAPE_NULL if i is out of range. */
TAPE_API int64_t tape_params_count(const tape_params *set);
TAPE_API const char *tape_params_name(const tape_params *set, int64_t i);
TAPE_API tape_tensor tape_params_at(const tape_params *set, int64_t i);

/* The leaf of that name; TAPE_NULL and ARGUMENT if there is none. */
TAPE_API tape_tensor tape_params_get(const tape_params *set, const char *name);

/* Elements in all leaves together, tied ones once. */
TAPE_API int64_t tape_params_numel(const tape_params *set);

/* Make every gradient absent. Touches no gradient memory. */
TAPE_API tape_status tape_params_zero_grad(tape_params *set);

/* ---- initialisers ------------------------------------------------------------------------------------------------ */

/*
 * Each writes a leaf (f32 or f64). Random ones draw once from the tape's generator, so that tape_seed() makes them
 * reproducible, and leave nothing on the tape.
 */
TAPE_API tape_status tape_init_constant(tape_tensor leaf, double value);
TAPE_API tape_status tape_init_zeros(tape_tensor leaf);
TAPE_API tape_status tape_init_uniform(tape_tensor leaf, double low, double high);
TAPE_API tape_status tape_init_normal(tape_tensor leaf, double mean, double std);

/*
 * For weights of shape [out, in, k...]: fan_in = in * k..., fan_out = out * k...; SHAPE for a rank below 2.
 * Xavier: variance gain^2 2 / (fan_in + fan_out), uniform on +-sqrt(3 variance) or normal; gain 0 means 1.
 *   X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010.
 * He: variance 2 / ((1 + slope^2) fan_in) for (leaky) ReLU of that negative slope.
 *   K. He et al., "Delving deep into rectifiers", ICCV 2015.
 */
TAPE_API tape_status tape_init_xavier_uniform(tape_tensor leaf, double gain);
TAPE_API tape_status tape_init_xavier_normal(tape_tensor leaf, double gain);
TAPE_API tape_status tape_init_he_uniform(tape_tensor leaf, double slope);
TAPE_API tape_status tape_init_he_normal(tape_tensor leaf, double slope);

#ifdef __cplusplus
}
#endif
#endif
