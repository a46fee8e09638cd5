/* tape_rollout(): gradients through many steps within few stored states. Does not know what a step computes. */
#include <string.h>

#include "recompute.h"
#include "sweep.h"
#include "tape/recompute.h"

/* ---- the schedule ------------------------------------------------------------------------------------------------ */

/* (states + sweeps over states); the largest number where it is beyond that. */
static int64_t binomial(int64_t states, int64_t sweeps)
{
    int64_t small = states < sweeps ? states : sweeps, large = states + sweeps - small, value = 1;
    for (int64_t i = 1; i <= small; i++) {
        if (__builtin_mul_overflow(value, large + i, &value))
            return INT64_MAX;
        value /= i; /* exact: value was i binomial(large + i, i) */
    }
    return value;
}

/*
 * With s states and r runs over each step at most, beta(s, r) = binomial(s + r, s) steps can be reversed. The optimum
 * for l steps, r minimal with l <= beta(s, r), is kept by every stride m with
 *     beta(s, r-2) <= m <= beta(s, r-1)  and  beta(s-1, r-1) <= l - m <= beta(s-1, r);
 * this is the longest.
 */
int64_t tape__rollout_stride(int64_t length, int states)
{
    if (states < 2)
        return length - 1;
    int64_t sweeps = 1;
    while (binomial(states, sweeps) < length)
        sweeps++;
    int64_t longest = binomial(states, sweeps - 1), other = length - binomial(states - 1, sweeps - 1);
    return longest < other ? longest : other;
}

/* ---- states ------------------------------------------------------------------------------------------------------ */

typedef struct rollout {
    tape *t;
    tape_step *step;
    void *user;
    int64_t n; /* steps that the record stands for */
    int m, states, stored;
    int64_t *position;         /* of the stored states; the first is 0, the record's inputs */
    tape_random_state *random; /* ... and the generator there */
    unsigned char *data;       /* of all but the first */
    size_t bytes, state_bytes, offset[TAPE_ROLLOUT_STATES];
} rollout;

static void release_rollout(void *user, void *attr)
{
    rollout *r = *(rollout **)attr;
    (void)user;
    tape__arena_put(&r->t->arena, r, r->bytes);
}

/* One block: the struct, positions, generators, states. */
static rollout *new_rollout(tape *t, int64_t n, int budget, const tape_tensor *state, int m)
{
    size_t offset[TAPE_ROLLOUT_STATES], one = 0;
    for (int i = 0; i < m; i++) {
        uint32_t slot = tape__resolve(t, state[i], i);
        if (slot == TAPE__NO_SLOT)
            return NULL;
        const tape__node *node = tape__at(t, slot);
        offset[i] = one;
        one += ((size_t)node->layout->numel * tape_dtype_size((tape_dtype)node->dtype) + 63) & ~(size_t)63;
    }
    int states = n < budget ? (int)n : budget;
    int64_t data, total, lists = (int64_t)states * (int64_t)(sizeof(int64_t) + sizeof(tape_random_state));
    bool fits = tape__mul_size(states - 1, (int64_t)one, &data) &&
                tape__add_size(data, lists + (int64_t)sizeof(rollout) + 64, &total);
    rollout *r = fits ? tape__arena_get(&t->arena, (size_t)total) : NULL;
    if (!r) {
        tape__error(t, TAPE_ERROR_MEMORY, "out of memory for %d states of %zu bytes", states, one);
        return NULL;
    }
    *r = (rollout){.t = t, .n = n, .m = m, .states = states, .bytes = (size_t)total, .state_bytes = one};
    memcpy(r->offset, offset, sizeof offset);
    r->random = (tape_random_state *)(void *)(r + 1);
    r->position = (int64_t *)(void *)(r->random + states);
    uintptr_t end = (uintptr_t)(r->position + states);
    r->data = (unsigned char *)(r->position + states) + ((-end) & 63);
    r->position[0] = 0;
    r->stored = 1;
    return r;
}

static void store(rollout *r, int64_t position, const tape_tensor *state)
{
    unsigned char *to = r->data + (size_t)(r->stored - 1) * r->state_bytes;
    for (int i = 0; i < r->m; i++) {
        const tape__node *node = tape__at(r->t, tape__resolve(r->t, state[i], i));
        tape__copy_dense(r->t, node->layout, (tape_dtype)node->dtype, node->data, to + r->offset[i]);
    }
    r->position[r->stored] = position;
    r->random[r->stored++] = r->t->random;
}

