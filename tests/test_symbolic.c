/* The symbolic differentiator that `tape compare` sets beside the tape: its rules, simplifications and sizes by hand,
 * and its derivatives against the tape's over random expressions. */
#include "../tools/cli/symbolic.c"

#include <check.h>

#include "table.h"

enum { VARIABLES = 3, GROWN = 24, PROGRAMS = 200 };

static symbolic s;

static void setup(void)
{
    s = (symbolic){0};
}

static void teardown(void)
{
    ck_assert(!s.failed);
    symbolic_free(&s);
    ck_assert_msg(tape_last_status() == TAPE_OK, "%s", tape_message());
    tape_reset();
}

static void same(symbolic_expression a, symbolic_expression b)
{
    ck_assert_uint_eq(a, b);
}

START_TEST(test_simplification)
{
    symbolic_expression x = symbolic_variable(&s, 0), y = symbolic_variable(&s, 1);
    symbolic_expression zero = symbolic_number(&s, 0), one = symbolic_number(&s, 1);
    same(symbolic_binary(&s, SYMBOLIC_add, x, zero), x);
    same(symbolic_binary(&s, SYMBOLIC_add, zero, x), x);
    same(symbolic_binary(&s, SYMBOLIC_sub, x, zero), x);
    same(symbolic_binary(&s, SYMBOLIC_sub, x, x), zero);
    same(symbolic_binary(&s, SYMBOLIC_sub, zero, x), symbolic_unary(&s, SYMBOLIC_neg, x));
    same(symbolic_binary(&s, SYMBOLIC_mul, x, zero), zero);
    same(symbolic_binary(&s, SYMBOLIC_mul, zero, x), zero);
    same(symbolic_binary(&s, SYMBOLIC_mul, one, x), x);
    same(symbolic_binary(&s, SYMBOLIC_mul, x, one), x);
    same(symbolic_binary(&s, SYMBOLIC_div, x, one), x);
    same(symbolic_binary(&s, SYMBOLIC_div, zero, x), zero);
    same(symbolic_binary(&s, SYMBOLIC_pow, x, one), x);
    same(symbolic_binary(&s, SYMBOLIC_pow, x, zero), one);
    same(symbolic_unary(&s, SYMBOLIC_neg, symbolic_unary(&s, SYMBOLIC_neg, x)), x);
    same(symbolic_binary(&s, SYMBOLIC_mul, symbolic_number(&s, 2), symbolic_number(&s, 3)), symbolic_number(&s, 6));
    same(symbolic_unary(&s, SYMBOLIC_exp, zero), one);
    same(symbolic_binary(&s, SYMBOLIC_mul, x, y), symbolic_binary(&s, SYMBOLIC_mul, x, y));
    ck_assert_uint_ne(symbolic_binary(&s, SYMBOLIC_mul, x, y), symbolic_binary(&s, SYMBOLIC_mul, y, x));
}
END_TEST

/* d/dx of x y + sin x is y + cos x, and of x^3 it is 3 x^2. */
START_TEST(test_rules)
{
    symbolic_expression x = symbolic_variable(&s, 0), y = symbolic_variable(&s, 1), three = symbolic_number(&s, 3);
    symbolic_expression f =
        symbolic_binary(&s, SYMBOLIC_add, symbolic_binary(&s, SYMBOLIC_mul, x, y), symbolic_unary(&s, SYMBOLIC_sin, x));
    symbolic_expression d = symbolic_derivative(&s, f, 0);
    same(d, symbolic_binary(&s, SYMBOLIC_add, y, symbolic_unary(&s, SYMBOLIC_cos, x)));
    same(symbolic_derivative(&s, f, 1), x);
    same(symbolic_derivative(&s, f, 2), symbolic_number(&s, 0));
    symbolic_expression squared = symbolic_binary(&s, SYMBOLIC_pow, x, symbolic_number(&s, 2));
    same(symbolic_derivative(&s, symbolic_binary(&s, SYMBOLIC_pow, x, three), 0),
         symbolic_binary(&s, SYMBOLIC_mul, three, squared));
}
END_TEST

