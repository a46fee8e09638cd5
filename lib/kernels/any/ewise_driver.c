/* Knows how to bring tensors of any layout to kernels that see contiguous whole vectors: broadcasts, strides, tails,
   accumulation and threads. It does not know what a kernel computes. */
#include "ewise_driver.h"

#include <assert.h>
#include <string.h>

#include "ewise_loop.h"

enum {
    OPERANDS = TAPE__RUN_OPERANDS,
    VALUE = -1,                /* instead of a derivative's input */
    OUTPUT = TAPE__RUN_OUTPUT, /* y, as an operand of a derivative */
    ADJOINT = TAPE__RUN_ADJOINT,
    BLOCK_BYTES = TAPE__RUN_BLOCK_BYTES,
    ROW_TASKS = 16, /* rows from which threads share them by rows */
    CHUNK = 16384,  /* elements a thread takes at a time */
    SERIAL = TAPE__EWISE_SERIAL,
    PAST_CACHE_BLOCK = 512, /* short: the processor then works out the next one while it stores the last */
    FEW = 16                /* up to here a loop of moves costs less than a call of memcpy */
};

static void call(const tape__loop *loop, size_t n, void *result, const void *const *data)
{
    const tape__ewise_row *row = &loop->row;
    if (loop->mask >= 0)
        (row->dtype <= TAPE_F64 ? row->kernels->ewise->mask : tape__ewise_mask_int)(loop->mask, row->dtype, n, result,
                                                                                    data);
    else
        tape__ewise_apply(row, n, result, data);
}

/* stride in bytes. The compiler knows each size, so that nothing is called for a single element. */
static void copy_items(char *to, const char *from, int64_t n, size_t item, int64_t stride)
{
    if (item == sizeof(float)) {
        for (int64_t i = 0; i < n; i++)
            memcpy(to + i * (int64_t)sizeof(float), from + i * stride, sizeof(float));
    } else if (item == sizeof(double)) {
        for (int64_t i = 0; i < n; i++)
            memcpy(to + i * (int64_t)sizeof(double), from + i * stride, sizeof(double));
    } else {
        for (int64_t i = 0; i < n; i++)
            to[i] = from[i * stride];
    }
}

/* n times the element at `from`, which may be the first of them. */
static void repeat(char *to, const char *from, int64_t n, size_t item)
{
    if (item == sizeof(float)) {
        float x;
        memcpy(&x, from, sizeof x);
        for (int64_t i = 0; i < n; i++)
            memcpy(to + i * (int64_t)sizeof x, &x, sizeof x);
    } else if (item == sizeof(double)) {
        double x;
        memcpy(&x, from, sizeof x);
        for (int64_t i = 0; i < n; i++)
            memcpy(to + i * (int64_t)sizeof x, &x, sizeof x);
    } else {
        memset(to, *from, (size_t)n);
    }
}

static void copy_run(char *to, const char *from, int64_t n, size_t item, int64_t stride)
{
    if (stride == 0)
        repeat(to, from, n, item);
    else if (stride == 1 && n > FEW)
        memcpy(to, from, (size_t)n * item);
    else
        copy_items(to, from, n, item, stride * (int64_t)item);
}

static void condition_run(char *to, const char *from, int64_t n, size_t item, int64_t stride)
{
    if (item == sizeof(float)) {
        for (int64_t i = 0; i < n; i++) {
            float truth = from[i * stride] != 0;
            memcpy(to + i * (int64_t)sizeof truth, &truth, sizeof truth);
        }
    } else {
        for (int64_t i = 0; i < n; i++) {
            double truth = from[i * stride] != 0;
            memcpy(to + i * (int64_t)sizeof truth, &truth, sizeof truth);
        }
    }
}

static void fetch_run(char *to, const tape__operand *x, int64_t offset, int64_t n, size_t item, int64_t stride)
{
    const char *from = x->data + offset * (int64_t)x->item;
    if (x->item == item)
        copy_run(to, from, n, item, stride);
    else
        condition_run(to, from, n, item, stride);
}

/* Elements [begin, begin + n) of x in the order of the loop. */
static void gather(const tape__loop *loop, const tape__operand *x, char *to, int64_t begin, int64_t n)
{
    int64_t index[TAPE_MAX_RANK], offset = 0;
    for (int d = loop->rank - 1; d >= 0; d--) {
        index[d] = begin % loop->size[d];
        begin /= loop->size[d];
        offset += index[d] * x->stride[d];
    }
    const int last = loop->rank - 1;
    while (n > 0) {
        int64_t run = loop->size[last] - index[last];
        if (run > n)
            run = n;
        fetch_run(to, x, offset, run, loop->item, x->stride[last]);
        to += run * (int64_t)loop->item;
        n -= run;
        index[last] += run;
        offset += run * x->stride[last];
        for (int d = last; d > 0 && index[d] == loop->size[d]; d--) {
            offset += x->stride[d - 1] - index[d] * x->stride[d];
            index[d] = 0;
            index[d - 1]++;
        }
    }
}

