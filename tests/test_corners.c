/* Corners of tape_backward() and tape_grad(): shared handles, leaves that change or end on the way, who owns what. */
#include <tape/tape.h>

#include <check.h>
#include <math.h>
#include <stdlib.h>

#define D(...) ((const double[]){__VA_ARGS__})

static void check_values(tape_tensor x, const double *expected, int64_t n)
{
    double got[64];
    ck_assert(!tape_is_null(x) && !tape_is_none(x));
    ck_assert_int_eq(tape_numel(x), n);
    ck_assert_int_eq(tape_read(x, got, n), TAPE_OK);
    for (int64_t i = 0; i < n; i++)
        ck_assert_double_eq_tol(got[i], expected[i], 1e-12);
}

static tape_tensor param(int64_t n, const double *data)
{
    return tape_param(TAPE_F64, TAPE_SHAPE(n), data);
}

static tape_status grad(tape_tensor y, tape_tensor cotangent, const tape_tensor *xs, int m, bool create_graph,
                        tape_tensor *out)
{
    return tape_grad(&y, 1, &cotangent, xs, m, &(tape_grad_options){.create_graph = create_graph}, out);
}

/* ---- loops over axes of every kind ---------------------------------------------------------------------------------
 */

enum { MOST = 4096, RANK = 6 };

static unsigned drawn;

static int64_t draw(int64_t n)
{
    drawn = drawn * 1664525u + 1013904223u;
    return (int64_t)(drawn >> 8) % n;
}

/* A tensor of the given sizes, its values in row-major order in `data`; half the time a view whose axes are turned. */
static tape_tensor operand(int rank, const int64_t *size, double *data, tape_tensor *leaf)
{
    tape_shape shape = {rank, {0}}, reversed = {rank, {0}};
    tape_axes axes = {rank, {0}};
    int64_t numel = 1;
    for (int d = 0; d < rank; d++) {
        shape.size[d] = size[d];
        reversed.size[rank - 1 - d] = size[d];
        axes.axis[d] = rank - 1 - d;
        numel *= size[d];
    }
    for (int64_t i = 0; i < numel; i++)
        data[i] = (double)(draw(19) - 9) / 8;
    if (draw(2) == 0)
        return *leaf = tape_param(TAPE_F64, shape, data);
    double turned[MOST];
    for (int64_t i = 0; i < numel; i++) {
        int64_t rest = i, at = 0, step = 1, index[RANK];
        for (int d = rank - 1; d >= 0; rest /= size[d], d--)
            index[d] = rest % size[d];
        for (int d = 0; d < rank; step *= size[d], d++)
            at += index[d] * step;
        turned[at] = data[i];
    }
    *leaf = tape_param(TAPE_F64, reversed, turned);
    return tape_permute(*leaf, axes);
}

/* Where element i of a tensor of `size` lies in one of `own` sizes that stretches to it. */
static int64_t place(int rank, const int64_t *size, const int64_t *own, int64_t i)
{
    int64_t at = 0, step = 1;
    for (int d = rank - 1; d >= 0; d--) {
        at += own[d] == 1 ? 0 : i % size[d] * step;
        step *= own[d];
        i /= size[d];
    }
    return at;
}

static bool same_handle(tape_tensor x, tape_tensor y)
{
    return x.generation == y.generation && x.slot == y.slot && x.flags == y.flags;
}

/* A leaf's gradient, turned back if the leaf was turned. */
static void check_gradient(tape_tensor g, bool turned, int rank, const int64_t *size, const double *expected, int64_t n)
{
    static double got[MOST];
    tape_axes axes = {rank, {0}};
    for (int d = 0; d < rank; d++)
        axes.axis[d] = rank - 1 - d;
    ck_assert_int_eq(tape_read(turned ? tape_permute(g, axes) : g, got, n), TAPE_OK);
    for (int64_t i = 0; i < n; i++)
        ck_assert_msg(fabs(got[i] - expected[i]) < 1e-11, "gradient %d of %d, first size %d", (int)i, (int)n,
                      (int)size[0]);
}

