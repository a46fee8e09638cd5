/* Writing safetensors files: the header's text and the order of the data. */
#include <stdio.h>
#include <string.h>

#include "kit.h"

/* Text that grows; after a failure nothing more is added. */
struct text {
    char *bytes;
    size_t used, room;
    bool failed;
};

static void add(struct text *t, const char *bytes, size_t n)
{
    if (t->failed)
        return;
    if (t->room - t->used < n) {
        char *larger = tape__grow(t->bytes, (int64_t)(2 * t->room + n), 1);
        if (!larger) {
            t->failed = true;
            return;
        }
        t->bytes = larger;
        t->room = 2 * t->room + n;
    }
    memcpy(t->bytes + t->used, bytes, n);
    t->used += n;
}

static void add_text(struct text *t, const char *text)
{
    add(t, text, strlen(text));
}

static void add_number(struct text *t, int64_t number)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%lld", (long long)number);
    add_text(t, digits);
}

static void add_string(struct text *t, const char *string)
{
    add_text(t, "\"");
    for (; *string; string++) {
        char escaped[8];
        if ((unsigned char)*string < 0x20)
            snprintf(escaped, sizeof escaped, "\\u%04x", *string);
        else if (*string == '"' || *string == '\\')
            snprintf(escaped, sizeof escaped, "\\%c", *string);
        else
            snprintf(escaped, sizeof escaped, "%c", *string);
        add_text(t, escaped);
    }
    add_text(t, "\"");
}

/* ---- checks ------------------------------------------------------------------------------------------------------ */

/* A tensor to be written. */
struct item {
    const char *name;
    const void *data;
    tape_dtype dtype;
    tape_shape shape;
    int64_t bytes;
    int64_t index; /* in the caller's order */
};

static tape_status check_text(const char *path, const char *what, const char *text)
{
    if (text && tape__is_utf8(text, strlen(text)))
        return TAPE_OK;
    return tape_fail(TAPE_ERROR_ARGUMENT, "%s: %s \"%s\" is not UTF-8", TAPE__PATH(path), what,
                     text ? tape__shown_text(text, strlen(text)).text : "NULL");
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct item *)a)->name, ((const struct item *)b)->name);
}

/* Wide elements first, so that each tensor is aligned; else the caller's order. */
static int compare_alignment(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    size_t p = tape_dtype_size(x->dtype), q = tape_dtype_size(y->dtype);
    return p != q ? (p > q ? -1 : 1) : (x->index > y->index) - (x->index < y->index);
}

static tape_status make_items(const char *path, const tape_named *tensors, int64_t n, struct item *item)
{
    for (int64_t i = 0; i < n; i++) {
        const char *name = tensors[i].name;
        if (!name || !*name || strcmp(name, "__metadata__") == 0)
            return tape_fail(TAPE_ERROR_ARGUMENT, "%s: tensor %lld has no name that can be saved", TAPE__PATH(path),
                             (long long)i);
        if (check_text(path, "tensor name", name) != TAPE_OK)
            return tape_last_status();
        tape_tensor x = tensors[i].tensor;
        item[i] = (struct item){name, tape_data(x), tape_dtype_of(x), tape_shape_of(x), 0, i};
        item[i].bytes = tape_numel(x) * (int64_t)tape_dtype_size(item[i].dtype);
        if (tape_last_status() != TAPE_OK)
            return tape_last_status();
    }
    qsort(item, (size_t)n, sizeof *item, compare_names);
    for (int64_t i = 1; i < n; i++)
        if (strcmp(item[i - 1].name, item[i].name) == 0)
            return tape_fail(TAPE_ERROR_ARGUMENT, "%s: two tensors are called \"%s\"", TAPE__PATH(path),
                             tape__shown_text(item[i].name, strlen(item[i].name)).text);
    qsort(item, (size_t)n, sizeof *item, compare_alignment);
    return TAPE_OK;
}

/* ---- the header -------------------------------------------------------------------------------------------------- */

