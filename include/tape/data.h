/*
 * Data sets from IDX and CSV files, and batches of them.
 *
 * Readers are strict: a file that is truncated, too long or malformed is an error that says where, and memory grows
 * with what is really in the file, never with what its header promises. Files may be gzip-compressed where the library
 * was built with zlib (else UNSUPPORTED). Messages begin with the file's name. While an error is kept on the tape,
 * every function that can fail does nothing and returns that error, as ops do. Data sets may be read by many threads at
 * once.
 */
#ifndef TAPE_DATA_H
#define TAPE_DATA_H

#include "tape/tape.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- data sets --------------------------------------------------------------------------------------------------- */

/* Samples in memory. Fields may be read; the numbers in x and labels may be changed too. */
typedef struct tape_dataset {
    int64_t count;     /* samples */
    int64_t width;     /* numbers in a sample: the product of `sample` */
    tape_shape sample; /* shape of one, for example [28, 28] */
    float *x;          /* count * width, row-major */
    int64_t *labels;   /* count classes, each 0 <= label < classes; NULL where there are none */
    int64_t classes;   /* 1 + the largest label; 0 without labels */
} tape_dataset;

/* Copies of x (count * numel(sample) numbers) and labels (NULL for none). The sample's rank is at most 7, so that a
 * batch has one axis more. NULL after an error: ARGUMENT for a negative count or label. */
TAPE_API tape_dataset *tape_dataset_create(int64_t count, tape_shape sample, const float *x, const int64_t *labels);

/* NULL is ignored. */
TAPE_API void tape_dataset_destroy(tape_dataset *data);

/*
 * IDX files, the format of MNIST: a big-endian header, then u8, i8, i16, i32, f32 or f64, converted to f32 without
 * scaling. The first axis counts the samples. `labels` (NULL for none) names a file of whole numbers of one axis and
 * equal count.
 */
TAPE_API tape_dataset *tape_dataset_idx(const char *images, const char *labels);

/* The pair PREFIX-images-idx3-ubyte and PREFIX-labels-idx1-ubyte in a directory, each plain or with .gz. MNIST's
 * prefixes are "train" and "t10k". */
TAPE_API tape_dataset *tape_dataset_mnist(const char *directory, const char *prefix);

typedef enum tape_csv_label { TAPE_CSV_LABEL_LAST = 0, TAPE_CSV_LABEL_FIRST, TAPE_CSV_LABEL_NONE } tape_csv_label;
typedef enum tape_csv_header {
    TAPE_CSV_HEADER_AUTO = 0, /* the first line is a header if none of its cells is a number */
    TAPE_CSV_HEADER_YES,
    TAPE_CSV_HEADER_NO
} tape_csv_header;

typedef struct tape_csv_options {
    tape_csv_label label; /* the column that holds the class, a whole number from 0 to 2^31 - 1 */
    tape_csv_header header;
    char separator;    /* 0: a comma */
    tape_shape sample; /* rank 0: [number of features]; else its product must be that number */
} tape_csv_options;

/* Lines of finite decimal numbers, all of the same number of cells; spaces around a cell and empty lines are ignored,
 * LF or CRLF ends a line. Errors read "FILE:LINE: column N: ...". `options` may be NULL. */
TAPE_API tape_dataset *tape_dataset_csv(const char *path, const tape_csv_options *options);

/* x = (x - shift) * scale for every number; and the mean and standard deviation (of the population) of all of them, to
 * choose these by. Scale a training and a test set by the same numbers. Results may be NULL. */
TAPE_API void tape_dataset_scale(tape_dataset *data, double shift, double scale);
TAPE_API void tape_dataset_moments(const tape_dataset *data, double *mean, double *deviation);

typedef struct tape_split_options {
    double test_fraction; /* of the samples, rounded to the nearest number; 0: 0.2 */
    uint64_t seed;
    bool stratified; /* keep each class's share: rounded class by class */
} tape_split_options;

/* Two new data sets that hold each sample of `data` once, chosen by the seed alone and kept in their order. On an error
 * both are NULL: ARGUMENT unless 0 < test_fraction < 1, and for `stratified` without labels or with more than 65536
 * classes. */
TAPE_API tape_status tape_dataset_split(const tape_dataset *data, const tape_split_options *options,
                                        tape_dataset **train, tape_dataset **test);

/* ---- batches ----------------------------------------------------------------------------------------------------- */

typedef struct tape_batches tape_batches;

typedef struct tape_batches_options {
    int64_t size;     /* samples in a batch; 0: 32 */
    uint64_t seed;    /* of the order and the augmentation */
    tape_dtype dtype; /* of x: TAPE_F32 (0) or TAPE_F64 */
    bool in_order;    /* do not shuffle */
    bool drop_last;   /* leave out a last batch that is short */
    bool flat;        /* x is [size, width] instead of [size, sample...] */
    int shift;        /* augmentation: move each image by -shift...shift pixels along the last two axes of the sample */
    float fill;       /* what moves in at the border */
} tape_batches_options;

/* A batch. x and labels (i64, TAPE_NONE without labels) are the iterator's own leaves, or leading slices of them for a
 * short batch: they hold until the next call. */
typedef struct tape_batch {
    tape_tensor x, labels;
    int64_t size;
    const int64_t *rows; /* which samples of the data set */
} tape_batch;

/* An iterator over `data`, which must outlive it, at the beginning of epoch 0. Allocates here and nowhere else. NULL
 * after an error: ARGUMENT for a bad size or shift, SHAPE for a shift of samples of rank below 2. */
TAPE_API tape_batches *tape_batches_create(const tape_dataset *data, const tape_batches_options *options);
TAPE_API void tape_batches_destroy(tape_batches *batches);

/* Batches in an epoch. */
TAPE_API int64_t tape_batches_count(const tape_batches *batches);

/* Go to the beginning of an epoch. Its order and shifts depend on (seed, epoch) alone. */
TAPE_API void tape_batches_start(tape_batches *batches, int64_t epoch);

/* Fill the next batch; false at the epoch's end and after an error (tape_last_status() tells which). */
TAPE_API bool tape_batches_next(tape_batches *batches, tape_batch *batch);

/* ---- files ------------------------------------------------------------------------------------------------------- */

/* Write a whole file so that `path` holds either all of it or what was there before: a temporary file in the same
 * directory, fsync, rename. A device or a pipe is written directly. IO with the system's reason on failure. */
TAPE_API tape_status tape_write_file(const char *path, const void *data, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
