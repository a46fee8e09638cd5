/* Einstein summation: reads the equation, then multiplies the tensors from left to right with permute, reshape, matmul,
   mul and sum. Knows no arithmetic; its derivatives are those of the ops inside. */
#include <string.h>

#include "ops.h"

/* A label is a letter, in ASCII's order, or an axis of the ellipsis, counted from its last one. */
enum { LETTERS = 52, LABELS = LETTERS + TAPE_MAX_RANK, MOST_TENSORS = 32 };

/* The letters of one tensor; `ellipsis` is how many stand before the dots, -1 without them. */
typedef struct subscript {
    int count, ellipsis;
    int label[TAPE_MAX_RANK];
    int at; /* the character where it begins, from 1 */
} subscript;

typedef struct equation {
    tape *t;
    const char *text;
    int count; /* of the tensors */
    subscript in[MOST_TENSORS], out;
    bool has_out;
    int uses[LETTERS];    /* in the inputs */
    int ellipsis_axes;    /* the most that any tensor has */
    int64_t size[LABELS]; /* once the tensors are known */
} equation;

/* A tensor whose axes have these labels, each once. */
typedef struct operand {
    tape_tensor x;
    int count;
    int label[TAPE_MAX_RANK];
} operand;

static bool refuse(const equation *e, int at, const char *why)
{
    return tape__error(e->t, TAPE_ERROR_ARGUMENT, "character %d of \"%.100s\": %s", at, e->text, why);
}

/* ---- the equation ------------------------------------------------------------------------------------------------ */

static int label_of(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? c - 'a' + 26 : -1;
}

/* One letter of a tensor or, behind the arrow, of the result. */
static bool read_letter(equation *e, subscript *now, int label, int at)
{
    if (now->count == TAPE_MAX_RANK)
        return refuse(e, at, "more than 8 axes");
    if (now == &e->out) {
        if (!e->uses[label])
            return refuse(e, at, "the letter stands in no input");
        for (int i = 0; i < now->count; i++)
            if (now->label[i] == label)
                return refuse(e, at, "the letter is in the result twice");
    } else {
        e->uses[label]++;
    }
    now->label[now->count++] = label;
    return true;
}

static bool read_dots(equation *e, subscript *now, const char *p, int at)
{
    if (strncmp(p, "...", 3) != 0)
        return refuse(e, at, "an ellipsis is three dots");
    if (now->ellipsis >= 0)
        return refuse(e, at, "a second ellipsis");
    now->ellipsis = now->count;
    return true;
}

/* A comma or an arrow: the next term. */
static subscript *read_separator(equation *e, const char *p, int at)
{
    bool arrow = *p == '-';
    if (e->has_out || (arrow && p[1] != '>')) {
        refuse(e, at, e->has_out ? "one arrow, and no comma behind it" : "an arrow is ->");
        return NULL;
    }
    if (!arrow && e->count == MOST_TENSORS) {
        refuse(e, at, "more than 32 tensors");
        return NULL;
    }
    e->has_out = arrow;
    subscript *next = arrow ? &e->out : &e->in[e->count++];
    *next = (subscript){.ellipsis = -1, .at = at + (arrow ? 2 : 1)};
    return next;
}

static bool read_equation(equation *e)
{
    subscript *now = e->in;
    *now = (subscript){.ellipsis = -1, .at = 1};
    e->count = 1;
    for (const char *p = e->text; *p; p++) {
        int at = (int)(p - e->text) + 1;
        if (label_of(*p) >= 0) {
            if (!read_letter(e, now, label_of(*p), at))
                return false;
        } else if (*p == '.') {
            if (!read_dots(e, now, p, at))
                return false;
            p += 2;
        } else if (*p == ',' || *p == '-') {
            if (!(now = read_separator(e, p, at)))
                return false;
            p += *p == '-';
        } else if (*p != ' ') {
            return refuse(e, at, "expects letters, ..., commas and ->");
        }
    }
    return true;
}

/* Without an arrow the result has the ellipsis and then the letters that stand once, in ASCII's order. */
static bool complete_result(equation *e)
{
    subscript *out = &e->out;
    bool implicit = !e->has_out;
    if (implicit)
        *out = (subscript){.ellipsis = 0, .at = (int)strlen(e->text) + 1};
    for (int label = 0; implicit && label < LETTERS; label++)
        if (e->uses[label] == 1 && !read_letter(e, out, label, out->at))
            return false;
    return out->count + (out->ellipsis >= 0 ? e->ellipsis_axes : 0) <= TAPE_MAX_RANK ||
           refuse(e, out->at, "the result has more than 8 axes");
}

