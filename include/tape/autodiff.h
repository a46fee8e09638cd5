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

/* out[j] = cotangent . d y / d xs[j]: tape_grad() of one y. `cotangent` has y's shape, or is TAPE_NONE for a y of one
 * element: 1. out[j] is TAPE_NONE where nothing connects. */
TAPE_API tape_status tape_vjp(tape_tensor y, tape_tensor cotangent, const tape_tensor *xs, int m,
                              const tape_grad_options *options, tape_tensor *out);

/* out[i] = sum_j d^2 y / d xs[i] d xs[j] . vs[j] for a y of one element, by two reverse sweeps. vs[j] has xs[j]'s shape
 * and dtype, or is TAPE_NONE: zero. out[i] is TAPE_NONE where y does not depend on xs[i], and zeros where it does but
 * its derivative does not vary. */
TAPE_API tape_status tape_hvp(tape_tensor y, const tape_tensor *xs, int m, const tape_tensor *vs,
                              const tape_grad_options *options, tape_tensor *out);

/* How a Jacobian is made: row by row in reverse mode, column by column in forward mode, or as takes fewer sweeps. */
typedef enum tape_jacobian_mode {
    TAPE_JACOBIAN_AUTO = 0,
    TAPE_JACOBIAN_ROWS,
    TAPE_JACOBIAN_COLUMNS
} tape_jacobian_mode;

typedef struct tape_jacobian_options {
    bool create_graph; /* record the result, so that it can be differentiated again */
    /* Axis 0 of y and of x counts samples, and y[b] depends on x[b] alone: all samples share each sweep. What depends
     * on other samples all the same is added in. */
    bool batched;
    tape_jacobian_mode mode;
} tape_jacobian_options;

/*
 * All of d y / d x, of shape [y's sizes, x's sizes] (batched: [samples, y's other sizes, x's other sizes]) and of x's
 * dtype; at most 8 axes. TAPE_NONE where y does not depend on x, null after an error.
 */
TAPE_API tape_tensor tape_jacobian(tape_tensor y, tape_tensor x, const tape_jacobian_options *options);

/* The second derivatives of a y of one element (batched: one for each sample), of shape [x's sizes, x's sizes]
 * (batched: [samples, x's other sizes twice]). TAPE_NONE where y does not depend on x; zeros where only its gradient
 * does not. */
TAPE_API tape_tensor tape_hessian(tape_tensor y, tape_tensor x, const tape_jacobian_options *options);

#ifdef __cplusplus
}
#endif

#endif
