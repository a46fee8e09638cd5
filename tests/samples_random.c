/* Samples of the random ops: the draw is repeated by seeding in run(); what has a plain value is compared with it. */
#include "samples.h"

static tape_tensor run_dropout(const tape_tensor *x)
{
    tape_seed(3);
    return tape_dropout(x[0], 0.4);
}

static tape_tensor run_dropout_none(const tape_tensor *x)
{
    return tape_dropout(tape_neg(x[0]), 0);
}

static void ref_dropout_none(const double *const *x, double *y)
{
    for (int i = 0; i < 6; i++)
        y[i] = -x[0][i];
}

static tape_tensor run_dropout_all(const tape_tensor *x)
{
    return tape_dropout(x[0], 1);
}

static void ref_dropout_all(const double *const *x, double *y)
{
    (void)x;
    for (int i = 0; i < 6; i++)
        y[i] = 0;
}

static tape_tensor run_normal(const tape_tensor *x)
{
    tape_seed(5);
    return tape_normal(x[0], x[1]);
}

static tape_tensor run_normal_certain(const tape_tensor *x)
{
    tape_seed(5);
    return tape_normal(x[0], tape_mul_scalar(x[1], 0));
}

static void ref_normal_certain(const double *const *x, double *y)
{
    for (int i = 0; i < 6; i++)
        y[i] = x[0][i / 2];
}

static tape_tensor run_bernoulli_st(const tape_tensor *x)
{
    tape_seed(6);
    return tape_bernoulli_st(x[0]);
}

static tape_tensor run_bernoulli_st_certain(const tape_tensor *x)
{
    return tape_bernoulli_st(x[0]);
}

static void ref_bernoulli_st_certain(const double *const *x, double *y)
{
    for (int i = 0; i < 6; i++)
        y[i] = x[0][i] >= 1;
}

static tape_tensor run_gamma(const tape_tensor *x)
{
    tape_seed(7);
    return tape_gamma(x[0]);
}

static tape_tensor run_gamma_none(const tape_tensor *x)
{
    return tape_gamma(tape_mul_scalar(x[0], 0));
}

static tape_tensor run_uniform(const tape_tensor *x)
{
    (void)x;
    return tape_rand_uniform(TAPE_F64, TAPE_SHAPE(2, 3), 0.25, 0.25);
}

static tape_tensor run_rand_normal(const tape_tensor *x)
{
    (void)x;
    return tape_rand_normal(TAPE_F64, TAPE_SHAPE(2, 3), 0.25, 0);
}

static void ref_quarter(const double *const *x, double *y)
{
    (void)x;
    for (int i = 0; i < 6; i++)
        y[i] = 0.25;
}

static tape_tensor run_bernoulli(const tape_tensor *x)
{
    (void)x;
    return tape_rand_bernoulli(TAPE_F64, TAPE_SHAPE(2, 3), 1);
}

static tape_tensor run_int(const tape_tensor *x)
{
    (void)x;
    return tape_rand_int(TAPE_I64, TAPE_SHAPE(2, 3), 1, 2);
}

static void ref_one(const double *const *x, double *y)
{
    (void)x;
    for (int i = 0; i < 6; i++)
        y[i] = 1;
}

static tape_tensor run_permutation(const tape_tensor *x)
{
    (void)x;
    return tape_permutation(1);
}

static void ref_zero(const double *const *x, double *y)
{
    (void)x;
    y[0] = 0;
}

#define F(shape)                                                                                                       \
    {                                                                                                                  \
        SAMPLE_FLOAT, shape, -2, 2                                                                                     \
    }
#define S3                                                                                                             \
    {                                                                                                                  \
        1,                                                                                                             \
        {                                                                                                              \
            3                                                                                                          \
        }                                                                                                              \
    }
#define S31                                                                                                            \
    {                                                                                                                  \
        2,                                                                                                             \
        {                                                                                                              \
            3, 1                                                                                                       \
        }                                                                                                              \
    }
#define S2                                                                                                             \
    {                                                                                                                  \
        1,                                                                                                             \
        {                                                                                                              \
            2                                                                                                          \
        }                                                                                                              \
    }
#define S23                                                                                                            \
    {                                                                                                                  \
        2,                                                                                                             \
        {                                                                                                              \
            2, 3                                                                                                       \
        }                                                                                                              \
    }

const struct sample samples_random[] = {
    {"dropout", "p = 0.4", 1, {{SAMPLE_FLOAT, {2, {4, 25}}, -2, 2}}, run_dropout, NULL, false, 0},
    {"dropout", "p = 0", 1, {F(S23)}, run_dropout_none, ref_dropout_none, false, 0},
    {"dropout", "p = 1", 1, {F(S23)}, run_dropout_all, ref_dropout_all, false, 0},
    {"normal", "broadcasting", 2, {F(S31), F(S2)}, run_normal, NULL, false, 0},
    {"normal", "std 0", 2, {F(S31), F(S2)}, run_normal_certain, ref_normal_certain, false, 0},
    {"bernoulli_st", "", 1, {{SAMPLE_FLOAT, S23, 0, 1}}, run_bernoulli_st, NULL, true, 0},
    {"bernoulli_st",
     "sure",
     1,
     {{SAMPLE_FIXED, S23, 1, 2}},
     run_bernoulli_st_certain,
     ref_bernoulli_st_certain,
     true,
     0},
    {"gamma", "small and moderate shapes", 1, {{SAMPLE_FLOAT, S23, 0.2, 3}}, run_gamma, NULL, false, 0},
    {"gamma", "large shapes", 1, {{SAMPLE_FLOAT, S23, 50, 90}}, run_gamma, NULL, false, 0},
    {"gamma", "shape 0", 1, {{SAMPLE_FIXED, S23, 1, 2}}, run_gamma_none, ref_zero, true, 0},
    {"rand_uniform", "empty interval", 0, {{SAMPLE_FIXED, S3, 0, 0}}, run_uniform, ref_quarter, true, 0},
    {"rand_normal", "std 0", 0, {{SAMPLE_FIXED, S3, 0, 0}}, run_rand_normal, ref_quarter, true, 0},
    {"rand_bernoulli", "p = 1", 0, {{SAMPLE_FIXED, S3, 0, 0}}, run_bernoulli, ref_one, true, 0},
    {"rand_int", "one value", 0, {{SAMPLE_FIXED, S3, 0, 0}}, run_int, ref_one, true, 0},
    {"permutation", "one", 0, {{SAMPLE_FIXED, S3, 0, 0}}, run_permutation, ref_zero, true, 0},
    {.op = NULL}};
