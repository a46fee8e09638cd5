/* Knows the random ops: how arguments are checked, which key a draw gets and what gradient flows back; how numbers are
   made is the kernels' business. */
#include <math.h>
#include <string.h>

#include "kernels/any/random.h"
#include "kernels/any/special.h"
#include "ops.h"

struct draw_attr {
    tape_shape shape;
    int64_t dtype;
    double a, b;
    int64_t low, high;
};

/* The record copies the attribute bytewise, padding too. */
static struct draw_attr draw_of(tape_dtype dtype, tape_shape shape)
{
    struct draw_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.dtype = dtype;
    attr.shape.rank = shape.rank;
    for (int i = 0; i < TAPE_MAX_RANK && i < shape.rank; i++)
        attr.shape.size[i] = shape.size[i];
    return attr;
}

static tape__random_key next_key(tape *t)
{
    return (tape__random_key){t->random.seed, t->random.counter++};
}

static tape__node *draw_output(tape__call *call, const struct draw_attr *attr)
{
    return tape__output(call, (tape_dtype)attr->dtype, attr->shape.rank, attr->shape.size);
}

static bool check_float(tape__call *call, int64_t dtype)
{
    if (dtype == TAPE_F32 || dtype == TAPE_F64)
        return true;
    return tape__error(call->t, TAPE_ERROR_DTYPE, "expects f32 or f64, got %s", tape_dtype_name((tape_dtype)dtype));
}

static bool check_probability(tape *t, double p)
{
    return (p >= 0 && p <= 1) || tape__error(t, TAPE_ERROR_ARGUMENT, "expects a probability in [0, 1], got %g", p);
}

typedef void fill_fn(const struct tape__parallel *p, tape__random_key key, tape_dtype dtype, int64_t n, void *y);

/* An f32 program that is evaluated in f64 draws the numbers that it would draw itself. */
static void draw(tape__call *call, tape__node *y, fill_fn *fill)
{
    const int64_t n = y->layout->numel;
    const bool widen = call->t->promote && y->dtype == TAPE_F64;
    fill(tape__threads_of(call->t), next_key(call->t), widen ? TAPE_F32 : (tape_dtype)y->dtype, n, y->data);
    for (int64_t i = n; widen && i-- > 0;) {
        float narrow;
        memcpy(&narrow, (char *)y->data + i * (int64_t)sizeof narrow, sizeof narrow);
        ((double *)y->data)[i] = (double)narrow;
    }
}

/* y = shift + scale y, kept below `below`. */
static void affine(tape__node *y, double shift, double scale, double below)
{
    int64_t n = y->layout->numel;
    if (y->dtype == TAPE_F64) {
        double *v = y->data;
        for (int64_t i = 0; i < n; i++) {
            double x = shift + scale * v[i];
            v[i] = x < below ? x : shift;
        }
    } else {
        float *v = y->data, a = (float)shift, b = (float)scale, c = (float)below;
        for (int64_t i = 0; i < n; i++) {
            float x = a + b * v[i];
            v[i] = x < c ? x : a;
        }
    }
}

/* ---- uniform and normal ------------------------------------------------------------------------------------------ */

bool tape__rand_uniform_forward(tape__call *call)
{
    const struct draw_attr *attr = call->attr;
    double low = attr->a, high = attr->b;
    if (!check_float(call, attr->dtype))
        return false;
    if (!(low <= high && isfinite(low) && isfinite(high) && isfinite(high - low)))
        return tape__error(call->t, TAPE_ERROR_ARGUMENT, "expects finite low <= high, got %g and %g", low, high);
    tape__node *y = draw_output(call, attr);
    if (!y)
        return false;
    draw(call, y, tape__fill_uniform);
    if (low != 0 || high != 1)
        affine(y, low, high - low, high);
    return true;
}

tape_tensor tape_rand_uniform(tape_dtype dtype, tape_shape shape, double low, double high)
{
    struct draw_attr attr = draw_of(dtype, shape);
    attr.a = low;
    attr.b = high;
    return tape__run(TAPE__OP_rand_uniform, NULL, 0, &attr, sizeof attr);
}

bool tape__rand_normal_forward(tape__call *call)
{
    const struct draw_attr *attr = call->attr;
    double mean = attr->a, std = attr->b;
    if (!check_float(call, attr->dtype))
        return false;
    if (!(isfinite(mean) && isfinite(std) && std >= 0))
        return tape__error(call->t, TAPE_ERROR_ARGUMENT, "expects a finite mean and std >= 0, got %g and %g", mean,
                           std);
    tape__node *y = draw_output(call, attr);
    if (!y)
        return false;
    draw(call, y, tape__fill_normal);
    if (mean != 0 || std != 1)
        affine(y, mean, std, INFINITY);
    return true;
}

tape_tensor tape_rand_normal(tape_dtype dtype, tape_shape shape, double mean, double std)
{
    struct draw_attr attr = draw_of(dtype, shape);
    attr.a = mean;
    attr.b = std;
    return tape__run(TAPE__OP_rand_normal, NULL, 0, &attr, sizeof attr);
}

