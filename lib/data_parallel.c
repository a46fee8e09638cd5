/* tape_data_parallel(): shards of a batch on tapes of their own, gradients added in the shards' order. Knows no op and
 * nothing of how threads are run. */
#include "tape/data_parallel.h"

#include <string.h>

#include "kernels/any/random.h"
#include "sweep.h"

enum { SHARDS = 8, ALIGNMENT = 64 };

/* A shard's gradient for one leaf. */
typedef struct part {
    tape_tensor leaf;
    size_t at; /* in the shard's block */
} part;

/* What a shard leaves behind. Whichever thread runs it works on it alone. */
typedef struct shard {
    tape__memory memory;
    part *parts;
    int count, capacity;
    unsigned char *block;
    size_t size;
    double loss;
    tape_status status;
    char message[200];
} shard;

typedef struct team {
    tape__guest guest;
    tape *lanes[TAPE_SHARDS_MAX];
    int lane_count;
    shard shards[TAPE_SHARDS_MAX];
} team;

typedef struct work {
    team *team;
    tape_shard_function *fn;
    void *user;
    int64_t batch;
    int shards, promote;
    tape_random_state random;
    atomic_int next, first_failed;
} work;

/* ---- the team ---------------------------------------------------------------------------------------------------- */

static void end_team(tape *t, tape__guest *guest)
{
    team *all = (team *)(void *)guest;
    for (int i = 0; i < all->lane_count; i++)
        tape_destroy(all->lanes[i]);
    for (int i = 0; i < TAPE_SHARDS_MAX; i++) {
        shard *s = &all->shards[i];
        tape__memory_put(&s->memory, s->parts, (size_t)s->capacity * sizeof *s->parts);
        tape__memory_put(&s->memory, s->block, s->size);
    }
    tape__memory_put(&t->memory, all, sizeof *all);
}

/* Loops inside a shard: the threads are busy with shards. */
static void run_serially(void *user, int64_t n, tape_body *body, void *arg)
{
    (void)user;
    for (int64_t i = 0; i < n; i++)
        body(arg, i);
}

static bool make_team(tape *t, int lanes)
{
    team *all = (team *)(void *)t->guest;
    if (!all) {
        all = tape__memory_get(&t->memory, sizeof *all);
        if (!all)
            return false;
        memset(all, 0, sizeof *all);
        all->guest.end = end_team;
        for (int i = 0; i < TAPE_SHARDS_MAX; i++)
            tape__memory_init(&all->shards[i].memory, t->config.allocator, t->config.allocator_user, 0);
        t->guest = &all->guest;
    }
    tape_config config = t->config;
    config.parallel = run_serially;
    config.log = NULL;
    for (; all->lane_count < lanes; all->lane_count++)
        if (!(all->lanes[all->lane_count] = tape_create(&config)))
            return false;
    return true;
}

/* ---- one shard, on its thread ------------------------------------------------------------------------------------ */

