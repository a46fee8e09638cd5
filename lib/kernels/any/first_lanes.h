/* Knows the masks of a unit's first lanes, which are the same for all instruction sets. */
#ifndef TAPE__FIRST_LANES_H
#define TAPE__FIRST_LANES_H

#include <stdint.h>

/* All bits set as often as a unit has lanes, then none as often: from element (lanes - n) on, the mask of the first n.
 */
extern const int32_t tape__first_lanes_f32[32];
extern const int64_t tape__first_lanes_f64[16];

#endif
