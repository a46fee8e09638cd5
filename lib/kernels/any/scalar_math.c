/* Knows how a vector's function serves one number. */
#define TAPE__ISA_GENERIC 1
#include "scalar_math.h"

#include "../vec.h"

#define TAPE__SCALAR(name)                                                                                             \
    double tape__scalar_##name(double x)                                                                               \
    {                                                                                                                  \
        return name##_f64(splat_f64(x))[0];                                                                            \
    }
TAPE__SCALAR(exp)
TAPE__SCALAR(log)
TAPE__SCALAR(sin)
TAPE__SCALAR(cos)
TAPE__SCALAR(ndtr)