/* A product of two tensors that stretch against each other, and its gradients, against loops over the indices. */
START_TEST(test_axes_of_every_kind)
{
    static const int64_t sizes[] = {1, 1, 2, 3, 17};
    static double a[MOST], b[MOST], w[MOST], y[MOST], ga[MOST], gb[MOST];
    drawn = (unsigned)_i;
    for (int round = 0; round < 60; round++) {
        int rank = 1 + (int)draw(RANK);
        int64_t size[RANK], size_a[RANK], size_b[RANK], numel = 1, n_a = 1, n_b = 1;
        for (int d = 0; d < rank; d++) {
            size[d] = sizes[draw(5)];
            size[d] = numel * size[d] > MOST ? 1 : size[d];
            size_a[d] = draw(3) ? size[d] : 1;
            size_b[d] = size_a[d] == 1 || draw(2) ? size[d] : 1;
            numel *= size[d], n_a *= size_a[d], n_b *= size_b[d];
        }
        tape_tensor leaf[3], xa = operand(rank, size_a, a, &leaf[0]), xb = operand(rank, size_b, b, &leaf[1]);
        tape_tensor product = tape_mul(xa, xb), xw = operand(rank, size, w, &leaf[2]);
        ck_assert_int_eq(tape_backward(tape_sum(tape_mul(product, xw), TAPE_ALL, false)), TAPE_OK);
        for (int64_t i = 0; i < n_a; i++)
            ga[i] = 0;
        for (int64_t i = 0; i < n_b; i++)
            gb[i] = 0;
        for (int64_t i = 0; i < numel; i++) {
            int64_t i_a = place(rank, size, size_a, i), i_b = place(rank, size, size_b, i);
            y[i] = a[i_a] * b[i_b];
            ga[i_a] += b[i_b] * w[i];
            gb[i_b] += a[i_a] * w[i];
        }
        static double got[MOST];
        ck_assert_int_eq(tape_read(product, got, numel), TAPE_OK);
        for (int64_t i = 0; i < numel; i++)
            ck_assert_msg(got[i] == y[i], "round %d: element %d of rank %d", round, (int)i, rank);
        tape_tensor da = tape_gradient(leaf[0]), db = tape_gradient(leaf[1]);
        const bool turned_a = !same_handle(xa, leaf[0]), turned_b = !same_handle(xb, leaf[1]);
        check_gradient(da, turned_a, rank, size_a, ga, n_a);
        check_gradient(db, turned_b, rank, size_b, gb, n_b);
        tape_reset();
        for (int k = 0; k < 3; k++)
            tape_free(leaf[k]);
    }
}
END_TEST

/* ---- small tensors, side by side ---------------------------------------------------------------------------------
 */

enum { WIDEST = 140, RESULTS = 16 };

/* A result, and what a loop over the indices says of it. */
static struct {
    tape_tensor x;
    int64_t n;
    double expected[2 * WIDEST + 8];
} results[RESULTS];
static int result_count;

static double *expect(tape_tensor x, int64_t n)
{
    ck_assert_int_lt(result_count, RESULTS);
    results[result_count].x = x;
    results[result_count].n = n;
    return results[result_count++].expected;
}

static void check_results(tape_dtype dtype, int64_t width)
{
    for (int k = 0; k < result_count; k++) {
        double got[2 * WIDEST + 8];
        tape_tensor x = dtype == TAPE_F64 ? results[k].x : tape_cast(results[k].x, TAPE_F64);
        ck_assert_int_eq(tape_numel(x), results[k].n);
        ck_assert_int_eq(tape_read(x, got, results[k].n), TAPE_OK);
        for (int64_t i = 0; i < results[k].n; i++)
            ck_assert_msg(fabs(got[i] - results[k].expected[i]) <= 1e-6 * fabs(got[i]),
                          "width %d, result %d, element %d", (int)width, k, (int)i);
    }
    result_count = 0;
}

