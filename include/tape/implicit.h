/* Derivatives of what was found by solving: by one linear solve at the solution, not through the solver's steps. */
#ifndef TAPE_IMPLICIT_H
#define TAPE_IMPLICIT_H

#include "tape/tape.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tape_implicit_options {
    bool fixed_point; /* fn gives g(x, theta), and the solution is that of x = g(x, theta) */
    int64_t dense;    /* unknowns up to which the Jacobian is made and factored; 0: 64. More: GMRES, without a matrix */
    double tolerance; /* of GMRES: residual relative to the right-hand side; 0: 1e-12, or 1e-6 for f32 */
    int64_t iterations; /* of GMRES at most, a vector-Jacobian product each; 0: twice the unknowns, at least 100 */
} tape_implicit_options;

/*
 * The solution x of f(x, theta) = 0, found by any means (best while recording is paused), as a function of theta: a
 * copy of `solution` whose derivative is that of the equation.
 *
 *     y = tape_implicit(f, user, solution, theta, n, NULL);
 *
 * fn gets x[0], the unknown, and x[1..n], the thetas, and returns the residual, of the unknown's shape and dtype. It
 * runs as in tape_checkpoint() (tape/recompute.h): leaves and older tensors that it reads besides get their gradients
 * too, and it and `user` must stay until the records end. That the residual is small is not checked.
 *
 * d: -(df/dx)^-1 df/dtheta, of any order and in forward mode. Where df/dx is singular the gradient is not finite, or
 * GMRES does not converge: TAPE_ERROR_STATE. (GMRES: Y. Saad, M. Schultz, SIAM J. Sci. Stat. Comput. 7 (1986) 856-869.)
 */
TAPE_API tape_tensor tape_implicit(tape_function *fn, void *user, tape_tensor solution, const tape_tensor *theta, int n,
                                   const tape_implicit_options *options);

#ifdef __cplusplus
}
#endif

#endif
