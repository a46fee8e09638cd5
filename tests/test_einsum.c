/* einsum's grammar against plain loops over every letter, and its errors. */
#include "expect.h"
#include "table.h"
#include "tape/gradcheck.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 4 };

/* An equation, the same with letters alone and with its result spelled out, the shapes (of sizes 1, an axis that the
 * plain equation has not got), and the result's shape. */
static const struct use {
    const char *equation, *plain;
    int n;
    tape_shape shape[MOST], result;
} uses[] = {
    {"ij,jk->ik", "ij,jk->ik", 2, {{2, {2, 3}}, {2, {3, 4}}}, {2, {2, 4}}},
    {"ij,jk", "ij,jk->ik", 2, {{2, {2, 3}}, {2, {3, 4}}}, {2, {2, 4}}},
    {" b i j , b j k -> b k i ", "bij,bjk->bki", 2, {{3, {2, 3, 4}}, {3, {2, 4, 2}}}, {3, {2, 2, 3}}},
    {"i,i->", "i,i->", 2, {{1, {5}}, {1, {5}}}, {0, {0}}},
    {"i,j->ji", "i,j->ji", 2, {{1, {2}}, {1, {3}}}, {2, {3, 2}}},
    {"ii", "ii->", 1, {{2, {3, 3}}}, {0, {0}}},
    {"ii->i", "ii->i", 1, {{2, {3, 3}}}, {1, {3}}},
    {"iij->ji", "iij->ji", 1, {{3, {2, 2, 3}}}, {2, {3, 2}}},
    {"iii->i", "iii->i", 1, {{3, {3, 3, 3}}}, {1, {3}}},
    {"ijij->ij", "ijij->ij", 1, {{4, {2, 3, 2, 3}}}, {2, {2, 3}}},
    {"ba", "ba->ab", 1, {{2, {2, 3}}}, {2, {3, 2}}},
    {"aB", "aB->Ba", 1, {{2, {2, 3}}}, {2, {3, 2}}},
    {"ijk->", "ijk->", 1, {{3, {2, 3, 2}}}, {0, {0}}},
    {"ij->j", "ij->j", 1, {{2, {2, 3}}}, {1, {3}}},
    {"...ij,...jk->...ik", "abij,bjk->abik", 2, {{4, {2, 3, 2, 3}}, {3, {3, 3, 2}}}, {4, {2, 3, 2, 2}}},
    {"...ij,...jk", "abij,bjk->abik", 2, {{4, {2, 3, 2, 3}}, {3, {3, 3, 2}}}, {4, {2, 3, 2, 2}}},
    {"i...->...", "iab->ab", 1, {{3, {2, 3, 2}}}, {2, {3, 2}}},
    {"i...->i", "iab->i", 1, {{3, {2, 3, 2}}}, {1, {2}}},
    {"...->...", "ab->ab", 1, {{2, {2, 3}}}, {2, {2, 3}}},
    {"...,...", "ab,b->ab", 2, {{2, {2, 3}}, {1, {3}}}, {2, {2, 3}}},
    {"i...i->...i", "iai->ai", 1, {{3, {3, 2, 3}}}, {2, {2, 3}}},
    {"bij,bjk,k,b->bi", "bij,bjk,k,b->bi", 4, {{3, {2, 3, 4}}, {3, {2, 4, 2}}, {1, {2}}, {1, {2}}}, {2, {2, 3}}},
    {"ij,kl->ijkl", "ij,kl->ijkl", 2, {{2, {2, 3}}, {2, {2, 2}}}, {4, {2, 3, 2, 2}}},
    {"ij,kl->il", "ij,kl->il", 2, {{2, {2, 3}}, {2, {2, 2}}}, {2, {2, 2}}},
    {"ij,ij,ij->i", "ij,ij,ij->i", 3, {{2, {2, 3}}, {2, {2, 3}}, {2, {2, 3}}}, {1, {2}}},
    {"ijkl,klij->ij", "ijkl,klij->ij", 2, {{4, {2, 3, 2, 2}}, {4, {2, 2, 2, 3}}}, {2, {2, 3}}},
    {"ij,jk->ik", "ij,jk->ik", 2, {{2, {2, 0}}, {2, {0, 3}}}, {2, {2, 3}}},
    {"i,->i", "i,->i", 2, {{1, {3}}, {0, {0}}}, {1, {3}}},
};

