/* The header of a safetensors file: a parser for exactly the JSON that it may hold, which never recurses, and the
   checks that make offsets safe to use. It reads no file. */
#include <string.h>

#include "kit.h"

struct json {
    struct tape_safetensors *file;
    char *text, *at, *end;
};

static tape_status fail_here(const struct json *j, const char *what)
{
    return tape_fail(TAPE_ERROR_FORMAT, "%s: header byte %lld: %s", TAPE__PATH(j->file->path),
                     (long long)(8 + (j->at - j->text)), what);
}

static void skip_space(struct json *j)
{
    while (j->at < j->end && (*j->at == ' ' || *j->at == '\t' || *j->at == '\n' || *j->at == '\r'))
        j->at++;
}

/* The next character after space, consumed if it is c. */
static bool take(struct json *j, char c)
{
    skip_space(j);
    if (j->at >= j->end || *j->at != c)
        return false;
    j->at++;
    return true;
}

static tape_status expect(struct json *j, char c, const char *what)
{
    return take(j, c) ? TAPE_OK : fail_here(j, what);
}

/* ---- strings and numbers ----------------------------------------------------------------------------------------- */

/* Four hexadecimal digits at s; -1 if they are not. */
static int32_t hex4(const char *s, const char *end)
{
    int32_t code = 0;
    for (int i = 0; i < 4; i++) {
        char c = end - s > i ? s[i] : '\0';
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        code = 16 * code + digit;
    }
    return code;
}

static char *put_utf8(char *to, int32_t code)
{
    int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const unsigned char first[] = {0, 0xc0, 0xe0, 0xf0};
    *to++ = (char)(first[more] | code >> (6 * more));
    for (int i = more - 1; i >= 0; i--)
        *to++ = (char)(0x80 | (code >> (6 * i) & 0x3f));
    return to;
}

/* \uXXXX, or two of them for a character beyond 16 bits; at j->at behind the u. */
static bool take_unicode(struct json *j, char **to)
{
    int32_t code = hex4(j->at, j->end);
    if (code <= 0)
        return false;
    j->at += 4;
    if (code >= 0xd800 && code < 0xe000) {
        int32_t low = j->end - j->at >= 2 && j->at[0] == '\\' && j->at[1] == 'u' ? hex4(j->at + 2, j->end) : -1;
        if (code >= 0xdc00 || low < 0xdc00 || low > 0xdfff)
            return false;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        j->at += 6;
    }
    *to = put_utf8(*to, code);
    return true;
}

