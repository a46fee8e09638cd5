/* The frame that all reports share. Knows no report's content. */
#ifndef TAPE_CLI_PAGE_H
#define TAPE_CLI_PAGE_H

#include "tape/types.h"
#include "text.h"

void page_begin(text *t, const char *title);

/* A number in large print. `format` takes one double. */
void page_add_tile(text *t, const char *name, const char *format, double value);

/* Ends the page, writes it atomically and frees the text. A status with a message on failure. */
tape_status page_write(text *t, const char *path);

#endif
