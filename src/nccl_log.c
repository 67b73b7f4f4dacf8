/* SPDX-License-Identifier: MIT */
/* Reads what nccl-tests print, one run after the other: lines of "#" that say which ranks there
 * are, and rows of
 *   size count type [redop] [root] time algbw busbw #wrong time algbw busbw #wrong
 * first out of place, then in place (nccl-tests 2.10 has "error" for "#wrong"). The collective
 * is what a "# Collective test starting:" line, the program's name in the log, --collective, or
 * the ratio of bus to algorithm bandwidth says. */
#include "error.h"
#include "json_in.h"
#include "nccl_rows.h"

#include <math.h>
#include <string.h>

#define LOG_MAX_BYTES (16 * 1024 * 1024)

/* Names of nccl-tests' programs; N_COLLECTIVES: what isn't modelled. Of names that end alike
 * the longer comes first. */
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
    {"hypercube_perf", N_COLLECTIVES},
    {"gather_perf", N_COLLECTIVES},
    {"scatter_perf", N_COLLECTIVES},
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
    CollectiveKind next; /* of a program that was named after the run's rows */
    int n_ranks;
    GHashTable *hosts; /* ranks of each */
    GString *gpu;      /* the first rank's, as it names itself */
    guint n_columns;   /* as their names say; 0: not said */
    guint n_places;    /* 2: out of place and in place */
    guint n_found;
} LogReader;

/* What launchers and log collectors put before a line: "[1,0]<stdout>:" of mpirun, "0: " of
 * srun --label, "node-a: " of pdsh, "[pod/launcher/mpi] " of kubectl, time stamps. */
#define TAGS                                                                                   \
    "^\\s*(\\[[^][]*\\](<std(out|err)>:)?\\s*|[A-Za-z0-9_.@/-]+:\\s+|"                         \
    "[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.,+Z-]+\\s+|"                                          \
    "[A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8} [0-9]{4}\\s*)+"

/* Colours of terminals. */
#define ESCAPES "\033\\[[0-9;?]*[A-Za-z]"

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

#define STARTING "# Collective test starting"
static const char *const first_lines[] = {"# nccl-tests version", STARTING, "# nThread"};

/* Rows before the first that told which collective it is. */
static gboolean run_settle(LogReader *reader, GError **error)
{
    if (reader->kind == N_COLLECTIVES)
        return fail(reader, error, "which collective is this? Use --collective");
    for (guint i = reader->rows->len - reader->n_found; i < reader->rows->len; i++)
        g_array_index(reader->rows, NcclRow, i).kind = reader->kind;
    return TRUE;
}

/* "#  Rank  3 Group  0 Pid 1200 on  node-a device  3 [0x0f] NVIDIA H100 80GB HBM3": 3, and
 * where. */
static gboolean rank_parse(const GPtrArray *words, int *rank, const char **host)
{
    gint64 parsed;
    if (words->len < 2 || strcmp(words->pdata[0], "Rank") != 0 ||
        !g_ascii_string_to_signed(words->pdata[1], 10, 0, G_MAXINT, &parsed, NULL))
        return FALSE;
    *rank = (int)parsed;
    for (guint i = 2; i + 1 < words->len; i++)
        if (strcmp(words->pdata[i], "on") == 0) {
            *host = words->pdata[i + 1];
            return TRUE;
        }
    return FALSE;
}

/* What follows the bus: "[0x0f] NVIDIA H100 80GB HBM3". */
static void gpu_read(LogReader *reader, const GPtrArray *words)
{
    guint i = 0;
    while (i < words->len && *(const char *)words->pdata[i] != '[')
        i++;
    g_string_truncate(reader->gpu, 0);
    for (i++; i < words->len; i++)
        g_string_append_printf(reader->gpu, "%s%s", reader->gpu->len > 0 ? " " : "",
                               (const char *)words->pdata[i]);
}

/* A log may hold the output of several programs, some of which failed before any row. */
static gboolean run_begin(LogReader *reader, const char *line, const GPtrArray *words,
                          GError **error)
{
    int rank = -1;
    const char *host;
    gboolean begins = rank_parse(words, &rank, &host) && rank == 0 && reader->n_found > 0;
    for (guint i = 0; i < G_N_ELEMENTS(first_lines); i++)
        begins |= g_str_has_prefix(line, first_lines[i]);
    if (!begins || (reader->n_found == 0 && reader->n_ranks == 0))
        return TRUE;
    if (reader->n_found > 0 && !run_settle(reader, error))
        return FALSE;
    reader->run += reader->n_found > 0;
    reader->kind = reader->next;
    reader->next = N_COLLECTIVES;
    reader->n_ranks = 0;
    reader->n_columns = 0;
    reader->n_places = 2;
    reader->n_found = 0;
    g_hash_table_remove_all(reader->hosts);
    return TRUE;
}