/* x is [2, n], r is [n]. Few of their elements fill whole vectors, and each result lies behind the one before it. */
static void compute_side_by_side(tape_tensor x, const double *v, tape_tensor r, const double *w, tape_tensor s,
                                 int64_t n)
{
    tape_tensor right = tape_narrow(x, -1, 1 - n, n - 1), left = tape_narrow(x, 1, 0, n - 1);
    tape_tensor steps = tape_sub(right, left);
    double *sum = expect(tape_add(x, x), 2 * n), *rows = expect(tape_mul(x, r), 2 * n);
    double *scaled = expect(tape_div(x, s), 2 * n), *from = expect(tape_sub(s, r), n);
    double *inverse = expect(tape_recip(x), 2 * n), *root = expect(tape_sqrt(tape_square(x)), 2 * n);
    double *flat = expect(tape_relu(tape_neg(r)), n), *size = expect(tape_norm(x, 2, TAPE_AXES(0), false), n);
    double *step = expect(steps, 2 * (n - 1));
    double *after = expect(tape_pad(steps, &(tape_pad_options){.after = {0, 2}}), 2 * (n + 1));
    double *before = expect(tape_pad(tape_narrow(left, 0, 1, 1), &(tape_pad_options){.before = {1, 1}}), 2 * n);
    double *lower = expect(tape_add(tape_narrow(left, -2, 1, 1), tape_narrow(right, 0, 0, 1)), n - 1);
    for (int64_t i = 0; i < 2 * n; i++) {
        const int64_t row = i / n, at = i % n;
        sum[i] = 2 * v[i];
        rows[i] = v[i] * w[at];
        scaled[i] = v[i] / 4;
        inverse[i] = 1 / v[i];
        root[i] = fabs(v[i]);
        before[i] = row && at ? v[n + at - 1] : 0;
        if (at < n - 1)
            step[row * (n - 1) + at] = v[i + 1] - v[i];
        for (int64_t k = 0; k < 2; k++)
            after[row * (n + 1) + (at < n - 1 ? at : at + k)] = at < n - 1 ? v[i + 1] - v[i] : 0;
    }
    for (int64_t i = 0; i < n; i++) {
        from[i] = 4 - w[i];
        flat[i] = w[i] < 0 ? -w[i] : 0;
        size[i] = sqrt(v[i] * v[i] + v[n + i] * v[n + i]);
        if (i < n - 1)
            lower[i] = v[n + i] + v[i + 1];
    }
}

START_TEST(test_small_tensors_side_by_side)
{
    const tape_dtype dtype = _i ? TAPE_F64 : TAPE_F32;
    for (int64_t n = 1; n <= WIDEST; n += n < 40 ? 1 : 7) {
        double v[2 * WIDEST], w[WIDEST];
        drawn = (unsigned)n;
        for (int64_t i = 0; i < 2 * n; i++)
            v[i] = ((double)draw(16) - 7.5) / 8;
        for (int64_t i = 0; i < n; i++)
            w[i] = ((double)draw(16) - 7.5) / 8;
        for (int round = 0; round < 3; round++) { /* over what the round before has left there */
            tape_tensor x = tape_cast(tape_from(TAPE_F64, TAPE_SHAPE(2, n), v), dtype);
            tape_tensor r = tape_cast(tape_from(TAPE_F64, TAPE_SHAPE(n), w), dtype);
            compute_side_by_side(x, v, r, w, tape_scalar(dtype, 4), n);
            check_results(dtype, n);
            tape_reset();
        }
    }
}
END_TEST

