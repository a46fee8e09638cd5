/* A growing text, and HTML's escapes. A text that ran out of memory stays failed; look once, at the end. */
#ifndef TAPE_CLI_TEXT_H
#define TAPE_CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>

typedef struct text {
    char *data;
    size_t length, capacity;
    bool failed;
} text;

/* printf whose numbers have a decimal point whatever the locale is: the program never calls setlocale(). */
void text_add(text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* With & < > " escaped. */
void text_add_escaped(text *t, const char *words);

void text_free(text *t);

#endif
