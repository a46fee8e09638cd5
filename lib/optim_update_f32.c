/* The optimisers' update formulas in f32. */
#include <math.h>
#include <string.h>

#include "kit.h"

#define ANY_WIDTHS 1
#define REAL float
#define SQRT sqrtf
#define UPDATE tape__optim_update_f32
#include "optim_update.h"
