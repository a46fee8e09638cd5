/* The table as the tests see it: elementwise rows that can be called, samples of every op, and inputs for them. */
#ifndef TAPE_TESTS_TABLE_H
#define TAPE_TESTS_TABLE_H

#include "ops/ops.h"
#include "refs.h"
#include "samples.h"

/* ---- elementwise rows -------------------------------------------------------------------------------------------- */

struct row {
    const char *name;
    int op, kind, n_in;
    unsigned flags;
    double low, high;
    tape_tensor (*call)(const tape_tensor *x, const double *p);
    tape_tensor (*right)(tape_tensor a, double b); /* the forms with a number on one side; NULL: there are none */
    tape_tensor (*left)(double a, tape_tensor b);
    const struct ref *ref;
};

/* Ended by a row without name. */
extern const struct row rows[];

/* The reference's value of x[0..n_in-1]. */
double row_value(const struct row *row, const double *x);

/* True where input i is a u8 mask instead of a float. */
bool row_takes_mask(const struct row *row, int i);

/* True where the result is a u8 mask. */
bool row_gives_mask(const struct row *row);

/* ---- samples ----------------------------------------------------------------------------------------------------- */

/* One of every elementwise row and of its forms with a number; those of the other ops are in samples.h. */
extern const struct sample samples_elementwise[];

/* The i-th sample of all; NULL behind the last. */
const struct sample *sample_at(int i);

bool sample_is_elementwise(const struct sample *sample);

/* The op's place in the table; 0 where there is none of that name. */
int op_named(const char *name);

/* ---- inputs ------------------------------------------------------------------------------------------------------ */

/* Leaves for a sample, and their values as doubles. */
struct inputs {
    const struct sample *sample;
    tape_dtype dtype;
    tape_tensor x[SAMPLE_MAX_INPUTS];
    double *value[SAMPLE_MAX_INPUTS];
    int64_t numel[SAMPLE_MAX_INPUTS];
    tape_tensor floats[SAMPLE_MAX_INPUTS]; /* those of kind SAMPLE_FLOAT */
    int n_floats;
};

void inputs_make(struct inputs *in, const struct sample *sample, tape_dtype dtype, uint64_t seed);
void inputs_free(struct inputs *in);

/* The sample as a tape_function of its SAMPLE_FLOAT inputs; `user` is the struct inputs. */
tape_tensor inputs_program(void *user, const tape_tensor *x, int n);

/* ---- helpers ----------------------------------------------------------------------------------------------------- */

/* Uniform from [low, high), from a state that it advances. */
double draw(uint64_t *state, double low, double high);

int64_t shape_numel(tape_shape shape);

/* x of any dtype, row-major, as doubles; NULL after an error. The caller frees it. */
double *doubles_of(tape_tensor x);

/* A leaf of `dtype` that holds n doubles; what fits f32 only roughly is rounded in `values`, too. */
tape_tensor leaf_of(tape_dtype dtype, tape_shape shape, double *values, bool requires_grad);

/* Report a failure and go on, so that one run shows all of them; complaints() says how many there were and forgets. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
int complaints(void);

/* Fails the running test if the tape has an error or there were complaints, and resets the tape. */
void settle(void);

#endif
