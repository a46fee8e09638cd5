/* Curves over axes with round ticks. */
#include "svg.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

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

static axis vertical_axis(const svg_chart *chart)
{
    axis a = {INFINITY, -INFINITY, chart->logarithmic};
    for (int c = 0; c < chart->curves; c++)
        for (int64_t i = 0; i < chart->count; i++) {
            double v = value_at(chart, c, i);
            if (!isfinite(v))
                continue;
            a.low = fmin(a.low, v);
            a.high = fmax(a.high, v);
        }
    if (!(a.low <= a.high))
        a.low = 0, a.high = 1;
    a.logarithmic = a.logarithmic && a.low > 0 && a.high / a.low > 20;
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

static double y_of(const axis *a, double v)
{
    double place = a->logarithmic ? log10(v) : v;
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - (place - a->low) / (a->high - a->low));
}

static double x_of(const svg_chart *chart, int64_t i)
{
    double span = chart->count > 1 ? (double)(chart->count - 1) : 1;
    return LEFT + (WIDTH - LEFT - RIGHT) * (chart->count > 1 ? (double)i / span : 0.5);
}

static void add_vertical_ticks(text *t, const svg_chart *chart, const axis *a)
{
    double step = a->logarithmic ? fmax(1, ceil((a->high - a->low) / TICKS)) : round_step(a->high - a->low, TICKS);
    for (double place = a->low; place <= a->high + step * 1e-6; place += step) {
        double v = a->logarithmic ? pow(10, place) : fabs(place) < step * 1e-6 ? 0 : place, y = y_of(a, v);
        text_add(t, "<line class=grid x1=%d x2=%d y1=%.1f y2=%.1f /><text class=end x=%d y=%.1f>%.6g%s</text>", LEFT,
                 WIDTH - RIGHT, y, y, LEFT - 7, y + 4, v, chart->unit);
    }
}

static void add_horizontal_ticks(text *t, const svg_chart *chart)
{
    int64_t step = chart->count > 1 ? (int64_t)fmax(1, round_step((double)(chart->count - 1), TICKS)) : 1;
    for (int64_t n = 1; n <= chart->count; n = n == 1 && step > 1 ? step : n + step)
        text_add(t, "<text class=middle x=%.1f y=%d>%" PRId64 "</text>", x_of(chart, n - 1), HEIGHT - BOTTOM + 18, n);
    text_add(t, "<text class=middle x=%d y=%d>%s</text>", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, chart->x_label);
}

static void add_curve(text *t, const svg_chart *chart, const axis *a, int c)
{
    int64_t skip = (chart->count + MOST_POINTS - 1) / MOST_POINTS;
    bool pen_down = false;
    text_add(t, "<path class=%s d=\"", chart->curve[c].css);
    for (int64_t i = 0; i < chart->count;
         i = i + skip < chart->count || i == chart->count - 1 ? i + skip : chart->count - 1) {
        double v = value_at(chart, c, i);
        bool finite = isfinite(v);
        if (finite)
            text_add(t, "%c%.1f %.1f", pen_down ? 'L' : 'M', x_of(chart, i), y_of(a, v));
        pen_down = finite;
    }
    text_add(t, "\"/>");
    if (chart->count == 1 && isfinite(value_at(chart, c, 0)))
        text_add(t, "<circle class=%s cx=%.1f cy=%.1f r=4 />", chart->curve[c].css, x_of(chart, 0),
                 y_of(a, value_at(chart, c, 0)));
}

/* Names stand at the curves' ends, moved apart where they would touch. */
static void add_names(text *t, const svg_chart *chart, const axis *a)
{
    double before = -1e9;
    bool done[8] = {false};
    for (int k = 0; k < chart->curves && k < 8; k++) {
        int top = -1;
        double top_y = 0;
        for (int c = 0; c < chart->curves && c < 8; c++) {
            double v = value_at(chart, c, chart->count - 1), y = isfinite(v) ? y_of(a, v) : TOP;
            if (!done[c] && (top < 0 || y < top_y))
                top = c, top_y = y;
        }
        done[top] = true;
        double y = fmax(top_y, before + 16);
        before = y;
        text_add(t, "<text class=\"name %s\" x=%d y=%.1f>%s</text>", chart->curve[top].css, WIDTH - RIGHT + 8, y + 4,
                 chart->curve[top].name);
    }
}

void svg_chart_add(text *t, const svg_chart *chart)
{
    axis a = vertical_axis(chart);
    text_add(t, "<svg role=img aria-label=\"%s\" viewBox=\"0 0 %d %d\"><title>%s</title>", chart->title, WIDTH, HEIGHT,
             chart->title);
    text_add(t, "<text class=title x=%d y=18>%s</text>", LEFT, chart->title);
    add_vertical_ticks(t, chart, &a);
    add_horizontal_ticks(t, chart);
    for (int c = 0; c < chart->curves; c++)
        add_curve(t, chart, &a, c);
    if (chart->count > 0)
        add_names(t, chart, &a);
    text_add(t, "</svg>\n");
}
