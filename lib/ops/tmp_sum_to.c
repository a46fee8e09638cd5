/* A plain sum over stretched axes; replaced by the reduction family. */
#include <string.h>

#include "ops.h"

tape_tensor tape__sum_to(tape_tensor x, tape_shape shape)
{
    tape *t = tape__begin("sum_to");
    uint32_t from = t ? tape__resolve(t, x, 0) : TAPE__NO_SLOT;
    if (from == TAPE__NO_SLOT)
        return TAPE_NULL;
    const tape__layout *layout = tape__at(t, from)->layout;
    if (layout->rank == shape.rank && memcmp(layout->size, shape.size, (size_t)shape.rank * sizeof *shape.size) == 0)
        return x;
    tape_tensor y = tape_zeros(tape_dtype_of(x), shape);
    if (tape_is_null(y))
        return y;
    const tape__node *source = tape__at(t, from), *target = tape__at(t, y.slot);
    for (int64_t i = 0; i < layout->numel; i++) {
        int64_t rest = i, in = 0, out = 0;
        for (int a = layout->rank - 1; a >= 0; a--) {
            int64_t at = rest % layout->size[a];
            int b = a - (layout->rank - shape.rank);
            rest /= layout->size[a];
            in += at * layout->stride[a];
            out += b >= 0 && shape.size[b] != 1 ? at * target->layout->stride[b] : 0;
        }
        if (source->dtype == TAPE_F64)
            ((double *)target->data)[out] += ((const double *)source->data)[in];
        else
            ((float *)target->data)[out] += ((const float *)source->data)[in];
    }
    return y;
}
