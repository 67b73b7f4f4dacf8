/* SPDX-License-Identifier: MIT */
/* Writes what NCCL found on a machine as the lines of a node type, and reads those: so that a
 * node type has one reader, and its checks hold here too. */
#include "nccl_topo.h"

#include "error.h"
#include "nccl_topo_read.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

#define MAX_MESH 16 /* GPUs joined without a switch: rings are searched by trial */

/* PCI device numbers, and the profile of the GPU. */
static const struct {
    const char *device, *profile;
} gpus_by_device[] = {
    {"0x1db1", "v100-sxm2-16gb"},
    {"0x1db5", "v100-sxm2-32gb"},
    {"0x20b0", "a100-sxm4-40gb"},
    {"0x20b2", "a100-sxm4-80gb"},
    {"0x20b3", "a100-sxm4-80gb"},
    {"0x2330", "h100-sxm5-80gb"},
    {"0x2335", "h200-sxm5-141gb"},
    {"0x2901", "b200"},
    {"0x2941", "gb200"},
    {"0x2342", "gh200"},
    {"0x2236", "a10"},
    {"0x26b9", "l40s"},
    {"0x2684", "rtx4090"},
};

/* Data sheets' rate of an NVLink, one direction, from this compute capability on. */
static const struct {
    int sm;
    double bytes_per_s;
} nvlinks[] = {{100, 50e9}, {86, 25e9}, {80, 25e9}, {70, 25e9}, {60, 20e9}};

static const TopoGpu *gpu_at(const Topo *topo, guint index)
{
    return topo->gpus->pdata[index];
}

static const char *profile_of(const TopoGpu *gpu)
{
    for (gsize i = 0; i < G_N_ELEMENTS(gpus_by_device); i++)
        if (strcmp(gpus_by_device[i].device, gpu->device) == 0)
            return gpus_by_device[i].profile;
    return NULL;
}

static double nvlink_rate(int sm)
{
    for (gsize i = 0; i < G_N_ELEMENTS(nvlinks); i++)
        if (sm >= nvlinks[i].sm)
            return nvlinks[i].bytes_per_s;
    return 0;
}

static int n_links(const TopoGpu *gpu)
{
    int n = 0;
    for (guint i = 0; i < gpu->links->len; i++)
        n += g_array_index(gpu->links, TopoLink, i).count;
    return n;
}

/* All GPUs alike: a node type has one kind. */
static gboolean gpus_check(const char *file, const Topo *topo, GError **error)
{
    if (topo->gpus->len == 0)
        return error_input(
            error, file,
            "there is no <gpu> in it: a provider's virtual topology has none, but what "
            "NCCL writes where NCCL_TOPO_DUMP_FILE is set has");
    const TopoGpu *first = gpu_at(topo, 0);
    for (guint i = 1; i < topo->gpus->len; i++) {
        const TopoGpu *gpu = gpu_at(topo, i);
        if (gpu->dev == gpu_at(topo, i - 1)->dev)
            return error_input(error, file,
                               "GPU %d is there twice (lines %d and %d): a topology of several "
                               "machines, as NVLink between them makes NCCL write, is not "
                               "modelled",
                               gpu->dev, MIN(gpu->line, gpu_at(topo, i - 1)->line),
                               MAX(gpu->line, gpu_at(topo, i - 1)->line));
        if (gpu->sm != first->sm || strcmp(gpu->device, first->device) != 0)
            return error_input(error, file, "GPU %d (line %d) is of another kind than GPU %d",
                               gpu->dev, gpu->line, first->dev);
        if (n_links(gpu) != n_links(first) || gpu->has_switches != first->has_switches)
            return error_input(error, file, "GPU %d (line %d) has %d NVLinks and GPU %d has %d",
                               gpu->dev, gpu->line, n_links(gpu), first->dev, n_links(first));
    }
    return TRUE;
}

static void line(GString *text, const char *source, const char *key, const char *format, ...)
    G_GNUC_PRINTF(4, 5);

static void line(GString *text, const char *source, const char *key, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_string_append_printf(text, "# %s.\n%s = ", source, key);
    g_string_append_vprintf(text, format, arguments);
    g_string_append_c(text, '\n');
    va_end(arguments);
}

static void number_line(GString *text, const char *source, const char *key, double value)
{
    char digits[G_ASCII_DTOSTR_BUF_SIZE];
    g_ascii_formatd(digits, sizeof digits, "%.6g", value);
    line(text, source, key, "%s", digits);
}

/* ---- GPUs joined by NVLinks without a switch ---- */

/* Links between any two, n to a row. */
static int *wires_of(const Topo *topo)
{
    guint n = topo->gpus->len;
    int *wires = g_new0(int, (gsize)n *n);
    for (guint i = 0; i < n; i++)
        for (guint l = 0; l < gpu_at(topo, i)->links->len; l++) {
            const TopoLink *link = &g_array_index(gpu_at(topo, i)->links, TopoLink, l);
            for (guint j = 0; j < n; j++)
                if (j != i && strcmp(gpu_at(topo, j)->bus, link->target) == 0)
                    wires[i * n + j] += link->count;
        }
    return wires;
}

