/* Orthogonal factorisations of one row-major matrix of doubles: QR, eigenvalues, singular values. Knows no tensors and
   no batches. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "dense.h"
#include "lapack.h"

enum {
    MOST_SWEEPS = 60, /* of Jacobi's rotations; ten do for any matrix met so far */
    DIRECT_SIZE = 32  /* up to which they are preferred to LAPACK: as fast, more precise, the same bits everywhere */
};

/* Four sums at once: one alone would wait for each addition. */
static double dot(int64_t n, const double *x, const double *y)
{
    double sum[4] = {0, 0, 0, 0};
    int64_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int k = 0; k < 4; k++)
            sum[k] += x[i + k] * y[i + k];
    for (; i < n; i++)
        sum[0] += x[i] * y[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static double largest_of(int64_t n, const double *x)
{
    double largest = 0;
    for (int64_t i = 0; i < n; i++)
        largest = fabs(x[i]) > largest || isnan(x[i]) ? fabs(x[i]) : largest;
    return largest;
}

static void fill(int64_t n, double *x, double value)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = value;
}

/* The exponent by which x is to be scaled so that squares neither overflow nor vanish. */
static int exponent_of(double largest)
{
    int exponent = 0;
    frexp(largest, &exponent);
    return largest > 0 ? exponent : 0;
}

double tape__hypotenuse(double a, double b)
{
    const bool first = fabs(a) > fabs(b);
    const double larger = fabs(first ? a : b), ratio = fabs(first ? b : a) / larger;
    return larger > 0 ? larger * sqrt(1 + ratio * ratio) : larger;
}

/* ---- QR ---------------------------------------------------------------------------------------------------------- */

/* x[0..count) at distance n: overwritten by (beta, v) with (1 - tau (1, v) (1, v)^T) x = beta e_0, as LAPACK's dlarfg:
 * nothing is reflected where all but the first element are 0. */
static double reflector(int64_t count, int64_t n, double *x)
{
    double largest = 0, sum = 0;
    for (int64_t i = 1; i < count; i++)
        largest = fmax(largest, fabs(x[i * n]));
    for (int64_t i = 1; i < count && largest > 0; i++)
        sum += x[i * n] / largest * (x[i * n] / largest);
    if (largest == 0)
        return 0;
    double alpha = x[0], beta = -copysign(tape__hypotenuse(alpha, largest * sqrt(sum)), alpha);
    for (int64_t i = 1; i < count; i++)
        x[i * n] /= alpha - beta;
    x[0] = beta;
    return (beta - alpha) / beta;
}

/* c[count, columns], rows at distance c_stride, becomes (1 - tau (1, v) (1, v)^T) c; v[i] is at v[i * v_stride]. */
static void reflect(int64_t count, double tau, const double *v, int64_t v_stride, int64_t columns, double *c,
                    int64_t c_stride, double *sums)
{
    if (tau == 0)
        return;
    for (int64_t j = 0; j < columns; j++)
        sums[j] = c[j];
    for (int64_t i = 1; i < count; i++)
        for (int64_t j = 0; j < columns; j++)
            sums[j] += v[i * v_stride] * c[i * c_stride + j];
    for (int64_t i = 0; i < count; i++) {
        double f = tau * (i ? v[i * v_stride] : 1);
        for (int64_t j = 0; j < columns; j++)
            c[i * c_stride + j] -= f * sums[j];
    }
}

void tape__qr(int64_t m, int64_t n, double *a, double *work, double *q, double *r)
{
    int64_t k = m < n ? m : n;
    double *tau = work + n;
    for (int64_t j = 0; j < k; j++) {
        double *head = a + j * n + j;
        tau[j] = reflector(m - j, n, head);
        reflect(m - j, tau[j], head, n, n - j - 1, head + 1, n, work);
    }
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < n; j++)
            r[i * n + j] = j < i ? 0 : a[i * n + j];
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < k; j++)
            q[i * k + j] = i == j;
    for (int64_t j = k - 1; j >= 0; j--)
        reflect(m - j, tau[j], a + j * n + j, n, k - j, q + j * k + j, k, work);
}

/* ---- rotations --------------------------------------------------------------------------------------------------- */

/* The smaller rotation that makes [[p, r], [r, q]] diagonal: its cosine and sine. */
static void jacobi_angle(double p, double q, double r, double *c, double *s)
{
    double theta = (q - p) / (2 * r), t = copysign(1 / (fabs(theta) + tape__hypotenuse(theta, 1)), theta);
    *c = 1 / sqrt(t * t + 1);
    *s = t * *c;
}

