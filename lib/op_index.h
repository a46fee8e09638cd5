/* The numbers of the ops: the enum that the table expands to, and nothing that needs another header. */
#ifndef TAPE__OP_INDEX_H
#define TAPE__OP_INDEX_H

enum tape__op_index {
    TAPE__OP_NONE,   /* a constant: no record */
    TAPE__OP_LEAF,   /* stands for a leaf */
    TAPE__OP_OUTPUT, /* output 1, 2, ... of the record before it */
#define TAPE__ROW(kind, name, family, level, flags, low, high) TAPE__OP_##name,
#include "ops/ops.def"
#undef TAPE__ROW
    TAPE__OP_CUSTOM, /* a user's op; its descriptor hangs on the record */
    TAPE__OP_COUNT
};

#endif
