/* Parsing of a command's options from its table. Knows no command. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static void print_help(const option *table, const char *synopsis)
{
    printf("usage: tape %s\n\n", synopsis);
    for (const option *row = table; row->name; row++) {
        char left[40];
        snprintf(left, sizeof left, "--%s%s%s", row->name, row->value_name ? " " : "",
                 row->value_name ? row->value_name : "");
        printf("  %-22s %s\n", left, row->help);
    }
}

static int store_number(const option *row, const char *text)
{
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    bool whole = row->kind != OPTION_INTEGER || (strspn(text, "+-0123456789") == strlen(text) && fabs(value) < 0x1p53);
    if (end == text || *end || errno == ERANGE || !whole)
        return usage_error("--%s: '%s' is not a %s", row->name, text, whole ? "number" : "whole number");
    if (!(value >= row->low && value <= row->high))
        return usage_error("--%s: %s is not within %g..%g", row->name, text, row->low, row->high);
    if (row->kind == OPTION_INTEGER)
        *(int64_t *)row->target = (int64_t)value;
    else
        *(double *)row->target = value;
    return EXIT_OK;
}

static int store(const option *row, const char *value)
{
    if (row->kind == OPTION_FLAG)
        *(bool *)row->target = true;
    else if (row->kind == OPTION_TEXT)
        *(const char **)row->target = value;
    else
        return store_number(row, value);
    return EXIT_OK;
}

static const option *find(const option *table, const char *name, size_t length)
{
    for (const option *row = table; row->name; row++)
        if (strlen(row->name) == length && memcmp(row->name, name, length) == 0)
            return row;
    return NULL;
}

/* One "--name", "--name=value" or "--name value" at argv[*i]. */
static int parse_one(int argc, char **argv, int *i, const option *table)
{
    const char *name = argv[*i] + 2, *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    const option *row = find(table, name, length);
    if (!row)
        return usage_error("%s: unknown option '%s'; 'tape %s --help' lists them", argv[0], argv[*i], argv[0]);
    if (row->kind == OPTION_FLAG)
        return equals ? usage_error("--%s takes no value", row->name) : store(row, NULL);
    const char *value = equals ? equals + 1 : *i + 1 < argc ? argv[++*i] : NULL;
    if (!value || !*value)
        return usage_error("--%s needs a value: %s", row->name, row->value_name);
    return store(row, value);
}

int parse_options(int argc, char **argv, const option *table, const char *synopsis, const char **positional, int most)
{
    int words = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help(table, synopsis);
            return -1;
        }
        int code = EXIT_OK;
        if (strncmp(argv[i], "--", 2) == 0)
            code = parse_one(argc, argv, &i, table);
        else if (words < most)
            positional[words++] = argv[i];
        else
            code = usage_error("%s: unexpected '%s'; 'tape %s --help' shows the usage", argv[0], argv[i], argv[0]);
        if (code != EXIT_OK)
            return code;
    }
    return EXIT_OK;
}
