/* Samples of the matrix products. */
#include <math.h>

#include "support/samples.h"

#define FLOATS(...)                                                                                                    \
    {                                                                                                                  \
        SAMPLE_FLOAT, {sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), {__VA_ARGS__}}, -1, 1                       \
    }

/* c[m,n] = a[m,k] b[k,n] */
static void product(const double *a, const double *b, double *c, int m, int n, int k)
{
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            c[i * n + j] = 0;
            for (int p = 0; p < k; p++)
                c[i * n + j] += a[i * k + p] * b[p * n + j];
        }
}

static tape_tensor run_matmul(const tape_tensor *x)
{
    return tape_matmul(x[0], x[1]);
}

static void ref_3x4x2(const double *const *x, double *y)
{
    product(x[0], x[1], y, 3, 2, 4);
}

static void ref_vector_vector(const double *const *x, double *y)
{
    product(x[0], x[1], y, 1, 1, 5);
}

static void ref_vector_matrix(const double *const *x, double *y)
{
    product(x[0], x[1], y, 1, 3, 4);
}

static void ref_batch_vector(const double *const *x, double *y)
{
    product(x[0], x[1], y, 6, 1, 4);
}

/* [2,1,3,4] x [2,4,2] -> [2,2,3,2] */
static void ref_broadcast_batch(const double *const *x, double *y)
{
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++)
            product(x[0] + i * 12, x[1] + j * 8, y + (i * 2 + j) * 6, 3, 2, 4);
}

/* [2,1,2,2,3] x [2,1,3,2] -> [2,2,2,2,2] */
static void ref_deep_batch(const double *const *x, double *y)
{
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++)
            for (int l = 0; l < 2; l++)
                product(x[0] + (i * 2 + l) * 6, x[1] + j * 6, y + ((i * 2 + j) * 2 + l) * 4, 2, 2, 3);
}

static tape_tensor run_linear(const tape_tensor *x)
{
    return tape_linear(x[0], x[1], x[2]);
}

static tape_tensor run_linear_without_bias(const tape_tensor *x)
{
    return tape_linear(x[0], x[1], TAPE_NONE);
}

/* x[rows,4] w[3,4]^T + b[3] */
static void linear(const double *const *x, const double *bias, double *y, int rows)
{
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < 3; j++) {
            y[i * 3 + j] = bias ? bias[j] : 0;
            for (int p = 0; p < 4; p++)
                y[i * 3 + j] += x[0][i * 4 + p] * x[1][j * 4 + p];
        }
}

static void ref_linear(const double *const *x, double *y)
{
    linear(x, x[2], y, 2);
}

static void ref_linear_of_rank_3(const double *const *x, double *y)
{
    linear(x, x[2], y, 4);
}

static void ref_linear_of_rank_1(const double *const *x, double *y)
{
    linear(x, NULL, y, 1);
}

/* x[2,4] w[3,4]^T + b[3], and an activation by its definition. */
#define ACTIVATED(name, activation, value)                                                                             \
    static tape_tensor run_##name##_layer(const tape_tensor *x)                                                        \
    {                                                                                                                  \
        return tape_linear_activated(x[0], x[1], x[2], activation);                                                    \
    }                                                                                                                  \
    static void ref_##name##_layer(const double *const *x, double *y)                                                  \
    {                                                                                                                  \
        linear(x, x[2], y, 2);                                                                                         \
        for (int i = 0; i < 6; i++) {                                                                                  \
            double a = y[i];                                                                                           \
            y[i] = value;                                                                                              \
        }                                                                                                              \
    }
ACTIVATED(plain, TAPE_ACTIVATION_NONE, a)
ACTIVATED(relu, TAPE_ACTIVATION_RELU, a > 0 ? a : 0)
ACTIVATED(tanh, TAPE_ACTIVATION_TANH, tanh(a))
ACTIVATED(sigmoid, TAPE_ACTIVATION_SIGMOID, 1 / (1 + exp(-a)))
ACTIVATED(gelu, TAPE_ACTIVATION_GELU, a / 2 * (1 + erf(a / sqrt(2))))
ACTIVATED(gelu_tanh, TAPE_ACTIVATION_GELU_TANH, a / 2 * (1 + tanh(sqrt(2 / acos(-1)) * (a + 0.044715 * a * a * a))))
ACTIVATED(silu, TAPE_ACTIVATION_SILU, a / (1 + exp(-a)))
#undef ACTIVATED

static tape_tensor run_dot(const tape_tensor *x)
{
    return tape_dot(x[0], x[1]);
}

static tape_tensor run_outer(const tape_tensor *x)
{
    return tape_outer(x[0], x[1]);
}

static void ref_outer(const double *const *x, double *y)
{
    product(x[0], x[1], y, 3, 4, 1);
}

static tape_tensor run_mv(const tape_tensor *x)
{
    return tape_mv(x[0], x[1]);
}

static void ref_mv(const double *const *x, double *y)
{
    product(x[0], x[1], y, 3, 1, 4);
}

static tape_tensor run_bmm(const tape_tensor *x)
{
    return tape_bmm(x[0], x[1]);
}

static void ref_bmm(const double *const *x, double *y)
{
    for (int i = 0; i < 2; i++)
        product(x[0] + i * 12, x[1] + i * 8, y + i * 6, 3, 2, 4);
}

static tape_tensor run_einsum_chain(const tape_tensor *x)
{
    return tape_einsum("ij, bjk, k -> ib", x, 3);
}

