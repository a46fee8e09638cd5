/* The profile of one tape: spans, the table by op, the events that go to the trace. Knows when an op ran and on what,
 * not what it computes. */
#include "profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "events.h"
#include "op_index.h"
#include "tape/profile.h"

enum { CUSTOM_NAMES = 64, NAME = 48, ROWS = 2 * (TAPE__OP_COUNT + CUSTOM_NAMES), SHOWN = 4 };

struct tape__profile {
    bool traced, sorted;
    int depth, sweeps; /* spans and sweeps that are open */
    uint32_t track;
    long process;
    uint64_t started;
    int row_count, name_count;
    uint16_t row_of[2][TAPE__OP_COUNT]; /* by pass and op, plus one; a custom op's is found by its name */
    uint16_t order[ROWS];
    tape_profile_row row[ROWS];
    char name[CUSTOM_NAMES][NAME]; /* custom ops may end before the table */
    tape__events_error note;
};

/* ---- the table --------------------------------------------------------------------------------------------------- */

static const char *custom_name(struct tape__profile *p, const char *name)
{
    for (int i = 0; i < p->name_count; i++)
        if (strncmp(p->name[i], name, NAME - 1) == 0)
            return p->name[i];
    if (p->name_count == CUSTOM_NAMES - 1)
        name = "(other custom ops)";
    if (p->name_count == CUSTOM_NAMES)
        return p->name[CUSTOM_NAMES - 1];
    char *copy = p->name[p->name_count++];
    size_t used = 0;
    tape__append(copy, NAME, &used, "%s", name);
    return copy;
}

static tape_profile_row *new_row(struct tape__profile *p, const char *name, bool backward)
{
    tape_profile_row *row = &p->row[p->row_count++];
    *row = (tape_profile_row){.op = name, .backward = backward};
    return row;
}

static tape_profile_row *find_row(struct tape__profile *p, int op, const char *name, bool backward)
{
    if (op == TAPE__OP_CUSTOM) {
        name = custom_name(p, name);
        for (int i = 0; i < p->row_count; i++)
            if (p->row[i].op == name && p->row[i].backward == backward)
                return &p->row[i];
        return new_row(p, name, backward);
    }
    uint16_t *at = &p->row_of[backward][op];
    if (!*at) {
        new_row(p, name, backward);
        *at = (uint16_t)p->row_count;
    }
    return &p->row[*at - 1];
}

