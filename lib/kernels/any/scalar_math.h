/* Knows single numbers: the vectors' mathematical functions for one f64, the same on every machine. */
#ifndef TAPE__SCALAR_MATH_H
#define TAPE__SCALAR_MATH_H

#define TAPE__ISA_GENERIC 1
#include "../vec.h"
#undef TAPE__ISA_GENERIC

#define TAPE__SCALAR(name)                                                                                             \
    __attribute__((noinline, unused)) static double scalar_##name(double x)                                            \
    {                                                                                                                  \
        return name##_f64(splat_f64(x))[0];                                                                            \
    }
TAPE__SCALAR(exp)
TAPE__SCALAR(log)
TAPE__SCALAR(sin)
TAPE__SCALAR(cos)
TAPE__SCALAR(ndtr)
#undef TAPE__SCALAR

#endif
