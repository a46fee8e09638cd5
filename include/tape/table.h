/*
 * The table of ops, for programs that list or choose ops: every row of it with what the library knows of the op.
 *
 * Any thread may ask at any time; nothing here touches a tape.
 */
#ifndef TAPE_TABLE_H
#define TAPE_TABLE_H

#include "tape/types.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TAPE_ARITY_ANY (-1)

typedef struct tape_op_info {
    const char *name;   /* "tanh": its function is tape_tanh(); messages of errors begin with it */
    const char *family; /* "unary", "reduction", ... */
    int level;          /* 1: what everybody needs; 2: common; 3: special */
    int arity;          /* tensors that it takes, optional ones included; TAPE_ARITY_ANY: an array of them */
    bool internal;      /* has no public function: what other ops are made of */
    bool first_order;   /* reverse mode */
    bool second_order;  /* ... whose result can be differentiated again, as often as wished */
    bool forward_mode;  /* tangents */
} tape_op_info;

/* The number of rows, and row i of them; a row out of range has no name (NULL). Strings are the library's. */
TAPE_API int tape_op_count(void);
TAPE_API tape_op_info tape_op_at(int i);

#ifdef __cplusplus
}
#endif
#endif
