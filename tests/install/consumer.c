#include <stdio.h>
#include <tape/ops.h>
#include <tape/tape.h>

int main(void)
{
    double three = 3, gradient = 0;
    tape_tensor x = tape_param(TAPE_F64, TAPE_SCALAR, &three);
    tape_backward(tape_mul(x, tape_exp(x)));
    tape_read(tape_gradient(x), &gradient, 1);
    printf("tape %s: %.6f\n", tape_version(), gradient); /* (1 + x) exp(x) */
    return tape_last_status() != TAPE_OK;
}
