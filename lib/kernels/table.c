/* Knows which tables one instruction set brings together; it does not know their contents. */
#include "isa.h"
#include "kernels.h"

#define TEXT_(s) #s
#define TEXT(s) TEXT_(s)

/* Matrix products gain most by wider vectors; AVX-512 borrows the rest, to the same bits, unless all was asked for. */
#if defined(TAPE__ISA_AVX512) && !defined(TAPE__AVX512_ALL)
#define OTHER_SYM(name) name##_avx2
#else
#define OTHER_SYM(name) TAPE__ISA_SYM(name)
#endif

extern const struct tape__ewise_kernels OTHER_SYM(tape__ewise);
extern const struct tape__gemm_kernels TAPE__ISA_SYM(tape__gemm);
extern const struct tape__reduce_kernels OTHER_SYM(tape__reduce);
extern const struct tape__softmax_kernels OTHER_SYM(tape__softmax);
extern const struct tape__norm_kernels OTHER_SYM(tape__norm);
#if defined(__x86_64__)
extern tape__past_cache_fn OTHER_SYM(tape__past_cache);
#define PAST_CACHE OTHER_SYM(tape__past_cache)
#else
#define PAST_CACHE NULL
#endif
extern const struct tape__cell_kernels OTHER_SYM(tape__cell);

const struct tape__kernels TAPE__ISA_SYM(tape__kernels) = {
    .isa = TEXT(TAPE__ISA),
    .fma = TAPE__FMA,
    .ewise = &OTHER_SYM(tape__ewise),
    .gemm = &TAPE__ISA_SYM(tape__gemm),
    .reduce = &OTHER_SYM(tape__reduce),
    .softmax = &OTHER_SYM(tape__softmax),
    .norm = &OTHER_SYM(tape__norm),
    .past_cache = PAST_CACHE,
    .cell = &OTHER_SYM(tape__cell),
};
