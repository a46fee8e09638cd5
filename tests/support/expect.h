/* Short ways to make small f64 tensors and to say what a result, a gradient or an error must be. */
#ifndef TAPE_TESTS_EXPECT_H
#define TAPE_TESTS_EXPECT_H

#include "tape/tape.h"

/* A leaf with gradients: PARAM(TAPE_SHAPE(2, 2), 1, 2, 3, 4). */
#define PARAM(shape, ...) tape_param(TAPE_F64, shape, (const double[]){__VA_ARGS__})

/* A constant of any dtype in the arena, from doubles. */
#define CONSTANT(dtype, shape, ...) tape_cast(tape_from(TAPE_F64, shape, (const double[]){__VA_ARGS__}), dtype)

/* A vector of i64. */
#define INDEX(...)                                                                                                     \
    tape_from(TAPE_I64, TAPE_SHAPE((int64_t)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t))),                     \
              (const int64_t[]){__VA_ARGS__})

/* y must hold these values, row-major; NaN and infinities count as themselves, others may differ by 1e-12 relative. */
#define EXPECT(y, ...)                                                                                                 \
    expect_values(__FILE__, __LINE__, y, (const double[]){__VA_ARGS__},                                                \
                  (int)(sizeof((const double[]){__VA_ARGS__}) / sizeof(double)))
void expect_values(const char *file, int line, tape_tensor y, const double *want, int n);

/* The same, and y must have the shape; or the shape alone. */
#define EXPECT_AS(y, shape, ...)                                                                                       \
    do {                                                                                                               \
        tape_tensor expected_ = (y);                                                                                   \
        expect_shape(__FILE__, __LINE__, expected_, shape);                                                            \
        EXPECT(expected_, __VA_ARGS__);                                                                                \
    } while (0)
#define EXPECT_SHAPE(y, shape) expect_shape(__FILE__, __LINE__, y, shape)
void expect_shape(const char *file, int line, tape_tensor y, tape_shape shape);

/* y must be null, the error of that status, and the message must contain the text. Clears the error. */
#define EXPECT_ERROR(y, status, text) expect_error(__FILE__, __LINE__, y, status, text)
void expect_error(const char *file, int line, tape_tensor y, tape_status status, const char *text);

/* The derivative of the sum of y for x; recorded, so that it can be differentiated again. */
tape_tensor gradient_of(tape_tensor y, tape_tensor x);

/* The derivative of the sum of y * weights for x, of which there is one per element of an f64 y. */
#define DERIVATIVE(y, x, ...) derivative(y, x, (const double[]){__VA_ARGS__})
tape_tensor derivative(tape_tensor y, tape_tensor x, const double *weights);

#endif
