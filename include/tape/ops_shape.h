/* The shape ops. The rules common to all ops are in tape/ops.h. */
#ifndef TAPE_OPS_SHAPE_H
#define TAPE_OPS_SHAPE_H

#include "tape/types.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __cplusplus
}
#endif
#endif
