/* --html: the figures of a run as pictures: ratios, curves over sizes, the roofline. Knows how figures are named. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../tools/cli/page.h"
#include "../tools/cli/svg.h"
#include "bench.h"
#include "tape/tape.h"

enum { MOST = 1024, MOST_BARS = 120, NAME = 96 };

static struct {
    int n;
    struct figure {
        char name[NAME], unit[16];
        double value;
    } of[MOST];
} figures;

void bench_html_note(const char *name, double value, const char *unit)
{
    if (figures.n == MOST)
        return;
    struct figure *f = &figures.of[figures.n++];
    snprintf(f->name, sizeof f->name, "%s", name);
    snprintf(f->unit, sizeof f->unit, "%s", unit);
    f->value = value;
}

/* NaN where there is none. */
static double value_of(const char *name)
{
    for (int i = 0; i < figures.n; i++)
        if (strcmp(figures.of[i].name, name) == 0)
            return figures.of[i].value;
    return NAN;
}

/* tape's own figure "w4_matmul.n8.forward" + ".gflops", or a peer's by way of the ratio. */
static double figure_of(const char *metric, const char *end, const char *peer)
{
    char name[2 * NAME];
    snprintf(name, sizeof name, "%s.%s", metric, end);
    double own = value_of(name);
    if (!peer)
        return own;
    snprintf(name, sizeof name, "%s.ratio.%s", metric, peer);
    return strcmp(end, "min") == 0 ? own * value_of(name) : own / value_of(name);
}

static const char *const peers[] = {"libtorch", "openblas", "libxsmm", "libxsmm_call", "adolc"};
static const char *const colours[] = {"a", "b", "c", "d", "e"};
enum { PEERS = sizeof peers / sizeof *peers };

/* ---- ratios ------------------------------------------------------------------------------------------------------ */

static bool is_elementwise(const char *name)
{
    return strncmp(name, "w3_", 3) == 0;
}

static bool is_product(const char *name)
{
    return strncmp(name, "w4_", 3) == 0;
}

static bool is_whole(const char *name)
{
    return !is_elementwise(name) && !is_product(name);
}

/* The ratios of the workloads that `wanted` chooses; the text before ".ratio." names the group. */
static void add_ratios(text *t, const char *title, bool (*wanted)(const char *name))
{
    static svg_bar bars[MOST_BARS];
    static char names[MOST_BARS][NAME];
    int count = 0;
    for (int i = 0; i < figures.n && count < MOST_BARS; i++) {
        const char *at = strstr(figures.of[i].name, ".ratio.");
        if (!at || !wanted(figures.of[i].name) || !(figures.of[i].value > 0))
            continue;
        int p = 0;
        while (p < PEERS - 1 && strcmp(at + 7, peers[p]) != 0)
            p++;
        const char *from = figures.of[i].name;
        if (!is_whole(from)) /* the chart's title says which workload it is */
            from = strchr(from, '.') + 1;
        snprintf(names[count], NAME, "%.*s", (int)(at - from), from);
        bars[count] = (svg_bar){names[count], colours[p], at + 7, figures.of[i].value};
        count++;
    }
    if (count)
        svg_bars_add(t, title, bars, count, "x");
}

static bool any_ratio(void)
{
    for (int i = 0; i < figures.n; i++)
        if (strstr(figures.of[i].name, ".ratio."))
            return true;
    return false;
}

/* ---- curves over sizes ------------------------------------------------------------------------------------------- */

enum { MOST_SIZES = 9, SERIES = PEERS + 1 };

static bool any_finite(const double *values, int n)
{
    for (int i = 0; i < n; i++)
        if (isfinite(values[i]))
            return true;
    return false;
}

/* Curves of values over the sizes x, both on logarithmic axes. */
static svg_chart over_sizes(const char *title, const char *x_label, const char *y_label, svg_curve *curves,
                            const double *x)
{
    return (svg_chart){.title = title,
                       .x_label = x_label,
                       .y_label = y_label,
                       .unit = "",
                       .curve = curves,
                       .scale = 1,
                       .logarithmic = true,
                       .x = x,
                       .x_stride = 1,
                       .logarithmic_x = true,
                       .tick_values = true,
                       .dots = true};
}

