/* Pictures as inline SVG: curves over axes with round ticks. Knows only numbers and names. */
#ifndef TAPE_CLI_SVG_H
#define TAPE_CLI_SVG_H

#include <stdint.h>

#include "text.h"

/* One curve. Values that are not finite leave a gap. `css` is a class of the style sheet: a to f. */
typedef struct svg_curve {
    const char *name, *css;
    const double *values;
    int64_t stride; /* in doubles, from one value to the next */
} svg_curve;

typedef struct svg_chart {
    const char *title, *x_label, *unit;
    int64_t count;
    int curves;
    const svg_curve *curve;
    double scale;     /* values are multiplied by this */
    bool logarithmic; /* where all values are positive */
    const double *x;  /* where the values stand, ascending; NULL: at 1, 2, 3, ... */
    int64_t x_stride;
    bool logarithmic_x, dots; /* a dot at each value */
    unsigned points, lines;   /* bit c: curve c's dots without the curve; the curve without dots, whatever `dots` is */
    bool tick_values;         /* a logarithmic_x axis from the first x to the last, with ticks at each */
    const char *y_label;      /* NULL: none */
} svg_chart;

void svg_chart_add(text *t, const svg_chart *chart);

/* Horizontal bars from 1, in groups that share a name, on one logarithmic axis. */
typedef struct svg_bar {
    const char *name; /* of the group: bars of one name follow each other */
    const char *css, *series;
    double value; /* positive */
} svg_bar;

/* `unit` follows each number. */
void svg_bars_add(text *t, const char *title, const svg_bar *bars, int count, const char *unit);

#endif
