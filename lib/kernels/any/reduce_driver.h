/* Knows what the driver of reductions asks of an instruction set; it does not know how that is computed. */
#ifndef TAPE__REDUCE_DRIVER_H
#define TAPE__REDUCE_DRIVER_H

#include "base.h"
#include "kernels/reduce.h"

enum {
    TAPE__REDUCE_BLOCK = 4096, /* elements of a run that are combined lane by lane */
    TAPE__REDUCE_ROWS = 128    /* elements of one column that are combined one after the other, at most */
};

/* X(name, map, combine, neutral, padding): what each element x becomes, given a constant c of the run, how two are
   combined, what changes nothing, and an element that becomes just that: NAN stands for c. */
#define REDUCERS(X)                                                                                                    \
    X(sum, x, add, 0, 0)                                                                                               \
    X(sum_abs, FOR(abs)(x), add, 0, 0)                                                                                 \
    X(sum_squares, x *x, add, 0, 0)                                                                                    \
    X(prod, x, mul, 1, 1)                                                                                              \
    X(max, x, max, -INFINITY, -INFINITY)                                                                               \
    X(min, x, min, INFINITY, INFINITY)                                                                                 \
    X(max_abs, FOR(abs)(x), max, 0, 0)                                                                                 \
    X(deviation, (x - c) * (x - c), add, 0, NAN)                                                                       \
    X(sum_exp, FOR(shifted_exp)(x - c), add, 0, -INFINITY)

enum {
#define ROW(name, map, combine, neutral, padding) REDUCER_##name,
    REDUCERS(ROW)
#undef ROW
        REDUCER_COUNT
};

/* For one dtype. Numbers are doubles, which hold an f32 exactly. `lanes` are two units of partial results. */
struct tape__reduce_kernel {
    tape_dtype dtype;
    /* n elements side by side. */
    double (*run)(int reducer, int64_t n, const void *x, double c);
    void (*clear)(int reducer, void *lanes);
    /* The next n elements of a block; a multiple of two units unless they are its last. */
    void (*take)(int reducer, void *lanes, int64_t n, const void *x, double c);
    double (*fold)(int reducer, const void *lanes);
    /* At most TAPE__REDUCE_ROWS rows, by columns; with a constant for each column where c is given. In the tile and in
       c the last unit ends with the last column, and so may repeat some columns of the unit before it. */
    void (*columns)(int reducer, void *tile, int columns, int rows, const void *const *row, const void *c);
    double (*log)(double x);
    /* Where the first element is that equals the value, or is NaN as it is; n - 1 where none does. */
    int64_t (*find)(const void *x, int64_t n, double value);
};

/* tape__reduce_fn and tape__arg_fn of one kernel. */
void tape__reduce_by(const struct tape__reduce_kernel *k, const struct tape__parallel *p,
                     const tape__reduce_args *args);
void tape__arg_by(const struct tape__reduce_kernel *k, const struct tape__parallel *p, bool minimum, int64_t outer,
                  int64_t n, int64_t inner, const void *x, int64_t *y);

#endif
