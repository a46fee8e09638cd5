/* Knows which tables one instruction set brings together; it does not know their contents. */
#include "isa.h"
#include "kernels.h"

#define TEXT_(s) #s
#define TEXT(s) TEXT_(s)

extern const struct tape__ewise_kernels TAPE__BORROWED(tape__ewise);
extern const struct tape__gemm_kernels TAPE__ISA_SYM(tape__gemm);
extern const struct tape__reduce_kernels TAPE__BORROWED(tape__reduce);
extern const struct tape__softmax_kernels TAPE__BORROWED(tape__softmax);
extern const struct tape__norm_kernels TAPE__BORROWED(tape__norm);
#if defined(__x86_64__)
extern tape__past_cache_fn TAPE__BORROWED(tape__past_cache);
#define PAST_CACHE TAPE__BORROWED(tape__past_cache)
#else
#define PAST_CACHE NULL
#endif
extern const struct tape__cell_kernels TAPE__BORROWED(tape__cell);

const struct tape__kernels TAPE__ISA_SYM(tape__kernels) = {
    .isa = TEXT(TAPE__ISA),
    .fma = TAPE__FMA,
    .ewise = &TAPE__BORROWED(tape__ewise),
    .gemm = &TAPE__ISA_SYM(tape__gemm),
    .reduce = &TAPE__BORROWED(tape__reduce),
    .softmax = &TAPE__BORROWED(tape__softmax),
    .norm = &TAPE__BORROWED(tape__norm),
    .past_cache = PAST_CACHE,
    .cell = &TAPE__BORROWED(tape__cell),
};
