/* SPDX-License-Identifier: MIT */
/* An explanation in the formats of a run. Private to report*.c. */
#pragma once

#include "report.h"

G_BEGIN_DECLS

/* Of a result that has an explanation. */
void report_explain_print(const Result *result, FILE *out);
json_t *report_explain_object(const Result *result);

/* "12.1 GB/s of payload a NIC (0.25 times today's) would do". */
char *report_bandwidth_text(const BandwidthSearch *search);

G_END_DECLS
