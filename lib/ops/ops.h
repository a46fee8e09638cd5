/* The table as C sees it: the enum of ops, the kinds and the descriptors. */
#ifndef TAPE__OPS_H
#define TAPE__OPS_H

#include "op_index.h"
#include "tape.h"
#include "tape/custom.h"

/* kind: the public function's shape. x, a, b, c are tensors, p and s numbers. */
enum tape__op_kind {
    TAPE__KIND_UNARY,             /* tape_NAME(x) */
    TAPE__KIND_UNARY1,            /* tape_NAME(x, p0) */
    TAPE__KIND_UNARY2,            /* tape_NAME(x, p0, p1) */
    TAPE__KIND_UNARY3,            /* tape_NAME(x, p0, p1, p2) */
    TAPE__KIND_UNARY_INTERNAL,    /* tape__NAME(x) */
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
    TAPE__KIND_FUSED,             /* GENERAL that has a fused VJP too: NAME_fused */
    TAPE__KIND_NOVJP,             /* GENERAL without a derivative: NAME_forward only; flags say TAPE__NO_GRADIENT */
    TAPE__KIND_COMPOSITE          /* a function of its own, written with other ops */
};

/* What an op can belong to. */
#define TAPE__FAMILIES(X)                                                                                              \
    X(unary)                                                                                                           \
    X(activation)                                                                                                      \
    X(binary)                                                                                                          \
    X(ternary)                                                                                                         \
    X(comparison)                                                                                                      \
    X(reduction)                                                                                                       \
    X(cumulative)                                                                                                      \
    X(shape)                                                                                                           \
    X(joining)                                                                                                         \
    X(index)                                                                                                           \
    X(linalg)                                                                                                          \
    X(neural)                                                                                                          \
    X(loss)                                                                                                            \
    X(geometry)                                                                                                        \
    X(random)                                                                                                          \
    X(spectral)                                                                                                        \
    X(control)                                                                                                         \
    X(engine)

#define TAPE__FAMILY(name) TAPE__FAMILY_##name,
enum tape__family { TAPE__FAMILIES(TAPE__FAMILY) TAPE__FAMILY_COUNT };
#undef TAPE__FAMILY

extern const char *const tape__family_names[TAPE__FAMILY_COUNT];

extern const tape__op tape__ops[TAPE__OP_COUNT];

/* An elementwise op, or one that gives a mask, of n tensors and n_params numbers. */
tape_tensor tape__run_elementwise(int op, const tape_tensor *x, int n, const double *params, int n_params);

/* What `ewise` is for an op that gives the mask of row TAPE__EWM_..., and back again: negative for all others. */
#define TAPE__MASK_ROW(row) (-2 - (row))
static inline int tape__op_mask(const tape__op *op)
{
    return TAPE__MASK_ROW(op->ewise);
}

/* Declared here so that a missing or misnamed one is a compile or link error. */
#define TAPE__DECLARE_UNARY(name)
#define TAPE__DECLARE_UNARY1(name)
#define TAPE__DECLARE_UNARY2(name)
#define TAPE__DECLARE_UNARY3(name)
#define TAPE__DECLARE_UNARY_INTERNAL(name) tape_tensor tape__##name(tape_tensor x);
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
#define TAPE__DECLARE_FUSED(name)                                                                                      \
    TAPE__DECLARE_GENERAL(name)                                                                                        \
    bool tape__##name##_fused(tape__fused *f);
#define TAPE__DECLARE_NOVJP(name) bool tape__##name##_forward(tape__call *call);
#define TAPE__ROW(kind, name, family, level, flags, low, high) TAPE__DECLARE_##kind(name)
#include "ops.def"
#undef TAPE__ROW

/* The VJP of every elementwise op by handles: its formulas expanded into recorded ops. */
void tape__ewise_vjp(tape__vjp *vjp);

/* The VJP of every user-defined op, and what its descriptor says in flags of the table. */
void tape__custom_vjp(tape__vjp *vjp);
bool tape__custom_forward(tape__call *call);
uint16_t tape__custom_flags(const tape_custom_op *op);

/* A user's op's own forward-mode rule: ty from tx. False after an error. */
bool tape__custom_jvp(const tape__vjp *v, const tape_tensor *tx, tape_tensor *ty);

/* The attributes of a user's op as its caller gave them: its forward may have changed its own copy. */
static inline const void *tape__attr_as_given(const tape__extra *extra)
{
    return (const unsigned char *)extra->attr + ((extra->attr_size + 15) & ~(size_t)15);
}

/* A record's name and flags. */
static inline const char *tape__record_name(const tape__node *y)
{
    return y->op == TAPE__OP_CUSTOM ? ((const tape_custom_op *)y->u.extra->custom)->name : tape__ops[y->op].name;
}
static inline uint16_t tape__record_flags(const tape__node *y)
{
    return y->op == TAPE__OP_CUSTOM ? tape__custom_flags(y->u.extra->custom) : tape__ops[y->op].flags;
}

/* The term d of row `ewise`'s derivative for input i, as a tensor (broadcastable to y) or TAPE_NONE where it is 1. */
tape_tensor tape__ewise_local_derivative(int ewise, int i, const tape_tensor *x, tape_tensor y, const double *params);

/* Opens a composite op: `t` is the tape; close it with tape__leave(t, before, TAPE__OP_name, y). */
#define TAPE__BEGIN_COMPOSITE(name)                                                                                    \
    tape *t = tape__begin(name);                                                                                       \
    if (!t)                                                                                                            \
        return TAPE_NULL;                                                                                              \
    const char *before = tape__enter(t, name)

/* Sum x down to `shape`, which broadcasts to x's shape: what an adjoint goes through where an input was stretched. */
tape_tensor tape__sum_to(tape_tensor x, tape_shape shape);

#endif
