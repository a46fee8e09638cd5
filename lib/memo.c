/* Sweeps that repeat an earlier one: what is kept of a tape to know it again, and the list of what its sweep did. */
#include "memo.h"

#include <assert.h>
#include <string.h>

#include "ops/ops.h"
#include "sweep.h"

#define MEMOS 4u          /* the steps that a program takes by turns */
#define MOST_NODES 65536u /* of a tape that is worth remembering: beyond, comparing it costs as much as a sweep */
#define MOST_BYTES ((size_t)16 << 20)  /* of a list */
#define MOST_VALUES ((size_t)64 << 20) /* bytes of the tape's tensors: beyond, the arithmetic is what takes time */

typedef struct list {
    unsigned char *bytes;
    size_t used, room;
} list;

/* A node as it is on every tape that is the same. */
typedef struct kept_node {
    uint64_t word[5]; /* data, layout, where the version is, the own version with op, dtype and flags, the inputs */
    const void *held; /* the leaf, or the block of a record that has one */
    uintptr_t holds;  /* all bits set where the node may hold either, none where that is its value */
    uint64_t alive;   /* the generation of a leaf */
} kept_node;
_Static_assert(offsetof(tape__node, saved) - offsetof(tape__node, data) == sizeof(uint64_t[5]), "they lie together");

/* A leaf's value that a record has saved: the places of the version then and now. */
typedef struct saved_leaf {
    const uint32_t *saved, *version;
} saved_leaf;

typedef struct task {
    tape__task_fn *run;
    size_t bytes;        /* with the arguments that follow */
    const char *op_name; /* for messages */
} task;

typedef struct tape__memo {
    uint64_t key;         /* tells most tapes that differ */
    uint64_t met;         /* when it was last */
    uint32_t count, slot; /* of the tape's nodes, and where the sweep starts */
    unsigned char *top;   /* of the arena: what the sweep takes lies beyond */
    uint32_t epoch;       /* of the layouts */
    uint32_t waits, fails;
    bool complete;
    list nodes, blocks, saved, gains, tasks;
} memo;

struct tape__memos {
    uint64_t now;
    bool is_aside; /* while a sweep is noted, for it is to take memory that no record has on a tape that is the same: */
    tape__arena_aside aside;
    tape__arena_position start;
    memo memo[MEMOS];
};

/* ---- lists ------------------------------------------------------------------------------------------------------- */

static void *add(tape *t, list *l, size_t bytes)
{
    if (l->room - l->used < bytes) {
        const size_t room = l->room + l->room / 2 + bytes + 2048;
        unsigned char *larger = room <= MOST_BYTES ? tape__memory_get(&t->memory, room) : NULL;
        if (!larger)
            return NULL;
        if (l->used)
            memcpy(larger, l->bytes, l->used);
        tape__memory_put(&t->memory, l->bytes, l->room);
        l->bytes = larger;
        l->room = room;
    }
    l->used += bytes;
    return l->bytes + l->used - bytes;
}

static bool append(tape *t, list *l, const void *from, size_t bytes)
{
    void *to = add(t, l, bytes);
    if (to)
        memcpy(to, from, bytes);
    return to;
}

void tape__memos_free(tape *t)
{
    for (unsigned i = 0; t->memos && i < MEMOS; i++) {
        memo *m = &t->memos->memo[i];
        list *const all[] = {&m->nodes, &m->blocks, &m->saved, &m->gains, &m->tasks};
        for (size_t k = 0; k < sizeof all / sizeof *all; k++)
            tape__memory_put(&t->memory, all[k]->bytes, all[k]->room);
    }
    tape__memory_put(&t->memory, t->memos, sizeof *t->memos);
}

/* ---- what a tape is known by ------------------------------------------------------------------------------------- */

TAPE__INLINE uint64_t word_at(const void *from)
{
    uint64_t word;
    memcpy(&word, from, sizeof word);
    return word;
}

