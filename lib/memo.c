/* Sweeps that repeat an earlier one: the list of what that did. */
#include "memo.h"

#include <assert.h>
#include <string.h>

#include "adjoint.h"
#include "kept.h"

#define MOST_NODES 65536u /* of a tape that is worth remembering: beyond, comparing it costs as much as a sweep */
#define MOST_VALUES ((size_t)64 << 20) /* bytes of the tape's tensors: beyond, the arithmetic is what takes time */

void tape__memos_free(tape *t)
{
    for (unsigned i = 0; t->memos && i < TAPE__MEMOS; i++) {
        tape__memo *m = &t->memos->memo[i];
        tape__list *const all[] = {&m->nodes, &m->blocks, &m->saved, &m->gains, &m->tasks, &m->records};
        for (size_t k = 0; k < sizeof all / sizeof *all; k++)
            tape__memory_put(&t->memory, all[k]->bytes, all[k]->room);
    }
    tape__memory_put(&t->memory, t->memos, sizeof *t->memos);
}

/* ---- repeating --------------------------------------------------------------------------------------------------- */

/* Tells tapes by their length, their first node (a leaf's generation is among its words) and the middle of the sweep.
 */
static uint64_t key_of(const tape *t, uint32_t slot)
{
    const tape__node *first = tape__at(t, 0), *middle = tape__at(t, slot / 2);
    uint64_t alive;
    memcpy(&alive, first->saved, sizeof alive);
    const uint64_t sizes = (uint64_t)t->count << 32 | slot, way = (uintptr_t)middle->layout ^ (uintptr_t)middle->data;
    return (((sizes * 3 + alive) * 5 + way) * 7 + middle->op) * UINT64_C(0x9E3779B97F4A7C15);
}

static tape__memo *find(const tape *t, uint64_t key)
{
    for (unsigned i = 0; t->memos && i < TAPE__MEMOS; i++)
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

static bool is_alive(const tape__gain *gain)
{
    uint64_t alive; /* for x stands for the leaf itself */
    memcpy(&alive, gain->x->saved, sizeof alive);
    return atomic_load_explicit(&gain->leaf->generation, memory_order_relaxed) == alive;
}

/* Takes the gradients' buffers as the sweep had them; those that were, of `n` leaves, are given back if one is not to
 * be had. */
static bool claim_all(tape *t, const tape__memo *m)
{
    const tape__gain *gain = (const tape__gain *)(const void *)m->gains.bytes;
    const size_t n = m->gains.used / sizeof *gain;
    for (size_t i = 0; i < n; i++) {
        tape__leaf *leaf = gain[i].leaf;
        bool ready = !leaf->hook && tape__leaf_gradient(leaf) && is_alive(&gain[i]);
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

static void give_all(const tape *t, const tape__memo *m, bool ok)
{
    const tape__gain *gain = (const tape__gain *)(const void *)m->gains.bytes;
    for (size_t n = m->gains.used / sizeof *gain; n-- > 0; gain++) {
        if (ok)
            tape__commit(t, gain);
        if (gain->claimed)
            tape__leaf_unclaim(gain->leaf);
    }
}

/* The tape is known to be the same as far as `same` says. */
static bool repeat(tape *t, tape__memo *m, uint32_t slot, tape__sameness same)
{
    if (!m->complete || m->count != t->count || m->slot != slot || m->top != t->arena.top ||
        m->epoch != t->layout_epoch || !is_plain(t) || !tape__is_same(t, m, &same) || !tape__is_unwritten(m) ||
        !claim_all(t, m))
        return false;
    m->met = ++t->memos->now;
    m->sweep = (tape__patience){0, 0};
    give_all(t, m, tape__do_again(t, m->tasks.bytes, m->tasks.bytes + m->tasks.used));
    assert(t->arena.top == m->top);
    t->repeated_sweeps++;
    tape__recall_met(t, m);
    return true;
}

/* ---- remembering ------------------------------------------------------------------------------------------------- */

/* Takes the place of what was met longest ago. */
static void meet(tape *t, uint64_t key)
{
    tape__memo *oldest = t->memos->memo;
    for (unsigned i = 1; i < TAPE__MEMOS; i++)
        if (t->memos->memo[i].met < oldest->met)
            oldest = &t->memos->memo[i];
    oldest->key = key;
    oldest->met = ++t->memos->now;
    oldest->sweep = oldest->ops = (tape__patience){0, 0};
    oldest->complete = oldest->recalls = false;
}

/* A sweep begins that may be one to note. */
static void begin(tape *t, tape__memo *m, uint64_t key, uint32_t slot)
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
    if (!m || !tape__is_time(&m->sweep))
        return;
    m->met = ++t->memos->now;
    m->complete = m->recalls = false;
    m->count = t->count;
    m->slot = slot;
    m->top = t->arena.top;
    m->epoch = t->layout_epoch;
    m->nodes.used = m->blocks.used = m->saved.used = m->gains.used = m->tasks.used = 0;
    if (!tape__keep(t, m))
        return;
    t->noting = &m->tasks;
    t->memos->noted = m;
    t->memos->is_aside = true;
    t->memos->start = tape__arena_mark(&t->arena);
    tape__arena_put_aside(&t->arena, &t->memos->aside);
}

bool tape__memo_repeat(tape *t, uint32_t slot)
{
    tape__memo *expected = t->expected;
    if (expected && repeat(t, expected, slot, t->memos->progress.same))
        return true;
    tape__expect_nothing(t);
    const uint64_t key = key_of(t, slot);
    tape__memo *m = find(t, key);
    if (m && repeat(t, m, slot, (tape__sameness){0, 0}))
        return true;
    begin(t, m, key, slot);
    return false;
}

void tape__memo_gain(tape *t, const tape__gain *gain)
{
    if (!tape__list_append(t, &t->memos->noted->gains, gain, sizeof *gain))
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
        all->noted->complete = true;
        drop_new_adjoints(t, all->start);
        tape__arena_put_back(&t->arena, &all->aside);
    } else {
        tape__arena_put_back_too(&t->arena, &all->aside);
    }
    all->is_aside = false;
    t->noting = NULL;
}