/* Each squaring by a product doubles the tree and adds one node to the list. */
START_TEST(test_sizes)
{
    symbolic_expression e = symbolic_variable(&s, 0);
    const double x = 1.01;
    for (int depth = 1; depth <= 10; depth++) {
        e = symbolic_binary(&s, SYMBOLIC_mul, e, e);
        symbolic_program p = symbolic_compile(&s, e);
        ck_assert_uint_eq(p.count, (unsigned)depth + 1);
        ck_assert_double_eq(symbolic_tree_size(&s, e), ldexp(1, depth + 1) - 1);
        ck_assert_double_eq_tol(symbolic_run(&p, &x), pow(x, ldexp(1, depth)), 1e-9);
        ck_assert_double_eq(symbolic_tree_value(&s, e, &x), symbolic_run(&p, &x));
        symbolic_program_free(&p);
    }
}
END_TEST

/* ---- against the tape -------------------------------------------------------------------------------------------- */

#define TAPE_UNARY(name)                                                                                               \
    case SYMBOLIC_##name:                                                                                              \
        return tape_##name(a);
#define TAPE_BINARY(name)                                                                                              \
    case SYMBOLIC_##name:                                                                                              \
        return tape_##name(a, b);

static tape_tensor on_tape(symbolic_op op, tape_tensor a, tape_tensor b)
{
    switch (op) {
        SYMBOLIC_UNARY_OPS(TAPE_UNARY)
        SYMBOLIC_BINARY_OPS(TAPE_BINARY)
    default:
        return TAPE_NULL;
    }
}

/* Where an op's value and slope stay moderate, so that rounding is all that the two sides differ by. */
static bool is_tame(symbolic_op op, double a, double b)
{
    double least = op == SYMBOLIC_sqrt || op == SYMBOLIC_log || op == SYMBOLIC_pow ? 0.2 : -4;
    double size = op == SYMBOLIC_recip ? fabs(a) : op == SYMBOLIC_div ? fabs(b) : 1;
    bool near_pole = op == SYMBOLIC_tan && fabs(cos(a)) < 0.3;
    return a >= least && fabs(a) < 4 && fabs(b) < 4 && size > 0.3 && !near_pole;
}

static double number_below(uint64_t *state, double below)
{
    return draw(state, 0, below);
}

/* Values grown by random ops from the variables, on both sides at once; compares every derivative of the last. */
static void compare_program(uint64_t seed)
{
    symbolic_expression e[VARIABLES + GROWN];
    tape_tensor y[VARIABLES + GROWN], gx[VARIABLES];
    double x[VARIABLES];
    int count = VARIABLES;
    for (int i = 0; i < VARIABLES; i++) {
        x[i] = draw(&seed, 0.3, 1.5);
        e[i] = symbolic_variable(&s, (uint32_t)i);
        y[i] = tape_param(TAPE_F64, TAPE_SCALAR, &x[i]);
    }
    while (count < VARIABLES + GROWN) {
        symbolic_op op = (symbolic_op)(SYMBOLIC_neg + (int)number_below(&seed, SYMBOLIC_pow - SYMBOLIC_neg + 1));
        int a = (int)number_below(&seed, count), b = (int)number_below(&seed, count);
        if (!is_tame(op, tape_item(y[a]), tape_item(y[b])))
            continue;
        y[count] = on_tape(op, y[a], y[b]);
        e[count] = is_binary(op) ? symbolic_binary(&s, op, e[a], e[b]) : symbolic_unary(&s, op, e[a]);
        count++;
    }
    ck_assert_double_eq_tol(symbolic_tree_value(&s, e[count - 1], x), tape_item(y[count - 1]), 1e-9);
    tape_grad(&y[count - 1], 1, NULL, y, VARIABLES, NULL, gx);
    for (int i = 0; i < VARIABLES; i++) {
        symbolic_expression d = symbolic_derivative(&s, e[count - 1], (uint32_t)i);
        symbolic_program p = symbolic_compile(&s, d);
        double automatic = tape_is_none(gx[i]) ? 0 : tape_item(gx[i]), by_rules = symbolic_run(&p, x);
        if (!(fabs(automatic - by_rules) <= 1e-9 * fmax(1, fabs(automatic))))
            complain("variable %d: the tape says %.17g, the rules %.17g", i, automatic, by_rules);
        symbolic_program_free(&p);
        tape_free(y[i]);
    }
}

START_TEST(test_against_the_tape)
{
    for (uint64_t seed = 1; seed <= PROGRAMS; seed++) {
        compare_program(seed);
        tape_reset();
        symbolic_free(&s);
    }
    settle();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("symbolic");
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, setup, teardown);
    tcase_add_test(all, test_simplification);
    tcase_add_test(all, test_rules);
    tcase_add_test(all, test_sizes);
    tcase_add_test(all, test_against_the_tape);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