/* ---- the tensors ------------------------------------------------------------------------------------------------- */

/* The term's labels with the axes of its ellipsis in their place. */
static int expand_labels(const subscript *term, int ellipsis_axes, int *label)
{
    int count = 0;
    for (int i = 0; i <= term->count; i++) {
        for (int k = ellipsis_axes - 1; k >= 0 && i == term->ellipsis; k--)
            label[count++] = LETTERS + k;
        if (i < term->count)
            label[count++] = term->label[i];
    }
    return count;
}

/* Labels and sizes of input i against its shape. */
static bool meet(equation *e, int i, operand *o)
{
    const subscript *term = &e->in[i];
    tape_shape shape = tape_shape_of(o->x);
    int dots = shape.rank - term->count;
    if (e->t->status != TAPE_OK)
        return false;
    if (dots < 0 || (dots > 0 && term->ellipsis < 0))
        return tape__error(e->t, TAPE_ERROR_SHAPE, "character %d of \"%.100s\": argument %d has shape %s, not %d axes",
                           term->at, e->text, i + 1, tape__shape_text(shape.rank, shape.size).text, term->count);
    e->ellipsis_axes = dots > e->ellipsis_axes ? dots : e->ellipsis_axes;
    o->count = expand_labels(term, dots, o->label);
    for (int k = 0; k < o->count; k++) {
        int64_t *size = &e->size[o->label[k]];
        bool again = false;
        for (int j = 0; j < k; j++)
            again |= o->label[j] == o->label[k] && shape.size[j] != shape.size[k];
        if (again || (*size > 1 && shape.size[k] != 1 && *size != shape.size[k]) || (*size == 0 && shape.size[k] > 1))
            return tape__error(e->t, TAPE_ERROR_SHAPE,
                               "character %d of \"%.100s\": axis %d of argument %d has size %lld where it was %lld",
                               term->at, e->text, k, i + 1, (long long)shape.size[k], (long long)*size);
        *size = *size < 0 || *size == 1 ? shape.size[k] : *size;
    }
    return true;
}

static void drop_label(operand *o, int axis)
{
    o->count--;
    for (int k = axis; k < o->count; k++)
        o->label[k] = o->label[k + 1];
}

/* Labels that stand twice become diagonals; axes of size 1 that are stretched go, which comes to the same. */
static void simplify(const equation *e, operand *o)
{
    for (int k = o->count - 1; k > 0; k--)
        for (int j = 0; j < k; j++) {
            int label = o->label[k];
            if (o->label[j] != label)
                continue;
            o->x = tape_diagonal(o->x, 0, j, k);
            drop_label(o, k);
            drop_label(o, j);
            o->label[o->count++] = label;
            k = o->count; /* once more from the end */
            break;
        }
    for (int k = o->count - 1; k >= 0; k--)
        if (e->size[o->label[k]] != 1 && tape_size(o->x, k) == 1) {
            o->x = tape_select(o->x, k, 0);
            drop_label(o, k);
        }
}

/* ---- multiplication ---------------------------------------------------------------------------------------------- */

static uint64_t labels_of(const operand *o)
{
    uint64_t set = 0;
    for (int k = 0; k < o->count; k++)
        set |= (uint64_t)1 << o->label[k];
    return set;
}

/* Sum over the axes whose labels are not wanted. */
static void sum_others(operand *o, uint64_t wanted)
{
    tape_axes axes = {0, {0}};
    int count = 0;
    for (int k = 0; k < o->count; k++) {
        if (wanted >> o->label[k] & 1)
            o->label[count++] = o->label[k];
        else
            axes.axis[axes.count++] = k;
    }
    if (axes.count)
        o->x = tape_sum(o->x, axes, false);
    o->count = count;
}

/* Append the labels of `o` that are in `set`. */
static int take(const operand *o, uint64_t set, int *label, int count)
{
    for (int k = 0; k < o->count; k++)
        if (set >> o->label[k] & 1)
            label[count++] = o->label[k];
    return count;
}

