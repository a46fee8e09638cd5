/* Stacks of matrices: planned, read into doubles and written back. Does not know what is computed. */
#include "matrix.h"

#include <string.h>

#include "check.h"

bool tape__stack_plan(tape__call *call, const int *trailing, tape__stack *stack)
{
    int lead[TAPE__STACK_INPUTS] = {0};
    if (!tape__check_dtypes(call->t, call->in, 0, call->n_in, TAPE_F64))
        return false;
    stack->rank = 0;
    for (int i = 0; i < call->n_in; i++) {
        const tape__layout *x = call->in[i]->layout;
        lead[i] = x->rank - trailing[i];
        if (lead[i] < 0)
            return tape__error(call->t, TAPE_ERROR_SHAPE, "argument %d has shape %s: needs rank %d or more", i + 1,
                               TAPE__LAYOUT_TEXT(x), trailing[i]);
        if (!tape__broadcast(stack->rank, stack->size, lead[i], x->size, &stack->rank, stack->size))
            return tape__error(call->t, TAPE_ERROR_SHAPE, "leading axes of %s and %s do not broadcast",
                               TAPE__LAYOUT_TEXT(call->in[0]->layout), TAPE__LAYOUT_TEXT(x));
    }
    stack->count = 1;
    for (int k = 0; k < stack->rank; k++)
        stack->count *= stack->size[k];
    for (int i = 0; i < call->n_in; i++) {
        const tape__layout *x = call->in[i]->layout;
        for (int k = 0, first = stack->rank - lead[i]; k < stack->rank; k++)
            stack->stride[i][k] = k < first || x->size[k - first] != stack->size[k] ? 0 : x->stride[k - first];
    }
    return true;
}

bool tape__stack_of_matrices(tape__call *call, tape__stack *stack)
{
    return tape__stack_plan(call, (const int[]){2, 2}, stack);
}

bool tape__stack_of_squares(tape__call *call, tape__stack *stack)
{
    const tape__layout *x = call->in[0]->layout;
    if (!tape__stack_of_matrices(call, stack))
        return false;
    return x->size[x->rank - 2] == x->size[x->rank - 1] ||
           tape__error(call->t, TAPE_ERROR_SHAPE, "expects square matrices [..., n, n], got %s", TAPE__LAYOUT_TEXT(x));
}

void tape__stack_load(const tape__call *call, const tape__stack *stack, int i, int trailing, int64_t entry, double *to)
{
    const tape__node *x = call->in[i];
    const int64_t *size = x->layout->size + x->layout->rank - trailing;
    const int64_t *stride = x->layout->stride + x->layout->rank - trailing;
    int64_t rows = size[0], columns = trailing == 2 ? size[1] : 1, at = 0;
    int64_t row = stride[0], column = trailing == 2 ? stride[1] : 0;
    for (int k = stack->rank - 1; k >= 0; k--) {
        at += entry % stack->size[k] * stack->stride[i][k];
        entry /= stack->size[k];
    }
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++) {
            int64_t from = at + r * row + c * column;
            *to++ = x->dtype == TAPE_F64 ? ((const double *)x->data)[from] : (double)((const float *)x->data)[from];
        }
}

void tape__stack_store(const tape__node *y, int64_t entry, int64_t n, const double *from)
{
    if (y->dtype == TAPE_F64)
        memcpy((double *)y->data + entry * n, from, (size_t)n * sizeof *from);
    else
        for (int64_t i = 0; i < n; i++)
            ((float *)y->data)[entry * n + i] = (float)from[i];
}

tape__node *tape__stack_output(tape__call *call, const tape__stack *stack, int rank, const int64_t *size)
{
    int64_t all[2 * TAPE_MAX_RANK];
    for (int i = 0; i < stack->rank + rank; i++)
        all[i] = i < stack->rank ? stack->size[i] : size[i - stack->rank];
    return tape__output(call, (tape_dtype)call->in[0]->dtype, stack->rank + rank, all);
}

double *tape__doubles(tape *t, int64_t count, int64_t rows, int64_t columns)
{
    int64_t bytes;
    if (!tape__mul_size(rows, columns, &bytes) || !tape__mul_size(bytes, count * (int64_t)sizeof(double), &bytes)) {
        tape__error(t, TAPE_ERROR_MEMORY, "matrices of %lld x %lld are too large", (long long)rows, (long long)columns);
        return NULL;
    }
    return tape__scratch(t, (size_t)bytes + sizeof(double));
}

tape_tensor tape__identity_for(tape_tensor a)
{
    int64_t n = tape_size(a, -1);
    return tape_eye(tape_dtype_of(a), n, n);
}
