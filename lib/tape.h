/*
 * The tape itself: nodes (a value and the record of how it was made, in one cache line), the running of ops and the
 * errors. Knows how to make and find tensors, not what any op computes nor how gradients flow.
 */
#ifndef TAPE__TAPE_H
#define TAPE__TAPE_H

#include <string.h>

#include "arena.h"
#include "dispatch.h"
#include "leaf.h"
#include "op_index.h"
#include "parallel.h"
#include "plan.h"
#include "shape.h"
#include "tape/table.h"
#include "tape/tape.h"

/* ---- ops as the tape sees them ----------------------------------------------------------------------------------- */

typedef struct tape__call tape__call;
typedef struct tape__vjp tape__vjp;
typedef struct tape__fused tape__fused;

enum tape__op_flags {
    TAPE__NO_GRADIENT = 1,  /* declared as having no derivative: nothing flows through */
    TAPE__LINEAR = 2,       /* linear in its float inputs: the tangent is the op of the tangents */
    TAPE__TAKES_ABSENT = 4, /* the VJP handles absent cotangents of some outputs itself */
    TAPE__COMPOSITE = 8,    /* written with other ops; never recorded under its own name */
    TAPE__SAVES_0 = 16,     /* the VJP reads the value of input 0 ... */
    TAPE__SAVES_1 = 32,
    TAPE__SAVES_2 = 64,
    TAPE__SAVES_3 = 128,
    TAPE__SAVES_OUTPUT = 256, /* ... of its outputs */
    TAPE__RANDOM = 512,       /* draws from the tape's generator */
    TAPE__TAKES_ANY = 15360,  /* a general op of as many tensors as its caller has */
    TAPE__FILLS = 16384,      /* puts a number of its attributes, which may be infinite, into its result */
    TAPE__SAVES_REST = 32768  /* the VJP reads the values of the inputs from 4 on */
};
/* A general op of n tensors, optional ones included; one that does not say takes 1. */
#define TAPE__TAKES(n) (((unsigned)(n) + 1) << 10)
#define TAPE__SAVES(i) ((i) < 4 ? (unsigned)TAPE__SAVES_0 << (i) : (unsigned)TAPE__SAVES_REST)

/* A row of the table, expanded. The names of the fields are the columns of ops.def. */
typedef struct tape__op {
    const char *name;
    uint8_t family; /* enum tape__family in ops/ops.h */
    uint8_t level;
    uint8_t kind;  /* enum tape__op_kind */
    uint8_t arity; /* of an elementwise op; else 0, and the flags say it */
    uint16_t flags;
    int16_t ewise; /* the row of elementwise.def; less than 0: none, see TAPE__MASK_ROW in ops/ops.h */
    bool (*forward)(tape__call *call);
    void (*vjp)(tape__vjp *vjp);
    bool (*fused)(tape__fused *f); /* adjoint.h; may be NULL */
} tape__op;

/* The tensors that an op takes, or TAPE_ARITY_ANY. A record without tape__extra has so many. */
static inline int tape__op_arity(const tape__op *op)
{
    unsigned takes = op->flags & TAPE__TAKES_ANY;
    if (op->arity)
        return op->arity;
    return takes == TAPE__TAKES_ANY ? TAPE_ARITY_ANY : takes ? (int)(takes / TAPE__TAKES(0)) - 1 : 1;
}

/* One running op: what forward() gets. in[i] are the input nodes, out[k] what tape__output() made. */
struct tape__call {
    tape *t;
    const tape__op *op;
    int n_in, n_out;
    struct tape__node **in;
    const uint32_t *in_slot;
    const void *attr;
    size_t attr_size;
    const void *custom; /* of a TAPE__OP_CUSTOM */
    struct tape__node *out[8];
    uint32_t out_slot[8];
    int again; /* > 0: a replay; so many outputs, from again_slot on, are there already */
    uint32_t again_slot;
};

/*
 * One VJP: x are the inputs, y the outputs, gy the cotangents of the outputs (zeros where absent, TAPE_NONE with
 * TAPE__TAKES_ABSENT). It fills gx[i] where needs[i]; a gx[i] left TAPE_NONE is an absent contribution. Written with
 * public ops, it works on plain and on recorded tensors. gx[i] has x[i]'s shape and dtype.
 */
