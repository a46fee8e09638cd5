/* A step that a loop repeats, and what its sweep gave: for tests of what a tape remembers. */
#ifndef TAPE_TESTS_STEPS_H
#define TAPE_TESTS_STEPS_H

#include "tape/ops.h"
#include "tape/tape.h"

enum { WARM = 8 }; /* steps after which all repeats that can */
enum { GAINS_MOST = 1 << 16 };

/* The loss, and what a sweep gave to the leaves, one after the other. */
struct gains {
    tape_status status;
    int64_t n; /* doubles */
    double value[GAINS_MOST];
};

/* Goes back from the loss; then takes the gradients of n leaves, and clears them. */
void gains_go_back(struct gains *g, tape_tensor loss);
void gains_take(struct gains *g, const tape_tensor *leaves, int n);

/* To the bit. */
bool gains_same(const struct gains *a, const struct gains *b);

/* The leaves a [4, 4], b [4, 4] and c [4], of f32, and 4 classes. */
extern tape_tensor steps_leaf[4];
void steps_make_leaves(void);
void steps_free_leaves(void);

/* What lies where a step put its values and adjoints is of no use to the next. */
void spoil_memory(void);

/* One step, on spoilt memory; the tape is reset. */
void step(struct gains *g, tape_tensor (*program)(void));
void step_on_a_new_tape(struct gains *g, tape_tensor (*program)(void));

/* Steps until the last was a repeat. */
void warm_up(tape_tensor (*program)(void));

#define TOTAL(x) tape_sum(x, TAPE_ALL, false)

#endif
