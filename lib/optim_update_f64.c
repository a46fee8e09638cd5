/* The optimisers' update formulas in f64. */
#include <math.h>
#include <string.h>

#include "kit.h"

#define ANY_WIDTHS 0
#define REAL double
#define SQRT sqrt
#define UPDATE tape__optim_update_f64
#include "optim_update.h"
