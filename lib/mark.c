/* Going back: marks, what a callback may reach, results that outlive what was made beside them. Does not know ops. */
#include <string.h>

#include "op_index.h"
#include "recall.h"
#include "tape.h"

/* ---- marks ------------------------------------------------------------------------------------------------------- */

void tape__empty_free_lists(tape *t)
{
    t->free_adjoints = NULL;
    tape__arena_empty_lists(&t->arena);
}

static bool grow_marks(tape *t)
{
    uint32_t capacity = t->mark_capacity ? t->mark_capacity * 2 : 4;
    tape__mark_state *marks = tape__memory_get(&t->memory, capacity * sizeof *marks);
    if (!marks)
        return tape__error(t, TAPE_ERROR_MEMORY, "out of memory for a mark");
    if (t->mark_count)
        memcpy(marks, t->marks, t->mark_count * sizeof *marks);
    tape__memory_put(&t->memory, t->marks, t->mark_capacity * sizeof *marks);
    t->marks = marks;
    t->mark_capacity = capacity;
    return true;
}

tape_position tape_mark(void)
{
    tape *t = tape__begin("mark");
    if (!t || (t->mark_count == t->mark_capacity && !grow_marks(t)))
        return (tape_position){0, 0};
    tape__mark_state *mark = &t->marks[t->mark_count++];
    mark->id = ++t->next_mark;
    mark->nodes = t->count;
    mark->arena = tape__arena_mark(&t->arena);
    mark->free_bytes = t->arena.free_bytes;
    memcpy(mark->free_lists, t->arena.free_lists, sizeof mark->free_lists);
    tape__empty_free_lists(t);
    return (tape_position){mark->id, t->mark_count};
}

static tape__mark_state *find_mark(tape *t, tape_position position)
{
    if (position.depth == 0 || position.depth > t->mark_count || t->marks[position.depth - 1].id != position.id) {
        tape__error(t, TAPE_ERROR_HANDLE, "the mark is null, dropped, or of another tape");
        return NULL;
    }
    if (position.depth <= t->callback_marks) {
        tape__error(t, TAPE_ERROR_STATE, "the mark lies outside the running callback");
        return NULL;
    }
    return &t->marks[position.depth - 1];
}

/* What was read of values that end here is forgotten; what is recorded from now on comes after the other reads. */
static void rewind_reads(tape *t, uint32_t count)
{
    if (t->first_read.slot >= count)
        t->first_read = t->lowest_read;
    if (t->lowest_read.slot >= count)
        t->first_read.by = t->lowest_read.by = NULL;
    if (t->unrepeatable > count)
        t->unrepeatable = 0;
    if (t->first_read.count > count)
        t->first_read.count = count;
    if (t->lowest_read.count > count)
        t->lowest_read.count = count;
}

tape_status tape_rewind(tape_position position)
{
    tape *t = tape_current();
    if (!t)
        return tape_last_status();
    t->op_name = "rewind";
    tape__mark_state *mark = find_mark(t, position);
    if (!mark)
        return t->status;
    tape__note_peak(t);
    tape__release_from(t, mark->nodes);
    rewind_reads(t, mark->nodes);
    t->mark_count = position.depth;
    t->count = mark->nodes;
    tape__forget_consumed(t, t->count);
    tape__arena_rewind(&t->arena, mark->arena);
    tape__empty_free_lists(t);
    t->arena.free_bytes = mark->free_bytes;
    tape__new_generation(t);
    tape__recall_begin(t);
    return TAPE_OK;
}

/* Blocks that were free when the mark was made become free again, behind those that were freed since. */
static void join_free_lists(tape *t, const tape__mark_state *mark)
{
    for (int class = 0; class < TAPE__SIZE_CLASSES; class ++) {
        void *older = mark->free_lists[class];
        if (!older)
            continue;
        void **link = &t->arena.free_lists[class];
        while (*link)
            link = *link;
        *link = older;
        if ((unsigned)class >= t->arena.lists)
            t->arena.lists = (unsigned)class + 1;
    }
}

static void drop_marks(tape *t, uint32_t count)
{
    while (t->mark_count > count)
        join_free_lists(t, &t->marks[--t->mark_count]);
}

tape_status tape_mark_drop(tape_position position)
{
    tape *t = tape_current();
    if (!t)
        return tape_last_status();
    t->op_name = "mark_drop";
    if (!find_mark(t, position))
        return t->status;
    drop_marks(t, position.depth - 1);
    return TAPE_OK;
}

