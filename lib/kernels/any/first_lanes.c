/* The masks of a unit's first lanes. */
#include "first_lanes.h"

const int32_t tape__first_lanes_f32[32] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
const int64_t tape__first_lanes_f64[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
