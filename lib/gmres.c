/* GMRES with restarts (Saad and Schultz, 1986), modified Gram-Schmidt and Givens rotations. Knows numbers alone. */
#include "gmres.h"

#include <math.h>
#include <string.h>

#include "kernels/any/dense.h"

/* One cycle's memory: the basis, the triangle R by columns, the rotations, the right-hand side. */
typedef struct cycle {
    double *basis, *r, *cosine, *sine, *g, *y;
} cycle;

int64_t tape__gmres_work(int64_t n, int restart)
{
    int64_t size, m = restart;
    return tape__mul_size(m + 2, n, &size) && tape__add_size(size, m * (m + 1) + 5 * (m + 1), &size) ? size : -1;
}

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static void add_scaled(double *a, double factor, const double *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        a[i] += factor * b[i];
}

/* Column j of R: w = A v_j against the basis, then through the rotations so far and one more. */
static void eliminate(const tape__gmres *s, const cycle *c, int j)
{
    int m = s->restart;
    double *w = c->basis + (j + 1) * s->n, *h = c->r + j * (m + 1);
    for (int i = 0; i <= j; i++) {
        h[i] = dot(w, c->basis + i * s->n, s->n);
        add_scaled(w, -h[i], c->basis + i * s->n, s->n);
    }
    h[j + 1] = sqrt(dot(w, w, s->n));
    for (int64_t k = 0; h[j + 1] > 0 && k < s->n; k++)
        w[k] /= h[j + 1];
    for (int i = 0; i < j; i++) {
        double upper = c->cosine[i] * h[i] + c->sine[i] * h[i + 1];
        h[i + 1] = c->cosine[i] * h[i + 1] - c->sine[i] * h[i];
        h[i] = upper;
    }
    double length = tape__hypotenuse(h[j], h[j + 1]);
    c->cosine[j] = length > 0 ? h[j] / length : 1;
    c->sine[j] = length > 0 ? h[j + 1] / length : 0;
    h[j] = length;
    c->g[j + 1] = -c->sine[j] * c->g[j];
    c->g[j] *= c->cosine[j];
}

/* x += V R^-1 g over the first `count` columns. */
static void update(const tape__gmres *s, const cycle *c, int count, double *x)
{
    for (int i = count; i-- > 0;) {
        double sum = c->g[i];
        for (int k = i + 1; k < count; k++)
            sum -= c->r[k * (s->restart + 1) + i] * c->y[k];
        c->y[i] = sum / c->r[i * (s->restart + 1) + i];
        add_scaled(x, c->y[i], c->basis + i * s->n, s->n);
    }
}

/* The residual b - A x as the first vector; its length. */
static double start(const tape__gmres *s, const cycle *c, const double *b, const double *x, double *product)
{
    if (!s->multiply(s->user, x, product))
        return -1;
    for (int64_t k = 0; k < s->n; k++)
        c->basis[k] = b[k] - product[k];
    double length = sqrt(dot(c->basis, c->basis, s->n));
    for (int64_t k = 0; length > 0 && k < s->n; k++)
        c->basis[k] /= length;
    c->g[0] = length;
    return length;
}

double tape__gmres_solve(const tape__gmres *s, const double *b, double *x)
{
    int m = s->restart;
    cycle c = {.basis = s->work, .r = s->work + (m + 1) * s->n};
    c.cosine = c.r + m * (m + 1);
    c.sine = c.cosine + m + 1;
    c.g = c.sine + m + 1;
    c.y = c.g + m + 1;
    double *product = c.y + m + 1, size = sqrt(dot(b, b, s->n)), residual = size;
    memset(x, 0, (size_t)s->n * sizeof *x);
    for (int64_t done = 0; size > 0;) {
        residual = start(s, &c, b, x, product);
        if (residual < 0)
            return -1;
        if (!(residual > s->tolerance * size) || done++ >= s->iterations)
            break;
        int j = 0;
        for (bool more = true; more; more = j < m && done < s->iterations && fabs(c.g[j]) > s->tolerance * size) {
            if (!s->multiply(s->user, c.basis + j * s->n, c.basis + (j + 1) * s->n))
                return -1;
            eliminate(s, &c, j++);
            done++;
        }
        update(s, &c, j, x);
    }
    return size > 0 ? residual / size : 0;
}
