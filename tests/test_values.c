/* Every row of the table against its naive reference: values alone, whatever the shapes, strides, dtypes and threads.
 */
#include "table.h"
#include "tape/table.h"
#include "views.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static double epsilon_of(tape_dtype dtype)
{
    return dtype == TAPE_F32 ? FLT_EPSILON : DBL_EPSILON;
}

/* Equal, both NaN, or apart by at most `ulps` of the reference and `allowed`. */
static bool is_close(double got, double expected, tape_dtype dtype, double ulps, double allowed)
{
    double least = dtype == TAPE_F32 ? FLT_MIN : DBL_MIN;
    if (dtype == TAPE_F32)
        expected = (double)(float)expected;
    if (isnan(expected) || isnan(got) || isinf(expected) || isinf(got))
        return got == expected || (isnan(expected) && isnan(got));
    return fabs(got - expected) <= ulps * epsilon_of(dtype) * fmax(fabs(expected), least) + allowed;
}

/* ---- elementwise ------------------------------------------------------------------------------------------------- */

/* What a rounding of the inputs within the formula may do to the value, as in sinc's product with pi. */
static double conditioning(const struct row *row, const double *x, tape_dtype dtype)
{
    double epsilon = epsilon_of(dtype), allowed = 0;
    for (int i = 0; i < row->n_in; i++) {
        double moved[3] = {x[0], x[1], x[2]}, difference;
        moved[i] = x[i] * (1 + epsilon);
        difference = row_value(row, moved);
        moved[i] = x[i] * (1 - epsilon);
        difference = fabs(difference - row_value(row, moved));
        if (isfinite(difference))
            allowed += fmin(difference, 1e3 * epsilon);
        if (isfinite(x[i]))
            allowed += 8 * epsilon * (dtype == TAPE_F32 ? FLT_MIN : DBL_MIN) * fmin(fabs(x[i]), 1 / epsilon);
    }
    return allowed;
}

/* Inputs of one shape, drawn from the row's interval. */
struct operands {
    tape_tensor x[3];
    double *value[3];
};

static void make_operands(struct operands *o, const struct row *row, tape_dtype dtype, const tape_shape *shapes,
                          uint64_t seed)
{
    for (int i = 0; i < row->n_in; i++) {
        int64_t n = shape_numel(shapes[i]);
        o->value[i] = calloc((size_t)n + 1, sizeof(double));
        ck_assert_ptr_nonnull(o->value[i]);
        for (int64_t k = 0; k < n; k++)
            o->value[i][k] = row_takes_mask(row, i) ? floor(draw(&seed, 0, 2)) : draw(&seed, row->low, row->high);
        o->x[i] = leaf_of(row_takes_mask(row, i) ? TAPE_U8 : dtype, shapes[i], o->value[i], false);
    }
}

static void free_operands(struct operands *o, const struct row *row)
{
    for (int i = 0; i < row->n_in; i++) {
        tape_free(o->x[i]);
        free(o->value[i]);
    }
}

/* Row-major index into an operand of `shape` for element `at` of a result of `full`. */
static int64_t broadcast_index(tape_shape full, tape_shape shape, int64_t at)
{
    int64_t index = 0, stride = 1;
    for (int k = full.rank - 1, j = shape.rank - 1; k >= 0 && j >= 0; k--, j--) {
        if (shape.size[j] != 1)
            index += at % full.size[k] * stride;
        stride *= shape.size[j];
        at /= full.size[k];
    }
    return index;
}

static void compare_row(const struct row *row, tape_dtype dtype, const tape_shape *shapes, tape_shape full,
                        const struct operands *o, tape_tensor y)
{
    double *got = doubles_of(y);
    if (!got || tape_numel(y) != shape_numel(full)) {
        complain("%s: %s", row->name, got ? "wrong number of elements" : tape_message());
        tape_clear();
        free(got);
        return;
    }
    if (tape_dtype_of(y) != (row_gives_mask(row) ? TAPE_U8 : dtype))
        complain("%s: result is %s", row->name, tape_dtype_name(tape_dtype_of(y)));
    for (int64_t k = 0, wrong = 0; k < shape_numel(full) && wrong < 3; k++) {
        double x[3] = {0, 0, 0};
        for (int i = 0; i < row->n_in; i++)
            x[i] = o->value[i][broadcast_index(full, shapes[i], k)];
        double expected = row_value(row, x);
        if (!is_close(got[k], expected, dtype, 8, conditioning(row, x, dtype))) {
            complain("%s %s (%.17g, %.17g, %.17g): got %.17g, expected %.17g (%.1f ulp)", row->name,
                     tape_dtype_name(dtype), x[0], x[1], x[2], got[k], expected,
                     (got[k] - expected) / epsilon_of(dtype) / expected);
            wrong++;
        }
    }
    free(got);
}

