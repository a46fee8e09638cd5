/* Tensors as text, without allocation and without the locale. Knows nothing of gradients. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ops/ops.h"

#define EDGE 3         /* elements shown at either end of a long axis */
#define LONG_TENSOR 64 /* up to so many elements all are shown */

/* Counts every character, writes those that fit. */
typedef struct text {
    char *buffer;
    size_t size, length;
} text;

static void put(text *out, const char *from)
{
    for (; *from; from++, out->length++)
        if (out->length + 1 < out->size)
            out->buffer[out->length] = *from;
}

/* printf's decimal point is the locale's: any byte that no number has otherwise becomes a point. */
static void put_double(text *out, double value, int digits)
{
    char number[40];
    snprintf(number, sizeof number, "%.*g", digits, value);
    char *point = number + strspn(number, "-0123456789");
    bool has_point = isfinite(value) && *point && *point != 'e';
    if (has_point) {
        char *rest = point + strcspn(point, "0123456789e");
        *point = '.';
        memmove(point + 1, rest, strlen(rest) + 1);
    }
    put(out, number);
}

static void put_element(text *out, const tape__node *x, int64_t offset)
{
    char number[24] = "";
    switch (x->dtype) {
    case TAPE_F32:
        put_double(out, (double)((const float *)x->data)[offset], 7);
        return;
    case TAPE_F64:
        put_double(out, ((const double *)x->data)[offset], 10);
        return;
    case TAPE_I32:
        snprintf(number, sizeof number, "%" PRId32, ((const int32_t *)x->data)[offset]);
        break;
    case TAPE_I64:
        snprintf(number, sizeof number, "%" PRId64, ((const int64_t *)x->data)[offset]);
        break;
    default:
        snprintf(number, sizeof number, "%u", ((const uint8_t *)x->data)[offset]);
    }
    put(out, number);
}

/* Recursion is at most TAPE_MAX_RANK deep. */
static void put_axis(text *out, const tape__node *x, int axis, int64_t offset)
{
    const tape__layout *layout = x->layout;
    if (axis == layout->rank) {
        put_element(out, x, offset);
        return;
    }
    int64_t n = layout->size[axis];
    bool is_long = layout->numel > LONG_TENSOR || layout->numel == 0; /* the sizes beside a 0 may be huge */
    bool cut = is_long && n > 2 * EDGE + 1;
    put(out, "[");
    for (int64_t i = 0; i < n; i++) {
        if (i > 0)
            put(out, ", ");
        if (cut && i == EDGE) {
            put(out, "...");
            i = n - EDGE - 1;
            continue;
        }
        put_axis(out, x, axis + 1, offset + i * layout->stride[axis]);
    }
    put(out, "]");
}

size_t tape_format(tape_tensor x, char *buffer, size_t size)
{
    text out = {buffer, size, 0};
    if (size)
        buffer[0] = '\0';
    tape *t = tape__begin("format");
    uint32_t slot = t ? tape__resolve(t, x, 0) : TAPE__NO_SLOT;
    if (slot == TAPE__NO_SLOT)
        return 0;
    const tape__node *node = tape__at(t, slot);
    put_axis(&out, node, 0, 0);
    put(&out, " ");
    put(&out, tape_dtype_name((tape_dtype)node->dtype));
    put(&out, TAPE__LAYOUT_TEXT(node->layout));
    if (size == 0)
        return out.length;
    if (out.length < size) {
        buffer[out.length] = '\0';
    } else {
        buffer[size - 1] = '\0';
        if (size > 3)
            memcpy(buffer + size - 4, "...", 3);
    }
    return out.length;
}

void tape_print(tape_tensor x)
{
    char line[4096];
    if (tape_format(x, line, sizeof line))
        puts(line);
}
