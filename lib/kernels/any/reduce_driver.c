/* Knows how reductions over any axes walk memory and share the work; it does not know how a run or a few rows of
   columns are reduced (reducers_of.h, columns_of.h), nor tensors.

   A result is made in one of two ways, chosen by the strides alone. As a run: the elements behind it, in row-major
   order, go through a small buffer unless they lie side by side. Or as one lane of a tile of columns, where an axis
   that stays is the one that lies side by side. */
#include "reduce_driver.h"

#include <math.h>
#include <string.h>

#include "base.h"
#include "kernels/kernels.h"
#include "reduce_walk.h"

enum {
    UNIT = TAPE__UNIT_BYTES,
    BLOCK = TAPE__REDUCE_BLOCK,
    ROWS = TAPE__REDUCE_ROWS,
    PIECE = 512,     /* elements of a run that are brought together at once: a divisor of BLOCK */
    TREE_DEPTH = 44, /* 2^44 blocks */
    TILE = 8 * UNIT, /* bytes of columns that are worked on together */
    TILE_DEPTH = 24, /* 2^24 times ROWS rows in pairs */
    ITEM = TAPE__REDUCE_ITEM,
    SEGMENTS = 128,     /* parallel pieces of one long run; pieces are 2^k blocks */
    TILE_SEGMENTS = 16, /* the same for columns: their partial results are larger */
    FEW = 8             /* results: with fewer, each is worked on by all threads */
};

/* How the results of two parts become one: the reducer that two numbers go through as they are. */
static const struct {
    int combine;
    float neutral;
} reducers[] = {
#define REDUCER_add REDUCER_sum
#define REDUCER_mul REDUCER_prod
#define ROW(name, map, combine, neutral, padding) {REDUCER_##combine, neutral},
    REDUCERS(ROW)
#undef ROW
};

enum { NO_PASS = -1 };
static const struct {
    int8_t first, second;
} passes[] = {
#define ONE_PASS(name)                                                                                                 \
    {                                                                                                                  \
        REDUCER_##name, NO_PASS                                                                                        \
    }
    [TAPE__SUM] = ONE_PASS(sum),
    [TAPE__SUM_ABS] = ONE_PASS(sum_abs),
    [TAPE__SUM_SQUARES] = ONE_PASS(sum_squares),
    [TAPE__PROD] = ONE_PASS(prod),
    [TAPE__MAX] = ONE_PASS(max),
    [TAPE__MIN] = ONE_PASS(min),
    [TAPE__MAX_ABS] = ONE_PASS(max_abs),
    [TAPE__MEAN] = ONE_PASS(sum),
    [TAPE__VARIANCE] = {REDUCER_sum, REDUCER_deviation},
    [TAPE__LOGSUMEXP] = {REDUCER_max, REDUCER_sum_exp},
#undef ONE_PASS
};

/* One reduction under way. The second pass, if any, is given what finish_first() makes of the result of the first. */
struct job {
    const struct tape__reduce_kernel *kernel;
    const tape__reduce_args *args;
    const tape__split *split;
    const char *x;
    char *y;
    int64_t size; /* of an element */
    double divisor;
    int first, second;
    int column; /* the axis of the tile, or -1 */
    int64_t column_size, column_y_stride;
    int64_t tile; /* columns */
    int64_t per_item;
    tape__split outer; /* the kept axes but the column */
    int64_t outer_y_stride[8];
};

/* ---- numbers of either dtype ------------------------------------------------------------------------------------- */

/* As many bytes of either. */
#define NUMBERS(bytes)                                                                                                 \
    _Alignas(UNIT) char byte[bytes];                                                                                   \
    float f32[(bytes) / sizeof(float)];                                                                                \
    double f64[(bytes) / sizeof(double)];

static void put(int64_t size, void *x, double value)
{
    if (size == sizeof(float))
        *(float *)x = (float)value;
    else
        *(double *)x = value;
}

/* The result of one operation on numbers of the dtype, rounded to it: for f32 the same as if it had been done in f32.
 */
static double narrow(const struct job *j, double value)
{
    return j->size == sizeof(float) ? (float)value : value;
}

static double combine(const struct job *j, int reducer, double a, double b)
{
    switch (reducers[reducer].combine) {
    case REDUCER_add:
        return narrow(j, a + b);
    case REDUCER_mul:
        return narrow(j, a * b);
    case REDUCER_max:
        return b > a || b != b ? b : a;
    default:
        return b < a || b != b ? b : a;
    }
}

