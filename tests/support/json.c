/* A strict reader of JSON for the tests: a grammar and nothing that knows who wrote the text. */
#include "json.h"

#include <ctype.h>
#include <string.h>

/* Each function reads one production from `at` on and returns what follows it; NULL where it does not hold. */
static const char *value(const char *at, const char *end, int depth);

static const char *blanks(const char *at, const char *end)
{
    while (at && at < end && (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r'))
        at++;
    return at;
}

static const char *character(const char *at, const char *end, char c)
{
    return at && at < end && *at == c ? at + 1 : NULL;
}

static const char *string(const char *at, const char *end)
{
    at = character(at, end, '"');
    while (at && at < end && *at != '"') {
        if ((unsigned char)*at < ' ')
            return NULL;
        if (*at++ != '\\')
            continue;
        if (at == end || !strchr("\"\\/bfnrtu", *at))
            return NULL;
        for (int i = 0; *at == 'u' && i < 4; i++)
            if (end - at < 5 || !isxdigit((unsigned char)at[1 + i]))
                return NULL;
        at += *at == 'u' ? 5 : 1;
    }
    return character(at, end, '"');
}

static const char *digits(const char *at, const char *end)
{
    const char *from = at;
    while (at && at < end && isdigit((unsigned char)*at))
        at++;
    return at == from ? NULL : at;
}

static const char *number(const char *at, const char *end)
{
    if (at < end && *at == '-')
        at++;
    at = at < end && *at == '0' ? at + 1 : digits(at, end);
    if (at && at < end && *at == '.')
        at = digits(at + 1, end);
    if (at && at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-'))
            at++;
        at = digits(at, end);
    }
    return at;
}

static const char *word(const char *at, const char *end, const char *expected)
{
    size_t n = strlen(expected);
    return (size_t)(end - at) >= n && memcmp(at, expected, n) == 0 ? at + n : NULL;
}

static const char *item(const char *at, const char *end, bool is_member, int depth)
{
    if (is_member) {
        at = blanks(string(blanks(at, end), end), end);
        at = character(at, end, ':');
    }
    return at ? blanks(value(at, end, depth), end) : NULL;
}

static const char *list(const char *at, const char *end, bool is_object, int depth)
{
    const char close = is_object ? '}' : ']';
    at = blanks(at + 1, end);
    if (at < end && *at == close)
        return at + 1;
    for (;;) {
        at = item(at, end, is_object, depth);
        if (!at || at == end)
            return NULL;
        if (*at == close)
            return at + 1;
        at = character(at, end, ',');
        if (!at)
            return NULL;
    }
}

static const char *value(const char *at, const char *end, int depth)
{
    at = blanks(at, end);
    if (at == end || depth > 64)
        return NULL;
    switch (*at) {
    case '{':
    case '[':
        return list(at, end, *at == '{', depth + 1);
    case '"':
        return string(at, end);
    case 't':
        return word(at, end, "true");
    case 'f':
        return word(at, end, "false");
    case 'n':
        return word(at, end, "null");
    default:
        return number(at, end);
    }
}

bool json_is_valid(const char *text, size_t length)
{
    const char *end = text + length;
    return blanks(value(text, end, 0), end) == end;
}

const char *json_next(const char *array, size_t length, const char **at, size_t *element_length)
{
    const char *end = array + length, *from = *at ? blanks(*at, end) : blanks(array, end) + 1;
    if (*at && *from == ',')
        from++;
    from = blanks(from, end);
    *at = *from == ']' ? NULL : value(from, end, 0);
    *element_length = *at ? (size_t)(*at - from) : 0;
    return *at ? from : NULL;
}

const char *json_member(const char *object, size_t length, const char *key, size_t *value_length)
{
    const char *end = object + length, *at = blanks(object, end) + 1;
    while (at && *(at = blanks(at, end)) == '"') {
        const char *name = at, *after = string(at, end);
        const char *from = blanks(blanks(after, end) + 1, end), *to = value(from, end, 0);
        if (json_is(name, (size_t)(after - name), key)) {
            *value_length = (size_t)(to - from);
            return from;
        }
        at = character(blanks(to, end), end, ',');
    }
    return NULL;
}

bool json_is(const char *text, size_t length, const char *expected)
{
    return text && length == strlen(expected) + 2 && text[0] == '"' && memcmp(text + 1, expected, length - 2) == 0;
}
