/* The report of a training run as one HTML file without any outside part. Knows no training. */
#include "report.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "page.h"
#include "svg.h"

/* ---- summary ----------------------------------------------------------------------------------------------------- */

static void add_summary(text *t, const report *r)
{
    double train_seconds = 0;
    for (int i = 0; i < r->phase_count; i++)
        if (strcmp(r->phases[i].name, "train") == 0)
            train_seconds = r->phases[i].seconds;
    text_add(t, "<h1>Training report</h1><p>");
    text_add_escaped(t, r->data_name);
    text_add(t, ", %" PRId64 " images to train and %" PRId64 " to test</p><div class=tiles>", r->train_count,
             r->test_count);
    page_add_tile(t, "test accuracy", "%.2f %%", 100 * r->final_accuracy);
    page_add_tile(t, "test loss", "%.4f", r->final_loss);
    page_add_tile(t, "parameters", "%.0f", (double)r->parameters);
    page_add_tile(t, "epochs", "%.0f", (double)r->epoch_count);
    page_add_tile(t, "seconds of training", "%.2f", train_seconds);
    text_add(t,
             "</div><p>Model %s (%s), %s, peak learning rate %g, batches of %" PRId64 ", seed %" PRId64
             ", %d thread%s.</p>",
             r->model, tape_dtype_name(r->dtype), r->optimizer, r->lr, r->batch, r->seed, r->threads,
             r->threads == 1 ? "" : "s");
    text_add(
        t,
        "<p>Computed with tape %s on %s, the class of processors %s FMA: the numbers are the same to the last digit on "
        "every machine of this class and for every number of threads.</p><p>Command: <code>",
        tape_version(), tape_isa(), tape_has_fma() ? "with" : "without");
    text_add_escaped(t, r->command);
    text_add(t, "</code></p><p>Model file: <code>");
    text_add_escaped(t, r->model_path);
    text_add(t, "</code> (%s)</p>\n",
             r->reloaded_identical ? "reloaded: identical outputs on every test image"
                                   : "<span class=bad>the reloaded model gives other outputs</span>");
}

/* ---- curves ------------------------------------------------------------------------------------------------------ */

static void add_curves(text *t, const report *r)
{
    const report_epoch *e = r->epochs;
    int64_t stride = (int64_t)(sizeof *e / sizeof(double));
    const svg_curve loss[] = {{"training", "a", &e->train_loss, stride}, {"test", "b", &e->test_loss, stride}};
    const svg_curve accuracy[] = {{"training", "a", &e->train_accuracy, stride},
                                  {"test", "b", &e->test_accuracy, stride}};
    const svg_chart charts[] = {{.title = "Loss (cross-entropy)",
                                 .x_label = "epoch",
                                 .unit = "",
                                 .count = r->epoch_count,
                                 .curves = 2,
                                 .curve = loss,
                                 .scale = 1,
                                 .logarithmic = true},
                                {.title = "Accuracy",
                                 .x_label = "epoch",
                                 .unit = " %",
                                 .count = r->epoch_count,
                                 .curves = 2,
                                 .curve = accuracy,
                                 .scale = 100}};
    text_add(t, "<h2>Learning</h2><div class=pair>");
    svg_chart_add(t, &charts[0]);
    svg_chart_add(t, &charts[1]);
    text_add(t, "</div>\n");
}

/* ---- confusion matrix -------------------------------------------------------------------------------------------- */

static void add_cell(text *t, const tape_confusion *c, int64_t i, int64_t j, double side, bool numbers)
{
    int64_t n = c->counts[i * c->classes + j], row = 0;
    for (int64_t k = 0; k < c->classes; k++)
        row += c->counts[i * c->classes + k];
    if (n == 0)
        return;
    double share = (double)n / (double)row, x = 40 + (double)j * side, y = 30 + (double)i * side;
    text_add(t,
             "<rect class=%s x=%.1f y=%.1f width=%.1f height=%.1f opacity=%.2f><title>%" PRId64 " read as %" PRId64
             ": %" PRId64 "</title></rect>",
             i == j ? "cell" : "wrong", x, y, side - 1, side - 1, i == j ? 0.15 + 0.85 * share : 0.25 + 0.75 * share, i,
             j, n);
    if (numbers)
        text_add(t, "<text class=\"middle%s\" x=%.1f y=%.1f>%" PRId64 "</text>", share > 0.45 ? " on" : "",
                 x + side / 2 - 0.5, y + side / 2 + 4, n);
}

static void add_confusion(text *t, const report *r)
{
    const tape_confusion *c = r->confusion;
    bool numbers = c->classes <= 20;
    double side = c->classes <= 12 ? 40 : fmax(480.0 / (double)c->classes, 2), size = side * (double)c->classes;
    text_add(t, "<h2>Confusion matrix</h2><p>Rows are the truth, columns what the model read.</p>");
    text_add(t, "<svg class=confusion role=img aria-label=\"confusion matrix\" viewBox=\"0 0 %.0f %.0f\">", size + 50,
             size + 40);
    for (int64_t i = 0; i < c->classes; i++) {
        double place = (double)i * side + side / 2;
        if (numbers)
            text_add(t,
                     "<text class=end x=32 y=%.1f>%" PRId64 "</text><text class=middle x=%.1f y=22>%" PRId64 "</text>",
                     34 + place, i, 40 + place, i);
        for (int64_t j = 0; j < c->classes; j++)
            add_cell(t, c, i, j, side, numbers);
    }
    text_add(t, "</svg>\n");
}

