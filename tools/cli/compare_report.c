/* The report of a comparison. Knows no measurement. */
#include <math.h>
#include <stdio.h>

#include "compare.h"
#include "page.h"
#include "svg.h"

#define STRIDE(row) ((int64_t)(sizeof(row) / sizeof(double)))

/* The tape has one colour throughout, and so have the others. */
#define TAPE_COLOUR "a"

static void add_head(text *t, const comparison *c, const char *command)
{
    const compare_steps *f64 = &c->steps[0];
    const compare_size *wide = &c->inputs.row[c->inputs.count - 1];
    const compare_depth *deep = &c->swell[1].row[c->swell[1].count - 1];
    text_add(t,
             "<h1>Symbolic, numeric or automatic?</h1><p>Three ways to a derivative, measured on this machine with "
             "tape %s on %s.</p><div class=tiles>",
             tape_version(), tape_isa());
    page_add_tile(t, "least error of central differences", "%.0e",
                  f64->error[NUMERIC_CENTRAL][f64->best[NUMERIC_CENTRAL]]);
    page_add_tile(t, "error of the tape", "%.0e", f64->tape[0]);
    char name[80];
    snprintf(name, sizeof name, "evaluations for %.0f derivatives, central", wide->n);
    page_add_tile(t, name, "%.0f", wide->central_evaluations);
    page_add_tile(t, "... by the tape, in evaluations' time", "%.1f", wide->tape_ratio);
    snprintf(name, sizeof name, "nodes of a derivative at depth %.0f", deep->depth);
    page_add_tile(t, name, "%.1g", deep->tree_nodes);
    page_add_tile(t, "records of the tape there", "%.0f", deep->records);
    text_add(t, "</div><p>Command: <code>");
    text_add_escaped(t, command);
    text_add(t, "</code></p>\n");
}

/* ---- error against step size ------------------------------------------------------------------------------------- */

static void add_step_chart(text *t, const compare_steps *s)
{
    char title[64];
    snprintf(title, sizeof title, "Relative error, %s", tape_dtype_name(s->dtype));
    const svg_curve curves[] = {{"forward", "c", s->error[NUMERIC_FORWARD], 1},
                                {"central", "b", s->error[NUMERIC_CENTRAL], 1},
                                {"Ridders", "d", s->error[NUMERIC_RIDDERS], 1},
                                {"tape", TAPE_COLOUR, s->tape, 1}};
    svg_chart_add(t, &(svg_chart){.title = title,
                                  .x_label = "step h",
                                  .unit = "",
                                  .count = s->count,
                                  .curves = 4,
                                  .curve = curves,
                                  .scale = 1,
                                  .logarithmic = true,
                                  .x = s->step,
                                  .x_stride = 1,
                                  .logarithmic_x = true,
                                  .dots = true});
}

static void add_steps(text *t, const comparison *c)
{
    text_add(t, "<h2>Error against step size</h2><p>The derivative of ");
    text_add_escaped(t, compare_function);
    text_add(t,
             ", the worst of eight points between 1 and 1.5 against its closed form. A large step errs by the "
             "function's curvature, a small one by rounding, so a difference has a best step and an error there that "
             "no step can mend: about the square root of the spacing of numbers for forward differences, its power "
             "2/3 for central ones. Ridders' method extrapolates ten central differences from the step on. The tape "
             "has no step.</p><div class=pair>");
    for (int i = 0; i < COMPARE_DTYPES; i++)
        add_step_chart(t, &c->steps[i]);
    text_add(t, "</div><table><tr><th>method<th>dtype<th>best step<th>error there</tr>");
    for (int i = 0; i < COMPARE_DTYPES; i++) {
        const compare_steps *s = &c->steps[i];
        for (int m = 0; m < NUMERIC_METHODS; m++)
            text_add(t, "<tr><td>%s<td>%s<td>%.1e<td>%.1e</tr>", compare_methods[m], tape_dtype_name(s->dtype),
                     s->step[s->best[m]], s->error[m][s->best[m]]);
        text_add(t, "<tr><td>tape<td>%s<td>none<td>%.1e</tr>", tape_dtype_name(s->dtype), s->tape[0]);
    }
    text_add(t, "</table>\n");
}

/* ---- cost against inputs ----------------------------------------------------------------------------------------- */

static void add_input_chart(text *t, const compare_inputs *in, const char *title, int curves, const svg_curve *curve)
{
    svg_chart_add(t, &(svg_chart){.title = title,
                                  .x_label = "number of inputs n",
                                  .unit = "",
                                  .count = in->count,
                                  .curves = curves,
                                  .curve = curve,
                                  .scale = 1,
                                  .logarithmic = true,
                                  .x = &in->row[0].n,
                                  .x_stride = STRIDE(in->row[0]),
                                  .logarithmic_x = true,
                                  .dots = true});
}