/* The rows x and y become c x - s y and s x + c y. */
static void rotate(int64_t n, double c, double s, double *x, double *y)
{
    for (int64_t i = 0; i < n; i++) {
        double keep = x[i];
        x[i] = c * keep - s * y[i];
        y[i] = s * keep + c * y[i];
    }
}

static void exchange(int64_t n, double *x, double *y)
{
    for (int64_t i = 0; i < n; i++) {
        double keep = x[i];
        x[i] = y[i];
        y[i] = keep;
    }
}

/* -1 where the element of largest magnitude (the first of equal ones) is negative, else 1. */
static double sign_of_row(int64_t n, const double *x)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (fabs(x[i]) > fabs(x[best]) * (1 + 8 * DBL_EPSILON)) /* a tie up to rounding is a tie */
            best = i;
    return n && x[best] < 0 ? -1 : 1;
}

/* ---- eigenvalues of symmetric matrices --------------------------------------------------------------------------- */

/* Rotate away the element (p, q), which is above the threshold. Rows and columns alike; vt holds eigenvectors as rows.
 */
static void rotate_symmetric(int64_t n, int64_t p, int64_t q, double *a, double *vt)
{
    double c, s, app = a[p * n + p], aqq = a[q * n + q], apq = a[p * n + q];
    jacobi_angle(app, aqq, apq, &c, &s);
    rotate(n, c, s, a + p * n, a + q * n);
    for (int64_t i = 0; i < n; i++) {
        a[i * n + p] = a[p * n + i];
        a[i * n + q] = a[q * n + i];
    }
    a[p * n + p] = app - s / c * apq;
    a[q * n + q] = aqq + s / c * apq;
    a[p * n + q] = a[q * n + p] = 0;
    rotate(n, c, s, vt + p * n, vt + q * n);
}

/* w and the rows of v become the eigenvalues, ascending, and their vectors; a is lost. */
static void diagonalise(int64_t n, double *a, double *w, double *v)
{
    double threshold = DBL_EPSILON / 16 * largest_of(n * n, a);
    bool rotated = true;
    for (int64_t i = 0; i < n * n; i++)
        v[i] = i % (n + 1) == 0;
    for (int sweep = 0; sweep < MOST_SWEEPS && rotated; sweep++) {
        rotated = false;
        for (int64_t p = 0; p < n; p++)
            for (int64_t q = p + 1; q < n; q++)
                if (fabs(a[p * n + q]) > threshold) {
                    rotate_symmetric(n, p, q, a, v);
                    rotated = true;
                }
    }
    for (int64_t i = 0; i < n; i++)
        w[i] = a[i * n + i];
    for (int64_t i = 0; i < n; i++) {
        int64_t least = i;
        for (int64_t j = i + 1; j < n; j++)
            least = w[j] < w[least] ? j : least;
        exchange(1, w + i, w + least);
        if (least != i)
            exchange(n, v + i * n, v + least * n);
    }
}

void tape__eigh(int64_t n, double *a, double *w, double *v)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i + 1; j < n; j++)
            a[i * n + j] = a[j * n + i];
    double largest = largest_of(n * n, a);
    if (!isfinite(largest)) {
        fill(n, w, NAN);
        fill(n * n, v, NAN);
        return;
    }
    int exponent = exponent_of(largest);
    for (int64_t i = 0; i < n * n; i++)
        a[i] = ldexp(a[i], -exponent);
    if (n <= DIRECT_SIZE || !tape__lapack_eigh(n, a, w, v))
        diagonalise(n, a, w, v);
    for (int64_t i = 0; i < n; i++) {
        double sign = sign_of_row(n, v + i * n);
        for (int64_t k = 0; k < n; k++)
            v[i * n + k] *= sign;
        w[i] = ldexp(w[i], exponent);
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < i; j++)
            exchange(1, v + i * n + j, v + j * n + i);
}

/* ---- singular values --------------------------------------------------------------------------------------------- */

