/* The rest of the public functions: asking, data in and out, recording. Argument checks and nothing else. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/any/blas.h"
#include "kernels/any/cast.h"
#include "kernels/any/copy.h"
#include "recall.h"
#include "replay.h"

const char *tape_version(void)
{
    return TAPE_VERSION_STRING;
}

const char *tape_isa(void)
{
    return tape__kernels()->isa;
}

bool tape_has_fma(void)
{
    return tape__kernels()->fma;
}

const char *tape_isa_note(void)
{
    tape__kernels();
    return tape__dispatch_note();
}

const char *tape_build_features(void)
{
#if TAPE__SLEEF
    return "SLEEF"
#else
    return "the C library's mathematics"
#endif
#if TAPE__ZLIB
           ", zlib"
#endif
#if TAPE__LAPACK
           ", LAPACK"
#endif
#if TAPE__CBLAS
           ", CBLAS"
#endif
        ;
}

const char *tape_blas(void)
{
    return tape__blas_name();
}

tape_status tape_threads(int n)
{
    if (n < 1 || n > TAPE__THREADS_MAX)
        return tape_fail(TAPE_ERROR_ARGUMENT, "threads: %d is not in 1..%d", n, TAPE__THREADS_MAX);
    if (tape__pool_start(n) != 0)
        return tape_fail(TAPE_ERROR_STATE, "threads: the system refused to start %d threads", n);
    return TAPE_OK;
}

tape_status tape_reserve(size_t bytes, int64_t records)
{
    tape *t = tape__begin("reserve");
    if (!t)
        return tape_last_status();
    while (t->status == TAPE_OK && (int64_t)(t->capacity - t->count) < records) {
        uint32_t first = t->capacity;
        if (tape__grow_nodes(t))
            memset(tape__at(t, first), 0, TAPE__NODES_PER_CHUNK * sizeof(tape__node));
    }
    if (t->status == TAPE_OK && !tape__arena_reserve(&t->arena, bytes))
        tape__error(t, TAPE_ERROR_MEMORY, "out of memory for %zu bytes", bytes);
    return t->status;
}

tape_statistics tape_stats(void)
{
    tape *t = tape_current();
    if (!t)
        return (tape_statistics){0};
    tape__note_peak(t);
    return (tape_statistics){.bytes_now = tape__arena_in_use(&t->arena) + t->count * sizeof(tape__node),
                             .bytes_peak = t->bytes_peak,
                             .bytes_reserved = t->memory.reserved,
                             .records = t->count,
                             .allocator_calls = t->memory.calls,
                             .repeated_sweeps = t->repeated_sweeps,
                             .repeated_ops = t->repeated_ops};
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

static tape__node *node_of(const char *name, tape_tensor x)
{
    tape *t = tape__begin(name);
    uint32_t slot = t ? tape__resolve(t, x, 0) : TAPE__NO_SLOT;
    return slot == TAPE__NO_SLOT ? NULL : tape__at(t, slot);
}

tape_dtype tape_dtype_of(tape_tensor x)
{
    const tape__node *node = node_of("dtype_of", x);
    return node ? (tape_dtype)node->dtype : TAPE_F32;
}

tape_shape tape_shape_of(tape_tensor x)
{
    tape_shape shape = TAPE_SCALAR;
    const tape__node *node = node_of("shape_of", x);
    if (node) {
        shape.rank = node->layout->rank;
        memcpy(shape.size, node->layout->size, sizeof shape.size);
    }
    return shape;
}

int tape_rank(tape_tensor x)
{
    const tape__node *node = node_of("rank", x);
    return node ? node->layout->rank : 0;
}

int64_t tape_size(tape_tensor x, int axis)
{
    const tape__node *node = node_of("size", x);
    if (!node)
        return 0;
    int i = tape__axis(axis, node->layout->rank);
    if (i < 0)
        tape__error(tape__tls, TAPE_ERROR_ARGUMENT, "axis %d of a tensor of rank %d", axis, node->layout->rank);
    return i < 0 ? 0 : node->layout->size[i];
}

int64_t tape_numel(tape_tensor x)
{
    const tape__node *node = node_of("numel", x);
    return node ? node->layout->numel : 0;
}

bool tape_is_contiguous(tape_tensor x)
{
    const tape__node *node = node_of("is_contiguous", x);
    return node && tape__is_dense(node->layout);
}

bool tape_requires_grad(tape_tensor x)
{
    const tape__node *node = node_of("requires_grad", x);
    return node && node->flags & TAPE__REQUIRES_GRAD;
}

bool tape_is_leaf(tape_tensor x)
{
    return node_of("is_leaf", x) && x.flags & TAPE__FLAG_LEAF;
}

static bool is_valid_node(const tape *t, tape_tensor x)
{
    if (!t || x.slot >= t->count || tape__at(t, x.slot)->generation != x.generation)
        return false;
    const tape__node *node = tape__at(t, x.slot);
    return !(node->flags & TAPE__LEAF_ALIAS) || tape__alias_alive(t, node);
}

bool tape_are_valid(const tape_tensor *x, int64_t n)
{
    const tape *t = tape__tls;
    bool valid = true;
    for (int64_t i = 0; i < n && valid; i++)
        valid = x[i].flags & TAPE__FLAG_LEAF ? tape__find_alive(t, x[i]) != NULL : is_valid_node(t, x[i]);
    return valid;
}

bool tape_is_valid(tape_tensor x)
{
    return tape_are_valid(&x, 1);
}

/* ---- data out ---------------------------------------------------------------------------------------------------- */

