/* Knows how a recurrent layer is made of matrix products and cells: all that x gives in one product, then step by step
   what the state adds. The arithmetic is the kernels'. */
#include "kernels/any/recurrent.h"

#include "kernels/cell.h"

/* Columns of the gates that rows of the hidden weights go to. */
struct part {
    int64_t column, row, count;
    bool starts; /* x gives nothing there */
};

static int parts_of(const tape__recurrent *r, struct part *part)
{
    const int64_t n = r->hidden;
    part[0] = r->lstm ? (struct part){0, 0, 4 * n, false} : (struct part){0, 2 * n, n, true};
    part[1] = (struct part){n, 0, 2 * n, false};
    return r->lstm ? 1 : 2;
}

static size_t round_up(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

/* Element i of what may be written or not. */
static void *at(const tape__recurrent *r, const void *data, int64_t i)
{
    return (char *)(uintptr_t)data + i * (int64_t)tape_dtype_size(r->dtype);
}

/* ---- workspace: bias, hidden weights packed for all steps, memory of the products ---------------------------------
 */

static size_t bias_bytes(const tape__recurrent *r)
{
    return r->b_in.data || r->b_hidden.data ? round_up((size_t)(4 * r->hidden) * tape_dtype_size(r->dtype)) : 0;
}

static int64_t hidden_rows(const tape__recurrent *r)
{
    return (r->lstm ? 4 : 3) * r->hidden;
}

/* Enough for either direction. */
static size_t packed_bytes(const tape__recurrent *r)
{
    return r->steps > 1 ? round_up((size_t)(hidden_rows(r) * r->hidden) * tape_dtype_size(r->dtype)) : 0;
}

/* ---- the products ------------------------------------------------------------------------------------------------ */

static tape__gemm product_of_x(const tape__recurrent *r, const void *bias)
{
    const int64_t first = r->lstm ? 0 : r->hidden, n = hidden_rows(r);
    return (tape__gemm){.dtype = r->dtype,
                        .m = r->steps * r->batch,
                        .n = n,
                        .k = r->in,
                        .batch = {1, 1},
                        .a = {r->x, r->in, 1, {0, 0}},
                        .b = {r->w_in.data, r->w_in.col, r->w_in.row, {0, 0}},
                        .c = {at(r, r->gates, first), 4 * r->hidden, 1, {0, 0}},
                        .bias = bias ? at(r, bias, first) : NULL,
                        .bias_stride = 1};
}

/* What the state adds to the gates of one step; A and C are to be set. */
static tape__gemm product_of_h(const tape__recurrent *r, const struct part *part, const void *bias)
{
    const tape__recurrent_weight *w = &r->w_hidden;
    tape__gemm g = {.dtype = r->dtype,
                    .accumulate = !part->starts,
                    .m = r->batch,
                    .n = part->count,
                    .k = r->hidden,
                    .batch = {1, 1},
                    .a = {NULL, r->hidden, 1, {0, 0}},
                    .b = {at(r, w->data, part->row * w->row), w->col, w->row, {0, 0}},
                    .c = {NULL, 4 * r->hidden, 1, {0, 0}}};
    if (part->starts && bias)
        g.bias = at(r, bias, part->column), g.bias_stride = 1;
    return g;
}

/* What the cotangent of the gates of one step adds to that of the state before; A and C are to be set. */
static tape__gemm product_of_g(const tape__recurrent *r, const struct part *part)
{
    const tape__recurrent_weight *w = &r->w_hidden;
    return (tape__gemm){.dtype = r->dtype,
                        .accumulate = !r->lstm,
                        .m = r->batch,
                        .n = r->hidden,
                        .k = part->count,
                        .batch = {1, 1},
                        .a = {NULL, 4 * r->hidden, 1, {0, 0}},
                        .b = {at(r, w->data, part->row * w->row), w->row, w->col, {0, 0}},
                        .c = {NULL, r->hidden, 1, {0, 0}}};
}

/* Packs the weights that all steps of a product share. */
static void prepare(const struct tape__kernels *kernels, const tape__recurrent *r, tape__gemm *g, char **packed)
{
    const size_t bytes = r->steps > 1 ? tape__gemm_prepared(g) : 0;
    if (bytes == 0)
        return;
    tape__gemm_prepare(kernels->gemm, g, *packed);
    g->b.data = *packed;
    g->b_ready = true;
    *packed += bytes;
}

static void widen(size_t *bytes, const struct tape__kernels *kernels, const tape__gemm *g,
                  const struct tape__parallel *p)
{
    size_t needs = tape__gemm_workspace(kernels->gemm, g, p);
    *bytes = needs > *bytes ? needs : *bytes;
}

size_t tape__recurrent_workspace(const struct tape__kernels *kernels, const tape__recurrent *r,
                                 const struct tape__parallel *p)
{
    struct part part[2];
    size_t bytes = 0;
    tape__gemm g[3] = {product_of_x(r, NULL)};
    for (int i = parts_of(r, part) - 1; i >= 0; i--) {
        g[1] = product_of_h(r, &part[i], NULL);
        g[2] = product_of_g(r, &part[i]);
        for (int k = 0; k < 3; k++) {
            g[k].b_ready = k && r->steps > 1 && tape__gemm_prepared(&g[k]);
            widen(&bytes, kernels, &g[k], p);
        }
    }
    return bias_bytes(r) + packed_bytes(r) + bytes;
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

static double element(const tape__recurrent *r, const tape__recurrent_weight *b, int64_t i)
{
    if (!b->data)
        return 0;
    return r->dtype == TAPE_F64 ? ((const double *)b->data)[i * b->col] : ((const float *)b->data)[i * b->col];
}

/* Both biases, in the order of the gates. */
static const void *add_biases(const tape__recurrent *r, void *to)
{
    const int64_t n = r->hidden;
    if (bias_bytes(r) == 0)
        return NULL;
    for (int64_t i = 0; i < 4 * n; i++) {
        const bool from_x = r->lstm || i >= n, from_h = r->lstm || i < 3 * n;
        const double b_in = from_x ? element(r, &r->b_in, r->lstm ? i : i - n) : 0;
        const double b_hidden = from_h ? element(r, &r->b_hidden, r->lstm ? i : i < n ? i + 2 * n : i - n) : 0;
        if (r->dtype == TAPE_F64)
            ((double *)to)[i] = b_in + b_hidden;
        else
            ((float *)to)[i] = (float)(b_in + b_hidden);
    }
    return to;
}

void tape__recurrent_run(const struct tape__kernels *kernels, const tape__recurrent *r, void *workspace,
                         const struct tape__parallel *p)
{
    char *packed = (char *)workspace + bias_bytes(r);
    void *rest = packed + packed_bytes(r);
    const void *bias = add_biases(r, workspace);
    const int64_t states = r->batch * r->hidden;
    struct part part[2];
    const int parts = parts_of(r, part);
    tape__gemm g = product_of_x(r, bias), of_h[2];
    tape__gemm_run(kernels->gemm, &g, rest, p);
    for (int i = 0; i < parts; i++) {
        of_h[i] = product_of_h(r, &part[i], bias);
        prepare(kernels, r, &of_h[i], &packed);
    }
    for (int64_t t = 0; t < r->steps; t++) {
        const void *h = t ? at(r, r->y, (t - 1) * states) : r->h, *c = t ? at(r, r->cells, (t - 1) * states) : r->c;
        void *gates = at(r, r->gates, t * 4 * states);
        for (int i = 0; i < parts; i++) {
            of_h[i].a.data = h;
            of_h[i].c.data = at(r, gates, part[i].column);
            tape__gemm_run(kernels->gemm, &of_h[i], rest, p);
        }
        const tape__cell_step step = {.rows = r->batch,
                                      .n = r->hidden,
                                      .gates = gates,
                                      .before = r->lstm ? c : h,
                                      .c = r->lstm ? at(r, r->cells, t * states) : NULL,
                                      .h = at(r, r->y, t * states)};
        tape__cell_forward(kernels->cell, r->lstm, r->dtype, p, &step);
    }
}

/* ---- backward ---------------------------------------------------------------------------------------------------- */

static tape__cell_back step_back(const tape__recurrent *r, const tape__recurrent_back *back, int64_t t)
{
    const int64_t states = r->batch * r->hidden;
    const bool last = t == r->steps - 1;
    const void *state = r->lstm ? r->cells : r->y;
    return (tape__cell_back){
        .rows = r->batch,
        .n = r->hidden,
        .gates = at(r, r->gates, t * 4 * states),
        .before = t         ? at(r, state, (t - 1) * states)
                  : r->lstm ? r->c
                            : r->h,
        .c = r->lstm ? at(r, r->cells, t * states) : NULL,
        .gh = {back->gy ? at(r, back->gy, t * states) : NULL, last ? NULL : back->gh},
        .gc = {back->gc ? at(r, back->gc, t * states) : NULL, last ? NULL : back->gc0},
        .g_gates = at(r, back->g_gates, t * 4 * states),
        .g_before = r->lstm ? back->gc0 : back->gh,
    };
}

void tape__recurrent_return(const struct tape__kernels *kernels, const tape__recurrent *r,
                            const tape__recurrent_back *back, void *workspace, const struct tape__parallel *p)
{
    char *packed = (char *)workspace + bias_bytes(r);
    void *rest = packed + packed_bytes(r);
    struct part part[2];
    const int parts = parts_of(r, part);
    tape__gemm of_g[2];
    for (int i = 0; i < parts; i++) {
        of_g[i] = product_of_g(r, &part[i]);
        of_g[i].c.data = back->gh;
        prepare(kernels, r, &of_g[i], &packed);
    }
    for (int64_t t = r->steps - 1; t >= 0; t--) {
        const tape__cell_back step = step_back(r, back, t);
        tape__cell_backward(kernels->cell, r->lstm, r->dtype, p, &step);
        for (int i = 0; i < parts; i++) {
            of_g[i].a.data = at(r, step.g_gates, part[i].column);
            tape__gemm_run(kernels->gemm, &of_g[i], rest, p);
        }
    }
}
