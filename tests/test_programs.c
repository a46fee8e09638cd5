/* Random programs: what single ops cannot show. Values with many users, adjoints that are shared, views of views,
 * results that nothing uses; each is checked in first and second order and on both paths. */
#include "table.h"
#include "tape/gradcheck.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

enum { POOL = 16, INPUTS = 3, PROGRAMS = 200 };

struct program {
    uint64_t seed;
    int length;
};

static int pick(uint64_t *state, int n)
{
    return (int)draw(state, 0, n);
}

/* One more value of shape [3, 4] from two of the pool. */
static tape_tensor step(uint64_t *state, tape_tensor a, tape_tensor b, tape_tensor square)
{
    switch (pick(state, 22)) {
    case 0:
        return tape_add(a, b);
    case 1:
        return tape_sub(a, b);
    case 2:
        return tape_mul(a, b);
    case 3:
        return tape_add(a, a);
    case 4:
        return tape_mul(a, a);
    case 5:
        return tape_tanh(a);
    case 6:
        return tape_sin(a);
    case 7:
        return tape_neg(a);
    case 8:
        return tape_reshape(tape_reshape(a, TAPE_SHAPE(2, 6)), TAPE_SHAPE(3, 4));
    case 9:
        return tape_reshape(tape_transpose(a, 0, 1), TAPE_SHAPE(3, 4));
    case 10:
        return tape_flip(a, TAPE_AXES(1));
    case 11: {
        const tape_tensor halves[] = {tape_slice(a, 1, 0, 2, 1), tape_slice(b, 1, 2, 4, 1)};
        return tape_concat(halves, 2, 1);
    }
    case 12:
        return tape_add(a, tape_slice(b, 0, 1, 2, 1));
    case 13:
        return tape_mul(a, tape_mean(b, TAPE_AXES(0), true));
    case 14:
        return tape_expand(tape_sum(a, TAPE_AXES(1), true), TAPE_SHAPE(3, 4));
    case 15:
        return tape_sub(a, tape_mean(a, TAPE_ALL, false));
    case 16:
        return tape_cumsum(tape_mul_scalar(a, 0.3), 1);
    case 17:
        return tape_matmul(a, tape_mul_scalar(square, 0.5));
    case 18:
        return tape_tanh(tape_matmul(tape_matmul(a, tape_transpose(b, 0, 1)), a));
    case 19:
        return tape_where(tape_gt_scalar(a, 0.1234), b, tape_mul_scalar(a, 0.7));
    case 20:
        return tape_maximum(a, tape_roll(b, 1, 1));
    default:
        return tape_div(a, tape_add_scalar(tape_square(b), 1));
    }
}

static tape_tensor run_program(void *user, const tape_tensor *x, int n)
{
    const struct program *program = user;
    uint64_t state = program->seed;
    tape_tensor pool[POOL];
    (void)n;
    for (int i = 0; i < POOL; i++)
        pool[i] = x[i % 2];
    for (int i = 0; i < program->length; i++) {
        int a = pick(&state, POOL), b = pick(&state, POOL), into = pick(&state, POOL);
        pool[into] = tape_tanh(step(&state, pool[a], pool[b], x[2]));
    }
    tape_tensor y = pool[0];
    for (int i = 1; i < 4; i++)
        y = tape_add(y, pool[i]);
    return y;
}

static void compare_paths(struct program *program, const tape_tensor *x)
{
    tape_tensor y = run_program(program, x, INPUTS), ones = tape_ones_like(y), plain[INPUTS], recorded[INPUTS];
    tape_grad(&y, 1, &ones, x, INPUTS, NULL, plain);
    tape_grad(&y, 1, &ones, x, INPUTS, &(tape_grad_options){.create_graph = true}, recorded);
    for (int i = 0; i < INPUTS && tape_last_status() == TAPE_OK; i++) {
        if (tape_is_none(plain[i]) != tape_is_none(recorded[i]))
            complain("program %d: input %d is connected on one path alone", (int)program->seed, i);
        double *p = tape_is_none(plain[i]) ? NULL : doubles_of(plain[i]);
        double *r = tape_is_none(recorded[i]) ? NULL : doubles_of(recorded[i]);
        for (int64_t e = 0; p && r && e < tape_numel(x[i]); e++)
            if (fabs(p[e] - r[e]) > 1e-12 * fmax(1, fabs(p[e])))
                complain("program %d: the paths give %.17g and %.17g", (int)program->seed, p[e], r[e]);
        free(p);
        free(r);
    }
    tape_backward_with(y, ones);
    if (tape_last_status() != TAPE_OK)
        complain("program %d: %s", (int)program->seed, tape_message());
    for (int i = 0; i < INPUTS; i++) {
        tape_tensor g = tape_gradient(x[i]);
        if (tape_is_none(g))
            continue;
        double *got = doubles_of(g), *p = doubles_of(plain[i]);
        for (int64_t e = 0; got && p && e < tape_numel(x[i]); e++)
            if (fabs(got[e] - p[e]) > 1e-12 * fmax(1, fabs(p[e])))
                complain("program %d: backward gives %.17g, grad %.17g", (int)program->seed, got[e], p[e]);
        free(got);
        free(p);
        tape_zero_grad(x[i]);
    }
    tape_reset();
}

START_TEST(test_random_programs)
{
    const tape_shape shapes[INPUTS] = {TAPE_SHAPE(3, 4), TAPE_SHAPE(3, 4), TAPE_SHAPE(4, 4)};
    const tape_gradcheck_options modes[] = {{0}, {.second_order = true, .directional = true, .tolerance = 1e-6}};
    for (int k = 0; k < PROGRAMS; k++) {
        struct program program = {.seed = (uint64_t)k, .length = 4 + k % 20};
        uint64_t state = 1000 + (uint64_t)k;
        tape_tensor x[INPUTS];
        for (int i = 0; i < INPUTS; i++) {
            double values[16];
            for (int e = 0; e < 16; e++)
                values[e] = draw(&state, -1, 1);
            x[i] = leaf_of(TAPE_F64, shapes[i], values, true);
        }
        for (int mode = 0; mode < 2; mode++) {
            tape_gradcheck_report report;
            if (!tape_gradcheck(run_program, &program, x, INPUTS, &modes[mode], &report))
                complain("program %d: %s", k, report.message);
            tape_reset();
        }
        compare_paths(&program, x);
        for (int i = 0; i < INPUTS; i++)
            tape_free(x[i]);
    }
    settle();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("programs");
    TCase *all = tcase_create("all");
    tcase_add_test(all, test_random_programs);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