/* A live leaf, where nothing is wrong and nothing watches: what a training step asks of each parameter is quick. */
static inline tape__leaf *quick_leaf(tape_tensor x)
{
    const tape *t = tape__tls;
    return TAPE__LIKELY(t && !t->detour && !t->promote) ? tape__find_alive(t, x) : NULL;
}

/* What is recorded from now on may depend on x's elements, as far as a replay can know. */
static void note_read(const char *by, tape_tensor x)
{
    if (!(x.flags & TAPE__FLAG_LEAF))
        tape__note_read(tape__tls, by, x.slot & ~TAPE__LAST_USE);
}

double tape_peek(tape_tensor x)
{
    const tape__node *node = node_of("item", x);
    if (!node)
        return NAN;
    if (node->layout->numel != 1) {
        tape__error(tape__tls, TAPE_ERROR_SHAPE, "x has shape %s, not one element", TAPE__LAYOUT_TEXT(node->layout));
        return NAN;
    }
    const int64_t one = 1;
    double value;
    tape__cast(NULL, 1, &one, node->dtype, node->data, &one, TAPE_F64, &value);
    return value;
}

double tape_item(tape_tensor x)
{
    double value = tape_peek(x);
    if (tape_last_status() == TAPE_OK)
        note_read("item", x);
    return value;
}

tape_status tape_read(tape_tensor x, void *out, int64_t n)
{
    const tape__node *node = node_of("read", x);
    if (!node)
        return tape_last_status();
    tape *t = tape__tls;
    if (n != node->layout->numel || (!out && n > 0)) {
        tape__error(t, TAPE_ERROR_ARGUMENT, "%s for %lld elements, but x has %lld", out ? "room" : "no room",
                    (long long)n, (long long)node->layout->numel);
        return t->status;
    }
    note_read("read", x);
    tape__copy_dense(t, node->layout, node->dtype, node->data, out);
    return TAPE_OK;
}

typedef struct storage {
    void *data; /* NULL after an error */
    uint32_t *version;
    uint8_t dtype;
} storage;