/* Where the letter stands in the alphabet of the test. */
static int letter(char c)
{
    return c >= 'a' ? c - 'a' : c - 'A' + 26;
}

/* The element of the term [begin, end) with these sizes and positions of every letter. */
static int64_t place(const char *begin, const char *end, const int64_t *size, const int64_t *at)
{
    int64_t place = 0;
    for (; begin < end; begin++)
        place = place * size[letter(*begin)] + at[letter(*begin)];
    return place;
}

/* Loops over all letters at once. */
static void evaluate(const struct use *use, double *const *x, double *y)
{
    int64_t size[52], at[52] = {0}, total = 1;
    for (int i = 0; i < 52; i++)
        size[i] = 1;
    const char *term[MOST + 1], *p = use->plain, *arrow = strchr(use->plain, '-');
    for (int i = 0; i < use->n; i++) {
        term[i] = p;
        for (int k = 0; p < arrow && *p != ','; p++)
            size[letter(*p)] = use->shape[i].size[k++];
        p++;
    }
    term[use->n] = arrow + 1;
    for (int i = 0; i < 52; i++)
        total *= size[i];
    memset(y, 0, (size_t)shape_numel(use->result) * sizeof *y);
    for (int64_t entry = 0; entry < total; entry++) {
        int64_t rest = entry;
        for (int i = 0; i < 52; rest /= size[i++])
            at[i] = rest % size[i];
        double product = 1;
        for (int i = 0; i < use->n; i++)
            product *= x[i][place(term[i], term[i + 1] - 1, size, at)];
        y[place(arrow + 2, arrow + strlen(arrow), size, at)] += product;
    }
}

static tape_tensor program(void *user, const tape_tensor *x, int n)
{
    return tape_einsum(((const struct use *)user)->equation, x, n);
}

START_TEST(test_grammar)
{
    for (size_t c = 0; c < sizeof uses / sizeof *uses; c++) {
        const struct use *use = &uses[c];
        double *values[MOST], expected[64];
        tape_tensor x[MOST];
        uint64_t state = c + 1;
        for (int i = 0; i < use->n; i++) {
            int64_t numel = shape_numel(use->shape[i]);
            values[i] = calloc((size_t)numel + 1, sizeof **values);
            for (int64_t k = 0; k < numel; k++)
                values[i][k] = draw(&state, -1, 1);
            x[i] = leaf_of(TAPE_F64, use->shape[i], values[i], true);
        }
        evaluate(use, values, expected);
        tape_tensor y = tape_einsum(use->equation, x, use->n);
        expect_shape(use->equation, __LINE__, y, use->result);
        expect_values(use->equation, __LINE__, y, expected, (int)shape_numel(use->result));
        tape_gradcheck_report report;
        ck_assert_msg(tape_gradcheck(program, (void *)use, x, use->n, NULL, &report), "%s: %s", use->equation,
                      report.message);
        for (int i = 0; i < use->n; i++) {
            free(values[i]);
            tape_free(x[i]);
        }
        tape_reset();
    }
    settle();
}
END_TEST

/* Axes of size 1 stretch, whether letters or dots. */
START_TEST(test_stretching)
{
    tape_tensor x[2] = {CONSTANT(TAPE_F64, TAPE_SHAPE(2, 1), 1, 2), CONSTANT(TAPE_F64, TAPE_SHAPE(3), 1, 10, 100)};
    EXPECT_AS(tape_einsum("ij,j->i", x, 2), TAPE_SHAPE(2), 111, 222);
    EXPECT_AS(tape_einsum("i...,...->i...", x, 2), TAPE_SHAPE(2, 3), 1, 10, 100, 2, 20, 200);
    EXPECT_AS(tape_einsum("ij->ij", x, 1), TAPE_SHAPE(2, 1), 1, 2);
    settle();
}
END_TEST

