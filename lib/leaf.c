/* The process-wide registry of leaves and what a handle resolves to. Does not know who writes into a leaf, nor why. */
#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "op_index.h"
#include "tape.h"

/* Descriptors are never given back before tape_shutdown(): a stale handle, or a record that saved a leaf, may always
 * look at its generation and version. */
_Atomic(tape__leaf *) tape__leaf_chunks[TAPE__LEAF_CHUNKS];
static uint32_t leaf_count;
static tape__leaf *free_leaves;
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;

/* Called with the lock held. */
static tape__leaf *take_descriptor(void)
{
    tape__leaf *leaf = free_leaves;
    if (leaf) {
        free_leaves = leaf->next_free;
        return leaf;
    }
    uint32_t chunk = tape__leaf_chunk(leaf_count);
    if (chunk == TAPE__LEAF_CHUNKS)
        return NULL;
    uint32_t size = TAPE__FIRST_LEAVES << chunk;
    if (!atomic_load_explicit(&tape__leaf_chunks[chunk], memory_order_relaxed)) {
        tape__leaf *leaves = calloc(size, sizeof *leaves);
        if (!leaves)
            return NULL;
        for (uint32_t i = 0; i < size; i++) {
            leaves[i].slot = size - TAPE__FIRST_LEAVES + i;
            atomic_flag_clear(&leaves[i].lock);
        }
        atomic_store_explicit(&tape__leaf_chunks[chunk], leaves, memory_order_release);
    }
    return tape__leaf_at(leaf_count++);
}

static void return_descriptor(tape__leaf *leaf)
{
    pthread_mutex_lock(&registry_lock);
    leaf->next_free = free_leaves;
    free_leaves = leaf;
    pthread_mutex_unlock(&registry_lock);
}

static void *leaf_memory(tape__leaf *leaf, size_t bytes)
{
    tape__memory memory;
    tape__memory_init(&memory, leaf->allocate, leaf->allocate_user, 0);
    return tape__memory_get(&memory, bytes);
}

static void leaf_memory_free(tape__leaf *leaf)
{
    tape__memory memory;
    tape__memory_init(&memory, leaf->allocate, leaf->allocate_user, 0);
    tape__memory_put(&memory, leaf->data, leaf->bytes);
    leaf->data = NULL;
}

static tape__leaf *new_leaf(tape_dtype dtype, const tape__layout *layout,
                            void *(*allocate)(void *, void *, size_t, size_t), void *user)
{
    pthread_mutex_lock(&registry_lock);
    tape__leaf *leaf = take_descriptor();
    pthread_mutex_unlock(&registry_lock);
    if (!leaf)
        return NULL;
    leaf->allocate = allocate;
    leaf->allocate_user = user;
    leaf->layout = *layout;
    leaf->layout.dense = &leaf->layout;
    leaf->bytes = (size_t)layout->numel * tape_dtype_size(dtype);
    leaf->data = leaf_memory(leaf, leaf->bytes);
    if (!leaf->data) {
        return_descriptor(leaf);
        return NULL;
    }
    leaf->dtype = (uint8_t)dtype;
    leaf->is_gradient = leaf->has_gradient = false;
    atomic_store_explicit(&leaf->gradient, NULL, memory_order_relaxed);
    leaf->hook = NULL;
    atomic_store_explicit(&leaf->claimed, NULL, memory_order_relaxed);
    atomic_store_explicit(&leaf->user, 0, memory_order_relaxed);
    atomic_store_explicit(&leaf->requires_grad, 0, memory_order_relaxed);
    atomic_store_explicit(&leaf->generation, tape__leaf_generation(), memory_order_release);
    return leaf;
}

static void end_leaf(tape__leaf *leaf)
{
    atomic_store_explicit(&leaf->generation, 0, memory_order_release);
    leaf->version++; /* a record that saved it notices */
    leaf_memory_free(leaf);
    return_descriptor(leaf);
}