/* Where x's elements lie in row-major order. A leaf is found without a node that stands for it on the tape. */
static storage storage_of(const char *name, tape_tensor x)
{
    tape *t = tape__begin(name);
    if (t && x.flags & TAPE__FLAG_LEAF && !t->promote) {
        tape__leaf *leaf = tape__leaf_of(t, x);
        return leaf ? (storage){leaf->data, &leaf->version, leaf->dtype} : (storage){0};
    }
    const tape__node *node = t ? node_of(name, x) : NULL;
    if (node && !tape__is_dense(node->layout)) {
        tape__error(t, TAPE_ERROR_STATE, "x is not contiguous: use tape_read()");
        return (storage){0};
    }
    if (!node)
        return (storage){0};
    note_read(name, x);
    return (storage){node->data, node->version, node->dtype};
}

const void *tape_data(tape_tensor x)
{
    const tape__leaf *leaf = quick_leaf(x);
    return TAPE__LIKELY(leaf != NULL) ? leaf->data : storage_of("data", x).data;
}

static const void *typed_data(const char *name, tape_tensor x, tape_dtype dtype)
{
    storage s = storage_of(name, x);
    if (s.data && s.dtype != dtype) {
        tape__error(tape__tls, TAPE_ERROR_DTYPE, "x is %s", tape_dtype_name(s.dtype));
        return NULL;
    }
    return s.data;
}

const float *tape_data_f32(tape_tensor x)
{
    return typed_data("data_f32", x, TAPE_F32);
}

const double *tape_data_f64(tape_tensor x)
{
    return typed_data("data_f64", x, TAPE_F64);
}

/* ---- data in ----------------------------------------------------------------------------------------------------- */

void *tape_data_mut(tape_tensor x)
{
    tape__leaf *leaf = quick_leaf(x);
    if (TAPE__LIKELY(leaf != NULL)) {
        leaf->version++;
        return leaf->data;
    }
    storage s = storage_of("data_mut", x);
    if (s.data) {
        tape__expect_nothing(tape__tls);
        ++*s.version;
    }
    return s.data;
}

tape_status tape_write(tape_tensor x, const void *data, size_t bytes)
{
    tape *t = tape__begin("write");
    tape__leaf *leaf = t ? tape__leaf_of(t, x) : NULL;
    if (!leaf)
        return tape_last_status();
    const tape__layout *layout = &leaf->layout;
    size_t slice = layout->rank && layout->size[0] ? leaf->bytes / (size_t)layout->size[0] : leaf->bytes;
    if (bytes > leaf->bytes || (slice && bytes % slice) || (!data && bytes)) {
        tape__error(t, TAPE_ERROR_ARGUMENT, "%zu bytes are no whole slices of a leaf of shape %s and %zu bytes", bytes,
                    TAPE__LAYOUT_TEXT(layout), leaf->bytes);
        return t->status;
    }
    leaf->version++;
    if (bytes)
        memcpy(leaf->data, data, bytes);
    return TAPE_OK;
}

tape_status tape_assign(tape_tensor destination, tape_tensor x)
{
    tape *t = tape__begin("assign");
    tape__leaf *leaf = t ? tape__leaf_of(t, destination) : NULL;
    uint32_t slot = leaf ? tape__resolve(t, x, 1) : TAPE__NO_SLOT;
    if (slot == TAPE__NO_SLOT)
        return tape_last_status();
    const tape__node *from = tape__at(t, slot);
    const tape__layout *to = &leaf->layout;
    int64_t size[TAPE_MAX_RANK], stride[TAPE_MAX_RANK];
    int rank;
    bool fits = tape__broadcast(from->layout->rank, from->layout->size, to->rank, to->size, &rank, size);
    if (!fits || rank != to->rank || memcmp(size, to->size, (size_t)rank * sizeof *size) != 0)
        tape__error(t, TAPE_ERROR_SHAPE, "shape %s does not stretch to the leaf's %s", TAPE__LAYOUT_TEXT(from->layout),
                    TAPE__LAYOUT_TEXT(to));
    else if (from->dtype != leaf->dtype)
        tape__error(t, TAPE_ERROR_DTYPE, "x is %s, the leaf %s", tape_dtype_name(from->dtype),
                    tape_dtype_name(leaf->dtype));
    if (t->status)
        return t->status;
    note_read("assign", x);
    tape__broadcast_strides(from->layout, rank, size, stride);
    const void *source = from->data;
    bool whole = from->layout->numel == to->numel && tape__is_dense(from->layout);
    if (from->flags & TAPE__LEAF_ALIAS && from->version == &leaf->version && !whole) {
        /* a view of the leaf itself: the copy must not read what it wrote */
        void *copy = tape__scratch(t, (size_t)from->layout->numel * tape_dtype_size(leaf->dtype));
        if (!copy)
            return t->status;
        tape__copy_dense(t, from->layout, leaf->dtype, from->data, copy);
        tape__broadcast_strides(from->layout->dense, rank, size, stride);
        source = copy;
    }
    leaf->version++;
    if (source != leaf->data)
        tape__copy(tape__threads_of(t), tape_dtype_size(leaf->dtype), rank, size, source, stride, leaf->data, NULL);
    return TAPE_OK;
}