/* The short way of these ops ends where something is wrong. */
START_TEST(test_wrong_parts)
{
    static const struct {
        int64_t axis, start, length;
    } parts[] = {{2, 0, 1}, {-3, 0, 1}, {1, 0, 4},         {1, -4, 1},
                 {0, 2, 1}, {1, 1, -1}, {1, INT64_MIN, 1}, {1, 1, INT64_MAX}};
    static const tape_pad_options pads[] = {{.after = {0, 0, 1}},
                                            {.before = {INT64_MAX, 0}},
                                            {.before = {-3}},
                                            {.before = {0, INT64_MAX}, .after = {0, INT64_MAX}}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        tape_tensor x = tape_full(TAPE_F64, TAPE_SHAPE(2, 3), 1);
        tape_narrow(x, 1, 0, 2);
        ck_assert_int_eq(tape_last_status(), TAPE_OK);
        ck_assert(tape_is_null(tape_narrow(x, (int)parts[i].axis, parts[i].start, parts[i].length)));
        ck_assert_int_eq(tape_last_status(), TAPE_ERROR_ARGUMENT);
        tape_reset();
    }
    for (size_t i = 0; i < sizeof pads / sizeof *pads; i++) {
        tape_tensor x = tape_full(TAPE_F64, TAPE_SHAPE(2, 3), 1);
        tape_pad(x, &(tape_pad_options){.before = {1}});
        ck_assert_int_eq(tape_last_status(), TAPE_OK);
        ck_assert(tape_is_null(tape_pad(x, &pads[i])));
        ck_assert_int_ne(tape_last_status(), TAPE_OK);
        tape_reset();
    }
}
END_TEST

/* ---- what the caller passes ---------------------------------------------------------------------------------- */

START_TEST(test_duplicate_xs)
{
    tape_tensor x = param(2, D(3, 5)), y = tape_sum(tape_square(x), TAPE_ALL, false);
    tape_tensor out[3];
    const tape_tensor xs[3] = {x, y, x};
    for (int create_graph = 0; create_graph < 2; create_graph++) {
        ck_assert_int_eq(grad(y, TAPE_NONE, xs, 3, create_graph, out), TAPE_OK);
        check_values(out[0], D(6, 10), 2);
        check_values(out[1], D(1), 1);
        check_values(out[2], D(6, 10), 2);
    }
    tape_reset();
    tape_free(x);
}
END_TEST

START_TEST(test_cotangent_stays_the_callers)
{
    tape_tensor x = param(3, D(1, 2, 3)), y = tape_square(x), g;
    tape_tensor cotangent = tape_from(TAPE_F64, TAPE_SHAPE(3), D(10, 20, 30));
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(grad(y, cotangent, &x, 1, false, &g), TAPE_OK);
        tape_tensor other = tape_full(TAPE_F64, TAPE_SHAPE(3), -1); /* takes whatever was given back by mistake */
        check_values(cotangent, D(10, 20, 30), 3);
        check_values(g, D(20, 80, 180), 3);
        check_values(other, D(-1, -1, -1), 3);
        ck_assert_int_eq(tape_backward_with(y, cotangent), TAPE_OK);
    }
    check_values(tape_gradient(x), D(60, 240, 540), 3);
    tape_reset();
    tape_free(x);
}
END_TEST

START_TEST(test_cotangent_with_strides)
{
    tape_tensor x = tape_param(TAPE_F64, TAPE_SHAPE(2, 2), D(1, 2, 3, 4)), y = tape_add_scalar(x, 1), g;
    tape_tensor whole = tape_from(TAPE_F64, TAPE_SHAPE(2, 2), D(1, 2, 3, 4));
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(grad(y, tape_transpose(whole, 0, 1), &x, 1, i, &g), TAPE_OK);
        check_values(g, D(1, 3, 2, 4), 4);
        check_values(whole, D(1, 2, 3, 4), 4);
    }
    tape_reset();
    tape_free(x);
}
END_TEST

