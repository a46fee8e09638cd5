/* Opening safetensors files and asking what is in them. */
#include <string.h>

#include "kit.h"

/* The length in front of the header; the format's own limit for it. */
enum { PREFIX = 8, HEADER_LIMIT = 100000000 };

static tape_status read_parts(struct tape_safetensors *file, struct tape__reader *r)
{
    unsigned char prefix[PREFIX];
    uint64_t n = 0;
    if (!tape__is_little_endian())
        return tape_fail(TAPE_ERROR_UNSUPPORTED, "%s: safetensors need a little-endian machine",
                         TAPE__PATH(file->path));
    if (r->size < 0)
        return tape_fail(TAPE_ERROR_FORMAT, "%s: is not a regular file", TAPE__PATH(file->path));
    int64_t got = tape__reader_read(r, prefix, sizeof prefix);
    if (got < 0)
        return tape_last_status();
    for (int i = PREFIX - 1; i >= 0; i--)
        n = n << 8 | prefix[i];
    if (got < PREFIX || n < 2 || n > HEADER_LIMIT || (int64_t)n > r->size - PREFIX)
        return tape_fail(TAPE_ERROR_FORMAT, "%s: is not a whole safetensors file: %lld bytes cannot hold its header",
                         TAPE__PATH(file->path), (long long)r->size);
    file->data_size = r->size - PREFIX - (int64_t)n;
    file->header = tape__reader_block(r, (int64_t)n);
    if (!file->header)
        return tape_last_status();
    file->header[n] = '\0';
    tape_status status = tape__st_parse(file, (size_t)n);
    if (status != TAPE_OK)
        return status;
    file->data = tape__reader_block(r, file->data_size);
    return file->data ? TAPE_OK : tape_last_status();
}

tape_safetensors *tape_safetensors_open(const char *path)
{
    struct tape__reader reader;
    if (tape_last_status() != TAPE_OK)
        return NULL;
    tape_safetensors *file = tape__grow(NULL, 1, sizeof *file);
    if (!file)
        return NULL;
    *file = (tape_safetensors){.path = NULL};
    tape_status status = tape__reader_open(&reader, path, TAPE__READ_PLAIN);
    if (status == TAPE_OK) {
        size_t size = strlen(path) + 1;
        file->path = tape__grow(NULL, (int64_t)size, 1);
        if (file->path)
            memcpy(file->path, path, size);
        status = file->path ? read_parts(file, &reader) : TAPE_ERROR_MEMORY;
    }
    tape__reader_close(&reader);
    if (status == TAPE_OK)
        return file;
    tape_safetensors_close(file);
    return NULL;
}

void tape_safetensors_close(tape_safetensors *file)
{
    if (!file)
        return;
    free(file->path);
    free(file->header);
    free(file->data);
    free(file->entry);
    free(file->metadata);
    free(file->by_name);
    free(file);
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

int64_t tape_safetensors_count(const tape_safetensors *file)
{
    return file ? file->count : 0;
}

const char *tape_safetensors_name(const tape_safetensors *file, int64_t i)
{
    return file->entry[i].name;
}

tape_dtype tape_safetensors_dtype(const tape_safetensors *file, int64_t i)
{
    return file->entry[i].dtype;
}

tape_shape tape_safetensors_shape(const tape_safetensors *file, int64_t i)
{
    return file->entry[i].shape;
}

const void *tape_safetensors_data(const tape_safetensors *file, int64_t i)
{
    return file->data + file->entry[i].begin;
}

int64_t tape_safetensors_find(const tape_safetensors *file, const char *name)
{
    int64_t low = 0, high = tape_safetensors_count(file);
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        int order = strcmp(file->entry[file->by_name[middle]].name, name);
        if (order == 0)
            return file->by_name[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

const char *tape_safetensors_metadata(const tape_safetensors *file, const char *key)
{
    for (int64_t i = 0; file && i < file->metadata_count; i++)
        if (strcmp(file->metadata[i].key, key) == 0)
            return file->metadata[i].value;
    return NULL;
}

/* ---- into leaves ------------------------------------------------------------------------------------------------- */

tape_status tape__st_check(const tape_safetensors *file, int64_t i, tape_dtype dtype, tape_shape shape)
{
    const struct tape__st_entry *entry = &file->entry[i];
    if (entry->dtype != dtype)
        return tape_fail(TAPE_ERROR_DTYPE, "%s: tensor \"%s\" has dtype %s, expected %s", TAPE__PATH(file->path),
                         tape__shown_text(entry->name, strlen(entry->name)).text, tape__st_dtype(entry->dtype),
                         tape__st_dtype(dtype));
    if (!tape__same_shape(entry->shape, shape))
        return tape_fail(TAPE_ERROR_SHAPE, "%s: tensor \"%s\" has shape %s, expected %s", TAPE__PATH(file->path),
                         tape__shown_text(entry->name, strlen(entry->name)).text, tape__shown_shape(entry->shape).text,
                         tape__shown_shape(shape).text);
    return TAPE_OK;
}

tape_status tape_safetensors_read(const tape_safetensors *file, int64_t i, tape_tensor leaf)
{
    tape_dtype dtype = tape_dtype_of(leaf);
    tape_shape shape = tape_shape_of(leaf);
    if (tape_last_status() != TAPE_OK)
        return tape_last_status();
    if (!file || i < 0 || i >= file->count)
        return tape_fail(TAPE_ERROR_ARGUMENT, "safetensors_read: there is no tensor %lld", (long long)i);
    tape_status status = tape__st_check(file, i, dtype, shape);
    if (status != TAPE_OK)
        return status;
    return tape_write(leaf, tape_safetensors_data(file, i), (size_t)(file->entry[i].end - file->entry[i].begin));
}

tape_tensor tape_safetensors_leaf(const tape_safetensors *file, int64_t i)
{
    if (tape_last_status() != TAPE_OK)
        return TAPE_NULL;
    if (!file || i < 0 || i >= file->count) {
        tape_fail(TAPE_ERROR_ARGUMENT, "safetensors_leaf: there is no tensor %lld", (long long)i);
        return TAPE_NULL;
    }
    return tape_const(file->entry[i].dtype, file->entry[i].shape, tape_safetensors_data(file, i));
}
