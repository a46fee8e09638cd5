/* Knows how reductions over any axes walk memory and share the work; it does not know how a run becomes one number
   (reducer.h), nor tensors.

   A result is made in one of two ways, chosen by the strides alone. As a run: the elements behind it, in row-major
   order, go through a small buffer unless they lie side by side. Or as one lane of a tile of columns, where an axis
   that stays is the one that lies side by side. */
#include "reduce.h"

#include "isa.h"
#include "reducer.h"

enum {
    FEW_ROWS = 8,       /* that pass through a lane of a tile before it is stored */
    ROWS = 128,         /* elements of one column that are combined one after the other */
    TILE = 8,           /* units of columns that are worked on together */
    TILE_DEPTH = 24,    /* 2^24 times ROWS rows in pairs */
    ITEM = 1 << 15,     /* elements of one parallel iteration */
    SEGMENTS = 128,     /* parallel pieces of one long run; pieces are 2^k blocks */
    TILE_SEGMENTS = 16, /* the same for columns: their partial results are larger */
    FEW = 8             /* results: with fewer, each is worked on by all threads */
};

/* The offset of element i, in row-major order. */
static int64_t offset_at(int rank, const int64_t *size, const int64_t *stride, int64_t i)
{
    int64_t at = 0;
    for (int k = rank - 1; k >= 0; k--) {
        at += i % size[k] * stride[k];
        i /= size[k];
    }
    return at;
}

/* A walk over the reduced elements of one result. */
struct cursor {
    const tape__split *split;
    int64_t index[8], at;
};

static struct cursor cursor_at(const tape__split *s, int64_t i)
{
    struct cursor c = {.split = s};
    c.at = offset_at(s->reduced_rank, s->reduced_size, s->reduced_stride, i);
    for (int k = s->reduced_rank - 1; k >= 0; k--) {
        c.index[k] = i % s->reduced_size[k];
        i /= s->reduced_size[k];
    }
    return c;
}

/* n elements along the last axis, at most to its end. */
static void advance(struct cursor *c, int64_t n)
{
    const tape__split *s = c->split;
    int k = s->reduced_rank - 1;
    c->index[k] += n;
    c->at += n * s->reduced_stride[k];
    while (c->index[k] == s->reduced_size[k] && k > 0) {
        c->index[k] = 0;
        c->at -= s->reduced_size[k] * s->reduced_stride[k];
        k--;
        c->index[k]++;
        c->at += s->reduced_stride[k];
    }
}

static int64_t at_most(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t pieces(int64_t n, int64_t piece)
{
    return n / piece + (n % piece != 0);
}

/* The smallest 2^k, at least `least`, of which n make no more than `most` pieces. */
static int64_t piece_of(int64_t n, int64_t least, int64_t most)
{
    int64_t piece = least;
    while (pieces(n, piece) > most)
        piece *= 2;
    return piece;
}

/* The kept axis along which memory is contiguous while it is not along the reduced ones; -1: take runs. */
static int column_axis(const tape__split *s)
{
    if (s->reduced_rank == 0 || s->reduced_stride[s->reduced_rank - 1] == 1)
        return -1;
    for (int k = s->kept_rank - 1; k >= 0; k--)
        if (s->kept_stride[k] == 1 && s->kept_size[k] >= 8)
            return k;
    return -1;
}

#define T f32
#include "reducers_of.h"

#include "columns_of.h"
#include "reduce_of.h"
#undef T
#define T f64
#include "reducers_of.h"

#include "columns_of.h"
#include "reduce_of.h"
#undef T

const struct tape__reduce_kernels TAPE__ISA_SYM(tape__reduce) = {
    .reduce = {reduce_f32, reduce_f64},
    .arg = {arg_f32, arg_f64},
};
