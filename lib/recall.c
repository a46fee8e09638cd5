/* Ops that repeat those of an earlier tape: how they are kept, known again and done again. */
#include "recall.h"

#include <string.h>

#include "kept.h"
#include "ops/ops.h"
#include "sweep.h"

#define MOST_INPUTS 8

/* An input as it was given: a leaf, which is to need a gradient, or none, as it did; or what an op has made. */
typedef struct kept_input {
    uint64_t handle;     /* slot and flags */
    uint64_t generation; /* of the leaf: what ops make has another one on each tape */
    const tape__leaf *leaf;
    const tape__node *made;
    uint64_t wants;
} kept_input;

/* A record's block as it is to be. */
typedef struct kept_block {
    void *to;
    size_t bytes; /* which follow */
} kept_block;

/* An op, in the list of records, with what follows: inputs, attributes, tasks, blocks and versions. */
typedef struct kept_op {
    size_t bytes;                      /* of all that */
    size_t tasks, blocks, versions;    /* where they begin */
    unsigned char *top, *top_after;    /* of the arena */
    size_t blocks_after;               /* where the list of blocks of the memo goes on */
    uint32_t slot, slot_after, result; /* its nodes */
    uint32_t n, op, attr_size;
    kept_input in[];
} kept_op;

static const kept_op *op_at(const tape__memo *m, size_t at)
{
    return tape__list_at(&m->records, at);
}

static size_t attr_at(const kept_op *k)
{
    return sizeof *k + k->n * sizeof *k->in;
}

/* What is kept of the op that runs ends before it. */
static void drop(tape *t, tape__progress *r)
{
    if (r->running != TAPE__NONE_RUNS)
        t->expected->records.used = r->running;
    r->running = TAPE__NONE_RUNS;
    t->noting = NULL;
}

/* ---- which tape is expected -------------------------------------------------------------------------------------- */

void tape__recall_stop(tape *t)
{
    tape__progress *r = &t->memos->progress;
    if (r->noting)
        drop(t, r);
    r->noting = false;
    t->expected = NULL;
}

void tape__recall_begin(tape *t)
{
    struct tape__memos *all = t->memos;
    tape__expect_nothing(t);
    tape__memo *m = all && all->last ? all->last->next : NULL;
    if (!m || !m->complete || m->epoch != t->layout_epoch)
        return;
    if (m->recalls && !m->records.used)
        return;
    all->progress = (tape__progress){.noting = !m->recalls, .running = TAPE__NONE_RUNS};
    t->expected = m;
}

void tape__recall_met(tape *t, tape__memo *m)
{
    struct tape__memos *all = t->memos;
    if (t->expected == m && all->progress.noting && all->progress.started) {
        m->recalls = true;
        m->ops = (tape__patience){0, 0};
    }
    tape__expect_nothing(t);
    if (all->last)
        all->last->next = m;
    all->last = m;
}

/* Ops that are called within others that are no part of a tape, or that somebody watches, are none to repeat. */
static bool is_plain(const tape *t)
{
    return !(t->detour | (uint32_t)t->paused | (uint32_t)t->callback_depth | t->replaying | (uint32_t)t->promote);
}

/* ---- keeping ----------------------------------------------------------------------------------------------------- */

static uint64_t handle_of(tape_tensor x)
{
    return (uint64_t)x.flags << 32 | x.slot;
}

/* The input can be known again: no last use, no view of a leaf. */
static bool keep_input(const tape *t, kept_input *in, tape_tensor x)
{
    uint32_t slot;
    *in = (kept_input){.handle = handle_of(x)};
    if (!(x.flags & TAPE__FLAG_LEAF))
        return (in->made = tape__find(t, x, &slot)) != NULL;
    if (!(in->leaf = tape__find_alive(t, x)))
        return false;
    in->generation = x.generation;
    in->wants = atomic_load_explicit(&in->leaf->requires_grad, memory_order_relaxed);
    return true;
}

/* Not 0 where it is another. */
TAPE__INLINE uint64_t input_differs(const kept_input *in, tape_tensor x)
{
    const uint64_t differs = handle_of(x) ^ in->handle;
    if (!in->leaf)
        return differs | (in->made->generation ^ x.generation);
    if (differs | (x.generation ^ in->generation)) /* its memory may be gone, too */
        return 1;
    const uint64_t alive = atomic_load_explicit(&in->leaf->generation, memory_order_acquire);
    const uint64_t wants = atomic_load_explicit(&in->leaf->requires_grad, memory_order_relaxed);
    return (alive ^ x.generation) | (wants ^ in->wants);
}

