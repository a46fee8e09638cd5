/* Knows the formulas of elementwise.def as programs for a stack machine, one byte an instruction; it does not run
   them. */
#ifndef TAPE__EWISE_CODE_H
#define TAPE__EWISE_CODE_H

#include <stdint.h>

/* What an instruction pushes or does. From TAPE__CODE_OP on, it is the row TAPE__EW_... whose value replaces its inputs
   on top of the stack. */
enum {
    TAPE__CODE_END,
    TAPE__CODE_X,          /* + i: input i */
    TAPE__CODE_Y = 4,      /* the result */
    TAPE__CODE_P,          /* + i: parameter i */
    TAPE__CODE_NUMBER = 8, /* the next of the program's numbers */
    TAPE__CODE_ZERO,       /* 0 */
    TAPE__CODE_ONE,        /* 1 */
    TAPE__CODE_WHOLE,      /* the order of the next op: the next of the program's numbers */
    TAPE__CODE_ORDER,      /* the same and parameter 0 */
    TAPE__CODE_STORE,      /* pops into the local that the next byte names */
    TAPE__CODE_LOCAL,      /* + i: local i */
    TAPE__CODE_EQ = 32,    /* comparisons and what combines them: masks */
    TAPE__CODE_NE,
    TAPE__CODE_LT,
    TAPE__CODE_LE,
    TAPE__CODE_GT,
    TAPE__CODE_GE,
    TAPE__CODE_ISNAN,
    TAPE__CODE_AND,
    TAPE__CODE_OR,
    TAPE__CODE_NOT,
    TAPE__CODE_SEL, /* a mask and two others */
    TAPE__CODE_OP
};

enum {
    TAPE__CODE_LOCALS = TAPE__CODE_EQ - TAPE__CODE_LOCAL,
    TAPE__CODE_MOST = 64, /* bytes of a program */
    TAPE__CODE_DEPTH = 16 /* of the stack */
};

typedef struct tape__ewise_code {
    const uint8_t *code;
    const double *numbers;
} tape__ewise_code;

/* The value of a row (i < 0), or its derivative for input i. */
tape__ewise_code tape__ewise_code_of(int ew, int i);

#endif
