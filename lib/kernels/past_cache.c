/* Knows how whole units are copied past the caches; it does not know what they hold. */
#include "unit.h"

#ifdef STREAM
void TAPE__ISA_SYM(tape__past_cache)(void *to, const void *from, size_t bytes);

void TAPE__ISA_SYM(tape__past_cache)(void *to, const void *from, size_t bytes)
{
    const size_t n = bytes / sizeof(float);
    for (size_t i = 0; i < n; i += WIDTH_f32)
        unit_stream_f32((float *)to + i, unit_load_f32((const float *)from + i));
    end_giving(n > 0 ? STORE : PAST_CACHE);
}
#endif
