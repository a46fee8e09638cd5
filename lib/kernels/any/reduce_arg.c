/* Knows where the first maximum or minimum along an axis is; it does not know how a run is searched. */
#include "base.h"
#include "reduce_driver.h"
#include "reduce_walk.h"

struct arg_job {
    const struct tape__reduce_kernel *kernel;
    bool minimum;
    int64_t outer, n, inner, per_item, size;
    const char *x;
    int64_t *y;
};

/* Where in a run, or in a column. */
static int64_t position(const struct arg_job *j, const char *x)
{
    if (j->inner == 1) {
        double value = j->kernel->run(j->minimum ? REDUCER_min : REDUCER_max, j->n, x, 0);
        return j->kernel->find(x, j->n, value);
    }
    int64_t best = 0;
    double held = get(j->size, x);
    for (int64_t k = 1; k < j->n; k++) {
        double value = get(j->size, x + k * j->inner * j->size);
        if (held == held && (value != value || (j->minimum ? value < held : value > held)))
            best = k, held = value;
    }
    return best;
}

static void arg_item(void *arg, int64_t item)
{
    const struct arg_job *j = arg;
    int64_t end = tape__min(j->outer * j->inner, (item + 1) * j->per_item);
    for (int64_t i = item * j->per_item; i < end; i++)
        j->y[i] = position(j, j->x + (i / j->inner * j->n * j->inner + i % j->inner) * j->size);
}

void tape__arg_by(const struct tape__reduce_kernel *k, const struct tape__parallel *p, bool minimum, int64_t outer,
                  int64_t n, int64_t inner, const void *x, int64_t *y)
{
    struct arg_job j = {k,
                        minimum,
                        outer,
                        n,
                        inner,
                        n < TAPE__REDUCE_ITEM ? TAPE__REDUCE_ITEM / n : 1,
                        (int64_t)tape_dtype_size(k->dtype),
                        x,
                        y};
    if (outer * inner > 0)
        tape__parallel_for(p, pieces(outer * inner, j.per_item), arg_item, &j);
}