static kept_node describe(const tape__node *x)
{
    const bool leaf = x->op == TAPE__OP_LEAF;
    kept_node k = {.held = leaf ? (const void *)x->u.leaf : tape__extra_of(x),
                   .holds = leaf || tape__may_have_extra(x) ? UINTPTR_MAX : 0};
    memcpy(k.word, &x->data, sizeof k.word);
    if (leaf)
        memcpy(&k.alive, x->saved, sizeof k.alive);
    return k;
}

static bool keep_attr(tape *t, memo *m, const tape__extra *e)
{
    void *to = add(t, &m->blocks, (e->attr_size + 7) / 8 * 8);
    if (to && e->attr_size)
        memcpy(to, e->attr, e->attr_size);
    return to;
}

/* The block as it is kept: how many inputs and attributes, which, and the user's op, of which there is none. */
static bool keep_block(tape *t, memo *m, const tape__extra *e)
{
    return !e->custom && append(t, &m->blocks, e, offsetof(tape__extra, bytes)) &&
           append(t, &m->blocks, e->in, e->n_in * sizeof *e->in) && keep_attr(t, m, e);
}

/* A record's inputs that are memory of leaves. */
static bool keep_saved(tape *t, memo *m, const tape__node *y)
{
    const uint32_t *in, *saved;
    const int n = y->op > TAPE__OP_OUTPUT ? tape__record_inputs(y, &in, &saved) : 0;
    for (int i = 0; i < n; i++) {
        const tape__node *x = tape__at(t, in[i]);
        const saved_leaf read = {&saved[i], x->version};
        if (*read.saved != *read.version)
            return false;
        if ((x->op == TAPE__OP_LEAF || x->flags & TAPE__LEAF_ALIAS) && !append(t, &m->saved, &read, sizeof read))
            return false;
    }
    return true;
}

/* Whether a sweep may do nothing but tasks there. */
static bool is_of_tasks(const tape__node *x)
{
    if (x->op == TAPE__OP_LEAF)
        return !x->u.leaf->hook;
    return x->op <= TAPE__OP_OUTPUT || !(x->flags & TAPE__REQUIRES_GRAD) || tape__ops[x->op].ewise >= 0 ||
           tape__ops[x->op].fused;
}

static bool keep_tape(tape *t, memo *m)
{
    for (uint32_t slot = 0; slot < t->count; slot++) {
        const tape__node *x = tape__at(t, slot);
        const kept_node k = describe(x);
        if (x->own_version || !is_of_tasks(x) || !append(t, &m->nodes, &k, sizeof k) ||
            (tape__extra_of(x) && !keep_block(t, m, k.held)) || !keep_saved(t, m, x))
            return false;
    }
    return true;
}

TAPE__INLINE bool is_same_node(const tape__node *x, const kept_node *k)
{
    const unsigned char *at = (const unsigned char *)&x->data;
    return !((word_at(at) ^ k->word[0]) | (word_at(at + 8) ^ k->word[1]) | (word_at(at + 16) ^ k->word[2]) |
             (word_at(at + 24) ^ k->word[3]) | (word_at(at + 32) ^ k->word[4]));
}

/* Whether the block is as it was; moves on to the next. */
TAPE__INLINE bool is_same_block(const tape__extra *e, const unsigned char **kept)
{
    _Static_assert(offsetof(tape__extra, bytes) == sizeof(uint64_t), "how many there are is a word");
    const uint32_t *in = (const uint32_t *)(const void *)(*kept + sizeof(uint64_t));
    uint64_t differs = (word_at(*kept) ^ word_at(e)) | (uintptr_t)e->custom;
    if (differs)
        return false;
    for (unsigned i = 0; i < e->n_in; i++)
        differs |= in[i] ^ e->in[i];
    const unsigned char *attr = (const unsigned char *)(in + e->n_in);
    *kept = attr + (e->attr_size + 7) / 8 * 8;
    return !differs && (e->attr_size == 0 || memcmp(attr, e->attr, e->attr_size) == 0);
}

