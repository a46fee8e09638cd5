/* Constants in the arena: from data, filled, ranges. Knows nothing of gradients. */
#include <math.h>
#include <string.h>

#include "kernels/any/cast.h"
#include "ops/ops.h"

/* Promotion to f64 (the checker's mode) may change the dtype: `node->dtype` says which it is. */
static tape__node *create(const char *name, tape_dtype dtype, tape_shape shape, tape_tensor *x)
{
    *x = TAPE_NULL;
    tape *t = tape__begin(name);
    if (!t)
        return NULL;
    if (tape_dtype_size(dtype) == 0) {
        tape__error(t, TAPE_ERROR_DTYPE, "unknown dtype %d", (int)dtype);
        return NULL;
    }
    uint32_t slot;
    tape__node *node = tape__new_tensor(t, dtype, shape.rank, shape.size, &slot);
    if (node) {
        node->in[1] = TAPE__GIVEN;
        *x = tape__handle(t, slot);
    }
    return node;
}

/* One number in any dtype; what does not fit saturates, NaN becomes 0 in an integer. */
static void store(void *to, int dtype, double value)
{
    const int64_t one = 1;
    tape__cast(NULL, 1, &one, TAPE_F64, &value, &one, (tape_dtype)dtype, to);
}

static void fill(tape__node *node, double value)
{
    size_t item = tape_dtype_size(node->dtype), bytes = (size_t)node->layout->numel * item;
    if (bytes == 0)
        return;
    unsigned char *data = node->data;
    store(data, node->dtype, value);
    for (size_t done = item; done < bytes; done *= 2)
        memcpy(data + done, data, done < bytes - done ? done : bytes - done);
}

tape_tensor tape_from(tape_dtype dtype, tape_shape shape, const void *data)
{
    tape_tensor x;
    tape__node *node = create("from", dtype, shape, &x);
    if (!node)
        return x;
    int64_t n = node->layout->numel;
    if (!data)
        memset(node->data, 0, (size_t)n * tape_dtype_size(node->dtype));
    else if (node->dtype == dtype)
        memcpy(node->data, data, (size_t)n * tape_dtype_size(dtype));
    else
        tape__cast(NULL, node->layout->rank, node->layout->size, dtype, data, node->layout->stride, node->dtype,
                   node->data);
    return x;
}

tape_tensor tape_full(tape_dtype dtype, tape_shape shape, double value)
{
    tape_tensor x;
    tape__node *node = create("full", dtype, shape, &x);
    if (node)
        fill(node, value);
    return x;
}

tape_tensor tape_scalar(tape_dtype dtype, double value)
{
    return tape_full(dtype, TAPE_SCALAR, value);
}

tape_tensor tape_zeros(tape_dtype dtype, tape_shape shape)
{
    return tape_from(dtype, shape, NULL);
}

tape_tensor tape_ones(tape_dtype dtype, tape_shape shape)
{
    return tape_full(dtype, shape, 1);
}

static tape_tensor full_like(const char *name, tape_tensor x, double value)
{
    tape *t = tape__begin(name);
    uint32_t slot = t ? tape__resolve(t, x, 0) : TAPE__NO_SLOT;
    return slot == TAPE__NO_SLOT ? TAPE_NULL : tape_full(tape__at(t, slot)->dtype, tape_shape_of(x), value);
}

tape_tensor tape_zeros_like(tape_tensor x)
{
    return full_like("zeros_like", x, 0);
}

tape_tensor tape_ones_like(tape_tensor x)
{
    return full_like("ones_like", x, 1);
}

/* x[i] = start + i step; every element from i itself, so that errors do not add up. */
static tape_tensor ramp(const char *name, tape_dtype dtype, int64_t count, double start, double step, double end)
{
    tape_tensor x;
    tape__node *node = create(name, dtype, TAPE_SHAPE(count), &x);
    if (!node)
        return x;
    size_t item = tape_dtype_size(node->dtype);
    for (int64_t i = 0; i < count; i++) {
        double value = i == count - 1 && !isnan(end) ? end : start + (double)i * step;
        store((unsigned char *)node->data + (size_t)i * item, node->dtype, value);
    }
    return x;
}

tape_tensor tape_arange(tape_dtype dtype, double start, double end, double step)
{
    tape *t = tape__begin("arange");
    if (!t)
        return TAPE_NULL;
    double count = ceil((end - start) / step);
    if (!(step != 0) || !(count < 1e15)) { /* NaN fails both */
        tape__error(t, TAPE_ERROR_ARGUMENT, "start %g, end %g and step %g make no range", start, end, step);
        return TAPE_NULL;
    }
    return ramp("arange", dtype, count > 0 ? (int64_t)count : 0, start, step, NAN);
}

tape_tensor tape_linspace(tape_dtype dtype, double start, double end, int64_t count)
{
    double step = count > 1 ? (end - start) / (double)(count - 1) : 0;
    return ramp("linspace", dtype, count, start, step, count > 1 ? end : NAN);
}

tape_tensor tape_eye(tape_dtype dtype, int64_t n, int64_t m)
{
    tape_tensor x = tape_zeros(dtype, TAPE_SHAPE(n, m));
    if (tape_is_null(x))
        return x;
    tape__node *node = tape__at(tape__tls, x.slot);
    size_t item = tape_dtype_size(node->dtype);
    for (int64_t i = 0; i < n && i < m; i++)
        store((unsigned char *)node->data + (size_t)(i * m + i) * item, node->dtype, 1);
    return x;
}
