/* Layouts: sizes and strides, interned so that equal layouts are equal pointers, and the rules of broadcasting. */
#ifndef TAPE__SHAPE_H
#define TAPE__SHAPE_H

#include "base.h"

typedef struct tape__layout {
    const struct tape__layout *dense; /* the row-major layout of the same sizes; itself if this is it */
    struct tape__layout *next;        /* in the intern table's bucket */
    int64_t numel;
    int32_t rank;
    uint32_t hash;
    int64_t size[TAPE_MAX_RANK];
    int64_t stride[TAPE_MAX_RANK]; /* in elements; may be 0 or negative */
} tape__layout;

static inline bool tape__is_dense(const tape__layout *layout)
{
    return layout->dense == layout;
}

#define TAPE__RECENT_LAYOUTS 32u
#define TAPE__NARROWED_LAYOUTS 8u

/* `layout` is that of so many elements along an axis of a tensor that is laid out as `of`. */
typedef struct tape__narrowed {
    const struct tape__layout *of, *layout;
    int64_t size;
    int axis;
} tape__narrowed;

/* The intern table. Entries live until tape__layouts_free(). */
typedef struct tape__layouts {
    tape__memory *memory;
    tape__layout **buckets;
    size_t bucket_count; /* a power of two; 0 before the first entry */
    size_t count;
    struct tape__layout_slab *slabs;
    const struct tape__layout *recent[TAPE__RECENT_LAYOUTS]; /* looked at first: programs use few shapes at a time */
    tape__narrowed narrowed[TAPE__NARROWED_LAYOUTS];
} tape__layouts;

void tape__layouts_init(tape__layouts *table, tape__memory *memory);
void tape__layouts_free(tape__layouts *table);

/* Where a layout is remembered; `step` tells views of one shape apart, and is 0 for the dense layout. */
static inline uint32_t tape__layout_place(int rank, const int64_t *size, int64_t step)
{
    uint64_t h = (uint64_t)size[0] * 7 + (uint64_t)size[rank - 1] * 3 + (uint64_t)step * 5;
    return (uint32_t)(h + (h >> 5) + (uint64_t)rank) % TAPE__RECENT_LAYOUTS;
}

/* The dense layout of a matrix that was asked for lately; NULL where it was not. */
TAPE__INLINE const tape__layout *tape__layout_recent_matrix(const tape__layouts *table, int64_t m, int64_t n)
{
    const int64_t size[2] = {m, n};
    const tape__layout *known = table->recent[tape__layout_place(2, size, 0)];
    bool same = known && known->rank == 2 && known->size[0] == m && known->size[1] == n && tape__is_dense(known);
    return same ? known : NULL;
}

/* The dense layout of a shape that was asked for lately; NULL where it was not, or is no shape. */
const tape__layout *tape__layout_recent(const tape__layouts *table, int rank, const int64_t *size);

/* NULL only when memory is short. The sizes must have a product that fits (tape__shape_numel). */
const tape__layout *tape__layout_dense(tape__layouts *table, int rank, const int64_t *size);
const tape__layout *tape__layout_strided(tape__layouts *table, int rank, const int64_t *size, const int64_t *stride);

/* The layout with `size` elements along an axis, which has as many, and else all of them. */
const tape__layout *tape__layout_narrow(tape__layouts *table, tape__narrowed *place, const tape__layout *of, int axis,
                                        int64_t size);
TAPE__INLINE const tape__layout *tape__layout_narrowed(tape__layouts *table, const tape__layout *of, int axis,
                                                       int64_t size)
{
    const uint64_t hash = (uint64_t)(uintptr_t)of / 32 + (uint64_t)size * 3 + (uint64_t)axis;
    tape__narrowed *place = &table->narrowed[hash % TAPE__NARROWED_LAYOUTS];
    const bool known = place->of == of && place->size == size && place->axis == axis;
    return TAPE__LIKELY(known) ? place->layout : tape__layout_narrow(table, place, of, axis, size);
}

/* The number of elements; false for a negative size, a rank outside 0..8, or a product beyond 2^60. */
bool tape__shape_numel(int rank, const int64_t *size, int64_t *numel);

/* NumPy's rule: sizes are aligned at the last axis and 1 stretches. False if they do not fit. `size` may alias. */
bool tape__broadcast(int rank_a, const int64_t *a, int rank_b, const int64_t *b, int *rank, int64_t *size);

/* The strides with which `from` is read as if it had `rank` and `size`; 0 where it is stretched. */
void tape__broadcast_strides(const tape__layout *from, int rank, const int64_t *size, int64_t *stride);

/* Resolve a possibly negative axis: 0..rank-1, or -1 if out of range. */
int tape__axis(int axis, int rank);

/* A set of axes as a bit mask; count 0 means all. False for an axis out of range or a duplicate. */
bool tape__axes_mask(tape_axes axes, int rank, unsigned *mask);

/* Shapes as text for messages: "[3, 4]". Valid in the full expression it is used in. */
typedef struct tape__text {
    char text[128];
} tape__text;
tape__text tape__shape_text(int rank, const int64_t *size);
tape__text tape__layout_text(const tape__layout *layout);
#define TAPE__LAYOUT_TEXT(layout) (tape__layout_text(layout).text)

#endif