static void try_shapes(const struct row *row, tape_dtype dtype, const tape_shape *shapes, tape_shape full)
{
    struct operands o;
    make_operands(&o, row, dtype, shapes, 7);
    compare_row(row, dtype, shapes, full, &o, row->call(o.x, row->ref->p));
    free_operands(&o, row);
    tape_reset();
}

/* Odd enough for a tail on every vector width. */
START_TEST(test_elementwise_rows)
{
    const tape_shape shape = TAPE_SHAPE(17, 59), shapes[] = {shape, shape, shape};
    for (const struct row *row = rows; row->name; row++) {
        try_shapes(row, TAPE_F64, shapes, shape);
        try_shapes(row, TAPE_F32, shapes, shape);
    }
    settle();
}
END_TEST

START_TEST(test_empty_and_single)
{
    const tape_shape cases[] = {TAPE_SCALAR, TAPE_SHAPE(1), TAPE_SHAPE(0), TAPE_SHAPE(3, 0, 2),
                                TAPE_SHAPE(1, 1, 1, 1, 1, 1, 1, 1)};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const tape_shape shapes[] = {cases[c], cases[c], cases[c]};
        for (const struct row *row = rows; row->name; row++) {
            try_shapes(row, TAPE_F64, shapes, cases[c]);
            try_shapes(row, TAPE_F32, shapes, cases[c]);
        }
    }
    settle();
}
END_TEST

START_TEST(test_broadcasting)
{
    /* Three operands and the result, by NumPy's rule worked out by hand; a row of two takes the first two. */
    const tape_shape pairs[][3] = {
        {TAPE_SHAPE(3, 4), TAPE_SHAPE(4), TAPE_SHAPE(3, 4)},
        {TAPE_SHAPE(4), TAPE_SHAPE(3, 4), TAPE_SHAPE(3, 4)},
        {TAPE_SHAPE(3, 1), TAPE_SHAPE(1, 5), TAPE_SHAPE(3, 5)},
        {TAPE_SCALAR, TAPE_SHAPE(2, 3), TAPE_SHAPE(2, 3)},
        {TAPE_SHAPE(2, 3), TAPE_SHAPE(1), TAPE_SHAPE(2, 3)},
        {TAPE_SHAPE(2, 1, 3), TAPE_SHAPE(4, 1), TAPE_SHAPE(2, 4, 3)},
        {TAPE_SHAPE(33, 1), TAPE_SHAPE(33, 40), TAPE_SHAPE(33, 40)},
        {TAPE_SHAPE(1, 40), TAPE_SHAPE(33, 40), TAPE_SHAPE(33, 40)},
        {TAPE_SHAPE(2, 0), TAPE_SHAPE(1, 1), TAPE_SHAPE(2, 0)},
        {TAPE_SHAPE(2, 1, 2, 1, 2, 1, 2, 1), TAPE_SHAPE(3, 1, 2, 1, 2, 1, 2), TAPE_SHAPE(2, 3, 2, 2, 2, 2, 2, 2)},
    };
    const tape_shape triples[][4] = {
        {TAPE_SHAPE(3, 1), TAPE_SHAPE(4), TAPE_SHAPE(2, 1, 1), TAPE_SHAPE(2, 3, 4)},
        {TAPE_SCALAR, TAPE_SHAPE(5), TAPE_SHAPE(2, 1), TAPE_SHAPE(2, 5)},
        {TAPE_SHAPE(2, 5), TAPE_SCALAR, TAPE_SHAPE(5), TAPE_SHAPE(2, 5)},
        {TAPE_SHAPE(2, 5), TAPE_SHAPE(2, 1), TAPE_SCALAR, TAPE_SHAPE(2, 5)},
    };
    for (const struct row *row = rows; row->name; row++)
        for (int dtype = TAPE_F32; dtype <= TAPE_F64; dtype++) {
            for (size_t c = 0; row->n_in == 2 && c < sizeof pairs / sizeof *pairs; c++)
                try_shapes(row, (tape_dtype)dtype, pairs[c], pairs[c][2]);
            for (size_t c = 0; row->n_in == 3 && c < sizeof triples / sizeof *triples; c++)
                try_shapes(row, (tape_dtype)dtype, triples[c], triples[c][3]);
        }
    settle();
}
END_TEST