struct tape__vjp {
    tape *t;
    const tape__op *op;
    const void *attr;
    int n_in, n_out;
    const tape_tensor *x, *y, *gy;
    tape_tensor *gx;
    const bool *needs;
    void (*into)(tape__vjp *vjp, int i);                       /* of a plain sweep: see tape__into() */
    void *(*adjoint)(tape__vjp *vjp, int i, bool *accumulate); /* see tape__adjoint_data() */
    void *sweep;
    const void *custom; /* of a TAPE__OP_CUSTOM */
    bool create_graph;
};

/*
 * For the VJP of a part of x[i] (a slice, some rows): what tape__zeros_output() makes next becomes gx[i] and is, in a
 * plain sweep, x[i]'s adjoint itself. So T slices of a tensor cost as much as the tensor, not T times as much.
 */
static inline void tape__into(tape__vjp *vjp, int i)
{
    if (vjp->into)
        vjp->into(vjp, i);
}

/*
 * In a plain sweep, x[i]'s adjoint, dense, for the VJP to store its contribution to or (*accumulate) to add it to;
 * gx[i] then stays TAPE_NONE. NULL where the contribution must go by way of gx[i], and after an error.
 */
static inline void *tape__adjoint_data(tape__vjp *vjp, int i, bool *accumulate)
{
    return vjp->adjoint ? vjp->adjoint(vjp, i, accumulate) : NULL;
}

/* ---- nodes ------------------------------------------------------------------------------------------------------- */

enum tape__node_flags {
    TAPE__REQUIRES_GRAD = 1,    /* a leaf with gradient is among its ancestors */
    TAPE__OWNS_BLOCK = 2,       /* data is a block of the arena that ends with the node */
    TAPE__LEAF_ALIAS = 4,       /* data points into a leaf's memory */
    TAPE__HAS_ADJOINT = 8,      /* the running sweep has reached it */
    TAPE__WANTED = 16,          /* on a path of the running sweep */
    TAPE__INLINE_VALUE = 32,    /* data points at u.f64 of this very node; it has no `extra` */
    TAPE__TARGET = 64,          /* the running sweep wants its adjoint */
    TAPE__SIBLING_ADJOINT = 128 /* another output of this record has an adjoint */
};

/* Inputs beyond two, attributes and the number of outputs of a record that has any of these; in the arena. */
typedef struct tape__extra {
    uint16_t n_in, n_out;
    uint32_t attr_size;
    size_t bytes;    /* of this block, inputs and attributes included */
    uint32_t *in;    /* n_in slots */
    uint32_t *saved; /* the version of each at recording */
    const void *attr;
    const void *custom; /* the user's op of a TAPE__OP_CUSTOM record */
} tape__extra;

#define TAPE__GIVEN UINT32_MAX /* in[1] of a constant whose elements the caller gave */

/* A value and its record. Outputs 1, 2, ... of an op follow output 0 with op TAPE__OP_OUTPUT and in[0] = its slot. */
typedef struct tape__node {
    uint64_t generation;
    void *data; /* of the first element */
    const tape__layout *layout;
    uint32_t *version; /* the counter of the storage: own_version of its owner, or the leaf's */
    uint32_t own_version;
    uint16_t op;
    uint8_t dtype;
    uint8_t flags;
    uint32_t in[2];
    uint32_t saved[2];
    union {
        tape__extra *extra;
        struct tape__leaf *leaf; /* of a TAPE__OP_LEAF node */
        double f64;              /* of a one-element result of a plain op */
        float f32;
    } u;
    union {
        struct tape__adjoint *adjoint;
        uint32_t recorded; /* create_graph: the slot of the adjoint */
        double f64;        /* one element: the adjoint itself */
        float f32;
    } adj;
} tape__node;

/* Whether the node is a record that may have a block of inputs and attributes, and the block; NULL where it has none.
 */
static inline bool tape__may_have_extra(const tape__node *node)
{
    return node->op > TAPE__OP_OUTPUT && !(node->flags & TAPE__INLINE_VALUE);
}
static inline tape__extra *tape__extra_of(const tape__node *node)
{
    return tape__may_have_extra(node) ? node->u.extra : NULL;
}

#define TAPE__NODES_LOG2 12
#define TAPE__NODES_PER_CHUNK (1u << TAPE__NODES_LOG2)
#define TAPE__NO_SLOT UINT32_MAX
#define TAPE__MOST_NODES ((uint32_t)INT32_MAX)

