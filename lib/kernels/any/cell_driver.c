/* Knows how the rows of a recurrent cell are shared and how they end; it does not know what a cell computes. */
#include <string.h>

#include "kernels/cell.h"
#include "kernels/kernels.h"

enum { ITEM = 1 << 12 /* states of one parallel iteration */ };

/* Array k of row i begins at array[k] + i * stride[k] bytes, or is missing. */
struct job {
    tape__cell_fn *fn;
    int64_t rows, per_item;
    size_t size, bytes;      /* of an element; of a row */
    int first_out, last_out; /* what the kernel writes, but for before */
    char *array[TAPE__CELL_ARRAYS];
    size_t stride[TAPE__CELL_ARRAYS];
};

static void place(struct job *j, int k, const void *array, size_t stride)
{
    j->array[k] = (char *)(uintptr_t)array;
    j->stride[k] = stride;
}

static void place_gates(struct job *j, int first, const void *gates)
{
    for (int k = 0; k < 4; k++)
        place(j, first + k, (const char *)gates + (size_t)k * j->bytes, 4 * j->bytes);
}

/* What is left of a row goes through a unit of each array. */
static void run_rest(const struct job *j, void *const *row, size_t done)
{
    _Alignas(TAPE__UNIT_BYTES) char unit[TAPE__CELL_ARRAYS][TAPE__UNIT_BYTES] = {{0}};
    void *in[TAPE__CELL_ARRAYS];
    for (int k = 0; k < TAPE__CELL_ARRAYS; k++) {
        in[k] = row[k] ? unit[k] : NULL;
        if (row[k])
            memcpy(unit[k], (char *)row[k] + done, j->bytes - done);
    }
    j->fn((int64_t)(TAPE__UNIT_BYTES / j->size), in);
    for (int k = j->first_out; k <= j->last_out; k++)
        if (row[k] && k != TAPE__CELL_BEFORE)
            memcpy((char *)row[k] + done, unit[k], j->bytes - done);
}

static void run_item(void *arg, int64_t item)
{
    const struct job *j = arg;
    const size_t whole = j->bytes / TAPE__UNIT_BYTES * TAPE__UNIT_BYTES;
    const int64_t end = (item + 1) * j->per_item < j->rows ? (item + 1) * j->per_item : j->rows;
    for (int64_t i = item * j->per_item; i < end; i++) {
        void *row[TAPE__CELL_ARRAYS];
        for (int k = 0; k < TAPE__CELL_ARRAYS; k++)
            row[k] = j->array[k] ? j->array[k] + (size_t)i * j->stride[k] : NULL;
        if (whole)
            j->fn((int64_t)(whole / j->size), row);
        if (whole < j->bytes)
            run_rest(j, row, whole);
    }
}

static void run(struct job *j, const struct tape__parallel *p, int64_t n)
{
    j->per_item = n > 0 && n < ITEM ? ITEM / n : 1;
    tape__parallel_for(p, (j->rows + j->per_item - 1) / j->per_item, run_item, j);
}

static struct job job_of(tape__cell_fn *const *fn, tape_dtype dtype, int64_t rows, int64_t n)
{
    const size_t size = tape_dtype_size(dtype);
    return (struct job){.fn = fn[dtype], .rows = rows, .size = size, .bytes = (size_t)n * size};
}

void tape__cell_forward(const struct tape__cell_kernels *k, bool lstm, tape_dtype dtype, const struct tape__parallel *p,
                        const tape__cell_step *s)
{
    struct job j = job_of(lstm ? k->lstm : k->gru, dtype, s->rows, s->n);
    j.last_out = TAPE__CELL_HIDDEN;
    place_gates(&j, TAPE__CELL_GATES, s->gates);
    place(&j, TAPE__CELL_BEFORE, s->before, j.bytes);
    place(&j, TAPE__CELL_C, s->c, j.bytes);
    place(&j, TAPE__CELL_HIDDEN, s->h, j.bytes);
    run(&j, p, s->n);
}

void tape__cell_backward(const struct tape__cell_kernels *k, bool lstm, tape_dtype dtype,
                         const struct tape__parallel *p, const tape__cell_back *s)
{
    struct job j = job_of(lstm ? k->lstm_back : k->gru_back, dtype, s->rows, s->n);
    j.first_out = TAPE__CELL_G_GATES;
    j.last_out = TAPE__CELL_G_BEFORE;
    place_gates(&j, TAPE__CELL_GATES, s->gates);
    place(&j, TAPE__CELL_BEFORE, s->before, j.bytes);
    place(&j, TAPE__CELL_C, s->c, j.bytes);
    for (int i = 0; i < 2; i++) {
        place(&j, TAPE__CELL_GH + i, s->gh[i], j.bytes);
        place(&j, TAPE__CELL_GC + i, s->gc[i], j.bytes);
    }
    place_gates(&j, TAPE__CELL_G_GATES, s->g_gates);
    place(&j, TAPE__CELL_G_BEFORE, s->g_before, j.bytes);
    run(&j, p, s->n);
}