START_TEST(test_number_forms)
{
    const tape_shape shape = TAPE_SHAPE(5, 7), shapes[] = {shape, shape};
    for (const struct row *row = rows; row->name; row++)
        for (int k = 0; row->right && k < 4; k++) {
            tape_dtype dtype = k & 1 ? TAPE_F32 : TAPE_F64;
            bool right = k & 2;
            struct operands o;
            make_operands(&o, row, dtype, shapes, 11);
            double number = dtype == TAPE_F32 ? (double)0.7f : 0.7; /* rounded to the op's dtype once */
            for (int64_t e = 0; e < shape_numel(shape); e++)
                o.value[right][e] = number;
            compare_row(row, dtype, shapes, shape, &o, right ? row->right(o.x[0], 0.7) : row->left(0.7, o.x[1]));
            free_operands(&o, row);
            tape_reset();
        }
    settle();
}
END_TEST

/* Huge predictions and targets are left out of losses: their differences say nothing. The incomplete gamma functions
   and their parts lose digits in proportion to the logarithm of what they raise to a power. */
static void tame(const struct row *row, double *values, int n)
{
    const bool loss = tape__ops[row->op].family == TAPE__FAMILY_loss;
    const bool gamma = strstr(row->name, "igamma") || strstr(row->name, "gamma_density");
    for (int i = 0; i < n; i++) {
        double size = fabs(values[i]);
        if (loss && size > 1000)
            values[i] = i;
        else if (gamma && isfinite(size) && size != 0 && (size < 1e-3 || size > 30))
            values[i] = 0.1 * (i + 1);
    }
}

/* Signed zeros, ties, subnormal, huge and infinite numbers and NaN; a row of two gets every pair. */
START_TEST(test_special_numbers)
{
    static const double specials64[] = {0,   -0.0,     1,         -1,     0.5,     -0.5,   1.5,   2.5,    -2.5,  3,
                                        -20, 25,       1e-5,      1e-300, -1e-300, 5e-324, 1e300, -1e300, 709.5, -745,
                                        NAN, INFINITY, -INFINITY, 0.7,    -0.7,    1.1,    88,    -100};
    static const double specials32[] = {0,   -0.0,     1,         -1,    0.5,    -0.5,  1.5,  2.5,   -2.5, 3,
                                        -20, 25,       1e-5,      1e-38, -1e-38, 1e-45, 1e38, -1e38, 88.5, -103,
                                        NAN, INFINITY, -INFINITY, 0.7,   -0.7,   1.1,   87,   -100};
    enum { N = sizeof specials64 / sizeof *specials64 };
    for (const struct row *row = rows; row->name; row++)
        for (int dtype = TAPE_F32; row->n_in < 3 && dtype <= TAPE_F64; dtype++) {
            const tape_shape full = row->n_in == 1 ? TAPE_SHAPE(N) : TAPE_SHAPE(N, N);
            const tape_shape shapes[] = {row->n_in == 1 ? full : TAPE_SHAPE(N, 1), TAPE_SHAPE(N)};
            struct operands o;
            make_operands(&o, row, (tape_dtype)dtype, shapes, 13);
            for (int i = 0; i < row->n_in; i++) {
                tape_free(o.x[i]);
                memcpy(o.value[i], dtype == TAPE_F32 ? specials32 : specials64, sizeof specials64);
                tame(row, o.value[i], N);
                o.x[i] = leaf_of((tape_dtype)dtype, shapes[i], o.value[i], false);
            }
            compare_row(row, (tape_dtype)dtype, shapes, full, &o, row->call(o.x, row->ref->p));
            free_operands(&o, row);
            tape_reset();
        }
    settle();
}
END_TEST

/* Large enough to be split; the same bits for every number of threads. */
START_TEST(test_threads)
{
    const tape_shape shape = TAPE_SHAPE(151, 331), shapes[] = {shape, shape, shape};
    for (const struct row *row = rows; row->name; row++) {
        struct operands o;
        make_operands(&o, row, TAPE_F32, shapes, 17);
        double *first = NULL;
        for (int threads = 1; threads <= 3; threads++) {
            ck_assert_int_eq(tape_threads(threads), TAPE_OK);
            double *got = doubles_of(row->call(o.x, row->ref->p));
            if (!got)
                complain("%s: %s", row->name, tape_message());
            else if (first && memcmp(first, got, (size_t)shape_numel(shape) * sizeof *got) != 0)
                complain("%s: other bits with %d threads", row->name, threads);
            tape_reset();
            free(first);
            first = got;
        }
        free(first);
        free_operands(&o, row);
    }
    tape_threads(1);
    settle();
}
END_TEST

/* ---- samples ----------------------------------------------------------------------------------------------------- */