/* [3, 4], [2, 4, 5], [5] */
static void ref_einsum_chain(const double *const *x, double *y)
{
    for (int i = 0; i < 3; i++)
        for (int b = 0; b < 2; b++) {
            y[i * 2 + b] = 0;
            for (int j = 0; j < 4; j++)
                for (int k = 0; k < 5; k++)
                    y[i * 2 + b] += x[0][i * 4 + j] * x[1][(b * 4 + j) * 5 + k] * x[2][k];
        }
}

static tape_tensor run_einsum_diagonal(const tape_tensor *x)
{
    return tape_einsum("ii...,k...->...i", x, 2);
}

/* [3, 3, 2] and [4, 1]: the second one summed over k and stretched */
static void ref_einsum_diagonal(const double *const *x, double *y)
{
    double sum = x[1][0] + x[1][1] + x[1][2] + x[1][3];
    for (int d = 0; d < 2; d++)
        for (int i = 0; i < 3; i++)
            y[d * 3 + i] = x[0][i * 8 + d] * sum;
}

static tape_tensor run_einsum_implicit(const tape_tensor *x)
{
    return tape_einsum("cab", x, 1);
}

/* [2, 3, 4] -> [3, 4, 2] */
static void ref_einsum_implicit(const double *const *x, double *y)
{
    for (int i = 0; i < 24; i++)
        y[i] = x[0][i % 2 * 12 + i / 2];
}

const struct sample samples_linalg[] = {
    {"matmul", "matrices", 2, {FLOATS(3, 4), FLOATS(4, 2)}, run_matmul, ref_3x4x2, false, 0},
    {"matmul", "vectors", 2, {FLOATS(5), FLOATS(5)}, run_matmul, ref_vector_vector, false, 0},
    {"matmul", "vector and matrix", 2, {FLOATS(4), FLOATS(4, 3)}, run_matmul, ref_vector_matrix, false, 0},
    {"matmul", "batch and vector", 2, {FLOATS(2, 3, 4), FLOATS(4)}, run_matmul, ref_batch_vector, false, 0},
    {"matmul",
     "stretched batches",
     2,
     {FLOATS(2, 1, 3, 4), FLOATS(2, 4, 2)},
     run_matmul,
     ref_broadcast_batch,
     false,
     0},
    {"matmul", "deep batches", 2, {FLOATS(2, 1, 2, 2, 3), FLOATS(2, 1, 3, 2)}, run_matmul, ref_deep_batch, false, 0},
    {"linear", "rows", 3, {FLOATS(2, 4), FLOATS(3, 4), FLOATS(3)}, run_linear, ref_linear, false, 0},
    {"linear", "rank 3", 3, {FLOATS(2, 2, 4), FLOATS(3, 4), FLOATS(3)}, run_linear, ref_linear_of_rank_3, false, 0},
    {"linear",
     "rank 1, no bias",
     2,
     {FLOATS(4), FLOATS(3, 4)},
     run_linear_without_bias,
     ref_linear_of_rank_1,
     false,
     0},
    {"linear_activated",
     "plain",
     3,
     {FLOATS(2, 4), FLOATS(3, 4), FLOATS(3)},
     run_plain_layer,
     ref_plain_layer,
     false,
     0},
    {"linear_activated", "relu", 3, {FLOATS(2, 4), FLOATS(3, 4), FLOATS(3)}, run_relu_layer, ref_relu_layer, false, 0},
    {"linear_activated", "tanh", 3, {FLOATS(2, 4), FLOATS(3, 4), FLOATS(3)}, run_tanh_layer, ref_tanh_layer, false, 0},
    {"linear_activated",
     "sigmoid",
     3,
     {FLOATS(2, 4), FLOATS(3, 4), FLOATS(3)},
     run_sigmoid_layer,
     ref_sigmoid_layer,
     false,
     0},
    {"linear_activated", "gelu", 3, {FLOATS(2, 4), FLOATS(3, 4), FLOATS(3)}, run_gelu_layer, ref_gelu_layer, false, 0},
    {"linear_activated",
     "gelu_tanh",
     3,
     {FLOATS(2, 4), FLOATS(3, 4), FLOATS(3)},
     run_gelu_tanh_layer,
     ref_gelu_tanh_layer,
     false,
     0},
    {"linear_activated", "silu", 3, {FLOATS(2, 4), FLOATS(3, 4), FLOATS(3)}, run_silu_layer, ref_silu_layer, false, 0},
    {"dot", "", 2, {FLOATS(5), FLOATS(5)}, run_dot, ref_vector_vector, false, 0},
    {"outer", "", 2, {FLOATS(3), FLOATS(4)}, run_outer, ref_outer, false, 0},
    {"mv", "", 2, {FLOATS(3, 4), FLOATS(4)}, run_mv, ref_mv, false, 0},
    {"bmm", "", 2, {FLOATS(2, 3, 4), FLOATS(2, 4, 2)}, run_bmm, ref_bmm, false, 0},
    {"einsum", "chain", 3, {FLOATS(3, 4), FLOATS(2, 4, 5), FLOATS(5)}, run_einsum_chain, ref_einsum_chain, false, 0},
    {"einsum", "diagonal", 2, {FLOATS(3, 3, 2), FLOATS(4, 1)}, run_einsum_diagonal, ref_einsum_diagonal, false, 0},
    {"einsum", "implicit", 1, {FLOATS(2, 3, 4)}, run_einsum_implicit, ref_einsum_implicit, false, 0},
    {0},
};
