/* Layouts: sizes and strides, interned, and the rules of broadcasting. Knows nothing of data or dtypes. */
#include "shape.h"

#include <assert.h>
#include <string.h>

#define LARGEST_NUMEL ((int64_t)1 << 60)
#define SLAB_LAYOUTS 32

struct tape__layout_slab {
    struct tape__layout_slab *next;
    int used;
    tape__layout layouts[SLAB_LAYOUTS];
};

void tape__layouts_init(tape__layouts *table, tape__memory *memory)
{
    *table = (tape__layouts){.memory = memory};
}

void tape__layouts_free(tape__layouts *table)
{
    while (table->slabs) {
        struct tape__layout_slab *next = table->slabs->next;
        tape__memory_put(table->memory, table->slabs, sizeof *table->slabs);
        table->slabs = next;
    }
    tape__memory_put(table->memory, table->buckets, table->bucket_count * sizeof *table->buckets);
    tape__layouts_init(table, table->memory);
}

static uint32_t hash_layout(int rank, const int64_t *size, const int64_t *stride)
{
    uint64_t h = (uint64_t)rank * 0x9E3779B97F4A7C15u;
    for (int i = 0; i < rank; i++) {
        h = (h ^ (uint64_t)size[i]) * 0xBF58476D1CE4E5B9u;
        h = (h ^ (h >> 29) ^ (uint64_t)stride[i]) * 0x94D049BB133111EBu;
    }
    return (uint32_t)(h >> 32);
}

static bool grow_buckets(tape__layouts *table)
{
    size_t count = table->bucket_count ? table->bucket_count * 2 : 64;
    tape__layout **buckets = tape__memory_get(table->memory, count * sizeof(tape__layout *));
    if (!buckets)
        return false;
    memset(buckets, 0, count * sizeof(tape__layout *));
    for (size_t b = 0; b < table->bucket_count; b++) {
        for (tape__layout *layout = table->buckets[b], *next; layout; layout = next) {
            next = layout->next;
            layout->next = buckets[layout->hash & (count - 1)];
            buckets[layout->hash & (count - 1)] = layout;
        }
    }
    tape__memory_put(table->memory, table->buckets, table->bucket_count * sizeof(tape__layout *));
    table->buckets = buckets;
    table->bucket_count = count;
    return true;
}

static tape__layout *new_layout(tape__layouts *table)
{
    if (!table->slabs || table->slabs->used == SLAB_LAYOUTS) {
        struct tape__layout_slab *slab = tape__memory_get(table->memory, sizeof *slab);
        if (!slab)
            return NULL;
        slab->next = table->slabs;
        slab->used = 0;
        table->slabs = slab;
    }
    return &table->slabs->layouts[table->slabs->used++];
}

static void dense_strides(int rank, const int64_t *size, int64_t *stride)
{
    int64_t step = 1;
    for (int i = rank - 1; i >= 0; i--) {
        stride[i] = step;
        step *= size[i] > 0 ? size[i] : 1;
    }
}

static bool same(const tape__layout *layout, int rank, const int64_t *size, const int64_t *stride)
{
    if (layout->rank != rank)
        return false;
    for (int i = 0; i < rank; i++)
        if (layout->size[i] != size[i] || layout->stride[i] != stride[i])
            return false;
    return true;
}

/* `dense` is NULL for a layout that is dense itself. */
static const tape__layout *intern(tape__layouts *table, int rank, const int64_t *size, const int64_t *stride,
                                  const tape__layout *dense)
{
    uint32_t hash = hash_layout(rank, size, stride);
    if (table->bucket_count)
        for (tape__layout *layout = table->buckets[hash & (table->bucket_count - 1)]; layout; layout = layout->next)
            if (layout->hash == hash && same(layout, rank, size, stride))
                return layout;
    if (table->count >= table->bucket_count && !grow_buckets(table))
        return NULL;
    tape__layout *layout = new_layout(table);
    if (!layout)
        return NULL;
    memset(layout, 0, sizeof *layout);
    layout->rank = rank;
    layout->hash = hash;
    layout->numel = 1;
    for (int i = 0; i < rank; i++) {
        layout->size[i] = size[i];
        layout->stride[i] = stride[i];
        layout->numel *= size[i];
    }
    layout->dense = dense ? dense : layout;
    layout->next = table->buckets[hash & (table->bucket_count - 1)];
    table->buckets[hash & (table->bucket_count - 1)] = layout;
    table->count++;
    return layout;
}

/* ---- those in use ------------------------------------------------------------------------------------------------ */

static inline bool has_sizes(const tape__layout *layout, int rank, const int64_t *size)
{
    bool equal = layout && layout->rank == rank;
    for (int i = 0; equal && i < rank; i++)
        equal = layout->size[i] == size[i];
    return equal;
}

const tape__layout *tape__layout_recent(const tape__layouts *table, int rank, const int64_t *size)
{
    if (rank < 1 || rank > TAPE_MAX_RANK)
        return NULL;
    const tape__layout *layout = table->recent[tape__layout_place(rank, size, 0)];
    return has_sizes(layout, rank, size) && tape__is_dense(layout) ? layout : NULL;
}

