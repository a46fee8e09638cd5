/*
 * Adjoints during a sweep: who holds them, who shares them, how contributions add up. Does not know any op.
 *
 * The adjoint of a one-element node lives in the node (adj.f64 or adj.f32). Any other is a struct that nodes share by
 * counting: the VJP of add hands its own adjoint on, a reshape hands on a view of it. Only an adjoint that nobody
 * shares, dense and with a block of its own, is added to in place. Any but a small leaf's adjoint that a kernel writes
 * is written where it is to end: into the buffer of the gradient, which is absent until the commit.
 */
#ifndef TAPE__ADJOINT_H
#define TAPE__ADJOINT_H

#include "memo.h"

typedef struct tape__adjoint {
    void *data;
    const tape__layout *layout;
    void *block;                 /* NULL for a view */
    size_t bytes;                /* of the block */
    struct tape__adjoint *owner; /* a view's: whose block it looks into; the free list's link */
    uint32_t refs;
    bool lent;                        /* the caller's memory: whoever keeps it beyond this visit makes a copy */
    tape__leaf *leaf;                 /* whose gradient's buffer `data` is; NULL for any other memory */
    struct tape__adjoint *next_claim; /* the next one of these */
} tape__adjoint;

static inline bool tape__is_single(const tape__node *node)
{
    return node->layout->numel == 1;
}

/* A fresh adjoint with an uninitialised dense block; NULL after an error. */
tape__adjoint *tape__adjoint_new(tape *t, const tape__layout *dense, tape_dtype dtype);

/* An adjoint that takes over `block`, or (block NULL) that looks into `owner`. NULL after an error. */
tape__adjoint *tape__adjoint_wrap(tape *t, void *data, const tape__layout *layout, void *block, size_t bytes,
                                  tape__adjoint *owner);

void tape__adjoint_release(tape *t, tape__adjoint *adjoint);

/* Add `data` (of x's shape and dtype, any strides) to x's adjoint. `holder`, if not NULL, keeps the data alive and may
 * be shared; its reference stays the caller's. */
bool tape__contribute(tape *t, tape__node *x, const void *data, const tape__layout *layout, tape__adjoint *holder);

/* Add the sum of `data` over the axes along which x is stretched to its layout. */
bool tape__contribute_sum(tape *t, tape__node *x, const void *data, const tape__layout *layout);

/* Where a kernel may write x's adjoint itself: dense memory, to be stored to, or (*accumulate) added to. NULL after an
 * error. */
void *tape__adjoint_target(tape *t, tape__node *x, bool *accumulate);

/* Whether the adjoint of a record that is being visited may be overwritten by whoever reads it last. */
bool tape__adjoint_is_spare(const tape *t, const tape__adjoint *g);

/* Where a kernel may overwrite y's adjoint, which nobody reads after it, with x's, which x does not have yet: the block
 * goes from y to x. NULL where it is shared, or would have to be copied to its end. Of y's layout and dtype. */
void *tape__adjoint_inherit(tape *t, tape__node *y, tape__node *x);

/* x's adjoint as a struct with a reference of its own, made from the node's value for a one-element x. */
tape__adjoint *tape__adjoint_of(tape *t, const tape__node *x);

/* Make the caller's cotangent, which lives until the visit to x, the adjoint that x does not have yet. */
bool tape__adjoint_lend(tape *t, tape__node *x, const void *data, const tape__layout *layout);

/* Adjoints of leaves that were written into the gradients' buffers move to blocks of their own. */
void tape__adjoint_settle(tape *t);

/* x's adjoint, if it has one, is used up. */
static inline void tape__adjoint_drop(tape *t, tape__node *x)
{
    bool release = x->flags & TAPE__HAS_ADJOINT && !tape__is_single(x);
    x->flags &= (uint8_t)~TAPE__HAS_ADJOINT;
    if (release)
        tape__adjoint_release(t, x->adj.adjoint);
}

/*
 * One record of a plain sweep for an op that has a fused VJP: nodes and memory instead of handles, so that a small op
 * costs little more than its arithmetic. A fused VJP reads y's adjoint and adds to those of the inputs that `needs`
 * names, by tape__contribute() and tape__adjoint_target(). It returns false without having changed anything where it
 * does not apply (a layout it does not take, say): then the op's vjp() runs. After an error it returns false too. What
 * it does to memory, it does by tasks (memo.h).
 */
struct tape__fused {
    tape *t;
    tape__node *y;
    uint32_t slot; /* of y */
    int n_in;
    unsigned needs; /* bit i: input i */
    const uint32_t *in;
    const void *attr;
    const void *g; /* y's adjoint */
    const tape__layout *g_layout;
    tape__adjoint *holder; /* keeps it; NULL for a one-element y */
};

/* Input i where its adjoint is wanted, else NULL. */
static inline tape__node *tape__wanted(const tape__fused *f, int i)
{
    return f->needs >> i & 1 ? tape__at(f->t, f->in[i]) : NULL;
}

#endif