/* The last stored state, as tensors that look into it. */
static bool load(const rollout *r, const tape_tensor *first, tape_tensor *state)
{
    tape *t = r->t;
    const unsigned char *from = r->stored > 1 ? r->data + (size_t)(r->stored - 2) * r->state_bytes : NULL;
    t->random = r->random[r->stored - 1];
    for (int i = 0; i < r->m; i++) {
        uint32_t slot;
        const tape__node *like = tape__at(t, first[i].slot);
        tape__node *node = tape__new_node(t, &slot);
        if (!node)
            return false;
        node->layout = from ? like->layout->dense : like->layout;
        node->data = from ? (void *)(uintptr_t)(from + r->offset[i]) : like->data;
        node->dtype = like->dtype;
        state[i] = tape__handle(t, slot);
    }
    return true;
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

/* Inside a callback: state becomes the next one. */
static bool step_once(const rollout *r, int64_t k, const tape_tensor *state, tape_tensor *next)
{
    tape *t = r->t;
    for (int i = 0; i < r->m; i++)
        next[i] = TAPE_NULL;
    tape_status status = r->step(r->user, k, state, r->m, next);
    if (status != TAPE_OK && t->status == TAPE_OK)
        return tape__error(t, TAPE_ERROR_CALLBACK, "step %lld failed: %s", (long long)k, tape_status_name(status));
    for (int i = 0; i < r->m && t->status == TAPE_OK; i++) {
        if (!tape_is_valid(next[i]))
            return tape__error(t, TAPE_ERROR_CALLBACK, "step %lld gave no tensor for state %d", (long long)k, i);
        const tape__node *a = tape__at(t, tape__resolve(t, state[i], i)),
                         *b = tape__at(t, tape__resolve(t, next[i], i));
        if (a->layout->dense != b->layout->dense || a->dtype != b->dtype)
            return tape__error(t, TAPE_ERROR_SHAPE, "step %lld made %s of %s from state %d, %s of %s", (long long)k,
                               TAPE__LAYOUT_TEXT(b->layout), tape_dtype_name((tape_dtype)b->dtype), i,
                               TAPE__LAYOUT_TEXT(a->layout), tape_dtype_name((tape_dtype)a->dtype));
    }
    return t->status == TAPE_OK;
}

/* `live` holds the state, then what else stays, `count` in all; nothing else that was made since `base` does. What the
 * step reads goes to `reads`, unless that is NULL. */
static bool advance(const rollout *r, int64_t from, int64_t to, uint32_t base, tape_tensor *live, int count,
                    tape__reads *reads, uint32_t floor)
{
    tape *t = r->t;
    bool ok = true;
    for (int64_t k = from; k < to && ok; k++) {
        tape_tensor next[TAPE_ROLLOUT_STATES];
        tape__callback outer = tape__enter_callback(t);
        uint32_t start = t->count;
        t->paused = reads ? 0 : 1;
        ok = step_once(r, k, live, next) && (!reads || tape__reads_scan(t, reads, floor, start));
        tape__leave_callback(t, outer);
        memcpy(live, next, (size_t)r->m * sizeof *next);
        ok = ok && tape__truncate_keeping(t, base, live, count);
    }
    return ok;
}

/* From the state at `from` to the one before `to`, storing states on the way. */
static bool approach(rollout *r, int64_t from, int64_t to, uint32_t base, tape_tensor *live, int count,
                     tape__reads *reads, uint32_t floor)
{
    while (from < to - 1) {
        int spare = r->states - r->stored;
        int64_t stride = tape__rollout_stride(to - from, spare + 1);
        if (!advance(r, from, from + stride, base, live, count, reads, floor))
            return false;
        from += stride;
        if (spare > 0 && from < to - 1)
            store(r, from, live);
    }
    return true;
}

/* ---- backward ---------------------------------------------------------------------------------------------------- */

/* The live tensors of a backward: the state, its cotangent, the gradients of what the steps read. */
typedef struct reversal {
    rollout *r;
    tape_custom_vjp *v;
    uint32_t base;
    int count; /* 2 m + reads */
    tape_tensor *live, *cotangent, *gradient, *found;
} reversal;

/* Record step k from the live state, and go back over it. */
static bool turn(const reversal *w, int64_t k)
{
    tape *t = w->r->t;
    int m = w->r->m, reads = w->v->n - m, connected = 0;
    tape_tensor next[TAPE_ROLLOUT_STATES], ys[TAPE_ROLLOUT_STATES], gy[TAPE_ROLLOUT_STATES];
    for (int i = 0; i < m; i++) {
        tape__node *node = tape__at(t, w->live[i].slot);
        if (node->dtype <= TAPE_F64)
            node->flags |= TAPE__REQUIRES_GRAD;
    }
    tape_tensor *targets = w->found + w->v->n;
    memcpy(targets, w->live, (size_t)m * sizeof *targets);
    memcpy(targets + m, w->v->x + m, (size_t)reads * sizeof *targets);
    if (!step_once(w->r, k, w->live, next))
        return false;
    for (int i = 0; i < m; i++)
        if (!tape_is_none(w->cotangent[i])) {
            ys[connected] = next[i];
            gy[connected++] = w->cotangent[i];
        }
    for (int i = 0; i < w->v->n; i++)
        w->found[i] = TAPE_NONE;
    if (connected && tape_grad(ys, connected, gy, targets, w->v->n, NULL, w->found) != TAPE_OK)
        return false;
    memcpy(w->cotangent, w->found, (size_t)m * sizeof *w->found);
    for (int j = 0; j < reads; j++) {
        tape_tensor g = w->found[m + j];
        if (!tape_is_none(g))
            w->gradient[j] = tape_is_none(w->gradient[j]) ? g : tape_add(w->gradient[j], g);
    }
    return t->status == TAPE_OK;
}

static bool reverse(const reversal *w)
{
    rollout *r = w->r;
    tape *t = r->t;
    for (int64_t end = r->n; end > 0; end--) {
        bool ok = load(r, w->v->x, w->live) &&
                  approach(r, r->position[r->stored - 1], end, w->base, w->live, w->count, NULL, 0);
        tape__callback outer = tape__enter_callback(t);
        t->paused = 0;
        ok = ok && turn(w, end - 1);
        tape__leave_callback(t, outer);
        for (int i = 0; i < r->m; i++)
            w->live[i] = TAPE_NONE;
        if (!ok || !tape__truncate_keeping(t, w->base, w->live, w->count))
            return false;
        if (r->stored > 1 && r->position[r->stored - 1] == end - 1)
            r->stored--;
    }
    return true;
}

/* All steps recorded at once. */
static tape_status record_all(const rollout *r, tape_custom_vjp *v)
{
    tape_tensor state[TAPE_ROLLOUT_STATES], next[TAPE_ROLLOUT_STATES];
    const tape_grad_options options = {.create_graph = true};
    memcpy(state, v->x, (size_t)r->m * sizeof *state);
    r->t->random = r->random[0];
    for (int64_t k = 0; k < r->n; k++) {
        if (!step_once(r, k, state, next))
            return r->t->status;
        memcpy(state, next, sizeof state);
    }
    tape_tensor ys[TAPE_ROLLOUT_STATES], gy[TAPE_ROLLOUT_STATES];
    int connected = 0;
    for (int i = 0; i < r->m; i++)
        if (!tape_is_none(v->gy[i])) {
            ys[connected] = state[i];
            gy[connected++] = v->gy[i];
        }
    tape_status status = connected ? tape_grad(ys, connected, gy, v->x, v->n, &options, v->gx) : TAPE_OK;
    tape__count_once(v, r->m);
    return status;
}

static tape_status go_back(tape_custom_vjp *v)
{
    rollout *r = *(rollout *const *)v->attr;
    tape *t = r->t;
    tape_random_state now = t->random;
    size_t bytes = (size_t)(3 * v->n + r->m) * sizeof(tape_tensor);
    tape_tensor *room = tape__arena_get(&t->arena, bytes);
    if (!room)
        return tape_fail(TAPE_ERROR_MEMORY, "rollout: out of memory for %d gradients", v->n);
    if (v->create_graph) {
        record_all(r, v);
        tape__note_redrawn(t, v, r->random[0]);
    } else {
        reversal w = {r, v, t->count, r->m + v->n, room, room + r->m, room + 2 * r->m, room + r->m + v->n};
        for (int i = 0; i < w.count; i++)
            room[i] = TAPE_NONE;
        memcpy(w.cotangent, v->gy, (size_t)r->m * sizeof *v->gy);
        if (reverse(&w))
            memcpy(v->gx, w.cotangent, (size_t)v->n * sizeof *v->gx);
    }
    tape__arena_put(&t->arena, room, bytes);
    t->random = now;
    return t->status;
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

/* The steps from the record's inputs on, with what is stored on the way; the last state to `out`. */
static bool run_steps(rollout *r, const tape_tensor *first, uint32_t floor, tape_tensor *out, tape__reads *reads)
{
    r->random[0] = r->t->random;
    r->stored = 1;
    /* n + 1 steps in all: the schedule is the one that has the last of them recorded first */
    return load(r, first, out) && approach(r, 0, r->n + 1, floor, out, r->m, reads, floor);
}

static bool replay(tape__call *call)
{
    tape *t = call->t;
    rollout *r = *(rollout *const *)call->attr;
    tape_tensor first[TAPE_ROLLOUT_STATES], out[TAPE_ROLLOUT_STATES];
    for (int i = 0; i < r->m; i++)
        first[i] = tape__handle(t, call->in_slot[i]);
    if (!run_steps(r, first, t->count, out, NULL))
        return false;
    for (int i = 0; i < r->m; i++)
        tape__adopt_output(call, out[i].slot);
    return t->status == TAPE_OK;
}

static const tape__own_op rollout_op = {
    {.name = "rollout", .vjp = go_back, .release = release_rollout, .unread_outputs = true}, replay};

/* All steps but the last, with one record that is made after them. */
static bool run_without_records(tape *t, rollout *r, const tape_tensor *state, tape_tensor *out)
{
    uint32_t floor = t->count;
    tape__reads reads = {.given = r->m};
    tape_tensor first[TAPE_ROLLOUT_STATES];
    bool ok = true, recording = t->paused == 0;
    for (int i = 0; i < r->m && ok; i++) {
        first[i] = tape__handle(t, tape__resolve(t, state[i], i));
        ok = tape__reads_add(t, &reads, first[i]);
    }
    ok = ok && run_steps(r, first, floor, out, recording ? &reads : NULL);
    if (ok && recording)
        ok = tape__record_after(t, &rollout_op, &reads, &r, sizeof r, out, r->m);
    tape__reads_free(t, &reads);
    return ok;
}

static bool rollout_run(tape *t, tape_step *step, void *user, int64_t n, int budget, const tape_tensor *state, int m,
                        tape_tensor *out)
{
    rollout last = {.t = t, .step = step, .user = user, .m = m};
    tape_tensor before[TAPE_ROLLOUT_STATES];
    memcpy(before, state, (size_t)m * sizeof *state);
    if (n > 1) {
        rollout *r = new_rollout(t, n - 1, budget, state, m);
        if (!r)
            return false;
        r->step = step;
        r->user = user;
        bool ok = run_without_records(t, r, state, before);
        if (!ok || t->paused)
            tape__arena_put(&t->arena, r, r->bytes);
        if (!ok)
            return false;
    }
    tape__callback outer = tape__enter_callback(t);
    bool ok = step_once(&last, n - 1, before, out);
    tape__leave_callback(t, outer);
    return ok;
}

tape_status tape_rollout(tape_step *step, void *user, int64_t n, int budget, const tape_tensor *state, int m,
                         tape_tensor *out)
{
    tape_tensor first[TAPE_ROLLOUT_STATES]; /* out may be state */
    bool fits = m >= 1 && m <= TAPE_ROLLOUT_STATES, ok = true;
    for (int i = 0; i < m && fits; i++) {
        first[i] = state[i];
        out[i] = TAPE_NULL;
    }
    tape *t = tape__begin("rollout");
    if (!t)
        return tape_last_status();
    if (!step || n < 0 || budget < 1 || !fits) {
        tape__error(t, TAPE_ERROR_ARGUMENT,
                    "%lld steps of %d tensors with %d states stored: needs 0 or more, 1 to %d, 1", (long long)n, m,
                    budget, TAPE_ROLLOUT_STATES);
        return t->status;
    }
    const char *before = tape__enter(t, "rollout");
    for (int i = 0; i < m && ok; i++)
        ok = tape__resolve(t, first[i], i) != TAPE__NO_SLOT;
    uint32_t count = t->count;
    if (ok && n > 0)
        ok = rollout_run(t, step, user, n, budget, first, m, out);
    else if (ok)
        memcpy(out, first, (size_t)m * sizeof *out);
    for (int i = 0; i < m && !ok; i++)
        out[i] = TAPE_NULL;
    if (!ok)
        tape__truncate(t, count);
    t->composite_depth--;
    t->op_name = before;
    return t->status;
}