static void compare_sample(const struct sample *sample, const struct inputs *in, tape_tensor y, const char *what)
{
    double *got = doubles_of(y), largest = 0;
    int64_t n = got ? tape_numel(y) : 0;
    if (!got)
        complain("%s (%s) %s: %s", sample->op, sample->label, what, tape_message());
    double *expected = calloc((size_t)n + 1, sizeof *expected);
    ck_assert_ptr_nonnull(expected);
    if (got)
        sample->reference((const double *const *)in->value, expected);
    for (int64_t k = 0; k < n; k++)
        largest = isfinite(expected[k]) ? fmax(largest, fabs(expected[k])) : largest;
    double tolerance = in->dtype == TAPE_F32 ? 1e-5 : sample->tolerance > 0 ? sample->tolerance : 1e-13;
    for (int64_t k = 0, wrong = 0; k < n && wrong < 3; k++) {
        if (!is_close(got[k], expected[k], in->dtype, 0, tolerance * largest) && ++wrong)
            complain("%s (%s) %s %s: element %lld is %.17g, expected %.17g", sample->op, sample->label,
                     tape_dtype_name(in->dtype), what, (long long)k, got[k], expected[k]);
    }
    tape_clear();
    free(expected);
    free(got);
}

START_TEST(test_samples)
{
    const struct sample *sample;
    for (int i = 0; (sample = sample_at(i)); i++)
        for (int dtype = TAPE_F32; sample->reference && dtype <= TAPE_F64; dtype++) {
            struct inputs in;
            inputs_make(&in, sample, (tape_dtype)dtype, 3);
            compare_sample(sample, &in, sample->run(in.x), "");
            inputs_free(&in);
            tape_reset();
        }
    settle();
}
END_TEST

/* The same values behind other strides. */
START_TEST(test_samples_on_views)
{
    const struct sample *sample;
    for (int i = 0; (sample = sample_at(i)); i++)
        for (int view = 0; sample->reference && view < VIEWS; view++) {
            struct inputs in;
            tape_tensor x[SAMPLE_MAX_INPUTS], leaf[SAMPLE_MAX_INPUTS];
            inputs_make(&in, sample, TAPE_F64, 5);
            for (int k = 0; k < sample->n_in; k++)
                x[k] = view_of(view, tape_dtype_of(in.x[k]), sample->in[k].shape, in.value[k], &leaf[k]);
            compare_sample(sample, &in, sample->run(x), view_name(view));
            for (int k = 0; k < sample->n_in; k++)
                tape_free(leaf[k]);
            inputs_free(&in);
            tape_reset();
        }
    settle();
}
END_TEST

START_TEST(test_every_op_is_covered)
{
    static bool sampled[TAPE__OP_COUNT];
    static int inputs[TAPE__OP_COUNT];
    const struct sample *sample;
    for (int i = 0; (sample = sample_at(i)); i++) {
        int op = op_named(sample->op);
        if (!op)
            complain("a sample names %s, which is no row of the table", sample->op);
        sampled[op] = true;
        if (sample->n_in > inputs[op])
            inputs[op] = sample->n_in;
    }
    static const char *const families[] = {"unary",          "activation", "binary",   "ternary", "comparison",
                                           "reduction",      "cumulative", "shape",    "joining", "index",
                                           "linear algebra", "linalg",     "neural",   "nn",      "loss",
                                           "geometry",       "random",     "spectral", "control", "engine"};
    for (int op = TAPE__OP_OUTPUT + 1; op < TAPE__OP_CUSTOM; op++) {
        const tape__op *row = &tape__ops[op];
        bool known = false;
        for (size_t k = 0; k < sizeof families / sizeof *families; k++)
            known |= strcmp(families[k], tape__family_names[row->family]) == 0;
        if (!sampled[op])
            complain("%s has no sample", row->name);
        int arity = tape_op_at(op - TAPE__OP_OUTPUT - 1).arity;
        if (arity != TAPE_ARITY_ANY && inputs[op] > arity)
            complain("%s: a sample passes %d tensors, its row says TAPE__TAKES(%d)", row->name, inputs[op], arity);
        if (!known || row->level < 1 || row->level > 3)
            complain("%s: family %s, level %d", row->name, tape__family_names[row->family], row->level);
    }
    settle();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("values");
    TCase *all = tcase_create("all");
    tcase_add_test(all, test_elementwise_rows);
    tcase_add_test(all, test_empty_and_single);
    tcase_add_test(all, test_broadcasting);
    tcase_add_test(all, test_number_forms);
    tcase_add_test(all, test_special_numbers);
    tcase_add_test(all, test_threads);
    tcase_add_test(all, test_samples);
    tcase_add_test(all, test_samples_on_views);
    tcase_add_test(all, test_every_op_is_covered);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
