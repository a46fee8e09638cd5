/* The profile: what the table counts, what the trace holds, how it ends, what goes wrong. */
#include <check.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "files.h"
#include "json.h"
#include "tape/custom.h"
#include "tape/profile.h"

enum { LINKS = 20, N = 6 };

/* LINKS times a product, a sum with a row, and a tangent; the sum of all; its gradient. */
static tape_status program(tape_tensor w)
{
    tape_tensor b = tape_ones(TAPE_F64, TAPE_SHAPE(3)), x = tape_ones(TAPE_F64, TAPE_SHAPE(2, 3));
    for (int i = 0; i < LINKS; i++)
        x = tape_tanh(tape_add(tape_mul(x, w), b));
    tape_status status = tape_backward(tape_sum(x, TAPE_ALL, false));
    tape_reset();
    return status;
}

static tape_tensor weights(void)
{
    return tape_param(TAPE_F64, TAPE_SHAPE(2, 3), (const double[]){1, 2, 3, 4, 5, 6});
}

static tape_profile_row row_named(const char *op, bool backward)
{
    tape_profile_row none = {0};
    for (int i = 0; i < tape_profile_count(); i++) {
        tape_profile_row row = tape_profile_at(i);
        if (strcmp(row.op, op) == 0 && row.backward == backward)
            return row;
    }
    return none;
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

START_TEST(the_table_counts_every_op)
{
    tape_tensor w = weights();
    ck_assert_int_eq(tape_profile_start(NULL), TAPE_OK);
    ck_assert_int_eq(program(w), TAPE_OK);
    ck_assert_int_eq(tape_profile_stop(), TAPE_OK);
    ck_assert_int_eq(program(w), TAPE_OK); /* no more */
    ck_assert_int_eq(tape_profile_count(), 9);
    const struct {
        const char *op;
        int64_t calls, bytes;
    } expected[] = {{"mul", LINKS, LINKS * 8 * 3 * N},
                    {"add", LINKS, LINKS * 8 * (2 * N + 3)},
                    {"tanh", LINKS, LINKS * 8 * 2 * N},
                    {"sum", 1, 8 * (N + 1)}};
    for (int i = 0; i < 8; i++) {
        tape_profile_row row = row_named(expected[i % 4].op, i >= 4);
        ck_assert_int_eq(row.calls, expected[i % 4].calls);
        ck_assert_int_eq(row.bytes, expected[i % 4].bytes);
        ck_assert_int_gt(row.nanoseconds, 0);
    }
    ck_assert_int_eq(row_named("commit", true).calls, 1);
    double shares = 0;
    for (int i = 0; i < 9; i++) {
        shares += tape_profile_at(i).share;
        ck_assert(i == 0 || tape_profile_at(i - 1).nanoseconds >= tape_profile_at(i).nanoseconds);
    }
    ck_assert_double_eq_tol(shares, 1, 1e-12);
    ck_assert_ptr_null(tape_profile_at(9).op);
    ck_assert_ptr_null(tape_profile_at(-1).op);
    tape_free(w);
}
END_TEST

/* One-element ops, which are never called one by one otherwise; masks; results keep their bits. */
START_TEST(the_short_way_is_seen_too)
{
    double plain[2];
    for (int profiled = 0; profiled < 2; profiled++) {
        if (profiled)
            ck_assert_int_eq(tape_profile_start(NULL), TAPE_OK);
        tape_tensor x = tape_param(TAPE_F64, TAPE_SCALAR, (const double[]){0.7}), y = x;
        for (int i = 0; i < 100; i++)
            y = tape_sub(tape_mul(y, x), x);
        y = tape_where(tape_lt(y, x), y, x);
        ck_assert_int_eq(tape_backward(y), TAPE_OK);
        plain[profiled] = tape_item(tape_gradient(x));
        tape_reset();
        tape_free(x);
    }
    ck_assert_int_eq(tape_profile_stop(), TAPE_OK);
    ck_assert(memcmp(&plain[0], &plain[1], sizeof *plain) == 0);
    ck_assert_int_eq(row_named("mul", false).calls, 100);
    ck_assert_int_eq(row_named("sub", true).calls, 100);
    ck_assert_int_eq(row_named("lt", false).calls, 1);
    ck_assert_int_eq(row_named("lt", true).calls, 0);
    ck_assert_int_eq(row_named("where", true).calls, 1);
}
END_TEST

START_TEST(a_table_is_text)
{
    tape_tensor w = weights();
    setlocale(LC_ALL, "de_DE.UTF-8"); /* where it is installed */
    tape_profile_start(NULL);
    program(w);
    tape_profile_stop();
    char text[4096], cut[100];
    size_t length = tape_profile_format(text, sizeof text);
    ck_assert_uint_eq(length, strlen(text));
    int lines = 0;
    for (const char *at = text; (at = strchr(at, '\n')); at++)
        lines++;
    ck_assert_int_eq(lines, 1 + 9 + 1);
    ck_assert_ptr_nonnull(strstr(text, "tanh                     backward         20"));
    ck_assert_ptr_nonnull(strstr(text, " 100.0 "));
    ck_assert_ptr_null(strchr(text, ','));
    ck_assert_uint_eq(tape_profile_format(cut, sizeof cut), length);
    ck_assert_uint_eq(strlen(cut), sizeof cut - 1);
    ck_assert_str_eq(cut + sizeof cut - 4, "...");
    ck_assert_uint_eq(tape_profile_format(NULL, 0), length);
    setlocale(LC_ALL, "C");
    tape_free(w);
}
END_TEST

/* ---- the trace --------------------------------------------------------------------------------------------------- */

/* The file's events; it must be one valid array. Counts those of phase X whose category and name are given. */
static int events_in(const char *path, const char *category, const char *name)
{
    size_t n, m, k;
    char *text = (char *)files_read(path, &n);
    ck_assert_ptr_nonnull(text);
    ck_assert(json_is_valid(text, n) && text[0] == '[');
    int count = 0;
    bool whole = true; /* one assertion for all: Check notes each in a file, which a limit on file sizes would cut */
    for (const char *at = NULL, *e; (e = json_next(text, n, &at, &m));) {
        const char *value = json_member(e, m, "ph", &k);
        if (!json_is(value, k, "X"))
            continue;
        value = json_member(e, m, "cat", &k);
        bool fits = !category || json_is(value, k, category);
        value = json_member(e, m, "name", &k);
        fits = fits && (!name || json_is(value, k, name));
        whole = whole && json_member(e, m, "ts", &k) && json_member(e, m, "dur", &k) && json_member(e, m, "pid", &k) &&
                json_member(e, m, "tid", &k);
        count += fits;
    }
    ck_assert(whole);
    free(text);
    return count;
}

START_TEST(the_trace_has_an_event_for_each_op)
{
    tape_tensor w = weights();
    const char *path = files_path("trace.json");
    ck_assert_int_eq(tape_profile_start(path), TAPE_OK);
    ck_assert_int_eq(events_in(path, NULL, NULL), 0);
    ck_assert_int_eq(program(w), TAPE_OK);
    ck_assert_int_eq(events_in(path, NULL, "mul"), 2 * LINKS); /* whole while it is being written */
    ck_assert_int_eq(tape_profile_stop(), TAPE_OK);
    ck_assert_int_eq(events_in(path, "forward", NULL), 3 * LINKS + 1);
    ck_assert_int_eq(events_in(path, "forward", "tanh"), LINKS);
    ck_assert_int_eq(events_in(path, "backward", "tanh"), LINKS);
    ck_assert_int_eq(events_in(path, "backward", "commit"), 1);
    size_t n, m, k;
    char *text = (char *)files_read(path, &n);
    bool found = false;
    for (const char *at = NULL, *e; !found && (e = json_next(text, n, &at, &m));) {
        const char *value = json_member(e, m, "name", &k);
        if (!json_is(value, k, "add"))
            continue;
        const char *arguments = json_member(e, m, "args", &k);
        found = true;
        size_t length;
        value = json_member(arguments, k, "out", &length);
        ck_assert(json_is(value, length, "f64[2, 3]"));
        value = json_member(arguments, k, "in", &length);
        ck_assert(json_is(value, length, "f64[2, 3] f64[3]"));
        value = json_member(arguments, k, "bytes", &length);
        ck_assert_int_eq(strtol(value, NULL, 10), 8 * (6 + 6 + 3));
    }
    ck_assert(found && text[n - 2] == ']');
    free(text);
    tape_free(w);
}
END_TEST

/* More than a window of the file at a time. */
START_TEST(a_long_trace_is_whole)
{
    enum { OPS = 10000 };
    const char *path = files_path("long.json");
    ck_assert_int_eq(tape_profile_start(path), TAPE_OK);
    for (int i = 0; i < OPS; i++)
        tape_exp(tape_scalar(TAPE_F32, i));
    ck_assert_int_eq(events_in(path, "forward", "exp"), OPS);
    ck_assert_int_eq(tape_profile_stop(), TAPE_OK);
    ck_assert_int_eq(events_in(path, "forward", "exp"), OPS);
    tape_reset();
}
END_TEST

static tape_status square_forward(tape_custom_call *c)
{
    c->y[0] = tape_mul(c->x[0], c->x[0]);
    return tape_last_status();
}

static tape_status square_vjp(tape_custom_vjp *v)
{
    v->gx[0] = tape_mul(v->gy[0], tape_mul_scalar(v->x[0], 2));
    return tape_last_status();
}

START_TEST(what_runs_inside_an_op_is_part_of_it)
{
    const tape_custom_op op = {.name = "my \"\\\n op", .forward = square_forward, .vjp = square_vjp};
    const char *path = files_path("custom.json");
    tape_tensor w = weights();
    ck_assert_int_eq(tape_profile_start(path), TAPE_OK);
    tape_tensor y = tape_custom(&op, &w, 1, NULL, 0, NULL);
    ck_assert_int_eq(tape_backward(tape_sum(y, TAPE_ALL, false)), TAPE_OK);
    ck_assert_int_eq(tape_profile_stop(), TAPE_OK);
    tape_reset();
    ck_assert_int_eq(tape_profile_count(), 5); /* it and the sum, both ways, and the commit */
    ck_assert_int_eq(row_named(op.name, false).calls, 1);
    ck_assert_int_eq(row_named(op.name, true).calls, 1);
    ck_assert_int_eq(row_named("mul", false).calls, 0);
    ck_assert_int_eq(events_in(path, "forward", "mul"), 1);
    ck_assert_int_eq(events_in(path, "backward", "mul"), 2);
    ck_assert_int_eq(events_in(path, "forward", "my \\u0022\\u005c\\u000a op"), 1);
    tape_free(w);
}
END_TEST

START_TEST(one_file_for_all_tapes)
{
    const char *path = files_path("all.json"), *other = files_path("other.json");
    tape_tensor w = weights();
    tape *mine = tape_current();
    for (int i = 0; i < 3; i++) {
        tape *t = tape_create(NULL);
        tape_make_current(t);
        ck_assert_int_eq(tape_profile_start(path), TAPE_OK);
        ck_assert_int_eq(program(w), TAPE_OK);
        ck_assert_int_eq(tape_profile_start(path), TAPE_OK); /* the table begins anew, the file goes on */
        ck_assert_int_eq(tape_profile_count(), 0);
        ck_assert_int_eq(tape_profile_start(other), TAPE_ERROR_IO);
        ck_assert_ptr_nonnull(strstr(tape_message(), "another"));
        tape_make_current(mine);
        tape_destroy(t);
    }
    ck_assert_int_eq(events_in(path, "forward", "tanh"), 3 * LINKS);
    ck_assert_int_eq(tape_profile_start(path), TAPE_OK);
    ck_assert_int_eq(program(w), TAPE_OK);
    tape_shutdown(); /* and a new life */
    ck_assert_int_eq(events_in(path, "forward", "tanh"), 4 * LINKS);
    ck_assert_int_eq(tape_profile_start(path), TAPE_OK);
    w = weights();
    ck_assert_int_eq(program(w), TAPE_OK);
    ck_assert_int_eq(tape_profile_stop(), TAPE_OK);
    ck_assert_int_eq(events_in(path, "forward", "tanh"), LINKS);
    tape_free(w);
}
END_TEST

/* ---- the environment, and sudden ends ---------------------------------------------------------------------------- */

START_TEST(the_environment_starts_it_and_nothing_is_lost)
{
    const char *path = files_path("environment.json");
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        tape_shutdown(); /* the parent's tape */
        setenv("TAPE_PROFILE", path, 1);
        tape_tensor w = weights();
        bool ok = program(w) == TAPE_OK && !tape_profile_note();
        raise(ok ? SIGKILL : SIGTERM);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    ck_assert_int_eq(events_in(path, "backward", "tanh"), LINKS);
}
END_TEST

START_TEST(a_forked_child_leaves_the_file_alone)
{
    const char *path = files_path("fork.json");
    tape_tensor w = weights();
    ck_assert_int_eq(tape_profile_start(path), TAPE_OK);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        bool ok = program(w) == TAPE_OK && tape_profile_note() && row_named("tanh", false).calls == LINKS;
        _exit(ok ? 0 : 1);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    ck_assert_int_eq(program(w), TAPE_OK);
    ck_assert_int_eq(tape_profile_stop(), TAPE_OK);
    ck_assert_int_eq(events_in(path, "forward", "tanh"), LINKS);
    tape_free(w);
}
END_TEST

/* ---- what goes wrong --------------------------------------------------------------------------------------------- */

static void take_note(void *user, tape_status status, const char *message)
{
    int *lines = user;
    ck_assert_int_eq(status, TAPE_ERROR_IO);
    ck_assert_ptr_null(strchr(message, '\n'));
    ck_assert_int_eq(strncmp(message, "profile: cannot write ", 22), 0);
    ++*lines;
}

START_TEST(a_file_that_cannot_be_written_is_reported)
{
    const char *const bad[] = {"/nonexistent/directory/trace.json", "/dev/full", "/"};
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(tape_profile_start(bad[i]), TAPE_ERROR_IO);
        ck_assert_ptr_nonnull(strstr(tape_message(), bad[i]));
        tape_clear();
        ck_assert_int_eq(tape_profile_stop(), TAPE_ERROR_STATE);
        tape_clear();
        setenv("TAPE_PROFILE", bad[i], 1);
        int lines = 0;
        const tape_config config = {.log = take_note, .log_user = &lines};
        tape *t = tape_create(&config), *before = tape_make_current(t);
        unsetenv("TAPE_PROFILE");
        ck_assert_int_eq(lines, 1);
        ck_assert_int_eq(tape_last_status(), TAPE_OK);
        ck_assert_ptr_nonnull(strstr(tape_profile_note(), bad[i]));
        tape_exp(tape_scalar(TAPE_F32, 1));
        ck_assert_int_eq(row_named("exp", false).calls, 1);
        tape_make_current(before);
        tape_destroy(t);
    }
}
END_TEST