static void add_products(text *t, const char *phase, const char *title)
{
    double n[MOST_SIZES], values[SERIES + 1][MOST_SIZES];
    svg_curve curves[SERIES + 1];
    svg_chart chart = over_sizes(title, "n, of products of n x n matrices", "GFLOP/s", curves, n);
    for (int s = 0; s <= SERIES; s++) {
        chart.count = 0;
        for (int size = 8; size <= 2048; size *= 2) {
            char metric[NAME];
            snprintf(metric, sizeof metric, "w4_matmul.n%d.%s", size, phase);
            if (!isfinite(figure_of(metric, "gflops", NULL)))
                continue;
            n[chart.count] = size;
            values[s][chart.count++] =
                s == SERIES ? value_of("w4_matmul.peak.gflops") : figure_of(metric, "gflops", s ? peers[s - 1] : NULL);
        }
        if (!any_finite(values[s], (int)chart.count))
            continue;
        chart.lines |= s == SERIES ? 1u << chart.curves : 0;
        curves[chart.curves++] = (svg_curve){.name = s == SERIES ? "peak"
                                                     : s         ? peers[s - 1]
                                                                 : "tape",
                                             .css = s == SERIES ? "f"
                                                    : s         ? colours[s]
                                                                : "a",
                                             .values = values[s],
                                             .stride = 1};
    }
    if (chart.count > 1)
        svg_chart_add(t, &chart);
}

/* One op over the three sizes, forward and backward, with libtorch's beside. */
static void add_op(text *t, const char *op)
{
    static const int64_t sizes[] = {1 << 12, 1 << 22, 1 << 24};
    static const char *const names[] = {"forward", "libtorch fwd", "backward", "libtorch bwd"};
    double n[3], values[4][3];
    svg_curve curves[4];
    svg_chart chart = over_sizes(op, "elements", "ns each", curves, n);
    for (int s = 0; s < 4; s++) {
        chart.count = 0;
        for (int i = 0; i < 3; i++) {
            char metric[NAME];
            snprintf(metric, sizeof metric, "w3_elementwise.%s.n%lld.%s", op, (long long)sizes[i],
                     s < 2 ? "forward" : "backward");
            double own = figure_of(metric, "min", NULL);
            if (!isfinite(own))
                continue;
            n[chart.count] = (double)sizes[i];
            values[s][chart.count++] = s % 2 ? figure_of(metric, "min", "libtorch") : own;
        }
        if (any_finite(values[s], (int)chart.count))
            curves[chart.curves++] = (svg_curve){.name = names[s], .css = colours[s], .values = values[s], .stride = 1};
    }
    if (chart.count > 1)
        svg_chart_add(t, &chart);
}

static void add_elementwise(text *t)
{
    static const char *const ops[] = {"mul",  "add",       "exp",  "log", "tanh", "sigmoid",
                                      "gelu", "gelu_tanh", "relu", "sin", "pow",  "sum"};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        add_op(t, ops[i]);
}

/* ---- roofline ---------------------------------------------------------------------------------------------------- */

enum { MOST_POINTS = 32 };

/* What a workload does with each byte of its operands and result, were each moved once. */
typedef struct roofline {
    int n;
    double intensity[MOST_POINTS], roof[MOST_POINTS], products[MOST_POINTS], gradients[MOST_POINTS], ops[MOST_POINTS];
} roofline;

enum where { ROOF_ALONE, PRODUCT, GRADIENT, OP };

/* Kept in ascending order: a chart's x ascends. */
static void add_point(roofline *r, enum where where, double intensity, double gflops)
{
    if (r->n == MOST_POINTS || (where != ROOF_ALONE && !isfinite(gflops)))
        return;
    int i = r->n++;
    for (; i > 0 && r->intensity[i - 1] > intensity; i--) {
        r->intensity[i] = r->intensity[i - 1];
        r->products[i] = r->products[i - 1], r->gradients[i] = r->gradients[i - 1], r->ops[i] = r->ops[i - 1];
    }
    r->intensity[i] = intensity;
    r->products[i] = where == PRODUCT ? gflops : NAN;
    r->gradients[i] = where == GRADIENT ? gflops : NAN;
    r->ops[i] = where == OP ? gflops : NAN;
}