#define REFUSED(equation, n, status, text) EXPECT_ERROR(tape_einsum(equation, x, n), status, text)

START_TEST(test_errors)
{
    tape_tensor a = tape_ones(TAPE_F64, TAPE_SHAPE(2, 3)), x[2] = {a, a}, many[33];
    REFUSED("ij,jk->iz", 2, TAPE_ERROR_ARGUMENT, "einsum: character 9 of \"ij,jk->iz\": the letter stands in no input");
    REFUSED("ij,jk->ii", 2, TAPE_ERROR_ARGUMENT, "character 9 of \"ij,jk->ii\": the letter is in the result twice");
    REFUSED("ij;jk", 2, TAPE_ERROR_ARGUMENT, "character 3 of");
    REFUSED("i1", 1, TAPE_ERROR_ARGUMENT, "character 2 of");
    REFUSED("..ij", 1, TAPE_ERROR_ARGUMENT, "character 1 of \"..ij\": an ellipsis is three dots");
    REFUSED("...i...", 1, TAPE_ERROR_ARGUMENT, "character 5 of \"...i...\": a second ellipsis");
    REFUSED("ij-ji", 1, TAPE_ERROR_ARGUMENT, "character 3 of");
    REFUSED("ij->j->i", 1, TAPE_ERROR_ARGUMENT, "character 6 of");
    REFUSED("ij->i,j", 1, TAPE_ERROR_ARGUMENT, "character 6 of");
    REFUSED("abcdefghi", 1, TAPE_ERROR_ARGUMENT, "character 9 of \"abcdefghi\": more than 8 axes");
    REFUSED("ij,jk->ik", 1, TAPE_ERROR_ARGUMENT, "names 2 tensors, got 1");
    REFUSED("ij", 2, TAPE_ERROR_ARGUMENT, "names 1 tensors, got 2");
    REFUSED(NULL, 1, TAPE_ERROR_ARGUMENT, "einsum");
    REFUSED("ij", 0, TAPE_ERROR_ARGUMENT, "n = 0");
    REFUSED("ij", INT32_MIN, TAPE_ERROR_ARGUMENT, "einsum");
    REFUSED("ij,jk->ik", 2, TAPE_ERROR_SHAPE, "character 4 of \"ij,jk->ik\": axis 0 of argument 2 has size 2");
    REFUSED("ii", 1, TAPE_ERROR_SHAPE, "axis 1 of argument 1 has size 3");
    REFUSED("ijk", 1, TAPE_ERROR_SHAPE, "character 1 of \"ijk\": argument 1 has shape [2, 3], not 3 axes");
    REFUSED("i", 1, TAPE_ERROR_SHAPE, "not 1 axes");
    REFUSED("abcd...,efgh...->abcdefgh...", 2, TAPE_ERROR_SHAPE, "not 4 axes");
    for (int i = 0; i < 33; i++)
        many[i] = tape_scalar(TAPE_F64, 1);
    EXPECT_ERROR(tape_einsum(",,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,", many, 33), TAPE_ERROR_ARGUMENT,
                 "more than 32 tensors");
    EXPECT(tape_einsum(",,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,", many, 32), 1);
    tape_tensor deep[4];
    for (int i = 0; i < 4; i++)
        deep[i] = tape_ones(TAPE_F64, TAPE_SHAPE(2, 2, 2, 2));
    EXPECT_SHAPE(tape_einsum("abcd,efgh,ijkl->abcdefgh", deep, 3), TAPE_SHAPE(2, 2, 2, 2, 2, 2, 2, 2));
    EXPECT_ERROR(tape_einsum("abcd,efgh,aijk,ijkb->cdefgh", deep, 4), TAPE_ERROR_SHAPE, "more than 8 axes");
    EXPECT_ERROR(tape_einsum("...abcd,...efgh,ijkl", deep, 3), TAPE_ERROR_ARGUMENT, "more than 8 axes");
    settle();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("einsum");
    TCase *all = tcase_create("all");
    tcase_add_test(all, test_grammar);
    tcase_add_test(all, test_stretching);
    tcase_add_test(all, test_errors);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
