/* The filter: which full metric names it matches, which beginnings of names may become one, and what to hand to other
 * processes. Knows regular expressions, no workload. */
#include <regex.h>
#include <stdio.h>
#include <string.h>

#include "bench.h"

enum { MOST = 256 };

static struct {
    bool set;
    regex_t whole;
    char text[MOST];
} filter;

bool bench_filter_set(const char *text)
{
    bench_filter_clear();
    if (strlen(text) >= MOST || regcomp(&filter.whole, text, REG_EXTENDED | REG_NOSUB) != 0)
        return false;
    snprintf(filter.text, sizeof filter.text, "%s", text);
    return filter.set = true;
}

void bench_filter_clear(void)
{
    if (filter.set)
        regfree(&filter.whole);
    filter.set = false;
    filter.text[0] = 0;
}

bool bench_matches(const char *name)
{
    return !filter.set || regexec(&filter.whole, name, 0, NULL, 0) == 0;
}

/* The length of the alternative that begins at `text`: up to a "|" outside of brackets. */
static size_t alternative(const char *text)
{
    int depth = 0;
    size_t n = 0;
    for (; text[n] && (depth > 0 || text[n] != '|'); n++) {
        if (text[n] == '\\' && text[n + 1])
            n++;
        else
            depth += (text[n] == '(' || text[n] == '[') - (text[n] == ')' || text[n] == ']');
    }
    return n;
}

/* Whether the first n characters of an expression, taken for one by themselves, match all of a name. */
static bool beginning_matches(const char *text, size_t n, const char *name)
{
    char whole[MOST + 8];
    regex_t beginning;
    snprintf(whole, sizeof whole, "^(%.*s)$", (int)n, text);
    if (regcomp(&beginning, whole, REG_EXTENDED | REG_NOSUB) != 0)
        return false;
    bool yes = regexec(&beginning, name, 0, NULL, 0) == 0;
    regfree(&beginning);
    return yes;
}

/* An alternative that does not name a workload first may match within any name; so may one with workloads in a group.
 */
static bool may_match(const char *text, size_t n, const char *name)
{
    if (n > 0 && text[0] == '^')
        text++, n--;
    const char *group = memchr(text, '(', n);
    if (n == 0 || text[0] != 'w' || (group && memchr(group, '_', n - (size_t)(group - text))))
        return true;
    for (size_t k = 1; k <= n; k++)
        if (beginning_matches(text, k, name))
            return true;
    return false;
}

bool bench_wants(const char *name)
{
    if (bench_matches(name))
        return true;
    for (const char *at = filter.text;; at++) {
        size_t n = alternative(at);
        if (may_match(at, n, name))
            return true;
        at += n;
        if (!*at)
            return false;
    }
}

void bench_filter_for(const char *workload, char *out, size_t size)
{
    static const char *const ends[] = {"ratio", "min", "median"};
    size_t n = strlen(filter.text);
    const char *text = filter.text + (filter.text[0] == '^');
    if (alternative(filter.text) != n || strncmp(text, workload, strlen(workload)) != 0) {
        snprintf(out, size, "^%s[.]", workload);
        return;
    }
    snprintf(out, size, "%s", filter.text);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char *end = strstr(out, ends[i]);
        if (!end || !strchr(".*]", end[-1]))
            continue;
        *end = 0;
        while (end > out && strchr(".*\\", end[-1]))
            *--end = 0;
    }
}
