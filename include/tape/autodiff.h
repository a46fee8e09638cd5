/*
 * More derivatives of what is on the tape: products with Jacobians and Hessians from either side, and whole ones.
 *
 * All of them take recorded tensors, as tape_grad() does: xs are leaves with gradient or intermediates that depend on
 * some, ys what was computed from them. Nothing is accumulated into leaves and their hooks are not called. Results are
 * arena tensors. With options->create_graph they are recorded and can be differentiated again; else everything but the
 * results is dropped from the tape. `options` may be NULL. In a callback they cover what the callback recorded.
 */
#ifndef TAPE_AUTODIFF_H
#define TAPE_AUTODIFF_H

#include "tape/tape.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Forward mode: out[i] = sum_j d ys[i] / d xs[j] . tangents[j], in one pass over the records from the xs to the ys.
 * tangents[j] has xs[j]'s shape and dtype, or is TAPE_NONE: zero. out[i] is TAPE_NONE where nothing connects.
 *
 * The same rules as backward: elementwise ops by the same formulas, linear ops by themselves, the others from their VJP
 * (which is linear in the cotangent, so that its derivative is the JVP: two reverse steps over one record). At kinks
 * the same policy holds; a product is 0 where either the derivative or the tangent is. A user's op without a rule of
 * its own and with a first-order VJP has no forward mode: TAPE_ERROR_UNSUPPORTED.
 */
TAPE_API tape_status tape_jvp(const tape_tensor *ys, int n, const tape_tensor *xs, int m, const tape_tensor *tangents,
                              const tape_grad_options *options, tape_tensor *out);

#ifdef __cplusplus
}
#endif

#endif
