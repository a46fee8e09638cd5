#include <stdint.h>
#include <stdio.h>
#include <tape/ops.h>
#include <tape/tape.h>
#include <tape/trace.h>

/* Whether the search for NaN finds out that it was this program which recorded one, where it can find out at all. */
static int blames_us(void)
{
    double zero = 0;
    tape_trace_nonfinite(TAPE_TRACE_REPORT);
    tape_log(tape_param(TAPE_F64, TAPE_SCALAR, &zero));
    const tape_nonfinite *r = tape_nonfinite_found();
    tape_trace_nonfinite(TAPE_TRACE_OFF);
    return r && (!r->caller || (uintptr_t)r->caller - (uintptr_t)blames_us < 4096);
}

int main(void)
{
    if (!blames_us())
        puts("not blamed");
    double three = 3, gradient = 0;
    tape_tensor x = tape_param(TAPE_F64, TAPE_SCALAR, &three);
    tape_backward(tape_mul(x, tape_exp(x)));
    tape_read(tape_gradient(x), &gradient, 1);
    printf("tape %s: %.6f\n", tape_version(), gradient); /* (1 + x) exp(x) */
    return tape_last_status() != TAPE_OK;
}
