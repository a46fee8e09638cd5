/* What the files of the training kit share: errors of files, reading and atomic writing, a small generator for
   shuffles, and the inside of parameter sets and optimisers. It stands on the public headers and knows no internals of
   the core. */
#ifndef TAPE__KIT_H
#define TAPE__KIT_H

#include <stdlib.h>

#include "tape/data.h"
#include "tape/metrics.h"
#include "tape/nn.h"
#include "tape/optim.h"
#include "tape/safetensors.h"

/* ---- text of messages -------------------------------------------------------------------------------------------- */

/* Text from outside made fit for a one-line message: cut in front (a path's end tells most) or behind, with control
   bytes replaced. Valid in the full expression it is used in. */
struct tape__shown {
    char text[112];
};
struct tape__shown tape__shown_path(const char *path);
struct tape__shown tape__shown_text(const char *text, size_t n);
#define TAPE__PATH(path) (tape__shown_path(path).text)

/* "[2, 3]" */
struct tape__shown tape__shown_shape(tape_shape shape);

/* Whether n bytes are well-formed UTF-8 (no overlong forms, surrogates or numbers beyond U+10FFFF). */
bool tape__is_utf8(const char *text, size_t n);

/* FILE: `what`: the system's text for `error` (errno). Returns TAPE_ERROR_IO. */
tape_status tape__fail_system(const char *path, const char *what, int error);

/* Bookkeeping memory: `count` items in all, the old ones kept, new ones not set; NULL after an error. Sizes checked. */
void *tape__grow(void *old, int64_t count, size_t item);

/* The product, or an error: false. */
bool tape__shape_count(tape_shape shape, int64_t *count);
bool tape__same_shape(tape_shape a, tape_shape b);

/* ---- files ------------------------------------------------------------------------------------------------------- */

/* A file read from its beginning, decompressed where it is gzip. */
struct tape__reader {
    const char *path;
    int fd;
    int64_t size; /* of what can be read, where it is known: a regular file that is not compressed; else -1 */
    unsigned char *buffer;
    size_t begin, end; /* of the bytes in the buffer that were not taken yet */
    bool at_end;
    void *inflate; /* zlib's state; NULL while the bytes are plain */
    bool between;  /* the last gzip member is complete */
};

enum tape__reader_mode { TAPE__READ_PLAIN, TAPE__READ_MAYBE_GZIP };

/* The reader must be closed after success and after failure alike. */
tape_status tape__reader_open(struct tape__reader *reader, const char *path, enum tape__reader_mode mode);
void tape__reader_close(struct tape__reader *reader);

/* Up to n bytes; fewer only at the end of the file; -1 after an error. */
int64_t tape__reader_read(struct tape__reader *reader, void *out, size_t n);

/* n bytes in memory of their own, which grows with what is really there: a header that promises too much costs nothing.
   NULL after an error; an early end is FORMAT. An extra byte is allocated, so n may be 0. */
void *tape__reader_block(struct tape__reader *reader, int64_t n);

/* A file that replaces `path` at commit, or not at all. */
struct tape__writer {
    const char *path;
    char *target; /* path with symbolic links resolved */
    char *temporary;
    int fd;
    bool direct; /* a device or a pipe: nothing to replace */
};

/* The writer must be ended with commit or abandon after open has succeeded. */
tape_status tape__writer_open(struct tape__writer *writer, const char *path);
tape_status tape__writer_put(struct tape__writer *writer, const void *data, size_t n);
tape_status tape__writer_commit(struct tape__writer *writer);
void tape__writer_abandon(struct tape__writer *writer);

/* ---- data sets --------------------------------------------------------------------------------------------------- */

/* A data set that takes x and labels (blocks of malloc) over, also on failure; NULL after an error. */
tape_dataset *tape__dataset_take(int64_t count, tape_shape sample, float *x, int64_t *labels);

/* ---- shuffles ---------------------------------------------------------------------------------------------------- */

/* SplitMix64: G. L. Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014. */
static inline uint64_t tape__mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* Every order of the n numbers is equally likely; (seed, stream) choose it. */
void tape__shuffle_rows(uint64_t seed, uint64_t stream, int64_t n, int64_t *order);

