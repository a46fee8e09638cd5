/* Knows which tables one instruction set brings together; it does not know their contents. */
#include "isa.h"
#include "kernels.h"

#define TEXT_(s) #s
#define TEXT(s) TEXT_(s)

extern const struct tape__ewise_kernels TAPE__ISA_SYM(tape__ewise);
extern const struct tape__gemm_kernels TAPE__ISA_SYM(tape__gemm);
extern const struct tape__reduce_kernels TAPE__ISA_SYM(tape__reduce);
extern const struct tape__softmax_kernels TAPE__ISA_SYM(tape__softmax);
extern const struct tape__norm_kernels TAPE__ISA_SYM(tape__norm);
extern tape__past_cache_fn TAPE__ISA_SYM(tape__past_cache);
extern const struct tape__cell_kernels TAPE__ISA_SYM(tape__cell);

const struct tape__kernels TAPE__ISA_SYM(tape__kernels) = {
    .isa = TEXT(TAPE__ISA),
#if defined(TAPE__ISA_AVX2) || defined(TAPE__ISA_AVX512)
    .fma = true,
#else
    .fma = false,
#endif
    .ewise = &TAPE__ISA_SYM(tape__ewise),
    .gemm = &TAPE__ISA_SYM(tape__gemm),
    .reduce = &TAPE__ISA_SYM(tape__reduce),
    .softmax = &TAPE__ISA_SYM(tape__softmax),
    .norm = &TAPE__ISA_SYM(tape__norm),
    .past_cache = TAPE__ISA_SYM(tape__past_cache),
    .cell = &TAPE__ISA_SYM(tape__cell),
};