/* The cotangent lies on the tape below y and has a history of its own, through which nothing may flow. */
START_TEST(test_cotangent_with_history)
{
    tape_tensor x = param(2, D(1, 2)), cotangent = tape_add_scalar(x, 9), y = tape_square(x), g;
    ck_assert_int_eq(grad(y, cotangent, &x, 1, false, &g), TAPE_OK);
    check_values(g, D(20, 44), 2);
    ck_assert_int_eq(tape_backward_with(y, cotangent), TAPE_OK);
    ck_assert_int_eq(tape_backward(tape_sum(y, TAPE_ALL, false)), TAPE_OK);
    check_values(tape_gradient(x), D(22, 48), 2);
    tape_reset();
    tape_free(x);
}
END_TEST

START_TEST(test_ys_of_each_other)
{
    tape_tensor x = param(1, D(3)), y = tape_square(x), z = tape_square(y), out[3];
    const tape_tensor ys[4] = {z, y, x, z}, xs[3] = {y, x, z};
    for (int create_graph = 0; create_graph < 2; create_graph++) {
        ck_assert_int_eq(tape_grad(ys, 4, NULL, xs, 3, &(tape_grad_options){.create_graph = create_graph}, out),
                         TAPE_OK);
        check_values(out[0], D(2 * 2 * 9 + 1), 1);
        check_values(out[1], D((2 * 2 * 9 + 1) * 6 + 1), 1);
        check_values(out[2], D(2), 1);
    }
    tape_reset();
    tape_free(x);
}
END_TEST

START_TEST(test_leaf_frozen_and_thawed)
{
    tape_tensor x = param(2, D(3, 5)), y = tape_square(x), g;
    tape_set_requires_grad(x, false);
    tape_tensor constant = tape_mul_scalar(x, 2);
    tape_set_requires_grad(x, true);
    y = tape_sum(tape_add(tape_mul(y, constant), x), TAPE_ALL, false);
    ck_assert_int_eq(grad(y, TAPE_NONE, &x, 1, false, &g), TAPE_OK);
    check_values(g, D(2 * 3 * 6 + 1, 2 * 5 * 10 + 1), 2);
    ck_assert_int_eq(tape_backward(y), TAPE_OK);
    check_values(tape_gradient(x), D(2 * 3 * 6 + 1, 2 * 5 * 10 + 1), 2);
    tape_reset();
    tape_free(x);
}
END_TEST

/* ---- hooks --------------------------------------------------------------------------------------------------- */

static tape_tensor free_other(void *user, tape_tensor g)
{
    tape_free(*(tape_tensor *)user);
    return g;
}

START_TEST(test_hook_frees_a_leaf)
{
    for (int self = 0; self < 3; self++) { /* another leaf, which was committed before or comes after; itself */
        tape_tensor leaf[2] = {param(2, D(1, 2)), param(2, D(3, 4))}, hooked = leaf[self == 1];
        tape_tensor y = tape_sum(tape_mul(leaf[0], leaf[1]), TAPE_ALL, false);
        tape_tensor victim = self == 2 ? hooked : leaf[self == 0];
        tape_hook(hooked, free_other, &victim);
        ck_assert_int_eq(tape_backward(y), TAPE_OK);
        ck_assert(!tape_is_valid(victim));
        if (self < 2)
            check_values(tape_gradient(hooked), self == 1 ? D(1, 2) : D(3, 4), 2);
        tape_tensor next = param(2, D(7, 8));
        ck_assert(tape_is_none(tape_gradient(next)));
        tape_reset();
        tape_free(next);
        tape_free(leaf[0]);
        tape_clear();
        tape_free(leaf[1]);
        tape_clear();
    }
}
END_TEST

static tape_tensor refreeze_and_double(void *user, tape_tensor g)
{
    const tape_tensor *leaf = user;
    tape_set_requires_grad(*leaf, false);
    tape_tensor scaled = tape_add(g, tape_mul_scalar(*leaf, 0));
    tape_set_requires_grad(*leaf, true);
    return tape_add(scaled, g);
}

START_TEST(test_hook_uses_its_leaf_frozen)
{
    tape_tensor x = param(2, D(3, 5)), y = tape_sum(tape_square(x), TAPE_ALL, false);
    tape_hook(x, refreeze_and_double, &x);
    ck_assert_int_eq(tape_backward(y), TAPE_OK);
    check_values(tape_gradient(x), D(12, 20), 2);
    tape_reset();
    tape_free(x);
}
END_TEST

