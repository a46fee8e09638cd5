/* Symbolic differentiation with sharing of equal expressions and the usual simplification of 0 and 1. Knows the rules
 * of calculus by themselves: nothing here comes from the library. */
#include "symbolic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- values ------------------------------------------------------------------------------------------------------ */

static bool is_binary(symbolic_op op)
{
    return op >= SYMBOLIC_add;
}

static double apply(symbolic_op op, double a, double b)
{
    switch (op) {
    case SYMBOLIC_NUMBER:
    case SYMBOLIC_VARIABLE:
        return NAN;
    case SYMBOLIC_neg:
        return -a;
    case SYMBOLIC_square:
        return a * a;
    case SYMBOLIC_sqrt:
        return sqrt(a);
    case SYMBOLIC_recip:
        return 1 / a;
    case SYMBOLIC_exp:
        return exp(a);
    case SYMBOLIC_log:
        return log(a);
    case SYMBOLIC_sin:
        return sin(a);
    case SYMBOLIC_cos:
        return cos(a);
    case SYMBOLIC_tan:
        return tan(a);
    case SYMBOLIC_sinh:
        return sinh(a);
    case SYMBOLIC_cosh:
        return cosh(a);
    case SYMBOLIC_tanh:
        return tanh(a);
    case SYMBOLIC_atan:
        return atan(a);
    case SYMBOLIC_sigmoid:
        return 1 / (1 + exp(-a));
    case SYMBOLIC_add:
        return a + b;
    case SYMBOLIC_sub:
        return a - b;
    case SYMBOLIC_mul:
        return a * b;
    case SYMBOLIC_div:
        return a / b;
    case SYMBOLIC_pow:
        return pow(a, b);
    }
    return NAN;
}

/* ---- nodes, equal ones once -------------------------------------------------------------------------------------- */

static bool is_same(const symbolic_node *p, const symbolic_node *q)
{
    return p->op == q->op && p->a == q->a && p->b == q->b && memcmp(&p->number, &q->number, sizeof p->number) == 0;
}

static uint32_t *place_of(const symbolic *s, const symbolic_node *node)
{
    uint64_t bits, hash;
    memcpy(&bits, &node->number, sizeof bits);
    hash = (((uint64_t)node->op * 31 + node->a) * 0x9e3779b97f4a7c15u + node->b) * 0xbf58476d1ce4e5b9u + bits;
    hash = (hash ^ hash >> 29) * 0x94d049bb133111ebu;
    for (uint64_t i = hash >> 32;; i++) {
        uint32_t *place = &s->places[i & (2 * s->capacity - 1)];
        if (*place == 0 || is_same(&s->nodes[*place - 1], node))
            return place;
    }
}

static bool grow(symbolic *s)
{
    uint32_t capacity = s->capacity ? 2 * s->capacity : 256;
    symbolic_node *nodes = capacity <= UINT32_MAX / 4 ? realloc(s->nodes, capacity * sizeof *nodes) : NULL;
    uint32_t *places = nodes ? calloc(2 * (size_t)capacity, sizeof *places) : NULL;
    if (nodes)
        s->nodes = nodes;
    s->failed = !places;
    if (s->failed)
        return false;
    free(s->places);
    s->places = places;
    s->capacity = capacity;
    for (uint32_t i = 0; i < s->count; i++)
        *place_of(s, &s->nodes[i]) = i + 1;
    return true;
}

static symbolic_expression make(symbolic *s, symbolic_op op, symbolic_expression a, symbolic_expression b,
                                double number)
{
    symbolic_node node = {op, a, b, number};
    if (s->failed || (s->count == s->capacity && !grow(s)))
        return 0;
    uint32_t *place = place_of(s, &node);
    if (*place == 0) {
        s->nodes[s->count] = node;
        *place = ++s->count;
    }
    return *place - 1;
}

void symbolic_free(symbolic *s)
{
    free(s->nodes);
    free(s->places);
    *s = (symbolic){0};
}

symbolic_expression symbolic_number(symbolic *s, double number)
{
    return make(s, SYMBOLIC_NUMBER, 0, 0, number);
}

symbolic_expression symbolic_variable(symbolic *s, uint32_t index)
{
    return make(s, SYMBOLIC_VARIABLE, index, 0, 0);
}

/* ---- simplification ---------------------------------------------------------------------------------------------- */

static bool is_number(const symbolic *s, symbolic_expression e)
{
    return !s->failed && s->nodes[e].op == SYMBOLIC_NUMBER;
}

