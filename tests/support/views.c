/* Knows how to lay values out so that a view brings them back in order; it does not know what is done with the view. */
#include "views.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "table.h"

const char *view_name(int view)
{
    static const char *const names[VIEWS] = {"transposed", "stepped", "reversed", "inner", "expanded"};
    return names[view];
}

tape_shape view_storage(int view, tape_shape shape)
{
    tape_shape storage = shape;
    for (int k = 0; k < shape.rank; k++) {
        if (view == VIEW_TRANSPOSED)
            storage.size[k] = shape.size[shape.rank - 1 - k];
        else if (view == VIEW_STEPPED)
            storage.size[k] = 2 * shape.size[k] + 1;
        else if (view == VIEW_INNER)
            storage.size[k] = shape.size[k] + 2;
        else if (view == VIEW_EXPANDED && k == 0 && shape.size[0] > 0)
            storage.size[0] = 1;
    }
    return storage;
}

/* Where element `at` of the view is stored. */
static int64_t place(int view, tape_shape shape, tape_shape storage, int64_t at)
{
    int64_t index[TAPE_MAX_RANK], result = 0;
    for (int k = shape.rank - 1; k >= 0; k--) {
        index[k] = at % shape.size[k];
        at /= shape.size[k];
    }
    for (int k = 0; k < shape.rank; k++) {
        int64_t i = index[k];
        if (view == VIEW_TRANSPOSED)
            i = index[shape.rank - 1 - k];
        else if (view == VIEW_STEPPED)
            i = 2 * i + 1;
        else if (view == VIEW_REVERSED)
            i = shape.size[k] - 1 - i;
        else if (view == VIEW_INNER)
            i = i + 1;
        else if (k == 0)
            i = 0;
        result = result * storage.size[k] + i;
    }
    return result;
}

double *view_store(int view, tape_shape shape, double *values)
{
    tape_shape storage = view_storage(view, shape);
    int64_t stored = shape_numel(storage), n = shape_numel(shape), slice = shape.rank ? n / (shape.size[0] + !n) : n;
    double *data = calloc((size_t)stored + 1, sizeof *data);
    ck_assert_ptr_nonnull(data);
    for (int64_t k = 0; k < n; k++) {
        if (view == VIEW_EXPANDED && slice > 0)
            values[k] = values[k % slice];
        data[place(view, shape, storage, k)] = values[k];
    }
    return data;
}

tape_tensor view_apply(int view, tape_shape shape, tape_tensor base)
{
    tape_tensor x = base;
    tape_axes reversed = {shape.rank, {0}};
    for (int k = 0; k < shape.rank; k++)
        reversed.axis[k] = shape.rank - 1 - k;
    if (view == VIEW_TRANSPOSED && shape.rank > 0)
        return tape_permute(x, reversed);
    if (view == VIEW_EXPANDED)
        return tape_expand(x, shape);
    for (int k = 0; k < shape.rank; k++) {
        int64_t n = shape.size[k];
        if (view == VIEW_STEPPED)
            x = tape_slice(x, k, 1, 2 * n + 1, 2);
        else if (view == VIEW_REVERSED)
            x = tape_flip(x, TAPE_AXES(k));
        else if (view == VIEW_INNER)
            x = tape_slice(x, k, 1, n + 1, 1);
    }
    return x;
}

tape_tensor view_of(int view, tape_dtype dtype, tape_shape shape, double *values, tape_tensor *leaf)
{
    double *stored = view_store(view, shape, values);
    *leaf = leaf_of(dtype, view_storage(view, shape), stored, false);
    free(stored);
    return view_apply(view, shape, *leaf);
}
