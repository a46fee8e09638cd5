/* Reading CSV files of numbers: lines, cells, headers and the column of labels. */
#include <ctype.h>
#include <locale.h>
#include <math.h>
#include <string.h>

#include "kit.h"

enum { CHUNK = 1 << 16, LINE_MAX_BYTES = 1 << 26 };

struct csv {
    struct tape__reader reader;
    tape_csv_options options;
    char *text; /* what was read and not yet parsed */
    size_t begin, end, room;
    bool at_end;
    int64_t line;    /* the one being parsed, from 1 */
    int64_t columns; /* cells in every line; 0 before the first */
    float *x;
    int64_t *labels;
    int64_t count, room_count;
};

static tape_status fail_at(const struct csv *csv, int64_t column, const char *what, const char *cell, size_t n)
{
    return tape_fail(TAPE_ERROR_FORMAT, "%s:%lld: column %lld: %s, found \"%s\"", TAPE__PATH(csv->reader.path),
                     (long long)csv->line, (long long)column, what, tape__shown_text(cell, n).text);
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

static const double powers[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

/* Numbers of up to 15 digits without exponent: the quotient of two exact doubles is the correctly rounded value. */
static bool parse_short(const char *s, size_t n, double *value)
{
    int64_t digits = 0;
    int count = 0, decimals = 0;
    bool negative = n > 0 && *s == '-', point = false;
    for (size_t i = n > 0 && (*s == '-' || *s == '+'); i < n; i++) {
        if (s[i] == '.' && !point) {
            point = true;
            continue;
        }
        if (s[i] < '0' || s[i] > '9' || ++count > 15)
            return false;
        digits = 10 * digits + (s[i] - '0');
        decimals += point;
    }
    *value = (negative ? -(double)digits : (double)digits) / powers[decimals];
    return count > 0;
}

/* Any other decimal number, by the C library (in the C locale); s[n] is not part of a number. */
static bool parse_long(const char *s, size_t n, double *value)
{
    char *end;
    for (size_t i = 0; i < n; i++)
        if (!strchr("0123456789+-.eE", s[i]) || !s[i])
            return false;
    *value = strtod(s, &end);
    return n > 0 && end == s + n;
}

static bool parse_number(const char *s, size_t n, double *value)
{
    return parse_short(s, n, value) || parse_long(s, n, value);
}

static void trim(const char **cell, size_t *n)
{
    while (*n > 0 && (**cell == ' ' || **cell == '\t'))
        ++*cell, --*n;
    while (*n > 0 && ((*cell)[*n - 1] == ' ' || (*cell)[*n - 1] == '\t'))
        --*n;
}

/* The cell at s, before `end`; *next is behind its separator, or NULL if it was the last. */
static size_t cell_at(const struct csv *csv, const char *s, const char *end, const char **next)
{
    const char *separator = memchr(s, csv->options.separator, (size_t)(end - s));
    *next = separator ? separator + 1 : NULL;
    return (size_t)((separator ? separator : end) - s);
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

/* Read on behind the text that is not parsed yet. */
static bool refill(struct csv *csv)
{
    size_t kept = csv->end - csv->begin;
    if (kept > LINE_MAX_BYTES) {
        tape_fail(TAPE_ERROR_FORMAT, "%s:%lld: the line is longer than 64 MiB", TAPE__PATH(csv->reader.path),
                  (long long)csv->line + 1);
        return false;
    }
    if (csv->room < kept + CHUNK) {
        char *text = tape__grow(csv->text, (int64_t)(2 * kept + CHUNK + 1), 1);
        if (!text)
            return false;
        csv->text = text;
        csv->room = 2 * kept + CHUNK;
    }
    memmove(csv->text, csv->text + csv->begin, kept);
    int64_t got = tape__reader_read(&csv->reader, csv->text + kept, CHUNK);
    csv->begin = 0;
    csv->end = kept + (got > 0 ? (size_t)got : 0);
    csv->at_end = got < CHUNK;
    return got >= 0;
}

/* The next line without its end, NUL-terminated; false at the end of the file and after an error. */
static bool next_line(struct csv *csv, char **line, size_t *n)
{
    size_t searched = 0;
    char *newline = NULL;
    for (;;) {
        size_t have = csv->end - csv->begin;
        newline = have > searched ? memchr(csv->text + csv->begin + searched, '\n', have - searched) : NULL;
        if (newline || csv->at_end)
            break;
        searched = have;
        if (!refill(csv))
            return false;
    }
    if (csv->begin == csv->end)
        return false;
    *line = csv->text + csv->begin;
    *n = newline ? (size_t)(newline - *line) : csv->end - csv->begin;
    csv->begin += *n + (newline ? 1 : 0);
    *n -= *n > 0 && (*line)[*n - 1] == '\r';
    (*line)[*n] = '\0';
    csv->line++;
    return true;
}

static bool is_blank(const char *line, size_t n)
{
    trim(&line, &n);
    return n == 0;
}

/* A header has no number in it. */
static bool is_header(const struct csv *csv, const char *line, size_t n)
{
    if (csv->options.header != TAPE_CSV_HEADER_AUTO)
        return csv->options.header == TAPE_CSV_HEADER_YES;
    double value;
    for (const char *s = line, *end = line + n, *next; s; s = next) {
        size_t length = cell_at(csv, s, end, &next);
        const char *cell = s;
        trim(&cell, &length);
        if (parse_number(cell, length, &value))
            return false;
    }
    return true;
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static int64_t features(const struct csv *csv)
{
    return csv->columns - (csv->options.label != TAPE_CSV_LABEL_NONE);
}

/* What the first line of numbers fixes. */
static tape_status set_columns(struct csv *csv, const char *line, size_t n)
{
    for (const char *s = line, *end = line + n, *next; s; s = next) {
        cell_at(csv, s, end, &next);
        csv->columns++;
    }
    const char *path = csv->reader.path;
    if (features(csv) < 1)
        return tape_fail(TAPE_ERROR_FORMAT, "%s:%lld: column 1: expected numbers beside the label", TAPE__PATH(path),
                         (long long)csv->line);
    if (csv->options.sample.rank == 0)
        csv->options.sample = TAPE_SHAPE(features(csv));
    int64_t expected;
    if (csv->options.sample.rank >= TAPE_MAX_RANK || !tape__shape_count(csv->options.sample, &expected) ||
        expected != features(csv))
        return tape_fail(TAPE_ERROR_SHAPE,
                         "%s:%lld: has %lld numbers beside the label, which do not make a sample of %s",
                         TAPE__PATH(path), (long long)csv->line, (long long)features(csv),
                         tape__shown_shape(csv->options.sample).text);
    return TAPE_OK;
}

/* Room for one row more. */
static tape_status make_room(struct csv *csv)
{
    int64_t room = csv->room_count + csv->room_count / 2 + 1, numbers;
    if (csv->count < csv->room_count)
        return TAPE_OK;
    if (__builtin_mul_overflow(room, features(csv), &numbers))
        numbers = INT64_MAX;
    float *x = tape__grow(csv->x, numbers, sizeof *x);
    csv->x = x ? x : csv->x;
    int64_t *labels = x ? tape__grow(csv->labels, room, sizeof *labels) : NULL;
    csv->labels = labels ? labels : csv->labels;
    if (!labels)
        return TAPE_ERROR_MEMORY;
    csv->room_count = room;
    return TAPE_OK;
}

static tape_status take_cell(struct csv *csv, int64_t column, const char *cell, size_t n)
{
    int64_t label = csv->options.label == TAPE_CSV_LABEL_FIRST ? 0 : csv->columns - 1;
    double value = 0;
    if (!parse_number(cell, n, &value))
        return fail_at(csv, column + 1, "expected a number", cell, n);
    if (csv->options.label == TAPE_CSV_LABEL_NONE || column != label) {
        int64_t feature = column - (csv->options.label == TAPE_CSV_LABEL_FIRST);
        float single = (float)value;
        csv->x[csv->count * features(csv) + feature] = single;
        return isfinite(single) ? TAPE_OK : fail_at(csv, column + 1, "expected a number that fits f32", cell, n);
    }
    if (!(value >= 0 && value <= INT32_MAX && value == floor(value)))
        return fail_at(csv, column + 1, "expected a label, a whole number from 0 to 2147483647", cell, n);
    csv->labels[csv->count] = (int64_t)value;
    return TAPE_OK;
}

static tape_status take_row(struct csv *csv, const char *line, size_t n)
{
    tape_status status = csv->columns ? TAPE_OK : set_columns(csv, line, n);
    if (status == TAPE_OK)
        status = make_room(csv);
    int64_t column = 0;
    for (const char *s = line, *end = line + n, *next; s && status == TAPE_OK; s = next, column++) {
        size_t length = cell_at(csv, s, end, &next);
        const char *cell = s;
        trim(&cell, &length);
        if (column == csv->columns)
            status = fail_at(csv, column + 1, "more cells than in the lines before", cell, length);
        else
            status = take_cell(csv, column, cell, length);
    }
    if (status == TAPE_OK && column < csv->columns)
        return tape_fail(TAPE_ERROR_FORMAT, "%s:%lld: column %lld: the line ends, but the lines before have %lld cells",
                         TAPE__PATH(csv->reader.path), (long long)csv->line, (long long)column + 1,
                         (long long)csv->columns);
    csv->count += status == TAPE_OK;
    return status;
}

static tape_status read_rows(struct csv *csv)
{
    char *line;
    size_t n;
    bool first = true;
    while (next_line(csv, &line, &n)) {
        if (csv->line == 1 && n >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0)
            line += 3, n -= 3;
        if (is_blank(line, n))
            continue;
        if (!(first && is_header(csv, line, n)) && take_row(csv, line, n) != TAPE_OK)
            break;
        first = false;
    }
    if (tape_last_status() == TAPE_OK && csv->count == 0)
        tape_fail(TAPE_ERROR_FORMAT, "%s: holds no line of numbers", TAPE__PATH(csv->reader.path));
    return tape_last_status();
}

static tape_status check_options(const tape_csv_options *options)
{
    char c = options->separator;
    bool bad_separator = c == '\n' || c == '\r' || c == '.' || c == '+' || c == '-' || isalnum((unsigned char)c);
    if (bad_separator || (int)options->label < 0 || options->label > TAPE_CSV_LABEL_NONE || (int)options->header < 0 ||
        options->header > TAPE_CSV_HEADER_NO)
        return tape_fail(TAPE_ERROR_ARGUMENT, "dataset_csv: an option is out of range");
    return TAPE_OK;
}

static tape_status read_file(struct csv *csv, const char *path)
{
    tape_status status = check_options(&csv->options);
    if (status != TAPE_OK)
        return status;
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c_locale)
        return tape_fail(TAPE_ERROR_MEMORY, "dataset_csv: out of memory");
    locale_t before = uselocale(c_locale);
    status = tape__reader_open(&csv->reader, path, TAPE__READ_MAYBE_GZIP);
    if (status == TAPE_OK)
        status = read_rows(csv);
    tape__reader_close(&csv->reader);
    uselocale(before);
    freelocale(c_locale);
    return status;
}

tape_dataset *tape_dataset_csv(const char *path, const tape_csv_options *options)
{
    if (tape_last_status() != TAPE_OK)
        return NULL;
    struct csv csv = {.options = options ? *options : (tape_csv_options){.separator = 0}};
    csv.options.separator = csv.options.separator ? csv.options.separator : ',';
    tape_status status = read_file(&csv, path);
    free(csv.text);
    if (status != TAPE_OK || csv.options.label == TAPE_CSV_LABEL_NONE) {
        free(csv.labels);
        csv.labels = NULL;
    }
    if (status == TAPE_OK)
        return tape__dataset_take(csv.count, csv.options.sample, csv.x, csv.labels);
    free(csv.x);
    return NULL;
}
