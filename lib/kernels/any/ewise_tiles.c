/* Knows how to run a loop of which operands lie transposed: by tiles, into which these are turned. It does not know
   what a kernel computes. */
#include "copy.h"
#include "ewise_loop.h"
#include "whole.h"

enum {
    OPERANDS = TAPE__RUN_OPERANDS,
    LINE = 64,
    ROOM = 16384, /* bytes of all tiles: they stay in the first-level cache, with what the kernel sees beside them */
    LINES = 4,    /* of each column of an operand that a task turns, one after the other: they lie in one page */
    WIDE = 256,   /* bytes of rows that are worth it, and */
    LARGE = 16384 /* of an operand */
};

/* The last axis of the loop is cut into columns of tiles, the one along which the operands are contiguous into rows. */
struct tiles {
    const tape__loop *loop;
    int n, axis, operand[OPERANDS];
    int64_t rows, columns;        /* of a tile */
    int64_t down, across;         /* tasks */
    int64_t dense[TAPE_MAX_RANK]; /* strides of the result */
};

struct room {
    _Alignas(TAPE__UNIT_BYTES) char bytes[ROOM];
};

/* Rows [row, row + m), columns of which the first is the element `begin` of the loop in row 0. */
static void run_tile(const struct tiles *t, tape__loop *loop, tape__buffer *buffers, char *room, int64_t begin,
                     int64_t m, int64_t n)
{
    const int64_t bytes = t->rows * t->columns * (int64_t)loop->item;
    for (int k = 0; k < t->n; k++) {
        const tape__operand *x = &t->loop->operand[t->operand[k]];
        int64_t rest = begin, offset = 0;
        for (int d = loop->rank - 1; d >= 0; d--) {
            offset += rest % loop->size[d] * x->stride[d];
            rest /= loop->size[d];
        }
        tape__copy_turned(loop->item, m, n, room + k * bytes, t->columns, x->data + offset * (int64_t)loop->item,
                          x->stride[loop->rank - 1]);
    }
    for (int64_t i = 0; i < m; i++) {
        const int64_t at = begin + i * t->dense[t->axis];
        for (int k = 0; k < t->n; k++) {
            loop->operand[t->operand[k]].data = room + k * bytes + i * t->columns * (int64_t)loop->item;
            loop->operand[t->operand[k]].origin = at;
        }
        tape__loop_run(loop, buffers, at, n);
    }
}

static void run_task(void *arg, int64_t task)
{
    const struct tiles *t = arg;
    const int last = t->loop->rank - 1;
    tape__buffer buffers[TAPE__LOOP_BUFFERS];
    struct room room;
    tape__loop loop = *t->loop;
    for (int k = 0; k < t->n; k++)
        loop.operand[t->operand[k]].reading = TAPE__DIRECT;
    if (loop.size[last] % loop.unit) /* rows whose lines are not whole */
        loop.past_cache = NULL;
    tape__loop_splat(&loop, buffers, t->columns);
    const int64_t column = task % t->across * t->columns, first = task / t->across % t->down * (LINES * t->rows);
    const int64_t n = tape__min(t->columns, loop.size[last] - column),
                  end = tape__min(loop.size[t->axis], first + LINES * t->rows);
    int64_t begin = column, rest = task / t->across / t->down;
    for (int d = last - 1; d >= 0; d--)
        if (d != t->axis) {
            begin += rest % loop.size[d] * t->dense[d];
            rest /= loop.size[d];
        }
    for (int64_t row = first; row < end; row += t->rows)
        run_tile(t, &loop, buffers, room.bytes, begin + row * t->dense[t->axis], tape__min(t->rows, end - row), n);
    if (loop.past_cache)
        loop.past_cache(loop.result, NULL, 0);
}

/* The axis along which an operand is contiguous while it is far from one column to the next, or -1. */
static int turned_axis(const tape__loop *loop, const tape__operand *x)
{
    const int last = loop->rank - 1;
    const int64_t item = (int64_t)loop->item, near = LINE / item;
    if (x->reading != TAPE__GATHER || x->item != loop->item || (x->stride[last] < near && x->stride[last] > -near))
        return -1;
    for (int d = last - 1; d >= 0; d--)
        if (x->stride[d] == 1 && loop->size[d] * item >= LINE)
            return d;
    return -1;
}

bool tape__loop_by_tiles(const tape__loop *loop, const struct tape__parallel *p)
{
    struct tiles t = {.loop = loop, .axis = -1};
    const int last = loop->rank - 1;
    const int64_t item = (int64_t)loop->item;
    for (int k = 0; k < OPERANDS; k++) {
        const int axis = turned_axis(loop, &loop->operand[k]);
        if (axis >= 0 && (t.axis < 0 || t.axis == axis)) {
            t.axis = axis;
            t.operand[t.n++] = k;
        }
    }
    if (t.axis < 0 || loop->size[last] * item < WIDE || loop->count * item < LARGE)
        return false;
    t.rows = LINE / item;
    t.columns = ROOM / LINE / (t.n > 2 ? 4 : t.n);
    t.across = tape__ceil_div(loop->size[last], t.columns);
    t.down = tape__ceil_div(loop->size[t.axis], LINES * t.rows);
    int64_t tasks = t.across * t.down;
    t.dense[last] = 1;
    for (int d = last - 1; d >= 0; d--) {
        t.dense[d] = t.dense[d + 1] * loop->size[d + 1];
        tasks *= d == t.axis ? 1 : loop->size[d];
    }
    tape__parallel_for(p, tasks, run_task, &t);
    return true;
}
