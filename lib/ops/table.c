/* The table as an array: every row of ops.def with its kernels, formulas and functions. */
#include "ops.h"

#define ELEMENTWISE(name, n) .arity = n, .ewise = TAPE__EW_##name, .vjp = tape__ewise_vjp
#define PLAIN .ewise = -1
#define MASK(name) .ewise = TAPE__MASK_ROW(TAPE__EWM_##name)

#define COLUMNS_UNARY(name) ELEMENTWISE(name, 1)
#define COLUMNS_UNARY1(name) ELEMENTWISE(name, 1)
#define COLUMNS_UNARY2(name) ELEMENTWISE(name, 1)
#define COLUMNS_UNARY3(name) ELEMENTWISE(name, 1)
#define COLUMNS_UNARY_INTERNAL(name) ELEMENTWISE(name, 1)
#define COLUMNS_BINARY(name) ELEMENTWISE(name, 2)
#define COLUMNS_BINARY1(name) ELEMENTWISE(name, 2)
#define COLUMNS_BINARY_INTERNAL(name) ELEMENTWISE(name, 2)
#define COLUMNS_BINARY1_INTERNAL(name) ELEMENTWISE(name, 2)
#define COLUMNS_TERNARY(name) ELEMENTWISE(name, 3)
#define COLUMNS_TERNARY1(name) ELEMENTWISE(name, 3)
#define COLUMNS_TERNARY1_INTERNAL(name) ELEMENTWISE(name, 3)
#define COLUMNS_WHERE(name) ELEMENTWISE(name, 3)
#define COLUMNS_COMPARE(name) MASK(name), .arity = 2
#define COLUMNS_LOGIC(name) MASK(name), .arity = 2
#define COLUMNS_TEST(name) MASK(name), .arity = 1
#define COLUMNS_COMPOSITE(name) PLAIN
#define COLUMNS_NOVJP(name) PLAIN, .forward = tape__##name##_forward
#define COLUMNS_GENERAL(name) PLAIN, .forward = tape__##name##_forward, .vjp = tape__##name##_vjp
#define COLUMNS_FUSED(name) COLUMNS_GENERAL(name), .fused = tape__##name##_fused

#define FAMILY(name) #name,
const char *const tape__family_names[TAPE__FAMILY_COUNT] = {TAPE__FAMILIES(FAMILY)};
#undef FAMILY

const tape__op tape__ops[TAPE__OP_COUNT] = {
    [TAPE__OP_NONE] = {.name = "constant", .ewise = -1},
    [TAPE__OP_LEAF] = {.name = "leaf", .ewise = -1},
    [TAPE__OP_OUTPUT] = {.name = "output", .ewise = -1},
#define TAPE__ROW(row_kind, row_name, row_family, row_level, row_flags, low, high)                                     \
    [TAPE__OP_##row_name] = {.name = #row_name,                                                                        \
                             .family = TAPE__FAMILY_##row_family,                                                      \
                             .level = row_level,                                                                       \
                             .kind = TAPE__KIND_##row_kind,                                                            \
                             .flags = (row_flags),                                                                     \
                             COLUMNS_##row_kind(row_name)},
#include "ops.def"
#undef TAPE__ROW
    [TAPE__OP_CUSTOM] = {.name = "custom", .ewise = -1, .vjp = tape__custom_vjp},
};