static tape_tensor make_leaf(const char *name, tape_dtype dtype, tape_shape shape, const void *data, bool requires_grad)
{
    tape *t = tape__begin(name);
    if (!t)
        return TAPE_NULL;
    int64_t numel;
    if (tape_dtype_size(dtype) == 0 || (requires_grad && dtype > TAPE_F64)) {
        tape__error(t, TAPE_ERROR_DTYPE, requires_grad ? "gradients need f32 or f64, got %s" : "unknown dtype %s",
                    tape_dtype_name(dtype));
        return TAPE_NULL;
    }
    if (!tape__shape_numel(shape.rank, shape.size, &numel)) {
        tape__error(t, TAPE_ERROR_SHAPE, "%s (rank %d) is no shape: rank 0 to 8, sizes not negative, product in range",
                    tape__shape_text(shape.rank, shape.size).text, shape.rank);
        return TAPE_NULL;
    }
    const tape__layout *layout = tape__layout_dense(&t->layouts, shape.rank, shape.size);
    tape__leaf *leaf = layout ? new_leaf(dtype, layout, t->config.allocator, t->config.allocator_user) : NULL;
    if (!leaf) {
        tape__error(t, TAPE_ERROR_MEMORY, "out of memory for a leaf of %s",
                    tape__shape_text(shape.rank, shape.size).text);
        return TAPE_NULL;
    }
    if (data)
        memcpy(leaf->data, data, leaf->bytes);
    else
        memset(leaf->data, 0, leaf->bytes);
    atomic_store_explicit(&leaf->requires_grad, requires_grad, memory_order_relaxed);
    return tape__leaf_handle(leaf);
}

tape_tensor tape_param(tape_dtype dtype, tape_shape shape, const void *data)
{
    return make_leaf("param", dtype, shape, data, true);
}

tape_tensor tape_const(tape_dtype dtype, tape_shape shape, const void *data)
{
    return make_leaf("const", dtype, shape, data, false);
}

tape__leaf *tape__leaf_of(tape *t, tape_tensor x)
{
    tape__leaf *leaf = tape__find_alive(t, x);
    if (leaf)
        return leaf;
    tape__error(t, TAPE_ERROR_HANDLE, "%s",
                tape_is_null(x)                ? "the handle is null"
                : tape_is_none(x)              ? "the handle is TAPE_NONE"
                : !(x.flags & TAPE__FLAG_LEAF) ? "the tensor is not a leaf"
                                               : "the leaf has been freed");
    return NULL;
}

tape_status tape_free(tape_tensor x)
{
    if (tape_is_null(x) || tape_is_none(x))
        return TAPE_OK;
    tape *t = tape_current();
    if (!t)
        return TAPE_ERROR_MEMORY;
    t->op_name = "free";
    tape__leaf *leaf = tape__leaf_of(t, x);
    if (!leaf)
        return t->status;
    if (leaf->is_gradient) {
        tape__error(t, TAPE_ERROR_STATE, "a gradient belongs to its leaf: free that, or call tape_zero_grad()");
        return t->status;
    }
    tape__leaf *gradient = tape__leaf_gradient(leaf);
    if (gradient)
        end_leaf(gradient);
    atomic_store_explicit(&leaf->gradient, NULL, memory_order_relaxed);
    end_leaf(leaf);
    return TAPE_OK;
}

/* Several threads may want the buffer at once: one of theirs is kept. */
bool tape__leaf_make_gradient(tape__leaf *leaf)
{
    tape__leaf *gradient = new_leaf(leaf->dtype, &leaf->layout, leaf->allocate, leaf->allocate_user), *spare = NULL;
    if (!gradient)
        return false;
    gradient->is_gradient = true;
    tape__leaf_lock(leaf);
    if (tape__leaf_gradient(leaf))
        spare = gradient;
    else
        atomic_store_explicit(&leaf->gradient, gradient, memory_order_release);
    tape__leaf_unlock(leaf);
    if (spare)
        end_leaf(spare);
    return true;
}

/* ---- a sweep's use of the gradient's buffer ---------------------------------------------------------------------- */

static void note_user(tape *t, tape__leaf *leaf)
{
    const uintptr_t mine = (uintptr_t)t, several = 1;
    uintptr_t known = atomic_load_explicit(&leaf->user, memory_order_relaxed);
    if (known == mine || known == several)
        return;
    known = 0;
    if (!atomic_compare_exchange_strong(&leaf->user, &known, mine) && known != mine && known != several)
        atomic_store(&leaf->user, several);
}