/* Most attributes are words, few enough that a call costs more. */
TAPE__INLINE bool is_attr(const kept_op *k, const void *attr, size_t attr_size)
{
    const unsigned char *kept = (const unsigned char *)k + attr_at(k), *given = attr;
    if (k->attr_size != attr_size)
        return false;
    if (attr_size % sizeof(uint64_t))
        return memcmp(kept, given, attr_size) == 0;
    uint64_t differs = 0;
    for (size_t at = 0; at < attr_size; at += sizeof differs) {
        uint64_t a, b;
        memcpy(&a, kept + at, sizeof a);
        memcpy(&b, given + at, sizeof b);
        differs |= a ^ b;
    }
    return !differs;
}

TAPE__INLINE bool is_op(const kept_op *k, int op, const tape_tensor *x, int n, const void *attr, size_t attr_size)
{
    if (k->op != (uint32_t)op || k->n != (uint32_t)n || !is_attr(k, attr, attr_size))
        return false;
    uint64_t differs = 0;
    for (int i = 0; i < n; i++)
        differs |= input_differs(&k->in[i], x[i]);
    return !differs;
}

/* Whether the op that runs is this one: it has another way, and is called there once more. */
static bool runs(const tape__memo *m, const tape__progress *r, int op, const tape_tensor *x, int n, const void *attr,
                 size_t attr_size)
{
    return r->running != TAPE__NONE_RUNS && is_op(op_at(m, r->running), op, x, n, attr, attr_size);
}

static kept_op *describe(tape *t, tape__memo *m, const tape_tensor *x, int n, const void *attr, size_t attr_size)
{
    kept_op *k = n > MOST_INPUTS
                     ? NULL
                     : tape__list_add(t, &m->records, sizeof *k + (size_t)n * sizeof *k->in + (attr_size + 7) / 8 * 8);
    if (!k)
        return NULL;
    k->n = (uint32_t)n;
    k->attr_size = (uint32_t)attr_size;
    if (attr_size)
        memcpy((unsigned char *)k + attr_at(k), attr, attr_size);
    for (int i = 0; i < n; i++)
        if (!keep_input(t, &k->in[i], x[i]))
            return NULL;
    return k;
}

/* An op begins that may be one to keep. */
static void begin(tape *t, int op, const tape_tensor *x, int n, const void *attr, size_t attr_size)
{
    tape__memo *m = t->expected;
    tape__progress *r = &t->memos->progress;
    if (runs(m, r, op, x, n, attr, attr_size))
        return;
    drop(t, r);
    if (!is_plain(t))
        return;
    if (!r->started)
        m->records.used = 0;
    if ((!r->started && !tape__is_time(&m->ops)) || !tape__is_same(t, m, &r->same)) {
        tape__recall_stop(t);
        return;
    }
    r->started = true;
    const size_t at = m->records.used;
    kept_op *k = describe(t, m, x, n, attr, attr_size);
    r->running = at;
    if (!k) {
        drop(t, r);
        return;
    }
    k->op = (uint32_t)op;
    k->tasks = m->records.used - at;
    k->slot = t->count;
    k->top = t->arena.top;
    r->whole = false;
    r->free_bytes = t->arena.free_bytes;
    r->chunk = t->arena.current;
    t->noting = &m->records;
}

static bool keep_blocks(tape *t, tape__memo *m, uint32_t slot)
{
    for (; slot < t->count; slot++) {
        tape__extra *e = tape__extra_of(tape__at(t, slot));
        const kept_block block = {e, e ? (e->bytes + 15) / 16 * 16 : 0};
        if (e && !(tape__list_append(t, &m->records, &block, sizeof block) &&
                   tape__list_append(t, &m->records, e, block.bytes)))
            return false;
    }
    return true;
}

/* Where the versions of leaves are saved. */
static bool keep_versions(tape *t, tape__memo *m, uint32_t slot)
{
    for (; slot < t->count; slot++) {
        const tape__node *y = tape__at(t, slot);
        const uint32_t *in, *saved;
        const int n = y->op > TAPE__OP_OUTPUT ? tape__record_inputs(y, &in, &saved) : 0;
        for (int i = 0; i < n; i++) {
            const tape__node *x = tape__at(t, in[i]);
            const tape__saved_leaf place = {&saved[i], x->version};
            if (x->flags & TAPE__LEAF_ALIAS && !tape__list_append(t, &m->records, &place, sizeof place))
                return false;
        }
    }
    return true;
}

