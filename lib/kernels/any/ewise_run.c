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

/* to[k] is operand k from `bytes` on, for a kernel: one that is not read may be NULL, and becomes a pointer that is
   not read either. */
static inline void advance(const void **to, const void *const *x, int64_t bytes)
{
    _Static_assert(OPERANDS == 5, "written out, because the compiler keeps the loop");
    to[0] = (const void *)((uintptr_t)x[0] + (uintptr_t)bytes);
    to[1] = (const void *)((uintptr_t)x[1] + (uintptr_t)bytes);
    to[2] = (const void *)((uintptr_t)x[2] + (uintptr_t)bytes);
    to[3] = (const void *)((uintptr_t)x[3] + (uintptr_t)bytes);
    to[4] = (const void *)((uintptr_t)x[4] + (uintptr_t)bytes);
}

static void add(const tape__ewise_run *run, int64_t n, void *sum, const void *a, const void *b)
{
    run->add((size_t)n, sum, (const void *const[]){a, b}, NULL);
}

/* Up to `bytes`, rounded up to the unit, of the element at `from`. */
static void repeat(char *to, const char *from, int64_t bytes, int item)
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
        memcpy(to + i, whole, UNIT);
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
        repeat(padded[k].bytes, (const char *)x[k] + (n - 1) * run->item, UNIT, run->item);
        copy_few(padded[k].bytes, x[k], n, run->item);
        from[k] = padded[k].bytes;
    }
    tape__ewise_apply(&run->row, (size_t)n, out.bytes, from);
    if (run->add) {
        repeat(sum.bytes, result, UNIT, run->item);
        copy_few(sum.bytes, result, n, run->item);
        add(run, n, out.bytes, sum.bytes, out.bytes);
    }
    copy_few(result, out.bytes, n, run->item);
}

/* Whole units, to be added to the result. */
static void add_whole(const tape__ewise_run *run, int64_t n, char *result, const void *const *x)
{
    block term;
    const void *from[OPERANDS];
    int64_t most = BLOCK / run->item;
    for (int64_t done = 0; done < n; done += most) {
        int64_t m = n - done < most ? n - done : most, at = done * run->item;
        if (done)
            advance(from, x, at);
        tape__ewise_apply(&run->row, (size_t)m, term.bytes, done ? from : x);
        add(run, m, result + at, result + at, term.bytes);
    }
}

/*
 * A unit or more. What is left behind whole units is computed as the unit that ends with the last element: first, while
 * the operands are still there if the result is one of them.
 */
static void run_long(const tape__ewise_run *run, int64_t n, char *result, const void *const *x)
{
    int64_t per_unit = run->item == sizeof(float) ? UNIT / 4 : UNIT / 8, rest = n & (per_unit - 1);
    int64_t at = (n - per_unit) * run->item;
    unit last;
    if (rest) {
        const void *from[OPERANDS];
        advance(from, x, at);
        tape__ewise_apply(&run->row, (size_t)per_unit, last.bytes, from);
        if (run->add)
            add(run, per_unit, last.bytes, result + at, last.bytes);
    }
    if (run->add)
        add_whole(run, n - rest, result, x);
    else
        tape__ewise_apply(&run->row, (size_t)(n - rest), result, x);
    if (rest)
        memcpy(result + at, last.bytes, UNIT);
}

static inline void run_any(const tape__ewise_run *run, int64_t n, char *result, const void *const *x)
{
    if (n * run->item < UNIT)
        run_part(run, n, result, x);
    else
        run_long(run, n, result, x);
}

/* Some operands are one element: in blocks, for which a buffer of it is long enough. */
static void run_still(const tape__ewise_run *run, int64_t n, char *result, const void *const *x)
{
    block still[OPERANDS];
    const void *from[OPERANDS], *part[OPERANDS];
    const int64_t most = BLOCK / run->item, m = n < most ? n : most;
    advance(from, x, 0);
    for (unsigned left = run->still; left; left &= left - 1) {
        const int k = __builtin_ctz(left);
        if (x[k]) {
            repeat(still[k].bytes, x[k], m * run->item, run->item);
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
