/* Knows the interface of connectionist temporal classification for one sequence; it does not know how batches are laid
   out, nor reductions. */
#ifndef TAPE__CTC_H
#define TAPE__CTC_H

#include "base.h"

/* A path stays at a place of the label or goes on to the next or, between two different labels, past a blank. */
typedef struct tape__ctc {
    const void *log_p; /* f32 or f64; of step t and class c at t * step + c */
    tape_dtype dtype;
    int64_t step, classes, steps;
    const int64_t *label; /* blank, first label, blank, second label, ..., blank */
    int64_t places;       /* how many these are: odd */
} tape__ctc;

/* May a path go from two places before to place i? */
static inline bool tape__ctc_skips(const int64_t *label, int64_t i)
{
    return i >= 2 && i % 2 == 1 && label[i] != label[i - 2];
}

/* -log of the probability of all paths that end at one of the last two places, in `steps` steps: inf where there are
   none. alpha: steps * places numbers, the logarithm of the probability to be at a place after a step. */
double tape__ctc_loss(const tape__ctc *x, double *alpha);

/* scale (p - share of the paths that pass here) for every step and class, laid out like log_p, from alpha and the loss.
   work: 2 places + classes numbers. */
void tape__ctc_gradient(const tape__ctc *x, const double *alpha, double loss, double scale, double *work, void *g);

#endif