/* Depth first: a closed way through all GPUs on wires that have `links` left. */
static gboolean ring_extend(const int *wires, int n, int links, int *ring, int length)
{
    if (length == n)
        return wires[ring[n - 1] * n + ring[0]] >= links;
    for (int next = 0; next < n; next++) {
        gboolean free = wires[ring[length - 1] * n + next] >= links;
        for (int i = 0; i < length && free; i++)
            free = ring[i] != next;
        if (!free)
            continue;
        ring[length] = next;
        if (ring_extend(wires, n, links, ring, length + 1))
            return TRUE;
    }
    return FALSE;
}

/* Rings on the wires, widest first, until no more fit. */
static char *rings_text(const int *all_wires, int n)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_autofree int *wires = g_memdup2(all_wires, (gsize)n * (gsize)n * sizeof(int));
    int ring[MAX_MESH] = {0};
    for (int links = 8; links > 0; links--)
        while (ring_extend(wires, n, links, ring, 1)) {
            g_string_append(text, text->len > 0 ? " " : "");
            for (int i = 0; i < n; i++) {
                int from = ring[i], to = ring[(i + 1) % n];
                g_string_append_printf(text, "%s%d", i > 0 ? "-" : "", from);
                wires[from * n + to] -= links;
                wires[to * n + from] -= links;
            }
            if (links > 1)
                g_string_append_printf(text, ":%d", links);
        }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static gboolean mesh_append(GString *text, const char *file, const Topo *topo, GError **error)
{
    int n = (int)topo->gpus->len;
    g_autofree int *wires = wires_of(topo);
    g_autofree char *rings = n >= 3 && n <= MAX_MESH ? rings_text(wires, n) : g_strdup("");
    g_autoptr(GString) pairs = g_string_new(NULL);
    for (int i = 0; i < n; i++)
        for (int j = i + 1; j < n; j++)
            if (wires[i * n + j] > 0)
                g_string_append_printf(pairs, "%s%d-%d:%d", pairs->len > 0 ? " " : "", i, j,
                                       wires[i * n + j]);
    if (!*rings) {
        g_set_error(error, ZEROSIM_ERROR, ERROR_UNMODELLED,
                    "%s: NVLinks that form no ring through all %d GPUs are not modelled: "
                    "describe the node in a file like platforms/nodes/dgx-1v.conf",
                    file, n);
        return FALSE;
    }
    line(text, "NCCL's topology: <nvlink> of each GPU", "nvlink_wires", "%s", pairs->str);
    line(text, "rings found on these wires, the widest first", "nvlink_rings", "%s", rings);
    return TRUE;
}

static void pcie_append(GString *text, const Topo *topo)
{
    const TopoGpu *first = gpu_at(topo, 0);
    gboolean used[1024] = {FALSE};
    int n_bridges = 0;
    for (guint i = 0; i < topo->gpus->len; i++) {
        int bridge = gpu_at(topo, i)->bridge;
        if (bridge < 0 || bridge >= (int)G_N_ELEMENTS(used) || used[bridge])
            continue;
        used[bridge] = TRUE;
        n_bridges++;
    }
    /* A bridge for each GPU is a port of the CPU, no switch. */
    if (n_bridges == (int)topo->gpus->len || topo->gpus->len % (guint)MAX(n_bridges, 1) != 0)
        n_bridges = 0;
    line(text, "NCCL's topology: bridges that GPUs share", "n_pcie_switches", "%d", n_bridges);
    line(text, "NCCL's topology: <cpu>", "n_sockets", "%d", topo->n_cpus);
    number_line(text, "NCCL's topology: link_speed and link_width, line coding",
                "pcie_gpu_bytes_per_s", first->slot_bytes_per_s);
    number_line(text, "unverified: the slots' rate", "pcie_uplink_bytes_per_s",
                first->slot_bytes_per_s);
    number_line(text, "NCCL src/graph/topo.h: what GPU traffic gets of links between sockets",
                "socket_bytes_per_s", g_strcmp0(topo->cpu, "amd") == 0 ? 16e9 : 22e9);
    number_line(text, "unverified: as of the usual switch", "pcie_latency_s", 1e-6);
}

