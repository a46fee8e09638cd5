/* Knows single numbers: the vectors' mathematical functions for one f64, the same on every machine. */
#ifndef TAPE__SCALAR_MATH_H
#define TAPE__SCALAR_MATH_H

double tape__scalar_exp(double x);
double tape__scalar_log(double x);
double tape__scalar_sin(double x);
double tape__scalar_cos(double x);
double tape__scalar_ndtr(double x);

#endif
