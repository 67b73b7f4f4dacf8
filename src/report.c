/* SPDX-License-Identifier: MIT */
/* The table of output formats. */
#include "report.h"

#include "error.h"
#include "report_formats.h"

#include <string.h>

const ReportFormat report_formats[] = {
    {"table", report_table_write},
    {"json", report_json_write},
    {"jsonl", report_jsonl_write},
    {"csv", report_csv_write},
    {NULL, NULL},
};

static const char *const array_tables[] = {"by_collective", "by_link_class", NULL};

const ReportFormat *report_format(const char *name, GError **error)
{
    g_autoptr(GString) names = g_string_new(NULL);
    for (const ReportFormat *format = report_formats; format->name != NULL; format++) {
        if (strcmp(format->name, name) == 0)
            return format;
        g_string_append_printf(names, "%s%s", names->len > 0 ? ", " : "", format->name);
    }
    g_autofree char *quoted = error_quote(name);
    g_set_error(error, ZEROSIM_ERROR, ERROR_USAGE, "--format=%s: must be one of %s", quoted,
                names->str);
    return NULL;
}

gboolean report_table_check(const ReportFormat *format, const char *table, GError **error)
{
    if (table == NULL)
        return TRUE;
    g_autofree char *quoted = error_quote(table);
    if (!g_strv_contains(array_tables, table)) {
        g_autofree char *names = g_strjoinv(", ", (char **)array_tables);
        g_set_error(error, ZEROSIM_ERROR, ERROR_USAGE, "--table=%s: must be one of %s", quoted,
                    names);
        return FALSE;
    }
    if (strcmp(format->name, "csv") == 0)
        return TRUE;
    g_set_error(error, ZEROSIM_ERROR, ERROR_USAGE, "--table=%s: needs --format=csv", quoted);
    return FALSE;
}
