/* Expression swell: nested products and compositions differentiated by rules, written out and with shared parts, beside
 * the tape. */
#include <math.h>

#include "compare.h"
#include "symbolic.h"

static const double at = 0.3;

/* Trees larger than this are not evaluated: one would wait. */
enum { TREE_MOST = 10000000, TREE_MOST_QUICK = 20000 };

/* ---- the expressions, once more for each side -------------------------------------------------------------------- */

static symbolic_expression product_by_rules(symbolic *s, int depth)
{
    symbolic_expression x = symbolic_variable(s, 0), y = symbolic_unary(s, SYMBOLIC_sin, x);
    for (int k = 2; k <= depth; k++) {
        symbolic_expression factor = symbolic_binary(s, SYMBOLIC_mul, symbolic_number(s, k), x);
        y = symbolic_binary(s, SYMBOLIC_mul, y, symbolic_unary(s, SYMBOLIC_sin, factor));
    }
    return y;
}

static tape_tensor product_on_tape(tape_tensor x, int depth)
{
    tape_tensor y = tape_sin(x);
    for (int k = 2; k <= depth; k++)
        y = tape_mul(y, tape_sin(tape_mul_scalar(x, k)));
    return y;
}

static symbolic_expression logistic_by_rules(symbolic *s, int depth)
{
    symbolic_expression y = symbolic_variable(s, 0), four = symbolic_number(s, 4), one = symbolic_number(s, 1);
    for (int k = 1; k <= depth; k++)
        y = symbolic_binary(s, SYMBOLIC_mul, symbolic_binary(s, SYMBOLIC_mul, four, y),
                            symbolic_binary(s, SYMBOLIC_sub, one, y));
    return y;
}

static tape_tensor logistic_on_tape(tape_tensor x, int depth)
{
    tape_tensor y = x;
    for (int k = 1; k <= depth; k++)
        y = tape_mul(tape_mul_scalar(y, 4), tape_scalar_sub(1, y));
    return y;
}

/* ---- measurement ------------------------------------------------------------------------------------------------- */

typedef struct subject {
    int depth;
    symbolic_expression (*by_rules)(symbolic *s, int depth);
    tape_tensor (*on_tape)(tape_tensor x, int depth);
    symbolic symbolic;
    symbolic_expression derivative;
    symbolic_program program;
    tape_tensor x;
    double result;
} subject;

static void run_tree(void *user)
{
    subject *p = user;
    p->result = symbolic_tree_value(&p->symbolic, p->derivative, &at);
}

static void run_shared(void *user)
{
    subject *p = user;
    p->result = symbolic_run(&p->program, &at);
}

static void run_tape(void *user)
{
    subject *p = user;
    tape_backward(p->on_tape(p->x, p->depth));
    p->result = tape_item(tape_gradient(p->x));
    tape_zero_grad(p->x);
    if (tape_last_status() == TAPE_OK)
        tape_reset();
}

static double records_of(const subject *p)
{
    int64_t before = tape_stats().records;
    p->on_tape(p->x, p->depth);
    int64_t after = tape_stats().records;
    if (tape_last_status() == TAPE_OK)
        tape_reset();
    return (double)(after - before);
}

static void measure_depth(comparison *c, subject *p, compare_depth *row)
{
    row->depth = p->depth;
    row->tree_nodes = symbolic_tree_size(&p->symbolic, p->derivative);
    row->shared_nodes = p->program.count;
    row->records = records_of(p);
    row->tape_seconds = compare_seconds(c, run_tape, p);
    double automatic = p->result, largest = fabs(automatic);
    row->shared_seconds = compare_seconds(c, run_shared, p);
    row->difference = fabs(p->result - automatic) / largest;
    row->tree_seconds = NAN;
    if (row->tree_nodes <= (c->quick ? TREE_MOST_QUICK : TREE_MOST)) {
        row->tree_seconds = compare_seconds(c, run_tree, p);
        row->difference = fmax(row->difference, fabs(p->result - automatic) / largest);
    }
}

static tape_status try_depth(comparison *c, compare_swell *swell, subject *p)
{
    symbolic_expression y = p->by_rules(&p->symbolic, p->depth);
    p->derivative = symbolic_derivative(&p->symbolic, y, 0);
    p->program = symbolic_compile(&p->symbolic, p->derivative);
    if (p->program.count == 0)
        tape_fail(TAPE_ERROR_MEMORY, "out of memory for an expression of depth %d", p->depth);
    else
        measure_depth(c, p, &swell->row[swell->count++]);
    symbolic_program_free(&p->program);
    symbolic_free(&p->symbolic);
    return tape_last_status();
}

bool compare_expression_swell(comparison *c)
{
    const compare_swell heads[COMPARE_SWELLS] = {
        {.name = "nested products", .formula = "sin(x) sin(2x) sin(3x) ..."},
        {.name = "nested compositions", .formula = "g(g(g(...x))), g(y) = 4 y (1 - y)"}};
    subject subjects[COMPARE_SWELLS] = {{.by_rules = product_by_rules, .on_tape = product_on_tape},
                                        {.by_rules = logistic_by_rules, .on_tape = logistic_on_tape}};
    int every = c->quick ? 1 : 4, last = COMPARE_DEPTHS * every;
    tape_tensor x = tape_param(TAPE_F64, TAPE_SCALAR, &at);
    for (int i = 0; i < COMPARE_SWELLS; i++) {
        c->swell[i] = heads[i];
        subjects[i].x = x;
        for (int depth = every; depth <= last && tape_last_status() == TAPE_OK; depth += every) {
            progress_share(&c->progress, 0.6 + 0.2 * i + 0.2 * depth / last, "expression swell");
            subjects[i].depth = depth;
            try_depth(c, &c->swell[i], &subjects[i]);
        }
    }
    tape_free(x);
    return tape_last_status() == TAPE_OK;
}
