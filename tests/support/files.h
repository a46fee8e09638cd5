/* Small files in a directory of their own, for tests of readers and writers. */
#ifndef TAPE_TESTS_FILES_H
#define TAPE_TESTS_FILES_H

#include <stddef.h>
#include <stdint.h>

/* Make the directory (once) and give the path of a file in it; 8 paths are valid at a time. */
const char *files_path(const char *name);

/* Replace the file's content. Returns its path. */
const char *files_write(const char *name, const void *bytes, size_t n);

/* The file's bytes (to be freed) and their number; NULL if there is no such file. */
unsigned char *files_read(const char *path, size_t *n);

/* How many files the directory holds. */
int files_count(void);

/* Remove the directory and what is in it. */
void files_remove(void);

/* The same bytes as a gzip file of one stored block; n <= 65535. Returns the number of bytes put to `out` (n + 23). */
size_t files_gzip(const void *bytes, size_t n, unsigned char *out);

#endif
