/* Knows the file system and the gzip container, and nothing of tape. */
#include "files.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH = 256, PATHS = 8 };

static char directory[PATH / 2];

const char *files_path(const char *name)
{
    static char path[PATHS][PATH];
    static int next;
    if (!*directory) {
        const char *base = getenv("TMPDIR");
        snprintf(directory, sizeof directory, "%s/tape-test-XXXXXX", base ? base : "/tmp");
        ck_assert_ptr_nonnull(mkdtemp(directory));
    }
    next = (next + 1) % PATHS;
    snprintf(path[next], PATH, "%s/%s", directory, name);
    return path[next];
}

const char *files_write(const char *name, const void *bytes, size_t n)
{
    const char *path = files_path(name);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, n, file), n);
    ck_assert_int_eq(fclose(file), 0);
    return path;
}

unsigned char *files_read(const char *path, size_t *n)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    ck_assert_int_eq(fseek(file, 0, SEEK_END), 0);
    size_t room = (size_t)ftell(file);
    rewind(file);
    unsigned char *bytes = malloc(room + 1);
    *n = fread(bytes, 1, room, file);
    fclose(file);
    return bytes;
}

static int each_file(int (*act)(const char *))
{
    int count = 0;
    DIR *open = *directory ? opendir(directory) : NULL;
    for (struct dirent *entry = open ? readdir(open) : NULL; entry; entry = readdir(open))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            count++;
            if (act)
                act(files_path(entry->d_name));
        }
    if (open)
        closedir(open);
    return count;
}

int files_count(void)
{
    return each_file(NULL);
}

void files_remove(void)
{
    each_file(unlink);
    if (*directory)
        rmdir(directory);
    *directory = '\0';
}

static void put_little(unsigned char *out, uint32_t x, int bytes)
{
    for (int i = 0; i < bytes; i++)
        out[i] = (unsigned char)(x >> (8 * i));
}

size_t files_gzip(const void *bytes, size_t n, unsigned char *out)
{
    static const unsigned char head[10] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3};
    const unsigned char *from = bytes;
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < n; i++) {
        crc ^= from[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    memcpy(out, head, sizeof head);
    out[10] = 1; /* the last block, stored */
    put_little(out + 11, (uint32_t)n, 2);
    put_little(out + 13, ~(uint32_t)n, 2);
    memcpy(out + 15, from, n);
    put_little(out + 15 + n, ~crc, 4);
    put_little(out + 19 + n, (uint32_t)n, 4);
    return n + 23;
}