/* No lock: a tape that is about to commit to the leaf has made itself known as its user before it looks at `claimed`,
 * and this one claims before it looks at the user, so that one of them sees the other. */
void *tape__leaf_claim(tape *t, tape__leaf *leaf)
{
    if (!tape__leaf_gradient_buffer(leaf))
        return NULL;
    tape__leaf *gradient = tape__leaf_gradient(leaf);
    uint32_t slot;
    if (tape__find_leaf(t, tape__leaf_handle(gradient), &slot))
        return NULL;
    struct tape *nobody = NULL;
    if (!atomic_compare_exchange_strong(&leaf->claimed, &nobody, t))
        return NULL;
    if (atomic_load(&leaf->user) == (uintptr_t)t && !leaf->has_gradient && !leaf->hook &&
        leaf->dtype == gradient->dtype) {
        gradient->version++;
        return gradient->data;
    }
    tape__leaf_unclaim(leaf);
    return NULL;
}

void tape__leaf_unclaim(tape__leaf *leaf)
{
    atomic_store_explicit(&leaf->claimed, NULL, memory_order_release);
}

/* Whoever waits here used the leaf after the other had claimed it, so that two tapes never wait for each other. */
void tape__leaf_wait_for(const tape *t, tape__leaf *leaf)
{
    for (const tape *owner; TAPE__UNLIKELY((owner = atomic_load(&leaf->claimed)) != NULL && owner != t);) {
        tape__leaf_unlock(leaf);
        sched_yield();
        tape__leaf_lock(leaf);
    }
}

TAPE__NOINLINE void tape__leaves_shutdown(void)
{
    pthread_mutex_lock(&registry_lock);
    for (uint32_t slot = 0; slot < leaf_count; slot++) {
        tape__leaf *leaf = tape__leaf_at(slot);
        if (atomic_load_explicit(&leaf->generation, memory_order_relaxed))
            leaf_memory_free(leaf);
    }
    for (uint32_t i = 0; i < TAPE__LEAF_CHUNKS && atomic_load_explicit(&tape__leaf_chunks[i], memory_order_relaxed);
         i++) {
        free(atomic_load_explicit(&tape__leaf_chunks[i], memory_order_relaxed));
        atomic_store_explicit(&tape__leaf_chunks[i], NULL, memory_order_relaxed);
    }
    leaf_count = 0;
    free_leaves = NULL;
    pthread_mutex_unlock(&registry_lock);
}

/* ---- handles ----------------------------------------------------------------------------------------------------- */

static bool grow_proxies(tape *t, uint32_t slot)
{
    uint32_t count = t->proxy_count ? t->proxy_count * 2 : 64;
    while (count <= slot)
        count *= 2;
    tape__proxy *proxies = tape__memory_get(&t->memory, count * sizeof *proxies);
    if (!proxies)
        return tape__error(t, TAPE_ERROR_MEMORY, "out of memory for leaves");
    memset(proxies, 0, count * sizeof *proxies);
    if (t->proxy_count)
        memcpy(proxies, t->proxies, t->proxy_count * sizeof *proxies);
    tape__memory_put(&t->memory, t->proxies, t->proxy_count * sizeof *proxies);
    t->proxies = proxies;
    t->proxy_count = count;
    return true;
}

/* The checker's f64 mode: an f32 leaf is read through an f64 copy. */
static bool promote_value(tape *t, tape__node *node)
{
    const float *from = node->data;
    int64_t n = node->layout->numel;
    double *to = tape__arena_get(&t->arena, (size_t)n * sizeof *to);
    if (!to)
        return tape__error(t, TAPE_ERROR_MEMORY, "out of memory for an f64 copy");
    for (int64_t i = 0; i < n; i++)
        to[i] = (double)from[i];
    node->data = to;
    node->dtype = TAPE_F64;
    return true;
}

