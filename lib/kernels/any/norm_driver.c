/* Knows how the rows of normalisations are shared among threads, and the sums of their gradients; it does not know how
   a row is computed. */
#include "norm_driver.h"

#include <string.h>

enum { ITEM = 1 << 14 /* elements of one parallel iteration */ };

static int64_t rows_per_item(int64_t n)
{
    return n > 0 && n < ITEM ? ITEM / n : 1;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

struct job {
    const struct tape__norm_kernel *k;
    const tape__norm_args *args;
    bool centred;
    enum giving giving;
    int64_t per_item;
};

static void run_item(void *arg, int64_t item)
{
    const struct job *j = arg;
    const int64_t end = least((item + 1) * j->per_item, j->args->rows);
    for (int64_t row = item * j->per_item; row < end; row++)
        j->k->row(j->args, j->centred, row, j->giving);
    end_giving(j->giving);
}

void tape__norm_by(const struct tape__norm_kernel *k, const struct tape__parallel *p, const tape__norm_args *args,
                   bool centred)
{
    const enum giving giving = giving_of(k->item, args->y, args->rows, args->n, false, args->y == args->x);
    struct job j = {k, args, centred, giving, rows_per_item(args->n)};
    tape__parallel_for(p, (args->rows + j.per_item - 1) / j.per_item, run_item, &j);
}

struct back_job {
    const struct tape__norm_kernel *k;
    const tape__norm_vjp_args *v;
    enum giving giving;
    int64_t block, blocks, per_item; /* rows of a block; blocks; those of one parallel iteration */
    int64_t tile;                    /* columns that are folded together */
    size_t row, sums;                /* bytes of a row of sums, and of a block's; 0: there are none */
};

static void block_back(const struct back_job *j, int64_t number)
{
    const tape__norm_vjp_args *v = j->v;
    const int64_t first = number * j->block, end = least(first + j->block, v->rows);
    if (!j->sums) {
        for (int64_t row = first; row < end; row++)
            j->k->row_back(v, row, j->giving);
        return;
    }
    char *sums = (char *)v->work + (size_t)number * j->sums;
    memset(sums, 0, j->sums);
    for (int64_t row = first; row < end; row += TAPE__NORM_FEW_ROWS)
        j->k->rows_back(v, row, (int)least(end - row, TAPE__NORM_FEW_ROWS), sums, j->giving);
}

static void back_item(void *arg, int64_t item)
{
    const struct back_job *j = arg;
    const int64_t end = least((item + 1) * j->per_item, j->blocks);
    for (int64_t number = item * j->per_item; number < end; number++)
        block_back(j, number);
    end_giving(j->giving);
}

/* The sums of all blocks in a tile of columns. */
static void fold_item(void *arg, int64_t item)
{
    const struct back_job *j = arg;
    const tape__norm_vjp_args *v = j->v;
    const int64_t first = item / 2 * j->tile, end = least(first + j->tile, v->n);
    const bool second = item % 2;
    void *y = second ? v->gb : v->gw;
    if (y)
        j->k->fold((const char *)v->work + (second ? j->row : 0), j->blocks, (int64_t)(j->sums / j->k->item), v->n,
                   first, end, y, (second ? v->add_gb : v->add_gw) ? ADD : STORE);
}

void tape__norm_back_by(const struct tape__norm_kernel *k, const struct tape__parallel *p, const tape__norm_vjp_args *v)
{
    struct back_job j = {.k = k, .v = v, .block = rows_per_item(v->n), .per_item = 1};
    const bool sums = v->gw || v->gb;
    if (!sums && !v->gx)
        return;
    j.giving = v->gx ? giving_of(k->item, v->gx, v->rows, v->n, v->add_gx, v->gx == v->g) : STORE;
    if (sums) {
        j.row = ((size_t)v->n * k->item + TAPE__UNIT_BYTES - 1) / TAPE__UNIT_BYTES * TAPE__UNIT_BYTES;
        j.sums = 2 * j.row;
        j.per_item = rows_per_item(v->n) / tape__norm_block(v->rows);
        j.per_item += j.per_item == 0;
        j.block = tape__norm_block(v->rows);
    }
    j.blocks = (v->rows + j.block - 1) / j.block;
    tape__parallel_for(p, (j.blocks + j.per_item - 1) / j.per_item, back_item, &j);
    j.tile = TAPE__NORM_TILE * TAPE__UNIT_BYTES / (int64_t)k->item;
    if (sums)
        tape__parallel_for(v->rows * v->n < ITEM ? NULL : p, 2 * ((v->n + j.tile - 1) / j.tile), fold_item, &j);
}
