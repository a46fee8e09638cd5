/* Reading IDX files: the header, the big-endian numbers and the pairs of MNIST. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kit.h"

/* The third byte of the file; the values are the format's own. */
enum idx_type { IDX_U8 = 0x08, IDX_I8 = 0x09, IDX_I16 = 0x0b, IDX_I32 = 0x0c, IDX_F32 = 0x0d, IDX_F64 = 0x0e };

struct idx {
    enum idx_type type;
    tape_shape shape;
    int64_t count; /* numbers in all */
    unsigned char *bytes;
};

static int64_t type_size(enum idx_type type)
{
    switch (type) {
    case IDX_U8:
    case IDX_I8:
        return 1;
    case IDX_I16:
        return 2;
    case IDX_I32:
    case IDX_F32:
        return 4;
    case IDX_F64:
        return 8;
    default:
        return 0;
    }
}

static uint64_t big_endian(const unsigned char *bytes, int64_t n)
{
    uint64_t x = 0;
    for (int64_t i = 0; i < n; i++)
        x = x << 8 | bytes[i];
    return x;
}

/* The header, checked against the file's size where that is known. */
static tape_status read_header(struct tape__reader *r, struct idx *idx)
{
    unsigned char head[4], sizes[4 * TAPE_MAX_RANK];
    int64_t got = tape__reader_read(r, head, sizeof head), bytes;
    if (got < 0)
        return tape_last_status();
    const char *path = r->path;
    if (got < (int64_t)sizeof head || head[0] != 0 || head[1] != 0 || type_size((enum idx_type)head[2]) == 0)
        return tape_fail(TAPE_ERROR_FORMAT, "%s: is not an IDX file: it does not begin with an IDX magic number",
                         TAPE__PATH(path));
    idx->type = head[2];
    idx->shape.rank = head[3];
    if (head[3] < 1 || head[3] > TAPE_MAX_RANK)
        return tape_fail(TAPE_ERROR_FORMAT, "%s: has %d axes, expected 1 to %d", TAPE__PATH(path), head[3],
                         TAPE_MAX_RANK);
    got = tape__reader_read(r, sizes, 4 * (size_t)head[3]);
    if (got < 0)
        return tape_last_status();
    if (got < 4 * head[3])
        return tape_fail(TAPE_ERROR_FORMAT, "%s: ends within its header", TAPE__PATH(path));
    for (int i = 0; i < head[3]; i++)
        idx->shape.size[i] = (int64_t)big_endian(sizes + 4 * i, 4);
    if (!tape__shape_count(idx->shape, &idx->count) ||
        __builtin_mul_overflow(idx->count, type_size(idx->type), &bytes) || bytes > INT64_MAX - 64)
        return tape_fail(TAPE_ERROR_FORMAT, "%s: its header promises an impossible %s numbers", TAPE__PATH(path),
                         tape__shown_shape(idx->shape).text);
    if (r->size >= 0 && r->size != 4 + 4 * head[3] + bytes)
        return tape_fail(TAPE_ERROR_FORMAT,
                         "%s: is %lld bytes long, but its header, %s of %d bytes each, promises %lld", TAPE__PATH(path),
                         (long long)r->size, tape__shown_shape(idx->shape).text, (int)type_size(idx->type),
                         (long long)(4 + 4 * head[3] + bytes));
    return TAPE_OK;
}

static tape_status read_idx(const char *path, struct idx *idx)
{
    struct tape__reader reader;
    *idx = (struct idx){.bytes = NULL};
    tape_status status = tape__reader_open(&reader, path, TAPE__READ_MAYBE_GZIP);
    if (status == TAPE_OK)
        status = read_header(&reader, idx);
    if (status == TAPE_OK) {
        idx->bytes = tape__reader_block(&reader, idx->count * type_size(idx->type));
        status = idx->bytes ? TAPE_OK : tape_last_status();
    }
    if (status == TAPE_OK) {
        char extra;
        int64_t got = tape__reader_read(&reader, &extra, 1);
        if (got < 0)
            status = tape_last_status();
        else if (got > 0)
            status = tape_fail(TAPE_ERROR_FORMAT, "%s: goes on after the %s numbers that its header promises",
                               TAPE__PATH(path), tape__shown_shape(idx->shape).text);
    }
    tape__reader_close(&reader);
    if (status != TAPE_OK) {
        free(idx->bytes);
        idx->bytes = NULL;
    }
    return status;
}

static float to_float(enum idx_type type, const unsigned char *bytes)
{
    uint64_t bits = big_endian(bytes, type_size(type));
    uint32_t bits32 = (uint32_t)bits;
    float single;
    double number;
    switch (type) {
    case IDX_U8:
        return (float)bits;
    case IDX_I8:
        return (float)(int8_t)bits;
    case IDX_I16:
        return (float)(int16_t)bits;
    case IDX_I32:
        return (float)(int32_t)bits32;
    case IDX_F32:
        memcpy(&single, &bits32, sizeof single);
        return single;
    case IDX_F64:
        memcpy(&number, &bits, sizeof number);
        return (float)number;
    }
    return 0;
}

