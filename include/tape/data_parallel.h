/*
 * Gradients of a batch on several threads, the same to the bit for any number of them and any timing.
 *
 *   // The mean squared error of the examples [shard->begin, shard->end); x and y are leaves.
 *   static tape_tensor loss_of(void *user, const tape_shard *shard)
 *   {
 *       const struct model *m = user;
 *       tape_tensor x = tape_slice(m->x, 0, shard->begin, shard->end, 1);
 *       tape_tensor e = tape_sub(tape_linear(x, m->w, m->b), tape_slice(m->y, 0, shard->begin, shard->end, 1));
 *       return tape_div_scalar(tape_sum(tape_square(e), TAPE_ALL, false), (double)shard->batch);
 *   }
 *   ...
 *   tape_threads(2);
 *   for (int step = 0; step < steps; step++) {
 *       double loss;
 *       if (tape_data_parallel(loss_of, &model, 256, NULL, &loss) != TAPE_OK)
 *           puts(tape_message());
 *       tape_optim_step(optim);
 *       tape_params_zero_grad(params);
 *   }
 */
#ifndef TAPE_DATA_PARALLEL_H
#define TAPE_DATA_PARALLEL_H

#include "tape/tape.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A part of the batch: examples begin to end - 1 of `batch`. Every shard has one at least. */
typedef struct tape_shard {
    int index, count;
    int64_t begin, end, batch;
} tape_shard;

/*
 * The loss of a shard: one element, from leaves and host memory, with ops. The losses of the shards are added up, so a
 * mean over the batch divides by shard->batch.
 *
 * It runs on any thread, several at once, each on a tape of its own: tensors of the caller's tape are foreign there,
 * and what it makes ends with it. It is a callback: tape_backward(), tape_reset() and tape_data_parallel() are errors
 * in it. Leaves may be read but not written or freed. Random ops draw from a stream that the caller's generator and the
 * shard decide. Ops use no further threads.
 */
typedef tape_tensor tape_shard_function(void *user, const tape_shard *shard);

typedef struct tape_data_parallel_options {
    int shards; /* 1 to 256; 0: 8. It decides the order of the sums and the random numbers, so it is part of the result.
                   A batch of fewer examples has as many shards as examples. */
} tape_data_parallel_options;

#define TAPE_SHARDS_MAX 256

/*
 * Add the gradient of the summed losses to every leaf with gradients that they depend on, as tape_backward() does, and
 * put their sum, added in the order of the shards, to *loss (unless NULL; 0 after an error). `options` may be NULL.
 *
 * Shards run on the threads of tape_threads(), or by the tape's parallel_for hook. The gradients of each are kept apart
 * and added in the order of the shards; then gradient hooks of leaves see the whole, on the calling thread, and it is
 * committed. Draws once from the caller's generator, however many threads there are.
 *
 * If shards fail, the error is that of the first in their order, and no gradient has changed. TAPE_ERROR_ARGUMENT for a
 * batch without examples or an impossible number of shards, TAPE_ERROR_STATE inside a callback.
 *
 * The current tape keeps the tapes of the threads (as many as threads; as shards, with a hook) and memory for the
 * gradients of all shards, so that nothing is allocated once each has been used; they have its allocator, which must be
 * thread-safe, each its budget, and no log hook. tape_stats() counts none of them.
 */
TAPE_API tape_status tape_data_parallel(tape_shard_function *fn, void *user, int64_t batch,
                                        const tape_data_parallel_options *options, double *loss);

#ifdef __cplusplus
}
#endif

#endif
