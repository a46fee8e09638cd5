/* The public parallel loop. Knows which threads a tape has, not what the loop computes. */
#include "tape.h"
#include "tape/parallel.h"

void tape_parallel_for(int64_t n, tape_body *body, void *arg)
{
    const tape *t = tape__tls; /* no tape is made for a worker's sake, which nobody would end */
    if (body)
        tape__parallel_for(t ? tape__threads_of(t) : tape__pool(), n, body, arg);
}
