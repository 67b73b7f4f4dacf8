/* SPDX-License-Identifier: MIT */
/* Reads measured collectives from a CSV table: columns collective, bytes, n_gpus and time_us or
 * algbw_GBps are needed; id, group, source_locator, gpus_per_node, net_GBps_per_gpu,
 * algo_proto, nccl_version, platform, health and what names a program are used where they are
 * there. Rows that aren't healthy are left out. */
#include "error.h"
#include "nccl_program.h"
#include "nccl_rows.h"
#include "validate_csv.h"

#include <string.h>

static gboolean fail(const CsvRow *row, GError **error, const char *what)
{
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s:%d: %s", row->table->file, row->line,
                what);
    return FALSE;
}

static CollectiveKind kind_of(const char *name)
{
    for (int kind = 0; kind < N_COLLECTIVES; kind++)
        if (strcmp(name, collective_name((CollectiveKind)kind)) == 0)
            return (CollectiveKind)kind;
    return N_COLLECTIVES;
}

static gboolean row_read(const CsvRow *row, NcclRow *one, GError **error)
{
    double time_us = 0, algbw_GBps = 0, net_GBps = 0;
    gint64 n_gpus = 0, gpus_per_node = 0;
    if (!csv_row_int(row, "bytes", 1, G_GINT64_CONSTANT(1) << 50, &one->bytes, error) ||
        !csv_row_int(row, "n_gpus", 2, 1 << 20, &n_gpus, error) ||
        !csv_row_int(row, "gpus_per_node", 1, 1024, &gpus_per_node, error) ||
        !csv_row_double(row, "time_us", 1e-3, 1e12, &time_us, error) ||
        !csv_row_double(row, "algbw_GBps", 1e-9, 1e9, &algbw_GBps, error) ||
        !csv_row_double(row, "net_GBps_per_gpu", 1e-6, 1e9, &net_GBps, error))
        return FALSE;
    one->kind = kind_of(csv_row_text(row, "collective"));
    if (one->kind == N_COLLECTIVES)
        return fail(row, error,
                    "collective: must be all_reduce, all_gather, reduce_scatter, "
                    "broadcast, reduce, all_to_all or send_recv");
    if (one->bytes == 0 || n_gpus == 0)
        return fail(row, error, "bytes and n_gpus must be there");
    if (time_us == 0 && algbw_GBps == 0)
        return fail(row, error, "time_us or algbw_GBps must be there");
    one->time_s = time_us > 0 ? time_us / 1e6 : (double)one->bytes / (algbw_GBps * 1e9);
    one->program_s = nccl_program_overhead_s(row);
    one->version = collective_nccl_version(csv_row_text(row, "nccl_version"));
    one->n_gpus = (int)n_gpus;
    one->gpus_per_node = (int)gpus_per_node;
    one->nic_bytes_per_s = net_GBps * 1e9;
    one->algorithm = g_str_has_prefix(csv_row_text(row, "algo_proto"), "Ring") ? 0 : -1;
    return TRUE;
}

gboolean nccl_csv_read(const char *file, GArray *rows, GError **error)
{
    g_autoptr(CsvTable) table = csv_table_load(file, error);
    if (!table)
        return FALSE;
    for (guint i = 0; i < table->rows->len; i++) {
        const CsvRow *row = table->rows->pdata[i];
        const char *health = csv_row_text(row, "health");
        const char *id = csv_row_text(row, "id");
        const char *group = csv_row_text(row, "group");
        const char *source = csv_row_text(row, "source_locator");
        const char *platform = csv_row_text(row, "platform");
        NcclRow one = {0};
        if (!row_read(row, &one, error))
            return FALSE;
        if (*health && strcmp(health, "ok") != 0)
            continue;
        one.id = *id ? g_strdup(id) : NULL;
        one.group = g_strdup(*group ? group : file);
        one.source = g_strdup(*source ? source : file);
        one.platform = *platform ? g_strdup(platform) : NULL;
        g_array_append_val(rows, one);
    }
    return TRUE;
}
