/* Runs the program of a formula (ewise_code.h) on short strips of its arrays, each term by its own row's kernel, so
   that a rarely used row costs bytes of code instead of kilobytes. It does not know the formulas. */
#include "ewise_compose.h"

#include <assert.h>
#include <string.h>

#include "ewise_code.h"

enum {
    STRIP_BYTES = 512, /* of an intermediate result; all of them stay in the first-level cache */
    BUFFERS = 20       /* the most that a program of elementwise.def has alive, and some to spare */
};

struct machine {
    const struct tape__kernels *kernels;
    int dtype;
    size_t n, bytes; /* elements of the strip, and bytes of its whole units */
    const void *x[TAPE__EWISE_INPUTS], *y;
    const double *params, *numbers;
    double order; /* of the next term that has one */
    int depth, used;
    const void *stack[TAPE__CODE_DEPTH], *local[TAPE__CODE_LOCALS];
    char *place[TAPE__CODE_DEPTH]; /* where results at this depth of the stack go; NULL: nowhere yet */
    struct buffer {
        _Alignas(TAPE__UNIT_BYTES) char bytes[STRIP_BYTES];
    } buffer[BUFFERS];
};

static char *place_at(struct machine *m, int depth)
{
    if (!m->place[depth]) {
        assert(m->used < BUFFERS);
        m->place[depth] = m->buffer[m->used++].bytes;
    }
    return m->place[depth];
}

static void push(struct machine *m, const void *x)
{
    assert(m->depth < TAPE__CODE_DEPTH);
    m->stack[m->depth++] = x;
}

static void push_number(struct machine *m, double number)
{
    typedef float quad __attribute__((vector_size(16)));
    typedef double pair __attribute__((vector_size(16)));
    char *to = place_at(m, m->depth);
    const float single = (float)number;
    const quad four = {single, single, single, single};
    const pair two = {number, number};
    for (size_t at = 0; at < m->bytes; at += 16)
        memcpy(to + at, m->dtype == TAPE_F32 ? (const void *)&four : (const void *)&two, 16);
    push(m, to);
}

/* The row's value for what is on top of the stack takes its place; `swapped`: for two, in the other order. */
static void apply(struct machine *m, int ew, bool swapped, void *result)
{
    const int inputs = tape__ewise_inputs(ew);
    m->depth -= inputs;
    const void **x = m->stack + m->depth;
    if (swapped) {
        const void *first = x[0];
        x[0] = x[1];
        x[1] = first;
    }
    void *to = result ? result : place_at(m, m->depth);
    tape__ewise_value_fn *kernel = m->kernels->ewise->value[ew][m->dtype];
    assert(kernel);
    kernel(m->n, to, x, &m->order);
    push(m, to);
}

static void negate(struct machine *m)
{
    push_number(m, 0);
    apply(m, TAPE__EW_eq_real, false, NULL);
}

/* Masks are numbers here: 1 where they hold, else 0. */
static void apply_mask(struct machine *m, int instruction)
{
    switch (instruction) {
    case TAPE__CODE_EQ:
        apply(m, TAPE__EW_eq_real, false, NULL);
        break;
    case TAPE__CODE_NE:
        apply(m, TAPE__EW_eq_real, false, NULL);
        negate(m);
        break;
    case TAPE__CODE_LT:
    case TAPE__CODE_GT:
        apply(m, TAPE__EW_lt_real, instruction == TAPE__CODE_GT, NULL);
        break;
    case TAPE__CODE_LE:
    case TAPE__CODE_GE:
        apply(m, TAPE__EW_le_real, instruction == TAPE__CODE_GE, NULL);
        break;
    case TAPE__CODE_ISNAN:
        push(m, m->stack[m->depth - 1]);
        apply(m, TAPE__EW_eq_real, false, NULL);
        negate(m);
        break;
    case TAPE__CODE_AND:
        apply(m, TAPE__EW_mul, false, NULL);
        break;
    case TAPE__CODE_OR:
        apply(m, TAPE__EW_maximum, false, NULL);
        break;
    default:
        negate(m);
    }
}