/* A disk that is full after two windows: the events until then stay, the program and the table go on. */
START_TEST(a_full_disk_ends_the_trace_alone)
{
    enum { OPS = 20000 };
    const char *path = files_path("full.json");
    const struct rlimit small = {5 << 19, 5 << 19};
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0); /* of this test's own process */
    int lines = 0;
    const tape_config config = {.log = take_note, .log_user = &lines};
    tape *t = tape_create(&config), *before = tape_make_current(t);
    ck_assert_int_eq(tape_profile_start(path), TAPE_OK);
    for (int i = 0; i < OPS; i++)
        tape_exp(tape_scalar(TAPE_F32, i));
    ck_assert_int_eq(lines, 1);
    ck_assert_int_eq(tape_last_status(), TAPE_OK);
    ck_assert_int_eq(row_named("exp", false).calls, OPS);
    int events = events_in(path, "forward", "exp");
    ck_assert(events > 5000 && events < OPS);
    ck_assert_ptr_nonnull(tape_profile_note());
    ck_assert_int_eq(tape_profile_stop(), TAPE_ERROR_IO);
    tape_make_current(before);
    tape_destroy(t);
}
END_TEST

static void *refuse_large(void *user, void *pointer, size_t old_size, size_t new_size)
{
    (void)old_size;
    if (new_size == 0) {
        free(pointer);
        return NULL;
    }
    return *(const bool *)user ? NULL : realloc(pointer, new_size);
}

