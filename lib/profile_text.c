/* A profile's table as text, without allocation and without the locale. Knows the public table alone. */
#include <stdio.h>
#include <string.h>

#include "tape/profile.h"

enum { LINE = 192 };

/* value / 10^digits with so many digits behind the point, in `width` characters. */
static const char *fixed(char *text, size_t size, int width, double value, int digits)
{
    static const unsigned powers[] = {1, 10, 100, 1000};
    unsigned power = powers[digits];
    unsigned long long scaled = value > 0 ? (unsigned long long)(value * power + 0.5) : 0;
    snprintf(text, size, "%*llu.%0*llu", width - digits - 1, scaled / power, digits, scaled % power);
    return text;
}

static void format_line(char *line, const char *op, const char *pass, const tape_profile_row *row)
{
    char ms[32], share[32], megabytes[32], rate[32];
    double ns = (double)row->nanoseconds, bytes = (double)row->bytes;
    snprintf(line, LINE, "%-24.24s %-8s %10lld %s %s %s %s", op, pass, (long long)row->calls,
             fixed(ms, sizeof ms, 12, ns * 1e-6, 3), fixed(share, sizeof share, 7, row->share * 100, 1),
             fixed(megabytes, sizeof megabytes, 12, bytes * 1e-6, 1),
             fixed(rate, sizeof rate, 8, row->nanoseconds ? bytes / ns : 0, 2));
}

/* Line i: the heading, a row, or the sum. */
static void line_at(char *line, int i)
{
    int n = tape_profile_count();
    tape_profile_row sum = {.op = "total"};
    if (i == 0) {
        snprintf(line, LINE, "%-24s %-8s %10s %12s %7s %12s %8s", "op", "pass", "calls", "ms", "%", "MB", "GB/s");
    } else if (i <= n) {
        tape_profile_row row = tape_profile_at(i - 1);
        format_line(line, row.op, row.backward ? "backward" : "forward", &row);
    } else {
        for (int k = 0; k < n; k++) {
            tape_profile_row row = tape_profile_at(k);
            sum.calls += row.calls;
            sum.nanoseconds += row.nanoseconds;
            sum.bytes += row.bytes;
            sum.share += row.share;
        }
        format_line(line, sum.op, "", &sum);
    }
}

size_t tape_profile_format(char *buffer, size_t size)
{
    size_t length = 0;
    if (size)
        buffer[0] = '\0';
    for (int i = 0; i <= tape_profile_count() + 1; i++) {
        char line[LINE];
        line_at(line, i);
        size_t n = strlen(line);
        line[n++] = '\n';
        size_t room = length + 1 < size ? size - 1 - length : 0, fits = n < room ? n : room;
        if (room) {
            memcpy(buffer + length, line, fits);
            buffer[length + fits] = '\0';
        }
        length += n;
    }
    if (length >= size && size > 3)
        memcpy(buffer + size - 4, "...", 4);
    return length;
}

void tape_profile_print(void)
{
    for (int i = 0; i <= tape_profile_count() + 1; i++) {
        char line[LINE];
        line_at(line, i);
        puts(line);
    }
}
