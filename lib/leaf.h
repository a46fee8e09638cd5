/* Leaves: tensors that belong to no tape, the registry that finds them by their handles, and their gradients' locks. */
#ifndef TAPE__LEAF_H
#define TAPE__LEAF_H

#include <stdatomic.h>

#include "shape.h"
#include "tape/tape.h"

/* ---- the registry ------------------------------------------------------------------------------------------------ */

typedef struct tape__leaf {
    _Atomic uint64_t generation; /* 0 while free */
    void *data;
    size_t bytes;
    uint32_t slot;
    uint32_t version;
    uint8_t dtype;
    _Atomic uint8_t requires_grad;
    bool is_gradient; /* belongs to another leaf */
    bool has_gradient;
    atomic_flag lock;                      /* guards the gradient's commit */
    _Atomic(struct tape *) claimed;        /* the tape whose running sweep writes into the absent gradient's buffer */
    _Atomic uintptr_t user;                /* the one tape that has used the leaf: 0 for none, 1 for several */
    _Atomic(struct tape__leaf *) gradient; /* NULL before the first; then the same as long as the leaf lives */
    struct tape__leaf *next_free;
    tape_gradient_hook *hook;
    void *hook_user;
    void *(*allocate)(void *user, void *pointer, size_t old_size, size_t new_size);
    void *allocate_user;
    tape__layout layout; /* dense, not interned */
} tape__leaf;

#define TAPE__FIRST_LEAVES 64u /* in chunk 0; each further chunk holds twice as many as the one before it */
#define TAPE__LEAF_CHUNKS 22u
extern _Atomic(tape__leaf *) tape__leaf_chunks[TAPE__LEAF_CHUNKS];

/* The chunk that a slot lies in: the chunks before it hold 64 less than it does, so that slot + 64 has its size as the
 * highest bit. */
TAPE__INLINE uint32_t tape__leaf_chunk(uint32_t slot)
{
    return 57u - (uint32_t)__builtin_clzll((uint64_t)slot + TAPE__FIRST_LEAVES);
}

TAPE__INLINE tape__leaf *tape__leaf_at(uint32_t slot)
{
    const uint32_t chunk = tape__leaf_chunk(slot);
    tape__leaf *leaves =
        chunk < TAPE__LEAF_CHUNKS ? atomic_load_explicit(&tape__leaf_chunks[chunk], memory_order_acquire) : NULL;
    return leaves ? &leaves[slot + TAPE__FIRST_LEAVES - (TAPE__FIRST_LEAVES << chunk)] : NULL;
}

/* The leaf behind a handle; NULL, without an error, where it is no leaf or has been freed. */
TAPE__INLINE tape__leaf *tape__live_leaf(tape_tensor x)
{
    tape__leaf *leaf = x.flags & TAPE__FLAG_LEAF ? tape__leaf_at(x.slot) : NULL;
    bool alive = leaf && x.generation && atomic_load_explicit(&leaf->generation, memory_order_acquire) == x.generation;
    return TAPE__LIKELY(alive) ? leaf : NULL;
}

/* A tape's memory of which node stands for a leaf, indexed by the leaf's slot. Checked against the node before use. */
typedef struct tape__proxy {
    uint64_t generation;
    tape__leaf *leaf;
    const tape__layout *layout;
    uint32_t node[2]; /* of the leaf frozen, and with gradient: a thawed leaf is again the node that it was */
    uint32_t epoch;   /* the layout table's */
} tape__proxy;

/* Draw a leaf's generation from the process-wide counter. */
uint64_t tape__leaf_generation(void);

void tape__leaves_shutdown(void);

static inline tape_tensor tape__leaf_handle(const tape__leaf *leaf)
{
    tape_tensor x = {atomic_load_explicit(&leaf->generation, memory_order_relaxed), leaf->slot, TAPE__FLAG_LEAF};
    return x;
}

/* ---- gradients --------------------------------------------------------------------------------------------------- */

static inline void tape__leaf_lock(tape__leaf *leaf)
{
    while (atomic_flag_test_and_set_explicit(&leaf->lock, memory_order_acquire))
        ;
}
static inline void tape__leaf_unlock(tape__leaf *leaf)
{
    atomic_flag_clear_explicit(&leaf->lock, memory_order_release);
}

static inline tape__leaf *tape__leaf_gradient(const tape__leaf *leaf)
{
    return atomic_load_explicit(&leaf->gradient, memory_order_acquire);
}

/* Make the buffer of the leaf's gradient if it has none yet. False when memory is short. */
bool tape__leaf_make_gradient(tape__leaf *leaf);
static inline bool tape__leaf_gradient_buffer(tape__leaf *leaf)
{
    return TAPE__LIKELY(tape__leaf_gradient(leaf) != NULL) || tape__leaf_make_gradient(leaf);
}

/* The buffer of the leaf's gradient for a sweep of `t` to write into before it commits, which nobody can then read;
 * NULL where another tape or a record of this one may want it. Given back by tape__leaf_unclaim(). */
void *tape__leaf_claim(tape *t, tape__leaf *leaf);
void tape__leaf_unclaim(tape__leaf *leaf);

/* The lock, which the caller has, once no other tape's sweep writes into the gradient's buffer. */
void tape__leaf_wait_for(const tape *t, tape__leaf *leaf);
TAPE__INLINE void tape__leaf_lock_gradient(const tape *t, tape__leaf *leaf)
{
    tape__leaf_lock(leaf);
    const struct tape *owner = atomic_load(&leaf->claimed);
    if (TAPE__UNLIKELY(owner != NULL && owner != t))
        tape__leaf_wait_for(t, leaf);
}

/* Whether the tape has claimed the buffer: what lies there is an adjoint that it has yet to commit. */
static inline bool tape__leaf_is_claimed_by(const tape__leaf *leaf, const tape *t)
{
    return atomic_load_explicit(&leaf->claimed, memory_order_relaxed) == t;
}

#endif