/* The rows of b[n, m] are made orthogonal to each other by rotations, which vt[n, n] goes through, too. */
static void orthogonalise(int64_t n, int64_t m, double *b, double *vt)
{
    bool rotated = true;
    for (int sweep = 0; sweep < MOST_SWEEPS && rotated; sweep++) {
        rotated = false;
        for (int64_t p = 0; p < n; p++)
            for (int64_t q = p + 1; q < n; q++) {
                double *x = b + p * m, *y = b + q * m;
                double xx = dot(m, x, x), yy = dot(m, y, y), xy = dot(m, x, y), c, s;
                if (!(fabs(xy) > DBL_EPSILON * sqrt(xx) * sqrt(yy)))
                    continue;
                jacobi_angle(xx, yy, xy, &c, &s);
                rotate(m, c, s, x, y);
                rotate(n, c, s, vt + p * n, vt + q * n);
                rotated = true;
            }
    }
}

/* Row i becomes a unit vector that is orthogonal to the rows before it: the unit vector of the space that keeps most
 * when they are taken off, twice for precision. `row` may be one of rows of length m. */
static void complete(int64_t i, int64_t m, double *b)
{
    double *row = b + i * m, best = -1;
    int64_t axis = 0;
    for (int64_t e = 0; e < m; e++) {
        double rest = 1;
        for (int64_t j = 0; j < i; j++)
            rest -= b[j * m + e] * b[j * m + e];
        axis = rest > best ? e : axis;
        best = rest > best ? rest : best;
    }
    fill(m, row, 0);
    row[axis] = 1;
    for (int64_t j = 0; j < 2 * i; j++) {
        const double *other = b + j % i * m;
        double along = dot(m, row, other);
        for (int64_t e = 0; e < m; e++)
            row[e] -= along * other[e];
    }
    double length = sqrt(dot(m, row, row));
    for (int64_t e = 0; e < m; e++)
        row[e] /= length;
}

/* b[n, m] with n <= m becomes the left vectors of its transpose as rows, vt[n, n] the right ones, s the values. */
static void tall_svd(int64_t n, int64_t m, double *b, double *s, double *vt)
{
    for (int64_t i = 0; i < n * n; i++)
        vt[i] = i % (n + 1) == 0;
    int exponent = exponent_of(largest_of(n * m, b));
    for (int64_t i = 0; i < n * m; i++)
        b[i] = ldexp(b[i], -exponent);
    orthogonalise(n, m, b, vt);
    for (int64_t i = 0; i < n; i++)
        s[i] = sqrt(dot(m, b + i * m, b + i * m));
    for (int64_t i = 0; i < n; i++) {
        int64_t most = i;
        for (int64_t j = i + 1; j < n; j++)
            most = s[j] > s[most] ? j : most;
        exchange(1, s + i, s + most);
        if (most != i) {
            exchange(m, b + i * m, b + most * m);
            exchange(n, vt + i * n, vt + most * n);
        }
        for (int64_t e = 0; e < m && s[i] > 0; e++)
            b[i * m + e] /= s[i];
        if (s[i] == 0)
            complete(i, m, b);
        s[i] = ldexp(s[i], exponent);
    }
}

/* All of tape__svd() but the signs, by rotations of the shorter side's vectors. */
static void direct_svd(int64_t m, int64_t n, const double *a, double *work, double *u, double *s, double *vt)
{
    bool tall = m >= n;
    int64_t k = tall ? n : m, length = tall ? m : n;
    double *b = work, *right = work + k * length;
    for (int64_t i = 0; i < k; i++)
        for (int64_t e = 0; e < length; e++)
            b[i * length + e] = tall ? a[e * n + i] : a[i * n + e];
    tall_svd(k, length, b, s, right);
    memcpy(vt, tall ? right : b, (size_t)(k * n) * sizeof *vt);
    for (int64_t i = 0; i < k; i++)
        for (int64_t e = 0; e < m; e++)
            u[e * k + i] = tall ? b[i * m + e] : right[i * m + e];
}

void tape__svd(int64_t m, int64_t n, const double *a, double *work, double *u, double *s, double *vt)
{
    int64_t k = m < n ? m : n;
    if (!isfinite(largest_of(m * n, a))) {
        fill(m * k, u, NAN);
        fill(k, s, NAN);
        fill(k * n, vt, NAN);
        return;
    }
    if (k > DIRECT_SIZE)
        memcpy(work, a, (size_t)(m * n) * sizeof *work);
    if (k <= DIRECT_SIZE || !tape__lapack_svd(m, n, work, u, s, vt))
        direct_svd(m, n, a, work, u, s, vt);
    for (int64_t i = 0; i < k; i++) {
        double sign = sign_of_row(n, vt + i * n);
        for (int64_t e = 0; e < n; e++)
            vt[i * n + e] *= sign;
        for (int64_t e = 0; e < m; e++)
            u[e * k + i] *= sign;
    }
}
