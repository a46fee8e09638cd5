/* Curves over axes with round ticks. */
#include "svg.h"

#include <math.h>

enum { WIDTH = 520, HEIGHT = 270, LEFT = 58, RIGHT = 92, TOP = 34, BOTTOM = 40, MOST_POINTS = 400, TICKS = 5 };

typedef struct axis {
    double low, high;
    bool logarithmic;
} axis;

static double value_at(const svg_chart *chart, int curve, int64_t i)
{
    return chart->curve[curve].values[i * chart->curve[curve].stride] * chart->scale;
}

/* The largest of 1, 2, 5 times a power of ten that gives at least `ticks` steps in `range`. */
static double round_step(double range, int ticks)
{
    double rough = range / ticks, power = pow(10, floor(log10(rough)));
    double digit = rough / power;
    return (digit < 1.5 ? 1 : digit < 3.5 ? 2 : digit < 7.5 ? 5 : 10) * power;
}

/* Ends of an axis that holds low..high. */
static axis round_axis(double low, double high, bool logarithmic)
{
    axis a = {low, high, logarithmic};
    if (!(a.low <= a.high))
        a.low = 0, a.high = 1;
    a.logarithmic = logarithmic && a.low > 0 && a.high / a.low > 20;
    if (a.logarithmic) {
        a.low = floor(log10(a.low));
        a.high = ceil(log10(a.high));
    } else {
        double step = round_step(fmax(a.high - a.low, fmax(fabs(a.high), 1e-9) * 1e-3), TICKS);
        a.low = floor(a.low / step) * step;
        a.high = ceil(a.high / step) * step;
    }
    if (a.high <= a.low)
        a.high = a.low + 1;
    return a;
}

static axis vertical_axis(const svg_chart *chart)
{
    double low = INFINITY, high = -INFINITY;
    for (int c = 0; c < chart->curves; c++)
        for (int64_t i = 0; i < chart->count; i++) {
            double v = value_at(chart, c, i);
            if (!isfinite(v))
                continue;
            low = fmin(low, v);
            high = fmax(high, v);
        }
    return round_axis(low, high, chart->logarithmic);
}

/* Only a logarithmic one has round ends: its ticks are powers of ten. */
static axis horizontal_axis(const svg_chart *chart)
{
    axis a = {1, (double)chart->count, false};
    if (chart->x && chart->count > 0)
        a.low = chart->x[0], a.high = chart->x[(chart->count - 1) * chart->x_stride];
    if (chart->tick_values && a.low > 0)
        return (axis){log10(a.low), log10(a.high), true};
    return chart->logarithmic_x ? round_axis(a.low, a.high, true) : a;
}

static double place_on(const axis *a, double v)
{
    double place = a->logarithmic ? log10(v) : v;
    return a->high > a->low ? (place - a->low) / (a->high - a->low) : 0.5;
}

static double y_of(const axis *a, double v)
{
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - place_on(a, v));
}

static double x_at(const svg_chart *chart, const axis *a, int64_t i)
{
    double v = chart->x ? chart->x[i * chart->x_stride] : (double)(i + 1);
    return LEFT + (WIDTH - LEFT - RIGHT) * place_on(a, v);
}

/* A number beside an axis; a long logarithmic one has powers of ten. */
static void add_number(text *t, const axis *a, double place, const char *unit)
{
    if (a->logarithmic && (a->low < -4 || a->high > 5) && place != 0)
        text_add(t, "10<tspan class=power dy=-5>%.0f</tspan></text>", place);
    else
        text_add(t, "%.6g%s</text>", a->logarithmic ? pow(10, place) : place, unit);
}

static void add_vertical_ticks(text *t, const svg_chart *chart, const axis *a)
{
    double step = a->logarithmic ? fmax(1, ceil((a->high - a->low) / TICKS)) : round_step(a->high - a->low, TICKS);
    for (double tick = a->low; tick <= a->high + step * 1e-6; tick += step) {
        double place = fabs(tick) < step * 1e-6 ? 0 : tick, y = y_of(a, a->logarithmic ? pow(10, place) : place);
        text_add(t, "<line class=grid x1=%d x2=%d y1=%.1f y2=%.1f /><text class=end x=%d y=%.1f>", LEFT, WIDTH - RIGHT,
                 y, y, LEFT - 7, y + 4);
        add_number(t, a, place, chart->unit);
    }
}

static void add_horizontal_tick(text *t, const axis *a, double place)
{
    double x = LEFT + (WIDTH - LEFT - RIGHT) * place_on(a, a->logarithmic ? pow(10, place) : place);
    text_add(t, "<text class=middle x=%.1f y=%d>", x, HEIGHT - BOTTOM + 18);
    add_number(t, a, place, "");
}

