/* SPDX-License-Identifier: MIT */
/* Node types: small key files with one fact a line and the fact's source in the comment above.
 * Read by a table of keys, line by line: GKeyFile would keep the last of duplicate keys and
 * read "3 # c" as 3. What a cluster of such nodes looks like is cluster_xml*.c's business. */
#include "cluster.h"
#include "error.h"

#include <math.h>
#include <string.h>

#define NODE_TYPE_MAX_BYTES (1024 * 1024)

/* WHOLE: a double that holds a whole number. */
typedef enum { FIELD_STRING, FIELD_INT, FIELD_WHOLE, FIELD_DOUBLE, FIELD_NVLINK } FieldType;

/* Which nodes need a key; PCIE: those whose GPUs talk over it, others may describe it. */
typedef enum { ALL, NVLINK, MESH, PCIE, TRAYS, PLUGIN } Need;

typedef struct {
    const char *key;
    Need need;
    FieldType type;
    size_t offset;
    double minimum, maximum; /* numbers */
} Field;

#define FIELD(key, need, type, minimum, maximum)                                               \
    {                                                                                          \
#key, need, type, G_STRUCT_OFFSET(NodeType, key), minimum, maximum                     \
    }

/* As nccl_plugin_keys has them. */
#define PLUGIN_FIELD(key, fact, type, maximum)                                                 \
    {                                                                                          \
#key, PLUGIN, type, G_STRUCT_OFFSET(NodeType, nccl.value[fact]), 0, maximum            \
    }

static const Field fields[] = {
    FIELD(gpu, ALL, FIELD_STRING, 0, 0),
    FIELD(n_gpus, ALL, FIELD_INT, 1, 1024),
    FIELD(n_nics, ALL, FIELD_INT, 1, 1024),
    FIELD(n_trays, TRAYS, FIELD_INT, 1, 1024),
    FIELD(nvlink, ALL, FIELD_NVLINK, 0, 0),
    FIELD(nvlink_bytes_per_s, NVLINK, FIELD_DOUBLE, 1, 1e18),
    FIELD(nvlink_latency_s, NVLINK, FIELD_DOUBLE, 0, 1),
    FIELD(nvlink_wires, MESH, FIELD_STRING, 0, 0),
    FIELD(nvlink_rings, MESH, FIELD_STRING, 0, 0),
    FIELD(n_pcie_switches, PCIE, FIELD_INT, 0, 1024),
    FIELD(n_sockets, PCIE, FIELD_INT, 1, 64),
    FIELD(pcie_gpu_bytes_per_s, PCIE, FIELD_DOUBLE, 1, 1e18),
    FIELD(pcie_uplink_bytes_per_s, PCIE, FIELD_DOUBLE, 1, 1e18),
    FIELD(socket_bytes_per_s, PCIE, FIELD_DOUBLE, 1, 1e18),
    FIELD(pcie_latency_s, PCIE, FIELD_DOUBLE, 0, 1),
    FIELD(pcie_bytes_per_s, ALL, FIELD_DOUBLE, 1, 1e18),
    FIELD(nic_bytes_per_s, ALL, FIELD_DOUBLE, 1, 1e18),
    FIELD(nic_efficiency_frac, ALL, FIELD_DOUBLE, 0.01, 1),
    FIELD(nic_latency_s, ALL, FIELD_DOUBLE, 0, 1),
    PLUGIN_FIELD(nccl_net_latency_s, NCCL_NET_LATENCY_S, FIELD_DOUBLE, 1),
    PLUGIN_FIELD(nccl_only_simple, NCCL_ONLY_SIMPLE, FIELD_WHOLE, 1),
    PLUGIN_FIELD(nccl_nvls_chunk_bytes, NCCL_NVLS_CHUNK_BYTES, FIELD_WHOLE, 1 << 22),
    PLUGIN_FIELD(nccl_nvls_tree_chunk_bytes, NCCL_NVLS_TREE_CHUNK_BYTES, FIELD_WHOLE, 1 << 22),
    FIELD(switch_latency_s, ALL, FIELD_DOUBLE, 0, 1),
    FIELD(leaf_ports, ALL, FIELD_INT, 1, 4096),
    FIELD(cpu, ALL, FIELD_STRING, 0, 0),
};