static void add_inputs(text *t, const comparison *c)
{
    const compare_inputs *in = &c->inputs;
    const compare_size *r = in->row;
    const int64_t stride = STRIDE(*r);
    const svg_curve cost[] = {{"central", "b", &r->central_ratio, stride},
                              {"forward", "c", &r->forward_ratio, stride},
                              {"tape", TAPE_COLOUR, &r->tape_ratio, stride}};
    const svg_curve error[] = {{"forward", "c", &r->forward_error, stride},
                               {"central", "b", &r->central_error, stride},
                               {"tape", TAPE_COLOUR, &r->tape_error, stride}};
    text_add(t,
             "<h2>Cost against the number of inputs</h2><p>The gradient of Rosenbrock's function of n numbers in f64. "
             "Differences evaluate the function n + 1 or 2n times; one sweep of the tape gives all n derivatives "
             "for a few evaluations, however many there are.</p><div class=pair>");
    add_input_chart(t, in, "Cost of the gradient, in evaluations", 3, cost);
    add_input_chart(t, in, "Relative error of the gradient", 3, error);
    text_add(t, "</div><table><tr><th>n<th>function, µs<th>tape, µs<th>central, µs<th>forward, µs<th>tape, times f"
                "<th>central, times f<th>forward, times f</tr>");
    for (int64_t i = 0; i < in->count; i++)
        text_add(t, "<tr><td>%.0f<td>%.2f<td>%.2f<td>%.2f<td>%.2f<td>%.1f<td>%.1f<td>%.1f</tr>", r[i].n,
                 1e6 * r[i].function, 1e6 * r[i].tape, 1e6 * r[i].central, 1e6 * r[i].forward, r[i].tape_ratio,
                 r[i].central_ratio, r[i].forward_ratio);
    text_add(t, "</table>\n");
}

/* ---- expression swell -------------------------------------------------------------------------------------------- */

static void add_swell_chart(text *t, const compare_swell *s, const char *title, double scale, const svg_curve *curves)
{
    svg_chart_add(t, &(svg_chart){.title = title,
                                  .x_label = "depth",
                                  .unit = "",
                                  .count = s->count,
                                  .curves = 3,
                                  .curve = curves,
                                  .scale = scale,
                                  .logarithmic = true,
                                  .x = &s->row[0].depth,
                                  .x_stride = STRIDE(s->row[0]),
                                  .dots = true});
}

static void add_one_swell(text *t, const compare_swell *s)
{
    const compare_depth *r = s->row;
    const int64_t stride = STRIDE(*r);
    const svg_curve size[] = {{"written out", "b", &r->tree_nodes, stride},
                              {"shared parts", "d", &r->shared_nodes, stride},
                              {"tape", TAPE_COLOUR, &r->records, stride}};
    const svg_curve cost[] = {{"written out", "b", &r->tree_seconds, stride},
                              {"shared parts", "d", &r->shared_seconds, stride},
                              {"tape", TAPE_COLOUR, &r->tape_seconds, stride}};
    char title[96];
    text_add(t, "<p>%c%s: ", s->name[0] - 'a' + 'A', s->name + 1);
    text_add_escaped(t, s->formula);
    text_add(t, "</p><div class=pair>");
    snprintf(title, sizeof title, "Size, %s: nodes or records", s->name);
    add_swell_chart(t, s, title, 1, size);
    snprintf(title, sizeof title, "Time, %s, µs", s->name);
    add_swell_chart(t, s, title, 1e6, cost);
    text_add(t, "</div>\n");
}

static void add_swells(text *t, const comparison *c)
{
    text_add(t,
             "<h2>Expression swell</h2><p>The derivative of a nested expression by the rules of calculus, with 0 and "
             "1 simplified away, beside the tape forward and back. Written out as a formula it repeats its parts: a "
             "product's grows as the square of the depth, a composition's exponentially. A symbolic program that "
             "computes equal parts once does not swell &ndash; what it then runs is what a tape does, for one input "
             "at a time, and on plain numbers it is the quickest of the three, the tape's being tensors &ndash; but it "
             "has to know the whole expression beforehand, without loops and branches.</p>\n");
    for (int i = 0; i < COMPARE_SWELLS; i++)
        add_one_swell(t, &c->swell[i]);
    text_add(t, "<table><tr><th>expression<th>depth<th>nodes, written out<th>nodes, shared<th>tape records<th>written "
                "out, µs<th>shared, µs<th>tape, µs<th>difference</tr>");
    for (int i = 0; i < COMPARE_SWELLS; i++)
        for (int64_t k = 0; k < c->swell[i].count; k++) {
            const compare_depth *r = &c->swell[i].row[k];
            text_add(t, "<tr><td>%s<td>%.0f<td>%.6g<td>%.0f<td>%.0f<td>", c->swell[i].name, r->depth, r->tree_nodes,
                     r->shared_nodes, r->records);
            text_add(t, isfinite(r->tree_seconds) ? "%.3f" : "too large", 1e6 * r->tree_seconds);
            text_add(t, "<td>%.3f<td>%.3f<td>%.0e</tr>", 1e6 * r->shared_seconds, 1e6 * r->tape_seconds, r->difference);
        }
    text_add(t, "</table>\n");
}

tape_status compare_report_write(const comparison *c, const char *command, const char *path)
{
    text t = {0};
    page_begin(&t, "tape: symbolic, numeric or automatic?");
    add_head(&t, c, command);
    add_steps(&t, c);
    add_inputs(&t, c);
    add_swells(&t, c);
    return page_write(&t, path);
}
