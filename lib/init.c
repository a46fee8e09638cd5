/* Initialisers: which distribution a weight's shape calls for. The numbers themselves come from the random ops. */
#include <math.h>

#include "kit.h"

/* Draw into the leaf and leave nothing on the tape. */
static tape_status draw(tape_tensor leaf, bool normal, double a, double b)
{
    tape_dtype dtype = tape_dtype_of(leaf);
    tape_shape shape = tape_shape_of(leaf);
    if (tape_last_status() != TAPE_OK)
        return tape_last_status();
    tape_position before = tape_mark();
    tape_tensor x = normal ? tape_rand_normal(dtype, shape, a, b) : tape_rand_uniform(dtype, shape, a, b);
    tape_status status = tape_assign(leaf, x);
    tape_rewind(before);
    tape_mark_drop(before);
    return status;
}

tape_status tape_init_constant(tape_tensor leaf, double value)
{
    tape_dtype dtype = tape_dtype_of(leaf);
    int64_t n = tape_numel(leaf);
    void *data = tape_data_mut(leaf);
    if (tape_last_status() != TAPE_OK)
        return tape_last_status();
    if (dtype != TAPE_F32 && dtype != TAPE_F64)
        return tape_fail(TAPE_ERROR_DTYPE, "init_constant: expects f32 or f64, got %s", tape_dtype_name(dtype));
    for (int64_t i = 0; i < n; i++) {
        if (dtype == TAPE_F64)
            ((double *)data)[i] = value;
        else
            ((float *)data)[i] = (float)value;
    }
    return TAPE_OK;
}

tape_status tape_init_zeros(tape_tensor leaf)
{
    return tape_init_constant(leaf, 0);
}

tape_status tape_init_uniform(tape_tensor leaf, double low, double high)
{
    return draw(leaf, false, low, high);
}

tape_status tape_init_normal(tape_tensor leaf, double mean, double std)
{
    return draw(leaf, true, mean, std);
}

/* ---- by fan ------------------------------------------------------------------------------------------------------ */

static tape_status fans(tape_tensor leaf, double *in, double *out)
{
    tape_shape shape = tape_shape_of(leaf);
    if (tape_last_status() != TAPE_OK)
        return tape_last_status();
    if (shape.rank < 2)
        return tape_fail(TAPE_ERROR_SHAPE, "init: expects a weight of shape [out, in, ...], got %s",
                         tape__shown_shape(shape).text);
    double window = 1;
    for (int i = 2; i < shape.rank; i++)
        window *= (double)shape.size[i];
    *in = window * (double)shape.size[1];
    *out = window * (double)shape.size[0];
    return TAPE_OK;
}

/* A draw of the given variance; one without elements has no variance to keep. */
static tape_status draw_variance(tape_tensor leaf, bool normal, double variance)
{
    if (!isfinite(variance))
        variance = tape_numel(leaf) == 0 ? 0 : variance;
    double std = sqrt(variance), bound = sqrt(3 * variance);
    return normal ? draw(leaf, true, 0, std) : draw(leaf, false, -bound, bound);
}

static tape_status xavier(tape_tensor leaf, bool normal, double gain)
{
    double in, out;
    gain = gain == 0 ? 1 : gain;
    tape_status status = fans(leaf, &in, &out);
    return status == TAPE_OK ? draw_variance(leaf, normal, gain * gain * 2 / (in + out)) : status;
}

static tape_status he(tape_tensor leaf, bool normal, double slope)
{
    double in, out;
    tape_status status = fans(leaf, &in, &out);
    return status == TAPE_OK ? draw_variance(leaf, normal, 2 / ((1 + slope * slope) * in)) : status;
}

tape_status tape_init_xavier_uniform(tape_tensor leaf, double gain)
{
    return xavier(leaf, false, gain);
}

tape_status tape_init_xavier_normal(tape_tensor leaf, double gain)
{
    return xavier(leaf, true, gain);
}

tape_status tape_init_he_uniform(tape_tensor leaf, double slope)
{
    return he(leaf, false, slope);
}

tape_status tape_init_he_normal(tape_tensor leaf, double slope)
{
    return he(leaf, true, slope);
}
