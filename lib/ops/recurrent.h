/* The record of a recurrent layer. */
#ifndef TAPE__OPS_RECURRENT_H
#define TAPE__OPS_RECURRENT_H

#include "ops.h"

/* The inputs are x, h, for an LSTM c, the weights and the biases that there are. */
typedef struct tape__recurrent_attr {
    int32_t lstm;                 /* or GRU */
    int32_t sequence;             /* x has an axis of steps */
    int32_t bias_in, bias_hidden; /* whether there are these */
    int32_t from_y, from_cells;   /* of recurrent_backward alone: whose cotangents there are */
} tape__recurrent_attr;

#endif
