/* Batches of a data set: the order of an epoch, shifted images, and the leaves that are refilled. */
#include <string.h>

#include "kit.h"

struct tape_batches {
    const tape_dataset *data;
    tape_batches_options options;
    int64_t *order;
    int64_t epoch, next; /* next: position in order */
    tape_tensor x, labels;
};

/* ---- making ------------------------------------------------------------------------------------------------------ */

static tape_status check_options(const tape_dataset *data, const tape_batches_options *options)
{
    int rank = data->sample.rank;
    if (options->size < 1)
        return tape_fail(TAPE_ERROR_ARGUMENT, "batches: expects a size >= 1, got %lld", (long long)options->size);
    if (options->dtype != TAPE_F32 && options->dtype != TAPE_F64)
        return tape_fail(TAPE_ERROR_DTYPE, "batches: expects f32 or f64, got %s", tape_dtype_name(options->dtype));
    if (options->shift < 0 || options->shift > 1 << 20)
        return tape_fail(TAPE_ERROR_ARGUMENT, "batches: expects a shift from 0 to 1048576, got %d", options->shift);
    if (options->shift > 0 && rank < 2)
        return tape_fail(TAPE_ERROR_SHAPE, "batches: shifts need samples of rank 2 or more, these are %s",
                         tape__shown_shape(data->sample).text);
    return TAPE_OK;
}

static tape_status make_leaves(struct tape_batches *b)
{
    const tape_dataset *data = b->data;
    int64_t size = b->options.size;
    tape_shape shape = {.rank = data->sample.rank + 1, .size = {size}};
    for (int i = 0; i < data->sample.rank; i++)
        shape.size[i + 1] = data->sample.size[i];
    if (b->options.flat)
        shape = TAPE_SHAPE(size, data->width);
    b->x = tape_const(b->options.dtype, shape, NULL);
    b->labels = data->labels ? tape_const(TAPE_I64, TAPE_SHAPE(size), NULL) : TAPE_NONE;
    b->order = tape__grow(NULL, data->count, sizeof *b->order);
    return tape_last_status();
}

tape_batches *tape_batches_create(const tape_dataset *data, const tape_batches_options *options)
{
    if (tape_last_status() != TAPE_OK)
        return NULL;
    if (!data) {
        tape_fail(TAPE_ERROR_ARGUMENT, "batches: expects a data set, got NULL");
        return NULL;
    }
    tape_batches_options chosen = options ? *options : (tape_batches_options){.size = 0};
    chosen.size = chosen.size == 0 ? 32 : chosen.size;
    if (check_options(data, &chosen) != TAPE_OK)
        return NULL;
    struct tape_batches *b = tape__grow(NULL, 1, sizeof *b);
    if (!b)
        return NULL;
    *b = (struct tape_batches){.data = data, .options = chosen, .x = TAPE_NONE, .labels = TAPE_NONE};
    if (make_leaves(b) != TAPE_OK) {
        tape_batches_destroy(b);
        return NULL;
    }
    tape_batches_start(b, 0);
    return b;
}

void tape_batches_destroy(tape_batches *b)
{
    if (!b)
        return;
    tape_free(b->x);
    tape_free(b->labels);
    free(b->order);
    free(b);
}

/* ---- filling ----------------------------------------------------------------------------------------------------- */

static void put_f32(float *to, const float *from, int64_t n)
{
    memcpy(to, from, (size_t)n * sizeof *to);
}

static void put_f64(double *to, const float *from, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = from[i];
}

static void put(const struct tape_batches *b, void *x, int64_t at, const float *from, int64_t n)
{
    if (b->options.dtype == TAPE_F64)
        put_f64((double *)x + at, from, n);
    else
        put_f32((float *)x + at, from, n);
}

static void put_fill(const struct tape_batches *b, void *x, int64_t at, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        put(b, x, at + i, &b->options.fill, 1);
}