static bool is(const symbolic *s, symbolic_expression e, double number)
{
    return is_number(s, e) && s->nodes[e].number == number;
}

symbolic_expression symbolic_unary(symbolic *s, symbolic_op op, symbolic_expression a)
{
    if (is_number(s, a))
        return symbolic_number(s, apply(op, s->nodes[a].number, 0));
    if (!s->failed && op == SYMBOLIC_neg && s->nodes[a].op == SYMBOLIC_neg)
        return s->nodes[a].a;
    return make(s, op, a, 0, 0);
}

symbolic_expression symbolic_binary(symbolic *s, symbolic_op op, symbolic_expression a, symbolic_expression b)
{
    if (is_number(s, a) && is_number(s, b))
        return symbolic_number(s, apply(op, s->nodes[a].number, s->nodes[b].number));
    switch (op) {
    case SYMBOLIC_add:
        if (is(s, a, 0) || is(s, b, 0))
            return is(s, a, 0) ? b : a;
        break;
    case SYMBOLIC_sub:
        if (is(s, b, 0) || a == b)
            return a == b ? symbolic_number(s, 0) : a;
        if (is(s, a, 0))
            return symbolic_unary(s, SYMBOLIC_neg, b);
        break;
    case SYMBOLIC_mul:
        if (is(s, a, 0) || is(s, b, 1))
            return a;
        if (is(s, b, 0) || is(s, a, 1))
            return b;
        break;
    case SYMBOLIC_div:
        if (is(s, a, 0) || is(s, b, 1))
            return a;
        break;
    case SYMBOLIC_pow:
        if (is(s, b, 0) || is(s, b, 1))
            return is(s, b, 1) ? a : symbolic_number(s, 1);
        break;
    default:
        break;
    }
    return make(s, op, a, b, 0);
}

/* ---- the rules --------------------------------------------------------------------------------------------------- */

#define U(op, a) symbolic_unary(s, SYMBOLIC_##op, a)
#define B(op, a, b) symbolic_binary(s, SYMBOLIC_##op, a, b)
#define N(number) symbolic_number(s, number)

/* The factor d y / d u of y = op(u), which is expression y. */
static symbolic_expression unary_factor(symbolic *s, symbolic_op op, symbolic_expression y, symbolic_expression u)
{
    switch (op) {
    case SYMBOLIC_neg:
        return N(-1);
    case SYMBOLIC_square:
        return B(mul, N(2), u);
    case SYMBOLIC_sqrt:
        return U(recip, B(mul, N(2), y));
    case SYMBOLIC_recip:
        return U(neg, U(square, y));
    case SYMBOLIC_exp:
        return y;
    case SYMBOLIC_log:
        return U(recip, u);
    case SYMBOLIC_sin:
        return U(cos, u);
    case SYMBOLIC_cos:
        return U(neg, U(sin, u));
    case SYMBOLIC_tan:
        return B(add, N(1), U(square, y));
    case SYMBOLIC_sinh:
        return U(cosh, u);
    case SYMBOLIC_cosh:
        return U(sinh, u);
    case SYMBOLIC_tanh:
        return B(sub, N(1), U(square, y));
    case SYMBOLIC_atan:
        return U(recip, B(add, N(1), U(square, u)));
    case SYMBOLIC_sigmoid:
        return B(mul, y, B(sub, N(1), y));
    default:
        return N(NAN);
    }
}

/* The derivative of y = op(u, v) from those of u and v. */
static symbolic_expression binary_rule(symbolic *s, symbolic_op op, symbolic_expression y, symbolic_expression u,
                                       symbolic_expression v, symbolic_expression du, symbolic_expression dv)
{
    switch (op) {
    case SYMBOLIC_add:
        return B(add, du, dv);
    case SYMBOLIC_sub:
        return B(sub, du, dv);
    case SYMBOLIC_mul:
        return B(add, B(mul, du, v), B(mul, u, dv));
    case SYMBOLIC_div:
        return B(sub, B(div, du, v), B(mul, B(div, y, v), dv));
    case SYMBOLIC_pow:
        if (is(s, dv, 0))
            return B(mul, B(mul, v, B(pow, u, B(sub, v, N(1)))), du);
        return B(mul, y, B(add, B(mul, dv, U(log, u)), B(mul, v, B(div, du, u))));
    default:
        return N(NAN);
    }
}

