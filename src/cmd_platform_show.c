/* SPDX-License-Identifier: MIT */
/* Draws a node type in plain text: a star around its NVSwitches, or the PCIe tree and the table
 * of cables from GPU to GPU. One tray stands for all of a rack. */
#include "cmd_platform_show.h"

#include <string.h>

#define GB 1e9
#define GBIT (1e9 / 8)

static int n_trays(const NodeType *node)
{
    return MAX(1, node->n_trays);
}

/* Columns of the star: GPUs of one tray. */
static int n_columns(const NodeType *node)
{
    return node->n_gpus / n_trays(node);
}

static int column_width(const NodeType *node)
{
    return n_columns(node) > 8 ? 7 : node->n_nics > node->n_gpus ? 11 : 9;
}

/* The first GPU beside its NIC. */
static gboolean starts_nic(const NodeType *node, int gpu)
{
    return gpu == 0 || node_type_nic_of_gpu(node, gpu) != node_type_nic_of_gpu(node, gpu - 1);
}

/* "NIC 3", or "NIC 4-7" where a GPU has several. */
static char *nic_name(const NodeType *node, int gpu)
{
    int n_together = node->n_nics / node_type_n_nic_hosts(node);
    int first = node_type_nic_of_gpu(node, gpu) * n_together;
    return n_together == 1 ? g_strdup_printf("NIC %d", first)
                           : g_strdup_printf("NIC %d-%d", first, first + n_together - 1);
}

static int rail_of(const NodeType *node, int gpu)
{
    return node_type_nic_of_gpu(node, gpu) % (node_type_n_nic_hosts(node) / n_trays(node));
}

/* Cells of one width, without blanks at the end of the line. */
static void cell_append(GString *text, const NodeType *node, const char *cell)
{
    g_string_append_printf(text, "%-*s", column_width(node), cell);
}

static void line_end(GString *text)
{
    while (text->len > 0 && text->str[text->len - 1] == ' ')
        g_string_truncate(text, text->len - 1);
    g_string_append_c(text, '\n');
}

/* The line from GPUs down to the NIC that they share. */
static void joins_append(GString *text, const NodeType *node)
{
    int width = column_width(node);
    for (int gpu = 0; gpu < n_columns(node); gpu++) {
        gboolean last = gpu + 1 == n_columns(node) || starts_nic(node, gpu + 1);
        g_string_append(text, starts_nic(node, gpu) ? "  |" : "--+");
        for (int i = 3; i < width; i++)
            g_string_append_c(text, last ? ' ' : '-');
    }
    line_end(text);
}

static void star_append(GString *text, const NodeType *node)
{
    g_autofree char *label =
        g_strdup_printf("[ NVSwitch: %g GB/s a GPU ]", node->nvlink_bytes_per_s / GB);
    int width = n_columns(node) * column_width(node) - 4;
    g_string_append_printf(text, "  %s", label);
    for (int i = (int)strlen(label); i < width; i++)
        g_string_append_c(text, '=');
    line_end(text);
    for (int gpu = 0; gpu < n_columns(node); gpu++)
        cell_append(text, node, "  |");
    line_end(text);
    for (int gpu = 0; gpu < n_columns(node); gpu++) {
        g_autofree char *cell = g_strdup_printf("GPU %d", gpu);
        cell_append(text, node, cell);
    }
    line_end(text);
    joins_append(text, node);
    for (int gpu = 0; gpu < n_columns(node); gpu++) {
        g_autofree char *cell = nic_name(node, gpu);
        cell_append(text, node, starts_nic(node, gpu) ? cell : "");
    }
    line_end(text);
    for (int gpu = 0; gpu < n_columns(node); gpu++)
        cell_append(text, node, starts_nic(node, gpu) ? "  |" : "");
    line_end(text);
    for (int gpu = 0; gpu < n_columns(node); gpu++) {
        g_autofree char *cell = g_strdup_printf("rail %d", rail_of(node, gpu));
        cell_append(text, node, starts_nic(node, gpu) ? cell : "");
    }
    line_end(text);
    if (n_trays(node) > 1)
        g_string_append_printf(text,
                               "\nTray 0 of %d: the others are alike, on the same NVSwitches "
                               "and rails.\n",
                               n_trays(node));
}