/* One line of an image: what is at column j comes from column j - move. */
static void put_line(const struct tape_batches *b, void *x, int64_t at, const float *from, int64_t width, int64_t move)
{
    int64_t left = move > 0 ? (move < width ? move : width) : 0, right = move < 0 ? (-move < width ? -move : width) : 0;
    put_fill(b, x, at, left);
    put(b, x, at + left, from + right, width - left - right);
    put_fill(b, x, at + width - right, right);
}

/* A sample moved down and to the right; leading axes are images of their own that move together. */
static void put_shifted(const struct tape_batches *b, void *x, int64_t at, const float *from, int64_t down,
                        int64_t right)
{
    const tape_dataset *data = b->data;
    int64_t width = data->sample.size[data->sample.rank - 1], height = data->sample.size[data->sample.rank - 2];
    int64_t lines = width > 0 ? data->width / width : 0;
    for (int64_t line = 0; line < lines; line++) {
        int64_t i = line % height, source = i - down;
        if (source < 0 || source >= height)
            put_fill(b, x, at + line * width, width);
        else
            put_line(b, x, at + line * width, from + (line + source - i) * width, width, right);
    }
}

/* A whole number from -shift to shift, by (seed, epoch, sample, axis) alone. The bias of the remainder is below 2^-40.
 */
static int64_t random_move(const struct tape_batches *b, int64_t row, uint64_t axis)
{
    uint64_t span = 2 * (uint64_t)b->options.shift + 1;
    uint64_t word = tape__mix(tape__mix(b->options.seed ^ 0x6d6f7665) + (uint64_t)b->epoch);
    word = tape__mix(tape__mix(word ^ (uint64_t)row) + axis);
    return (int64_t)(word % span) - b->options.shift;
}

static tape_status fill(struct tape_batches *b, const int64_t *rows, int64_t n)
{
    const tape_dataset *data = b->data;
    void *x = tape_data_mut(b->x);
    int64_t *labels = data->labels ? tape_data_mut(b->labels) : NULL;
    if (tape_last_status() != TAPE_OK)
        return tape_last_status();
    for (int64_t i = 0; i < n; i++) {
        const float *from = data->x + rows[i] * data->width;
        if (b->options.shift > 0)
            put_shifted(b, x, i * data->width, from, random_move(b, rows[i], 0), random_move(b, rows[i], 1));
        else
            put(b, x, i * data->width, from, data->width);
        if (labels)
            labels[i] = data->labels[rows[i]];
    }
    return TAPE_OK;
}

/* ---- iterating --------------------------------------------------------------------------------------------------- */

int64_t tape_batches_count(const tape_batches *b)
{
    if (!b)
        return 0;
    int64_t whole = b->data->count / b->options.size;
    return whole + (!b->options.drop_last && b->data->count % b->options.size > 0);
}

void tape_batches_start(tape_batches *b, int64_t epoch)
{
    if (!b)
        return;
    for (int64_t i = 0; i < b->data->count; i++)
        b->order[i] = i;
    if (!b->options.in_order)
        tape__shuffle_rows(b->options.seed, (uint64_t)epoch, b->data->count, b->order);
    b->epoch = epoch;
    b->next = 0;
}

static tape_tensor leading(tape_tensor leaf, int64_t n)
{
    return tape_slice(leaf, 0, 0, n, 1);
}

bool tape_batches_next(tape_batches *b, tape_batch *batch)
{
    *batch = (tape_batch){.x = TAPE_NULL, .labels = TAPE_NULL};
    if (!b || tape_last_status() != TAPE_OK)
        return false;
    int64_t left = b->data->count - b->next, n = left < b->options.size ? left : b->options.size;
    if (n == 0 || (n < b->options.size && b->options.drop_last))
        return false;
    if (fill(b, b->order + b->next, n) != TAPE_OK)
        return false;
    *batch = (tape_batch){.x = b->x, .labels = b->labels, .size = n, .rows = b->order + b->next};
    if (n < b->options.size) {
        batch->x = leading(b->x, n);
        batch->labels = b->data->labels ? leading(b->labels, n) : TAPE_NONE;
    }
    b->next += n;
    return tape_last_status() == TAPE_OK;
}
