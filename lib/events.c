/*
 * Writes events through a shared mapping: what was written stays when the process ends without a word, no call to the
 * system is made for an event, and one window is all the memory it takes. Knows the file, not what events say.
 */
#include "events.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { WINDOW = 1 << 20, LONGEST_PATH = 1024 };

/* What lies behind the last event: overwritten by the next. */
static const char CLOSING[] = "\n]\n";

static struct events {
    pthread_mutex_t lock;
    int users, file;
    long process;          /* that made the file */
    atomic_long writer;    /* the same while there are users, else 0: the one word that is read without the lock */
    unsigned char *window; /* NULL while nobody writes */
    off_t base;            /* of the window in the file */
    size_t used;           /* of the window, up to CLOSING */
    uint64_t epoch, written;
    uint32_t tracks;
    char path[LONGEST_PATH];
} events = {.lock = PTHREAD_MUTEX_INITIALIZER};

uint64_t tape__clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static bool fail(tape__events_error *error, const char *path, const char *why)
{
    size_t used = 0;
    tape__append(error->text, sizeof error->text, &used, "cannot write %.128s: %s", path, why);
    return false;
}

static bool fail_errno(tape__events_error *error, int number)
{
    char why[96];
    return fail(error, events.path, strerror_r(number, why, sizeof why) == 0 ? why : "an unknown error");
}

/* Map the file from `base` on; what was not in it yet becomes blanks, which JSON passes over. The space is taken from
 * the disk at once: a full one must be an error here, not a signal later. */
static bool map_window(off_t base, size_t kept, tape__events_error *error)
{
    int number = posix_fallocate(events.file, base, WINDOW);
    if (number)
        return fail_errno(error, number);
    void *window = mmap(NULL, WINDOW, PROT_READ | PROT_WRITE, MAP_SHARED, events.file, base);
    if (window == MAP_FAILED)
        return fail_errno(error, errno);
    memset((unsigned char *)window + kept, ' ', WINDOW - kept);
    events.window = window;
    events.base = base;
    events.used = kept;
    return true;
}

/* A new file's beginning, or the place where the last user left off. */
static bool start_window(bool anew, tape__events_error *error)
{
    if (!anew) {
        off_t end = events.base + (off_t)events.used, base = end - end % WINDOW;
        if (!map_window(base, (size_t)(end - base), error))
            return false;
    } else {
        if (!map_window(0, 0, error))
            return false;
        events.window[events.used++] = '[';
        events.epoch = tape__clock();
        events.written = events.tracks = 0;
    }
    memcpy(events.window + events.used, CLOSING, sizeof CLOSING - 1);
    return true;
}

static bool open_file(const char *path, tape__events_error *error)
{
    size_t length = strlen(path);
    bool same =
        strcmp(path, events.path) == 0 && events.process == (long)getpid() && events.base + (off_t)events.used > 0;
    if (length >= sizeof events.path)
        return fail(error, path, "the name is too long");
    memcpy(events.path, path, length + 1);
    events.file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | (same ? 0 : O_TRUNC), 0666);
    if (events.file < 0)
        return fail_errno(error, errno);
    struct stat status;
    bool ok = fstat(events.file, &status) == 0 || fail_errno(error, errno);
    if (ok && !S_ISREG(status.st_mode))
        ok = fail(error, path, "it is no regular file");
    /* another program may have emptied it meanwhile */
    ok = ok && start_window(!same || status.st_size < events.base + (off_t)events.used, error);
    if (!ok)
        close(events.file);
    events.process = (long)getpid();
    return ok;
}

/* In a child that was forked from the writer: its parent's words lie here, the lock in whatever state it was. */
static bool is_inherited(void)
{
    long writer = atomic_load(&events.writer);
    return writer && writer != (long)getpid();
}

bool tape__events_open(const char *path, tape__events_error *error)
{
    if (is_inherited())
        return fail(error, path, "the process was forked from one that writes a trace");
    pthread_mutex_lock(&events.lock);
    bool ok = true;
    if (events.users && strcmp(path, events.path) != 0)
        ok = fail(error, path, "another trace is being written");
    else if (!events.users && !(ok = open_file(path, error)))
        events.path[0] = '\0'; /* nothing to go on with */
    events.users += ok;
    atomic_store(&events.writer, events.users ? (long)getpid() : 0);
    pthread_mutex_unlock(&events.lock);
    return ok;
}

void tape__events_close(void)
{
    if (is_inherited())
        return;
    pthread_mutex_lock(&events.lock);
    if (--events.users == 0) {
        off_t end = events.base + (off_t)(events.used + sizeof CLOSING - 1);
        if (events.window)
            munmap(events.window, WINDOW);
        events.window = NULL;
        int ignored = ftruncate(events.file, end); /* blanks at the end do no harm */
        (void)ignored;
        close(events.file);
        atomic_store(&events.writer, 0);
    }
    pthread_mutex_unlock(&events.lock);
}

/* The next window; what is left of this one stays blank. After a failure this one ends the array as before. */
static bool next_window(tape__events_error *error)
{
    unsigned char *full = events.window;
    size_t used = events.used;
    if (!map_window(events.base + WINDOW, 0, error))
        return false;
    memset(full + used, ' ', sizeof CLOSING - 1);
    munmap(full, WINDOW);
    return true;
}

bool tape__events_write(const char *event, size_t length, tape__events_error *error)
{
    if (is_inherited())
        return fail(error, events.path, "the process was forked from the one that writes it");
    pthread_mutex_lock(&events.lock);
    bool ok = events.window && (events.used + length + 16 <= WINDOW || next_window(error));
    if (ok) {
        unsigned char *to = events.window + events.used;
        size_t comma = events.written++ > 0;
        memcpy(to + comma + 1 + length, CLOSING, sizeof CLOSING - 1);
        memcpy(to + comma + 1, event, length);
        to[comma] = '\n';
        if (comma)
            to[0] = ',';
        events.used += comma + 1 + length;
    }
    pthread_mutex_unlock(&events.lock);
    return ok;
}

uint32_t tape__events_track(void)
{
    pthread_mutex_lock(&events.lock);
    uint32_t track = ++events.tracks;
    pthread_mutex_unlock(&events.lock);
    return track;
}

uint64_t tape__events_time(uint64_t now)
{
    return now > events.epoch ? now - events.epoch : 0;
}

void tape__events_shutdown(void)
{
    if (!events.users)
        events.path[0] = '\0';
}