/* o.x with its axes in the order of the labels; those that it lacks get size 1. */
static tape_tensor arrange(const equation *e, const operand *o, const int *label, int count)
{
    tape_axes order = {0, {0}};
    tape_shape shape = {count, {0}};
    for (int i = 0; i < count; i++) {
        shape.size[i] = 1;
        for (int k = 0; k < o->count; k++)
            if (o->label[k] == label[i]) {
                order.axis[order.count++] = k;
                shape.size[i] = e->size[label[i]];
            }
    }
    tape_tensor x = order.count ? tape_permute(o->x, order) : o->x;
    return order.count == count ? x : tape_reshape(x, shape);
}

/* o.x as a stack of matrices: its labels cut into three groups of axes. */
static tape_tensor as_stack(const equation *e, const operand *o, const int *label, int first, int second, int count)
{
    int64_t size[3] = {1, 1, 1};
    for (int i = 0; i < count; i++)
        size[(i >= first) + (i >= second)] *= e->size[label[i]];
    return tape_reshape(arrange(e, o, label, count), TAPE_SHAPE(size[0], size[1], size[2]));
}

/* a becomes a b, summed over the labels that both have and that are not wanted. */
static bool multiply(const equation *e, operand *a, operand *b, uint64_t wanted)
{
    sum_others(a, wanted | labels_of(b));
    sum_others(b, wanted | labels_of(a));
    uint64_t both = labels_of(a) & labels_of(b), inner = both & ~wanted, outer = both & wanted;
    int label[2 * TAPE_MAX_RANK], left[2 * TAPE_MAX_RANK], right[2 * TAPE_MAX_RANK];
    int stacked = take(a, outer, label, 0), rows = take(a, ~both, label, stacked), all = take(b, ~both, label, rows);
    if (all > TAPE_MAX_RANK)
        return tape__error(e->t, TAPE_ERROR_SHAPE, "a product of \"%.100s\" has more than 8 axes", e->text);
    if (!inner) {
        a->x = tape_mul(arrange(e, a, label, all), arrange(e, b, label, all));
    } else {
        memcpy(left, label, sizeof left);
        memcpy(right, label, sizeof right);
        int k = take(a, inner, right, stacked);
        memcpy(left + rows, right + stacked, (size_t)(k - stacked) * sizeof *left);
        int last = take(b, ~both, right, k);
        tape_tensor y = tape_matmul(as_stack(e, a, left, stacked, rows, rows + k - stacked),
                                    as_stack(e, b, right, stacked, k, last));
        tape_shape shape = {all, {0}};
        for (int i = 0; i < all; i++)
            shape.size[i] = e->size[label[i]];
        a->x = tape_reshape(y, shape);
    }
    a->count = all;
    memcpy(a->label, label, (size_t)all * sizeof *label);
    return true;
}

/* The tensors' product by the equation; null after an error. */
static tape_tensor evaluate(equation *e, const tape_tensor *xs)
{
    operand o[MOST_TENSORS];
    uint64_t later[MOST_TENSORS + 1];
    for (int label = 0; label < LABELS; label++)
        e->size[label] = -1;
    for (int i = 0; i < e->count; i++) {
        o[i].x = xs[i];
        if (!meet(e, i, &o[i]))
            return TAPE_NULL;
    }
    if (!complete_result(e))
        return TAPE_NULL;
    operand result = {.count = 0};
    result.count = expand_labels(&e->out, e->ellipsis_axes, result.label);
    later[e->count] = labels_of(&result);
    for (int i = e->count - 1; i >= 0; i--) {
        simplify(e, &o[i]);
        later[i] = later[i + 1] | labels_of(&o[i]);
    }
    sum_others(&o[0], later[1]);
    for (int i = 1; i < e->count; i++)
        if (!multiply(e, &o[0], &o[i], later[i + 1]))
            return TAPE_NULL;
    sum_others(&o[0], later[e->count]);
    return arrange(e, &o[0], result.label, result.count);
}

tape_tensor tape_einsum(const char *text, const tape_tensor *xs, int n)
{
    TAPE__BEGIN_COMPOSITE("einsum");
    equation e = {.t = t, .text = text};
    tape_tensor y = TAPE_NULL;
    if (!text || !xs || n < 1)
        tape__error(t, TAPE_ERROR_ARGUMENT, "needs an equation and at least one tensor, got n = %d", n);
    else if (read_equation(&e) && e.count != n)
        tape__error(t, TAPE_ERROR_ARGUMENT, "\"%.100s\" names %d tensors, got %d", text, e.count, n);
    else if (t->status == TAPE_OK)
        y = evaluate(&e, xs);
    return tape__leave(t, before, TAPE__OP_einsum, y);
}
