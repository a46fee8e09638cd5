/* Random programs whose derivatives are known by other means: numeric ones, the other modes, a run with all memory. */
#include "fuzz.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

enum { INPUTS = 3, VALUES = 10, STEPS = 7, SIDE = 3, ELEMENTS = SIDE * SIDE };

/* y of the shape of a and b, 3 x 3, smooth, and moderate for moderate operands. */
static tape_tensor square_op(int which, tape_tensor a, tape_tensor b, int axis)
{
    switch (which) {
    case 0:
        return tape_tanh(tape_matmul(a, b));
    case 1:
        return tape_mul(a, b);
    case 2:
        return tape_sub(tape_sin(a), b);
    case 3:
        return tape_transpose(a, 0, 1);
    case 4:
        return tape_softmax(a, axis);
    case 5:
        return tape_layer_norm(a, tape_select(b, 0, axis), TAPE_NONE, 1, 1e-1);
    case 6:
        return tape_flip(tape_cumsum(a, axis), TAPE_AXES(axis));
    case 7:
        return tape_concat((tape_tensor[]){tape_narrow(a, axis, 1, 2), tape_narrow(b, axis, 0, 1)}, 2, axis);
    case 8:
        return tape_add(tape_expand(tape_mean(a, TAPE_AXES(axis), true), TAPE_SHAPE(SIDE, SIDE)), b);
    case 9:
        return tape_inverse(tape_add(tape_tanh(a), tape_mul_scalar(tape_eye(TAPE_F64, SIDE, SIDE), 4)));
    case 10:
        return tape_where(tape_gt_scalar(tape_detach(b), 0), tape_sigmoid(a), tape_roll(b, axis, 1));
    case 11:
        return tape_index_select(a, axis, tape_from(TAPE_I64, TAPE_SHAPE(SIDE), (int64_t[]){2, 0, 2}));
    case 12:
        return tape_div(a, tape_add_scalar(tape_square(b), 1));
    case 13:
        return tape_linear(a, b, tape_logsumexp(a, TAPE_AXES(axis), false));
    case 14:
        return tape_tril(tape_exp(tape_tanh(a)), axis);
    default:
        return tape_slice(tape_stack((tape_tensor[]){a, tape_neg(b)}, 2, 0), 0, axis, axis + 1, 1);
    }
}

/* A tape_function; `user` is the seed. */
static tape_tensor program(void *user, const tape_tensor *x, int n)
{
    struct fuzz f = {.random = *(const uint64_t *)user};
    tape_tensor value[VALUES];
    for (int i = 0; i < n; i++)
        value[i] = x[i];
    for (int i = n; i < n + STEPS; i++) {
        int which = fuzz_below(&f, 16), axis = fuzz_below(&f, 2);
        tape_tensor a = value[fuzz_chance(&f, 2) ? i - 1 : fuzz_below(&f, i)], b = value[fuzz_below(&f, i)];
        value[i] = tape_reshape(square_op(which, a, b, axis), TAPE_SHAPE(SIDE, SIDE));
    }
    tape_tensor weights = tape_reshape(tape_linspace(TAPE_F64, 0.5, 1.5, ELEMENTS), TAPE_SHAPE(SIDE, SIDE));
    return tape_sum(tape_mul(value[n + STEPS - 1], weights), TAPE_ALL, false);
}

static void inputs(struct fuzz *f, tape_tensor *x)
{
    for (int i = 0; i < INPUTS; i++) {
        double data[ELEMENTS];
        for (int j = 0; j < ELEMENTS; j++)
            data[j] = (double)(fuzz_bits(f) >> 11) * 0x1p-52 - 1;
        x[i] = tape_param(TAPE_F64, TAPE_SHAPE(SIDE, SIDE), data);
    }
}