START_TEST(no_memory_no_profile)
{
    bool refuse = false;
    const tape_config config = {.allocator = refuse_large, .allocator_user = &refuse};
    tape *t = tape_create(&config), *before = tape_make_current(t);
    refuse = true;
    ck_assert_int_eq(tape_profile_start(NULL), TAPE_ERROR_MEMORY);
    tape_clear();
    ck_assert_int_eq(tape_profile_count(), 0);
    refuse = false;
    ck_assert_int_eq(tape_profile_start(NULL), TAPE_OK);
    tape_make_current(before);
    tape_destroy(t);
}
END_TEST

/* Stopped and started anew from inside an op: what was open then belongs to no table. */
static tape_status restart(tape_custom_call *c)
{
    tape_profile_stop();
    tape_profile_start(NULL);
    c->y[0] = tape_exp(c->x[0]);
    return tape_last_status();
}

START_TEST(a_callback_may_start_it_anew)
{
    const tape_custom_op op = {.name = "restart", .forward = restart};
    tape_tensor x = tape_scalar(TAPE_F32, 1);
    ck_assert_int_eq(tape_profile_start(NULL), TAPE_OK);
    ck_assert(!tape_is_null(tape_custom(&op, &x, 1, NULL, 0, NULL)));
    tape_exp(x);
    ck_assert(tape_is_null(tape_matmul(x, x))); /* failed: no call */
    tape_clear();
    ck_assert_int_eq(tape_profile_stop(), TAPE_OK);
    ck_assert_int_eq(tape_profile_count(), 1);
    ck_assert_int_eq(row_named("exp", false).calls, 2);
    tape_reset();
}
END_TEST

int main(void)
{
    unsetenv("TAPE_PROFILE");
    Suite *suite = suite_create("profile");
    TCase *cases = tcase_create("profile");
    tcase_add_test(cases, the_table_counts_every_op);
    tcase_add_test(cases, the_short_way_is_seen_too);
    tcase_add_test(cases, a_table_is_text);
    tcase_add_test(cases, the_trace_has_an_event_for_each_op);
    tcase_add_test(cases, a_long_trace_is_whole);
    tcase_add_test(cases, what_runs_inside_an_op_is_part_of_it);
    tcase_add_test(cases, one_file_for_all_tapes);
    tcase_add_test(cases, the_environment_starts_it_and_nothing_is_lost);
    tcase_add_test(cases, a_forked_child_leaves_the_file_alone);
    tcase_add_test(cases, a_file_that_cannot_be_written_is_reported);
    tcase_add_test(cases, a_full_disk_ends_the_trace_alone);
    tcase_add_test(cases, no_memory_no_profile);
    tcase_add_test(cases, a_callback_may_start_it_anew);
    tcase_add_unchecked_fixture(cases, NULL, files_remove);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
