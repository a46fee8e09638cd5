/*
 * Fourier transforms. The rules common to all ops are in tape/ops.h.
 *
 * A complex number is a pair (real, imaginary): a last axis of size 2. Lines may have any length from 1 on: small prime
 * factors are the fastest, others cost about four times as much. The arithmetic is in double for f32, too.
 */
#ifndef TAPE_OPS_SPECTRAL_H
#define TAPE_OPS_SPECTRAL_H

#include "tape/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* y[k] = the sum of x[j] exp(-2 pi i j k / n) over the n points of x[..., n, 2]; and back, exp(2 pi i j k / n) / n. d:
 * n ifft(g), and fft(g) / n. */
TAPE_API tape_tensor tape_fft(tape_tensor x);
TAPE_API tape_tensor tape_ifft(tape_tensor x);

/* The first n / 2 + 1 points of the transform of a real x[..., n], which say all: [..., n / 2 + 1, 2]. d: the real part
 * of the transform back. */
TAPE_API tape_tensor tape_rfft(tape_tensor x);

/* The n real points [..., n] whose tape_rfft() is x[..., n / 2 + 1, 2]; n = 0 means 2 (size - 1). The imaginary parts
 * of the frequency 0 and, for an even n, of n / 2 are not read. TAPE_ERROR_ARGUMENT where n does not fit. d: rfft(g) /
 * n, twice that for frequencies that stand for two. */
TAPE_API tape_tensor tape_irfft(tape_tensor x, int64_t n);

/* a b, |x|^2 and the conjugate of complex numbers [..., 2]; |x|^2 is [...]. d: g conj(b) and g conj(a); 2 x g;
 * conj(g). */
TAPE_API tape_tensor tape_complex_mul(tape_tensor a, tape_tensor b);
TAPE_API tape_tensor tape_abs2(tape_tensor x);
TAPE_API tape_tensor tape_conj(tape_tensor x);

#ifdef __cplusplus
}
#endif
#endif
