/* A linear solver that sees the matrix only through products with it. */
#ifndef TAPE__GMRES_H
#define TAPE__GMRES_H

#include "base.h"

typedef struct tape__gmres {
    bool (*multiply)(void *user, const double *x, double *y); /* y = A x; false stops everything */
    void *user;
    int64_t n;
    int restart;        /* vectors that are kept */
    int64_t iterations; /* products at most */
    double tolerance;   /* of the residual, relative to b */
    double *work;       /* tape__gmres_work(n, restart) numbers */
} tape__gmres;

int64_t tape__gmres_work(int64_t n, int restart); /* -1: too many */

/* Solve A x = b from x = 0. Returns the relative residual that was reached, or -1 where multiply() stopped it. */
double tape__gmres_solve(const tape__gmres *s, const double *b, double *x);

#endif