/* The gradient as tape_grad() gives it; zeros where nothing connects. */
static tape_status gradient(uint64_t *seed, const tape_tensor *x, bool create_graph, double g[INPUTS][ELEMENTS])
{
    tape_tensor y = program(seed, x, INPUTS), out[INPUTS];
    memset(g, 0, sizeof(double[INPUTS][ELEMENTS]));
    tape_status status = tape_grad(&y, 1, NULL, x, INPUTS, &(tape_grad_options){create_graph}, out);
    for (int i = 0; i < INPUTS && status == TAPE_OK; i++)
        if (!tape_is_none(out[i]))
            status = tape_read(out[i], g[i], ELEMENTS);
    return status;
}

static void compare(uint64_t seed, const char *what, double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance * fmax(1, fabs(want))))
        complain("seed %lu: %s: %.17g instead of %.17g", (unsigned long)seed, what, got, want);
}

static void other_modes(uint64_t seed, const tape_tensor *x, double g[INPUTS][ELEMENTS])
{
    double again[INPUTS][ELEMENTS], sum = 0;
    if (gradient(&seed, x, true, again) != TAPE_OK)
        complain("seed %lu: create_graph: %s", (unsigned long)seed, tape_message());
    tape_tensor y = program(&seed, x, INPUTS), tangents[INPUTS], t = TAPE_NONE;
    for (int i = 0; i < INPUTS; i++)
        tangents[i] = tape_ones_like(x[i]);
    if (tape_jvp(&y, 1, x, INPUTS, tangents, NULL, &t) != TAPE_OK || tape_backward(y) != TAPE_OK)
        complain("seed %lu: jvp: %s", (unsigned long)seed, tape_message());
    for (int i = 0; i < INPUTS; i++) {
        tape_tensor leaf = tape_gradient(x[i]);
        double accumulated[ELEMENTS] = {0};
        if (!tape_is_none(leaf))
            tape_read(leaf, accumulated, ELEMENTS);
        for (int j = 0; j < ELEMENTS; j++) {
            sum += g[i][j];
            compare(seed, "create_graph", again[i][j], g[i][j], 1e-11);
            compare(seed, "backward", accumulated[j], g[i][j], 1e-11);
        }
    }
    compare(seed, "jvp", tape_is_none(t) ? 0 : tape_item(t), sum, 1e-10);
}

/* Memory fails somewhere on the way: an error, or else the same gradient to the bit. */
static void starved(uint64_t seed, const tape_tensor *x, double g[INPUTS][ELEMENTS])
{
    struct fuzz_memory memory = {.random = seed};
    tape_config config = {.allocator = fuzz_allocator, .allocator_user = &memory};
    tape *t = tape_create(&config);
    tape *before = tape_make_current(t);
    memory.refuse_one_in = 6;
    for (int i = 0; i < 4; i++) {
        double again[INPUTS][ELEMENTS];
        tape_status status = gradient(&seed, x, i & 1, again);
        if (status == TAPE_OK && !(i & 1) && memcmp(again, g, sizeof again) != 0)
            complain("seed %lu: another gradient where memory is short", (unsigned long)seed);
        if (status != TAPE_OK && status != TAPE_ERROR_MEMORY)
            complain("seed %lu: short memory is %s", (unsigned long)seed, tape_message());
        tape_reset();
    }
    tape_make_current(before);
    tape_destroy(t);
    if (memory.live != 0)
        complain("seed %lu: %ld blocks are left", (unsigned long)seed, (long)memory.live);
}

void fuzz_gradients(uint64_t seed)
{
    struct fuzz f = {.random = ~seed};
    tape_tensor x[INPUTS];
    inputs(&f, x);
    double g[INPUTS][ELEMENTS];
    if (gradient(&seed, x, false, g) != TAPE_OK)
        complain("seed %lu: %s", (unsigned long)seed, tape_message());
    other_modes(seed, x, g);
    tape_reset();
    starved(seed, x, g);
    tape_gradcheck_options options = {.tolerance = 1e-6, .absolute = 1e-9, .second_order = seed % 4 == 0, .limit = 4};
    tape_gradcheck_report report;
    if (!tape_gradcheck(program, &seed, x, INPUTS, &options, &report))
        complain("seed %lu: %s", (unsigned long)seed, report.message);
    tape_reset();
    for (int i = 0; i < INPUTS; i++)
        tape_free(x[i]);
}