static size_t bytes_of(const tape__node *x)
{
    size_t bytes = (size_t)x->layout->numel * tape_dtype_size((tape_dtype)x->dtype);
    return (bytes + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

static bool make_room(tape *t, shard *s, int count, size_t size)
{
    if (count > s->capacity) {
        tape__memory_put(&s->memory, s->parts, (size_t)s->capacity * sizeof *s->parts);
        s->capacity = 0;
        s->parts = tape__memory_get(&s->memory, (size_t)count * sizeof *s->parts);
        s->capacity = s->parts ? count : 0;
    }
    if (size > s->size) {
        tape__memory_put(&s->memory, s->block, s->size);
        s->size = 0;
        s->block = tape__memory_get(&s->memory, size);
        s->size = s->block ? size : 0;
    }
    return (count <= s->capacity && size <= s->size) ||
           tape__error(t, TAPE_ERROR_MEMORY, "out of memory for the gradients of %d leaves", count);
}

/* The adjoints that the sweep left at the leaves, out of the reach of the tape's reset. */
static bool take_gradients(shard *s, const tape__sweep *sweep)
{
    tape *t = sweep->t;
    int count = 0;
    size_t size = 0;
    for (uint32_t slot = sweep->leaves; slot != TAPE__NO_SLOT; slot = tape__at(t, slot)->in[0]) {
        count++;
        size += bytes_of(tape__at(t, slot));
    }
    if (!make_room(t, s, count, size))
        return false;
    size_t at = 0;
    for (uint32_t slot = sweep->leaves; slot != TAPE__NO_SLOT; slot = tape__at(t, slot)->in[0]) {
        const tape__node *x = tape__at(t, slot);
        if (!tape__alias_alive(t, x))
            continue;
        bool single = tape__is_single(x);
        tape__copy_dense(t, single ? x->layout->dense : x->adj.adjoint->layout, (tape_dtype)x->dtype,
                         single ? (const void *)&x->adj : x->adj.adjoint->data, s->block + at);
        s->parts[s->count++] = (part){tape__leaf_handle(x->u.leaf), at};
        at += bytes_of(x);
    }
    return true;
}

static bool differentiate(tape *t, shard *s, tape_tensor y)
{
    t->op_name = "its function";
    if (!tape_is_valid(y))
        return tape__error(t, TAPE_ERROR_CALLBACK, "returned no tensor and no error");
    uint32_t slot = tape__resolve(t, y, 0);
    const tape__node *node = tape__at(t, slot);
    if (!tape__is_single(node) || node->dtype > TAPE_F64)
        return tape__error(t, TAPE_ERROR_SHAPE, "returned %s%s, not one floating element",
                           tape_dtype_name((tape_dtype)node->dtype), TAPE__LAYOUT_TEXT(node->layout));
    if (!(node->flags & TAPE__REQUIRES_GRAD))
        return tape__error(t, TAPE_ERROR_ARGUMENT, "returned what depends on no leaf with gradient");
    s->loss = tape_item(y);
    tape__sweep sweep = {.t = t, .to_leaves = true, .leaves = TAPE__NO_SLOT};
    bool ok = tape__sweep_seed(&sweep, slot, TAPE_NONE) && tape__sweep_run(&sweep, slot) && take_gradients(s, &sweep);
    tape__sweep_finish(&sweep, false);
    return ok;
}

static tape_random_state stream_of(tape_random_state random, int index)
{
    const uint32_t counter[4] = {(uint32_t)index, 0x5a4d, (uint32_t)random.counter, (uint32_t)(random.counter >> 32)};
    const uint32_t key[2] = {(uint32_t)random.seed, (uint32_t)(random.seed >> 32)};
    uint32_t out[4];
    tape__philox(counter, key, out);
    return (tape_random_state){(uint64_t)out[1] << 32 | out[0], 0};
}

static tape_shard piece_of(int64_t batch, int index, int count)
{
    int64_t each = batch / count, more = batch % count;
    int64_t begin = index * each + (index < more ? index : more);
    return (tape_shard){index, count, begin, begin + each + (index < more), batch};
}

static void run_shard(work *w, tape *t, int index)
{
    shard *s = &w->team->shards[index];
    tape_shard piece = piece_of(w->batch, index, w->shards);
    s->count = 0;
    s->loss = 0;
    t->random = stream_of(w->random, index);
    t->promote = w->promote;
    tape__callback outer = tape__enter_callback(t);
    tape_tensor y = w->fn(w->user, &piece);
    tape__leave_callback(t, outer);
    tape_make_current(t);
    bool ok = t->status == TAPE_OK && differentiate(t, s, y);
    s->status = t->status;
    if (!ok) {
        size_t used = 0;
        tape__append(s->message, sizeof s->message, &used, "%s", t->message);
        int first = atomic_load(&w->first_failed);
        while (index < first && !atomic_compare_exchange_weak(&w->first_failed, &first, index))
            ;
    }
    tape_reset();
}

/* Lane i begins with shard i, so that each lane's tape is warm after one call, and goes on with whichever is next. A
 * shard behind one that failed would not be heard of. */
static void run_lane(void *arg, int64_t lane)
{
    work *w = arg;
    tape *t = w->team->lanes[lane], *before = tape_make_current(t);
    for (int index = (int)lane; index < w->shards; index = atomic_fetch_add(&w->next, 1))
        if (index < atomic_load(&w->first_failed))
            run_shard(w, t, index);
    tape_make_current(before);
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

static bool add_shard(tape__sweep *sweep, const shard *s)
{
    tape *t = sweep->t;
    for (int i = 0; i < s->count; i++) {
        const part *p = &s->parts[i];
        uint32_t slot = tape__resolve(t, p->leaf, i);
        if (slot == TAPE__NO_SLOT)
            return false;
        tape__node *x = tape__at(t, slot);
        if (!(x->flags & TAPE__HAS_ADJOINT)) {
            x->in[0] = sweep->leaves;
            sweep->leaves = slot;
        }
        if (!tape__contribute(t, x, s->block + p->at, x->layout->dense, NULL))
            return false;
    }
    return true;
}

static void add_and_commit(tape *t, const work *w, double *loss)
{
    tape__sweep sweep = {.t = t, .to_leaves = true, .leaves = TAPE__NO_SLOT};
    double sum = 0;
    bool ok = true;
    for (int i = 0; i < w->shards && ok; i++) {
        ok = add_shard(&sweep, &w->team->shards[i]);
        sum += w->team->shards[i].loss;
    }
    if (tape__sweep_finish(&sweep, ok) && loss)
        *loss = sum;
}

static bool check(tape *t, tape_shard_function *fn, int64_t batch, int shards)
{
    if (t->callback_depth)
        return tape__error(t, TAPE_ERROR_STATE, "not allowed inside a callback");
    if (!fn || batch < 1)
        return tape__error(t, TAPE_ERROR_ARGUMENT, "needs a function and a batch of examples, got %lld",
                           (long long)batch);
    return (shards >= 1 && shards <= TAPE_SHARDS_MAX) ||
           tape__error(t, TAPE_ERROR_ARGUMENT, "%d shards are not in 1..%d", shards, TAPE_SHARDS_MAX);
}

tape_status tape_data_parallel(tape_shard_function *fn, void *user, int64_t batch,
                               const tape_data_parallel_options *options, double *loss)
{
    if (loss)
        *loss = 0;
    tape *t = tape__begin("data_parallel");
    if (!t)
        return tape_last_status();
    int shards = options && options->shards ? options->shards : SHARDS;
    if (!check(t, fn, batch, shards))
        return t->status;
    if (batch < shards)
        shards = (int)batch;
    int threads = t->parallel.run ? shards : tape__pool_threads(), lanes = threads < shards ? threads : shards;
    if (!make_team(t, lanes)) {
        tape__error(t, TAPE_ERROR_MEMORY, "out of memory for the tapes of %d threads", lanes);
        return t->status;
    }
    work w = {(team *)(void *)t->guest, fn, user, batch, shards, t->promote, t->random, lanes, shards};
    t->random.counter++;
    tape__parallel_for(tape__threads_of(t), lanes, run_lane, &w);
    t->op_name = "data_parallel";
    int failed = atomic_load(&w.first_failed);
    if (failed < shards)
        tape__error(t, w.team->shards[failed].status, "shard %d of %d: %s", failed, shards,
                    w.team->shards[failed].message);
    else
        add_and_commit(t, &w, loss);
    return t->status;
}