const tape__layout *tape__layout_dense(tape__layouts *table, int rank, const int64_t *size)
{
    assert(rank >= 0 && rank <= TAPE_MAX_RANK);
    const tape__layout *known = tape__layout_recent(table, rank, size);
    if (known)
        return known;
    int64_t stride[TAPE_MAX_RANK] = {0};
    dense_strides(rank, size, stride);
    known = intern(table, rank, size, stride, NULL);
    if (rank > 0)
        table->recent[tape__layout_place(rank, size, 0)] = known;
    return known;
}

/* Strides of axes of size 1, and all strides of an empty tensor, mean nothing: they are normalised away, so that
 * "dense" is recognised wherever it is true. */
static const tape__layout *normalised(tape__layouts *table, int rank, const int64_t *size, const int64_t *stride)
{
    const tape__layout *dense = tape__layout_dense(table, rank, size);
    if (!dense || dense->numel <= 1)
        return dense;
    int64_t normal[TAPE_MAX_RANK];
    bool is_dense = true;
    for (int i = 0; i < rank; i++) {
        normal[i] = size[i] == 1 ? dense->stride[i] : stride[i];
        is_dense = is_dense && normal[i] == dense->stride[i];
    }
    return is_dense ? dense : intern(table, rank, size, normal, dense);
}

const tape__layout *tape__layout_strided(tape__layouts *table, int rank, const int64_t *size, const int64_t *stride)
{
    if (rank == 0)
        return tape__layout_dense(table, rank, size);
    const tape__layout **place = &table->recent[tape__layout_place(rank, size, stride[0] + stride[rank - 1] * 9)];
    bool equal = has_sizes(*place, rank, size);
    for (int i = 0; equal && i < rank; i++)
        equal = (*place)->stride[i] == stride[i];
    if (!equal)
        *place = normalised(table, rank, size, stride);
    return *place;
}

const tape__layout *tape__layout_narrow(tape__layouts *table, tape__narrowed *place, const tape__layout *of, int axis,
                                        int64_t size)
{
    int64_t sizes[TAPE_MAX_RANK];
    memcpy(sizes, of->size, sizeof sizes);
    sizes[axis] = size;
    const tape__layout *layout = tape__layout_strided(table, of->rank, sizes, of->stride);
    *place = (tape__narrowed){of, layout, size, axis};
    if (!layout)
        place->of = NULL;
    return layout;
}

bool tape__shape_numel(int rank, const int64_t *size, int64_t *numel)
{
    if (rank < 0 || rank > TAPE_MAX_RANK)
        return false;
    int64_t n = 1, extent = 1; /* extent ignores zeros, so that strides fit as well */
    for (int i = 0; i < rank; i++) {
        if (size[i] < 0 || !tape__mul_size(extent, size[i] ? size[i] : 1, &extent) || extent > LARGEST_NUMEL)
            return false;
        n *= size[i];
    }
    *numel = n;
    return true;
}

bool tape__broadcast(int rank_a, const int64_t *a, int rank_b, const int64_t *b, int *rank, int64_t *size)
{
    int64_t result[TAPE_MAX_RANK];
    int n = rank_a > rank_b ? rank_a : rank_b;
    for (int i = 0; i < n; i++) {
        int64_t p = i < n - rank_a ? 1 : a[i - (n - rank_a)];
        int64_t q = i < n - rank_b ? 1 : b[i - (n - rank_b)];
        if (p != q && p != 1 && q != 1)
            return false;
        result[i] = p == 1 ? q : p;
    }
    *rank = n;
    memcpy(size, result, (size_t)n * sizeof *size);
    return true;
}

void tape__broadcast_strides(const tape__layout *from, int rank, const int64_t *size, int64_t *stride)
{
    int lead = rank - from->rank;
    for (int i = 0; i < rank; i++)
        stride[i] = i < lead || (from->size[i - lead] == 1 && size[i] != 1) ? 0 : from->stride[i - lead];
}

int tape__axis(int axis, int rank)
{
    if (axis < -rank || axis >= rank)
        return -1;
    return axis < 0 ? axis + rank : axis;
}

bool tape__axes_mask(tape_axes axes, int rank, unsigned *mask)
{
    if (axes.count < 0 || axes.count > TAPE_MAX_RANK)
        return false;
    *mask = axes.count == 0 ? (1u << rank) - 1 : 0;
    for (int i = 0; i < axes.count; i++) {
        int axis = tape__axis(axes.axis[i], rank);
        if (axis < 0 || (*mask & 1u << axis))
            return false;
        *mask |= 1u << axis;
    }
    return true;
}

tape__text tape__shape_text(int rank, const int64_t *size)
{
    tape__text text;
    size_t used = 0;
    tape__append(text.text, sizeof text.text, &used, "[");
    for (int i = 0; i < rank && i < TAPE_MAX_RANK; i++)
        tape__append(text.text, sizeof text.text, &used, i ? ", %lld" : "%lld", (long long)size[i]);
    tape__append(text.text, sizeof text.text, &used, "]");
    return text;
}

tape__text tape__layout_text(const tape__layout *layout)
{
    return tape__shape_text(layout->rank, layout->size);
}
