/* Knows how random words become uniform and normal numbers, masks and permutations. It uses + - * / and sqrt only, so
   every machine computes the same bits; it does not know of SIMD beyond loops that a compiler can vectorise. */
#include "random.h"

#include <math.h>
#include <string.h>

enum {
    LANES = 16,         /* philox blocks made together, four words each */
    BATCH = 4 * LANES,  /* words of one batch */
    ITEM = 256 * BATCH, /* elements of one parallel iteration */
    ROUNDS = 10,
    ATTEMPT_SHIFT = 48
};

static uint32_t low(uint64_t x)
{
    return (uint32_t)x;
}

static uint32_t high(uint64_t x)
{
    return (uint32_t)(x >> 32);
}

/* Rounds over `lanes` blocks, word j of block l at c[j][l]. */
static inline void philox_rounds(int lanes, uint32_t c[4][LANES], uint32_t k0, uint32_t k1)
{
    for (int r = 0; r < ROUNDS; r++, k0 += 0x9e3779b9u, k1 += 0xbb67ae85u)
        for (int l = 0; l < lanes; l++) {
            uint64_t a = (uint64_t)c[0][l] * 0xd2511f53u, b = (uint64_t)c[2][l] * 0xcd9e8d57u;
            c[0][l] = high(b) ^ c[1][l] ^ k0;
            c[1][l] = low(b);
            c[2][l] = high(a) ^ c[3][l] ^ k1;
            c[3][l] = low(a);
        }
}

void tape__philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c[4][LANES];
    for (int j = 0; j < 4; j++)
        c[j][0] = counter[j];
    philox_rounds(1, c, key[0], key[1]);
    for (int j = 0; j < 4; j++)
        out[j] = c[j][0];
}

/* The words of LANES consecutive blocks from `block` on. */
static void random_words(tape__random_key key, uint64_t block, uint32_t word[BATCH])
{
    uint32_t c[4][LANES];
    for (int l = 0; l < LANES; l++) {
        c[0][l] = low(block + (uint64_t)l);
        c[1][l] = high(block + (uint64_t)l);
        c[2][l] = low(key.counter);
        c[3][l] = high(key.counter);
    }
    philox_rounds(LANES, c, low(key.seed), high(key.seed));
    for (int l = 0; l < LANES; l++)
        for (int j = 0; j < 4; j++)
            word[4 * l + j] = c[j][l];
}

/* log(x) for x in [2^-60, 1], to 1e-15: x = 2^e m with m in [sqrt(1/2), sqrt(2)), log m = 2 atanh((m - 1) / (m + 1)).
 */
static inline double natural_log(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits += 0x3ff0000000000000u - 0x3fe6a09e667f3bcdu;
    int64_t e = (int64_t)(bits >> 52) - 1023;
    bits = (bits & 0xfffffffffffffu) + 0x3fe6a09e667f3bcdu;
    double m;
    memcpy(&m, &bits, sizeof m);
    double s = (m - 1) / (m + 1), t = s * s, sum = 1.0 / 21;
    sum = sum * t + 1.0 / 19;
    sum = sum * t + 1.0 / 17;
    sum = sum * t + 1.0 / 15;
    sum = sum * t + 1.0 / 13;
    sum = sum * t + 1.0 / 11;
    sum = sum * t + 1.0 / 9;
    sum = sum * t + 1.0 / 7;
    sum = sum * t + 1.0 / 5;
    sum = sum * t + 1.0 / 3;
    return (double)(int32_t)e * 0.69314718055994530942 + (2 * s + 2 * s * t * sum);
}

/* sin and cos of a quarter turn times t, |t| <= 1/2, by their power series. */
static inline double sine(double x)
{
    double t = x * x, sum = -1.0 / 1307674368000;
    sum = sum * t + 1.0 / 6227020800;
    sum = sum * t - 1.0 / 39916800;
    sum = sum * t + 1.0 / 362880;
    sum = sum * t - 1.0 / 5040;
    sum = sum * t + 1.0 / 120;
    sum = sum * t - 1.0 / 6;
    return x + x * t * sum;
}

static inline double cosine(double x)
{
    double t = x * x, sum = 1.0 / 20922789888000;
    sum = sum * t - 1.0 / 87178291200;
    sum = sum * t + 1.0 / 479001600;
    sum = sum * t - 1.0 / 3628800;
    sum = sum * t + 1.0 / 40320;
    sum = sum * t - 1.0 / 720;
    sum = sum * t + 1.0 / 24;
    sum = sum * t - 1.0 / 2;
    return 1 + t * sum;
}

/* Two independent normal numbers from u in (0, 1] and v in [0, 1). */
static inline void box_muller(double u, double v, double *first, double *second)
{
    double r = sqrt(-2 * natural_log(u));
    int quarter = (int)(4 * v + 0.5);
    double x = (4 * v - quarter) * 1.57079632679489661923;
    double s = sine(x), c = cosine(x);
    double a = quarter & 1 ? s : c, b = quarter & 1 ? c : s;
    *first = (quarter + 1) & 2 ? -r * a : r * a;
    *second = quarter & 2 ? -r * b : r * b;
}

static inline double uniform53(uint32_t first, uint32_t second)
{
    uint64_t word = (uint64_t)second << 32 | first;
    return (double)(int64_t)(word >> 11) * 0x1p-53;
}

static inline float uniform24(uint32_t word)
{
    return (float)(int32_t)(word >> 8) * 0x1p-24f;
}

