/* Knows the rows and samples of the table and how to make inputs for them; it does not know what is tested with them.
 */
#include "table.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- elementwise rows -------------------------------------------------------------------------------------------- */

#define CALL(name, expression)                                                                                         \
    extern const struct ref ref_##name;                                                                                \
    static tape_tensor call_##name(const tape_tensor *x, const double *p)                                              \
    {                                                                                                                  \
        (void)p;                                                                                                       \
        return expression;                                                                                             \
    }                                                                                                                  \
    static tape_tensor run_##name(const tape_tensor *x)                                                                \
    {                                                                                                                  \
        return call_##name(x, ref_##name.p);                                                                           \
    }
#define NUMBER_FORMS(name)                                                                                             \
    static tape_tensor run_##name##_right(const tape_tensor *x)                                                        \
    {                                                                                                                  \
        return tape_##name##_scalar(x[0], 0.7);                                                                        \
    }                                                                                                                  \
    static tape_tensor run_##name##_left(const tape_tensor *x)                                                         \
    {                                                                                                                  \
        return tape_scalar_##name(0.7, x[0]);                                                                          \
    }
#define CALL_UNARY(name) CALL(name, tape_##name(x[0]))
#define CALL_UNARY1(name) CALL(name, tape_##name(x[0], p[0]))
#define CALL_UNARY2(name) CALL(name, tape_##name(x[0], p[0], p[1]))
#define CALL_UNARY3(name) CALL(name, tape_##name(x[0], p[0], p[1], p[2]))
#define CALL_UNARY_INTERNAL(name) CALL(name, tape__##name(x[0]))
#define CALL_BINARY(name) CALL(name, tape_##name(x[0], x[1])) NUMBER_FORMS(name)
#define CALL_BINARY1(name) CALL(name, tape_##name(x[0], x[1], p[0]))
#define CALL_BINARY_INTERNAL(name) CALL(name, tape__##name(x[0], x[1]))
#define CALL_BINARY1_INTERNAL(name) CALL(name, tape__##name(x[0], x[1], p[0]))
#define CALL_TERNARY1_INTERNAL(name) CALL(name, tape__##name(x[0], x[1], x[2], p[0]))
#define CALL_TERNARY(name) CALL(name, tape_##name(x[0], x[1], x[2]))
#define CALL_TERNARY1(name) CALL(name, tape_##name(x[0], x[1], x[2], p[0]))
#define CALL_WHERE(name) CALL_TERNARY(name)
#define CALL_COMPARE(name) CALL_BINARY(name)
#define CALL_LOGIC(name) CALL(name, tape_##name(x[0], x[1]))
#define CALL_TEST(name) CALL_UNARY(name)
#define CALL_GENERAL(name)
#define CALL_FUSED(name)
#define CALL_NOVJP(name)
#define CALL_COMPOSITE(name)
#define TAPE__ROW(kind, name, family, level, flags, low, high) CALL_##kind(name)
#include "ops/ops.def"
#undef TAPE__ROW