/* ---- misread images ---------------------------------------------------------------------------------------------- */

static void add_image(text *t, const report *r, const report_misread *m, double darkest)
{
    int64_t high = r->sample.size[0], wide = r->sample.size[1];
    const float *pixels = r->images + m->row * high * wide;
    text_add(t,
             "<figure><svg viewBox=\"0 0 %" PRId64 " %" PRId64 "\" shape-rendering=crispEdges role=img "
             "aria-label=\"test image %" PRId64 "\">",
             wide, high, m->row);
    for (int64_t y = 0; y < high; y++)
        for (int64_t x = 0; x < wide; x++) {
            double ink = (double)pixels[y * wide + x] / darkest;
            if (ink > 0.02)
                text_add(t, "<rect x=%" PRId64 " y=%" PRId64 " width=1 height=1 fill=currentColor opacity=%.2f />", x,
                         y, fmin(ink, 1));
        }
    text_add(t,
             "</svg><figcaption>%" PRId64 ", read as <span class=bad>%" PRId64
             "</span><br>%.0f %% sure</figcaption></figure>",
             m->truth, m->guess, 100 * m->confidence);
}

static void add_misread(text *t, const report *r)
{
    text_add(t, "<h2>Misread images</h2>");
    if (r->misread_count == 0) {
        text_add(t, "<p>None: every test image was read right.</p>\n");
        return;
    }
    if (r->sample.rank != 2) {
        text_add(t, "<p>The samples have no rows and columns, so there is no picture of them.</p>\n");
        return;
    }
    double darkest = 1e-9;
    for (int64_t i = 0; i < r->test_count * r->sample.size[0] * r->sample.size[1]; i++)
        if ((double)r->images[i] > darkest) /* GCC 12 for AArch64 has an internal error over fmax() here */
            darkest = (double)r->images[i];
    text_add(t, "<p>The first %d of the test set that the model got wrong.</p><div class=gallery>", r->misread_count);
    for (int i = 0; i < r->misread_count; i++)
        add_image(t, r, &r->misread[i], darkest);
    text_add(t, "</div>\n");
}

/* ---- gradient check, phases -------------------------------------------------------------------------------------- */

double report_check_error(const report_check *check)
{
    double a = check->result.automatic, n = check->result.numeric, larger = fmax(fabs(a), fabs(n));
    return larger > 0 ? fabs(a - n) / larger : 0;
}

static void add_checks(text *t, const report *r)
{
    text_add(
        t,
        "<h2>Gradient check</h2><p>Before training, derivatives of the loss by the tape beside numeric ones: central "
        "differences in f64, extrapolated.</p><table><tr><th>parameter<th>shape<th>compared<th>at kinks<th>worst "
        "relative "
        "error<th>verdict</tr>");
    for (int i = 0; i < r->check_count; i++) {
        const report_check *c = &r->checks[i];
        text_add(t, "<tr><td>%s<td>%s<td>%" PRId64 "<td>%" PRId64 "<td>%.2e<td class=%s>%s</tr>", c->name, c->shape,
                 c->result.compared, c->result.kinks, report_check_error(c), c->result.passed ? "good" : "bad",
                 c->result.passed ? "agrees" : "differs");
    }
    text_add(t, "</table>\n");
}

static void add_phases(text *t, const report *r)
{
    double most = 1e-9;
    for (int i = 0; i < r->phase_count; i++)
        most = fmax(most, r->phases[i].seconds);
    text_add(t,
             "<h2>Time and memory</h2><svg role=img aria-label=\"time and memory per phase\" viewBox=\"0 0 900 %d\">",
             30 * r->phase_count + 26);
    text_add(t, "<text class=end x=890 y=14>peak memory of the tape</text><text x=150 y=14>seconds</text>");
    for (int i = 0; i < r->phase_count; i++) {
        const report_phase *p = &r->phases[i];
        double width = 480 * p->seconds / most;
        int y = 30 * i + 24;
        text_add(t,
                 "<text class=end x=140 y=%d>%s</text><rect class=bar x=150 y=%d width=%.1f height=18 rx=2 />"
                 "<text x=%.1f y=%d>%.3f</text><text class=end x=890 y=%d>%.2f MB</text>",
                 y + 13, p->name, y, fmax(width, 1), 158 + width, y + 13, p->seconds, y + 13,
                 (double)p->peak_bytes / 1e6);
    }
    text_add(t, "</svg>\n");
}

tape_status report_write(const report *r, const char *path)
{
    text t = {0};
    char title[64];
    snprintf(title, sizeof title, "tape: %.2f %% test accuracy", 100 * r->final_accuracy);
    page_begin(&t, title);
    add_summary(&t, r);
    add_curves(&t, r);
    add_confusion(&t, r);
    add_misread(&t, r);
    add_checks(&t, r);
    add_phases(&t, r);
    return page_write(&t, path);
}