/* What the second pass subtracts. */
static double finish_first(const struct job *j, double value)
{
    if (j->args->reduction == TAPE__VARIANCE)
        return narrow(j, value / narrow(j, (double)j->split->reduced));
    return value - value == 0 ? value : 0;
}

static void finish(const struct job *j, double value, double c, char *y)
{
    if (j->args->reduction == TAPE__LOGSUMEXP)
        value = narrow(j, c + j->kernel->log(value));
    else if (j->args->reduction == TAPE__MEAN || j->args->reduction == TAPE__VARIANCE)
        value = narrow(j, value / j->divisor);
    put(j->size, y, j->args->accumulate ? get(j->size, y) + value : value);
}

/* The results of 2^k parts at part[k], for each bit k of count. */
struct tree {
    uint64_t count;
    double part[TREE_DEPTH];
};

static void push(struct tree *tree, const struct job *j, int reducer, double value)
{
    int k = 0;
    for (uint64_t c = tree->count++; c & 1; c >>= 1)
        value = combine(j, reducer, tree->part[k++], value);
    tree->part[k] = value;
}

static double result_of(const struct tree *tree, const struct job *j, int reducer)
{
    double value = reducers[reducer].neutral;
    bool any = false;
    for (int k = 0; tree->count >> k; k++)
        if (tree->count >> k & 1) {
            value = any ? combine(j, reducer, tree->part[k], value) : tree->part[k];
            any = true;
        }
    return value;
}

/* ---- runs -------------------------------------------------------------------------------------------------------- */

/* Out of line, so that runs that lie side by side do without its frame. */
__attribute__((noinline)) static double reduce_scattered(const struct job *j, int reducer, const char *x, int64_t begin,
                                                         int64_t end, double c)
{
    const tape__split *s = j->split;
    const struct tape__reduce_kernel *kernel = j->kernel;
    struct tree tree = {.count = 0};
    if (begin >= end)
        return result_of(&tree, j, reducer);
    struct cursor cursor = cursor_at(s, begin);
    while (begin < end) {
        union {
            NUMBERS(2 * UNIT)
        } lanes;
        kernel->clear(reducer, &lanes);
        for (int64_t stop = tape__min(end, begin + BLOCK); begin < stop;) {
            union {
                NUMBERS(PIECE * sizeof(double))
            } buffer;
            int64_t n = tape__min(PIECE, stop - begin);
            const void *piece = gather(&cursor, x, j->size, 2 * UNIT / j->size, &n, &buffer);
            kernel->take(reducer, &lanes, n, piece, c);
            begin += n;
        }
        push(&tree, j, reducer, kernel->fold(reducer, &lanes));
    }
    return result_of(&tree, j, reducer);
}

/* Elements [begin, end) of the run that starts at x; begin is a multiple of BLOCK. */
static double reduce_part(const struct job *j, int reducer, const char *x, int64_t begin, int64_t end, double c)
{
    const tape__split *s = j->split;
    if (s->reduced_rank == 0 || (s->reduced_rank == 1 && s->reduced_stride[0] == 1))
        return j->kernel->run(reducer, end - begin, x + begin * j->size, c);
    return reduce_scattered(j, reducer, x, begin, end, c);
}

/* One long run, its pieces in parallel. */
struct long_run {
    const struct job *job;
    int reducer;
    const char *x;
    int64_t piece;
    double c, part[SEGMENTS];
};

static void long_run_item(void *arg, int64_t item)
{
    struct long_run *l = arg;
    int64_t begin = item * l->piece, end = tape__min(l->job->split->reduced, begin + l->piece);
    l->part[item] = reduce_part(l->job, l->reducer, l->x, begin, end, l->c);
}

static double reduce_long_run(const struct tape__parallel *p, const struct job *j, int reducer, const char *x, double c)
{
    int64_t n = j->split->reduced;
    struct long_run l = {.job = j, .reducer = reducer, .x = x, .c = c, .piece = piece_of(n, ITEM, SEGMENTS)};
    tape__parallel_for(p, pieces(n, l.piece), long_run_item, &l);
    struct tree tree = {.count = 0};
    for (int64_t k = 0; k < pieces(n, l.piece); k++)
        push(&tree, j, reducer, l.part[k]);
    return result_of(&tree, j, reducer);
}

/* With p, in parallel pieces. */
static double reduce_run(const struct tape__parallel *p, const struct job *j, int reducer, const char *x, double c)
{
    return p ? reduce_long_run(p, j, reducer, x, c) : reduce_part(j, reducer, x, 0, j->split->reduced, c);
}