/* The proxy of a leaf that this tape meets for the first time, or again after the layouts were renewed. */
static TAPE__NOINLINE tape__proxy *make_proxy(tape *t, tape__leaf *leaf, uint64_t generation)
{
    if (leaf->slot >= t->proxy_count && !grow_proxies(t, leaf->slot))
        return NULL;
    tape__proxy *proxy = &t->proxies[leaf->slot];
    const tape__layout *layout = tape__layout_dense(&t->layouts, leaf->layout.rank, leaf->layout.size);
    if (!layout) {
        tape__error(t, TAPE_ERROR_MEMORY, "out of memory for a layout");
        return NULL;
    }
    if (proxy->generation != generation)
        proxy->node[0] = proxy->node[1] = TAPE__NO_SLOT;
    note_user(t, leaf);
    proxy->generation = generation;
    proxy->leaf = leaf;
    proxy->layout = layout;
    proxy->epoch = t->layout_epoch;
    return proxy;
}

/* A node that stands for the leaf from now on. */
TAPE__INLINE tape__node *make_stand_in(tape *t, tape__proxy *proxy, uint32_t *slot)
{
    tape__leaf *leaf = proxy->leaf;
    const bool wants = atomic_load_explicit(&leaf->requires_grad, memory_order_relaxed);
    if (TAPE__UNLIKELY(t->count == t->capacity) && !tape__grow_nodes(t))
        return NULL;
    *slot = t->count++;
    tape__node *node = tape__at(t, *slot);
    *node = (tape__node){.generation = t->generation,
                         .data = leaf->data,
                         .layout = proxy->layout,
                         .version = &leaf->version,
                         .op = TAPE__OP_LEAF,
                         .dtype = leaf->dtype,
                         .flags = (uint8_t)(TAPE__LEAF_ALIAS | (wants ? TAPE__REQUIRES_GRAD : 0)),
                         .u.leaf = leaf};
    memcpy(node->saved, &proxy->generation, sizeof proxy->generation);
    if (TAPE__UNLIKELY(t->promote) && node->dtype == TAPE_F32 && !promote_value(t, node))
        return NULL;
    proxy->node[wants] = *slot;
    return node;
}

static TAPE__NOINLINE uint32_t bad_handle(tape *t, tape_tensor x, int position)
{
    const char *what = "has ended (reset, rewound, or of another tape)";
    if (tape_is_null(x))
        what = "is null";
    else if (tape_is_none(x))
        what = "is TAPE_NONE, which this op does not take";
    else if (x.flags & TAPE__FLAG_LEAF)
        what = "is a leaf that has been freed";
    else if (x.slot < t->count && tape__at(t, x.slot)->generation == (x.generation | TAPE__ENDED))
        what = "has ended: tape_last() said so to an earlier op, or tape_backward_once() consumed it";
    tape__error(t, TAPE_ERROR_HANDLE, "argument %d %s", position + 1, what);
    return TAPE__NO_SLOT;
}

tape__node *tape__meet(tape *t, tape__proxy *proxy, uint32_t *slot)
{
    return proxy->epoch == t->layout_epoch ? make_stand_in(t, proxy, slot) : NULL;
}

static uint32_t resolve_leaf(tape *t, tape_tensor x, int position)
{
    uint32_t slot;
    if (TAPE__LIKELY(tape__find_or_meet(t, x, &slot) != NULL))
        return slot;
    if (t->status) /* no memory for a node */
        return TAPE__NO_SLOT;
    tape__leaf *leaf = tape__live_leaf(x);
    if (!leaf)
        return bad_handle(t, x, position);
    tape__proxy *proxy = make_proxy(t, leaf, x.generation);
    return proxy && make_stand_in(t, proxy, &slot) ? slot : TAPE__NO_SLOT;
}

uint32_t tape__resolve(tape *t, tape_tensor x, int position)
{
    if (x.flags & TAPE__FLAG_LEAF)
        return resolve_leaf(t, x, position);
    if (TAPE__UNLIKELY(x.slot >= t->count)) {
        x.slot &= ~TAPE__LAST_USE;
        if (x.slot >= t->count)
            return bad_handle(t, x, position);
    }
    const tape__node *node = tape__at(t, x.slot);
    if (TAPE__UNLIKELY(node->generation != x.generation))
        return bad_handle(t, x, position);
    if (TAPE__UNLIKELY(node->flags & TAPE__LEAF_ALIAS) && !tape__alias_alive(t, node)) {
        tape__error(t, TAPE_ERROR_HANDLE, "argument %d is a view of a leaf that has been freed", position + 1);
        return TAPE__NO_SLOT;
    }
    return x.slot;
}