/* tape_last() sets the highest bit of the handle's slot, so that it fits nowhere but in tape__resolve(). A node that
 * has ended for the caller, but whose record is still needed, has the highest bit of its generation set. */
#define TAPE__LAST_USE ((uint32_t)1 << 31)
#define TAPE__ENDED ((uint64_t)1 << 63)

/* ---- the tape ---------------------------------------------------------------------------------------------------- */

/* What tape__into() named: the adjoint that the next tape__zeros_output() stands for. */
typedef struct tape__sink {
    void *data; /* NULL: none */
    const tape__layout *layout;
    uint32_t slot; /* of the node that stood for it last */
    uint8_t dtype;
} tape__sink;

typedef struct tape__mark_state {
    uint64_t id;
    uint32_t nodes;
    tape__arena_position arena;
    void *free_lists[TAPE__SIZE_CLASSES];
    size_t free_bytes;
} tape__mark_state;

/* What a record holds outside the tape, to be let go when the record ends. The last record comes first. */
typedef struct tape__release {
    struct tape__release *next;
    uint32_t slot;
    void (*release)(void *user, void *attr);
    void *user, *attr;
} tape__release;

enum tape__detour {
    TAPE__DETOUR_ERROR = 1,   /* an error is kept */
    TAPE__DETOUR_PROFILE = 2, /* each op is timed */
    TAPE__DETOUR_TRACE = 4    /* NaN and infinities are looked for (trace.h) */
};

/* What a higher layer keeps with the tape, and how it ends. */
typedef struct tape__guest {
    void (*end)(tape *t, struct tape__guest *self);
} tape__guest;

/* A value that the host has read, and how far the tape was: what is recorded from there on may depend on it. */
typedef struct tape__host_read {
    const char *by; /* NULL: none */
    const char *op;
    const tape__layout *layout;
    uint32_t slot, count;
} tape__host_read;

enum tape__replaying {
    TAPE__REPLAY_NONE,
    TAPE__REPLAY_OP,      /* forward() of an op of the table */
    TAPE__REPLAY_CALLBACK /* a user's function */
};

struct tape {
    uint32_t count;      /* nodes in use */
    uint32_t capacity;   /* nodes that the allocated chunks hold */
    uint32_t detour;     /* TAPE__DETOUR_...: why ops must not take the short way; 0 mostly */
    int paused;          /* > 0: results have no history */
    uint64_t generation; /* of nodes made now */
    tape__node **chunks;
    tape__proxy *proxies;
    uint32_t proxy_count;
    uint32_t layout_epoch;
    const tape__layout *scalar; /* the interned rank-0 layout */
    const struct tape__kernels *kernels;
    tape__arena arena;
    tape__layouts layouts;
    tape__plan plans[TAPE__PLANS];
    tape__still stills[TAPE__STILLS];
    tape__memory memory;
    uint64_t generation_end; /* of the block drawn from the process-wide counter */
    uint32_t chunk_slots;    /* capacity of the array `chunks` */
    uint32_t callback_floor; /* inside a callback: nodes below belong to the outer world; else 0 */
    uint32_t callback_marks; /* ... and so do the first marks */
    int callback_depth;
    const char *op_name; /* of the public function that runs, for messages */
    int composite_depth; /* > 0: op_name stays that of the composite */
    tape_config config;
    struct tape__parallel parallel;
    tape_random_state random;
    void *scratch;
    size_t scratch_size;
    tape__mark_state *marks;
    uint32_t mark_count, mark_capacity;
    uint64_t next_mark;
    struct tape__adjoint *free_adjoints;
    struct tape__memos *memos; /* memo.h; NULL before the first */
    int64_t repeated_sweeps, repeated_ops;
    struct tape__list *noting;   /* where it is noted what the running sweep, or op, does; mostly NULL */
    struct tape__memo *expected; /* the tape that this one is thought to become (recall.h); mostly NULL */
    tape__release *releases;
    size_t bytes_peak;
    uint32_t consumed_from, consumed_to; /* records whose saved values a sweep has let go */
    bool values_gone;                    /* some value has been let go since the reset: records cannot run again */
    uint32_t ending_count;
    tape_tensor ending[8];         /* last uses by the running composite op */
    struct tape__profile *profile; /* NULL before the first start */
    tape__guest *guest;
    tape__sink sink;
    bool claiming;                /* a sweep to leaves runs: it may write into their gradients' buffers */
    struct tape__adjoint *claims; /* those that it has written there */
    void (*settle)(tape *owner);  /* moves them out of the buffers, before code of the user runs */
    int promote;                  /* the checker's f64 mode */
    uint16_t wrong_op;            /* the checker's own test: this op's VJP ... */
    double wrong_factor;          /* ... is multiplied by this; 0 when off */
    struct tape__trace *trace;
    tape__host_read first_read, lowest_read; /* the earliest, and that of the oldest value */
    uint32_t replayable_count;               /* a tape of so many nodes, ... */
    uint64_t replayable_last;                /* ... the last of this generation, was found to be replayable */
    uint32_t
        unrepeatable; /* > 0: at so many nodes a gradient was recorded that holds for the values of then alone, ... */
    const char *unrepeatable_why; /* ... which this describes */
    uint8_t replaying;
    bool unsettled;     /* a replay has failed: values are of two runs */
    tape_status status; /* the first error */
    char message[256];
};

