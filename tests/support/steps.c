/* A step that a loop repeats, and what its sweep gave. */
#include "steps.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"
#include "tape/replay.h"

tape_tensor steps_leaf[4];

void gains_take(struct gains *g, const tape_tensor *leaves, int n)
{
    for (int i = 0; i < n && g->status == TAPE_OK; i++) {
        tape_tensor gradient = tape_gradient(leaves[i]);
        double *values = tape_is_none(gradient) ? NULL : doubles_of(gradient);
        const int64_t size = values ? tape_numel(gradient) : 0;
        ck_assert_int_le(g->n + size, GAINS_MOST);
        if (size)
            memcpy(g->value + g->n, values, (size_t)size * sizeof *values);
        g->n += size;
        free(values);
        tape_zero_grad(leaves[i]);
    }
}

void gains_go_back(struct gains *g, tape_tensor loss)
{
    g->n = 0;
    g->value[g->n++] = tape_is_null(loss) ? 0 : tape_peek(loss);
    g->status = tape_backward(loss);
}

bool gains_same(const struct gains *a, const struct gains *b)
{
    return a->status == b->status && a->n == b->n && memcmp(a->value, b->value, (size_t)a->n * sizeof *a->value) == 0;
}

void spoil_memory(void)
{
    tape_full(TAPE_F64, TAPE_SHAPE(GAINS_MOST), NAN);
    tape_reset();
}

void steps_make_leaves(void)
{
    float value[16];
    const int64_t classes[4] = {2, 0, 3, 1};
    for (int k = 0; k < 3; k++) {
        for (int i = 0; i < 16; i++)
            value[i] = 0.5f + 0.25f * (float)((i * 7 + k * 5) % 11);
        steps_leaf[k] = tape_param(TAPE_F32, k < 2 ? TAPE_SHAPE(4, 4) : TAPE_SHAPE(4), value);
    }
    steps_leaf[3] = tape_const(TAPE_I64, TAPE_SHAPE(4), classes);
}

void steps_free_leaves(void)
{
    for (int k = 0; k < 4; k++)
        tape_free(steps_leaf[k]);
    settle();
}

void step(struct gains *g, tape_tensor (*program)(void))
{
    spoil_memory();
    gains_go_back(g, program());
    gains_take(g, steps_leaf, 3);
    tape_clear();
    tape_reset();
}

void step_on_a_new_tape(struct gains *g, tape_tensor (*program)(void))
{
    tape *fresh = tape_create(NULL), *own = tape_make_current(fresh);
    step(g, program);
    tape_make_current(own);
    tape_destroy(fresh);
}

void warm_up(tape_tensor (*program)(void))
{
    static struct gains ignored;
    int64_t before = tape_stats().repeated_sweeps;
    for (int n = 0; n < WARM; n++)
        step(&ignored, program);
    ck_assert_int_gt(tape_stats().repeated_sweeps, before);
}