static void branch_append(GString *text, const char *indent, const NodeType *node, int gpu)
{
    g_autofree char *nic = nic_name(node, gpu);
    g_string_append_printf(text, "%s+-- GPU %d%s%s%s", indent, gpu,
                           starts_nic(node, gpu) ? "   beside it " : "",
                           starts_nic(node, gpu) ? nic : "", "\n");
}

static void socket_append(GString *text, const NodeType *node, int socket)
{
    int per_socket = node->n_gpus / node->n_sockets;
    int per_switch = node->n_pcie_switches ? node->n_gpus / node->n_pcie_switches : 0;
    g_string_append_printf(text, "socket %d\n", socket);
    for (int gpu = socket * per_socket; gpu < (socket + 1) * per_socket; gpu++) {
        if (per_switch > 0 && gpu % per_switch == 0)
            g_string_append_printf(text, "  +-- PCIe switch %d: %g GB/s to the socket\n",
                                   gpu / per_switch, node->pcie_uplink_bytes_per_s / GB);
        branch_append(text, per_switch > 0 ? "  |     " : "  ", node, gpu);
    }
}

static void tree_append(GString *text, const NodeType *node)
{
    for (int socket = 0; socket < node->n_sockets; socket++)
        socket_append(text, node, socket);
    g_string_append_printf(text, "GPU slots: %g GB/s", node->pcie_gpu_bytes_per_s / GB);
    if (node->n_sockets > 1)
        g_string_append_printf(text, "; between two sockets: %g GB/s",
                               node->socket_bytes_per_s / GB);
    g_string_append_c(text, '\n');
}

/* Cables between GPUs, as nvidia-smi prints them; "-" is a pair that uses the PCIe tree. */
static void wires_append(GString *text, const NodeType *node)
{
    int degree = node_wires_degree(node->wires, node->n_gpus);
    g_string_append_printf(text, "\nNVLinks of %g GB/s between GPUs\n     ",
                           node->nvlink_bytes_per_s / degree / GB);
    for (int to = 0; to < node->n_gpus; to++)
        g_string_append_printf(text, "%4d", to);
    g_string_append_c(text, '\n');
    for (int from = 0; from < node->n_gpus; from++) {
        g_string_append_printf(text, "%5d", from);
        for (int to = 0; to < node->n_gpus; to++) {
            int n_links = node->wires[from * node->n_gpus + to];
            g_autofree char *cell = g_strdup_printf("%d", n_links);
            g_string_append_printf(text, "%4s", from == to ? "X" : n_links > 0 ? cell : "-");
        }
        g_string_append_c(text, '\n');
    }
    g_string_append_printf(text, "rings of collectives: %s\n", node->nvlink_rings);
}

char *cmd_platform_diagram(const NodeType *node)
{
    GString *text = g_string_new(NULL);
    if (node->nvlink == NVLINK_SWITCH)
        star_append(text, node);
    else
        tree_append(text, node);
    if (node->nvlink == NVLINK_MESH)
        wires_append(text, node);
    g_string_append_printf(
        text, "\nNICs: %d of %g Gb/s; what payload gets beside a GPU: %g GB/s\n", node->n_nics,
        node->nic_bytes_per_s / GBIT,
        MIN(node_type_nic_payload_bytes_per_s(node), node->pcie_bytes_per_s) / GB);
    return g_string_free(text, FALSE);
}

char *cmd_platform_facts(const NodeType *node)
{
    GString *text = g_string_new(NULL);
    int key_width = 0, value_width = 16;
    for (guint i = 0; i < node->facts->len; i++) {
        const NodeFact *fact = g_ptr_array_index(node->facts, i);
        key_width = MAX(key_width, (int)strlen(fact->key));
        value_width = MAX(value_width, (int)strlen(fact->value));
    }
    g_string_append_printf(text, "%-*s  %-*s %s\n", key_width, "fact", value_width, "value",
                           "source");
    for (guint i = 0; i < node->facts->len; i++) {
        const NodeFact *fact = g_ptr_array_index(node->facts, i);
        g_string_append_printf(text, "%-*s  %-*s %s\n", key_width, fact->key, value_width,
                               fact->value, fact->source);
    }
    return g_string_free(text, FALSE);
}
