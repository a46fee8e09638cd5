/* Reading files from their beginning, through zlib where they are compressed; it does not know what they hold. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kit.h"

#if TAPE__ZLIB
#include <zlib.h>
#endif

enum { BUFFER = 1 << 16 };

/* Read until the buffer, which is empty or was never taken from, holds `want` bytes or the file ends. */
static tape_status fill(struct tape__reader *r, size_t want)
{
    if (r->begin == r->end)
        r->begin = r->end = 0;
    while (r->end - r->begin < want && !r->at_end) {
        ssize_t n = read(r->fd, r->buffer + r->end, BUFFER - r->end);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return tape__fail_system(r->path, "cannot read", errno);
        r->end += (size_t)n;
        r->at_end = n == 0;
    }
    return TAPE_OK;
}

/* ---- gzip -------------------------------------------------------------------------------------------------------- */

#if TAPE__ZLIB
static tape_status gzip_open(struct tape__reader *r)
{
    z_stream *z = calloc(1, sizeof *z);
    if (!z || inflateInit2(z, 15 + 16) != Z_OK) {
        free(z);
        return tape_fail(TAPE_ERROR_MEMORY, "%s: out of memory", TAPE__PATH(r->path));
    }
    r->inflate = z;
    return TAPE_OK;
}

static void gzip_close(struct tape__reader *r)
{
    if (r->inflate)
        inflateEnd(r->inflate);
    free(r->inflate);
}

/* After a member: at the end of the file, or at the next member (gzip files may be concatenated). */
static tape_status gzip_next_member(struct tape__reader *r)
{
    if (fill(r, 1) != TAPE_OK)
        return tape_last_status();
    if (r->begin == r->end)
        return TAPE_OK;
    r->between = false;
    return inflateReset(r->inflate) == Z_OK ? TAPE_OK
                                            : tape_fail(TAPE_ERROR_MEMORY, "%s: out of memory", TAPE__PATH(r->path));
}

/* Inflate up to n bytes of one member; 0 only at the file's end. */
static int64_t gzip_some(struct tape__reader *r, unsigned char *out, size_t n)
{
    z_stream *z = r->inflate;
    z->next_out = out;
    z->avail_out = n < BUFFER ? (uInt)n : BUFFER;
    uInt room = z->avail_out;
    while (z->avail_out == room) {
        if (r->between && gzip_next_member(r) != TAPE_OK)
            return -1;
        if (r->between)
            break;
        if (fill(r, 1) != TAPE_OK)
            return -1;
        if (r->begin == r->end) {
            tape_fail(TAPE_ERROR_FORMAT, "%s: the compressed data ends too early", TAPE__PATH(r->path));
            return -1;
        }
        z->next_in = r->buffer + r->begin;
        z->avail_in = (uInt)(r->end - r->begin);
        int status = inflate(z, Z_NO_FLUSH);
        r->begin = r->end - z->avail_in;
        if (status != Z_OK && status != Z_STREAM_END) {
            tape_fail(status == Z_MEM_ERROR ? TAPE_ERROR_MEMORY : TAPE_ERROR_FORMAT,
                      "%s: the compressed data is damaged (%s)", TAPE__PATH(r->path), z->msg ? z->msg : "zlib");
            return -1;
        }
        r->between = status == Z_STREAM_END;
    }
    return (int64_t)(room - z->avail_out);
}
#else
static tape_status gzip_open(struct tape__reader *r)
{
    return tape_fail(TAPE_ERROR_UNSUPPORTED,
                     "%s: is gzip-compressed, and this library was built without zlib: use gunzip",
                     TAPE__PATH(r->path));
}

static void gzip_close(struct tape__reader *r)
{
    (void)r;
}

static int64_t gzip_some(struct tape__reader *r, unsigned char *out, size_t n)
{
    (void)r, (void)out, (void)n;
    return -1;
}
#endif

/* ---- the reader -------------------------------------------------------------------------------------------------- */

static tape_status open_file(struct tape__reader *r)
{
    struct stat info;
    r->fd = open(r->path, O_RDONLY | O_CLOEXEC);
    if (r->fd < 0)
        return tape__fail_system(r->path, "cannot open", errno);
    if (fstat(r->fd, &info) != 0)
        return tape__fail_system(r->path, "cannot read", errno);
    if (S_ISDIR(info.st_mode))
        return tape__fail_system(r->path, "cannot read", EISDIR);
    r->size = S_ISREG(info.st_mode) ? (int64_t)info.st_size : -1;
    r->buffer = tape__grow(NULL, BUFFER, 1);
    return r->buffer ? TAPE_OK : TAPE_ERROR_MEMORY;
}

tape_status tape__reader_open(struct tape__reader *r, const char *path, enum tape__reader_mode mode)
{
    *r = (struct tape__reader){.path = path, .fd = -1, .size = -1};
    if (tape_last_status() != TAPE_OK)
        return tape_last_status();
    if (!path)
        return tape_fail(TAPE_ERROR_ARGUMENT, "expects a file name, got NULL");
    tape_status status = open_file(r);
    if (status != TAPE_OK || mode == TAPE__READ_PLAIN)
        return status;
    status = fill(r, 2);
    if (status == TAPE_OK && r->end >= 2 && r->buffer[0] == 0x1f && r->buffer[1] == 0x8b) {
        r->size = -1;
        status = gzip_open(r);
    }
    return status;
}

void tape__reader_close(struct tape__reader *r)
{
    gzip_close(r);
    if (r->fd >= 0)
        close(r->fd);
    free(r->buffer);
    *r = (struct tape__reader){.fd = -1};
}

static int64_t plain_some(struct tape__reader *r, unsigned char *out, size_t n)
{
    if (fill(r, 1) != TAPE_OK)
        return -1;
    size_t have = r->end - r->begin, taken = n < have ? n : have;
    memcpy(out, r->buffer + r->begin, taken);
    r->begin += taken;
    return (int64_t)taken;
}

int64_t tape__reader_read(struct tape__reader *r, void *out, size_t n)
{
    size_t done = 0;
    while (done < n) {
        int64_t got = (r->inflate ? gzip_some : plain_some)(r, (unsigned char *)out + done, n - done);
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (int64_t)done;
}

void *tape__reader_block(struct tape__reader *r, int64_t n)
{
    int64_t have = 0, room = r->size >= 0 && n <= r->size ? n : 0;
    unsigned char *block = tape__grow(NULL, room + 1, 1);
    while (block && have < n) {
        if (have == room) {
            room = room < BUFFER ? BUFFER : room + room / 2;
            room = room < n ? room : n;
            unsigned char *larger = tape__grow(block, room + 1, 1);
            if (!larger)
                break;
            block = larger;
        }
        int64_t got = tape__reader_read(r, block + have, (size_t)(room - have));
        if (got < 0)
            break;
        have += got;
        if (have < room) {
            tape_fail(TAPE_ERROR_FORMAT, "%s: ends too early: %lld of %lld bytes are there", TAPE__PATH(r->path),
                      (long long)have, (long long)n);
            break;
        }
    }
    if (block && have == n)
        return block;
    free(block);
    return NULL;
}
