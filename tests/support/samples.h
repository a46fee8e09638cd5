/*
 * Samples of the general ops: for each, how to call it on test inputs and a naive reference that shares no code with
 * the library. Every test that loops over the table takes its inputs from here. Elementwise ops need none: their row
 * says all.
 */
#ifndef TAPE_TESTS_SAMPLES_H
#define TAPE_TESTS_SAMPLES_H

#include "tape/tape.h"

#define SAMPLE_MAX_INPUTS 7

enum sample_input_kind {
    SAMPLE_FLOAT, /* differentiated: drawn from [low, high) in the dtype under test */
    SAMPLE_INDEX, /* i64 constant: whole numbers from [low, high) */
    SAMPLE_MASK,  /* u8 constant: 0 or 1 */
    SAMPLE_FIXED  /* float constant that is not differentiated */
};

struct sample_input {
    enum sample_input_kind kind;
    tape_shape shape;
    double low, high;
};

struct sample {
    const char *op;    /* the name in the table */
    const char *label; /* what this sample varies, for messages */
    int n_in;
    struct sample_input in[SAMPLE_MAX_INPUTS];
    /* The op on x[0..n_in-1]: one tensor (an op of several outputs: a sum of functions of them, or one of them). */
    tape_tensor (*run)(const tape_tensor *x);
    /* The same in plain loops over row-major doubles (indices and masks as doubles too). y has the op's numel. NULL
     * where no plain loop can say the value: random draws, whose statistics have a test of their own. */
    void (*reference)(const double *const *x, double *y);
    bool not_differentiable; /* the op has no derivative, or this sample sits on a kink on purpose */
    double tolerance; /* of the value, relative to the reference's largest element; 0: 1e-13 in f64, 1e-5 in f32 */
};

/* One array per family, ended by an entry whose op is NULL. */
extern const struct sample samples_shape[], samples_index[], samples_reduce[], samples_linalg[], samples_nn[],
    samples_loss[], samples_random[], samples_control[], samples_decompose[], samples_factor[], samples_geometry[],
    samples_conv[], samples_spectral[], samples_ctc[], samples_recurrent[], samples_resample[];

/* A sample's two functions: the op on the inputs x, and the reference, which fills y: a statement. */
#define SAMPLE_FUNCTIONS(op, label, call, ...)                                                                         \
    static tape_tensor op##_##label(const tape_tensor *x)                                                              \
    {                                                                                                                  \
        return call;                                                                                                   \
    }                                                                                                                  \
    static void op##_##label##_reference(const double *const *x, double *y)                                            \
    {                                                                                                                  \
        __VA_ARGS__;                                                                                                   \
    }

#endif
