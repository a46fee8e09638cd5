/* A growing text. Knows HTML's escapes and nothing else of HTML. */
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool make_room(text *t, size_t more)
{
    if (t->failed || t->capacity - t->length > more)
        return !t->failed;
    size_t capacity = (t->capacity + more + 1) * 2;
    char *data = realloc(t->data, capacity);
    t->failed = !data;
    if (data) {
        t->data = data;
        t->capacity = capacity;
    }
    return !t->failed;
}

void text_add(text *t, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (n < 0 || !make_room(t, (size_t)n))
        return;
    va_start(arguments, format);
    vsnprintf(t->data + t->length, (size_t)n + 1, format, arguments);
    va_end(arguments);
    t->length += (size_t)n;
}

void text_add_escaped(text *t, const char *words)
{
    for (; *words; words++) {
        const char *escape = *words == '&'   ? "&amp;"
                             : *words == '<' ? "&lt;"
                             : *words == '>' ? "&gt;"
                             : *words == '"' ? "&quot;"
                                             : NULL;
        if (escape)
            text_add(t, "%s", escape);
        else
            text_add(t, "%c", *words);
    }
}

void text_free(text *t)
{
    free(t->data);
    *t = (text){0};
}
