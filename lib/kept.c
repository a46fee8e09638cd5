/* What is kept of a tape that may come again, and how it is compared. */
#include "kept.h"

#include <string.h>

#include "ops/ops.h"
#include "sweep.h"

#define MOST_BYTES ((size_t)16 << 20) /* of a list */

/* ---- lists ------------------------------------------------------------------------------------------------------- */

void *tape__list_add(tape *t, tape__list *l, size_t bytes)
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

bool tape__list_append(tape *t, tape__list *l, const void *from, size_t bytes)
{
    void *to = tape__list_add(t, l, bytes);
    if (to)
        memcpy(to, from, bytes);
    return to;
}

/* ---- what a tape is known by ------------------------------------------------------------------------------------- */

TAPE__INLINE uint64_t word_at(const void *from)
{
    uint64_t word;
    memcpy(&word, from, sizeof word);
    return word;
}

static tape__kept_node describe(const tape__node *x)
{
    const bool leaf = x->op == TAPE__OP_LEAF;
    tape__kept_node k = {.held = leaf ? (const void *)x->u.leaf : tape__extra_of(x),
                         .holds = leaf || tape__may_have_extra(x) ? UINTPTR_MAX : 0};
    memcpy(k.word, &x->data, sizeof k.word);
    if (leaf)
        memcpy(&k.alive, x->saved, sizeof k.alive);
    return k;
}

static bool keep_attr(tape *t, tape__memo *m, const tape__extra *e)
{
    void *to = tape__list_add(t, &m->blocks, (e->attr_size + 7) / 8 * 8);
    if (to && e->attr_size)
        memcpy(to, e->attr, e->attr_size);
    return to;
}

/* The block as it is kept: how many inputs and attributes, which, and the user's op, of which there is none. */
static bool keep_block(tape *t, tape__memo *m, const tape__extra *e)
{
    return !e->custom && tape__list_append(t, &m->blocks, e, offsetof(tape__extra, bytes)) &&
           tape__list_append(t, &m->blocks, e->in, e->n_in * sizeof *e->in) && keep_attr(t, m, e);
}

/* A record's inputs that are memory of leaves. */
static bool keep_saved(tape *t, tape__memo *m, const tape__node *y)
{
    const uint32_t *in, *saved;
    const int n = y->op > TAPE__OP_OUTPUT ? tape__record_inputs(y, &in, &saved) : 0;
    for (int i = 0; i < n; i++) {
        const tape__node *x = tape__at(t, in[i]);
        const tape__saved_leaf read = {&saved[i], x->version};
        if (*read.saved != *read.version)
            return false;
        if ((x->op == TAPE__OP_LEAF || x->flags & TAPE__LEAF_ALIAS) &&
            !tape__list_append(t, &m->saved, &read, sizeof read))
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

bool tape__keep(tape *t, tape__memo *m)
{
    for (uint32_t slot = 0; slot < t->count; slot++) {
        const tape__node *x = tape__at(t, slot);
        const tape__kept_node k = describe(x);
        if (x->own_version || !is_of_tasks(x) || !tape__list_append(t, &m->nodes, &k, sizeof k) ||
            (tape__extra_of(x) && !keep_block(t, m, k.held)) || !keep_saved(t, m, x))
            return false;
    }
    return true;
}

TAPE__INLINE bool is_same_node(const tape__node *x, const tape__kept_node *k)
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

bool tape__is_same(const tape *t, const tape__memo *m, tape__sameness *same)
{
    uint32_t slot = same->nodes;
    if (t->count > m->count || slot > t->count)
        return false;
    const tape__kept_node *k = (const tape__kept_node *)(const void *)m->nodes.bytes + slot;
    const unsigned char *blocks = m->blocks.bytes + same->blocks;
    const tape__node *x = slot % TAPE__NODES_PER_CHUNK ? tape__at(t, slot - 1) : NULL;
    for (; slot < t->count; slot++, k++) {
        x = slot % TAPE__NODES_PER_CHUNK ? x + 1 : tape__at(t, slot);
        if (!is_same_node(x, k) || (((uintptr_t)x->u.extra ^ (uintptr_t)k->held) & k->holds))
            return false;
        if (k->held && (x->op == TAPE__OP_LEAF ? word_at(x->saved) != k->alive : !is_same_block(x->u.extra, &blocks)))
            return false;
    }
    *same = (tape__sameness){slot, (size_t)(blocks - m->blocks.bytes)};
    return true;
}

bool tape__is_unwritten(const tape__memo *m)
{
    const tape__saved_leaf *read = (const tape__saved_leaf *)(const void *)m->saved.bytes;
    bool same = true;
    for (size_t n = m->saved.used / sizeof *read; n-- > 0 && same; read++)
        same = *read->saved == *read->version;
    return same;
}

/* ---- what was done ----------------------------------------------------------------------------------------------- */

void tape__note(tape *t, tape__task_fn *run, const void *arguments, size_t bytes)
{
    const size_t whole = (sizeof(tape__task) + bytes + 15) / 16 * 16;
    tape__task *to = tape__list_add(t, t->noting, whole);
    if (!to) {
        tape__forgo(t);
        return;
    }
    *to = (tape__task){run, whole, t->op_name};
    memcpy(to + 1, arguments, bytes);
}

bool tape__is_time(tape__patience *p)
{
    if (p->waits > 0) {
        p->waits--;
        return false;
    }
    p->waits = ((uint32_t)1 << p->fails) - 1;
    p->fails += p->fails < 31;
    return true;
}