static void add_points(roofline *r)
{
    static const struct {
        const char *op;
        double bytes; /* of an operation */
    } ops[] = {{"add", 12}, {"relu", 8}, {"sum", 4}};
    char metric[NAME];
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        snprintf(metric, sizeof metric, "w3_elementwise.%s.n16777216.forward.min", ops[i].op);
        add_point(r, OP, 1 / ops[i].bytes, 1 / value_of(metric));
    }
    for (int n = 8; n <= 2048; n *= 2) {
        snprintf(metric, sizeof metric, "w4_matmul.n%d.forward", n);
        add_point(r, PRODUCT, n / 6.0, figure_of(metric, "gflops", NULL)); /* 2 n^3 operations, 3 n^2 numbers */
        snprintf(metric, sizeof metric, "w4_matmul.n%d.total", n);
        add_point(r, GRADIENT, n / 4.0, figure_of(metric, "gflops", NULL)); /* 6 n^3, 6 n^2 */
    }
}

static void add_roofline(text *t)
{
    double peak = value_of("w4_matmul.peak.gflops"), rate = value_of("w3_elementwise.copy.n16777216.rate");
    if (!isfinite(peak) || !isfinite(rate))
        return;
    static roofline r;
    r = (roofline){0};
    add_point(&r, ROOF_ALONE, 0.05, 0);
    add_point(&r, ROOF_ALONE, peak / rate, 0);
    add_point(&r, ROOF_ALONE, 1000, 0);
    add_points(&r);
    for (int i = 0; i < r.n; i++)
        r.roof[i] = fmin(peak, rate * r.intensity[i]);
    const svg_curve curves[] = {{.name = "roof", .css = "f", .values = r.roof, .stride = 1},
                                {.name = "products", .css = "a", .values = r.products, .stride = 1},
                                {.name = "+ gradients", .css = "c", .values = r.gradients, .stride = 1},
                                {.name = "single ops", .css = "b", .values = r.ops, .stride = 1}};
    const svg_chart chart = {.title = "Roofline",
                             .x_label = "operations a byte, were each number moved once",
                             .y_label = "GFLOP/s",
                             .unit = "",
                             .count = r.n,
                             .curves = 4,
                             .curve = curves,
                             .scale = 1,
                             .points = 14, /* all but the roof */
                             .lines = 1,
                             .logarithmic = true,
                             .x = r.intensity,
                             .x_stride = 1,
                             .logarithmic_x = true};
    svg_chart_add(t, &chart);
}

/* ---- the page ---------------------------------------------------------------------------------------------------- */

static void add_table(text *t)
{
    text_add(t, "<h2>All figures</h2><div class=scroll><table><tr><th>figure<th>value<th>unit</tr>");
    for (int i = 0; i < figures.n; i++) {
        text_add(t, "<tr><td>");
        text_add_escaped(t, figures.of[i].name);
        text_add(t, "<td>%.4g<td>%s</tr>", figures.of[i].value, figures.of[i].unit);
    }
    text_add(t, "</table></div>\n");
}

bool bench_html_write(const char *path, int threads)
{
    text t = {0};
    page_begin(&t, "tape: benchmark");
    text_add(&t, "<h1>Benchmark</h1><p>tape %s, kernels for %s, %d thread%s", tape_version(), tape_isa(), threads,
             threads == 1 ? "" : "s");
    double peak = value_of("w4_matmul.peak.gflops"), rate = value_of("w3_elementwise.copy.n16777216.rate");
    if (isfinite(peak))
        text_add(&t, "; fused multiply-adds on one thread: %.4g GFLOP/s", peak);
    if (isfinite(rate))
        text_add(&t, "; copying: %.3g GB/s", rate);
    text_add(&t, ".</p>\n");
    if (any_ratio())
        text_add(&t,
                 "<h2>Ratios</h2><p>The peer's time (or bytes) over tape's, minimum over minimum: to the right of 1 "
                 "tape is faster.</p>\n");
    add_ratios(&t, "Workloads", is_whole);
    add_ratios(&t, "Products of matrices (w4_matmul)", is_product);
    add_ratios(&t, "Single ops (w3_elementwise)", is_elementwise);
    text_add(&t, "<h2>Sizes</h2><div class=pair>");
    add_products(&t, "forward", "Products");
    add_products(&t, "total", "Products with both gradients");
    add_roofline(&t);
    add_elementwise(&t);
    text_add(&t, "</div>\n");
    add_table(&t);
    return page_write(&t, path) == TAPE_OK;
}