static const char *const cpus[] = {"intel", "amd", "other", NULL};
static const char *const nvlink_kinds[] = {"switch", "mesh", "none"};

/* A file being read. */
typedef struct {
    const char *file;
    int line;
    gboolean in_section;
    GString *comment; /* since the last key */
    NodeType *node;
} Reader;

static void node_fact_free(gpointer data)
{
    NodeFact *fact = data;
    g_free(fact->key);
    g_free(fact->value);
    g_free(fact->source);
    g_free(fact);
}

static const Field *field_find(const char *key)
{
    for (gsize i = 0; i < G_N_ELEMENTS(fields); i++)
        if (strcmp(fields[i].key, key) == 0)
            return &fields[i];
    return NULL;
}

static const NodeFact *fact_find(const NodeType *node, const char *key)
{
    for (guint i = 0; i < node->facts->len; i++) {
        const NodeFact *fact = g_ptr_array_index(node->facts, i);
        if (strcmp(fact->key, key) == 0)
            return fact;
    }
    return NULL;
}

static gboolean number_parse(const Field *field, const char *text, double *number)
{
    char *end = NULL;
    *number = g_ascii_strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*number) && *number >= field->minimum &&
           *number <= field->maximum &&
           (field->type == FIELD_DOUBLE || *number == floor(*number));
}

static gboolean nvlink_read(const char *text, const Reader *reader, GError **error)
{
    for (gsize i = 0; i < G_N_ELEMENTS(nvlink_kinds); i++) {
        if (strcmp(nvlink_kinds[i], text) != 0)
            continue;
        reader->node->nvlink = (NvlinkKind)i;
        return TRUE;
    }
    g_autofree char *quoted = error_quote(text);
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                "%s:%d: nvlink must be switch, mesh or none, not %s", reader->file,
                reader->line, quoted);
    return FALSE;
}

static gboolean field_read(const Field *field, const char *text, const Reader *reader,
                           GError **error)
{
    if (field->type == FIELD_NVLINK)
        return nvlink_read(text, reader, error);
    if (field->type == FIELD_STRING) {
        G_STRUCT_MEMBER(char *, reader->node, field->offset) = g_strdup(text);
        return TRUE;
    }
    double number;
    if (!number_parse(field, text, &number)) {
        g_autofree char *quoted = error_quote(text);
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "%s:%d: %s must be %s from %g to %g, not %s", reader->file, reader->line,
                    field->key, field->type == FIELD_DOUBLE ? "a number" : "a whole number",
                    field->minimum, field->maximum, quoted);
        return FALSE;
    }
    if (field->type == FIELD_INT)
        G_STRUCT_MEMBER(int, reader->node, field->offset) = (int)number;
    else
        G_STRUCT_MEMBER(double, reader->node, field->offset) = number;
    return TRUE;
}

static void fact_append(Reader *reader, const char *key, const char *value)
{
    NodeFact *fact = g_new0(NodeFact, 1);
    fact->key = g_strdup(key);
    fact->value = g_strdup(value);
    fact->source = g_strdup(reader->comment->str);
    fact->unverified = strstr(fact->source, "unverified") != NULL;
    g_ptr_array_add(reader->node->facts, fact);
    g_string_truncate(reader->comment, 0);
}

static gboolean assignment_read(Reader *reader, char *line, GError **error)
{
    char *equals = strchr(line, '=');
    if (!equals || !reader->in_section) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "%s:%d: expected [node] and then key = value", reader->file, reader->line);
        return FALSE;
    }
    *equals = '\0';
    const char *key = g_strstrip(line);
    const char *value = g_strstrip(equals + 1);
    const Field *field = field_find(key);
    if (!field || fact_find(reader->node, key) || *value == '\0') {
        g_autofree char *quoted = error_quote(key);
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s:%d: key %s %s", reader->file,
                    reader->line, quoted,
                    !field           ? "is none of a node type's"
                    : *value == '\0' ? "has no value"
                                     : "is there twice");
        return FALSE;
    }
    if (!field_read(field, value, reader, error))
        return FALSE;
    fact_append(reader, key, value);
    return TRUE;
}