/* A gradient is recorded that a replay could not make again: `why` goes on from "a recorded gradient". */
static inline void tape__note_unrepeatable(tape *t, const char *why)
{
    if (!t->unrepeatable) {
        t->unrepeatable = t->count;
        t->unrepeatable_why = why;
    }
}

extern _Thread_local tape *tape__tls __attribute__((tls_model("initial-exec")));

/* The current tape, made if needed; NULL when memory is short or while an error is kept. Sets op_name for messages. */
tape *tape__begin(const char *op_name);

TAPE__INLINE tape__node *tape__at(const tape *t, uint32_t slot)
{
    return &t->chunks[slot >> TAPE__NODES_LOG2][slot & (TAPE__NODES_PER_CHUNK - 1)];
}

TAPE__INLINE tape_tensor tape__handle(const tape *t, uint32_t slot)
{
    tape_tensor x = {tape__at(t, slot)->generation, slot, 0};
    return x;
}

/* The node whose block x's data lies in; not for x that aliases a leaf. */
TAPE__INLINE tape__node *tape__storage_owner(const tape__node *x)
{
    return (tape__node *)(void *)((unsigned char *)x->version - offsetof(tape__node, own_version));
}

/* A fresh node: generation set, all else the caller's. NULL (and an error) when memory is short. */
tape__node *tape__new_node(tape *t, uint32_t *slot);

/* The slow half of tape__new_node(): makes room for one more. */
bool tape__grow_nodes(tape *t);

/* A node with a contiguous, uninitialised block and no history. */
tape__node *tape__new_tensor(tape *t, tape_dtype dtype, int rank, const int64_t *size, uint32_t *slot);

/* The same of a dense layout of the tape's, and of the very dtype. */
tape__node *tape__new_dense(tape *t, tape_dtype dtype, const tape__layout *dense, uint32_t *slot);

/* Draw the next generation: nodes made before it and dropped can never be mistaken for nodes made after. */
void tape__new_generation(tape *t);
/* True while the leaf whose memory this node aliases is alive. */
static inline bool tape__alias_alive(const tape *t, const tape__node *node)
{
    while (node->op != TAPE__OP_LEAF)
        node = tape__at(t, node->in[0]);
    uint64_t generation; /* a leaf's node has no saved versions: the leaf's generation lies there */
    memcpy(&generation, node->saved, sizeof generation);
    return atomic_load_explicit(&node->u.leaf->generation, memory_order_relaxed) == generation;
}

/* The node behind a handle (for a leaf: the node that stands for it on this tape); TAPE__NO_SLOT after an error that
 * names argument `position` of the running op. */
uint32_t tape__resolve(tape *t, tape_tensor x, int position);

/* What this tape knows of a live leaf that it has met before, perhaps before a reset; else NULL. */
TAPE__INLINE tape__proxy *tape__proxy_of(const tape *t, tape_tensor x)
{
    tape__proxy *proxy = &t->proxies[x.slot];
    if (TAPE__UNLIKELY(x.slot >= t->proxy_count || !x.generation || proxy->generation != x.generation))
        return NULL;
    const uint64_t alive = atomic_load_explicit(&proxy->leaf->generation, memory_order_acquire);
    return TAPE__LIKELY(alive == x.generation) ? proxy : NULL;
}