/* Repeats element n - 1 up to the end of its unit. */
static void pad(const tape__loop *loop, tape__buffer *buffer, int64_t n)
{
    char *end = buffer->bytes + n * (int64_t)loop->item;
    repeat(end, end - loop->item, -n & (loop->unit - 1), loop->item);
}

static void splat(const tape__loop *loop, const tape__operand *x, tape__buffer *buffer, int64_t n)
{
    fetch_run(buffer->bytes, x, 0, 1, loop->item, 1);
    repeat(buffer->bytes, buffer->bytes, (n + loop->unit - 1) & -loop->unit, loop->item);
}

/* Elements [begin, begin + n), at most a block of them if anything is buffered. A part of a unit is always buffered, so
   that nothing outside the operands is touched. */
static void run_block(const tape__loop *loop, tape__buffer *buffers, int64_t begin, int64_t n, bool part)
{
    const void *data[OPERANDS] = {NULL};
    for (int k = 0; k < OPERANDS; k++) {
        const tape__operand *x = &loop->operand[k];
        if (x->reading == TAPE__ABSENT)
            continue;
        data[k] = buffers[k].bytes;
        if (x->reading == TAPE__GATHER)
            gather(loop, x, buffers[k].bytes, begin, n);
        else if (x->reading == TAPE__DIRECT && part)
            copy_run(buffers[k].bytes, x->data + (begin - x->origin) * (int64_t)loop->item, n, loop->item, 1);
        else if (x->reading == TAPE__DIRECT)
            data[k] = x->data + (begin - x->origin) * (int64_t)loop->item;
        if (part && x->reading != TAPE__SPLAT)
            pad(loop, &buffers[k], n);
    }
    char *result = loop->result + begin * (int64_t)loop->result_item, *scratch = buffers[OPERANDS].bytes;
    if (!part && !loop->add && !loop->past_cache) {
        call(loop, (size_t)n, result, data);
        return;
    }
    call(loop, (size_t)n, scratch, data);
    if (!part && !loop->add) {
        loop->past_cache(result, scratch, (size_t)n * loop->result_item);
    } else if (!loop->add) {
        copy_run(result, scratch, n, loop->result_item, 1);
    } else if (!part) {
        loop->add((size_t)n, result, (const void *const[]){result, scratch}, NULL);
    } else {
        char *sum = buffers[0].bytes;
        copy_run(sum, result, n, loop->item, 1);
        pad(loop, &buffers[0], n);
        loop->add((size_t)n, sum, (const void *const[]){sum, scratch}, NULL);
        copy_run(result, sum, n, loop->item, 1);
    }
}

void tape__loop_run(const tape__loop *loop, tape__buffer *buffers, int64_t begin, int64_t n)
{
    const int64_t part = n & (loop->unit - 1);
    if (n > part)
        run_block(loop, buffers, begin, n - part, false);
    if (part)
        run_block(loop, buffers, begin + n - part, part, true);
}

void tape__loop_splat(const tape__loop *loop, tape__buffer *buffers, int64_t n)
{
    for (int k = 0; k < OPERANDS; k++)
        if (loop->operand[k].reading == TAPE__SPLAT)
            splat(loop, &loop->operand[k], &buffers[k], n);
}

static void run_range(const tape__loop *loop, int64_t begin, int64_t end)
{
    tape__buffer buffers[TAPE__LOOP_BUFFERS];
    const int64_t part = (end - begin) & (loop->unit - 1);
    int64_t block = (loop->past_cache ? PAST_CACHE_BLOCK : BLOCK_BYTES) / TAPE__UNIT_BYTES * loop->unit;
    bool buffered = loop->add || loop->past_cache;
    for (int k = 0; k < OPERANDS; k++) {
        const tape__operand *x = &loop->operand[k];
        buffered |= x->reading == TAPE__SPLAT || x->reading == TAPE__GATHER;
    }
    tape__loop_splat(loop, buffers, end - begin < block ? end - begin : block);
    if (!buffered)
        block = loop->count;
    const int64_t whole = end - part;
    while (begin < whole) {
        int64_t n = whole - begin < block ? whole - begin : block;
        run_block(loop, buffers, begin, n, false);
        begin += n;
    }
    if (part)
        run_block(loop, buffers, begin, part, true);
    if (loop->past_cache)
        loop->past_cache(loop->result, NULL, 0);
}

