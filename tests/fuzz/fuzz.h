/* A user who feeds the library nonsense: one pseudo-random session of calls per seed, the same every time. */
#ifndef TAPE_TESTS_FUZZ_H
#define TAPE_TESTS_FUZZ_H

#include "tape/autodiff.h"
#include "tape/custom.h"
#include "tape/gradcheck.h"

enum { FUZZ_POOL = 48, FUZZ_LEAVES = 24, FUZZ_MARKS = 8, FUZZ_LARGEST = 1 << 16 };

/* An allocator that counts what lives and refuses about one call of `refuse_one_in`; 0: none. */
struct fuzz_memory {
    uint64_t random;
    int refuse_one_in;
    int64_t live, bytes;
};

/* All that one session remembers. Handles stay in the pool when what they name has ended. */
struct fuzz {
    uint64_t seed, random;
    const char *doing; /* for messages */
    int step;
    tape *own, *other;
    struct fuzz_memory memory;
    tape_tensor pool[FUZZ_POOL], leaf[FUZZ_LEAVES];
    tape_position mark[FUZZ_MARKS];
    int depth; /* of misbehaving callbacks that run */
    tape_custom_op op[3];
};

/* The arguments of one call, drawn before it, so that no compiler's order of evaluation changes the session. */
struct fuzz_args {
    tape_tensor x, y, z, list[4];
    int n;
    int axis, other_axis;
    tape_axes axes;
    tape_shape shape;
    tape_dtype dtype;
    int64_t i, j, k;
    double p, q, r;
    bool a, b;
    tape_reduction reduction;
};

/* ---- drawing ----------------------------------------------------------------------------------------------------- */

uint64_t fuzz_bits(struct fuzz *f);
int fuzz_below(struct fuzz *f, int n); /* 0 ... n - 1 */
bool fuzz_chance(struct fuzz *f, int one_in);
int64_t fuzz_integer(struct fuzz *f);
double fuzz_number(struct fuzz *f);
tape_dtype fuzz_dtype(struct fuzz *f);
tape_shape fuzz_shape(struct fuzz *f);
tape_tensor fuzz_handle(struct fuzz *f);
void fuzz_draw(struct fuzz *f, struct fuzz_args *a);

/* Put a result where later calls find it, after looking at it: a tensor or an error, never both, never neither. */
void fuzz_take(struct fuzz *f, tape_tensor y);

/* A leaf or a constant of n elements of nonsense, or of moderate numbers; null where the shape is none. */
tape_tensor fuzz_make(struct fuzz *f, bool leaf, bool gradient);

tape_allocator fuzz_allocator;

/* ---- one step ---------------------------------------------------------------------------------------------------- */

/* Call an op of any family. */
void fuzz_call(struct fuzz *f);

/* Do something else to the tape: make, free, write, mark, rewind, differentiate, ... */
void fuzz_act(struct fuzz *f);

/* ---- whole sessions ---------------------------------------------------------------------------------------------- */

/* Complains (tests/support/table.h) about everything that is wrong. */
void fuzz_session(uint64_t seed, int steps);

/* Derivatives of a random program agree with numeric ones, between modes, and with themselves when memory fails. */
void fuzz_gradients(uint64_t seed);

#endif
