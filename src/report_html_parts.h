/* SPDX-License-Identifier: MIT */
/* What every page begins and ends with; private to report_html*.c. */
#pragma once

/* Up to the start of the content: style for screens, light and dark, and for paper. */
extern const char report_html_head[];
/* From the content's end: the script that sorts tables. */
extern const char report_html_foot[];