/* The leaf behind a handle, soonest found where the tape (which may be NULL) has met it; NULL, without an error, where
 * it is no leaf or has been freed. */
TAPE__INLINE tape__leaf *tape__find_alive(const tape *t, tape_tensor x)
{
    const tape__proxy *proxy = t && x.flags & TAPE__FLAG_LEAF ? tape__proxy_of(t, x) : NULL;
    return TAPE__LIKELY(proxy != NULL) ? proxy->leaf : tape__live_leaf(x);
}

/* The same; NULL after an error. */
tape__leaf *tape__leaf_of(tape *t, tape_tensor x);

/* The node that stands for the leaf as it is now; NULL if none does. */
TAPE__INLINE tape__node *tape__stand_in(const tape *t, const tape__proxy *proxy, uint32_t *slot)
{
    const tape__leaf *leaf = proxy->leaf;
    const bool wants = atomic_load_explicit(&leaf->requires_grad, memory_order_relaxed);
    *slot = proxy->node[wants];
    if (*slot >= t->count)
        return NULL;
    tape__node *node = tape__at(t, *slot);
    bool current = node->op == TAPE__OP_LEAF && node->u.leaf == leaf && wants == (node->flags & TAPE__REQUIRES_GRAD) &&
                   node->dtype == (TAPE__UNLIKELY(t->promote) && leaf->dtype == TAPE_F32 ? TAPE_F64 : leaf->dtype);
    return current ? node : NULL;
}

/* tape__resolve() for a handle that is in order and needs no new node; NULL otherwise, without an error. */
TAPE__INLINE tape__node *tape__find_leaf(const tape *t, tape_tensor x, uint32_t *slot)
{
    const tape__proxy *proxy = tape__proxy_of(t, x);
    return TAPE__LIKELY(proxy != NULL) ? tape__stand_in(t, proxy, slot) : NULL;
}

TAPE__INLINE tape__node *tape__find(const tape *t, tape_tensor x, uint32_t *slot)
{
    if (x.flags & TAPE__FLAG_LEAF)
        return tape__find_leaf(t, x, slot);
    *slot = x.slot;
    if (TAPE__UNLIKELY(x.slot >= t->count))
        return NULL;
    tape__node *node = tape__at(t, x.slot);
    return TAPE__LIKELY(node->generation == x.generation && !(node->flags & TAPE__LEAF_ALIAS)) ? node : NULL;
}

/* Makes a node for a leaf that none stands for, since the reset say; NULL where that takes more, or is an error. */
tape__node *tape__meet(tape *t, tape__proxy *proxy, uint32_t *slot);

/* The same as tape__find(), but for a leaf that this tape has met before. */
TAPE__INLINE tape__node *tape__find_or_meet(tape *t, tape_tensor x, uint32_t *slot)
{
    if (!(x.flags & TAPE__FLAG_LEAF))
        return tape__find(t, x, slot);
    tape__proxy *proxy = tape__proxy_of(t, x);
    if (TAPE__UNLIKELY(!proxy))
        return NULL;
    tape__node *node = tape__stand_in(t, proxy, slot);
    return node ? node : tape__meet(t, proxy, slot);
}

/* ---- running an op ----------------------------------------------------------------------------------------------- */

/* Resolve, run forward(), record. attr is copied. Returns output 0; the others are tape__sibling(result, k). */
tape_tensor tape__run(int op, const tape_tensor *inputs, int n_in, const void *attr, size_t attr_size);

/* The same for a user's op: `row` stands for it while it runs, `custom` stays on the record. */
tape_tensor tape__run_custom(tape *t, const tape__op *row, const void *custom, const tape_tensor *inputs, int n_in,
                             const void *attr, size_t attr_size);

/* Output k of the op that made y as its output 0. */
tape_tensor tape__sibling(tape_tensor y, int k);

/* Inside forward(): the next output, contiguous, not initialised. NULL after an error. */
tape__node *tape__output(tape__call *call, tape_dtype dtype, int rank, const int64_t *size);

/* The same, of x's shape and dtype. */
tape__node *tape__output_like(tape__call *call, const tape__node *x);

/* Inside forward(): the next output, full of zeros to add into; or the adjoint that tape__into() has named. */
tape__node *tape__zeros_output(tape__call *call, tape_dtype dtype, int rank, const int64_t *size);

/* Inside forward(): an output that is a view of input 0: `offset` elements on, with the given sizes and strides. */
tape__node *tape__output_view(tape__call *call, int64_t offset, int rank, const int64_t *size, const int64_t *stride);