/* nccl-tests lists all ranks of its communicator, in their order. */
static gboolean rank_read(LogReader *reader, int rank, const char *host, GError **error)
{
    if (rank != reader->n_ranks)
        return fail(
            reader, error,
            "rank %d is listed where rank %d would be next: either lines are missing, or "
            "these are programs beside each other, as of nccl-tests without MPI",
            rank, reader->n_ranks);
    int n_here = GPOINTER_TO_INT(g_hash_table_lookup(reader->hosts, host));
    g_hash_table_insert(reader->hosts, g_strdup(host), GINT_TO_POINTER(n_here + 1));
    reader->n_ranks++;
    return TRUE;
}

/* The program's name, as nccl-tests says it or in the command that ran it. */
static gboolean program_read(LogReader *reader, const char *line, GError **error)
{
    guint i = 0;
    while (i < G_N_ELEMENTS(programs) && !strstr(line, programs[i].word))
        i++;
    if (i == G_N_ELEMENTS(programs))
        return TRUE;
    if (programs[i].kind == N_COLLECTIVES)
        return fail(reader, error, "what %s measures is not modelled", programs[i].word);
    if (reader->n_found > 0)
        reader->next = programs[i].kind;
    else if (reader->kind == N_COLLECTIVES || g_str_has_prefix(line, STARTING))
        reader->kind = programs[i].kind;
    return TRUE;
}

/* "#  size  count  type  redop  root  time  algbw  busbw  #wrong  time ..." */
static void columns_read(LogReader *reader, const GPtrArray *words)
{
    if (words->len < 6 || strcmp(words->pdata[0], "size") != 0)
        return;
    reader->n_columns = words->len;
    reader->n_places = 0;
    for (guint i = 0; i < words->len; i++)
        reader->n_places += strcmp(words->pdata[i], "time") == 0;
    reader->n_places = CLAMP(reader->n_places, 1, 2);
}