tape_status tape_keep_into(tape_tensor leaf, tape_tensor x)
{
    tape *t = tape__begin("keep_into");
    const tape__leaf *to = t ? tape__leaf_of(t, leaf) : NULL;
    uint32_t slot = to ? tape__resolve(t, x, 1) : TAPE__NO_SLOT;
    if (slot == TAPE__NO_SLOT)
        return tape_last_status();
    const tape__layout *from = tape__at(t, slot)->layout;
    if (from->rank != to->layout.rank || memcmp(from->size, to->layout.size, sizeof from->size) != 0) {
        tape__error(t, TAPE_ERROR_SHAPE, "x has shape %s, the leaf %s", TAPE__LAYOUT_TEXT(from),
                    TAPE__LAYOUT_TEXT(&to->layout));
        return t->status;
    }
    note_read("keep_into", x);
    return tape_assign(leaf, x);
}

tape_tensor tape_keep(tape_tensor x)
{
    const tape__node *node = node_of("keep", x);
    if (!node)
        return TAPE_NULL;
    note_read("keep", x);
    tape_tensor leaf = tape_const((tape_dtype)node->dtype, tape_shape_of(x), NULL);
    if (!tape_is_null(leaf) && tape_assign(leaf, x) != TAPE_OK)
        return TAPE_NULL;
    return leaf;
}

/* ---- recording --------------------------------------------------------------------------------------------------- */

void tape_pause(void)
{
    tape *t = tape_current();
    if (t)
        t->paused++;
}

void tape_resume(void)
{
    tape *t = tape_current();
    if (t && t->paused == 0) {
        t->op_name = "resume";
        tape__error(t, TAPE_ERROR_STATE, "recording is not paused");
    } else if (t) {
        t->paused--;
    }
}

bool tape_is_recording(void)
{
    const tape *t = tape_current();
    return t && t->paused == 0;
}

tape_tensor tape_detach(tape_tensor x)
{
    tape *t = tape__begin("detach");
    uint32_t from = t ? tape__resolve(t, x, 0) : TAPE__NO_SLOT, slot;
    tape__node *node = from == TAPE__NO_SLOT ? NULL : tape__new_node(t, &slot);
    if (!node)
        return TAPE_NULL;
    const tape__node *base = tape__at(t, from);
    node->data = base->data;
    node->layout = base->layout;
    node->version = base->version;
    node->dtype = base->dtype;
    node->flags = base->flags & TAPE__LEAF_ALIAS;
    node->in[0] = from;
    return tape__handle(t, slot);
}

/* ---- leaves' gradients ------------------------------------------------------------------------------------------- */

static tape__leaf *leaf_for(const char *name, tape_tensor x)
{
    tape *t = tape__begin(name);
    return t ? tape__leaf_of(t, x) : NULL;
}