/* Inside forward(): the next output is the node at `slot`, which is the last but those that follow as outputs. */
void tape__adopt_output(tape__call *call, uint32_t slot);

/* Memory for the running op alone: one buffer per tape, valid until the op ends. 64-byte aligned; NULL after an error.
 */
void *tape__scratch(tape *t, size_t bytes);

/* Copy elements of any layout to row-major memory: neither threads nor a plan make a copy of few bytes faster. */
void tape__copy_strided(const tape *t, const tape__layout *layout, tape_dtype dtype, const void *from, void *to);
TAPE__INLINE void tape__copy_dense(const tape *t, const tape__layout *layout, tape_dtype dtype, const void *from,
                                   void *to)
{
    const size_t bytes = (size_t)layout->numel * tape__item_size(dtype);
    if (TAPE__LIKELY(tape__is_dense(layout) && bytes <= 65536))
        memcpy(to, from, bytes);
    else
        tape__copy_strided(t, layout, dtype, from, to);
}

/* x's elements in row-major order: x's own data, or a copy in a fresh arena block. NULL after an error. */
const void *tape__dense_data(tape *t, const tape__node *x);

/* Put an error on the tape, prefixed by the running op's name; false, so that forward() can return it. */
bool tape__error(tape *t, tape_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The threads that ops may use; NULL for none. */
const struct tape__parallel *tape__threads_of(const tape *t);

/* Note the memory in use now, for the peak. */
void tape__note_peak(tape *t);

/* A composite op: keeps its own name in messages while the ops inside it run. Returns what tape__leave() restores. */
const char *tape__enter(tape *t, const char *op_name);
tape_tensor tape__leave(tape *t, const char *before, int op, tape_tensor y);

/* ---- last uses --------------------------------------------------------------------------------------------------- */

/* The op has run: end those of its inputs that tape_last() gave it. */
void tape__end_inputs(tape *t, const tape_tensor *x, int n);
TAPE__INLINE void tape__let_go(tape *t, const tape_tensor *x, int n)
{
    uint32_t slots = 0;
    for (int i = 0; i < n; i++)
        slots |= x[i].slot;
    if (TAPE__UNLIKELY(slots & TAPE__LAST_USE))
        tape__end_inputs(t, x, n);
}

/* The outermost composite op has run, or failed: end what its parts had for the last time. */
void tape__end_pending(tape *t, bool ok);

/* Whether the node's value has been let go. */
bool tape__is_gone(const tape__node *x);

/* The nodes from `count` on are gone: so is what was said of them. */
static inline void tape__forget_consumed(tape *t, uint32_t count)
{
    if (t->consumed_to > count)
        t->consumed_to = count;
    if (t->consumed_from > t->consumed_to)
        t->consumed_from = t->consumed_to;
}

/* ---- going back -------------------------------------------------------------------------------------------------- */

/* Bring the tape back to `count` nodes, giving their blocks back for reuse. */
void tape__truncate(tape *t, uint32_t count);

/* The same, but for n results (TAPE_NONE is passed over), which become the first nodes from `count` on: contiguous,
 * without history, under new handles. False after an error; then the results are null. */
bool tape__truncate_keeping(tape *t, uint32_t count, tape_tensor *results, int n);

void tape__empty_free_lists(tape *t);

/* False, with an error, where a failed replay left values that do not fit together. */
bool tape__settled(tape *t);

/* What runs in a callback belongs to it: sweeps that it starts end at the node where it began, older nodes and marks
 * are out of its reach. Leaving drops its marks and puts the rest back as it was. */
typedef struct tape__callback {
    bool claiming;
    uint32_t floor, marks;
    int paused, composite_depth;
    const char *op_name;
} tape__callback;
tape__callback tape__enter_callback(tape *t);
void tape__leave_callback(tape *t, tape__callback outer);

/* Call release(user, attr) when the record at `slot` ends. */
bool tape__add_release(tape *t, uint32_t slot, void (*release)(void *user, void *attr), void *user, void *attr);

/* The records from `count` on end. */
void tape__release_down(tape *t, uint32_t count);
static inline void tape__release_from(tape *t, uint32_t count)
{
    if (TAPE__UNLIKELY(t->releases != NULL))
        tape__release_down(t, count);
}

#endif
