/* What a record of attention holds. */
#ifndef TAPE__OPS_ATTENTION_H
#define TAPE__OPS_ATTENTION_H

#include "ops/ops.h"

typedef struct tape__attention_attr {
    double scale; /* 0: the default */
    int64_t causal;
} tape__attention_attr;

#endif
