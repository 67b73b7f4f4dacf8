/* SPDX-License-Identifier: MIT */
/* The page's style and script. Figures keep a white ground in the dark, where their colours are
 * made for it. */
#include "report_html_parts.h"

const char report_html_head[] =
    "<!DOCTYPE html>\n"
    "<html lang=\"en\">\n"
    "<head>\n"
    "<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<link rel=\"icon\" href=\"data:,\">\n"
    "<title>zerosim report</title>\n"
    "<style>\n"
    ":root { color-scheme: light dark; --text: #1b1b1b; --quiet: #555; --ground: #fff;\n"
    "  --line: #c8c8c8; --band: #f3f5f7; --link: #005a8c; }\n"
    "@media (prefers-color-scheme: dark) {\n"
    "  :root { --text: #e8e8e8; --quiet: #b4b4b4; --ground: #17191c; --line: #4a4d52;\n"
    "    --band: #212429; --link: #7cc4f0; } }\n"
    "* { box-sizing: border-box; }\n"
    "body { margin: 0 auto; max-width: 80rem; padding: 1.5rem; color: var(--text);\n"
    "  background: var(--ground); font: 1rem/1.5 system-ui, sans-serif; }\n"
    "h1 { font-size: 1.7rem; } h2 { font-size: 1.3rem; margin-top: 2.2rem; }\n"
    "p, li { max-width: 50rem; }\n"
    ".wide { overflow-x: auto; }\n"
    "table { border-collapse: collapse; font-size: .875rem; }\n"
    "th, td { padding: .35rem .7rem; text-align: left; white-space: nowrap;\n"
    "  border-bottom: 1px solid var(--line); }\n"
    "th { vertical-align: bottom; } .number { text-align: right; }\n"
    "td.number { font-variant-numeric: tabular-nums; }\n"
    "tbody tr:nth-child(even) { background: var(--band); }\n"
    "tr.too-big { color: var(--quiet); font-style: italic; }\n"
    "th button { all: unset; cursor: pointer; font-weight: 600; white-space: normal; }\n"
    "th button:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }\n"
    "th[aria-sort=ascending] button::after { content: \" \\25B2\"; }\n"
    "th[aria-sort=descending] button::after { content: \" \\25BC\"; }\n"
    ".unit { font-weight: 400; color: var(--quiet); white-space: nowrap; }\n"
    ".checksum, pre { font-family: ui-monospace, monospace; font-size: .8rem; }\n"
    "pre { overflow-x: auto; padding: .8rem; background: var(--band); }\n"
    ".figures { display: grid; gap: 1.5rem; align-items: start;\n"
    "  grid-template-columns: repeat(auto-fill, minmax(min(24rem, 100%), 1fr)); }\n"
    "figure { margin: 0; } figure.double { grid-column: 1 / -1; }\n"
    "figure svg { display: block; width: 100%; height: auto; background: #fff;\n"
    "  border: 1px solid var(--line); padding: .5rem; }\n"
    "figcaption { color: var(--quiet); font-size: .875rem; padding-top: .4rem; }\n"
    "summary { cursor: pointer; color: var(--link); }\n"
    "@media print {\n"
    "  :root { --text: #000; --quiet: #333; --ground: #fff; --line: #999; --band: #fff; }\n"
    "  body { max-width: none; padding: 0; font-size: 9pt; }\n"
    "  table { font-size: 6.5pt; } th, td { padding: .15rem .3rem; }\n"
    "  .wide { overflow: visible; } .checksum { white-space: normal;\n"
    "    word-break: break-all; }\n"
    "  .figures { display: block; } figure { break-inside: avoid; width: 48%;\n"
    "    display: inline-block; vertical-align: top; margin: 0 1% 1rem 0; }\n"
    "  figure.double { width: 100%; }\n"
    "  figure svg { border: 0; } }\n"
    "</style>\n"
    "</head>\n"
    "<body>\n"
    "<main>\n";

const char report_html_foot[] =
    "</main>\n"
    "<script>\n"
    "\"use strict\";\n"
    "function sortBy(table, column, descending) {\n"
    "  const body = table.tBodies[0];\n"
    "  const cell = row => row.cells[column].textContent;\n"
    "  const isNumber = table.tHead.rows[0].cells[column].classList.contains(\"number\");\n"
    "  const number = text => text === \"\" ? Infinity : Number(text);\n"
    "  const compare = (a, b) => isNumber ? number(cell(a)) - number(cell(b))\n"
    "                                     : cell(a).localeCompare(cell(b));\n"
    "  const rows = Array.from(body.rows).sort(compare);\n"
    "  body.append(...(descending ? rows.reverse() : rows));\n"
    "}\n"
    "for (const table of document.querySelectorAll(\"table.sortable\")) {\n"
    "  const heads = Array.from(table.tHead.rows[0].cells);\n"
    "  heads.forEach((head, column) => {\n"
    "    head.querySelector(\"button\").addEventListener(\"click\", () => {\n"
    "      const descending = head.getAttribute(\"aria-sort\") === \"ascending\";\n"
    "      heads.forEach(other => other.removeAttribute(\"aria-sort\"));\n"
    "      head.setAttribute(\"aria-sort\", descending ? \"descending\" : \"ascending\");\n"
    "      sortBy(table, column, descending);\n"
    "    });\n"
    "  });\n"
    "}\n"
    "</script>\n"
    "</body>\n"
    "</html>\n";

void report_html_text(FILE *out, const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    g_autofree char *escaped = g_markup_escape_text(valid, -1);
    fputs(escaped, out);
}

void report_html_element(FILE *out, const char *name, const char *text)
{
    fprintf(out, "<%s>", name);
    report_html_text(out, text);
    fprintf(out, "</%s>\n", name);
}