static bool is_same_tape(const tape *t, const memo *m)
{
    const kept_node *k = (const kept_node *)(const void *)m->nodes.bytes;
    const unsigned char *blocks = m->blocks.bytes;
    const tape__node *x = NULL;
    for (uint32_t slot = 0; slot < m->count; slot++, k++) {
        x = slot % TAPE__NODES_PER_CHUNK ? x + 1 : tape__at(t, slot);
        if (!is_same_node(x, k) || (((uintptr_t)x->u.extra ^ (uintptr_t)k->held) & k->holds))
            return false;
        if (k->held && (x->op == TAPE__OP_LEAF ? word_at(x->saved) != k->alive : !is_same_block(x->u.extra, &blocks)))
            return false;
    }
    return true;
}

static bool is_unwritten(const memo *m)
{
    const saved_leaf *read = (const saved_leaf *)(const void *)m->saved.bytes;
    bool same = true;
    for (size_t n = m->saved.used / sizeof *read; n-- > 0 && same; read++)
        same = *read->saved == *read->version;
    return same;
}

/* ---- repeating --------------------------------------------------------------------------------------------------- */

/* Tells tapes by their length, their first node (a leaf's generation is among its words) and the middle of the sweep.
 */
static uint64_t key_of(const tape *t, uint32_t slot)
{
    const tape__node *first = tape__at(t, 0), *middle = tape__at(t, slot / 2);
    const uint64_t sizes = (uint64_t)t->count << 32 | slot, way = (uintptr_t)middle->layout ^ (uintptr_t)middle->data;
    return (((sizes * 3 + word_at(first->saved)) * 5 + way) * 7 + middle->op) * UINT64_C(0x9E3779B97F4A7C15);
}

static memo *find(const tape *t, uint64_t key)
{
    for (unsigned i = 0; t->memos && i < MEMOS; i++)
        if (t->memos->memo[i].key == key)
            return &t->memos->memo[i];
    return NULL;
}

/* What neither a sweep that is remembered nor one that repeats it may meet. */
static bool is_plain(const tape *t)
{
    return !t->detour && !t->promote && t->wrong_factor == 0 && t->consumed_from == t->consumed_to &&
           t->count <= MOST_NODES;
}

/* Takes the gradients' buffers as the sweep had them; those that were, of `n` leaves, are given back if one is not to
 * be had. */
static bool claim_all(tape *t, const memo *m)
{
    const tape__gain *gain = (const tape__gain *)(const void *)m->gains.bytes;
    const size_t n = m->gains.used / sizeof *gain;
    for (size_t i = 0; i < n; i++) {
        tape__leaf *leaf = gain[i].leaf;
        bool ready = !leaf->hook && tape__leaf_gradient(leaf) && tape__alias_alive(t, gain[i].x);
        if (ready && gain[i].claimed)
            ready = tape__leaf_claim(t, leaf);
        if (ready)
            continue;
        while (i-- > 0)
            if (gain[i].claimed)
                tape__leaf_unclaim(gain[i].leaf);
        return false;
    }
    return true;
}

static bool do_tasks(tape *t, const memo *m)
{
    const unsigned char *at = m->tasks.bytes, *end = at + m->tasks.used;
    const char *before = t->op_name;
    bool ok = true;
    for (const task *next; at < end && ok; at += next->bytes) {
        next = (const task *)(const void *)at;
        t->op_name = next->op_name;
        ok = next->run(t, next + 1);
    }
    t->op_name = before;
    assert(t->arena.top == m->top);
    return ok;
}

static void give_all(const tape *t, const memo *m, bool ok)
{
    const tape__gain *gain = (const tape__gain *)(const void *)m->gains.bytes;
    for (size_t n = m->gains.used / sizeof *gain; n-- > 0; gain++) {
        if (ok)
            tape__commit(t, gain);
        if (gain->claimed)
            tape__leaf_unclaim(gain->leaf);
    }
}