static tape_tensor doubled(void *user, tape_tensor g)
{
    (void)user;
    return tape_mul_scalar(g, 2);
}

START_TEST(test_hook_leaves_nothing_behind)
{
    tape_tensor x = param(512, NULL), y = tape_sum(tape_square(x), TAPE_ALL, false);
    tape_hook(x, doubled, NULL);
    size_t bytes[2];
    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(tape_backward(y), TAPE_OK);
        bytes[i > 4] = tape_stats().bytes_now;
        if (i == 4)
            bytes[0] = bytes[1] = tape_stats().bytes_now;
    }
    ck_assert_uint_eq(bytes[1], bytes[0]);
    tape_reset();
    tape_free(x);
}
END_TEST

/* ---- memory -------------------------------------------------------------------------------------------------- */

START_TEST(test_failed_grad_goes_back)
{
    tape_tensor x = param(2, D(3, 5)), a = tape_exp(x), y = tape_sum(tape_square(a), TAPE_ALL, false), g;
    int64_t records = tape_stats().records;
    ((double *)tape_data_mut(a))[0] = 1;
    for (int create_graph = 0; create_graph < 2; create_graph++) {
        ck_assert_int_eq(grad(y, TAPE_NONE, &x, 1, create_graph, &g), TAPE_ERROR_VERSION);
        ck_assert(tape_is_null(g));
        ck_assert_int_eq(tape_stats().records, records);
        tape_clear();
    }
    tape_reset();
    tape_free(x);
}
END_TEST

START_TEST(test_assign_from_a_view_of_itself)
{
    tape_tensor x = tape_const(TAPE_F64, TAPE_SHAPE(2, 3), D(1, 2, 3, 4, 5, 6));
    tape_tensor column = tape_reshape(tape_slice(tape_flatten(x, 0, -1), 0, 0, 2, 1), TAPE_SHAPE(2, 1));
    ck_assert_int_eq(tape_assign(x, column), TAPE_OK);
    check_values(x, D(1, 1, 1, 2, 2, 2), 6);
    tape_reset();
    tape_free(x);
    x = tape_const(TAPE_F64, TAPE_SHAPE(2, 3), D(1, 2, 3, 4, 5, 6));
    size_t before = 0;
    for (int i = 0; i < 2; i++) { /* takes no memory of the tape once warm */
        ck_assert_int_eq(tape_assign(x, tape_flip(x, TAPE_AXES(0, 1))), TAPE_OK);
        tape_reset();
        before = i ? before : tape_stats().bytes_reserved;
    }
    check_values(x, D(1, 2, 3, 4, 5, 6), 6);
    ck_assert_uint_eq(tape_stats().bytes_reserved, before);
    tape_reset();
    tape_free(x);
}
END_TEST

START_TEST(test_error_of_no_current_tape)
{
    tape *mine = tape_current();
    tape_fail(TAPE_ERROR_IO, "spilt coffee");
    tape_make_current(NULL);
    ck_assert_int_eq(tape_last_status(), TAPE_ERROR_IO);
    tape_clear();
    ck_assert_int_eq(tape_last_status(), TAPE_OK);
    tape_make_current(mine);
}
END_TEST

START_TEST(test_gradient_of_a_gradient)
{
    tape_tensor x = param(2, D(3, 5));
    ck_assert_int_eq(tape_backward(tape_sum(x, TAPE_ALL, false)), TAPE_OK);
    ck_assert_int_eq(tape_set_requires_grad(tape_gradient(x), true), TAPE_ERROR_STATE);
    tape_reset();
    tape_free(x);
}
END_TEST

/* ---- no elements --------------------------------------------------------------------------------------------- */