tape_tensor tape_gradient(tape_tensor x)
{
    const tape__leaf *leaf = quick_leaf(x);
    if (!leaf && !(leaf = leaf_for("gradient", x)))
        return TAPE_NULL;
    return leaf->has_gradient ? tape__leaf_handle(tape__leaf_gradient(leaf)) : TAPE_NONE;
}

/* The leaf, soon found; NULL after an error. */
TAPE__INLINE tape__leaf *one_leaf(tape *t, tape_tensor x)
{
    tape__leaf *leaf = tape__find_alive(t, x);
    return TAPE__LIKELY(leaf != NULL) ? leaf : tape__leaf_of(t, x);
}

tape_status tape_updates_of(const tape_tensor *leaves, int64_t n, tape_update *updates)
{
    tape *t = tape__begin("updates_of");
    for (int64_t i = 0; t && i < n; i++) {
        tape__leaf *leaf = one_leaf(t, leaves[i]);
        if (!leaf)
            return t->status;
        updates[i] = (tape_update){leaf->data, NULL, leaf->layout.numel, (tape_dtype)leaf->dtype};
        if (!leaf->has_gradient)
            continue;
        if (TAPE__UNLIKELY(t->promote) && leaf->dtype == TAPE_F32) {
            tape__error(t, TAPE_ERROR_STATE, "not while f32 leaves are read as f64");
            return t->status;
        }
        updates[i].gradient = tape__leaf_gradient(leaf)->data;
        leaf->version++;
    }
    return t ? TAPE_OK : tape_last_status();
}

tape_status tape_zero_grad(tape_tensor x)
{
    tape__leaf *leaf = quick_leaf(x);
    if (!leaf && !(leaf = leaf_for("zero_grad", x)))
        return tape_last_status();
    leaf->has_gradient = false;
    return TAPE_OK;
}

tape_status tape_zero_grads(const tape_tensor *leaves, int64_t n)
{
    tape *t = tape__begin("zero_grads");
    if (!t)
        return tape_last_status();
    bool known = true;
    for (int64_t i = 0; i < n; i++) {
        known = known && leaves[i].flags & TAPE__FLAG_LEAF && tape__proxy_of(t, leaves[i]);
        if (TAPE__UNLIKELY(!known) && !tape__leaf_of(t, leaves[i]))
            return t->status;
    }
    for (int64_t i = 0; i < n; i++)
        (known ? t->proxies[leaves[i].slot].leaf : tape__leaf_at(leaves[i].slot))->has_gradient = false;
    return TAPE_OK;
}

tape_status tape_set_requires_grad(tape_tensor x, bool on)
{
    tape__leaf *leaf = leaf_for("set_requires_grad", x);
    if (!leaf)
        return tape_last_status();
    if (on && leaf->is_gradient) {
        tape__error(tape__tls, TAPE_ERROR_STATE, "a gradient has no gradient of its own: tape_keep() it first");
        return TAPE_ERROR_STATE;
    }
    if (on && leaf->dtype > TAPE_F64)
        return tape__error(tape__tls, TAPE_ERROR_DTYPE, "gradients need f32 or f64, got %s",
                           tape_dtype_name(leaf->dtype))
                   ? TAPE_OK
                   : TAPE_ERROR_DTYPE;
    atomic_store_explicit(&leaf->requires_grad, on, memory_order_relaxed);
    return TAPE_OK;
}

tape_status tape_hook(tape_tensor x, tape_gradient_hook *hook, void *user)
{
    tape__leaf *leaf = leaf_for("hook", x);
    if (!leaf)
        return tape_last_status();
    leaf->hook = hook;
    leaf->hook_user = user;
    return TAPE_OK;
}

/* ---- random numbers ---------------------------------------------------------------------------------------------- */

void tape_seed(uint64_t seed)
{
    tape_random_set((tape_random_state){seed, 0});
}

tape_random_state tape_random_get(void)
{
    const tape *t = tape_current();
    return t ? t->random : (tape_random_state){0, 0};
}

void tape_random_set(tape_random_state state)
{
    tape *t = tape_current();
    if (t)
        t->random = state;
}
