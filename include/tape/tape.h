/*
 * tape: an eager, tape-based automatic-differentiation runtime.
 *
 * In learning order: create leaves, call ops (ops.h), call tape_backward(), read gradients, tape_reset(), repeat.
 *
 * Errors. No function aborts or prints. A failing call returns a null handle or a status and the current tape keeps the
 * first error, with a message that names the op and the shapes. While an error is kept every op returns null, so
 * expressions nest without a check per call; look once, at the end. tape_clear() and tape_reset() clear it.
 *
 * Threads. A tape belongs to one thread at a time. Each thread has a current tape, made on first use. Leaves may be
 * read by any number of threads at once; unless a function says otherwise it works on the calling thread's current
 * tape.
 */
#ifndef TAPE_TAPE_H
#define TAPE_TAPE_H

#include "tape/types.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TAPE_VERSION_MAJOR 0
#define TAPE_VERSION_MINOR 1
#define TAPE_VERSION_PATCH 0
#define TAPE_VERSION_STRING "0.1.0"

/* The version of the library that is linked, "0.1.0". */
TAPE_API const char *tape_version(void);

/* ---- errors ------------------------------------------------------------------------------------------------------ */

/* The first error since the last clear or reset; TAPE_OK if there was none. */
TAPE_API tape_status tape_last_status(void);

/* One line that says what failed, with op and shapes; "" if nothing did. Valid until the error is cleared. */
TAPE_API const char *tape_message(void);

/* Forget the error. Recorded values stay. */
TAPE_API void tape_clear(void);

/* Put an error of the caller's own on the current tape (custom ops, training kits); the first one stays. Returns
 * `status`. The message is formatted as by printf and cut at 255 bytes. */