static void sort_rows(struct tape__profile *p)
{
    int64_t all = 0;
    for (int i = 0; i < p->row_count; i++)
        all += p->row[i].nanoseconds;
    for (int i = 0; i < p->row_count; i++) {
        int to = i;
        for (; to > 0 && p->row[p->order[to - 1]].nanoseconds < p->row[i].nanoseconds; to--)
            p->order[to] = p->order[to - 1];
        p->order[to] = (uint16_t)i;
        p->row[i].share = all ? (double)p->row[i].nanoseconds / (double)all : 0;
    }
    p->sorted = true;
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

/* The failure of a trace is the trace's alone: the program and the table go on. */
static void log_note(tape *t)
{
    char line[sizeof t->profile->note.text + 16];
    size_t used = 0;
    tape__append(line, sizeof line, &used, "profile: %s", t->profile->note.text);
    if (t->config.log)
        t->config.log(t->config.log_user, TAPE_ERROR_IO, line);
}

static void end_trace(tape *t)
{
    if (t->profile->traced)
        tape__events_close();
    t->profile->traced = false;
}

static void write_event(tape *t, const char *event, size_t length)
{
    struct tape__profile *p = t->profile;
    if (!p->traced || tape__events_write(event, length, &p->note))
        return;
    end_trace(t);
    log_note(t);
}

static void name_track(tape *t, bool backward)
{
    struct tape__profile *p = t->profile;
    char event[256];
    size_t used = 0;
    tape__append(event, sizeof event, &used,
                 "{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":%ld,\"tid\":%u,\"args\":{\"name\":\"tape %u %s\"}}",
                 p->process, 2 * p->track - !backward, p->track, backward ? "backward" : "forward");
    write_event(t, event, used);
}

/* A custom op's name is the user's: quotes, backslashes and control characters are escaped. */
static void append_name(char *text, size_t size, size_t *used, const char *name)
{
    for (int i = 0; name[i] && i < NAME;) {
        int plain = 0;
        while (i + plain < NAME && (unsigned char)name[i + plain] >= ' ' && !strchr("\"\\", name[i + plain]))
            plain++;
        tape__append(text, size, used, "%.*s", plain, name + i);
        i += plain;
        if (i < NAME && name[i])
            tape__append(text, size, used, "\\u%04x", (unsigned char)name[i++]);
    }
}

static void append_nodes(char *text, size_t size, size_t *used, const char *key, tape__node *const *node, int n)
{
    tape__append(text, size, used, "\"%s\":\"", key);
    for (int i = 0; i < n && i < SHOWN; i++)
        tape__append(text, size, used, "%s%s%s", i ? " " : "", tape_dtype_name((tape_dtype)node[i]->dtype),
                     TAPE__LAYOUT_TEXT(node[i]->layout));
    tape__append(text, size, used, "%s\",", n > SHOWN ? " ..." : "");
}

static void append_time(char *text, size_t size, size_t *used, const char *key, uint64_t nanoseconds)
{
    tape__append(text, size, used, "\"%s\":%llu.%03llu,", key, (unsigned long long)(nanoseconds / 1000),
                 (unsigned long long)(nanoseconds % 1000));
}

typedef struct span {
    uint64_t start, end;
    const char *name;
    tape__node *const *in;
    tape__node *out[SHOWN];
    int n_in, n_out;
    int64_t bytes;
} span;

static void write_span(tape *t, const span *s)
{
    const struct tape__profile *p = t->profile;
    bool backward = p->sweeps > 0;
    char event[TAPE__EVENT_MAX];
    size_t used = 0, size = sizeof event;
    tape__append(event, size, &used, "{\"name\":\"");
    append_name(event, size, &used, s->name);
    tape__append(event, size, &used, "\",\"cat\":\"%s\",\"ph\":\"X\",\"pid\":%ld,\"tid\":%u,",
                 backward ? "backward" : "forward", p->process, 2 * p->track - !backward);
    append_time(event, size, &used, "ts", tape__events_time(s->start));
    append_time(event, size, &used, "dur", s->end - s->start);
    tape__append(event, size, &used, "\"args\":{");
    append_nodes(event, size, &used, "out", s->out, s->n_out);
    append_nodes(event, size, &used, "in", s->in, s->n_in);
    tape__append(event, size, &used, "\"bytes\":%lld}}", (long long)s->bytes);
    write_event(t, event, used);
}

/* ---- spans ------------------------------------------------------------------------------------------------------- */

static int64_t node_bytes(const tape__node *node)
{
    return node->layout->numel * (int64_t)tape_dtype_size((tape_dtype)node->dtype);
}

static bool is_running(const tape *t)
{
    return t->detour & TAPE__DETOUR_PROFILE;
}

uint64_t tape__profile_begin(tape *t)
{
    t->profile->depth++;
    return tape__clock();
}

void tape__profile_end(tape *t, uint64_t start, int op, const char *name, const tape__span_nodes *nodes)
{
    span s = {.start = start, .end = tape__clock(), .name = name};
    struct tape__profile *p = t->profile;
    if (!is_running(t) || start < p->started) /* a callback has stopped it, and perhaps started it anew */
        return;
    p->depth--;
    if (!nodes)
        return;
    s.in = nodes->in;
    s.n_in = nodes->n_in;
    s.n_out = nodes->n_out;
    for (int i = 0; i < nodes->n_in; i++)
        s.bytes += node_bytes(nodes->in[i]);
    for (int k = 0; k < nodes->n_out; k++) {
        tape__node *y = tape__at(t, nodes->first + (uint32_t)k);
        s.bytes += node_bytes(y);
        if (k < SHOWN)
            s.out[k] = y;
    }
    if (p->depth == 0) {
        tape_profile_row *row = find_row(p, op, name, p->sweeps > 0);
        row->calls++;
        row->nanoseconds += (int64_t)(s.end - s.start);
        row->bytes += s.bytes;
        p->sorted = false;
    }
    if (p->traced)
        write_span(t, &s);
}

uint64_t tape__profile_enter_sweep(tape *t)
{
    if (TAPE__LIKELY(!is_running(t)))
        return 0;
    t->profile->sweeps++;
    return tape__clock();
}

void tape__profile_leave_sweep(tape *t, uint64_t entered)
{
    if (TAPE__UNLIKELY(entered) && is_running(t) && entered >= t->profile->started)
        t->profile->sweeps--;
}

/* ---- start and stop ---------------------------------------------------------------------------------------------- */

static bool start_trace(tape *t, const char *path, tape__events_error *error)
{
    struct tape__profile *p = t->profile;
    if (!tape__events_open(path, error))
        return false;
    if (p->traced) { /* the same file once more */
        tape__events_close();
        return true;
    }
    p->note.text[0] = '\0';
    p->traced = true;
    p->track = tape__events_track();
    name_track(t, false);
    name_track(t, true);
    return true;
}

/* The table begins anew. */
static void run(tape *t)
{
    struct tape__profile *p = t->profile;
    p->depth = p->sweeps = p->row_count = p->name_count = 0;
    memset(p->row_of, 0, sizeof p->row_of);
    p->sorted = false;
    p->started = tape__clock();
    t->detour |= TAPE__DETOUR_PROFILE;
}

static bool prepare(tape *t)
{
    if (!t->profile) {
        t->profile = tape__memory_get(&t->memory, sizeof *t->profile);
        if (!t->profile)
            return false;
        memset(t->profile, 0, sizeof *t->profile);
    }
    t->profile->process = (long)getpid();
    return true;
}

tape_status tape_profile_start(const char *path)
{
    tape *t = tape__begin("profile");
    if (!t)
        return tape_last_status();
    tape__events_error error = {""};
    if (!prepare(t))
        tape__error(t, TAPE_ERROR_MEMORY, "out of memory for a table");
    else if (!path || start_trace(t, path, &error))
        run(t);
    else
        tape__error(t, TAPE_ERROR_IO, "%s", error.text);
    return t->status;
}

tape_status tape_profile_stop(void)
{
    tape *t = tape_current();
    if (!t)
        return TAPE_ERROR_MEMORY;
    t->op_name = "profile";
    if (!is_running(t)) {
        tape__error(t, TAPE_ERROR_STATE, "nothing was started");
        return TAPE_ERROR_STATE;
    }
    end_trace(t);
    t->detour &= ~(uint32_t)TAPE__DETOUR_PROFILE;
    if (!t->profile->note.text[0])
        return TAPE_OK;
    tape__error(t, TAPE_ERROR_IO, "%s", t->profile->note.text);
    return TAPE_ERROR_IO;
}

void tape__profile_born(tape *t)
{
    const char *path = getenv("TAPE_PROFILE");
    if (!path || !*path || !prepare(t))
        return;
    if (!start_trace(t, path, &t->profile->note))
        log_note(t);
    run(t);
}

void tape__profile_free(tape *t)
{
    if (!t->profile)
        return;
    end_trace(t);
    tape__memory_put(&t->memory, t->profile, sizeof *t->profile);
}

/* ---- reading it -------------------------------------------------------------------------------------------------- */

static struct tape__profile *current(void)
{
    const tape *t = tape__tls;
    return t ? t->profile : NULL;
}

const char *tape_profile_note(void)
{
    const struct tape__profile *p = current();
    return p && p->note.text[0] ? p->note.text : NULL;
}

int tape_profile_count(void)
{
    const struct tape__profile *p = current();
    return p ? p->row_count : 0;
}

tape_profile_row tape_profile_at(int i)
{
    struct tape__profile *p = current();
    if (!p || i < 0 || i >= p->row_count)
        return (tape_profile_row){0};
    if (!p->sorted)
        sort_rows(p);
    return p->row[p->order[i]];
}
