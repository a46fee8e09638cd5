/* The checks of dtypes and axes that ops share, with their messages. Knows no op. */
#include "check.h"

bool tape__check_float(tape *t, const tape__node *x)
{
    return x->dtype <= TAPE_F64 ||
           tape__error(t, TAPE_ERROR_DTYPE, "expects f32 or f64, got %s", tape_dtype_name(x->dtype));
}

bool tape__report_dtypes(tape *t, tape__node *const *x, int first, int n, tape_dtype highest)
{
    for (int i = first; i < n; i++) {
        if (x[i]->dtype > highest)
            return tape__error(t, TAPE_ERROR_DTYPE, "argument %d is %s, not f32 or f64", i + 1,
                               tape_dtype_name(x[i]->dtype));
        if (x[i]->dtype != x[first]->dtype)
            return tape__error(t, TAPE_ERROR_DTYPE, "dtypes %s and %s differ: cast one of them",
                               tape_dtype_name(x[first]->dtype), tape_dtype_name(x[i]->dtype));
    }
    return true;
}

bool tape__check_axis(tape *t, int64_t axis, const tape__layout *layout, int *out)
{
    *out = axis < -TAPE_MAX_RANK || axis >= TAPE_MAX_RANK ? -1 : tape__axis((int)axis, layout->rank);
    return *out >= 0 || tape__error(t, TAPE_ERROR_ARGUMENT, "axis %lld is out of range for %s", (long long)axis,
                                    TAPE__LAYOUT_TEXT(layout));
}

bool tape__check_axis_or_scalar(tape *t, int64_t axis, const tape__layout *layout, int *out)
{
    *out = 0;
    return (layout->rank == 0 && (axis == 0 || axis == -1)) || tape__check_axis(t, axis, layout, out);
}

tape__axis_cut tape__cut_at(const tape__layout *layout, int axis)
{
    tape__axis_cut cut = {1, layout->rank ? layout->size[axis] : 1, 1};
    for (int i = 0; i < axis; i++)
        cut.outer *= layout->size[i];
    for (int i = axis + 1; i < layout->rank; i++)
        cut.inner *= layout->size[i];
    return cut;
}
