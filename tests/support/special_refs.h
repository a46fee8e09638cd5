/* Special functions in long double, by formulas that are not the library's: definitions, sums and integrals. */
#ifndef TAPE_TESTS_SPECIAL_REFS_H
#define TAPE_TESTS_SPECIAL_REFS_H

long double special_erfinv(long double x);           /* bisection of erf and erfc */
long double special_digamma(long double x);          /* the recurrence, up to where few terms of the series do */
long double special_polygamma(int n, long double x); /* the sum over the poles, n >= 1 */
long double special_bessel_i(int n, long double x);  /* the integral over an angle, n >= 0 */
/* P(a, x), 1 - P, the derivative D of P for x, and the k-th derivatives of P and D for a, each over D, k = 1 or 2. */
long double special_igamma(long double a, long double x);
long double special_igammac(long double a, long double x);
long double special_gamma_density(long double a, long double x);
long double special_igamma_ratio(int k, long double a, long double x);
long double special_gamma_density_ratio(int k, long double a, long double x);

#endif