/* At the axis's start and, unless that is a power of ten, at the round numbers that do not touch it. */
static void add_horizontal_ticks(text *t, const svg_chart *chart, const axis *a)
{
    double range = a->high - a->low, step = range > 0 ? fmax(1, round_step(range, TICKS)) : 1;
    if (a->logarithmic)
        step = fmax(1, ceil(range / (2 * TICKS)));
    for (int64_t i = 0; i < chart->count && chart->tick_values; i++)
        text_add(t, "<text class=middle x=%.1f y=%d>%.0f</text>", x_at(chart, a, i), HEIGHT - BOTTOM + 18,
                 chart->x[i * chart->x_stride]);
    for (double tick = a->low; tick <= a->high && !chart->tick_values;) {
        add_horizontal_tick(t, a, tick);
        tick = a->logarithmic ? tick + step : (floor(tick / step + 1.0 / 3) + 1) * step;
    }
    text_add(t, "<text class=middle x=%d y=%d>%s</text>", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, chart->x_label);
}

static void add_dots(text *t, const svg_chart *chart, const axis *across, const axis *up, int c)
{
    for (int64_t i = 0; i < chart->count; i++) {
        double v = value_at(chart, c, i);
        if (isfinite(v))
            text_add(t, "<circle class=%s cx=%.1f cy=%.1f r=%d />", chart->curve[c].css, x_at(chart, across, i),
                     y_of(up, v),
                     chart->count == 1        ? 4
                     : chart->points >> c & 1 ? 3
                                              : 2);
    }
}

static void add_curve(text *t, const svg_chart *chart, const axis *across, const axis *up, int c)
{
    int64_t skip = (chart->count + MOST_POINTS - 1) / MOST_POINTS;
    bool pen_down = false;
    if (chart->points >> c & 1) {
        add_dots(t, chart, across, up, c);
        return;
    }
    text_add(t, "<path class=%s d=\"", chart->curve[c].css);
    for (int64_t i = 0; i < chart->count;
         i = i + skip < chart->count || i == chart->count - 1 ? i + skip : chart->count - 1) {
        double v = value_at(chart, c, i);
        bool finite = isfinite(v);
        if (finite)
            text_add(t, "%c%.1f %.1f", pen_down ? 'L' : 'M', x_at(chart, across, i), y_of(up, v));
        pen_down = finite;
    }
    text_add(t, "\"/>");
    if ((chart->dots || chart->count == 1) && !(chart->lines >> c & 1))
        add_dots(t, chart, across, up, c);
}

/* Where a curve ends; the top where it has no value. */
static double end_of(const svg_chart *chart, const axis *up, int c)
{
    for (int64_t i = chart->count; i-- > 0;)
        if (isfinite(value_at(chart, c, i)))
            return y_of(up, value_at(chart, c, i));
    return TOP;
}

/* Names stand at the height of the curves' ends, moved apart where they would touch. */
static void add_names(text *t, const svg_chart *chart, const axis *up)
{
    double before = -1e9;
    bool done[8] = {false};
    for (int k = 0; k < chart->curves && k < 8; k++) {
        int top = -1;
        for (int c = 0; c < chart->curves && c < 8; c++)
            if (!done[c] && (top < 0 || end_of(chart, up, c) < end_of(chart, up, top)))
                top = c;
        done[top] = true;
        before = fmax(end_of(chart, up, top), before + 16);
        text_add(t, "<text class=\"name %s\" x=%d y=%.1f>%s</text>", chart->curve[top].css, WIDTH - RIGHT + 8,
                 before + 4, chart->curve[top].name);
    }
}

void svg_chart_add(text *t, const svg_chart *chart)
{
    axis up = vertical_axis(chart), across = horizontal_axis(chart);
    text_add(t, "<svg role=img aria-label=\"%s\" viewBox=\"0 0 %d %d\"><title>%s</title>", chart->title, WIDTH, HEIGHT,
             chart->title);
    text_add(t, "<text class=title x=%d y=18>%s</text>", LEFT, chart->title);
    if (chart->y_label)
        text_add(t, "<text x=%d y=18>%s</text>", WIDTH - RIGHT + 8, chart->y_label);
    add_vertical_ticks(t, chart, &up);
    add_horizontal_ticks(t, chart, &across);
    for (int c = 0; c < chart->curves; c++)
        add_curve(t, chart, &across, &up, c);
    if (chart->count > 0)
        add_names(t, chart, &up);
    text_add(t, "</svg>\n");
}