static float *to_floats(const struct idx *idx)
{
    float *x = tape__grow(NULL, idx->count, sizeof *x);
    int64_t size = type_size(idx->type);
    if (x && idx->type == IDX_U8)
        for (int64_t i = 0; i < idx->count; i++)
            x[i] = idx->bytes[i];
    else if (x)
        for (int64_t i = 0; i < idx->count; i++)
            x[i] = to_float(idx->type, idx->bytes + i * size);
    return x;
}

static int64_t label_at(const struct idx *idx, int64_t i)
{
    int64_t size = type_size(idx->type);
    uint64_t bits = big_endian(idx->bytes + i * size, size);
    switch (idx->type) {
    case IDX_I8:
        return (int8_t)bits;
    case IDX_I16:
        return (int16_t)bits;
    case IDX_I32:
        return (int32_t)bits;
    default:
        return (int64_t)bits;
    }
}

/* The labels that belong to `count` samples; NULL after an error. */
static int64_t *read_labels(const char *path, const char *images, int64_t count)
{
    struct idx idx;
    int64_t *labels = NULL;
    if (read_idx(path, &idx) != TAPE_OK)
        return NULL;
    if (idx.type == IDX_F32 || idx.type == IDX_F64 || idx.shape.rank != 1)
        tape_fail(TAPE_ERROR_FORMAT, "%s: labels must be whole numbers on one axis", TAPE__PATH(path));
    else if (idx.count != count)
        tape_fail(TAPE_ERROR_FORMAT, "%s: has %lld labels, but %s has %lld samples", TAPE__PATH(path),
                  (long long)idx.count, TAPE__PATH(images), (long long)count);
    else
        labels = tape__grow(NULL, count, sizeof *labels);
    for (int64_t i = 0; labels && i < count; i++) {
        labels[i] = label_at(&idx, i);
        if (labels[i] < 0) {
            tape_fail(TAPE_ERROR_FORMAT, "%s: label %lld is negative: %lld", TAPE__PATH(path), (long long)i,
                      (long long)labels[i]);
            free(labels);
            labels = NULL;
        }
    }
    free(idx.bytes);
    return labels;
}

tape_dataset *tape_dataset_idx(const char *images, const char *labels)
{
    struct idx idx;
    if (read_idx(images, &idx) != TAPE_OK)
        return NULL;
    tape_shape sample = {.rank = idx.shape.rank - 1};
    for (int i = 0; i < sample.rank; i++)
        sample.size[i] = idx.shape.size[i + 1];
    int64_t count = idx.shape.size[0];
    float *x = to_floats(&idx);
    free(idx.bytes);
    int64_t *label = x && labels ? read_labels(labels, images, count) : NULL;
    if (!x || (labels && !label)) {
        free(x);
        return NULL;
    }
    return tape__dataset_take(count, sample, x, label);
}

/* ---- the files of MNIST ------------------------------------------------------------------------------------------ */

/* The name of an existing file, plain or with .gz; NULL after an error. */
static char *find_file(const char *directory, const char *prefix, const char *rest)
{
    size_t size = strlen(directory) + strlen(prefix) + strlen(rest) + sizeof "/.gz";
    char *path = tape__grow(NULL, (int64_t)size, 1);
    static const char *const ends[] = {"", ".gz"};
    for (size_t i = 0; path && i < sizeof ends / sizeof *ends; i++) {
        snprintf(path, size, "%s/%s%s%s", directory, prefix, rest, ends[i]);
        if (access(path, F_OK) == 0)
            return path;
    }
    if (path)
        tape_fail(TAPE_ERROR_IO, "%s: holds neither %s%s nor %s%s.gz", TAPE__PATH(directory),
                  tape__shown_text(prefix, strlen(prefix)).text, rest, tape__shown_text(prefix, strlen(prefix)).text,
                  rest);
    free(path);
    return NULL;
}

tape_dataset *tape_dataset_mnist(const char *directory, const char *prefix)
{
    if (tape_last_status() != TAPE_OK)
        return NULL;
    if (!directory || !prefix) {
        tape_fail(TAPE_ERROR_ARGUMENT, "dataset_mnist: expects a directory and a prefix");
        return NULL;
    }
    char *images = find_file(directory, prefix, "-images-idx3-ubyte");
    char *labels = images ? find_file(directory, prefix, "-labels-idx1-ubyte") : NULL;
    tape_dataset *data = labels ? tape_dataset_idx(images, labels) : NULL;
    free(images);
    free(labels);
    return data;
}
