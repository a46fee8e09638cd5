/* Horizontal bars on a logarithmic axis that begin at 1: to the right what is faster, to the left what is slower. */
#include "svg.h"

#include <math.h>
#include <string.h>

enum { WIDTH = 900, LEFT = 230, RIGHT = 70, TOP = 46, THICK = 11, GAP = 7, MOST_SERIES = 6 };

static double place(double value, double low, double high)
{
    return LEFT + (WIDTH - LEFT - RIGHT) * (log10(value) - low) / (high - low);
}

/* Whole powers of ten around all values and 1. */
static void ends(const svg_bar *bars, int count, double *low, double *high)
{
    *low = 0, *high = 1;
    for (int i = 0; i < count; i++) {
        *low = fmin(*low, floor(log10(bars[i].value)));
        *high = fmax(*high, ceil(log10(bars[i].value)));
    }
}

static bool begins_group(const svg_bar *bars, int i)
{
    return i == 0 || strcmp(bars[i].name, bars[i - 1].name) != 0;
}

static void add_axis(text *t, double low, double high, int bottom)
{
    for (double tick = low; tick <= high; tick++) {
        double x = place(pow(10, tick), low, high);
        text_add(t, "<line class=%s x1=%.1f x2=%.1f y1=%d y2=%d /><text class=middle x=%.1f y=%d>%.6g</text>",
                 tick == 0 ? "one" : "grid", x, x, TOP - 2, bottom, x, bottom + 16, pow(10, tick));
    }
}

/* Each series once, in the order in which they come. */
static void add_legend(text *t, const svg_bar *bars, int count)
{
    const char *seen[MOST_SERIES];
    int n = 0;
    double x = LEFT;
    for (int i = 0; i < count && n < MOST_SERIES; i++) {
        bool known = false;
        for (int k = 0; k < n; k++)
            known |= strcmp(seen[k], bars[i].series) == 0;
        if (known)
            continue;
        seen[n++] = bars[i].series;
        text_add(t, "<rect class=\"bar %s\" x=%.0f y=26 width=11 height=11 /><text class=legend x=%.0f y=36>%s</text>",
                 bars[i].css, x, x + 16, bars[i].series);
        x += 46 + 7.0 * (double)strlen(bars[i].series);
    }
}

static void add_bar(text *t, const svg_bar *bar, double low, double high, int y, const char *unit)
{
    double from = place(1, low, high), to = place(bar->value, low, high);
    text_add(t, "<rect class=\"bar %s\" x=%.1f y=%d width=%.1f height=%d />", bar->css, fmin(from, to), y,
             fmax(fabs(to - from), 1), THICK);
    text_add(t, "<text x=%.1f y=%d>%.3g%s</text>", fmax(from, to) + 5, y + THICK - 1, bar->value, unit);
}

void svg_bars_add(text *t, const char *title, const svg_bar *bars, int count, const char *unit)
{
    double low, high;
    int groups = 0;
    ends(bars, count, &low, &high);
    for (int i = 0; i < count; i++)
        groups += begins_group(bars, i);
    int bottom = TOP + count * (THICK + 1) + groups * GAP;
    text_add(t, "<svg role=img aria-label=\"%s\" viewBox=\"0 0 %d %d\"><title>%s</title>", title, WIDTH, bottom + 24,
             title);
    text_add(t, "<text class=title x=%d y=16>%s</text>", LEFT, title);
    add_legend(t, bars, count);
    add_axis(t, low, high, bottom);
    for (int i = 0, y = TOP; i < count; i++, y += THICK + 1) {
        if (begins_group(bars, i)) {
            y += i > 0 ? GAP : GAP / 2;
            text_add(t, "<text class=end x=%d y=%d>%s</text>", LEFT - 8, y + THICK - 1, bars[i].name);
        }
        add_bar(t, &bars[i], low, high, y, unit);
    }
    text_add(t, "</svg>\n");
}
