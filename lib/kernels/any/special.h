/* Knows the interface of the mathematical functions that are too large for a kernel of each instruction set; it does
   not know how they are computed.

   One number at a time, in f64 for both dtypes, with + - * / and sqrt only: the same bits on every machine. Poles and
   other special values are those of PyTorch. */
#ifndef TAPE__SPECIAL_H
#define TAPE__SPECIAL_H

/* The inverse of erf: +-inf at +-1, NaN beyond. */
double tape__special_erfinv(double x);

/* log |gamma(x)|: +inf at 0, -1, -2, ... and -inf. */
double tape__special_lgamma(double x);

/* Stirling's correction: lgamma(x) is (x - 1/2) log x - x + log(2 pi) / 2 + it, for x >= 10. */
double tape__special_stirling(double x);

/* The derivative of lgamma: at 0 an infinity of sign -x, NaN at -1, -2, .... */
double tape__special_digamma(double x);

/* The n-th derivative of digamma, n = 0 ... 1000; NaN for other n. At 0, -1, -2, ... it is +inf for odd n; for even n
   NaN, but at 0 an infinity of sign -x. */
double tape__special_polygamma(double n, double x);

/* The modified Bessel function of the first kind, I_n, for a whole number n of either sign; NaN for other n. */
double tape__special_bessel_i(double n, double x);

/* The regularised incomplete gamma functions P(a, x), the lower one, and Q = 1 - P; a, x >= 0, NaN elsewhere and where
   both are 0 or infinite. */
double tape__special_igamma(double a, double x);
double tape__special_igammac(double a, double x);

/* The derivative of P for x: D = x^(a - 1) e^-x / gamma(a). */
double tape__special_gamma_density(double a, double x);

/* The derivatives of P and of D for a, each over D: of order 1 ... 4, and of any order up to 5 (0 for negative ones);
   NaN for other orders, and where D is that of no distribution. The first is 0, the second NaN, at x = 0. */
double tape__special_igamma_ratio(double order, double a, double x);
double tape__special_gamma_density_ratio(double order, double a, double x);

/* The x with P(a, x) = u and Q(a, x) = v, for u, v > 0 with sum 1. 0 and infinity for a = 0 and infinity, NaN for a
   below. */
double tape__special_gamma_quantile(double a, double u, double v);

#endif
