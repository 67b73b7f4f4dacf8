/* SPDX-License-Identifier: MIT */
/* Reads what nccl-tests print, one run after the other: lines of "#" that say which ranks there
 * are, and rows of
 *   size count type [redop] [root] time algbw busbw #wrong time algbw busbw #wrong
 * first out of place, then in place (nccl-tests 2.10 has "error" for "#wrong"). The collective
 * is what a "# Collective test starting:" line, the program's name in the log, or the ratio of
 * bus to algorithm bandwidth says. */
#include "error.h"
#include "json_in.h"
#include "nccl_rows.h"

#include <math.h>
#include <string.h>

#define LOG_MAX_BYTES (16 * 1024 * 1024)

/* Names of nccl-tests' programs. */
static const struct {
    const char *word;
    CollectiveKind kind;
} programs[] = {
    {"all_reduce_perf", COLLECTIVE_ALL_REDUCE},
    {"all_gather_perf", COLLECTIVE_ALL_GATHER},
    {"reduce_scatter_perf", COLLECTIVE_REDUCE_SCATTER},
    {"broadcast_perf", COLLECTIVE_BROADCAST},
    {"alltoall_perf", COLLECTIVE_ALL_TO_ALL},
    {"sendrecv_perf", COLLECTIVE_SEND_RECV},
    {"reduce_perf", COLLECTIVE_REDUCE},
};

typedef struct {
    const char *file;
    int line;
    CollectiveKind asked; /* N_COLLECTIVES: what the log says */
    GRegex *tags;
    GArray *rows;
    /* of the run that is being read */
    int run;
    CollectiveKind kind; /* N_COLLECTIVES: not known yet */
    int n_ranks;
    GHashTable *hosts;
    guint n_found;
} LogReader;

/* What launchers and log collectors put before a line: "[1,0]<stdout>:" of mpirun, "0: " of
 * srun --label, a time stamp. */
#define TAGS                                                                                   \
    "^\\s*(\\[[^][]*\\]<std(out|err)>:\\s*|[0-9]+:\\s+|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.+Z-]+" \
    "\\s+)+"

static gboolean fail(const LogReader *reader, GError **error, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

static gboolean fail(const LogReader *reader, GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s:%d: %s", reader->file, reader->line,
                what);
    return FALSE;
}

static GPtrArray *words_of(char **fields)
{
    GPtrArray *words = g_ptr_array_new();
    for (; *fields; fields++)
        if (**fields)
            g_ptr_array_add(words, *fields);
    return words;
}

static const char *const first_lines[] = {"# nccl-tests version", "# Collective test starting",
                                          "# nThread"};

/* Rows before the first that told which collective it is. */
static gboolean run_settle(LogReader *reader, GError **error)
{
    if (reader->kind == N_COLLECTIVES)
        return fail(reader, error, "which collective is this? Use --collective");
    for (guint i = reader->rows->len - reader->n_found; i < reader->rows->len; i++)
        g_array_index(reader->rows, NcclRow, i).kind = reader->kind;
    return TRUE;
}

/* A log may hold the output of several programs. */
static gboolean run_begin(LogReader *reader, const char *line, GError **error)
{
    gboolean begins = FALSE;
    for (guint i = 0; i < G_N_ELEMENTS(first_lines); i++)
        begins |= g_str_has_prefix(line, first_lines[i]);
    if (!begins || reader->n_found == 0)
        return TRUE;
    if (!run_settle(reader, error))
        return FALSE;
    reader->run++;
    reader->kind = reader->asked;
    reader->n_ranks = 0;
    reader->n_found = 0;
    g_hash_table_remove_all(reader->hosts);
    return TRUE;
}

/* "#  Rank  3 Group  0 Pid 1200 on  node-a device  3 [0x0f] NVIDIA H100 80GB HBM3" */
static void header_read(LogReader *reader, const char *line)
{
    for (guint i = 0; i < G_N_ELEMENTS(programs) && reader->kind == N_COLLECTIVES; i++)
        if (strstr(line, programs[i].word))
            reader->kind = programs[i].kind;
    g_auto(GStrv) fields = g_strsplit_set(line, " \t#", -1);
    g_autoptr(GPtrArray) words = words_of(fields);
    if (words->len < 2 || strcmp(words->pdata[0], "Rank") != 0)
        return;
    for (guint i = 0; i + 1 < words->len; i++)
        if (strcmp(words->pdata[i], "on") == 0) {
            reader->n_ranks++;
            g_hash_table_add(reader->hosts, g_strdup(words->pdata[i + 1]));
            return;
        }
}

/* What the ratio of bus to algorithm bandwidth, and a reduction's name, leave possible. */
static CollectiveKind kind_by_ratio(double ratio, int n, gboolean reduces)
{
    double share = (n - 1.0) / n;
    if (reduces && fabs(ratio - 2 * share) < 0.02)
        return COLLECTIVE_ALL_REDUCE;
    if (fabs(ratio - share) < 0.02)
        return reduces ? COLLECTIVE_REDUCE_SCATTER : COLLECTIVE_ALL_GATHER;
    return N_COLLECTIVES;
}

/* A number that is the whole word. */
static gboolean number(const char *word, double *value)
{
    char *end;
    *value = g_ascii_strtod(word, &end);
    return *word && !*end && isfinite(*value);
}

