/* Knows the interface of the discrete Fourier transform of one line of complex doubles, real and imaginary in turn. */
#ifndef TAPE__FFT_H
#define TAPE__FFT_H

#include "base.h"

/* Doubles of work memory for n >= 1 points; false where they are too many. */
bool tape__fft_work(int64_t n, int64_t *doubles);

/* Fill the work memory with what every transform of n points needs. */
void tape__fft_prepare(int64_t n, double *work);

/* x[k] becomes the sum of x[j] exp(-2 pi i j k / n), in place. To go back, conjugate before and after. */
void tape__fft(int64_t n, double *work, double *x);

#endif