/* Pops into a local. Its buffer goes with it. */
static void store(struct machine *m, int local)
{
    m->local[local] = m->stack[--m->depth];
    if (m->local[local] == m->place[m->depth])
        m->place[m->depth] = NULL;
}

static void push_operand(struct machine *m, int instruction)
{
    if (instruction >= TAPE__CODE_LOCAL)
        push(m, m->local[instruction - TAPE__CODE_LOCAL]);
    else if (instruction == TAPE__CODE_NUMBER)
        push_number(m, *m->numbers++);
    else if (instruction >= TAPE__CODE_ZERO)
        push_number(m, instruction - TAPE__CODE_ZERO);
    else if (instruction >= TAPE__CODE_P)
        push_number(m, m->params[instruction - TAPE__CODE_P]);
    else
        push(m, instruction == TAPE__CODE_Y ? m->y : m->x[instruction - TAPE__CODE_X]);
}

/* The formula's value for one strip: in `result`, unless that is NULL or the last instruction computes nothing. */
static const void *run(struct machine *m, tape__ewise_code program, void *result)
{
    m->depth = m->used = 0;
    m->numbers = program.numbers;
    memset(m->place, 0, sizeof m->place);
    for (const uint8_t *at = program.code; *at != TAPE__CODE_END; at++) {
        void *to = at[1] == TAPE__CODE_END ? result : NULL;
        if (*at >= TAPE__CODE_OP)
            apply(m, *at - TAPE__CODE_OP, false, to);
        else if (*at == TAPE__CODE_SEL)
            apply(m, TAPE__EW_where, false, to);
        else if (*at >= TAPE__CODE_EQ)
            apply_mask(m, *at);
        else if (*at == TAPE__CODE_STORE)
            store(m, *++at - TAPE__CODE_LOCAL);
        else if (*at == TAPE__CODE_WHOLE || *at == TAPE__CODE_ORDER)
            m->order = *m->numbers++ + (*at == TAPE__CODE_ORDER ? m->params[0] : 0);
        else
            push_operand(m, *at);
    }
    return m->stack[0];
}

static size_t item_of(int dtype)
{
    return dtype == TAPE_F32 ? sizeof(float) : sizeof(double);
}

/* The strip that starts `at` bytes into the arrays, of n elements. */
static void begin(struct machine *m, const tape__ewise_row *row, size_t n, size_t at, const void *const *x)
{
    const size_t bytes = (n * item_of(m->dtype) - at + TAPE__UNIT_BYTES - 1) / TAPE__UNIT_BYTES * TAPE__UNIT_BYTES;
    m->bytes = bytes < STRIP_BYTES ? bytes : STRIP_BYTES;
    m->n = m->bytes / item_of(m->dtype);
    for (int i = 0; i < tape__ewise_inputs(row->ew); i++)
        m->x[i] = x[i] ? (const char *)x[i] + at : NULL;
    if (row->input >= 0)
        m->y = x[TAPE__RUN_OUTPUT] ? (const char *)x[TAPE__RUN_OUTPUT] + at : NULL;
}

void tape__ewise_compose(const tape__ewise_row *row, size_t n, void *result, const void *const *x)
{
    struct machine m; /* buffers stay unset until they are written */
    m.kernels = row->kernels;
    m.dtype = row->dtype;
    m.params = row->params;
    m.y = NULL;
    m.order = 0;
    const tape__ewise_code program = tape__ewise_code_of(row->ew, row->input);
    for (size_t at = 0; at < n * item_of(m.dtype); at += STRIP_BYTES) {
        char *to = (char *)result + at;
        begin(&m, row, n, at, x);
        const void *term = run(&m, program, row->input < 0 ? to : NULL);
        if (row->input >= 0)
            row->kernels->ewise->value[TAPE__EW_strong_mul][m.dtype](
                m.n, to, (const void *const[]){term, (const char *)x[TAPE__RUN_ADJOINT] + at}, NULL);
        else if (term != to)
            memmove(to, term, m.bytes);
    }
}
