/* Normalisations of channels: by groups, by instance, by batch. Written with other ops; knows no loops, no derivatives.
 */
#include "ops.h"

/* False after an error unless x has channels, and weight and bias, where given, one element for each. */
static bool check_channels(tape *t, tape_shape x, tape_tensor weight, tape_tensor bias)
{
    const tape_tensor given[2] = {weight, bias};
    if (x.rank < 2)
        return tape__error(t, TAPE_ERROR_SHAPE, "expects [N, C, ...], got %s", tape__shape_text(x.rank, x.size).text);
    for (int i = 0; i < 2; i++) {
        if (tape_is_none(given[i]))
            continue;
        tape_shape shape = tape_shape_of(given[i]);
        if (shape.rank != 1 || shape.size[0] != x.size[1])
            return tape__error(t, TAPE_ERROR_SHAPE, "expects weight and bias of shape [%lld], got %s",
                               (long long)x.size[1], tape__shape_text(shape.rank, shape.size).text);
    }
    return true;
}

/* One element a channel, so that it broadcasts against x. */
static tape_tensor against(tape_tensor channels, tape_shape x)
{
    for (int i = 0; i < x.rank; i++)
        x.size[i] = i == 1 ? x.size[i] : 1;
    return tape_reshape(channels, x);
}

/* ---- groups ------------------------------------------------------------------------------------------------------ */

static tape_tensor by_groups(tape *t, tape_tensor x, int64_t groups, tape_tensor weight, tape_tensor bias, double eps)
{
    tape_shape shape = tape_shape_of(x);
    if (!check_channels(t, shape, weight, bias))
        return TAPE_NULL;
    if (groups < 1 || shape.size[1] % groups != 0) {
        tape__error(t, TAPE_ERROR_ARGUMENT, "%lld groups do not divide the channels of %s", (long long)groups,
                    tape__shape_text(shape.rank, shape.size).text);
        return TAPE_NULL;
    }
    int64_t members = shape.size[1] / groups;
    for (int i = 2; i < shape.rank; i++)
        members *= shape.size[i];
    tape_tensor grouped = tape_reshape(x, TAPE_SHAPE(shape.size[0], groups, members));
    tape_tensor y = tape_reshape(tape_layer_norm(grouped, TAPE_NONE, TAPE_NONE, 1, eps), shape);
    if (!tape_is_none(weight))
        y = tape_mul(y, against(weight, shape));
    return tape_is_none(bias) ? y : tape_add(y, against(bias, shape));
}

tape_tensor tape_group_norm(tape_tensor x, int64_t groups, tape_tensor weight, tape_tensor bias, double eps)
{
    TAPE__BEGIN_COMPOSITE("group_norm");
    return tape__leave(t, before, TAPE__OP_group_norm, by_groups(t, x, groups, weight, bias, eps));
}

tape_tensor tape_instance_norm(tape_tensor x, tape_tensor weight, tape_tensor bias, double eps)
{
    TAPE__BEGIN_COMPOSITE("instance_norm");
    int64_t channels = tape_rank(x) > 1 ? tape_size(x, 1) : 1;
    tape_tensor y = by_groups(t, x, channels ? channels : 1, weight, bias, eps);
    return tape__leave(t, before, TAPE__OP_instance_norm, y);
}

/* ---- the batch --------------------------------------------------------------------------------------------------- */

/* x s + b with s = w / sqrt(var + eps), b = bias - mean s: one pass over x. */
static tape_tensor by_batch(tape_tensor x, tape_tensor weight, tape_tensor bias, double eps, tape_tensor *mean,
                            tape_tensor *var)
{
    tape_shape shape = tape_shape_of(x);
    tape_axes axes = {0, {0}};
    for (int i = 0; i < shape.rank; i++)
        if (i != 1)
            axes.axis[axes.count++] = i;
    tape_tensor m = tape_mean(x, axes, false), v = tape_var(x, axes, 0, false);
    tape_tensor scale = tape_rsqrt(tape_add_scalar(v, eps));
    if (!tape_is_none(weight))
        scale = tape_mul(scale, weight);
    tape_tensor shift = tape_neg(tape_mul(m, scale));
    if (!tape_is_none(bias))
        shift = tape_add(shift, bias);
    if (mean)
        *mean = m;
    if (var)
        *var = v;
    return tape_fma(x, against(scale, shape), against(shift, shape));
}

tape_tensor tape_batch_norm(tape_tensor x, tape_tensor weight, tape_tensor bias, double eps, tape_tensor *mean,
                            tape_tensor *var)
{
    if (mean)
        *mean = TAPE_NULL;
    if (var)
        *var = TAPE_NULL;
    TAPE__BEGIN_COMPOSITE("batch_norm");
    bool ok = check_channels(t, tape_shape_of(x), weight, bias);
    tape_tensor y = ok ? by_batch(x, weight, bias, eps, mean, var) : TAPE_NULL;
    return tape__leave(t, before, TAPE__OP_batch_norm, y);
}