static void run_chunk(void *arg, int64_t i)
{
    const tape__loop *loop = arg;
    int64_t begin = i * CHUNK, end = begin + CHUNK;
    run_range(loop, begin, end < loop->count ? end : loop->count);
}

static void add_operand(tape__loop *loop, int rank, const int64_t *size, int k, const void *data, size_t item,
                        const int64_t *stride)
{
    tape__operand *x = &loop->operand[k];
    x->data = data;
    x->item = item;
    x->origin = 0;
    if (!data)
        return;
    bool dense = item == loop->item, still = true;
    int64_t step = 1;
    for (int d = rank - 1; d >= 0; d--) {
        if (size[d] == 1)
            continue;
        dense &= stride[d] == step;
        still &= stride[d] == 0;
        step *= size[d];
    }
    x->reading = still ? TAPE__SPLAT : dense ? TAPE__DIRECT : TAPE__GATHER;
    if (step == 1 && item == loop->item)
        x->reading = TAPE__DIRECT;
    if (x->reading == TAPE__GATHER)
        memcpy(x->stride, stride, (size_t)rank * sizeof *stride);
}

/* Merges axes that every gathered operand walks through as if they were one. */
static void collapse(tape__loop *loop, tape__operand *const *gathered, int n, int rank, const int64_t *size)
{
    int axes = 0;
    for (int d = 0; d < rank; d++) {
        if (size[d] == 1)
            continue;
        bool merges = axes > 0;
        for (int k = 0; k < n && merges; k++)
            merges = gathered[k]->stride[axes - 1] == gathered[k]->stride[d] * size[d];
        axes += !merges;
        loop->size[axes - 1] = merges ? loop->size[axes - 1] * size[d] : size[d];
        for (int k = 0; k < n; k++)
            gathered[k]->stride[axes - 1] = gathered[k]->stride[d];
    }
    loop->rank = axes;
}