/* For each node up to e: whether e is made of it. NULL: memory ran out. */
static bool *parts_of(const symbolic *s, symbolic_expression e)
{
    bool *part = calloc((size_t)e + 1, sizeof *part);
    if (!part)
        return NULL;
    part[e] = true;
    for (symbolic_expression i = e + 1; i-- > 0;)
        if (part[i] && s->nodes[i].op > SYMBOLIC_VARIABLE) {
            part[s->nodes[i].a] = true;
            if (is_binary(s->nodes[i].op))
                part[s->nodes[i].b] = true;
        }
    return part;
}

symbolic_expression symbolic_derivative(symbolic *s, symbolic_expression e, uint32_t variable)
{
    bool *part = s->failed ? NULL : parts_of(s, e);
    symbolic_expression *d = part ? malloc(((size_t)e + 1) * sizeof *d) : NULL, result = 0;
    s->failed = !d;
    for (symbolic_expression i = 0; i <= e && !s->failed; i++) {
        symbolic_node node = s->nodes[i];
        if (!part[i])
            continue;
        if (node.op <= SYMBOLIC_VARIABLE)
            d[i] = N(node.op == SYMBOLIC_VARIABLE && node.a == variable ? 1 : 0);
        else if (is_binary(node.op))
            d[i] = binary_rule(s, node.op, i, node.a, node.b, d[node.a], d[node.b]);
        else
            d[i] = is(s, d[node.a], 0) ? d[node.a] : B(mul, unary_factor(s, node.op, i, node.a), d[node.a]);
    }
    if (!s->failed)
        result = d[e];
    free(part);
    free(d);
    return result;
}

/* ---- sizes and values of whole expressions ----------------------------------------------------------------------- */

double symbolic_tree_size(const symbolic *s, symbolic_expression e)
{
    double *size = s->failed ? NULL : malloc(((size_t)e + 1) * sizeof *size), result;
    if (!size)
        return NAN;
    for (symbolic_expression i = 0; i <= e; i++) {
        const symbolic_node *node = &s->nodes[i];
        size[i] = 1;
        if (node->op > SYMBOLIC_VARIABLE)
            size[i] += size[node->a] + (is_binary(node->op) ? size[node->b] : 0);
    }
    result = size[e];
    free(size);
    return result;
}

/* As deep as the expression: for trees of a depth that somebody could write down. */
double symbolic_tree_value(const symbolic *s, symbolic_expression e, const double *x)
{
    const symbolic_node *node = &s->nodes[e];
    if (node->op == SYMBOLIC_NUMBER)
        return node->number;
    if (node->op == SYMBOLIC_VARIABLE)
        return x[node->a];
    double a = symbolic_tree_value(s, node->a, x);
    return apply(node->op, a, is_binary(node->op) ? symbolic_tree_value(s, node->b, x) : 0);
}

symbolic_program symbolic_compile(const symbolic *s, symbolic_expression e)
{
    symbolic_program p = {0};
    bool *part = s->failed ? NULL : parts_of(s, e);
    uint32_t *place = part ? malloc(((size_t)e + 1) * sizeof *place) : NULL, count = 0;
    for (symbolic_expression i = 0; place && i <= e; i++)
        if (part[i])
            place[i] = count++;
    if (place) {
        p.nodes = malloc(count * sizeof *p.nodes);
        p.values = malloc(count * sizeof *p.values);
    }
    for (symbolic_expression i = 0; p.nodes && p.values && i <= e; i++) {
        if (!part[i])
            continue;
        symbolic_node *node = &p.nodes[p.count++];
        *node = s->nodes[i];
        if (node->op > SYMBOLIC_VARIABLE) {
            node->a = place[node->a];
            node->b = is_binary(node->op) ? place[node->b] : 0;
        }
    }
    free(part);
    free(place);
    if (p.count == 0)
        symbolic_program_free(&p);
    return p;
}

double symbolic_run(const symbolic_program *program, const double *x)
{
    double *y = program->values;
    for (uint32_t i = 0; i < program->count; i++) {
        const symbolic_node *node = &program->nodes[i];
        y[i] = node->op == SYMBOLIC_NUMBER     ? node->number
               : node->op == SYMBOLIC_VARIABLE ? x[node->a]
                                               : apply(node->op, y[node->a], y[node->b]);
    }
    return program->count ? y[program->count - 1] : NAN;
}

void symbolic_program_free(symbolic_program *program)
{
    free(program->nodes);
    free(program->values);
    *program = (symbolic_program){0};
}
