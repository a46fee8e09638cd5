/*
 * User-defined ops: a forward, its derivative, and from then on an op like any other, in backward, in tape_grad() of
 * any order, in forward mode and under the checker.
 *
 *   static tape_status cube(tape_custom_call *c)
 *   {
 *       c->y[0] = tape_mul(c->x[0], tape_square(c->x[0]));
 *       return tape_last_status();
 *   }
 *   static tape_status cube_vjp(tape_custom_vjp *v)
 *   {
 *       v->gx[0] = tape_mul(v->gy[0], tape_mul_scalar(tape_square(v->x[0]), 3));
 *       return tape_last_status();
 *   }
 *   static const tape_custom_op cube_op = {.name = "cube", .forward = cube, .vjp = cube_vjp};
 *   ...
 *   tape_tensor y = tape_custom(&cube_op, &x, 1, NULL, 0, NULL);
 *
 * Callbacks run on the current tape and may call ops, or work on data through tape_data() and the two functions below
 * that give memory to write to. They return TAPE_OK, or another status after tape_fail() (without it a message is
 * made): then the op returns null, or the backward fails and changes no gradient. What a callback makes ends with it,
 * but for its results. In a callback tape_backward() and tape_reset() are errors, and so is rewinding to an older mark;
 * tape_grad() is allowed and covers what the callback recorded: older tensors are leaves to it.
 */
#ifndef TAPE_CUSTOM_H
#define TAPE_CUSTOM_H

#include "tape/tape.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tape_custom_op tape_custom_op;

#define TAPE_CUSTOM_OUTPUTS 8 /* the most that an op can have */

/* One running forward: fill y[0], y[1], ... Ops called in it are not recorded; a result that is an input, a leaf or a
 * view is copied. attr is the record's own copy of the caller's bytes, 16-byte aligned: the forward may leave there
 * what the derivatives need. */
typedef struct tape_custom_call {
    const tape_custom_op *op;
    const tape_tensor *x;
    int n;
    void *attr;
    tape_tensor *y;
} tape_custom_call;

/* One VJP: the inputs x, the outputs y and their cotangents gy (zeros where absent; TAPE_NONE with takes_absent, and
 * for outputs that are not floating). Fill gx[i] where needs[i], with x[i]'s shape and dtype; TAPE_NONE, its value
 * before the call, means no contribution. Ops called in it are recorded, and with create_graph they stay on the tape.
 */
typedef struct tape_custom_vjp {
    const tape_custom_op *op;
    const tape_tensor *x, *y, *gy;
    int n, n_out;
    const void *attr;
    const bool *needs;
    bool create_graph;
    tape_tensor *gx;
} tape_custom_vjp;

/* One JVP: tx[i] is the tangent of x[i], TAPE_NONE where there is none. Fill ty[k] with y[k]'s shape and dtype;
 * TAPE_NONE, its value before the call, means zero. */
typedef struct tape_custom_jvp {
    const tape_custom_op *op;
    const tape_tensor *x, *y, *tx;
    int n, n_out;
    const void *attr;
    bool create_graph;
    tape_tensor *ty;
} tape_custom_jvp;

/* The op. It is not copied: it must outlive the records that it makes. All fields but name and forward may be zero. */
struct tape_custom_op {
    const char *name;
    int n_out; /* results; 0 means 1 */
    tape_status (*forward)(tape_custom_call *call);
    tape_status (*vjp)(tape_custom_vjp *vjp); /* NULL: declared as not differentiable, nothing flows through */
    tape_status (*jvp)(tape_custom_jvp *jvp); /* NULL: made from the VJP, which must then be linear in gy */
    /* Called once for each record when it ends (reset, rewind), at once where nothing is recorded; not after a failed
     * forward. A replay calls it, too, before the forward runs again on the attr that tape_custom() was given. For what
     * attr owns outside the tape. May not call functions of tape. */
    void (*release)(void *user, void *attr);
    void *user; /* the callbacks' own */
    /* Values that the derivatives do not read, which may therefore be written before the backward; bit i for input i.
     * Any other write is an error in the backward. */
    uint32_t unread_inputs;
    bool unread_outputs;
    bool takes_absent; /* the VJP handles absent cotangents itself */
    bool first_order;  /* the VJP works on data, not with ops: create_graph is an error, and so is forward mode without
                          jvp */
};

/* Run op on x[0..n-1]. attr_size bytes at attr (plain data; NULL for none) are copied into the record. Returns output
 * 0; all of them go to y[0..n_out-1] unless y is NULL. Null after an error. */
TAPE_API tape_tensor tape_custom(const tape_custom_op *op, const tape_tensor *x, int n, const void *attr,
                                 size_t attr_size, tape_tensor *y);

/* In a forward: make output k, contiguous and not initialised, and return its memory; NULL after an error. While the
 * checker evaluates in f64, f32 is an error (the op is reported as unchecked): take the dtype from the inputs. */
TAPE_API void *tape_custom_output(tape_custom_call *call, int k, tape_dtype dtype, tape_shape shape);

/* In a VJP: make gx[i], contiguous and not initialised, and return its memory; NULL after an error, which it is under
 * create_graph. */
TAPE_API void *tape_custom_gradient(tape_custom_vjp *vjp, int i);

#ifdef __cplusplus
}
#endif

#endif