static gboolean header_read(LogReader *reader, const char *line, GError **error)
{
    int rank;
    const char *host;
    g_auto(GStrv) fields = g_strsplit_set(line, " \t#", -1);
    g_autoptr(GPtrArray) words = words_of(fields);
    if (!run_begin(reader, line, words, error) || !program_read(reader, line, error))
        return FALSE;
    columns_read(reader, words);
    if (!rank_parse(words, &rank, &host))
        return TRUE;
    if (rank == 0)
        gpu_read(reader, words);
    return rank_read(reader, rank, host, error);
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

/* What NVSwitches don't reduce (ncclNvlsSupported); NCCL then takes the algorithms that it
 * takes for averages. */
static gboolean is_reduced_by_gpus(const GPtrArray *words)
{
    const char *type = words->pdata[2], *op = words->pdata[3];
    gboolean is_sum = strcmp(op, "sum") == 0;
    gboolean is_extreme = strcmp(op, "min") == 0 || strcmp(op, "max") == 0;
    gboolean is_named =
        is_sum || is_extreme || strcmp(op, "prod") == 0 || g_str_has_prefix(op, "mul");
    if (strcmp(op, "avg") == 0)
        return TRUE;
    return is_named && (!(is_sum || is_extreme) || g_str_has_prefix(type, "f8") ||
                        g_str_has_prefix(type, "fp8") ||
                        (is_extreme && (!strcmp(type, "float") || !strcmp(type, "double"))));
}

static void row_append(LogReader *reader, gint64 bytes, double time_s, gboolean averages)
{
    int n_hosts = (int)g_hash_table_size(reader->hosts);
    g_autofree char *base = g_path_get_basename(reader->file);
    NcclRow row = {
        .group = reader->run == 1 ? g_strdup(base)
                                  : g_strdup_printf("%s, run %d", base, reader->run),
        .source = g_path_get_basename(reader->file),
        .gpu = g_strdup(reader->gpu->str),
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
    if (reader->kind == N_COLLECTIVES)
        reader->kind = reader->asked;
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

/* How many ranks ran, and on how many nodes alike. */
static gboolean ranks_check(const LogReader *reader, GError **error)
{
    GHashTableIter hosts;
    gpointer host, n_here;
    if (reader->n_ranks == 0)
        return fail(reader, error, "results before any '#  Rank' line: how many GPUs ran?");
    if (reader->n_ranks == 1)
        return fail(
            reader, error,
            "results of one GPU, which sends nothing: nccl-tests needs -g, or MPI=1 when "
            "it is built");
    g_hash_table_iter_init(&hosts, reader->hosts);
    while (g_hash_table_iter_next(&hosts, &host, &n_here))
        if (GPOINTER_TO_INT(n_here) * (int)g_hash_table_size(reader->hosts) != reader->n_ranks)
            return fail(reader, error,
                        "%d of the %d ranks are on %s: fits need as many on each of %u nodes",
                        GPOINTER_TO_INT(n_here), reader->n_ranks, (const char *)host,
                        g_hash_table_size(reader->hosts));
    return TRUE;
}

/* A time and its bandwidth; where a place wasn't measured, N/A and 0. */
static gboolean time_read(LogReader *reader, const GPtrArray *words, guint column,
                          double *time_us, GError **error)
{
    double bandwidth;
    const char *word = words->pdata[column];
    *time_us = 0;
    if (strcmp(word, "N/A") == 0)
        return TRUE;
    if (number(word, time_us) && number(words->pdata[column + 1], &bandwidth) && *time_us > 0)
        return TRUE;
    g_autofree char *cut =
        words->len < reader->n_columns
            ? g_strdup_printf(": the row has %u of %u columns", words->len, reader->n_columns)
            : g_strdup("");
    return fail(reader, error, "'%s' is no time in microseconds%s", word, cut);
}

/* One size. Its time columns are found from the right: three or four for each place, the
 * fourth, #wrong, being N/A where nothing was checked. */
static gboolean row_read(LogReader *reader, const GPtrArray *words, GError **error)
{
    double bytes, times_us[2] = {0};
    /* Of two places and eleven words: size, count, type and eight, or redop and root too and
     * six. */
    guint n = words->len, n_places = reader->n_places;
    gboolean has_op = n > 3 && !number(words->pdata[3], &bytes);
    gboolean checked = n_places == 1 ? n > 8 || (n == 8 && strcmp(words->pdata[7], "0") == 0)
                                     : n > 11 || (n == 11 && !has_op);
    guint n_each = checked ? 4 : 3;
    if (n < 3 + 3 * n_places)
        return fail(reader, error,
                    "a row of results has size, count, type and at least %s "
                    "columns of times and bandwidths, not %u words",
                    n_places == 1 ? "three" : "six", n);
    guint first = n - n_places * n_each;
    for (guint place = 0; place < n_places; place++) {
        guint column = first + place * n_each;
        if ((checked && !results_check(reader, words->pdata[column + 3], error)) ||
            !time_read(reader, words, column, &times_us[place], error))
            return FALSE;
    }
    if (!number(words->pdata[0], &bytes) || bytes < 0 || bytes > 1e15)
        return fail(reader, error, "'%s' is no size in bytes", (const char *)words->pdata[0]);
    if (!ranks_check(reader, error))
        return FALSE;
    if (bytes < 1)
        return TRUE;
    if (!kind_find(reader, words, first, error))
        return FALSE;
    for (guint place = 0; place < n_places; place++)
        if (times_us[place] > 0)
            row_append(reader, (gint64)bytes, times_us[place] / 1e6, is_reduced_by_gpus(words));
    return TRUE;
}

static gboolean line_read(LogReader *reader, char *line, GError **error)
{
    g_autoptr(GMatchInfo) tag = NULL;
    int after = 0;
    if (g_regex_match(reader->tags, line, 0, &tag))
        g_match_info_fetch_pos(tag, 0, NULL, &after);
    line = g_strstrip(line + after);
    if (*line == '#' || !g_ascii_isdigit(*line))
        return header_read(reader, line, error);
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
    g_autoptr(GRegex) escapes = g_regex_new(ESCAPES, G_REGEX_RAW, 0, NULL);
    g_autofree char *plain = g_regex_replace_literal(escapes, text, -1, 0, "", 0, error);
    if (!plain)
        return FALSE;
    g_auto(GStrv) lines = g_strsplit(plain, "\n", -1);
    g_autoptr(GHashTable) hosts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GRegex) tags = g_regex_new(TAGS, 0, 0, NULL);
    g_autoptr(GString) gpu = g_string_new(NULL);
    LogReader reader = {.file = file,
                        .asked = kind,
                        .kind = N_COLLECTIVES,
                        .next = N_COLLECTIVES,
                        .n_places = 2,
                        .tags = tags,
                        .hosts = hosts,
                        .gpu = gpu,
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
