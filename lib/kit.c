/* What the files of the training kit share that is neither a file nor a tensor: text for messages, bookkeeping memory,
   shapes and shuffles. */
#include "kit.h"

#include <stdio.h>
#include <string.h>

/* One line of printable text: a byte that would break the line or the terminal becomes '?'. */
static void printable(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

/* Never begin inside a UTF-8 sequence, nor end in one. */
static bool continues(char byte)
{
    return ((unsigned char)byte & 0xc0) == 0x80;
}

struct tape__shown tape__shown_path(const char *path)
{
    struct tape__shown shown;
    size_t n = strlen(path), room = sizeof shown.text - 1;
    if (n > room) {
        path += n - (room - 3);
        while (continues(*path))
            path++;
    }
    snprintf(shown.text, sizeof shown.text, "%s%s", n > room ? "..." : "", path);
    printable(shown.text);
    return shown;
}

struct tape__shown tape__shown_text(const char *text, size_t n)
{
    struct tape__shown shown;
    size_t room = 40, kept = n <= room ? n : room - 3;
    while (kept < n && kept > 0 && continues(text[kept]))
        kept--;
    for (size_t i = 0; i < kept; i++)
        shown.text[i] = text[i] ? text[i] : '?';
    snprintf(shown.text + kept, sizeof shown.text - kept, "%s", kept < n ? "..." : "");
    printable(shown.text);
    return shown;
}

struct tape__shown tape__shown_shape(tape_shape shape)
{
    struct tape__shown shown;
    size_t used = 1;
    snprintf(shown.text, sizeof shown.text, "[");
    for (int i = 0; i < shape.rank && used < sizeof shown.text; i++) {
        int n = snprintf(shown.text + used, sizeof shown.text - used, i ? ", %lld" : "%lld", (long long)shape.size[i]);
        used += n > 0 ? (size_t)n : 0;
    }
    if (used < sizeof shown.text)
        snprintf(shown.text + used, sizeof shown.text - used, "]");
    return shown;
}

/* The length of the sequence at s; 0 if it is malformed. */
static size_t utf8_length(const unsigned char *s, size_t n)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = s[0] < 0x80 ? 1 : s[0] >> 5 == 6 ? 2 : s[0] >> 4 == 14 ? 3 : s[0] >> 3 == 30 ? 4 : 0;
    if (length < 2 || length > n)
        return length == 1 ? 1 : 0;
    uint32_t code = s[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if (!continues((char)s[i]))
            return 0;
        code = code << 6 | (s[i] & 0x3f);
    }
    return code >= smallest[length] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff) ? length : 0;
}

bool tape__is_utf8(const char *text, size_t n)
{
    size_t length = 1;
    for (size_t i = 0; i < n && length > 0; i += length)
        length = utf8_length((const unsigned char *)text + i, n - i);
    return length > 0;
}

tape_status tape__fail_system(const char *path, const char *what, int error)
{
    char reason[80];
    if (strerror_r(error, reason, sizeof reason) != 0)
        snprintf(reason, sizeof reason, "error %d", error);
    return tape_fail(TAPE_ERROR_IO, "%s: %s: %s", TAPE__PATH(path), what, reason);
}

void *tape__grow(void *old, int64_t count, size_t item)
{
    size_t bytes;
    void *block = NULL;
    if (count >= 0 && !__builtin_mul_overflow((size_t)count, item, &bytes) && bytes <= PTRDIFF_MAX)
        block = realloc(old, bytes ? bytes : 1);
    if (!block)
        tape_fail(TAPE_ERROR_MEMORY, "out of memory for %lld items of %zu bytes", (long long)count, item);
    return block;
}

bool tape__shape_count(tape_shape shape, int64_t *count)
{
    int64_t n = 1;
    bool fits = shape.rank >= 0 && shape.rank <= TAPE_MAX_RANK;
    for (int i = 0; fits && i < shape.rank; i++)
        fits = shape.size[i] >= 0 && !__builtin_mul_overflow(n, shape.size[i], &n);
    *count = fits ? n : 0;
    return fits;
}

bool tape__same_shape(tape_shape a, tape_shape b)
{
    bool same = a.rank == b.rank;
    for (int i = 0; same && i < a.rank; i++)
        same = a.size[i] == b.size[i];
    return same;
}

/* The high half of a product: x scaled to [0, bound). */
static uint64_t scaled(uint64_t x, uint64_t bound, uint64_t *low)
{
    uint64_t x0 = x & 0xffffffff, x1 = x >> 32, b0 = bound & 0xffffffff, b1 = bound >> 32;
    uint64_t middle = x1 * b0 + (x0 * b0 >> 32), other = x0 * b1 + (middle & 0xffffffff);
    *low = x * bound;
    return x1 * b1 + (middle >> 32) + (other >> 32);
}

/* D. Lemire, "Fast random integer generation in an interval", ACM TOMACS 29, 2019: without bias. */
static int64_t below(uint64_t *state, int64_t bound)
{
    uint64_t n = (uint64_t)bound, low, high;
    do {
        high = scaled(tape__mix((*state)++), n, &low);
    } while (low < n && low < (0 - n) % n);
    return (int64_t)high;
}

void tape__shuffle_rows(uint64_t seed, uint64_t stream, int64_t n, int64_t *order)
{
    uint64_t state = tape__mix(tape__mix(seed) ^ stream);
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = below(&state, i + 1), other = order[j];
        order[j] = order[i];
        order[i] = other;
    }
}
