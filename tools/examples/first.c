#include "tape/optim.h"
#include <stdio.h>

int main(void)
{
    const float at[] = {1, 2, 3}, in[] = {1, 2, 3, 4}, out[] = {3, 5, 7, 9};
    tape_tensor x = tape_param(TAPE_F32, TAPE_SHAPE(3), at);
    tape_backward(tape_sum(tape_mul(x, tape_square(x)), TAPE_ALL, false)); /* the sum of x^3 */
    tape_print(tape_gradient(x));                                          /* 3 x^2 */

    tape_params *line = tape_params_create();
    tape_tensor w = tape_params_new(line, "w", TAPE_F32, TAPE_SCALAR);
    tape_tensor b = tape_params_new(line, "b", TAPE_F32, TAPE_SCALAR);
    tape_optim *sgd = tape_optim_named("sgd", line, 0.05);
    for (int step = 0; step < 1000; step++) {
        tape_tensor guess = tape_add(tape_mul(tape_from(TAPE_F32, TAPE_SHAPE(4), in), w), b);
        tape_tensor error = tape_sub(guess, tape_from(TAPE_F32, TAPE_SHAPE(4), out));
        tape_backward(tape_mean(tape_square(error), TAPE_ALL, false));
        tape_optim_step(sgd);
        tape_params_zero_grad(line);
        tape_reset(); /* drops the records, keeps the memory */
    }
    printf("w = %.3f, b = %.3f, status %s\n", tape_item(w), tape_item(b), tape_status_name(tape_last_status()));
    tape_optim_destroy(sgd), tape_params_destroy(line), tape_free(x);
    return tape_last_status() == TAPE_OK ? 0 : 1;
}