static bool repeat(tape *t, memo *m, uint32_t slot)
{
    if (!m->complete || m->count != t->count || m->slot != slot || m->top != t->arena.top ||
        m->epoch != t->layout_epoch || !is_plain(t) || !is_same_tape(t, m) || !is_unwritten(m) || !claim_all(t, m))
        return false;
    m->met = ++t->memos->now;
    m->waits = m->fails = 0;
    give_all(t, m, do_tasks(t, m));
    t->repeated_sweeps++;
    return true;
}

/* ---- remembering ------------------------------------------------------------------------------------------------- */

/* Takes the place of what was met longest ago. */
static void meet(tape *t, uint64_t key)
{
    memo *oldest = t->memos->memo;
    for (unsigned i = 1; i < MEMOS; i++)
        if (t->memos->memo[i].met < oldest->met)
            oldest = &t->memos->memo[i];
    oldest->key = key;
    oldest->met = ++t->memos->now;
    oldest->waits = oldest->fails = 0;
    oldest->complete = false;
}

/* Whether a sweep is worth it: the second one of its kind is. Where it has turned out otherwise, the intervals double.
 */
static bool is_time(memo *m)
{
    if (m->waits > 0) {
        m->waits--;
        return false;
    }
    m->waits = ((uint32_t)1 << m->fails) - 1;
    m->fails += m->fails < 31;
    return true;
}

/* A sweep begins that may be one to note. */
static void begin(tape *t, memo *m, uint64_t key, uint32_t slot)
{
    if (!is_plain(t) || tape__arena_in_use(&t->arena) + t->arena.free_bytes > MOST_VALUES || t->memory.budget)
        return; /* a budget is for what the program itself asks for */
    if (!t->memos) {
        if (!(t->memos = tape__memory_get(&t->memory, sizeof *t->memos)))
            return;
        memset(t->memos, 0, sizeof *t->memos);
    }
    if (!m)
        meet(t, key);
    if (!m || !is_time(m))
        return;
    m->met = ++t->memos->now;
    m->complete = false;
    m->count = t->count;
    m->slot = slot;
    m->top = t->arena.top;
    m->epoch = t->layout_epoch;
    m->nodes.used = m->blocks.used = m->saved.used = m->gains.used = m->tasks.used = 0;
    if (!keep_tape(t, m))
        return;
    t->noting = m;
    t->memos->is_aside = true;
    t->memos->start = tape__arena_mark(&t->arena);
    tape__arena_put_aside(&t->arena, &t->memos->aside);
}

bool tape__memo_repeat(tape *t, uint32_t slot)
{
    const uint64_t key = key_of(t, slot);
    memo *m = find(t, key);
    if (m && repeat(t, m, slot))
        return true;
    begin(t, m, key, slot);
    return false;
}

void tape__note(tape *t, tape__task_fn *run, const void *arguments, size_t bytes)
{
    memo *m = t->noting;
    const size_t whole = (sizeof(task) + bytes + 15) / 16 * 16;
    task *to = add(t, &m->tasks, whole);
    if (!to) {
        tape__forgo(t);
        return;
    }
    *to = (task){run, whole, t->op_name};
    memcpy(to + 1, arguments, bytes);
}

void tape__memo_gain(tape *t, const tape__gain *gain)
{
    memo *m = t->noting;
    if (!append(t, &m->gains, gain, sizeof *gain))
        tape__forgo(t);
}

/* The pool keeps those from before the sweep. */
static void drop_new_adjoints(tape *t, tape__arena_position start)
{
    for (tape__adjoint **link = &t->free_adjoints; *link;) {
        if (tape__arena_before(&t->arena, *link, start))
            link = &(*link)->owner;
        else
            *link = (*link)->owner;
    }
}

void tape__memo_end(tape *t, bool ok)
{
    struct tape__memos *all = t->memos;
    if (!all || !all->is_aside)
        return;
    if (t->noting && ok) {
        t->noting->complete = true;
        drop_new_adjoints(t, all->start);
        tape__arena_put_back(&t->arena, &all->aside);
    } else {
        tape__arena_put_back_too(&t->arena, &all->aside);
    }
    all->is_aside = false;
    t->noting = NULL;
}
