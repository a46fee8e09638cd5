/* Parts of matrices: tril, triu and diag. */
#include <string.h>

#include "region.h"

/* ---- tril, triu -------------------------------------------------------------------------------------------------- */

struct triangle {
    int64_t k, upper;
};

/* Columns [begin, end) of row i stay. k is far from overflow once it is cut to the matrix. */
static void kept_columns(const struct triangle *a, int64_t i, int64_t rows, int64_t columns, int64_t *begin,
                         int64_t *end)
{
    int64_t k = a->k > columns ? columns : a->k < -rows ? -rows : a->k;
    int64_t edge = i + k + !a->upper;
    edge = edge < 0 ? 0 : edge > columns ? columns : edge;
    *begin = a->upper ? edge : 0;
    *end = a->upper ? columns : edge;
}

static bool triangle_forward(tape__call *call)
{
    const tape__node *x = call->in[0];
    const tape__layout *layout = x->layout;
    if (layout->rank < 2)
        return tape__error(call->t, TAPE_ERROR_SHAPE, "expects rank 2 or more, got %s", TAPE__LAYOUT_TEXT(layout));
    const unsigned char *data = tape__dense_data(call->t, x);
    tape__node *y = data ? tape__output(call, x->dtype, layout->rank, layout->size) : NULL;
    if (!y)
        return false;
    int64_t rows = layout->size[layout->rank - 2], columns = layout->size[layout->rank - 1];
    int64_t lines = columns ? layout->numel / columns : 0;
    size_t item = tape_dtype_size(x->dtype);
    for (int64_t line = 0; line < lines; line++) {
        int64_t begin, end;
        kept_columns(call->attr, line % rows, rows, columns, &begin, &end);
        size_t at = (size_t)(line * columns) * item, from = (size_t)begin * item, to = (size_t)end * item;
        unsigned char *out = (unsigned char *)y->data + at;
        memset(out, 0, from);
        memcpy(out + from, data + at + from, to - from);
        memset(out + to, 0, (size_t)columns * item - to);
    }
    return true;
}

static void triangle_vjp(tape__vjp *v)
{
    const struct triangle *a = v->attr;
    v->gx[0] = a->upper ? tape_triu(v->gy[0], a->k) : tape_tril(v->gy[0], a->k);
}

bool tape__tril_forward(tape__call *call)
{
    return triangle_forward(call);
}

void tape__tril_vjp(tape__vjp *v)
{
    triangle_vjp(v);
}

tape_tensor tape_tril(tape_tensor x, int64_t k)
{
    struct triangle attr = {k, false};
    return tape__run(TAPE__OP_tril, &x, 1, &attr, sizeof attr);
}

bool tape__triu_forward(tape__call *call)
{
    return triangle_forward(call);
}

void tape__triu_vjp(tape__vjp *v)
{
    triangle_vjp(v);
}

tape_tensor tape_triu(tape_tensor x, int64_t k)
{
    struct triangle attr = {k, true};
    return tape__run(TAPE__OP_triu, &x, 1, &attr, sizeof attr);
}

/* ---- diag -------------------------------------------------------------------------------------------------------- */

/* The square matrix with x on its k-th diagonal. */
static tape_tensor on_diagonal(tape *t, tape_tensor x, int64_t k)
{
    int64_t n = tape_size(x, 0), size, numel;
    if (k == INT64_MIN || !tape__add_size(n, k < 0 ? -k : k, &size) ||
        !tape__shape_numel(2, (int64_t[]){size, size}, &numel)) {
        tape__error(t, TAPE_ERROR_ARGUMENT, "diagonal %lld is too far out", (long long)k);
        return TAPE_NULL;
    }
    tape__region region = {.rank = 1, .size = {n}, .stride = {size + 1}};
    region.offset = n == 0 ? 0 : k > 0 ? k : -k * size;
    return tape__place_region(x, &region, TAPE_SHAPE(size, size));
}

tape_tensor tape_diag(tape_tensor x, int64_t k)
{
    tape *t = tape__begin("diag");
    if (!t)
        return TAPE_NULL;
    const char *before = tape__enter(t, "diag");
    int rank = tape_rank(x);
    tape_tensor y = TAPE_NULL;
    if (rank == 1)
        y = on_diagonal(t, x, k);
    else if (rank == 2)
        y = tape_diagonal(x, k, 0, 1);
    else
        tape__error(t, TAPE_ERROR_SHAPE, "expects rank 1 or 2, got rank %d", rank);
    return tape__leave(t, before, TAPE__OP_diag, y);
}
