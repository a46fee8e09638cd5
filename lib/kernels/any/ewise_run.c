/* Knows how to bring a run of any length to kernels that see whole units. It does not know layouts or threads. */
#include "ewise_run.h"

#include <string.h>

enum { OPERANDS = TAPE__RUN_OPERANDS, UNIT = TAPE__UNIT_BYTES, BLOCK = TAPE__RUN_BLOCK_BYTES };
_Static_assert(UNIT == 64, "repeat() fills a unit by four stores");

typedef struct unit {
    _Alignas(TAPE__UNIT_BYTES) char bytes[TAPE__UNIT_BYTES];
} unit;

typedef struct block {
    _Alignas(TAPE__UNIT_BYTES) char bytes[TAPE__RUN_BLOCK_BYTES];
} block;

void tape__ewise_repeat(void *to, const void *from, int64_t bytes, int item)
{
    typedef uint64_t pair __attribute__((vector_size(16)));
    uint64_t twice;
    if (item == sizeof(float)) {
        uint32_t bits;
        memcpy(&bits, from, sizeof bits);
        twice = bits * UINT64_C(0x100000001);
    } else {
        memcpy(&twice, from, sizeof twice);
    }
    const pair one = {twice, twice}, whole[UNIT / sizeof(pair)] = {one, one, one, one};
    for (int64_t i = 0; i < bytes; i += UNIT)
        memcpy((char *)to + i, whole, UNIT);
}

/* n elements, less than a unit, by moves of fixed size. */
static void copy_few(char *to, const char *from, int64_t n, int item)
{
    if (item == sizeof(float))
        for (int64_t i = 0; i < n; i++)
            memcpy(to + i * (int64_t)sizeof(float), from + i * (int64_t)sizeof(float), sizeof(float));
    else
        for (int64_t i = 0; i < n; i++)
            memcpy(to + i * (int64_t)sizeof(double), from + i * (int64_t)sizeof(double), sizeof(double));
}

/* Less than a unit: by way of units that are filled up with the last element. */
static void run_part(const tape__ewise_run *run, int64_t n, char *result, const void *const *x)
{
    unit padded[OPERANDS], out, sum;
    const void *from[OPERANDS];
    for (int k = 0; k < OPERANDS; k++) {
        from[k] = x[k];
        if (!x[k] || run->still >> k & 1) /* a buffer of it is long enough */
            continue;
        tape__ewise_repeat(padded[k].bytes, (const char *)x[k] + (n - 1) * run->item, UNIT, run->item);
        copy_few(padded[k].bytes, x[k], n, run->item);
        from[k] = padded[k].bytes;
    }
    tape__ewise_apply(&run->row, (size_t)n, out.bytes, from);
    if (run->add) {
        tape__ewise_repeat(sum.bytes, result, UNIT, run->item);
        copy_few(sum.bytes, result, n, run->item);
        run->add((size_t)n, out.bytes, (const void *const[]){sum.bytes, out.bytes}, NULL);
    }
    copy_few(result, out.bytes, n, run->item);
}

static void run_composed(const tape__ewise_run *run, int64_t n, char *result, const void *const *x)
{
    const int64_t width = tape__per_unit(run->item), rest = n & (width - 1), at = n * run->item - UNIT;
    unit last;
    if (rest) {
        const void *end[OPERANDS];
        for (int k = 0; k < OPERANDS; k++)
            end[k] = tape__beyond(x[k], at);
        tape__ewise_compose(&run->row, (size_t)width, last.bytes, end);
    }
    tape__ewise_compose(&run->row, (size_t)(n - rest), result, x);
    if (rest)
        memcpy(result + at, last.bytes, UNIT);
}

static __attribute__((noinline)) void run_long(const tape__ewise_run *run, int64_t n, char *result,
                                               const void *const *x)
{
    const tape__ewise_row *row = &run->row;
    if (row->value)
        tape__ewise_run_value(row->value, n, run->item, result, x, row->params);
    else if (row->derivative)
        tape__ewise_run_derivative(row->derivative, n, run->item, result, x, row->params);
    else
        run_composed(run, n, result, x);
}

/* In blocks, of which none is less than a unit. */
static void add_long(const tape__ewise_run *run, int64_t n, char *result, const void *const *x)
{
    block term;
    const void *from[OPERANDS];
    const int64_t most = BLOCK / run->item;
    for (int64_t done = 0, m; done < n; done += m) {
        m = n - done <= most ? n - done : n - done < most + tape__per_unit(run->item) ? most / 2 : most;
        for (int k = 0; k < OPERANDS; k++)
            from[k] = tape__beyond(x[k], done * run->item);
        char *sum = result + done * run->item;
        run_long(run, m, term.bytes, from);
        tape__ewise_run_value(run->add, m, run->item, sum, (const void *const[TAPE__EWISE_INPUTS]){sum, term.bytes},
                              NULL);
    }
}

static inline void run_any(const tape__ewise_run *run, int64_t n, char *result, const void *const *x)
{
    if (n * run->item < UNIT)
        run_part(run, n, result, x);
    else if (run->add)
        add_long(run, n, result, x);
    else
        run_long(run, n, result, x);
}

/* Some operands are one element: in blocks, for which a buffer of it is long enough. */
static void run_still(const tape__ewise_run *run, int64_t n, char *result, const void *const *x)
{
    block still[OPERANDS];
    const void *from[OPERANDS], *part[OPERANDS];
    const int64_t most = BLOCK / run->item, m = n < most ? n : most;
    memcpy(from, x, sizeof from);
    for (unsigned left = run->still; left; left &= left - 1) {
        const int k = __builtin_ctz(left);
        if (x[k]) {
            tape__ewise_repeat(still[k].bytes, x[k], m * run->item, run->item);
            from[k] = still[k].bytes;
        }
    }
    run_any(run, m, result, from);
    for (int64_t done = m; done < n; done += most) {
        for (int k = 0; k < OPERANDS; k++)
            part[k] = run->still >> k & 1 || !x[k] ? from[k] : (const char *)x[k] + done * run->item;
        run_any(run, n - done < most ? n - done : most, result + done * run->item, part);
    }
}

void tape__ewise_run_on(const tape__ewise_run *run, int64_t n, void *result,
                        const void *const operand[TAPE__RUN_OPERANDS])
{
    if (run->still)
        run_still(run, n, result, operand);
    else
        run_any(run, n, result, operand);
}
