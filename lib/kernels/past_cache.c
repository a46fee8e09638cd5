/* Knows the stores of x86 that go past the caches; it does not know what is stored. Other processors find out by
   themselves that a result is streamed. */
#include "isa.h"
#include "kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

void TAPE__ISA_SYM(tape__past_cache)(void *to, const void *from, size_t bytes);

#if defined(TAPE__ISA_AVX512)
typedef __m512i line;
#define LOAD(x) _mm512_loadu_si512(x)
#define STORE(y, v) _mm512_stream_si512(y, v)
#elif defined(TAPE__ISA_AVX2)
typedef __m256i line;
#define LOAD(x) _mm256_loadu_si256((const line *)(x))
#define STORE(y, v) _mm256_stream_si256((line *)(y), v)
#else
typedef __m128i line;
#define LOAD(x) _mm_loadu_si128((const line *)(x))
#define STORE(y, v) _mm_stream_si128((line *)(y), v)
#endif

void TAPE__ISA_SYM(tape__past_cache)(void *to, const void *from, size_t bytes)
{
    const char *x = from;
    char *y = to;
    for (size_t i = 0; i < bytes; i += TAPE__UNIT_BYTES)
        for (size_t k = i; k < i + TAPE__UNIT_BYTES; k += sizeof(line))
            STORE((void *)(y + k), LOAD((const void *)(x + k)));
    if (bytes == 0)
        _mm_sfence();
}
#endif