static gboolean line_read(Reader *reader, char *line, GError **error)
{
    g_strstrip(line);
    if (*line == '#') {
        if (reader->comment->len > 0)
            g_string_append_c(reader->comment, ' ');
        g_string_append(reader->comment, g_strstrip(line + 1));
        return TRUE;
    }
    if (*line == '\0') {
        g_string_truncate(reader->comment, 0);
        return TRUE;
    }
    if (strcmp(line, "[node]") == 0 && !reader->in_section) {
        reader->in_section = TRUE;
        g_string_truncate(reader->comment, 0);
        return TRUE;
    }
    return assignment_read(reader, line, error);
}

static gboolean is_needed(const Field *field, const NodeType *node)
{
    switch (field->need) {
    case ALL:
        return TRUE;
    case NVLINK:
        return node->nvlink != NVLINK_NONE;
    case MESH:
        return node->nvlink == NVLINK_MESH;
    case PCIE:
        return node->nvlink != NVLINK_SWITCH;
    case TRAYS:
    case PLUGIN:
        return FALSE;
    }
    g_assert_not_reached();
}

static gboolean is_allowed(const Field *field, const NodeType *node)
{
    return field->need == PCIE || field->need == TRAYS || field->need == PLUGIN ||
           is_needed(field, node);
}

G_GNUC_PRINTF(3, 4)
static gboolean fail(const char *file, GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: %s", file, text);
    return FALSE;
}

static gboolean keys_check(const NodeType *node, const char *file, GError **error)
{
    const char *kind = nvlink_kinds[node->nvlink];
    for (gsize i = 0; i < G_N_ELEMENTS(fields); i++) {
        gboolean there = fact_find(node, fields[i].key) != NULL;
        if (!there && is_needed(&fields[i], node))
            return fail(file, error, "[node] lacks the key '%s'%s%s", fields[i].key,
                        fields[i].need == ALL ? "" : ", which goes with nvlink = ",
                        fields[i].need == ALL ? "" : kind);
        if (there && !is_allowed(&fields[i], node))
            return fail(file, error, "the key '%s' means nothing with nvlink = %s",
                        fields[i].key, kind);
    }
    return TRUE;
}

/* Counts must divide, so that a figure holds for every GPU, NIC and switch of the node. */
static gboolean counts_check(const NodeType *node, const char *file, GError **error)
{
    int n_switches = node->n_pcie_switches, n_sockets = MAX(1, node->n_sockets);
    if (node->n_nics > node->n_gpus && node->n_nics % node->n_gpus != 0)
        return fail(file, error, "n_nics must be a multiple of n_gpus (%d) or less, not %d",
                    node->n_gpus, node->n_nics);
    if (node->n_gpus % MAX(n_switches, n_sockets) != 0 || n_switches % n_sockets != 0)
        return fail(file, error,
                    "%d GPUs can't be spread evenly over %d PCIe switches and %d sockets",
                    node->n_gpus, n_switches, n_sockets);
    if (node_type_n_nic_hosts(node) % MAX(1, node->n_trays) != 0 ||
        node->n_gpus % MAX(1, node->n_trays) != 0)
        return fail(file, error, "GPUs and NICs can't be spread evenly over %d trays",
                    node->n_trays);
    if (!g_strv_contains(cpus, node->cpu)) {
        g_autofree char *quoted = error_quote(node->cpu);
        return fail(file, error, "cpu must be intel, amd or other, not %s", quoted);
    }
    return TRUE;
}

static gboolean mesh_read(NodeType *node, const char *file, GError **error)
{
    if (node->nvlink != NVLINK_MESH)
        return TRUE;
    node->wires = node_wires_parse(node->nvlink_wires, node->n_gpus, error);
    if (!node->wires) {
        g_prefix_error(error, "%s: nvlink_wires: ", file);
        return FALSE;
    }
    node->rings = node_rings_parse(node->nvlink_rings, node->n_gpus, error);
    if (node->rings && node_rings_check(node->rings, node->wires, node->n_gpus, error))
        return TRUE;
    g_prefix_error(error, "%s: nvlink_rings: ", file);
    return FALSE;
}