TAPE_API tape_status tape_fail(tape_status status, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;

/* ---- tapes ------------------------------------------------------------------------------------------------------- */

typedef struct tape tape;

/* Lua's allocator shape: (user, NULL, 0, n) allocates, (user, p, n, 0) frees and returns NULL, (user, p, n, m) resizes.
 * Returns NULL when it cannot; memory aligned as by malloc. Must be thread-safe if tapes on several threads share it.
 */
typedef void *tape_allocator(void *user, void *pointer, size_t old_size, size_t new_size);

/* One piece of parallel work: calls with different i are independent. */
typedef void tape_body(void *arg, int64_t i);

/* A user's scheduler: call body(arg, i) once for every i in [0, n), in any order, on any threads, and return when all
 * are done. */
typedef void tape_parallel_hook(void *user, int64_t n, tape_body *body, void *arg);

/* Gets one line of text for each error when it is first set. */
typedef void tape_log_hook(void *user, tape_status status, const char *message);

/* Whether to look for the first NaN or infinity, and what to do about it: tape/trace.h. */
typedef enum tape_trace_mode { TAPE_TRACE_OFF = 0, TAPE_TRACE_REPORT, TAPE_TRACE_ERROR } tape_trace_mode;

typedef struct tape_config {
    tape_allocator *allocator; /* NULL: the C library's */
    void *allocator_user;
    size_t memory_budget;         /* bytes that the tape may hold at once; 0: no limit */
    tape_parallel_hook *parallel; /* NULL: the built-in pool that tape_threads() starts */
    void *parallel_user;
    tape_log_hook *log; /* NULL: silent */
    void *log_user;
    uint64_t seed; /* of the tape's random generator; 0 is a seed like any other */
    tape_trace_mode trace_nonfinite;
} tape_config;

/* A new tape, not current anywhere; NULL if memory is short. `config` may be NULL: all defaults. The macro passes the
 * size of the caller's tape_config, so that the struct can grow. */
TAPE_API tape *tape_create_sized(const tape_config *config, size_t config_size);
#define tape_create(config) tape_create_sized((config), sizeof(tape_config))

/* Free the tape and every intermediate on it. NULL is ignored. A tape that is current on another thread must not be
 * destroyed. */
TAPE_API void tape_destroy(tape *t);

/* Make `t` the calling thread's current tape and return the one before it (NULL if there was none). NULL: none; the
 * next op then makes a default one. Fibers and job systems carry a tape from thread to thread with this. */
TAPE_API tape *tape_make_current(tape *t);

/* The calling thread's current tape, made with default configuration if there is none; NULL if memory is short. */
TAPE_API tape *tape_current(void);

/* Free the tape that this thread made for itself on first use. Call it before a thread ends. */
TAPE_API void tape_thread_end(void);

/* End the thread pool and free the leaf registry with every leaf in it. No tape may be in use. The library can be used
 * again afterwards. */
TAPE_API void tape_shutdown(void);

/* Allocate and touch memory ahead of the first frame: bytes for values, records for ops. */
TAPE_API tape_status tape_reserve(size_t bytes, int64_t records);

/* Threads that large ops may use: 1 (the default) is serial. Results are bit-identical for every n. Starts or ends the
 * process-wide pool. TAPE_ERROR_ARGUMENT if n < 1 or n > 256. */
TAPE_API tape_status tape_threads(int n);

/* The instruction set in use ("sse2", "avx2", "avx512", "neon", "generic") and whether it is of the class with FMA:
 * results are bit-identical within a class (the sign of a NaN is the processor's). TAPE_ISA in the environment chooses
 * one by hand. */
TAPE_API const char *tape_isa(void);
TAPE_API bool tape_has_fma(void);

/* Why TAPE_ISA was not followed; NULL if it was, or is not set. */
TAPE_API const char *tape_isa_note(void);

/* The optional parts of this build, for people: "SLEEF, zlib". */
TAPE_API const char *tape_build_features(void);

/* In a build with TAPE_CBLAS, what the BLAS that computes large matrix products says of itself; else NULL. Such a build
 * gives the same bits for any number of threads of tape's, but on other machines only with the same BLAS on the same
 * processor. OpenBLAS is held to one thread during each product, and given its number again; another BLAS has to be one
 * that uses a single thread. */
TAPE_API const char *tape_blas(void);

/* Counters of the current tape. Leaves and their gradients belong to no tape and are not counted. */
typedef struct tape_statistics {
    size_t bytes_now;        /* of values, adjoints and records in use */
    size_t bytes_peak;       /* the most that these filled since the tape was made, free blocks between them included */
    size_t bytes_reserved;   /* held from the allocator now: what the memory budget limits */
    int64_t records;         /* on the tape now, constants and the stand-ins of leaves included */
    int64_t allocator_calls; /* since the tape was made, frees included */
    int64_t repeated_sweeps; /* since then, those that did again what an earlier tape_backward() did; see there */
    int64_t repeated_ops;    /* ... and ops that did again what they did on an earlier tape */
} tape_statistics;
/* Costs nothing until called; all zero when there is no tape and memory is short. */
TAPE_API tape_statistics tape_stats(void);

/* ---- making tensors ---------------------------------------------------------------------------------------------- */

/*
 * Leaves are persistent: they live until tape_free(), outlast resets, and may be shared by threads. `data` holds the
 * elements in row-major order and is copied; NULL gives zeros. tape_param() makes a leaf that receives gradients (f32
 * or f64 only), tape_const() one that does not.
 */
TAPE_API tape_tensor tape_param(tape_dtype dtype, tape_shape shape, const void *data);
TAPE_API tape_tensor tape_const(tape_dtype dtype, tape_shape shape, const void *data);

/* Free a leaf and its gradient. Null and TAPE_NONE are ignored. A tape that saved the leaf's value reports
 * TAPE_ERROR_VERSION on its next backward; no other thread may be reading the leaf. */
TAPE_API tape_status tape_free(tape_tensor leaf);

/* Constants in the tape's arena: they end at the next reset or rewind. `data` is copied; NULL gives zeros. */
TAPE_API tape_tensor tape_from(tape_dtype dtype, tape_shape shape, const void *data);
TAPE_API tape_tensor tape_full(tape_dtype dtype, tape_shape shape, double value);
TAPE_API tape_tensor tape_scalar(tape_dtype dtype, double value);
TAPE_API tape_tensor tape_zeros(tape_dtype dtype, tape_shape shape);
TAPE_API tape_tensor tape_ones(tape_dtype dtype, tape_shape shape);
TAPE_API tape_tensor tape_zeros_like(tape_tensor x);
TAPE_API tape_tensor tape_ones_like(tape_tensor x);
/* start, start + step, ... while below (above, for a negative step) `end`. */
TAPE_API tape_tensor tape_arange(tape_dtype dtype, double start, double end, double step);
/* `count` values from start to end, both included. */
TAPE_API tape_tensor tape_linspace(tape_dtype dtype, double start, double end, int64_t count);
/* The n x m matrix with ones on its diagonal. */
TAPE_API tape_tensor tape_eye(tape_dtype dtype, int64_t n, int64_t m);

/* ---- asking ------------------------------------------------------------------------------------------------------ */

/* These report a bad handle like an op does, and then return 0, TAPE_F32, a rank-0 shape or false. */
TAPE_API tape_dtype tape_dtype_of(tape_tensor x);
TAPE_API tape_shape tape_shape_of(tape_tensor x);
TAPE_API int tape_rank(tape_tensor x);
TAPE_API int64_t tape_size(tape_tensor x, int axis); /* one axis's size; a negative axis counts from the last */
TAPE_API int64_t tape_numel(tape_tensor x);
TAPE_API bool tape_is_contiguous(tape_tensor x);
TAPE_API bool tape_requires_grad(tape_tensor x);
TAPE_API bool tape_is_leaf(tape_tensor x);

/* True if the handle can be used on the current tape now. Never an error. */
TAPE_API bool tape_is_valid(tape_tensor x);
/* Whether all n are. */
TAPE_API bool tape_are_valid(const tape_tensor *x, int64_t n);

/* ---- data in and out --------------------------------------------------------------------------------------------- */

/* The one element of x as a double (NaN after an error); integers beyond 2^53 lose digits. */
TAPE_API double tape_item(tape_tensor x);

/* Copy all n elements of x, row-major whatever its strides, into `out` of x's dtype. n must be tape_numel(x). */
TAPE_API tape_status tape_read(tape_tensor x, void *out, int64_t n);

/* x's elements, row-major. Non-contiguous x gives NULL and an error: use tape_read(). A leaf's pointer is valid until
 * it is freed; an intermediate's until its handle ends. The typed forms also check the dtype. */
TAPE_API const void *tape_data(tape_tensor x);
TAPE_API const float *tape_data_f32(tape_tensor x);
TAPE_API const double *tape_data_f64(tape_tensor x);

/* The same for writing: it bumps the version of x's storage, so that a record that saved the old value reports an error
 * instead of a wrong gradient. Each writing takes a new call; writes through an older pointer cannot be seen. */
TAPE_API void *tape_data_mut(tape_tensor x);

/* Refill a leaf from row-major data of its dtype without allocating. `bytes` must be a whole number of slices along the
 * first axis and at most the leaf's size; what is not written keeps its value. */
TAPE_API tape_status tape_write(tape_tensor leaf, const void *data, size_t bytes);

/* Copy x, which may be a view of the leaf, into a leaf of the same dtype, broadcasting x to the leaf's shape. Allocates
 * nothing once warm. */
TAPE_API tape_status tape_assign(tape_tensor leaf, tape_tensor x);

/* A new leaf without gradient that holds a copy of x; and the same into a leaf of equal shape, without allocating. */
TAPE_API tape_tensor tape_keep(tape_tensor x);
TAPE_API tape_status tape_keep_into(tape_tensor leaf, tape_tensor x);

/* Write x as text into `buffer` (always terminated; cut with "..." if it does not fit), like snprintf: returns the
 * length it would have had. Allocation-free and independent of the locale. tape_print() writes the same to a stdio
 * stream. */
TAPE_API size_t tape_format(tape_tensor x, char *buffer, size_t size);
TAPE_API void tape_print(tape_tensor x);

/* ---- recording --------------------------------------------------------------------------------------------------- */

/* Stop and continue recording; calls nest. Results made while paused have no history. */
TAPE_API void tape_pause(void);
TAPE_API void tape_resume(void);
TAPE_API bool tape_is_recording(void);

/* A view of x without history: no gradient flows through it. */
TAPE_API tape_tensor tape_detach(tape_tensor x);

/*
 * x, for the last time: the op that takes the result is the last to see x.
 *
 *   h = tape_relu(tape_last(tape_linear(x, w, b)));
 *
 * When it has run, x's handles have ended, and x's memory is used again unless something still needs it: a record that
 * saved x's value, a view of x, or a mark made after x. The values and gradients of everything else stay what they
 * would be; a derivative of any order may still pass through x. Give the result straight to one op: for asking, reading
 * and backward it stands for x and ends nothing. Leaves, null and TAPE_NONE come back as they are; in a callback, so do
 * the tensors from outside.
 */
TAPE_API tape_tensor tape_last(tape_tensor x);

/* Drop every intermediate and clear the error; memory is kept. O(1) in the number of records. An error inside a
 * callback. */
TAPE_API tape_status tape_reset(void);

/* A place on the tape. tape_rewind() drops what was made since; the mark stays and can be rewound to again.
 * tape_mark_drop() forgets the mark and those made after it, so that memory before it may be reused. */
typedef struct tape_position {
    uint64_t id;
    uint32_t depth;
} tape_position;
TAPE_API tape_position tape_mark(void);
TAPE_API tape_status tape_rewind(tape_position mark);
TAPE_API tape_status tape_mark_drop(tape_position mark);

/* ---- derivatives ------------------------------------------------------------------------------------------------- */

/*
 * Add dy/dleaf to the gradient of every leaf with gradients that y depends on. y has one element and is seeded with 1;
 * tape_backward_with() takes the cotangent, of y's shape and dtype. The tape is not consumed: a second call accumulates
 * again. On any error no leaf's gradient has changed.
 *
 * A step that a loop records again and again goes back faster from the third time on: tape_backward() keeps what it did
 * to memory, for the four steps that it met last, and does that again where the tape is the same record by record; the
 * gradients have the same bits. That takes some 200 bytes a record; it is done for up to 65536 records and 64 MiB of
 * tensors, and not under a memory budget, with hooks or where a record has no fused derivative. From the sixth time on
 * tape_linear(), tape_linear_activated() and tape_cross_entropy() make their records from what is kept of them, too, as
 * long as all that was recorded before is the same; each still runs when it is called. tape_stats() counts both.
 */
TAPE_API tape_status tape_backward(tape_tensor y);
TAPE_API tape_status tape_backward_with(tape_tensor y, tape_tensor cotangent);

/*
 * The same as tape_backward(), but with less memory: each intermediate ends, and its memory serves the gradients before
 * it, as soon as no derivative can need it. Afterwards all intermediates on the tape but y have ended (those from
 * before the innermost mark stay), also after an error; a second sweep through their records is TAPE_ERROR_STATE.
 */
TAPE_API tape_status tape_backward_once(tape_tensor y);

/* The gradient accumulated in a leaf: a leaf of the same shape and dtype that belongs to it; TAPE_NONE while absent.
 * Writing to it through tape_data_mut() is allowed. */
TAPE_API tape_tensor tape_gradient(tape_tensor leaf);

/* What a step of an optimiser wants of a leaf: the elements of the leaf, for writing, and of its gradient, both
 * row-major. */
typedef struct tape_update {
    void *data;
    const void *gradient; /* NULL while absent */
    int64_t numel;
    tape_dtype dtype;
} tape_update;

/* That of n leaves at once. The versions of those with a gradient are bumped, as by tape_data_mut(). After an error
 * (one of them is no live leaf) nothing is to be written. */
TAPE_API tape_status tape_updates_of(const tape_tensor *leaves, int64_t n, tape_update *updates);

/* Make the leaf's gradient absent. Touches no memory. */
TAPE_API tape_status tape_zero_grad(tape_tensor leaf);

/* The same for n leaves: for all of them, or after an error (one of them is no live leaf) for none. */
TAPE_API tape_status tape_zero_grads(const tape_tensor *leaves, int64_t n);

/* Freeze or thaw a leaf: whether ops recorded from now on pass gradients to it. An error for a leaf's gradient. */
TAPE_API tape_status tape_set_requires_grad(tape_tensor leaf, bool on);

/* Called on a leaf's whole gradient contribution of one backward, before any leaf's is committed. May return g itself,
 * a new tensor of its shape made with ops, or TAPE_NONE to drop the contribution. A null result fails the backward. g
 * may be shared and must not be written. Freeing leaves is allowed; a freed one gets no gradient. */
typedef tape_tensor tape_gradient_hook(void *user, tape_tensor g);
TAPE_API tape_status tape_hook(tape_tensor leaf, tape_gradient_hook *hook, void *user);

typedef struct tape_grad_options {
    bool create_graph; /* record the derivative itself, so that it can be differentiated again */
} tape_grad_options;

/* out[j] = sum_i cotangents[i] . d ys[i] / d xs[j], accumulating nowhere. `cotangents` NULL, or a TAPE_NONE entry,
 * means 1 for a one-element y. xs are leaves or intermediates, which may lie on each other's path or be given twice.
 * out[j] is TAPE_NONE where nothing connects. The results are arena tensors; after an error all are null and nothing
 * stays recorded. `options` may be NULL. */
TAPE_API tape_status tape_grad(const tape_tensor *ys, int n, const tape_tensor *cotangents, const tape_tensor *xs,
                               int m, const tape_grad_options *options, tape_tensor *out);

/* ---- random numbers ---------------------------------------------------------------------------------------------- */

/* Every random op takes its key from the seed and a counter that it advances: the same program draws the same numbers
 * for any thread count. Set, read and restore the current tape's generator. */
typedef struct tape_random_state {
    uint64_t seed;
    uint64_t counter;
} tape_random_state;
TAPE_API void tape_seed(uint64_t seed);
TAPE_API tape_random_state tape_random_get(void);
TAPE_API void tape_random_set(tape_random_state state);

#ifdef __cplusplus
}
#endif

#include "tape/ops.h"

#endif