/* Files of numbers are copied byte by byte: a machine of the other order is refused. */
static inline bool tape__is_little_endian(void)
{
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
}

/* ---- safetensors ------------------------------------------------------------------------------------------------- */

/* A tensor of a file as its header describes it; the name points into the header's text. */
struct tape__st_entry {
    char *name;
    tape_dtype dtype;
    tape_shape shape;
    int64_t begin, end; /* bytes of the data */
};

struct tape__st_pair {
    char *key, *value;
};

struct tape_safetensors {
    char *path;
    char *header; /* its strings are decoded in place */
    unsigned char *data;
    int64_t data_size;
    struct tape__st_entry *entry;
    struct tape__st_pair *metadata;
    int64_t count, metadata_count, capacity, metadata_capacity;
    int64_t *by_name; /* indices in the order of names */
};

/* Parse and validate `n` bytes of header (NUL-terminated) into entries and metadata; file->path is for messages. */
tape_status tape__st_parse(struct tape_safetensors *file, size_t n);

/* Whether tensor i has this dtype and shape, or an error that names it. */
tape_status tape__st_check(const tape_safetensors *file, int64_t i, tape_dtype dtype, tape_shape shape);

/* "F32" and the like. */
const char *tape__st_dtype(tape_dtype dtype);

/* ---- parameter sets and optimisers ------------------------------------------------------------------------------- */

struct tape__param {
    int64_t numel;
    tape_dtype dtype;
    double lr_factor;
    double weight_decay; /* negative: the optimiser's */
    bool owned;
};

struct tape__param_name {
    char *name;
    int64_t param;
};

struct tape_params {
    tape_tensor *leaf;         /* each once */
    struct tape__param *param; /* what is known of each leaf */
    struct tape__param_name *name;
    int64_t param_count, name_count, param_capacity, name_capacity;
    double lr_factor, weight_decay; /* of the group that is open */
};

/* TAPE_OK if every leaf of the set is alive. */
tape_status tape__params_check(const tape_params *set);

/* What a function has said of the set's leaves: where one has been freed, with its name. */
tape_status tape__params_result(const tape_params *set, tape_status status);

/* The first name of leaf p. */
const char *tape__params_first_name(const tape_params *set, int64_t p);

enum { TAPE__OPTIM_STATES = 3 };

enum tape__optim_kind { TAPE__SGD, TAPE__ADAM, TAPE__ADAMW, TAPE__RMSPROP, TAPE__ADAGRAD, TAPE__OPTIM_KINDS };

/* The numbers of every kind of optimiser, defaults filled in. */
struct tape__optim_numbers {
    double lr, weight_decay, eps;
    double momentum, dampening;
    double beta1, beta2;
    double alpha;
    double lr_decay, initial;
    bool nesterov, amsgrad, centered;
};

struct tape_optim {
    tape_params *set;
    enum tape__optim_kind kind;
    struct tape__optim_numbers numbers;
    int64_t params;      /* of the set when the optimiser was made */
    int64_t *step;       /* taken, per parameter */
    tape_tensor *state;  /* TAPE__OPTIM_STATES per parameter; TAPE_NONE where the kind has none */
    bool has_state;      /* some are not */
    tape_update *update; /* of each parameter in the step that runs */
    int64_t steps;
};

/* One parameter's step, with all that depends on the parameter worked out. */
struct tape__optim_job {
    enum tape__optim_kind kind;
    struct tape__optim_numbers numbers; /* lr and weight_decay are the parameter's own */
    int64_t step;                       /* 1 for the first */
    int64_t n;
    const void *g;
    void *p;
    void *state[TAPE__OPTIM_STATES];
};
void tape__optim_update_f32(const struct tape__optim_job *job);
void tape__optim_update_f64(const struct tape__optim_job *job);

const char *tape__optim_name(enum tape__optim_kind kind);
/* "momentum", "exp_avg", ...; NULL where the optimiser has no such state. */
const char *tape__optim_state_name(const tape_optim *optim, int k);

#endif
