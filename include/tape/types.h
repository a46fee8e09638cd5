/* The types that every other header of tape speaks in: status codes, dtypes, shapes, axes and the tensor handle. */
#ifndef TAPE_TYPES_H
#define TAPE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Exported from the shared library; everything else is hidden. */
#if defined(__GNUC__)
#define TAPE_API __attribute__((visibility("default")))
#else
#define TAPE_API
#endif

/* ---- status ------------------------------------------------------------------------------------------------------ */

/* What went wrong. A tape keeps the first error with its message until tape_clear() or tape_reset(). */
typedef enum tape_status {
    TAPE_OK = 0,
    TAPE_ERROR_ARGUMENT,    /* an argument outside its documented range */
    TAPE_ERROR_SHAPE,       /* shapes that do not fit each other or the op */
    TAPE_ERROR_DTYPE,       /* a dtype that the op does not take, or a mix of f32 and f64 */
    TAPE_ERROR_INDEX,       /* an index tensor holds an index out of range */
    TAPE_ERROR_HANDLE,      /* a null, stale, rewound, freed or foreign handle */
    TAPE_ERROR_MEMORY,      /* the allocator refused, or the memory budget is spent */
    TAPE_ERROR_VERSION,     /* a value that backward needs was written after it was saved */
    TAPE_ERROR_STATE,       /* a call that is not allowed at this point (reset inside a callback, ...) */
    TAPE_ERROR_CALLBACK,    /* a user's callback reported a failure */
    TAPE_ERROR_UNSUPPORTED, /* built without the component, or a derivative that does not exist */
    TAPE_ERROR_IO,          /* a file could not be opened, read or written */
    TAPE_ERROR_FORMAT,      /* a file's content is not what its format demands */
    TAPE_ERROR_NONFINITE    /* an op made a NaN or infinity while tape_trace_nonfinite() looked for it */
} tape_status;

/* The status's name without prefix, for example "SHAPE"; "OK" for TAPE_OK. Never NULL. */
TAPE_API const char *tape_status_name(tape_status status);

/* ---- dtypes, shapes, axes ---------------------------------------------------------------------------------------- */

/* f32 and f64 carry values and gradients, i32 and i64 indices, u8 masks (0 is false, all else true). */
typedef enum tape_dtype { TAPE_F32 = 0, TAPE_F64, TAPE_I32, TAPE_I64, TAPE_U8 } tape_dtype;

/* Bytes of one element: 4, 8, 4, 8, 1; 0 for a value that is no dtype. */
TAPE_API size_t tape_dtype_size(tape_dtype dtype);

/* "f32", "f64", "i32", "i64", "u8"; "?" for a value that is no dtype. */
TAPE_API const char *tape_dtype_name(tape_dtype dtype);

#define TAPE_MAX_RANK 8

/* Sizes, outermost first; rank 0 is a scalar of one element. A size may be 0. */
typedef struct tape_shape {
    int rank;
    int64_t size[TAPE_MAX_RANK];
} tape_shape;

/* A choice of axes. Axes may be negative (counted from the last); count 0 means all; a duplicate is an error. */
typedef struct tape_axes {
    int count;
    int axis[TAPE_MAX_RANK];
} tape_axes;

#ifdef __cplusplus
} /* extern "C" */
template <class... Sizes> inline tape_shape tape__make_shape(Sizes... sizes)
{
    return tape_shape{static_cast<int>(sizeof...(sizes)), {static_cast<int64_t>(sizes)...}};
}
template <class... Axes> inline tape_axes tape__make_axes(Axes... axes)
{
    return tape_axes{static_cast<int>(sizeof...(axes)), {static_cast<int>(axes)...}};
}
#define TAPE_SHAPE(...) tape__make_shape(__VA_ARGS__)
#define TAPE_AXES(...) tape__make_axes(__VA_ARGS__)
#define TAPE_SCALAR (tape_shape{0, {0}})
#define TAPE_ALL (tape_axes{0, {0}})
extern "C" {
#else
/* TAPE_SHAPE(32, 10), TAPE_AXES(-1), TAPE_SCALAR (rank 0), TAPE_ALL (every axis). */
#define TAPE_SHAPE(...) ((tape_shape){(int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), {__VA_ARGS__}})
#define TAPE_AXES(...) ((tape_axes){(int)(sizeof((int[]){__VA_ARGS__}) / sizeof(int)), {__VA_ARGS__}})
#define TAPE_SCALAR ((tape_shape){0, {0}})
#define TAPE_ALL ((tape_axes){0, {0}})
#endif

/* ---- the handle -------------------------------------------------------------------------------------------------- */

/*
 * A tensor, by value: two registers. The handle never owns anything and may be copied freely. Every use checks the
 * generation, so a handle that has ended (reset, rewind, free, another tape) is reported and never dereferenced.
 * The all-zero handle is null: "the op failed". TAPE_NONE is something else: "left out" (no bias, no gradient).
 */
typedef struct tape_tensor {
    uint64_t generation;
    uint32_t slot;
    uint32_t flags;
} tape_tensor;

#define TAPE__FLAG_LEAF 1u
#define TAPE__FLAG_NONE 2u

static inline tape_tensor tape__none(void)
{
    tape_tensor none = {0, 0, TAPE__FLAG_NONE};
    return none;
}

static inline tape_tensor tape__null(void)
{
    tape_tensor null = {0, 0, 0};
    return null;
}

#define TAPE_NONE tape__none()
#define TAPE_NULL tape__null()

/* True for the handle that a failed op returns. */
static inline bool tape_is_null(tape_tensor x)
{
    return x.generation == 0 && !(x.flags & TAPE__FLAG_NONE);
}

/* True for TAPE_NONE. */
static inline bool tape_is_none(tape_tensor x)
{
    return x.generation == 0 && (x.flags & TAPE__FLAG_NONE);
}

/* A program: a tensor computed with ops from n inputs, for what runs programs (the checker, checkpoints, ...). It must
 * give the same values whenever it gets the same inputs. */
typedef tape_tensor tape_function(void *user, const tape_tensor *x, int n);

#ifdef __cplusplus
}
#endif
#endif
