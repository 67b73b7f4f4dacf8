/* SPDX-License-Identifier: MIT */
/* Reads NCCL's topology XML (src/graph/xml.cc): CPUs hold PCI devices, bridges hold devices,
 * devices hold GPUs with their NVLinks, and NICs with their networks. */
#include "nccl_topo_read.h"

#include "error.h"
#include "json_in.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOPO_MAX_BYTES (16 * 1024 * 1024)
#define MAX_DEPTH 64
#define PCI_BRIDGE "0x0604"
#define NVSWITCH "0x0680"
#define DEFAULT_LANES 16

/* An open <pci>. */
typedef struct {
    const char *bus, *device; /* in the reader's strings */
    gboolean is_bridge;
    double bytes_per_s;
} TopoPci;

typedef struct {
    Topo *topo;
    const char *file;
    GStringChunk *strings;
    GArray *pcis; /* TopoPci, outermost first */
    TopoGpu *gpu; /* the open <gpu> */
    int depth, bridge;
} TopoReader;

static void gpu_free(gpointer data)
{
    TopoGpu *gpu = data;
    for (guint i = 0; i < gpu->links->len; i++)
        g_free(g_array_index(gpu->links, TopoLink, i).target);
    g_array_unref(gpu->links);
    g_free(gpu->bus);
    g_free(gpu->device);
    g_free(gpu);
}

static void net_free(gpointer data)
{
    g_free(((TopoNet *)data)->name);
    g_free(data);
}

void topo_free(Topo *topo)
{
    if (!topo)
        return;
    g_ptr_array_unref(topo->gpus);
    g_ptr_array_unref(topo->nets);
    g_free(topo->cpu);
    g_free(topo);
}

static const char *attribute(const char **names, const char **values, const char *name)
{
    for (; *names; names++, values++)
        if (strcmp(*names, name) == 0)
            return *values;
    return NULL;
}

static gboolean fail(GMarkupParseContext *context, GError **error, const char *what)
{
    int line;
    g_markup_parse_context_get_position(context, &line, NULL);
    g_set_error(error, G_MARKUP_ERROR, G_MARKUP_ERROR_INVALID_CONTENT, "%d: %s", line, what);
    return FALSE;
}

/* A whole number in range that the element must have. */
static gboolean number(GMarkupParseContext *context, const char *element, const char **names,
                       const char **values, const char *name, gint64 max, int *value,
                       GError **error)
{
    const char *text = attribute(names, values, name);
    gint64 parsed = 0;
    if (text && g_ascii_string_to_signed(text, 10, 0, max, &parsed, NULL)) {
        *value = (int)parsed;
        return TRUE;
    }
    g_autofree char *quoted = text ? error_quote(text) : g_strdup("nothing");
    g_autofree char *what =
        g_strdup_printf("<%s %s> must be a number from 0 to %" G_GINT64_FORMAT ", not %s",
                        element, name, max, quoted);
    return fail(context, error, what);
}

/* "32.0 GT/s PCIe" and "16"; 0 lanes, as virtual machines say, are all of them. */
static double slot_rate(const char *speed, const char *width)
{
    double gt_per_s = speed ? g_ascii_strtod(speed, NULL) : 0;
    int lanes = width ? atoi(width) : 0;
    double coding = gt_per_s >= 8 ? 128.0 / 130 : 8.0 / 10;
    return gt_per_s * 1e9 / 8 * coding * (lanes > 0 ? lanes : DEFAULT_LANES);
}

static void cpu_start(TopoReader *reader, const char *vendor)
{
    const char *cpu = "other";
    if (vendor && strcmp(vendor, "GenuineIntel") == 0)
        cpu = "intel";
    else if (vendor && (strcmp(vendor, "AuthenticAMD") == 0 || strcmp(vendor, "AMD") == 0))
        cpu = "amd";
    g_free(reader->topo->cpu);
    reader->topo->cpu = g_strdup(cpu);
    reader->topo->n_cpus++;
}

static void pci_start(TopoReader *reader, const char **names, const char **values)
{
    const char *class_text = attribute(names, values, "class");
    const char *bus = attribute(names, values, "busid");
    const char *device = attribute(names, values, "device");
    const TopoPci pci = {
        .bus = g_string_chunk_insert(reader->strings, bus ? bus : ""),
        .device = g_string_chunk_insert(reader->strings, device ? device : ""),
        .is_bridge = class_text && g_str_has_prefix(class_text, PCI_BRIDGE),
        .bytes_per_s = slot_rate(attribute(names, values, "link_speed"),
                                 attribute(names, values, "link_width")),
    };
    if (reader->pcis->len == 0)
        reader->bridge = pci.is_bridge ? reader->topo->n_bridges++ : -1;
    g_array_append_val(reader->pcis, pci);
}

static const TopoPci *innermost(const TopoReader *reader)
{
    return reader->pcis->len > 0 ? &g_array_index(reader->pcis, TopoPci, reader->pcis->len - 1)
                                 : NULL;
}

static gboolean gpu_start(TopoReader *reader, GMarkupParseContext *context, const char **names,
                          const char **values, GError **error)
{
    const TopoPci *pci = innermost(reader);
    int dev, sm;
    if (!pci)
        return fail(context, error, "<gpu> must be inside a <pci>");
    if (!number(context, "gpu", names, values, "dev", 1024, &dev, error) ||
        !number(context, "gpu", names, values, "sm", 1000, &sm, error))
        return FALSE;
    TopoGpu *gpu = g_new0(TopoGpu, 1);
    g_markup_parse_context_get_position(context, &gpu->line, NULL);
    gpu->bus = g_ascii_strdown(pci->bus, -1);
    gpu->device = g_ascii_strdown(pci->device, -1);
    gpu->dev = dev;
    gpu->sm = sm;
    gpu->cpu = reader->topo->n_cpus - 1;
    gpu->bridge = reader->bridge;
    gpu->slot_bytes_per_s = pci->bytes_per_s;
    gpu->links = g_array_new(FALSE, FALSE, sizeof(TopoLink));
    g_ptr_array_add(reader->topo->gpus, gpu);
    reader->gpu = gpu;
    return TRUE;
}

