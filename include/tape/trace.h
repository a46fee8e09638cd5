/*
 * Where the first NaN or infinity comes from. They are values, not errors: they spread silently, and what shows them is
 * far from what made them. While tracing, each op, each record on the way back and each step of forward mode is looked
 * at, and the first that made one out of finite operands is reported.
 *
 *   tape_trace_nonfinite(TAPE_TRACE_REPORT);
 *   ... a training step ...
 *   if (tape_nonfinite_found())
 *       puts(tape_nonfinite_found()->message);
 *
 *   log: its result f32[2, 3] is -inf at [1, 2]; input 0 f32[2, 3] is 0 there; recorded by train_step+0x1f (0x4011e6)
 *
 * Results of elementwise ops are judged element by element, with the elements of the operands that made them; those of
 * other ops are blamed only when all floating operands are finite as a whole. Values that the caller gave (leaves,
 * constants) are never blamed, nor is what follows from them. On the way back operands are the inputs, the outputs,
 * the cotangents and what the adjoint was before. A derivative is blamed as a whole, whatever ops its VJP is made of;
 * gradients that several tape_backward() calls add up in a leaf are not looked at.
 *
 * Off, it costs nothing. On, results stay the same to the bit, every op goes the long way and looks at all of its
 * elements, and each record notes its caller by walking the stack: some microseconds an op.
 */
#ifndef TAPE_TRACE_H
#define TAPE_TRACE_H

#include "tape/tape.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum tape_trace_pass {
    TAPE_TRACE_FORWARD = 0, /* an op */
    TAPE_TRACE_BACKWARD,    /* a record's VJP, or the sum of adjoints that it adds to */
    TAPE_TRACE_TANGENT      /* a record in tape_jvp() */
} tape_trace_pass;

/* What the result was made of. */
typedef struct tape_traced_operand {
    const char *role; /* "input", "output", "cotangent", "tangent" */
    int position;
    tape_dtype dtype;
    tape_shape shape;
    double low, high; /* the least and the greatest element; both the one that counts where `elementwise` */
} tape_traced_operand;

#define TAPE_TRACED_OPERANDS 8

typedef struct tape_nonfinite {
    tape_trace_pass pass;
    const char *op;     /* of the record; a user's op by its name */
    const char *within; /* the composite or the user's op that called it; NULL where nothing did */
    const char *role;   /* of the result: "output", "gradient", "tangent", and which one */
    int position;
    tape_dtype dtype;
    tape_shape shape;
    int64_t index[TAPE_MAX_RANK]; /* of the first such element */
    double value;                 /* NaN or an infinity */
    bool elementwise;
    int operand_count; /* all; the first TAPE_TRACED_OPERANDS are given */
    tape_traced_operand operand[TAPE_TRACED_OPERANDS];
    const void *caller; /* the address in the program that the op returns to; on the way back: that recorded it did */
    char symbol[96];    /* its function and offset, "step+0x1f"; or its file and offset, for addr2line; "" unknown */
    char message[512];  /* all of it in a line */
} tape_nonfinite;

/*
 * Start looking, or stop. With TAPE_TRACE_REPORT the first find is kept for tape_nonfinite_found(), goes to the log
 * hook (with TAPE_ERROR_NONFINITE, although the tape has no error) and ends the search, until this is called again.
 * With TAPE_TRACE_ERROR it is an error besides: the op returns null, the backward fails and changes no gradient; after
 * tape_clear() or tape_reset() the search goes on. Forgets the last find. tape_config has the same switch for a tape
 * from its start. TAPE_ERROR_MEMORY if there is no room.
 *
 * The caller is the innermost function outside the library. Its name is known to the dynamic linker when the function
 * is external and the program linked with -rdynamic (CMake: ENABLE_EXPORTS), or lies in a shared library. The walk
 * needs glibc's backtrace(); without it the caller is NULL. A static library linked with -flto, or built without
 * objcopy, cannot tell its own functions from the program's: there the caller is the innermost function with a name
 * that does not begin with tape_. Records made before the switch was set have none.
 */
TAPE_API tape_status tape_trace_nonfinite(tape_trace_mode mode);

/* What was found on the current tape since the switch was set; NULL: nothing. Valid until it is set again. */
TAPE_API const tape_nonfinite *tape_nonfinite_found(void);

#ifdef __cplusplus
}
#endif

#endif