/* ---- bernoulli --------------------------------------------------------------------------------------------------- */

static bool bernoulli_mask(tape__call *call, tape__node *y, double p)
{
    int64_t n = y->layout->numel;
    float *work = tape__scratch(call->t, (size_t)n * sizeof *work);
    if (!work)
        return false;
    tape__fill_bernoulli(tape__threads_of(call->t), next_key(call->t), TAPE_F32, n, p, 1, work);
    uint8_t *mask = y->data;
    for (int64_t i = 0; i < n; i++)
        mask[i] = work[i] != 0;
    return true;
}

bool tape__rand_bernoulli_forward(tape__call *call)
{
    const struct draw_attr *attr = call->attr;
    if (attr->dtype != TAPE_U8 && !check_float(call, attr->dtype))
        return false;
    if (!check_probability(call->t, attr->a))
        return false;
    tape__node *y = draw_output(call, attr);
    if (!y)
        return false;
    if (y->dtype == TAPE_U8)
        return bernoulli_mask(call, y, attr->a);
    tape__fill_bernoulli(tape__threads_of(call->t), next_key(call->t), (tape_dtype)y->dtype, y->layout->numel, attr->a,
                         attr->b, y->data);
    return true;
}

/* `value` with probability p, else 0. */
static tape_tensor bernoulli(tape_dtype dtype, tape_shape shape, double p, double value)
{
    struct draw_attr attr = draw_of(dtype, shape);
    attr.a = p;
    attr.b = value;
    return tape__run(TAPE__OP_rand_bernoulli, NULL, 0, &attr, sizeof attr);
}

tape_tensor tape_rand_bernoulli(tape_dtype dtype, tape_shape shape, double p)
{
    return bernoulli(dtype, shape, p, 1);
}

tape_tensor tape_dropout(tape_tensor x, double p)
{
    tape *t = tape__begin("dropout");
    if (!t)
        return TAPE_NULL;
    const char *before = tape__enter(t, "dropout");
    tape_tensor y = TAPE_NULL;
    if (check_probability(t, p)) {
        if (p > 0) {
            tape_tensor keep = bernoulli(tape_dtype_of(x), tape_shape_of(x), 1 - p, p < 1 ? 1 / (1 - p) : 0);
            y = tape_mul(x, keep);
        } else if (tape__resolve(t, x, 0) != TAPE__NO_SLOT) {
            y = x;
        }
    }
    return tape__leave(t, before, TAPE__OP_dropout, y);
}

/* u < p with u uniform in [0, 1). */
bool tape__bernoulli_st_forward(tape__call *call)
{
    const tape__node *p = call->in[0];
    if (!check_float(call, p->dtype))
        return false;
    const void *probability = tape__dense_data(call->t, p);
    tape__node *y = probability ? tape__output_like(call, p) : NULL;
    if (!y)
        return false;
    int64_t n = y->layout->numel;
    draw(call, y, tape__fill_uniform);
    if (y->dtype == TAPE_F64) {
        double *v = y->data;
        for (int64_t i = 0; i < n; i++)
            v[i] = v[i] < ((const double *)probability)[i];
    } else {
        float *v = y->data;
        for (int64_t i = 0; i < n; i++)
            v[i] = v[i] < ((const float *)probability)[i];
    }
    return true;
}

void tape__bernoulli_st_vjp(tape__vjp *v)
{
    v->gx[0] = v->gy[0];
}

tape_tensor tape_bernoulli_st(tape_tensor p)
{
    return tape__run(TAPE__OP_bernoulli_st, &p, 1, NULL, 0);
}

/* ---- gamma ------------------------------------------------------------------------------------------------------- */

struct gamma_loop {
    double *uniform; /* multiples of 2^-53 in [0, 1) */
    const void *shape;
    tape__node *y;
};

enum { GAMMA_ITEM = 256 };

static void gamma_item(void *arg, int64_t item)
{
    const struct gamma_loop *loop = arg;
    int64_t begin = item * GAMMA_ITEM, n = loop->y->layout->numel,
            end = n - begin < GAMMA_ITEM ? n : begin + GAMMA_ITEM;
    const bool f64 = loop->y->dtype == TAPE_F64;
    for (int64_t i = begin; i < end; i++) {
        double below = loop->uniform[i] + 0x1p-54, above = 1 - loop->uniform[i] - 0x1p-54;
        double shape = f64 ? ((const double *)loop->shape)[i] : (double)((const float *)loop->shape)[i];
        double value = tape__special_gamma_quantile(shape, below, above);
        if (f64)
            ((double *)loop->y->data)[i] = value;
        else
            ((float *)loop->y->data)[i] = (float)value;
    }
}

