/* Knows the name of the instruction set that the including file is compiled for, and whether it has fused multiply-add;
   it does not know what else it can do. */
#ifndef TAPE__ISA_H
#define TAPE__ISA_H

#if defined(TAPE__ISA_AVX512)
#define TAPE__ISA avx512
#elif defined(TAPE__ISA_AVX2)
#define TAPE__ISA avx2
#elif defined(TAPE__ISA_SSE2)
#define TAPE__ISA sse2
#elif defined(TAPE__ISA_NEON)
#define TAPE__ISA neon
#elif defined(TAPE__ISA_GENERIC)
#define TAPE__ISA generic
#else
#error "a file of lib/kernels is compiled for one instruction set: define TAPE__ISA_..."
#endif

/* The class of machines whose results are bit-identical: with fused multiply-add, or without. */
#if defined(TAPE__ISA_AVX512) || defined(TAPE__ISA_AVX2) || defined(TAPE__ISA_NEON)
#define TAPE__FMA 1
#else
#define TAPE__FMA 0
#endif

/* Few processors are left that have the baseline alone: for them, small code is worth more than its speed. */
#if defined(TAPE__ISA_SSE2)
#define TAPE__COMPACT 1
#else
#define TAPE__COMPACT 0
#endif

#define TAPE__PASTE_(a, b) a##_##b
#define TAPE__PASTE(a, b) TAPE__PASTE_(a, b)

/* The symbol `name` of this instruction set: TAPE__ISA_SYM(tape__ewise) is tape__ewise_avx2. */
#define TAPE__ISA_SYM(name) TAPE__PASTE(name, TAPE__ISA)

/* Matrix products gain most by wider vectors; AVX-512 borrows the rest, to the same bits, unless all was asked for. */
#if defined(TAPE__ISA_AVX512) && !defined(TAPE__AVX512_ALL)
#define TAPE__BORROWED(name) TAPE__PASTE(name, avx2)
#else
#define TAPE__BORROWED(name) TAPE__ISA_SYM(name)
#endif

#endif