static void reduce_result(const struct tape__parallel *p, const struct job *j, int64_t i)
{
    const tape__split *s = j->split;
    const char *x = j->x + offset_at(s->kept_rank, s->kept_size, s->kept_stride, i) * j->size;
    double value = reduce_run(p, j, j->first, x, 0), c = 0;
    if (j->second != NO_PASS) {
        c = finish_first(j, value);
        value = reduce_run(p, j, j->second, x, c);
    }
    finish(j, value, c, j->y + i * j->size);
}

static void run_item(void *arg, int64_t item)
{
    const struct job *j = arg;
    int64_t end = tape__min(j->split->kept, (item + 1) * j->per_item);
    for (int64_t i = item * j->per_item; i < end; i++)
        reduce_result(NULL, j, i);
}

static void reduce_runs(const struct tape__parallel *p, struct job *j)
{
    int64_t kept = j->split->kept, n = j->split->reduced;
    if (kept == 1 && n < 2 * ITEM) {
        reduce_result(NULL, j, 0);
        return;
    }
    if (!p || kept >= FEW || n < 2 * ITEM) {
        j->per_item = n < ITEM ? ITEM / (n > 0 ? n : 1) : 1;
        tape__parallel_for(p, pieces(kept, j->per_item), run_item, j);
        return;
    }
    for (int64_t i = 0; i < kept; i++)
        reduce_result(p, j, i);
}

/* ---- columns ----------------------------------------------------------------------------------------------------- */

/* Partial results of columns. */
union tile {
    NUMBERS(TILE)
};

/* One pass over a tile: the first or the second, whose first row is at x. */
struct tile_pass {
    const struct job *job;
    int reducer, columns;
    const char *x;
    const union tile *c;
    int64_t piece; /* rows of one parallel iteration */
    union tile *part;
};

/* As struct tree, of tiles. What does not fit goes into its top one after the other. */
struct tile_tree {
    uint64_t count;
    union tile part[TILE_DEPTH];
};

static int whole_units(const struct tile_pass *t)
{
    const int width = (int)(UNIT / t->job->size);
    return (t->columns + width - 1) / width * width;
}

/* To value, which stands after a. */
static void combine_tiles(const struct tile_pass *t, const union tile *a, union tile *value)
{
    union tile sum;
    t->job->kernel->columns(reducers[t->reducer].combine, &sum, whole_units(t), 2, (const void *[]){a, value}, NULL);
    memcpy(value, &sum, (size_t)(whole_units(t) * t->job->size));
}

static void push_tile(struct tile_tree *tree, const struct tile_pass *t, union tile *value)
{
    int k = 0;
    uint64_t c = tree->count++;
    for (; (c & 1) && k < TILE_DEPTH - 1; c >>= 1)
        combine_tiles(t, &tree->part[k++], value);
    if (c && k == TILE_DEPTH - 1)
        combine_tiles(t, &tree->part[k], value);
    tree->part[k] = *value;
}

static void result_tile(const struct tile_tree *tree, const struct tile_pass *t, union tile *value)
{
    bool any = false;
    for (int k = 0; k < TILE_DEPTH; k++) {
        uint64_t c = tree->count >> k;
        if (!(k < TILE_DEPTH - 1 ? c & 1 : c))
            continue;
        if (any)
            combine_tiles(t, &tree->part[k], value);
        else
            *value = tree->part[k];
        any = true;
    }
}

/* Rows [begin, end); begin is a multiple of ROWS. */
static void reduce_rows(const struct tile_pass *t, int64_t begin, int64_t end, union tile *value)
{
    const struct job *j = t->job;
    struct tile_tree tree;
    tree.count = 0;
    const bool once = end - begin <= ROWS;
    struct cursor cursor = {.at = 0};
    if (begin < end)
        cursor = cursor_at(j->split, begin);
    do {
        const void *row[ROWS];
        int rows = (int)tape__min(ROWS, end - begin);
        for (int k = 0; k < rows; k++) {
            row[k] = t->x + cursor.at * j->size;
            advance(&cursor, 1);
        }
        j->kernel->columns(t->reducer, value, t->columns, rows, row, t->c);
        if (once)
            return;
        push_tile(&tree, t, value);
        begin += rows;
    } while (begin < end);
    result_tile(&tree, t, value);
}