static int64_t product(int rank, const int64_t *size)
{
    int64_t n = 1;
    for (int d = 0; d < rank; d++)
        n *= size[d];
    return n;
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

/* A loop whose last axis is a run for every operand. */
struct rows {
    const tape__loop *loop;
    tape__ewise_run run;
    int64_t n, rows, per_task;
};

static void run_one_row(const struct rows *r, int64_t row)
{
    const tape__loop *loop = r->loop;
    const void *data[OPERANDS];
    for (int k = 0; k < OPERANDS; k++) {
        const tape__operand *x = &loop->operand[k];
        int64_t offset = x->reading == TAPE__DIRECT ? row * r->n : 0, rest = row;
        for (int d = loop->rank - 2; x->reading == TAPE__GATHER && d >= 0; d--) {
            offset += rest % loop->size[d] * x->stride[d];
            rest /= loop->size[d];
        }
        data[k] = x->reading == TAPE__ABSENT ? NULL : x->data + offset * r->run.item;
    }
    tape__ewise_run_on(&r->run, r->n, loop->result + row * r->n * r->run.item, data);
}

static void run_row_task(void *arg, int64_t task)
{
    const struct rows *r = arg;
    for (int64_t row = task * r->per_task; row < r->rows && row < (task + 1) * r->per_task; row++)
        run_one_row(r, row);
}

/* False where the last axis is too short for that, or a stride in it is neither 0 nor 1. */
static bool run_by_rows(const tape__loop *loop, const struct tape__parallel *p)
{
    struct rows r = {.loop = loop, .n = loop->size[loop->rank - 1]};
    r.run = (tape__ewise_run){loop->row, loop->add, (int)loop->item, 0};
    r.rows = loop->count / r.n;
    if (loop->mask >= 0 || r.n * r.run.item < TAPE__UNIT_BYTES || (p && r.rows < ROW_TASKS))
        return false;
    for (int k = 0; k < OPERANDS; k++) {
        const tape__operand *x = &loop->operand[k];
        int64_t stride = x->reading == TAPE__GATHER ? x->stride[loop->rank - 1] : x->reading == TAPE__SPLAT ? 0 : 1;
        if (x->reading != TAPE__ABSENT && (x->item != loop->item || stride < 0 || stride > 1))
            return false;
        r.run.still |= x->reading == TAPE__ABSENT ? 0 : (unsigned)(stride == 0) << k;
    }
    r.per_task = r.n < CHUNK ? (CHUNK + r.n - 1) / r.n : 1;
    tape__parallel_for(p, (r.rows + r.per_task - 1) / r.per_task, run_row_task, &r);
    return true;
}

static void run(tape__loop *loop, const struct tape__kernels *kernels, int rank, const int64_t *size,
                const struct tape__parallel *p)
{
    tape__operand *gathered[OPERANDS];
    int n = 0;
    for (int k = 0; k < OPERANDS; k++)
        if (loop->operand[k].reading == TAPE__GATHER)
            gathered[n++] = &loop->operand[k];
    if (loop->count == 0)
        return;
    const struct tape__parallel *threads = loop->count >= SERIAL ? p : NULL;
    if (n > 0) {
        collapse(loop, gathered, n, rank, size);
        if (run_by_rows(loop, threads))
            return;
    }
    bool large = loop->count * (int64_t)loop->result_item >= TAPE__PAST_CACHE_BYTES;
    if (large && !loop->add && loop->result_item == loop->item && (uintptr_t)loop->result % TAPE__UNIT_BYTES == 0)
        loop->past_cache = kernels->past_cache;
    if (n > 0 && tape__loop_by_tiles(loop, threads))
        return;
    if (threads)
        tape__parallel_for(threads, (loop->count + CHUNK - 1) / CHUNK, run_chunk, loop);
    else
        run_range(loop, 0, loop->count);
}

/* ---- loops ------------------------------------------------------------------------------------------------------- */

/* The strides and sizes stay unset: most loops gather nothing, and zeroing them would cost more than a small loop. */
static void start(tape__loop *loop, int rank, const int64_t *size, void *result, size_t item)
{
    loop->mask = -1;
    loop->add = NULL;
    loop->past_cache = NULL;
    loop->result = result;
    loop->item = loop->result_item = item;
    loop->unit = item == sizeof(float)    ? TAPE__UNIT_BYTES / 4
                 : item == sizeof(double) ? TAPE__UNIT_BYTES / 8
                                          : TAPE__UNIT_BYTES;
    loop->count = product(rank, size);
    for (int k = 0; k < OPERANDS; k++)
        loop->operand[k].reading = TAPE__ABSENT;
}

static void add_inputs(tape__loop *loop, int n, int rank, const int64_t *size, const void *const *x,
                       const int64_t *const *x_stride, bool condition)
{
    for (int k = 0; k < n; k++)
        add_operand(loop, rank, size, k, x[k], condition && k == 0 ? 1 : loop->item, x_stride[k]);
}

static size_t real_size(int dtype)
{
    assert(dtype == TAPE_F32 || dtype == TAPE_F64);
    return dtype == TAPE_F32 ? sizeof(float) : sizeof(double);
}

/* A flat loop that threads share. */
struct flat {
    tape__ewise_run run;
    int64_t n;
    char *result;
    const void *const *x;
};

static void run_flat_chunk(void *arg, int64_t i)
{
    const struct flat *flat = arg;
    const void *x[OPERANDS];
    int64_t begin = i * CHUNK, n = flat->n - begin < CHUNK ? flat->n - begin : CHUNK, at = begin * flat->run.item;
    for (int k = 0; k < OPERANDS; k++)
        x[k] = flat->x[k] && !(flat->run.still >> k & 1) ? (const char *)flat->x[k] + at : flat->x[k];
    tape__ewise_run_on(&flat->run, n, flat->result + at, x);
}

static void run_flat(const tape__ewise_row *row, tape__ewise_value_fn *add, const struct tape__parallel *p, int64_t n,
                     unsigned still, void *result, const void *const *x)
{
    if (p && n >= SERIAL) {
        struct flat flat = {{*row, add, (int)real_size(row->dtype), still}, n, result, x};
        tape__parallel_for(p, (n + CHUNK - 1) / CHUNK, run_flat_chunk, &flat);
    } else if (n > 0) {
        tape__ewise_run_on(&(tape__ewise_run){*row, add, (int)real_size(row->dtype), still}, n, result, x);
    }
}

/* A unit or more, and too few for threads. */
static bool is_brief(int64_t n, int dtype)
{
    return n < SERIAL && n * (int64_t)real_size(dtype) >= TAPE__UNIT_BYTES;
}

static inline void set_operands(const void **operand, int ew, const void *const *x, const void *y, const void *g)
{
    const int inputs = tape__ewise_inputs(ew);
    operand[0] = x[0];
    operand[1] = inputs > 1 ? x[1] : NULL;
    operand[2] = inputs > 2 ? x[2] : NULL;
    operand[OUTPUT] = y;
    operand[ADJOINT] = g;
}

void tape__ewise_flat_value_of_any(const struct tape__kernels *kernels, const struct tape__parallel *p, int ew,
                                   int dtype, int64_t n, unsigned still, void *y, const void *const *x,
                                   const double *params)
{
    tape__ewise_value_fn *const kernel = kernels->ewise->value[ew][dtype];
    const void *operand[OPERANDS];
    set_operands(operand, ew, x, NULL, NULL);
    if (kernel && !still && is_brief(n, dtype)) {
        tape__ewise_run_value(kernel, n, (int)real_size(dtype), y, operand, params);
        return;
    }
    const tape__ewise_row row = tape__ewise_row_of(kernels, params, ew, VALUE, dtype);
    run_flat(&row, NULL, p, n, still, y, operand);
}

void tape__ewise_flat_derivative_of_any(const struct tape__kernels *kernels, const struct tape__parallel *p, int ew,
                                        int i, int dtype, int64_t n, unsigned still, void *gx, bool accumulate,
                                        const void *g, const void *const *x, const void *y, const double *params)
{
    tape__ewise_value_fn *const add = accumulate ? kernels->ewise->value[TAPE__EW_add][dtype] : NULL;
    tape__ewise_derivative_fn *const kernel = tape__ewise_derivative_kernel(kernels->ewise, ew, i, dtype);
    const void *operand[OPERANDS];
    set_operands(operand, ew, x, y, g);
    if (kernel && !still && is_brief(n, dtype) && (!add || tape__ewise_bytes(dtype, n) <= TAPE__EWISE_SHORT)) {
        _Alignas(TAPE__UNIT_BYTES) char term[TAPE__EWISE_SHORT];
        const int item = (int)real_size(dtype);
        tape__ewise_run_derivative(kernel, n, item, add ? term : gx, operand, params);
        if (add)
            tape__ewise_run_value(add, n, item, gx, (const void *const[]){gx, term, NULL}, NULL);
        return;
    }
    const tape__ewise_row row = tape__ewise_row_of(kernels, params, ew, i, dtype);
    run_flat(&row, add, p, n, still, gx, operand);
}

void tape__ewise_value(const struct tape__kernels *kernels, const struct tape__parallel *p, int ew, int dtype, int rank,
                       const int64_t *size, void *y, const void *const *x, const int64_t *const *x_stride,
                       const double *params)
{
    tape__loop loop;
    start(&loop, rank, size, y, real_size(dtype));
    loop.row = tape__ewise_row_of(kernels, params, ew, VALUE, dtype);
    add_inputs(&loop, tape__ewise_inputs(ew), rank, size, x, x_stride, ew == TAPE__EW_where);
    run(&loop, kernels, rank, size, p);
}

void tape__ewise_derivative(const struct tape__kernels *kernels, const struct tape__parallel *p, int ew, int i,
                            int dtype, int rank, const int64_t *size, void *gx, bool accumulate, const void *g,
                            const int64_t *g_stride, const void *const *x, const int64_t *const *x_stride,
                            const void *y, const double *params)
{
    tape__loop loop;
    start(&loop, rank, size, gx, real_size(dtype));
    loop.row = tape__ewise_row_of(kernels, params, ew, i, dtype);
    loop.add = accumulate ? kernels->ewise->value[TAPE__EW_add][dtype] : NULL;
    add_inputs(&loop, tape__ewise_inputs(ew), rank, size, x, x_stride, ew == TAPE__EW_where);
    if (y) {
        loop.operand[OUTPUT].data = y;
        loop.operand[OUTPUT].item = loop.item;
        loop.operand[OUTPUT].origin = 0;
        loop.operand[OUTPUT].reading = TAPE__DIRECT;
    }
    add_operand(&loop, rank, size, ADJOINT, g, loop.item, g_stride);
    run(&loop, kernels, rank, size, p);
}

void tape__ewise_mask(const struct tape__kernels *kernels, const struct tape__parallel *p, int ewm, int dtype, int rank,
                      const int64_t *size, unsigned char *mask, const void *const *x, const int64_t *const *x_stride)
{
    tape__loop loop;
    start(&loop, rank, size, mask, tape_dtype_size((tape_dtype)dtype));
    loop.row = (tape__ewise_row){.kernels = kernels, .dtype = dtype};
    loop.mask = ewm;
    loop.result_item = 1;
    add_inputs(&loop, tape__ewise_mask_inputs(ewm), rank, size, x, x_stride, false);
    run(&loop, kernels, rank, size, p);
}
