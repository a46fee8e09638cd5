/* Where images come from: the bundled digits, a directory of IDX files, a CSV file. */
#ifndef TAPE_CLI_SOURCE_H
#define TAPE_CLI_SOURCE_H

#include "tape/data.h"

typedef struct source {
    const char *name; /* for people */
    tape_dataset *train, *test;
} source;

/* `path` NULL: the bundled digits, a fifth of them held out; a directory: MNIST's four files; else a CSV file, a fifth
 * held out. The split does not depend on the training's seed. */
tape_status source_open(source *s, const char *path);
void source_close(source *s);

/* Images to predict: an IDX or a CSV file (named .csv or .csv.gz) of samples of this shape; labels may be absent. */
tape_dataset *source_images(const char *path, tape_shape sample);

/* The bundled digits' file. */
const char *source_bundled(void);

#endif
