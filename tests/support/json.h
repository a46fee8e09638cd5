/* A strict reader of JSON for the tests, independent of what the library and the program write. */
#ifndef TEST_JSON_H
#define TEST_JSON_H

#include <stdbool.h>
#include <stddef.h>

/* Whether the text is one JSON value with nothing but blanks around it (RFC 8259). */
bool json_is_valid(const char *text, size_t length);

/* The elements of a valid array, one after the other: *at starts as NULL and ends as NULL. Returns the element's text
 * and its length. */
const char *json_next(const char *array, size_t length, const char **at, size_t *element_length);

/* The value of a member of a valid object: its text and length; NULL if there is none. */
const char *json_member(const char *object, size_t length, const char *key, size_t *value_length);

/* Whether a value is this string (written without escapes). */
bool json_is(const char *value, size_t length, const char *string);

#endif
