/* A small symbolic differentiator over the ops of the table that are functions of numbers: what tape is compared with.
 * Knows expressions and their derivatives; no tensors. */
#ifndef TAPE_CLI_SYMBOLIC_H
#define TAPE_CLI_SYMBOLIC_H

#include <stdbool.h>
#include <stdint.h>

/* By their names in the table. */
/* clang-format off */
#define SYMBOLIC_UNARY_OPS(X) \
    X(neg) X(square) X(sqrt) X(recip) X(exp) X(log) X(sin) X(cos) X(tan) X(sinh) X(cosh) X(tanh) X(atan) X(sigmoid)
/* clang-format on */
#define SYMBOLIC_BINARY_OPS(X) X(add) X(sub) X(mul) X(div) X(pow)

typedef enum symbolic_op {
    SYMBOLIC_NUMBER,
    SYMBOLIC_VARIABLE,
#define SYMBOLIC_OP(name) SYMBOLIC_##name,
    SYMBOLIC_UNARY_OPS(SYMBOLIC_OP) SYMBOLIC_BINARY_OPS(SYMBOLIC_OP)
#undef SYMBOLIC_OP
} symbolic_op;

/* An expression: its place among the nodes. Operands stand before what is made of them. */
typedef uint32_t symbolic_expression;

typedef struct symbolic_node {
    symbolic_op op;
    symbolic_expression a, b; /* operands; the index of a variable is in a */
    double number;
} symbolic_node;

/* All expressions made so far, equal ones once. Zeroed: none. Once memory ran out it stays failed and its expressions
 * mean nothing. */
typedef struct symbolic {
    symbolic_node *nodes;
    uint32_t count, capacity;
    uint32_t *places; /* hash table of 2 * capacity places: node + 1, or 0 */
    bool failed;
} symbolic;

void symbolic_free(symbolic *s);

symbolic_expression symbolic_number(symbolic *s, double number);
symbolic_expression symbolic_variable(symbolic *s, uint32_t index);

/* op of a and, for a binary op, of b; simplified where an operand is 0 or 1 and where all are numbers. As usual in
 * symbolic programs 0 * u is 0 and u^0 is 1 whatever u is. */
symbolic_expression symbolic_unary(symbolic *s, symbolic_op op, symbolic_expression a);
symbolic_expression symbolic_binary(symbolic *s, symbolic_op op, symbolic_expression a, symbolic_expression b);

/* de / dx[variable]. */
symbolic_expression symbolic_derivative(symbolic *s, symbolic_expression e, uint32_t variable);

/* Nodes of e written out as a tree, without a name for what occurs twice; and its value computed in that form. */
double symbolic_tree_size(const symbolic *s, symbolic_expression e);
double symbolic_tree_value(const symbolic *s, symbolic_expression e, const double *x);

/* e as a list of nodes, each computed once, with operands as places in the list. */
typedef struct symbolic_program {
    symbolic_node *nodes;
    double *values;
    uint32_t count; /* 0: memory ran out */
} symbolic_program;

symbolic_program symbolic_compile(const symbolic *s, symbolic_expression e);
double symbolic_run(const symbolic_program *program, const double *x);
void symbolic_program_free(symbolic_program *program);

#endif