static NodeType *node_type_read(const char *name, const char *file, GError **error)
{
    g_autofree char *text = json_in_read_text(file, NODE_TYPE_MAX_BYTES, NULL, error);
    if (!text)
        return NULL;
    g_autoptr(NodeType) node = g_new0(NodeType, 1);
    node->name = g_strdup(name);
    node->facts = g_ptr_array_new_with_free_func(node_fact_free);
    g_autoptr(GString) comment = g_string_new(NULL);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    Reader reader = {.file = file, .comment = comment, .node = node};
    for (char **line = lines; *line; line++) {
        reader.line++;
        if (!line_read(&reader, *line, error))
            return NULL;
    }
    if (!keys_check(node, file, error) || !counts_check(node, file, error) ||
        !mesh_read(node, file, error))
        return NULL;
    return g_steal_pointer(&node);
}

static char *preset_dir(void)
{
    return g_build_filename(experiment_data_dir(), "platforms", "nodes", NULL);
}

static NodeType *preset_missing(const char *name, const char *dir, GError **error)
{
    g_autoptr(GPtrArray) names = node_type_list();
    g_ptr_array_add(names, NULL);
    const char *nearest = error_nearest(name, (const char *const *)names->pdata);
    g_autofree char *quoted = error_quote(name);
    if (nearest)
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "no platform %s: did you mean %s?",
                    quoted, nearest);
    else
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT,
                    "no platform %s: `zerosim platform --list` shows the %u of %s", quoted,
                    names->len - 1, dir);
    return NULL;
}

NodeType *node_type_load(const char *name_or_file, GError **error)
{
    if (strchr(name_or_file, '/') || g_str_has_suffix(name_or_file, ".conf")) {
        g_autofree char *base = g_path_get_basename(name_or_file);
        if (g_str_has_suffix(base, ".conf"))
            base[strlen(base) - strlen(".conf")] = '\0';
        return node_type_read(base, name_or_file, error);
    }
    g_autofree char *dir = preset_dir();
    g_autofree char *base = g_strconcat(name_or_file, ".conf", NULL);
    g_autofree char *file = g_build_filename(dir, base, NULL);
    if (g_file_test(file, G_FILE_TEST_EXISTS))
        return node_type_read(name_or_file, file, error);
    return preset_missing(name_or_file, dir, error);
}

static int compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

GPtrArray *node_type_list(void)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *path = preset_dir();
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *base;
    while (dir && (base = g_dir_read_name(dir)))
        if (g_str_has_suffix(base, ".conf"))
            g_ptr_array_add(names, g_strndup(base, strlen(base) - strlen(".conf")));
    g_ptr_array_sort(names, compare_names);
    return names;
}

void node_type_free(NodeType *node)
{
    if (!node)
        return;
    g_free(node->name);
    g_free(node->gpu);
    g_free(node->cpu);
    g_free(node->nvlink_wires);
    g_free(node->nvlink_rings);
    g_free(node->wires);
    g_clear_pointer(&node->rings, g_ptr_array_unref);
    g_clear_pointer(&node->facts, g_ptr_array_unref);
    g_free(node);
}

int node_type_n_nic_hosts(const NodeType *node)
{
    return MIN(node->n_nics, node->n_gpus);
}

double node_type_nic_payload_bytes_per_s(const NodeType *node)
{
    int n_together = node->n_nics / node_type_n_nic_hosts(node);
    return n_together * node->nic_bytes_per_s * node->nic_efficiency_frac;
}

int node_type_nic_of_gpu(const NodeType *node, int gpu)
{
    return gpu * node_type_n_nic_hosts(node) / node->n_gpus;
}

int node_type_gpu_of_rank(const NodeType *node, int rank)
{
    return node->rings ? ((const NodeRing *)g_ptr_array_index(node->rings, 0))->gpus[rank]
                       : rank;
}