static gboolean links_append(GString *text, const char *file, const Topo *topo, GError **error)
{
    const TopoGpu *first = gpu_at(topo, 0);
    gboolean has_links = n_links(first) > 0, alone = topo->gpus->len == 1;
    const char *kind = alone || first->has_switches ? "switch" : "mesh";
    line(text, "NCCL's topology: where <nvlink> ends", "nvlink", "%s",
         has_links ? kind : "none");
    if (has_links) {
        number_line(text, "NCCL's topology: <nvlink count>, at the data sheet's rate of a link",
                    "nvlink_bytes_per_s", n_links(first) * nvlink_rate(first->sm));
        number_line(text, "unverified: half of a GPU to GPU hop of about 1 us",
                    "nvlink_latency_s", 0.5e-6);
    }
    if (has_links && strcmp(kind, "mesh") == 0 && !mesh_append(text, file, topo, error))
        return FALSE;
    if (!has_links || strcmp(kind, "mesh") == 0)
        pcie_append(text, topo);
    return TRUE;
}

/* The fastest: a slower NIC is for storage or logins, and NCCL leaves it alone. */
static gboolean nics_append(GString *text, const char *file, const Topo *topo, GError **error)
{
    double fastest = 0, slot = INFINITY;
    int n_nics = 0;
    for (guint i = 0; i < topo->nets->len; i++)
        fastest = MAX(fastest, ((const TopoNet *)topo->nets->pdata[i])->bytes_per_s);
    for (guint i = 0; i < topo->nets->len; i++) {
        const TopoNet *net = topo->nets->pdata[i];
        if (net->bytes_per_s < fastest)
            continue;
        n_nics++;
        slot = MIN(slot, net->slot_bytes_per_s > 0 ? net->slot_bytes_per_s : INFINITY);
    }
    if (fastest <= 0)
        return error_input(error, file, "there is no <net> with a speed in it");
    if (isinf(slot))
        slot = MAX(gpu_at(topo, 0)->slot_bytes_per_s, fastest);
    line(text, "NCCL's topology: <net> of the highest speed", "n_nics", "%d", n_nics);
    number_line(text, "NCCL's topology: link_speed and link_width of the NICs, line coding",
                "pcie_bytes_per_s", slot);
    number_line(text, "NCCL's topology: <net speed>", "nic_bytes_per_s", fastest);
    number_line(text, "unverified: about 97 % of line rate point to point",
                "nic_efficiency_frac", 0.97);
    number_line(text, "unverified: 1.5 us NIC to NIC through one leaf", "nic_latency_s",
                0.75e-6);
    number_line(text, "unverified: half of a way through the spine", "switch_latency_s",
                0.25e-6);
    line(text, "unverified: a 64-port leaf switch with half of its ports down", "leaf_ports",
         "32");
    return TRUE;
}

static char *node_text(const char *file, const char *gpu, GError **error)
{
    g_autoptr(Topo) topo = topo_read(file, error);
    g_autoptr(GString) text = g_string_new("[node]\n");
    if (!topo || !gpus_check(file, topo, error))
        return NULL;
    const char *profile = gpu ? gpu : profile_of(gpu_at(topo, 0));
    if (!profile) {
        g_autofree char *device = error_quote(gpu_at(topo, 0)->device);
        error_input(error, file,
                    "line %d: no GPU profile is known for PCI device %s: use --gpu",
                    gpu_at(topo, 0)->line, device);
        return NULL;
    }
    if (strstr(profile, "-sxm") && topo->gpus->len > 1 && n_links(gpu_at(topo, 0)) == 0) {
        error_input(
            error, file,
            "there is no <nvlink> in it, and SXM GPUs (%s) have NVLink: NCCL writes what it "
            "finds "
            "where NCCL_TOPO_DUMP_FILE is set",
            profile);
        return NULL;
    }
    line(text, gpu ? "as told" : "NCCL's topology: PCI device of the GPUs", "gpu", "%s",
         profile);
    line(text, "NCCL's topology: <gpu>", "n_gpus", "%u", topo->gpus->len);
    line(text, "NCCL's topology: <cpu vendor>", "cpu", "%s", topo->cpu ? topo->cpu : "other");
    if (!links_append(text, file, topo, error) || !nics_append(text, file, topo, error))
        return NULL;
    return g_string_free(g_steal_pointer(&text), FALSE);
}

NodeType *nccl_topo_load(const char *file, const char *gpu, GError **error)
{
    g_autofree char *text = node_text(file, gpu, error);
    g_autofree char *directory = text ? g_dir_make_tmp("zerosim-XXXXXX", error) : NULL;
    if (!directory)
        return NULL;
    g_autofree char *stem = g_path_get_basename(file);
    char *dot = strrchr(stem, '.');
    if (dot && dot != stem)
        *dot = '\0';
    g_autofree char *base = g_strconcat(stem, ".conf", NULL);
    g_autofree char *conf = g_build_filename(directory, base, NULL);
    g_autoptr(GError) cause = NULL;
    NodeType *node = NULL;
    if (g_file_set_contents(conf, text, -1, &cause))
        node = node_type_load(conf, &cause);
    if (!node) {
        const char *what = strstr(cause->message, ".conf");
        error_input(error, file, "the node that it describes can't be: %s",
                    what ? what + strlen(".conf") : cause->message);
    }
    g_remove(conf);
    g_rmdir(directory);
    return node;
}