#define ROW(kind, name, n_in, flags, low, high, right, left)                                                           \
    {#name, TAPE__OP_##name, TAPE__KIND_##kind, n_in, flags, low, high, call_##name, right, left, &ref_##name},
#define ROW_UNARY(kind, name, flags, low, high) ROW(kind, name, 1, flags, low, high, NULL, NULL)
#define ROW_UNARY1 ROW_UNARY
#define ROW_UNARY2 ROW_UNARY
#define ROW_UNARY3 ROW_UNARY
#define ROW_UNARY_INTERNAL ROW_UNARY
#define ROW_BINARY(kind, name, flags, low, high)                                                                       \
    ROW(kind, name, 2, flags, low, high, tape_##name##_scalar, tape_scalar_##name)
#define ROW_BINARY1(kind, name, flags, low, high) ROW(kind, name, 2, flags, low, high, NULL, NULL)
#define ROW_BINARY_INTERNAL ROW_BINARY1
#define ROW_TERNARY(kind, name, flags, low, high) ROW(kind, name, 3, flags, low, high, NULL, NULL)
#define ROW_TERNARY1 ROW_TERNARY
#define ROW_BINARY1_INTERNAL ROW_BINARY1
#define ROW_TERNARY1_INTERNAL ROW_TERNARY
#define ROW_WHERE ROW_TERNARY
#define ROW_COMPARE ROW_BINARY
#define ROW_LOGIC ROW_BINARY1
#define ROW_TEST ROW_UNARY
#define ROW_GENERAL(kind, name, flags, low, high)
#define ROW_FUSED ROW_GENERAL
#define ROW_NOVJP ROW_GENERAL
#define ROW_COMPOSITE ROW_GENERAL
#define TAPE__ROW(kind, name, family, level, flags, low, high) ROW_##kind(kind, name, flags, low, high)
const struct row rows[] = {
#include "ops/ops.def"
    {0}};
#undef TAPE__ROW

double row_value(const struct row *row, const double *x)
{
    long double y = row->n_in > 1 ? x[1] : 0, z = row->n_in > 2 ? x[2] : 0;
    return (double)row->ref->value(x[0], y, z, row->ref->p);
}

bool row_takes_mask(const struct row *row, int i)
{
    return row->kind == TAPE__KIND_WHERE && i == 0;
}

bool row_gives_mask(const struct row *row)
{
    return row->kind == TAPE__KIND_COMPARE || row->kind == TAPE__KIND_LOGIC || row->kind == TAPE__KIND_TEST;
}

/* ---- their samples ----------------------------------------------------------------------------------------------- */

enum { SAMPLE_NUMEL = 12 };

static void refer(const struct ref *ref, int n, const double *const *x, double *y)
{
    for (int i = 0; i < SAMPLE_NUMEL; i++)
        y[i] = (double)ref->value(x[0][i], n > 1 ? x[1][i] : 0, n > 2 ? x[2][i] : 0, ref->p);
}

static void refer_number(const struct ref *ref, bool right, const double *const *x, double *y)
{
    for (int i = 0; i < SAMPLE_NUMEL; i++)
        y[i] = (double)(right ? ref->value(x[0][i], 0.7, 0, ref->p) : ref->value(0.7, x[0][i], 0, ref->p));
}

#define REFER(name, n)                                                                                                 \
    static void refer_##name(const double *const *x, double *y)                                                        \
    {                                                                                                                  \
        refer(&ref_##name, n, x, y);                                                                                   \
    }
#define REFER_NUMBER(name)                                                                                             \
    static void refer_##name##_right(const double *const *x, double *y)                                                \
    {                                                                                                                  \
        refer_number(&ref_##name, true, x, y);                                                                         \
    }                                                                                                                  \
    static void refer_##name##_left(const double *const *x, double *y)                                                 \
    {                                                                                                                  \
        refer_number(&ref_##name, false, x, y);                                                                        \
    }
#define REFER_UNARY(name) REFER(name, 1)
#define REFER_UNARY1 REFER_UNARY
#define REFER_UNARY2 REFER_UNARY
#define REFER_UNARY3 REFER_UNARY
#define REFER_UNARY_INTERNAL REFER_UNARY
#define REFER_BINARY(name) REFER(name, 2) REFER_NUMBER(name)
#define REFER_BINARY1(name) REFER(name, 2)
#define REFER_BINARY_INTERNAL REFER_BINARY1
#define REFER_TERNARY(name) REFER(name, 3)
#define REFER_TERNARY1 REFER_TERNARY
#define REFER_BINARY1_INTERNAL REFER_BINARY1
#define REFER_TERNARY1_INTERNAL REFER_TERNARY
#define REFER_WHERE REFER_TERNARY
#define REFER_COMPARE REFER_BINARY
#define REFER_LOGIC REFER_BINARY1
#define REFER_TEST REFER_UNARY
#define REFER_GENERAL(name)
#define REFER_FUSED REFER_GENERAL
#define REFER_NOVJP REFER_GENERAL
#define REFER_COMPOSITE REFER_GENERAL
#define TAPE__ROW(kind, name, family, level, flags, low, high) REFER_##kind(name)
#include "ops/ops.def"
#undef TAPE__ROW

#define GRID                                                                                                           \
    {                                                                                                                  \
        2,                                                                                                             \
        {                                                                                                              \
            3, 4                                                                                                       \
        }                                                                                                              \
    }
#define FLOAT(low, high)                                                                                               \
    {                                                                                                                  \
        SAMPLE_FLOAT, GRID, low, high                                                                                  \
    }
#define MASK                                                                                                           \
    {                                                                                                                  \
        SAMPLE_MASK, GRID, 0, 2                                                                                        \
    }
#define SAMPLE(name, label, function, n, flags, ...)                                                                   \
    {#name, label, n, {__VA_ARGS__}, run_##function, refer_##function, ((flags)&TAPE__NO_GRADIENT) != 0, 0},
#define SAMPLE_UNARY(name, f, low, high) SAMPLE(name, "", name, 1, f, FLOAT(low, high))
#define SAMPLE_UNARY1 SAMPLE_UNARY
#define SAMPLE_UNARY2 SAMPLE_UNARY
#define SAMPLE_UNARY3 SAMPLE_UNARY
#define SAMPLE_UNARY_INTERNAL SAMPLE_UNARY
#define SAMPLE_BINARY(name, f, low, high)                                                                              \
    SAMPLE(name, "", name, 2, f, FLOAT(low, high), FLOAT(low, high))                                                   \
    SAMPLE(name, "number on the right", name##_right, 1, f, FLOAT(low, high))                                          \
    SAMPLE(name, "number on the left", name##_left, 1, f, FLOAT(low, high))
#define SAMPLE_BINARY1(name, f, low, high) SAMPLE(name, "", name, 2, f, FLOAT(low, high), FLOAT(low, high))
#define SAMPLE_BINARY_INTERNAL SAMPLE_BINARY1
#define SAMPLE_TERNARY(name, f, low, high)                                                                             \
    SAMPLE(name, "", name, 3, f, FLOAT(low, high), FLOAT(low, high), FLOAT(low, high))
#define SAMPLE_TERNARY1 SAMPLE_TERNARY
#define SAMPLE_WHERE(name, f, low, high) SAMPLE(name, "", name, 3, f, MASK, FLOAT(low, high), FLOAT(low, high))
#define SAMPLE_BINARY1_INTERNAL SAMPLE_BINARY1
#define SAMPLE_TERNARY1_INTERNAL SAMPLE_TERNARY
#define SAMPLE_COMPARE SAMPLE_BINARY
#define SAMPLE_LOGIC SAMPLE_BINARY1
#define SAMPLE_TEST SAMPLE_UNARY
#define SAMPLE_GENERAL(name, f, low, high)
#define SAMPLE_FUSED SAMPLE_GENERAL
#define SAMPLE_NOVJP SAMPLE_GENERAL
#define SAMPLE_COMPOSITE SAMPLE_GENERAL
#define TAPE__ROW(kind, name, family, level, flags, low, high) SAMPLE_##kind(name, flags, low, high)
const struct sample samples_elementwise[] = {
#include "ops/ops.def"
    {0}};
#undef TAPE__ROW

/* ---- all samples ------------------------------------------------------------------------------------------------- */

const struct sample *sample_at(int i)
{
    static const struct sample *const families[] = {
        samples_elementwise, samples_shape,    samples_index,   samples_reduce,    samples_linalg,  samples_nn,
        samples_loss,        samples_random,   samples_control, samples_decompose, samples_factor,  samples_geometry,
        samples_conv,        samples_spectral, samples_ctc,     samples_recurrent, samples_resample};
    for (size_t k = 0; k < sizeof families / sizeof *families; k++)
        for (const struct sample *sample = families[k]; sample->op; sample++)
            if (i-- == 0)
                return sample;
    return NULL;
}

bool sample_is_elementwise(const struct sample *sample)
{
    size_t n = sizeof samples_elementwise / sizeof *samples_elementwise;
    return sample >= samples_elementwise && sample < samples_elementwise + n;
}

int op_named(const char *name)
{
    for (int op = 1; op < TAPE__OP_COUNT; op++)
        if (tape__ops[op].name && strcmp(tape__ops[op].name, name) == 0)
            return op;
    return 0;
}

/* ---- inputs ------------------------------------------------------------------------------------------------------ */

double draw(uint64_t *state, double low, double high)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX generator */
    return low + (high - low) * ((double)(*state >> 11) * 0x1p-53);
}

int64_t shape_numel(tape_shape shape)
{
    int64_t n = 1;
    for (int k = 0; k < shape.rank; k++)
        n *= shape.size[k];
    return n;
}

static double *allocate(int64_t n)
{
    double *values = calloc((size_t)n + 1, sizeof *values);
    ck_assert_ptr_nonnull(values);
    return values;
}

double *doubles_of(tape_tensor x)
{
    int64_t n = tape_numel(x);
    tape_dtype dtype = tape_dtype_of(x);
    double *values = allocate(n);
    void *raw = allocate(n);
    tape_status status = tape_read(x, raw, n);
    for (int64_t i = 0; i < n && status == TAPE_OK; i++)
        values[i] = dtype == TAPE_F64   ? ((double *)raw)[i]
                    : dtype == TAPE_F32 ? (double)((float *)raw)[i]
                    : dtype == TAPE_I64 ? (double)((int64_t *)raw)[i]
                    : dtype == TAPE_I32 ? (double)((int32_t *)raw)[i]
                                        : (double)((uint8_t *)raw)[i];
    free(raw);
    if (status == TAPE_OK)
        return values;
    free(values);
    return NULL;
}

tape_tensor leaf_of(tape_dtype dtype, tape_shape shape, double *values, bool requires_grad)
{
    int64_t n = shape_numel(shape);
    void *raw = allocate(n);
    for (int64_t i = 0; i < n; i++) {
        if (dtype == TAPE_F64)
            ((double *)raw)[i] = values[i];
        else if (dtype == TAPE_F32)
            values[i] = (double)(((float *)raw)[i] = (float)values[i]);
        else if (dtype == TAPE_I64)
            ((int64_t *)raw)[i] = (int64_t)values[i];
        else if (dtype == TAPE_I32)
            ((int32_t *)raw)[i] = (int32_t)values[i];
        else
            ((uint8_t *)raw)[i] = (uint8_t)values[i];
    }
    tape_tensor x = requires_grad ? tape_param(dtype, shape, raw) : tape_const(dtype, shape, raw);
    free(raw);
    return x;
}

void inputs_make(struct inputs *in, const struct sample *sample, tape_dtype dtype, uint64_t seed)
{
    uint64_t state = seed;
    *in = (struct inputs){.sample = sample, .dtype = dtype};
    for (int i = 0; i < sample->n_in; i++) {
        const struct sample_input *input = &sample->in[i];
        int64_t n = in->numel[i] = shape_numel(input->shape);
        in->value[i] = allocate(n);
        bool whole = input->kind == SAMPLE_INDEX || input->kind == SAMPLE_MASK;
        double low = input->kind == SAMPLE_MASK ? 0 : input->low, high = input->kind == SAMPLE_MASK ? 2 : input->high;
        for (int64_t k = 0; k < n; k++) {
            double value = draw(&state, low, high);
            in->value[i][k] = whole ? (double)(int64_t)(value - (value < 0)) : value;
        }
        tape_dtype own = input->kind == SAMPLE_INDEX ? TAPE_I64 : input->kind == SAMPLE_MASK ? TAPE_U8 : dtype;
        in->x[i] = leaf_of(own, input->shape, in->value[i], input->kind == SAMPLE_FLOAT);
        if (input->kind == SAMPLE_FLOAT)
            in->floats[in->n_floats++] = in->x[i];
    }
}

void inputs_free(struct inputs *in)
{
    for (int i = 0; i < in->sample->n_in; i++) {
        tape_free(in->x[i]);
        free(in->value[i]);
    }
}

tape_tensor inputs_program(void *user, const tape_tensor *x, int n)
{
    const struct inputs *in = user;
    tape_tensor all[SAMPLE_MAX_INPUTS];
    int k = 0;
    for (int i = 0; i < in->sample->n_in; i++)
        all[i] = in->sample->in[i].kind == SAMPLE_FLOAT && k < n ? x[k++] : in->x[i];
    return in->sample->run(all);
}

/* ---- complaints -------------------------------------------------------------------------------------------------- */

static int complaint_count;

void complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("  ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    complaint_count++;
}

int complaints(void)
{
    int n = complaint_count;
    complaint_count = 0;
    return n;
}

void settle(void)
{
    ck_assert_msg(tape_last_status() == TAPE_OK, "%s", tape_message());
    tape_reset();
    ck_assert_int_eq(complaints(), 0);
}