/* One draw: what parallel iterations share. */
struct draw {
    tape__random_key key;
    int64_t n;
    void *y;
    uint64_t threshold; /* of a word, for masks */
    double value;
    void (*convert)(const struct draw *d, const uint32_t word[BATCH], void *y);
    int words; /* for each element */
    size_t item_size;
};

static void uniform_f32(const struct draw *d, const uint32_t word[BATCH], void *y)
{
    (void)d;
    for (int i = 0; i < BATCH; i++)
        ((float *)y)[i] = uniform24(word[i]);
}

static void uniform_f64(const struct draw *d, const uint32_t word[BATCH], void *y)
{
    (void)d;
    for (int i = 0; i < BATCH / 2; i++)
        ((double *)y)[i] = uniform53(word[2 * i], word[2 * i + 1]);
}

static void normal_f32(const struct draw *d, const uint32_t word[BATCH], void *y)
{
    (void)d;
    for (int i = 0; i < BATCH; i += 2) {
        double first, second;
        box_muller(((double)word[i] + 1) * 0x1p-32, (double)word[i + 1] * 0x1p-32, &first, &second);
        ((float *)y)[i] = (float)first;
        ((float *)y)[i + 1] = (float)second;
    }
}

static void normal_f64(const struct draw *d, const uint32_t word[BATCH], void *y)
{
    (void)d;
    for (int i = 0; i < BATCH / 4; i++)
        box_muller(uniform53(word[4 * i], word[4 * i + 1]) + 0x1p-53, uniform53(word[4 * i + 2], word[4 * i + 3]),
                   (double *)y + 2 * i, (double *)y + 2 * i + 1);
}

static void bernoulli_f32(const struct draw *d, const uint32_t word[BATCH], void *y)
{
    float value = (float)d->value;
    for (int i = 0; i < BATCH; i++)
        ((float *)y)[i] = word[i] < d->threshold ? value : 0;
}

static void bernoulli_f64(const struct draw *d, const uint32_t word[BATCH], void *y)
{
    for (int i = 0; i < BATCH; i++)
        ((double *)y)[i] = word[i] < d->threshold ? d->value : 0;
}

static void draw_item(void *arg, int64_t item)
{
    const struct draw *d = arg;
    int per_batch = BATCH / d->words;
    int64_t begin = item * ITEM, end = d->n - begin < ITEM ? d->n : begin + ITEM;
    uint32_t word[BATCH];
    for (int64_t i = begin; i < end; i += per_batch) {
        char *y = (char *)d->y + (size_t)i * d->item_size;
        random_words(d->key, (uint64_t)(i / per_batch) * LANES, word);
        if (end - i >= per_batch) {
            d->convert(d, word, y);
        } else {
            double tail[BATCH];
            d->convert(d, word, tail);
            memcpy(y, tail, (size_t)(end - i) * d->item_size);
        }
    }
}

static void run(const struct tape__parallel *p, struct draw *d)
{
    tape__parallel_for(p, d->n / ITEM + (d->n % ITEM != 0), draw_item, d);
}

void tape__fill_uniform(const struct tape__parallel *p, tape__random_key key, tape_dtype dtype, int64_t n, void *y)
{
    bool f64 = dtype == TAPE_F64;
    run(p, &(struct draw){.key = key,
                          .n = n,
                          .y = y,
                          .convert = f64 ? uniform_f64 : uniform_f32,
                          .words = f64 ? 2 : 1,
                          .item_size = f64 ? 8 : 4});
}

void tape__fill_normal(const struct tape__parallel *p, tape__random_key key, tape_dtype dtype, int64_t n, void *y)
{
    bool f64 = dtype == TAPE_F64;
    run(p, &(struct draw){.key = key,
                          .n = n,
                          .y = y,
                          .convert = f64 ? normal_f64 : normal_f32,
                          .words = f64 ? 2 : 1,
                          .item_size = f64 ? 8 : 4});
}

void tape__fill_bernoulli(const struct tape__parallel *p, tape__random_key key, tape_dtype dtype, int64_t n,
                          double probability, double value, void *y)
{
    bool f64 = dtype == TAPE_F64;
    run(p, &(struct draw){.key = key,
                          .n = n,
                          .y = y,
                          .threshold = probability > 0 ? (uint64_t)(fmin(probability, 1) * 0x1p32) : 0,
                          .value = value,
                          .convert = f64 ? bernoulli_f64 : bernoulli_f32,
                          .words = 1,
                          .item_size = f64 ? 8 : 4});
}

__extension__ typedef unsigned __int128 wide;

/* D. Lemire, "Fast random integer generation in an interval", 2019: the high half of word * bound, where the few words
   that would favour some results are thrown away. A block holds two words; further ones come from an attempt number in
   the block's index. */
int64_t tape__random_below(tape__random_key key, int64_t i, int64_t bound)
{
    uint64_t b = (uint64_t)bound, unfair = (0 - b) % b;
    const uint32_t k[2] = {low(key.seed), high(key.seed)};
    for (uint64_t attempt = 0;; attempt++) {
        uint64_t block = (uint64_t)i | attempt << ATTEMPT_SHIFT;
        const uint32_t c[4] = {low(block), high(block), low(key.counter), high(key.counter)};
        uint32_t word[4];
        tape__philox(c, k, word);
        for (int j = 0; j < 4; j += 2) {
            wide product = (wide)((uint64_t)word[j + 1] << 32 | word[j]) * b;
            if ((uint64_t)product >= unfair)
                return (int64_t)(product >> 64);
        }
    }
}

void tape__shuffle(tape__random_key key, int64_t n, int64_t *y)
{
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = tape__random_below(key, i, i + 1), kept = y[i];
        y[i] = y[j];
        y[j] = kept;
    }
}