static void long_tile_item(void *arg, int64_t item)
{
    const struct tile_pass *t = arg;
    int64_t begin = item * t->piece, end = tape__min(t->job->split->reduced, begin + t->piece);
    reduce_rows(t, begin, end, &t->part[item]);
}

/* All rows; with p, in parallel pieces. */
static void run_pass(const struct tape__parallel *p, struct tile_pass *t, union tile *value)
{
    int64_t n = t->job->split->reduced;
    if (!p) {
        reduce_rows(t, 0, n, value);
        return;
    }
    union tile part[TILE_SEGMENTS];
    struct tile_tree tree;
    tree.count = 0;
    t->piece = piece_of(n, ROWS, TILE_SEGMENTS);
    t->part = part;
    tape__parallel_for(p, pieces(n, t->piece), long_tile_item, t);
    for (int64_t k = 0; k < pieces(n, t->piece); k++)
        push_tile(&tree, t, &part[k]);
    result_tile(&tree, t, value);
}

/* Where tile number `item` starts in x and y. A tile narrower than a unit reaches back over `skip` columns of the one
   before it where there is one. */
struct place {
    const char *x;
    char *y;
    int columns, skip;
};

static struct place place_of(const struct job *j, int64_t item)
{
    const int64_t width = UNIT / j->size;
    int64_t across = pieces(j->column_size, j->tile), outer = item ? item / across : 0;
    int64_t first = item % across * j->tile, left = j->column_size - first;
    struct place place = {.columns = (int)tape__min(j->tile, left)};
    if (left < width && first > 0) {
        place.skip = (int)width - place.columns;
        place.columns += place.skip;
        first -= place.skip;
    }
    const tape__split *o = &j->outer;
    place.x = j->x + (first + offset_at(o->kept_rank, o->kept_size, o->kept_stride, outer)) * j->size;
    first *= j->column_y_stride;
    place.y = j->y + (first + offset_at(o->kept_rank, o->kept_size, j->outer_y_stride, outer)) * j->size;
    return place;
}

/* Moves the last unit of a tile to where its columns follow the ones before. */
static void straighten(const struct tile_pass *t, union tile *value)
{
    const int64_t size = t->job->size, last = t->columns * size - UNIT;
    if (last > 0)
        memmove(value->byte + last, value->byte + (last + UNIT - 1) / UNIT * UNIT, UNIT);
}

#define GIVE_COLUMNS(T)                                                                                                \
    static void divide_columns_##T(int64_t n, T *value, T divisor)                                                     \
    {                                                                                                                  \
        for (int64_t i = 0; i < n; i++)                                                                                \
            value[i] /= divisor;                                                                                       \
    }                                                                                                                  \
    static void add_columns_##T(int64_t n, T *y, const T *value)                                                       \
    {                                                                                                                  \
        for (int64_t i = 0; i < n; i++)                                                                                \
            y[i] += value[i];                                                                                          \
    }
GIVE_COLUMNS(float)
GIVE_COLUMNS(double)
#undef GIVE_COLUMNS

/* n results side by side. */
static void give_columns(const struct job *j, int64_t n, char *y, char *value)
{
    if (j->args->reduction == TAPE__MEAN && j->size == sizeof(float))
        divide_columns_float(n, (float *)(void *)value, (float)j->divisor);
    else if (j->args->reduction == TAPE__MEAN)
        divide_columns_double(n, (double *)(void *)value, j->divisor);
    if (!j->args->accumulate)
        memcpy(y, value, (size_t)(n * j->size));
    else if (j->size == sizeof(float))
        add_columns_float(n, (float *)(void *)y, (const float *)(const void *)value);
    else
        add_columns_double(n, (double *)(void *)y, (const double *)(const void *)value);
}

static void finish_tile(const struct job *j, const struct place *place, union tile *value, const union tile *c)
{
    const int skip = place->skip, n = place->columns - skip;
    const int64_t step = j->column_y_stride * j->size;
    char *y = place->y + skip * step;
    if (!c && j->column_y_stride == 1) {
        give_columns(j, n, y, value->byte + skip * j->size);
        return;
    }
    for (int64_t i = 0, at = skip * j->size; i < n; i++, at += j->size)
        finish(j, get(j->size, value->byte + at), c ? get(j->size, c->byte + at) : 0, y + i * step);
}