static bool take_escape(struct json *j, char **to)
{
    static const char from[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    char c = j->at < j->end ? *j->at++ : '\0';
    if (c == 'u')
        return take_unicode(j, to);
    const char *which = c ? strchr(from, c) : NULL;
    if (which)
        *(*to)++ = meant[which - from];
    return which != NULL;
}

/* A string, decoded in place (escapes never grow) and NUL-terminated. */
static tape_status take_string(struct json *j, char **string)
{
    if (!take(j, '"'))
        return fail_here(j, "expected a string");
    char *to = *string = j->at;
    while (j->at < j->end && *j->at != '"') {
        if ((unsigned char)*j->at < 0x20)
            return fail_here(j, "a control character within a string");
        if (*j->at != '\\')
            *to++ = *j->at++;
        else if (j->at++, !take_escape(j, &to))
            return fail_here(j, "a bad escape within a string");
    }
    if (j->at >= j->end)
        return fail_here(j, "a string does not end");
    j->at++;
    if (!tape__is_utf8(*string, (size_t)(to - *string)))
        return fail_here(j, "the string before is not UTF-8");
    *to = '\0';
    return TAPE_OK;
}

/* A whole number >= 0 without sign, leading zeros, fraction or exponent. */
static tape_status take_number(struct json *j, int64_t *number)
{
    skip_space(j);
    const char *start = j->at;
    *number = 0;
    while (j->at < j->end && *j->at >= '0' && *j->at <= '9') {
        if (__builtin_mul_overflow(*number, 10, number) || __builtin_add_overflow(*number, *j->at - '0', number))
            return fail_here(j, "a number is too large");
        j->at++;
    }
    if (j->at == start || (*start == '0' && j->at - start > 1))
        return fail_here(j, "expected a whole number");
    return TAPE_OK;
}

/* [a, b, ...] of at most `room` numbers. */
static tape_status take_numbers(struct json *j, int room, int64_t *numbers, int *count)
{
    *count = 0;
    tape_status status = expect(j, '[', "expected '['");
    if (status != TAPE_OK || take(j, ']'))
        return status;
    do {
        if (*count == room)
            return fail_here(j, "a list of numbers is too long");
        status = take_number(j, &numbers[(*count)++]);
    } while (status == TAPE_OK && take(j, ','));
    return status == TAPE_OK ? expect(j, ']', "expected ',' or ']'") : status;
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

const char *tape__st_dtype(tape_dtype dtype)
{
    static const char *const names[] = {"F32", "F64", "I32", "I64", "U8"};
    return names[dtype];
}

static tape_status take_dtype(struct json *j, const char *name, tape_dtype *dtype)
{
    char *text;
    tape_status status = take_string(j, &text);
    if (status != TAPE_OK)
        return status;
    for (int i = TAPE_F32; i <= TAPE_U8; i++)
        if (strcmp(text, tape__st_dtype((tape_dtype)i)) == 0) {
            *dtype = (tape_dtype)i;
            return TAPE_OK;
        }
    return tape_fail(TAPE_ERROR_UNSUPPORTED, "%s: tensor \"%s\" has dtype \"%s\", expected F32, F64, I32, I64 or U8",
                     TAPE__PATH(j->file->path), tape__shown_text(name, strlen(name)).text,
                     tape__shown_text(text, strlen(text)).text);
}

enum field { FIELD_DTYPE = 1, FIELD_SHAPE = 2, FIELD_OFFSETS = 4, FIELD_ALL = 7 };

/* One "key": value of a tensor; its bit joins `seen`. */
static tape_status take_field(struct json *j, struct tape__st_entry *entry, unsigned *seen)
{
    char *key;
    tape_status status = take_string(j, &key);
    if (status == TAPE_OK)
        status = expect(j, ':', "expected ':'");
    if (status != TAPE_OK)
        return status;
    unsigned field = strcmp(key, "dtype") == 0          ? FIELD_DTYPE
                     : strcmp(key, "shape") == 0        ? FIELD_SHAPE
                     : strcmp(key, "data_offsets") == 0 ? FIELD_OFFSETS
                                                        : 0;
    if (field == 0 || (*seen & field))
        return fail_here(j, field ? "a repeated key of a tensor" : "a key that is none of dtype, shape, data_offsets");
    *seen |= field;
    int64_t offsets[2] = {0, 0};
    int count = 0;
    if (field == FIELD_DTYPE)
        return take_dtype(j, entry->name, &entry->dtype);
    if (field == FIELD_SHAPE)
        return take_numbers(j, TAPE_MAX_RANK, entry->shape.size, &entry->shape.rank);
    status = take_numbers(j, 2, offsets, &count);
    if (status == TAPE_OK && count != 2)
        return fail_here(j, "data_offsets are two numbers");
    entry->begin = offsets[0];
    entry->end = offsets[1];
    return status;
}

/* Where it lies must be inside the data and as long as its shape says. */
static tape_status check_entry(const struct tape_safetensors *file, const struct tape__st_entry *entry)
{
    int64_t count, bytes;
    if (entry->begin > entry->end || entry->end > file->data_size)
        return tape_fail(TAPE_ERROR_FORMAT, "%s: tensor \"%s\" lies at bytes %lld to %lld of %lld",
                         TAPE__PATH(file->path), tape__shown_text(entry->name, strlen(entry->name)).text,
                         (long long)entry->begin, (long long)entry->end, (long long)file->data_size);
    if (!tape__shape_count(entry->shape, &count) ||
        __builtin_mul_overflow(count, (int64_t)tape_dtype_size(entry->dtype), &bytes) ||
        bytes != entry->end - entry->begin)
        return tape_fail(TAPE_ERROR_FORMAT, "%s: tensor \"%s\", %s of %s, does not fill its %lld bytes",
                         TAPE__PATH(file->path), tape__shown_text(entry->name, strlen(entry->name)).text,
                         tape__st_dtype(entry->dtype), tape__shown_shape(entry->shape).text,
                         (long long)(entry->end - entry->begin));
    return TAPE_OK;
}

static tape_status take_tensor(struct json *j, char *name)
{
    struct tape_safetensors *file = j->file;
    if (file->count == file->capacity) {
        int64_t room = 2 * file->capacity + 16;
        struct tape__st_entry *entry = tape__grow(file->entry, room, sizeof *entry);
        if (!entry)
            return TAPE_ERROR_MEMORY;
        file->entry = entry;
        file->capacity = room;
    }
    struct tape__st_entry *entry = &file->entry[file->count++];
    *entry = (struct tape__st_entry){.name = name};
    unsigned seen = 0;
    tape_status status = expect(j, '{', "expected '{'");
    do {
        if (status == TAPE_OK)
            status = take_field(j, entry, &seen);
    } while (status == TAPE_OK && take(j, ','));
    if (status == TAPE_OK)
        status = expect(j, '}', "expected ',' or '}'");
    if (status == TAPE_OK && seen != FIELD_ALL)
        return fail_here(j, "the tensor before lacks dtype, shape or data_offsets");
    return status == TAPE_OK ? check_entry(file, entry) : status;
}

/* ---- metadata and the whole -------------------------------------------------------------------------------------- */

static tape_status take_pair(struct json *j)
{
    struct tape_safetensors *file = j->file;
    if (file->metadata_count == file->metadata_capacity) {
        int64_t room = 2 * file->metadata_capacity + 16;
        struct tape__st_pair *pair = tape__grow(file->metadata, room, sizeof *pair);
        if (!pair)
            return TAPE_ERROR_MEMORY;
        file->metadata = pair;
        file->metadata_capacity = room;
    }
    struct tape__st_pair *pair = &file->metadata[file->metadata_count++];
    tape_status status = take_string(j, &pair->key);
    if (status == TAPE_OK)
        status = expect(j, ':', "expected ':'");
    return status == TAPE_OK ? take_string(j, &pair->value) : status;
}

static tape_status take_metadata(struct json *j, bool *seen)
{
    if (*seen)
        return fail_here(j, "__metadata__ is there twice");
    *seen = true;
    tape_status status = expect(j, '{', "expected '{'");
    if (status != TAPE_OK || take(j, '}'))
        return status;
    do
        status = take_pair(j);
    while (status == TAPE_OK && take(j, ','));
    return status == TAPE_OK ? expect(j, '}', "expected ',' or '}'") : status;
}

static tape_status take_member(struct json *j, bool *metadata_seen)
{
    char *name;
    tape_status status = take_string(j, &name);
    if (status == TAPE_OK && !*name)
        return fail_here(j, "a tensor without a name");
    if (status == TAPE_OK)
        status = expect(j, ':', "expected ':'");
    if (status != TAPE_OK)
        return status;
    return strcmp(name, "__metadata__") == 0 ? take_metadata(j, metadata_seen) : take_tensor(j, name);
}

static tape_status take_header(struct json *j)
{
    bool metadata_seen = false;
    if (j->at >= j->end || *j->at != '{')
        return fail_here(j, "expected '{'");
    tape_status status = expect(j, '{', "expected '{'");
    if (take(j, '}'))
        return status;
    do
        status = take_member(j, &metadata_seen);
    while (status == TAPE_OK && take(j, ','));
    return status == TAPE_OK ? expect(j, '}', "expected ',' or '}'") : status;
}

/* ---- checks of all together -------------------------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b)
{
    const struct tape__st_entry *x = *(const struct tape__st_entry *const *)a,
                                *y = *(const struct tape__st_entry *const *)b;
    return strcmp(x->name, y->name);
}

static int compare_places(const void *a, const void *b)
{
    const struct tape__st_entry *x = *(const struct tape__st_entry *const *)a,
                                *y = *(const struct tape__st_entry *const *)b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(((const struct tape__st_pair *)a)->key, ((const struct tape__st_pair *)b)->key);
}

/* In the order of places each tensor must begin where the one before ends. */
static tape_status check_places(const struct tape_safetensors *file, struct tape__st_entry **sorted)
{
    int64_t end = 0;
    qsort(sorted, (size_t)file->count, sizeof *sorted, compare_places);
    for (int64_t i = 0; i < file->count; i++) {
        if (sorted[i]->begin != end)
            return tape_fail(TAPE_ERROR_FORMAT, "%s: tensor \"%s\" %s", TAPE__PATH(file->path),
                             tape__shown_text(sorted[i]->name, strlen(sorted[i]->name)).text,
                             sorted[i]->begin < end ? "overlaps another" : "leaves a gap before it");
        end = sorted[i]->end;
    }
    if (end != file->data_size)
        return tape_fail(TAPE_ERROR_FORMAT, "%s: has %lld bytes of data, but its tensors fill %lld",
                         TAPE__PATH(file->path), (long long)file->data_size, (long long)end);
    return TAPE_OK;
}

static tape_status check_names(struct tape_safetensors *file, struct tape__st_entry **sorted)
{
    qsort(sorted, (size_t)file->count, sizeof *sorted, compare_names);
    for (int64_t i = 0; i < file->count; i++) {
        file->by_name[i] = sorted[i] - file->entry;
        if (i > 0 && strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
            return tape_fail(TAPE_ERROR_FORMAT, "%s: tensor \"%s\" is there twice", TAPE__PATH(file->path),
                             tape__shown_text(sorted[i]->name, strlen(sorted[i]->name)).text);
    }
    if (file->metadata_count > 1)
        qsort(file->metadata, (size_t)file->metadata_count, sizeof *file->metadata, compare_keys);
    for (int64_t i = 1; i < file->metadata_count; i++)
        if (strcmp(file->metadata[i - 1].key, file->metadata[i].key) == 0)
            return tape_fail(TAPE_ERROR_FORMAT, "%s: metadata \"%s\" is there twice", TAPE__PATH(file->path),
                             tape__shown_text(file->metadata[i].key, strlen(file->metadata[i].key)).text);
    return TAPE_OK;
}

tape_status tape__st_parse(struct tape_safetensors *file, size_t n)
{
    struct json j = {file, file->header, file->header, file->header + n};
    tape_status status = take_header(&j);
    skip_space(&j);
    if (status == TAPE_OK && j.at != j.end)
        status = fail_here(&j, "something follows the header's end");
    if (status != TAPE_OK)
        return status;
    struct tape__st_entry **sorted = tape__grow(NULL, file->count, sizeof *sorted);
    file->by_name = sorted ? tape__grow(NULL, file->count, sizeof *file->by_name) : NULL;
    if (!file->by_name) {
        free(sorted);
        return TAPE_ERROR_MEMORY;
    }
    for (int64_t i = 0; i < file->count; i++)
        sorted[i] = &file->entry[i];
    status = check_places(file, sorted);
    if (status == TAPE_OK)
        status = check_names(file, sorted);
    free(sorted);
    return status;
}