static tape_status add_metadata(struct text *t, const char *path, const tape_metadata *metadata, int64_t count)
{
    add_text(t, "\"__metadata__\":{");
    for (int64_t i = 0; i < count; i++) {
        if (check_text(path, "metadata", metadata[i].key) != TAPE_OK ||
            check_text(path, "metadata", metadata[i].value) != TAPE_OK)
            return tape_last_status();
        for (int64_t k = 0; k < i; k++)
            if (strcmp(metadata[k].key, metadata[i].key) == 0)
                return tape_fail(TAPE_ERROR_ARGUMENT, "%s: metadata \"%s\" is given twice", TAPE__PATH(path),
                                 tape__shown_text(metadata[i].key, strlen(metadata[i].key)).text);
        add_text(t, i > 0 ? "," : "");
        add_string(t, metadata[i].key);
        add_text(t, ":");
        add_string(t, metadata[i].value);
    }
    add_text(t, "}");
    return TAPE_OK;
}

static void add_item(struct text *t, const struct item *item, int64_t begin)
{
    add_string(t, item->name);
    add_text(t, ":{\"dtype\":\"");
    add_text(t, tape__st_dtype(item->dtype));
    add_text(t, "\",\"shape\":[");
    for (int i = 0; i < item->shape.rank; i++) {
        add_text(t, i > 0 ? "," : "");
        add_number(t, item->shape.size[i]);
    }
    add_text(t, "],\"data_offsets\":[");
    add_number(t, begin);
    add_text(t, ",");
    add_number(t, begin + item->bytes);
    add_text(t, "]}");
}

/* The length, and the header padded with spaces to a multiple of 8. */
static tape_status make_header(struct text *t, const char *path, const struct item *item, int64_t n,
                               const tape_metadata *metadata, int64_t count)
{
    add(t, "\0\0\0\0\0\0\0\0", 8);
    add_text(t, "{");
    if (count > 0 && add_metadata(t, path, metadata, count) != TAPE_OK)
        return tape_last_status();
    int64_t begin = 0;
    for (int64_t i = 0; i < n; i++) {
        add_text(t, i > 0 || count > 0 ? "," : "");
        add_item(t, &item[i], begin);
        begin += item[i].bytes;
    }
    add_text(t, "}");
    while (!t->failed && t->used % 8 != 0)
        add_text(t, " ");
    if (t->failed)
        return TAPE_ERROR_MEMORY;
    for (int i = 0; i < 8; i++)
        t->bytes[i] = (char)((uint64_t)(t->used - 8) >> (8 * i));
    return TAPE_OK;
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static tape_status write_file(const char *path, const struct text *header, const struct item *item, int64_t n)
{
    struct tape__writer writer;
    tape_status status = tape__writer_open(&writer, path);
    if (status != TAPE_OK)
        return status;
    status = tape__writer_put(&writer, header->bytes, header->used);
    for (int64_t i = 0; i < n && status == TAPE_OK; i++)
        status = tape__writer_put(&writer, item[i].data, (size_t)item[i].bytes);
    if (status == TAPE_OK)
        return tape__writer_commit(&writer);
    tape__writer_abandon(&writer);
    return status;
}

tape_status tape_safetensors_save(const char *path, const tape_named *tensors, int64_t n, const tape_metadata *metadata,
                                  int64_t count)
{
    if (tape_last_status() != TAPE_OK)
        return tape_last_status();
    if (!path || n < 0 || count < 0)
        return tape_fail(TAPE_ERROR_ARGUMENT, "safetensors_save: expects a file name and counts >= 0");
    if (!tape__is_little_endian())
        return tape_fail(TAPE_ERROR_UNSUPPORTED, "%s: safetensors need a little-endian machine", TAPE__PATH(path));
    struct text header = {.bytes = NULL};
    struct item *item = tape__grow(NULL, n, sizeof *item);
    tape_status status = item ? make_items(path, tensors, n, item) : TAPE_ERROR_MEMORY;
    if (status == TAPE_OK)
        status = make_header(&header, path, item, n, metadata, count);
    if (status == TAPE_OK)
        status = write_file(path, &header, item, n);
    free(header.bytes);
    free(item);
    return status;
}
