/* The smallest use of tape, for its start-up time and resident memory: one gradient, then the end. */
#include <stdlib.h>

#include "tape/tape.h"

int main(void)
{
    const float three = 3;
    tape_tensor x = tape_param(TAPE_F32, TAPE_SHAPE(1), &three);
    tape_backward(tape_square(x));
    return tape_item(tape_gradient(x)) == 6 ? EXIT_SUCCESS : EXIT_FAILURE;
}