static void reduce_tile(const struct tape__parallel *p, const struct job *j, int64_t number)
{
    struct place place = place_of(j, number);
    union tile value, c;
    struct tile_pass t = {.job = j, .reducer = j->first, .columns = place.columns, .x = place.x};
    run_pass(p, &t, &value);
    if (j->second != NO_PASS) {
        for (int64_t i = 0; i < whole_units(&t) * j->size; i += j->size)
            put(j->size, c.byte + i, finish_first(j, get(j->size, value.byte + i)));
        t.reducer = j->second;
        t.c = &c;
        run_pass(p, &t, &value);
        straighten(&t, &c);
    }
    straighten(&t, &value);
    finish_tile(j, &place, &value, t.c);
}

static void tile_item(void *arg, int64_t item)
{
    const struct job *j = arg;
    int64_t tiles = j->outer.kept * pieces(j->column_size, j->tile);
    int64_t end = tape__min(tiles, (item + 1) * j->per_item);
    for (int64_t i = item * j->per_item; i < end; i++)
        reduce_tile(NULL, j, i);
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

/* Take the column's axis out of the kept ones. */
static void place_columns(struct job *j)
{
    const tape__split *s = j->split;
    j->outer.kept = 1;
    int64_t y_stride = 1;
    for (int k = s->kept_rank - 1; k >= 0; y_stride *= s->kept_size[k--]) {
        if (k == j->column) {
            j->column_size = s->kept_size[k];
            j->column_y_stride = y_stride;
            continue;
        }
        int to = k - (k > j->column);
        j->outer.kept *= s->kept_size[k];
        j->outer.kept_size[to] = s->kept_size[k];
        j->outer.kept_stride[to] = s->kept_stride[k];
        j->outer_y_stride[to] = y_stride;
    }
    j->outer.kept_rank = s->kept_rank - 1;
}

/* Results do not depend on how wide tiles are, so they may be narrow where there are few. */
static void reduce_columns(const struct tape__parallel *p, struct job *j)
{
    place_columns(j);
    int64_t n = j->split->reduced;
    j->tile = TILE / j->size;
    if (j->outer.kept == 1 && j->column_size <= j->tile && n * j->column_size < 2 * ITEM) {
        reduce_tile(NULL, j, 0);
        return;
    }
    if (p && j->outer.kept * pieces(j->column_size, j->tile) < FEW)
        j->tile /= 4;
    int64_t tiles = j->outer.kept * pieces(j->column_size, j->tile), work = n * tape__min(j->column_size, j->tile);
    if (!p || tiles >= FEW || work < 2 * ITEM) {
        j->per_item = work < ITEM ? ITEM / (work > 0 ? work : 1) : 1;
        tape__parallel_for(p, pieces(tiles, j->per_item), tile_item, j);
        return;
    }
    for (int64_t i = 0; i < tiles; i++)
        reduce_tile(p, j, i);
}

/* A few rows that become one: one tile, walked once. False for anything else. */
static bool reduce_few_rows(const struct job *j)
{
    const tape__split *s = j->split;
    const int64_t bytes = s->kept * j->size, rest = bytes % UNIT;
    if (s->kept_rank != 1 || s->reduced_rank != 1 || s->reduced > FEW || s->reduced_stride[0] == 1 ||
        s->kept_stride[0] != 1 || bytes < UNIT || bytes > TILE || j->second != NO_PASS)
        return false;
    union tile value;
    const void *row[FEW];
    for (int k = 0; k < s->reduced; k++)
        row[k] = j->x + k * s->reduced_stride[0] * j->size;
    j->kernel->columns(j->first, &value, (int)s->kept, (int)s->reduced, row, NULL);
    if (rest)
        memmove(value.byte + bytes - UNIT, value.byte + bytes - rest, UNIT);
    give_columns(j, s->kept, j->y, value.byte);
    return true;
}

void tape__reduce_by(const struct tape__reduce_kernel *k, const struct tape__parallel *p, const tape__reduce_args *args)
{
    struct job j; /* where columns lie is set if there are any */
    j.kernel = k;
    j.args = args;
    j.split = args->split;
    j.x = args->x;
    j.y = args->y;
    double divisor = (double)args->split->reduced;
    if (args->reduction == TAPE__VARIANCE)
        divisor = fmax(0, divisor - args->correction);
    j.size = (int64_t)tape_dtype_size(k->dtype);
    j.divisor = narrow(&j, divisor);
    j.first = passes[args->reduction].first;
    j.second = passes[args->reduction].second;
    if (args->split->kept == 0 || reduce_few_rows(&j))
        return;
    j.column = column_axis(args->split);
    if (j.column >= 0)
        reduce_columns(p, &j);
    else
        reduce_runs(p, &j);
}