/* By inversion, so that the implicit derivative is that of the very function that was computed. */
bool tape__gamma_forward(tape__call *call)
{
    const tape__node *shape = call->in[0];
    const int64_t n = shape->layout->numel;
    if (!check_float(call, shape->dtype))
        return false;
    struct gamma_loop loop = {tape__scratch(call->t, ((size_t)n + 1) * sizeof(double)),
                              tape__dense_data(call->t, shape), NULL};
    if (!loop.uniform || !loop.shape)
        return false;
    loop.y = tape__output_like(call, shape);
    if (!loop.y)
        return false;
    tape__fill_uniform(tape__threads_of(call->t), next_key(call->t), TAPE_F64, n, loop.uniform);
    tape__parallel_for(tape__threads_of(call->t), (n + GAMMA_ITEM - 1) / GAMMA_ITEM, gamma_item, &loop);
    return true;
}

/* P(a, y) = u for a fixed u: dy / da = -(dP / da) / (dP / dy). */
void tape__gamma_vjp(tape__vjp *v)
{
    v->gx[0] = tape__strong_mul(tape_neg(tape__igamma_ratio(v->x[0], v->y[0], 1)), v->gy[0]);
}

tape_tensor tape_gamma(tape_tensor shape)
{
    return tape__run(TAPE__OP_gamma, &shape, 1, NULL, 0);
}

/* ---- whole numbers ----------------------------------------------------------------------------------------------- */

struct rand_int_loop {
    tape__random_key key;
    tape__node *y;
    int64_t low, bound;
};

enum { ITEM = 1 << 14 };

static void rand_int_item(void *arg, int64_t item)
{
    const struct rand_int_loop *loop = arg;
    int64_t begin = item * ITEM, n = loop->y->layout->numel, end = n - begin < ITEM ? n : begin + ITEM;
    for (int64_t i = begin; i < end; i++) {
        int64_t value = loop->low + tape__random_below(loop->key, i, loop->bound);
        if (loop->y->dtype == TAPE_I64)
            ((int64_t *)loop->y->data)[i] = value;
        else
            ((int32_t *)loop->y->data)[i] = (int32_t)value;
    }
}

bool tape__rand_int_forward(tape__call *call)
{
    const struct draw_attr *attr = call->attr;
    int64_t bound;
    if (attr->dtype != TAPE_I32 && attr->dtype != TAPE_I64)
        return tape__error(call->t, TAPE_ERROR_DTYPE, "expects i32 or i64, got %s",
                           tape_dtype_name((tape_dtype)attr->dtype));
    if (attr->low >= attr->high || __builtin_sub_overflow(attr->high, attr->low, &bound) ||
        (attr->dtype == TAPE_I32 && (attr->low < INT32_MIN || attr->high > (int64_t)INT32_MAX + 1)))
        return tape__error(call->t, TAPE_ERROR_ARGUMENT, "expects low < high within %s, got %lld and %lld",
                           tape_dtype_name((tape_dtype)attr->dtype), (long long)attr->low, (long long)attr->high);
    tape__node *y = draw_output(call, attr);
    if (!y)
        return false;
    struct rand_int_loop loop = {next_key(call->t), y, attr->low, bound};
    tape__parallel_for(tape__threads_of(call->t), (y->layout->numel + ITEM - 1) / ITEM, rand_int_item, &loop);
    return true;
}

tape_tensor tape_rand_int(tape_dtype dtype, tape_shape shape, int64_t low, int64_t high)
{
    struct draw_attr attr = draw_of(dtype, shape);
    attr.low = low;
    attr.high = high;
    return tape__run(TAPE__OP_rand_int, NULL, 0, &attr, sizeof attr);
}

bool tape__permutation_forward(tape__call *call)
{
    const struct draw_attr *attr = call->attr;
    if (attr->high < 0)
        return tape__error(call->t, TAPE_ERROR_ARGUMENT, "expects n >= 0, got %lld", (long long)attr->high);
    tape__node *y = draw_output(call, attr);
    if (!y)
        return false;
    int64_t n = y->layout->numel, *order = y->data;
    for (int64_t i = 0; i < n; i++)
        order[i] = i;
    tape__shuffle(next_key(call->t), n, order);
    return true;
}

tape_tensor tape_permutation(int64_t n)
{
    struct draw_attr attr = draw_of(TAPE_I64, TAPE_SHAPE(n));
    attr.high = n;
    return tape__run(TAPE__OP_permutation, NULL, 0, &attr, sizeof attr);
}

/* ---- the reparameterised normal ---------------------------------------------------------------------------------- */

/* The shape that a and b broadcast to; a's own where they do not fit, so that the sum that follows reports it. */
static tape_shape shape_of_both(tape_tensor a, tape_tensor b)
{
    tape_shape x = tape_shape_of(a), y = tape_shape_of(b), both = x;
    if (!tape__broadcast(x.rank, x.size, y.rank, y.size, &both.rank, both.size))
        return x;
    return both;
}

tape_tensor tape_normal(tape_tensor mean, tape_tensor std)
{
    tape *t = tape__begin("normal");
    if (!t)
        return TAPE_NULL;
    const char *before = tape__enter(t, "normal");
    tape_tensor z = tape_rand_normal(tape_dtype_of(mean), shape_of_both(mean, std), 0, 1);
    tape_tensor y = tape_add(mean, tape_mul(std, z));
    return tape__leave(t, before, TAPE__OP_normal, y);
}
