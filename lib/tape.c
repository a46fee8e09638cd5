/* The tape: its life, its nodes, its errors. Does not know what ops compute nor how gradients flow. */
#include "tape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "events.h"
#include "memo.h"
#include "op_index.h"
#include "profile.h"
#include "recall.h"
#include "trace.h"

#define GENERATION_BLOCK 4096
#define MOST_LAYOUTS 8192 /* beyond this a reset starts the intern table anew, so that odd shapes cannot pile up */

_Thread_local tape *tape__tls __attribute__((tls_model("initial-exec")));
static _Thread_local tape *own_tape;            /* what this thread made for itself */
static _Thread_local tape_status orphan_status; /* of a thread that could not get a tape */
static _Atomic uint64_t generation_counter = 1;

/* ---- generations ------------------------------------------------------------------------------------------------- */

uint64_t tape__leaf_generation(void)
{
    return atomic_fetch_add_explicit(&generation_counter, 1, memory_order_relaxed);
}

void tape__new_generation(tape *t)
{
    if (++t->generation >= t->generation_end) {
        t->generation = atomic_fetch_add_explicit(&generation_counter, GENERATION_BLOCK, memory_order_relaxed);
        t->generation_end = t->generation + GENERATION_BLOCK;
    }
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

tape *tape_create_sized(const tape_config *config, size_t config_size)
{
    tape_config full = {0};
    if (config)
        memcpy(&full, config, config_size < sizeof full ? config_size : sizeof full);
    tape__memory memory;
    tape__memory_init(&memory, full.allocator, full.allocator_user, full.memory_budget);
    tape *t = tape__memory_get(&memory, sizeof *t);
    if (!t)
        return NULL;
    memset(t, 0, sizeof *t);
    t->memory = memory;
    t->config = full;
    t->parallel = (struct tape__parallel){full.parallel, full.parallel_user};
    t->random.seed = full.seed;
    t->kernels = tape__kernels();
    tape__arena_init(&t->arena, &t->memory);
    tape__layouts_init(&t->layouts, &t->memory);
    t->scalar = tape__layout_dense(&t->layouts, 0, NULL);
    tape__new_generation(t);
    if (!t->scalar || !tape__grow_nodes(t) || !tape__trace_set(t, full.trace_nonfinite)) {
        tape_destroy(t);
        return NULL;
    }
    tape__profile_born(t);
    return t;
}

TAPE__NOINLINE void tape_destroy(tape *t)
{
    if (!t)
        return;
    if (tape__tls == t)
        tape__tls = NULL;
    if (own_tape == t)
        own_tape = NULL;
    tape__release_from(t, 0);
    if (t->guest)
        t->guest->end(t, t->guest);
    tape__profile_free(t);
    tape__trace_free(t);
    tape__memos_free(t);
    for (uint32_t i = 0; i < t->capacity / TAPE__NODES_PER_CHUNK; i++)
        tape__memory_put(&t->memory, t->chunks[i], TAPE__NODES_PER_CHUNK * sizeof(tape__node));
    tape__memory_put(&t->memory, t->chunks, t->chunk_slots * sizeof *t->chunks);
    tape__memory_put(&t->memory, t->proxies, t->proxy_count * sizeof *t->proxies);
    tape__memory_put(&t->memory, t->marks, t->mark_capacity * sizeof *t->marks);
    tape__memory_put(&t->memory, t->scratch, t->scratch_size);
    tape__layouts_free(&t->layouts);
    tape__arena_free(&t->arena);
    tape__memory memory = t->memory;
    tape__memory_put(&memory, t, sizeof *t);
}

tape *tape_make_current(tape *t)
{
    tape *before = tape__tls;
    tape__tls = t;
    return before;
}

static TAPE__NOINLINE tape *make_own_tape(void)
{
    if (!own_tape)
        own_tape = tape_create(NULL);
    if (!own_tape)
        orphan_status = TAPE_ERROR_MEMORY;
    tape__tls = own_tape;
    return own_tape;
}

tape *tape_current(void)
{
    tape *t = tape__tls;
    return TAPE__LIKELY(t != NULL) ? t : make_own_tape();
}

void tape_thread_end(void)
{
    tape_destroy(own_tape);
}

void tape_shutdown(void)
{
    tape_thread_end();
    tape__pool_stop();
    tape__leaves_shutdown();
    tape__events_shutdown();
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

static void set_error(tape *t, tape_status status, const char *prefix, const char *format, va_list arguments)
{
    if (t->status != TAPE_OK)
        return;
    size_t used = 0;
    if (prefix)
        tape__append(t->message, sizeof t->message, &used, "%s: ", prefix);
    vsnprintf(t->message + used, sizeof t->message - used, format, arguments);
    tape__expect_nothing(t);
    t->status = status;
    t->detour |= TAPE__DETOUR_ERROR;
    if (t->config.log)
        t->config.log(t->config.log_user, status, t->message);
}

static void clear_error(tape *t)
{
    t->status = TAPE_OK;
    t->detour &= ~(uint32_t)TAPE__DETOUR_ERROR;
}

bool tape__error(tape *t, tape_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    set_error(t, status, t->op_name, format, arguments);
    va_end(arguments);
    return false;
}

tape_status tape_fail(tape_status status, const char *format, ...)
{
    tape *t = tape_current();
    if (!t || status == TAPE_OK)
        return status;
    va_list arguments;
    va_start(arguments, format);
    set_error(t, status, NULL, format, arguments);
    va_end(arguments);
    return status;
}

tape_status tape_last_status(void)
{
    tape *t = tape__tls ? tape__tls : own_tape;
    return t ? t->status : orphan_status;
}

const char *tape_message(void)
{
    tape *t = tape__tls ? tape__tls : own_tape;
    if (!t)
        return orphan_status ? "out of memory: no tape could be made" : "";
    return t->status ? t->message : "";
}

void tape_clear(void)
{
    tape *t = tape__tls ? tape__tls : own_tape;
    orphan_status = TAPE_OK;
    if (t)
        clear_error(t);
}

tape *tape__begin(const char *op_name)
{
    tape *t = tape_current();
    if (TAPE__UNLIKELY(!t || t->status != TAPE_OK))
        return NULL;
    if (!t->composite_depth)
        t->op_name = op_name;
    return t;
}

const char *tape__enter(tape *t, const char *op_name)
{
    const char *before = t->op_name;
    if (!t->composite_depth++)
        t->op_name = op_name;
    return before;
}

/* ---- nodes ------------------------------------------------------------------------------------------------------- */

static bool grow_chunk_table(tape *t)
{
    uint32_t slots = t->chunk_slots ? t->chunk_slots * 2 : 16;
    tape__node **chunks = tape__memory_get(&t->memory, slots * sizeof(tape__node *));
    if (!chunks)
        return false;
    if (t->chunks)
        memcpy(chunks, t->chunks, t->chunk_slots * sizeof(tape__node *));
    tape__memory_put(&t->memory, t->chunks, t->chunk_slots * sizeof(tape__node *));
    t->chunks = chunks;
    t->chunk_slots = slots;
    return true;
}

bool tape__grow_nodes(tape *t)
{
    uint32_t index = t->capacity >> TAPE__NODES_LOG2;
    if (t->capacity > TAPE__MOST_NODES - 2 * TAPE__NODES_PER_CHUNK)
        return tape__error(t, TAPE_ERROR_MEMORY, "the tape is full: %u records", t->capacity);
    if (index == t->chunk_slots && !grow_chunk_table(t))
        return tape__error(t, TAPE_ERROR_MEMORY, "out of memory for records");
    tape__node *chunk = tape__memory_get(&t->memory, TAPE__NODES_PER_CHUNK * sizeof *chunk);
    if (!chunk)
        return tape__error(t, TAPE_ERROR_MEMORY, "out of memory for records");
    t->chunks[index] = chunk;
    t->capacity += TAPE__NODES_PER_CHUNK;
    return true;
}

tape__node *tape__new_node(tape *t, uint32_t *slot)
{
    if (TAPE__UNLIKELY(t->count == t->capacity) && !tape__grow_nodes(t))
        return NULL;
    *slot = t->count++;
    tape__node *node = tape__at(t, *slot);
    *node = (tape__node){.generation = t->generation, .version = &node->own_version};
    return node;
}

static TAPE__NOINLINE tape__node *out_of_memory(tape *t, tape_dtype dtype, int rank, const int64_t *size)
{
    tape__error(t, TAPE_ERROR_MEMORY, "out of memory for %s of %s", tape__shape_text(rank, size).text,
                tape_dtype_name(dtype));
    return NULL;
}

tape__node *tape__new_dense(tape *t, tape_dtype dtype, const tape__layout *dense, uint32_t *slot)
{
    size_t bytes = (size_t)dense->numel * tape__item_size(dtype);
    void *data = tape__arena_get(&t->arena, bytes);
    if (TAPE__UNLIKELY(!data))
        return out_of_memory(t, dtype, dense->rank, dense->size);
    if (TAPE__UNLIKELY(t->count == t->capacity) && !tape__grow_nodes(t)) {
        tape__arena_put(&t->arena, data, bytes);
        return NULL;
    }
    *slot = t->count++;
    tape__node *node = tape__at(t, *slot);
    *node = (tape__node){.generation = t->generation,
                         .data = data,
                         .layout = dense,
                         .version = &node->own_version,
                         .dtype = (uint8_t)dtype,
                         .flags = TAPE__OWNS_BLOCK};
    return node;
}

tape__node *tape__new_tensor(tape *t, tape_dtype dtype, int rank, const int64_t *size, uint32_t *slot)
{
    int64_t numel;
    if (TAPE__UNLIKELY(t->promote) && dtype == TAPE_F32)
        dtype = TAPE_F64;
    const tape__layout *layout = rank ? tape__layout_recent(&t->layouts, rank, size) : t->scalar;
    if (TAPE__LIKELY(layout != NULL))
        return tape__new_dense(t, dtype, layout, slot);
    if (!tape__shape_numel(rank, size, &numel)) {
        tape__error(t, TAPE_ERROR_SHAPE, "%s is no shape: sizes must not be negative nor their product overflow",
                    tape__shape_text(rank, size).text);
        return NULL;
    }
    layout = tape__layout_dense(&t->layouts, rank, size);
    return layout ? tape__new_dense(t, dtype, layout, slot) : out_of_memory(t, dtype, rank, size);
}

void tape__truncate(tape *t, uint32_t count)
{
    tape__release_from(t, count);
    for (uint32_t slot = t->count; slot-- > count;) {
        tape__node *node = tape__at(t, slot);
        tape__extra *extra = tape__extra_of(node);
        if (node->flags & TAPE__OWNS_BLOCK)
            tape__arena_put(&t->arena, node->data, (size_t)node->layout->numel * tape__item_size(node->dtype));
        if (extra)
            tape__arena_put(&t->arena, extra, extra->bytes);
    }
    if (t->count != count)
        tape__new_generation(t);
    tape__expect_nothing(t);
    t->count = count;
    tape__forget_consumed(t, count);
}

bool tape__settled(tape *t)
{
    return TAPE__LIKELY(!t->unsettled) ||
           tape__error(t, TAPE_ERROR_STATE, "a replay failed halfway: replay again, or reset");
}

void *tape__scratch(tape *t, size_t bytes)
{
    if (bytes > t->scratch_size || !t->scratch) { /* for no bytes too: null is an error */
        size_t size = bytes + bytes / 4 + 64;
        void *scratch = tape__memory_get(&t->memory, size);
        if (!scratch) {
            tape__error(t, TAPE_ERROR_MEMORY, "out of memory for %zu bytes of work space", bytes);
            return NULL;
        }
        tape__memory_put(&t->memory, t->scratch, t->scratch_size);
        t->scratch = scratch;
        t->scratch_size = size;
    }
    return t->scratch;
}

const struct tape__parallel *tape__threads_of(const tape *t)
{
    return t->parallel.run ? &t->parallel : tape__pool();
}

/* ---- reset ------------------------------------------------------------------------------------------------------- */

void tape__note_peak(tape *t)
{
    size_t now = tape__arena_in_use(&t->arena) + t->arena.free_bytes + t->count * sizeof(tape__node);
    if (now > t->bytes_peak)
        t->bytes_peak = now;
}

static void renew_layouts(tape *t)
{
    tape__layouts fresh;
    tape__layouts_init(&fresh, &t->memory);
    const tape__layout *scalar = tape__layout_dense(&fresh, 0, NULL);
    if (!scalar) /* keep the old table: it works, it is only large */
        return;
    tape__layouts_free(&t->layouts);
    t->layouts = fresh;
    memset(t->plans, 0, sizeof t->plans);
    t->scalar = scalar;
    t->layout_epoch++;
}

tape_status tape_reset(void)
{
    tape *t = tape_current();
    if (!t)
        return orphan_status;
    if (t->callback_depth) {
        t->op_name = "reset";
        tape__error(t, TAPE_ERROR_STATE, "not allowed inside a callback");
        return t->status;
    }
    tape__note_peak(t);
    tape__release_from(t, 0);
    t->count = 0;
    tape__forget_consumed(t, 0);
    t->values_gone = false;
    t->ending_count = 0;
    tape__arena_rewind(&t->arena, (tape__arena_position){0, 0, 0});
    tape__empty_free_lists(t);
    t->arena.free_bytes = 0;
    t->mark_count = 0;
    t->first_read.by = t->lowest_read.by = NULL;
    t->unsettled = false;
    t->unrepeatable = 0;
    tape__new_generation(t);
    clear_error(t);
    if (t->layouts.count > MOST_LAYOUTS)
        renew_layouts(t);
    tape__recall_begin(t);
    return TAPE_OK;
}