/* The op has run; false where it cannot be kept. */
static bool complete(tape *t, tape__memo *m, tape__progress *r, tape_tensor y)
{
    const size_t at = r->running;
    kept_op k = *op_at(m, at);
    if (tape_is_null(y) || y.slot < k.slot || k.slot >> TAPE__NODES_LOG2 != (t->count - 1) >> TAPE__NODES_LOG2 ||
        !r->whole || !t->noting || r->free_bytes != t->arena.free_bytes || r->chunk != t->arena.current)
        return false;
    k.result = y.slot;
    k.slot_after = t->count;
    k.blocks_after = r->same.blocks;
    k.top_after = t->arena.top;
    k.blocks = m->records.used - at;
    if (!keep_blocks(t, m, k.slot))
        return false;
    k.versions = m->records.used - at;
    if (!keep_versions(t, m, k.slot))
        return false;
    k.bytes = m->records.used - at;
    memcpy(m->records.bytes + at, &k, sizeof k);
    return true;
}

void tape__recall_keep(tape *t, tape_tensor y)
{
    tape__progress *r = &t->memos->progress;
    tape__memo *m = t->expected;
    if (r->running == TAPE__NONE_RUNS)
        return;
    const bool same = tape__is_same(t, m, &r->same);
    if (!same || !complete(t, m, r, y))
        drop(t, r);
    r->running = TAPE__NONE_RUNS;
    t->noting = NULL;
    if (!same)
        tape__recall_stop(t);
}

void tape__recall_note_whole(tape *t)
{
    t->memos->progress.whole = true;
}

/* ---- doing again ------------------------------------------------------------------------------------------------- */

/* This op where the expected tape has it at this place; NULL where none is kept, or that of another op: what runs may
 * be made of several. */
static const kept_op *find(const tape *t, const tape__memo *m, tape__progress *r, int op)
{
    while (r->at < m->records.used) {
        const kept_op *k = op_at(m, r->at);
        if (k->slot >= t->count)
            return k->slot == t->count && k->op == (uint32_t)op ? k : NULL;
        r->at += k->bytes;
    }
    return NULL;
}

static void make_nodes(tape *t, const tape__memo *m, const kept_op *k)
{
    const tape__kept_node *from = (const tape__kept_node *)(const void *)m->nodes.bytes + k->slot;
    tape__node *x = tape__at(t, k->slot);
    for (uint32_t slot = k->slot; slot < k->slot_after; slot++, from++, x++) {
        x->generation = t->generation;
        memcpy(&x->data, from->word, sizeof from->word);
        memcpy(x->saved, &from->alive, sizeof from->alive);
        x->u.extra = (tape__extra *)(uintptr_t)from->held;
        if (x->op == TAPE__OP_LEAF)
            t->proxies[x->u.leaf->slot].node[x->flags & TAPE__REQUIRES_GRAD] = slot;
    }
}

static void make_records(tape *t, const tape__memo *m, const kept_op *k)
{
    const unsigned char *at = (const unsigned char *)k + k->blocks, *end = (const unsigned char *)k + k->versions;
    make_nodes(t, m, k);
    while (at < end) {
        const kept_block *block = (const kept_block *)(const void *)at;
        memcpy(block->to, block + 1, block->bytes);
        at += sizeof *block + block->bytes;
    }
    const tape__saved_leaf *place = (const tape__saved_leaf *)(const void *)end;
    for (size_t left = (k->bytes - k->versions) / sizeof *place; left-- > 0; place++)
        *(uint32_t *)(uintptr_t)place->saved = *place->version;
    t->count = k->slot_after;
    t->arena.top = k->top_after;
}

bool tape__recall_op(tape *t, int op, const tape_tensor *x, int n, const void *attr, size_t attr_size, tape_tensor *y)
{
    const tape__memo *m = t->expected;
    tape__progress *r = &t->memos->progress;
    if (r->noting) {
        begin(t, op, x, n, attr, attr_size);
        return false;
    }
    const kept_op *k = is_plain(t) ? find(t, m, r, op) : NULL;
    if (!k)
        return false;
    if (k->top != t->arena.top || !is_op(k, op, x, n, attr, attr_size) ||
        (r->same.nodes != t->count && !tape__is_same(t, m, &r->same))) {
        tape__recall_stop(t);
        return false;
    }
    if (!t->composite_depth)
        t->op_name = tape__ops[op].name;
    make_records(t, m, k);
    *y = (tape_tensor){t->generation, k->result, 0};
    const unsigned char *from = (const unsigned char *)k;
    if (TAPE__LIKELY(tape__do_again(t, from + k->tasks, from + k->blocks))) {
        r->same = (tape__sameness){k->slot_after, k->blocks_after};
        r->at += k->bytes;
        t->repeated_ops++;
        return true;
    }
    t->count = k->slot;
    t->arena.top = k->top;
    tape__recall_stop(t);
    *y = TAPE_NULL;
    return true;
}
