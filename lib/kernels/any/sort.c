/* Knows how to sort a line stably by merging and how to search by halving; it does not know about axes. */
#include "sort.h"

/* A run of this length is sorted by insertion before runs are merged. */
enum { RUN = 16 };

/* A total order with NaN as the largest; the self-comparisons are how NaN shows. */
#define FLOAT_LESS(a, b) ((a) < (b) || ((b) != (b) && (a) == (a)))
#define INTEGER_LESS(a, b) ((a) < (b))

/*
 * DEFINE_SORT(f32, float, FLOAT_LESS) defines struct item_f32 (a value and its place), sort_f32(), which sorts a line
 * by way of two arrays of items, and search_f32().
 */
#define DEFINE_SORT(dtype, type, LESS)                                                                                 \
    struct item_##dtype {                                                                                              \
        int64_t place;                                                                                                 \
        type value;                                                                                                    \
    };                                                                                                                 \
    static inline bool before_##dtype(struct item_##dtype a, struct item_##dtype b, bool descending)                   \
    {                                                                                                                  \
        return descending ? LESS(b.value, a.value) : LESS(a.value, b.value);                                           \
    }                                                                                                                  \
    static void insert_##dtype(struct item_##dtype *items, int64_t n, bool descending)                                 \
    {                                                                                                                  \
        for (int64_t i = 1; i < n; i++) {                                                                              \
            struct item_##dtype moved = items[i];                                                                      \
            int64_t k = i;                                                                                             \
            for (; k > 0 && before_##dtype(moved, items[k - 1], descending); k--)                                      \
                items[k] = items[k - 1];                                                                               \
            items[k] = moved;                                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
    static void merge_##dtype(const struct item_##dtype *a, int64_t m, const struct item_##dtype *b, int64_t n,        \
                              struct item_##dtype *to, bool descending)                                                \
    {                                                                                                                  \
        while (m > 0 && n > 0) {                                                                                       \
            bool take_b = before_##dtype(*b, *a, descending);                                                          \
            *to++ = take_b ? *b++ : *a++;                                                                              \
            m -= !take_b;                                                                                              \
            n -= take_b;                                                                                               \
        }                                                                                                              \
        while (m-- > 0)                                                                                                \
            *to++ = *a++;                                                                                              \
        while (n-- > 0)                                                                                                \
            *to++ = *b++;                                                                                              \
    }                                                                                                                  \
    static void sort_##dtype(bool descending, int64_t n, int64_t stride, const type *x, type *y, int64_t *index,       \
                             struct item_##dtype *items)                                                               \
    {                                                                                                                  \
        struct item_##dtype *from = items, *to = items + n;                                                            \
        for (int64_t i = 0; i < n; i++)                                                                                \
            from[i] = (struct item_##dtype){i, x[i * stride]};                                                         \
        for (int64_t i = 0; i < n; i += RUN)                                                                           \
            insert_##dtype(from + i, n - i < RUN ? n - i : RUN, descending);                                           \
        for (int64_t run = RUN; run < n; run *= 2) {                                                                   \
            for (int64_t i = 0; i < n; i += 2 * run) {                                                                 \
                int64_t middle = n - i < run ? n - i : run, rest = n - i - middle;                                     \
                merge_##dtype(from + i, middle, from + i + middle, rest < run ? rest : run, to + i, descending);       \
            }                                                                                                          \
            struct item_##dtype *swapped = from;                                                                       \
            from = to;                                                                                                 \
            to = swapped;                                                                                              \
        }                                                                                                              \
        for (int64_t i = 0; i < n; i++) {                                                                              \
            y[i * stride] = from[i].value;                                                                             \
            index[i * stride] = from[i].place;                                                                         \
        }                                                                                                              \
    }                                                                                                                  \
    static int64_t search_##dtype(bool right, int64_t n, const type *sorted, type value)                               \
    {                                                                                                                  \
        int64_t low = 0, high = n;                                                                                     \
        while (low < high) {                                                                                           \
            int64_t middle = low + (high - low) / 2;                                                                   \
            type other = sorted[middle];                                                                               \
            if (right ? !LESS(value, other) : LESS(other, value))                                                      \
                low = middle + 1;                                                                                      \
            else                                                                                                       \
                high = middle;                                                                                         \
        }                                                                                                              \
        return low;                                                                                                    \
    }
DEFINE_SORT(f32, float, FLOAT_LESS)
DEFINE_SORT(f64, double, FLOAT_LESS)
DEFINE_SORT(i32, int32_t, INTEGER_LESS)
DEFINE_SORT(i64, int64_t, INTEGER_LESS)
DEFINE_SORT(u8, uint8_t, INTEGER_LESS)

size_t tape__sort_work(int64_t n)
{
    return 2 * (size_t)n * sizeof(struct item_f64);
}

void tape__sort_line(tape_dtype dtype, bool descending, int64_t n, int64_t stride, const void *x, void *y,
                     int64_t *index, void *work)
{
    switch (dtype) {
    case TAPE_F32:
        sort_f32(descending, n, stride, x, y, index, work);
        break;
    case TAPE_F64:
        sort_f64(descending, n, stride, x, y, index, work);
        break;
    case TAPE_I32:
        sort_i32(descending, n, stride, x, y, index, work);
        break;
    case TAPE_I64:
        sort_i64(descending, n, stride, x, y, index, work);
        break;
    case TAPE_U8:
        sort_u8(descending, n, stride, x, y, index, work);
        break;
    }
}

int64_t tape__search(tape_dtype dtype, bool right, int64_t n, const void *sorted, const void *value)
{
    switch (dtype) {
    case TAPE_F32:
        return search_f32(right, n, sorted, *(const float *)value);
    case TAPE_F64:
        return search_f64(right, n, sorted, *(const double *)value);
    case TAPE_I32:
        return search_i32(right, n, sorted, *(const int32_t *)value);
    case TAPE_I64:
        return search_i64(right, n, sorted, *(const int64_t *)value);
    case TAPE_U8:
        return search_u8(right, n, sorted, *(const uint8_t *)value);
    }
    return 0;
}
