/* Writing a file so that it is replaced as a whole or left as it was; it does not know what the bytes mean. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kit.h"

enum { ATTEMPTS = 100 };

/* The length of the directory part, the slash included. */
static size_t directory_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* A new file beside the target, with the target's permissions where it exists. */
static tape_status open_temporary(struct tape__writer *w, const struct stat *old)
{
    size_t directory = directory_length(w->target), size = directory + 64;
    w->temporary = tape__grow(NULL, (int64_t)size, 1);
    if (!w->temporary)
        return TAPE_ERROR_MEMORY;
    memcpy(w->temporary, w->target, directory);
    int error = EEXIST;
    for (int i = 0; i < ATTEMPTS && w->fd < 0 && error == EEXIST; i++) {
        snprintf(w->temporary + directory, size - directory, ".tape-%ld-%d.tmp", (long)getpid(), i);
        w->fd = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
        error = errno;
    }
    if (w->fd < 0) {
        free(w->temporary);
        w->temporary = NULL;
        return tape__fail_system(w->path, "cannot create a file in its directory", error);
    }
    if (old && fchmod(w->fd, old->st_mode & 07777) != 0)
        return tape__fail_system(w->path, "cannot set permissions", errno);
    return TAPE_OK;
}

static tape_status open_direct(struct tape__writer *w)
{
    w->direct = true;
    w->fd = open(w->target, O_WRONLY | O_CLOEXEC);
    return w->fd >= 0 ? TAPE_OK : tape__fail_system(w->path, "cannot open for writing", errno);
}

static tape_status open_target(struct tape__writer *w)
{
    struct stat old;
    w->target = realpath(w->path, NULL);
    if (!w->target && errno == ENOENT) /* a new file, or a link to where none is yet: the link is replaced */
        w->target = strdup(w->path);
    if (!w->target)
        return tape__fail_system(w->path, "cannot write", errno);
    if (stat(w->target, &old) != 0)
        return errno == ENOENT ? open_temporary(w, NULL) : tape__fail_system(w->path, "cannot write", errno);
    if (S_ISDIR(old.st_mode))
        return tape__fail_system(w->path, "cannot write", EISDIR);
    return S_ISREG(old.st_mode) ? open_temporary(w, &old) : open_direct(w);
}

tape_status tape__writer_open(struct tape__writer *w, const char *path)
{
    *w = (struct tape__writer){.path = path, .fd = -1};
    if (tape_last_status() != TAPE_OK)
        return tape_last_status();
    if (!path || !*path)
        return tape_fail(TAPE_ERROR_ARGUMENT, "expects the name of a file to write");
    tape_status status = open_target(w);
    if (status != TAPE_OK)
        tape__writer_abandon(w);
    return status;
}

tape_status tape__writer_put(struct tape__writer *w, const void *data, size_t n)
{
    const char *from = data;
    while (n > 0) {
        ssize_t done = write(w->fd, from, n < (1u << 30) ? n : 1u << 30);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return tape__fail_system(w->path, "cannot write", errno);
        from += done;
        n -= (size_t)done;
    }
    return TAPE_OK;
}

/* Opened before the rename, so that the only thing left to fail after it is the disk. */
static int open_directory(const struct tape__writer *w)
{
    size_t n = directory_length(w->temporary);
    char *name = n ? strndup(w->temporary, n) : strdup(".");
    int fd = name ? open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    free(name);
    return fd;
}

static tape_status replace(struct tape__writer *w)
{
    int directory = open_directory(w);
    if (rename(w->temporary, w->target) != 0) {
        int error = errno;
        if (directory >= 0)
            close(directory);
        return tape__fail_system(w->path, "cannot replace", error);
    }
    free(w->temporary);
    w->temporary = NULL;
    /* A directory that cannot be opened or synchronised (some network file systems) has still been renamed in. */
    if (directory >= 0) {
        int failed = fsync(directory) != 0 && errno == EIO ? EIO : 0;
        close(directory);
        if (failed)
            return tape__fail_system(w->path, "cannot write its directory to disk", failed);
    }
    return TAPE_OK;
}

tape_status tape__writer_commit(struct tape__writer *w)
{
    int failed = 0;
    if (fsync(w->fd) != 0 && !(w->direct && (errno == EINVAL || errno == ENOTSUP || errno == EROFS)))
        failed = errno;
    if (close(w->fd) != 0 && !failed)
        failed = errno;
    w->fd = -1;
    tape_status status = failed ? tape__fail_system(w->path, "cannot write", failed) : TAPE_OK;
    if (status == TAPE_OK && !w->direct)
        status = replace(w);
    tape__writer_abandon(w);
    return status;
}

void tape__writer_abandon(struct tape__writer *w)
{
    if (w->fd >= 0)
        close(w->fd);
    if (w->temporary)
        unlink(w->temporary);
    free(w->temporary);
    free(w->target);
    *w = (struct tape__writer){.fd = -1};
}

tape_status tape_write_file(const char *path, const void *data, size_t bytes)
{
    struct tape__writer writer;
    tape_status status = tape__writer_open(&writer, path);
    if (status != TAPE_OK)
        return status;
    status = tape__writer_put(&writer, data, bytes);
    if (status == TAPE_OK)
        return tape__writer_commit(&writer);
    tape__writer_abandon(&writer);
    return status;
}
