/* The table as C sees it: the enum of ops, the kinds and the descriptors. */
#ifndef TAPE__OPS_H
#define TAPE__OPS_H

#include "tape.h"

/* kind: the public function's shape. x, a, b, c are tensors, p and s numbers. */
enum tape__op_kind {
    TAPE__KIND_UNARY,             /* tape_NAME(x) */
    TAPE__KIND_UNARY1,            /* tape_NAME(x, p0) */
    TAPE__KIND_UNARY2,            /* tape_NAME(x, p0, p1) */
    TAPE__KIND_UNARY3,            /* tape_NAME(x, p0, p1, p2) */
    TAPE__KIND_BINARY,            /* tape_NAME(a, b), tape_NAME_scalar(a, s), tape_scalar_NAME(s, b) */
    TAPE__KIND_BINARY1,           /* tape_NAME(a, b, p0) */
    TAPE__KIND_BINARY_INTERNAL,   /* tape__NAME(a, b) */
    TAPE__KIND_BINARY1_INTERNAL,  /* tape__NAME(a, b, p0) */
    TAPE__KIND_TERNARY,           /* tape_NAME(a, b, c) */
    TAPE__KIND_TERNARY1,          /* tape_NAME(a, b, c, p0) */
    TAPE__KIND_TERNARY1_INTERNAL, /* tape__NAME(a, b, c, p0) */
    TAPE__KIND_WHERE,             /* tape_where(mask, a, b) */
    TAPE__KIND_COMPARE,           /* like BINARY, any dtype, gives u8 */
    TAPE__KIND_LOGIC,             /* tape_NAME(a, b), any dtype, gives u8 */
    TAPE__KIND_TEST,              /* tape_NAME(x), any dtype, gives u8 */
    TAPE__KIND_GENERAL,           /* a function of its own; NAME_forward and NAME_vjp in its family's file */
    TAPE__KIND_NOVJP,             /* GENERAL without a derivative: NAME_forward only; flags say TAPE__NO_GRADIENT */
    TAPE__KIND_COMPOSITE          /* a function of its own, written with other ops */
};

enum tape__op_index {
    TAPE__OP_NONE,   /* a constant: no record */
    TAPE__OP_LEAF,   /* stands for a leaf */
    TAPE__OP_OUTPUT, /* output 1, 2, ... of the record before it */
#define TAPE__ROW(kind, name, family, level, flags, low, high) TAPE__OP_##name,
#include "ops.def"
#undef TAPE__ROW
    TAPE__OP_CUSTOM, /* a user's op; its descriptor hangs on the record */
    TAPE__OP_COUNT
};

extern const tape__op tape__ops[TAPE__OP_COUNT];

/* Declared here so that a missing or misnamed one is a compile or link error. */
#define TAPE__DECLARE_UNARY(name)
#define TAPE__DECLARE_UNARY1(name)
#define TAPE__DECLARE_UNARY2(name)
#define TAPE__DECLARE_UNARY3(name)
#define TAPE__DECLARE_BINARY(name)
#define TAPE__DECLARE_BINARY1(name)
#define TAPE__DECLARE_BINARY_INTERNAL(name) tape_tensor tape__##name(tape_tensor a, tape_tensor b);
#define TAPE__DECLARE_BINARY1_INTERNAL(name) tape_tensor tape__##name(tape_tensor a, tape_tensor b, double p0);
#define TAPE__DECLARE_TERNARY(name)
#define TAPE__DECLARE_TERNARY1(name)
#define TAPE__DECLARE_TERNARY1_INTERNAL(name)                                                                          \
    tape_tensor tape__##name(tape_tensor a, tape_tensor b, tape_tensor c, double p0);
#define TAPE__DECLARE_WHERE(name)
#define TAPE__DECLARE_COMPARE(name)
#define TAPE__DECLARE_LOGIC(name)
#define TAPE__DECLARE_TEST(name)
#define TAPE__DECLARE_COMPOSITE(name)
#define TAPE__DECLARE_GENERAL(name)                                                                                    \
    bool tape__##name##_forward(tape__call *call);                                                                     \
    void tape__##name##_vjp(tape__vjp *vjp);
#define TAPE__DECLARE_NOVJP(name) bool tape__##name##_forward(tape__call *call);
#define TAPE__ROW(kind, name, family, level, flags, low, high) TAPE__DECLARE_##kind(name)
#include "ops.def"
#undef TAPE__ROW

/* Sum x down to `shape`, which broadcasts to x's shape: what an adjoint goes through where an input was stretched. */
tape_tensor tape__sum_to(tape_tensor x, tape_shape shape);

/* For a VJP of a partial region (slice, gather, ...): zeros of x's shape that the VJP may add into. */
tape_tensor tape__zeros_for(tape_tensor x);

#endif