START_TEST(test_many_empty_rows)
{
    char text[128];
    tape_tensor x = tape_zeros(TAPE_F32, TAPE_SHAPE((int64_t)1 << 50, 0));
    ck_assert_uint_gt(tape_format(x, text, sizeof text), 0);
    ck_assert_str_eq(text, "[[], [], [], ..., [], [], []] f32[1125899906842624, 0]");
    tape_reset();
}
END_TEST

/* The first use of an op's work space asks for none of it. */
START_TEST(test_empty_batch_on_a_fresh_tape)
{
    tape *fresh = tape_create(NULL), *before = tape_make_current(fresh);
    tape_tensor x = tape_zeros(TAPE_F64, TAPE_SHAPE(0, 3)), target = tape_zeros(TAPE_I64, TAPE_SHAPE(0));
    tape_tensor y = tape_cross_entropy(x, target, &(tape_cross_entropy_options){.reduction = TAPE_REDUCE_SUM});
    check_values(y, D(0), 1);
    tape_make_current(before);
    tape_destroy(fresh);
}
END_TEST

/* A reset forgets layouts where there are very many: others then lie where they were, and loops must not take these for
 * those that they knew. */
START_TEST(test_layouts_made_anew)
{
    enum { LAYOUTS = 9000, ROUNDS = 6, LARGEST = 9 * 40 };
    static double zero[LAYOUTS], a[LARGEST], b[LARGEST], got[LARGEST];
    for (int i = 0; i < LARGEST; i++)
        a[i] = 1 + i, b[i] = 3 - i;
    for (int round = 0; round < ROUNDS; round++) {
        const int64_t rows = 2 + (round * 5) % 7, n = 17 + (round * 11) % 23;
        tape_tensor x = tape_from(TAPE_F64, TAPE_SHAPE(rows, n), a), y = tape_from(TAPE_F64, TAPE_SHAPE(n), b);
        ck_assert_int_eq(tape_read(tape_mul(x, y), got, rows * n), TAPE_OK);
        for (int64_t i = 0; i < rows * n; i++)
            ck_assert_double_eq(got[i], a[i] * b[i % n]);
        tape_tensor many = tape_from(TAPE_F64, TAPE_SHAPE(LAYOUTS), zero);
        for (int64_t size = 1; size < LAYOUTS; size++)
            ck_assert(!tape_is_null(tape_narrow(many, 0, 0, size)));
        ck_assert_int_eq(tape_reset(), TAPE_OK);
    }
}
END_TEST

static Suite *corners_suite(void)
{
    Suite *suite = suite_create("corners");
    TCase *tc = tcase_create("corners");
    tcase_add_loop_test(tc, test_axes_of_every_kind, 0, 20);
    tcase_add_loop_test(tc, test_small_tensors_side_by_side, 0, 2);
    tcase_add_test(tc, test_wrong_parts);
    tcase_add_test(tc, test_layouts_made_anew);
    tcase_add_test(tc, test_duplicate_xs);
    tcase_add_test(tc, test_cotangent_stays_the_callers);
    tcase_add_test(tc, test_cotangent_with_strides);
    tcase_add_test(tc, test_cotangent_with_history);
    tcase_add_test(tc, test_ys_of_each_other);
    tcase_add_test(tc, test_leaf_frozen_and_thawed);
    tcase_add_test(tc, test_hook_frees_a_leaf);
    tcase_add_test(tc, test_hook_uses_its_leaf_frozen);
    tcase_add_test(tc, test_hook_leaves_nothing_behind);
    tcase_add_test(tc, test_failed_grad_goes_back);
    tcase_add_test(tc, test_assign_from_a_view_of_itself);
    tcase_add_test(tc, test_error_of_no_current_tape);
    tcase_add_test(tc, test_gradient_of_a_gradient);
    tcase_add_test(tc, test_many_empty_rows);
    tcase_add_test(tc, test_empty_batch_on_a_fresh_tape);
    suite_add_tcase(suite, tc);
    return suite;
}

int main(void)
{
    SRunner *runner = srunner_create(corners_suite());
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