static gboolean nvlink_start(TopoReader *reader, GMarkupParseContext *context,
                             const char **names, const char **values, GError **error)
{
    const char *target = attribute(names, values, "target");
    const char *class_text = attribute(names, values, "tclass");
    TopoLink link = {0};
    if (!reader->gpu || !target)
        return fail(context, error, "<nvlink> must be inside a <gpu> and have a target");
    if (!number(context, "nvlink", names, values, "count", 1024, &link.count, error))
        return FALSE;
    link.target = g_ascii_strdown(target, -1);
    reader->gpu->has_switches |= class_text && g_str_has_prefix(class_text, NVSWITCH);
    g_array_append_val(reader->gpu->links, link);
    return TRUE;
}

/* A NIC that isn't on PCI is listed at every CPU. */
static gboolean net_start(TopoReader *reader, GMarkupParseContext *context, const char **names,
                          const char **values, GError **error)
{
    const char *name = attribute(names, values, "name");
    const TopoPci *pci = innermost(reader);
    int speed_mbit_per_s;
    if (!name)
        return fail(context, error, "<net> must have a name");
    if (!number(context, "net", names, values, "speed", 100000000, &speed_mbit_per_s, error))
        return FALSE;
    for (guint i = 0; i < reader->topo->nets->len; i++)
        if (strcmp(((const TopoNet *)reader->topo->nets->pdata[i])->name, name) == 0)
            return TRUE;
    TopoNet *net = g_new0(TopoNet, 1);
    net->name = g_strdup(name);
    net->bridge = pci ? reader->bridge : -1;
    net->bytes_per_s = speed_mbit_per_s * 1e6 / 8;
    net->slot_bytes_per_s = pci ? pci->bytes_per_s : 0;
    g_ptr_array_add(reader->topo->nets, net);
    return TRUE;
}

static void element_start(GMarkupParseContext *context, const char *element, const char **names,
                          const char **values, gpointer data, GError **error)
{
    TopoReader *reader = data;
    if (++reader->depth > MAX_DEPTH)
        fail(context, error, "elements are nested too deep");
    else if (reader->depth == 1 && strcmp(element, "system") != 0)
        fail(context, error, "a topology of NCCL starts with <system>");
    else if (strcmp(element, "cpu") == 0)
        cpu_start(reader, attribute(names, values, "vendor"));
    else if (strcmp(element, "pci") == 0)
        pci_start(reader, names, values);
    else if (strcmp(element, "gpu") == 0)
        gpu_start(reader, context, names, values, error);
    else if (strcmp(element, "nvlink") == 0)
        nvlink_start(reader, context, names, values, error);
    else if (strcmp(element, "net") == 0)
        net_start(reader, context, names, values, error);
}

static void element_end(GMarkupParseContext *context, const char *element, gpointer data,
                        GError **error)
{
    TopoReader *reader = data;
    (void)context;
    (void)error;
    reader->depth--;
    if (strcmp(element, "pci") == 0)
        g_array_set_size(reader->pcis, reader->pcis->len - 1);
    else if (strcmp(element, "gpu") == 0)
        reader->gpu = NULL;
}

static int compare_gpus(gconstpointer one, gconstpointer other)
{
    return (*(TopoGpu *const *)one)->dev - (*(TopoGpu *const *)other)->dev;
}

/* GMarkup says "Error on line 3 char 7: …"; ours begin with the line. */
static void error_translate(const char *file, const GError *cause, GError **error)
{
    const char *text = cause->message;
    int line;
    g_autofree char *flat = g_strdelimit(g_strdup(text), "\n", ' ');
    if (sscanf(text, "Error on line %d", &line) == 1 || sscanf(text, "%d:", &line) == 1) {
        const char *what = strstr(flat, ": ");
        g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s:%d: %s", file, line,
                    what ? what + 2 : flat);
        return;
    }
    g_set_error(error, ZEROSIM_ERROR, ERROR_INPUT, "%s: %s", file, flat);
}

Topo *topo_read(const char *file, GError **error)
{
    static const GMarkupParser parser = {.start_element = element_start,
                                         .end_element = element_end};
    gsize length;
    g_autofree char *text = json_in_read_text(file, TOPO_MAX_BYTES, &length, error);
    if (!text)
        return NULL;
    g_autoptr(Topo) topo = g_new0(Topo, 1);
    g_autoptr(GStringChunk) strings = g_string_chunk_new(1024);
    g_autoptr(GArray) pcis = g_array_new(FALSE, FALSE, sizeof(TopoPci));
    g_autoptr(GError) cause = NULL;
    topo->gpus = g_ptr_array_new_with_free_func(gpu_free);
    topo->nets = g_ptr_array_new_with_free_func(net_free);
    TopoReader reader = {.topo = topo, .file = file, .strings = strings, .pcis = pcis};
    g_autoptr(GMarkupParseContext) context =
        g_markup_parse_context_new(&parser, 0, &reader, NULL);
    if (!g_markup_parse_context_parse(context, text, (gssize)length, &cause) ||
        !g_markup_parse_context_end_parse(context, &cause)) {
        error_translate(file, cause, error);
        return NULL;
    }
    g_ptr_array_sort(topo->gpus, compare_gpus);
    return g_steal_pointer(&topo);
}
