/* LU, triangular and Cholesky factorisation of one row-major matrix of doubles. Knows no tensors and no batches. */
#include <math.h>
#include <string.h>

#include "dense.h"

/* y -= f x */
static void subtract(int64_t n, double f, const double *x, double *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] -= f * x[i];
}

static void exchange_rows(double *a, int64_t n, int64_t i, int64_t j)
{
    for (int64_t k = 0; k < n && i != j; k++) {
        double keep = a[i * n + k];
        a[i * n + k] = a[j * n + k];
        a[j * n + k] = keep;
    }
}

static void exchange_columns(double *a, int64_t n, int64_t i, int64_t j)
{
    for (int64_t k = 0; k < n && i != j; k++) {
        double keep = a[k * n + i];
        a[k * n + i] = a[k * n + j];
        a[k * n + j] = keep;
    }
}

/* ---- LU ---------------------------------------------------------------------------------------------------------- */

int tape__lu(int64_t n, double *a, int64_t *pivot)
{
    int sign = 1;
    for (int64_t k = 0; k < n; k++) {
        int64_t best = k;
        for (int64_t i = k + 1; i < n; i++)
            if (fabs(a[i * n + k]) > fabs(a[best * n + k]))
                best = i;
        pivot[k] = best;
        exchange_rows(a, n, k, best);
        sign = best == k ? sign : -sign;
        double head = a[k * n + k];
        for (int64_t i = k + 1; i < n && head != 0; i++) {
            double f = a[i * n + k] /= head;
            subtract(n - k - 1, f, a + k * n + k + 1, a + i * n + k + 1);
        }
    }
    return sign;
}

bool tape__lu_solve(int64_t n, const double *lu, const int64_t *pivot, int64_t m, double *b)
{
    for (int64_t i = 0; i < n; i++)
        if (lu[i * n + i] == 0)
            return false;
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < m && pivot[i] != i; k++) {
            double keep = b[i * m + k];
            b[i * m + k] = b[pivot[i] * m + k];
            b[pivot[i] * m + k] = keep;
        }
    tape__solve_triangle((tape__triangle){.lower = true, .unit = true}, n, lu, m, b);
    tape__solve_triangle((tape__triangle){.lower = false}, n, lu, m, b);
    return true;
}

/* ---- triangles --------------------------------------------------------------------------------------------------- */

void tape__solve_triangle(tape__triangle shape, int64_t n, const double *t, int64_t m, double *b)
{
    bool forward = shape.lower != shape.transpose;
    for (int64_t step = 0; step < n; step++) {
        int64_t i = forward ? step : n - 1 - step;
        double *x = b + i * m, head = t[i * n + i];
        for (int64_t k = 0; k < m && !shape.unit; k++)
            x[k] /= head;
        for (int64_t j = forward ? i + 1 : 0, end = forward ? n : i; j < end; j++)
            subtract(m, shape.transpose ? t[i * n + j] : t[j * n + i], x, b + j * m);
    }
}

bool tape__cholesky(int64_t n, double *a)
{
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j <= i; j++) {
            double sum = a[i * n + j];
            for (int64_t k = 0; k < j; k++)
                sum -= a[i * n + k] * a[j * n + k];
            if (i == j && !(sum > 0))
                return false;
            a[i * n + j] = i == j ? sqrt(sum) : sum / a[j * n + j];
        }
        memset(a + i * n + i + 1, 0, (size_t)(n - i - 1) * sizeof *a);
    }
    return true;
}

/* ---- complete pivoting ------------------------------------------------------------------------------------------- */

static int64_t largest_from(int64_t n, const double *a, int64_t k)
{
    int64_t best = k * n + k;
    for (int64_t i = k; i < n; i++)
        for (int64_t j = k; j < n; j++)
            if (fabs(a[i * n + j]) > fabs(a[best]))
                best = i * n + j;
    return best;
}

static void exchange(int64_t *order, int64_t i, int64_t j)
{
    int64_t keep = order[i];
    order[i] = order[j];
    order[j] = keep;
}

int tape__ldr(int64_t n, double *a, int64_t *row, int64_t *column)
{
    int sign = 1;
    for (int64_t i = 0; i < n; i++)
        row[i] = column[i] = i;
    for (int64_t k = 0; k < n; k++) {
        int64_t best = largest_from(n, a, k), i = best / n, j = best % n;
        sign = (i != k) == (j != k) ? sign : -sign;
        exchange_rows(a, n, k, i);
        exchange_columns(a, n, k, j);
        exchange(row, k, i);
        exchange(column, k, j);
        double head = a[k * n + k];
        if (head == 0)
            break; /* all that is left is zero: L and R end as the identity */
        for (i = k + 1; i < n; i++) {
            double f = a[i * n + k] /= head;
            subtract(n - k - 1, f, a + k * n + k + 1, a + i * n + k + 1);
        }
        for (j = k + 1; j < n; j++)
            a[k * n + j] /= head;
    }
    return sign;
}
