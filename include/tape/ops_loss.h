/* The loss ops. The rules common to all ops are in tape/ops.h. */
#ifndef TAPE_OPS_LOSS_H
#define TAPE_OPS_LOSS_H

#include "tape/types.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __cplusplus
}
#endif
#endif