/* ---- callbacks --------------------------------------------------------------------------------------------------- */

tape__callback tape__enter_callback(tape *t)
{
    tape__callback outer = {t->claiming, t->callback_floor,  t->callback_marks,
                            t->paused,   t->composite_depth, t->op_name};
    if (t->claims)
        t->settle(t);
    t->claiming = false;
    t->callback_floor = t->count;
    t->callback_marks = t->mark_count;
    t->callback_depth++;
    return outer;
}

void tape__leave_callback(tape *t, tape__callback outer)
{
    drop_marks(t, t->callback_marks);
    t->claiming = outer.claiming;
    t->callback_floor = outer.floor;
    t->callback_marks = outer.marks;
    t->callback_depth--;
    t->paused = outer.paused;
    t->composite_depth = outer.composite_depth;
    t->op_name = outer.op_name;
}

/* ---- what records release ---------------------------------------------------------------------------------------- */

bool tape__add_release(tape *t, uint32_t slot, void (*release)(void *user, void *attr), void *user, void *attr)
{
    tape__release *entry = tape__arena_get(&t->arena, sizeof *entry);
    if (!entry)
        return tape__error(t, TAPE_ERROR_MEMORY, "out of memory for a record");
    *entry = (tape__release){t->releases, slot, release, user, attr};
    t->releases = entry;
    return true;
}

void tape__release_down(tape *t, uint32_t count)
{
    while (t->releases && t->releases->slot >= count) {
        tape__release entry = *t->releases;
        t->releases = entry.next;
        entry.release(entry.user, entry.attr);
    }
}

/* ---- results that stay ------------------------------------------------------------------------------------------- */

typedef struct kept {
    void *data;
    size_t bytes;
    const tape__layout *layout;
    uint8_t dtype;
} kept;

/* The block of a node that is on its way out becomes ours; what lies elsewhere is copied. */
static bool take(tape *t, uint32_t count, tape_tensor x, kept *k)
{
    uint32_t slot = tape__resolve(t, x, 0);
    if (slot == TAPE__NO_SLOT)
        return false;
    tape__node *node = tape__at(t, slot);
    k->dtype = node->dtype;
    k->layout = node->layout->dense;
    k->bytes = (size_t)k->layout->numel * tape_dtype_size(node->dtype);
    if (slot >= count && node->flags & TAPE__OWNS_BLOCK && tape__is_dense(node->layout)) {
        k->data = node->data;
        node->flags &= (uint8_t)~TAPE__OWNS_BLOCK;
        return true;
    }
    k->data = tape__arena_get(&t->arena, k->bytes);
    if (!k->data)
        return tape__error(t, TAPE_ERROR_MEMORY, "out of memory for a result of %s", TAPE__LAYOUT_TEXT(k->layout));
    tape__copy_dense(t, node->layout, node->dtype, node->data, k->data);
    return true;
}

static bool give(tape *t, const kept *k, tape_tensor *x)
{
    uint32_t slot;
    tape__node *node = tape__new_node(t, &slot);
    if (!node)
        return false;
    node->data = k->data;
    node->layout = k->layout;
    node->dtype = k->dtype;
    node->flags = TAPE__OWNS_BLOCK;
    *x = tape__handle(t, slot);
    return true;
}

bool tape__truncate_keeping(tape *t, uint32_t count, tape_tensor *results, int n)
{
    enum { FEW = 8 };
    kept few[FEW], *all = n <= FEW ? few : tape__arena_get(&t->arena, (size_t)n * sizeof *all);
    bool ok = all || tape__error(t, TAPE_ERROR_MEMORY, "out of memory for %d results", n);
    int taken = 0;
    for (; ok && taken < n; taken++) {
        all[taken].data = NULL;
        ok = tape_is_none(results[taken]) || take(t, count, results[taken], &all[taken]);
    }
    tape__note_peak(t);
    tape__truncate(t, count);
    for (int i = 0; i < taken; i++) {
        bool empty = tape_is_none(results[i]) || !all[i].data;
        if (ok && !empty)
            ok = give(t, &all[i], &results[i]);
        if (!ok && !empty)
            tape__arena_put(&t->arena, all[i].data, all[i].bytes);
    }
    for (int i = 0; !ok && i < n; i++)
        results[i] = TAPE_NULL;
    if (all && all != few)
        tape__arena_put(&t->arena, all, (size_t)n * sizeof *all);
    return ok;
}