static void row_append(LogReader *reader, gint64 bytes, double time_s, gboolean averages)
{
    int n_hosts = (int)g_hash_table_size(reader->hosts);
    g_autofree char *base = g_path_get_basename(reader->file);
    NcclRow row = {
        .group = reader->run == 1 ? g_strdup(base)
                                  : g_strdup_printf("%s, run %d", base, reader->run),
        .source = g_path_get_basename(reader->file),
        .kind = reader->kind,
        .bytes = bytes,
        .time_s = time_s,
        .n_gpus = reader->n_ranks,
        .gpus_per_node = n_hosts > 0 ? reader->n_ranks / n_hosts : 0,
        .algorithm = -1,
        .averages = averages,
    };
    g_array_append_val(reader->rows, row);
    reader->n_found++;
}

static gboolean kind_find(LogReader *reader, const GPtrArray *words, guint first,
                          GError **error)
{
    double algbw = 0, busbw = 0;
    gboolean reduces = words->len > 3 && strcmp(words->pdata[3], "none") != 0 &&
                       g_ascii_isalpha(*(const char *)words->pdata[3]);
    if (reader->kind != N_COLLECTIVES)
        return TRUE;
    number(words->pdata[first + 1], &algbw);
    number(words->pdata[first + 2], &busbw);
    if (algbw < 1)
        return TRUE; /* printed with too few digits: a larger row tells */
    reader->kind = kind_by_ratio(busbw / algbw, reader->n_ranks, reduces);
    if (reader->kind == N_COLLECTIVES)
        return fail(reader, error,
                    "which collective is this? Its bandwidths don't say: use --collective");
    return TRUE;
}

/* A count of wrong results; the largest error that nccl-tests 2.10 has there has an exponent.
 */
static gboolean results_check(LogReader *reader, const char *wrong, GError **error)
{
    double count;
    if (strpbrk(wrong, ".e") || !number(wrong, &count) || count == 0)
        return TRUE;
    return fail(reader, error, "%s results were wrong: such a run measures nothing", wrong);
}

/* One size. Its time columns are found from the right: three or four for each of the two
 * places, the fourth, #wrong, being N/A where nothing was checked. */
static gboolean row_read(LogReader *reader, const GPtrArray *words, GError **error)
{
    double bytes, times_us[2], bandwidth[2];
    /* Eleven words: size, count, type and eight, or redop and root too and six. */
    gboolean checked = words->len > 11 || (words->len == 11 && number(words->pdata[3], &bytes));
    guint n_tail = checked ? 8 : 6, first = words->len - n_tail;
    if (words->len < 9)
        return fail(reader, error,
                    "a row of results has size, count, type and at least six "
                    "columns of times and bandwidths, not %u words",
                    words->len);
    for (int place = 0; place < 2; place++) {
        guint column = first + (guint)place * n_tail / 2;
        if (checked && !results_check(reader, words->pdata[column + 3], error))
            return FALSE;
        if (!number(words->pdata[column], &times_us[place]) ||
            !number(words->pdata[column + 1], &bandwidth[place]) || times_us[place] <= 0)
            return fail(reader, error, "'%s' is no time in microseconds",
                        (const char *)words->pdata[column]);
    }
    if (!number(words->pdata[0], &bytes) || bytes < 0 || bytes > 1e15)
        return fail(reader, error, "'%s' is no size in bytes", (const char *)words->pdata[0]);
    if (reader->n_ranks < 2)
        return fail(reader, error, "results before any '#  Rank' line: how many GPUs ran?");
    if (bytes < 1)
        return TRUE;
    if (!kind_find(reader, words, first, error))
        return FALSE;
    gboolean averages = words->len > 3 && strcmp(words->pdata[3], "avg") == 0;
    for (int place = 0; place < 2; place++)
        row_append(reader, (gint64)bytes, times_us[place] / 1e6, averages);
    return TRUE;
}

static gboolean line_read(LogReader *reader, char *line, GError **error)
{
    g_autoptr(GMatchInfo) tag = NULL;
    int after = 0;
    if (g_regex_match(reader->tags, line, 0, &tag))
        g_match_info_fetch_pos(tag, 0, NULL, &after);
    line = g_strstrip(line + after);
    if (*line == '#' || !g_ascii_isdigit(*line)) {
        if (!run_begin(reader, line, error))
            return FALSE;
        header_read(reader, line);
        return TRUE;
    }
    g_auto(GStrv) fields = g_strsplit_set(line, " \t", -1);
    g_autoptr(GPtrArray) words = words_of(fields);
    double ignored;
    if (words->len < 3 || !number(words->pdata[0], &ignored) ||
        !number(words->pdata[1], &ignored))
        return TRUE; /* what other programs print */
    return row_read(reader, words, error);
}

gboolean nccl_log_read(const char *file, CollectiveKind kind, GArray *rows, GError **error)
{
    g_autofree char *text = json_in_read_text(file, LOG_MAX_BYTES, NULL, error);
    if (!text)
        return FALSE;
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_autoptr(GHashTable) hosts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GRegex) tags = g_regex_new(TAGS, 0, 0, NULL);
    LogReader reader = {.file = file,
                        .asked = kind,
                        .kind = kind,
                        .tags = tags,
                        .hosts = hosts,
                        .rows = rows,
                        .run = 1};
    for (char **line = lines; *line; line++) {
        reader.line++;
        if (!line_read(&reader, *line, error))
            return FALSE;
    }
    reader.line = MAX(reader.line, 1);
    if (reader.run == 1 && reader.n_found == 0)
        return fail(&reader, error, "no results of nccl-tests in this file");
    return reader.n_found == 0 || run_settle(&reader, error);
}
