/* The frame of a report: one HTML file without any outside part, light or dark as the reader's screen is. */
#include "page.h"

#include <stdio.h>

#include "tape/data.h"

static const char style[] =
    "<style>\n"
    ":root{color-scheme:light dark;--ink:#1c2430;--soft:#5d6876;--line:#d9dee5;--paper:#fff;--a:#1f6fb5;--b:#c2561a;"
    "--c:#7a4fb5;--d:#2c7a4b;--e:#b0267a;--f:#7d6608;"
    "--good:#2c7a4b;--bad:#b3261e}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#9aa6b5;--line:#36404d;--paper:#161b22;--a:#6cb2f0;"
    "--b:#f0975e;--c:#b79bf0;--d:#6fcf97;--e:#f08cc8;--f:#d9c04d;--good:#6fcf97;--bad:#ff8a80}}\n"
    "body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:1100px;margin:2rem "
    "auto;"
    "padding:0 1.2rem}\n"
    "h1{font-size:1.6rem;margin:0 0 .2rem}h2{font-size:1.15rem;margin:2.2rem 0 .6rem;border-bottom:1px solid "
    "var(--line);padding-bottom:.2rem}\n"
    "p{margin:.4rem 0;color:var(--soft)}code{font:13px "
    "ui-monospace,monospace;color:var(--ink);overflow-wrap:anywhere}\n"
    ".tiles{display:flex;flex-wrap:wrap;gap:.8rem;margin:1rem 0}.tile{border:1px solid var(--line);border-radius:8px;"
    "padding:.6rem 1rem;min-width:8rem}.tile b{display:block;font-size:1.45rem}.tile span{color:var(--soft)}\n"
    ".pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(340px,1fr));gap:1rem}\n"
    "svg{width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:var(--soft)}svg .title{font-size:14px;"
    "fill:var(--ink);font-weight:600}svg .end{text-anchor:end}svg .middle{text-anchor:middle}svg "
    ".grid{stroke:var(--line)}\n"
    "svg path{fill:none;stroke-width:2}svg .bar{fill:var(--a)}svg .power{font-size:9px}\n"
    "svg path.a{stroke:var(--a)}svg circle.a,svg .name.a{fill:var(--a)}\n"
    "svg path.b{stroke:var(--b)}svg circle.b,svg .name.b{fill:var(--b)}\n"
    "svg path.c{stroke:var(--c)}svg circle.c,svg .name.c{fill:var(--c)}\n"
    "svg path.d{stroke:var(--d)}svg circle.d,svg .name.d{fill:var(--d)}\n"
    "svg path.e{stroke:var(--e)}svg circle.e,svg .name.e{fill:var(--e)}\n"
    "svg path.f{stroke:var(--f)}svg circle.f,svg .name.f{fill:var(--f)}\n"
    "svg .bar.b{fill:var(--b)}svg .bar.c{fill:var(--c)}svg .bar.d{fill:var(--d)}svg .bar.e{fill:var(--e)}\n"
    "svg .one{stroke:var(--ink)}svg .legend{fill:var(--ink)}.scroll{overflow-x:auto}\n"
    "table{border-collapse:collapse;margin-top:.6rem;font-variant-numeric:tabular-nums}th,td{padding:.25rem "
    ".8rem;border-bottom:1px "
    "solid "
    "var(--line);text-align:right}th{color:var(--soft);font-weight:500}th:first-child,td:first-child{text-align:left}\n"
    ".good{color:var(--good)}.bad{color:var(--bad)}.gallery{display:flex;flex-wrap:wrap;gap:.8rem}.gallery "
    "figure{margin:0;"
    "width:104px;text-align:center;font-size:13px}.gallery svg{border:1px solid var(--line);border-radius:4px}\n"
    ".confusion{max-width:560px}.confusion .cell{fill:var(--a)}.confusion .wrong{fill:var(--bad)}.confusion "
    "text.on{fill:"
    "#fff}\n"
    "</style>\n";

void page_begin(text *t, const char *title)
{
    text_add(t,
             "<!doctype html>\n<html lang=en><meta charset=utf-8><meta name=viewport "
             "content=\"width=device-width,initial-scale=1\">\n<title>%s</title>\n%s",
             title, style);
}

void page_add_tile(text *t, const char *name, const char *format, double value)
{
    char number[40];
    snprintf(number, sizeof number, format, value);
    text_add(t, "<div class=tile><b>%s</b><span>%s</span></div>", number, name);
}

tape_status page_write(text *t, const char *path)
{
    text_add(t, "</html>\n");
    tape_status status = t->failed ? tape_fail(TAPE_ERROR_MEMORY, "%s: out of memory for the report", path)
                                   : tape_write_file(path, t->data, t->length);
    text_free(t);
    return status;
}
